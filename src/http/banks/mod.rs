//! `/banks`: banks and what is in them. What it means is in `services::banks`.
//!
//! Whoever may match sees banks; whoever may curate changes them and sees items. A bank may have a list of keys beside that. Signals are shown when they are
//! asked for, and in no other answer: hash lists are secret.
//!
//! Changes come as JSON merge patches (RFC 7396): what is not there stays, `null` takes away or sets the default. A change is in force for the next lookup
//! when the answer leaves.

pub(super) mod access;
mod dto;
mod entry;
pub(super) mod items;

use axum::{
    Json,
    extract::{Extension, Path, Query, Request, State},
    http::{StatusCode, Uri},
    routing::{get, put},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use utoipa::IntoParams;

use self::dto::{BankBody, BankChange, BankList, HitBody, HitList, NewBank, StandingBody, StandingList};
use super::{
    Call, Route, Shared, body,
    error::{ApiError, ErrorBody},
    json, route,
};
use crate::{
    domain::{curation::BankSettings, time::Timestamp},
    services::{
        access::{Permission, Principal},
        banks::curation::DEFAULT_PAGE,
    },
    store::BankUpdate,
};

/// Bytes of a bank's settings or a change of an item: metadata may take 64 KiB of it.
const LONGEST: usize = 128 << 10;
/// Hits are kept by the hour; so many hours back when nobody says since when.
const USUAL_HOURS: u64 = 24;

/// This part of the table of routes.
pub(super) fn routes() -> Vec<Route> {
    let (see, curate) = (Some(Permission::Match), Some(Permission::Curate));
    vec![
        route("/banks", see, get(list).post(create)),
        route("/banks/{bank}", see, get(show).patch(update).delete(delete)),
        route("/banks/{bank}/standings", see, get(standings)),
        route("/banks/{bank}/hits", curate, get(hits)),
        route("/banks/{bank}/items", curate, get(items::list).post(items::add)),
        route("/banks/{bank}/items/{content_id}", curate, get(items::show).patch(items::update).delete(items::retire)),
        route("/banks/{bank}/items/{content_id}/opinions", curate, get(items::opinions).post(items::opine)),
        route("/banks/{bank}/items/{content_id}/admission", curate, get(items::admission)),
        route("/banks/{bank}/access", curate, get(access::list)),
        route("/banks/{bank}/access/{key}/{right}", curate, put(access::allow).delete(access::withdraw)),
    ]
}

/// A query, of which no word may be unknown.
fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, ApiError> {
    Query::<T>::try_from_uri(uri).map(|Query(query)| query).map_err(|error| ApiError::malformed(error.body_text()))
}

/// The bytes of a body that is no attachment.
async fn bytes(state: &Shared, call: Call, request: Request, limit: usize) -> Result<bytes::Bytes, ApiError> {
    let (parts, body) = request.into_parts();
    let deadline = call.arrived + state.options.deadline;
    body::read(&parts.headers, body, state.options.bounds(limit, deadline)).await
}

/// Settings with a merge patch applied: fields that are absent stay, `null` sets the default, a new bank's.
fn settled(settings: &BankSettings, defaults: &BankSettings, patch: Value) -> Result<BankSettings, String> {
    let value = |settings: &BankSettings| serde_json::to_value(settings).map_err(|error| format!("settings: {error}"));
    let (mut merged, defaults) = (value(settings)?, value(defaults)?);
    json_patch(&mut merged, patch);
    if let (Value::Object(merged), Value::Object(defaults)) = (&mut merged, defaults) {
        for (name, default) in defaults {
            merged.entry(name).or_insert(default);
        }
    }
    serde_path_to_error::deserialize(merged).map_err(|error| format!("{}: {}", error.path(), error.inner()))
}

/// RFC 7396, section 2.
fn json_patch(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(&name);
        } else {
            json_patch(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// A bank's new name, and the patch of its settings.
fn named(body: &[u8]) -> Result<(Option<String>, Value), ApiError> {
    let mut fields: serde_json::Map<String, Value> = json::parse(body)?;
    let name = match fields.remove("name") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name),
        Some(_) => return Err(ApiError::malformed("name: a text is wanted")),
    };
    Ok((name, Value::Object(fields)))
}

/// List the banks that this key may use.
#[utoipa::path(
    get,
    path = "/banks",
    tag = "banks",
    responses(
        (status = 200, description = "The banks, by name", body = BankList),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
    )
)]
pub(super) async fn list(State(state): State<Shared>, Extension(who): Extension<Principal>) -> Result<Json<BankList>, ApiError> {
    let banks = state.services.curation.list(&who).await?;
    Ok(Json(BankList { banks: banks.into_iter().map(BankBody::from).collect() }))
}

/// Make an empty bank.
#[utoipa::path(
    post,
    path = "/banks",
    tag = "banks",
    request_body = NewBank,
    responses(
        (status = 201, description = "The bank", body = BankBody),
        (status = 400, description = "`malformed`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: needs the role `curator`", body = ErrorBody),
        (status = 409, description = "`duplicate`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
    )
)]
pub(super) async fn create(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    request: Request,
) -> Result<(StatusCode, Json<BankBody>), ApiError> {
    who.require(Permission::Curate)?;
    let (name, patch) = named(&bytes(&state, call, request, LONGEST).await?)?;
    let name = name.ok_or_else(|| ApiError::malformed("name: it is missing"))?;
    let defaults = state.services.curation.defaults();
    let settings = settled(defaults, defaults, patch).map_err(ApiError::malformed)?;
    let bank = state.services.curation.create(&who, &name, settings).await?;
    Ok((StatusCode::CREATED, Json(bank.into())))
}

