//! Bytes to views: every distinct picture that a reader of the file would show, one at a time.
//!
//! A file may hold many pictures (frames, pages), and a picture with transparency looks different on every page that it is shown on. [`Viewer::views`] goes through all of
//! them in order: of each frame the pixels without alpha, as lists are made with them, and where viewers show something else (some of it is transparent, a profile changes
//! its colours, browsers place it differently) also what they show on white and on black.
//! Equal pictures are seen once. It stops at the bounds, before it decodes what lies beyond, and says what it left out.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use crate::{
    config::Config,
    domain::{
        attachment::MediaType,
        clip::{Drawn, FrameAt, Look, Shot, Variant},
        evidence::UnscoredReason,
        frame::{BufferPool, Frame},
        pace,
    },
    engines::media::{DecodeError, Decoder, Header, Limits},
};

/// How much of one file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Distinct frames, pages or pictures, at least 1.
    pub max_frames: u32,
    /// Pixels of all frames that are decoded and of all views, a frame counting as 4096 at least; the first frame is always looked at.
    pub max_total_pixels: u64,
    /// For all frames after the first.
    pub max_time: Duration,
}

/// Pixels that decoding a frame counts as at least: what its headers, tables and hashes cost.
const LEAST: u64 = 4096;

/// Decodes files within bounds. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Viewer {
    decoder: Decoder,
    pool: BufferPool,
    bounds: Bounds,
}

/// One picture to look at.
#[derive(Debug)]
pub struct View {
    pub look: Look,
    pub frame: Frame,
    /// Which of the frames that show something new it belongs to, from 0.
    pub distinct: u32,
    /// Whether the file has no other, so that nobody needs to keep others beside it.
    pub only: bool,
}

/// What is known of a file once its views were seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    pub media_type: MediaType,
    /// Of the first frame, after orientation.
    pub width: u32,
    pub height: u32,
    /// Frames, pages or pictures that it holds, as far as is known.
    pub frames: u32,
    /// Frames that show something that none before them showed.
    pub distinct: u32,
    /// What was not looked at.
    pub rest: Option<Rest>,
}

/// What of a file was not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    pub reason: UnscoredReason,
    pub detail: String,
}

impl Viewer {
    /// As the configuration bounds it; up to `pool_bytes` of pixels are kept for the next file.
    pub fn new(config: &Config, pool_bytes: usize) -> Self {
        let limits = &config.limits;
        let media = Limits { max_pixels: limits.max_pixels, max_side: limits.max_side, max_bytes: config.server.body_limit_bytes };
        let bounds = Bounds { max_frames: limits.max_frames, max_total_pixels: limits.max_total_pixels, max_time: limits.max_frames_time };
        Self::bounded(media, BufferPool::new(pool_bytes), bounds)
    }

    /// The same within these bounds.
    pub fn bounded(limits: Limits, pool: BufferPool, bounds: Bounds) -> Self {
        Self { decoder: Decoder::new(limits, pool.clone()), pool, bounds }
    }

