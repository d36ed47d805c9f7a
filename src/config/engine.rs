//! `[engine]` and `[batching]`: what does the work, and in what portions.

use std::{num::NonZeroUsize, str::FromStr, time::Duration};

use super::{ConfigError, cores_or, layers::Layers, server::non_zero};

/// What prepares and hashes pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The GPU, unless it is missing or a software adapter.
    Auto,
    /// The GPU, even a software adapter; without one the start fails.
    Gpu,
    Cpu,
}

impl Backend {
    /// Every backend.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Gpu, Self::Cpu];

    /// The name in configuration and flags.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Gpu => "gpu",
            Self::Cpu => "cpu",
        }
    }
}

impl FromStr for Backend {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|backend| backend.as_str() == text).ok_or_else(|| "use auto, gpu or cpu".to_owned())
    }
}

/// The machinery.
#[derive(Clone, Debug)]
pub struct Engine {
    pub backend: Backend,
    /// Already resolved: as many as there are cores when nobody said.
    pub decode_threads: NonZeroUsize,
    pub pixel_pool_bytes: usize,
    /// Part of the adapter's name, in any case; `None` = the first hardware adapter.
    pub gpu_adapter: Option<String>,
}

/// How dynamic batches are cut.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    pub max_images: NonZeroUsize,
    /// Zero = take what is there.
    pub max_wait: Duration,
    pub max_texts: NonZeroUsize,
    /// Entries that wait for each engine.
    pub queue: NonZeroUsize,
}

impl Engine {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        let gpu_adapter: String = layers.raw("engine.gpu_adapter", "part of an adapter's name")?;
        Ok(Self {
            backend: layers.parsed("engine.backend", "\"auto\", \"gpu\" or \"cpu\"")?,
            decode_threads: cores_or(layers.number("engine.decode_threads", 0..=1024)?),
            pixel_pool_bytes: layers.number("engine.pixel_pool_bytes", 0..=(1 << 40))?,
            gpu_adapter: Some(gpu_adapter.trim().to_owned()).filter(|name| !name.is_empty()),
        })
    }
}

impl Batching {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        Ok(Self {
            max_images: layers.number("batching.max_images", 1..=1024).map(non_zero)?,
            // A second: whoever waits longer for company misses its deadline.
            max_wait: Duration::from_micros(layers.number("batching.max_wait_us", 0..=1_000_000)?),
            max_texts: layers.number("batching.max_texts", 1..=4096).map(non_zero)?,
            queue: layers.number("batching.queue", 1..=1_000_000).map(non_zero)?,
        })
    }
}
