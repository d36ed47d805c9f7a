//! The threads that decode, digest, hash and search: one set for everything that looks at attachments, so that their number is a bound.

use crate::{
    config::Config,
    engines::batch::{Cores, Lane, Memory, cores},
};

/// What a process keeps busy at a time: its cores, and more where the configuration asks for more threads of some kind than there are.
pub(super) fn shared(config: &Config) -> Cores {
    let named = [config.engine.decode_threads, config.engine.match_threads, config.models.sessions];
    Cores::new(named.into_iter().fold(cores(), usize::max))
}

/// The threads of a process.
pub(super) struct Lanes {
    /// Decoding, digests and the pixels' stages of the CPU path, within half of the memory that there is.
    pub decode: Lane,
    /// Searches in the banks: beside decoding, so that neither waits for the other, and in slices, so that a long search waits between them.
    pub matching: Lane,
    /// Long bodies and answers: from bytes to what they say, and back.
    pub reading: Lane,
}

impl Lanes {
    /// On these cores, as many threads as the configuration names.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(config: &Config, shared: &Cores) -> std::io::Result<Self> {
        let or_cores = |count: usize| if count == 0 { cores() } else { count };
        let memory = Memory { bytes: config.limits.memory_bytes / 2, small_jobs: config.server.permits };
        Ok(Self {
            decode: Lane::spawn_within(shared, "decode", or_cores(config.engine.decode_threads), config.batching.queue, memory)?,
            reading: Lane::spawn(shared, "read", cores(), config.batching.queue)?,
            matching: Lane::spawn(shared, "match", or_cores(config.engine.match_threads), config.batching.queue)?,
        })
    }
}
