//! `multipart/form-data`: parts named `attachment` and `context`, and nothing else.

use axum::{
    body::Body,
    extract::{DefaultBodyLimit, FromRequest, Multipart, Request, multipart::Field},
    http::request::Parts,
};
use bytes::Bytes;

use super::{
    HttpOptions,
    body::{Bounds, FailureSlot, bounded},
    error::ApiError,
    input::{self, Input, Kind},
};
use crate::domain::attachment::Context;

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
        let kind = Kind::of(self.content_type.as_deref())?;
        let context = self.context.as_deref().map_or(Ok(Context::default()), input::json_context)?;
        Ok(Input { attachment: input::attachment(kind, self.bytes, options)?, context })
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
    let (body, failure) = bounded(&parts.headers, body, bounds)?;
    let mut request = Request::from_parts(parts.clone(), body);
    DefaultBodyLimit::disable().apply(&mut request); // the bounded body has its own
    let mut multipart = Multipart::from_request(request, &()).await.map_err(|error| ApiError::malformed(error.body_text()))?;
    let (mut inputs, mut context) = (Vec::new(), None);
    while let Some(field) = multipart.next_field().await.map_err(|error| broken(&failure, &error))? {
        match field.name() {
            Some("attachment") => {
                let most = if let Shape::Batch { most } = shape { most } else { 1 };
                if inputs.len() == most {
                    return Err(match shape {
                        Shape::One => ApiError::malformed("there are two attachment parts; send several to /score/batch"),
                        Shape::Batch { .. } => ApiError::too_large(format!("a batch may have {most} attachments")),
                    });
                }
                let content_type = field.content_type().map(str::to_owned);
                let idempotency_key = field.headers().get("idempotency-key").map(|key| Bytes::copy_from_slice(key.as_bytes()));
                let bytes = bytes(field, &failure).await?;
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
            _ => return Err(ApiError::malformed("there is a part that is neither named attachment nor context")),
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

pub(super) async fn bytes(field: Field<'_>, failure: &FailureSlot) -> Result<Bytes, ApiError> {
    field.bytes().await.map_err(|error| broken(failure, &error))
}

/// The parser knows that the body ended; the slot knows why.
pub(super) fn broken(failure: &FailureSlot, error: &axum::extract::multipart::MultipartError) -> ApiError {
    failure.get().map_or_else(|| ApiError::malformed(format!("the multipart body is broken: {}", error.body_text())), ApiError::from)
}
