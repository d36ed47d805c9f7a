//! One tenant's banks at one moment.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

use super::PdqIndex;
use crate::domain::{
    bank::ItemState,
    evidence::Match,
    hash::{Digests, PdqHash, PerceptualHash, Quality, Transform},
    signal::{Distance, Signal, SignalType},
};

/// Digests in one table: what adding to a shared one copies at most, some megabytes.
const DIGESTS: usize = 1 << 17;
/// PDQ hashes in one slice of a search: some milliseconds of one thread, unless it has to scan.
const SLICE: usize = 1 << 22;

/// One bank, ready to be searched. Cloning shares all signals.
#[derive(Clone, Debug)]
pub struct Bank {
    pub name: String,
    /// Unique over all tenants and never used again: 1, 2, 3, …
    pub number: i64,
    /// Grows with every change of the bank; answers name it.
    pub version: i64,
    /// Number of the newest signal that was added; whoever extends the bank keeps it.
    pub last_signal: i64,
    pub enabled: bool,
    /// PDQ radius in bits, 0..=256.
    pub max_distance: u32,
    /// An attachment below this quality is not looked up.
    pub minimum_quality: Quality,
    /// Whether all eight variants of a picture are looked up, or only the picture as it stands.
    pub dihedral: bool,
    pdq: PdqIndex,
    digests: Digested,
    last_content_id: i64,
}

/// Exact digests.
#[derive(Clone, Debug, Default)]
struct Digested {
    /// Newest last. A digest that was removed and added again stands in a later one too.
    tables: Vec<Arc<HashMap<Signal, i64>>>,
    /// Content ids out of force; `true` for good.
    out: Arc<HashMap<i64, bool>>,
    types: BTreeSet<SignalType>,
    len: usize,
}

impl Digested {
    fn insert(&mut self, digest: Signal, content_id: i64) {
        self.types.insert(digest.kind());
        self.len += 1;
        if self.tables.last().is_none_or(|table| table.len() >= DIGESTS) {
            self.tables.push(Arc::default());
        }
        if let Some(last) = self.tables.last_mut() {
            Arc::make_mut(last).insert(digest, content_id);
        }
    }

    fn set(&mut self, content_id: i64, state: ItemState) {
        let out = Arc::make_mut(&mut self.out);
        match (out.get(&content_id), state) {
            (Some(true), _) => {}
            (_, ItemState::Enabled) => drop(out.remove(&content_id)),
            (_, ItemState::Disabled) => drop(out.insert(content_id, false)),
            (_, ItemState::Removed) => {
                self.len -= 1;
                out.insert(content_id, true);
            }
        }
    }

    fn find(&self, digest: &Signal) -> Option<i64> {
        self.tables.iter().rev().find_map(|table| table.get(digest)).copied().filter(|content_id| !self.out.contains_key(content_id))
    }
}

impl Bank {
    /// An empty, enabled bank.
    pub fn new(name: String, max_distance: u32, minimum_quality: Quality, dihedral: bool) -> Self {
        Self {
            name,
            number: 0,
            version: 0,
            last_signal: 0,
            enabled: true,
            max_distance,
            minimum_quality,
            dihedral,
            pdq: PdqIndex::default(),
            digests: Digested::default(),
            last_content_id: 0,
        }
    }

    /// Adds signals, by ascending content id. Give many at a time: PDQ hashes are indexed on all threads of the current pool.
    pub fn extend(&mut self, signals: impl IntoIterator<Item = (i64, Signal)>) {
        let (digests, last) = (&mut self.digests, &mut self.last_content_id);
        self.pdq.extend(signals.into_iter().filter_map(|(content_id, signal)| {
            *last = content_id.max(*last);
            match signal {
                Signal::Pdq(hash) => Some((content_id, hash)),
                digest => {
                    digests.insert(digest, content_id);
                    None
                }
            }
        }));
    }

    /// Sets the state of an item that the bank holds. Searches of other clones do not see it; what is removed stays so.
    pub fn set(&mut self, content_id: i64, state: ItemState) {
        if self.pdq.set(content_id, state) == 0 {
            self.digests.set(content_id, state);
        }
    }

    /// Signals held that are not removed.
    pub fn len(&self) -> usize {
        self.pdq.len() + self.digests.len
    }

    /// Whether no signal is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The highest content id of all signals ever added; 0 before the first.
    pub fn last_content_id(&self) -> i64 {
        self.last_content_id
    }

    /// The PDQ hashes.
    pub fn pdq(&self) -> &PdqIndex {
        &self.pdq
    }
}

/// All banks of one tenant.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    banks: Vec<Arc<Bank>>,
}

/// Some of a snapshot's banks, by their place in [`Snapshot::banks`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BankMask(Vec<u64>);

impl BankMask {
    /// Whether the bank at this place is one of them.
    pub fn contains(&self, bank: usize) -> bool {
        self.0.get(bank / 64).is_some_and(|word| word >> (bank % 64) & 1 == 1)
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

/// A part of a search that is worth a turn of its own: see [`Snapshot::slices`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice(Vec<Look>);

/// Into one bank.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    bank: usize,
    /// Of its PDQ index.
    parts: Range<usize>,
    digests: bool,
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
        self.enabled().any(|bank| bank.digests.types.contains(&kind))
    }

