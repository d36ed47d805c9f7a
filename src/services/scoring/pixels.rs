//! Where the pixels' stage of the way runs: on the thread that decoded the picture, or behind one queue for the GPU.

use std::sync::Arc;

use super::ScoreError;
use crate::{
    domain::{frame::Frame, preprocess::PreprocessSpec},
    engines::batch::{BatchOptions, Batcher, Work},
    services::pixels::{PixelProcessor, Pixels},
};

/// Where pixels are worked on.
pub(super) enum PixelEngine {
    /// By whoever decodes: no queue of its own.
    Cpu,
    /// Two threads in front of the device: batches form while it works, and one batch's pixels are written while it works on another's.
    Gpu(Batcher<Arc<Frame>, Pixels>),
}

impl PixelEngine {
    /// Starts the threads in front of the GPU, if `processor` is one.
    pub(super) fn start(processor: Arc<PixelProcessor>, specs: &Arc<[PreprocessSpec]>, options: BatchOptions) -> std::io::Result<Self> {
        if let PixelProcessor::Cpu = *processor {
            return Ok(Self::Cpu);
        }
        let work = || -> Work<Arc<Frame>, Pixels> {
            let (processor, specs) = (processor.clone(), specs.clone());
            Box::new(move |frames| processor.look(&frames, &specs))
        };
        Batcher::spawn("gpu", options, vec![work(), work()]).map(Self::Gpu)
    }

    /// Tensors and hash of one picture that waits for the GPU.
    pub(super) async fn run(&self, frame: Frame) -> Result<Pixels, ScoreError> {
        match self {
            Self::Gpu(queue) => Ok(queue.submit(Arc::new(frame)).await?),
            Self::Cpu => Err(ScoreError::Internal("a frame went to the GPU's queue on the CPU path".to_owned())),
        }
    }
}
