//! One walk over the items, each as often as its cluster was drawn: all metrics of a replicate at once.

use std::ops::{Add, AddAssign, Sub};

use serde::Serialize;

use super::super::{
    metrics::{loss, reliability_ranges},
    sorted::{Clusters, Item, Sorted},
};

/// What does not change between replicates.
pub struct Plan<'a> {
    sorted: &'a Sorted,
    /// How many items each threshold flags, ascending.
    cuts: Vec<usize>,
    /// The recalls at which the band of precision is wanted, ascending, in 0..=1.
    recalls: &'a [f64],
    sums: Sums,
    /// Where the bins of the calibration error begin and end; empty where scores are no probabilities.
    bins: Vec<std::ops::Range<usize>>,
}

/// What sums up by clusters needs no walk.
enum Sums {
    /// Items are clusters; of each the log-loss, by place. Empty where scores are no probabilities.
    Each { log_losses: Vec<f64> },
    /// Of each cluster, with the items' weights.
    Many { clusters: Vec<Cluster>, probabilities: bool },
}

#[derive(Clone, Copy, Default)]
struct Cluster {
    positive: f64,
    mass: f64,
    squared: f64,
    log: f64,
}

/// The metrics of one replicate, `None` where they are undefined for what was drawn.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Replicate {
    pub auroc: Option<f64>,
    pub average_precision: Option<f64>,
    pub brier: Option<f64>,
    pub log_loss: Option<f64>,
    pub ece: Option<f64>,
    /// Mass of the positives and of the negatives.
    pub positives: f64,
    pub negatives: f64,
    /// (true positives, false positives) of each cut, as mass.
    pub at: Vec<(f64, f64)>,
    /// Precision where the recall is first reached, of each recall (hundredths, in a report). Without positives empty.
    pub band: Vec<f32>,
}

/// Counts are exact and quick as integers; weights are not.
trait Mass: Copy + PartialEq + PartialOrd + Add<Output = Self> + Sub<Output = Self> + AddAssign + Default {
    fn of(drawn: u8, weights: &[f64], at: usize) -> Self;
    fn get(self) -> f64;
}

impl Mass for u64 {
    fn of(drawn: u8, _: &[f64], _: usize) -> Self {
        Self::from(drawn)
    }

    fn get(self) -> f64 {
        self as f64
    }
}

impl Mass for f64 {
    fn of(drawn: u8, weights: &[f64], at: usize) -> Self {
        Self::from(drawn) * weights[at]
    }

    fn get(self) -> f64 {
        self
    }
}

impl<'a> Plan<'a> {
    /// `thresholds` in any order; results come in that order.
    pub fn new(sorted: &'a Sorted, thresholds: &[f64], recalls: &'a [f64]) -> Self {
        let probabilities = sorted.probabilities();
        let sums = match sorted.clusters {
            Clusters::Each if !probabilities => Sums::Each { log_losses: Vec::new() },
            Clusters::Each => {
                let losses = sorted.scores.iter().zip(&sorted.items).map(|(score, item)| loss::log(*score, item.positive()));
                Sums::Each { log_losses: losses.collect() }
            }
            Clusters::Many(count) => {
                let mut clusters = vec![Cluster::default(); count as usize];
                for (at, item) in sorted.items.iter().enumerate() {
                    let (cluster, weight, score) = (&mut clusters[item.cluster()], sorted.weight(at), sorted.scores[at]);
                    cluster.mass += weight;
                    cluster.positive += if item.positive() { weight } else { 0.0 };
                    if probabilities {
                        cluster.squared += weight * loss::squared(score, item.positive());
                        cluster.log += weight * loss::log(score, item.positive());
                    }
                }
                Sums::Many { clusters, probabilities }
            }
        };
        let cuts = thresholds.iter().map(|threshold| sorted.flagged(*threshold)).collect();
        let bins = if probabilities { reliability_ranges(sorted) } else { Vec::new() };
        Self { sorted, cuts, recalls, sums, bins }
    }

    /// The metrics where cluster `c` was drawn `drawn[c]` times.
    pub fn replicate(&self, drawn: &[u8]) -> Replicate {
        match &self.sorted.weights {
            None => self.walk::<u64>(drawn, &[]),
            Some(weights) => self.walk::<f64>(drawn, weights),
        }
    }

    fn walk<M: Mass>(&self, drawn: &[u8], weights: &[f64]) -> Replicate {
        let totals = self.totals::<M>(drawn, weights);
        let mut walk = Walk::<M>::default();
        let mut out = Replicate { positives: totals.positive, negatives: totals.mass - totals.positive, ..Replicate::default() };
        let targets: Vec<f64> = self.recalls.iter().map(|recall| recall * totals.positive).collect();
        out.band.reserve(targets.len());
        out.at = vec![(0.0, 0.0); self.cuts.len()];
        let mut gaps = vec![0.0; self.bins.len()];
        let mut start = 0;
        for stop in self.stops() {
            let before = walk.positive;
            let scored = walk.run(self.sorted, start..stop, drawn, weights, &targets, &mut out.band);
            // The sum of scores less the sum of positives: a bin's mass times the distance of their means.
            if let Some(bin) = self.bins.iter().position(|bin| bin.contains(&start)) {
                gaps[bin] += scored - (walk.positive - before).get();
            }
            for (at, _) in out.at.iter_mut().zip(&self.cuts).filter(|(_, cut)| **cut == stop) {
                *at = (walk.positive.get(), walk.negative.get());
            }
            start = stop;
        }
        let area = walk.area + 2.0 * walk.base_positive.get() * (walk.negative - walk.base_negative).get();
        if out.positives > 0.0 {
            out.average_precision = Some(walk.steps / walk.positive.get());
            // Rounding of weights may leave the last recalls a hair out of reach.
            let last = (walk.positive.get() / (walk.positive + walk.negative).get()) as f32;
            out.band.resize(targets.len(), last);
            if out.negatives > 0.0 {
                out.auroc = Some(area / 2.0 / walk.positive.get() / walk.negative.get());
            }
        }
        if totals.mass > 0.0 {
            out.brier = totals.squared.map(|sum| sum / totals.mass);
            out.log_loss = totals.log.map(|sum| sum / totals.mass);
            out.ece = (!gaps.is_empty()).then(|| gaps.iter().map(|gap| gap.abs()).sum::<f64>() / totals.mass);
        }
        out
    }

