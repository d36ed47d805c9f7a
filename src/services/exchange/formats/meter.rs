//! Reading with a bound: how far a reader has come, and how much it may take in before the next record.

use std::{
    cell::Cell,
    io::{self, BufRead, Read},
    rc::Rc,
};

use super::Place;

/// Bytes between two records, or of one token: sixteen times a long embedding's text. More is no list of hashes.
pub(super) const LONGEST: u64 = 1 << 20;

#[derive(Default)]
struct State {
    bytes: Cell<u64>,
    lines: Cell<u64>,
    since: Cell<u64>,
}

/// Where a [`Metered`] reader is.
#[derive(Clone, Default)]
pub(super) struct Meter(Rc<State>);

impl Meter {
    /// What was read so far, as a place for people: the line that the next byte belongs to.
    pub fn place(&self) -> Place {
        Place { line: self.0.lines.get() + 1, byte: self.0.bytes.get() }
    }

    /// A record is done; the next one may be as long.
    pub fn reset(&self) {
        self.0.since.set(0);
    }

    fn advance(&self, taken: &[u8]) {
        let State { bytes, lines, since } = &*self.0;
        bytes.set(bytes.get() + taken.len() as u64);
        since.set(since.get() + taken.len() as u64);
        lines.set(lines.get() + taken.iter().filter(|byte| **byte == b'\n').count() as u64);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.since.get() <= LONGEST {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, TooLong))
    }
}

/// More than [`LONGEST`] bytes without a record.
#[derive(Debug, thiserror::Error)]
#[error("more than {LONGEST} bytes belong to one record")]
pub(super) struct TooLong;

/// A reader that counts, and that ends with an error where one record is too long.
pub(super) struct Metered<R> {
    inner: R,
    meter: Meter,
}

impl<R> Metered<R> {
    pub fn new(inner: R) -> (Self, Meter) {
        let meter = Meter::default();
        (Self { inner, meter: meter.clone() }, meter)
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.meter.check()?;
        let read = self.inner.read(buffer)?;
        self.meter.advance(&buffer[..read]);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Metered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.meter.check()?;
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Ok(buffer) = self.inner.fill_buf() {
            self.meter.advance(&buffer[..amount.min(buffer.len())]);
        }
        self.inner.consume(amount);
    }
}
