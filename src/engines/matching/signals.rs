//! The one trait behind which every type of signals is searched.

use std::{
    any::Any,
    fmt,
    io::{self, Write},
    ops::Range,
};

use super::{
    digests::Digest,
    index::{Index, Reach, Sizes},
    kind::Kind,
    pdq::Pdq,
    stored::{Output, SegmentId},
};
use crate::domain::{
    bank::ItemState,
    signal::{Distance, Signal, SignalType},
};

/// Something that lies within the radius. Ordered by distance, then content id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignalHit {
    pub distance: Distance,
    pub content_id: i64,
    /// The place of the nearest of the signals looked for, the first of equals.
    pub query: usize,
    /// The nearest of the item's signals, the least of equals.
    pub signal: Signal,
}

/// The signals of one type and one length, by content id.
///
/// An item may have several. A clone ([`snapshot`](Self::snapshot)) shares all that does not change, and no later change of either shows in the other. Every implementation passes
/// [`conformance`](super::conformance).
pub trait SignalIndex: fmt::Debug + Send + Sync {
    fn signal_type(&self) -> SignalType;

    /// Adds signals, in force; the next search sees them. Signals of another type or length are passed over.
    fn extend(&mut self, signals: &mut dyn Iterator<Item = (i64, Signal)>);

    /// Sets the state of all signals of an item. What is removed stays so. Returns how many signals were not.
    fn set(&mut self, content_id: i64, state: ItemState) -> usize;

    /// Signals held, disabled ones too, removed ones not.
    fn len(&self) -> usize;

    /// Whether no signal is held.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that are not removed, disabled ones too, in no particular order.
    fn iter(&self) -> Box<dyn Iterator<Item = (i64, Signal)> + '_>;

    /// How many parts [`search`](Self::search) can look into.
    fn parts(&self) -> usize;

    /// Signals of a part: about what looking into it costs, where it has to be scanned.
    fn part_len(&self, part: usize) -> usize;

    /// All items within the radius of any of `queries` in these parts, each once, sorted. Complete: recall is 1.0. Queries of another type or length find nothing.
    fn search(&self, parts: Range<usize>, queries: &[Signal], radius: Distance, reach: Reach) -> Vec<SignalHit>;

    /// Bytes on the heap, of which snapshots may share nearly all.
    fn memory_bytes(&self) -> usize;

    fn snapshot(&self) -> Box<dyn SignalIndex>;

    /// The next step of tidying up, made of the index as it is now; `None` when it is tidy. Takes up to some seconds of a thread: call it on a snapshot, on a thread for such
    /// work, and give the result to [`adopt`](Self::adopt).
    fn merge(&self) -> Option<AnyMerge>;

    /// Takes a merge over, with the states that were set since. False, and nothing happens, when it came too late.
    fn adopt(&mut self, merge: AnyMerge) -> bool;

    /// Merges until there is nothing to do, here and now.
    fn settle(&mut self);

    /// The segments that it is made of, beside what [`write`](Self::write) writes.
    fn segments(&self) -> Vec<SegmentId>;

    /// Writes a segment.
    ///
    /// # Errors
    /// `to`'s, and [`io::ErrorKind::NotFound`] for a segment that is not the index's.
    fn write_segment(&self, id: SegmentId, to: &mut dyn Write) -> io::Result<()>;

    /// Writes everything else.
    ///
    /// # Errors
    /// `to`'s.
    fn write(&self, to: &mut Output) -> io::Result<()>;

    /// For what only one type has.
    fn as_any(&self) -> &dyn Any;
}

/// A merge of whatever type.
pub struct AnyMerge(Box<dyn Any + Send>);

/// An empty index for signals such as this one.
pub fn index_for(signal: &Signal) -> Box<dyn SignalIndex> {
    sized_index_for(signal, None)
}

