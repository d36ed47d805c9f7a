//! The real type of some bytes.

use crate::domain::attachment::MediaType;

/// The media type by its magic bytes; `None` when it is none that this server decodes. Reads at most 18 bytes.
pub fn sniff(bytes: &[u8]) -> Option<MediaType> {
    Some(match bytes {
        [0xff, 0xd8, 0xff, ..] => MediaType::Jpeg,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => MediaType::Png,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => MediaType::Webp,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => MediaType::Gif,
        // Two letters are weak evidence: a text may begin with them. Behind the file's header of 14 bytes stands the length of the next one, 12 to 124 in every version, whose
        // upper bytes no text has.
        [b'B', b'M', .., 0, 0, 0] if bytes.len() == BMP_EVIDENCE && bytes[14] >= 12 => MediaType::Bmp,
        [b'B', b'M', ..] if bytes.len() > BMP_EVIDENCE => return sniff(&bytes[..BMP_EVIDENCE]),
        // 42 is TIFF, 43 is BigTIFF (recognised so that it gets an honest error).
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => MediaType::Tiff,
        _ => return None,
    })
}

/// Bytes of a BMP file up to the end of its second header's length.
const BMP_EVIDENCE: usize = 18;

/// A type of files that is known by its magic bytes and not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// The IANA name, or the usual one where there is none.
    pub media_type: &'static str,
    /// What such files are, for people; ready for "… are not decoded".
    pub words: &'static str,
}

/// Bytes that are looked through for what does not stand at a fixed place.
const WINDOW: usize = 4096;

/// What bytes are that [`sniff`] does not name, of the types that people send most. Reads at most 4 KiB.
///
/// Sources: the registrations at IANA (media types) and the MP4 registration authority (brands), and the formats' own documents, as file(1) and the MIME Sniffing Standard
/// collect them.
pub fn recognise(bytes: &[u8]) -> Option<Recognised> {
    let found = by_start(bytes).or_else(|| by_container(bytes)).or_else(|| by_words(bytes));
    found.map(|(media_type, words)| Recognised { media_type, words })
}

/// IANA name and words.
type Named = (&'static str, &'static str);

/// Types whose first bytes are enough.
const STARTS: &[(&[u8], Named)] = &[
    (b"\xff\x0a", ("image/jxl", "JPEG XL pictures")),
    (b"\0\0\0\x0cJXL \r\n\x87\n", ("image/jxl", "JPEG XL pictures")),
    (b"\0\0\0\x0cjP  \r\n\x87\n", ("image/jp2", "JPEG 2000 pictures")),
    (b"\xff\x4f\xff\x51", ("image/j2c", "JPEG 2000 pictures")),
    (b"II\xbc\x01", ("image/jxr", "JPEG XR pictures")),
    (b"8BPS", ("image/vnd.adobe.photoshop", "Photoshop files")),
    (b"gimp xcf", ("image/x-xcf", "GIMP files")),
    (b"qoif", ("image/qoi", "QOI pictures")),
    (b"BPG\xfb", ("image/bpg", "BPG pictures")),
    (b"\x76\x2f\x31\x01", ("image/x-exr", "OpenEXR pictures")),
    (b"DDS ", ("image/vnd.ms-dds", "DDS pictures")),
    (b"FUJIFILMCCD-RAW", ("image/x-fuji-raf", "raw camera pictures")),
    (b"FOVb", ("image/x-sigma-x3f", "raw camera pictures")),
    (b"\xd7\xcd\xc6\x9a", ("image/wmf", "Windows metafiles")),
    (b"\x8aMNG\r\n\x1a\n", ("video/x-mng", "MNG animations")),
    (b"FLV\x01", ("video/x-flv", "Flash videos")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ("application/vnd.ms-asf", "Windows Media files")),
    (b"\0\0\x01\xba", ("video/mpeg", "MPEG videos")),
    (b"\0\0\x01\xb3", ("video/mpeg", "MPEG videos")),
    (b".RMF", ("application/vnd.rn-realmedia", "RealMedia files")),
    (b"ID3", ("audio/mpeg", "MP3 recordings")),
    (b"fLaC", ("audio/flac", "FLAC recordings")),
    (b"#!AMR", ("audio/amr", "AMR recordings")),
    (b"MThd", ("audio/midi", "MIDI files")),
    (b"caff", ("audio/x-caf", "CAF recordings")),
    (b"PK\x05\x06", ("application/zip", "ZIP archives")),
    (b"PK\x07\x08", ("application/zip", "ZIP archives")),
    (b"Rar!\x1a\x07", ("application/vnd.rar", "RAR archives")),
    (b"7z\xbc\xaf\x27\x1c", ("application/x-7z-compressed", "7z archives")),
    (b"\x1f\x8b", ("application/gzip", "gzip files")),
    (b"BZh", ("application/x-bzip2", "bzip2 files")),
    (b"\xfd7zXZ\0", ("application/x-xz", "xz files")),
    (b"\x28\xb5\x2f\xfd", ("application/zstd", "Zstandard files")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ("application/x-ole-storage", "older Office documents")),
    (b"{\\rtf", ("application/rtf", "RTF documents")),
    (b"%!PS", ("application/postscript", "PostScript files")),
    (b"AT&TFORM", ("image/vnd.djvu", "DjVu documents")),
    (b"SQLite format 3\0", ("application/vnd.sqlite3", "SQLite databases")),
    (b"\x7fELF", ("application/x-elf", "programs")),
    (b"wOFF", ("font/woff", "fonts")),
    (b"wOF2", ("font/woff2", "fonts")),
    (b"OTTO", ("font/otf", "fonts")),
];

