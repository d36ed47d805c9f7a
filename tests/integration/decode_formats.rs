//! PNG, WebP, GIF, TIFF and BMP files made from the formats' options, against the pixels that they stand for.
//!
//! The fixtures are the committed part of `scripts/conformance/format_layouts.py` (seed 7; Pillow 13.0.0 and libwebp 1.6.0 gave the truth).
//! The script itself holds any number of files of a fresh seed against Pillow and dwebp.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nightlight::domain::frame::BufferPool;
use nightlight::engines::hashing::digests::digests;
use nightlight::engines::media::{Decoder, Limits};
use serde::Deserialize;

const LIMITS: Limits = Limits { max_pixels: 1 << 20, max_side: 4096, max_bytes: 1 << 20 };

#[derive(Deserialize)]
struct Truth {
    width: u32,
    height: u32,
    /// Of the RGB bytes.
    sha256: String,
    /// What the generator drew, for the message.
    options: BTreeMap<String, String>,
}

fn read(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/integration/fixtures/formats");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn truth() -> BTreeMap<String, Truth> {
    serde_json::from_slice(&read("truth.json")).unwrap()
}

/// A decoder whose pool lends a buffer full of another picture's bytes.
fn decoder() -> Decoder {
    let pool = BufferPool::new(1 << 20);
    pool.take(64 << 10).fill(0xa5);
    Decoder::new(LIMITS, pool)
}

#[test]
fn every_layout_is_the_picture_that_it_stands_for() {
    let mut wrong = Vec::new();
    for (name, Truth { width, height, sha256, options }) in truth() {
        match decoder().decode(&read(&name)) {
            Err(error) => wrong.push(format!("{name}: {error}: {options:?}")),
            Ok((_, frame)) => {
                let same = hex::encode(digests(frame.pixels(), false, false).sha256) == sha256;
                if (frame.width(), frame.height(), same) != (width, height, true) {
                    wrong.push(format!(
                        "{name}: {}x{} for {width}x{height}, same pixels: {same}: {options:?}",
                        frame.width(),
                        frame.height()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The committed part must go on covering what was once decoded wrongly or refused.
#[test]
fn the_layouts_that_went_wrong_are_among_them() {
    let truth = truth();
    let with = |format: &str, wanted: &[(&str, &str)]| {
        let holds = |truth: &Truth| wanted.iter().all(|&(name, value)| truth.options.get(name).is_some_and(|drawn| drawn == value));
        assert!(truth.iter().any(|(name, truth)| name.starts_with(format) && holds(truth)), "no {format} with {wanted:?}");
    };
    with("bmp", &[("header", "12")]);
    with("bmp", &[("header", "16")]);
    with("bmp", &[("header", "64")]);
    with("bmp", &[("top down", "yes"), ("compression", "runs")]);
    with("gif", &[("stream", "8 bytes or less")]);
    with("webp", &[("flags", "metadata wrong")]);
    with("webp", &[("container", "animation"), ("frame", "within")]);
    with("png", &[("interlaced", "1"), ("end", "no IEND")]);
    for format in ["png", "webp", "gif", "tiff", "bmp"] {
        assert!(truth.keys().filter(|name| name.starts_with(format)).count() >= 10, "too few of {format}");
    }
}

/// What is cut short or changed is an error or a picture, never a panic, and no other attachment's bytes show.
#[test]
fn damaged_layouts_show_nothing_of_other_pictures() {
    let stained = |stain| {
        let pool = BufferPool::new(1 << 20);
        let mut buffers: Vec<_> = (0..4).map(|_| pool.take(64 << 10)).collect();
        buffers.iter_mut().for_each(|buffer| buffer.fill(stain));
        drop(buffers);
        Decoder::new(LIMITS, pool)
    };
    let both = |bytes: &[u8], what: &str| match (stained(0x00).decode(bytes), stained(0xff).decode(bytes)) {
        (Ok((_, one)), Ok((_, other))) => assert_eq!(one.pixels(), other.pixels(), "{what}"),
        (one, other) => assert_eq!(one.is_ok(), other.is_ok(), "{what}"),
    };
    for name in truth().into_keys() {
        let whole = read(&name);
        for at in (0..whole.len()).step_by(1 + whole.len() / 60) {
            both(&whole[..at], &format!("{name}, {at} bytes"));
            let mut changed = whole.clone();
            changed[at] ^= 0x81;
            both(&changed, &format!("{name}, byte {at} changed"));
        }
    }
}
