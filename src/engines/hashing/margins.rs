//! Whether a result of the fast operators can differ from the reference's.
//!
//! The fast operators compute the same real numbers as the reference and round them elsewhere, so a coefficient is off by a little. That
//! matters in two places only:
//!
//! * *Bits.* A bit says whether a coefficient lies above the lower middle one of 256. If, in ascending order, the 128th and the 129th lie
//!   more than twice the largest error apart, then in the reference's values too all of the lower half lie below all of the upper half,
//!   and the bits are the same. This must hold for each of the four sign patterns that the eight symmetries are made of.
//! * *Quality.* It sums differences of neighbouring samples in whole hundredths of the range, cut off, and ends at 100. A difference that is
//!   barely a whole number may lose one. If the sum reaches 100 without all of these, the quality is 100 for the reference too.
//!
//! A picture for which either fails, or whose errors may be larger than usual (no grain, few pixels), is computed again by
//! [`pdq_exact`](super::pdq_exact), so what is handed out is the reference's answer.
//!
//! # How large the errors are
//!
//! Most of it is the reference's own: its running sums lose a last digit at every pixel. A bound that can be proven grows with the number
//! of pixels and says nothing, since in truth the losses cancel out. So the bounds here are measured, with room:
//! `scripts/conformance/margins.py` (5,000 pictures of seeds 1 to 3; 5 to 3,000 pixels a side; twelve kinds: photographs, mirrored ones,
//! screenshots, text, shapes, stripes, checkerboards, gradients, noise, dark, low in contrast, flat) compares the processor and the device with
//! the oracle. In units of 2^-24 times the brightest sample, to which the errors are proportional because the sums are:
//!
//! | pictures | largest error of a coefficient |
//! | --- | --- |
//! | surely of quality 100, both sides 64 pixels or more, grain, and a gap of 1,000 or more (seed 3) | 108 |
//! | surely of quality 100 and both sides 64 pixels or more, whatever the rest | 754 (a checkerboard, whose gap is next to nothing) |
//! | all others (not decided here) | 1,810 (a gradient, 2403 x 10) |
//!
//! The bound is 800. The errors grow where there is no grain, for then all rows lose the same digits: hence the rule that fewer than a tenth of
//! the differences are next to nothing. In pictures less than 64 pixels high or wide the samples are rows or columns that were hardly
//! averaged. The largest error of a step that was seen is 0.0034 (seed 3).
//!
//! The rules were chosen on that data. On fresh pictures they held: `margins.py --count 1500 --seed 55` decided none wrongly, on the processor or
//! the device, and saw errors of 113 units at most where the rules decide (0.14 of the bound), 1,604 where they do not (a checkerboard);
//! without the exact way 387 would have been wrong. `scripts/conformance/pdq.py --count 3000 --seed 777` found all eight hashes and the quality of all
//! 3,000 pictures equal to the reference's, on both. Of seed 55's synthetic photographs of quality 100 a quarter is computed again, of flat,
//! mirrored or regular pictures nearly all.

use super::plain::Samples;
use super::{SIDE, plain};
use crate::domain::hash::Quality;

/// A coefficient's largest error, in the unit above: seven times the largest among the pictures that the rules let through.
const COEFFICIENT_ERROR: f32 = 800.0;
/// A step's largest error (a step is a difference of samples in hundredths of the range): six times the largest that was measured.
pub(super) const STEP_ERROR: f32 = 0.02;
/// Steps below this are next to nothing: grain that was averaged over a sample's pixels leaves more.
pub(super) const STILL_STEP: f32 = 0.01;
/// Differences between neighbours among the samples.
const STEPS: u32 = 2 * (SIDE * (SIDE - 1)) as u32;

/// What is close to being decided otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margins {
    pub steps: Steps,
    /// Of the 64 x 64 samples, 0..=255.
    pub brightest: f32,
    /// How far the lowest coefficient above the median lies from the median: the least of the four sign patterns.
    pub gap: f32,
}

