//! Tests and confidence sequences for bounded means by betting, for what a binomial tail cannot carry: weights, clusters, and looking every day.
//!
//! Somebody claims that a mean is at most m. We bet against it with capital 1: before each observation x, whose mean would then be at most 0,
//! we stake a fixed share b of what we have, and the capital is multiplied by 1 + b x / (the most we can lose). If the claim is true the
//! expected capital never grows, so it reaches 1/delta with probability at most delta *at any time*: Ville's inequality. Whoever looks after every
//! observation needs no correction. Which b is best depends on the truth, so capital is divided over several once and for all (a [`Mixture`]);
//! the sum of what they become is the [`log_capital`](Mixture::log_capital). Constant bets make it a function of the observations without
//! their order.
//!
//! Sources: I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by betting (2024); J. Ville (1939); for
//! [`Detector`], J. Shin, A. Ramdas and A. Rinaldo, E-detectors (2022).
//!
//! ```
//! use nightlight::engines::calibration::betting::ErrorSequence;
//! let mut reviews = ErrorSequence::new(1.0);
//! for _ in 0..1000 {
//!     reviews.add(false, 1.0).unwrap();
//! }
//! assert_eq!((reviews.observed(), reviews.lower(0.05)), (Some(0.0), 0.0));
//! assert!(reviews.upper(0.05) < 0.005);
//! ```

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// Bets are the powers of one half from 1 to this exponent. All of it (b = 1) wins most while there is no contrary observation; 2^-20 still
/// tells error rates of 1e-6 apart. The best bet lies at most a factor of the square root of 2 from one of them, which keeps 91 % of its growth.
const SMALLEST: u32 = 20;

/// Shares of capital and the bets they are put on.
///
/// Shares fall like 1 / (j + 2) for the bet 2^-j: between an even division, which is dear (ln 21) where few observations decide, and a
/// steep one, which starves small bets.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// (share of capital, bet in 0..=1); shares add up to 1.
    bets: Vec<(f64, f64)>,
}

/// Which claim is bet against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The mean is at least m; capital grows with observations below it.
    AtLeast,
    /// The mean is at most m; capital grows with observations above it.
    AtMost,
}

impl Mixture {
    /// The declared mixture, for any number of observations.
    pub fn wide() -> &'static Self {
        static WIDE: LazyLock<Mixture> = LazyLock::new(|| Mixture::down_to(0.0));
        &WIDE
    }

    /// Bets down to this one, for a number of observations that is known beforehand.
    pub fn down_to(least: f64) -> Self {
        let bets = (0..=SMALLEST).map(|j| (1.0 / f64::from(j + 2), 0.5_f64.powf(f64::from(j)))).filter(|(_, bet)| *bet >= least.min(1.0));
        let total: f64 = bets.clone().map(|(share, _)| share).sum();
        Self { bets: bets.map(|(share, bet)| (share / total, bet)).collect() }
    }

    /// The bets, in 0..=1 of the most that cannot lose everything.
    pub fn bets(&self) -> impl Iterator<Item = f64> {
        self.bets.iter().map(|(_, bet)| *bet)
    }

    /// The logarithm of all capital, given that of each bet (in the order of [`bets`](Self::bets)) that began with 1.
    pub fn combine(&self, logs: impl IntoIterator<Item = f64>) -> f64 {
        let shares = self.bets.iter().map(|(share, _)| share.ln());
        log_sum(&shares.zip(logs).map(|(share, log)| share + log).collect::<Vec<_>>())
    }

    /// The logarithm of the capital after observations given as (payoff, how often): payoffs lie in -m..=1-m (an error rate's are `error - m`, times
    /// a weight in 0..=1, or sums of such with weights that add up to at most 1) and have a mean of at least or at most 0 under the claim.
    pub fn log_capital(&self, against: Against, m: f64, payoffs: &[(f64, u64)]) -> f64 {
        self.combine(self.bets().map(|bet| {
            let log = |&(payoff, times): &(f64, u64)| if times == 0 { 0.0 } else { times as f64 * log_growth(against, m, bet, payoff) };
            payoffs.iter().map(log).sum()
        }))
    }
}

