//! `/operating-points`: which thresholds are in force, and what they rest on. What it means is in `services::operating_points`.

use axum::{
    Json,
    extract::{Extension, FromRequestParts, Path, State},
    http::request::Parts,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Shared,
    error::{ApiError, ErrorBody, ErrorCode},
};
use crate::{
    domain::{
        certificate::{Certificate, Claim},
        time::Timestamp,
    },
    services::{access::Principal, operating_points::PointInForce, scoring::OperatingPointAnswer},
};

/// All points in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OperatingPointList {
    /// By technology, label and service.
    operating_points: Vec<PointBody>,
    /// Installed certificates that are not valid here, a sentence each.
    warnings: Vec<String>,
}

/// One point in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PointBody {
    technology: String,
    label: String,
    /// The population that the certificate speaks of: a service, or null for everything.
    slice: Option<String>,
    /// The service whose attachments meet the point in this form; null for all that have no entry of their own.
    service: Option<String>,
    /// Raw scores at or above it are flagged, unless there is a `fallback`.
    threshold: f32,
    #[serde(flatten)]
    point: OperatingPointAnswer,
    /// Why scores that are the highest of several looks at an attachment (frames, transparency, normalised letters) are not certified although the point is; null
    /// where they are, and where no score is.
    one_look_only: Option<&'static str>,
    /// Where it comes from.
    source: Source,
    /// When the certificate was installed.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// The name under which the certificate's signer is trusted; null when nobody trusts the signer.
    signed_by: Option<String>,
    /// What the certificate claims, whether or not it is valid here.
    claim: Option<Claim>,
    /// What has to be true for the claim to be.
    assumptions: Vec<String>,
    /// What should be known and is no part of the claim.
    warnings: Vec<String>,
}

/// Where a threshold comes from.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Source {
    Configuration,
    Certificate,
}

impl From<&PointInForce> for PointBody {
    fn from(point: &PointInForce) -> Self {
        let evidence = point.evidence.as_ref();
        let sentences = |of: fn(&Certificate) -> &Vec<String>| evidence.map(|evidence| of(&evidence.certificate).clone());
        Self {
            technology: point.key.technology.clone(),
            label: point.key.label.clone(),
            slice: point.key.slice.clone(),
            service: point.service.clone(),
            threshold: point.point.threshold.get(),
            point: (&point.point).into(),
            one_look_only: point.one_look_only(),
            source: if evidence.is_some() { Source::Certificate } else { Source::Configuration },
            since: evidence.map(|evidence| evidence.since),
            signed_by: evidence.and_then(|evidence| evidence.signer.clone()),
            claim: point.claim().cloned(),
            assumptions: sentences(|certificate| &certificate.assumptions).unwrap_or_default(),
            warnings: sentences(|certificate| &certificate.warnings).unwrap_or_default(),
        }
    }
}

/// List the operating points in force, with their evidence.
#[utoipa::path(
    get,
    path = "/operating-points",
    tag = "operating points",
    responses(
        (status = 200, description = "The points", body = OperatingPointList),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
    )
)]
pub(super) async fn list(State(state): State<Shared>, Extension(who): Extension<Principal>) -> Json<OperatingPointList> {
    let points = state.services.points.snapshot(who.tenant);
    let operating_points = points.iter().map(|point| point.as_ref().into()).collect();
    Json(OperatingPointList { operating_points, warnings: points.warnings().iter().map(ToString::to_string).collect() })
}

/// Read a certificate that is or was in force, as it was signed.
#[utoipa::path(
    get,
    path = "/operating-points/{certificate}",
    tag = "operating points",
    params(("certificate" = String, Path, description = "The certificate's id")),
    responses(
        (status = 200, description = "The document", body = Certificate),
        (status = 400, description = "`malformed`: not an id", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
pub(super) async fn certificate(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    CertificateId(id): CertificateId,
) -> Result<Json<Certificate>, ApiError> {
    let found = state.services.points.certificate(who.tenant, id).await?;
    found.map(Json).ok_or_else(|| ApiError::new(ErrorCode::NotFound, "no certificate with this id was ever installed"))
}

/// The certificate that the path names.
pub(super) struct CertificateId(Uuid);

impl<S: Send + Sync> FromRequestParts<S> for CertificateId {
    type Rejection = ApiError;

    /// 400 for what is no UUID.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = text.and_then(|Path(text)| text.parse().ok());
        id.map(Self).ok_or_else(|| ApiError::malformed("the path does not hold a certificate's id (a UUID)"))
    }
}
