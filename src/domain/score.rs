//! What classifiers say.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};

use super::{clip::Look, operating_point::OperatingPoint};

/// The name of one way of looking at an attachment: a signal type (`pdq`) or a model (`open-nsfw`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Technology(Cow<'static, str>);

impl Technology {
    /// A technology known at compile time.
    pub const fn named(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// A technology named by a model's manifest.
    pub fn new(name: impl Into<String>) -> Self {
        Self(Cow::Owned(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Technology {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A classifier's output for one label, as the model gave it: finite, usually but not necessarily in 0..=1. Thresholds apply to it.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct RawScore(f32);

/// The value is NaN or infinite.
#[derive(Debug, thiserror::Error)]
#[error("a score must be a finite number, not {0}")]
pub struct NotFinite(f32);

impl RawScore {
    /// Refuses NaN and infinities.
    pub fn new(value: f32) -> Result<Self, NotFinite> {
        if value.is_finite() { Ok(Self(value)) } else { Err(NotFinite(value)) }
    }

    /// The finite value.
    pub const fn get(self) -> f32 {
        self.0
    }
}

/// The number that the shortest decimal of a 32-bit float says: what people type, score files hold and reports print. Widening gives 0.800000011920929 for 0.8, and
/// 0.699999988079071 for 0.7, which would lie below a threshold of 0.7. The order of any two stays.
///
/// ```
/// # use nightlight::domain::score::as_written;
/// assert_eq!(as_written(0.7), 0.7);
/// ```
pub fn as_written(value: f32) -> f64 {
    value.to_string().parse().expect("a float's text is a float's")
}

impl<'de> Deserialize<'de> for RawScore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f32::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// One technology's word on one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    pub technology: Technology,
    pub label: String,
    pub raw: RawScore,
    /// For people to read; `None` until the model has a calibrator.
    pub probability: Option<f64>,
    /// `None` for labels nobody set a threshold for (`sfw`): they are never flagged.
    pub operating_point: Option<OperatingPoint>,
    pub detail: Option<ConversationDetail>,
    /// Which look at the attachment scored so: the highest of all.
    #[serde(flatten)]
    pub look: Look,
}

impl Score {
    /// Whether the raw score reaches the operating point's threshold (`>=`), whatever a fallback makes of that: live precision is about this.
    pub fn reached(&self) -> bool {
        self.operating_point.as_ref().is_some_and(|point| self.raw >= point.threshold)
    }

    /// Whether the raw score reaches the operating point's threshold (`>=`), or what stands in its place.
    pub fn flagged(&self) -> bool {
        self.operating_point.as_ref().is_some_and(|point| self.raw.get() >= point.flags_from())
    }
}

/// The label of a whole conversation's score.
pub const CONVERSATION: &str = "conversation";

/// What a conversation's score says beside its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConversationDetail {
    /// The first message (0-based, in the conversation as sent) at which the score of what had been said until then reached the threshold.
    pub first_alarm_message_index: Option<u32>,
    /// Windows the conversation was cut into.
    pub windows: u32,
}
