//! Certificates: what was shown about a threshold, on which data, under which assumptions, and for which model.
//!
//! A [`Certificate`] is a flat JSON document. Its first claim stands at the top ([`Claim`]), further ones (other targets, slices) in `points`.
//! `engines::calibration` makes the claims, `services::certificates` signs, installs and checks the document. The document is signed over its
//! canonical form: the JSON object without `signature`, keys sorted, no white space.
//!
//! "Insufficient evidence" is a certificate too, with `certified: false`, a reason and what would be needed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{calibrator::Calibrator, time::Timestamp};

/// The version of the document's shape that this program writes and reads.
pub const VERSION: u32 = 1;

/// What is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaimKind {
    /// Of what is flagged, at least the target share is positive.
    Precision,
    /// Of what is positive, at least the target share is flagged.
    Recall,
}

/// Where the prevalence of a claim comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrevalenceSource {
    /// The sample's own: the claim holds for traffic that is like the sample.
    Sample,
    /// Given as a number: the claim holds if it is right.
    Given,
    /// Given as an interval: the claim holds for every prevalence in it.
    Interval,
    /// From labelled traffic, with an exact interval whose error is part of the claim's.
    Traffic,
}

/// One threshold and what was shown about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Claim {
    pub kind: ClaimKind,
    /// In 0..1; null for a recall claim.
    pub target_precision: Option<f64>,
    /// In 0..1; null for a precision claim.
    pub target_recall: Option<f64>,
    /// 1 - delta: the claim is wrong for at most one sample in 1/delta of samples like this.
    pub confidence: f64,
    /// The population the claim is about, by the value of the slice column; null is everything.
    pub slice: Option<String>,
    pub certified: bool,
    /// An item is flagged when its raw score is at least this. Null when nothing is certified.
    pub threshold: Option<f64>,
    /// Items of the sample at or above the threshold; without a threshold, at the candidate that came nearest.
    pub n_flagged: u64,
    /// Negatives among them.
    pub n_errors: u64,
    pub precision_observed: Option<f64>,
    /// What the precision is at least, at the claim's confidence and prevalence: the target of a certified claim, else the best of the starts' joint bounds.
    pub precision_lower: Option<f64>,
    pub recall_observed: Option<f64>,
    /// Two-sided interval at the claim's confidence: Clopper-Pearson; where items are weighted or clustered a normal one of the linearised ratio of clusters.
    pub recall_interval: Option<[f64; 2]>,
    /// The prevalence the claim is made for (the least favourable one of an interval); null when the sample has no items.
    pub prevalence: Option<f64>,
    pub prevalence_interval: Option<[f64; 2]>,
    pub prevalence_source: PrevalenceSource,
    /// The test in words, such as `learn-then-test, exact binomial, 12 starts`.
    pub method: String,
    /// Why it is not certified; null when it is.
    pub reason: Option<String>,
    /// What would be enough; null when it is certified.
    pub needed: Option<Needed>,
    /// A stricter threshold on the same data, for a fall-back when live precision is violated: a point estimate at half the error rate, not certified.
    pub fallback_threshold: Option<f64>,
}

/// What evidence would be enough. Each number is an expectation under what the sample shows, not a promise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Needed {
    /// Flagged items with a label, without an error among them.
    pub flags: Option<u64>,
    /// Flagged items with a label, if errors keep the observed share.
    pub flags_at_observed_error: Option<u64>,
    /// Labelled negatives, where another prevalence than the sample's is claimed.
    pub negatives: Option<u64>,
    /// Labelled positives.
    pub positives: Option<u64>,
    /// For people.
    pub text: String,
}

/// What a certificate is bound to: change one and it says nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModelBinding {
    /// The technology's name.
    pub name: String,
    pub label: String,
    /// `sha256:…` over everything that decides the scores; null when the model was not at hand, and then the certificate never becomes valid.
    pub digest: Option<String>,
    /// `sha256:…` over the preprocessing spec; null for texts.
    pub preprocessing: Option<String>,
    /// `f32`, `f16`, …: numeric, not statistical, precision.
    pub compute_dtype: Option<String>,
    /// ONNX Runtime's execution provider: `cpu`, `cuda`, ….
    pub provider: Option<String>,
    /// How a score comes about of several looks at an attachment; absent in certificates from before there was a second look, which hold where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// The data behind a certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DataFacts {
    pub rows: u64,
    pub positives: u64,
    /// Hex SHA-256 over the bytes of the files, in the order given.
    pub sha256: String,
    pub files: u64,
    /// Distinct values of the group column; null without one.
    pub groups: Option<u64>,
    /// Rows whose id stood in an earlier row.
    pub duplicate_ids: u64,
    /// Scores of all rows in 20 equal bins of 0..=1 (outside values in the first and last), for drift.
    pub score_histogram: Vec<u64>,
}

/// How thresholds were searched. Everything here was fixed before a label was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Procedure {
    /// The candidates' rule in words, such as `every distinct score`.
    pub candidates: String,
    /// Ranks (flagged items) at which sequences start, or the candidates themselves for a grid.
    pub starts: Vec<f64>,
    /// Tolerated error rate, 1 - target.
    pub alpha: f64,
    /// Chance of a wrong claim in the whole document.
    pub delta: f64,
    /// The share of delta of each claim (targets times slices).
    pub delta_each: f64,
    /// Largest weight (or weight of a cluster) that counts; null for unweighted independent items.
    pub cap: Option<f64>,
}

/// A signature over the canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Signature {
    /// `ed25519`.
    pub algorithm: String,
    /// 64 hex digits.
    pub public_key: String,
    /// 128 hex digits.
    pub value: String,
}

/// The whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Certificate {
    pub version: u32,
    /// UUIDv7.
    pub id: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// `nightlight 0.1.0`.
    pub created_by: String,
    #[serde(flatten)]
    pub claim: Claim,
    /// Further claims: other targets, other slices.
    pub points: Vec<Claim>,
    /// Null when calibrate was not told which model the scores are of: such a certificate can be read but not installed.
    pub model: Option<ModelBinding>,
    pub data: DataFacts,
    pub procedure: Procedure,
    /// What has to be true for the claims to be; one sentence each.
    pub assumptions: Vec<String>,
    /// What should be known and is no part of the claims.
    pub warnings: Vec<String>,
    /// Maps raw scores to probabilities for people; thresholds never use it. Null when the sample has one class only.
    pub calibrator: Option<Calibrator>,
    /// Estimates that are no evidence (prevalence of unlabelled traffic, drift).
    #[schema(value_type = Object)]
    pub diagnostics: Map<String, Value>,
    pub signature: Option<Signature>,
}

impl Certificate {
    /// What is signed: the document without `signature`, keys sorted at every level, no white space, numbers as serde_json writes them.
    pub fn canonical(&self) -> Vec<u8> {
        let mut value = serde_json::to_value(self).expect("a certificate is plain data");
        if let Some(object) = value.as_object_mut() {
            object.shift_remove("signature");
        }
        sort(&mut value);
        serde_json::to_vec(&value).expect("a value is plain data")
    }

    /// All claims, the first one first.
    pub fn claims(&self) -> impl Iterator<Item = &Claim> {
        std::iter::once(&self.claim).chain(&self.points)
    }
}

fn sort(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.sort_keys();
            object.values_mut().for_each(sort);
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}
