//! TIFF, page by page. Read here and not through the tiff crate (0.11), because that one has no palettes and lets a JPEG inside a
//! tile allocate whatever size it states.
//!
//! Samples are unsigned, of 1, 2, 4, 8 or 16 bits, all alike; grey, palette, RGB, CMYK, and YCbCr inside JPEG; in strips or tiles,
//! chunky or in planes. Pages are the directories of the chain, as in Pillow; directories below them (SubIFDs: previews, raw data) are not looked
//! at. Source of the format: "TIFF Revision 6.0", Adobe 1992, and its Technical Notes 1 and 2.

mod chunk;
mod directory;

pub(super) use directory::Directory;
use directory::tag;

use self::chunk::Coding;
use super::colours::Profile;
use super::error::Fault;
use super::orientation::{self, Orientation};
use super::pixels::{self, Palette};
use super::sequence::{Reading, Sequence, Stored};
use super::work::Work;
use crate::domain::frame::{Buffer, BufferPool};

/// What the samples mean (tag 262).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Photometric {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    Cmyk,
    /// Only inside JPEG, which gives RGB.
    YCbCr,
}

/// A tile may be larger than the picture, but not by much: this many pixels (a 1024 x 1024 tile) are always allowed.
const ROOMY_TILE: u64 = 1 << 20;

/// What an entry of a directory costs, which is looked for about twenty times; and what a strip or tile costs beside its bytes, of which stand here those that it becomes;
/// in nanoseconds.
const ENTRY: u64 = 40;
const CHUNK: u64 = 300;
const WRITTEN: u64 = 4;

/// More samples than any colour model with alpha needs; a bound for memory.
const MOST_SAMPLES: u32 = 8;

/// More pages than anything writes; a bound for walking through them.
const MOST_PAGES: u32 = 1 << 16;

/// The number of the page behind the last.
const END: u32 = u32::MAX;

pub(super) struct Tiff<'a> {
    /// Of the page that is read next.
    directory: Directory<'a>,
    size: (u32, u32),
    /// Of the page that is announced next.
    number: u32,
    /// Pages of the file, once a second one is asked for.
    pages: Option<u32>,
}

/// How pixels are cut into strips or tiles, and samples into bits.
struct Layout {
    width: usize,
    height: usize,
    /// Of one strip or tile, in pixels; the last row of strips is cut, tiles are whole.
    chunk_width: usize,
    chunk_height: usize,
    tiled: bool,
    bits: u8,
    samples: usize,
    planar: bool,
    photometric: Photometric,
    premultiplied: bool,
    /// The sample that is alpha.
    alpha: Option<usize>,
}

