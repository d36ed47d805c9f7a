//! A certificate to change and sign.

use crate::domain::{
    calibrator::{CalibrationMap, Calibrator, LogLoss},
    certificate::{Certificate, Claim, ClaimKind, DataFacts, PrevalenceSource, Procedure, VERSION},
    time::Timestamp,
};

/// Unsigned and bound to no model; 99 % precision at 95 %, claimed for the sample's own prevalence of 10 %. The counts are made up and consistent;
/// nothing was measured.
pub fn certificate() -> Certificate {
    Certificate {
        version: VERSION,
        id: uuid::Uuid::now_v7().to_string(),
        created_at: Timestamp::now(),
        created_by: "a test".to_owned(),
        claim: claim(),
        points: Vec::new(),
        model: None,
        data: DataFacts {
            rows: 6000,
            positives: 600,
            sha256: "0".repeat(64),
            files: 1,
            groups: None,
            duplicate_ids: 0,
            score_histogram: vec![300; 20],
        },
        procedure: Procedure {
            candidates: "every distinct score".to_owned(),
            starts: vec![299.0],
            alpha: 0.01,
            delta: 0.05,
            delta_each: 0.05,
            cap: None,
        },
        assumptions: vec!["items are independent".to_owned()],
        warnings: vec!["made for a test".to_owned()],
        calibrator: Some(Calibrator {
            map: CalibrationMap::Platt { slope: -10.0, intercept: 5.0 },
            log_loss: LogLoss { platt: 0.11, isotonic: 0.12 },
            prevalence: 0.1,
        }),
        diagnostics: serde_json::Map::new(),
        signature: None,
    }
}

/// The claim of [`certificate`].
pub fn claim() -> Claim {
    Claim {
        kind: ClaimKind::Precision,
        target_precision: Some(0.99),
        target_recall: None,
        confidence: 0.95,
        slice: None,
        certified: true,
        threshold: Some(0.83),
        n_flagged: 480,
        n_errors: 1,
        precision_observed: Some(479.0 / 480.0),
        precision_lower: Some(0.9902),
        recall_observed: Some(479.0 / 600.0),
        recall_interval: Some([0.764, 0.83]),
        prevalence: Some(0.1),
        prevalence_interval: None,
        prevalence_source: PrevalenceSource::Sample,
        method: "made up for a test".to_owned(),
        reason: None,
        needed: None,
        fallback_threshold: Some(0.91),
    }
}
