//! The two headers of a BMP, its masks and its palette.

use super::super::colours::Profile;
use super::super::error::Fault;
use super::super::pixels::Palette;

/// Bytes of the file's own header; what it says begins behind it.
const FILE_HEADER: usize = 14;
/// Where the masks stand: behind the first 40 bytes of the header, whether they belong to it or follow it.
const MASKS: usize = FILE_HEADER + 40;

/// How pixels are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Rows of indices, or of B, G, R (and a byte more).
    Plain,
    /// Rows of little-endian words, of which these masks cut out red, green and blue.
    Masks([u32; 3]),
    /// Runs of indices of 4 bits (`nibbles`) or 8.
    Runs { nibbles: bool },
}

pub(super) struct Header<'a> {
    /// Width and height in pixels.
    pub size: (u32, u32),
    pub top_down: bool,
    /// 1, 2, 4, 8, 16, 24 or 32 a pixel.
    pub bits: u8,
    pub coding: Coding,
    /// Which bits of a word are alpha.
    pub alpha: Option<u32>,
    /// Of pictures with at most 8 bits.
    pub palette: Palette,
    /// From the first stored row to the end of the file.
    pub data: &'a [u8],
    /// What the values mean, where that is said.
    pub profile: Option<Profile<'a>>,
}

/// The file, in little-endian numbers.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn short(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(self.0.get(at..at + 2)?.try_into().ok()?))
    }

    fn long(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.0.get(at..at + 4)?.try_into().ok()?))
    }

    fn longs<const COUNT: usize>(&self, at: usize) -> Option<[u32; COUNT]> {
        let mut numbers = [0; COUNT];
        for (place, number) in numbers.iter_mut().enumerate() {
            *number = self.long(at + 4 * place)?;
        }
        Some(numbers)
    }
}

impl<'a> Header<'a> {
    pub(super) fn read(file: &'a [u8]) -> Result<Self, Fault> {
        let cut = || Fault::malformed("the header is cut short");
        let bytes = Bytes(file);
        let stated_offset = bytes.long(10).ok_or_else(cut)? as usize;
        let length = bytes.long(FILE_HEADER).ok_or_else(cut)? as usize;
        if !matches!(length, 12 | 16..=64 | 108 | 124) {
            return Err(Fault::malformed(format!("a header of {length} bytes")));
        }
        let end = FILE_HEADER + length;
        if file.len() < end {
            return Err(cut());
        }
        // OS/2's second header may end after any field; what it leaves out is 0.
        let field = |at: usize| if at + 4 <= length { bytes.long(FILE_HEADER + at).unwrap_or(0) } else { 0 };
        let (width, height, bits) = if length == 12 {
            let side = |at: usize| bytes.short(FILE_HEADER + at).unwrap_or(0);
            (u32::from(side(4)), i32::from(side(6)), side(10))
        } else {
            (field(4), field(8).cast_signed(), (field(12) >> 16) as u16)
        };
        if !matches!(bits, 1 | 2 | 4 | 8 | 16 | 24 | 32) {
            return Err(Fault::malformed(format!("{bits} bits a pixel")));
        }
        let bits = bits as u8;
        let compression = if length == 12 { 0 } else { field(16) };
        // Numbers 3 and 4 mean Huffman codes and 24-bit runs behind OS/2's second header.
        let os2 = !matches!(length, 12 | 40 | 52 | 56 | 108 | 124);
        let (mut masks_behind, mut alpha) = (0, None);
        let coding = match compression {
            0 if bits == 16 => Coding::Masks([0x7c00, 0x3e0, 0x1f]),
            0 => {
                // Browsers take the alpha that a header of 108 bytes or more has a mask for, also where the other masks do not count.
                let mask = bytes.long(MASKS + 12).filter(|_| bits == 32 && length >= 108);
                alpha = mask.filter(|&mask| mask != 0);
                Coding::Plain
            }
            1 | 2 if bits <= 8 => Coding::Runs { nibbles: compression == 2 },
            // 6 is 3 with a fourth mask, for alpha.
            3 | 6 if bits >= 16 && !os2 => {
                masks_behind = if length == 40 { if compression == 3 { 12 } else { 16 } } else { 0 };
                // The fourth mask belongs to headers of 56 bytes and more; without any mask, 32 bits end in alpha, as in Pillow.
                let fourth = if length >= 56 || masks_behind == 16 { bytes.long(MASKS + 12).unwrap_or(0) } else { 0 };
                alpha = Some(fourth).filter(|&mask| mask != 0);
                match bytes.longs(MASKS).ok_or_else(cut)? {
                    // Pillow, too, reads 32 bits without any mask as plain ones.
                    [0, 0, 0] if bits == 16 => Coding::Masks([0x7c00, 0x3e0, 0x1f]),
                    [0, 0, 0] => {
                        alpha = (bits == 32).then_some(0xff00_0000);
                        Coding::Plain
                    }
                    masks => Coding::Masks(masks),
                }
            }
            other => return Err(Fault::unsupported(format!("compression {other} of {bits} bits"))),
        };
        let entry = if length == 12 { 3 } else { 4 };
        let colours = match field(32) as usize {
            _ if bits > 8 => 0,
            0 => 1 << bits,
            stated => stated,
        };
        let table = &file[end..];
        let palette = read_palette(table, entry, colours, bits);
        let behind = end + masks_behind + entry * colours.min(table.len());
        // Some writers forget the palette in the offset, or leave the offset out.
        let offset = if stated_offset == 0 || stated_offset == end && bits <= 8 { behind } else { stated_offset };
        let data = file.get(offset..).ok_or_else(|| Fault::malformed("the rows begin behind the end of the file"))?;
        let profile = profile(file, length, field);
        Ok(Self { size: (width, height.unsigned_abs()), top_down: height < 0, bits, coding, alpha, palette, data, profile })
    }
}

