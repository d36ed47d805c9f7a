//! The answer of `POST /score`: the stable contract (DESIGN.md), additive changes only.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{
    attachment::AttachmentFacts,
    decision::RoutingDecision,
    evidence::{Match, Unscored},
    operating_point::{Fallback, Live, OperatingPoint},
    score::{ConversationDetail, Score},
};

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
    /// Items of banks within their radius, nearest first.
    pub matches: Vec<MatchAnswer>,
    pub scores: Vec<ScoreEntry>,
    /// Technologies that gave no result, and why.
    pub unscored: Vec<UnscoredAnswer>,
    pub decision: RoutingDecision,
    /// The entry in the review queue; null when `route` is `none`.
    pub review_item: Option<String>,
    pub versions: Versions,
    /// The probability with which an attachment like this one comes before a human: 1 when it was routed, the stratum's rate when it was drawn
    /// for the audit. Absent when `route` is `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inclusion_probability: Option<f64>,
    /// Milliseconds per stage: queue, decode, digest, gpu or cpu (preprocess and hash), match, classify, total.
    pub timings_ms: BTreeMap<&'static str, f64>,
}

/// An item of a bank within the bank's radius.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MatchAnswer {
    /// `md5`, `sha1`, `sha256` or `pdq`.
    pub technology: &'static str,
    pub bank: String,
    pub content_id: i64,
    /// Hamming distance in bits; 0 for digests.
    pub distance: u32,
    /// The bank's radius.
    pub max_distance: u32,
    /// PDQ quality, 0..=100; null for digests.
    pub quality: Option<u8>,
    /// Which of the eight variants of the picture matched; null for digests.
    pub transform: Option<&'static str>,
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

/// Model name -> `sha256:…` over the model's files.
pub type ModelVersions = BTreeMap<String, String>;

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
        }
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
