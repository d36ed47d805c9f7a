//! The way of an image: decode and digests, then all pixels' stages over one upload, then banks and models.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tracing::trace_span;

use super::{
    ScoreError,
    models::{CallPoints, ImageModel, ModelFailure},
    timings::{Timings, timed},
};
use crate::{
    domain::{
        attachment::{AttachmentFacts, AttachmentKind, MediaType},
        evidence::{Evidence, Unscored, UnscoredReason},
        frame::Frame,
        hash::{Digests, Quality},
        preprocess::OutputTooLarge,
        score::Technology,
        signal::{Signal, SignalType},
    },
    engines::{
        batch::Lane,
        hashing::{self, HashError},
        matching::{Found, Lookup, Snapshot},
        media::{self, DecodeError, Decoder},
    },
    services::{
        embedders::{EmbedError, Embedders},
        pixels::{PixelEngine, Pixels},
    },
};

const PDQ: Technology = Technology::named(SignalType::Pdq.as_str());

/// Slices of one attachment's search that wait or run at the same time: a few threads for one, and the queue (batching.queue) still holds those of
/// as many attachments as the server admits (server.permits).
const SLICES_AT_ONCE: usize = 4;

/// Everything that images need.
pub(super) struct ImageWay {
    /// Decoding, digests and the pixels' stages of the CPU path.
    pub lane: Arc<Lane>,
    /// Searches in the banks: beside decoding, so that neither waits for the other, and in slices, so that a long search waits between them.
    pub matching: Arc<Lane>,
    pub decoder: Decoder,
    /// With what each of `models` wants, in their order, then each of `embedders`.
    pub pixels: PixelEngine,
    pub models: Vec<ImageModel>,
    /// Run for banks that hold their signals.
    pub embedders: Arc<Embedders>,
    /// What is said of every picture, for models that were refused.
    pub refused: Vec<Unscored>,
    /// Below this PDQ quality an attachment counts as not looked at.
    pub minimum_quality: Quality,
}

/// What the bytes alone gave.
struct Opened {
    media_type: MediaType,
    digests: Digests,
    decoded: Result<Decoded, DecodeError>,
    /// After EXIF orientation; also known of a damaged picture whose header could be read and is within the limits.
    size: Option<(u32, u32)>,
}

/// A decoded picture. On the CPU path its pixels are worked on at once by the thread that decoded it, so that no more frames are alive than
/// there are threads.
enum Decoded {
    Frame(Frame),
    Pixels(Box<Pixels>),
}

impl ImageWay {
    /// Everything all technologies say of the image.
    pub(super) async fn look(
        self: &Arc<Self>,
        bytes: Bytes,
        banks: Arc<Snapshot>,
        points: &CallPoints,
        timings: &mut Timings,
    ) -> Result<(AttachmentFacts, Evidence), ScoreError> {
        let length = bytes.len() as u64;
        let opened = self.open(bytes, banks.clone(), timings).await?;
        let facts = AttachmentFacts {
            kind: AttachmentKind::Image,
            media_type: opened.media_type.as_str().to_owned(),
            bytes: length,
            width: opened.size.map(|(width, _)| width),
            height: opened.size.map(|(_, height)| height),
            messages: None,
            sha256: hex::encode(opened.digests.sha256),
        };
        let mut evidence = Evidence { unscored: self.refused.clone(), ..Evidence::default() };
        evidence.unscored.extend(self.embedders.refused(&banks));
        match opened.decoded {
            Err(error) => {
                evidence.unscored.extend(self.all_unscored(&error, &banks));
                let found = self.find(banks, Lookup { digests: Some(opened.digests), ..Lookup::default() }).await?;
                found.put(&mut evidence, timings);
            }
            Ok(decoded) => {
                let pixels = match decoded {
                    Decoded::Pixels(pixels) => *pixels,
                    Decoded::Frame(frame) => self.pixels.run(frame, self.specs_for(&banks)).await?,
                };
                timings.add(pixels.backend, pixels.took);
                if let Some(device) = pixels.device {
                    timings.add("gpu_upload", device.upload);
                    device.kernels.into_iter().for_each(|took| timings.add("gpu_kernels", took));
                }
                self.judge(pixels, opened.digests, (banks, points), &mut evidence, timings).await?;
            }
        }
        Ok((facts, evidence))
    }

