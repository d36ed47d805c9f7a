//! The usual layouts, by zune-jpeg, which is faster than our own decoder.
//!
//! zune-jpeg 0.5 turns some rarer layouts to garbage without an error: scans of one component with vertically subsampled chroma,
//! chroma finer than luma, progressive files that stop early. So it gets a file only when every property that it could take differently
//! is the usual one. It cannot be asked to stop, so a picture that takes long gets its bytes through [`Watched`], where they end at the deadline.

use zune_core::bytestream::{ZByteReaderTrait, ZCursor};
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::super::error::Fault;
use super::super::work::Work;
use super::Samples;
use super::blocks::Progress;
use super::head::{Colour, Found, Frame, Reader, Scan};
use super::watched::Watched;

/// The largest side that a JPEG header can state; the caller has held the size against its limits.
const LARGEST_SIDE: usize = u16::MAX as usize;
/// Of narrower pictures libjpeg repeats chroma instead of smoothing it; the smallest cost nothing anyway.
const SMALLEST_SIDE: usize = 16;
/// What a block costs, in each scan, and a stored byte; in nanoseconds.
const BLOCK: u64 = 300;
const VISIT: u64 = 20;
const STORED: u64 = 20;
/// What may run without looking at the deadline: some 2 to 4 megapixels.
const UNWATCHED: u64 = 50_000_000;
/// No block of one scan holds more bytes: 64 codes of 16 bits with values of 11, and as many stuffed zeros.
const LONGEST_BLOCK: u64 = 432;
/// cjpeg writes ten scans for a colour picture, mozjpeg up to 13.
const MOST_SCANS: u64 = 40;

/// The number of scans, if zune-jpeg is known to read this file right. `reader` stands behind the header of the first scan, which is `scan`.
pub(super) fn proven_scans(reader: &Reader<'_>, scan: &Scan, samples: Samples) -> Option<u64> {
    let frame = reader.frame.as_ref()?;
    let in_order = scan.parts.iter().map(|part| part.component).eq(0..frame.components.len());
    let usual = has_usual_sampling(frame, samples) && frame.width.min(frame.height) >= SMALLEST_SIDE;
    if !reader.plain || !in_order || !usual {
        return None;
    }
    let quantized = frame.components.iter().all(|c| reader.quantization.get(c.table).is_some_and(Option::is_some));
    let coded = scan.parts.iter().all(|part| reader.dc[part.dc].is_some() && (frame.progressive || reader.ac[part.ac].is_some()));
    if !quantized || !coded {
        return None;
    }
    if frame.progressive { usual_scans(reader, scan, frame) } else { has_end(reader).then_some(1) }
}

fn has_usual_sampling(frame: &Frame, samples: Samples) -> bool {
    let factors: Vec<(usize, usize)> = frame.components.iter().map(|c| (c.h, c.v)).collect();
    match factors[..] {
        // Luma alone of 4:4:0 comes out in the wrong rows.
        [luma, (1, 1), (1, 1)] => matches!(luma, (1, 1) | (2, 1 | 2)) || (luma == (1, 2) && samples != Samples::Luma),
        ref all => all.iter().all(|&factors| factors == (1, 1)),
    }
}

/// The number of scans of a progressive picture that is sent as encoders do: the zeroth coefficients of all components together, everything else one
/// component at a time, under tables that stay, and all of it.
fn usual_scans(reader: &Reader<'_>, scan: &Scan, frame: &Frame) -> Option<u64> {
    let mut progress = vec![Progress::default(); frame.components.len()];
    let (mut reader, mut scan) = (reader.clone(), scan.clone());
    let (quantization, restart) = (reader.quantization, reader.restart);
    for scans in 1..=MOST_SCANS {
        let in_order = scan.parts.iter().map(|part| part.component).eq(0..progress.len());
        let advanced = scan.parts.iter().all(|part| progress[part.component].advance(true, &scan).is_ok());
        if !advanced || (scan.first == 0 && !in_order) || reader.quantization != quantization || reader.restart != restart {
            return None;
        }
        match reader.next() {
            Ok(Found::Scan(next)) => scan = next,
            Ok(Found::End) => return progress.iter().all(Progress::is_complete).then_some(scans),
            _ => return None,
        }
    }
    None
}

/// Whether an EOI marker stands somewhere behind the start of the first scan; zune-jpeg notices missing data only when another row of blocks
/// was to come. Entropy-coded data cannot hold one by chance (T.81, section B.1.1.5).
fn has_end(reader: &Reader<'_>) -> bool {
    // Found at once in a whole file, because the search begins at its end.
    reader.bytes[reader.at..].windows(2).rev().any(|pair| pair == [0xff, 0xd9])
}

/// Writes all samples of a picture of so many scans, or says that it could not; then `out` holds anything.
///
/// # Errors
/// When that is too much work, or the deadline passed.
pub(super) fn read(reader: &Reader<'_>, scans: u64, samples: Samples, out: &mut [u8], work: &Work) -> Result<bool, Fault> {
    let blocks = reader.frame.as_ref().map_or(0, Frame::blocks);
    let bytes = ((reader.bytes.len() - reader.at) as u64).min(LONGEST_BLOCK * blocks * scans);
    let cost = blocks * (BLOCK + VISIT * scans) + STORED * bytes;
    work.spend(cost, "blocks and scans of a JPEG")?;
    let input = ZCursor::new(reader.bytes);
    if cost <= UNWATCHED {
        return Ok(decode(input, reader, samples, out).is_some());
    }
    let decoded = decode(Watched::new(input, work), reader, samples, out).is_some();
    if !decoded && work.is_over() { Err(Fault::Deadline) } else { Ok(decoded) }
}

fn decode<R: ZByteReaderTrait>(input: R, reader: &Reader<'_>, samples: Samples, out: &mut [u8]) -> Option<()> {
    let options = DecoderOptions::default().set_max_width(LARGEST_SIDE).set_max_height(LARGEST_SIDE);
    // Strict: what is cut short or corrupt is an error instead of a picture that is grey from there on.
    let options = options.set_strict_mode(true).jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(input, options);
    decoder.decode_headers().ok()?;
    let space = match reader.colour() {
        Colour::Grey => ColorSpace::Luma,
        Colour::YCbCr => ColorSpace::YCbCr,
        Colour::Rgb => ColorSpace::RGB,
        Colour::Cmyk => ColorSpace::CMYK,
        Colour::Ycck => ColorSpace::YCCK,
        Colour::Unknown => return None,
    };
    let size = reader.frame.as_ref().map(|frame| (frame.width, frame.height));
    if decoder.input_colorspace() != Some(space) || decoder.dimensions() != size {
        return None;
    }
    let wanted = match samples {
        Samples::Rgb => ColorSpace::RGB,
        Samples::Luma => ColorSpace::Luma,
        Samples::AsStored => space,
    };
    let options = decoder.options().jpeg_set_out_colorspace(wanted);
    decoder.set_options(options);
    if decoder.output_buffer_size() != Some(out.len()) {
        return None;
    }
    // zune-jpeg leaves what it could not decode untouched on some ways out. A pooled buffer holds another attachment's pixels,
    // which must never show, so it is cleared first.
    out.fill(128);
    decoder.decode_into(out).ok()
}
