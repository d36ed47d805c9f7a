//! What a file says that its values mean, where that is another picture than the values themselves.
//!
//! Lists are made of stored values. Browsers and picture viewers convert them by the ICC profile or the PNG gamma that the file carries. For the
//! profiles that cameras and programs write (sRGB, Display P3, Adobe RGB, ProPhoto, scanners') that hardly moves a tone, so that the stored values stand for both;
//! but a profile may as well turn a picture into its negative, or a dark noise into a photograph. [`Profiles::convert`] shows what such a profile makes of a frame. The
//! arithmetic of profiles is moxcms's; which parts of a profile count is Skia's `skcms` to say, which Chromium reads them with, and which is less strict than
//! moxcms: see [`essence`]. Not applied: profiles of CMYK and Lab, named and linked ones; they are ignored by browsers, or need inks.
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

/// Longer profiles are not inflated, and their files say so: those of RGB and grey are a few hundred bytes to some megabytes.
pub(super) const MOST_BYTES: usize = 32 << 20;

/// How far a grey's channels may move (of 255) before what is shown counts as another picture: those of cameras and programs move them by less than 24.
const FAR: u8 = 32;
/// From one stored tone to the next: what is shown may rise by this, fall by this (rounding), and stay the same for as many tones. A staircase hides a picture in
/// what its steps are apart, without moving a tone far.
const STEP: u8 = 5;
const FALL: u8 = 1;
const FLAT: usize = 12;
/// How far a colour's luma may move; how far apart the moves of two colours may be; and how far a channel may move: wide gamuts move them without showing another
/// picture, but do not make red of blue.
const FAR_LUMA: i32 = 64;
const SPREAD: i32 = 90;
const ANOTHER: u8 = 220;

/// Profiles that are known to move no tone far.
const REMEMBERED: usize = 1024;

