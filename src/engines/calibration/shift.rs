//! The lowest threshold whose precision is certified at another prevalence than the sample's.
//!
//! Precision at prevalence pi is pi T / (pi T + (1 - pi) F), with T the share of positives and F the share of negatives that are flagged. Positives and
//! negatives are two samples of known sizes; F is bounded from above and T from below, each with an exact binomial bound and its own part of
//! delta. Sequences start at ranks *among negatives*. The room's essay says why that is valid.

use super::{
    binomial::{cdf, lower_bound, upper_bound},
    ltt::{Cut, Search, divergence},
    ranked::Ranked,
    starts::{growing, lanes, shares},
};

/// The part of a start's delta that goes to T. F is what certificates at low prevalence fail at, so it gets the rest.
pub const PART_OF_RECALL: f64 = 0.1;

/// Precision at a prevalence, from the flagged shares of positives (T) and negatives (F). `None` where nothing is flagged.
pub fn precision(prevalence: f64, recall: f64, fpr: f64) -> Option<f64> {
    let (hits, errors) = (prevalence * recall, (1.0 - prevalence) * fpr);
    (hits + errors > 0.0).then(|| hits / (hits + errors))
}

/// The largest F for which the precision is still `target`, at this T.
pub fn fpr_needed(prevalence: f64, recall: f64, target: f64) -> f64 {
    prevalence * recall * (1.0 - target) / ((1.0 - prevalence) * target)
}

/// Starts: numbers of negatives that are flagged, 0, 1, 2, 3, 4, 6, 8, 12, …, as many as can be of use with their share of delta.
pub fn starts(negatives: u64, prevalence: f64, target: f64, delta: f64) -> Vec<u64> {
    let ranks = std::iter::once(0).chain(growing(1.0).map(|rank| rank.ceil() as u64));
    let mut ranks: Vec<u64> = ranks.take_while(|rank| *rank < negatives).collect();
    ranks.dedup();
    let useful = |number: usize| {
        let [first, others] = shares(number, (1.0 - PART_OF_RECALL) * delta);
        upper_bound(ranks[number - 1], negatives, if number == 1 { first } else { others }) <= fpr_needed(prevalence, 1.0, target)
    };
    let number = (1..=ranks.len()).take_while(|number| useful(*number)).last().unwrap_or(1).min(ranks.len());
    ranks[..number].to_vec()
}

/// Searches the lowest threshold with precision of at least `target` at `prevalence` (in 0..1), wrong with probability at most `delta`.
pub fn search(ranked: &Ranked, target: f64, delta: f64, prevalence: f64) -> Search {
    let positives = ranked.positives();
    let negatives = ranked.len() as u64 - positives;
    let starts = starts(negatives, prevalence, target, delta);
    let mut lanes = lanes(starts.len(), delta);
    let mut rules = lanes.map(|lane| Rule { positives, negatives, prevalence, target, delta: lane.delta, known: 0.0 });
    let mut found = Search::default();
    let (mut next, mut tested) = (0, 0);
    let mut above = Counts::default();
    let everything = (ranked.in_unit_interval() && !ranked.is_empty()).then_some((None, ranked.len(), ranked.len()));
    for (score, start, end) in ranked.blocks().map(|block| (Some(block.score), block.start, block.end)).chain(everything) {
        let cut = Cut { above: score, flagged: start as u64, errors: above.negatives };
        let hits = above.positives;
        above.add(&ranked.positive()[start..end]);
        // A start with k negatives above it lies at the score of negative k + 1 (from above).
        let mut begins = [None; 2];
        while starts.get(next).is_some_and(|start| *start < above.negatives || score.is_none()) {
            begins[usize::from(next > 0)] = Some(starts[next]);
            next += 1;
        }
        // Between errors T only grows: a sequence can only break at an error.
        let news = cut.errors > tested;
        for ((begins, lane), rule) in begins.into_iter().zip(&mut lanes).zip(&mut rules) {
            lane.alive = lane.alive && (!news || rule.rejects(cut.errors, hits));
            let Some(rank) = begins else { continue };
            // Ties put fewer than `rank` negatives above the start; counting them as `rank` keeps the test valid there.
            let errors = cut.errors.max(rank);
            lane.alive = lane.alive || rule.rejects(errors, hits);
            if let Some(bound) = rule.precision_lower(errors, hits)
                && found.nearest.is_none_or(|(_, best)| bound >= best)
            {
                found.nearest = Some((cut, bound));
            }
        }
        tested = cut.errors;
        if lanes.iter().any(|lane| lane.alive) {
            found.certified = Some(cut);
        }
    }
    found.starts = starts;
    found
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    positives: u64,
    negatives: u64,
}

