//! Hash search: all hashes of a bank within a radius of each query.
//!
//! `{"op":"hamming_bank","file":"bank.bin","threads":2,"backend":"cpu"}` reads rows of 32 bytes, indexes them with their row numbers as content ids, and keeps
//! them for `{"op":"hamming","file":"queries.bin","at_once":8,"radius":31,"threads":2,"rounds":5,"out":"found.bin"}`, which looks up `at_once` queries in
//! each call until the file ends. `seconds` are of all calls together; the answer goes to `out` as rows of three little-endian 32-bit numbers: query, content
//! id, distance.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use nightlight::domain::hash::PdqHash;
use nightlight::engines::gpu::{Gpu, GpuError, GpuOptions};
use nightlight::engines::matching::{GpuScan, Hit, PdqIndex};
use serde::Deserialize;
use serde_json::json;

use super::{Answered, timed};

/// The bank that searches look into.
static BANK: Mutex<Option<Bank>> = Mutex::new(None);

struct Bank {
    index: PdqIndex,
    device: Option<GpuScan>,
}

#[derive(Deserialize)]
pub(super) struct BankRequest {
    file: PathBuf,
    threads: usize,
    backend: String,
}

#[derive(Deserialize)]
pub(super) struct Request {
    file: PathBuf,
    at_once: usize,
    radius: u32,
    threads: usize,
    rounds: usize,
    out: PathBuf,
}

fn read(file: &PathBuf) -> std::io::Result<Vec<PdqHash>> {
    Ok(std::fs::read(file)?.as_chunks().0.iter().map(|bytes| PdqHash::from_bytes(*bytes)).collect())
}

fn pool(threads: usize) -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build()
}

pub(super) fn bank(request: BankRequest) -> Answered {
    let mut kept = BANK.lock().unwrap_or_else(PoisonError::into_inner);
    *kept = None;
    let hashes = read(&request.file)?;
    let started = Instant::now();
    let index: PdqIndex = pool(request.threads)?.install(|| (0..).zip(hashes.iter().copied()).collect());
    let seconds = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let device = match request.backend.as_str() {
        "gpu" => {
            let mut scan = GpuScan::new(Arc::new(Gpu::open(&GpuOptions::default())?));
            scan.extend(&index.iter().collect::<Vec<_>>())?;
            Some(scan)
        }
        _ => None,
    };
    let upload = started.elapsed().as_secs_f64();
    let (memory, bank) = (index.memory_bytes(), 32 * hashes.len());
    *kept = Some(Bank { index, device });
    Ok(json!({ "seconds": seconds, "upload_seconds": upload, "memory_bytes": memory, "memory_ratio": memory as f64 / bank as f64 }))
}

pub(super) fn answer(request: Request) -> Answered {
    let kept = BANK.lock().unwrap_or_else(PoisonError::into_inner);
    let bank = kept.as_ref().ok_or("ask for hamming_bank first")?;
    let queries: Vec<(PdqHash, u32)> = read(&request.file)?.into_iter().map(|hash| (hash, request.radius)).collect();
    let look = |queries: &[(PdqHash, u32)]| -> Result<Vec<Vec<Hit>>, GpuError> {
        match &bank.device {
            Some(device) => device.search_many(&bank.index, queries),
            None => Ok(bank.index.search_many(queries)),
        }
    };
    let pool = pool(request.threads)?;
    let (found, seconds) =
        pool.install(|| timed(request.rounds, || black_box(&queries).chunks(request.at_once).map(look).collect::<Result<Vec<_>, _>>()));
    let found = found?.into_iter().flatten().zip(0u32..);
    let rows: Vec<[u32; 3]> =
        found.flat_map(|(hits, query)| hits.into_iter().map(move |hit| [query, hit.content_id as u32, hit.distance])).collect();
    std::fs::write(&request.out, rows.iter().flatten().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>())?;
    Ok(json!({ "seconds": seconds, "hits": rows.len() }))
}
