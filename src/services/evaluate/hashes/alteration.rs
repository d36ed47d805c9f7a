//! What is done to pictures.

use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    domain::frame::{BufferPool, Frame},
    engines::media::{
        Decoder, Limits,
        edit::{self, Ink, Place},
        encode::{self, EncodeError},
    },
};

/// One way of altering a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alteration {
    /// `crop`, `jpeg`, …
    pub group: &'static str,
    /// Unique.
    pub name: &'static str,
    /// For people.
    pub what: &'static str,
    edits: &'static [Edit],
}

/// A picture after an alteration.
pub(super) struct Altered {
    /// As the file decodes.
    pub frame: Frame,
    /// Of what was written as a JPEG in the end; everything else is a PNG.
    pub jpeg: Option<Vec<u8>>,
}

/// One step of an alteration. Shares are of the side concerned.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Edit {
    /// To these shares of width and height.
    Resize(f64, f64),
    /// Takes this share of the width and of the height away, more of it at one end or the other as chance has it.
    Crop(f64),
    /// Quality.
    Jpeg(u8),
    Quarters(u32),
    /// Degrees.
    Rotate(f64),
    Mirror,
    UpsideDown,
    Grey,
    /// Share of the height of one line.
    Write(&'static str, f64, Place, Ink),
    /// Share of the shorter side, on each side.
    Border(f64, [u8; 3]),
    /// Contrast and brightness.
    Tone(f64, f64),
    Gamma(f64),
    /// Standard deviation in thousandths of the shorter side.
    Blur(f32),
}

/// Pixels of what an enlargement makes, at most: a bound for its memory.
const MOST_PIXELS: f64 = 16e6;

macro_rules! alterations {
    ($($group:literal: { $($name:literal, $what:literal, [$($edit:expr),* $(,)?];)+ })+) => {
        /// All of them, in the order of the table.
        pub const ALTERATIONS: &[Alteration] = {
            use Edit::{Blur, Border, Crop, Gamma, Grey, Jpeg, Mirror, Quarters, Resize, Rotate, Tone, UpsideDown, Write};
            &[$($(Alteration { group: $group, name: $name, what: $what, edits: &[$($edit),*] }),+),+]
        };
    };
}

alterations! {
    "none": {
        "none", "as it is: only wrong matches say anything", [];
    }
    "resize": {
        "resize-200", "twice as wide and high", [Resize(2.0, 2.0)];
        "resize-50", "half as wide and high", [Resize(0.5, 0.5)];
        "resize-25", "a quarter as wide and high", [Resize(0.25, 0.25)];
        "resize-10", "a tenth as wide and high", [Resize(0.1, 0.1)];
        "squeeze-80", "narrower by a fifth, as high as before", [Resize(0.8, 1.0)];
    }
    "crop": {
        "crop-2", "2 % of width and height cut off", [Crop(0.02)];
        "crop-5", "5 % of width and height cut off", [Crop(0.05)];
        "crop-10", "10 % of width and height cut off", [Crop(0.1)];
        "crop-20", "20 % of width and height cut off", [Crop(0.2)];
        "crop-40", "40 % of width and height cut off", [Crop(0.4)];
    }
    "jpeg": {
        "jpeg-90", "JPEG of quality 90", [Jpeg(90)];
        "jpeg-70", "JPEG of quality 70", [Jpeg(70)];
        "jpeg-50", "JPEG of quality 50", [Jpeg(50)];
        "jpeg-30", "JPEG of quality 30", [Jpeg(30)];
        "jpeg-10", "JPEG of quality 10", [Jpeg(10)];
    }
    "rotate": {
        "rotate-90", "a quarter turn clockwise", [Quarters(1)];
        "rotate-180", "a half turn", [Quarters(2)];
        "rotate-270", "a quarter turn counterclockwise", [Quarters(3)];
        "rotate-1", "1 degree, black corners", [Rotate(1.0)];
        "rotate-2", "2 degrees, black corners", [Rotate(2.0)];
        "rotate-5", "5 degrees, black corners", [Rotate(5.0)];
        "rotate-10", "10 degrees, black corners", [Rotate(10.0)];
        "rotate-45", "45 degrees, black corners", [Rotate(45.0)];
    }
    "flip": {
        "flip-horizontal", "left and right mirrored", [Mirror];
        "flip-vertical", "top and bottom mirrored", [UpsideDown];
    }
    "grey": {
        "grey", "without colours", [Grey];
    }
    "text": {
        "text-5", "a line of 5 % of the height at the bottom", [Write("SAMPLE TEXT 2026", 0.05, Place::Bottom, Ink::Caption)];
        "text-10", "a line of 10 % of the height at the bottom", [Write("SAMPLE TEXT", 0.1, Place::Bottom, Ink::Caption)];
        "meme", "lines of 14 % of the height at top and bottom",
            [Write("TOP TEXT", 0.14, Place::Top, Ink::Caption), Write("LOW TEXT", 0.14, Place::Bottom, Ink::Caption)];
        "watermark", "a line of 20 % of the height in the middle, 60 % seen through",
            [Write("SAMPLE", 0.2, Place::Middle, Ink::Watermark(60))];
    }
    "border": {
        "border-2", "a black border of 2 % of the shorter side", [Border(0.02, [0; 3])];
        "border-5", "a black border of 5 % of the shorter side", [Border(0.05, [0; 3])];
        "border-10", "a black border of 10 % of the shorter side", [Border(0.1, [0; 3])];
        "border-white-5", "a white border of 5 % of the shorter side", [Border(0.05, [255; 3])];
    }
    "tone": {
        "brighter-40", "brighter by 40 of 255", [Tone(1.0, 40.0)];
        "darker-40", "darker by 40 of 255", [Tone(1.0, -40.0)];
        "contrast-60", "contrast of 60 %", [Tone(0.6, 0.0)];
        "contrast-150", "contrast of 150 %", [Tone(1.5, 0.0)];
        "gamma-0.6", "gamma 0.6: brighter shadows", [Gamma(0.6)];
        "gamma-1.6", "gamma 1.6: darker shadows", [Gamma(1.6)];
    }
    "blur": {
        "blur-5", "Gaussian, 5 thousandths of the shorter side", [Blur(5.0)];
        "blur-10", "Gaussian, 10 thousandths of the shorter side", [Blur(10.0)];
        "blur-20", "Gaussian, 20 thousandths of the shorter side", [Blur(20.0)];
    }
    "repost": {
        "repost", "60 % as large, 3 % cut off, a line of 4 %, JPEG of quality 60",
            [Resize(0.6, 0.6), Crop(0.03), Write("SAMPLE TEXT 2026", 0.04, Place::Bottom, Ink::Caption), Jpeg(60)];
        "repost-mirrored", "the same, mirrored",
            [Mirror, Resize(0.6, 0.6), Crop(0.03), Write("SAMPLE TEXT 2026", 0.04, Place::Bottom, Ink::Caption), Jpeg(60)];
    }
}

