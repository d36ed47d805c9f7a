//! The review queue: items, exclusive claims and final decisions.
//!
//! A claim is a lease. While it lasts, nobody else can claim or decide the item; when it has expired, the next claim takes over. Every claim,
//! release and decision writes its ledger event in the same transaction.

use std::time::Duration;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

pub(super) mod attachments;
pub(super) mod clusters;
mod decisions;
mod feedback;
mod item;
pub(super) mod known;

pub(super) use self::item::NewRow;
pub use self::{
    attachments::{Attachment, Nearest, NewAttachment},
    decisions::MadeDecision,
    item::{Claim, ReviewCursor, ReviewDecision, ReviewFilter, ReviewItem, ReviewState, Subject},
    known::{DecidedCopy, KnownBy},
};
use super::{
    Store,
    error::StoreError,
    monitor,
    row::{blob, named, optional_time, optional_uuid},
    transaction::WriteTx,
};
use crate::domain::{
    curation::FeedbackRules,
    decision::Verdict,
    event::{Event, EventBody},
    ids::{EventId, KeyId, ReviewItemId, TenantId},
    monitor::Purpose,
    time::Timestamp,
};

/// What a reviewer decides.
#[derive(Clone, Debug)]
pub struct NewDecision {
    pub reviewer: KeyId,
    pub verdict: Verdict,
    /// A code from the provider's list, never free text.
    pub note_code: Option<String>,
    /// The id of a second item, for a blind look at the same thing; double and gold items do not come back whatever this says.
    pub again: Option<ReviewItemId>,
    /// By which rules the verdict moves the items that matched; `None` has it say nothing of them.
    pub feedback: Option<FeedbackRules>,
}

/// Who wants to do something to which item, and when.
#[derive(Clone, Copy)]
struct Attempt {
    tenant: TenantId,
    id: ReviewItemId,
    reviewer: KeyId,
    now: Timestamp,
}

impl Attempt {
    /// The item's claim, expired or not.
    async fn claim(self, connection: &mut SqliteConnection) -> Result<Option<Claim>, StoreError> {
        let row = sqlx::query("SELECT state, claimed_by, claimed_at, claim_expires_at FROM review_items WHERE tenant_id = ? AND id = ?")
            .bind(blob(self.tenant.0))
            .bind(blob(self.id.0))
            .fetch_optional(connection)
            .await?
            .ok_or(StoreError::NotFound("review item"))?;
        if named::<ReviewState>(&row, "state")? == ReviewState::Decided {
            return Err(StoreError::AlreadyDecided);
        }
        let parts = (optional_uuid(&row, "claimed_by")?, optional_time(&row, "claimed_at")?, optional_time(&row, "claim_expires_at")?);
        Ok(match parts {
            (Some(reviewer), Some(claimed_at), Some(expires_at)) => Some(Claim { reviewer: KeyId(reviewer), claimed_at, expires_at }),
            _ => None,
        })
    }

    /// The unexpired claim that somebody else holds is an error; otherwise the caller's own unexpired claim.
    async fn own_claim(self, connection: &mut SqliteConnection) -> Result<Option<Claim>, StoreError> {
        match self.claim(connection).await? {
            Some(claim) if claim.expires_at <= self.now => Ok(None),
            Some(claim) if claim.reviewer != self.reviewer => Err(StoreError::ClaimedByAnother { until: claim.expires_at }),
            claim => Ok(claim),
        }
    }

    /// A second look is only worth something from another pair of eyes.
    async fn not_seen_before(self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT 1 FROM review_items AS items WHERE tenant_id = ");
        query.push_bind(blob(self.tenant.0)).push(" AND id = ").push_bind(blob(self.id.0));
        query.push(" AND ").push(item::DECIDED_ORIGINAL).push_bind(blob(self.reviewer.0)).push(")");
        match query.build().fetch_optional(connection).await? {
            Some(_) => Err(StoreError::Reserved),
            None => Ok(()),
        }
    }

