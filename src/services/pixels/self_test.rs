//! Whether a device computes what the processor does: at every start, before the first picture depends on it.
//!
//! It also makes the driver compile every stage: some do so only when a pipeline first runs, and that should not be somebody's request.

use std::sync::Arc;

use super::{on_cpu, on_gpu};
use crate::{
    domain::{
        frame::Frame,
        hash::PerceptualHash,
        preprocess::{Channels, Filter, Layout, PreprocessSpec, Resize, Rounding, Size},
    },
    engines::{
        gpu::{Gpu, GpuError},
        hashing::{self, HashError},
    },
};

/// Bits by which the hashes of device and processor may differ: both compute in `f32`, in another order. `engines::hashing` says why, and its
/// parity test holds them to the same bound.
pub const ROUNDING_BITS: u32 = 2;

/// Runs every stage over a generated picture and compares with the processor; the number of values that were compared.
///
/// # Errors
/// [`GpuError::Wrong`] when they differ; whatever befalls the device.
pub fn self_test(gpu: &Gpu) -> Result<usize, GpuError> {
    let (frames, specs) = ([Arc::new(picture(320, 240)), Arc::new(picture(90, 700))], specs());
    let mut compared = 0;
    for (frame, got) in frames.iter().zip(on_gpu(gpu, &frames.iter().collect::<Vec<_>>(), &specs)?) {
        let expected = on_cpu(frame, &specs);
        for (expected, got) in expected.tensors.iter().zip(&got.tensors) {
            let differing = expected.data().iter().zip(got.data()).filter(|(a, b)| a != b).count();
            if differing > 0 || expected.shape() != got.shape() {
                return Err(GpuError::Wrong(format!("{differing} of {} elements of a tensor differ", expected.data().len())));
            }
            compared += got.data().len();
        }
        let (Ok(expected), Ok(got)) = (expected.hash, got.hash) else {
            return Err(GpuError::Wrong("a picture of 320x240 has no hash".to_owned()));
        };
        let distance = expected.hashes.iter().zip(&got.hashes).map(|(a, b)| a.distance(b)).max().unwrap_or_default();
        if distance > ROUNDING_BITS {
            return Err(GpuError::Wrong(format!("a hash differs in {distance} bits")));
        }
        compared += got.hashes.len();
    }
    Ok(compared)
}

/// The hashes of a generated picture by the plain twin and by the processor's fast path: what `doctor` compares.
///
/// # Errors
/// The picture cannot be hashed, which is a bug.
pub fn self_test_on_cpu() -> Result<(PerceptualHash, PerceptualHash), HashError> {
    let frame = picture(320, 240);
    Ok((hashing::plain::pdq(&frame)?.0, hashing::pdq_cpu(&frame)?))
}

/// One spec for each stage and branch of the preprocessing shaders.
pub(super) fn specs() -> Vec<PreprocessSpec> {
    let demo = PreprocessSpec {
        resize: Resize::Exact { width: 64, height: 64 },
        filter: Filter::Bilinear,
        rounding: Rounding::PillowU8,
        crop: Some(Size { width: 56, height: 56 }),
        channels: Channels::Bgr,
        layout: Layout::Nhwc,
        scale: 1.0,
        mean: [104.0, 117.0, 123.0],
        std: [1.0; 3],
    };
    let planar = PreprocessSpec { channels: Channels::Rgb, layout: Layout::Nchw, crop: None, scale: 1.0 / 255.0, ..demo.clone() };
    vec![demo, planar]
}

/// Rings and a ramp: detail in all directions, so that no bit of the hash hangs on rounding.
fn picture(width: u32, height: u32) -> Frame {
    let value = |x: u32, y: u32, channel: u32| {
        let (dx, dy) = (f64::from(x) - 90.0 - 40.0 * f64::from(channel), f64::from(y) - 70.0);
        let ring = (dx.hypot(dy) / 9.0).sin() * 90.0;
        (128.0 + ring + f64::from(x) / 8.0 - f64::from(y) / 9.0).clamp(0.0, 255.0) as u8
    };
    let pixels: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |channel| value(x, y, channel)))).collect();
    // The number of pixels is the product of both sides.
    Frame::new(width, height, pixels).expect("a frame of its own size")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::gpu::GpuOptions;

    #[test]
    fn a_sound_device_passes() {
        let Some(gpu) = crate::testing::gpu::open(&GpuOptions::default()) else { return };
        assert!(self_test(&gpu).unwrap() > 2 * 3 * (56 * 56 + 64 * 64));
    }
}