impl Counts {
    fn add(&mut self, positive: &[bool]) {
        let positives = super::ranked::count(positive);
        self.positives += positives;
        self.negatives += positive.len() as u64 - positives;
    }
}

/// The test of one start.
#[derive(Clone, Copy, Debug)]
struct Rule {
    positives: u64,
    negatives: u64,
    prevalence: f64,
    target: f64,
    delta: f64,
    /// The last lower bound of T, which only grows along the walk.
    known: f64,
}

impl Rule {
    const fn delta_of_recall(&self) -> f64 {
        PART_OF_RECALL * self.delta
    }

    const fn delta_of_fpr(&self) -> f64 {
        (1.0 - PART_OF_RECALL) * self.delta
    }

    fn precision_lower(&self, errors: u64, hits: u64) -> Option<f64> {
        let recall = lower_bound(hits, self.positives, self.delta_of_recall());
        precision(self.prevalence, recall, upper_bound(errors, self.negatives, self.delta_of_fpr()))
    }

    /// Whether the lower bound of the precision reaches the target.
    fn rejects(&mut self, errors: u64, hits: u64) -> bool {
        if self.refutes(errors, fpr_needed(self.prevalence, self.known, self.target), true) {
            return true;
        }
        self.known = lower_bound(hits, self.positives, self.delta_of_recall());
        self.refutes(errors, fpr_needed(self.prevalence, self.known, self.target), false)
    }

    /// Whether F is shown to be at most `fpr`; `roughly` by Chernoff's bound alone.
    fn refutes(&self, errors: u64, fpr: f64, roughly: bool) -> bool {
        let rate = errors as f64 / self.negatives as f64;
        if self.negatives == 0 || rate >= fpr {
            return false;
        }
        if fpr >= 1.0 || self.negatives as f64 * divergence(rate, fpr) >= -self.delta_of_fpr().ln() {
            return true;
        }
        !roughly && cdf(errors, self.negatives, fpr) <= self.delta_of_fpr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By Bayes' rule: precision at F = 1e-3 and 1e-5 with T = 0.8, and F needed for 99 %.
    #[test]
    fn a_table_of_prevalences_is_reproduced() {
        let rows = [
            (0.5, 0.9988, 1.0, None),
            (0.1, 0.989, 0.9999, Some(9.0e-4)),
            (0.01, 0.890, 0.999, Some(8.2e-5)),
            (0.001, 0.445, 0.988, Some(8.1e-6)),
            (1e-4, 0.074, 0.889, Some(8.1e-7)),
            (1e-6, 0.0008, 0.074, Some(8.1e-9)),
        ];
        for (prevalence, at_thousandth, at_hundred_thousandth, needed) in rows {
            let at = |fpr| precision(prevalence, 0.8, fpr).unwrap();
            assert!((at(1e-3) - at_thousandth).abs() < 6e-4, "{prevalence}: {}", at(1e-3));
            assert!((at(1e-5) - at_hundred_thousandth).abs() < 6e-4, "{prevalence}: {}", at(1e-5));
            if let Some(needed) = needed {
                assert!((fpr_needed(prevalence, 0.8, 0.99) / needed - 1.0).abs() < 0.01);
            }
        }
        // 99 % on a balanced set elsewhere: 91.7 %, 50 %, 9 %.
        let fpr = fpr_needed(0.5, 0.8, 0.99);
        for (prevalence, expected) in [(0.1, 0.917), (0.01, 0.5), (0.001, 0.09)] {
            assert!((precision(prevalence, 0.8, fpr).unwrap() - expected).abs() < 1e-3);
        }
    }

    /// Separated classes: certified exactly when there are enough clean negatives for the start's share of delta.
    #[test]
    fn clean_negatives_decide_at_low_prevalence() {
        let certified = |negatives: usize| {
            let scores: Vec<f64> = (0..1000 + negatives).map(|i| if i < 1000 { 0.9 } else { 0.1 }).collect();
            let positive: Vec<bool> = (0..1000 + negatives).map(|i| i < 1000).collect();
            search(&Ranked::new(&scores, &positive), 0.99, 0.05, 0.01)
        };
        // T_L = 0.005^(1/1000) = 0.9947; F needed 1.015e-4; ln(0.045) / ln(1 - F) = 30,556.
        assert_eq!(certified(30_500).certified, None);
        let found = certified(30_600);
        assert_eq!(found.certified, Some(Cut { above: Some(0.1), flagged: 1000, errors: 0 }));
        assert_eq!(found.starts, [0]);
        assert!(found.nearest.unwrap().1 >= 0.99);
    }
}
