//! The API over HTTP: the only room that knows axum.
//!
//! [`router`] puts together what callers see from an [`HttpState`]: services, limits and what the status pages need. Each concern has its file:
//! `score` and `batch` (with `input`, `multipart` and `body` below them), `hma`, `banks`, `review`, `operating_points`, `status`, `docs`, the pages of `console`; `auth` lets callers in, `error` is the one
//! place that turns errors into answers, `observe` gives every request its id, its log line and its metrics, and [`serve`] is the loop that
//! accepts connections.
//!
//! # What every answer has
//! An `X-Request-Id`. Errors are `{"error":{"code","message","request_id"}}` with a code from [`ErrorCode`]; an answer with status 500 has a fixed
//! text, and the cause is in the log under the same id. The log holds routes, statuses, times and key ids, and never content, file names, hashes
//! or values of a query.
//!
//! # Bounds
//! A scoring call takes one of [`HttpOptions::permits`] when its body has arrived and holds it until it is answered: slow senders hold none. Who finds none
//! free gets 429 and `Retry-After`; it is told so before its body is read if that can be known by then. Bodies, from their first byte to the answer, have at
//! most [`HttpOptions::body_memory`] bytes, of which no key with several of them takes all (`spool`), and keep to a least rate (`body`). [`serve`] bounds
//! the connections.
//!
//! # One table of routes
//! `routes` lists path, handlers and the permission they need. The router is folded from it, and tests hold it against the OpenAPI document.
//!
//! ```
//! # use std::{sync::Arc, time::Duration};
//! # use axum::{body::Body, http::Request};
//! # use nightlight::{
//! #     config::{Config, Sources}, http::{HttpOptions, HttpServices, HttpState, router},
//! #     services::{
//! #         access::Access, banks::{Banks, curation::Curation}, exchanges, health::{Health, constant}, lookup::Lookup, monitor::{Monitor, Settings}, operating_points::{OperatingPoints, Running},
//! #         analysis::Pictures, review::Review,
//! #     },
//! #     outbound::MediaFetcher, store::{Store, StoreOptions}, testing::scorer::FakeScorer,
//! # };
//! # use tower::ServiceExt;
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::open(StoreOptions::new(folder.path().join("nightlight.db"))).await?;
//! # let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle();
//! let config = Config::load(&Sources::default())?;
//! let banks = Banks::load(&store, config.matching.dihedral).await?;
//! let points = OperatingPoints::load(&config, Running::default(), store.clone()).await?;
//! let services = HttpServices {
//!     scorer: Arc::new(FakeScorer::echo()),
//!     access: Access::new(store.clone(), true),
//!     curation: Curation::new(store.clone(), Some(banks.clone()), Default::default()),
//!     exchanges: exchanges(&config, store.clone(), Some(banks.clone())),
//!     lookup: Arc::new(Lookup::new(banks, Pictures::hashing(&config)?, MediaFetcher::off())),
//!     review: Review::new(store.clone(), Duration::from_secs(15 * 60)),
//!     monitor: Monitor::start(store, points.clone(), Settings::new(&config.monitor, &config.audit, [])).await?,
//!     points,
//!     health: constant(Health::default()),
//! };
//! let answer = router(HttpState::new(HttpOptions::default(), services, metrics)).oneshot(Request::post("/score").body(Body::empty())?).await?;
//! assert_eq!(answer.status(), 401);
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

mod auth;
mod banks;
mod batch;
mod body;
mod console;
mod docs;
mod dto;
mod error;
mod framing;
mod hma;
mod input;
mod json;
mod matching;
mod monitor;
mod multipart;
mod observe;
mod openapi;
mod operating_points;
mod review;
mod review_dto;
mod score;
mod serve;
mod spool;
mod status;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    routing::{MethodRouter, get, post},
};
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use tower_http::catch_panic::CatchPanicLayer;

use self::{error::ApiError, spool::Spool};
pub use self::{
    error::ErrorCode,
    openapi::document as openapi_document,
    serve::{ServeOptions, serve},
};
use crate::{
    domain::ids::RequestId,
    services::{
        access::{Access, Permission},
        banks::curation::Curation,
        exchange::Exchanges,
        health::HealthProbe,
        lookup::Lookup,
        monitor::Monitor,
        operating_points::OperatingPoints,
        permits::{Permit, Permits, Work},
        review::Review,
        scoring::{ScoreError, ScoreRequest, Scored},
    },
};