fn by_start(bytes: &[u8]) -> Option<Named> {
    STARTS.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, named)| *named)
}

/// Types that are told by two places, or by what a container holds.
fn by_container(bytes: &[u8]) -> Option<Named> {
    let head = bytes.get(..WINDOW.min(bytes.len()))?;
    let holds = |word: &[u8], within: usize| head.get(..within.min(head.len())).is_some_and(|head| find(head, word));
    Some(match head {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => ("video/vnd.avi", "AVI videos"),
        [b'R', b'I', b'F', b'F' | b'X', _, _, _, _, b'W', b'A', b'V', b'E', ..] => ("audio/vnd.wave", "WAV recordings"),
        [b'F', b'O', b'R', b'M', _, _, _, _, b'A', b'I', b'F', b'F' | b'C', ..] => ("audio/x-aiff", "AIFF recordings"),
        [0x1a, 0x45, 0xdf, 0xa3, ..] if holds(b"webm", 64) => ("video/webm", "WebM videos"),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => ("video/matroska", "Matroska videos"),
        [b'O', b'g', b'g', b'S', ..] if holds(b"\x80theora", 64) => ("video/ogg", "Ogg videos"),
        [b'O', b'g', b'g', b'S', ..] => ("audio/ogg", "Ogg recordings"),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => base_media(head),
        // QuickTime before it had a type: a box of the film itself comes first.
        [0, _, _, _, b'm', b'o', b'o', b'v', ..] | [0, _, _, _, b'm', b'd', b'a', b't', ..] | [0, 0, _, _, b'w', b'i', b'd', b'e', ..] => {
            ("video/quicktime", "QuickTime videos")
        }
        [b'P', b'K', 3, 4, ..] => zip(head),
        // Frames of MPEG audio: eleven bits, then a version and a layer that exist.
        [0xff, second, third, ..] if *second & 0xf6 == 0xf0 && *third & 0x3c < 0x34 => ("audio/aac", "AAC recordings"),
        [0xff, second, third, ..] if *second & 0xe6 == 0xe2 && *second & 0x18 != 0x08 && *third & 0xf0 != 0xf0 && *third & 0x0c != 0x0c => {
            ("audio/mpeg", "MP3 recordings")
        }
        [0x47, ..] if bytes.get(188) == Some(&0x47) && bytes.get(376).is_none_or(|byte| *byte == 0x47) => ("video/mp2t", "MPEG videos"),
        [0, 0, 1, 0, count, 0, ..] if *count > 0 => ("image/vnd.microsoft.icon", "icons"),
        [0, 0, 2, 0, count, 0, ..] if *count > 0 => ("image/x-win-bitmap", "cursors"),
        [1, 0, 0, 0, ..] if head.get(40..44) == Some(b" EMF") => ("image/emf", "Windows metafiles"),
        [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..] => ("image/x-portable-anymap", "PNM pictures"),
        [b'F' | b'C' | b'Z', b'W', b'S', 3..=50, ..] => ("application/vnd.adobe.flash-movie", "Flash files"),
        [b'M', b'Z', ..] if head.len() >= 64 && head.iter().take(64).any(|byte| *byte == 0) => {
            ("application/vnd.microsoft.portable-executable", "programs")
        }
        _ if head.get(257..262) == Some(b"ustar") => ("application/x-tar", "tar archives"),
        _ => return None,
    })
}

