//! Everything the technologies said about one attachment.

use serde::{Deserialize, Serialize};

use super::{
    bank::HarmCategory,
    clip::Look,
    hash::Transform,
    score::{Score, Technology},
    signal::{Distance, SignalType},
};

/// An item of a bank that lies within the bank's radius.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    pub technology: SignalType,
    pub bank: String,
    pub content_id: i64,
    /// See [`signal`](super::signal) for each type's; 0 for exact digests.
    pub distance: Distance,
    /// The radius that was searched; 0 for exact digests.
    pub max_distance: Distance,
    /// The attachment's PDQ quality; `None` for exact digests.
    pub quality: Option<u8>,
    /// Which of the eight variants of the attachment matched; `None` for exact digests.
    pub transform: Option<Transform>,
    /// Somebody says that the item does not belong into its bank; a person decides.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disputed: bool,
    /// The item is in doubt: a flood, or people who say that it matches what it should not. Never of an exact digest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quarantined: bool,
    /// The item's category, where its bank has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<HarmCategory>,
    /// Where in the attachment it was found.
    #[serde(flatten)]
    pub look: Look,
}

/// A match that a bank of known harmless material took back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppressed {
    pub matched: Match,
    /// What the attachment resembles at least as much: a digest, or an item of a negative bank of the same signal type that is not farther away.
    pub by: Match,
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
    /// No technology of this server looks at this kind of attachment (a text where no text model is configured).
    UnsupportedKind,
    /// The bytes are of a type that this server does not decode: only their digests were looked up.
    UnsupportedMedia,
    /// The type is decoded, but not this rare part of it (arithmetic coded JPEG, floating point TIFF).
    UnsupportedFeature,
    /// Frames, pages or pictures beyond a limit, or behind damage; the detail counts them.
    FramesNotLookedAt,
    /// Most of it means nothing to the model: its tokens are unknown, or its script is none that the model was made for.
    UnreadableText,
}

impl UnscoredReason {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::UndecodableMedia,
        Self::MediaTooLarge,
        Self::QualityBelowMinimum,
        Self::MediaTooSmall,
        Self::TextTruncated,
        Self::EmptyText,
        Self::TechnologyFailed,
        Self::UnsupportedKind,
        Self::UnsupportedMedia,
        Self::UnsupportedFeature,
        Self::FramesNotLookedAt,
        Self::UnreadableText,
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
            Self::UnsupportedMedia => "unsupported_media",
            Self::UnsupportedFeature => "unsupported_feature",
            Self::FramesNotLookedAt => "frames_not_looked_at",
            Self::UnreadableText => "unreadable_text",
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<Suppressed>,
    pub scores: Vec<Score>,
    pub unscored: Vec<Unscored>,
}
