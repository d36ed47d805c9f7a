//! An immutable, indexed part of a bank.
//!
//! For each key the positions of the hashes stand sorted by the key's value, bucket by bucket (`postings`), and [`Heads`] says where each bucket lies. Positions take as many bits as they need: in a segment
//! of ten million hashes 24 for each of eleven keys, 33 bytes a hash, and the heads some 10, so that with both halves of the hash it is 75 bytes in all. A segment holds at most 2^24 hashes.
//!
//! Random access is the whole cost of a search: nothing is computed that would not hide behind a cache miss. So every step asks for all the memory that the
//! next one will touch (the heads of the next key or query, the buckets, the candidates of a batch) before it looks at any of it.

use std::io;

use rayon::prelude::*;

use super::{
    heads::Heads,
    index::LARGEST,
    keys::{Cut, KEYS, Keys, masks},
    kind::{Held, Near},
    packed::{self, Packed},
    pages::enlarge,
    plan::{self, Costs, MOST, Thresholds},
    rows::{BLOCK, Half, Rows, halves},
    simd::{Simd, Work, prefetch},
    stored::{self, Input, Output, Unreadable},
};
use crate::domain::hash::PdqHash;

/// Candidates that are asked for before the first is looked at: half of a first-level cache, more than any processor fetches at a time.
const BATCH: usize = 256;

/// Costs in units of a first half scanned (0.23 ns from a cache, on an EPYC with AVX-512; what is said of the others was measured on banks of a
/// million, benches/README.md has the whole): a candidate whose first half is not in the cache …
const CANDIDATE: u32 = 32;
/// … and a bucket to open, whose head and first candidates are two such misses.
const PROBE: u32 = 64;
/// Candidates of a bucket beyond this many (an even one has 16 at most) are a cluster that other keys bring up too: …
const EVEN: u32 = 64;
/// … mostly they are in the cache by then.
const AGAIN: u32 = 10;
/// What a hash costs more where a scan fetches it from memory, for all queries of the scan together: a scan of ten million takes 35 ms, as long as a plan of 74 million units.
const FETCHED: u64 = 6;
/// Hashes of which a cache holds the first halves.
const CACHED: usize = 1 << 20;
/// What a hash of a block costs more that passed the test of the first halves.
const SECOND_HALF: u64 = 3;
/// Radius from which on blocks of random hashes pass that test often: 64 P(Bin(128, 1/2) <= 48) = 0.2.
const BOTH_HALVES: u32 = 48;

/// Hashes, and for each key the way to those of a value.
pub struct Segment {
    pub(super) rows: Rows,
    cut: Cut,
    /// Bits of a key that are used: so many that an even bucket holds one hash at most, as far as the cut has them.
    bits: u32,
    heads: Heads,
    /// For each key all positions, in `stride` places.
    postings: Packed,
    stride: usize,
}

/// One hash to look for.
#[derive(Clone, Copy)]
pub struct Query {
    halves: [Half; 2],
    /// By cut.
    keys: [Keys; Cut::ALL.len()],
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
        let halves = halves(hash);
        Self { halves, keys: Cut::ALL.map(|cut| cut.of(halves)), radius }
    }

    pub(super) fn scanned(&self) -> ([Half; 2], u32) {
        (self.halves, self.radius)
    }
}

impl Segment {
    /// Indexes hashes on all threads of the current pool.
    pub fn new(rows: Rows) -> Self {
        let cut = Cut::of_segment(rows.len());
        Self::of_cut(rows, cut)
    }

    /// The same with another cut than the best.
    pub(super) fn of_cut(rows: Rows, cut: Cut) -> Self {
        assert!(rows.len() <= LARGEST, "{} hashes", rows.len());
        let (bits, (width, stride)) = (Self::key_bits(cut, rows.len()), Self::layout(rows.len()));
        let mut postings = Packed::zeros(width, cut.keys() * stride);
        let parts = postings.bytes_mut().par_chunks_exact_mut(stride * width as usize / 8).enumerate();
        let ends = parts.map(|(key, part)| sort(&rows, |hash| cut.one(key, hash) & ((1 << bits) - 1), bits, width, part));
        let heads = Heads::new(bits, rows.len(), ends);
        // These have grown.
        enlarge(&rows.first);
        enlarge(&rows.second);
        Self { rows, cut, bits, heads, postings, stride }
    }

    /// Bits of a key that are used for so many hashes.
    fn key_bits(cut: Cut, len: usize) -> u32 {
        len.max(2).next_power_of_two().ilog2().min(cut.bits())
    }

    /// Bits of a posting, and places of each key's.
    fn layout(len: usize) -> (u32, usize) {
        (packed::bits_below(len), packed::whole_bytes(len.max(1)))
    }

