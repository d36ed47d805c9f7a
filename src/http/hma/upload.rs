//! Content that a caller sends: one file in a form, whose field says what it is, with other fields beside it.

use axum::{
    body::Body,
    http::{header, request::Parts},
};
use bytes::Bytes;

use super::{
    super::{
        body::Bounds,
        multipart::{Form, bytes},
    },
    error::{Refusal, bad},
    params::{VIDEO_MD5, kind_named, name_of},
};
use crate::{
    domain::{
        hash::{PerceptualHash, Quality},
        signal::{Signal, SignalType},
    },
    services::lookup::{Hashed, LookupError, Wanted},
};

/// What content is, in HMA's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentType {
    Photo,
    /// Known by the digests of its bytes.
    Video,
}

impl ContentType {
    pub(super) const ALL: [Self; 2] = [Self::Photo, Self::Video];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Photo => "photo",
            Self::Video => "video",
        }
    }

    /// # Errors
    /// 400 for a name that is none.
    pub(super) fn named(name: &str) -> Result<Self, Refusal> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| bad(format!("no such content_type: '{name}'")))
    }

    /// The signal types that the caller wants of it: `types`, or what HMA makes of such content and, of a photo, `embeddings` too. A caller may name those that this server
    /// makes, `made`.
    ///
    /// # Errors
    /// 400 for what this content has not.
    pub(super) fn types(
        self,
        types: Option<&str>,
        strict: bool,
        embeddings: &[SignalType],
        made: &[SignalType],
    ) -> Result<Vec<SignalType>, Refusal> {
        let embeds = !strict && self == Self::Photo;
        let usual = match self {
            Self::Photo => SignalType::Pdq,
            Self::Video => SignalType::Md5,
        };
        let Some(types) = types else {
            return Ok(std::iter::once(usual).chain(embeddings.iter().copied().filter(|_| embeds)).collect());
        };
        let mut wanted = Vec::new();
        for name in types.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            // HMA's name of MD5 is a video's; a photo has its digests by their own names.
            let known = kind_named(name, strict).filter(|_| self == Self::Video || name != VIDEO_MD5);
            let kind = known.filter(|kind| *kind == usual || (!strict && kind.is_exact()) || (embeds && made.contains(kind)));
            let kind = kind.ok_or_else(|| bad(format!("signal type '{name}' doesn't exist or is disabled")))?;
            if !wanted.contains(&kind) {
                wanted.push(kind);
            }
        }
        if wanted.is_empty() { Err(bad("empty signal type selection")) } else { Ok(wanted) }
    }
}

/// A form with content.
#[derive(Debug, Default)]
pub(super) struct Upload {
    files: Vec<(String, Bytes)>,
    /// The fields that are no files.
    fields: Vec<(String, Bytes)>,
}

/// More than any client sends: each takes memory beside its bytes.
const MOST_PARTS: usize = 100;

impl Upload {
    /// Bytes of its files.
    pub(super) fn len(&self) -> usize {
        self.files.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Reads a body that is a form; what is none holds no files.
    ///
    /// # Errors
    /// The body's own; 400 for a broken form.
    pub(super) async fn read(parts: &Parts, body: Body, bounds: Bounds) -> Result<Self, Refusal> {
        if !is_form(parts) {
            return Ok(Self::default());
        }
        let mut form = Form::open(parts, body, bounds).await?;
        let failure = form.failure.clone();
        let mut upload = Self::default();
        while let Some(field) = form.next().await? {
            if upload.files.len() + upload.fields.len() == MOST_PARTS {
                return Err(bad(format!("a form may have {MOST_PARTS} parts")));
            }
            let name = field.name().unwrap_or_default().to_owned();
            // Clients exist that name no file; the field's name says enough.
            let is_file = field.file_name().is_some() || ContentType::named(&name).is_ok();
            let content = bytes(field, &failure).await?;
            if is_file { upload.files.push((name, content)) } else { upload.fields.push((name, content)) }
        }
        Ok(upload)
    }

    /// The one file, and what its field says that it is.
    ///
    /// # Errors
    /// 400 for none, several, and fields of other names.
    pub(super) fn content(&mut self) -> Result<(ContentType, Bytes), Refusal> {
        match (self.files.pop(), self.files.is_empty()) {
            (None, _) => Err(bad("Missing multipart/form-data file upload")),
            (Some(_), false) => Err(bad("Only one file allowed per request")),
            (Some((name, bytes)), true) => Ok((ContentType::named(&name)?, bytes)),
        }
    }

    /// Whether there is any file.
    pub(super) fn has_file(&self) -> bool {
        !self.files.is_empty()
    }

    /// The first field of this name.
    ///
    /// # Errors
    /// 400 when it is no text.
    pub(super) fn field(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, text)| std::str::from_utf8(text).map_err(|_| bad(format!("{name}: is not UTF-8")))).transpose()
    }
}

