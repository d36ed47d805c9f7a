//! PDQ on the processor, fast.

use super::band::Band;
use super::margins::{self, Margins, Steps};
use super::plain::{Coefficients, Samples};
use super::{HashError, LUMA, SIDE, bits, check_frame, dct, pdq_exact};
use crate::domain::frame::Frame;
use crate::domain::hash::PerceptualHash;
use crate::domain::pace;

/// All eight PDQ hashes and the quality of a frame, on the calling thread: the reference's, bit for bit.
///
/// # Errors
/// [`HashError::TooSmall`] when a side is under 5 pixels.
pub fn pdq_cpu(frame: &Frame) -> Result<PerceptualHash, HashError> {
    let estimate = pdq_estimate(frame)?;
    if estimate.margins.decide(frame.width(), frame.height()) {
        return Ok(estimate.hash);
    }
    pdq_exact(frame).map(|(hash, _)| hash)
}

/// What the fast operators alone say of a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// The reference's where the margins [`decide`](Margins::decide); else some bits, or the quality, may be others.
    pub hash: PerceptualHash,
    /// 64 x 64 blurred luma samples.
    pub samples: Samples,
    /// 16 x 16, row-major.
    pub coefficients: Coefficients,
    pub margins: Margins,
}

/// The first half of [`pdq_cpu`], for measurements.
///
/// The same bits on every processor, since the vector and the scalar build do the same operations in the same order (no fused multiply-add).
///
/// # Errors
/// [`HashError::TooSmall`] when a side is under 5 pixels.
pub fn pdq_estimate(frame: &Frame) -> Result<Estimate, HashError> {
    check_frame(frame)?;
    let (samples, coefficients, steps, brightest) = transform(frame);
    let (hashes, gap) = bits::fast(&coefficients);
    Ok(Estimate {
        hash: PerceptualHash { hashes, quality: steps.quality() },
        samples,
        coefficients,
        margins: Margins { steps, brightest, gap },
    })
}

fn transform(frame: &Frame) -> (Samples, Coefficients, Steps, f32) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { transform_avx2(frame) };
    }
    transform_here(frame)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn transform_avx2(frame: &Frame) -> (Samples, Coefficients, Steps, f32) {
    transform_here(frame)
}

/// Written so that the compiler vectorises it for whatever it is inlined into.
#[inline(always)]
fn transform_here(frame: &Frame) -> (Samples, Coefficients, Steps, f32) {
    let samples = downsample(frame);
    (samples, dct::fast(&samples), margins::steps(&samples), margins::brightest(&samples))
}

/// Floats summed side by side in [`dot`]: one AVX register.
const LANES: usize = 8;
/// Source rows added in one walk over the accumulator, so that it is loaded and stored once for all of them.
const ROWS: usize = 4;

/// `A_rows * luma * A_columns^T`.
///
/// Columns first, on interleaved bytes: that is a plain weighted sum of rows, needs no shuffling, and leaves 64 rows. Luma is linear too,
/// so its factors are folded into the weights of the second sum.
#[inline(always)]
fn downsample(frame: &Frame) -> Samples {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let stride = 3 * width;
    let down = Band::new(height);
    let across = Across::new(width);
    let mut sums = vec![0.0f32; stride + LANES]; // what lies behind the row stays zero and meets zero weights
    let mut out = [0.0; SIDE * SIDE];
    for (sample, out) in out.chunks_exact_mut(SIDE).enumerate() {
        pace::let_others_go_first();
        let (start, weights) = down.taps(sample);
        let sums_row = &mut sums[..stride];
        sums_row.fill(0.0);
        let rows = &frame.pixels()[start * stride..][..weights.len() * stride];
        let mut groups = weights.chunks_exact(ROWS).zip(rows.chunks_exact(ROWS * stride));
        for (weights, rows) in &mut groups {
            add_four(sums_row, rows, weights);
        }
        let done = weights.len() / ROWS * ROWS;
        for (weight, row) in weights[done..].iter().zip(rows[done * stride..].chunks_exact(stride)) {
            for (sum, value) in sums_row.iter_mut().zip(row) {
                *sum += weight * f32::from(*value);
            }
        }
        for (column, out) in out.iter_mut().enumerate() {
            let (start, weights) = across.taps(column);
            *out = dot(&sums[start..][..weights.len()], weights);
        }
    }
    out
}

#[inline(always)]
fn add_four(sums: &mut [f32], rows: &[u8], weights: &[f32]) {
    let stride = sums.len();
    let [a, b, c, d] = [0, 1, 2, 3].map(|row| &rows[row * stride..][..stride]);
    let [wa, wb, wc, wd] = [weights[0], weights[1], weights[2], weights[3]];
    for at in 0..stride {
        let first = wa * f32::from(a[at]) + wb * f32::from(b[at]);
        let second = wc * f32::from(c[at]) + wd * f32::from(d[at]);
        sums[at] += first + second;
    }
}

/// The sum of products of two slices whose length is a multiple of [`LANES`].
#[inline(always)]
fn dot(values: &[f32], weights: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for (values, weights) in values.chunks_exact(LANES).zip(weights.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += values[lane] * weights[lane];
        }
    }
    ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]))
}

/// The row operator over interleaved bytes: three weights a pixel, luma's factors included, padded with zeroes to whole lanes.
struct Across {
    starts: [usize; SIDE],
    lengths: [usize; SIDE],
    weights: Vec<f32>,
    pitch: usize,
}

impl Across {
    fn new(width: usize) -> Self {
        let band = Band::new(width);
        let lengths: [usize; SIDE] = std::array::from_fn(|sample| (3 * band.taps(sample).1.len()).next_multiple_of(LANES));
        let pitch = lengths.iter().copied().max().unwrap_or(0);
        let mut across = Self { starts: [0; SIDE], lengths, weights: vec![0.0; SIDE * pitch], pitch };
        for sample in 0..SIDE {
            let (start, weights) = band.taps(sample);
            across.starts[sample] = 3 * start;
            let to = across.weights[sample * pitch..][..pitch].chunks_exact_mut(3);
            for (to, weight) in to.zip(weights) {
                to.iter_mut().zip(LUMA).for_each(|(to, luma)| *to = (f64::from(*weight) * luma) as f32);
            }
        }
        across
    }

    fn taps(&self, sample: usize) -> (usize, &[f32]) {
        (self.starts[sample], &self.weights[sample * self.pitch..][..self.lengths[sample]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_build_gives_the_scalar_builds_bits() {
        let pixels: Vec<u8> =
            (0..333 * 217 * 3u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8 / 3 + (at / 850) as u8 / 2).collect();
        let frame = Frame::new(333, 217, pixels).unwrap();
        assert_eq!(transform(&frame), transform_here(&frame));
    }
}