impl Alteration {
    /// The altered picture. What is left to chance follows from the seed and from the numbers of picture and alteration.
    pub(super) fn apply(&self, frame: &Frame, seed: u64, (picture, number): (usize, usize)) -> Result<Altered, EncodeError> {
        let own = (picture as u64) << 16 | number as u64;
        // SplitMix64's increment, which is also how the generator fills its state: neighbours have nothing in common.
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_add(own.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let mut altered = Altered { frame: copy(frame), jpeg: None };
        for edit in self.edits {
            altered = edit.apply(&altered.frame, &mut random)?;
        }
        Ok(altered)
    }
}

impl Edit {
    fn apply(self, frame: &Frame, random: &mut Xoshiro256PlusPlus) -> Result<Altered, EncodeError> {
        let (width, height) = (frame.width(), frame.height());
        let shorter = f64::from(width.min(height));
        let frame = match self {
            Self::Resize(across, down) => {
                let area = f64::from(width) * f64::from(height);
                let most = (MOST_PIXELS / area).sqrt().max(1.0);
                edit::resize(frame, share(width, across.min(most)), share(height, down.min(most)))
            }
            Self::Crop(cut) => {
                let size = (share(width, 1.0 - cut), share(height, 1.0 - cut));
                let mut start = |spare: u32| (f64::from(spare + 1) * uniform(random)) as u32;
                edit::crop(frame, (start(width - size.0.min(width)), start(height - size.1.min(height))), size)
            }
            Self::Jpeg(quality) => {
                let jpeg = encode::jpeg(frame, quality)?;
                return Ok(Altered { frame: decoded(&jpeg, frame), jpeg: Some(jpeg) });
            }
            Self::Quarters(quarters) => edit::quarter_turns(frame, quarters),
            Self::Rotate(degrees) => edit::rotate(frame, degrees),
            Self::Mirror => edit::mirror(frame),
            Self::UpsideDown => edit::upside_down(frame),
            Self::Grey => edit::grey(frame),
            Self::Write(text, share, place, ink) => edit::write(frame, text, share, place, ink),
            Self::Border(share, colour) => edit::border(frame, (shorter * share).round().max(1.0) as u32, colour),
            Self::Tone(contrast, brightness) => edit::tone(frame, contrast, brightness),
            Self::Gamma(gamma) => edit::gamma(frame, gamma),
            Self::Blur(thousandths) => edit::blur(frame, thousandths * shorter as f32 / 1000.0),
        };
        Ok(Altered { frame, jpeg: None })
    }
}

/// What others will see of a JPEG that we just wrote.
fn decoded(jpeg: &[u8], original: &Frame) -> Frame {
    let (width, height) = (original.width(), original.height());
    let limits = Limits { max_pixels: u64::from(width) * u64::from(height), max_side: width.max(height), max_bytes: jpeg.len() };
    let decoded = Decoder::new(limits, BufferPool::new(0)).decode(jpeg);
    decoded.expect("what the encoder wrote is a sound JPEG of the frame's size").1
}

fn copy(frame: &Frame) -> Frame {
    Frame::new(frame.width(), frame.height(), frame.pixels().to_vec()).expect("a frame's own size")
}

/// A share of a side, at least a pixel.
fn share(side: u32, share: f64) -> u32 {
    (f64::from(side) * share).round().max(1.0) as u32
}

/// In 0..1.
fn uniform(random: &mut Xoshiro256PlusPlus) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}
