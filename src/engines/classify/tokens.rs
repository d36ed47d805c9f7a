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
    /// Whether the tokens of two texts are those of both, one behind the other, where the second begins with a space or a mark of ASCII.
    in_pieces: bool,
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
        let is_bert = matches!(tokenizer.get_normalizer(), None | Some(NormalizerWrapper::BertNormalizer(_)))
            && matches!(tokenizer.get_pre_tokenizer(), Some(PreTokenizerWrapper::BertPreTokenizer(_)))
            && matches!(tokenizer.get_model(), ModelWrapper::WordPiece(_));
        // Tokens that are looked for in the whole text could lie across.
        let alone = tokenizer.get_added_tokens_decoder().values().all(|token| token.special) && tokenizer.get_encode_special_tokens();
        Self { in_pieces: is_bert && alone, tokenizer }
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
        let size = if self.in_pieces { PIECE } else { text.len() };
        for piece in pieces(text, size) {
            pace::give_way()?;
            of_piece(piece)?;
        }
        Ok(())
    }
}

/// The text in pieces of at least `size` bytes, but for the last; all but the first begin with a space or a mark of ASCII.
fn pieces(text: &str, size: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let begins = |byte: &u8| matches!(byte, b' ' | b'\n') || byte.is_ascii_punctuation();
        // A byte of ASCII is a letter by itself, so that the text can be cut there.
        let end = rest.as_bytes().iter().skip(size).position(begins).map_or(rest.len(), |at| at + size);
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
        assert!(tokens.in_pieces);
        let letters = [
            "a", "b", "B", "e\u{301}", "é", "\u{301}", "!", "-", " ", "\n", "\t", "\u{1}", "\u{200d}", "中", "Σ", "ß", "[UNK]", "[", "İ",
            "¡", "\u{a0}", "ﬁ",
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
                for piece in pieces(&text, size) {
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
        assert!(pieces(&text, PIECE).all(|piece| piece.len() <= PIECE + 4));
        assert_eq!(pieces(&"a".repeat(3 * PIECE), PIECE).count(), 1, "one word");
        assert_eq!(pieces("", 5).count() + pieces("", 0).count(), 0);
    }
}
