//! Progressive pictures that end before all coefficients were sent: libjpeg estimates the first of them from the neighbours' averages.
//!
//! Source: ITU-T T.81, section K.8, over 5x5 blocks as in libjpeg-turbo's `jdcoefct.c` (`decompress_smooth_data`), whose weights these are.

use super::planes::Plane;

/// How a coefficient follows from the averages of 5x5 blocks around it, in units of 1/256.
struct Estimate {
    /// Place in stored order, of which [`super::blocks::Progress`] speaks, and in natural order.
    stored: usize,
    natural: usize,
    weights: [i16; 25],
}

#[rustfmt::skip]
const WITH_SOME_SENT: [Estimate; 5] = [
    Estimate { stored: 1, natural: 1, weights: [0, 0, 0, 0, 0,  0, 0, 0, 0, 0,  -7, 50, 0, -50, 7,  0, 0, 0, 0, 0,  0, 0, 0, 0, 0] },
    Estimate { stored: 2, natural: 8, weights: [0, 0, -7, 0, 0,  0, 0, 50, 0, 0,  0, 0, 0, 0, 0,  0, 0, -50, 0, 0,  0, 0, 7, 0, 0] },
    Estimate { stored: 3, natural: 16, weights: [0, 0, -1, 0, 0,  0, 0, 13, 0, 0,  0, 0, -24, 0, 0,  0, 0, 13, 0, 0,  0, 0, -1, 0, 0] },
    Estimate { stored: 4, natural: 9, weights: [0, -1, 0, 1, 0,  -1, 10, 0, -10, 1,  0, 0, 0, 0, 0,  1, -10, 0, 10, -1,  0, 1, 0, -1, 0] },
    Estimate { stored: 5, natural: 2, weights: [0, 0, 0, 0, 0,  0, 0, 0, 0, 0,  -1, 13, -24, 13, -1,  0, 0, 0, 0, 0,  0, 0, 0, 0, 0] },
];

#[rustfmt::skip]
const WITH_AVERAGES_ALONE: [Estimate; 9] = [
    Estimate { stored: 1, natural: 1, weights: [-1, -1, 0, 1, 1,  -3, 13, 0, -13, 3,  -3, 38, 0, -38, 3,  -3, 13, 0, -13, 3,  -1, -1, 0, 1, 1] },
    Estimate { stored: 2, natural: 8, weights: [-1, -3, -3, -3, -1,  -1, 13, 38, 13, -1,  0, 0, 0, 0, 0,  1, -13, -38, -13, 1,  1, 3, 3, 3, 1] },
    Estimate { stored: 3, natural: 16, weights: [0, 0, 1, 0, 0,  0, 2, 7, 2, 0,  0, -5, -14, -5, 0,  0, 2, 7, 2, 0,  0, 0, 1, 0, 0] },
    Estimate { stored: 4, natural: 9, weights: [-1, 0, 0, 0, 1,  0, 9, 0, -9, 0,  0, 0, 0, 0, 0,  0, -9, 0, 9, 0,  1, 0, 0, 0, -1] },
    Estimate { stored: 5, natural: 2, weights: [0, 0, 0, 0, 0,  0, 2, -5, 2, 0,  1, 7, -14, 7, 1,  0, 2, -5, 2, 0,  0, 0, 0, 0, 0] },
    Estimate { stored: 6, natural: 3, weights: [0, 0, 0, 0, 0,  0, 1, 0, -1, 0,  0, 2, 0, -2, 0,  0, 1, 0, -1, 0,  0, 0, 0, 0, 0] },
    Estimate { stored: 7, natural: 10, weights: [0, 0, 0, 0, 0,  0, 1, -3, 1, 0,  0, 0, 0, 0, 0,  0, -1, 3, -1, 0,  0, 0, 0, 0, 0] },
    Estimate { stored: 8, natural: 17, weights: [0, 0, 0, 0, 0,  0, 1, 0, -1, 0,  0, -3, 0, 3, 0,  0, 1, 0, -1, 0,  0, 0, 0, 0, 0] },
    Estimate { stored: 9, natural: 24, weights: [0, 0, 0, 0, 0,  0, 1, 2, 1, 0,  0, 0, 0, 0, 0,  0, -1, -2, -1, 0,  0, 0, 0, 0, 0] },
];

#[rustfmt::skip]
const AVERAGE: [i16; 25] = [-2, -6, -8, -6, -2,  -6, 6, 42, 6, -6,  -8, 42, 152, 42, -8,  -6, 6, 42, 6, -6,  -2, -6, -8, -6, -2];

/// The zeroth coefficient and the nine that may be estimated.
const CONSIDERED: usize = 10;

/// Whether the picture's planes know too little: all averages are known, of all planes, but some low coefficient of one is not exact.
pub(super) fn is_needed(planes: &[Plane]) -> bool {
    let known = |plane: &Plane| {
        let factors = plane.quantization.is_some_and(|table| table[0] != 0 && WITH_AVERAGES_ALONE.iter().all(|e| table[e.natural] != 0));
        factors && plane.progress.low[0] >= 0
    };
    planes.iter().all(known) && planes.iter().any(|plane| plane.progress.low[1..CONSIDERED].iter().any(|&low| low != 0))
}

/// Fills in what `block` of `plane`, which is at that row and column of blocks, lacks.
pub(super) fn estimate(plane: &Plane, row: usize, column: usize, quantization: &[u16; 64], block: &mut [i16; 64]) {
    let low = &plane.progress.low;
    let alone = low[1..CONSIDERED].iter().all(|&low| low < 0);
    let estimates: &[Estimate] = if alone { &WITH_AVERAGES_ALONE } else { &WITH_SOME_SENT };
    if estimates.iter().all(|e| low[e.stored] == 0) {
        return;
    }
    let around = averages(plane, row, column);
    for e in estimates {
        let known = low[e.stored];
        if known != 0 && block[e.natural] == 0 {
            let mut size = quotient(&around, &e.weights, quantization[0], quantization[e.natural]);
            if known > 0 {
                // The bits above are known to be zero.
                size = size.clamp(1 - (1 << known), (1 << known) - 1);
            }
            block[e.natural] = size as i16;
        }
    }
    if alone {
        block[0] = quotient(&around, &AVERAGE, quantization[0], quantization[0]) as i16;
    }
}

/// The weighted sum in units of the coefficient's own factor, rounded away from zero at the half.
fn quotient(around: &[i64; 25], weights: &[i16; 25], average: u16, factor: u16) -> i64 {
    let sum: i64 = around.iter().zip(weights).map(|(&value, &weight)| value * i64::from(weight)).sum::<i64>() * i64::from(average);
    let factor = i64::from(factor);
    let size = ((factor << 7) + sum.abs()) / (factor << 8);
    if sum < 0 { -size } else { size }
}

/// The zeroth coefficients of the 5x5 blocks around; beyond the picture the nearest inside stands for them.
fn averages(plane: &Plane, row: usize, column: usize) -> [i64; 25] {
    let rows = clamped(row, plane.blocks_high);
    let columns = clamped(column, plane.blocks_wide);
    std::array::from_fn(|n| i64::from(plane.coefficients[64 * (rows[n / 5] * plane.blocks_stride + columns[n % 5])]))
}

fn clamped(at: usize, count: usize) -> [usize; 5] {
    std::array::from_fn(|n| (at + n).saturating_sub(2).min(count - 1))
}
