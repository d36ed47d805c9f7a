//! The two passes on AVX2, exactly.
//!
//! A weight has 22 bits and a pixel 8, and AVX2 multiplies well only 16 by 16 (`vpmaddwd`: two products and their sum in a lane). So a
//! weight is split into `high * 2^11 + low`, both sums run side by side, and `(high << 11) + low` is the exact sum.

use std::arch::x86_64::*;

use super::super::weights::{HALF, PRECISION, Weights};
use super::pillow::{STEP, TOGETHER};

/// Bits of the low half of a weight. The high half of the largest weight, 2^22, is then 2^11: both fit 16 bits with sign.
const LOW_BITS: u32 = PRECISION / 2;
/// Source pixels whose products one multiplication adds up.
const PAIR: usize = 2;
/// Bytes a load takes; two pairs of pixels are used of it.
const LOAD: usize = 16;
/// Bytes of two pairs.
const STEP_BYTES: usize = 3 * 2 * PAIR;
/// Twos of rows that go through the horizontal pass together, one row in each half of a register, sharing the loads of weights. Measured: with
/// one of them the pass takes 1.2 times as long, with four the registers do not suffice.
const TWOS: usize = TOGETHER / 2;

fn split(weight: i32) -> (i16, i16) {
    ((weight >> LOW_BITS) as i16, (weight & ((1 << LOW_BITS) - 1)) as i16)
}

/// The horizontal weights in the order of the registers' lanes.
pub(super) struct RowTable {
    /// First byte of each output, relative to the row, and its number of pairs.
    heads: Vec<(usize, usize)>,
    /// `high` and `low` for each pair, output after output: r r g g b b - -.
    weights: Vec<[[i16; 8]; 2]>,
    /// Bytes, from a row's start, that the loads of a row reach.
    reach: usize,
}

impl RowTable {
    pub fn new(across: &Weights<i32>) -> Self {
        let mut table = Self { heads: Vec::with_capacity(across.len()), weights: Vec::new(), reach: 0 };
        for output in 0..across.len() {
            let (start, taps) = across.taps(output);
            let pairs = taps.len().div_ceil(PAIR);
            table.heads.push((3 * start, pairs));
            table.reach = table.reach.max(3 * start + STEP_BYTES * ((pairs.max(1) - 1) / 2) + LOAD);
            for pair in taps.chunks(PAIR) {
                let mut lanes = [[0; 8]; 2];
                for (pixel, weight) in pair.iter().enumerate() {
                    let (high, low) = split(*weight);
                    for channel in 0..3 {
                        lanes[0][2 * channel + pixel] = high;
                        lanes[1][2 * channel + pixel] = low;
                    }
                }
                table.weights.push(lanes);
            }
        }
        table
    }
}

/// The horizontal pass: rows of `source_stride` bytes into `rows`, `stride` bytes apart, three bytes a pixel.
///
/// `stride` must exceed three times the outputs (a pixel is stored as four bytes).
#[target_feature(enable = "avx2")]
pub(super) fn resize_rows(source: &[u8], source_stride: usize, table: &RowTable, rows: &mut [u8], stride: usize) {
    let count = rows.len() / stride;
    // The last rows' loads may reach past the picture; those rows are copied to where they may.
    let safe = if source.len() < table.reach { 0 } else { ((source.len() - table.reach) / source_stride + 1).min(count) };
    let together = safe / TOGETHER * TOGETHER;
    for at in (0..together).step_by(TOGETHER) {
        let row = |two: usize, side: usize| at + 2 * two + side;
        let sources = std::array::from_fn(|two| [0, 1].map(|side| &source[row(two, side) * source_stride..][..table.reach]));
        lines::<TWOS>(sources, table, rows, std::array::from_fn(|two| [0, 1].map(|side| row(two, side) * stride)));
    }
    let mut padded = vec![0u8; table.reach.max(source_stride)];
    for at in together..count {
        padded[..source_stride].copy_from_slice(&source[at * source_stride..][..source_stride]);
        // A row that has no other is both of a two.
        lines::<1>([[&padded[..table.reach]; 2]], table, rows, [[at * stride; 2]]);
    }
}

/// [`LOAD`] bytes from `at` of every row. Each row must be so long.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_rows<const N: usize>(sources: &[[&[u8]; 2]; N], at: usize) -> [__m256i; N] {
    let mut pixels = [_mm256_setzero_si256(); N];
    for two in 0..N {
        let [upper, lower] = sources[two];
        debug_assert!(upper.len().min(lower.len()) >= at + LOAD);
        // SAFETY: the caller's word; the loads need no alignment.
        pixels[two] = unsafe { _mm256_loadu2_m128i(lower.as_ptr().add(at).cast(), upper.as_ptr().add(at).cast()) };
    }
    pixels
}

/// Adds the products of a pair of pixels of every row, picked by `spread`.
#[inline]
#[target_feature(enable = "avx2")]
fn multiply<const N: usize>(
    pixels: &[__m256i; N],
    spread: __m256i,
    [high_weights, low_weights]: &[[i16; 8]; 2],
    high: &mut [__m256i; N],
    low: &mut [__m256i; N],
) {
    let (high_weights, low_weights) = (both_halves(high_weights), both_halves(low_weights));
    for two in 0..N {
        let pixels = _mm256_shuffle_epi8(pixels[two], spread);
        high[two] = _mm256_add_epi32(high[two], _mm256_madd_epi16(pixels, high_weights));
        low[two] = _mm256_add_epi32(low[two], _mm256_madd_epi16(pixels, low_weights));
    }
}

