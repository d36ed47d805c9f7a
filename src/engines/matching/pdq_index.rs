//! The index of one bank: segments, a tail, and how they change.

use std::{cell::RefCell, ops::Range, sync::Arc};

use rayon::prelude::*;

use super::{
    hit::{Hit, nearest_of_each},
    rows::Rows,
    segment::{LARGEST, Near, Query, Scanning, Scratch, Segment},
    simd::{Simd, prefetch},
    states::States,
};
use crate::domain::bank::ItemState;
use crate::domain::hash::PdqHash;

/// How large the parts of an index become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Hashes of the tail, which is scanned, before it is indexed. Below some ten thousand hashes a scan is faster than any index, and a tail is copied
    /// when it grows while a snapshot shares it (32 bytes per hash).
    pub tail: usize,
    /// Hashes of a full segment, which is never merged again: a merge of two halves takes a tenth of a second.
    pub full: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { tail: 1 << 14, full: 1 << 20 }
    }
}

/// Queries whose work is cut together: those that scan share the memory traffic.
const GROUP: usize = 16;
/// Hits whose hashes are asked for before they are read: about as many as a processor fetches at a time.
const AHEAD: usize = 16;

/// The PDQ hashes of a bank, all hits within any radius. Cheap to clone: a clone is a snapshot that shares everything that does not change.
#[derive(Clone, Default)]
pub struct PdqIndex {
    sizes: Sizes,
    segments: Vec<Part<Segment>>,
    tail: Part<Tail>,
    /// Hashes that are not removed.
    len: usize,
    /// The highest content id so far.
    highest: Option<i64>,
    /// Whether content ids did not always ascend, so that one may have several hashes.
    repeats: bool,
}

/// Shared data and what of it is out of force.
struct Part<T> {
    data: Arc<T>,
    /// `None` while everything is in force.
    states: Option<Arc<States>>,
}

/// Hashes that are not indexed yet, in the order in which they came.
#[derive(Clone, Default)]
struct Tail {
    rows: Rows,
    ids: Vec<i64>,
}

impl<T> Clone for Part<T> {
    fn clone(&self) -> Self {
        Self { data: self.data.clone(), states: self.states.clone() }
    }
}

impl<T: Default> Default for Part<T> {
    fn default() -> Self {
        Self { data: Arc::default(), states: None }
    }
}

impl<T> Part<T> {
    fn new(data: T) -> Self {
        Self { data: Arc::new(data), states: None }
    }

    fn removals(&self) -> usize {
        self.states.as_ref().map_or(0, |states| states.removals())
    }