    /// Type and size, decoding nothing.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn header(&self, bytes: &[u8]) -> Result<Header, DecodeError> {
        self.decoder.header(bytes)
    }

    /// The first frame, without its alpha: what lists are made of.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn first(&self, bytes: &[u8]) -> Result<Frame, DecodeError> {
        let _span = tracing::trace_span!("decode").entered();
        self.decoder.decode(bytes).map(|(_, frame)| frame)
    }

    /// The first frame from a JPEG's luma alone, where it has such a plane: see [`Decoder::decode_luma`].
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn luma(&self, bytes: &[u8]) -> Result<Option<Frame>, DecodeError> {
        self.decoder.decode_luma(bytes)
    }

    /// Shows every distinct view to `visit`, in order, within the bounds and until `deadline`, which also stops a frame that is being decoded. What could not be
    /// looked at is in the result.
    ///
    /// # Errors
    /// When there is not even a first frame, or others hold the memory that some frame takes.
    pub fn views(&self, bytes: &[u8], deadline: Instant, mut visit: impl FnMut(View)) -> Result<Sequence, DecodeError> {
        let started = pace::worked();
        let decoder = self.decoder.until(deadline);
        let (media_type, mut clip) = decoder.clip(bytes)?;
        let several = clip.frames != Some(1);
        let mut seen = Seen::default();
        let mut sequence = Sequence { media_type, width: 0, height: 0, frames: 0, distinct: 0, rest: None };
        let (mut pixels, mut last) = (0, 0);
        let (mut damage, mut undrawn): (Option<Damage>, _) = (None, None);
        let mut beyond = None;
        loop {
            let number = sequence.frames;
            if number > 0 {
                if clip.frames == Some(number) {
                    break;
                }
                let elapsed = pace::worked().saturating_sub(started) >= self.bounds.max_time || Instant::now() >= deadline;
                beyond = match () {
                    () if sequence.distinct >= self.bounds.max_frames => Some("limits.max_frames"),
                    () if pixels + last > self.bounds.max_total_pixels => Some("limits.max_total_pixels"),
                    () if elapsed => Some("limits.max_frames_ms or the deadline"),
                    () => None,
                };
                if beyond.is_some() {
                    break;
                }
            }
            let shot = match clip.shots.next() {
                None => break,
                Some(Err(error)) if number == 0 || matches!(error, DecodeError::Busy { .. }) => return Err(error),
                Some(Err(DecodeError::Deadline { .. })) => {
                    beyond = Some("the deadline");
                    break;
                }
                Some(Err(error)) => {
                    // Others behind it may be sound.
                    pixels += LEAST;
                    sequence.frames += 1;
                    damage = Some(Damage::and(damage, number, error));
                    continue;
                }
                Some(Ok(shot)) => shot,
            };
            undrawn = undrawn.or(shot.undrawn);
            let (width, height) = (shot.frame.width(), shot.frame.height());
            if number == 0 {
                (sequence.width, sequence.height) = (width, height);
            }
            last = (u64::from(width) * u64::from(height)).max(LEAST);
            // Decoding costs, whatever it shows.
            pixels += last;
            let only = !several && shot.alpha.is_none() && shot.drawn.is_none();
            let mut anything_new = false;
            self.views_of(shot, several, |look, frame| {
                if only || seen.is_new(&frame) {
                    // The first view of a frame is what was decoded.
                    pixels += if anything_new { last } else { 0 };
                    anything_new = true;
                    visit(View { look, frame, distinct: sequence.distinct, only });
                }
            });
            sequence.distinct += u32::from(anything_new);
            sequence.frames += 1;
        }
        let tried = sequence.frames;
        sequence.frames = clip.frames.unwrap_or(tried).max(tried);
        let damaged = damage.map(|damage| damage.said(tried, clip.frames, beyond.is_some()));
        let left_out = beyond.map(|bound| left_out(tried, clip.frames, bound));
        let undrawn = undrawn.map(|why| Rest {
            reason: UnscoredReason::UnsupportedFeature,
            detail: format!("{} with {why} is looked at as it is stored, and viewers may show another picture", media_type.as_str()),
        });
        // What is damaged weighs more than what is shown otherwise, and that more than what is merely left out.
        sequence.rest = [damaged, undrawn, left_out]
            .into_iter()
            .flatten()
            .reduce(|Rest { reason, detail }, less| Rest { reason, detail: format!("{detail}; {}", less.detail) });
        Ok(sequence)
    }

    /// What a frame looks like: without alpha, and where viewers show something else, on white and on black.
    fn views_of(&self, shot: Shot, several: bool, mut show: impl FnMut(Look, Frame)) {
        let Shot { at, frame, alpha, drawn, .. } = shot;
        let at: Option<FrameAt> = several.then_some(at);
        if alpha.is_none() && drawn.is_none() {
            return show(Look { frame: at, variant: None }, frame);
        }
        let mut pages = Vec::with_capacity(4);
        let mut add_pages = |frame: &Frame, alpha: &[u8]| {
            for (variant, page) in [(Variant::OnWhite, 255), (Variant::OnBlack, 0)] {
                pages.push((variant, flattened(frame, alpha, page, &self.pool)));
            }
        };
        if let Some(alpha) = alpha {
            add_pages(&frame, &alpha);
        }
        match drawn {
            Some(Drawn { frame, alpha: Some(alpha) }) => add_pages(&frame, &alpha),
            // On black it is the same.
            Some(Drawn { frame, alpha: None }) => pages.push((Variant::OnWhite, frame)),
            None => {}
        }
        show(Look { frame: at, variant: Some(Variant::Dropped) }, frame);
        for (variant, page) in pages {
            show(Look { frame: at, variant: Some(variant) }, page);
        }
    }
}

