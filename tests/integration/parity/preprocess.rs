//! Preprocessing: Pillow, the plain twins, the processor and the shaders say the same.
//!
//! `fixtures/preprocess/cases.jsonl` has what Pillow and numpy make of the synthetic pictures with every kind of spec (`make.py` there).

use std::sync::{Arc, OnceLock};

use nightlight::domain::frame::Frame;
use nightlight::domain::preprocess::{Filter, Layout, Plan, PreprocessSpec, Resize, Rounding, Size};
use nightlight::domain::tensor::{DType, Tensor, TensorData};
use nightlight::engines::gpu::Recording;
use nightlight::engines::preprocess::{self, StageSpans, plain, preprocess_cpu};
use serde::Deserialize;

use super::pictures::{self, sha256};
use super::{check, compose, device, gpu, open_nsfw, planar, same_bits, stages::frames};

/// Part of a pixel's step (of 0..=255) that `float` tensors may be apart. The issue asks for 1/255; this is half of it even if that is meant
/// in such steps.
const STEPS: f32 = 0.002;

#[derive(Deserialize)]
struct Line {
    seed: u32,
    width: u32,
    height: u32,
    spec: PreprocessSpec,
    shape: Vec<usize>,
    sha256: Option<String>,
    #[serde(default)]
    samples: Vec<(usize, f64)>,
    #[serde(default)]
    sums: Vec<f64>,
}

struct Case {
    name: String,
    frame: Arc<Frame>,
    line: Line,
}

fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let lines = include_str!("../fixtures/preprocess/cases.jsonl").lines();
        let case = |text| {
            let line: Line = serde_json::from_str(text).unwrap();
            line.spec.check().unwrap();
            let frame = Arc::new(Frame::new(line.width, line.height, pictures::picture(line.width, line.height, line.seed)).unwrap());
            Case { name: format!("{}x{} {:?}", line.width, line.height, line.spec), frame, line }
        };
        lines.map(case).collect()
    })
}

fn plan(spec: &PreprocessSpec, frame: &Frame) -> Plan {
    spec.plan(Size { width: frame.width(), height: frame.height() }).unwrap()
}

