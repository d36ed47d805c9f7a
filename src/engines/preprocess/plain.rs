//! The oracle: whole passes over whole pictures, one function a stage, named as its shader is.

use super::weights::{HALF, PRECISION, Weights, vertical_first};
use crate::domain::frame::Frame;
use crate::domain::preprocess::{Channels, Filter, Layout, PreprocessSpec, Size};

/// One item of the batch, in the extents of [`PreprocessSpec::item_shape`].
pub fn preprocess(spec: &PreprocessSpec, frame: &Frame) -> Vec<f32> {
    preprocess_normalize(spec, &resize(frame, spec.filter, spec.resized()))
}

/// Both passes in Pillow's order: `[to.height][to.width][3]` bytes.
pub fn resize(frame: &Frame, filter: Filter, to: Size) -> Vec<u8> {
    let (width, height) = (frame.width(), frame.height());
    if vertical_first(Size { width, height }, to) {
        let columns = preprocess_resize_columns(frame.pixels(), width, height, filter, to.height);
        preprocess_resize_rows(&columns, width, filter, to.width)
    } else {
        let rows = preprocess_resize_rows(frame.pixels(), width, filter, to.width);
        preprocess_resize_columns(&rows, to.width, height, filter, to.height)
    }
}

/// The horizontal pass: `[height][width][3]` bytes to `[height][to][3]`.
pub fn preprocess_resize_rows(pixels: &[u8], width: u32, filter: Filter, to: u32) -> Vec<u8> {
    let weights = Weights::new(filter, width, to, 0, to);
    let mut out = Vec::new();
    for row in pixels.chunks_exact(3 * width as usize) {
        for output in 0..weights.len() {
            let (start, taps) = weights.taps(output);
            out.extend(
                (0..3).map(|channel| mixed(taps.iter().enumerate().map(|(tap, weight)| (row[3 * (start + tap) + channel], *weight)))),
            );
        }
    }
    out
}

/// The vertical pass: `[height][width][3]` bytes to `[to][width][3]`.
pub fn preprocess_resize_columns(pixels: &[u8], width: u32, height: u32, filter: Filter, to: u32) -> Vec<u8> {
    let weights = Weights::new(filter, height, to, 0, to);
    let stride = 3 * width as usize;
    let mut out = Vec::new();
    for output in 0..weights.len() {
        let (start, taps) = weights.taps(output);
        out.extend(
            (0..stride).map(|at| mixed(taps.iter().enumerate().map(|(tap, weight)| (pixels[(start + tap) * stride + at], *weight)))),
        );
    }
    out
}

/// Centre crop, channel order, `(pixel * scale - mean) / std`, layout.
pub fn preprocess_normalize(spec: &PreprocessSpec, resized: &[u8]) -> Vec<f32> {
    let (left, top) = spec.crop_origin();
    let (width, output) = (spec.resized().width as usize, spec.output());
    let mut out = vec![0.0; spec.item_shape().iter().product()];
    for (y, x, channel) in
        (0..output.height as usize).flat_map(|y| (0..output.width as usize).flat_map(move |x| (0..3).map(move |channel| (y, x, channel))))
    {
        let source = match spec.channels {
            Channels::Rgb => channel,
            Channels::Bgr => 2 - channel,
        };
        let pixel = resized[3 * ((y + top as usize) * width + x + left as usize) + source];
        let at = match spec.layout {
            Layout::Nhwc => 3 * (y * output.width as usize + x) + channel,
            Layout::Nchw => (channel * output.height as usize + y) * output.width as usize + x,
        };
        out[at] = (f32::from(pixel) * spec.scale - spec.mean[channel]) / spec.std[channel];
    }
    out
}

/// A weighted mean, rounded and clipped to 8 bits.
fn mixed(terms: impl Iterator<Item = (u8, i32)>) -> u8 {
    let sum = terms.fold(HALF, |sum, (pixel, weight)| sum + i32::from(pixel) * weight);
    (sum >> PRECISION).clamp(0, 255) as u8
}
