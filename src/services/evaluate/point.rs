//! What a threshold means on a data set: counts, shares, their intervals, and precision at other prevalences.

use serde::Serialize;

use super::{
    bootstrap::{Replicate, percentiles},
    sorted::{Clusters, Sorted},
};
use crate::engines::calibration::binomial::{clopper_pearson, wilson};

/// Prevalences at which precision is told: from a balanced test set's one in two to one in a million, as in a provider's traffic.
pub const PREVALENCES: [f64; 7] = [0.5, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6];

/// What happens when every item with at least this score is flagged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    pub threshold: f64,
    /// Of what is flagged, the share that is positive. `null` when nothing is flagged.
    pub precision: Option<f64>,
    /// See `interval_method`.
    pub precision_interval: Option<[f64; 2]>,
    /// Of what is positive, the share that is flagged. `null` without positives.
    pub recall: Option<f64>,
    pub recall_interval: Option<[f64; 2]>,
    /// Of what is negative, the share that is flagged. `null` without negatives.
    pub fpr: Option<f64>,
    pub fpr_interval: Option<[f64; 2]>,
    /// F-beta: (1 + beta^2) tp / ((1 + beta^2) tp + beta^2 fn + fp). `null` when there is neither a positive nor a flagged item.
    pub f1: Option<f64>,
    pub f0_5: Option<f64>,
    pub f2: Option<f64>,
    /// Items flagged, whatever their weight, as all counts.
    pub flagged: u64,
    pub tp: u64,
    pub fp: u64,
    pub r#fn: u64,
    pub tn: u64,
    /// The same with weights; `null` without.
    pub weighted: Option<Weighted>,
    /// How the three intervals above were made: `clopper-pearson` for independent unweighted items, `cluster bootstrap` for others (where few are
    /// wrong widened to Clopper-Pearson's over as many items as the clusters are worth), `none` without replicates.
    pub interval_method: &'static str,
    /// For display.
    pub wilson: Option<Shares>,
    /// As drawn, for display.
    pub bootstrap: Option<Shares>,
    pub at_prevalence: Vec<AtPrevalence>,
}

/// Sums of weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Weighted {
    pub tp: f64,
    pub fp: f64,
    pub r#fn: f64,
    pub tn: f64,
}

/// Intervals of the shares at a threshold.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Shares {
    pub precision: Option<[f64; 2]>,
    pub recall: Option<[f64; 2]>,
    pub fpr: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f1: Option<[f64; 2]>,
}

/// Precision in traffic with another share of positives, were recall and false positive rate what they are here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AtPrevalence {
    pub prevalence: f64,
    pub precision: Option<f64>,
    /// Both ends of recall's and of the false positive rate's interval taken together, each at half the error.
    pub interval: Option<[f64; 2]>,
}

/// pi T / (pi T + (1 - pi) F): precision from recall, false positive rate and prevalence.
pub fn precision_at(prevalence: f64, recall: f64, fpr: f64) -> Option<f64> {
    let (right, wrong) = (prevalence * recall, (1.0 - prevalence) * fpr);
    (right + wrong > 0.0).then(|| right / (right + wrong))
}

fn share(part: f64, rest: f64) -> Option<f64> {
    (part + rest > 0.0).then(|| part / (part + rest))
}

fn f_beta(beta: f64, tp: f64, fp: f64, missed: f64) -> Option<f64> {
    let square = beta * beta;
    share((1.0 + square) * tp, square * missed + fp)
}

