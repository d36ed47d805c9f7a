//! Pixel stages on the device: what a batch takes with its upload, and what the stages alone take by the device's clock.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use nightlight::domain::frame::Frame;
use nightlight::domain::preprocess::PreprocessSpec;
use nightlight::engines::gpu::{Gpu, GpuError, GpuOptions, Recording};
use nightlight::engines::{hashing, preprocess};
use serde::Deserialize;
use serde_json::json;

use super::Answered;

/// One device for all requests, with bindings as large as it allows.
pub(super) fn device() -> Result<&'static Gpu, GpuError> {
    static DEVICE: OnceLock<Result<Gpu, GpuError>> = OnceLock::new();
    DEVICE.get_or_init(|| Gpu::open(&GpuOptions { binding_bytes: 1 << 30, ..GpuOptions::default() })).as_ref().map_err(Clone::clone)
}

/// What `device` answers: the adapter.
pub(super) fn facts() -> Answered {
    let facts = device()?.adapter();
    Ok(json!({ "answer": {
        "name": facts.name, "backend": facts.backend, "driver": facts.driver, "is_software": facts.is_software, "timestamps": facts.timestamps,
        "binding_bytes": facts.device_binding_bytes, "buffer_bytes": facts.device_buffer_bytes,
    } }))
}

#[derive(Deserialize)]
pub(super) struct Request {
    /// The picture's size; the batch is that many copies of it.
    width: u32,
    height: u32,
    batch: usize,
    rounds: usize,
    /// `pdq`, `preprocess` or `both`.
    stages: String,
}

/// Rings, a ramp and some grain: detail in all directions, made here because a GPU machine need not have anything but this program.
fn picture(width: u32, height: u32) -> Result<Frame, Box<dyn std::error::Error>> {
    let value = |x: u32, y: u32, channel: u32| {
        let (dx, dy) = (f64::from(x) / f64::from(width) - 0.3, f64::from(y) / f64::from(height) - 0.4);
        let ring = ((dx.hypot(dy) * 40.0 + f64::from(channel)).sin() + (dx * 31.0 + dy * 17.0).sin()) * 50.0;
        let grain = f64::from((x * 31 + y * 57 + channel * 13).wrapping_mul(2_654_435_761) >> 29);
        (128.0 + ring + dx * 40.0 + grain).clamp(0.0, 255.0) as u8
    };
    let pixels: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |channel| value(x, y, channel)))).collect();
    Ok(Frame::new(width, height, pixels)?)
}

pub(super) fn answer(request: Request) -> Answered {
    let gpu = device()?;
    let frame = Arc::new(picture(request.width, request.height)?);
    let (with_pdq, with_preprocess) = (request.stages != "preprocess", request.stages != "pdq");
    let spec = PreprocessSpec::open_nsfw();
    let (mut seconds, mut upload, mut kernels) = (Vec::new(), Vec::new(), Vec::new());
    let mut stages: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    let mut equal = true;
    for _ in 0..request.rounds.max(1) {
        let started = Instant::now();
        let mut recording = Recording::new(gpu.limits());
        let images = (0..request.batch).map(|_| recording.upload(&frame)).collect::<Result<Vec<_>, _>>()?;
        let tensor = with_preprocess.then(|| preprocess::record(&mut recording, &spec, &images)).transpose()?;
        let hashes = with_pdq.then(|| hashing::record(&mut recording, &images)).transpose()?;
        let finished = gpu.run(&recording)?;
        seconds.push(started.elapsed().as_secs_f64());
        upload.push(finished.upload.as_secs_f64());
        kernels.push(finished.kernels().as_secs_f64());
        let mut sums: BTreeMap<&'static str, f64> = BTreeMap::new();
        for (stage, took) in &finished.stages {
            *sums.entry(stage.name()).or_default() += took.as_secs_f64();
        }
        sums.into_iter().for_each(|(stage, took)| stages.entry(stage).or_default().push(took));
        // Every picture of the batch against the processor's answer.
        if let Some(pending) = hashes {
            let expected = hashing::pdq_cpu(&frame)?;
            let hashes = hashing::read(&finished, &pending, &vec![&*frame; request.batch]);
            equal &= hashes.into_iter().all(|hash| hash.as_ref() == Ok(&expected));
        }
        if let Some(pending) = tensor {
            let expected = preprocess::preprocess_cpu(&spec, &frame);
            equal &= preprocess::read(&finished, &pending).iter().all(|tensor| *tensor == expected);
        }
    }
    Ok(json!({ "seconds": seconds, "upload": upload, "kernels": kernels, "stages": stages, "answer": { "equal": equal } }))
}
