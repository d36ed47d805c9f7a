//! What a model's manifest says about the pixels it wants; see `engines::preprocess` for what is done with it.

use serde::{Deserialize, Serialize};

/// From a [`Frame`](super::frame::Frame) to one model input: resize, crop, reorder, normalise.
///
/// Value of an output element: `(pixel * scale - mean[channel]) / std[channel]`, with `pixel` in 0..=255 and `mean`, `std` in the
/// order of the *output* channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreprocessSpec {
    pub resize: Resize,
    /// Interpolation; all filters are antialiased (their support grows with the reduction), as in Pillow.
    pub filter: Filter,
    pub rounding: Rounding,
    /// Centre crop to this width and height after resizing.
    pub crop: Option<Size>,
    pub channels: Channels,
    pub layout: Layout,
    pub scale: f32,
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

/// Pixels along a row, and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

/// To what size the picture is brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "to", deny_unknown_fields)]
pub enum Resize {
    /// Exactly this size; the aspect ratio is ignored.
    Exact { width: u32, height: u32 },
}

/// The reconstruction filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Triangle, support 1.
    Bilinear,
}

/// Between the horizontal and the vertical pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// Rounded and clipped to 8 bits after each pass with 22-bit fixed-point coefficients: bit for bit what Pillow does to 8-bit images
    /// (`src/libImaging/Resample.c`).
    PillowU8,
}

/// Order of the colour channels in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    Rgb,
    Bgr,
}

/// Order of the output's axes after the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Height, width, channel.
    Nhwc,
    /// Channel, height, width.
    Nchw,
}

impl PreprocessSpec {
    /// Size after the resize.
    pub fn resized(&self) -> Size {
        let Resize::Exact { width, height } = self.resize;
        Size { width, height }
    }

    /// Size of the output.
    pub fn output(&self) -> Size {
        self.crop.unwrap_or_else(|| self.resized())
    }

    /// The first pixel of the crop, `(left, top)`.
    pub fn crop_origin(&self) -> (u32, u32) {
        let (from, to) = (self.resized(), self.output());
        ((from.width - to.width) / 2, (from.height - to.height) / 2)
    }

    /// Extents of one item of the batch, in the order of [`Layout`].
    pub fn item_shape(&self) -> [usize; 3] {
        let Size { width, height } = self.output();
        match self.layout {
            Layout::Nhwc => [height as usize, width as usize, 3],
            Layout::Nchw => [3, height as usize, width as usize],
        }
    }

    /// Refuses sizes of zero, a crop larger than the resize, and a zero or non-finite `std`, `mean` or `scale`.
    pub fn check(&self) -> Result<(), String> {
        const LARGEST: u32 = 4096; // no model here takes more; bounds the buffers
        let (from, to) = (self.resized(), self.output());
        if [from.width, from.height, to.width, to.height].iter().any(|&side| side == 0 || side > LARGEST) {
            return Err(format!("sizes must lie in 1..={LARGEST}"));
        }
        if to.width > from.width || to.height > from.height {
            return Err("the crop is larger than the resized picture".into());
        }
        if self.std.contains(&0.0) || self.mean.iter().chain(&self.std).chain([&self.scale]).any(|value| !value.is_finite()) {
            return Err("mean, std and scale must be finite and std not zero".into());
        }
        Ok(())
    }
}
