//! From a text to token windows: what of it a model reads, in which looks, and what it cannot read.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use tokenizers::Tokenizer;

use super::error::ClassifyError;
use super::manifest::{Manifest, Role, Text};
use super::normalise::{Normalise, Step, Vocabulary};
use super::script::Scripts;
use super::tokens::{NoTokens, Tokens};
use crate::domain::pace;

/// Token ids of one window, with the two that mark its ends. Shared, because equal windows are embedded once.
pub type Window = Arc<[u32]>;

/// What tokenizers call a word that they do not know.
const UNKNOWN: [&str; 4] = ["[UNK]", "<unk>", "<UNK>", "[unk]"];

/// What stands before a whole word in vocabularies: WordPiece, byte-level BPE, SentencePiece.
const WORD_PREFIXES: [&str; 3] = ["", "Ġ", "▁"];

/// A tokenizer with what the manifest says about texts.
#[derive(Debug)]
pub(super) struct Reader {
    model: String,
    tokens: Tokens,
    text: Text,
    /// The tokens that mark a window's ends.
    ends: (u32, u32),
    /// Control tokens: no text may hold them.
    control: HashSet<u32>,
    /// Tokens that say nothing: a word or a byte that the vocabulary does not have.
    unknown: HashSet<u32>,
    word_prefix: &'static str,
    /// How texts are normalised, without the steps that cannot change the tokens of this tokenizer.
    normalise: Option<Normalise>,
    scripts: Scripts,
}

/// One look at a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub windows: Vec<Window>,
    /// Tokens that are read, and that the text has.
    pub tokens: usize,
    pub all_tokens: usize,
    /// Windows most of whose tokens are unknown, or most of whose letters are of a script that the manifest does not name; 1 for a text of
    /// such letters that has no tokens at all.
    pub unreadable: usize,
}

/// What a model reads of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub raw: View,
    /// The normalised text, where its tokens are others.
    pub normalised: Option<View>,
    /// There is nothing to read: no tokens, or only what normalisation takes away.
    pub empty: bool,
}

impl Reading {
    /// Tokens that are embedded for all looks.
    pub fn cost(&self) -> usize {
        self.raw.tokens + self.normalised.as_ref().map_or(0, |view| view.tokens)
    }

    /// The look that is read best.
    pub fn clearest(&self) -> &View {
        self.normalised.as_ref().filter(|view| view.unreadable <= self.raw.unreadable).unwrap_or(&self.raw)
    }

    /// Whether the text goes on behind what is read of some look.
    pub fn is_cut(&self) -> bool {
        [Some(&self.raw), self.normalised.as_ref()].into_iter().flatten().any(|view| view.tokens < view.all_tokens)
    }
}

