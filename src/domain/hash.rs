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

/// What a bank's line can hold. Lines of bare hex digits are told apart by their length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalType {
    Md5,
    Sha1,
    Sha256,
    Pdq,
}

impl SignalType {
    /// Every signal type.
    pub const ALL: [Self; 4] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Pdq];

    /// The name in the API, which is also the technology's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Pdq => "pdq",
        }
    }

    /// Bytes of one signal.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 | Self::Pdq => 32,
        }
    }
}

impl std::str::FromStr for SignalType {
    type Err = SignalError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| SignalError::UnknownType(text.to_owned()))
    }
}

/// One hash of a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    Md5([u8; 16]),
    Sha1([u8; 20]),
    Sha256([u8; 32]),
    Pdq(PdqHash),
}

/// Whether an item of a bank is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemState {
    Enabled,
    Disabled,
    /// For good. Its content id is not given again; its signal may be imported again and gets another one.
    Removed,
}

impl ItemState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Enabled, Self::Disabled, Self::Removed];

    /// The name in the API and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Removed => "removed",
        }
    }
}

/// A signal's text cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignalError {
    #[error("unknown signal type {0:?}: use md5, sha1, sha256 or pdq")]
    UnknownType(String),
    #[error("a {kind} signal is {digits} hex digits")]
    Malformed { kind: &'static str, digits: usize },
    #[error("bare signals are 32 (md5), 40 (sha1) or 64 (pdq) hex digits; write `signal_type signal` for others")]
    UnknownLength,
}

impl Signal {
    /// Reads the hex text of a signal whose type is known. Upper case is taken.
    pub fn parse(kind: SignalType, text: &str) -> Result<Self, SignalError> {
        let mut bytes = [0u8; 32];
        let slot = &mut bytes[..kind.bytes()];
        hex::decode_to_slice(text, slot).map_err(|_| SignalError::Malformed { kind: kind.as_str(), digits: 2 * kind.bytes() })?;
        Ok(Self::from_parts(kind, &bytes[..kind.bytes()]).expect("the slice was cut to the type's length"))
    }

    /// Reads one line of a bank file: `signal` (type told by its length, or `default`) or `signal_type signal`.
    pub fn parse_line(line: &str, default: Option<SignalType>) -> Result<Self, SignalError> {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(kind), Some(signal), None) => Self::parse(kind.parse()?, signal),
            (Some(signal), None, None) => {
                let kind = default.or(match signal.len() {
                    32 => Some(SignalType::Md5),
                    40 => Some(SignalType::Sha1),
                    64 => Some(SignalType::Pdq),
                    _ => None,
                });
                Self::parse(kind.ok_or(SignalError::UnknownLength)?, signal)
            }
            _ => Err(SignalError::UnknownLength),
        }
    }

    /// From the stored form; `None` when the length is wrong for the type.
    pub fn from_parts(kind: SignalType, bytes: &[u8]) -> Option<Self> {
        Some(match kind {
            SignalType::Md5 => Self::Md5(bytes.try_into().ok()?),
            SignalType::Sha1 => Self::Sha1(bytes.try_into().ok()?),
            SignalType::Sha256 => Self::Sha256(bytes.try_into().ok()?),
            SignalType::Pdq => Self::Pdq(PdqHash::from_bytes(bytes.try_into().ok()?)),
        })
    }

    /// The signal's type.
    pub const fn kind(&self) -> SignalType {
        match self {
            Self::Md5(_) => SignalType::Md5,
            Self::Sha1(_) => SignalType::Sha1,
            Self::Sha256(_) => SignalType::Sha256,
            Self::Pdq(_) => SignalType::Pdq,
        }
    }

    /// The stored form: 16, 20 or 32 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Md5(bytes) => bytes.to_vec(),
            Self::Sha1(bytes) => bytes.to_vec(),
            Self::Sha256(bytes) => bytes.to_vec(),
            Self::Pdq(hash) => hash.to_bytes().to_vec(),
        }
    }
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

    #[test]
    fn lines_are_read_by_length_or_by_name() {
        assert_eq!(Signal::parse_line(HEX, None).unwrap().kind(), SignalType::Pdq);
        assert_eq!(Signal::parse_line(&format!("sha256 {HEX}"), None).unwrap().kind(), SignalType::Sha256);
        assert_eq!(Signal::parse_line(&HEX[..32], None).unwrap().kind(), SignalType::Md5);
        assert_eq!(Signal::parse_line(&HEX[..33], None), Err(SignalError::UnknownLength));
        assert!(matches!(Signal::parse_line("pdq zz", None), Err(SignalError::Malformed { .. })));
        assert!(matches!(Signal::parse_line(&format!("phash {HEX}"), None), Err(SignalError::UnknownType(_))));
    }
}
