//! What a file says that its values mean, where that is another picture than the values themselves.
//!
//! Lists are made of stored values. Browsers and picture viewers convert them by the ICC profile or the PNG gamma that the file carries. For the
//! profiles that cameras and programs write (sRGB, Display P3, Adobe RGB, ProPhoto, scanners') that hardly moves a tone, so that the stored values stand for both;
//! but a profile may as well turn a picture into its negative, or a dark noise into a photograph. [`Profiles::convert`] shows what such a profile makes of a frame. The
//! arithmetic of profiles is moxcms's. Not applied: profiles of CMYK and Lab, named and linked ones; they are ignored by browsers, or need inks.
//! Sources: "Image technology colour management", ICC.1:2022; "Portable Network Graphics (PNG) Specification (Third Edition)", W3C 2025, section 11.3.2.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use moxcms::{
    Chromaticity, ColorPrimaries, ColorProfile, DataColorSpace, Layout, ParsingOptions, ToneReprCurve, Transform8BitExecutor,
    TransformOptions, XyY,
};

use crate::domain::frame::{Buffer, BufferPool, Frame};

/// Longer profiles are not read: those of RGB and grey are a few hundred bytes to some megabytes.
pub(super) const MOST_BYTES: usize = 4 << 20;

/// How far a grey's channels or a colour's luma may move (of 255) before what is shown counts as another picture: Adobe RGB, Display P3 and ProPhoto move them
/// by less.
const FAR: i32 = 64;

/// Profiles that are known to move no tone far.
const REMEMBERED: usize = 1024;

/// What a file says about its values.
#[derive(Debug, PartialEq)]
pub(super) enum Profile<'a> {
    Icc(Cow<'a, [u8]>),
    /// Of a PNG: the stored value is the light to the power of this, in 1/100,000; and the white point and R, G, B in x and y, of the same unit.
    Gamma(u32, Option<[u32; 8]>),
}

/// Converts frames, and remembers which profiles need no converting. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Profiles(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    key: RandomState,
    mild: Mutex<HashSet<u64>>,
}

impl Profiles {
    /// The frame as its profile says, where that is far from what is stored. `None` also where the profile cannot be read, or is none of this frame: then
    /// browsers show what is stored.
    pub(super) fn convert(&self, profile: &Profile<'_>, frame: &Frame, pool: &BufferPool) -> Option<Buffer> {
        let number = match profile {
            Profile::Icc(bytes) => self.0.key.hash_one(bytes),
            Profile::Gamma(gamma, primaries) => self.0.key.hash_one((gamma, primaries)),
        };
        if self.mild().contains(&number) {
            return None;
        }
        let conversion = Conversion::of(profile).filter(Conversion::moves_far);
        let Some(conversion) = conversion else {
            let mut mild = self.mild();
            if mild.len() >= REMEMBERED {
                mild.clear();
            }
            mild.insert(number);
            return None;
        };
        conversion.apply(frame.pixels(), pool)
    }

    fn mild(&self) -> std::sync::MutexGuard<'_, HashSet<u64>> {
        self.0.mild.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Conversion {
    Rgb(Arc<Transform8BitExecutor>),
    /// What each grey becomes.
    Grey(Box<[[u8; 3]; 256]>),
}

impl Conversion {
    fn of(profile: &Profile<'_>) -> Option<Self> {
        let mut profile = match profile {
            Profile::Icc(bytes) => {
                let options =
                    ParsingOptions { max_profile_size: MOST_BYTES, max_allowed_clut_size: MOST_BYTES, ..ParsingOptions::default() };
                ColorProfile::new_from_slice_with_options(bytes, options).ok()?
            }
            Profile::Gamma(gamma, primaries) => of_gamma(*gamma, *primaries)?,
        };
        let (layout, srgb) = match profile.color_space {
            DataColorSpace::Rgb => (Layout::Rgb, ColorProfile::new_srgb()),
            DataColorSpace::Gray => (Layout::Gray, ColorProfile::new_srgb()),
            _ => return None,
        };
        tell_curves_apart(&mut profile);
        let transform = profile.create_transform_8bit(layout, &srgb, Layout::Rgb, TransformOptions::default()).ok()?;
        if layout == Layout::Rgb {
            return Some(Self::Rgb(transform));
        }
        let (greys, mut table): (Vec<u8>, _) = ((0..=255).collect(), Box::new([[0; 3]; 256]));
        transform.transform(&greys, table.as_flattened_mut()).ok()?;
        Some(Self::Grey(table))
    }

