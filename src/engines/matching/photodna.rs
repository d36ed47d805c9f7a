//! PhotoDNA hashes as a type of signals: vectors of bytes that a licensee's software made, by Euclidean distance. Nothing here knows what the bytes mean.
//!
//! Raw distances are squared, whole numbers: at most 924 * 255^2, so nothing is rounded. A segment is sorted by the vectors' norms. By the triangle inequality the norms of two
//! vectors differ by no more than their distance, so all within a radius of a query stand in one stretch, and only that is scanned.

use std::{io, ops::Range, sync::Arc};

use super::{
    index::Sizes,
    kind::{Held, Kind, Near},
    simd::{Simd, Work, prefetch},
    stored::{self, Input, Output, Unreadable},
};
use crate::domain::signal::{Distance, Signal, SignalType};

/// Vectors of this many bytes.
#[derive(Clone, Copy, Debug)]
pub struct PhotoDna {
    bytes: usize,
}

/// Bytes of a tail that is copied when it grows while a snapshot shares it, and of a full segment: some tens of milliseconds to build.
const TAIL_BYTES: usize = 1 << 19;
const FULL_BYTES: usize = 1 << 26;
/// Components added up side by side.
const LANES: usize = 16;

/// Vectors one after the other.
#[derive(Clone, Debug)]
pub struct Vectors {
    pub(super) bytes: usize,
    pub(super) data: Vec<u8>,
}

/// Vectors sorted by norm.
pub struct ByNorm {
    pub(super) vectors: Vectors,
    /// Squared norms, ascending.
    pub(super) norms: Vec<u32>,
    /// The position of each place, and the place of each position.
    pub(super) positions: Vec<u32>,
    pub(super) places: Vec<u32>,
}

/// A vector and the squared radius around it.
pub struct Query {
    vector: Arc<[u8]>,
    raw: u32,
}

impl PhotoDna {
    /// For vectors of this length.
    pub const fn of(bytes: usize) -> Self {
        Self { bytes }
    }
}

/// Squared distance.
#[inline(always)]
fn squared(a: &[u8], b: &[u8]) -> u32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let square = |a: u8, b: u8| {
        let difference = i32::from(i16::from(a) - i16::from(b));
        (difference * difference) as u32
    };
    let mut sums = [0u32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += square(a[lane], b[lane]);
        }
    }
    sums.iter().sum::<u32>() + a_rest.iter().zip(b_rest).map(|(a, b)| square(*a, *b)).sum::<u32>()
}

fn squared_norm(vector: &[u8]) -> u32 {
    vector.iter().map(|byte| u32::from(*byte).pow(2)).sum()
}

impl Vectors {
    fn row(&self, at: usize) -> &[u8] {
        &self.data[at * self.bytes..][..self.bytes]
    }
}

impl ByNorm {
    fn new(vectors: &Vectors) -> Self {
        let squares: Vec<u32> = vectors.data.chunks_exact(vectors.bytes).map(squared_norm).collect();
        let mut positions: Vec<u32> = (0..squares.len() as u32).collect();
        positions.sort_unstable_by_key(|&position| (squares[position as usize], position));
        let mut places = vec![0; positions.len()];
        let mut data = Vec::with_capacity(vectors.data.len());
        for (place, &position) in (0..).zip(&positions) {
            places[position as usize] = place;
            data.extend_from_slice(vectors.row(position as usize));
        }
        let norms = positions.iter().map(|&position| squares[position as usize]).collect();
        Self { vectors: Vectors { bytes: vectors.bytes, data }, norms, positions, places }
    }

    /// Places of all vectors that can be within the radius.
    fn stretch(&self, query: &Query) -> Range<usize> {
        let (norm, radius) = (f64::from(squared_norm(&query.vector)).sqrt(), f64::from(query.raw).sqrt());
        // One more on both sides: roots are rounded, in the sixteenth digit of numbers of eight.
        let (least, most) = ((norm - radius).max(0.0).powi(2) - 1.0, (norm + radius).powi(2) + 1.0);
        self.norms.partition_point(|&norm| f64::from(norm) < least)..self.norms.partition_point(|&norm| f64::from(norm) <= most)
    }
}

/// One query over some vectors.
struct Scanning<'a> {
    vectors: &'a Vectors,
    places: Range<usize>,
    number: u32,
    query: &'a Query,
    found: &'a mut Vec<Near>,
}

impl Work for Scanning<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { vectors, places, number, query, found } = self;
        let rows = vectors.data[places.start * vectors.bytes..places.end * vectors.bytes].chunks_exact(vectors.bytes);
        for (place, row) in (places.start as u32..).zip(rows) {
            let distance = squared(row, &query.vector);
            if distance <= query.raw {
                found.push(Near { query: number, position: place, distance });
            }
        }
    }
}

impl Held for Vectors {
    type Item = Arc<[u8]>;

    fn get(&self, position: u32) -> Arc<[u8]> {
        self.row(position as usize).into()
    }

    fn len(&self) -> usize {
        self.data.len() / self.bytes
    }

    fn memory_bytes(&self) -> usize {
        self.data.capacity()
    }
}

impl super::kind::Rows for Vectors {
    fn push(&mut self, vector: &Arc<[u8]>) {
        self.data.extend_from_slice(vector);
    }

    fn reserve(&mut self, more: usize) {
        self.data.reserve_exact(more * self.bytes);
    }

    fn shrink(&mut self) {
        self.data.shrink_to_fit();
    }
}

impl Held for ByNorm {
    type Item = Arc<[u8]>;

    fn get(&self, position: u32) -> Arc<[u8]> {
        self.vectors.get(self.places[position as usize])
    }

