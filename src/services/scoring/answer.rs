//! The answer of `POST /score`: the stable contract. Other programs read it, so changes only add to it; `tests/integration/snapshots/openapi.json` shows each of them.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{
    attachment::AttachmentFacts,
    clip::{FrameAt, Variant},
    decision::RoutingDecision,
    evidence::{Match, Suppressed, Unscored, is_zero},
    operating_point::{Fallback, Live, OperatingPoint},
    score::{ConversationDetail, Score},
    signal::Distance,
};
use crate::services::analysis::ModelVersions;

/// One scored attachment.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ScoreAnswer {
    /// Version of this contract.
    #[schema(example = "1")]
    pub contract: &'static str,
    /// This call's id; also in the log and in `X-Request-Id`.
    pub request_id: String,
    /// The provider's reference, or the one the server drew.
    pub item_id: String,
    pub attachment: AttachmentFacts,
    /// Items of banks within their radius, nearest first. Neither named nor counted, here and in `suppressed`, `decision` and `versions`,
    /// are those of banks whose access list does not admit the key; they route all the same.
    pub matches: Vec<MatchAnswer>,
    /// Matches that known harmless items took back; they count for nothing. Absent when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<SuppressedAnswer>,
    /// Matches that are not answered, the farthest: of many the nearest 1000 are and, behind them, the nearest of each technology in each bank. They count all the
    /// same. Absent when there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub matches_left_out: usize,
    pub scores: Vec<ScoreEntry>,
    /// Technologies that gave no result, and why.
    pub unscored: Vec<UnscoredAnswer>,
    pub decision: RoutingDecision,
    /// The entry in the review queue, which may stand for earlier attachments too that matched the same; the decided one for a copy of what people decided
    /// (reason `known_decided`); null when `route` is `none`.
    pub review_item: Option<String>,
    pub versions: Versions,
    /// The probability with which an attachment like this one comes before a human: 1 when it was routed; the rate of what was drawn, by the audit or by a share in
    /// `routing.unscored`; for copies of what people decided the share of second looks. Absent when `route` is `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inclusion_probability: Option<f64>,
    /// What was not done as it was asked, in words: a service that is counted as `other`. Absent when there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Milliseconds per stage: queue, decode, digest, gpu or cpu (preprocess and hash), match, classify, total.
    pub timings_ms: BTreeMap<&'static str, f64>,
}

/// An item of a bank within the bank's radius.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MatchAnswer {
    /// `md5`, `sha1`, `sha256`, `pdq`, `photodna` or `embedding:MODEL`.
    pub technology: &'static str,
    pub bank: String,
    pub content_id: i64,
    /// Differing bits for `pdq`, Euclidean for `photodna`, 1 - cosine for embeddings; 0 for digests.
    #[schema(value_type = f32)]
    pub distance: Distance,
    /// The bank's radius.
    #[schema(value_type = f32)]
    pub max_distance: Distance,
    /// PDQ quality, 0..=100; null for digests.
    pub quality: Option<u8>,
    /// Which of the eight variants of the picture matched; null for digests.
    pub transform: Option<&'static str>,
    /// Somebody says that the item does not belong into its bank. Absent when nobody does.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disputed: bool,
    /// The item is in doubt, because it suddenly matched everywhere or people say that it matches what it should not: a person looks at
    /// whatever matches it. Absent when it is not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub quarantined: bool,
    /// `A1`, `A2`, `B1`, `B2` or `other`. Absent when the item has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<&'static str>,
    /// Which frame, page or picture of a sequence matched. Absent for stills and digests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<FrameAt>,
    /// `dropped`, `on_white` or `on_black`: what of a picture with transparency matched. Absent for opaque ones and digests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<&'static str>,
}

/// A match that an item of a negative bank (known to be harmless) took back.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SuppressedAnswer {
    pub matched: MatchAnswer,
    pub by: MatchAnswer,
}

