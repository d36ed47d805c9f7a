//! The oracle: PDQ as the reference computes it, step by step and in its order of `f32` operations.
//!
//! Source: facebook/ThreatExchange, `pdq/cpp/hashing/pdqhashing.cpp`, `downscaling/downscaling.cpp`, `hashing/torben.cpp`. Luma is taken
//! in `f64` and rounded once, as the Python binding does (the C++ tool takes it in `f32`; no hash of the corpus tells them apart).
//!
//! The functions named after a shader are that stage's twin. [`pdq`] itself alternates rows and columns as the reference does, which the
//! stages do not: filtering commutes, rounding does not, and the oracle keeps the reference's rounding.

use super::margins::{STEP_ERROR, STILL_STEP, Steps};
use super::{FREQUENCIES, HashError, LUMA, MEDIAN_RANK, SIDE, check_frame, dct};
use crate::domain::frame::Frame;
use crate::domain::hash::{PdqHash, PerceptualHash, Quality, Transform};

/// 64 x 64 blurred luma samples, row-major, each 0..=255.
pub type Samples = [f32; SIDE * SIDE];
/// 16 x 16 cosine coefficients, row-major.
pub type Coefficients = [f32; FREQUENCIES * FREQUENCIES];

/// Box passes along each axis: two make a tent (`PDQ_NUM_JAROSZ_XY_PASSES`).
pub(super) const PASSES: usize = 2;

/// All eight hashes, the quality, and the 16 x 16 coefficients (row-major) they came from.
///
/// # Errors
/// [`HashError::TooSmall`] when a side is under 5 pixels.
pub fn pdq(frame: &Frame) -> Result<(PerceptualHash, Coefficients), HashError> {
    check_frame(frame)?;
    let samples = pdq_samples(frame);
    let coefficients = pdq_dct(&samples);
    Ok((PerceptualHash { hashes: pdq_bits(&coefficients), quality: pdq_quality(&samples).quality() }, coefficients))
}

/// Luma, two box passes along both axes in turn, 64 x 64 samples kept.
pub fn pdq_samples(frame: &Frame) -> Samples {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let mut plane = luma(frame);
    // The reference takes a 64 x 64 picture as already downsampled.
    if (width, height) != (SIDE, SIDE) {
        for _ in 0..PASSES {
            plane = box_rows(&plane, width);
            plane = box_columns(&plane, width, height);
        }
    }
    std::array::from_fn(|at| plane[decimated(at / SIDE, height) * width + decimated(at % SIDE, width)])
}

/// Luma of each pixel, row-major, 0..=255.
pub fn luma(frame: &Frame) -> Vec<f32> {
    let [red, green, blue] = LUMA;
    let value = |rgb: &[u8]| f64::from(rgb[0]) * red + f64::from(rgb[1]) * green + f64::from(rgb[2]) * blue;
    frame.pixels().chunks_exact(3).map(|rgb| value(rgb) as f32).collect()
}

/// Luma, two box passes along the rows, 64 columns kept: `[height][64]`.
pub fn pdq_jarosz_rows(frame: &Frame) -> Vec<f32> {
    let width = frame.width() as usize;
    let mut plane = luma(frame);
    for _ in 0..PASSES {
        plane = box_rows(&plane, width);
    }
    plane.chunks_exact(width).flat_map(|row| (0..SIDE).map(|column| row[decimated(column, width)])).collect()
}

/// Two box passes along the columns of `[height][64]`, 64 rows kept.
pub fn pdq_jarosz_columns(rows: &[f32]) -> Samples {
    let height = rows.len() / SIDE;
    let mut plane = rows.to_vec();
    for _ in 0..PASSES {
        plane = box_columns(&plane, SIDE, height);
    }
    std::array::from_fn(|at| plane[decimated(at / SIDE, height) * SIDE + at % SIDE])
}

/// The image-domain quality: how many percent steps of grey there are between neighbours, how many of these are barely whole, and
/// how many differences are next to nothing.
///
/// Differences count in whole hundredths of the range, so that noise does not.
pub fn pdq_quality(samples: &Samples) -> Steps {
    let mut steps = Steps { sum: 0, barely: 0, still: 0 };
    let mut count = |a: f32, b: f32| {
        let step = (((a - b) * 100.0) / 255.0).abs();
        steps.sum += step as u32;
        steps.barely += u32::from(step >= 1.0 && step.fract() < STEP_ERROR);
        steps.still += u32::from(step < STILL_STEP);
    };
    for (row, column) in (0..SIDE).flat_map(|row| (0..SIDE).map(move |column| (row, column))) {
        let here = samples[row * SIDE + column];
        if row + 1 < SIDE {
            count(here, samples[(row + 1) * SIDE + column]);
        }
        if column + 1 < SIDE {
            count(here, samples[row * SIDE + column + 1]);
        }
    }
    steps
}

/// The quality of a sum of steps; 90 is the reference's hand-tuned scale.
pub(super) fn quality_of(sum: u32) -> Quality {
    const SCALE: u32 = 90;
    Quality::new((sum / SCALE).min(100) as u8)
}

/// The 16 x 16 low frequencies: `D * samples * D^T`, sums from the first term on.
pub fn pdq_dct(samples: &Samples) -> Coefficients {
    let matrix = dct::matrix();
    let mut half = [0.0f32; FREQUENCIES * SIDE];
    for (row, column) in (0..FREQUENCIES).flat_map(|row| (0..SIDE).map(move |column| (row, column))) {
        let mut sum = 0.0;
        for k in 0..SIDE {
            sum += matrix[row * SIDE + k] * samples[k * SIDE + column];
        }
        half[row * SIDE + column] = sum;
    }
    std::array::from_fn(|at| {
        let (row, column) = (at / FREQUENCIES, at % FREQUENCIES);
        let mut sum = 0.0;
        for k in 0..SIDE {
            sum += half[row * SIDE + k] * matrix[column * SIDE + k];
        }
        sum
    })
}

