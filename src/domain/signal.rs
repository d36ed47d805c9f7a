//! Signals: what banks hold and lookups ask for, whatever the technology.
//!
//! | type | a signal is | distance | text |
//! | --- | --- | --- | --- |
//! | `md5`, `sha1`, `sha256` | a digest of the file's bytes | 0 or no match | hex |
//! | `pdq` | 256 bits | differing bits, 0..=256 | 64 hex digits |
//! | `photodna` | 144 or 924 bytes that the licensee's own software made; nothing here looks inside | Euclidean | base64; hex and comma-separated numbers are read too |
//! | `embedding:<model>` | a vector of finite numbers, never all zero | 1 - cosine, 0..=2 | base64 of little-endian `f32`; comma-separated numbers are read too |
//!
//! Vectors of different lengths are of no distance to each other: they never match.

use std::{
    cmp::Ordering,
    collections::BTreeSet,
    fmt,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hash::PdqHash;

/// The kinds of signals that a bank can hold; each is a technology of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SignalType {
    Md5,
    Sha1,
    Sha256,
    Pdq,
    PhotoDna,
    Embedding(EmbeddingModel),
}

/// Whose embeddings; the name is kept for as long as the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EmbeddingModel(&'static str);

impl EmbeddingModel {
    /// Before the model's name in a signal type's name.
    pub const PREFIX: &str = "embedding:";
    /// Different models that one process may ever name: names are never forgotten, so strangers must not be able to fill the memory with them.
    const MOST: usize = 256;

    /// The model of this name: 1 to 64 characters of a-z, 0-9, `-`, `_` and `.`. `None` for other names, and for more different ones than 256.
    pub fn new(name: &str) -> Option<Self> {
        static NAMES: LazyLock<Mutex<BTreeSet<&'static str>>> = LazyLock::new(Mutex::default);
        let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        if !(1..=64).contains(&name.len()) || !name.bytes().all(allowed) {
            return None;
        }
        let full = format!("{}{name}", Self::PREFIX);
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(full.as_str()) {
            return Some(Self(known));
        }
        if names.len() == Self::MOST {
            return None;
        }
        let kept: &'static str = full.leak();
        names.insert(kept);
        Some(Self(kept))
    }

    /// The model's name, without the prefix.
    pub fn name(self) -> &'static str {
        &self.0[Self::PREFIX.len()..]
    }
}

impl SignalType {
    /// Every type but the embeddings, of which there is one for each model.
    pub const FIXED: [Self; 5] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Pdq, Self::PhotoDna];

    /// The name in the API, which is also the technology's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Pdq => "pdq",
            Self::PhotoDna => "photodna",
            Self::Embedding(model) => model.0,
        }
    }

    /// Whether a match is equality.
    pub const fn is_exact(self) -> bool {
        matches!(self, Self::Md5 | Self::Sha1 | Self::Sha256)
    }

    /// The largest distance that two signals can have; a radius lies in 0..=this.
    pub fn largest_distance(self) -> Distance {
        match self {
            Self::Md5 | Self::Sha1 | Self::Sha256 => Distance::ZERO,
            Self::Pdq => Distance::from(PdqHash::BITS),
            // 924 components of 0..=255.
            Self::PhotoDna => Distance(255.0 * (924f32).sqrt()),
            Self::Embedding(_) => Distance(2.0),
        }
    }
}

impl std::str::FromStr for SignalType {
    type Err = SignalError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let embedding = || text.strip_prefix(EmbeddingModel::PREFIX).and_then(EmbeddingModel::new).map(Self::Embedding);
        let fixed = Self::FIXED.into_iter().find(|kind| kind.as_str() == text);
        fixed.or_else(embedding).ok_or_else(|| SignalError::UnknownType(text.to_owned()))
    }
}

impl fmt::Display for SignalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for SignalType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SignalType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How far two signals of one type are apart: finite, never negative. In JSON a whole number is written as one, so that bits read as bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Distance(f32);

