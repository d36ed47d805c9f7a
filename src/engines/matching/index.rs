//! The signals of one type in one bank: segments, a tail, and how they are searched.

use std::{cell::RefCell, ops::Range, sync::Arc};

use rayon::prelude::*;

use super::{
    Hit,
    hit::nearest_of_each,
    ids::Ids,
    kind::{Held, Kind, Near, Rows},
    simd::Simd,
    states::States,
    stored::SegmentId,
};
use crate::domain::bank::ItemState;

/// How large the parts of an index become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Signals of the tail, which is scanned, before it is worth indexing. A tail is copied when it grows while a snapshot shares it.
    pub tail: usize,
    /// Signals of the longest segment that a merge makes, beside what it replaces.
    pub merged: usize,
    /// Signals of a full segment, which comes of as many that are added at once.
    pub full: usize,
}

/// Signals that one segment can hold: what 24 bits can number.
pub(super) const LARGEST: usize = 1 << 24;

/// Queries whose work is cut together: those that scan share the memory traffic.
const GROUP: usize = 16;
/// Hits whose signals are asked for before they are read: about as many as a processor fetches at a time.
const AHEAD: usize = 16;

/// All hits within any radius. Cheap to clone: a clone is a snapshot that shares everything that does not change.
#[derive(Clone)]
pub struct Index<K: Kind> {
    pub(super) kind: K,
    pub(super) sizes: Sizes,
    pub(super) segments: Vec<Part<Sealed<K>>>,
    pub(super) tail: Part<Tail<K>>,
    /// How often the tail began anew: what a merge took from an older one is of no use.
    pub(super) tails: u64,
    /// Signals that are not removed.
    pub(super) len: usize,
    /// The highest content id so far.
    pub(super) highest: Option<i64>,
    /// Whether content ids did not always ascend, so that one may have several signals.
    pub(super) repeats: bool,
}

/// Shared data and what of it is out of force.
pub(super) struct Part<T> {
    pub data: Arc<T>,
    /// `None` while everything is in force.
    pub states: Option<Arc<States>>,
}

/// A segment and its content ids, ascending.
pub(super) struct Sealed<K: Kind> {
    /// What it is called where it is stored.
    pub id: SegmentId,
    pub ids: Ids,
    pub segment: K::Segment,
}

/// Signals that are not indexed yet, in the order in which they came.
#[derive(Clone)]
pub(super) struct Tail<K: Kind> {
    pub rows: K::Rows,
    pub ids: Vec<i64>,
}

impl<T> Clone for Part<T> {
    fn clone(&self) -> Self {
        Self { data: self.data.clone(), states: self.states.clone() }
    }
}

impl<T> Part<T> {
    pub fn new(data: T) -> Self {
        Self { data: Arc::new(data), states: None }
    }

    pub fn removals(&self) -> usize {
        self.states.as_ref().map_or(0, |states| states.removals())
    }

    /// The states of `len` signals, to be changed: copied if a snapshot shares them.
    pub fn states_mut(&mut self, len: usize) -> &mut States {
        Arc::make_mut(self.states.get_or_insert_with(|| Arc::new(States::new(len))))
    }
}

impl<K: Kind> Sealed<K> {
    pub fn new(ids: Ids, segment: K::Segment) -> Self {
        Self { id: SegmentId::new(), ids, segment }
    }

    pub fn len(&self) -> usize {
        self.segment.len()
    }

    fn memory_bytes(&self) -> usize {
        self.segment.memory_bytes() + self.ids.memory_bytes()
    }
}

impl<K: Kind> Tail<K> {
    pub fn len(&self) -> usize {
        self.ids.len()
    }
}

/// What a search looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// What is in force.
    #[default]
    InForce,
    /// What is disabled too; what was removed never.
    Disabled,
}

impl Reach {
    fn keep(self, states: Option<&States>, near: &mut Vec<Near>) {
        let Some(states) = states else { return };
        near.retain(|near| match self {
            Self::InForce => !states.hides(near.position),
            Self::Disabled => !states.removed(near.position),
        });
    }
}

/// A hit of the search under way: query, distance, part and position in 32 bits each, so that sorting compares numbers (clusters give many). Where
/// content ids ascend, so do parts and positions, and this is the order of the answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found(u128);

impl Found {
    fn new(part: usize, near: &Near) -> Self {
        let fields = [near.query, near.distance, part as u32, near.position]; // far fewer parts than 2^32 fit into memory
        Self(fields.iter().fold(0, |number, &field| number << 32 | u128::from(field)))
    }

    /// Field 0 is the query.
    fn field(self, at: u32) -> u32 {
        (self.0 >> (96 - 32 * at)) as u32
    }
}

thread_local! {
    /// A search allocates nothing but its answer.
    static NEAR: RefCell<Vec<Near>> = RefCell::default();
}

impl<K: Kind> Index<K> {
    /// An empty index.
    pub(super) fn of(kind: K) -> Self {
        let sizes = kind.sizes();
        Self::of_sizes(kind, sizes)
    }

