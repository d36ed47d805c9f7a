//! `[store]` and `[idempotency]`: what is kept, and how it is written.

use std::{
    path::{Component, PathBuf},
    time::Duration,
};

use super::{ConfigError, layers::Layers, millis};

/// The database.
#[derive(Clone, Debug)]
pub struct Store {
    /// The file's name within the data directory.
    pub file: PathBuf,
    /// Most units of work in one transaction.
    pub group_limit: usize,
    /// Most units of work that wait.
    pub queue: usize,
    pub busy_timeout_ms: u64,
    /// How often changed banks are looked for.
    pub bank_poll_ms: u64,
    /// How often all stored signals are read and compared with their banks' sums; `None` is never.
    pub scrub_interval: Option<Duration>,
}

/// How long answers are remembered.
#[derive(Clone, Copy, Debug)]
pub struct Idempotency {
    pub ttl_s: u64,
    /// Clean answers remembered in memory.
    pub memory_entries: usize,
}

impl Store {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        let file = layers.path("store.file")?;
        let plain = matches!(file.components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
        if !plain {
            return Err(layers.invalid("store.file", "the name of a file within the data directory"));
        }
        Ok(Self {
            file,
            group_limit: layers.number("store.group_limit", 1..=65_536)?,
            queue: layers.number("store.queue", 1..=1_000_000)?,
            busy_timeout_ms: millis(layers, "store.busy_timeout_ms", 1)?,
            bank_poll_ms: millis(layers, "store.bank_poll_ms", 10)?,
            scrub_interval: Some(layers.number("store.scrub_interval_s", 0..=31_536_000)?)
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
        })
    }
}

impl Idempotency {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        Ok(Self {
            ttl_s: layers.number("idempotency.ttl_s", 1..=31_536_000)?,
            memory_entries: layers.number("idempotency.memory_entries", 0..=100_000_000)?,
        })
    }
}
