//! [`Rounding::PillowU8`](crate::domain::preprocess::Rounding::PillowU8): integers, exact.

use super::super::normalize;
use super::super::weights::{Axis, HALF, PRECISION, Weights, vertical_first};
use super::Build;
#[cfg(target_arch = "x86_64")]
use super::avx2;
use crate::domain::frame::Frame;
use crate::domain::pace;
use crate::domain::preprocess::{Plan, PreprocessSpec};

/// Bytes of one step of the vertical pass. Lines that it writes are padded to whole steps.
pub(super) const STEP: usize = 16;

/// Rows that the vector build takes through the horizontal pass together.
pub(super) const TOGETHER: usize = 6;

/// Rows between which others may go first.
const AT_ONCE: usize = 32 * TOGETHER;

/// Room for a line of `pixels`, in whole steps, with one byte more than they need because the vector pass writes a pixel as four bytes.
fn line_bytes(pixels: usize) -> usize {
    (3 * pixels + 1).next_multiple_of(STEP)
}

/// One picture, in whichever build. Equal to [`plain::preprocess`](super::super::plain::preprocess) bit for bit.
pub(super) fn write_item(spec: &PreprocessSpec, plan: &Plan, frame: &Frame, build: Build, item: &mut [f32]) {
    match build {
        Build::Portable => passes(spec, plan, frame, build, item),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this variant is made only where AVX2 was detected.
        Build::Avx2 => unsafe { passes_avx2(spec, plan, frame, build, item) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn passes_avx2(spec: &PreprocessSpec, plan: &Plan, frame: &Frame, build: Build, item: &mut [f32]) {
    passes(spec, plan, frame, build, item);
}

#[inline(always)]
fn passes(spec: &PreprocessSpec, plan: &Plan, frame: &Frame, build: Build, item: &mut [f32]) {
    let across = Across::new(Weights::new(Axis::across(spec, plan)), build);
    let down = Weights::new(Axis::down(spec, plan));
    let source_stride = 3 * plan.from.width as usize;
    let stride = line_bytes(plan.kept.width as usize);
    if vertical_first(spec.rounding, plan) {
        let tall_stride = line_bytes(plan.from.width as usize);
        let mut tall = vec![0u8; (TOGETHER + 1) * tall_stride]; // a line more, into which the last one's loads may reach
        let mut lines = vec![0u8; TOGETHER * stride];
        for first in (0..down.len()).step_by(TOGETHER) {
            pace::let_others_go_first();
            let block = first..down.len().min(first + TOGETHER);
            for (y, tall) in block.clone().zip(tall.chunks_exact_mut(tall_stride)) {
                let (start, taps) = down.taps(y);
                column_line(build, &frame.pixels()[start * source_stride..], source_stride, taps, tall);
            }
            let lines = &mut lines[..block.len() * stride];
            across.run(&tall, tall_stride, lines, stride);
            for (y, line) in block.zip(lines.chunks_exact_mut(stride)) {
                normalize::write_row(spec, plan, line, y, item);
            }
        }
    } else {
        let (first, end) = down.reach();
        let mut rows = vec![0u8; (end - first) * stride];
        let mut line = vec![0u8; stride];
        for (block, rows) in rows.chunks_mut(AT_ONCE * stride).enumerate() {
            pace::let_others_go_first();
            across.run(&frame.pixels()[(first + block * AT_ONCE) * source_stride..], source_stride, rows, stride);
        }
        for y in 0..down.len() {
            let (start, taps) = down.taps(y);
            column_line(build, &rows[(start - first) * stride..], stride, taps, &mut line);
            normalize::write_row(spec, plan, &mut line, y, item);
        }
    }
}

/// The horizontal pass, ready to run over any number of rows.
enum Across {
    Portable(Weights<i32>),
    /// Made only where AVX2 was detected.
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::RowTable),
}

impl Across {
    fn new(weights: Weights<i32>, build: Build) -> Self {
        match build {
            Build::Portable => Self::Portable(weights),
            #[cfg(target_arch = "x86_64")]
            Build::Avx2 => Self::Avx2(avx2::RowTable::new(&weights)),
        }
    }

    /// As many rows as `rows` holds lines of `stride` bytes, from `source`, whose rows are `source_stride` bytes apart.
    fn run(&self, source: &[u8], source_stride: usize, rows: &mut [u8], stride: usize) {
        match self {
            Self::Portable(weights) => {
                for (source, out) in source.chunks(source_stride).zip(rows.chunks_exact_mut(stride)) {
                    row_line(source, weights, out);
                }
            }
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this variant is made only where AVX2 was detected.
            Self::Avx2(table) => unsafe { avx2::resize_rows(source, source_stride, table, rows, stride) },
        }
    }
}

/// One row out of the vertical pass, from as many rows of `rows`, `stride` bytes apart, as there are taps.
fn column_line(build: Build, rows: &[u8], stride: usize, taps: &[i32], out: &mut [u8]) {
    match build {
        Build::Portable => column_line_portable(rows, stride, taps, out),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this variant is made only where AVX2 was detected.
        Build::Avx2 => unsafe { avx2::column_line(rows, stride, taps, out) },
    }
}

/// One row through the horizontal pass.
fn row_line(source: &[u8], across: &Weights<i32>, out: &mut [u8]) {
    for (output, out) in out.chunks_exact_mut(3).take(across.len()).enumerate() {
        let (start, taps) = across.taps(output);
        let mut sums = [HALF; 3];
        for (pixel, weight) in source[3 * start..][..3 * taps.len()].chunks_exact(3).zip(taps) {
            for channel in 0..3 {
                sums[channel] += i32::from(pixel[channel]) * weight;
            }
        }
        out.copy_from_slice(&sums.map(clip));
    }
}

/// Bytes of an accumulator that stays in registers or at least in the first cache.
const BLOCK: usize = 64;

fn column_line_portable(rows: &[u8], stride: usize, taps: &[i32], out: &mut [u8]) {
    let bytes = stride.min(out.len());
    for (block, out) in out[..bytes].chunks_mut(BLOCK).enumerate() {
        let mut sums = [HALF; BLOCK];
        for (row, weight) in rows.chunks(stride).zip(taps) {
            let row = &row[block * BLOCK..][..out.len()];
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += i32::from(*value) * weight);
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = clip(sum));
    }
}

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}
