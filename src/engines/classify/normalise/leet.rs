//! Digits and signs in the place of letters: `h3ll0`, `s3nd`, `$ecret`.
//!
//! A run of letters, digits and signs is read as letters only if the vocabulary has the word that comes out. What people write with digits in
//! earnest stays: `3pm`, `2nd`, `5star`, `room5`, `10.30`, `me@home.net`.

use super::{
    GAP,
    words::{LONGEST_WORD, Vocabulary, cost, known, words_of},
};

/// Signs of one run that can be read in two ways, at most; further ones are read in their first.
const MOST_DOUBTS: u32 = 3;

/// Single letters and digits in a row that spell a word, at least.
const FEWEST_CLOSED_UP: usize = 4;

/// `ln` of the rank up to which a word counts as common. In vocabularies of 30,000 words these are about the first 6,000.
const COMMON: f32 = 8.7;

/// What may stand behind a number: ordinals, times, units.
const BEHIND_NUMBERS: [&str; 40] = [
    "st", "nd", "rd", "th", "am", "pm", "km", "kg", "cm", "mm", "ml", "gb", "mb", "kb", "tb", "ft", "in", "oz", "lb", "lbs", "mph", "kmh",
    "hr", "hrs", "min", "mins", "sec", "secs", "ms", "yo", "yr", "yrs", "px", "fps", "hz", "khz", "mhz", "ghz", "kcal", "ish",
];

/// The letters that a digit or sign stands for, the likelier first.
fn readings(c: char) -> &'static str {
    match c {
        '0' => "o",
        '1' => "il",
        '3' | '€' => "e",
        '4' | '@' => "a",
        '5' | '$' => "s",
        '6' => "gb",
        '7' | '+' => "t",
        '8' => "b",
        '9' => "g",
        '!' => "i",
        '|' => "li",
        '£' => "l",
        _ => "",
    }
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic()
}

fn belongs(c: char) -> bool {
    c.is_ascii_alphanumeric() || !readings(c).is_empty()
}

/// The text with words where digits and signs stood for letters; `None` when there is nothing to read so.
pub(super) fn spelled_out(text: &str, vocabulary: &dyn Vocabulary) -> Option<String> {
    let close = closed_up(text, vocabulary);
    let read = within_words(close.as_deref().unwrap_or(text), vocabulary);
    read.or(close)
}

/// Single letters and digits in a row with one sign or space between them (`h 3 l l 0`), closed up where they spell a word.
fn closed_up(text: &str, vocabulary: &dyn Vocabulary) -> Option<String> {
    let is_single = |c: char| is_letter(c) || (c.is_ascii_digit() && !readings(c).is_empty());
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let single_at = |at: usize| chars.get(at).is_some_and(|(_, c)| is_single(*c));
    let alone = |at: usize| single_at(at) && !chars.get(at + 1).is_some_and(|(_, c)| c.is_alphanumeric());
    let mut out = String::new();
    let (mut read, mut at) = (0, 0);
    while at < chars.len() {
        let starts = alone(at) && (at == 0 || !chars[at - 1].1.is_alphanumeric());
        let mut last = at;
        while starts && alone(last + 2) {
            last += 2;
        }
        let run: String = chars[at..=last].iter().step_by(2).map(|(_, c)| *c).collect();
        if run.len() >= FEWEST_CLOSED_UP
            && let Some(reading) = reading(&run, vocabulary)
        {
            out.push_str(&text[read..chars[at].0]);
            out.push_str(&reading.word);
            read = chars[last].0 + 1;
        }
        at = last + 1;
    }
    (read > 0).then(|| out + &text[read..])
}

fn within_words(text: &str, vocabulary: &dyn Vocabulary) -> Option<String> {
    let runs: Vec<&str> = runs(text).collect();
    // Of two or three characters (`m3`, `ps4`) little can be said, unless the message writes longer words so too; of one (`1`), unless several.
    let sure = runs.iter().filter(|run| reading(run, vocabulary).is_some_and(|reading| reading.sure)).count();
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    for run in runs {
        let word = match run {
            "1" if sure > 1 => Some("i".to_owned()),
            "4" if sure > 1 => Some("a".to_owned()),
            _ => reading(run, vocabulary).filter(|reading| reading.sure || sure > 0).map(|reading| reading.word),
        };
        changed |= word.is_some();
        out.push_str(word.as_deref().unwrap_or(run));
    }
    changed.then_some(out)
}

