//! The banks in memory: what matching searches, kept up with the store.
//!
//! [`Banks`] holds one immutable [`Snapshot`] per tenant and swaps it when the store's tail of bank changes has grown, whoever wrote the
//! change: this server, another process (`nightlight bank import`), another node. A lookup takes the current snapshot and never waits.
//!
//! What people and programs do with banks is [`curation`]; what new items must show is [`admission`]; and what happens to an item that suddenly matches
//! everywhere is [`flood`] protection's.

pub mod admission;
pub mod curation;
mod error;
pub mod flood;
pub mod hits;
mod keeper;
mod words;

pub use self::error::BankError;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::access::{Principal, Role};
use crate::{
    domain::{
        curation::{AccessList, BankRight},
        hash::Quality,
        ids::{BankId, TenantId},
        time::Timestamp,
    },
    engines::matching::{Bank, Snapshot},
    store::{self, ItemCursor, Store, StoreError},
};

/// Signals read from the store at a time: a few megabytes.
const PAGE: u32 = 50_000;

/// The bank at exactly its stored version; what `known` (an earlier one) holds already is shared, not read again. Indexing runs on the threads for such
/// work.
///
/// # Errors
/// When the store cannot be read.
pub async fn load_bank(store: &Store, stored: &store::Bank, dihedral: bool, known: Option<&Bank>) -> Result<Bank, StoreError> {
    let minimum_quality = Quality::new(stored.minimum_quality);
    let mut bank = match known {
        Some(known) => known.clone(),
        None => Bank::new(stored.name.clone(), stored.max_distance, minimum_quality, dihedral),
    };
    let mut states = ItemCursor::after(bank.version);
    bank.number = stored.number;
    (bank.version, bank.enabled) = (stored.version, stored.enabled);
    (bank.max_distance, bank.minimum_quality) = (stored.max_distance, minimum_quality);
    (bank.enabled_ratio, bank.purpose) = (stored.enabled_ratio, stored.purpose);
    bank.radii.clone_from(&stored.radii);
    bank.name.clone_from(&stored.name);
    bank.disputed = Arc::new(store.disputed_items(stored).await?.into_iter().collect());
    // Signals are numbered 1..=signals and never change, so what is held is what was read.
    let mut after = bank.last_signal;
    while after < stored.signals {
        let page = store.load_signals(stored, after, PAGE).await?;
        let Some(&(last, ..)) = page.last() else {
            return Err(StoreError::Corrupt { what: "bank", detail: format!("signals end at {after} of {}", stored.signals) });
        };
        after = last;
        bank = changed(bank, move |bank| {
            bank.extend(page.into_iter().map(|(_, content_id, signal)| (content_id, signal)));
            bank.last_signal = last;
        })
        .await?;
    }
    loop {
        let page = store.item_changes(stored, states, PAGE).await?;
        let Some(last) = page.last() else { break };
        states = last.at;
        bank = changed(bank, move |bank| {
            for change in &page {
                bank.set(change.at.content_id, change.state);
            }
        })
        .await?;
    }
    changed(bank, Bank::settle).await
}

/// Changes a bank on a thread for such work.
async fn changed(mut bank: Bank, change: impl FnOnce(&mut Bank) + Send + 'static) -> Result<Bank, StoreError> {
    let work = move || {
        change(&mut bank);
        bank
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)
}

/// All tenants' banks.
pub struct Banks {
    /// Whether all eight variants of a picture are looked up.
    dihedral: bool,
    current: ArcSwap<Current>,
    /// What the last refresh saw; one refresh at a time.
    seen: tokio::sync::Mutex<Seen>,
    /// When the newest change that is in force here was made.
    changed_at: std::sync::Mutex<Option<Timestamp>>,
    /// Why the last refresh failed, for `/readyz`.
    failure: std::sync::Mutex<Option<String>>,
}

