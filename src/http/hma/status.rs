//! `/status` and what HMA's load balancers and clients ask beside it.

use std::sync::LazyLock;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    super::{HttpOptions, Shared, openapi_document, routes},
    upload::ContentType,
};
use serde_json::{Value, json};

/// Everything is well.
const ALIVE: &str = "I-AM-ALIVE";

/// Whether this server should be asked.
#[utoipa::path(
    get,
    path = "/status",
    tag = "hma",
    responses(
        (status = 200, description = "`I-AM-ALIVE`", body = String, content_type = "text/plain"),
        (status = 503, description = "`INDEX-STALE`: the banks changed and cannot be read", body = String, content_type = "text/plain"),
    ),
    security(())
)]
pub(in crate::http) async fn status(State(state): State<Shared>) -> (StatusCode, &'static str) {
    // There is no INDEX-NOT-LOADED: the server listens when its banks are loaded.
    if state.services.lookup.up_to_date() { (StatusCode::OK, ALIVE) } else { (StatusCode::SERVICE_UNAVAILABLE, "INDEX-STALE") }
}

/// Whether the process answers, whatever its banks do.
#[utoipa::path(
    get,
    path = "/status/live",
    tag = "hma",
    responses((status = 200, description = "`I-AM-ALIVE`", body = String, content_type = "text/plain")),
    security(())
)]
pub(in crate::http) async fn live() -> &'static str {
    ALIVE
}

/// Where HMA's clients begin.
#[utoipa::path(get, path = "/", tag = "hma", responses((status = 302, description = "To `/status`")), security(()))]
pub(in crate::http) async fn home() -> (StatusCode, [(header::HeaderName, &'static str); 1]) {
    (StatusCode::FOUND, [(header::LOCATION, "/status")])
}

/// This server's OpenAPI document, where HMA has its own, under the title by which HMA's clients know it.
#[utoipa::path(get, path = "/openapi/openapi.json", tag = "hma", responses((status = 200, description = "The document", content_type = "application/json")), security(()))]
pub(in crate::http) async fn document() -> Response {
    // Made of constants once; a test reads it, so it is known to become JSON.
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
        let mut document = openapi_document();
        document.info.title = "Open Media Match API".to_owned();
        document.to_json().unwrap_or_default()
    });
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

/// Every path of this server.
#[utoipa::path(
    get,
    path = "/site-map",
    tag = "hma",
    responses((status = 200, description = "Paths with `<name>` where a value stands", body = Vec<String>)),
    security(())
)]
pub(in crate::http) async fn site_map() -> Json<Vec<String>> {
    let mut paths: Vec<String> =
        routes(&HttpOptions::default()).iter().map(|route| route.path.replace('{', "<").replace('}', ">")).collect();
    paths.sort_unstable();
    Json(paths)
}

/// What content can be.
#[utoipa::path(
    get,
    path = "/c/content_type",
    tag = "hma",
    responses((status = 200, description = "`[{\"name\": \"photo\", \"enabled\": true}, …]`", content_type = "application/json"))
)]
pub(in crate::http) async fn content_types() -> Json<Value> {
    Json(ContentType::ALL.iter().map(|kind| json!({"name": kind.as_str(), "enabled": true})).collect())
}
