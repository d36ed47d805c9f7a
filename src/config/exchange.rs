//! `[exchange]`: how exchanges are followed.

use std::time::Duration;

use super::{ConfigError, layers::Layers};

/// Settings of the exchanges that a server follows.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// Between two fetches of one exchange; `None` when this server follows none.
    pub interval: Option<Duration>,
}

impl Exchange {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        // At most a week: deletions are told for 90 days, and people wait for theirs.
        let seconds: u64 = layers.number("exchange.interval_s", 0..=604_800)?;
        Ok(Self { interval: (seconds > 0).then(|| Duration::from_secs(seconds)) })
    }
}