/// Views that were shown, by a keyed hash of their pixels: without the key, which is drawn anew for each file, nobody can make a second picture that counts as seen.
#[derive(Default)]
struct Seen {
    key: RandomState,
    views: HashSet<u64>,
}

impl Seen {
    fn is_new(&mut self, frame: &Frame) -> bool {
        self.views.insert(self.key.hash_one((frame.width(), frame.height(), frame.pixels())))
    }
}

/// The frame on a page of this grey, as viewers blend 8-bit straight alpha: `(colour * alpha + page * (255 - alpha)) / 255`, rounded.
fn flattened(frame: &Frame, alpha: &[u8], page: u8, pool: &BufferPool) -> Frame {
    let mut pixels = pool.take(frame.pixels().len());
    for ((out, pixel), &alpha) in pixels.chunks_exact_mut(3).zip(frame.pixels().chunks_exact(3)).zip(alpha) {
        let (alpha, through) = (u32::from(alpha), u32::from(page) * u32::from(255 - alpha));
        for (out, &value) in out.iter_mut().zip(pixel) {
            *out = ((u32::from(value) * alpha + through + 127) / 255) as u8;
        }
    }
    Frame::new(frame.width(), frame.height(), pixels).expect("of the same size as another frame")
}

fn left_out(looked_at: u32, frames: Option<u32>, bound: &str) -> Rest {
    let detail = match frames {
        Some(frames) => format!("{} of {frames} frames were not looked at: {bound}", frames.saturating_sub(looked_at)),
        None => format!("only the first {looked_at} frames were looked at: {bound}"),
    };
    Rest { reason: UnscoredReason::FramesNotLookedAt, detail }
}

/// Frames that could not be read.
struct Damage {
    /// The first of them.
    first: u32,
    count: u32,
    /// What is wrong with one of them: something damaged before something that is only missing.
    error: DecodeError,
}

impl Damage {
    fn and(before: Option<Self>, number: u32, error: DecodeError) -> Self {
        match before {
            None => Self { first: number, count: 1, error },
            Some(Self { first, count, error: DecodeError::Missing { .. } }) => Self { first, count: count + 1, error },
            Some(Self { first, count, error }) => Self { first, count: count + 1, error },
        }
    }

    /// Of `tried` frames; what lies behind them was hidden too, unless it was left out.
    fn said(self, tried: u32, frames: Option<u32>, left_out: bool) -> Rest {
        let Self { first, count, error } = self;
        let detail = match frames {
            Some(frames) => {
                let hidden = if left_out { 0 } else { frames.saturating_sub(tried) };
                format!("{} of {frames} frames could not be looked at, the first of them frame {first}: {error}", count + hidden)
            }
            None => format!("what follows frame {} could not be looked at: {error}", first.saturating_sub(1)),
        };
        Rest { reason: reason_of(&error), detail }
    }
}

/// Why pixels that could not be decoded are unscored.
pub fn reason_of(error: &DecodeError) -> UnscoredReason {
    match error {
        DecodeError::TooLarge { .. }
        | DecodeError::TooManyBytes { .. }
        | DecodeError::TooMuchWork { .. }
        | DecodeError::TooMuchMemory { .. }
        | DecodeError::Busy { .. }
        | DecodeError::Deadline { .. } => UnscoredReason::MediaTooLarge,
        DecodeError::UnsupportedFeature { .. } => UnscoredReason::UnsupportedFeature,
        // A photo that went through a program which keeps the index of pictures and drops those behind the first is an ordinary photo.
        DecodeError::Missing { .. } => UnscoredReason::FramesNotLookedAt,
        DecodeError::UnsupportedType(_) => UnscoredReason::UnsupportedMedia,
        DecodeError::Empty | DecodeError::Malformed { .. } => UnscoredReason::UndecodableMedia,
    }
}
