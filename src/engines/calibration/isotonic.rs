//! Isotonic regression of labels on scores: the non-descending map with the least weighted squared error.
//!
//! Pool adjacent violators (Ayer et al. 1955); equal scores are one point; linear between points and constant outside, as scikit-learn's
//! `IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")`.

use super::folds::Sample;

/// Knots at most in a certificate: with two knots for each step, and steps about as many as the cube root of the items, this is rarely reached.
pub const KNOTS: usize = 2000;

/// A pooled stretch of scores with one value.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    first: f64,
    last: f64,
    weight: f64,
    /// Weight of positives.
    hits: f64,
}

impl Step {
    fn value(&self) -> f64 {
        self.hits / self.weight
    }
}

/// Ascending knots: scores ascend strictly, values do not descend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Knots {
    pub scores: Vec<f64>,
    pub values: Vec<f64>,
}

/// Fits all items but those of a fold. Items without weight do not count; no knots without items.
pub fn fit(sample: &Sample, without: Option<u8>) -> Knots {
    let mut steps: Vec<Step> = Vec::new();
    let mut open: Option<Step> = None;
    for at in (0..sample.scores.len()).rev() {
        let weight = sample.weight(at);
        if Some(sample.fold[at]) == without || weight <= 0.0 {
            continue;
        }
        let score = sample.scores[at];
        let hits = if sample.positive[at] { weight } else { 0.0 };
        match &mut open {
            Some(point) if point.last == score => {
                point.weight += weight;
                point.hits += hits;
            }
            _ => {
                if let Some(point) = open.replace(Step { first: score, last: score, weight, hits }) {
                    pool(&mut steps, point);
                }
            }
        }
    }
    if let Some(point) = open {
        pool(&mut steps, point);
    }
    let mut knots = Knots::default();
    for step in steps {
        for score in [step.first, step.last] {
            if knots.scores.last() != Some(&score) {
                knots.scores.push(score);
                knots.values.push(step.value().clamp(0.0, 1.0));
            }
        }
    }
    knots
}

/// Adds a point after the others and pools backwards while values descend.
fn pool(steps: &mut Vec<Step>, mut point: Step) {
    // By cross products: no division for each of ten million points.
    while let Some(last) = steps.last().filter(|last| last.hits * point.weight >= point.hits * last.weight) {
        point = Step { first: last.first, last: point.last, weight: last.weight + point.weight, hits: last.hits + point.hits };
        steps.pop();
    }
    steps.push(point);
}

impl Knots {
    /// Keeps at most [`KNOTS`], evenly spaced along the values and the ends; says whether any went.
    pub fn thin(&mut self) -> bool {
        let number = self.scores.len();
        if number <= KNOTS {
            return false;
        }
        let keep: Vec<usize> = (0..KNOTS).map(|i| i * (number - 1) / (KNOTS - 1)).collect();
        self.scores = keep.iter().map(|at| self.scores[*at]).collect();
        self.values = keep.iter().map(|at| self.values[*at]).collect();
        true
    }

    /// Calls `each` with the rank and the probability of every item of a fold, in one walk along the knots.
    pub fn along(&self, sample: &Sample, fold: u8, mut each: impl FnMut(usize, f64)) {
        let mut right = 0;
        for at in (0..sample.scores.len()).rev().filter(|at| sample.fold[*at] == fold) {
            let score = sample.scores[at];
            while self.scores.get(right).is_some_and(|knot| *knot < score) {
                right += 1;
            }
            let value = match (right.checked_sub(1), self.scores.get(right)) {
                (_, Some(knot)) if *knot == score => self.values[right],
                (None, _) => self.values.first().copied().unwrap_or(0.5),
                (Some(left), None) => self.values[left],
                (Some(left), Some(knot)) => {
                    let share = (score - self.scores[left]) / (knot - self.scores[left]);
                    self.values[left] + share * (self.values[right] - self.values[left])
                }
            };
            each(at, value);
        }
    }
}
