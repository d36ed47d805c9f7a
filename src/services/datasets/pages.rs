//! What the pages of a Parquet file state before any is read: the decoder allocates what a page's header says, and a file of some kilobytes may say gigabytes.
//!
//! Headers are read here, in Thrift's compact protocol (`doc/specs/thrift-compact-protocol.md` of Apache Thrift; `PageHeader` of `parquet.thrift`): of the first three
//! fields the second and third are the page's length, unpacked and as it is stored.

use parquet::{
    errors::ParquetError,
    file::{metadata::ColumnChunkMetaData, reader::ChunkReader},
};

/// A header holds a page's extreme values, which writers cut to some dozens of bytes.
const LONGEST_HEADER: u64 = 64 << 10;
/// Structures and lists in one another: a header has three.
const DEEPEST: usize = 8;

/// Bytes that a reader of the column chunk holds of it at once: its largest page, and its dictionary, unpacked.
pub(super) fn held<R: ChunkReader>(file: &R, chunk: &ColumnChunkMetaData) -> Result<u64, ParquetError> {
    let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
    let (Ok(mut at), Ok(length)) = (u64::try_from(start), u64::try_from(chunk.compressed_size())) else { return Err(broken()) };
    let end = at.checked_add(length).filter(|&end| end <= file.len()).ok_or_else(broken)?;
    let (mut first, mut largest) = (None, 0);
    while at < end {
        let bytes = file.get_bytes(at, (end - at).min(LONGEST_HEADER) as usize)?;
        let header = Header::read(&bytes).ok_or_else(broken)?;
        first = first.or(Some(header.unpacked));
        largest = header.unpacked.max(largest);
        at += header.length + header.stored;
    }
    Ok(largest + first.unwrap_or(0))
}

fn broken() -> ParquetError {
    ParquetError::General("a column's pages are not where it says".to_owned())
}

struct Header {
    length: u64,
    unpacked: u64,
    stored: u64,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields = Compact(bytes);
        let (mut sizes, mut id) = ([None; 2], 0);
        while let Some(kind) = fields.field(&mut id)? {
            match (id, kind) {
                (2 | 3, INTEGER) => sizes[id as usize - 2] = u64::try_from(fields.integer()?).ok(),
                _ => fields.skip(kind, DEEPEST)?,
            }
        }
        let [Some(unpacked), Some(stored)] = sizes else { return None };
        Some(Self { length: (bytes.len() - fields.0.len()) as u64, unpacked, stored })
    }
}

/// A 32-bit integer's type.
const INTEGER: u8 = 5;

/// A reader of the compact protocol; every step is `None` where the bytes end or mean nothing.
struct Compact<'a>(&'a [u8]);

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn pass(&mut self, count: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn integer(&mut self) -> Option<i64> {
        let zigzag = self.varint()?;
        Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    /// The type of the next field, whose number becomes `id`; `Some(None)` behind the last.
    fn field(&mut self, id: &mut i64) -> Option<Option<u8>> {
        let byte = self.byte()?;
        let (step, kind) = (i64::from(byte >> 4), byte & 15);
        if kind == 0 {
            return Some(None);
        }
        *id = if step == 0 { self.integer()? } else { *id + step };
        Some(Some(kind))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            // The value of a boolean field stands in its type.
            1 | 2 => Some(()),
            3 => self.pass(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.pass(8),
            8 => {
                let length = self.varint()?;
                self.pass(length)
            }
            9 | 10 => {
                let depth = depth.checked_sub(1)?;
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                (0..count).try_for_each(|_| self.element(head & 15, depth))
            }
            12 => {
                let (depth, mut id) = (depth.checked_sub(1)?, 0);
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth)?;
                }
                Some(())
            }
            _ => None,
        }
    }

    /// A value of a list, where a boolean takes a byte.
    fn element(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            1 | 2 => self.pass(1),
            kind => self.skip(kind, depth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_stand_before_and_behind_what_is_skipped() {
        // type 0, unpacked 300, stored 20, crc -1, a struct (with 5 values, a binary of two bytes, a list of two booleans, a nested struct), the end.
        let header =
            [0x15, 0, 0x15, 0xd8, 4, 0x15, 40, 0x15, 1, 0x1c, 0x15, 10, 0x18, 2, b'a', b'b', 0x19, 0x21, 1, 2, 0x1c, 0x11, 0, 0, 0];
        let read = Header::read(&[header.as_slice(), b"data"].concat()).unwrap();
        assert_eq!((read.length, read.unpacked, read.stored), (header.len() as u64, 300, 20));
        for cut in 0..header.len() {
            assert!(Header::read(&header[..cut]).is_none(), "{cut}");
        }
        assert!(Header::read(&[0x1c; 1000]).is_none(), "structures in structures end");
        assert!(Header::read(&[0x19; 60_000]).is_none(), "and lists in lists");
        assert!(Header::read(&[0x15, 0, 0x15, 1, 0x15, 40, 0]).is_none(), "a negative length");
    }
}
