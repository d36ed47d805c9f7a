//! Counts over the review queue: open flags, audit samples, double reviews and gold items.

use sqlx::Row;

use crate::{
    domain::{
        decision::Verdict,
        ids::{KeyId, ReviewItemId, TenantId},
        score::Technology,
        time::Timestamp,
    },
    store::{
        Store,
        error::StoreError,
        row::{blob, named, number, uuid},
    },
};

/// The audit items of a time that were drawn with the same probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuditSample {
    pub inclusion_probability: f64,
    pub drawn: u64,
    pub decided: u64,
}

/// How two reviewers judged the same item, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairCount {
    pub first: Verdict,
    pub second: Verdict,
    pub count: u64,
}

/// How a reviewer judged gold items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoldCount {
    pub reviewer: KeyId,
    /// `confirmed` or `rejected`.
    pub truth: Verdict,
    pub verdict: Verdict,
    pub count: u64,
}

/// Flags that no human has decided yet, by what raised them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFlags {
    /// Technology and label of everything that reached its threshold.
    pub flags: Vec<(Technology, String)>,
    pub service: Option<String>,
    pub count: u64,
}

impl Store {
    /// Undecided items, scored at `from` or later, that reached a threshold or were matched. Costs what the backlog is long.
    pub async fn open_flags(&self, tenant: TenantId, from: Timestamp) -> Result<Vec<OpenFlags>, StoreError> {
        let rows = sqlx::query(
            "SELECT flags, service, count(*) AS count FROM review_items
             WHERE tenant_id = ? AND state = 'open' AND purpose IN ('routed', 'audit') AND created_at >= ? AND flags <> '[]'
             GROUP BY flags, service",
        )
        .bind(blob(tenant.0))
        .bind(from.micros())
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(OpenFlags {
                    flags: crate::store::row::json(row, "flags")?,
                    service: row.try_get("service")?,
                    count: number(row, "count")?,
                })
            })
            .collect()
    }

    /// The audit items scored in `from..until`, by their probability.
    pub async fn audit_samples(&self, tenant: TenantId, from: Timestamp, until: Timestamp) -> Result<Vec<AuditSample>, StoreError> {
        let rows = sqlx::query(
            "SELECT inclusion_probability, count(*) AS drawn, sum(items.state = 'decided' AND decisions.verdict <> 'uncertain') AS decided
             FROM review_items AS items
             LEFT JOIN review_decisions AS decisions ON decisions.tenant_id = items.tenant_id AND decisions.review_item = items.id
             WHERE items.tenant_id = ? AND purpose = 'audit' AND created_at >= ? AND created_at < ? GROUP BY inclusion_probability",
        )
        .bind(blob(tenant.0))
        .bind(from.micros())
        .bind(until.micros())
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| {
                let inclusion_probability = row.try_get("inclusion_probability")?;
                Ok(AuditSample {
                    inclusion_probability,
                    drawn: number(row, "drawn")?,
                    decided: row.try_get::<Option<i64>, _>("decided")?.unwrap_or(0).unsigned_abs(),
                })
            })
            .collect()
    }

    /// Verdicts on items that two reviewers decided: doubles, and second looks at exact copies. What a near copy is told apart from says nothing of reviewers.
    pub async fn double_reviews(&self, tenant: TenantId) -> Result<Vec<PairCount>, StoreError> {
        let rows = sqlx::query(
            "SELECT one.verdict AS first, two.verdict AS second, count(*) AS count FROM (
                 SELECT id, copy_of FROM review_items WHERE tenant_id = ?1 AND purpose = 'double'
                 UNION ALL
                 SELECT id, copy_of FROM review_items AS looks WHERE tenant_id = ?1 AND purpose = 'routed' AND copy_of IS NOT NULL AND EXISTS (
                     SELECT 1 FROM review_known AS ours JOIN review_known AS theirs ON theirs.tenant_id = ours.tenant_id AND theirs.key = ours.key
                     WHERE ours.tenant_id = ?1 AND ours.review_item = looks.id AND theirs.review_item = looks.copy_of
                     AND ours.key >= 'content:' AND ours.key < 'content;')
             ) AS copies
             JOIN review_decisions AS two ON two.tenant_id = ?1 AND two.review_item = copies.id
             JOIN review_decisions AS one ON one.tenant_id = ?1 AND one.review_item = copies.copy_of GROUP BY 1, 2",
        )
        .bind(blob(tenant.0))
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| Ok(PairCount { first: named(row, "first")?, second: named(row, "second")?, count: number(row, "count")? }))
            .collect()
    }

    /// Verdicts on gold items, by reviewer.
    pub async fn gold_reviews(&self, tenant: TenantId) -> Result<Vec<GoldCount>, StoreError> {
        let rows = sqlx::query(
            "SELECT reviewer, gold_truth, verdict, count(*) AS count FROM review_items AS items
             JOIN review_decisions AS decisions ON decisions.tenant_id = items.tenant_id AND decisions.review_item = items.id
             WHERE items.tenant_id = ? AND purpose = 'gold' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        )
        .bind(blob(tenant.0))
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(GoldCount {
                    reviewer: KeyId(uuid(row, "reviewer")?),
                    truth: named(row, "gold_truth")?,
                    verdict: named(row, "verdict")?,
                    count: number(row, "count")?,
                })
            })
            .collect()
    }

    /// Puts a copy of an item into the queue whose right verdict is known. Reviewers cannot tell it from another item.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such item.
    pub async fn add_gold(
        &self,
        tenant: TenantId,
        original: ReviewItemId,
        truth: Verdict,
        now: Timestamp,
    ) -> Result<ReviewItemId, StoreError> {
        let id = ReviewItemId::new();
        self.write(move |tx| {
            Box::pin(async move {
                crate::store::review::copy(tx, tenant, original, crate::store::review::Copy::Gold { id, truth }, now).await?;
                Ok(id)
            })
        })
        .await
    }
}
