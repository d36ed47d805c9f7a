//! JSON as callers send it: strict, and with errors that name the place.
//!
//! serde reads a struct from an array too (`["hello"]` for `{"text": "hello"}`). That is no part of the contract, so [`object`] and its kin take
//! objects alone.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::error::ApiError;
use crate::domain::text;

/// Reads one JSON object; depth is bounded by `serde_json` (128). A byte order mark in front is passed over.
///
/// # Errors
/// 400 with the JSON path, e.g. `attachment.conversation.messages[3].time: …`.
pub(super) fn parse<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, ApiError> {
    read(bytes, MOST_VALUES, "")
}

/// The same where a file could stand in the place of the JSON.
///
/// # Errors
/// 400; of what is no JSON at all, or JSON of another kind, it says how a file is sent.
pub(super) fn parse_no_file<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, ApiError> {
    read(bytes, MOST_VALUES, FILES)
}

/// The same where a text, a conversation or a file could stand.
///
/// # Errors
/// 400; it also says how a text and a conversation are sent, so that nobody sends them as a file, which is hashed and not read.
pub(super) fn parse_attachment<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, ApiError> {
    read(bytes, MOST_OF_ATTACHMENTS, TEXTS_AND_FILES)
}

/// Values of a body: two bytes of JSON may become a hundred of memory.
const MOST_VALUES: usize = 1 << 20;
/// The same where a conversation stands, which may be configured to have a million messages, and whose values take less.
const MOST_OF_ATTACHMENTS: usize = 8 << 20;

/// What somebody has to know who sent a file as `application/json`.
const FILES: &str = ". A file, a JSON file too, needs another Content-Type than application/json: its own, or application/octet-stream";

/// What somebody has to know whose JSON is none of an attachment.
const TEXTS_AND_FILES: &str = ". A text in JSON is {\"attachment\": {\"text\": \"…\"}}, a chat {\"attachment\": {\"conversation\": {\"messages\": [{\"author\", \"text\"}]}}}, \
    and a bare text has the Content-Type text/plain. Only a file that is to be looked up by its digests, a JSON file too, needs another Content-Type than application/json: its own, \
    or application/octet-stream";

fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8], most: usize, files: &str) -> Result<T, ApiError> {
    if bytes.is_empty() {
        return Err(ApiError::malformed("the body is empty"));
    }
    let bytes = text::unmarked(bytes);
    if text::has_more_values(bytes, most) {
        return Err(ApiError::too_large(format!("the body has more than {most} values; send it in parts")));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let Object(value) = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.inner());
        let whole = path == "." || path == "?";
        // `serde_json` has no other name for it.
        let told = inner.to_string();
        if !whole && inner.is_syntax() && ["surrogate", "hex escape", "unicode code point"].iter().any(|words| told.contains(words)) {
            let why =
                "is no Unicode (bytes that are no UTF-8, or half a surrogate), and only texts and authors of an attachment are repaired";
            return ApiError::malformed(format!("{path}: {why}: {told}"));
        }
        // JSON of something else begins with a key that no body of ours has.
        let foreign = !path.contains(['.', '[']) && told.starts_with("unknown field");
        let files = if whole || foreign || !inner.is_data() { files } else { "" };
        ApiError::malformed(format!("{}: {told}{files}", if whole { "the body" } else { &path }))
    })?;
    json.end().map_err(|error| ApiError::malformed(format!("after the body: {error}{files}")))?;
    // Strings are checked as they are read, except those that are repaired.
    match text::bare_control(bytes) {
        None => Ok(value),
        Some(at) => Err(ApiError::malformed(format!("the body: byte {at} is a control character inside a string; JSON wants it escaped"))),
    }
}

/// A `T` that was written as an object.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

/// For `#[serde(deserialize_with)]`: an object.
pub(super) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

/// For `#[serde(deserialize_with)]`: an object or null.
pub(super) fn optional_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::<Object<T>>::deserialize(deserializer).map(|value| value.map(|Object(value)| value))
}

/// For `#[serde(deserialize_with)]`: an array of objects.
pub(super) fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Vec::<Object<T>>::deserialize(deserializer).map(|values| values.into_iter().map(|Object(value)| value).collect())
}

/// For `#[serde(deserialize_with)]`: an array of objects, of which one more than `MOST` are kept, for the caller to refuse.
pub(super) fn first_objects<'de, const MOST: usize, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct First<const MOST: usize, T>(PhantomData<T>);
    impl<'de, const MOST: usize, T: Deserialize<'de>> Visitor<'de> for First<MOST, T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of objects")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Vec<T>, A::Error> {
            let mut kept = Vec::new();
            while kept.len() <= MOST {
                match array.next_element::<Object<T>>()? {
                    Some(Object(value)) => kept.push(value),
                    None => return Ok(kept),
                }
            }
            while array.next_element::<IgnoredAny>()?.is_some() {}
            Ok(kept)
        }
    }
    deserializer.deserialize_seq(First::<MOST, T>(PhantomData))
}
