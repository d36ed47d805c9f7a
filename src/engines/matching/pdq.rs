//! PDQ hashes as a type of signals.

use std::{cell::RefCell, io};

use super::{
    index::{Index, LARGEST, Sizes},
    kind::{Kind, Near},
    rows::Rows,
    segment::{Query, Scanning, Scratch, Segment},
    simd::Simd,
    stored::{Input, Output, Unreadable},
};
use crate::domain::{
    hash::PdqHash,
    signal::{Distance, Signal, SignalType},
};

/// The PDQ hashes of a bank. Raw distances are bits.
pub type PdqIndex = Index<Pdq>;

/// See [`PdqIndex`].
#[derive(Clone, Copy, Debug)]
pub struct Pdq;

impl Default for Sizes {
    /// Those of a PDQ index. Below some ten thousand hashes a scan is faster than any index, and a tail is copied when it grows while a snapshot shares it (40
    /// bytes per hash). The longest merge takes a second of a thread, and 300 MB beside what it replaces.
    fn default() -> Self {
        Self { tail: 1 << 14, merged: 1 << 22, full: LARGEST }
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Kind for Pdq {
    type Item = PdqHash;
    type Query = Query;
    type Rows = Rows;
    type Segment = Segment;

    fn signal_type(&self) -> SignalType {
        SignalType::Pdq
    }

    fn sizes(&self) -> Sizes {
        Sizes::default()
    }

    fn item(&self, signal: &Signal) -> Option<PdqHash> {
        if let Signal::Pdq(hash) = signal { Some(*hash) } else { None }
    }

    fn signal(&self, hash: PdqHash) -> Signal {
        Signal::Pdq(hash)
    }

    fn distance(raw: u32) -> Distance {
        Distance::from(raw)
    }

    fn raw(radius: Distance) -> u32 {
        radius.get() as u32 // towards zero: 31.5 bits include 31
    }

    fn apart(a: &PdqHash, b: &PdqHash) -> u32 {
        a.distance(b)
    }

    fn query(&self, hash: &PdqHash, raw: u32) -> Query {
        Query::new(hash, raw)
    }

    fn rows(&self) -> Rows {
        Rows::default()
    }

    fn scan(rows: &Rows, queries: &[Query], simd: Simd, found: &mut Vec<Near>) {
        let scanned: Vec<_> = queries.iter().map(Query::scanned).collect();
        let numbers: Vec<u32> = (0..queries.len() as u32).collect();
        simd.run(Scanning { rows, queries: &scanned, numbers: &numbers, found });
    }

    fn segment(&self, rows: Rows) -> Segment {
        Segment::new(rows)
    }

    fn search(segment: &Segment, queries: &[Query], simd: Simd, found: &mut Vec<Near>) {
        // Taken, so that a search that panics leaves no marks behind for the thread's next one.
        let mut scratch = SCRATCH.take();
        segment.search(queries, &mut scratch, simd, found);
        SCRATCH.set(scratch);
    }

    fn write(segment: &Segment, to: &mut Output) -> io::Result<()> {
        segment.write(to)
    }

    fn read(&self, len: usize, from: &mut Input) -> Result<Segment, Unreadable> {
        Segment::read(len, from)
    }

    fn prepare(segment: &Segment, query: &Query) {
        segment.prepare(query);
    }
}

impl Default for PdqIndex {
    fn default() -> Self {
        Self::of(Pdq)
    }
}

impl PdqIndex {
    /// An empty index whose parts have other sizes than the default's; for tests, which want to see merges of a few hashes.
    pub fn with_sizes(sizes: Sizes) -> Self {
        Self::of_sizes(Pdq, sizes)
    }
}

impl FromIterator<(i64, PdqHash)> for PdqIndex {
    fn from_iter<T: IntoIterator<Item = (i64, PdqHash)>>(hashes: T) -> Self {
        let mut index = Self::default();
        index.extend(hashes);
        index.settle();
        index
    }
}
