//! Letters that look like others: words that mix scripts, or that are Latin in the letters of another script.
//!
//! Which letter looks like which is Unicode's list (Technical Standard 39, `confusables.txt`, from the crate `unicode-security`), asked for the letter and
//! then for its capital: `к` resembles no small letter, but `К` resembles K. A word in one other script is left alone if its letters belong to what is
//! really written in that script: if any word of the message has a letter of that script that resembles no Latin one.

use icu_properties::{CodePointMapData, props::Script};
use unicode_security::confusable_detection::skeleton;

use super::words::{LONGEST_WORD, Vocabulary, known};

/// Small capitals, which Unicode's list holds only where they are like small letters.
const SMALL_CAPITALS: [(char, char); 22] = [
    ('ᴀ', 'a'),
    ('ʙ', 'b'),
    ('ᴄ', 'c'),
    ('ᴅ', 'd'),
    ('ᴇ', 'e'),
    ('ꜰ', 'f'),
    ('ɢ', 'g'),
    ('ʜ', 'h'),
    ('ɪ', 'i'),
    ('ᴊ', 'j'),
    ('ᴋ', 'k'),
    ('ʟ', 'l'),
    ('ᴍ', 'm'),
    ('ɴ', 'n'),
    ('ᴏ', 'o'),
    ('ᴘ', 'p'),
    ('ꞯ', 'q'),
    ('ʀ', 'r'),
    ('ꜱ', 's'),
    ('ᴛ', 't'),
    ('ᴜ', 'u'),
    ('ʏ', 'y'),
];

/// The text with Latin letters where Latin words are disguised; `None` when nothing is to be replaced.
pub(super) fn undisguised(text: &str, vocabulary: &dyn Vocabulary) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let message = Message::of(text);
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    for piece in pieces(text) {
        match message.reading(piece, vocabulary) {
            Some(reading) => {
                out.push_str(&reading);
                changed = true;
            }
            None => out.push_str(piece),
        }
    }
    changed.then_some(out)
}

/// Words and what is between them, in order.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?.is_alphabetic();
        let end = rest.find(|c: char| c.is_alphabetic() != first && !(first && is_mark(c))).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

fn is_mark(c: char) -> bool {
    !c.is_ascii() && script(c) == Script::Inherited
}

fn script(c: char) -> Script {
    if c.is_ascii_alphabetic() { Script::Latin } else { CodePointMapData::<Script>::new().get(c) }
}

/// Letters of these look like no Latin ones; what resembles them are strokes.
fn never_disguises(script: Script) -> bool {
    matches!(script, Script::Han | Script::Hiragana | Script::Katakana | Script::Hangul | Script::Bopomofo)
}

/// What the whole text says about its scripts.
struct Message {
    /// Other scripts in which something is really written.
    genuine: Vec<Script>,
    has_latin: bool,
}

impl Message {
    fn of(text: &str) -> Self {
        let mut message = Self { genuine: Vec::new(), has_latin: false };
        for word in pieces(text) {
            let latin = word.chars().any(|c| c.is_ascii_alphabetic());
            message.has_latin |= latin;
            if latin || word.is_ascii() {
                continue;
            }
            for c in word.chars().filter(|c| c.is_alphabetic()) {
                let script = script(c);
                if !message.genuine.contains(&script) && latin_form(c).is_none() {
                    message.genuine.push(script);
                }
            }
        }
        message
    }

    /// How a word reads in Latin letters, if it is to be read so.
    fn reading(&self, word: &str, vocabulary: &dyn Vocabulary) -> Option<String> {
        if word.is_ascii() || !word.starts_with(char::is_alphabetic) {
            return None;
        }
        let is_other = |c: char| !c.is_ascii() && c.is_alphabetic() && script(c) != Script::Latin;
        if word.chars().any(|c| is_other(c) && never_disguises(script(c))) {
            return None;
        }
        let mixed = word.chars().any(|c| c.is_ascii_alphabetic());
        let others = word.chars().filter(|c| is_other(*c)).count();
        let latin: String = word.chars().map(|c| latin_form(c).map_or_else(|| c.to_string(), |form| form.to_owned())).collect();
        let is_word = || latin.len() <= LONGEST_WORD && known(vocabulary, &latin) && !known(vocabulary, word);
        let wanted = if others == 0 {
            // Strokes and accents are spelling in many languages; phonetic letters and small capitals are not.
            word.chars().any(is_phonetic) || is_word()
        } else if mixed {
            true
        } else {
            let genuine = word.chars().any(|c| self.genuine.contains(&script(c)));
            !genuine && (self.has_latin || is_word())
        };
        (wanted && latin != word).then_some(latin)
    }
}

/// Latin letters that no language's everyday spelling has, or next to none: the phonetic blocks, Latin Extended-C to -G.
fn is_phonetic(c: char) -> bool {
    matches!(c, '\u{250}'..='\u{2af}' | '\u{1d00}'..='\u{1dbf}' | '\u{2c60}'..='\u{2c7f}' | '\u{a720}'..='\u{a7ff}' | '\u{ab30}'..='\u{ab6f}')
}

/// The one or two Latin letters that a letter resembles, without what crosses or crowns them; small letters for small ones.
fn latin_form(c: char) -> Option<String> {
    if c.is_ascii_alphabetic() {
        return Some(c.to_string());
    }
    if !c.is_alphabetic() {
        return None;
    }
    if let Some((_, letter)) = SMALL_CAPITALS.iter().find(|(small, _)| *small == c) {
        return Some(letter.to_string());
    }
    let resembles = |c: char| -> Option<String> {
        let letters: String = skeleton(c.encode_utf8(&mut [0; 4])).filter(|c| !is_mark(*c)).collect();
        ((1..=2).contains(&letters.len()) && letters.bytes().all(|byte| byte.is_ascii_alphabetic())).then_some(letters)
    };
    let single = |mut chars: std::char::ToUppercase| chars.next().filter(|_| chars.next().is_none());
    let own = resembles(c).or_else(|| single(c.to_uppercase()).filter(|capital| *capital != c).and_then(resembles));
    own.map(|letters| match (letters.as_str(), c.is_uppercase()) {
        // Unicode makes I, l and 1 one.
        ("l", true) => "I".to_owned(),
        (_, true) => letters,
        _ => letters.to_ascii_lowercase(),
    })
}
