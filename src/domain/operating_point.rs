//! A threshold and what is known about it. No bare threshold exists.

use serde::{Deserialize, Serialize};

use super::score::RawScore;

/// The threshold in force for one label of one model, with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// An item is flagged when `raw >= threshold`.
    pub threshold: RawScore,
    /// The precision somebody wants at this threshold, in 0..1; `None` when nobody said.
    pub target_precision: Option<f64>,
    /// The confidence at which it is wanted, in 0..1.
    pub confidence: Option<f64>,
    /// The share of positives for which the statement is made, in 0..1.
    pub prevalence: Option<f64>,
    /// Whether a valid certificate shows that the target is met.
    pub certified: bool,
    /// Lower confidence bound of the precision; known only with a certificate.
    pub precision_lower: Option<f64>,
    /// Recall observed on the certificate's data.
    pub recall: Option<f64>,
    /// The certificate's id.
    pub certificate: Option<String>,
    /// Why it is not certified, in words.
    pub reason: Option<String>,
}

impl OperatingPoint {
    /// A threshold that somebody configured, without evidence.
    pub fn configured(threshold: RawScore, target_precision: Option<f64>, confidence: Option<f64>, prevalence: Option<f64>) -> Self {
        Self {
            threshold,
            target_precision,
            confidence,
            prevalence,
            certified: false,
            precision_lower: None,
            recall: None,
            certificate: None,
            reason: Some("set by configuration; no certificate is installed".to_owned()),
        }
    }
}
