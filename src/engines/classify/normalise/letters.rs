//! Character by character: what is invisible, what is a letter in another form, what is no letter.

use std::iter;

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, EmojiModifier, ExtendedPictographic, GeneralCategory, Script},
};

use unicode_bidi::{BidiClass, BidiInfo, Level, bidi_class};

use super::{GAP, Step};

/// Marks of one letter that are ordinary: Vietnamese and Greek put two on a letter, vowelled Arabic and Hebrew up to four.
const ORDINARY_MARKS: usize = 2;
const ORDINARY_MARKS_OF_ITS_SCRIPT: usize = 4;

/// Spellings that tokenizers reserve, beside `<|…|>`: of BERT, RoBERTa, T5, LLaMA and their kin.
const CONTROL_TOKENS: [&str; 17] = [
    "[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "[BOS]", "[EOS]", "<s>", "</s>", "<pad>", "<unk>", "<mask>", "<bos>", "<eos>", "<sep>",
    "<cls>", "<mask/>",
];

/// Characters within `<|…|>` at most.
const LONGEST_CONTROL_TOKEN: usize = 32;

/// The text without invisible characters, in compatibility decomposition and composed again, with [`GAP`]s where pictographs were, as far as
/// `steps` says so.
pub(super) fn plain(text: &str, steps: &[Step]) -> String {
    let [invisible, nfkc, marks, emoji] = [Step::Invisible, Step::Nfkc, Step::Marks, Step::Emoji].map(|step| steps.contains(&step));
    let mut out = Plain { text: String::with_capacity(text.len()), base: 0, marks: 0, after_letter: false };
    let mut flags = Flags::default();
    let spaced = steps.contains(&Step::Spaced);
    let forwards = if invisible { displayed(text) } else { None };
    let text = forwards.as_deref().unwrap_or(text);
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let last = before.replace(c);
        let next = chars.peek().copied();
        let beside = |is: fn(char) -> bool| last.is_some_and(is) && next.is_some_and(is);
        if emoji && let Some(letter) = flag_letter(c) {
            flags.push(letter, &mut out);
            continue;
        }
        flags.end(&mut out);
        if invisible && is_blank(c) {
            out.push(' ');
        } else if invisible && is_invisible(c) && !joins_letters(c, &out.text) {
            // It may have divided words, or stood within one: the vocabulary knows.
            if spaced && beside(is_latin) {
                out.gap();
            }
        } else if emoji && let Some(letter) = negative_enclosed(c) {
            out.push(letter);
        } else if c.is_ascii() {
            out.push(c);
        } else if emoji && ((is_raised(c) && beside(is_plain_letter)) || (is_divider(c) && beside(is_latin))) {
            out.gap();
        } else if nfkc && let Some(decomposed) = letters_within(c) {
            decomposed.for_each(|c| out.take(c, marks));
        } else if emoji && is_pictograph(c) {
            out.gap();
        } else if marks {
            // In pieces, so that marks can be counted; composed again below.
            NFD.normalize_iter(iter::once(c)).for_each(|c| out.take(c, true));
        } else {
            out.push(c);
        }
    }
    flags.end(&mut out);
    if nfkc || marks { NFC.normalize(&out.text).into_owned() } else { out.text }
}

const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();
const NFD: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizerBorrowed::new_nfd();
const NFKD: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizerBorrowed::new_nfkd();

/// What has been written, and how many marks the last letter has.
struct Plain {
    text: String,
    /// Bytes up to and with the last character that is no mark.
    base: usize,
    marks: usize,
    after_letter: bool,
}

impl Plain {
    fn push(&mut self, c: char) {
        self.text.push(c);
        (self.base, self.marks, self.after_letter) = (self.text.len(), 0, c.is_alphabetic());
    }

    fn gap(&mut self) {
        if !self.text.ends_with(GAP) {
            self.push(GAP);
        }
    }

    fn take(&mut self, c: char, count_marks: bool) {
        let category = CodePointMapData::<GeneralCategory>::new().get(c);
        if !count_marks || !matches!(category, GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark) {
            self.push(c);
            return;
        }
        let own = CodePointMapData::<Script>::new().get(c) != Script::Inherited;
        let crosses_out = category == GeneralCategory::EnclosingMark || matches!(c, '\u{334}'..='\u{338}');
        if !self.after_letter && !own {
            return;
        }
        // Who crosses a letter out has no spelling in mind with its other marks either.
        self.marks += if crosses_out { ORDINARY_MARKS_OF_ITS_SCRIPT + 1 } else { 1 };
        if self.marks > if own { ORDINARY_MARKS_OF_ITS_SCRIPT } else { ORDINARY_MARKS } {
            self.text.truncate(self.base);
        } else {
            self.text.push(c);
        }
    }
}

