//! Certificates, the claims of them that are in force, and whose signatures are believed.
//!
//! The store keeps documents as they were given; whether one is valid here is decided by `services::operating_points` each time it is read. What
//! is put into force, retired or trusted is told by [`last_operating_point_change`](Store::last_operating_point_change), so that running servers
//! take it over, and by ledger events.

use std::sync::Arc;

use sqlx::{Row, sqlite::SqliteRow};
use uuid::Uuid;

use super::{
    Store,
    error::StoreError,
    row::{blob, digest, number, time, uuid},
    transaction::WriteTx,
};
use crate::domain::{
    event::{Event, EventBody},
    ids::{EventId, TenantId},
    operating_point::PointKey,
    time::Timestamp,
};

/// A signed certificate as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateDocument {
    pub id: Uuid,
    pub json: String,
}

/// A claim of a certificate that is to be in force.
#[derive(Clone, Debug, PartialEq)]
pub struct NewOperatingPoint {
    pub key: PointKey,
    /// Which claim of the document, from 0.
    pub claim: u32,
    /// For the ledger.
    pub threshold: f64,
    /// Why it is not certified here; `None` when it is. For the ledger.
    pub reason: Option<String>,
}

/// A claim that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPoint {
    pub tenant: TenantId,
    pub key: PointKey,
    pub certificate: Uuid,
    /// Which claim of the document, from 0.
    pub claim: u32,
    pub installed_at: Timestamp,
    /// The certificate's document, shared by its claims.
    pub document: Arc<str>,
}

/// A key whose signatures are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateKey {
    pub tenant: TenantId,
    pub public_key: [u8; 32],
    /// For people; unique per tenant.
    pub name: String,
    pub trusted_at: Timestamp,
}

fn certificate_key(row: &SqliteRow) -> Result<CertificateKey, StoreError> {
    Ok(CertificateKey {
        tenant: TenantId(uuid(row, "tenant_id")?),
        public_key: digest(row, "public_key")?,
        name: row.try_get("name")?,
        trusted_at: time(row, "trusted_at")?,
    })
}

/// The unit under way, of one tenant at one time.
struct Change<'tx> {
    tx: &'tx mut WriteTx,
    tenant: TenantId,
    now: Timestamp,
}

impl Change<'_> {
    async fn record(&mut self, body: EventBody) -> Result<(), StoreError> {
        self.tx.append(&Event { id: EventId::new(), tenant: self.tenant, at: self.now, body }).await
    }

    /// Takes out of force what `key` names; the certificate it was of.
    async fn retire(&mut self, key: &PointKey, replaced_by: Option<Uuid>) -> Result<Option<Uuid>, StoreError> {
        let row = sqlx::query(
            "UPDATE operating_points SET retired_at = ? WHERE tenant_id = ? AND technology = ? AND label = ? AND slice IS ? AND retired_at IS NULL
             RETURNING certificate",
        )
        .bind(self.now.micros())
        .bind(blob(self.tenant.0))
        .bind(key.technology.clone())
        .bind(key.label.clone())
        .bind(key.slice.clone())
        .fetch_optional(self.tx.sql().await?)
        .await?;
        let Some(certificate) = row.as_ref().map(|row| uuid(row, "certificate")).transpose()? else { return Ok(None) };
        let PointKey { technology, label, slice } = key.clone();
        let (certificate_id, replaced_by) = (certificate.to_string(), replaced_by.map(|id| id.to_string()));
        self.record(EventBody::OperatingPointRetired { certificate: certificate_id, technology, label, slice, replaced_by }).await?;
        Ok(Some(certificate))
    }

    async fn keep(&mut self, document: CertificateDocument) -> Result<(), StoreError> {
        let kept: Option<String> = sqlx::query_scalar("SELECT document FROM certificates WHERE tenant_id = ? AND id = ?")
            .bind(blob(self.tenant.0))
            .bind(blob(document.id))
            .fetch_optional(self.tx.sql().await?)
            .await?;
        match kept {
            Some(json) if json == document.json => Ok(()),
            Some(_) => Err(StoreError::Duplicate("certificate")),
            None => {
                sqlx::query("INSERT INTO certificates (tenant_id, id, document) VALUES (?, ?, ?)")
                    .bind(blob(self.tenant.0))
                    .bind(blob(document.id))
                    .bind(document.json)
                    .execute(self.tx.sql().await?)
                    .await
                    .map_err(|error| StoreError::constraint(error, "certificate"))?;
                Ok(())
            }
        }
    }

    async fn install(&mut self, certificate: Uuid, point: NewOperatingPoint) -> Result<Option<Uuid>, StoreError> {
        let replaced = self.retire(&point.key, Some(certificate)).await?;
        let PointKey { technology, label, slice } = point.key;
        sqlx::query(
            "INSERT INTO operating_points (tenant_id, certificate, claim, technology, label, slice, installed_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(blob(self.tenant.0))
        .bind(blob(certificate))
        .bind(i64::from(point.claim))
        .bind(technology.clone())
        .bind(label.clone())
        .bind(slice.clone())
        .bind(self.now.micros())
        .execute(self.tx.sql().await?)
        .await?;
        let body = EventBody::OperatingPointInstalled {
            certificate: certificate.to_string(),
            technology,
            label,
            slice,
            threshold: point.threshold,
            certified: point.reason.is_none(),
            reason: point.reason,
        };
        self.record(body).await?;
        Ok(replaced)
    }

    /// Tells running servers.
    async fn publish(&mut self) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO operating_point_changes (tenant_id, at) VALUES (?, ?)")
            .bind(blob(self.tenant.0))
            .bind(self.now.micros())
            .execute(self.tx.sql().await?)
            .await
            .map_err(|error| StoreError::constraint(error, "change"))?;
        Ok(())
    }
}

