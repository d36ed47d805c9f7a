//! What of a text or a conversation is read, within limits, before anything is embedded.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::error::ClassifyError;
use super::reader::{Reader, Reading, View, Window};

/// How much of an attachment is read. What is beyond is counted in the plan, never dropped silently.
///
/// Tokens are what costs: about 0.4 ms of one core each in long texts (MiniLM, 128 in a window, 32 of them shared with the next). Bytes bound the
/// tokenizer, which is fast, and come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConversationLimits {
    /// The most recent messages that are scored. Default 1000.
    pub max_scored_messages: usize,
    /// Bytes of UTF-8 that are read of one text or message, from its start. Default 32 KiB: 7,000 tokens of ordinary English.
    pub max_text_bytes: usize,
    /// Bytes of UTF-8 that are read of one conversation, from its end backwards. Default 128 KiB.
    pub max_conversation_bytes: usize,
    /// Tokens that are read of one text or message in each look, from its start. Default 8192: 86 windows, 3 s of one core.
    pub max_text_tokens: usize,
    /// Tokens that are read of one conversation, both looks and each different text counted, from its end backwards. Default 16384: 6 s of
    /// one core.
    pub max_conversation_tokens: usize,
}

impl Default for ConversationLimits {
    fn default() -> Self {
        Self {
            max_scored_messages: 1000,
            max_text_bytes: 32 << 10,
            max_conversation_bytes: 128 << 10,
            max_text_tokens: 8192,
            max_conversation_tokens: 16_384,
        }
    }
}

/// What is to be embedded for a text or a conversation, and what of it is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPlan {
    windows: Vec<Window>,
    /// Each different text once.
    texts: Vec<PlannedText>,
    /// For each scored message, in the order of the conversation, its index in `texts`; a single text is one message.
    text_of: Vec<usize>,
    /// Earlier messages beyond the limits.
    skipped: usize,
}

/// One text of a plan: its looks as indices of windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedText {
    pub raw: Vec<usize>,
    pub normalised: Option<Vec<usize>>,
    unreadable_windows: usize,
    windows: usize,
    empty: bool,
    cut: bool,
    /// That are read, of those that it has: what the tokenizer is given, and what of its tokens as written.
    bytes: (usize, usize),
    tokens: (usize, usize),
}

/// How many, of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub count: u32,
    pub of: u32,
}

/// Chooses what is read of `texts`, the newest last: that one always, and of those before it as many as the limits and `max_tokens` allow.
pub(super) fn plan_of(reader: &Reader, limits: &ConversationLimits, texts: &[&str], max_tokens: usize) -> Result<TextPlan, ClassifyError> {
    let mut bytes = 0;
    let fits = |(at, text): &(usize, &str)| {
        bytes += text.len().min(limits.max_text_bytes);
        *at == 0 || bytes <= limits.max_conversation_bytes
    };
    let read = texts.iter().rev().copied().take(limits.max_scored_messages.max(1)).enumerate().take_while(fits);
    let mut different: Vec<&str> = Vec::new();
    let mut seen = HashMap::new();
    let mut number = |text| {
        *seen.entry(text).or_insert_with(|| {
            different.push(text);
            different.len() - 1
        })
    };
    let newest_first: Vec<usize> = read.map(|(_, text)| number(text)).collect();

    let beginnings: Vec<&str> = different.iter().map(|text| &text[..text.floor_char_boundary(limits.max_text_bytes)]).collect();
    let readings = reader.read(&beginnings, limits.max_text_tokens)?;
    // Different texts are numbered in the order of their newest message, so those that fit are the first ones.
    let mut tokens = 0;
    let affordable = |(at, reading): &(usize, &Reading)| {
        tokens += reading.cost();
        *at == 0 || tokens <= max_tokens
    };
    let kept = readings.iter().enumerate().take_while(affordable).count();
    let mut text_of: Vec<usize> = newest_first.into_iter().take_while(|at| *at < kept).collect();
    text_of.reverse();

    let mut windows = Windows::default();
    let bytes = |at: usize| (beginnings[at].len(), different[at].len());
    let planned = readings[..kept].iter().enumerate().map(|(at, reading)| windows.planned(reading, bytes(at))).collect();
    Ok(TextPlan { windows: windows.all, texts: planned, skipped: texts.len() - text_of.len(), text_of })
}

