//! Recall of hash matching, counted: lookups in several banks against comparing everything with everything.
//!
//! The oracle knows nothing of indices: it computes all distances of a query once, and says for every radius which items of which banks should be found, which of them a negative bank
//! takes back, and at which distance. The [`Snapshot`] is asked the same with a radius and a mask of banks of the lookup's own.

use std::{collections::BTreeMap, sync::Arc};

use rayon::prelude::*;

use crate::{
    domain::{
        bank::{ItemState, Purpose},
        evidence::Match,
        hash::{PdqHash, Quality},
        signal::{Distance, Signal, SignalType},
    },
    engines::matching::{Bank, Lookup, Snapshot, conformance::Random},
};

/// How the hashes of a bank come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hashes {
    /// Every bit is a coin.
    Uniform,
    /// Neighbouring bits agree more often than not, some nearly always, and half of the hashes lie in clusters.
    Correlated,
}

/// A hash at exactly so many bits from another.
pub fn at_distance(random: &mut Random, from: PdqHash, distance: usize) -> PdqHash {
    let mut bits: Vec<usize> = (0..256).collect();
    let mut words = from.words();
    for at in 0..distance.min(256) {
        bits.swap(at, at + random.below(256 - at));
        words[bits[at] / 64] ^= 1 << (bits[at] % 64);
    }
    PdqHash::from_words(words)
}

impl Hashes {
    fn one(self, random: &mut Random) -> PdqHash {
        PdqHash::from_words(std::array::from_fn(|at| {
            let word = random.number();
            match self {
                Self::Uniform => word,
                Self::Correlated => (word & (word << 1 | random.number() & 1)) | if at == 2 { random.number() | 0xffff_0000 } else { 0 },
            }
        }))
    }

    /// So many of them.
    pub fn many(self, random: &mut Random, count: usize) -> Vec<PdqHash> {
        let mut hashes: Vec<PdqHash> = Vec::with_capacity(count);
        for at in 0..count {
            let hash = match self {
                Self::Correlated if at % 2 == 1 => {
                    // Of one of the newest thousand: clusters of some tens, at up to 40 bits.
                    let (from, distance) = (hashes[at - 1 - random.below(at.min(1000))], random.below(41));
                    at_distance(random, from, distance)
                }
                _ => self.one(random),
            };
            hashes.push(hash);
        }
        hashes
    }
}

/// What was asked and found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    pub queries: u64,
    /// One for each query and radius.
    pub lookups: u64,
    /// Items that the oracle says are within the radius of the banks that were asked, in force, and not taken back by a negative bank.
    pub expected: u64,
    /// Of these, how many were found at their distance.
    pub found: u64,
    /// What was found that the oracle does not know.
    pub wrong: u64,
    /// Items that a negative bank should take back, and of these how many were.
    pub suppressed_expected: u64,
    pub suppressed: u64,
}

impl Counts {
    fn add(mut self, other: Self) -> Self {
        self.queries += other.queries;
        self.lookups += other.lookups;
        self.expected += other.expected;
        self.found += other.found;
        self.wrong += other.wrong;
        self.suppressed_expected += other.suppressed_expected;
        self.suppressed += other.suppressed;
        self
    }

    /// Whether every lookup was answered as the oracle answers it.
    pub fn is_exact(&self) -> bool {
        self.found == self.expected && self.wrong == 0 && self.suppressed == self.suppressed_expected
    }
}

/// An item as the oracle knows it: bank, content id, hash.
type Item = (usize, i64, PdqHash);

/// Four banks, the last of them negative, of `hashes` hashes in all; each has items that are disabled, and removed ones.
pub struct Banks {
    snapshot: Snapshot,
    /// In force.
    items: Vec<Item>,
}

const BANKS: usize = 4;
const NEGATIVE: usize = 3;

impl Banks {
    pub fn new(kind: Hashes, hashes: usize, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut items: Vec<Item> = Vec::new();
        let mut banks: Vec<Bank> = (0..BANKS).map(|at| Bank::new(format!("BANK_{at}"), 31, Quality::MATCHABLE, false)).collect();
        banks[NEGATIVE].purpose = Purpose::Negative;
        for (at, hash) in kind.many(&mut random, hashes).into_iter().enumerate() {
            // Pairs lie in one bank; one of eight is known to be harmless, and of one of five both hashes are one item's.
            let bank = if at / 2 % 8 == 0 { NEGATIVE } else { at / 2 % NEGATIVE };
            // What is known to be harmless resembles something that is not.
            let hash = match bank {
                NEGATIVE if at > 0 => {
                    let (from, distance) = (items[random.below(items.len())].2, random.below(41));
                    at_distance(&mut random, from, distance)
                }
                _ => hash,
            };
            items.push((bank, (at - usize::from(at % 10 == 9)) as i64, hash));
        }
        for (number, bank) in banks.iter_mut().enumerate() {
            let mut of_bank: Vec<(i64, Signal)> =
                items.iter().filter(|item| item.0 == number).map(|item| (item.1, Signal::Pdq(item.2))).collect();
            let late = of_bank.split_off(of_bank.len() - of_bank.len() / 50);
            bank.extend(of_bank);
            bank.settle();
            // These wait in the tail.
            bank.extend(late);
        }
        for _ in 0..hashes / 100 {
            let (bank, id, _) = items[random.below(items.len())];
            let state = if random.below(2) == 0 { ItemState::Removed } else { ItemState::Disabled };
            banks[bank].set(id, state);
            items.retain(|item| (item.0, item.1) != (bank, id));
        }
        Self { snapshot: Snapshot::new(banks.into_iter().map(Arc::new).collect()), items }
    }