/// Read a bank.
#[utoipa::path(
    get,
    path = "/banks/{bank}",
    tag = "banks",
    params(("bank" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "The bank", body = BankBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: the role, or the bank's list", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
pub(super) async fn show(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    Path(bank): Path<String>,
) -> Result<Json<BankBody>, ApiError> {
    Ok(Json(state.services.curation.bank(&who, &bank).await?.into()))
}

/// Rename a bank, or set it otherwise.
#[utoipa::path(
    patch,
    path = "/banks/{bank}",
    tag = "banks",
    params(("bank" = String, Path, description = "Its name")),
    request_body(content = BankChange, description = "What is not there stays; null sets the default"),
    responses(
        (status = 200, description = "The bank", body = BankBody),
        (status = 400, description = "`malformed`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: the role, or the bank's list", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`duplicate`: another bank has the name", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
    )
)]
pub(super) async fn update(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    Path(bank): Path<String>,
    request: Request,
) -> Result<Json<BankBody>, ApiError> {
    // Before the body is read.
    state.services.curation.may_fill(&who, &bank).await?;
    let (name, patch) = named(&bytes(&state, call, request, LONGEST).await?)?;
    let defaults = state.services.curation.defaults().clone();
    let update = BankUpdate { name, ..BankUpdate::revise(move |now| settled(&now, &defaults, patch)) };
    Ok(Json(state.services.curation.update(&who, &bank, update).await?.into()))
}

/// Delete a bank with everything in it. Its name is free at once; its signals are erased within seconds.
#[utoipa::path(
    delete,
    path = "/banks/{bank}",
    tag = "banks",
    params(("bank" = String, Path, description = "Its name")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: the role, or the bank's list", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
pub(super) async fn delete(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    Path(bank): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.services.curation.delete(&who, &bank).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Count a bank's items by standing.
#[utoipa::path(
    get,
    path = "/banks/{bank}/standings",
    tag = "banks",
    params(("bank" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "Standings that some item has", body = StandingList),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: the role, or the bank's list", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
pub(super) async fn standings(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    Path(bank): Path<String>,
) -> Result<Json<StandingList>, ApiError> {
    let counts = state.services.curation.standings(&who, &bank).await?;
    let standings = counts.into_iter().map(|count| StandingBody { standing: count.standing.as_str(), items: count.items });
    Ok(Json(StandingList { standings: standings.collect() }))
}

/// Which hits.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HitsQuery {
    /// From this hour on; the last 24 hours by default.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Items, 1 to 500; 50 by default.
    limit: Option<u32>,
}

/// List the items that matched most.
#[utoipa::path(
    get,
    path = "/banks/{bank}/hits",
    tag = "banks",
    params(("bank" = String, Path, description = "Its name"), HitsQuery),
    responses(
        (status = 200, description = "Items with hits, most first", body = HitList),
        (status = 400, description = "`malformed`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: the role, or the bank's list", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
pub(super) async fn hits(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    Path(bank): Path<String>,
    uri: Uri,
) -> Result<Json<HitList>, ApiError> {
    let HitsQuery { since, limit } = query(&uri)?;
    let limit = items::page_limit(limit.unwrap_or(DEFAULT_PAGE))?;
    let usual = || Timestamp::from_micros(Timestamp::now().micros() - (USUAL_HOURS * 3_600_000_000) as i64);
    let hits = state.services.curation.most_hit(&who, &bank, since.unwrap_or_else(usual), limit).await?;
    let hits = hits.into_iter().map(|hit| HitBody { content_id: hit.content_id, hits: hit.hits, last_hour: hit.hour });
    Ok(Json(HitList { hits: hits.collect() }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_patched_as_rfc_7396_says() {
        let before = BankSettings { radii: [("photodna".parse().unwrap(), 7.into())].into(), ..BankSettings::default() };
        let defaults = BankSettings { max_distance: 12, minimum_quality: 60, ..BankSettings::default() };
        let patched = |patch| settled(&before, &defaults, patch);
        assert_eq!(patched(json!({})).unwrap(), before);
        let changed = patched(json!({"max_distance": 20, "radii": {"embedding:m": 0.2}, "admission": {"sources": 2}})).unwrap();
        assert_eq!((changed.max_distance, changed.radii.len(), changed.admission.sources), (20, 2, 2));
        assert!(!changed.admission.guard);
        let less = patched(json!({"radii": {"photodna": null}, "minimum_quality": null})).unwrap();
        assert_eq!((less.radii.len(), less.minimum_quality), (0, 60), "the default is what a new bank gets here");
        for (wrong, place) in [
            (json!({"radius": 3}), "radius"),
            (json!({"max_distance": "x"}), "max_distance"),
            (json!({"admission": {"sorces": 2}}), "admission"),
            (json!({"radii": {"phash": 3}}), "radii"),
        ] {
            let error = patched(wrong).unwrap_err();
            assert!(error.contains(place), "{error}");
        }
    }

    /// The examples of RFC 7396, appendix A, that objects can show.
    #[test]
    fn patches_are_those_of_the_standard() {
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": "foo"}), json!({"b": {"c": {"d": null}}}), json!({"a": "foo", "b": {"c": {}}})),
        ] {
            let mut patched = target;
            json_patch(&mut patched, patch);
            assert_eq!(patched, result);
        }
    }
}
