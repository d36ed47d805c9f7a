//! Which items hold a signal: one, several that share it, or none.
//!
//! `bank_signal_keys` has one number of each signal, and `bank_shared_signals` the others of those that several items have; which of the items stands where
//! says nothing. Removed items stand in neither. An item *is* its signals for whoever names one: items of exactly the same signals are one item, unless somebody wants another
//! (see [`NewItem::even_if_held`](super::NewItem::even_if_held)).

use std::collections::BTreeSet;

use sqlx::{Row, SqliteConnection};

use super::{MOST_SIGNALS, locked::Locked};
use crate::{
    domain::{ids::TenantId, signal::Signal},
    store::{Store, error::StoreError, row::blob},
};

/// The tables that say which signals stand under which numbers.
pub(super) const TABLES: [&str; 2] = ["bank_signal_keys", "bank_shared_signals"];

/// Items that share a signal and are told of: of each signal so many, and of an item.
pub const MOST_SHARERS: usize = 100;

/// The numbers of the signal ?2, ?3 in bank ?1.
macro_rules! numbers {
    () => {
        "SELECT number FROM bank_signal_keys WHERE bank = ?1 AND signal_type = ?2 AND signal = ?3
         UNION ALL SELECT number FROM bank_shared_signals WHERE bank = ?1 AND signal_type = ?2 AND signal = ?3"
    };
}

/// Items that hold a signal, ascending; of more than `most` some, in whose choice nothing lies.
async fn holding(connection: &mut SqliteConnection, bank: i64, signal: &Signal, most: usize) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar(concat!(
        "SELECT DISTINCT coalesce(content_id, signals.number) FROM (SELECT number FROM (",
        numbers!(),
        ") LIMIT +?4) AS held CROSS JOIN bank_signals AS signals ON signals.bank = ?1 AND signals.number = held.number ORDER BY 1"
    ))
    .bind(bank)
    .bind(signal.kind().as_str())
    .bind(signal.to_bytes())
    .bind(most as i64)
    .fetch_all(connection)
    .await?)
}

/// The item whose signals are exactly these, which are different; the first of several.
async fn same(connection: &mut SqliteConnection, bank: i64, signals: &[Signal], rarest: &Signal) -> Result<Option<i64>, StoreError> {
    // Signals of an item follow one another: the row of its last belongs to it, and the next one does not.
    let candidates: Vec<i64> = sqlx::query_scalar(concat!(
        "SELECT item FROM (SELECT coalesce(content_id, signals.number) AS item FROM (",
        numbers!(),
        ") AS held CROSS JOIN bank_signals AS signals ON signals.bank = ?1 AND signals.number = held.number)
         WHERE (?4 = 1 OR EXISTS (SELECT 1 FROM bank_signals AS last WHERE last.bank = ?1 AND last.number = item + ?4 - 1 AND last.content_id = item))
             AND NOT EXISTS (SELECT 1 FROM bank_signals AS next WHERE next.bank = ?1 AND next.number = item + ?4 AND next.content_id = item)
         ORDER BY item"
    ))
    .bind(bank)
    .bind(rarest.kind().as_str())
    .bind(rarest.to_bytes())
    .bind(signals.len() as i64)
    .fetch_all(&mut *connection)
    .await?;
    if signals.len() == 1 {
        return Ok(candidates.first().copied());
    }
    let wanted: BTreeSet<&Signal> = signals.iter().collect();
    for item in candidates {
        let rows = sqlx::query("SELECT signal_type, signal FROM bank_signals WHERE bank = ? AND number >= ? AND number < ?")
            .bind(bank)
            .bind(item)
            .bind(item + signals.len() as i64)
            .fetch_all(&mut *connection)
            .await?;
        let held = rows.iter().map(|row| super::signal(row.try_get(0)?, row.try_get(1)?)).collect::<Result<Vec<_>, _>>()?;
        if held.iter().collect::<BTreeSet<_>>() == wanted {
            return Ok(Some(item));
        }
    }
    Ok(None)
}

/// What a bank holds of the different signals of an item that is to be added.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// The item that is the same: it has these signals and no others.
    pub same: Option<i64>,
    /// The others that have some of them, ascending; at most [`MOST_SHARERS`].
    pub sharers: Vec<i64>,
}

impl Holders {
    pub async fn of(connection: &mut SqliteConnection, bank: i64, signals: &[Signal]) -> Result<Self, StoreError> {
        let (mut sharers, mut rarest) = (BTreeSet::new(), None);
        for signal in signals {
            let held = holding(connection, bank, signal, MOST_SHARERS + 1).await?;
            if rarest.is_none_or(|(_, least)| held.len() < least) {
                rarest = Some((signal, held.len()));
            }
            sharers.extend(held);
        }
        // What is the same has all of them, the rarest too.
        let same = match rarest {
            Some((signal, 1..)) => same(connection, bank, signals, signal).await?,
            _ => None,
        };
        let sharers = sharers.into_iter().filter(|item| Some(*item) != same).take(MOST_SHARERS).collect();
        Ok(Self { same, sharers })
    }
}

/// Notes that a signal stands under this number, beside others or not.
pub(super) async fn enter(connection: &mut SqliteConnection, bank: &Locked, number: i64, signal: &Signal) -> Result<(), StoreError> {
    for table in TABLES {
        let statement = format!(
            "INSERT INTO {table} (tenant_id, bank, number, signal_type, signal) VALUES (?, ?, ?, ?, ?) ON CONFLICT (bank, signal_type, signal{}) DO NOTHING",
            if table == "bank_signal_keys" { "" } else { ", number" }
        );
        // Names of this file.
        let entered = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(blob(bank.tenant.0))
            .bind(bank.number)
            .bind(number)
            .bind(signal.kind().as_str())
            .bind(signal.to_bytes())
            .execute(&mut *connection)
            .await?;
        if entered.rows_affected() == 1 {
            return Ok(());
        }
    }
    Ok(())
}

impl Store {
    /// The items that hold these signals, in their order, each list ascending and of at most [`MOST_SHARERS`]; removed items hold none.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bank.
    pub async fn find_items(&self, tenant: TenantId, bank: &str, signals: &[Signal]) -> Result<Vec<Vec<i64>>, StoreError> {
        let bank = self.bank(tenant, bank).await?.ok_or(StoreError::NotFound("bank"))?;
        let mut connection = self.readers().acquire().await?;
        let mut found = Vec::with_capacity(signals.len());
        for signal in signals {
            let mut items = holding(&mut connection, bank.number, signal, MOST_SHARERS).await?;
            // What an import is writing is not there yet.
            items.retain(|item| *item <= bank.signals);
            found.push(items);
        }
        Ok(found)
    }
}

// An item's content id and size make up a number in the import's statements.
const _: () = assert!(MOST_SIGNALS < 256);
