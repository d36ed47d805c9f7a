//! NCMEC Hash Sharing v2: XML in the namespace `https://hashsharing.ncmec.org/hashsharing/v2`.
//!
//! `queryResult` holds `images` and `videos`; in them `image`, `video`, `deletedImage` and `deletedVideo` with `member@id`, `id`, `timestamp`,
//! `classification`, `fingerprints` and `feedback`; after them `paging/next`. The key of a record is `member/id`. Fingerprints md5, sha1, sha256, pdq and
//! pdna are read; large ones that are only referred to, and types that are not matched here, are skipped and counted.
//!
//! A document type is refused before anything in it is read, so there are no entities to expand; tags nest at most `DEEPEST` deep, and one entry has at
//! most a megabyte.

use std::io::{self, BufRead, Write};

use quick_xml::{
    Reader,
    escape::escape,
    events::{BytesStart, Event},
};

use super::{
    meter::{Meter, Metered},
    record::{Bad, Change, Entry, FormatError, Named, Place, Record, Sink, StatedOpinion, category, name, signal_type},
    write::Item,
};
use crate::domain::{bank::Opinion, signal::Signal, time::Timestamp};

/// `queryResult/images/image/feedback/negativeFeedback/reasons/members/member` is 8.
const DEEPEST: usize = 16;

const NAMESPACE: &str = "https://hashsharing.ncmec.org/hashsharing/v2";

/// What a page says beside its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Path and query of the next page, relative to the environment's base.
    pub next: Option<String>,
    /// Records in it, skipped and bad ones not counted.
    pub records: u64,
}

/// One entry on its way.
struct Draft {
    deleted: bool,
    record: Record,
    entries: Vec<Entry>,
    id: String,
    /// Type and sense of the feedback that is being read.
    feedback: Option<(String, Opinion)>,
}

impl Draft {
    fn new(tag: &str, place: Place) -> Self {
        Self {
            deleted: tag.starts_with("deleted"),
            record: Record::share(place, Vec::new()),
            entries: Vec::new(),
            id: String::new(),
            feedback: None,
        }
    }

    /// An element within the entry ends; `path` begins below the entry and ends with it.
    fn text(&mut self, path: &[String], text: &str) {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        match names[..] {
            ["id"] => self.id = name(text),
            ["classification"] if !text.is_empty() => {
                self.record.category = Some(category(text));
                self.record.tags.push(name(text));
            }
            ["timestamp"] => self.record.added_on = super::time(text),
            ["fingerprints", kind] => self.fingerprint(kind, text),
            _ => {}
        }
    }

    fn fingerprint(&mut self, kind: &str, text: &str) {
        let parsed = match signal_type(kind) {
            // A large fingerprint is a link without text.
            _ if text.is_empty() => return self.entries.push(Entry::Skipped(name(kind))),
            Named::Matched(kind) => Signal::parse(kind, text),
            Named::Unmatched | Named::Unknown => return self.entries.push(Entry::Skipped(name(kind))),
        };
        match parsed {
            Ok(signal) => self.record.signals.push(signal),
            Err(error) => self.entries.push(Entry::Bad(Bad { place: self.record.place, reason: error.to_string() })),
        }
    }

    fn member(&mut self, path: &[String], id: &str) {
        if path.len() == 1 {
            self.record.member = Some(name(id));
        } else if let Some((kind, opinion)) = &self.feedback {
            let about = match signal_type(kind) {
                Named::Matched(kind) => Some(kind),
                _ => return, // about a fingerprint that is not matched here
            };
            self.record.opinions.push(StatedOpinion { member: name(id), opinion: *opinion, about });
        }
    }

    fn finish(mut self) -> Vec<Entry> {
        let place = self.record.place;
        match &self.record.member {
            Some(member) if !self.id.is_empty() => {
                self.record.key = Some(format!("{member}/{}", self.id));
                if self.deleted {
                    self.record.change = Change::Withdraw;
                }
                if self.deleted || !self.record.signals.is_empty() {
                    self.entries.push(Entry::Record(Box::new(self.record)));
                }
            }
            _ => self.entries.push(Entry::Bad(Bad { place, reason: "an entry needs member@id and id".to_owned() })),
        }
        self.entries
    }
}

struct Walk<'a> {
    meter: Meter,
    sink: Sink<'a>,
    path: Vec<String>,
    text: String,
    draft: Option<Draft>,
    page: Page,
    on: bool,
}

