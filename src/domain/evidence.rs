//! Everything the technologies said about one attachment.

use serde::{Deserialize, Serialize};

use super::{
    hash::{SignalType, Transform},
    score::{Score, Technology},
};

/// An item of a bank that lies within the bank's radius.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    pub technology: SignalType,
    pub bank: String,
    pub content_id: i64,
    /// Hamming distance in bits; 0 for exact digests.
    pub distance: u32,
    /// The radius that was searched; 0 for exact digests.
    pub max_distance: u32,
    /// The attachment's PDQ quality; `None` for exact digests.
    pub quality: Option<u8>,
    /// Which of the eight variants of the attachment matched; `None` for exact digests.
    pub transform: Option<Transform>,
}

/// Why a technology gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnscoredReason {
    /// The media could not be decoded (truncated, corrupt).
    UndecodableMedia,
    /// Wider, higher or with more pixels than the limits allow.
    MediaTooLarge,
    /// PDQ's quality is below the minimum: the hash means nothing.
    QualityBelowMinimum,
    /// Too small for the technology.
    MediaTooSmall,
    /// Only a part was read: the newest messages, the beginning of a long text.
    TextTruncated,
    /// There was nothing to score: an empty text or conversation.
    EmptyText,
    /// The technology failed.
    TechnologyFailed,
    /// No technology of this server looks at this kind of attachment.
    UnsupportedKind,
}

impl UnscoredReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::UndecodableMedia,
        Self::MediaTooLarge,
        Self::QualityBelowMinimum,
        Self::MediaTooSmall,
        Self::TextTruncated,
        Self::EmptyText,
        Self::TechnologyFailed,
        Self::UnsupportedKind,
    ];

    /// The code in the API and the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UndecodableMedia => "undecodable_media",
            Self::MediaTooLarge => "media_too_large",
            Self::QualityBelowMinimum => "quality_below_minimum",
            Self::MediaTooSmall => "media_too_small",
            Self::TextTruncated => "text_truncated",
            Self::EmptyText => "empty_text",
            Self::TechnologyFailed => "technology_failed",
            Self::UnsupportedKind => "unsupported_kind",
        }
    }
}

/// A technology that gave no result, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unscored {
    pub technology: Technology,
    pub reason: UnscoredReason,
    /// For people; holds no content.
    pub detail: String,
}

/// What all technologies said. Routing decides on nothing else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub matches: Vec<Match>,
    pub scores: Vec<Score>,
    pub unscored: Vec<Unscored>,
}
