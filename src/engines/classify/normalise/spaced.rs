//! Letters of one word with something between them: `h e l l o`, `h-e-l-l-o`, `ke.ep`, `k😘eep`.
//!
//! Three things are joined: single letters in a row, cut into words by the vocabulary; pieces of one or two letters in a row (`ho w o ld`) where words made of
//! them are much likelier than they; and parts of one word with signs between them where the vocabulary knows the whole. What else a [`GAP`] divides are words, and it becomes a space. Abbreviations (`e.g.`, `U.S.A.`) and addresses stay.

use super::{
    GAP,
    letters::{is_latin, is_mark},
    words::{LONGEST_WORD, Vocabulary, cost, known, words_of},
};

/// Pieces in a row that make words, at least, and what these may cost beside the pieces: `is it ok to go` stays.
const FEWEST_PIECES: usize = 3;
const LIKELIER: f32 = 0.6;

/// Single letters in a row that make a word, at least; more where dots or commas divide them, as in abbreviations and lists.
const FEWEST_LETTERS: usize = 3;
const FEWEST_LETTERS_IN_LISTS: usize = 4;

/// Parts of one word, at most, and characters between two of them.
const MOST_PARTS: usize = 12;
const LONGEST_SIGN: usize = 8;

/// Letters of the shortest word that is made of parts; of the shortest with a dot within.
const SHORTEST_JOINED: usize = 3;
const SHORTEST_DOTTED: usize = 4;

/// What a part costs that is no word.
const STRANGE_PART: f32 = 16.0;

/// A word, and what stands before it.
struct Part<'a> {
    before: &'a str,
    word: &'a str,
}

impl Part<'_> {
    fn is_single(&self) -> bool {
        self.word.len() == 1
    }

    fn is_piece(&self) -> bool {
        self.word.len() <= 2
    }

    fn cost(&self, vocabulary: &dyn Vocabulary) -> f32 {
        cost(vocabulary, self.word).unwrap_or(STRANGE_PART)
    }

    /// Whether what stands before may divide letters of one word: a few signs, spaces; no digits, no letters of other scripts.
    fn is_near(&self) -> bool {
        !self.before.is_empty()
            && self.before.chars().count() <= LONGEST_SIGN
            && !self.before.chars().any(|c| c.is_alphanumeric() && !is_mark(c))
    }

    /// Without a space: one word to the eye. Brackets are writing: author(s).
    fn is_tight(&self) -> bool {
        self.is_near() && !self.before.contains(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | '"'))
    }

    /// Whether it stands behind a hyphen or slash and is a word of its own: world-wide, and/or.
    fn is_compound(&self, vocabulary: &dyn Vocabulary) -> bool {
        matches!(self.before, "-" | "/") && self.is_word(vocabulary)
    }

    fn is_word(&self, vocabulary: &dyn Vocabulary) -> bool {
        self.word.len() >= FEWEST_LETTERS && known(vocabulary, self.word)
    }

    fn width(&self) -> usize {
        self.before.chars().filter(|c| c.is_whitespace()).count()
    }
}

/// The text with the words joined (when `join` is wanted) and without [`GAP`]s; `None` when nothing is to be done.
pub(super) fn joined(text: &str, join: bool, vocabulary: &dyn Vocabulary) -> Option<String> {
    let (parts, tail) = parts(text);
    let mut out = Writer { text: String::with_capacity(text.len()) };
    let mut at = 0;
    // Where pieces that make no words end: they are looked at once.
    let mut no_words = 0;
    while at < parts.len() {
        let rest = &parts[at..];
        let run = if join { single_letters(rest) } else { 1 };
        let pieces = if join && run == 1 && at >= no_words { pieces(rest) } else { 1 };
        let words = if pieces > 1 { made_of(&rest[..pieces], vocabulary) } else { None };
        no_words = no_words.max(if words.is_none() { at + pieces } else { 0 });
        out.between(rest[0].before);
        if let Some(words) = words {
            out.text.push_str(&words);
            at += pieces;
            continue;
        }
        let group = if join && run == 1 { tight_group(rest) } else { 1 };
        if group > 1 {
            join_group(&rest[..group], vocabulary, &mut out);
        } else if let Some(words) = (run > 1).then(|| spell(&rest[..run], vocabulary)).flatten() {
            out.text.push_str(&words);
        } else {
            // Whole, so that a run is looked at once.
            out.parts(&rest[..run]);
        }
        at += run.max(group);
    }
    // Behind the last word there is nothing to divide.
    out.between(tail.trim_end_matches(GAP));
    (out.text != text).then_some(out.text)
}

