//! A bank takes one import at a time: who holds it, and what is left of those that did not end well.

use std::time::Duration;

use futures_util::FutureExt;
use sqlx::Row;
use uuid::Uuid;

use super::{CHUNK, PAUSE};
use crate::{
    domain::{
        bank::Admission,
        ids::{BankId, TenantId},
        time::Timestamp,
    },
    store::{
        banks::BankDefaults,
        error::StoreError,
        row::{blob, json, optional_time},
        transaction::WriteTx,
    },
};

/// How long an import that writes nothing stays the bank's only one: longer than a busy timeout, short enough to wait for after a crash.
const LEASE: Duration = Duration::from_secs(30);

/// The right to write into a bank above its published signals.
#[derive(Clone, Copy)]
pub(super) struct Lease {
    pub(super) tenant: TenantId,
    pub(super) bank: i64,
    token: Uuid,
}

impl Lease {
    /// Takes the bank, creating it when needed. Also says how many signals are published.
    pub(super) async fn take(tx: &mut WriteTx, tenant: TenantId, name: &str, defaults: BankDefaults) -> Result<(Self, i64), StoreError> {
        let now = Timestamp::now();
        sqlx::query(
            "INSERT INTO banks (tenant_id, id, name, version, max_distance, minimum_quality, signals, signals_sum, created_at)
             VALUES (?, ?, ?, 0, ?, ?, 0, 0, ?) ON CONFLICT (tenant_id, name) DO NOTHING",
        )
        .bind(blob(tenant.0))
        .bind(blob(BankId::new().0))
        .bind(name.to_owned())
        .bind(i64::from(defaults.max_distance))
        .bind(i64::from(defaults.minimum_quality))
        .bind(now.micros())
        .execute(tx.sql().await?)
        .await
        .map_err(|error| StoreError::constraint(error, "bank"))?;
        let row = sqlx::query("SELECT number, signals, import_until FROM banks WHERE tenant_id = ? AND name = ?")
            .bind(blob(tenant.0))
            .bind(name.to_owned())
            .fetch_one(tx.sql().await?)
            .await?;
        if let Some(until) = optional_time(&row, "import_until")?.filter(|until| *until > now) {
            return Err(StoreError::ImportInProgress { until });
        }
        let lease = Self { tenant, bank: row.try_get("number")?, token: Uuid::now_v7() };
        sqlx::query("UPDATE banks SET import_token = ?, import_until = ? WHERE number = ?")
            .bind(blob(lease.token))
            .bind(now.plus(LEASE).micros())
            .bind(lease.bank)
            .execute(tx.sql().await?)
            .await?;
        Ok((lease, row.try_get("signals")?))
    }

    /// Fails when another import took over.
    pub(super) async fn renew(self, tx: &mut WriteTx) -> Result<(), StoreError> {
        let renewed = sqlx::query("UPDATE banks SET import_until = ? WHERE number = ? AND import_token = ?")
            .bind(Timestamp::now().plus(LEASE).micros())
            .bind(self.bank)
            .bind(blob(self.token))
            .execute(tx.sql().await?)
            .await?;
        if renewed.rows_affected() == 1 { Ok(()) } else { Err(StoreError::ImportLost) }
    }

