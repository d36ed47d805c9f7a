//! Many pictures through decoder, buffer pool and pixel processor: whether memory stays flat.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use nightlight::domain::frame::BufferPool;
use nightlight::domain::preprocess::PreprocessSpec;
use nightlight::engines::gpu::GpuOptions;
use nightlight::engines::media::{Decoder, Limits};
use nightlight::services::analysis::pixels::{PixelProcessor, Wanted};
use serde::Deserialize;
use serde_json::json;

use super::Answered;

#[derive(Deserialize)]
pub(super) struct Request {
    /// Picture files, taken in turn.
    folder: std::path::PathBuf,
    /// How many pictures in all.
    images: usize,
    /// Pictures that go through the processor together.
    batch: usize,
    threads: usize,
    /// `gpu` or `cpu`.
    backend: String,
}

/// Resident memory of this process in bytes, as the kernel counts it.
fn resident_bytes() -> std::io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().map_err(std::io::Error::other)?;
    Ok(kib << 10)
}

pub(super) fn answer(request: Request) -> Answered {
    let mut files: Vec<_> = std::fs::read_dir(&request.folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    let files: Vec<Vec<u8>> = files.iter().map(std::fs::read).collect::<std::io::Result<_>>()?;
    let limits = Limits { max_pixels: 100_000_000, max_side: 20_000, max_bytes: 64 << 20 };
    let decoder = Decoder::new(limits, BufferPool::new(256 << 20));
    let files: Vec<Vec<u8>> = files.into_iter().filter(|bytes| decoder.decode(bytes).is_ok()).collect();
    let wanted = if request.backend == "gpu" { Wanted::Gpu } else { Wanted::Cpu };
    let (processor, _) = PixelProcessor::open(wanted, GpuOptions::default())?;
    let specs = [PreprocessSpec::open_nsfw()];
    let (next, memory) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let batches = request.images.div_ceil(request.batch);
    let started = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..request.threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= batches {
                        return;
                    }
                    let pick = |number: usize| &files[(at * request.batch + number) % files.len()];
                    let frames: Vec<_> = (0..request.batch)
                        .filter_map(|number| decoder.decode(pick(number)).ok())
                        .map(|(_, frame)| Arc::new(frame))
                        .collect();
                    drop(processor.look(&frames, &specs));
                    // Ten readings on the way.
                    if at % batches.div_ceil(10) == 0 {
                        let bytes = resident_bytes().unwrap_or_default();
                        memory.lock().expect("no thread panics with it").push((at * request.batch, bytes));
                    }
                }
            });
        }
    });
    let mut memory = memory.into_inner().expect("no thread panics with it");
    memory.sort_unstable();
    memory.push((request.images, resident_bytes()?));
    Ok(
        json!({ "images": request.images, "seconds": started.elapsed().as_secs_f64(), "resident_bytes": memory, "trouble": processor.trouble() }),
    )
}
