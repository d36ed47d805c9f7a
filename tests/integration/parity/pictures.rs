//! The synthetic pictures of `fixtures/pdq/make.py`, and what the reference said of them.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use nightlight::domain::frame::Frame;
use nightlight::domain::hash::{PdqHash, PerceptualHash, Quality};
use serde::Deserialize;
use sha2::{Digest, Sha256};

pub struct Case {
    /// `WIDTHxHEIGHT` or a file's name.
    pub name: String,
    pub frame: Arc<Frame>,
    /// The reference's single hash; none for pictures it does not hash.
    pub pdq: Option<PdqHash>,
    /// The reference's dihedral hashes and quality.
    pub reference: Option<PerceptualHash>,
    /// Digest of Pillow's and numpy's tensor for the demo model.
    pub open_nsfw: String,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    file: String,
    #[serde(default)]
    seed: u32,
    width: u32,
    height: u32,
    #[serde(default)]
    pixels_sha256: String,
    pdq: Option<PdqHash>,
    quality: Option<u8>,
    dihedral: Option<[PdqHash; 8]>,
    #[serde(default)]
    open_nsfw_sha256: String,
}

impl Line {
    fn reference(&self) -> Option<PerceptualHash> {
        Some(PerceptualHash { hashes: self.dihedral?, quality: Quality::new(self.quality?) })
    }
}

pub fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let lines = include_str!("../fixtures/pdq/cases.jsonl").lines();
        lines
            .map(|line| {
                let line: Line = serde_json::from_str(line).unwrap();
                let pixels = picture(line.width, line.height, line.seed);
                assert_eq!(sha256(&pixels), line.pixels_sha256, "the generator here and in make.py differ");
                Case {
                    name: format!("{}x{}", line.width, line.height),
                    frame: Arc::new(Frame::new(line.width, line.height, pixels).unwrap()),
                    pdq: line.pdq,
                    reference: line.reference(),
                    open_nsfw: line.open_nsfw_sha256,
                }
            })
            .collect()
    })
}

/// The place of a case in [`cases`].
pub fn index(name: &str) -> usize {
    cases().iter().position(|case| case.name == name).unwrap()
}

/// What `make.py --corpus` wrote, one picture at a time.
pub fn corpus(folder: &Path) -> impl Iterator<Item = Case> {
    let index = std::fs::read_to_string(folder.join("index.jsonl")).unwrap();
    let lines: Vec<Line> = index.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let folder = folder.to_owned();
    lines.into_iter().map(move |line| {
        let pixels = std::fs::read(folder.join(format!("{}.rgb", line.file))).unwrap();
        Case {
            frame: Arc::new(Frame::new(line.width, line.height, pixels).unwrap()),
            pdq: line.pdq,
            reference: line.reference(),
            open_nsfw: sha256(&std::fs::read(folder.join(format!("{}.nhwc", line.file))).unwrap()),
            name: line.file,
        }
    })
}

pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

pub fn sha256_of_floats(values: &[f32]) -> String {
    sha256(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

/// Three slanted triangle waves for each channel, and four bits of noise; `picture` in `make.py` is the same.
pub fn picture(width: u32, height: u32, seed: u32) -> Vec<u8> {
    let mut pixels = Vec::with_capacity((3 * width * height) as usize);
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let (u, v) = (x * 1024 / width, y * 1024 / height);
        for channel in 0..3 {
            let wave = |wave: u32| {
                let k = (seed * 7919 + channel * 104_729 + wave * 1_299_709).wrapping_mul(2_654_435_761);
                let t = (u * ((k >> 20) % 5) + v * ((k >> 24) % 5) + (k >> 8)) & 1023;
                if t < 512 { t } else { 1023 - t }
            };
            let noise = x.wrapping_mul(73_856_093) ^ y.wrapping_mul(19_349_663) ^ (seed * 83_492_791 + channel);
            pixels.push(((wave(0) + wave(1) + wave(2)) * 240 / 1536 + (noise.wrapping_mul(2_654_435_761) >> 28)) as u8);
        }
    }
    pixels
}
