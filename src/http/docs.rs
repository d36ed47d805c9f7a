//! The API's description: the document for programs, the pages for people. Everything is in the binary; no page loads from elsewhere.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::Shared;

/// The OpenAPI document of this API.
#[utoipa::path(get, path = "/openapi.json", tag = "status", responses((status = 200, description = "This document", content_type = "application/json")), security(()))]
pub(super) async fn openapi_json() -> Response {
    // Made of constants once; a test reads it, so it is known to become JSON.
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| super::openapi_document().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

/// The pages under `/docs`.
pub(super) fn pages() -> Router<Shared> {
    let pages: Router<Shared> = SwaggerUi::new("/docs").config(Config::from("/openapi.json")).into();
    pages.layer(from_fn(own_content_only))
}

/// Lets the pages load from here alone. Swagger UI sets styles on its elements and draws its icons from `data:`.
async fn own_content_only(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
