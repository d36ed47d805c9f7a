//! BMP. Read here and not through the image crate (0.25), which refuses OS/2's second header and run-length pictures from the top, and
//! rounds short channels up where Pillow rounds them down.
//!
//! All headers from OS/2's 12 bytes to Windows' 124; 1, 2, 4, 8, 16, 24 and 32 bits a pixel; RLE4 and RLE8; any channel masks without gaps;
//! rows from the bottom or the top. Sources of the format: "Bitmap Storage" and `BITMAPV5HEADER` (Microsoft, wingdi.h), and "Presentation
//! Manager Bitmap File Format" (IBM, OS/2 2.0 Toolkit) for the headers of 12 and of 16 to 64 bytes.
//!
//! Where Pillow decodes, the pixels are Pillow's, but for its slips: a picture of 4 or 8 bits whose palette is black and white alone, or of 4 bits
//! with a ramp of greys, is read as such by us (Pillow takes its rows for rows of 1 or 8 bits), and literal runs of RLE are aligned to their
//! stream, not to the file. What Pillow refuses and Windows shows (2 bits, other masks, an early end of a run-length picture) is decoded by
//! the format's words.

mod header;
mod runs;

use self::header::{Coding, Header};
use super::colours::Profile;
use super::decoder::Picture;
use super::error::Fault;
use super::orientation::Orientation;
use super::pixels;
use super::work::Work;
use crate::domain::frame::{Buffer, BufferPool};

/// What a byte of the picture costs, in nanoseconds.
const WRITTEN: u64 = 4;

pub(super) struct Bmp<'a>(Header<'a>);

impl<'a> Picture<'a> for Bmp<'a> {
    fn open(bytes: &'a [u8], _work: &Work) -> Result<Self, Fault> {
        Header::read(bytes).map(Self)
    }

    fn size(&self) -> (u32, u32) {
        self.0.size
    }

    /// The format knows no orientation; rows from the top are this reader's affair.
    fn orientation(&self) -> Orientation {
        Orientation::UPRIGHT
    }

    fn profiles(&self) -> Vec<Profile<'a>> {
        self.0.profile.iter().cloned().collect()
    }

    fn read(self, out: &mut [u8], pool: &BufferPool, work: &Work) -> Result<(), Fault> {
        let header = &self.0;
        let (width, height) = (header.size.0 as usize, header.size.1 as usize);
        match header.coding {
            Coding::Runs { nibbles } => {
                let mut indices = pool.take(width * height);
                indices.fill(0); // runs may leave pixels out, and the buffer holds another attachment's
                runs::unpack(header.data, nibbles, width, &mut indices, work)?;
                self.place::<3>(&indices, width, (out, work), |row, out| pixels::from_indices(row, 8, &header.palette, out))
            }
            Coding::Plain => match header.bits {
                24 => self.place::<3>(self.rows()?, self.stride(), (out, work), |row, out| pixels::from_strided::<3>(row, [2, 1, 0], out)),
                32 => self.place::<3>(self.rows()?, self.stride(), (out, work), |row, out| pixels::from_strided::<4>(row, [2, 1, 0], out)),
                bits => self
                    .place::<3>(self.rows()?, self.stride(), (out, work), |row, out| pixels::from_indices(row, bits, &header.palette, out)),
            },
            Coding::Masks(masks) => {
                let channels = Channels::of(masks)?;
                let rows = self.rows()?;
                match header.bits {
                    16 => self.place::<3>(rows, self.stride(), (out, work), |row, out| channels.expand::<2>(row, out)),
                    24 => self.place::<3>(rows, self.stride(), (out, work), |row, out| channels.expand::<3>(row, out)),
                    _ => self.place::<3>(rows, self.stride(), (out, work), |row, out| channels.expand::<4>(row, out)),
                }
            }
        }
    }

    fn read_with_alpha(self, out: &mut [u8], pool: &BufferPool, work: &Work) -> Result<Option<Buffer>, Fault> {
        let Some(mask) = self.0.alpha else { return self.read(out, pool, work).map(|()| None) };
        let mut alpha = pool.take(out.len() / 3);
        let channels = Channels::of([mask; 3])?;
        match self.0.bits {
            16 => self.place::<1>(self.rows()?, self.stride(), (&mut alpha, work), |row, out| channels.first::<2>(row, out)),
            24 => self.place::<1>(self.rows()?, self.stride(), (&mut alpha, work), |row, out| channels.first::<3>(row, out)),
            _ => self.place::<1>(self.rows()?, self.stride(), (&mut alpha, work), |row, out| channels.first::<4>(row, out)),
        }?;
        self.read(out, pool, work).map(|()| Some(alpha))
    }
}

