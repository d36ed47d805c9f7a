//! Claims against populations whose precision is known: a small version of `benches/coverage`; and the parts that have no file of tests.

use super::{
    betting::{Against, Mixture},
    calibrator::{Method, fit},
    clusters::{self, Columns},
    folds::{FOLDS, Sample, draw},
    grid::{self, Fwer, PValue},
    ltt,
    populations::{Dice, GOOD, NON_MONOTONE, Population},
    ranked::Ranked,
    shift,
};
use crate::domain::calibrator::CalibrationMap;

const DRAWS: u64 = 200;
const DELTA: f64 = 0.1;

/// How many of the draws claim something false.
fn wrong(population: Population, n: usize, prevalence: f64, target: f64, find: impl Fn(&Ranked, u64) -> Option<ltt::Cut>) -> u32 {
    (0..DRAWS)
        .map(|seed| {
            let (scores, positive) = population.sample(n, prevalence, &mut Dice::new(seed));
            let cut = find(&Ranked::new(&scores, &positive), seed);
            u32::from(cut.is_some_and(|cut| population.precision(cut.above, prevalence) < target))
        })
        .sum()
}

/// Delta of the draws and three standard errors.
fn allowed() -> f64 {
    DRAWS as f64 * DELTA + 3.0 * (DRAWS as f64 * DELTA * (1.0 - DELTA)).sqrt()
}

#[test]
fn claims_are_false_at_most_as_often_as_stated_and_a_naive_one_is_caught() {
    let good = wrong(GOOD, 3000, 0.2, 0.95, |ranked, _| ltt::search(ranked, 0.05, DELTA).certified);
    let dips = wrong(NON_MONOTONE, 3000, 0.3, 0.95, |ranked, _| ltt::search(ranked, 0.05, DELTA).certified);
    let weighed = wrong(GOOD, 6000, 0.3, 0.95, |ranked, seed| {
        clusters::search(ranked, Columns { weights: None, groups: None }, 0.05, DELTA, Some(1.0), seed).certified
    });
    let met = |cut: &ltt::Cut| cut.errors as f64 <= 0.05 * cut.flagged as f64;
    let naive = wrong(GOOD, 3000, 0.2, 0.95, |ranked, _| ltt::stricter(ranked, None, met));
    println!("false of {DRAWS}: good {good}, non-monotone {dips}, betting {weighed}, naive {naive}; allowed {}", allowed());
    assert!([good, dips, weighed].iter().all(|count| f64::from(*count) <= allowed()));
    assert!(f64::from(naive) > 2.0 * allowed());
}

#[test]
fn claims_for_another_prevalence_hold_there() {
    let mut certified = 0;
    let false_ones: u32 = (0..DRAWS)
        .map(|seed| {
            let (scores, positive) = GOOD.sample(4000, 0.5, &mut Dice::new(seed));
            let found = shift::search(&Ranked::new(&scores, &positive), 0.9, DELTA, 0.1).certified;
            certified += u32::from(found.is_some());
            u32::from(found.is_some_and(|cut| GOOD.precision(cut.above, 0.1) < 0.9))
        })
        .sum();
    assert!(f64::from(false_ones) <= allowed() && certified > 100, "{false_ones} of {certified}");
}

/// The walk keeps capital incrementally; here it is computed anew at the certified candidate and at the next ones.
#[test]
fn capital_of_clusters_is_that_of_their_sums() {
    let mut dice = Dice::new(2);
    let (scores, positive) = GOOD.sample(8000, 0.4, &mut dice);
    let groups: Vec<u32> = (0..8000).map(|row| row / 4).collect();
    let weights: Vec<f64> = (0..8000).map(|_| 0.5 + dice.uniform()).collect();
    let ranked = Ranked::new(&scores, &positive);
    let (alpha, seed, cap) = (0.1, 3, 4.0);
    let found = clusters::search(&ranked, Columns { weights: Some(&weights), groups: Some(&groups) }, alpha, DELTA, Some(cap), seed);
    let cut = found.certified.unwrap();
    let capital = |flagged: usize| {
        let mut totals = vec![0.0; 2000];
        let mut payoffs = vec![0.0; 2000];
        (0..8000).for_each(|row| totals[groups[row] as usize] += weights[row]);
        for row in ranked.rows()[..flagged].iter().map(|row| *row as usize) {
            let cluster = groups[row] as usize;
            payoffs[cluster] += weights[row] / f64::max(cap, totals[cluster]) * (f64::from(u8::from(!positive[row])) - alpha);
        }
        let tested: Vec<(f64, u64)> =
            (0..2000).filter(|cluster| !draw(seed, *cluster).is_multiple_of(10)).map(|cluster| (payoffs[cluster as usize], 1)).collect();
        Mixture::wide().log_capital(Against::AtLeast, alpha, &tested)
    };
    // The search bets on fewer sizes and keeps a millionth back, so it has a little more of what wins.
    assert!(capital(cut.flagged as usize) > -(DELTA / 2.0).ln() - 1.5, "{}", capital(cut.flagged as usize));
    let all = capital(ranked.len());
    assert!(all < 0.0, "everything together is far from the target: {all}");
    assert!(found.scaled > 0 && found.placed + found.tested == 2000);
}

