//! Metric names.

/// Signals held by all banks in memory.
pub const BANK_SIGNALS: &str = "nightlight_bank_signals";

/// Seconds per stage of an attachment's way, by `stage`.
pub const STAGE_SECONDS: &str = "nightlight_stage_seconds";

/// Attachments answered, by `kind`, `route` and `category`.
pub const SCORED_TOTAL: &str = "nightlight_scored_total";
