//! Logging, and names and descriptions of metrics.
//!
//! [`install_metrics`] gives the recorder [`SECONDS_BUCKETS`]; whoever holds its handle calls `PrometheusHandle::run_upkeep` every few seconds:
//! without it histograms grow until somebody scrapes.

/// Metric names: `nightlight_<what>_<unit>`.
pub mod metric {
    /// Counter {path, method, status}: requests answered. `path` is the route, never the text a caller sent.
    pub const REQUESTS_TOTAL: &str = "nightlight_requests_total";
    /// Histogram {path, method}, seconds: from the first byte of the head to the head of the answer.
    pub const REQUEST_SECONDS: &str = "nightlight_request_seconds";
    /// Gauge: requests being answered.
    pub const REQUESTS_IN_FLIGHT: &str = "nightlight_requests_in_flight";
    /// Gauge: scoring permits that are free.
    pub const PERMITS_FREE: &str = "nightlight_scoring_permits_free";
    /// Gauge: connections that are open.
    pub const CONNECTIONS_OPEN: &str = "nightlight_connections_open";
    /// Counter {reason}: connections that ended: `ended` by the caller or after its last answer, `quiet` without a request in time, `unread` because the
    /// caller did not read, `room` for a newcomer, `address` because its address had too many without a key, `heads` because unfinished heads took too much
    /// memory.
    pub const CONNECTIONS_CLOSED_TOTAL: &str = "nightlight_connections_closed_total";
    /// Counter: requests with a key that found every connection in use.
    pub const CONNECTIONS_REFUSED_TOTAL: &str = "nightlight_connections_refused_total";
    /// Gauge, bytes: bodies that arrive or are worked on.
    pub const BODY_BYTES: &str = "nightlight_body_bytes";
    /// Counter {reason}: bodies that were given up: `memory` when there was no room, `share` when the key had its share of it, `rate` when they came too slowly.
    pub const BODIES_REFUSED_TOTAL: &str = "nightlight_bodies_refused_total";
    /// Counter: panics that became an answer with status 500.
    pub const PANICS_TOTAL: &str = "nightlight_request_panics_total";
    /// Counter {kind, route, category}: attachments answered.
    pub const SCORED_TOTAL: &str = "nightlight_scored_total";
    /// Counter {technology, reason}: results that a technology did not give, by the reasons of `unscored`; `technology_failed` is also said for a model
    /// that was refused.
    pub const UNSCORED_TOTAL: &str = "nightlight_unscored_total";
    /// Gauge {model}: 1 while a configured model is in service, 0 while it is refused; `/readyz` and `nightlight doctor` say why.
    pub const MODEL_IN_SERVICE: &str = "nightlight_model_in_service";
    /// Histogram {stage}, seconds: one stage of an attachment's way.
    pub const STAGE_SECONDS: &str = "nightlight_stage_seconds";
    /// Histogram {queue}: items of one call of a worker.
    pub const BATCH_SIZE: &str = "nightlight_batch_size";
    /// Gauge {lane}, bytes: memory that pictures under work may take, see `limits.memory_bytes`.
    pub const LANE_BYTES: &str = "nightlight_lane_memory_bytes";
    /// Counter {kind}: failures of the GPU (lost, out_of_memory, timeout, …); the CPU did the work.
    pub const GPU_FAILURES_TOTAL: &str = "nightlight_gpu_failures_total";
    /// Gauge: 1 while the GPU works on pictures, 0 while the CPU does in its place.
    pub const GPU_WORKING: &str = "nightlight_gpu_working";
    /// Histogram {stage}, seconds: one compute stage over one batch, by the device's own clock.
    pub const GPU_STAGE_SECONDS: &str = "nightlight_gpu_stage_seconds";
    /// Gauge: 1 while the database can be written, 0 while the disk is full, another process holds it, or it fails otherwise; `/readyz` says which.
    pub const STORE_WRITABLE: &str = "nightlight_store_writable";
    /// Counter {cause}: writes that were refused: `disk_full`, `locked`, `read_only` or `failing`. Counters of clean attachments among them are written later.
    pub const STORE_REFUSED_TOTAL: &str = "nightlight_store_refused_total";
    /// Counter: what clean attachments counted that could not be kept until the database could be written again.
    pub const COUNTS_LOST_TOTAL: &str = "nightlight_counts_lost_total";
    /// Gauge: signals held by all banks in memory.
    pub const BANK_SIGNALS: &str = "nightlight_bank_signals";
    /// Gauge {bank, place}: 1 while stored signals of the bank of this number are not those that were written; `place` is `searched` or `stored`, see `/readyz`.
    pub const BANK_DAMAGED: &str = "nightlight_bank_damaged";
    /// Counter: lookups of a bare PDQ hash that asked for all that its content shows (turned, mirrored, further frames), because this server had answered the hash lately.
    pub const RECENT_HASH_LOOKUPS_TOTAL: &str = "nightlight_recent_hash_lookups_total";
    /// Counter {outcome}: lookups by keys that look up many different hashes near one item; `slowed`, or `stopped`, which the ledger says
    /// too. Any stop is worth an alarm.
    pub const NEAR_QUERIES_TOTAL: &str = "nightlight_near_queries_total";
    /// Counter {outcome}: items of banks that suddenly matched everywhere; `quarantined`, or `shown` to a person because they had been confirmed.
    pub const BANK_FLOODS_TOTAL: &str = "nightlight_bank_floods_total";
    /// Gauge {technology, label, slice}: 1 while a valid certificate stands behind the threshold in force. `slice` is a service, or `all`.
    pub const OPERATING_POINT_CERTIFIED: &str = "nightlight_operating_point_certified";
    /// Gauge {technology, label, slice}: raw scores at or above it are flagged. NaN when nothing is in force any more.
    pub const OPERATING_POINT_THRESHOLD: &str = "nightlight_operating_point_threshold";
    /// Gauge {technology, label, slice}: the precision that is claimed or wanted; NaN when nobody said.
    pub const OPERATING_POINT_TARGET_PRECISION: &str = "nightlight_operating_point_target_precision";
    /// Gauge {technology, label, slice}: the certificate's lower bound of the precision; NaN without a valid certificate.
    pub const OPERATING_POINT_PRECISION_LOWER: &str = "nightlight_operating_point_precision_lower";
    /// Gauge {technology, label, slice}: -1 violated, 0 unconfirmed, 1 confirmed by live review; only points with a target.
    pub const OPERATING_POINT_STATE: &str = "nightlight_operating_point_state";
    /// Gauge {technology, label, slice}: anytime-valid lower bound of the live precision of what is flagged.
    pub const LIVE_PRECISION_LOWER: &str = "nightlight_live_precision_lower";
    /// Gauge {technology, label, slice}: the upper bound.
    pub const LIVE_PRECISION_UPPER: &str = "nightlight_live_precision_upper";
    /// Gauge {technology, label, slice}: the observed precision; NaN before the first decision.
    pub const LIVE_PRECISION_OBSERVED: &str = "nightlight_live_precision_observed";
    /// Gauge {technology, label, slice}: decided flags that count in the epoch.
    pub const LIVE_DECISIONS: &str = "nightlight_live_decisions";
    /// Counter: decertifications by live review that this process wrote.
    pub const DECERTIFICATIONS_TOTAL: &str = "nightlight_decertifications_total";
    /// Gauge {technology, label, slice}: recall by the audit below the threshold; worked out every minute.
    pub const AUDIT_RECALL: &str = "nightlight_audit_recall";
    /// Gauge {technology, label, slice}: population stability index of the last hours' scores against the certificate's data.
    pub const DRIFT_PSI: &str = "nightlight_drift_psi";
}