/// What lookups are given.
#[derive(Default)]
struct Current {
    snapshots: HashMap<TenantId, Arc<Snapshot>>,
    /// Of the banks that have one, by the bank's number.
    lists: HashMap<i64, AccessList>,
}

#[derive(Default)]
struct Seen {
    change: Option<i64>,
    banks: HashMap<BankId, Arc<Bank>>,
}

impl Banks {
    /// Loads every bank of the store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn load(store: &Store, dihedral: bool) -> Result<Arc<Self>, StoreError> {
        let banks = Self {
            dihedral,
            current: ArcSwap::default(),
            seen: tokio::sync::Mutex::default(),
            changed_at: std::sync::Mutex::default(),
            failure: std::sync::Mutex::default(),
        };
        banks.refresh(store).await?;
        Ok(Arc::new(banks))
    }

    /// The banks of `tenant` as they are now.
    pub fn snapshot(&self, tenant: TenantId) -> Arc<Snapshot> {
        self.current.load().snapshots.get(&tenant).cloned().unwrap_or_default()
    }

    /// The banks that somebody may look attachments up in, as they are now.
    pub fn snapshot_for(&self, who: &Principal) -> Arc<Snapshot> {
        let current = self.current.load();
        let all = current.snapshots.get(&who.tenant).cloned().unwrap_or_default();
        let admits = |bank: &Arc<Bank>| current.lists.get(&bank.number).is_none_or(|list| list.admits(who.key, BankRight::Match));
        if who.role == Role::Admin || current.lists.is_empty() || all.banks().iter().all(admits) {
            return all;
        }
        Arc::new(Snapshot::new(all.banks().iter().filter(|bank| admits(bank)).cloned().collect()))
    }

    /// When the newest change that is in force here was made; `None` before the first.
    pub fn changed_at(&self) -> Option<Timestamp> {
        *self.changed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the last refresh failed; `None` when it did not.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over what changed in the store since the last time. Cheap when nothing did.
    ///
    /// # Errors
    /// When the store cannot be read; the banks stay as they were.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().await;
        let change = store.last_bank_change().await?;
        if seen.change == Some(change) {
            return Ok(());
        }
        let (mut loaded, mut lists, access) = (HashMap::new(), HashMap::new(), store.bank_access().await?);
        let mut tenants: HashMap<TenantId, Vec<Arc<Bank>>> = HashMap::new();
        for stored in store.all_banks().await? {
            let bank = match seen.banks.get(&stored.id) {
                Some(known) if known.version == stored.version && known.enabled == stored.enabled => known.clone(),
                known => Arc::new(load_bank(store, &stored, self.dihedral, known.map(Arc::as_ref)).await?),
            };
            tenants.entry(stored.tenant).or_default().push(bank.clone());
            if let Some(list) = access.get(&stored.id) {
                lists.insert(stored.number, list.clone());
            }
            loaded.insert(stored.id, bank);
        }
        let signals: usize = loaded.values().map(|bank| bank.len()).sum();
        metrics::gauge!(crate::telemetry::metric::BANK_SIGNALS).set(signals as f64);
        let newest = store.bank_changes_since(change - 1).await?.last().map(|change| change.at);
        *self.changed_at.lock().unwrap_or_else(PoisonError::into_inner) = newest;
        let snapshots = tenants.into_iter().map(|(tenant, banks)| (tenant, Arc::new(Snapshot::new(banks)))).collect();
        self.current.store(Arc::new(Current { snapshots, lists }));
        *seen = Seen { change: Some(change), banks: loaded };
        Ok(())
    }

    /// Refreshes every `every` until `stop`.
    pub async fn watch(self: Arc<Self>, store: Store, every: Duration, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            let failure = self.refresh(&store).await.err().map(|error| error.to_string());
            let mut last = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            if failure.is_some() && *last != failure {
                tracing::error!(error = failure, "the banks could not be refreshed; the last known ones stay in force");
            }
            *last = failure;
        }
    }
}
