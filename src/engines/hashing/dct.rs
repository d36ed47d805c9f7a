//! The cosine transform's matrix, and the fast transform.

use std::sync::LazyLock;

use super::plain::{Coefficients, Samples};
use super::{FREQUENCIES, SIDE};

/// Frequencies 1..=16 of the 64-point DCT-II, `[16][64]` row-major.
///
/// Products in `f64` in the reference's order, rounded to `f32` once; the scale is rounded before, as there.
pub(super) fn matrix() -> &'static [f32; FREQUENCIES * SIDE] {
    static MATRIX: LazyLock<[f32; FREQUENCIES * SIDE]> = LazyLock::new(|| {
        let scale = (2.0 / SIDE as f64).sqrt() as f32;
        std::array::from_fn(|at| {
            let (frequency, sample) = ((at / SIDE + 1) as f64, (2 * (at % SIDE) + 1) as f64);
            (f64::from(scale) * (std::f64::consts::PI / 2.0 / SIDE as f64 * frequency * sample).cos()) as f32
        })
    });
    &MATRIX
}

/// The matrix turned: `[64][16]`.
fn transposed() -> &'static [f32; SIDE * FREQUENCIES] {
    static TRANSPOSED: LazyLock<[f32; SIDE * FREQUENCIES]> =
        LazyLock::new(|| std::array::from_fn(|at| matrix()[at % FREQUENCIES * SIDE + at / FREQUENCIES]));
    &TRANSPOSED
}

/// As [`plain::pdq_dct`](super::plain::pdq_dct), with the inner loops along the output so that they run in vectors. Each sum still starts
/// at its first term, so the result is the same bit for bit.
#[inline(always)]
pub(super) fn fast(samples: &Samples) -> Coefficients {
    let mut out = [0.0; FREQUENCIES * FREQUENCIES];
    for (frequencies, out) in matrix().chunks_exact(SIDE).zip(out.chunks_exact_mut(FREQUENCIES)) {
        let mut half = [0.0f32; SIDE];
        for (weight, row) in frequencies.iter().zip(samples.chunks_exact(SIDE)) {
            for (sum, value) in half.iter_mut().zip(row) {
                *sum += weight * value;
            }
        }
        let mut line = [0.0f32; FREQUENCIES];
        for (value, row) in half.iter().zip(transposed().chunks_exact(FREQUENCIES)) {
            for (sum, weight) in line.iter_mut().zip(row) {
                *sum += value * weight;
            }
        }
        out.copy_from_slice(&line);
    }
    out
}
