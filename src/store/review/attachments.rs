//! What an item stands for beside its first attachment: those that matched the same while it was open, and the copies that came once it was decided.

use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    domain::{
        decision::Likeness,
        evidence::Evidence,
        ids::{ReviewItemId, TenantId},
        time::Timestamp,
    },
    store::{
        Store,
        error::StoreError,
        row::{blob, named, optional_time},
        transaction::WriteTx,
    },
};

/// A copy of a decided item that is put to it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAttachment {
    /// The decided item.
    pub review_item: ReviewItemId,
    /// The provider's reference.
    pub item_id: String,
    pub at: Timestamp,
    pub nearest: Option<Nearest>,
    pub likeness: Likeness,
}

/// The nearest match of an attachment.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearest {
    /// The signal type's name.
    pub technology: String,
    /// In the unit of the signal type.
    pub distance: f32,
}

impl Nearest {
    /// `None` when nothing matched.
    pub fn of(evidence: &Evidence) -> Option<Self> {
        let nearest = evidence.matches.first()?;
        Some(Self { technology: nearest.technology.as_str().to_owned(), distance: nearest.distance.get() })
    }
}

/// One attachment that an item stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Attachment {
    /// Its place in the order in which they came: 0 for the first one, which made the item. Grows, not gapless.
    pub number: i64,
    /// The provider's reference.
    pub item_id: String,
    /// When it was scored; `None` for those that came before this was written down.
    pub at: Option<Timestamp>,
    /// `None` where nothing matched, and for those of before.
    pub nearest: Option<Nearest>,
    /// To the item, for those that came once it was decided; `None` for the others.
    pub likeness: Option<Likeness>,
}

/// Writes an attachment down.
pub(super) async fn insert(
    tx: &mut WriteTx,
    tenant: TenantId,
    (item, item_id, at): (ReviewItemId, String, Timestamp),
    nearest: Option<Nearest>,
    likeness: Option<Likeness>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO review_attachments (tenant_id, review_item, item_id, at, technology, distance, likeness) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(blob(tenant.0))
    .bind(blob(item.0))
    .bind(item_id)
    .bind(at.micros())
    .bind(nearest.as_ref().map(|nearest| nearest.technology.clone()))
    .bind(nearest.map(|nearest| f64::from(nearest.distance)))
    .bind(likeness.map(Likeness::as_str))
    .execute(tx.sql().await?)
    .await?;
    Ok(())
}

/// Puts a copy to the decided item that it is one of.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such item, or it is open.
pub(in crate::store) async fn attach(tx: &mut WriteTx, tenant: TenantId, new: NewAttachment) -> Result<(), StoreError> {
    let counted = sqlx::query("UPDATE review_items SET attached = attached + 1 WHERE tenant_id = ? AND id = ? AND state = 'decided'")
        .bind(blob(tenant.0))
        .bind(blob(new.review_item.0))
        .execute(tx.sql().await?)
        .await?;
    if counted.rows_affected() == 0 {
        return Err(StoreError::NotFound("decided review item"));
    }
    insert(tx, tenant, (new.review_item, new.item_id, new.at), new.nearest, Some(new.likeness)).await
}

fn attachment(row: &SqliteRow) -> Result<Attachment, StoreError> {
    let technology: Option<String> = row.try_get("technology")?;
    let distance: Option<f64> = row.try_get("distance")?;
    #[expect(clippy::cast_possible_truncation, reason = "it was a number of 32 bits")]
    let nearest = technology.zip(distance).map(|(technology, distance)| Nearest { technology, distance: distance as f32 });
    Ok(Attachment {
        number: row.try_get("seq")?,
        item_id: row.try_get("item_id")?,
        at: optional_time(row, "at")?,
        nearest,
        likeness: if row.try_get::<Option<&str>, _>("likeness")?.is_some() { Some(named(row, "likeness")?) } else { None },
    })
}

impl Store {
    /// What the item stands for beside its first attachment, in the order in which they came: those after number `after`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be read.
    pub async fn review_attachments(
        &self,
        tenant: TenantId,
        item: ReviewItemId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Attachment>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, item_id, at, technology, distance, likeness FROM review_attachments
             WHERE tenant_id = ? AND review_item = ? AND seq > ? ORDER BY seq LIMIT +?",
        )
        .bind(blob(tenant.0))
        .bind(blob(item.0))
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(attachment).collect()
    }
}
