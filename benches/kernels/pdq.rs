//! All eight PDQ hashes from RGB pixels, on the calling thread; and how far the ways to them lie apart before they are made equal.

use std::hint::black_box;
use std::sync::{Arc, OnceLock};

use nightlight::domain::frame::Frame;
use nightlight::domain::hash::Transform;
use nightlight::engines::gpu::{Gpu, GpuOptions, Recording};
use nightlight::engines::hashing::{self, plain};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answered, timed};

#[derive(Deserialize)]
pub(super) struct Request {
    /// Tight RGB bytes.
    file: std::path::PathBuf,
    width: u32,
    height: u32,
    #[serde(default)]
    rounds: usize,
}

impl Request {
    fn frame(&self) -> Result<Frame, Box<dyn std::error::Error>> {
        Ok(Frame::new(self.width, self.height, std::fs::read(&self.file)?)?)
    }
}

/// `way` is `cpu` (what everybody calls), `estimate` (its fast half) or `exact` (its other half).
pub(super) fn answer(request: &Request, way: &str) -> Answered {
    let frame = request.frame()?;
    let run = || match way {
        "estimate" => hashing::pdq_estimate(black_box(&frame)).map(|estimate| estimate.hash),
        "exact" => hashing::pdq_exact(black_box(&frame)).map(|(hash, _)| hash),
        _ => hashing::pdq_cpu(black_box(&frame)),
    };
    let (hash, seconds) = timed(request.rounds, run);
    let hash = hash?;
    let decided = hashing::pdq_estimate(&frame)?.margins.decide(request.width, request.height);
    Ok(json!({ "seconds": seconds, "decided": decided, "answer": { "pdq": hash.original(), "quality": hash.quality.get() } }))
}

/// The largest errors of the fast operators, on the processor and on the device, against the oracle; and the margins.
pub(super) fn margins(request: &Request) -> Answered {
    let frame = Arc::new(request.frame()?);
    let samples = plain::pdq_samples(&frame);
    let coefficients = plain::pdq_dct(&samples);
    let estimate = hashing::pdq_estimate(&frame)?;
    let (exact, _) = hashing::pdq_exact(&frame)?;
    let gpu = device()?;
    let mut recording = Recording::new(gpu.limits());
    let image = recording.upload(&frame)?;
    let pending = hashing::record(&mut recording, &[image])?;
    let columns = recording.download(pending.stages[0].jarosz_columns);
    let dct = hashing::download_coefficients(&mut recording, &pending);
    let finished = gpu.run(&recording)?;
    let (shader_hash, shader_margins) = hashing::read_estimates(&finished, &pending).swap_remove(0)?;
    let shader = hashing::read_coefficients(&finished, &dct).swap_remove(0)?;
    let (width, height) = (request.width, request.height);
    let side = |name: &str, got: (&[f32], &[f32]), margins: hashing::Margins, hash: &nightlight::domain::hash::PerceptualHash| -> Value {
        let most = (0..Transform::ALL.len()).map(|at| hash.hashes[at].distance(&exact.hashes[at])).max();
        json!({
            "way": name,
            "sample_error": largest(samples.iter().zip(got.0).map(|(a, b)| a - b)),
            "step_error": step_error(&samples, got.0),
            "coefficient_error": largest(coefficients.iter().zip(got.1).map(|(a, b)| a - b)),
            "gap": margins.gap,
            "allowed": margins.coefficient_error(),
            "sum": margins.steps.sum,
            "barely": margins.steps.barely,
            "still": margins.steps.still,
            "decided": margins.decide(width, height),
            "distance": most,
            "quality": hash.quality.get(),
        })
    };
    Ok(json!({
        "quality": exact.quality.get(),
        "largest": largest(coefficients.iter().copied()),
        "brightest": largest(samples.iter().copied()),
        "cpu": side("cpu", (&estimate.samples, &estimate.coefficients), estimate.margins, &estimate.hash),
        "gpu": side("gpu", (finished.floats(columns), &shader), shader_margins, &shader_hash),
    }))
}

fn largest(values: impl Iterator<Item = f32>) -> f32 {
    values.map(f32::abs).fold(0.0, f32::max)
}

/// The largest difference of a difference between neighbours, in hundredths of the range.
fn step_error(expected: &[f32], got: &[f32]) -> f32 {
    let steps = |samples: &[f32], apart: usize| -> Vec<f32> {
        samples.iter().zip(&samples[apart..]).map(|(a, b)| (a - b) * 100.0 / 255.0).collect()
    };
    // Across the end of a row there is no step, but the error is of the same kind.
    let errors = |apart: usize| largest(steps(expected, apart).iter().zip(steps(got, apart)).map(|(a, b)| a - b));
    errors(1).max(errors(64))
}

fn device() -> Result<&'static Gpu, Box<dyn std::error::Error>> {
    static GPU: OnceLock<Result<Gpu, nightlight::engines::gpu::GpuError>> = OnceLock::new();
    GPU.get_or_init(|| Gpu::open(&GpuOptions::default())).as_ref().map_err(|error| error.to_string().into())
}
