//! Exchanges: how they are set up, how far they were read, and who reads them now.
//!
//! One process at a time reads an exchange, under a lease that each page renews. What a page says is written in several units (items, withdrawals,
//! opinions), each of which does no harm twice; the last one, [`Store::commit_exchange_page`], notes which items the entries stand for and moves the
//! checkpoint. A process that dies between them reads the same page again.

mod outbox;
mod pages;

use std::time::Duration;

use sqlx::{Row, sqlite::SqliteRow};
use uuid::Uuid;

pub use self::{
    outbox::{OutboxEntry, OutboxResult, OutboxState, OutboxWord, Outcome as FeedbackOutcome},
    pages::{EntryItems, ExchangePage},
};
use super::{
    Store,
    error::StoreError,
    row::{blob, json, number, optional_time, time, uuid},
    transaction::WriteTx,
};
use crate::domain::{
    event::{Event, EventBody, ExchangeChange},
    ids::{EventId, KeyId, TenantId},
    time::Timestamp,
};

/// An exchange as it is set up, and how it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    pub tenant: TenantId,
    /// Its name, and that of the bank that it fills; unique per tenant.
    pub name: String,
    pub api: String,
    /// What the API was told.
    pub settings: serde_json::Value,
    pub enabled: bool,
    pub created_at: Timestamp,
    /// Where the next page begins; `None` before the first.
    pub checkpoint: Option<serde_json::Value>,
    /// How far the list was read, in the exchange's time.
    pub progress: Option<Timestamp>,
    /// When the fetch began that is under way.
    pub started_at: Option<Timestamp>,
    /// When the last fetch ended, and how.
    pub completed_at: Option<Timestamp>,
    pub succeeded: Option<bool>,
    pub up_to_date: bool,
    /// Failed fetches one after another.
    pub failures: u32,
    /// Why the last one failed.
    pub failure: Option<String>,
    pub skipped: u64,
    pub bad: u64,
    pub(super) number: i64,
    pub(super) generation: i64,
}

/// The right to read an exchange, for as long as it is renewed.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeLease {
    pub(super) tenant: TenantId,
    pub(super) exchange: i64,
    pub(super) token: Uuid,
}

/// How long a process that does not write a page stays the only reader: longer than any page takes with its retries.
const LEASE: Duration = Duration::from_secs(300);

const COLUMNS: &str = "number, tenant_id, name, api, settings, enabled, created_at, checkpoint, progress, generation,
    CASE WHEN lease_until > ?1 THEN started_at END AS started_at, completed_at, succeeded, up_to_date, failures, failure, skipped, bad";

fn exchange(row: &SqliteRow) -> Result<Exchange, StoreError> {
    let checkpoint = match row.try_get::<Option<&str>, _>("checkpoint")? {
        Some(_) => Some(json(row, "checkpoint")?),
        None => None,
    };
    Ok(Exchange {
        tenant: TenantId(uuid(row, "tenant_id")?),
        name: row.try_get("name")?,
        api: row.try_get("api")?,
        settings: json(row, "settings")?,
        enabled: row.try_get("enabled")?,
        created_at: time(row, "created_at")?,
        checkpoint,
        progress: optional_time(row, "progress")?,
        started_at: optional_time(row, "started_at")?,
        completed_at: optional_time(row, "completed_at")?,
        succeeded: row.try_get("succeeded")?,
        up_to_date: row.try_get("up_to_date")?,
        failures: number(row, "failures")?,
        failure: row.try_get("failure")?,
        skipped: number(row, "skipped")?,
        bad: number(row, "bad")?,
        number: row.try_get("number")?,
        generation: row.try_get("generation")?,
    })
}

/// Writes the event of a change to how an exchange is set up.
async fn record(
    tx: &mut WriteTx,
    (tenant, name, api): (TenantId, String, String),
    change: ExchangeChange,
    by: Option<KeyId>,
) -> Result<(), StoreError> {
    let body = EventBody::ExchangeChanged { exchange: name, api, change, by };
    tx.append(&Event { id: EventId::new(), tenant, at: Timestamp::now(), body }).await
}