    /// Whether some tone is shown as quite another: of all greys, all shades of the three colours, and a grid of the others.
    fn moves_far(&self) -> bool {
        let far = |(stored, shown): (&[u8; 3], &[u8; 3])| {
            let is_grey = stored.iter().all(|value| *value == stored[0]);
            let channels = || stored.iter().zip(shown).any(|(stored, shown)| i32::from(stored.abs_diff(*shown)) > FAR);
            (luma(*stored) - luma(*shown)).abs() > FAR || (is_grey && channels())
        };
        match self {
            Self::Grey(table) => (0..=255_u8).zip(table.iter()).any(|(grey, shown)| far((&[grey; 3], shown))),
            Self::Rgb(transform) => {
                let ramps = (0..=255_u8).flat_map(|value| [[value; 3], [value, 0, 0], [0, value, 0], [0, 0, value]]);
                let levels = || (0..=8_u8).map(|step| step.saturating_mul(32));
                let grid = levels().flat_map(|r| levels().flat_map(move |g| levels().map(move |b| [r, g, b])));
                let stored: Vec<[u8; 3]> = ramps.chain(grid).collect();
                let mut shown = vec![[0; 3]; stored.len()];
                transform.transform(stored.as_flattened(), shown.as_flattened_mut()).is_ok() && stored.iter().zip(&shown).any(far)
            }
        }
    }