/// ISO base media files (ISO/IEC 14496-12) by the first brand that says something: the major one, then the compatible ones.
fn base_media(head: &[u8]) -> Named {
    let length = head.get(..4).and_then(|length| length.try_into().ok()).map_or(16, u32::from_be_bytes);
    let brands = head.get(8..(length as usize).clamp(12, 256).min(head.len())).unwrap_or_default();
    let named = |brand: &[u8]| match brand {
        b"heic" | b"heix" | b"heim" | b"heis" => Some(("image/heic", "HEIC pictures")),
        b"hevc" | b"hevx" | b"hevm" | b"hevs" => Some(("image/heic-sequence", "HEIC sequences")),
        b"avif" | b"avis" => Some(("image/avif", "AVIF pictures")),
        b"qt  " => Some(("video/quicktime", "QuickTime videos")),
        b"M4A " | b"M4B " => Some(("audio/mp4", "MP4 recordings")),
        b"crx " => Some(("image/x-canon-cr3", "raw camera pictures")),
        [b'3', b'g', b'p' | b'r' | b's' | b'e' | b'g', _] => Some(("video/3gpp", "3GPP videos")),
        [b'3', b'g', b'2', _] => Some(("video/3gpp2", "3GPP2 videos")),
        b"isom" | b"iso2" | b"iso4" | b"iso5" | b"iso6" | b"mp41" | b"mp42" | b"avc1" | b"M4V " | b"dash" | b"MSNV" => {
            Some(("video/mp4", "MP4 videos"))
        }
        _ => None,
    };
    // Four bytes of a version stand behind the major brand.
    let all = brands.chunks_exact(4).enumerate().filter(|(at, _)| *at != 1).map(|(_, brand)| brand);
    all.clone().find_map(named).unwrap_or_else(|| match all.clone().next() {
        // These say only what kind of file it is, not how its pictures are coded.
        Some(b"msf1") => ("image/heif-sequence", "HEIF sequences"),
        Some(b"mif1" | b"mif2" | b"miaf") => ("image/heif", "HEIF pictures"),
        _ => ("video/mp4", "MP4 videos"),
    })
}