impl Bmp<'_> {
    /// Bytes from one stored row to the next: whole groups of four.
    fn stride(&self) -> usize {
        (self.0.size.0 as usize * usize::from(self.0.bits)).div_ceil(32) * 4
    }

    /// All stored rows; the last one may lack its padding, as in Pillow.
    fn rows(&self) -> Result<&[u8], Fault> {
        let (width, height) = (self.0.size.0 as usize, self.0.size.1 as usize);
        let needed = self.stride() * (height - 1) + (width * usize::from(self.0.bits)).div_ceil(8);
        self.0.data.get(..needed).ok_or_else(|| Fault::malformed("rows are missing"))
    }

    /// Expands each stored row into its place, to some bytes a pixel.
    fn place<const BYTES: usize>(
        &self,
        rows: &[u8],
        stride: usize,
        (out, work): (&mut [u8], &Work),
        expand: impl Fn(&[u8], &mut [u8]),
    ) -> Result<(), Fault> {
        let row_bytes = BYTES * self.0.size.0 as usize;
        for (number, row) in rows.chunks(stride).take(out.len() / row_bytes).enumerate() {
            work.spend(WRITTEN * row_bytes as u64, "rows")?;
            let place = if self.0.top_down { number } else { out.len() / row_bytes - 1 - number };
            expand(row, &mut out[row_bytes * place..row_bytes * (place + 1)]);
        }
        Ok(())
    }
}

/// Where red, green and blue lie in a pixel of up to 32 bits, and what their stored values become.
struct Channels([(u32, u32, [u8; 256]); 3]);

impl Channels {
    /// Widens by `value * 255 / largest`, rounded down as Pillow does; of more than 8 bits the upper 8 are kept.
    fn of(masks: [u32; 3]) -> Result<Self, Fault> {
        let gaps = |mask: u32| mask != 0 && (mask >> mask.trailing_zeros()).trailing_ones() != mask.count_ones();
        if masks.iter().any(|&mask| gaps(mask)) {
            return Err(Fault::unsupported("channel masks with gaps"));
        }
        Ok(Self(masks.map(|mask| {
            let bits = mask.count_ones();
            // Of a wide channel only the upper 8 bits are looked at.
            let mask = if bits > 8 { mask & (mask << (bits - 8)) } else { mask };
            let largest = (1_usize << bits.min(8)) - 1;
            let table = std::array::from_fn(|value| (value.min(largest) * 255).checked_div(largest).unwrap_or(0) as u8);
            (mask, mask.trailing_zeros() % 32, table)
        })))
    }

    fn expand<const BYTES: usize>(&self, row: &[u8], out: &mut [u8]) {
        for (pixel, stored) in out.chunks_exact_mut(3).zip(row.chunks_exact(BYTES)) {
            let word = word::<BYTES>(stored);
            pixel.iter_mut().zip(&self.0).for_each(|(value, channel)| *value = cut_out(word, channel));
        }
    }

    /// The first of the three alone, a byte a pixel.
    fn first<const BYTES: usize>(&self, row: &[u8], out: &mut [u8]) {
        for (value, stored) in out.iter_mut().zip(row.chunks_exact(BYTES)) {
            *value = cut_out(word::<BYTES>(stored), &self.0[0]);
        }
    }
}

fn word<const BYTES: usize>(stored: &[u8]) -> u32 {
    let mut word = [0; 4];
    word[..BYTES].copy_from_slice(stored);
    u32::from_le_bytes(word)
}

fn cut_out(word: u32, (mask, shift, table): &(u32, u32, [u8; 256])) -> u8 {
    table[((word & mask) >> shift) as usize & 0xff]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_cut_out_and_widened_without_rounding() {
        let mut out = [9; 3];
        // Pillow: BGR;16 of 0x8410 is 16 * 255 / 31, 32 * 255 / 63, 16 * 255 / 31.
        Channels::of([0xf800, 0x7e0, 0x1f]).unwrap().expand::<2>(&[0x10, 0x84], &mut out);
        assert_eq!(out, [131, 129, 131]);
        Channels::of([0x3ff0_0000, 0, 0xff]).unwrap().expand::<4>(&[7, 0, 0x40, 0x15], &mut out);
        assert_eq!(out, [0x55, 0, 7], "the upper 8 of 10 bits; a channel without bits; a whole byte");
        assert!(Channels::of([0x5, 0, 0]).is_err());
        assert!(Channels::of([u32::MAX; 3]).is_ok());
    }
}
