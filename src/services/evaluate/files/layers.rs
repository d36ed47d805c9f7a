//! The layers together: who fired first, who fires on the same files, and what all of them are worth as one.

use serde::Serialize;

use super::{
    super::point::Point,
    results::FileResult,
    summary::{Rows, flag_point},
};

/// Files whose review one technology alone would have brought about by a match or a score, earliest in the order of the layers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FirstFiring {
    pub technology: String,
    pub files: u64,
    /// Of all files that something fired on. With a precision of each, a bound on the precision of all: the sum of shares times error rates.
    pub share: f64,
    /// By the column `label`; `null` in a manifest without it.
    pub positives: Option<u64>,
}

/// Two technologies on the same files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overlap {
    pub a: String,
    pub b: String,
    pub both: u64,
    pub only_a: u64,
    pub only_b: u64,
    /// Files that both flag, of those that either flags; `null` when none does.
    pub jaccard: Option<f64>,
}

/// All layers as one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layers {
    pub first_firing: Vec<FirstFiring>,
    pub overlap: Vec<Overlap>,
    /// Flagged by any technology; `null` in a manifest without the column `label`, as the next.
    pub union: Option<Point>,
    /// Routed to review: also what could not be scored, where the policy says so.
    pub review: Option<Point>,
    /// Files that any technology flagged.
    pub flagged: u64,
    /// Files that were routed to review.
    pub reviewed: u64,
    /// Those of them on which nothing fired: something could not look at them.
    pub reviewed_unfired: u64,
}

impl Layers {
    /// `technologies` in the order of the layers.
    pub(super) fn of(rows: &Rows<'_>, technologies: &[String], confidence: f64) -> Self {
        let mut first_firing: Vec<FirstFiring> = Vec::new();
        for (result, positive) in rows.scored() {
            let Some(technology) = fired_first(result) else { continue };
            let at = first_firing.iter().position(|first| first.technology == *technology).unwrap_or_else(|| {
                first_firing.push(FirstFiring { technology: technology.clone(), files: 0, share: 0.0, positives: positive.map(|_| 0) });
                first_firing.len() - 1
            });
            first_firing[at].files += 1;
            first_firing[at].positives = first_firing[at].positives.zip(positive).map(|(count, positive)| count + u64::from(positive));
        }
        let fired: u64 = first_firing.iter().map(|first| first.files).sum();
        first_firing.iter_mut().for_each(|first| first.share = first.files as f64 / fired as f64);
        let place = |first: &FirstFiring| technologies.iter().position(|name| *name == first.technology).unwrap_or(technologies.len());
        first_firing.sort_by_key(place);
        let pairs = technologies.iter().enumerate().flat_map(|(at, a)| technologies[at + 1..].iter().map(move |b| (a, b)));
        let any = |result: &FileResult| technologies.iter().any(|technology| result.flagged_by(technology));
        Self {
            overlap: pairs.map(|(a, b)| overlap(rows, a, b)).collect(),
            union: flag_point(rows, any, confidence),
            review: flag_point(rows, |result| result.review, confidence),
            flagged: rows.scored().filter(|(result, _)| any(result)).count() as u64,
            reviewed: rows.scored().filter(|(result, _)| result.review).count() as u64,
            reviewed_unfired: rows.scored().filter(|(result, _)| result.review && fired_first(result).is_none()).count() as u64,
            first_firing,
        }
    }
}

/// Results kept by an earlier version name there what could not look, too.
fn fired_first(result: &FileResult) -> Option<&String> {
    result.fired_first.as_ref().filter(|technology| result.flagged_by(technology))
}

fn overlap(rows: &Rows<'_>, a: &str, b: &str) -> Overlap {
    let (mut both, mut only_a, mut only_b) = (0, 0, 0);
    for (result, _) in rows.scored() {
        match (result.flagged_by(a), result.flagged_by(b)) {
            (true, true) => both += 1,
            (true, false) => only_a += 1,
            (false, true) => only_b += 1,
            (false, false) => {}
        }
    }
    let either = both + only_a + only_b;
    let jaccard = (either > 0).then(|| both as f64 / either as f64);
    Overlap { a: a.to_owned(), b: b.to_owned(), both, only_a, only_b, jaccard }
}
