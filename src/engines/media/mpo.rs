//! JPEG files, and the further pictures that a multi-picture index names (MPO: both eyes of a stereo camera, previews, gain maps).
//!
//! Each of them is a JPEG of its own behind the first one. What stands behind the first picture and is not in the index is not looked at: no
//! viewer shows it. An index that cannot be read is none, as in Pillow; a picture that it names and that is not there is an error. Where the file says
//! that it is an Ultra HDR picture, what stands behind the first one is a gain map, which no viewer shows: there the first is all, as in Pillow.
//! Sources: "Multi-Picture Format", CIPA DC-007 (2009); "Ultra HDR Image Format v1.1", Android, for `hdrgm:Version`.

use super::colours::Profile;
use super::error::Fault;
use super::jpeg::Jpeg;
use super::sequence::{Picture, Reading, Sequence, Stored};
use super::tiff::Directory;
use super::work::Work;
use crate::domain::frame::{Buffer, BufferPool};

/// Tags of the index.
const NUMBER_OF_IMAGES: u16 = 0xb001;
const ENTRIES: u16 = 0xb002;
const ENTRY_BYTES: usize = 16;

pub(super) struct Mpo<'a> {
    bytes: &'a [u8],
    index: Option<Index<'a>>,
    /// The picture that is read next.
    picture: Option<Jpeg<'a>>,
    /// The same from its first byte.
    announced: &'a [u8],
    /// Of the picture that is announced next.
    number: usize,
}

impl<'a> Sequence<'a> for Mpo<'a> {
    const INDEPENDENT: bool = true;

    fn open(bytes: &'a [u8], work: &Work) -> Result<Self, Fault> {
        Ok(Self { bytes, index: Index::of(bytes), picture: Some(Jpeg::open(bytes, work)?), announced: bytes, number: 0 })
    }

    fn frames(&self) -> Option<u32> {
        Some(self.index.as_ref().map_or(1, |index| index.pictures as u32))
    }

    fn next(&mut self, work: &Work) -> Result<Option<Stored>, Fault> {
        let number = self.number;
        if number > 0 {
            let Some(index) = self.index.as_ref().filter(|index| number < index.pictures) else { return Ok(None) };
            // Whatever is wrong with it, the next one is the next one's.
            self.number += 1;
            self.announced = index.picture(self.bytes, number)?;
            let picture = Jpeg::open(self.announced, work)?;
            // Entries may all name the same bytes.
            work.refer(picture.head_length())?;
            self.picture = Some(picture);
        } else {
            self.number = 1;
        }
        let stored = |picture: &Jpeg<'_>| Stored { size: picture.size(), orientation: picture.orientation(), time: None };
        Ok(self.picture.as_ref().map(stored))
    }

    fn read(&mut self, out: &mut [u8], _reading: Reading, pool: &BufferPool, work: &Work) -> Result<Option<Buffer>, Fault> {
        let picture = self.picture.take().ok_or_else(|| Fault::malformed("no frame"))?;
        picture.read(out, pool, work).map(|()| None)
    }

    fn profiles(&self, _work: &Work) -> Result<Vec<Profile<'a>>, Fault> {
        Ok(profile(self.announced).into_iter().collect())
    }
}

/// Where the pictures of a file stand.
struct Index<'a> {
    /// Where in the file offsets count from.
    start: usize,
    little: bool,
    entries: &'a [u8],
    pictures: usize,
}

impl<'a> Index<'a> {
    /// `None` where there is none, or where it names no second picture.
    fn of(file: &'a [u8]) -> Option<Self> {
        let (start, block) = last_block(file).filter(|_| !is_ultra_hdr(file))?;
        let directory = Directory::open(block).ok()?;
        let pictures = directory.first(NUMBER_OF_IMAGES)? as usize;
        let entries = directory.bytes(ENTRIES)?;
        // One that states more pictures than it has entries for names those that it has, and misses the others; one that states fewer names them all.
        let held = entries.len() / ENTRY_BYTES;
        let pictures = pictures.clamp(held, held + 1);
        (pictures > 1 && held > 0).then_some(Self { start, little: directory.little, entries, pictures })
    }

