//! Text as it comes in: bytes that may be no UTF-8, JSON strings that may hold half a surrogate.
//!
//! Nobody may keep a text from being scored by half an emoji, so what is no character becomes U+FFFD, and [`Text::repaired`] says so. This is for texts and authors alone:
//! identifiers are refused instead, because a changed one names somebody else.
//!
//! ```
//! use nightlight::domain::text::Text;
//!
//! let cut = Text::from_bytes(b"ok \xf0\x9f".to_vec(), None);
//! assert_eq!((cut.text.as_str(), cut.repaired), ("ok \u{fffd}", true));
//! // In JSON, pairs stay pairs, and an escaped backslash is no escape.
//! let json: Text = serde_json::from_slice(br#""\ud83d \ud83d\ude00 \\ud83d""#).unwrap();
//! assert_eq!((json.text.as_str(), json.repaired), ("\u{fffd} \u{1f600} \\ud83d", true));
//! ```

use std::fmt;

use encoding_rs::{CoderResult, Encoding, REPLACEMENT, UTF_8};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

use super::pace;

/// The byte order mark of UTF-8. Programs write it before JSON, whose grammar has no place for it.
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// A text, and whether anything of it was replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    pub text: String,
    /// Some bytes were no character, or an escape was half a surrogate: U+FFFD stands for each.
    pub repaired: bool,
}

impl Text {
    /// Reads bytes as `charset` (a label of the [Encoding Standard](https://encoding.spec.whatwg.org/#names-and-labels)), without one as UTF-8.
    ///
    /// A declared charset is more often some library's default than a truth. So bytes that are UTF-8, and more than ASCII, are UTF-8 whatever 8-bit charset was declared, and an
    /// unknown label means UTF-8. UTF-16 is also told by its byte order mark, unless what follows is a text already: two bytes in front of a text must not hide it.
    pub fn from_bytes(bytes: Vec<u8>, charset: Option<&str>) -> Self {
        let declared = charset.and_then(|label| Encoding::for_label(label.as_bytes())).filter(|encoding| *encoding != REPLACEMENT);
        let encoding = declared.or_else(|| marked_utf16(&bytes)).unwrap_or(UTF_8);
        if encoding == UTF_8 {
            return Self::from_utf8(bytes);
        }
        // Only what is more than ASCII tells: ISO-2022-JP is written in ASCII's bytes, and of ASCII both readings are the same.
        if encoding.is_ascii_compatible() && !bytes.is_ascii() {
            return match String::from_utf8(bytes) {
                Ok(text) => Self { text, repaired: false },
                Err(error) => Self::decoded(encoding, error.as_bytes()),
            };
        }
        Self::decoded(encoding, &bytes)
    }

    fn decoded(encoding: &'static Encoding, bytes: &[u8]) -> Self {
        let (mut decoder, mut text, mut repaired) = (encoding.new_decoder(), String::with_capacity(bytes.len()), false);
        let mut part = String::with_capacity(decoder.max_utf8_buffer_length(pace::PIECE.min(bytes.len())).unwrap_or(bytes.len()));
        let mut left = bytes.len();
        for mut piece in pace::pieces(bytes) {
            left -= piece.len();
            loop {
                let (result, read, wrong) = decoder.decode_to_string(piece, &mut part, left == 0);
                text.push_str(&part);
                part.clear();
                repaired |= wrong;
                piece = piece.get(read..).unwrap_or_default();
                if result == CoderResult::InputEmpty {
                    break;
                }
            }
        }
        Self { text, repaired }
    }

    /// UTF-8 as it should be is taken over without a copy.
    fn from_utf8(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self { text, repaired: false },
            Err(error) => Self { text: replaced(error.as_bytes()), repaired: true },
        }
    }
}

/// UTF-16, if its byte order mark stands in front of what is no text otherwise.
fn marked_utf16(bytes: &[u8]) -> Option<&'static Encoding> {
    let (encoding, mark) = Encoding::for_bom(bytes).filter(|(encoding, _)| *encoding != UTF_8)?;
    let rest = bytes.get(mark..)?;
    let is_text = std::str::from_utf8(rest).is_ok_and(|text| !text.contains('\0'));
    (!is_text).then_some(encoding)
}

