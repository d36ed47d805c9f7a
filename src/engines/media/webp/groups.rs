//! How many groups of codes a lossless picture has, before any of them is made.
//!
//! Its pixels may be coded by up to 65,536 groups of five codes each, of which image-webp makes tables of up to 20 KiB a group, although a file of any size may name them.
//! The number stands behind the small pictures of the transforms, and is the largest of one more small picture; so these are read here, up to that number, and nothing is
//! kept of them. Source: RFC 9649, sections 3.4 to 3.8.

/// Symbols of the five codes: green, lengths and the cache; red, blue, alpha; distances.
const ALPHABETS: [usize; 5] = [256 + 24, 256, 256, 256, 40];
/// In this order the lengths of the code of lengths are stored.
const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const LONGEST_CODE: usize = 15;

/// The number of groups of a picture of this size, whose codes begin here. `None` where it is broken, or ends before.
pub(super) fn count(codes: &[u8], (width, height): (u32, u32)) -> Option<u32> {
    let mut bits = Bits { bytes: codes, at: 0 };
    let (mut width, mut seen) = (width, [false; 4]);
    while bits.read(1)? == 1 {
        let kind = bits.read(2)? as usize;
        // Each may stand there once.
        if std::mem::replace(&mut seen[kind], true) {
            return None;
        }
        match kind {
            0 | 1 => {
                let block = bits.read(3)? + 2;
                bits.small_picture(across(width, block), across(height, block), |_| {})?;
            }
            2 => {}
            _ => {
                let colours = bits.read(8)? + 1;
                bits.small_picture(colours, 1, |_| {})?;
                // Several pixels of few colours share one.
                width = across(width, [3, 2, 1, 1, 0][[2, 4, 8, 16].partition_point(|&most| colours > most)]);
            }
        }
    }
    bits.cache()?;
    if bits.read(1)? == 0 {
        return Some(1);
    }
    let (block, mut largest) = (bits.read(3)? + 2, 0);
    bits.small_picture(across(width, block), across(height, block), |pixel| largest = largest.max((pixel >> 8) & 0xffff))?;
    Some(largest + 1)
}

fn across(side: u32, block: u32) -> u32 {
    side.div_ceil(1 << block)
}

