//! The RIFF container of WebP (RFC 9649): chunks, and the sizes that they state.

use std::time::Duration;

use image_webp::{DecodingError, WebPDecoder};

use super::super::canvas::Area;
use super::super::error::Fault;
use super::super::work::{self, Metered, Work};
use super::groups;
use crate::domain::frame::{Buffer, BufferPool};

/// What a stored byte costs, and a pixel of a lossy picture, which is decoded without a stop once its bytes are there, and of a lossless one; in nanoseconds.
pub(super) const STORED: u64 = 50;
const LOSSY: u64 = 60;
const LOSSLESS: u64 = 20;
/// A group of codes, whose tables may take 20 KiB; and a byte of a picture whose groups cannot be counted, because it is broken, or they are.
const GROUP: u64 = 14_000;
const GROUP_BYTES: u64 = 20 << 10;
const UNCOUNTED: u64 = 350;
/// Bytes before the codes of a lossless picture: the signature, the size, whether there is alpha, the version. And before those of a plane of alpha: how it is filtered.
const HEADER: usize = 5;
const ALPHA_HEADER: usize = 1;

/// Counts what stands before a decoder that takes a whole picture at once.
pub(super) fn spend_bitstream(kind: &[u8], data: &[u8], size: (u32, u32), work: &Work) -> Result<(), Fault> {
    let pixels = u64::from(size.0) * u64::from(size.1);
    let codes = match kind {
        b"VP8 " => return work.spend_at_once(LOSSY * pixels, "blocks of a WebP"),
        b"VP8L" => data.get(HEADER..),
        // Plain, if its lowest bits are zero.
        _ => data.get(ALPHA_HEADER..).filter(|_| data[0] & 3 != 0),
    };
    let Some(codes) = codes else { return Ok(()) };
    work.spend(LOSSLESS * pixels, "pixels of a WebP")?;
    let cost = groups::count(codes, size).map_or(UNCOUNTED * codes.len() as u64, |groups| GROUP * u64::from(groups));
    work.spend(cost, "tables of a WebP")?;
    work.tables(cost / GROUP * GROUP_BYTES)
}

pub(super) fn fault(error: DecodingError) -> Fault {
    if let DecodingError::IoError(error) = &error
        && let Some(stopped) = work::stopped(error)
    {
        return stopped;
    }
    Fault::malformed(error)
}

/// The length of the file as its RIFF header states it.
pub(super) fn riff_length(bytes: &[u8]) -> Option<usize> {
    (u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?) as usize).checked_add(8)
}

/// The chunks of a RIFF body: name and data. Ends before the first chunk that is not whole.
#[derive(Clone, Copy)]
pub(super) struct Chunks<'a>(pub &'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let kind = self.0.get(..4)?;
        let length = u32::from_le_bytes(self.0.get(4..8)?.try_into().ok()?) as usize;
        let data = self.0.get(8..8_usize.checked_add(length)?)?;
        // Chunks are padded to even lengths; the last pad byte may be missing.
        self.0 = self.0.get(8 + length + length % 2..).unwrap_or_default();
        Some((kind, data))
    }
}

/// Three bytes, as sizes are stored.
pub(super) fn number(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes([*data.get(at)?, *data.get(at + 1)?, *data.get(at + 2)?, 0]))
}

/// Width and height of a VP8 key frame (RFC 6386, section 9.1) or a VP8L image (RFC 9649, section 3.4).
pub(super) fn bitstream_size(kind: &[u8], data: &[u8]) -> Option<(u32, u32)> {
    match kind {
        b"VP8 " => {
            let side = |at: usize| Some(u32::from(u16::from_le_bytes([*data.get(at)?, *data.get(at + 1)?]) & 0x3fff));
            side(6).zip(side(8))
        }
        b"VP8L" => {
            let bits = u32::from_le_bytes(data.get(1..5)?.try_into().ok()?);
            Some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
        }
        _ => None,
    }
}

/// A VP8L image says that it has alpha behind its size, in bit 28 of its header: this one of its fifth byte.
const VP8L_ALPHA: u8 = 0x10;

/// One compressed picture, and its alpha where that stands apart.
#[derive(Clone, Copy)]
pub(super) struct Bitstream<'a> {
    kind: &'a [u8],
    data: &'a [u8],
    alpha: Option<&'a [u8]>,
    /// Whether a VP8L image has alpha even if it does not say so.
    alpha_used: bool,
}

