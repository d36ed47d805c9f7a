//! Hashing: a [`Frame`] in, its eight PDQ hashes and their quality out.
//!
//! PDQ (facebook/ThreatExchange, `pdq/`) blurs the luma plane with two passes of a box filter along both axes, keeps 64 x 64 samples,
//! takes 16 x 16 low frequencies of their cosine transform and asks of each whether it lies above the median. Rotating or mirroring a
//! picture only transposes that 16 x 16 matrix and flips signs, so one transform gives the hashes of all eight symmetries.
//!
//! # Four ways to the same hash
//!
//! * [`plain`] is the oracle: the reference's order of `f32` operations, bit for bit, and slow.
//! * [`pdq_exact`] does the same operations in the same order on many rows at once, and is equal to it bit for bit. It also gives the
//!   coefficients themselves, for video tools that compare floats (PDQF).
//! * [`pdq_estimate`] uses that two box passes followed by decimation are *one linear operator per axis* (see `band`), with as many taps as
//!   the sampled points are apart, and that the operators of the two axes commute. It costs about one multiplication per byte instead of
//!   four walks over the whole plane, and rounds differently in the seventh digit.
//! * [`record`] appends the same operators to a [`Recording`](crate::engines::gpu::Recording): stages `pdq_jarosz_rows`,
//!   `pdq_jarosz_columns`, `pdq_quality`, `pdq_dct`, `pdq_bits`.
//!
//! The last two say how near they came to another answer ([`Margins`], whose file tells why that is enough). Where it was too near, the
//! picture goes through [`pdq_exact`]. So [`pdq_cpu`] and [`read`] always give the reference's hashes and quality, also of pictures that hardly
//! have any detail, whose coefficients are nothing but rounding: `scripts/conformance/pdq.py` holds them against the reference itself.
//!
//! ```
//! use nightlight::{domain::frame::Frame, engines::hashing};
//! let (width, height) = (96, 80);
//! let pixels: Vec<u8> = (0..height).flat_map(|y| (0..width * 3).map(move |x| (x * y / 90) as u8)).collect();
//! let frame = Frame::new(width, height, pixels).unwrap();
//! let fast = hashing::pdq_cpu(&frame).unwrap();
//! let (slow, coefficients) = hashing::plain::pdq(&frame).unwrap();
//! assert_eq!(fast, slow);
//! assert_eq!(hashing::pdq_exact(&frame).unwrap().1, coefficients);
//! ```

mod band;
mod bits;
mod cpu;
mod dct;
pub mod digests;
mod exact;
mod gpu;
mod jarosz;
mod margins;
pub mod plain;
mod turn;

pub use cpu::{Estimate, pdq_cpu, pdq_estimate};
pub use exact::pdq_exact;
pub use gpu::{
    PendingCoefficients, PendingHashes, StageSpans, cost, download_coefficients, read, read_coefficients, read_estimates, record,
};
pub use margins::{Margins, Steps};

use crate::domain::frame::Frame;

/// Samples along each axis after the blur.
pub(crate) const SIDE: usize = 64;
/// Frequencies kept along each axis: 1..=16, without the constant one.
pub(crate) const FREQUENCIES: usize = 16;
/// The reference hashes nothing smaller (`pdqhashing.cpp`, `MIN_HASHABLE_DIM`).
pub const SMALLEST_SIDE: u32 = 5;
/// RGB to luma as the reference's Python binding computes it (`pdqhash/bindings.pyx`): ITU-R BT.601.
pub(crate) const LUMA: [f64; 3] = [0.299, 0.587, 0.114];
/// How many of the 256 coefficients lie at or below the median: the reference takes the lower of the two middle ones (`torben.cpp`).
pub(crate) const MEDIAN_RANK: usize = FREQUENCIES * FREQUENCIES / 2 - 1;

/// A frame that cannot be hashed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// A side is shorter than [`SMALLEST_SIDE`]. Report the technology as unscored.
    #[error("a {width}x{height} picture is too small for PDQ: both sides must have at least {SMALLEST_SIDE} pixels")]
    TooSmall { width: u32, height: u32 },
}

pub(crate) fn check(width: u32, height: u32) -> Result<(), HashError> {
    if width.min(height) < SMALLEST_SIDE {
        return Err(HashError::TooSmall { width, height });
    }
    Ok(())
}

fn check_frame(frame: &Frame) -> Result<(), HashError> {
    check(frame.width(), frame.height())
}
