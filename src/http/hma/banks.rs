//! `/c/banks` and `/c/bank/{bank}`: banks with a name and a ratio; everything else of a bank stands under `/banks`.

use axum::{
    Json,
    extract::{Extension, Path, Request, State},
    http::StatusCode,
};
use serde_json::{Value, json};

use super::{
    super::{Call, Shared},
    body,
    error::{HmaErrorBody, Refusal, bad, not_found, taken},
    params::{Params, truth},
};
use crate::{
    domain::curation::BankSettings,
    services::{
        access::{Permission, Principal},
        banks::BankError,
    },
    store::{Bank, BankUpdate},
};

/// A bank as HMA describes it.
pub(super) fn description(bank: &Bank) -> Value {
    json!({"name": bank.name, "matching_enabled_ratio": bank.enabled_ratio})
}

/// The bank of this name, for everything below its path.
///
/// # Errors
/// 404 when there is none, or none for this key.
pub(super) async fn bank_named(state: &Shared, who: &Principal, name: &str) -> Result<Bank, Refusal> {
    state.services.curation.bank(who, name).await.map_err(|error| match error {
        BankError::NotFound(_) => not_found(format!("bank '{name}' not found")),
        error => error.into(),
    })
}

/// The same for what changes it: who may not is turned away before a body is read.
///
/// # Errors
/// 403, and those of [`bank_named`].
pub(super) async fn bank_to_change(state: &Shared, who: &Principal, name: &str) -> Result<Bank, Refusal> {
    state.services.curation.may_fill(who, name).await?;
    bank_named(state, who, name).await
}

/// Names of HMA's banks (`threatexchange/storage`, `BankConfig`: UPPER_WITH_UNDER).
fn valid_name(name: &str) -> Result<(), Refusal> {
    let letters = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    let valid = name.bytes().next().is_some_and(letters) && name.bytes().all(|byte| letters(byte) || byte.is_ascii_digit());
    if valid { Ok(()) } else { Err(bad("Bank names must match ^[A-Z_][A-Z0-9_]*$")) }
}

/// What a body says of a bank.
struct Fields {
    name: Option<String>,
    enabled_ratio: Option<f64>,
    enabled: Option<bool>,
}

impl Fields {
    fn of(body: Value, strict: bool) -> Result<Self, Refusal> {
        let Value::Object(body) = body else { return Err(bad("the body must be an object")) };
        let field = |name: &str| body.get(name).filter(|value| !value.is_null());
        let name = field("name").map(|name| {
            name.as_str().map(str::to_owned).ok_or_else(|| Refusal::field(strict, "name", "string_type", "Input should be a valid string"))
        });
        let ratio = field("enabled_ratio").map(|ratio| {
            let number = ratio.as_f64().or_else(|| ratio.as_str()?.parse().ok());
            number.ok_or_else(|| Refusal::field(strict, "enabled_ratio", "float_parsing", "Input should be a valid number"))
        });
        let enabled = field("enabled").map(|enabled| {
            truth(enabled).ok_or_else(|| Refusal::field(strict, "enabled", "bool_parsing", "Input should be a valid boolean"))
        });
        let fields = Self { name: name.transpose()?, enabled_ratio: ratio.transpose()?, enabled: enabled.transpose()? };
        match fields.enabled_ratio {
            Some(ratio) if !(0.0..=1.0).contains(&ratio) => Err(bad("enabled_ratio must lie in 0..=1")),
            _ => Ok(fields),
        }
    }
}

/// List the banks.
#[utoipa::path(
    get,
    path = "/c/banks",
    tag = "hma",
    responses((status = 200, description = "`[{\"name\": \"BANK\", \"matching_enabled_ratio\": 1.0}]`", content_type = "application/json"))
)]
pub(in crate::http) async fn list(State(state): State<Shared>, Extension(who): Extension<Principal>) -> Result<Json<Value>, Refusal> {
    Ok(Json(state.services.curation.list(&who).await?.iter().map(description).collect()))
}

