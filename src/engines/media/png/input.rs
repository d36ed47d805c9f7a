//! A PNG on its way into the png crate, with its image data inflated.
//!
//! How many tables the crate's own inflater makes is not known to anybody, and they are most of what a hostile stream costs. So image data are inflated and counted here, and
//! handed on as stored blocks in chunks of their own; every other chunk is handed on as it is, but for the numbers of an animation's chunks, which are more now.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

use super::super::error::Fault;
use super::super::inflate::{Costs, Inflater, WINDOW};
use super::super::work::{Work, stopped_by};
use super::chunks::Chunk;

/// What parts of image data cost until they are rows, in nanoseconds: inflating, and a checksum and two copies of what is made.
const DATA: Costs = Costs { dynamic: 7_000, fixed: 5_000, stored: 20, made: 4 };
/// What a chunk costs, and a byte of one that is no image data.
const CHUNK: u64 = 700;
const BYTE: u64 = 5;
/// Bytes that are made at a time: a part of the window.
const STEP: usize = 1 << 14;

/// The file as the png crate reads it.
pub(super) struct Input<'a> {
    work: Work,
    /// What was not looked at.
    rest: &'a [u8],
    /// What is handed on next: of the file as it is, or what was made instead.
    plain: &'a [u8],
    made: Vec<u8>,
    handed: usize,
    run: Option<Run<'a>>,
    /// How much higher the numbers of an animation's chunks are than in the file.
    shift: u32,
}

/// The image data of one frame.
struct Run<'a> {
    kind: &'a [u8],
    /// Of the chunk that is read.
    data: &'a [u8],
    inflater: Inflater,
    window: Box<[u8; WINDOW]>,
    /// The number of the next chunk of an animation, in the file and in what is made.
    number: u32,
    next: u32,
    /// A stream, a checksum or a number is wrong: nothing comes behind it, so a picture whose rows are not all there fails.
    is_damaged: bool,
}

impl<'a> Input<'a> {
    pub(super) fn new(file: &'a [u8], work: &Work) -> Self {
        let (plain, rest) = file.split_at(file.len().min(8));
        Self { work: work.clone(), rest, plain, made: Vec::new(), handed: 0, run: None, shift: 0 }
    }

    /// Reads on until there is something to hand on, or nothing more.
    fn read_on(&mut self) -> Result<(), Fault> {
        while self.plain.is_empty() && self.handed == self.made.len() && (self.run.is_some() || !self.rest.is_empty()) {
            self.handed = 0;
            self.made.clear();
            match self.run.take() {
                Some(run) => self.run = self.go_on(run)?,
                None => self.begin()?,
            }
        }
        Ok(())
    }

    /// The next chunk that is not of a run.
    fn begin(&mut self) -> Result<(), Fault> {
        self.work.spend(CHUNK, "chunks of a PNG")?;
        let Some(chunk) = Chunk::first(self.rest) else {
            self.plain = std::mem::take(&mut self.rest);
            return Ok(());
        };
        if chunk.kind == b"IDAT" || chunk.kind == b"fdAT" {
            let number = number(chunk.data);
            let next = number.wrapping_add(self.shift);
            let (inflater, window) = (Inflater::new(&self.work, DATA)?, Box::new([0; WINDOW]));
            let mut run = Run { kind: chunk.kind, data: &[], inflater, window, number, next, is_damaged: false };
            // The head of a zlib stream without compression.
            hand_on(&mut self.made, run.kind, &mut run.next, [&[0x78, 0x01]]);
            self.run = Some(run);
            return Ok(());
        }
        let length = self.rest.len() - chunk.behind.len();
        self.work.spend(BYTE * length as u64, "chunks of a PNG")?;
        let (whole, rest) = self.rest.split_at(length);
        self.rest = rest;
        if chunk.kind == b"fcTL" && chunk.is_right() == Some(true) && chunk.data.len() >= 4 && self.shift != 0 {
            let shifted = number(chunk.data).wrapping_add(self.shift).to_be_bytes();
            write_chunk(&mut self.made, chunk.kind, [&shifted[..], &chunk.data[4..]]);
        } else {
            self.plain = whole;
        }
        Ok(())
    }

