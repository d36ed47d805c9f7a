//! `[engine]` and `[batching]`: what does the work, and in what portions.

use std::str::FromStr;

use super::{ConfigError, layers::Layers};

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
    /// 0 = one per core.
    pub decode_threads: usize,
    /// 0 = one per core.
    pub match_threads: usize,
    pub pixel_pool_bytes: usize,
    /// Part of the adapter's name, in any case; `None` = the first hardware adapter.
    pub gpu_adapter: Option<String>,
    /// How long a batch may take before the GPU counts as hung.
    pub gpu_timeout_ms: u64,
}

/// How dynamic batches are cut.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    pub max_images: usize,
    /// Zero = take what is there.
    pub max_wait_us: u64,
    pub max_texts: usize,
    /// Entries that wait for each engine.
    pub queue: usize,
}

impl Engine {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        let gpu_adapter: String = layers.raw("engine.gpu_adapter", "part of an adapter's name")?;
        Ok(Self {
            backend: layers.parsed("engine.backend", "\"auto\", \"gpu\" or \"cpu\"")?,
            decode_threads: layers.number("engine.decode_threads", 0..=1024)?,
            match_threads: layers.number("engine.match_threads", 0..=1024)?,
            pixel_pool_bytes: layers.number("engine.pixel_pool_bytes", 0..=(1 << 40))?,
            gpu_adapter: Some(gpu_adapter.trim().to_owned()).filter(|name| !name.is_empty()),
            gpu_timeout_ms: layers.number("engine.gpu_timeout_ms", 1..=600_000)?,
        })
    }
}

impl Batching {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        Ok(Self {
            max_images: layers.number("batching.max_images", 1..=1024)?,
            // A second: whoever waits longer for company misses its deadline.
            max_wait_us: layers.number("batching.max_wait_us", 0..=1_000_000)?,
            max_texts: layers.number("batching.max_texts", 1..=4096)?,
            queue: layers.number("batching.queue", 1..=1_000_000)?,
        })
    }
}
