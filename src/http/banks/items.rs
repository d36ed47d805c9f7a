//! `/banks/{bank}/items`: what is in a bank, and what is said of it.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Extension, Path, Request, State},
    http::{StatusCode, Uri},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    super::{
        Call, Shared,
        error::{ApiError, ErrorBody},
        json,
        score::off_the_loop,
    },
    LONGEST, bytes,
    dto::{AddedItemBody, AddedItems, AdmissionOutcome, ItemBody, ItemPage, NewOpinionBody, OpinionBody, OpinionList, TestBody},
    entry::{ItemChangeBody, NewItems},
    query,
};
use crate::{
    domain::bank::{HarmCategory, Standing},
    services::{
        access::Principal,
        banks::curation::{DEFAULT_PAGE, LONGEST_PAGE},
        permits::Work,
    },
    store::{AddedItem, ItemFilter},
};

/// Bytes of items to add: a thousand with a few signals each. A call takes a scoring permit, which allows for as much.
const LONGEST_ITEMS: usize = 8 << 20;

/// # Errors
/// 400 outside of 1..=500.
pub(super) fn page_limit(limit: u32) -> Result<u32, ApiError> {
    if (1..=LONGEST_PAGE).contains(&limit) { Ok(limit) } else { Err(ApiError::malformed(format!("limit: must lie in 1..={LONGEST_PAGE}"))) }
}

/// What an answer shows beside the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Include {
    Signals,
}

/// Which items.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ItemsQuery {
    /// Only of this standing.
    #[param(value_type = Option<String>)]
    standing: Option<Standing>,
    /// Only of this category.
    #[param(value_type = Option<String>)]
    category: Option<HarmCategory>,
    /// Only those that this source names.
    source: Option<String>,
    /// Items of a page, 1 to 500; 50 by default.
    limit: Option<u32>,
    /// `next` of the page before.
    #[serde(default)]
    after: i64,
    /// `signals` shows them.
    #[param(inline)]
    include: Option<Include>,
}

/// What to show of one.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ItemQuery {
    /// `signals` shows them.
    #[param(inline)]
    include: Option<Include>,
}

/// List a bank's items, by content id.
///
/// Filters by category or source look at one item after the other, which takes its time in large banks; standings other than `active` have an index.
#[utoipa::path(
    get,
    path = "/banks/{bank}/items",
    tag = "banks",
    params(("bank" = String, Path, description = "The bank's name"), ItemsQuery),
    responses(
        (status = 200, description = "A page of items", body = ItemPage),
        (status = 400, description = "`malformed`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: the role, or the bank's list", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
pub(in crate::http) async fn list(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    Path(bank): Path<String>,
    uri: Uri,
) -> Result<Json<ItemPage>, ApiError> {
    let ItemsQuery { standing, category, source, limit, after, include } = query(&uri)?;
    let limit = page_limit(limit.unwrap_or(DEFAULT_PAGE))?;
    let page = state.services.curation.items(&who, &bank, ItemFilter { standing, category, source, after, limit }).await?;
    let with_signals = include == Some(Include::Signals);
    Ok(Json(ItemPage { items: page.items.into_iter().map(|item| ItemBody::of(item, with_signals)).collect(), next: page.next }))
}

/// Add items, all or none.
///
/// An item keeps all its signals, whichever others have them too: a signal matches as long as one of its items is in force, and names them all. What has exactly the signals of an item
/// is that item, which gets the provenance as one more. In a bank with admission tests items are candidates until they pass them.
#[utoipa::path(
    post,
    path = "/banks/{bank}/items",
    tag = "banks",
    params(("bank" = String, Path, description = "The bank's name")),
    request_body = NewItems,
    responses(
        (status = 200, description = "What became of them, in their order", body = AddedItems),
        (status = 400, description = "`malformed`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: the role, or the bank's list", body = ErrorBody),
        (status = 404, description = "`not_found`: no such bank", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 429, description = "`overloaded`: too many calls, or an import holds the bank; see Retry-After", body = ErrorBody),
    )
)]
pub(in crate::http) async fn add(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    Path(bank): Path<String>,
    request: Request,
) -> Result<Json<AddedItems>, ApiError> {
    // Before the body is read: see the room's bounds.
    state.services.curation.may_fill(&who, &bank).await?;
    state.has_permit()?;
    let body = bytes(&state, call, request, LONGEST_ITEMS.min(state.options.body_limit)).await?;
    let _permit = state.permit(Work::File, body.len())?;
    let until = call.arrived + state.options.deadline;
    let entries = off_the_loop(&state, body.len(), until, move |_| json::parse::<NewItems>(&body)?.entries()).await?;
    let added = state.services.curation.add_all(&who, &bank, entries).await?;
    let bank_version = added.last().map_or(0, |item| item.bank_version); // there is one at least
    let held: Vec<i64> = added.iter().filter(|item| !item.created).map(|item| item.content_id).collect();
    let states = if held.is_empty() { BTreeMap::new() } else { state.services.curation.out_of_force(&who, &bank, &held).await? };
    let items = added.into_iter().map(|AddedItem { content_id, created, shares_with, .. }| AddedItemBody {
        content_id,
        created,
        named_again: if created { Vec::new() } else { vec![content_id] },
        shares_with,
        state: if created { None } else { states.get(&content_id).copied() },
    });
    Ok(Json(AddedItems { items: items.collect(), bank_version }))
}

