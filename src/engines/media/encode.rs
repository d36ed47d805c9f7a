//! Frames to files, for evaluation.

use image::{ExtendedColorType, codecs::jpeg::JpegEncoder};

use crate::domain::frame::Frame;

/// The frame cannot be written in this format: a JPEG's sides have 65,535 pixels at most.
#[derive(Debug, thiserror::Error)]
#[error("a picture of {width}x{height} cannot be written: {reason}")]
pub struct EncodeError {
    width: u32,
    height: u32,
    reason: String,
}

/// A baseline JPEG with chroma at full resolution, of this quality (1..=100, the scale of libjpeg's tables).
///
/// # Errors
/// See [`EncodeError`].
pub fn jpeg(frame: &Frame, quality: u8) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100));
    let written = encoder.encode(frame.pixels(), frame.width(), frame.height(), ExtendedColorType::Rgb8);
    written.map_err(|error| failed(frame, error))?;
    Ok(bytes)
}

/// A PNG of eight bits a channel: the pixels come back as they were.
///
/// # Errors
/// See [`EncodeError`].
pub fn png(frame: &Frame) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, frame.width(), frame.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().map_err(|error| failed(frame, error))?;
    writer.write_image_data(frame.pixels()).map_err(|error| failed(frame, error))?;
    writer.finish().map_err(|error| failed(frame, error))?;
    Ok(bytes)
}

fn failed(frame: &Frame, error: impl ToString) -> EncodeError {
    EncodeError { width: frame.width(), height: frame.height(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{attachment::MediaType, frame::BufferPool},
        engines::media::{Decoder, Limits},
    };

    #[test]
    fn files_decode_to_what_was_written() {
        let pixels: Vec<u8> = (0..60 * 40).flat_map(|at| [(at % 60 * 4) as u8, (at / 60 * 6) as u8, 90]).collect();
        let frame = Frame::new(60, 40, pixels).unwrap();
        let decoder = Decoder::new(Limits { max_pixels: 10_000, max_side: 100, max_bytes: 1 << 20 }, BufferPool::new(0));
        let (kind, same) = decoder.decode(&png(&frame).unwrap()).unwrap();
        assert_eq!((kind, same.pixels()), (MediaType::Png, frame.pixels()));
        let apart = |quality| {
            let (kind, near) = decoder.decode(&jpeg(&frame, quality).unwrap()).unwrap();
            assert_eq!((kind, near.width(), near.height()), (MediaType::Jpeg, 60, 40));
            near.pixels().iter().zip(frame.pixels()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>()
        };
        let (fine, coarse) = (apart(95), apart(10));
        assert!(fine < coarse && fine / (60 * 40 * 3) < 3, "{fine} and {coarse}");
        let long = Frame::new(65_536, 1, vec![0; 3 * 65_536]).unwrap();
        assert!(jpeg(&long, 90).is_err() && png(&long).is_ok());
    }
}
