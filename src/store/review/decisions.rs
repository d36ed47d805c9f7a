//! Decisions in the order in which they were made, for whoever follows them.

use sqlx::Row;

use super::{
    Subject,
    item::{self, ReviewDecision},
};
use crate::{
    domain::ids::{KeyId, ReviewItemId, TenantId},
    store::{
        Store,
        error::StoreError,
        row::{blob, named, number, optional_uuid, time, uuid},
    },
};

/// A decision, and what it was about.
#[derive(Clone, Debug, PartialEq)]
pub struct MadeDecision {
    /// Its place in the order. Grows with every decision, not gapless.
    pub number: i64,
    pub review_item: ReviewItemId,
    pub queue: String,
    pub decision: ReviewDecision,
    /// The provider's reference of the first attachment.
    pub item_id: String,
    /// How many attachments it was about.
    pub count: u64,
    /// How many copies of them came since.
    pub attached: u64,
    /// The decided item that this one was a second look at.
    pub second_look_of: Option<ReviewItemId>,
    /// What was looked at, where it was no attachment.
    pub subject: Option<Subject>,
}

impl Store {
    /// The decisions after number `after`, in the order in which they were made, at most `limit`. Doubles and gold items are left out: their verdicts are about
    /// reviewers.
    ///
    /// Numbers grow in the order of the commits, because there is one writer at a time: whoever has read up to a number has seen all before it.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be read.
    pub async fn review_decisions(&self, tenant: TenantId, after: i64, limit: u32) -> Result<Vec<MadeDecision>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, items.id, queue, reviewer, verdict, note_code, decided_at, item_id, count, attached, copy_of, subject
             FROM review_decisions AS decisions
             JOIN review_items AS items ON items.tenant_id = decisions.tenant_id AND items.id = decisions.review_item
             WHERE decisions.tenant_id = ? AND seq > ? AND purpose NOT IN ('double', 'gold') ORDER BY seq LIMIT +?",
        )
        .bind(blob(tenant.0))
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| {
                let decision = ReviewDecision {
                    reviewer: KeyId(uuid(row, "reviewer")?),
                    verdict: named(row, "verdict")?,
                    note_code: row.try_get("note_code")?,
                    decided_at: time(row, "decided_at")?,
                };
                Ok(MadeDecision {
                    number: row.try_get("seq")?,
                    review_item: ReviewItemId(uuid(row, "id")?),
                    queue: row.try_get("queue")?,
                    decision,
                    item_id: row.try_get("item_id")?,
                    count: number(row, "count")?,
                    attached: number(row, "attached")?,
                    // Only second looks are copies here: the others are left out above.
                    second_look_of: optional_uuid(row, "copy_of")?.map(ReviewItemId),
                    subject: item::subject(row)?,
                })
            })
            .collect()
    }
}
