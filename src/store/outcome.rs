//! An outcome: everything that one scored attachment leaves behind, written all or nothing.

use bytes::Bytes;

use crate::domain::{
    attachment::AttachmentKind,
    decision::RoutingDecision,
    event::Event,
    evidence::Evidence,
    ids::{ReviewItemId, TenantId},
    score::Technology,
    time::Timestamp,
};

/// One unit of work of scoring. A clean attachment's holds only counters.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub tenant: TenantId,
    /// Must be of the same tenant.
    pub event: Option<Event>,
    pub review_item: Option<NewReviewItem>,
    pub counters: Vec<CounterIncrement>,
    pub idempotency: Option<IdempotentResponse>,
}

impl Outcome {
    /// An outcome that writes nothing yet.
    pub const fn new(tenant: TenantId) -> Self {
        Self { tenant, event: None, review_item: None, counters: Vec::new(), idempotency: None }
    }
}

/// An entry for the review queue. Queue, priority and category are the decision's.
#[derive(Clone, Debug)]
pub struct NewReviewItem {
    pub id: ReviewItemId,
    pub created_at: Timestamp,
    pub attachment_kind: AttachmentKind,
    /// The provider's reference, so that it can find its own item again.
    pub item_id: String,
    pub evidence: Evidence,
    /// Must name a queue.
    pub decision: RoutingDecision,
}

/// An amount to add to a counter; also what [`Store::counters`](super::Store::counters) returns, summed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterIncrement {
    /// Cut down to the hour when stored.
    pub hour: Timestamp,
    pub technology: Technology,
    pub label: String,
    /// The population that is counted apart, e.g. an attachment kind.
    pub slice: String,
    /// Number of the score's bin.
    pub bin: u32,
    pub count: u64,
}

/// A response that is given again when the same request comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotentResponse {
    /// As the caller sent it.
    pub key: String,
    /// Tells a repeated body from another one. It is stored, and the store holds no content digests: make it a *keyed* digest (HMAC-SHA-256
    /// under the server's pseudonym key), and leave `attachment.sha256` out of `body`, to be put in again from the repeated request.
    pub body_digest: [u8; 32],
    /// The response's status code.
    pub status: u16,
    /// The response's body.
    pub body: Bytes,
}