    async fn set_claim(self, connection: &mut SqliteConnection, claim: Option<Claim>) -> Result<(), StoreError> {
        sqlx::query("UPDATE review_items SET claimed_by = ?, claimed_at = ?, claim_expires_at = ? WHERE tenant_id = ? AND id = ?")
            .bind(claim.map(|claim| blob(claim.reviewer.0)))
            .bind(claim.map(|claim| claim.claimed_at.micros()))
            .bind(claim.map(|claim| claim.expires_at.micros()))
            .bind(blob(self.tenant.0))
            .bind(blob(self.id.0))
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Records what was done and reads the item as it is now.
    async fn record(self, tx: &mut WriteTx, body: EventBody) -> Result<ReviewItem, StoreError> {
        tx.append(&Event { id: EventId::new(), tenant: self.tenant, at: self.now, body }).await?;
        item::read(tx.sql().await?, self.tenant, self.id).await?.ok_or(StoreError::NotFound("review item"))
    }
}

/// Why an item comes a second time.
pub(super) enum Copy {
    Double { id: ReviewItemId },
    Gold { id: ReviewItemId, truth: Verdict },
}

/// Puts a copy of an item into the queue that looks like any other: open, new, with the same evidence. Of an item of a bank there is none.
pub(super) async fn copy(
    tx: &mut WriteTx,
    tenant: TenantId,
    original: ReviewItemId,
    as_what: Copy,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (id, purpose, truth) = match as_what {
        Copy::Double { id } => (id, Purpose::Double, None),
        Copy::Gold { id, truth } => (id, Purpose::Gold, Some(truth)),
    };
    let copied = sqlx::query(
        "INSERT INTO review_items (tenant_id, id, created_at, queue, priority, category, attachment_kind, item_id, evidence, decision, flags,
         service, cluster, account, inclusion_probability, purpose, copy_of, gold_truth)
         SELECT tenant_id, ?3, ?4, queue, priority, category, attachment_kind, item_id, evidence, decision, flags,
         service, cluster, account, inclusion_probability, ?5, id, ?6 FROM review_items WHERE tenant_id = ?1 AND id = ?2 AND subject IS NULL",
    )
    .bind(blob(tenant.0))
    .bind(blob(original.0))
    .bind(blob(id.0))
    .bind(now.micros())
    .bind(purpose.as_str())
    .bind(truth.map(Verdict::as_str))
    .execute(tx.sql().await?)
    .await
    .map_err(|error| StoreError::constraint(error, "copy of the review item"))?;
    if copied.rows_affected() == 0 {
        return Err(StoreError::NotFound("review item"));
    }
    if purpose == Purpose::Double {
        known::repeat(tx, tenant, original, id).await?;
    }
    if purpose == Purpose::Gold {
        tx.append(&Event { id: EventId::new(), tenant, at: now, body: EventBody::GoldAdded { review_item: id } }).await?;
    }
    Ok(())
}

impl Store {
    /// Open or decided items, highest priority first and oldest first within it; see [`ReviewFilter`].
    pub async fn review_items(&self, tenant: TenantId, filter: ReviewFilter) -> Result<Vec<ReviewItem>, StoreError> {
        item::list(self.readers(), tenant, filter).await
    }

    /// One item.
    pub async fn review_item(&self, tenant: TenantId, id: ReviewItemId) -> Result<Option<ReviewItem>, StoreError> {
        let mut connection = self.readers().acquire().await?;
        item::read(&mut connection, tenant, id).await
    }

    /// Takes the item for `lease`. Its holder may claim again to renew; an expired claim is taken over.
    ///
    /// # Errors
    /// [`StoreError::ClaimedByAnother`], [`StoreError::AlreadyDecided`], [`StoreError::NotFound`], and [`StoreError::Reserved`] for a copy of what
    /// the reviewer has decided.
    pub async fn claim(
        &self,
        tenant: TenantId,
        id: ReviewItemId,
        reviewer: KeyId,
        now: Timestamp,
        lease: Duration,
    ) -> Result<ReviewItem, StoreError> {
        let attempt = Attempt { tenant, id, reviewer, now };
        self.write(move |tx| {
            Box::pin(async move {
                let held = attempt.own_claim(tx.sql().await?).await?;
                attempt.not_seen_before(tx.sql().await?).await?;
                let expires_at = now.plus(lease);
                let claim = Claim { reviewer, claimed_at: held.map_or(now, |claim| claim.claimed_at), expires_at };
                attempt.set_claim(tx.sql().await?, Some(claim)).await?;
                attempt.record(tx, EventBody::ReviewClaimed { review_item: id, reviewer, expires: expires_at }).await
            })
        })
        .await
    }

