//! BMP, through the image crate.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::{ColorType, ImageDecoder, ImageError};

use super::decoder::Picture;
use super::error::Fault;
use super::orientation::Orientation;
use super::pixels;
use crate::domain::frame::BufferPool;

pub(super) struct Bmp<'a> {
    decoder: BmpDecoder<Cursor<&'a [u8]>>,
    /// Bits of red, green and blue, when a pixel has 16 bits in all.
    short: Option<[u32; 3]>,
}

impl<'a> Picture<'a> for Bmp<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        Ok(Self { decoder: BmpDecoder::new(Cursor::new(bytes)).map_err(fault)?, short: short_channels(bytes) })
    }

    fn size(&self) -> (u32, u32) {
        self.decoder.dimensions()
    }

    /// The format knows no orientation (a negative height, rows from the top, is the decoder's affair).
    fn orientation(&self) -> Orientation {
        Orientation::UPRIGHT
    }

    fn read(self, out: &mut [u8], pool: &BufferPool) -> Result<(), Fault> {
        match self.decoder.color_type() {
            ColorType::Rgb8 => {
                // Run-length pictures may leave pixels out, and the buffer holds another attachment's.
                out.fill(0);
                self.decoder.read_image(out).map_err(fault)?;
                if let Some(bits) = self.short {
                    spread(out, bits);
                }
                Ok(())
            }
            ColorType::Rgba8 => {
                let mut with_alpha = pool.take(out.len() / 3 * 4);
                with_alpha.fill(0);
                self.decoder.read_image(&mut with_alpha).map_err(fault)?;
                pixels::from_strided::<4>(&with_alpha, [0, 1, 2], out);
                Ok(())
            }
            other => Err(Fault::unsupported(format!("{other:?} samples"))),
        }
    }
}

/// Bits of each channel of a picture with 16 bits a pixel: 5 each, or as many as the masks behind the header say.
fn short_channels(bytes: &[u8]) -> Option<[u32; 3]> {
    // BITMAPINFOHEADER begins at 14: bits a pixel at 28, compression at 30 (3 is BI_BITFIELDS), masks at 54.
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    match (word(28)? & 0xffff, word(30)?) {
        (16, 3) => Some([word(54)?.count_ones(), word(58)?.count_ones(), word(62)?.count_ones()]),
        (16, _) => Some([5; 3]),
        _ => None,
    }
}

/// The image crate widens short channels with rounding, Pillow without. The stored bits are still the upper ones.
fn spread(out: &mut [u8], bits: [u32; 3]) {
    let tables = bits.map(|bits| {
        let bits = bits.clamp(1, 8);
        let largest = (1_u32 << bits) - 1;
        std::array::from_fn::<u8, 256, _>(|value| ((value as u32 >> (8 - bits)) * 255 / largest) as u8)
    });
    for pixel in out.chunks_exact_mut(3) {
        pixel.iter_mut().zip(&tables).for_each(|(value, table)| *value = table[usize::from(*value)]);
    }
}

fn fault(error: ImageError) -> Fault {
    match error {
        ImageError::Unsupported(error) => Fault::unsupported(error),
        other => Fault::malformed(other),
    }
}
