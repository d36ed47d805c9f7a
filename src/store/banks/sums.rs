//! Sums over the stored signals of a bank, by which damage is noticed.
//!
//! Signals never change once they are published, but disks do: a row with one other bit is a hash that nothing matches, and nobody would hear of it. So a bank
//! keeps the sum of a digest of each of its rows. Sums do not ask for an order, so what comes is added in the transaction that publishes it, and nothing is read
//! again for that. A sum of 64 bits notices what disks do; it is no proof against somebody who writes the file.

use sha2::{Digest, Sha256};
use sqlx::Row;

use super::Bank;
use crate::{
    domain::signal::Signal,
    store::{Store, error::StoreError},
};

/// What one signal adds to the sum, wrapping: 64 bits of the SHA-256 of its number, its item, its type and its bytes.
pub fn signal_sum(number: i64, content_id: i64, signal: &Signal) -> i64 {
    row_sum(number, content_id, signal.kind().as_str().as_bytes(), &signal.to_bytes())
}

fn row_sum(number: i64, content_id: i64, kind: &[u8], signal: &[u8]) -> i64 {
    let digest = Sha256::new()
        .chain_update(number.to_be_bytes())
        .chain_update(content_id.to_be_bytes())
        .chain_update((kind.len() as u64).to_be_bytes())
        .chain_update(kind)
        .chain_update(signal)
        .finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

/// Some rows of a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartSum {
    /// The highest number among them.
    pub last: i64,
    pub sum: i64,
}

impl Store {
    /// The sum over the next rows as they are stored, after number `after`, at most `limit`; `None` behind the last of this version.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn sum_signals(&self, bank: &Bank, after: i64, limit: u32) -> Result<Option<PartSum>, StoreError> {
        // As bytes, whatever stands there: what cannot be read is damage, which is what is looked for.
        let rows = sqlx::query(
            "SELECT number, coalesce(content_id, number), CAST(signal_type AS BLOB), CAST(signal AS BLOB) FROM bank_signals
             WHERE bank = ? AND number > ? AND number <= ? ORDER BY number LIMIT +?",
        )
        .bind(bank.number)
        .bind(after)
        .bind(bank.signals)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        let (mut last, mut sum) = (None, 0_i64);
        for row in &rows {
            let number = row.try_get(0)?;
            sum = sum.wrapping_add(row_sum(number, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
            last = Some(number);
        }
        Ok(last.map(|last| PartSum { last, sum }))
    }

    /// Takes the sum of a bank of before that had none as right from now on. Nothing happens when the bank has other signals meanwhile.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn begin_sum(&self, bank: &Bank, sum: i64) -> Result<(), StoreError> {
        let (number, signals) = (bank.number, bank.signals);
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("UPDATE banks SET signals_sum = ? WHERE number = ? AND signals = ? AND signals_sum IS NULL")
                    .bind(sum)
                    .bind(number)
                    .bind(signals)
                    .execute(tx.sql().await?)
                    .await?;
                Ok(())
            })
        })
        .await
    }
}
