//! From errors to answers: the one place that knows both.
//!
//! A handler returns an [`ApiError`]. Its response carries the error beside an empty body, and `observe`, which knows the request's id, writes the
//! body; so no error can leave without its id.

use std::{any::Any, borrow::Cow, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::console;
use crate::{
    domain::ids::RequestId,
    services::{
        access::AccessError,
        banks::BankError,
        exchange::{ExchangeError, credentials::CredentialsError},
        lookup::LookupError,
        review::ReviewError,
        scoring::ScoreError,
    },
    store::{Hindrance, StoreError},
    telemetry::metric,
};

/// How an error is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `{"error":{"code","message","request_id"}}`
    Own,
    /// `{"message"}`, as HMA's clients read it.
    Message,
    /// A page for people, in the console.
    Page,
}

/// What went wrong, for programs. Each code has one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 400: correct the request.
    Malformed,
    /// 401: send a valid key.
    Unauthenticated,
    /// 403: the key's role may not do this.
    Forbidden,
    /// 404
    NotFound,
    /// 405: see `Allow`.
    MethodNotAllowed,
    /// 408: the body did not arrive in time.
    BodyTimeout,
    /// 409: another reviewer holds the item.
    ClaimedByAnother,
    /// 409: another reviewer has to decide the item; take another one.
    Reserved,
    /// 409: claim the item first.
    NotClaimed,
    /// 409: the item has its decision.
    AlreadyDecided,
    /// 409: there is one of this name.
    Duplicate,
    /// 413: over one of the limits that the message names.
    TooLarge,
    /// 415: the body has a Content-Encoding that is not read. No Content-Type is refused.
    UnsupportedType,
    /// 422: the idempotency key was used with another body.
    IdempotencyConflict,
    /// 429: try again after `Retry-After` seconds.
    Overloaded,
    /// 429: the key looked up too many different hashes near one item; see the message and `Retry-After`.
    LookupsStopped,
    /// 500: see the log under the request's id.
    Internal,
    /// 503: not ready, or shutting down.
    NotReady,
    /// 503: what the answer must leave behind cannot be written, or read; the message names the cause. Try again after `Retry-After` seconds.
    StoreUnavailable,
    /// 504: the deadline passed.
    Deadline,
}

impl ErrorCode {
    /// The status of answers with this code.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::ClaimedByAnother | Self::Reserved | Self::NotClaimed | Self::AlreadyDecided | Self::Duplicate => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::IdempotencyConflict => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Overloaded | Self::LookupsStopped => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotReady | Self::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// The body of every answer that is an error.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ErrorDetail {
    pub code: ErrorCode,
    /// For people; says what to do.
    pub message: String,
    /// This call's id; also in the log and in `X-Request-Id`.
    pub request_id: String,
}

/// The text of every 500: the cause is nobody's business outside.
const INTERNAL: &str = "the server failed; its log has the cause under this request_id";

/// After which to try again when the store is too busy, or cannot be written: the time in which its queue is worked off, and more than the second after which it tries by itself.
const STORE_PATIENCE: Duration = Duration::from_secs(5);

/// An answer that is an error.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    pub code: ErrorCode,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    /// Whether the connection ends with this answer.
    closes: bool,
    /// For the log alone.
    pub cause: Option<String>,
}

