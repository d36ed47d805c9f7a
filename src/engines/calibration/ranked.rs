//! Scores in descending order with their labels: what every search walks along.

use rayon::slice::ParallelSliceMut;

/// Items of one population, highest score first; equal scores stand together, in no particular order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranked {
    scores: Vec<f64>,
    positive: Vec<bool>,
    rows: Vec<u32>,
}

/// Items of one score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    pub score: f64,
    /// Items with a higher score.
    pub start: usize,
    /// Items with this score or a higher one.
    pub end: usize,
}

impl Ranked {
    /// Sorts a score and a label for each item. Scores are finite; there are fewer than 2^32 of them.
    pub fn new(scores: &[f64], positive: &[bool]) -> Self {
        let keys = || scores.iter().map(|score| descending(*score)).zip(0_u32..);
        let rows: Vec<u32> = if scores.iter().all(|score| f64::from(*score as f32) == *score) {
            // Scores of a network: 32 bits order them, and the row fits beside them into one word.
            let mut packed: Vec<u64> =
                scores.iter().zip(0_u64..).map(|(score, row)| u64::from(descending_f32(*score as f32)) << 32 | row).collect();
            packed.par_sort_unstable();
            packed.into_iter().map(|key| key as u32).collect()
        } else {
            let mut pairs: Vec<(u64, u32)> = keys().collect();
            pairs.par_sort_unstable();
            pairs.into_iter().map(|(_, row)| row).collect()
        };
        Self {
            scores: rows.iter().map(|row| scores[*row as usize]).collect(),
            positive: rows.iter().map(|row| positive[*row as usize]).collect(),
            rows,
        }
    }

    /// The items of each code, by a column of codes below `number`.
    pub fn split(&self, codes: &[u16], number: usize) -> Vec<Self> {
        let mut parts = vec![Self::default(); number];
        for (at, &row) in self.rows.iter().enumerate() {
            let part = &mut parts[usize::from(codes[row as usize])];
            part.scores.push(self.scores[at]);
            part.positive.push(self.positive[at]);
            part.rows.push(row);
        }
        parts
    }

    /// Items.
    pub const fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// Descending scores.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// The label of each score.
    pub fn positive(&self) -> &[bool] {
        &self.positive
    }

    /// The row of each score in the columns that were sorted.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Items with a positive label.
    pub fn positives(&self) -> u64 {
        count(&self.positive)
    }

    /// How many items score at least this.
    pub fn at_least(&self, threshold: f64) -> usize {
        self.scores.partition_point(|score| *score >= threshold)
    }

    /// How many items score more than this.
    pub fn above(&self, score: f64) -> usize {
        self.scores.partition_point(|other| *other > score)
    }

    /// Whether all scores lie in 0..=1, so that flagging everything is a threshold of 0.
    pub fn in_unit_interval(&self) -> bool {
        self.scores.first().is_none_or(|most| *most <= 1.0) && self.scores.last().is_none_or(|least| *least >= 0.0)
    }

    /// Items of equal scores, highest first.
    pub fn blocks(&self) -> impl Iterator<Item = Block> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let score = *self.scores.get(start)?;
            let same = self.scores[start..].iter().take_while(|other| **other == score).count();
            let block = Block { score, start, end: start + same };
            start += same;
            Some(block)
        })
    }
}

/// Positive labels among these.
pub fn count(positive: &[bool]) -> u64 {
    positive.iter().map(|positive| u64::from(*positive)).sum()
}

/// A word that grows as the score falls.
fn descending(score: f64) -> u64 {
    let bits = score.to_bits();
    if bits >> 63 == 0 { !(bits | 1 << 63) } else { bits }
}

fn descending_f32(score: f32) -> u32 {
    let bits = score.to_bits();
    if bits >> 31 == 0 { !(bits | 1 << 31) } else { bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_sorting_descend_and_keep_labels_with_their_scores() {
        for scores in [vec![0.5, -1.0, 2.0, 0.5, 0.0, -0.0, -0.25], vec![0.1, -1.0, 2.0, 0.1, 0.0, -0.0, -1e-300]] {
            let positive = [true, false, true, false, true, true, false];
            let ranked = Ranked::new(&scores, &positive);
            assert!(ranked.scores().windows(2).all(|pair| pair[0] >= pair[1]), "{ranked:?}");
            for (at, row) in ranked.rows().iter().enumerate() {
                assert_eq!((ranked.scores()[at], ranked.positive()[at]), (scores[*row as usize], positive[*row as usize]));
            }
            let blocks: Vec<_> = ranked.blocks().map(|block| (block.start, block.end)).collect();
            assert_eq!(blocks, [(0, 1), (1, 3), (3, 5), (5, 6), (6, 7)]);
            assert_eq!((ranked.at_least(0.0), ranked.above(0.0), ranked.positives()), (5, 3, 4));
            let parts = ranked.split(&[0, 0, 1, 0, 0, 0, 0], 2);
            assert_eq!((parts[0].len(), parts[0].scores()[0], parts[1].rows()), (6, scores[0], &[2][..]));
        }
        assert_eq!(Ranked::new(&[], &[]).blocks().count(), 0);
    }
}
