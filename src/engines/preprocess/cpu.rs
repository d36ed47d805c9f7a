//! Preprocessing on the processor, fast: only the rows and columns the crop keeps, and each source row read once.

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::normalize;
use super::weights::{HALF, PRECISION, Weights, vertical_first};
use crate::domain::frame::Frame;
use crate::domain::preprocess::{PreprocessSpec, Size};
use crate::domain::tensor::Tensor;

/// The batch `[frames, ...item_shape]`, on the calling thread; equal to [`plain::preprocess`](super::plain::preprocess) bit for bit.
///
/// The spec must have passed [`PreprocessSpec::check`].
pub fn preprocess_cpu(spec: &PreprocessSpec, frames: &[&Frame]) -> Tensor {
    let item: usize = spec.item_shape().iter().product();
    let mut data = vec![0.0; frames.len() * item];
    let table = normalize::table(spec);
    let passes = Passes::best();
    for (frame, item) in frames.iter().zip(data.chunks_exact_mut(item)) {
        preprocess_one(spec, &table, frame, passes, item);
    }
    let shape = std::iter::once(frames.len()).chain(spec.item_shape()).collect();
    Tensor::new(shape, data)
}

/// Which build of the two passes runs.
#[derive(Clone, Copy, Debug)]
enum Passes {
    Portable,
    /// Made only where AVX2 was detected.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Passes {
    fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Self::Avx2;
        }
        Self::Portable
    }
}

/// Bytes of one step of the vertical pass. Lines that it writes are padded to whole steps.
pub(super) const STEP: usize = 16;

/// Room for a line of `pixels`, in whole steps, with one byte more than they need because the vector pass writes a pixel as four bytes.
fn line_bytes(pixels: usize) -> usize {
    (3 * pixels + 1).next_multiple_of(STEP)
}

fn preprocess_one(spec: &PreprocessSpec, table: &[[f32; 256]; 3], frame: &Frame, passes: Passes, item: &mut [f32]) {
    let (size, output, (left, top)) = (spec.resized(), spec.output(), spec.crop_origin());
    let from = Size { width: frame.width(), height: frame.height() };
    let across = Weights::new(spec.filter, from.width, size.width, left, output.width);
    let down = Weights::new(spec.filter, from.height, size.height, top, output.height);
    let across = Across::new(across, passes);
    let source_stride = 3 * from.width as usize;
    let mut line = vec![0u8; line_bytes(output.width as usize)];
    if vertical_first(from, size) {
        let mut tall = vec![0u8; line_bytes(from.width as usize)];
        for y in 0..down.len() {
            let (start, taps) = down.taps(y);
            column_line(passes, &frame.pixels()[start * source_stride..], source_stride, taps, &mut tall);
            let stride = line.len();
            across.run(&tall, source_stride, &mut line, stride);
            normalize::write_row(spec, table, &line, y, item);
        }
    } else {
        let (first, end) = down.reach();
        let stride = line.len();
        let mut rows = vec![0u8; (end - first) * stride];
        across.run(&frame.pixels()[first * source_stride..], source_stride, &mut rows, stride);
        for y in 0..down.len() {
            let (start, taps) = down.taps(y);
            column_line(passes, &rows[(start - first) * stride..], stride, taps, &mut line);
            normalize::write_row(spec, table, &line, y, item);
        }
    }
}

/// The horizontal pass, ready to run over any number of rows.
enum Across {
    Portable(Weights),
    /// Made only where AVX2 was detected.
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::RowTable),
}

impl Across {
    fn new(weights: Weights, passes: Passes) -> Self {
        match passes {
            Passes::Portable => Self::Portable(weights),
            #[cfg(target_arch = "x86_64")]
            Passes::Avx2 => Self::Avx2(avx2::RowTable::new(&weights)),
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
fn column_line(passes: Passes, rows: &[u8], stride: usize, taps: &[i32], out: &mut [u8]) {
    match passes {
        Passes::Portable => column_line_portable(rows, stride, taps, out),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this variant is made only where AVX2 was detected.
        Passes::Avx2 => unsafe { avx2::column_line(rows, stride, taps, out) },
    }
}

/// One row through the horizontal pass.
fn row_line(source: &[u8], across: &Weights, out: &mut [u8]) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::preprocess::{Channels, Filter, Layout, Resize, Rounding, Size};
    use crate::engines::preprocess::plain;

    fn spec(width: u32, height: u32, crop: Option<Size>, channels: Channels, layout: Layout) -> PreprocessSpec {
        PreprocessSpec {
            resize: Resize::Exact { width, height },
            filter: Filter::Bilinear,
            rounding: Rounding::PillowU8,
            crop,
            channels,
            layout,
            scale: 1.0 / 255.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }

    #[test]
    fn every_build_equals_the_oracle() {
        let specs = [
            spec(64, 48, Some(Size { width: 33, height: 31 }), Channels::Bgr, Layout::Nhwc),
            spec(7, 5, None, Channels::Rgb, Layout::Nchw),
            spec(1, 1, None, Channels::Rgb, Layout::Nhwc),
        ];
        for (width, height) in [(1, 1), (1, 9), (9, 1), (2, 2), (5, 5), (64, 48), (127, 128), (611, 37), (37, 611), (70, 400)] {
            let pixels: Vec<u8> = (0..3 * width * height).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let frame = Frame::new(width, height, pixels).unwrap();
            for spec in &specs {
                let expected = plain::preprocess(spec, &frame);
                for passes in [Passes::Portable, Passes::best()] {
                    let mut item = vec![0.0; expected.len()];
                    preprocess_one(spec, &normalize::table(spec), &frame, passes, &mut item);
                    assert!(item == expected, "{width}x{height} to {:?} with {passes:?}", spec.resize);
                }
            }
        }
    }
}
