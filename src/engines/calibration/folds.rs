//! A sample divided into folds, for cross-fitting.

use super::ranked::Ranked;

/// Folds: each item's probability comes from a fit to the other four.
pub const FOLDS: usize = 5;

/// Scores with labels, weights and folds.
#[derive(Clone, Debug)]
pub struct Sample<'a> {
    /// Descending.
    pub scores: &'a [f64],
    pub positive: &'a [bool],
    /// `None` when all weigh 1.
    pub weights: Option<Vec<f64>>,
    /// 0..FOLDS.
    pub fold: Vec<u8>,
}

impl<'a> Sample<'a> {
    /// Rows of one group share a fold. `weights` and `groups` are columns by row.
    pub fn new(ranked: &'a Ranked, weights: Option<&[f64]>, groups: Option<&[u32]>, seed: u64) -> Self {
        let unit = |row: u32| groups.map_or(row, |groups| groups[row as usize]);
        Self {
            scores: ranked.scores(),
            positive: ranked.positive(),
            weights: weights.map(|weights| ranked.rows().iter().map(|row| weights[*row as usize]).collect()),
            fold: ranked.rows().iter().map(|row| (draw(seed, u64::from(unit(*row))) % FOLDS as u64) as u8).collect(),
        }
    }

    /// The weight of the item at a rank.
    pub fn weight(&self, at: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |weights| weights[at])
    }

    /// Weight of negatives and positives in each fold.
    pub fn totals(&self) -> [[f64; 2]; FOLDS] {
        let mut totals = [[0.0; 2]; FOLDS];
        for (at, (fold, positive)) in self.fold.iter().zip(self.positive).enumerate() {
            totals[usize::from(*fold)][usize::from(*positive)] += self.weight(at);
        }
        totals
    }
}

/// A number that looks random for each unit, and is the same in every run: splitmix64 (Steele, Lea, Flood 2014) of the unit and the seed.
pub fn draw(seed: u64, unit: u64) -> u64 {
    let mut z = (unit ^ seed.rotate_left(32)).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
