//! `multipart/form-data`: parts named `attachment` and `context`, and nothing else.

use axum::{
    body::Body,
    extract::{DefaultBodyLimit, FromRequest, Multipart, Request, multipart::Field},
    http::{HeaderValue, header, request::Parts},
};
use bytes::Bytes;

use super::{
    HttpOptions,
    body::{Bounds, FailureSlot, Heads, bounded, refused},
    error::ApiError,
    input::{self, Input, Kind},
};

/// One attachment as it stands in the body, with the context that belongs to it.
#[derive(Debug)]
pub(super) struct RawInput {
    content_type: Option<String>,
    bytes: Bytes,
    context: Option<Bytes>,
    /// The part's own `Idempotency-Key`.
    pub idempotency_key: Option<Bytes>,
}

impl RawInput {
    /// For deciding where to parse it.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Parses part and context.
    pub(super) fn parse(self, options: &HttpOptions) -> Result<Input, ApiError> {
        let kind = Kind::of(self.content_type.as_deref());
        input::part(kind, self.bytes, self.context.as_deref(), options)
    }

    /// The attachment as it is, whatever it is.
    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// What a body may have: `/score` has one attachment, and its context may stand after it; in a batch a context belongs to what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    Batch { most: usize },
}

/// Reads the whole body. Nothing is scored before it has ended well, so a broken body leaves nothing behind.
///
/// # Errors
/// 400 for broken framing, unknown parts and parts out of place; 413 for too many; the body's own.
pub(super) async fn read(parts: &Parts, body: Body, bounds: Bounds, shape: Shape) -> Result<Vec<RawInput>, ApiError> {
    let mut form = Form::open(parts, body, bounds).await?;
    let failure = form.failure.clone();
    let (mut inputs, mut context) = (Vec::new(), None);
    while let Some(field) = form.next().await? {
        match field.name() {
            Some("attachment") => {
                let most = if let Shape::Batch { most } = shape { most } else { 1 };
                if inputs.len() == most {
                    return Err(match shape {
                        Shape::One => ApiError::malformed("there are two attachment parts; send several to /score/batch"),
                        Shape::Batch { .. } => ApiError::too_large(format!("a batch may have {most} attachments")),
                    });
                }
                // As it stands: the parser has none where it does not like the type's grammar, and then a text would be no text.
                let content_type = field.headers().get(header::CONTENT_TYPE);
                let content_type = content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
                // What is encoded for mail would be scored as gibberish.
                let encoding = field
                    .headers()
                    .get("content-transfer-encoding")
                    .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_lowercase());
                if let Some(encoding) = encoding.filter(|encoding| !["7bit", "8bit", "binary", "identity"].contains(&encoding.as_str())) {
                    let encoding: String = encoding.chars().take(TOLD).collect();
                    let message = format!(
                        "an attachment part has the Content-Transfer-Encoding {encoding:?}: send its bytes as they are, without that header"
                    );
                    return Err(ApiError::malformed(message));
                }
                let idempotency_key = field.headers().get("idempotency-key").map(|key| Bytes::copy_from_slice(key.as_bytes()));
                let is_file = is_file(&field);
                let bytes = bytes(field, &failure).await?;
                // A field of a form is text (RFC 7578, section 4.4), where it is no file and its bytes are a text's.
                let text = || (!is_file && is_textual(&bytes)).then(|| "text/plain".to_owned());
                let content_type = content_type.or_else(text);
                inputs.push(RawInput { content_type, bytes, context: context.take(), idempotency_key });
            }
            Some("context") => {
                let late = inputs.last_mut().filter(|_| shape == Shape::One).map(|input| &mut input.context);
                let place = late.unwrap_or(&mut context);
                if place.is_some() {
                    return Err(ApiError::malformed("there are two context parts for one attachment"));
                }
                *place = Some(bytes(field, &failure).await?);
            }
            name => return Err(unknown_part(name, inputs.len())),
        }
    }
    if context.is_some() && !inputs.is_empty() {
        return Err(ApiError::malformed("the last context part has no attachment after it"));
    }
    if inputs.is_empty() {
        return Err(ApiError::malformed("there is no attachment part"));
    }
    Ok(inputs)
}