impl Point {
    /// `replicates` hold this threshold's counts at `place`; there may be none.
    pub(super) fn of(sorted: &Sorted, threshold: f64, confidence: f64, replicates: &[Replicate], place: usize) -> Self {
        let flagged = sorted.flagged(threshold);
        let (mut counts, mut sums) = ([[0_u64; 2]; 2], [[0.0; 2]; 2]);
        for (at, item) in sorted.items.iter().enumerate() {
            let (row, column) = (usize::from(at >= flagged), usize::from(!item.positive()));
            counts[row][column] += 1;
            sums[row][column] += sorted.weight(at);
        }
        let [[tp, fp], [missed, tn]] = counts;
        let [[tp_mass, fp_mass], [missed_mass, tn_mass]] = sums;
        let (recall, fpr) = (share(tp_mass, missed_mass), share(fp_mass, tn_mass));
        let independent = sorted.weights.is_none() && sorted.clusters == Clusters::Each;
        let both = |interval: fn(u64, u64, f64) -> [f64; 2], confidence: f64| {
            let of = |part: u64, all: u64| (all > 0).then(|| interval(part, all, confidence));
            Shares { precision: of(tp, tp + fp), recall: of(tp, tp + missed), fpr: of(fp, fp + tn), f1: None }
        };
        let precision = share(tp_mass, fp_mass);
        let effective = (!independent && !replicates.is_empty()).then(|| effective(sorted, flagged));
        let widened = |confidence: f64| {
            let mut shares = bootstrap_shares(replicates, place, confidence);
            if let Some(effective) = effective {
                let of = [(&mut shares.precision, precision), (&mut shares.recall, recall), (&mut shares.fpr, fpr)];
                of.into_iter().zip(effective).for_each(|((interval, share), n)| widen(interval, share, n, confidence));
            }
            shares
        };
        let intervals = |confidence| match (independent, replicates.is_empty()) {
            (true, _) => ("clopper-pearson", both(clopper_pearson, confidence)),
            (false, false) => ("cluster bootstrap", widened(confidence)),
            (false, true) => ("none", Shares::default()),
        };
        // Of two intervals at half the error each, both hold with the whole confidence.
        let (_, halves) = intervals(f64::midpoint(1.0, confidence));
        let at_prevalence = |prevalence: f64| AtPrevalence {
            prevalence,
            precision: recall.zip(fpr).and_then(|(recall, fpr)| precision_at(prevalence, recall, fpr)),
            interval: halves.recall.zip(halves.fpr).and_then(|([low, high], [few, many])| {
                Some([precision_at(prevalence, low, many).unwrap_or(0.0), precision_at(prevalence, high, few)?])
            }),
        };
        let (interval_method, intervals) = intervals(confidence);
        Self {
            threshold,
            precision,
            precision_interval: intervals.precision,
            recall,
            recall_interval: intervals.recall,
            fpr,
            fpr_interval: intervals.fpr,
            f1: f_beta(1.0, tp_mass, fp_mass, missed_mass),
            f0_5: f_beta(0.5, tp_mass, fp_mass, missed_mass),
            f2: f_beta(2.0, tp_mass, fp_mass, missed_mass),
            flagged: flagged as u64,
            tp,
            fp,
            r#fn: missed,
            tn,
            weighted: sorted.weights.is_some().then_some(Weighted { tp: tp_mass, fp: fp_mass, r#fn: missed_mass, tn: tn_mass }),
            interval_method,
            wilson: independent.then(|| both(wilson, confidence)),
            bootstrap: (!replicates.is_empty()).then(|| bootstrap_shares(replicates, place, confidence)),
            at_prevalence: PREVALENCES.map(at_prevalence).into(),
        }
    }
}

/// The shares that [`Replicate`] gives at a threshold, in the order precision, recall, false positive rate, F1.
pub(super) fn replicate_shares(replicate: &Replicate, place: usize) -> [Option<f64>; 4] {
    let (tp, fp) = replicate.at[place];
    let missed = replicate.positives - tp;
    [share(tp, fp), share(tp, missed), share(fp, replicate.negatives - fp), f_beta(1.0, tp, fp, missed)]
}

fn bootstrap_shares(replicates: &[Replicate], place: usize, confidence: f64) -> Shares {
    let interval = |which: usize| percentiles(replicates.iter().filter_map(|one| replicate_shares(one, place)[which]), confidence);
    Shares { precision: interval(0), recall: interval(1), fpr: interval(2), f1: interval(3) }
}

/// Outcomes of either kind from which on a bootstrap of a share is trusted: ten, as for the normal approximation of a binomial.
const FEW: u64 = 10;

/// A bootstrap cannot draw an error that is not there: where hardly any item is wrong its interval shrinks to a point. There it is widened to the
/// exact one of `effective` independent items.
fn widen(interval: &mut Option<[f64; 2]>, share: Option<f64>, effective: f64, confidence: f64) {
    let (Some([low, high]), Some(share)) = (interval.as_mut(), share) else { return };
    let items = effective.floor() as u64;
    let hits = ((share * effective).round() as u64).min(items);
    if hits.min(items - hits) < FEW {
        let [exact_low, exact_high] = clopper_pearson(hits, items, confidence);
        (*low, *high) = (low.min(exact_low), high.max(exact_high));
    }
}

/// How many independent items the flagged, the positives and the negatives are worth: Kish's (sum of m)^2 / (sum of m^2) over the masses of their
/// clusters (Survey Sampling, 1965), as if all items of a cluster shared their fate.
fn effective(sorted: &Sorted, flagged: usize) -> [f64; 3] {
    let mut masses = vec![[0.0; 3]; sorted.clusters() as usize];
    for (at, item) in sorted.items.iter().enumerate() {
        let mass = &mut masses[if sorted.clusters == Clusters::Each { at } else { item.cluster() }];
        let weight = sorted.weight(at);
        mass[0] += if at < flagged { weight } else { 0.0 };
        mass[if item.positive() { 1 } else { 2 }] += weight;
    }
    [0, 1, 2].map(|which| {
        let (sum, squares) =
            masses.iter().fold((0.0, 0.0), |(sum, squares), mass| (sum + mass[which], squares + mass[which] * mass[which]));
        if squares > 0.0 { sum * sum / squares } else { 0.0 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::labelled::{Groups, Labelled},
        services::evaluate::{Options, evaluate},
    };

    #[test]
    fn no_error_among_a_few_groups_is_no_proof() {
        // 40 groups of five equal items, all flagged and all positive but for the unflagged negatives.
        let rows = 400_u32;
        let data = Labelled {
            scores: (0..rows).map(|row| if row < 200 { 0.9 } else { 0.1 }).collect(),
            positive: (0..rows).map(|row| row < 200).collect(),
            groups: Some(Groups { codes: (0..rows).map(|row| row / 5).collect(), count: rows / 5 }),
            ..Labelled::default()
        };
        let found = evaluate(&data, &Options { thresholds: vec![0.5], replicates: 100, ..Options::default() }, &|| {}).unwrap();
        let point = &found.whole.at[0];
        assert_eq!(point.bootstrap.as_ref().unwrap().precision, Some([1.0, 1.0]), "what a bootstrap alone would say");
        assert_eq!(point.precision_interval, Some(clopper_pearson(40, 40, 0.95)), "forty observations, not two hundred");
        let rare = point.at_prevalence.last().unwrap();
        assert!(rare.precision == Some(1.0) && rare.interval.unwrap()[0] < 1e-4, "{rare:?}");
        // With weights: one heavy item and many light ones are worth little more than one.
        let weights = (0..rows).map(|row| if row == 0 { 1e6 } else { 1.0 }).collect();
        let found = evaluate(
            &Labelled { weights: Some(weights), groups: None, ..data },
            &Options { thresholds: vec![0.5], replicates: 100, ..Options::default() },
            &|| {},
        );
        assert!(found.unwrap().whole.at[0].precision_interval.unwrap()[0] < 0.05);
    }

    /// By Bayes' rule, precision = πT / (πT + (1 - π)F) with prevalence π, recall T and false positive rate F; worked out by hand.
    #[test]
    fn precision_at_other_prevalences_is_bayes_rule() {
        for (prevalence, fpr, expected) in
            [(0.5, 1e-3, 0.9988), (0.1, 1e-3, 0.989), (0.01, 1e-3, 0.890), (1e-3, 1e-3, 0.445), (1e-4, 1e-3, 0.074), (1e-4, 1e-5, 0.889)]
        {
            let found = precision_at(prevalence, 0.8, fpr).unwrap();
            assert!((found - expected).abs() < 6e-4, "{prevalence} {fpr}: {found}");
        }
        // 99 % on a balanced set is 91.7 % at 10 %, 50 % at 1 %, 9 % at 0.1 %.
        for (prevalence, expected) in [(0.1, 0.917), (0.01, 0.5), (1e-3, 0.09)] {
            assert!((precision_at(prevalence, 0.99, 0.01).unwrap() - expected).abs() < 2e-3);
        }
        assert_eq!(precision_at(0.1, 0.0, 0.0), None);
    }

    #[test]
    fn counts_are_at_or_above_the_threshold() {
        let data = Labelled {
            scores: vec![0.9, 0.5, 0.5, 0.4, 0.1],
            positive: vec![true, true, false, true, false],
            weights: None,
            ..Labelled::default()
        };
        let point = Point::of(&Sorted::new(&data), 0.5, 0.95, &[], 0);
        assert_eq!((point.tp, point.fp, point.r#fn, point.tn, point.flagged), (2, 1, 1, 1, 3));
        assert_eq!((point.precision, point.recall, point.fpr), (Some(2.0 / 3.0), Some(2.0 / 3.0), Some(0.5)));
        assert_eq!((point.f1, point.interval_method), (Some(2.0 / 3.0), "clopper-pearson"));
        let nothing = Point::of(&Sorted::new(&data), 1.0, 0.95, &[], 0);
        assert_eq!((nothing.precision, nothing.precision_interval, nothing.recall, nothing.f1), (None, None, Some(0.0), Some(0.0)));
        let grouped = Labelled { groups: Some(Groups { codes: vec![0; 5], count: 1 }), ..data };
        let point = Point::of(&Sorted::new(&grouped), 0.5, 0.95, &[], 0);
        assert_eq!((point.interval_method, point.precision_interval, point.wilson), ("none", None, None), "no binomial for clusters");
    }
}
