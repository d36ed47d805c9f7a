//! How many accounts matched an item: counted in memory, and written down by the [keeper](super::curation::Curation::keep) twice a second.
//!
//! A hit is an account, or a key that names no account, whose attachment matched the item for the first time in a clock hour: who posts one
//! picture a thousand times is one hit, so that no single sender can make an item look wrong. Hits are those of attachments alone. A lookup
//! of a signal is none, because whoever asks can make up as many as they like; what a negative bank holds is none, and neither is what it
//! took back.
//!
//! An exact digest matches nothing but the very file, so it says nothing against an item: hits that came by one are counted for people, and
//! [floods](super::flood) look at the others.
//!
//! Counting costs an answer nothing that could be noticed, and none waits for it. What a crash takes are the hits of half a second, and who
//! was counted in this hour: they may count again.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::{evidence::Match, ids::TenantId, time::Timestamp};

/// Matches of one attachment that count, nearest first: one that lies near everything must not fill the table.
const NEAREST: usize = 64;
/// Items between two rounds of the keeper. Those that come on top of them are not counted in that half second.
const MAX_ITEMS: usize = 1 << 16;
/// Pairs of an item and an account that one hour remembers: some 20 MB. Further ones are not counted until the next hour, so that an item
/// rather stays in force.
const MAX_PAIRS: usize = 1 << 20;
/// References that are kept of the attachments that matched an item last, for whoever has to look at it.
const NEWEST: usize = 5;

/// One attachment, as far as counting asks.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    pub tenant: TenantId,
    /// The account's pseudonym, or the name of the key that named none.
    pub by: &'a str,
    /// What the provider calls it.
    pub item_id: Option<&'a str>,
    pub at: Timestamp,
}

/// Hits of one item that are not written down yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub hits: u64,
    /// Those of them that matched by something else than an exact digest.
    pub near: u64,
    /// The provider's references of what matched last, newest first.
    pub newest: VecDeque<String>,
}

impl Counted {
    fn note(&mut self, near: bool, item_id: Option<&str>) {
        self.hits += 1;
        self.near += u64::from(near);
        if let Some(item_id) = item_id {
            self.newest.push_front(item_id.to_owned());
            self.newest.truncate(NEWEST);
        }
    }
}

/// What matched in some time: bank -> content id -> hits.
pub type ByBank = HashMap<String, HashMap<i64, Counted>>;

#[derive(Debug, Default)]
struct Table {
    tenants: HashMap<TenantId, ByBank>,
    items: usize,
    /// Who was counted in the hour that began then, as hashes that mean nothing outside this process.
    hour: Option<Timestamp>,
    pairs: HashSet<u64>,
}

impl Table {
    /// Whether this pair is new in its hour, and remembers it.
    fn is_new(&mut self, pair: u64, at: Timestamp) -> bool {
        if self.hour != Some(at.hour()) {
            (self.hour, self.pairs) = (Some(at.hour()), HashSet::new());
        }
        self.pairs.len() < MAX_PAIRS && self.pairs.insert(pair)
    }

    fn note(&mut self, sent: Sent<'_>, hit: &Match, near: bool) {
        let banks = self.tenants.entry(sent.tenant).or_default();
        if !banks.contains_key(&hit.bank) {
            banks.insert(hit.bank.clone(), HashMap::new());
        }
        let Some(items) = banks.get_mut(&hit.bank) else { return };
        match items.get_mut(&hit.content_id) {
            Some(counted) => counted.note(near, sent.item_id),
            None if self.items < MAX_ITEMS => {
                items.entry(hit.content_id).or_default().note(near, sent.item_id);
                self.items += 1;
            }
            None => {}
        }
    }
}

/// The counters of one process.
#[derive(Debug, Default)]
pub struct Hits {
    table: Mutex<Table>,
    hasher: RandomState,
}

impl Hits {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the matches of one attachment. Of an item that matched by several technologies an exact digest counts before the others.
    pub fn count(&self, sent: Sent<'_>, matches: &[Match]) {
        if matches.is_empty() {
            return;
        }
        let mut guard = self.lock();
        // Exact ones stand first.
        for hit in matches.iter().take(NEAREST) {
            let pair = self.hasher.hash_one((sent.tenant, sent.by, &hit.bank, hit.content_id));
            if guard.is_new(pair, sent.at) {
                guard.note(sent, hit, !hit.technology.is_exact());
            }
        }
    }

