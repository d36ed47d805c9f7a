//! `/console`: pages for people, made here and shown as they are.
//!
//! Every page is HTML from the server (`maud`, which escapes what it is given); there is no script, and nothing is loaded from elsewhere: [`POLICY`] has
//! browsers hold us to that. A form is answered by a redirect to the page that shows what became of it, or, when something in it is wrong, by its own page: filled in as it was
//! sent, with what is wrong above it. The pages do what the API does, by the same services and
//! for the same [`Principal`], so roles and the lists of banks need no second set of rules here.
//!
//! | file | pages |
//! | --- | --- |
//! | `sign_in` | signing in with a key, and out |
//! | `banks`, `bank`, `settings` | all banks; one bank, and how it is set |
//! | `items`, `item` | what is in a bank; one item, and what can be done with it |
//! | `keys` | which keys may use a bank |
//! | `lookup` | looking a signal up in all banks |
//! | `exchanges`, `exchange` | lists of others that banks follow, and what they are told |
//! | `review` | the review queue |
//! | `page`, `form`, `session` | what all pages look like; what forms bring; who is signed in |
//!
//! # Who is let in
//! A person shows an API key once and gets a cookie with a random id: `HttpOnly`, `SameSite=Strict`, for eight hours at most and half an hour without use. The
//! key stays out of the cookie, of pages and of memory; the server keeps its digest beside the session and looks its holder up for each page. On a server that asks
//! for no keys everybody is let in as its administrator, as in the API.

mod bank;
mod banks;
mod exchange;
mod exchanges;
mod form;
mod item;
mod items;
mod keys;
mod lookup;
mod page;
mod review;
mod session;
mod settings;
mod sign_in;

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{FromRequestParts, Path, Request, State},
    http::{Extensions, HeaderMap, HeaderValue, Method, header, request::Parts},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use serde::de::DeserializeOwned;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(super) use self::page::problem;
use self::{
    form::Kept,
    session::{Session, Sessions},
};
use super::{
    Call, Shared, auth,
    error::{ApiError, ErrorCode},
};
use crate::{
    domain::ids::RequestId,
    services::access::{AccessError, Principal},
};

/// What browsers let a page of ours do: show itself, its style sheet, and send forms back.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The cookie with the session's id.
const COOKIE: &str = "nightlight_session";

/// What the console remembers.
pub(super) struct Console {
    sessions: Sessions,
    /// Ends what pages have begun in the background when the API is dropped.
    stop: CancellationToken,
    _stops: DropGuard,
}

impl Default for Console {
    fn default() -> Self {
        let stop = CancellationToken::new();
        Self { sessions: Sessions::default(), _stops: stop.clone().drop_guard(), stop }
    }
}

