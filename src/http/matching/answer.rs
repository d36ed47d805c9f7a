//! The answer of `/match`: additive changes only.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::error::ApiError;
use crate::{
    domain::{
        bank::{HarmCategory, Provenance},
        curation::Metadata,
        evidence::{Match, Unscored, UnscoredReason, is_zero},
        hash::{PerceptualHash, Transform},
        ids::RequestId,
        signal::SignalType,
    },
    services::{
        lookup::{Found, Hashed, Lookup, LookupError},
        scoring::MatchAnswer,
    },
    store::Item,
};

/// Matches of one call, and as many of each further list: some two megabytes.
const MAX_MATCHES: usize = 10_000;
/// Matches whose JSON takes less than a millisecond to write.
const SHORT: usize = 500;

/// Hashes and matches.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct MatchesAnswer {
    /// Version of this contract.
    #[schema(example = "1")]
    contract: &'static str,
    /// This call's id; also in the log and in `X-Request-Id`.
    request_id: String,
    /// Of the content; absent when only signals were asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    hashes: Option<HashesBody>,
    /// Items of banks within their radius: of the content first, then of each signal; exact ones first, then the nearest.
    matches: Vec<FoundBody>,
    /// Items of negative banks (known to be harmless), in the same order.
    negative: Vec<FoundBody>,
    /// Matches that an item of a negative bank took back.
    suppressed: Vec<TakenBack>,
    /// Matches that are not answered, the farthest of their signal or of the call. Absent when there are none.
    #[serde(skip_serializing_if = "is_zero")]
    matches_left_out: usize,
    /// Banks that were searched within their own radius though a wider one was asked, because this key may not read them. Absent when there
    /// are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    narrowed: Vec<String>,
    /// Hashes that were not looked up, and why; also of frames, pages and views among others.
    unmatched: Vec<UnmatchedBody>,
    versions: MatchVersions,
    /// Milliseconds per stage: fetch, hash, match, metadata, total.
    timings_ms: BTreeMap<&'static str, f64>,
}

/// Hashes of content.
#[derive(Debug, Serialize, ToSchema)]
struct HashesBody {
    md5: Option<String>,
    sha1: Option<String>,
    sha256: String,
    /// Null when the content has none; `unmatched` says why.
    pdq: Option<PdqBody>,
    /// Vectors by signal type (`embedding:MODEL`), in base64 of little-endian 32-bit floats: of the embedders that this server runs, those that some bank holds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    embeddings: BTreeMap<&'static str, String>,
}

/// A PDQ hash, also one of too low a quality to match.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PdqBody {
    hash: String,
    /// 0..=100; below 50 the hash says nothing.
    quality: u8,
    /// By position, when asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    dihedral: BTreeMap<&'static str, String>,
}

/// An item of a bank.
#[derive(Debug, Serialize, ToSchema)]
struct FoundBody {
    /// The place of the signal that it is a match of; absent for the content's.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<usize>,
    #[serde(flatten)]
    found: MatchAnswer,
    #[serde(flatten)]
    about: Option<AboutBody>,
}

/// What is known of an item, when asked for.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct AboutBody {
    standing: &'static str,
    note: Option<String>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Metadata>,
    #[schema(value_type = Vec<Object>)]
    provenance: Vec<Provenance>,
}

/// A match that was taken back, and by what.
#[derive(Debug, Serialize, ToSchema)]
struct TakenBack {
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<usize>,
    matched: MatchAnswer,
    by: MatchAnswer,
}

/// Why a hash was not looked up.
#[derive(Debug, Serialize, ToSchema)]
struct UnmatchedBody {
    technology: String,
    /// `undecodable_media`, `unsupported_media`, `unsupported_feature`, `media_too_large`, `media_too_small`, `quality_below_minimum`, `frames_not_looked_at` or `technology_failed`.
    reason: &'static str,
    detail: String,
}

/// What was in force.
#[derive(Debug, Serialize, ToSchema)]
struct MatchVersions {
    nightlight: &'static str,
    /// Bank name -> version searched.
    banks: BTreeMap<String, i64>,
}

/// An answer in the making.
pub(super) struct Answering(MatchesAnswer);

impl Answering {
    /// Of banks at these versions, of which some were `narrowed`.
    pub(super) fn new(call: RequestId, banks: BTreeMap<String, i64>, narrowed: Vec<String>) -> Self {
        Self(MatchesAnswer {
            contract: "1",
            request_id: call.to_string(),
            hashes: None,
            matches: Vec::new(),
            negative: Vec::new(),
            suppressed: Vec::new(),
            matches_left_out: 0,
            narrowed,
            unmatched: Vec::new(),
            versions: MatchVersions { nightlight: env!("CARGO_PKG_VERSION"), banks },
            timings_ms: BTreeMap::new(),
        })
    }

    /// Adds to a stage.
    pub(super) fn took(&mut self, stage: &'static str, took: Duration) {
        *self.0.timings_ms.entry(stage).or_default() += milliseconds(took);
    }

