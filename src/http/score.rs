//! `POST /score`: one attachment, three ways to send it, one answer.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{Extension, Request, State},
    http::{HeaderMap, header, request::Parts},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;

use super::{
    Call, HttpState, Shared, body,
    error::{ApiError, ErrorBody, ErrorCode},
    input::{self, Input, Kind, LONG},
    multipart::{self, Shape},
};
use crate::{
    domain::{attachment::Attachment, ids::RequestId},
    services::{
        access::Principal,
        permits::{Permit, Work},
        scoring::{ScoreAnswer, ScoreRequest, Scored},
    },
};

/// How long the service may overrun its deadline before this floor gives up on it. The service knows whether anything was stored, so it should
/// be the one to say that the deadline passed.
pub(super) const GRACE: Duration = Duration::from_millis(500);

/// Characters of an idempotency key.
const LONGEST_KEY: usize = 256;

/// Score one attachment.
///
/// The attachment is the raw body (context in the query), the part `attachment` of a multipart body (context in the part `context`), or
/// base64, a text or a conversation in JSON. Any file under any Content-Type, and with none, is an attachment: what it is, is told by its bytes. Types that are not decoded, and
/// files that cannot be, are a 200 with what their digests match, and `unscored`. `text/…` is scored as text, and looked at as a file too; bytes that are no character of its charset
/// (UTF-8 without one; what is UTF-8 is read so whatever 8-bit charset is named) are read as U+FFFD, and `attachment.repaired` says so. Of a long text the beginning is scored, which `text_truncated` says; the digests are of all its bytes.
/// `application/json` is the API's own body: a JSON file needs another type.
///
/// Send an `Idempotency-Key` to repeat a call safely: the same key with the same attachment and context gives the first answer again, to
/// the API key that had it.
#[utoipa::path(
    post,
    path = "/score",
    tag = "score",
    params(
        ("item_id" = Option<String>, Query, description = "Context of a raw body: the provider's reference of this item"),
        ("account_id" = Option<String>, Query, description = "Context of a raw body: the account that sent it; kept only as a pseudonym"),
        ("service" = Option<String>, Query, description = "Context of a raw body: which of the provider's services"),
        ("surface" = Option<String>, Query, description = "Context of a raw body: where in the service"),
        ("legal_basis" = Option<String>, Query, description = "Context of a raw body: on what legal ground this is looked at"),
        ("scope" = Option<String>, Query, description = "Context of a raw body: which population the item counts in"),
        ("unit" = Option<String>, Query, description = "Context of a raw body: what one item counts as"),
        ("cluster" = Option<String>, Query, description = "Context of a raw body: id of near-duplicates"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 256 visible ASCII characters"),
        ("X-Deadline-Ms" = Option<u64>, Header, description = "Stop after so many milliseconds; can only shorten the server's own deadline"),
    ),
    request_body(
        description = "The attachment. Every other Content-Type is taken as `application/octet-stream` is",
        content(
            (super::dto::FileBody = "application/octet-stream"),
            (String = "text/plain"),
            (super::dto::ScoreParts = "multipart/form-data"),
            (super::dto::ScoreBody = "application/json"),
        )
    ),
    responses(
        (status = 200, description = "Scored", body = ScoreAnswer, headers(
            ("X-Request-Id" = String, description = "This call's id"),
            ("Idempotent-Replayed" = Option<String>, description = "`true` when this is the stored answer of an earlier call with the same key"),
        )),
        (status = 400, description = "`malformed`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 408, description = "`body_timeout`: the body did not arrive in time", body = ErrorBody),
        (status = 413, description = "`too_large`: the body, or a conversation that has too many messages or bytes; send its newest messages", body = ErrorBody),
        (status = 415, description = "`unsupported_type`: a Content-Encoding; no Content-Type is refused", body = ErrorBody),
        (status = 422, description = "`idempotency_conflict`: the key was used with another body", body = ErrorBody),
        (status = 429, description = "`overloaded`: see Retry-After", body = ErrorBody),
        (status = 500, description = "`internal`", body = ErrorBody),
        (status = 503, description = "`not_ready`, or `store_unavailable`: what must be written cannot be, the message says why; see Retry-After", body = ErrorBody),
        (status = 504, description = "`deadline`", body = ErrorBody),
    )
)]
pub(super) async fn score(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    state.has_permit()?;
    let key = parts.headers.get("idempotency-key").map(|key| idempotency_key(key.as_bytes())).transpose()?;
    let deadline = deadline(&parts.headers, call.arrived, state.options.deadline)?;
    let (input, permit) = read(&state, &parts, body, deadline).await?;
    let _permit = HttpState::of_account(permit, input.context.account_id.as_deref())?;
    let scored = answer(&state, Caller { who: &who, call: call.id, deadline }, input, key).await?;
    Ok(success(scored))
}

fn success(Scored { body, replayed }: Scored) -> Response {
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    if replayed {
        response.headers_mut().insert("idempotent-replayed", header::HeaderValue::from_static("true"));
    }
    response
}

