//! The metrics of one data set, as scikit-learn defines them, with weights.

use serde::Serialize;

use super::sorted::Sorted;

/// Losses of one item.
pub(super) mod loss {
    /// scikit-learn's `log_loss` keeps probabilities this far from 0 and 1: the distance of 1 from the next double.
    const CLIP: f64 = f64::EPSILON;

    /// (score - label)^2, the Brier score's.
    pub fn squared(score: f64, positive: bool) -> f64 {
        let error = score - f64::from(u8::from(positive));
        error * error
    }

    /// -ln of the probability that the score gives to what is true, clipped.
    pub fn log(score: f64, positive: bool) -> f64 {
        let probability = if positive { score } else { 1.0 - score };
        -probability.clamp(CLIP, 1.0 - CLIP).ln()
    }
}

/// Bins of the reliability diagram and of the expected calibration error: 15, as in Guo et al. (2017).
pub const RELIABILITY_BINS: usize = 15;
/// Bins of the score histograms: narrow enough to see two humps, wide enough to see them at 400 pixels.
pub const HISTOGRAM_BINS: usize = 40;
/// Points that the thinned curve has along either axis: finer than a screen shows.
const STEPS: f64 = 200.0;
/// Where a curve begins, few items are flagged, and every further one may change precision by a lot.
const RANK_GROWTH: f64 = 1.25;

/// A point of the precision-recall and the ROC curve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Items with at least this score are flagged.
    pub threshold: f64,
    pub flagged: u64,
    pub precision: f64,
    pub recall: Option<f64>,
    pub fpr: Option<f64>,
}

/// Scores in one bin against what was true.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// Scores above this (the first bin: from it on) …
    pub low: f64,
    /// … up to this.
    pub high: f64,
    pub n: u64,
    /// Weighted, as everything below.
    pub share: f64,
    pub mean_score: f64,
    pub positive_share: f64,
}

/// Scores in one bin, by class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistogramBin {
    pub low: f64,
    pub high: f64,
    pub positives: f64,
    pub negatives: f64,
}

/// Metrics over all thresholds, and sums for those at one.
pub(super) struct Curves {
    pub positives: f64,
    pub negatives: f64,
    pub auroc: Option<f64>,
    pub average_precision: Option<f64>,
    pub points: Vec<CurvePoint>,
}

impl Curves {
    /// Average precision is the sum of precision times the gain in recall; the area under the ROC curve is trapezoidal, so ties count half.
    pub fn of(sorted: &Sorted) -> Self {
        let (mut positives, mut negatives) = (0.0, 0.0);
        for (at, item) in sorted.items.iter().enumerate() {
            *if item.positive() { &mut positives } else { &mut negatives } += sorted.weight(at);
        }
        let (mut tp, mut fp, mut last_tp, mut last_fp, mut area, mut steps) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
        let (mut points, mut drawn, mut rank) = (Vec::new(), (-1.0, -1.0), 1.0);
        for (at, item) in sorted.items.iter().enumerate() {
            *if item.positive() { &mut tp } else { &mut fp } += sorted.weight(at);
            if !item.last() {
                continue;
            }
            area += (fp - last_fp) * (tp + last_tp);
            let precision = if tp + fp > 0.0 { tp / (tp + fp) } else { 0.0 };
            steps += (tp - last_tp) * precision;
            (last_tp, last_fp) = (tp, fp);
            let place = ((tp * STEPS / positives).floor(), (fp * STEPS / negatives).floor());
            let flagged = (at + 1) as f64;
            if place != drawn || flagged >= rank || at + 1 == sorted.len() {
                drawn = place;
                rank = (flagged * RANK_GROWTH).max(rank);
                let share = |part: f64, of: f64| (of > 0.0).then(|| part / of);
                points.push(CurvePoint {
                    threshold: sorted.scores[at],
                    flagged: (at + 1) as u64,
                    precision,
                    recall: share(tp, positives),
                    fpr: share(fp, negatives),
                });
            }
        }
        let some = |value: f64, defined: bool| defined.then_some(value);
        Self {
            positives,
            negatives,
            auroc: some(area / 2.0 / positives / negatives, positives > 0.0 && negatives > 0.0),
            average_precision: some(steps / positives, positives > 0.0),
            points,
        }
    }
}

