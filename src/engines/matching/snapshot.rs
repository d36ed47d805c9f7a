//! One tenant's banks at one moment.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::PdqIndex;
use crate::domain::{
    evidence::Match,
    hash::{Digests, PdqHash, PerceptualHash, Quality, Signal, SignalType, Transform},
};

/// One bank, ready to be searched. Cloning shares the PDQ chunks and the digest table.
#[derive(Clone, Debug)]
pub struct Bank {
    pub name: String,
    /// Grows with every change of the bank; answers name it.
    pub version: i64,
    pub enabled: bool,
    /// PDQ radius in bits, 0..=256.
    pub max_distance: u32,
    /// An attachment below this quality is not looked up.
    pub minimum_quality: Quality,
    /// Whether all eight variants of a picture are looked up, or only the picture as it stands.
    pub dihedral: bool,
    pdq: PdqIndex,
    digests: Arc<HashMap<Signal, i64>>,
    /// The types that `digests` holds.
    digest_types: BTreeSet<SignalType>,
}

impl Bank {
    /// An empty, enabled bank.
    pub fn new(name: String, max_distance: u32, minimum_quality: Quality, dihedral: bool) -> Self {
        Self {
            name,
            version: 0,
            enabled: true,
            max_distance,
            minimum_quality,
            dihedral,
            pdq: PdqIndex::default(),
            digests: Arc::default(),
            digest_types: BTreeSet::new(),
        }
    }

    /// Adds signals. The digest table is copied if another snapshot still shares it.
    pub fn extend(&mut self, signals: impl IntoIterator<Item = (i64, Signal)>) {
        for (content_id, signal) in signals {
            match signal {
                Signal::Pdq(hash) => self.pdq.push(content_id, hash),
                digest => {
                    self.digest_types.insert(digest.kind());
                    Arc::make_mut(&mut self.digests).insert(digest, content_id);
                }
            }
        }
    }

    /// Signals held.
    pub fn len(&self) -> usize {
        self.pdq.len() + self.digests.len()
    }

    /// Whether no signal is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// All banks of one tenant.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    banks: Vec<Arc<Bank>>,
}

impl Snapshot {
    /// A snapshot of `banks`; disabled ones are never searched.
    pub fn new(banks: Vec<Arc<Bank>>) -> Self {
        Self { banks }
    }

    /// The banks, enabled or not.
    pub fn banks(&self) -> &[Arc<Bank>] {
        &self.banks
    }

    /// Versions of the enabled banks, by name.
    pub fn versions(&self) -> BTreeMap<String, i64> {
        self.enabled().map(|bank| (bank.name.clone(), bank.version)).collect()
    }

    /// The highest minimum quality of the enabled banks that hold PDQ hashes: below it some bank is not searched.
    pub fn pdq_minimum_quality(&self) -> Option<Quality> {
        self.enabled().filter(|bank| !bank.pdq.is_empty()).map(|bank| bank.minimum_quality).max()
    }

    /// Whether any enabled bank holds digests of this type; others need not be computed.
    pub fn holds_digests(&self, kind: SignalType) -> bool {
        self.enabled().any(|bank| bank.digest_types.contains(&kind))
    }

    fn enabled(&self) -> impl Iterator<Item = &Arc<Bank>> {
        self.banks.iter().filter(|bank| bank.enabled)
    }

    /// Everything that the enabled banks hold of an attachment: exact digests first, then by distance, bank and content id.
    pub fn find(&self, digests: Option<&Digests>, hash: Option<&PerceptualHash>) -> Vec<Match> {
        let mut found = Vec::new();
        for bank in self.enabled() {
            if let Some(digests) = digests {
                found.extend(exact(bank, digests));
            }
            if let Some(hash) = hash.filter(|hash| hash.quality >= bank.minimum_quality) {
                found.extend(near(bank, hash));
            }
        }
        found.sort_by(|a, b| (a.technology, a.distance, &a.bank, a.content_id).cmp(&(b.technology, b.distance, &b.bank, b.content_id)));
        found
    }
}

