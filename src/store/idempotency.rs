//! Responses that are given again. A key belongs to one body; a second body under the same key is refused.

use bytes::Bytes;
use sqlx::Row;

use super::{
    Store,
    error::StoreError,
    outcome::IdempotentResponse,
    row::{blob, digest, number},
    transaction::WriteTx,
};
use crate::domain::{ids::TenantId, time::Timestamp};

/// Expired responses that one transaction removes: a small part of its time.
const PURGED_AT_ONCE: i64 = 256;

/// Stores a response, unless its key has an unexpired one.
pub(super) async fn insert(
    tx: &mut WriteTx,
    tenant: TenantId,
    response: &IdempotentResponse,
    now: Timestamp,
    expires: Timestamp,
) -> Result<(), StoreError> {
    let written = sqlx::query(
        "INSERT INTO idempotency (tenant_id, key, body_digest, status, body, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (tenant_id, key) DO UPDATE SET body_digest = excluded.body_digest, status = excluded.status, body = excluded.body,
             created_at = excluded.created_at, expires_at = excluded.expires_at
         WHERE idempotency.expires_at <= excluded.created_at",
    )
    .bind(blob(tenant.0))
    .bind(response.key.clone())
    .bind(response.body_digest.to_vec())
    .bind(i64::from(response.status))
    .bind(response.body.to_vec())
    .bind(now.micros())
    .bind(expires.micros())
    .execute(tx.sql().await?)
    .await?;
    if written.rows_affected() == 1 {
        return Ok(());
    }
    let row = sqlx::query("SELECT body_digest FROM idempotency WHERE tenant_id = ? AND key = ?")
        .bind(blob(tenant.0))
        .bind(response.key.clone())
        .fetch_one(tx.sql().await?)
        .await?;
    if digest(&row, "body_digest")? == response.body_digest {
        Err(StoreError::AlreadyAnswered)
    } else {
        Err(StoreError::IdempotencyConflict)
    }
}

/// Removes some of what has expired.
pub(super) async fn purge(tx: &mut WriteTx, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM idempotency WHERE rowid IN (SELECT rowid FROM idempotency WHERE expires_at <= ? LIMIT +?)")
        .bind(now.micros())
        .bind(PURGED_AT_ONCE)
        .execute(tx.sql().await?)
        .await?;
    Ok(())
}

impl Store {
    /// The unexpired response under `key`. The caller compares the body's digest: another one is
    /// [`StoreError::IdempotencyConflict`]'s case.
    pub async fn idempotent_response(&self, tenant: TenantId, key: &str, now: Timestamp) -> Result<Option<IdempotentResponse>, StoreError> {
        let row = sqlx::query("SELECT key, body_digest, status, body FROM idempotency WHERE tenant_id = ? AND key = ? AND expires_at > ?")
            .bind(blob(tenant.0))
            .bind(key.to_owned())
            .bind(now.micros())
            .fetch_optional(self.readers())
            .await?;
        row.map(|row| {
            Ok(IdempotentResponse {
                key: row.try_get("key")?,
                body_digest: digest(&row, "body_digest")?,
                status: number(&row, "status")?,
                body: Bytes::from(row.try_get::<Vec<u8>, _>("body")?),
            })
        })
        .transpose()
    }
}
