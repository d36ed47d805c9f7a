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
    /// One batch for each spec, in the order of the frames.
    pub tensors: Vec<Tensor>,
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
    let items: Vec<usize> = specs.iter().map(|spec| spec.item_shape().iter().product()).collect();
    let mut data: Vec<Vec<f32>> = items.iter().map(|item| vec![0.0; item * frames.len()]).collect();
    let mut hashes: Vec<Option<Result<PerceptualHash, HashError>>> = vec![None; frames.len()];
    let mut gpu_time = Duration::ZERO;
    for part in &parts.recordings {
        let mut recording = Recording::new(gpu.limits());
        let images = part.iter().map(|at| recording.upload(&frames[*at])).collect::<Result<Vec<_>, _>>()?;
        let tensors = specs.iter().map(|spec| preprocess::record(&mut recording, spec, &images)).collect::<Result<Vec<_>, _>>()?;
        let pending = hashing::record(&mut recording, &images)?;
        let finished = gpu.run(&recording)?;
        gpu_time += finished.elapsed;
        for ((pending, data), item) in tensors.iter().zip(&mut data).zip(&items) {
            let tensor = preprocess::read(&finished, pending);
            for (at, values) in part.iter().zip(tensor.data().chunks_exact(*item)) {
                data[at * item..][..*item].copy_from_slice(values);
            }
        }
        let pictures: Vec<&Frame> = part.iter().map(|at| &*frames[*at]).collect();
        for (at, hash) in part.iter().zip(hashing::read(&finished, &pending, &pictures)) {
            hashes[*at] = Some(hash);
        }
    }
    for at in &parts.too_large {
        for ((spec, data), item) in specs.iter().zip(&mut data).zip(&items) {
            data[at * item..][..*item].copy_from_slice(preprocess::preprocess_cpu(spec, &[&frames[*at]]).data());
        }
        hashes[*at] = Some(hashing::pdq_cpu(&frames[*at]));
    }
    let shape = |spec: &PreprocessSpec| std::iter::once(frames.len()).chain(spec.item_shape()).collect();
    Ok(Output {
        tensors: specs.iter().zip(data).map(|(spec, data)| Tensor::new(shape(spec), data)).collect(),
        hashes: hashes.into_iter().map(|hash| hash.expect("every frame is in a part or too large")).collect(),
        gpu_time,
        recordings: parts.recordings.len(),
        too_large: parts.too_large.len(),
    })
}
