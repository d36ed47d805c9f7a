//! `/c/bank/{bank}/content` and `/c/bank/{bank}/signal`: what is in a bank.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Extension, Path, Request, State},
    response::Response,
};
use serde_json::{Map, Value, json};

use super::{
    super::{Call, Shared, score::deadline},
    banks::{bank_named, bank_to_change, description},
    body,
    error::{HmaErrorBody, Refusal, bad, not_found},
    hash::{fetch_and_hash, hash_content},
    lookup::{content_id_in, unique_id},
    params::{Params, kind_named, name_of, signal},
    upload::{Upload, is_form, is_unsupported},
};
use crate::{
    domain::{
        bank::ItemState,
        curation::{DisableUntil, Metadata},
        hash::Quality,
        signal::{Signal, SignalType},
        time::Timestamp,
    },
    services::{
        access::Principal,
        banks::{BankError, curation::Entry},
        permits::Work,
    },
    store::{Bank, Item, ItemPatch},
};

/// Characters of a note.
const LONGEST_NOTE: usize = 255;

/// HMA's `disable_until_ts`: 0 is out of force, 1 is in force, any other is when it comes into force.
const fn disable_until_ts(until: DisableUntil) -> i64 {
    match until {
        DisableUntil::Always => 0,
        DisableUntil::Never => 1,
        DisableUntil::Time(time) => time,
    }
}

/// # Errors
/// 400 for what is no whole number, negative, or more than five years ahead.
fn disable_until(value: &Value) -> Result<DisableUntil, Refusal> {
    let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
    match number.ok_or_else(|| bad(format!("Invalid int: '{value}'")))? {
        0 => Ok(DisableUntil::Always),
        1 => Ok(DisableUntil::Never),
        number if number < 0 => Err(bad("disable_until_ts must be a non-negative integer")),
        number => DisableUntil::from_number(number, Timestamp::now())
            .ok_or_else(|| bad("disable_until_ts must be less than 5 years in the future")),
    }
}

/// A note: an empty one is none.
fn note(value: &Value) -> Result<Option<String>, Refusal> {
    let empty = match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(true) => false,
    };
    if empty {
        return Ok(None);
    }
    let text = value.as_str().ok_or_else(|| bad("note should be a string"))?;
    if text.chars().count() > LONGEST_NOTE {
        return Err(bad(format!("note must be at most {LONGEST_NOTE} characters")));
    }
    Ok(Some(text.to_owned()))
}

/// Metadata of a caller's own; `collab` says where HMA had it from and is not taken from anybody.
fn metadata(value: Value) -> Result<Option<Metadata>, Refusal> {
    let mut object = match value {
        Value::Null => return Ok(None),
        Value::Object(object) => object,
        _ => return Err(bad("metadata should be a json object")),
    };
    object.remove("collab");
    object.retain(|_, value| !value.is_null());
    if object.get("json").is_some_and(|json| !json.is_object()) {
        return Err(bad("Invalid metadata: json should be an object"));
    }
    if object.is_empty() {
        return Ok(None);
    }
    serde_json::from_value(Value::Object(object)).map(Some).map_err(|error| bad(format!("Invalid metadata: {error}")))
}

/// The item that a path names.
struct Named {
    bank: Bank,
    /// In its bank; `None` when the id is one of another bank, or of none.
    content_id: Option<i64>,
}

async fn named(state: &Shared, who: &Principal, bank: &str, id: &str) -> Result<Named, Refusal> {
    // What is no number is no path of HMA's.
    let id: i64 = id.parse().map_err(|_| not_found("there is nothing at this path; see /docs"))?;
    let bank = bank_named(state, who, bank).await?;
    let content_id = content_id_in(bank.number, id);
    Ok(Named { bank, content_id })
}

