//! Indices as bytes, so that a server starts with reading instead of building.
//!
//! A segment never changes, so it is written once, under a name of its own. What does change, states, the tail, which segments there are, is small and is written as a whole with
//! the bank ([`Bank::write`](super::Bank::write)). Both are columns of numbers as they stand in memory, little end first, and end with the SHA-256 of everything before it. Whoever reads trusts
//! nothing: a length is compared with what is left of the file before memory is taken for it, all places must lie within the segment, and what is damaged, foreign or of another format is
//! refused as a whole. There is no repair: the database has everything.

use std::io::{self, Read, Write};

use bytemuck::{Pod, cast_slice, cast_slice_mut};
use sha2::{Digest, Sha256};

use super::pages::zeros;

/// Raised with every change of the format, of how keys are cut from hashes, and of the buckets of digests.
const FORMAT: u32 = 2;
const MAGIC: [u8; 8] = *b"NLindex\n";
/// Reads as another number where the great end comes first.
const ORDER: u32 = 0x0102_0304;
/// Bytes of the sum at the end.
const SUM: u64 = 32;
/// Bytes that are read, and added to the sum while a cache still holds them.
const PIECE: usize = 1 << 18;
/// Longest name or label.
const LONGEST_TEXT: u64 = 1 << 12;

/// Names a segment; no two ever have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId(uuid::Uuid);

impl SegmentId {
    pub(super) fn new() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl std::fmt::Display for SegmentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl std::str::FromStr for SegmentId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// Why a stored index is of no use. In every case: build it anew from the database.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is not an index of this program")]
    Foreign,
    #[error("it has format {0}, this program has format {FORMAT}")]
    Format(u32),
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

/// What a file holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Bank = 1,
    Segment = 2,
}

/// Where an index is written to.
pub struct Output<'a> {
    to: &'a mut dyn Write,
    sum: Sha256,
}

impl<'a> Output<'a> {
    pub(super) fn new(to: &'a mut dyn Write, content: Content) -> io::Result<Self> {
        let mut output = Self { to, sum: Sha256::new() };
        output.bytes(&MAGIC)?;
        output.bytes(cast_slice(&[ORDER, FORMAT, content as u32, 0]))?;
        Ok(output)
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PIECE) {
            self.sum.update(piece);
            self.to.write_all(piece)?;
        }
        Ok(())
    }

    pub(super) fn number(&mut self, number: i64) -> io::Result<()> {
        self.bytes(cast_slice(&[number]))
    }

    pub(super) fn id(&mut self, id: SegmentId) -> io::Result<()> {
        self.bytes(id.0.as_bytes())
    }

    pub(super) fn text(&mut self, text: &[u8]) -> io::Result<()> {
        self.column(text)
    }

    /// Numbers, after how many they are.
    pub(super) fn column<T: Pod>(&mut self, numbers: &[T]) -> io::Result<()> {
        self.number(numbers.len() as i64)?;
        self.bytes(cast_slice(numbers))
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.to.write_all(&self.sum.finalize())?;
        self.to.flush()
    }
}

/// Where an index is read from.
pub struct Input<'a> {
    from: &'a mut dyn Read,
    /// Bytes before the sum.
    left: u64,
    sum: Sha256,
}

impl<'a> Input<'a> {
    /// Of so many bytes in all.
    pub(super) fn new(from: &'a mut dyn Read, size: u64, content: Content) -> Result<Self, Unreadable> {
        let mut input = Self { from, left: size.saturating_sub(SUM), sum: Sha256::new() };
        let mut magic = [0; MAGIC.len()];
        let mut head = [0u32; 4];
        if size < SUM + (MAGIC.len() + size_of_val(&head)) as u64 {
            return Err(Unreadable::Foreign);
        }
        input.bytes(&mut magic)?;
        input.bytes(cast_slice_mut(&mut head))?;
        match head {
            _ if magic != MAGIC || head[0] != ORDER => Err(Unreadable::Foreign),
            [_, FORMAT, found, _] if found == content as u32 => Ok(input),
            [_, FORMAT, ..] => Err(Unreadable::Foreign),
            [_, format, ..] => Err(Unreadable::Format(format)),
        }
    }

