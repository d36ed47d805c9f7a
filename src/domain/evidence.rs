//! Everything the technologies said about one attachment.

use std::collections::BTreeSet;

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

/// Matches of one signal or attachment that are answered and kept, the nearest: who matches wants to know that a bank holds it, and a hundred thousand
/// near-duplicates say no more than a thousand.
pub const MAX_MATCHES: usize = 1000;

/// What all technologies said. Routing decides on nothing else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub matches: Vec<Match>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<Suppressed>,
    /// Of both, those that [`bound`](Self::bound) left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub matches_left_out: usize,
    pub scores: Vec<Score>,
    pub unscored: Vec<Unscored>,
}

/// For fields that are absent when they count nothing.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
pub(crate) const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Leaves out all but the first [`MAX_MATCHES`] of what is sorted nearest first and, behind them, the nearest of each technology in each bank: which banks hold it
/// stays known. How many it left out.
pub fn keep_nearest<T>(all: &mut Vec<T>, hit: impl Fn(&T) -> &Match) -> usize {
    let before = all.len();
    let far = all.split_off(before.min(MAX_MATCHES));
    let place = |one: &T| (hit(one).technology, hit(one).bank.clone());
    let mut known: BTreeSet<_> = if far.is_empty() { BTreeSet::new() } else { all.iter().map(place).collect() };
    all.extend(far.into_iter().filter(|one| known.insert(place(one))));
    before - all.len()
}

impl Evidence {
    /// As it is kept: no more matches than a person or a program can use.
    #[must_use]
    pub fn bound(mut self) -> Self {
        self.matches_left_out += keep_nearest(&mut self.matches, |hit| hit) + keep_nearest(&mut self.suppressed, |one| &one.matched);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(bank: &str, technology: SignalType, content_id: i64) -> Match {
        Match {
            technology,
            bank: bank.to_owned(),
            content_id,
            distance: Distance::ZERO,
            max_distance: Distance::ZERO,
            ..crate::testing::matches::hit()
        }
    }

    #[test]
    fn the_nearest_are_kept_and_of_each_bank_and_technology_one() {
        let of = |near: usize| {
            let far = [("A", SignalType::Pdq, 1), ("B", SignalType::Pdq, 2), ("B", SignalType::Pdq, 3), ("B", SignalType::PhotoDna, 4)];
            let near = (0..near).map(|at| hit("A", SignalType::Pdq, 100 + at as i64));
            let matches: Vec<Match> = near.chain(far.map(|(bank, technology, id)| hit(bank, technology, id))).collect();
            let by = hit("N", SignalType::Pdq, 9);
            let suppressed = matches.iter().map(|matched| Suppressed { matched: matched.clone(), by: by.clone() }).collect();
            let kept = Evidence { matches: matches.clone(), suppressed, ..Evidence::default() }.bound();
            assert_eq!(kept.suppressed.iter().map(|one| &one.matched).collect::<Vec<_>>(), kept.matches.iter().collect::<Vec<_>>());
            assert_eq!(kept.matches[..near_of(&matches)], matches[..near_of(&matches)]);
            let behind: Vec<i64> = kept.matches[near_of(&matches)..].iter().map(|hit| hit.content_id).collect();
            (behind, kept.matches_left_out)
        };
        fn near_of(matches: &[Match]) -> usize {
            matches.len().min(MAX_MATCHES)
        }
        assert_eq!(of(MAX_MATCHES - 4), (vec![], 0), "exactly so many");
        assert_eq!(of(MAX_MATCHES - 3), (vec![4], 0), "one more, of a technology of its own");
        assert_eq!(of(MAX_MATCHES), (vec![2, 4], 2 * 2));
        assert_eq!(of(MAX_MATCHES + 500), (vec![2, 4], 2 * 502));
    }
}
