//! Embeddings as a type of signals: vectors of floats of one model, by 1 - cosine.
//!
//! Sums are of doubles, and products of two floats are exact in doubles, so a distance is right to the last digits of a float; sums are taken in one fixed order, so it is the same on every
//! processor. The raw distance is the float's bits, which are ordered as the floats are where nothing is negative. A search reads every vector: nothing shorter is exact.
//! Sign-bit LSH (Charikar, Similarity estimation techniques from rounding algorithms, STOC 2002) misses neighbours with a probability that depends on the data, so it could only choose
//! an order here, and is not offered: 100,000 vectors of 512 numbers are 200 MB, read in some tens of milliseconds a query.

use std::{io, sync::Arc};

use super::{
    index::Sizes,
    kind::{Held, Kind, Near},
    simd::{Simd, Work},
    stored::{Input, Output, Unreadable},
};
use crate::domain::signal::{Distance, EmbeddingModel, Signal, SignalType};

/// Vectors of one model and length.
#[derive(Clone, Copy, Debug)]
pub struct Embedding {
    model: EmbeddingModel,
    dimensions: usize,
}

/// Bytes of a tail that is copied when it grows while a snapshot shares it, and of a full segment.
const TAIL_BYTES: usize = 1 << 20;
const FULL_BYTES: usize = 1 << 26;
/// Products added up side by side.
const LANES: usize = 16;

/// Vectors one after the other.
#[derive(Clone, Debug)]
pub struct Vectors {
    pub(super) dimensions: usize,
    pub(super) data: Vec<f32>,
    /// Squared norms.
    pub(super) squares: Vec<f64>,
}

/// A vector and the raw radius around it.
pub struct Query {
    vector: Vec<f64>,
    square: f64,
    raw: u32,
}

impl Embedding {
    /// For stored forms of this length.
    pub const fn of(model: EmbeddingModel, bytes: usize) -> Self {
        Self { model, dimensions: bytes / size_of::<f32>() }
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0f64; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += f64::from(a[lane]) * b[lane];
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
        *sum += f64::from(*a) * b;
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

/// The raw distance, from the dot product and the squared norms. Exactly 0 for equal vectors: the root of a square is the number itself.
#[inline(always)]
fn raw(dot: f64, a: f64, b: f64) -> u32 {
    ((1.0 - dot / (a * b).sqrt()) as f32).clamp(0.0, 2.0).to_bits()
}

/// The floats of a stored form.
fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

impl Vectors {
    fn row(&self, at: usize) -> &[f32] {
        &self.data[at * self.dimensions..][..self.dimensions]
    }
}

/// One query over all vectors.
struct Scanning<'a> {
    vectors: &'a Vectors,
    number: u32,
    query: &'a Query,
    found: &'a mut Vec<Near>,
}

impl Work for Scanning<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { vectors, number, query, found } = self;
        for ((position, row), &square) in (0..).zip(vectors.data.chunks_exact(vectors.dimensions)).zip(&vectors.squares) {
            let distance = raw(dot(row, &query.vector), square, query.square);
            if distance <= query.raw {
                found.push(Near { query: number, position, distance });
            }
        }
    }
}

impl Held for Vectors {
    type Item = Arc<[u8]>;

    fn get(&self, position: u32) -> Arc<[u8]> {
        self.row(position as usize).iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    fn len(&self) -> usize {
        self.squares.len()
    }

    fn memory_bytes(&self) -> usize {
        self.data.capacity() * size_of::<f32>() + self.squares.capacity() * size_of::<f64>()
    }
}

impl super::kind::Rows for Vectors {
    fn push(&mut self, vector: &Arc<[u8]>) {
        let start = self.data.len();
        self.data.extend(floats(vector));
        let row = &self.data[start..];
        let doubles: Vec<f64> = row.iter().map(|number| f64::from(*number)).collect();
        self.squares.push(dot(row, &doubles));
    }

    fn reserve(&mut self, more: usize) {
        self.data.reserve_exact(more * self.dimensions);
        self.squares.reserve_exact(more);
    }

