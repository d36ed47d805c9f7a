//! Adding items one by one: with several signals, and with what there is to say of them.

use std::collections::BTreeSet;

use serde_json::json;
use sqlx::Row;

use super::{
    MOST_SIGNALS,
    locked::{Life, Locked},
    sources,
};
use crate::{
    domain::{
        bank::{HarmCategory, ItemState, Provenance, Standing},
        curation::{DisableUntil, Metadata},
        event::EventBody,
        ids::{KeyId, TenantId},
        signal::Signal,
        time::Timestamp,
    },
    store::{Store, banks::BankDefaults, error::StoreError, row::blob, transaction::WriteTx},
};

/// Items in one unit of work, at most: some tens of milliseconds of write lock.
const MOST_ITEMS: usize = 1000;

/// An item to be added.
#[derive(Clone, Debug)]
pub struct NewItem {
    /// 1 to [`MOST_SIGNALS`] of any types.
    pub signals: Vec<Signal>,
    pub standing: Standing,
    pub disable_until: DisableUntil,
    pub note: Option<String>,
    pub metadata: Option<Metadata>,
    pub category: Option<HarmCategory>,
    /// PDQ quality, where the source told it.
    pub quality: Option<u8>,
    pub provenance: Option<Provenance>,
}

impl NewItem {
    /// An active item of these signals, of which nothing else is known.
    pub const fn new(signals: Vec<Signal>) -> Self {
        Self {
            signals,
            standing: Standing::Active,
            disable_until: DisableUntil::Never,
            note: None,
            metadata: None,
            category: None,
            quality: None,
            provenance: None,
        }
    }
}

/// What became of an item that was to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedItem {
    /// The new item's, or that of the item that holds the first of the signals.
    pub content_id: i64,
    /// Whether it is new.
    pub created: bool,
    /// Items that held some of the signals; each got the provenance.
    pub named_again: Vec<i64>,
    /// The bank's version afterwards.
    pub bank_version: i64,
}

/// What kept items from being added now.
enum Tried {
    Done(Vec<AddedItem>),
    /// An import died and left signals above the bank's.
    Leftovers,
}

/// The items that hold signals already, in the order of the signals.
async fn holders(tx: &mut WriteTx, bank: &Locked, signals: &[Signal]) -> Result<Vec<Option<i64>>, StoreError> {
    let mut found = Vec::with_capacity(signals.len());
    for signal in signals {
        found.push(
            sqlx::query_scalar(
                "SELECT coalesce(signals.content_id, signals.number) FROM bank_signal_keys AS keys
                 JOIN bank_signals AS signals ON signals.bank = keys.bank AND signals.number = keys.number
                 WHERE keys.bank = ? AND keys.signal_type = ? AND keys.signal = ?",
            )
            .bind(bank.number)
            .bind(signal.kind().as_str())
            .bind(signal.to_bytes())
            .fetch_optional(tx.sql().await?)
            .await?,
        );
    }
    Ok(found)
}

/// Whether signals lie above the published ones.
async fn has_leftovers(tx: &mut WriteTx, bank: &Locked) -> Result<bool, StoreError> {
    let some = "SELECT EXISTS (SELECT 1 FROM bank_signals WHERE bank = ?1 AND number > ?2) OR EXISTS (SELECT 1 FROM bank_imports WHERE bank = ?1 AND first > ?2)";
    Ok(sqlx::query_scalar(some).bind(bank.number).bind(bank.signals).fetch_one(tx.sql().await?).await?)
}

