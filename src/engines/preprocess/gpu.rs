//! Preprocessing as stages of a recording.

use std::collections::HashMap;

use super::normalize;
use super::weights::{Axis, Weights, vertical_first};
use crate::domain::preprocess::{Channels, Layout, OutputTooLarge, Plan, PreprocessSpec, Rounding, Size};
use crate::domain::tensor::{DType, Tensor, TensorData};
use crate::engines::gpu::{Cost, Download, Finished, GpuError, JOB_WORDS, Job, Recording, ResidentImage, Span, Stage};

/// Tensors that a recording will bring back, one per image.
#[derive(Clone, Debug)]
pub struct PendingTensors {
    /// Shape of each image's tensor.
    shapes: Vec<Result<[usize; 4], OutputTooLarge>>,
    /// All tensors, one behind the other.
    download: Download,
    dtype: DType,
    /// Where each image's intermediates lie, for tests; none for an image whose output would be too large.
    pub stages: Vec<StageSpans>,
}

/// What the passes of one image wrote: with `pillow-u8` one word per pixel (R in the lowest byte, then G, B), else three floats.
#[derive(Clone, Copy, Debug)]
pub struct StageSpans {
    /// Whether the columns pass came first.
    pub vertical_first: bool,
    /// The first source row (or column, if the columns pass came first) in what the first pass wrote.
    pub first: usize,
    /// `[rows][kept width]`.
    pub resize_rows: Span,
    /// `[kept height][columns]`.
    pub resize_columns: Span,
}

/// What an image of this size needs beside its pixels; nothing if its output would be too large.
pub fn cost(spec: &PreprocessSpec, width: u32, height: u32) -> Cost {
    let Ok(plan) = spec.plan(Size { width, height }) else { return Cost::default() };
    let (across, down) = (Axis::across(spec, &plan), Axis::down(spec, &plan));
    let between = if vertical_first(spec.rounding, &plan) {
        u64::from(width) * u64::from(plan.kept.height)
    } else {
        u64::from(plan.kept.width) * u64::from(height)
    };
    Cost {
        pixels: 0,
        // Three dispatches' jobs, both weight tables, and the values, which a batch shares but may have to itself.
        tables: 3 * JOB_WORDS as u64 + across.words() + down.words() + values(spec).len() as u64,
        // What the first pass leaves, resized pixels, and three floats for each of the output's.
        work: (between + plan.kept.pixels()) * Stages::of(spec.rounding).pixel_words + 3 * plan.output.pixels(),
    }
}

/// The shaders of a rounding, and the words of a pixel between them.
struct Stages {
    rows: Stage,
    columns: Stage,
    normalize: Stage,
    pixel_words: u64,
}

impl Stages {
    fn of(rounding: Rounding) -> Self {
        match rounding {
            Rounding::PillowU8 => Self {
                rows: Stage::PreprocessResizeRows,
                columns: Stage::PreprocessResizeColumns,
                normalize: Stage::PreprocessNormalize,
                pixel_words: 1,
            },
            Rounding::Float => Self {
                rows: Stage::PreprocessResizeRowsFloat,
                columns: Stage::PreprocessResizeColumnsFloat,
                normalize: Stage::PreprocessNormalizeFloat,
                pixel_words: 3,
            },
        }
    }
}

/// What the last stage reads: a table of values for bytes, the constants for floats.
fn values(spec: &PreprocessSpec) -> Vec<u32> {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
    match spec.rounding {
        Rounding::PillowU8 => bits(normalize::table(spec).as_flattened()),
        Rounding::Float => bits(&[&[spec.scale], &spec.mean[..], &spec.std[..]].concat()),
    }
}

/// Jobs of one pass, and the invocations that the largest of them needs.
#[derive(Default)]
struct Pass {
    jobs: Vec<Job>,
    items: u64,
}

impl Pass {
    fn add(&mut self, job: &[u32], items: u64) {
        let mut padded: Job = [0; JOB_WORDS];
        padded[..job.len()].copy_from_slice(job);
        self.jobs.push(padded);
        self.items = self.items.max(items);
    }
}

/// Weight tables of a recording; pictures of one size share them.
struct Tables {
    rounding: Rounding,
    known: HashMap<Axis, Table>,
}

/// Where a table lies, and the first source pixel it reads and how many from there on.
#[derive(Clone, Copy)]
struct Table {
    word: u32,
    first: u32,
    count: u32,
}

impl Tables {
    fn add(&mut self, recording: &mut Recording, axis: Axis) -> Result<Table, GpuError> {
        if let Some(found) = self.known.get(&axis) {
            return Ok(*found);
        }
        let (words, (first, end)) = match self.rounding {
            Rounding::PillowU8 => {
                let weights = Weights::<i32>::new(axis);
                (weights.to_words(), weights.reach())
            }
            Rounding::Float => {
                let weights = Weights::<f32>::new(axis);
                (weights.to_words(), weights.reach())
            }
        };
        let table = Table { word: recording.table(&words)?, first: first as u32, count: (end - first) as u32 };
        self.known.insert(axis, table);
        Ok(table)
    }
}

