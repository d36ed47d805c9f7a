//! `/monitor`: what live review says of the operating points. What it means is in `services::monitor`.

use axum::{
    Json,
    extract::{Extension, State},
};

use super::{
    Shared,
    error::{ApiError, ErrorBody},
};
use crate::services::{access::Principal, monitor::MonitorReport};

/// What live review says of every operating point, with recall, drift and reviewers.
#[utoipa::path(
    get,
    path = "/monitor",
    tag = "status",
    responses(
        (status = 200, description = "Live precision of each technology, label and slice", body = MonitorReport),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
    )
)]
pub(super) async fn report(State(state): State<Shared>, Extension(who): Extension<Principal>) -> Result<Json<MonitorReport>, ApiError> {
    Ok(Json(state.services.monitor.report(who.tenant).await?))
}
