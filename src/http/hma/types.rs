//! Signal types, and how large their indices are.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Extension, Path, Request, State},
    http::StatusCode,
};
use serde_json::{Map, Value, json};

use super::{
    super::{Call, Shared},
    body,
    error::{HmaErrorBody, Refusal, bad, not_found},
    params::{Params, kind_named, name_of},
};
use crate::{
    domain::signal::SignalType,
    services::access::{Permission, Principal},
};

/// HMA's own, which a strict answer names alone.
const HMAS: [SignalType; 2] = [SignalType::Pdq, SignalType::Md5];

/// Signals by type: all that are not embeddings, and the embeddings that some bank holds.
fn held(state: &Shared, who: &Principal, strict: bool) -> BTreeMap<SignalType, usize> {
    let mut held = state.services.lookup.held(who);
    if strict {
        held.retain(|kind, _| HMAS.contains(kind));
    }
    held
}

/// What the caller limits the answer to.
fn wanted(params: &Params) -> Result<Option<SignalType>, Refusal> {
    let named = params.get("signal_type");
    named.map(|name| kind_named(name, params.strict).ok_or_else(|| bad(format!("No such signal type '{name}'")))).transpose()
}

/// One entry for each type that is wanted.
fn by_type(state: &Shared, who: &Principal, params: &Params, entry: impl Fn(usize, i64) -> Value) -> Result<Json<Value>, Refusal> {
    let wanted = wanted(params)?;
    // Banks are searched as they are in the store, so what was built last is what came in last.
    let newest = state.services.lookup.last_change().map_or(-1, |at| at.micros() / 1_000_000);
    let held = held(state, who, params.strict).into_iter().filter(|(kind, _)| wanted.is_none_or(|wanted| wanted == *kind));
    let entries: Map<String, Value> = held.map(|(kind, size)| (name_of(kind).to_owned(), entry(size, newest))).collect();
    Ok(Json(Value::Object(entries)))
}

/// Which indices there are, and how large they are.
#[utoipa::path(
    get,
    path = "/m/index/status",
    tag = "hma",
    params(("signal_type" = Option<String>, Query, description = "Only this one")),
    responses(
        (status = 200, description = "`{\"pdq\": {\"present\": true, \"built_to\": 1700146048, \"size\": 591}}`", content_type = "application/json"),
        (status = 400, description = "No such type", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn status(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    params: Params,
) -> Result<Json<Value>, Refusal> {
    by_type(&state, &who, &params, |size, built_to| json!({"present": true, "built_to": built_to, "size": size}))
}

/// The same, in the words of the curators' part of HMA.
#[utoipa::path(
    get,
    path = "/c/signal_type/index",
    tag = "hma",
    params(("signal_type" = Option<String>, Query, description = "Only this one")),
    responses(
        (status = 200, description = "`{\"pdq\": {\"db_size\", \"index_size\", \"index_out_of_date\", \"newest_db_item\", \"index_built_to\"}}`", content_type = "application/json"),
        (status = 400, description = "No such type", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn index(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    params: Params,
) -> Result<Json<Value>, Refusal> {
    let stale = !state.services.lookup.up_to_date();
    by_type(
        &state,
        &who,
        &params,
        |size, newest| json!({"db_size": size, "index_size": size, "index_out_of_date": stale, "newest_db_item": newest, "index_built_to": newest}),
    )
}

/// Which signal types there are.
#[utoipa::path(
    get,
    path = "/c/signal_type",
    tag = "hma",
    responses((status = 200, description = "`[{\"name\": \"pdq\", \"enabled_ratio\": 1.0}]`", content_type = "application/json"))
)]
pub(in crate::http) async fn list(State(state): State<Shared>, Extension(who): Extension<Principal>, params: Params) -> Json<Value> {
    let entry = |kind: &SignalType| json!({"name": name_of(*kind), "enabled_ratio": state.services.lookup.share(&who, *kind)});
    Json(held(&state, &who, params.strict).keys().map(entry).collect())
}

/// Set the share of lookups in which signals of a type take part.
///
/// It is kept, and counts in every bank and every lookup, those of `/score` too. A type whose ratio is 0 is off: lookups that ask for it are refused.
#[utoipa::path(
    put,
    path = "/c/signal_type/{name}",
    tag = "hma",
    params(("name" = String, Path, description = "`pdq`, `video_md5`, …")),
    request_body(content = std::collections::BTreeMap<String, f64>, content_type = "application/json", description = "`{\"enabled_ratio\": 1.0}`, 0 to 1"),
    responses(
        (status = 204, description = "It is so"),
        (status = 400, description = "Not in 0 to 1", body = HmaErrorBody),
        (status = 403, description = "Not the role `admin`", body = HmaErrorBody),
        (status = 404, description = "No such type", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn update(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    Path(name): Path<String>,
    params: Params,
    request: Request,
) -> Result<StatusCode, Refusal> {
    who.require(Permission::Administer)?;
    let kind = kind_named(&name, params.strict).ok_or_else(|| not_found(format!("No such signal type '{name}'")))?;
    let body = body::json(&state, call, request).await?;
    let ratio = body.get("enabled_ratio").filter(|ratio| !ratio.is_null()).ok_or_else(|| bad("enabled_ratio is required"))?;
    let number = ratio.as_f64().or_else(|| ratio.as_str()?.parse().ok()).ok_or_else(|| bad(format!("Invalid float: '{ratio}'")))?;
    state.services.curation.set_signal_share(&who, kind, number).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// # Errors
/// 400 for a type that is off, in HMA's words; HMA itself turns none off.
pub(super) fn enabled(state: &Shared, who: &Principal, kind: SignalType, strict: bool) -> Result<(), Refusal> {
    if strict || state.services.lookup.share(who, kind) > 0.0 {
        Ok(())
    } else {
        Err(bad(format!("SignalType '{}' is not enabled", name_of(kind))))
    }
}
