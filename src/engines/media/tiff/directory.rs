//! The first directory of a TIFF file: tags and their whole numbers.

use super::super::error::Fault;

/// Tags used here, by their numbers in TIFF 6.0 (Adobe, 1992).
pub(super) mod tag {
    pub const WIDTH: u16 = 256;
    pub const HEIGHT: u16 = 257;
    pub const BITS_PER_SAMPLE: u16 = 258;
    pub const COMPRESSION: u16 = 259;
    pub const PHOTOMETRIC: u16 = 262;
    pub const FILL_ORDER: u16 = 266;
    pub const STRIP_OFFSETS: u16 = 273;
    pub const SAMPLES_PER_PIXEL: u16 = 277;
    pub const ROWS_PER_STRIP: u16 = 278;
    pub const STRIP_BYTE_COUNTS: u16 = 279;
    pub const PLANAR_CONFIGURATION: u16 = 284;
    pub const PREDICTOR: u16 = 317;
    pub const COLOR_MAP: u16 = 320;
    pub const TILE_WIDTH: u16 = 322;
    pub const TILE_HEIGHT: u16 = 323;
    pub const TILE_OFFSETS: u16 = 324;
    pub const TILE_BYTE_COUNTS: u16 = 325;
    pub const EXTRA_SAMPLES: u16 = 338;
    pub const SAMPLE_FORMAT: u16 = 339;
    pub const JPEG_TABLES: u16 = 347;
}

/// The entries of the first directory, over the whole file. Values are read where they stand; nothing is copied at opening.
pub(super) struct Directory<'a> {
    file: &'a [u8],
    pub(super) little: bool,
    entries: &'a [u8],
}

impl<'a> Directory<'a> {
    pub(super) fn open(file: &'a [u8]) -> Result<Self, Fault> {
        let little = match file.get(..4) {
            Some([b'I', b'I', 42, 0]) => true,
            Some([b'M', b'M', 0, 42]) => false,
            Some([_, _, 43, _] | [_, _, _, 43]) => return Err(Fault::unsupported("BigTIFF offsets")),
            _ => return Err(Fault::malformed("no TIFF header")),
        };
        let mut directory = Self { file, little, entries: &[] };
        let entries = || {
            let start = directory.number(file.get(4..8)?) as usize;
            let count = directory.number(file.get(start..start.checked_add(2)?)?) as usize;
            file.get(start + 2..start + 2 + 12 * count)
        };
        directory.entries = entries().ok_or_else(|| Fault::malformed("the directory is cut short"))?;
        Ok(directory)
    }

    /// 1, 2 or 4 bytes in the file's order.
    fn number(&self, bytes: &[u8]) -> u32 {
        let push = |number: u32, &byte: &u8| (number << 8) | u32::from(byte);
        if self.little { bytes.iter().rev().fold(0, push) } else { bytes.iter().fold(0, push) }
    }

    /// The bytes of a tag and the width of one of its values. `None` when the tag is absent, not of whole numbers, or reaches
    /// beyond the file.
    fn value(&self, tag: u16) -> Option<(&'a [u8], usize)> {
        let entry = self.entries.chunks_exact(12).find(|entry| self.number(&entry[..2]) == u32::from(tag))?;
        // BYTE, SHORT, LONG, and UNDEFINED for blocks of bytes.
        let width = match self.number(&entry[2..4]) {
            1 | 7 => 1,
            3 => 2,
            4 => 4,
            _ => return None,
        };
        let length = (self.number(&entry[4..8]) as usize).checked_mul(width)?;
        if length <= 4 {
            return Some((&entry[8..8 + length], width));
        }
        let start = self.number(&entry[8..12]) as usize;
        Some((self.file.get(start..start.checked_add(length)?)?, width))
    }

    /// All values of a tag; at most as many as the file has bytes.
    pub(super) fn numbers(&self, tag: u16) -> Option<impl ExactSizeIterator<Item = u32> + use<'_, 'a>> {
        let (bytes, width) = self.value(tag)?;
        Some(bytes.chunks_exact(width).map(|bytes| self.number(bytes)))
    }

    /// The only or first value of a tag.
    pub(super) fn first(&self, tag: u16) -> Option<u32> {
        self.numbers(tag)?.next()
    }

    /// The value of a tag that every picture needs.
    pub(super) fn required(&self, tag: u16) -> Result<u32, Fault> {
        self.first(tag).ok_or_else(|| Fault::malformed(format!("tag {tag} is missing or unreadable")))
    }

    /// The raw bytes of a tag.
    pub(super) fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        self.value(tag).map(|(bytes, _)| bytes)
    }

    /// Bytes of the whole file.
    pub(super) fn file_length(&self) -> usize {
        self.file.len()
    }

    /// Part of the file, as offsets and counts of strips and tiles name it.
    pub(super) fn part(&self, start: u32, length: u32) -> Option<&'a [u8]> {
        self.file.get(start as usize..(start as usize).checked_add(length as usize)?)
    }
}
