//! Scores with the truth beside them: what calibration and evaluation work on, column by column.
//!
//! Ten million rows take 90 MB: a score and a label each, and four bytes for a group, two for a slice, where there are any.

/// Rows of a labelled data set, in the order of the files. Every column that is there has one entry for each row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labelled {
    /// Raw scores, finite.
    pub scores: Vec<f64>,
    /// What a human found.
    pub positive: Vec<bool>,
    /// How many items of the population a row stands for; finite and not negative.
    pub weights: Option<Vec<f64>>,
    /// Which rows belong together: of one conversation, user or viral picture, and thus not independent.
    pub groups: Option<Groups>,
    /// Populations that are looked at each for itself.
    pub slices: Option<Slices>,
    /// Only where somebody asked for them.
    pub ids: Option<Ids>,
}

/// Rows of one code belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// In the order of first appearance, from 0.
    pub codes: Vec<u32>,
    /// Distinct codes.
    pub count: u32,
}

/// Rows of one code are of one population.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slices {
    /// In the order of first appearance, from 0.
    pub codes: Vec<u16>,
    /// The column's value of each code.
    pub names: Vec<String>,
}

/// Ids, packed: one text and where each id ends in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    text: String,
    ends: Vec<usize>,
}

impl Labelled {
    /// Rows.
    pub const fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether there are no rows.
    pub const fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// Rows that a human found positive, whatever their weight.
    pub fn positives(&self) -> usize {
        self.positive.iter().filter(|positive| **positive).count()
    }

    /// The row's weight; 1 without weights.
    pub fn weight(&self, row: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |weights| weights[row])
    }

    /// The rows for which `wanted` is true, with codes of groups and slices as they were.
    pub fn select(&self, wanted: impl Fn(usize) -> bool) -> Self {
        let rows: Vec<usize> = (0..self.len()).filter(|row| wanted(*row)).collect();
        fn pick<T: Copy>(column: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().map(|row| column[*row]).collect()
        }
        Self {
            scores: pick(&self.scores, &rows),
            positive: pick(&self.positive, &rows),
            weights: self.weights.as_ref().map(|weights| pick(weights, &rows)),
            groups: self.groups.as_ref().map(|groups| Groups { codes: pick(&groups.codes, &rows), count: groups.count }),
            slices: self.slices.as_ref().map(|slices| Slices { codes: pick(&slices.codes, &rows), names: slices.names.clone() }),
            ids: self.ids.as_ref().map(|ids| rows.iter().map(|row| ids.get(*row)).collect()),
        }
    }
}

impl Ids {
    /// Adds one at the end.
    pub fn push(&mut self, id: &str) {
        self.text.push_str(id);
        self.ends.push(self.text.len());
    }

    /// The id of a row.
    pub fn get(&self, row: usize) -> &str {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[row]]
    }

    /// Rows.
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

impl<'a> FromIterator<&'a str> for Ids {
    fn from_iter<I: IntoIterator<Item = &'a str>>(ids: I) -> Self {
        let mut all = Self::default();
        ids.into_iter().for_each(|id| all.push(id));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selected_rows_keep_all_their_columns() {
        let all = Labelled {
            scores: vec![0.1, 0.2, 0.3],
            positive: vec![true, false, true],
            weights: Some(vec![1.0, 2.0, 3.0]),
            groups: Some(Groups { codes: vec![0, 1, 1], count: 2 }),
            slices: Some(Slices { codes: vec![0, 0, 1], names: vec!["a".into(), "b".into()] }),
            ids: Some(["x", "", "zz"].into_iter().collect()),
        };
        let some = all.select(|row| row != 0);
        assert_eq!((some.len(), some.positives(), some.weight(0)), (2, 1, 2.0));
        assert_eq!(some.groups, Some(Groups { codes: vec![1, 1], count: 2 }));
        assert_eq!(some.slices.unwrap().codes, [0, 1]);
        let ids = some.ids.unwrap();
        assert_eq!((ids.get(0), ids.get(1), ids.len()), ("", "zz", 2));
        assert_eq!(all.select(|_| true), all);
    }
}
