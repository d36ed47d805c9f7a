//! Why some bytes did not become a frame.

use super::sniff::Recognised;
use crate::domain::attachment::MediaType;

/// Why some bytes did not become a frame. None of these is the server's fault; the attachment stays unscored for its pixels.
///
/// The texts name decoders' findings (chunk names, sizes), never content.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// There are no bytes at all: refuse the request.
    #[error("the attachment has no bytes")]
    Empty,
    /// The first bytes are those of no type that is decoded, whatever was declared; of what else, if that is known. Its digests can still be looked up.
    #[error("{}", not_decoded(.0))]
    UnsupportedType(Option<Recognised>),
    /// More bytes than the limit: refuse the request.
    #[error("{bytes} bytes are more than the limit of {max_bytes}")]
    TooManyBytes { bytes: usize, max_bytes: usize },
    /// The header states a picture beyond the limits; nothing was allocated. Leave it unscored, routed by policy.
    #[error("{width}x{height} pixels are more than the limit of {max_pixels} pixels or {max_side} on a side")]
    TooLarge { width: u32, height: u32, max_pixels: u64, max_side: u32 },
    /// The file asks for more work than its bytes and pixels earn (see `work`): strips that share their bytes, thousands of scans. Leave it unscored, routed by policy.
    #[error("{} with more {what} than a file of its bytes and pixels may have: its decoding was stopped", media_type.as_str())]
    TooMuchWork { media_type: MediaType, what: &'static str },
    /// To decode it may take more memory than there is for all pictures (`limits.memory_bytes`); nothing was allocated. Leave it unscored, routed by policy.
    #[error("decoding the {} may take {bytes} bytes of memory, more than the {most} that there are for pictures (limits.memory_bytes)", media_type.as_str())]
    TooMuchMemory { media_type: MediaType, bytes: u64, most: u64 },
    /// Others held the memory that it takes (`limits.memory_bytes`) until there was no time left: send the file again.
    #[error("the memory for pictures (limits.memory_bytes) was taken by others for too long to decode the {}", media_type.as_str())]
    Busy { media_type: MediaType },
    /// The caller's deadline came before the end. Give more time, or send a smaller file.
    #[error("decoding the {} did not end before the deadline", media_type.as_str())]
    Deadline { media_type: MediaType },
    /// A sound file of a supported type that uses a part of its format which is not decoded. Leave it unscored.
    #[error("{} with {detail} is not supported", media_type.as_str())]
    UnsupportedFeature { media_type: MediaType, detail: String },
    /// The file is damaged, cut short, or lies about itself. Leave it unscored.
    #[error("malformed {}: {detail}", media_type.as_str())]
    Malformed { media_type: MediaType, detail: String },
    /// A further picture that the file's index names is not there: programs that strip files keep the index. Nothing that is there is damaged.
    #[error("incomplete {}: {detail}", media_type.as_str())]
    Missing { media_type: MediaType, detail: String },
}

impl DecodeError {
    /// A stable code for answers and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::UnsupportedType(_) => "unsupported_media",
            Self::TooManyBytes { .. } | Self::TooLarge { .. } | Self::TooMuchWork { .. } | Self::TooMuchMemory { .. } => "too_large",
            Self::Busy { .. } => "overloaded",
            Self::Deadline { .. } => "deadline",
            Self::UnsupportedFeature { .. } => "unsupported_feature",
            Self::Malformed { .. } | Self::Missing { .. } => "malformed",
        }
    }
}

fn not_decoded(recognised: &Option<Recognised>) -> String {
    match recognised {
        Some(Recognised { media_type, words }) => format!("{words} ({media_type}) are not decoded: only their digests are looked up"),
        None => "the bytes are not a JPEG, PNG, WebP, GIF, BMP or TIFF picture, nor of another type that is known: only their digests are looked up".to_owned(),
    }
}

/// What one format's reader found wrong; [`Fault::of`] adds the type.
#[derive(Debug)]
pub(super) enum Fault {
    Malformed(String),
    Unsupported(String),
    Missing(String),
    /// More work than the file earns, and of what.
    Work(&'static str),
    /// More memory than there will ever be.
    Memory {
        bytes: u64,
        most: u64,
    },
    /// Others held the memory.
    Busy,
    /// The caller's deadline passed.
    Deadline,
}

impl Fault {
    pub(super) fn malformed(detail: impl ToString) -> Self {
        Self::Malformed(detail.to_string())
    }

    pub(super) fn unsupported(detail: impl ToString) -> Self {
        Self::Unsupported(detail.to_string())
    }

    pub(super) fn of(self, media_type: MediaType) -> DecodeError {
        match self {
            Self::Malformed(detail) => DecodeError::Malformed { media_type, detail },
            Self::Missing(detail) => DecodeError::Missing { media_type, detail },
            Self::Unsupported(detail) => DecodeError::UnsupportedFeature { media_type, detail },
            Self::Memory { bytes, most } => DecodeError::TooMuchMemory { media_type, bytes, most },
            Self::Work(what) => DecodeError::TooMuchWork { media_type, what },
            Self::Busy => DecodeError::Busy { media_type },
            Self::Deadline => DecodeError::Deadline { media_type },
        }
    }
}
