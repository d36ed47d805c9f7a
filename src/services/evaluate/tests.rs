//! The whole on small data sets, where every figure can be had by hand.

use super::*;
use crate::domain::labelled::{Groups, Ids, Slices};

fn quick() -> Options {
    Options { thresholds: vec![0.5], replicates: 50, ..Options::default() }
}

#[test]
fn what_is_undefined_says_why() {
    let one_class = Labelled { scores: vec![0.2, 0.9], positive: vec![true, true], ..Labelled::default() };
    let found = evaluate(&one_class, &quick(), &|| {}).unwrap().whole;
    assert_eq!((found.auroc, found.average_precision, found.undefined["auroc"]), (None, Some(1.0), "all items are of one class"));
    assert_eq!((found.at[0].fpr, found.at[0].recall, found.intervals.one_class_replicates), (None, Some(0.5), 50));
    let negative = Labelled { scores: vec![0.2, 0.9], positive: vec![false, false], ..Labelled::default() };
    let found = evaluate(&negative, &quick(), &|| {}).unwrap().whole;
    assert_eq!((found.average_precision, found.undefined["average_precision"]), (None, "no item is positive"));
    assert!((found.brier.unwrap() - 0.425).abs() < 1e-15);
    let logits = Labelled { scores: vec![-2.0, 3.0], positive: vec![false, true], ..Labelled::default() };
    let found = evaluate(&logits, &quick(), &|| {}).unwrap();
    assert_eq!(
        (found.whole.auroc, found.whole.ece, found.whole.undefined["ece"]),
        (Some(1.0), None, "scores outside 0..=1 are no probabilities")
    );
    assert!(found.reliability.bins.is_empty() && (found.histogram[0].low, found.histogram[0].negatives) == (-2.0, 1.0));
    let weightless = Labelled { weights: Some(vec![0.0, 0.0]), ..logits };
    let found = evaluate(&weightless, &quick(), &|| {}).unwrap().whole;
    assert_eq!((found.prevalence, found.undefined["auroc"], found.at[0].precision), (None, "all weights are 0", None));
    assert!(matches!(evaluate(&Labelled::default(), &quick(), &|| {}), Err(EvaluateError::Empty)));
}

/// scikit-learn clips probabilities by the distance of 1 to the next double.
#[test]
fn certain_and_wrong_costs_a_finite_log_loss() {
    let data = Labelled { scores: vec![0.0, 1.0], positive: vec![true, true], ..Labelled::default() };
    let found = evaluate(&data, &quick(), &|| {}).unwrap().whole;
    assert!((found.log_loss.unwrap() - 18.021_826_694_558_577).abs() < 1e-9, "{:?}", found.log_loss);
}

#[test]
fn slices_are_data_sets_of_their_own() {
    let rows = 200;
    let data = Labelled {
        scores: (0..rows).map(|row| f64::from(row * 37 % 101) / 101.0).collect(),
        positive: (0..rows).map(|row| row % 3 == 0).collect(),
        groups: Some(Groups { codes: (0..rows).map(|row| row as u32 / 4).collect(), count: 50 }),
        slices: Some(Slices { codes: (0..rows).map(|row| u16::from(row >= 120)).collect(), names: vec!["en".into(), "de".into()] }),
        ids: Some((0..rows).map(|row| format!("i{row}")).collect::<Vec<_>>().iter().map(String::as_str).collect::<Ids>()),
        ..Labelled::default()
    };
    let counted = std::sync::atomic::AtomicU64::new(0);
    let count = || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    let found = evaluate(&data, &quick(), &count).unwrap();
    assert_eq!(counted.into_inner(), replicates(&data, &quick()));
    for (at, slice) in found.slices.iter().enumerate() {
        let alone = data.select(|row| usize::from(row >= 120) == at);
        let alone = Labelled { slices: None, ..alone };
        let expected = evaluate(&alone, &Options { replicates: 0, ..quick() }, &|| {}).unwrap().whole;
        assert_eq!((slice.measured.auroc, slice.measured.brier), (expected.auroc, expected.brier));
        assert_eq!(slice.measured.at[0].tp, expected.at[0].tp);
        assert_eq!(slice.measured.clusters, Some([30, 20][at]), "only the slice's own groups are drawn");
        let [low, high] = slice.measured.intervals.auroc.unwrap();
        assert!(low < expected.auroc.unwrap() && expected.auroc.unwrap() < high);
    }
    let highest = &found.examples.negatives_scored_highest;
    assert_eq!(highest.len(), 10);
    let best = (0..rows as usize).filter(|row| !data.positive[*row]).map(|row| data.scores[row]).fold(0.0, f64::max);
    assert_eq!((highest[0].score, highest[0].id.clone()), (best, Some(format!("i{}", highest[0].row - 1))));
    assert!(highest.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert!(found.examples.positives_scored_lowest.iter().all(|example| example.slice.is_some()));
}

#[test]
fn curves_are_thin_and_keep_their_ends() {
    let rows = 100_000;
    let data = Labelled {
        scores: (0..rows).map(|row| f64::from(row) / f64::from(rows)).collect(),
        positive: (0..rows).map(|row| row * 7 % 10 > 6 && row > 30_000).collect(),
        ..Labelled::default()
    };
    let found = evaluate(&data, &Options { replicates: 0, ..quick() }, &|| {}).unwrap();
    assert!((200..1000).contains(&found.curve.len()), "{}", found.curve.len());
    let last = found.curve.last().unwrap();
    assert_eq!((found.curve[0].flagged, last.recall, last.fpr), (1, Some(1.0), Some(1.0)));
    assert_eq!((found.band.len(), found.band[99].recall), (100, 1.0));
}
