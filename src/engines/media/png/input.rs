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
    /// The stream is wrong: nothing more is made of it, so a picture whose rows are not all there fails.
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
        // Without a number it is no such chunk.
        if chunk.kind == b"IDAT" || chunk.kind == b"fdAT" && chunk.data.len() >= 4 {
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
        if (!run.data.is_empty() || run.inflater.has_more()) && !run.is_damaged && !run.inflater.has_ended() {
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
        // That of a chunk which readers may skip, such as fdAT, is looked at by none of them.
        if run.kind == b"IDAT" && chunk.is_right() == Some(false) {
            return Err(Fault::malformed("a checksum of IDAT is wrong"));
        }
        if run.kind == b"fdAT" {
            let due = run.number;
            // The last chunk of a file may end within its number.
            match chunk.data.split_first_chunk() {
                Some((is, data)) if *is == due.to_be_bytes() => run.data = data,
                Some((is, _)) => return Err(Fault::malformed(format!("fdAT with number {} where {due} is due", u32::from_be_bytes(*is)))),
                None if chunk.is_whole => return Err(Fault::malformed("fdAT without a number")),
                None => run.data = &[],
            }
            run.number = due.wrapping_add(1);
        }
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

#[cfg(test)]
mod tests {
    use super::super::chunks::Chunks;
    use super::*;

    /// An animation of three frames whose data are in chunks of up to so many bytes, with a chunk behind each run that is none of its own.
    fn animation(most: usize) -> Vec<u8> {
        let (mut file, mut encoded) = (Vec::new(), Vec::new());
        let mut encoder = png::Encoder::new(&mut encoded, 150, 110);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_animated(3, 0).unwrap();
        let mut writer = encoder.write_header().unwrap();
        for frame in 0..3_u32 {
            // Noise beside what repeats itself, so that there are more bytes than the window has.
            let mixed = |at: u32| (at.wrapping_mul(2_654_435_761 + 2 * frame) ^ at >> 3).wrapping_mul(0x2c1b_3c6d) >> 24;
            let pixels: Vec<u8> = (0..150 * 110 * 3).map(|at| if at % 5_000 < 1_000 { mixed(at) as u8 } else { (at / 64) as u8 }).collect();
            writer.write_image_data(&pixels).unwrap();
        }
        writer.finish().unwrap();
        file.extend_from_slice(&encoded[..8]);
        let mut number = 0_u32;
        for (kind, data) in Chunks::of(&encoded) {
            let is_numbered = matches!(kind, b"fcTL" | b"fdAT");
            let data = if is_numbered { &data[4..] } else { data };
            let parts: Vec<_> = if matches!(kind, b"IDAT" | b"fdAT") { data.chunks(most).collect() } else { vec![data] };
            for part in parts {
                let stated = number.to_be_bytes();
                number += u32::from(is_numbered);
                write_chunk(&mut file, kind, is_numbered.then_some(&stated[..]).into_iter().chain([part]));
            }
            if matches!(kind, b"IDAT" | b"fdAT") {
                write_chunk(&mut file, b"teXt", [&b"between"[..]]);
            }
        }
        file
    }

    fn handed_on(file: &[u8]) -> Result<Vec<u8>, Fault> {
        let (mut input, mut out) = (Input::new(file, &Work::of_file(1 << 26, None)), Vec::new());
        loop {
            input.read_on()?;
            let piece = input.fill_buf().unwrap();
            if piece.is_empty() {
                return Ok(out);
            }
            // In pieces of any length.
            let length = piece.len().min(1 + out.len() % 1_000);
            out.extend_from_slice(&piece[..length]);
            input.consume(length);
        }
    }

    /// Frames that the png crate makes of a file, as far as it is sound.
    fn frames(file: &[u8]) -> Vec<Vec<u8>> {
        let Ok(mut reader) = png::Decoder::new(io::Cursor::new(file)).read_info() else { return Vec::new() };
        let mut frame = vec![0; reader.output_buffer_size().unwrap()];
        std::iter::from_fn(|| reader.next_frame(&mut frame).is_ok().then(|| frame.clone())).collect()
    }

    #[test]
    fn the_png_crate_makes_the_same_of_what_is_handed_on() {
        for most in [1, 7, 4_000, 1 << 20] {
            let file = animation(most);
            let made = handed_on(&file).unwrap();
            assert!(frames(&made) == frames(&file) && frames(&file).len() == 3, "{most}");
            let others = |file| {
                Chunks::of(file)
                    .filter(|(kind, _)| !matches!(*kind, b"IDAT" | b"fdAT" | b"fcTL"))
                    .map(|(kind, data)| (kind.to_vec(), data.to_vec()))
            };
            assert!(others(&made).eq(others(&file)));
            let numbers: Vec<_> =
                Chunks::of(&made).filter(|(kind, _)| matches!(*kind, b"fcTL" | b"fdAT")).map(|(_, data)| number(data)).collect();
            assert!(numbers.iter().copied().eq(0..numbers.len() as u32), "{numbers:?}");
        }
    }

    #[test]
    fn of_a_file_that_ends_anywhere_as_much_is_handed_on_as_is_there() {
        let file = animation(3_000);
        for end in (0..file.len()).step_by(61).chain(file.len() - 40..file.len()) {
            let cut = &file[..end];
            assert!(frames(&handed_on(cut).unwrap()) == frames(cut), "{end}");
        }
    }

    #[test]
    fn a_wrong_checksum_of_the_picture_and_a_wrong_number_are_named() {
        let file = animation(3_000);
        let place = |kind: &[u8]| file.windows(4).position(|bytes| bytes == kind).unwrap();
        let said = |file: &[u8]| match handed_on(file) {
            Err(Fault::Malformed(detail)) => detail,
            other => panic!("{other:?}"),
        };
        let mut damaged = file.clone();
        damaged[place(b"IDAT") + 40] ^= 1;
        assert_eq!(said(&damaged), "a checksum of IDAT is wrong");
        // The sum behind the only fdAT chunk of the last frame, as other readers have it.
        let mut damaged = file.clone();
        let at = file.windows(4).rposition(|bytes| bytes == b"fdAT").unwrap();
        let length = u32::from_be_bytes(*file[at - 4..].first_chunk().unwrap()) as usize;
        damaged[at + 4 + length] ^= 1;
        assert!(frames(&handed_on(&damaged).unwrap()) == frames(&file));
        // The second chunk of the second frame's data.
        let mut moved = file[..8].to_vec();
        for (at, (kind, data)) in Chunks::of(&file).enumerate() {
            let is_second = Chunks::of(&file).take(at).filter(|(kind, _)| kind == b"fdAT").count() == 1 && kind == b"fdAT";
            let data = if is_second { [&9_u32.to_be_bytes(), &data[4..]].concat() } else { data.to_vec() };
            write_chunk(&mut moved, kind, [&data[..]]);
        }
        assert_eq!(said(&moved), "fdAT with number 9 where 3 is due");
    }
}
