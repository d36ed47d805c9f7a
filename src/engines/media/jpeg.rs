//! JPEG, through zune-jpeg: baseline and progressive, grey, YCbCr, RGB, CMYK and YCCK.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::decoder::Picture;
use super::error::Fault;
use super::orientation::Orientation;
use crate::domain::frame::BufferPool;

/// The largest side that a JPEG header can state; the caller's limits are held against it before anything is allocated.
const LARGEST_SIDE: usize = u16::MAX as usize;

pub(super) struct Jpeg<'a> {
    decoder: JpegDecoder<ZCursor<&'a [u8]>>,
    size: (u32, u32),
}

impl<'a> Picture<'a> for Jpeg<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        open_as(bytes, ColorSpace::RGB)
    }

    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn orientation(&self) -> Orientation {
        self.decoder.exif().map_or(Orientation::UPRIGHT, |block| Orientation::from_exif(block))
    }

    fn read(self, out: &mut [u8], _pool: &BufferPool) -> Result<(), Fault> {
        read_samples(self, out)
    }
}

/// Reads the header; `read_samples` will then write the samples of `out_space`.
///
/// For RGB, zune-jpeg takes four-channel samples as Adobe stores them (inverted, so that 255 is no ink) and multiplies colour by black with
/// rounding, which is Pillow's result for every pair of bytes.
pub(super) fn open_as(bytes: &[u8], out_space: ColorSpace) -> Result<Jpeg<'_>, Fault> {
    let options = DecoderOptions::default()
        .set_max_width(LARGEST_SIDE)
        .set_max_height(LARGEST_SIDE)
        // Junk between header segments is skipped, as Pillow does.
        .set_strict_mode(false)
        .jpeg_set_out_colorspace(out_space);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(fault)?;
    let (width, height) = decoder.dimensions().ok_or_else(|| Fault::malformed("no frame header"))?;
    // From here on strict: what is cut short or corrupt is an error instead of a picture that is grey from there on.
    decoder.set_options(decoder.options().set_strict_mode(true));
    Ok(Jpeg { decoder, size: (width as u32, height as u32) })
}

/// Writes the samples of the colour space given to [`open_as`].
pub(super) fn read_samples(mut jpeg: Jpeg<'_>, out: &mut [u8]) -> Result<(), Fault> {
    // zune-jpeg leaves what it could not decode untouched on some ways out. A pooled buffer holds another attachment's pixels,
    // which must never show, so it is cleared first (measured: 2 % of the decoding time).
    out.fill(128);
    jpeg.decoder.decode_into(out).map_err(fault)
}

fn fault(error: DecodeErrors) -> Fault {
    match error {
        DecodeErrors::Unsupported(scheme) => Fault::unsupported(format!("{scheme:?}")),
        other => Fault::malformed(format!("{other:?}")),
    }
}