/// Twos of rows; the results of each begin at its place in `rows`.
#[inline]
#[target_feature(enable = "avx2")]
fn lines<const N: usize>(sources: [[&[u8]; 2]; N], table: &RowTable, rows: &mut [u8], to: [[usize; 2]; N]) {
    // Bytes of pixels r0 g0 b0 r1 … to 16-bit r0 r1 g0 g1 b0 b1 - -, and the same of the next two; -1 gives a zero.
    let first = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
    let second = _mm256_broadcastsi128_si256(_mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
    // What the loads rely on.
    assert!(sources.iter().flatten().all(|source| source.len() >= table.reach));
    let mut weights = &table.weights[..];
    for (output, (start, pairs)) in table.heads.iter().enumerate() {
        let mut high = [_mm256_setzero_si256(); N];
        let mut low = [_mm256_set1_epi32(HALF); N];
        let (own, rest) = weights.split_at(*pairs);
        weights = rest;
        let steps = own.chunks_exact(2);
        let last = steps.remainder();
        for (step, own) in steps.enumerate() {
            // SAFETY: `reach` is the largest end of these loads over all outputs and steps, and every source is at least as long (asserted
            // above). Checking each load by itself costs a fifth of the pass.
            let pixels = unsafe { load_rows(&sources, start + STEP_BYTES * step) };
            multiply(&pixels, first, &own[0], &mut high, &mut low);
            multiply(&pixels, second, &own[1], &mut high, &mut low);
        }
        if let [own] = last {
            // SAFETY: as above.
            let pixels = unsafe { load_rows(&sources, start + STEP_BYTES * (pairs / 2)) };
            multiply(&pixels, first, own, &mut high, &mut low);
        }
        for two in 0..N {
            let sum = _mm256_add_epi32(_mm256_slli_epi32::<{ LOW_BITS as i32 }>(high[two]), low[two]);
            let value = _mm256_srai_epi32::<{ PRECISION as i32 }>(sum);
            let clipped = _mm256_packus_epi16(_mm256_packs_epi32(value, value), value);
            let bytes = [_mm256_extract_epi32::<0>(clipped), _mm256_extract_epi32::<4>(clipped)];
            for side in 0..2 {
                // Not copy_from_slice, which may be a call.
                let to = rows[to[two][side] + 3 * output..].first_chunk_mut();
                *to.expect("a row is longer than its pixels") = bytes[side].to_le_bytes();
            }
        }
    }
}

/// One row out of the vertical pass, from as many rows of `rows`, `stride` bytes apart, as there are taps.
///
/// `out` is a multiple of [`STEP`] long; what lies behind a row's own bytes in it is unspecified.
#[target_feature(enable = "avx2")]
pub(super) fn column_line(rows: &[u8], stride: usize, taps: &[i32], out: &mut [u8]) {
    let half = _mm256_set1_epi32(HALF);
    for (step, out) in out.chunks_exact_mut(STEP).enumerate() {
        let at = step * STEP;
        let mut high = [_mm256_setzero_si256(); 2];
        let mut low = [_mm256_setzero_si256(); 2];
        for (pair, taps) in taps.chunks(2).enumerate() {
            let first = load_some(rows, 2 * pair * stride + at);
            let (second, second_weight) = match taps.get(1) {
                Some(weight) => (load_some(rows, (2 * pair + 1) * stride + at), *weight),
                None => (_mm_setzero_si128(), 0),
            };
            let ((first_high, first_low), (second_high, second_low)) = (split(taps[0]), split(second_weight));
            let pair_of = |first: i16, second: i16| _mm256_set1_epi32(i32::from(first as u16) | i32::from(second) << 16);
            let (high_weights, low_weights) = (pair_of(first_high, second_high), pair_of(first_low, second_low));
            let pixels = [_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(first, second)), _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(first, second))];
            for side in 0..2 {
                high[side] = _mm256_add_epi32(high[side], _mm256_madd_epi16(pixels[side], high_weights));
                low[side] = _mm256_add_epi32(low[side], _mm256_madd_epi16(pixels[side], low_weights));
            }
        }
        let mut value = [_mm256_setzero_si256(); 2];
        for side in 0..2 {
            let sum = _mm256_add_epi32(_mm256_slli_epi32::<{ LOW_BITS as i32 }>(high[side]), low[side]);
            value[side] = _mm256_srai_epi32::<{ PRECISION as i32 }>(_mm256_add_epi32(sum, half));
        }
        // Packing works within halves: 0-3 8-11 | 4-7 12-15, so the middle quarters change places before the last packing.
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(value[0], value[1]));
        let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
        // SAFETY: `out` is a chunk of exactly STEP = 16 bytes; the store needs no alignment.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), bytes) };
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn both_halves(lanes: &[i16; 8]) -> __m256i {
    // SAFETY: the array is 16 bytes long; the load needs no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(lanes.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_bytes(bytes: &[u8]) -> __m128i {
    let bytes = &bytes[..LOAD];
    // SAFETY: the slice is 16 bytes long; the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// [`LOAD`] bytes from `at`, with zeroes for those behind the end.
#[inline]
#[target_feature(enable = "avx2")]
fn load_some(bytes: &[u8], at: usize) -> __m128i {
    match bytes.get(at..at + LOAD) {
        Some(bytes) => load_bytes(bytes),
        None => {
            let mut padded = [0; LOAD];
            let rest = bytes.get(at..).unwrap_or_default();
            padded[..rest.len()].copy_from_slice(rest);
            load_bytes(&padded)
        }
    }
}