struct Bits<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl Bits<'_> {
    /// Up to 24 bits, the least significant first.
    fn read(&mut self, count: usize) -> Option<u32> {
        let from = self.bytes.get(self.at / 8..)?;
        let word = from.iter().take(4).rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
        (self.at + count <= 8 * self.bytes.len()).then_some(())?;
        let value = word >> (self.at % 8) & ((1 << count) - 1);
        self.at += count;
        Some(value)
    }

    /// The size of the cache of colours, in bits; 0 where there is none.
    fn cache(&mut self) -> Option<u32> {
        if self.read(1)? == 0 {
            return Some(0);
        }
        self.read(4).filter(|size| (1..=11).contains(size))
    }

    /// A picture of one group of codes, pixel by pixel as 0xaarrggbb.
    fn small_picture(&mut self, width: u32, height: u32, mut show: impl FnMut(u32)) -> Option<()> {
        let cache_bits = self.cache()?;
        let mut cache = vec![0; if cache_bits > 0 { 1 << cache_bits } else { 0 }];
        let mut codes = Vec::with_capacity(ALPHABETS.len());
        for (number, symbols) in ALPHABETS.into_iter().enumerate() {
            codes.push(self.code(symbols + if number == 0 { cache.len() } else { 0 })?);
        }
        let pixels = width as usize * height as usize;
        let mut drawn: Vec<u32> = Vec::new();
        while drawn.len() < pixels {
            let symbol = self.symbol(&codes[0])?;
            let from = drawn.len();
            match symbol {
                0..256 => {
                    let [red, blue, alpha] = [self.symbol(&codes[1])?, self.symbol(&codes[2])?, self.symbol(&codes[3])?];
                    drawn.push(alpha << 24 | red << 16 | symbol << 8 | blue);
                }
                256..280 => {
                    let length = self.prefixed(symbol - 256)? as usize;
                    let plane = self.symbol(&codes[4]).and_then(|symbol| self.prefixed(symbol))?;
                    let start = from.checked_sub(distance(plane, width))?;
                    // What is copied may be what is being copied.
                    (start..start + length.min(pixels - from)).for_each(|at| drawn.push(drawn[at]));
                }
                _ => drawn.push(*cache.get(symbol as usize - 280)?),
            }
            for &pixel in &drawn[from..] {
                if cache_bits > 0 {
                    cache[(0x1e35_a7bd_u32.wrapping_mul(pixel) >> (32 - cache_bits)) as usize] = pixel;
                }
                show(pixel);
            }
        }
        Some(())
    }

    /// A length or a distance: its leading bits, and as many more as they say.
    fn prefixed(&mut self, prefix: u32) -> Option<u32> {
        if prefix < 4 {
            return Some(prefix + 1);
        }
        let more = (prefix - 2) >> 1;
        let rest = self.read(more as usize)?;
        Some(((2 + (prefix & 1)) << more) + rest + 1)
    }

    fn code(&mut self, symbols: usize) -> Option<Code> {
        if self.read(1)? == 1 {
            let several = self.read(1)? == 1;
            let first = if self.read(1)? == 1 { self.read(8)? } else { self.read(1)? };
            if !several {
                return Some(Code::single(first));
            }
            // In the order in which they are stored, as image-webp has them.
            let mut counts = [0; LONGEST_CODE + 1];
            counts[1] = 2;
            return Some(Code { counts, symbols: vec![first as u16, self.read(8)? as u16] });
        }
        let mut of_lengths = [0; ORDER.len()];
        let stored = self.read(4)? as usize + 4;
        for &place in ORDER.get(..stored)? {
            of_lengths[place] = self.read(3)? as u8;
        }
        let of_lengths = Code::of(&of_lengths)?;
        let mut left = if self.read(1)? == 1 {
            let bits = 2 + 2 * self.read(3)? as usize;
            2 + self.read(bits)? as usize
        } else {
            symbols
        };
        let (mut lengths, mut before) = (Vec::with_capacity(symbols), 8);
        while lengths.len() < symbols && left > 0 {
            left -= 1;
            let (length, times) = match self.symbol(&of_lengths)? {
                length @ 0..16 => {
                    before = if length > 0 { length as u8 } else { before };
                    (length as u8, 1)
                }
                16 => (before, 3 + self.read(2)?),
                17 => (0, 3 + self.read(3)?),
                _ => (0, 11 + self.read(7)?),
            };
            lengths.extend(std::iter::repeat_n(length, times as usize));
        }
        (lengths.len() <= symbols).then_some(())?;
        Code::of(&lengths)
    }

    fn symbol(&mut self, code: &Code) -> Option<u32> {
        let (mut value, mut first, mut index) = (0, 0, 0);
        if code.counts == [0; LONGEST_CODE + 1] {
            return code.symbols.first().map(|&symbol| u32::from(symbol));
        }
        for &count in &code.counts[1..] {
            value |= self.read(1)? as usize;
            if value < first + count {
                return code.symbols.get(index + value - first).map(|&symbol| u32::from(symbol));
            }
            (index, first, value) = (index + count, (first + count) << 1, value << 1);
        }
        None
    }
}

/// Where a copy begins, before here (RFC 9649, section 3.6.2.2): the first 120 are places near by, in two dimensions.
fn distance(plane: u32, width: u32) -> usize {
    const NEAR: [(i64, i64); 120] = near();
    match NEAR.get(plane as usize - 1) {
        Some(&(x, y)) => (x + y * i64::from(width)).max(1) as usize,
        None => plane as usize - NEAR.len(),
    }
}

/// The places by their distance, as the standard lists them.
const fn near() -> [(i64, i64); 120] {
    // Each byte is 16 * y + 8 - x.
    const PLACES: [u8; 120] = [
        0x18, 0x07, 0x17, 0x19, 0x28, 0x06, 0x27, 0x29, 0x16, 0x1a, 0x26, 0x2a, 0x38, 0x05, 0x37, 0x39, 0x15, 0x1b, 0x36, 0x3a, 0x25, 0x2b,
        0x48, 0x04, 0x47, 0x49, 0x14, 0x1c, 0x35, 0x3b, 0x46, 0x4a, 0x24, 0x2c, 0x58, 0x45, 0x4b, 0x34, 0x3c, 0x03, 0x57, 0x59, 0x13, 0x1d,
        0x56, 0x5a, 0x23, 0x2d, 0x44, 0x4c, 0x55, 0x5b, 0x33, 0x3d, 0x68, 0x02, 0x67, 0x69, 0x12, 0x1e, 0x66, 0x6a, 0x22, 0x2e, 0x54, 0x5c,
        0x43, 0x4d, 0x65, 0x6b, 0x32, 0x3e, 0x78, 0x01, 0x77, 0x79, 0x53, 0x5d, 0x11, 0x1f, 0x64, 0x6c, 0x42, 0x4e, 0x76, 0x7a, 0x21, 0x2f,
        0x75, 0x7b, 0x31, 0x3f, 0x63, 0x6d, 0x52, 0x5e, 0x00, 0x74, 0x7c, 0x41, 0x4f, 0x10, 0x20, 0x62, 0x6e, 0x30, 0x73, 0x7d, 0x51, 0x5f,
        0x40, 0x72, 0x7e, 0x61, 0x6f, 0x50, 0x71, 0x7f, 0x60, 0x70,
    ];
    let (mut places, mut at) = ([(0, 0); 120], 0);
    while at < 120 {
        places[at] = (8 - (PLACES[at] & 15) as i64, (PLACES[at] >> 4) as i64);
        at += 1;
    }
    places
}