/// The same with parts of other sizes than the type's; for tests.
pub fn sized_index_for(signal: &Signal, sizes: Option<Sizes>) -> Box<dyn SignalIndex> {
    fn new<K: Kind>(kind: K, sizes: Option<Sizes>) -> Box<dyn SignalIndex> {
        let sizes = sizes.unwrap_or_else(|| kind.sizes());
        Box::new(Index::of_sizes(kind, sizes))
    }
    match signal {
        Signal::Md5(_) => new(Digest::<16>, sizes),
        Signal::Sha1(_) => new(Digest::<20>, sizes),
        Signal::Sha256(_) => new(Digest::<32>, sizes),
        Signal::Pdq(_) => new(Pdq, sizes),
        Signal::PhotoDna(bytes) => new(super::photodna::PhotoDna::of(bytes.len()), sizes),
        Signal::Embedding(model, bytes) => new(super::embedding::Embedding::of(*model, bytes.len()), sizes),
    }
}

/// How far two signals are apart; `None` for signals of different types or lengths, and for digests that are not equal.
pub fn distance(left: &Signal, right: &Signal) -> Option<Distance> {
    fn apart<K: Kind>(kind: K, left: &Signal, right: &Signal) -> Option<Distance> {
        Some(K::distance(K::apart(&kind.item(left)?, &kind.item(right)?)))
    }
    match left {
        Signal::Md5(_) | Signal::Sha1(_) | Signal::Sha256(_) => (left == right).then_some(Distance::ZERO),
        Signal::Pdq(_) => apart(Pdq, left, right),
        Signal::PhotoDna(bytes) => apart(super::photodna::PhotoDna::of(bytes.len()), left, right),
        Signal::Embedding(model, bytes) => apart(super::embedding::Embedding::of(*model, bytes.len()), left, right),
    }
}

impl Clone for Box<dyn SignalIndex> {
    fn clone(&self) -> Self {
        self.snapshot()
    }
}

impl<K: Kind> SignalIndex for Index<K> {
    fn signal_type(&self) -> SignalType {
        self.kind.signal_type()
    }

    fn extend(&mut self, signals: &mut dyn Iterator<Item = (i64, Signal)>) {
        let kind = self.kind.clone();
        Self::extend(self, signals.filter_map(|(content_id, signal)| Some((content_id, kind.item(&signal)?))));
    }

    fn set(&mut self, content_id: i64, state: ItemState) -> usize {
        Self::set(self, content_id, state)
    }

    fn len(&self) -> usize {
        Self::len(self)
    }

    fn iter(&self) -> Box<dyn Iterator<Item = (i64, Signal)> + '_> {
        Box::new(Self::iter(self).map(|(content_id, item)| (content_id, self.kind.signal(item))))
    }

    fn parts(&self) -> usize {
        Self::parts(self)
    }

    fn part_len(&self, part: usize) -> usize {
        Self::part_len(self, part)
    }

    fn search(&self, parts: Range<usize>, queries: &[Signal], radius: Distance, reach: Reach) -> Vec<SignalHit> {
        let (items, places): (Vec<K::Item>, Vec<usize>) =
            queries.iter().enumerate().filter_map(|(place, signal)| Some((self.kind.item(signal)?, place))).unzip();
        let hits = self.search_parts(parts, &items, K::raw(radius), reach);
        let hit = |hit: super::Hit<K::Item>| SignalHit {
            distance: K::distance(hit.distance),
            content_id: hit.content_id,
            query: places[hit.variant],
            signal: self.kind.signal(hit.hash),
        };
        hits.into_iter().map(hit).collect()
    }

    fn memory_bytes(&self) -> usize {
        Self::memory_bytes(self)
    }

    fn snapshot(&self) -> Box<dyn SignalIndex> {
        Box::new(self.clone())
    }

    fn merge(&self) -> Option<AnyMerge> {
        Self::merge(self).map(|merge| AnyMerge(Box::new(merge)))
    }

    fn settle(&mut self) {
        Self::settle(self);
    }

    fn adopt(&mut self, merge: AnyMerge) -> bool {
        merge.0.downcast().is_ok_and(|merge| Self::adopt(self, *merge))
    }

    fn segments(&self) -> Vec<SegmentId> {
        self.segments.iter().map(|part| part.data.id).collect()
    }

    fn write_segment(&self, id: SegmentId, to: &mut dyn Write) -> io::Result<()> {
        Self::write_segment(self, id, to)
    }

    fn write(&self, to: &mut Output) -> io::Result<()> {
        Self::write(self, to)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