/// Regional indicators: two make a flag, others are letters.
#[derive(Default)]
struct Flags {
    waiting: Vec<char>,
    /// There were more than two in a row.
    spelling: bool,
}

impl Flags {
    fn push(&mut self, letter: char, out: &mut Plain) {
        self.waiting.push(letter);
        if self.waiting.len() > 2 {
            self.waiting.drain(..).for_each(|letter| out.push(letter));
            self.spelling = true;
        }
    }

    fn end(&mut self, out: &mut Plain) {
        if self.waiting.len() == 2 && !self.spelling {
            out.gap();
        } else {
            self.waiting.iter().for_each(|letter| out.push(*letter));
        }
        self.waiting.clear();
        self.spelling = false;
    }
}

fn flag_letter(c: char) -> Option<char> {
    letter_from(c, '\u{1f1e6}')
}

/// White on black, in circles and squares; the black on white ones have compatibility decompositions.
fn negative_enclosed(c: char) -> Option<char> {
    letter_from(c, '\u{1f150}').or_else(|| letter_from(c, '\u{1f170}'))
}

/// The letter of an alphabet in a row that begins with `a` at `first`.
fn letter_from(c: char, first: char) -> Option<char> {
    let at = u32::from(c).checked_sub(u32::from(first))?;
    u8::try_from(at).ok().filter(|at| *at < 26).map(|at| char::from(b'a' + at))
}

/// Look like a space or a new line and are letters, symbols or controls to Unicode: Hangul fillers, the empty Braille pattern, vertical tabs, pages, NEL.
fn is_blank(c: char) -> bool {
    matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}' | '\u{b}' | '\u{c}' | '\u{85}')
}

fn is_invisible(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
        || (!c.is_ascii() && CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c))
}

/// Joiners shape the letters of Arabic and Indic scripts: there they are spelling.
fn joins_letters(c: char, before: &str) -> bool {
    let after_other_script = || {
        let last = before.chars().next_back().filter(|last| !last.is_ascii());
        last.is_some_and(|last| !matches!(CodePointMapData::<Script>::new().get(last), Script::Latin | Script::Common | Script::Inherited))
    };
    matches!(c, '\u{200c}' | '\u{200d}') && after_other_script()
}

/// Superscripts: among themselves they are letters and numbers, one alone between two letters divides them.
fn is_raised(c: char) -> bool {
    matches!(c, 'ª' | 'º' | '²' | '³' | '¹' | '\u{2070}'..='\u{209c}' | '\u{2b0}'..='\u{2b8}' | '\u{2e0}'..='\u{2e4}' | '\u{1d2c}'..='\u{1d6a}')
}

/// Signs that tokenizers take for a part of the word (`keep×this`), or that compatibility decomposition makes letters and digits of (`™`, `①`), and that divide letters to the eye. What
/// has a reading as one letter is none: a circled one, `€`, `£`.
fn is_divider(c: char) -> bool {
    use GeneralCategory as Category;
    if c.is_ascii() || matches!(c, '€' | '£') {
        return false;
    }
    match CodePointMapData::<GeneralCategory>::new().get(c) {
        Category::MathSymbol | Category::CurrencySymbol | Category::ModifierSymbol | Category::PrivateUse => true,
        Category::OtherSymbol | Category::OtherNumber => {
            letters_within(c).is_none_or(|mut within| within.next().is_none_or(|c| !c.is_alphabetic()) || within.next().is_some())
        }
        _ => matches!(c, '†' | '‡' | '་' | char::REPLACEMENT_CHARACTER) || is_mark(c),
    }
}

/// Signs that Unicode calls letters and that stand between letters of words only to divide them: modifier letters, the Arabic and Japanese marks that lengthen.
pub(super) fn is_mark(c: char) -> bool {
    matches!(c, '\u{2b9}'..='\u{2df}' | '\u{2e5}'..='\u{2ff}' | '\u{640}' | '\u{30fc}')
}

/// Letters whose words are looked at for what divides them.
pub(super) fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic() || (('\u{c0}'..'\u{250}').contains(&c) && c.is_alphabetic())
}

