//! A claim's fields from a cut, and the sentences beside them.

use super::{
    binomial::{cdf, clopper_pearson},
    certify::{Prevalence, Terms},
    ltt::Cut,
    ranked::Ranked,
    shift,
};
use crate::domain::certificate::{Claim, ClaimKind, Needed, PrevalenceSource};

/// A claim of which nothing is known yet.
pub(super) fn empty(terms: &Terms, slice: Option<String>) -> Claim {
    let source = terms.prevalence.map_or(PrevalenceSource::Sample, |(_, _, source)| source);
    Claim {
        kind: ClaimKind::Precision,
        target_precision: None,
        target_recall: None,
        confidence: terms.wanted.confidence,
        slice,
        certified: false,
        threshold: None,
        n_flagged: 0,
        n_errors: 0,
        precision_observed: None,
        precision_lower: None,
        recall_observed: None,
        recall_interval: None,
        prevalence: terms.prevalence.map(|(prevalence, ..)| prevalence),
        prevalence_interval: terms.prevalence.map(|(_, interval, _)| interval),
        prevalence_source: source,
        method: String::new(),
        reason: None,
        needed: None,
        fallback_threshold: None,
    }
}

/// A precision claim: of the certified cut, or of the nearest one with its lower bound.
pub(super) fn precision(
    terms: &Terms,
    target: f64,
    ranked: &Ranked,
    slice: Option<String>,
    certified: Option<Cut>,
    nearest: Option<(Cut, f64)>,
) -> Claim {
    let mut claim = empty(terms, slice);
    let positives = ranked.positives();
    let negatives = ranked.len() as u64 - positives;
    claim.target_precision = Some(target);
    if terms.prevalence.is_none() {
        claim.prevalence = share_of_positives(terms, ranked);
    }
    if let Some(cut) = certified.or(nearest.map(|(cut, _)| cut)) {
        (claim.n_flagged, claim.n_errors) = (cut.flagged, cut.errors);
        claim.precision_observed = match claim.prevalence.filter(|_| terms.prevalence.is_some()) {
            Some(prevalence) => at_prevalence(&cut, positives, negatives, prevalence),
            None => observed(terms, ranked, &cut),
        };
        let hits = cut.flagged - cut.errors;
        claim.recall_observed = (positives > 0).then(|| hits as f64 / positives as f64);
        claim.recall_interval = (positives > 0).then(|| clopper_pearson(hits, positives, terms.wanted.confidence));
    }
    if let Some(cut) = certified {
        claim.certified = true;
        claim.threshold = Some(threshold(terms, &cut));
        // What the sequence of tests showed of this threshold, which it chose itself, is the target and no more.
        claim.precision_lower = Some(target);
    } else {
        claim.precision_lower = nearest.map(|(_, lower)| lower);
        claim.reason = Some(reason(target, ranked, positives, &claim));
    }
    claim
}

/// The threshold that flags what a cut counts.
fn threshold(terms: &Terms, cut: &Cut) -> f64 {
    cut.above.map_or(0.0, |score| terms.lattice.above(score))
}

/// The threshold of a cut to fall back on.
pub(super) fn stricter(terms: &Terms, cut: Option<Cut>) -> Option<f64> {
    cut.map(|cut| threshold(terms, &cut))
}

/// Weighted where there are weights.
fn share_of_positives(terms: &Terms, ranked: &Ranked) -> Option<f64> {
    weighted_share(terms, ranked, ranked.len())
}

fn observed(terms: &Terms, ranked: &Ranked, cut: &Cut) -> Option<f64> {
    weighted_share(terms, ranked, usize::try_from(cut.flagged).ok()?)
}

/// The share of positives among the first items.
fn weighted_share(terms: &Terms, ranked: &Ranked, number: usize) -> Option<f64> {
    let (mut hits, mut all) = (0.0, 0.0);
    for (row, positive) in ranked.rows()[..number].iter().zip(ranked.positive()) {
        let weight = terms.columns.weights.map_or(1.0, |weights| weights[*row as usize]);
        all += weight;
        hits += if *positive { weight } else { 0.0 };
    }
    (all > 0.0).then(|| hits / all)
}

/// The precision that the sample suggests at another prevalence.
pub(super) fn at_prevalence(cut: &Cut, positives: u64, negatives: u64, prevalence: f64) -> Option<f64> {
    let share = |part: u64, of: u64| if of > 0 { part as f64 / of as f64 } else { 0.0 };
    shift::precision(prevalence, share(cut.flagged - cut.errors, positives), share(cut.errors, negatives))
}

fn reason(target: f64, ranked: &Ranked, positives: u64, claim: &Claim) -> String {
    if ranked.is_empty() {
        return "there are no items".to_owned();
    }
    if positives == 0 {
        return format!("all {} items are negative", ranked.len());
    }
    let negatives = ranked.len() as u64 - positives;
    if negatives == 0 && claim.prevalence_source != PrevalenceSource::Sample {
        return format!("all {} items are positive, and nothing is known of negatives", ranked.len());
    }
    match (claim.n_flagged, claim.precision_lower) {
        (0, _) | (_, None) => format!("{} items are too few, or too many of them have the highest score", ranked.len()),
        (flagged, Some(lower)) => format!(
            "{} of the {flagged} highest items are negative, which shows a precision of at least {}; {target} is wanted",
            claim.n_errors,
            rounded(lower)
        ),
    }
}

