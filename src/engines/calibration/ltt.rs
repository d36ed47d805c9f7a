//! The lowest threshold whose precision is certified, for independent items of equal weight at the sample's prevalence: Learn then Test with
//! exact binomial tails, along every distinct score. The room's essay says why it is valid.

use super::{
    binomial::{cdf, sample_size, upper_bound},
    ranked::{Ranked, count},
    starts::{growing, lanes, shares},
};

/// The block of the highest score is a start of its own from this size on: then it is the same block in every sample, but for a chance of 10^-25 (the
/// room's essay).
const LARGE_BLOCK: u64 = 300;

/// Items above a candidate, and what is known of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// The candidate: flagged is what scores more. `None` flags everything.
    pub above: Option<f64>,
    /// Flagged items.
    pub flagged: u64,
    /// Negatives among them.
    pub errors: u64,
}

/// What a search along the scores found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Search {
    /// Ranks at which sequences started; in [`search`], 0 stands for the block of the highest score.
    pub starts: Vec<u64>,
    /// The lowest certified candidate.
    pub certified: Option<Cut>,
    /// Of the starts' candidates, the one with the highest lower bound of the precision, and that bound; all of the starts' bounds hold
    /// together at delta.
    pub nearest: Option<(Cut, f64)>,
}

/// Refutes an error rate of `alpha` or more at `delta`.
#[derive(Clone, Copy, Debug)]
pub struct ErrorTest {
    pub alpha: f64,
    pub delta: f64,
}

impl ErrorTest {
    /// Whether P(Bin(n, alpha) <= k) <= delta.
    pub fn rejects(&self, k: u64, n: u64) -> bool {
        let rate = k as f64 / n as f64;
        if n == 0 || rate >= self.alpha {
            return false;
        }
        // Chernoff's bound is above the tail; where it suffices, and far from the boundary it does, the tail is not added up.
        if n as f64 * divergence(rate, self.alpha) >= -self.delta.ln() {
            return true;
        }
        cdf(k, n, self.alpha) <= self.delta
    }
}

/// Kullback-Leibler divergence of two coins, in nats.
pub fn divergence(p: f64, q: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    part(p, q) + part(1.0 - p, 1.0 - q)
}

/// The ranks at which sequences start: the fewest flagged items of which none may be wrong, two for each doubling of that, and all; and 0, for the block of the highest
/// score. They depend on n, alpha and delta alone. A set that is too small to certify anything gets starts all the same, to say what is nearest.
pub fn starts(n: u64, alpha: f64, delta: f64) -> Vec<u64> {
    let fitting = |delta: f64| sample_size(0, alpha, delta).filter(|first| *first <= n);
    let [share, _] = shares(2, delta);
    match (fitting(share), fitting(delta)) {
        (Some(first), _) => ranks(first, n).chain([0]).collect(),
        (None, Some(only)) => vec![only],
        (None, None) => ranks((n / 16).max(1), n).collect(),
    }
}

/// first, 1.4 first, 2 first, … below n, and n.
fn ranks(first: u64, n: u64) -> impl Iterator<Item = u64> {
    growing(first as f64).map(|rank| rank.ceil() as u64).take_while(move |rank| *rank < n).chain((n > 0).then_some(n))
}

