//! Files of one thing a line, in constant memory whatever they hold.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use super::Failure;

/// Bytes of the longest line: a type and 64 digits leave ample room for spaces.
const LONGEST_LINE: u64 = 1024;

/// The lines of a file that say something: blank ones and those that begin with # do not.
pub(super) struct Lines {
    reader: Box<dyn BufRead>,
    number: u64,
    buffer: Vec<u8>,
}

impl Lines {
    /// Opens a file; `-` is standard input.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::new(Box::new(BufReader::new(io::stdin()))));
        }
        let file = File::open(path).map_err(|error| Failure::input(format!("cannot read {}: {error}", path.display())))?;
        Ok(Self::new(Box::new(BufReader::with_capacity(1 << 20, file))))
    }

    fn new(reader: Box<dyn BufRead>) -> Self {
        Self { reader, number: 0, buffer: Vec::new() }
    }

    /// Number of the line read last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line without the space around it, or what is wrong with it; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Result<&str, String>>, Failure> {
        let unreadable = |error: io::Error| Failure::failed(format!("reading stopped: {error}; nothing was done"));
        loop {
            self.buffer.clear();
            let read = io::Read::take(&mut self.reader, LONGEST_LINE).read_until(b'\n', &mut self.buffer).map_err(unreadable)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if read as u64 == LONGEST_LINE && self.buffer.last() != Some(&b'\n') {
                self.reader.skip_until(b'\n').map_err(unreadable)?;
                return Ok(Some(Err(format!("longer than {LONGEST_LINE} bytes"))));
            }
            match std::str::from_utf8(&self.buffer).map(trimmed) {
                Err(_) => return Ok(Some(Err("not UTF-8 text".to_owned()))),
                Ok(line) if line.is_empty() || line.starts_with('#') => {}
                Ok(_) => break,
            }
        }
        // Checked above; the borrow checker cannot see that the loop ends with this line.
        Ok(Some(std::str::from_utf8(&self.buffer).map(trimmed).map_err(|_| "not UTF-8 text".to_owned())))
    }
}

/// Files from Windows begin with a byte order mark and end their lines in \r\n.
fn trimmed(line: &str) -> &str {
    line.trim_start_matches('\u{feff}').trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_long_ones_cost_nothing() {
        let text = format!("\u{feff}# list\r\n\r\nmd5 abc\r\n{}\nlast", "a".repeat(5000));
        let mut lines = Lines::new(Box::new(io::Cursor::new(text)));
        assert_eq!(lines.next().unwrap().unwrap(), Ok("md5 abc"));
        assert_eq!(lines.number(), 3);
        assert!(lines.next().unwrap().unwrap().unwrap_err().contains("longer than"));
        assert_eq!(lines.next().unwrap().unwrap(), Ok("last"));
        assert!(lines.next().unwrap().is_none());
        assert_eq!(lines.number(), 5);
    }
}
