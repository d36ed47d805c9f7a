//! Huffman codes and the bits that they stand in (ITU-T T.81, annexes C and F).

use super::super::error::Fault;

/// Codes up to this length are found by one look.
const LOOK: u32 = 9;

/// A code as its DHT segment holds it; checked when a scan uses it, as libjpeg does, because unused ones are often nonsense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Code {
    /// Number of codes of 1..=16 bits.
    counts: [u8; 16],
    symbols: Vec<u8>,
}

impl Code {
    pub(super) fn new(counts: [u8; 16], symbols: &[u8]) -> Self {
        Self { counts, symbols: symbols.to_vec() }
    }

    /// The tables of T.81, section K.3, which a frame of motion JPEG implies: for luma (0) or chroma (1).
    pub(super) fn standard_dc(number: usize) -> Option<Self> {
        let counts = match number {
            0 => [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
            1 => [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
            _ => return None,
        };
        Some(Self::new(counts, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]))
    }

    /// As [`standard_dc`](Self::standard_dc), for the other coefficients.
    pub(super) fn standard_ac(number: usize) -> Option<Self> {
        let (counts, symbols) = match number {
            0 => ([0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125], &AC_LUMA),
            1 => ([0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119], &AC_CHROMA),
            _ => return None,
        };
        Some(Self::new(counts, symbols))
    }

    /// Tables to decode with. `largest` is the largest symbol that means anything.
    pub(super) fn table(&self, largest: u8) -> Result<Table, Fault> {
        let mut table = Table { look: vec![0; 1 << LOOK], ends: [0; 17], offsets: [0; 17], symbols: self.symbols.clone() };
        if self.symbols.iter().any(|&symbol| symbol > largest) {
            return Err(Fault::malformed("a Huffman table with a symbol out of range"));
        }
        let (mut code, mut first) = (0_u32, 0_usize);
        for (length, &count) in (1_u32..).zip(&self.counts) {
            let count = usize::from(count);
            table.offsets[length as usize] = first as i32 - code as i32;
            for (symbol, code) in self.symbols[first..first + count].iter().zip(code..).take_while(|_| length <= LOOK) {
                let spread = LOOK - length;
                // A code beyond its length is refused below.
                if let Some(places) = table.look.get_mut((code << spread) as usize..((code + 1) << spread) as usize) {
                    places.fill((length as u16) << 8 | u16::from(*symbol));
                }
            }
            code += count as u32;
            first += count;
            // No code may consist of ones alone, nor be longer than it is.
            if count > 0 && code >= 1 << length {
                return Err(Fault::malformed("a Huffman table with more codes than bits"));
            }
            table.ends[length as usize] = code;
            code <<= 1;
        }
        Ok(table)
    }
}

/// A code made ready.
pub(super) struct Table {
    /// By the next [`LOOK`] bits: the length above 8 bits of symbol; 0 where the code is longer.
    look: Vec<u16>,
    /// Per length, the first number that is no code.
    ends: [u32; 17],
    /// Per length, what is added to a code to find its symbol.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

/// The bits of one stretch of entropy-coded data: up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte that has not been taken into `bits`; stays at a marker.
    at: usize,
    /// The next bits, at the top; zeros behind them.
    bits: u64,
    /// How many of them are real.
    left: u32,
}

fn cut() -> Fault {
    Fault::malformed("the picture is cut short or its data is corrupt")
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, bits: 0, left: 0 }
    }

    /// Behind the last whole byte that was taken; a marker follows, with or without junk before it.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn fill(&mut self) {
        while self.left <= 56 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            let mut next = self.at + 1;
            if byte == 0xff {
                // Any number of fill bytes may stand before a marker; libjpeg reads a stuffed zero behind them as data.
                let Some(skipped) = self.bytes[next..].iter().position(|&byte| byte != 0xff) else { return };
                next += skipped;
                if self.bytes[next] != 0 {
                    return;
                }
                next += 1;
            }
            self.at = next;
            self.bits |= u64::from(byte) << (56 - self.left);
            self.left += 8;
        }
    }

    fn take(&mut self, count: u32) -> Result<(), Fault> {
        self.left = self.left.checked_sub(count).ok_or_else(cut)?;
        self.bits <<= count;
        Ok(())
    }

    /// The next 0..=16 bits.
    pub(super) fn read(&mut self, count: u32) -> Result<u32, Fault> {
        if count == 0 {
            return Ok(0);
        }
        if self.left < count {
            self.fill();
        }
        let value = (self.bits >> (64 - count)) as u32;
        self.take(count)?;
        Ok(value)
    }

    /// A signed number of that many bits (T.81, figure F.12).
    pub(super) fn read_signed(&mut self, count: u32) -> Result<i32, Fault> {
        let value = self.read(count)? as i32;
        Ok(if count == 0 || value >> (count - 1) != 0 { value } else { value - (1 << count) + 1 })
    }

    /// The next symbol.
    pub(super) fn decode(&mut self, table: &Table) -> Result<u8, Fault> {
        if self.left < 16 {
            self.fill();
        }
        let entry = table.look[(self.bits >> (64 - LOOK)) as usize];
        if entry != 0 {
            self.take(u32::from(entry >> 8))?;
            return Ok(entry as u8);
        }
        for length in LOOK + 1..=16 {
            let code = (self.bits >> (64 - length)) as u32;
            if code < table.ends[length as usize] {
                self.take(length)?;
                let place = usize::try_from(code as i32 + table.offsets[length as usize]).map_err(|_| cut())?;
                return table.symbols.get(place).copied().ok_or_else(cut);
            }
        }
        Err(cut())
    }

    /// Leaves the rest of this stretch and steps over restart marker `number`, 0..=7.
    pub(super) fn restart(&mut self, number: u8) -> Result<(), Fault> {
        (self.bits, self.left) = (0, 0);
        loop {
            let here = self.bytes.get(self.at..).ok_or_else(cut)?;
            let marker = here.iter().position(|&byte| byte == 0xff).ok_or_else(cut)?;
            let code = here[marker..].iter().position(|&byte| byte != 0xff).ok_or_else(cut)?;
            self.at += marker + code + 1;
            match here[marker + code] {
                0 => {}
                found if found == 0xd0 + number => return Ok(()),
                _ => return Err(Fault::malformed("a restart marker is missing or out of order")),
            }
        }
    }
}

#[rustfmt::skip]
const AC_LUMA: [u8; 162] = [
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71, 0x14, 0x32, 0x81,
    0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18,
    0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
    0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75,
    0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
    0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
    0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5,
    0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];

#[rustfmt::skip]
const AC_CHROMA: [u8; 162] = [
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22, 0x32, 0x81, 0x08,
    0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25,
    0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47,
    0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74,
    0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97,
    0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
    0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe2, 0xe3, 0xe4,
    0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];
