//! CSV, with its columns named in the first row, or pytx's rows without one.
//!
//! Columns are found by name, in any order: `signal` (or pytx's `signal_str`) is needed; `signal_type`, `category` (A1, A2, B1, B2, other; pytx's
//! opinions POSITIVE_CLASS, NEGATIVE_CLASS, … are read too), `source` (or `collab`), `note`, `id`, `added_on` (RFC 3339), `tags` (split at spaces) and
//! `deleted` (true or false) are known; others are ignored. Rows with the same `id` are one item each, the later one replacing the earlier.
//!
//! Without a header a row is what pytx caches: `signal,descriptor id,added on,"tag tag"`, with the indicator's id between the first two in HMA's own.

use std::io::{self, BufRead, Write};

use csv::{ByteRecord, ReaderBuilder, Terminator};

use super::{
    meter::Metered,
    record::{Bad, Change, Entry, FormatError, Named, Place, Record, Sink, StatedOpinion, name, signal_type},
    write::Item,
};
use crate::domain::{
    bank::{HarmCategory, Opinion},
    signal::{Signal, SignalError, SignalType},
};

/// Where each column is.
#[derive(Default)]
struct Columns {
    signal: Option<usize>,
    kind: Option<usize>,
    category: Option<usize>,
    source: Option<usize>,
    note: Option<usize>,
    id: Option<usize>,
    added_on: Option<usize>,
    tags: Option<usize>,
    deleted: Option<usize>,
}

impl Columns {
    fn named(header: &ByteRecord) -> Self {
        let mut columns = Self::default();
        for (at, field) in header.iter().enumerate() {
            let label = String::from_utf8_lossy(field).trim_start_matches('\u{feff}').trim().to_ascii_lowercase();
            let column = match label.as_str() {
                "signal" | "signal_str" => &mut columns.signal,
                "signal_type" => &mut columns.kind,
                "category" => &mut columns.category,
                "source" | "collab" => &mut columns.source,
                "note" => &mut columns.note,
                "id" => &mut columns.id,
                "added_on" => &mut columns.added_on,
                "tags" => &mut columns.tags,
                "deleted" => &mut columns.deleted,
                _ => continue,
            };
            *column = Some(at);
        }
        columns
    }

    /// pytx's rows of 4 and of 5 fields.
    fn of_pytx(fields: usize) -> Self {
        let first = usize::from(fields >= 5);
        Self { signal: Some(0), id: Some(1), added_on: Some(2 + first), tags: Some(3 + first), ..Self::default() }
    }
}

pub(super) fn read(input: impl BufRead, default: Option<SignalType>, sink: Sink<'_>) -> Result<(), FormatError> {
    let (input, meter) = Metered::new(input);
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
    let mut row = ByteRecord::new();
    let mut columns = None;
    loop {
        let place = Place { line: reader.position().line(), byte: reader.position().byte() };
        meter.reset();
        let more = reader.read_byte_record(&mut row).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) => FormatError::of(error, place),
            other => FormatError::Malformed { place, reason: format!("{other:?}") },
        })?;
        if !more {
            return Ok(());
        }
        if row.iter().all(|field| field.is_empty()) {
            continue;
        }
        let columns = match &columns {
            Some(columns) => columns,
            None => {
                let named = Columns::named(&row);
                if named.signal.is_some() {
                    columns = Some(named);
                    continue;
                }
                &*columns.insert(Columns::of_pytx(row.len()))
            }
        };
        if !sink(entry(&row, columns, place, default)) {
            return Ok(());
        }
    }
}

fn entry(row: &ByteRecord, columns: &Columns, place: Place, default: Option<SignalType>) -> Entry {
    let bad = |reason: String| Entry::Bad(Bad { place, reason });
    let field = |column: Option<usize>| {
        let field = column.and_then(|at| row.get(at)).unwrap_or_default();
        std::str::from_utf8(field).map(str::trim).map_err(|_| bad("not UTF-8 text".to_owned()))
    };
    let read = || -> Result<Entry, Entry> {
        let (signal, kind) = (field(columns.signal)?, field(columns.kind)?);
        let parsed = match signal_type(kind) {
            Named::Matched(kind) => Signal::parse(kind, signal),
            Named::Unmatched => return Ok(Entry::Skipped(name(kind))),
            Named::Unknown if kind.is_empty() => match default {
                Some(kind) => Signal::parse(kind, signal),
                None => Signal::parse_line(signal, None),
            },
            Named::Unknown => Err(SignalError::UnknownType(name(kind))),
        };
        let signal = parsed.map_err(|error| bad(error.to_string()))?;
        let mut record = Record::share(place, vec![signal]);
        let text = |column| field(column).map(|text: &str| Some(name(text)).filter(|text| !text.is_empty()));
        (record.member, record.note, record.key) = (text(columns.source)?, text(columns.note)?, text(columns.id)?);
        record.tags = field(columns.tags)?.split_whitespace().map(name).collect();
        let added_on = field(columns.added_on)?;
        if !added_on.is_empty() {
            // pytx writes what its server sends: RFC 3339 with a colon or without one in the offset, or seconds.
            record.added_on = super::time(added_on);
        }
        match field(columns.category)? {
            "" => {}
            label => match opinion(label) {
                Some(opinion) => {
                    record.vouched = opinion != Some(Opinion::Dispute);
                    record.opinions.extend(opinion.map(|opinion| StatedOpinion {
                        member: record.member.clone().unwrap_or_default(),
                        opinion,
                        about: None,
                    }));
                }
                None => match label.parse() {
                    Ok(category) => record.category = Some(category),
                    Err(error) => return Err(bad(format!("{error}"))),
                },
            },
        }
        record.change = match field(columns.deleted)?.to_ascii_lowercase().as_str() {
            "" | "false" | "0" => Change::Share,
            "true" | "1" => Change::Withdraw,
            _ => return Err(bad("deleted is true or false".to_owned())),
        };
        Ok(Entry::Record(Box::new(record)))
    };
    read().unwrap_or_else(|entry| entry)
}

/// pytx's opinion categories; `None` for what is none. (fetch_state.py, `SignalOpinionCategory`.)
fn opinion(label: &str) -> Option<Option<Opinion>> {
    match label {
        "POSITIVE_CLASS" => Some(Some(Opinion::Confirm)),
        "NEGATIVE_CLASS" => Some(Some(Opinion::Dispute)),
        "INVESTIGATION_SEED" | "DISPUTED" => Some(None),
        _ => None,
    }
}

/// The header of [`write`].
pub(super) fn begin(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "signal_type,signal,category,source,note,id,added_on,tags")
}

pub(super) fn write(item: &Item, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = csv::WriterBuilder::new().terminator(Terminator::Any(b'\n')).from_writer(out);
    let category = item.category.map(HarmCategory::as_str).unwrap_or_default();
    let (id, added_on, tags) = (item.id.to_string(), item.added_on.map(|at| at.to_string()).unwrap_or_default(), item.tags.join(" "));
    for signal in &item.signals {
        let text = signal.to_text();
        let source = item.source.as_deref().unwrap_or_default();
        let note = item.note.as_deref().unwrap_or_default();
        writer.write_record([signal.kind().as_str(), &text, category, source, note, &id, &added_on, &tags])?;
    }
    writer.flush()
}
