//! Logging, and the names of metrics.

/// Signals held by all banks in memory.
pub const BANK_SIGNALS: &str = "nightlight_bank_signals";

/// Seconds per stage of an attachment's way, by `stage`.
pub const STAGE_SECONDS: &str = "nightlight_stage_seconds";

/// Attachments answered, by `kind`, `route` and `category`.
pub const SCORED_TOTAL: &str = "nightlight_scored_total";

/// Sends the log to stderr. Call once; a second call changes nothing.
///
/// Foreign crates speak up only when something is wrong, or when somebody asks for `trace`: at `info` the GPU layer alone writes a page per
/// start.
pub fn init_logging(level: crate::config::LogLevel, format: crate::config::LogFormat) {
    use crate::config::{LogFormat, LogLevel};
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "warn,nightlight=info",
        LogLevel::Debug => "warn,nightlight=debug",
        LogLevel::Trace => "trace",
    };
    let log = fmt().with_env_filter(EnvFilter::new(filter)).with_writer(std::io::stderr);
    // The only error is that a subscriber is installed already, as in tests.
    let _ = match format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}