    /// Sniffs, digests (those that some bank holds) and decodes in the lane.
    async fn open(self: &Arc<Self>, bytes: Bytes, banks: Arc<Snapshot>, timings: &mut Timings) -> Result<Opened, ScoreError> {
        let media_type = media::sniff(&bytes).ok_or(ScoreError::UnsupportedType)?;
        let (way, queued) = (self.clone(), Instant::now());
        let (opened, waited, digest, decode) = self
            .lane
            .run(move || {
                let waited = queued.elapsed();
                let (digests, digest) = timed(trace_span!("digest"), || {
                    hashing::digests::digests(&bytes, banks.holds(SignalType::Md5), banks.holds(SignalType::Sha1))
                });
                let (frame, decode) = timed(trace_span!("decode"), || way.decoder.decode(&bytes).map(|(_, frame)| frame));
                let size = match &frame {
                    Ok(frame) => Some((frame.width(), frame.height())),
                    Err(_) => way.decoder.header(&bytes).ok().map(|header| (header.width, header.height)),
                };
                let decoded = frame.map(|frame| match way.pixels.at_once(frame, way.specs_for(&banks)) {
                    Ok(pixels) => Decoded::Pixels(Box::new(pixels)),
                    Err(frame) => Decoded::Frame(frame),
                });
                (Opened { media_type, digests, decoded, size }, waited, digest, decode)
            })
            .await?;
        timings.add("queue", waited);
        timings.add("digest", digest);
        timings.add("decode", decode);
        Ok(opened)
    }

    /// Banks (which may wait for the embedders) and all models at once.
    async fn judge(
        self: &Arc<Self>,
        pixels: Pixels,
        digests: Digests,
        (banks, points): (Arc<Snapshot>, &CallPoints),
        evidence: &mut Evidence,
        timings: &mut Timings,
    ) -> Result<(), ScoreError> {
        let hash = match pixels.hash {
            Ok(hash) => {
                let minimum = banks.pdq_minimum_quality().unwrap_or(self.minimum_quality);
                if hash.quality < minimum {
                    evidence.unscored.push(Unscored {
                        technology: PDQ,
                        reason: UnscoredReason::QualityBelowMinimum,
                        detail: format!("quality {} is below {}: too little detail to match", hash.quality.get(), minimum.get()),
                    });
                }
                Some(hash)
            }
            Err(error) => {
                evidence.unscored.push(Unscored { technology: PDQ, reason: hash_reason(&error), detail: error.to_string() });
                None
            }
        };
        let mut tensors = pixels.tensors.into_iter();
        let of_models: Vec<_> = tensors.by_ref().take(self.models.len()).collect();
        let classify = async {
            let started = Instant::now();
            let runs = self.models.iter().zip(of_models);
            let runs = runs.map(|(model, tensor)| async { Ok::<_, OutputTooLarge>(model.run(tensor?, points).await) });
            (futures_util::future::join_all(runs).await, started.elapsed())
        };
        let search = async {
            let started = Instant::now();
            // There is a tensor for every embedder, or for none.
            let held = self.embedders.kinds_held(&banks);
            let kinds = self.embedders.kinds();
            let wanted = kinds.iter().zip(tensors).filter(|(kind, _)| held.contains(kind));
            let wanted: Vec<_> = wanted.map(|(_, tensor)| tensor).collect();
            let embedded = self.embedders.run(&held, wanted).await;
            let took = (!held.is_empty()).then(|| started.elapsed());
            let (signals, failed) = of_embedders(embedded)?;
            let found = self.find(banks, Lookup { digests: Some(digests), hash, signals, ..Lookup::default() }).await?;
            Ok::<_, ScoreError>((found, failed, took))
        };
        let ((results, classified), searched) = futures_util::future::join(classify, search).await;
        let (found, failed, embedded) = searched?;
        found.put(evidence, timings);
        evidence.unscored.extend(failed);
        for (model, result) in self.models.iter().zip(results) {
            let unscored = |reason, detail| Unscored { technology: model.technology.clone(), reason, detail };
            match result {
                Ok(Ok(scores)) => evidence.scores.extend(scores),
                Ok(Err(ModelFailure::Overloaded)) => return Err(ScoreError::overloaded()),
                Ok(Err(ModelFailure::Failed(detail))) => evidence.unscored.push(unscored(UnscoredReason::TechnologyFailed, detail)),
                Err(error) => evidence.unscored.push(unscored(UnscoredReason::MediaTooLarge, error.to_string())),
            }
        }
        embedded.into_iter().for_each(|took| timings.add("embed", took));
        timings.add("classify", classified);
        Ok(())
    }

