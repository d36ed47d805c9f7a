//! EXIF orientation: finding it, and turning pixels by it.

use crate::domain::frame::{Buffer, BufferPool};

/// EXIF tag 274 (0x0112): how the stored picture is to be turned to stand upright. 1 is upright.
///
/// Source: CIPA DC-008 (Exif 2.32), section 4.6.4, `Orientation`; the directions are those of Pillow's `exif_transpose`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orientation(u8);

/// The tag's number in EXIF and in TIFF.
pub(super) const TAG: u16 = 274;

impl Orientation {
    pub(super) const UPRIGHT: Self = Self(1);

    /// From the tag's value; what is none of the eight is upright, as in Pillow.
    pub(super) fn from_value(value: u64) -> Self {
        match value {
            1..=8 => Self(value as u8),
            _ => Self::UPRIGHT,
        }
    }

    /// From an EXIF block (a small TIFF file, with or without the leading `Exif\0\0`). Unreadable blocks are upright.
    pub(super) fn from_exif(mut block: &[u8]) -> Self {
        while let Some(rest) = block.strip_prefix(b"Exif\0\0") {
            block = rest;
        }
        read_tag(block).map_or(Self::UPRIGHT, Self::from_value)
    }

    /// Whether width and height change places.
    pub(super) fn swaps_sides(self) -> bool {
        self.0 >= 5
    }

    /// Turns `width` x `height` pixels of some bytes each (3 of RGB, 1 of alpha); the result's size comes first. Upright pixels are handed back as they are.
    pub(super) fn apply(self, width: u32, height: u32, pixels: Buffer, pool: &BufferPool) -> (u32, u32, Buffer) {
        if self == Self::UPRIGHT {
            return (width, height, pixels);
        }
        // Sides fit `isize` because the pixels are in memory. The pixel of the result at (x, y) is the stored pixel
        // `first + x * right + y * down`.
        let (w, h) = (width as isize, height as isize);
        let (first, right, down) = match self.0 {
            2 => (w - 1, -1, w),
            3 => (w * h - 1, -1, -w),
            4 => ((h - 1) * w, 1, -w),
            5 => (0, w, 1),
            6 => ((h - 1) * w, -w, 1),
            7 => (w * h - 1, -w, -1),
            _ => (w - 1, w, -1),
        };
        let (out_width, out_height) = if self.swaps_sides() { (height, width) } else { (width, height) };
        let mut out = pool.take(pixels.len());
        let first_of_row = |x: usize, y: usize| (first + x as isize * right + y as isize * down) as usize;
        let size = (out_width as usize, out_height as usize);
        if pixels.len() == 3 * size.0 * size.1 {
            turn::<3>(&pixels, &mut out, size, first_of_row, right);
        } else {
            turn::<1>(&pixels, &mut out, size, first_of_row, right);
        }
        (out_width, out_height, out)
    }
}

/// Copies pixel by pixel in squares, so that both the rows read and the rows written stay in the first-level cache. `source` is the
/// number of the stored pixel for a place of the result, `step` how many pixels further its right neighbour stands.
fn turn<const BYTES: usize>(
    stored: &[u8],
    out: &mut [u8],
    (width, height): (usize, usize),
    source: impl Fn(usize, usize) -> usize,
    step: isize,
) {
    const SQUARE: usize = 64;
    for top in (0..height).step_by(SQUARE) {
        for left in (0..width).step_by(SQUARE) {
            let right = (left + SQUARE).min(width);
            for y in top..(top + SQUARE).min(height) {
                let mut at = BYTES * source(left, y);
                for pixel in out[BYTES * (y * width + left)..BYTES * (y * width + right)].chunks_exact_mut(BYTES) {
                    pixel.copy_from_slice(&stored[at..at + BYTES]);
                    // Behind the last pixel of a row this may leave the picture; it is not used then.
                    at = at.wrapping_add_signed(BYTES as isize * step);
                }
            }
        }
    }
}

/// The tag of the first directory of a TIFF block, when it holds exactly one whole number.
fn read_tag(block: &[u8]) -> Option<u64> {
    let little = match block.get(..4)? {
        [b'I', b'I', 42, 0] => true,
        [b'M', b'M', 0, 42] => false,
        _ => return None,
    };
    let short = |at: usize| -> Option<u16> {
        let bytes = block.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| -> Option<u32> {
        let bytes = block.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let directory = long(4)? as usize;
    let entries = usize::from(short(directory)?);
    for entry in (0..entries).map(|number| directory + 2 + 12 * number) {
        // Cut directories still say what stands before the cut.
        if short(entry)? == TAG {
            return match (short(entry + 2)?, long(entry + 4)?) {
                (1, 1) => block.get(entry + 8).map(|&value| u64::from(value)),
                (3, 1) => short(entry + 8).map(u64::from),
                (4, 1) => long(entry + 8).map(u64::from),
                _ => None,
            };
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 3x2 picture whose pixels are 0 1 2 / 3 4 5, turned by each of the eight; the truth is Pillow's `exif_transpose`.
    #[test]
    fn all_eight_turn_as_pillow_turns() {
        let truth: [(u64, u32, [u8; 6]); 8] = [
            (1, 3, [0, 1, 2, 3, 4, 5]),
            (2, 3, [2, 1, 0, 5, 4, 3]),
            (3, 3, [5, 4, 3, 2, 1, 0]),
            (4, 3, [3, 4, 5, 0, 1, 2]),
            (5, 2, [0, 3, 1, 4, 2, 5]),
            (6, 2, [3, 0, 4, 1, 5, 2]),
            (7, 2, [5, 2, 4, 1, 3, 0]),
            (8, 2, [2, 5, 1, 4, 0, 3]),
        ];
        let pool = BufferPool::new(0);
        for (value, width, turned) in truth {
            let stored: Vec<u8> = (0..6).flat_map(|pixel| [pixel; 3]).collect();
            let (got_width, got_height, out) = Orientation::from_value(value).apply(3, 2, stored.into(), &pool);
            assert_eq!((got_width, got_height), (width, 6 / width));
            let out: Vec<u8> = out.chunks_exact(3).map(|pixel| pixel[0]).collect();
            assert_eq!(out, turned, "orientation {value}");
        }
    }

    #[test]
    fn both_byte_orders_are_read_and_nonsense_is_upright() {
        let little = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0";
        assert_eq!(Orientation::from_exif(little), Orientation(6));
        assert_eq!(Orientation::from_exif(big), Orientation(8));
        assert_eq!(Orientation::from_exif(b"II*\0\xff\xff\xff\xff"), Orientation::UPRIGHT);
        assert_eq!(Orientation::from_value(9), Orientation::UPRIGHT);
        for cut in 0..big.len() {
            Orientation::from_exif(&big[..cut]);
        }
    }
}