    fn enabled(&self) -> impl Iterator<Item = &Arc<Bank>> {
        self.banks.iter().filter(|bank| bank.enabled)
    }

    /// Everything that the enabled banks hold of an attachment: exact digests first, then by distance, bank and content id. With a mask only the banks in
    /// it are searched.
    pub fn find(&self, digests: Option<&Digests>, hash: Option<&PerceptualHash>, mask: Option<&BankMask>) -> Vec<Match> {
        Self::together(self.slices(mask).iter().flat_map(|slice| self.look(slice, digests, hash)).collect())
    }

    /// The work of [`find`](Self::find) in slices, each about the same amount, so that a search of a hundred million hashes neither holds a thread for
    /// long nor leaves the others idle: [`look`](Self::look) at each of them, anywhere, and put the results [`together`](Self::together).
    pub fn slices(&self, mask: Option<&BankMask>) -> Vec<Slice> {
        self.slices_of(SLICE, mask)
    }

    /// Slices of `most` hashes, rounded up to whole parts.
    fn slices_of(&self, most: usize, mask: Option<&BankMask>) -> Vec<Slice> {
        let (mut slices, mut slice, mut hashes) = (Vec::new(), Vec::new(), 0);
        let searched = |(at, bank): &(usize, &Arc<Bank>)| bank.enabled && mask.is_none_or(|mask| mask.contains(*at));
        for (at, bank) in self.banks.iter().enumerate().filter(searched) {
            let mut start = 0;
            for part in 0..bank.pdq.parts() {
                hashes += bank.pdq.part_len(part);
                if hashes >= most || part + 1 == bank.pdq.parts() {
                    slice.push(Look { bank: at, parts: start..part + 1, digests: start == 0 });
                    start = part + 1;
                }
                if hashes >= most {
                    slices.push(Slice(std::mem::take(&mut slice)));
                    hashes = 0;
                }
            }
        }
        slices.extend(Some(slice).filter(|slice| !slice.is_empty()).map(Slice));
        slices
    }

    /// What one slice holds of an attachment.
    pub fn look(&self, slice: &Slice, digests: Option<&Digests>, hash: Option<&PerceptualHash>) -> Vec<Match> {
        let mut found = Vec::new();
        for look in &slice.0 {
            let bank = &self.banks[look.bank];
            if let Some(digests) = digests.filter(|_| look.digests) {
                found.extend(exact(bank, digests));
            }
            if let Some(hash) = hash.filter(|hash| hash.quality >= bank.minimum_quality) {
                found.extend(near(bank, look.parts.clone(), hash));
            }
        }
        found
    }

    /// What all slices hold, in [`find`](Self::find)'s order; an item of a bank once, by its nearest hash.
    pub fn together(mut found: Vec<Match>) -> Vec<Match> {
        found.sort_by(|a, b| (a.technology, a.distance, &a.bank, a.content_id).cmp(&(b.technology, b.distance, &b.bank, b.content_id)));
        let mut seen = HashSet::new();
        let first: Vec<bool> = found.iter().map(|item| seen.insert((item.technology, &item.bank, item.content_id))).collect();
        let mut first = first.into_iter();
        found.retain(|_| first.next() == Some(true));
        found
    }
}

fn exact(bank: &Bank, digests: &Digests) -> impl Iterator<Item = Match> {
    let signals = [digests.md5.map(Signal::Md5), digests.sha1.map(Signal::Sha1), Some(Signal::Sha256(digests.sha256))];
    signals.into_iter().flatten().filter_map(|signal| bank.digests.find(&signal).map(|content_id| (signal.kind(), content_id))).map(
        |(technology, content_id)| Match {
            technology,
            bank: bank.name.clone(),
            content_id,
            distance: Distance::ZERO,
            max_distance: Distance::ZERO,
            quality: None,
            transform: None,
            disputed: false,
            category: None,
        },
    )
}