/// Bytes of the letters and apostrophes that the text begins with, where they are three or more single letters with an apostrophe between each two; else 0.
fn letters_joined_by_apostrophes(text: &str) -> usize {
    let (mut letters, mut length, mut after_letter) = (0, 0, false);
    for c in text.chars().take_while(|c| is_latin(*c) || matches!(c, '\'' | '’')) {
        // Two of a kind: a word, or a quotation.
        if is_latin(c) == after_letter {
            return 0;
        }
        after_letter = !after_letter;
        letters += usize::from(after_letter);
        length += c.len_utf8();
    }
    if letters >= FEWEST_LETTERS { length } else { 0 }
}

/// The words of a text, and what stands behind the last.
fn parts(text: &str) -> (Vec<Part<'_>>, &str) {
    let mut parts = Vec::new();
    let mut rest = text;
    // Bytes left of `text` where apostrophes are joints, at least.
    let mut joints = text.len();
    while let Some(start) = rest.find(is_latin) {
        let word = &rest[start..];
        // An apostrophe between letters is spelling: don't. Between single letters, and nothing else, it is a joint: h'o'w.
        if word.len() <= joints {
            joints = word.len() - letters_joined_by_apostrophes(word);
        }
        let spelling = word.len() <= joints;
        let mut end = word.len();
        let mut letters = word.char_indices().peekable();
        while let Some((at, c)) = letters.next() {
            let apostrophe = spelling && matches!(c, '\'' | '’') && letters.peek().is_some_and(|(_, next)| is_latin(*next));
            if !is_latin(c) && !apostrophe {
                end = at;
                break;
            }
        }
        parts.push(Part { before: &rest[..start], word: &word[..end] });
        rest = &word[end..];
    }
    (parts, rest)
}

