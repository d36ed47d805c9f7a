//! The one door: limits, then the format's reader, then orientation.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::colours::{Conversion, Profile, Profiles};
use super::error::{DecodeError, Fault};
use super::orientation::Orientation;
pub(super) use super::sequence::Picture;
use super::sequence::{Raster, Reading, Sequence, Still, Stored};
use super::work::Work;
use super::{bmp, gif, jpeg, mpo, pixels, png, recognise, sniff, tiff, webp};
use crate::domain::attachment::MediaType;
use crate::domain::clip::{Clip, Drawn, FrameAt, Shot};
use crate::domain::frame::{Buffer, BufferPool, Frame};

/// What one attachment may cost.
///
/// Decoding takes at most about `25 * max_pixels` bytes beside the attachment itself, whatever its length. The dearest cases are animations (a GIF that browsers draw in
/// another way: two canvases, what is put back on each, the frame, and its indices; 25), a 16-bit TIFF of eight samples in one strip (22) and a progressive CMYK JPEG (15).
/// To that come 16 MiB for a TIFF's tile, however small the picture, and the code tables of a lossless WebP (20 KiB for each group that it earns; see `work`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Width times height, in pixels.
    pub max_pixels: u64,
    /// Width and height each, in pixels.
    pub max_side: u32,
    /// Length of the attachment, in bytes.
    pub max_bytes: usize,
}

/// Bytes of memory for each pixel, at most: see [`Limits`].
const fn memory_of(media_type: MediaType) -> u64 {
    match media_type {
        MediaType::Jpeg => 15,
        _ => 25,
    }
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
    profiles: Profiles,
    deadline: Option<Instant>,
}

impl Decoder {
    /// A decoder that holds every attachment to `limits` and takes its buffers from `pool`.
    pub fn new(limits: Limits, pool: BufferPool) -> Self {
        Self { limits, pool, profiles: Profiles::default(), deadline: None }
    }

