//! Where the buckets of a segment's keys begin and end, in a byte for most of them.
//!
//! Buckets stand in blocks, and of each block it is known where it begins; a bucket's end is a byte, counted from there. A block that holds more than a byte can count, a cluster, has its ends in full
//! elsewhere. Blocks are as long as a cache line holds at most, and short enough that one of even buckets is half full: with two hashes in a bucket they are 64 buckets, and a bucket costs 1.06 bytes
//! where an offset would cost four.

use rayon::prelude::*;

use super::{
    pages::zeros,
    simd::prefetch,
    stored::{Input, Output, Unreadable},
};

/// log2 of the buckets of the longest block: a cache line of bytes.
const LONGEST: u32 = 6;
/// Hashes of a block that is counted in bytes.
const MOST: u32 = u8::MAX as u32;
/// Marks a block whose places are in full; the other bits say where.
const FULL: u32 = 1 << 31;

/// 2^bits buckets for each key. Places are counted for each key from 0.
pub(super) struct Heads {
    bits: u32,
    /// log2 of the buckets of a block.
    shift: u32,
    /// For each block its first place, or with [`FULL`] a place in `full`.
    blocks: Vec<u32>,
    /// For each bucket its end, counted from the first place of its block.
    ends: Vec<u8>,
    /// For some blocks the first place and the ends.
    full: Vec<u32>,
}

/// log2 of the buckets of a block, where 2^bits buckets hold so many hashes.
fn shift(bits: u32, hashes: usize) -> u32 {
    let each = (hashes >> bits).max(1).next_power_of_two().ilog2();
    LONGEST.saturating_sub(each.saturating_sub(1)).min(bits)
}

impl Heads {
    /// Of so many hashes; `ends` says for each key where its buckets end, one after the other.
    pub fn new(bits: u32, hashes: usize, ends: impl IndexedParallelIterator<Item = Vec<u32>>) -> Self {
        let (shift, keys) = (shift(bits, hashes), ends.len());
        let mut heads = Self { bits, shift, blocks: zeros(keys << (bits - shift)), ends: zeros(keys << bits), full: Vec::new() };
        let columns = heads.blocks.par_chunks_exact_mut(1 << (bits - shift)).zip(heads.ends.par_chunks_exact_mut(1 << bits));
        let full: Vec<Vec<u32>> = columns.zip(ends).map(|((blocks, bytes), ends)| count(shift, &ends, blocks, bytes)).collect();
        for (blocks, full) in heads.blocks.chunks_exact_mut(1 << (bits - shift)).zip(full) {
            blocks.iter_mut().filter(|block| **block & FULL != 0).for_each(|block| *block += heads.full.len() as u32);
            heads.full.extend(full);
        }
        heads.full.shrink_to_fit();
        heads
    }

    /// First place and end of a bucket.
    #[inline(always)]
    pub fn bucket(&self, key: usize, value: u32) -> (u32, u32) {
        let bucket = key << self.bits | value as usize;
        let (block, within) = (bucket >> self.shift, bucket & ((1 << self.shift) - 1));
        let start = self.blocks[block];
        if start & FULL != 0 {
            let at = (start ^ FULL) as usize + within;
            return (self.full[at], self.full[at + 1]);
        }
        let end = u32::from(self.ends[bucket]);
        // A bucket has its first place from the one before it, unless it is the block's first.
        let before = u32::from(self.ends[bucket.saturating_sub(1)]);
        (start + if within > 0 { before } else { 0 }, start + end)
    }

    /// log2 of the buckets that [`prefetch`](Self::prefetch) asks for at once.
    pub fn shift(&self) -> u32 {
        self.shift
    }

    /// Asks for the block of a bucket.
    #[inline(always)]
    pub fn prefetch(&self, key: usize, value: u32) {
        let bucket = key << self.bits | value as usize;
        prefetch(&self.blocks, bucket >> self.shift);
        prefetch(&self.ends, bucket);
    }

    pub fn write(&self, to: &mut Output) -> std::io::Result<()> {
        to.column(&self.blocks)?;
        to.column(&self.ends)?;
        to.number(self.full.len() as i64)?;
        to.column(&self.full)
    }

