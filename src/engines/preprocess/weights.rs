//! The resampling weights of one axis, as Pillow computes them.

use std::f64::consts::PI;

use crate::domain::preprocess::{Filter, Plan, PreprocessSpec, Rounding};

/// Fraction bits of a fixed-point weight: 32, less 8 for the pixel and 2 for the sums of filters that overshoot (`PRECISION_BITS`).
pub(super) const PRECISION: u32 = 32 - 8 - 2;
/// Half, for rounding.
pub(super) const HALF: i32 = 1 << (PRECISION - 1);

/// Whether the vertical pass runs first.
///
/// With [`Rounding::PillowU8`] passes round to 8 bits, so their order shows, by one step here and there, and it is Pillow's. Pillow 13 turns
/// the order around when the height is reduced much more than the width (python-pillow/Pillow, pull request 9549); up to Pillow 12 the
/// horizontal pass came first always. The rule was measured on Pillow 13.0.0 (`fixtures/pdq/make.py` has cases for both).
///
/// With [`Rounding::Float`] the order shows in a float's last digits only, so it is the cheaper one: fewer rows for the horizontal pass, which
/// is the dearer of the two on a processor.
pub(super) fn vertical_first(rounding: Rounding, plan: &Plan) -> bool {
    let (from, to) = (plan.from, plan.resized);
    let saved = |from: u32, to: u32| i64::from(from) - i64::from(to);
    let fewer_rows = from.height > to.height;
    match rounding {
        Rounding::PillowU8 => fewer_rows && saved(from.height, to.height) > 2 * saved(from.width, to.width),
        Rounding::Float => fewer_rows,
    }
}

/// One axis of a resize: `from` pixels to `to`, of which outputs `skip..skip + keep` are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Axis {
    pub filter: Filter,
    pub from: u32,
    pub to: u32,
    pub skip: u32,
    pub keep: u32,
}

impl Axis {
    /// All outputs.
    pub fn whole(filter: Filter, from: u32, to: u32) -> Self {
        Self { filter, from, to, skip: 0, keep: to }
    }

    /// Along a picture's rows.
    pub fn across(spec: &PreprocessSpec, plan: &Plan) -> Self {
        Self { filter: spec.filter, from: plan.from.width, to: plan.resized.width, skip: plan.skip[0], keep: plan.kept.width }
    }

    /// Along a picture's columns.
    pub fn down(spec: &PreprocessSpec, plan: &Plan) -> Self {
        Self { filter: spec.filter, from: plan.from.height, to: plan.resized.height, skip: plan.skip[1], keep: plan.kept.height }
    }

    /// Source pixels per output.
    fn scale(self) -> f64 {
        f64::from(self.from) / f64::from(self.to)
    }

    /// Source pixels on either side of an output's centre that it reads; more the more the picture is reduced.
    fn support(self) -> f64 {
        let support = match self.filter {
            Filter::Bilinear => 1.0,
            Filter::Bicubic => 2.0,
            Filter::Lanczos => LOBES,
        };
        support * self.scale().max(1.0)
    }

    /// Room for the taps of one output.
    fn pitch(self) -> u32 {
        2 * self.support().ceil() as u32 + 1
    }

    /// An upper bound of the words of [`Weights::to_words`].
    pub fn words(self) -> u64 {
        1 + u64::from(self.keep) * (2 + u64::from(self.pitch()))
    }
}

/// Lobes of the Lanczos filter on either side.
const LOBES: f64 = 3.0;

/// The filters of `src/libImaging/Resample.c`, operation by operation.
fn kernel(filter: Filter, at: f64) -> f64 {
    // Keys' parameter; other libraries have -0.75.
    const A: f64 = -0.5;
    let x = at.abs();
    match filter {
        Filter::Bilinear => (1.0 - x).max(0.0),
        Filter::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        Filter::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        Filter::Lanczos if (-LOBES..LOBES).contains(&at) => sinc(at) * sinc(at / LOBES),
        Filter::Bicubic | Filter::Lanczos => 0.0,
    }
}

/// The standard library's sine is the platform's, and platforms differ in the last bit; this one is the same everywhere.
fn sinc(at: f64) -> f64 {
    if at == 0.0 { 1.0 } else { libm::sin(at * PI) / (at * PI) }
}

/// A weight in the arithmetic of a [`Rounding`].
pub(super) trait Weight: Copy + Default {
    /// A part of 1.
    fn of(part: f64) -> Self;
    /// As the shaders read it.
    fn to_word(self) -> u32;
}

/// Units of 2^-22, rounded away from zero at a half (`normalize_coeffs_8bpc`).
impl Weight for i32 {
    fn of(part: f64) -> Self {
        let scaled = part * f64::from(1 << PRECISION);
        (scaled + if scaled < 0.0 { -0.5 } else { 0.5 }) as Self
    }

    fn to_word(self) -> u32 {
        self as u32
    }
}

impl Weight for f32 {
    fn of(part: f64) -> Self {
        part as Self
    }

    fn to_word(self) -> u32 {
        self.to_bits()
    }
}