/// U+FFFD for each part that is no UTF-8 (as the Encoding Standard counts them), and one for each half of a surrogate pair.
fn replaced(mut bytes: &[u8]) -> String {
    let (mut text, mut pause) = (String::with_capacity(bytes.len()), pace::PIECE);
    while let Some(chunk) = bytes.utf8_chunks().next() {
        text.push_str(chunk.valid());
        bytes = bytes.get(chunk.valid().len()..).unwrap_or_default();
        let wrong = match bytes {
            // How JSON's escapes and Java's strings bring one: three bytes that would be three errors.
            [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..] => 3,
            _ => chunk.invalid().len(),
        };
        if wrong > 0 {
            text.push(char::REPLACEMENT_CHARACTER);
        }
        bytes = bytes.get(wrong..).unwrap_or_default();
        if text.len() >= pause {
            if pace::give_way().is_err() {
                break;
            }
            pause = text.len() + pace::PIECE;
        }
    }
    text
}

impl<'de> Deserialize<'de> for Text {
    /// From a string whose bytes the format hands over as they are; `serde_json` does so for [`Deserializer::deserialize_byte_buf`], halves of surrogates included.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                self.visit_string(text.to_owned())
            }
            fn visit_string<E: Error>(self, text: String) -> Result<Text, E> {
                Ok(Text { text, repaired: false })
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text::from_utf8(bytes.to_vec()))
            }
        }
        deserializer.deserialize_byte_buf(TextVisitor)
    }
}

/// JSON without a byte order mark in front.
pub fn unmarked(json: &[u8]) -> &[u8] {
    json.strip_prefix(UTF8_MARK).unwrap_or(json)
}

/// The place of a control character that stands in a string of sound JSON as it is, where JSON wants an escape. A string that is read as [`Text`] may have any.
pub fn bare_control(json: &[u8]) -> Option<usize> {
    // Without a branch, so that the compiler takes many bytes at once: most JSON has no control characters at all.
    if !pace::pieces(json).any(|piece| piece.iter().fold(false, |found, byte| found | (*byte < b' '))) {
        return None;
    }
    let (mut in_string, mut escaped) = (false, false);
    let mut is_bare = |byte: &u8| {
        let bare = in_string && *byte < b' ';
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ => {}
        }
        bare
    };
    pace::pieces(json).enumerate().find_map(|(at, piece)| piece.iter().position(&mut is_bare).map(|place| at * pace::PIECE + place))
}

