//! The review queue: items, exclusive claims and final decisions.
//!
//! A claim is a lease. While it lasts, nobody else can claim or decide the item; when it has expired, the next claim takes over. Every claim,
//! release and decision writes its ledger event in the same transaction.

use std::time::Duration;

use sqlx::SqliteConnection;

mod item;

pub(super) use self::item::NewRow;
pub use self::item::{Claim, ReviewCursor, ReviewDecision, ReviewFilter, ReviewItem, ReviewState};
use super::{
    Store,
    error::StoreError,
    row::{blob, named, optional_time, optional_uuid},
    transaction::WriteTx,
};
use crate::domain::{
    decision::Verdict,
    event::{Event, EventBody},
    ids::{EventId, KeyId, ReviewItemId, TenantId},
    time::Timestamp,
};

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
    /// [`StoreError::ClaimedByAnother`], [`StoreError::AlreadyDecided`], [`StoreError::NotFound`].
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
    /// `note_code` is a code from the provider's list, never free text.
    ///
    /// # Errors
    /// [`StoreError::NotClaimed`], [`StoreError::ClaimedByAnother`], [`StoreError::AlreadyDecided`], [`StoreError::NotFound`].
    pub async fn decide(
        &self,
        tenant: TenantId,
        id: ReviewItemId,
        reviewer: KeyId,
        verdict: Verdict,
        note_code: Option<String>,
        now: Timestamp,
    ) -> Result<ReviewItem, StoreError> {
        let attempt = Attempt { tenant, id, reviewer, now };
        self.write(move |tx| {
            Box::pin(async move {
                let claim = attempt.own_claim(tx.sql().await?).await?.ok_or(StoreError::NotClaimed)?;
                sqlx::query(
                    "INSERT INTO review_decisions (tenant_id, review_item, reviewer, verdict, note_code, decided_at)
                     VALUES (?, ?, ?, ?, ?, ?)",
                )
                .bind(blob(tenant.0))
                .bind(blob(id.0))
                .bind(blob(reviewer.0))
                .bind(verdict.as_str())
                .bind(note_code)
                .bind(now.micros())
                .execute(tx.sql().await?)
                .await?;
                sqlx::query("UPDATE review_items SET state = 'decided' WHERE tenant_id = ? AND id = ?")
                    .bind(blob(tenant.0))
                    .bind(blob(id.0))
                    .execute(tx.sql().await?)
                    .await?;
                let body = EventBody::ReviewDecided { review_item: id, reviewer, verdict, claimed_at: claim.claimed_at };
                attempt.record(tx, body).await
            })
        })
        .await
    }
}
