//! Rows of stored samples to colour and alpha, and the order in which a file holds them.

use std::io::{Cursor, ErrorKind};

use png::{BitDepth, ColorType, DecodingError, Info, Reader};

use super::super::error::Fault;
use super::super::pixels::{self, Palette};
use super::fault;
use crate::domain::frame::BufferPool;

pub(super) type PngReader<'a> = Reader<Cursor<&'a [u8]>>;

/// What the samples of a file stand for.
pub(super) struct Samples {
    colour: ColorType,
    depth: BitDepth,
    palette: Palette,
    transparency: Transparency,
}

/// Where alpha comes from.
enum Transparency {
    /// Everything is opaque.
    None,
    /// The last sample of every pixel.
    Channel,
    /// The bytes of the one pixel that is transparent.
    Key(Vec<u8>),
    /// An alpha for every index, or for every grey of less than a byte.
    Table(Box<[u8; 256]>),
}

impl Samples {
    pub(super) fn of(info: &Info<'_>) -> Self {
        let (colour, depth) = (info.color_type, info.bit_depth);
        let palette = match colour {
            ColorType::Indexed => pixels::palette_from(info.palette.as_deref().unwrap_or_default()),
            _ => pixels::grey_palette(depth as u8),
        };
        let transparency = match (colour, info.trns.as_deref()) {
            (ColorType::GrayscaleAlpha | ColorType::Rgba, _) => Transparency::Channel,
            (_, None) => Transparency::None,
            (ColorType::Indexed, Some(alphas)) => {
                let alpha = |index: usize| alphas.get(index).copied().unwrap_or(255);
                Transparency::Table(Box::new(std::array::from_fn(alpha)))
            }
            // The png crate has cut the key to the low bytes of samples that have one byte or less.
            (ColorType::Grayscale, Some(&[grey])) => {
                Transparency::Table(Box::new(std::array::from_fn(|sample| if sample == usize::from(grey) { 0 } else { 255 })))
            }
            (_, Some(key)) => Transparency::Key(key.to_vec()),
        };
        Self { colour, depth, palette, transparency }
    }

    pub(super) fn have_alpha(&self) -> bool {
        !matches!(self.transparency, Transparency::None)
    }

    /// Whether a stored row is already as it is wanted.
    fn are_plain(&self) -> bool {
        (self.colour, self.depth) == (ColorType::Rgb, BitDepth::Eight)
    }

