//! The way of bytes that may be media: digests and views, then banks and models.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{
    AnalysisError,
    embedders::EmbedError,
    models::{CallPoints, ImageModel, ModelFailure},
    pictures::{Opened, Pictures, Seen, SeenView, Want},
    pixels::Needs,
    search::search,
    spread::MOST_FRAMES,
    timings::Timings,
    viewer::reason_of,
};
use crate::{
    domain::{
        clip::Look,
        evidence::{Evidence, Unscored, UnscoredReason},
        hash::{Digests, Quality},
        preprocess::OutputTooLarge,
        score::{Score, Technology},
        signal::{Signal, SignalType},
        tensor::Tensor,
    },
    engines::{
        hashing::HashError,
        matching::{Lookup, Snapshot},
        media::DecodeError,
    },
};

const PDQ: Technology = Technology::named(SignalType::Pdq.as_str());

/// Views of one attachment that wait for a model or run in it at the same time: a long animation leaves others their places in the queue.
const VIEWS_AT_ONCE: usize = 4;

/// Everything that media need.
pub(super) struct ImageWay {
    pub pictures: Arc<Pictures>,
    pub models: Vec<ImageModel>,
    /// What is said of all media, for models that were refused.
    pub refused: Vec<Unscored>,
    /// What `models` want of pictures.
    pub of_models: Needs,
    /// The same, and what the embedders want.
    pub of_all: Needs,
    /// Below this PDQ quality an attachment counts as not looked at.
    pub minimum_quality: Quality,
}

/// What the bytes gave.
pub(super) struct LookedAt {
    pub digests: Digests,
    /// Of pixels that could be decoded: width, height and frames.
    pub size: Option<(u32, u32)>,
    pub frames: u32,
    pub evidence: Evidence,
}

impl ImageWay {
    /// Everything all technologies say of the bytes. What is no media is looked up by its digests, and says so.
    pub(super) async fn look(
        &self,
        bytes: Bytes,
        banks: Arc<Snapshot>,
        points: &CallPoints,
        deadline: Instant,
        timings: &mut Timings,
    ) -> Result<LookedAt, AnalysisError> {
        let embedded = !self.pictures.embedders().kinds_held(&banks).is_empty();
        let needs = if embedded { &self.of_all } else { &self.of_models };
        let want = Want { pixels: Some(needs.clone()), ..of_digests(&banks) };
        let header = bytes.clone();
        let Opened { digests, seen } = self.pictures.open(bytes, want, deadline, timings).await?;
        let mut looked = LookedAt { digests, size: None, frames: 1, evidence: Evidence::default() };
        if seen.is_some() {
            looked.evidence.unscored.extend(self.refused.iter().cloned().chain(self.pictures.embedders().refused(&banks)));
        }
        match seen {
            Some(Ok(seen)) => {
                looked.size = Some((seen.sequence.width, seen.sequence.height));
                looked.frames = seen.sequence.frames;
                self.judge(seen, digests, (banks, points), &mut looked.evidence, timings).await?;
            }
            Some(Err(error)) => {
                // Also known of a damaged picture whose header could be read and is within the limits.
                looked.size = self.pictures.viewer().header(&header).ok().map(|header| (header.width, header.height));
                looked.evidence.unscored.extend(self.all_unscored(&error, &banks));
                self.search_digests(digests, banks, &mut looked.evidence, timings).await?;
            }
            None => self.search_digests(digests, banks, &mut looked.evidence, timings).await?,
        }
        Ok(looked)
    }

    /// What the banks hold of the bytes as such.
    pub(super) async fn look_at_digests(
        &self,
        bytes: Bytes,
        banks: Arc<Snapshot>,
        deadline: Instant,
        timings: &mut Timings,
    ) -> Result<(Digests, Evidence), AnalysisError> {
        let mut evidence = Evidence::default();
        let digests = self.pictures.open(bytes, of_digests(&banks), deadline, timings).await?.digests;
        self.search_digests(digests, banks, &mut evidence, timings).await?;
        Ok((digests, evidence))
    }

    async fn search_digests(
        &self,
        digests: Digests,
        banks: Arc<Snapshot>,
        evidence: &mut Evidence,
        timings: &mut Timings,
    ) -> Result<(), AnalysisError> {
        let lookup = Lookup { digests: Some(digests), ..Lookup::default() };
        search(self.pictures.matching(), &banks, vec![(Look::default(), lookup)]).await?.put(evidence, timings);
        Ok(())
    }