/// Whether JSON may hold more values than that: it has as many commas and opening brackets outside its strings.
pub fn has_more_values(json: &[u8], most: usize) -> bool {
    let begins = |byte: &u8| matches!(byte, b',' | b'[' | b'{');
    // Without a branch, and with those inside strings: few bodies have so many.
    if pace::pieces(json).flatten().map(|byte| usize::from(begins(byte))).sum::<usize>() <= most {
        return false;
    }
    let (mut in_string, mut escaped) = (false, false);
    let outside = pace::pieces(json).flatten().filter(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ => {}
        }
        !in_string && begins(byte)
    });
    outside.count() > most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], charset: Option<&str>) -> (String, bool) {
        let Text { text, repaired } = Text::from_bytes(bytes.to_vec(), charset);
        (text, repaired)
    }

    fn kept(text: &str) -> (String, bool) {
        (text.to_owned(), false)
    }

    fn mended(text: &str) -> (String, bool) {
        (text.to_owned(), true)
    }

    #[test]
    fn bytes_that_are_no_utf8_become_one_replacement_each() {
        assert_eq!(read("Grüße".as_bytes(), None), kept("Grüße"));
        assert_eq!(read(b"", None), kept(""));
        assert_eq!(read("\u{feff}a\u{fffd}".as_bytes(), None), kept("\u{feff}a\u{fffd}"));
        for (bytes, text) in [
            (&b"how old are you? \xf0\x9f"[..], "how old are you? \u{fffd}"),
            (b"\xff", "\u{fffd}"),
            (b"\xc3\x28", "\u{fffd}("),
            (b"a\xed\xa0\xbdb", "a\u{fffd}b"),
            (b"\xed\xa0\xbd\xed\xb8\x80", "\u{fffd}\u{fffd}"),
            (b"\xed\xa0", "\u{fffd}\u{fffd}"),
            (b"\x80\x80a\xc0", "\u{fffd}\u{fffd}a\u{fffd}"),
        ] {
            assert_eq!(read(bytes, None), mended(text), "{bytes:x?}");
        }
    }

    #[test]
    fn replacing_is_the_standard_librarys_but_for_surrogates() {
        // Every sequence of three bytes out of the classes that UTF-8 knows.
        let classes = [b'a', 0x80, 0x9f, 0xa0, 0xbf, 0xc0, 0xc3, 0xe0, 0xe2, 0xef, 0xf0, 0xf4, 0xf5, 0xff];
        for first in classes {
            for second in classes {
                for third in classes {
                    let bytes = [first, second, third];
                    assert_eq!(replaced(&bytes), String::from_utf8_lossy(&bytes), "{bytes:x?}");
                }
            }
        }
    }

    /// A long text is read in pieces, and characters lie across their ends.
    #[test]
    fn a_long_text_is_read_as_a_whole_one() {
        for (label, unit) in [
            ("utf-16le", &b"a\x3d\xd8\x00\xde"[..]),
            ("shift_jis", b"\x82\xa0a\x80"),
            ("iso-2022-jp", b"\x1b$B$\"\x1b(Ba"),
            ("gb18030", b"\x81\x30\x81\x30\xff"),
        ] {
            for shift in 0..5 {
                let bytes = [&b"abcde"[..shift], &unit.repeat(pace::PIECE / unit.len() * 2 + 1)].concat();
                let (text, _, repaired) = Encoding::for_label(label.as_bytes()).unwrap().decode(&bytes);
                let read = Text::from_bytes(bytes.clone(), Some(label));
                assert!((&*read.text, read.repaired) == (&*text, repaired), "{label}, {shift}");
            }
        }
    }

    #[test]
    fn a_declared_charset_is_believed_unless_the_bytes_are_utf8() {
        assert_eq!(read(b"Gr\xfc\xdfe", Some("ISO-8859-1")), kept("Grüße"));
        assert_eq!(read("Grüße".as_bytes(), Some("iso-8859-1")), kept("Grüße"));
        assert_eq!(read("Grüße".as_bytes(), Some("us-ascii")), kept("Grüße"));
        assert_eq!(read(b"\x82\xa0", Some("shift_jis")), kept("あ"));
        assert_eq!(read(b"\x1b$B$\"\x1b(B", Some("iso-2022-jp")), kept("あ"));
        assert_eq!(read(b"h\0i\0", Some("utf-16le")), kept("hi"));
        assert_eq!(read(b"h\0i", Some("utf-16le")), mended("h\u{fffd}"));
        for unknown in ["utf-7", "klingon", "", "hz-gb-2312"] {
            assert_eq!(read(b"plain \xff", Some(unknown)), mended("plain \u{fffd}"), "{unknown}");
        }
    }

    #[test]
    fn utf16_is_told_by_its_mark_and_two_bytes_hide_no_text() {
        assert_eq!(read(b"\xff\xfeh\0i\0", None), kept("hi"));
        assert_eq!(read(b"\xfe\xff\0h\0i", None), kept("hi"));
        assert_eq!(read(b"\xff\xfehow old are you?", None), mended("\u{fffd}\u{fffd}how old are you?"));
    }

    #[test]
    fn escapes_of_json_are_repaired_as_they_are_read() {
        let read = |json: &[u8]| serde_json::from_slice::<Text>(json).map(|Text { text, repaired }| (text, repaired));
        for (json, text) in [
            (&br#""ok \ud83d""#[..], "ok \u{fffd}"),
            (br#""\ud83dx""#, "\u{fffd}x"),
            (br#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (br#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (br#""\ud83d\n""#, "\u{fffd}\n"),
            (br#""\ud83d\u0041""#, "\u{fffd}A"),
            (b"\"\xff\"", "\u{fffd}"),
        ] {
            assert_eq!(read(json).unwrap(), mended(text), "{}", String::from_utf8_lossy(json));
        }
        for (json, text) in
            [(&br#""\ud83d\ude00""#[..], "\u{1f600}"), (br#""\\ud83d""#, "\\ud83d"), (br#""\ufffd\u0000""#, "\u{fffd}\0"), (br#""""#, "")]
        {
            assert_eq!(read(json).unwrap(), kept(text));
        }
        for wrong in [&b"7"[..], b"null", b"[1]", b"{}", br#""\ud8""#, br#""\x""#, br#""open"#] {
            assert!(read(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn control_characters_are_found_in_strings_alone() {
        assert_eq!(bare_control(b"{\n\t\"a\": \"b\"\r\n}"), None);
        assert_eq!(bare_control(br#"{"a":"b\n\"c\\"}"#), None);
        assert_eq!(bare_control(b"{\"a\":\"b\nc\"}"), Some(7));
        assert_eq!(bare_control(b"[\"\\\"\n\"]"), Some(4));
        assert_eq!(bare_control(b"[\"\\\\\"\n]"), None);
        assert_eq!(unmarked(b"\xef\xbb\xbf{}"), b"{}");
    }

    #[test]
    fn values_are_counted_outside_strings() {
        let has_more = |json: &str, most| has_more_values(json.as_bytes(), most);
        assert!(has_more("[[1,2],{}]", 4) && !has_more("[[1,2],{}]", 5));
        assert!(!has_more(r#"{"a,[{,\",,\\":",,,,"}"#, 1));
        assert!(has_more(r#"{"a,\\":1,"b":2}"#, 1));
    }
}
