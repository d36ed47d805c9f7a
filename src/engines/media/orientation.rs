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

    /// From an EXIF block (a small TIFF file, with or without the leading `Exif\0\0`, which some write twice). Unreadable blocks are upright.
    pub(super) fn from_exif(mut block: &[u8]) -> Self {
        for _ in 0..2 {
            block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
        }
        Block::open(block).and_then(|block| block.orientation()).map_or(Self::UPRIGHT, Self::from_value)
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

/// A small TIFF file in memory.
struct Block<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl<'a> Block<'a> {
    /// Either byte order; the number 42 may stand in the other one, as some writers have it.
    fn open(bytes: &'a [u8]) -> Option<Self> {
        let little = match bytes.get(..4)? {
            [b'I', b'I', 42, 0] | [b'I', b'I', 0, 42] => true,
            [b'M', b'M', 42, 0] | [b'M', b'M', 0, 42] => false,
            _ => return None,
        };
        Some(Self { bytes, little })
    }

    /// The first `N` bytes at a place, most significant first.
    fn at<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut bytes: [u8; N] = self.bytes.get(at..at.checked_add(N)?)?.try_into().ok()?;
        if self.little {
            bytes.reverse();
        }
        Some(bytes)
    }

    fn short(&self, at: usize) -> Option<u16> {
        self.at(at).map(u16::from_be_bytes)
    }

    fn long(&self, at: usize) -> Option<u32> {
        self.at(at).map(u32::from_be_bytes)
    }

    /// The tag in the first directory, as Pillow's `ImageFileDirectory_v2.load` reads it: the first readable entry counts, and of several values the
    /// first one.
    fn orientation(&self) -> Option<u64> {
        let directory = self.long(4)? as usize;
        let entries = usize::from(self.short(directory)?);
        let mut elsewhere = 0;
        for entry in (0..entries).map(|number| directory + 2 + 12 * number) {
            // Cut directories still say what stands before the cut.
            let (tag, kind, count) = (self.short(entry)?, self.short(entry + 2)?, self.long(entry + 4)? as usize);
            let inside = self.bytes.get(entry + 8..entry + 12)?;
            let Some(size) = size_of(kind).map(|size| size.saturating_mul(count)).filter(|&size| size > 0) else { continue };
            let mut place = entry + 8;
            if size > inside.len() {
                elsewhere += size;
                if elsewhere > self.bytes.len() {
                    continue;
                }
                place = self.long(entry + 8)? as usize;
                // A value that lies outside ends the reading.
                self.bytes.get(place..place.checked_add(size)?)?;
            }
            if tag == TAG {
                return self.whole_number(kind, place);
            }
        }
        None
    }

    /// The value of a type at a place, where it is a whole number that is not negative. Bytes and letters are none to Pillow.
    fn whole_number(&self, kind: u16, place: usize) -> Option<u64> {
        let signed = |value: i64| u64::try_from(value).ok();
        let float = |value: f64| (value >= 0.0 && value <= f64::from(u32::MAX) && value.fract() == 0.0).then_some(value as u64);
        match kind {
            3 => self.short(place).map(u64::from),
            4 | 13 => self.long(place).map(u64::from),
            5 => float(f64::from(self.long(place)?) / f64::from(self.long(place + 4)?)),
            6 => signed(i8::from_be_bytes(self.at(place)?).into()),
            8 => signed(i16::from_be_bytes(self.at(place)?).into()),
            9 => signed(i32::from_be_bytes(self.at(place)?).into()),
            10 => float(f64::from(i32::from_be_bytes(self.at(place)?)) / f64::from(i32::from_be_bytes(self.at(place + 4)?))),
            11 => float(f32::from_be_bytes(self.at(place)?).into()),
            12 => float(f64::from_be_bytes(self.at(place)?)),
            16 => self.at(place).map(u64::from_be_bytes),
            _ => None,
        }
    }
}

