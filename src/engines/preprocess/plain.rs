//! The oracle: whole passes over whole pictures, one function a stage, named as its shader is.

use super::normalize;
use super::weights::{Axis, HALF, PRECISION, Weight, Weights, vertical_first};
use crate::domain::frame::Frame;
use crate::domain::preprocess::{Filter, Layout, OutputTooLarge, Plan, PreprocessSpec, Rounding, Size};

/// One picture's floats, in the extents of [`Layout::item_shape`], before they become the spec's dtype.
///
/// # Errors
/// The output would be too large.
pub fn preprocess(spec: &PreprocessSpec, frame: &Frame) -> Result<Vec<f32>, OutputTooLarge> {
    let plan = spec.plan(Size { width: frame.width(), height: frame.height() })?;
    let (from, to, filter) = (plan.from, plan.resized, spec.filter);
    let vertical_first = vertical_first(spec.rounding, &plan);
    Ok(match spec.rounding {
        Rounding::PillowU8 => {
            let resized = if vertical_first {
                let columns = preprocess_resize_columns(frame.pixels(), from, filter, to.height);
                preprocess_resize_rows(&columns, from.width, filter, to.width)
            } else {
                let rows = preprocess_resize_rows(frame.pixels(), from.width, filter, to.width);
                preprocess_resize_columns(&rows, Size { width: to.width, ..from }, filter, to.height)
            };
            preprocess_normalize(spec, &plan, &resized)
        }
        Rounding::Float => {
            let pixels: Vec<f32> = frame.pixels().iter().map(|value| f32::from(*value)).collect();
            let resized = if vertical_first {
                let columns = preprocess_resize_columns_float(&pixels, from, filter, to.height);
                preprocess_resize_rows_float(&columns, from.width, filter, to.width)
            } else {
                let rows = preprocess_resize_rows_float(&pixels, from.width, filter, to.width);
                preprocess_resize_columns_float(&rows, Size { width: to.width, ..from }, filter, to.height)
            };
            preprocess_normalize_float(spec, &plan, &resized)
        }
    })
}

/// The horizontal pass: `[height][width][3]` bytes to `[height][to][3]`.
pub fn preprocess_resize_rows(pixels: &[u8], width: u32, filter: Filter, to: u32) -> Vec<u8> {
    rows(pixels, width, filter, to, mixed)
}

/// The vertical pass: `[height][width][3]` bytes to `[to][width][3]`.
pub fn preprocess_resize_columns(pixels: &[u8], from: Size, filter: Filter, to: u32) -> Vec<u8> {
    columns(pixels, from, filter, to, mixed)
}

/// The horizontal pass, neither rounded nor clipped: `[height][width][3]` to `[height][to][3]`.
pub fn preprocess_resize_rows_float(pixels: &[f32], width: u32, filter: Filter, to: u32) -> Vec<f32> {
    rows(pixels, width, filter, to, mixed_float)
}

/// The vertical pass, neither rounded nor clipped: `[height][width][3]` to `[to][width][3]`.
pub fn preprocess_resize_columns_float(pixels: &[f32], from: Size, filter: Filter, to: u32) -> Vec<f32> {
    columns(pixels, from, filter, to, mixed_float)
}

/// Centre crop, channel order, `(pixel * scale - mean) / std`, layout, and the canvas of a letterbox.
pub fn preprocess_normalize(spec: &PreprocessSpec, plan: &Plan, resized: &[u8]) -> Vec<f32> {
    normalized(spec, plan, |at| f32::from(resized[at]))
}

/// The same of pixels that are floats.
pub fn preprocess_normalize_float(spec: &PreprocessSpec, plan: &Plan, resized: &[f32]) -> Vec<f32> {
    normalized(spec, plan, |at| resized[at])
}

/// A weighted mean, rounded and clipped to 8 bits.
fn mixed(terms: &mut dyn Iterator<Item = (u8, i32)>) -> u8 {
    let sum = terms.fold(HALF, |sum, (pixel, weight)| sum + i32::from(pixel) * weight);
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// A weighted mean, summed in double precision.
fn mixed_float(terms: &mut dyn Iterator<Item = (f32, f32)>) -> f32 {
    terms.map(|(pixel, weight)| f64::from(pixel) * f64::from(weight)).sum::<f64>() as f32
}

fn rows<P: Copy, W: Weight>(
    pixels: &[P],
    width: u32,
    filter: Filter,
    to: u32,
    mixed: impl Fn(&mut dyn Iterator<Item = (P, W)>) -> P,
) -> Vec<P> {
    let weights = Weights::<W>::new(Axis::whole(filter, width, to));
    let mut out = Vec::new();
    for row in pixels.chunks_exact(3 * width as usize) {
        for output in 0..weights.len() {
            let (start, taps) = weights.taps(output);
            let terms = |channel| taps.iter().enumerate().map(move |(tap, weight)| (row[3 * (start + tap) + channel], *weight));
            out.extend((0..3).map(|channel| mixed(&mut terms(channel))));
        }
    }
    out
}

fn columns<P: Copy, W: Weight>(
    pixels: &[P],
    from: Size,
    filter: Filter,
    to: u32,
    mixed: impl Fn(&mut dyn Iterator<Item = (P, W)>) -> P,
) -> Vec<P> {
    let weights = Weights::<W>::new(Axis::whole(filter, from.height, to));
    let stride = 3 * from.width as usize;
    let mut out = Vec::new();
    for output in 0..weights.len() {
        let (start, taps) = weights.taps(output);
        let terms = |at| taps.iter().enumerate().map(move |(tap, weight)| (pixels[(start + tap) * stride + at], *weight));
        out.extend((0..stride).map(|at| mixed(&mut terms(at))));
    }
    out
}

/// `pixel` gives an element of the whole resized picture.
fn normalized(spec: &PreprocessSpec, plan: &Plan, pixel: impl Fn(usize) -> f32) -> Vec<f32> {
    let (width, height) = (plan.output.width as usize, plan.output.height as usize);
    let (order, fill) = (spec.channels.order(), normalize::fill(spec));
    // Where a place in the output lies along an axis of the resized picture; `None` is the canvas.
    let inside = |at: usize, axis: usize, kept: u32| {
        at.checked_sub(plan.place[axis] as usize).filter(|at| *at < kept as usize).map(|at| at + plan.skip[axis] as usize)
    };
    let mut out = vec![0.0; 3 * width * height];
    for (y, x, channel) in (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |channel| (y, x, channel)))) {
        let source = order[channel];
        let pixel = match (inside(x, 0, plan.kept.width), inside(y, 1, plan.kept.height)) {
            (Some(x), Some(y)) => pixel(3 * (y * plan.resized.width as usize + x) + source),
            _ => f32::from(fill[source]),
        };
        let at = match spec.layout {
            Layout::Nhwc => 3 * (y * width + x) + channel,
            Layout::Nchw => (channel * height + y) * width + x,
        };
        out[at] = normalize::value(spec, channel, pixel);
    }
    out
}
