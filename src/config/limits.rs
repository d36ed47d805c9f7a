//! `[limits]`: what one attachment may be, and all together may take.

use std::time::Duration;

use super::{ConfigError, layers::Layers, machine};

/// Below this not even models and a small picture have room.
const LEAST_MEMORY: u64 = 256 << 20;

/// Bounds on one attachment, checked before anything proportional to it is allocated.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Width times height.
    pub max_pixels: u64,
    pub max_side: u32,
    /// Frames, pages or pictures of one file that are looked at.
    pub max_frames: u32,
    /// Pixels of all of them together, and of their views with and without transparency.
    pub max_total_pixels: u64,
    /// How long all frames after the first may take.
    pub max_frames_time: Duration,
    /// UTF-8 bytes that are kept of a text; a conversation with more in all its messages is refused.
    pub max_text_bytes: usize,
    /// More messages are refused.
    pub max_messages: usize,
    /// Of these the newest are scored.
    pub max_scored_messages: usize,
    /// Tokens that are read of one text or message, in each look.
    pub max_text_tokens: usize,
    /// Tokens that are read of one conversation, all looks together.
    pub max_conversation_tokens: usize,
    /// Bytes of memory that this process may use: what is configured, or what its cgroup or the machine gives.
    pub memory_bytes: u64,
    /// Names of services of each tenant that are counted for themselves, beside the configured ones.
    pub max_services: usize,
}

impl Limits {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        let memory_bytes = match layers.number("limits.memory_bytes", 0..=i64::MAX)? {
            0 => machine::memory(),
            bytes if bytes < LEAST_MEMORY => return Err(layers.invalid("limits.memory_bytes", format!("0, or at least {LEAST_MEMORY}"))),
            bytes => bytes,
        };
        Ok(Self {
            memory_bytes,
            // A decoded frame takes 3 bytes per pixel and a decoder up to 25: beyond a gigapixel one attachment is the machine's memory.
            max_pixels: layers.number("limits.max_pixels", 1..=1_000_000_000)?,
            // 65,535 is the largest side that JPEG can state.
            max_side: layers.number("limits.max_side", 1..=65_535)?,
            max_frames: layers.number("limits.max_frames", 1..=100_000)?,
            max_total_pixels: layers.number("limits.max_total_pixels", 1..=1_000_000_000_000)?,
            max_frames_time: Duration::from_millis(layers.number("limits.max_frames_ms", 1..=3_600_000)?),
            max_text_bytes: layers.number("limits.max_text_bytes", 1..=(1 << 30))?,
            max_messages: layers.number("limits.max_messages", 1..=1_000_000)?,
            max_scored_messages: layers.number("limits.max_scored_messages", 1..=1_000_000)?,
            // A million tokens are minutes of a core: more would be no limit.
            max_text_tokens: layers.number("limits.max_text_tokens", 1..=1_000_000)?,
            max_conversation_tokens: layers.number("limits.max_conversation_tokens", 1..=1_000_000)?,
            // Each is up to twenty counter rows an hour.
            max_services: layers.number("limits.max_services", 0..=10_000)?,
        })
    }
}
