//! The one door: limits, then the format's reader, then orientation.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::{DecodeError, Fault};
use super::orientation::Orientation;
use super::{bmp, gif, jpeg, png, sniff, tiff, webp};
use crate::domain::attachment::MediaType;
use crate::domain::clip::{Clip, FrameAt, Shot};
use crate::domain::frame::{BufferPool, Frame};

/// What one attachment may cost.
///
/// Decoding takes at most about `20 * max_pixels` bytes beside the attachment itself. The dearest cases are a progressive CMYK
/// JPEG (8 for coefficients, 3 for the frame, 3 more when it is turned) and a 16-bit TIFF of eight samples. However small the
/// picture, a TIFF's tile may take 16 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Width times height, in pixels.
    pub max_pixels: u64,
    /// Width and height each, in pixels.
    pub max_side: u32,
    /// Length of the attachment, in bytes.
    pub max_bytes: usize,
}

/// What the header says, as a decoded frame would have it: after EXIF orientation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub media_type: MediaType,
    /// In pixels, at least 1.
    pub width: u32,
    /// In pixels, at least 1.
    pub height: u32,
}

/// Decodes pictures within [`Limits`], into buffers of a pool. Cheap to clone; used from many threads at once.
#[derive(Clone, Debug)]
pub struct Decoder {
    limits: Limits,
    pool: BufferPool,
}

/// One format's reader: opened from the header alone, then read once the limits have been checked.
pub(super) trait Picture<'a>: Sized {
    /// Reads the header. Allocates nothing proportional to the pixels it states.
    fn open(bytes: &'a [u8]) -> Result<Self, Fault>;
    /// Width and height as stored, before orientation. Zero is refused by the caller.
    fn size(&self) -> (u32, u32);
    /// How the stored pixels are to be turned.
    fn orientation(&self) -> Orientation;
    /// Writes all `3 * width * height` bytes of `out`, whose content is unspecified; scratch areas come from `pool`.
    fn read(self, out: &mut [u8], pool: &BufferPool) -> Result<(), Fault>;
}

impl Decoder {
    /// A decoder that holds every attachment to `limits` and takes its buffers from `pool`.
    pub fn new(limits: Limits, pool: BufferPool) -> Self {
        Self { limits, pool }
    }

    /// Type and size from the header, within the limits. Decodes no pixels.
    pub fn header(&self, bytes: &[u8]) -> Result<Header, DecodeError> {
        let media_type = self.admit(bytes)?;
        guarded(media_type, || match media_type {
            MediaType::Jpeg => self.size_of::<jpeg::Jpeg>(media_type, bytes),
            MediaType::Png => self.size_of::<png::Png>(media_type, bytes),
            MediaType::Webp => self.size_of::<webp::Webp>(media_type, bytes),
            MediaType::Gif => self.size_of::<gif::Gif>(media_type, bytes),
            MediaType::Bmp => self.size_of::<bmp::Bmp>(media_type, bytes),
            MediaType::Tiff => self.size_of::<tiff::Tiff>(media_type, bytes),
        })
    }

    /// The whole picture; of an animation the first frame.
    pub fn decode(&self, bytes: &[u8]) -> Result<(MediaType, Frame), DecodeError> {
        let media_type = self.admit(bytes)?;
        let frame = guarded(media_type, || match media_type {
            MediaType::Jpeg => self.frame_of::<jpeg::Jpeg>(media_type, bytes),
            MediaType::Png => self.frame_of::<png::Png>(media_type, bytes),
            MediaType::Webp => self.frame_of::<webp::Webp>(media_type, bytes),
            MediaType::Gif => self.frame_of::<gif::Gif>(media_type, bytes),
            MediaType::Bmp => self.frame_of::<bmp::Bmp>(media_type, bytes),
            MediaType::Tiff => self.frame_of::<tiff::Tiff>(media_type, bytes),
        })?;
        Ok((media_type, frame))
    }

