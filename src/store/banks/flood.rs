//! Items that suddenly match everywhere: which matched often in an hour, and what is written down of a flood.

use sqlx::Row;

use super::{
    change::{self, Change},
    locked::{Life, Locked},
};
use crate::{
    domain::{
        bank::Standing,
        event::EventBody,
        ids::{ReviewItemId, TenantId},
        time::Timestamp,
    },
    store::{
        Store, Subject,
        error::StoreError,
        outcome::NewReviewItem,
        review::NewRow,
        row::{blob, number},
        transaction::WriteTx,
    },
};

/// How many accounts matched an item in an hour, and before it, by something else than an exact digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surge {
    pub content_id: i64,
    pub hits: u64,
    pub before: u64,
}

/// A flood, as somebody judged it.
#[derive(Clone, Debug)]
pub struct FloodedItem {
    pub subject: Subject,
    /// That it had when it was judged.
    pub standing: Standing,
    /// Whether it is quarantined; otherwise it is only shown.
    pub quarantine: bool,
    pub surge: Surge,
    /// How long `surge.before` was.
    pub hours: u64,
    /// The provider's references of attachments that matched it, newest first.
    pub item_ids: Vec<String>,
}

/// Whether a person is asked about the item already, or was in this hour.
async fn asked(tx: &mut WriteTx, tenant: TenantId, subject: &Subject, now: Timestamp) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM review_items WHERE tenant_id = ? AND subject = ? AND (state = 'open' OR created_at >= ?))",
    )
    .bind(blob(tenant.0))
    .bind(subject.text())
    .bind(now.hour().micros())
    .fetch_one(tx.sql().await?)
    .await?)
}

async fn flooded(tx: &mut WriteTx, tenant: TenantId, flood: FloodedItem, review: NewRow, now: Timestamp) -> Result<bool, StoreError> {
    let FloodedItem { subject, standing, quarantine, surge, hours, .. } = flood;
    let mut bank = Locked::find(tx, tenant, &subject.bank).await?;
    let from = bank.life(tx, subject.content_id).await?;
    let asked = asked(tx, tenant, &subject, now).await?;
    if from.standing != standing || (asked && !quarantine) {
        return Ok(false);
    }
    if quarantine {
        let to = Life { standing: Standing::Quarantined, ..from };
        change::shift(tx, &mut bank, (subject.content_id, from, to), Change::rule("flood", standing), now).await?;
    }
    let review_item: Option<ReviewItemId> = if asked { None } else { Some(review.id()) };
    if review_item.is_some() {
        review.insert(tx.sql().await?, tenant).await?;
    }
    let (Subject { bank: name, content_id }, Surge { hits, before, .. }) = (subject, surge);
    let body = EventBody::BankItemFlooded { bank: name, content_id, hits, before, hours, quarantined: quarantine, review_item };
    bank.record(tx, now, body).await?;
    Ok(true)
}

impl Store {
    /// Those of these items of the tenant's bank that matched at least `least` times in the hour that begins at the second time, with what they matched from
    /// the first time on until then. By content id; a bank that is there no more has none.
    pub async fn surges(
        &self,
        tenant: TenantId,
        bank: &str,
        content_ids: &[i64],
        (from, hour): (Timestamp, Timestamp),
        least: u64,
    ) -> Result<Vec<Surge>, StoreError> {
        let ids = serde_json::to_string(content_ids).map_err(|error| StoreError::Invalid(error.to_string()))?;
        let rows = sqlx::query(
            "SELECT hits.content_id, hits.near AS hits, (SELECT coalesce(sum(past.near), 0) FROM bank_hits AS past WHERE past.bank = hits.bank
                 AND past.content_id = hits.content_id AND past.hour >= ?4 AND past.hour < ?5) AS before
             FROM banks CROSS JOIN json_each(?3) AS ids CROSS JOIN bank_hits AS hits
             ON hits.bank = banks.number AND hits.content_id = ids.value AND hits.hour = ?5
             WHERE banks.tenant_id = ?1 AND banks.name = ?2 AND deleted_at IS NULL AND hits.near >= ?6 ORDER BY hits.content_id",
        )
        .bind(blob(tenant.0))
        .bind(bank.to_owned())
        .bind(ids)
        .bind(from.micros())
        .bind(hour.micros())
        .bind(i64::try_from(least).unwrap_or(i64::MAX))
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| Ok(Surge { content_id: row.try_get("content_id")?, hits: number(row, "hits")?, before: number(row, "before")? }))
            .collect()
    }

    /// Writes a flood down, all or nothing: the item is quarantined where that is wanted, a review item asks a person to look at it unless
    /// one does already (or, for an item that is only shown, did in this hour), and the ledger says what was seen. `false` when the item's
    /// standing is another one by now, or when there is nothing to do.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bank or the item; [`StoreError::Invalid`] for a review item that cannot be.
    pub async fn flooded(&self, tenant: TenantId, flood: FloodedItem, review: NewReviewItem) -> Result<bool, StoreError> {
        let now = review.created_at;
        let review = NewRow::new(review)?.about(flood.subject.clone(), &flood.item_ids)?;
        self.write(move |tx| Box::pin(flooded(tx, tenant, flood, review, now))).await
    }
}
