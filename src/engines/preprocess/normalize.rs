//! The last step: channel order, scale, mean, std, layout, and a letterbox's canvas.

use crate::domain::preprocess::{Layout, Plan, PreprocessSpec, Resize};

/// The definition of an output element; `channel` is the output's.
pub(super) fn value(spec: &PreprocessSpec, channel: usize, pixel: f32) -> f32 {
    (pixel * spec.scale - spec.mean[channel]) / spec.std[channel]
}

/// [`value`] for each output channel and each of 256 pixel values: `[3][256]`.
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

/// Writes row `y` of what a crop keeps, three channels a pixel, where it belongs in an item. `to_value` takes the output's channel.
#[inline(always)]
pub(super) fn write_row<P: Copy>(
    spec: &PreprocessSpec,
    plan: &Plan,
    row: &[P],
    y: usize,
    item: &mut [f32],
    to_value: impl Fn(usize, P) -> f32,
) {
    let (order, width) = (spec.channels.order(), plan.kept.width as usize);
    let pixels = row[..3 * width].chunks_exact(3);
    let stride = plan.output.width as usize;
    let first = (plan.place[1] as usize + y) * stride + plan.place[0] as usize;
    match spec.layout {
        Layout::Nhwc => {
            for (to, pixel) in item[3 * first..][..3 * width].chunks_exact_mut(3).zip(pixels) {
                for channel in 0..3 {
                    to[channel] = to_value(channel, pixel[order[channel]]);
                }
            }
        }
        Layout::Nchw => {
            for (channel, plane) in item.chunks_exact_mut(item.len() / 3).enumerate() {
                for (to, pixel) in plane[first..][..width].iter_mut().zip(pixels.clone()) {
                    *to = to_value(channel, pixel[order[channel]]);
                }
            }
        }
    }
}
