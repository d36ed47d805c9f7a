//! Untrusted bytes to a [`Frame`](crate::domain::frame::Frame): sniffing, limits, decoding, and the definition of what a pixel is.
//!
//! Everything above this room sees only frames, so two things are settled here once.
//!
//! **What may cost memory.** The type is told by the first bytes, never by the sender. The header is read first; width,
//! height and area are held against [`Limits`] before anything proportional to pixels is allocated. Every length that a
//! file states (a frame inside a WebP, a tile of a TIFF, a JPEG inside a tile) is checked again where it is used. All decoders
//! are memory-safe Rust, and whatever a decoder may leave unwritten is cleared first, so that no earlier attachment shows through a
//! pooled buffer; a panic inside one is caught and is that attachment's [`DecodeError::Malformed`], never the server's.
//! The pixels, and every scratch area that this room makes, come from one [`BufferPool`](crate::domain::frame::BufferPool).
//!
//! **What may cost time.** What a file asks for is counted against what its bytes and pixels earn, and ends at the caller's deadline ([`Decoder::until`]): see `work`.
//!
//! **What a pixel is.** Existing hash lists were made with Pillow, so a frame holds what
//! `ImageOps.exif_transpose(Image.open(file)).convert("RGB")` gives: EXIF orientation applied; palettes and greys expanded;
//! CMYK and YCCK by Pillow's integer formula; alpha and palette transparency dropped, not composited; ICC profiles ignored (but see below). Lossless formats and lossy WebP are equal to Pillow 13 byte by byte. JPEG differs a little, because IDCT
//! and chroma upsampling are not defined to the bit (measured in `tests/integration/decode.rs`). Damaged files end as they do in
//! Pillow: what is cut short is an error, not a half-grey picture.
//!
//! **Frames, pages and alpha.** [`Decoder::clip`] gives every frame of an animation, page of a TIFF and picture of an MPO, one at a time, each as
//! `seek(n)` and `convert("RGB")` show it, with its time and the alpha that was dropped; [`Decoder::decode`] is the first of them. Where Pillow
//! shows another thing than viewers do, the format's specification is followed; `png`, `gif` and `mpo` say where. Where browsers show yet another picture, that is
//! given beside it ([`Shot::drawn`](crate::domain::clip::Shot)): `gif/screen`, `webp` and `colours` say which. Not looked at: previews
//! inside EXIF, SubIFDs of a TIFF, and what stands behind the end of a file's own structure; no viewer shows these as pictures of the file.
//! `scripts/conformance/frames.py` compares all of it on random files, and `scripts/conformance/browser.py` with what Chromium shows.
//!
//! **Which JPEG decoder.** Two, both memory-safe; libjpeg-turbo would have to sit behind a sandboxed process. zune-jpeg 0.5.15 is fast: per core,
//! into reused buffers, 0.3 to 12 megapixels, quality 85, it takes 1.2 to 1.4 times libjpeg-turbo's time for 4:2:0, 1.0 to 1.35 for 4:2:2,
//! 0.9 to 1.15 for 4:4:4, 1.4 to 1.8 for progressive and 1.6 to 1.8 for grey files (a probe with the turbojpeg crate beside ours, on a busy
//! machine; it is not part of this repository). But it turns some layouts that the standard allows to garbage without an error, and refuses others: one
//! scan per component with vertically subsampled chroma (which `jpegtran -scans` makes of any photo), chroma finer than luma, a first scan that is not
//! luma, implied Huffman tables, progressive files that lack scans. So it gets only the layouts that almost every file has and that it was shown to
//! read right; every other layout, and every file that it refuses, is read by our own decoder (`jpeg/`), which follows libjpeg-turbo to the bit.
//! `scripts/conformance/jpeg_layouts.py` generates layouts from the format's options and holds both against Debian's djpeg: in 20,000 files no other
//! picture came out, and nothing that cjpeg, jpegtran, Pillow or a camera writes was refused. What is refused though djpeg decodes it: arithmetic
//! coding, and progressive files that lack scans (readers guess what is missing, and releases of libjpeg-turbo guess in different ways).
//! The number of scans is bounded before it costs time. Neither decoder scales while it decodes (libjpeg's DCT scaling), so there is no such mode.
//!
//! **What decoding does to a hash.** `scripts/conformance/decode.py` compares the PDQ hash of files with that of libjpeg-turbo's pixels (540 JPEGs
//! of 4:4:4, 4:2:2 and 4:2:0, baseline and progressive, quality 20 to 95, 40 to 1,800 pixels a side; 516 have a PDQ quality of 80 or
//! more):
//!
//! | mode | 0 bits | 2 bits | 4 bits | largest | time |
//! | --- | --- | --- | --- | --- | --- |
//! | [`Decoder::decode`] | 461 | 54 | 1 | 4 | 1 |
//! | [`Decoder::decode_luma`] | 368 | 134 | 14 | 4 (6 at a lower quality) | entropy decoding and IDCT alone 0.64 to 0.72, progressive 0.6 to 0.85; spreading the plane to three bytes takes part of that back (the same probe) |
//!
//! The other way, a frame to an altered frame ([`edit`]) and to a file ([`encode`]), is for evaluation: what hashing survives is measured on
//! pictures that were changed as people change them.
//!
//! `scripts/conformance/format_layouts.py` makes PNG, WebP, GIF, TIFF and BMP files of all options and holds them against Pillow and dwebp; a part
//! is committed (`tests/integration/decode_formats.rs`). Deliberate differences to Pillow 13:
//! - 16-bit grey (PNG, TIFF) is reduced by `>> 8`; Pillow clips it at 255, which turns almost every such picture white.
//! - Orientation is read from EXIF only; Pillow falls back to XMP and to ImageMagick's `Raw profile type exif` text.
//! - Of a JPEG that ends without its end marker nothing may be missing; Pillow refuses the small ones and fills up the larger ones.
//! - A JPEG whose entropy-coded data is corrupt is an error; libjpeg resynchronises and warns. Half a picture that looks whole
//!   would be scored as if it were the picture.
//! - TIFF directories that are cut short are errors.
//! - Where Pillow misreads a file that says what it is (grey palettes of small BMPs, 16-bit TIFFs in planes), the file's own words count.
//! - BigTIFF, CCITT fax, LZMA, Zstandard, WebP-in-TIFF, floating point, signed, CIELab and non-JPEG YCbCr TIFFs, and arithmetic
//!   coded, lossless or 12-bit JPEGs are [`DecodeError::UnsupportedFeature`].
//!
//! ```
//! use nightlight::domain::frame::BufferPool;
//! use nightlight::engines::media::{DecodeError, Decoder, Limits};
//!
//! let limits = Limits { max_pixels: 100_000_000, max_side: 30_000, max_bytes: 32 << 20 };
//! let decoder = Decoder::new(limits, BufferPool::new(256 << 20));
//! assert!(matches!(decoder.decode(b"plain text"), Err(DecodeError::UnsupportedType(None))));
//! ```

mod bmp;
mod canvas;
mod colours;
mod decoder;
pub mod edit;
pub mod encode;
mod error;
mod gif;
mod inflate;
mod jpeg;
mod mpo;
mod orientation;
mod pixels;
mod png;
mod sequence;
mod sniff;
mod tiff;
mod webp;
mod work;

pub use decoder::{Decoder, Header, Limits};
pub use error::DecodeError;
pub use sniff::{Recognised, recognise, sniff};
