//! `POST /match`: hashes and matches of content, or matches of signals, in one call. Nothing is stored and nothing comes before a reviewer.
//!
//! Content comes like an attachment of `/score`: any file as the raw body, as the part `attachment` of a form, or as base64 in JSON; or it stands at a URL.
//! Signals come in JSON, many at a time: each is looked up for itself, and matches say by `signal` whose they are.

mod answer;
mod request;

use std::time::{Duration, Instant};

use axum::{
    extract::{Extension, Request, State},
    response::Response,
};

use self::{
    answer::Answering,
    request::{Asked, Content},
};
pub(super) use self::{
    answer::MatchesAnswer,
    request::{MatchBody, MatchParts},
};
use super::{
    Call, Shared,
    dto::FileBody,
    error::{ApiError, ErrorBody},
    score::{GRACE, deadline},
};
use crate::services::{
    access::Principal,
    lookup::{Sought, Wanted, hold_back},
};

/// Match content or signals against the banks.
///
/// The answer has the content's hashes, what the banks hold of them, what known harmless material took back, and why a hash was not looked
/// up. Give `signals` instead of content to look them up, 1000 at most; both can stand in one call. Of each signal the nearest 1000 matches
/// are answered, and of a call 10000; `matches_left_out` counts the others. A radius wider than a bank's own is for keys that may curate
/// the bank; for others `narrowed` names the banks that were searched within their own. A key that looks up many different PDQ hashes near
/// one item, which it did not get from this server, is answered more slowly and then, after `matching.near_queries_stop`, not at all for a
/// while. A PDQ hash that this server answered in the last minutes is looked up in all eight positions.
#[utoipa::path(
    post,
    path = "/match",
    tag = "match",
    params(
        ("banks" = Option<String>, Query, description = "Without a JSON body: only these banks, between commas"),
        ("radius" = Option<String>, Query, description = "Without a JSON body: radii instead of the banks' own, `pdq:20,photodna:100`"),
        ("include" = Option<String>, Query, description = "Without a JSON body: `metadata`, `disabled`, `dihedral`, between commas"),
        ("X-Deadline-Ms" = Option<u64>, Header, description = "Stop after so many milliseconds; can only shorten the server's own deadline"),
    ),
    request_body(
        description = "Content or signals. Every other Content-Type is taken as `application/octet-stream` is",
        content(
            (MatchBody = "application/json"),
            (FileBody = "application/octet-stream"),
            (MatchParts = "multipart/form-data"),
        )
    ),
    responses(
        (status = 200, description = "What was found", body = MatchesAnswer),
        (status = 400, description = "`malformed`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 408, description = "`body_timeout`: the body did not arrive in time", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "`unsupported_type`: a Content-Encoding; no Content-Type is refused", body = ErrorBody),
        (status = 429, description = "`overloaded`, or `lookups_stopped`: the key looked up too many different hashes near one item; see Retry-After", body = ErrorBody),
        (status = 504, description = "`deadline`", body = ErrorBody),
    )
)]
pub(super) async fn matches(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    state.has_permit()?;
    let until = deadline(&parts.headers, call.arrived, state.options.deadline)?;
    let (Asked { content, signals, scope, include }, permit) = request::read(&state, &parts, body, until).await?;
    let lookup = &state.services.lookup;
    let unknown = lookup.unknown_banks(&who, &scope);
    if let Some(name) = unknown.first() {
        return Err(ApiError::malformed(format!("banks: there is no bank {name:?}, or none for this key")));
    }
    let mut answering = Answering::new(call.id, lookup.versions(&who, &scope), lookup.narrowed_banks(&who, &scope));
    if let Some(content) = content {
        let bytes = match content {
            Content::Bytes(bytes) => bytes,
            Content::Url(url) => {
                let started = Instant::now();
                let media = lookup.fetch(&url, until).await?;
                answering.took("fetch", started.elapsed());
                media.bytes
            }
        };
        let started = Instant::now();
        let wanted = Wanted { embeddings: lookup.embeddings_held(&who), ..Wanted::HASHES };
        let hashed = lookup.hash(bytes, wanted, until).await?;
        answering.took("hash", started.elapsed());
        answering.hashes(&hashed, lookup.unseen(&who, &hashed), include.dihedral)?;
        lookup.answered(&who, &hashed);
        let started = Instant::now();
        let found = lookup.find(&who, Sought::Content(hashed), &scope, until).await?;
        answering.took("match", started.elapsed());
        answering.found(None, &found);
    }
    let started = Instant::now();
    let (many, mut pause) = (signals.len(), Duration::ZERO);
    for (at, signal) in signals.into_iter().enumerate() {
        let sought = lookup.sought(&who, signal);
        let found = if many == 1 {
            lookup.find(&who, sought, &scope, until).await?
        } else {
            lookup.find_one_of_many(&who, sought, &scope, until).await?
        };
        answering.found(Some(at), &found);
        pause += found.pause;
    }
    if many > 0 {
        answering.took("match", started.elapsed());
    }
    answering.unseen(lookup.damaged(&who));
    if include.metadata {
        let started = Instant::now();
        let items = state.services.curation.matched(&who, &answering.items()).await?;
        answering.describe(items);
        answering.took("metadata", started.elapsed());
    }
    // Others may work meanwhile.
    drop(permit);
    hold_back(pause, until).await?;
    answering.finish(&state.services.lookup, call.arrived, until + GRACE).await
}