/// What a run is written for.
struct Reading {
    word: String,
    /// Whether the run says so by itself.
    sure: bool,
}

/// Runs of letters, digits and signs without the signs around them, and what is between them.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        // Only within a word, or before it where it is written for a letter.
        let begins = |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '$' | '€' | '£');
        let end = if begins(first) {
            let run = &rest[..rest.find(|c: char| !belongs(c)).unwrap_or(rest.len())];
            // Signs alone are taken as a whole, so that each is looked at once.
            Some(run.trim_end_matches(['!', '|', '+', '@', '€', '£']).len()).filter(|end| *end > 0).unwrap_or(run.len())
        } else {
            rest.find(begins).unwrap_or(rest.len())
        };
        let (run, after) = rest.split_at(end);
        rest = after;
        Some(run)
    })
}

/// The word that a run is written for, if it is one.
fn reading(run: &str, vocabulary: &dyn Vocabulary) -> Option<Reading> {
    let letters = run.chars().filter(|c| is_letter(*c)).count();
    let length = run.chars().count();
    if letters == 0 || letters == length || length < 2 || run.contains(GAP) || run.chars().any(|c| !is_letter(c) && readings(c).is_empty())
    {
        return None;
    }
    if in_earnest(run, vocabulary) {
        return None;
    }
    if length <= LONGEST_WORD {
        let best = candidates(run).into_iter().filter_map(|word| cost(vocabulary, &word).map(|cost| (cost, word)));
        if let Some((cost, word)) = best.min_by(|(a, _), (b, _)| a.total_cmp(b)) {
            // Of three characters much is a word in some way.
            return Some(Reading { word, sure: length > 3 || (length == 3 && cost < COMMON) });
        }
    }
    // Several words in one: each of them must be known and no shred.
    let whole = candidates(run).into_iter().next()?;
    let words = words_of(&whole, vocabulary);
    let sound = words.iter().all(|word| known(vocabulary, word)) && words.iter().map(String::len).sum::<usize>() >= 3 * words.len();
    (sound && length >= 6 && letters * 2 >= length).then(|| Reading { word: words.join(" "), sure: true })
}

/// Numbers with units, words with numbers, addresses.
fn in_earnest(run: &str, vocabulary: &dyn Vocabulary) -> bool {
    let known_word = |word: &str| word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_alphabetic()) && known(vocabulary, word);
    let behind = run.trim_start_matches(|c: char| c.is_ascii_digit());
    if behind.len() < run.len()
        && (behind.chars().count() == 1 || BEHIND_NUMBERS.contains(&behind.to_ascii_lowercase().as_str()) || known_word(behind))
    {
        return true;
    }
    let before = run.trim_end_matches(|c: char| c.is_ascii_digit());
    if before.len() < run.len() && known_word(before) {
        return true;
    }
    // A mention, or the name and the server of an address.
    run.strip_prefix('@').is_some_and(|name| name.chars().all(is_letter) && known_word(name))
        || run.split_once('@').is_some_and(|(name, server)| known_word(name) && server.len() > 2)
}

/// Every way to read the run, the likeliest first.
fn candidates(run: &str) -> Vec<String> {
    let doubts = run.chars().filter(|c| readings(*c).len() > 1).count() as u32;
    (0..1_u32 << doubts.min(MOST_DOUBTS))
        .map(|choice| {
            let mut doubt = 0;
            let read = |c: char| {
                let readings = readings(c).as_bytes();
                match readings {
                    [] => c,
                    [only] => char::from(*only),
                    [first, second, ..] => {
                        let other = doubt < MOST_DOUBTS && choice >> doubt & 1 == 1;
                        doubt += 1;
                        char::from(if other { *second } else { *first })
                    }
                }
            };
            run.chars().map(read).collect()
        })
        .collect()
}
