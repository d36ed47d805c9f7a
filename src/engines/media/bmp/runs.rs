//! RLE4 and RLE8: runs of indices, literal pixels, jumps.

use super::super::error::Fault;
use super::super::work::Work;

/// What a stored byte and an index cost, in nanoseconds.
const STORED: u64 = 4;
const INDEX: u64 = 2;

/// What an end-of-line code does behind a full row, where readers differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    /// Nothing, and literal pixels flow over the end of a row: Pillow.
    Flowing,
    /// It begins a row in any case, so that two of them leave a row empty, and what is too long for a row is dropped: Windows.
    Counted,
}

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// All pixels were written.
    Full,
    /// The end-of-bitmap code came before; the rest stays as it was.
    Early,
    /// The bytes ran out.
    Cut,
}

/// Unpacks a stream into `indices`, which holds whole rows of `width`; pixels that the stream leaves out stay as they are.
///
/// Lines are read as Pillow reads them; where that does not fill the picture, Pillow refuses it, and they are read as Windows does.
/// Writes each pixel at most twice, and reads each byte at most twice.
pub(super) fn unpack(stored: &[u8], nibbles: bool, width: usize, indices: &mut [u8], work: &Work) -> Result<(), Fault> {
    let cost = STORED * stored.len() as u64 + INDEX * indices.len() as u64;
    work.spend_at_once(cost, "runs")?;
    if run(stored, nibbles, width, indices, Lines::Flowing) == End::Full {
        return Ok(());
    }
    work.spend_at_once(cost, "runs")?;
    indices.fill(0);
    match run(stored, nibbles, width, indices, Lines::Counted) {
        End::Full | End::Early => Ok(()),
        End::Cut => Err(Fault::malformed("the runs are cut short")),
    }
}

fn run(stored: &[u8], nibbles: bool, width: usize, indices: &mut [u8], lines: Lines) -> End {
    // Where in `indices`, in which row, and where in the row as the stream counts.
    let (mut at, mut row, mut x, mut read) = (0, 0, 0, 0);
    while at < indices.len() {
        let Some(&[count, value]) = stored.get(read..).and_then(|rest| rest.first_chunk()) else { return End::Cut };
        read += 2;
        match (count, value) {
            (0, 0) => {
                row += 1;
                at = if lines == Lines::Counted { row * width } else { at.next_multiple_of(width) };
                x = 0;
            }
            (0, 1) => return End::Early,
            (0, 2) => {
                let Some(&[right, down]) = stored.get(read..).and_then(|rest| rest.first_chunk()) else { return End::Cut };
                read += 2;
                if lines == Lines::Counted {
                    row += usize::from(down);
                    x = (x + usize::from(right)).min(width);
                    at = row * width + x;
                } else {
                    at += usize::from(right) + usize::from(down) * width;
                    x = at % width;
                }
            }
            (0, count) => {
                let count = usize::from(count);
                let room = if lines == Lines::Counted { width.saturating_sub(x) } else { count };
                let taken = count.min(room).min(indices.len() - at);
                // At the very end of the picture Pillow wants only the pixels that still fit.
                let wanted = if at + taken == indices.len() { taken } else { count };
                let bytes = if nibbles { wanted.div_ceil(2) } else { wanted };
                let Some(literal) = stored.get(read..read + bytes) else { return End::Cut };
                for (number, index) in indices[at..at + taken].iter_mut().enumerate() {
                    *index = if nibbles { nibble(literal[number / 2], number) } else { literal[number] };
                }
                // Padded to an even length.
                read += bytes.next_multiple_of(2);
                at += taken;
                x += count;
            }
            (count, value) => {
                let taken = usize::from(count).min(width.saturating_sub(x)).min(indices.len() - at);
                for (number, index) in indices[at..at + taken].iter_mut().enumerate() {
                    *index = if nibbles { nibble(value, number) } else { value };
                }
                at += taken;
                x += taken;
            }
        }
    }
    End::Full
}

/// The upper half of a byte for even places, the lower one for odd places.
fn nibble(byte: u8, place: usize) -> u8 {
    if place.is_multiple_of(2) { byte >> 4 } else { byte & 15 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(stored: &[u8], nibbles: bool, width: usize, height: usize) -> Option<Vec<u8>> {
        let mut indices = vec![0; width * height];
        unpack(stored, nibbles, width, &mut indices, &Work::of_file(stored.len(), None)).ok().map(|()| indices)
    }

    #[test]
    fn runs_literals_jumps_and_ends() {
        assert_eq!(unpacked(&[3, 7, 0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 0, 1], false, 3, 2).unwrap(), [7, 7, 7, 1, 2, 3]);
        assert_eq!(unpacked(&[3, 0x12, 0, 0, 0, 3, 0x34, 0x50, 0, 1], true, 3, 2).unwrap(), [1, 2, 1, 3, 4, 5]);
        // A jump of one to the right and one row on; a row cut short.
        assert_eq!(unpacked(&[1, 9, 0, 2, 1, 1, 1, 8, 0, 0, 3, 5], false, 3, 3).unwrap(), [9, 0, 0, 0, 0, 8, 5, 5, 5]);
        assert_eq!(unpacked(&[2, 9, 0, 1], false, 3, 2).unwrap(), [9, 9, 0, 0, 0, 0], "an early end leaves the rest");
        assert_eq!(unpacked(&[2, 9], false, 3, 2), None, "bytes that run out do not");
        assert_eq!(unpacked(&[5, 9, 0, 0, 3, 4], false, 3, 2).unwrap(), [9, 9, 9, 4, 4, 4], "a run ends with its row");
    }

    #[test]
    fn an_empty_row_is_counted_where_pillow_comes_short() {
        assert_eq!(unpacked(&[2, 9, 0, 0, 0, 0, 2, 8, 0, 1], false, 2, 3).unwrap(), [9, 9, 0, 0, 8, 8]);
        assert_eq!(unpacked(&[2, 9, 0, 0, 0, 0, 2, 8, 0, 0, 2, 7], false, 2, 3).unwrap(), [9, 9, 8, 8, 7, 7], "Pillow fills it");
    }

    #[test]
    fn no_stream_leaves_the_picture() {
        for first in 0..=255 {
            for second in [0, 1, 2, 3, 4, 255] {
                for nibbles in [false, true] {
                    unpacked(&[0, 2, first, second, 0, first, 9, 9, first, second, 0, 0, 0, 2, 255, 255], nibbles, 3, 3);
                }
            }
        }
    }
}
