//! From a running instance to an API that answers.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{net::TcpListener, signal::unix::SignalKind};

use crate::{
    cli::Failure,
    config::Config,
    http::{self, HttpOptions, HttpServices, HttpState, Scorer, ServeOptions},
    services::{
        App,
        access::Access,
        health::{Check, Health, HealthProbe},
        review::{Doubles, Review},
        scoring::{ScoreError, ScoreRequest, Scored, Scoring},
    },
    telemetry,
};

/// How often the recorder moves finished samples of histograms to where they are cheap.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or Ctrl-C, and until what was under way then has ended.
pub(super) async fn run(config: &Config, app: &App, listener: TcpListener, metrics: telemetry::MetricsHandle) -> Result<(), Failure> {
    let upkeep = tokio::spawn({
        let metrics = metrics.clone();
        async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                metrics.run_upkeep();
            }
        }
    });
    let services = HttpServices {
        scorer: Arc::new(InProcess(Arc::clone(&app.scoring))),
        access: Access::new(app.store.clone(), config.auth.enabled),
        lookup: Arc::clone(&app.lookup),
        curation: app.curation.clone(),
        exchanges: app.exchanges.clone(),
        review: review(config, app),
        points: Arc::clone(&app.points),
        monitor: Arc::clone(&app.monitor),
        health: probe(app),
    };
    let state = HttpState::new(options(config), services, metrics);
    let serving = ServeOptions { drain: Duration::from_millis(config.server.shutdown_grace_ms), ..ServeOptions::default() };
    http::serve(listener, http::router(state), serving, stop_signal()?).await;
    upkeep.abort();
    Ok(())
}

/// The review queue, which tells the monitor of each decision.
fn review(config: &Config, app: &App) -> Review {
    let doubles = Doubles { pseudonyms: app.pseudonyms.clone(), rate: config.review.double_rate };
    let lease = Duration::from_secs(config.review.claim_lease_s);
    Review::new(app.store.clone(), lease)
        .with_doubles(doubles)
        .watched_by(app.monitor.clone())
        .with_feedback(config.feedback.rules, app.banks.clone())
}

fn options(config: &Config) -> HttpOptions {
    let (server, limits) = (&config.server, &config.limits);
    HttpOptions {
        permits: server.permits,
        body_limit: server.body_limit_bytes,
        batch_body_limit: server.body_limit_bytes,
        batch_parts: server.batch_max_parts,
        batch_concurrency: server.batch_concurrency,
        max_messages: limits.max_messages,
        max_text_bytes: limits.max_text_bytes,
        read_timeout: Duration::from_millis(server.body_read_timeout_ms),
        deadline: Duration::from_millis(server.deadline_ms),
        batch_deadline: Duration::from_millis(server.batch_deadline_ms),
        metrics_open: config.auth.metrics_open,
    }
}

/// The scoring service as HTTP wants it.
struct InProcess(Arc<Scoring>);

impl Scorer for InProcess {
    fn score(&self, request: ScoreRequest) -> BoxFuture<'_, Result<Scored, ScoreError>> {
        Box::pin(self.0.score(request))
    }
}

/// Models were loaded or the server would not run; what can fail later is the store and the replicas of it, of banks and of operating points.
fn probe(app: &App) -> HealthProbe {
    let (store, banks, pixels, notes) = (app.store.clone(), app.banks.clone(), app.pixels.clone(), app.warnings.clone());
    let (points, monitor) = (app.points.clone(), app.monitor.clone());
    Arc::new(move || {
        let (store, banks, points) = (store.clone(), Arc::clone(&banks), Arc::clone(&points));
        let warnings = notes.iter().cloned().chain(pixels.trouble()).chain(points.warnings()).chain(monitor.warnings());
        let behind = monitor.failure().map(|_| "the live monitor cannot be kept up to date; see the server's log".to_owned());
        let warnings = warnings.chain(behind).collect();
        Box::pin(async move {
            let store = match store.ping().await {
                Ok(()) => Check::ok("store", "answers"),
                Err(error) => {
                    tracing::warn!(%error, "the store does not answer");
                    Check::failed("store", "does not answer; see the server's log")
                }
            };
            let banks = match banks.failure() {
                None => Check::ok("banks", "up to date"),
                Some(_) => Check::failed("banks", "cannot be kept up to date; see the server's log"),
            };
            let points = match points.failure() {
                None => Check::ok("operating_points", "up to date"),
                Some(_) => Check::failed("operating_points", "cannot be kept up to date; see the server's log"),
            };
            Health::of(vec![store, banks, Check::ok("models", "loaded"), points], warnings)
        })
    })
}

/// Ready at the first SIGTERM or Ctrl-C.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: no new requests; those under way are finished");
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{config::Sources, domain::frame::Frame, services::analysis::pixels::PixelProcessor, testing};

    #[tokio::test(flavor = "multi_thread")]
    async fn readyz_warns_while_a_lost_gpu_rests() {
        if testing::gpu::open(&Default::default()).is_none() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources::default().with_flag("--data-dir", "data_dir", folder.path().to_string_lossy()).with_flag(
            "--backend",
            "engine.backend",
            "gpu",
        );
        let app = App::start(&Config::load(&sources).unwrap()).await.expect("scripts/fetch.sh fetches the models");
        let probe = probe(&app);
        let resting = |health: &Health| health.warnings.iter().any(|warning| warning.contains("is out of work, the CPU does it"));
        let before = probe().await;
        assert!(before.ready() && !resting(&before), "{before:?}");
        let PixelProcessor::Gpu(gpu) = &*app.pixels else { panic!("the GPU was wanted") };
        gpu.lose();
        let picture = Arc::new(Frame::new(64, 64, vec![90; 3 * 64 * 64]).unwrap());
        assert_eq!(app.pixels.look(&[picture], &[])[0].backend, "cpu");
        let after = probe().await;
        assert!(after.ready() && resting(&after), "works, but worse than configured: {after:?}");
        app.stop().await;
    }
}
