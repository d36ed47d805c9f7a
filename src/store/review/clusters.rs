//! One review item for many near-duplicates: what matched the same and was flagged by the same waits as one, with a count.
//!
//! Whoever scores says by a key which attachments belong together. While the item that the first of them made is undecided, claimed or not, further ones are
//! put to it. Once it is decided, [`known`](super::known) says whether the next one is a copy that is put to it all the same, or makes an item of its own.

use sqlx::Row;

use super::{NewRow, attachments, item::Joining};
use crate::{
    domain::{
        ids::{ReviewItemId, TenantId},
        time::Timestamp,
    },
    store::{
        error::StoreError,
        row::{blob, json, uuid},
        transaction::WriteTx,
    },
};

/// References that an item's row keeps of the attachments that it stands for: enough to look at some; [`attachments`] has all.
pub const NEWEST: usize = 20;

/// An undecided item that stands for a cluster.
pub(in crate::store) struct Open {
    pub id: ReviewItemId,
    item_id: String,
    item_ids: Vec<String>,
}

/// The undecided item of a cluster.
pub(in crate::store) async fn open(tx: &mut WriteTx, tenant: TenantId, key: &str) -> Result<Option<Open>, StoreError> {
    let row = sqlx::query(
        "SELECT items.id, item_id, item_ids FROM review_clusters AS clusters
         JOIN review_items AS items ON items.tenant_id = clusters.tenant_id AND items.id = clusters.review_item
         WHERE clusters.tenant_id = ? AND clusters.key = ? AND state = 'open'",
    )
    .bind(blob(tenant.0))
    .bind(key.to_owned())
    .fetch_optional(tx.sql().await?)
    .await?;
    row.map(|row| Ok(Open { id: ReviewItemId(uuid(&row, "id")?), item_id: row.try_get("item_id")?, item_ids: json(&row, "item_ids")? }))
        .transpose()
}

/// Puts a further attachment to an item.
pub(in crate::store) async fn join(tx: &mut WriteTx, tenant: TenantId, open: Open, further: NewRow) -> Result<(), StoreError> {
    let Joining { item_id, priority, at, nearest } = further.joining();
    let known = if open.item_ids.is_empty() { vec![open.item_id] } else { open.item_ids };
    let newest: Vec<_> = std::iter::once(&item_id).chain(known.iter().filter(|known| **known != item_id)).take(NEWEST).collect();
    let newest = serde_json::to_string(&newest).map_err(|error| StoreError::Invalid(error.to_string()))?;
    sqlx::query("UPDATE review_items SET count = count + 1, item_ids = ?, priority = max(priority, ?) WHERE tenant_id = ? AND id = ?")
        .bind(newest)
        .bind(priority)
        .bind(blob(tenant.0))
        .bind(blob(open.id.0))
        .execute(tx.sql().await?)
        .await?;
    attachments::insert(tx, tenant, (open.id, item_id, at), nearest, None).await
}

/// Has further attachments be put to a new item.
pub(in crate::store) async fn begin(
    tx: &mut WriteTx,
    tenant: TenantId,
    key: String,
    item: ReviewItemId,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("INSERT OR REPLACE INTO review_clusters (tenant_id, key, review_item, started_at) VALUES (?, ?, ?, ?)")
        .bind(blob(tenant.0))
        .bind(key)
        .bind(blob(item.0))
        .bind(now.micros())
        .execute(tx.sql().await?)
        .await?;
    Ok(())
}

/// Ends the cluster of a decided item; how many attachments it stands for.
pub(super) async fn end(tx: &mut WriteTx, tenant: TenantId, item: ReviewItemId) -> Result<u64, StoreError> {
    sqlx::query("DELETE FROM review_clusters WHERE tenant_id = ? AND review_item = ?")
        .bind(blob(tenant.0))
        .bind(blob(item.0))
        .execute(tx.sql().await?)
        .await?;
    let count: i64 = sqlx::query_scalar("SELECT count FROM review_items WHERE tenant_id = ? AND id = ?")
        .bind(blob(tenant.0))
        .bind(blob(item.0))
        .fetch_one(tx.sql().await?)
        .await?;
    Ok(count.unsigned_abs())
}
