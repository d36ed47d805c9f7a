//! Where pixels are worked on: on the thread that decoded the picture, or behind one queue for the GPU.
//!
//! Callers say how many of the engine's specs a picture needs, counted from the first: what only some banks ask for stands last and is left out for the others.

use std::sync::Arc;

use super::{PixelProcessor, Pixels, on_cpu};
use crate::{
    domain::{frame::Frame, preprocess::PreprocessSpec},
    engines::batch::{BatchError, BatchOptions, Batcher, Work},
};

/// A [`PixelProcessor`] with as many threads as suit it.
pub enum PixelEngine {
    /// By whoever decodes: no queue of its own.
    Cpu(Arc<[PreprocessSpec]>),
    /// Two threads in front of the device: batches form while it works, and one batch's pixels are written while it works on another's.
    Gpu(Batcher<(Arc<Frame>, usize), Pixels>),
}

impl PixelEngine {
    /// Starts the threads in front of the GPU, if `processor` is one.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(processor: Arc<PixelProcessor>, specs: &Arc<[PreprocessSpec]>, options: BatchOptions) -> std::io::Result<Self> {
        if let PixelProcessor::Cpu = *processor {
            return Ok(Self::Cpu(specs.clone()));
        }
        let work = || -> Work<(Arc<Frame>, usize), Pixels> {
            let (processor, specs) = (processor.clone(), specs.clone());
            Box::new(move |items| {
                // What one picture of a batch needs is made for all of it: one recording, one download.
                let most = items.iter().map(|(_, first)| *first).max().unwrap_or(0).min(specs.len());
                let (frames, first): (Vec<_>, Vec<_>) = items.into_iter().unzip();
                let mut looked = processor.look(&frames, &specs[..most]);
                looked.iter_mut().zip(first).for_each(|(pixels, first)| pixels.tensors.truncate(first));
                looked
            })
        };
        Batcher::spawn("gpu", options, vec![work(), work()]).map(Self::Gpu)
    }

    /// On the thread that decoded the picture: what the CPU path makes of it for the first so many specs, or the frame again, which is to wait for the GPU.
    pub fn at_once(&self, frame: Frame, first: usize) -> Result<Pixels, Frame> {
        match self {
            Self::Cpu(specs) => Ok(on_cpu(&frame, &specs[..first.min(specs.len())])),
            Self::Gpu(_) => Err(frame),
        }
    }

    /// Hash and the first so many tensors of one picture that waits for the GPU.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub async fn run(&self, frame: Frame, first: usize) -> Result<Pixels, BatchError> {
        match self {
            Self::Gpu(queue) => queue.submit((Arc::new(frame), first)).await,
            Self::Cpu(specs) => Ok(on_cpu(&frame, &specs[..first.min(specs.len())])),
        }
    }

    /// The same with all specs, for a thread that has nothing else to do.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub fn run_blocking(&self, frame: Arc<Frame>) -> Result<Pixels, BatchError> {
        match self {
            Self::Gpu(queue) => queue.submit_blocking((frame, usize::MAX)),
            Self::Cpu(specs) => Ok(on_cpu(&frame, specs)),
        }
    }
}
