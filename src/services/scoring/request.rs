//! What `/score` asks of the service, and what can go wrong with it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{
    domain::{
        attachment::{Attachment, Context},
        ids::RequestId,
    },
    services::access::Principal,
    store::Hindrance,
};

/// One attachment to score.
#[derive(Clone, Debug)]
pub struct ScoreRequest {
    /// Who asks: the answer tells them of the banks that they may see.
    pub who: Principal,
    pub request_id: RequestId,
    pub attachment: Attachment,
    pub context: Context,
    /// The caller's `Idempotency-Key`, at most 256 visible ASCII characters.
    pub idempotency_key: Option<String>,
    /// SHA-256 over what the key stands for: the body and the context as received. Only read when there is a key.
    pub body_digest: [u8; 32],
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// The answer, already in the contract's JSON.
#[derive(Clone, Debug)]
pub struct Scored {
    /// A serialised [`ScoreAnswer`](super::ScoreAnswer).
    pub body: Bytes,
    /// Whether this is the stored answer of an earlier call with the same idempotency key.
    pub replayed: bool,
}

/// Why an attachment got no answer. A failing technology is not among them: it is `unscored` in the answer.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// 400
    #[error("{0}")]
    Malformed(String),
    /// 413
    #[error("{0}")]
    TooLarge(String),
    /// 422
    #[error("this Idempotency-Key was used with another body; use a new key for a new attachment")]
    IdempotencyConflict,
    /// 429
    #[error("every scoring slot is taken; try again after {} s", retry_after.as_secs().max(1))]
    Overloaded { retry_after: Duration },
    /// 504
    #[error("the deadline passed before the attachment was scored; nothing was stored")]
    Deadline,
    /// The idempotency key was answered by another process while this call worked; the service gives that answer.
    #[error("already answered")]
    AlreadyAnswered,
    /// 503; nothing was stored.
    #[error("{0}, so nothing was stored; try again later")]
    Unavailable(Hindrance),
    /// 503
    #[error("the server is shutting down")]
    ShuttingDown,
    /// 500; the text goes to the log and never to the caller.
    #[error("internal: {0}")]
    Internal(String),
}

impl ScoreError {
    /// Some queue on the way is full.
    pub(super) fn overloaded() -> Self {
        // Batches take well under a second; there is no better guess of when a place is free.
        Self::Overloaded { retry_after: Duration::from_secs(1) }
    }
}
