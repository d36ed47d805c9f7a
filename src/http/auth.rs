//! Lets callers in: from headers to a [`Principal`](crate::services::access::Principal).

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{Extensions, HeaderMap, HeaderName, header},
    middleware::Next,
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Shared, error::ApiError, serve::Peer};
use crate::{services::access::Permission, telemetry::metric};

/// Runs before each handler that needs `permission`; handlers find the principal in the request's extensions.
pub(super) async fn require(
    State((state, permission)): State<(Shared, Permission)>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let presented = presented(request.headers());
    let principal = state.services.access.authenticate(presented.as_deref()).await?;
    recognise(request.extensions())?;
    principal.require(permission)?;
    request.extensions_mut().insert(principal.clone());
    let _stay = state.spool.take_in(principal.key, &mut request)?;
    let mut response = principal.scope(next.run(request)).await;
    response.extensions_mut().insert(principal); // for the log line
    Ok(response)
}

/// Has the request's connection count among those with a valid key.
///
/// # Errors
/// 429 when all that there may be are in use by such.
pub(super) fn recognise(extensions: &Extensions) -> Result<(), ApiError> {
    if extensions.get::<Peer>().is_none_or(Peer::recognised) {
        return Ok(());
    }
    metrics::counter!(metric::CONNECTIONS_REFUSED_TOTAL).increment(1);
    Err(ApiError::overloaded("every connection is in use", Duration::from_secs(1)))
}

/// The key in the headers: `Authorization: Bearer KEY`, `Authorization: Basic` with the key as password, or `X-API-Key: KEY`. The first
/// that is there counts. A header that cannot be understood, or is there twice, counts as an empty key, so that it is refused rather than missing.
fn presented(headers: &HeaderMap) -> Option<String> {
    let only = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        let first = values.next()?;
        Some(if values.next().is_none() { first.to_str().unwrap_or_default() } else { "" })
    };
    if let Some(value) = only(&header::AUTHORIZATION) {
        return Some(authorization(value).unwrap_or_default());
    }
    only(&HeaderName::from_static("x-api-key")).map(str::to_owned)
}

fn authorization(value: &str) -> Option<String> {
    let (scheme, credentials) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(credentials.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
        return pair.split_once(':').map(|(_, password)| password.to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_in(name: &'static str, value: &str) -> Option<String> {
        presented(&HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]))
    }

    #[test]
    fn a_key_comes_in_three_ways() {
        assert_eq!(presented(&HeaderMap::new()), None);
        assert_eq!(key_in("authorization", "Bearer nlk_k").as_deref(), Some("nlk_k"));
        assert_eq!(key_in("authorization", "bearer  nlk_k ").as_deref(), Some("nlk_k"));
        assert_eq!(key_in("authorization", "Basic YW55Om5sa19r").as_deref(), Some("nlk_k")); // any:nlk_k
        assert_eq!(key_in("authorization", "Basic Om5sa19r").as_deref(), Some("nlk_k")); // :nlk_k
        assert_eq!(key_in("x-api-key", "nlk_k").as_deref(), Some("nlk_k"));
    }

    #[test]
    fn what_cannot_be_understood_is_refused_not_missing() {
        for value in ["Bearer", "Basic !!!", "Basic YW55", "Digest nlk_k", ""] {
            assert_eq!(key_in("authorization", value).as_deref(), Some(""), "{value:?}");
        }
        for (name, value) in [("authorization", "Bearer nlk_k"), ("x-api-key", "nlk_k")] {
            let mut headers = HeaderMap::new();
            for _ in 0..2 {
                headers.append(name, value.parse().unwrap());
            }
            assert_eq!(presented(&headers).as_deref(), Some(""), "{name} twice");
        }
    }
}
