//! The banks in memory: what matching searches, kept up with the store.
//!
//! [`Banks`] holds one immutable [`Snapshot`] per tenant and swaps it when the store's tail of bank changes has grown, whoever wrote the
//! change: this server, another process (`nightlight bank import`), another node. A lookup takes the current snapshot and never waits.
//!
//! What people and programs do with banks is [`curation`]; what new items must show is [`admission`]; and what happens to an item that suddenly matches
//! everywhere is [`flood`] protection's. What disks do to stored signals is noticed by [`damage`].
//!
//! # How soon
//! A change is in force when [`refresh`](Banks::refresh) returns: new signals are appended to a bank's tail, which is scanned, and states are bits. That costs milliseconds whatever the
//! bank's size. What takes longer happens beside it, in [`watch`](Banks::watch): parts are merged, a merge is made of a snapshot and taken over in a moment, and an import of
//! more than a hundred thousand signals is read and indexed before it is shown at once; until then the bank's older signals keep their present states and settings.
//!
//! # At start
//! Indices are read from files beside the database, and then follow it like a running server's: see `folder.rs`.
//!
//! # What lookups notice
//! Nothing. Parts that a merge replaced are kept for another second and given back by the thread that tidies up, so that not even giving back memory falls to a lookup.

pub mod admission;
pub mod curation;
pub mod damage;
mod error;
pub mod flood;
mod folder;
pub mod hits;
mod keeper;
mod load;
mod shares;
mod tidy;
mod words;

pub use self::{error::BankError, load::load_bank};

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use self::{
    damage::Damages,
    folder::IndexFolder,
    load::{empty, follow, follow_but_signals, is_long},
};
use super::{
    access::{Permission, Principal, Role},
    health::Rounds,
};
use crate::{
    domain::{
        curation::{AccessList, BankRight},
        event::DamagedPlace,
        ids::{BankId, TenantId},
        time::Timestamp,
    },
    engines::matching::{Bank, BankMask, Snapshot},
    store::{self, SignalShares, Store, StoreError},
};

/// All tenants' banks.
pub struct Banks {
    /// Whether all eight variants of a picture are looked up.
    dihedral: bool,
    current: ArcSwap<Current>,
    /// What the last refresh saw; one refresh at a time.
    seen: tokio::sync::Mutex<Seen>,
    /// When the newest change that is in force here was made.
    changed_at: std::sync::Mutex<Option<Timestamp>>,
    /// How refreshing goes, for `/readyz`.
    rounds: Rounds,
    damages: Damages,
    /// How many banks are being read beside.
    loads: tokio::sync::watch::Sender<usize>,
    tidier: tidy::Tidier,
    /// Where indices are kept on disk, if they are.
    folder: Option<Arc<IndexFolder>>,
}

/// A tenant's banks as somebody sees them: see [`Banks::view_for`].
#[derive(Debug, Default)]
pub struct View {
    pub banks: Arc<Snapshot>,
    /// Names of the banks that they may not see.
    pub hidden: HashSet<String>,
}

/// Whether a negative bank may take back what another bank holds: only where everybody who may fill it has all rights to the other, or a
/// curator could silence a bank that refuses them. A list that is not there refuses nobody; administrators are refused nowhere.
fn speaks_for(negative: Option<&AccessList>, known: Option<&AccessList>) -> bool {
    let Some(known) = known else { return true };
    let mut curators = negative.into_iter().flat_map(|list| &list.entries).filter(|(_, right)| *right == BankRight::Curate).peekable();
    // Without curators of its own every curator may fill it.
    curators.peek().is_some() && curators.all(|(key, _)| known.admits(*key, BankRight::Match) && known.admits(*key, BankRight::Curate))
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
    banks: HashMap<BankId, Held>,
    lists: HashMap<i64, AccessList>,
    /// In which share of lookups signal types take part.
    shares: HashMap<TenantId, SignalShares>,
    /// Banks of which much is new, while it is read.
    loading: HashSet<BankId>,
}

