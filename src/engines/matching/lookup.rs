//! What is looked up, and what is found.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{BuildHasher, RandomState},
};

use super::Bank;
use crate::domain::{
    evidence::{Match, Suppressed},
    hash::{Digests, PerceptualHash, Transform},
    signal::{Distance, Signal, SignalType},
};

/// What is looked up: an attachment's digests and hash, or bare signals, or both; all of one content. The rest says where and how far.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    /// An attachment's.
    pub digests: Option<Digests>,
    /// An attachment's, with its quality and its eight variants.
    pub hash: Option<PerceptualHash>,
    /// Of any types. A bare PDQ hash has no quality, so no minimum applies, and no variants: they cannot be told from the hash.
    pub signals: Vec<Signal>,
    /// Only these banks are asked, negative ones too.
    pub banks: Option<BankMask>,
    /// In place of the banks' own, wider or narrower. Radii of exact digests mean nothing.
    pub radii: BTreeMap<SignalType, Distance>,
    /// The banks that are never searched wider than their own radius: who may not read a bank's hashes must not learn how far away they
    /// are.
    pub bounded: BankMask,
    /// Everything that was not removed is asked, in force or not: disabled items, disabled banks, those that answer a share of lookups only. Then nothing is suppressed.
    pub include_disabled: bool,
    /// By which banks that answer a share of lookups are drawn.
    pub draw: Draw,
}

/// Which of the banks that answer a share of lookups answer this one.
#[derive(Clone, Copy, Debug)]
pub enum Draw {
    /// Each is drawn for itself, by this random number.
    Number(u64),
    /// Those whose share is at least this, 0..1: one coin for all banks, as HMA flips it. Disabled banks do not answer.
    Coin(f64),
    /// All of them, disabled ones too.
    Every,
}

impl Default for Draw {
    /// Anew each time.
    fn default() -> Self {
        Self::Number(RandomState::new().hash_one(0))
    }
}

impl Draw {
    /// This number, for tests.
    pub const fn new(number: u64) -> Self {
        Self::Number(number)
    }

    /// Whether a bank that answers this share of lookups answers this one.
    pub(super) fn takes(self, bank: usize, enabled: bool, ratio: f64) -> bool {
        let number = match self {
            Self::Every => return true,
            Self::Coin(coin) => return enabled && ratio >= coin,
            Self::Number(number) => number,
        };
        enabled && uniform(number, bank as u64) < ratio
    }

    /// Whether signals of the type at this place, which take part in this share of lookups, take part in this one.
    pub(super) fn takes_type(self, place: usize, share: f64) -> bool {
        let drawn = match self {
            Self::Every => true,
            Self::Coin(coin) => share >= coin,
            // Far from all banks.
            Self::Number(number) => uniform(number, u64::MAX / 2 + place as u64) < share,
        };
        drawn && share > 0.0
    }
}

/// A number in 0..1 that the draw and a place decide.
fn uniform(number: u64, place: u64) -> f64 {
    // SplitMix64's mixing (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014); 53 bits of it are a double in 0..1.
    let mut mixed = number.wrapping_add((place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ mixed >> 31) >> 11) as f64 / (1u64 << 53) as f64
}

/// Some of a snapshot's banks, by their place in [`Snapshot::banks`](super::Snapshot::banks).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BankMask(Vec<u64>);

impl BankMask {
    /// Whether the bank at this place is one of them.
    pub fn contains(&self, bank: usize) -> bool {
        self.0.get(bank / 64).is_some_and(|word| word >> (bank % 64) & 1 == 1)
    }

    /// Whether it is none of them.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<usize> for BankMask {
    fn from_iter<T: IntoIterator<Item = usize>>(banks: T) -> Self {
        let mut words = Vec::new();
        for bank in banks {
            words.resize(words.len().max(bank / 64 + 1), 0);
            words[bank / 64] |= 1 << (bank % 64);
        }
        Self(words)
    }
}

/// What the banks hold of one lookup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Exact digests first, then by distance, bank and content id.
    pub matches: Vec<Match>,
    /// Matches that a negative bank took back.
    pub suppressed: Vec<Suppressed>,
    /// What negative banks hold of it, in the same order.
    pub negatives: Vec<Match>,
}