    /// How many of the engine's specs an attachment needs: those of the embedders only where a bank holds what they make.
    fn specs_for(&self, banks: &Snapshot) -> usize {
        if self.embedders.kinds_held(banks).is_empty() { self.models.len() } else { usize::MAX }
    }

    /// What the banks hold of the attachment.
    async fn find(&self, banks: Arc<Snapshot>, lookup: Lookup) -> Result<Searched, ScoreError> {
        if banks.banks().is_empty() {
            return Ok(Searched::default());
        }
        let lookup = Arc::new(lookup);
        let looks = banks.slices(&lookup).into_iter().map(|slice| {
            let (banks, lookup) = (banks.clone(), lookup.clone());
            self.matching.run(move || timed(trace_span!("match"), || banks.look(&slice, &lookup)))
        });
        let mut looks = stream::iter(looks).buffer_unordered(SLICES_AT_ONCE);
        let (mut found, mut took) = (Vec::new(), Vec::new());
        while let Some(look) = looks.next().await {
            let (matches, time) = look?;
            found.extend(matches);
            took.push(time);
        }
        Ok(Searched { found: banks.together(&lookup, found), took })
    }

    /// One entry for every technology that looks at pixels.
    fn all_unscored(&self, error: &DecodeError, banks: &Snapshot) -> Vec<Unscored> {
        let reason = match error {
            DecodeError::TooLarge { .. } | DecodeError::TooManyBytes { .. } => UnscoredReason::MediaTooLarge,
            _ => UnscoredReason::UndecodableMedia,
        };
        let embedders = self.embedders.kinds_held(banks).into_iter().map(|kind| Technology::named(kind.as_str()));
        let technologies = std::iter::once(PDQ).chain(embedders).chain(self.models.iter().map(|model| model.technology.clone()));
        technologies.map(|technology| Unscored { technology, reason, detail: error.to_string() }).collect()
    }
}

/// What the banks hold, and how long each slice of the search took.
#[derive(Default)]
struct Searched {
    found: Found,
    took: Vec<Duration>,
}

impl Searched {
    fn put(self, evidence: &mut Evidence, timings: &mut Timings) {
        self.took.into_iter().for_each(|took| timings.add("match", took));
        (evidence.matches, evidence.suppressed) = (self.found.matches, self.found.suppressed);
    }
}

/// Signals to look up, and the embedders that gave none.
fn of_embedders(embedded: Vec<(SignalType, Result<Signal, EmbedError>)>) -> Result<(Vec<Signal>, Vec<Unscored>), ScoreError> {
    let (mut signals, mut failed) = (Vec::new(), Vec::new());
    for (kind, result) in embedded {
        let reason = match &result {
            Err(EmbedError::Overloaded) => return Err(ScoreError::overloaded()),
            Err(EmbedError::TooLarge(_)) => UnscoredReason::MediaTooLarge,
            _ => UnscoredReason::TechnologyFailed,
        };
        match result {
            Ok(signal) => signals.push(signal),
            Err(error) => failed.push(Unscored { technology: Technology::named(kind.as_str()), reason, detail: error.to_string() }),
        }
    }
    Ok((signals, failed))
}

fn hash_reason(error: &HashError) -> UnscoredReason {
    match error {
        HashError::TooSmall { .. } => UnscoredReason::MediaTooSmall,
    }
}
