//! Hashes: exact digests of the bytes and perceptual hashes of the pixels.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A 256-bit PDQ hash.
///
/// Text form: 64 lower-case hex digits, most significant bit first, as the reference implementation prints it
/// (facebook/ThreatExchange, `pdq/README.md`). `words[0]` holds the first 16 digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PdqHash {
    words: [u64; 4],
}

/// The text is not 64 hex digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a PDQ hash is 64 hex digits")]
pub struct ParsePdqError;

impl PdqHash {
    /// Bits in a hash.
    pub const BITS: u32 = 256;

    /// From four words, most significant first.
    pub const fn from_words(words: [u64; 4]) -> Self {
        Self { words }
    }

    /// Four words, most significant first.
    pub const fn words(&self) -> [u64; 4] {
        self.words
    }

    /// From 32 bytes in the order of the hex text.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = chunk.iter().fold(0, |word, &byte| (word << 8) | u64::from(byte));
        }
        Self { words }
    }

    /// 32 bytes in the order of the hex text.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.words) {
            chunk.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    /// The bit of DCT coefficient (`row`, `column`), each 0..16: bit `16 * row + column`, counted from the least significant,
    /// as the reference numbers them.
    pub fn bit(&self, row: usize, column: usize) -> bool {
        let at = 16 * row + column;
        (self.words[3 - at / 64] >> (at % 64)) & 1 == 1
    }

    /// Sets the bit that [`bit`](Self::bit) reads.
    pub fn set_bit(&mut self, row: usize, column: usize) {
        let at = 16 * row + column;
        self.words[3 - at / 64] |= 1 << (at % 64);
    }

    /// Hamming distance in bits, 0..=256.
    pub fn distance(&self, other: &Self) -> u32 {
        self.words.iter().zip(other.words).map(|(a, b)| (a ^ b).count_ones()).sum()
    }
}

impl fmt::Display for PdqHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.words.iter().try_for_each(|word| write!(f, "{word:016x}"))
    }
}

impl fmt::Debug for PdqHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PdqHash({self})")
    }
}

impl std::str::FromStr for PdqHash {
    type Err = ParsePdqError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParsePdqError)?;
        Ok(Self::from_bytes(bytes))
    }
}

impl Serialize for PdqHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PdqHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The eight symmetries of a rectangle, in the reference's order (`pdqhashing.cpp`, `dihedral`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    Original,
    Rotate90,
    Rotate180,
    Rotate270,
    /// Upside down (about the x axis).
    FlipX,
    /// Mirrored left-right (about the y axis).
    FlipY,
    /// About the main diagonal.
    FlipPlus1,
    /// About the other diagonal.
    FlipMinus1,
}

impl Transform {
    /// All eight, `Original` first.
    pub const ALL: [Self; 8] =
        [Self::Original, Self::Rotate90, Self::Rotate180, Self::Rotate270, Self::FlipX, Self::FlipY, Self::FlipPlus1, Self::FlipMinus1];

    /// The name in the API: `original`, `rotate90`, …
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Rotate90 => "rotate90",
            Self::Rotate180 => "rotate180",
            Self::Rotate270 => "rotate270",
            Self::FlipX => "flip_x",
            Self::FlipY => "flip_y",
            Self::FlipPlus1 => "flip_plus1",
            Self::FlipMinus1 => "flip_minus1",
        }
    }
}

/// PDQ's image-domain quality, 0..=100. Below [`Quality::MATCHABLE`] a hash carries too little detail to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quality(u8);

impl Quality {
    /// PDQ's own acceptance rule: discard quality 49 and below (facebook/ThreatExchange, `pdq/README.md`).
    pub const MATCHABLE: Self = Self(50);

    /// Clamps to 0..=100.
    pub const fn new(value: u8) -> Self {
        Self(if value > 100 { 100 } else { value })
    }

    /// 0..=100.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// What perceptual hashing says of one frame: eight PDQ hashes from one DCT, and their common quality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerceptualHash {
    /// In the order of [`Transform::ALL`].
    pub hashes: [PdqHash; 8],
    pub quality: Quality,
}

impl PerceptualHash {
    /// The hash of the picture as it stands.
    pub fn original(&self) -> PdqHash {
        self.hashes[0]
    }
}

/// The exact digests of an attachment's bytes, made in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// `None` when nobody asked for it.
    pub md5: Option<[u8; 16]>,
    /// `None` when nobody asked for it.
    pub sha1: Option<[u8; 20]>,
    /// Always there: answers name it.
    pub sha256: [u8; 32],
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";

    #[test]
    fn text_bytes_words_and_bits_agree() {
        let hash: PdqHash = HEX.parse().unwrap();
        assert_eq!(hash.to_string(), HEX);
        assert_eq!(PdqHash::from_bytes(hash.to_bytes()), hash);
        assert_eq!(PdqHash::from_words(hash.words()), hash);
        let mut copy = PdqHash::default();
        for (row, column) in (0..16).flat_map(|row| (0..16).map(move |column| (row, column))) {
            if hash.bit(row, column) {
                copy.set_bit(row, column);
            }
        }
        assert_eq!(copy, hash);
        // The last digit is 2: of the four lowest bits only bit 1 is set.
        assert!(hash.bit(0, 1) && !hash.bit(0, 0));
    }
}
