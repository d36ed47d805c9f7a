//! Curating banks: what people and programs do with them, who may, and within which limits.
//!
//! [`Curation`] is thin where the store's units of work suffice: permission, access lists, limits and words for people are here. A change is in force for
//! the next lookup of this process when the call returns, because the replica in memory is refreshed first.
//!
//! ```
//! # use nightlight::{domain::{curation::BankSettings, signal::Signal}, services::{access::Principal, banks::curation::{Curation, Entry}}, store::{Store, StoreOptions}};
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # let folder = tempfile::tempdir().unwrap();
//! # let store = Store::open(StoreOptions::new(folder.path().join("nightlight.db"))).await?;
//! let (curation, who) = (Curation::new(store, None, Default::default()), Principal::operator());
//! curation.create(&who, "DEMO", BankSettings::default()).await?;
//! let added = curation.add(&who, "DEMO", Entry::new(vec![Signal::Md5([7; 16])])).await?;
//! assert_eq!(curation.item(&who, "DEMO", added.content_id).await?.signals.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{BankError, Banks, admission, hits::Hits};
use crate::{
    domain::{
        bank::{HarmCategory, ItemState, Provenance, Standing},
        curation::{AccessList, BankRight, BankSettings, DisableUntil, FeedbackRules, FloodRules, Metadata},
        ids::KeyId,
        signal::Signal,
        time::Timestamp,
    },
    services::access::{Permission, Principal, Role},
    store::{AddedItem, Bank, BankUpdate, Change, Item, ItemFilter, ItemHits, ItemPatch, NewItem, StandingCount, Store, StoreError},
};

/// Characters of a bank's name, and of a source's or submitter's.
const LONGEST_NAME: usize = 128;
/// Characters of a note; HMA's bound.
pub const LONGEST_NOTE: usize = 255;
/// Items of a page when nobody says.
pub const DEFAULT_PAGE: u32 = 50;
/// Most items of a page: each has its signals and sources.
pub const LONGEST_PAGE: u32 = 500;
/// How long adding waits for an import to finish; those of exchanges are short.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it looks.
const POLL: Duration = Duration::from_millis(50);

/// An item that somebody wants to add.
#[derive(Clone, Debug)]
pub struct Entry {
    pub signals: Vec<Signal>,
    pub note: Option<String>,
    pub metadata: Option<Metadata>,
    pub category: Option<HarmCategory>,
    pub quality: Option<u8>,
    /// Who says so; without one it is the key's name.
    pub source: Option<String>,
    pub submitter: Option<String>,
    pub disable_until: DisableUntil,
    /// Makes an item also when there is one of exactly these signals, as HMA does; otherwise that one is named again.
    pub even_if_held: bool,
}

impl Entry {
    /// Of these signals, of which nothing else is known.
    pub const fn new(signals: Vec<Signal>) -> Self {
        Self {
            signals,
            note: None,
            metadata: None,
            category: None,
            quality: None,
            source: None,
            submitter: None,
            disable_until: DisableUntil::Never,
            even_if_held: false,
        }
    }
}

/// Some items of a bank, by content id.
#[derive(Clone, Debug)]
pub struct Page {
    pub items: Vec<Item>,
    /// The `after` of the next page; `None` on the last.
    pub next: Option<i64>,
}

/// Everything that can be done with banks.
#[derive(Clone)]
pub struct Curation {
    pub(super) store: Store,
    /// The replica to refresh; the command line has none.
    pub(super) banks: Option<Arc<Banks>>,
    pub(super) rules: FeedbackRules,
    /// What matched; looked at by [`keep`](Self::keep).
    pub(super) hits: Arc<Hits>,
    pub(super) flood: FloodRules,
    /// What a new bank is set to where nobody says otherwise.
    defaults: BankSettings,
}

/// Whether somebody may know of a bank with this list: look things up in it, or curate it, which only whoever curates banks at all gets from a list.
pub(super) fn sees(who: &Principal, list: &AccessList) -> bool {
    let curates = || who.role.allows(Permission::Curate) && list.admits(who.key, BankRight::Curate);
    who.role == Role::Admin || list.admits(who.key, BankRight::Match) || curates()
}

pub(super) fn name(what: &str, text: &str) -> Result<(), BankError> {
    if text.is_empty() || text.chars().count() > LONGEST_NAME || text.chars().any(char::is_control) {
        return Err(BankError::Malformed(format!("{what} must have 1 to {LONGEST_NAME} characters and no control characters")));
    }
    Ok(())
}

