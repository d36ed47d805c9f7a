//! WebP, through image-webp. The container is read here, because the sizes that its parts state must agree before any of them is decoded, and
//! because image-webp (0.2) believes flags that libwebp ignores and blends an animation's first frame with nothing, which changes its colours.

use std::borrow::Cow;
use std::io::Cursor;

use image_webp::WebPDecoder;

use super::decoder::Picture;
use super::error::Fault;
use super::orientation::Orientation;
use super::pixels;
use crate::domain::frame::BufferPool;

pub(super) struct Webp<'a> {
    /// The whole file, where the picture is all that it holds.
    simple: Option<&'a [u8]>,
    /// The canvas.
    size: (u32, u32),
    picture: Part<'a>,
    orientation: Orientation,
}

/// The first picture: of an animation its first frame.
struct Part<'a> {
    kind: &'a [u8],
    data: &'a [u8],
    left: u32,
    top: u32,
    size: (u32, u32),
}

impl<'a> Picture<'a> for Webp<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        let no_chunk = || Fault::malformed("no image chunk");
        // Pillow, too, wants all of the file, even when the first frame is whole.
        if riff_length(bytes).is_none_or(|length| length > bytes.len()) {
            return Err(Fault::malformed("the file is cut short"));
        }
        let mut chunks = Chunks(bytes.get(12..).unwrap_or_default());
        let (kind, data) = chunks.next().ok_or_else(no_chunk)?;
        if kind != b"VP8X" {
            let size = bitstream_size(kind, data).ok_or_else(no_chunk)?;
            let picture = Part { kind, data, left: 0, top: 0, size };
            return Ok(Self { simple: Some(bytes), size, picture, orientation: Orientation::UPRIGHT });
        }
        let side = |at: usize| Some(u32::from_le_bytes([*data.get(at)?, *data.get(at + 1)?, *data.get(at + 2)?, 0]) + 1);
        let size = side(4).zip(side(7)).ok_or_else(|| Fault::malformed("short VP8X chunk"))?;
        let announces_exif = data[0] & 0x08 != 0;
        let (mut orientation, mut picture) = (None, None);
        for (kind, data) in chunks {
            match kind {
                // There may be one only; of several the first counts, and none that the header does not announce, as in libwebp.
                b"EXIF" if announces_exif => orientation = orientation.or_else(|| Some(Orientation::from_exif(data))),
                // A still picture, which must fill the canvas.
                b"VP8 " | b"VP8L" => {
                    agree(bitstream_size(kind, data), size)?;
                    picture = picture.or(Some(Part { kind, data, left: 0, top: 0, size }));
                }
                // A frame: its rectangle within the canvas, and in it a picture of the rectangle's size.
                b"ANMF" => {
                    let frame = read_frame(data, size)?;
                    picture = picture.or(frame);
                }
                _ => {}
            }
        }
        let orientation = orientation.unwrap_or(Orientation::UPRIGHT);
        Ok(Self { simple: None, size, picture: picture.ok_or_else(no_chunk)?, orientation })
    }

    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn orientation(&self) -> Orientation {
        self.orientation
    }

    fn read(self, out: &mut [u8], pool: &BufferPool) -> Result<(), Fault> {
        let picture = &self.picture;
        let file = self.simple.map_or_else(|| Cow::Owned(simple_file(picture.kind, picture.data)), Cow::Borrowed);
        if picture.size == self.size {
            return read_simple(&file, picture.size, out, pool);
        }
        // What the frame does not cover is transparent black, as in libwebp's `WebPAnimDecoder`; the file's background colour is a hint.
        let (width, row_bytes) = (self.size.0 as usize, 3 * picture.size.0 as usize);
        let mut pixels = pool.take(row_bytes * picture.size.1 as usize);
        read_simple(&file, picture.size, &mut pixels, pool)?;
        out.fill(0);
        for (number, row) in pixels.chunks_exact(row_bytes).enumerate() {
            let start = 3 * ((picture.top as usize + number) * width + picture.left as usize);
            out[start..start + row_bytes].copy_from_slice(row);
        }
        Ok(())
    }
}

/// A file that holds one bitstream and nothing else.
fn simple_file(kind: &[u8], data: &[u8]) -> Vec<u8> {
    let padding = data.len() % 2;
    let length = (4 + 8 + data.len() + padding) as u32;
    [b"RIFF", length.to_le_bytes().as_slice(), b"WEBP", kind, &(data.len() as u32).to_le_bytes(), data, &[0][..padding]].concat()
}

/// The pixels of a file of one bitstream; alpha is dropped.
fn read_simple(file: &[u8], size: (u32, u32), out: &mut [u8], pool: &BufferPool) -> Result<(), Fault> {
    let mut decoder = WebPDecoder::new(Cursor::new(file)).map_err(Fault::malformed)?;
    if decoder.dimensions() != size {
        return Err(Fault::malformed("sizes disagree"));
    }
    decoder.set_memory_limit(file.len());
    if !decoder.has_alpha() {
        return decoder.read_image(out).map_err(Fault::malformed);
    }
    let mut with_alpha = pool.take(out.len() / 3 * 4);
    decoder.read_image(&mut with_alpha).map_err(Fault::malformed)?;
    pixels::from_strided::<4>(&with_alpha, [0, 1, 2], out);
    Ok(())
}

/// The length of the file as its RIFF header states it.
fn riff_length(bytes: &[u8]) -> Option<usize> {
    (u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?) as usize).checked_add(8)
}

/// The chunks of a RIFF body: name and data. Ends before the first chunk that is not whole.
struct Chunks<'a>(&'a [u8]);

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

/// Width and height of a VP8 key frame (RFC 6386, section 9.1) or a VP8L image (RFC 9649, section 3.4).
fn bitstream_size(kind: &[u8], data: &[u8]) -> Option<(u32, u32)> {
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

fn agree(stated: Option<(u32, u32)>, expected: (u32, u32)) -> Result<(), Fault> {
    if stated == Some(expected) { Ok(()) } else { Err(Fault::malformed("sizes disagree")) }
}

fn read_frame(data: &[u8], canvas: (u32, u32)) -> Result<Option<Part<'_>>, Fault> {
    let number = |at: usize| Some(u32::from_le_bytes([*data.get(at)?, *data.get(at + 1)?, *data.get(at + 2)?, 0]));
    let rectangle = || Some([number(0)? * 2, number(3)? * 2, number(6)? + 1, number(9)? + 1]);
    let [left, top, width, height] = rectangle().ok_or_else(|| Fault::malformed("short ANMF chunk"))?;
    if left + width > canvas.0 || top + height > canvas.1 {
        return Err(Fault::malformed("a frame outside the picture"));
    }
    let mut picture = None;
    for (kind, data) in Chunks(data.get(16..).unwrap_or_default()) {
        if matches!(kind, b"VP8 " | b"VP8L") {
            agree(bitstream_size(kind, data), (width, height))?;
            picture = picture.or(Some(Part { kind, data, left, top, size: (width, height) }));
        }
    }
    Ok(picture)
}