/// What scores: `services::scoring` in a server, a fake in the tests of this room.
pub trait Scorer: Send + Sync + 'static {
    /// Scores one attachment before `request.deadline`. Dropping the future gives the work up.
    fn score(&self, request: ScoreRequest) -> BoxFuture<'_, Result<Scored, ScoreError>>;
}

/// Bounds of the API. Every one is a promise to the operator about memory or time.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Scoring calls at a time.
    pub permits: usize,
    /// Bytes of a `/score` body.
    pub body_limit: usize,
    /// Bytes of a `/score/batch` body.
    pub batch_body_limit: usize,
    /// Attachments of a batch.
    pub batch_parts: usize,
    /// Attachments of one batch that are scored at a time, as far as it leaves as many permits free.
    pub batch_concurrency: usize,
    /// Messages of a conversation.
    pub max_messages: usize,
    /// UTF-8 bytes that are kept of a text; a conversation with more in its texts and authors is refused.
    pub max_text_bytes: usize,
    /// Bytes of all bodies that arrive or are worked on.
    pub body_memory: usize,
    /// Slowest that a body may arrive, in bytes per second on average after its first five seconds; 0 is as slow as `read_timeout` allows.
    pub body_min_rate: u64,
    /// How long a body may take to arrive.
    pub read_timeout: Duration,
    /// How long a `/score` call may take in all; callers can only shorten it (`X-Deadline-Ms`).
    pub deadline: Duration,
    /// The same for `/score/batch`.
    pub batch_deadline: Duration,
    /// Whether `/metrics` needs no key.
    pub metrics_open: bool,
}

impl Default for HttpOptions {
    /// For tests and small machines; a server's come from its configuration.
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            permits: 64,
            body_limit: 32 * MIB,
            batch_body_limit: 128 * MIB,
            batch_parts: 64,
            batch_concurrency: 8,
            max_messages: 10_000,
            max_text_bytes: MIB,
            body_memory: 1024 * MIB,
            body_min_rate: 1024,
            read_timeout: Duration::from_secs(30),
            deadline: Duration::from_secs(30),
            batch_deadline: Duration::from_secs(120),
            metrics_open: false,
        }
    }
}

/// What the API offers over HTTP.
pub struct HttpServices {
    pub scorer: Arc<dyn Scorer>,
    pub access: Access,
    pub lookup: Arc<Lookup>,
    pub curation: Curation,
    pub exchanges: Exchanges,
    pub review: Review,
    pub points: Arc<OperatingPoints>,
    pub monitor: Arc<Monitor>,
    pub health: HealthProbe,
}

/// What the API needs of the rest of the server.
pub struct HttpState {
    options: HttpOptions,
    services: HttpServices,
    metrics: PrometheusHandle,
    permits: Arc<Permits>,
    spool: Arc<Spool>,
    console: console::Console,
}

/// How handlers hold it.
type Shared = Arc<HttpState>;

impl HttpState {
    /// `metrics` is the handle of the recorder that the caller installed.
    pub fn new(options: HttpOptions, services: HttpServices, metrics: PrometheusHandle) -> Self {
        let permits = Permits::new(options.permits);
        let spool = Spool::new(options.body_memory);
        Self { options, services, metrics, permits, spool, console: Default::default() }
    }

    /// A permit to look at so many bytes, now or not at all: a queue would only hide the overload.
    ///
    /// # Errors
    /// 429 when none is free for this caller.
    fn permit(&self, work: Work, bytes: usize) -> Result<Permit, ApiError> {
        self.permits.enter(work, bytes).ok_or_else(Self::overloaded)
    }

    /// The permit as this account's, if one is named.
    ///
    /// # Errors
    /// 429 when the account leaves too few for others.
    fn of_account(permit: Permit, account: Option<&str>) -> Result<Permit, ApiError> {
        let Some(account) = account else { return Ok(permit) };
        let greedy = "calls for this account take as many scoring slots as they leave free for others";
        permit.of_account(account).ok_or_else(|| ApiError::overloaded(greedy, Duration::from_secs(1)))
    }

    /// Whether there is a permit, before a body is read that will need one.
    ///
    /// # Errors
    /// 429 when none is free.
    fn has_permit(&self) -> Result<(), ApiError> {
        if self.permits.free() > 0 { Ok(()) } else { Err(Self::overloaded()) }
    }

