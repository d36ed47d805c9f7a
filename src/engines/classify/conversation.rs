//! Texts and conversations to scores: an encoder with a head.

use std::sync::Arc;

use super::aggregate::maxima;
use super::encoder::Encoder;
use super::error::ClassifyError;
use super::head::TextHead;
use super::manifest::ModelDigest;
use super::plan::{ConversationLimits, PlannedText, TextPlan, count, plan_of};
use crate::domain::{attachment::Message, clip::Variant};

/// Scores texts and conversations with one [`Encoder`], which others may share, and one [`TextHead`].
#[derive(Debug)]
pub struct ConversationClassifier {
    encoder: Arc<Encoder>,
    head: TextHead,
    limits: ConversationLimits,
}

/// One label's score.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelScore {
    pub label: String,
    /// In 0..=1.
    pub score: f32,
    /// Which look scored so; `None` where there was one look. See [`ConversationScores`].
    pub variant: Option<Variant>,
}

/// The scores of one text.
#[derive(Clone, Debug, PartialEq)]
pub struct TextScores {
    /// For each label the highest score over the text's token windows in all looks; 0 for a text without tokens.
    pub labels: Vec<LabelScore>,
}

/// The scores of one conversation.
///
/// Each message is scored in each of its looks, and for each label its highest score counts; maxima, windows and the conversation head are taken of
/// these. The conversation head also looks at the raw scores alone, and the higher of its two scores counts: with every head, looking twice
/// never lowers a score. A variant is `None` when no message had two looks, `normalised` when the score is higher than what the raw texts
/// alone give, and else `raw`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConversationScores {
    /// The highest over the scored messages.
    pub labels: Vec<LabelScore>,
    /// The highest score of the conversation head over all windows and their prefixes; 0 for a conversation without messages.
    pub conversation: f32,
    pub conversation_variant: Option<Variant>,
    /// The earliest message, counted from 0 in the conversation as given, at which some window's prefix that ends with it reached the
    /// threshold. Present exactly when there are messages and `conversation >= threshold`.
    pub first_alarm_message_index: Option<u32>,
    pub windows: u32,
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

    /// What decides, beside the model's digest, which looks there are and which score counts:
    /// `looks=raw+normalised;normalise=v2:nfkc,case;score=max`, or `looks=raw`.
    pub fn rule(&self) -> String {
        self.encoder.manifest().looks()
    }

    /// Scores one text.
    ///
    /// # Errors
    /// `RunFailed`.
    pub fn score_text(&self, text: &str) -> Result<TextScores, ClassifyError> {
        let plan = self.plan_text(text)?;
        self.judge_text(&plan, &self.encoder.embed(plan.windows())?)
    }

    /// Scores one conversation; `threshold` only decides where the first alarm is.
    ///
    /// # Errors
    /// `RunFailed`.
    pub fn score_conversation(&self, messages: &[Message], threshold: f32) -> Result<ConversationScores, ClassifyError> {
        let plan = self.plan(messages)?;
        self.judge(&plan, &self.encoder.embed(plan.windows())?, threshold)
    }

    /// Chooses what is read of a text: its beginning, up to the limits. First half of [`score_text`](Self::score_text).
    ///
    /// # Errors
    /// `RunFailed` when the tokenizer fails.
    pub fn plan_text(&self, text: &str) -> Result<TextPlan, ClassifyError> {
        self.plan_beginning(text, text.len())
    }

    /// The same of a text of `whole` bytes of which only the beginning is here.
    ///
    /// # Errors
    /// `RunFailed` when the tokenizer fails.
    pub fn plan_beginning(&self, beginning: &str, whole: usize) -> Result<TextPlan, ClassifyError> {
        let mut plan = plan_of(self.encoder.reader(), &self.limits, &[beginning], usize::MAX)?;
        plan.is_of_beginning(whole);
        Ok(plan)
    }

    /// Chooses what is read of a conversation: from its end backwards, until one of the limits is reached. First half of
    /// [`score_conversation`](Self::score_conversation).
    ///
    /// # Errors
    /// `RunFailed` when the tokenizer fails.
    pub fn plan(&self, messages: &[Message]) -> Result<TextPlan, ClassifyError> {
        let texts: Vec<&str> = messages.iter().map(|message| message.text.as_str()).collect();
        plan_of(self.encoder.reader(), &self.limits, &texts, self.limits.max_conversation_tokens)
    }

    /// The second half of [`score_text`](Self::score_text).
    ///
    /// # Errors
    /// `RunFailed`.
    ///
    /// # Panics
    /// When there are not as many vectors as windows: a programming error of the caller.
    pub fn judge_text(&self, plan: &TextPlan, vectors: &[Vec<f32>]) -> Result<TextScores, ClassifyError> {
        let looks = self.looks(plan, vectors)?;
        Ok(TextScores { labels: self.labels(&plan.of_messages(&looks)) })
    }

    /// The second half of [`score_conversation`](Self::score_conversation): `vectors` are those of the plan's windows, in order.
    ///
    /// # Errors
    /// `RunFailed`.
    ///
    /// # Panics
    /// When there are not as many vectors as windows: a programming error of the caller.
    pub fn judge(&self, plan: &TextPlan, vectors: &[Vec<f32>], threshold: f32) -> Result<ConversationScores, ClassifyError> {
        let looks = self.looks(plan, vectors)?;
        let messages = plan.of_messages(&looks);
        let raw: Vec<&[f32]> = messages.iter().map(|looks| looks.raw.as_slice()).collect();
        let alone = self.head.judge(&raw, threshold)?;
        let two = messages.iter().any(|looks| looks.two);
        let (mut conversation, mut first_alarm, mut variant) = (alone.conversation, alone.first_alarm, two.then_some(Variant::Raw));
        if messages.iter().any(|looks| looks.highest != looks.raw) {
            let highest: Vec<&[f32]> = messages.iter().map(|looks| looks.highest.as_slice()).collect();
            let both = self.head.judge(&highest, threshold)?;
            first_alarm = first_alarm.into_iter().chain(both.first_alarm).min();
            if both.conversation > conversation {
                (conversation, variant) = (both.conversation, Some(Variant::Normalised));
            }
        }
        Ok(ConversationScores {
            labels: self.labels(&messages),
            conversation,
            conversation_variant: variant,
            first_alarm_message_index: first_alarm.map(|at| count(plan.skipped() + at)),
            windows: count(alone.windows),
        })
    }

    /// The looks of each text of the plan.
    fn looks(&self, plan: &TextPlan, vectors: &[Vec<f32>]) -> Result<Vec<Looks>, ClassifyError> {
        assert_eq!(plan.windows().len(), vectors.len(), "one vector per window");
        let rows = self.head.scores(vectors)?;
        let labels = self.head.labels().len();
        let of = |windows: &[usize]| maxima(windows.iter().map(|&at| rows[at].as_slice()), labels);
        let looks = |text: &PlannedText| {
            let raw = of(&text.raw);
            let highest =
                text.normalised.as_deref().map_or_else(|| raw.clone(), |other| maxima([&raw[..], &of(other)].into_iter(), labels));
            Looks { raw, highest, two: text.normalised.is_some() }
        };
        Ok(plan.texts().iter().map(looks).collect())
    }

    fn labels(&self, messages: &[&Looks]) -> Vec<LabelScore> {
        let labels = self.head.labels();
        let raw = maxima(messages.iter().map(|looks| looks.raw.as_slice()), labels.len());
        let highest = maxima(messages.iter().map(|looks| looks.highest.as_slice()), labels.len());
        let two = messages.iter().any(|looks| looks.two);
        let variant = |raw: f32, highest: f32| two.then_some(if highest > raw { Variant::Normalised } else { Variant::Raw });
        let scores = labels.iter().zip(raw).zip(highest);
        scores.map(|((label, raw), score)| LabelScore { label: label.clone(), score, variant: variant(raw, score) }).collect()
    }
}

/// The label scores of one text: as it was written, and the highest of all looks.
struct Looks {
    raw: Vec<f32>,
    highest: Vec<f32>,
    two: bool,
}
