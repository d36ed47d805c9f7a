//! Bodies as they arrive: never more than the limit, never longer than the patience.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt, pin_mut, stream};

use super::error::{ApiError, ErrorCode};

/// What a body may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most bytes.
    pub limit: usize,
    /// How long it may take to arrive.
    pub patience: Duration,
    /// When the whole call is over; may be earlier.
    pub deadline: Instant,
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body could not be read")]
pub(super) enum BodyFailure {
    TooLarge(usize),
    Slow,
    Deadline,
    Broken,
}

impl From<BodyFailure> for ApiError {
    fn from(failure: BodyFailure) -> Self {
        match failure {
            BodyFailure::TooLarge(limit) => Self::too_large(format!("the body may have {limit} bytes")),
            BodyFailure::Slow => Self::new(ErrorCode::BodyTimeout, "the body did not arrive in time"),
            BodyFailure::Deadline => Self::new(ErrorCode::Deadline, "the deadline passed while the body arrived; nothing was stored"),
            BodyFailure::Broken => Self::malformed("the body ended before its declared length, or its framing is broken"),
        }
    }
}

/// The declared length of a body; `None` for one that comes in chunks.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
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
    let patience = Instant::now() + bounds.patience;
    let (until, late) = if bounds.deadline < patience { (bounds.deadline, BodyFailure::Deadline) } else { (patience, BodyFailure::Slow) };
    stream::try_unfold((body.into_data_stream(), bounds.limit), move |(mut body, left)| async move {
        match tokio::time::timeout_at(until.into(), body.next()).await {
            Err(_) => Err(late),
            Ok(None) => Ok(None),
            Ok(Some(Err(_))) => Err(BodyFailure::Broken),
            Ok(Some(Ok(bytes))) => match left.checked_sub(bytes.len()) {
                Some(left) => Ok(Some((bytes, (body, left)))),
                None => Err(BodyFailure::TooLarge(bounds.limit)),
            },
        }
    })
}

/// The whole body.
pub(super) async fn read(headers: &HeaderMap, body: Body, bounds: Bounds) -> Result<Bytes, ApiError> {
    let expected = declared(headers, bounds.limit)?;
    let frames = frames(body, bounds);
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
            let bounds = Bounds { limit: usize::MAX, patience: COURTESY, deadline: Instant::now() + COURTESY };
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

/// The body for a parser that streams, under the same bounds.
pub(super) fn bounded(headers: &HeaderMap, body: Body, bounds: Bounds) -> Result<(Body, FailureSlot), ApiError> {
    declared(headers, bounds.limit)?;
    let slot = FailureSlot::default();
    let kept = slot.clone();
    let frames = frames(body, bounds).inspect_err(move |failure| {
        *kept.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(*failure);
    });
    Ok((Body::from_stream(frames), slot))
}
