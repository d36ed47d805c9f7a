//! One strip or tile: decompression and prediction.

use weezl::{BitOrder, LzwStatus};

use super::super::error::Fault;
use super::super::inflate::{COSTS, Inflater};
use super::super::jpeg::{self, Samples};
use super::super::sequence::Picture;
use super::super::work::Work;
use super::directory::{Directory, tag};
use super::{Layout, Photometric};

/// Tag 259, as far as it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
    Jpeg,
}

/// Tables are copied for each strip or tile. Four for quantisation and eight for Huffman codes take less than 3 KiB.
const LONGEST_TABLES: usize = 8 << 10;

/// What it costs to begin with LZW, which makes its tables anew for each strip or tile, in nanoseconds.
const BEGIN: u64 = 4_000;
/// What stored bytes cost, each: of runs, and of LZW's codes.
const RUN: u64 = 3;
const CODED: u64 = 30;
/// Stored bytes that are read at a time, so that they can be counted and stopped.
const PIECE: usize = 1 << 12;

/// How the chunks of one picture are stored.
pub(super) struct Coding<'a> {
    compression: Compression,
    jpeg_tables: Option<&'a [u8]>,
    jpeg_is_ycbcr: bool,
    /// Bits of a byte stand the other way round (tag 266).
    mirrored: bool,
    /// Samples are differences to their left neighbours (tag 317).
    differences: bool,
    bits: u8,
    little: bool,
}

impl<'a> Coding<'a> {
    pub(super) fn read(directory: &Directory<'a>, layout: &Layout) -> Result<Self, Fault> {
        let compression = match directory.first(tag::COMPRESSION).unwrap_or(1) {
            1 => Compression::None,
            5 => Compression::Lzw,
            7 => Compression::Jpeg,
            8 | 32946 => Compression::Deflate,
            32773 => Compression::PackBits,
            other => return Err(Fault::unsupported(format!("compression {other}"))),
        };
        if compression == Compression::Jpeg {
            if layout.bits != 8 || layout.planar && layout.photometric == Photometric::YCbCr {
                return Err(Fault::unsupported("JPEG of this layout"));
            }
        } else if layout.photometric == Photometric::YCbCr {
            return Err(Fault::unsupported("YCbCr outside JPEG"));
        }
        let jpeg_tables = directory.bytes(tag::JPEG_TABLES);
        if jpeg_tables.is_some_and(|tables| tables.len() > LONGEST_TABLES) {
            return Err(Fault::malformed("JPEG tables of an impossible length"));
        }
        // The predictor belongs to LZW and Deflate alone; others carry the tag in vain.
        let predicts = matches!(compression, Compression::Lzw | Compression::Deflate);
        let differences = match directory.first(tag::PREDICTOR).filter(|_| predicts).unwrap_or(1) {
            1 => false,
            2 if matches!(layout.bits, 8 | 16) => true,
            other => return Err(Fault::unsupported(format!("predictor {other}"))),
        };
        Ok(Self {
            compression,
            jpeg_tables,
            jpeg_is_ycbcr: layout.photometric == Photometric::YCbCr,
            mirrored: directory.first(tag::FILL_ORDER) == Some(2),
            differences,
            bits: layout.bits,
            little: directory.little,
        })
    }

    /// Whether samples are stored as they are, so that a chunk's length follows from its size.
    pub(super) fn is_plain(&self) -> bool {
        self.compression == Compression::None
    }

    /// Fills all of `out`, which is `height` rows of `width` pixels of `samples` samples.
    pub(super) fn decode(
        &self,
        stored: &[u8],
        out: &mut [u8],
        (width, height, samples): (usize, usize, usize),
        work: &Work,
    ) -> Result<(), Fault> {
        let turned: Vec<u8>;
        let stored = if self.mirrored && self.compression != Compression::Jpeg {
            turned = stored.iter().map(|byte| byte.reverse_bits()).collect();
            &turned
        } else {
            stored
        };
        match self.compression {
            Compression::None => {
                let whole = stored.get(..out.len()).ok_or_else(short)?;
                out.copy_from_slice(whole);
            }
            Compression::Lzw => unpack_lzw(stored, out, work)?,
            Compression::Deflate => unpack_deflate(stored, out, work)?,
            Compression::PackBits => unpack_bits(stored, out, work)?,
            Compression::Jpeg => self.unpack_jpeg(stored, out, (width as u32, height as u32), work)?,
        }
        if self.differences {
            for row in out.chunks_exact_mut(width * samples * usize::from(self.bits / 8)) {
                add_up(row, samples, self.bits, self.little);
            }
        }
        Ok(())
    }

