//! From bytes to an attachment and its context: every check that needs no decoder.

use axum::http::{HeaderMap, Uri, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    HttpOptions,
    dto::{AttachmentBody, ConversationBody, MessageBody, PartBody, ScoreBody},
    error::ApiError,
    json,
};
use crate::domain::{
    attachment::{Attachment, Context, Message},
    pace,
    text::Text,
};

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

/// How the bytes under a Content-Type are read. No type is refused: what they are is told by the bytes themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any file. The declared type, for the service's information.
    Media(Option<String>),
    /// Text in this charset, UTF-8 without one. It is looked at as a file too. Its type, where that is markup.
    Text {
        charset: Option<String>,
        markup: Option<String>,
    },
    /// A JSON body of the API.
    Json,
    Multipart,
}

impl Kind {
    /// What a body or part of this Content-Type is. `None` is a file.
    pub(super) fn of(content_type: Option<&str>) -> Self {
        let Some(content_type) = content_type else { return Self::Media(None) };
        let mut pieces = content_type.split(';');
        let essence = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Self::Json,
            "multipart/form-data" => Self::Multipart,
            written if is_text(written) => {
                let charset =
                    pieces.filter_map(|piece| piece.split_once('=')).find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
                let charset = charset.map(|(_, charset)| charset.trim().trim_matches('"').to_owned());
                Self::Text { charset, markup: is_markup(written).then(|| written.to_owned()) }
            }
            _ => Self::Media(Some(essence)),
        }
    }

    /// What a whole request of `/score` is.
    ///
    /// # Errors
    /// 415 for encoded bodies; 400 for two Content-Types, which could mean two things.
    pub(super) fn of_request(headers: &HeaderMap) -> Result<Self, ApiError> {
        if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(ApiError::unsupported("encoded bodies are not taken: send it without Content-Encoding"));
        }
        let mut types = headers.get_all(header::CONTENT_TYPE).iter();
        match (types.next(), types.next()) {
            (_, Some(_)) => Err(ApiError::malformed("there are two Content-Types")),
            (first, None) => Ok(Self::of(first.map(|value| String::from_utf8_lossy(value.as_bytes())).as_deref())),
        }
    }
}

/// Whether readers of a type show something else than its letters.
fn is_markup(essence: &str) -> bool {
    matches!(essence, "text/html" | "text/xml" | "application/xml" | "text/rtf" | "text/richtext" | "text/enriched")
        || essence.ends_with("+xml")
}

/// Whether a type is written by and for people. JSON and XML under names of their own are: a caller's file, and none of the API's bodies.
fn is_text(essence: &str) -> bool {
    const OTHERS: [&str; 7] = [
        "application/xml",
        "application/javascript",
        "application/x-ndjson",
        "application/jsonl",
        "application/yaml",
        "application/x-yaml",
        "application/toml",
    ];
    let suffixed = ["+json", "+xml"].iter().any(|suffix| essence.ends_with(suffix)) && !essence.starts_with("image/");
    essence.starts_with("text/") || suffixed || OTHERS.contains(&essence)
}

/// The context in a raw body's query.
///
/// # Errors
/// 400 that names an unknown key or a bad value.
pub(super) fn query_context(uri: &Uri) -> Result<Context, ApiError> {
    // The reader of queries would put U+FFFD into an identifier, in silence.
    if !is_unicode(uri.query().unwrap_or_default()) {
        return Err(ApiError::malformed("the query holds percent-encoded bytes that are no UTF-8; identifiers are never repaired"));
    }
    let query = axum::extract::Query::<Context>::try_from_uri(uri).map_err(|error| ApiError::malformed(error.body_text()))?;
    checked(query.0, "")
}

