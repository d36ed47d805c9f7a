//! The whole of `POST /score` through the router, in process: body in, durable answer out. One group for each kind of attachment.

use std::{hint::black_box, path::Path, sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use futures_util::future::BoxFuture;
use nightlight::{
    config::{Config, Sources},
    domain::{ids::TenantId, signal::Signal},
    http::{HttpOptions, HttpServices, HttpState, Scorer, router},
    services::{
        App,
        access::Access,
        health::{Health, constant},
        review::Review,
        scoring::{ScoreError, ScoreRequest, Scored, Scoring},
    },
    store::BankDefaults,
    telemetry::install_metrics,
};
use tower::ServiceExt;

struct InProcess(Arc<Scoring>);

impl Scorer for InProcess {
    fn score(&self, request: ScoreRequest) -> BoxFuture<'_, Result<Scored, ScoreError>> {
        Box::pin(self.0.score(request))
    }
}

/// Random hashes in the bank that every picture is looked up in.
const BANK: u64 = 1_000_000;

fn hashes() -> impl Iterator<Item = Signal> {
    let mut state = 1u64;
    (0..BANK).map(move |_| {
        let words = std::array::from_fn(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ (state >> 31)
        });
        Signal::Pdq(nightlight::domain::hash::PdqHash::from_words(words))
    })
}

fn score(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sources = Sources::default().with_flag("--data-dir", "data_dir", folder.path().to_string_lossy());
    let config = Config::load(&sources).expect("the defaults are valid");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let app = runtime.block_on(async {
        let app = App::start(&config).await.expect("run scripts/fetch.sh first");
        let defaults = BankDefaults { max_distance: 31, minimum_quality: 50 };
        app.store.import_signals(TenantId::DEFAULT, "RANDOM", defaults, hashes()).await.expect("an import");
        app.banks.refresh(&app.store).await.expect("the banks");
        app.banks.loaded().await;
        app
    });
    let services = HttpServices {
        scorer: Arc::new(InProcess(app.scoring.clone())),
        access: Access::new(app.store.clone(), false),
        lookup: app.lookup.clone(),
        curation: app.curation.clone(),
        exchanges: app.exchanges.clone(),
        review: Review::new(app.store.clone(), Duration::from_secs(900)),
        points: app.points.clone(),
        monitor: app.monitor.clone(),
        health: constant(Health::of(vec![], vec![])),
    };
    let state = HttpState::new(HttpOptions::default(), services, install_metrics().expect("the only recorder"));
    let router = router(state);
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/samples");
    let mut group = criterion.benchmark_group("score");
    group.sample_size(30).measurement_time(Duration::from_secs(6));
    for (kind, media_type, file) in [
        ("image clean", "image/png", "other.png"),
        ("image 640x480", "image/jpeg", "known.jpg"),
        ("image undecodable", "image/jpeg", "truncated.jpg"),
        ("text", "text/plain", "message.txt"),
        ("conversation", "application/json", "chat-pattern.json"),
    ] {
        let body = std::fs::read(samples.join(file)).expect("a sample");
        for at_once in [1usize, 8] {
            let post = || async {
                let request = Request::post("/score").header("content-type", media_type).body(Body::from(body.clone())).expect("a request");
                let answer = router.clone().oneshot(request).await.expect("infallible");
                assert_eq!(answer.status(), 200);
                black_box(to_bytes(answer.into_body(), 1 << 20).await.expect("a body"))
            };
            group.throughput(criterion::Throughput::Elements(at_once as u64));
            group.bench_function(BenchmarkId::new(kind, at_once), |bencher| {
                bencher.iter(|| runtime.block_on(futures_util::future::join_all((0..at_once).map(|_| post()))));
            });
        }
    }
    group.finish();
    runtime.block_on(app.stop());
}

criterion_group!(benches, score);
criterion_main!(benches);