    /// Banks (which may wait for the embedders) and all models at once.
    async fn judge(
        &self,
        seen: Seen,
        digests: Digests,
        (banks, points): (Arc<Snapshot>, &CallPoints),
        evidence: &mut Evidence,
        timings: &mut Timings,
    ) -> Result<(), AnalysisError> {
        let Seen { sequence, mut views, for_models } = seen;
        let minimum = banks.pdq_minimum_quality().unwrap_or(self.minimum_quality);
        evidence.unscored.extend(unhashed(&views, minimum));
        let tensors: Vec<Vec<(Look, Result<Tensor, OutputTooLarge>)>> =
            self.models.iter().map(|model| tensors_of(&mut views, &model.name)).collect();
        let several = views.len() > 1;
        let classify = async {
            let started = Instant::now();
            let runs = self.models.iter().zip(tensors).map(|(model, tensors)| judge_views(model, tensors, points, several));
            (futures_util::future::join_all(runs).await, started.elapsed())
        };
        let looked_up = self.look_up(&mut views, digests, banks.clone());
        let (judged, searched) = futures_util::future::join(classify, looked_up).await;
        let (searched, failed, embedded) = searched?;
        let (judged, classified) = judged;
        searched.put(evidence, timings);
        evidence.unscored.extend(failed);
        for result in judged {
            let (scores, unscored) = result?;
            evidence.scores.extend(scores);
            evidence.unscored.extend(unscored);
        }
        if let Some(rest) = &sequence.rest {
            let technologies = self.technologies(&banks).into_iter();
            let left_out = |technology| Unscored { technology, reason: rest.reason, detail: rest.detail.clone() };
            evidence.unscored.extend(technologies.map(left_out));
        }
        if let Some(detail) = frames_left_out(for_models, sequence.distinct) {
            let not_hashes = self.technologies(&banks).into_iter().filter(|technology| *technology != PDQ);
            let left_out = |technology| Unscored { technology, reason: UnscoredReason::FramesNotLookedAt, detail: detail.clone() };
            evidence.unscored.extend(not_hashes.map(left_out));
        }
        embedded.into_iter().for_each(|took| timings.add("embed", took));
        timings.add("classify", classified);
        Ok(())
    }

    /// Embeds the views where a bank holds such vectors, and searches for all of them.
    async fn look_up(
        &self,
        views: &mut [SeenView],
        digests: Digests,
        banks: Arc<Snapshot>,
    ) -> Result<(super::search::Searched, Vec<Unscored>, Option<Duration>), AnalysisError> {
        let started = Instant::now();
        let kinds = self.pictures.embedders().kinds_held(&banks);
        let mut failed: Vec<Unscored> = Vec::new();
        let mut lookups = Vec::with_capacity(views.len());
        let mut known = HashSet::new();
        for view in views.iter_mut() {
            let hash = view.prepared.hash.clone().ok().filter(|hash| known.insert((hash.hashes, hash.quality.get())));
            let mut signals = Vec::new();
            if view.for_models && !kinds.is_empty() {
                for (kind, result) in self.pictures.embedders().run(&kinds, &mut view.prepared).await {
                    match of_embedder(kind, result)? {
                        Ok(signal) => signals.push(signal),
                        Err(unscored) if !failed.contains(&unscored) => failed.push(unscored),
                        Err(_) => {}
                    }
                }
            }
            // Of equal hashes the first view is looked up.
            if lookups.is_empty() || hash.is_some() || !signals.is_empty() {
                let digests = lookups.is_empty().then_some(digests);
                lookups.push((view.look, Lookup { digests, hash, signals, ..Lookup::default() }));
            }
        }
        // A bank that answers a share of lookups answers all views of an attachment or none.
        let draw = lookups.first().map(|(_, lookup)| lookup.draw);
        lookups.iter_mut().for_each(|(_, lookup)| lookup.draw = draw.unwrap_or_default());
        let took = (!kinds.is_empty()).then(|| started.elapsed());
        Ok((search(self.pictures.matching(), &banks, lookups).await?, failed, took))
    }

    /// One entry for every technology that looks at pixels.
    fn all_unscored(&self, error: &DecodeError, banks: &Snapshot) -> Vec<Unscored> {
        // Whoever sent a text as a file learns how it would have been read.
        let hint = match error {
            DecodeError::UnsupportedType(None) => "; a text is scored as text/plain, a text or a chat in JSON as application/json",
            _ => "",
        };
        let unscored = |technology| Unscored { technology, reason: reason_of(error), detail: format!("{error}{hint}") };
        self.technologies(banks).into_iter().map(unscored).collect()
    }

    /// Those that look at pixels.
    fn technologies(&self, banks: &Snapshot) -> Vec<Technology> {
        let embedders = self.pictures.embedders().kinds_held(banks).into_iter().map(|kind| Technology::named(kind.as_str()));
        std::iter::once(PDQ).chain(embedders).chain(self.models.iter().map(|model| model.technology.clone())).collect()
    }
}

/// The digests that some bank holds, and no pixels.
fn of_digests(banks: &Snapshot) -> Want {
    Want { md5: banks.holds(SignalType::Md5), sha1: banks.holds(SignalType::Sha1), pixels: None }
}

/// Below this quality there is nothing to be seen on a frame.
const PLAIN: u8 = 10;

