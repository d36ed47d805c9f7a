//! Texts as their letters read, whatever they are disguised as.
//!
//! A tokenizer cuts `h3ll0`, `h e l l o`, `ｈｅｌｌｏ` and `hеllо` (with Cyrillic letters) into pieces that a model never saw, and a person reads "hello". A
//! [`Normaliser`] writes such a text as a person reads it. It replaces nothing: a model scores the raw text *and* the normalised one wherever their tokens
//! differ, and the higher score counts, so that a wrong guess costs time and never hides anything.
//!
//! ```
//! use nightlight::engines::classify::{Normalise, Step, Vocabulary};
//! struct Words;
//! impl Vocabulary for Words {
//!     fn rank(&self, word: &str) -> Option<u32> {
//!         ["you", "are", "how", "hello", "old"].iter().position(|known| *known == word).map(|at| at as u32)
//!     }
//! }
//! let declared = Normalise { version: Normalise::VERSION, steps: Step::ALL.to_vec() };
//! let normaliser = declared.normaliser(&Words);
//! assert_eq!(normaliser.apply("h3ll0, how😘old😘are😘you?"), "hello, how old are you?");
//! assert_eq!(normaliser.apply("h.e.l.l.o ｈｏｗ оld аre y o u"), "hello how old are you");
//! assert_eq!(normaliser.apply("at 10.30, e.g. in the U.S.A."), "at 10.30, e.g. in the u.s.a.");
//! ```
//!
//! **Steps.** A model's manifest names those that suit its tokenizer, and the version of their definitions ([`Normalise`]); both are part of the rule that
//! certificates are bound to. They run in the order of [`Step`]. What is ambiguous (is `1` an i or an l, does an emoji divide two words or one) is decided
//! by the vocabulary of the model's own tokenizer, in which frequent words come first ([`Vocabulary`]): a reading counts only if it is a word there.
//!
//! **Ordinary texts stay.** Numbers, abbreviations, addresses, and other scripts are left alone: letters are only replaced within words that mix scripts, or
//! that are disguised as a whole; see each step's module.
//!
//! **Cost.** Time is linear in the text, and the result has at most 11 times its bytes (the bound of NFKC, Unicode Standard Annex 15). Normalising again
//! changes nothing.

mod confusable;
mod leet;
mod letters;
mod spaced;
#[cfg(test)]
mod tests;
mod words;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use words::Vocabulary;

/// Stands for what was between letters and is none (emoji, symbols, control tokens) until it is known whether it divides words.
const GAP: char = '\u{fffc}';

/// Rounds until nothing changes; one is enough for almost every text, and each leaves fewer signs than the one before.
const MOST_ROUNDS: usize = 6;

/// One thing that is undone. The order is that of their work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Spellings of control tokens (`[CLS]`, `</s>`, `<|im_end|>`) that a user typed are no words.
    Control,
    /// Zero-width characters, soft hyphens, tags, bidirectional controls and variation selectors go; blank letters become spaces.
    Invisible,
    /// Compatibility forms of letters and digits: full width, mathematical, enclosed, ligatures (NFKC).
    Nfkc,
    /// Combining marks that are piled on letters, cross them out or enclose them.
    Marks,
    /// Emoji and pictographs between letters and words.
    Emoji,
    /// Letters of other scripts, small capitals and letters with strokes in words that are Latin (Unicode Technical Standard 39).
    Confusables,
    /// Digits and signs in the place of letters.
    Leet,
    /// Letters of one word with spaces or signs between them.
    Spaced,
    /// Lower case.
    Case,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 9] =
        [Self::Control, Self::Invisible, Self::Nfkc, Self::Marks, Self::Emoji, Self::Confusables, Self::Leet, Self::Spaced, Self::Case];

    /// The name in manifests and rules.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Invisible => "invisible",
            Self::Nfkc => "nfkc",
            Self::Marks => "marks",
            Self::Emoji => "emoji",
            Self::Confusables => "confusables",
            Self::Leet => "leet",
            Self::Spaced => "spaced",
            Self::Case => "case",
        }
    }
}

/// `[normalise]` of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalise {
    /// Of the steps' definitions; only [`VERSION`](Self::VERSION) exists. A change that can change scores gets the next number.
    pub version: u32,
    pub steps: Vec<Step>,
}

impl Normalise {
    /// The version of what this module does.
    pub const VERSION: u32 = 2;

    /// # Errors
    /// In words: an unknown version, no step, or one that stands twice.
    pub fn check(&self) -> Result<(), String> {
        if self.version != Self::VERSION {
            return Err(format!(
                "[normalise] has version {}; this program does version {}: write that number, and measure thresholds anew, since scores of disguised texts can differ",
                self.version,
                Self::VERSION
            ));
        }
        let twice = self.steps.iter().enumerate().any(|(at, step)| self.steps[..at].contains(step));
        if self.steps.is_empty() || twice {
            return Err("[normalise] needs steps, each once; leave the table out for none".into());
        }
        Ok(())
    }

    /// Names what it does, e.g. `v2:nfkc,case`; the steps in their order, however the manifest lists them.
    pub fn rule(&self) -> String {
        let steps: Vec<&str> = Step::ALL.into_iter().filter(|step| self.steps.contains(step)).map(Step::as_str).collect();
        format!("v{}:{}", self.version, steps.join(","))
    }

    /// With the vocabulary that decides.
    pub fn normaliser<'a>(&'a self, vocabulary: &'a dyn Vocabulary) -> Normaliser<'a> {
        Normaliser { steps: &self.steps, vocabulary }
    }
}

/// Writes texts as they are read.
#[derive(Clone, Copy)]
pub struct Normaliser<'a> {
    steps: &'a [Step],
    vocabulary: &'a dyn Vocabulary,
}

impl Normaliser<'_> {
    /// The text as its letters read; borrowed when nothing was to be done.
    pub fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut now = Cow::Borrowed(text);
        for _ in 0..MOST_ROUNDS {
            let next = self.round(&now);
            if *next == *now {
                break;
            }
            now = Cow::Owned(next.into_owned());
        }
        now
    }

    fn has(&self, step: Step) -> bool {
        self.steps.contains(&step)
    }

    /// Each step once.
    fn round<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut now = Cow::Borrowed(text);
        let mut then = |wanted: bool, step: &dyn Fn(&str) -> Option<String>| {
            if wanted && let Some(next) = step(&now) {
                now = Cow::Owned(next);
            }
        };
        then(!text.is_ascii() || text.bytes().any(|byte| byte.is_ascii_control()), &|text| Some(letters::plain(text, self.steps)));
        then(self.has(Step::Control), &letters::without_control_tokens);
        then(self.has(Step::Confusables), &|text| confusable::undisguised(text, self.vocabulary));
        then(self.has(Step::Leet), &|text| leet::spelled_out(text, self.vocabulary));
        then(true, &|text| spaced::joined(text, self.has(Step::Spaced), self.vocabulary));
        then(self.has(Step::Case), &|text| lower(text));
        now
    }
}

/// Each letter by itself, as tokenizers do: the sigma at a word's end has no form of its own.
fn lower(text: &str) -> Option<String> {
    text.chars().any(char::is_uppercase).then(|| text.chars().flat_map(char::to_lowercase).collect())
}
