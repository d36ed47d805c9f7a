//! What scoring does with pixels, split where a batch does not fit, and what it took.

use std::sync::Arc;
use std::time::Duration;

use nightlight::domain::frame::Frame;
use nightlight::domain::hash::PerceptualHash;
use nightlight::domain::preprocess::PreprocessSpec;
use nightlight::domain::tensor::Tensor;
use nightlight::engines::gpu::{Gpu, GpuError};
use nightlight::engines::hashing::HashError;
use nightlight::services::analysis::pixels::{Pixels, on_cpu, on_gpu, split};

pub struct Output {
    /// For each spec the tensors of the frames, in their order.
    pub tensors: Vec<Vec<Tensor>>,
    pub hashes: Vec<Result<PerceptualHash, HashError>>,
    pub gpu_time: Duration,
    /// Recordings it took.
    pub recordings: usize,
    /// Frames that went to the processor.
    pub too_large: usize,
}

pub fn run(gpu: &Gpu, frames: &[Arc<Frame>], specs: &[PreprocessSpec]) -> Result<Output, GpuError> {
    let parts = split(gpu, frames, specs);
    let mut done: Vec<Option<Pixels>> = vec![None; frames.len()];
    let mut gpu_time = Duration::ZERO;
    for part in &parts.recordings {
        let pictures: Vec<_> = part.iter().map(|&at| &frames[at]).collect();
        let pixels = on_gpu(gpu, &pictures, specs)?;
        gpu_time += pixels[0].took;
        pixels.into_iter().zip(part).for_each(|(pixels, &at)| done[at] = Some(pixels));
    }
    parts.too_large.iter().for_each(|&at| done[at] = Some(on_cpu(&frames[at], specs)));
    let done: Vec<Pixels> = done.into_iter().map(|pixels| pixels.expect("every frame is in a part or too large")).collect();
    let tensors = |spec: usize| done.iter().map(|pixels| pixels.tensors[spec].clone().unwrap()).collect();
    Ok(Output {
        tensors: (0..specs.len()).map(tensors).collect(),
        hashes: done.iter().map(|pixels| pixels.hash.clone()).collect(),
        gpu_time,
        recordings: parts.recordings.len(),
        too_large: parts.too_large.len(),
    })
}