    /// `None` where a profile of greys is that of a picture in colour.
    fn apply(&self, pixels: &[u8], pool: &BufferPool) -> Option<Buffer> {
        let mut out = pool.take(pixels.len());
        match self {
            Self::Rgb(transform) => transform.transform(pixels, &mut out).ok()?,
            Self::Grey(table) => {
                for (out, pixel) in out.chunks_exact_mut(3).zip(pixels.chunks_exact(3)) {
                    if pixel[0] != pixel[1] || pixel[0] != pixel[2] {
                        return None;
                    }
                    out.copy_from_slice(&table[usize::from(pixel[0])]);
                }
            }
        }
        Some(out)
    }
}

/// ITU-R BT.601, as hashes weigh colours.
fn luma([red, green, blue]: [u8; 3]) -> i32 {
    (299 * i32::from(red) + 587 * i32::from(green) + 114 * i32::from(blue)) / 1000
}

/// moxcms 0.8.1 takes the first of three curves for all of them where two are equal. Here one of those two is changed by less than anybody sees.
fn tell_curves_apart(profile: &mut ColorProfile) {
    let [red, green, blue] = [&profile.red_trc, &profile.green_trc, &profile.blue_trc];
    if (red == green) == (green == blue) {
        return;
    }
    match &mut profile.green_trc {
        Some(ToneReprCurve::Lut(values)) => {
            if let Some(value) = values.get_mut(1) {
                *value ^= 1;
            }
        }
        Some(ToneReprCurve::Parametric(parameters)) => {
            if let Some(exponent) = parameters.first_mut() {
                *exponent *= 1.0 + 1e-5;
            }
        }
        None => {}
    }
}

fn of_gamma(gamma: u32, primaries: Option<[u32; 8]>) -> Option<ColorProfile> {
    let mut profile = ColorProfile::new_srgb();
    if let Some(primaries) = primaries {
        let [white, red, green, blue] = std::array::from_fn(|at| {
            let part = |at: usize| primaries[at] as f32 / 100_000.0;
            Chromaticity::new(part(2 * at), part(2 * at + 1))
        });
        profile.update_rgb_colorimetry(XyY::new(white.x.into(), white.y.into(), 1.0), ColorPrimaries { red, green, blue });
    }
    // An own curve is used only where no code names another one.
    profile.cicp = None;
    let curve = ToneReprCurve::Parametric(vec![100_000.0 / (gamma.max(1) as f32)]);
    (profile.red_trc, profile.green_trc, profile.blue_trc) = (Some(curve.clone()), Some(curve.clone()), Some(curve));
    Some(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(profile: &ColorProfile, pixels: &[u8]) -> Option<Vec<u8>> {
        let bytes = profile.encode().unwrap();
        let frame = Frame::new(pixels.len() as u32 / 3, 1, pixels.to_vec()).unwrap();
        let shown = Profiles::default().convert(&Profile::Icc(bytes.into()), &frame, &BufferPool::new(0));
        shown.map(|shown| shown.to_vec())
    }

    #[test]
    fn what_cameras_and_programs_write_moves_no_tone_far() {
        let profiles = [
            ColorProfile::new_srgb(),
            ColorProfile::new_display_p3(),
            ColorProfile::new_adobe_rgb(),
            ColorProfile::new_pro_photo_rgb(),
            ColorProfile::new_bt2020(),
            ColorProfile::new_gray_with_gamma(2.2),
            ColorProfile::new_gray_with_gamma(1.8),
        ];
        for profile in profiles {
            assert_eq!(shown(&profile, &[9; 6]), None, "{:?}", profile.description);
        }
    }

    #[test]
    fn a_profile_that_shows_another_picture_is_applied() {
        let mut negative = ColorProfile::new_srgb();
        negative.cicp = None;
        let curve = ToneReprCurve::Lut((0..=255_u16).rev().map(|value| value * 257).collect());
        (negative.red_trc, negative.green_trc, negative.blue_trc) = (Some(curve.clone()), Some(curve.clone()), Some(curve.clone()));
        let out = shown(&negative, &[0, 0, 0, 255, 255, 255]).unwrap();
        assert!(out[0] > 250 && out[3] < 5, "{out:?}");
        let mut blue = ColorProfile::new_srgb();
        (blue.cicp, blue.blue_trc) = (None, Some(curve.clone()));
        let out = shown(&blue, &[0, 0, 0, 255, 255, 255]).unwrap();
        assert!(out[0] < 5 && out[1] < 5 && out[2] > 250 && out[3] > 250 && out[5] < 5, "{out:?}");
        let mut grey = ColorProfile::new_gray_with_gamma(2.2);
        grey.gray_trc = Some(curve);
        assert!(shown(&grey, &[0, 0, 0]).unwrap()[0] > 250);
        assert_eq!(shown(&grey, &[0, 0, 9]), None, "a profile of greys on a picture in colour");
        assert_eq!(
            Profiles::default()
                .convert(&Profile::Icc(b"no profile"[..].into()), &Frame::new(1, 1, vec![0; 3]).unwrap(), &BufferPool::new(0))
                .map(|_| ()),
            None
        );
    }

    #[test]
    fn the_gamma_of_a_png_is_a_power() {
        let frame = Frame::new(2, 1, vec![255, 255, 255, 240, 240, 240]).unwrap();
        let convert = |gamma, primaries| {
            Profiles::default().convert(&Profile::Gamma(gamma, primaries), &frame, &BufferPool::new(0)).map(|out| out.to_vec())
        };
        assert_eq!(convert(45_455, None), None, "what every program writes");
        let srgb = [31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000];
        assert_eq!(convert(45_455, Some(srgb)), None);
        assert_eq!(convert(55_556, None), None, "an old Macintosh");
        let out = convert(2_300, Some(srgb)).unwrap();
        assert!(out[0] > 250, "{out:?}");
        // 255 * (240 / 255) ^ (1 / (2.2 * 0.023)) = 77
        assert!(out[3].abs_diff(77) < 10, "{out:?}");
    }
}
