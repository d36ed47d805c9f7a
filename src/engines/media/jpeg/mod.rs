//! JPEG: every layout of ITU-T T.81 that is Huffman-coded and has 8 bits a sample.
//!
//! Two decoders stand here. zune-jpeg reads the layouts that almost every file has, and that `scripts/conformance/jpeg_layouts.py` has
//! shown to be right with it ([`fast`]); everything else, and what zune-jpeg refuses, is read by our own decoder ([`Planes`]), which
//! follows libjpeg-turbo to the bit.

mod blocks;
mod fast;
mod head;
mod huffman;
mod idct;
mod output;
mod planes;
mod watched;

use super::decoder::Picture;
use super::error::Fault;
use super::orientation::Orientation;
use super::work::Work;
use crate::domain::frame::BufferPool;
use head::{Colour, Found, Reader, Scan};
use planes::Planes;

/// What a byte before the first scan costs, and the buffers and tables of a decoder, in nanoseconds: a TIFF may begin thousands.
const HEAD: u64 = 5;
const BEGIN: u64 = 20_000;

/// A JPEG of which everything up to the first scan's header has been read.
pub(super) struct Jpeg<'a> {
    reader: Reader<'a>,
    scan: Scan,
    samples: Samples,
    /// Width and height.
    size: (u32, u32),
}

impl Jpeg<'_> {
    /// Bytes up to the first scan.
    pub(super) fn head_length(&self) -> u64 {
        self.reader.at as u64
    }
}

impl<'a> Picture<'a> for Jpeg<'a> {
    fn open(bytes: &'a [u8], work: &Work) -> Result<Self, Fault> {
        open_as(bytes, Samples::Rgb, work)
    }

    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn orientation(&self) -> Orientation {
        Orientation::from_exif(&self.reader.exif())
    }

    fn read(mut self, out: &mut [u8], _pool: &BufferPool, work: &Work) -> Result<(), Fault> {
        if self.reader.colour() == Colour::Grey {
            // One plane decoded and spread here took 2.7 ms a megapixel in a probe of both steps; zune-jpeg's own spreading of grey 3.6 ms.
            self.samples = Samples::Luma;
            return read_plane(self, out, work);
        }
        read_samples(self, out, work)
    }
}

/// A JPEG of which only the luma plane is decoded.
pub(super) struct Luma<'a>(Jpeg<'a>);

impl Luma<'_> {
    /// Whether there is a luma plane beside others: CMYK and RGB have none, and a grey picture is nothing else.
    pub(super) fn is_plane(&self) -> bool {
        self.0.reader.colour() == Colour::YCbCr
    }
}

impl<'a> Picture<'a> for Luma<'a> {
    fn open(bytes: &'a [u8], work: &Work) -> Result<Self, Fault> {
        open_as(bytes, Samples::Luma, work).map(Self)
    }

    fn size(&self) -> (u32, u32) {
        self.0.size
    }

    fn orientation(&self) -> Orientation {
        self.0.orientation()
    }

    fn read(self, out: &mut [u8], _pool: &BufferPool, work: &Work) -> Result<(), Fault> {
        read_plane(self.0, out, work)
    }
}

/// One plane to three equal channels. It is decoded into the last third, and then spread forwards: pixel `i` is read at `2n + i` before
/// anything beyond `3i + 2`, which is less, is written.
fn read_plane(jpeg: Jpeg<'_>, out: &mut [u8], work: &Work) -> Result<(), Fault> {
    let plane = out.len() / 3 * 2;
    read_samples(jpeg, &mut out[plane..], work)?;
    for pixel in 0..out.len() / 3 {
        let value = out[plane + pixel];
        out[3 * pixel..][..3].fill(value);
    }
    Ok(())
}

/// What a caller wants of a JPEG's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Samples {
    /// RGB, whatever is stored. Four channels are taken as Adobe stores them (inverted, so that 255 is no ink), and colour is multiplied by
    /// black with rounding, as Pillow has it.
    Rgb,
    /// The first plane: of a grey or a YCbCr picture.
    Luma,
    /// As stored, for a TIFF whose own tags say what they mean.
    AsStored,
}

/// Reads the header; [`read_samples`] will then write what was asked for.
pub(super) fn open_as<'a>(bytes: &'a [u8], samples: Samples, work: &Work) -> Result<Jpeg<'a>, Fault> {
    let mut reader = Reader::new(bytes)?;
    let found = reader.next();
    work.spend(BEGIN + HEAD * reader.at as u64, "JPEG pictures")?;
    let scan = match found? {
        Found::Scan(scan) => scan,
        Found::End => return Err(Fault::malformed("no picture before the end marker")),
        Found::Cut => return Err(Fault::malformed("the picture is cut short")),
    };
    let size = reader.frame.as_ref().map(|frame| (frame.width as u32, frame.height as u32));
    let size = size.ok_or_else(|| Fault::malformed("no frame header"))?;
    if reader.colour() == Colour::Unknown && samples != Samples::AsStored {
        return Err(Fault::unsupported("two components"));
    }
    Ok(Jpeg { reader, scan, samples, size })
}

/// Writes all samples. `out` must have exactly their length.
pub(super) fn read_samples(jpeg: Jpeg<'_>, out: &mut [u8], work: &Work) -> Result<(), Fault> {
    let Jpeg { reader, scan, samples, size } = jpeg;
    if let Some(scans) = fast::proven_scans(&reader, &scan, samples)
        && fast::read(&reader, scans, samples, out, work)?
    {
        return Ok(());
    }
    // What zune-jpeg refuses may be sound; what it left in `out` is overwritten.
    let channels = match samples {
        Samples::Rgb => 3,
        Samples::Luma => 1,
        Samples::AsStored => reader.frame.as_ref().map_or(0, |frame| frame.components.len()),
    };
    if out.len() as u64 != u64::from(size.0) * u64::from(size.1) * channels as u64 {
        return Err(Fault::malformed("another number of channels than expected"));
    }
    Planes::decode(reader, scan, work)?.write(samples, out, work)
}