/// One hash for each symmetry, in the order of [`Transform::ALL`]: a bit is set where the coefficient exceeds the median.
pub fn pdq_bits(coefficients: &Coefficients) -> [PdqHash; 8] {
    Transform::ALL.map(|transform| {
        let turned = turned(coefficients, transform);
        let median = torben(&turned);
        let mut hash = PdqHash::default();
        for (at, _) in turned.iter().enumerate().filter(|(_, value)| **value > median) {
            hash.set_bit(at / FREQUENCIES, at % FREQUENCIES);
        }
        hash
    })
}

/// The least distance, over all symmetries, between the median and the next larger coefficient in ascending order.
pub fn pdq_gap(coefficients: &Coefficients) -> f32 {
    let gap = |transform| {
        let mut sorted = turned(coefficients, transform);
        sorted.sort_by(f32::total_cmp);
        sorted[MEDIAN_RANK + 1] - sorted[MEDIAN_RANK]
    };
    Transform::ALL.map(gap).into_iter().fold(f32::INFINITY, f32::min)
}

/// The coefficients of the turned or mirrored picture (`dct16OriginalTo…` in the reference).
pub fn turned(coefficients: &Coefficients, transform: Transform) -> Coefficients {
    std::array::from_fn(|at| {
        let (row, column) = (at / FREQUENCIES, at % FREQUENCIES);
        let (same, across) = (coefficients[at], coefficients[column * FREQUENCIES + row]);
        // The first frequency is odd about the middle, so index 0 changes its sign under a mirror.
        let odd = |index: usize, value: f32| if index % 2 == 1 { value } else { -value };
        let even = |index: usize, value: f32| if index % 2 == 1 { -value } else { value };
        match transform {
            Transform::Original => same,
            Transform::Rotate90 => odd(row, across),
            Transform::Rotate180 => even(row + column, same),
            Transform::Rotate270 => odd(column, across),
            Transform::FlipX => odd(row, same),
            Transform::FlipY => odd(column, same),
            Transform::FlipPlus1 => across,
            Transform::FlipMinus1 => even(row + column, across),
        }
    })
}

/// The source index of one of 64 samples: centres, not corners.
pub(super) fn decimated(sample: usize, length: usize) -> usize {
    (((sample as f64 + 0.5) * length as f64) / SIDE as f64) as usize
}

/// Box length for an axis of `length` pixels: half of what one of 64 samples stands for, rounded up.
pub(super) fn window(length: usize) -> usize {
    length.div_ceil(2 * SIDE)
}

/// The pixels `first..end` that the box around `at` covers.
pub(super) fn covered(at: usize, length: usize) -> (usize, usize) {
    let window = window(length);
    let ahead = (window + 2) / 2; // an even box reaches one pixel further ahead than back
    ((at + ahead).saturating_sub(window), (at + ahead).min(length))
}

fn box_rows(plane: &[f32], width: usize) -> Vec<f32> {
    plane.chunks_exact(width).flat_map(box_line).collect()
}

fn box_columns(plane: &[f32], width: usize, height: usize) -> Vec<f32> {
    let mut out = vec![0.0; plane.len()];
    for column in 0..width {
        let line: Vec<f32> = (0..height).map(|row| plane[row * width + column]).collect();
        for (row, value) in box_line(&line).into_iter().enumerate() {
            out[row * width + column] = value;
        }
    }
    out
}

/// The mean of the pixels each box covers, by a running sum that adds before it subtracts: the reference's rounding.
fn box_line(line: &[f32]) -> Vec<f32> {
    let mut sum = 0.0f32;
    let (mut first, mut end) = (0, 0);
    (0..line.len())
        .map(|at| {
            let (new_first, new_end) = covered(at, line.len());
            while end < new_end {
                sum += line[end];
                end += 1;
            }
            while first < new_first {
                sum -= line[first];
                first += 1;
            }
            sum / (end - first) as f32
        })
        .collect()
}

/// Torben's median: halves the range of values until the middle element is found, without sorting or copying. Lower of the middle two.
fn torben(values: &Coefficients) -> f32 {
    let half = values.len().div_ceil(2);
    let mut low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let mut high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    loop {
        let guess = (low + high) / 2.0;
        let below = values.iter().filter(|value| **value < guess).count();
        let above = values.iter().filter(|value| **value > guess).count();
        let largest_below = values.iter().copied().filter(|value| *value < guess).fold(low, f32::max);
        let smallest_above = values.iter().copied().filter(|value| *value > guess).fold(high, f32::min);
        if below <= half && above <= half {
            return if below >= half {
                largest_below
            } else if values.len() - above >= half {
                guess
            } else {
                smallest_above
            };
        }
        if below > above {
            high = largest_below;
        } else {
            low = smallest_above;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_of_seven_and_eight_cover_what_the_reference_draws() {
        // The drawings above `box1DFloat` are for windows 7 and 8; lengths 896 and 1024 have these windows.
        let ends = |length| [covered(0, length), covered(4, length), covered(length - 1, length)];
        assert_eq!(ends(896), [(0, 4), (1, 8), (892, 896)]);
        assert_eq!(ends(1024), [(0, 5), (1, 9), (1020, 1024)]);
    }

    #[test]
    fn the_median_is_the_lower_middle_one() {
        let values: Coefficients = std::array::from_fn(|at| ((at * 37) % 256) as f32 - 100.0);
        assert_eq!(torben(&values), MEDIAN_RANK as f32 - 100.0);
        assert_eq!(torben(&[2.5; 256]), 2.5);
    }
}
