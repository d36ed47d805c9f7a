//! Around every request: its id, its log line, its metrics, and the body of its error.
//!
//! The log line has the *route* (`/review/items/{id}`), never the path or query that the caller sent.

use std::time::Instant;

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    Call,
    body::Courteous,
    console,
    error::{ApiError, ErrorCode, Shape},
    framing, hma,
};
use crate::{domain::ids::RequestId, services::access::Principal, telemetry::metric};

/// In answers; ids that callers send are not taken over, because the log must be able to trust them.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) async fn observe(mut request: Request, next: Next) -> Response {
    let call = Call { id: RequestId::new(), arrived: Instant::now() };
    let shape = match request.uri().path() {
        path if hma::answers(path) => Shape::Message,
        path if console::answers(path) => Shape::Page,
        _ => Shape::Own,
    };
    let mut record = Record::begin(&request, call);
    request.extensions_mut().insert(call);
    let body = Body::new(Courteous(std::mem::take(request.body_mut())));
    *request.body_mut() = body;
    let mut response = match framing::check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };

    let error = response.extensions_mut().remove::<ApiError>().or_else(|| foreign_error(&response));
    if let Some(error) = &error {
        error.write_into(&mut response, call.id, shape);
    }
    let headers = response.headers_mut();
    // A UUID's text is always a header's value.
    if let Ok(id) = HeaderValue::from_str(&call.id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    if shape == Shape::Page {
        console::harden(headers);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    record.end(&response, error.as_ref());
    response
}

/// An error that a foreign handler (the documentation's files) made in its own words.
fn foreign_error(response: &Response) -> Option<ApiError> {
    (response.status() == StatusCode::NOT_FOUND).then(|| ApiError::new(ErrorCode::NotFound, "there is nothing at this path; see /docs"))
}

/// What is noted of one request. Dropped before its end, it notes that the caller left.
struct Record {
    call: Call,
    method: &'static str,
    path: String,
    ended: bool,
}

/// Status of a request whose caller left before the answer, in log and metrics only (nginx's number).
const CALLER_LEFT: u16 = 499;

impl Record {
    fn begin(request: &Request, call: Call) -> Self {
        metrics::gauge!(metric::REQUESTS_IN_FLIGHT).increment(1.0);
        let path = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
        Self { call, method: label(request.method()), path, ended: false }
    }

    fn end(&mut self, response: &Response, error: Option<&ApiError>) {
        self.ended = true;
        let status = response.status().as_u16();
        let millis = self.note(status);
        let key = response.extensions().get::<Principal>().map(|principal| tracing::field::display(principal.key));
        let Self { call, method, path, .. } = self;
        let request_id = call.id;
        match error {
            Some(ApiError { code: ErrorCode::Internal, cause, .. }) => {
                let cause = cause.as_deref().unwrap_or("unknown");
                tracing::error!(%request_id, method, path, status, millis, key, cause, "a request failed");
            }
            Some(error) => tracing::info!(%request_id, method, path, status, millis, key, code = ?error.code, "answered with an error"),
            None => tracing::info!(%request_id, method, path, status, millis, key, "answered"),
        }
    }

    /// Counts the request and gives its time in milliseconds.
    fn note(&self, status: u16) -> f64 {
        let elapsed = self.call.arrived.elapsed();
        metrics::counter!(metric::REQUESTS_TOTAL, "path" => self.path.clone(), "method" => self.method, "status" => status.to_string())
            .increment(1);
        metrics::histogram!(metric::REQUEST_SECONDS, "path" => self.path.clone(), "method" => self.method).record(elapsed);
        elapsed.as_secs_f64() * 1e3
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        metrics::gauge!(metric::REQUESTS_IN_FLIGHT).decrement(1.0);
        if !self.ended {
            let millis = self.note(CALLER_LEFT);
            tracing::info!(request_id = %self.call.id, method = self.method, path = self.path, status = CALLER_LEFT, millis, "the caller left");
        }
    }
}

/// Callers can invent methods; label values must not grow without bound.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
