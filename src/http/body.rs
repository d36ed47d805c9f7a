//! Bodies as they arrive: never more than the limit, never longer than the patience, never slower than the rate.

use std::{
    error::Error,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt, pin_mut, stream};

use super::{
    HttpOptions,
    error::{ApiError, ErrorCode},
};
use crate::telemetry::metric;

/// What a body may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most bytes.
    pub limit: usize,
    /// How long it may take to arrive.
    pub patience: Duration,
    /// Slowest that it may arrive, in bytes per second on average; 0 is as slow as `patience` allows.
    pub rate: u64,
    /// When the whole call is over; may be earlier.
    pub deadline: Instant,
}

impl HttpOptions {
    /// Of a body of a call that is over at `deadline`.
    pub(super) const fn bounds(&self, limit: usize, deadline: Instant) -> Bounds {
        Bounds { limit, patience: self.read_timeout, rate: self.body_min_rate, deadline }
    }
}

/// How long a body may be slower than its rate: a connection's first packets are few, and one that was lost comes a second later.
const GRACE: Duration = Duration::from_secs(5);

impl Bounds {
    /// When a body that began at `start` has to have more than `received` bytes, and what it is told otherwise.
    fn next(&self, start: Instant, received: usize) -> (Instant, BodyFailure) {
        let patience = (start + self.patience, BodyFailure::Slow);
        let rate = match self.rate {
            0 => patience,
            rate => (start + GRACE + Duration::from_millis((received as u64).saturating_mul(1000) / rate), BodyFailure::TooSlow(rate)),
        };
        [(self.deadline, BodyFailure::Deadline), patience, rate].into_iter().min_by_key(|(until, _)| *until).unwrap_or(patience)
    }
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body could not be read")]
pub(super) enum BodyFailure {
    TooLarge(usize),
    /// The head of a part of a form.
    LongHead,
    Slow,
    /// Fewer bytes a second than these.
    TooSlow(u64),
    /// Bodies take all the memory that they may.
    NoMemory,
    /// The key's bodies take all that they may.
    NoShare,
    Deadline,
    Broken,
}

impl From<BodyFailure> for ApiError {
    fn from(failure: BodyFailure) -> Self {
        match failure {
            BodyFailure::TooLarge(limit) => Self::too_large(format!("the body may have {limit} bytes")),
            BodyFailure::LongHead => {
                Self::malformed(format!("the head of a part (and what stands before the first boundary) may have {LONGEST_HEAD} bytes"))
            }
            BodyFailure::Slow => Self::new(ErrorCode::BodyTimeout, "the body did not arrive in time"),
            BodyFailure::TooSlow(rate) => Self::new(
                ErrorCode::BodyTimeout,
                format!("the body came too slowly: {rate} bytes a second are the least, after {} s; send it again", GRACE.as_secs()),
            ),
            BodyFailure::NoMemory => Self::overloaded("bodies under way take all the memory that they may", MEMORY_PATIENCE),
            BodyFailure::NoShare => Self::overloaded("the bodies that this key sends take all the memory that they may", MEMORY_PATIENCE),
            BodyFailure::Deadline => Self::new(ErrorCode::Deadline, "the deadline passed while the body arrived; nothing was stored"),
            BodyFailure::Broken => Self::malformed("the body ended before its declared length, or its framing is broken"),
        }
    }
}

/// Bodies come and go within some seconds.
const MEMORY_PATIENCE: Duration = Duration::from_secs(1);

/// The answer to a body that was given up, which is counted.
pub(super) fn refused(failure: BodyFailure) -> ApiError {
    let reason = match failure {
        BodyFailure::NoMemory => Some("memory"),
        BodyFailure::NoShare => Some("share"),
        BodyFailure::Slow | BodyFailure::TooSlow(_) => Some("rate"),
        BodyFailure::TooLarge(_) | BodyFailure::LongHead | BodyFailure::Deadline | BodyFailure::Broken => None,
    };
    if let Some(reason) = reason {
        metrics::counter!(metric::BODIES_REFUSED_TOTAL, "reason" => reason).increment(1);
    }
    failure.into()
}

/// The declared length of a body; `None` for one that comes in chunks.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The declared length, refused at once when it is over the limit: nothing is read for it.
fn declared(headers: &HeaderMap, limit: usize) -> Result<usize, BodyFailure> {
    match length(headers) {
        None => Ok(0),
        Some(length) => usize::try_from(length).ok().filter(|&length| length <= limit).ok_or(BodyFailure::TooLarge(limit)),
    }
}

fn frames(body: Body, bounds: Bounds) -> impl Stream<Item = Result<Bytes, BodyFailure>> + Send {
    let start = Instant::now();
    stream::try_unfold((body.into_data_stream(), 0), move |(mut body, received)| async move {
        let (until, late) = bounds.next(start, received);
        match tokio::time::timeout_at(until.into(), body.next()).await {
            Err(_) => Err(late),
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => Err(cause(&error)),
            Ok(Some(Ok(bytes))) if bytes.len() > bounds.limit - received => Err(BodyFailure::TooLarge(bounds.limit)),
            Ok(Some(Ok(bytes))) => {
                let received = received + bytes.len();
                Ok(Some((bytes, (body, received))))
            }
        }
    })
}

/// Why a body's stream failed: a reason of ours that it passed on, or its framing.
fn cause(error: &(dyn Error + 'static)) -> BodyFailure {
    std::iter::successors(Some(error), |&error| error.source())
        .find_map(|error| error.downcast_ref::<BodyFailure>().copied())
        .unwrap_or(BodyFailure::Broken)
}

/// The whole body.
pub(super) async fn read(headers: &HeaderMap, body: Body, bounds: Bounds) -> Result<Bytes, ApiError> {
    let expected = declared(headers, bounds.limit)?;
    whole(expected.min(FORETOLD), frames(body, bounds)).await.map_err(refused)
}

/// Bytes that are allocated on a caller's word.
const FORETOLD: usize = 1 << 20;

async fn whole(expected: usize, frames: impl Stream<Item = Result<Bytes, BodyFailure>>) -> Result<Bytes, BodyFailure> {
    pin_mut!(frames);
    // A small body usually is one frame: it is taken as it is.
    let Some(first) = frames.try_next().await? else { return Ok(Bytes::new()) };
    let Some(second) = frames.try_next().await? else { return Ok(first) };
    let mut whole = BytesMut::with_capacity(expected.max(first.len() + second.len()));
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    while let Some(frame) = frames.try_next().await? {
        whole.extend_from_slice(&frame);
    }
    Ok(whole.freeze())
}

/// How long a refused caller may go on sending.
const COURTESY: Duration = Duration::from_secs(2);

/// A body that, dropped before its end, is read and forgotten. A connection that is closed on unread bytes is reset, and then the caller's
/// library reports a broken pipe where the answer was "too large" or "try again". Costs no memory, and ends after [`COURTESY`].
pub(super) struct Courteous(pub Body);

impl HttpBody for Courteous {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.0.size_hint()
    }
}

impl Drop for Courteous {
    fn drop(&mut self) {
        if self.0.is_end_stream() {
            return;
        }
        // Without a runtime there is no connection left either.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let bounds = Bounds { limit: usize::MAX, patience: COURTESY, rate: 0, deadline: Instant::now() + COURTESY };
            let body = std::mem::take(&mut self.0);
            runtime.spawn(async move {
                let frames = frames(body, bounds);
                pin_mut!(frames);
                while let Some(Ok(_)) = frames.next().await {}
            });
        }
    }
}

