//! The threads that decode, digest, hash and search: one set for everything that looks at attachments, so that their number is a bound.

use crate::{
    config::Config,
    engines::batch::{Lane, Memory},
};

/// The threads of a process.
pub(super) struct Lanes {
    /// Decoding, digests and the pixels' stages of the CPU path, within half of the memory that there is.
    pub decode: Lane,
    /// Searches in the banks: beside decoding, so that neither waits for the other, and in slices, so that a long search waits between them.
    pub matching: Lane,
}

impl Lanes {
    /// Starts the threads that the configuration names.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(config: &Config) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let or_cores = |count: usize| if count == 0 { cores } else { count };
        let memory = Memory { bytes: config.limits.memory_bytes / 2, small_jobs: config.server.permits };
        Ok(Self {
            decode: Lane::spawn_within("decode", or_cores(config.engine.decode_threads), config.batching.queue, memory)?,
            matching: Lane::spawn("match", or_cores(config.engine.match_threads), config.batching.queue)?,
        })
    }
}