/// What headers of 108 bytes or more say of colours: three powers, or where in the file a profile stands. Linked profiles are other files.
fn profile(file: &[u8], length: usize, field: impl Fn(usize) -> u32) -> Option<Profile<'_>> {
    const EMBEDDED: u32 = u32::from_be_bytes(*b"MBED");
    match field(56) {
        0 if length >= 108 => {
            // What light is to the power of, in 1/65,536.
            let gamma =
                [96, 100, 104].map(|at| (6_553_600_000_u64).checked_div(field(at).into()).and_then(|gamma| u32::try_from(gamma).ok()));
            let [Some(red), Some(green), Some(blue)] = gamma else { return None };
            Some(Profile::Gamma(Some([red, green, blue]), None))
        }
        EMBEDDED if length >= 124 => {
            let (start, bytes) = (FILE_HEADER + field(112) as usize, field(116) as usize);
            file.get(start..start.checked_add(bytes)?).map(|icc| Profile::Icc(icc.into()))
        }
        _ => None,
    }
}

/// Up to 256 stored colours, B, G, R and perhaps a byte more. Indices beyond them are black, except beyond a ramp of greys, which Pillow
/// takes for a grey picture: there they stand for themselves.
fn read_palette(table: &[u8], entry: usize, colours: usize, bits: u8) -> Palette {
    let mut palette = [[0; 3]; 256];
    let stored = || table.chunks_exact(entry).take(colours);
    for (colour, stored) in palette.iter_mut().zip(stored()) {
        *colour = [stored[2], stored[1], stored[0]];
    }
    let whole = (3..=256).contains(&colours) && stored().count() == colours;
    if bits == 8 && whole && stored().enumerate().all(|(at, colour)| colour[..3] == [at as u8; 3]) {
        palette = std::array::from_fn(|at| [at as u8; 3]);
    }
    palette
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of one pixel with a header of `length` bytes, and what stands behind it.
    fn file(length: u32, bits: u16, compression: u32, behind: &[u8]) -> Vec<u8> {
        let mut file = [b"BM".as_slice(), &[0; 12], &length.to_le_bytes()].concat();
        if length == 12 {
            file.extend([1_u16, 1, 1, bits].map(u16::to_le_bytes).as_flattened());
        } else {
            file.extend([1_i32, -1, 1 | i32::from(bits) << 16, compression.cast_signed()].map(i32::to_le_bytes).as_flattened());
            file.resize(14 + length as usize, 0);
        }
        file.extend(behind);
        file
    }

    #[test]
    fn the_first_row_is_found_without_an_offset() {
        for (length, bits, compression, behind, top_down) in [
            (12, 1, 0, 6, false),
            (64, 4, 0, 64, true),
            (40, 8, 1, 1024, true),
            (40, 16, 3, 12, true),
            (40, 32, 6, 16, true),
            (124, 32, 3, 0, true),
        ] {
            let mut stored = vec![0xff; behind];
            stored.push(77);
            let file = file(length, bits, compression, &stored);
            let header = Header::read(&file).unwrap_or_else(|fault| panic!("{length} {bits}: {fault:?}"));
            assert_eq!((header.data, header.top_down), ([77].as_slice(), top_down), "{length} {bits}");
        }
    }

    #[test]
    fn a_shortened_os2_header_is_read_and_its_own_codings_are_told_apart() {
        let mut file = file(40, 24, 0, &[1, 2, 3, 0]);
        file[14] = 16;
        file.drain(30..54);
        let header = Header::read(&file).unwrap();
        assert_eq!((header.size, header.bits, header.data), ((1, 1), 24, [1, 2, 3, 0].as_slice()));
        assert!(matches!(Header::read(&self::file(64, 1, 3, &[0; 20])), Err(Fault::Unsupported(_))));
        assert!(matches!(Header::read(&self::file(40, 8, 4, &[0; 20])), Err(Fault::Unsupported(_))));
        assert!(matches!(Header::read(&self::file(13, 8, 0, &[0; 99])), Err(Fault::Malformed(_))));
    }

    #[test]
    fn no_cut_header_panics() {
        let whole = file(124, 16, 3, &[0; 40]);
        for cut in 0..whole.len() {
            let _ = Header::read(&whole[..cut]);
        }
        // A palette of four thousand million colours is as long as the file.
        let mut file = file(40, 8, 0, &[0; 40]);
        file[46..50].fill(0xff);
        assert!(Header::read(&file).is_err());
    }
}
