//! The blocks of a GIF file: what stands before each frame's pixels, and the pixels' indices.

use std::time::Duration;

use weezl::{BitOrder, LzwStatus};

use super::super::error::Fault;
use super::super::pixels::{self, Palette};
use super::super::work::Work;

/// What a byte of codes costs: almost three codes, of which each may begin the table anew; and a block of them; in nanoseconds.
const STORED: u64 = 30;
const BLOCK: u64 = 20;

/// A reader that knows where it stands; every step is `None` at the end of the bytes.
#[derive(Clone, Copy)]
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

    /// Goes behind the terminator of a row of sub-blocks.
    fn skip_blocks(&mut self) -> Option<()> {
        while !self.block()?.is_empty() {}
        Some(())
    }

    fn colours(&mut self, flags: u8) -> Option<&'a [u8]> {
        self.take(3 << ((flags & 7) + 1))
    }
}

fn word(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

/// What becomes of a frame's area before the next frame is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposal {
    Keep,
    Background,
    Previous,
}

/// Colours of indices; of a table that is a ramp of greys, and without any table, every index is its own grey, as in Pillow.
#[derive(Clone, Copy)]
pub(super) struct Colours<'a>(Option<&'a [u8]>);

impl<'a> Colours<'a> {
    fn of(table: &'a [u8]) -> Self {
        let ramp = (0_u8..=255).zip(table.chunks_exact(3)).all(|(index, colour)| colour == [index; 3]);
        Self((!ramp).then_some(table))
    }

    /// All 256; what the file does not define is black.
    pub(super) fn palette(self) -> Palette {
        self.0.map_or_else(|| pixels::grey_palette(8), pixels::palette_from)
    }

    /// One colour; what the file does not define is the first one.
    pub(super) fn colour(self, index: u8) -> [u8; 3] {
        match self.0 {
            None => [index; 3],
            Some(table) => {
                let colour = |index: u8| table.get(3 * usize::from(index)..)?.first_chunk().copied();
                colour(index).or_else(|| colour(0)).unwrap_or_default()
            }
        }
    }
}

/// One frame's header, and where its pixels stand.
#[derive(Clone, Copy)]
pub(super) struct FrameHeader<'a> {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
    pub interlaced: bool,
    pub colours: Colours<'a>,
    pub transparent: Option<u8>,
    /// As Pillow reads it.
    pub disposal: Disposal,
    /// As browsers read it: of this frame alone, and what is not defined keeps.
    pub own_disposal: Disposal,
    /// How long the frame is shown.
    pub delay: Duration,
    /// Bits of an uncompressed index.
    code_size: u8,
    /// Sub-blocks of compressed data, up to the end of the file.
    blocks: Bytes<'a>,
}

/// The frame headers of a file, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Headers<'a> {
    /// What stands behind the last header.
    rest: Bytes<'a>,
    /// Whether the compressed data of a frame comes next.
    within: bool,
    pub screen: (usize, usize),
    /// The index that the screen is said to be filled with.
    pub background: u8,
    global: Colours<'a>,
    /// Stays as it is where a frame names none, as in Pillow.
    disposal: Disposal,
}

impl<'a> Headers<'a> {
    pub(super) fn open(file: &'a [u8]) -> Option<Self> {
        let mut rest = Bytes(file);
        let screen = rest.take(13)?;
        let flags = screen[10];
        let (background, global) = if flags & 0x80 != 0 { (screen[11], Colours::of(rest.colours(flags)?)) } else { (0, Colours(None)) };
        let screen = (word(screen, 6), word(screen, 8));
        Some(Self { rest, within: false, screen, background, global, disposal: Disposal::Keep })
    }

