//! How much is missed: recall from a stratified sample of what lies below the threshold, and from all scores.
//!
//! Below a threshold positives are rare, so a plain sample of a few thousand labels finds a handful. But every score is known, and a
//! calibrator says how many positives to expect at each. The *difference estimator* of survey sampling, which became known as
//! prediction-powered inference, takes the sum of the predictions over the whole population and corrects it by what the sample shows they are
//! wrong by:
//!
//! ```text
//! positives below = sum over all f(score)  +  sum over strata N_g * mean over the sample of (positive - f(score))
//! ```
//!
//! It is unbiased whatever f is, because f appears twice; a good f makes the differences small and the interval narrow, a bad one only makes it wide.
//! f is looked up by bin of the counters. Twenty bins are enough: f need not be exact, and the bin that the threshold cuts is not mixed, because
//! what lies below the threshold is counted apart from what reached it.
//!
//! Its interval is a normal approximation, which is worth nothing while the sample holds no positive or two: the differences then look alike and
//! the variance is far too small. So there is a second interval that always holds: exact binomial bounds in each stratum, with the error
//! divided among them. [`Below::interval`] is the normal one only from [`ENOUGH`] sampled positives on.
//!
//! Sources: C.-E. Särndal, B. Swensson and J. Wretman, Model Assisted Survey Sampling (1992), chapter 6; A. Angelopoulos, S. Bates, C. Fannjiang,
//! M. Jordan and T. Zrnic, Prediction-powered inference (2023); C. Clopper and E. Pearson (1934).

use super::binomial::{clopper_pearson, lower_bound, normal_quantile, upper_bound};

/// Sampled positives from which on the normal approximation is used: below five to ten expected successes it is known to fail (L. Brown, T. Cai
/// and A. DasGupta, Interval estimation for a binomial proportion, 2001, recommend at least ten for the plain interval).
pub const ENOUGH: u64 = 10;

/// What was drawn with one probability, by bin of the score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditStratum {
    pub cells: Vec<AuditCell>,
}

/// One bin of one stratum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuditCell {
    /// Attachments that could have been drawn.
    pub population: u64,
    /// Drawn ones that a human called positive, and not positive.
    pub positives: u64,
    pub negatives: u64,
    /// The expected share of positives, in 0..=1; 0 where nothing is known.
    pub prediction: f64,
}

/// How many positives lie below the threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Below {
    pub population: u64,
    /// Labelled, and positive among them.
    pub labelled: u64,
    pub positives: u64,
    /// The difference estimate, not below the positives that were seen.
    pub estimate: f64,
    /// Two-sided, by the named method.
    pub interval: [f64; 2],
    pub method: &'static str,
    /// Two-sided, exact in each stratum, Bonferroni over strata and sides.
    pub exact: [f64; 2],
}

/// Estimates the positives of all strata together; `None` when some stratum has a population and no label: then nothing is known of it.
pub fn below(strata: &[AuditStratum], confidence: f64) -> Option<Below> {
    let delta = 1.0 - confidence;
    let strata: Vec<_> = strata.iter().filter(|stratum| stratum.cells.iter().any(|cell| cell.population > 0)).collect();
    let sum = |of: fn(&AuditCell) -> u64| strata.iter().flat_map(|stratum| &stratum.cells).map(of).sum::<u64>();
    let (population, positives) = (sum(|cell| cell.population), sum(|cell| cell.positives));
    let labelled = positives + sum(|cell| cell.negatives);
    let (mut estimate, mut variance, mut exact) = (0.0, 0.0, [0.0; 2]);
    for stratum in &strata {
        let cells = &stratum.cells;
        let size: u64 = cells.iter().map(|cell| cell.population).sum();
        let (k, m) = cells.iter().fold((0, 0), |(k, m), cell| (k + cell.positives, m + cell.positives + cell.negatives));
        if m == 0 {
            return None;
        }
        let (size, labels) = (size as f64, m as f64);
        let total = |power: i32| -> f64 {
            let differences = |cell: &AuditCell| {
                cell.positives as f64 * (1.0 - cell.prediction).powi(power) + cell.negatives as f64 * (-cell.prediction).powi(power)
            };
            cells.iter().map(differences).sum()
        };
        let mean = total(1) / labels;
        estimate += cells.iter().map(|cell| cell.population as f64 * cell.prediction).sum::<f64>() + size * mean;
        if m > 1 {
            let spread = (total(2) - labels * mean * mean).max(0.0) / (labels - 1.0);
            // What was drawn is known: without replacement the variance shrinks by what is left.
            variance += size * size * (1.0 - (labels / size).min(1.0)) * spread / labels;
        } else {
            variance += size * size; // one label says nothing of the spread; a share differs by at most 1
        }
        // Each stratum's bound may fail with its part of delta, on each side.
        let part = delta / 2.0 / strata.len() as f64;
        let rest = (size - labels).max(0.0);
        exact[0] += k as f64 + rest * lower_bound(k, m, part);
        exact[1] += k as f64 + rest * upper_bound(k, m, part);
    }
    let seen = positives as f64;
    let reach = normal_quantile(1.0 - delta / 2.0) * variance.sqrt();
    let normal = [(estimate - reach).max(seen), (estimate + reach).min(population as f64).max(seen)];
    let (interval, method) = if positives >= ENOUGH {
        (normal, "difference estimator (prediction-powered), normal interval")
    } else {
        (exact, "difference estimator (prediction-powered), exact interval in each stratum: fewer than 10 sampled positives")
    };
    Some(Below {
        population,
        labelled,
        positives,
        estimate: estimate.clamp(seen, population.max(positives) as f64),
        interval,
        method,
        exact,
    })
}