/// Said when no view has a hash that can be matched, and of views among others that show something, too faint to be matched: a plain one hides nothing.
fn unhashed(views: &[SeenView], minimum: Quality) -> Option<Unscored> {
    let qualities: Vec<Quality> = views.iter().filter_map(|view| Some(view.prepared.hash.as_ref().ok()?.quality)).collect();
    if qualities.is_empty() {
        let error = views.iter().find_map(|view| view.prepared.hash.as_ref().err())?;
        let HashError::TooSmall { .. } = error;
        return Some(Unscored { technology: PDQ, reason: UnscoredReason::MediaTooSmall, detail: error.to_string() });
    }
    faint(&qualities, views.len(), minimum)
}

/// The same by the qualities of those of `views` views that have a hash.
pub(in crate::services) fn faint(qualities: &[Quality], views: usize, minimum: Quality) -> Option<Unscored> {
    let best = *qualities.iter().max()?;
    if best < minimum {
        let detail = format!("quality {} is below {}: too little detail to match", best.get(), minimum.get());
        return Some(Unscored { technology: PDQ, reason: UnscoredReason::QualityBelowMinimum, detail });
    }
    let faint = qualities.iter().filter(|quality| **quality < minimum && quality.get() >= PLAIN).count();
    let detail = format!("{faint} of {views} views have a quality below {}: too little detail to match", minimum.get());
    (faint > 0).then_some(Unscored { technology: PDQ, reason: UnscoredReason::FramesNotLookedAt, detail })
}

/// What models did not see of a sequence of so many distinct frames.
pub(in crate::services) fn frames_left_out(for_models: u32, distinct: u32) -> Option<String> {
    let detail = || format!("{for_models} of {distinct} distinct frames were looked at, evenly spread: models see {MOST_FRAMES}");
    (distinct > for_models).then(detail)
}

fn tensors_of(views: &mut [SeenView], model: &str) -> Vec<(Look, Result<Tensor, OutputTooLarge>)> {
    views.iter_mut().filter_map(|view| Some((view.look, view.prepared.take(model)?))).collect()
}

/// A model's scores, each the highest over the views (of equals the first), and what it could not look at.
async fn judge_views(
    model: &ImageModel,
    tensors: Vec<(Look, Result<Tensor, OutputTooLarge>)>,
    points: &CallPoints,
    several: bool,
) -> Result<(Vec<Score>, Vec<Unscored>), AnalysisError> {
    let count = tensors.len();
    let runs = tensors.into_iter().map(|(look, tensor)| async move {
        let raw = match tensor {
            Ok(tensor) => model.run(tensor).await.map_err(|failure| (UnscoredReason::TechnologyFailed, failure)),
            Err(error) => Err((UnscoredReason::MediaTooLarge, ModelFailure::Failed(error.to_string()))),
        };
        (look, raw)
    });
    let mut runs = stream::iter(runs).buffered(VIEWS_AT_ONCE);
    let mut highest: Vec<(f32, Look)> = Vec::new();
    let mut failures: Vec<(UnscoredReason, String)> = Vec::new();
    while let Some((look, result)) = runs.next().await {
        match result {
            Ok(raw) if highest.is_empty() => highest = raw.into_iter().map(|raw| (raw, look)).collect(),
            Ok(raw) => highest.iter_mut().zip(raw).filter(|(best, raw)| *raw > best.0).for_each(|(best, raw)| *best = (raw, look)),
            Err((_, ModelFailure::Overloaded)) => return Err(AnalysisError::Overloaded),
            Err((reason, ModelFailure::Failed(detail))) => failures.push((reason, detail)),
        }
    }
    let mut scores = Vec::new();
    for (label, (raw, look)) in model.labels.iter().zip(highest) {
        match points.score(&model.technology, label, raw, several) {
            Ok(score) => scores.push(Score { look, ..score }),
            Err(ModelFailure::Failed(detail)) => failures.push((UnscoredReason::TechnologyFailed, detail)),
            Err(ModelFailure::Overloaded) => return Err(AnalysisError::Overloaded),
        }
    }
    let failed = failures.len();
    let unscored = failures.into_iter().next().map(|(reason, detail)| {
        let detail = if count > 1 { format!("{failed} of {count} views: {detail}") } else { detail };
        Unscored { technology: model.technology.clone(), reason, detail }
    });
    Ok((scores, unscored.into_iter().collect()))
}

/// A signal to look up, or an embedder that gave none.
fn of_embedder(kind: SignalType, result: Result<Signal, EmbedError>) -> Result<Result<Signal, Unscored>, AnalysisError> {
    let reason = match &result {
        Err(EmbedError::Overloaded) => return Err(AnalysisError::Overloaded),
        Err(EmbedError::TooLarge(_)) => UnscoredReason::MediaTooLarge,
        _ => UnscoredReason::TechnologyFailed,
    };
    Ok(result.map_err(|error| Unscored { technology: Technology::named(kind.as_str()), reason, detail: error.to_string() }))
}
