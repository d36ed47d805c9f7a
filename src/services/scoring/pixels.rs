//! One decoded picture to everything that models and hashes need of its pixels, on the GPU or on the CPU.

use std::sync::Arc;

use super::{
    ScoreError,
    timings::{Timings, timed},
};
use crate::{
    domain::{frame::Frame, hash::PerceptualHash, preprocess::PreprocessSpec, tensor::Tensor},
    engines::{
        batch::Lane,
        hashing::{self, HashError},
        preprocess,
    },
};

/// What one picture's pixels gave.
#[derive(Debug)]
pub(super) struct Pixels {
    /// In the order of the specs.
    pub tensors: Vec<Tensor>,
    pub hash: Result<PerceptualHash, HashError>,
}

/// Where pixels are worked on.
pub(super) enum PixelEngine {
    Cpu,
}

impl PixelEngine {
    pub(super) async fn run(
        &self,
        lane: &Lane,
        frame: Arc<Frame>,
        specs: &Arc<[PreprocessSpec]>,
        timings: &mut Timings,
    ) -> Result<Pixels, ScoreError> {
        let specs = specs.clone();
        let (pixels, took) = lane.run(move || timed(|| on_cpu(&frame, &specs))).await?;
        timings.add("cpu", took);
        Ok(pixels)
    }
}

/// The CPU path: the same results as the GPU's.
fn on_cpu(frame: &Frame, specs: &[PreprocessSpec]) -> Pixels {
    let tensors = specs.iter().map(|spec| preprocess::preprocess_cpu(spec, &[frame])).collect();
    Pixels { tensors, hash: hashing::pdq_cpu(frame) }
}
