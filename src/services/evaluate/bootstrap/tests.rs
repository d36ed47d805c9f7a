//! The walk against a plain computation over items that are really repeated.

use proptest::prelude::*;

use super::*;
use crate::{
    domain::labelled::{Groups, Labelled},
    services::evaluate::metrics::{Curves, Probabilities},
};

/// Every item as often as its cluster was drawn.
fn repeated(data: &Labelled, drawn: &[u8]) -> Labelled {
    let codes = data.groups.as_ref().unwrap();
    let rows: Vec<usize> =
        (0..data.len()).flat_map(|row| std::iter::repeat_n(row, usize::from(drawn[codes.codes[row] as usize]))).collect();
    Labelled {
        scores: rows.iter().map(|row| data.scores[*row]).collect(),
        positive: rows.iter().map(|row| data.positive[*row]).collect(),
        weights: data.weights.as_ref().map(|weights| rows.iter().map(|row| weights[*row]).collect()),
        ..Labelled::default()
    }
}

/// The area under the ROC curve as what it means: the chance that a positive scores higher than a negative, ties half.
fn plain_auroc(data: &Labelled) -> Option<f64> {
    let (mut wins, mut pairs) = (0.0, 0.0);
    for up in (0..data.len()).filter(|row| data.positive[*row]) {
        for down in (0..data.len()).filter(|row| !data.positive[*row]) {
            let weight = data.weight(up) * data.weight(down);
            pairs += weight;
            wins += weight
                * if data.scores[up] > data.scores[down] {
                    1.0
                } else if data.scores[up] == data.scores[down] {
                    0.5
                } else {
                    0.0
                };
        }
    }
    (pairs > 0.0).then(|| wins / pairs)
}

/// Average precision, item by item: each positive gives the precision at its score.
fn plain_average_precision(data: &Labelled) -> Option<f64> {
    let (mut sum, mut positives) = (0.0, 0.0);
    for row in (0..data.len()).filter(|row| data.positive[*row]) {
        let (mut right, mut all) = (0.0, 0.0);
        for other in (0..data.len()).filter(|other| data.scores[*other] >= data.scores[row]) {
            all += data.weight(other);
            right += if data.positive[other] { data.weight(other) } else { 0.0 };
        }
        positives += data.weight(row);
        sum += if all > 0.0 { data.weight(row) * right / all } else { 0.0 };
    }
    (positives > 0.0).then(|| sum / positives)
}

fn close(left: Option<f64>, right: Option<f64>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => (left - right).abs() < 1e-10,
        (None, None) => true,
        _ => false,
    }
}

prop_compose! {
    /// Small data sets with ties, one class, clusters that are empty, weights or none.
    fn labelled()(rows in prop::collection::vec((0..8u8, any::<bool>(), 0..6u32, 0..4u8), 1..40), weighted in any::<bool>()) -> Labelled {
        Labelled {
            scores: rows.iter().map(|row| f64::from(row.0) / 7.0).collect(),
            positive: rows.iter().map(|row| row.1).collect(),
            weights: weighted.then(|| rows.iter().map(|row| f64::from(row.3) * 0.7).collect()),
            groups: Some(Groups { codes: rows.iter().map(|row| row.2).collect(), count: 6 }),
            ..Labelled::default()
        }
    }
}

const RECALLS: [f64; 4] = [0.1, 0.5, 0.9, 1.0];