    /// Takes what was counted since the last time.
    pub fn take(&self) -> HashMap<TenantId, ByBank> {
        let mut table = self.lock();
        table.items = 0;
        std::mem::take(&mut table.tenants)
    }

    /// Gives back what could not be written down.
    pub fn put_back(&self, taken: HashMap<TenantId, ByBank>) {
        let mut guard = self.lock();
        let table = &mut *guard;
        for (tenant, banks) in taken {
            for (bank, items) in banks {
                let known = table.tenants.entry(tenant).or_default().entry(bank).or_default();
                for (content_id, counted) in items {
                    if !known.contains_key(&content_id) {
                        if table.items >= MAX_ITEMS {
                            continue;
                        }
                        table.items += 1;
                    }
                    let sum = known.entry(content_id).or_default();
                    sum.hits += counted.hits;
                    sum.near += counted.near;
                    sum.newest.extend(counted.newest); // older than what is there
                    sum.newest.truncate(NEWEST);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::signal::SignalType;

    fn hit(bank: &str, content_id: i64) -> Match {
        Match { bank: bank.to_owned(), content_id, ..crate::testing::matches::hit() }
    }

    fn sent<'a>(by: &'a str, item_id: Option<&'a str>) -> Sent<'a> {
        Sent { tenant: TenantId::DEFAULT, by, item_id, at: Timestamp::from_micros(5) }
    }

    #[test]
    fn hits_are_accounts_add_up_and_are_taken_once() {
        let (hits, tenant) = (Hits::default(), TenantId::DEFAULT);
        for number in 0..9 {
            let account = number.to_string();
            for _ in 0..100 {
                hits.count(sent(&account, Some(&account)), &[hit("A", 1), hit("B", 1)]);
            }
        }
        hits.count(sent("0", None), &[hit("A", 2)]);
        let taken = hits.take();
        let of = |bank: &str, id: i64| &taken[&tenant][bank][&id];
        assert_eq!((of("A", 1).hits, of("B", 1).hits, of("A", 2).hits), (9, 9, 1));
        assert_eq!(of("A", 1).newest, ["8", "7", "6", "5", "4"]);
        hits.count(sent("8", Some("again")), &[hit("A", 1)]);
        assert!(hits.take().is_empty(), "in this hour it was counted");
        hits.count(Sent { at: Timestamp::from_micros(3_600_000_000), ..sent("8", Some("new")) }, &[hit("A", 1)]);
        hits.put_back(taken);
        let sum = &hits.take()[&tenant]["A"][&1];
        assert_eq!((sum.hits, sum.near), (10, 10));
        assert_eq!(sum.newest.iter().map(String::as_str).collect::<Vec<_>>(), ["new", "8", "7", "6", "5"]);
    }

    #[test]
    fn what_an_exact_digest_found_says_nothing_against_an_item() {
        let (hits, tenant) = (Hits::default(), TenantId::DEFAULT);
        let exact = Match { technology: SignalType::Md5, ..hit("A", 1) };
        hits.count(sent("one", None), &[exact, hit("A", 1)]);
        hits.count(sent("other", None), &[hit("A", 1)]);
        let counted = &hits.take()[&tenant]["A"][&1];
        assert_eq!((counted.hits, counted.near), (2, 1));
    }

    #[test]
    fn both_what_one_attachment_counts_and_the_tables_are_bounded() {
        let (hits, tenant) = (Hits::default(), TenantId::DEFAULT);
        let everything: Vec<_> = (0..1000).map(|id| hit("A", id)).collect();
        hits.count(sent("first", None), &everything);
        assert_eq!(hits.take()[&tenant]["A"].len(), NEAREST);
        for id in 0..MAX_ITEMS as i64 + 10 {
            hits.count(sent("second", None), &[hit("A", id)]);
        }
        hits.count(sent("third", None), &[hit("A", 0)]);
        let taken = hits.take();
        assert_eq!((taken[&tenant]["A"].len(), taken[&tenant]["A"][&0].hits), (MAX_ITEMS, 2));
        for number in 0..MAX_PAIRS as u64 {
            hits.lock().is_new(number, Timestamp::from_micros(5));
        }
        hits.count(sent("late", None), &[hit("A", 0)]);
        assert!(hits.take().is_empty() && hits.lock().pairs.len() == MAX_PAIRS);
    }
}
