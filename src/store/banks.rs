//! Banks and their signals, as a server reads them into its index.
//!
//! Content ids of a bank are 1, 2, 3, … without gaps, and an import only appends; what becomes of an item later is a state of its own with the
//! version that brought it (see [`Store::item_changes`]). So version and number of signals say exactly what a snapshot holds. A server polls
//! [`Store::last_bank_change`], and loads what is new after the content ids and the version it has.

use sqlx::{Row, sqlite::SqliteRow};

use super::{
    Store,
    error::StoreError,
    row::{blob, number, time, uuid},
};
use crate::domain::{
    ids::{BankId, TenantId},
    signal::{Signal, SignalType},
    time::Timestamp,
};

/// What a bank is made with when an import creates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BankDefaults {
    /// Radius of a PDQ match in bits, 0..=256.
    pub max_distance: u32,
    /// PDQ quality below which attachments are not matched, 0..=100.
    pub minimum_quality: u8,
}

/// A bank at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bank {
    pub id: BankId,
    pub tenant: TenantId,
    /// Unique per tenant.
    pub name: String,
    /// 1 after the first import; each import that adds something, and each change of a state, adds 1.
    pub version: i64,
    /// Whether it is searched.
    pub enabled: bool,
    /// Radius of a PDQ match in bits, 0..=256.
    pub max_distance: u32,
    /// PDQ quality below which attachments are not matched, 0..=100.
    pub minimum_quality: u8,
    /// How many signals this version holds, whatever their state; their content ids are `1..=signals`.
    pub signals: i64,
    pub created_at: Timestamp,
    /// Unique over all tenants and never used again: 1, 2, 3, …
    pub number: i64,
}

/// That a bank changed, in the order of the changes over all tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankChange {
    /// Grows with every change; not gapless.
    pub seq: i64,
    pub tenant: TenantId,
    pub bank: BankId,
    /// The version afterwards.
    pub version: i64,
    /// The number of signals afterwards.
    pub signals: i64,
    pub at: Timestamp,
}

/// Banks whose first import is finished.
const BANKS: &str = "SELECT number, tenant_id, id, name, version, enabled, max_distance, minimum_quality, signals, created_at
    FROM banks WHERE version > 0 AND (?1 IS NULL OR tenant_id = ?1) ORDER BY tenant_id, name";

fn bank(row: &SqliteRow) -> Result<Bank, StoreError> {
    Ok(Bank {
        id: BankId(uuid(row, "id")?),
        tenant: TenantId(uuid(row, "tenant_id")?),
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        enabled: row.try_get("enabled")?,
        max_distance: number(row, "max_distance")?,
        minimum_quality: number(row, "minimum_quality")?,
        signals: row.try_get("signals")?,
        created_at: time(row, "created_at")?,
        number: row.try_get("number")?,
    })
}

impl Store {
    /// The tenant's banks, by name.
    pub async fn banks(&self, tenant: TenantId) -> Result<Vec<Bank>, StoreError> {
        sqlx::query(BANKS).bind(Some(blob(tenant.0))).fetch_all(self.readers()).await?.iter().map(bank).collect()
    }

    /// Every tenant's banks.
    pub async fn all_banks(&self) -> Result<Vec<Bank>, StoreError> {
        sqlx::query(BANKS).bind(None::<Vec<u8>>).fetch_all(self.readers()).await?.iter().map(bank).collect()
    }

    /// The number of the last change; 0 before the first. Cheap enough to poll every second.
    pub async fn last_bank_change(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM bank_changes").fetch_one(self.readers()).await?)
    }

    /// The changes after number `seq`, in their order.
    pub async fn bank_changes_since(&self, seq: i64) -> Result<Vec<BankChange>, StoreError> {
        let rows = sqlx::query("SELECT seq, tenant_id, bank, version, signals, at FROM bank_changes WHERE seq > ? ORDER BY seq")
            .bind(seq)
            .fetch_all(self.readers())
            .await?;
        rows.iter()
            .map(|row| {
                Ok(BankChange {
                    seq: row.try_get("seq")?,
                    tenant: TenantId(uuid(row, "tenant_id")?),
                    bank: BankId(uuid(row, "bank")?),
                    version: row.try_get("version")?,
                    signals: row.try_get("signals")?,
                    at: time(row, "at")?,
                })
            })
            .collect()
    }

    /// Signals of exactly this version of the bank whose content id is above `after` (0 for all), by content id, at most `limit`.
    pub async fn load_signals(&self, bank: &Bank, after: i64, limit: u32) -> Result<Vec<(i64, Signal)>, StoreError> {
        let rows = sqlx::query(
            "SELECT content_id, signal_type, signal FROM bank_signals WHERE bank = ? AND content_id > ? AND content_id <= ?
             ORDER BY content_id LIMIT ?",
        )
        .bind(bank.number)
        .bind(after)
        .bind(bank.signals)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        let corrupt = |detail: String| StoreError::Corrupt { what: "signal", detail };
        rows.iter()
            .map(|row| {
                let content_id: i64 = row.try_get(0)?;
                let kind: SignalType = row.try_get::<&str, _>(1)?.parse().map_err(|error| corrupt(format!("{error}")))?;
                let signal = Signal::from_parts(kind, row.try_get(2)?);
                Ok((content_id, signal.ok_or_else(|| corrupt(format!("content id {content_id} has a wrong length")))?))
            })
            .collect()
    }
}