fn exact(bank: &Bank, digests: &Digests) -> impl Iterator<Item = Match> {
    let signals = [digests.md5.map(Signal::Md5), digests.sha1.map(Signal::Sha1), Some(Signal::Sha256(digests.sha256))];
    signals.into_iter().flatten().filter_map(|signal| bank.digests.get(&signal).map(|&content_id| (signal.kind(), content_id))).map(
        |(technology, content_id)| Match {
            technology,
            bank: bank.name.clone(),
            content_id,
            distance: 0,
            max_distance: 0,
            quality: None,
            transform: None,
        },
    )
}

fn near(bank: &Bank, hash: &PerceptualHash) -> Vec<Match> {
    let variants: &[PdqHash] = if bank.dihedral { &hash.hashes } else { &hash.hashes[..1] };
    let hits = bank.pdq.search(variants, bank.max_distance);
    let to_match = |hit: super::Hit| Match {
        technology: SignalType::Pdq,
        bank: bank.name.clone(),
        content_id: hit.content_id,
        distance: hit.distance,
        max_distance: bank.max_distance,
        quality: Some(hash.quality.get()),
        transform: Some(Transform::ALL[hit.variant]),
    };
    hits.into_iter().map(to_match).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(seed: u64, quality: u8) -> PerceptualHash {
        let hashes = std::array::from_fn(|at| PdqHash::from_words([seed.wrapping_mul(at as u64 * 2 + 1); 4]));
        PerceptualHash { hashes, quality: Quality::new(quality) }
    }

    fn bank(name: &str) -> Bank {
        Bank::new(name.to_owned(), 31, Quality::MATCHABLE, true)
    }

    #[test]
    fn exact_digests_come_first_and_variants_are_named() {
        let picture = hash(0x0123_4567_89ab_cdef, 90);
        let digests = Digests { md5: Some([1; 16]), sha1: Some([2; 20]), sha256: [3; 32] };
        let (mut a, mut b) = (bank("A"), bank("B"));
        a.extend([(5, Signal::Pdq(picture.hashes[1])), (6, Signal::Md5([9; 16]))]);
        b.extend([(7, Signal::Sha1([2; 20]))]);
        let snapshot = Snapshot::new(vec![Arc::new(a), Arc::new(b)]);
        assert!(snapshot.holds_digests(SignalType::Md5) && !snapshot.holds_digests(SignalType::Sha256));
        let found = snapshot.find(Some(&digests), Some(&picture));
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].technology, found[0].bank.as_str(), found[0].content_id), (SignalType::Sha1, "B", 7));
        assert_eq!((found[1].transform, found[1].distance, found[1].quality), (Some(Transform::Rotate90), 0, Some(90)));
    }

    #[test]
    fn low_quality_and_disabled_banks_do_not_match() {
        let mut a = bank("A");
        a.extend([(1, Signal::Pdq(hash(0x0123_4567_89ab_cdef, 90).hashes[0]))]);
        let snapshot = |bank: &Bank| Snapshot::new(vec![Arc::new(bank.clone())]);
        assert_eq!(snapshot(&a).find(None, Some(&hash(0x0123_4567_89ab_cdef, 50))).len(), 1);
        assert!(snapshot(&a).find(None, Some(&hash(0x0123_4567_89ab_cdef, 49))).is_empty());
        a.dihedral = false;
        let turned = PerceptualHash {
            hashes: {
                let mut all = hash(0x0123_4567_89ab_cdef, 90).hashes;
                all.swap(0, 3);
                all
            },
            quality: Quality::new(90),
        };
        assert!(snapshot(&a).find(None, Some(&turned)).is_empty());
        a.enabled = false;
        assert!(snapshot(&a).find(None, Some(&hash(0x0123_4567_89ab_cdef, 90))).is_empty());
        assert!(snapshot(&a).versions().is_empty());
    }
}
