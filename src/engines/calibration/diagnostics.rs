//! What unlabelled traffic suggests: estimates for people, and never a part of a claim.
//!
//! * The prevalence by expectation maximisation over calibrated probabilities (Saerens, Latinne, Decaestecker 2002), which is as good as the calibrator.
//! * The prevalence from the share of flagged traffic (black box shift estimation: Lipton, Wang, Smola 2018), with an interval from exact bounds of all
//!   three shares in it. Both believe that classes score as in the sample (label shift).
//! * The population stability index, which does not believe anything: how far the scores' distribution is from the sample's.

use serde::Serialize;

use super::{
    binomial::clopper_pearson,
    ranked::{Ranked, count},
};
use crate::domain::calibrator::{Calibrator, shift};

/// Bins of the stability index, each with a tenth of the sample's items: the index's usual form.
const BINS: usize = 10;
/// Steps of expectation maximisation at most; it converges linearly, fast when classes are told apart.
const STEPS: usize = 1000;

/// Estimates about traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Traffic {
    pub items: u64,
    /// By expectation maximisation; null without a calibrator.
    pub prevalence_em: Option<f64>,
    /// From the share of flagged traffic at `threshold`; null where flagged positives are no more frequent than flagged negatives.
    pub prevalence_bbse: Option<f64>,
    pub prevalence_bbse_interval: Option<[f64; 2]>,
    /// Where traffic was counted as flagged: the certified threshold, or the sample's median of scores.
    pub threshold: f64,
    /// 0 for equal distributions; above 0.25 is usually called a shift.
    pub population_stability_index: f64,
    pub note: &'static str,
}

/// Looks at scores of traffic, beside a labelled sample. `None` when either has no items.
pub fn of_traffic(
    ranked: &Ranked,
    calibrator: Option<&Calibrator>,
    threshold: Option<f64>,
    traffic: &[f64],
    confidence: f64,
) -> Option<Traffic> {
    if ranked.is_empty() || traffic.is_empty() {
        return None;
    }
    let threshold = threshold.unwrap_or(ranked.scores()[ranked.len() / 2]);
    let (prevalence_bbse, prevalence_bbse_interval) = bbse(ranked, threshold, traffic, confidence);
    Some(Traffic {
        items: traffic.len() as u64,
        prevalence_em: calibrator.map(|calibrator| em(calibrator, traffic)),
        prevalence_bbse,
        prevalence_bbse_interval,
        threshold,
        population_stability_index: stability(ranked, traffic),
        note: "estimates under label shift; they are no evidence, and no claim uses them",
    })
}

/// The prevalence at which the mean of the probabilities, moved to it, is itself.
fn em(calibrator: &Calibrator, traffic: &[f64]) -> f64 {
    let posteriors: Vec<f64> = traffic.iter().map(|score| calibrator.map.probability(*score)).collect();
    let mut prevalence = calibrator.prevalence;
    for _ in 0..STEPS {
        let next = posteriors.iter().map(|p| shift(*p, calibrator.prevalence, prevalence)).sum::<f64>() / posteriors.len() as f64;
        let moved = (next - prevalence).abs();
        prevalence = next;
        if moved <= 1e-9 * prevalence {
            break;
        }
    }
    prevalence
}

/// (share flagged - F) / (T - F), and the extremes of it over exact bounds that hold together.
fn bbse(ranked: &Ranked, threshold: f64, traffic: &[f64], confidence: f64) -> (Option<f64>, Option<[f64; 2]>) {
    let flagged = ranked.at_least(threshold);
    let hits = count(&ranked.positive()[..flagged]);
    let (positives, errors) = (ranked.positives(), flagged as u64 - hits);
    let negatives = ranked.len() as u64 - positives;
    let seen = traffic.iter().filter(|score| **score >= threshold).count() as u64;
    let share = |part: u64, of: u64| part as f64 / of.max(1) as f64;
    let solve = |q: f64, t: f64, f: f64| (t > f).then(|| ((q - f) / (t - f)).clamp(0.0, 1.0));
    let estimate = solve(share(seen, traffic.len() as u64), share(hits, positives), share(errors, negatives));
    // Three intervals, a third of the error each; the estimate grows with q and falls with t and with f.
    let each = 1.0 - (1.0 - confidence) / 3.0;
    let [q, t, f] = [(seen, traffic.len() as u64), (hits, positives), (errors, negatives)].map(|(k, n)| clopper_pearson(k, n, each));
    let interval = solve(q[0], t[1], f[1]).zip(solve(q[1], t[0], f[0])).map(|(low, high)| [low, high]);
    (estimate, estimate.and(interval))
}

/// Sum of (p - q) ln(p / q) over bins; half an item is added to each so that an empty bin is not infinitely far.
fn stability(ranked: &Ranked, traffic: &[f64]) -> f64 {
    let number = ranked.len();
    let mut edges: Vec<f64> = (1..BINS).map(|bin| ranked.scores()[number - 1 - bin * number / BINS]).collect();
    edges.dedup();
    let shares = |scores: &[f64]| {
        let mut bins = vec![0.5; edges.len() + 1];
        scores.iter().for_each(|score| bins[edges.partition_point(|edge| edge <= score)] += 1.0);
        let all = scores.len() as f64 + 0.5 * bins.len() as f64;
        bins.into_iter().map(|bin| bin / all).collect::<Vec<f64>>()
    };
    shares(ranked.scores()).into_iter().zip(shares(traffic)).map(|(p, q)| (p - q) * (p / q).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engines::calibration::{
            calibrator::{Method, fit},
            folds::Sample,
        },
        testing::populations::{Dice, GOOD},
    };

    #[test]
    fn the_traffics_prevalence_is_estimated_and_a_shift_is_seen() {
        let mut dice = Dice::new(4);
        let (scores, positive) = GOOD.sample(20_000, 0.5, &mut dice);
        let ranked = Ranked::new(&scores, &positive);
        let calibrator = fit(&Sample::new(&ranked, None, None, 1), Method::Platt).unwrap().calibrator;
        let (traffic, _) = GOOD.sample(50_000, 0.1, &mut dice);
        let found = of_traffic(&ranked, Some(&calibrator), Some(1.5), &traffic, 0.95).unwrap();
        let [low, high] = found.prevalence_bbse_interval.unwrap();
        assert!((found.prevalence_em.unwrap() - 0.1).abs() < 0.01 && low < 0.1 && 0.1 < high && high - low < 0.03, "{found:?}");
        assert!(found.population_stability_index > 0.25);
        let same = of_traffic(&ranked, None, Some(1.5), &scores, 0.95).unwrap();
        assert!(same.population_stability_index < 1e-3 && same.prevalence_em.is_none());
        assert_eq!(of_traffic(&ranked, None, None, &[], 0.95), None);
    }
}
