//! Signals that belong to nothing: for trying an installation out. Some are made by counting; the others are HMA's, so that what its users try works here too.

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

/// What HMA's `sample` holds of the types that are known here: hashes of harmless pictures that its own tests look up (facebook/ThreatExchange,
/// `python-threatexchange/threatexchange/signal_type`, `pdq/signal.py` and `md5.py`, `get_examples`).
const HMAS: [(SignalType, &str); 18] = [
    (SignalType::Pdq, "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"),
    (SignalType::Pdq, "f8f8f0cee0f4a84f06370a2a038f63f0b36e26d596621e1d33e6b39c4e9c9b22"),
    (SignalType::Pdq, "f8f8f0cee0f4a84f0637022a038f67f0b36e26d596621e1d33e6b39c4e9c9b22"),
    (SignalType::Pdq, "f8f8f0cee0f4a84f06370a2a068f67f0b36e26d596621e1d33e6339c4e9c9b22"),
    (SignalType::Pdq, "f8f8f0cee0f4a84f06370a22038f67f0b36e2ed596221e1d33e6b39c4e9c9b22"),
    (SignalType::Pdq, "f8f8f0cee0f4a84f0e370a22038f67f0b36e2ed596221e1d33e6b39c4a9c9b22"),
    (SignalType::Pdq, "d8f8f0cec0f4a84f8e370a22038f67f0b36a2ed597231e1d72e6b39c4a9c9b22"),
    (SignalType::Pdq, "f8f8f0cee0f4a84f06370a22038f67f0b36e2ed596621e1d33e6339c4e9c9b22"),
    (SignalType::Pdq, "d0f8f1ccc0f4a84d0a370a3a228f67f0b36e2ed5b6623e1d33e6339c4e9c9b22"),
    (SignalType::Pdq, "d8f8f1eec0f4a84f0e37022a078f63f0b36e2ed596621e1d33e6239c4e9c9b22"),
    (SignalType::Pdq, "d8f8f0cec4f4a84f0637022a078f67f0b36e2ee5b6621e1d33e6239c4e9c9b22"),
    (SignalType::Pdq, "d8f8f0cec0f4a84f0637022a278f67f0b36e2ed596621e1d33e6339c4e9c9b22"),
    (SignalType::Pdq, "e64cc9d91c623882f8d1f1d9a398e78c9f199b3bd83924f2b7e11e0bf861b064"),
    (SignalType::Pdq, "6227401f601ff4ccafcc9fad4b0d95d371a2eb7265a3285234d228ca94deeb2d"),
    (SignalType::Pdq, "c186f9619659658c4b6916daf934496985f4259c72c39676ab9edb631c3c349c"),
    (SignalType::Pdq, "62c9789627838f69f23cf98c29e37836d61c87c31c59587c4b49a783f496725c"),
    (SignalType::Md5, "cab08b36195edb1a1231d2d09fa450e0"),
    (SignalType::Md5, "d41d8cd98f00b204e9800998ecf8427e"),
];

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
        let all = all.map(|(kind, number, signal)| (format!("{kind} {number}"), signal));
        let hmas =
            (1..).zip(HMAS).filter_map(|(number, (kind, text))| Some((format!("hma {kind} {number}"), Signal::parse(kind, text).ok()?)));
        let entry = |(key, signal): (String, Signal)| {
            let mut record = Record::share(Place { line: 1, byte: 0 }, vec![signal]);
            record.key = Some(key);
            Entry::Record(Box::new(record))
        };
        let entries = if known.is_some() { Vec::new() } else { all.chain(hmas).map(entry).collect() };
        let starts_over = known.is_none();
        let page = Page { entries, checkpoint: json!({"done": true}), progress: Some(now), more: false, starts_over, full: starts_over };
        Box::pin(async move { Ok(page) })
    }

    fn tell<'a>(&'a self, feedback: &'a [Feedback]) -> BoxFuture<'a, Vec<Result<(), FetchError>>> {
        Box::pin(async move { untold(feedback, Api::Sample) })
    }
}