impl<'a> Sequence<'a> for Tiff<'a> {
    const INDEPENDENT: bool = true;

    fn open(bytes: &'a [u8], _work: &Work) -> Result<Self, Fault> {
        Ok(Self { directory: Directory::open(bytes)?, size: (0, 0), number: 0, pages: None })
    }

    fn frames(&self) -> Option<u32> {
        self.directory.chain(self.directory.first_offset(), MOST_PAGES)
    }

    fn next(&mut self, work: &Work) -> Result<Option<Stored>, Fault> {
        if self.number > 0 {
            let pages = self.pages.get_or_insert_with(|| self.directory.chain(self.directory.first_offset(), MOST_PAGES).unwrap_or(END));
            // A chain that runs in a circle ends where it would begin again.
            if self.number >= *pages {
                return Ok(None);
            }
            let number = std::mem::replace(&mut self.number, END);
            if number >= MOST_PAGES {
                return Err(Fault::unsupported(format!("more than {MOST_PAGES} pages")));
            }
            let Some(directory) = self.directory.following() else { return Ok(None) };
            // Behind a directory that cannot be read nothing is known.
            self.directory = directory?;
            self.number = number;
        }
        self.number += 1;
        let directory = &self.directory;
        work.spend(ENTRY * directory.length() as u64, "directories")?;
        self.size = (directory.required(tag::WIDTH)?, directory.required(tag::HEIGHT)?);
        let orientation = directory.first(orientation::TAG).map_or(Orientation::UPRIGHT, |value| Orientation::from_value(value.into()));
        Ok(Some(Stored { size: self.size, orientation, time: None }))
    }

    fn profiles(&self, _work: &Work) -> Result<Vec<Profile<'a>>, Fault> {
        Ok(self.directory.bytes(tag::ICC_PROFILE).map(|icc| Profile::Icc(icc.into())).into_iter().collect())
    }

    fn read(&mut self, out: &mut [u8], reading: Reading, pool: &BufferPool, work: &Work) -> Result<Option<Buffer>, Fault> {
        let directory = &self.directory;
        let layout = Layout::read(directory, self.size)?;
        let coding = Coding::read(directory, &layout)?;
        let palette = layout.palette(directory)?;
        let grid = Grid::of(&layout);
        let chunks = grid.chunks(directory, &layout, &coding)?;
        // All of a page before any of it: what is too much is refused while it has cost nothing.
        work.refer(chunks.iter().map(|&(_, length)| u64::from(length)).sum())?;
        work.spend(CHUNK * chunks.len() as u64, "strips or tiles")?;
        let mut chunk = pool.take(layout.row_bytes(layout.samples) * layout.chunk_height);
        let mut plane = if layout.planar { pool.take(layout.row_bytes(1) * layout.chunk_height) } else { Buffer::default() };
        let mut alpha = layout.alpha.filter(|_| reading == Reading::All).map(|sample| (sample, pool.take(out.len() / 3)));
        for at in 0..grid.across * grid.down {
            let (left, top) = (at % grid.across * layout.chunk_width, at / grid.across * layout.chunk_height);
            let rows = layout.chunk_height.min(layout.height - top);
            let stored_rows = if layout.tiled { layout.chunk_height } else { rows };
            let part = |number: usize| {
                let (start, length) = chunks[number];
                directory.part(start, length).ok_or_else(|| Fault::malformed("a strip or tile reaches beyond the file"))
            };
            let length = layout.row_bytes(layout.samples) * stored_rows;
            work.spend(WRITTEN * length as u64, "strips or tiles")?;
            if layout.planar {
                for sample in 0..layout.samples {
                    let plane = &mut plane[..layout.row_bytes(1) * stored_rows];
                    coding.decode(part(sample * grid.across * grid.down + at)?, plane, (layout.chunk_width, stored_rows, 1), work)?;
                    layout.weave(plane, sample, &mut chunk[..length]);
                }
            } else {
                coding.decode(part(at)?, &mut chunk[..length], (layout.chunk_width, stored_rows, layout.samples), work)?;
            }
            let visible = layout.chunk_width.min(layout.width - left);
            for (number, row) in chunk[..length].chunks_exact_mut(layout.row_bytes(layout.samples)).take(rows).enumerate() {
                let start = (top + number) * layout.width + left;
                let row = layout.reduce(row, directory.little);
                layout.expand(row, &palette, &mut out[3 * start..3 * (start + visible)]);
                if let Some((sample, alpha)) = &mut alpha {
                    let stored = row.chunks_exact(layout.samples).map(|pixel| pixel[*sample]);
                    alpha[start..start + visible].iter_mut().zip(stored).for_each(|(alpha, stored)| *alpha = stored);
                }
            }
        }
        Ok(alpha.map(|(_, alpha)| alpha))
    }
}

/// How many strips or tiles there are, in each of so many planes.
struct Grid {
    across: usize,
    down: usize,
    planes: usize,
}

impl Grid {
    fn of(layout: &Layout) -> Self {
        Self {
            across: layout.width.div_ceil(layout.chunk_width),
            down: layout.height.div_ceil(layout.chunk_height),
            planes: if layout.planar { layout.samples } else { 1 },
        }
    }

