//! Preprocessing: from [`Frame`](crate::domain::frame::Frame)s to the tensor a model's manifest asks for.
//!
//! A [`PreprocessSpec`](crate::domain::preprocess::PreprocessSpec) says resize, crop, channel order, scale, mean, std and layout. The score
//! a model gives depends on every one of these, and most on the resize: a threshold measured behind one interpolation is not evidence
//! behind another. Nearly all open models were trained and evaluated behind Pillow, so this is Pillow's 8-bit resampling *bit for bit*
//! (`src/libImaging/Resample.c`): a horizontal and a vertical pass, antialiased, with 22-bit fixed-point weights, rounded and clipped to
//! 8 bits after each, the horizontal one first unless the picture loses much more height than width (since Pillow 13). It is integer arithmetic, so there is no tolerance anywhere: the oracle, the processor and the GPU agree exactly.
//!
//! * [`plain`] is the oracle, a function for each stage.
//! * [`preprocess_cpu`] computes only what the crop keeps, on AVX2 where there is some.
//! * [`record`] appends the stages `preprocess_resize_rows`, `preprocess_resize_columns` and `preprocess_normalize` to a
//!   [`Recording`](crate::engines::gpu::Recording).
//!
//! Normalisation is a table: a channel has 256 values, so `(pixel * scale - mean) / std` is computed once for each of them, here, and no
//! device's division or fused multiply-add can change it.
//!
//! ```
//! use nightlight::domain::{frame::Frame, preprocess::*};
//! let spec = PreprocessSpec {
//!     resize: Resize::Exact { width: 256, height: 256 },
//!     filter: Filter::Bilinear,
//!     rounding: Rounding::PillowU8,
//!     crop: Some(Size { width: 224, height: 224 }),
//!     channels: Channels::Bgr,
//!     layout: Layout::Nhwc,
//!     scale: 1.0,
//!     mean: [104.0, 117.0, 123.0],
//!     std: [1.0; 3],
//! };
//! let red = Frame::new(40, 30, [255, 0, 0].repeat(40 * 30)).unwrap();
//! let tensor = nightlight::engines::preprocess::preprocess_cpu(&spec, &[&red]);
//! assert_eq!(tensor.shape(), [1, 224, 224, 3]);
//! assert_eq!(tensor.data()[..3], [-104.0, -117.0, 132.0]);
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2;
mod cpu;
mod gpu;
mod normalize;
pub mod plain;
mod weights;

pub use cpu::preprocess_cpu;
pub use gpu::{PendingTensor, StageSpans, cost, read, record};