/// Rounded down to six digits, for a sentence.
fn rounded(share: f64) -> f64 {
    (share * 1e6).floor() / 1e6
}

/// How many flagged items would show the target if errors kept the share that this cut has; `None` when that share is too high.
pub(super) fn at_observed_rate(cut: &Cut, alpha: f64, delta: f64) -> Option<u64> {
    /// Nobody labels more.
    const MOST: u64 = 1 << 50;
    let rate = cut.errors as f64 / cut.flagged as f64;
    if cut.flagged == 0 || rate >= alpha {
        return None;
    }
    let enough = |n: u64| cdf((rate * n as f64).ceil() as u64, n, alpha) <= delta;
    let mut high = 1;
    while !enough(high) {
        high *= 2;
        if high > MOST {
            return None;
        }
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

pub(super) fn needed_flags(target: f64, flags: Option<u64>, observed: Option<u64>) -> Needed {
    let clean = flags.map_or("more flagged items than can be counted".to_owned(), |flags| {
        format!("{flags} labelled items above a threshold without an error")
    });
    let rate = match observed {
        Some(observed) if Some(observed) != flags => format!(", or {observed} with the share of errors that was observed"),
        Some(_) => String::new(),
        None => format!("; with the share of errors that was observed no number is enough for {target}"),
    };
    Needed { flags, flags_at_observed_error: observed, text: clean + &rate, ..Needed::default() }
}

pub(super) fn needed_negatives(target: f64, prevalence: f64, recall: f64, delta: f64) -> Needed {
    let fpr = shift::fpr_needed(prevalence, recall, target);
    let negatives = clean_negatives(fpr, delta);
    let text = format!(
        "a false positive rate of at most {fpr:.3e} has to be shown: {} labelled negatives without one above the threshold",
        negatives.map_or("uncountable".to_owned(), |number| number.to_string())
    );
    Needed { negatives, text, ..Needed::default() }
}

/// Negatives without a false positive that show a false positive rate: ln(delta) / ln(1 - F).
pub fn clean_negatives(fpr: f64, delta: f64) -> Option<u64> {
    if fpr >= 1.0 {
        return Some(1);
    }
    let number = (delta.ln() / (-fpr).ln_1p()).ceil();
    // 2^53: beyond it an f64 is no count.
    (number < 9e15).then_some(number as u64)
}

pub(super) fn needed_clusters(target: f64, cap: f64, delta: f64) -> Needed {
    let weight = cap * delta.ln() / target.ln();
    let text = format!("clusters above a threshold that weigh at least {weight:.0} together (each at most {cap}), without an error");
    Needed { flags: Some(weight.ceil() as u64), text, ..Needed::default() }
}

/// What has to be true, one sentence each.
pub(super) fn assumptions(terms: &Terms, cap: Option<f64>, slices: usize) -> Vec<String> {
    let mut all = Vec::new();
    all.push(match (terms.columns.groups, cap) {
        (Some(_), Some(cap)) => format!(
            "clusters (the group column) are independent draws from the traffic that the threshold will see; a cluster counts with a weight of at most {cap}, and precision is that of traffic counted so"
        ),
        (None, Some(cap)) => format!(
            "items are independent draws, weighted by how many of the traffic they stand for; an item counts with a weight of at most {cap}, and precision is that of traffic counted so"
        ),
        _ => "items are independent draws from the traffic that the threshold will see: no item depends on another (conversations, users, copies of one picture need a group column)".to_owned(),
    });
    all.push("labels are right: a reviewer's error counts as the classifier's, or hides one".to_owned());
    all.push("scores are those of the model, preprocessing and numeric precision that the certificate is bound to".to_owned());
    all.push("targets, confidence, prevalence and data were chosen before labels were looked at, and the data were not used to train or tune the model".to_owned());
    all.push(match terms.wanted.prevalence {
        Prevalence::Sample => "positives are as frequent in the traffic as in the sample, and score alike".to_owned(),
        Prevalence::Given(given) => format!("the traffic's prevalence is at least {given}; positives and negatives score there as in the sample (label shift)"),
        Prevalence::Interval(low, high) => {
            format!("the traffic's prevalence lies between {low} and {high}; positives and negatives score there as in the sample (label shift)")
        }
        Prevalence::Traffic { positives, items } => format!(
            "the {items} labelled items of traffic, {positives} of them positive, are independent draws from it; positives and negatives score there as in the sample (label shift)"
        ),
    });
    if slices > 0 && terms.prevalence.is_some() {
        all.push("the prevalence holds in every slice that is claimed".to_owned());
    }
    if terms.wanted.targets.len() * (1 + slices) > 1 {
        all.push(format!(
            "all {} claims of the document hold together at its confidence (delta is divided among them)",
            terms.wanted.targets.len() * (1 + slices)
        ));
    }
    all
}