    /// The refusal of a caller who found no permit.
    fn overloaded() -> ApiError {
        ApiError::overloaded("every scoring slot that this key may have is taken", Duration::from_secs(1))
    }
}

/// One call of the API, from its first byte on.
#[derive(Clone, Copy, Debug)]
struct Call {
    id: RequestId,
    arrived: Instant,
}

/// One line of the table of routes.
struct Route {
    path: &'static str,
    /// `None` is open to everybody.
    permission: Option<Permission>,
    handlers: MethodRouter<Shared>,
}

/// A line of the table.
const fn route(path: &'static str, permission: Option<Permission>, handlers: MethodRouter<Shared>) -> Route {
    Route { path, permission, handlers }
}

/// The whole API, except the pages under `/docs` and `/console`.
fn routes(options: &HttpOptions) -> Vec<Route> {
    let metrics = if options.metrics_open { None } else { Some(Permission::Metrics) };
    let own = vec![
        route("/score", Some(Permission::Score), post(score::score)),
        route("/score/batch", Some(Permission::Score), post(batch::score_batch)),
        route("/match", Some(Permission::Match), post(matching::matches)),
        route("/review/items", Some(Permission::Review), get(review::list)),
        route("/review/items/{id}", Some(Permission::Review), get(review::item)),
        route("/review/items/{id}/attachments", Some(Permission::Review), get(review::attachments)),
        route("/review/items/{id}/claim", Some(Permission::Review), post(review::claim)),
        route("/review/items/{id}/release", Some(Permission::Review), post(review::release)),
        route("/review/items/{id}/decision", Some(Permission::Review), post(review::decide)),
        route("/review/decisions", Some(Permission::Review), get(review::decisions)),
        route("/review/gold", Some(Permission::Administer), post(review::add_gold)),
        route("/monitor", Some(Permission::Metrics), get(monitor::report)),
        route("/operating-points", Some(Permission::OperatingPoints), get(operating_points::list)),
        route("/operating-points/{certificate}", Some(Permission::OperatingPoints), get(operating_points::certificate)),
        route("/livez", None, get(status::livez)),
        route("/readyz", None, get(status::readyz)),
        route("/metrics", metrics, get(status::metrics)),
        route("/openapi.json", None, get(docs::openapi_json)),
    ];
    own.into_iter().chain(banks::routes()).chain(hma::routes()).collect()
}

/// Every path that the server answers, beside the pages under `/docs`: for tests that ask all of them.
#[cfg(any(test, feature = "testing"))]
pub fn paths() -> Vec<&'static str> {
    routes(&HttpOptions::default()).iter().map(|route| route.path).chain(console::paths()).collect()
}

/// The API as a service.
pub fn router(state: HttpState) -> Router {
    let state: Shared = Arc::new(state);
    let mut router = Router::new();
    for Route { path, permission, handlers } in routes(&state.options) {
        router = router.route(
            path,
            match permission {
                Some(permission) => handlers.route_layer(from_fn_with_state((Arc::clone(&state), permission), auth::require)),
                None => handlers,
            },
        );
    }
    router
        .merge(docs::pages())
        .merge(console::pages(&state))
        .fallback(async || ApiError::new(ErrorCode::NotFound, "there is nothing at this path; see /docs"))
        .method_not_allowed_fallback(async || ApiError::new(ErrorCode::MethodNotAllowed, "this path does not know that method; see Allow"))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn(observe::observe))
        .with_state(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_in_the_openapi_document_and_nothing_else() {
        let document = openapi_document();
        let mut documented: Vec<&str> = document.paths.paths.keys().map(String::as_str).collect();
        let mut routed: Vec<&str> = routes(&HttpOptions::default()).iter().map(|route| route.path).collect();
        documented.sort_unstable();
        routed.sort_unstable();
        assert_eq!(documented, routed);
    }

    #[test]
    fn only_status_and_documentation_are_open() {
        let open: Vec<_> =
            routes(&HttpOptions::default()).into_iter().filter(|route| route.permission.is_none()).map(|route| route.path).collect();
        assert_eq!(open, ["/livez", "/readyz", "/openapi.json", "/", "/openapi/openapi.json", "/status", "/status/live", "/site-map"]);
    }
}