/// Whether a query's percent-encoded bytes are UTF-8.
fn is_unicode(query: &str) -> bool {
    let (mut decoded, mut rest) = (Vec::with_capacity(query.len()), query.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let byte = match (first, after) {
            (b'%', [high, low, ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => hex::decode([*high, *low]).ok(),
            _ => None,
        };
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
        decoded.push(byte.and_then(|byte| byte.first().copied()).unwrap_or(*first));
    }
    std::str::from_utf8(&decoded).is_ok()
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

/// A body or part that is one attachment. A part that is itself a form is a file like another.
pub(super) fn attachment(kind: Kind, bytes: Bytes, options: &HttpOptions) -> Result<Attachment, ApiError> {
    match kind {
        Kind::Json => match in_json(&bytes, options)? {
            Input { attachment, context } if context == Context::default() => Ok(attachment),
            _ => Err(ApiError::malformed("the attachment's own JSON has a context; put it beside the attachment")),
        },
        // An empty text is a text, in which there is nothing to score.
        Kind::Media(_) | Kind::Multipart if bytes.is_empty() => Err(ApiError::malformed("the attachment is empty")),
        Kind::Media(declared) => Ok(Attachment::Media { bytes, declared }),
        Kind::Text { charset, markup: declared } => {
            let text = Text::from_bytes(bytes.to_vec(), charset.as_deref());
            let mut attachment = Attachment::bounded_text(text, Some(bytes), options.max_text_bytes);
            if let Attachment::Text { markup, .. } = &mut attachment {
                *markup = declared;
            }
            Ok(attachment)
        }
        Kind::Multipart => Ok(Attachment::Media { bytes, declared: Some("multipart/form-data".to_owned()) }),
    }
}

/// A JSON body of `/score`.
pub(super) fn envelope(bytes: &[u8], options: &HttpOptions) -> Result<Input, ApiError> {
    let ScoreBody { attachment, context } = json::parse_attachment(bytes)?;
    Ok(Input { attachment: from_body(attachment, Some("attachment"), options)?, context: checked(context, "context.")? })
}

/// A part of a form with a context of its own, if there is one.
///
/// # Errors
/// 400 for two contexts, and for what is no attachment; 413 for one that is too large.
pub(super) fn part(kind: Kind, bytes: Bytes, context: Option<&[u8]>, options: &HttpOptions) -> Result<Input, ApiError> {
    let beside = context.map(json_context).transpose()?;
    if kind != Kind::Json {
        return Ok(Input { attachment: attachment(kind, bytes, options)?, context: beside.unwrap_or_default() });
    }
    let Input { attachment, context: within } = in_json(&bytes, options)?;
    match beside {
        Some(_) if within != Context::default() => Err(ApiError::malformed(
            "there are two contexts: one in the JSON of the attachment, and one in a context part; send one of them",
        )),
        beside => Ok(Input { attachment, context: beside.unwrap_or(within) }),
    }
}

/// JSON that stands where a file could: a text or a conversation, alone or as in the body of `/score`.
fn in_json(bytes: &[u8], options: &HttpOptions) -> Result<Input, ApiError> {
    let PartBody { attachment, context, text, conversation, media_type, data_base64 } = json::parse_attachment(bytes)?;
    let bare = text.is_some() || conversation.is_some() || media_type.is_some() || data_base64.is_some();
    let attachment = match attachment {
        Some(_) if bare => {
            return Err(ApiError::malformed("the attachment: text and conversation stand within attachment, or alone; not both"));
        }
        Some(attachment) => from_body(attachment, Some("attachment"), options)?,
        None => from_body(AttachmentBody { text, conversation, media_type, data_base64 }, None, options)?,
    };
    Ok(Input { attachment, context: checked(context.unwrap_or_default(), "context.")? })
}

/// `path` is where the attachment stands in an envelope, which may hold a file too; without one it is a part's.
fn from_body(body: AttachmentBody<'_>, path: Option<&str>, options: &HttpOptions) -> Result<Attachment, ApiError> {
    match (body, path) {
        (AttachmentBody { text: Some(text), conversation: None, media_type: None, data_base64: None }, _) => {
            Ok(Attachment::bounded_text(text, None, options.max_text_bytes))
        }
        (AttachmentBody { text: None, conversation: Some(conversation), media_type: None, data_base64: None }, _) => {
            messages(conversation, options)
        }
        (AttachmentBody { text: None, conversation: None, media_type, data_base64: Some(data) }, Some(path)) => {
            let bytes = base64(&data, &format!("{path}.data_base64"))?;
            attachment(Kind::of(media_type.as_deref()), bytes, options)
        }
        (_, Some(path)) => {
            Err(ApiError::malformed(format!("{path}: needs exactly one of text, conversation, or data_base64 with its media_type")))
        }
        (_, None) => Err(ApiError::malformed("the attachment: needs exactly one of text or conversation; send a file as the part itself")),
    }
}

/// The bytes of a file in a JSON body.
///
/// # Errors
/// 400 that names the place, also for no bytes at all.
pub(super) fn base64(data: &str, place: &str) -> Result<Bytes, ApiError> {
    let mut bytes = Vec::with_capacity(data.len() / 4 * 3);
    let mut is_whole = true;
    for piece in pace::pieces(data.as_bytes()) {
        // A piece before may have ended with padding, which belongs at the end of all.
        is_whole = is_whole && bytes.len() % 3 == 0 && STANDARD.decode_vec(piece, &mut bytes).is_ok();
    }
    if !is_whole {
        // Which says where it is wrong.
        bytes = STANDARD
            .decode(data)
            .map_err(|error| ApiError::malformed(format!("{place}: not base64 of the standard alphabet with padding: {error}")))?;
    }
    if bytes.is_empty() { Err(ApiError::malformed(format!("{place}: the attachment is empty"))) } else { Ok(bytes.into()) }
}

fn messages(conversation: ConversationBody, options: &HttpOptions) -> Result<Attachment, ApiError> {
    let messages = conversation.messages;
    if messages.len() > options.max_messages {
        return Err(ApiError::too_large(format!("a conversation may have {} messages; send the newest", options.max_messages)));
    }
    // A text is cut, as its bytes have digests to look up. A conversation has none, and only its sender can cut it so that its indices stay theirs: refusing it hides nothing.
    let bytes: usize = messages.iter().map(|message| message.author.text.len() + message.text.text.len()).sum();
    if bytes > options.max_text_bytes {
        let limit = options.max_text_bytes;
        return Err(ApiError::too_large(format!(
            "the texts and authors of a conversation may have {limit} bytes of UTF-8 in all, and these have {bytes}; send the newest messages"
        )));
    }
    let repaired = messages.iter().any(|message| message.author.repaired || message.text.repaired);
    let message = |MessageBody { author, time, text }| Message { author: author.text, time, text: text.text };
    Ok(Attachment::Conversation { messages: messages.into_iter().map(message).collect(), repaired })
}

impl Input {
    /// What an idempotency key stands for: SHA-256 over kind, content and context. The same attachment gives the same digest whichever of the
    /// three ways it came in, and whatever boundary or order of keys the caller's library chose.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        // Lengths before contents, so that no two inputs give the same stream.
        let mut add = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            pace::pieces(bytes).for_each(|piece| digest.update(piece));
        };
        match &self.attachment {
            Attachment::Media { bytes, .. } => {
                add(b"media");
                add(bytes);
            }
            Attachment::Text { text, received, markup, .. } => {
                add(b"text");
                // Of markup the answer says what was not looked at.
                if let Some(markup) = markup {
                    add(markup.as_bytes());
                }
                add(text.as_bytes());
                // Bytes that are another spelling of the text may match, or be a picture, where the text does not; and of a text that was cut they are all there is.
                if let Some(received) = received.as_ref().filter(|received| **received != text.as_bytes()) {
                    add(received);
                }
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

    /// It is read in pieces, and is what it is as a whole.
    #[test]
    fn long_base64_is_read_as_a_whole() {
        let bytes: Vec<u8> = (0..pace::PIECE as u64 * 2 + 2).map(|at| ((at * at) >> 7) as u8).collect();
        let data = STANDARD.encode(&bytes);
        assert!(base64(&data, "data").unwrap() == bytes);
        for (at, wrong) in
            [(pace::PIECE - 1, "="), (pace::PIECE - 2, "=="), (pace::PIECE, "="), (pace::PIECE + 7, "*"), (data.len() - 1, "A")]
        {
            let mut data = data.clone();
            data.replace_range(at..at + wrong.len(), wrong);
            let error = STANDARD.decode(&data).unwrap_err().to_string();
            assert!(base64(&data, "data").unwrap_err().message().ends_with(&error), "{at}: {error}");
        }
    }

    #[test]
    fn content_types_are_told_apart_and_none_is_refused() {
        let media = |name: &str| Kind::Media(Some(name.to_owned()));
        let text = |charset: Option<&str>| Kind::Text { charset: charset.map(str::to_owned), markup: None };
        let markup = |name: &str, charset: Option<&str>| Kind::Text { charset: charset.map(str::to_owned), markup: Some(name.to_owned()) };
        for (content_type, kind) in [
            ("image/jpeg", media("image/jpeg")),
            ("IMAGE/PNG; q=1", media("image/png")),
            ("image/svg+xml", media("image/svg+xml")),
            ("application/octet-stream", media("application/octet-stream")),
            ("text/plain", text(None)),
            ("text/plain; charset=\"UTF-8\"", text(Some("UTF-8"))),
            ("text/html;Charset=utf-16", markup("text/html", Some("utf-16"))),
            ("application/xhtml+xml", markup("application/xhtml+xml", None)),
            ("application/ld+json", text(None)),
            ("application/json; charset=utf-8", Kind::Json),
            ("multipart/form-data; boundary=x", Kind::Multipart),
            ("multipart/mixed; boundary=x", media("multipart/mixed")),
            ("video/mp4", media("video/mp4")),
            ("application/x-www-form-urlencoded", media("application/x-www-form-urlencoded")),
            ("nonsense", media("nonsense")),
            ("", media("")),
        ] {
            assert_eq!(Kind::of(Some(content_type)), kind, "{content_type}");
        }
        assert_eq!(Kind::of(None), Kind::Media(None));
    }

    #[test]
    fn queries_that_are_no_unicode_are_known() {
        for sound in ["", "item_id=a%20b&service=%C3%BC+", "a=%", "a=%zz%4", "a=%EF%BF%BD"] {
            assert!(is_unicode(sound), "{sound}");
        }
        for broken in ["item_id=%FF", "a=%C3", "a=%ED%A0%BD", "%C3=%BC"] {
            assert!(!is_unicode(broken), "{broken}");
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
        let received = |bytes: &'static [u8]| Attachment::Text {
            text: "ab".into(),
            received: Some(bytes.into()),
            repaired: false,
            cut_from: None,
            markup: None,
        };
        assert_eq!(of(received(b"ab"), None), text, "a text is a text, however it came");
        assert_ne!(of(received(b"a\0b\0"), None), text);
        let cut = |text: &str, received: bool| {
            let bytes = received.then(|| Bytes::copy_from_slice(text.as_bytes()));
            of(Attachment::bounded_text(Text { text: text.to_owned(), repaired: false }, bytes, 2), None)
        };
        assert_eq!(cut("abc", true), cut("abc", false));
        assert_ne!(cut("abc", true), cut("abd", true), "a key stands for what was cut off too");
    }
}
