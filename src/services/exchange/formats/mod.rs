//! Hash lists as files and as pages of an API: readers and writers of seven formats.
//!
//! | name | what |
//! | --- | --- |
//! | `lines` | HMA's and pytx's local files, `signal_type signal` or bare |
//! | `csv` | columns by name, or pytx's rows |
//! | `ncmec` | NCMEC Hash Sharing v2, XML |
//! | `threatexchange` | `threat_updates`, JSON |
//! | `stopncii` | StopNCII v1, JSON |
//! | `tat` | Tech Against Terrorism's hash list v2, JSON |
//! | `arachnid` | Project Arachnid's digests, JSON lines or CSV |
//!
//! A reader hands on what it reads record by record and never holds more than one: a list may have any length, one record at most a megabyte. What
//! cannot be read is told with its place, and the rest is read; only where the text itself is broken (XML, JSON, CSV) nothing behind it is. Signals of types
//! that are not matched here are counted, not refused: lists are made for others too. Deletions are records.
//!
//! No message holds a hash.
//!
//! ```
//! use nightlight::services::exchange::formats::{Entry, Format, read};
//! let list = b"pdq f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22\nraw_text some words\npdq 12\n";
//! let mut entries = Vec::new();
//! read(Format::Lines, &list[..], None, &mut |entry| {
//!     entries.push(entry);
//!     true
//! })?;
//! assert!(matches!(&entries[..], [Entry::Record(_), Entry::Skipped(_), Entry::Bad(bad)] if bad.place.line == 3));
//! # Ok::<(), nightlight::services::exchange::formats::FormatError>(())
//! ```

mod arachnid;
mod json;
mod lines;
mod meter;
pub mod ncmec;
mod record;
pub mod stopncii;
mod table;
pub mod tat;
#[cfg(test)]
mod tests;
pub mod threatexchange;
mod write;

use std::io::BufRead;

pub use self::{
    json::Fields,
    record::{Bad, Change, Entry, FormatError, Place, Record, Sink, StatedOpinion},
    write::{Item, Writer},
};
use crate::domain::{
    signal::{Signal, SignalType},
    time::Timestamp,
};

/// A format by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Lines,
    Csv,
    Ncmec,
    ThreatExchange,
    StopNcii,
    Tat,
    Arachnid,
}

/// No such format.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no format; one of lines, csv, ncmec, threatexchange, stopncii, tat, arachnid")]
pub struct UnknownFormat(String);

impl Format {
    /// All formats.
    pub const ALL: [Self; 7] = [Self::Lines, Self::Csv, Self::Ncmec, Self::ThreatExchange, Self::StopNcii, Self::Tat, Self::Arachnid];

    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Csv => "csv",
            Self::Ncmec => "ncmec",
            Self::ThreatExchange => "threatexchange",
            Self::StopNcii => "stopncii",
            Self::Tat => "tat",
            Self::Arachnid => "arachnid",
        }
    }

    /// Whether a list in this format says of everything in it that it is harmful: all but those of plain signals are made for that.
    pub const fn accuses(self) -> bool {
        !matches!(self, Self::Lines | Self::Csv)
    }

    /// The format of a list that begins with `head`: some hundred bytes, or all there are. `None` when nothing is there.
    pub fn detect(head: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(head);
        let text = text.trim_start_matches('\u{feff}').trim_start();
        match text.chars().next()? {
            '<' => Some(Self::Ncmec),
            '{' | '[' => {
                let has = |names: &[&str]| names.iter().any(|name| text.contains(&format!("\"{name}\"")));
                [
                    (Self::StopNcii, &["hashRecords", "hashValue", "nextSetTimestamp"][..]),
                    (Self::Tat, &["hash_digest", "results"]),
                    (Self::Arachnid, &["sha1_base32", "sha256_hex", "pdq_base64", "md5_hex"]),
                    (Self::ThreatExchange, &["indicator", "should_delete", "descriptors", "data"]),
                ]
                .into_iter()
                .find(|(_, names)| has(names))
                .map(|(format, _)| format)
            }
            _ => {
                let header = text.lines().next().unwrap_or_default().to_ascii_lowercase();
                let has = |names: &[&str]| header.split(',').any(|column| names.contains(&column.trim().trim_matches('"')));
                if has(&["sha1_base32", "sha256_hex", "pdq_base64"]) {
                    Some(Self::Arachnid)
                } else if has(&["signal", "signal_str"]) {
                    Some(Self::Csv)
                } else {
                    Some(Self::Lines)
                }
            }
        }
    }

    /// Whether the format can hold such a signal.
    fn has(self, signal: &Signal) -> bool {
        let kind = signal.kind();
        match self {
            Self::Lines | Self::Csv => true,
            Self::Ncmec => !matches!(kind, SignalType::Embedding(_)),
            Self::ThreatExchange | Self::Tat | Self::Arachnid => !matches!(kind, SignalType::PhotoDna | SignalType::Embedding(_)),
            Self::StopNcii => matches!(kind, SignalType::Pdq | SignalType::Md5),
        }
    }
}

impl std::str::FromStr for Format {
    type Err = UnknownFormat;
    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

/// Reads a list to its end, or until `sink` has enough. `default` is the type of signals that do not say theirs.
///
/// # Errors
/// [`FormatError`] where the input cannot be read any further; what was read before has been handed on.
pub fn read(format: Format, input: impl BufRead, default: Option<SignalType>, sink: Sink<'_>) -> Result<(), FormatError> {
    match format {
        Format::Lines => lines::read(input, default, sink),
        Format::Csv => table::read(input, default, sink),
        Format::Ncmec => ncmec::read(input, sink),
        Format::ThreatExchange => threatexchange::read(input, sink),
        Format::StopNcii => stopncii::read(input, sink),
        Format::Tat => tat::read(input, sink),
        Format::Arachnid => arachnid::read(input, sink),
    }
}

/// The signal type of a name as lists write it (`video_md5`, `pdna`, …), if it is matched here.
pub fn signal_type_named(text: &str) -> Option<SignalType> {
    match record::signal_type(text) {
        record::Named::Matched(kind) => Some(kind),
        record::Named::Unmatched | record::Named::Unknown => None,
    }
}

/// A time as lists write it: RFC 3339, the same with `+0000`, or seconds since 1970. `None` for others: a list is worth more than its dates.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    if let Some(utc) = text.strip_suffix("+0000") {
        return format!("{utc}Z").parse().ok();
    }
    let seconds: f64 = text.parse().ok()?;
    seconds.is_finite().then(|| Timestamp::from_micros((seconds * 1e6) as i64))
}
