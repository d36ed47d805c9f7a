//! `POST /score/batch`: many attachments in one body, one outcome each, in their order.
//!
//! The body is read to its end first: a broken body is one error and nothing is scored. From then on the outcomes are separate; whatever is
//! wrong with one attachment (its type, its context, a failure of the server) is that element's `error`.
//!
//! A batch takes a permit when its body is there. If it wants to score more attachments at a time (`batch_concurrency`) it takes further ones, as far as it leaves
//! enough for other calls of its key; so a batch goes faster on an idle server.

use axum::{
    extract::{Extension, Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{
    Call, Shared,
    error::{ApiError, ErrorBody},
    input::{self, Kind},
    multipart::{self, RawInput, Shape},
    score::{Caller, answer, deadline, idempotency_key, off_the_loop},
};
use crate::{
    domain::ids::RequestId,
    services::{access::Principal, permits::Work, scoring::Scored},
};

/// Score many attachments.
///
/// Each `attachment` part is one attachment; a `context` part belongs to the attachment after it. The answer is an array in the order of the
/// attachments: `{"status":200,"answer":{…}}`, or `{"status":4xx,"error":{…}}` for those that got none. Nothing is scored when the
/// body as a whole is broken.
#[utoipa::path(
    post,
    path = "/score/batch",
    tag = "score",
    params(("X-Deadline-Ms" = Option<u64>, Header, description = "Stop after so many milliseconds; can only shorten the server's own deadline")),
    request_body(content = super::dto::BatchParts, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "One outcome per attachment, in their order", body = Vec<super::dto::BatchOutcome>),
        (status = 400, description = "`malformed`, or not multipart", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 408, description = "`body_timeout`: the body did not arrive in time", body = ErrorBody),
        (status = 413, description = "`too_large`: the body, or the number of attachments", body = ErrorBody),
        (status = 415, description = "`unsupported_type`: a Content-Encoding", body = ErrorBody),
        (status = 429, description = "`overloaded`: see Retry-After", body = ErrorBody),
        (status = 504, description = "`deadline`: passed while the body arrived", body = ErrorBody),
    )
)]
pub(super) async fn score_batch(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    state.has_permit()?;
    if parts.headers.contains_key("idempotency-key") {
        return Err(ApiError::malformed(
            "one key cannot stand for many attachments: give each attachment part its own Idempotency-Key header",
        ));
    }
    if Kind::of_request(&parts.headers)? != Kind::Multipart {
        return Err(ApiError::malformed("a batch is multipart/form-data with attachment parts"));
    }
    input::no_query(&parts.uri)?;
    let deadline = deadline(&parts.headers, call.arrived, state.options.batch_deadline)?;
    let bounds = state.options.bounds(state.options.batch_body_limit, deadline);
    let inputs = multipart::read(&parts, body, bounds, Shape::Batch { most: state.options.batch_parts }).await?;

    let longest = inputs.iter().map(RawInput::len).max().unwrap_or(0);
    let mut permits = vec![state.permit(Work::File, longest)?];
    let wanted = state.options.batch_concurrency.min(inputs.len()).max(1);
    while permits.len() < wanted {
        let Some(permit) = state.permits.enter_beside(Work::File, longest) else { break };
        permits.push(permit);
    }
    let caller = Caller { who: &who, call: call.id, deadline };
    let outcomes: Vec<Bytes> = stream::iter(inputs)
        .map(|input| async { outcome(one(&state, caller, input).await, call.id) })
        .buffered(permits.len())
        .collect()
        .await;
    drop(permits);

    let mut array = Vec::with_capacity(outcomes.iter().map(|outcome| outcome.len() + 1).sum::<usize>() + 2);
    array.push(b'[');
    array.extend_from_slice(&outcomes.join(&b','));
    array.push(b']');
    Ok(([(header::CONTENT_TYPE, "application/json")], array).into_response())
}

async fn one(state: &Shared, caller: Caller<'_>, raw: RawInput) -> Result<Scored, ApiError> {
    let key = raw.idempotency_key.as_deref().map(idempotency_key).transpose()?;
    let input = off_the_loop(state, raw.len(), caller.deadline, move |state| raw.parse(&state.options)).await?;
    answer(state, caller, input, key).await
}

/// One element of the array. The answer is JSON already and is put in as it is.
fn outcome(result: Result<Scored, ApiError>, id: RequestId) -> Bytes {
    match result {
        Ok(Scored { body, replayed }) => {
            let mut element = Vec::with_capacity(body.len() + 48);
            element.extend_from_slice(br#"{"status":200,"#);
            if replayed {
                element.extend_from_slice(br#""replayed":true,"#);
            }
            element.extend_from_slice(br#""answer":"#);
            element.extend_from_slice(&body);
            element.push(b'}');
            element.into()
        }
        Err(error) => {
            if let Some(cause) = &error.cause {
                tracing::error!(request_id = %id, cause, "an attachment of a batch failed");
            }
            let status = error.code.status().as_u16();
            serde_json::json!({"status": status, "error": error.body(id).error}).to_string().into()
        }
    }
}