impl TextPlan {
    /// What is to be embedded: each different window once, for [`Encoder::embed`](super::Encoder::embed).
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Whether there is nothing to read: no message, or only ones without words.
    pub fn is_empty(&self) -> bool {
        self.messages().all(|text| text.empty)
    }

    /// Messages that are scored, of all.
    pub fn scored_messages(&self) -> Part {
        part(self.text_of.len(), self.text_of.len() + self.skipped)
    }

    /// Scored messages of which only the beginning is read.
    pub fn cut_messages(&self) -> u32 {
        count(self.messages().filter(|text| text.cut).count())
    }

    /// Bytes of the scored messages that are read, of all that they have.
    pub fn bytes(&self) -> Part {
        part(self.messages().map(|text| text.bytes.0).sum(), self.messages().map(|text| text.bytes.1).sum())
    }

    /// Tokens of the scored messages, as they were written, that are read, of all in [`bytes`](Self::bytes) that are read.
    pub fn tokens(&self) -> Part {
        part(self.messages().map(|text| text.tokens.0).sum(), self.messages().map(|text| text.tokens.1).sum())
    }

    /// Whether messages are not read, or only from their beginning.
    pub fn is_cut(&self) -> bool {
        self.skipped > 0 || self.cut_messages() > 0
    }

    /// Scored messages whose normalised text is a second look, of all scored ones.
    pub fn messages_seen_twice(&self) -> Part {
        part(self.messages().filter(|text| text.normalised.is_some()).count(), self.text_of.len())
    }

    /// Scored messages of which the model cannot read a window, of all scored ones.
    pub fn unreadable_messages(&self) -> Part {
        part(self.messages().filter(|text| text.unreadable_windows > 0).count(), self.text_of.len())
    }

    /// Windows that the model cannot read, of all that are read.
    pub fn unreadable_windows(&self) -> Part {
        let sum = |number: fn(&PlannedText) -> usize| self.messages().map(number).sum();
        part(sum(|text| text.unreadable_windows), sum(|text| text.windows))
    }

    /// The text has `whole` bytes, of which the plan was shown only the beginning.
    pub(super) fn is_of_beginning(&mut self, whole: usize) {
        for text in self.texts.iter_mut().filter(|text| text.bytes.1 < whole) {
            (text.bytes.1, text.cut) = (whole, true);
        }
    }

    pub(super) fn texts(&self) -> &[PlannedText] {
        &self.texts
    }

    pub(super) const fn skipped(&self) -> usize {
        self.skipped
    }

    /// For each scored message what there is of its text.
    pub(super) fn of_messages<'a, T>(&self, texts: &'a [T]) -> Vec<&'a T> {
        self.text_of.iter().map(|&at| &texts[at]).collect()
    }

    fn messages(&self) -> impl Iterator<Item = &PlannedText> {
        self.text_of.iter().map(|&at| &self.texts[at])
    }
}

/// Different windows and where they are.
#[derive(Default)]
struct Windows {
    all: Vec<Window>,
    known: HashMap<Window, usize>,
}

impl Windows {
    fn planned(&mut self, reading: &Reading, bytes: (usize, usize)) -> PlannedText {
        let clearest = reading.clearest();
        PlannedText {
            unreadable_windows: if reading.empty { 0 } else { clearest.unreadable },
            windows: clearest.windows.len().max(1),
            empty: reading.empty,
            cut: bytes.0 < bytes.1 || reading.is_cut(),
            bytes,
            tokens: (reading.raw.tokens, reading.raw.all_tokens),
            raw: self.indices(&reading.raw),
            normalised: reading.normalised.as_ref().map(|view| self.indices(view)),
        }
    }

    fn indices(&mut self, view: &View) -> Vec<usize> {
        let index = |window: &Window| {
            *self.known.entry(window.clone()).or_insert_with(|| {
                self.all.push(window.clone());
                self.all.len() - 1
            })
        };
        view.windows.iter().map(index).collect()
    }
}

fn part(some: usize, of: usize) -> Part {
    Part { count: count(some), of: count(of) }
}

/// More than 4 billion messages do not fit a request.
pub(super) fn count(messages: usize) -> u32 {
    u32::try_from(messages).unwrap_or(u32::MAX)
}
