//! `/m/lookup` and `/m/raw_lookup`: what the banks hold.

use std::{collections::BTreeMap, time::Instant};

use axum::{
    Json,
    extract::{Extension, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::{
    super::{Call, Shared, score::deadline},
    coin,
    error::{HmaErrorBody, Refusal, bad},
    hash::{Content, fetch_and_hash, hash_upload},
    params::{Params, kind_named, name_of, signal},
    types::enabled,
};
use crate::{
    domain::{
        evidence::Match,
        signal::{Distance, Signal, SignalType},
    },
    services::{
        access::Principal,
        lookup::{Coin, Found, Scope, Sought},
        permits::Work,
    },
};

/// Bits that a content id has in an id that is unique over all banks; above them stands the bank's number less one, so that the ids of the first
/// bank are its own.
const CONTENT_BITS: u32 = 32;

/// The header that counts matches that an answer leaves out.
const LEFT_OUT: HeaderName = HeaderName::from_static("x-matches-left-out");

/// The id of an item, unique over all banks.
pub(super) const fn unique_id(bank: i64, content_id: i64) -> i64 {
    (bank - 1) << CONTENT_BITS | content_id
}

/// The content id in `id`, if that is one of this bank.
pub(super) const fn content_id_in(bank: i64, id: i64) -> Option<i64> {
    if id >= 0 && id >> CONTENT_BITS == bank - 1 { Some(id & ((1 << CONTENT_BITS) - 1)) } else { None }
}

/// One match.
#[derive(Debug, Serialize)]
struct MatchBody {
    bank_content_id: i64,
    distance: Printed,
}

/// A distance as text; HMA's of exact types has no number in it.
#[derive(Debug)]
enum Printed {
    Number(Distance),
    None,
}

impl Serialize for Printed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(distance) => serializer.collect_str(distance),
            Self::None => serializer.serialize_str("-"),
        }
    }
}

/// One match of a raw lookup.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum RawMatch {
    Id(i64),
    Whole(MatchBody),
}

/// The answer of a raw lookup. Of many near-duplicates it is long, so it is written without a tree of values in between.
#[derive(Debug, Serialize)]
pub(in crate::http) struct RawMatches {
    matches: Vec<RawMatch>,
}

impl MatchBody {
    fn of(found: &Found, matched: &Match, strict: bool) -> Option<Self> {
        let bank_content_id = unique_id(found.number(&matched.bank)?, matched.content_id);
        let exact = matched.technology.is_exact() && strict;
        Some(Self { bank_content_id, distance: if exact { Printed::None } else { Printed::Number(matched.distance) } })
    }
}

/// Matches by bank, each bank's by distance.
fn by_bank(found: &Found, strict: bool) -> BTreeMap<&str, Vec<MatchBody>> {
    let mut banks: BTreeMap<&str, Vec<MatchBody>> = BTreeMap::new();
    for matched in &found.matches {
        if let Some(body) = MatchBody::of(found, matched, strict) {
            banks.entry(&matched.bank).or_default().push(body);
        }
    }
    banks
}

/// Says how many matches the answer leaves out, if it does; HMA's answers have no place for it.
fn left_out(found: &Found) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if found.left_out > 0 {
        headers.insert(LEFT_OUT, HeaderValue::from(found.left_out));
    }
    headers
}

/// The banks that the query names, and its coin.
fn scope(params: &Params, bypass: bool) -> Result<Scope, Refusal> {
    let coin = match params.get("seed") {
        _ if bypass => Coin::Bypass,
        Some(seed) => Coin::Given(coin::seeded(seed)),
        None => Coin::Given(coin::tossed()?),
    };
    Ok(Scope { banks: named_banks(params), coin, ..Scope::default() })
}

fn named_banks(params: &Params) -> Option<Vec<String>> {
    params.list("banks").map(|names| names.into_iter().map(str::to_owned).collect())
}

/// The signal that the query names, and its turned forms where this server answered it lately.
fn sought(state: &Shared, who: &Principal, params: &Params) -> Result<Sought, Refusal> {
    let signal = signal_in(state, who, params)?;
    Ok(if params.strict { Sought::Signal(signal) } else { state.services.lookup.sought(who, signal) })
}

/// The signal that the query names.
fn signal_in(state: &Shared, who: &Principal, params: &Params) -> Result<Signal, Refusal> {
    let (text, name) = (params.required("signal")?, params.required("signal_type")?);
    let kind = kind_named(name, params.strict).ok_or_else(|| bad(format!("No such SignalType '{name}'")))?;
    enabled(state, who, kind, params.strict)?;
    signal(kind, text, params.strict, "invalid signal")
}

