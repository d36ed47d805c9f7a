//! What a model's manifest says about the pixels it wants; see `engines::preprocess` for what is done with it.
//!
//! A [`PreprocessSpec`] is the manifest's `[preprocess]` table. [`PreprocessSpec::plan`] says what it means for a picture of one size.

mod plan;

use serde::{Deserialize, Serialize};

pub use self::plan::{OutputTooLarge, Plan};
use super::tensor::DType;

/// From a [`Frame`](super::frame::Frame) to one model input: resize, crop, reorder, normalise.
///
/// Value of an output element: `(pixel * scale - mean[channel]) / std[channel]`, with `pixel` in 0..=255 (beyond it where
/// [`Rounding::Float`] lets a filter overshoot) and `mean`, `std` in the order of the *output* channels.
///
/// Keys that came later have defaults and are not written when they hold them, so that a model's digest does not change with this program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreprocessSpec {
    pub resize: Resize,
    /// Interpolation; all filters are antialiased (their support grows with the reduction), as in Pillow.
    pub filter: Filter,
    pub rounding: Rounding,
    /// Centre crop to this width and height after resizing.
    pub crop: Option<Size>,
    /// Where a crop lies whose margins are not equal.
    #[serde(default, skip_serializing_if = "CropMargin::is_default")]
    pub crop_margin: CropMargin,
    pub channels: Channels,
    pub layout: Layout,
    pub scale: f32,
    pub mean: [f32; 3],
    pub std: [f32; 3],
    /// What the model's input holds.
    #[serde(default, skip_serializing_if = "DType::is_default")]
    pub dtype: DType,
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
    /// The shorter side becomes `side` and the longer one `side * long / short`, rounded down: torchvision's `Resize(side)`. Without a crop
    /// each picture has an output size of its own.
    ShortestSide { side: u32 },
    /// As large as fits into this size with the aspect ratio kept, in the middle of a canvas of `fill`.
    ///
    /// The picture is scaled by `min(width / w, height / h)` and its sides are rounded, a half to the even neighbour, to 1 at least; the
    /// smaller one of two unequal margins lies left and above. `fill` is a pixel value in R, G, B, normalised like the picture.
    Letterbox {
        width: u32,
        height: u32,
        #[serde(default)]
        fill: [u8; 3],
    },
}

/// The reconstruction filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Triangle, support 1.
    Bilinear,
    /// Keys' cubic with a = -0.5, support 2. It overshoots at edges.
    Bicubic,
    /// Sinc windowed by its own main lobe, support 3. It overshoots at edges.
    Lanczos,
}

/// What happens to values between and after the two passes of the resize.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// Rounded and clipped to 8 bits after each pass with 22-bit fixed-point coefficients: bit for bit what Pillow does to 8-bit images
    /// (`src/libImaging/Resample.c`), and so what torchvision does to Pillow's images.
    PillowU8,
    /// Neither rounded nor clipped: what torchvision does to float tensors (`torch.nn.functional.interpolate(antialias=True)`) and Pillow to
    /// images of mode `F`.
    Float,
}

/// The first kept pixel of a centre crop is half the margin; where the margin is odd, libraries differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CropMargin {
    /// Rounded down.
    #[default]
    Floor,
    /// A half to the even neighbour, `int(round(margin / 2))`: torchvision's `CenterCrop`.
    HalfEven,
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

impl CropMargin {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Pixels in front of the crop.
    fn before(self, margin: u32) -> u32 {
        let half = margin / 2;
        match self {
            Self::Floor => half,
            Self::HalfEven => half + (margin & half & 1),
        }
    }
}

impl Channels {
    /// The place of each output channel in R, G, B.
    pub const fn order(self) -> [usize; 3] {
        match self {
            Self::Rgb => [0, 1, 2],
            Self::Bgr => [2, 1, 0],
        }
    }
}

impl Layout {
    /// Extents of one item of a batch.
    pub const fn item_shape(self, size: Size) -> [usize; 3] {
        match self {
            Self::Nhwc => [size.height as usize, size.width as usize, 3],
            Self::Nchw => [3, size.height as usize, size.width as usize],
        }
    }
}

impl Size {
    /// Width times height.
    pub const fn pixels(self) -> u64 {
        self.width as u64 * self.height as u64
    }
}

/// The longest side of a size that a spec may name: no model here takes more, and it bounds the buffers.
const LARGEST: u32 = 4096;

/// Values that no resize leaves, for `check`'s look at whether a dtype can hold them. The positive weights of a Lanczos output sum to 1.29 at
/// most and its negative ones to 0.29 (a picture of 2 pixels), so two passes stay within 255 * 1.29^2 = 425 and -2 * 255 * 1.29 * 0.29 = -191.
const OVERSHOOT: [f32; 2] = [-255.0, 510.0];

impl PreprocessSpec {
    /// That of the demo model's manifest: 256 x 256 bilinear, centre 224, BGR minus the mean, height-width-channel. Self-tests, tests and benches
    /// vary it.
    pub const fn open_nsfw() -> Self {
        Self {
            resize: Resize::Exact { width: 256, height: 256 },
            filter: Filter::Bilinear,
            rounding: Rounding::PillowU8,
            crop: Some(Size { width: 224, height: 224 }),
            crop_margin: CropMargin::Floor,
            channels: Channels::Bgr,
            layout: Layout::Nhwc,
            scale: 1.0,
            mean: [104.0, 117.0, 123.0],
            std: [1.0; 3],
            dtype: DType::F32,
        }
    }

