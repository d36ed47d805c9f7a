//! From a running instance to an API that answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{net::TcpListener, signal::unix::SignalKind};

use super::files;
use crate::{
    cli::Failure,
    config::{Config, Limits, Server},
    domain::time::Timestamp,
    http::{self, HttpOptions, HttpServices, HttpState, Scorer, ServeOptions},
    services::{
        App,
        access::Access,
        health::{Check, Degraded, Health, HealthProbe},
        review::{Doubles, Review},
        scoring::{ScoreError, ScoreRequest, Scored, Scoring},
    },
    store::Trouble,
    telemetry,
};

/// How often the recorder moves finished samples of histograms to where they are cheap.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or Ctrl-C, and until what was under way then has ended. Between SIGTERM and the closing of the port `/readyz` says that the
/// server is about to go.
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
    let stopping = Arc::<AtomicBool>::default();
    let services = HttpServices {
        scorer: Arc::new(InProcess(Arc::clone(&app.scoring))),
        access: Access::new(app.store.clone(), config.auth.enabled),
        lookup: Arc::clone(&app.lookup),
        curation: app.curation.clone(),
        exchanges: app.exchanges.clone(),
        review: review(config, app),
        points: Arc::clone(&app.points),
        monitor: Arc::clone(&app.monitor),
        health: probe(app, stopping.clone()),
    };
    let state = HttpState::new(options(config), services, metrics);
    let serving = serving(config)?;
    let drain = Duration::from_millis(config.server.drain_ms);
    http::serve(listener, http::router(state), serving, stop_signal(stopping, drain)?).await;
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

/// Files that the rest of the server keeps open or opens now and then: the database, models, GPUs, requests of its own.
const OTHER_FILES: usize = 512;

/// How connections are served: as many as is configured, or as the files allow that this process may open.
fn serving(config: &Config) -> Result<ServeOptions, Failure> {
    let server = &config.server;
    let kept = ServeOptions::SPARE_FILES + OTHER_FILES;
    let files = files::raise_file_limit();
    let connections = server.max_connections.min(files.saturating_sub(kept));
    if connections == 0 {
        let needed = kept + server.max_connections;
        return Err(Failure::failed(format!(
            "this process may open {files} files, which leaves none for callers: raise the limit to {needed} (ulimit -n)"
        )));
    }
    if connections < server.max_connections {
        tracing::warn!(
            connections,
            files,
            "this process may open too few files for server.max_connections; raise the limit to {} (ulimit -n)",
            kept + server.max_connections
        );
    }
    Ok(ServeOptions {
        connections,
        strangers_per_address: server.max_strangers_per_address,
        trusted: server.trusted_proxies.clone(),
        head_timeout: Duration::from_millis(server.head_timeout_ms),
        idle_timeout: Duration::from_millis(server.idle_timeout_ms),
        write_timeout: Duration::from_millis(server.write_timeout_ms),
        drain: Duration::from_millis(server.shutdown_grace_ms),
        ..ServeOptions::default()
    })
}

