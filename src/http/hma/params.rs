//! What callers write into queries and bodies, read as HMA's framework reads it: the first value of a repeated name counts, unknown names are
//! nobody's business.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};

use serde_json::Value;

use super::error::{Refusal, bad};
use crate::domain::signal::{Signal, SignalType};

/// HMA's name of MD5.
pub(super) const VIDEO_MD5: &str = "video_md5";

/// A query.
#[derive(Debug)]
pub(in crate::http) struct Params {
    pairs: Vec<(String, String)>,
    /// `hma_strict=1`: answers as HMA answers, also where it is wrong.
    pub strict: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Percent-encoding of nonsense becomes replacement characters, which no value of ours holds.
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map(|Query(pairs)| pairs).unwrap_or_default();
        let mut params = Self { pairs, strict: false };
        params.strict = params.get("hma_strict").is_some_and(|text| boolean(text) == Some(true));
        Ok(params)
    }
}

impl Params {
    /// The first value of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first value of this name, if it has any characters.
    pub(super) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// A value that must be there.
    pub(super) fn required(&self, name: &'static str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::missing(self.strict, name))
    }

    /// A yes or no.
    pub(super) fn flag(&self, name: &'static str, default: bool) -> Result<bool, Refusal> {
        let Some(text) = self.get(name) else { return Ok(default) };
        boolean(text)
            .ok_or_else(|| Refusal::field(self.strict, name, "bool_parsing", "Input should be a valid boolean, unable to interpret input"))
    }

    /// Words between commas; `None` when there are none.
    pub(super) fn list(&self, name: &str) -> Option<Vec<&str>> {
        self.filled(name).map(|text| text.split(',').collect())
    }
}

/// What the validation library under HMA takes for a yes or a no (pydantic, "Conversion table", `bool`).
fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
        "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}

/// The same of a value in a body.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => boolean(text),
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Some(false),
            Some(1.0) => Some(true),
            _ => None,
        },
        _ => None,
    }
}

/// The name of a signal type on these paths.
pub(super) const fn name_of(kind: SignalType) -> &'static str {
    match kind {
        SignalType::Md5 => VIDEO_MD5,
        kind => kind.as_str(),
    }
}

/// The signal type of this name. `md5` and HMA's `video_md5` are one; a strict answer knows HMA's two alone.
pub(super) fn kind_named(name: &str, strict: bool) -> Option<SignalType> {
    match name {
        VIDEO_MD5 => Some(SignalType::Md5),
        "pdq" => Some(SignalType::Pdq),
        _ if strict => None,
        _ => name.parse().ok(),
    }
}

/// A signal in its text form. PDQ in upper case is taken, except in strict answers.
///
/// # Errors
/// 400 that names what it should be; `what` stands before it.
pub(super) fn signal(kind: SignalType, text: &str, strict: bool, what: &str) -> Result<Signal, Refusal> {
    let text = if strict && kind == SignalType::Pdq { text } else { text.trim() };
    if strict && kind == SignalType::Pdq && text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(bad(format!("{what}: invalid PDQ hash")));
    }
    Signal::parse(kind, text).map_err(|error| bad(format!("{what}: {error}")))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn params(query: &str) -> Params {
        let (mut parts, ()) = Request::get(format!("/?{query}")).body(()).unwrap().into_parts();
        Params::from_request_parts(&mut parts, &()).await.unwrap()
    }

    #[tokio::test]
    async fn the_first_of_a_name_counts_and_empty_lists_are_none() {
        let read = params("banks=A,B&banks=C&seed=&hma_strict=1&signal=%C3%BC").await;
        assert_eq!(read.list("banks"), Some(vec!["A", "B"]));
        assert_eq!((read.get("seed"), read.filled("seed"), read.get("signal"), read.strict), (Some(""), None, Some("ü"), true));
        assert!(!params("hma_strict=0").await.strict && !params("strict=1").await.strict);
    }

    #[tokio::test]
    async fn booleans_are_read_as_hma_reads_them() {
        for (text, expected) in [("true", true), ("1", true), ("On", true), ("no", false), ("FALSE", false)] {
            assert_eq!(params(&format!("b={text}")).await.flag("b", false).unwrap(), expected);
        }
        assert!(params("b=maybe").await.flag("b", false).is_err());
        assert!(params("").await.flag("b", true).unwrap());
    }
}