/// Where a bounded body leaves the reason when it ends early, because the parser between it and us only knows that it did.
#[derive(Clone, Default)]
pub(super) struct FailureSlot(Arc<Mutex<Option<BodyFailure>>>);

impl FailureSlot {
    /// The reason, if there is one.
    pub(super) fn get(&self) -> Option<BodyFailure> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Most bytes of the head of a part of a form. Its parser keeps a head until it ends, and looks through all of it again whenever bytes arrive; browsers write some hundred.
pub(super) const LONGEST_HEAD: usize = 16 << 10;

/// Bytes that a form's parser gets at a time. It takes whatever is ready before it looks at any of it.
const PIECE: usize = 16 << 10;

/// Whether the parser of a form is in a part's head, and how many bytes it got for it.
#[derive(Clone, Default)]
pub(super) struct Heads(Arc<Mutex<Option<usize>>>);

impl Heads {
    fn state(&self) -> MutexGuard<'_, Option<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The parser looks for a head now.
    pub(super) fn begin(&self) {
        *self.state() = Some(0);
    }

    /// It has found one.
    pub(super) fn end(&self) {
        *self.state() = None;
    }

    /// So many more bytes are given to it.
    fn give(&self, bytes: usize) -> Result<(), BodyFailure> {
        match &mut *self.state() {
            // A piece may hold the end of one part and the beginning of another.
            Some(given) if *given > LONGEST_HEAD => Err(BodyFailure::LongHead),
            Some(given) => {
                *given += bytes;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// The body for a form's parser, under the same bounds, and bounded heads.
pub(super) fn bounded(headers: &HeaderMap, body: Body, bounds: Bounds, heads: Heads) -> Result<(Body, FailureSlot), ApiError> {
    declared(headers, bounds.limit)?;
    let slot = FailureSlot::default();
    let kept = slot.clone();
    let pieces = pieces(frames(body, bounds), heads).inspect_err(move |failure| {
        *kept.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(*failure);
    });
    Ok((Body::from_stream(pieces), slot))
}

/// The same bytes in pieces, after each of which the parser has its turn.
fn pieces(
    frames: impl Stream<Item = Result<Bytes, BodyFailure>> + Send,
    heads: Heads,
) -> impl Stream<Item = Result<Bytes, BodyFailure>> + Send {
    stream::try_unfold((Box::pin(frames), Bytes::new()), move |(mut frames, mut rest)| {
        let heads = heads.clone();
        async move {
            if !rest.is_empty() {
                tokio::task::yield_now().await;
            }
            while rest.is_empty() {
                match frames.try_next().await? {
                    Some(frame) => rest = frame,
                    None => return Ok(None),
                }
            }
            let piece = rest.split_to(rest.len().min(PIECE));
            heads.give(piece.len())?;
            Ok(Some((piece, (frames, rest))))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_to_keep_its_rate_after_some_seconds() {
        let start = Instant::now();
        let seconds = Duration::from_secs;
        let bounds = Bounds { limit: 1 << 20, patience: seconds(15), rate: 1000, deadline: start + seconds(30) };
        assert_eq!(bounds.next(start, 0), (start + seconds(5), BodyFailure::TooSlow(1000)));
        assert_eq!(bounds.next(start, 2000), (start + seconds(7), BodyFailure::TooSlow(1000)));
        assert_eq!(bounds.next(start, 1 << 20), (start + seconds(15), BodyFailure::Slow));
        assert_eq!(Bounds { rate: 0, ..bounds }.next(start, 0), (start + seconds(15), BodyFailure::Slow));
        assert_eq!(Bounds { deadline: start + seconds(1), ..bounds }.next(start, 2000), (start + seconds(1), BodyFailure::Deadline));
    }

    #[test]
    fn the_reason_is_found_below_what_passed_it_on() {
        let passed_on = axum::Error::new(axum::Error::new(BodyFailure::NoShare));
        assert_eq!(cause(&passed_on), BodyFailure::NoShare);
        assert_eq!(cause(&axum::Error::new("reset")), BodyFailure::Broken);
    }
}
