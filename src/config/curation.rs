//! `[feedback]` and `[flood]`: when opinions move the items of banks, and when an item matches too often to be right.

use super::{ConfigError, layers::Layers};
use crate::domain::curation::{FeedbackRules, FloodRules};

/// Settings of feedback.
#[derive(Clone, Copy, Debug)]
pub struct Feedback {
    pub rules: FeedbackRules,
}

impl Feedback {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        let confirm_after = layers.number("feedback.confirm_after", 1..=1000)?;
        Ok(Self { rules: FeedbackRules { confirm_after, quarantine_after: layers.number("feedback.quarantine_after", 1..=1000)? } })
    }
}

/// Settings of flood protection.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    pub rules: FloodRules,
}

impl Flood {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        let rules = FloodRules {
            enabled: layers.switch("flood.enabled")?,
            least_hits: layers.number("flood.least_hits", 1..=1_000_000_000)?,
            factor: super::monitor::real(layers, "flood.factor", 1.0, 1e6)?,
            history_days: layers.number("flood.history_days", 1..=90)?,
        };
        Ok(Self { rules })
    }
}
