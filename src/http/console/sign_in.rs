//! Signing in with a key, and out.

use std::time::Instant;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use maud::html;

use super::{
    super::{Shared, error::ApiError},
    COOKIE, Visitor, cookie,
    form::{Fields, Posted, see_other},
    page::{Field, Part, outside, page, parts, segment},
    session::LONGEST,
    visitor,
};
use crate::services::access::{AccessError, ApiKey};

/// Bytes of an address to go on to.
const LONGEST_ADDRESS: usize = 1024;

/// The way to the sign-in page for somebody who is not signed in; pages that were asked for come afterwards.
pub(super) fn first(asked: bool, uri: &Uri) -> Response {
    let path = uri.path_and_query().map_or("/console", |path| path.as_str());
    if asked && path != "/console" && path.len() <= LONGEST_ADDRESS {
        see_other(&format!("/console/sign-in?next={}", segment(path)))
    } else {
        see_other("/console/sign-in")
    }
}

/// Where somebody wanted to go; only ever a page of the console.
fn next(fields: &Fields) -> String {
    let inside =
        |path: &&str| path.starts_with("/console/") && path.len() <= LONGEST_ADDRESS && path.bytes().all(|byte| byte.is_ascii_graphic());
    fields.text("next").filter(inside).unwrap_or("/console").to_owned()
}

fn form(state: &Shared, status: StatusCode, next: &str, wrong: Option<&str>) -> Response {
    let keys = state.services.access.asks_for_keys();
    let body = html! {
        @if let Some(wrong) = wrong { p.notice.bad role="alert" { (wrong) } }
        form.card method="post" action="/console/sign-in" {
            input type="hidden" name="next" value=(next);
            @if keys {
                (Field::new("sign-in", "key", "API key").help("It begins with nlk_. `nightlight key create` makes one; the first start wrote the administrator's to admin.key in the data directory.").required().line("password"))
                button { "Sign in" }
            } @else {
                p { "This server asks for no keys: whoever reaches it is its administrator." }
                button { "Go in" }
            }
        }
    };
    outside(status, "Sign in", &body)
}

/// `GET /console/sign-in`
pub(super) async fn show(State(state): State<Shared>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let next = next(&Fields::of(&uri));
    if visitor(&state, &headers).await?.is_some() {
        return Ok(see_other(&next));
    }
    Ok(form(&state, StatusCode::OK, &next, None))
}

/// `POST /console/sign-in`
pub(super) async fn enter(State(state): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let (before, proxied) = (cookie(request.headers()).map(ToOwned::to_owned), by_tls(request.headers()));
    let fields = Fields::read(&state, request).await?;
    let key = fields.text("key").and_then(|text| text.parse::<ApiKey>().ok()).map(|key| key.digest());
    let who = match state.services.access.holder(key).await {
        Ok(who) => who,
        Err(error @ (AccessError::MissingKey | AccessError::InvalidKey)) => {
            let text = if matches!(error, AccessError::InvalidKey) { error.to_string() } else { "that is not an API key".to_owned() };
            return Ok(form(&state, StatusCode::UNAUTHORIZED, &next(&fields), Some(&text)));
        }
        Err(error) => return Err(error.into()),
    };
    let sessions = &state.console.sessions;
    // An id that was there before means nothing from here on.
    if let Some(before) = before {
        sessions.close(&before);
    }
    let id = sessions.open(key, Instant::now())?;
    let mut response = see_other(&next(&fields));
    set_cookie(&mut response, &id, LONGEST.as_secs(), proxied);
    response.extensions_mut().insert(who); // for the log line
    Ok(response)
}

/// `POST /console/sign-out`
pub(super) async fn leave(State(state): State<Shared>, headers: HeaderMap, _: Posted) -> Response {
    if let Some(id) = cookie(&headers) {
        state.console.sessions.close(id);
    }
    let mut response = see_other("/console/sign-in");
    set_cookie(&mut response, "", 0, by_tls(&headers));
    response
}

/// Whether a proxy says that the browser speaks TLS with it. Who forges that harms only themselves.
fn by_tls(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|value| value == "https")
}

fn set_cookie(response: &mut Response, id: &str, seconds: u64, secure: bool) {
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={id}; Path=/console; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    // Base64url and numbers are always a header's value.
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
}

/// `GET /console`: the first part that somebody may use.
pub(super) async fn home(visitor: Visitor) -> Response {
    if let Some((_, _, path)) = parts(&visitor).next() {
        return see_other(path).into_response();
    }
    let body = html! {
        h1 { "Nothing here for this key" }
        p {
            "The role " strong { (visitor.who.role) } " has no part in the console. Sign in with a key of the role curator (banks and exchanges), "
            "reviewer (the review queue) or admin."
        }
    };
    page(&visitor, Part::Home, "Console", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_out_of_the_console() {
        let go = |query: &str| next(&Fields::of(&format!("/console/sign-in?{query}").parse().unwrap()));
        assert_eq!(go("next=/console/banks/A%2520b"), "/console/banks/A%20b");
        for query in ["", "next=//evil.example", "next=https://evil.example/console/", "next=/console/%0d%0aSet-Cookie", "next=/consoles"] {
            assert_eq!(go(query), "/console", "{query}");
        }
    }
}