    fn len(&self) -> usize {
        self.positions.len()
    }

    fn prefetch(&self, position: u32) {
        prefetch(&self.places, position as usize);
    }

    fn memory_bytes(&self) -> usize {
        let numbers = [&self.norms, &self.positions, &self.places].map(Vec::capacity).iter().sum::<usize>();
        self.vectors.memory_bytes() + numbers * size_of::<u32>()
    }
}

impl Kind for PhotoDna {
    type Item = Arc<[u8]>;
    type Query = Query;
    type Rows = Vectors;
    type Segment = ByNorm;

    fn signal_type(&self) -> SignalType {
        SignalType::PhotoDna
    }

    fn sizes(&self) -> Sizes {
        let full = FULL_BYTES / self.bytes;
        Sizes { tail: TAIL_BYTES / self.bytes, merged: full, full }
    }

    fn item(&self, signal: &Signal) -> Option<Arc<[u8]>> {
        match signal {
            Signal::PhotoDna(vector) if vector.len() == self.bytes => Some(vector.clone()),
            _ => None,
        }
    }

    fn signal(&self, vector: Arc<[u8]>) -> Signal {
        Signal::PhotoDna(vector)
    }

    fn distance(raw: u32) -> Distance {
        Distance::new(f64::from(raw).sqrt() as f32).unwrap_or_default()
    }

    /// The largest whole number whose root, as a distance is written, is within the radius.
    fn raw(radius: Distance) -> u32 {
        let radius = if radius > SignalType::PhotoDna.largest_distance() { SignalType::PhotoDna.largest_distance() } else { radius };
        // The root of a number a little above may be rounded down to the radius.
        let mut raw = (f64::from(radius.get()) * (1.0 + f64::from(f32::EPSILON))).powi(2).ceil() as u32 + 1;
        while raw > 0 && Self::distance(raw) > radius {
            raw -= 1;
        }
        raw
    }

    fn apart(a: &Arc<[u8]>, b: &Arc<[u8]>) -> u32 {
        a.iter().zip(&**b).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum()
    }

    fn query(&self, vector: &Arc<[u8]>, raw: u32) -> Query {
        Query { vector: vector.clone(), raw }
    }

    fn rows(&self) -> Vectors {
        Vectors { bytes: self.bytes, data: Vec::new() }
    }

    fn scan(rows: &Vectors, queries: &[Query], simd: Simd, found: &mut Vec<Near>) {
        for (number, query) in (0..).zip(queries) {
            simd.run(Scanning { vectors: rows, places: 0..rows.len(), number, query, found });
        }
    }

    fn segment(&self, rows: Vectors) -> ByNorm {
        ByNorm::new(&rows)
    }

    fn write(segment: &ByNorm, to: &mut Output) -> io::Result<()> {
        to.column(&segment.vectors.data)?;
        [&segment.norms, &segment.positions, &segment.places].into_iter().try_for_each(|column| to.column(column))
    }

    fn read(&self, len: usize, from: &mut Input) -> Result<ByNorm, Unreadable> {
        let vectors = Vectors { bytes: self.bytes, data: from.column(len * self.bytes)? };
        let (norms, positions, places) = (from.column::<u32>(len)?, from.column::<u32>(len)?, from.column::<u32>(len)?);
        if !norms.is_sorted() {
            return Err(Unreadable::Damaged("norms do not ascend"));
        }
        stored::check_position(positions.iter().copied().max(), len)?;
        stored::check_position(places.iter().copied().max(), len)?;
        Ok(ByNorm { vectors, norms, positions, places })
    }

    fn search(segment: &ByNorm, queries: &[Query], simd: Simd, found: &mut Vec<Near>) {
        for (number, query) in (0..).zip(queries) {
            let (start, places) = (found.len(), segment.stretch(query));
            simd.run(Scanning { vectors: &segment.vectors, places, number, query, found });
            found[start..].iter_mut().for_each(|near| near.position = segment.positions[near.position as usize]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_radius_includes_exactly_the_distances_that_are_not_above_it() {
        for raw in (0..3000).chain((59_000_000..60_090_000).step_by(10_007)) {
            let radius = PhotoDna::distance(raw);
            let most = PhotoDna::raw(radius);
            assert!(most >= raw && PhotoDna::distance(most) <= radius && PhotoDna::distance(most + 1) > radius, "{raw} {most}");
        }
        assert_eq!(PhotoDna::raw(Distance::new(1e30).unwrap()), PhotoDna::raw(SignalType::PhotoDna.largest_distance()));
    }

    #[test]
    fn the_stretch_of_norms_is_short_and_misses_nothing() {
        let vector =
            |at: u32| (0..144).map(|part| (at.wrapping_mul(2_654_435_761).wrapping_add(part * at) >> 24) as u8).collect::<Arc<[u8]>>();
        let kind = PhotoDna::of(144);
        let mut rows = kind.rows();
        (0..5000).for_each(|at| super::super::kind::Rows::push(&mut rows, &vector(at)));
        let segment = kind.segment(rows.clone());
        let mut looked_at = 0;
        for at in 0..100 {
            for raw in [0, 1, 400, 90_000] {
                let query = kind.query(&vector(at * 49), raw);
                let stretch = segment.stretch(&query);
                looked_at += stretch.len();
                let within = (0..5000).filter(|&position| PhotoDna::apart(&rows.get(position), &query.vector) <= raw);
                assert!(within.into_iter().all(|position| stretch.contains(&(segment.places[position as usize] as usize))));
            }
        }
        assert!(looked_at < 100 * 4 * 5000 / 2, "{looked_at}");
    }
}
