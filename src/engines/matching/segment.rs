//! An immutable, indexed part of a bank.
//!
//! For each of the 16 keys the positions of the hashes stand sorted by their key (`postings`), and `offsets` says where each key value's bucket begins.
//! Positions take as many bits as they need: 20 in a full segment of 2^20 hashes, so that with both halves of the hash and the offsets it is 76 bytes per hash in
//! all. A segment holds at most 2^24 hashes.
//!
//! Random access is the whole cost of a search: nothing is computed that would not hide behind a cache miss. So every step asks for all the memory that the
//! next one will touch (the heads of the buckets of the next query, the buckets, the candidates of a batch) before it looks at any of it.

use std::io;

use rayon::prelude::*;

use super::{
    index::LARGEST,
    keys::{KEY_BITS, KEYS, Keys, keys, masks},
    kind::{Held, Near},
    packed::{self, Packed},
    plan::{self, Costs, MOST, Thresholds},
    rows::{BLOCK, Half, Rows, halves},
    simd::{Simd, Work, prefetch},
    stored::{self, Input, Output, Unreadable},
};
use crate::domain::hash::PdqHash;

/// Hashes whose keys are computed together while a segment is built.
const KEYED: usize = 4096;
/// Candidates that are asked for before the first is looked at: half of a first-level cache, more than any processor fetches at a time.
const BATCH: usize = 256;

/// Costs in units of a first half scanned (0.23 ns from a cache, on an EPYC with AVX-512; what is said of the others was measured on banks of a
/// million, benches/README.md has the whole): a candidate whose first half is not in the cache …
const CANDIDATE: u32 = 32;
/// … and a bucket to open, whose head and first candidates are two such misses.
const PROBE: u32 = 64;
/// Candidates of a bucket beyond this many (an even one of a full segment has 16) are a cluster that other keys bring up too: …
const EVEN: u32 = 64;
/// … mostly they are in the cache by then.
const AGAIN: u32 = 10;
/// What a hash of a block costs more that passed the test of the first halves.
const SECOND_HALF: u64 = 3;
/// Radius from which on blocks of random hashes pass that test often: 64 P(Bin(128, 1/2) <= 48) = 0.2.
const BOTH_HALVES: u32 = 48;
/// Looking at the next level of thresholds takes some microseconds; plans that cost less than ten times that are good enough.
const PLANNING: u64 = 300_000;

/// Hashes, and the way from a key to them.
pub struct Segment {
    pub(super) rows: Rows,
    /// Bits of a key that are used: so many that an even bucket holds one hash at least, and the offsets take hardly more than the postings.
    bits: u32,
    /// For each key 2^bits + 1 places in its part of `postings`.
    offsets: Vec<u32>,
    /// For each key all positions, in `stride` places.
    postings: Packed,
    stride: usize,
}

/// One hash to look for.
#[derive(Clone, Copy)]
pub struct Query {
    halves: [Half; 2],
    keys: Keys,
    radius: u32,
}

/// Memory that searches use again.
#[derive(Default)]
pub(super) struct Scratch {
    /// Buckets to open: first place and length.
    buckets: Vec<(u32, u32)>,
    /// Positions to look at.
    batch: Vec<u32>,
    /// One bit for each hash of the segment that was found already; cleared after each query.
    seen: Vec<u64>,
    /// Queries that scan.
    scans: Vec<u32>,
}

impl Query {
    pub fn new(hash: &PdqHash, radius: u32) -> Self {
        Self { halves: halves(hash), keys: keys(hash.words()), radius }
    }

    pub(super) fn scanned(&self) -> ([Half; 2], u32) {
        (self.halves, self.radius)
    }
}

impl Segment {
    /// Indexes hashes on all threads of the current pool.
    pub fn new(rows: Rows) -> Self {
        let len = rows.len();
        assert!(len <= LARGEST, "{len} hashes");
        let bits = Self::key_bits(len);
        let (mask, buckets) = ((1u16 << (bits - 1) << 1).wrapping_sub(1), 1usize << bits);
        let mut keyed = vec![0u16; len.next_multiple_of(KEYED) * KEYS];
        keyed.par_chunks_mut(KEYED * KEYS).enumerate().for_each(|(block, keyed)| {
            for at in 0..KEYED.min(len - block * KEYED) {
                for (key, value) in keys(rows.get((block * KEYED + at) as u32).words()).into_iter().enumerate() {
                    keyed[key * KEYED + at] = value & mask;
                }
            }
        });
        let mut offsets = vec![0u32; KEYS * (buckets + 1)];
        let (width, stride) = Self::layout(len);
        let mut postings = Packed::zeros(width, KEYS * stride);
        let parts = postings.bytes_mut().par_chunks_exact_mut(stride * width as usize / 8);
        let tables = offsets.par_chunks_exact_mut(buckets + 1).zip(parts).enumerate();
        tables.for_each(|(key, (offsets, postings))| {
            let values = || keyed.chunks_exact(KEYED * KEYS).flat_map(|block| &block[key * KEYED..][..KEYED]).take(len);
            // Counting sort: `offsets[k + 1]` is where the next hash of bucket k goes, and at last where the bucket ends.
            let mut ends = vec![0u32; buckets];
            values().for_each(|&value| ends[usize::from(value)] += 1);
            let mut sum = 0;
            for (end, offset) in ends.iter_mut().zip(offsets.iter_mut()) {
                *offset = sum;
                sum += std::mem::replace(end, sum);
            }
            offsets[buckets] = sum;
            for (position, &value) in values().enumerate() {
                let end = &mut ends[usize::from(value)];
                packed::set(postings, width, *end as usize, position as u32);
                *end += 1;
            }
        });
        Self { rows, bits, offsets, postings, stride }
    }

