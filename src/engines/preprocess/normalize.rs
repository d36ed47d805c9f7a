//! The last step: channel order, scale, mean, std, layout, and a letterbox's canvas.

use crate::domain::preprocess::{Channels, Layout, Plan, PreprocessSpec, Resize};

/// The definition of an output element; `channel` is the output's.
#[inline(always)]
pub(super) fn value(spec: &PreprocessSpec, channel: usize, pixel: f32) -> f32 {
    (pixel * spec.scale - spec.mean[channel]) / spec.std[channel]
}

/// [`value`] for each output channel and each of 256 pixel values, for the shader: `[3][256]`.
pub(super) fn table(spec: &PreprocessSpec) -> [[f32; 256]; 3] {
    std::array::from_fn(|channel| std::array::from_fn(|pixel| value(spec, channel, pixel as f32)))
}

/// What lies around a letterbox's picture, as a pixel in R, G, B.
pub(super) fn fill(spec: &PreprocessSpec) -> [u8; 3] {
    match spec.resize {
        Resize::Letterbox { fill, .. } => fill,
        Resize::Exact { .. } | Resize::ShortestSide { .. } => [0; 3], // nothing does
    }
}

/// Covers an item with the fill, unless the picture will cover it.
pub(super) fn clear(spec: &PreprocessSpec, plan: &Plan, item: &mut [f32]) {
    if plan.kept == plan.output {
        return;
    }
    let (order, fill) = (spec.channels.order(), fill(spec));
    let values: [f32; 3] = std::array::from_fn(|channel| value(spec, channel, fill[order[channel]].into()));
    match spec.layout {
        Layout::Nhwc => item.chunks_exact_mut(3).for_each(|to| to.copy_from_slice(&values)),
        Layout::Nchw => item.chunks_exact_mut(item.len() / 3).zip(values).for_each(|(plane, value)| plane.fill(value)),
    }
}

/// Elements after which channels and vectors of eight repeat together.
const PATTERN: usize = 24;

/// Writes row `y` of what a crop keeps, three channels a pixel, where it belongs in an item. Leaves the row in the output's order.
#[inline(always)]
pub(super) fn write_row<P: Copy + Into<f32>>(spec: &PreprocessSpec, plan: &Plan, row: &mut [P], y: usize, item: &mut [f32]) {
    let width = plan.kept.width as usize;
    let row = &mut row[..3 * width];
    if spec.channels == Channels::Bgr {
        row.chunks_exact_mut(3).for_each(|pixel| pixel.swap(0, 2));
    }
    let first = (plan.place[1] as usize + y) * plan.output.width as usize + plan.place[0] as usize;
    match spec.layout {
        Layout::Nhwc => {
            let (mean, std): ([f32; PATTERN], [f32; PATTERN]) =
                (std::array::from_fn(|at| spec.mean[at % 3]), std::array::from_fn(|at| spec.std[at % 3]));
            let to = &mut item[3 * first..][..3 * width];
            let (to, row) = (to.chunks_mut(PATTERN), row.chunks(PATTERN));
            for (to, row) in to.zip(row) {
                if let (Ok(to), Ok(row)) = (<&mut [f32; PATTERN]>::try_from(&mut *to), <&[P; PATTERN]>::try_from(row)) {
                    for at in 0..PATTERN {
                        to[at] = (row[at].into() * spec.scale - mean[at]) / std[at];
                    }
                } else {
                    for at in 0..row.len() {
                        to[at] = (row[at].into() * spec.scale - mean[at]) / std[at];
                    }
                }
            }
        }
        Layout::Nchw => {
            let (red, rest) = item.split_at_mut(item.len() / 3);
            let (green, blue) = rest.split_at_mut(rest.len() / 2);
            let [red, green, blue] = [red, green, blue].map(|plane| &mut plane[first..][..width]);
            for x in 0..width {
                red[x] = value(spec, 0, row[3 * x].into());
                green[x] = value(spec, 1, row[3 * x + 1].into());
                blue[x] = value(spec, 2, row[3 * x + 2].into());
            }
        }
    }
}
