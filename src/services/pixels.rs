//! Decoded pictures to everything that models and hashes need of their pixels: one upload on the GPU, or the CPU path with the same results.
//!
//! A [`PixelProcessor`] is what `backend = auto|gpu|cpu` names. The GPU works where there is one; a picture that does not fit it, and any
//! failure of it, is the CPU's work and not the caller's problem. A lost or hung device is left alone for a while and then opened again.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    domain::{frame::Frame, hash::PerceptualHash, preprocess::PreprocessSpec, tensor::Tensor},
    engines::{
        gpu::{self, Gpu, GpuError, GpuOptions, Recording},
        hashing::{self, HashError},
        preprocess,
    },
};

/// How long a device that failed is left alone. A driver that resets needs about a second; opening again costs a few milliseconds.
const REST: Duration = Duration::from_secs(10);

/// What one picture's pixels gave.
#[derive(Clone, Debug)]
pub struct Pixels {
    /// One per spec, in their order, each `[1, ...item_shape]`.
    pub tensors: Vec<Tensor>,
    pub hash: Result<PerceptualHash, HashError>,
    /// `gpu` or `cpu`: what did the work.
    pub backend: &'static str,
    /// From upload to download for the batch the picture was in.
    pub took: Duration,
}

/// Which backend somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The GPU where there is real hardware, else the CPU. Never fails.
    Auto,
    Gpu,
    Cpu,
}

/// Works on pixels; may be shared between threads.
pub enum PixelProcessor {
    Cpu,
    Gpu(GpuProcessor),
}

/// A device, and how to open it again.
pub struct GpuProcessor {
    options: GpuOptions,
    name: String,
    state: Mutex<State>,
}

struct State {
    gpu: Option<Arc<Gpu>>,
    /// Why there is none, and since when.
    trouble: Option<(String, Instant)>,
}

impl PixelProcessor {
    /// Opens what is wanted; the text says what an operator should know of the choice.
    ///
    /// # Errors
    /// The GPU is wanted and there is none.
    pub fn open(wanted: Wanted, adapter: Option<&str>) -> Result<(Self, Option<String>), GpuError> {
        let options = GpuOptions { adapter: adapter.map(str::to_owned), ..GpuOptions::default() };
        if wanted == Wanted::Cpu {
            return Ok((Self::Cpu, None));
        }
        match Gpu::open(&options) {
            Err(error) if wanted == Wanted::Auto => Ok((Self::Cpu, Some(format!("pictures are worked on by the CPU: {error}")))),
            Err(error) => Err(error),
            // A software adapter is this processor with more steps in between.
            Ok(gpu) if wanted == Wanted::Auto && gpu.adapter().is_software => Ok((Self::Cpu, None)),
            Ok(gpu) => {
                let facts = gpu.adapter();
                let note = facts.is_software.then(|| format!("the GPU is {}, a software adapter: correct but slow", facts.name));
                let name = facts.name.clone();
                let state = Mutex::new(State { gpu: Some(Arc::new(gpu)), trouble: None });
                Ok((Self::Gpu(GpuProcessor { options, name, state }), note))
            }
        }
    }

    /// `gpu` or `cpu`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu(_) => "gpu",
        }
    }

    /// Why the GPU is not at work at this moment, although it should be.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Cpu => None,
            Self::Gpu(gpu) => gpu.lock().trouble.as_ref().map(|(why, _)| format!("{} is out of work, the CPU does it: {why}", gpu.name)),
        }
    }

    /// Every picture's tensors, one per spec, and its hash; in the order of `frames`. Never fails: what the GPU cannot do the CPU does.
    pub fn look(&self, frames: &[Arc<Frame>], specs: &[PreprocessSpec]) -> Vec<Pixels> {
        let mut results = match self {
            Self::Cpu => vec![None; frames.len()],
            Self::Gpu(gpu) => gpu.look(frames, specs),
        };
        results.iter_mut().zip(frames).map(|(result, frame)| result.take().unwrap_or_else(|| on_cpu(frame, specs))).collect()
    }
}

impl GpuProcessor {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device, opened again if its rest is over.
    fn device(&self) -> Option<Arc<Gpu>> {
        let mut state = self.lock();
        if state.gpu.is_none() && state.trouble.as_ref().is_none_or(|(_, since)| since.elapsed() >= REST) {
            match Gpu::open(&self.options) {
                Ok(gpu) => {
                    tracing::info!(adapter = gpu.adapter().name, "the GPU is back");
                    *state = State { gpu: Some(Arc::new(gpu)), trouble: None };
                }
                Err(error) => state.trouble = Some((error.to_string(), Instant::now())),
            }
        }
        state.gpu.clone()
    }