impl Found {
    /// Takes back what resembles known harmless material at least as much: an exact match by an exact negative only, any other by an exact
    /// negative or by one of the same type that is not farther away. Neither a negative that is itself in doubt nor one of a bank that may
    /// not speak for the other takes anything back. `matches` and `negatives` are sorted.
    pub(super) fn suppress(matches: Vec<Match>, negatives: Vec<Match>, refusals: &Refusals) -> Self {
        let mut of_bank: BTreeMap<String, Harmless<'_>> = BTreeMap::new();
        let mut found = Self::default();
        for matched in matches {
            let harmless = match of_bank.get(&matched.bank) {
                Some(harmless) => harmless,
                None => of_bank.entry(matched.bank.clone()).or_insert_with(|| Harmless::of(&matched.bank, &negatives, refusals)),
            };
            match harmless.takes_back(&matched).cloned() {
                Some(by) => found.suppressed.push(Suppressed { matched, by }),
                None => found.matches.push(matched),
            }
        }
        found.negatives = negatives;
        found
    }
}

/// Pairs of a negative bank and another one that it takes nothing back of, by their names.
pub type Refusals = HashSet<(String, String)>;

/// What takes back matches of one bank.
struct Harmless<'a> {
    exact: Option<&'a Match>,
    nearest: BTreeMap<SignalType, &'a Match>,
}

impl<'a> Harmless<'a> {
    fn of(bank: &str, negatives: &'a [Match], refusals: &Refusals) -> Self {
        let refused = |negative: &Match| refusals.contains(&(negative.bank.clone(), bank.to_owned()));
        let mut harmless = Self { exact: None, nearest: BTreeMap::new() };
        for negative in negatives.iter().filter(|negative| !negative.quarantined && (refusals.is_empty() || !refused(negative))) {
            if negative.technology.is_exact() {
                harmless.exact.get_or_insert(negative);
            }
            harmless.nearest.entry(negative.technology).or_insert(negative);
        }
        harmless
    }

    fn takes_back(&self, matched: &Match) -> Option<&'a Match> {
        let near = self.nearest.get(&matched.technology).copied();
        self.exact.or(near.filter(|negative| !matched.technology.is_exact() && negative.distance <= matched.distance))
    }
}

/// The signals of a lookup for one index of a bank.
pub(super) struct Asked {
    signals: Vec<Signal>,
    /// How many of them are variants of the attachment, in the order of [`Transform::ALL`].
    variants: usize,
}

impl Lookup {
    /// What of the lookup concerns signals of this type and length in this bank.
    pub(super) fn asked(&self, bank: &Bank, (kind, bytes): super::bank::Shape) -> Asked {
        let digest = self.digests.as_ref().and_then(|digests| match kind {
            SignalType::Md5 => digests.md5.map(Signal::Md5),
            SignalType::Sha1 => digests.sha1.map(Signal::Sha1),
            SignalType::Sha256 => Some(Signal::Sha256(digests.sha256)),
            _ => None,
        });
        let hash = self.hash.as_ref().filter(|hash| kind == SignalType::Pdq && hash.quality >= bank.minimum_quality);
        let hashes = hash.map_or(&[][..], |hash| if bank.dihedral { &hash.hashes } else { &hash.hashes[..1] });
        let bare = self.signals.iter().filter(|signal| signal.kind() == kind && signal.size() == bytes).cloned();
        Asked { variants: hashes.len(), signals: hashes.iter().copied().map(Signal::Pdq).chain(digest).chain(bare).collect() }
    }

    /// The radius in which the bank at this place is searched.
    pub fn radius(&self, at: usize, bank: &Bank, kind: SignalType) -> Distance {
        let own = bank.radius(kind);
        match self.radii.get(&kind) {
            _ if kind.is_exact() => Distance::ZERO,
            Some(radius) if self.bounded.contains(at) => own.min(*radius),
            Some(radius) => *radius,
            None => own,
        }
    }

    /// The attachment's quality and the variant that matched, if the signal at this place is one.
    pub(super) fn variant(&self, asked: &Asked, place: usize) -> (Option<u8>, Option<Transform>) {
        match &self.hash {
            Some(hash) if place < asked.variants => (Some(hash.quality.get()), Some(Transform::ALL[place])),
            _ => (None, None),
        }
    }
}

impl Asked {
    pub fn signals(&self) -> &[Signal] {
        &self.signals
    }
}