fn note(text: Option<&str>) -> Result<(), BankError> {
    match text {
        Some(text) if text.chars().count() > LONGEST_NOTE => {
            Err(BankError::Malformed(format!("a note has at most {LONGEST_NOTE} characters")))
        }
        _ => Ok(()),
    }
}

fn metadata(metadata: Option<&Metadata>) -> Result<(), BankError> {
    let length = metadata.and_then(|metadata| serde_json::to_vec(metadata).ok()).map_or(0, |json| json.len());
    if length > Metadata::LONGEST {
        return Err(BankError::Malformed(format!("metadata have at most {} bytes as JSON", Metadata::LONGEST)));
    }
    Ok(())
}

fn quality(quality: Option<u8>) -> Result<(), BankError> {
    if quality.is_some_and(|quality| quality > 100) { Err(BankError::Malformed("a quality lies in 0..=100".to_owned())) } else { Ok(()) }
}

impl Curation {
    /// Over a store; `banks` is refreshed after each change.
    pub fn new(store: Store, banks: Option<Arc<Banks>>, rules: FeedbackRules) -> Self {
        Self { store, banks, rules, hits: Arc::default(), flood: FloodRules::default(), defaults: BankSettings::default() }
    }

    /// With other settings for new banks than PDQ's own recommendations.
    #[must_use]
    pub fn with_defaults(self, defaults: BankSettings) -> Self {
        Self { defaults, ..self }
    }

    /// What a new bank is set to where nobody says otherwise.
    pub const fn defaults(&self) -> &BankSettings {
        &self.defaults
    }

    /// Has [`keep`](Self::keep) write these hits down, and act on floods by these rules.
    #[must_use]
    pub fn watching(self, hits: Arc<Hits>, flood: FloodRules) -> Self {
        Self { hits, flood, ..self }
    }

    /// Whether somebody may look at a bank's items or change them.
    pub(super) async fn curates(&self, who: &Principal, bank: &str) -> Result<(), BankError> {
        who.require(Permission::Curate)?;
        let list = self.store.access_of(who.tenant, bank).await?;
        let admitted = who.role == Role::Admin || list.admits(who.key, BankRight::Curate);
        if admitted { Ok(()) } else { Err(BankError::NotAdmitted(bank.to_owned())) }
    }

    /// The banks that somebody may match against or curate, by name.
    ///
    /// # Errors
    /// [`BankError::Forbidden`] without `match` or `curate`, or the store's.
    pub async fn list(&self, who: &Principal) -> Result<Vec<Bank>, BankError> {
        who.require(Permission::Match)?;
        let (mut banks, lists) = (self.store.banks(who.tenant).await?, self.store.bank_access().await?);
        banks.retain(|bank| lists.get(&bank.id).is_none_or(|list| sees(who, list)));
        Ok(banks)
    }

    /// One bank.
    ///
    /// # Errors
    /// [`BankError::NotFound`], [`BankError::NotAdmitted`], and those of [`list`](Self::list).
    pub async fn bank(&self, who: &Principal, bank: &str) -> Result<Bank, BankError> {
        who.require(Permission::Match)?;
        if !sees(who, &self.store.access_of(who.tenant, bank).await?) {
            return Err(BankError::NotAdmitted(bank.to_owned()));
        }
        self.store.bank(who.tenant, bank).await?.ok_or(BankError::NotFound("bank"))
    }

    /// How many items the bank has of each standing.
    ///
    /// # Errors
    /// As [`bank`](Self::bank).
    pub async fn standings(&self, who: &Principal, bank: &str) -> Result<Vec<StandingCount>, BankError> {
        let bank = self.bank(who, bank).await?;
        Ok(self.store.standings(&bank).await?)
    }

    /// Makes an empty bank.
    ///
    /// # Errors
    /// [`BankError::Forbidden`] without `curate`; [`BankError::Malformed`] for a name or settings that cannot be; [`BankError::Duplicate`].
    pub async fn create(&self, who: &Principal, bank: &str, settings: BankSettings) -> Result<Bank, BankError> {
        who.require(Permission::Curate)?;
        name("a bank's name", bank)?;
        let made = self.store.create_bank(who.tenant, bank, settings, who.by()).await?;
        self.in_force().await;
        Ok(made)
    }