/// Characters of a caller's word that are told: enough to find it.
const TOLD: usize = 64;

/// Names the part, and its place, for whom there are many.
fn unknown_part(name: Option<&str>, before: usize) -> ApiError {
    let named = match name {
        Some(name) => format!("the part {:?}", name.chars().take(TOLD).collect::<String>()),
        None => "a part without a name".to_owned(),
    };
    let place = match before {
        0 => "before the first attachment".to_owned(),
        before => format!("after attachment {before}"),
    };
    ApiError::malformed(format!("{named}, {place}: parts are named attachment (the file or text) or context (JSON about it)"))
}

/// Whether a part has a file's name, of whatever characters.
fn is_file(field: &Field<'_>) -> bool {
    let disposition = field.headers().get(header::CONTENT_DISPOSITION).map(HeaderValue::as_bytes).unwrap_or_default();
    disposition.to_ascii_lowercase().windows(8).any(|word| word == b"filename")
}

/// Whether most bytes are UTF-8: a text may be cut, or hold half an emoji.
fn is_textual(bytes: &[u8]) -> bool {
    let unsound: usize = bytes.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    !bytes.is_empty() && unsound * 10 <= bytes.len()
}

/// The parts of a body, one after the other, within bounds.
pub(super) struct Form {
    parts: Multipart,
    /// Why the body ended early: the parser only knows that it did.
    pub(super) failure: FailureSlot,
    heads: Heads,
}

impl Form {
    /// # Errors
    /// 400 for a Content-Type without a boundary.
    pub(super) async fn open(parts: &Parts, body: Body, bounds: Bounds) -> Result<Self, ApiError> {
        let heads = Heads::default();
        let (body, failure) = bounded(&parts.headers, body, bounds, heads.clone())?;
        let mut parts = parts.clone();
        // The parser wants the quotes that RFC 2046 wants around `/`, `:`, `=` and others, and that many callers leave out.
        let boundary = parts.headers.get(header::CONTENT_TYPE).and_then(|value| boundary(value.as_bytes()));
        if let Some(Ok(quoted)) = boundary.map(|boundary| HeaderValue::from_str(&format!("multipart/form-data; boundary=\"{boundary}\""))) {
            parts.headers.insert(header::CONTENT_TYPE, quoted);
        }
        let mut request = Request::from_parts(parts, body);
        DefaultBodyLimit::disable().apply(&mut request); // the bounded body has its own
        let parts = Multipart::from_request(request, &()).await.map_err(|error| ApiError::malformed(error.body_text()))?;
        Ok(Self { parts, failure, heads })
    }

    /// The next part, once the one before it was read; `None` behind the last.
    ///
    /// # Errors
    /// 400 for broken framing and heads that are too long; the body's own.
    pub(super) async fn next(&mut self) -> Result<Option<Field<'_>>, ApiError> {
        self.heads.begin();
        let field = self.parts.next_field().await.map_err(|error| broken(&self.failure, &error));
        self.heads.end();
        field
    }
}

/// The boundary in a Content-Type, with or without quotes; `None` for none, and for one of other characters than visible ASCII and blanks without `"` and `\`.
fn boundary(content_type: &[u8]) -> Option<&str> {
    let (_, mut rest) = std::str::from_utf8(content_type).ok()?.split_once(';')?;
    loop {
        let (before, value) = rest.split_once('=')?;
        let (value, after) = match value.trim_start().strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_once(';').map_or((value.trim(), ""), |(value, after)| (value.trim(), after)),
        };
        // A parameter without a value may stand before this one's name.
        if before.rsplit(';').next()?.trim().eq_ignore_ascii_case("boundary") {
            let allowed = |byte: u8| (byte == b' ' || byte.is_ascii_graphic()) && byte != b'"' && byte != b'\\';
            return Some(value).filter(|boundary| !boundary.is_empty() && boundary.bytes().all(allowed));
        }
        rest = after;
    }
}