    pub(super) fn write(&self, to: &mut Output) -> io::Result<()> {
        to.column(&self.rows.first)?;
        to.column(&self.rows.second)?;
        self.heads.write(to)?;
        to.column(self.postings.bytes())
    }

    pub(super) fn read(len: usize, from: &mut Input) -> Result<Self, Unreadable> {
        let cut = Cut::of_segment(len);
        let (bits, (width, stride)) = (Self::key_bits(cut, len), Self::layout(len));
        let rows = Rows { first: from.column(len)?, second: from.column(len)? };
        let heads = Heads::read(cut.keys(), bits, len, from)?;
        let bytes = from.column(Packed::bytes_of(width, cut.keys() * stride))?;
        let postings = Packed::from_bytes(width, cut.keys() * stride, bytes).ok_or(Unreadable::Damaged("postings"))?;
        // Where every number of that width is a position there is nothing to check.
        if len < 1 << width {
            (0..cut.keys()).try_for_each(|key| stored::check_position(postings.largest(key * stride..key * stride + len), len))?;
        }
        Ok(Self { rows, cut, bits, heads, postings, stride })
    }

    /// The query's value of each key.
    fn values(&self, query: &Query) -> Keys {
        query.keys[self.cut as usize].map(|key| key & ((1 << self.bits) - 1))
    }

    /// Asks for the heads of all buckets of a level.
    #[inline(always)]
    fn ask(&self, key: usize, value: u32, level: usize) {
        // Masks of the bits within a block lead to lines that the others ask for too.
        let shift = self.heads.shift();
        masks(level, self.bits - shift).iter().for_each(|mask| self.heads.prefetch(key, value ^ (mask << shift)));
    }

    /// Asks for the heads of the buckets that [`search`](Self::search) will look at first.
    pub fn prepare(&self, query: &Query) {
        for (key, &value) in self.values(query)[..self.cut.keys()].iter().enumerate() {
            (0..=1).for_each(|level| self.ask(key, value, level));
        }
    }

    /// What opening the buckets of each level costs. Levels 0 and 1 are counted; further ones are taken to have buckets like those at level 1.
    fn costs(&self, query: &Query) -> [Costs; KEYS] {
        let mut costs = [[0; MOST + 1]; KEYS];
        for (key, (cost, value)) in costs.iter_mut().zip(self.values(query)).enumerate().take(self.cut.keys()) {
            let counted = |level: usize| {
                let opened = masks(level, self.bits).iter().map(|mask| opening(self.heads.bucket(key, value ^ mask)));
                opened.fold(0, u32::saturating_add)
            };
            let like = |near: u32, level: usize| {
                let more = u64::from(near) * masks(level, self.bits).len() as u64 / u64::from(self.bits);
                u32::try_from(more).unwrap_or(u32::MAX)
            };
            (cost[0], cost[1]) = (counted(0), counted(1));
            (2..=MOST).for_each(|level| cost[level] = like(cost[1], level));
        }
        costs
    }

    /// What scanning costs, when so many queries do.
    fn scan_cost(&self, query: &Query, together: usize) -> u64 {
        let (len, keys) = (self.len() as u64, self.cut.keys());
        // Near-duplicates of the query stand in its own bucket of most keys, and each makes a block of the scan pass its first test.
        let crowded = |(key, value)| {
            let (start, end) = self.heads.bucket(key, value);
            u64::from((end - start).saturating_sub(EVEN))
        };
        let crowd = self.values(query).into_iter().take(keys).enumerate().map(crowded).sum::<u64>() / keys as u64;
        let both_halves = if query.radius < BOTH_HALVES { len.min(crowd * BLOCK as u64) } else { len };
        let fetched = if self.len() > CACHED { FETCHED * len / together as u64 } else { 0 };
        len + fetched + SECOND_HALF * both_halves
    }

    /// The keys to look up, or `None` when scanning is cheaper.
    fn plan(&self, query: &Query, scan: u64) -> Option<Thresholds> {
        // What even buckets would cost at the very least is too much already.
        if u64::from(query.radius + 1) * u64::from(PROBE) > scan {
            return None;
        }
        let costs = self.costs(query);
        let planned = plan::cheapest(&costs[..self.cut.keys()], self.cut.most(), query.radius);
        planned.filter(|(_, cost)| *cost <= scan).map(|(thresholds, _)| thresholds)
    }

