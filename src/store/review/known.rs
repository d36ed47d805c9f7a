//! By what copies of decided items are recognised: exactly their content, or the item of a bank that is nearest to both.
//!
//! An item is written down under its keys when it is made and gets the number of its decision with the decision, so that the newest verdicts under a key cost
//! their own number of rows, however often it was decided. Doubles stand under the keys of their originals, because a second look that disagrees unsettles a
//! verdict; gold items stand under none.

use sqlx::SqliteConnection;

use crate::{
    domain::{
        decision::Verdict,
        event::Pseudonym,
        evidence::Evidence,
        ids::{ReviewItemId, TenantId},
    },
    store::{
        Store,
        error::StoreError,
        row::{blob, json, named, uuid},
        transaction::WriteTx,
    },
};

/// Verdicts that are read under a key: more than settle anything, and a bound for what is read.
const NEWEST_VERDICTS: u32 = 20;

/// What a copy has in common with the item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// The content: a keyed digest of it, for the store holds no others.
    Content(Pseudonym),
    /// The item of a bank that is nearest to both.
    Match { bank: String, content_id: i64 },
}

impl KnownBy {
    /// As the table holds it.
    fn key(&self) -> String {
        match self {
            Self::Content(pseudonym) => format!("content:{}", pseudonym.0),
            Self::Match { bank, content_id } => format!("match:{}", serde_json::json!([bank, content_id])),
        }
    }
}

/// A verdict of people on something that is known by a key.
#[derive(Clone, Debug, PartialEq)]
pub struct DecidedCopy {
    /// For the verdict of a double the item that it repeats.
    pub review_item: ReviewItemId,
    pub verdict: Verdict,
    /// What the technologies had said of it.
    pub evidence: Evidence,
}

/// Writes a new item down under its keys.
pub(in crate::store) async fn insert(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    item: ReviewItemId,
    known_by: Vec<KnownBy>,
) -> Result<(), StoreError> {
    for known in known_by {
        sqlx::query("INSERT OR IGNORE INTO review_known (tenant_id, key, review_item) VALUES (?, ?, ?)")
            .bind(blob(tenant.0))
            .bind(known.key())
            .bind(blob(item.0))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Has a double stand under the keys of its original.
pub(super) async fn repeat(tx: &mut WriteTx, tenant: TenantId, original: ReviewItemId, double: ReviewItemId) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO review_known (tenant_id, key, review_item)
         SELECT tenant_id, key, ?3 FROM review_known WHERE tenant_id = ?1 AND review_item = ?2",
    )
    .bind(blob(tenant.0))
    .bind(blob(original.0))
    .bind(blob(double.0))
    .execute(tx.sql().await?)
    .await?;
    Ok(())
}

/// From now on copies of the item are known, by its decision with this number.
pub(super) async fn decided(tx: &mut WriteTx, tenant: TenantId, item: ReviewItemId, decision: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE review_known SET decision = ?3 WHERE tenant_id = ?1 AND review_item = ?2")
        .bind(blob(tenant.0))
        .bind(blob(item.0))
        .bind(decision)
        .execute(tx.sql().await?)
        .await?;
    Ok(())
}

impl Store {
    /// The newest verdicts on what is known by the same, newest first, at most 20. `banks` are the names of those that the copy matched: an item is passed over that
    /// was scored when one of them did not exist yet, or had another name.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be read.
    pub async fn decided_copies(&self, tenant: TenantId, known: &KnownBy, banks: &[&str]) -> Result<Vec<DecidedCopy>, StoreError> {
        let banks = serde_json::to_string(banks).map_err(|error| StoreError::Invalid(error.to_string()))?;
        let rows = sqlx::query(
            "SELECT CASE purpose WHEN 'double' THEN copy_of ELSE items.id END AS stands_for, verdict, evidence FROM review_known AS known
             JOIN review_items AS items ON items.tenant_id = known.tenant_id AND items.id = known.review_item
             JOIN review_decisions AS decisions ON decisions.tenant_id = known.tenant_id AND decisions.review_item = known.review_item
             WHERE known.tenant_id = ?1 AND key = ?2 AND known.decision IS NOT NULL AND NOT EXISTS (
                 SELECT 1 FROM json_each(?3) AS matched WHERE NOT EXISTS (
                     SELECT 1 FROM banks WHERE banks.tenant_id = ?1 AND name = matched.value AND deleted_at IS NULL
                     AND coalesce((SELECT max(until) FROM bank_former_names WHERE bank = banks.number), banks.created_at) <= items.created_at))
             ORDER BY known.decision DESC LIMIT +?4",
        )
        .bind(blob(tenant.0))
        .bind(known.key())
        .bind(banks)
        .bind(i64::from(NEWEST_VERDICTS))
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(DecidedCopy {
                    review_item: ReviewItemId(uuid(row, "stands_for")?),
                    verdict: named(row, "verdict")?,
                    evidence: json(row, "evidence")?,
                })
            })
            .collect()
    }
}
