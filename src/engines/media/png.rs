//! PNG, through the png crate; samples are expanded here, because Pillow keeps transparency apart from colour.

use std::io::{Cursor, ErrorKind};

use png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Reader};

use super::decoder::Picture;
use super::error::Fault;
use super::orientation::Orientation;
use super::pixels::{self, Palette};
use crate::domain::frame::BufferPool;

pub(super) struct Png<'a> {
    decoder: Decoder<Cursor<&'a [u8]>>,
    size: (u32, u32),
    orientation: Orientation,
}

impl<'a> Picture<'a> for Png<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut options = DecodeOptions::default();
        // Compressed text and profiles are of no use here and would be inflated into memory.
        options.set_ignore_text_chunk(true);
        options.set_ignore_iccp_chunk(true);
        let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
        let header = decoder.read_header_info().map_err(fault)?;
        let size = (header.width, header.height);
        let orientation = exif_chunk(bytes).map_or(Orientation::UPRIGHT, Orientation::from_exif);
        Ok(Self { decoder, size, orientation })
    }

    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn orientation(&self) -> Orientation {
        self.orientation
    }

    fn read(self, out: &mut [u8], pool: &BufferPool) -> Result<(), Fault> {
        let mut reader = self.decoder.read_info().map_err(fault)?;
        let info = reader.info();
        let (colour, depth, interlaced) = (info.color_type, info.bit_depth, info.interlaced);
        let palette = match colour {
            ColorType::Indexed => pixels::palette_from(info.palette.as_deref().unwrap_or_default()),
            _ => pixels::grey_palette(depth as u8),
        };
        let expand = |row: &[u8], out: &mut [u8]| expand_row(colour, depth, &palette, row, out);
        let row_bytes = 3 * self.size.0 as usize;
        if interlaced {
            read_interlaced(&mut reader, out, row_bytes, pool, expand)
        } else {
            // Row by row, so that a row is expanded while it is in the cache.
            for out in out.chunks_exact_mut(row_bytes) {
                if (colour, depth) == (ColorType::Rgb, BitDepth::Eight) {
                    reader.read_row(out).map_err(fault)?;
                } else {
                    let row = reader.next_row().map_err(fault)?.ok_or_else(|| Fault::malformed("too few rows"))?;
                    expand(row.data(), out);
                }
            }
            finish(&mut reader)
        }
    }
}

/// Reads to the end of the image data, whose checksums tell damage that still inflates. All rows are there, so a file that just
/// ends here is taken, as in Pillow.
fn finish(reader: &mut Reader<Cursor<&[u8]>>) -> Result<(), Fault> {
    match reader.next_row() {
        Ok(_) => Ok(()),
        Err(DecodingError::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
        Err(error) => Err(fault(error)),
    }
}

/// Adam7 passes are put together in a scratch picture of raw samples, then expanded.
fn read_interlaced(
    reader: &mut Reader<Cursor<&[u8]>>,
    out: &mut [u8],
    row_bytes: usize,
    pool: &BufferPool,
    expand: impl Fn(&[u8], &mut [u8]),
) -> Result<(), Fault> {
    let too_large = || Fault::malformed("more bytes than can be addressed");
    let mut raw = pool.take(reader.output_buffer_size().ok_or_else(too_large)?);
    let raw_row = reader.output_line_size(reader.info().width).ok_or_else(too_large)?;
    // Samples of less than a byte are joined to what the buffer holds, which is another attachment's.
    raw.fill(0);
    let (width, height) = (reader.info().width, reader.info().height);
    let bits = (reader.info().bits_per_pixel()) as u8;
    // Row by row, so that the end is judged by `finish`, as it is for other pictures.
    for _ in 0..interlaced_rows(width, height) {
        let row = reader.next_interlaced_row().map_err(fault)?.ok_or_else(|| Fault::malformed("too few rows"))?;
        if let png::InterlaceInfo::Adam7(place) = row.interlace() {
            png::expand_interlaced_row(&mut raw, raw_row, row.data(), place, bits);
        }
    }
    finish(reader)?;
    for (raw, out) in raw.chunks_exact(raw_row).zip(out.chunks_exact_mut(row_bytes)) {
        expand(raw, out);
    }
    Ok(())
}

/// Rows of all seven passes that have any pixel (PNG third edition, section 8.1).
fn interlaced_rows(width: u32, height: u32) -> u32 {
    // The first column and row of each pass, and the distance of its rows.
    let passes = [(0, 0, 8), (4, 0, 8), (0, 4, 8), (2, 0, 4), (0, 2, 4), (1, 0, 2), (0, 1, 2)];
    passes.iter().filter(|(left, ..)| width > *left).map(|(_, top, step)| height.saturating_sub(*top).div_ceil(*step)).sum()
}

fn expand_row(colour: ColorType, depth: BitDepth, palette: &Palette, row: &[u8], out: &mut [u8]) {
    match (colour, depth) {
        // Samples are big-endian, so the first byte of a 16-bit sample is the one that `>> 8` keeps.
        (ColorType::Grayscale, BitDepth::Sixteen) => pixels::from_strided::<2>(row, [0, 0, 0], out),
        (ColorType::Grayscale | ColorType::Indexed, _) => pixels::from_indices(row, depth as u8, palette, out),
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => pixels::from_strided::<4>(row, [0, 0, 0], out),
        (ColorType::GrayscaleAlpha, _) => pixels::from_strided::<2>(row, [0, 0, 0], out),
        (ColorType::Rgb, BitDepth::Sixteen) => pixels::from_strided::<6>(row, [0, 2, 4], out),
        (ColorType::Rgb, _) => pixels::from_strided::<3>(row, [0, 1, 2], out),
        (ColorType::Rgba, BitDepth::Sixteen) => pixels::from_strided::<8>(row, [0, 2, 4], out),
        (ColorType::Rgba, _) => pixels::from_strided::<4>(row, [0, 1, 2], out),
    }
}

/// The eXIf chunk wherever it stands, also behind the image data (PNG third edition, section 11.3.4.5). Only one is allowed; of several the
/// last counts, and of an animation only what stands before its second frame, as in Pillow.
fn exif_chunk(bytes: &[u8]) -> Option<&[u8]> {
    let (mut found, mut behind_data) = (None, false);
    let mut rest = bytes.get(8..)?;
    while let Some(&[a, b, c, d, ref kind @ ..]) = rest.first_chunk::<8>() {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let data = rest[8..].get(..length);
        match kind {
            b"eXIf" => found = data.or(found),
            b"IDAT" => behind_data = true,
            b"fcTL" if behind_data => break,
            b"IEND" => break,
            _ => {}
        }
        // A checksum of 4 bytes follows.
        rest = data.and_then(|_| rest[8 + length..].get(4..)).unwrap_or_default();
    }
    found
}

fn fault(error: DecodingError) -> Fault {
    Fault::malformed(error)
}
