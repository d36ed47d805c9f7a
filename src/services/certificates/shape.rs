//! Whether a document's numbers can be what they are called. A signature only says who wrote them.

use crate::domain::{
    attachment::Context,
    calibrator::{CalibrationMap, Calibrator},
    certificate::{Certificate, Claim, ClaimKind},
};

/// What is wrong with the document, in words, with the field's name.
pub(super) fn check(certificate: &Certificate) -> Result<(), String> {
    for claim in certificate.claims() {
        check_claim(claim)?;
    }
    if let Some(model) = &certificate.model
        && (model.name.is_empty() || model.label.is_empty())
    {
        return Err("model: its name and its label must not be empty".to_owned());
    }
    certificate.calibrator.as_ref().map_or(Ok(()), check_calibrator)
}

fn check_claim(claim: &Claim) -> Result<(), String> {
    let inside = |value: f64| value > 0.0 && value < 1.0;
    let target = match claim.kind {
        ClaimKind::Precision => ("target_precision", claim.target_precision),
        ClaimKind::Recall => ("target_recall", claim.target_recall),
    };
    for (name, value) in [target, ("confidence", Some(claim.confidence))] {
        if !value.is_some_and(inside) {
            return Err(format!("{name}: must lie between 0 and 1"));
        }
    }
    let bounds = claim.recall_interval.into_iter().chain(claim.prevalence_interval).flatten();
    let shares = [claim.precision_observed, claim.precision_lower, claim.recall_observed, claim.prevalence].into_iter().flatten();
    if shares.chain(bounds).any(|share| !(0.0..=1.0).contains(&share)) {
        return Err("precision, recall and prevalence must lie in 0..=1".to_owned());
    }
    if claim.certified && claim.threshold.is_none() {
        return Err("threshold: must not be null where certified is true".to_owned());
    }
    let slice = Context { service: claim.slice.clone(), ..Context::default() };
    match slice.malformed_field() {
        Some(_) => Err(format!("slice: must have 1 to {} characters without control characters", Context::LONGEST)),
        None => Ok(()),
    }
}

fn check_calibrator(calibrator: &Calibrator) -> Result<(), String> {
    if !(0.0..=1.0).contains(&calibrator.prevalence) {
        return Err("calibrator.prevalence: must lie in 0..=1".to_owned());
    }
    match &calibrator.map {
        CalibrationMap::Platt { slope, intercept } if slope.is_finite() && intercept.is_finite() => Ok(()),
        CalibrationMap::Platt { .. } => Err("calibrator.map: slope and intercept must be finite".to_owned()),
        CalibrationMap::Isotonic { raw, probability } => {
            let ascends = raw.is_sorted_by(|a, b| a < b) && probability.is_sorted();
            if raw.is_empty() || raw.len() != probability.len() || !ascends || !probability.iter().all(|p| (0.0..=1.0).contains(p)) {
                return Err("calibrator.map: needs as many ascending raw scores as probabilities in 0..=1 that do not descend".to_owned());
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::certificates::fixtures::certificate;

    #[test]
    fn impossible_numbers_are_told() {
        assert_eq!(check(&certificate()), Ok(()));
        let isotonic = |raw: &[f64], probability: &[f64]| {
            let mut changed = certificate();
            let calibrator = changed.calibrator.as_mut().unwrap();
            calibrator.map = CalibrationMap::Isotonic { raw: raw.to_vec(), probability: probability.to_vec() };
            changed
        };
        assert_eq!(check(&isotonic(&[0.1, 0.2], &[0.0, 0.0])), Ok(()));
        let claim = |change: &dyn Fn(&mut Claim)| {
            let mut changed = certificate();
            change(&mut changed.claim);
            changed
        };
        for (word, wrong) in [
            ("target_precision", claim(&|claim| claim.target_precision = None)),
            ("target_recall", claim(&|claim| claim.kind = ClaimKind::Recall)),
            ("confidence", claim(&|claim| claim.confidence = 1.0)),
            ("prevalence", claim(&|claim| claim.prevalence = Some(-0.1))),
            ("recall", claim(&|claim| claim.recall_interval = Some([0.5, 1.5]))),
            ("threshold", claim(&|claim| claim.threshold = None)),
            ("slice", claim(&|claim| claim.slice = Some(String::new()))),
            ("calibrator.map", isotonic(&[], &[])),
            ("calibrator.map", isotonic(&[0.1, 0.2], &[0.0])),
            ("calibrator.map", isotonic(&[0.2, 0.2], &[0.0, 0.1])),
            ("calibrator.map", isotonic(&[0.1, 0.2], &[0.5, 0.1])),
            ("calibrator.map", isotonic(&[0.1, f64::NAN], &[0.1, 0.5])),
        ] {
            let error = check(&wrong).unwrap_err();
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}