/// What a file says about its values.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(super) enum Profile<'a> {
    Icc(Cow<'a, [u8]>),
    /// The stored value is the light to the power of this, for R, G and B, in 1/100,000, or is that of sRGB; and the white point and R, G, B in x and y, of the same unit.
    Gamma(Option<[u32; 3]>, Option<[u32; 8]>),
    /// One that viewers may apply and that is not read here; and why.
    Unread(&'static str),
}

impl Profile<'_> {
    pub(super) const fn unread(&self) -> Option<&'static str> {
        match self {
            Self::Unread(why) => Some(why),
            Self::Icc(_) | Self::Gamma(..) => None,
        }
    }
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
    /// The frame, `3 * width * height` bytes, as the first of its profiles says that shows another picture. `None` where none does, none can be read, or one of greys
    /// is that of a picture in colour: then what is stored stands for it.
    pub(super) fn convert(&self, profiles: &[Profile<'_>], frame: &Frame, pool: &BufferPool) -> Option<Buffer> {
        if profiles.is_empty() {
            return None;
        }
        let number = self.0.key.hash_one(profiles);
        if self.mild().contains(&number) {
            return None;
        }
        // Of the profiles that can be read browsers may refuse the first one, which says nothing then.
        let conversion = profiles.iter().filter_map(Conversion::of).find(Conversion::moves_far);
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
    Rgb {
        transform: Arc<Transform8BitExecutor>,
        /// Whether it goes through a table of colours, which may do anything between the tones that are looked at.
        by_table: bool,
    },
    /// What each grey becomes.
    Grey(Box<[[u8; 3]; 256]>),
}

impl Conversion {
    fn of(profile: &Profile<'_>) -> Option<Self> {
        match profile {
            // One whose table cannot be read may have curves.
            Profile::Icc(bytes) => {
                [true, false].into_iter().find_map(|by_table| Self::of_profile(read(&essence(bytes, by_table)?)?, by_table))
            }
            Profile::Gamma(gamma, primaries) => Self::of_profile(of_gamma(*gamma, *primaries), false),
            Profile::Unread(_) => None,
        }
    }

    fn of_profile(mut profile: ColorProfile, by_table: bool) -> Option<Self> {
        let layout = match profile.color_space {
            DataColorSpace::Rgb => Layout::Rgb,
            DataColorSpace::Gray => Layout::Gray,
            _ => return None,
        };
        tell_curves_apart(&mut profile);
        let transform = profile.create_transform_8bit(layout, &ColorProfile::new_srgb(), Layout::Rgb, TransformOptions::default()).ok()?;
        if layout == Layout::Rgb {
            return Some(Self::Rgb { transform, by_table });
        }
        let (greys, mut table): (Vec<u8>, _) = ((0..=255).collect(), Box::new([[0; 3]; 256]));
        transform.transform(&greys, table.as_flattened_mut()).ok()?;
        Some(Self::Grey(table))
    }

    /// Whether some tone is shown as quite another, or a run of tones as quite another run: of all greys, all shades of the three colours, and a grid of the others.
    fn moves_far(&self) -> bool {
        let transform = match self {
            Self::Grey(table) => return (0..3).any(|channel| is_far(&table.map(|shown| shown[channel]))),
            Self::Rgb { by_table: true, .. } => return true,
            Self::Rgb { transform, .. } => transform,
        };
        let shown = |stored: &[[u8; 3]]| {
            let mut shown = vec![[0; 3]; stored.len()];
            transform.transform(stored.as_flattened(), shown.as_flattened_mut()).ok().map(|()| shown)
        };
        let ramp = |of: fn(u8) -> [u8; 3]| shown(&(0..=255).map(of).collect::<Vec<_>>());
        let channel = |shown: &[[u8; 3]], channel: usize| -> [u8; 256] { std::array::from_fn(|at| shown[at][channel]) };
        let greys = ramp(|value| [value; 3]).is_some_and(|shown| (0..3).any(|at| is_far(&channel(&shown, at))));
        let shades: [fn(u8) -> [u8; 3]; 3] = [|value| [value, 0, 0], |value| [0, value, 0], |value| [0, 0, value]];
        let shades = || (0..3).any(|at| ramp(shades[at]).is_some_and(|shown| falls(&channel(&shown, at), STEP)));
        let levels = || (0..=8_u8).map(|step| step.saturating_mul(32));
        let grid: Vec<[u8; 3]> = levels().flat_map(|r| levels().flat_map(move |g| levels().map(move |b| [r, g, b]))).collect();
        let another = |shown: &[[u8; 3]]| {
            let moves = || grid.iter().zip(shown).map(|(stored, shown)| luma(*shown) - luma(*stored));
            let (least, most) = (moves().min().unwrap_or(0), moves().max().unwrap_or(0));
            let channels = grid.iter().flatten().zip(shown.iter().flatten()).any(|(stored, shown)| stored.abs_diff(*shown) > ANOTHER);
            channels || -least > FAR_LUMA || most > FAR_LUMA || most - least > SPREAD
        };
        greys || shades() || shown(&grid).is_some_and(|shown| another(&shown))
    }

    /// `None` where a profile of greys is that of a picture in colour.
    fn apply(&self, pixels: &[u8], pool: &BufferPool) -> Option<Buffer> {
        let mut out = pool.take(pixels.len());
        match self {
            Self::Rgb { transform, .. } => transform.transform(pixels, &mut out).ok()?,
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

/// Whether a curve moves a tone far, falls, or goes up in steps.
fn is_far(curve: &[u8; 256]) -> bool {
    let moved = (0..=255_u8).zip(curve).any(|(stored, shown)| stored.abs_diff(*shown) > FAR);
    let steep = curve.windows(2).any(|pair| pair[1].saturating_sub(pair[0]) > STEP);
    // What is lighter than white is cut.
    let flat = curve.windows(FLAT + 1).any(|run| run[0] == run[FLAT] && run[0] < 254);
    moved || steep || flat || falls(curve, FALL)
}

fn falls(curve: &[u8; 256], by: u8) -> bool {
    let mut highest = 0;
    curve.iter().any(|&value| {
        highest = highest.max(value);
        highest - value > by
    })
}

/// ITU-R BT.601, as hashes weigh colours.
fn luma([red, green, blue]: [u8; 3]) -> i32 {
    (299 * i32::from(red) + 587 * i32::from(green) + 114 * i32::from(blue)) / 1000
}

fn read(profile: &[u8]) -> Option<ColorProfile> {
    // Every part is as long as the file that it comes from, at most.
    let options = ParsingOptions { max_profile_size: usize::MAX, max_allowed_trc_size: usize::MAX, ..ParsingOptions::default() };
    ColorProfile::new_from_slice_with_options(profile, options).ok()
}

/// A profile of those parts alone that `skcms` reads: the first of each tag; a table to the connection space whatever its intent, the perceptual one first, if
/// `by_table`, else colours and curves. It looks neither at the version nor at the class. `None` where it would find no profile.
fn essence(icc: &[u8], by_table: bool) -> Option<Vec<u8>> {
    let mut header: [u8; 128] = *icc.first_chunk()?;
    let count = u32::from_be_bytes(*icc.get(128..)?.first_chunk()?) as usize;
    let entries = || icc[132..].chunks_exact(12).take(count);
    let tag = |name: &[u8; 4]| {
        let entry = entries().find(|entry| entry.starts_with(name))?;
        let [start, length] = [4, 8].map(|at| u32::from_be_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]) as usize);
        icc.get(start..start.checked_add(length)?)
    };
    let mut tags = Vec::new();
    if by_table {
        tags.push((b"A2B0", tag(b"A2B0").or_else(|| tag(b"A2B1"))?));
    } else {
        header[20..24].copy_from_slice(b"XYZ ");
        let names = [b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"kTRC"];
        tags.extend(names.into_iter().filter_map(|name| Some((name, tag(name)?))));
    }
    if !matches!(header[8], 2 | 4) {
        header[8..12].copy_from_slice(&[2, 0x40, 0, 0]);
    }
    header[12..16].copy_from_slice(b"mntr");
    let (mut table, mut parts) = (Vec::new(), Vec::new());
    for (name, part) in &tags {
        let start = 132 + 12 * tags.len() + parts.len();
        table.extend_from_slice(*name);
        table.extend_from_slice(&u32::try_from(start).ok()?.to_be_bytes());
        table.extend_from_slice(&u32::try_from(part.len()).ok()?.to_be_bytes());
        parts.extend_from_slice(part);
        parts.resize(parts.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(132 + table.len() + parts.len()).ok()?;
    header[..4].copy_from_slice(&length.to_be_bytes());
    Some([&header[..], &(tags.len() as u32).to_be_bytes(), &table, &parts].concat())
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

fn of_gamma(gamma: Option<[u32; 3]>, primaries: Option<[u32; 8]>) -> ColorProfile {
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
    let curve = |gamma: u32| Some(ToneReprCurve::Parametric(vec![100_000.0 / (gamma.max(1) as f32)]));
    if let Some(gamma) = gamma {
        [profile.red_trc, profile.green_trc, profile.blue_trc] = gamma.map(curve);
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(profile: &ColorProfile, pixels: &[u8]) -> Option<Vec<u8>> {
        let bytes = profile.encode().unwrap();
        let frame = Frame::new(pixels.len() as u32 / 3, 1, pixels.to_vec()).unwrap();
        let shown = Profiles::default().convert(&[Profile::Icc(bytes.into())], &frame, &BufferPool::new(0));
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
                .convert(&[Profile::Icc(b"no profile"[..].into())], &Frame::new(1, 1, vec![0; 3]).unwrap(), &BufferPool::new(0))
                .map(|_| ()),
            None
        );
    }

    /// What Chromium applies and a stricter reader refuses.
    #[test]
    fn a_profile_is_read_as_browsers_read_it() {
        let mut negative = ColorProfile::new_srgb();
        negative.cicp = None;
        let curve = ToneReprCurve::Lut((0..=255_u16).rev().map(|value| value * 257).collect());
        (negative.red_trc, negative.green_trc, negative.blue_trc) = (Some(curve.clone()), Some(curve.clone()), Some(curve));
        let sound = negative.encode().unwrap();
        let frame = Frame::new(2, 1, vec![0, 0, 0, 255, 255, 255]).unwrap();
        let convert = |icc: Vec<u8>| Profiles::default().convert(&[Profile::Icc(icc.into())], &frame, &BufferPool::new(0)).is_some();
        let with = |at: usize, bytes: &[u8]| {
            let mut changed = sound.clone();
            changed[at..at + bytes.len()].copy_from_slice(bytes);
            changed
        };
        assert!(convert(sound.clone()));
        assert!(convert(with(8, &[0; 4])) && convert(with(8, &[1, 0, 0, 0])), "any version");
        assert!(convert(with(12, &[0; 4])) && convert(with(12, b"MNTR")), "any class");
        assert!(convert(with(20, b"Lab ")), "curves lead to XYZ, whatever is said");
        let mut long = sound.clone();
        long.resize(6 << 20, 0);
        assert!(convert(long), "as long as it likes");
        assert!(!convert(with(16, b"CMYK")) && !convert(sound[..200].to_vec()), "none of these is a profile of RGB");
        for cut in (0..sound.len()).step_by(7) {
            convert(sound[..cut].to_vec());
        }
    }

    /// Runs of tones that change places move none of them far.
    #[test]
    fn a_curve_that_goes_up_and_down_shows_another_picture() {
        let profile = |curve: fn(u16) -> u16| {
            let mut profile = ColorProfile::new_srgb();
            profile.cicp = None;
            let ColorProfile { red_trc: Some(srgb), .. } = ColorProfile::new_srgb() else { panic!("curves") };
            let ToneReprCurve::Parametric(srgb) = srgb else { panic!("a formula") };
            let light = |value: u16| {
                let value = f32::from(value) / 255.0;
                let [g, a, b, c, d, ..] = srgb[..] else { panic!("{srgb:?}") };
                if value >= d { (a * value + b).powf(g) } else { c * value }
            };
            let table = ToneReprCurve::Lut((0..=255).map(|value| (65535.0 * light(curve(value))) as u16).collect());
            (profile.red_trc, profile.green_trc, profile.blue_trc) = (Some(table.clone()), Some(table.clone()), Some(table));
            profile
        };
        let pixels = &[9, 9, 9];
        assert!(shown(&profile(|value| value), pixels).is_none());
        assert!(shown(&profile(|value| value ^ 32), pixels).is_some(), "blocks change places");
        assert!(shown(&profile(|value| value / 64 * 64 + 32), pixels).is_some(), "steps");
        assert!(shown(&profile(|value| value / 16 * 16), pixels).is_some(), "small steps");
        assert!(shown(&profile(|value| if value < 16 { 0 } else { value.max(64) }), pixels).is_some(), "steps in the dark");
    }

    #[test]
    fn the_gamma_of_a_png_is_a_power() {
        let frame = Frame::new(2, 1, vec![255, 255, 255, 240, 240, 240]).unwrap();
        let convert = |gamma, primaries| {
            Profiles::default()
                .convert(&[Profile::Icc(b"broken"[..].into()), Profile::Gamma(Some([gamma; 3]), primaries)], &frame, &BufferPool::new(0))
                .map(|out| out.to_vec())
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
