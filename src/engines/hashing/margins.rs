//! Whether a result of the fast operators can differ from the reference's.
//!
//! The fast operators compute the same real numbers as the reference and round them elsewhere, so a coefficient is off by a little. That
//! matters in two places only:
//!
//! * *Bits.* A bit says whether a coefficient lies above the lower middle one of 256. If, in ascending order, the 128th and the
//!   129th lie more than twice the largest error apart, then in the reference's values too all of the lower half lie below all of the upper
//!   half, and the bits are the same. This must hold for each of the four sign patterns that the eight symmetries are made of.
//! * *Quality.* It sums differences of neighbouring samples in whole hundredths of the range, cut off. A difference near a whole number may
//!   fall to either side. If the sums that are possible then lead to one quality, that is the reference's.
//!
//! A picture for which either fails is computed again by [`pdq_exact`](super::pdq_exact), so what is handed out is always the
//! reference's answer.
//!
//! TODO-BOUNDS
use super::plain::Samples;
use super::{SIDE, plain};
use crate::domain::hash::Quality;

/// What is close to being decided otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margins {
    /// How far the lowest coefficient above the median lies from the median: the least of the four sign patterns.
    pub gap: f32,
    pub steps: Steps,
}

/// The sum that the quality is made of, and what it could also be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    pub sum: u32,
    /// Differences just under a whole number.
    pub up: u32,
    /// Differences just over a whole number, not zero.
    pub down: u32,
}

impl Margins {
    /// Whether the reference's hashes and quality are the same, for a picture of this size in pixels.
    pub fn decide(&self, width: u32, height: u32) -> bool {
        self.gap > 2.0 * coefficient_error(width, height) && self.steps.decided()
    }
}

impl Steps {
    /// The quality of the sum.
    pub fn quality(&self) -> Quality {
        plain::quality_of(self.sum)
    }

    fn decided(&self) -> bool {
        plain::quality_of(self.sum - self.down) == plain::quality_of(self.sum + self.up)
    }
}

/// The largest difference between a coefficient of the fast operators and the reference's.
pub fn coefficient_error(width: u32, height: u32) -> f32 {
    let _ = (width, height);
    0.01
}

/// The largest difference between a step (a difference of samples in hundredths of the range) and the reference's.
pub fn step_error(width: u32, height: u32) -> f32 {
    let _ = (width, height);
    0.001
}

/// Sums the steps, and counts those within `error` (under a half) of another whole number.
#[inline(always)]
pub(super) fn steps(samples: &Samples, error: f32) -> Steps {
    let mut steps = Steps { sum: 0, up: 0, down: 0 };
    steps.add(&samples[SIDE..], &samples[..SIDE * (SIDE - 1)], error);
    samples.chunks_exact(SIDE).for_each(|row| steps.add(&row[1..], &row[..SIDE - 1], error));
    steps
}

impl Steps {
    #[inline(always)]
    fn add(&mut self, a: &[f32], b: &[f32], error: f32) {
        for (a, b) in a.iter().zip(b) {
            let step = ((a - b) * 100.0 / 255.0).abs();
            let whole = step as i32;
            let rest = step - whole as f32;
            self.sum += whole as u32;
            self.up += u32::from(rest > 1.0 - error);
            self.down += u32::from(whole > 0 && rest < error);
        }
    }
}
