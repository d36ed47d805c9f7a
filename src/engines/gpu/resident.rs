//! Words that stay on the device between recordings.

use super::GpuError;
use super::device::Gpu;

/// A storage buffer that outlives recordings: a bank's hashes. Stages of a [`Recording`](super::Recording) made
/// [`over`](super::Recording::over) it read it where others read pixels.
#[derive(Debug)]
pub struct Resident {
    pub(super) buffer: wgpu::Buffer,
    words: u32,
}

const WORD: u64 = 4;
/// Words written at a time: what goes through the queue is copied once, and that copy shall not be as large as a bank.
const WRITE: usize = (16 << 20) / WORD as usize;

impl Resident {
    pub(super) fn new(gpu: &Gpu, words: u32) -> Result<Self, GpuError> {
        let limit = gpu.limits().resident_words;
        if words == 0 || words > limit {
            let needed = u64::from(words) * WORD;
            return Err(GpuError::DoesNotFit { what: "resident words (at least one)", needed, limit: u64::from(limit) * WORD });
        }
        let buffer = gpu.buffer("resident", u64::from(words) * WORD, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST)?;
        Ok(Self { buffer, words })
    }

    /// How many words it holds.
    pub fn words(&self) -> u32 {
        self.words
    }

    pub(super) fn write(&self, gpu: &Gpu, first: u32, words: &[u32]) -> Result<(), GpuError> {
        let end = u64::from(first) + words.len() as u64;
        if end > u64::from(self.words) {
            return Err(GpuError::DoesNotFit { what: "resident words", needed: end * WORD, limit: u64::from(self.words) * WORD });
        }
        let mut at = u64::from(first);
        for part in words.chunks(WRITE) {
            gpu.queue.write_buffer(&self.buffer, at * WORD, bytemuck::cast_slice(part));
            at += part.len() as u64;
            // Hands the staged copy to the device, which frees it when done.
            gpu.queue.submit([]);
        }
        Ok(())
    }
}
