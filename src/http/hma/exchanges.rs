//! `/c/exchanges` and `/c/exchange/{name}`: lists of others that banks follow.
//!
//! Names of APIs and fields of `api_json` and `credential_json` are HMA's (see `services::exchange::api`). Who may curate the bank that an exchange fills may
//! set it up. Two things are an administrator's: credentials, which are the server's own, and `local_file`, which reads a file of the server's machine.

use axum::{
    Json,
    extract::{Extension, Path, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::{
    super::{Call, Shared},
    body,
    error::{HmaErrorBody, Refusal, bad, not_found},
    params::{Params, truth},
};
use crate::{
    domain::time::Timestamp,
    services::{
        access::{Permission, Principal},
        exchange::{ExchangeError, Status, api::Api},
    },
    store::Exchange,
};

/// Names of HMA's exchanges, which their banks have too.
fn valid_name(name: &str) -> Result<(), Refusal> {
    let valid = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if !name.is_empty() && name.bytes().all(valid) { Ok(()) } else { Err(bad("Field `bank` must match /^[A-Z0-9_]+$/")) }
}

/// The exchange of this name, for everything below its path.
///
/// # Errors
/// 404 when there is none; 403 when this key is not on its bank's list.
async fn exchange_named(state: &Shared, who: &Principal, name: &str) -> Result<Exchange, Refusal> {
    state.services.curation.may_fill(who, name).await?;
    state.services.exchanges.get(who.tenant, name).await.map_err(|error| match error {
        ExchangeError::NotFound(_) => not_found(format!("Exchange '{name}' not found")),
        error => error.into(),
    })
}

/// An exchange as HMA describes it: its settings stand beside its name, those that nobody gave with their defaults.
fn description(exchange: &Exchange) -> Value {
    let mut fields = Map::from_iter([
        ("name".to_owned(), json!(exchange.name)),
        ("api".to_owned(), json!(exchange.api)),
        ("enabled".to_owned(), json!(exchange.enabled)),
    ]);
    if let Ok(api) = exchange.api.parse() {
        fields.extend(setting_fields(api).into_iter().map(|(name, field)| (name, field["default"].clone())));
    }
    if let Value::Object(settings) = &exchange.settings {
        fields.extend(settings.clone());
    }
    Value::Object(fields)
}

/// The settings of an API: name, and what its schema says of it.
fn setting_fields(api: Api) -> Vec<(String, Value)> {
    let mut schema = api.schema();
    let Value::Array(fields) = schema["config_schema"]["fields"].take() else { return Vec::new() };
    fields.into_iter().filter_map(|field| Some((field["name"].as_str()?.to_owned(), field))).collect()
}

/// HMA's `api_json`: the settings, among which it keeps the name, the API and the switch. What it does not know it passes over; here a wrong word is told.
fn settings(json: Value, api: Api, strict: bool) -> Result<Map<String, Value>, Refusal> {
    let Value::Object(mut settings) = json else { return Err(bad("Field `api_json` must be object")) };
    settings.retain(|name, _| name != "name" && name != "api");
    if strict {
        let known = setting_fields(api);
        settings.retain(|name, _| name == "enabled" || known.iter().any(|(field, _)| field == name));
    }
    Ok(settings)
}

fn unreadable(error: ExchangeError) -> Refusal {
    match error {
        ExchangeError::Invalid(text) => bad(format!("Failed to parse `api_json` - {}", text.trim_start_matches("api_json: "))),
        error => error.into(),
    }
}

/// Who may have this server read this API.
fn may_read(who: &Principal, api: Api) -> Result<(), Refusal> {
    if api == Api::LocalFile {
        who.require(Permission::Administer)?;
    }
    Ok(())
}

fn seconds(at: Option<Timestamp>) -> Option<i64> {
    at.map(|at| at.micros().div_euclid(1_000_000))
}

fn status_body(status: &Status, details: bool) -> Value {
    let mut body = json!({
        "checkpoint_ts": seconds(status.checkpoint),
        "running_fetch_start_ts": seconds(status.running_since),
        "last_fetch_complete_ts": seconds(status.last_fetch_complete),
        "last_fetch_succeeded": status.last_fetch_succeeded,
        "up_to_date": status.up_to_date,
        "fetched_items": status.entries,
    });
    if details {
        body["failure"] = json!(status.failure);
        body["skipped_items"] = json!(status.skipped);
        body["bad_items"] = json!(status.bad);
        body["feedback"] = json!({
            "waiting": status.feedback_waiting,
            "sent": status.feedback_sent,
            "given_up": status.feedback_given_up,
            "failure": status.feedback_failure,
        });
    }
    body
}

/// List the exchanges.
#[utoipa::path(
    get,
    path = "/c/exchanges",
    tag = "hma",
    responses((status = 200, description = "Names of those whose bank this key may curate", body = Vec<String>))
)]
pub(in crate::http) async fn list(State(state): State<Shared>, Extension(who): Extension<Principal>) -> Result<Json<Vec<String>>, Refusal> {
    let mut names = Vec::new();
    for exchange in state.services.exchanges.list(who.tenant).await? {
        if state.services.curation.may_fill(&who, &exchange.name).await.is_ok() {
            names.push(exchange.name);
        }
    }
    Ok(Json(names))
}

