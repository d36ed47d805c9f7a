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
}

impl<'a> Picture<'a> for Bmp<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        Ok(Self { decoder: BmpDecoder::new(Cursor::new(bytes)).map_err(fault)? })
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
            ColorType::Rgb8 => self.decoder.read_image(out).map_err(fault),
            ColorType::Rgba8 => {
                let mut with_alpha = pool.take(out.len() / 3 * 4);
                // Run-length pictures may leave pixels out.
                with_alpha.fill(0);
                self.decoder.read_image(&mut with_alpha).map_err(fault)?;
                pixels::from_strided::<4>(&with_alpha, [0, 1, 2], out);
                Ok(())
            }
            other => Err(Fault::unsupported(format!("{other:?} samples"))),
        }
    }
}

fn fault(error: ImageError) -> Fault {
    match error {
        ImageError::Unsupported(error) => Fault::unsupported(error),
        other => Fault::malformed(other),
    }
}
