//! Adding items one by one: with several signals, and with what there is to say of them.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    MOST_SHARERS, MOST_SIGNALS,
    holders::{self, Holders},
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
    /// Makes an item also when there is one of exactly these signals, as HMA does; otherwise that one gets the provenance.
    pub even_if_held: bool,
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
            even_if_held: false,
        }
    }
}

/// What became of an item that was to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedItem {
    /// The new item's, or that of the item of exactly these signals.
    pub content_id: i64,
    /// Whether it is new; otherwise it got the provenance as one more.
    pub created: bool,
    /// Others that have some of the signals too, at most [`MOST_SHARERS`](super::MOST_SHARERS).
    pub shares_with: Vec<i64>,
    /// The bank's version afterwards.
    pub bank_version: i64,
}

/// What kept items from being added now.
enum Tried {
    Done(Vec<AddedItem>),
    /// An import died and left signals above the bank's.
    Leftovers,
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
    let Holders { same, sharers: mut shares_with } = Holders::of(tx.sql().await?, bank.number, &signals).await?;
    match same {
        Some(content_id) if !item.even_if_held => {
            if let Some(provenance) = &item.provenance {
                sources::name(tx, bank, content_id, provenance).await?;
            }
            return Ok(AddedItem { content_id, created: false, shares_with, bank_version: bank.version });
        }
        Some(content_id) => {
            shares_with.insert(shares_with.partition_point(|other| *other < content_id), content_id);
            shares_with.truncate(MOST_SHARERS);
        }
        None => {}
    }
    let content_id = bank.signals + 1;
    for (number, signal) in (content_id..).zip(&signals) {
        sqlx::query("INSERT INTO bank_signals (tenant_id, bank, number, content_id, signal_type, signal) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(blob(bank.tenant.0))
            .bind(bank.number)
            .bind(number)
            .bind(Some(content_id).filter(|first| *first != number))
            .bind(signal.kind().as_str())
            .bind(signal.to_bytes())
            .execute(tx.sql().await?)
            .await?;
        holders::enter(tx.sql().await?, bank, number, signal).await?;
        bank.sum(number, content_id, signal);
    }
    bank.signals += signals.len() as i64;
    bank.further_signals += signals.len() as i64 - 1;
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
    Ok(AddedItem { content_id, created: true, shares_with, bank_version: bank.version + 1 })
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
        named_again: added.iter().filter(|item| !item.created).count() as u64,
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
    /// An item keeps all its signals, whichever others have them too: a signal matches as long as one of its items is in force, and names them all. What has exactly
    /// the signals of an item is not added, unless it [asks for that](NewItem::even_if_held); the item gets the provenance as one more. Removed items hold nothing.
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
}