/// Make a bank.
#[utoipa::path(
    post,
    path = "/c/banks",
    tag = "hma",
    params(("hma_strict" = Option<bool>, Query, description = "Answer as HMA does: `enabled` counts for nothing")),
    request_body(
        content = std::collections::BTreeMap<String, String>,
        content_type = "application/json",
        description = "`{\"name\": \"BANK\"}` and, if it is not to be searched in every lookup, `enabled_ratio` (0 to 1) or `enabled`"
    ),
    responses(
        (status = 201, description = "`{\"name\", \"matching_enabled_ratio\"}`", content_type = "application/json"),
        (status = 400, description = "A name that is none, a ratio outside of 0 to 1", body = HmaErrorBody),
        (status = 403, description = "There is one of this name", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn create(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    params: Params,
    request: Request,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    who.require(Permission::Curate)?;
    let fields = Fields::of(body::json(&state, call, request).await?, params.strict)?;
    let name = fields.name.ok_or_else(|| Refusal::missing(params.strict, "name"))?;
    valid_name(&name)?;
    // HMA's default of the ratio wins over `enabled`, so that a bank that was to be off is on.
    let enabled = if params.strict { None } else { fields.enabled };
    let ratio = fields.enabled_ratio.or(enabled.map(|enabled| f64::from(u8::from(enabled)))).unwrap_or(1.0);
    let settings = BankSettings { enabled_ratio: ratio, ..state.services.curation.defaults().clone() };
    let bank = state.services.curation.create(&who, &name, settings).await.map_err(|error| taken(error, "Bank already exists"))?;
    Ok((StatusCode::CREATED, Json(description(&bank))))
}

/// Read a bank.
#[utoipa::path(
    get,
    path = "/c/bank/{bank}",
    tag = "hma",
    params(("bank" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "`{\"name\", \"matching_enabled_ratio\"}`", content_type = "application/json"),
        (status = 404, description = "No such bank", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn show(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(description(&bank_named(&state, &who, &name).await?)))
}

/// Rename a bank, or change its ratio.
#[utoipa::path(
    put,
    path = "/c/bank/{bank}",
    tag = "hma",
    params(("bank" = String, Path, description = "Its name")),
    request_body(
        content = std::collections::BTreeMap<String, String>,
        content_type = "application/json",
        description = "Any of `name`, `enabled` and `enabled_ratio`, which wins"
    ),
    responses(
        (status = 200, description = "`{\"name\", \"matching_enabled_ratio\"}`", content_type = "application/json"),
        (status = 400, description = "A name that is none, a ratio outside of 0 to 1", body = HmaErrorBody),
        (status = 403, description = "There is one of this name", body = HmaErrorBody),
        (status = 404, description = "No such bank", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn update(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    Path(name): Path<String>,
    params: Params,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    bank_to_change(&state, &who, &name).await?;
    let fields = Fields::of(body::json(&state, call, request).await?, params.strict)?;
    fields.name.as_deref().map(valid_name).transpose()?;
    let ratio = fields.enabled_ratio.or(fields.enabled.map(|enabled| f64::from(u8::from(enabled))));
    let revised = ratio.map(|enabled_ratio| BankUpdate::revise(move |now| Ok(BankSettings { enabled_ratio, ..now })));
    let update = BankUpdate { name: fields.name, ..revised.unwrap_or_default() };
    let bank = state.services.curation.update(&who, &name, update).await.map_err(|error| taken(error, "Bank name already exists"))?;
    Ok(Json(description(&bank)))
}

/// Delete a bank with everything in it. Its name is free afterwards.
#[utoipa::path(
    delete,
    path = "/c/bank/{bank}",
    tag = "hma",
    params(("bank" = String, Path, description = "Its name")),
    responses((status = 200, description = "`{\"message\": \"Done\"}`, also when there was none", content_type = "application/json"))
)]
pub(in crate::http) async fn delete(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    match state.services.curation.delete(&who, &name).await {
        Ok(()) | Err(BankError::NotFound(_)) => Ok(Json(json!({"message": "Done"}))),
        Err(error) => Err(error.into()),
    }
}
