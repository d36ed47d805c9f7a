//! JSON bodies of these paths: whatever their Content-Type, because HMA's clients are not held to one.

use axum::{body::Body, extract::Request, http::request::Parts};
use serde_json::Value;

use super::{
    super::{Call, Shared, body},
    error::{Refusal, bad},
};
use crate::domain::signal::Signal;

/// Bytes of a body: a pair of the longest signals for several types.
const LONGEST: usize = 8 * Signal::LONGEST_TEXT;

/// The JSON in a body.
///
/// # Errors
/// 400 for what is none; the body's own.
pub(super) async fn json(state: &Shared, call: Call, request: Request) -> Result<Value, Refusal> {
    let (parts, body) = request.into_parts();
    optional_json(state, call, &parts, body).await?.ok_or_else(|| bad("the body is empty"))
}

/// The same for a request that was taken apart and may have no body.
pub(super) async fn optional_json(state: &Shared, call: Call, parts: &Parts, body: Body) -> Result<Option<Value>, Refusal> {
    let deadline = call.arrived + state.options.deadline;
    let bytes = body::read(&parts.headers, body, state.options.bounds(LONGEST, deadline)).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| bad(format!("the body is not JSON: {error}")))
}