/// Whether a path is the console's, so that its errors are pages.
pub(super) fn answers(path: &str) -> bool {
    path.strip_prefix("/console").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Puts on every answer of the console what browsers have to keep to.
pub(super) fn harden(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // `no-referrer` would make browsers send `Origin: null` with our own forms.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
}

/// One line of a table of pages.
type Page = (&'static str, MethodRouter<Shared>);

/// The pages for who is signed in.
fn inside() -> Vec<Page> {
    vec![
        ("/console", get(sign_in::home)),
        ("/console/sign-out", post(sign_in::leave)),
        ("/console/banks", get(banks::list).post(banks::create)),
        ("/console/banks/{bank}", get(bank::show)),
        ("/console/banks/{bank}/settings", get(settings::show).post(settings::save)),
        ("/console/banks/{bank}/delete", post(bank::delete)),
        ("/console/banks/{bank}/items", post(items::add)),
        ("/console/banks/{bank}/items/{id}", get(item::show)),
        ("/console/banks/{bank}/items/{id}/{action}", post(item::act)),
        ("/console/banks/{bank}/keys", get(keys::show).post(keys::change)),
        ("/console/lookup", get(lookup::show).post(lookup::find)),
        ("/console/exchanges", get(exchanges::list).post(exchanges::create)),
        ("/console/new-exchange/{api}", get(exchanges::form)),
        ("/console/exchanges/{name}", get(exchange::show)),
        ("/console/exchanges/{name}/{action}", post(exchange::act)),
        ("/console/review", get(review::list)),
        ("/console/review/{id}", get(review::show)),
        ("/console/review/{id}/attachments", get(review::attachments)),
        ("/console/review/{id}/{action}", post(review::act)),
    ]
}

/// The pages for everybody.
fn outside() -> Vec<Page> {
    vec![
        ("/console/sign-in", get(sign_in::show).post(sign_in::enter)),
        ("/console/style.css", get(page::style)),
        ("/console/{*other}", get(async || ApiError::new(ErrorCode::NotFound, "the console has no such page"))),
    ]
}

/// All pages.
pub(super) fn pages(state: &Shared) -> Router<Shared> {
    let all = |pages: Vec<Page>| pages.into_iter().fold(Router::new(), |router, (path, handlers)| router.route(path, handlers));
    all(inside()).route_layer(from_fn_with_state(Arc::clone(state), guard)).merge(all(outside()))
}

/// Their paths.
#[cfg(any(test, feature = "testing"))]
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    inside().into_iter().chain(outside()).map(|(path, _)| path)
}

/// Somebody who is signed in.
#[derive(Clone)]
struct Visitor {
    who: Principal,
    session: Arc<Session>,
    /// Of this request.
    call: RequestId,
    /// A form of theirs that could not be taken, and is shown again.
    kept: Option<Arc<Kept>>,
}

impl Visitor {
    fn of(extensions: &Extensions) -> Result<Self, ApiError> {
        extensions.get().cloned().ok_or_else(|| ApiError::internal("a page of the console has no guard"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::of(&parts.extensions)
    }
}

/// What a path names; 404 for what cannot be read.
struct At<T>(T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let missing = |_| ApiError::new(ErrorCode::NotFound, "the console has no such page");
        Path::from_request_parts(parts, state).await.map(|Path(named)| Self(named)).map_err(missing)
    }
}

/// The session's id in the cookies.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split(';')).find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Lets those in who are signed in, and shows others where to.
async fn guard(State(state): State<Shared>, mut request: Request, next: Next) -> Response {
    let Some(call) = request.extensions().get::<Call>().map(|call| call.id) else {
        return ApiError::internal("a page without a call").into_response();
    };
    let visitor = match visitor(&state, request.headers()).await {
        Ok(Some((who, session))) => Visitor { who, session, call, kept: None },
        Ok(None) => return sign_in::first(request.method() == Method::GET, request.uri()),
        Err(error) => return error.into_response(),
    };
    if let Err(error) = auth::recognise(request.extensions()) {
        return error.into_response();
    }
    let who = visitor.who.clone();
    let _stay = match state.spool.take_in(who.key, &mut request) {
        Ok(stay) => stay,
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().insert(visitor);
    let mut response = next.run(request).await;
    response.extensions_mut().insert(who); // for the log line
    response
}

/// Who sent these headers; `None` for who is not signed in, or whose key is no longer valid.
async fn visitor(state: &Shared, headers: &HeaderMap) -> Result<Option<(Principal, Arc<Session>)>, ApiError> {
    let console = &state.console;
    let Some(id) = cookie(headers) else { return Ok(None) };
    let Some(session) = console.sessions.find(id, Instant::now()) else { return Ok(None) };
    match state.services.access.holder(session.key).await {
        Ok(who) => Ok(Some((who, session))),
        Err(AccessError::MissingKey | AccessError::InvalidKey) => {
            console.sessions.close(id);
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let headers = |value: &'static str| HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(value))]);
        assert_eq!(cookie(&headers("a=b; nightlight_session=xyz; c=d")), Some("xyz"));
        assert_eq!(cookie(&headers("nightlight_session2=xyz")), None);
        assert_eq!(cookie(&HeaderMap::new()), None);
    }

    #[test]
    fn errors_are_pages_under_the_console_alone() {
        assert!(answers("/console") && answers("/console/") && answers("/console/banks"));
        assert!(!answers("/consoles") && !answers("/score") && !answers("/c/banks"));
    }
}
