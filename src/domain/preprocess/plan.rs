//! A spec applied to a picture's size.

use super::{LARGEST, PreprocessSpec, Resize, Size};

/// What a spec makes of a picture of one size, in pixels: the whole is `resized`, of which `kept` pixels from `skip` on are computed and put
/// at `place` into the `output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The picture.
    pub from: Size,
    /// The whole picture after the resize.
    pub resized: Size,
    /// Columns left of and rows above what a crop keeps.
    pub skip: [u32; 2],
    /// What a crop keeps.
    pub kept: Size,
    /// Columns left of and rows above the picture in a letterbox.
    pub place: [u32; 2],
    /// The output's extents.
    pub output: Size,
}

/// The output would be larger than any model takes. A crop bounds it; so does another rendition of the picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a picture of {}x{} becomes {}x{} in this model's preprocessing, more than {MOST_PIXELS} pixels; state a crop in the manifest's [preprocess], \
     or send a rendition that is less long",
    from.width, from.height, output.width, output.height
)]
pub struct OutputTooLarge {
    from: Size,
    output: Size,
}

/// The largest output: that of the largest fixed size.
const MOST_PIXELS: u64 = LARGEST as u64 * LARGEST as u64;

impl PreprocessSpec {
    /// What becomes of a picture of this size, neither side zero. The spec must have passed [`check`](Self::check).
    ///
    /// # Errors
    /// The output depends on the picture and would have more than 4096 x 4096 pixels.
    pub fn plan(&self, from: Size) -> Result<Plan, OutputTooLarge> {
        let resized = self.resize.of(from);
        let (kept, output) = match (self.crop, self.resize) {
            (Some(crop), _) => (crop, crop),
            (None, Resize::Letterbox { width, height, .. }) => (resized, Size { width, height }),
            (None, Resize::Exact { .. } | Resize::ShortestSide { .. }) => (resized, resized),
        };
        if output.pixels() > MOST_PIXELS {
            return Err(OutputTooLarge { from, output });
        }
        let before = |margin| self.crop_margin.before(margin);
        Ok(Plan {
            from,
            resized,
            skip: [before(resized.width - kept.width), before(resized.height - kept.height)],
            kept,
            place: [(output.width - kept.width) / 2, (output.height - kept.height) / 2],
            output,
        })
    }
}

impl Resize {
    /// The whole picture's size after the resize.
    fn of(self, from: Size) -> Size {
        match self {
            Self::Exact { width, height } => Size { width, height },
            Self::ShortestSide { side } => {
                // torchvision divides in floating point; below 2^44 that truncates to the same integer.
                let long = |long: u32, short: u32| (u64::from(side) * u64::from(long) / u64::from(short)).min(u32::MAX.into()) as u32;
                if from.width <= from.height {
                    Size { width: side, height: long(from.height, from.width) }
                } else {
                    Size { width: long(from.width, from.height), height: side }
                }
            }
            Self::Letterbox { width, height, .. } => {
                let scale = (f64::from(width) / f64::from(from.width)).min(f64::from(height) / f64::from(from.height));
                // The bounds only catch a last digit of the product that is off.
                let side = |side: u32, most: u32| ((f64::from(side) * scale).round_ties_even() as u32).clamp(1, most);
                Size { width: side(from.width, width), height: side(from.height, height) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::preprocess::CropMargin;

    fn plan(resize: Resize, crop: Option<(u32, u32)>, width: u32, height: u32) -> Plan {
        let crop = crop.map(|(width, height)| Size { width, height });
        let spec = PreprocessSpec { resize, crop, crop_margin: CropMargin::Floor, ..PreprocessSpec::open_nsfw() };
        spec.check().unwrap();
        spec.plan(Size { width, height }).unwrap()
    }

    #[test]
    fn the_shorter_side_decides() {
        let resize = Resize::ShortestSide { side: 256 };
        // torchvision: int(256 * 1152 / 864) = 341
        assert_eq!(plan(resize, None, 1152, 864).output, Size { width: 341, height: 256 });
        assert_eq!(plan(resize, None, 864, 1152).output, Size { width: 256, height: 341 });
        assert_eq!(plan(resize, None, 7, 7).output, Size { width: 256, height: 256 });
        let cropped = plan(resize, Some((224, 224)), 1152, 864);
        assert_eq!((cropped.resized.width, cropped.skip, cropped.kept.width), (341, [58, 16], 224));
        // With a crop nothing grows with the picture's length.
        assert_eq!(plan(resize, Some((224, 224)), 1, 60_000).skip, [16, (256 * 60_000 - 224) / 2]);
    }

    #[test]
    fn a_letterbox_keeps_the_aspect_ratio_and_its_middle() {
        let resize = Resize::Letterbox { width: 640, height: 480, fill: [114; 3] };
        let wide = plan(resize, None, 1000, 333);
        // Python: round(333 * 0.64) = 213, (480 - 213) // 2 = 133
        assert_eq!((wide.kept, wide.place), (Size { width: 640, height: 213 }, [0, 133]));
        assert_eq!(wide.output, Size { width: 640, height: 480 });
        let tall = plan(resize, None, 5, 4000);
        assert_eq!((tall.kept, tall.place), (Size { width: 1, height: 480 }, [319, 0]));
        assert_eq!(plan(resize, None, 1, 1).kept, Size { width: 480, height: 480 });
        // A half goes to the even neighbour: 5 * 0.5 = 2.5, 7 * 0.5 = 3.5.
        let small = Resize::Letterbox { width: 4, height: 4, fill: [0; 3] };
        assert_eq!(plan(small, None, 8, 5).kept.height, 2);
        assert_eq!(plan(small, None, 8, 7).kept.height, 4);
    }

    #[test]
    fn an_output_that_grows_with_the_picture_has_a_bound() {
        let spec = PreprocessSpec { resize: Resize::ShortestSide { side: 4096 }, crop: None, ..PreprocessSpec::open_nsfw() };
        assert!(spec.plan(Size { width: 5, height: 5 }).is_ok());
        let error = spec.plan(Size { width: 2, height: 3 }).unwrap_err().to_string();
        assert!(error.contains("4096x6144") && error.contains("crop"), "{error}");
        assert!(spec.plan(Size { width: 1, height: u32::MAX }).is_err());
    }
}
