//! Where pixels are worked on: on the thread that decoded the picture, or behind one queue for the GPU.

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
    Gpu(Batcher<Arc<Frame>, Pixels>),
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
        let work = || -> Work<Arc<Frame>, Pixels> {
            let (processor, specs) = (processor.clone(), specs.clone());
            Box::new(move |frames| processor.look(&frames, &specs))
        };
        Batcher::spawn("gpu", options, vec![work(), work()]).map(Self::Gpu)
    }

    /// On the thread that decoded the picture: what the CPU path makes of it, or the frame again, which is to wait for the GPU.
    pub fn at_once(&self, frame: Frame) -> Result<Pixels, Frame> {
        match self {
            Self::Cpu(specs) => Ok(on_cpu(&frame, specs)),
            Self::Gpu(_) => Err(frame),
        }
    }

    /// Tensors and hash of one picture that waits for the GPU.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub async fn run(&self, frame: Frame) -> Result<Pixels, BatchError> {
        match self {
            Self::Gpu(queue) => queue.submit(Arc::new(frame)).await,
            Self::Cpu(specs) => Ok(on_cpu(&frame, specs)),
        }
    }

    /// The same for a thread that has nothing else to do.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub fn run_blocking(&self, frame: Arc<Frame>) -> Result<Pixels, BatchError> {
        match self {
            Self::Gpu(queue) => queue.submit_blocking(frame),
            Self::Cpu(specs) => Ok(on_cpu(&frame, specs)),
        }
    }
}
