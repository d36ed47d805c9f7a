//! Tech Against Terrorism's hash list v2: `{"count", "next", "previous", "checkpoint", "results": [...]}`.
//!
//! A result has `hash_digest`, `algorithm` (MD5, SHA1, SHA256, PDQ; others are skipped and counted), `ideology`, `file_type`, `deleted`, `updated_on`
//! (seconds), `created_on` and `id`, which is the key.

use std::io::{self, BufRead, Write};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    json::{self, Fields, typed},
    record::{Bad, Change, Entry, FormatError, Named, Place, Record, Sink, name, signal_type},
    write::Item,
};
use crate::domain::{
    signal::{Signal, SignalType},
    time::Timestamp,
};

#[derive(Deserialize)]
struct Listed {
    hash_digest: String,
    algorithm: String,
    ideology: Option<String>,
    file_type: Option<String>,
    #[serde(default)]
    deleted: bool,
    updated_on: Option<f64>,
    id: Value,
}

fn convert(place: Place, value: Value) -> Result<Vec<Entry>, String> {
    let listed: Listed = typed(value)?;
    let Named::Matched(kind) = signal_type(&listed.algorithm) else { return Ok(vec![Entry::Skipped(name(&listed.algorithm))]) };
    let signal = match Signal::parse(kind, &listed.hash_digest) {
        Ok(signal) => signal,
        Err(error) => return Ok(vec![Entry::Bad(Bad { place, reason: error.to_string() })]),
    };
    let mut record = Record::share(place, vec![signal]);
    record.key = Some(listed.id.as_str().map_or_else(|| name(&listed.id.to_string()), name));
    record.added_on = listed.updated_on.filter(|seconds| seconds.is_finite()).map(|seconds| Timestamp::from_micros((seconds * 1e6) as i64));
    record.tags = [listed.ideology, listed.file_type].into_iter().flatten().map(|tag| name(&tag)).collect();
    if listed.deleted {
        record.change = Change::Withdraw;
    }
    Ok(vec![Entry::Record(Box::new(record))])
}

/// Reads a page; `next` and `checkpoint` are among the fields.
pub fn read_page(input: impl BufRead, sink: Sink<'_>) -> Result<Fields, FormatError> {
    json::read(input, "results", &convert, sink)
}

pub(super) fn read(input: impl BufRead, sink: Sink<'_>) -> Result<(), FormatError> {
    read_page(input, sink).map(drop)
}

/// One element for each signal; vectors are left out.
pub(super) fn elements(item: &Item) -> Vec<Value> {
    let element = |(at, signal): (usize, &Signal)| {
        if matches!(signal.kind(), SignalType::PhotoDna | SignalType::Embedding(_)) {
            return None;
        }
        let seconds = item.added_on.map(Timestamp::micros).unwrap_or_default() as f64 / 1e6;
        Some(json!({
            "hash_digest": signal.to_text(), "algorithm": signal.kind().as_str().to_ascii_uppercase(), "ideology": null, "file_type": null,
            "deleted": false, "updated_on": seconds, "created_on": item.added_on.map(|at| at.to_string()), "id": format!("{}{at:03}", item.id),
        }))
    };
    item.signals.iter().enumerate().filter_map(element).collect()
}

pub(super) fn begin(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"{\"results\":[")
}

pub(super) fn end(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"]}\n")
}