    /// Bits of a key that are used for so many hashes.
    fn key_bits(len: usize) -> u32 {
        len.max(2).ilog2().min(KEY_BITS)
    }

    /// Bits of a posting, and places of each key's.
    fn layout(len: usize) -> (u32, usize) {
        (packed::bits_below(len), packed::whole_bytes(len.max(1)))
    }

    pub(super) fn write(&self, to: &mut Output) -> io::Result<()> {
        to.column(&self.rows.first)?;
        to.column(&self.rows.second)?;
        to.column(&self.offsets)?;
        to.column(self.postings.bytes())
    }

    pub(super) fn read(len: usize, from: &mut Input) -> Result<Self, Unreadable> {
        let (bits, (width, stride)) = (Self::key_bits(len), Self::layout(len));
        let buckets = 1usize << bits;
        let rows = Rows { first: from.column(len)?, second: from.column(len)? };
        let offsets: Vec<u32> = from.column(KEYS * (buckets + 1))?;
        offsets.chunks_exact(buckets + 1).try_for_each(|offsets| stored::check_offsets(offsets, len))?;
        let bytes = from.column(Packed::bytes_of(width, KEYS * stride))?;
        let postings = Packed::from_bytes(width, KEYS * stride, bytes).ok_or(Unreadable::Damaged("postings"))?;
        // Where every number of that width is a position there is nothing to check.
        if len < 1 << width {
            (0..KEYS).try_for_each(|key| stored::check_position(postings.largest(key * stride..key * stride + len), len))?;
        }
        Ok(Self { rows, bits, offsets, postings, stride })
    }

    /// Place of a bucket's head in `offsets`.
    #[inline(always)]
    fn head(&self, key: usize, value: u16) -> usize {
        let value = usize::from(value) & ((1 << self.bits) - 1);
        key * ((1 << self.bits) + 1) + value
    }

    /// First place in `postings` and length.
    #[inline(always)]
    fn bucket(&self, key: usize, value: u16) -> (u32, u32) {
        let head = self.head(key, value);
        let (start, end) = (self.offsets[head], self.offsets[head + 1]);
        ((key * self.stride) as u32 + start, end - start)
    }

    /// Asks for the heads of the buckets that [`search`](Self::search) will look at first.
    pub fn prepare(&self, query: &Query) {
        for (key, &value) in query.keys.iter().enumerate() {
            masks(0, self.bits).iter().chain(masks(1, self.bits)).for_each(|mask| prefetch(&self.offsets, self.head(key, value ^ mask)));
        }
    }

    /// What opening the buckets of a level costs, for levels `from..=to`.
    fn costs(&self, query: &Query, costs: &mut Costs, levels: std::ops::RangeInclusive<usize>) {
        for (key, (cost, &value)) in costs.iter_mut().zip(&query.keys).enumerate() {
            for level in levels.clone() {
                let opened = masks(level, self.bits).iter().map(|mask| {
                    let len = self.bucket(key, value ^ mask).1;
                    PROBE + CANDIDATE * len.min(EVEN) + AGAIN * len.saturating_sub(EVEN)
                });
                cost[level] = opened.fold(0, u32::saturating_add);
            }
        }
    }

    /// The keys to look up, or `None` when scanning is cheaper.
    fn plan(&self, query: &Query) -> Option<Thresholds> {
        let len = self.len() as u64;
        // Near-duplicates of the query stand in its own bucket of most keys, and each makes a block of the scan pass its first test.
        let crowd: u64 =
            (0..KEYS).map(|key| u64::from(self.bucket(key, query.keys[key]).1.saturating_sub(EVEN))).sum::<u64>() / KEYS as u64;
        let both_halves = if query.radius < BOTH_HALVES { len.min(crowd * BLOCK as u64) } else { len };
        let scan = len + SECOND_HALF * both_halves;
        // What even buckets would cost at the very least is too much already.
        if u64::from(query.radius + 1) * u64::from(PROBE) > scan {
            return None;
        }
        let mut costs = [[0; MOST + 1]; KEYS];
        self.costs(query, &mut costs, 0..=1);
        let mut planned = plan::cheapest(&costs, 1, query.radius);
        if planned.is_none_or(|(_, cost)| cost > PLANNING) && scan > PLANNING {
            self.costs(query, &mut costs, 2..=2);
            planned = plan::cheapest(&costs, MOST, query.radius);
        }
        planned.filter(|(_, cost)| *cost <= scan).map(|(thresholds, _)| thresholds)
    }

