//! Preprocessing as stages of a recording.

use std::collections::HashMap;

use super::normalize;
use super::weights::{Weights, vertical_first};
use crate::domain::preprocess::{Channels, Layout, PreprocessSpec, Size};
use crate::domain::tensor::Tensor;
use crate::engines::gpu::{Cost, Download, Finished, GpuError, JOB_WORDS, Job, Recording, ResidentImage, Span, Stage};

/// A tensor that a recording will bring back.
#[derive(Clone, Debug)]
pub struct PendingTensor {
    shape: Vec<usize>,
    download: Download,
    /// Where each image's intermediates lie, for tests.
    pub stages: Vec<StageSpans>,
}

/// What the passes of one image wrote, one word (R in the lowest byte, then G, B) per pixel.
#[derive(Clone, Copy, Debug)]
pub struct StageSpans {
    /// Whether the columns pass came first.
    pub vertical_first: bool,
    /// The first source row (or column, if the columns pass came first) in what the first pass wrote.
    pub first: usize,
    /// `[rows][output width]`.
    pub resize_rows: Span,
    /// `[output height][columns]`.
    pub resize_columns: Span,
}

/// What an image of this size needs beside its pixels.
pub fn cost(spec: &PreprocessSpec, width: u32, height: u32) -> Cost {
    let (size, output) = (spec.resized(), spec.output());
    let pixels = u64::from(output.width) * u64::from(output.height);
    let between = if vertical_first(Size { width, height }, size) {
        u64::from(width) * u64::from(output.height)
    } else {
        u64::from(output.width) * u64::from(height)
    };
    Cost {
        pixels: 0,
        // Three dispatches' jobs, both weight tables, and the value table, which a batch shares but may have to itself.
        tables: 3 * JOB_WORDS as u64
            + Weights::words(spec.filter, width, size.width, output.width)
            + Weights::words(spec.filter, height, size.height, output.height)
            + 3 * 256,
        // What the first pass leaves, resized pixels, and three floats for each of them.
        work: between + pixels + 3 * pixels,
    }
}

/// Jobs of one pass, and the invocations that the largest of them needs.
#[derive(Default)]
struct Pass {
    jobs: Vec<Job>,
    items: u64,
}

impl Pass {
    fn add(&mut self, job: [u32; 8], items: u32) {
        let mut padded: Job = [0; JOB_WORDS];
        padded[..job.len()].copy_from_slice(&job);
        self.jobs.push(padded);
        self.items = self.items.max(items.into());
    }
}

/// Where a pass reads: the uploaded pixels, or what the other pass wrote.
const FROM_IMAGE: u32 = 0;
const FROM_WORK: u32 = 1;

/// Appends the three stages for each image; the result is one tensor, `[images, ...item_shape]`.
///
/// The spec must have passed [`PreprocessSpec::check`].
///
/// # Errors
/// [`GpuError::DoesNotFit`].
pub fn record(recording: &mut Recording, spec: &PreprocessSpec, images: &[ResidentImage]) -> Result<PendingTensor, GpuError> {
    let (size, output, (left, top)) = (spec.resized(), spec.output(), spec.crop_origin());
    let item: usize = spec.item_shape().iter().product();
    let values: Vec<u32> = normalize::table(spec).as_flattened().iter().map(|value| value.to_bits()).collect();
    let values = recording.table(&values)?;
    let tensor = recording.work((images.len() * item) as u64)?;
    // Pictures of one size share their tables.
    let mut known = HashMap::new();
    let mut axis = |recording: &mut Recording, from: u32, to: u32, skip: u32, keep: u32| {
        if let Some(found) = known.get(&(from, to, skip, keep)) {
            return Ok(*found);
        }
        let weights = Weights::new(spec.filter, from, to, skip, keep);
        let entry = (recording.table(&weights.to_words())?, weights.reach());
        known.insert((from, to, skip, keep), entry);
        Ok::<_, GpuError>(entry)
    };
    // Rows then columns for most pictures, columns then rows for some.
    let [mut rows_first, mut columns_second, mut columns_first, mut rows_second, mut normalize] = [(); 5].map(|()| Pass::default());
    let mut stages = Vec::with_capacity(images.len());
    let resized = output.width * output.height;
    for (at, image) in images.iter().enumerate() {
        let (across, (first_column, last_column)) = axis(recording, image.width, size.width, left, output.width)?;
        let (down, (first_row, last_row)) = axis(recording, image.height, size.height, top, output.height)?;
        let vertical_first = vertical_first(Size { width: image.width, height: image.height }, size);
        let (rows, columns) = ((last_row - first_row) as u32, (last_column - first_column) as u32);
        let between =
            if vertical_first { u64::from(columns) * u64::from(output.height) } else { u64::from(rows) * u64::from(output.width) };
        let between = recording.work(between)?;
        let done = recording.work(resized.into())?;
        // Fields: source, its first word, its stride, table, outputs, lines, offset, destination. An offset may be negative: it wraps.
        let (first_row, first_column) = (first_row as u32, first_column as u32);
        if vertical_first {
            let job = [FROM_IMAGE, image.word, image.width, down, output.height, columns, first_column, between.first];
            columns_first.add(job, between.words);
            let job = [FROM_WORK, between.first, columns, across, output.width, output.height, first_column.wrapping_neg(), done.first];
            rows_second.add(job, done.words);
            stages.push(StageSpans { vertical_first, first: first_column as usize, resize_rows: done, resize_columns: between });
        } else {
            let job = [FROM_IMAGE, image.word, image.width, across, output.width, rows, first_row * image.width, between.first];
            rows_first.add(job, between.words);
            let offset = (first_row * output.width).wrapping_neg();
            let job = [FROM_WORK, between.first, output.width, down, output.height, output.width, offset, done.first];
            columns_second.add(job, done.words);
            stages.push(StageSpans { vertical_first, first: first_row as usize, resize_rows: between, resize_columns: done });
        }
        let (planar, bgr) = (u32::from(spec.layout == Layout::Nchw), u32::from(spec.channels == Channels::Bgr));
        normalize.add([done.first, tensor.first + (at * item) as u32, values, resized, planar, bgr, 0, 0], resized);
    }
    for (stage, pass) in [
        (Stage::PreprocessResizeRows, rows_first),
        (Stage::PreprocessResizeColumns, columns_first),
        (Stage::PreprocessResizeColumns, columns_second),
        (Stage::PreprocessResizeRows, rows_second),
        (Stage::PreprocessNormalize, normalize),
    ] {
        recording.dispatch(stage, &pass.jobs, pass.items)?;
    }
    let shape = std::iter::once(images.len()).chain(spec.item_shape()).collect();
    Ok(PendingTensor { shape, download: recording.download(tensor), stages })
}

/// The tensor, once the recording has run.
pub fn read(finished: &Finished, pending: &PendingTensor) -> Tensor {
    Tensor::new(pending.shape.clone(), finished.floats(pending.download).to_vec())
}