    /// Offset and length of each strip or tile.
    fn chunks(&self, directory: &Directory<'_>, layout: &Layout, coding: &Coding<'_>) -> Result<Vec<(u32, u32)>, Fault> {
        let (offsets, counts) =
            if layout.tiled { (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS) } else { (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS) };
        let offsets = directory.numbers(offsets).ok_or_else(|| Fault::malformed("no strips or tiles"))?;
        let counts = directory.numbers(counts);
        let needed = self.across as u128 * self.down as u128 * self.planes as u128;
        // A picture cannot have more chunks than the file has entries for, so their number is small once this holds.
        let held = counts.as_ref().map_or(offsets.len(), |counts| counts.len().min(offsets.len()));
        if needed > held as u128 {
            return Err(Fault::malformed("too few strips or tiles"));
        }
        let needed = needed as usize;
        match counts {
            Some(counts) => Ok(offsets.zip(counts).take(needed).collect()),
            // Old writers leave the counts out; what is stored plainly says itself how long it is.
            None if coding.is_plain() => {
                Ok(offsets.take(needed).enumerate().map(|(at, offset)| (offset, self.plain_length(layout, at))).collect())
            }
            None => Err(Fault::malformed("no strips or tiles")),
        }
    }

    /// Bytes of a strip or tile that is not compressed.
    fn plain_length(&self, layout: &Layout, at: usize) -> u32 {
        let rows = if layout.tiled {
            layout.chunk_height
        } else {
            layout.chunk_height.min(layout.height - at / self.across % self.down * layout.chunk_height)
        };
        u32::try_from(layout.row_bytes(if layout.planar { 1 } else { layout.samples }) * rows).unwrap_or(u32::MAX)
    }
}

impl Layout {
    fn read(directory: &Directory<'_>, (width, height): (u32, u32)) -> Result<Self, Fault> {
        let samples = directory.first(tag::SAMPLES_PER_PIXEL).unwrap_or(1);
        let bits = directory.first(tag::BITS_PER_SAMPLE).unwrap_or(1);
        // There may be more values than samples, and as many as the file has bytes; Pillow cuts them off, too.
        let each = samples.min(MOST_SAMPLES) as usize;
        if directory.numbers(tag::BITS_PER_SAMPLE).is_some_and(|all| all.take(each).any(|other| other != bits)) {
            return Err(Fault::unsupported("samples of different sizes"));
        }
        if directory.numbers(tag::SAMPLE_FORMAT).is_some_and(|all| all.take(each).any(|format| format != 1 && format != 4)) {
            return Err(Fault::unsupported("signed or floating-point samples"));
        }
        let photometric = match directory.required(tag::PHOTOMETRIC)? {
            0 => Photometric::WhiteIsZero,
            1 => Photometric::BlackIsZero,
            2 => Photometric::Rgb,
            3 => Photometric::Palette,
            5 => Photometric::Cmyk,
            6 => Photometric::YCbCr,
            other => return Err(Fault::unsupported(format!("photometric interpretation {other}"))),
        };
        let fewest = match photometric {
            Photometric::WhiteIsZero | Photometric::BlackIsZero | Photometric::Palette => 1,
            Photometric::Rgb | Photometric::YCbCr => 3,
            Photometric::Cmyk => 4,
        };
        let whole = matches!(bits, 8 | 16) || (matches!(bits, 1 | 2 | 4) && fewest == 1 && samples == 1);
        if !(fewest..=MOST_SAMPLES).contains(&samples) || !whole {
            return Err(Fault::unsupported(format!("{samples} samples of {bits} bits as {photometric:?}")));
        }
        let tiled = directory.first(tag::TILE_OFFSETS).is_some();
        let (chunk_width, chunk_height) = if tiled {
            (directory.required(tag::TILE_WIDTH)?, directory.required(tag::TILE_HEIGHT)?)
        } else {
            (width, directory.first(tag::ROWS_PER_STRIP).unwrap_or(height).min(height))
        };
        let area = u64::from(chunk_width) * u64::from(chunk_height);
        if area == 0 || area > ROOMY_TILE.max(u64::from(width) * u64::from(height)) {
            return Err(Fault::malformed("strips or tiles of an impossible size"));
        }
        // 1 is associated (premultiplied) alpha.
        let extra = directory.first(tag::EXTRA_SAMPLES);
        let premultiplied = matches!(photometric, Photometric::Rgb | Photometric::BlackIsZero) && samples > fewest && extra == Some(1);
        // 2 is unassociated alpha, and 999 what some drawing programs write. Four samples of RGB without a word are taken for RGBA, as in Pillow.
        let is_alpha = match extra {
            Some(extra) => matches!(extra, 1 | 2 | 999),
            None => photometric == Photometric::Rgb && samples == 4,
        };
        let alpha = (samples > fewest && is_alpha).then_some(fewest as usize);
        Ok(Self {
            width: width as usize,
            height: height as usize,
            chunk_width: chunk_width as usize,
            chunk_height: chunk_height as usize,
            tiled,
            bits: bits as u8,
            samples: samples as usize,
            planar: samples > 1 && directory.first(tag::PLANAR_CONFIGURATION) == Some(2),
            photometric,
            premultiplied,
            alpha,
        })
    }