/// Look up a signal, or what stands at a URL.
///
/// A signal's matches are answered by bank; those of a URL by signal type and bank. Matches that a negative bank takes back are left out. A PDQ hash that this server answered in the last
/// minutes is looked for turned and mirrored too, as a file is.
#[utoipa::path(
    get,
    path = "/m/lookup",
    tag = "hma",
    params(
        ("signal_type" = Option<String>, Query, description = "`pdq`, `video_md5`, or another type of a bank"),
        ("signal" = Option<String>, Query, description = "The signal's text"),
        ("url" = Option<String>, Query, description = "Instead of a signal: where the content is, if this server fetches any"),
        ("content_type" = Option<String>, Query, description = "What stands at the URL: `photo` or `video`; its server's word without this"),
        ("types" = Option<String>, Query, description = "With a URL: signal types between commas"),
        ("banks" = Option<String>, Query, description = "Only these banks, between commas"),
        ("seed" = Option<String>, Query, description = "Decides the coin that leaves out banks with a ratio below 1; without it the coin is tossed"),
        ("bypass_coinflip" = Option<bool>, Query, description = "Ask all banks, whatever their ratio"),
        ("hma_strict" = Option<bool>, Query, description = "Answer as HMA does, also where it is wrong"),
    ),
    responses(
        (status = 200, description = "`{\"BANK\": [{\"bank_content_id\": 1, \"distance\": \"0\"}]}`, or the same under each type", content_type = "application/json", headers(
            ("X-PDQ-Quality" = Option<u8>, description = "With a URL: 0 to 100; below 50 nothing matches"),
            ("X-Matches-Left-Out" = Option<u64>, description = "With a signal: matches beyond the nearest thousand, which are not answered"),
            ("X-Unscored" = Option<String>, description = "With a URL: why something of the file was not looked up, as `POST /h/hash` says it"),
        )),
        (status = 400, description = "Neither, or no such signal", body = HmaErrorBody),
        (status = 429, description = "The key looked up too many different hashes near one item; see Retry-After", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn get_lookup(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    params: Params,
) -> Result<Response, Refusal> {
    let bypass = params.flag("bypass_coinflip", false)? && !params.strict;
    let scope = scope(&params, bypass)?;
    let until = call.arrived + state.options.deadline;
    let Some(url) = params.filled("url") else {
        if params.filled("signal").is_none() || params.filled("signal_type").is_none() {
            return Err(bad("Either url or both signal and signal_type are required"));
        }
        let found = state.services.lookup.find(&who, sought(&state, &who, &params)?, &scope, until).await?;
        found.hold_back(until).await?;
        return Ok((left_out(&found), Json(by_bank(&found, params.strict))).into_response());
    };
    let _permit = state.permit(Work::File, usize::MAX)?;
    let embeddings = state.services.lookup.embeddings_held(&who);
    let content = fetch_and_hash(&state, url, &embeddings, &params, until).await?;
    let Value::Object(mut matches) = of_content(&state, &who, &content, scope, &params, until).await? else {
        return Ok(content.answer(json!({})));
    };
    // A type that the content has no hash of has no matches.
    Ok(content.answer(match params.get("signal_type") {
        Some(name) => matches.remove(name).unwrap_or_else(|| json!({})),
        None => Value::Object(matches),
    }))
}

/// Look up a file.
///
/// The form's one file stands in the field `photo` or `video`. Matches are answered by signal type and bank; those that a negative bank takes
/// back are left out. A picture of too low a quality matches nothing. The bytes are kept in memory and nowhere else.
#[utoipa::path(
    post,
    path = "/m/lookup",
    tag = "hma",
    params(
        ("types" = Option<String>, Query, description = "Signal types between commas"),
        ("banks" = Option<String>, Query, description = "Only these banks, between commas"),
        ("seed" = Option<String>, Query, description = "Decides the coin that leaves out banks with a ratio below 1; without it the coin is tossed"),
        ("bypass_coinflip" = Option<bool>, Query, description = "Ask all banks, whatever their ratio"),
        ("hma_strict" = Option<bool>, Query, description = "Answer as HMA does, also where it is wrong"),
    ),
    request_body(content = super::HmaUpload, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "`{\"pdq\": {\"BANK\": [{\"bank_content_id\": 1, \"distance\": \"0\"}]}}`", content_type = "application/json", headers(
            ("X-PDQ-Quality" = Option<u8>, description = "0 to 100; below 50 nothing matches"),
            ("X-Unscored" = Option<String>, description = "Why something of the file was not looked up, as `POST /h/hash` says it"),
        )),
        (status = 400, description = "No file, several, or no picture", body = HmaErrorBody),
        (status = 413, description = "Too large", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn post_lookup(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    params: Params,
    request: Request,
) -> Result<Response, Refusal> {
    state.has_permit()?;
    let until = deadline(request.headers(), call.arrived, state.options.deadline)?;
    let scope = scope(&params, params.flag("bypass_coinflip", false)?)?;
    let embeddings = state.services.lookup.embeddings_held(&who);
    let (content, _permit) = hash_upload(&state, call, &embeddings, &params, request).await?;
    let matches = of_content(&state, &who, &content, scope, &params, until).await?;
    Ok(content.answer(matches))
}

/// Matches of content by type and bank.
async fn of_content(
    state: &Shared,
    who: &Principal,
    content: &Content,
    scope: Scope,
    params: &Params,
    until: Instant,
) -> Result<Value, Refusal> {
    let mut answer = Map::new();
    for (kind, signal) in &content.signals {
        // HMA hashes no content with a type that is off.
        if enabled(state, who, *kind, params.strict).is_err() {
            continue;
        }
        let matches = match signal {
            None if params.strict => return Err(bad("invalid signal: invalid PDQ hash")),
            None => json!({}),
            // As it stands, or as the banks look at pictures: in all eight positions.
            Some(signal) => {
                let sought = match kind {
                    SignalType::Pdq if !params.strict => Sought::Picture(content.hashed.clone()),
                    _ => Sought::Made(signal.clone()),
                };
                let found = state.services.lookup.find(who, sought, &scope, until).await?;
                serde_json::to_value(by_bank(&found, params.strict)).unwrap_or_default()
            }
        };
        answer.insert(name_of(*kind).to_owned(), matches);
    }
    Ok(Value::Object(answer))
}

/// Look up a signal among everything that banks hold, in force or not.
///
/// A PDQ hash that this server answered in the last minutes is looked for turned and mirrored too, as a file is.
#[utoipa::path(
    get,
    path = "/m/raw_lookup",
    tag = "hma",
    params(
        ("signal_type" = String, Query, description = "`pdq`, `video_md5`, or another type of a bank"),
        ("signal" = String, Query, description = "The signal's text"),
        ("banks" = Option<String>, Query, description = "Only these banks, between commas"),
        ("include_distance" = Option<bool>, Query, description = "Objects with `distance` instead of ids"),
        ("hma_strict" = Option<bool>, Query, description = "Answer as HMA does, also where it is wrong"),
    ),
    responses(
        (status = 200, description = "`{\"matches\": [1, 2]}`, or objects as in a lookup", content_type = "application/json", headers(
            ("X-Matches-Left-Out" = Option<u64>, description = "Matches beyond the nearest thousand, which are not answered"),
        )),
        (status = 400, description = "No such signal", body = HmaErrorBody),
        (status = 429, description = "The key looked up too many different hashes near one item; see Retry-After", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn raw_lookup(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    params: Params,
) -> Result<(HeaderMap, Json<RawMatches>), Refusal> {
    let with_distance = params.flag("include_distance", false)?;
    let scope = Scope { banks: named_banks(&params), include_disabled: true, ..Scope::default() };
    let until = call.arrived + state.options.deadline;
    let sought = sought(&state, &who, &params)?;
    let found = state.services.lookup.find(&who, sought, &scope, until).await?;
    found.hold_back(until).await?;
    let bodies = found.matches.iter().filter_map(|matched| MatchBody::of(&found, matched, params.strict));
    let matches = bodies.map(|body| if with_distance { RawMatch::Whole(body) } else { RawMatch::Id(body.bank_content_id) });
    Ok((left_out(&found), Json(RawMatches { matches: matches.collect() })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_over_banks_and_lead_back() {
        assert_eq!((unique_id(1, 1), unique_id(1, 7), unique_id(2, 1)), (1, 7, (1 << 32) + 1));
        for (bank, content) in [(1, 1), (2, 1), (3, u32::MAX.into())] {
            assert_eq!(content_id_in(bank, unique_id(bank, content)), Some(content));
            assert_eq!(content_id_in(bank + 1, unique_id(bank, content)), None);
        }
        assert_eq!(content_id_in(1, -1), None);
    }
}
