//! The bytes of a file of text on their way to a parser: hashed, counted, and bounded between two records.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{DatasetError, LONGEST_RECORD};

/// Bytes that are asked of the file at once: few calls, and still within the second-level cache.
pub(super) const BUFFER: usize = 256 << 10;

/// What has been read of all files so far.
pub(super) struct Tally<'a> {
    pub digest: Sha256,
    pub done: u64,
    pub progress: &'a mut dyn FnMut(u64),
}

/// A file that is read once from its beginning to its end; a last line that does not end in \n is ended.
pub(super) struct Source<'a, 'b> {
    file: File,
    tally: &'a mut Tally<'b>,
    /// Bytes handed out since the parser last said that a record had ended.
    since_record: usize,
    /// Whether the last byte handed out ended a line.
    line_ended: bool,
}

impl<'a> Tally<'a> {
    pub fn new(progress: &'a mut dyn FnMut(u64)) -> Self {
        Self { digest: Sha256::new(), done: 0, progress }
    }

    pub fn add(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.done += bytes.len() as u64;
        (self.progress)(self.done);
    }
}

impl<'a, 'b> Source<'a, 'b> {
    pub fn open(file: &Path, tally: &'a mut Tally<'b>) -> Result<Self, DatasetError> {
        Ok(Self { file: open(file)?, tally, since_record: 0, line_ended: true })
    }

    /// A record has ended: the next one may again be as long as the longest.
    pub const fn record_ended(&mut self) {
        self.since_record = 0;
    }
}

impl Read for Source<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The parser holds at most one buffer of the record before.
        if self.since_record > LONGEST_RECORD + BUFFER {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a record is longer than {LONGEST_RECORD} bytes; is a quotation mark left open?"),
            ));
        }
        let read = self.file.read(buffer)?;
        let last = read.checked_sub(1).map(|last| buffer[last]);
        if last.is_none() && !self.line_ended && !buffer.is_empty() {
            buffer[0] = b'\n';
            self.line_ended = true;
            return Ok(1);
        }
        self.line_ended = last.map_or(self.line_ended, |last| last == b'\n');
        self.tally.add(&buffer[..read]);
        self.since_record += read;
        Ok(read)
    }
}

/// Opens a file; a folder is an error at once.
pub(super) fn open(path: &Path) -> Result<File, DatasetError> {
    let failed = |error| DatasetError::io(path, error);
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}