    /// # Errors
    /// What is no property of the content: overload, the deadline.
    pub(super) fn hashes(&mut self, hashed: &Hashed, unseen: Vec<Unscored>, dihedral: bool) -> Result<(), ApiError> {
        let mut unmatched = |kind: SignalType, reason: UnscoredReason, detail| {
            self.0.unmatched.push(UnmatchedBody { technology: kind.as_str().to_owned(), reason: reason.as_str(), detail });
        };
        let mut pdq = None;
        match &hashed.pdq {
            None => {}
            Some(Ok(hash)) => pdq = Some(PdqBody::of(hash, dihedral)),
            Some(Err(error)) => {
                let (reason, detail) = of_content(error).ok_or_else(|| error.clone())?;
                unmatched(SignalType::Pdq, reason, detail.to_owned());
            }
        }
        let made = hashed.embeddings.iter().filter_map(|(kind, signal)| Some((kind.as_str(), signal.as_ref().ok()?.to_text())));
        let embeddings: BTreeMap<_, _> = made.collect();
        let first = hashed.embeddings.iter().filter_map(|(kind, signal)| Some((kind, signal.as_ref().err()?)));
        let of_first: Vec<_> = first.collect();
        let further = hashed.failed.iter().map(|(kind, error)| (kind, error)).filter(|failed| !of_first.contains(failed));
        for (kind, error) in of_first.iter().copied().chain(further) {
            let (reason, detail) = match error {
                // The model failed, not the call: the other technologies have found what they find.
                LookupError::Internal(detail) => (UnscoredReason::TechnologyFailed, detail.as_str()),
                error => of_content(error).ok_or_else(|| error.clone())?,
            };
            unmatched(*kind, reason, detail.to_owned());
        }
        self.unseen(unseen);
        let digests = &hashed.digests;
        let (md5, sha1) = (digests.md5.map(hex::encode), digests.sha1.map(hex::encode));
        self.0.hashes = Some(HashesBody { md5, sha1, sha256: hex::encode(digests.sha256), pdq, embeddings });
        Ok(())
    }

    /// Adds what is not seen, whatever was found.
    pub(super) fn unseen(&mut self, unseen: Vec<Unscored>) {
        self.0.unmatched.extend(unseen.into_iter().map(|Unscored { technology, reason, detail }| UnmatchedBody {
            technology: technology.as_str().to_owned(),
            reason: reason.as_str(),
            detail,
        }));
    }

    /// Adds what was found of the content, or of the signal at this place.
    pub(super) fn found(&mut self, signal: Option<usize>, found: &Found) {
        self.0.matches_left_out += found.left_out;
        let body = |matched: &Match| FoundBody { signal, found: matched.into(), about: None };
        self.add(|answer| &mut answer.matches, found.matches.iter().map(body));
        self.add(|answer| &mut answer.negative, found.negatives.iter().map(body));
        let taken_back = found.suppressed.iter();
        let taken_back = taken_back.map(|one| TakenBack { signal, matched: (&one.matched).into(), by: (&one.by).into() });
        self.add(|answer| &mut answer.suppressed, taken_back);
    }

    /// Adds to a list what there is room for in a call's answer, and counts the rest.
    fn add<T>(&mut self, list: impl Fn(&mut MatchesAnswer) -> &mut Vec<T>, further: impl ExactSizeIterator<Item = T>) {
        let answer = &mut self.0;
        let room = MAX_MATCHES.saturating_sub(list(answer).len());
        answer.matches_left_out += further.len().saturating_sub(room);
        list(answer).extend(further.take(room));
    }

    /// The items that were found, each once.
    pub(super) fn items(&self) -> Vec<(String, i64)> {
        let found = self.0.matches.iter().chain(&self.0.negative);
        let mut items: Vec<_> = found.map(|body| (body.found.bank.clone(), body.found.content_id)).collect();
        items.sort_unstable();
        items.dedup();
        items
    }

    /// Adds what is known of the items.
    pub(super) fn describe(&mut self, items: Vec<Item>) {
        let about = |item: Item| {
            let Item { bank, content_id, standing, note, metadata, provenance, category, .. } = item;
            ((bank, content_id), (AboutBody { standing: standing.as_str(), note, metadata, provenance }, category))
        };
        let items: BTreeMap<_, _> = items.into_iter().map(about).collect();
        for body in self.0.matches.iter_mut().chain(&mut self.0.negative) {
            if let Some((about, category)) = items.get(&(body.found.bank.clone(), body.found.content_id)) {
                body.about = Some(about.clone());
                body.found.category = body.found.category.or(category.map(HarmCategory::as_str));
            }
        }
    }

    /// The answer. A long one is written on a thread for such work: the threads that serve others must stay free.
    pub(super) async fn finish(mut self, lookup: &Lookup, arrived: Instant, deadline: Instant) -> Result<Response, ApiError> {
        self.took("total", arrived.elapsed());
        let answer = self.0;
        let written = if answer.matches.len() + answer.negative.len() + answer.suppressed.len() <= SHORT {
            serde_json::to_vec(&answer)
        } else {
            lookup.read(move || serde_json::to_vec(&answer), deadline).await?
        };
        let body = written.map_err(|error| ApiError::internal(error.to_string()))?;
        Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
    }
}

/// What is a property of the content and no failure of the call.
fn of_content(error: &LookupError) -> Option<(UnscoredReason, &str)> {
    match error {
        LookupError::Picture(detail) => Some((UnscoredReason::UndecodableMedia, detail)),
        LookupError::TooSmall(detail) => Some((UnscoredReason::MediaTooSmall, detail)),
        LookupError::UnsupportedMedia(detail) => Some((UnscoredReason::UnsupportedMedia, detail)),
        LookupError::UnsupportedFeature(detail) => Some((UnscoredReason::UnsupportedFeature, detail)),
        LookupError::TooLarge(detail) => Some((UnscoredReason::MediaTooLarge, detail)),
        _ => None,
    }
}

impl PdqBody {
    fn of(hash: &PerceptualHash, dihedral: bool) -> Self {
        let all = Transform::ALL.iter().zip(&hash.hashes).filter(|_| dihedral);
        Self {
            hash: hash.original().to_string(),
            quality: hash.quality.get(),
            dihedral: all.map(|(transform, hash)| (transform.as_str(), hash.to_string())).collect(),
        }
    }
}

fn milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1e3
}
