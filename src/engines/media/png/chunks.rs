//! The chunks of a PNG file that are read without the decoder.

use crc32fast::hash;

use super::super::colours::{MOST_BYTES, Profile};
use super::super::error::Fault;
use super::super::inflate::{COSTS, Inflater};
use super::super::work::Work;

/// Bytes that any compressed profile may become, and one that is longer for each of its stored bytes: 32 MiB of zeros are 32 KiB of a file.
const INFLATED: usize = 2 << 20;
const EXPANSION: usize = 16;
/// What it costs to begin with a profile, also with one of nothing, in nanoseconds. A file may have any number of them that cannot be read.
const PROFILE: u64 = 60_000;

/// Names and data of chunks. Ends before the first chunk that is not whole; checksums are not looked at.
#[derive(Clone, Copy)]
pub(super) struct Chunks<'a>(&'a [u8]);

impl<'a> Chunks<'a> {
    pub(super) fn of(file: &'a [u8]) -> Self {
        Self(file.get(8..).unwrap_or_default())
    }

    /// Those whose checksum is right, and the image data whatever theirs.
    fn intact(mut self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        std::iter::from_fn(move || {
            loop {
                let chunk = Chunk::first(self.0).filter(|chunk| chunk.is_whole)?;
                self.0 = chunk.behind;
                if chunk.kind == b"IDAT" || chunk.is_right() == Some(true) {
                    return Some((chunk.kind, chunk.data));
                }
            }
        })
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = Chunk::first(self.0).filter(|chunk| chunk.is_whole)?;
        self.0 = chunk.behind;
        Some((chunk.kind, chunk.data))
    }
}

pub(super) struct Chunk<'a> {
    pub(super) kind: &'a [u8],
    /// What is there of them.
    pub(super) data: &'a [u8],
    pub(super) is_whole: bool,
    /// Kind and data, of which the checksum is.
    summed: &'a [u8],
    sum: Option<u32>,
    /// What stands behind the checksum, which may be missing with the last one.
    pub(super) behind: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// The one that stands first.
    pub(super) fn first(bytes: &'a [u8]) -> Option<Self> {
        let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
        let (kind, data) = bytes[4..].split_at_checked(4)?;
        let (data, behind) = data.split_at(length.min(data.len()));
        let sum = behind.first_chunk().map(|sum| u32::from_be_bytes(*sum));
        let summed = &bytes[4..8 + data.len()];
        Some(Self { kind, data, is_whole: data.len() == length, summed, sum, behind: behind.get(4..).unwrap_or_default() })
    }

    /// Whether the checksum is that of the chunk, where there is one.
    pub(super) fn is_right(&self) -> Option<bool> {
        self.sum.map(|sum| sum == hash(self.summed))
    }
}

/// The eXIf chunk wherever it stands, also behind the image data (PNG third edition, section 11.3.4.5). Only one is allowed; of several the
/// last counts, and of an animation only what stands before its second frame, as in Pillow.
pub(super) fn exif(file: &[u8]) -> Option<&[u8]> {
    let (mut found, mut behind_data) = (None, false);
    for (kind, data) in Chunks::of(file) {
        match kind {
            b"eXIf" => found = Some(data),
            b"IDAT" => behind_data = true,
            b"fcTL" if behind_data => break,
            b"IEND" => break,
            _ => {}
        }
    }
    found
}

/// What stands before the image data on what its values mean: code points of video, else a profile, else that it is sRGB, else a power and colours (PNG third edition,
/// section 4.3). Chunks whose checksum is wrong, or that hold what cannot be, count for nothing, as in browsers.
pub(super) fn profiles(file: &[u8], work: &Work) -> Result<Vec<Profile<'static>>, Fault> {
    let (mut video, mut icc, mut gamma, mut primaries, mut is_srgb) = (None, None, None, None, false);
    for (kind, data) in Chunks::of(file).intact().take_while(|(kind, _)| kind != b"IDAT") {
        match kind {
            b"cICP" => video = video.or_else(|| code_points(data)),
            b"iCCP" if icc.is_none() => icc = inflated(data, work)?,
            b"sRGB" => is_srgb |= matches!(data, [0..=3]),
            b"gAMA" => gamma = gamma.or_else(|| numbers::<1>(data)).filter(|[gamma]| *gamma > 0),
            b"cHRM" => primaries = primaries.or_else(|| numbers::<8>(data)),
            _ => {}
        }
    }
    let gamma = gamma.map(|[gamma]| [gamma; 3]);
    let power = (!is_srgb && (gamma.is_some() || primaries.is_some())).then_some(Profile::Gamma(gamma, primaries));
    Ok(video.flatten().into_iter().chain(icc).chain(power).collect())
}

