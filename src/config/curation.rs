//! `[feedback]`: when opinions move the items of banks.

use super::{ConfigError, layers::Layers};
use crate::domain::curation::FeedbackRules;

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
