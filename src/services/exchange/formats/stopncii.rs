//! StopNCII v1: `{"count", "nextPageToken", "nextSetTimestamp", "hasMoreRecords", "hashRecords": [...]}`.
//!
//! A record has `signalType` (ImagePDQ is pdq, VideoMD5 md5; VideoTMK, Text and URL are skipped and counted), `hashValue`, `hashStatus`, `caseNumbers`,
//! `CSPFeedbacks` and `lastModtimestamp`. Each replaces the record of the same type and hash; Withdrawn and Deleted take it away. A provider's feedback
//! Blocked confirms and NotBlocked disputes.

use std::io::{self, BufRead, Write};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    json::{self, Fields, typed},
    record::{Bad, Change, Entry, FormatError, Place, Record, Sink, StatedOpinion, name},
    write::Item,
};
use crate::domain::{
    bank::Opinion,
    signal::{Signal, SignalType},
    time::Timestamp,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HashRecord {
    #[serde(rename = "lastModtimestamp")]
    last_modified: Option<i64>,
    signal_type: String,
    hash_value: String,
    #[serde(default)]
    hash_status: String,
    #[serde(default, rename = "CSPFeedbacks")]
    feedbacks: Vec<Feedback>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    #[serde(default)]
    source: String,
    feedback_value: String,
    #[serde(default)]
    tags: Vec<String>,
}

fn convert(place: Place, value: Value) -> Result<Vec<Entry>, String> {
    let given: HashRecord = typed(value)?;
    let kind = match given.signal_type.as_str() {
        "ImagePDQ" => SignalType::Pdq,
        "VideoMD5" => SignalType::Md5,
        other => return Ok(vec![Entry::Skipped(name(other))]),
    };
    let signal = match Signal::parse(kind, &given.hash_value) {
        Ok(signal) => signal,
        Err(error) => return Ok(vec![Entry::Bad(Bad { place, reason: error.to_string() })]),
    };
    let mut record = Record::share(place, vec![signal]);
    record.key = Some(format!("{} {}", given.signal_type, given.hash_value.to_ascii_lowercase()));
    record.added_on = given.last_modified.map(|seconds| Timestamp::from_micros(seconds.saturating_mul(1_000_000)));
    if matches!(given.hash_status.as_str(), "Withdrawn" | "Deleted") {
        record.change = Change::Withdraw;
    }
    for feedback in &given.feedbacks {
        record.tags.extend(feedback.tags.iter().map(|tag| name(tag)));
        let opinion = match feedback.feedback_value.as_str() {
            "Blocked" => Opinion::Confirm,
            "NotBlocked" => Opinion::Dispute,
            _ => continue,
        };
        record.opinions.push(StatedOpinion { member: name(&feedback.source), opinion, about: None });
    }
    record.tags.sort_unstable();
    record.tags.dedup();
    Ok(vec![Entry::Record(Box::new(record))])
}

/// Reads a page; `nextPageToken`, `nextSetTimestamp` and `hasMoreRecords` are among the fields.
pub fn read_page(input: impl BufRead, sink: Sink<'_>) -> Result<Fields, FormatError> {
    json::read(input, "hashRecords", &convert, sink)
}

pub(super) fn read(input: impl BufRead, sink: Sink<'_>) -> Result<(), FormatError> {
    read_page(input, sink).map(drop)
}

/// The body of `SubmitFeedback`.
pub fn feedback(entries: &[(String, Opinion)]) -> Value {
    let entry = |(hash, opinion): &(String, Opinion)| {
        let value = match opinion {
            Opinion::Confirm => "Blocked",
            Opinion::Dispute => "NotBlocked",
        };
        json!({"hashValue": hash, "feedbackValue": value, "tags": []})
    };
    json!({"count": entries.len(), "hashFeedbacks": entries.iter().map(entry).collect::<Vec<_>>()})
}

/// One element for each signal; types that StopNCII does not have are left out.
pub(super) fn elements(item: &Item) -> Vec<Value> {
    let element = |signal: &Signal| {
        let kind = match signal.kind() {
            SignalType::Pdq => "ImagePDQ",
            SignalType::Md5 => "VideoMD5",
            _ => return None,
        };
        let seconds = item.added_on.map(Timestamp::micros).unwrap_or_default().div_euclid(1_000_000);
        Some(
            json!({"lastModtimestamp": seconds, "signalType": kind, "hashValue": signal.to_text(), "hashStatus": "Active", "caseNumbers": {}}),
        )
    };
    item.signals.iter().filter_map(element).collect()
}

pub(super) fn begin(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"{\"hashRecords\":[")
}

pub(super) fn end(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"],\"hasMoreRecords\":false}\n")
}
