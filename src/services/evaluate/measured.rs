//! One population's metrics with their intervals.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Options,
    bootstrap::{self, Plan, Replicate, percentiles},
    metrics::{Curves, Probabilities},
    point::Point,
    sorted::Sorted,
};

/// What is known of a population: the whole data set, or a slice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    pub n: u64,
    pub positives: u64,
    /// The share of positives, weighted; `null` when all weights are 0.
    pub prevalence: Option<f64>,
    /// Clusters that items belong to; `null` when each item stands for itself.
    pub clusters: Option<u64>,
    pub weighted: bool,
    /// Area under the ROC curve: the chance that a positive scores higher than a negative, ties counted half.
    pub auroc: Option<f64>,
    /// The sum over thresholds of precision times the gain in recall.
    pub average_precision: Option<f64>,
    /// Mean squared distance of score and label.
    pub brier: Option<f64>,
    /// Mean negative logarithm of the probability given to what was true, in nats.
    pub log_loss: Option<f64>,
    /// Expected calibration error over equal bins.
    pub ece: Option<f64>,
    /// Why a metric is `null`.
    pub undefined: BTreeMap<&'static str, &'static str>,
    /// Cluster bootstrap intervals of the metrics above, where there are replicates.
    pub intervals: Intervals,
    /// One for each threshold.
    pub at: Vec<Point>,
}

/// Intervals of the metrics that have no threshold; `null` where undefined in all replicates, or without replicates.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Intervals {
    pub auroc: Option<[f64; 2]>,
    pub average_precision: Option<[f64; 2]>,
    pub brier: Option<[f64; 2]>,
    pub log_loss: Option<[f64; 2]>,
    /// A replicate's bins are noisier than the sample's, and noise only adds to the error: this interval lies too high.
    pub ece: Option<[f64; 2]>,
    /// Replicates that had one class only and so no AUROC; they are left out of its interval.
    pub one_class_replicates: u64,
}

/// What a picture needs beside the metrics.
pub(super) struct Detail {
    pub curves: Curves,
    pub probabilities: Option<Probabilities>,
    pub replicates: Vec<Replicate>,
}

const ONE_CLASS: &str = "all items are of one class";
const NO_POSITIVES: &str = "no item is positive";
const NO_PROBABILITIES: &str = "scores outside 0..=1 are no probabilities";
const NO_WEIGHT: &str = "all weights are 0";

impl Measured {
    /// `recalls` are those of the band; `done` is called after each replicate.
    pub(super) fn of(sorted: &Sorted, options: &Options, recalls: &[f64], done: &(dyn Fn() + Sync)) -> (Self, Detail) {
        let (curves, probabilities) = (Curves::of(sorted), Probabilities::of(sorted));
        let replicates = match options.replicates {
            0 => Vec::new(),
            count => bootstrap::run(sorted, &Plan::new(sorted, &options.thresholds, recalls), count, options.seed, done),
        };
        let point = |(place, threshold): (usize, &f64)| Point::of(sorted, *threshold, options.confidence, &replicates, place);
        let at = options.thresholds.iter().enumerate().map(point).collect();
        let mass = curves.positives + curves.negatives;
        let mut undefined = BTreeMap::new();
        let mut reason = |names: &[&'static str], reason| undefined.extend(names.iter().map(|name| (*name, reason)));
        if curves.auroc.is_none() {
            reason(&["auroc"], if mass > 0.0 { ONE_CLASS } else { NO_WEIGHT });
        }
        if curves.average_precision.is_none() {
            reason(&["average_precision"], if mass > 0.0 { NO_POSITIVES } else { NO_WEIGHT });
        }
        if probabilities.is_none() {
            reason(&["brier", "log_loss", "ece"], if sorted.probabilities() { NO_WEIGHT } else { NO_PROBABILITIES });
        }
        let interval = |of: fn(&Replicate) -> Option<f64>| percentiles(replicates.iter().filter_map(of), options.confidence);
        let intervals = Intervals {
            auroc: interval(|replicate| replicate.auroc),
            average_precision: interval(|replicate| replicate.average_precision),
            brier: interval(|replicate| replicate.brier),
            log_loss: interval(|replicate| replicate.log_loss),
            ece: interval(|replicate| replicate.ece),
            one_class_replicates: replicates.iter().filter(|replicate| replicate.auroc.is_none()).count() as u64,
        };
        let measured = Self {
            n: sorted.len() as u64,
            positives: sorted.items.iter().filter(|item| item.positive()).count() as u64,
            prevalence: (mass > 0.0).then(|| curves.positives / mass),
            clusters: sorted.groups().map(u64::from),
            weighted: sorted.weights.is_some(),
            auroc: curves.auroc,
            average_precision: curves.average_precision,
            brier: probabilities.as_ref().map(|found| found.brier),
            log_loss: probabilities.as_ref().map(|found| found.log_loss),
            ece: probabilities.as_ref().map(|found| found.ece),
            undefined,
            intervals,
            at,
        };
        (measured, Detail { curves, probabilities, replicates })
    }
}
