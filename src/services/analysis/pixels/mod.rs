//! Decoded pictures to everything that models and hashes need of their pixels: one upload on the GPU, or the CPU path with the same results.
//!
//! A [`PixelProcessor`] is what `backend = auto|gpu|cpu` names. The GPU works where there is one; a picture that does not fit it, and any
//! failure of it, is the CPU's work and not the caller's problem. A device that was lost, hangs, is out of memory or fails its self-test rests
//! for a while and is then opened again, behind the callers' backs (`device`). [`PixelEngine`] puts a queue in front of the GPU, so that batches form.

mod device;
mod engine;
mod self_test;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rayon::prelude::*;

pub use self::{
    device::GpuProcessor,
    engine::{ModelName, Needs, PixelEngine, Prepared, Specs},
    self_test::{self_test, self_test_on_cpu},
};
use crate::{
    domain::{
        frame::Frame,
        hash::PerceptualHash,
        preprocess::{OutputTooLarge, PreprocessSpec},
        tensor::Tensor,
    },
    engines::{
        gpu::{self, Finished, Gpu, GpuError, GpuOptions, Recording},
        hashing::{self, HashError},
        preprocess,
    },
    telemetry::metric,
};

/// What one picture's pixels gave.
#[derive(Clone, Debug)]
pub struct Pixels {
    /// One per spec, in their order, each a batch of one.
    pub tensors: Vec<Result<Tensor, OutputTooLarge>>,
    pub hash: Result<PerceptualHash, HashError>,
    /// `gpu` or `cpu`: what did the work.
    pub backend: &'static str,
    /// From upload to download for the batch the picture was in.
    pub took: Duration,
    /// What the GPU said of that time.
    pub device: Option<DeviceTime>,
}

/// Parts of a batch's time on the GPU.
#[derive(Clone, Copy, Debug)]
pub struct DeviceTime {
    /// Copying pixels and tables into the driver's memory.
    pub upload: Duration,
    /// All stages, by the device's own clock; `None` where it has none.
    pub kernels: Option<Duration>,
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

impl PixelProcessor {
    /// Opens what is wanted; the text says what an operator should know of the choice.
    ///
    /// # Errors
    /// The GPU is wanted and there is none, or it fails its self-test.
    pub fn open(wanted: Wanted, options: GpuOptions) -> Result<(Self, Option<String>), GpuError> {
        if wanted == Wanted::Cpu {
            return Ok((Self::Cpu, None));
        }
        let opened = Gpu::open(&options).and_then(|gpu| match wanted {
            // A software adapter is this processor with more steps in between.
            Wanted::Auto if gpu.adapter().is_software => Ok(None),
            _ => self_test(&gpu).map(|_| Some(gpu)),
        });
        match opened {
            Ok(None) => Ok((Self::Cpu, None)),
            Ok(Some(gpu)) => {
                let facts = gpu.adapter();
                let note = facts.is_software.then(|| format!("the GPU is {}, a software adapter: correct but slow", facts.name));
                Ok((Self::Gpu(GpuProcessor::new(options, gpu)), note))
            }
            Err(error) if wanted == Wanted::Auto => Ok((Self::Cpu, Some(format!("pictures are worked on by the CPU: {error}")))),
            Err(error) => Err(error),
        }
    }

    /// `gpu` or `cpu`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu(_) => "gpu",
        }
    }

    /// The GPU's name; `None` on the CPU path.
    pub fn adapter(&self) -> Option<&str> {
        match self {
            Self::Cpu => None,
            Self::Gpu(gpu) => Some(gpu.adapter()),
        }
    }

    /// Why the GPU is not at work at this moment, although it should be.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Cpu => None,
            Self::Gpu(gpu) => gpu.trouble(),
        }
    }

    /// Every picture's tensors, one per spec, and its hash; in the order of `frames`. Never fails: what the GPU cannot do the CPU does.
    pub fn look(&self, frames: &[Arc<Frame>], specs: &[PreprocessSpec]) -> Vec<Pixels> {
        let mut results = match self {
            Self::Cpu => vec![None; frames.len()],
            Self::Gpu(gpu) => gpu.look(frames, specs),
        };
        // On the CPU path this is one picture on its own thread already; what a failing GPU leaves is a batch, for all cores.
        let cpu = |(result, frame): (&mut Option<Pixels>, &Arc<Frame>)| result.take().unwrap_or_else(|| on_cpu(frame, specs));
        if results.iter().filter(|result| result.is_none()).count() < 2 {
            return results.iter_mut().zip(frames).map(cpu).collect();
        }
        results.par_iter_mut().zip(frames).map(cpu).collect()
    }
}