    /// A JPEG that shares its tables with its neighbours: both begin with SOI, and the tables end with EOI.
    fn unpack_jpeg(&self, stored: &[u8], out: &mut [u8], size: (u32, u32), work: &Work) -> Result<(), Fault> {
        let whole;
        let file = match (self.jpeg_tables, stored) {
            (Some([tables @ .., _, _]), [_, _, scan @ ..]) => {
                whole = [tables, scan].concat();
                &whole
            }
            _ => stored,
        };
        let samples = if self.jpeg_is_ycbcr { Samples::Rgb } else { Samples::AsStored };
        let jpeg = jpeg::open_as(file, samples, work)?;
        if jpeg.size() != size {
            return Err(Fault::malformed("a JPEG of another size than its strip or tile"));
        }
        jpeg::read_samples(jpeg, out, work)
    }
}

fn short() -> Fault {
    Fault::malformed("a strip or tile is cut short")
}

fn unpack_lzw(stored: &[u8], out: &mut [u8], work: &Work) -> Result<(), Fault> {
    work.spend(BEGIN, "strips or tiles")?;
    let mut lzw = weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    let (mut codes, mut read, mut written): (&[u8], usize, usize) = (&[], 0, 0);
    while written < out.len() {
        if codes.is_empty() {
            codes = &stored[read..stored.len().min(read + PIECE)];
            work.spend(CODED * codes.len() as u64, "bytes of strips or tiles")?;
        }
        let step = lzw.decode_bytes(codes, &mut out[written..]);
        codes = &codes[step.consumed_in..];
        (read, written) = (read + step.consumed_in, written + step.consumed_out);
        let moved = step.consumed_in + step.consumed_out > 0;
        match step.status.map_err(Fault::malformed)? {
            LzwStatus::Ok if moved => {}
            _ if written < out.len() => return Err(short()),
            _ => {}
        }
    }
    Ok(())
}

fn unpack_deflate(stored: &[u8], out: &mut [u8], work: &Work) -> Result<(), Fault> {
    let mut inflater = Inflater::new(work, COSTS)?;
    inflater.inflate(stored, out)?;
    if inflater.made() == out.len() { Ok(()) } else { Err(short()) }
}

/// TIFF 6.0, section 9: a signed count, then that many bytes plus one, or one byte repeated.
fn unpack_bits(stored: &[u8], out: &mut [u8], work: &Work) -> Result<(), Fault> {
    let (mut stored, mut out) = (stored, out);
    let mut paid = stored.len();
    while !out.is_empty() {
        // Codes that stand for nothing are bytes all the same.
        if stored.len() <= paid {
            let piece = paid.min(PIECE);
            work.spend(RUN * piece as u64, "bytes of strips or tiles")?;
            paid -= piece;
        }
        let (&count, rest) = stored.split_first().ok_or_else(short)?;
        stored = rest;
        let count = count as i8;
        if count == i8::MIN {
            continue;
        }
        // A run may reach beyond the strip; what is beyond is dropped.
        let length = (usize::from(count.unsigned_abs()) + 1).min(out.len());
        let (slot, tail) = out.split_at_mut(length);
        if count >= 0 {
            slot.copy_from_slice(stored.get(..length).ok_or_else(short)?);
            stored = &stored[length..];
        } else {
            slot.fill(*stored.first().ok_or_else(short)?);
            stored = &stored[1..];
        }
        out = tail;
    }
    Ok(())
}

/// Undoes the horizontal predictor: every sample is the difference to the same sample of the pixel before.
fn add_up(row: &mut [u8], samples: usize, bits: u8, little: bool) {
    if bits == 8 {
        for at in samples..row.len() {
            row[at] = row[at].wrapping_add(row[at - samples]);
        }
        return;
    }
    let from = if little { u16::from_le_bytes } else { u16::from_be_bytes };
    let into = if little { u16::to_le_bytes } else { u16::to_be_bytes };
    for at in (2 * samples..row.len()).step_by(2) {
        let before = at - 2 * samples;
        let sum = from([row[at], row[at + 1]]).wrapping_add(from([row[before], row[before + 1]]));
        row[at..at + 2].copy_from_slice(&into(sum));
    }
}