proptest! {
    #[test]
    fn a_replicate_is_the_metrics_of_what_was_drawn(data in labelled(), drawn in prop::collection::vec(0..3u8, 6), cut in 0..9u8) {
        let cut = f64::from(cut) / 7.0;
        let (sorted, plain) = (Sorted::new(&data), repeated(&data, &drawn));
        let found = Plan::new(&sorted, &[2.0, cut, 0.0], &RECALLS).replicate(&drawn);
        prop_assert!(close(found.auroc, plain_auroc(&plain)), "{:?} {:?}", found.auroc, plain_auroc(&plain));
        prop_assert!(close(found.average_precision, plain_average_precision(&plain)));
        let sum = |wanted: &dyn Fn(usize) -> bool| (0..plain.len()).filter(|row| wanted(*row)).map(|row| plain.weight(row)).sum::<f64>();
        let expected = [(2.0, 0), (cut, 1), (0.0, 2)].map(|(cut, _)| (
            sum(&|row| plain.scores[row] >= cut && plain.positive[row]),
            sum(&|row| plain.scores[row] >= cut && !plain.positive[row]),
        ));
        for (found, expected) in found.at.iter().zip(expected) {
            prop_assert!((found.0 - expected.0).abs() < 1e-10 && (found.1 - expected.1).abs() < 1e-10);
        }
        let repeated = Sorted::new(&plain);
        let probabilities = Probabilities::of(&repeated);
        prop_assert!(close(found.brier, probabilities.as_ref().map(|found| found.brier)));
        prop_assert!(close(found.log_loss, probabilities.as_ref().map(|found| found.log_loss)));
        prop_assert!(close(found.ece, probabilities.as_ref().map(|found| found.ece)));
        // The metrics of the whole are one more way to the same numbers.
        let curves = Curves::of(&repeated);
        prop_assert!(close(curves.auroc, found.auroc) && close(curves.average_precision, found.average_precision));
    }

    #[test]
    fn items_without_groups_are_clusters_of_one(data in labelled(), seed in any::<u64>()) {
        let mut alone = data.clone();
        alone.groups = None;
        let mut single = data;
        let order = super::super::sorted::order(&single);
        let mut codes = vec![0; single.len()];
        order.iter().zip(0..).for_each(|(row, place)| codes[*row as usize] = place);
        single.groups = Some(Groups { count: codes.len() as u32, codes });
        let (alone, single) = (Sorted::new(&alone), Sorted::new(&single));
        let drawn = multiplicities(&alone, seed, 0);
        let [left, right] = [&alone, &single].map(|sorted| Plan::new(sorted, &[0.5], &RECALLS).replicate(&drawn));
        prop_assert!(close(left.auroc, right.auroc) && close(left.brier, right.brier) && close(left.ece, right.ece) && close(left.log_loss, right.log_loss));
        prop_assert!(left.at == right.at && left.band == right.band);
    }
}

#[test]
fn the_band_is_the_precision_where_a_recall_is_first_reached() {
    let data = Labelled { scores: vec![0.9, 0.8, 0.8, 0.7, 0.1], positive: vec![true, false, true, true, false], ..Labelled::default() };
    let sorted = Sorted::new(&data);
    let recalls = [0.0, 0.3, 0.34, 0.66, 0.67, 1.0];
    let found = Plan::new(&sorted, &[], &recalls).replicate(&[1; 5]);
    assert_eq!(found.band, [1.0, 1.0, 2.0 / 3.0, 2.0 / 3.0, 0.75, 0.75].map(|precision: f64| precision as f32));
}

#[test]
fn a_seed_gives_the_same_replicates_on_any_number_of_threads() {
    let data = Labelled {
        scores: (0..500).map(|row| f64::from(row * 7 % 101) / 100.0).collect(),
        positive: (0..500).map(|row| row * row % 11 < 4).collect(),
        ..Labelled::default()
    };
    let sorted = Sorted::new(&data);
    let plan = Plan::new(&sorted, &[0.3], &RECALLS);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&sorted, &plan, 37, 11, &|| {}))
    };
    assert_eq!(with(1), with(4));
    assert_ne!(with(1), run(&sorted, &plan, 37, 12, &|| {}));
}

/// Of intervals at 90 %, about 90 % hold the truth, with clusters of five equal items; taken item by item they are far too narrow.
#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let honest = coverage(true);
    let naive = coverage(false);
    assert!((0.84..0.96).contains(&honest), "{honest}");
    assert!(naive < 0.7, "the wrong twin passed: {naive}");
}

fn coverage(clustered: bool) -> f64 {
    use rand_xoshiro::rand_core::Rng;
    let (clusters, rounds, truth) = (200_u32, 200, 0.7);
    let hits = (0..rounds).filter(|round| {
        let mut random = draw::generator(5, *round);
        let mut uniform = || (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        // A positive is flagged with probability 0.7; the five items of a cluster share their fate.
        let flagged: Vec<bool> = (0..clusters).map(|_| uniform() < truth).collect();
        let data = Labelled {
            scores: flagged.iter().flat_map(|flagged| [if *flagged { 0.9 } else { 0.1 }; 5]).collect(),
            positive: vec![true; clusters as usize * 5],
            groups: clustered.then(|| Groups { codes: (0..clusters).flat_map(|cluster| [cluster; 5]).collect(), count: clusters }),
            ..Labelled::default()
        };
        let sorted = Sorted::new(&data);
        let replicates = run(&sorted, &Plan::new(&sorted, &[0.5], &[]), 200, *round, &|| {});
        let [low, high] = percentiles(replicates.iter().map(|replicate| replicate.at[0].0 / replicate.positives), 0.9).unwrap();
        low <= truth && truth <= high
    });
    hits.count() as f64 / rounds as f64
}

#[test]
fn percentiles_are_interpolated() {
    let values = (0..=100).map(f64::from);
    let [low, high] = percentiles(values, 0.9).unwrap();
    assert!((low - 5.0).abs() < 1e-12 && (high - 95.0).abs() < 1e-12, "{low} {high}");
    assert_eq!(percentiles([3.0], 0.95), Some([3.0, 3.0]));
    assert_eq!(percentiles([], 0.95), None);
}
