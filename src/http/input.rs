//! From bytes to an attachment and its context: every check that needs no decoder.

use axum::http::{HeaderMap, Uri, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    HttpOptions,
    dto::{AttachmentBody, ConversationBody, ScoreBody},
    error::ApiError,
    json,
};
use crate::domain::attachment::{Attachment, Context, Message};

/// Bytes of a `context`: eight fields of 256 characters, with room for escapes.
pub(super) const LONGEST_CONTEXT: usize = 64 << 10;

/// Above this, parsing and digesting leave the async threads, which must stay free for other callers.
pub(super) const LONG: usize = 256 << 10;

/// One attachment with its context, as the service takes them.
#[derive(Debug)]
pub(super) struct Input {
    pub attachment: Attachment,
    pub context: Context,
}

/// What a Content-Type promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The declared type, for the service's information.
    Media(Option<String>),
    Text,
    Json,
    Multipart,
}

impl Kind {
    /// What a body or part of this Content-Type is. `None` is unknown media.
    ///
    /// # Errors
    /// 415 for what is not scored here.
    pub(super) fn of(content_type: Option<&str>) -> Result<Self, ApiError> {
        let Some(content_type) = content_type else { return Ok(Self::Media(None)) };
        let mut pieces = content_type.split(';');
        let essence = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Ok(Self::Json),
            "multipart/form-data" => Ok(Self::Multipart),
            "text/plain" => {
                let charset =
                    pieces.filter_map(|piece| piece.split_once('=')).find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
                match charset.map(|(_, charset)| charset.trim().trim_matches('"').to_ascii_lowercase()).as_deref() {
                    None | Some("utf-8" | "utf8" | "us-ascii") => Ok(Self::Text),
                    Some(_) => Err(ApiError::unsupported("text must be UTF-8")),
                }
            }
            "application/octet-stream" => Ok(Self::Media(Some(essence))),
            image if image.starts_with("image/") => Ok(Self::Media(Some(essence))),
            moving if moving.starts_with("video/") || moving.starts_with("audio/") => {
                Err(ApiError::unsupported("video and audio are not scored by this version"))
            }
            _ => Err(ApiError::unsupported(
                "the Content-Type must be image/*, application/octet-stream, text/plain, application/json or multipart/form-data",
            )),
        }
    }

    /// What a whole request of `/score` is.
    ///
    /// # Errors
    /// 415 without a Content-Type, and for encoded bodies; 400 for two Content-Types.
    pub(super) fn of_request(headers: &HeaderMap) -> Result<Self, ApiError> {
        if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(ApiError::unsupported("encoded bodies are not taken: send it without Content-Encoding"));
        }
        let mut types = headers.get_all(header::CONTENT_TYPE).iter();
        match (types.next(), types.next()) {
            (None, _) => Err(ApiError::unsupported("a Content-Type is needed")),
            (Some(_), Some(_)) => Err(ApiError::malformed("there are two Content-Types")),
            (Some(value), None) => Self::of(Some(value.to_str().map_err(|_| ApiError::malformed("the Content-Type is not ASCII"))?)),
        }
    }
}

/// The context in a raw body's query.
///
/// # Errors
/// 400 that names an unknown key or a bad value.
pub(super) fn query_context(uri: &Uri) -> Result<Context, ApiError> {
    let query = axum::extract::Query::<Context>::try_from_uri(uri).map_err(|error| ApiError::malformed(error.body_text()))?;
    checked(query.0, "")
}

/// Refuses a query where the context belongs in the body, so that it is not lost in silence.
pub(super) fn no_query(uri: &Uri) -> Result<(), ApiError> {
    match uri.query() {
        None | Some("") => Ok(()),
        Some(_) => Err(ApiError::malformed("with this Content-Type the context belongs in the body, not in the query")),
    }
}

/// A `context` part.
pub(super) fn json_context(bytes: &[u8]) -> Result<Context, ApiError> {
    if bytes.len() > LONGEST_CONTEXT {
        return Err(ApiError::too_large(format!("the context may have {LONGEST_CONTEXT} bytes")));
    }
    checked(json::parse(bytes)?, "context.")
}

fn checked(context: Context, path: &str) -> Result<Context, ApiError> {
    match context.malformed_field() {
        None => Ok(context),
        Some(field) => Err(ApiError::malformed(format!(
            "{path}{field}: must have 1 to {} characters and no control characters; leave it out when there is none",
            Context::LONGEST
        ))),
    }
}

/// A body or part that is one attachment. `Multipart` is none.
pub(super) fn attachment(kind: Kind, bytes: Bytes, options: &HttpOptions) -> Result<Attachment, ApiError> {
    match kind {
        Kind::Json => from_body(json::parse(&bytes)?, false, "", options),
        _ if bytes.is_empty() => Err(ApiError::malformed("the attachment is empty")),
        Kind::Media(declared) => Ok(Attachment::Media { bytes, declared }),
        Kind::Text => {
            short_enough(bytes.len(), options)?;
            // The buffer is reused when nobody else holds it, as is the rule.
            String::from_utf8(bytes.into()).map(Attachment::text).map_err(|_| ApiError::malformed("the text is not UTF-8"))
        }
        Kind::Multipart => Err(ApiError::malformed("a part cannot itself be multipart")),
    }
}

/// A JSON body of `/score`.
pub(super) fn envelope(bytes: &[u8], options: &HttpOptions) -> Result<Input, ApiError> {
    let ScoreBody { attachment, context } = json::parse(bytes)?;
    Ok(Input { attachment: from_body(attachment, true, "attachment", options)?, context: checked(context, "context.")? })
}

