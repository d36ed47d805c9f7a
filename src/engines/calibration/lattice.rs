//! The next score above one, on the grid that scores live on.
//!
//! What is shown is about items that score *more* than a candidate, and what serves flags items that score *at least* the threshold. The threshold is
//! therefore the smallest representable score above the candidate. A network's scores are `f32`, in files often in decimals; on that
//! grid, comparing in the file's `f64` and in the server's `f32` flags the same items.

use super::ranked::Ranked;

/// The numbers that the scores of a file are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lattice {
    /// Every score is an `f32`, widened without a change.
    F32,
    /// Every score is the shortest decimal that reads as some `f32`.
    F32Decimal,
    /// Neither.
    F64,
}

impl Lattice {
    /// Of these scores.
    pub fn of(ranked: &Ranked) -> Self {
        let exact = |score: &f64| f64::from(*score as f32) == *score;
        if ranked.scores().iter().all(exact) {
            Self::F32
        } else if ranked.scores().iter().all(|score| exact(score) || shortest(*score)) {
            Self::F32Decimal
        } else {
            Self::F64
        }
    }

    /// The smallest score above this one.
    pub fn above(self, score: f64) -> f64 {
        match self {
            Self::F64 => score.next_up(),
            Self::F32 => f64::from((score as f32).next_up()),
            Self::F32Decimal => decimal((score as f32).next_up()),
        }
    }
}

/// Whether a score is the shortest decimal of the `f32` next to it.
fn shortest(score: f64) -> bool {
    // Six digits always survive `f32`; that spares printing most scores.
    let millionths = (score * 1e6).round();
    if millionths.abs() < 1e6 && millionths / 1e6 == score {
        return true;
    }
    decimal(score as f32) == score
}

/// The shortest decimal that reads as this `f32`, as an `f64`.
fn decimal(score: f32) -> f64 {
    // Printing a number and reading it cannot fail; what is printed has at most nine digits.
    score.to_string().parse().unwrap_or(f64::from(score))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lattice(scores: &[f64]) -> Lattice {
        Lattice::of(&Ranked::new(scores, &vec![true; scores.len()]))
    }

    #[test]
    fn the_grid_is_recognised_and_the_next_score_is_on_it() {
        let single = f64::from(0.3_f32);
        assert_eq!(lattice(&[0.5, single]), Lattice::F32);
        assert_eq!(lattice(&[0.5, 0.3, 0.123_456, 0.8437501]), Lattice::F32Decimal);
        assert_eq!(lattice(&[0.5, 0.3, 0.123_456_789_01]), Lattice::F64);
        assert_eq!(Lattice::F64.above(0.3), 0.3_f64.next_up());
        for lattice in [Lattice::F32, Lattice::F32Decimal] {
            let next = lattice.above(0.3);
            // As the server sees it: the threshold becomes an f32.
            assert_eq!(next as f32, 0.3_f32.next_up());
            assert!(next > 0.3);
        }
        assert_eq!(Lattice::F32.above(0.0), f64::from(f32::from_bits(1)));
    }
}
