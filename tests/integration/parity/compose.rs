//! Both engines over one upload, split where a batch does not fit, with the processor for what fits nowhere: what scoring does.

use std::sync::Arc;
use std::time::Duration;

use nightlight::domain::frame::Frame;
use nightlight::domain::hash::PerceptualHash;
use nightlight::domain::preprocess::PreprocessSpec;
use nightlight::domain::tensor::Tensor;
use nightlight::engines::gpu::{Cost, Gpu, GpuError, Recording, ResidentImage, split};
use nightlight::engines::hashing::{self, HashError};
use nightlight::engines::preprocess;

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
    let cost = |frame: &Arc<Frame>| {
        let (width, height) = (frame.width(), frame.height());
        let pixels = Cost { pixels: ResidentImage::words(width, height), ..Cost::default() };
        let tensors: Cost = specs.iter().map(|spec| preprocess::cost(spec, width, height)).sum();
        pixels + tensors + hashing::cost(width, height)
    };
    let parts = split(&gpu.limits(), &frames.iter().map(cost).collect::<Vec<_>>());
    let mut made: Vec<Vec<Option<Tensor>>> = vec![vec![None; frames.len()]; specs.len()];
    let mut hashes: Vec<Option<Result<PerceptualHash, HashError>>> = vec![None; frames.len()];
    let mut gpu_time = Duration::ZERO;
    for part in &parts.recordings {
        let mut recording = Recording::new(gpu.limits());
        let images = part.iter().map(|at| recording.upload(&frames[*at])).collect::<Result<Vec<_>, _>>()?;
        let tensors = specs.iter().map(|spec| preprocess::record(&mut recording, spec, &images)).collect::<Result<Vec<_>, _>>()?;
        let pending = hashing::record(&mut recording, &images)?;
        let finished = gpu.run(&recording)?;
        gpu_time += finished.elapsed;
        for (pending, made) in tensors.iter().zip(&mut made) {
            for (at, tensor) in part.iter().zip(preprocess::read(&finished, pending)) {
                made[*at] = Some(tensor.unwrap());
            }
        }
        let pictures: Vec<&Frame> = part.iter().map(|at| &*frames[*at]).collect();
        for (at, hash) in part.iter().zip(hashing::read(&finished, &pending, &pictures)) {
            hashes[*at] = Some(hash);
        }
    }
    for at in &parts.too_large {
        for (spec, made) in specs.iter().zip(&mut made) {
            made[*at] = Some(preprocess::preprocess_cpu(spec, &frames[*at]).unwrap());
        }
        hashes[*at] = Some(hashing::pdq_cpu(&frames[*at]));
    }
    fn all<T>(made: Vec<Option<T>>) -> Vec<T> {
        made.into_iter().map(|one| one.expect("every frame is in a part or too large")).collect()
    }
    Ok(Output {
        tensors: made.into_iter().map(all).collect(),
        hashes: all(hashes),
        gpu_time,
        recordings: parts.recordings.len(),
        too_large: parts.too_large.len(),
    })
}
