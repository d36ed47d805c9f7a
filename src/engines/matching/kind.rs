//! What a type of signals gives the index; the index gives it snapshots, states, merges and slices.
//!
//! Distances are raw numbers here: 32 bits that are ordered as the distances are, so that hits of every type sort alike. Each type says what its raw
//! numbers mean (bits, squared Euclidean distance, the bits of a float) and which of them a radius includes.

use std::io;

use super::{
    index::Sizes,
    simd::Simd,
    stored::{Input, Output, Unreadable},
};
use crate::domain::signal::{Distance, Signal, SignalType};

/// Signals by position.
pub trait Held: Send + Sync {
    type Item;

    fn get(&self, position: u32) -> Self::Item;
    fn len(&self) -> usize;
    /// Asks for the memory that [`get`](Self::get) reads.
    fn prefetch(&self, _position: u32) {}
    /// Bytes on the heap.
    fn memory_bytes(&self) -> usize;
}

/// Signals that grow by appending and are scanned: the tail of an index.
pub trait Rows: Held + Clone {
    fn push(&mut self, item: &Self::Item);
    /// Makes room for so many more, and no more than that.
    fn reserve(&mut self, more: usize);
    /// Gives back memory that was kept for more.
    fn shrink(&mut self);
}

/// What a search found in a part of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Near {
    pub query: u32,
    pub position: u32,
    /// Raw.
    pub distance: u32,
}

/// A type of signals, all of one length.
pub trait Kind: Clone + Send + Sync + 'static {
    /// One signal in the type's own form.
    type Item: Clone + Ord + Send + Sync;
    /// A signal to look for, and the radius around it.
    type Query: Send + Sync;
    type Rows: Rows<Item = Self::Item>;
    /// Rows that never change again, and the way to those that are near.
    type Segment: Held<Item = Self::Item>;

    fn signal_type(&self) -> SignalType;
    /// How large the parts of an index become.
    fn sizes(&self) -> Sizes;

    /// `None` for signals of another type or length.
    fn item(&self, signal: &Signal) -> Option<Self::Item>;
    fn signal(&self, item: Self::Item) -> Signal;
    /// What a raw distance means.
    fn distance(raw: u32) -> Distance;
    /// The largest raw distance within the radius.
    fn raw(radius: Distance) -> u32;
    /// The raw distance of one pair: the oracle's.
    fn apart(a: &Self::Item, b: &Self::Item) -> u32;

    fn query(&self, item: &Self::Item, raw: u32) -> Self::Query;
    /// No rows yet.
    fn rows(&self) -> Self::Rows;
    /// Appends every row within each query's radius, once for each query.
    fn scan(rows: &Self::Rows, queries: &[Self::Query], simd: Simd, found: &mut Vec<Near>);
    /// May use all threads of the current pool.
    fn segment(&self, rows: Self::Rows) -> Self::Segment;
    /// As [`scan`](Self::scan) does.
    fn search(segment: &Self::Segment, queries: &[Self::Query], simd: Simd, found: &mut Vec<Near>);
    /// Writes a segment, for [`read`](Self::read).
    fn write(segment: &Self::Segment, to: &mut Output) -> io::Result<()>;
    /// Reads a segment of `len` signals. Whatever is read, no search of it leaves its memory; that it is right is for the caller's checksum to say.
    fn read(&self, len: usize, from: &mut Input) -> Result<Self::Segment, Unreadable>;
    /// Asks for the memory that a search for this query will look at first.
    fn prepare(_segment: &Self::Segment, _query: &Self::Query) {}
}