    /// Looks into the buckets of a plan, which must be exact for the query's radius.
    pub(super) fn probe(
        &self,
        query: &Query,
        number: u32,
        thresholds: Thresholds,
        scratch: &mut Scratch,
        simd: Simd,
        found: &mut Vec<Near>,
    ) {
        simd.run(Probing { segment: self, query, number, thresholds, scratch, found });
    }

    /// Everything within the queries' radii, each once for each query, into the empty `found`.
    pub(super) fn search(&self, queries: &[Query], scratch: &mut Scratch, simd: Simd, found: &mut Vec<Near>) {
        scratch.scans.clear();
        for (number, query) in queries.iter().enumerate() {
            if let Some(next) = queries.get(number + 1) {
                self.prepare(next);
            }
            match self.plan(query) {
                Some(thresholds) => {
                    debug_assert!(plan::is_exact(&thresholds, query.radius));
                    self.probe(query, number as u32, thresholds, scratch, simd, found);
                }
                None => scratch.scans.push(number as u32),
            }
        }
        if !scratch.scans.is_empty() {
            let scanned: Vec<_> = scratch.scans.iter().map(|&number| queries[number as usize].scanned()).collect();
            simd.run(Scanning { rows: &self.rows, queries: &scanned, numbers: &scratch.scans, found });
        }
    }
}

impl Held for Segment {
    type Item = PdqHash;

    fn get(&self, position: u32) -> PdqHash {
        self.rows.get(position)
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn prefetch(&self, position: u32) {
        self.rows.prefetch(position);
    }

    fn memory_bytes(&self) -> usize {
        self.rows.memory_bytes() + self.offsets.capacity() * size_of::<u32>() + self.postings.memory_bytes()
    }
}

/// One query's buckets in one segment.
struct Probing<'a> {
    segment: &'a Segment,
    query: &'a Query,
    number: u32,
    thresholds: Thresholds,
    scratch: &'a mut Scratch,
    found: &'a mut Vec<Near>,
}

impl Work for Probing<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { segment, query, number, thresholds, scratch, found } = self;
        let Scratch { buckets, batch, seen, .. } = scratch;
        buckets.clear();
        for (key, (&value, &threshold)) in query.keys.iter().zip(&thresholds).enumerate() {
            for level in 0..(threshold + 1) as usize {
                for mask in masks(level, segment.bits) {
                    let (first, len) = segment.bucket(key, value ^ mask);
                    if len > 0 {
                        segment.postings.prefetch(first as usize);
                        buckets.push((first, len));
                    }
                }
            }
        }
        let start = found.len();
        seen.resize(segment.len().div_ceil(64).max(seen.len()), 0);
        let mut looking = Looking { rows: &segment.rows, query, number, seen, found };
        batch.clear();
        for &(first, len) in &*buckets {
            let (mut place, end) = (first as usize, (first + len) as usize);
            while place < end {
                let next = end.min(place + BATCH);
                if batch.len() + (next - place) > BATCH {
                    looking.look(batch);
                }
                for place in place..next {
                    let position = segment.postings.get(place);
                    prefetch(&segment.rows.first, position as usize);
                    batch.push(position);
                }
                place = next;
            }
        }
        looking.look(batch);
        for near in &looking.found[start..] {
            looking.seen[near.position as usize / 64] = 0;
        }
    }
}

/// Candidates of one query.
struct Looking<'a> {
    rows: &'a Rows,
    query: &'a Query,
    number: u32,
    seen: &'a mut [u64],
    found: &'a mut Vec<Near>,
}

impl Looking<'_> {
    #[inline(always)]
    fn look(&mut self, batch: &mut Vec<u32>) {
        for &position in &*batch {
            if let Some(distance) = self.rows.near(position, self.query.halves, self.query.radius) {
                // The same hash is met once for each key that is near enough.
                let (word, bit) = (&mut self.seen[position as usize / 64], 1 << (position % 64));
                if *word & bit == 0 {
                    *word |= bit;
                    self.found.push(Near { query: self.number, position, distance });
                }
            }
        }
        batch.clear();
    }
}

/// Queries over all hashes.
pub(super) struct Scanning<'a> {
    pub rows: &'a Rows,
    pub queries: &'a [([Half; 2], u32)],
    /// Their numbers among all queries.
    pub numbers: &'a [u32],
    pub found: &'a mut Vec<Near>,
}

impl Work for Scanning<'_> {
    #[inline(always)]
    fn run(self) {
        self.rows.scan(self.queries, |query, position, distance| self.found.push(Near { query: self.numbers[query], position, distance }));
    }
}