    fn bytes(&mut self, bytes: &mut [u8]) -> Result<(), Unreadable> {
        let rest = self.left.checked_sub(bytes.len() as u64).ok_or(Unreadable::Damaged("it ends too early"))?;
        for piece in bytes.chunks_mut(PIECE) {
            self.from.read_exact(piece)?;
            self.sum.update(piece);
        }
        self.left = rest;
        Ok(())
    }

    pub(super) fn number(&mut self) -> Result<i64, Unreadable> {
        let mut number = [0i64];
        self.bytes(cast_slice_mut(&mut number))?;
        Ok(number[0])
    }

    /// A number of things that take at least a byte each of what is left.
    pub(super) fn count(&mut self) -> Result<usize, Unreadable> {
        let count = self.number()?;
        usize::try_from(count).ok().filter(|count| *count as u64 <= self.left).ok_or(Unreadable::Damaged("a count is too large"))
    }

    pub(super) fn switch(&mut self) -> Result<bool, Unreadable> {
        match self.number()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Unreadable::Damaged("a switch is neither on nor off")),
        }
    }

    pub(super) fn id(&mut self) -> Result<SegmentId, Unreadable> {
        let mut bytes = [0; 16];
        self.bytes(&mut bytes)?;
        Ok(SegmentId(uuid::Uuid::from_bytes(bytes)))
    }

    pub(super) fn text(&mut self) -> Result<Vec<u8>, Unreadable> {
        let len = self.number()?;
        if !(0..=LONGEST_TEXT as i64).contains(&len) {
            return Err(Unreadable::Damaged("a text is too long"));
        }
        let mut text = vec![0; len as usize];
        self.bytes(&mut text)?;
        Ok(text)
    }

    /// A column of exactly this many numbers; memory is taken when the file has as many.
    pub(super) fn column<T: Pod>(&mut self, len: usize) -> Result<Vec<T>, Unreadable> {
        if self.number()? != len as i64 {
            return Err(Unreadable::Damaged("a column has another length than its segment"));
        }
        let size = len.checked_mul(size_of::<T>()).ok_or(Unreadable::Damaged("a column is too long"))?;
        if size as u64 > self.left {
            return Err(Unreadable::Damaged("a column is longer than the file"));
        }
        let mut numbers = zeros::<T>(len);
        self.bytes(cast_slice_mut(&mut numbers))?;
        Ok(numbers)
    }

    /// Only then is anything of it to be used.
    pub(super) fn finish(self) -> Result<(), Unreadable> {
        if self.left > 0 {
            return Err(Unreadable::Damaged("it is longer than its content"));
        }
        let mut sum = [0; SUM as usize];
        self.from.read_exact(&mut sum)?;
        if self.sum.finalize()[..] != sum {
            return Err(Unreadable::Damaged("its checksum is another one"));
        }
        Ok(())
    }
}

/// That all places which lead to a bucket's postings lie within them.
pub(super) fn check_offsets(offsets: &[u32], len: usize) -> Result<(), Unreadable> {
    let right = offsets.first() == Some(&0) && offsets.is_sorted() && offsets.last().is_some_and(|last| *last as usize == len);
    if right { Ok(()) } else { Err(Unreadable::Damaged("buckets do not lie one after the other")) }
}

/// That a largest position, if there is one, is one of `len`.
pub(super) fn check_position(largest: Option<u32>, len: usize) -> Result<(), Unreadable> {
    if largest.is_none_or(|largest| (largest as usize) < len) {
        Ok(())
    } else {
        Err(Unreadable::Damaged("a position lies outside of the segment"))
    }
}