/// Which pictures go to the device together, and which are too large for it.
pub fn split(gpu: &Gpu, frames: &[Arc<Frame>], specs: &[PreprocessSpec]) -> gpu::Split {
    let cost = |frame: &Arc<Frame>| {
        let (width, height) = (frame.width(), frame.height());
        let pixels = gpu::Cost { pixels: gpu::ResidentImage::words(width, height), ..gpu::Cost::default() };
        specs.iter().map(|spec| preprocess::cost(spec, width, height)).sum::<gpu::Cost>() + hashing::cost(width, height) + pixels
    };
    gpu::split(&gpu.limits(), &frames.iter().map(cost).collect::<Vec<_>>())
}

/// One upload, all stages of all specs and of the hash, one download.
///
/// # Errors
/// [`GpuError::DoesNotFit`] for more than [`split`] puts together; whatever befalls the device.
pub fn on_gpu(gpu: &Gpu, frames: &[&Arc<Frame>], specs: &[PreprocessSpec]) -> Result<Vec<Pixels>, GpuError> {
    let started = Instant::now();
    let mut recording = Recording::new(gpu.limits());
    let images = frames.iter().map(|frame| recording.upload(frame)).collect::<Result<Vec<_>, _>>()?;
    let pending = specs.iter().map(|spec| preprocess::record(&mut recording, spec, &images)).collect::<Result<Vec<_>, _>>()?;
    let hashes = hashing::record(&mut recording, &images)?;
    let finished = gpu.run(&recording)?;
    let mut tensors: Vec<_> = pending.iter().map(|pending| preprocess::read(&finished, pending).into_iter()).collect();
    let pictures: Vec<&Frame> = frames.iter().map(|frame| &***frame).collect();
    let hashes = hashing::read(&finished, &hashes, &pictures);
    observe(&finished);
    let (took, kernels) = (started.elapsed(), gpu.adapter().timestamps.then(|| finished.kernels()));
    let device = Some(DeviceTime { upload: finished.upload, kernels });
    let pixels = |hash| Pixels { tensors: tensors.iter_mut().filter_map(Iterator::next).collect(), hash, backend: "gpu", took, device };
    Ok(hashes.into_iter().map(pixels).collect())
}

/// What the device's clock said, into the histogram.
fn observe(finished: &Finished) {
    for (stage, took) in &finished.stages {
        metrics::histogram!(metric::GPU_STAGE_SECONDS, "stage" => stage.name()).record(took.as_secs_f64());
    }
}

/// The CPU path, on the calling thread.
pub fn on_cpu<'a>(frame: &Frame, specs: impl IntoIterator<Item = &'a PreprocessSpec>) -> Pixels {
    let _span = tracing::trace_span!("pixels").entered();
    let started = Instant::now();
    let tensors = specs.into_iter().map(|spec| preprocess::preprocess_cpu(spec, frame)).collect();
    let hash = hashing::pdq_cpu(frame);
    Pixels { tensors, hash, backend: "cpu", took: started.elapsed(), device: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_the_processor_where_there_is_no_adapter_and_gpu_says_what_is_missing() {
        let nowhere = || GpuOptions { adapter: Some("no such device".to_owned()), ..GpuOptions::default() };
        let (processor, note) = PixelProcessor::open(Wanted::Auto, nowhere()).unwrap();
        assert_eq!((processor.name(), processor.trouble()), ("cpu", None));
        assert!(note.is_some_and(|note| note.contains("no usable graphics adapter")));
        assert!(matches!(PixelProcessor::open(Wanted::Gpu, nowhere()), Err(GpuError::NoAdapter { .. })));
    }

    #[test]
    fn an_adapter_that_hangs_while_it_is_opened_is_given_up() {
        let hanging = || GpuOptions { open_timeout: Duration::ZERO, ..GpuOptions::default() };
        let (processor, note) = PixelProcessor::open(Wanted::Auto, hanging()).unwrap();
        assert_eq!(processor.name(), "cpu");
        assert!(note.is_some_and(|note| note.contains("did not finish within")));
        assert!(matches!(PixelProcessor::open(Wanted::Gpu, hanging()), Err(GpuError::Timeout { .. })));
    }
}
