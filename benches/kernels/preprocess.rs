//! RGB pixels to a model's tensor, on the calling thread.

use std::hint::black_box;

use nightlight::domain::frame::Frame;
use nightlight::domain::preprocess::PreprocessSpec;
use nightlight::domain::tensor::TensorData;
use nightlight::engines::preprocess::preprocess_cpu;
use serde::Deserialize;
use serde_json::json;

use super::{Answered, timed};

#[derive(Deserialize)]
pub(super) struct Request {
    /// Tight RGB bytes.
    file: std::path::PathBuf,
    width: u32,
    height: u32,
    /// A manifest's `[preprocess]`.
    spec: PreprocessSpec,
    /// Where the tensor's elements go, little endian.
    out: std::path::PathBuf,
    rounds: usize,
}

pub(super) fn answer(request: Request) -> Answered {
    request.spec.check()?;
    let frame = Frame::new(request.width, request.height, std::fs::read(&request.file)?)?;
    let (tensor, seconds) = timed(request.rounds, || preprocess_cpu(&request.spec, black_box(&frame)));
    let tensor = tensor?;
    let bytes: Vec<u8> = match tensor.data() {
        TensorData::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        TensorData::F16(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    };
    std::fs::write(&request.out, bytes)?;
    Ok(json!({ "seconds": seconds, "answer": { "shape": tensor.shape(), "dtype": tensor.dtype().as_str() } }))
}