    /// Removes what lies above the published signals in chunks: what is said of them first, so that it never speaks of later signals with their numbers;
    /// then the signals, newest first; then who else was named, and the record of the import.
    pub(super) async fn clear(self, tx: &mut WriteTx) -> Result<(), StoreError> {
        let (bank, chunk) = (self.bank, CHUNK as i64);
        self.until_nothing(
            tx,
            "DELETE FROM bank_imports WHERE number IN (SELECT number FROM bank_imports WHERE bank = ?1
             AND first > (SELECT signals FROM banks WHERE number = ?1) LIMIT +?2)",
        )
        .await?;
        loop {
            let more = tx
                .single(|tx| {
                    async move {
                        self.renew(tx).await?;
                        let from: i64 = sqlx::query_scalar(
                            "SELECT max(signals, (SELECT coalesce(max(number), 0) FROM bank_signals WHERE bank = ?1) - ?2)
                             FROM banks WHERE number = ?1",
                        )
                        .bind(bank)
                        .bind(chunk)
                        .fetch_one(tx.sql().await?)
                        .await?;
                        for statement in [
                            // Keys are written after their rows, so every key has its row to be found by. A signal that published items have too stays theirs.
                            "DELETE FROM bank_signal_keys WHERE bank = ?1 AND (signal_type, signal, number) IN
                                 (SELECT signal_type, signal, number FROM bank_signals WHERE bank = ?1 AND number > ?2)",
                            "DELETE FROM bank_shared_signals WHERE bank = ?1 AND (signal_type, signal, number) IN
                                 (SELECT signal_type, signal, number FROM bank_signals WHERE bank = ?1 AND number > ?2)",
                            "DELETE FROM bank_items WHERE bank = ?1 AND content_id > ?2",
                            "DELETE FROM bank_signals WHERE bank = ?1 AND number > ?2",
                        ] {
                            sqlx::query(statement).bind(bank).bind(from).execute(tx.sql().await?).await?;
                        }
                        Ok(sqlx::query_scalar::<_, bool>(
                            "SELECT EXISTS (SELECT 1 FROM bank_signals JOIN banks ON bank = banks.number
                             WHERE bank = ? AND bank_signals.number > signals)",
                        )
                        .bind(bank)
                        .fetch_one(tx.sql().await?)
                        .await?)
                    }
                    .boxed()
                })
                .await?;
            if !more {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.until_nothing(
            tx,
            "DELETE FROM bank_item_sources WHERE rowid IN (SELECT rowid FROM bank_item_sources
             WHERE import IN (SELECT number FROM bank_imports WHERE bank = ?1 AND last IS NULL) LIMIT +?2)",
        )
        .await?;
        self.until_nothing(
            tx,
            "DELETE FROM bank_imports WHERE number IN
             (SELECT number FROM bank_imports WHERE bank = ?1 AND last IS NULL LIMIT +?2)",
        )
        .await
    }

    /// Repeats a statement on this bank, of a chunk each time, until it changes nothing.
    async fn until_nothing(self, tx: &mut WriteTx, statement: &'static str) -> Result<(), StoreError> {
        loop {
            let removed = tx
                .single(|tx| {
                    async move {
                        self.renew(tx).await?;
                        let done = sqlx::query(statement).bind(self.bank).bind(CHUNK as i64).execute(tx.sql().await?).await?;
                        Ok(done.rows_affected())
                    }
                    .boxed()
                })
                .await?;
            if removed == 0 {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Opens the record of an import: its row says nothing of any signal, and while it has no `last`, what refers to it does not count. Its number, and
    /// whether the bank tests what comes in.
    pub(super) async fn record(self, tx: &mut WriteTx) -> Result<(i64, bool), StoreError> {
        let opened = sqlx::query("INSERT INTO bank_imports (tenant_id, bank, first, at) VALUES (?, ?, 0, ?)")
            .bind(blob(self.tenant.0))
            .bind(self.bank)
            .bind(Timestamp::now().micros())
            .execute(tx.sql().await?)
            .await?;
        let row = sqlx::query("SELECT admission FROM banks WHERE number = ?").bind(self.bank).fetch_one(tx.sql().await?).await?;
        let admission: Admission = json(&row, "admission")?;
        Ok((opened.last_insert_rowid(), !admission.asks_nothing()))
    }

    /// Gives the bank back, and forgets one that was never published.
    pub(super) async fn end(self, tx: &mut WriteTx) -> Result<(), StoreError> {
        sqlx::query("UPDATE banks SET import_token = NULL, import_until = NULL WHERE number = ?")
            .bind(self.bank)
            .execute(tx.sql().await?)
            .await?;
        sqlx::query("DELETE FROM bank_imports WHERE bank = (SELECT number FROM banks WHERE number = ? AND version = 0)")
            .bind(self.bank)
            .execute(tx.sql().await?)
            .await?;
        sqlx::query("DELETE FROM banks WHERE number = ? AND version = 0").bind(self.bank).execute(tx.sql().await?).await?;
        Ok(())
    }
}