/// The attachment in the body, whichever way it came, with the permit that was taken when it was there.
async fn read(state: &Shared, parts: &Parts, body: Body, deadline: Instant) -> Result<(Input, Permit), ApiError> {
    let bounds = state.options.bounds(state.options.body_limit, deadline);
    match Kind::of_request(&parts.headers)? {
        Kind::Multipart => {
            input::no_query(&parts.uri)?;
            let raw = multipart::read(parts, body, bounds, Shape::One).await?.pop();
            let raw = raw.ok_or_else(|| ApiError::malformed("there is no attachment part"))?;
            if raw.idempotency_key.is_some() {
                return Err(ApiError::malformed("the Idempotency-Key belongs among the request's headers, not the part's"));
            }
            let (length, permit) = (raw.len(), state.permit(Work::File, raw.len())?);
            Ok((off_the_loop(state, length, deadline, move |state| raw.parse(&state.options)).await?, permit))
        }
        Kind::Json => {
            input::no_query(&parts.uri)?;
            let bytes = body::read(&parts.headers, body, bounds).await?;
            let permit = state.permit(Work::Text, bytes.len())?;
            Ok((off_the_loop(state, bytes.len(), deadline, move |state| input::envelope(&bytes, &state.options)).await?, permit))
        }
        kind => {
            let context = input::query_context(&parts.uri)?;
            let bytes = body::read(&parts.headers, body, bounds).await?;
            let is_text = matches!(kind, Kind::Text { .. });
            let permit = state.permit(if is_text { Work::Text } else { Work::File }, bytes.len())?;
            // Media are taken as they are; a text is decoded.
            let input = off_the_loop(state, if is_text { bytes.len() } else { 0 }, deadline, move |state| {
                let attachment = input::attachment(kind, bytes, &state.options)?;
                Ok(Input { attachment, context })
            });
            Ok((input.await?, permit))
        }
    }
}

/// Runs work on `bytes` bytes: here when it is short, on a thread for such work, and until the deadline at most, when it is long.
pub(super) async fn off_the_loop<T: Send + 'static>(
    state: &Shared,
    bytes: usize,
    deadline: Instant,
    work: impl FnOnce(&HttpState) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if bytes <= LONG {
        return work(state);
    }
    let state = Shared::clone(state);
    let lookup = state.services.lookup.clone();
    lookup.read(move || work(&state), deadline).await?
}

/// For whom an attachment is scored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'a> {
    pub who: &'a Principal,
    pub call: RequestId,
    pub deadline: Instant,
}

/// Has one attachment scored. A panic of the service is this attachment's failure and nobody else's.
pub(super) async fn answer(state: &Shared, caller: Caller<'_>, input: Input, idempotency_key: Option<String>) -> Result<Scored, ApiError> {
    let bytes = match &input.attachment {
        Attachment::Media { bytes, .. } | Attachment::Text { received: Some(bytes), .. } => bytes.len(),
        Attachment::Text { .. } | Attachment::Conversation { .. } => 0, // bounded by max_text_bytes
    };
    let digested = idempotency_key.is_some();
    let (input, body_digest) = off_the_loop(state, if digested { bytes } else { 0 }, caller.deadline, move |_| {
        let digest = if digested { input.digest() } else { [0; 32] };
        Ok((input, digest))
    })
    .await?;
    let Input { attachment, context } = input;
    let Caller { who, call: request_id, deadline } = caller;
    let request = ScoreRequest { who: who.clone(), request_id, attachment, context, idempotency_key, body_digest, deadline };
    let scoring = AssertUnwindSafe(state.services.scorer.score(request)).catch_unwind();
    match tokio::time::timeout_at((deadline + GRACE).into(), scoring).await {
        Ok(Ok(result)) => Ok(result?),
        Ok(Err(panic)) => {
            drop(panic); // its text could hold content
            metrics::counter!(crate::telemetry::metric::PANICS_TOTAL).increment(1);
            Err(ApiError::internal("scoring panicked"))
        }
        Err(_) => Err(ApiError::new(
            ErrorCode::Deadline,
            "the deadline passed; whether the answer was stored is not known: repeat the call with the same Idempotency-Key",
        )),
    }
}

/// Refuses what is not 1 to 256 visible ASCII characters.
pub(super) fn idempotency_key(bytes: &[u8]) -> Result<String, ApiError> {
    match std::str::from_utf8(bytes) {
        Ok(text) if (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text.to_owned()),
        _ => Err(ApiError::malformed(format!("the Idempotency-Key must have 1 to {LONGEST_KEY} visible ASCII characters"))),
    }
}

/// When the call is over: the server's deadline, or the caller's if that is earlier.
pub(super) fn deadline(headers: &HeaderMap, arrived: Instant, longest: Duration) -> Result<Instant, ApiError> {
    let Some(value) = headers.get("x-deadline-ms") else { return Ok(arrived + longest) };
    let millis = value.to_str().ok().and_then(|text| text.parse::<u64>().ok()).filter(|&millis| millis > 0);
    let millis = millis.ok_or_else(|| ApiError::malformed("X-Deadline-Ms must be a positive number of milliseconds"))?;
    Ok(arrived + Duration::from_millis(millis).min(longest))
}