/// ln(1 + b x / most): what one observation makes of the capital on one bet. -inf when everything is lost.
pub fn log_growth(against: Against, m: f64, bet: f64, payoff: f64) -> f64 {
    let gain = match against {
        Against::AtLeast => -bet * payoff / (1.0 - m),
        Against::AtMost => bet * payoff / m,
    };
    // A payoff that was added up may be a rounding beyond its bound; more than everything is never lost.
    gain.max(-1.0).ln_1p()
}

/// ln of the sum of exponentials; -inf for nothing.
fn log_sum(logs: &[f64]) -> f64 {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most.is_infinite() {
        return most;
    }
    most + logs.iter().map(|log| (log - most).exp()).sum::<f64>().ln()
}

/// A weight is not in (0, cap].
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the weight {weight} is not above 0 and at most {cap}, the cap that was declared")]
pub struct WeightError {
    pub weight: f64,
    pub cap: f64,
}

/// Observations of one weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Cell {
    weight: f64,
    errors: u64,
    correct: u64,
}

/// An error rate that is watched while it is observed: both bounds hold at all times at once.
///
/// Observations have design weights (1 / inclusion probability, up to a constant) in (0, cap], and the rate is E\[w error\] / E\[w\]. They need not be
/// identical: the claim is about a rate that every observation has given the past. It is a plain value of counts by weight; keep it as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorSequence {
    cap: f64,
    /// Ascending weights.
    cells: Vec<Cell>,
}

impl ErrorSequence {
    /// Nothing observed yet. The cap, above 0, is declared before the first observation; 1 without weights.
    pub fn new(cap: f64) -> Self {
        Self { cap, cells: Vec::new() }
    }

    /// One observation.
    ///
    /// # Errors
    /// The weight is not in (0, cap]; nothing is counted then.
    pub fn add(&mut self, error: bool, weight: f64) -> Result<(), WeightError> {
        self.add_many(u64::from(error), u64::from(!error), weight)
    }

    /// Many observations of one weight: how many were wrong and how many right.
    ///
    /// # Errors
    /// The weight is not in (0, cap]; nothing is counted then.
    pub fn add_many(&mut self, errors: u64, correct: u64, weight: f64) -> Result<(), WeightError> {
        check(weight, self.cap)?;
        let at = self.cells.partition_point(|cell| cell.weight < weight);
        if self.cells.get(at).is_none_or(|cell| cell.weight != weight) {
            self.cells.insert(at, Cell { weight, errors: 0, correct: 0 });
        }
        self.cells[at].errors += errors;
        self.cells[at].correct += correct;
        Ok(())
    }

    /// How many observations there are.
    pub fn n(&self) -> u64 {
        self.cells.iter().map(|cell| cell.errors + cell.correct).sum()
    }

    /// Kish's effective number: how many equally weighted observations weigh as much, (sum w)^2 / sum w^2.
    pub fn effective(&self) -> f64 {
        let sum = |power| self.cells.iter().map(|cell| cell.weight.powi(power) * (cell.errors + cell.correct) as f64).sum::<f64>();
        if self.cells.is_empty() { 0.0 } else { sum(1) * sum(1) / sum(2) }
    }

    /// The weighted share of errors so far; `None` without observations.
    pub fn observed(&self) -> Option<f64> {
        let all: f64 = self.cells.iter().map(|cell| cell.weight * (cell.errors + cell.correct) as f64).sum();
        let wrong: f64 = self.cells.iter().map(|cell| cell.weight * cell.errors as f64).sum();
        (all > 0.0).then(|| wrong / all)
    }

    /// The logarithm of the evidence against the claim that the rate is at least, or at most, m (in 0..1); it is refuted at delta, whenever one
    /// looks, once this reaches ln(1 / delta).
    pub fn evidence(&self, against: Against, m: f64) -> f64 {
        let payoffs: Vec<_> = self
            .cells
            .iter()
            .flat_map(|cell| {
                let share = cell.weight / self.cap;
                [(share * (1.0 - m), cell.errors), (-share * m, cell.correct)]
            })
            .collect();
        Mixture::wide().log_capital(against, m, &payoffs)
    }

