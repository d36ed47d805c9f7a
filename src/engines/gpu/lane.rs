//! Lanes: buffers that are kept from recording to recording, and the execution of one.

use std::sync::{Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::device::Gpu;
use super::recording::{Command, Download, Recording};
use super::{GpuError, Stage};

/// What came back.
#[derive(Debug)]
pub struct Finished {
    words: Vec<u32>,
    /// From the first upload to the last byte back: transfers and stages together.
    pub elapsed: Duration,
    /// Of that, the processor's copying of frames and tables into the driver's memory.
    pub upload: Duration,
    /// How long each dispatch took on the device, in their order; empty where the device has no timestamps.
    pub stages: Vec<(Stage, Duration)>,
}

impl Finished {
    /// The words of a span that the recording downloaded.
    ///
    /// # Panics
    /// If the download is another recording's: a programming error.
    pub fn words(&self, download: Download) -> &[u32] {
        &self.words[download.first..][..download.words]
    }

    /// The same bits as floats.
    pub fn floats(&self, download: Download) -> &[f32] {
        bytemuck::cast_slice(self.words(download))
    }

    /// All stages together, as the device timed them; zero where it has no timestamps.
    pub fn kernels(&self) -> Duration {
        self.stages.iter().map(|(_, took)| took).sum()
    }
}

/// A few lanes that threads borrow in turn.
#[derive(Debug)]
pub(super) struct Lanes {
    free: Mutex<Vec<Lane>>,
    returned: Condvar,
}

impl Lanes {
    pub(super) fn new(count: usize) -> Self {
        Self { free: Mutex::new((0..count).map(|_| Lane::default()).collect()), returned: Condvar::new() }
    }

    /// Waits for a lane and works with it. After a failure its buffers may still be in use or half mapped, so it starts anew.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Lane) -> Result<T, GpuError>) -> Result<T, GpuError> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.returned.wait_while(free, |free| free.is_empty()).unwrap_or_else(PoisonError::into_inner);
        // The wait ended because there is one.
        let lane = free.pop().unwrap_or_default();
        drop(free);
        let mut borrowed = Borrowed { lanes: self, lane, sound: false };
        let result = work(&mut borrowed.lane);
        borrowed.sound = result.is_ok();
        result
    }
}

/// Goes back when dropped, also by a panic.
struct Borrowed<'a> {
    lanes: &'a Lanes,
    lane: Lane,
    sound: bool,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let lane = std::mem::take(&mut self.lane);
        let lane = if self.sound { lane } else { Lane::default() };
        self.lanes.free.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
        self.lanes.returned.notify_one();
    }
}

/// Buffers by use. They only grow, in powers of two, up to what [`Limits`](super::Limits) allows.
#[derive(Debug, Default)]
pub(super) struct Lane {
    buffers: Option<Buffers>,
    clock: Option<Clock>,
}

#[derive(Debug)]
struct Buffers {
    params: wgpu::Buffer,
    pixels: wgpu::Buffer,
    tables: wgpu::Buffer,
    work: wgpu::Buffer,
    download: wgpu::Buffer,
    group: wgpu::BindGroup,
}

/// Bytes between the parameters of two dispatches: `min_uniform_buffer_offset_alignment` of the portable floor.
const PARAMS_STRIDE: usize = 256;
/// Bytes of one dispatch's parameters: `vec4<u32>`.
const PARAMS_BYTES: u64 = 16;
const WORD: u64 = 4;