/// What a classifier said of one label.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ScoreEntry {
    pub technology: String,
    pub label: String,
    /// The model's output; thresholds apply to it.
    pub raw: f32,
    /// Calibrated probability, for people; null without a calibrator.
    pub probability: Option<f64>,
    /// Null when nobody set a threshold for this label.
    pub threshold: Option<f32>,
    /// `raw >= threshold`, unless the operating point has a `fallback`.
    pub flagged: bool,
    /// What is known of the threshold.
    pub operating_point: Option<OperatingPointAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<ConversationDetail>,
    /// Which frame, page or picture of a sequence scored highest. Absent for stills.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<FrameAt>,
    /// Which look scored highest where there are several: `dropped`, `on_white`, `on_black` of a picture with transparency; `raw`, `normalised` of a text whose letters are
    /// disguised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<&'static str>,
}

/// What is known of a threshold.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OperatingPointAnswer {
    pub target_precision: Option<f64>,
    /// What a certificate for recall claims instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_recall: Option<f64>,
    pub confidence: Option<f64>,
    /// The prevalence for which the precision is claimed; it holds at every higher one too.
    pub prevalence: Option<f64>,
    /// True only with a valid certificate.
    pub certified: bool,
    pub precision_lower: Option<f64>,
    pub recall: Option<f64>,
    pub certificate: Option<String>,
    /// Why it is not certified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is done instead of the threshold, since review decisions contradicted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// What review decisions say of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<Live>,
}

/// A technology that gave no result.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UnscoredAnswer {
    pub technology: String,
    /// `undecodable_media`, `media_too_large`, `quality_below_minimum`, `media_too_small`, `text_truncated`, `empty_text`, `technology_failed`, `unsupported_kind`,
    /// `unsupported_media`, `unsupported_feature`, `frames_not_looked_at` or `unreadable_text`. More may come.
    pub reason: &'static str,
    pub detail: String,
}

/// What was in force when the answer was made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Versions {
    pub nightlight: &'static str,
    /// Model name -> `sha256:…`.
    #[schema(value_type = BTreeMap<String, String>)]
    pub models: ModelVersions,
    /// Bank name -> version searched.
    pub banks: BTreeMap<String, i64>,
    pub policy: String,
}

impl From<&Match> for MatchAnswer {
    fn from(hit: &Match) -> Self {
        Self {
            technology: hit.technology.as_str(),
            bank: hit.bank.clone(),
            content_id: hit.content_id,
            distance: hit.distance,
            max_distance: hit.max_distance,
            quality: hit.quality,
            transform: hit.transform.map(crate::domain::hash::Transform::as_str),
            disputed: hit.disputed,
            quarantined: hit.quarantined,
            category: hit.category.map(crate::domain::bank::HarmCategory::as_str),
            frame: hit.look.frame,
            variant: hit.look.variant.map(Variant::as_str),
        }
    }
}

impl From<&Suppressed> for SuppressedAnswer {
    fn from(suppressed: &Suppressed) -> Self {
        Self { matched: (&suppressed.matched).into(), by: (&suppressed.by).into() }
    }
}

impl From<&Score> for ScoreEntry {
    fn from(score: &Score) -> Self {
        Self {
            technology: score.technology.to_string(),
            label: score.label.clone(),
            raw: score.raw.get(),
            probability: score.probability,
            threshold: score.operating_point.as_ref().map(|point| point.threshold.get()),
            flagged: score.flagged(),
            operating_point: score.operating_point.as_ref().map(Into::into),
            detail: score.detail,
            frame: score.look.frame,
            variant: score.look.variant.map(Variant::as_str),
        }
    }
}

impl From<&OperatingPoint> for OperatingPointAnswer {
    fn from(point: &OperatingPoint) -> Self {
        Self {
            target_precision: point.target_precision,
            target_recall: point.target_recall,
            confidence: point.confidence,
            prevalence: point.prevalence,
            certified: point.certified,
            precision_lower: point.precision_lower,
            recall: point.recall,
            certificate: point.certificate.clone(),
            reason: point.reason.clone(),
            fallback: point.fallback,
            live: point.live.clone(),
        }
    }
}

impl From<&Unscored> for UnscoredAnswer {
    fn from(unscored: &Unscored) -> Self {
        Self { technology: unscored.technology.to_string(), reason: unscored.reason.as_str(), detail: unscored.detail.clone() }
    }
}