    /// An empty index whose parts have other sizes than the type's; for tests, which want to see merges of a few signals.
    pub(super) fn of_sizes(kind: K, sizes: Sizes) -> Self {
        let full = sizes.full.clamp(1, LARGEST);
        let tail = Part::new(Tail { rows: kind.rows(), ids: Vec::new() });
        let merged = sizes.merged.clamp(1, full);
        let sizes = Sizes { tail: sizes.tail.clamp(1, merged), merged, full };
        Self { kind, sizes, segments: Vec::new(), tail, tails: 0, len: 0, highest: None, repeats: false }
    }

    /// Signals held, disabled ones too, removed ones not.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no signal is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes on the heap, of which snapshots may share nearly all.
    pub fn memory_bytes(&self) -> usize {
        let states = |states: &Option<Arc<States>>| states.as_ref().map_or(0, |states| states.memory_bytes());
        let segments: usize = self.segments.iter().map(|part| part.data.memory_bytes() + states(&part.states)).sum();
        let tail = &self.tail.data;
        segments + tail.rows.memory_bytes() + tail.ids.capacity() * size_of::<i64>() + states(&self.tail.states)
    }

    /// Adds one signal. Copies the tail if a snapshot shares it; for many signals use [`extend`](Self::extend).
    pub fn push(&mut self, content_id: i64, item: K::Item) {
        self.extend([(content_id, item)]);
    }

    /// Adds signals; the next search sees them. As many as fill a segment are indexed at once, on all threads of the current pool; what is left over waits
    /// in the tail for [`merge`](Self::merge) or [`settle`](Self::settle).
    pub fn extend(&mut self, items: impl IntoIterator<Item = (i64, K::Item)>) {
        for (content_id, item) in items {
            self.repeats |= self.highest.is_some_and(|highest| content_id <= highest);
            self.highest = self.highest.max(Some(content_id));
            self.len += 1;
            let tail = Arc::make_mut(&mut self.tail.data);
            tail.rows.push(&item);
            tail.ids.push(content_id);
            if tail.ids.len() == self.sizes.full {
                self.freeze();
            }
        }
        self.cover_tail();
    }

    /// Gives the tail's new signals a state, if it has any.
    pub(super) fn cover_tail(&mut self) {
        let len = self.tail.data.len();
        if self.tail.states.is_some() {
            self.tail.states_mut(len).grow(len);
        }
    }

    /// Sets the state of all signals of an item; the next search sees it, snapshots taken before do not. What is removed stays so. Returns how many
    /// signals were not.
    pub fn set(&mut self, content_id: i64, state: ItemState) -> usize {
        let mut changed = 0;
        let mut apply = |states: &mut States, position: u32| {
            if !states.removed(position) {
                states.set(position, state);
                changed += 1;
            }
        };
        for part in &mut self.segments {
            let (positions, len) = (part.data.ids.positions(content_id, part.data.len()), part.data.len());
            positions.for_each(|position| apply(part.states_mut(len), position));
        }
        let len = self.tail.data.len();
        for position in self.tail_positions(content_id) {
            apply(self.tail.states_mut(len), position);
        }
        if state == ItemState::Removed {
            self.len -= changed;
        }
        changed
    }

    /// Where an item stands in the tail.
    fn tail_positions(&self, content_id: i64) -> Vec<u32> {
        let ids = &self.tail.data.ids;
        if self.repeats {
            return (0..).zip(ids).filter(|(_, id)| **id == content_id).map(|(position, _)| position).collect();
        }
        ids.binary_search(&content_id).ok().map(|position| position as u32).into_iter().collect()
    }

    /// All items within `radius` (raw; of PDQ hashes in bits) of any of `variants`, each once with its nearest variant, sorted by (distance, content id).
    pub fn search(&self, variants: &[K::Item], radius: u32) -> Vec<Hit<K::Item>> {
        self.search_parts(0..self.parts(), variants, radius, Reach::InForce)
    }

    /// All signals that are not removed, disabled ones too.
    pub fn iter(&self) -> impl Iterator<Item = (i64, K::Item)> {
        let segments = self.segments.iter().flat_map(|part| {
            let data = &part.data;
            in_use(data.len(), part.states.as_deref()).map(|position| (data.ids.get(position), data.segment.get(position)))
        });
        let tail = &self.tail.data;
        let last = in_use(tail.len(), self.tail.states.as_deref());
        segments.chain(last.map(|position| (tail.ids[position as usize], tail.rows.get(position))))
    }

    /// The hit of one item: its nearest signal in force, if it is within the radius (raw).
    pub fn nearest(&self, content_id: i64, query: &K::Item, radius: u32) -> Option<Hit<K::Item>> {
        let hits = |rows: &dyn Held<Item = K::Item>, states: Option<&States>, positions: &mut dyn Iterator<Item = u32>| {
            let items =
                positions.filter(|position| states.is_none_or(|states| !states.hides(*position))).map(|position| rows.get(position));
            items
                .map(|hash| Hit { distance: K::apart(&hash, query), content_id, variant: 0, hash })
                .filter(|hit| hit.distance <= radius)
                .min()
        };
        let tail = &self.tail.data;
        let mut last = self.tail_positions(content_id).into_iter();
        let segments = self
            .segments
            .iter()
            .filter_map(|part| hits(&part.data.segment, part.states.as_deref(), &mut part.data.ids.positions(content_id, part.data.len())));
        segments.chain(hits(&tail.rows, self.tail.states.as_deref(), &mut last)).min()
    }

