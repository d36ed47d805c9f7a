//! zlib streams (RFC 1950 and 1951), counted by the block.
//!
//! A block of a dozen stored bytes may state a code of which both tables are built, and then say nothing: most of what such a stream costs is in its blocks, not in its
//! bytes. So the inflater stops behind each of them.

use zlib_rs::{Inflate, InflateFlush, Status};

use super::error::Fault;
use super::work::Work;

/// What a block's tables cost here, and a stored byte, in nanoseconds.
pub(super) const BLOCK: u64 = 7_000;
pub(super) const BYTE: u64 = 25;
/// Stored bytes that are read at a time, so that they can be counted and stopped.
const PIECE: usize = 1 << 12;
/// The longest window (RFC 1950, section 2.2): 2 to the power of this.
const WINDOW: u8 = 15;

/// One stream, on its way.
pub(super) struct Inflater<'w> {
    stream: Inflate,
    work: &'w Work,
    /// What is spent for a block and for a stored byte.
    block: u64,
    byte: u64,
    /// Bytes before here are paid.
    paid: u64,
    ended: bool,
}

impl<'w> Inflater<'w> {
    /// What is inflated is spent from `work`: so much for a block, and for a stored byte.
    pub(super) fn new(work: &'w Work, block: u64, byte: u64) -> Self {
        Self { stream: Inflate::new(true, WINDOW), work, block, byte, paid: 0, ended: false }
    }

    /// Inflates until `stored` is used up, or `out` is full, or the stream ends. Returns how many bytes of each were used.
    ///
    /// # Errors
    /// When the stream is damaged, the file does not earn what it costs, or the deadline has passed.
    pub(super) fn inflate(&mut self, stored: &[u8], out: &mut [u8]) -> Result<(usize, usize), Fault> {
        let (mut read, mut written) = (0, 0);
        while !self.ended && read < stored.len() && written < out.len() {
            let piece = &stored[read..stored.len().min(read + PIECE)];
            let (at, before) = (self.stream.total_in(), self.stream.total_out());
            let until = at + piece.len() as u64;
            self.work.spend(self.block + self.byte * until.saturating_sub(self.paid), "blocks of compressed data")?;
            self.paid = self.paid.max(until);
            let status = self.stream.decompress(piece, &mut out[written..], InflateFlush::Block);
            let status = status.map_err(|error| Fault::malformed(error.as_str()))?;
            self.ended = status == Status::StreamEnd;
            let (more, made) = (self.stream.total_in() - at, self.stream.total_out() - before);
            if !self.ended && more + made == 0 {
                return Err(Fault::malformed("compressed data that do not go on"));
            }
            (read, written) = (read + more as usize, written + made as usize);
        }
        Ok((read, written))
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }
}

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
        for (level, step, room) in [(0, 1, 70_000), (1, 7, 1), (6, 5_000, 300), (9, 1 << 20, 1 << 20)] {
            let (stored, work) = (deflated(&data, level), Work::of_file(1 << 26, None));
            let (mut inflater, mut out, mut whole) = (Inflater::new(&work, 1, 1), vec![0; room], Vec::<u8>::new());
            for stored in stored.chunks(step) {
                let mut rest = stored;
                while !rest.is_empty() && !inflater.has_ended() {
                    let (read, written) = inflater.inflate(rest, &mut out).unwrap();
                    whole.extend(&out[..written]);
                    rest = &rest[read..];
                }
            }
            assert!(inflater.has_ended() && whole == data, "level {level}, {} of {} bytes", whole.len(), data.len());
        }
    }

    #[test]
    fn each_block_is_paid() {
        // Blocks of ten bits: 0, 01, and the end of the block. Four of them are five bytes, more of which are read before the first is done.
        let stored = [&[0x78, 0x01][..], &[0x02, 0x08, 0x20, 0x80, 0x00].repeat(1000)].concat();
        let work = Work::of_file(1 << 26, None);
        let (read, written) = Inflater::new(&work, 1000, 1).inflate(&stored, &mut [0; 10]).unwrap();
        assert_eq!((read, written), (stored.len(), 0));
        assert!((4_000_000..4_020_000).contains(&work.spent()), "{}", work.spent());
        let error = Inflater::new(&Work::of_file(0, None), 50_000, 1).inflate(&stored, &mut [0; 10]).unwrap_err();
        assert!(matches!(error, Fault::Work("blocks of compressed data")));
    }

    #[test]
    fn damage_is_said() {
        let work = Work::of_file(1000, None);
        let error = Inflater::new(&work, 1, 1).inflate(&[0x78, 0x01, 0xff], &mut [0; 10]).unwrap_err();
        assert!(matches!(error, Fault::Malformed(_)), "{error:?}");
    }
}