    /// The next part of a run, or its end.
    fn go_on(&mut self, mut run: Run<'a>) -> Result<Option<Run<'a>>, Fault> {
        if !run.data.is_empty() && !run.is_damaged && !run.inflater.has_ended() {
            let from = run.inflater.made();
            let place = from % WINDOW;
            match run.inflater.pass(run.data, &mut run.window, from + STEP.min(WINDOW - place)) {
                Ok(read) => run.data = &run.data[read..],
                Err(Fault::Malformed(_)) => run.is_damaged = true,
                Err(fault) => return Err(fault),
            }
            let length = run.inflater.made() - from;
            if length > 0 {
                let bytes = (length as u16).to_le_bytes();
                let other = (!(length as u16)).to_le_bytes();
                let made = &run.window[place..place + length];
                hand_on(&mut self.made, run.kind, &mut run.next, [&[0], &bytes, &other, made]);
            }
            return Ok(Some(run));
        }
        let chunk = Chunk::first(self.rest).filter(|chunk| chunk.kind == run.kind);
        let Some(chunk) = chunk else {
            if run.inflater.has_ended() {
                // An empty last block, and a sum that nobody looks at.
                hand_on(&mut self.made, run.kind, &mut run.next, [&[1, 0, 0, 0xff, 0xff, 0, 0, 0, 0]]);
            }
            self.shift = run.next.wrapping_sub(run.number);
            return Ok(None);
        };
        self.work.spend(CHUNK, "chunks of a PNG")?;
        self.rest = chunk.behind;
        run.data = chunk.data;
        if run.kind == b"fdAT" {
            run.data = chunk.data.get(4..).unwrap_or_default();
            // Numbers in the wrong order end the frame's data, and the png crate says what is missing.
            run.is_damaged |= number(chunk.data) != run.number;
            run.number = run.number.wrapping_add(1);
        }
        run.is_damaged |= chunk.is_right() == Some(false);
        Ok(Some(run))
    }
}

/// A chunk of image data, with the next number where it has one.
fn hand_on<const PARTS: usize>(out: &mut Vec<u8>, kind: &[u8], next: &mut u32, parts: [&[u8]; PARTS]) {
    let number = next.to_be_bytes();
    let is_numbered = kind == b"fdAT";
    *next = next.wrapping_add(u32::from(is_numbered));
    write_chunk(out, kind, is_numbered.then_some(&number[..]).into_iter().chain(parts));
}

/// The number of a chunk of an animation.
fn number(data: &[u8]) -> u32 {
    data.first_chunk().map_or(0, |number| u32::from_be_bytes(*number))
}

fn write_chunk<'p>(out: &mut Vec<u8>, kind: &[u8], parts: impl IntoIterator<Item = &'p [u8]>) {
    let from = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    parts.into_iter().for_each(|part| out.extend_from_slice(part));
    let length = out.len() - from - 8;
    out[from..from + 4].copy_from_slice(&(length as u32).to_be_bytes());
    let sum = crc32fast::hash(&out[from + 4..]);
    out.extend(sum.to_be_bytes());
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.read_on().map_err(stopped_by)?;
        Ok(if self.plain.is_empty() { &self.made[self.handed..] } else { self.plain })
    }

    fn consume(&mut self, amount: usize) {
        if self.plain.is_empty() {
            self.handed += amount;
        } else {
            self.plain = &self.plain[amount..];
        }
    }
}

impl Read for Input<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let from = self.fill_buf()?;
        let length = from.len().min(out.len());
        out[..length].copy_from_slice(&from[..length]);
        self.consume(length);
        Ok(length)
    }
}

/// The png crate asks for it and does not seek.
impl Seek for Input<'_> {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
