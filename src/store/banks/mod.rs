//! Banks, their items and signals: how they are set, what is in them, who says so, and how a server reads them into its index.
//!
//! # Numbers
//! Signals of a bank are numbered 1, 2, 3, … without gaps, and whatever adds to a bank only appends. An item is one signal or several that follow one
//! another; its content id is the number of the first. A signal that several items have has a number for each of them. What becomes of an item later is a state of its own with the version that brought it (see
//! [`Store::item_changes`]). So version and number of signals say exactly what a snapshot holds. A server polls [`Store::last_bank_change`], and loads
//! what is new after the number and the version it has.
//!
//! # What an item says
//! Of most items nothing is known but their import: they have no row beside their signal, and are active. What there is to say of others, standing, note,
//! metadata, category, stands in `bank_items`; what an index must know of that is fed to `bank_item_states`, version by version. Sources name items, one
//! by one or by the whole import; opinions are said of items, and the newest of each who says one counts.
//!
//! # Deleted banks
//! A deleted bank's name is free at once. Its row stays, because its number is part of ids that other programs keep; its signals go in chunks, as an import
//! writes them (see [`Store::purge_deleted_banks`]).

mod access;
mod add;
mod admit;
mod change;
mod changes;
mod flood;
mod hits;
mod holders;
mod items;
mod locked;
mod opinions;
mod settings;
mod shares;
mod sources;
mod states;
mod sums;

use std::collections::BTreeMap;

use sqlx::{Row, sqlite::SqliteRow};

pub use self::{
    add::{AddedItem, NewItem},
    admit::{Examined, Waiting},
    change::{Change, ItemPatch},
    flood::{FloodedItem, Surge},
    hits::ItemHits,
    holders::MOST_SHARERS,
    items::{Item, ItemFilter, StandingCount},
    opinions::{NewOpinion, OpinionRecord},
    settings::BankUpdate,
    shares::SignalShares,
    states::{ItemChange, ItemCursor, StateChanged},
    sums::{PartSum, signal_sum},
};
pub(super) use self::{
    change::{release, shift},
    items::out_of_force,
    locked::{Life, Locked},
    opinions::opine,
};
use super::{
    Store,
    error::StoreError,
    row::{blob, json, named, number, time, uuid},
};
use crate::domain::{
    bank::{Admission, Purpose},
    curation::BankSettings,
    ids::{BankId, TenantId},
    signal::{Distance, Signal, SignalType},
    time::Timestamp,
};

/// Signals of one item, at most: more than there are signal types, frames of a short video included.
pub const MOST_SIGNALS: usize = 64;

/// What a bank is made with when an import creates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BankDefaults {
    /// Radius of a PDQ match in bits, 0..=256.
    pub max_distance: u32,
    /// PDQ quality below which attachments are not matched, 0..=100.
    pub minimum_quality: u8,
}

impl From<BankDefaults> for BankSettings {
    fn from(defaults: BankDefaults) -> Self {
        let BankDefaults { max_distance, minimum_quality } = defaults;
        Self { max_distance, minimum_quality, ..Self::default() }
    }
}

/// A bank at one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Bank {
    pub id: BankId,
    pub tenant: TenantId,
    /// Unique per tenant.
    pub name: String,
    /// 1 once it is made; each import that adds something, and each change that lookups can notice, adds 1.
    pub version: i64,
    /// Whether it is searched at all: its ratio is above 0.
    pub enabled: bool,
    /// The share of lookups that search it, 0..=1.
    pub enabled_ratio: f64,
    pub purpose: Purpose,
    /// Radius of a PDQ match in bits, 0..=256.
    pub max_distance: u32,
    /// PDQ quality below which attachments are not matched, 0..=100.
    pub minimum_quality: u8,
    /// Radii of the signal types that have one of their own.
    pub radii: BTreeMap<SignalType, Distance>,
    pub admission: Admission,
    /// How many signals this version holds, whatever their state; their numbers are `1..=signals`.
    pub signals: i64,
    /// How many items they are.
    pub items: i64,
    pub created_at: Timestamp,
    /// Unique over all tenants and never used again: 1, 2, 3, …
    pub number: i64,
    /// The sum of [`signal_sum`] over its signals as they were written; `None` of a bank of before that nobody has read through yet.
    pub signals_sum: Option<i64>,
}