pub(super) async fn bytes(field: Field<'_>, failure: &FailureSlot) -> Result<Bytes, ApiError> {
    field.bytes().await.map_err(|error| broken(failure, &error))
}

/// The parser knows that the body ended; the slot knows why.
pub(super) fn broken(failure: &FailureSlot, error: &axum::extract::multipart::MultipartError) -> ApiError {
    failure.get().map_or_else(|| ApiError::malformed(format!("the multipart body is broken: {}", error.body_text())), refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn names(content_type: &str, boundary: &str) -> Result<Vec<String>, ApiError> {
        let body = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"attachment\"\r\n\r\nx\r\n--{boundary}--\r\n");
        let (parts, ()) = Request::post("/score").header(header::CONTENT_TYPE, content_type).body(()).unwrap().into_parts();
        let bounds = Bounds {
            limit: 1000,
            patience: std::time::Duration::from_secs(9),
            rate: 0,
            deadline: std::time::Instant::now() + std::time::Duration::from_secs(9),
        };
        let inputs = read(&parts, body.into(), bounds, Shape::One).await?;
        Ok(inputs.into_iter().map(|input| String::from_utf8(input.bytes.to_vec()).unwrap()).collect())
    }

    /// 30 MB of them were taken, and looked through again at every piece that arrived.
    #[tokio::test]
    async fn the_head_of_a_part_is_bounded_wherever_it_stands() {
        let part =
            |head: usize| format!("--x\r\nContent-Disposition: form-data; name=\"attachment\"\r\nX: {}\r\n\r\nx\r\n", "y".repeat(head));
        let long = 5 * super::super::body::LONGEST_HEAD;
        for (body, said) in [
            (format!("{}--x--\r\n", part(long / 10)), None),
            (format!("{}--x--\r\n", part(1 << 20)), Some("head of a part")),
            (format!("{}{}--x--\r\n", part(9), part(long)), Some("head of a part")),
            (format!("{}{}--x--\r\n", "preamble".repeat(long), part(9)), Some("head of a part")),
        ] {
            let (parts, ()) =
                Request::post("/").header(header::CONTENT_TYPE, "multipart/form-data; boundary=x").body(()).unwrap().into_parts();
            let later = std::time::Instant::now() + std::time::Duration::from_secs(9);
            let bounds = Bounds { limit: 8 << 20, patience: std::time::Duration::from_secs(9), rate: 0, deadline: later };
            let error = read(&parts, body.into(), bounds, Shape::Batch { most: 9 }).await.err();
            let error = error.map(|error| format!("{error:?}"));
            assert_eq!(error.as_ref().map(|error| error.contains(said.unwrap_or("nothing"))), said.map(|_| true), "{error:?}");
        }
    }

    #[tokio::test]
    async fn boundaries_need_no_quotes_and_may_have_them() {
        for (written, boundary) in [
            ("-a/b_c.d", "-a/b_c.d"),
            ("\"-a/b_c.d\"", "-a/b_c.d"),
            ("----=_Part_1:2?3(4)'5+6,7", "----=_Part_1:2?3(4)'5+6,7"),
            ("\"a b\"", "a b"),
            ("x; charset=utf-8", "x"),
            ("x ", "x"),
        ] {
            for before in [
                "multipart/form-data; boundary=",
                "Multipart/Form-Data;charset=utf-8;Boundary=",
                "multipart/form-data; a=\"b;c\"; d; boundary=",
            ] {
                assert_eq!(names(&format!("{before}{written}"), boundary).await.unwrap(), ["x"], "{before}{written}");
            }
        }
        for wrong in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"x",
            "multipart/form-data; x=\"; boundary=x\"",
        ] {
            assert!(names(wrong, "x").await.is_err(), "{wrong}");
        }
    }
}
