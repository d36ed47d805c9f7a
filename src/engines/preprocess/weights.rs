//! The resampling weights of one axis, as Pillow computes them.

use crate::domain::preprocess::{Filter, Size};

/// Fraction bits of a weight: 32, less 8 for the pixel and 2 for the sums of filters that overshoot (`PRECISION_BITS`).
pub(super) const PRECISION: u32 = 32 - 8 - 2;
/// Half, for rounding.
pub(super) const HALF: i32 = 1 << (PRECISION - 1);

/// Whether the vertical pass runs first. Passes round to 8 bits, so their order shows, by one step here and there.
///
/// Pillow 13 turns the order around when the height is reduced much more than the width (python-pillow/Pillow, pull request 9549); up to
/// Pillow 12 the horizontal pass came first always. The rule was measured on Pillow 13.0.0 (`fixtures/pdq/make.py` has cases for both).
pub(super) fn vertical_first(from: Size, to: Size) -> bool {
    let saved = |from: u32, to: u32| i64::from(from) - i64::from(to);
    from.height > to.height && saved(from.height, to.height) > 2 * saved(from.width, to.width)
}

/// For each output pixel of an axis, where its source pixels start and their weights in units of 2^-22.
///
/// Source: Pillow, `src/libImaging/Resample.c`, `precompute_coeffs` and `normalize_coeffs_8bpc`. Where a pass does not change the size
/// Pillow skips it; the weights are then a single one of exactly 1, which gives back the pixel, so no case is needed for it.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    starts: Vec<u32>,
    counts: Vec<u32>,
    /// `[outputs][pitch]`, zero after an output's count.
    values: Vec<i32>,
    pitch: usize,
}

impl Weights {
    /// The weights for outputs `skip..skip + keep` of an axis that is resized from `from` to `to` pixels.
    pub fn new(filter: Filter, from: u32, to: u32, skip: u32, keep: u32) -> Self {
        let scale = f64::from(from) / f64::from(to);
        let (stretch, support) = (scale.max(1.0), Self::support(filter, from, to));
        let mut weights =
            Self { starts: Vec::new(), counts: Vec::new(), values: Vec::new(), pitch: Self::pitch(filter, from, to) as usize };
        let mut taps = Vec::with_capacity(weights.pitch);
        for output in skip..skip + keep {
            let centre = (f64::from(output) + 0.5) * scale;
            let start = ((centre - support + 0.5) as i64).max(0);
            let end = ((centre + support + 0.5) as i64).min(i64::from(from));
            taps.clear();
            taps.extend((start..end).map(|at| Self::kernel(filter, (at as f64 - centre + 0.5) * (1.0 / stretch))));
            let sum: f64 = taps.iter().sum();
            weights.starts.push(start as u32);
            weights.counts.push(taps.len() as u32);
            let fixed = |tap: &f64| {
                let tap = if sum == 0.0 { *tap } else { *tap / sum } * f64::from(1 << PRECISION);
                (tap + if tap < 0.0 { -0.5 } else { 0.5 }) as i32
            };
            weights.values.extend(taps.iter().map(fixed));
            weights.values.resize(weights.starts.len() * weights.pitch, 0);
        }
        weights
    }

    fn support(filter: Filter, from: u32, to: u32) -> f64 {
        let Filter::Bilinear = filter; // a triangle of support 1
        (f64::from(from) / f64::from(to)).max(1.0)
    }

    fn kernel(filter: Filter, at: f64) -> f64 {
        let Filter::Bilinear = filter;
        (1.0 - at.abs()).max(0.0)
    }

    /// Room for the taps of one output.
    fn pitch(filter: Filter, from: u32, to: u32) -> u32 {
        2 * Self::support(filter, from, to).ceil() as u32 + 1
    }

    /// Outputs in the table.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// The first source pixel of an output, and the weights from there on.
    pub fn taps(&self, output: usize) -> (usize, &[i32]) {
        (self.starts[output] as usize, &self.values[output * self.pitch..][..self.counts[output] as usize])
    }

    /// The source pixels that any output reads: first and one past the last.
    pub fn reach(&self) -> (usize, usize) {
        let first = self.starts.iter().copied().min().unwrap_or(0);
        let end = self.starts.iter().zip(&self.counts).map(|(start, count)| start + count).max().unwrap_or(0);
        (first as usize, end as usize)
    }

    /// An upper bound of the words of [`to_words`](Self::to_words).
    pub fn words(filter: Filter, from: u32, to: u32, keep: u32) -> u64 {
        1 + u64::from(keep) * (2 + u64::from(Self::pitch(filter, from, to)))
    }

    /// As the shaders read it (`shaders/common/taps.wgsl`): pitch, then (start, count) of each output, then the weights.
    pub fn to_words(&self) -> Vec<u32> {
        let heads = self.starts.iter().zip(&self.counts).flat_map(|(start, count)| [*start, *count]);
        std::iter::once(self.pitch as u32).chain(heads).chain(self.values.iter().map(|value| *value as u32)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_axis_keeps_its_pixels() {
        let weights = Weights::new(Filter::Bilinear, 7, 7, 2, 3);
        let whole = 1 << PRECISION;
        for output in 0..3 {
            let (start, taps) = weights.taps(output);
            let at = taps.iter().position(|tap| *tap == whole).unwrap();
            assert_eq!(start + at, output + 2);
            assert!(taps.iter().enumerate().all(|(index, tap)| index == at || *tap == 0));
        }
    }

    #[test]
    fn weights_stay_inside_and_sum_to_one() {
        for (from, to) in [(1, 256), (5, 256), (256, 256), (257, 256), (1152, 256), (4001, 224), (2, 1)] {
            let weights = Weights::new(Filter::Bilinear, from, to, 0, to);
            assert!(weights.to_words().len() as u64 <= Weights::words(Filter::Bilinear, from, to, to));
            assert!(weights.reach().1 <= from as usize);
            for output in 0..weights.len() {
                let taps = weights.taps(output).1;
                let sum: i64 = taps.iter().map(|tap| i64::from(*tap)).sum();
                assert!((sum - (1 << PRECISION)).unsigned_abs() <= taps.len() as u64, "{from}->{to}/{output}: {sum}");
            }
        }
    }
}