/// Depth of an entry: `queryResult/images/image`.
const ENTRY: usize = 3;

impl Walk<'_> {
    fn malformed<T>(&self, reason: impl Into<String>) -> Result<T, FormatError> {
        Err(FormatError::Malformed { place: self.meter.place(), reason: reason.into() })
    }

    fn start(&mut self, tag: &BytesStart<'_>) -> Result<(), FormatError> {
        let local = tag.local_name().into_inner().to_owned();
        if self.path.is_empty() && local != "queryResult" {
            return self.malformed(format!("the document is a {}, not a queryResult", name(&local)));
        }
        if self.path.len() == DEEPEST {
            return self.malformed(format!("tags nest more than {DEEPEST} deep"));
        }
        self.path.push(local);
        self.text.clear();
        let (depth, here) = (self.path.len(), self.path.last().map(String::as_str).unwrap_or_default());
        if depth == ENTRY && matches!(here, "image" | "video" | "deletedImage" | "deletedVideo") {
            self.draft = Some(Draft::new(here, self.meter.place()));
            return Ok(());
        }
        let attribute = |wanted: &str| {
            let found = tag.attributes().filter_map(Result::ok).find(|attribute| attribute.key.into_inner() == wanted);
            found.map(|attribute| attribute.value.into_owned())
        };
        if let Some(draft) = self.draft.as_mut() {
            match here {
                "member" => draft.member(&self.path[ENTRY..], &attribute("id").unwrap_or_default()),
                "affirmativeFeedback" => draft.feedback = attribute("type").map(|kind| (kind, Opinion::Confirm)),
                "negativeFeedback" => draft.feedback = attribute("type").map(|kind| (kind, Opinion::Dispute)),
                _ => {}
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        if let Some(draft) = self.draft.as_mut()
            && self.path.len() > ENTRY
        {
            draft.text(&self.path[ENTRY..], self.text.trim());
            if self.path.last().is_some_and(|tag| tag.ends_with("Feedback")) {
                draft.feedback = None;
            }
        } else if self.path.len() == ENTRY {
            if let Some(draft) = self.draft.take() {
                for entry in draft.finish() {
                    self.page.records += u64::from(matches!(entry, Entry::Record(_)));
                    self.on = self.on && (self.sink)(entry);
                }
            } else if self.path[1..] == ["paging", "next"] {
                self.page.next = Some(self.text.trim().to_owned()).filter(|next| !next.is_empty());
            }
            self.meter.reset();
        } else {
            self.meter.reset();
        }
        self.text.clear();
        self.path.pop();
    }
}

/// Reads one page, and gives what it says beside its entries.
pub fn read_page(input: impl BufRead, sink: Sink<'_>) -> Result<Page, FormatError> {
    let (input, meter) = Metered::new(input);
    let mut reader = Reader::from_reader(input);
    let mut walk = Walk { meter, sink, path: Vec::new(), text: String::new(), draft: None, page: Page::default(), on: true };
    let mut buffer = Vec::new();
    while walk.on {
        buffer.clear();
        let event = reader.read_event_into(&mut buffer);
        match event {
            Err(quick_xml::Error::Io(error)) => {
                return Err(FormatError::of(io::Error::new(error.kind(), error.to_string()), walk.meter.place()));
            }
            Err(error) => return walk.malformed(error.to_string()),
            Ok(Event::DocType(_)) => return walk.malformed("a document type is not allowed"),
            Ok(Event::Start(tag)) => walk.start(&tag)?,
            Ok(Event::Empty(tag)) => {
                walk.start(&tag)?;
                walk.end();
            }
            Ok(Event::End(_)) => walk.end(),
            Ok(Event::Text(text)) => walk.text.push_str(&text),
            Ok(Event::CData(data)) => walk.text.push_str(&data),
            Ok(Event::GeneralRef(reference)) => match resolved(&reference) {
                Some(text) => walk.text.push_str(&text),
                None => return walk.malformed("an entity that XML does not define itself"),
            },
            Ok(Event::Eof) if walk.path.is_empty() => break,
            Ok(Event::Eof) => return walk.malformed("the document ends in the middle"),
            Ok(Event::Decl(_) | Event::PI(_) | Event::Comment(_)) => {}
        }
    }
    Ok(walk.page)
}

/// The five entities of XML and character references; there are no others without a document type.
fn resolved(reference: &quick_xml::events::BytesRef<'_>) -> Option<String> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Some(character.to_string());
    }
    quick_xml::escape::resolve_predefined_entity(reference).map(str::to_owned)
}

