//! One bank, ready to be searched.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, LazyLock},
};

use super::{
    PdqIndex,
    signals::{AnyMerge, SignalIndex, index_for},
};
use crate::domain::{
    bank::{ItemState, Purpose},
    hash::Quality,
    signal::{Distance, Signal, SignalType},
};

/// Signals that are searched together: of one type and of one length in bytes.
pub(super) type Shape = (SignalType, usize);

/// One bank, ready to be searched. Cloning shares all signals.
#[derive(Clone, Debug)]
pub struct Bank {
    pub name: String,
    /// Unique over all tenants and never used again: 1, 2, 3, …
    pub number: i64,
    /// Grows with every change of the bank; answers name it.
    pub version: i64,
    /// The number of the newest signal that was read: from where loading goes on. Whoever adds signals keeps it.
    pub last_signal: i64,
    pub enabled: bool,
    /// The share of lookups that the bank answers, 0..=1, drawn anew for each.
    pub enabled_ratio: f64,
    /// What a hit means.
    pub purpose: Purpose,
    /// PDQ radius in bits, 0..=256.
    pub max_distance: u32,
    /// Radii of `photodna` and of embeddings; of a type without one only what is equal matches.
    pub radii: BTreeMap<SignalType, Distance>,
    /// An attachment below this quality is not looked up.
    pub minimum_quality: Quality,
    /// Whether all eight variants of a picture are looked up, or only the picture as it stands.
    pub dihedral: bool,
    /// A sum over the signals that were read, which whoever reads keeps; `None` when it is not known of all.
    pub sum: Option<i64>,
    /// Whether they are other ones than were written, so that it is not known what searches miss.
    pub damaged: bool,
    /// Content ids of items that somebody disputes; their matches say so.
    pub disputed: Arc<HashSet<i64>>,
    /// Content ids of items that are in doubt; their matches by anything but a digest say so.
    pub quarantined: Arc<HashSet<i64>>,
    pub(super) indices: BTreeMap<Shape, Box<dyn SignalIndex>>,
}

/// A step of tidying up a bank, made of one snapshot of it: see [`Bank::merge`].
pub struct BankMerge {
    shape: Shape,
    merge: AnyMerge,
}

impl Bank {
    /// An empty, enabled bank of known material.
    pub fn new(name: String, max_distance: u32, minimum_quality: Quality, dihedral: bool) -> Self {
        Self {
            name,
            number: 0,
            version: 0,
            last_signal: 0,
            enabled: true,
            enabled_ratio: 1.0,
            purpose: Purpose::Known,
            max_distance,
            radii: BTreeMap::new(),
            minimum_quality,
            dihedral,
            sum: Some(0),
            damaged: false,
            disputed: Arc::default(),
            quarantined: Arc::default(),
            indices: BTreeMap::new(),
        }
    }

    /// Adds signals by content id, in force; an item may have several, of several types. The next search sees them. Give many at a time: as many as fill a segment are indexed at
    /// once, on all threads of the current pool; what is left over is scanned until somebody takes care of [`merge`](Self::merge).
    pub fn extend(&mut self, signals: impl IntoIterator<Item = (i64, Signal)>) {
        let shape = |signal: &Signal| (signal.kind(), signal.size());
        let mut of_shape: BTreeMap<Shape, Vec<(i64, Signal)>> = BTreeMap::new();
        for (content_id, signal) in signals {
            of_shape.entry(shape(&signal)).or_default().push((content_id, signal));
        }
        for (shape, signals) in of_shape {
            if let Some((_, first)) = signals.first() {
                let index = self.indices.entry(shape).or_insert_with(|| index_for(first));
                index.extend(&mut signals.into_iter());
            }
        }
    }

    /// Sets the state of all signals of an item. Searches of other clones do not see it; what is removed stays so. Returns how many signals were not.
    pub fn set(&mut self, content_id: i64, state: ItemState) -> usize {
        self.indices.values_mut().map(|index| index.set(content_id, state)).sum()
    }

    /// The radius of a type, in the type's distance: 0 where only what is equal matches.
    pub fn radius(&self, kind: SignalType) -> Distance {
        match kind {
            SignalType::Pdq => self.max_distance.into(),
            _ => self.radii.get(&kind).copied().unwrap_or_default(),
        }
    }

    /// Signals held that are not removed.
    pub fn len(&self) -> usize {
        self.indices.values().map(|index| index.len()).sum()
    }

    /// Whether no signal is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it holds signals of this type that are not removed.
    pub fn holds(&self, kind: SignalType) -> bool {
        self.of_type(kind).any(|index| !index.is_empty())
    }

    /// Signals by type that are not removed.
    pub fn held(&self) -> impl Iterator<Item = (SignalType, usize)> {
        self.indices.iter().map(|((kind, _), index)| (*kind, index.len()))
    }

    /// Bytes on the heap, of which snapshots may share nearly all.
    pub fn memory_bytes(&self) -> usize {
        self.indices.values().map(|index| index.memory_bytes()).sum()
    }

    /// All signals that are not removed, disabled ones too.
    pub fn iter(&self) -> impl Iterator<Item = (i64, Signal)> {
        self.indices.values().flat_map(|index| index.iter())
    }

    /// The indices of this type, one for each length of its signals.
    pub fn of_type(&self, kind: SignalType) -> impl Iterator<Item = &dyn SignalIndex> {
        self.indices.range((kind, 0)..=(kind, usize::MAX)).map(|(_, index)| &**index)
    }

    /// The index for signals such as this one, if it holds any.
    pub fn index_of(&self, signal: &Signal) -> Option<&dyn SignalIndex> {
        self.indices.get(&(signal.kind(), signal.size())).map(|index| &**index)
    }

    /// The PDQ hashes.
    pub fn pdq(&self) -> &PdqIndex {
        static NONE: LazyLock<PdqIndex> = LazyLock::new(PdqIndex::default);
        self.of_type(SignalType::Pdq).find_map(|index| index.as_any().downcast_ref()).unwrap_or(&NONE)
    }

    /// The next step of tidying up, made of the bank as it is now; `None` when it is tidy. Takes up to some seconds of a thread: call it on a snapshot, on a thread for such work, and
    /// give the result to the bank of that time. Until then everything is found all the same.
    pub fn merge(&self) -> Option<BankMerge> {
        self.indices.iter().find_map(|(shape, index)| Some(BankMerge { shape: *shape, merge: index.merge()? }))
    }

    /// Takes a merge over, with the states that were set since; in a moment. False, and nothing happens, when it came too late.
    pub fn adopt(&mut self, merge: BankMerge) -> bool {
        self.indices.get_mut(&merge.shape).is_some_and(|index| index.adopt(merge.merge))
    }

    /// Merges until there is nothing to do, here and now.
    pub fn settle(&mut self) {
        self.indices.values_mut().for_each(|index| index.settle());
    }
}
