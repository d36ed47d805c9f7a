//! A threshold and what is known about it. No bare threshold exists.

use serde::{Deserialize, Serialize};

use super::{score::RawScore, time::Timestamp};

/// Whose threshold: of one label of one technology, for one population.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PointKey {
    pub technology: String,
    pub label: String,
    /// The service whose attachments it is for; `None` is everything.
    pub slice: Option<String>,
}

impl std::fmt::Display for PointKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.technology, self.label)?;
        self.slice.as_ref().map_or(Ok(()), |slice| write!(f, " for {slice}"))
    }
}

/// The threshold in force for one label of one model, with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// An item is flagged when `raw >= threshold`, unless there is a `fallback` that says otherwise.
    pub threshold: RawScore,
    /// The precision somebody wants at this threshold, in 0..1; `None` when nobody said.
    pub target_precision: Option<f64>,
    /// The recall that a certificate claims instead, in 0..1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_recall: Option<f64>,
    /// The confidence at which it is wanted, in 0..1.
    pub confidence: Option<f64>,
    /// The share of positives for which the statement is made, in 0..1.
    pub prevalence: Option<f64>,
    /// Whether a valid certificate shows that the target is met.
    pub certified: bool,
    /// Lower confidence bound of the precision; known only with a valid certificate.
    pub precision_lower: Option<f64>,
    /// Recall observed on the data of a valid certificate.
    pub recall: Option<f64>,
    /// The certificate's id.
    pub certificate: Option<String>,
    /// Why it is not certified, in words.
    pub reason: Option<String>,
    /// What is done instead, since review decisions contradicted the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// What review decisions say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Live>,
}

/// What is done in place of a threshold that review decisions contradicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// Every score is flagged.
    QueueEverything,
    /// The threshold is a stricter one.
    RaisedThreshold,
    /// Nothing is flagged.
    Shadow,
}

impl Fallback {
    /// The name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueEverything => "queue_everything",
            Self::RaisedThreshold => "raised_threshold",
            Self::Shadow => "shadow",
        }
    }
}

/// What review decisions say of a threshold's precision, at any time and however often somebody looks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Live {
    pub state: LiveState,
    /// Decisions counted since the point came into force.
    pub decisions: u64,
    /// Share of the flagged items that were confirmed, weighted by how they were chosen for review.
    pub precision_observed: Option<f64>,
    /// Anytime-valid bounds of the precision, at the operating point's confidence.
    pub precision_lower: Option<f64>,
    pub precision_upper: Option<f64>,
    /// Until when the point stays certified without being confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
}

/// How far review decisions bear a claim out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LiveState {
    /// The bounds are on both sides of the target.
    Unconfirmed,
    /// The lower bound of the precision is above the target.
    Confirmed,
    /// The upper bound of the precision is below the target.
    Violated,
}

impl LiveState {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unconfirmed => "unconfirmed",
            Self::Confirmed => "confirmed",
            Self::Violated => "violated",
        }
    }
}

impl OperatingPoint {
    /// A threshold that somebody configured, without evidence.
    pub fn configured(threshold: RawScore, target_precision: Option<f64>, confidence: Option<f64>, prevalence: Option<f64>) -> Self {
        Self {
            threshold,
            target_precision,
            target_recall: None,
            confidence,
            prevalence,
            certified: false,
            precision_lower: None,
            recall: None,
            certificate: None,
            reason: Some("set by configuration; no certificate is installed".to_owned()),
            fallback: None,
            live: None,
        }
    }

    /// The least raw score that is flagged: the threshold, or an infinity where a fallback flags everything or nothing.
    pub const fn flags_from(&self) -> f32 {
        match self.fallback {
            Some(Fallback::QueueEverything) => f32::NEG_INFINITY,
            Some(Fallback::Shadow) => f32::INFINITY,
            Some(Fallback::RaisedThreshold) | None => self.threshold.get(),
        }
    }

    /// The same threshold without the claim about it, and why. A reason that is there already stays, before the new one.
    #[must_use]
    pub fn uncertified(self, reason: &str) -> Self {
        let reason = match self.reason {
            Some(earlier) => format!("{earlier}; {reason}"),
            None => reason.to_owned(),
        };
        Self { certified: false, precision_lower: None, reason: Some(reason), ..self }
    }
}
