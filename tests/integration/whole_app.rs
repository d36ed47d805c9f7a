//! A whole server in process: everything that `nightlight serve` puts together, without models, behind a router.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use futures_util::future::BoxFuture;
use nightlight::{
    config::{Config, Sources},
    http::{HttpOptions, HttpServices, HttpState, Scorer, router},
    services::{
        App,
        access::Access,
        health::{Check, Health, constant},
        review::Review,
        scoring::{ScoreError, ScoreRequest, Scored, Scoring},
    },
};

use crate::http_app::{Answer, ask, metrics};

pub struct Whole {
    pub router: Router,
    /// Knows the same store; what it does is another process's doing to the router.
    pub access: Access,
    pub services: App,
    _folder: tempfile::TempDir,
}

/// The scoring service as HTTP wants it.
struct InProcess(Arc<Scoring>);

impl Scorer for InProcess {
    fn score(&self, request: ScoreRequest) -> BoxFuture<'_, Result<Scored, ScoreError>> {
        Box::pin(self.0.score(request))
    }
}

impl Whole {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Nothing happens by itself.
        let settings = [("MODELS__IMAGE", "[]"), ("MODELS__CONVERSATION", "[]"), ("EXCHANGE__INTERVAL_S", "0")];
        let env = settings.map(|(name, value)| (format!("NIGHTLIGHT__{name}"), value.to_owned())).to_vec();
        let sources = Sources { env, ..Sources::default() };
        let sources = sources.with_flag("--data-dir", "data_dir", folder.path().to_string_lossy());
        let sources = sources.with_flag("--backend", "engine.backend", "cpu");
        let services = App::start(&Config::load(&sources).unwrap()).await.unwrap();
        let store = services.store.clone();
        let http = HttpServices {
            scorer: Arc::new(InProcess(services.scoring.clone())),
            access: Access::new(store.clone(), true),
            lookup: services.lookup.clone(),
            curation: services.curation.clone(),
            exchanges: services.exchanges.clone(),
            review: Review::new(store.clone(), Duration::from_secs(600)).watched_by(services.monitor.clone()),
            points: services.points.clone(),
            monitor: services.monitor.clone(),
            health: constant(Health::of(vec![Check::ok("store", "answers")], vec![])),
        };
        let router = router(HttpState::new(HttpOptions::default(), http, metrics()));
        Self { router, access: Access::new(store, true), services, _folder: folder }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        ask(&self.router, request).await
    }
}
