//! How HMA says no: `{"message": …}` with a status, and in strict answers the list of a validation library where HMA sends that.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::super::error::{ApiError, ErrorCode};
use crate::services::{access::AccessError, banks::BankError, exchange::ExchangeError, lookup::LookupError};

/// The body of an error under `/h`, `/m`, `/c`.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct HmaErrorBody {
    /// For people; says what to do.
    message: String,
}

/// An answer that is an error.
#[derive(Debug)]
pub(in crate::http) enum Refusal {
    /// Becomes `{"message"}` on these paths.
    Error(ApiError),
    /// 422 with a list, as HMA answers what its schemas refuse; in strict answers alone.
    Invalid { place: &'static str, kind: &'static str, text: &'static str },
}

impl Refusal {
    /// A parameter or field that is not there, or is no value of its type: 400, or in strict answers HMA's 422.
    pub(super) fn field(strict: bool, place: &'static str, kind: &'static str, text: &'static str) -> Self {
        if strict { Self::Invalid { place, kind, text } } else { bad(format!("{place}: {text}")) }
    }

    /// A required one that is missing.
    pub(super) fn missing(strict: bool, place: &'static str) -> Self {
        if strict { Self::Invalid { place, kind: "missing", text: "Field required" } } else { bad(format!("{place} is required")) }
    }
}

/// 400
pub(super) fn bad(message: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::Error(ApiError::malformed(message))
}

/// 404
pub(super) fn not_found(message: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::Error(ApiError::new(ErrorCode::NotFound, message))
}

/// HMA's 403 for a name that another bank or exchange has.
pub(super) fn taken(error: BankError, message: &'static str) -> Refusal {
    match error {
        BankError::Duplicate => Refusal::Error(ApiError::new(ErrorCode::Forbidden, message)),
        error => Refusal::Error(error.into()),
    }
}

impl From<BankError> for Refusal {
    fn from(error: BankError) -> Self {
        Self::Error(error.into())
    }
}

impl From<ExchangeError> for Refusal {
    /// A name that is taken is 403 here, as for banks; HMA answers 500.
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Duplicate(_) => Self::Error(ApiError::new(ErrorCode::Forbidden, "Exchange already exists")),
            error => Self::Error(error.into()),
        }
    }
}

impl From<AccessError> for Refusal {
    fn from(error: AccessError) -> Self {
        Self::Error(error.into())
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

impl From<LookupError> for Refusal {
    fn from(error: LookupError) -> Self {
        Self::Error(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Error(error) => error.into_response(),
            Self::Invalid { place, kind, text } => {
                (StatusCode::UNPROCESSABLE_ENTITY, Json(json!([{"type": kind, "loc": [place], "msg": text}]))).into_response()
            }
        }
    }
}