impl Distance {
    pub const ZERO: Self = Self(0.0);

    /// `None` for what is negative or no finite number.
    pub fn new(value: f32) -> Option<Self> {
        (value.is_finite() && value >= 0.0).then_some(Self(value + 0.0)) // + 0.0: there is one zero
    }

    /// The number.
    pub const fn get(self) -> f32 {
        self.0
    }
}

impl From<u32> for Distance {
    /// Exact for the distances there are: at most 256 bits.
    fn from(bits: u32) -> Self {
        Self(bits as f32)
    }
}

impl PartialEq for Distance {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Distance {}

impl PartialOrd for Distance {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Distance {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialEq<u32> for Distance {
    fn eq(&self, other: &u32) -> bool {
        *self == Self::from(*other)
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Distance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 { serializer.serialize_u32(self.0 as u32) } else { serializer.serialize_f32(self.0) }
    }
}

impl<'de> Deserialize<'de> for Distance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f32::deserialize(deserializer)?).ok_or_else(|| serde::de::Error::custom("a distance is a finite number of at least 0"))
    }
}

/// One hash, digest or vector. Ordered by type, then by the bytes of the stored form.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    Md5([u8; 16]),
    Sha1([u8; 20]),
    Sha256([u8; 32]),
    Pdq(PdqHash),
    /// 144 or 924 bytes.
    PhotoDna(Arc<[u8]>),
    /// Little-endian `f32`s: finite, not all zero, [`MOST_DIMENSIONS`](Signal::MOST_DIMENSIONS) at most.
    Embedding(EmbeddingModel, Arc<[u8]>),
}

/// A signal's text cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignalError {
    #[error("unknown signal type {0:?}: use md5, sha1, sha256, pdq, photodna or embedding:MODEL")]
    UnknownType(String),
    #[error("a {kind} signal is {digits} hex digits")]
    Malformed { kind: &'static str, digits: usize },
    #[error("a photodna signal is 144 or 924 bytes, as base64, hex or comma-separated numbers")]
    MalformedPhotoDna,
    #[error(
        "an embedding is 1 to {} finite numbers that are not all zero, comma-separated or as base64 of little-endian 32-bit floats",
        Signal::MOST_DIMENSIONS
    )]
    MalformedEmbedding,
    #[error("bare signals are 32 (md5), 40 (sha1) or 64 (pdq) hex digits; write `signal_type signal` for others")]
    UnknownLength,
}

impl Signal {
    /// Lengths of a PhotoDNA hash in bytes.
    pub const PHOTODNA_BYTES: [usize; 2] = [144, 924];
    /// Components of an embedding, at most.
    pub const MOST_DIMENSIONS: usize = 4096;
    /// Characters of a signal's text, at most: an embedding in decimal numbers of some 24 characters each.
    pub const LONGEST_TEXT: usize = 24 * Self::MOST_DIMENSIONS;

