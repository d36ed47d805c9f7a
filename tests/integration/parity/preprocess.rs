//! Preprocessing: Pillow, the plain twins, the processor and the shaders say the same.
//!
//! `fixtures/preprocess/cases.jsonl` has what Pillow and numpy make of the synthetic pictures with every kind of spec (`make.py` there).

use std::sync::{Arc, OnceLock};

use nightlight::domain::frame::Frame;
use nightlight::domain::preprocess::{Filter, Plan, PreprocessSpec, Resize, Rounding, Size};
use nightlight::domain::tensor::{DType, Tensor, TensorData};
use nightlight::engines::gpu::Recording;
use nightlight::engines::preprocess::{self, plain, preprocess_cpu};
use serde::Deserialize;

use super::pictures::{self, sha256};
use super::{check, compose, device, gpu, open_nsfw, planar, same_bits, stages::frames};

/// Part of a pixel's step (of 0..=255) that `float` tensors may be apart. The issue asks for 1/255; this is half of it even if that is meant
/// in such steps.
pub const STEPS: f32 = 0.002;

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

pub fn plan(spec: &PreprocessSpec, frame: &Frame) -> Plan {
    spec.plan(Size { width: frame.width(), height: frame.height() }).unwrap()
}

fn little_endian(tensor: &Tensor) -> Vec<u8> {
    match tensor.data() {
        TensorData::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        TensorData::F16(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
}

/// What an element may differ by: [`STEPS`], and for halves half of their last digit (11 bits; elements here are under 4).
pub fn tolerance(spec: &PreprocessSpec) -> f64 {
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

pub fn close(what: &str, expected: &[f32], got: &[f32], tolerance: f32) -> Result<(), String> {
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
