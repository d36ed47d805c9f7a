//! An outcome: everything that one scored attachment leaves behind, written all or nothing.

use std::time::Duration;

use bytes::Bytes;

use super::{
    Store,
    counters::CounterKey,
    error::StoreError,
    idempotency,
    review::{self, KnownBy, NewAttachment, attachments, clusters, known},
    transaction::WriteTx,
};
use crate::domain::{
    attachment::AttachmentKind,
    decision::RoutingDecision,
    event::{Event, EventBody},
    evidence::Evidence,
    ids::{ReviewItemId, TenantId},
    monitor::Provenance,
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
    /// What near-duplicates have in common: while an item that was made under this key is undecided, the attachment is put to it and makes none of its own.
    /// Then the event and the response name that item.
    pub cluster: Option<String>,
    /// By what copies of a new item are recognised once it is decided. Attachments that are put to an older item leave none: the people who decide look at its first.
    pub known_by: Vec<KnownBy>,
    /// The decided item that a new item is a second look at: another reviewer gets it.
    pub second_look_of: Option<ReviewItemId>,
    /// A copy of a decided item, in the place of `review_item`.
    pub attachment: Option<NewAttachment>,
}

impl Outcome {
    /// An outcome that writes nothing yet.
    pub const fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            event: None,
            review_item: None,
            counters: Vec::new(),
            idempotency: None,
            cluster: None,
            known_by: Vec::new(),
            second_look_of: None,
            attachment: None,
        }
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
    pub provenance: Provenance,
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
    /// At most `u32::MAX` in one increment.
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

/// What [`Store::commit`] prepared before it queued.
struct Prepared {
    tenant: TenantId,
    event: Option<Event>,
    review_item: Option<review::NewRow>,
    counters: Vec<CounterIncrement>,
    idempotency: Option<IdempotentResponse>,
    idempotency_ttl: Duration,
    cluster: Option<String>,
    known_by: Vec<KnownBy>,
    attachment: Option<NewAttachment>,
}

impl Prepared {
    /// Checks what SQLite could only refuse when others depend on it, and does the writer's share that needs no lock.
    fn new(outcome: Outcome, idempotency_ttl: Duration) -> Result<Self, StoreError> {
        let Outcome { tenant, event, review_item, counters, idempotency, cluster, known_by, second_look_of, attachment } = outcome;
        if event.as_ref().is_some_and(|event| event.tenant != tenant) {
            return Err(StoreError::Invalid("the event belongs to another tenant than its outcome".into()));
        }
        if counters.iter().any(|counter| counter.count > u64::from(u32::MAX)) {
            return Err(StoreError::Invalid("a counter grows by at most 4294967295 at once".into()));
        }
        if attachment.is_some() && review_item.is_some() {
            return Err(StoreError::Invalid("an attachment is put to a decided item, or makes an item: not both".into()));
        }
        let review_item = review_item.map(review::NewRow::new).transpose()?.map(|item| item.again(second_look_of));
        Ok(Self { tenant, event, review_item, counters, idempotency, idempotency_ttl, cluster, known_by, attachment })
    }

    /// Whether it is a clean attachment's.
    const fn only_counts(&self) -> bool {
        self.event.is_none() && self.review_item.is_none() && self.idempotency.is_none() && self.attachment.is_none()
    }

    /// The undecided item that stands for attachments like this one.
    async fn open(&mut self, tx: &mut WriteTx) -> Result<Option<clusters::Open>, StoreError> {
        let (Some(item), Some(key)) = (&self.review_item, &self.cluster) else { return Ok(None) };
        let (own, open) = (item.id(), clusters::open(tx, self.tenant, key).await?);
        if let Some(open) = &open {
            if let Some(Event { body: EventBody::Scored(scored), .. }) = &mut self.event {
                scored.review_item = open.id;
            }
            // A random id stands nowhere else in the text.
            if let Some(response) = &mut self.idempotency
                && let Ok(text) = std::str::from_utf8(&response.body)
            {
                response.body = text.replace(&own.to_string(), &open.id.to_string()).into();
            }
        }
        Ok(open)
    }

    async fn write(mut self, tx: &mut WriteTx) -> Result<Option<ReviewItemId>, StoreError> {
        let tenant = self.tenant;
        let open = self.open(tx).await?;
        // First what can be refused.
        if let Some(response) = &self.idempotency {
            let now = Timestamp::now();
            idempotency::insert(tx, tenant, response, now, now.plus(self.idempotency_ttl)).await?;
        }
        if let Some(event) = &self.event {
            tx.append(event).await?;
        }
        let review_item = match (self.review_item, open) {
            (None, _) => match self.attachment {
                None => None,
                Some(attachment) => {
                    let id = attachment.review_item;
                    attachments::attach(tx, tenant, attachment).await?;
                    Some(id)
                }
            },
            (Some(further), Some(open)) => {
                let id = open.id;
                clusters::join(tx, tenant, open, further).await?;
                Some(id)
            }
            (Some(item), None) => {
                let id = item.id();
                item.insert(tx.sql().await?, tenant).await?;
                known::insert(tx.sql().await?, tenant, id, self.known_by).await?;
                if let Some(key) = self.cluster {
                    clusters::begin(tx, tenant, key, id, Timestamp::now()).await?;
                }
                Some(id)
            }
        };
        for counter in self.counters {
            let (key, count) = CounterKey::new(tenant, counter);
            tx.count(key, count);
        }
        Ok(review_item)
    }
}

impl Store {
    /// Writes an outcome, all or nothing, and returns once it is durable: the review item that stands for the attachment, its own, an older one of its
    /// cluster, or the decided one that it is a copy of.
    ///
    /// An outcome of counters alone is not refused while nothing can be written: it is written later, and lost only in a crash before that.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when the queue is full; [`StoreError::IdempotencyConflict`] and [`StoreError::AlreadyAnswered`] when the key is
    /// taken; [`StoreError::Duplicate`] for ids that exist; [`StoreError::NotFound`] when the item that it is put to is not decided. After any error nothing of the outcome was written, but for
    /// [`StoreError::Database`], after which it is not known whether it survives a crash.
    pub async fn commit(&self, outcome: Outcome) -> Result<Option<ReviewItemId>, StoreError> {
        let prepared = Prepared::new(outcome, self.idempotency_ttl())?;
        if prepared.only_counts() {
            let counters = prepared.counters.into_iter().map(|counter| CounterKey::new(prepared.tenant, counter)).collect();
            return self.count(counters).await.map(|()| None);
        }
        self.write(move |tx| Box::pin(prepared.write(tx))).await
    }
}