/// What a ZIP archive is the wrapping of: OPC's parts, or the type that OpenDocument and EPUB put first.
fn zip(head: &[u8]) -> Named {
    let first = head.get(30..).unwrap_or_default();
    if first.starts_with(b"mimetypeapplication/epub+zip") {
        return ("application/epub+zip", "EPUB books");
    }
    if first.starts_with(b"mimetypeapplication/vnd.oasis.opendocument.") {
        return ("application/vnd.oasis.opendocument.text", "OpenDocument files");
    }
    let holds = |word: &[u8]| find(head, word);
    if holds(b"[Content_Types].xml") || holds(b"_rels/.rels") || holds(b"docProps/") {
        for (part, media_type) in [
            (&b"word/"[..], "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
            (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
            (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ] {
            if holds(part) {
                return (media_type, "Office documents");
            }
        }
    }
    if holds(b"AndroidManifest.xml") {
        return ("application/vnd.android.package-archive", "Android packages");
    }
    ("application/zip", "ZIP archives")
}

/// Types that are written: a word at their beginning, behind white space and a byte order mark.
fn by_words(bytes: &[u8]) -> Option<Named> {
    let head = bytes.get(..1024.min(bytes.len()))?;
    // Readers of PDF look for it in the first kilobyte (ISO 32000-1, annex H, note 13).
    if find(head, b"%PDF-") {
        return Some(("application/pdf", "PDF documents"));
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let written = begins(b"<?xml") || begins(b"<!--") || begins(b"<!doctype svg");
    if begins(b"<svg") || (written && find(head, b"<svg")) {
        return Some(("image/svg+xml", "SVG drawings"));
    }
    if begins(b"<!doctype html") || begins(b"<html") {
        return Some(("text/html", "HTML pages"));
    }
    if begins(b"<?xml") { Some(("application/xml", "XML files")) } else { None }
}

fn find(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_decides_and_text_is_nothing() {
        assert_eq!(sniff(b"\xff\xd8\xff\xe0"), Some(MediaType::Jpeg));
        assert_eq!(sniff(b"\x89PNG\r\n\x1a\n...."), Some(MediaType::Png));
        assert_eq!(sniff(b"RIFF\0\0\0\0WEBPVP8 "), Some(MediaType::Webp));
        assert_eq!(sniff(b"RIFF\0\0\0\0WAVEfmt "), None);
        assert_eq!(sniff(b"GIF89a"), Some(MediaType::Gif));
        assert_eq!(sniff(b"MM\0*"), Some(MediaType::Tiff));
        assert_eq!(sniff(b""), None);
        assert_eq!(sniff(b"hello"), None);
    }

    #[test]
    fn a_text_that_begins_with_bm_is_no_bitmap() {
        let bitmap = |header: u8| [&b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0"[..], &[header, 0, 0, 0], &[0; 40]].concat();
        for header in [12, 16, 40, 52, 56, 64, 108, 124] {
            assert_eq!(sniff(&bitmap(header)), Some(MediaType::Bmp), "{header}");
            assert_eq!(sniff(&bitmap(header)[..18]), Some(MediaType::Bmp), "cut behind its evidence");
        }
        for text in [&b"BM"[..], b"BMW is a car that somebody drives", b"BM\0\0\0\0\0\0\0\0\0\0\0\0\x28\0\0", &bitmap(11)] {
            assert_eq!(sniff(text), None, "{text:?}");
        }
    }

    fn named(bytes: &[u8]) -> Option<&'static str> {
        recognise(bytes).map(|found| found.media_type)
    }

    #[test]
    fn what_is_not_decoded_has_a_name() {
        let brand = |major: &str, others: &str| {
            let length = u32::try_from(16 + others.len()).unwrap().to_be_bytes();
            [&length[..], b"ftyp", major.as_bytes(), &[0; 4], others.as_bytes(), b"\0\0\0\x08mdat"].concat()
        };
        let stream: Vec<u8> = (0..400).map(|at| if at % 188 == 0 { 0x47 } else { 1 }).collect();
        let tar = [&[b'a'; 257][..], b"ustar\0"].concat();
        let zip = |first: &str| [&b"PK\x03\x04"[..], &[0; 26], first.as_bytes()].concat();
        for (bytes, media_type) in [
            (brand("heic", "mif1heic"), "image/heic"),
            (brand("mif1", "mif1heic"), "image/heic"),
            (brand("mif1", "miafavif"), "image/avif"),
            (brand("mif1", "miaf"), "image/heif"),
            (brand("avif", "mif1miaf"), "image/avif"),
            (brand("isom", "isomiso2avc1mp41"), "video/mp4"),
            (brand("new1", "new2"), "video/mp4"),
            (brand("qt  ", "qt  "), "video/quicktime"),
            (brand("M4A ", "M4A mp42"), "audio/mp4"),
            (brand("3gp4", "isom"), "video/3gpp"),
            (b"\0\0\0\x08wide\0\0".to_vec(), "video/quicktime"),
            (b"\xff\x0a\xfa\x7f".to_vec(), "image/jxl"),
            (b"\0\0\0\x0cJXL \r\n\x87\n".to_vec(), "image/jxl"),
            (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm".to_vec(), "video/webm"),
            (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska".to_vec(), "video/matroska"),
            (b"RIFF\0\0\0\0AVI LIST".to_vec(), "video/vnd.avi"),
            (b"RIFF\0\0\0\0WAVEfmt ".to_vec(), "audio/vnd.wave"),
            (b"OggS\0\x02".to_vec(), "audio/ogg"),
            (b"ID3\x04\0".to_vec(), "audio/mpeg"),
            (b"\xff\xfb\x90\x64".to_vec(), "audio/mpeg"),
            (b"\xff\xf1\x50\x80".to_vec(), "audio/aac"),
            (b"fLaC\0".to_vec(), "audio/flac"),
            (stream, "video/mp2t"),
            (b"%PDF-1.7\n".to_vec(), "application/pdf"),
            (b"\n\n%PDF-1.7\n".to_vec(), "application/pdf"),
            (zip("a.txt"), "application/zip"),
            (zip("mimetypeapplication/epub+zip"), "application/epub+zip"),
            (zip("[Content_Types].xml...word/document.xml"), "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
            (b"<svg xmlns=\"a\"/>".to_vec(), "image/svg+xml"),
            (b"\xef\xbb\xbf<?xml version=\"1.0\"?>\n<svg/>".to_vec(), "image/svg+xml"),
            (b"<!DOCTYPE HTML><p>a".to_vec(), "text/html"),
            (b"8BPS\0\x01".to_vec(), "image/vnd.adobe.photoshop"),
            (b"\0\0\x01\0\x01\0\x10\x10".to_vec(), "image/vnd.microsoft.icon"),
            (tar, "application/x-tar"),
        ] {
            assert_eq!(named(&bytes), Some(media_type), "{}", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]));
            assert_eq!(sniff(&bytes), None, "{media_type}");
            // However early it ends.
            assert!((0..bytes.len()).all(|length| sniff(&bytes[..length]).is_none()));
            for length in 0..bytes.len() {
                let _ = recognise(&bytes[..length]);
            }
        }
    }

    #[test]
    fn words_and_noise_are_not_recognised() {
        for bytes in [
            &b""[..],
            b"hello",
            b"how old are you?",
            b"BMW",
            b"PKW",
            b"MZ",
            b"FWS",
            b"P1",
            b"\0\0\0\0",
            b"\xff\xff\xff\xff",
            b"{\"text\":\"a\"}",
        ] {
            assert_eq!(named(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn every_name_is_one_and_every_word_is_ready_for_a_sentence() {
        for (magic, (media_type, words)) in STARTS {
            assert!(media_type.split_once('/').is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty()), "{media_type}");
            assert!(words.ends_with('s') && magic.len() >= 2, "{words}");
            assert_eq!(named(magic), Some(*media_type));
        }
    }
}
