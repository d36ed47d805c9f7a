//! `/banks/{bank}/access`: which keys may use a bank.

use axum::{
    Json,
    extract::{Extension, Path, State},
};

use super::{
    super::{
        Shared,
        error::{ApiError, ErrorBody},
    },
    dto::{AccessBody, AccessEntry},
};
use crate::{
    domain::{
        curation::{AccessList, BankRight},
        ids::KeyId,
    },
    services::access::Principal,
};

impl From<AccessList> for AccessBody {
    fn from(list: AccessList) -> Self {
        let entry = |(key, right): (KeyId, BankRight)| AccessEntry { key: key.to_string(), right: right.as_str() };
        Self { entries: list.entries.into_iter().map(entry).collect() }
    }
}

/// A key's right, as a path names it.
fn entry(key: &str, right: &str) -> Result<(KeyId, BankRight), ApiError> {
    let key = key.parse().map_err(|_| ApiError::malformed("the path does not hold a key's id (a UUID)"))?;
    let right = right.parse::<BankRight>().map_err(|error| ApiError::malformed(error.to_string()))?;
    Ok((key, right))
}

/// Read a bank's list.
#[utoipa::path(
    get,
    path = "/banks/{bank}/access",
    tag = "banks",
    params(("bank" = String, Path, description = "The bank's name")),
    responses(
        (status = 200, description = "The list", body = AccessBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: the role, or the bank's list", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
pub(in crate::http) async fn list(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    Path(bank): Path<String>,
) -> Result<Json<AccessBody>, ApiError> {
    Ok(Json(state.services.curation.access(&who, &bank).await?.into()))
}

/// Put a key on a bank's list.
///
/// The first key on a list takes the right away from all that are not on it; administrators keep it.
#[utoipa::path(
    put,
    path = "/banks/{bank}/access/{key}/{right}",
    tag = "banks",
    params(
        ("bank" = String, Path, description = "The bank's name"),
        ("key" = String, Path, description = "The key's id"),
        ("right" = String, Path, description = "`match` or `curate`, which is both"),
    ),
    responses(
        (status = 200, description = "The list", body = AccessBody),
        (status = 400, description = "`malformed`: no id, or no right", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: the role, or the bank's list", body = ErrorBody),
        (status = 404, description = "`not_found`: no such bank or key", body = ErrorBody),
    )
)]
pub(in crate::http) async fn allow(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    Path((bank, key, right)): Path<(String, String, String)>,
) -> Result<Json<AccessBody>, ApiError> {
    set(&state, &who, &bank, entry(&key, &right)?, true).await
}

/// Take a key off a bank's list.
///
/// The last key off a list gives the right back to all whose role has it.
#[utoipa::path(
    delete,
    path = "/banks/{bank}/access/{key}/{right}",
    tag = "banks",
    params(
        ("bank" = String, Path, description = "The bank's name"),
        ("key" = String, Path, description = "The key's id"),
        ("right" = String, Path, description = "`match` or `curate`"),
    ),
    responses(
        (status = 200, description = "The list, also when the key was not on it", body = AccessBody),
        (status = 400, description = "`malformed`: no id, or no right", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`: the role, or the bank's list", body = ErrorBody),
        (status = 404, description = "`not_found`: no such bank or key", body = ErrorBody),
    )
)]
pub(in crate::http) async fn withdraw(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    Path((bank, key, right)): Path<(String, String, String)>,
) -> Result<Json<AccessBody>, ApiError> {
    set(&state, &who, &bank, entry(&key, &right)?, false).await
}

async fn set(state: &Shared, who: &Principal, bank: &str, entry: (KeyId, BankRight), allowed: bool) -> Result<Json<AccessBody>, ApiError> {
    // Read first: whoever takes the own right away can still see what became of the list.
    let mut list = state.services.curation.access(who, bank).await?;
    state.services.curation.set_access(who, bank, entry, allowed).await?;
    list.entries.retain(|known| *known != entry);
    list.entries.extend(allowed.then_some(entry));
    list.entries.sort();
    Ok(Json(list.into()))
}