    /// Gives a claim back. One's own expired claim can be given back too, as long as nobody took it over.
    ///
    /// # Errors
    /// [`StoreError::NotClaimed`], [`StoreError::ClaimedByAnother`], [`StoreError::AlreadyDecided`], [`StoreError::NotFound`].
    pub async fn release(&self, tenant: TenantId, id: ReviewItemId, reviewer: KeyId, now: Timestamp) -> Result<ReviewItem, StoreError> {
        let attempt = Attempt { tenant, id, reviewer, now };
        self.write(move |tx| {
            Box::pin(async move {
                match attempt.claim(tx.sql().await?).await? {
                    Some(claim) if claim.reviewer == reviewer => {}
                    Some(claim) if claim.expires_at > now => return Err(StoreError::ClaimedByAnother { until: claim.expires_at }),
                    _ => return Err(StoreError::NotClaimed),
                }
                attempt.set_claim(tx.sql().await?, None).await?;
                attempt.record(tx, EventBody::ReviewReleased { review_item: id, reviewer }).await
            })
        })
        .await
    }

    /// Decides an item that the reviewer holds. Final. The claim stays on the item as a record of who had it since when.
    ///
    /// What the verdict says of the technologies is written in the same transaction: see [`observations_since`](Self::observations_since).
    ///
    /// # Errors
    /// [`StoreError::NotClaimed`], [`StoreError::ClaimedByAnother`], [`StoreError::AlreadyDecided`], [`StoreError::NotFound`].
    pub async fn decide(
        &self,
        tenant: TenantId,
        id: ReviewItemId,
        decision: NewDecision,
        now: Timestamp,
    ) -> Result<ReviewItem, StoreError> {
        let NewDecision { reviewer, verdict, note_code, again, feedback } = decision;
        let attempt = Attempt { tenant, id, reviewer, now };
        self.write(move |tx| {
            Box::pin(async move {
                let claim = attempt.own_claim(tx.sql().await?).await?.ok_or(StoreError::NotClaimed)?;
                let number: i64 = sqlx::query_scalar(
                    "INSERT INTO review_decisions (tenant_id, review_item, reviewer, verdict, note_code, decided_at)
                     VALUES (?, ?, ?, ?, ?, ?) RETURNING seq",
                )
                .bind(blob(tenant.0))
                .bind(blob(id.0))
                .bind(blob(reviewer.0))
                .bind(verdict.as_str())
                .bind(note_code)
                .bind(now.micros())
                .fetch_one(tx.sql().await?)
                .await?;
                known::decided(tx, tenant, id, number).await?;
                sqlx::query("UPDATE review_items SET state = 'decided' WHERE tenant_id = ? AND id = ?")
                    .bind(blob(tenant.0))
                    .bind(blob(id.0))
                    .execute(tx.sql().await?)
                    .await?;
                let count = Some(clusters::end(tx, tenant, id).await?).filter(|count| *count > 1);
                let body = EventBody::ReviewDecided { review_item: id, reviewer, verdict, claimed_at: claim.claimed_at, count };
                let item = attempt.record(tx, body).await?;
                monitor::record(tx, &item, verdict, now).await?;
                if let Some(rules) = feedback {
                    feedback::tell(tx, &item, (reviewer, verdict), rules, now).await?;
                }
                // A second look has been one already.
                let drawn_from = matches!(item.provenance.purpose, Purpose::Routed | Purpose::Audit) && !item.is_second_look();
                let comes_back = drawn_from && item.subject.is_none();
                if let Some(copied) = again.filter(|_| comes_back) {
                    copy(tx, tenant, id, Copy::Double { id: copied }, now).await?;
                }
                Ok(item)
            })
        })
        .await
    }
}