/// How many of `parts` are single letters in a row; the first one's `before` does not matter.
fn single_letters(parts: &[Part<'_>]) -> usize {
    let followers = || parts[1..].iter().take_while(|part| part.is_single() && part.is_near());
    if !parts[0].is_single() {
        return 1;
    }
    let run = 1 + followers().count();
    let has = |sign: &[char]| followers().any(|part| part.before.contains(sign));
    let capitals = || parts[..run].iter().all(|part| part.word.bytes().all(|byte| byte.is_ascii_uppercase()));
    let fewest = if has(&['.', ',', ';', '/', '&', '+']) { FEWEST_LETTERS_IN_LISTS } else { FEWEST_LETTERS };
    if run < fewest || (has(&['.']) && capitals()) { 1 } else { run }
}

/// The words that single letters spell, if there is a real one among them. A wider space than the others divides words.
fn spell(run: &[Part<'_>], vocabulary: &dyn Vocabulary) -> Option<String> {
    let narrow = run[1..].iter().map(Part::width).min()?;
    let mut spelled: Vec<String> = vec![String::new()];
    for (at, part) in run.iter().enumerate() {
        if at > 0 && part.width() > narrow {
            spelled.push(String::new());
        }
        spelled.last_mut()?.push_str(part.word);
    }
    let cut = |spelled: &[String]| -> Option<Vec<String>> {
        let words: Vec<String> = spelled.iter().flat_map(|letters| words_of(letters, vocabulary)).collect();
        words.iter().any(|word| word.len() >= FEWEST_LETTERS && known(vocabulary, word)).then_some(words)
    };
    // Where words stand closer together than their letters, width says nothing.
    let words = cut(&spelled).or_else(|| cut(&[spelled.concat()]))?;
    Some(words.join(" "))
}

/// How many of `parts` are pieces of one or two letters in a row, if they are enough to make words; single letters alone have rules of their own.
fn pieces(parts: &[Part<'_>]) -> usize {
    let run = usize::from(parts[0].is_piece()) + parts[1..].iter().take_while(|part| part.is_piece() && part.is_near()).count();
    if run >= FEWEST_PIECES && parts[0].is_piece() && !parts[..run].iter().all(Part::is_single) { run } else { 1 }
}

/// The words that pieces make, if these are likelier than the pieces.
fn made_of(pieces: &[Part<'_>], vocabulary: &dyn Vocabulary) -> Option<String> {
    let letters: String = pieces.iter().map(|part| part.word).collect();
    let words = words_of(&letters, vocabulary);
    let costs: Option<f32> = words.iter().map(|word| cost(vocabulary, word)).sum();
    let likelier = costs? <= LIKELIER * pieces.iter().map(|part| part.cost(vocabulary)).sum::<f32>();
    (likelier && words.iter().any(|word| word.len() >= FEWEST_LETTERS)).then(|| words.join(" "))
}

/// How many of `parts` follow each other without a space, the first one included.
fn tight_group(parts: &[Part<'_>]) -> usize {
    1 + parts[1..].iter().take_while(|part| part.is_tight()).count()
}

/// Writes a group, joined where the vocabulary knows the whole and it is likelier than its parts.
fn join_group(group: &[Part<'_>], vocabulary: &dyn Vocabulary, out: &mut Writer) {
    let is_address =
        group[0].word.eq_ignore_ascii_case("www") || group[1..].iter().any(|part| part.before.contains("://") || part.before.contains('@'));
    // best[end]: the cost of the first `end` parts, and where their last word begins.
    let mut best: Vec<(f32, usize)> = vec![(0.0, 0)];
    for end in 1..=group.len() {
        let mut least = (best[end - 1].0 + group[end - 1].cost(vocabulary), end - 1);
        let mut word = group[end - 1].word.to_owned();
        let mut dotted = false;
        for start in (end.saturating_sub(MOST_PARTS)..end - 1).rev() {
            dotted |= group[start + 1].before.contains('.');
            word.insert_str(0, group[start].word);
            if word.len() > LONGEST_WORD {
                break;
            }
            let compound = || group[start].is_word(vocabulary) && group[start + 1..end].iter().all(|part| part.is_compound(vocabulary));
            if is_address || word.len() < if dotted { SHORTEST_DOTTED } else { SHORTEST_JOINED } {
                continue;
            }
            if let Some(cost) = cost(vocabulary, &word)
                && best[start].0 + cost < least.0
                && !compound()
            {
                least = (best[start].0 + cost, start);
            }
        }
        best.push(least);
    }
    let mut starts = vec![false; group.len()];
    let mut end = group.len();
    while end > 0 {
        end = best[end].1;
        starts[end] = true;
    }
    for (at, part) in group.iter().enumerate() {
        if starts[at] && at > 0 {
            out.between(part.before);
        }
        out.text.push_str(part.word);
    }
}

/// What is written; a [`GAP`] becomes a space where nothing else divides.
struct Writer {
    text: String,
}

impl Writer {
    /// All of them; what stands before the first is written already.
    fn parts(&mut self, parts: &[Part<'_>]) {
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                self.between(part.before);
            }
            self.text.push_str(part.word);
        }
    }

    fn between(&mut self, signs: &str) {
        let mut signs = signs.chars().peekable();
        while let Some(c) = signs.next() {
            if c != GAP {
                self.text.push(c);
            } else if self.text.chars().next_back().is_none_or(char::is_whitespace) {
                // `how 😘 old` has one space when the emoji is gone.
                signs.next_if_eq(&' ');
            } else if !signs.peek().is_some_and(|next| next.is_whitespace() || next.is_ascii_punctuation()) {
                self.text.push(' ');
            }
        }
    }
}