    /// The lower bound of the rate: with probability 1 - delta it is never above it, whenever one looks. 0 without observations.
    pub fn lower(&self, delta: f64) -> f64 {
        // Capital against "at most m" falls as m grows: what is refuted is an interval from 0.
        self.bisect(delta, |m, goal| self.evidence(Against::AtMost, m) >= goal).0
    }

    /// The upper bound of the rate: with probability 1 - delta it is never below it, whenever one looks. 1 without observations.
    pub fn upper(&self, delta: f64) -> f64 {
        self.bisect(delta, |m, goal| self.evidence(Against::AtLeast, m) < goal).1
    }

    /// Narrows 0..1 to where `holds` turns from true to false; the outer side of each bound is the careful one.
    fn bisect(&self, delta: f64, holds: impl Fn(f64, f64) -> bool) -> (f64, f64) {
        let (mut low, mut high) = (0.0, 1.0);
        // 2^-50 is below what any number of observations can tell.
        for _ in 0..50 {
            let m = 0.5 * (low + high);
            if holds(m, -delta.ln()) { low = m } else { high = m }
        }
        (low, high)
    }
}

fn check(weight: f64, cap: f64) -> Result<(), WeightError> {
    if weight > 0.0 && weight <= cap { Ok(()) } else { Err(WeightError { weight, cap }) }
}

/// Notices when an error rate begins to exceed alpha, at a stated rate of false alarms.
///
/// An e-detector of Shiryaev and Roberts' form: for every moment at which the change may have come, the capital of somebody who began to bet against
/// "at most alpha" then; their sum, M. While the rate is at most alpha the expectation of M after t observations is at most t, so the
/// expected number of observations until M first reaches A is at least A: the average run length between false alarms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    alpha: f64,
    cap: f64,
    run_length: f64,
    /// ln(1 + M) of each bet.
    logs: Vec<f64>,
}

impl Detector {
    /// `alpha` in 0..1 is tolerated; the mean number of observations between false alarms is at least `run_length`; weights lie in (0, cap].
    pub fn new(alpha: f64, run_length: f64, cap: f64) -> Self {
        Self { alpha, cap, run_length, logs: Mixture::wide().bets().map(|_| 0.0).collect() }
    }

    /// One observation; returns the statistic as [`statistic`](Self::statistic) does.
    ///
    /// # Errors
    /// The weight is not in (0, cap]; nothing is counted then.
    pub fn add(&mut self, error: bool, weight: f64) -> Result<f64, WeightError> {
        check(weight, self.cap)?;
        let payoff = weight / self.cap * (f64::from(u8::from(error)) - self.alpha);
        for (log, bet) in self.logs.iter_mut().zip(Mixture::wide().bets()) {
            // M becomes (M + 1) e: ln(1 + M) becomes ln(1 + exp(ln(1 + M) + ln e)).
            let grown = *log + log_growth(Against::AtMost, self.alpha, bet, payoff);
            *log = if grown > 0.0 { grown + (-grown).exp().ln_1p() } else { grown.exp().ln_1p() };
        }
        Ok(self.statistic())
    }

    /// ln(1 + M), 0 at the start.
    pub fn statistic(&self) -> f64 {
        // The shares add up to 1, so the mixture of 1 + M is 1 + the mixture of M (up to rounding).
        Mixture::wide().combine(self.logs.iter().copied()).max(0.0)
    }

    /// Whether M has reached the run length.
    pub fn alarm(&self) -> bool {
        self.statistic() >= self.run_length.ln_1p()
    }