    /// Bytes of one row of a chunk with that many samples a pixel.
    fn row_bytes(&self, samples: usize) -> usize {
        (self.chunk_width * samples * usize::from(self.bits)).div_ceil(8)
    }

    /// What one-sample pixels stand for.
    fn palette(&self, directory: &Directory<'_>) -> Result<Palette, Fault> {
        let mut palette = pixels::grey_palette(self.bits);
        match self.photometric {
            Photometric::WhiteIsZero => palette.iter_mut().flatten().for_each(|value| *value = 255 - *value),
            Photometric::Palette => {
                // All reds, then all greens, then all blues, of 16 bits.
                let map = || directory.numbers(tag::COLOR_MAP);
                let colours = map().ok_or_else(|| Fault::malformed("a palette picture without a palette"))?.len() / 3;
                palette = [[0; 3]; 256];
                for channel in 0..3 {
                    let values = map().into_iter().flatten().skip(channel * colours).take(colours);
                    palette.iter_mut().zip(values).for_each(|(colour, value)| colour[channel] = (value >> 8) as u8);
                }
            }
            _ => {}
        }
        Ok(palette)
    }

    /// Puts one plane of whole-byte samples into its place in chunky pixels.
    fn weave(&self, plane: &[u8], sample: usize, chunk: &mut [u8]) {
        let bytes = usize::from(self.bits / 8);
        for (pixel, value) in chunk.chunks_exact_mut(bytes * self.samples).zip(plane.chunks_exact(bytes)) {
            pixel[bytes * sample..bytes * (sample + 1)].copy_from_slice(value);
        }
    }

    /// One row of chunky samples to samples of at most one byte, in place.
    fn reduce<'r>(&self, row: &'r mut [u8], little: bool) -> &'r [u8] {
        if self.bits < 16 {
            return row;
        }
        // `>> 8` is to keep the high byte, wherever the file's order puts it.
        let (high, samples) = (usize::from(little), row.len() / 2);
        for at in 0..samples {
            row[at] = row[2 * at + high];
        }
        &row[..samples]
    }

    /// One row of chunky samples to RGB.
    fn expand(&self, row: &[u8], palette: &Palette, out: &mut [u8]) {
        match (self.photometric, self.samples) {
            (Photometric::Cmyk, samples) => pixels::from_cmyk(row, samples, out),
            (Photometric::Rgb | Photometric::YCbCr, 3) => pixels::from_strided::<3>(row, [0, 1, 2], out),
            (Photometric::Rgb, samples) if self.premultiplied => pixels::from_premultiplied(row, samples, out),
            (Photometric::Rgb | Photometric::YCbCr, 4) => pixels::from_strided::<4>(row, [0, 1, 2], out),
            (Photometric::Rgb | Photometric::YCbCr, samples) => {
                let leading = row.chunks_exact(samples).map(|pixel| &pixel[..3]);
                out.chunks_exact_mut(3).zip(leading).for_each(|(pixel, stored)| pixel.copy_from_slice(stored));
            }
            (_, 1) => pixels::from_indices(row, self.bits.min(8), palette, out),
            (_, samples) => {
                let grey = |pixel: &[u8]| match pixel {
                    [grey, alpha, ..] if self.premultiplied => {
                        (u32::from(*grey) * 255).checked_div(u32::from(*alpha)).unwrap_or(0).min(255) as u8
                    }
                    _ => pixel[0],
                };
                let leading: Vec<u8> = row.chunks_exact(samples).map(grey).collect();
                pixels::from_indices(&leading, 8, palette, out);
            }
        }
    }
}
