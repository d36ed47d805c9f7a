//! Exact digests as types of signals: looked up, not searched.
//!
//! A segment keeps the digests in the order of their content ids, and beside them the positions sorted by a few bits of the digest, with a place for where
//! each value's bucket begins: 16 bytes of an MD5 take 21 in all, where a hash table of signals and ids takes nearly a hundred. A bucket holds two to four
//! digests, so a lookup is a handful of cache misses, and nothing is asked of the digests: lists of chosen ones make a bucket long, never an answer wrong.

use std::io;

use super::{
    index::Sizes,
    kind::{Held, Kind, Near},
    packed::{self, Packed},
    simd::{Simd, prefetch},
    stored::{self, Input, Output, Unreadable},
};
use crate::domain::signal::{Distance, Signal, SignalType};

/// MD5 (16 bytes), SHA-1 (20) or SHA-256 (32).
#[derive(Clone, Copy, Debug)]
pub struct Digest<const N: usize>;

/// Digests by position.
#[derive(Clone, Debug, Default)]
pub struct Column<const N: usize>(pub(super) Vec<[u8; N]>);

/// Digests that can be looked up.
pub struct Table<const N: usize> {
    pub(super) rows: Vec<[u8; N]>,
    /// Bits that choose the bucket.
    pub(super) bits: u32,
    /// 2^bits + 1 places in `postings`.
    pub(super) offsets: Vec<u32>,
    pub(super) postings: Packed,
}

impl<const N: usize> Table<N> {
    /// Bits for this many digests: two to four in a bucket.
    pub(super) fn bits(len: usize) -> u32 {
        len.max(4).ilog2() - 1
    }

    fn new(rows: Vec<[u8; N]>) -> Self {
        let bits = Self::bits(rows.len());
        // Counting sort: each bucket's end, which walks down to its beginning.
        let mut offsets = vec![0u32; (1 << bits) + 1];
        rows.iter().for_each(|row| offsets[bucket(row, bits)] += 1);
        let mut sum = 0;
        for offset in &mut offsets {
            sum += *offset;
            *offset = sum;
        }
        let width = packed::bits_below(rows.len());
        let mut postings = Packed::zeros(width, rows.len());
        for (position, row) in rows.iter().enumerate().rev() {
            let place = &mut offsets[bucket(row, bits)];
            *place -= 1;
            packed::set(postings.bytes_mut(), width, *place as usize, position as u32);
        }
        Self { rows, bits, offsets, postings }
    }

    fn read(len: usize, from: &mut Input) -> Result<Self, Unreadable> {
        let (bits, width) = (Self::bits(len), packed::bits_below(len));
        let (rows, offsets) = (from.column(len)?, from.column::<u32>((1 << bits) + 1)?);
        stored::check_offsets(&offsets, len)?;
        let bytes = from.column(Packed::bytes_of(width, len))?;
        let postings = Packed::from_bytes(width, len, bytes).ok_or(Unreadable::Damaged("postings"))?;
        stored::check_position(postings.largest(0..len), len)?;
        Ok(Self { rows, bits, offsets, postings })
    }

    fn places(&self, digest: &[u8; N]) -> std::ops::Range<usize> {
        let bucket = bucket(digest, self.bits);
        self.offsets[bucket] as usize..self.offsets[bucket + 1] as usize
    }
}