    /// The same decoder, which stops at `deadline`: what is under work then ends with [`DecodeError::Deadline`].
    pub fn until(&self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self.clone() }
    }

    /// Type and size from the header, within the limits. Decodes no pixels.
    pub fn header(&self, bytes: &[u8]) -> Result<Header, DecodeError> {
        let media_type = self.admit(bytes)?;
        guarded(media_type, || match media_type {
            MediaType::Jpeg => self.header_of::<mpo::Mpo>(media_type, bytes),
            MediaType::Png => self.header_of::<png::Png>(media_type, bytes),
            MediaType::Webp => self.header_of::<webp::Webp>(media_type, bytes),
            MediaType::Gif => self.header_of::<gif::Gif>(media_type, bytes),
            MediaType::Bmp => self.header_of::<Still<bmp::Bmp>>(media_type, bytes),
            MediaType::Tiff => self.header_of::<tiff::Tiff>(media_type, bytes),
        })
    }

    /// The whole picture; of a sequence the first frame.
    pub fn decode(&self, bytes: &[u8]) -> Result<(MediaType, Frame), DecodeError> {
        let media_type = self.admit(bytes)?;
        let frame = guarded(media_type, || match media_type {
            MediaType::Jpeg => self.frame_of::<mpo::Mpo>(media_type, bytes),
            MediaType::Png => self.frame_of::<png::Png>(media_type, bytes),
            MediaType::Webp => self.frame_of::<webp::Webp>(media_type, bytes),
            MediaType::Gif => self.frame_of::<gif::Gif>(media_type, bytes),
            MediaType::Bmp => self.frame_of::<Still<bmp::Bmp>>(media_type, bytes),
            MediaType::Tiff => self.frame_of::<tiff::Tiff>(media_type, bytes),
        })?;
        Ok((media_type, frame))
    }

    /// Every frame, page or picture of the file, in order, decoded one at a time as they are asked for. A still is a clip of one frame, which has
    /// no time.
    ///
    /// What one step may cost is about one frame's work; how many steps are taken is the caller's affair.
    ///
    /// # Errors
    /// What the first frame's header says wrong, its size against the limits included. What is wrong with the pixels of the first frame, and with
    /// later ones, is an error among the clip's shots, and the last of them: also a frame that the file states and does not hold.
    pub fn clip<'a>(&'a self, bytes: &'a [u8]) -> Result<(MediaType, Clip<'a, DecodeError>), DecodeError> {
        let media_type = self.admit(bytes)?;
        let clip = guarded(media_type, || match media_type {
            MediaType::Jpeg => self.clip_of::<mpo::Mpo>(media_type, bytes),
            MediaType::Png => self.clip_of::<png::Png>(media_type, bytes),
            MediaType::Webp => self.clip_of::<webp::Webp>(media_type, bytes),
            MediaType::Gif => self.clip_of::<gif::Gif>(media_type, bytes),
            MediaType::Bmp => self.clip_of::<Still<bmp::Bmp>>(media_type, bytes),
            MediaType::Tiff => self.clip_of::<tiff::Tiff>(media_type, bytes),
        })?;
        Ok((media_type, clip))
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
            let work = self.work(bytes);
            let (mut still, stored) = self.open::<Still<jpeg::Luma>>(media_type, bytes, &work)?;
            if !still.picture().is_some_and(jpeg::Luma::is_plane) {
                return Ok(None);
            }
            self.read(media_type, &mut still, stored, Reading::First, &work).map(|(frame, _)| Some(frame))
        })
    }

    fn admit(&self, bytes: &[u8]) -> Result<MediaType, DecodeError> {
        if bytes.is_empty() {
            return Err(DecodeError::Empty);
        }
        if bytes.len() > self.limits.max_bytes {
            return Err(DecodeError::TooManyBytes { bytes: bytes.len(), max_bytes: self.limits.max_bytes });
        }
        sniff(bytes).ok_or_else(|| DecodeError::UnsupportedType(recognise(bytes)))
    }

    fn work(&self, bytes: &[u8]) -> Work {
        Work::of_file(bytes.len(), self.deadline)
    }

    /// The header of the next frame, within the limits; `None` behind the last.
    fn next<'a, S: Sequence<'a>>(&self, media_type: MediaType, sequence: &mut S, work: &Work) -> Result<Option<Stored>, DecodeError> {
        let Some(stored) = sequence.next(work).map_err(|fault| fault.of(media_type))? else { return Ok(None) };
        let (width, height) = stored.size;
        if width == 0 || height == 0 {
            return Err(Fault::malformed("a side of zero pixels").of(media_type));
        }
        let Limits { max_pixels, max_side, .. } = self.limits;
        if width > max_side || height > max_side || u64::from(width) * u64::from(height) > max_pixels {
            return Err(DecodeError::TooLarge { width, height, max_pixels, max_side });
        }
        Ok(Some(stored))
    }

    /// A sequence and the header of its first frame.
    fn open<'a, S: Sequence<'a>>(&self, media_type: MediaType, bytes: &'a [u8], work: &Work) -> Result<(S, Stored), DecodeError> {
        let mut sequence = S::open(bytes, work).map_err(|fault| fault.of(media_type))?;
        let stored = self.next(media_type, &mut sequence, work)?.ok_or_else(|| Fault::malformed("no frame").of(media_type))?;
        Ok((sequence, stored))
    }

    fn header_of<'a, S: Sequence<'a>>(&self, media_type: MediaType, bytes: &'a [u8]) -> Result<Header, DecodeError> {
        let (_, stored) = self.open::<S>(media_type, bytes, &self.work(bytes))?;
        let (width, height) = stored.size;
        let (width, height) = if stored.orientation.swaps_sides() { (height, width) } else { (width, height) };
        Ok(Header { media_type, width, height })
    }

    fn frame_of<'a, S: Sequence<'a>>(&self, media_type: MediaType, bytes: &'a [u8]) -> Result<Frame, DecodeError> {
        let work = self.work(bytes);
        let (mut sequence, stored) = self.open::<S>(media_type, bytes, &work)?;
        self.read(media_type, &mut sequence, stored, Reading::First, &work).map(|(frame, _)| frame)
    }

    fn clip_of<'a, S: Sequence<'a> + 'a>(&'a self, media_type: MediaType, bytes: &'a [u8]) -> Result<Clip<'a, DecodeError>, DecodeError> {
        let work = self.work(bytes);
        let (sequence, first) = self.open::<S>(media_type, bytes, &work)?;
        let frames = sequence.frames();
        let shots = Shots {
            decoder: self,
            media_type,
            work,
            sequence,
            place: Place::First(first),
            conversion: None,
            undrawn: None,
            index: 0,
            still: frames == Some(1),
        };
        Ok(Clip { frames, shots: Box::new(shots) })
    }

    /// The frame that was announced, upright, and its alpha.
    fn read<'a, S: Sequence<'a>>(
        &self,
        media_type: MediaType,
        sequence: &mut S,
        stored: Stored,
        reading: Reading,
        work: &Work,
    ) -> Result<(Frame, Option<Buffer>), DecodeError> {
        let Stored { size: (width, height), orientation, .. } = stored;
        // A frame that cannot be addressed is far beyond any machine's limits, but `max_pixels` is the operator's to set.
        let length = usize::try_from(3 * u128::from(width) * u128::from(height))
            .map_err(|_| Fault::malformed("more pixels than can be addressed").of(media_type))?;
        work.earn(u64::from(width) * u64::from(height), memory_of(media_type)).map_err(|fault| fault.of(media_type))?;
        let mut pixels = self.pool.take(length);
        let alpha = sequence.read(&mut pixels, reading, &self.pool, work).map_err(|fault| fault.of(media_type))?;
        self.upright(media_type, orientation, Raster { size: (width, height), rgb: pixels, alpha })
    }

    /// The raster turned, and its alpha if any of it is not opaque.
    fn upright(&self, media_type: MediaType, orientation: Orientation, raster: Raster) -> Result<(Frame, Option<Buffer>), DecodeError> {
        let Raster { size: (width, height), rgb, alpha } = raster;
        let alpha = alpha.filter(|alpha| !pixels::is_opaque(alpha));
        let alpha = alpha.map(|alpha| orientation.apply(width, height, alpha, &self.pool).2);
        let (width, height, pixels) = orientation.apply(width, height, rgb, &self.pool);
        let frame = Frame::new(width, height, pixels).map_err(|error| Fault::malformed(error).of(media_type))?;
        Ok((frame, alpha))
    }
}

