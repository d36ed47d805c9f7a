//! How the parts of an index become few and long, beside the searches and the updates.
//!
//! An update appends to the tail and sets states, and is done. What tidies up is a [`Merge`]: made from a snapshot, at leisure, on another thread, and
//! taken over by the index of that time in a moment ([`Index::adopt`]), with the states that were set meanwhile. Segments of similar length are merged, so that each signal is
//! moved a logarithmic number of times, and what was removed is dropped on the way.

use std::sync::Arc;

use super::{
    ids::Ids,
    index::{Index, Part, Sealed, Tail, in_use},
    kind::{Held, Kind, Rows},
    states::States,
};
use crate::domain::bank::ItemState;

/// One segment in place of several, made from a snapshot of the index.
pub struct Merge<K: Kind> {
    /// The segments that it replaces, as they were.
    from: Vec<Part<Sealed<K>>>,
    /// Signals of the tail that it replaces, their states, and which tail.
    tail: (usize, Option<Arc<States>>, u64),
    /// `None` when everything was removed.
    made: Option<Part<Sealed<K>>>,
}

/// What a segment is made of: content ids and signals that are not removed, and which of them are disabled. They are gathered in the columns that the segment keeps, so that
/// a merge takes little more memory than what it makes.
struct Material<'a, K: Kind> {
    kind: &'a K,
    ids: Vec<i64>,
    rows: K::Rows,
    /// Places, ascending.
    disabled: Vec<u32>,
}

impl<'a, K: Kind> Material<'a, K> {
    fn new(kind: &'a K, len: usize) -> Self {
        let mut rows = kind.rows();
        rows.reserve(len);
        Self { kind, ids: Vec::with_capacity(len), rows, disabled: Vec::new() }
    }

    fn add(&mut self, len: usize, id: impl Fn(u32) -> i64, rows: &dyn Held<Item = K::Item>, states: Option<&States>) {
        for position in in_use(len, states) {
            if states.is_some_and(|states| states.disabled(position)) {
                self.disabled.push(self.ids.len() as u32);
            }
            self.ids.push(id(position));
            self.rows.push(&rows.get(position));
        }
    }

    /// The same by ascending ids, as a segment wants them. Usually they ascend already.
    fn sorted(mut self) -> Self {
        if !self.ids.is_sorted() {
            let mut order: Vec<u32> = (0..self.ids.len() as u32).collect();
            order.sort_by_key(|&place| self.ids[place as usize]);
            let mut sorted = Self::new(self.kind, order.len());
            for place in order {
                if self.disabled.binary_search(&place).is_ok() {
                    sorted.disabled.push(sorted.ids.len() as u32);
                }
                sorted.ids.push(self.ids[place as usize]);
                sorted.rows.push(&self.rows.get(place));
            }
            self = sorted;
        }
        self.rows.shrink();
        self
    }

    fn part(self) -> Option<Part<Sealed<K>>> {
        if self.ids.is_empty() {
            return None;
        }
        let Self { kind, ids, rows, disabled } = self.sorted();
        let len = ids.len();
        let ids = Ids::new(&{ ids });
        let mut part = Part::new(Sealed::new(ids, kind.segment(rows)));
        disabled.into_iter().for_each(|position| part.states_mut(len).set(position, ItemState::Disabled));
        Some(part)
    }
}

impl<K: Kind> Index<K> {
    /// Makes a segment of the whole tail, without a copy where that is possible.
    pub(super) fn freeze(&mut self) {
        self.cover_tail();
        let empty = Part::new(Tail { rows: self.kind.rows(), ids: Vec::new() });
        let Part { data, states } = std::mem::replace(&mut self.tail, empty);
        self.tails += 1;
        let made = match Arc::try_unwrap(data) {
            Ok(Tail { mut rows, ids }) if ids.is_sorted() && !ids.is_empty() => {
                rows.shrink();
                let ids = Ids::new(&{ ids });
                Some(Part { data: Arc::new(Sealed::new(ids, self.kind.segment(rows))), states })
            }
            Ok(tail) => self.of_tail(&tail, states.as_deref()),
            Err(tail) => self.of_tail(&tail, states.as_deref()),
        };
        self.segments.extend(made);
    }

    fn of_tail(&self, tail: &Tail<K>, states: Option<&States>) -> Option<Part<Sealed<K>>> {
        let mut material = Material::new(&self.kind, tail.len());
        material.add(tail.len(), |position| tail.ids[position as usize], &tail.rows, states);
        material.part()
    }

