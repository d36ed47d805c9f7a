//! Tenants and their API keys.
//!
//! A key is 256 random bits; only its SHA-256 is stored. Plain SHA-256 is right here: nothing that long can be guessed, so a slow password
//! hash would protect nothing and cost every request milliseconds.

use sqlx::{Row, sqlite::SqliteRow};

use super::{
    Store,
    error::StoreError,
    row::{blob, optional_time, time, uuid},
    transaction::WriteTx,
};
use crate::domain::{
    event::{Event, EventBody},
    ids::{EventId, KeyId, TenantId},
    time::Timestamp,
};

/// A key to be stored.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// For people.
    pub name: String,
    /// What it may do; `services::access` knows the names.
    pub role: String,
    /// SHA-256 of the key.
    pub secret_sha256: [u8; 32],
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// A stored key, without its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    pub id: KeyId,
    pub tenant: TenantId,
    pub name: String,
    pub role: String,
    pub created_at: Timestamp,
    /// From this instant on it is not valid any more; `None` when it does not end by itself.
    pub expires_at: Option<Timestamp>,
    /// `None` while nobody ended it.
    pub revoked_at: Option<Timestamp>,
}

fn key(row: &SqliteRow) -> Result<StoredKey, StoreError> {
    Ok(StoredKey {
        id: KeyId(uuid(row, "id")?),
        tenant: TenantId(uuid(row, "tenant_id")?),
        name: row.try_get("name")?,
        role: row.try_get("role")?,
        created_at: time(row, "created_at")?,
        expires_at: optional_time(row, "expires_at")?,
        revoked_at: optional_time(row, "revoked_at")?,
    })
}

async fn insert(tx: &mut WriteTx, tenant: TenantId, new: NewKey, now: Timestamp) -> Result<StoredKey, StoreError> {
    let id = KeyId::new();
    sqlx::query("INSERT INTO keys (tenant_id, id, name, role, secret_sha256, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(blob(tenant.0))
        .bind(blob(id.0))
        .bind(new.name.clone())
        .bind(new.role.clone())
        .bind(new.secret_sha256.to_vec())
        .bind(now.micros())
        .bind(new.expires_at.map(Timestamp::micros))
        .execute(tx.sql().await?)
        .await
        .map_err(|error| StoreError::constraint(error, "key"))?;
    let body = EventBody::KeyCreated { key: id, name: new.name.clone(), role: new.role.clone(), expires_at: new.expires_at };
    tx.append(&Event { id: EventId::new(), tenant, at: now, body }).await?;
    Ok(StoredKey { id, tenant, name: new.name, role: new.role, created_at: now, expires_at: new.expires_at, revoked_at: None })
}

impl Store {
    /// Adds a tenant.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the id is taken.
    pub async fn create_tenant(&self, id: TenantId, name: String, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("INSERT INTO tenants (id, name, created_at) VALUES (?, ?, ?)")
                    .bind(blob(id.0))
                    .bind(name)
                    .bind(now.micros())
                    .execute(tx.sql().await?)
                    .await
                    .map_err(|error| StoreError::constraint(error, "tenant"))?;
                Ok(())
            })
        })
        .await
    }

    /// Adds a key and its ledger event.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the secret is stored already.
    pub async fn create_key(&self, tenant: TenantId, new: NewKey, now: Timestamp) -> Result<StoredKey, StoreError> {
        self.write(move |tx| Box::pin(insert(tx, tenant, new, now))).await
    }

    /// Adds a key only when the store holds none at all, revoked ones included; `None` when it does. Of two processes that start at once, one
    /// gets a key.
    pub async fn create_first_key(&self, tenant: TenantId, new: NewKey, now: Timestamp) -> Result<Option<StoredKey>, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let any: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM keys)").fetch_one(tx.sql().await?).await?;
                if any { Ok(None) } else { insert(tx, tenant, new, now).await.map(Some) }
            })
        })
        .await
    }

    /// The valid key with this digest; `None` for one that is unknown, revoked or expired.
    pub async fn find_key(&self, secret_sha256: [u8; 32]) -> Result<Option<StoredKey>, StoreError> {
        let row = sqlx::query(
            "SELECT tenant_id, id, name, role, created_at, expires_at, revoked_at FROM keys
             WHERE secret_sha256 = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)",
        )
        .bind(secret_sha256.to_vec())
        .bind(Timestamp::now().micros())
        .fetch_optional(self.readers())
        .await?;
        row.as_ref().map(key).transpose()
    }

    /// All keys of the tenant, oldest first.
    pub async fn keys(&self, tenant: TenantId) -> Result<Vec<StoredKey>, StoreError> {
        let rows =
            sqlx::query("SELECT tenant_id, id, name, role, created_at, expires_at, revoked_at FROM keys WHERE tenant_id = ? ORDER BY id")
                .bind(blob(tenant.0))
                .fetch_all(self.readers())
                .await?;
        rows.iter().map(key).collect()
    }

    /// Ends a key and records it. A key that is revoked already stays as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn revoke_key(&self, tenant: TenantId, id: KeyId, now: Timestamp) -> Result<StoredKey, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let revoked = sqlx::query("UPDATE keys SET revoked_at = ? WHERE tenant_id = ? AND id = ? AND revoked_at IS NULL")
                    .bind(now.micros())
                    .bind(blob(tenant.0))
                    .bind(blob(id.0))
                    .execute(tx.sql().await?)
                    .await?;
                if revoked.rows_affected() == 1 {
                    tx.append(&Event { id: EventId::new(), tenant, at: now, body: EventBody::KeyRevoked { key: id } }).await?;
                }
                let row = sqlx::query(
                    "SELECT tenant_id, id, name, role, created_at, expires_at, revoked_at FROM keys WHERE tenant_id = ? AND id = ?",
                )
                .bind(blob(tenant.0))
                .bind(blob(id.0))
                .fetch_optional(tx.sql().await?)
                .await?;
                row.as_ref().map_or(Err(StoreError::NotFound("key")), key)
            })
        })
        .await
    }

    /// Keys of all tenants, revoked ones included.
    pub async fn count_keys(&self) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM keys").fetch_one(self.readers()).await?;
        Ok(count.unsigned_abs())
    }
}
