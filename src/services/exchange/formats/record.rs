//! What the formats have in common.

use std::{fmt, io};

use crate::domain::{
    bank::{HarmCategory, Opinion},
    signal::{Signal, SignalType},
    time::Timestamp,
};

/// Where in the input something is: the line (from 1) and the bytes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: u64,
    pub byte: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} (byte {})", self.line, self.byte)
    }
}

/// One thing that an input says.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    Record(Box<Record>),
    /// A signal of a type that is not matched here; the name as it was given, cut to what a name can be.
    Skipped(String),
    /// What cannot be read; the rest can.
    Bad(Bad),
}

/// A record, or a signal of one, that cannot be read. Never holds the signal itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    pub place: Place,
    pub reason: String,
}

/// What is said of one item.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub place: Place,
    pub change: Change,
    /// The signals of the item; a withdrawal may have none and names the item by its key.
    pub signals: Vec<Signal>,
    /// The name of the record where it comes from: later records with this key replace it.
    pub key: Option<String>,
    /// What feedback on it has to name there, when that is not the key.
    pub reference: Option<String>,
    pub category: Option<HarmCategory>,
    /// Who shared it, within the list: a member's name or number.
    pub member: Option<String>,
    pub note: Option<String>,
    pub added_on: Option<Timestamp>,
    pub tags: Vec<String>,
    pub opinions: Vec<StatedOpinion>,
    /// Whether somebody shares it, with or without an opinion: being on a list is its member's word, except where the list says that it is a counter-claim.
    pub vouched: bool,
}

/// Whether an item is on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Share,
    /// It was deleted or withdrawn.
    Withdraw,
}

/// What a member of an exchange thinks of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedOpinion {
    pub member: String,
    pub opinion: Opinion,
    /// The signal type it is about; `None` is the item.
    pub about: Option<SignalType>,
}

impl Record {
    /// A record of these signals and nothing else.
    pub fn share(place: Place, signals: Vec<Signal>) -> Self {
        Self {
            place,
            change: Change::Share,
            signals,
            key: None,
            reference: None,
            category: None,
            member: None,
            note: None,
            added_on: None,
            tags: Vec::new(),
            opinions: Vec::new(),
            vouched: true,
        }
    }

    /// Whether all who speak of it say that it does not belong on the list. pytx's NEGATIVE_CLASS; with one other voice it is only disputed.
    pub fn is_opposed(&self) -> bool {
        let says = |wanted: Opinion| self.opinions.iter().any(|stated| stated.opinion == wanted);
        !self.vouched && says(Opinion::Dispute) && !says(Opinion::Confirm)
    }
}

/// The input cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Mend the text there.
    #[error("{place}: {reason}; nothing behind it was read")]
    Malformed { place: Place, reason: String },
    /// The file or stream failed.
    #[error("reading stopped: {0}")]
    Io(#[source] io::Error),
    /// It does not look like any format.
    #[error("the format cannot be told from the first bytes; name it with --format")]
    Unknown,
}

impl FormatError {
    /// An error of a reader: a bound that was hit is the input's fault.
    pub(super) fn of(error: io::Error, place: Place) -> Self {
        if error.kind() == io::ErrorKind::InvalidData { Self::Malformed { place, reason: error.to_string() } } else { Self::Io(error) }
    }
}

/// Takes what an input says, in its order. `false` ends the reading.
pub type Sink<'a> = &'a mut dyn FnMut(Entry) -> bool;

/// Characters of a name or note from outside that are kept.
const LONGEST_NAME: usize = 128;

/// A name from outside, cut.
pub(super) fn name(text: &str) -> String {
    text.trim().chars().filter(|character| !character.is_control()).take(LONGEST_NAME).collect()
}

/// The category of a label that lists use; what is none of the four is `Other`.
pub(super) fn category(label: &str) -> HarmCategory {
    label.trim().to_ascii_uppercase().parse().unwrap_or(HarmCategory::Other)
}

/// How a signal type is named in lists.
pub(super) enum Named {
    Matched(SignalType),
    /// Exists, and is not matched here.
    Unmatched,
    /// Never heard of.
    Unknown,
}

/// Types of other systems that are not matched here: pytx 1.2.16's own and its extensions, and NCMEC's fingerprints.
const UNMATCHED: [&str; 21] = [
    "raw_text",
    "trend_query",
    "url",
    "url_md5",
    "vpdq",
    "video_vpdq",
    "pdq_ocr",
    "text_tlsh",
    "tlsh_pdf",
    "clip",
    "iwf",
    "tmk",
    "tmk_pdqf",
    "video_tmk_pdqf",
    "netclean",
    "videntifier",
    "ssvh_pdna",
    "ssvh_safer_hash",
    "phash",
    "ahash",
    "dhash",
];

/// The type of a name in any case, with `-` or `_`; `video_md5` is HMA's name for an MD5, `pdna` NCMEC's for PhotoDNA.
pub(super) fn signal_type(text: &str) -> Named {
    let known = text.trim().to_ascii_lowercase();
    let matched = match known.as_str() {
        "video_md5" | "video-md5" => Some(SignalType::Md5),
        "video_sha256" => Some(SignalType::Sha256),
        "pdna" | "photo_dna" => Some(SignalType::PhotoDna),
        "sha-1" => Some(SignalType::Sha1),
        "sha-256" => Some(SignalType::Sha256),
        other => other.parse().ok(),
    };
    match matched {
        Some(kind) => Named::Matched(kind),
        None if UNMATCHED.contains(&known.replace('-', "_").as_str()) => Named::Unmatched,
        None => Named::Unknown,
    }
}
