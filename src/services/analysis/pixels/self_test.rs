//! Whether a device computes what the processor does: at every start, before the first picture depends on it.
//!
//! It also makes the driver compile every stage: some do so only when a pipeline first runs, and that should not be somebody's request.

use std::sync::Arc;

use super::{on_cpu, on_gpu};
use crate::{
    domain::{
        frame::Frame,
        hash::PerceptualHash,
        preprocess::{Channels, Filter, Layout, OutputTooLarge, PreprocessSpec, Resize, Rounding, Size},
        tensor::Tensor,
    },
    engines::{
        gpu::{Gpu, GpuError},
        hashing::{self, HashError},
    },
};

/// Runs every stage over a generated picture and compares with the processor; the number of values that were compared.
///
/// # Errors
/// [`GpuError::Wrong`] when they differ; whatever befalls the device.
pub fn self_test(gpu: &Gpu) -> Result<usize, GpuError> {
    let (frames, specs) = ([Arc::new(picture(320, 240)), Arc::new(picture(90, 700))], specs());
    let mut compared = 0;
    for (frame, got) in frames.iter().zip(on_gpu(gpu, &frames.iter().collect::<Vec<_>>(), &specs)?) {
        let expected = on_cpu(frame, &specs);
        for (spec, (expected, got)) in specs.iter().zip(expected.tensors.iter().zip(&got.tensors)) {
            compared += same_tensor(spec, expected, got).map_err(GpuError::Wrong)?;
        }
        let (Ok(expected), Ok(got)) = (expected.hash, got.hash) else {
            return Err(GpuError::Wrong("a picture of 320x240 has no hash".to_owned()));
        };
        if expected != got {
            return Err(GpuError::Wrong("a hash or its quality differs".to_owned()));
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

/// Part of a pixel's step by which a tensor made without rounding may differ: device and processor sum in another order.
const FLOAT_STEPS: f32 = 0.001;

/// Whether the device's tensor is the processor's, exactly where the spec makes it exact; the number of elements.
pub(super) fn same_tensor(
    spec: &PreprocessSpec,
    expected: &Result<Tensor, OutputTooLarge>,
    got: &Result<Tensor, OutputTooLarge>,
) -> Result<usize, String> {
    let (expected, got) = match (expected, got) {
        (Ok(expected), Ok(got)) if expected.shape() == got.shape() => (expected.to_floats(), got.to_floats()),
        _ => return Err("a tensor has another shape".to_owned()),
    };
    let steps = match spec.rounding {
        Rounding::PillowU8 => 0.0,
        Rounding::Float => FLOAT_STEPS,
    };
    let least = spec.std.iter().fold(f32::MAX, |least, std| least.min(std.abs()));
    let allowed = steps * spec.scale.abs() / least;
    let differing = expected.iter().zip(&got).map(|(a, b)| (a - b).abs()).filter(|apart| apart.is_nan() || *apart > allowed).count();
    if differing > 0 { Err(format!("{differing} of {} elements of a tensor differ", got.len())) } else { Ok(got.len()) }
}

/// Specs that together take every stage and branch of the preprocessing shaders.
pub(super) fn specs() -> [PreprocessSpec; 4] {
    let resize = Resize::Exact { width: 64, height: 64 };
    let demo = PreprocessSpec { resize, crop: Some(Size { width: 56, height: 56 }), ..PreprocessSpec::open_nsfw() };
    let planar = PreprocessSpec {
        resize: Resize::Letterbox { width: 64, height: 64, fill: [114, 0, 255] },
        filter: Filter::Lanczos,
        channels: Channels::Rgb,
        layout: Layout::Nchw,
        crop: None,
        scale: 1.0 / 255.0,
        mean: [0.5, 0.25, 0.75],
        std: [0.25; 3],
        ..demo.clone()
    };
    let float = PreprocessSpec { rounding: Rounding::Float, ..planar.clone() };
    let shortest = PreprocessSpec {
        resize: Resize::ShortestSide { side: 48 },
        filter: Filter::Bicubic,
        rounding: Rounding::Float,
        crop: None,
        ..demo.clone()
    };
    [demo, planar, float, shortest]
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
    use crate::engines::{gpu::GpuOptions, preprocess::preprocess_cpu};

    #[test]
    fn a_sound_device_passes() {
        let Some(gpu) = crate::testing::gpu::open(&GpuOptions::default()) else { return };
        assert!(self_test(&gpu).unwrap() > 2 * 3 * (56 * 56 + 2 * 64 * 64 + 48 * 48));
    }

    #[test]
    fn a_wrong_tensor_is_told() {
        let frame = picture(320, 240);
        for spec in specs() {
            let right = preprocess_cpu(&spec, &frame);
            let elements = right.as_ref().unwrap().to_floats().len();
            assert_eq!(same_tensor(&spec, &right, &right), Ok(elements));
            let darker = Frame::new(320, 240, frame.pixels().iter().map(|value| value.saturating_sub(1)).collect::<Vec<_>>()).unwrap();
            let wrong = same_tensor(&spec, &right, &preprocess_cpu(&spec, &darker)).unwrap_err();
            assert!(wrong.contains("elements of a tensor differ"), "{wrong}");
            let other_shape =
                preprocess_cpu(&PreprocessSpec { resize: Resize::Exact { width: 57, height: 57 }, crop: None, ..spec.clone() }, &frame);
            assert!(same_tensor(&spec, &right, &other_shape).is_err());
        }
    }
}
