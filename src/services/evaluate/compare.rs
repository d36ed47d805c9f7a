//! Two score files of the same items: is one better, or is it chance?
//!
//! Items are paired by id. Every replicate of the bootstrap draws clusters once and computes both sides' metrics of the same draw, so that what is
//! easy or hard for both cancels out; the interval is that of the difference, B less A.

use std::collections::BTreeMap;

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde::Serialize;

use super::{
    EvaluateError,
    bootstrap::{Plan, Replicate, multiplicities, percentiles},
    check,
    metrics::{Curves, Probabilities},
    point::{Point, replicate_shares},
    sorted::Sorted,
};
use crate::{
    domain::labelled::{Groups, Ids, Labelled},
    engines::calibration::binomial,
};

/// What is wanted.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// A's and B's threshold; models need not have the same.
    pub thresholds: Vec<[f64; 2]>,
    pub confidence: f64,
    pub replicates: u32,
    pub seed: u64,
}

/// Why two files cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error("{side} has no ids to pair by; give both files an id column")]
    NoIds { side: char },
    #[error("{side} has the id {id:?} twice; ids must be unique to pair by")]
    Twice { side: char, id: String },
    #[error("the id {id:?} is in {has} and not in {lacks}; both files must have the same ids")]
    Missing { has: char, lacks: char, id: String },
    #[error("the id {id:?} is labelled {a} in A and {b} in B; both files must have the same labels")]
    Label { id: String, a: u8, b: u8 },
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
}

/// A metric on both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    pub a: Option<f64>,
    pub b: Option<f64>,
    /// B less A.
    pub difference: Option<f64>,
    /// Of the difference, by paired cluster bootstrap.
    pub interval: Option<[f64; 2]>,
}

/// McNemar's test in its exact form: of the items on which the two disagree, is the split one of a fair coin?
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct McNemar {
    /// Items that only A got right.
    pub only_a: u64,
    /// Items that only B got right.
    pub only_b: u64,
    /// Two-sided.
    pub p_value: f64,
}

/// Both at their thresholds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparedPoint {
    pub threshold_a: f64,
    pub threshold_b: f64,
    pub flagged_a: u64,
    pub flagged_b: u64,
    pub metrics: BTreeMap<&'static str, Difference>,
    /// Of positives, negatives and all items. `null` for weighted or clustered items, which are not independent.
    pub mcnemar: Option<BTreeMap<&'static str, McNemar>>,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub n: u64,
    pub positives: u64,
    pub clusters: Option<u64>,
    pub confidence: f64,
    pub replicates: u32,
    pub seed: u64,
    pub metrics: BTreeMap<&'static str, Difference>,
    pub at: Vec<ComparedPoint>,
}

