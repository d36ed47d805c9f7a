//! What forms bring: their fields, and the proof that they were ours.
//!
//! A form is taken when the browser says that it comes from this origin, and when it brings its session's token. Either would do; a cookie that is
//! `SameSite=Strict` would do, too. Three walls, because each has been broken before.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, sync::Arc};

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, Uri, header},
    response::Response,
};
use url::form_urlencoded;

use super::{
    super::{
        Call, Shared, body,
        error::{ApiError, ErrorCode},
    },
    Visitor,
};

/// Bytes of a form: some embeddings as text, and metadata.
const LONGEST: usize = 1 << 20;

/// The hidden field with the session's token.
pub(super) const TOKEN: &str = "token";

/// Names and values in their order.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Of a query; anything can be read as one.
    pub(super) fn of(uri: &Uri) -> Self {
        Self::parse(uri.query().unwrap_or_default().as_bytes())
    }

    fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// The form in a request of this origin.
    ///
    /// # Errors
    /// 403 for a form of another origin, 413, 415, and the body's own.
    pub(super) async fn read(state: &Shared, request: Request) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let call = parts.extensions.get::<Call>().copied().ok_or_else(|| ApiError::internal("a form without a call"))?;
        if !same_origin(&parts.headers, &parts.uri) {
            return Err(ApiError::new(
                ErrorCode::Forbidden,
                "this form was not sent from this console; nothing was changed. Behind a proxy, have it pass the Host header on.",
            ));
        }
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") {
            return Err(ApiError::unsupported("forms are sent as application/x-www-form-urlencoded"));
        }
        let bounds = state.options.bounds(LONGEST, call.arrived + state.options.deadline);
        Ok(Self::parse(&body::read(&parts.headers, body, bounds).await?))
    }

    /// The value as it was typed; empty when there is none.
    pub(super) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The value without space around it, if anything is left.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        Some(self.raw(name).trim()).filter(|text| !text.is_empty())
    }

    /// The same as a `String`.
    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(ToOwned::to_owned)
    }

    /// A value that has to be there.
    pub(super) fn required(&self, name: &str, label: &str) -> Result<&str, ApiError> {
        self.text(name).ok_or_else(|| ApiError::malformed(format!("{label}: please fill this in")))
    }

    /// A value of some type, if the field is filled.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, name: &str, label: &str) -> Result<Option<T>, ApiError> {
        let parse = |text: &str| text.parse().map_err(|error| ApiError::malformed(format!("{label}: {error}")));
        self.text(name).map(parse).transpose()
    }

    /// A value of some type that has to be there.
    pub(super) fn needed<T: FromStr<Err: Display>>(&self, name: &str, label: &str) -> Result<T, ApiError> {
        self.required(name, label)?;
        self.parsed(name, label)?.ok_or_else(|| ApiError::malformed(format!("{label}: please fill this in")))
    }

    /// A number within `range`, if the field is filled.
    pub(super) fn number<T: Number>(&self, name: &str, label: &str, range: RangeInclusive<T>) -> Result<Option<T>, ApiError> {
        self.text(name).map(|text| number(text, label, &range)).transpose()
    }

    /// A number within `range` that has to be there.
    pub(super) fn needed_number<T: Number>(&self, name: &str, label: &str, range: RangeInclusive<T>) -> Result<T, ApiError> {
        number(self.required(name, label)?, label, &range)
    }

    /// Whether a box is checked.
    pub(super) fn checked(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }
}

/// A type of numbers in forms.
pub(super) trait Number: FromStr + PartialOrd + Display {}

impl<T: FromStr + PartialOrd + Display> Number for T {}

/// The number that somebody typed. What is wrong is said in terms of what to type: Rust's own words ("number too large to fit in target type") speak of types.
pub(super) fn number<T: Number>(text: &str, label: &str, range: &RangeInclusive<T>) -> Result<T, ApiError> {
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        let whole = T::from_str("0.5").is_err();
        let (kind, how) =
            if whole { ("a whole number", "digits alone") } else { ("a number", "digits, with a point where it is no whole one") };
        ApiError::malformed(format!("{label}: type {kind} from {} to {} ({how})", range.start(), range.end()))
    })
}

/// A form that could not be taken.
pub(super) struct Kept {
    /// Its name on the page.
    pub form: &'static str,
    pub fields: Fields,
    /// What is wrong, and the status that says so.
    pub problem: (String, StatusCode),
}

