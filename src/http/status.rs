//! For whoever runs the server: is it alive, is it ready, how is it doing.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::Shared;
use crate::{
    services::health::{Check, Health},
    telemetry::metric,
};

/// A readiness check that takes longer is a check that failed: orchestrators do not wait longer either.
const HEALTH_PATIENCE: Duration = Duration::from_secs(2);

/// Whether the process runs. Says nothing about its work.
#[utoipa::path(get, path = "/livez", tag = "status", responses((status = 200, description = "The process runs", content_type = "application/json")), security(()))]
pub(super) async fn livez() -> Response {
    Json(serde_json::json!({"status": "alive"})).into_response()
}

/// Whether the server can do its work: store, models and banks.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "status",
    responses(
        (status = 200, description = "It can", body = Health),
        (status = 503, description = "It cannot; the checks say why", body = Health),
    ),
    security(())
)]
pub(super) async fn readyz(State(state): State<Shared>) -> (StatusCode, Json<Health>) {
    let health = match tokio::time::timeout(HEALTH_PATIENCE, (state.services.health)()).await {
        Ok(health) => health,
        Err(_) => Health::of(vec![Check::failed("health", "the checks did not answer within two seconds")], vec![]),
    };
    (if health.ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(health))
}

/// Metrics in Prometheus' text format. Needs the role `metrics` or `admin`, unless the configuration opens it.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "status",
    responses(
        (status = 200, description = "Metrics", body = String, content_type = "text/plain"),
        (status = 401, description = "`unauthenticated`", body = super::error::ErrorBody),
        (status = 403, description = "`forbidden`", body = super::error::ErrorBody),
    )
)]
pub(super) async fn metrics(State(state): State<Shared>) -> Response {
    metrics::gauge!(metric::PERMITS_FREE).set(state.permits.free() as f64);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.metrics.render()).into_response()
}