fn near(bank: &Bank, parts: Range<usize>, hash: &PerceptualHash) -> Vec<Match> {
    let variants: &[PdqHash] = if bank.dihedral { &hash.hashes } else { &hash.hashes[..1] };
    let hits = bank.pdq.search_parts(parts, variants, bank.max_distance);
    let to_match = |hit: super::Hit| Match {
        technology: SignalType::Pdq,
        bank: bank.name.clone(),
        content_id: hit.content_id,
        distance: hit.distance.into(),
        max_distance: bank.max_distance.into(),
        quality: Some(hash.quality.get()),
        transform: Some(Transform::ALL[hit.variant]),
        disputed: false,
        category: None,
    };
    hits.into_iter().map(to_match).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::Sizes, *};

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
        let found = snapshot.find(Some(&digests), Some(&picture), None);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].technology, found[0].bank.as_str(), found[0].content_id), (SignalType::Sha1, "B", 7));
        assert_eq!((found[1].transform, found[1].distance, found[1].quality), (Some(Transform::Rotate90), Distance::ZERO, Some(90)));
    }

    #[test]
    fn low_quality_and_disabled_banks_do_not_match() {
        let mut a = bank("A");
        a.extend([(1, Signal::Pdq(hash(0x0123_4567_89ab_cdef, 90).hashes[0]))]);
        let snapshot = |bank: &Bank| Snapshot::new(vec![Arc::new(bank.clone())]);
        assert_eq!(snapshot(&a).find(None, Some(&hash(0x0123_4567_89ab_cdef, 50)), None).len(), 1);
        assert!(snapshot(&a).find(None, Some(&hash(0x0123_4567_89ab_cdef, 49)), None).is_empty());
        a.dihedral = false;
        let turned = PerceptualHash {
            hashes: {
                let mut all = hash(0x0123_4567_89ab_cdef, 90).hashes;
                all.swap(0, 3);
                all
            },
            quality: Quality::new(90),
        };
        assert!(snapshot(&a).find(None, Some(&turned), None).is_empty());
        a.enabled = false;
        assert!(snapshot(&a).find(None, Some(&hash(0x0123_4567_89ab_cdef, 90)), None).is_empty());
        assert!(snapshot(&a).versions().is_empty());
    }

    #[test]
    fn masks_choose_banks_and_items_go_out_of_force_and_come_back() {
        let picture = hash(0x0123_4567_89ab_cdef, 90);
        let digests = Digests { md5: Some([1; 16]), sha1: None, sha256: [3; 32] };
        let (mut a, mut b) = (bank("A"), bank("B"));
        a.extend([(1, Signal::Pdq(picture.hashes[0])), (2, Signal::Md5([1; 16]))]);
        b.extend([(1, Signal::Pdq(picture.hashes[0]))]);
        let ids = |bank: &Bank, other: &Bank, mask: Option<&BankMask>| -> Vec<(String, i64)> {
            let snapshot = Snapshot::new(vec![Arc::new(bank.clone()), Arc::new(other.clone())]);
            snapshot.find(Some(&digests), Some(&picture), mask).into_iter().map(|found| (found.bank, found.content_id)).collect()
        };
        let of = |items: &[(&str, i64)]| items.iter().map(|(bank, id)| ((*bank).to_owned(), *id)).collect::<Vec<_>>();
        assert_eq!(ids(&a, &b, None), of(&[("A", 2), ("A", 1), ("B", 1)]));
        assert_eq!(ids(&a, &b, Some(&[1].into_iter().collect())), of(&[("B", 1)]));
        assert_eq!(ids(&a, &b, Some(&BankMask::default())), []);
        a.set(1, ItemState::Disabled);
        a.set(2, ItemState::Disabled);
        assert_eq!(ids(&a, &b, None), of(&[("B", 1)]));
        a.set(1, ItemState::Enabled);
        a.set(2, ItemState::Enabled);
        assert_eq!(ids(&a, &b, None).len(), 3);
        // What is removed never comes back; added again it has another id.
        for id in [1, 2] {
            a.set(id, ItemState::Removed);
            a.set(id, ItemState::Enabled);
        }
        assert_eq!((a.len(), a.last_content_id(), ids(&a, &b, None)), (0, 2, of(&[("B", 1)])));
        a.extend([(3, Signal::Md5([1; 16])), (4, Signal::Pdq(picture.hashes[0]))]);
        assert_eq!(ids(&a, &b, None), of(&[("A", 3), ("A", 4), ("B", 1)]));
    }

    #[test]
    fn slices_together_are_the_whole_search() {
        let picture = hash(0x0123_4567_89ab_cdef, 90);
        let mut large = bank("LARGE");
        large.pdq = PdqIndex::with_sizes(Sizes { tail: 50, full: 400 });
        large.extend((0..2000).map(|id| (id, Signal::Pdq(picture.hashes[usize::from(id % 100 == 0)]))));
        let mut small = bank("SMALL");
        small.extend([(7, Signal::Pdq(picture.hashes[3])), (8, Signal::Sha256([3; 32]))]);
        // This item has hashes in two slices.
        large.extend([(0, Signal::Pdq(picture.hashes[1]))]);
        let other = Bank { name: "OTHER".to_owned(), ..small.clone() };
        let snapshot = Snapshot::new(vec![Arc::new(small), Arc::new(large), Arc::new(other)]);
        let slices = snapshot.slices_of(800, None);
        assert_eq!((slices.len(), snapshot.slices(None).len()), (3, 1), "{slices:?}");
        let digests = Digests { md5: None, sha1: None, sha256: [3; 32] };
        let turned = PerceptualHash { hashes: [picture.hashes[1]; 8], quality: picture.quality };
        let whole = snapshot.find(Some(&digests), Some(&turned), None);
        let found: Vec<Match> = slices.iter().rev().flat_map(|slice| snapshot.look(slice, Some(&digests), Some(&turned))).collect();
        assert_eq!(Snapshot::together(found), whole);
        assert_eq!(whole.iter().filter(|item| item.bank == "LARGE").count(), 20);
        assert_eq!(whole.iter().filter(|item| item.technology == SignalType::Sha256).count(), 2);
    }
}