/// Read an item.
#[utoipa::path(
    get,
    path = "/banks/{bank}/items/{content_id}",
    tag = "banks",
    params(("bank" = String, Path, description = "The bank's name"), ("content_id" = i64, Path, description = "The item"), ItemQuery),
    responses(
        (status = 200, description = "The item", body = ItemBody),
        (status = 400, description = "`malformed`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: the role, or the bank's list", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
pub(in crate::http) async fn show(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    ItemPath(bank, content_id): ItemPath,
    uri: Uri,
) -> Result<Json<ItemBody>, ApiError> {
    let ItemQuery { include } = query(&uri)?;
    let item = state.services.curation.item(&who, &bank, content_id).await?;
    Ok(Json(ItemBody::of(item, include == Some(Include::Signals))))
}

/// Change an item by order.
#[utoipa::path(
    patch,
    path = "/banks/{bank}/items/{content_id}",
    tag = "banks",
    params(("bank" = String, Path, description = "The bank's name"), ("content_id" = i64, Path, description = "The item")),
    request_body(content = ItemChangeBody, description = "What is not there stays; null takes words away"),
    responses(
        (status = 200, description = "The item", body = ItemBody),
        (status = 400, description = "`malformed`, or a standing that it cannot get from its own", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: the role, or the bank's list", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
    )
)]
pub(in crate::http) async fn update(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    ItemPath(bank, content_id): ItemPath,
    request: Request,
) -> Result<Json<ItemBody>, ApiError> {
    // Before the body is read.
    state.services.curation.may_fill(&who, &bank).await?;
    let patch = json::parse::<ItemChangeBody>(&bytes(&state, call, request, LONGEST).await?)?.patch()?;
    let item = state.services.curation.change(&who, &bank, content_id, patch).await?;
    Ok(Json(ItemBody::of(item, false)))
}

/// Retire an item for good. Its signals can be added again.
#[utoipa::path(
    delete,
    path = "/banks/{bank}/items/{content_id}",
    tag = "banks",
    params(("bank" = String, Path, description = "The bank's name"), ("content_id" = i64, Path, description = "The item")),
    responses(
        (status = 204, description = "It is retired, also when it was before"),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: the role, or the bank's list", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
pub(in crate::http) async fn retire(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    ItemPath(bank, content_id): ItemPath,
) -> Result<StatusCode, ApiError> {
    state.services.curation.retire(&who, &bank, content_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List what is said of an item.
#[utoipa::path(
    get,
    path = "/banks/{bank}/items/{content_id}/opinions",
    tag = "banks",
    params(("bank" = String, Path, description = "The bank's name"), ("content_id" = i64, Path, description = "The item")),
    responses(
        (status = 200, description = "The newest word of each who spoke, newest first", body = OpinionList),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: the role, or the bank's list", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
pub(in crate::http) async fn opinions(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    ItemPath(bank, content_id): ItemPath,
) -> Result<Json<OpinionList>, ApiError> {
    // Nobody says anything of an item that is not there.
    state.services.curation.item(&who, &bank, content_id).await?;
    let opinions = state.services.curation.opinions(&who, &bank, content_id).await?;
    Ok(Json(OpinionList { opinions: opinions.into_iter().map(OpinionBody::from).collect() }))
}

/// Confirm or dispute an item.
///
/// Disputes move it to `disputed`, which stays in force and says so with each match; many of them, with nobody who confirms, to
/// `quarantined`, whose matches go to review with the reason `quarantined_match`.
#[utoipa::path(
    post,
    path = "/banks/{bank}/items/{content_id}/opinions",
    tag = "banks",
    params(("bank" = String, Path, description = "The bank's name"), ("content_id" = i64, Path, description = "The item")),
    request_body = NewOpinionBody,
    responses(
        (status = 200, description = "The item as it is then", body = ItemBody),
        (status = 400, description = "`malformed`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: the role, or the bank's list", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
    )
)]
pub(in crate::http) async fn opine(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    ItemPath(bank, content_id): ItemPath,
    request: Request,
) -> Result<Json<ItemBody>, ApiError> {
    // Before the body is read.
    state.services.curation.may_fill(&who, &bank).await?;
    let NewOpinionBody { opinion, source, member } = json::parse(&bytes(&state, call, request, LONGEST).await?)?;
    let item = state.services.curation.opine(&who, &bank, content_id, (source, opinion), member).await?;
    Ok(Json(ItemBody::of(item, false)))
}

/// Which admission tests an item passes now.
#[utoipa::path(
    get,
    path = "/banks/{bank}/items/{content_id}/admission",
    tag = "banks",
    params(("bank" = String, Path, description = "The bank's name"), ("content_id" = i64, Path, description = "The item")),
    responses(
        (status = 200, description = "The tests that the bank asks for", body = AdmissionOutcome),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: the role, or the bank's list", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
pub(in crate::http) async fn admission(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    ItemPath(bank, content_id): ItemPath,
) -> Result<Json<AdmissionOutcome>, ApiError> {
    let item = state.services.curation.item(&who, &bank, content_id).await?;
    let outcomes = state.services.curation.admission(&who, &bank, content_id).await?;
    let tests: Vec<TestBody> =
        outcomes.into_iter().map(|one| TestBody { test: one.test, passed: one.passed, detail: one.detail }).collect();
    Ok(Json(AdmissionOutcome { standing: item.standing.as_str(), passed: tests.iter().all(|test| test.passed), tests }))
}

/// The item that a path names.
pub(in crate::http) struct ItemPath(String, i64);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for ItemPath {
    type Rejection = ApiError;

    /// 404 for what is no number: no item has such an id.
    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await.ok();
        let named = path.and_then(|Path((bank, id))| Some(Self(bank, id.parse().ok()?)));
        named.ok_or_else(|| ApiError::new(super::super::ErrorCode::NotFound, "a content id is a whole number"))
    }
}
