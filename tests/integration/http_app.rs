//! The API in process, for the other files: a router over a real store and a fake scorer.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Request, StatusCode},
};
use futures_util::StreamExt;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use nightlight::{
    config::{Config, Sources},
    domain::{
        curation::{BankSettings, NearQueryRules},
        ids::TenantId,
    },
    http::{HttpOptions, HttpServices, HttpState, router},
    outbound::{Client, Limits, MediaFetcher, Policy, Retry},
    services::{
        access::{Access, Role},
        analysis::Pictures,
        banks::{Banks, curation::Curation},
        exchange::Exchanges,
        health::{Check, Health, constant},
        lookup::{Lookup, NearQueries, RecentHashes},
        monitor::{Monitor, Settings},
        operating_points::{OperatingPoints, Running},
        review::Review,
    },
    store::{Store, StoreOptions},
    testing::scorer::FakeScorer,
};
use serde_json::Value;
use tower::ServiceExt;

pub const LEASE: Duration = Duration::from_secs(600);

pub struct App {
    pub router: Router,
    pub scorer: Arc<FakeScorer>,
    pub store: Store,
    pub banks: Arc<Banks>,
    pub lookup: Arc<Lookup>,
    pub exchanges: Exchanges,
    /// Knows the same store; what it does is another process's doing to the router.
    pub access: Access,
    /// Credentials of exchanges stand below it.
    pub folder: tempfile::TempDir,
}

/// How an [`App`] differs from the usual one.
pub struct Setup {
    pub options: HttpOptions,
    pub scorer: FakeScorer,
    pub health: Health,
    pub keys: bool,
    pub fetcher: MediaFetcher,
    /// Of new banks.
    pub defaults: BankSettings,
    /// When a key is stopped that looks up near one item.
    pub near: NearQueryRules,
}

impl Default for Setup {
    fn default() -> Self {
        let health = Health::of(vec![Check::ok("store", "answers")], vec![]);
        let (options, defaults) = (HttpOptions::default(), BankSettings::default());
        let near = Config::load(&Sources::default()).unwrap().matching.near_queries;
        Self { options, scorer: FakeScorer::echo(), health, keys: false, fetcher: MediaFetcher::off(), defaults, near }
    }
}

impl Setup {
    pub async fn start(self) -> App {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions::new(folder.path().join("nightlight.db"))).await.unwrap();
        let review = Review::new(store.clone(), LEASE);
        let config = Config::load(&Sources::default()).unwrap();
        let points = OperatingPoints::load(&config, Running::default(), store.clone()).await.unwrap();
        let settings = Settings::new(&config.monitor, &config.audit, []);
        let monitor = Monitor::start(store.clone(), points.clone(), settings).await.unwrap();
        let banks = Banks::load(&store, true).await.unwrap();
        self.put_together(store, banks, review, (points, monitor), folder)
    }

    /// Over somebody's store, review queue and monitor.
    pub async fn over(self, store: Store, review: Review, watched: (Arc<OperatingPoints>, Arc<Monitor>)) -> App {
        let banks = Banks::load(&store, true).await.unwrap();
        self.put_together(store, banks, review, watched, tempfile::tempdir().unwrap())
    }

    fn put_together(
        self,
        store: Store,
        banks: Arc<Banks>,
        review: Review,
        (points, monitor): (Arc<OperatingPoints>, Arc<Monitor>),
        folder: tempfile::TempDir,
    ) -> App {
        let scorer = Arc::new(self.scorer);
        let access = Access::new(store.clone(), self.keys);
        let health = constant(self.health);
        let config = Config::load(&Sources::default()).unwrap();
        let recent = RecentHashes::new(config.matching.recent_hashes_for, config.matching.recent_hashes);
        let lookup = Lookup::new(banks.clone(), Pictures::hashing(&config).unwrap(), self.fetcher.clone()).remembering(recent);
        let lookup = Arc::new(lookup.watching(NearQueries::new(self.near), store.clone()));
        let limits = Limits { connect: Duration::from_secs(1), total: Duration::from_secs(1), max_bytes: 1 << 20 };
        let client = Client::new(Policy::default(), limits, Retry::NEVER);
        let exchanges = Exchanges::new(store.clone(), Some(banks.clone()), folder.path(), client, Default::default())
            .with_defaults(self.defaults.clone());
        let services = HttpServices {
            scorer: Arc::clone(&scorer) as _,
            access,
            curation: Curation::new(store.clone(), Some(banks.clone()), Default::default()).with_defaults(self.defaults),
            exchanges: exchanges.clone(),
            lookup: lookup.clone(),
            review,
            points,
            monitor,
            health,
        };
        let state = HttpState::new(self.options, services, metrics());
        App { router: router(state), scorer, access: Access::new(store.clone(), true), store, banks, lookup, exchanges, folder }
    }
}

/// One recorder for the whole test binary, as in a server.
pub fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap()).clone()
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that it is a whole error with this status and code, and gives its message.
    #[track_caller]
    pub fn error(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        assert_eq!(self.header("content-type"), "application/json");
        let error = &self.json()["error"];
        assert_eq!(error["code"], code, "{error}");
        assert_eq!(error["request_id"], self.header("x-request-id"));
        error["message"].as_str().unwrap().to_owned()
    }

    /// Checks that it is a 200 and gives its JSON.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.body);
        self.json()
    }
}

/// What a router answers.
pub async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}

impl App {
    pub async fn send(&self, request: Request<Body>) -> Answer {
        ask(&self.router, request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// `POST` with a Content-Type.
    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        self.send(Request::post(path).header("content-type", content_type).body(body.into()).unwrap()).await
    }

    pub async fn key(&self, role: Role) -> String {
        self.access.create_key(TenantId::DEFAULT, role.as_str(), role).await.unwrap().0.reveal().to_owned()
    }
}

pub const MULTIPART: &str = "multipart/form-data; boundary=XX";

/// A multipart body: each part is (headers after `Content-Disposition: form-data; `, content).
pub fn parts(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, content) in parts {
        body.extend_from_slice(format!("--XX\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XX--\r\n");
    body
}

/// A body of unknown length that sends `frames` and then nothing, for ever.
pub fn stalled(frames: Vec<&'static [u8]>) -> Body {
    let frames = futures_util::stream::iter(frames.into_iter().map(|frame| Ok::<_, std::io::Error>(Bytes::from_static(frame))));
    Body::from_stream(frames.chain(futures_util::stream::pending()))
}

/// A body of unknown length.
pub fn chunked(chunk: &'static [u8], times: usize) -> Body {
    Body::from_stream(futures_util::stream::iter((0..times).map(move |_| Ok::<_, std::io::Error>(Bytes::from_static(chunk)))))
}