impl Named {
    async fn item(&self, state: &Shared, who: &Principal, id: &str) -> Result<Item, Refusal> {
        let missing = || not_found(format!("content '{id}' not found"));
        let content_id = self.content_id.ok_or_else(missing)?;
        match state.services.curation.item(who, &self.bank.name, content_id).await {
            // What was removed is gone for HMA's clients; its history stands under `nightlight bank`.
            Ok(item) if item.state == ItemState::Removed => Err(missing()),
            Ok(item) => Ok(item),
            Err(BankError::NotFound(_)) => Err(missing()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The exchange that names the item, and the names of its entries.
async fn collab(state: &Shared, who: &Principal, item: &Item) -> Result<Option<BTreeMap<String, Vec<String>>>, Refusal> {
    // An exchange fills the bank of its name.
    if !item.provenance.iter().any(|from| from.source == item.bank) {
        return Ok(None);
    }
    let entries = state.services.exchanges.entries_of(who.tenant, &item.bank, item.content_id).await?;
    Ok((!entries.is_empty()).then(|| BTreeMap::from([(item.bank.clone(), entries)])))
}

/// Adds an item and answers with its id and signals.
///
/// It is another item also when one of the bank has the same signals, as HMA has it: what becomes of one says nothing of the other.
async fn add(state: &Shared, who: &Principal, bank: &Bank, item: Entry) -> Result<Value, Refusal> {
    let signals = by_type(&item.signals);
    let added = state.services.curation.add(who, &bank.name, Entry { even_if_held: true, ..item }).await?;
    Ok(json!({"id": unique_id(bank.number, added.content_id), "signals": signals}))
}

/// Texts by type; the first of each.
fn by_type(signals: &[Signal]) -> Map<String, Value> {
    let mut texts = Map::new();
    for signal in signals {
        texts.entry(name_of(signal.kind())).or_insert_with(|| signal.to_text().into());
    }
    texts
}

/// Add content, by file or by URL.
///
/// The form's one file stands in the field `photo` or `video`; `metadata` and `note` may stand beside it, or in a JSON body when the content is
/// at a URL. Content whose signals stand in the bank already is another item, which matches for itself.
#[utoipa::path(
    post,
    path = "/c/bank/{bank}/content",
    tag = "hma",
    params(
        ("bank" = String, Path, description = "The bank's name"),
        ("url" = Option<String>, Query, description = "Where the content is, if this server fetches any"),
        ("content_type" = Option<String>, Query, description = "What stands at the URL: `photo` or `video`"),
        ("types" = Option<String>, Query, description = "Signal types between commas"),
        ("hma_strict" = Option<bool>, Query, description = "Answer as HMA does, also where it is wrong"),
    ),
    request_body(content = super::HmaUpload, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "`{\"id\": 1, \"signals\": {\"pdq\": \"…\"}}`", content_type = "application/json"),
        (status = 400, description = "No content, or none that can match", body = HmaErrorBody),
        (status = 404, description = "No such bank", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn add_content(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    Path(bank): Path<String>,
    params: Params,
    request: Request,
) -> Result<Response, Refusal> {
    state.has_permit()?;
    let bank = bank_to_change(&state, &who, &bank).await?;
    let (parts, request_body) = request.into_parts();
    let until = deadline(&parts.headers, call.arrived, state.options.deadline)?;
    let mut item = Entry::new(Vec::new());
    let mut upload = Upload::default();
    if is_form(&parts) {
        let bounds = state.options.bounds(state.options.body_limit, until);
        upload = Upload::read(&parts, request_body, bounds).await?;
        if let Some(text) = upload.field("metadata")? {
            item.metadata = metadata(serde_json::from_str(text).map_err(|_| bad("metadata form field must be valid JSON"))?)?;
        }
        item.note = note(&upload.field("note")?.map_or(Value::Null, Value::from))?;
    } else if let Some(Value::Object(mut fields)) = body::optional_json(&state, call, &parts, request_body).await? {
        item.metadata = metadata(fields.remove("metadata").unwrap_or_default())?;
        item.note = note(&fields.remove("note").unwrap_or_default())?;
    }
    let _permit = state.permit(Work::File, upload.len())?;
    let embeddings = state.services.lookup.embeddings();
    let content = match params.filled("url") {
        Some(url) => fetch_and_hash(&state, url, &embeddings, &params, until).await?,
        None if upload.has_file() => hash_content(&state, upload.content()?, &embeddings, &params, until).await?,
        None => return Err(bad("Neither `url` nor multipart file upload was received")),
    };
    item.quality = content.quality.map(Quality::get);
    state.services.lookup.answered(&who, &content.hashed);
    for (kind, signal) in &content.signals {
        match signal {
            Some(signal) => item.signals.push(signal.clone()),
            // Its digests are what there is of it.
            None if is_unsupported(&content.hashed) => {}
            None => return Err(featureless(*kind, params.strict)),
        }
    }
    if item.signals.is_empty() {
        return Err(bad("the file's type is not decoded: leave `types` out, or name digests"));
    }
    Ok(content.answer(add(&state, &who, &bank, item).await?))
}

/// What has too little detail to match must not get into a bank.
fn featureless(kind: SignalType, strict: bool) -> Refusal {
    if strict {
        return bad("Invalid pdq signal: invalid PDQ hash");
    }
    bad(format!("the picture has too little detail for {kind}: its quality is below 50, so it would match nothing"))
}

/// Add an item by its signals.
#[utoipa::path(
    post,
    path = "/c/bank/{bank}/signal",
    tag = "hma",
    params(
        ("bank" = String, Path, description = "The bank's name"),
        ("hma_strict" = Option<bool>, Query, description = "Answer as HMA does, also where it is wrong"),
    ),
    request_body(
        content = std::collections::BTreeMap<String, String>,
        content_type = "application/json",
        description = "Signals by type, and perhaps a `note`"
    ),
    responses(
        (status = 200, description = "`{\"id\": 1, \"signals\": {\"pdq\": \"…\"}}`", content_type = "application/json"),
        (status = 400, description = "No signals, or none of their type", body = HmaErrorBody),
        (status = 404, description = "No such bank", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn add_signal(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    Path(bank): Path<String>,
    params: Params,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let bank = bank_to_change(&state, &who, &bank).await?;
    let Value::Object(mut fields) = body::json(&state, call, request).await? else { return Err(bad("the body must be an object")) };
    let note = note(&fields.remove("note").unwrap_or_default())?;
    let mut item = Entry { note, ..Entry::new(Vec::new()) };
    for (name, text) in fields {
        let kind = kind_named(&name, params.strict).ok_or_else(|| bad(format!("No such signal type {name}")))?;
        let text = text.as_str().ok_or_else(|| bad(format!("Invalid {name} signal: it is no text")))?;
        item.signals.push(signal(kind, text, params.strict, &format!("Invalid {name} signal"))?);
    }
    if item.signals.is_empty() {
        return Err(bad("No signals given"));
    }
    Ok(Json(add(&state, &who, &bank, item).await?))
}

/// Read an item.
#[utoipa::path(
    get,
    path = "/c/bank/{bank}/content/{id}",
    tag = "hma",
    params(
        ("bank" = String, Path, description = "The bank's name"),
        ("id" = i64, Path, description = "A `bank_content_id`"),
        ("include_signals" = Option<bool>, Query, description = "With `signals`"),
        ("include_metadata" = Option<bool>, Query, description = "With `metadata`, unless it is false"),
    ),
    responses(
        (status = 200, description = "`{\"id\", \"disable_until_ts\", \"original_media_uri\", \"bank\"}` and what there is of `signals`, `metadata`, `note`", content_type = "application/json"),
        (status = 404, description = "No such bank, or no such item in it", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn show(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    Path((bank, id)): Path<(String, String)>,
    params: Params,
) -> Result<Json<Value>, Refusal> {
    let yes = |name: &str, default: &str| params.get(name).unwrap_or(default).eq_ignore_ascii_case("true");
    let named = named(&state, &who, &bank, &id).await?;
    let item = named.item(&state, &who, &id).await?;
    let mut answer = json!({
        "id": unique_id(named.bank.number, item.content_id),
        "disable_until_ts": disable_until_ts(item.disable_until),
        "original_media_uri": null,
        "bank": description(&named.bank),
    });
    if yes("include_signals", "false") {
        answer["signals"] = Value::Object(by_type(&item.signals));
    }
    if yes("include_metadata", "true") {
        let collab = collab(&state, &who, &item).await?;
        if item.metadata.is_some() || collab.is_some() {
            let Metadata { content_id, content_uri, json } = item.metadata.unwrap_or_default();
            answer["metadata"] = json!({"content_id": content_id, "content_uri": content_uri, "json": json, "collab": collab});
        }
    }
    if let Some(note) = item.note {
        answer["note"] = note.into();
    }
    Ok(Json(answer))
}

/// Take an item out of force for a time, or change its note.
#[utoipa::path(
    put,
    path = "/c/bank/{bank}/content/{id}",
    tag = "hma",
    params(("bank" = String, Path, description = "The bank's name"), ("id" = i64, Path, description = "A `bank_content_id`")),
    request_body(
        content = std::collections::BTreeMap<String, String>,
        content_type = "application/json",
        description = "`disable_until_ts` (0 out of force, 1 in force, or the time in seconds since 1970 when it comes into force, within five years) and `note`"
    ),
    responses(
        (status = 200, description = "The item", content_type = "application/json"),
        (status = 400, description = "No such time, too long a note", body = HmaErrorBody),
        (status = 404, description = "No such bank, or no such item in it", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn update(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    Path((bank, id)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let named = named(&state, &who, &bank, &id).await?;
    let item = named.item(&state, &who, &id).await?;
    let Value::Object(fields) = body::json(&state, call, request).await? else { return Err(bad("the body must be an object")) };
    let patch = ItemPatch {
        disable_until: fields.get("disable_until_ts").map(disable_until).transpose()?,
        note: fields.get("note").map(note).transpose()?,
        ..ItemPatch::default()
    };
    let item = state.services.curation.change(&who, &named.bank.name, item.content_id, patch).await?;
    let collab = collab(&state, &who, &item).await?;
    Ok(Json(json!({
        "id": unique_id(named.bank.number, item.content_id),
        "disable_until_ts": disable_until_ts(item.disable_until),
        "original_media_uri": null,
        "bank": description(&named.bank),
        "collab_metadata": collab.unwrap_or_default(),
        "user_metadata": item.metadata,
        "note": item.note,
    })))
}

/// Remove an item for good.
#[utoipa::path(
    delete,
    path = "/c/bank/{bank}/content/{id}",
    tag = "hma",
    params(("bank" = String, Path, description = "The bank's name"), ("id" = i64, Path, description = "A `bank_content_id`")),
    responses(
        (status = 200, description = "`{\"deleted\": 1}`, or 0 when it is not in this bank", content_type = "application/json"),
        (status = 404, description = "No such bank", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn delete(
    State(state): State<Shared>,
    Extension(who): Extension<Principal>,
    Path((bank, id)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let named = named(&state, &who, &bank, &id).await?;
    let Some(content_id) = named.content_id else { return Ok(Json(json!({"deleted": 0}))) };
    match state.services.curation.retire(&who, &named.bank.name, content_id).await {
        Ok(removed) => Ok(Json(json!({"deleted": u8::from(removed)}))),
        Err(BankError::NotFound(_)) => Ok(Json(json!({"deleted": 0}))),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmas_times_are_its_own() {
        let soon = Timestamp::now().micros() / 1_000_000 + 86_400;
        for (number, until) in [(0, DisableUntil::Always), (1, DisableUntil::Never), (soon, DisableUntil::Time(soon))] {
            assert_eq!(disable_until(&json!(number)).unwrap(), until);
            assert_eq!(disable_until_ts(until), number);
        }
        assert_eq!(disable_until(&json!("1")).unwrap(), DisableUntil::Never);
        for wrong in [json!(null), json!("soon"), json!(-1), json!(9_999_999_999i64), json!([1]), json!(1.5)] {
            assert!(disable_until(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn notes_and_metadata_are_checked() {
        assert_eq!(note(&json!("")).unwrap(), None);
        assert_eq!(note(&json!("x".repeat(255))).unwrap().map(|note| note.len()), Some(255));
        assert!(note(&json!("x".repeat(256))).is_err() && note(&json!(5)).is_err());
        let whole = json!({"content_id": "1", "content_uri": "u", "json": {"a": {}}, "collab": {"x": []}});
        assert_eq!(metadata(whole).unwrap().unwrap().json, Some(json!({"a": {}})));
        assert!(metadata(json!({})).unwrap().is_none() && metadata(Value::Null).unwrap().is_none());
        for wrong in [json!([1]), json!({"invalid_metadata": 5}), json!({"json": 5}), json!({"content_id": 5})] {
            assert!(metadata(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
