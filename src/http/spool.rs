//! Memory for bodies, from their first byte to the answer, shared between keys.
//!
//! Bodies are read before anything is done with them, so slow callers cost memory and nothing else; here that memory has a bound. A key that has one
//! body may use all that is free. A key that has several may hold, all together, as much as it leaves free for others: one greedy key gets half of the
//! memory, two get a third each, and there is always room for the next one (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking
//! 6(2), 1998). What finds no room is refused at once, and gives back what it had.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::{
    body::{BodyFailure, refused},
    error::ApiError,
};
use crate::{domain::ids::KeyId, telemetry::metric};

/// What every body counts at least: its task and its buffers.
const LEAST: usize = 16 << 10;

/// The memory, and who has how much of it.
pub(super) struct Spool {
    memory: usize,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    bytes: usize,
    keys: HashMap<KeyId, Share>,
}

#[derive(Clone, Copy, Default)]
struct Share {
    bytes: usize,
    bodies: usize,
}

impl Spool {
    pub(super) fn new(memory: usize) -> Arc<Self> {
        Arc::new(Self { memory, used: Mutex::default() })
    }

    fn locked(&self) -> MutexGuard<'_, Used> {
        // Sums that are changed together, in code that cannot panic between them.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the body of a request from now on. What is returned is to be held until the answer: so long the body is in memory.
    ///
    /// # Errors
    /// 429 when there is no room for another body.
    pub(super) fn take_in(self: &Arc<Self>, key: KeyId, request: &mut Request) -> Result<Option<Arc<Stay>>, ApiError> {
        if request.body().is_end_stream() {
            return Ok(None);
        }
        let stay = Arc::new(self.enter(key).map_err(refused)?);
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = Body::new(Spooled { body, stay: Arc::clone(&stay) });
        Ok(Some(stay))
    }

    fn enter(self: &Arc<Self>, key: KeyId) -> Result<Stay, BodyFailure> {
        self.locked().keys.entry(key).or_default().bodies += 1;
        let stay = Stay { spool: Arc::clone(self), key, held: Mutex::default() };
        stay.grow(0)?;
        Ok(stay)
    }

    fn take(&self, key: KeyId, bytes: usize) -> Result<(), BodyFailure> {
        let mut used = self.locked();
        let Some(free) = self.memory.checked_sub(used.bytes + bytes) else { return Err(BodyFailure::NoMemory) };
        let share = used.keys.entry(key).or_default();
        if share.bodies > 1 && share.bytes + bytes > free {
            return Err(BodyFailure::NoShare);
        }
        share.bytes += bytes;
        used.bytes += bytes;
        metrics::gauge!(metric::BODY_BYTES).set(used.bytes as f64);
        Ok(())
    }

    fn give_back(&self, key: KeyId, bytes: usize) {
        let mut used = self.locked();
        used.bytes -= bytes;
        if let Some(share) = used.keys.get_mut(&key) {
            share.bytes -= bytes;
            share.bodies -= 1;
            if share.bodies == 0 {
                used.keys.remove(&key);
            }
        }
        metrics::gauge!(metric::BODY_BYTES).set(used.bytes as f64);
    }
}

/// One body's part of the memory, given back when dropped.
pub(super) struct Stay {
    spool: Arc<Spool>,
    key: KeyId,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    received: usize,
    counted: usize,
}

impl Stay {
    fn locked(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grow(&self, bytes: usize) -> Result<(), BodyFailure> {
        let mut held = self.locked();
        held.received += bytes;
        let more = held.received.max(LEAST).saturating_sub(held.counted);
        if more > 0 {
            self.spool.take(self.key, more)?;
            held.counted += more;
        }
        Ok(())
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.spool.give_back(self.key, self.locked().counted);
    }
}

/// A body that counts itself, and ends where there is no room for more of it.
struct Spooled {
    body: Body,
    stay: Arc<Stay>,
}

impl HttpBody for Spooled {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        if let Err(failure) = self.stay.grow(bytes) {
            return Poll::Ready(Some(Err(axum::Error::new(failure))));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: usize = LEAST;

    fn key(number: u128) -> KeyId {
        KeyId(uuid::Uuid::from_u128(number))
    }

    /// Bodies of `key` that fit, one unit each.
    fn fill(spool: &Arc<Spool>, key: KeyId) -> Vec<Stay> {
        std::iter::from_fn(|| spool.enter(key).ok()).collect()
    }

    #[test]
    fn a_greedy_key_leaves_as_much_as_it_has() {
        let spool = Spool::new(90 * UNIT);
        let first = fill(&spool, key(1));
        assert_eq!(first.len(), 45);
        assert_eq!(spool.enter(key(1)).err(), Some(BodyFailure::NoShare));
        let second = fill(&spool, key(2));
        assert_eq!(second.len(), 22, "half of what the first left");
        assert!(spool.enter(key(3)).is_ok(), "there is room for the next one");
        drop(first);
        assert_eq!(fill(&spool, key(2)).len() + second.len(), 45);
    }

    #[test]
    fn one_body_may_have_all_that_is_free_and_gives_it_back() {
        let spool = Spool::new(10 * UNIT);
        let body = spool.enter(key(1)).unwrap();
        assert_eq!(body.grow(UNIT / 2), Ok(()), "counted already");
        assert_eq!(spool.locked().bytes, UNIT);
        assert_eq!(body.grow(9 * UNIT), Ok(()));
        assert_eq!(body.grow(UNIT), Err(BodyFailure::NoMemory));
        assert_eq!(spool.enter(key(2)).err(), Some(BodyFailure::NoMemory));
        drop(body);
        let used = spool.locked();
        assert_eq!((used.bytes, used.keys.len()), (0, 0), "what was refused left nothing behind");
    }
}