/// Whether the body is a form.
pub(super) fn is_form(parts: &Parts) -> bool {
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.trim_start().to_ascii_lowercase().starts_with("multipart/form-data")
}

/// What the hashing floor has to make for these types.
pub(super) fn wanted(types: &[SignalType]) -> Wanted {
    let embeddings = types.iter().copied().filter(|kind| matches!(kind, SignalType::Embedding(_))).collect();
    Wanted {
        md5: types.contains(&SignalType::Md5),
        sha1: types.contains(&SignalType::Sha1),
        pdq: types.contains(&SignalType::Pdq),
        embeddings,
    }
}

/// The signals of content, in the order of `types`; `None` for a PDQ hash that says nothing (see [`pdq`]), and for what a file has not whose type is not decoded.
///
/// # Errors
/// 400 for a damaged picture, and in strict answers for any file that is no picture.
pub(super) fn signals(types: &[SignalType], hashed: &Hashed, strict: bool) -> Result<Vec<(SignalType, Option<Signal>)>, Refusal> {
    let digests = &hashed.digests;
    let mut signals = Vec::with_capacity(types.len());
    for &kind in types {
        let signal = match kind {
            SignalType::Md5 => digests.md5.map(Signal::Md5),
            SignalType::Sha1 => digests.sha1.map(Signal::Sha1),
            SignalType::Sha256 => Some(Signal::Sha256(digests.sha256)),
            SignalType::Embedding(_) => match hashed.embeddings.iter().find(|(made, _)| *made == kind) {
                Some((_, Err(LookupError::UnsupportedMedia(_)))) | None => None,
                Some((_, embedding)) => Some(embedding.clone()?),
            },
            _ => pdq(hashed, strict)?.filter(|hash| hash.quality >= Quality::MATCHABLE).map(|hash| Signal::Pdq(hash.original())),
        };
        signals.push((kind, signal));
    }
    Ok(signals)
}

/// The perceptual hash, if somebody wanted it and there is one.
///
/// # Errors
/// 400 for a damaged picture.
pub(super) fn picture(hashed: &Hashed) -> Result<Option<&PerceptualHash>, Refusal> {
    match &hashed.pdq {
        None | Some(Err(LookupError::UnsupportedMedia(_))) => Ok(None),
        // The first page may be a stamp, and the next one the picture.
        Some(Err(LookupError::TooSmall(_))) if hashed.telling().is_some() => Ok(None),
        Some(Ok(hash)) => Ok(Some(hash)),
        Some(Err(error)) => Err(error.clone().into()),
    }
}

/// The perceptual hash that stands for the content: the first that says something (quality 50 or more), of a sequence perhaps that of a later frame; else, and in strict answers, the first.
///
/// # Errors
/// 400 for a damaged picture.
pub(super) fn pdq(hashed: &Hashed, strict: bool) -> Result<Option<&PerceptualHash>, Refusal> {
    let first = picture(hashed)?;
    Ok(hashed.telling().filter(|_| !strict).or(first))
}

/// Whether the content is of a type that is not decoded, so that its digests are all there is of it.
pub(super) fn is_unsupported(hashed: &Hashed) -> bool {
    matches!(hashed.pdq, Some(Err(LookupError::UnsupportedMedia(_))))
}

/// The texts under their types' names, as `/h/hash` answers them; a hash that says nothing is empty.
pub(super) fn texts(signals: &[(SignalType, Option<Signal>)]) -> serde_json::Map<String, serde_json::Value> {
    let text = |signal: &Option<Signal>| signal.as_ref().map(Signal::to_text).unwrap_or_default();
    signals.iter().map(|(kind, signal)| (name_of(*kind).to_owned(), text(signal).into())).collect()
}