impl ApiError {
    pub(super) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        let closes = code == ErrorCode::BodyTimeout; // what is left of the body is not waited for
        Self { code, message: message.into(), retry_after: None, closes, cause: None }
    }

    /// 400
    pub(super) fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Malformed, message)
    }

    /// 400 for a request of which two servers could read different things: nothing more is read from its connection.
    pub(super) fn ambiguous(message: impl Into<Cow<'static, str>>) -> Self {
        Self { closes: true, ..Self::malformed(message) }
    }

    /// 415
    pub(super) fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::UnsupportedType, message)
    }

    /// 413
    pub(super) fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::TooLarge, message)
    }

    /// 429 with `Retry-After`.
    pub(super) fn overloaded(what: &str, retry_after: Duration) -> Self {
        let message = format!("{what}; try again after {} s", seconds(retry_after));
        Self { retry_after: Some(retry_after), ..Self::new(ErrorCode::Overloaded, message) }
    }

    /// 503 with `Retry-After`.
    fn unavailable(hindrance: Hindrance) -> Self {
        let message = format!("{hindrance}, so nothing was stored; try again after {} s", STORE_PATIENCE.as_secs());
        Self { retry_after: Some(STORE_PATIENCE), ..Self::new(ErrorCode::StoreUnavailable, message) }
    }

    /// 500; `cause` goes to the log.
    pub(super) fn internal(cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..Self::new(ErrorCode::Internal, INTERNAL) }
    }

    /// What the caller is told.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// The error as JSON.
    pub(super) fn body(&self, id: RequestId) -> ErrorBody {
        ErrorBody { error: ErrorDetail { code: self.code, message: self.message.to_string(), request_id: id.to_string() } }
    }

    /// Completes the response of this error; keeps headers that are there already (`Allow`).
    pub(super) fn write_into(&self, response: &mut Response, id: RequestId, shape: Shape) {
        *response.status_mut() = self.code.status();
        // Strings and an enum always become JSON.
        let body = match shape {
            Shape::Own => serde_json::to_vec(&self.body(id)),
            Shape::Message => serde_json::to_vec(&serde_json::json!({"message": self.message})),
            Shape::Page => Ok(console::problem(self.code.status(), &self.message, id).into_bytes()),
        };
        *response.body_mut() = Body::from(body.unwrap_or_default());
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        let kind = if shape == Shape::Page { "text/html; charset=utf-8" } else { "application/json" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(after)));
        }
        // A browser would ask for a name and a password of its own.
        if self.code == ErrorCode::Unauthenticated && shape != Shape::Page {
            let schemes = HeaderValue::from_static(r#"Bearer realm="nightlight", Basic realm="nightlight""#);
            headers.insert(header::WWW_AUTHENTICATE, schemes);
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Whole seconds, at least one: `Retry-After: 0` invites a stampede.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs_f64().ceil().max(1.0) as u64
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What a panic becomes. Its text stays out of log and answer: it could hold content.
pub(super) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    metrics::counter!(metric::PANICS_TOTAL).increment(1);
    ApiError::internal("a handler panicked").into_response()
}

impl From<ScoreError> for ApiError {
    fn from(error: ScoreError) -> Self {
        let message = error.to_string();
        let code = match error {
            ScoreError::Overloaded { retry_after } => {
                return Self { retry_after: Some(retry_after), ..Self::new(ErrorCode::Overloaded, message) };
            }
            ScoreError::Unavailable(hindrance) => return Self::unavailable(hindrance),
            ScoreError::Internal(cause) => return Self::internal(cause),
            // The scoring service turns this one into the other process's answer.
            ScoreError::AlreadyAnswered => return Self::internal("an idempotent answer was not taken over"),
            ScoreError::Malformed(_) => ErrorCode::Malformed,
            ScoreError::TooLarge(_) => ErrorCode::TooLarge,
            ScoreError::IdempotencyConflict => ErrorCode::IdempotencyConflict,
            ScoreError::Deadline => ErrorCode::Deadline,
            ScoreError::ShuttingDown => ErrorCode::NotReady,
        };
        Self::new(code, message)
    }
}

impl From<BankError> for ApiError {
    fn from(error: BankError) -> Self {
        let message = error.to_string();
        match error {
            BankError::Forbidden(error) => error.into(),
            BankError::Store(error) => error.into(),
            BankError::NotAdmitted(_) => Self::new(ErrorCode::Forbidden, message),
            BankError::NotFound(_) => Self::new(ErrorCode::NotFound, message),
            BankError::Duplicate => Self::new(ErrorCode::Duplicate, message),
            BankError::Malformed(_) => Self::malformed(message),
            BankError::Busy { .. } => Self::overloaded(&message, Duration::from_secs(1)),
        }
    }
}

impl From<ExchangeError> for ApiError {
    fn from(error: ExchangeError) -> Self {
        let message = error.to_string();
        match error {
            ExchangeError::UnknownApi(_) | ExchangeError::Invalid(_) => Self::malformed(message),
            // Those name files of this machine.
            ExchangeError::Credentials(CredentialsError::File { .. } | CredentialsError::Missing { .. }) | ExchangeError::Fetch(_) => {
                Self::internal(message)
            }
            ExchangeError::Credentials(CredentialsError::Invalid { .. } | CredentialsError::NotNeeded(_)) => Self::malformed(message),
            ExchangeError::NotFound(_) => Self::new(ErrorCode::NotFound, message),
            ExchangeError::Duplicate(_) => Self::new(ErrorCode::Duplicate, message),
            ExchangeError::Busy(_) => Self::overloaded(&message, Duration::from_secs(1)),
            ExchangeError::Bank(error) => error.into(),
            ExchangeError::Store(error) => error.into(),
        }
    }
}

impl From<LookupError> for ApiError {
    fn from(error: LookupError) -> Self {
        let message = error.to_string();
        match error {
            LookupError::Picture(_)
            | LookupError::TooSmall(_)
            | LookupError::UnsupportedMedia(_)
            | LookupError::UnsupportedFeature(_)
            | LookupError::Fetch(_) => Self::malformed(message),
            LookupError::TooLarge(_) => Self::too_large(message),
            LookupError::Overloaded => Self::overloaded(&message, Duration::from_secs(1)),
            LookupError::Stopped { retry_after } => {
                Self { retry_after: Some(retry_after), ..Self::new(ErrorCode::LookupsStopped, message) }
            }
            LookupError::Deadline => Self::new(ErrorCode::Deadline, message),
            LookupError::ShuttingDown => Self::new(ErrorCode::NotReady, message),
            LookupError::Internal(cause) => Self::internal(cause),
        }
    }
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> Self {
        let message = error.to_string();
        match error {
            AccessError::MissingKey | AccessError::InvalidKey => Self::new(ErrorCode::Unauthenticated, message),
            AccessError::Forbidden(_) => Self::new(ErrorCode::Forbidden, message),
            AccessError::Name | AccessError::Expired => Self::malformed(message),
            AccessError::Store(error) => error.into(),
            AccessError::Role(_) | AccessError::KeyFile { .. } | AccessError::Write { .. } | AccessError::Random(_) => {
                Self::internal(message)
            }
        }
    }
}

impl From<ReviewError> for ApiError {
    fn from(error: ReviewError) -> Self {
        let message = error.to_string();
        let code = match error {
            ReviewError::Forbidden(error) => return error.into(),
            ReviewError::Store(error) => return error.into(),
            ReviewError::Malformed(_) => ErrorCode::Malformed,
            ReviewError::NotFound => ErrorCode::NotFound,
            ReviewError::ClaimedByAnother { .. } => ErrorCode::ClaimedByAnother,
            ReviewError::Reserved => ErrorCode::Reserved,
            ReviewError::NotClaimed => ErrorCode::NotClaimed,
            ReviewError::AlreadyDecided => ErrorCode::AlreadyDecided,
        };
        Self::new(code, message)
    }
}

impl From<StoreError> for ApiError {
    /// What the services let through: load, shutdown and what keeps the store from its work have an answer, everything else is a failure of the server.
    fn from(error: StoreError) -> Self {
        if let Some(hindrance) = error.hindrance() {
            return Self::unavailable(hindrance);
        }
        match error {
            StoreError::Overloaded => Self::overloaded("the store is busy", STORE_PATIENCE),
            StoreError::Closed => Self::new(ErrorCode::NotReady, "the server is shutting down"),
            error => Self::internal(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_500_says_nothing_of_its_cause() {
        let error = ApiError::from(ScoreError::Internal("secret path".into()));
        let body = serde_json::to_string(&error.body(RequestId::new())).unwrap();
        assert!(!body.contains("secret"), "{body}");
        assert_eq!(error.cause.as_deref(), Some("secret path"));
    }

    #[test]
    fn retry_after_is_whole_seconds_and_never_zero() {
        assert_eq!([0, 1, 999, 1000, 1001].map(|millis| seconds(Duration::from_millis(millis))), [1, 1, 1, 1, 2]);
    }
}