    /// `None` for every picture that is the CPU's.
    fn look(&self, frames: &[Arc<Frame>], specs: &[PreprocessSpec]) -> Vec<Option<Pixels>> {
        let mut results = vec![None; frames.len()];
        let Some(gpu) = self.device() else { return results };
        let cost = |frame: &Arc<Frame>| {
            let (width, height) = (frame.width(), frame.height());
            let pixels = gpu::Cost { pixels: gpu::ResidentImage::words(width, height), ..gpu::Cost::default() };
            specs.iter().map(|spec| preprocess::cost(spec, width, height)).sum::<gpu::Cost>() + hashing::cost(width, height) + pixels
        };
        let costs: Vec<_> = frames.iter().map(cost).collect();
        let parts = gpu::split(&gpu.limits(), &costs).recordings;
        for part in parts {
            let pictures: Vec<&Arc<Frame>> = part.iter().map(|&at| &frames[at]).collect();
            match on_gpu(&gpu, &pictures, specs) {
                Ok(pixels) => pixels.into_iter().zip(&part).for_each(|(pixels, &at)| results[at] = Some(pixels)),
                Err(error) => {
                    metrics::counter!(crate::telemetry::metric::GPU_FAILURES_TOTAL).increment(1);
                    tracing::warn!(%error, pictures = part.len(), "the GPU could not work on pictures; the CPU does");
                    if matches!(error, GpuError::Lost(_) | GpuError::Timeout { .. }) {
                        let lost = State { gpu: None, trouble: Some((error.to_string(), Instant::now())) };
                        retire(gpu, std::mem::replace(&mut *self.lock(), lost));
                        return results;
                    }
                }
            }
        }
        results
    }
}

/// Drops a device on a thread of its own: the driver waits for a hung one, perhaps for ever, and pictures must not wait with it.
fn retire(gpu: Arc<Gpu>, state: State) {
    let spawned = std::thread::Builder::new().name("gpu-drop".to_owned()).spawn(move || drop((gpu, state)));
    if spawned.is_err() {
        tracing::warn!("no thread to retire the GPU on");
    }
}

/// One upload, all stages of all specs and of the hash, one download.
fn on_gpu(gpu: &Gpu, frames: &[&Arc<Frame>], specs: &[PreprocessSpec]) -> Result<Vec<Pixels>, GpuError> {
    let started = Instant::now();
    let mut recording = Recording::new(gpu.limits());
    let images = frames.iter().map(|frame| recording.upload(frame)).collect::<Result<Vec<_>, _>>()?;
    let pending = specs.iter().map(|spec| preprocess::record(&mut recording, spec, &images)).collect::<Result<Vec<_>, _>>()?;
    let hashes = hashing::record(&mut recording, &images)?;
    let finished = gpu.run(&recording)?;
    let mut tensors: Vec<_> = pending.iter().map(|pending| preprocess::read(&finished, pending).into_items().into_iter()).collect();
    let pictures: Vec<&Frame> = frames.iter().map(|frame| &***frame).collect();
    let hashes = hashing::read(&finished, &hashes, &pictures);
    let took = started.elapsed();
    let pixels = |hash| Pixels { tensors: tensors.iter_mut().filter_map(Iterator::next).collect(), hash, backend: "gpu", took };
    Ok(hashes.into_iter().map(pixels).collect())
}

/// The CPU path, on the calling thread.
pub fn on_cpu(frame: &Frame, specs: &[PreprocessSpec]) -> Pixels {
    let started = Instant::now();
    let tensors = specs.iter().map(|spec| preprocess::preprocess_cpu(spec, &[frame])).collect();
    let hash = hashing::pdq_cpu(frame);
    Pixels { tensors, hash, backend: "cpu", took: started.elapsed() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::preprocess::{Channels, Filter, Layout, Resize, Rounding, Size};

    fn frame(width: u32, height: u32) -> Arc<Frame> {
        let pixels: Vec<u8> = (0..3 * width * height).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        Arc::new(Frame::new(width, height, pixels).unwrap())
    }

    #[test]
    fn a_lost_device_is_replaced_by_the_cpu_with_the_same_results() {
        let spec = PreprocessSpec {
            resize: Resize::Exact { width: 32, height: 32 },
            filter: Filter::Bilinear,
            rounding: Rounding::PillowU8,
            crop: Some(Size { width: 28, height: 28 }),
            channels: Channels::Bgr,
            layout: Layout::Nhwc,
            scale: 1.0,
            mean: [104.0, 117.0, 123.0],
            std: [1.0; 3],
        };
        let frames = [frame(200, 150), frame(3, 3), frame(64, 80)];
        let (processor, _) = PixelProcessor::open(Wanted::Gpu, None).expect("scripts/setup.sh installs Mesa's software Vulkan");
        let PixelProcessor::Gpu(gpu) = &processor else { panic!("not the GPU") };
        let before = processor.look(&frames, std::slice::from_ref(&spec));
        assert!(before.iter().all(|pixels| pixels.backend == "gpu") && processor.trouble().is_none());
        assert!(before[1].hash.is_err() && before[1].tensors.len() == 1);
        gpu.device().unwrap().lose();
        let after = processor.look(&frames, std::slice::from_ref(&spec));
        assert!(after.iter().all(|pixels| pixels.backend == "cpu") && processor.trouble().is_some());
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before.tensors, after.tensors);
            assert_eq!(before.hash, after.hash);
        }
        gpu.lock().trouble = None; // the rest is over
        assert_eq!(processor.look(&frames[..1], &[])[0].backend, "gpu");
        assert!(processor.trouble().is_none());
    }
}