    /// Size of every output, if it does not depend on the picture.
    pub fn fixed_output(&self) -> Option<Size> {
        match self.resize {
            _ if self.crop.is_some() => self.crop,
            Resize::Exact { width, height } | Resize::Letterbox { width, height, .. } => Some(Size { width, height }),
            Resize::ShortestSide { .. } => None,
        }
    }

    /// Refuses what no picture could go through: sizes out of range, a crop larger than the resized picture, a crop of a letterbox, numbers
    /// that are not finite or that `dtype` cannot hold. The text names the key.
    pub fn check(&self) -> Result<(), String> {
        let in_range = |side: u32| (1..=LARGEST).contains(&side);
        let least = match self.resize {
            Resize::Exact { width, height } | Resize::Letterbox { width, height, .. } => Size { width, height },
            Resize::ShortestSide { side } => Size { width: side, height: side },
        };
        if !in_range(least.width) || !in_range(least.height) {
            return Err(format!("`resize`: sides must lie in 1..={LARGEST}"));
        }
        if let Some(crop) = self.crop {
            if matches!(self.resize, Resize::Letterbox { .. }) {
                return Err("`crop`: a letterbox has its output's size already; leave the crop out".into());
            }
            if !in_range(crop.width) || !in_range(crop.height) {
                return Err(format!("`crop`: sides must lie in 1..={LARGEST}"));
            }
            if crop.width > least.width || crop.height > least.height {
                return Err(format!(
                    "`crop`: {}x{} is larger than the resized picture, which may be as small as {}x{}",
                    crop.width, crop.height, least.width, least.height
                ));
            }
        }
        let finite = [("scale", &[self.scale][..]), ("mean", &self.mean), ("std", &self.std)];
        if let Some((key, _)) = finite.iter().find(|(_, values)| values.iter().any(|value| !value.is_finite())) {
            return Err(format!("`{key}`: must be finite"));
        }
        if self.std.contains(&0.0) {
            return Err("`std`: must not be zero".into());
        }
        let holds = |value: f32| value.abs() <= self.dtype.largest();
        if !(0..3).all(|channel| OVERSHOOT.iter().all(|pixel| holds((pixel * self.scale - self.mean[channel]) / self.std[channel]))) {
            return Err(format!("`std`: with this scale and mean it gives values that {} cannot hold", self.dtype.as_str()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_picture_could_pass_is_refused_by_the_keys_name() {
        let (fine, crop) = (PreprocessSpec::open_nsfw(), Some(Size { width: 224, height: 224 }));
        assert_eq!(fine.check(), Ok(()));
        let shortest = PreprocessSpec { resize: Resize::ShortestSide { side: 224 }, ..fine.clone() };
        assert_eq!(shortest.check(), Ok(()));
        let small_std = PreprocessSpec { std: [1e-3; 3], ..fine.clone() };
        assert_eq!(small_std.check(), Ok(()));
        for (wrong, key) in [
            (PreprocessSpec { resize: Resize::ShortestSide { side: 223 }, ..fine.clone() }, "crop"),
            (PreprocessSpec { resize: Resize::Exact { width: 223, height: 300 }, ..fine.clone() }, "crop"),
            (PreprocessSpec { resize: Resize::Letterbox { width: 256, height: 256, fill: [0; 3] }, crop, ..fine.clone() }, "crop"),
            (PreprocessSpec { crop: Some(Size { width: 0, height: 1 }), ..fine.clone() }, "crop"),
            (PreprocessSpec { resize: Resize::Exact { width: 0, height: 300 }, crop: None, ..fine.clone() }, "resize"),
            (PreprocessSpec { resize: Resize::ShortestSide { side: 4097 }, ..fine.clone() }, "resize"),
            (PreprocessSpec { scale: f32::NAN, ..fine.clone() }, "scale"),
            (PreprocessSpec { mean: [0.0, f32::INFINITY, 0.0], ..fine.clone() }, "mean"),
            (PreprocessSpec { std: [1.0, 0.0, 1.0], ..fine.clone() }, "std"),
            (PreprocessSpec { dtype: DType::F16, ..small_std }, "std"),
        ] {
            let error = wrong.check().unwrap_err();
            assert!(error.starts_with(&format!("`{key}`")), "{error}: {wrong:?}");
        }
    }

    #[test]
    fn half_a_margin_is_rounded_as_its_source_does() {
        // Python: [int(round(margin / 2)) for margin in range(8)]
        let half_even: Vec<u32> = (0..8).map(|margin| CropMargin::HalfEven.before(margin)).collect();
        assert_eq!(half_even, [0, 0, 1, 2, 2, 2, 3, 4]);
        assert_eq!((0..4).map(|margin| CropMargin::Floor.before(margin)).collect::<Vec<_>>(), [0, 0, 1, 1]);
    }

    #[test]
    fn keys_at_their_defaults_are_not_written() {
        let text = serde_json::to_string(&PreprocessSpec::open_nsfw()).unwrap();
        assert!(!text.contains("crop_margin") && !text.contains("dtype"), "{text}");
        let torch = PreprocessSpec { crop_margin: CropMargin::HalfEven, dtype: DType::F16, ..PreprocessSpec::open_nsfw() };
        let text = serde_json::to_string(&torch).unwrap();
        assert!(text.contains(r#""crop_margin":"half-even""#) && text.contains(r#""dtype":"f16""#), "{text}");
        assert_eq!(serde_json::from_str::<PreprocessSpec>(&text).unwrap(), torch);
        let letterbox: Resize = serde_json::from_str(r#"{"to":"letterbox","width":4,"height":3}"#).unwrap();
        assert_eq!(letterbox, Resize::Letterbox { width: 4, height: 3, fill: [0; 3] });
        assert!(serde_json::from_str::<Resize>(r#"{"to":"shortest_side","side":4,"height":3}"#).is_err());
    }
}
