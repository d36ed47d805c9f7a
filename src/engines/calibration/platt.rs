//! Platt's sigmoid: p = 1 / (1 + exp(slope * score + intercept)), fitted to smoothed targets.
//!
//! As scikit-learn's `_SigmoidCalibration`: targets (n+ + 1) / (n+ + 2) and 1 / (n- + 2), least cross-entropy. The optimum is unique, so Newton's method
//! (H.-T. Lin, C.-J. Lin, R. Weng, A note on Platt's probabilistic outputs, 2007) gets where L-BFGS gets, in fewer passes.

use rayon::{
    iter::{IndexedParallelIterator, ParallelIterator},
    slice::ParallelSlice,
};

use super::folds::{FOLDS, Sample};

/// Items of one piece of parallel work: small enough for a core's cache. Pieces are added up in order, so results do not depend on threads.
const PIECE: usize = 1 << 14;
/// Above this many items a fit begins on averages of equal pieces, and a fold's fit is one Newton step from the fit to everything: the step is about
/// 1 / sqrt(n), its error the square of that, and the log-loss is flat there, so what is missed is far below what it is used for, a choice.
const MANY: usize = 200_000;
/// Newton's steps at most; quadratic convergence needs about ten from the start that Platt gives.
const STEPS: usize = 100;

/// The fitted map, on scores from which `centre` was taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sigmoid {
    slope: f64,
    offset: f64,
    centre: f64,
}

impl Sigmoid {
    /// The probability of a score.
    pub fn probability(&self, score: f64) -> f64 {
        1.0 / (1.0 + self.exponent(score).exp())
    }

    fn exponent(&self, score: f64) -> f64 {
        self.slope * (score - self.centre) + self.offset
    }

    /// Slope and intercept in Platt's form.
    pub fn parameters(&self) -> (f64, f64) {
        (self.slope, self.offset - self.slope * self.centre)
    }
}

/// Loss, gradient and Hessian at one point: sums over items, so they add up.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    loss: f64,
    /// By slope, by offset.
    gradient: [f64; 2],
    /// slope slope, slope offset, offset offset.
    hessian: [f64; 3],
}

impl Sums {
    fn add(&mut self, x: f64, target: f64, weight: f64, sigmoid: &Sigmoid) {
        let z = sigmoid.slope * x + sigmoid.offset;
        // p and 1 - p without overflow.
        let small = (-z.abs()).exp();
        let (p, q) = if z >= 0.0 { (small / (1.0 + small), 1.0 / (1.0 + small)) } else { (1.0 / (1.0 + small), small / (1.0 + small)) };
        // -t ln p - (1 - t) ln(1 - p) = t z + ln(1 + exp(-z)).
        self.loss += weight * (target * z - z.min(0.0) + small.ln_1p());
        let (slope, curve) = (weight * (target - p), weight * p * q);
        self.gradient[0] += slope * x;
        self.gradient[1] += slope;
        self.hessian[0] += curve * x * x;
        self.hessian[1] += curve * x;
        self.hessian[2] += curve;
    }

    fn plus(mut self, other: &Self, sign: f64) -> Self {
        self.loss += sign * other.loss;
        (0..2).for_each(|i| self.gradient[i] += sign * other.gradient[i]);
        (0..3).for_each(|i| self.hessian[i] += sign * other.hessian[i]);
        self
    }

    /// Newton's step: what to take from slope and offset. The ridge (Lin's sigma) keeps it finite where all scores are equal.
    fn step(&self) -> [f64; 2] {
        let ridge = 1e-12 * (1.0 + self.hessian[0] + self.hessian[2]);
        let (a, b, c) = (self.hessian[0] + ridge, self.hessian[1], self.hessian[2] + ridge);
        let determinant = a * c - b * b;
        let [g, h] = self.gradient;
        [(c * g - b * h) / determinant, (a * h - b * g) / determinant]
    }
}

/// Targets of negatives and positives, from their total weights.
fn targets(negative: f64, positive: f64) -> [f64; 2] {
    [1.0 / (negative + 2.0), (positive + 1.0) / (positive + 2.0)]
}

