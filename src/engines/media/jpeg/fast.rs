//! The usual layouts, by zune-jpeg, which is faster than our own decoder.
//!
//! zune-jpeg 0.5 turns some rarer layouts to garbage without an error: scans of one component with vertically subsampled chroma,
//! chroma finer than luma, progressive files that stop early. So it gets a file only when every property that it could take differently
//! is the usual one.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::Samples;
use super::blocks::Progress;
use super::head::{Colour, Found, Frame, Reader, Scan};

/// The largest side that a JPEG header can state; the caller has held the size against its limits.
const LARGEST_SIDE: usize = u16::MAX as usize;
/// Of narrower pictures libjpeg repeats chroma instead of smoothing it; the smallest cost nothing anyway.
const SMALLEST_SIDE: usize = 16;
/// cjpeg writes ten scans for a colour picture, mozjpeg up to 13.
const MOST_SCANS: usize = 40;

/// Whether zune-jpeg is known to read this file right. `reader` stands behind the header of the first scan, which is `scan`.
pub(super) fn is_proven(reader: &Reader<'_>, scan: &Scan, samples: Samples) -> bool {
    let Some(frame) = &reader.frame else { return false };
    let in_order = scan.parts.iter().map(|part| part.component).eq(0..frame.components.len());
    let usual = has_usual_sampling(frame, samples) && frame.width.min(frame.height) >= SMALLEST_SIDE;
    if !reader.plain || !in_order || !usual {
        return false;
    }
    let quantized = frame.components.iter().all(|c| reader.quantization.get(c.table).is_some_and(Option::is_some));
    let coded = scan.parts.iter().all(|part| reader.dc[part.dc].is_some() && (frame.progressive || reader.ac[part.ac].is_some()));
    quantized && coded && if frame.progressive { has_usual_scans(reader, scan, frame) } else { has_end(reader) }
}

fn has_usual_sampling(frame: &Frame, samples: Samples) -> bool {
    let factors: Vec<(usize, usize)> = frame.components.iter().map(|c| (c.h, c.v)).collect();
    match factors[..] {
        // Luma alone of 4:4:0 comes out in the wrong rows.
        [luma, (1, 1), (1, 1)] => matches!(luma, (1, 1) | (2, 1 | 2)) || (luma == (1, 2) && samples != Samples::Luma),
        ref all => all.iter().all(|&factors| factors == (1, 1)),
    }
}

/// Whether a progressive picture is sent as encoders do: the zeroth coefficients of all components together, everything else one
/// component at a time, under tables that stay, and all of it.
fn has_usual_scans(reader: &Reader<'_>, scan: &Scan, frame: &Frame) -> bool {
    let mut progress = vec![Progress::default(); frame.components.len()];
    let (mut reader, mut scan) = (reader.clone(), scan.clone());
    let (quantization, restart) = (reader.quantization, reader.restart);
    for _ in 0..MOST_SCANS {
        let in_order = scan.parts.iter().map(|part| part.component).eq(0..progress.len());
        let advanced = scan.parts.iter().all(|part| progress[part.component].advance(true, &scan).is_ok());
        if !advanced || (scan.first == 0 && !in_order) || reader.quantization != quantization || reader.restart != restart {
            return false;
        }
        match reader.next() {
            Ok(Found::Scan(next)) => scan = next,
            Ok(Found::End) => return progress.iter().all(Progress::is_complete),
            _ => return false,
        }
    }
    false
}

/// Whether an EOI marker stands somewhere behind the start of the first scan; zune-jpeg notices missing data only when another row of blocks
/// was to come. Entropy-coded data cannot hold one by chance (T.81, section B.1.1.5).
fn has_end(reader: &Reader<'_>) -> bool {
    // Found at once in a whole file, because the search begins at its end.
    reader.bytes[reader.at..].windows(2).rev().any(|pair| pair == [0xff, 0xd9])
}

/// Writes all samples, or says that it could not; then `out` holds anything.
pub(super) fn read(reader: &Reader<'_>, samples: Samples, out: &mut [u8]) -> bool {
    let options = DecoderOptions::default().set_max_width(LARGEST_SIDE).set_max_height(LARGEST_SIDE);
    // Strict: what is cut short or corrupt is an error instead of a picture that is grey from there on.
    let options = options.set_strict_mode(true).jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(reader.bytes), options);
    if decoder.decode_headers().is_err() {
        return false;
    }
    let space = match reader.colour() {
        Colour::Grey => ColorSpace::Luma,
        Colour::YCbCr => ColorSpace::YCbCr,
        Colour::Rgb => ColorSpace::RGB,
        Colour::Cmyk => ColorSpace::CMYK,
        Colour::Ycck => ColorSpace::YCCK,
        Colour::Unknown => return false,
    };
    let size = reader.frame.as_ref().map(|frame| (frame.width, frame.height));
    if decoder.input_colorspace() != Some(space) || decoder.dimensions() != size {
        return false;
    }
    let wanted = match samples {
        Samples::Rgb => ColorSpace::RGB,
        Samples::Luma => ColorSpace::Luma,
        Samples::AsStored => space,
    };
    let options = decoder.options().jpeg_set_out_colorspace(wanted);
    decoder.set_options(options);
    if decoder.output_buffer_size() != Some(out.len()) {
        return false;
    }
    // zune-jpeg leaves what it could not decode untouched on some ways out. A pooled buffer holds another attachment's pixels,
    // which must never show, so it is cleared first.
    out.fill(128);
    decoder.decode_into(out).is_ok()
}
