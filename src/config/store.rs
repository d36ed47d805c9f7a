//! `[store]` and `[idempotency]`: what is kept, and how it is written.

use std::{
    num::NonZeroUsize,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use super::{ConfigError, layers::Layers, millis, server::non_zero};

/// The database.
#[derive(Clone, Debug)]
pub struct Store {
    /// The file, data directory included.
    pub path: PathBuf,
    /// Most units of work in one transaction.
    pub group_limit: NonZeroUsize,
    /// Most units of work that wait.
    pub queue: NonZeroUsize,
    pub busy_timeout: Duration,
    /// How often changed banks are looked for.
    pub bank_poll: Duration,
}

/// How long answers are remembered.
#[derive(Clone, Copy, Debug)]
pub struct Idempotency {
    pub ttl: Duration,
    /// Clean answers remembered in memory.
    pub memory_entries: usize,
}

impl Store {
    pub(super) fn read(layers: &Layers, data_dir: &Path) -> Result<Self, ConfigError> {
        let file = layers.path("store.file")?;
        let plain = matches!(file.components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
        if !plain {
            return Err(layers.invalid("store.file", "the name of a file within the data directory"));
        }
        Ok(Self {
            path: data_dir.join(file),
            group_limit: layers.number("store.group_limit", 1..=65_536).map(non_zero)?,
            queue: layers.number("store.queue", 1..=1_000_000).map(non_zero)?,
            busy_timeout: millis(layers, "store.busy_timeout_ms", 1)?,
            bank_poll: millis(layers, "store.bank_poll_ms", 10)?,
        })
    }
}

impl Idempotency {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        Ok(Self {
            ttl: Duration::from_secs(layers.number("idempotency.ttl_s", 1..=31_536_000)?),
            memory_entries: layers.number("idempotency.memory_entries", 0..=100_000_000)?,
        })
    }
}
