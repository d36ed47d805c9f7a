//! Preprocessing as stages of a recording.

use std::collections::HashMap;

use super::normalize;
use super::weights::Weights;
use crate::domain::preprocess::{Channels, Layout, PreprocessSpec};
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

/// The intermediates of one image, one word (R in the lowest byte, then G, B) per pixel.
#[derive(Clone, Copy, Debug)]
pub struct StageSpans {
    /// `[rows][output width]`: the source rows that the crop needs, from `first_row` on.
    pub resize_rows: Span,
    pub first_row: usize,
    /// `[output height][output width]`.
    pub resize_columns: Span,
}

/// What an image of this size needs beside its pixels.
pub fn cost(spec: &PreprocessSpec, width: u32, height: u32) -> Cost {
    let (size, output) = (spec.resized(), spec.output());
    let pixels = u64::from(output.width) * u64::from(output.height);
    Cost {
        pixels: 0,
        // Three dispatches' jobs, both weight tables, and the value table, which a batch shares but may have to itself.
        tables: 3 * JOB_WORDS as u64
            + Weights::words(spec.filter, width, size.width, output.width)
            + Weights::words(spec.filter, height, size.height, output.height)
            + 3 * 256,
        // Source rows, resized pixels, and three floats for each of them.
        work: u64::from(output.width) * u64::from(height) + pixels + 3 * pixels,
    }
}

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
    let (mut jobs, mut stages, mut most_rows) = (Vec::new(), Vec::new(), 0);
    for (at, image) in images.iter().enumerate() {
        let (across, _) = axis(recording, image.width, size.width, left, output.width)?;
        let (down, (first, end)) = axis(recording, image.height, size.height, top, output.height)?;
        let resize_rows = recording.work((end - first) as u64 * u64::from(output.width))?;
        let resize_columns = recording.work(u64::from(output.width) * u64::from(output.height))?;
        most_rows = most_rows.max(resize_rows.words);
        stages.push(StageSpans { resize_rows, first_row: first, resize_columns });
        let job: Job = [
            image.word,
            image.width,
            first as u32,
            (end - first) as u32,
            across,
            down,
            resize_rows.first,
            resize_columns.first,
            tensor.first + (at * item) as u32,
            values,
            output.width,
            output.height,
            u32::from(spec.layout == Layout::Nchw),
            u32::from(spec.channels == Channels::Bgr),
            0,
            0,
        ];
        jobs.push(job);
    }
    let pixels = u64::from(output.width) * u64::from(output.height);
    recording.dispatch(Stage::PreprocessResizeRows, &jobs, most_rows.into())?;
    recording.dispatch(Stage::PreprocessResizeColumns, &jobs, pixels)?;
    recording.dispatch(Stage::PreprocessNormalize, &jobs, pixels)?;
    let shape = std::iter::once(images.len()).chain(spec.item_shape()).collect();
    Ok(PendingTensor { shape, download: recording.download(tensor), stages })
}

/// The tensor, once the recording has run.
pub fn read(finished: &Finished, pending: &PendingTensor) -> Tensor {
    Tensor::new(pending.shape.clone(), finished.floats(pending.download).to_vec())
}