impl Store {
    /// Writes into the ledger that credentials for an API are about to be kept, or forgotten.
    pub async fn record_credentials(&self, tenant: TenantId, api: &str, kept: bool, by: Option<KeyId>) -> Result<(), StoreError> {
        let body = EventBody::ExchangeCredentialsChanged { api: api.to_owned(), kept, by };
        let event = Event { id: EventId::new(), tenant, at: Timestamp::now(), body };
        self.write(move |tx| Box::pin(async move { tx.append(&event).await })).await
    }

    /// The tenant's exchanges, by name.
    pub async fn exchanges(&self, tenant: TenantId) -> Result<Vec<Exchange>, StoreError> {
        self.exchanges_where("tenant_id = ?2", Some(tenant), None).await
    }

    /// Every tenant's exchanges.
    pub async fn all_exchanges(&self) -> Result<Vec<Exchange>, StoreError> {
        self.exchanges_where("?2 IS NULL", None, None).await
    }

    /// One exchange.
    pub async fn exchange(&self, tenant: TenantId, name: &str) -> Result<Option<Exchange>, StoreError> {
        Ok(self.exchanges_where("tenant_id = ?2 AND name = ?3", Some(tenant), Some(name)).await?.pop())
    }

    async fn exchanges_where(
        &self,
        condition: &'static str,
        tenant: Option<TenantId>,
        name: Option<&str>,
    ) -> Result<Vec<Exchange>, StoreError> {
        // The condition is one of the literals above.
        let statement = format!("SELECT {COLUMNS} FROM exchanges WHERE {condition} AND (?3 IS NULL OR name = ?3) ORDER BY tenant_id, name");
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(Timestamp::now().micros())
            .bind(tenant.map(|tenant| blob(tenant.0)))
            .bind(name.map(str::to_owned))
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(exchange).collect()
    }

