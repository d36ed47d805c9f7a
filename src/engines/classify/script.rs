//! Whether a text is in a script that a model reads.

use icu_properties::{
    CodePointMapData, PropertyParser,
    props::{GeneralCategory, Script},
};

/// Stands where bytes were no text.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// The scripts that a model's manifest names; none named means that any may be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scripts(Vec<Script>);

impl Scripts {
    /// From ISO 15924's codes, as Unicode's `Script` property has them: `Latn`, `Cyrl`.
    ///
    /// # Errors
    /// In words, with the code that is none.
    pub(super) fn parse(codes: &[String]) -> Result<Self, String> {
        let script = |code: &String| {
            let known = (code.len() == 4).then(|| PropertyParser::<Script>::new().get_strict(code)).flatten();
            known.ok_or_else(|| format!("`{code}` is no script: take ISO 15924's four letters, e.g. Latn, Cyrl, Arab"))
        };
        codes.iter().map(script).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a character is a letter that nobody taught the model: of another script, of no script at all, or what stands for broken bytes.
    pub(super) fn is_foreign(&self, c: char) -> bool {
        if c.is_ascii() {
            return false;
        }
        if c == REPLACEMENT || matches!(category(c), GeneralCategory::PrivateUse | GeneralCategory::Unassigned) {
            return true;
        }
        let script = CodePointMapData::<Script>::new().get(c);
        let written = c.is_alphabetic() || script == Script::Braille;
        written && !self.0.is_empty() && !matches!(script, Script::Common | Script::Inherited) && !self.0.contains(&script)
    }

    /// Whether most letters of a text are foreign.
    pub(super) fn mostly_foreign(&self, text: &str) -> bool {
        let (mut letters, mut foreign) = (0_usize, 0_usize);
        for c in text.chars() {
            let other = self.is_foreign(c);
            foreign += usize::from(other);
            letters += usize::from(other || c.is_alphabetic());
        }
        foreign * 2 > letters
    }
}

fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_foreign_when_most_of_its_letters_are() {
        let latin = Scripts::parse(&["Latn".to_owned()]).unwrap();
        for text in ["", "hello", "héllo wörld", "4 + 4 = 8", "😘😘", "hello there Анна", "100 ₽", "hello \u{fffd}", "naïve façade Ω"]
        {
            assert!(!latin.mostly_foreign(text), "{text}");
        }
        for text in ["ዕድሜህ ስንት ነው", "привет", "你好吗", "hi, привет", "مرحبا", "\u{e000}\u{e001}", "\u{fffd}\u{fffd}\u{fffd}a", "⠓⠑⠇⠇⠕"]
        {
            assert!(latin.mostly_foreign(text), "{text}");
        }
        assert!(!Scripts::default().mostly_foreign("привет") && Scripts::default().mostly_foreign("\u{e000}"));
        assert!(Scripts::parse(&["Latin".to_owned()]).unwrap_err().contains("ISO 15924"));
        assert!(Scripts::parse(&["Xxxx".to_owned()]).is_err() && Scripts::parse(&["latn".to_owned()]).is_err());
    }
}