    /// Renames a bank or sets it otherwise.
    ///
    /// # Errors
    /// Those of [`create`](Self::create), [`BankError::NotFound`] and [`BankError::NotAdmitted`].
    pub async fn update(&self, who: &Principal, bank: &str, update: BankUpdate) -> Result<Bank, BankError> {
        self.curates(who, bank).await?;
        if let Some(new) = &update.name {
            name("a bank's name", new)?;
        }
        let updated = self.store.update_bank(who.tenant, bank, update, who.by()).await?;
        self.in_force().await;
        Ok(updated)
    }

    /// Deletes a bank. Its signals are erased in the background of a server.
    ///
    /// # Errors
    /// [`BankError::Forbidden`], [`BankError::NotFound`], [`BankError::NotAdmitted`], or the store's.
    pub async fn delete(&self, who: &Principal, bank: &str) -> Result<(), BankError> {
        self.curates(who, bank).await?;
        self.store.delete_bank(who.tenant, bank, who.by()).await?;
        self.in_force().await;
        Ok(())
    }

    /// Adds an item, or names one again that is there; see [`Store::add_items`]. In a bank with admission tests it is a candidate first, and in force when
    /// this returns if it passes them.
    ///
    /// # Errors
    /// [`BankError::Malformed`] for what exceeds its limit, [`BankError::Busy`] after some seconds of an import, and those of [`delete`](Self::delete).
    pub async fn add(&self, who: &Principal, bank: &str, entry: Entry) -> Result<AddedItem, BankError> {
        let mut added = self.add_all(who, bank, vec![entry]).await?;
        added.pop().ok_or(BankError::NotFound("item of this bank"))
    }

