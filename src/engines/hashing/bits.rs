//! From 256 coefficients to eight hashes, quickly.

use super::plain::Coefficients;
use super::{FREQUENCIES, MEDIAN_RANK};
use crate::domain::hash::{PdqHash, Transform};

/// As [`plain::pdq_bits`](super::plain::pdq_bits), from four medians: a transposition keeps the set of values and so the median, and a
/// turned picture's hash is the transposed hash of a mirrored one.
///
/// With the hashes comes the least of the four gaps between the median and the next larger coefficient.
pub(super) fn fast(coefficients: &Coefficients) -> ([PdqHash; 8], f32) {
    let signed = |negative: fn(usize, usize) -> bool| {
        let values: Coefficients =
            std::array::from_fn(|at| if negative(at / FREQUENCIES, at % FREQUENCIES) { -coefficients[at] } else { coefficients[at] });
        above_median(&values)
    };
    let (original, gap) = signed(|_, _| false);
    let (flip_x, gap_x) = signed(|row, _| row % 2 == 0);
    let (flip_y, gap_y) = signed(|_, column| column % 2 == 0);
    let (rotate180, gap_180) = signed(|row, column| (row + column) % 2 == 1);
    let hashes = Transform::ALL.map(|transform| match transform {
        Transform::Original => hash(&original),
        Transform::Rotate90 => hash(&transposed(&flip_y)),
        Transform::Rotate180 => hash(&rotate180),
        Transform::Rotate270 => hash(&transposed(&flip_x)),
        Transform::FlipX => hash(&flip_x),
        Transform::FlipY => hash(&flip_y),
        Transform::FlipPlus1 => hash(&transposed(&original)),
        Transform::FlipMinus1 => hash(&transposed(&rotate180)),
    });
    (hashes, gap.min(gap_x).min(gap_y).min(gap_180))
}

/// A bit matrix: bit `column` of word `row`.
type Rows = [u16; FREQUENCIES];

fn above_median(values: &Coefficients) -> (Rows, f32) {
    let mut sorted = *values;
    let (_, median, upper) = sorted.select_nth_unstable_by(MEDIAN_RANK, f32::total_cmp);
    let median = *median;
    let gap = upper.iter().copied().fold(f32::INFINITY, f32::min) - median;
    let rows = std::array::from_fn(|row| {
        values[row * FREQUENCIES..][..FREQUENCIES]
            .iter()
            .enumerate()
            .fold(0, |bits, (column, value)| bits | u16::from(*value > median) << column)
    });
    (rows, gap)
}

fn transposed(rows: &Rows) -> Rows {
    std::array::from_fn(|column| rows.iter().enumerate().fold(0, |bits, (row, word)| bits | (word >> column & 1) << row))
}

/// Row 15 holds the most significant bits (see [`PdqHash::set_bit`]).
fn hash(rows: &Rows) -> PdqHash {
    PdqHash::from_words(std::array::from_fn(|word| {
        rows[4 * (3 - word)..][..4].iter().rev().fold(0, |bits, row| bits << 16 | u64::from(*row))
    }))
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;

    /// Few different values, zeroes of both signs among them, so that ties at the median are the rule.
    #[test]
    fn ties_and_zeroes_give_the_oracles_bits() {
        for seed in 0..50u32 {
            let values: Coefficients = std::array::from_fn(|at| {
                let value = ((at as u32 * 7919 + seed * 104_729).wrapping_mul(2_654_435_761) >> 20) % (3 + seed);
                (value as f32 - 1.0 - (seed / 2) as f32) * if value.is_multiple_of(2) { -1.0 } else { 1.0 }
            });
            assert_eq!(fast(&values), (plain::pdq_bits(&values), plain::pdq_gap(&values)), "seed {seed}");
        }
    }
}