/// Where a pass reads: the uploaded pixels, or what the other pass wrote.
const FROM_IMAGE: u32 = 0;
const FROM_WORK: u32 = 1;

/// Appends the three stages for each image, whatever its size; [`read`] gives a tensor for each.
///
/// The spec must have passed [`PreprocessSpec::check`].
///
/// # Errors
/// [`GpuError::DoesNotFit`].
pub fn record(recording: &mut Recording, spec: &PreprocessSpec, images: &[ResidentImage]) -> Result<PendingTensors, GpuError> {
    let shaders = Stages::of(spec.rounding);
    let plans: Vec<_> = images.iter().map(|image| spec.plan(Size { width: image.width, height: image.height })).collect();
    let values = recording.table(&values(spec))?;
    let tensors = recording.work(plans.iter().flatten().map(|plan| 3 * plan.output.pixels()).sum())?;
    let mut tables = Tables { rounding: spec.rounding, known: HashMap::new() };
    // Rows then columns for most pictures, columns then rows for some.
    let [mut rows_first, mut columns_second, mut columns_first, mut rows_second, mut normalize] = [(); 5].map(|()| Pass::default());
    let mut stages = Vec::with_capacity(images.len());
    let mut to = tensors.first;
    for (image, plan) in images.iter().zip(&plans) {
        let Ok(plan) = plan else { continue };
        let across = tables.add(recording, Axis::across(spec, plan))?;
        let down = tables.add(recording, Axis::down(spec, plan))?;
        let Size { width, height } = plan.kept;
        let vertical_first = vertical_first(spec.rounding, plan);
        let between = if vertical_first { u64::from(across.count) * u64::from(height) } else { u64::from(down.count) * u64::from(width) };
        let first = recording.work(between * shaders.pixel_words)?;
        let second = recording.work(plan.kept.pixels() * shaders.pixel_words)?;
        // Fields: source, its first word, its stride, table, outputs, lines, offset, destination. An offset may be negative: it wraps.
        if vertical_first {
            columns_first.add(&[FROM_IMAGE, image.word, image.width, down.word, height, across.count, across.first, first.first], between);
            let offset = across.first.wrapping_neg();
            rows_second.add(&[FROM_WORK, first.first, across.count, across.word, width, height, offset, second.first], plan.kept.pixels());
            stages.push(StageSpans { vertical_first, first: across.first as usize, resize_rows: second, resize_columns: first });
        } else {
            let offset = down.first * image.width;
            rows_first.add(&[FROM_IMAGE, image.word, image.width, across.word, width, down.count, offset, first.first], between);
            let offset = (down.first * width).wrapping_neg();
            columns_second.add(&[FROM_WORK, first.first, width, down.word, height, width, offset, second.first], plan.kept.pixels());
            stages.push(StageSpans { vertical_first, first: down.first as usize, resize_rows: first, resize_columns: second });
        }
        normalize.add(&canvas(spec, plan, second.first, to, values), plan.output.pixels());
        to += 3 * plan.output.pixels() as u32; // within `tensors`
    }
    for (stage, pass) in [
        (shaders.rows, rows_first),
        (shaders.columns, columns_first),
        (shaders.columns, columns_second),
        (shaders.rows, rows_second),
        (shaders.normalize, normalize),
    ] {
        recording.dispatch(stage, &pass.jobs, pass.items)?;
    }
    let shape = |plan: Plan| {
        let [a, b, c] = spec.layout.item_shape(plan.output);
        [1, a, b, c]
    };
    let shapes = plans.into_iter().map(|plan| plan.map(shape)).collect();
    Ok(PendingTensors { shapes, download: recording.download(tensors), dtype: spec.dtype, stages })
}

/// The last stage's job: source, destination, values, output's extents, picture's extents and place, fill, planar, BGR.
fn canvas(spec: &PreprocessSpec, plan: &Plan, source: u32, to: u32, values: u32) -> [u32; 12] {
    let [red, green, blue] = normalize::fill(spec);
    let fill = u32::from_le_bytes([red, green, blue, 0]);
    let (planar, bgr) = (u32::from(spec.layout == Layout::Nchw), u32::from(spec.channels == Channels::Bgr));
    let (output, kept, [left, top]) = (plan.output, plan.kept, plan.place);
    [source, to, values, output.width, output.height, kept.width, kept.height, left, top, fill, planar, bgr]
}

/// The tensor `[1, …]` of each image, in their order, once the recording has run.
pub fn read(finished: &Finished, pending: &PendingTensors) -> Vec<Result<Tensor, OutputTooLarge>> {
    let mut floats = finished.floats(pending.download);
    let mut next = |shape: [usize; 4]| {
        let item = floats.split_off(..shape.iter().product()).unwrap_or_default();
        Tensor::new(shape.to_vec(), TensorData::from_floats(item.to_vec(), pending.dtype))
    };
    pending.shapes.iter().map(|shape| shape.clone().map(&mut next)).collect()
}