/// Bytes of one value of a TIFF type; `None` for types that Pillow skips.
fn size_of(kind: u16) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 => Some(8),
        _ => None,
    }
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

    /// A block whose entries are tag, type, count and the four bytes of the value; `behind` stands after them.
    fn block(entries: &[(u16, u16, u32, [u8; 4])], behind: &[u8]) -> Vec<u8> {
        let mut bytes = [&b"II*\0\x08\0\0\0"[..], &(entries.len() as u16).to_le_bytes()].concat();
        for (tag, kind, count, value) in entries {
            bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
            bytes.extend([count.to_le_bytes(), *value].concat());
        }
        [&bytes, &[0; 4][..], behind].concat()
    }

    /// Every row is what Pillow 13's `exif_transpose` did with it; `scripts/conformance/jpeg_layouts.py --exif` asks it again.
    #[test]
    fn odd_types_and_counts_are_read_as_pillow_reads_them() {
        let short = |value: u8| (TAG, 3, 1, [value, 0, 0, 0]);
        let there = [26, 0, 0, 0];
        let double = 6_f64.to_le_bytes();
        type Entries<'a> = &'a [(u16, u16, u32, [u8; 4])];
        let table: [(&str, u8, Entries<'_>, &[u8]); 28] = [
            ("a short", 6, &[short(6)], &[]),
            ("a long", 6, &[(TAG, 4, 1, [6, 0, 0, 0])], &[]),
            ("a byte", 1, &[(TAG, 1, 1, [6, 0, 0, 0])], &[]),
            ("letters", 1, &[(TAG, 2, 2, *b"6\0\0\0")], &[]),
            ("undefined", 1, &[(TAG, 7, 1, [6, 0, 0, 0])], &[]),
            ("a rational", 6, &[(TAG, 5, 1, there)], &[12, 0, 0, 0, 2, 0, 0, 0]),
            ("a rational of nothing", 1, &[(TAG, 5, 1, there)], &[6, 0, 0, 0, 0, 0, 0, 0]),
            ("a signed rational", 6, &[(TAG, 10, 1, there)], &[250, 255, 255, 255, 255, 255, 255, 255]),
            ("a signed byte", 6, &[(TAG, 6, 1, [6, 0, 0, 0])], &[]),
            ("a signed short", 6, &[(TAG, 8, 1, [6, 0, 0, 0])], &[]),
            ("a signed long", 6, &[(TAG, 9, 1, [6, 0, 0, 0])], &[]),
            ("a negative one", 1, &[(TAG, 9, 1, [255; 4])], &[]),
            ("a float", 6, &[(TAG, 11, 1, 6_f32.to_le_bytes())], &[]),
            ("a broken float", 1, &[(TAG, 11, 1, 6.5_f32.to_le_bytes())], &[]),
            ("a double", 6, &[(TAG, 12, 1, there)], &double),
            ("a directory", 6, &[(TAG, 13, 1, [6, 0, 0, 0])], &[]),
            ("a long of 8", 6, &[(TAG, 16, 1, there)], &[6, 0, 0, 0, 0, 0, 0, 0]),
            ("two shorts", 6, &[(TAG, 3, 2, [6, 0, 3, 0])], &[]),
            ("three shorts", 6, &[(TAG, 3, 3, there)], &[6, 0, 3, 0, 8, 0]),
            ("no shorts", 1, &[(TAG, 3, 0, [6, 0, 0, 0])], &[]),
            ("no shorts, then one", 6, &[(TAG, 3, 0, [3, 0, 0, 0]), short(6)], &[]),
            ("twice", 6, &[short(6), short(3)], &[]),
            ("an unknown type, then one", 6, &[(TAG, 0, 1, [3, 0, 0, 0]), short(6)], &[]),
            ("a byte, then a short", 1, &[(TAG, 1, 1, [3, 0, 0, 0]), short(6)], &[]),
            ("more than there is, then one", 6, &[(TAG, 3, 100, [0, 0, 1, 0]), short(6)], &[]),
            ("beyond the end, then one", 1, &[(TAG, 3, 3, [38, 0, 0, 0]), short(6)], &[6, 0]),
            ("nine", 1, &[short(9)], &[]),
            (
                "a comment that covers everything, then three shorts",
                1,
                &[(270, 2, 42, [0; 4]), (TAG, 3, 3, [38, 0, 0, 0])],
                &[6, 0, 1, 0, 1, 0],
            ),
        ];
        for (name, right, entries, behind) in table {
            assert_eq!(Orientation::from_exif(&block(entries, behind)), Orientation(right), "{name}");
        }
        let mut odd = block(&[short(6)], &[]);
        odd[2..4].copy_from_slice(&[0, 42]);
        assert_eq!(Orientation::from_exif(&odd), Orientation(6));
        assert_eq!(Orientation::from_exif(&[&b"Exif\0\0Exif\0\0"[..], &odd].concat()), Orientation(6));
        assert_eq!(Orientation::from_exif(&[&b"Exif\0\0Exif\0\0Exif\0\0"[..], &odd].concat()), Orientation::UPRIGHT);
    }
}