    /// Adds items, all or none, at most a thousand.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub async fn add_all(&self, who: &Principal, bank: &str, entries: Vec<Entry>) -> Result<Vec<AddedItem>, BankError> {
        self.curates(who, bank).await?;
        let rules = self.store.bank(who.tenant, bank).await?.ok_or(BankError::NotFound("bank"))?.admission;
        let standing = if rules.asks_nothing() { Standing::Active } else { Standing::Candidate };
        let now = Timestamp::now();
        let mut items = Vec::with_capacity(entries.len());
        for entry in entries {
            note(entry.note.as_deref())?;
            metadata(entry.metadata.as_ref())?;
            quality(entry.quality)?;
            let source = entry.source.unwrap_or_else(|| who.name.clone());
            name("a source", &source)?;
            if let Some(submitter) = &entry.submitter {
                name("a submitter", submitter)?;
            }
            items.push(NewItem {
                signals: entry.signals,
                standing,
                disable_until: entry.disable_until,
                note: entry.note,
                metadata: entry.metadata,
                category: entry.category,
                quality: entry.quality,
                provenance: Some(Provenance { source, submitter: entry.submitter, at: now }),
                even_if_held: entry.even_if_held,
            });
        }
        let started = Instant::now();
        let added = loop {
            match self.store.add_items(who.tenant, bank, items.clone(), who.by()).await {
                Err(StoreError::ImportInProgress { .. }) if started.elapsed() < PATIENCE => tokio::time::sleep(POLL).await,
                added => break added?,
            }
        };
        if !rules.asks_nothing() {
            // Whoever names a signal is a source of all its items.
            let touched: BTreeSet<i64> = added.iter().flat_map(|item| item.shares_with.iter().copied().chain([item.content_id])).collect();
            admission::examine(self, who.tenant, bank, touched.into_iter().collect()).await?;
        }
        self.in_force().await;
        Ok(added)
    }

    /// One item.
    ///
    /// # Errors
    /// [`BankError::Forbidden`], [`BankError::NotFound`], [`BankError::NotAdmitted`], or the store's.
    pub async fn item(&self, who: &Principal, bank: &str, content_id: i64) -> Result<Item, BankError> {
        self.curates(who, bank).await?;
        self.store.item(who.tenant, bank, content_id).await?.ok_or(BankError::NotFound("item of this bank"))
    }

    /// Of these items of a bank those that lookups do not find now, with their states, in one query.
    ///
    /// # Errors
    /// [`BankError::Forbidden`], or the store's.
    pub async fn out_of_force(&self, who: &Principal, bank: &str, items: &[i64]) -> Result<BTreeMap<i64, ItemState>, BankError> {
        self.curates(who, bank).await?;
        Ok(self.store.out_of_force(who.tenant, bank, items).await?)
    }

    /// The items of these banks and content ids in one query, for answers that tell of matches; whoever found them may see them.
    ///
    /// # Errors
    /// [`BankError::Forbidden`] without `match`, or the store's.
    pub async fn matched(&self, who: &Principal, wanted: &[(String, i64)]) -> Result<Vec<Item>, BankError> {
        who.require(Permission::Match)?;
        Ok(self.store.items(who.tenant, wanted).await?)
    }

    /// A page of a bank's items.
    ///
    /// # Errors
    /// [`BankError::Malformed`] for a limit outside of 1..=[`LONGEST_PAGE`], and those of [`item`](Self::item).
    pub async fn items(&self, who: &Principal, bank: &str, filter: ItemFilter) -> Result<Page, BankError> {
        self.curates(who, bank).await?;
        let limit = filter.limit;
        if !(1..=LONGEST_PAGE).contains(&limit) {
            return Err(BankError::Malformed(format!("limit must lie in 1..={LONGEST_PAGE}")));
        }
        let bank = self.store.bank(who.tenant, bank).await?.ok_or(BankError::NotFound("bank"))?;
        // One more than asked for tells whether there is a next page.
        let mut items = self.store.list_items(&bank, ItemFilter { limit: limit + 1, ..filter }).await?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = items.last().map(|item| item.content_id).filter(|_| more);
        Ok(Page { items, next })
    }

    /// The bank's items that matched most since an hour.
    ///
    /// # Errors
    /// As [`item`](Self::item).
    pub async fn most_hit(&self, who: &Principal, bank: &str, since: Timestamp, limit: u32) -> Result<Vec<ItemHits>, BankError> {
        self.curates(who, bank).await?;
        Ok(self.store.most_hit(who.tenant, bank, since, limit.min(LONGEST_PAGE)).await?)
    }

    /// The items that hold these signals, in their order, each list ascending; see [`Store::find_items`].
    ///
    /// # Errors
    /// As [`item`](Self::item).
    pub async fn find(&self, who: &Principal, bank: &str, signals: &[Signal]) -> Result<Vec<Vec<i64>>, BankError> {
        self.curates(who, bank).await?;
        Ok(self.store.find_items(who.tenant, bank, signals).await?)
    }

    /// Changes an item by somebody's order.
    ///
    /// # Errors
    /// [`BankError::Malformed`] for what exceeds its limit or a standing that the item cannot get, and those of [`item`](Self::item).
    pub async fn change(&self, who: &Principal, bank: &str, content_id: i64, patch: ItemPatch) -> Result<Item, BankError> {
        self.curates(who, bank).await?;
        note(patch.note.as_ref().and_then(Option::as_deref))?;
        metadata(patch.metadata.as_ref().and_then(Option::as_ref))?;
        quality(patch.quality.flatten())?;
        let (item, _) = self.store.change_item(who.tenant, bank, content_id, patch, Change::order(who.by())).await?;
        self.in_force().await;
        Ok(item)
    }

    /// Removes an item for good; its signals can be added again. `false` when it was removed before.
    ///
    /// # Errors
    /// As [`item`](Self::item).
    pub async fn retire(&self, who: &Principal, bank: &str, content_id: i64) -> Result<bool, BankError> {
        if self.item(who, bank, content_id).await?.state == ItemState::Removed {
            return Ok(false);
        }
        self.change(who, bank, content_id, ItemPatch { standing: Some(Standing::Retired), ..ItemPatch::default() }).await?;
        Ok(true)
    }

    /// Which keys may use a bank.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub async fn access(&self, who: &Principal, bank: &str) -> Result<AccessList, BankError> {
        self.curates(who, bank).await?;
        Ok(self.store.access_of(who.tenant, bank).await?)
    }

    /// Puts a key on a bank's list, or takes it off; whether that changed anything. A curator who is on no list that has entries cannot do this any more.
    ///
    /// # Errors
    /// [`BankError::NotFound`] for the bank or key, and those of [`delete`](Self::delete).
    pub async fn set_access(&self, who: &Principal, bank: &str, entry: (KeyId, BankRight), allowed: bool) -> Result<bool, BankError> {
        self.curates(who, bank).await?;
        let changed = self.store.set_bank_access(who.tenant, bank, entry, allowed, who.by()).await?;
        self.in_force().await;
        Ok(changed)
    }
}
