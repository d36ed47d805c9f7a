//! What a file says that its values mean, where that is another picture than the values themselves.
//!
//! Lists are made of stored values. Browsers and picture viewers convert them by the ICC profile or the PNG gamma that the file carries. For the
//! profiles that cameras and programs write (sRGB, Display P3, Adobe RGB, ProPhoto, scanners') that hardly moves a tone, so that the stored values stand for both;
//! but a profile may as well turn a picture into its negative, or a dark noise into a photograph. [`Conversion::apply`] shows what such a profile makes of a frame. The
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

use super::error::Fault;
use super::work::Work;
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

/// What it costs to hash a profile's bytes and to copy them; to read one, and to look at what it does; and to convert a pixel, in nanoseconds.
const PROFILE_BYTE: u64 = 10;
const PROFILE: u64 = 3_000_000;
const CONVERTED: u64 = 60;
/// Pixels that are converted at a time, so that the deadline is seen between.
const PIECE: usize = 1 << 14;

/// Longer parts of a profile are not read, and their files say so: curves have up to 4096 values of two bytes, and tables of colours up to 65 steps a side of three.
const LONGEST_CURVE: usize = 1 << 17;
const LONGEST_TABLE: usize = 4 << 20;

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
    fn length(&self) -> usize {
        match self {
            Self::Icc(bytes) => bytes.len(),
            Self::Gamma(..) | Self::Unread(_) => 0,
        }
    }

    /// Why what it shows is not looked at.
    pub(super) fn unread(&self) -> Option<&'static str> {
        match self {
            Self::Unread(why) => Some(why),
            Self::Icc(bytes) if is_overlong(bytes) => Some("a colour profile of overlong tables"),
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
    /// How the first of a frame's profiles that shows another picture shows it. `None` where none does, or none can be read: then what is stored stands for it.
    pub(super) fn conversion(&self, profiles: &[Profile<'_>], work: &Work) -> Result<Option<Conversion>, Fault> {
        if profiles.is_empty() {
            return Ok(None);
        }
        let bytes: u64 = profiles.iter().map(|profile| profile.length() as u64).sum();
        work.spend(PROFILE_BYTE * bytes, "bytes of colour profiles")?;
        let number = self.0.key.hash_one(profiles);
        if self.mild().contains(&number) {
            return Ok(None);
        }
        work.spend(PROFILE * profiles.len() as u64, "colour profiles")?;
        // Of the profiles that can be read browsers may refuse the first one, which says nothing then.
        let conversion = profiles.iter().filter_map(Conversion::of).find(Conversion::moves_far);
        if conversion.is_none() {
            let mut mild = self.mild();
            if mild.len() >= REMEMBERED {
                mild.clear();
            }
            mild.insert(number);
        }
        Ok(conversion)
    }

    fn mild(&self) -> std::sync::MutexGuard<'_, HashSet<u64>> {
        self.0.mild.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) enum Conversion {
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
            Profile::Icc(bytes) if is_overlong(bytes) => None,
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

    /// The frame, `3 * width * height` bytes, as it is shown. `None` where a profile of greys is that of a picture in colour.
    pub(super) fn apply(&self, frame: &Frame, pool: &BufferPool, work: &Work) -> Result<Option<Buffer>, Fault> {
        let pixels = frame.pixels();
        let mut out = pool.take(pixels.len());
        for (out, pixels) in out.chunks_mut(3 * PIECE).zip(pixels.chunks(3 * PIECE)) {
            work.spend(CONVERTED * (pixels.len() / 3) as u64, "pixels under a colour profile")?;
            if self.convert(pixels, out).is_none() {
                return Ok(None);
            }
        }
        Ok(Some(out))
    }

    fn convert(&self, pixels: &[u8], out: &mut [u8]) -> Option<()> {
        match self {
            Self::Rgb { transform, .. } => transform.transform(pixels, out).ok(),
            Self::Grey(table) => {
                for (out, pixel) in out.chunks_exact_mut(3).zip(pixels.chunks_exact(3)) {
                    if pixel[0] != pixel[1] || pixel[0] != pixel[2] {
                        return None;
                    }
                    out.copy_from_slice(&table[usize::from(pixel[0])]);
                }
                Some(())
            }
        }
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

const COLOURS_AND_CURVES: [&[u8; 4]; 7] = [b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"kTRC"];

/// The first part of that name.
fn part_of<'a>(icc: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    let count = u32::from_be_bytes(*icc.get(128..)?.first_chunk()?) as usize;
    let entry = icc[132..].chunks_exact(12).take(count).find(|entry| entry.starts_with(name))?;
    let [start, length] = [4, 8].map(|at| u32::from_be_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]) as usize);
    icc.get(start..start.checked_add(length)?)
}

/// Whether some part is so long that reading it costs more than any program's does; several parts may be the same bytes.
fn is_overlong(icc: &[u8]) -> bool {
    let longer = |name: &[u8; 4], most: usize| part_of(icc, name).is_some_and(|part| part.len() > most);
    longer(b"A2B0", LONGEST_TABLE) || longer(b"A2B1", LONGEST_TABLE) || COLOURS_AND_CURVES.iter().any(|name| longer(name, LONGEST_CURVE))
}

/// A profile of those parts alone that `skcms` reads: the first of each tag; a table to the connection space whatever its intent, the perceptual one first, if
/// `by_table`, else colours and curves. It looks neither at the version nor at the class. `None` where it would find no profile.
fn essence(icc: &[u8], by_table: bool) -> Option<Vec<u8>> {
    let mut header: [u8; 128] = *icc.first_chunk()?;
    let tag = |name: &[u8; 4]| part_of(icc, name);
    let mut tags = Vec::new();
    if by_table {
        tags.push((b"A2B0", tag(b"A2B0").or_else(|| tag(b"A2B1"))?));
    } else {
        header[20..24].copy_from_slice(b"XYZ ");
        tags.extend(COLOURS_AND_CURVES.into_iter().filter_map(|name| Some((name, tag(name)?))));
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
mod tests;