/// Compares `b` with `a`; groups and weights are `a`'s. `done` is called after each replicate.
///
/// # Errors
/// See [`CompareError`]: the files are not of the same items.
pub fn compare(a: &Labelled, b: &Labelled, options: &CompareOptions, done: &(dyn Fn() + Sync)) -> Result<Comparison, CompareError> {
    check(a)?;
    let other_scores = paired(a, b)?;
    // Items that are clusters of one need a number that both orders share.
    let own = || Groups { codes: (0..a.len() as u32).collect(), count: a.len() as u32 };
    let side = |scores: Vec<f64>| Labelled {
        scores,
        positive: a.positive.clone(),
        weights: a.weights.clone(),
        groups: Some(a.groups.clone().unwrap_or_else(own)),
        ..Labelled::default()
    };
    let sides = [a.scores.clone(), other_scores];
    let sorted = sides.clone().map(|scores| Sorted::new(&side(scores)));
    let thresholds = [0, 1].map(|at| options.thresholds.iter().map(|pair| pair[at]).collect::<Vec<_>>());
    let plans = [0, 1].map(|at| Plan::new(&sorted[at], &thresholds[at], &[]));
    let replicates: Vec<[Replicate; 2]> = (0..u64::from(options.replicates))
        .into_par_iter()
        .map(|number| {
            let drawn = multiplicities(&sorted[0], options.seed, number);
            let pair = [0, 1].map(|at| plans[at].replicate(&drawn));
            done();
            pair
        })
        .collect();
    let difference = |values: [Option<f64>; 2], of: &dyn Fn(&Replicate) -> Option<f64>| Difference {
        a: values[0],
        b: values[1],
        difference: values[0].zip(values[1]).map(|(a, b)| b - a),
        interval: percentiles(replicates.iter().filter_map(|[a, b]| Some(of(b)? - of(a)?)), options.confidence),
    };
    let curves = [0, 1].map(|at| Curves::of(&sorted[at]));
    let probabilities = [0, 1].map(|at| Probabilities::of(&sorted[at]));
    let probability = |of: fn(&Probabilities) -> f64| [0, 1].map(|at| probabilities[at].as_ref().map(of));
    let metrics = BTreeMap::from([
        ("auroc", difference([0, 1].map(|at| curves[at].auroc), &|one| one.auroc)),
        ("average_precision", difference([0, 1].map(|at| curves[at].average_precision), &|one| one.average_precision)),
        ("brier", difference(probability(|found| found.brier), &|one| one.brier)),
        ("log_loss", difference(probability(|found| found.log_loss), &|one| one.log_loss)),
        ("ece", difference(probability(|found| found.ece), &|one| one.ece)),
    ]);
    let point = |(place, pair): (usize, &[f64; 2])| {
        let points = [0, 1].map(|at| Point::of(&sorted[at], pair[at], options.confidence, &[], place));
        let of = |which: usize, value: fn(&Point) -> Option<f64>| {
            difference([0, 1].map(|at| value(&points[at])), &|one| replicate_shares(one, place)[which])
        };
        ComparedPoint {
            threshold_a: pair[0],
            threshold_b: pair[1],
            flagged_a: points[0].flagged,
            flagged_b: points[1].flagged,
            metrics: BTreeMap::from([
                ("precision", of(0, |point| point.precision)),
                ("recall", of(1, |point| point.recall)),
                ("fpr", of(2, |point| point.fpr)),
                ("f1", of(3, |point| point.f1)),
            ]),
            mcnemar: (a.groups.is_none() && a.weights.is_none()).then(|| mcnemar(&sides, &a.positive, *pair)),
        }
    };
    Ok(Comparison {
        n: a.len() as u64,
        positives: a.positives() as u64,
        clusters: a.groups.as_ref().map(|groups| u64::from(groups.count)),
        confidence: options.confidence,
        replicates: options.replicates,
        seed: options.seed,
        metrics,
        at: options.thresholds.iter().enumerate().map(point).collect(),
    })
}

/// B's scores in A's order.
fn paired(a: &Labelled, b: &Labelled) -> Result<Vec<f64>, CompareError> {
    let ids = |data: &Labelled, side| data.ids.clone().ok_or(CompareError::NoIds { side });
    let (a_ids, b_ids) = (ids(a, 'A')?, ids(b, 'B')?);
    let (a_order, b_order) = (by_id(&a_ids, 'A')?, by_id(&b_ids, 'B')?);
    let mut scores = vec![0.0; a.len()];
    for at in 0..a_order.len().max(b_order.len()) {
        let rows = [a_order.get(at), b_order.get(at)].map(|row| row.map(|row| *row as usize));
        let missing = |has, lacks, id: &str| Err(CompareError::Missing { has, lacks, id: id.to_owned() });
        let (a_row, b_row) = match rows {
            [Some(a_row), Some(b_row)] => (a_row, b_row),
            [Some(row), None] => return missing('A', 'B', a_ids.get(row)),
            [None, Some(row)] => return missing('B', 'A', b_ids.get(row)),
            [None, None] => break,
        };
        let (a_id, b_id) = (a_ids.get(a_row), b_ids.get(b_row));
        match a_id.cmp(b_id) {
            std::cmp::Ordering::Less => return missing('A', 'B', a_id),
            std::cmp::Ordering::Greater => return missing('B', 'A', b_id),
            std::cmp::Ordering::Equal => {}
        }
        let labels = (a.positive[a_row], b.positive[b_row]);
        if labels.0 != labels.1 {
            return Err(CompareError::Label { id: a_id.to_owned(), a: labels.0.into(), b: labels.1.into() });
        }
        scores[a_row] = b.scores[b_row];
    }
    Ok(scores)
}

/// Rows in the order of their ids.
fn by_id(ids: &Ids, side: char) -> Result<Vec<u32>, CompareError> {
    let mut rows: Vec<u32> = (0..ids.len() as u32).collect();
    rayon::slice::ParallelSliceMut::par_sort_unstable_by(&mut rows[..], |left, right| {
        ids.get(*left as usize).cmp(ids.get(*right as usize))
    });
    match rows.windows(2).find(|pair| ids.get(pair[0] as usize) == ids.get(pair[1] as usize)) {
        Some(pair) => Err(CompareError::Twice { side, id: ids.get(pair[0] as usize).to_owned() }),
        None => Ok(rows),
    }
}