/// What became of a form: `result`, or the form's page again, filled in as it was sent, when its sender can mend what is wrong.
pub(super) async fn or_again<F: Future<Output = Result<Response, ApiError>>>(
    result: Result<Response, ApiError>,
    Posted { visitor, fields }: Posted,
    form: &'static str,
    page: impl FnOnce(Visitor) -> F,
) -> Result<Response, ApiError> {
    let error = match result {
        Err(error) if matches!(error.code, ErrorCode::Malformed | ErrorCode::Duplicate) => error,
        other => return other,
    };
    let status = error.code.status();
    let kept = Kept { form, fields, problem: (error.message().to_owned(), status) };
    match page(Visitor { kept: Some(Arc::new(kept)), ..visitor }).await {
        Ok(mut page) => {
            *page.status_mut() = status;
            Ok(page)
        }
        // There is no such page any more: what is wrong is still told.
        Err(_) => Err(error),
    }
}

/// Whether a browser says that a request comes from a page of this server. Programs that are no browser say nothing, and are held by the token.
fn same_origin(headers: &HeaderMap, uri: &Uri) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("invalid"));
    // Sent to origins that a browser trusts (https, loopback), and right also behind a proxy that changes Host.
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = text("origin") else { return true };
    let host = text("host").or_else(|| uri.authority().map(|authority| authority.as_str()));
    host.is_some_and(|host| ["http://", "https://"].iter().any(|scheme| origin.strip_prefix(scheme) == Some(host)))
}

/// A form that somebody who is signed in sent from a page of theirs.
pub(super) struct Posted {
    pub visitor: Visitor,
    pub fields: Fields,
}

impl FromRequest<Shared> for Posted {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, ApiError> {
        let visitor = Visitor::of(request.extensions())?;
        let fields = Fields::read(state, request).await?;
        if !visitor.session.made(fields.raw(TOKEN)) {
            let message = "this form belongs to a session that has ended; nothing was changed. Open the page again and send it from there.";
            return Err(ApiError::new(ErrorCode::Forbidden, message));
        }
        Ok(Self { visitor, fields })
    }
}

/// See other: after a form, the page that shows what became of it. Reloading it sends nothing again.
pub(super) fn see_other(path: &str) -> Response {
    use axum::response::IntoResponse;
    (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(pairs: &[(&'static str, &'static str)]) -> bool {
        let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        same_origin(&HeaderMap::from_iter(headers), &"/console".parse().unwrap())
    }

    #[test]
    fn forms_of_other_origins_are_known() {
        assert!(says(&[]) && says(&[("sec-fetch-site", "same-origin"), ("host", "rewritten"), ("origin", "https://console.example")]));
        for site in ["cross-site", "same-site", "?"] {
            assert!(!says(&[("sec-fetch-site", site)]), "{site}");
        }
        assert!(says(&[("origin", "http://127.0.0.1:8080"), ("host", "127.0.0.1:8080")]));
        for origin in ["null", "http://127.0.0.1:8081", "http://evil.example", "http://127.0.0.1:8080.evil.example", "127.0.0.1:8080"] {
            assert!(!says(&[("origin", origin), ("host", "127.0.0.1:8080")]), "{origin}");
        }
        assert!(!says(&[("origin", "http://127.0.0.1:8080")]), "whose host is not known");
    }

    #[test]
    fn fields_say_what_is_wrong_with_them() {
        let fields = Fields::parse(b"name=a+b%26&radius=31&empty=+&bad=x&on=1&name=second");
        assert_eq!(fields.text("name"), Some("a b&"));
        assert_eq!((fields.text("empty"), fields.text("none"), fields.raw("empty")), (None, None, " "));
        assert_eq!(fields.needed_number("radius", "Radius", 0..=256).unwrap(), 31);
        assert_eq!(fields.number("empty", "Radius", 0..=256).unwrap(), None);
        assert!(fields.checked("on") && !fields.checked("off"));
        for text in ["bad=x", "bad=300", "bad=-1", "bad=3.5", "bad=1e99", "bad=99999999999999999999999"] {
            let error = Fields::parse(text.as_bytes()).number("bad", "Radius", 0u8..=100).unwrap_err();
            assert_eq!(error.message(), "Radius: type a whole number from 0 to 100 (digits alone)", "{text}");
        }
        let share = |text: &str| Fields::parse(text.as_bytes()).number("share", "Share", 0.0..=1.0);
        assert_eq!(share("share=0.25").unwrap(), Some(0.25));
        for text in ["share=0,25", "share=NaN", "share=2"] {
            assert!(share(text).unwrap_err().message().starts_with("Share: type a number from 0 to 1 (digits, with a point"), "{text}");
        }
        assert!(fields.needed_number("none", "Radius", 0u32..=256).unwrap_err().message().contains("fill this in"));
    }
}
