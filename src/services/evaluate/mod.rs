//! Evaluation: how good a classifier is, with intervals, and for whom.
//!
//! [`evaluate`] takes scores and labels and gives an [`Evaluation`]: metrics over all thresholds (AUROC, average precision, Brier, log-loss, calibration
//! error), metrics at each threshold somebody names, the same for every slice, and what a report draws. Every figure has an interval:
//!
//! - Shares of independent, unweighted items (precision, recall, false positive rate) get Clopper-Pearson intervals, which hold at least as often
//!   as they say and are what a claim may be built on. Wilson's stand beside them for display.
//! - Everything else gets a cluster bootstrap (`bootstrap`): whole groups are drawn anew, because a conversation's messages or a viral picture's
//!   copies are one observation and not many. Where hardly any item is wrong its intervals are too short; they are for display.
//!
//! A metric that is undefined (AUROC of one class, Brier of scores that are no probabilities) is `None` and says why.
//!
//! ```
//! use nightlight::{domain::labelled::Labelled, services::evaluate::{Options, evaluate}};
//! let data = Labelled { scores: vec![0.9, 0.8, 0.3, 0.1], positive: vec![true, false, true, false], ..Labelled::default() };
//! let options = Options { thresholds: vec![0.5], ..Options::default() };
//! let found = evaluate(&data, &options, &|| {}).unwrap();
//! assert_eq!((found.whole.auroc, found.whole.at[0].precision), (Some(0.75), Some(0.5)));
//! ```

mod bootstrap;
mod compare;
pub mod files;
pub mod hashes;
mod measured;
mod metrics;
mod point;
pub mod report;
mod sorted;

use serde::Serialize;

pub use self::{
    bootstrap::Replicate,
    compare::{CompareError, CompareOptions, ComparedPoint, Comparison, Difference, McNemar, compare},
    measured::{Intervals, Measured},
    metrics::{CurvePoint, HISTOGRAM_BINS, HistogramBin, RELIABILITY_BINS, ReliabilityBin},
    point::{AtPrevalence, PREVALENCES, Point, Shares, Weighted, precision_at},
};
use self::{
    bootstrap::percentiles,
    sorted::{MOST_ITEMS, Sorted},
};
use crate::domain::labelled::Labelled;

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Options {
    /// Items with at least this score are flagged; finite.
    pub thresholds: Vec<f64>,
    /// Of all intervals; in 0..1.
    pub confidence: f64,
    /// Bootstrap replicates; 0 for none.
    pub replicates: u32,
    pub seed: u64,
    /// Examples of either kind of error.
    pub examples: usize,
}

impl Default for Options {
    /// A thousand replicates place the ends of a 95 % interval to within a tenth of its width (Efron and Tibshirani 1993, chapter 19).
    fn default() -> Self {
        Self { thresholds: Vec::new(), confidence: 0.95, replicates: 1000, seed: 0, examples: 10 }
    }
}

/// Everything that is known of a data set's scores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    #[serde(flatten)]
    pub whole: Measured,
    pub confidence: f64,
    pub bootstrap: Bootstrap,
    pub reliability: Reliability,
    pub histogram: Vec<HistogramBin>,
    /// The precision-recall and the ROC curve, thinned.
    pub curve: Vec<CurvePoint>,
    /// The precision-recall curve with its interval, pointwise.
    pub band: Vec<BandPoint>,
    pub slices: Vec<SliceMeasured>,
    pub examples: Examples,
}

/// How intervals were drawn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bootstrap {
    pub replicates: u32,
    pub seed: u64,
    /// What was drawn: `item` or `group`.
    pub unit: &'static str,
}

/// Scores as probabilities against what was true; no bins where they are none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reliability {
    /// Equal bins of 0..=1 that the calibration error was computed with; empty ones are left out of `bins`.
    pub bin_count: usize,
    pub bins: Vec<ReliabilityBin>,
}

/// Precision where a recall is first reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BandPoint {
    pub recall: f64,
    pub precision: f64,
    pub interval: Option<[f64; 2]>,
}

/// A slice by its name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SliceMeasured {
    pub slice: String,
    #[serde(flatten)]
    pub measured: Measured,
}

/// Items at the wrong end, by id only. Without ids they have none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Examples {
    /// Negatives with the highest scores: false positives of every threshold up to their score.
    pub negatives_scored_highest: Vec<Example>,
    /// Positives with the lowest scores: missed by every threshold above their score.
    pub positives_scored_lowest: Vec<Example>,
}

/// One item.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    pub id: Option<String>,
    /// Its row in the data set, from 1.
    pub row: u64,
    pub score: f64,
    pub slice: Option<String>,
}

/// Why nothing was evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    #[error("there are no rows")]
    Empty,
    #[error("there are {0} rows; at most {MOST_ITEMS} can be evaluated at once, so split the files")]
    TooMany(usize),
    #[error("the slice column has {0} values, more than 65535; is it the right column?")]
    TooManySlices(usize),
}

/// Points of the band: a hundred recalls are as many as a plot shows.
const BAND: u32 = 100;