    /// Where something is noted on the way down the scores: at cuts, and at the ends of bins; ascending, the last is the end.
    fn stops(&self) -> Vec<usize> {
        let bins = self.bins.iter().flat_map(|bin| [bin.start, bin.end]);
        let mut stops: Vec<usize> = self.cuts.iter().copied().chain(bins).chain([self.sorted.len()]).collect();
        stops.sort_unstable();
        stops.dedup();
        stops
    }

    fn totals<M: Mass>(&self, drawn: &[u8], weights: &[f64]) -> Totals {
        let mut totals = Totals::default();
        match &self.sums {
            Sums::Many { clusters, probabilities } => {
                let (mut squared, mut log) = (0.0, 0.0);
                for (cluster, drawn) in clusters.iter().zip(drawn) {
                    let drawn = f64::from(*drawn);
                    totals.positive += drawn * cluster.positive;
                    totals.mass += drawn * cluster.mass;
                    squared += drawn * cluster.squared;
                    log += drawn * cluster.log;
                }
                totals.squared = probabilities.then_some(squared);
                totals.log = probabilities.then_some(log);
            }
            Sums::Each { log_losses } => {
                let (mut mass, mut positive) = (M::default(), M::default());
                for (at, (item, drawn)) in self.sorted.items.iter().zip(drawn).enumerate() {
                    let of_item = M::of(*drawn, weights, at);
                    mass += of_item;
                    positive += if item.positive() { of_item } else { M::default() };
                }
                (totals.mass, totals.positive) = (mass.get(), positive.get());
                if !log_losses.is_empty() {
                    let (mut squared, mut log) = (0.0, 0.0);
                    for (at, (item, drawn)) in self.sorted.items.iter().zip(drawn).enumerate() {
                        let mass = M::of(*drawn, weights, at).get();
                        squared += mass * loss::squared(self.sorted.scores[at], item.positive());
                        log += mass * log_losses[at];
                    }
                    (totals.squared, totals.log) = (Some(squared), Some(log));
                }
            }
        }
        totals
    }
}

#[derive(Default)]
struct Totals {
    mass: f64,
    positive: f64,
    squared: Option<f64>,
    log: Option<f64>,
}

/// The state between two items.
#[derive(Default)]
struct Walk<M> {
    positive: M,
    negative: M,
    /// Negatives at the end of the last score.
    last_negative: M,
    /// Positives and negatives at the end of the last score that had a positive.
    base_positive: M,
    base_negative: M,
    /// Twice the area under the ROC curve up to there, in positives times negatives.
    area: f64,
    /// The sum of precision times new positives.
    steps: f64,
}

impl<M: Mass> Walk<M> {
    /// Walks over some items; gives the sum of their scores by mass.
    fn run(
        &mut self,
        sorted: &Sorted,
        range: std::ops::Range<usize>,
        drawn: &[u8],
        weights: &[f64],
        targets: &[f64],
        band: &mut Vec<f32>,
    ) -> f64 {
        let each = sorted.clusters == Clusters::Each;
        let (start, mut scored) = (range.start, 0.0);
        for (offset, (item, score)) in sorted.items[range.clone()].iter().zip(&sorted.scores[range]).enumerate() {
            let at = start + offset;
            let drawn = if each { drawn[at] } else { drawn[item.cluster()] };
            let mass = M::of(drawn, weights, at);
            scored += mass.get() * score;
            self.add(*item, mass, targets, band);
        }
        scored
    }

    #[inline(always)]
    fn add(&mut self, item: Item, mass: M, targets: &[f64], band: &mut Vec<f32>) {
        let none = M::default();
        self.positive += if item.positive() { mass } else { none };
        self.negative += if item.positive() { none } else { mass };
        if item.last() {
            if self.positive != self.base_positive {
                self.score_with_positives(targets, band);
            }
            self.last_negative = self.negative;
        }
    }

    /// Between two scores with positives the ROC curve is flat; in one score it rises along the diagonal, which counts ties half.
    fn score_with_positives(&mut self, targets: &[f64], band: &mut Vec<f32>) {
        let (before, after) = (self.base_positive.get(), self.positive.get());
        self.area += 2.0 * before * (self.last_negative - self.base_negative).get();
        self.area += (before + after) * (self.negative - self.last_negative).get();
        let precision = after / (self.positive + self.negative).get();
        self.steps += precision * (self.positive - self.base_positive).get();
        while targets.get(band.len()).is_some_and(|target| *target <= after) {
            band.push(precision as f32);
        }
        (self.base_positive, self.base_negative) = (self.positive, self.negative);
    }
}