impl<'a> Bitstream<'a> {
    /// The first one among some chunks, whose size must be `size`.
    pub(super) fn among(chunks: Chunks<'a>, size: (u32, u32)) -> Result<Option<Self>, Fault> {
        let mut alpha = None;
        for (kind, data) in chunks {
            match kind {
                b"ALPH" => alpha = Some(data),
                b"VP8 " | b"VP8L" if bitstream_size(kind, data) != Some(size) => return Err(sizes_disagree()),
                b"VP8 " => return Ok(Some(Self { kind, data, alpha, alpha_used: false })),
                b"VP8L" => return Ok(Some(Self { kind, data, alpha: None, alpha_used: false })),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Whether it is said to have alpha.
    pub(super) fn has_alpha(&self) -> bool {
        self.alpha.is_some() || (self.kind == b"VP8L" && self.data.get(4).is_some_and(|bits| bits & VP8L_ALPHA != 0))
    }

    /// The same picture of an extended file: there browsers use the alpha that a VP8L image holds, whatever the header and the image say.
    pub(super) fn of_alpha(self) -> Self {
        Self { alpha_used: true, ..self }
    }

    /// The pixels, and how many bytes each of them has: 3 of RGB, or 4 with alpha.
    pub(super) fn decode(&self, (width, height): (u32, u32), pool: &BufferPool, work: &Work) -> Result<(Buffer, usize), Fault> {
        spend_bitstream(self.kind, self.data, (width, height), work)?;
        if let Some(alpha) = self.alpha {
            spend_bitstream(b"ALPH", alpha, (width, height), work)?;
        }
        // The decoder reads files, so this is one.
        let mut body = Vec::with_capacity(self.data.len() + self.alpha.map_or(0, <[u8]>::len) + 64);
        body.extend_from_slice(b"WEBP");
        if let Some(alpha) = self.alpha {
            let mut header = [0; 10];
            header[0] = 0x10; // alpha
            header[4..7].copy_from_slice(&(width - 1).to_le_bytes()[..3]);
            header[7..10].copy_from_slice(&(height - 1).to_le_bytes()[..3]);
            push_chunk(&mut body, b"VP8X", &header);
            push_chunk(&mut body, b"ALPH", alpha);
        }
        push_chunk(&mut body, self.kind, self.data);
        if let Some(bits) = body.get_mut(16).filter(|_| self.kind == b"VP8L" && self.alpha_used) {
            *bits |= VP8L_ALPHA;
        }
        let mut file = Vec::with_capacity(body.len() + 8);
        push_chunk(&mut file, b"RIFF", &body);
        let mut decoder = WebPDecoder::new(Metered::new(&file, work, STORED, "codes of a WebP")).map_err(fault)?;
        if decoder.dimensions() != (width, height) {
            return Err(sizes_disagree());
        }
        let bytes = if decoder.has_alpha() { 4 } else { 3 };
        let mut pixels = pool.take(width as usize * height as usize * bytes);
        decoder.read_image(&mut pixels).map_err(fault)?;
        Ok((pixels, bytes))
    }
}

fn push_chunk(file: &mut Vec<u8>, kind: &[u8], data: &[u8]) {
    file.extend_from_slice(kind);
    // It comes from a file of the same format, so its length fits.
    file.extend_from_slice(&(data.len() as u32).to_le_bytes());
    file.extend_from_slice(data);
    if data.len() % 2 == 1 {
        file.push(0);
    }
}

/// One frame of an animation (RFC 9649, section 2.7.1.2).
#[derive(Clone, Copy)]
pub(super) struct AnimationFrame<'a> {
    pub area: Area,
    pub duration: Duration,
    /// Whether it is drawn over what is there, or in its place.
    pub blends: bool,
    /// Whether its area is cleared before the next frame.
    pub disposes: bool,
    pub bitstream: Bitstream<'a>,
}

impl<'a> AnimationFrame<'a> {
    /// From the data of an ANMF chunk: a rectangle within the canvas, and in it a picture of the rectangle's size.
    pub(super) fn read(data: &'a [u8], canvas: (u32, u32)) -> Result<Self, Fault> {
        let header = || Some(([0, 3, 6, 9, 12].map(|at| number(data, at)), *data.get(15)?));
        let Some(([Some(x), Some(y), Some(width), Some(height), Some(duration)], flags)) = header() else {
            return Err(Fault::malformed("short ANMF chunk"));
        };
        let (left, top, width, height) = (2 * x, 2 * y, width + 1, height + 1);
        if left + width > canvas.0 || top + height > canvas.1 {
            return Err(Fault::malformed("a frame outside the picture"));
        }
        let bitstream = Bitstream::among(Chunks(&data[16..]), (width, height))?;
        let bitstream = bitstream.ok_or_else(|| Fault::malformed("a frame without a picture"))?.of_alpha();
        let [left, top, width, height] = [left, top, width, height].map(|side| side as usize);
        let duration = Duration::from_millis(duration.into());
        let area = Area { left, top, width, height };
        Ok(Self { area, duration, blends: flags & 2 == 0, disposes: flags & 1 != 0, bitstream })
    }
}

pub(super) fn sizes_disagree() -> Fault {
    Fault::malformed("sizes disagree")
}
