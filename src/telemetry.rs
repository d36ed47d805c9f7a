//! Metric names.

/// Signals held by all banks in memory.
pub const BANK_SIGNALS: &str = "nightlight_bank_signals";
