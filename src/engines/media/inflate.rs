//! zlib streams (RFC 1950 and 1951), counted by their blocks.
//!
//! A block of a dozen stored bytes may state a code of which both tables are built, and then say nothing: most of what such a stream costs is in its tables, not in its
//! bytes. So the inflater stops before each block and looks at its type. The checksum at the end is not looked at, as in libpng.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress_with_limit, inflate_flags as flag};

use super::error::Fault;
use super::work::Work;

/// What parts of a stream cost, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    /// A block that states its codes (type 2).
    pub dynamic: u64,
    /// A block of the codes that everybody knows (type 1).
    pub fixed: u64,
    /// A stored byte.
    pub stored: u64,
    /// A byte that is made of them.
    pub made: u64,
}

/// What they cost here.
pub(super) const COSTS: Costs = Costs { dynamic: 7_000, fixed: 5_000, stored: 20, made: 2 };
/// What it costs to begin with a stream, and to go on with it.
const BEGIN: u64 = 3_000;
const STEP: u64 = 100;
/// Stored bytes that are read at a time, so that they can be counted and stopped.
const PIECE: usize = 1 << 12;
/// How far back a stream refers at most (RFC 1950, section 2.2).
pub(super) const WINDOW: usize = 1 << 15;

/// One stream, on its way.
pub(super) struct Inflater {
    stream: Box<DecompressorOxide>,
    work: Work,
    costs: Costs,
    read: u64,
    made: usize,
    /// More may be made of what was read, once there is room for it.
    has_more: bool,
    ended: bool,
}

impl Inflater {
    /// What is inflated is spent from `work`.
    ///
    /// # Errors
    /// When the file does not earn another stream.
    pub(super) fn new(work: &Work, costs: Costs) -> Result<Self, Fault> {
        work.spend(BEGIN, WHAT)?;
        Ok(Self { stream: Box::default(), work: work.clone(), costs, read: 0, made: 0, has_more: false, ended: false })
    }

    /// Inflates until `stored` is used up, or `out` is full, or the stream ends; gives how much of `stored` was used. `out` holds all that was made before.
    ///
    /// # Errors
    /// When the stream is damaged, the file does not earn what it costs, or the deadline has passed.
    pub(super) fn inflate(&mut self, stored: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
        self.run(stored, out, true, out.len())
    }

    /// The same without keeping what is made but what the stream may refer to, until so many bytes were made in all.
    ///
    /// # Errors
    /// As [`inflate`](Self::inflate).
    pub(super) fn pass(&mut self, stored: &[u8], window: &mut [u8; WINDOW], until: usize) -> Result<usize, Fault> {
        // What is referred to before the first byte is damage, which is seen only in a buffer that holds all that was made.
        let whole = until.min(WINDOW);
        let read = self.run(stored, window, true, whole)?;
        Ok(read + self.run(&stored[read..], window, false, until)?)
    }

    /// `out` holds all that was made before, or is the window.
    fn run(&mut self, stored: &[u8], out: &mut [u8], is_whole: bool, until: usize) -> Result<usize, Fault> {
        const FLAGS: u32 = flag::TINFL_FLAG_PARSE_ZLIB_HEADER
            | flag::TINFL_FLAG_HAS_MORE_INPUT
            | flag::TINFL_FLAG_IGNORE_ADLER32
            | flag::TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY;
        let mut read = 0;
        while !self.ended && (read < stored.len() || self.has_more) && self.made < until {
            // The first two bytes stand before the first block.
            let most = if self.read < 2 { 2 - self.read as usize } else { PIECE };
            let piece = &stored[read..stored.len().min(read + most)];
            let block = self.stream.block_boundary_state().map_or(0, |at| {
                let bits = u32::from(at.bit_buf) | piece.first().map_or(0, |&next| u32::from(next)) << at.num_bits;
                match bits >> 1 & 3 {
                    1 => self.costs.fixed,
                    2 => self.costs.dynamic,
                    _ => 0,
                }
            });
            self.work.spend(STEP + block, WHAT)?;
            let (place, flags) =
                if is_whole { (self.made, FLAGS | flag::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF) } else { (self.made % WINDOW, FLAGS) };
            let (status, used, made) = decompress_with_limit(&mut self.stream, piece, out, place, until - self.made, flags);
            (self.read, self.made, read) = (self.read + used as u64, self.made + made, read + used);
            self.work.spend(self.costs.stored * used as u64 + self.costs.made * made as u64, WHAT)?;
            self.has_more = status == TINFLStatus::HasMoreOutput;
            match status {
                TINFLStatus::Done => self.ended = true,
                TINFLStatus::NeedsMoreInput | TINFLStatus::HasMoreOutput | TINFLStatus::BlockBoundary => {}
                _ => return Err(Fault::malformed("damaged compressed data")),
            }
        }
        Ok(read)
    }