/// Sums over every item, for each fold; `targets` are of negatives and positives.
fn by_fold(sample: &Sample, sigmoid: &Sigmoid, targets: [[f64; 2]; FOLDS]) -> [Sums; FOLDS] {
    let pieces: Vec<[Sums; FOLDS]> = sample
        .scores
        .par_chunks(PIECE)
        .enumerate()
        .map(|(piece, scores)| {
            let mut sums = [Sums::default(); FOLDS];
            for (at, score) in (piece * PIECE..).zip(scores) {
                let fold = usize::from(sample.fold[at]);
                let target = targets[fold][usize::from(sample.positive[at])];
                sums[fold].add(score - sigmoid.centre, target, sample.weight(at), sigmoid);
            }
            sums
        })
        .collect();
    pieces.iter().fold([Sums::default(); FOLDS], |mut total, piece| {
        total.iter_mut().zip(piece).for_each(|(total, piece)| *total = total.plus(piece, 1.0));
        total
    })
}

/// Sums over all items but those of a fold.
fn over(sample: &Sample, sigmoid: &Sigmoid, targets: [f64; 2], without: Option<usize>) -> Sums {
    let folds = by_fold(sample, sigmoid, [targets; FOLDS]);
    let wanted = folds.iter().enumerate().filter(|(fold, _)| Some(*fold) != without);
    wanted.fold(Sums::default(), |total, (_, sums)| total.plus(sums, 1.0))
}

/// Newton's method with halved steps where the loss would rise.
fn newton(start: Sigmoid, evaluate: impl Fn(&Sigmoid) -> Sums) -> Sigmoid {
    let (mut at, mut sums) = (start, evaluate(&start));
    for _ in 0..STEPS {
        let step = sums.step();
        // What the step can still win, as a share of the loss: half of Newton's decrement.
        let gain = 0.5 * (step[0] * sums.gradient[0] + step[1] * sums.gradient[1]);
        if gain <= 1e-14 * sums.loss.abs() || gain.is_nan() {
            break;
        }
        let mut share = 1.0;
        let (next, reached) = loop {
            let next = Sigmoid { slope: at.slope - share * step[0], offset: at.offset - share * step[1], ..at };
            let reached = evaluate(&next);
            // Below a thousandth of a step nothing is won any more but rounding.
            if reached.loss <= sums.loss || share < 1e-3 {
                break (next, reached);
            }
            share *= 0.5;
        };
        if reached.loss >= sums.loss {
            break;
        }
        (at, sums) = (next, reached);
    }
    at
}

/// The fit to everything, and the fit without each fold. Both classes are present.
pub fn fit(sample: &Sample) -> (Sigmoid, [Sigmoid; FOLDS]) {
    let totals = sample.totals();
    let negative: f64 = totals.iter().map(|fold| fold[0]).sum();
    let positive: f64 = totals.iter().map(|fold| fold[1]).sum();
    let centre = sample.scores.iter().sum::<f64>() / sample.scores.len() as f64;
    let all = targets(negative, positive);
    let mut start = Sigmoid { slope: 0.0, offset: ((negative + 1.0) / (positive + 1.0)).ln(), centre };
    if sample.scores.len() > MANY {
        start = coarse(sample, start, all);
    }
    let whole = newton(start, |at| over(sample, at, all, None));
    let without = |fold: usize| targets(negative - totals[fold][0], positive - totals[fold][1]);
    let folds = if sample.scores.len() > MANY {
        let sums = by_fold(sample, &whole, [all; FOLDS]);
        let total = sums.iter().fold(Sums::default(), |total, sums| total.plus(sums, 1.0));
        std::array::from_fn(|fold| {
            let step = total.plus(&sums[fold], -1.0).step();
            Sigmoid { slope: whole.slope - step[0], offset: whole.offset - step[1], ..whole }
        })
    } else {
        std::array::from_fn(|fold| newton(whole, |at| over(sample, at, without(fold), Some(fold))))
    };
    (whole, folds)
}

/// A first fit, on averages of neighbouring items.
fn coarse(sample: &Sample, start: Sigmoid, targets: [f64; 2]) -> Sigmoid {
    let width = sample.scores.len().div_ceil(4096);
    let pieces: Vec<(f64, f64, f64)> = sample
        .scores
        .par_chunks(width)
        .enumerate()
        .map(|(piece, scores)| {
            let (mut x, mut weight, mut target) = (0.0, 0.0, 0.0);
            for (at, score) in (piece * width..).zip(scores) {
                let of_item = sample.weight(at);
                x += of_item * (score - start.centre);
                target += of_item * targets[usize::from(sample.positive[at])];
                weight += of_item;
            }
            (x, weight, target)
        })
        .filter(|(_, weight, _)| *weight > 0.0)
        .collect();
    newton(start, |at| {
        pieces.iter().fold(Sums::default(), |mut sums, &(x, weight, target)| {
            sums.add(x / weight, target / weight, weight, at);
            sums
        })
    })
}
