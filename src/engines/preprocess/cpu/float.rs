//! [`Rounding::Float`](crate::domain::preprocess::Rounding::Float): plain loops over fixed arrays, which the compiler turns into vectors.
//!
//! Additions stand in one order whatever the vectors' width, and nothing is fused, so every machine gives the same bits.

use super::super::normalize;
use super::super::weights::{Axis, Weights, vertical_first};
use super::Build;
use crate::domain::frame::Frame;
use crate::domain::pace;
use crate::domain::preprocess::{Plan, PreprocessSpec};

/// One picture, in whichever build.
pub(super) fn write_item(spec: &PreprocessSpec, plan: &Plan, frame: &Frame, build: Build, item: &mut [f32]) {
    match build {
        Build::Portable => passes(spec, plan, frame, item),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this variant is made only where AVX2 was detected.
        Build::Avx2 => unsafe { passes_avx2(spec, plan, frame, item) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn passes_avx2(spec: &PreprocessSpec, plan: &Plan, frame: &Frame, item: &mut [f32]) {
    passes(spec, plan, frame, item);
}

#[inline(always)]
fn passes(spec: &PreprocessSpec, plan: &Plan, frame: &Frame, item: &mut [f32]) {
    let across = Weights::<f32>::new(Axis::across(spec, plan));
    let down = Weights::<f32>::new(Axis::down(spec, plan));
    let (first_column, end_column) = across.reach();
    let (first_row, end_row) = down.reach();
    // The source columns that some output needs.
    let (skip, wide) = (3 * first_column, 3 * (end_column - first_column));
    let source_stride = 3 * plan.from.width as usize;
    let source = |row: usize| &frame.pixels()[row * source_stride + skip..];
    let mut tall = vec![0.0; wide + 1];
    let narrow = 3 * plan.kept.width as usize;
    let mut line = vec![0.0; narrow + 1];
    if vertical_first(spec.rounding, plan) {
        for y in 0..down.len() {
            pace::let_others_go_first();
            let (start, taps) = down.taps(y);
            column_line(source(start), source_stride, taps, &mut tall[..wide]);
            row_line(&tall, first_column, &across, &mut line);
            normalize::write_row(spec, plan, &mut line, y, item);
        }
    } else {
        let mut rows = vec![0.0; (end_row - first_row) * narrow + 1];
        for row in first_row..end_row {
            pace::let_others_go_first();
            tall.iter_mut().zip(&source(row)[..wide]).for_each(|(to, value)| *to = f32::from(*value));
            row_line(&tall, first_column, &across, &mut rows[(row - first_row) * narrow..][..narrow + 1]);
        }
        for y in 0..down.len() {
            let (start, taps) = down.taps(y);
            column_line(&rows[(start - first_row) * narrow..], narrow, taps, &mut line[..narrow]);
            normalize::write_row(spec, plan, &mut line, y, item);
        }
    }
}

/// Sums that stay in registers: four of eight floats.
const BLOCK: usize = 32;

/// One row out of the vertical pass, from as many rows of `rows`, `stride` values apart, as there are taps.
#[inline(always)]
fn column_line<P: Copy + Into<f32>>(rows: &[P], stride: usize, taps: &[f32], out: &mut [f32]) {
    let length = out.len();
    if length < BLOCK {
        for (at, out) in out.iter_mut().enumerate() {
            *out = taps.iter().enumerate().fold(0.0, |sum, (tap, weight)| sum + rows[tap * stride + at].into() * weight);
        }
        return;
    }
    for at in (0..length).step_by(BLOCK) {
        // The last block ends where the row does; what it shares with the one before comes out the same.
        let at = at.min(length - BLOCK);
        let mut sums = [0.0f32; BLOCK];
        for (tap, weight) in taps.iter().enumerate() {
            let row = &rows[tap * stride + at..][..BLOCK];
            for lane in 0..BLOCK {
                sums[lane] += row[lane].into() * weight;
            }
        }
        *out[at..].first_chunk_mut().expect("a block ends where the row does at the latest") = sums;
    }
}

/// One row through the horizontal pass. `line` begins with column `first`; it and `out` have one value more than their pixels, because a pixel
/// is read and written as four values, of which the last is the next one's or nobody's.
#[inline(always)]
fn row_line(line: &[f32], first: usize, across: &Weights<f32>, out: &mut [f32]) {
    for output in 0..across.len() {
        let (start, taps) = across.taps(output);
        let source = &line[3 * (start - first)..][..3 * taps.len() + 1];
        // Two sums, so that an addition need not wait for the one before.
        let (mut even, mut odd) = ([0.0f32; 4], [0.0f32; 4]);
        let pairs = taps.chunks_exact(2);
        if let [weight] = pairs.remainder() {
            let pixel = &source[3 * taps.len() - 3..][..4];
            for lane in 0..4 {
                even[lane] = pixel[lane] * weight;
            }
        }
        for (pair, weights) in pairs.enumerate() {
            let pixels = &source[6 * pair..][..7];
            for lane in 0..4 {
                even[lane] += pixels[lane] * weights[0];
                odd[lane] += pixels[lane + 3] * weights[1];
            }
        }
        let out = &mut out[3 * output..][..4];
        for lane in 0..4 {
            out[lane] = even[lane] + odd[lane];
        }
    }
}
