//! Signals that belong to nothing, made by counting: for trying an installation out.

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Feedback, FetchError, Fetcher, Page, untold};
use crate::{
    domain::{
        signal::{Signal, SignalType},
        time::Timestamp,
    },
    services::exchange::{
        api::Api,
        formats::{Entry, Place, Record},
    },
};

/// Signals of each type.
const SIGNALS: u64 = 10;

pub(super) struct Sample;

/// The first bytes of the SHA-256 of a text that says what it is for.
fn signal(kind: SignalType, number: u64) -> Option<Signal> {
    let digest = Sha256::digest(format!("nightlight sample {kind} {number}"));
    let bytes = match kind {
        SignalType::Md5 => 16,
        SignalType::Sha1 => 20,
        _ => 32,
    };
    Signal::from_parts(kind, &digest[..bytes])
}

impl Fetcher for Sample {
    fn page<'a>(&'a self, known: Option<&'a Value>, now: Timestamp) -> BoxFuture<'a, Result<Page, FetchError>> {
        let kinds = [SignalType::Pdq, SignalType::Md5, SignalType::Sha1, SignalType::Sha256];
        let all = kinds.into_iter().flat_map(|kind| (1..=SIGNALS).filter_map(move |number| Some((kind, number, signal(kind, number)?))));
        let entry = |(kind, number, signal): (SignalType, u64, Signal)| {
            let mut record = Record::share(Place { line: 1, byte: 0 }, vec![signal]);
            record.key = Some(format!("{kind} {number}"));
            Entry::Record(Box::new(record))
        };
        let entries = if known.is_some() { Vec::new() } else { all.map(entry).collect() };
        let starts_over = known.is_none();
        let page = Page { entries, checkpoint: json!({"done": true}), progress: Some(now), more: false, starts_over, full: starts_over };
        Box::pin(async move { Ok(page) })
    }

    fn tell<'a>(&'a self, feedback: &'a [Feedback]) -> BoxFuture<'a, Vec<Result<(), FetchError>>> {
        Box::pin(async move { untold(feedback, Api::Sample) })
    }
}
