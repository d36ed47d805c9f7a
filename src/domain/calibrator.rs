//! Calibrators: from a raw score to a probability, for people to read. Thresholds apply to raw scores and never to these.

use serde::{Deserialize, Serialize};

/// A fitted map and how it was chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Calibrator {
    pub map: CalibrationMap,
    /// Cross-fitted log-loss in nats of each method that was tried; the lowest was chosen.
    pub log_loss: LogLoss,
    /// The sample's share of positives: the prevalence that the probabilities are for.
    pub prevalence: f64,
}

/// Cross-fitted log-losses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogLoss {
    pub platt: f64,
    pub isotonic: f64,
}

/// The map itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum CalibrationMap {
    /// p = 1 / (1 + exp(slope * raw + intercept)), the signs as in Platt (1999) and scikit-learn's `_SigmoidCalibration`.
    Platt { slope: f64, intercept: f64 },
    /// Linear between the knots, constant outside. `raw` ascends strictly, `probability` does not descend.
    Isotonic { raw: Vec<f64>, probability: Vec<f64> },
}

impl CalibrationMap {
    /// The probability of a raw score, in 0..=1.
    pub fn probability(&self, score: f64) -> f64 {
        match self {
            Self::Platt { slope, intercept } => 1.0 / (1.0 + (slope * score + intercept).exp()),
            Self::Isotonic { raw, probability } => {
                let above = raw.partition_point(|knot| *knot < score);
                match (above.checked_sub(1), raw.get(above)) {
                    (None, _) => probability.first().copied().unwrap_or(0.5),
                    (Some(below), None) => probability[below],
                    (Some(below), Some(&right)) => {
                        let share = (score - raw[below]) / (right - raw[below]);
                        probability[below] + share * (probability[above] - probability[below])
                    }
                }
            }
        }
    }
}

impl Calibrator {
    /// The probability of a raw score for traffic with another prevalence: odds move by the ratio of prior odds (label shift, Saerens 2002).
    pub fn probability_at(&self, score: f64, prevalence: Option<f64>) -> f64 {
        let p = self.map.probability(score);
        match prevalence {
            Some(other) => shift(p, self.prevalence, other),
            None => p,
        }
    }
}

/// Moves a posterior from one prior to another.
pub fn shift(posterior: f64, from: f64, to: f64) -> f64 {
    if posterior <= 0.0 || posterior >= 1.0 || from <= 0.0 || from >= 1.0 {
        return posterior;
    }
    let odds = posterior / (1.0 - posterior) * (to / (1.0 - to)) * ((1.0 - from) / from);
    odds / (1.0 + odds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isotonic_maps_interpolate_and_stay_constant_outside() {
        let map = CalibrationMap::Isotonic { raw: vec![0.2, 0.4, 0.8], probability: vec![0.1, 0.1, 0.9] };
        for (score, expected) in [(-1.0, 0.1), (0.2, 0.1), (0.3, 0.1), (0.6, 0.5), (0.8, 0.9), (2.0, 0.9)] {
            assert!((map.probability(score) - expected).abs() < 1e-12, "{score}");
        }
    }

    #[test]
    fn platt_has_scikit_learns_signs_and_priors_move_odds() {
        let map = CalibrationMap::Platt { slope: -2.0, intercept: 1.0 };
        assert!((map.probability(0.5) - 0.5).abs() < 1e-12 && map.probability(0.9) > 0.5);
        // Bayes' rule: half and half moved to 10 % is odds 1:9.
        assert!((shift(0.5, 0.5, 0.1) - 0.1).abs() < 1e-12);
        assert!((shift(0.99, 0.5, 0.001) - 99.0 / (99.0 + 999.0)).abs() < 1e-12);
    }
}