impl Reader {
    /// Reads the tokenizer's file.
    pub fn open(manifest: &Manifest, text: Text) -> Result<Self, ClassifyError> {
        let unusable = |error: tokenizers::Error| manifest.unusable(error.to_string());
        let mut tokenizer = Tokenizer::from_bytes(manifest.read(Role::Tokenizer)?).map_err(unusable)?;
        // The file asks for 128 tokens, cut and padded; here long texts are read in windows, and batches padded only to their longest.
        tokenizer.with_truncation(None).map_err(unusable)?;
        tokenizer.with_padding(None);
        // What a user types is text, `[CLS]` too.
        tokenizer.set_encode_special_tokens(true);
        let token = |name: &str| tokenizer.token_to_id(name).ok_or_else(|| manifest.unusable(format!("the tokenizer has no {name}")));
        let ends = (token("[CLS]")?, token("[SEP]")?);
        let mut unknown: HashSet<u32> = UNKNOWN.iter().filter_map(|name| tokenizer.token_to_id(name)).collect();
        let control = tokenizer.get_added_tokens_decoder().into_iter().filter(|(id, token)| token.special && !unknown.contains(id));
        let control = control.map(|(id, _)| id).collect();
        unknown.extend((0..=u8::MAX).filter_map(|byte| tokenizer.token_to_id(&format!("<0x{byte:02X}>"))));
        let has_the = |prefix: &&str| tokenizer.token_to_id(&format!("{prefix}the")).is_some();
        let word_prefix = WORD_PREFIXES.into_iter().rev().find(has_the).unwrap_or("");
        let ids = |text: &str| tokenizer.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec()).map_err(unusable);
        let caseless = ids("Some Words IN CAPITALS")? == ids("some words in capitals")?;
        let normalise = manifest.normalise.clone().map(|mut all| {
            all.steps.retain(|step| *step != Step::Case || !caseless);
            all
        });
        let scripts = Scripts::parse(&manifest.scripts).map_err(|reason| manifest.unusable(reason))?;
        Ok(Self {
            model: manifest.name.clone(),
            tokens: Tokens::new(tokenizer),
            text,
            ends,
            control,
            unknown,
            word_prefix,
            normalise,
            scripts,
        })
    }

    /// Reads each text, of each look at most `max_tokens` from its beginning.
    ///
    /// # Errors
    /// `RunFailed` when the tokenizer fails.
    pub fn read(&self, texts: &[&str], max_tokens: usize) -> Result<Vec<Reading>, ClassifyError> {
        let raw = self.views(texts, max_tokens)?;
        let normalised = texts.iter().map(|text| self.normalised(text)).collect::<Result<Vec<_>, _>>()?;
        let changed: Vec<(usize, &str)> =
            normalised.iter().enumerate().filter_map(|(at, text)| text.as_deref().map(|text| (at, text))).collect();
        let others = self.views(&changed.iter().map(|(_, text)| *text).collect::<Vec<_>>(), max_tokens)?;
        let mut readings: Vec<Reading> =
            raw.into_iter().map(|raw| Reading { empty: raw.windows.is_empty() && raw.unreadable == 0, raw, normalised: None }).collect();
        for ((at, text), view) in changed.into_iter().zip(others) {
            let reading = &mut readings[at];
            // Blank letters and emoji may be tokens, but there is nothing to read.
            reading.empty |= text.trim().is_empty();
            if !view.windows.is_empty() && view.windows != reading.raw.windows {
                reading.normalised = Some(view);
            }
        }
        Ok(readings)
    }

    fn failed(&self, error: NoTokens) -> ClassifyError {
        ClassifyError::RunFailed { model: self.model.clone(), reason: error.to_string() }
    }

    /// `None` where the normalised text is the text.
    fn normalised(&self, text: &str) -> Result<Option<String>, ClassifyError> {
        let Some(normalise) = &self.normalise else { return Ok(None) };
        pace::give_way().map_err(|stop| self.failed(stop.into()))?;
        Ok(match normalise.normaliser(self).apply(text) {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(other) => (other != text).then_some(other),
        })
    }

    fn views(&self, texts: &[&str], max_tokens: usize) -> Result<Vec<View>, ClassifyError> {
        let view = |text: &&str| {
            let ids = self.tokens.ids(text).map_err(|error| self.failed(error))?;
            let ids: Vec<u32> = ids.into_iter().filter(|id| !self.control.contains(id)).collect();
            let read = ids.len().min(max_tokens);
            let ranges = token_ranges(read, &self.text);
            let foreign = self.foreign_windows(text, &ranges)?;
            let unreadable = |(range, foreign): (&Range<usize>, &bool)| {
                let unknown = ids[range.clone()].iter().filter(|id| self.unknown.contains(id)).count();
                *foreign || unknown * 2 > range.len()
            };
            let no_tokens = usize::from(ranges.is_empty() && self.scripts.mostly_foreign(text));
            let windows = ranges.iter().map(|range| [&[self.ends.0], &ids[range.clone()], &[self.ends.1]].concat().into()).collect();
            let unreadable = ranges.iter().zip(&foreign).filter(|pair| unreadable(*pair)).count() + no_tokens;
            Ok(View { windows, tokens: read, all_tokens: ids.len(), unreadable })
        };
        texts.iter().map(view).collect()
    }

    /// For each window, whether most letters of its part of the text are of a script that is not read.
    fn foreign_windows(&self, text: &str, ranges: &[Range<usize>]) -> Result<Vec<bool>, ClassifyError> {
        if ranges.len() <= 1 || !text.chars().any(|c| self.scripts.is_foreign(c)) {
            return Ok(vec![self.scripts.mostly_foreign(text); ranges.len()]);
        }
        // Only here is it worth knowing where tokens stand.
        let places = self.tokens.places(text).map_err(|error| self.failed(error))?;
        let places: Vec<Range<usize>> = places.into_iter().filter(|(id, _)| !self.control.contains(id)).map(|(_, place)| place).collect();
        let part = |range: &Range<usize>| {
            let (first, last) = (places.get(range.start)?, places.get(range.end.checked_sub(1)?)?);
            text.get(first.start..last.end)
        };
        Ok(ranges.iter().map(|range| self.scripts.mostly_foreign(part(range).unwrap_or(text))).collect())
    }
}

impl Vocabulary for Reader {
    fn rank(&self, word: &str) -> Option<u32> {
        let id = match self.word_prefix {
            "" => self.tokens.id(word),
            prefix => self.tokens.id(&format!("{prefix}{word}")),
        };
        id.filter(|id| !self.control.contains(id) && !self.unknown.contains(id))
    }
}

/// The windows over `tokens` tokens, without the two that mark the ends: as many as needed to reach the last token.
pub(super) fn token_ranges(tokens: usize, text: &Text) -> Vec<Range<usize>> {
    let room = text.window_tokens - 2;
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    while ranges.last().map_or(tokens > 0, |last| last.end < tokens) {
        ranges.push(start..tokens.min(start + room));
        start += room - text.window_overlap;
    }
    ranges
}