impl Lane {
    pub(super) fn run(&mut self, gpu: &Gpu, recording: &Recording) -> Result<Finished, GpuError> {
        let started = Instant::now();
        let dispatched: Vec<Stage> = recording
            .commands()
            .iter()
            .filter_map(|command| match command {
                Command::Dispatch { stage, .. } => Some(*stage),
                _ => None,
            })
            .collect();
        self.fit(gpu, recording, dispatched.len())?;
        let Some(buffers) = &self.buffers else { return Err(GpuError::Refused("a lane without buffers".into())) };
        let clock = self.clock.as_ref().filter(|clock| clock.fits(dispatched.len()));
        let upload = {
            let _span = tracing::trace_span!("upload").entered();
            write(gpu, buffers, recording);
            started.elapsed()
        };
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        match recording.resident() {
            // The group names the resident buffer, so it is this recording's own.
            Some(resident) => dispatch(gpu, &buffers.group_over(gpu, &resident.buffer), recording, clock, &mut encoder),
            None => dispatch(gpu, &buffers.group, recording, clock, &mut encoder),
        }
        let mut to = 0;
        for command in recording.commands() {
            if let Command::Download(span) = command {
                let bytes = u64::from(span.words) * WORD;
                encoder.copy_buffer_to_buffer(&buffers.work, u64::from(span.first) * WORD, &buffers.download, to, bytes);
                to += bytes;
            }
        }
        let clock_at = Clock::aligned(to);
        let end = match clock {
            Some(clock) => clock.resolve(&mut encoder, dispatched.len(), &buffers.download, clock_at),
            None => to,
        };
        let mut words = {
            let _span = tracing::trace_span!("kernels").entered();
            let submission = gpu.queue.submit([encoder.finish()]);
            read(gpu, &buffers.download, end, submission)?
        };
        let stages = match clock {
            Some(_) => Clock::read(&words[(clock_at / WORD) as usize..], &dispatched, gpu.tick()),
            None => Vec::new(),
        };
        words.truncate((to / WORD) as usize);
        Ok(Finished { words, elapsed: started.elapsed(), upload, stages })
    }

    /// Makes buffers and clock large enough for the recording.
    fn fit(&mut self, gpu: &Gpu, recording: &Recording, dispatches: usize) -> Result<(), GpuError> {
        if gpu.adapter().timestamps && !self.clock.as_ref().is_some_and(|clock| clock.fits(dispatches)) {
            self.clock = Clock::new(gpu, dispatches);
        }
        // A pixel may be read as two words, also the last one; behind the binding's end the device reads something harmless.
        let needed = [
            (dispatches * PARAMS_STRIDE) as u64,
            (u64::from(recording.pixel_words()) + 1).min(gpu.limits().binding_words.into()) * WORD,
            recording.tables().len() as u64 * WORD,
            u64::from(recording.work_words()) * WORD,
            Clock::aligned(recording.download_words() as u64 * WORD) + Clock::bytes(dispatches),
        ];
        let have = self.buffers.as_ref().map_or([0; 5], |kept| kept.all().map(wgpu::Buffer::size));
        if self.buffers.is_none() || have.iter().zip(needed).any(|(have, needed)| *have < needed) {
            self.buffers = None; // before the new ones are made: both may not fit the device
            self.buffers = Some(Buffers::new(gpu, std::array::from_fn(|at| have[at].max(needed[at])))?);
        }
        Ok(())
    }
}

impl Gpu {
    /// A buffer, or the news that there is no room for it.
    pub(super) fn buffer(&self, label: &'static str, size: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, GpuError> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false });
        match pollster::block_on(scope.pop()) {
            None => Ok(buffer),
            Some(_) => Err(GpuError::OutOfMemory(format!("no {size} bytes for {label}"))),
        }
    }
}

impl Buffers {
    fn new(gpu: &Gpu, bytes: [u64; 5]) -> Result<Self, GpuError> {
        use wgpu::BufferUsages as Use;
        const LEAST: u64 = 64 << 10; // small batches then share one size
        let most = u64::from(gpu.limits().binding_words) * WORD;
        let buffer = |label, bytes: u64, usage| {
            // Rounding up must not pass the binding's limit, which the need itself keeps.
            let size = bytes.next_power_of_two().max(LEAST).min(most).max(bytes);
            gpu.buffer(label, size, usage)
        };
        let params = buffer("params", bytes[0], Use::UNIFORM | Use::COPY_DST)?;
        let pixels = buffer("pixels", bytes[1], Use::STORAGE | Use::COPY_DST)?;
        let tables = buffer("tables", bytes[2], Use::STORAGE | Use::COPY_DST)?;
        let work = buffer("work", bytes[3], Use::STORAGE | Use::COPY_SRC)?;
        let download = buffer("download", bytes[4], Use::MAP_READ | Use::COPY_DST)?;
        let group = group(gpu, [&params, &pixels, &tables, &work]);
        Ok(Self { params, pixels, tables, work, download, group })
    }

    /// The bind group with other words in the place of pixels.
    fn group_over(&self, gpu: &Gpu, resident: &wgpu::Buffer) -> wgpu::BindGroup {
        group(gpu, [&self.params, resident, &self.tables, &self.work])
    }

    fn all(&self) -> [&wgpu::Buffer; 5] {
        [&self.params, &self.pixels, &self.tables, &self.work, &self.download]
    }
}