/// Metrics that read scores as probabilities.
pub(super) struct Probabilities {
    pub brier: f64,
    pub log_loss: f64,
    pub ece: f64,
    pub bins: Vec<ReliabilityBin>,
}

impl Probabilities {
    /// `None` where a score lies outside 0..=1 or all weights are 0.
    ///
    /// Bins are as scikit-learn's `calibration_curve` cuts them: equal, an edge belongs to the bin below it. The expected calibration error is
    /// the mean distance of score and share of positives over the bins, each counting by its share.
    pub fn of(sorted: &Sorted) -> Option<Self> {
        if !sorted.probabilities() {
            return None;
        }
        let edge = reliability_edge;
        let inner: Vec<f64> = (1..RELIABILITY_BINS).map(edge).collect();
        let (mut squared, mut log, mut mass) = (0.0, 0.0, 0.0);
        let mut sums = [(0_u64, 0.0, 0.0, 0.0); RELIABILITY_BINS];
        for (at, (score, item)) in sorted.scores.iter().zip(&sorted.items).enumerate() {
            let (weight, positive) = (sorted.weight(at), item.positive());
            mass += weight;
            squared += weight * loss::squared(*score, positive);
            log += weight * loss::log(*score, positive);
            let (n, of_bin, score_sum, positive_sum) = &mut sums[inner.partition_point(|edge| edge < score)];
            *n += 1;
            *of_bin += weight;
            *score_sum += weight * score;
            *positive_sum += if positive { weight } else { 0.0 };
        }
        if mass <= 0.0 {
            return None;
        }
        let bin = |(at, (n, of_bin, score, positive)): (usize, (u64, f64, f64, f64))| {
            let mean = |sum: f64| if of_bin > 0.0 { sum / of_bin } else { 0.0 };
            ReliabilityBin {
                low: edge(at),
                high: edge(at + 1),
                n,
                share: of_bin / mass,
                mean_score: mean(score),
                positive_share: mean(positive),
            }
        };
        let bins: Vec<_> = sums.into_iter().enumerate().map(bin).collect();
        let ece = bins.iter().map(|bin| bin.share * (bin.mean_score - bin.positive_share).abs()).sum();
        Some(Self { brier: squared / mass, log_loss: log / mass, ece, bins: bins.into_iter().filter(|bin| bin.n > 0).collect() })
    }
}

/// The edges of the bins, as `numpy.linspace` gives them.
fn reliability_edge(at: usize) -> f64 {
    if at == RELIABILITY_BINS { 1.0 } else { at as f64 * (1.0 / RELIABILITY_BINS as f64) }
}

/// Where among the sorted items each bin lies, the highest first.
pub(super) fn reliability_ranges(sorted: &Sorted) -> Vec<std::ops::Range<usize>> {
    // An edge belongs to the bin below it.
    let above = |at: usize| if at == 0 { sorted.len() } else { sorted.scores.partition_point(|score| *score > reliability_edge(at)) };
    (0..RELIABILITY_BINS).rev().map(|bin| above(bin + 1)..above(bin)).collect()
}

/// Scores by class in equal bins: over 0..=1 for probabilities, else from the lowest to the highest score.
pub(super) fn histogram(sorted: &Sorted) -> Vec<HistogramBin> {
    let (Some(highest), Some(lowest)) = (sorted.scores.first(), sorted.scores.last()) else { return Vec::new() };
    let (low, high) = if sorted.probabilities() { (0.0, 1.0) } else { (*lowest, *highest) };
    let width = (high / HISTOGRAM_BINS as f64 - low / HISTOGRAM_BINS as f64).max(f64::MIN_POSITIVE);
    let edge = |at: usize| low + width * at as f64;
    let mut bins: Vec<_> =
        (0..HISTOGRAM_BINS).map(|at| HistogramBin { low: edge(at), high: edge(at + 1), positives: 0.0, negatives: 0.0 }).collect();
    for (at, (score, item)) in sorted.scores.iter().zip(&sorted.items).enumerate() {
        // Beyond the last edge by rounding alone.
        let bin = &mut bins[(((score - low) / width) as usize).min(HISTOGRAM_BINS - 1)];
        *if item.positive() { &mut bin.positives } else { &mut bin.negatives } += sorted.weight(at);
    }
    bins
}
