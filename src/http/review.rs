//! `/review`: the queue over HTTP. What it means is in `services::review`.

use axum::{
    Json,
    extract::{Extension, FromRequestParts, Path, Query, Request, State},
    http::{Uri, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::IntoParams;

use super::{
    Call, Shared, body,
    dto::{DecisionBody, GoldAdded, GoldBody},
    error::{ApiError, ErrorBody},
    json,
    review_dto::{AttachmentsPage, DecisionsPage, ReviewItemBody, ReviewPage},
};
use crate::{
    domain::{decision::Category, ids::ReviewItemId},
    services::{access::Principal, review::Listing},
    store::ReviewState,
};

/// Bytes of a decision: a verdict and a code.
const LONGEST_DECISION: usize = 4 << 10;

/// Which items.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only this queue.
    queue: Option<String>,
    /// `open` (default) or `decided`.
    #[serde(default)]
    #[param(inline)]
    state: ReviewState,
    /// Only this category.
    #[param(inline)]
    category: Option<Category>,
    /// Items of a page, 1 to 200; 50 by default.
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
}

/// List the queue, most urgent first.
#[utoipa::path(
    get,
    path = "/review/items",
    tag = "review",
    params(ListQuery),
    responses(
        (status = 200, description = "A page of items", body = ReviewPage),
        (status = 400, description = "`malformed`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
    )
)]
pub(super) async fn list(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    uri: Uri,
) -> Result<Json<ReviewPage>, ApiError> {
    let Query(query) = Query::<ListQuery>::try_from_uri(&uri).map_err(|error| ApiError::malformed(error.body_text()))?;
    let after = query.after.map(|after| after.parse()).transpose();
    let after = after.map_err(|error| ApiError::malformed(format!("after: {error}")))?;
    let ListQuery { queue, state: wanted, category, limit, .. } = query;
    let page = state.services.review.list(&who, Listing { queue, state: wanted, category, limit, after }).await?;
    Ok(Json(ReviewPage { items: page.items.into_iter().map(Into::into).collect(), next: page.next.map(|next| next.to_string()) }))
}

/// Read one item.
#[utoipa::path(
    get,
    path = "/review/items/{id}",
    tag = "review",
    params(("id" = String, Path, description = "The item's id")),
    responses(
        (status = 200, description = "The item", body = ReviewItemBody),
        (status = 400, description = "`malformed`: not an id", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
pub(super) async fn item(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    ItemId(id): ItemId,
) -> Result<Json<ReviewItemBody>, ApiError> {
    Ok(Json(state.services.review.item(&who, id).await?.into()))
}

/// A place to go on from.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AfterQuery {
    /// `next` of the page before, or the `cursor` of the last entry that was seen.
    after: Option<String>,
    /// Entries of a page, 1 to 200; 50 by default.
    limit: Option<u32>,
}

impl AfterQuery {
    fn of(uri: &Uri) -> Result<(Option<i64>, Option<u32>), ApiError> {
        let Query(Self { after, limit }) = Query::try_from_uri(uri).map_err(|error| ApiError::malformed(error.body_text()))?;
        let number = |text: String| text.parse().ok().filter(|number| *number >= 0);
        let wrong = || ApiError::malformed("after: not a cursor from this server; start again without one");
        Ok((after.map(|text| number(text).ok_or_else(wrong)).transpose()?, limit))
    }
}

/// List all attachments that an item stands for, in the order in which they came.
///
/// The first one made the item; others matched the same while it was open, or are copies that came once it was decided. Whoever has come to the end can go on
/// with the `cursor` of the last one to see those that came since.
#[utoipa::path(
    get,
    path = "/review/items/{id}/attachments",
    tag = "review",
    params(("id" = String, Path, description = "The item's id"), AfterQuery),
    responses(
        (status = 200, description = "A page of attachments", body = AttachmentsPage),
        (status = 400, description = "`malformed`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
pub(super) async fn attachments(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    ItemId(id): ItemId,
    uri: Uri,
) -> Result<Json<AttachmentsPage>, ApiError> {
    let (after, limit) = AfterQuery::of(&uri)?;
    Ok(Json(state.services.review.attachments(&who, id, after, limit).await?.into()))
}

/// Follow decisions in the order in which they were made.
///
/// `next` is where to go on, also on the last page: ask with it again for the decisions made since. No decision is missed, whatever is decided meanwhile. A
/// decision is about all attachments of its item; `GET /review/items/{id}/attachments` lists them.
#[utoipa::path(
    get,
    path = "/review/decisions",
    tag = "review",
    params(AfterQuery),
    responses(
        (status = 200, description = "A page of decisions", body = DecisionsPage),
        (status = 400, description = "`malformed`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
    )
)]
pub(super) async fn decisions(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    uri: Uri,
) -> Result<Json<DecisionsPage>, ApiError> {
    let (after, limit) = AfterQuery::of(&uri)?;
    Ok(Json(state.services.review.decisions(&who, after.unwrap_or(0), limit).await?.into()))
}

/// Take an item, or renew one's claim.
#[utoipa::path(
    post,
    path = "/review/items/{id}/claim",
    tag = "review",
    params(("id" = String, Path, description = "The item's id")),
    responses(
        (status = 200, description = "The item, claimed", body = ReviewItemBody),
        (status = 400, description = "`malformed`: not an id", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`claimed_by_another` or `already_decided`", body = ErrorBody),
    )
)]
pub(super) async fn claim(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    ItemId(id): ItemId,
) -> Result<Json<ReviewItemBody>, ApiError> {
    Ok(Json(state.services.review.claim(&who, id).await?.into()))
}

/// Give a claim back.
#[utoipa::path(
    post,
    path = "/review/items/{id}/release",
    tag = "review",
    params(("id" = String, Path, description = "The item's id")),
    responses(
        (status = 200, description = "The item, free", body = ReviewItemBody),
        (status = 400, description = "`malformed`: not an id", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`claimed_by_another`, `not_claimed` or `already_decided`", body = ErrorBody),
    )
)]
pub(super) async fn release(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    ItemId(id): ItemId,
) -> Result<Json<ReviewItemBody>, ApiError> {
    Ok(Json(state.services.review.release(&who, id).await?.into()))
}

