//! Fits both calibrators, cross-fitted, and keeps the one with the lower log-loss.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::{
    folds::{FOLDS, Sample},
    isotonic, platt,
};
use crate::domain::calibrator::{CalibrationMap, Calibrator, LogLoss};

/// What was fitted, and whether knots of the isotonic map were left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    pub calibrator: Calibrator,
    pub thinned: bool,
}

/// Which map is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// The one with the lower cross-fitted log-loss.
    #[default]
    Best,
    Platt,
    Isotonic,
}

/// Fits a calibrator; `None` when one class has no weight.
pub fn fit(sample: &Sample, method: Method) -> Option<Fitted> {
    let totals = sample.totals();
    let [negative, positive] = totals.iter().fold([0.0, 0.0], |sum, fold| [sum[0] + fold[0], sum[1] + fold[1]]);
    if negative <= 0.0 || positive <= 0.0 {
        return None;
    }
    let all = negative + positive;
    // Isotonic probabilities reach 0 and 1, where one surprise would cost infinitely much; nobody knows more than the sample's size allows.
    let least = 1.0 / (all + 2.0);
    let cost = |at: usize, p: f64| {
        let p = p.clamp(least, 1.0 - least);
        -sample.weight(at) * if sample.positive[at] { p.ln() } else { (1.0 - p).ln() }
    };
    let (whole, without) = platt::fit(sample);
    let losses: Vec<(f64, f64)> = (0..FOLDS)
        .into_par_iter()
        .map(|fold| {
            let (mut of_platt, mut of_isotonic) = (0.0, 0.0);
            isotonic::fit(sample, Some(fold as u8)).along(sample, fold as u8, |at, p| {
                of_isotonic += cost(at, p);
                of_platt += cost(at, without[fold].probability(sample.scores[at]));
            });
            (of_platt, of_isotonic)
        })
        .collect();
    let log_loss = LogLoss {
        platt: losses.iter().map(|loss| loss.0).sum::<f64>() / all,
        isotonic: losses.iter().map(|loss| loss.1).sum::<f64>() / all,
    };
    let isotonic = match method {
        Method::Best => log_loss.isotonic < log_loss.platt,
        Method::Platt => false,
        Method::Isotonic => true,
    };
    let (map, thinned) = if isotonic {
        let mut knots = isotonic::fit(sample, None);
        let thinned = knots.thin();
        (CalibrationMap::Isotonic { raw: knots.scores, probability: knots.values }, thinned)
    } else {
        let (slope, intercept) = whole.parameters();
        (CalibrationMap::Platt { slope, intercept }, false)
    };
    Some(Fitted { calibrator: Calibrator { map, log_loss, prevalence: positive / all }, thinned })
}