async fn add(tx: &mut WriteTx, bank: &mut Locked, item: NewItem, now: Timestamp) -> Result<AddedItem, StoreError> {
    let mut signals = item.signals;
    let mut seen = BTreeSet::new();
    signals.retain(|signal| seen.insert(signal.clone()));
    if signals.is_empty() || signals.len() > MOST_SIGNALS {
        return Err(StoreError::Invalid(format!("an item has 1 to {MOST_SIGNALS} signals")));
    }
    let held = holders(tx, bank, &signals).await?;
    let named_again: Vec<i64> = held.iter().flatten().copied().collect::<BTreeSet<i64>>().into_iter().collect();
    if let Some(provenance) = &item.provenance {
        for content_id in &named_again {
            sources::name(tx, bank, *content_id, provenance).await?;
        }
    }
    let new: Vec<&Signal> = signals.iter().zip(&held).filter(|(_, held)| held.is_none()).map(|(signal, _)| signal).collect();
    if new.is_empty() {
        let content_id = held[0].unwrap_or_default(); // there is one signal, and it is held
        return Ok(AddedItem { content_id, created: false, named_again, bank_version: bank.version });
    }
    let content_id = bank.signals + 1;
    for (number, signal) in (content_id..).zip(&new) {
        sqlx::query("INSERT INTO bank_signals (tenant_id, bank, number, content_id, signal_type, signal) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(blob(bank.tenant.0))
            .bind(bank.number)
            .bind(number)
            .bind(Some(content_id).filter(|first| *first != number))
            .bind(signal.kind().as_str())
            .bind(signal.to_bytes())
            .execute(tx.sql().await?)
            .await?;
        sqlx::query("INSERT INTO bank_signal_keys (tenant_id, bank, number, signal_type, signal) VALUES (?, ?, ?, ?, ?)")
            .bind(blob(bank.tenant.0))
            .bind(bank.number)
            .bind(number)
            .bind(signal.kind().as_str())
            .bind(signal.to_bytes())
            .execute(tx.sql().await?)
            .await?;
    }
    bank.signals += new.len() as i64;
    bank.further_signals += new.len() as i64 - 1;
    sqlx::query(
        "INSERT INTO bank_items (tenant_id, bank, content_id, standing, disable_until, note, metadata, category, quality, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(blob(bank.tenant.0))
    .bind(bank.number)
    .bind(content_id)
    .bind(item.standing.as_str())
    .bind(item.disable_until.number())
    .bind(item.note)
    .bind(item.metadata.map(|metadata| json!(metadata).to_string()))
    .bind(item.category.map(HarmCategory::as_str))
    .bind(item.quality.map(i64::from))
    .bind(now.micros())
    .execute(tx.sql().await?)
    .await?;
    let state = Life { standing: item.standing, disable_until: item.disable_until }.state(now);
    if state != ItemState::Enabled {
        bank.feed(tx, &format!("[{content_id}]"), state).await?;
    }
    if let Some(provenance) = &item.provenance {
        sources::name(tx, bank, content_id, provenance).await?;
    }
    Ok(AddedItem { content_id, created: true, named_again, bank_version: bank.version + 1 })
}

async fn add_all(tx: &mut WriteTx, tenant: TenantId, name: &str, items: Vec<NewItem>, by: Option<KeyId>) -> Result<Tried, StoreError> {
    let (mut bank, now) = (Locked::find(tx, tenant, name).await?, Timestamp::now());
    if let Some(until) = bank.import_until.filter(|until| *until > now) {
        return Err(StoreError::ImportInProgress { until });
    }
    if has_leftovers(tx, &bank).await? {
        return Ok(Tried::Leftovers);
    }
    let before = bank.signals;
    let sources: BTreeSet<String> = items.iter().filter_map(|item| item.provenance.as_ref()).map(|from| from.source.clone()).collect();
    let mut added = Vec::with_capacity(items.len());
    for item in items {
        added.push(add(tx, &mut bank, item, now).await?);
    }
    if bank.signals > before {
        bank.publish(tx, now).await?;
    }
    let body = EventBody::BankItemsAdded {
        bank: bank.name.clone(),
        bank_version: bank.version,
        items: added.iter().filter(|item| item.created).count() as u64,
        signals: (bank.signals - before).unsigned_abs(),
        named_again: added.iter().map(|item| item.named_again.len() as u64).sum(),
        first_content_id: added.iter().find(|item| item.created).map(|item| item.content_id),
        source: Some(sources.into_iter().collect::<Vec<_>>().join(", ")).filter(|sources| !sources.is_empty()),
        by,
    };
    bank.record(tx, now, body).await?;
    for item in &mut added {
        item.bank_version = bank.version;
    }
    Ok(Tried::Done(added))
}

impl Store {
    /// Adds items to the tenant's bank of that name, all or none, in one version and with one ledger event; what became of each, in their order.
    ///
    /// A signal stands once in a bank. Signals that an item holds already stay with it, and the item gets the provenance as one more; an item all of whose
    /// signals are held is not added. Removed items hold nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bank; [`StoreError::Invalid`] for an item without signals or with more than [`MOST_SIGNALS`], and for more than a
    /// thousand items; [`StoreError::ImportInProgress`] while an import holds the bank.
    pub async fn add_items(
        &self,
        tenant: TenantId,
        bank: &str,
        items: Vec<NewItem>,
        by: Option<KeyId>,
    ) -> Result<Vec<AddedItem>, StoreError> {
        if items.len() > MOST_ITEMS {
            return Err(StoreError::Invalid(format!("at most {MOST_ITEMS} items at once")));
        }
        loop {
            let (name, items) = (bank.to_owned(), items.clone());
            let tried = self.write(move |tx| Box::pin(async move { add_all(tx, tenant, &name, items, by).await })).await?;
            match tried {
                Tried::Done(added) => return Ok(added),
                // The bank exists, so the defaults are nobody's.
                Tried::Leftovers => {
                    self.begin_import(tenant, bank, BankDefaults { max_distance: 0, minimum_quality: 0 }).await?.abort().await?;
                }
            }
        }
    }

    /// The items that hold these signals, in their order; removed items hold none.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bank.
    pub async fn find_items(&self, tenant: TenantId, bank: &str, signals: &[Signal]) -> Result<Vec<Option<i64>>, StoreError> {
        let bank = self.bank(tenant, bank).await?.ok_or(StoreError::NotFound("bank"))?;
        let mut found = Vec::with_capacity(signals.len());
        for signal in signals {
            let row = sqlx::query(
                "SELECT coalesce(signals.content_id, signals.number) FROM bank_signal_keys AS keys
                 JOIN bank_signals AS signals ON signals.bank = keys.bank AND signals.number = keys.number
                 WHERE keys.bank = ? AND keys.signal_type = ? AND keys.signal = ? AND keys.number <= ?",
            )
            .bind(bank.number)
            .bind(signal.kind().as_str())
            .bind(signal.to_bytes())
            .bind(bank.signals)
            .fetch_optional(self.readers())
            .await?;
            found.push(row.map(|row| row.try_get(0)).transpose()?);
        }
        Ok(found)
    }
}
