//! Bytes to digests, hashes and tensors, on the threads that everything which looks at pictures shares.
//!
//! On the CPU path the pixels are worked on at once by the thread that decoded them, and so are those of every further view of a sequence, so that a file has one frame alive at a time,
//! whose memory the lane counts (`pace::hold`). The only view of a still goes to the GPU's queue without holding a thread, and its memory counts until it comes back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tracing::trace_span;

use super::{
    embedders::Embedders,
    lanes::{Lanes, shared},
    pixels::{Needs, PixelEngine, PixelProcessor, Prepared, Specs},
    spread::Spread,
    timings::{Timings, timed},
    viewer::{Sequence, View, Viewer},
};
use crate::{
    config::Config,
    domain::{
        clip::Look,
        frame::Frame,
        hash::Digests,
        pace::{self, Held},
    },
    engines::{
        batch::{BatchError, BatchOptions, Cores, Lane},
        hashing::digests::Digester,
        media::DecodeError,
    },
    services::StartError,
};

/// What makes hashes and tensors of files. One for a process.
pub struct Pictures {
    lanes: Lanes,
    viewer: Viewer,
    engine: PixelEngine,
    embedders: Arc<Embedders>,
}

/// What somebody wants of some bytes, beside their SHA-256.
#[derive(Clone, Debug)]
pub(in crate::services) struct Want {
    pub md5: bool,
    pub sha1: bool,
    /// The pixels' hashes, and the tensors of these models for the frames that models see; `None` leaves the pixels alone.
    pub pixels: Option<Needs>,
}

/// What the bytes gave.
pub(in crate::services) struct Opened {
    pub digests: Digests,
    /// `None` when nobody wanted the pixels.
    pub seen: Option<Result<Seen, DecodeError>>,
}

/// What a file looks like.
pub(in crate::services) struct Seen {
    pub sequence: Sequence,
    /// At least one, in order.
    pub views: Vec<SeenView>,
    /// Distinct frames whose views have tensors.
    pub for_models: u32,
}

/// One distinct view, worked on.
pub(in crate::services) struct SeenView {
    pub look: Look,
    /// Whether it has the tensors that were wanted.
    pub for_models: bool,
    pub prepared: Prepared,
}

/// A view under work.
struct Working {
    look: Look,
    distinct: u32,
    state: State,
}

enum State {
    Prepared(Box<Prepared>),
    /// The only one, which is to wait for the GPU, and its memory.
    Waiting(Frame, Held),
}

/// Where nobody waits for them any more, the digests of some of the bytes.
fn digest(bytes: &[u8], want: &Want) -> Digests {
    let mut digester = Digester::new(want.md5, want.sha1);
    pace::pieces(bytes).for_each(|piece| digester.update(piece));
    digester.finish()
}

