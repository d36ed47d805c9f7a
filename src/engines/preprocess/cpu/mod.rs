//! Preprocessing on the processor, fast: only the rows and columns the crop keeps, and each source row read as rarely as the order of the
//! passes allows.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod float;
mod pillow;

use super::normalize;
use crate::domain::frame::Frame;
use crate::domain::preprocess::{OutputTooLarge, Plan, PreprocessSpec, Rounding, Size};
use crate::domain::tensor::{Tensor, TensorData};

/// The tensor `[1, …]` of one picture, in the extents of [`Layout::item_shape`](crate::domain::preprocess::Layout::item_shape), on the
/// calling thread.
///
/// Against [`plain::preprocess`](super::plain::preprocess): equal bit for bit with `pillow-u8`; with `float` within 0.001 of a pixel's step
/// (of 0..=255), and equal on every machine. The spec must have passed [`PreprocessSpec::check`].
///
/// # Errors
/// The output's size depends on the picture's and would be too large.
pub fn preprocess_cpu(spec: &PreprocessSpec, frame: &Frame) -> Result<Tensor, OutputTooLarge> {
    let plan = spec.plan(Size { width: frame.width(), height: frame.height() })?;
    let shape = spec.layout.item_shape(plan.output);
    let mut item = vec![0.0; shape.iter().product()];
    write_item(spec, &plan, frame, Build::best(), &mut item);
    Ok(Tensor::new([&[1], &shape[..]].concat(), TensorData::from_floats(item, spec.dtype)))
}

fn write_item(spec: &PreprocessSpec, plan: &Plan, frame: &Frame, build: Build, item: &mut [f32]) {
    normalize::clear(spec, plan, item);
    match spec.rounding {
        Rounding::PillowU8 => pillow::write_item(spec, plan, frame, build, item),
        Rounding::Float => float::write_item(spec, plan, frame, build, item),
    }
}

/// Which build of the passes runs.
#[derive(Clone, Copy, Debug)]
enum Build {
    Portable,
    /// Made only where AVX2 was detected.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Build {
    fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Self::Avx2;
        }
        Self::Portable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::preprocess::{Channels, CropMargin, Filter, Layout, Resize};
    use crate::engines::preprocess::plain;

    /// Every kind of resize, crop, order and layout, with every filter.
    fn specs(rounding: Rounding) -> Vec<PreprocessSpec> {
        let base = PreprocessSpec {
            rounding,
            scale: 1.0 / 255.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            ..PreprocessSpec::open_nsfw()
        };
        let odd = Some(Size { width: 33, height: 31 });
        let kinds = [
            (Resize::Exact { width: 64, height: 48 }, odd, Channels::Bgr, Layout::Nhwc),
            (Resize::Exact { width: 7, height: 5 }, None, Channels::Rgb, Layout::Nchw),
            (Resize::Exact { width: 1, height: 1 }, None, Channels::Rgb, Layout::Nhwc),
            (Resize::ShortestSide { side: 34 }, odd, Channels::Rgb, Layout::Nchw),
            (Resize::ShortestSide { side: 9 }, None, Channels::Bgr, Layout::Nchw),
            (Resize::Letterbox { width: 40, height: 23, fill: [1, 114, 200] }, None, Channels::Bgr, Layout::Nhwc),
            (Resize::Letterbox { width: 40, height: 23, fill: [1, 114, 200] }, None, Channels::Rgb, Layout::Nchw),
        ];
        let with = |filter| {
            kinds.map(|(resize, crop, channels, layout)| PreprocessSpec {
                resize,
                crop,
                crop_margin: CropMargin::HalfEven,
                channels,
                layout,
                filter,
                ..base.clone()
            })
        };
        [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos].into_iter().flat_map(with).collect()
    }

    fn frames() -> impl Iterator<Item = Frame> {
        [(1, 1), (1, 9), (9, 1), (2, 2), (5, 5), (64, 48), (127, 128), (611, 37), (37, 611), (70, 400)].into_iter().map(
            |(width, height)| {
                let pixels: Vec<u8> = (0..3 * width * height).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
                Frame::new(width, height, pixels).unwrap()
            },
        )
    }

    fn item(spec: &PreprocessSpec, frame: &Frame, build: Build) -> Vec<f32> {
        let plan = spec.plan(Size { width: frame.width(), height: frame.height() }).unwrap();
        let mut item = vec![f32::NAN; 3 * plan.output.pixels() as usize];
        write_item(spec, &plan, frame, build, &mut item);
        item
    }

    #[test]
    fn every_build_equals_the_oracle() {
        for (frame, spec) in frames().flat_map(|frame| specs(Rounding::PillowU8).into_iter().map(move |spec| (frame_again(&frame), spec))) {
            let expected = plain::preprocess(&spec, &frame).unwrap();
            for build in [Build::Portable, Build::best()] {
                assert!(item(&spec, &frame, build) == expected, "{}x{} with {build:?}: {spec:?}", frame.width(), frame.height());
            }
        }
    }

    #[test]
    fn every_float_build_is_near_the_oracle_and_equals_the_others() {
        for (frame, spec) in frames().flat_map(|frame| specs(Rounding::Float).into_iter().map(move |spec| (frame_again(&frame), spec))) {
            let expected = plain::preprocess(&spec, &frame).unwrap();
            let (portable, best) = (item(&spec, &frame, Build::Portable), item(&spec, &frame, Build::best()));
            assert!(portable.iter().zip(&best).all(|(a, b)| a.to_bits() == b.to_bits()), "{spec:?}");
            // In steps of a pixel: an element's unit is std / scale of them.
            let steps = spec.std[0] / spec.scale;
            let worst = expected.iter().zip(&best).map(|(a, b)| (a - b).abs() * steps).fold(0.0, f32::max);
            assert!(worst < 0.001, "{}x{} is off by {worst}: {spec:?}", frame.width(), frame.height());
        }
    }

    fn frame_again(frame: &Frame) -> Frame {
        Frame::new(frame.width(), frame.height(), frame.pixels().to_vec()).unwrap()
    }
}