/// What is to be said of a cICP chunk (PNG third edition, section 11.3.2.6): nothing of sRGB, and of primaries and transfers so near to it that they move no tone far.
/// Others, those of high dynamic range among them, are shown in ways that differ from viewer to viewer.
fn code_points(data: &[u8]) -> Option<Option<Profile<'static>>> {
    let [primaries, transfer, matrix, range] = data.try_into().ok()?;
    let is_mild = matches!(primaries, 1 | 5 | 6 | 7 | 9 | 11 | 12 | 22) && matches!(transfer, 1 | 4 | 6 | 13 | 14 | 15);
    Some((!(is_mild && (matrix, range) == (0, 1))).then_some(Profile::Unread("code points of video (cICP)")))
}

fn numbers<const COUNT: usize>(data: &[u8]) -> Option<[u32; COUNT]> {
    let mut numbers = [0; COUNT];
    for (number, bytes) in numbers.iter_mut().zip(data.chunks_exact(4)) {
        *number = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    (data.len() == 4 * COUNT).then_some(numbers)
}

/// The profile of an iCCP chunk: a name of up to 79 bytes (80 in libpng), a zero, a method of compression, and what is compressed.
fn inflated(data: &[u8], work: &Work) -> Result<Option<Profile<'static>>, Fault> {
    let name = data.iter().take(81).position(|&byte| byte == 0);
    let Some(compressed) = name.and_then(|name| data.get(name + 2..).filter(|_| data[name + 1] == 0)) else { return Ok(None) };
    let most = MOST_BYTES.min(INFLATED + EXPANSION * compressed.len());
    work.spend(PROFILE, "colour profiles")?;
    let (mut profile, mut inflater) = (vec![0; most + 1], Inflater::new(work, COSTS)?);
    let is_damaged = match inflater.inflate(compressed, &mut profile) {
        Ok(_) => !inflater.has_ended(),
        Err(Fault::Malformed(_)) => true,
        Err(fault) => return Err(fault),
    };
    let made = inflater.made();
    if made > most {
        return Ok(Some(Profile::Unread("a colour profile of more than its file may have")));
    }
    // A profile begins with its length. Readers stop there, and what is wrong behind it says nothing about it.
    let stated = profile[..made].first_chunk().map_or(usize::MAX, |length| u32::from_be_bytes(*length) as usize);
    if is_damaged && stated > made {
        return Ok(None);
    }
    profile.truncate(made);
    profile.shrink_to_fit();
    Ok(Some(Profile::Icc(profile.into())))
}

/// What an animation's chunks before the image data say (PNG third edition, section 11.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Animation {
    /// Frames of the animation.
    pub frames: u32,
    /// Whether the image of the IDAT chunks is shown only by what knows no animations.
    pub apart: bool,
}

/// The animation that a file announces before its image data; `None` where the png crate, too, ignores it.
pub(super) fn animation(file: &[u8]) -> Option<Animation> {
    const MOST: u32 = 0x7fff_ffff;
    let (mut frames, mut apart) = (None, true);
    for (kind, data) in Chunks::of(file).take_while(|(kind, _)| kind != b"IDAT") {
        match kind {
            b"acTL" => {
                let number = |at: usize| Some(u32::from_be_bytes(*data.get(at..)?.first_chunk()?));
                // The first that is valid counts, as in browsers.
                let valid = || number(0).filter(|frames| (1..=MOST).contains(frames) && number(4).is_some_and(|plays| plays <= MOST));
                frames = frames.or_else(valid);
            }
            b"fcTL" => apart = false,
            _ => {}
        }
    }
    frames.map(|frames| Animation { frames, apart })
}

/// Frames of which the file has a header.
pub(super) fn frame_headers(file: &[u8]) -> usize {
    Chunks::of(file).filter(|(kind, _)| kind == b"fcTL").count()
}