/// The text as it is shown where controls make parts of it run from right to left; `None` without one that can.
///
/// An override turns letters around. An embedding or an isolate leaves Latin words as they are and turns around the order of what stands within it, so that letters which are each in an
/// isolate of their own, or between right-to-left marks, are shown backwards too. Only the whole algorithm (Unicode Standard Annex 9) tells; paragraphs run from left to right, as they do
/// in pages that say nothing.
fn displayed(text: &str) -> Option<String> {
    /// That can begin such a part: right-to-left embedding, override and isolate, and the isolate that goes by its first strong letter, which may be a mark.
    const TURNING: [char; 4] = ['\u{202b}', '\u{202e}', '\u{2067}', '\u{2068}'];
    if !text.contains(TURNING) {
        return None;
    }
    let bidi = BidiInfo::new(text, Some(Level::ltr()));
    let mut out = String::with_capacity(text.len());
    for paragraph in &bidi.paragraphs {
        let shown: Vec<char> = bidi.reorder_line(paragraph, paragraph.range.clone()).chars().collect();
        push_read(&shown, &mut out);
    }
    Some(out)
}

/// Adds a line that is given in the order of its places from the left, in the order in which it is read: right-to-left words from their right.
fn push_read(shown: &[char], out: &mut String) {
    let is_rtl = |c: &char| c.is_alphabetic() && matches!(bidi_class(*c), BidiClass::R | BidiClass::AL);
    let is_mark = |c: &char| bidi_class(*c) == BidiClass::NSM;
    let is_digit = |c: &char| matches!(bidi_class(*c), BidiClass::EN | BidiClass::AN);
    let mut at = 0;
    while let Some(found) = shown[at..].iter().position(is_rtl) {
        // Up to the last such letter before one that runs from left to right. A mark stands left of its letter here.
        let first = at + found - shown[at..at + found].iter().rev().take_while(|c| is_mark(c)).count();
        let words = shown[at + found..].iter().take_while(|c| bidi_class(**c) != BidiClass::L);
        let length = words.enumerate().filter(|(_, c)| is_rtl(c)).last().map_or(1, |(place, _)| place + 1);
        let end = at + found + length;
        out.extend(&shown[at..first]);
        let mut reading: Vec<char> = shown[first..end].iter().rev().copied().collect();
        // Numbers run from left to right within them.
        reading.chunk_by_mut(|a, b| is_digit(a) && is_digit(b)).for_each(<[char]>::reverse);
        out.extend(reading);
        at = end;
    }
    out.extend(&shown[at..]);
}

fn is_plain_letter(c: char) -> bool {
    c.is_alphabetic() && !is_raised(c)
}

/// The compatibility decomposition of what holds letters or digits; punctuation (`…`, `″`) stays as people write it.
fn letters_within(c: char) -> Option<impl Iterator<Item = char>> {
    let decomposed = || NFKD.normalize_iter(iter::once(c));
    decomposed().any(char::is_alphanumeric).then(decomposed)
}

/// Emoji, and every other symbol from the arrows on; Braille is a script, and what stands for broken bytes may have been one.
fn is_pictograph(c: char) -> bool {
    let set = CodePointSetData::new::<ExtendedPictographic>().contains(c) || CodePointSetData::new::<EmojiModifier>().contains(c);
    let symbol = CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::OtherSymbol;
    c >= '\u{2190}' && !matches!(c, '\u{2801}'..='\u{28ff}' | char::REPLACEMENT_CHARACTER) && (set || symbol)
}

/// The text with a [`GAP`] for each spelling of a control token; `None` when there is none.
pub(super) fn without_control_tokens(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut read = 0;
    let mut from = 0;
    while let Some(at) = text[from..].find(['[', '<']).map(|at| from + at) {
        let Some(length) = control_token(&text[at..]) else {
            from = at + 1;
            continue;
        };
        out.push_str(&text[read..at]);
        out.push(GAP);
        (read, from) = (at + length, at + length);
    }
    (read > 0).then(|| out + &text[read..])
}

/// Bytes of the control token that `text` begins with.
fn control_token(text: &str) -> Option<usize> {
    let fits = |token: &&&str| text.get(..token.len()).is_some_and(|start| start.eq_ignore_ascii_case(token));
    let named = || CONTROL_TOKENS.iter().find(fits).map(|token| token.len());
    let barred = || {
        let inner = text.strip_prefix("<|")?;
        let end = inner.char_indices().take(LONGEST_CONTROL_TOKEN).take_while(|(_, c)| !c.is_whitespace()).find(|(_, c)| *c == '|')?.0;
        inner[end..].starts_with("|>").then_some(end + 4)
    };
    named().or_else(barred)
}