    /// Asks `queries` queries at every radius from 0 to `largest`, each with one of the masks of banks, on all threads of the current pool.
    pub fn count(&self, kind: Hashes, queries: usize, largest: u32, seed: u64) -> Counts {
        let counts = (0..queries).into_par_iter().map(|at| {
            let mut random = Random(seed ^ (at as u64).wrapping_mul(0xd134_2543_de82_ef95));
            // Two of three lie near something that is held.
            let query = match at % 3 {
                0 => kind.one(&mut random),
                _ => {
                    let (from, distance) = (self.items[random.below(self.items.len())].2, random.below(largest as usize + 2));
                    at_distance(&mut random, from, distance)
                }
            };
            self.one(query, 1 + random.below((1 << BANKS) - 1), largest)
        });
        counts.reduce(Counts::default, Counts::add)
    }

    fn one(&self, query: PdqHash, mask: usize, largest: u32) -> Counts {
        let asked = |bank: usize| mask >> bank & 1 == 1;
        // The nearest hash of each item that lies within the largest radius.
        let mut nearest: BTreeMap<(usize, i64), u32> = BTreeMap::new();
        for (bank, id, hash) in &self.items {
            let distance = hash.distance(&query);
            if distance <= largest && asked(*bank) {
                let held = nearest.entry((*bank, *id)).or_insert(distance);
                *held = distance.min(*held);
            }
        }
        let harmless = nearest.iter().filter(|((bank, _), _)| *bank == NEGATIVE).map(|(_, distance)| *distance).min();
        let mut counts = Counts { queries: 1, ..Counts::default() };
        for radius in 0..=largest {
            let lookup = Lookup {
                signals: vec![Signal::Pdq(query)],
                banks: Some((0..BANKS).filter(|bank| asked(*bank)).collect()),
                radii: [(SignalType::Pdq, Distance::from(radius))].into(),
                ..Lookup::default()
            };
            let found = self.snapshot.find(&lookup);
            counts.lookups += 1;
            let known = nearest.iter().filter(|((bank, _), distance)| *bank != NEGATIVE && **distance <= radius);
            let (taken, kept): (Vec<_>, Vec<_>) = known.partition(|(_, distance)| harmless.is_some_and(|harmless| harmless <= **distance));
            counts.expected += kept.len() as u64;
            counts.suppressed_expected += taken.len() as u64;
            let right = |item: &Match, wanted: &[(&(usize, i64), &u32)]| {
                wanted.iter().any(|((bank, id), distance)| {
                    (item.content_id, item.distance) == (*id, Distance::from(**distance)) && item.bank == format!("BANK_{bank}")
                })
            };
            let of = found.matches.iter().filter(|item| right(item, &kept)).count();
            let back = found.suppressed.iter().filter(|item| right(&item.matched, &taken)).count();
            counts.found += of as u64;
            counts.suppressed += back as u64;
            counts.wrong += (found.matches.len() - of + found.suppressed.len() - back) as u64;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_is_one_at_every_radius_with_masks_and_negative_banks() {
        for kind in [Hashes::Uniform, Hashes::Correlated] {
            let counts = Banks::new(kind, 3000, 17).count(kind, 120, 64, 18);
            assert!(counts.is_exact(), "{kind:?} {counts:?}");
            assert!(counts.lookups == 120 * 65 && counts.expected > 500 && counts.suppressed_expected > 50, "{kind:?} {counts:?}");
        }
    }

    #[test]
    fn an_oracle_with_more_in_it_is_noticed() {
        let mut banks = Banks::new(Hashes::Uniform, 1000, 3);
        let more: Vec<Item> = banks.items[..300].iter().map(|(bank, id, hash)| (*bank, id + 1_000_000, *hash)).collect();
        banks.items.extend(more);
        let counts = banks.count(Hashes::Uniform, 400, 64, 4);
        assert!(!counts.is_exact() && counts.wrong == 0, "{counts:?}");
    }
}
