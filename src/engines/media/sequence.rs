//! Files of one or more pictures, read one after the other: what every format gives to the door.

use std::time::Duration;

use super::colours::Profile;
use super::error::Fault;
use super::orientation::Orientation;
use super::work::Work;
use crate::domain::frame::{Buffer, BufferPool};

/// One format's reader of a single picture: opened from the header alone, then read once the limits have been checked.
pub(super) trait Picture<'a>: Sized {
    /// Reads the header. Allocates nothing proportional to the pixels it states.
    fn open(bytes: &'a [u8], work: &Work) -> Result<Self, Fault>;
    /// Width and height as stored, before orientation. Zero is refused by the caller.
    fn size(&self) -> (u32, u32);
    /// How the stored pixels are to be turned.
    fn orientation(&self) -> Orientation;
    /// Writes all `3 * width * height` bytes of `out`, whose content is unspecified; scratch areas come from `pool`.
    fn read(self, out: &mut [u8], pool: &BufferPool, work: &Work) -> Result<(), Fault>;
    /// What the file says of its colours: see [`Sequence::profiles`].
    fn profiles(&self) -> Vec<Profile<'a>> {
        Vec::new()
    }
    /// As [`read`](Self::read); and `width * height` bytes of alpha, where this picture has any.
    fn read_with_alpha(self, out: &mut [u8], pool: &BufferPool, work: &Work) -> Result<Option<Buffer>, Fault> {
        self.read(out, pool, work).map(|()| None)
    }
}

/// What a frame's header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    /// Width and height as stored, before orientation. Zero is refused by the caller.
    pub size: (u32, u32),
    /// How the stored pixels are to be turned.
    pub orientation: Orientation,
    /// When the frame is first shown, where frames have a time.
    pub time: Option<Duration>,
}

/// How much of a file somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The first frame without its alpha: nothing is kept for later ones.
    First,
    /// One frame after the other, with alpha.
    All,
}

/// One format's reader of all frames. [`next`](Self::next) and [`read`](Self::read) are called in turn, and no more after an error, unless frames stand on their
/// own.
pub(super) trait Sequence<'a>: Sized {
    /// Whether a frame can be read although one before it could not: then `next` goes on behind the one that failed.
    const INDEPENDENT: bool = false;
    /// Reads what stands before the first frame. Allocates nothing proportional to the pixels it states.
    fn open(bytes: &'a [u8], work: &Work) -> Result<Self, Fault>;
    /// Frames that the file states, where it does or counting them is a walk over its headers.
    fn frames(&self) -> Option<u32>;
    /// Goes to the next frame and reads its header; `None` behind the last.
    fn next(&mut self, work: &Work) -> Result<Option<Stored>, Fault>;
    /// Reads the pixels of the frame that `next` announced: writes all `3 * width * height` bytes of `out`, whose content is unspecified, and
    /// gives `width * height` bytes of alpha where the frame has any and the reading is of all. Scratch areas come from `pool`; what is done is spent from `work`.
    fn read(&mut self, out: &mut [u8], reading: Reading, pool: &BufferPool, work: &Work) -> Result<Option<Buffer>, Fault>;
    /// Whether all frames have the profiles of the first: reading them may cost as much as a frame.
    const ONE_PROFILE: bool = false;
    /// What the file says of the colours of the frame that `next` announced, what counts first: the next counts where it cannot be read.
    fn profiles(&self, work: &Work) -> Result<Vec<Profile<'a>>, Fault> {
        let _ = work;
        Ok(Vec::new())
    }
    /// The frame that was just read, as viewers draw it, where the format's viewers and Pillow place its parts in different ways.
    fn drawn(&mut self, pool: &BufferPool) -> Option<Raster> {
        let _ = pool;
        None
    }
}

/// Pixels, and the alpha of those that have any.
pub(super) struct Raster {
    /// Width and height, not zero.
    pub size: (u32, u32),
    /// `3 * width * height` bytes.
    pub rgb: Buffer,
    /// `width * height` bytes.
    pub alpha: Option<Buffer>,
}

/// A picture as a sequence of one frame.
pub(super) struct Still<P> {
    /// Until it is read.
    picture: Option<P>,
    announced: bool,
}

impl<P> Still<P> {
    pub(super) fn picture(&self) -> Option<&P> {
        self.picture.as_ref()
    }
}

impl<'a, P: Picture<'a>> Sequence<'a> for Still<P> {
    fn open(bytes: &'a [u8], work: &Work) -> Result<Self, Fault> {
        Ok(Self { picture: Some(P::open(bytes, work)?), announced: false })
    }

    fn frames(&self) -> Option<u32> {
        Some(1)
    }

    fn next(&mut self, _work: &Work) -> Result<Option<Stored>, Fault> {
        if std::mem::replace(&mut self.announced, true) {
            return Ok(None);
        }
        let stored = |picture: &P| Stored { size: picture.size(), orientation: picture.orientation(), time: None };
        Ok(self.picture.as_ref().map(stored))
    }

    fn read(&mut self, out: &mut [u8], reading: Reading, pool: &BufferPool, work: &Work) -> Result<Option<Buffer>, Fault> {
        let picture = self.picture.take().ok_or_else(|| Fault::malformed("no frame"))?;
        match reading {
            Reading::First => picture.read(out, pool, work).map(|()| None),
            Reading::All => picture.read_with_alpha(out, pool, work),
        }
    }

    fn profiles(&self, _work: &Work) -> Result<Vec<Profile<'a>>, Fault> {
        Ok(self.picture.as_ref().map(Picture::profiles).unwrap_or_default())
    }
}
