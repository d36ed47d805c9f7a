//! The lane: buffers that are kept from recording to recording, and the execution of one.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::GpuError;
use super::device::Gpu;
use super::recording::{Command, Download, Recording};

/// What came back.
#[derive(Debug)]
pub struct Finished {
    words: Vec<u32>,
    /// From the first upload to the last byte back: transfers and stages together.
    pub elapsed: Duration,
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
}

/// Buffers by use. They only grow, in powers of two, up to what [`Limits`](super::Limits) allows.
#[derive(Debug, Default)]
pub(super) struct Lane {
    buffers: Option<Buffers>,
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
        let buffers = self.buffers(gpu, recording);
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        write(gpu, buffers, recording);
        dispatch(gpu, buffers, recording, &mut encoder);
        let mut to = 0;
        for command in recording.commands() {
            if let Command::Download(span) = command {
                let bytes = u64::from(span.words) * WORD;
                encoder.copy_buffer_to_buffer(&buffers.work, u64::from(span.first) * WORD, &buffers.download, to, bytes);
                to += bytes;
            }
        }
        let submission = gpu.queue.submit([encoder.finish()]);
        let words = read(gpu, &buffers.download, to, submission)?;
        Ok(Finished { words, elapsed: started.elapsed() })
    }

    /// The buffers, large enough for the recording.
    fn buffers(&mut self, gpu: &Gpu, recording: &Recording) -> &Buffers {
        let dispatches = recording.commands().iter().filter(|command| matches!(command, Command::Dispatch { .. })).count();
        // A pixel may be read as two words, also the last one; behind the binding's end the device reads something harmless.
        let needed = [
            (dispatches * PARAMS_STRIDE) as u64,
            (u64::from(recording.pixel_words()) + 1).min(gpu.limits().binding_words.into()) * WORD,
            recording.tables().len() as u64 * WORD,
            u64::from(recording.work_words()) * WORD,
            recording.download_words() as u64 * WORD,
        ];
        let kept = self.buffers.take();
        let have = kept.as_ref().map_or([0; 5], |kept| kept.all().map(wgpu::Buffer::size));
        let enough = kept.filter(|_| have.iter().zip(needed).all(|(have, needed)| *have >= needed));
        self.buffers.insert(match enough {
            Some(kept) => kept,
            None => Buffers::new(gpu, std::array::from_fn(|at| have[at].max(needed[at]))),
        })
    }
}

impl Buffers {
    fn new(gpu: &Gpu, bytes: [u64; 5]) -> Self {
        use wgpu::BufferUsages as Use;
        const LEAST: u64 = 64 << 10; // small batches then share one size
        let most = u64::from(gpu.limits().binding_words) * WORD;
        let buffer = |label, bytes: u64, usage| {
            // Rounding up must not pass the binding's limit, which the need itself keeps.
            let size = bytes.next_power_of_two().max(LEAST).min(most).max(bytes);
            gpu.device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
        };
        let params = buffer("params", bytes[0], Use::UNIFORM | Use::COPY_DST);
        let pixels = buffer("pixels", bytes[1], Use::STORAGE | Use::COPY_DST);
        let tables = buffer("tables", bytes[2], Use::STORAGE | Use::COPY_DST);
        let work = buffer("work", bytes[3], Use::STORAGE | Use::COPY_SRC);
        let download = buffer("download", bytes[4], Use::MAP_READ | Use::COPY_DST);
        let params_binding = wgpu::BufferBinding { buffer: &params, offset: 0, size: wgpu::BufferSize::new(PARAMS_BYTES) };
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("stages"),
            layout: &gpu.layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(params_binding) },
                wgpu::BindGroupEntry { binding: 1, resource: pixels.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 2, resource: tables.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 3, resource: work.as_entire_binding() },
            ],
        });
        Self { params, pixels, tables, work, download, group }
    }

    fn all(&self) -> [&wgpu::Buffer; 5] {
        [&self.params, &self.pixels, &self.tables, &self.work, &self.download]
    }
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

/// All dispatches in one pass; wgpu puts barriers between those that use the work buffer.
fn dispatch(gpu: &Gpu, buffers: &Buffers, recording: &Recording, encoder: &mut wgpu::CommandEncoder) {
    let mut pass = encoder.begin_compute_pass(&Default::default());
    let mut offset = 0;
    for command in recording.commands() {
        if let Command::Dispatch { stage, jobs, groups, .. } = command {
            pass.set_pipeline(gpu.pipeline(*stage));
            pass.set_bind_group(0, &buffers.group, &[offset]);
            pass.dispatch_workgroups(*groups, *jobs, 1);
            offset += PARAMS_STRIDE as u32;
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
            return Err(GpuError::Timeout { seconds: gpu.timeout.as_secs() });
        }
        Err(error) => return Err(GpuError::Refused(error.to_string())),
    }
    if bytes == 0 {
        return Ok(Vec::new());
    }
    // The callback ran inside `poll`; if the driver dropped it unheard, the channel is closed, and no call here can block.
    match receiver.try_recv() {
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
