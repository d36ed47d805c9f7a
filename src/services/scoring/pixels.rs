//! The pixels' stage of the way: pictures wait in one queue for the GPU, or go through the lane on the CPU.

use std::sync::Arc;

use super::{ScoreError, timings::Timings};
use crate::{
    domain::{frame::Frame, preprocess::PreprocessSpec},
    engines::batch::{BatchOptions, Batcher, Lane, Work},
    services::pixels::{PixelProcessor, Pixels},
};

/// Where pixels are worked on.
pub(super) enum PixelEngine {
    /// In the lane of whoever decodes: no queue of its own.
    Cpu(Arc<PixelProcessor>),
    /// One thread in front of the device, so that batches form while it works.
    Gpu(Batcher<Arc<Frame>, Pixels>),
}

impl PixelEngine {
    /// Starts the thread in front of the GPU, if `processor` is one.
    pub(super) fn start(processor: Arc<PixelProcessor>, specs: &Arc<[PreprocessSpec]>, options: BatchOptions) -> std::io::Result<Self> {
        if let PixelProcessor::Cpu = *processor {
            return Ok(Self::Cpu(processor));
        }
        let specs = specs.clone();
        let work: Work<Arc<Frame>, Pixels> = Box::new(move |frames| processor.look(&frames, &specs));
        Batcher::spawn("gpu", options, vec![work]).map(Self::Gpu)
    }

    /// Tensors and hash of one picture.
    pub(super) async fn run(
        &self,
        lane: &Lane,
        frame: Frame,
        specs: &Arc<[PreprocessSpec]>,
        timings: &mut Timings,
    ) -> Result<Pixels, ScoreError> {
        let frame = Arc::new(frame);
        let pixels = match self {
            Self::Gpu(queue) => queue.submit(frame).await?,
            Self::Cpu(processor) => {
                let (processor, specs) = (processor.clone(), specs.clone());
                lane.run(move || processor.look(std::slice::from_ref(&frame), &specs).pop()).await?.ok_or_else(|| {
                    // One picture in, one result out.
                    ScoreError::Internal("no result for a picture".to_owned())
                })?
            }
        };
        timings.add(pixels.backend, pixels.took);
        Ok(pixels)
    }
}
