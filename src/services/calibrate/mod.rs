//! Makes certificates: a labelled data set and what is wanted of it become claims, a calibrator and a signed document.
//!
//! The statistics are [`engines::calibration`](crate::engines::calibration)'s; this adds what the document is bound to (data, model, date) and signs it
//! with the data directory's key. "Insufficient evidence" is a document too.

use serde_json::{Map, json};
use uuid::Uuid;

use super::{
    certificates::{self, CertificateError, SigningKey},
    datasets::SourceFacts,
};
use crate::{
    config::Config,
    domain::{
        calibrator::Calibrator,
        certificate::{Certificate, DataFacts, ModelBinding, VERSION},
        labelled::Labelled,
        time::Timestamp,
    },
    engines::calibration::{
        calibrator::{self, Method},
        certify::{CertifyError, SEED, Wanted, certify},
        diagnostics,
        folds::Sample,
        ranked::Ranked,
    },
};

/// Bins of the histogram of scores over 0..=1.
const BINS: usize = 20;

/// What to make of a data set.
#[derive(Clone, Debug)]
pub struct Order {
    pub wanted: Wanted,
    pub method: Method,
    /// The model's folder in `models.directory`, and one of its labels.
    pub model: Option<(String, String)>,
}

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    #[error(transparent)]
    Certify(#[from] CertifyError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(
        "row {row} has the weight {weight}, above the cap of {cap}; declare a larger --cap, or a group column, whose groups are scaled down to it"
    )]
    Weight { row: usize, weight: f64, cap: f64 },
}

/// Calibrates and certifies, and signs the result.
///
/// `traffic` holds scores of unlabelled traffic, for diagnostics.
///
/// # Errors
/// See [`CalibrateError`]. Evidence that does not suffice is none.
pub fn calibrate(
    config: &Config,
    order: &Order,
    data: &Labelled,
    facts: &SourceFacts,
    traffic: Option<&[f64]>,
) -> Result<Certificate, CalibrateError> {
    check_weights(data, &order.wanted)?;
    let mut warnings = Vec::new();
    let model = binding(config, order, &mut warnings)?;
    let ranked = Ranked::new(&data.scores, &data.positive);
    let findings = certify(data, &ranked, &order.wanted)?;
    let calibrator = fit(data, &ranked, order.method, &mut warnings);
    let mut diagnosed = Map::new();
    if let Some(traffic) = traffic {
        let threshold = findings.claims[0].threshold;
        let found = diagnostics::of_traffic(&ranked, calibrator.as_ref(), threshold, traffic, order.wanted.confidence);
        diagnosed.insert("traffic".to_owned(), json!(found));
    }
    warnings.extend(findings.warnings);
    if facts.duplicate_ids > 0 {
        warnings.push(format!("{} rows have an id that an earlier row has: they are not independent of it", facts.duplicate_ids));
    }
    let mut claims = findings.claims.into_iter();
    // There is at least one target, and so a claim.
    let claim = claims.next().expect("a claim for every target");
    let mut certificate = Certificate {
        version: VERSION,
        id: Uuid::now_v7().to_string(),
        created_at: Timestamp::now(),
        created_by: concat!("nightlight ", env!("CARGO_PKG_VERSION")).to_owned(),
        claim,
        points: claims.collect(),
        model,
        data: DataFacts {
            rows: facts.rows,
            positives: facts.positives,
            sha256: facts.sha256.clone(),
            files: facts.files,
            groups: data.groups.as_ref().map(|groups| u64::from(groups.count)),
            duplicate_ids: facts.duplicate_ids,
            score_histogram: histogram(&data.scores),
        },
        procedure: findings.procedure,
        assumptions: findings.assumptions,
        warnings,
        calibrator,
        diagnostics: diagnosed,
        signature: None,
    };
    certificates::sign(&mut certificate, &SigningKey::of_data_dir(&config.data_dir)?);
    Ok(certificate)
}

/// Without groups an item is its own cluster, and one that is heavier than the declared cap says that the cap is wrong.
fn check_weights(data: &Labelled, wanted: &Wanted) -> Result<(), CalibrateError> {
    if let (Some(cap), None, Some(weights)) = (wanted.cap, &data.groups, &data.weights)
        && let Some(at) = weights.iter().position(|weight| *weight > cap)
    {
        return Err(CalibrateError::Weight { row: at + 1, weight: weights[at], cap });
    }
    Ok(())
}

fn binding(config: &Config, order: &Order, warnings: &mut Vec<String>) -> Result<Option<ModelBinding>, CertificateError> {
    let Some((model, label)) = &order.model else {
        warnings.push(
            "it was not said which model the scores are of (--model, --label): this can be read, and not be put into force".to_owned(),
        );
        return Ok(None);
    };
    Ok(Some(certificates::binding(config, model, label)?))
}

fn fit(data: &Labelled, ranked: &Ranked, method: Method, warnings: &mut Vec<String>) -> Option<Calibrator> {
    let groups = data.groups.as_ref().map(|groups| groups.codes.as_slice());
    let fitted = calibrator::fit(&Sample::new(ranked, data.weights.as_deref(), groups, SEED), method);
    match &fitted {
        None => warnings.push("only one class has items, so there is no calibrator".to_owned()),
        Some(fitted) if fitted.thinned => {
            warnings.push("the isotonic map had more knots than a certificate holds and was thinned".to_owned())
        }
        Some(_) => {}
    }
    fitted.map(|fitted| fitted.calibrator)
}

/// Scores in equal bins of 0..=1; what lies outside is in the first and last.
fn histogram(scores: &[f64]) -> Vec<u64> {
    let mut bins = vec![0; BINS];
    for score in scores {
        // Negative numbers become 0 in the conversion.
        bins[((score * BINS as f64) as usize).min(BINS - 1)] += 1;
    }
    bins
}