    /// How many parts [`search_parts`](Self::search_parts) can look into.
    pub fn parts(&self) -> usize {
        self.segments.len() + 1
    }

    /// Signals of a part.
    pub fn part_len(&self, part: usize) -> usize {
        self.segments.get(part).map_or(self.tail.data.len(), |segment| segment.data.len())
    }

    /// [`search`](Self::search) in some of the parts only, for callers who share the work out.
    pub fn search_parts(&self, parts: Range<usize>, variants: &[K::Item], radius: u32, reach: Reach) -> Vec<Hit<K::Item>> {
        let queries: Vec<K::Query> = variants.iter().map(|item| self.kind.query(item, radius)).collect();
        let mut found = self.found(parts, &queries, reach, Simd::best());
        found.sort_unstable();
        let several = self.repeats || found.first().map(|found| found.field(0)) != found.last().map(|found| found.field(0));
        let hits = self.hits(&found);
        if several { nearest_of_each(hits) } else { hits }
    }

    /// The items within each query's own radius (raw), sorted as in [`search`](Self::search); `variant` is 0. Queries are spread over the threads of the
    /// current pool, and each is one thread's work.
    pub fn search_many(&self, queries: &[(K::Item, u32)]) -> Vec<Vec<Hit<K::Item>>> {
        let group = queries.len().div_ceil(rayon::current_num_threads()).clamp(1, GROUP);
        let answers = queries.par_chunks(group).flat_map_iter(|queries| {
            let queries: Vec<K::Query> = queries.iter().map(|(item, radius)| self.kind.query(item, *radius)).collect();
            let mut found = self.found(0..self.parts(), &queries, Reach::InForce, Simd::best());
            found.sort_unstable();
            let (mut rest, mut answers) = (&found[..], Vec::with_capacity(queries.len()));
            for query in 0..queries.len() as u32 {
                let (of_query, others) = rest.split_at(rest.partition_point(|found| found.field(0) == query));
                let mut hits = self.hits(of_query);
                hits.iter_mut().for_each(|hit| hit.variant = 0);
                answers.push(if self.repeats { nearest_of_each(hits) } else { hits });
                rest = others;
            }
            answers
        });
        answers.collect()
    }

    fn found(&self, parts: Range<usize>, queries: &[K::Query], reach: Reach, simd: Simd) -> Vec<Found> {
        let mut all = Vec::new();
        let Some(first) = queries.first() else { return all };
        let mut near = NEAR.take();
        let prepare = |part: usize| {
            if let Some(part) = self.segments.get(part).filter(|_| parts.contains(&part)) {
                K::prepare(&part.data.segment, first);
            }
        };
        prepare(parts.start);
        for part in parts.clone() {
            near.clear();
            let states = if let Some(segment) = self.segments.get(part) {
                if queries.len() == 1 {
                    prepare(part + 1);
                }
                K::search(&segment.data.segment, queries, simd, &mut near);
                &segment.states
            } else {
                K::scan(&self.tail.data.rows, queries, simd, &mut near);
                &self.tail.states
            };
            reach.keep(states.as_deref(), &mut near);
            all.extend(near.iter().map(|near| Found::new(part, near)));
        }
        NEAR.set(near);
        all
    }

    /// The hits in the order of `found`, in which signals lie anywhere in memory.
    fn hits(&self, found: &[Found]) -> Vec<Hit<K::Item>> {
        let hit = |(at, &now): (usize, &Found)| {
            if let Some(soon) = found.get(at + AHEAD) {
                match self.segments.get(soon.field(2) as usize) {
                    Some(segment) => segment.data.segment.prefetch(soon.field(3)),
                    None => self.tail.data.rows.prefetch(soon.field(3)),
                }
            }
            self.hit(now)
        };
        found.iter().enumerate().map(hit).collect()
    }

    fn hit(&self, found: Found) -> Hit<K::Item> {
        let [variant, distance, part, position] = [0, 1, 2, 3].map(|at| found.field(at));
        let tail = &self.tail.data;
        let (content_id, hash) = match self.segments.get(part as usize) {
            Some(segment) => (segment.data.ids.get(position), segment.data.segment.get(position)),
            None => (tail.ids[position as usize], tail.rows.get(position)),
        };
        Hit { distance, content_id, variant: variant as usize, hash }
    }
}

/// Positions that are not removed.
pub(super) fn in_use(len: usize, states: Option<&States>) -> impl Iterator<Item = u32> {
    (0..len as u32).filter(move |position| states.is_none_or(|states| !states.removed(*position)))
}

impl<K: Kind> std::fmt::Debug for Index<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let segments: Vec<usize> = self.segments.iter().map(|part| part.data.len()).collect();
        f.debug_struct("Index").field("len", &self.len).field("segments", &segments).field("tail", &self.tail.data.len()).finish()
    }
}