/// Follow an exchange with the bank of its name, which is made when there is none.
#[utoipa::path(
    post,
    path = "/c/exchanges",
    tag = "hma",
    params(("hma_strict" = Option<bool>, Query, description = "Pass over fields of `api_json` that the API does not know")),
    request_body(
        content = std::collections::BTreeMap<String, String>,
        content_type = "application/json",
        description = "`{\"bank\": \"NAME\", \"api\": \"ncmec\", \"api_json\": {…}}`; see the API's schema. `local_file` needs the role `admin`"
    ),
    responses(
        (status = 201, description = "`{\"message\": \"Created successfully\"}`", content_type = "application/json"),
        (status = 400, description = "A name that is none, no such API, a wrong setting", body = HmaErrorBody),
        (status = 403, description = "There is one of this name, or this key may not", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn create(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    params: Params,
    request: Request,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let Value::Object(mut body) = body::json(&state, call, request).await? else { return Err(bad("the body must be an object")) };
    let mut field = |name: &str| body.remove(name).filter(|value| !value.is_null());
    let bank = field("bank").ok_or_else(|| bad("bank is required"))?;
    let bank = bank.as_str().ok_or_else(|| bad("Field `bank` must match /^[A-Z0-9_]+$/"))?;
    valid_name(bank)?;
    let api = field("api").ok_or_else(|| bad("Field `api_type` is required"))?;
    let name = api.as_str().ok_or_else(|| bad("Field `api_type` must be text"))?;
    let api: Api = name.parse().map_err(|_| bad(format!("No such exchange type '{name}'")))?;
    let settings = settings(body.remove("api_json").unwrap_or_else(|| json!({})), api, params.strict)?;
    may_read(&who, api)?;
    state.services.curation.may_fill(&who, bank).await?;
    let created = state.services.exchanges.create(who.tenant, bank, api.as_str(), &settings.into(), who.by()).await;
    created.map_err(unreadable)?;
    Ok((StatusCode::CREATED, Json(json!({"message": "Created successfully"}))))
}

/// Read how an exchange is set up.
#[utoipa::path(
    get,
    path = "/c/exchange/{exchange}",
    tag = "hma",
    params(("exchange" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "`{\"name\", \"api\", \"enabled\"}` and its settings", content_type = "application/json"),
        (status = 403, description = "This key may not curate its bank", body = HmaErrorBody),
        (status = 404, description = "No such exchange", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn show(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(description(&exchange_named(&state, &who, &name).await?)))
}

/// How far an exchange was read, and how that went.
#[utoipa::path(
    get,
    path = "/c/exchange/{exchange}/status",
    tag = "hma",
    params(
        ("exchange" = String, Path, description = "Its name"),
        ("details" = Option<bool>, Query, description = "With `failure`, `skipped_items` (of types that are not matched), `bad_items` (unreadable) and `feedback`, which HMA has not"),
    ),
    responses(
        (status = 200, description = "`{\"last_fetch_complete_ts\", \"last_fetch_succeeded\", \"checkpoint_ts\", \"running_fetch_start_ts\", \"up_to_date\", \"fetched_items\"}`: times in seconds since 1970, null before the first", content_type = "application/json"),
        (status = 403, description = "This key may not curate its bank", body = HmaErrorBody),
        (status = 404, description = "No such exchange", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn status(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Json<Value>, Refusal> {
    let details = params.flag("details", false)?;
    exchange_named(&state, &who, &name).await?;
    Ok(Json(status_body(&state.services.exchanges.status(who.tenant, &name).await?, details)))
}

/// Turn an exchange on or off, or set it otherwise. Other settings name another list, which is read from its beginning.
#[utoipa::path(
    put,
    path = "/c/exchange/{exchange}",
    tag = "hma",
    params(
        ("exchange" = String, Path, description = "Its name"),
        ("hma_strict" = Option<bool>, Query, description = "Answer as HMA does: with the names of the fields, which is no JSON"),
    ),
    request_body(
        content = std::collections::BTreeMap<String, String>,
        content_type = "application/json",
        description = "`enabled`, and `api_json` to change the settings; HMA knows the first alone"
    ),
    responses(
        (status = 200, description = "The exchange", content_type = "application/json"),
        (status = 400, description = "No boolean, or a wrong setting", body = HmaErrorBody),
        (status = 403, description = "This key may not curate its bank", body = HmaErrorBody),
        (status = 404, description = "No such exchange", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn update(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    Path(name): Path<String>,
    params: Params,
    request: Request,
) -> Result<Response, Refusal> {
    let exchange = exchange_named(&state, &who, &name).await?;
    let api: Api = exchange.api.parse().map_err(ExchangeError::from)?;
    let Value::Object(mut body) = body::json(&state, call, request).await? else { return Err(bad("the body must be an object")) };
    let mut field = |name: &str| body.remove(name).filter(|value| !value.is_null());
    let enabled = field("enabled").map(|enabled| {
        truth(&enabled).ok_or_else(|| Refusal::field(params.strict, "enabled", "bool_parsing", "Input should be a valid boolean"))
    });
    let enabled = enabled.transpose()?;
    let settings = match field("api_json").filter(|_| !params.strict) {
        None => None,
        Some(json) => {
            may_read(&who, api)?;
            Some(Value::Object(settings(json, api, false)?))
        }
    };
    let updated = state.services.exchanges.update(who.tenant, &name, settings.as_ref(), enabled, who.by()).await;
    updated.map_err(unreadable)?;
    if params.strict {
        // It hands its framework a dictionary, whose iteration gives the names.
        let names = ["name", "api", "enabled"].map(str::to_owned).into_iter().chain(setting_fields(api).into_iter().map(|(name, _)| name));
        return Ok(([(header::CONTENT_TYPE, "application/json")], names.collect::<String>()).into_response());
    }
    Ok(Json(description(&exchange_named(&state, &who, &name).await?)).into_response())
}

/// Forget an exchange, and delete its bank.
///
/// A bank that holds items of other sources stays, without what the exchange alone brought.
#[utoipa::path(
    delete,
    path = "/c/exchange/{exchange}",
    tag = "hma",
    params(("exchange" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "`{\"message\": \"Exchange deleted\"}`, also when there was none", content_type = "application/json"),
        (status = 403, description = "This key may not curate its bank", body = HmaErrorBody),
        (status = 429, description = "It is read this moment, and its bank holds items of others: try again", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn delete(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    state.services.curation.may_fill(&who, &name).await?;
    match state.services.exchanges.leave(&state.services.curation, &who, &name).await {
        Ok(()) | Err(ExchangeError::NotFound(_)) => Ok(Json(json!({"message": "Exchange deleted"}))),
        Err(error) => Err(error.into()),
    }
}

/// Which APIs there are.
#[utoipa::path(get, path = "/c/exchanges/apis", tag = "hma", responses((status = 200, description = "Their names", body = Vec<String>)))]
pub(in crate::http) async fn apis() -> Json<Vec<&'static str>> {
    Json(Api::ALL.map(Api::as_str).to_vec())
}

fn api_named(name: &str) -> Result<Api, Refusal> {
    name.parse().map_err(|_| bad(format!("no such Exchange API '{name}'")))
}

/// What HMA tells of an API's credentials; its spelling.
fn authentication(has: Option<bool>) -> Json<Value> {
    Json(json!({"supports_authentification": has.is_some(), "has_set_authentification": has == Some(true)}))
}

/// Whether an API wants credentials, and has them.
#[utoipa::path(
    get,
    path = "/c/exchanges/api/{api}",
    tag = "hma",
    params(("api" = String, Path, description = "`ncmec`, `fb_threatexchange`, …")),
    responses(
        (status = 200, description = "`{\"supports_authentification\", \"has_set_authentification\"}`", content_type = "application/json"),
        (status = 400, description = "No such API", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn api(State(state): State<Shared>, Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    Ok(authentication(state.services.exchanges.has_credentials(api_named(&name)?)))
}

/// Keep an API's credentials, or forget them. Those of the environment count before, and stay. Needs the role `admin`.
#[utoipa::path(
    post,
    path = "/c/exchanges/api/{api}",
    tag = "hma",
    params(("api" = String, Path, description = "`ncmec`, `fb_threatexchange`, …")),
    request_body(
        content = std::collections::BTreeMap<String, String>,
        content_type = "application/json",
        description = "`{\"credential_json\": {…}}`; an empty object forgets them. They are written to a file that the server's user alone can read, and shown to nobody"
    ),
    responses(
        (status = 200, description = "`{\"supports_authentification\", \"has_set_authentification\"}`", content_type = "application/json"),
        (status = 400, description = "No such API, or wrong fields", body = HmaErrorBody),
        (status = 403, description = "This key may not", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn set_credentials(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    who.require(Permission::Administer)?;
    let api = api_named(&name)?;
    let Value::Object(mut body) = body::json(&state, call, request).await? else {
        return Err(bad("this endpoint expects a json object payload"));
    };
    let credentials = body.remove("credential_json").filter(|credentials| !credentials.is_null());
    let exchanges = &state.services.exchanges;
    if let Some(fields) = credentials {
        let kept = Some(&fields).filter(|fields| fields.as_object().is_none_or(|fields| !fields.is_empty()));
        exchanges.set_credentials(who.tenant, api, kept, who.by()).await?;
    }
    Ok(authentication(exchanges.has_credentials(api)))
}

/// The fields of an API's settings and credentials, for forms.
#[utoipa::path(
    get,
    path = "/c/exchanges/api/{api}/schema",
    tag = "hma",
    params(("api" = String, Path, description = "`ncmec`, `fb_threatexchange`, …")),
    responses(
        (status = 200, description = "`{\"config_schema\": {\"fields\": [{\"name\", \"type\", \"required\", \"default\", \"help\", \"choices\"}]}, \"credentials_schema\": …}`; the second is null when there are none", content_type = "application/json"),
        (status = 404, description = "No such API", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn schema(Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    let api: Api = name.parse().map_err(|_| not_found(format!("Exchange API '{name}' not found")))?;
    Ok(Json(api.schema()))
}
