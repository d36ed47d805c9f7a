//! Names and descriptions of metrics. (Tracing and redaction join here.)
//!
//! Whoever installs the Prometheus recorder gives it [`SECONDS_BUCKETS`] for names that end in `_seconds`, calls [`describe_metrics`] once and
//! `PrometheusHandle::run_upkeep` every few seconds: without it histograms grow until somebody scrapes.

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
    /// Counter: panics that became an answer with status 500.
    pub const PANICS_TOTAL: &str = "nightlight_request_panics_total";
}

/// Upper bounds of the buckets of every `_seconds` histogram: from a cached answer to the longest deadline.
pub const SECONDS_BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Tells the installed recorder what the metrics are. Call once, after installing it.
pub fn describe_metrics() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!(metric::REQUESTS_TOTAL, "requests answered");
    describe_histogram!(metric::REQUEST_SECONDS, Unit::Seconds, "time to answer a request");
    describe_gauge!(metric::REQUESTS_IN_FLIGHT, "requests being answered");
    describe_gauge!(metric::PERMITS_FREE, "scoring permits that are free");
    describe_counter!(metric::PANICS_TOTAL, "panics answered with status 500");
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