/// For each output pixel of an axis, where its source pixels start and their weights.
///
/// Source: Pillow, `src/libImaging/Resample.c`, `precompute_coeffs`. Pillow skips a pass that does not change the size; here such a pass has
/// a single weight of exactly 1 for each output, which gives back the pixel.
#[derive(Debug, Clone)]
pub(super) struct Weights<W> {
    starts: Vec<u32>,
    counts: Vec<u32>,
    /// `[outputs][pitch]`, zero after an output's count.
    values: Vec<W>,
    pitch: usize,
}

impl<W: Weight> Weights<W> {
    /// The weights for the wanted outputs.
    pub fn new(axis: Axis) -> Self {
        let (scale, support) = (axis.scale(), axis.support());
        let squeeze = 1.0 / scale.max(1.0);
        let mut weights = Self { starts: Vec::new(), counts: Vec::new(), values: Vec::new(), pitch: axis.pitch() as usize };
        let mut taps = Vec::with_capacity(weights.pitch);
        for output in axis.skip..axis.skip + axis.keep {
            if axis.from == axis.to {
                weights.push(output, &[1.0]);
                continue;
            }
            let centre = (f64::from(output) + 0.5) * scale;
            let start = ((centre - support + 0.5) as i64).max(0);
            let end = ((centre + support + 0.5) as i64).min(i64::from(axis.from));
            taps.clear();
            taps.extend((start..end).map(|at| kernel(axis.filter, (at as f64 - centre + 0.5) * squeeze)));
            let sum: f64 = taps.iter().sum();
            if sum != 0.0 {
                taps.iter_mut().for_each(|tap| *tap /= sum);
            }
            weights.push(start as u32, &taps);
        }
        weights
    }

    fn push(&mut self, start: u32, taps: &[f64]) {
        self.starts.push(start);
        self.counts.push(taps.len() as u32);
        self.values.extend(taps.iter().map(|tap| W::of(*tap)));
        self.values.resize(self.starts.len() * self.pitch, W::default());
    }

    /// Outputs in the table.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// The first source pixel of an output, and the weights from there on.
    pub fn taps(&self, output: usize) -> (usize, &[W]) {
        (self.starts[output] as usize, &self.values[output * self.pitch..][..self.counts[output] as usize])
    }

    /// The source pixels that any output reads: first and one past the last.
    pub fn reach(&self) -> (usize, usize) {
        let first = self.starts.iter().copied().min().unwrap_or(0);
        let end = self.starts.iter().zip(&self.counts).map(|(start, count)| start + count).max().unwrap_or(0);
        (first as usize, end as usize)
    }

    /// As the shaders read it (`shaders/common/taps.wgsl`): pitch, then (start, count) of each output, then `[pitch][outputs]` weights.
    pub fn to_words(&self) -> Vec<u32> {
        let heads = self.starts.iter().zip(&self.counts).flat_map(|(start, count)| [*start, *count]);
        let weights = (0..self.pitch).flat_map(|tap| self.values.iter().skip(tap).step_by(self.pitch));
        std::iter::once(self.pitch as u32).chain(heads).chain(weights.map(|value| value.to_word())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTERS: [Filter; 3] = [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos];

    #[test]
    fn an_unchanged_axis_keeps_its_pixels() {
        for filter in FILTERS {
            let weights = Weights::<i32>::new(Axis { filter, from: 7, to: 7, skip: 2, keep: 3 });
            let whole = [1 << PRECISION];
            assert!((0..3).all(|output| weights.taps(output) == (output + 2, &whole[..])));
        }
    }

    #[test]
    fn weights_stay_inside_and_sum_to_one() {
        for (from, to) in [(1, 256), (2, 256), (5, 256), (256, 256), (257, 256), (1152, 256), (4001, 224), (2, 1)] {
            for axis in FILTERS.map(|filter| Axis::whole(filter, from, to)) {
                let weights = Weights::<i32>::new(axis);
                assert!(weights.to_words().len() as u64 <= axis.words());
                assert!(weights.reach().1 <= from as usize);
                for output in 0..weights.len() {
                    let taps = weights.taps(output).1;
                    let sum: i64 = taps.iter().map(|tap| i64::from(*tap)).sum();
                    assert!((sum - (1 << PRECISION)).unsigned_abs() <= taps.len() as u64, "{axis:?}/{output}: {sum}");
                }
            }
        }
    }

    /// Sums of 255 times the weights must fit 32 bits with their sign; the bound also stands behind `PreprocessSpec::check`.
    #[test]
    fn overshoot_is_bounded() {
        let mut worst = 0.0f64;
        for (from, to) in (1..40).flat_map(|from| [1, 2, 3, 5, 7, 16, 97, 256, 4096].map(|to| (from, to))) {
            for axis in FILTERS.map(|filter| Axis::whole(filter, from, to)) {
                let weights = Weights::<f32>::new(axis);
                let negative = |output| -> f64 { weights.taps(output).1.iter().map(|tap| f64::from(-tap.min(0.0))).sum() };
                worst = (0..weights.len()).map(negative).fold(worst, f64::max);
            }
        }
        assert!(worst > 0.2 && worst < 0.29, "{worst}");
    }
}