    /// Reads the text of a signal whose type is known. Upper case is taken.
    pub fn parse(kind: SignalType, text: &str) -> Result<Self, SignalError> {
        let digits = |bytes: usize| {
            let mut read = vec![0; bytes];
            hex::decode_to_slice(text, &mut read).map_err(|_| SignalError::Malformed { kind: kind.as_str(), digits: 2 * bytes })?;
            Ok(read)
        };
        let (bytes, malformed) = match kind {
            SignalType::Md5 => (digits(16)?, SignalError::UnknownLength),
            SignalType::Sha1 => (digits(20)?, SignalError::UnknownLength),
            SignalType::Sha256 | SignalType::Pdq => (digits(32)?, SignalError::UnknownLength),
            SignalType::PhotoDna => (photodna(text).ok_or(SignalError::MalformedPhotoDna)?, SignalError::MalformedPhotoDna),
            SignalType::Embedding(_) => (embedding(text).ok_or(SignalError::MalformedEmbedding)?, SignalError::MalformedEmbedding),
        };
        Self::from_parts(kind, &bytes).ok_or(malformed)
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

    /// From the stored form; `None` when it is none of the type's.
    pub fn from_parts(kind: SignalType, bytes: &[u8]) -> Option<Self> {
        Some(match kind {
            SignalType::Md5 => Self::Md5(bytes.try_into().ok()?),
            SignalType::Sha1 => Self::Sha1(bytes.try_into().ok()?),
            SignalType::Sha256 => Self::Sha256(bytes.try_into().ok()?),
            SignalType::Pdq => Self::Pdq(PdqHash::from_bytes(bytes.try_into().ok()?)),
            SignalType::PhotoDna => Self::PhotoDna(Some(bytes).filter(|bytes| Self::PHOTODNA_BYTES.contains(&bytes.len()))?.into()),
            SignalType::Embedding(model) => Self::Embedding(model, Some(bytes).filter(|bytes| is_embedding(bytes))?.into()),
        })
    }

    /// The signal's type.
    pub const fn kind(&self) -> SignalType {
        match self {
            Self::Md5(_) => SignalType::Md5,
            Self::Sha1(_) => SignalType::Sha1,
            Self::Sha256(_) => SignalType::Sha256,
            Self::Pdq(_) => SignalType::Pdq,
            Self::PhotoDna(_) => SignalType::PhotoDna,
            Self::Embedding(model, _) => SignalType::Embedding(*model),
        }
    }

    /// The stored form: the digest's, hash's or vector's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Md5(bytes) => bytes.to_vec(),
            Self::Sha1(bytes) => bytes.to_vec(),
            Self::Sha256(bytes) => bytes.to_vec(),
            Self::Pdq(hash) => hash.to_bytes().to_vec(),
            Self::PhotoDna(bytes) | Self::Embedding(_, bytes) => bytes.to_vec(),
        }
    }

    /// How many bytes [`to_bytes`](Self::to_bytes) gives.
    pub fn size(&self) -> usize {
        match self {
            Self::Md5(bytes) => bytes.len(),
            Self::Sha1(bytes) => bytes.len(),
            Self::Sha256(bytes) => bytes.len(),
            Self::Pdq(_) => 32,
            Self::PhotoDna(bytes) | Self::Embedding(_, bytes) => bytes.len(),
        }
    }

    /// The text that [`parse`](Self::parse) reads: lower-case hex for digests and PDQ, base64 for vectors.
    pub fn to_text(&self) -> String {
        match self {
            Self::PhotoDna(bytes) | Self::Embedding(_, bytes) => STANDARD.encode(bytes),
            _ => hex::encode(self.to_bytes()),
        }
    }
}

/// Says the type alone: hash lists are secret, and what can be printed ends in a log.
impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signal({})", self.kind())
    }
}

fn photodna(text: &str) -> Option<Vec<u8>> {
    if text.contains(',') {
        return text.split(',').map(|number| number.trim().parse().ok()).collect();
    }
    let is_hex = Signal::PHOTODNA_BYTES.iter().any(|bytes| 2 * bytes == text.len());
    if is_hex && let Ok(bytes) = hex::decode(text) { Some(bytes) } else { STANDARD.decode(text).ok() }
}

fn embedding(text: &str) -> Option<Vec<u8>> {
    if text.len() > Signal::LONGEST_TEXT {
        return None;
    }
    let list = text.trim().trim_start_matches('[').trim_end_matches(']');
    if !list.contains(',') {
        return STANDARD.decode(text).ok();
    }
    let numbers: Option<Vec<f32>> = list.split(',').map(|number| number.trim().parse().ok()).collect();
    numbers.map(|numbers| numbers.into_iter().flat_map(f32::to_le_bytes).collect())
}