    /// The next frame's header. `None` behind the last one: at the trailer, or where the file ends between frames.
    pub(super) fn next(&mut self) -> Option<Result<FrameHeader<'a>, Fault>> {
        if std::mem::replace(&mut self.within, false) {
            self.rest.skip_blocks()?;
        }
        let (mut transparent, mut delay, mut own_disposal) = (None, Duration::ZERO, Disposal::Keep);
        loop {
            match self.rest.byte()? {
                b'!' => {
                    // A graphic control extension (label 0xf9) is of the next frame; all else is skipped.
                    let label = self.rest.byte()?;
                    let block = self.rest.block()?;
                    if let (0xf9, [control, low, high, index, ..]) = (label, block) {
                        if control & 1 != 0 {
                            transparent = Some(*index);
                        }
                        delay = Duration::from_millis(10 * u64::from(u16::from_le_bytes([*low, *high])));
                        (self.disposal, own_disposal) = match (control >> 2) & 7 {
                            0 => (self.disposal, Disposal::Keep),
                            1 => (Disposal::Keep, Disposal::Keep),
                            2 => (Disposal::Background, Disposal::Background),
                            // Old programs write 4 for 3.
                            3 | 4 => (Disposal::Previous, Disposal::Previous),
                            // What is not defined is to restore, as in Pillow.
                            _ => (Disposal::Previous, Disposal::Keep),
                        };
                    }
                    if !block.is_empty() {
                        self.rest.skip_blocks()?;
                    }
                }
                b',' => break,
                b';' => return None,
                // Junk between blocks is skipped, as Pillow does.
                _ => {}
            }
        }
        Some(self.frame(transparent, own_disposal, delay).unwrap_or_else(|| Err(Fault::malformed("the picture is cut short"))))
    }

    /// What stands behind an image separator.
    fn frame(&mut self, transparent: Option<u8>, own_disposal: Disposal, delay: Duration) -> Option<Result<FrameHeader<'a>, Fault>> {
        let descriptor = self.rest.take(9)?;
        let [left, top, width, height] = [0, 2, 4, 6].map(|at| word(descriptor, at));
        let flags = descriptor[8];
        let colours = if flags & 0x80 != 0 { Colours::of(self.rest.colours(flags)?) } else { self.global };
        let code_size = self.rest.byte()?;
        if !(1..=8).contains(&code_size) || width == 0 || height == 0 {
            return Some(Err(Fault::malformed("an impossible frame")));
        }
        self.within = true;
        let (interlaced, disposal, blocks) = (flags & 0x40 != 0, self.disposal, self.rest);
        Some(Ok(FrameHeader {
            left,
            top,
            width,
            height,
            interlaced,
            colours,
            transparent,
            disposal,
            own_disposal,
            delay,
            code_size,
            blocks,
        }))
    }
}

impl FrameHeader<'_> {
    /// Decompresses the sub-blocks into exactly one frame of indices, row by row as stored.
    pub(super) fn inflate(&self, indices: &mut [u8], work: &Work) -> Result<(), Fault> {
        if self.code_size == 1 {
            return unpack_pairs(self.blocks, indices, work);
        }
        let mut lzw = weezl::decode::Decoder::new(BitOrder::Lsb, self.code_size);
        let mut bytes = self.blocks;
        let (mut block, mut written): (&[u8], usize) = (&[], 0);
        while written < indices.len() {
            let step = lzw.decode_bytes(block, &mut indices[written..]);
            written += step.consumed_out;
            block = &block[step.consumed_in..];
            let moved = step.consumed_in + step.consumed_out > 0;
            match step.status.map_err(Fault::malformed)? {
                LzwStatus::Done if written < indices.len() => return Err(Fault::malformed("too few pixels")),
                // The decoder takes some bytes in before it gives their pixels out, so that it may go on without a new block.
                _ if moved => {}
                _ if !block.is_empty() => return Err(Fault::malformed("codes that lead nowhere")),
                _ => {
                    block = bytes.block().ok_or_else(|| Fault::malformed("the picture is cut short"))?;
                    if block.is_empty() {
                        return Err(Fault::malformed("too few pixels"));
                    }
                    spend_block(block, work)?;
                }
            }
        }
        Ok(())
    }

    /// The row of the frame that the `number`-th stored row is.
    pub(super) fn row(&self, number: usize) -> usize {
        if self.interlaced { interlaced_row(number, self.height) } else { number }
    }
}

fn spend_block(block: &[u8], work: &Work) -> Result<(), Fault> {
    work.spend(BLOCK + STORED * block.len() as u64, "codes of a GIF")
}

/// Codes of two bits: index 0, index 1, clear, end. The format begins with three bits (a code size of 2), and readers differ on when such
/// codes would grow; in Pillow they never do.
fn unpack_pairs(mut bytes: Bytes<'_>, indices: &mut [u8], work: &Work) -> Result<(), Fault> {
    let mut indices = indices.iter_mut();
    loop {
        let block = match bytes.block() {
            None => return Err(Fault::malformed("the picture is cut short")),
            Some([]) => return Err(Fault::malformed("too few pixels")),
            Some(block) => block,
        };
        spend_block(block, work)?;
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
