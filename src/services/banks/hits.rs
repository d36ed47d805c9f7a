//! How often items match: counted in memory, and written down by the [keeper](super::curation::Curation::keep) twice a second.
//!
//! Counting costs a lookup nothing that could be noticed, and no answer waits for it. What a crash takes are the hits of half a second. Hits are those of
//! attachments that are scored, and of look-ups of what is in force; what a negative bank holds is no hit, and neither is what it took back.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::{evidence::Match, ids::TenantId};

/// Matches of one attachment that count, nearest first: one that lies near everything must not fill the table.
const NEAREST: usize = 64;
/// Items between two rounds of the keeper. Those that come on top of them are not counted in that half second.
const MOST_ITEMS: usize = 1 << 16;
/// References that are kept of the attachments that matched an item last, for whoever has to look at it.
const NEWEST: usize = 5;

/// Hits of one item that are not written down yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub hits: u64,
    /// The provider's references of what matched last, newest first.
    pub newest: VecDeque<String>,
}

impl Counted {
    fn note(&mut self, item_id: Option<&str>) {
        self.hits += 1;
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
}

/// The counters of one process.
#[derive(Debug, Default)]
pub struct Hits {
    table: Mutex<Table>,
}

impl Hits {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the matches of one attachment, which the provider calls `item_id`.
    pub fn count(&self, tenant: TenantId, matches: &[Match], item_id: Option<&str>) {
        if matches.is_empty() {
            return;
        }
        let mut guard = self.lock();
        let table = &mut *guard;
        for hit in matches.iter().take(NEAREST) {
            let banks = table.tenants.entry(tenant).or_default();
            if !banks.contains_key(&hit.bank) {
                banks.insert(hit.bank.clone(), HashMap::new());
            }
            let Some(items) = banks.get_mut(&hit.bank) else { continue };
            match items.get_mut(&hit.content_id) {
                Some(counted) => counted.note(item_id),
                None if table.items < MOST_ITEMS => {
                    items.entry(hit.content_id).or_default().note(item_id);
                    table.items += 1;
                }
                None => {}
            }
        }
    }

    /// Takes what was counted since the last time.
    pub fn take(&self) -> HashMap<TenantId, ByBank> {
        std::mem::take(&mut *self.lock()).tenants
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
                        if table.items >= MOST_ITEMS {
                            continue;
                        }
                        table.items += 1;
                    }
                    let sum = known.entry(content_id).or_default();
                    sum.hits += counted.hits;
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
        Match {
            technology: SignalType::Pdq,
            bank: bank.to_owned(),
            content_id,
            distance: 0.into(),
            max_distance: 31.into(),
            quality: None,
            transform: None,
            disputed: false,
            category: None,
            look: crate::domain::clip::Look::default(),
        }
    }

    #[test]
    fn hits_add_up_and_are_taken_once() {
        let (hits, tenant) = (Hits::default(), TenantId::DEFAULT);
        for number in 0..9 {
            hits.count(tenant, &[hit("A", 1), hit("B", 1)], Some(&number.to_string()));
        }
        hits.count(tenant, &[hit("A", 2)], None);
        let taken = hits.take();
        let of = |bank: &str, id: i64| &taken[&tenant][bank][&id];
        assert_eq!((of("A", 1).hits, of("B", 1).hits, of("A", 2).hits), (9, 9, 1));
        assert_eq!(of("A", 1).newest, ["8", "7", "6", "5", "4"]);
        assert!(hits.take().is_empty());
        hits.count(tenant, &[hit("A", 1)], Some("new"));
        hits.put_back(taken);
        let sum = &hits.take()[&tenant]["A"][&1];
        assert_eq!((sum.hits, sum.newest.iter().map(String::as_str).collect::<Vec<_>>()), (10, vec!["new", "8", "7", "6", "5"]));
    }

    #[test]
    fn both_what_one_attachment_counts_and_the_table_are_bounded() {
        let (hits, tenant) = (Hits::default(), TenantId::DEFAULT);
        let everything: Vec<_> = (0..1000).map(|id| hit("A", id)).collect();
        hits.count(tenant, &everything, None);
        assert_eq!(hits.take()[&tenant]["A"].len(), NEAREST);
        for id in 0..MOST_ITEMS as i64 + 10 {
            hits.count(tenant, &[hit("A", id)], None);
        }
        hits.count(tenant, &[hit("A", 0)], None);
        let taken = hits.take();
        assert_eq!((taken[&tenant]["A"].len(), taken[&tenant]["A"][&0].hits), (MOST_ITEMS, 2));
    }
}
