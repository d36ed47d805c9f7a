//! JSON lists of any length, one element at a time: `{"name of the list": [...], other fields}` or the list alone; several documents may follow one another.

use std::{fmt, io::BufRead};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{
    meter::{Meter, Metered},
    record::{Bad, Entry, FormatError, Place, Sink},
};

/// Fields of a document beside its list; larger ones are not kept.
pub type Fields = Map<String, Value>;

/// Turns one element into entries.
pub(super) type Convert<'a> = &'a dyn Fn(Place, Value) -> Result<Vec<Entry>, String>;

/// The text with which a reading that the sink ended unwinds; never shown.
const ENDED: &str = "ended by the caller";

struct Document<'a, 'b> {
    list: &'a str,
    meter: Meter,
    convert: Convert<'a>,
    sink: &'a mut dyn FnMut(Entry) -> bool,
    fields: &'b mut Fields,
    /// Whether a list was found.
    found: &'b mut bool,
}

impl<'de> DeserializeSeed<'de> for Document<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list, or an object with the list {:?}", self.list)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { list, meter, convert, sink, fields, found } = self;
        while let Some(key) = map.next_key::<String>()? {
            if key == list {
                *found = true;
                map.next_value_seed(Elements { meter: meter.clone(), convert, sink: &mut *sink })?;
            } else if fields.len() < 64 {
                fields.insert(key, map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            meter.reset();
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        *self.found = true;
        Elements { meter: self.meter, convert: self.convert, sink: self.sink }.visit_seq(seq)
    }
}

struct Elements<'a> {
    meter: Meter,
    convert: Convert<'a>,
    sink: &'a mut dyn FnMut(Entry) -> bool,
}

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        loop {
            let place = self.meter.place();
            let Some(value) = seq.next_element::<Value>()? else { return Ok(()) };
            self.meter.reset();
            if !give(self.convert, place, value, self.sink) {
                return Err(A::Error::custom(ENDED));
            }
        }
    }
}

/// Hands on what one element says; `false` when the sink has enough.
fn give(convert: Convert<'_>, place: Place, value: Value, sink: Sink<'_>) -> bool {
    match convert(place, value) {
        Ok(entries) => entries.into_iter().all(&mut *sink),
        Err(reason) => sink(Entry::Bad(Bad { place, reason })),
    }
}

/// Reads all documents; gives the fields of the last that stand beside the list.
pub(super) fn read(input: impl BufRead, list: &str, convert: Convert<'_>, sink: Sink<'_>) -> Result<Fields, FormatError> {
    let (mut input, meter) = Metered::new(input);
    let (mut fields, mut found) = (Fields::new(), false);
    while more(&mut input).map_err(|error| FormatError::of(error, meter.place()))? {
        fields.clear();
        let mut deserializer = serde_json::Deserializer::from_reader(&mut input);
        let document = Document { list, meter: meter.clone(), convert, sink: &mut *sink, fields: &mut fields, found: &mut found };
        match document.deserialize(&mut deserializer) {
            Ok(()) => {}
            Err(error) if error.to_string().starts_with(ENDED) => return Ok(fields),
            Err(error) if error.is_io() => return Err(FormatError::of(error.into(), meter.place())),
            Err(error) => return Err(FormatError::Malformed { place: meter.place(), reason: reason(&error) }),
        }
    }
    if !found {
        return Err(FormatError::Malformed { place: meter.place(), reason: format!("there is no list {list:?}") });
    }
    Ok(fields)
}

/// serde_json's text without its own position, which counts from the document's start.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(text, _)| text.to_owned())
}

/// Whether anything but space follows.
fn more(input: &mut impl BufRead) -> std::io::Result<bool> {
    loop {
        let buffer = input.fill_buf()?;
        let blank = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let (end, rest) = (buffer.is_empty(), blank < buffer.len());
        input.consume(blank);
        if end || rest {
            return Ok(rest);
        }
    }
}

/// An element as `T`, or why it is none.
pub(super) fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| withheld(&error))
}

/// The text of a failed conversion may hold the value: a hash does not belong into a message.
fn withheld(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let Some(rest) = text.strip_prefix("invalid ") else { return text };
    let wanted = rest.rsplit_once(", expected ").map(|(_, wanted)| wanted).unwrap_or_default();
    format!("a field has a wrong type or value, expected {wanted}")
}
