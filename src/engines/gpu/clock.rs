//! The device's own clock: how long each dispatch took.

use std::time::Duration;

use super::Stage;
use super::device::Gpu;

/// Timestamps before and after each dispatch of a recording.
#[derive(Debug)]
pub(super) struct Clock {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    dispatches: usize,
}

/// Bytes of a timestamp.
const TICKS: u64 = 8;
/// Timestamps of a dispatch.
const EACH: usize = 2;
/// WebGPU's limit of queries in a set (`wgpu::QUERY_SET_MAX_QUERIES`), in dispatches.
const MOST: usize = wgpu::QUERY_SET_MAX_QUERIES as usize / EACH;

impl Clock {
    /// Room for this many dispatches; `None` where they are none or too many: such a recording is not timed.
    pub fn new(gpu: &Gpu, dispatches: usize) -> Option<Self> {
        if dispatches == 0 || dispatches > MOST {
            return None;
        }
        let dispatches = dispatches.next_power_of_two().min(MOST);
        let queries = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("stages"),
            ty: wgpu::QueryType::Timestamp,
            count: (EACH * dispatches) as u32,
        });
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = gpu.buffer("timestamps", Self::bytes(dispatches), usage).ok()?;
        Some(Self { queries, resolved, dispatches })
    }

    pub fn fits(&self, dispatches: usize) -> bool {
        (1..=self.dispatches).contains(&dispatches)
    }

    /// Bytes of the timestamps of so many dispatches.
    pub fn bytes(dispatches: usize) -> u64 {
        (EACH * dispatches) as u64 * TICKS
    }

    /// Where timestamps may stand behind `bytes`.
    pub fn aligned(bytes: u64) -> u64 {
        bytes.next_multiple_of(TICKS)
    }

    /// What dispatch `number` writes.
    pub fn writes(&self, number: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        let first = (EACH * number) as u32;
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    /// Copies the timestamps to byte `at` of `to`; the byte behind them.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder, dispatches: usize, to: &wgpu::Buffer, at: u64) -> u64 {
        let bytes = Self::bytes(dispatches);
        encoder.resolve_query_set(&self.queries, 0..(EACH * dispatches) as u32, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, to, at, bytes);
        at + bytes
    }

    /// Durations from the words that [`resolve`](Self::resolve) wrote; `tick` is in nanoseconds.
    pub fn read(words: &[u32], dispatched: &[Stage], tick: f32) -> Vec<(Stage, Duration)> {
        let ticks = |at: usize| u64::from(words[2 * at]) | u64::from(words[2 * at + 1]) << 32;
        let took = |number: usize| ticks(EACH * number + 1).saturating_sub(ticks(EACH * number));
        let nanoseconds = |ticks: u64| Duration::from_nanos((ticks as f64 * f64::from(tick)) as u64);
        dispatched.iter().enumerate().map(|(number, stage)| (*stage, nanoseconds(took(number)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_durations_by_stage() {
        // 5 to 25, then 2^32 - 1 to 2^32 + 9; two nanoseconds a tick.
        let words = [5, 0, 25, 0, u32::MAX, 0, 9, 1];
        let read = Clock::read(&words, &[Stage::PdqDct, Stage::PdqBits], 2.0);
        assert_eq!(read, [(Stage::PdqDct, Duration::from_nanos(40)), (Stage::PdqBits, Duration::from_nanos(20))]);
    }
}