impl Bank {
    /// How it is set.
    pub fn settings(&self) -> BankSettings {
        BankSettings {
            enabled_ratio: self.enabled_ratio,
            purpose: self.purpose,
            max_distance: self.max_distance,
            radii: self.radii.clone(),
            minimum_quality: self.minimum_quality,
            admission: self.admission,
        }
    }
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

/// Banks that are made and not deleted.
const BANKS: &str = "SELECT number, tenant_id, id, name, version, enabled_ratio, purpose, max_distance, minimum_quality, radii, admission,
    signals, further_signals, created_at, signals_sum FROM banks WHERE version > 0 AND deleted_at IS NULL AND (?1 IS NULL OR tenant_id = ?1) AND (?2 IS NULL OR name = ?2)
    ORDER BY tenant_id, name";

fn bank(row: &SqliteRow) -> Result<Bank, StoreError> {
    let enabled_ratio: f64 = row.try_get("enabled_ratio")?;
    Ok(Bank {
        id: BankId(uuid(row, "id")?),
        tenant: TenantId(uuid(row, "tenant_id")?),
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        enabled: enabled_ratio > 0.0,
        enabled_ratio,
        purpose: named(row, "purpose")?,
        max_distance: number(row, "max_distance")?,
        minimum_quality: number(row, "minimum_quality")?,
        radii: json(row, "radii")?,
        admission: json(row, "admission")?,
        signals: row.try_get("signals")?,
        items: row.try_get::<i64, _>("signals")? - row.try_get::<i64, _>("further_signals")?,
        created_at: time(row, "created_at")?,
        number: row.try_get("number")?,
        signals_sum: row.try_get("signals_sum")?,
    })
}

/// The tenant's bank of this name.
async fn find(by: impl sqlx::SqliteExecutor<'_>, tenant: TenantId, name: &str) -> Result<Option<Bank>, StoreError> {
    let row = sqlx::query(BANKS).bind(Some(blob(tenant.0))).bind(Some(name.to_owned())).fetch_optional(by).await?;
    row.as_ref().map(bank).transpose()
}

impl Store {
    /// The tenant's banks, by name.
    pub async fn banks(&self, tenant: TenantId) -> Result<Vec<Bank>, StoreError> {
        sqlx::query(BANKS).bind(Some(blob(tenant.0))).bind(None::<String>).fetch_all(self.readers()).await?.iter().map(bank).collect()
    }

    /// The tenant's bank of this name.
    pub async fn bank(&self, tenant: TenantId, name: &str) -> Result<Option<Bank>, StoreError> {
        find(self.readers(), tenant, name).await
    }

    /// Every tenant's banks.
    pub async fn all_banks(&self) -> Result<Vec<Bank>, StoreError> {
        sqlx::query(BANKS).bind(None::<Vec<u8>>).bind(None::<String>).fetch_all(self.readers()).await?.iter().map(bank).collect()
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
        rows.iter().map(changes::change).collect()
    }

    /// Signals of exactly this version of the bank whose number is above `after` (0 for all), by number, at most `limit`: number, content id, signal.
    pub async fn load_signals(&self, bank: &Bank, after: i64, limit: u32) -> Result<Vec<(i64, i64, Signal)>, StoreError> {
        let rows = sqlx::query(
            "SELECT number, coalesce(content_id, number), signal_type, signal FROM bank_signals WHERE bank = ? AND number > ? AND number <= ?
             ORDER BY number LIMIT +?",
        )
        .bind(bank.number)
        .bind(after)
        .bind(bank.signals)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, signal(row.try_get(2)?, row.try_get(3)?)?))).collect()
    }
}

/// A stored signal.
pub(super) fn signal(kind: &str, bytes: &[u8]) -> Result<Signal, StoreError> {
    let corrupt = |detail: String| StoreError::Corrupt { what: "signal", detail };
    let kind: SignalType = kind.parse().map_err(|error| corrupt(format!("{error}")))?;
    Signal::from_parts(kind, bytes).ok_or_else(|| corrupt(format!("{kind} of {} bytes", bytes.len())))
}
