//! One picture to its perceptual hash, on the GPU or on the CPU.

use std::sync::Arc;

use crate::{
    config::Backend,
    domain::{frame::Frame, hash::PerceptualHash},
    engines::{
        gpu::{Gpu, GpuError, GpuOptions, Recording},
        hashing::{self, HashError},
    },
};

/// What hashes.
pub(in crate::cli) enum Hasher {
    Cpu,
    Gpu(Box<Gpu>),
}

impl Hasher {
    /// Opens what `backend` names. `auto` never fails.
    ///
    /// # Errors
    /// What is missing, and what mends it.
    pub fn open(backend: Backend, adapter: Option<&str>) -> Result<Self, String> {
        let options = GpuOptions { adapter: adapter.map(str::to_owned), ..GpuOptions::default() };
        match backend {
            Backend::Cpu => Ok(Self::Cpu),
            Backend::Gpu => match Gpu::open(&options) {
                Ok(gpu) => Ok(Self::Gpu(Box::new(gpu))),
                Err(error) => Err(format!("{error}; see `nightlight doctor`, or use --backend cpu")),
            },
            Backend::Auto => match Gpu::open(&options) {
                Ok(gpu) if !gpu.adapter().is_software => Ok(Self::Gpu(Box::new(gpu))),
                // A software adapter is this processor with more steps in between.
                Ok(_) | Err(_) => Ok(Self::Cpu),
            },
        }
    }

    /// The hash, and which backend made it. What the GPU cannot take is hashed by the CPU, with the same result.
    ///
    /// # Errors
    /// [`HashError::TooSmall`].
    pub fn hash(&self, frame: Frame) -> Result<(PerceptualHash, &'static str), HashError> {
        let frame = Arc::new(frame);
        if let Self::Gpu(gpu) = self {
            match on_gpu(gpu, &frame) {
                Ok(hash) => return hash.map(|hash| (hash, "gpu")),
                Err(error) => tracing::warn!(%error, "the GPU could not hash a picture; the CPU did"),
            }
        }
        hashing::pdq_cpu(&frame).map(|hash| (hash, "cpu"))
    }
}

fn on_gpu(gpu: &Gpu, frame: &Arc<Frame>) -> Result<Result<PerceptualHash, HashError>, GpuError> {
    let mut recording = Recording::new(gpu.limits());
    let image = recording.upload(frame)?;
    let pending = hashing::record(&mut recording, &[image])?;
    let finished = gpu.run(&recording)?;
    // One image was recorded, so there is one result.
    Ok(hashing::read(&finished, &pending).swap_remove(0))
}
