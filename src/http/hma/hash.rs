//! `/h/hash`: content to signals.

use std::time::Instant;

use axum::{
    Json,
    extract::{Extension, Request, State},
    http::{HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::Value;

use super::{
    super::{Call, Shared, score::deadline},
    error::{HmaErrorBody, Refusal, bad},
    params::Params,
    upload::{ContentType, Upload, is_unsupported, pdq, picture, signals, texts, wanted},
};
use crate::{
    domain::{
        evidence::UnscoredReason,
        hash::Quality,
        signal::{Signal, SignalType},
    },
    services::{
        access::Principal,
        lookup::{Hashed, Wanted},
        permits::{Permit, Work},
    },
};

/// PDQ's quality of the content, in answers that hashed some.
const QUALITY: HeaderName = HeaderName::from_static("x-pdq-quality");

/// Why a photo has no PDQ hash, or what of it was not looked at.
const UNSCORED: HeaderName = HeaderName::from_static("x-unscored");

/// Content that was hashed.
pub(super) struct Content {
    /// By type; see [`signals`].
    pub signals: Vec<(SignalType, Option<Signal>)>,
    /// Of the PDQ hash among them, also where it is too low.
    pub quality: Option<Quality>,
    pub hashed: Hashed,
    /// What its sender says it is.
    kind: ContentType,
}

impl Content {
    /// The answer with PDQ's quality in its header.
    pub(super) fn answer(&self, body: Value) -> Response {
        let mut response = Json(body).into_response();
        // Of a video the digests are all that is looked up.
        let unsupported = (is_unsupported(&self.hashed) || self.kind == ContentType::Video).then_some(UnscoredReason::UnsupportedMedia);
        // One reason, of what hides most: HMA's bodies have no place for it, and its clients pass over headers.
        let rest = || self.hashed.rest.as_ref().map(|rest| rest.reason);
        let faint = || self.hashed.faint(Quality::MATCHABLE).map(|faint| faint.reason);
        if let Some(reason) = unsupported.or_else(rest).or_else(faint) {
            response.headers_mut().insert(UNSCORED, HeaderValue::from_static(reason.as_str()));
        }
        if let Some(quality) = self.quality {
            response.headers_mut().insert(QUALITY, HeaderValue::from(u16::from(quality.get())));
        }
        response
    }
}

/// Hashes content as far as `types` goes; a photo without them gets these embeddings too, and its digests where its type is not decoded.
pub(super) async fn hash_content(
    state: &Shared,
    (kind, bytes): (ContentType, Bytes),
    embeddings: &[SignalType],
    params: &Params,
    deadline: Instant,
) -> Result<Content, Refusal> {
    let mut types = kind.types(params.get("types"), params.strict, embeddings, &state.services.lookup.embeddings())?;
    let lookup = &state.services.lookup;
    let mut hashed = lookup.hash(bytes.clone(), wanted(&types), deadline).await?;
    picture(&hashed)?;
    if is_unsupported(&hashed) {
        if params.strict {
            return Err(bad("the bytes are not of a picture that is decoded"));
        }
        if params.get("types").is_none() {
            // What is not decoded can still be known: nobody gets past by a rare format.
            types.extend([SignalType::Md5, SignalType::Sha1, SignalType::Sha256]);
            let digests = Wanted { pdq: false, embeddings: Vec::new(), ..Wanted::HASHES };
            hashed.digests = lookup.hash(bytes, digests, deadline).await?.digests;
        }
    }
    let quality = pdq(&hashed, params.strict)?.map(|hash| hash.quality);
    Ok(Content { signals: signals(&types, &hashed, params.strict)?, quality, hashed, kind })
}

/// Reads a form and hashes its one file, under the permit that is taken when it is there.
pub(super) async fn hash_upload(
    state: &Shared,
    call: Call,
    embeddings: &[SignalType],
    params: &Params,
    request: Request,
) -> Result<(Content, Permit), Refusal> {
    let (parts, body) = request.into_parts();
    let deadline = deadline(&parts.headers, call.arrived, state.options.deadline)?;
    let bounds = state.options.bounds(state.options.body_limit, deadline);
    let mut upload = Upload::read(&parts, body, bounds).await?;
    let permit = state.permit(Work::File, upload.len())?;
    let content = upload.content()?;
    Ok((hash_content(state, content, embeddings, params, deadline).await?, permit))
}

/// Fetches content and hashes it. What it is says the query, or else the server that it comes from.
pub(super) async fn fetch_and_hash(
    state: &Shared,
    url: &str,
    embeddings: &[SignalType],
    params: &Params,
    deadline: Instant,
) -> Result<Content, Refusal> {
    let named = params.filled("content_type").map(ContentType::named).transpose()?;
    let media = state.services.lookup.fetch(url, deadline).await?;
    let told = media.content_type.unwrap_or_default().to_ascii_lowercase();
    let kind = match named {
        Some(kind) => kind,
        None if told.starts_with("image") => ContentType::Photo,
        None if told.starts_with("video") => ContentType::Video,
        None => {
            return Err(bad(format!(
                "unsupported url ContentType: '{told}', if you know the expected type, provide it with the content_type query param"
            )));
        }
    };
    hash_content(state, (kind, media.bytes), embeddings, params, deadline).await
}

/// Hash what stands at a URL, if this server fetches any.
#[utoipa::path(
    get,
    path = "/h/hash",
    tag = "hma",
    params(
        ("url" = String, Query, description = "Where the content is; `[outbound]` says what is fetched"),
        ("content_type" = Option<String>, Query, description = "`photo` or `video`; the other server's word without this"),
        ("types" = Option<String>, Query, description = "Signal types between commas"),
        ("hma_strict" = Option<bool>, Query, description = "Answer as HMA does, also where it is wrong"),
    ),
    responses(
        (status = 200, description = "Signals by type", body = std::collections::BTreeMap<String, String>, headers(
            ("X-PDQ-Quality" = Option<u8>, description = "0 to 100; below 50 the hash says nothing"),
            ("X-Unscored" = Option<String>, description = "`unsupported_media`: a video, or a photo of a type that is not decoded: its digests are all there is of it. `quality_below_minimum`: it has too little detail to be matched by its hash. `frames_not_looked_at`, `undecodable_media`, …: further frames were not looked at, or are too faint"),
        )),
        (status = 400, description = "Not fetched, or a damaged picture", body = HmaErrorBody),
        (status = 413, description = "Too large", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn get_hash(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    params: Params,
) -> Result<Response, Refusal> {
    let url = params.required("url")?;
    let _permit = state.permit(Work::File, usize::MAX)?;
    let content = fetch_and_hash(&state, url, &[], &params, call.arrived + state.options.deadline).await?;
    state.services.lookup.answered(&who, &content.hashed);
    Ok(content.answer(Value::Object(texts(&content.signals))))
}

/// Hash a file.
///
/// The form's one file stands in the field `photo` (answered with PDQ) or `video` (answered with the MD5 of its bytes, as `video_md5`). A hash
/// of too low a quality to match is empty; of an animation the first frame of a sufficient quality is hashed. A photo of a type that is not decoded (HEIC, AVIF, …) has an empty hash and its digests. The bytes are kept in memory and
/// nowhere else. For some minutes a lookup of the very PDQ hash finds turned and mirrored copies, and copies of further frames, too (`[matching] recent_hashes_s`).
#[utoipa::path(
    post,
    path = "/h/hash",
    tag = "hma",
    params(
        ("types" = Option<String>, Query, description = "Signal types between commas: `pdq` and `embedding:MODEL` for a photo, `video_md5` for a video, and for both `md5`, `sha1`, `sha256`"),
        ("hma_strict" = Option<bool>, Query, description = "Answer as HMA does, also where it is wrong"),
    ),
    request_body(content = super::HmaUpload, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "Signals by type", body = std::collections::BTreeMap<String, String>, headers(
            ("X-PDQ-Quality" = Option<u8>, description = "0 to 100; below 50 the hash says nothing"),
            ("X-Unscored" = Option<String>, description = "`unsupported_media`: a video, or a photo of a type that is not decoded: its digests are all there is of it. `quality_below_minimum`: it has too little detail to be matched by its hash. `frames_not_looked_at`, `undecodable_media`, …: further frames were not looked at, or are too faint"),
        )),
        (status = 400, description = "No file, several, or a damaged picture", body = HmaErrorBody),
        (status = 413, description = "Too large", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn post_hash(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    params: Params,
    request: Request,
) -> Result<Response, Refusal> {
    state.has_permit()?;
    let (content, _permit) = hash_upload(&state, call, &[], &params, request).await?;
    state.services.lookup.answered(&who, &content.hashed);
    Ok(content.answer(Value::Object(texts(&content.signals))))
}