/// The golden ratio's multiplicative hash (Knuth, The Art of Computer Programming 3, 6.4) of all of the digest's words: lists that somebody made up share prefixes.
fn bucket(digest: &[u8], bits: u32) -> usize {
    let word = |bytes: &[u8]| bytes.iter().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
    let mixed = digest.chunks(8).fold(0u64, |mixed, bytes| (mixed.rotate_left(29) ^ word(bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (mixed >> (u64::BITS - bits)) as usize
}

impl<const N: usize> Held for Column<N> {
    type Item = [u8; N];

    fn get(&self, position: u32) -> [u8; N] {
        self.0[position as usize]
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn memory_bytes(&self) -> usize {
        self.0.capacity() * N
    }
}

impl<const N: usize> super::kind::Rows for Column<N> {
    fn push(&mut self, digest: &[u8; N]) {
        self.0.push(*digest);
    }

    fn reserve(&mut self, more: usize) {
        self.0.reserve_exact(more);
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

impl<const N: usize> Held for Table<N> {
    type Item = [u8; N];

    fn get(&self, position: u32) -> [u8; N] {
        self.rows[position as usize]
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn memory_bytes(&self) -> usize {
        self.rows.capacity() * N + self.offsets.capacity() * size_of::<u32>() + self.postings.memory_bytes()
    }
}

impl<const N: usize> Kind for Digest<N> {
    type Item = [u8; N];
    type Query = [u8; N];
    type Rows = Column<N>;
    type Segment = Table<N>;

    fn signal_type(&self) -> SignalType {
        const {
            match N {
                16 => SignalType::Md5,
                20 => SignalType::Sha1,
                32 => SignalType::Sha256,
                _ => panic!("no digest has this length"),
            }
        }
    }

    fn sizes(&self) -> Sizes {
        // The tail is compared whole with each digest looked up, some microseconds; a full segment is built in a tenth of a second, and ten million digests are three.
        Sizes { tail: 1 << 12, merged: 1 << 22, full: 1 << 22 }
    }

    fn item(&self, signal: &Signal) -> Option<[u8; N]> {
        match signal {
            Signal::Md5(digest) => digest.as_slice().try_into().ok(),
            Signal::Sha1(digest) => digest.as_slice().try_into().ok(),
            Signal::Sha256(digest) => digest.as_slice().try_into().ok(),
            _ => None,
        }
    }

    fn signal(&self, digest: [u8; N]) -> Signal {
        // The lengths are the types': this never sees another one.
        let all = |at: usize| digest.get(at).copied().unwrap_or_default();
        match self.signal_type() {
            SignalType::Md5 => Signal::Md5(std::array::from_fn(all)),
            SignalType::Sha1 => Signal::Sha1(std::array::from_fn(all)),
            _ => Signal::Sha256(std::array::from_fn(all)),
        }
    }

    fn distance(_raw: u32) -> Distance {
        Distance::ZERO
    }

    fn raw(_radius: Distance) -> u32 {
        0
    }

    fn apart(a: &[u8; N], b: &[u8; N]) -> u32 {
        u32::from(a != b)
    }

    fn query(&self, digest: &[u8; N], _raw: u32) -> [u8; N] {
        *digest
    }

    fn rows(&self) -> Column<N> {
        Column(Vec::new())
    }

    fn scan(rows: &Column<N>, queries: &[[u8; N]], _simd: Simd, found: &mut Vec<Near>) {
        for (query, digest) in (0..).zip(queries) {
            let same = (0..).zip(&rows.0).filter(|(_, row)| *row == digest);
            found.extend(same.map(|(position, _)| Near { query, position, distance: 0 }));
        }
    }

    fn segment(&self, rows: Column<N>) -> Table<N> {
        Table::new(rows.0)
    }

    fn write(table: &Table<N>, to: &mut Output) -> io::Result<()> {
        to.column(&table.rows)?;
        to.column(&table.offsets)?;
        to.column(table.postings.bytes())
    }

    fn read(&self, len: usize, from: &mut Input) -> Result<Table<N>, Unreadable> {
        Table::read(len, from)
    }

    fn search(table: &Table<N>, queries: &[[u8; N]], _simd: Simd, found: &mut Vec<Near>) {
        for digest in queries {
            prefetch(&table.offsets, bucket(digest, table.bits));
        }
        for (query, digest) in (0..).zip(queries) {
            let positions = table.places(digest).map(|place| table.postings.get(place));
            let same = positions.filter(|&position| table.rows[position as usize] == *digest);
            found.extend(same.map(|position| Near { query, position, distance: 0 }));
        }
    }
}
