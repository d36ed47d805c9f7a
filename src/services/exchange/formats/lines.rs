//! HMA's and pytx's local files: one signal a line, `signal_type signal` or bare.
//!
//! A bare signal of 32 hex digits is md5, of 40 sha1, of 64 pdq, unless the caller names another type. Blank lines and lines that begin with `#` say
//! nothing. A line of a type that is not matched here (`raw_text some words`) is skipped and counted.

use std::io::{self, BufRead, Write};

use super::{
    meter::{LONGEST, Metered},
    record::{Bad, Entry, FormatError, Named, Place, Record, Sink, name, signal_type},
    write::Item,
};
use crate::domain::signal::{Signal, SignalType};

pub(super) fn read(input: impl BufRead, default: Option<SignalType>, sink: Sink<'_>) -> Result<(), FormatError> {
    let (mut input, meter) = Metered::new(input);
    let mut buffer = Vec::new();
    loop {
        let place = meter.place();
        meter.reset();
        buffer.clear();
        let taken = io::Read::take(&mut input, LONGEST).read_until(b'\n', &mut buffer).map_err(|error| FormatError::of(error, place))?;
        if taken == 0 {
            return Ok(());
        }
        let entry = if taken as u64 == LONGEST && buffer.last() != Some(&b'\n') {
            skip_line(&mut input, &meter).map_err(|error| FormatError::of(error, place))?;
            Some(Entry::Bad(Bad { place, reason: format!("longer than {LONGEST} bytes") }))
        } else {
            match std::str::from_utf8(&buffer) {
                Err(_) => Some(Entry::Bad(Bad { place, reason: "not UTF-8 text".to_owned() })),
                Ok(text) => line(text.trim_start_matches('\u{feff}').trim(), place, default),
            }
        };
        if let Some(entry) = entry
            && !sink(entry)
        {
            return Ok(());
        }
    }
}

/// Reads to the end of the line without keeping it.
fn skip_line(input: &mut impl BufRead, meter: &super::meter::Meter) -> io::Result<()> {
    loop {
        meter.reset();
        let buffer = input.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let amount = end.map_or(buffer.len(), |at| at + 1);
        input.consume(amount);
        if end.is_some() || amount == 0 {
            return Ok(());
        }
    }
}

fn line(text: &str, place: Place, default: Option<SignalType>) -> Option<Entry> {
    if text.is_empty() || text.starts_with('#') {
        return None;
    }
    let bad = |reason: String| Entry::Bad(Bad { place, reason });
    let typed = text.split_once(char::is_whitespace).map(|(kind, signal)| (signal_type(kind), kind, signal.trim()));
    let parsed = match typed {
        Some((Named::Unmatched, kind, _)) => return Some(Entry::Skipped(name(kind))),
        Some((Named::Matched(kind), _, signal)) => Signal::parse(kind, signal),
        _ => Signal::parse_line(text, default),
    };
    Some(match parsed {
        Ok(signal) => Entry::Record(Box::new(Record::share(place, vec![signal]))),
        Err(error) => bad(error.to_string()),
    })
}

/// One signal a line; what belongs to one item is told apart by nothing, so an import makes an item of each.
pub(super) fn write(item: &Item, out: &mut dyn Write) -> io::Result<()> {
    item.signals.iter().try_for_each(|signal| writeln!(out, "{} {}", signal.kind(), signal.to_text()))
}
