//! What a caller of `/match` asks.

use std::{borrow::Cow, collections::BTreeMap, time::Instant};

use axum::{body::Body, extract::Query, http::request::Parts};
use bytes::Bytes;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::{
    Shared, body,
    error::ApiError,
    input::{self, Kind},
    json::{self, first_objects},
    multipart::{self, Shape},
    score::off_the_loop,
};
use crate::{
    domain::signal::{Distance, Signal, SignalType},
    services::{
        lookup::Scope,
        permits::{Permit, Work},
    },
};

/// Signals of one call: about a second of searching in large banks.
pub(super) const MOST_SIGNALS: usize = 1000;

/// Content or signals, and where to look for them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct MatchBody<'a> {
    /// Each is looked up for itself.
    #[serde(default, deserialize_with = "first_objects::<MOST_SIGNALS, _, _>")]
    signals: Vec<SignalBody>,
    /// Of `media_base64`; the bytes decide what it is.
    #[expect(dead_code, reason = "a field of the contract that decides nothing")]
    media_type: Option<String>,
    /// Content of any type, in base64 of the standard alphabet.
    #[serde(borrow)]
    media_base64: Option<Cow<'a, str>>,
    /// Where the content is, if this server fetches any.
    url: Option<String>,
    /// Only these banks.
    banks: Option<Vec<String>>,
    /// Radii instead of the banks' own, by signal type.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, f32>)]
    radius: BTreeMap<SignalType, Distance>,
    #[serde(default)]
    include: Vec<Include>,
}

/// One signal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignalBody {
    /// `md5`, `sha1`, `sha256`, `pdq`, `photodna` or `embedding:MODEL`.
    #[schema(value_type = String)]
    signal_type: SignalType,
    /// Hex, or base64 for vectors.
    signal: String,
}

/// What the answer has beside the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Include {
    /// Of every match: standing, note, metadata and provenance.
    Metadata,
    /// Also what is out of force, and nothing is taken back.
    Disabled,
    /// The PDQ hashes of all eight positions.
    Dihedral,
}

/// A form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made")]
pub(in crate::http) struct MatchParts {
    /// The content.
    #[schema(value_type = String, format = Binary)]
    attachment: Vec<u8>,
}

/// The same in a query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MatchQuery {
    banks: Option<String>,
    radius: Option<String>,
    include: Option<String>,
}

/// What is to be hashed.
pub(super) enum Content {
    Bytes(Bytes),
    Url(String),
}

/// What the answer is to have.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Included {
    pub metadata: bool,
    pub dihedral: bool,
}

/// A call, understood.
pub(super) struct Asked {
    pub content: Option<Content>,
    pub signals: Vec<Signal>,
    pub scope: Scope,
    pub include: Included,
}

/// What a call asks, with the permit that was taken when its body was there.
///
/// # Errors
/// 400 that names the place; 413, 415, 429, and the body's own.
pub(super) async fn read(state: &Shared, parts: &Parts, body: Body, until: Instant) -> Result<(Asked, Permit), ApiError> {
    let bounds = state.options.bounds(state.options.body_limit, until);
    let kind = Kind::of_request(&parts.headers)?;
    if kind == Kind::Json {
        input::no_query(&parts.uri)?;
        let bytes = body::read(&parts.headers, body, bounds).await?;
        let permit = state.permit(Work::File, bytes.len())?;
        let asked = off_the_loop(state, bytes.len(), until, move |_| json::parse_no_file::<MatchBody<'_>>(&bytes)?.asked()).await?;
        return Ok((asked, permit));
    }
    let query = Query::<MatchQuery>::try_from_uri(&parts.uri).map_err(|error| ApiError::malformed(error.body_text()))?;
    let (scope, include) = query.0.read()?;
    let bytes = if kind == Kind::Multipart {
        let raw = multipart::read(parts, body, bounds, Shape::One).await?.pop();
        raw.ok_or_else(|| ApiError::malformed("there is no attachment part"))?.into_bytes()
    } else {
        body::read(&parts.headers, body, bounds).await?
    };
    if bytes.is_empty() {
        return Err(ApiError::malformed("the content is empty"));
    }
    let permit = state.permit(Work::File, bytes.len())?;
    Ok((Asked { content: Some(Content::Bytes(bytes)), signals: Vec::new(), scope, include }, permit))
}

impl MatchBody<'_> {
    fn asked(self) -> Result<Asked, ApiError> {
        let Self { signals, media_base64, url, banks, radius, include, .. } = self;
        if signals.len() > MOST_SIGNALS {
            return Err(ApiError::too_large(format!("a call may have {MOST_SIGNALS} signals")));
        }
        let content = match (media_base64, url) {
            (Some(_), Some(_)) => return Err(ApiError::malformed("give media_base64 or url, not both")),
            (None, Some(url)) => Some(Content::Url(url)),
            (Some(data), None) => Some(Content::Bytes(input::base64(&data, "media_base64")?)),
            (None, None) => None,
        };
        if content.is_none() && signals.is_empty() {
            return Err(ApiError::malformed("give signals, media_base64 or url"));
        }
        let parse = |(at, body): (usize, SignalBody)| {
            let signal = Signal::parse(body.signal_type, body.signal.trim());
            signal.map_err(|error| ApiError::malformed(format!("signals[{at}].signal: {error}")))
        };
        let signals = signals.into_iter().enumerate().map(parse).collect::<Result<_, _>>()?;
        let (scope, include) = told(banks, radius, &include)?;
        Ok(Asked { content, signals, scope, include })
    }
}

impl MatchQuery {
    fn read(self) -> Result<(Scope, Included), ApiError> {
        let words = |text: Option<String>| text.map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>());
        let mut radii = BTreeMap::new();
        for word in words(self.radius).unwrap_or_default() {
            // The model of an embedding stands behind a colon too.
            let pair =
                word.rsplit_once(':').and_then(|(kind, radius)| Some((kind.parse().ok()?, radius.parse().ok().and_then(Distance::new)?)));
            let (kind, radius): (SignalType, Distance) =
                pair.ok_or_else(|| ApiError::malformed(format!("radius: {word:?} is not signal_type:number")))?;
            radii.insert(kind, radius);
        }
        let include = words(self.include).unwrap_or_default().into_iter().map(|word| match word.as_str() {
            "metadata" => Ok(Include::Metadata),
            "disabled" => Ok(Include::Disabled),
            "dihedral" => Ok(Include::Dihedral),
            _ => Err(ApiError::malformed(format!("include: {word:?} is none of metadata, disabled, dihedral"))),
        });
        told(words(self.banks), radii, &include.collect::<Result<Vec<_>, _>>()?)
    }
}

fn told(banks: Option<Vec<String>>, radii: BTreeMap<SignalType, Distance>, include: &[Include]) -> Result<(Scope, Included), ApiError> {
    for (kind, radius) in &radii {
        if kind.is_exact() {
            return Err(ApiError::malformed(format!("radius.{kind}: digests match exactly")));
        }
        if *radius > kind.largest_distance() {
            return Err(ApiError::malformed(format!("radius.{kind}: must lie in 0..={}", kind.largest_distance())));
        }
    }
    let has = |one| include.contains(&one);
    let scope = Scope { banks, radii, include_disabled: has(Include::Disabled), ..Scope::default() };
    Ok((scope, Included { metadata: has(Include::Metadata), dihedral: has(Include::Dihedral) }))
}