#[derive(Clone)]
struct Held {
    tenant: TenantId,
    bank: Arc<Bank>,
}

/// Where many new signals are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Long {
    /// Before it returns: at start there is nobody who waits.
    Here,
    Beside,
}

impl Banks {
    /// Loads every bank of the store, without files.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn load(store: &Store, dihedral: bool) -> Result<Arc<Self>, StoreError> {
        Self::open(store, dihedral, None).await
    }

    /// Loads every bank of the store, from the files in `indices` as far as they are of use. [`watch`](Self::watch) writes them. A folder that cannot be used is told and done without.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(store: &Store, dihedral: bool, indices: Option<PathBuf>) -> Result<Arc<Self>, StoreError> {
        let folder = indices.map(IndexFolder::open).transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "the folder of indices cannot be used; the next start builds them anew");
            None
        });
        let banks = Arc::new(Self {
            dihedral,
            current: ArcSwap::default(),
            seen: tokio::sync::Mutex::default(),
            changed_at: std::sync::Mutex::default(),
            rounds: Rounds::default(),
            damages: Damages::default(),
            loads: tokio::sync::watch::Sender::new(0),
            tidier: tidy::Tidier::new(),
            folder: folder.map(Arc::new),
        });
        banks.follow(store, Long::Here).await?;
        Ok(banks)
    }

    /// The banks of `tenant` as they are now.
    pub fn snapshot(&self, tenant: TenantId) -> Arc<Snapshot> {
        self.current.load().snapshots.get(&tenant).cloned().unwrap_or_default()
    }

    /// The banks that somebody may look attachments up in, as they are now.
    pub fn snapshot_for(&self, who: &Principal) -> Arc<Snapshot> {
        let View { banks, hidden } = self.view_for(who);
        if hidden.is_empty() { banks } else { Arc::new(banks.narrowed(|bank| !hidden.contains(&bank.name))) }
    }

    /// All banks of somebody's tenant, and which of them they may not see: what those hold of an attachment counts, and they are not told
    /// of it. What such a negative bank takes back of a bank that they may see would vanish without a word, so it takes back nothing of it.
    pub fn view_for(&self, who: &Principal) -> View {
        let current = self.current.load();
        let banks = current.snapshots.get(&who.tenant).cloned().unwrap_or_default();
        if who.role == Role::Admin || current.lists.is_empty() {
            return View { banks, hidden: HashSet::new() };
        }
        let hidden = |bank: &Bank| current.lists.get(&bank.number).is_some_and(|list| !list.admits(who.key, BankRight::Match));
        let names: HashSet<String> = banks.banks().iter().filter(|bank| hidden(bank)).map(|bank| bank.name.clone()).collect();
        let unsaid = banks.pairs(|negative, known| names.contains(&negative.name) && !names.contains(&known.name));
        let banks = if unsaid.is_empty() { banks } else { Arc::new(banks.as_ref().clone().refusing(unsaid)) };
        View { banks, hidden: names }
    }

    /// Which of these banks somebody may not search wider than their own radius: those that they may not read.
    pub fn bounded(&self, who: &Principal, banks: &Snapshot) -> BankMask {
        let readable = self.readable(who, banks);
        (0..banks.banks().len()).filter(|at| !readable.contains(*at)).collect()
    }

    /// Which of these banks somebody may read: who curates a bank can list its hashes, and learns nothing from how far away they are.
    pub fn readable(&self, who: &Principal, banks: &Snapshot) -> BankMask {
        let current = self.current.load();
        let reads = |bank: &Bank| {
            let admitted = || current.lists.get(&bank.number).is_none_or(|list| list.admits(who.key, BankRight::Curate));
            who.role == Role::Admin || (who.role.allows(Permission::Curate) && admitted())
        };
        banks.banks().iter().enumerate().filter(|(_, bank)| reads(bank)).map(|(at, _)| at).collect()
    }

    /// When the newest change that is in force here was made; `None` before the first.
    pub fn changed_at(&self) -> Option<Timestamp> {
        *self.changed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when they cannot be refreshed; `None` when they can.
    pub fn behind_since(&self) -> Option<Timestamp> {
        self.rounds.failing_since()
    }

    /// Takes over what changed in the store since the last time. Cheap when nothing did, and some milliseconds for what people change. Imports of more than a hundred thousand signals are
    /// read beside: see [`loaded`](Self::loaded).
    ///
    /// # Errors
    /// When the store cannot be read; the banks stay as they were.
    pub async fn refresh(self: &Arc<Self>, store: &Store) -> Result<(), StoreError> {
        self.follow(store, Long::Beside).await
    }

    /// Waits until nothing is read beside.
    pub async fn loaded(&self) {
        // It ends only with the banks themselves.
        let _ = self.loads.subscribe().wait_for(|loads| *loads == 0).await;
    }

    async fn follow(self: &Arc<Self>, store: &Store, long: Long) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().await;
        let (change, shares) = (store.last_bank_change().await?, store.signal_shares().await?);
        if seen.change == Some(change) && seen.shares == shares {
            return Ok(());
        }
        let (mut banks, mut lists, mut beside, access) = (HashMap::new(), HashMap::new(), Vec::new(), store.bank_access().await?);
        for stored in store.all_banks().await? {
            if let Some(list) = access.get(&stored.id) {
                lists.insert(stored.number, list.clone());
            }
            let known = seen.banks.get(&stored.id).map(|held| &held.bank);
            let loading = seen.loading.contains(&stored.id);
            let read = if known.is_none() && long == Long::Here { self.read_file(store, &stored).await? } else { None };
            let from = read.as_ref().or(known.map(Arc::as_ref));
            let bank = match known {
                Some(known) if known.version == stored.version && known.enabled == stored.enabled => known.clone(),
                _ if loading || is_long(&stored, from) && long == Long::Beside => {
                    let now = match known {
                        Some(known) => Some(Arc::new(follow_but_signals(store, &stored, known).await?)),
                        None => None,
                    };
                    if !loading {
                        beside.push((stored.clone(), now.clone()));
                    }
                    let Some(now) = now else { continue };
                    now
                }
                _ if is_long(&stored, from) => Arc::new(load_bank(store, &stored, self.dihedral, from).await?),
                _ => Arc::new(follow(store, &stored, self.dihedral, from).await?),
            };
            banks.insert(stored.id, Held { tenant: stored.tenant, bank });
        }
        let newest = store.bank_changes_since(change - 1).await?.last().map(|change| change.at);
        *self.changed_at.lock().unwrap_or_else(PoisonError::into_inner) = newest;
        (seen.change, seen.banks, seen.lists, seen.shares) = (Some(change), banks, lists, shares);
        for (stored, known) in beside {
            seen.loading.insert(stored.id);
            self.loads.send_modify(|loads| *loads += 1);
            tokio::spawn(self.clone().read_beside(store.clone(), stored, known));
        }
        self.publish(&seen);
        Ok(())
    }

    /// What the files hold of a bank, at the version that they were written of.
    async fn read_file(&self, store: &Store, stored: &store::Bank) -> Result<Option<Bank>, StoreError> {
        let Some(folder) = self.folder.clone() else { return Ok(None) };
        let (id, empty) = (stored.id, empty(stored, self.dihedral));
        let read = tokio::task::spawn_blocking(move || folder.read(id, empty)).await.map_err(|_| StoreError::Closed)?;
        let useless = |error: &dyn std::fmt::Display| {
            tracing::warn!(bank = %id, %error, "a bank's index on disk is of no use; it is built anew");
        };
        let (mark, bank) = match read {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(None),
            Err(error) => {
                useless(&error);
                return Ok(None);
            }
        };
        let change = store.bank_change(mark.change).await?;
        let same = change.is_some_and(|change| {
            (change.bank, change.version, change.signals, change.at.micros()) == (id, bank.version, bank.last_signal, mark.at)
        });
        if !same || bank.number != stored.number || bank.version > stored.version || bank.last_signal > stored.signals {
            useless(&"it is not of this database");
            return Ok(None);
        }
        if let Some(folder) = &self.folder {
            folder.holds(id, &bank);
        }
        Ok(Some(bank))
    }

    /// Gives lookups what is seen.
    fn publish(&self, seen: &Seen) {
        let signals: usize = seen.banks.values().map(|held| held.bank.len()).sum();
        metrics::gauge!(crate::telemetry::metric::BANK_SIGNALS).set(signals as f64);
        let mut tenants: HashMap<TenantId, Vec<Arc<Bank>>> = HashMap::new();
        for held in seen.banks.values() {
            let Bank { number, name, version, damaged, .. } = &*held.bank;
            self.damages.note(held.tenant, (*number, name, *version), DamagedPlace::Searched, *damaged);
            tenants.entry(held.tenant).or_default().push(held.bank.clone());
        }
        // Shares are told of a tenant without banks too.
        for tenant in seen.shares.keys() {
            tenants.entry(*tenant).or_default();
        }
        let snapshot = |tenant: TenantId, mut banks: Vec<Arc<Bank>>| {
            banks.sort_by(|a, b| a.name.cmp(&b.name));
            let shares = seen.shares.get(&tenant).cloned().unwrap_or_default();
            let snapshot = Snapshot::new(banks).with_shares(Arc::new(shares));
            let refusals = snapshot.pairs(|negative, known| !speaks_for(seen.lists.get(&negative.number), seen.lists.get(&known.number)));
            Arc::new(snapshot.refusing(refusals))
        };
        let snapshots = tenants.into_iter().map(|(tenant, banks)| (tenant, snapshot(tenant, banks))).collect();
        self.current.store(Arc::new(Current { snapshots, lists: seen.lists.clone() }));
        self.tidier.wake();
    }

    /// Reads what is new in a bank and shows it at once.
    async fn read_beside(self: Arc<Self>, store: Store, stored: store::Bank, known: Option<Arc<Bank>>) {
        let id = stored.id;
        let read = self.read(&store, stored, known).await;
        let mut seen = self.seen.lock().await;
        seen.loading.remove(&id);
        if let Err(error) = read {
            // The next round begins anew.
            seen.change = None;
            self.failed(Some(error.to_string()));
        }
        drop(seen);
        self.loads.send_modify(|loads| *loads -= 1);
    }

    async fn read(&self, store: &Store, mut stored: store::Bank, known: Option<Arc<Bank>>) -> Result<(), StoreError> {
        let mut bank = load_bank(store, &stored, self.dihedral, known.as_deref()).await?;
        loop {
            // What changed meanwhile.
            let mut seen = self.seen.lock().await;
            let Some(now) = store.bank(stored.tenant, &stored.name).await?.filter(|now| now.id == stored.id) else {
                // Renamed or deleted: in the first case somebody looks again.
                seen.change = None;
                return Ok(());
            };
            if is_long(&now, Some(&bank)) {
                drop(seen);
                stored = now;
                bank = load_bank(store, &stored, self.dihedral, Some(&bank)).await?;
                continue;
            }
            let bank = Arc::new(follow(store, &now, self.dihedral, Some(&bank)).await?);
            seen.banks.insert(now.id, Held { tenant: now.tenant, bank });
            self.publish(&seen);
            return Ok(());
        }
    }

    /// Keeps why refreshing fails, and tells it once.
    fn failed(&self, failure: Option<String>) {
        if self.rounds.ended(failure.clone()) {
            tracing::error!(error = failure, "the banks could not be refreshed; the last known ones stay in force");
        }
    }

    /// Refreshes every `every`, and tidies up, until `stop`.
    pub async fn watch(self: Arc<Self>, store: Store, every: Duration, stop: CancellationToken) {
        let refreshing = async {
            while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
                let failure = self.refresh(&store).await.err().map(|error| error.to_string());
                self.failed(failure);
            }
        };
        tokio::join!(refreshing, self.keep_tidy(&store, &stop));
    }
}
