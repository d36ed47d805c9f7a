//! GIF: the container is read here, the pixels by weezl's LZW. Only the first frame is decoded.
//!
//! The frame is placed as Pillow's `GifImageFile` places it: the screen grows when the frame reaches beyond it, and what the
//! frame does not cover is the transparent index if there is one, else index 0, seen through the frame's own palette.
//! Source of the format: "Graphics Interchange Format, Version 89a", CompuServe 1990.

use weezl::{BitOrder, LzwStatus};

use super::decoder::Picture;
use super::error::Fault;
use super::orientation::Orientation;
use super::pixels::{self, Palette};
use crate::domain::frame::BufferPool;

pub(super) struct Gif<'a> {
    screen: (u32, u32),
    /// Left, top, width, height of the first frame within the screen.
    frame: [usize; 4],
    interlaced: bool,
    palette: Palette,
    /// The index of uncovered pixels.
    background: u8,
    /// Bits of an uncompressed index.
    code_size: u8,
    /// Sub-blocks of compressed data, up to the end of the file.
    blocks: &'a [u8],
}

/// A reader that knows where it stands; every step is `None` at the end of the bytes.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    /// The next sub-block; empty at the terminator.
    fn block(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.take(usize::from(length))
    }

    fn colours(&mut self, flags: u8) -> Option<&'a [u8]> {
        self.take(3 << ((flags & 7) + 1))
    }
}

fn word(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

impl<'a> Picture<'a> for Gif<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        read_header(bytes).ok_or_else(|| Fault::malformed("no frame"))?
    }

    fn size(&self) -> (u32, u32) {
        self.screen
    }

    fn orientation(&self) -> Orientation {
        Orientation::UPRIGHT
    }

    fn read(self, out: &mut [u8], pool: &BufferPool) -> Result<(), Fault> {
        let [left, top, width, height] = self.frame;
        let mut indices = pool.take(width * height);
        self.inflate(&mut indices)?;
        let screen_width = self.screen.0 as usize;
        if (width, height) != (screen_width, self.screen.1 as usize) {
            let colour = self.palette[usize::from(self.background)];
            out.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&colour));
        }
        for (number, row) in indices.chunks_exact(width).enumerate() {
            let y = top + if self.interlaced { interlaced_row(number, height) } else { number };
            let start = 3 * (y * screen_width + left);
            pixels::from_indices(row, 8, &self.palette, &mut out[start..start + 3 * width]);
        }
        Ok(())
    }
}

impl Gif<'_> {
    /// Decompresses the sub-blocks into exactly one frame of indices.
    fn inflate(&self, indices: &mut [u8]) -> Result<(), Fault> {
        if self.code_size == 1 {
            return unpack_pairs(Bytes(self.blocks), indices);
        }
        let mut lzw = weezl::decode::Decoder::new(BitOrder::Lsb, self.code_size);
        let mut bytes = Bytes(self.blocks);
        let mut written = 0;
        while written < indices.len() {
            let mut block = match bytes.block() {
                None => return Err(Fault::malformed("the picture is cut short")),
                Some([]) => return Err(Fault::malformed("too few pixels")),
                Some(block) => block,
            };
            // The decompressor takes up to 8 bytes at a time and returns after a clear code, so codes may be left in it when the block is
            // empty: it is asked until it says that it waits for bytes, which it does after 64 codes at most.
            loop {
                let step = lzw.decode_bytes(block, &mut indices[written..]);
                written += step.consumed_out;
                block = &block[step.consumed_in..];
                match step.status.map_err(Fault::malformed)? {
                    LzwStatus::Done if written < indices.len() => return Err(Fault::malformed("too few pixels")),
                    LzwStatus::Ok if written < indices.len() => {}
                    _ => break,
                }
            }
        }
        Ok(())
    }
}

/// Codes of two bits: index 0, index 1, clear, end. The format begins with three bits (a code size of 2), and readers differ on when such
/// codes would grow; in Pillow they never do.
fn unpack_pairs(mut bytes: Bytes<'_>, indices: &mut [u8]) -> Result<(), Fault> {
    let mut indices = indices.iter_mut();
    loop {
        let block = match bytes.block() {
            None => return Err(Fault::malformed("the picture is cut short")),
            Some([]) => return Err(Fault::malformed("too few pixels")),
            Some(block) => block,
        };
        for code in block.iter().flat_map(|byte| [0, 2, 4, 6].map(|shift| (byte >> shift) & 3)) {
            match code {
                2 => {}
                3 if indices.len() > 0 => return Err(Fault::malformed("too few pixels")),
                _ => match indices.next() {
                    Some(index) => *index = code,
                    None => return Ok(()),
                },
            }
        }
        if indices.len() == 0 {
            return Ok(());
        }
    }
}

/// Everything up to the first frame's data; `None` when the bytes end before.
fn read_header(file: &[u8]) -> Option<Result<Gif<'_>, Fault>> {
    let mut bytes = Bytes(file);
    let screen = bytes.take(13)?;
    let (mut screen_width, mut screen_height, flags) = (word(screen, 6), word(screen, 8), screen[10]);
    let global = if flags & 0x80 != 0 { Some(bytes.colours(flags)?) } else { None };
    let mut transparent = None;
    loop {
        match bytes.byte()? {
            b'!' => {
                // A graphic control extension (label 0xf9) may name the transparent index; all else is skipped.
                let label = bytes.byte()?;
                let mut block = bytes.block()?;
                if let (0xf9, [control, _, _, index, ..]) = (label, block)
                    && control & 1 != 0
                {
                    transparent = Some(*index);
                }
                while !block.is_empty() {
                    block = bytes.block()?;
                }
            }
            b',' => break,
            b';' => return None,
            // Junk between blocks is skipped, as Pillow does.
            _ => {}
        }
    }
    let descriptor = bytes.take(9)?;
    let frame @ [left, top, width, height] = [0, 2, 4, 6].map(|at| word(descriptor, at));
    let flags = descriptor[8];
    let local = if flags & 0x80 != 0 { Some(bytes.colours(flags)?) } else { None };
    // Without any palette indices are grey.
    let palette = local.or(global).map_or_else(|| pixels::grey_palette(8), pixels::palette_from);
    let code_size = bytes.byte()?;
    if !(1..=8).contains(&code_size) || width == 0 || height == 0 {
        return Some(Err(Fault::malformed("an impossible frame")));
    }
    screen_width = screen_width.max(left + width);
    screen_height = screen_height.max(top + height);
    Some(Ok(Gif {
        screen: (screen_width as u32, screen_height as u32),
        frame,
        interlaced: flags & 0x40 != 0,
        palette,
        background: transparent.unwrap_or(0),
        code_size,
        blocks: bytes.0,
    }))
}

/// Where the `number`-th stored row of an interlaced frame belongs: every 8th row, then 8th from 4, 4th from 2, 2nd from 1.
fn interlaced_row(number: usize, height: usize) -> usize {
    let mut before = 0;
    for (first, step) in [(0, 8), (4, 8), (2, 4), (1, 2)] {
        let rows = height.saturating_sub(first).div_ceil(step);
        if number < before + rows {
            return first + step * (number - before);
        }
        before += rows;
    }
    height - 1
}

#[cfg(test)]
mod tests {
    use super::interlaced_row;

    #[test]
    fn interlacing_visits_every_row_once() {
        for height in 1..40 {
            let mut rows: Vec<usize> = (0..height).map(|number| interlaced_row(number, height)).collect();
            rows.sort_unstable();
            assert_eq!(rows, (0..height).collect::<Vec<_>>());
        }
    }
}
