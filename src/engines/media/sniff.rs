//! The real type of some bytes.

use crate::domain::attachment::MediaType;

/// The media type by its magic bytes; `None` when it is none that this server decodes. Reads at most 12 bytes.
pub fn sniff(bytes: &[u8]) -> Option<MediaType> {
    Some(match bytes {
        [0xff, 0xd8, 0xff, ..] => MediaType::Jpeg,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => MediaType::Png,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => MediaType::Webp,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => MediaType::Gif,
        // Weak evidence; whatever else begins so is a malformed BMP.
        [b'B', b'M', ..] => MediaType::Bmp,
        // 42 is TIFF, 43 is BigTIFF (recognised so that it gets an honest error).
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => MediaType::Tiff,
        _ => return None,
    })
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
        assert_eq!(sniff(b"BM"), Some(MediaType::Bmp));
        assert_eq!(sniff(b""), None);
        assert_eq!(sniff(b"hello"), None);
    }
}
