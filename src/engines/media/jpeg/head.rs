//! The markers of a JPEG: tables, the frame, and one scan header after another.
//!
//! Source: ITU-T T.81, annex B. Where the standard leaves room, libjpeg-turbo's `jdmarker.c` decides, because viewers and hash lists
//! stand on it: what it reads without a warning is read the same way, what it refuses is refused.

use super::super::error::Fault;
use super::huffman::Code;

/// Four, for CMYK; a TIFF may hold two.
pub(super) const MAX_COMPONENTS: usize = 4;
/// ITU-T T.81, section B.2.3: an interleaved unit holds no more blocks than this.
const MAX_BLOCKS_IN_UNIT: usize = 10;

/// Place in the block of the `n`th stored coefficient (T.81, figure 5).
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, 35, 42, 49, 56,
    57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// One plane, as the frame header describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Component {
    id: u8,
    /// Sampling factors, 1..=4.
    pub(super) h: usize,
    pub(super) v: usize,
    /// Number of its quantization table, 0..=3.
    pub(super) table: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) progressive: bool,
    /// In pixels; either may be 0, which the caller refuses.
    pub(super) width: usize,
    pub(super) height: usize,
    /// One to [`MAX_COMPONENTS`].
    pub(super) components: Vec<Component>,
    /// The largest sampling factors.
    pub(super) max_h: usize,
    pub(super) max_v: usize,
}

impl Frame {
    /// Blocks of all components that hold samples of the picture.
    pub(super) fn blocks(&self) -> u64 {
        let across = |side: usize, factor: usize, largest: usize| (side * factor).div_ceil(8 * largest) as u64;
        self.components.iter().map(|c| across(self.width, c.h, self.max_h) * across(self.height, c.v, self.max_v)).sum()
    }
}

/// What the samples mean, by libjpeg's rules (`default_decompress_parms` of `jdapimin.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Grey,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
    /// Two components: only a TIFF can say what they are.
    Unknown,
}

/// A component's part in a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Number of the component in the frame.
    pub(super) component: usize,
    pub(super) dc: usize,
    pub(super) ac: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) parts: Vec<Part>,
    /// First and last coefficient, 0..=63 in a progressive scan.
    pub(super) first: usize,
    pub(super) last: usize,
    /// The bit position that an earlier scan sent, or 0; and that which this one sends.
    pub(super) high: u8,
    pub(super) low: u8,
}

pub(super) enum Found {
    /// The reader stands at the first byte of entropy-coded data.
    Scan(Scan),
    /// The end marker.
    End,
    /// The bytes end where a marker should stand.
    Cut,
}

/// Reads markers; its fields are what they have said so far.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) frame: Option<Frame>,
    /// By number, in natural order.
    pub(super) quantization: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Code>; 4],
    pub(super) ac: [Option<Code>; 4],
    /// Units between two restart markers; 0 is none.
    pub(super) restart: usize,
    jfif: bool,
    adobe: Option<u8>,
    exif: Vec<&'a [u8]>,
    /// Whether every segment so far was plain: no junk or fill bytes between them, nothing repeated that decoders could take differently.
    pub(super) plain: bool,
}