    /// Colours of a row.
    pub(super) fn expand(&self, row: &[u8], out: &mut [u8]) {
        match (self.colour, self.depth) {
            // Samples are big-endian, so the first byte of a 16-bit sample is the one that `>> 8` keeps.
            (ColorType::Grayscale, BitDepth::Sixteen) => pixels::from_strided::<2>(row, [0, 0, 0], out),
            (ColorType::Grayscale | ColorType::Indexed, _) => pixels::from_indices(row, self.depth as u8, &self.palette, out),
            (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => pixels::from_strided::<4>(row, [0, 0, 0], out),
            (ColorType::GrayscaleAlpha, _) => pixels::from_strided::<2>(row, [0, 0, 0], out),
            (ColorType::Rgb, BitDepth::Sixteen) => pixels::from_strided::<6>(row, [0, 2, 4], out),
            (ColorType::Rgb, _) => pixels::from_strided::<3>(row, [0, 1, 2], out),
            (ColorType::Rgba, BitDepth::Sixteen) => pixels::from_strided::<8>(row, [0, 2, 4], out),
            (ColorType::Rgba, _) => pixels::from_strided::<4>(row, [0, 1, 2], out),
        }
    }

    /// Alpha of a row.
    pub(super) fn alpha(&self, row: &[u8], out: &mut [u8]) {
        let stride = self.colour.samples() * if self.depth == BitDepth::Sixteen { 2 } else { 1 };
        match &self.transparency {
            Transparency::None => out.fill(255),
            Transparency::Channel => {
                let at = stride - if self.depth == BitDepth::Sixteen { 2 } else { 1 };
                out.iter_mut().zip(row.chunks_exact(stride)).for_each(|(alpha, pixel)| *alpha = pixel[at]);
            }
            Transparency::Key(key) => {
                let alpha = |pixel: &[u8]| if pixel == key { 0 } else { 255 };
                out.iter_mut().zip(row.chunks_exact(stride)).for_each(|(out, pixel)| *out = alpha(pixel));
            }
            Transparency::Table(alphas) => {
                let samples = pixels::samples(row, self.depth as u8);
                out.iter_mut().zip(samples).for_each(|(alpha, sample)| *alpha = alphas[usize::from(sample)]);
            }
        }
    }
}

/// The whole image that `reader` stands before, of `width` pixels a row: colours into `out`, and alpha where it is wanted.
pub(super) fn read(
    reader: &mut PngReader<'_>,
    samples: &Samples,
    width: usize,
    out: &mut [u8],
    mut alpha: Option<&mut [u8]>,
    pool: &BufferPool,
) -> Result<(), Fault> {
    if samples.are_plain() && alpha.is_none() && !reader.info().interlaced {
        for row in out.chunks_exact_mut(3 * width) {
            reader.read_row(row).map_err(fault)?;
        }
        return finish(reader);
    }
    let rows = out.len() / (3 * width);
    each_row(reader, (width, rows), pool, |number, row| {
        samples.expand(row, &mut out[3 * width * number..3 * width * (number + 1)]);
        if let Some(alpha) = &mut alpha {
            samples.alpha(row, &mut alpha[width * number..width * (number + 1)]);
        }
    })
}

/// Hands on row after row of raw samples, with its number, so that it is expanded while it is in the cache.
pub(super) fn each_row(
    reader: &mut PngReader<'_>,
    (width, rows): (usize, usize),
    pool: &BufferPool,
    mut take: impl FnMut(usize, &[u8]),
) -> Result<(), Fault> {
    if !reader.info().interlaced {
        for number in 0..rows {
            let row = reader.next_row().map_err(fault)?.ok_or_else(|| Fault::malformed("too few rows"))?;
            take(number, row.data());
        }
        return finish(reader);
    }
    // Adam7 passes are put together in a scratch picture of raw samples, whose rows are as long as those of the whole picture.
    let too_large = || Fault::malformed("more bytes than can be addressed");
    let mut raw = pool.take(reader.output_buffer_size().ok_or_else(too_large)?);
    let stride = reader.output_line_size(reader.info().width).ok_or_else(too_large)?;
    let used = reader.output_line_size(width as u32).ok_or_else(too_large)?;
    // Samples of less than a byte are joined to what the buffer holds, which is another attachment's.
    raw.fill(0);
    let bits = reader.info().bits_per_pixel() as u8;
    // Row by row, so that the end is judged by `finish`, as it is for other pictures.
    for _ in 0..interlaced_rows(width, rows) {
        let row = reader.next_interlaced_row().map_err(fault)?.ok_or_else(|| Fault::malformed("too few rows"))?;
        if let png::InterlaceInfo::Adam7(place) = row.interlace() {
            png::expand_interlaced_row(&mut raw, stride, row.data(), place, bits);
        }
    }
    finish(reader)?;
    for (number, row) in raw.chunks_exact(stride).take(rows).enumerate() {
        take(number, &row[..used.min(stride)]);
    }
    Ok(())
}

/// Rows of all seven passes that have any pixel (PNG third edition, section 8.1).
fn interlaced_rows(width: usize, height: usize) -> usize {
    // The first column and row of each pass, and the distance of its rows.
    let passes = [(0, 0, 8), (4, 0, 8), (0, 4, 8), (2, 0, 4), (0, 2, 4), (1, 0, 2), (0, 1, 2)];
    passes.iter().filter(|(left, ..)| width > *left).map(|(_, top, step)| height.saturating_sub(*top).div_ceil(*step)).sum()
}

/// Reads to the end of the image data, whose checksums tell damage that still inflates. All rows are there, so a file that just
/// ends here is taken, as in Pillow.
fn finish(reader: &mut PngReader<'_>) -> Result<(), Fault> {
    match reader.next_row() {
        Ok(_) => Ok(()),
        Err(DecodingError::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
        Err(error) => Err(fault(error)),
    }
}