    /// Every frame, page or picture of the file, in order, decoded one at a time as they are asked for. A still is a clip of one frame.
    ///
    /// # Errors
    /// What is wrong before the first frame; what is wrong with a later one ends the clip's shots.
    pub fn clip<'a>(&'a self, bytes: &'a [u8]) -> Result<(MediaType, Clip<'a, DecodeError>), DecodeError> {
        let (media_type, frame) = self.decode(bytes)?;
        let shot = Shot { at: FrameAt { index: 0, time: None }, frame, alpha: None };
        Ok((media_type, Clip { frames: Some(1), shots: Box::new(std::iter::once(Ok(shot))) }))
    }

    /// A JPEG from its luma plane alone: a frame whose three channels are equal. `None` for everything that has no such plane, which is
    /// [`decode`](Self::decode)'s work.
    ///
    /// Saves the chroma's IDCT, upsampling and colour conversion, not its entropy decoding. Only for PDQ, which takes luma anyway; the hash may
    /// differ by a few bits, because an RGB pixel is rounded and clipped before its luma is taken (figures in the room's essay).
    pub fn decode_luma(&self, bytes: &[u8]) -> Result<Option<Frame>, DecodeError> {
        let media_type = self.admit(bytes)?;
        if media_type != MediaType::Jpeg {
            return Ok(None);
        }
        guarded(media_type, || {
            let picture = self.open::<jpeg::Luma>(media_type, bytes)?;
            if picture.is_plane() { self.frame_from(media_type, picture).map(Some) } else { Ok(None) }
        })
    }

    fn admit(&self, bytes: &[u8]) -> Result<MediaType, DecodeError> {
        if bytes.is_empty() {
            return Err(DecodeError::Empty);
        }
        if bytes.len() > self.limits.max_bytes {
            return Err(DecodeError::TooManyBytes { bytes: bytes.len(), max_bytes: self.limits.max_bytes });
        }
        sniff(bytes).ok_or(DecodeError::UnsupportedType)
    }

    fn open<'a, P: Picture<'a>>(&self, media_type: MediaType, bytes: &'a [u8]) -> Result<P, DecodeError> {
        let picture = P::open(bytes).map_err(|fault| fault.of(media_type))?;
        let (width, height) = picture.size();
        if width == 0 || height == 0 {
            return Err(Fault::malformed("a side of zero pixels").of(media_type));
        }
        let Limits { max_pixels, max_side, .. } = self.limits;
        if width > max_side || height > max_side || u64::from(width) * u64::from(height) > max_pixels {
            return Err(DecodeError::TooLarge { width, height, max_pixels, max_side });
        }
        Ok(picture)
    }

    fn size_of<'a, P: Picture<'a>>(&self, media_type: MediaType, bytes: &'a [u8]) -> Result<Header, DecodeError> {
        let picture = self.open::<P>(media_type, bytes)?;
        let (width, height) = picture.size();
        let (width, height) = if picture.orientation().swaps_sides() { (height, width) } else { (width, height) };
        Ok(Header { media_type, width, height })
    }

    fn frame_of<'a, P: Picture<'a>>(&self, media_type: MediaType, bytes: &'a [u8]) -> Result<Frame, DecodeError> {
        self.frame_from(media_type, self.open::<P>(media_type, bytes)?)
    }

    fn frame_from<'a, P: Picture<'a>>(&self, media_type: MediaType, picture: P) -> Result<Frame, DecodeError> {
        let ((width, height), orientation) = (picture.size(), picture.orientation());
        // A frame that cannot be addressed is far beyond any machine's limits, but `max_pixels` is the operator's to set.
        let length = usize::try_from(3 * u128::from(width) * u128::from(height))
            .map_err(|_| Fault::malformed("more pixels than can be addressed").of(media_type))?;
        let mut pixels = self.pool.take(length);
        picture.read(&mut pixels, &self.pool).map_err(|fault| fault.of(media_type))?;
        let (width, height, pixels) = orientation.apply(width, height, pixels, &self.pool);
        Frame::new(width, height, pixels).map_err(|error| Fault::malformed(error).of(media_type))
    }
}

/// The last net: a decoder's panic is the attachment's fault.
///
/// Nothing survives the panic but the pool, which holds plain byte buffers and recovers its lock.
fn guarded<T>(media_type: MediaType, work: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Fault::malformed("the decoder gave up on it").of(media_type)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_the_attachments_fault() {
        let result: Result<(), _> = guarded(MediaType::Gif, || panic!("decoder bug"));
        assert_eq!(result.unwrap_err().code(), "malformed");
    }

    #[test]
    fn bytes_are_admitted_by_length_and_type() {
        let decoder = Decoder::new(Limits { max_pixels: 100, max_side: 100, max_bytes: 4 }, BufferPool::new(0));
        let code = |bytes: &[u8]| decoder.decode(bytes).unwrap_err().code();
        assert_eq!(code(b""), "empty");
        assert_eq!(code(b"text"), "unsupported_media_type");
        assert_eq!(code(b"\xff\xd8\xff\xe0\0"), "too_large");
        assert_eq!(code(b"\xff\xd8\xff\xe0"), "malformed");
    }
}