    /// The bytes from the beginning of a picture; the first one is number 0.
    fn picture(&self, file: &'a [u8], number: usize) -> Result<&'a [u8], Fault> {
        let missing = || Fault::Missing("a picture of the index is not there".to_owned());
        let entry = self.entries.get(ENTRY_BYTES * number..).ok_or_else(missing)?;
        let word = |at: usize| -> Option<u32> {
            let bytes = *entry.get(at..)?.first_chunk()?;
            Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
        };
        // Attributes, length, offset. Three bits of the attributes name the format, of which JPEG is 0.
        let (attributes, offset) = word(0).zip(word(8)).ok_or_else(missing)?;
        if (attributes >> 24) & 7 != 0 {
            return Err(Fault::unsupported("another format than JPEG in its index"));
        }
        let start = self.start.checked_add(offset as usize).ok_or_else(missing)?;
        // The length is not used, nor does Pillow: a JPEG knows its end.
        file.get(start..).filter(|picture| picture.starts_with(b"\xff\xd8")).ok_or_else(missing)
    }
}

/// The last multi-picture block (APP2) before the first scan, and where in the file it begins.
fn last_block(file: &[u8]) -> Option<(usize, &[u8])> {
    let mut found = None;
    each_segment(file, |marker, at, data| {
        if marker == 0xe2 && data.starts_with(b"MPF\0") {
            found = Some((at + 4, &data[4..]));
        }
    });
    found
}

/// The profile of a JPEG: the parts of it that APP2 segments hold, in the order of their numbers, which must be whole (ICC.1:2022, annex B.4). Of several
/// parts of a number the first counts, and how many there are the first of all says, as in Chromium.
fn profile(picture: &[u8]) -> Option<Profile<'_>> {
    let mut parts: Vec<(u8, u8, &[u8])> = Vec::new();
    each_segment(picture, |marker, _, data| {
        if let (0xe2, Some([number, count, part @ ..])) = (marker, data.strip_prefix(b"ICC_PROFILE\0"))
            && (1..=*count).contains(number)
            && !part.is_empty()
            && !parts.iter().any(|(held, ..)| held == number)
        {
            parts.push((*number, *count, part));
        }
    });
    let count = parts.first()?.1;
    parts.retain(|(number, ..)| (1..=count).contains(number));
    parts.sort_by_key(|&(number, ..)| number);
    match parts[..] {
        [(_, _, part)] if count == 1 => Some(Profile::Icc(part.into())),
        _ if parts.len() != usize::from(count) => None,
        _ => Some(Profile::Icc(parts.iter().flat_map(|&(_, _, part)| part).copied().collect())),
    }
}

/// Whether some XMP (APP1) says that what follows is a gain map.
fn is_ultra_hdr(file: &[u8]) -> bool {
    const SAYS_SO: &[u8] = b" hdrgm:Version=\"";
    let mut found = false;
    each_segment(file, |marker, _, data| found |= marker == 0xe1 && data.windows(SAYS_SO.len()).any(|words| words == SAYS_SO));
    found
}

/// Shows every segment before the first scan: its marker, where its data begin, and the data. Like libjpeg it passes over what stands between segments, and over
/// markers without a length.
fn each_segment<'a>(file: &'a [u8], mut show: impl FnMut(u8, usize, &'a [u8])) {
    let mut at = 2;
    while let Some(found) = file.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff)) {
        at += found;
        match file.get(at + 1) {
            None | Some(0xd9 | 0xda) => break,
            Some(0xff) => at += 1,
            Some(0x00 | 0x01 | 0xd0..=0xd8) => at += 2,
            Some(&marker) => {
                let Some(length) = file.get(at + 2..at + 4).map(|bytes| usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))) else {
                    break;
                };
                let Some(data) = file.get(at + 4..at + 2 + length) else { break };
                show(marker, at + 4, data);
                at += 2 + length;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_found_behind_other_segments_and_never_runs_away() {
        let mut index = b"II*\0\x08\0\0\0\x02\0".to_vec();
        index.extend(b"\x01\xb0\x04\0\x01\0\0\0\x02\0\0\0");
        index.extend(b"\x02\xb0\x07\0\x20\0\0\0\x26\0\0\0\0\0\0\0");
        index.extend([0; 16]);
        index.extend(b"\0\0\0\0\x04\0\0\0\x46\0\0\0\0\0\0\0");
        let mut file = b"\xff\xd8\xff\xe0\0\x04ab\xff\xe2\0\x4cMPF\0".to_vec();
        file.extend(&index);
        file.extend(b"\xff\xd8\xff\xd9");
        let found = Index::of(&file).unwrap();
        assert_eq!((found.start, found.pictures), (16, 2));
        assert_eq!(found.picture(&file, 1).unwrap(), b"\xff\xd8\xff\xd9");
        assert!(found.picture(&file[..file.len() - 4], 1).is_err());
        let mut hdr = b"\xff\xd8\xff\xe1\0\x1bxmlns hdrgm:Version=\"1.0\"".to_vec();
        assert_eq!(hdr[5] as usize, hdr.len() - 4, "the segment's length");
        hdr.extend(&file[2..]);
        assert!(Index::of(&hdr).is_none(), "a gain map is no picture of the file");
        for cut in 0..file.len() {
            let _ = Index::of(&file[..cut]);
        }
    }
}