/// Upper bounds of the buckets of every `_seconds` histogram: from a cached answer to the longest deadline.
pub const SECONDS_BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The same for the stages of a GPU, which are much shorter: 10 microseconds to what lavapipe takes.
pub const GPU_STAGE_BUCKETS: [f64; 12] = [1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 0.1, 1.0];

/// Tells the installed recorder what the metrics are. Call once, after installing it.
pub fn describe_metrics() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!(metric::REQUESTS_TOTAL, "requests answered");
    describe_histogram!(metric::REQUEST_SECONDS, Unit::Seconds, "time to answer a request");
    describe_gauge!(metric::REQUESTS_IN_FLIGHT, "requests being answered");
    describe_gauge!(metric::PERMITS_FREE, "scoring permits that are free");
    describe_gauge!(metric::CONNECTIONS_OPEN, "connections that are open");
    describe_counter!(metric::CONNECTIONS_CLOSED_TOTAL, "connections that ended, by reason");
    describe_counter!(metric::CONNECTIONS_REFUSED_TOTAL, "requests with a key that found every connection in use");
    describe_gauge!(metric::BODY_BYTES, Unit::Bytes, "bodies that arrive or are worked on");
    describe_counter!(metric::BODIES_REFUSED_TOTAL, "bodies that were given up, by reason");
    describe_counter!(metric::PANICS_TOTAL, "panics answered with status 500");
    describe_counter!(metric::SCORED_TOTAL, "attachments answered");
    describe_counter!(metric::UNSCORED_TOTAL, "results that a technology did not give");
    describe_gauge!(metric::MODEL_IN_SERVICE, "1 while a configured model is in service, 0 while it is refused");
    describe_histogram!(metric::STAGE_SECONDS, Unit::Seconds, "time of one stage of an attachment's way");
    describe_gauge!(metric::LANE_BYTES, Unit::Bytes, "memory that pictures under work may take");
    describe_histogram!(metric::BATCH_SIZE, Unit::Count, "items of one call of a worker");
    describe_counter!(metric::GPU_FAILURES_TOTAL, "failures of the GPU; the CPU did the work");
    describe_gauge!(metric::GPU_WORKING, "1 while the GPU works on pictures, 0 while the CPU does in its place");
    describe_histogram!(metric::GPU_STAGE_SECONDS, Unit::Seconds, "one compute stage over one batch, by the device's clock");
    describe_gauge!(metric::STORE_WRITABLE, "1 while the database can be written");
    describe_counter!(metric::STORE_REFUSED_TOTAL, "writes that were refused");
    describe_counter!(metric::COUNTS_LOST_TOTAL, "counts of clean attachments that were lost");
    describe_gauge!(metric::BANK_SIGNALS, "signals held by all banks in memory");
    describe_gauge!(metric::BANK_DAMAGED, "1 while stored signals of a bank are not those that were written");
    describe_counter!(metric::RECENT_HASH_LOOKUPS_TOTAL, "lookups of bare hashes that asked for all that their content shows");
    describe_counter!(metric::NEAR_QUERIES_TOTAL, "lookups by keys that look up many different hashes near one item");
    describe_counter!(metric::BANK_FLOODS_TOTAL, "items of banks that suddenly matched everywhere");
    describe_gauge!(metric::OPERATING_POINT_CERTIFIED, "1 while a valid certificate stands behind the threshold in force");
    describe_gauge!(metric::OPERATING_POINT_THRESHOLD, "raw scores at or above it are flagged");
    describe_gauge!(metric::OPERATING_POINT_TARGET_PRECISION, "the precision that is claimed or wanted");
    describe_gauge!(metric::OPERATING_POINT_PRECISION_LOWER, "the certificate's lower bound of the precision");
    describe_gauge!(metric::OPERATING_POINT_STATE, "-1 violated, 0 unconfirmed, 1 confirmed by live review");
    describe_gauge!(metric::LIVE_PRECISION_LOWER, "anytime-valid lower bound of the live precision");
    describe_gauge!(metric::LIVE_PRECISION_UPPER, "anytime-valid upper bound of the live precision");
    describe_gauge!(metric::LIVE_PRECISION_OBSERVED, "live precision as observed");
    describe_gauge!(metric::LIVE_DECISIONS, "decided flags that count in the epoch");
    describe_counter!(metric::DECERTIFICATIONS_TOTAL, "decertifications by live review");
    describe_gauge!(metric::AUDIT_RECALL, "recall by the audit below the threshold");
    describe_gauge!(metric::DRIFT_PSI, "population stability index of scores against the certificate's data");
}

