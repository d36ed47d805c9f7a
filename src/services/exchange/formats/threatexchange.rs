//! ThreatExchange's `threat_updates`: `{"data": [{id, indicator, type, last_updated, should_delete, descriptors: {data: [...]}}], "paging": …}`.
//!
//! HASH_MD5 and HASH_VIDEO_MD5 are md5, HASH_SHA1 sha1, HASH_SHA256 and HASH_VIDEO_SHA256 sha256, HASH_PDQ pdq; other types are skipped and counted. A
//! record without descriptors counts as deleted (facebook/ThreatExchange, issue 834). A descriptor's status is its owner's opinion: MALICIOUS confirms,
//! NON_MALICIOUS disputes; a reaction HELPFUL confirms and DISAGREE_WITH_TAGS or NOT_HELPFUL disputes, for those who have no descriptor of their own.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Write},
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    json::{self, Fields, typed},
    record::{Bad, Change, Entry, FormatError, Place, Record, Sink, StatedOpinion, name},
    write::Item,
};
use crate::domain::{
    bank::{HarmCategory, Opinion},
    signal::{Signal, SignalType},
    time::Timestamp,
};

#[derive(Deserialize)]
struct Update {
    id: Option<Value>,
    indicator: String,
    r#type: String,
    last_updated: Option<Value>,
    #[serde(default)]
    should_delete: bool,
    descriptors: Option<Descriptors>,
}

#[derive(Deserialize)]
struct Descriptors {
    #[serde(default)]
    data: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    id: Value,
    /// Missing where the reader may not see it.
    owner: Option<Owner>,
    #[serde(default)]
    status: String,
    #[serde(default)]
    tags: Value,
    #[serde(default)]
    reactions: Vec<Reaction>,
}

#[derive(Deserialize)]
struct Owner {
    id: Value,
}

#[derive(Deserialize)]
struct Reaction {
    key: String,
    value: String,
}

/// Numbers come as numbers and as text.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| name(&value.to_string()), name)
}

fn kind(indicator: &str) -> Option<SignalType> {
    match indicator {
        "HASH_MD5" | "HASH_VIDEO_MD5" => Some(SignalType::Md5),
        "HASH_SHA1" => Some(SignalType::Sha1),
        "HASH_SHA256" | "HASH_VIDEO_SHA256" => Some(SignalType::Sha256),
        "HASH_PDQ" => Some(SignalType::Pdq),
        _ => None,
    }
}

/// A list of texts, or `{"data": [{"text"}]}`.
fn tags(value: &Value) -> Vec<String> {
    let list = value.as_array().or_else(|| value.get("data")?.as_array());
    let tag = |tag: &Value| tag.as_str().or_else(|| tag.get("text")?.as_str()).map(name);
    list.into_iter().flatten().filter_map(tag).collect()
}

fn convert(place: Place, value: Value) -> Result<Vec<Entry>, String> {
    let update: Update = typed(value)?;
    let Some(kind) = kind(&update.r#type) else { return Ok(vec![Entry::Skipped(name(&update.r#type))]) };
    let signal = match Signal::parse(kind, &update.indicator) {
        Ok(signal) => signal,
        Err(error) => return Ok(vec![Entry::Bad(Bad { place, reason: error.to_string() })]),
    };
    let mut record = Record::share(place, vec![signal]);
    record.key = Some(update.id.as_ref().map_or_else(|| format!("{} {}", update.r#type, update.indicator), text));
    record.added_on = update.last_updated.as_ref().and_then(|at| super::time(&text(at)));
    let descriptors = update.descriptors.map(|descriptors| descriptors.data).unwrap_or_default();
    let visible: Vec<_> = descriptors.iter().filter_map(|one| one.owner.as_ref().map(|owner| (one, text(&owner.id)))).collect();
    if update.should_delete || visible.is_empty() {
        record.change = Change::Withdraw;
        return Ok(vec![Entry::Record(Box::new(record))]);
    }
    let (mut explicit, mut implicit) = (BTreeMap::new(), BTreeMap::new());
    for (descriptor, owner) in &visible {
        record.reference.get_or_insert_with(|| text(&descriptor.id));
        record.member.get_or_insert_with(|| owner.clone());
        record.tags.extend(tags(&descriptor.tags));
        let opinion = match descriptor.status.as_str() {
            "MALICIOUS" => Some(Opinion::Confirm),
            "NON_MALICIOUS" => Some(Opinion::Dispute),
            _ => None,
        };
        explicit.insert(owner.clone(), opinion);
        for reaction in &descriptor.reactions {
            for member in reaction.value.split(',').map(name).filter(|member| !member.is_empty()) {
                match reaction.key.as_str() {
                    "HELPFUL" => drop(implicit.insert(member, Opinion::Confirm)),
                    "DISAGREE_WITH_TAGS" | "NOT_HELPFUL" => drop(implicit.entry(member).or_insert(Opinion::Dispute)),
                    _ => {}
                }
            }
        }
    }
    record.vouched = explicit.values().any(|opinion| *opinion != Some(Opinion::Dispute));
    implicit.retain(|member, _| !explicit.contains_key(member));
    let stated = explicit.into_iter().filter_map(|(member, opinion)| opinion.map(|opinion| (member, opinion))).chain(implicit);
    record.opinions = stated.map(|(member, opinion)| StatedOpinion { member, opinion, about: None }).collect();
    record.tags.sort_unstable();
    record.tags.dedup();
    record.category = record.tags.iter().find_map(|tag| tag.to_ascii_uppercase().parse().ok());
    Ok(vec![Entry::Record(Box::new(record))])
}

/// Reads a page; its `paging` is among the fields.
pub fn read_page(input: impl BufRead, sink: Sink<'_>) -> Result<Fields, FormatError> {
    json::read(input, "data", &convert, sink)
}

pub(super) fn read(input: impl BufRead, sink: Sink<'_>) -> Result<(), FormatError> {
    read_page(input, sink).map(drop)
}

/// One element for each signal; types that ThreatExchange does not have are left out.
pub(super) fn elements(item: &Item) -> Vec<Value> {
    let element = |(at, signal): (usize, &Signal)| {
        let kind = match signal.kind() {
            SignalType::Md5 => "HASH_MD5",
            SignalType::Sha1 => "HASH_SHA1",
            SignalType::Sha256 => "HASH_SHA256",
            SignalType::Pdq => "HASH_PDQ",
            SignalType::PhotoDna | SignalType::Embedding(_) => return None,
        };
        let tags: Vec<&str> = item.tags.iter().map(String::as_str).chain(item.category.map(HarmCategory::as_str)).collect();
        let id = format!("{}{at:03}", item.id);
        let seconds = item.added_on.map(Timestamp::micros).unwrap_or_default().div_euclid(1_000_000);
        let descriptor = json!({"id": id, "owner": {"id": "0"}, "status": "MALICIOUS", "tags": tags});
        Some(json!({
            "id": id, "indicator": signal.to_text(), "type": kind, "last_updated": seconds, "should_delete": false,
            "descriptors": {"data": [descriptor]},
        }))
    };
    item.signals.iter().enumerate().filter_map(element).collect()
}

pub(super) fn begin(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"{\"data\":[")
}

pub(super) fn end(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"]}\n")
}