fn mcnemar(sides: &[Vec<f64>; 2], positive: &[bool], thresholds: [f64; 2]) -> BTreeMap<&'static str, McNemar> {
    // By class: items that only A, only B got right.
    let mut only = [[0_u64; 2]; 2];
    for (row, positive) in positive.iter().enumerate() {
        let right = [0, 1].map(|side| (sides[side][row] >= thresholds[side]) == *positive);
        if right[0] != right[1] {
            only[usize::from(*positive)][usize::from(right[1])] += 1;
        }
    }
    let test = |[only_a, only_b]: [u64; 2]| McNemar {
        only_a,
        only_b,
        // Twice the smaller tail of a fair coin.
        p_value: (2.0 * binomial::cdf(only_a.min(only_b), only_a + only_b, 0.5)).min(1.0),
    };
    let all = [0, 1].map(|which| only[0][which] + only[1][which]);
    BTreeMap::from([("positives", test(only[1])), ("negatives", test(only[0])), ("all", test(all))])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(rows: &[(&str, f64, bool)]) -> Labelled {
        Labelled {
            scores: rows.iter().map(|row| row.1).collect(),
            positive: rows.iter().map(|row| row.2).collect(),
            ids: Some(rows.iter().map(|row| row.0).collect()),
            ..Labelled::default()
        }
    }

    fn options() -> CompareOptions {
        CompareOptions { thresholds: vec![[0.5, 0.6]], confidence: 0.95, replicates: 200, seed: 1 }
    }

    #[test]
    fn files_of_other_items_are_refused() {
        let a = data(&[("x", 0.1, true), ("y", 0.2, false)]);
        for (b, expected) in [
            (data(&[("y", 0.2, false)]), "the id \"x\" is in A and not in B; both files must have the same ids"),
            (
                data(&[("x", 0.1, true), ("y", 0.2, false), ("z", 0.1, true)]),
                "the id \"z\" is in B and not in A; both files must have the same ids",
            ),
            (
                data(&[("x", 0.1, true), ("y", 0.2, true)]),
                "the id \"y\" is labelled 0 in A and 1 in B; both files must have the same labels",
            ),
            (data(&[("x", 0.1, true), ("x", 0.2, true)]), "B has the id \"x\" twice; ids must be unique to pair by"),
            (Labelled { ids: None, ..a.clone() }, "B has no ids to pair by; give both files an id column"),
        ] {
            assert_eq!(compare(&a, &b, &options(), &|| {}).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn pairs_are_found_in_any_order_and_counted() {
        let names: Vec<String> = (0..400).map(|row| format!("i{row}")).collect();
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for (row, name) in names.iter().enumerate() {
            let positive = row % 2 == 0;
            // A is right in three of four; B in nine of ten.
            let (a_right, b_right) = (row % 8 > 1, row % 20 > 1);
            a.push((name.as_str(), if a_right == positive { 0.9 } else { 0.2 }, positive));
            b.push((name.as_str(), if b_right == positive { 0.7 } else { 0.1 }, positive));
        }
        b.reverse();
        let found = compare(&data(&a), &data(&b), &options(), &|| {}).unwrap();
        assert_eq!((found.n, found.positives), (400, 200));
        let recall = &found.at[0].metrics["recall"];
        assert_eq!((recall.a, recall.b), (Some(0.75), Some(0.9)));
        let [low, high] = recall.interval.unwrap();
        assert!(low > 0.0 && low < 0.15 && high > 0.15, "{low} {high}");
        // Rows 0..2 of 40 are wrong in both; 8 more of A and 2 more of B are wrong alone.
        let all = found.at[0].mcnemar.as_ref().unwrap()["all"];
        assert_eq!((all.only_a, all.only_b), (20, 80));
        assert!(all.p_value < 1e-8, "{}", all.p_value);
        let same = compare(&data(&a), &data(&a), &options(), &|| {}).unwrap();
        let auroc = &same.metrics["auroc"];
        assert_eq!((auroc.difference, auroc.interval), (Some(0.0), Some([0.0, 0.0])), "paired: what is the same has no spread");
        assert_eq!(same.metrics["brier"].difference, Some(0.0));
    }
}
