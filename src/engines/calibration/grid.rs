//! A declared grid of thresholds, as MAPIE's `BinaryClassificationController(risk="precision")` does it, to be compared with it.
//!
//! An item is flagged when it scores at least the candidate, and the threshold is the candidate itself. With MAPIE's p-values (Hoeffding-Bentkus) the
//! threshold is MAPIE's (version 1.6), its peculiarities included: a candidate above all scores has no p-value, which ends Holm's and the fixed
//! sequence at once, and the fixed sequence's direction is taken from the sample. With exact p-values neither is the case.

use super::{binomial::cdf, ltt::divergence, ranked::Ranked};

/// How the chance of any wrong claim is kept at delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fwer {
    Bonferroni,
    Holm,
    /// From the strictest candidate down, until one is not rejected.
    FixedSequence,
}

/// The test of one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PValue {
    /// The binomial tail.
    Exact,
    /// The smaller of Hoeffding's and Bentkus' bounds for binary losses, in MAPIE's arithmetic.
    HoeffdingBentkus,
}

/// A candidate and what it flags.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GridCut {
    pub threshold: f64,
    pub flagged: u64,
    pub errors: u64,
}

/// What a grid search found.
#[derive(Clone, Debug, PartialEq)]
pub struct GridSearch {
    /// The certified candidate with the highest recall.
    pub certified: Option<GridCut>,
    /// The candidate with the smallest p-value.
    pub nearest: Option<GridCut>,
    /// Whether the fixed sequence went from lax to strict, because precision fell with the threshold in the sample.
    pub ascending: bool,
}

/// `number` evenly spaced candidates from `start` to `end`, as numpy's `linspace` computes them.
pub fn linspace(start: f64, end: f64, number: usize) -> Vec<f64> {
    if number < 2 {
        return vec![start; number];
    }
    let step = (end - start) / (number - 1) as f64;
    let mut candidates: Vec<f64> = (0..number).map(|i| i as f64 * step + start).collect();
    candidates[number - 1] = end;
    candidates
}

/// Tests every candidate (ascending) against an error rate of `alpha` or more.
pub fn search(ranked: &Ranked, alpha: f64, delta: f64, candidates: &[f64], fwer: Fwer, p_value: PValue) -> GridSearch {
    let mut hits_before = Vec::with_capacity(ranked.len() + 1);
    hits_before.push(0_u64);
    hits_before.extend(ranked.positive().iter().scan(0, |hits, positive| {
        *hits += u64::from(*positive);
        Some(*hits)
    }));
    let cuts: Vec<GridCut> = candidates
        .iter()
        .map(|&threshold| {
            let flagged = ranked.at_least(threshold);
            GridCut { threshold, flagged: flagged as u64, errors: flagged as u64 - hits_before[flagged] }
        })
        .collect();
    let p_values: Vec<Option<f64>> = cuts.iter().map(|cut| p_of(cut, alpha, p_value)).collect();
    let ascending = p_value == PValue::HoeffdingBentkus && fwer == Fwer::FixedSequence && rises(&cuts);
    let rejected = rejected(&p_values, delta, fwer, ascending);
    let better = |a: &&GridCut, b: &&GridCut| {
        let (hits, risk) = (|cut: &GridCut| cut.flagged - cut.errors, |cut: &GridCut| cut.errors as f64 / cut.flagged as f64);
        // Among equals MAPIE takes the first; `max_by` the last.
        hits(a).cmp(&hits(b)).then(risk(a).total_cmp(&risk(b))).then(b.threshold.total_cmp(&a.threshold))
    };
    let certified = cuts.iter().zip(&rejected).filter(|(_, rejected)| **rejected).map(|(cut, _)| cut).max_by(better).copied();
    let ranked_p = cuts.iter().zip(&p_values).filter_map(|(cut, p)| p.map(|p| (cut, p)));
    let nearest = ranked_p.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(cut, _)| *cut);
    GridSearch { certified, nearest, ascending }
}

/// The p-value; `None` where nothing is flagged.
fn p_of(cut: &GridCut, alpha: f64, p_value: PValue) -> Option<f64> {
    let n = cut.flagged as f64;
    match p_value {
        PValue::Exact if cut.flagged == 0 => Some(1.0),
        PValue::Exact => Some(cdf(cut.errors, cut.flagged, alpha)),
        PValue::HoeffdingBentkus if cut.flagged == 0 => None,
        PValue::HoeffdingBentkus => {
            let risk = 1.0 - (cut.flagged - cut.errors) as f64 / n;
            let hoeffding = (-n * divergence(risk.min(alpha), alpha)).exp();
            // Rounding may lift n times the risk above the number of errors; MAPIE then counts one more, and so does this.
            Some(cdf((n * risk).ceil() as u64, cut.flagged, alpha).min(hoeffding))
        }
    }
}

/// Whether the risk rises with the threshold, by MAPIE's rule (an empty candidate has risk 1).
fn rises(cuts: &[GridCut]) -> bool {
    /// MAPIE's tolerance.
    const TOLERANCE: f64 = 1e-6;
    let risk = |cut: &GridCut| if cut.flagged == 0 { 1.0 } else { 1.0 - (cut.flagged - cut.errors) as f64 / cut.flagged as f64 };
    let steps: Vec<f64> = cuts.windows(2).map(|pair| risk(&pair[1]) - risk(&pair[0])).collect();
    if steps.iter().all(|step| *step >= -TOLERANCE) {
        return true;
    }
    !steps.iter().all(|step| *step <= TOLERANCE) && steps.iter().sum::<f64>() > 0.0
}

fn rejected(p_values: &[Option<f64>], delta: f64, fwer: Fwer, ascending: bool) -> Vec<bool> {
    let number = p_values.len();
    let mut rejected = vec![false; number];
    match fwer {
        Fwer::Bonferroni => {
            for (rejected, p) in rejected.iter_mut().zip(p_values) {
                *rejected = p.is_some_and(|p| p <= delta / number as f64);
            }
        }
        Fwer::Holm => {
            if p_values.contains(&None) {
                return rejected;
            }
            let mut order: Vec<usize> = (0..number).collect();
            order.sort_by(|a, b| p_values[*a].unwrap_or(1.0).total_cmp(&p_values[*b].unwrap_or(1.0)));
            for (done, at) in order.into_iter().enumerate() {
                if p_values[at].is_none_or(|p| p > delta / (number - done) as f64) {
                    break;
                }
                rejected[at] = true;
            }
        }
        Fwer::FixedSequence => {
            let order: Box<dyn Iterator<Item = usize>> = if ascending { Box::new(0..number) } else { Box::new((0..number).rev()) };
            for at in order {
                if p_values[at].is_none_or(|p| p > delta) {
                    break;
                }
                rejected[at] = true;
            }
        }
    }
    rejected
}