    fn shrink(&mut self) {
        self.data.shrink_to_fit();
        self.squares.shrink_to_fit();
    }
}

impl Kind for Embedding {
    type Item = Arc<[u8]>;
    type Query = Query;
    type Rows = Vectors;
    type Segment = Vectors;

    fn signal_type(&self) -> SignalType {
        SignalType::Embedding(self.model)
    }

    fn sizes(&self) -> Sizes {
        let bytes = self.dimensions * size_of::<f32>();
        let full = (FULL_BYTES / bytes).min(1 << 20);
        Sizes { tail: (TAIL_BYTES / bytes).min(1 << 14), merged: full, full }
    }

    fn item(&self, signal: &Signal) -> Option<Arc<[u8]>> {
        match signal {
            Signal::Embedding(model, vector) if *model == self.model && vector.len() == self.dimensions * size_of::<f32>() => {
                Some(vector.clone())
            }
            _ => None,
        }
    }

    fn signal(&self, vector: Arc<[u8]>) -> Signal {
        Signal::Embedding(self.model, vector)
    }

    fn distance(raw: u32) -> Distance {
        Distance::new(f32::from_bits(raw)).unwrap_or_default()
    }

    fn raw(radius: Distance) -> u32 {
        radius.get().to_bits()
    }

    fn apart(a: &Arc<[u8]>, b: &Arc<[u8]>) -> u32 {
        let (a, b): (Vec<f32>, Vec<f64>) = (floats(a).collect(), floats(b).map(f64::from).collect());
        let of_a: Vec<f64> = a.iter().map(|number| f64::from(*number)).collect();
        let of_b: Vec<f32> = b.iter().map(|number| *number as f32).collect();
        raw(dot(&a, &b), dot(&a, &of_a), dot(&of_b, &b))
    }

    fn query(&self, vector: &Arc<[u8]>, raw: u32) -> Query {
        let (floats, vector): (Vec<f32>, Vec<f64>) = floats(vector).map(|number| (number, f64::from(number))).unzip();
        Query { square: dot(&floats, &vector), vector, raw }
    }

    fn rows(&self) -> Vectors {
        Vectors { dimensions: self.dimensions, data: Vec::new(), squares: Vec::new() }
    }

    fn scan(rows: &Vectors, queries: &[Query], simd: Simd, found: &mut Vec<Near>) {
        for (number, query) in (0..).zip(queries) {
            simd.run(Scanning { vectors: rows, number, query, found });
        }
    }

    fn segment(&self, rows: Vectors) -> Vectors {
        rows
    }

    fn write(segment: &Vectors, to: &mut Output) -> io::Result<()> {
        to.column(&segment.data)?;
        to.column(&segment.squares)
    }

    fn read(&self, len: usize, from: &mut Input) -> Result<Vectors, Unreadable> {
        Ok(Vectors { dimensions: self.dimensions, data: from.column(len * self.dimensions)?, squares: from.column(len)? })
    }

    fn search(segment: &Vectors, queries: &[Query], simd: Simd, found: &mut Vec<Near>) {
        Self::scan(segment, queries, simd, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(numbers: &[f32]) -> Arc<[u8]> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    #[test]
    fn equal_vectors_are_at_zero_whatever_their_length_and_size() {
        for (at, scale) in [1.0, 1e-30, 1e30, 3.7e-19].into_iter().enumerate() {
            let numbers: Vec<f32> = (0..37 + at).map(|part| ((part * 7919 % 101) as f32 - 50.3) * scale).collect();
            let double: Vec<f32> = numbers.iter().map(|number| number * 2.0).collect();
            let opposite: Vec<f32> = numbers.iter().map(|number| -number).collect();
            let [a, b, c] = [&numbers, &double, &opposite].map(|numbers| stored(numbers));
            assert_eq!((Embedding::apart(&a, &a), Embedding::apart(&a, &b)), (0, 0), "{scale}");
            assert_eq!(Embedding::distance(Embedding::apart(&a, &c)), Distance::new(2.0).unwrap());
        }
        assert_eq!(Embedding::distance(Embedding::apart(&stored(&[1.0, 0.0]), &stored(&[0.0, 5.0]))), Distance::new(1.0).unwrap());
    }
}