/// Renders what was collected; see [`install_metrics`].
pub type MetricsHandle = metrics_exporter_prometheus::PrometheusHandle;

/// Installs the recorder that every metric goes to, and gives its handle. Call once per process.
///
/// # Errors
/// A recorder is installed already.
pub fn install_metrics() -> Result<MetricsHandle, String> {
    use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full(metric::GPU_STAGE_SECONDS.to_owned()), &GPU_STAGE_BUCKETS))
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| format!("metrics: {error}"))?;
    describe_metrics();
    Ok(recorder)
}

/// Writes out what is left of a trace when dropped.
pub struct TraceGuard(#[expect(dead_code, reason = "held for its drop")] Option<tracing_chrome::FlushGuard>);

/// Sends the log to stderr and, if a file is given, the times of all stages of all attachments to it, in Chrome's trace format (open it in
/// Perfetto or about:tracing, or give it to `scripts/trace_overlap.py`). Call once; a second call changes nothing.
///
/// Foreign crates speak up only when something is wrong, or when somebody asks for `trace`: at `info` the GPU layer alone writes a page per
/// start. A trace holds names of stages and threads, and nothing of the attachments.
///
/// # Errors
/// The file cannot be written.
pub fn init_logging(
    level: crate::config::LogLevel,
    format: crate::config::LogFormat,
    trace: Option<&std::path::Path>,
) -> std::io::Result<TraceGuard> {
    use crate::config::{LogFormat, LogLevel};
    use tracing_subscriber::{EnvFilter, Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};
    let filter = EnvFilter::new(match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "warn,nightlight=info",
        LogLevel::Debug => "warn,nightlight=debug",
        LogLevel::Trace => "trace",
    });
    let log = match format {
        LogFormat::Text => {
            fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed()
        }
        LogFormat::Json => fmt::layer().with_writer(std::io::stderr).json().flatten_event(true).boxed(),
    };
    let (spans, guard) = match trace {
        None => (None, None),
        Some(path) => {
            let file = std::io::BufWriter::new(std::fs::File::create(path)?);
            let (layer, guard) =
                tracing_chrome::ChromeLayerBuilder::new().writer(file).include_args(false).include_locations(false).build();
            let ours = Targets::new().with_target("nightlight", tracing::Level::TRACE);
            (Some(layer.with_filter(ours)), Some(guard))
        }
    };
    // The only error is that a subscriber is installed already, as in tests.
    let _ = tracing_subscriber::registry().with(log.with_filter(filter)).with(spans).try_init();
    Ok(TraceGuard(guard))
}

/// Logs panics by their place. The text is logged only when it is a literal of the code: a formatted one could hold content.
///
/// Call once at the start; without it the standard hook prints every panic's text to stderr.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(text withheld)");
        tracing::error!(place, text, "panic");
    }));
}
