//! Items by descending score: what every metric of ranking walks over.

use rayon::slice::ParallelSliceMut;

use crate::domain::labelled::Labelled;

/// Most items that can be evaluated at once: the number of a cluster shares 32 bits with two flags.
pub(super) const MOST_ITEMS: usize = 1 << 30;

/// Items of a data set, the highest score first.
pub(super) struct Sorted {
    pub scores: Vec<f64>,
    pub items: Vec<Item>,
    pub weights: Option<Vec<f64>>,
    pub clusters: Clusters,
}

/// How items hang together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Clusters {
    /// Each item is a cluster of its own, numbered by its place here.
    Each,
    /// So many clusters, numbered as the data set's groups.
    Many(u32),
}

/// The number of the cluster, whether the item is positive, and whether it is the last of its score.
#[derive(Clone, Copy)]
pub(super) struct Item(u32);

impl Item {
    const fn new(cluster: u32, positive: bool, last: bool) -> Self {
        Self(cluster << 2 | (positive as u32) << 1 | last as u32)
    }

    pub const fn cluster(self) -> usize {
        (self.0 >> 2) as usize
    }

    pub const fn positive(self) -> bool {
        self.0 & 2 != 0
    }

    pub const fn last(self) -> bool {
        self.0 & 1 != 0
    }
}

impl Sorted {
    /// Sorts; the caller has checked that there are at most [`MOST_ITEMS`].
    pub fn new(data: &Labelled) -> Self {
        Self::of_order(data, &order(data))
    }

    /// One for each slice, sorted in the same way. Groups keep their codes; those that a slice does not have are drawn in vain, so they are
    /// numbered anew.
    pub fn of_slices(data: &Labelled) -> Vec<Self> {
        let Some(slices) = &data.slices else { return Vec::new() };
        let mut orders = vec![Vec::new(); slices.names.len()];
        for row in order(data) {
            orders[usize::from(slices.codes[row as usize])].push(row);
        }
        orders.into_iter().map(|order| Self::of_order(data, &order)).collect()
    }

    fn of_order(data: &Labelled, order: &[u32]) -> Self {
        let scores: Vec<f64> = order.iter().map(|row| data.scores[*row as usize]).collect();
        let (mut codes, mut count) = (std::collections::HashMap::new(), 0);
        let all = order.len() == data.len();
        let mut cluster = |at: usize, row: u32| match &data.groups {
            None => at as u32,
            Some(groups) if all => groups.codes[row as usize],
            Some(groups) => *codes.entry(groups.codes[row as usize]).or_insert_with(|| {
                count += 1;
                count - 1
            }),
        };
        let item = |(at, row): (usize, &u32)| {
            let last = scores.get(at + 1).is_none_or(|next| *next != scores[at]);
            Item::new(cluster(at, *row), data.positive[*row as usize], last)
        };
        let items = order.iter().enumerate().map(item).collect();
        let clusters = match &data.groups {
            None => Clusters::Each,
            Some(groups) => Clusters::Many(if all { groups.count } else { count }),
        };
        let weights = data.weights.as_ref().map(|weights| order.iter().map(|row| weights[*row as usize]).collect());
        Self { scores, items, weights, clusters }
    }

    pub const fn len(&self) -> usize {
        self.items.len()
    }

    /// Clusters that can be drawn.
    pub const fn clusters(&self) -> u32 {
        match self.clusters {
            Clusters::Each => self.items.len() as u32,
            Clusters::Many(count) => count,
        }
    }

    /// Clusters that somebody named; `None` when each item stands for itself.
    pub const fn groups(&self) -> Option<u32> {
        match self.clusters {
            Clusters::Each => None,
            Clusters::Many(count) => Some(count),
        }
    }

    /// How many items a threshold flags: those whose score is at least this.
    pub fn flagged(&self, threshold: f64) -> usize {
        self.scores.partition_point(|score| *score >= threshold)
    }

    pub fn weight(&self, at: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |weights| weights[at])
    }

    /// Whether all scores can be read as probabilities.
    pub fn probabilities(&self) -> bool {
        self.scores.first().is_none_or(|highest| *highest <= 1.0) && self.scores.last().is_none_or(|lowest| *lowest >= 0.0)
    }
}

/// Rows by descending score, equal scores in their order.
pub(super) fn order(data: &Labelled) -> Vec<u32> {
    // Finite doubles compare as integers once those of negative sign are turned over; -0.0 is 0.0.
    let key = |score: f64| {
        let bits = (score + 0.0).to_bits();
        !(if bits >> 63 == 1 { !bits } else { bits | 1 << 63 })
    };
    let mut keyed: Vec<(u64, u32)> = data.scores.iter().zip(0..).map(|(score, row)| (key(*score), row)).collect();
    keyed.par_sort_unstable();
    keyed.into_iter().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::labelled::{Groups, Slices};

    #[test]
    fn items_descend_and_know_where_their_score_ends() {
        let data = Labelled {
            scores: vec![-1.5, 2.0, 0.0, -0.0, 2.0, -3.0, 1e-300],
            positive: vec![true, false, true, false, true, false, true],
            groups: Some(Groups { codes: vec![0, 1, 2, 2, 3, 3, 0], count: 4 }),
            slices: Some(Slices { codes: vec![1, 0, 1, 0, 1, 0, 1], names: vec!["a".into(), "b".into()] }),
            ..Labelled::default()
        };
        assert_eq!(order(&data), [1, 4, 6, 2, 3, 0, 5]);
        let sorted = Sorted::new(&data);
        assert_eq!(sorted.items.iter().map(|item| item.last()).collect::<Vec<_>>(), [false, true, true, false, true, true, true]);
        assert_eq!(sorted.items.iter().map(|item| item.cluster()).collect::<Vec<_>>(), [1, 3, 0, 2, 2, 0, 3]);
        assert_eq!([2.0, 1.9, 0.0, -1.5, 9.0].map(|threshold| sorted.flagged(threshold)), [2, 2, 5, 6, 0]);
        let slices = Sorted::of_slices(&data);
        assert_eq!((slices[0].scores.as_slice(), slices[1].scores.as_slice()), (&[2.0, -0.0, -3.0][..], &[2.0, 1e-300, 0.0, -1.5][..]));
        assert_eq!(slices[1].items.iter().map(|item| item.cluster()).collect::<Vec<_>>(), [0, 1, 2, 1], "numbered anew");
        assert_eq!(slices[1].clusters(), 3);
    }
}
