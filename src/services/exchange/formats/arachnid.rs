//! Project Arachnid's digests: SHA-1 in base32 (RFC 4648, without padding), SHA-256 in hex, PDQ in base64.
//!
//! No layout for lists is published; taken are those that its API's answers suggest, one item each: JSON lines `{"sha1_base32", "sha256_hex",
//! "pdq_base64", "md5_hex", "classification"}`, or CSV with columns of these names. Each field but one may be missing. A classification of
//! `no-known-match` is skipped; `csam` says no category, `harmful-abusive-material` is `other`; both are kept as tags, and written the same way.

use std::io::{self, BufRead, Read, Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use data_encoding::BASE32_NOPAD;
use serde::Deserialize;
use serde_json::json;

use super::{
    meter::{LONGEST, Metered},
    record::{Bad, Entry, FormatError, Place, Record, Sink, name},
    write::Item,
};
use crate::domain::{
    bank::HarmCategory,
    signal::{Signal, SignalType},
};

/// Classifications.
const CSAM: &str = "csam";
const OTHER: &str = "harmful-abusive-material";

#[derive(Deserialize, Default)]
#[serde(default)]
struct Listed {
    #[serde(deserialize_with = "present")]
    sha1_base32: String,
    #[serde(deserialize_with = "present")]
    sha256_hex: String,
    #[serde(deserialize_with = "present")]
    md5_hex: String,
    #[serde(deserialize_with = "present")]
    pdq_base64: String,
    #[serde(deserialize_with = "present")]
    classification: String,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default().trim().to_owned())
}

impl Listed {
    fn entry(&self, place: Place) -> Entry {
        if self.classification == "no-known-match" {
            return Entry::Skipped(self.classification.clone());
        }
        match self.signals() {
            Ok(signals) if signals.is_empty() => bad(place, "the line has no digest"),
            Ok(signals) => {
                let mut record = Record::share(place, signals);
                if !self.classification.is_empty() {
                    record.tags.push(name(&self.classification));
                    record.category = (self.classification == OTHER).then_some(HarmCategory::Other);
                }
                Entry::Record(Box::new(record))
            }
            Err(reason) => bad(place, reason),
        }
    }

    fn signals(&self) -> Result<Vec<Signal>, String> {
        let mut signals = Vec::new();
        if !self.sha1_base32.is_empty() {
            let upper = self.sha1_base32.trim_end_matches('=').to_ascii_uppercase();
            let bytes = BASE32_NOPAD.decode(upper.as_bytes()).ok();
            let signal = bytes.and_then(|bytes| Signal::from_parts(SignalType::Sha1, &bytes));
            signals.push(signal.ok_or("sha1_base32 is 32 characters of base32")?);
        }
        for (kind, text) in [(SignalType::Sha256, &self.sha256_hex), (SignalType::Md5, &self.md5_hex)] {
            if !text.is_empty() {
                signals.push(Signal::parse(kind, text).map_err(|error| error.to_string())?);
            }
        }
        if !self.pdq_base64.is_empty() {
            let bytes = STANDARD.decode(&self.pdq_base64).ok();
            let signal = bytes.and_then(|bytes| Signal::from_parts(SignalType::Pdq, &bytes));
            signals.push(signal.ok_or("pdq_base64 is 32 bytes in base64")?);
        }
        Ok(signals)
    }
}

fn bad(place: Place, reason: impl Into<String>) -> Entry {
    Entry::Bad(Bad { place, reason: reason.into() })
}

pub(super) fn read(mut input: impl BufRead, sink: Sink<'_>) -> Result<(), FormatError> {
    let first = input.fill_buf().map_err(FormatError::Io)?.iter().copied().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(b'{') { read_lines(input, sink) } else { read_table(input, sink) }
}

fn read_lines(input: impl BufRead, sink: Sink<'_>) -> Result<(), FormatError> {
    let (mut input, meter) = Metered::new(input);
    let mut line = Vec::new();
    loop {
        let place = meter.place();
        meter.reset();
        line.clear();
        let taken = Read::take(&mut input, LONGEST).read_until(b'\n', &mut line).map_err(|error| FormatError::of(error, place))?;
        if taken == 0 {
            return Ok(());
        }
        if taken as u64 == LONGEST && line.last() != Some(&b'\n') {
            return Err(FormatError::Malformed { place, reason: format!("longer than {LONGEST} bytes") });
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let entry = match serde_json::from_slice::<Listed>(&line) {
            Ok(listed) => listed.entry(place),
            Err(_) => bad(place, "not an object of JSON with the fields of the format"),
        };
        if !sink(entry) {
            return Ok(());
        }
    }
}

fn read_table(input: impl BufRead, sink: Sink<'_>) -> Result<(), FormatError> {
    let (input, meter) = Metered::new(input);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input);
    let header = reader.byte_headers().map_err(|error| table_error(error, meter.place()))?.clone();
    let mut row = csv::ByteRecord::new();
    loop {
        let place = Place { line: reader.position().line(), byte: reader.position().byte() };
        meter.reset();
        if !reader.read_byte_record(&mut row).map_err(|error| table_error(error, place))? {
            return Ok(());
        }
        let entry = match row.deserialize::<Listed>(Some(&header)) {
            Ok(listed) => listed.entry(place),
            Err(_) => bad(place, "not UTF-8 text"),
        };
        if !sink(entry) {
            return Ok(());
        }
    }
}

fn table_error(error: csv::Error, place: Place) -> FormatError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => FormatError::of(error, place),
        other => FormatError::Malformed { place, reason: format!("{other:?}") },
    }
}

/// One line of JSON for each item; PhotoDNA and embeddings are left out, and so is an item without other signals.
pub(super) fn write(item: &Item, out: &mut dyn Write) -> io::Result<()> {
    // A field each: of two signals of a type the second needs a line of its own.
    let mut lines: Vec<serde_json::Map<String, serde_json::Value>> = Vec::new();
    for signal in &item.signals {
        let bytes = signal.to_bytes();
        let (field, text) = match signal.kind() {
            SignalType::Sha1 => ("sha1_base32", BASE32_NOPAD.encode(&bytes)),
            SignalType::Sha256 => ("sha256_hex", signal.to_text()),
            SignalType::Md5 => ("md5_hex", signal.to_text()),
            SignalType::Pdq => ("pdq_base64", STANDARD.encode(&bytes)),
            SignalType::PhotoDna | SignalType::Embedding(_) => continue,
        };
        match lines.iter_mut().find(|line| !line.contains_key(field)) {
            Some(line) => drop(line.insert(field.to_owned(), text.into())),
            None => lines.push([(field.to_owned(), json!(text))].into_iter().collect()),
        }
    }
    for mut line in lines {
        line.insert("classification".to_owned(), if item.category == Some(HarmCategory::Other) { OTHER } else { CSAM }.into());
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
