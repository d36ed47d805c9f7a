//! From what every picture found to one row for each technology and alteration.

use serde::Serialize;

use super::{
    alteration::ALTERATIONS,
    look::{HashOptions, Method},
};
use crate::{
    domain::signal::{Distance, SignalType},
    engines::calibration::binomial::clopper_pearson,
};

/// What one altered picture found.
pub(super) struct Outcome {
    /// PDQ's.
    pub quality: Option<u8>,
    /// In the order of the methods.
    pub seen: Vec<Seen>,
}

/// What one technology saw of it.
pub(super) struct Seen {
    /// Whether there was a signal that can be looked up.
    pub usable: bool,
    pub found: bool,
    /// Some other picture's item was found.
    pub wrong: bool,
    /// To the picture's own original.
    pub distance: Option<Distance>,
}

/// One technology and one alteration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// `pdq`, `embedding:MODEL`.
    pub technology: &'static str,
    /// Whether all eight positions of the picture were looked up, or only the picture as it stands.
    pub all_positions: bool,
    pub max_distance: Distance,
    pub group: &'static str,
    pub alteration: &'static str,
    /// The alteration, for people.
    pub what: &'static str,
    /// Altered pictures that were looked up, or would have been if they had a usable signal.
    pub pictures: u64,
    /// Without a usable signal; they count as not found.
    pub unusable: u64,
    /// Whose original was found.
    pub found: u64,
    pub recall: f64,
    /// Clopper-Pearson.
    pub recall_interval: [f64; 2],
    /// That found an item of another picture.
    pub wrong: u64,
    /// Of their share; Clopper-Pearson.
    pub wrong_interval: [f64; 2],
    /// To the own original; `null` when no picture had a signal.
    pub distance: Option<Distances>,
    /// PDQ's median quality after the alteration; `null` for other technologies.
    pub quality_median: Option<u8>,
}

/// Order statistics; the median of an even number is the lower of the two in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Distances {
    pub median: Distance,
    /// That 95 of 100 do not exceed.
    pub p95: Distance,
    pub largest: Distance,
}

impl Distances {
    fn of(mut distances: Vec<Distance>) -> Option<Self> {
        distances.sort_unstable();
        let at = |percent: usize| distances[(distances.len() * percent).div_ceil(100).max(1) - 1];
        (!distances.is_empty()).then(|| Self { median: at(50), p95: at(95), largest: at(100) })
    }
}

/// By method, then alteration.
pub(super) fn rows(outcomes: &[Vec<Outcome>], methods: &[Method], options: &HashOptions) -> Vec<Row> {
    let row = |(at, method): (usize, &Method), number: usize| {
        let alteration = &ALTERATIONS[number];
        let of_pictures = || outcomes.iter().map(|picture| &picture[number]);
        let count = |which: &dyn Fn(&Seen) -> bool| of_pictures().filter(|outcome| which(&outcome.seen[at])).count() as u64;
        let pictures = outcomes.len() as u64;
        let (found, wrong) = (count(&|seen| seen.found), count(&|seen| seen.wrong));
        let mut qualities: Vec<u8> = of_pictures().filter_map(|outcome| outcome.quality).collect();
        qualities.sort_unstable();
        let is_pdq = method.technology == SignalType::Pdq;
        Row {
            technology: method.technology.as_str(),
            all_positions: method.all_positions,
            max_distance: if is_pdq { options.radius.into() } else { options.embedding_radius },
            group: alteration.group,
            alteration: alteration.name,
            what: alteration.what,
            pictures,
            unusable: count(&|seen| !seen.usable),
            found,
            recall: found as f64 / pictures as f64,
            recall_interval: clopper_pearson(found, pictures, options.confidence),
            wrong,
            wrong_interval: clopper_pearson(wrong, pictures, options.confidence),
            distance: Distances::of(of_pictures().filter_map(|outcome| outcome.seen[at].distance).collect()),
            quality_median: qualities.get(qualities.len().saturating_sub(1) / 2).copied().filter(|_| is_pdq),
        }
    };
    methods.iter().enumerate().flat_map(|method| (0..ALTERATIONS.len()).map(move |number| row(method, number))).collect()
}
