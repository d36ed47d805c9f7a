//! The one sample of a [`PreprocessSpec`]; tests and benches vary it.

use crate::domain::{
    preprocess::{Channels, CropMargin, Filter, Layout, PreprocessSpec, Resize, Rounding, Size},
    tensor::DType,
};

/// The demo model's `[preprocess]`: 256 x 256 bilinear, centre 224, BGR minus the mean, height-width-channel.
pub fn open_nsfw() -> PreprocessSpec {
    PreprocessSpec {
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

/// Another one, with nothing round about it: odd sizes and margins, RGB by planes, torchvision's mean and standard deviation.
pub fn planar() -> PreprocessSpec {
    PreprocessSpec {
        resize: Resize::Exact { width: 97, height: 61 },
        crop: Some(Size { width: 64, height: 59 }),
        channels: Channels::Rgb,
        layout: Layout::Nchw,
        scale: 1.0 / 255.0,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        ..open_nsfw()
    }
}