/// Computes everything; `done` is called after each replicate, of which there are [`replicates`].
///
/// # Errors
/// There are no rows, or too many.
pub fn evaluate(data: &Labelled, options: &Options, done: &(dyn Fn() + Sync)) -> Result<Evaluation, EvaluateError> {
    check(data)?;
    let recalls = recalls();
    let sorted = Sorted::new(data);
    let (whole, detail) = Measured::of(&sorted, options, &recalls, done);
    let histogram = metrics::histogram(&sorted);
    let band = band(&sorted, &recalls, &detail.replicates, options.confidence);
    drop(sorted);
    let names = data.slices.as_ref().map_or(&[][..], |slices| &slices.names);
    let slice =
        |(slice, sorted): (&String, Sorted)| SliceMeasured { slice: slice.clone(), measured: Measured::of(&sorted, options, &[], done).0 };
    Ok(Evaluation {
        whole,
        confidence: options.confidence,
        bootstrap: Bootstrap {
            replicates: options.replicates,
            seed: options.seed,
            unit: if data.groups.is_some() { "group" } else { "item" },
        },
        reliability: Reliability { bin_count: RELIABILITY_BINS, bins: detail.probabilities.map_or_else(Vec::new, |found| found.bins) },
        histogram,
        curve: detail.curves.points,
        band,
        slices: names.iter().zip(Sorted::of_slices(data)).map(slice).collect(),
        examples: examples(data, options.examples),
    })
}

/// How often [`evaluate`] says that it has done a replicate.
pub fn replicates(data: &Labelled, options: &Options) -> u64 {
    let slices = data.slices.as_ref().map_or(0, |slices| slices.names.len());
    u64::from(options.replicates) * (1 + slices as u64)
}

/// Draws every replicate of [`evaluate`] again, one after the other, and hands out how often each unit was drawn and what came of it, so that
/// anybody can compute the same from the one and compare it with the other. Units are groups by code, or rows where there are none.
///
/// # Errors
/// There are no rows, too many, or `with` failed.
pub fn redraw<E: From<EvaluateError>>(
    data: &Labelled,
    options: &Options,
    mut with: impl FnMut(&[u8], &Replicate) -> Result<(), E>,
) -> Result<(), E> {
    check(data)?;
    let (sorted, order) = (Sorted::new(data), sorted::order(data));
    let recalls = recalls();
    let plan = bootstrap::Plan::new(&sorted, &options.thresholds, &recalls);
    (0..u64::from(options.replicates)).try_for_each(|number| {
        let drawn = bootstrap::multiplicities(&sorted, options.seed, number);
        let replicate = plan.replicate(&drawn);
        if data.groups.is_some() {
            return with(&drawn, &replicate);
        }
        let mut by_row = vec![0; drawn.len()];
        order.iter().zip(&drawn).for_each(|(row, drawn)| by_row[*row as usize] = *drawn);
        with(&by_row, &replicate)
    })
}

fn check(data: &Labelled) -> Result<(), EvaluateError> {
    if data.is_empty() {
        return Err(EvaluateError::Empty);
    }
    if data.len() > MOST_ITEMS {
        return Err(EvaluateError::TooMany(data.len()));
    }
    Ok(())
}

fn recalls() -> Vec<f64> {
    (1..=BAND).map(|step| f64::from(step) / f64::from(BAND)).collect()
}

fn band(sorted: &Sorted, recalls: &[f64], replicates: &[bootstrap::Replicate], confidence: f64) -> Vec<BandPoint> {
    let once = vec![1; sorted.clusters() as usize];
    let whole = bootstrap::Plan::new(sorted, &[], recalls).replicate(&once);
    let point = |(at, (precision, recall)): (usize, (&f32, &f64))| BandPoint {
        recall: *recall,
        precision: f64::from(*precision),
        interval: percentiles(
            replicates.iter().filter_map(|replicate| replicate.band.get(at)).map(|precision| f64::from(*precision)),
            confidence,
        ),
    };
    whole.band.iter().zip(recalls).enumerate().map(point).collect()
}

fn examples(data: &Labelled, most: usize) -> Examples {
    let pick = |positive: bool, before: &dyn Fn(f64, f64) -> bool| {
        let mut rows: Vec<usize> = Vec::new();
        for row in (0..data.len()).filter(|row| most > 0 && data.positive[*row] == positive) {
            // Most rows are not at this end: one comparison each.
            if rows.len() == most && !before(data.scores[row], data.scores[rows[most - 1]]) {
                continue;
            }
            let place = rows.partition_point(|other| !before(data.scores[row], data.scores[*other]));
            rows.insert(place, row);
            rows.truncate(most);
        }
        let example = |row: usize| Example {
            id: data.ids.as_ref().map(|ids| ids.get(row).to_owned()),
            row: row as u64 + 1,
            score: data.scores[row],
            slice: data.slices.as_ref().map(|slices| slices.names[usize::from(slices.codes[row])].clone()),
        };
        rows.into_iter().map(example).collect()
    };
    Examples {
        negatives_scored_highest: pick(false, &|score, other| score > other),
        positives_scored_lowest: pick(true, &|score, other| score < other),
    }
}

#[cfg(test)]
mod tests;
