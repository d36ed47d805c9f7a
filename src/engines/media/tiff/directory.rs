//! The directories of a TIFF file: tags and their whole numbers.

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
    pub const ICC_PROFILE: u16 = 34675;
}

/// The entries of one directory, over the whole file. Values are read where they stand; nothing is copied at opening.
pub(in super::super) struct Directory<'a> {
    file: &'a [u8],
    pub(in super::super) little: bool,
    entries: &'a [u8],
    /// Where the next directory stands; 0 when there is none.
    next: u32,
}

impl<'a> Directory<'a> {
    /// The first directory of a file.
    pub(in super::super) fn open(file: &'a [u8]) -> Result<Self, Fault> {
        let little = match file.get(..4) {
            Some([b'I', b'I', 42, 0]) => true,
            Some([b'M', b'M', 0, 42]) => false,
            Some([_, _, 43, _] | [_, _, _, 43]) => return Err(Fault::unsupported("BigTIFF offsets")),
            _ => return Err(Fault::malformed("no TIFF header")),
        };
        let header = Self { file, little, entries: &[], next: 0 };
        let first = file.get(4..8).map(|bytes| header.number(bytes));
        header.at(first.ok_or_else(|| Fault::malformed("no directory"))?)
    }

    /// The directory at an offset of the same file.
    fn at(&self, offset: u32) -> Result<Self, Fault> {
        let Self { file, little, .. } = *self;
        let start = offset as usize;
        let parts = || {
            let count = self.number(file.get(start..start.checked_add(2)?)?) as usize;
            let end = start + 2 + 12 * count;
            // Where the file ends behind the entries, there is no other directory.
            Some((file.get(start + 2..end)?, file.get(end..end + 4).map_or(0, |bytes| self.number(bytes))))
        };
        let (entries, next) = parts().ok_or_else(|| Fault::malformed("the directory is cut short"))?;
        Ok(Self { file, little, entries, next })
    }

    /// The directory behind this one.
    pub(super) fn following(&self) -> Option<Result<Self, Fault>> {
        (self.next != 0).then(|| self.at(self.next))
    }

    /// How many directories the chain holds from here on, each counted once though the chain may run in a circle; one that cannot be read
    /// counts, and is the last. `None` for more than `most`.
    ///
    /// In constant memory, by R. P. Brent, "An Improved Monte Carlo Factorization Algorithm", BIT 20 (1980), section 2.
    pub(super) fn chain(&self, first: u32, most: u32) -> Option<u32> {
        // What cannot be read is followed by nothing.
        let after = |offset: u32| self.at(offset).map_or(0, |directory| directory.next);
        let (mut steps, mut power, mut circle) = (1_u32, 1_u32, 1_u32);
        let (mut slow, mut fast) = (first, after(first));
        while slow != fast {
            if fast == 0 {
                return Some(steps).filter(|&steps| steps <= most);
            }
            if power == circle {
                (slow, power, circle) = (fast, 2 * power, 0);
            }
            fast = after(fast);
            (steps, circle) = (steps + 1, circle + 1);
            // A circle is found within three times its way.
            if steps / 3 > most {
                return None;
            }
        }
        // Two walkers, one circle apart, meet where it begins.
        let (mut behind, mut ahead) = (first, (0..circle).fold(first, |at, _| after(at)));
        let mut tail = 0;
        while behind != ahead {
            (behind, ahead, tail) = (after(behind), after(ahead), tail + 1);
        }
        Some(tail + circle).filter(|&pages| pages <= most)
    }

    /// Where the first directory of the file stands.
    pub(super) fn first_offset(&self) -> u32 {
        self.file.get(4..8).map_or(0, |bytes| self.number(bytes))
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
    pub(in super::super) fn first(&self, tag: u16) -> Option<u32> {
        self.numbers(tag)?.next()
    }

    /// The value of a tag that every picture needs.
    pub(super) fn required(&self, tag: u16) -> Result<u32, Fault> {
        self.first(tag).ok_or_else(|| Fault::malformed(format!("tag {tag} is missing or unreadable")))
    }

    /// The raw bytes of a tag.
    pub(in super::super) fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        self.value(tag).map(|(bytes, _)| bytes)
    }

    /// Number of its entries.
    pub(super) fn length(&self) -> usize {
        self.entries.len() / 12
    }

    /// Part of the file, as offsets and counts of strips and tiles name it.
    pub(super) fn part(&self, start: u32, length: u32) -> Option<&'a [u8]> {
        self.file.get(start as usize..(start as usize).checked_add(length as usize)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of empty directories, each at the offset that is named first, followed by the one that is named second.
    fn chained(links: &[(u32, u32)]) -> Vec<u8> {
        let mut file = b"II*\0".to_vec();
        file.extend(links[0].0.to_le_bytes());
        file.resize(200, 0);
        for &(at, next) in links {
            file[at as usize + 2..at as usize + 6].copy_from_slice(&next.to_le_bytes());
        }
        file
    }

    #[test]
    fn a_chain_is_counted_also_where_it_runs_in_a_circle() {
        let count = |links: &[(u32, u32)], most| {
            let file = chained(links);
            let directory = Directory::open(&file).unwrap();
            directory.chain(directory.first_offset(), most)
        };
        assert_eq!(count(&[(8, 0)], 9), Some(1));
        assert_eq!(count(&[(8, 20), (20, 30), (30, 0)], 9), Some(3));
        assert_eq!(count(&[(8, 20), (20, 30), (30, 0)], 2), None);
        assert_eq!(count(&[(8, 20), (20, 5000)], 9), Some(3), "one that is not there counts");
        assert_eq!(count(&[(8, 8)], 9), Some(1));
        for (length, back) in (1..12_u32).flat_map(|length| (0..length).map(move |back| (length, back))) {
            let links: Vec<_> = (0..length).map(|at| (8 + 10 * at, 8 + 10 * if at + 1 == length { back } else { at + 1 })).collect();
            assert_eq!(count(&links, 12), Some(length), "{length} back to {back}");
        }
    }
}