    /// What [`write`](Self::write) wrote.
    pub fn read(keys: usize, bits: u32, hashes: usize, from: &mut Input) -> Result<Self, Unreadable> {
        let shift = shift(bits, hashes);
        let (blocks, ends) = (from.column(keys << (bits - shift))?, from.column(keys << bits)?);
        let full = from.count()?;
        let heads = Self { bits, shift, blocks, ends, full: from.column(full)? };
        let right = (0..keys).all(|key| heads.lie_one_after_the_other(key, hashes));
        if right { Ok(heads) } else { Err(Unreadable::Damaged("buckets do not lie one after the other")) }
    }

    fn lie_one_after_the_other(&self, key: usize, hashes: usize) -> bool {
        let (mut last, each, blocks) = (0, 1usize << self.shift, 1 << (self.bits - self.shift));
        let ends = self.ends[key << self.bits..].chunks_exact(each);
        for (&start, ends) in self.blocks[key * blocks..][..blocks].iter().zip(ends) {
            let (first, end, sorted) = if start & FULL != 0 {
                let at = (start ^ FULL) as usize;
                let Some(full) = self.full.get(at..).and_then(|full| full.get(..=each)) else { return false };
                (full[0], full[each], full.is_sorted())
            } else {
                (start, start + u32::from(ends[each - 1]), ends.is_sorted())
            };
            if first != last || !sorted || end as usize > hashes {
                return false;
            }
            last = end;
        }
        last as usize == hashes
    }

    /// Bytes on the heap.
    pub fn memory_bytes(&self) -> usize {
        self.ends.capacity() + (self.blocks.capacity() + self.full.capacity()) * size_of::<u32>()
    }
}

/// Counts one key's ends block by block; returns those in full, whose places in `blocks` are counted from 0.
fn count(shift: u32, ends: &[u32], blocks: &mut [u32], bytes: &mut [u8]) -> Vec<u32> {
    let (mut start, mut full) = (0, Vec::new());
    for ((places, bytes), block) in ends.chunks_exact(1 << shift).zip(bytes.chunks_exact_mut(1 << shift)).zip(blocks) {
        let end = places[places.len() - 1];
        if end - start <= MOST {
            *block = start;
            bytes.iter_mut().zip(places).for_each(|(byte, place)| *byte = (place - start) as u8);
        } else {
            *block = FULL | full.len() as u32;
            full.push(start);
            full.extend(places);
        }
        start = end;
    }
    full
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_is_where_it_was_put() {
        for (bits, lengths) in [
            (0, vec![5]),
            (3, vec![0, 1, 0, 0, 7, 2, 0, 1]),
            (8, (0..256).map(|at| at % 5).collect::<Vec<u32>>()),
            // One cluster, at the end of a block, and one that fills a block to the last number of a byte.
            (8, (0..256).map(|at| if at == 63 { 300 } else { u32::from(at % 64 == 0) * 255 }).collect()),
            (4, vec![1000; 16]),
            (4, vec![0; 16]),
        ] {
            let ends: Vec<u32> = lengths
                .iter()
                .scan(0, |sum, len| {
                    *sum += len;
                    Some(*sum)
                })
                .collect();
            let hashes = ends[ends.len() - 1] as usize;
            let heads = Heads::new(bits, hashes, (0..3).into_par_iter().map(|_| ends.clone()));
            for (value, len) in lengths.iter().enumerate() {
                (0..3).for_each(|key| assert_eq!(heads.bucket(key, value as u32), (ends[value] - len, ends[value]), "{bits} {value}"));
            }
            assert!((0..3).all(|key| heads.lie_one_after_the_other(key, hashes) && !heads.lie_one_after_the_other(key, hashes + 1)));
        }
        // Two hashes to a bucket are half a line.
        assert_eq!(
            [(21, 1 << 22), (21, 1 << 21), (16, 1 << 20), (16, 1 << 16), (3, 9)].map(|(bits, hashes)| shift(bits, hashes)),
            [6, 6, 3, 6, 3]
        );
    }
}