fn is_embedding(bytes: &[u8]) -> bool {
    let (numbers, rest) = bytes.as_chunks::<4>();
    let numbers = || numbers.iter().map(|bytes| f32::from_le_bytes(*bytes));
    rest.is_empty()
        && (1..=Signal::MOST_DIMENSIONS).contains(&numbers().len())
        && numbers().all(f32::is_finite)
        && numbers().any(|number| number != 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";

    #[test]
    fn lines_are_read_by_length_or_by_name() {
        assert_eq!(Signal::parse_line(HEX, None).unwrap().kind(), SignalType::Pdq);
        assert_eq!(Signal::parse_line(&format!("sha256 {HEX}"), None).unwrap().kind(), SignalType::Sha256);
        assert_eq!(Signal::parse_line(&HEX[..32], None).unwrap().kind(), SignalType::Md5);
        assert_eq!(Signal::parse_line(&HEX[..33], None), Err(SignalError::UnknownLength));
        assert!(matches!(Signal::parse_line("pdq zz", None), Err(SignalError::Malformed { .. })));
        assert!(matches!(Signal::parse_line(&format!("phash {HEX}"), None), Err(SignalError::UnknownType(_))));
    }

    #[test]
    fn texts_round_trip_in_every_type() {
        let model = EmbeddingModel::new("sscd").unwrap();
        let bytes: Vec<u8> = (0..144).map(|at| (at * 7 % 256) as u8).collect();
        let vector: Vec<u8> = [1.5f32, -0.25, 0.0].into_iter().flat_map(f32::to_le_bytes).collect();
        let signals = [
            Signal::Md5([1; 16]),
            Signal::Sha1([2; 20]),
            Signal::Sha256([3; 32]),
            Signal::Pdq(HEX.parse().unwrap()),
            Signal::PhotoDna(bytes.clone().into()),
            Signal::Embedding(model, vector.clone().into()),
        ];
        for signal in signals {
            let kind: SignalType = signal.kind().as_str().parse().unwrap();
            assert!(Signal::parse(kind, &signal.to_text()).unwrap() == signal, "{kind}");
            assert!(Signal::from_parts(kind, &signal.to_bytes()).unwrap() == signal, "{kind}");
        }
        let photodna = Signal::PhotoDna(bytes.clone().into());
        let listed: Vec<String> = bytes.iter().map(u8::to_string).collect();
        assert!(Signal::parse(SignalType::PhotoDna, &hex::encode(&bytes)).unwrap() == photodna);
        assert!(Signal::parse(SignalType::PhotoDna, &listed.join(",")).unwrap() == photodna);
        let read = Signal::parse(SignalType::Embedding(model), "[1.5, -0.25,0]").unwrap();
        assert!(read == Signal::Embedding(model, vector.into()));
    }

    #[test]
    fn vectors_that_mean_nothing_are_refused() {
        let kind: SignalType = "embedding:sscd".parse().unwrap();
        for text in ["0,0", "1,NaN", "1,inf", "", "AAAA", "1,", "AAAAAA=="] {
            assert_eq!(Signal::parse(kind, text), Err(SignalError::MalformedEmbedding), "{text}");
        }
        for text in ["1,2", "", &"ab".repeat(143), &"256,".repeat(144)] {
            assert_eq!(Signal::parse(SignalType::PhotoDna, text), Err(SignalError::MalformedPhotoDna), "{text}");
        }
        assert!("embedding:".parse::<SignalType>().is_err() && "embedding:A b".parse::<SignalType>().is_err());
    }

    #[test]
    fn distances_read_as_what_they_are_and_signals_are_not_printed() {
        let json = |distance: Distance| serde_json::to_string(&distance).unwrap();
        assert_eq!((json(Distance::from(31)), json(Distance::new(0.25).unwrap())), ("31".to_owned(), "0.25".to_owned()));
        assert_eq!(serde_json::from_str::<Distance>("31").unwrap(), Distance::from(31));
        assert!(Distance::new(f32::NAN).is_none() && Distance::new(-0.5).is_none());
        assert_eq!(Distance::new(-0.0), Some(Distance::ZERO));
        assert_eq!(format!("{:?}", Signal::parse_line(HEX, None)), "Ok(Signal(pdq))");
    }
}
