//! A text to tokens, in pieces where that is the same: a tokenizer takes a microsecond or more for each token, and cannot be asked to stop.

use std::ops::Range;

use tokenizers::{ModelWrapper, NormalizerWrapper, PreTokenizerWrapper, Tokenizer, tokenizer::Encoding};

use crate::domain::pace::{self, Stop};

/// Bytes of a piece, or more where a word goes on: some milliseconds' work.
const PIECE: usize = 1 << 10;

/// A tokenizer for texts of any length.
#[derive(Debug)]
pub(super) struct Tokens {
    tokenizer: Tokenizer,
    /// Where a word ends whatever stands before, so that the tokens of two texts are those of both; `None` if nowhere.
    ends: Option<Ends>,
}

/// Letters before which a word ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Spaces,
    /// And ideographs, each of which is a word.
    Ideographs,
}

/// Marks beyond ASCII where no space stands between words.
const MARKS: [char; 16] = ['、', '。', '，', '！', '？', '：', '；', '「', '」', '（', '）', '…', '،', '؟', '۔', '।'];

impl Ends {
    fn before(self, letter: char) -> bool {
        match letter {
            // Other controls are taken out, so that a word goes on behind them.
            ' ' | '\t' | '\n' | '\r' => true,
            letter if letter.is_ascii() => letter.is_ascii_punctuation(),
            '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{2a6df}' => self == Self::Ideographs,
            letter => (letter.is_whitespace() && !letter.is_control()) || MARKS.contains(&letter),
        }
    }
}

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoTokens {
    #[error("nobody waits for it any more")]
    Left,
    #[error("{0}")]
    Failed(#[from] tokenizers::Error),
}

impl From<Stop> for NoTokens {
    fn from(_: Stop) -> Self {
        Self::Left
    }
}

impl Tokens {
    pub fn new(tokenizer: Tokenizer) -> Self {
        // BERT's normaliser looks at one letter and the marks behind it; its words end before a space or a mark, whatever stands there; and WordPiece looks at one word.
        let ends = match tokenizer.get_normalizer() {
            Some(NormalizerWrapper::BertNormalizer(normalizer)) if normalizer.handle_chinese_chars => Some(Ends::Ideographs),
            None | Some(NormalizerWrapper::BertNormalizer(_)) => Some(Ends::Spaces),
            Some(_) => None,
        };
        let is_bert = matches!(tokenizer.get_pre_tokenizer(), Some(PreTokenizerWrapper::BertPreTokenizer(_)))
            && matches!(tokenizer.get_model(), ModelWrapper::WordPiece(_));
        // Tokens that are looked for in the whole text could lie across.
        let alone = tokenizer.get_added_tokens_decoder().values().all(|token| token.special) && tokenizer.get_encode_special_tokens();
        Self { ends: ends.filter(|_| is_bert && alone), tokenizer }
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// Without the tokens that mark the ends.
    ///
    /// # Errors
    /// See [`NoTokens`].
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, NoTokens> {
        let mut ids = Vec::new();
        self.each(text, |piece| {
            ids.extend_from_slice(self.tokenizer.encode_fast(piece, false)?.get_ids());
            Ok(())
        })?;
        Ok(ids)
    }

    /// The same, each with its place in the text, in bytes.
    ///
    /// # Errors
    /// See [`NoTokens`].
    pub fn places(&self, text: &str) -> Result<Vec<(u32, Range<usize>)>, NoTokens> {
        let (mut places, mut before) = (Vec::new(), 0);
        self.each(text, |piece| {
            let encoding: Encoding = self.tokenizer.encode(piece, false)?;
            let ranges = encoding.get_offsets().iter().map(|(start, end)| before + start..before + end);
            places.extend(encoding.get_ids().iter().copied().zip(ranges));
            before += piece.len();
            Ok(())
        })?;
        Ok(places)
    }

    fn each(&self, text: &str, mut of_piece: impl FnMut(&str) -> Result<(), NoTokens>) -> Result<(), NoTokens> {
        let (size, ends) = self.ends.map_or((text.len(), Ends::Spaces), |ends| (PIECE, ends));
        for piece in pieces(text, size, ends) {
            pace::give_way()?;
            of_piece(piece)?;
        }
        Ok(())
    }
}

/// The text in pieces of at least `size` bytes, but for the last, each of which ends where a word does.
fn pieces(text: &str, size: usize, ends: Ends) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let from = rest.ceil_char_boundary(size);
        let end = rest[from..].char_indices().find(|(_, letter)| ends.before(*letter)).map_or(rest.len(), |(at, _)| from + at);
        let piece;
        (piece, rest) = rest.split_at(end);
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn tokenizer() -> Tokens {
        let tokenizer = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [{"id": 0, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": null, "decoder": null,
            "model": {
                "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 12,
                "vocab": {"[UNK]": 0, "a": 1, "##a": 2, "b": 3, "##b": 4, "ab": 5, "!": 6, "-": 7, "e": 8, "##e": 9, "中": 10, "ss": 11, "##ς": 12, "##σ": 13, "σ": 14, "[": 15, "]": 16, "u": 17}
            }
        });
        let mut tokenizer = Tokenizer::from_str(&tokenizer.to_string()).unwrap();
        tokenizer.set_encode_special_tokens(true);
        Tokens::new(tokenizer)
    }

    /// The tokens and their places are those of the whole text, wherever it is cut.
    #[test]
    fn pieces_have_the_tokens_of_the_whole() {
        let tokens = tokenizer();
        assert_eq!(tokens.ends, Some(Ends::Ideographs));
        let letters = [
            "a", "b", "B", "e\u{301}", "é", "\u{301}", "!", "-", " ", "\n", "\t", "\u{1}", "\u{200d}", "中", "Σ", "ß", "[UNK]", "[", "İ",
            "¡", "\u{a0}", "ﬁ", "\r", "\u{b}", "\u{85}", "\u{3000}", "\u{2003}", "，", "。", "\u{f900}", "；", "\u{37e}", "।",
        ];
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        let mut cut = 0;
        for _ in 0..2000 {
            let text: String = (0..next() % 40).map(|_| letters[next() % letters.len()]).collect();
            let encoding = tokens.tokenizer.encode(text.as_str(), false).unwrap();
            let whole: Vec<(u32, (usize, usize))> =
                encoding.get_ids().iter().copied().zip(encoding.get_offsets().iter().copied()).collect();
            for size in [1, 3, 9] {
                let (mut joined, mut before) = (Vec::new(), 0);
                for piece in pieces(&text, size, Ends::Ideographs) {
                    let encoding = tokens.tokenizer.encode(piece, false).unwrap();
                    let places = encoding.get_offsets().iter().map(|(start, end)| (before + start, before + end));
                    joined.extend(encoding.get_ids().iter().copied().zip(places));
                    before += piece.len();
                    cut += usize::from(before < text.len());
                }
                assert_eq!((joined, before), (whole.clone(), text.len()), "{text:?} in pieces of {size}");
            }
        }
        assert!(cut > 10_000, "{cut}");
    }

    #[test]
    fn long_texts_are_read_in_pieces() {
        let tokens = tokenizer();
        let text = "ab!- e\u{301} ".repeat(PIECE);
        let places = tokens.places(&text).unwrap();
        assert_eq!(tokens.ids(&text).unwrap(), places.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        assert_eq!((places.len(), &text[places[4 * PIECE - 4].1.clone()]), (4 * PIECE, "ab"));
        assert!(pieces(&text, PIECE, Ends::Spaces).all(|piece| piece.len() <= PIECE + 4));
        let count = |text: &str| pieces(text, PIECE, Ends::Ideographs).count();
        assert_eq!((count(&"a".repeat(3 * PIECE)), count(&"中".repeat(PIECE)), count("")), (1, 3, 0), "one word, and many");
        assert!(count(&"a\t".repeat(2 * PIECE)) > 3);
    }
}
