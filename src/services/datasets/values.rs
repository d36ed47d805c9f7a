//! What the cells of a row may say, for all formats alike.

/// A score: any finite number in decimal notation, parsed to the nearest double.
pub(super) fn score(text: &[u8]) -> Result<f64, String> {
    let text = text.trim_ascii();
    match fast_float2::parse::<f64, _>(text) {
        Ok(score) => finite(score),
        Err(_) => Err(format!("the score is {}, which is not a number", shown(text))),
    }
}

/// Refuses NaN and infinities.
pub(super) fn finite(score: f64) -> Result<f64, String> {
    if score.is_finite() { Ok(score) } else { Err(format!("the score is {score}; scores must be finite numbers")) }
}

/// A label: 0, 1, true or false in any case, or 0.0 or 1.0.
pub(super) fn label(text: &[u8]) -> Result<bool, String> {
    match text.trim_ascii() {
        b"0" | b"0.0" => Ok(false),
        b"1" | b"1.0" => Ok(true),
        word if word.eq_ignore_ascii_case(b"false") => Ok(false),
        word if word.eq_ignore_ascii_case(b"true") => Ok(true),
        other => Err(not_a_label(shown(other))),
    }
}

/// The same of a number.
pub(super) fn label_of(number: f64) -> Result<bool, String> {
    if number == 0.0 {
        Ok(false)
    } else if number == 1.0 {
        Ok(true)
    } else {
        Err(not_a_label(number))
    }
}

fn not_a_label(found: impl std::fmt::Display) -> String {
    format!("the label is {found}; labels are 0, 1, true or false")
}

/// A weight in decimal notation.
pub(super) fn weight(text: &[u8]) -> Result<f64, String> {
    let text = text.trim_ascii();
    match fast_float2::parse::<f64, _>(text) {
        Ok(weight) => weight_of(weight),
        Err(_) => Err(format!("the weight is {}, which is not a number", shown(text))),
    }
}

/// Refuses NaN, infinities and negative weights.
pub(super) fn weight_of(weight: f64) -> Result<f64, String> {
    if weight.is_finite() && weight >= 0.0 {
        Ok(weight)
    } else {
        Err(format!("the weight is {weight}; weights must be finite and not negative"))
    }
}

/// Bytes of a cell that an error message shows: enough to find it, and no page of it.
const SHOWN: usize = 40;

/// A cell for an error message.
pub(super) fn shown(text: &[u8]) -> String {
    if text.is_empty() {
        return "empty".to_owned();
    }
    let start = String::from_utf8_lossy(&text[..text.len().min(SHOWN)]);
    let more = if text.len() > SHOWN { "…" } else { "" };
    format!("{:?}{more}", start.trim_end_matches('\u{fffd}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_say_one_thing_or_are_refused() {
        for (text, value) in [("0.5", 0.5), (" -3 ", -3.0), ("1e-3", 0.001), (".5", 0.5), ("1E2", 100.0)] {
            assert_eq!(score(text.as_bytes()), Ok(value), "{text}");
        }
        for text in ["", "nan", "NaN", "inf", "-Infinity", "1e999", "0,5", "0.5x", "0x1p3", "--1", "1 2"] {
            assert!(score(text.as_bytes()).is_err() && weight(text.as_bytes()).is_err(), "{text}");
        }
        for (text, value) in [("0", false), ("1", true), ("TRUE", true), ("False", false), ("1.0", true), ("0.0", false), (" 1 ", true)] {
            assert_eq!(label(text.as_bytes()), Ok(value), "{text}");
        }
        for text in ["", "2", "-1", "yes", "t", "0.5", "10", "nan", "null"] {
            assert!(label(text.as_bytes()).is_err(), "{text}");
        }
        assert!(weight(b"-0.1").is_err() && weight(b"0").is_ok());
        assert!(label_of(0.5).is_err() && label_of(f64::NAN).is_err() && label_of(1.0) == Ok(true));
    }

    #[test]
    fn messages_show_a_little_of_the_cell() {
        assert_eq!(shown(b""), "empty");
        assert_eq!(shown(b"a\"b"), "\"a\\\"b\"");
        assert_eq!(shown(&[b'x'; 100]), format!("\"{}\"…", "x".repeat(40)));
        assert_eq!(shown("é".repeat(40).as_bytes()).matches('é').count(), 20);
    }
}
