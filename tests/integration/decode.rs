//! Pictures of every kind against Pillow's pixels, and hostile bytes against the decoder's limits.
//!
//! The fixtures and their truth are written by `fixtures/decode/make.py`. Lossless formats, and lossy WebP, must be equal to
//! Pillow. For JPEG, IDCT and chroma upsampling are not defined to the bit. Measured against Pillow 13 (libjpeg-turbo 3.2) on 64
//! photograph-like JPEGs of 0.1 to 4 megapixels: mean difference of a sample 0.003 to 0.005 for grey and CMYK, 0.04 to 0.27 for
//! 4:2:0, at most 9; on the tiny fixtures, where edges weigh more, at most 0.45.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nightlight::domain::frame::{BufferPool, Frame};
use nightlight::engines::hashing::digests::digests;
use nightlight::engines::media::{DecodeError, Decoder, Limits, sniff};
use proptest::prelude::*;
use serde::Deserialize;

/// Small enough that every bomb among the fixtures is refused.
const LIMITS: Limits = Limits { max_pixels: 1 << 20, max_side: 4096, max_bytes: 1 << 20 };

#[derive(Deserialize)]
#[serde(untagged)]
enum Truth {
    Refused { error: String },
    Lossy { width: u32, height: u32, mean: f64, most: u8 },
    Lossless { width: u32, height: u32, sha256: String },
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/integration/fixtures/decode")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

fn truth() -> BTreeMap<String, Truth> {
    serde_json::from_slice(&read("truth.json")).unwrap()
}

/// A decoder whose pool lends buffers full of `stain`, as if other pictures had been there.
fn stained(stain: u8) -> Decoder {
    let pool = BufferPool::new(64 << 20);
    let mut buffers: Vec<_> = (0..4).map(|_| pool.take(64 << 10)).collect();
    buffers.iter_mut().for_each(|buffer| buffer.fill(stain));
    drop(buffers);
    Decoder::new(LIMITS, pool)
}

fn decode(decoder: &Decoder, name: &str, bytes: &[u8]) -> Frame {
    let (media_type, frame) = decoder.decode(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    let header = decoder.header(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!((header.media_type, header.width, header.height), (media_type, frame.width(), frame.height()), "{name}");
    frame
}

/// Mean and largest difference of two equally long runs of samples.
fn difference(ours: &[u8], theirs: &[u8]) -> (f64, u8) {
    assert_eq!(ours.len(), theirs.len());
    let differences = || ours.iter().zip(theirs).map(|(&ours, &theirs)| ours.abs_diff(theirs));
    (differences().map(f64::from).sum::<f64>() / ours.len() as f64, differences().max().unwrap_or(0))
}

#[test]
fn every_fixture_is_what_pillow_makes_of_it() {
    let mut wrong = Vec::new();
    for (name, truth) in truth() {
        let bytes = read(&name);
        let decoder = stained(0xa5);
        match truth {
            Truth::Refused { error } => {
                let got = decoder.decode(&bytes).err().map(|error| error.code());
                if got != Some(error.as_str()) {
                    wrong.push(format!("{name}: {got:?} instead of {error}"));
                }
            }
            Truth::Lossless { width, height, sha256 } => {
                let frame = decode(&decoder, &name, &bytes);
                let same = hex::encode(digests(frame.pixels(), false, false).sha256) == sha256;
                if (frame.width(), frame.height(), same) != (width, height, true) {
                    wrong.push(format!("{name}: {}x{} for {width}x{height}, same pixels: {same}", frame.width(), frame.height()));
                }
            }
            Truth::Lossy { width, height, mean, most } => {
                let frame = decode(&decoder, &name, &bytes);
                // The truth's own PNG is plain 8-bit RGB, which the lossless fixtures prove.
                let theirs = decode(&decoder, &name, &read(&format!("{name}.rgb.png")));
                assert_eq!((frame.width(), frame.height()), (width, height), "{name}");
                let (got_mean, got_most) = difference(frame.pixels(), theirs.pixels());
                if got_mean > mean || got_most > most {
                    wrong.push(format!("{name}: mean {got_mean:.3} (allowed {mean}), largest {got_most} (allowed {most})"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The test above must be able to fail: a picture turned the wrong way, or with two channels swapped, is far off.
#[test]
fn the_tolerance_rejects_wrong_twins() {
    let decoder = stained(0);
    let upright = decode(&decoder, "exif1.jpg", &read("exif1.jpg"));
    let theirs = decode(&decoder, "exif3.jpg", &read("exif3.jpg.rgb.png"));
    let (mean, _) = difference(upright.pixels(), theirs.pixels());
    assert!(mean > 10.0, "a picture not turned passes for a turned one: {mean}");
    let swapped: Vec<u8> = upright.pixels().chunks_exact(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
    let (mean, _) = difference(upright.pixels(), &swapped);
    assert!(mean > 10.0, "BGR passes for RGB: {mean}");
}

/// Whatever stood in a pooled buffer before must never show, however damaged the picture is.
#[test]
fn no_earlier_picture_shows_through() {
    for name in truth().into_keys() {
        let whole = read(&name);
        for (cut, flip) in [(0, 0), (1, 0), (whole.len() / 3, 0), (0, whole.len() / 2), (0, whole.len() - whole.len() / 5 - 1)] {
            let mut bytes = whole[..whole.len() - cut].to_vec();
            bytes[flip] ^= if flip == 0 { 0 } else { 0x10 };
            let [one, other] = [0x00, 0xff].map(|stain| stained(stain).decode(&bytes));
            match (one, other) {
                (Ok((_, one)), Ok((_, other))) => assert_eq!(one.pixels(), other.pixels(), "{name}, cut {cut}, flip {flip}"),
                (one, other) => assert_eq!(one.is_ok(), other.is_ok(), "{name}, cut {cut}, flip {flip}"),
            }
        }
    }
}

#[test]
fn limits_hold_at_the_edge() {
    let bytes = read("rgb8.png");
    let code = |limits: Limits| Decoder::new(limits, BufferPool::new(0)).decode(&bytes).err().map(|error| error.code());
    let (width, height) = (37, 29);
    let fits = Limits { max_pixels: width * height, max_side: width as u32, max_bytes: bytes.len() };
    assert_eq!(code(fits), None);
    assert_eq!(code(Limits { max_pixels: width * height - 1, ..fits }), Some("too_large"));
    assert_eq!(code(Limits { max_side: width as u32 - 1, ..fits }), Some("too_large"));
    assert_eq!(code(Limits { max_bytes: bytes.len() - 1, ..fits }), Some("too_large"));
}

#[test]
fn the_size_of_a_refused_picture_is_told() {
    let error = stained(0).header(&read("bomb.png")).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge { width: 30_000, height: 30_000, .. }), "{error}");
}

/// What a hostile picture may allocate at once, counted for this thread by the allocator of this test program.
mod memory {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    thread_local!(static LARGEST: Cell<usize> = const { Cell::new(0) });

    pub struct Counting;

    fn note(size: usize) {
        // A thread that is being torn down is nobody's measurement.
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
    }

    // SAFETY: every call is handed on unchanged to the system's allocator; only sizes are noted.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            note(layout.size());
            unsafe { System.alloc(layout) }
        }
        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            note(layout.size());
            unsafe { System.alloc_zeroed(layout) }
        }
        unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            note(size);
            unsafe { System.realloc(old, layout, size) }
        }
        unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
            unsafe { System.dealloc(old, layout) }
        }
    }

    /// The largest single allocation of this thread during `work`, in bytes.
    pub fn largest_during<T>(work: impl FnOnce() -> T) -> (usize, T) {
        LARGEST.set(0);
        let result = work();
        (LARGEST.get(), result)
    }
}

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// No single allocation may exceed what the largest permitted picture needs: 16 bytes a pixel (a 16-bit TIFF of 8 samples), or
/// the roomiest tile of a TIFF, and decoders' fixed tables.
fn bound(limits: Limits) -> usize {
    (16 * limits.max_pixels as usize).max(16 << 20) + (1 << 20)
}

fn survives(bytes: &[u8]) {
    // A small area, so that a stated size that slips through is far beyond the bound.
    let limits = Limits { max_pixels: 1 << 12, max_side: 256, max_bytes: 1 << 20 };
    let decoder = Decoder::new(limits, BufferPool::new(1 << 20));
    let (largest, decoded) = memory::largest_during(|| decoder.decode(bytes));
    assert!(largest <= bound(limits), "one allocation of {largest} bytes");
    if let Ok((media_type, frame)) = decoded {
        assert_eq!(sniff(bytes), Some(media_type));
        assert!(frame.width() <= 256 && frame.height() <= 256 && frame.width() * frame.height() <= 1 << 12);
    }
}

#[test]
fn bombs_cost_no_memory() {
    for (name, _) in truth().into_iter().filter(|(name, _)| name.contains("bomb") || name.contains("liar")) {
        let bytes = read(&name);
        let (largest, decoded) = memory::largest_during(|| stained(0).decode(&bytes));
        assert!(decoded.is_err());
        assert!(largest <= 1 << 20, "{name}: one allocation of {largest} bytes");
    }
}

/// A picture of the fixtures with some bytes changed and the end cut off.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let names: Vec<String> = truth().into_keys().collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    // Half of the changes fall on the first bytes, where sizes and counts stand.
    (prop::sample::select(names), changes, any::<bool>(), prop::option::of(any::<prop::sample::Index>())).prop_map(
        |(name, changes, early, cut)| {
            let mut bytes = read(&name);
            let range = if early { bytes.len().min(120) } else { bytes.len() };
            changes.into_iter().for_each(|(at, value)| bytes[at.index(range)] = value);
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()) + 1);
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_pictures_neither_panic_nor_grow(bytes in damaged()) {
        survives(&bytes);
    }

    #[test]
    fn noise_behind_any_magic_neither_panics_nor_grows(magic in 0..7_usize, noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let magics: [&[u8]; 7] = [
            b"", b"\xff\xd8\xff\xc0", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"RIFF\0\0\0\0WEBPVP8X", b"GIF89a", b"BM", b"II*\0\x08\0\0\0",
        ];
        survives(&[magics[magic], &noise].concat());
    }
}

/// Luma alone: three equal channels, about the luma of the whole picture; and nothing for what has no such plane.
#[test]
fn luma_alone_is_about_the_pictures_luma() {
    let mut planes = 0;
    for (name, truth) in truth() {
        let (bytes, decoder) = (read(&name), stained(0xa5));
        let is_jpeg = name.ends_with(".jpg");
        match (decoder.decode_luma(&bytes), truth) {
            (Ok(Some(luma)), Truth::Lossy { width, height, .. }) if is_jpeg => {
                let whole = decode(&decoder, &name, &bytes);
                assert_eq!((luma.width(), luma.height()), (width, height), "{name}");
                assert!(luma.pixels().chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]), "{name}");
                let value =
                    |pixel: &[u8]| (299 * u32::from(pixel[0]) + 587 * u32::from(pixel[1]) + 114 * u32::from(pixel[2])) as f64 / 1000.0;
                let off =
                    luma.pixels().chunks_exact(3).zip(whole.pixels().chunks_exact(3)).map(|(a, b)| (f64::from(a[0]) - value(b)).abs());
                // Rounding and clipping of colours; the fixtures are full of saturated ones.
                assert!(off.sum::<f64>() / f64::from(width * height) < 4.0, "{name}");
                planes += 1;
            }
            (Ok(None), _) => assert!(
                !is_jpeg || name.contains("grey") || name.contains("cmyk") || name.contains("ycck") || name.contains("rgb"),
                "{name}"
            ),
            (Err(error), Truth::Refused { error: expected }) => assert_eq!(error.code(), expected, "{name}"),
            (got, _) => panic!("{name}: {:?}", got.map(|frame| frame.map(|frame| (frame.width(), frame.height())))),
        }
    }
    assert!(planes > 10, "{planes}");
}