impl Decoder {
    /// The frame as its profile says, if there is any picture that it says; and its alpha.
    fn converted(
        &self,
        conversion: &Conversion,
        (frame, alpha): (&Frame, Option<&[u8]>),
        work: &Work,
    ) -> Result<Option<(Frame, Option<Buffer>)>, Fault> {
        let Some(pixels) = conversion.apply(frame, &self.pool, work)? else { return Ok(None) };
        let alpha = alpha.map(|alpha| {
            let mut copy = self.pool.take(alpha.len());
            copy.copy_from_slice(alpha);
            copy
        });
        Ok(Frame::new(frame.width(), frame.height(), pixels).ok().map(|frame| (frame, alpha)))
    }
}

/// The frames of a sequence, one decoded at each step.
struct Shots<'a, S> {
    decoder: &'a Decoder,
    media_type: MediaType,
    work: Work,
    sequence: S,
    place: Place,
    /// Of the frame that was read last: how its profile shows it, if that is another picture, and why a profile may show one that is not here.
    conversion: Option<Conversion>,
    undrawn: Option<&'static str>,
    /// Of the next frame.
    index: u32,
    /// Whether there is one frame only, which then has no time.
    still: bool,
}

/// Where [`Shots`] stand.
enum Place {
    /// The first frame's header was read.
    First(Stored),
    /// A frame was read.
    Behind,
    /// Behind the last frame, or an error that hides what follows.
    End,
}

impl<'a, S: Sequence<'a>> Iterator for Shots<'a, S> {
    type Item = Result<Shot, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { decoder, media_type, index, still, .. } = *self;
        // The end, until the frame is whole: nothing is read behind an error or a panic, where frames build on each other.
        let place = std::mem::replace(&mut self.place, Place::End);
        let shot = guarded(media_type, || {
            let stored = match place {
                Place::First(stored) => Some(stored),
                Place::Behind => decoder.next(media_type, &mut self.sequence, &self.work)?,
                Place::End => None,
            };
            let Some(stored) = stored else { return Ok(None) };
            if index == 0 || !S::ONE_PROFILE {
                self.read_profiles().map_err(|fault| fault.of(media_type))?;
            }
            let (frame, alpha) = decoder.read(media_type, &mut self.sequence, stored, Reading::All, &self.work)?;
            let drawn =
                self.sequence.drawn(&decoder.pool).map(|raster| decoder.upright(media_type, stored.orientation, raster)).transpose()?;
            let unlike =
                |(drawn, drawn_alpha): &(Frame, Option<Buffer>)| drawn_alpha.as_deref() != alpha.as_deref() || !is_same(drawn, &frame);
            let drawn = drawn.filter(unlike);
            let placed = drawn.as_ref().map_or((&frame, alpha.as_deref()), |(frame, alpha)| (frame, alpha.as_deref()));
            let converted = match &self.conversion {
                Some(conversion) => decoder.converted(conversion, placed, &self.work).map_err(|fault| fault.of(media_type))?,
                None => None,
            };
            let drawn = converted.or(drawn).map(|(frame, alpha)| Drawn { frame, alpha });
            let at = FrameAt { index, time: stored.time.filter(|_| !still) };
            Ok(Some(Shot { at, frame, alpha, drawn, undrawn: self.undrawn }))
        });
        let ended = matches!(shot, Err(DecodeError::TooMuchWork { .. } | DecodeError::Busy { .. } | DecodeError::Deadline { .. }));
        if matches!(shot, Ok(Some(_))) || (S::INDEPENDENT && shot.is_err() && !ended) {
            self.place = Place::Behind;
            self.index = index.saturating_add(1);
        }
        shot.transpose()
    }
}

impl<'a, S: Sequence<'a>> Shots<'a, S> {
    /// What the profiles of the frame that was announced make of it.
    fn read_profiles(&mut self) -> Result<(), Fault> {
        let profiles = self.sequence.profiles(&self.work)?;
        self.undrawn = profiles.iter().find_map(Profile::unread);
        self.conversion = self.decoder.profiles.conversion(&profiles, &self.work)?;
        Ok(())
    }
}

fn is_same(one: &Frame, other: &Frame) -> bool {
    (one.width(), one.height(), one.pixels()) == (other.width(), other.height(), other.pixels())
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
        assert_eq!(code(b"text"), "unsupported_media");
        assert_eq!(code(b"\xff\xd8\xff\xe0\0"), "too_large");
        assert_eq!(code(b"\xff\xd8\xff\xe0"), "malformed");
    }
}
