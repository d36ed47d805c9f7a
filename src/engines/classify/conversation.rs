//! Texts and conversations to scores: an encoder with a head.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::encoder::{Embedding, Encoder};
use super::error::ClassifyError;
use super::head::TextHead;
use super::manifest::ModelDigest;
use crate::domain::attachment::Message;

/// Scores texts and conversations with one [`Encoder`], which others may share, and one [`TextHead`].
#[derive(Debug)]
pub struct ConversationClassifier {
    encoder: Arc<Encoder>,
    head: TextHead,
    limits: ConversationLimits,
}

/// How much of an attachment is read. What is beyond is counted in the result, never dropped silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConversationLimits {
    /// The most recent messages that are scored. Default 1000.
    pub max_scored_messages: usize,
    /// Bytes of UTF-8 that are read of one text or message, from its start. Default 32 KiB: about 85 token windows, 3 s of one core.
    pub max_text_bytes: usize,
    /// Bytes of UTF-8 that are read of one conversation, from its end backwards. Default 128 KiB: about 12 s of one core.
    pub max_conversation_bytes: usize,
}

impl Default for ConversationLimits {
    fn default() -> Self {
        Self { max_scored_messages: 1000, max_text_bytes: 32 << 10, max_conversation_bytes: 128 << 10 }
    }
}

/// What is to be embedded for a conversation: the first half of [`ConversationClassifier::score_conversation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationPlan {
    /// Each text once, for [`Encoder::encode`].
    pub texts: Vec<String>,
    /// For each scored message, in the order of the conversation, its index in `texts`.
    text_of: Vec<usize>,
    skipped_messages: usize,
    truncated_messages: usize,
}

/// The scores of one text.
#[derive(Clone, Debug, PartialEq)]
pub struct TextScores {
    /// Label and raw score, the highest over the text's token windows; 0 for a text without tokens.
    pub labels: Vec<(String, f32)>,
    /// Whether the text went on after the part that was read.
    pub truncated: bool,
}

/// The scores of one conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct ConversationScores {
    /// Label and raw score, the highest over the scored messages.
    pub labels: Vec<(String, f32)>,
    /// The highest score of the conversation head over all windows and their prefixes; 0 for a conversation without messages.
    pub conversation: f32,
    /// The earliest message, counted from 0 in the conversation as given, at which some window's prefix that ends with it reached the
    /// threshold. Present exactly when there are messages and `conversation >= threshold`.
    pub first_alarm_message_index: Option<u32>,
    pub windows: u32,
    pub scored_messages: u32,
    /// Earlier messages beyond the limits.
    pub skipped_messages: u32,
    /// Scored messages of which only the beginning was read.
    pub truncated_messages: u32,
}

impl ConversationClassifier {
    pub fn new(encoder: Arc<Encoder>, head: TextHead, limits: ConversationLimits) -> Self {
        Self { encoder, head, limits }
    }

    pub fn head(&self) -> &TextHead {
        &self.head
    }

    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.encoder
    }

    /// Of head and backbone together.
    pub fn digest(&self) -> &ModelDigest {
        self.head.digest()
    }

    /// Scores one text.
    ///
    /// # Errors
    /// `RunFailed`.
    pub fn score_text(&self, text: &str) -> Result<TextScores, ClassifyError> {
        let (read, truncated) = self.read_text(text);
        let embeddings = self.encoder.encode(&[read])?;
        self.judge_text(&embeddings[0], truncated)
    }

    /// Scores one conversation; `threshold` only decides where the first alarm is.
    ///
    /// # Errors
    /// `RunFailed`.
    pub fn score_conversation(&self, messages: &[Message], threshold: f32) -> Result<ConversationScores, ClassifyError> {
        let plan = self.plan(messages);
        let embeddings = self.encoder.encode(&plan.texts)?;
        self.judge(&plan, &embeddings, threshold)
    }

    /// The part of `text` that is read, and whether there is more. First half of [`score_text`](Self::score_text).
    pub fn read_text<'a>(&self, text: &'a str) -> (&'a str, bool) {
        let read = &text[..text.floor_char_boundary(self.limits.max_text_bytes)];
        (read, read.len() < text.len())
    }

    /// The second half of [`score_text`](Self::score_text).
    ///
    /// # Errors
    /// `RunFailed`.
    pub fn judge_text(&self, embedding: &Embedding, truncated: bool) -> Result<TextScores, ClassifyError> {
        let rows = self.head.scores(std::slice::from_ref(embedding))?;
        Ok(TextScores { labels: self.name(&rows[0]), truncated })
    }

    /// Chooses what is read of a conversation: from its end backwards, until one of the limits is reached.
    pub fn plan(&self, messages: &[Message]) -> ConversationPlan {
        let mut bytes = 0;
        let fits = |message: &&Message| {
            let first = bytes == 0; // the last message is always read, whatever the limits
            bytes += self.read_text(&message.text).0.len();
            first || bytes <= self.limits.max_conversation_bytes
        };
        let scored = messages.iter().rev().take(self.limits.max_scored_messages).take_while(fits).count();
        let skipped = messages.len() - scored;

        let mut plan = ConversationPlan { texts: Vec::new(), text_of: Vec::new(), skipped_messages: skipped, truncated_messages: 0 };
        let mut seen = HashMap::new();
        for message in &messages[skipped..] {
            let (text, truncated) = self.read_text(&message.text);
            plan.truncated_messages += usize::from(truncated);
            let at = *seen.entry(text).or_insert_with(|| {
                plan.texts.push(text.to_owned());
                plan.texts.len() - 1
            });
            plan.text_of.push(at);
        }
        plan
    }

    /// The second half of [`score_conversation`](Self::score_conversation): `embeddings` are those of `plan.texts`, in order.
    ///
    /// # Errors
    /// `RunFailed`.
    ///
    /// # Panics
    /// When there are fewer embeddings than texts: a programming error of the caller.
    pub fn judge(&self, plan: &ConversationPlan, embeddings: &[Embedding], threshold: f32) -> Result<ConversationScores, ClassifyError> {
        assert_eq!(plan.texts.len(), embeddings.len(), "one embedding per text");
        let rows = self.head.scores(embeddings)?;
        let messages: Vec<&[f32]> = plan.text_of.iter().map(|&at| rows[at].as_slice()).collect();
        let judgement = self.head.judge(&messages, threshold)?;
        Ok(ConversationScores {
            labels: self.name(&judgement.labels),
            conversation: judgement.conversation,
            first_alarm_message_index: judgement.first_alarm.map(|at| count(plan.skipped_messages + at)),
            windows: count(judgement.windows),
            scored_messages: count(messages.len()),
            skipped_messages: count(plan.skipped_messages),
            truncated_messages: count(plan.truncated_messages),
        })
    }

    fn name(&self, scores: &[f32]) -> Vec<(String, f32)> {
        self.head.labels().iter().cloned().zip(scores.iter().copied()).collect()
    }
}

/// More than 4 billion messages do not fit a request.
fn count(messages: usize) -> u32 {
    u32::try_from(messages).unwrap_or(u32::MAX)
}
