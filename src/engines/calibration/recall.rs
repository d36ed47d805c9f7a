//! The highest threshold at which at least a share R of the positives is flagged: an exact binomial tolerance limit (Wilks 1941).
//!
//! The positive with rank j (from above) is a threshold that flags a share of all positives of at least R unless fewer than j of n would lie above the
//! point where that share is R; the chance of that is P(Bin(n, R) >= j). Ties only flag more.

use super::{binomial::tail, ranked::Ranked};

/// The threshold, and the items that it flags.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecallCut {
    /// The score of a positive; at least this is flagged.
    pub threshold: f64,
    pub flagged: u64,
    /// Positives among them.
    pub hits: u64,
}

/// The smallest rank among `positives` that shows a recall of `target`, wrong with probability at most `delta`; `None` when they are too few.
pub fn rank(positives: u64, target: f64, delta: f64) -> Option<u64> {
    let enough = |rank: u64| tail(rank, positives, target) <= delta;
    if positives == 0 || !enough(positives) {
        return None;
    }
    let (mut low, mut high) = (0, positives);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// The fewest positives that can show it: target^n <= delta.
pub fn positives_needed(target: f64, delta: f64) -> u64 {
    (delta.ln() / target.ln()).ceil() as u64
}

/// The highest threshold that is shown to have a recall of `target`.
pub fn search(ranked: &Ranked, target: f64, delta: f64) -> Option<RecallCut> {
    let rank = rank(ranked.positives(), target, delta)?;
    let positive = ranked.positive().iter().enumerate().filter(|(_, positive)| **positive);
    let (at, _) = positive.skip(usize::try_from(rank).ok()? - 1).map(|(at, _)| (at, ())).next()?;
    let threshold = ranked.scores()[at];
    let flagged = ranked.at_least(threshold);
    Some(RecallCut { threshold, flagged: flagged as u64, hits: super::ranked::count(&ranked.positive()[..flagged]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One-sided tolerance limits without a miss: 59 of 59 for 95/95, 299 for 99/95 (Wilks).
    #[test]
    fn ranks_are_tolerance_limits() {
        assert_eq!((rank(58, 0.95, 0.05), rank(59, 0.95, 0.05)), (None, Some(59)));
        assert_eq!((positives_needed(0.95, 0.05), positives_needed(0.99, 0.05)), (59, 299));
        // With 93 the second smallest suffices: P(Bin(93, 0.95) >= 92) = 0.0499.
        assert_eq!((rank(92, 0.95, 0.05), rank(93, 0.95, 0.05)), (Some(92), Some(92)));
        assert_eq!(rank(0, 0.5, 0.05), None);
    }

    #[test]
    fn ties_are_flagged_together() {
        let scores: Vec<f64> = (0..100).map(|i| f64::from(i / 2)).collect();
        let found = search(&Ranked::new(&scores, &[true; 100]), 0.95, 0.05).unwrap();
        assert_eq!((found.threshold, found.flagged, found.hits), (0.0, 100, 100));
        let found = search(&Ranked::new(&scores, &[true; 100]), 0.5, 0.05).unwrap();
        assert_eq!(found, RecallCut { threshold: 20.0, flagged: 60, hits: 60 });
    }
}
