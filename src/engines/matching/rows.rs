//! Hashes in memory, and the scan over them.
//!
//! A hash lies in two halves, each in a column of its own: first words 0 and 1, then words 2 and 3. If the first 128 bits already differ in more than
//! `radius` places, so do all 256; so looking at the first half alone passes nothing over. At radius 31 the half of a random hash survives that test
//! with probability P(Bin(128, 1/2) <= 31) = 2e-9. A scan thus reads half of the memory, and one candidate of an index touches one cache line that holds
//! four neighbours' halves, or three times as many candidates fit into a cache.

use super::{kind::Held, simd::prefetch};
use crate::domain::hash::PdqHash;

/// 128 bits; four of them are a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(16))]
pub struct Half(pub [u64; 2]);

impl Half {
    #[inline(always)]
    fn distance(self, other: Self) -> u32 {
        (self.0[0] ^ other.0[0]).count_ones() + (self.0[1] ^ other.0[1]).count_ones()
    }
}

// SAFETY: two words and nothing between, before or behind them; every value of them is one.
unsafe impl bytemuck::Zeroable for Half {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Half {}

/// Hashes by position.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub first: Vec<Half>,
    pub second: Vec<Half>,
}

/// Hashes tested between two branches: few enough that a hit costs little more than its neighbours.
pub(super) const BLOCK: usize = 64;
/// Hashes that all queries of a group see before the next ones: their first halves stay in the first-level cache.
const STRIPE: usize = 1024;

/// A hash cut in halves.
pub(super) fn halves(hash: &PdqHash) -> [Half; 2] {
    let words = hash.words();
    [Half([words[0], words[1]]), Half([words[2], words[3]])]
}

/// The least distance of a block: one instruction a vector, where "any within" takes three.
#[inline(always)]
fn least(halves: &[Half; BLOCK], query: Half) -> u64 {
    halves.iter().map(|half| u64::from(half.distance(query))).fold(u64::MAX, u64::min)
}

/// All distances of a block.
#[inline(always)]
fn sums(first: &[Half; BLOCK], second: &[Half; BLOCK], query: [Half; 2]) -> [u64; BLOCK] {
    std::array::from_fn(|at| u64::from(first[at].distance(query[0]) + second[at].distance(query[1])))
}

/// One bit for each distance of the block that is within the radius.
#[inline(always)]
fn within(distances: &[u64; BLOCK], radius: u64) -> u64 {
    distances.iter().enumerate().fold(0, |bits, (at, &distance)| bits | u64::from(distance <= radius) << at)
}

impl Rows {
    /// The distance of a hash if it is within the radius.
    #[inline(always)]
    pub fn near(&self, position: u32, [first, second]: [Half; 2], radius: u32) -> Option<u32> {
        let distance = self.first[position as usize].distance(first);
        if distance > radius {
            return None;
        }
        let distance = distance + self.second[position as usize].distance(second);
        (distance <= radius).then_some(distance)
    }

    /// Gives `hit` the query's number, position and distance of every hash within each query's radius; positions ascend within a query.
    #[inline(always)]
    pub fn scan(&self, queries: &[([Half; 2], u32)], mut hit: impl FnMut(usize, u32, u32)) {
        let stripes = self.first.chunks(STRIPE).zip(self.second.chunks(STRIPE));
        for (stripe, (first, second)) in stripes.enumerate() {
            let (start, (first, rest)) = (stripe * STRIPE, first.as_chunks::<BLOCK>());
            for (number, &(query, radius)) in queries.iter().enumerate() {
                for (block, (first, second)) in first.iter().zip(second.as_chunks::<BLOCK>().0).enumerate() {
                    if least(first, query[0]) > u64::from(radius) {
                        continue;
                    }
                    let distances = sums(first, second, query);
                    let mut near = within(&distances, u64::from(radius));
                    while near != 0 {
                        let at = near.trailing_zeros() as usize;
                        near &= near - 1;
                        hit(number, (start + block * BLOCK + at) as u32, distances[at] as u32);
                    }
                }
                for position in start + first.len() * BLOCK..start + first.len() * BLOCK + rest.len() {
                    if let Some(distance) = self.near(position as u32, query, radius) {
                        hit(number, position as u32, distance);
                    }
                }
            }
        }
    }
}

impl Held for Rows {
    type Item = PdqHash;

    fn get(&self, position: u32) -> PdqHash {
        let (first, second) = (self.first[position as usize].0, self.second[position as usize].0);
        PdqHash::from_words([first[0], first[1], second[0], second[1]])
    }

    fn len(&self) -> usize {
        self.first.len()
    }

    fn prefetch(&self, position: u32) {
        prefetch(&self.first, position as usize);
        prefetch(&self.second, position as usize);
    }

    fn memory_bytes(&self) -> usize {
        (self.first.capacity() + self.second.capacity()) * size_of::<Half>()
    }
}

impl super::kind::Rows for Rows {
    fn push(&mut self, hash: &PdqHash) {
        let [first, second] = halves(hash);
        self.first.push(first);
        self.second.push(second);
    }

    fn reserve(&mut self, more: usize) {
        self.first.reserve_exact(more);
        self.second.reserve_exact(more);
    }

    fn shrink(&mut self) {
        self.first.shrink_to_fit();
        self.second.shrink_to_fit();
    }
}