/// The bindings of `shaders/common/bindings.wgsl`: params, pixels, tables, work.
fn group(gpu: &Gpu, [params, pixels, tables, work]: [&wgpu::Buffer; 4]) -> wgpu::BindGroup {
    let params = wgpu::BufferBinding { buffer: params, offset: 0, size: wgpu::BufferSize::new(PARAMS_BYTES) };
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("stages"),
        layout: &gpu.layout,
        entries: &[
            wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(params) },
            wgpu::BindGroupEntry { binding: 1, resource: pixels.as_entire_binding() },
            wgpu::BindGroupEntry { binding: 2, resource: tables.as_entire_binding() },
            wgpu::BindGroupEntry { binding: 3, resource: work.as_entire_binding() },
        ],
    })
}

/// Uploads frames, tables and parameters.
fn write(gpu: &Gpu, buffers: &Buffers, recording: &Recording) {
    let mut params = Vec::new();
    for command in recording.commands() {
        match command {
            Command::Upload { frame, image } => {
                let (offset, bytes) = (u64::from(image.word) * WORD, frame.pixels());
                // A write is whole words: the last, broken one goes by itself.
                let (whole, rest) = bytes.split_at(bytes.len() / WORD as usize * WORD as usize);
                gpu.queue.write_buffer(&buffers.pixels, offset, whole);
                if !rest.is_empty() {
                    let mut last = [0; WORD as usize];
                    last[..rest.len()].copy_from_slice(rest);
                    gpu.queue.write_buffer(&buffers.pixels, offset + whole.len() as u64, &last);
                }
            }
            Command::Dispatch { table, .. } => {
                params.extend_from_slice(bytemuck::cast_slice(&[*table, 0, 0, 0]));
                params.resize(params.len().next_multiple_of(PARAMS_STRIDE), 0);
            }
            Command::Download(_) => {}
        }
    }
    gpu.queue.write_buffer(&buffers.params, 0, &params);
    gpu.queue.write_buffer(&buffers.tables, 0, bytemuck::cast_slice(recording.tables()));
}

/// A pass for each dispatch, so that each can be timed; wgpu puts barriers between those that use the work buffer.
fn dispatch(gpu: &Gpu, group: &wgpu::BindGroup, recording: &Recording, clock: Option<&Clock>, encoder: &mut wgpu::CommandEncoder) {
    let (mut offset, mut number) = (0, 0);
    for command in recording.commands() {
        if let Command::Dispatch { stage, jobs, groups, .. } = command {
            let timestamp_writes = clock.map(|clock| clock.writes(number));
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some(stage.name()), timestamp_writes });
            pass.set_pipeline(gpu.pipeline(*stage));
            pass.set_bind_group(0, group, &[offset]);
            pass.dispatch_workgroups(*groups, *jobs, 1);
            offset += PARAMS_STRIDE as u32;
            number += 1;
        }
    }
}

fn read(gpu: &Gpu, buffer: &wgpu::Buffer, bytes: u64, submission: wgpu::SubmissionIndex) -> Result<Vec<u32>, GpuError> {
    let (sender, receiver) = mpsc::channel();
    if bytes > 0 {
        buffer.map_async(wgpu::MapMode::Read, 0..bytes, move |result| drop(sender.send(result)));
    }
    let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(gpu.timeout) };
    let waited = gpu.device.poll(wait);
    gpu.trouble.check()?;
    match waited {
        Ok(_) => {}
        Err(wgpu::PollError::Timeout) => {
            return Err(GpuError::Timeout { what: "a batch on the graphics device", seconds: gpu.timeout.as_secs_f32() });
        }
        Err(error) => return Err(GpuError::Refused(error.to_string())),
    }
    if bytes == 0 {
        return Ok(Vec::new());
    }
    // The callback runs inside a poll, perhaps another thread's that saw this submission end first, so it may be a moment away. If the driver
    // dropped it unheard the channel is closed, and nothing here can block longer than the limit.
    match receiver.recv_timeout(gpu.timeout) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(GpuError::Lost(error.to_string())),
        Err(_) => return Err(GpuError::Lost("the download never came".into())),
    }
    let words = {
        let view = buffer.get_mapped_range(0..bytes).map_err(|error| GpuError::Refused(error.to_string()))?;
        bytemuck::pod_collect_to_vec(&view)
    };
    buffer.unmap();
    Ok(words)
}