    /// The states of `len` hashes, to be changed: copied if a snapshot shares them.
    fn states_mut(&mut self, len: usize) -> &mut States {
        Arc::make_mut(self.states.get_or_insert_with(|| Arc::new(States::new(len))))
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

/// Sorted content ids with their hashes, and which of them are disabled: what a segment is made of.
#[derive(Default)]
struct Material {
    items: Vec<(i64, PdqHash, bool)>,
}

thread_local! {
    /// A search allocates nothing but its answer.
    static SCRATCH: RefCell<(Scratch, Vec<Near>)> = RefCell::default();
}

impl PdqIndex {
    /// An empty index whose parts have other sizes than the default's; for tests, which want to see merges of a few hashes.
    pub fn with_sizes(sizes: Sizes) -> Self {
        let full = sizes.full.clamp(1, LARGEST);
        Self { sizes: Sizes { tail: sizes.tail.clamp(1, full), full }, ..Self::default() }
    }

    /// Hashes held, disabled ones too, removed ones not.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no hash is held.
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

    /// Adds one hash. Copies the tail if a snapshot shares it; for many hashes use [`extend`](Self::extend).
    pub fn push(&mut self, content_id: i64, hash: PdqHash) {
        self.extend([(content_id, hash)]);
    }

    /// Adds hashes; the next search sees them. As many as fill a segment are indexed at once, on all threads of the current pool.
    pub fn extend(&mut self, hashes: impl IntoIterator<Item = (i64, PdqHash)>) {
        for (content_id, hash) in hashes {
            self.repeats |= self.highest.is_some_and(|highest| content_id <= highest);
            self.highest = self.highest.max(Some(content_id));
            self.len += 1;
            let tail = Arc::make_mut(&mut self.tail.data);
            tail.rows.push(&hash);
            tail.ids.push(content_id);
            if tail.ids.len() == self.sizes.full {
                self.freeze();
            }
        }
        if self.tail.data.ids.len() >= self.sizes.tail {
            self.freeze();
        }
        self.cover_tail();
    }

    /// Gives the tail's new hashes a state, if it has any.
    fn cover_tail(&mut self) {
        let len = self.tail.data.ids.len();
        if self.tail.states.is_some() {
            self.tail.states_mut(len).grow(len);
        }
    }

    /// Sets the state of all hashes of an item; the next search sees it, snapshots taken before do not. What is removed stays so. Returns how many
    /// hashes were not.
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
        let len = self.tail.data.ids.len();
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

    /// Indexes the tail and merges: afterwards each segment is less than half as long as the one before, or full.
    fn freeze(&mut self) {
        self.cover_tail();
        let tail = std::mem::take(&mut self.tail);
        self.add(Material::default().with(tail.data.ids.iter().copied(), &tail.data.rows, tail.states.as_deref()));
        while let [.., a, b] = &self.segments[..] {
            let together = a.data.len() + b.data.len() - a.removals() - b.removals();
            if a.data.len() >= 2 * b.data.len() || together > self.sizes.full {
                break;
            }
            self.rebuild(self.segments.len() - 2);
        }
        // Full segments never merge, so what was removed from them is dropped when it is a quarter of one; one at a time.
        if let Some(at) = self.segments.iter().position(|part| 4 * part.removals() > part.data.len()) {
            let after = self.segments.split_off(at + 1);
            self.rebuild(at);
            self.segments.extend(after);
        }
    }

    /// Makes one segment of those from `at` on.
    fn rebuild(&mut self, at: usize) {
        let material = self.segments.drain(at..).fold(Material::default(), |material, part| {
            let ids = (0..part.data.len() as u32).map(|position| part.data.ids.get(position));
            material.with(ids, &part.data.rows, part.states.as_deref())
        });
        self.add(material);
    }

    fn add(&mut self, mut material: Material) {
        let items = &mut material.items;
        if items.is_empty() {
            return;
        }
        // The segment finds ids by bisection. Usually they ascend already.
        items.sort_by_key(|item| item.0);
        let mut rows = Rows::with_capacity(items.len());
        items.iter().for_each(|(_, hash, _)| rows.push(hash));
        let ids: Vec<i64> = items.iter().map(|item| item.0).collect();
        let mut part = Part::new(Segment::new(rows, &ids));
        for (position, _) in items.iter().enumerate().filter(|(_, item)| item.2) {
            part.states_mut(ids.len()).set(position as u32, ItemState::Disabled);
        }
        self.segments.push(part);
    }

    /// All items within `radius` bits of any of `variants`, each once with its nearest variant, sorted by (distance, content id).
    pub fn search(&self, variants: &[PdqHash], radius: u32) -> Vec<Hit> {
        self.search_parts(0..self.parts(), variants, radius)
    }

    /// All hashes that are not removed, disabled ones too.
    pub fn iter(&self) -> impl Iterator<Item = (i64, PdqHash)> {
        let segments = self.segments.iter().flat_map(|part| {
            let data = &part.data;
            in_use(data.len(), part.states.as_deref()).map(|position| (data.ids.get(position), data.rows.get(position)))
        });
        let tail = &self.tail.data;
        let last = in_use(tail.ids.len(), self.tail.states.as_deref());
        segments.chain(last.map(|position| (tail.ids[position as usize], tail.rows.get(position))))
    }

    /// The hit of one item: its nearest hash in force, if it is within the radius.
    pub fn nearest(&self, content_id: i64, query: &PdqHash, radius: u32) -> Option<Hit> {
        let hits = |rows: &Rows, states: Option<&States>, positions: &mut dyn Iterator<Item = u32>| {
            let hashes =
                positions.filter(|position| states.is_none_or(|states| !states.hides(*position))).map(|position| rows.get(position));
            hashes
                .map(|hash| Hit { distance: hash.distance(query), content_id, variant: 0, hash })
                .filter(|hit| hit.distance <= radius)
                .min()
        };
        let tail = &self.tail.data;
        let mut last = self.tail_positions(content_id).into_iter();
        let segments = self
            .segments
            .iter()
            .filter_map(|part| hits(&part.data.rows, part.states.as_deref(), &mut part.data.ids.positions(content_id, part.data.len())));
        segments.chain(hits(&tail.rows, self.tail.states.as_deref(), &mut last)).min()
    }

    /// How many parts [`search_parts`](Self::search_parts) can look into, each at most as large as a full segment.
    pub fn parts(&self) -> usize {
        self.segments.len() + 1
    }

    /// Hashes of a part.
    pub fn part_len(&self, part: usize) -> usize {
        self.segments.get(part).map_or(self.tail.data.ids.len(), |segment| segment.data.len())
    }

    /// [`search`](Self::search) in some of the parts only, for callers who share the work out.
    pub fn search_parts(&self, parts: Range<usize>, variants: &[PdqHash], radius: u32) -> Vec<Hit> {
        let queries: Vec<Query> = variants.iter().map(|hash| Query::new(hash, radius)).collect();
        let mut found = self.found(parts, &queries, Simd::best());
        found.sort_unstable();
        let several = self.repeats || found.first().map(|found| found.field(0)) != found.last().map(|found| found.field(0));
        let hits = self.hits(&found);
        if several { nearest_of_each(hits) } else { hits }
    }

    /// The items within each query's own radius, sorted as in [`search`](Self::search); `variant` is 0. Queries are spread over the threads of the current
    /// pool, and each is one thread's work.
    pub fn search_many(&self, queries: &[(PdqHash, u32)]) -> Vec<Vec<Hit>> {
        let group = queries.len().div_ceil(rayon::current_num_threads()).clamp(1, GROUP);
        let answers = queries.par_chunks(group).flat_map_iter(|queries| {
            let queries: Vec<Query> = queries.iter().map(|(hash, radius)| Query::new(hash, *radius)).collect();
            let mut found = self.found(0..self.parts(), &queries, Simd::best());
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

    fn found(&self, parts: Range<usize>, queries: &[Query], simd: Simd) -> Vec<Found> {
        let mut all = Vec::new();
        let Some(first) = queries.first() else { return all };
        // Taken, so that a search that panics leaves no marks behind for the thread's next one.
        let (mut scratch, mut near) = SCRATCH.take();
        let prepare = |part: usize| {
            if let Some(part) = self.segments.get(part).filter(|_| parts.contains(&part)) {
                part.data.prepare(first);
            }
        };
        prepare(parts.start);
        for part in parts.clone() {
            near.clear();
            if let Some(segment) = self.segments.get(part) {
                if queries.len() == 1 {
                    prepare(part + 1);
                }
                segment.data.search(queries, segment.states.as_deref(), &mut scratch, simd, &mut near);
            } else {
                self.tail.data.search(queries, self.tail.states.as_deref(), simd, &mut near);
            }
            all.extend(near.iter().map(|near| Found::new(part, near)));
        }
        SCRATCH.set((scratch, near));
        all
    }

    /// The hits in the order of `found`, in which hashes lie anywhere in memory.
    fn hits(&self, found: &[Found]) -> Vec<Hit> {
        let hit = |(at, &now): (usize, &Found)| {
            if let Some(soon) = found.get(at + AHEAD) {
                let rows = self.segments.get(soon.field(2) as usize).map_or(&self.tail.data.rows, |segment| &segment.data.rows);
                prefetch(&rows.first, soon.field(3) as usize);
                prefetch(&rows.second, soon.field(3) as usize);
            }
            self.hit(now)
        };
        found.iter().enumerate().map(hit).collect()
    }

    fn hit(&self, found: Found) -> Hit {
        let [variant, distance, part, position] = [0, 1, 2, 3].map(|at| found.field(at));
        let tail = &self.tail.data;
        let (content_id, rows) = match self.segments.get(part as usize) {
            Some(segment) => (segment.data.ids.get(position), &segment.data.rows),
            None => (tail.ids[position as usize], &tail.rows),
        };
        Hit { distance, content_id, variant: variant as usize, hash: rows.get(position) }
    }
}

/// Positions that are not removed.
fn in_use(len: usize, states: Option<&States>) -> impl Iterator<Item = u32> {
    (0..len as u32).filter(move |position| states.is_none_or(|states| !states.removed(*position)))
}

impl Tail {
    fn search(&self, queries: &[Query], states: Option<&States>, simd: Simd, near: &mut Vec<Near>) {
        let scanned: Vec<_> = queries.iter().map(Query::scanned).collect();
        let numbers: Vec<u32> = (0..queries.len() as u32).collect();
        simd.run(Scanning { rows: &self.rows, queries: &scanned, numbers: &numbers, found: near });
        if let Some(states) = states {
            near.retain(|near| !states.hides(near.position));
        }
    }
}

impl Material {
    /// Adds what is not removed.
    fn with(mut self, ids: impl Iterator<Item = i64>, rows: &Rows, states: Option<&States>) -> Self {
        let kept = (0..).zip(ids).filter(|(position, _)| states.is_none_or(|states| !states.removed(*position)));
        let item = |(position, id)| (id, rows.get(position), states.is_some_and(|states| states.disabled(position)));
        self.items.extend(kept.map(item));
        self
    }
}

impl FromIterator<(i64, PdqHash)> for PdqIndex {
    fn from_iter<T: IntoIterator<Item = (i64, PdqHash)>>(hashes: T) -> Self {
        let mut index = Self::default();
        index.extend(hashes);
        index
    }
}

impl std::fmt::Debug for PdqIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let segments: Vec<usize> = self.segments.iter().map(|part| part.data.len()).collect();
        f.debug_struct("PdqIndex").field("len", &self.len).field("segments", &segments).field("tail", &self.tail.data.ids.len()).finish()
    }
}
