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
    bytes: &'a [u8],
    decoder: JpegDecoder<ZCursor<&'a [u8]>>,
    size: (u32, u32),
}

impl<'a> Picture<'a> for Jpeg<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        open_as(bytes, Samples::Rgb)
    }

    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn orientation(&self) -> Orientation {
        self.decoder.exif().map_or(Orientation::UPRIGHT, |block| Orientation::from_exif(block))
    }

    fn read(mut self, out: &mut [u8], _pool: &BufferPool) -> Result<(), Fault> {
        self.check_end()?;
        if self.decoder.input_colorspace() == Some(ColorSpace::Luma) {
            // One plane decoded and spread here took 2.7 ms a megapixel in a probe of both steps; the decoder's own spreading of grey 3.6 ms.
            let options = self.decoder.options().jpeg_set_out_colorspace(ColorSpace::Luma);
            self.decoder.set_options(options);
            return read_plane(self, out);
        }
        read_samples(self, out)
    }
}

impl Jpeg<'_> {
    /// The decoder notices missing data only when another row of blocks was to come.
    fn check_end(&self) -> Result<(), Fault> {
        if has_end(self.bytes) { Ok(()) } else { Err(Fault::malformed("the picture is cut short")) }
    }
}

/// A JPEG of which only the luma plane is decoded.
pub(super) struct Luma<'a>(Jpeg<'a>);

impl Luma<'_> {
    /// Whether there is a luma plane beside others: CMYK and RGB have none, and a grey picture is nothing else.
    pub(super) fn is_plane(&self) -> bool {
        self.0.decoder.input_colorspace() == Some(ColorSpace::YCbCr)
    }
}

impl<'a> Picture<'a> for Luma<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        open_as(bytes, Samples::Luma).map(Self)
    }

    fn size(&self) -> (u32, u32) {
        self.0.size
    }

    fn orientation(&self) -> Orientation {
        self.0.orientation()
    }

    fn read(self, out: &mut [u8], _pool: &BufferPool) -> Result<(), Fault> {
        self.0.check_end()?;
        read_plane(self.0, out)
    }
}

/// One plane to three equal channels. It is decoded into the last third, and then spread forwards: pixel `i` is read at `2n + i` before
/// anything beyond `3i + 2`, which is less, is written.
fn read_plane(jpeg: Jpeg<'_>, out: &mut [u8]) -> Result<(), Fault> {
    let plane = out.len() / 3 * 2;
    read_samples(jpeg, &mut out[plane..])?;
    for pixel in 0..out.len() / 3 {
        let value = out[plane + pixel];
        out[3 * pixel..][..3].fill(value);
    }
    Ok(())
}

/// What a caller wants of a JPEG's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Samples {
    /// RGB, whatever is stored. zune-jpeg takes four channels as Adobe stores them (inverted, so that 255 is no ink) and
    /// multiplies colour by black with rounding, which is Pillow's result for every pair of bytes.
    Rgb,
    /// The first of three planes, where they are YCbCr.
    Luma,
    /// As stored, for a TIFF whose own tags say what they mean.
    AsStored,
}

/// Reads the header; [`read_samples`] will then write what was asked for.
pub(super) fn open_as(bytes: &[u8], samples: Samples) -> Result<Jpeg<'_>, Fault> {
    let options = DecoderOptions::default()
        .set_max_width(LARGEST_SIDE)
        .set_max_height(LARGEST_SIDE)
        // Junk between header segments is skipped, as Pillow does.
        .set_strict_mode(false)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(fault)?;
    let (width, height) = decoder.dimensions().ok_or_else(|| Fault::malformed("no frame header"))?;
    // From here on strict: what is cut short or corrupt is an error instead of a picture that is grey from there on.
    let mut options = decoder.options().set_strict_mode(true);
    match (samples, decoder.input_colorspace()) {
        (Samples::AsStored, Some(space)) => options = options.jpeg_set_out_colorspace(space),
        (Samples::Luma, Some(ColorSpace::YCbCr)) => options = options.jpeg_set_out_colorspace(ColorSpace::Luma),
        _ => {}
    }
    decoder.set_options(options);
    Ok(Jpeg { bytes, decoder, size: (width as u32, height as u32) })
}

/// Writes all samples. `out` must have exactly their length.
pub(super) fn read_samples(mut jpeg: Jpeg<'_>, out: &mut [u8]) -> Result<(), Fault> {
    if jpeg.decoder.output_buffer_size() != Some(out.len()) {
        return Err(Fault::malformed("another number of channels than expected"));
    }
    // zune-jpeg leaves what it could not decode untouched on some ways out. A pooled buffer holds another attachment's pixels,
    // which must never show, so it is cleared first.
    out.fill(128);
    jpeg.decoder.decode_into(out).map_err(fault)
}

/// Whether an EOI marker stands somewhere behind the start of the first scan. Entropy-coded data cannot hold one by chance
/// (ITU-T T.81, section B.1.1.5), but thumbnails in the segments before the scan do.
fn has_end(bytes: &[u8]) -> bool {
    let scan = scan_start(bytes).unwrap_or(2).min(bytes.len());
    // Found at once in a whole file, because the search begins at its end.
    bytes[scan..].windows(2).rev().any(|pair| pair == [0xff, 0xd9])
}

/// Where the SOS marker stands, by the lengths of the segments before it; `None` when junk stands between them.
fn scan_start(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    loop {
        match bytes.get(at..at + 4)? {
            [0xff, 0xda, ..] => return Some(at),
            [0xff, 0xff, ..] => at += 1,
            [0xff, _, high, low] => at += 2 + usize::from(u16::from_be_bytes([*high, *low])),
            _ => return None,
        }
    }
}

fn fault(error: DecodeErrors) -> Fault {
    match error {
        DecodeErrors::Unsupported(scheme) => Fault::unsupported(format!("{scheme:?}")),
        other => Fault::malformed(format!("{other:?}")),
    }
}