    /// Sets an exchange up, with its ledger event. Its bank has to exist.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the tenant has an exchange of this name.
    pub async fn create_exchange(
        &self,
        tenant: TenantId,
        name: &str,
        api: &str,
        (settings, enabled): (&serde_json::Value, bool),
        by: Option<KeyId>,
    ) -> Result<(), StoreError> {
        let (name, api, settings) = (name.to_owned(), api.to_owned(), settings.to_string());
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    // What people said before is not this exchange's to hear.
                    "INSERT INTO exchanges (tenant_id, name, api, settings, enabled, created_at, opinions_seq)
                     VALUES (?, ?, ?, ?, ?, ?, (SELECT coalesce(max(seq), 0) FROM bank_opinions))",
                )
                .bind(blob(tenant.0))
                .bind(name.clone())
                .bind(api.clone())
                .bind(settings)
                .bind(enabled)
                .bind(Timestamp::now().micros())
                .execute(tx.sql().await?)
                .await
                .map_err(|error| StoreError::constraint(error, "exchange"))?;
                record(tx, (tenant, name, api), ExchangeChange::Created, by).await
            })
        })
        .await
    }

    /// Changes what an exchange is told, or turns it on or off; with its ledger event. Other settings name another list: it is read from its beginning.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn update_exchange(
        &self,
        tenant: TenantId,
        name: &str,
        settings: Option<&serde_json::Value>,
        enabled: Option<bool>,
        by: Option<KeyId>,
    ) -> Result<(), StoreError> {
        let (name, settings) = (name.to_owned(), settings.map(ToString::to_string));
        self.write(move |tx| {
            Box::pin(async move {
                let api: Option<String> = sqlx::query_scalar(
                    "UPDATE exchanges SET enabled = coalesce(?3, enabled), checkpoint = CASE WHEN coalesce(?4, settings) = settings THEN checkpoint END,
                         failures = 0, settings = coalesce(?4, settings)
                     WHERE tenant_id = ?1 AND name = ?2 RETURNING api",
                )
                .bind(blob(tenant.0))
                .bind(name.clone())
                .bind(enabled)
                .bind(settings)
                .fetch_optional(tx.sql().await?)
                .await?;
                let api = api.ok_or(StoreError::NotFound("exchange"))?;
                record(tx, (tenant, name, api), ExchangeChange::Updated, by).await
            })
        })
        .await
    }

    /// Forgets an exchange, what it stands for and what it was to be told; with its ledger event. The bank stays.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn remove_exchange(&self, tenant: TenantId, name: &str, by: Option<KeyId>) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                let row = sqlx::query("SELECT number, api FROM exchanges WHERE tenant_id = ? AND name = ?")
                    .bind(blob(tenant.0))
                    .bind(name.clone())
                    .fetch_optional(tx.sql().await?)
                    .await?
                    .ok_or(StoreError::NotFound("exchange"))?;
                let (exchange, api): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
                for statement in [
                    "DELETE FROM exchange_outbox WHERE exchange = ?",
                    "DELETE FROM exchange_entries WHERE exchange = ?",
                    "DELETE FROM exchanges WHERE number = ?",
                ] {
                    sqlx::query(statement).bind(exchange).execute(tx.sql().await?).await?;
                }
                record(tx, (tenant, name, api), ExchangeChange::Removed, by).await
            })
        })
        .await
    }

    /// Takes the right to read an exchange; `None` while another process has it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn lease_exchange(&self, tenant: TenantId, name: &str) -> Result<Option<ExchangeLease>, StoreError> {
        let (name, token) = (name.to_owned(), Uuid::new_v4());
        self.write(move |tx| {
            Box::pin(async move {
                let now = Timestamp::now();
                let exchange: Option<i64> = sqlx::query_scalar("SELECT number FROM exchanges WHERE tenant_id = ? AND name = ?")
                    .bind(blob(tenant.0))
                    .bind(name)
                    .fetch_optional(tx.sql().await?)
                    .await?;
                let exchange = exchange.ok_or(StoreError::NotFound("exchange"))?;
                let taken = sqlx::query(
                    "UPDATE exchanges SET lease = ?, lease_until = ?, started_at = ?
                     WHERE number = ? AND (lease IS NULL OR lease_until <= ?)",
                )
                .bind(blob(token))
                .bind(now.plus(LEASE).micros())
                .bind(now.micros())
                .bind(exchange)
                .bind(now.micros())
                .execute(tx.sql().await?)
                .await?;
                Ok((taken.rows_affected() == 1).then_some(ExchangeLease { tenant, exchange, token }))
            })
        })
        .await
    }

    /// Gives the right back and notes how the fetch ended: `Ok` with whether the list was read to its end, or why not.
    ///
    /// # Errors
    /// [`StoreError::ImportLost`] when another process took over.
    pub async fn end_exchange_fetch(&self, lease: ExchangeLease, outcome: Result<bool, String>) -> Result<(), StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let (succeeded, up_to_date, failure) = match outcome {
                    Ok(up_to_date) => (true, up_to_date, None),
                    Err(failure) => (false, false, Some(failure)),
                };
                let ended = sqlx::query(
                    "UPDATE exchanges SET lease = NULL, lease_until = NULL, started_at = NULL, completed_at = ?, succeeded = ?, up_to_date = ?,
                         failure = ?, failures = CASE WHEN ? THEN 0 ELSE failures + 1 END
                     WHERE number = ? AND lease = ?",
                )
                .bind(Timestamp::now().micros())
                .bind(succeeded)
                .bind(up_to_date)
                .bind(failure)
                .bind(succeeded)
                .bind(lease.exchange)
                .bind(blob(lease.token))
                .execute(tx.sql().await?)
                .await?;
                if ended.rows_affected() == 1 { Ok(()) } else { Err(StoreError::ImportLost) }
            })
        })
        .await
    }
}

impl Store {
    /// Writes down that a bank leaves as a list; call it before the first byte does.
    pub async fn note_export(&self, bank: &super::Bank, format: &str, recipients: u64, by: Option<KeyId>) -> Result<(), StoreError> {
        let body =
            EventBody::BankExported { bank: bank.name.clone(), bank_version: bank.version, format: format.to_owned(), recipients, by };
        let tenant = bank.tenant;
        self.write(move |tx| Box::pin(async move { tx.append(&Event { id: EventId::new(), tenant, at: Timestamp::now(), body }).await }))
            .await
    }
}