/// Memory for bodies: what is configured, or a quarter of what there is.
fn body_memory(server: &Server, limits: &Limits) -> usize {
    match server.body_memory_bytes {
        0 => usize::try_from(limits.memory_bytes / 4).unwrap_or(usize::MAX).max(server.body_limit_bytes),
        bytes => bytes,
    }
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
        body_memory: body_memory(server, limits),
        body_min_rate: server.body_min_rate,
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

/// Which models run was decided at the start; what can fail later is the store and the replicas of it, of banks and of operating points.
fn probe(app: &App, stopping: Arc<AtomicBool>) -> HealthProbe {
    let (store, banks, pixels, notes) = (app.store.clone(), app.banks.clone(), app.pixels.clone(), app.warnings.clone());
    let (points, monitor, in_service) = (app.points.clone(), app.monitor.clone(), app.models);
    Arc::new(move || {
        let (store, banks, points) = (store.clone(), Arc::clone(&banks), Arc::clone(&points));
        let stopping = stopping.load(Ordering::Relaxed);
        let warnings = notes.iter().cloned().chain(pixels.trouble()).chain(points.warning_texts()).chain(monitor.warnings());
        let warnings = warnings.collect();
        let monitor_behind = monitor.behind_since();
        let unwritten: Vec<_> = store.trouble().map(unwritten).into_iter().chain(store.unmarked_since().map(unmarked)).collect();
        Box::pin(async move {
            let store = match store.ping().await {
                Ok(()) => Check::ok("store", "answers"),
                Err(error) => {
                    tracing::warn!(%error, "the store does not answer");
                    Check::failed("store", "does not answer; see the server's log")
                }
            };
            let behind = [("banks", banks.behind_since()), ("operating_points", points.behind_since()), ("monitor", monitor_behind)];
            let degraded = unwritten.into_iter().chain(behind.into_iter().filter_map(stale)).chain(banks.damaged()).collect();
            let mut checks = vec![store, up_to_date("banks", behind[0].1), models(in_service), up_to_date("operating_points", behind[1].1)];
            if stopping {
                checks.push(Check::failed("stopping", "the server was told to stop; send new calls elsewhere"));
            }
            Health::of(checks, warnings).degraded(degraded)
        })
    })
}

/// What cannot be written is refused, and clean attachments are answered.
fn unwritten(Trouble { hindrance, since }: Trouble) -> Degraded {
    let why = format!("{hindrance}: what must be written is refused, clean attachments and look-ups are answered");
    Degraded { what: "store".to_owned(), why, since }
}

fn unmarked(since: Timestamp) -> Degraded {
    let why =
        "nightlight.mark cannot be written: if the database lost something now, no start would notice; see the server's log".to_owned();
    Degraded { what: "mark".to_owned(), why, since }
}

/// What was last known stays in force.
fn stale((what, since): (&str, Option<Timestamp>)) -> Option<Degraded> {
    let why = "cannot be kept up to date, what was last known stays in force; see the server's log".to_owned();
    since.map(|since| Degraded { what: what.to_owned(), why, since })
}

fn up_to_date(name: &str, behind: Option<Timestamp>) -> Check {
    Check::ok(name, if behind.is_none() { "up to date" } else { "loaded; not up to date, see degraded" })
}

/// Where some models are refused the others serve, and a warning names each; a server all of whose models are refused does not do its work, though it
/// still matches hashes for whoever asks.
fn models((in_service, configured): (usize, usize)) -> Check {
    match (in_service, configured) {
        (0, 0) => Check::ok("models", "none is configured"),
        (0, _) => Check::failed(
            "models",
            "every configured model is refused, only hashes are matched; the warnings and `nightlight doctor` say why",
        ),
        (some, all) if some == all => Check::ok("models", "loaded"),
        (some, all) => Check::ok("models", format!("{some} of {all} are in service; the warnings say which are refused")),
    }
}

/// Ready when the port is to be closed: at Ctrl-C, and `drain` after SIGTERM, or at the next signal. `stopping` is set at the first.
fn stop_signal(stopping: Arc<AtomicBool>, drain: Duration) -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(SignalKind::interrupt())?;
    Ok(async move {
        // Whoever sits at a terminal has no load balancer to tell.
        let drain = tokio::select! {
            _ = terminate.recv() => drain,
            _ = interrupt.recv() => Duration::ZERO,
        };
        stopping.store(true, Ordering::Relaxed);
        if !drain.is_zero() {
            tracing::info!(milliseconds = drain.as_millis(), "stopping: /readyz says so, and the port closes after server.drain_ms");
            tokio::select! {
                () = tokio::time::sleep(drain) => {}
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        tracing::info!("stopping: no new requests; those under way are finished");
    })
}

/// Takes SIGHUP, whose default is to kill, from now on: a terminal that closes, or somebody who means "read the settings again", shall not end a server.
/// Nothing is read again: operating points, banks and keys are in force when they change, and settings at the next start.
pub(super) fn outlive_hangups() -> Result<(), Failure> {
    let mut hangups = tokio::signal::unix::signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            tracing::info!("SIGHUP is ignored; settings are read at the start");
        }
    });
    Ok(())
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
        let probe = probe(&app, Arc::default());
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