fn from_body(body: AttachmentBody<'_>, media: bool, path: &str, options: &HttpOptions) -> Result<Attachment, ApiError> {
    let place = if path.is_empty() { "the attachment" } else { path };
    match body {
        AttachmentBody { text: Some(text), conversation: None, media_type: None, data_base64: None } => {
            short_enough(text.len(), options)?;
            Ok(Attachment::text(text))
        }
        AttachmentBody { text: None, conversation: Some(conversation), media_type: None, data_base64: None } => {
            messages(conversation, options).map(Attachment::conversation)
        }
        AttachmentBody { text: None, conversation: None, media_type: Some(media_type), data_base64: Some(data) } if media => {
            let Kind::Media(declared) = Kind::of(Some(&media_type))? else {
                return Err(ApiError::unsupported(format!("{place}.media_type: must be image/* or application/octet-stream")));
            };
            let bytes = STANDARD.decode(data.as_bytes()).map_err(|error| {
                ApiError::malformed(format!("{place}.data_base64: not base64 of the standard alphabet with padding: {error}"))
            })?;
            if bytes.is_empty() {
                return Err(ApiError::malformed(format!("{place}.data_base64: the attachment is empty")));
            }
            Ok(Attachment::Media { bytes: bytes.into(), declared })
        }
        _ if media => Err(ApiError::malformed(format!("{place}: needs exactly one of text, conversation, or media_type with data_base64"))),
        _ => Err(ApiError::malformed(format!("{place}: needs exactly one of text or conversation; send media as the part itself"))),
    }
}

fn messages(conversation: ConversationBody, options: &HttpOptions) -> Result<Vec<Message>, ApiError> {
    let messages = conversation.messages;
    if messages.len() > options.max_messages {
        return Err(ApiError::too_large(format!("a conversation may have {} messages; send the newest", options.max_messages)));
    }
    short_enough(messages.iter().map(|message| message.author.len() + message.text.len()).sum(), options)?;
    Ok(messages.into_iter().map(|message| Message { author: message.author, time: message.time, text: message.text }).collect())
}

fn short_enough(bytes: usize, options: &HttpOptions) -> Result<(), ApiError> {
    if bytes <= options.max_text_bytes {
        return Ok(());
    }
    Err(ApiError::too_large(format!("texts (and authors) may have {} bytes of UTF-8 in all", options.max_text_bytes)))
}

impl Input {
    /// What an idempotency key stands for: SHA-256 over kind, content and context. The same attachment gives the same digest whichever of the
    /// three ways it came in, and whatever boundary or order of keys the caller's library chose.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        // Lengths before contents, so that no two inputs give the same stream.
        let mut add = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        match &self.attachment {
            Attachment::Media { bytes, .. } => {
                add(b"media");
                add(bytes);
            }
            Attachment::Text { text, .. } => {
                add(b"text");
                add(text.as_bytes());
            }
            Attachment::Conversation { messages, .. } => {
                add(b"conversation");
                for Message { author, time, text } in messages {
                    add(author.as_bytes());
                    add(&time.map_or([0; 9], |time| with_tag(time.micros())));
                    add(text.as_bytes());
                }
            }
        }
        let Context { item_id, account_id, service, surface, legal_basis, scope, unit, cluster } = &self.context;
        for field in [item_id, account_id, service, surface, legal_basis, scope, unit, cluster] {
            add(field.as_ref().map_or(&[], |field| field.as_bytes())); // an empty field was refused, so empty means absent
        }
        digest.finalize().into()
    }
}

/// Tells a time from none.
fn with_tag(micros: i64) -> [u8; 9] {
    let mut bytes = [1; 9];
    bytes[1..].copy_from_slice(&micros.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_told_apart() {
        let media = |name: &str| Ok(Kind::Media(Some(name.to_owned())));
        for (content_type, kind) in [
            ("image/jpeg", media("image/jpeg")),
            ("IMAGE/PNG; q=1", media("image/png")),
            ("application/octet-stream", media("application/octet-stream")),
            ("text/plain", Ok(Kind::Text)),
            ("text/plain; charset=\"UTF-8\"", Ok(Kind::Text)),
            ("text/plain; charset=utf-16", Err(415)),
            ("application/json; charset=utf-8", Ok(Kind::Json)),
            ("multipart/form-data; boundary=x", Ok(Kind::Multipart)),
            ("video/mp4", Err(415)),
            ("audio/ogg", Err(415)),
            ("application/x-www-form-urlencoded", Err(415)),
            ("", Err(415)),
        ] {
            assert_eq!(Kind::of(Some(content_type)).map_err(|error| error.code.status().as_u16()), kind, "{content_type}");
        }
    }

    #[test]
    fn the_digest_tells_inputs_apart() {
        let of = |attachment, item_id: Option<&str>| {
            Input { attachment, context: Context { item_id: item_id.map(str::to_owned), ..Context::default() } }.digest()
        };
        let media = |bytes: &'static [u8], declared: &str| Attachment::Media { bytes: bytes.into(), declared: Some(declared.into()) };
        let message = |author: &str, text: &str| Message { author: author.into(), time: None, text: text.into() };
        let text = of(Attachment::text("ab"), None);
        assert_ne!(text, of(media(b"ab", "image/png"), None));
        assert_ne!(text, of(Attachment::text("ab"), Some("1")));
        assert_eq!(
            of(media(b"ab", "image/png"), None),
            of(media(b"ab", "application/octet-stream"), None),
            "the declared type decides nothing"
        );
        assert_ne!(
            of(Attachment::conversation(vec![message("a", "bc")]), None),
            of(Attachment::conversation(vec![message("ab", "c")]), None)
        );
    }
}