/// The sum that the quality is made of, and how many of its steps are barely whole ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    pub sum: u32,
    /// Never more than `sum`, unless a device is broken.
    pub barely: u32,
    /// Steps that are next to nothing.
    pub still: u32,
}

impl Margins {
    /// Whether the reference's hashes and quality are the same, for a picture of this size in pixels.
    pub fn decide(&self, width: u32, height: u32) -> bool {
        let surely = plain::quality_of(self.steps.sum.saturating_sub(self.steps.barely)) == Quality::new(100);
        let grainy = self.steps.still < STEPS / 10;
        surely && grainy && width.min(height) >= SIDE as u32 && self.gap > 2.0 * self.coefficient_error()
    }

    /// The largest difference that is possible between a coefficient of the fast operators and the reference's, where the other rules of
    /// [`decide`](Self::decide) hold.
    pub fn coefficient_error(&self) -> f32 {
        COEFFICIENT_ERROR * self.brightest * f32::EPSILON / 2.0
    }
}

impl Steps {
    /// The quality of the sum.
    pub fn quality(&self) -> Quality {
        plain::quality_of(self.sum)
    }

    #[inline(always)]
    fn add(&mut self, a: &[f32], b: &[f32]) {
        for (a, b) in a.iter().zip(b) {
            let step = ((a - b) * 100.0 / 255.0).abs();
            let whole = step as i32;
            self.sum += whole as u32;
            self.barely += u32::from(whole > 0 && step - (whole as f32) < STEP_ERROR);
            self.still += u32::from(step < STILL_STEP);
        }
    }
}

/// As [`plain::pdq_quality`], in vectors.
#[inline(always)]
pub(super) fn steps(samples: &Samples) -> Steps {
    let mut steps = Steps { sum: 0, barely: 0, still: 0 };
    steps.add(&samples[SIDE..], &samples[..SIDE * (SIDE - 1)]);
    for row in samples.chunks_exact(SIDE) {
        steps.add(&row[1..], &row[..SIDE - 1]);
    }
    steps
}

/// The largest of the samples.
#[inline(always)]
pub(super) fn brightest(samples: &Samples) -> f32 {
    let mut most = [0.0f32; 8]; // as many as a register holds
    for some in samples.chunks_exact(most.len()) {
        for (most, value) in most.iter_mut().zip(some) {
            *most = if *value > *most { *value } else { *most };
        }
    }
    most.into_iter().fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SURE: Margins = Margins { steps: Steps { sum: 9010, barely: 10, still: 805 }, brightest: 200.0, gap: 0.0192 };

    /// Each rule at its edge: 100 * 90 steps; a tenth of 8064; 64 pixels; twice 800 * 200 * 2^-24 = 0.01907.
    #[test]
    fn every_rule_has_its_edge() {
        assert!(SURE.decide(64, 64));
        assert!(!SURE.decide(63, 64) && !SURE.decide(3000, 63));
        assert!(!Margins { steps: Steps { barely: 11, ..SURE.steps }, ..SURE }.decide(64, 64));
        assert!(!Margins { steps: Steps { still: 806, ..SURE.steps }, ..SURE }.decide(64, 64));
        assert!(!Margins { gap: 0.019, ..SURE }.decide(64, 64));
        assert!(!Margins { gap: 0.0, brightest: 0.0, ..SURE }.decide(64, 64));
    }

    #[test]
    fn steps_and_brightest_are_the_oracles() {
        let samples: Samples = std::array::from_fn(|at| {
            let mixed = (at as u32).wrapping_mul(2_654_435_761);
            ((mixed ^ (mixed >> 15)).wrapping_mul(2_246_822_519) >> 19) as f32 / 32.2
        });
        assert_eq!(steps(&samples), plain::pdq_quality(&samples));
        assert!(steps(&samples).barely > 0 && steps(&samples).still > 0, "the cases should occur");
        assert_eq!(brightest(&samples), samples.iter().copied().fold(0.0, f32::max));
    }
}
