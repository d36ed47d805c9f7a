//! The threads that decode, digest, hash and search: one set for everything that looks at attachments, so that their number is a bound.

use std::sync::Arc;

use crate::{
    config::Config,
    domain::frame::BufferPool,
    engines::{
        batch::Lane,
        media::{Decoder, Limits},
    },
};

/// Cloning shares the threads.
#[derive(Clone)]
pub struct Lanes {
    /// Decoding, digests and the pixels' stages of the CPU path.
    pub decode: Arc<Lane>,
    /// Searches in the banks: beside decoding, so that neither waits for the other.
    pub matching: Arc<Lane>,
    pub decoder: Decoder,
}

impl Lanes {
    /// Starts the threads that the configuration names.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(config: &Config) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let or_cores = |count: usize| if count == 0 { cores } else { count };
        let media =
            Limits { max_pixels: config.limits.max_pixels, max_side: config.limits.max_side, max_bytes: config.server.body_limit_bytes };
        Ok(Self {
            decode: Arc::new(Lane::spawn("decode", or_cores(config.engine.decode_threads), config.batching.queue)?),
            matching: Arc::new(Lane::spawn("match", or_cores(config.engine.match_threads), config.batching.queue)?),
            decoder: Decoder::new(media, BufferPool::new(config.engine.pixel_pool_bytes)),
        })
    }
}
