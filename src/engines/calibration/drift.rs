//! How far a distribution of scores has moved, in bins.
//!
//! No certificate survives another population, and scores are there before any verdict is. Two measures, both for a person to judge: neither
//! says whether precision changed.

/// How far two histograms lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// Population stability index: sum of (p - q) ln(p / q), the symmetrised Kullback-Leibler divergence in nats. Half an observation is added to each
    /// bin (Jeffreys' prior), so that an empty one does not make it infinite.
    pub psi: f64,
    /// Kolmogorov and Smirnov's distance at the edges of the bins, 0..=1: a lower bound of the distance of the scores themselves.
    pub ks: f64,
    /// The sizes of both.
    pub reference: u64,
    pub live: u64,
}

/// `None` when one is empty or they have different bins.
pub fn drift(reference: &[u64], live: &[u64]) -> Option<Drift> {
    let (before, now) = (reference.iter().sum::<u64>(), live.iter().sum::<u64>());
    if before == 0 || now == 0 || reference.len() != live.len() {
        return None;
    }
    let half_a_count = 0.5;
    let share = |count: u64, all: u64| (count as f64 + half_a_count) / (all as f64 + half_a_count * reference.len() as f64);
    let (mut psi, mut ks) = (0.0, 0.0_f64);
    let (mut below_before, mut below_now) = (0, 0);
    for (&one, &other) in reference.iter().zip(live) {
        let (p, q) = (share(one, before), share(other, now));
        psi += (p - q) * (p / q).ln();
        below_before += one;
        below_now += other;
        ks = ks.max((below_before as f64 / before as f64 - below_now as f64 / now as f64).abs());
    }
    Some(Drift { psi, ks, reference: before, live: now })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_move_has_no_drift_and_what_moved_has() {
        let still = drift(&[900, 90, 10], &[90_000, 9000, 1000]).unwrap();
        assert!(still.psi < 1e-3 && still.ks < 1e-12, "{still:?}");
        let moved = drift(&[900, 90, 10], &[500, 300, 200]).unwrap();
        // By hand, without the half counts: 0.4 ln(1.8) + (-0.21) ln(0.3) + (-0.19) ln(0.05).
        let by_hand = 0.4 * 1.8_f64.ln() - 0.21 * 0.3_f64.ln() - 0.19 * 0.05_f64.ln();
        assert!((moved.psi - by_hand).abs() < 0.02, "{} {by_hand}", moved.psi);
        assert!((moved.ks - 0.4).abs() < 1e-12);
        assert_eq!((moved.reference, moved.live), (1000, 1000));
        assert!(drift(&[1, 0], &[0, 1]).unwrap().psi.is_finite());
        assert_eq!((drift(&[0, 0], &[1, 1]), drift(&[1, 1], &[0, 0]), drift(&[1], &[1, 1])), (None, None, None));
    }
}
