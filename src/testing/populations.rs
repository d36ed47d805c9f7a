//! Populations whose precision at every threshold is known, and samples of them: what claims are held against.
//!
//! Scores of positives and of negatives are mixtures of normal distributions, cut off at a highest score (a saturated network) or rounded down to a grid
//! (ties). Claims about thresholds do not change when scores are transformed without changing their order, so nothing is lost by these.

use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{Rng, SeedableRng},
};

/// A source of numbers with a seed.
#[derive(Debug)]
pub struct Dice(Xoshiro256PlusPlus);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// In 0..1.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * 2.0_f64.powi(-53)
    }

    /// Box and Muller's, one of the pair.
    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// (share, mean, deviation); shares add up to 1.
pub type Mixture = &'static [(f64, f64, f64)];

/// What samples are drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Population {
    pub name: &'static str,
    pub positives: Mixture,
    pub negatives: Mixture,
    /// Scores above become this one.
    pub highest: Option<f64>,
    /// Scores are rounded down to multiples of this.
    pub grid: Option<f64>,
}

/// A well-behaved classifier: precision rises with the score.
pub const GOOD: Population =
    Population { name: "good", positives: &[(1.0, 3.0, 1.0)], negatives: &[(1.0, 0.0, 1.0)], highest: None, grid: None };
/// The same, with all high scores equal.
pub const SATURATED: Population = Population { name: "saturated", highest: Some(3.0), ..GOOD };
/// The same, rounded to quarters: some 25 distinct scores.
pub const TIES: Population = Population { name: "ties", grid: Some(0.25), ..GOOD };
/// A few negatives score higher than all positives: precision rises, falls, and rises again on the way down.
pub const NON_MONOTONE: Population = Population {
    name: "non-monotone",
    positives: &[(0.7, 3.0, 0.6), (0.3, 1.0, 0.5)],
    negatives: &[(0.994, 0.0, 0.5), (0.006, 4.6, 0.2)],
    highest: None,
    grid: None,
};
/// A good classifier whose labels are wrong for 2.5 % of what it finds, at every score up to the very top (for a prevalence of 20 %).
pub const NOISE_AT_THE_TOP: Population = Population {
    name: "noise at the top",
    positives: &[(1.0, 4.0, 1.0)],
    // 0.025 / 0.975 of the positives' number are such negatives: 0.2 * 0.02564 / 0.8 of the negatives.
    negatives: &[(0.993_59, 0.0, 1.0), (0.006_41, 4.0, 1.0)],
    highest: None,
    grid: None,
};
/// Scores that say nothing.
pub const USELESS: Population =
    Population { name: "useless", positives: &[(1.0, 0.0, 1.0)], negatives: &[(1.0, 0.0, 1.0)], highest: None, grid: None };

impl Population {
    /// One item of a class.
    pub fn draw(&self, positive: bool, dice: &mut Dice) -> f64 {
        let mixture = if positive { self.positives } else { self.negatives };
        let mut rest = dice.uniform();
        let part = mixture.iter().find(|(share, ..)| {
            rest -= share;
            rest < 0.0
        });
        let (_, mean, deviation) = part.or(mixture.last()).copied().unwrap_or((1.0, 0.0, 1.0));
        self.shape(mean + deviation * dice.normal())
    }

    fn shape(&self, score: f64) -> f64 {
        let score = self.highest.map_or(score, |highest| score.min(highest));
        self.grid.map_or(score, |grid| (score / grid).floor() * grid)
    }

    /// Shares of positives and of negatives that score more than this.
    pub fn above(&self, score: f64) -> (f64, f64) {
        if self.highest.is_some_and(|highest| score >= highest) {
            return (0.0, 0.0);
        }
        // On a grid, more than a grid point means the next one or more.
        let from = self.grid.map_or(score, |grid| ((score / grid + 1e-9).floor() + 1.0) * grid);
        let share = |mixture: Mixture| -> f64 {
            mixture
                .iter()
                .map(|(share, mean, deviation)| share * 0.5 * libm::erfc((from - mean) / deviation / std::f64::consts::SQRT_2))
                .sum()
        };
        (share(self.positives), share(self.negatives))
    }

    /// Precision of what scores more than this, at a prevalence; `None` flags everything.
    pub fn precision(&self, above: Option<f64>, prevalence: f64) -> f64 {
        let Some(above) = above else { return prevalence };
        let (recall, fpr) = self.above(above);
        let hits = prevalence * recall;
        if hits + fpr > 0.0 { hits / (hits + (1.0 - prevalence) * fpr) } else { 0.0 }
    }

    /// The highest recall of any threshold with this precision.
    pub fn oracle_recall(&self, target: f64, prevalence: f64) -> f64 {
        (-4000..8000)
            .map(|step| f64::from(step) * 1e-3)
            .filter(|score| self.precision(Some(*score), prevalence) >= target)
            .map(|score| self.above(score).0)
            .fold(0.0, f64::max)
    }

    /// `n` independent items: scores and labels.
    pub fn sample(&self, n: usize, prevalence: f64, dice: &mut Dice) -> (Vec<f64>, Vec<bool>) {
        (0..n)
            .map(|_| {
                let positive = dice.uniform() < prevalence;
                (self.draw(positive, dice), positive)
            })
            .unzip()
    }
}