    /// Lists the buckets of a plan. False when opening them costs more than `most`: they are longer than those that the plan was made of.
    fn open(&self, query: &Query, thresholds: &Thresholds, most: u64, buckets: &mut Vec<(u32, u32)>) -> bool {
        let values = self.values(query);
        let ask = |key: usize| (2..thresholds[key] + 1).for_each(|level| self.ask(key, values[key], level as usize));
        buckets.clear();
        let mut cost = 0;
        ask(0);
        for key in 0..self.cut.keys() {
            if key + 1 < self.cut.keys() {
                ask(key + 1);
            }
            for mask in (0..(thresholds[key] + 1) as usize).flat_map(|level| masks(level, self.bits)) {
                let (start, end) = self.heads.bucket(key, values[key] ^ mask);
                if start < end {
                    let first = (key * self.stride) as u32 + start;
                    self.postings.prefetch(first as usize);
                    buckets.push((first, end - start));
                    cost += u64::from(opening((start, end)));
                }
            }
            if cost > most {
                return false;
            }
        }
        true
    }

    /// Looks into the buckets of a plan, which must be exact for the query's radius. False, and nothing found, when that costs more than `most`.
    pub(super) fn probe(
        &self,
        (number, query): (u32, &Query),
        thresholds: &Thresholds,
        most: u64,
        scratch: &mut Scratch,
        simd: Simd,
        found: &mut Vec<Near>,
    ) -> bool {
        let open = self.open(query, thresholds, most, &mut scratch.buckets);
        if open {
            simd.run(Probing { segment: self, query, number, scratch, found });
        }
        open
    }

    /// Everything within the queries' radii, each once for each query, into the empty `found`.
    pub(super) fn search(&self, queries: &[Query], scratch: &mut Scratch, simd: Simd, found: &mut Vec<Near>) {
        scratch.scans.clear();
        for (number, query) in (0..).zip(queries) {
            if let Some(next) = queries.get(number as usize + 1) {
                self.prepare(next);
            }
            let scan = self.scan_cost(query, queries.len());
            let probed = self.plan(query, scan).is_some_and(|thresholds| {
                debug_assert!(plan::is_exact(&thresholds, query.radius));
                self.probe((number, query), &thresholds, scan, scratch, simd, found)
            });
            if !probed {
                scratch.scans.push(number);
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
        self.rows.memory_bytes() + self.heads.memory_bytes() + self.postings.memory_bytes()
    }
}

/// What opening a bucket costs, by its first place and end.
#[inline(always)]
fn opening((start, end): (u32, u32)) -> u32 {
    let len = end - start;
    PROBE + CANDIDATE * len.min(EVEN) + AGAIN * len.saturating_sub(EVEN)
}

/// Sorts positions by one key of 2^bits values into `postings`, empty, of `width` bits; returns where the bucket of each value ends.
///
/// In two steps, because a table of millions of buckets does not fit into a cache: first by the upper bits of the value, as far as there is room beside a position for the lower ones, then the
/// hashes of each upper value by the lower bits.
pub(super) fn sort(rows: &Rows, key: impl Fn([Half; 2]) -> u32, bits: u32, width: u32, postings: &mut [u8]) -> Vec<u32> {
    let low = bits.min(u32::BITS - width);
    let keys = || rows.first.iter().zip(&rows.second).map(|(first, second)| key([*first, *second]));
    let mut places = vec![0u32; 1 << (bits - low)];
    keys().for_each(|key| places[(key >> low) as usize] += 1);
    to_starts(&mut places);
    let mut parted = vec![0u32; rows.len()];
    for (position, key) in (0..).zip(keys()) {
        let place = &mut places[(key >> low) as usize];
        parted[*place as usize] = (key & ((1 << low) - 1)) << width | position;
        *place += 1;
    }
    let (mut ends, mut start) = (vec![0u32; 1 << bits], 0);
    for (&end, ends) in places.iter().zip(ends.chunks_exact_mut(1 << low)) {
        let part = &parted[start as usize..end as usize];
        part.iter().for_each(|item| ends[(item >> width) as usize] += 1);
        to_starts(ends);
        for item in part {
            let place = &mut ends[(item >> width) as usize];
            packed::set(postings, width, (start + *place) as usize, item & ((1 << width) - 1));
            *place += 1;
        }
        ends.iter_mut().for_each(|end| *end += start);
        start = end;
    }
    ends
}

/// Makes where each one starts of how many each are.
fn to_starts(counts: &mut [u32]) {
    let mut sum = 0;
    counts.iter_mut().for_each(|count| sum += std::mem::replace(count, sum));
}

/// One query's buckets in one segment.
struct Probing<'a> {
    segment: &'a Segment,
    query: &'a Query,
    number: u32,
    scratch: &'a mut Scratch,
    found: &'a mut Vec<Near>,
}

impl Work for Probing<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { segment, query, number, scratch, found } = self;
        let Scratch { buckets, batch, seen, .. } = scratch;
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