/// A canonical code: how many symbols have codes of each length, and the symbols in the order of their codes. One symbol alone has a code of no bits.
struct Code {
    counts: [usize; LONGEST_CODE + 1],
    symbols: Vec<u16>,
}

impl Code {
    fn single(symbol: u32) -> Self {
        Self { counts: [0; LONGEST_CODE + 1], symbols: vec![symbol as u16] }
    }

    /// `None` where the lengths are those of no whole code.
    fn of(lengths: &[u8]) -> Option<Self> {
        let mut counts = [0; LONGEST_CODE + 1];
        lengths.iter().filter(|length| **length > 0).for_each(|&length| counts[usize::from(length)] += 1);
        let mut symbols: Vec<u16> = (0..lengths.len() as u16).filter(|&symbol| lengths[usize::from(symbol)] > 0).collect();
        if let [only] = symbols[..] {
            return Some(Self::single(only.into()));
        }
        symbols.sort_by_key(|&symbol| lengths[usize::from(symbol)]);
        // Codes of each length that are still open.
        let open = counts[1..].iter().try_fold(1_usize, |open, count| (2 * open).checked_sub(*count));
        (open == Some(0)).then_some(Self { counts, symbols })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Writer(Vec<bool>);

    impl Writer {
        fn put(&mut self, value: u32, bits: usize) -> &mut Self {
            self.0.extend((0..bits).map(|bit| value >> bit & 1 == 1));
            self
        }

        /// A code of one symbol.
        fn single(&mut self, symbol: u32) -> &mut Self {
            self.put(0b101, 3).put(symbol, 8)
        }

        fn bytes(&self) -> Vec<u8> {
            self.0.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit))).collect()
        }
    }

    #[test]
    fn groups_are_the_largest_that_a_picture_names() {
        // No transform, no cache, groups for blocks of four pixels.
        let mut codes = Writer::default();
        codes.put(0, 2).put(1, 1).put(0, 3);
        // Their picture, 4 x 1: no cache; green 3 or 200, red 2.
        codes.put(0, 1).put(0b111, 3).put(3, 8).put(200, 8).single(2).single(0).single(0).single(0);
        codes.put(0b0100, 4);
        assert_eq!(count(&codes.bytes(), (16, 4)), Some(513 + 200));
        assert_eq!(count(&codes.bytes()[..8], (16, 4)), None, "cut short");
        // Blocks of 512 pixels: the picture of one, which is the first.
        codes.0[3..6].copy_from_slice(&[true; 3]);
        assert_eq!(count(&codes.bytes(), (16, 4)), Some(513 + 3));
        assert_eq!(count(Writer::default().put(0, 3).bytes().as_slice(), (16, 4)), Some(1));
    }

    #[test]
    fn transforms_stand_before_and_may_make_the_picture_narrower() {
        let mut codes = Writer::default();
        // Colours from a table of two: eight pixels share one, so that 64 pixels are 8, and two blocks of four.
        codes.put(0b111, 3).put(1, 8).put(0, 1);
        (0..5).for_each(|_| {
            codes.single(0);
        });
        // Subtracted green; then no more, no cache, groups for blocks of four.
        codes.put(0b101, 3).put(0, 2).put(1, 1).put(0, 3);
        // Their picture: no cache, green 1 or 2, of which the second comes at the second pixel.
        codes.put(0, 1).put(0b111, 3).put(1, 8).put(2, 8);
        (0..4).for_each(|_| {
            codes.single(0);
        });
        codes.put(0b10, 2);
        assert_eq!(count(&codes.bytes(), (64, 1)), Some(3));
        assert_eq!(count(&[0b111, 0xff, 0xff, 0xff], (64, 1)), None);
    }

    #[test]
    fn no_bytes_lead_astray() {
        for seed in 0..2_000_u32 {
            let bytes: Vec<u8> =
                (0..64).map(|at| (seed.wrapping_mul(2_654_435_761).wrapping_add(at).wrapping_mul(40_503) >> 7) as u8).collect();
            let _ = count(&bytes, (300, 200));
        }
    }
}
