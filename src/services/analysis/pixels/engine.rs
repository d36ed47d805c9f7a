//! Where pixels are worked on: on the thread that decoded the picture, or behind one queue for the GPU.
//!
//! An engine knows what every model wants of a picture, by the model's technology; a caller says of which technologies it needs the tensors, and gets them by the same names.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{DeviceTime, PixelProcessor, Pixels, on_cpu};
use crate::{
    domain::{
        frame::Frame,
        hash::PerceptualHash,
        preprocess::{OutputTooLarge, PreprocessSpec},
        tensor::Tensor,
    },
    engines::{
        batch::{BatchError, BatchOptions, Batcher, Cores, Work},
        hashing::HashError,
    },
};

/// A model's name: that of its folder.
pub type ModelName = Arc<str>;

/// The models whose tensors a picture needs; cloning is cheap.
pub type Needs = Arc<BTreeSet<ModelName>>;

/// What models want of pictures, each once.
pub type Specs = Arc<[(ModelName, PreprocessSpec)]>;

/// What one picture's pixels gave: the hash, and the tensors that were needed.
#[derive(Clone, Debug)]
pub struct Prepared {
    tensors: Vec<(ModelName, Result<Tensor, OutputTooLarge>)>,
    pub hash: Result<PerceptualHash, HashError>,
    /// `gpu` or `cpu`: what did the work.
    pub backend: &'static str,
    /// From upload to download for the batch the picture was in.
    pub took: Duration,
    /// What the GPU said of that time.
    pub device: Option<DeviceTime>,
}

impl Prepared {
    /// The tensor for a model; `None` when it was not needed, or taken already.
    pub fn take(&mut self, model: &str) -> Option<Result<Tensor, OutputTooLarge>> {
        let at = self.tensors.iter().position(|(name, _)| **name == *model)?;
        Some(self.tensors.swap_remove(at).1)
    }

    /// Gives the tensors' memory back.
    pub fn forget_tensors(&mut self) {
        self.tensors = Vec::new();
    }

    fn new(pixels: Pixels, made: &[&(ModelName, PreprocessSpec)], needs: &BTreeSet<ModelName>) -> Self {
        let Pixels { tensors, hash, backend, took, device } = pixels;
        let named = made.iter().map(|(name, _)| name.clone()).zip(tensors);
        Self { tensors: named.filter(|(name, _)| needs.contains(name)).collect(), hash, backend, took, device }
    }
}

/// A [`PixelProcessor`] with as many threads as suit it.
pub struct PixelEngine {
    specs: Specs,
    /// Two threads in front of the GPU: batches form while it works, and one batch's pixels are written while it works on another's. The CPU path needs no queue of its own:
    /// whoever decodes goes on.
    queue: Option<Batcher<(Arc<Frame>, Needs), Prepared>>,
}

impl PixelEngine {
    /// Starts the threads in front of the GPU, if `processor` is one.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(processor: Arc<PixelProcessor>, specs: Specs, options: BatchOptions) -> std::io::Result<Self> {
        if let PixelProcessor::Cpu = *processor {
            return Ok(Self { specs, queue: None });
        }
        let work = || -> Work<(Arc<Frame>, Needs), Prepared> {
            let (processor, specs) = (processor.clone(), specs.clone());
            Box::new(move |items| {
                // What one picture of a batch needs is made for all of it: one recording, one download.
                let made: Vec<_> = specs.iter().filter(|(name, _)| items.iter().any(|(_, needs)| needs.contains(name))).collect();
                let (frames, needs): (Vec<_>, Vec<_>) = items.into_iter().unzip();
                let wanted: Vec<PreprocessSpec> = made.iter().map(|(_, spec)| spec.clone()).collect();
                let looked = processor.look(&frames, &wanted);
                looked.into_iter().zip(needs).map(|(pixels, needs)| Prepared::new(pixels, &made, &needs)).collect()
            })
        };
        // They wait for the device, and keep no core busy.
        let queue = Some(Batcher::spawn(&Cores::new(2), "gpu", options, vec![work(), work()])?);
        Ok(Self { specs, queue })
    }

    /// On the thread that decoded the picture: what the CPU path makes of it, or the frame again, which is to wait for the GPU.
    pub fn at_once(&self, frame: Frame, needs: &Needs) -> Result<Prepared, Frame> {
        if self.queue.is_some() { Err(frame) } else { Ok(self.on_cpu(&frame, needs)) }
    }

    /// Hash and tensors of one picture that waits for the GPU.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub async fn run(&self, frame: Frame, needs: &Needs) -> Result<Prepared, BatchError> {
        match &self.queue {
            Some(queue) => queue.submit((Arc::new(frame), needs.clone())).await,
            None => Ok(self.on_cpu(&frame, needs)),
        }
    }

    /// The same for a thread that has nothing else to do. A picture for which the queue has no room is the CPU's work.
    pub fn run_blocking(&self, frame: &Arc<Frame>, needs: &Needs) -> Prepared {
        let queued = self.queue.as_ref().and_then(|queue| queue.submit_blocking((frame.clone(), needs.clone())).ok());
        queued.unwrap_or_else(|| self.on_cpu(frame, needs))
    }

    fn on_cpu(&self, frame: &Frame, needs: &Needs) -> Prepared {
        let made: Vec<_> = self.specs.iter().filter(|(name, _)| needs.contains(name)).collect();
        Prepared::new(on_cpu(frame, made.iter().map(|(_, spec)| spec)), &made, needs)
    }
}
