//! The last step as a table.

use crate::domain::preprocess::{Channels, Layout, PreprocessSpec};

/// `(pixel * scale - mean) / std` for each output channel and each of 256 pixel values: `[3][256]`.
pub(super) fn table(spec: &PreprocessSpec) -> [[f32; 256]; 3] {
    std::array::from_fn(|channel| std::array::from_fn(|pixel| (pixel as f32 * spec.scale - spec.mean[channel]) / spec.std[channel]))
}

/// Writes one row of `width` RGB pixels (`row`, three bytes each) as row `y` of an item.
pub(super) fn write_row(spec: &PreprocessSpec, table: &[[f32; 256]; 3], row: &[u8], y: usize, item: &mut [f32]) {
    let (width, height) = (spec.output().width as usize, spec.output().height as usize);
    let order = match spec.channels {
        Channels::Rgb => [0, 1, 2],
        Channels::Bgr => [2, 1, 0],
    };
    let pixels = row[..3 * width].chunks_exact(3);
    match spec.layout {
        Layout::Nhwc => {
            for (to, pixel) in item[3 * y * width..][..3 * width].chunks_exact_mut(3).zip(pixels) {
                for channel in 0..3 {
                    to[channel] = table[channel][usize::from(pixel[order[channel]])];
                }
            }
        }
        Layout::Nchw => {
            for channel in 0..3 {
                let to = &mut item[(channel * height + y) * width..][..width];
                for (to, pixel) in to.iter_mut().zip(pixels.clone()) {
                    *to = table[channel][usize::from(pixel[order[channel]])];
                }
            }
        }
    }
}