    /// Which segments to merge next, and whether with the tail: none when the index is tidy. A long tail becomes a segment, together with the segments
    /// before it that are less than twice as long; segments are merged by the same rule, up to the longest that merges make; and a segment of which a quarter was removed is made anew.
    fn untidy(&self) -> Option<(std::ops::Range<usize>, bool)> {
        let in_use = |at: usize| self.segments[at].data.len() - self.segments[at].removals();
        let reach_back = |end: usize, mut length: usize| {
            let mut start = end;
            while start > 0 && self.segments[start - 1].data.len() < 2 * length && in_use(start - 1) + length <= self.sizes.merged {
                start -= 1;
                length += in_use(start);
            }
            start
        };
        let (tail, end) = (self.tail.data.len(), self.segments.len());
        if tail >= self.sizes.tail {
            return Some((reach_back(end, tail - self.tail.removals())..end, true));
        }
        let merged = (0..end).rev().map(|last| reach_back(last, in_use(last))..last + 1).find(|range| range.len() > 1);
        let thinned = || (0..end).find(|&at| 4 * self.segments[at].removals() > self.segments[at].data.len()).map(|at| at..at + 1);
        Some((merged.or_else(thinned)?, false))
    }

    /// The next step towards few and long parts, made of the index as it is now; `None` when there is nothing to do. Takes up to some seconds of a thread: call it on a
    /// snapshot, on a thread for such work, and give the result to [`adopt`](Self::adopt).
    pub fn merge(&self) -> Option<Merge<K>> {
        let (range, with_tail) = self.untidy()?;
        let from = self.segments[range].to_vec();
        let tail = if with_tail { self.tail.data.len() } else { 0 };
        let mut material = Material::new(&self.kind, from.iter().map(|part| part.data.len() - part.removals()).sum::<usize>() + tail);
        for part in &from {
            material.add(part.data.len(), |position| part.data.ids.get(position), &part.data.segment, part.states.as_deref());
        }
        material.add(tail, |position| self.tail.data.ids[position as usize], &self.tail.data.rows, self.tail.states.as_deref());
        Some(Merge { from, tail: (tail, self.tail.states.clone(), self.tails), made: material.part() })
    }

    /// Puts a merge in the place of what it was made of, with the states that were set since. Returns false, and leaves everything as it is, when other parts stand
    /// there by now. Quick, but for the states of a full segment if one of its items changed meanwhile.
    pub fn adopt(&mut self, merge: Merge<K>) -> bool {
        let Merge { from, tail: (tail, tail_states, tails), mut made } = merge;
        let start = match from.first() {
            Some(first) => self.segments.iter().position(|part| Arc::ptr_eq(&part.data, &first.data)),
            None => Some(self.segments.len()),
        };
        let Some(start) = start else { return false };
        let end = start + from.len();
        let same = self.segments.get(start..end).is_some_and(|now| now.iter().zip(&from).all(|(a, b)| Arc::ptr_eq(&a.data, &b.data)));
        if !same || (tail > 0 && (tails != self.tails || end != self.segments.len())) {
            return false;
        }
        let mut changed = Vec::new();
        for (then, now) in from.iter().zip(&self.segments[start..end]) {
            let positions = States::differing(then.states.as_deref(), now.states.as_deref(), then.data.len());
            changed.extend(positions.map(|(position, state)| (then.data.ids.get(position), state)));
        }
        let positions = States::differing(tail_states.as_deref(), self.tail.states.as_deref(), tail);
        changed.extend(positions.map(|(position, state)| (self.tail.data.ids[position as usize], state)));
        if let Some(part) = &mut made {
            let len = part.data.len();
            for (content_id, state) in changed {
                let positions = part.data.ids.positions(content_id, len);
                positions.for_each(|position| part.states_mut(len).set(position, state));
            }
        }
        if tail > 0 {
            self.shorten_tail(tail);
        }
        self.segments.splice(start..end, made);
        true
    }

    /// Drops the first signals of the tail.
    fn shorten_tail(&mut self, first: usize) {
        let (old, len) = (self.tail.clone(), self.tail.data.len());
        let mut rows = self.kind.rows();
        (first..len).for_each(|position| rows.push(&old.data.rows.get(position as u32)));
        self.tail = Part::new(Tail { rows, ids: old.data.ids[first..].to_vec() });
        self.tails += 1;
        if let Some(states) = old.states {
            self.tail.states = Some(Arc::new(states.from(first, len)));
        }
    }

    /// Merges until there is nothing to do, here and now. A tail that is longer than what merges make becomes a segment as it lies.
    pub fn settle(&mut self) {
        if self.tail.data.len() > self.sizes.merged {
            self.freeze();
        }
        while let Some(merge) = self.merge() {
            if !self.adopt(merge) {
                return; // nobody changes it meanwhile
            }
        }
    }
}
