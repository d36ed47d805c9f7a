//! Each stage of preprocessing against the twin of its name.

use std::sync::Arc;

use nightlight::domain::frame::Frame;
use nightlight::domain::preprocess::{Filter, Layout, Plan, PreprocessSpec, Resize, Rounding, Size};
use nightlight::engines::gpu::Recording;
use nightlight::engines::preprocess::{self, StageSpans, plain};

use super::preprocess::{STEPS, close, plan, tolerance};
use super::{device, gpu, open_nsfw, planar, same_bits, stages::frames};

/// What the device's passes left of a picture, each whole in the twins' extents where a crop left it, and the twins' own.
struct Passes {
    spans: StageSpans,
    plan: Plan,
    /// Rows, columns.
    device: [Vec<f32>; 2],
    twins: [(Vec<f32>, usize); 2],
    tensor: Vec<f32>,
}

/// Bytes of pixels that the device holds as words.
fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()[..3].to_vec()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.iter().map(|byte| f32::from(*byte)).collect()
}

fn passes(frame: &Arc<Frame>, spec: &PreprocessSpec) -> Passes {
    let mut recording = Recording::new(gpu().limits());
    let image = recording.upload(frame).unwrap();
    let pending = preprocess::record(&mut recording, spec, &[image]).unwrap();
    let spans = pending.stages[0];
    let downloads = [spans.resize_rows, spans.resize_columns].map(|span| recording.download(span));
    let finished = gpu().run(&recording).unwrap();
    let plan = plan(spec, frame);
    let (from, to, filter) = (plan.from, plan.resized, spec.filter);
    let (tall, narrow) = (from.width as usize, to.width as usize);
    let beside = Size { width: to.width, height: from.height };
    let (device, twins) = match spec.rounding {
        Rounding::PillowU8 => {
            let pixels = frame.pixels();
            let [rows, columns] = if spans.vertical_first {
                let columns = plain::preprocess_resize_columns(pixels, from, filter, to.height);
                [plain::preprocess_resize_rows(&columns, from.width, filter, to.width), columns]
            } else {
                let rows = plain::preprocess_resize_rows(pixels, from.width, filter, to.width);
                let columns = plain::preprocess_resize_columns(&rows, beside, filter, to.height);
                [rows, columns]
            };
            (downloads.map(|download| floats(&bytes(finished.words(download)))), [rows, columns].map(|twin| floats(&twin)))
        }
        Rounding::Float => {
            let pixels = floats(frame.pixels());
            let [rows, columns] = if spans.vertical_first {
                let columns = plain::preprocess_resize_columns_float(&pixels, from, filter, to.height);
                [plain::preprocess_resize_rows_float(&columns, from.width, filter, to.width), columns]
            } else {
                let rows = plain::preprocess_resize_rows_float(&pixels, from.width, filter, to.width);
                let columns = plain::preprocess_resize_columns_float(&rows, beside, filter, to.height);
                [rows, columns]
            };
            (downloads.map(|download| finished.floats(download).to_vec()), [rows, columns])
        }
    };
    let [rows, columns] = twins;
    let twins = [(rows, narrow), (columns, if spans.vertical_first { tall } else { narrow })];
    let tensor = preprocess::read(&finished, &pending).remove(0).unwrap().to_floats();
    Passes { spans, plan, device, twins, tensor }
}

/// The window of `whole` (`stride` pixels a row) from `(left, top)` on, as wide as given and as high as `part` is long, must be `part`.
fn same_window(
    (whole, stride): &(Vec<f32>, usize),
    (left, top): (usize, usize),
    width: usize,
    part: &[f32],
    tolerance: f32,
) -> Result<(), String> {
    assert!(!part.is_empty());
    let mut rows = part.chunks_exact(3 * width).enumerate();
    rows.try_for_each(|(row, part)| close(&format!("row {row}"), &whole[3 * ((top + row) * stride + left)..][..3 * width], part, tolerance))
}

/// The specs whose stages are looked at: a crop, a letterbox and a free size, with each filter.
fn specs(rounding: Rounding) -> [PreprocessSpec; 4] {
    let spec = PreprocessSpec { rounding, ..planar() };
    let free = PreprocessSpec { resize: Resize::ShortestSide { side: 19 }, crop: None, filter: Filter::Bicubic, ..spec.clone() };
    let boxed = Resize::Letterbox { width: 77, height: 60, fill: [114, 3, 255] };
    let boxed = PreprocessSpec { resize: boxed, filter: Filter::Lanczos, layout: Layout::Nhwc, ..free.clone() };
    [spec, free, boxed, PreprocessSpec { rounding, ..open_nsfw() }]
}