/// Searches the lowest threshold with precision of at least 1 - `alpha`, wrong with probability at most `delta`.
pub fn search(ranked: &Ranked, alpha: f64, delta: f64) -> Search {
    let starts = starts(ranked.len() as u64, alpha, delta);
    let mut lanes = lanes(starts.len(), delta);
    let tests = lanes.map(|lane| ErrorTest { alpha, delta: lane.delta });
    let mut found = Search::default();
    let (mut next, mut tested) = (0, 0);
    for (index, (cut, reach)) in candidates(ranked).enumerate() {
        let mut begins = [false; 2];
        while starts.get(next).is_some_and(|start| 0 < *start && *start < reach) {
            begins[usize::from(next > 0)] = true;
            next += 1;
        }
        // The second candidate has the block of the highest score above it.
        begins[1] |= index == 1 && starts.contains(&0) && cut.flagged >= LARGE_BLOCK.max(starts[0]);
        for (begins, lane) in begins.into_iter().zip(&lanes) {
            if begins && cut.flagged > 0 {
                let bound = 1.0 - upper_bound(cut.errors, cut.flagged, lane.delta);
                if found.nearest.is_none_or(|(_, best)| bound >= best) {
                    found.nearest = Some((cut, bound));
                }
            }
        }
        // More items without another error only make a rejection clearer: a sequence can only break at an error.
        let news = cut.errors > tested;
        for ((begins, lane), test) in begins.into_iter().zip(&mut lanes).zip(tests) {
            if begins || (lane.alive && news) {
                lane.alive = test.rejects(cut.errors, cut.flagged);
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

/// Every distinct score as a candidate, strict to lax, and at last everything, where that is a threshold; with each, the rank below which starts
/// belong to it.
fn candidates(ranked: &Ranked) -> impl Iterator<Item = (Cut, u64)> {
    let mut errors = 0;
    let mut counted = 0;
    let mut to = move |end: usize| {
        errors += (end - counted) as u64 - count(&ranked.positive()[counted..end]);
        counted = end;
        errors
    };
    let everything = (ranked.in_unit_interval() && !ranked.is_empty()).then_some((None, ranked.len(), u64::MAX));
    ranked
        .blocks()
        .map(|block| (Some(block.score), block.start, block.end as u64))
        .chain(everything)
        .map(move |(above, start, reach)| (Cut { above, flagged: start as u64, errors: to(start) }, reach))
}

/// The lowest candidate above `certified` (or of all) that the sample calls good: an estimate, to fall back on.
pub fn stricter(ranked: &Ranked, certified: Option<&Cut>, good: impl Fn(&Cut) -> bool) -> Option<Cut> {
    let most = certified.map_or(u64::MAX, |cut| cut.flagged);
    let cuts = candidates(ranked).map(|(cut, _)| cut).take_while(|cut| cut.flagged < most);
    cuts.filter(|cut| cut.flagged > 0 && good(cut)).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(blocks: &[(f64, u32, u32)]) -> Ranked {
        let mut scores = Vec::new();
        let mut positive = Vec::new();
        for &(score, right, wrong) in blocks {
            scores.extend((0..right + wrong).map(|_| score));
            positive.extend((0..right + wrong).map(|i| i < right));
        }
        Ranked::new(&scores, &positive)
    }

    /// One item for each score, errors at these ranks.
    fn distinct(n: u32, errors: &[u32]) -> Ranked {
        let scores: Vec<f64> = (0..n).map(|i| 1.0 - f64::from(i) / f64::from(n)).collect();
        let positive: Vec<bool> = (0..n).map(|i| !errors.contains(&i)).collect();
        Ranked::new(&scores, &positive)
    }

    /// The slow oracle of a walk: every start for itself, every candidate tested with the tail.
    fn plainly(ranked: &Ranked, alpha: f64, delta: f64) -> Option<u64> {
        let starts = starts(ranked.len() as u64, alpha, delta);
        let shares = shares(starts.len(), delta);
        let all: Vec<(Cut, u64)> = candidates(ranked).collect();
        let rejected = |cut: &Cut, delta: f64| cut.flagged > 0 && cdf(cut.errors, cut.flagged, alpha) <= delta;
        let mut best = None;
        for (number, start) in starts.iter().enumerate() {
            let from = match start {
                0 => all.get(1).filter(|(cut, _)| cut.flagged >= LARGE_BLOCK.max(starts[0])).map(|_| 1),
                rank => all.iter().position(|(_, reach)| rank < reach),
            };
            let Some(from) = from else { continue };
            let walk = all[from..].iter().take_while(|(cut, _)| rejected(cut, shares[number.min(1)]));
            best = best.max(walk.last().map(|(cut, _)| cut.flagged));
        }
        best
    }

    #[test]
    fn the_walk_equals_its_slow_oracle() {
        let mut state = 7_u64;
        let mut next = |below: u64| {
            state = super::super::folds::draw(state, 1);
            state % below
        };
        let mut certified = 0;
        for case in 0..300 {
            let n = 50 + next(1500) as u32;
            let (grid, noise) = (1 + next(400), 1 + next(30));
            let scores: Vec<f64> = (0..n).map(|_| next(grid) as f64 / grid as f64).collect();
            let positive: Vec<bool> = scores.iter().map(|score| next(100) >= noise && *score > 0.2).collect();
            let ranked = Ranked::new(&scores, &positive);
            let alpha = [0.3, 0.1, 0.05][case % 3];
            let found = search(&ranked, alpha, 0.1).certified.map(|cut| cut.flagged);
            assert_eq!(found, plainly(&ranked, alpha, 0.1), "case {case}");
            certified += i32::from(found.is_some());
        }
        assert!((50..300).contains(&certified), "{certified} of 300 were certified: the cases say nothing");
    }

    #[test]
    fn a_clean_sample_needs_as_many_flags_as_the_exact_binomial_says() {
        // All of delta on one start: ln(0.05) / ln(0.99) = 299; two or more: half of it, ln(0.025) / ln(0.99) = 368.
        assert_eq!(starts(299, 0.01, 0.05), [299]);
        assert_eq!(starts(298, 0.01, 0.05).first(), Some(&18));
        assert_eq!(starts(368, 0.01, 0.05), [368, 0]);
        assert!(search(&distinct(299, &[]), 0.01, 0.05).certified.is_some_and(|cut| cut.flagged == 299 && cut.above.is_none()));
        assert!(search(&distinct(298, &[]), 0.01, 0.05).certified.is_none());
    }

    #[test]
    fn an_error_at_the_very_top_ends_one_sequence_and_not_all() {
        let found = search(&distinct(20_000, &[0, 1, 2, 3, 4]), 0.01, 0.05);
        assert!(found.certified.is_some_and(|cut| cut.errors == 5 && cut.flagged == 20_000), "{found:?}");
    }

    #[test]
    fn ties_are_one_block_and_count_when_they_lie_above() {
        // 1,000 equal scores on top are a start of their own; what is shown is about what scores more than the next block.
        let found = search(&data(&[(0.9, 1000, 0), (0.5, 0, 1000)]), 0.01, 0.05);
        assert_eq!(found.certified, Some(Cut { above: Some(0.5), flagged: 1000, errors: 0 }));
        // Nothing but ties: everything or nothing.
        assert!(search(&data(&[(0.5, 1000, 0)]), 0.01, 0.05).certified.is_some_and(|cut| cut.above.is_none()));
        assert_eq!(search(&data(&[(0.5, 1000, 30)]), 0.01, 0.05).certified, None);
        assert_eq!(search(&data(&[(0.5, 0, 1000)]), 0.01, 0.05).certified, None);
        let nothing = search(&data(&[]), 0.01, 0.05);
        assert_eq!((nothing.certified, nothing.nearest), (None, None));
    }

    #[test]
    fn the_nearest_start_has_a_lower_bound() {
        // 990 of 1000 shows 98.3 % at best.
        let (cut, lower) = search(&data(&[(0.9, 990, 10), (0.1, 0, 1000)]), 0.01, 0.05).nearest.unwrap();
        assert_eq!((cut.flagged, cut.errors), (1000, 10));
        assert!(lower > 0.97 && lower < 0.983, "{lower}");
    }
}