    /// Bytes that were made, also of a stream that is damaged behind them.
    pub(super) fn made(&self) -> usize {
        self.made
    }

    /// Whether what was read may make more.
    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }
}

const WHAT: &str = "blocks of compressed data";

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn deflated(data: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn streams_in_pieces_of_any_length() {
        let data: Vec<u8> = (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> (at % 29)) as u8).collect();
        for (level, step) in [(0, 1), (1, 7), (6, 5_000), (9, 1 << 20)] {
            let (stored, work) = (deflated(&data, level), Work::of_file(1 << 26, None));
            let (mut kept, mut whole) = (Inflater::new(&work, COSTS).unwrap(), vec![0; data.len() + 1]);
            let (mut passed, mut window) = (Inflater::new(&work, COSTS).unwrap(), Box::new([0; WINDOW]));
            for piece in stored.chunks(step) {
                assert_eq!(kept.inflate(piece, &mut whole).unwrap(), piece.len());
                // In steps of a prime number, so that the window is full anywhere.
                let mut rest = piece;
                while !rest.is_empty() || passed.has_more() {
                    let until = passed.made() + 257;
                    rest = &rest[passed.pass(rest, &mut window, until).unwrap()..];
                }
            }
            assert!(kept.has_ended() && whole[..kept.made()] == data, "level {level}, {} of {} bytes", kept.made(), data.len());
            assert!(passed.has_ended() && passed.made() == data.len(), "level {level}, {} of {} bytes", passed.made(), data.len());
            let end = &data[data.len() - WINDOW..];
            assert!((0..WINDOW).all(|at| window[(data.len() + at) % WINDOW] == end[at]));
        }
    }

    /// How many dynamic blocks, and how many fixed ones, are paid of a stream that is read in pieces of so many bytes.
    fn blocks(stored: &[u8], step: usize) -> (u64, u64) {
        let work = Work::of_file(1 << 40, None);
        let mut inflater = Inflater::new(&work, Costs { dynamic: 10_000_000_000, fixed: 10_000_000, stored: 0, made: 0 }).unwrap();
        let mut out = vec![0; 1 << 20];
        for piece in stored.chunks(step) {
            inflater.inflate(piece, &mut out).unwrap();
        }
        (work.spent() / 10_000_000_000, work.spent() % 10_000_000_000 / 10_000_000)
    }

    #[test]
    fn what_is_under_way_where_the_stored_bytes_end_is_made() {
        // 255 literals, and matches of a long run of zeros, of which some stand across any step; the stream is cut behind each byte.
        let data = [(0..255).collect::<Vec<u8>>(), vec![0; 70_000]].concat();
        let stored = deflated(&data, 6);
        for end in (0..stored.len()).rev().step_by(7) {
            let work = Work::of_file(1 << 26, None);
            let (mut kept, mut whole) = (Inflater::new(&work, COSTS).unwrap(), vec![0; data.len() + 1]);
            kept.inflate(&stored[..end], &mut whole).unwrap();
            let (mut passed, mut window, mut read) = (Inflater::new(&work, COSTS).unwrap(), Box::new([0; WINDOW]), 0);
            while read < end || passed.has_more() {
                let until = passed.made() + 100;
                read += passed.pass(&stored[read..end], &mut window, until).unwrap();
            }
            assert_eq!(passed.made(), kept.made(), "{end}");
        }
    }

    #[test]
    fn each_block_is_paid_by_its_type() {
        // Eight dynamic blocks of 91 bits, of a code of two symbols of which one ends the block: `dynamic_block("one")` of the attack.
        let eight = hex::decode("04c081000000000010ffd524000e040000000080f8af260170200000000000c47f35098003010000000020feab49001c080000000000f15f4d02e040000000000088ff6a120007020000000040fc57930038100000000000e2bf9a").unwrap();
        // Four fixed blocks that hold nothing; a stored one of a byte.
        let (fixed, stored) = ([0x02, 0x08, 0x20, 0x80, 0x00], [0, 1, 0, 0xfe, 0xff, 9]);
        let all = [&eight[..], &fixed, &stored].concat().repeat(50);
        for step in [1, 2, 3, 5, 7, 11, 100, 1 << 20] {
            assert_eq!(blocks(&[&[0x78, 0x01], &all[..]].concat(), step), (400, 200), "{step}");
        }
    }

    #[test]
    fn damage_is_said_and_what_was_made_before_stays() {
        let (work, mut out) = (Work::of_file(1000, None), [0; 10]);
        let mut inflater = Inflater::new(&work, COSTS).unwrap();
        let error = inflater.inflate(&[0x78, 0x01, 0, 1, 0, 0xfe, 0xff, 9, 7], &mut out).unwrap_err();
        assert!(matches!(error, Fault::Malformed(_)), "{error:?}");
        assert_eq!(out[..inflater.made()], [9]);
        // Within a block: nine literals, and a code that refers to nothing (RFC 1951, section 3.2.6: fixed codes, length 3, distance 1 and 30).
        let (work, mut out) = (Work::of_file(1000, None), [0; 100]);
        let mut inflater = Inflater::new(&work, COSTS).unwrap();
        assert!(matches!(inflater.inflate(&fixed(&[9; 9], 30), &mut out), Err(Fault::Malformed(_))));
        assert_eq!(out[..inflater.made()], [9; 9]);
    }

    /// A stream of a fixed block: literals below 144, and three bytes from the place that the distance code says.
    fn fixed(literals: &[u8], distance: u32) -> Vec<u8> {
        let mut bits = vec![1, 1, 0];
        let mut code = |code: u32, length: u32| bits.extend((0..length).rev().map(|at| code >> at & 1));
        literals.iter().for_each(|&literal| code(0x30 + u32::from(literal), 8));
        code(1, 7);
        code(distance, 5);
        code(0, 7);
        let bytes = bits.chunks(8).map(|bits| bits.iter().enumerate().map(|(at, bit)| (bit << at) as u8).sum());
        [0x78, 0x01].into_iter().chain(bytes).collect()
    }

    #[test]
    fn nothing_is_taken_from_before_the_first_byte() {
        // Distance codes 0 and 3 are distances of 1 and 4 bytes.
        for (count, code, is_sound) in [(1, 0, true), (4, 3, true), (3, 3, false), (0, 0, false)] {
            let (work, stored) = (Work::of_file(1000, None), fixed(&vec![7; count], code));
            let mut whole = Inflater::new(&work, COSTS).unwrap();
            assert_eq!(whole.inflate(&stored, &mut [0; 100]).is_ok(), is_sound, "{count}");
            let mut passed = Inflater::new(&work, COSTS).unwrap();
            assert_eq!(passed.pass(&stored, &mut Box::new([0; WINDOW]), 100).is_ok(), is_sound, "{count}");
            assert_eq!((whole.made(), passed.made()), if is_sound { (count + 3, count + 3) } else { (count, count) });
        }
    }
}