fn rows_agree(rounding: Rounding, tolerance: f32) {
    let mut orders = [0; 2];
    for (frame, spec) in frames().flat_map(|frame| specs(rounding).map(|spec| (frame, spec))) {
        let Passes { spans, plan, device, twins, .. } = passes(frame, &spec);
        let top = if spans.vertical_first { plan.skip[1] as usize } else { spans.first };
        let same = same_window(&twins[0], (plan.skip[0] as usize, top), plan.kept.width as usize, &device[0], tolerance);
        same.unwrap_or_else(|wrong| panic!("{plan:?}: {wrong}"));
        orders[usize::from(spans.vertical_first)] += 1;
    }
    assert!(orders.iter().all(|pictures| *pictures > 0), "both orders of passes should occur: {orders:?}");
}

fn columns_agree(rounding: Rounding, tolerance: f32) {
    for (frame, spec) in frames().flat_map(|frame| specs(rounding).map(|spec| (frame, spec))) {
        let Passes { spans, plan, device, twins, .. } = passes(frame, &spec);
        let (left, width) = if spans.vertical_first {
            (spans.first, device[1].len() / 3 / plan.kept.height as usize)
        } else {
            (plan.skip[0] as usize, plan.kept.width as usize)
        };
        let same = same_window(&twins[1], (left, plan.skip[1] as usize), width, &device[1], tolerance);
        same.unwrap_or_else(|wrong| panic!("{plan:?}: {wrong}"));
    }
}

/// What the device's last pass left, where the twin finds it: the twin crops, and the device's pixels are cropped already.
fn resized(passes: &Passes) -> Vec<f32> {
    let Plan { resized, skip, kept, .. } = passes.plan;
    let mut whole = vec![0.0; 3 * resized.pixels() as usize];
    let done = &passes.device[if passes.spans.vertical_first { 0 } else { 1 }];
    for (row, pixels) in done.chunks_exact(3 * kept.width as usize).enumerate() {
        let at = 3 * ((row + skip[1] as usize) * resized.width as usize + skip[0] as usize);
        whole[at..][..pixels.len()].copy_from_slice(pixels);
    }
    whole
}

#[test]
fn preprocess_resize_rows() {
    if device().is_none() {
        return;
    }
    if device().is_none() {
        return;
    }
    rows_agree(Rounding::PillowU8, 0.0);
}

#[test]
fn preprocess_resize_columns() {
    if device().is_none() {
        return;
    }
    if device().is_none() {
        return;
    }
    columns_agree(Rounding::PillowU8, 0.0);
}

#[test]
fn preprocess_normalize() {
    if device().is_none() {
        return;
    }
    if device().is_none() {
        return;
    }
    for (frame, spec) in frames().flat_map(|frame| specs(Rounding::PillowU8).map(|spec| (frame, spec))) {
        let passes = passes(frame, &spec);
        let pixels: Vec<u8> = resized(&passes).iter().map(|value| *value as u8).collect();
        same_bits("normalised", &plain::preprocess_normalize(&spec, &passes.plan, &pixels), &passes.tensor).unwrap();
    }
}

#[test]
fn preprocess_resize_rows_float() {
    if device().is_none() {
        return;
    }
    if device().is_none() {
        return;
    }
    rows_agree(Rounding::Float, STEPS);
}

#[test]
fn preprocess_resize_columns_float() {
    if device().is_none() {
        return;
    }
    if device().is_none() {
        return;
    }
    columns_agree(Rounding::Float, STEPS);
}

#[test]
fn preprocess_normalize_float() {
    if device().is_none() {
        return;
    }
    if device().is_none() {
        return;
    }
    for (frame, spec) in frames().flat_map(|frame| specs(Rounding::Float).map(|spec| (frame, spec))) {
        let passes = passes(frame, &spec);
        let expected = plain::preprocess_normalize_float(&spec, &passes.plan, &resized(&passes));
        close("normalised", &expected, &passes.tensor, tolerance(&spec) as f32).unwrap();
    }
}