/// Recall: what is positive above the threshold, of all positives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recall {
    pub estimate: f64,
    /// Two-sided; half the error goes to what lies above the threshold, half to what lies below.
    pub interval: [f64; 2],
}

/// What reached the threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Above {
    pub flagged: u64,
    /// Decided ones, without `uncertain`, and confirmed among them.
    pub decided: u64,
    pub confirmed: u64,
    /// The decisions that they have, and those that confirmed: of near-duplicates one decides all, and says no more of what still waits than one does.
    pub decisions: u64,
    pub confirming: u64,
}

/// The recall of a threshold; `None` when nothing above was decided, or when there seems to be no positive at all. `below` must have been made at the
/// confidence `1 - (1 - confidence) / 2`: see [`half()`].
pub fn recall(above: Above, below: &Below, confidence: f64) -> Option<Recall> {
    if above.decisions == 0 {
        return None;
    }
    let flagged = above.flagged.max(above.decided) as f64;
    let share = above.confirming as f64 / above.decisions as f64;
    let waiting = flagged - above.decided as f64;
    let found = |share: f64| above.confirmed as f64 + waiting * share;
    let [low, high] = clopper_pearson(above.confirming, above.decisions, half(confidence));
    let of = |above: f64, below: f64| if above + below > 0.0 { Some(above / (above + below)) } else { None };
    let estimate = of(found(share), below.estimate)?;
    let interval = [of(found(low), below.interval[1]).unwrap_or(0.0), of(found(high), below.interval[0]).unwrap_or(1.0)];
    Some(Recall { estimate, interval })
}

/// The confidence of each of two statements that hold together at `confidence`.
pub fn half(confidence: f64) -> f64 {
    1.0 - (1.0 - confidence) / 2.0
}

#[cfg(test)]
mod tests {
    use rand_xoshiro::{
        Xoshiro256PlusPlus,
        rand_core::{Rng, SeedableRng},
    };

    use super::*;

    fn uniform(random: &mut Xoshiro256PlusPlus) -> f64 {
        (random.next_u64() >> 11) as f64 * 2.0_f64.powi(-53)
    }

    /// Traffic of 16 bins in one stratum, its true number of positives, and a sample of it. What is positive is three quarters as likely as the
    /// prediction says in the upper bins and half as likely again in the lower ones: the prediction helps and is wrong.
    fn draw(random: &mut Xoshiro256PlusPlus, rate: f64) -> (u64, [AuditStratum; 1]) {
        let mut truth = 0;
        let cells = (0..16_u64).map(|bin| {
            let prediction = ((bin as f64 + 1.0) / 17.0).powi(3);
            let chance = prediction * if bin < 8 { 1.5 } else { 0.75 };
            let population = 4000 / (bin + 1);
            let (mut positives, mut negatives) = (0, 0);
            for _ in 0..population {
                let positive = uniform(random) < chance;
                truth += u64::from(positive);
                if uniform(random) < rate {
                    if positive { positives += 1 } else { negatives += 1 }
                }
            }
            AuditCell { population, positives, negatives, prediction }
        });
        let stratum = AuditStratum { cells: cells.collect() };
        (truth, [stratum])
    }

    fn without_prediction(strata: &[AuditStratum; 1]) -> [AuditStratum; 1] {
        strata
            .clone()
            .map(|stratum| AuditStratum { cells: stratum.cells.into_iter().map(|cell| AuditCell { prediction: 0.0, ..cell }).collect() })
    }