impl Pictures {
    /// With these threads and embedders; `models` says what others want of pictures.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(in crate::services) fn start(
        config: &Config,
        cores: &Cores,
        processor: Arc<PixelProcessor>,
        models: Specs,
        embedders: Arc<Embedders>,
    ) -> Result<Arc<Self>, StartError> {
        let specs: Specs = models.iter().cloned().chain(embedders.specs()).collect();
        let batches = BatchOptions {
            max_batch: config.batching.max_images,
            max_wait: Duration::from_micros(config.batching.max_wait_us),
            queue: config.batching.queue,
        };
        Ok(Arc::new(Self {
            lanes: Lanes::start(config, cores)?,
            viewer: Viewer::new(config, config.engine.pixel_pool_bytes),
            engine: PixelEngine::start(processor, specs, batches)?,
            embedders,
        }))
    }

    /// Hashes alone, on the CPU: without any model.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn hashing(config: &Config) -> Result<Arc<Self>, StartError> {
        Self::start(config, &shared(config), Arc::new(PixelProcessor::Cpu), [].into(), Arc::default())
    }

    pub(in crate::services) const fn embedders(&self) -> &Arc<Embedders> {
        &self.embedders
    }

    /// The threads that search the banks.
    pub(in crate::services) const fn matching(&self) -> &Lane {
        &self.lanes.matching
    }

    /// The threads that read long bodies.
    pub(in crate::services) const fn reading(&self) -> &Lane {
        &self.lanes.reading
    }

    pub(in crate::services) const fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    /// Digests, and what the views give; stops between two views once `deadline` has passed.
    ///
    /// # Errors
    /// When the threads are busy. What is wrong with the file stands in [`Opened`].
    pub(in crate::services) async fn open(
        self: &Arc<Self>,
        bytes: Bytes,
        want: Want,
        deadline: Instant,
        timings: &mut Timings,
    ) -> Result<Opened, BatchError> {
        let (this, queued) = (self.clone(), Instant::now());
        let needs = want.pixels.clone().unwrap_or_default();
        let work = move || {
            let waited = queued.elapsed();
            let (digests, digest) = timed(trace_span!("digest"), || digest(&bytes, &want));
            let looked = want.pixels.map(|needs| this.look_at(&bytes, &needs, deadline));
            (digests, looked, waited, digest)
        };
        let (digests, looked, waited, digest) = self.lanes.decode.run(work).await?;
        timings.add("queue", waited);
        timings.add("digest", digest);
        let seen = match looked {
            None => None,
            Some((result, decode)) => {
                timings.add("decode", decode);
                Some(match result {
                    Err(DecodeError::Busy { .. }) => return Err(BatchError::Full),
                    Ok((sequence, working, spread)) => Ok(self.finish(sequence, working, spread, &needs).await?),
                    Err(error) => Err(error),
                })
            }
        };
        if let Some(Ok(seen)) = &seen {
            for SeenView { prepared, .. } in &seen.views {
                timings.add(prepared.backend, prepared.took);
                if let Some(device) = prepared.device {
                    timings.add("gpu_upload", device.upload);
                    device.kernels.into_iter().for_each(|took| timings.add("gpu_kernels", took));
                }
            }
        }
        Ok(Opened { digests, seen })
    }

    /// Every view, worked on where that does not need to wait; and the time that was spent on decoding.
    #[expect(clippy::type_complexity, reason = "what the other half takes apart at once")]
    fn look_at(&self, bytes: &[u8], needs: &Needs, deadline: Instant) -> (Result<(Sequence, Vec<Working>, Spread), DecodeError>, Duration) {
        let span = trace_span!("decode").entered();
        let started = Instant::now();
        let mut worked = Duration::ZERO;
        let (mut spread, mut views, mut with_tensors) = (Spread::default(), Vec::<Working>::new(), Vec::<usize>::new());
        let hash_only = Needs::default();
        let sequence = self.viewer.views(bytes, deadline, |View { look, frame, distinct, only }| {
            let from = Instant::now();
            let wanted = spread.wants(distinct);
            if wanted {
                with_tensors.retain(|&at| {
                    let kept = spread.keeps(views[at].distinct);
                    if !kept && let State::Prepared(prepared) = &mut views[at].state {
                        prepared.forget_tensors();
                    }
                    kept
                });
                with_tensors.push(views.len());
            }
            let needs = if wanted { needs } else { &hash_only };
            let state = match self.engine.at_once(frame, needs) {
                Ok(prepared) => State::Prepared(Box::new(prepared)),
                Err(frame) if only => {
                    let held = pace::keep(frame.pixels().len() as u64);
                    State::Waiting(frame, held)
                }
                Err(frame) => State::Prepared(Box::new(pace::aside(|| self.engine.run_blocking(&Arc::new(frame), needs)))),
            };
            views.push(Working { look, distinct, state });
            worked += from.elapsed();
        });
        drop(span);
        (sequence.map(|sequence| (sequence, views, spread)), started.elapsed().saturating_sub(worked))
    }

    async fn finish(&self, sequence: Sequence, working: Vec<Working>, spread: Spread, needs: &Needs) -> Result<Seen, BatchError> {
        let chosen = spread.chosen();
        let mut views = Vec::with_capacity(working.len());
        for Working { look, distinct, state } in working {
            let for_models = chosen.binary_search(&distinct).is_ok();
            let mut prepared = match state {
                State::Prepared(prepared) => *prepared,
                State::Waiting(frame, held) => {
                    let prepared = self.engine.run(frame, needs).await?;
                    drop(held);
                    prepared
                }
            };
            if !for_models {
                prepared.forget_tensors();
            }
            views.push(SeenView { look, for_models, prepared });
        }
        Ok(Seen { sequence, views, for_models: chosen.len() as u32 })
    }
}