pub(super) fn read(input: impl BufRead, sink: Sink<'_>) -> Result<(), FormatError> {
    read_page(input, sink).map(drop)
}

/// The head of a document that [`write`] goes on with and [`end`] ends. All items are images of member 0, this server; nothing in it is newer than now.
pub(super) fn begin(out: &mut dyn Write) -> io::Result<()> {
    let now = whole_seconds(Timestamp::now());
    write!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<queryResult xmlns=\"{NAMESPACE}\">\n<images maxTimestamp=\"{now}\">\n"
    )
}

/// The format has no fractions of a second.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.micros().div_euclid(1_000_000) * 1_000_000)
}

pub(super) fn write(item: &Item, out: &mut dyn Write) -> io::Result<()> {
    let signals: Vec<_> = item.signals.iter().filter_map(|signal| tag_of(signal).map(|tag| (tag, signal.to_text()))).collect();
    if signals.is_empty() {
        return Ok(());
    }
    let source = item.source.as_deref().unwrap_or_default();
    write!(out, "<image><member id=\"0\">{}</member>", escape(source))?;
    if let Some(at) = item.added_on {
        write!(out, "<timestamp>{}</timestamp>", whole_seconds(at))?;
    }
    write!(out, "<id>{}</id>", item.id)?;
    if let Some(category) = item.category {
        write!(out, "<classification>{category}</classification>")?;
    }
    out.write_all(b"<fingerprints>")?;
    signals.iter().try_for_each(|(tag, text)| write!(out, "<{tag}>{text}</{tag}>"))?;
    out.write_all(b"</fingerprints></image>\n")
}

pub(super) fn end(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"</images>\n</queryResult>\n")
}

/// The element of a fingerprint; `None` for types that the format does not have.
fn tag_of(signal: &Signal) -> Option<&'static str> {
    match signal {
        Signal::Md5(_) => Some("md5"),
        Signal::Sha1(_) => Some("sha1"),
        Signal::Sha256(_) => Some("sha256"),
        Signal::Pdq(_) => Some("pdq"),
        Signal::PhotoDna(_) => Some("pdna"),
        Signal::Embedding(..) => None,
    }
}

/// What NCMEC calls the fingerprint in the path of a feedback: `MD5`, `SHA1`, `PDQ`, `PDNA`.
pub fn fingerprint_of(signal: &Signal) -> Option<String> {
    tag_of(signal).map(str::to_ascii_uppercase)
}

/// The body of a feedback.
pub fn feedback(opinion: Opinion, reason: Option<&str>) -> String {
    let vote = match (opinion, reason) {
        (Opinion::Confirm, _) => "<affirmative/>".to_owned(),
        (Opinion::Dispute, None) => "<negative/>".to_owned(),
        (Opinion::Dispute, Some(reason)) => format!("<negative><reasonIds><guid>{}</guid></reasonIds></negative>", escape(reason)),
    };
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<feedbackSubmission xmlns=\"{NAMESPACE}\">{vote}</feedbackSubmission>")
}

/// The reasons that a negative feedback may name: GUID and text (`availableFeedbackReasons/reason`), at most 256.
pub fn reasons(input: &[u8]) -> Result<Vec<(String, String)>, FormatError> {
    let (input, meter) = Metered::new(input);
    let mut reader = Reader::from_reader(input);
    let (mut buffer, mut found) = (Vec::new(), Vec::new());
    loop {
        buffer.clear();
        match reader.read_event_into(&mut buffer) {
            Ok(Event::Start(tag) | Event::Empty(tag)) if tag.local_name().into_inner() == "reason" && found.len() < 256 => {
                let attribute = |wanted: &str| {
                    let found = tag.attributes().filter_map(Result::ok).find(|attribute| attribute.key.into_inner() == wanted);
                    found.map(|attribute| name(&attribute.value))
                };
                found.extend(attribute("guid").zip(attribute("name")));
            }
            Ok(Event::DocType(_)) => {
                return Err(FormatError::Malformed { place: meter.place(), reason: "a document type is not allowed".to_owned() });
            }
            Ok(Event::Eof) => return Ok(found),
            Ok(_) => {}
            Err(error) => return Err(FormatError::Malformed { place: meter.place(), reason: error.to_string() }),
        }
    }
}
