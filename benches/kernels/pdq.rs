//! All eight PDQ hashes from RGB pixels, on the calling thread.

use std::hint::black_box;

use nightlight::domain::frame::Frame;
use nightlight::engines::hashing;
use serde::Deserialize;
use serde_json::json;

use super::{Answered, timed};

#[derive(Deserialize)]
pub(super) struct Request {
    /// Tight RGB bytes.
    file: std::path::PathBuf,
    width: u32,
    height: u32,
    rounds: usize,
}

pub(super) fn answer(request: Request) -> Answered {
    let frame = Frame::new(request.width, request.height, std::fs::read(&request.file)?)?;
    let (hash, seconds) = timed(request.rounds, || hashing::pdq_cpu(black_box(&frame)));
    let hash = hash?;
    Ok(json!({ "seconds": seconds, "answer": { "pdq": hash.original(), "quality": hash.quality.get() } }))
}
