//! Bytes for a decoder that nobody can stop: they end at the deadline.

use zune_core::bytestream::{ZByteIoError, ZByteReaderTrait, ZCursor, ZSeekFrom};

use super::super::work::Work;

/// Reads between two looks at the clock: a quarter of a megabyte, or some 5 ms.
const READS: u32 = 1 << 16;

/// A cursor that gives nothing more once the deadline has passed.
pub(super) struct Watched<'a> {
    bytes: ZCursor<&'a [u8]>,
    work: &'a Work,
    /// Reads until the next look at the clock.
    left: u32,
    ended: bool,
}

impl<'a> Watched<'a> {
    pub(super) fn new(bytes: ZCursor<&'a [u8]>, work: &'a Work) -> Self {
        Self { bytes, work, left: READS, ended: false }
    }

    #[inline(always)]
    fn look(&mut self) -> Result<(), ZByteIoError> {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => (self.left, self.ended) = (READS, self.work.is_over()),
        }
        if self.ended { Err(ZByteIoError::Generic("the deadline passed")) } else { Ok(()) }
    }
}

impl ZByteReaderTrait for Watched<'_> {
    #[inline(always)]
    fn read_byte_no_error(&mut self) -> u8 {
        if self.look().is_ok() { self.bytes.read_byte_no_error() } else { 0 }
    }

    #[inline(always)]
    fn read_exact_bytes(&mut self, out: &mut [u8]) -> Result<(), ZByteIoError> {
        self.look()?;
        self.bytes.read_exact_bytes(out)
    }

    fn read_bytes(&mut self, out: &mut [u8]) -> Result<usize, ZByteIoError> {
        self.look()?;
        self.bytes.read_bytes(out)
    }

    fn peek_bytes(&mut self, out: &mut [u8]) -> Result<usize, ZByteIoError> {
        self.look()?;
        self.bytes.peek_bytes(out)
    }

    fn peek_exact_bytes(&mut self, out: &mut [u8]) -> Result<(), ZByteIoError> {
        self.look()?;
        self.bytes.peek_exact_bytes(out)
    }

    fn z_seek(&mut self, to: ZSeekFrom) -> Result<u64, ZByteIoError> {
        self.bytes.z_seek(to)
    }

    #[inline(always)]
    fn is_eof(&mut self) -> Result<bool, ZByteIoError> {
        if self.ended { Err(ZByteIoError::Generic("the deadline passed")) } else { self.bytes.is_eof() }
    }

    fn z_position(&mut self) -> Result<u64, ZByteIoError> {
        self.bytes.z_position()
    }

    fn read_remaining(&mut self, sink: &mut Vec<u8>) -> Result<usize, ZByteIoError> {
        self.look()?;
        self.bytes.read_remaining(sink)
    }
}