fn little_endian(tensor: &Tensor) -> Vec<u8> {
    match tensor.data() {
        TensorData::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        TensorData::F16(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
}

/// What an element may differ by: [`STEPS`], and for halves half of their last digit (11 bits; elements here are under 4).
fn tolerance(spec: &PreprocessSpec) -> f64 {
    let least = spec.std.iter().copied().fold(f32::MAX, f32::min);
    let half = if spec.dtype == DType::F16 { 4.0 / 2048.0 } else { 0.0 };
    f64::from(STEPS * spec.scale / least + half)
}

/// Against Pillow. For a `float` case the worst sample's distance, in steps of a pixel.
fn is_pillows(line: &Line, tensor: &Tensor) -> Result<f64, String> {
    if tensor.shape() != line.shape || tensor.dtype() != line.spec.dtype {
        return Err(format!("shape {:?} expected, {:?} seen", line.shape, tensor.shape()));
    }
    if let Some(expected) = &line.sha256 {
        let seen = sha256(&little_endian(tensor));
        return if seen == *expected { Ok(0.0) } else { Err(format!("digest {expected} expected, {seen} seen")) };
    }
    let (values, tolerance) = (tensor.to_floats(), tolerance(&line.spec));
    let mut worst = 0.0f64;
    assert!(!line.samples.is_empty() && line.sums.len() == 8);
    for (at, expected) in &line.samples {
        let apart = (f64::from(values[*at]) - expected).abs();
        if apart.is_nan() || apart > tolerance {
            return Err(format!("element {at}: {expected} expected, {} seen", values[*at]));
        }
        worst = worst.max(apart);
    }
    for (first, expected) in line.sums.iter().enumerate() {
        let part: Vec<f64> = values.iter().skip(first).step_by(8).map(|value| f64::from(*value)).collect();
        let sum: f64 = part.iter().sum();
        if (sum - expected).abs() > tolerance * part.len() as f64 + expected.abs() * 1e-8 {
            return Err(format!("the elements {first} modulo 8 sum to {expected}, {sum} seen"));
        }
    }
    let least = line.spec.std.iter().copied().fold(f32::MAX, f32::min);
    Ok(if line.spec.dtype == DType::F32 { worst * f64::from(least / line.spec.scale) } else { 0.0 })
}

/// Every case through `way`, which must give what Pillow gives.
fn all_are_pillows(what: &str, way: impl Fn(&Case) -> Tensor) {
    let results: Vec<_> =
        cases().iter().map(|case| is_pillows(&case.line, &way(case)).map_err(|wrong| format!("{}: {wrong}", case.name))).collect();
    println!("{what}: worst float sample {:.6} of a pixel's step", results.iter().flatten().copied().fold(0.0, f64::max));
    check(results.into_iter().map(|result| result.map(|_| ())));
}

fn plain_tensor(spec: &PreprocessSpec, frame: &Frame) -> Tensor {
    let shape = spec.layout.item_shape(plan(spec, frame).output);
    Tensor::new([&[1], &shape[..]].concat(), TensorData::from_floats(plain::preprocess(spec, frame).unwrap(), spec.dtype))
}

/// Each case alone in a recording.
fn device_tensor(spec: &PreprocessSpec, frame: &Arc<Frame>) -> Tensor {
    compose::run(gpu(), &[Arc::clone(frame)], std::slice::from_ref(spec)).unwrap().tensors.remove(0).remove(0)
}

#[test]
fn the_plain_tensor_is_pillows() {
    all_are_pillows("plain", |case| plain_tensor(&case.line.spec, &case.frame));
}

#[test]
fn the_fast_tensor_is_pillows() {
    all_are_pillows("processor", |case| preprocess_cpu(&case.line.spec, &case.frame).unwrap());
}

#[test]
fn the_devices_tensor_is_pillows() {
    if device().is_none() {
        return;
    }
    all_are_pillows("device", |case| device_tensor(&case.line.spec, &case.frame));
}

/// The pictures of the hashes' fixture, larger and more of them, without a file of answers but the demo model's.
#[test]
fn all_ways_agree_on_the_hashes_pictures() {
    if device().is_none() {
        return;
    }
    let float = |spec| PreprocessSpec { rounding: Rounding::Float, ..spec };
    let specs = [open_nsfw(), planar(), float(open_nsfw()), float(planar())];
    let frames: Vec<_> = pictures::cases().iter().map(|case| Arc::clone(&case.frame)).collect();
    let device = compose::run(gpu(), &frames, &specs).unwrap();
    for (spec, tensors) in specs.iter().zip(&device.tensors) {
        for ((case, frame), shader) in pictures::cases().iter().zip(&frames).zip(tensors) {
            let (slow, fast) = (plain_tensor(spec, frame), preprocess_cpu(spec, frame).unwrap());
            if *spec == open_nsfw() {
                assert_eq!(pictures::sha256_of_floats(&slow.to_floats()), case.open_nsfw, "{}", case.name);
            }
            check([&fast, shader].map(|way| near(spec, &slow, way).map_err(|wrong| format!("{}: {wrong}", case.name))));
        }
    }
}

/// Equal bits with `pillow-u8`; within [`STEPS`] else.
fn near(spec: &PreprocessSpec, expected: &Tensor, got: &Tensor) -> Result<(), String> {
    assert_eq!(expected.shape(), got.shape());
    let (expected, got) = (expected.to_floats(), got.to_floats());
    match spec.rounding {
        Rounding::PillowU8 => same_bits("pillow-u8", &expected, &got),
        Rounding::Float => close("float", &expected, &got, tolerance(spec) as f32),
    }
}

fn close(what: &str, expected: &[f32], got: &[f32], tolerance: f32) -> Result<(), String> {
    assert_eq!(expected.len(), got.len());
    let apart = |at: &usize| (expected[*at] - got[*at]).abs();
    match (0..got.len()).find(|at| apart(at).is_nan() || apart(at) > tolerance) {
        None => Ok(()),
        Some(at) => Err(format!("{what}: element {at}: {} expected, {} seen", expected[at], got[at])),
    }
}

#[test]
fn pictures_and_outputs_of_all_sizes_share_a_batch() {
    if device().is_none() {
        return;
    }
    // One shape of output for each picture, from one upload with three other specs.
    let free = PreprocessSpec { resize: Resize::ShortestSide { side: 24 }, crop: None, filter: Filter::Lanczos, ..planar() };
    let boxed = PreprocessSpec { resize: Resize::Letterbox { width: 50, height: 41, fill: [9, 8, 7] }, ..free.clone() };
    let specs = [
        free.clone(),
        boxed,
        PreprocessSpec { rounding: Rounding::Float, dtype: DType::F16, filter: Filter::Bicubic, ..free },
        open_nsfw(),
    ];
    let frames: Vec<_> = frames().cloned().collect();
    let together = compose::run(gpu(), &frames, &specs).unwrap();
    assert_eq!(together.recordings, 1);
    for (spec, tensors) in specs.iter().zip(&together.tensors) {
        for (frame, tensor) in frames.iter().zip(tensors) {
            assert_eq!(*tensor, device_tensor(spec, frame), "{}x{}", frame.width(), frame.height());
        }
    }
    let shapes: std::collections::HashSet<_> = together.tensors[0].iter().map(Tensor::shape).collect();
    assert!(shapes.len() > 3, "{shapes:?}");
}

#[test]
fn a_picture_whose_output_would_be_too_large_leaves_the_others_alone() {
    if device().is_none() {
        return;
    }
    let spec = PreprocessSpec { resize: Resize::ShortestSide { side: 4096 }, crop: None, ..planar() };
    let small = PreprocessSpec { resize: Resize::ShortestSide { side: 2 }, ..spec.clone() };
    let frames = [(2, 3), (5, 5), (1, 9)]
        .map(|(width, height)| Arc::new(Frame::new(width, height, vec![7; (3 * width * height) as usize]).unwrap()));
    let mut recording = Recording::new(gpu().limits());
    let images = frames.each_ref().map(|frame| recording.upload(frame).unwrap());
    let pending = preprocess::record(&mut recording, &small, &images).unwrap();
    assert!(preprocess::read(&gpu().run(&recording).unwrap(), &pending).iter().all(Result::is_ok));

    let mut recording = Recording::new(gpu().limits());
    let images = [&frames[0], &frames[2]].map(|frame| recording.upload(frame).unwrap());
    let pending = preprocess::record(&mut recording, &spec, &images).unwrap();
    let got = preprocess::read(&gpu().run(&recording).unwrap(), &pending);
    assert!(got.iter().all(Result::is_err), "{got:?}");
    assert_eq!(got[0].as_ref().err(), preprocess_cpu(&spec, &frames[0]).as_ref().err());
    assert_eq!(preprocess::cost(&spec, 2, 3), nightlight::engines::gpu::Cost::default());
}

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
    rows_agree(Rounding::PillowU8, 0.0);
}

#[test]
fn preprocess_resize_columns() {
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
    rows_agree(Rounding::Float, STEPS);
}

#[test]
fn preprocess_resize_columns_float() {
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
    for (frame, spec) in frames().flat_map(|frame| specs(Rounding::Float).map(|spec| (frame, spec))) {
        let passes = passes(frame, &spec);
        let expected = plain::preprocess_normalize_float(&spec, &passes.plan, &resized(&passes));
        close("normalised", &expected, &passes.tensor, tolerance(&spec) as f32).unwrap();
    }
}

#[test]
fn a_wrong_tensor_is_rejected() {
    if device().is_none() {
        return;
    }
    let case = pictures::cases().iter().find(|case| case.name == "300x200").unwrap();
    let (spec, plan) = (open_nsfw(), plan(&open_nsfw(), &case.frame));
    // The passes in the other order: the same up to a rounding here and there.
    let columns = plain::preprocess_resize_columns(case.frame.pixels(), plan.from, Filter::Bilinear, 256);
    let turned = plain::preprocess_normalize(&spec, &plan, &plain::preprocess_resize_rows(&columns, 300, Filter::Bilinear, 256));
    // A crop that begins one pixel further left, which a margin of half a pixel rounded wrongly would give.
    let mut beside = plan;
    beside.skip[0] -= 1;
    let rows = plain::preprocess_resize_rows(case.frame.pixels(), 300, Filter::Bilinear, 256);
    let whole = plain::preprocess_resize_columns(&rows, Size { width: 256, height: 200 }, Filter::Bilinear, 256);
    let beside = plain::preprocess_normalize(&spec, &beside, &whole);
    for way in [preprocess_cpu(&spec, &case.frame).unwrap(), device_tensor(&spec, &case.frame)].map(|tensor| tensor.to_floats()) {
        for wrong in [&turned, &beside] {
            let error = same_bits("wrong", wrong, &way).unwrap_err();
            assert!(error.contains("differ"), "{error}");
        }
        assert!(turned.iter().zip(&way).all(|(a, b)| (a - b).abs() <= 1.0), "the wrong twin should be only subtly wrong");
    }
}

#[test]
fn a_wrong_float_tensor_is_rejected() {
    if device().is_none() {
        return;
    }
    // Rounded after all: within half a step of the right one. And a filter that overshoots, clipped.
    for case in cases().iter().filter(|case| case.line.spec.rounding == Rounding::Float && case.line.spec.dtype == DType::F32) {
        let line = &case.line;
        let (plan, right) = (plan(&line.spec, &case.frame), preprocess_cpu(&line.spec, &case.frame).unwrap());
        if plan.from == plan.resized || line.width * line.height == 1 {
            continue; // nothing is mixed: bytes stay bytes
        }
        let rounded = plain_tensor(&PreprocessSpec { rounding: Rounding::PillowU8, ..line.spec.clone() }, &case.frame);
        assert!(is_pillows(line, &rounded).is_err(), "{}", case.name);
        for way in [&right, &device_tensor(&line.spec, &case.frame)] {
            assert!(near(&line.spec, &rounded, way).is_err(), "{}", case.name);
        }
    }
}
