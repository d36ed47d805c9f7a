//! JPEGs of every layout against djpeg's pixels, and scripts that cost more than they show.
//!
//! The fixtures and their truth are written by `scripts/conformance/jpeg_layouts.py --fixtures`; `case-*` are files that once went wrong. The script
//! holds the decoder against djpeg on as many fresh files as one likes; this is its small part that always runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nightlight::domain::frame::{BufferPool, Frame};
use nightlight::engines::media::{DecodeError, Decoder, Limits};
use proptest::prelude::*;
use serde::Deserialize;

/// Size, and the means of R, G and B over an 8x8 grid, row by row, of djpeg's pixels.
#[derive(Deserialize)]
struct Truth {
    width: u32,
    height: u32,
    means: Vec<u8>,
}

/// A cell's mean may differ by this much: decoders differ in IDCT and chroma upsampling, and the cells of the smallest pictures are one pixel. The
/// largest measured is 2.
const MOST: f64 = 4.0;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/integration/fixtures/jpeg_layouts")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

fn truth() -> BTreeMap<String, Truth> {
    serde_json::from_slice(&read("truth.json")).unwrap()
}

fn decoder() -> Decoder {
    Decoder::new(Limits { max_pixels: 1 << 24, max_side: 8192, max_bytes: 1 << 20 }, BufferPool::new(1 << 20))
}

/// The largest difference of a cell's mean, each sample first taken through `value`.
fn off(frame: &Frame, truth: &Truth, value: impl Fn([f64; 3]) -> [f64; 3]) -> f64 {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let mut largest = 0.0_f64;
    for (cell, right) in truth.means.chunks_exact(3).enumerate() {
        let rows = height * (cell / 8) / 8..height * (cell / 8 + 1) / 8;
        let columns = width * (cell % 8) / 8..width * (cell % 8 + 1) / 8;
        let mut sums = [0.0; 3];
        for (y, x) in rows.clone().flat_map(|y| columns.clone().map(move |x| (y, x))) {
            let at = 3 * (y * width + x);
            sums = std::array::from_fn(|n| sums[n] + f64::from(frame.pixels()[at + n]));
        }
        let count = (rows.len() * columns.len()) as f64;
        let (got, right) = (value(sums.map(|sum| sum / count)), value([right[0], right[1], right[2]].map(f64::from)));
        largest = (0..3).map(|n| (got[n] - right[n]).abs()).fold(largest, f64::max);
    }
    largest
}