impl Store {
    /// Puts claims of a certificate into force, all or none; each takes the place of what was in force for its key. What each replaced, in
    /// their order.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when another document has the certificate's id.
    pub async fn install_operating_points(
        &self,
        tenant: TenantId,
        document: CertificateDocument,
        points: Vec<NewOperatingPoint>,
        now: Timestamp,
    ) -> Result<Vec<Option<Uuid>>, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let (mut change, id) = (Change { tx, tenant, now }, document.id);
                change.keep(document).await?;
                let mut replaced = Vec::with_capacity(points.len());
                for point in points {
                    replaced.push(change.install(id, point).await?);
                }
                change.publish().await?;
                Ok(replaced)
            })
        })
        .await
    }

    /// Takes a point out of force; the id of its certificate.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when no certificate is in force for exactly this key.
    pub async fn retire_operating_point(&self, tenant: TenantId, key: PointKey, now: Timestamp) -> Result<Uuid, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut change = Change { tx, tenant, now };
                let retired = change.retire(&key, None).await?.ok_or(StoreError::NotFound("installed operating point"))?;
                change.publish().await?;
                Ok(retired)
            })
        })
        .await
    }

    /// Every tenant's claims in force, in the order in which they were installed.
    pub async fn operating_points(&self) -> Result<Vec<StoredPoint>, StoreError> {
        let rows = sqlx::query(
            "SELECT p.tenant_id, p.certificate, p.claim, p.technology, p.label, p.slice, p.installed_at, c.document
             FROM operating_points p JOIN certificates c ON c.tenant_id = p.tenant_id AND c.id = p.certificate
             WHERE p.retired_at IS NULL ORDER BY p.number",
        )
        .fetch_all(self.readers())
        .await?;
        let mut points: Vec<StoredPoint> = Vec::with_capacity(rows.len());
        for row in &rows {
            let (tenant, certificate) = (TenantId(uuid(row, "tenant_id")?), uuid(row, "certificate")?);
            let known = points.iter().find(|point| (point.tenant, point.certificate) == (tenant, certificate));
            let document = match known {
                Some(known) => known.document.clone(),
                None => row.try_get::<&str, _>("document")?.into(),
            };
            let key = PointKey { technology: row.try_get("technology")?, label: row.try_get("label")?, slice: row.try_get("slice")? };
            let (claim, installed_at) = (number(row, "claim")?, time(row, "installed_at")?);
            points.push(StoredPoint { tenant, key, certificate, claim, installed_at, document });
        }
        Ok(points)
    }

    /// The document of a certificate that is or was in force.
    pub async fn certificate(&self, tenant: TenantId, id: Uuid) -> Result<Option<String>, StoreError> {
        let query = sqlx::query_scalar("SELECT document FROM certificates WHERE tenant_id = ? AND id = ?");
        Ok(query.bind(blob(tenant.0)).bind(blob(id)).fetch_optional(self.readers()).await?)
    }

    /// Every tenant's certificates that are or were in force.
    pub async fn certificate_documents(&self) -> Result<Vec<(TenantId, String)>, StoreError> {
        let rows = sqlx::query("SELECT tenant_id, document FROM certificates ORDER BY id").fetch_all(self.readers()).await?;
        rows.iter().map(|row| Ok((TenantId(uuid(row, "tenant_id")?), row.try_get("document")?))).collect()
    }

    /// The number of the last change of operating points or trusted keys; 0 before the first. Cheap enough to poll.
    pub async fn last_operating_point_change(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM operating_point_changes").fetch_one(self.readers()).await?)
    }

    /// Believes signatures of this key from now on.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the key or the name is there already.
    pub async fn trust_certificate_key(
        &self,
        tenant: TenantId,
        public_key: [u8; 32],
        name: String,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut change = Change { tx, tenant, now };
                sqlx::query("INSERT INTO certificate_keys (tenant_id, public_key, name, trusted_at) VALUES (?, ?, ?, ?)")
                    .bind(blob(tenant.0))
                    .bind(public_key.to_vec())
                    .bind(name.clone())
                    .bind(now.micros())
                    .execute(change.tx.sql().await?)
                    .await
                    .map_err(|error| StoreError::constraint(error, "trusted key or name"))?;
                change.record(EventBody::CertificateKeyTrusted { public_key: hex::encode(public_key), name }).await?;
                change.publish().await
            })
        })
        .await
    }

    /// Stops believing signatures of the key with this name; the key.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn untrust_certificate_key(&self, tenant: TenantId, name: String, now: Timestamp) -> Result<CertificateKey, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut change = Change { tx, tenant, now };
                let row = sqlx::query(
                    "DELETE FROM certificate_keys WHERE tenant_id = ? AND name = ? RETURNING tenant_id, public_key, name, trusted_at",
                )
                .bind(blob(tenant.0))
                .bind(name)
                .fetch_optional(change.tx.sql().await?)
                .await?;
                let key = certificate_key(&row.ok_or(StoreError::NotFound("trusted key of that name"))?)?;
                let body = EventBody::CertificateKeyUntrusted { public_key: hex::encode(key.public_key), name: key.name.clone() };
                change.record(body).await?;
                change.publish().await?;
                Ok(key)
            })
        })
        .await
    }

    /// Every tenant's trusted keys, by name.
    pub async fn certificate_keys(&self) -> Result<Vec<CertificateKey>, StoreError> {
        let rows = sqlx::query("SELECT tenant_id, public_key, name, trusted_at FROM certificate_keys ORDER BY tenant_id, name")
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(certificate_key).collect()
    }
}