    /// Begins again, after an alarm was dealt with.
    pub fn reset(&mut self) {
        self.logs.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use rand_xoshiro::{
        Xoshiro256PlusPlus,
        rand_core::{Rng, SeedableRng},
    };

    use super::*;
    use crate::engines::calibration::binomial;

    fn uniform(random: &mut Xoshiro256PlusPlus) -> f64 {
        (random.next_u64() >> 11) as f64 * 2.0_f64.powi(-53)
    }

    #[test]
    fn capital_is_the_sum_of_every_bets_product() {
        let mixture = Mixture::wide();
        assert!((mixture.bets.iter().map(|(share, _)| share).sum::<f64>() - 1.0).abs() < 1e-12);
        let (m, payoffs) = (0.1, [(0.9, 2), (-0.1, 30), (-0.03, 5), (0.4, 0)]);
        for (against, sign, most) in [(Against::AtLeast, -1.0, 0.9), (Against::AtMost, 1.0, 0.1)] {
            let product = |bet: f64| payoffs.iter().map(|&(x, times)| (1.0 + sign * bet * x / most).powi(times)).product::<f64>();
            let plain: f64 = mixture.bets.iter().map(|&(share, bet)| share * product(bet)).sum();
            let fast = mixture.log_capital(against, m, &payoffs.map(|(x, times)| (x, u64::from(times.unsigned_abs()))));
            assert!((fast - plain.ln()).abs() < 1e-12, "{fast} {}", plain.ln());
        }
    }

    #[test]
    fn bounds_are_where_the_evidence_reaches_delta_and_do_not_depend_on_order() {
        let (mut there, mut back) = (ErrorSequence::new(4.0), ErrorSequence::new(4.0));
        let mut observations: Vec<_> = (0..400).map(|i| (i % 37 == 0, [1.0, 2.5, 4.0][i % 3])).collect();
        observations.iter().for_each(|&(error, weight)| there.add(error, weight).unwrap());
        observations.reverse();
        observations.iter().for_each(|&(error, weight)| back.add(error, weight).unwrap());
        assert_eq!(there, back);
        let goal = -(0.05_f64.ln());
        let (low, high) = (there.lower(0.05), there.upper(0.05));
        assert!(low < there.observed().unwrap() && there.observed().unwrap() < high);
        assert!((there.evidence(Against::AtMost, low) - goal).abs() < 1e-6 && (there.evidence(Against::AtLeast, high) - goal).abs() < 1e-6);
        assert!(there.effective() < 400.0 && there.n() == 400);
        let json = serde_json::to_string(&there).unwrap();
        assert_eq!(serde_json::from_str::<ErrorSequence>(&json).unwrap(), there);
        assert_eq!(there.add(true, 4.1), Err(WeightError { weight: 4.1, cap: 4.0 }));
        assert!(there.add(true, 0.0).is_err() && there.add(true, f64::NAN).is_err());
        assert_eq!((ErrorSequence::new(1.0).lower(0.05), ErrorSequence::new(1.0).upper(0.05)), (0.0, 1.0));
    }

    /// How often the truth is refuted at some moment of 1,500 observations, by betting and by an exact interval that is looked at every time.
    #[test]
    fn looking_every_time_costs_nothing_here_and_much_with_clopper_pearson() {
        let (delta, truth, draws) = (0.1_f64, 0.05, 300);
        let mut refuted = [0; 3];
        for seed in 0..draws {
            let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
            let mut sequence = ErrorSequence::new(1.0);
            let (mut errors, mut happened) = (0, [false; 3]);
            for n in 1..=1500 {
                let error = uniform(&mut random) < truth;
                errors += u64::from(error);
                sequence.add(error, 1.0).unwrap();
                happened[0] |= sequence.evidence(Against::AtMost, truth) >= -delta.ln();
                happened[1] |= sequence.evidence(Against::AtLeast, truth) >= -delta.ln();
                happened[2] |= binomial::tail(errors, n, truth) <= delta;
            }
            for (count, happened) in refuted.iter_mut().zip(happened) {
                *count += i32::from(happened);
            }
        }
        // Three standard errors of 300 draws at 10 %.
        let allowed = 300.0 * 0.1 + 3.0 * (300.0_f64 * 0.1 * 0.9).sqrt();
        println!("refuted of 300: {refuted:?}, allowed {allowed}");
        assert!(f64::from(refuted[0]) <= allowed && f64::from(refuted[1]) <= allowed, "{refuted:?}");
        assert!(f64::from(refuted[2]) > allowed, "an interval for one look is not one for many: {refuted:?}");
    }

    /// Items drawn with two probabilities and weighted by their inverse: the rate of the population is covered, the raw share is another one.
    #[test]
    fn design_weights_give_the_populations_rate() {
        let (mut wrong, delta) = (0, 0.1);
        for seed in 0..200 {
            let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
            let mut sequence = ErrorSequence::new(10.0);
            // A tenth of the population has 30 % errors and is always drawn, the rest 2 % and is drawn one time in ten.
            for _ in 0..4000 {
                let (rate, chance) = if uniform(&mut random) < 0.1 { (0.3, 1.0) } else { (0.02, 0.1) };
                if uniform(&mut random) < chance {
                    sequence.add(uniform(&mut random) < rate, 1.0 / chance).unwrap();
                }
            }
            let truth = 0.1 * 0.3 + 0.9 * 0.02;
            wrong += i32::from(sequence.lower(delta / 2.0) > truth || sequence.upper(delta / 2.0) < truth);
            assert!(sequence.lower(delta / 2.0) < 0.1, "the raw share is about 0.16");
        }
        assert!(f64::from(wrong) <= 200.0 * delta, "{wrong}");
    }

    #[test]
    fn false_alarms_are_as_rare_as_stated_and_a_change_is_seen() {
        let (alpha, run_length) = (0.05, 300.0_f64);
        // The best bet's statistic in place of the mixture's is chosen with hindsight: the twin that has to fail.
        let until = |random: &mut Xoshiro256PlusPlus, rate: f64, hindsight: bool| {
            let mut detector = Detector::new(alpha, run_length, 1.0);
            for n in 1..20_000_u32 {
                detector.add(uniform(random) < rate, 1.0).unwrap();
                let best = detector.logs.iter().copied().fold(0.0, f64::max);
                if if hindsight { best >= run_length.ln_1p() } else { detector.alarm() } {
                    return f64::from(n);
                }
            }
            20_000.0
        };
        let mut random = Xoshiro256PlusPlus::seed_from_u64(3);
        let mut summary = |rate: f64, hindsight: bool| {
            let runs: Vec<f64> = (0..200).map(|_| until(&mut random, rate, hindsight)).collect();
            let mean = runs.iter().sum::<f64>() / 200.0;
            (mean, (runs.iter().map(|run| (run - mean).powi(2)).sum::<f64>() / 200.0 / 200.0).sqrt())
        };
        let ((stated, spread), (best, best_spread), (delay, _)) = (summary(alpha, false), summary(alpha, true), summary(0.25, false));
        println!("run length stated {run_length}, seen {stated} +- {spread}, with hindsight {best} +- {best_spread}; delay {delay}");
        assert!(stated + 3.0 * spread >= run_length, "{stated}");
        assert!(best + 3.0 * best_spread < run_length, "{best}");
        assert!(delay < 40.0, "five times the errors are seen after {delay} observations");
    }

    #[test]
    fn a_detector_is_the_mean_of_plain_recursions_and_survives_json() {
        let mut detector = Detector::new(0.1, 100.0, 2.0);
        let mixture = Mixture::wide();
        let mut plain = vec![0.0; mixture.bets.len()];
        for (error, weight) in [(false, 2.0), (true, 1.0), (true, 2.0), (false, 0.5), (true, 2.0), (true, 2.0)] {
            for (m, (_, bet)) in plain.iter_mut().zip(&mixture.bets) {
                *m = (*m + 1.0) * (1.0 + bet * weight / 2.0 * (f64::from(u8::from(error)) - 0.1) / 0.1);
            }
            detector.add(error, weight).unwrap();
            let sum: f64 = plain.iter().zip(&mixture.bets).map(|(m, (share, _))| m * share).sum();
            assert!((detector.statistic() - sum.ln_1p()).abs() < 1e-12);
            assert_eq!(detector.alarm(), sum >= 100.0);
        }
        assert!(detector.alarm());
        let json = serde_json::to_string(&detector).unwrap();
        assert_eq!(serde_json::from_str::<Detector>(&json).unwrap(), detector);
        detector.reset();
        assert_eq!(detector.statistic(), 0.0);
    }
}
