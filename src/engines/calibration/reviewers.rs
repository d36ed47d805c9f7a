//! How far the people can be trusted whose verdicts are the truth of everything else.
//!
//! Two reviewers of the same item tell how far they agree ([`agreement`]). Items whose truth is known tell how often a reviewer is right, and with
//! that a precision that was observed through fallible eyes can be put right ([`corrected`]): 99 % cannot be measured by reviewers who
//! are wrong one time in fifty.
//!
//! Sources: J. Cohen, A coefficient of agreement for nominal scales (1960); W. Rogan and B. Gladen, Estimating prevalence from the results of
//! a screening test (1978).

use super::binomial::clopper_pearson;

/// How far two reviewers agree, chance taken out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    pub items: u64,
    /// The share of items with the same verdict, and its Clopper-Pearson interval.
    pub agreement: f64,
    pub interval: [f64; 2],
    /// 1 is full agreement, 0 what chance alone gives; `None` when chance alone gives full agreement.
    pub kappa: Option<f64>,
}

/// From a square table: rows are the first reviewer's verdicts, columns the second's. `None` without items.
pub fn agreement<const N: usize>(table: &[[u64; N]; N], confidence: f64) -> Option<Agreement> {
    let items: u64 = table.iter().flatten().sum();
    if items == 0 {
        return None;
    }
    let same: u64 = (0..N).map(|at| table[at][at]).sum();
    let share = |count: u64| count as f64 / items as f64;
    let by_chance: f64 = (0..N).map(|at| share(table[at].iter().sum()) * share(table.iter().map(|row| row[at]).sum())).sum();
    let kappa = (by_chance < 1.0).then(|| (share(same) - by_chance) / (1.0 - by_chance));
    Some(Agreement { items, agreement: share(same), interval: clopper_pearson(same, items, confidence), kappa })
}

/// Right verdicts of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Right {
    pub right: u64,
    pub of: u64,
}

/// The precision behind an observed one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Corrected {
    pub precision: f64,
    /// Holds at the confidence that was asked for, if each of its three sources holds at a third of the error: the corners of their box.
    pub interval: [f64; 2],
}

/// Puts an observed precision right: `positives` are gold items whose truth is positive and how many of them were confirmed, `negatives` those whose
/// truth is negative and how many were rejected. `observed` is the interval of the observed precision at [`third`] of the error.
///
/// `None` while the gold items cannot tell reviewers from coins: then no precision follows from their verdicts.
pub fn corrected(precision: f64, observed: [f64; 2], positives: Right, negatives: Right, confidence: f64) -> Option<Corrected> {
    if positives.of == 0 || negatives.of == 0 {
        return None;
    }
    let share = |right: Right| right.right as f64 / right.of as f64;
    let (sensitivity, specificity) = (share(positives), share(negatives));
    let reviewers = third(confidence);
    let of = |right: Right| clopper_pearson(right.right, right.of, reviewers);
    let (se, sp) = (of(positives), of(negatives));
    if se[0] + sp[0] <= 1.0 {
        return None;
    }
    let value = |p: f64, se: f64, sp: f64| ((p + sp - 1.0) / (se + sp - 1.0)).clamp(0.0, 1.0);
    // Monotone in each of the three, so the extremes lie in corners.
    let corners = observed.into_iter().flat_map(|p| se.into_iter().flat_map(move |se| sp.into_iter().map(move |sp| value(p, se, sp))));
    let interval = corners.fold([1.0_f64, 0.0_f64], |[low, high], value| [low.min(value), high.max(value)]);
    Some(Corrected { precision: value(precision, sensitivity, specificity), interval })
}

/// The confidence of each of three statements that hold together at `confidence`.
pub fn third(confidence: f64) -> f64 {
    1.0 - (1.0 - confidence) / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kappa_is_cohens() {
        // The example that textbooks give: 20 and 15 of 50 the same, kappa 0.4.
        let found = agreement(&[[20, 5], [10, 15]], 0.95).unwrap();
        assert!((found.agreement - 0.7).abs() < 1e-12 && (found.kappa.unwrap() - 0.4).abs() < 1e-12, "{found:?}");
        assert_eq!(agreement(&[[7, 0], [0, 0]], 0.95).unwrap().kappa, None, "one verdict only");
        assert_eq!(agreement(&[[0; 2]; 2], 0.95), None);
    }

    #[test]
    fn reviewers_who_err_are_put_right() {
        // 90 % truly positive, seen with sensitivity 0.95 and specificity 0.8: 0.9 * 0.95 + 0.1 * 0.2 = 0.875.
        let (positives, negatives) = (Right { right: 950, of: 1000 }, Right { right: 800, of: 1000 });
        let found = corrected(0.875, [0.86, 0.89], positives, negatives, 0.95).unwrap();
        assert!((found.precision - 0.9).abs() < 1e-12 && found.interval[0] < 0.9 && found.interval[1] > 0.9, "{found:?}");
        let perfect =
            corrected(0.99, [0.98, 0.995], Right { right: 100_000, of: 100_000 }, Right { right: 100_000, of: 100_000 }, 0.95).unwrap();
        assert!((perfect.precision - 0.99).abs() < 1e-12 && (perfect.interval[0] - 0.98).abs() < 1e-3, "{perfect:?}");
        assert_eq!(corrected(0.5, [0.4, 0.6], Right { right: 5, of: 10 }, Right { right: 5, of: 10 }, 0.95), None, "coins");
        assert_eq!(corrected(0.5, [0.4, 0.6], Right::default(), negatives, 0.95), None);
    }
}