/// Decide a claimed item. Final.
#[utoipa::path(
    post,
    path = "/review/items/{id}/decision",
    tag = "review",
    params(("id" = String, Path, description = "The item's id")),
    request_body = DecisionBody,
    responses(
        (status = 200, description = "The item, decided", body = ReviewItemBody),
        (status = 400, description = "`malformed`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`claimed_by_another`, `not_claimed` or `already_decided`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
    )
)]
pub(super) async fn decide(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    ItemId(id): ItemId,
    request: Request,
) -> Result<Json<ReviewItemBody>, ApiError> {
    let DecisionBody { verdict, note_code } = small_body(&state, call, request).await?;
    Ok(Json(state.services.review.decide(&who, id, verdict, note_code).await?.into()))
}

/// Put a copy of an item into the queue whose right verdict is known, to measure reviewers.
///
/// Reviewers cannot tell it from another item; whoever decided the original does not get it. Its verdict never enters the precision.
#[utoipa::path(
    post,
    path = "/review/gold",
    tag = "review",
    request_body = GoldBody,
    responses(
        (status = 200, description = "The new item's id", body = GoldAdded),
        (status = 400, description = "`malformed`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: needs the role `admin`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
    )
)]
pub(super) async fn add_gold(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    request: Request,
) -> Result<Json<GoldAdded>, ApiError> {
    let GoldBody { review_item, truth } = small_body(&state, call, request).await?;
    let original = review_item.parse().map_err(|_| ApiError::malformed("review_item is not a review item's id (a UUID)"))?;
    let id = state.services.review.add_gold(&who, original, truth).await?;
    Ok(Json(GoldAdded { review_item: id.to_string() }))
}

/// A short JSON body.
async fn small_body<T: DeserializeOwned>(state: &Shared, call: Call, request: Request) -> Result<T, ApiError> {
    let (parts, body) = request.into_parts();
    let options = &state.options;
    let bounds = options.bounds(LONGEST_DECISION, call.arrived + options.deadline);
    let bytes = body::read(&parts.headers, body, bounds).await?;
    json::parse(&bytes)
}

/// The item that the path names.
pub(super) struct ItemId(ReviewItemId);

impl<S: Send + Sync> FromRequestParts<S> for ItemId {
    type Rejection = ApiError;

    /// 400 for what is no UUID.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = text.and_then(|Path(text)| text.parse().ok());
        id.map(Self).ok_or_else(|| ApiError::malformed("the path does not hold a review item's id (a UUID)"))
    }
}