#[test]
fn every_layout_is_the_picture_that_djpeg_makes_of_it() {
    let mut wrong = Vec::new();
    let truth = truth();
    assert!(truth.len() > 40, "{}", truth.len());
    for (name, truth) in truth {
        match decoder().decode(&read(&name)) {
            Err(error) => wrong.push(format!("{name}: {error}")),
            Ok((_, frame)) if (frame.width(), frame.height()) != (truth.width, truth.height) => {
                wrong.push(format!("{name}: {}x{} for {}x{}", frame.width(), frame.height(), truth.width, truth.height));
            }
            Ok((_, frame)) => {
                let off = off(&frame, &truth, |rgb| rgb);
                if off > MOST {
                    wrong.push(format!("{name}: {off:.1}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The luma plane alone is the luma of the same picture, wherever there is one.
#[test]
fn luma_alone_is_that_of_the_same_picture() {
    let (mut planes, mut wrong) = (0, Vec::new());
    for (name, truth) in truth() {
        let Some(luma) = decoder().decode_luma(&read(&name)).unwrap() else { continue };
        planes += 1;
        // Colours that RGB cannot hold are clipped in the whole picture, so its luma is further off.
        let off = off(&luma, &truth, |[r, g, b]| [0.299 * r + 0.587 * g + 0.114 * b; 3]);
        if off > 3.0 * MOST {
            wrong.push(format!("{name}: {off:.1}"));
        }
    }
    assert!(planes > 20, "{planes}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The tests above must be able to fail: no fixture passes for another of its size, nor upside down.
#[test]
fn the_means_reject_other_pictures() {
    let mut rejected = 0;
    for (name, truth) in truth() {
        let (_, frame) = decoder().decode(&read(&name)).unwrap();
        let turned: Vec<u8> = frame.pixels().chunks_exact(3 * frame.width() as usize).rev().flatten().copied().collect();
        rejected += usize::from(off(&Frame::new(frame.width(), frame.height(), turned).unwrap(), &truth, |rgb| rgb) > MOST);
    }
    // One or two pictures of one colour are what they are upside down.
    assert!(rejected + 3 >= truth().len(), "{rejected} of {}", truth().len());
}

/// Where the frame header's marker stands.
fn frame_header(bytes: &[u8]) -> usize {
    let mut at = 2;
    while !matches!(bytes[at + 1], 0xc0..=0xc2) {
        at += 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
    }
    at
}

#[test]
fn what_is_not_decoded_is_refused_by_name() {
    let plain = read("case-01a_interleaved_420.jpg");
    let at = frame_header(&plain);
    let changed = |place: usize, value: u8| {
        let mut bytes = plain.clone();
        bytes[place] = value;
        bytes
    };
    let told = |bytes: &[u8]| decoder().decode(bytes).unwrap_err();
    for (name, bytes, text) in [
        ("arithmetic", read("refused-32_arithmetic.jpg"), "arithmetic coding"),
        ("lacks scans", read("refused-segments-00056.jpg"), "a progressive picture that lacks scans"),
        ("arithmetic, progressive", changed(at + 1, 0xca), "arithmetic coding"),
        ("lossless", changed(at + 1, 0xc3), "lossless coding"),
        ("hierarchical", changed(at + 1, 0xc5), "hierarchical coding"),
        ("12 bits", changed(at + 4, 12), "samples of 12 bits"),
        ("factors that do not divide", changed(at + 14, 0x13), "sampling factors that do not divide the largest"),
    ] {
        let error = told(&bytes);
        assert!(matches!(&error, DecodeError::UnsupportedFeature { detail, .. } if detail == text), "{name}: {error}");
    }
    for (name, bytes) in
        [("cut", plain[..plain.len() / 2].to_vec()), ("a factor of 5", changed(at + 11, 0x51)), ("a lone frame", plain[..at + 20].to_vec())]
    {
        assert_eq!(told(&bytes).code(), "malformed", "{name}");
    }
}

/// Without its end marker a picture counts only when nothing of it is missing.
#[test]
fn a_missing_end_costs_nothing_and_missing_rows_do() {
    for name in ["case-01a_interleaved_420.jpg", "case-01b_same_three_scans_420.jpg", "case-04_progressive_440_luma_mode.jpg"] {
        let whole = read(name);
        let (_, right) = decoder().decode(&whole).unwrap();
        let (_, open) = decoder().decode(&whole[..whole.len() - 2]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(off(&open, &truth()[name], |rgb| rgb) <= MOST, off(&right, &truth()[name], |rgb| rgb) <= MOST);
        for cut in [20, 200, whole.len() / 2] {
            assert_eq!(decoder().decode(&whole[..whole.len() - cut]).unwrap_err().code(), "malformed", "{name} without {cut}");
        }
    }
}

/// A grey progressive picture of 2048x2048, whose zeroth coefficients are followed by `scans` scans that hold nothing.
fn empty_scans(scans: usize) -> Vec<u8> {
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
    bytes.extend([1; 64]);
    bytes.extend([0xff, 0xc2, 0, 11, 8, 8, 0, 8, 0, 1, 1, 0x11, 0]);
    // Either code has one symbol, `0`: a difference of no bits, and "the next 16,384 blocks and 14 bits more hold nothing".
    for (kind, symbol) in [(0x00, 0x00), (0x10, 0xe0)] {
        bytes.extend([0xff, 0xc4, 0, 20, kind, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, symbol]);
    }
    bytes.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0]);
    bytes.extend([0; 65_536 / 8]);
    for _ in 0..scans {
        bytes.extend([0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, 0]);
        bytes.extend([0; 8]);
    }
    bytes.extend([0xff, 0xd9]);
    bytes
}

#[test]
fn a_script_of_thousands_of_scans_is_refused() {
    assert!(decoder().decode(&empty_scans(30)).is_ok());
    let error = decoder().decode(&empty_scans(20_000)).unwrap_err();
    assert_eq!(error.code(), "unsupported_feature", "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The decoder's own checks hold; the net that catches its panics is not needed.
    #[test]
    fn damaged_layouts_do_not_panic(
        name in prop::sample::select(truth().into_keys().collect::<Vec<_>>()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        early in any::<bool>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = read(&name);
        let range = if early { bytes.len().min(400) } else { bytes.len() };
        changes.into_iter().for_each(|(at, value)| bytes[at.index(range)] = value);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        for error in [decoder().decode(&bytes).err(), decoder().decode_luma(&bytes).err()].into_iter().flatten() {
            prop_assert!(!error.to_string().contains("gave up"), "{name}: {error}");
        }
    }
}
