//! The two passes on AVX2, exactly.
//!
//! A weight has 22 bits and a pixel 8, and AVX2 multiplies well only 16 by 16 (`vpmaddwd`: two products and their sum in a lane). So a
//! weight is split into `high * 2^11 + low`, both sums run side by side, and `(high << 11) + low` is the exact sum.

use std::arch::x86_64::*;

use super::super::weights::{HALF, PRECISION, Weights};
use super::pillow::STEP;

/// Bits of the low half of a weight. The high half of the largest weight, 2^22, is then 2^11: both fit 16 bits with sign.
const LOW_BITS: u32 = PRECISION / 2;
/// Source pixels of one step of the horizontal pass: 12 bytes, two pixels in each half of a register.
const GROUP: usize = 4;
/// Bytes a step loads.
const LOAD: usize = 16;
/// Rows that go through the horizontal pass together, sharing the loads of weights.
const ROWS: usize = 4;

fn split(weight: i32) -> (i16, i16) {
    ((weight >> LOW_BITS) as i16, (weight & ((1 << LOW_BITS) - 1)) as i16)
}

/// The horizontal weights in the order of the registers' lanes.
pub(super) struct RowTable {
    /// First byte of each output, relative to the row, and its number of groups.
    heads: Vec<(usize, usize)>,
    /// `high` and `low` for each group, output after output.
    weights: Vec<[[i16; 16]; 2]>,
    /// Bytes, from a row's start, that the loads of a row reach.
    reach: usize,
}

impl RowTable {
    pub fn new(across: &Weights<i32>) -> Self {
        let mut table = Self { heads: Vec::with_capacity(across.len()), weights: Vec::new(), reach: 0 };
        for output in 0..across.len() {
            let (start, taps) = across.taps(output);
            let groups = taps.len().div_ceil(GROUP);
            table.heads.push((3 * start, groups));
            table.reach = table.reach.max(3 * start + 3 * GROUP * groups.saturating_sub(1) + LOAD);
            for group in taps.chunks(GROUP) {
                let mut lanes = [[0; 16]; 2];
                // In each half: r r g g b b - -, the pair being two neighbouring pixels.
                for (pixel, weight) in group.iter().enumerate() {
                    let (high, low) = split(*weight);
                    for channel in 0..3 {
                        let lane = pixel / 2 * 8 + 2 * channel + pixel % 2;
                        lanes[0][lane] = high;
                        lanes[1][lane] = low;
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
    let together = safe / ROWS * ROWS;
    for at in (0..together).step_by(ROWS) {
        let sources = std::array::from_fn(|row| &source[(at + row) * source_stride..][..table.reach]);
        lines::<ROWS>(sources, table, &mut rows[at * stride..][..ROWS * stride], stride);
    }
    let mut padded = vec![0u8; table.reach.max(source_stride)];
    for at in together..count {
        padded[..source_stride].copy_from_slice(&source[at * source_stride..][..source_stride]);
        lines::<1>([&padded[..table.reach]], table, &mut rows[at * stride..][..stride], stride);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn lines<const N: usize>(sources: [&[u8]; N], table: &RowTable, rows: &mut [u8], stride: usize) {
    // Bytes of four pixels r0 g0 b0 r1 … to 16-bit r0 r1 g0 g1 b0 b1 - - | r2 r3 g2 g3 b2 b3 - -; -1 gives a zero.
    let spread = _mm256_setr_epi8(
        0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1,
    );
    let half = _mm_set1_epi32(HALF);
    assert!(sources.iter().all(|source| source.len() >= table.reach));
    let mut weights = table.weights.iter();
    for (output, (start, groups)) in table.heads.iter().enumerate() {
        let mut high = [_mm256_setzero_si256(); N];
        let mut low = [_mm256_setzero_si256(); N];
        for (group, [high_weights, low_weights]) in weights.by_ref().take(*groups).enumerate() {
            let (high_weights, low_weights) = (load(high_weights), load(low_weights));
            for row in 0..N {
                // SAFETY: `reach` is the largest end of these loads over all outputs and groups, and every source is at least as long
                // (asserted above). Checking each load by itself costs a fifth of the pass.
                let bytes = unsafe { _mm_loadu_si128(sources[row].as_ptr().add(start + 3 * GROUP * group).cast()) };
                let pixels = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), spread);
                high[row] = _mm256_add_epi32(high[row], _mm256_madd_epi16(pixels, high_weights));
                low[row] = _mm256_add_epi32(low[row], _mm256_madd_epi16(pixels, low_weights));
            }
        }
        for row in 0..N {
            let sum = _mm256_add_epi32(_mm256_slli_epi32::<{ LOW_BITS as i32 }>(high[row]), low[row]);
            let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
            let value = _mm_srai_epi32::<{ PRECISION as i32 }>(_mm_add_epi32(sum, half));
            let clipped = _mm_packus_epi16(_mm_packs_epi32(value, value), value);
            let bytes = _mm_cvtsi128_si32(clipped).to_le_bytes();
            rows[row * stride + 3 * output..][..4].copy_from_slice(&bytes);
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
fn load(lanes: &[i16; 16]) -> __m256i {
    // SAFETY: the array is 32 bytes long; the load needs no alignment.
    unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
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