impl<'a> Reader<'a> {
    /// Begins behind SOI.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        if !bytes.starts_with(&[0xff, 0xd8]) {
            return Err(Fault::malformed("no start of image"));
        }
        Ok(Self {
            bytes,
            at: 2,
            frame: None,
            quantization: [None; 4],
            dc: [const { None }; 4],
            ac: [const { None }; 4],
            restart: 0,
            jfif: false,
            adobe: None,
            exif: Vec::new(),
            plain: true,
        })
    }

    /// Everything up to the next scan's data or the end. Call it with `at` behind a segment, or somewhere behind a scan's data.
    pub(super) fn next(&mut self) -> Result<Found, Fault> {
        while let Some(marker) = self.marker() {
            match marker {
                0xd9 => return Ok(Found::End),
                // Without content: restart markers that an encoder wrote behind its last unit, and TEM.
                0x01 | 0xd0..=0xd7 => self.plain = false,
                0xd8 => return Err(Fault::malformed("a second start of image inside")),
                0xc3 => return Err(Fault::unsupported("lossless coding")),
                0xc5..=0xc7 | 0xde | 0xdf => return Err(Fault::unsupported("hierarchical coding")),
                0xc9..=0xcb | 0xcd..=0xcf => return Err(Fault::unsupported("arithmetic coding")),
                _ => {
                    let Some(content) = self.segment()? else { return Ok(Found::Cut) };
                    match marker {
                        0xc0..=0xc2 => self.frame_header(marker, content)?,
                        0xc4 => self.huffman_tables(content)?,
                        0xda => return self.scan_header(content).map(Found::Scan),
                        0xdb => self.quantization_tables(content)?,
                        0xdd => match *content {
                            [high, low] => self.restart = usize::from(u16::from_be_bytes([high, low])),
                            _ => return Err(Fault::malformed("a restart interval of another length than 2")),
                        },
                        0xe0..=0xef => self.application(marker, content),
                        // Comment, arithmetic conditioning (without arithmetic coding), and the number of lines, which libjpeg skips too.
                        0xcc | 0xdc | 0xfe => {}
                        _ => return Err(Fault::malformed(format!("an unknown marker {marker:02x}"))),
                    }
                }
            }
        }
        Ok(Found::Cut)
    }

    /// The next marker's code, junk and fill bytes before it skipped, as libjpeg does (the former with a warning).
    fn marker(&mut self) -> Option<u8> {
        loop {
            let from = self.at;
            self.at += self.bytes.get(self.at..)?.iter().position(|&byte| byte == 0xff)?;
            let code = self.bytes[self.at..].iter().position(|&byte| byte != 0xff)?;
            self.plain &= self.at == from && code == 1;
            self.at += code + 1;
            match self.bytes[self.at - 1] {
                0 => {}
                marker => return Some(marker),
            }
        }
    }

    /// The content of the segment that begins with its length here; `None` where the bytes end before.
    fn segment(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        let Some(&[high, low]) = self.bytes.get(self.at..self.at + 2) else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return Err(Fault::malformed("a segment shorter than its own length"));
        }
        let Some(content) = self.bytes.get(self.at + 2..self.at + length) else { return Ok(None) };
        self.at += length;
        Ok(Some(content))
    }

    fn frame_header(&mut self, marker: u8, content: &[u8]) -> Result<(), Fault> {
        if self.frame.is_some() {
            return Err(Fault::malformed("a second frame header"));
        }
        let &[precision, high, low, wide_high, wide_low, count, ref components @ ..] = content else {
            return Err(Fault::malformed("a short frame header"));
        };
        if precision != 8 {
            return Err(Fault::unsupported(format!("samples of {precision} bits")));
        }
        if count == 0 || components.len() != 3 * usize::from(count) {
            return Err(Fault::malformed("a frame header of another length than its components"));
        }
        if usize::from(count) > MAX_COMPONENTS {
            return Err(Fault::unsupported(format!("{count} components")));
        }
        let components: Vec<Component> = components
            .chunks_exact(3)
            .map(|c| Component { id: c[0], h: usize::from(c[1] >> 4), v: usize::from(c[1] & 15), table: usize::from(c[2]) })
            .collect();
        if components.iter().any(|c| !(1..=4).contains(&c.h) || !(1..=4).contains(&c.v)) {
            return Err(Fault::malformed("a sampling factor outside 1 to 4"));
        }
        self.frame = Some(Frame {
            progressive: marker == 0xc2,
            width: usize::from(u16::from_be_bytes([wide_high, wide_low])),
            height: usize::from(u16::from_be_bytes([high, low])),
            max_h: components.iter().map(|c| c.h).max().unwrap_or(1),
            max_v: components.iter().map(|c| c.v).max().unwrap_or(1),
            components,
        });
        Ok(())
    }

    fn quantization_tables(&mut self, mut content: &[u8]) -> Result<(), Fault> {
        while let [first, rest @ ..] = content {
            let (wide, number) = (first >> 4 != 0, usize::from(first & 15));
            let size = if wide { 128 } else { 64 };
            let (Some(values), Some(table)) = (rest.get(..size), self.quantization.get_mut(number)) else {
                return Err(Fault::malformed("a quantization table that is cut short or has no number"));
            };
            let mut natural = [0; 64];
            for (n, place) in ZIGZAG.into_iter().enumerate() {
                natural[usize::from(place)] =
                    if wide { u16::from_be_bytes([values[2 * n], values[2 * n + 1]]) } else { u16::from(values[n]) };
            }
            self.plain &= !wide;
            *table = Some(natural);
            content = &rest[size..];
        }
        Ok(())
    }

    fn huffman_tables(&mut self, mut content: &[u8]) -> Result<(), Fault> {
        let short = || Fault::malformed("a Huffman table that is cut short or has no number");
        while let [first, rest @ ..] = content {
            let counts: [u8; 16] = rest.get(..16).and_then(|counts| counts.try_into().ok()).ok_or_else(short)?;
            let size = counts.iter().map(|&count| usize::from(count)).sum::<usize>();
            let symbols = rest.get(16..16 + size).filter(|_| size <= 256).ok_or_else(short)?;
            let tables = if first & 0x10 == 0 { &mut self.dc } else { &mut self.ac };
            *tables.get_mut(usize::from(first & !0x10)).ok_or_else(short)? = Some(Code::new(counts, symbols));
            content = &rest[16 + size..];
        }
        Ok(())
    }

    fn application(&mut self, marker: u8, content: &'a [u8]) {
        match (marker, content) {
            // libjpeg reads either only where its fixed part is whole.
            (0xe0, [b'J', b'F', b'I', b'F', 0, ..]) if content.len() >= 14 => self.jfif = true,
            (0xee, [b'A', b'd', b'o', b'b', b'e', ..]) if content.len() >= 12 => self.adobe = Some(content[11]),
            (0xe1, [b'E', b'x', b'i', b'f', 0, 0, block @ ..]) => self.exif.push(if self.exif.is_empty() { content } else { block }),
            _ => {}
        }
    }

    fn scan_header(&self, content: &[u8]) -> Result<Scan, Fault> {
        let frame = self.frame.as_ref().ok_or_else(|| Fault::malformed("a scan before the frame header"))?;
        let wrong = || Fault::malformed("a scan header that does not fit the frame");
        let (&count, rest) = content.split_first().ok_or_else(wrong)?;
        let count = usize::from(count);
        if !(1..=MAX_COMPONENTS).contains(&count) || rest.len() != 2 * count + 3 {
            return Err(wrong());
        }
        let mut parts: Vec<Part> = Vec::with_capacity(count);
        for pair in rest[..2 * count].chunks_exact(2) {
            let fits = |&number: &usize| frame.components[number].id == pair[0] && parts.iter().all(|part| part.component != number);
            let component = (0..frame.components.len()).find(fits).ok_or_else(wrong)?;
            parts.push(Part { component, dc: usize::from(pair[1] >> 4), ac: usize::from(pair[1] & 15) });
        }
        let blocks: usize = parts.iter().map(|part| frame.components[part.component].h * frame.components[part.component].v).sum();
        if parts.iter().any(|part| part.dc > 3 || part.ac > 3) || (count > 1 && blocks > MAX_BLOCKS_IN_UNIT) {
            return Err(wrong());
        }
        let [first, last, bits] = [rest[2 * count], rest[2 * count + 1], rest[2 * count + 2]];
        let scan = Scan { parts, first: usize::from(first), last: usize::from(last), high: bits >> 4, low: bits & 15 };
        // A sequential scan holds everything, whatever it says; libjpeg only warns.
        let sound = match (scan.first, scan.last) {
            (0, last) => last == 0,
            (first, last) => first <= last && last <= 63 && count == 1,
        };
        if frame.progressive && (!sound || scan.low > 13 || (scan.high != 0 && scan.high != scan.low + 1)) {
            return Err(wrong());
        }
        Ok(scan)
    }

    /// What the samples mean, by what was read up to the first scan.
    pub(super) fn colour(&self) -> Colour {
        let ids: Vec<u8> = self.frame.iter().flat_map(|frame| frame.components.iter().map(|c| c.id)).collect();
        match (ids.len(), self.adobe) {
            (1, _) => Colour::Grey,
            (3, _) if self.jfif => Colour::YCbCr,
            (3, Some(0)) => Colour::Rgb,
            (3, None) if ids == *b"RGB" => Colour::Rgb,
            (3, _) => Colour::YCbCr,
            (4, None | Some(0)) => Colour::Cmyk,
            (4, _) => Colour::Ycck,
            _ => Colour::Unknown,
        }
    }

    /// The EXIF block. Further segments continue the first, as Pillow has it: where the first is whole, it wins.
    pub(super) fn exif(&self) -> Vec<u8> {
        self.exif.concat()
    }
}
