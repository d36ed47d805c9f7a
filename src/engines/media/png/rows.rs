//! Rows of stored samples to colour and alpha, and the order in which a file holds them.

use std::io::ErrorKind;

use png::{BitDepth, ColorType, DecodingError, Info, Reader};

use super::super::error::Fault;
use super::super::pixels::{self, Palette};
use super::super::work::Work;
use super::fault;
use super::input::Input;

pub(super) type PngReader<'a> = Reader<Input<'a>>;

/// What a byte of a row costs once it is there, in nanoseconds.
const WRITTEN: u64 = 3;

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
    work: &Work,
) -> Result<(), Fault> {
    if samples.are_plain() && alpha.is_none() && !reader.info().interlaced {
        for row in out.chunks_exact_mut(3 * width) {
            work.spend(row.len() as u64, "rows")?;
            reader.read_row(row).map_err(fault)?;
        }
        return finish(reader);
    }
    let rows = out.len() / (3 * width);
    // One row of a pass, before its pixels are put apart.
    let columns = if reader.info().interlaced { width } else { 0 };
    let (mut pass, mut pass_alpha) = (vec![0; 3 * columns], vec![0; columns]);
    each_line(reader, (width, rows), work, |line, stored| {
        let out = &mut out[3 * width * line.row..3 * width * (line.row + 1)];
        let mut alpha = alpha.as_deref_mut().map(|alpha| &mut alpha[width * line.row..width * (line.row + 1)]);
        if line.is_whole() {
            samples.expand(stored, out);
            if let Some(alpha) = &mut alpha {
                samples.alpha(stored, alpha);
            }
            return;
        }
        samples.expand(stored, &mut pass[..3 * line.length]);
        pass.chunks_exact(3).zip(line.places()).for_each(|(pixel, x)| out[3 * x..3 * x + 3].copy_from_slice(pixel));
        if let Some(alpha) = &mut alpha {
            samples.alpha(stored, &mut pass_alpha[..line.length]);
            pass_alpha.iter().zip(line.places()).for_each(|(opacity, x)| alpha[x] = *opacity);
        }
    })
}

/// Where the pixels of a stored row belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) row: usize,
    /// Pixels of it.
    pub(super) length: usize,
    /// The first one's column, and the distance of columns.
    left: usize,
    step: usize,
}

impl Line {
    /// Whether it is a row of the picture as it is.
    pub(super) const fn is_whole(self) -> bool {
        self.step == 1 && self.left == 0
    }

    /// The columns of its pixels.
    pub(super) fn places(self) -> impl Iterator<Item = usize> {
        (0..self.length).map(move |at| self.left + self.step * at)
    }
}

/// Hands on row after row of raw samples, with its place, so that it is expanded while it is in the cache, and no picture of raw samples is kept.
pub(super) fn each_line(
    reader: &mut PngReader<'_>,
    (width, rows): (usize, usize),
    work: &Work,
    mut take: impl FnMut(Line, &[u8]),
) -> Result<(), Fault> {
    let too_few = || Fault::malformed("too few rows");
    if reader.info().interlaced {
        // Row by row, so that the end is judged by `finish`, as it is for other pictures.
        for line in interlaced(width, rows) {
            let row = reader.next_interlaced_row().map_err(fault)?.ok_or_else(too_few)?;
            work.spend(WRITTEN * row.data().len() as u64, "rows")?;
            take(line, row.data());
        }
    } else {
        for number in 0..rows {
            let row = reader.next_row().map_err(fault)?.ok_or_else(too_few)?;
            work.spend(WRITTEN * row.data().len() as u64, "rows")?;
            take(Line { row: number, length: width, left: 0, step: 1 }, row.data());
        }
    }
    finish(reader)
}

/// The rows of all seven passes that have any pixel, in their order (PNG third edition, section 8.1).
fn interlaced(width: usize, height: usize) -> impl Iterator<Item = Line> {
    // The first column and row of each pass, and the distances of its columns and rows.
    let passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
    passes.into_iter().filter(move |(left, ..)| width > *left).flat_map(move |(left, top, step, down)| {
        let length = (width - left).div_ceil(step);
        (top..height).step_by(down).map(move |row| Line { row, length, left, step })
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interlaced_rows_hold_every_pixel_once() {
        for (width, height) in (1..20).flat_map(|width| (1..20).map(move |height| (width, height))) {
            let mut seen = vec![0; width * height];
            for line in interlaced(width, height) {
                line.places().for_each(|x| seen[line.row * width + x] += 1);
            }
            assert_eq!(seen, vec![1; width * height], "{width}x{height}");
        }
    }
}