    #[test]
    fn intervals_cover_and_predictions_make_them_narrower() {
        let (mut outside, mut outside_exact, mut widths, mut plain_widths, mut bias) = (0, 0, 0.0, 0.0, 0.0);
        let draws = 300;
        for seed in 0..draws {
            let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
            let (truth, strata) = draw(&mut random, 0.05);
            let truth = truth as f64;
            let found = below(&strata, 0.9).unwrap();
            let plain = below(&without_prediction(&strata), 0.9).unwrap();
            assert!(found.positives >= ENOUGH, "{found:?}");
            outside += i32::from(!(found.interval[0]..=found.interval[1]).contains(&truth));
            outside_exact += i32::from(!(found.exact[0]..=found.exact[1]).contains(&truth));
            widths += found.interval[1] - found.interval[0];
            plain_widths += plain.interval[1] - plain.interval[0];
            bias += (found.estimate - truth) / truth;
        }
        // Three standard errors of 300 draws at 10 %, 0.052, and one more per cent for the approximation.
        println!(
            "outside {outside} and exact {outside_exact} of {draws}; width with and without predictions {widths:.0} {plain_widths:.0}"
        );
        assert!(f64::from(outside) <= 300.0 * (0.1 + 0.052 + 0.01), "{outside}");
        assert!(f64::from(outside_exact) <= 300.0 * 0.1, "{outside_exact}");
        assert!(widths < 0.92 * plain_widths, "{widths} {plain_widths}");
        assert!((bias / 300.0).abs() < 0.02, "{bias}");
    }

    #[test]
    fn few_positives_get_the_exact_interval_because_the_normal_one_fails_there() {
        let (mut outside, mut outside_normal) = (0, 0);
        for seed in 0..300 {
            let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
            // 20,000 attachments, 1 in 500 is positive, 2 % are drawn: less than one sampled positive on average.
            let (mut positives, mut negatives, mut truth) = (0_u64, 0, 0_u64);
            for _ in 0..20_000 {
                let positive = uniform(&mut random) < 0.002;
                truth += u64::from(positive);
                if uniform(&mut random) < 0.02 {
                    if positive { positives += 1 } else { negatives += 1 }
                }
            }
            let found =
                below(&[AuditStratum { cells: vec![AuditCell { population: 20_000, positives, negatives, prediction: 0.0 }] }], 0.9)
                    .unwrap();
            assert_eq!(found.interval, found.exact);
            outside += i32::from(!(found.interval[0]..=found.interval[1]).contains(&(truth as f64)));
            let (n, k) = ((positives + negatives) as f64, positives as f64);
            let reach = 1.645 * (20_000.0 / n) * (k * (1.0 - k / n)).sqrt();
            outside_normal += i32::from((20_000.0 * k / n - truth as f64).abs() > reach);
        }
        println!("outside {outside}, normal {outside_normal} of 300");
        assert!(outside <= 30 && outside_normal > 60, "{outside} {outside_normal}");
    }

    #[test]
    fn nothing_is_said_of_a_stratum_without_labels() {
        let cell = |population, positives, negatives| AuditCell { population, positives, negatives, prediction: 0.0 };
        let known = AuditStratum { cells: vec![cell(100, 1, 9)] };
        assert_eq!(below(&[known.clone(), AuditStratum { cells: vec![cell(5, 0, 0)] }], 0.95), None);
        let empty = AuditStratum { cells: vec![cell(0, 0, 0)] };
        assert_eq!(below(&[known.clone(), empty], 0.95).unwrap().estimate, 10.0, "one in ten of a hundred");
        let all = AuditStratum { cells: vec![cell(10, 4, 6)] };
        let found = below(&[all], 0.95).unwrap();
        assert_eq!((found.estimate, found.exact), (4.0, [4.0, 4.0]), "all were looked at");
    }

    #[test]
    fn recall_puts_both_sides_together() {
        let stratum = AuditStratum { cells: vec![AuditCell { population: 10, positives: 4, negatives: 6, prediction: 0.0 }] };
        let below = below(&[stratum], half(0.95)).unwrap();
        let above = Above { flagged: 16, decided: 16, confirmed: 16, decisions: 16, confirming: 16 };
        let known = recall(above, &below, 0.95).unwrap();
        assert_eq!((known.estimate, known.interval), (0.8, [0.8, 0.8]), "everything was looked at");
        let half_decided = recall(Above { decided: 8, confirmed: 8, decisions: 8, confirming: 8, ..above }, &below, 0.95).unwrap();
        assert!(half_decided.estimate == 0.8 && half_decided.interval[0] < 0.8 && half_decided.interval[1] == 0.8, "{half_decided:?}");
        // Eight copies of one picture: they are known for certain, and say of the other eight what one decision says.
        let copies = recall(Above { decided: 8, confirmed: 8, decisions: 1, confirming: 1, ..above }, &below, 0.95).unwrap();
        assert!(copies.estimate == 0.8 && copies.interval[0] < half_decided.interval[0], "{copies:?} {half_decided:?}");
        assert_eq!(recall(Above { flagged: 3, ..Above::default() }, &below, 0.95), None);
    }
}
