//! Preprocessing: from a [`Frame`](crate::domain::frame::Frame) to the tensor a model's manifest asks for.
//!
//! A [`PreprocessSpec`](crate::domain::preprocess::PreprocessSpec) says resize, crop, channel order, scale, mean, std, layout and element type.
//! The score a model gives depends on every one of these, and most on the resize: a threshold measured behind one interpolation is not
//! evidence behind another. So each [`Rounding`](crate::domain::preprocess::Rounding) is that of a library that models are trained behind:
//!
//! * `pillow-u8` is Pillow's 8-bit resampling *bit for bit* (`src/libImaging/Resample.c`): a horizontal and a vertical pass, antialiased, with
//!   22-bit fixed-point weights, rounded and clipped to 8 bits after each, the horizontal one first unless the picture loses much more height
//!   than width (since Pillow 13). It is integer arithmetic, so there is no tolerance anywhere: the oracle, the processor and the GPU agree
//!   exactly.
//! * `float` has the same weights and neither rounds nor clips: torchvision on float tensors, and Pillow's mode `F`. The oracle sums in double
//!   precision, processor and GPU in single; they agree to 0.001 of a pixel's step, and all processors with each other exactly.
//!
//! What reads the spec:
//!
//! * [`plain`] is the oracle, a function for each stage.
//! * [`preprocess_cpu`] computes only what the crop keeps, on AVX2 where there is some.
//! * [`record`] appends the stages `preprocess_resize_rows`, `preprocess_resize_columns` and `preprocess_normalize`, or those of the same name
//!   and `_float`, to a [`Recording`](crate::engines::gpu::Recording), for pictures of any sizes at once.
//!
//! For the GPU normalisation of bytes is a table: a channel has 256 values, so `(pixel * scale - mean) / std` is computed once for each of
//! them, here, and no device's division or fused multiply-add can change it. Halves (`dtype = "f16"`) are made from floats at the very end, on the host.
//!
//! ```
//! use nightlight::domain::{frame::Frame, preprocess::*, tensor::DType};
//! let spec = PreprocessSpec {
//!     resize: Resize::ShortestSide { side: 256 },
//!     filter: Filter::Bicubic,
//!     rounding: Rounding::PillowU8,
//!     crop: Some(Size { width: 224, height: 224 }),
//!     crop_margin: CropMargin::HalfEven,
//!     channels: Channels::Bgr,
//!     layout: Layout::Nhwc,
//!     scale: 1.0,
//!     mean: [104.0, 117.0, 123.0],
//!     std: [1.0; 3],
//!     dtype: DType::F32,
//! };
//! spec.check()?;
//! let red = Frame::new(40, 30, [255, 0, 0].repeat(40 * 30))?;
//! let tensor = nightlight::engines::preprocess::preprocess_cpu(&spec, &red)?;
//! assert_eq!(tensor.shape(), [1, 224, 224, 3]);
//! assert_eq!(tensor.to_floats()[..3], [-104.0, -117.0, 132.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cpu;
mod gpu;
mod normalize;
pub mod plain;
mod weights;

pub use cpu::preprocess_cpu;
pub use gpu::{PendingTensors, StageSpans, cost, read, record};