#[test]
fn nothing_or_one_class_is_a_result_too() {
    let columns = Columns { weights: None, groups: None };
    let empty = Ranked::new(&[], &[]);
    assert_eq!(clusters::search(&empty, columns, 0.1, DELTA, None, 1).certified, None);
    assert_eq!(shift::search(&empty, 0.9, DELTA, 0.1).certified, None);
    let negatives = Ranked::new(&[0.5; 500], &[false; 500]);
    assert_eq!(clusters::search(&negatives, columns, 0.1, DELTA, None, 1).certified, None);
    assert_eq!(shift::search(&negatives, 0.9, DELTA, 0.1).certified, None);
    let positives = Ranked::new(&[0.5; 500], &[true; 500]);
    assert_eq!(shift::search(&positives, 0.9, DELTA, 0.1).certified, None, "nothing is known of negatives");
    assert!(clusters::search(&positives, columns, 0.1, DELTA, None, 1).certified.is_some());
    assert_eq!(fit(&Sample::new(&positives, None, None, 1), Method::Best), None);
}

#[test]
fn isotonic_knots_are_those_of_a_worked_example_and_folds_share_groups() {
    // Ties are one point: (0.1: 1 of 2), (0.2: 0 of 1), (0.3: 1 of 1), (0.4: 0 of 1), (0.5: 1 of 1).
    let (scores, positive) = ([0.1, 0.1, 0.2, 0.3, 0.4, 0.5], [true, false, false, true, false, true]);
    let ranked = Ranked::new(&scores, &positive);
    let fitted = fit(&Sample::new(&ranked, None, None, 1), Method::Isotonic).unwrap().calibrator;
    let CalibrationMap::Isotonic { raw, probability } = fitted.map else { panic!("isotonic was wanted") };
    assert_eq!(raw, [0.1, 0.2, 0.3, 0.4, 0.5]);
    let third = 1.0 / 3.0;
    assert!(probability.iter().zip([third, third, 0.5, 0.5, 1.0]).all(|(got, expected)| (got - expected).abs() < 1e-12), "{probability:?}");
    let groups = [7, 7, 7, 3, 3, 3];
    let sample = Sample::new(&ranked, None, Some(&groups), 1);
    let fold_of = |row: u32| sample.fold[ranked.rows().iter().position(|other| *other == row).unwrap()];
    assert!(fold_of(0) == fold_of(2) && fold_of(3) == fold_of(5) && usize::from(fold_of(0)) < FOLDS);
}

/// The optimum of the smoothed cross-entropy: both derivatives vanish there.
#[test]
fn platts_fit_is_where_the_gradient_vanishes_also_when_scores_are_large_and_all_alike() {
    for factor in [1.0, 1e3, 1e-6] {
        let (scores, positive) = GOOD.sample(2000, 0.3, &mut Dice::new(9));
        let scores: Vec<f64> = scores.iter().map(|score| factor * score + 5.0).collect();
        let ranked = Ranked::new(&scores, &positive);
        let fitted = fit(&Sample::new(&ranked, None, None, 1), Method::Platt).unwrap().calibrator;
        let hits = ranked.positives() as f64;
        let targets = [1.0 / (2000.0 - hits + 2.0), (hits + 1.0) / (hits + 2.0)];
        let residual = |row: usize| targets[usize::from(positive[row])] - fitted.map.probability(scores[row]);
        let gradient =
            (0..2000).fold([0.0, 0.0], |sum, row| [sum[0] + residual(row), sum[1] + residual(row) * (scores[row] - 5.0) / factor]);
        assert!(gradient.iter().all(|part| part.abs() < 1e-3), "{factor}: {gradient:?}");
    }
    let ranked = Ranked::new(&[0.5; 100], &(0..100).map(|i| i < 30).collect::<Vec<_>>());
    let fitted = fit(&Sample::new(&ranked, None, None, 1), Method::Platt).unwrap().calibrator;
    assert!((fitted.map.probability(0.5) - 0.3).abs() < 0.01);
}

#[test]
fn grids_reject_by_the_rules_of_their_names() {
    // Five blocks of 200: 0, 2, 4, 30 and 100 errors.
    let mut scores = Vec::new();
    let mut positive = Vec::new();
    for (block, errors) in [0, 2, 4, 30, 100].into_iter().enumerate() {
        scores.extend(std::iter::repeat_n(0.9 - 0.1 * block as f64, 200));
        positive.extend((0..200).map(|i| i >= errors));
    }
    let ranked = Ranked::new(&scores, &positive);
    let at = |candidates: &[f64], fwer, p_value| {
        grid::search(&ranked, 0.05, 0.05, candidates, fwer, p_value).certified.map(|cut| (cut.threshold, cut.errors))
    };
    let candidates = [0.45, 0.55, 0.65, 0.75, 0.85];
    for fwer in [Fwer::Bonferroni, Fwer::Holm, Fwer::FixedSequence] {
        assert_eq!(at(&candidates, fwer, PValue::Exact), Some((0.65, 6)));
        assert_eq!(at(&candidates, fwer, PValue::HoeffdingBentkus), Some((0.65, 6)));
    }
    // An empty candidate at the top: MAPIE's sequences end there, exact p-values need not but for the fixed sequence.
    let empty = [0.55, 0.65, 0.75, 0.95];
    assert_eq!(at(&empty, Fwer::Holm, PValue::HoeffdingBentkus), None);
    assert_eq!(at(&empty, Fwer::Holm, PValue::Exact), Some((0.65, 6)));
    assert_eq!(at(&empty, Fwer::FixedSequence, PValue::Exact), None);
    assert_eq!(at(&empty, Fwer::Bonferroni, PValue::HoeffdingBentkus), Some((0.65, 6)));
    let steps = grid::linspace(0.0, 0.99, 100);
    assert_eq!((steps[0], steps[50], steps[99]), (0.0, 0.5, 0.99));
}
