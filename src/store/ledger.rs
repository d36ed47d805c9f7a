//! The ledger's rows; what they mean is `engines::ledger`'s.

use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    Store,
    error::StoreError,
    row::{blob, digest, number, time, uuid},
    transaction::WriteTx,
};
use crate::{
    domain::{
        event::{Event, EventBody},
        ids::{EventId, TenantId},
        time::Timestamp,
    },
    engines::ledger::{Broken, Head, LedgerCheck, Link, Payload, Verifier},
};

/// Events that are read at once by [`Store::verify_ledger`]: a page of some hundred kilobytes.
const PAGE: u32 = 1000;

/// One event as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// 1 for the tenant's first event; gapless.
    pub seq: i64,
    pub id: EventId,
    pub at: Timestamp,
    pub kind: String,
    pub version: u32,
    /// JSON of the event's body; `None` once erased.
    pub payload: Option<String>,
    pub hash: [u8; 32],
}

impl LedgerEntry {
    /// The body; `None` once erased.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when this version cannot read it; look at [`version`](Self::version).
    pub fn body(&self) -> Option<Result<EventBody, StoreError>> {
        let read = |json: &String| serde_json::from_str(json);
        let corrupt = |error: serde_json::Error| StoreError::Corrupt { what: "event", detail: error.to_string() };
        self.payload.as_ref().map(|json| read(json).map_err(corrupt))
    }
}

/// Where the tenant's chain ends.
pub(super) async fn head(connection: &mut SqliteConnection, tenant: TenantId) -> Result<Head, StoreError> {
    let row = sqlx::query("SELECT seq, hash FROM ledger_heads WHERE tenant_id = ?").bind(blob(tenant.0)).fetch_optional(connection).await?;
    row.map_or(Ok(Head::EMPTY), |row| Ok(Head { seq: row.try_get("seq")?, hash: digest(&row, "hash")? }))
}

/// Records where the tenant's chain ends now.
pub(super) async fn move_head(connection: &mut SqliteConnection, tenant: TenantId, head: &Head) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO ledger_heads (tenant_id, seq, hash) VALUES (?, ?, ?)
         ON CONFLICT DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
    )
    .bind(blob(tenant.0))
    .bind(head.seq)
    .bind(head.hash.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds a link.
pub(super) async fn insert(connection: &mut SqliteConnection, link: &Link) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO ledger (tenant_id, seq, id, at, kind, version, payload, payload_key, payload_digest, previous, hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(blob(link.tenant.0))
    .bind(link.seq)
    .bind(blob(link.id.0))
    .bind(link.at.micros())
    .bind(link.kind.clone())
    .bind(i64::from(link.version))
    .bind(link.payload.as_ref().map(|payload| payload.json.clone()))
    .bind(link.payload.as_ref().map(|payload| payload.key.to_vec()))
    .bind(link.payload_digest.to_vec())
    .bind(link.previous.to_vec())
    .bind(link.hash.to_vec())
    .execute(connection)
    .await
    .map_err(|error| StoreError::constraint(error, "event"))?;
    Ok(())
}

fn link(row: &SqliteRow) -> Result<Link, StoreError> {
    let json: Option<String> = row.try_get("payload")?;
    let payload = json.map(|json| Ok::<_, StoreError>(Payload { json, key: digest(row, "payload_key")? })).transpose()?;
    Ok(Link {
        tenant: TenantId(uuid(row, "tenant_id")?),
        seq: row.try_get("seq")?,
        id: EventId(uuid(row, "id")?),
        at: time(row, "at")?,
        kind: row.try_get("kind")?,
        version: number(row, "version")?,
        payload,
        payload_digest: digest(row, "payload_digest")?,
        previous: digest(row, "previous")?,
        hash: digest(row, "hash")?,
    })
}

async fn erase(tx: &mut WriteTx, tenant: TenantId, event: EventId) -> Result<(), StoreError> {
    let body = EventBody::PayloadErased { event };
    let kind: Option<String> = sqlx::query_scalar("SELECT kind FROM ledger WHERE tenant_id = ? AND id = ?")
        .bind(blob(tenant.0))
        .bind(blob(event.0))
        .fetch_optional(tx.sql().await?)
        .await?;
    if kind.ok_or(StoreError::NotFound("event"))? == body.kind() {
        return Err(StoreError::Invalid("an event that records an erasure".to_owned()));
    }
    let erased = sqlx::query("UPDATE ledger SET payload = NULL, payload_key = NULL WHERE tenant_id = ? AND id = ? AND payload IS NOT NULL")
        .bind(blob(tenant.0))
        .bind(blob(event.0))
        .execute(tx.sql().await?)
        .await?;
    if erased.rows_affected() == 1 {
        tx.append(&Event { id: EventId::new(), tenant, at: Timestamp::now(), body }).await?;
    }
    Ok(())
}

impl Store {
    /// Appends an event that changes nothing else to the tenant's chain. Returns when that is durable.
    ///
    /// # Errors
    /// The store's own.
    pub async fn record(&self, tenant: TenantId, body: EventBody, at: Timestamp) -> Result<(), StoreError> {
        let event = Event { id: EventId::new(), tenant, at, body };
        self.write(move |tx| Box::pin(async move { tx.append(&event).await })).await
    }

    /// Events after number `after_seq` (0 for all) in their order, at most `limit`.
    pub async fn ledger_events(&self, tenant: TenantId, after_seq: i64, limit: u32) -> Result<Vec<LedgerEntry>, StoreError> {
        let entry = |link: Link| LedgerEntry {
            seq: link.seq,
            id: link.id,
            at: link.at,
            kind: link.kind,
            version: link.version,
            payload: link.payload.map(|payload| payload.json),
            hash: link.hash,
        };
        Ok(self.links(tenant, after_seq, i64::MAX, limit).await?.into_iter().map(entry).collect())
    }

    /// The hash of event number `seq`; `None` when there is none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn event_hash(&self, tenant: TenantId, seq: i64) -> Result<Option<[u8; 32]>, StoreError> {
        let row = sqlx::query("SELECT hash FROM ledger WHERE tenant_id = ? AND seq = ?")
            .bind(blob(tenant.0))
            .bind(seq)
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(|row| digest(row, "hash")).transpose()
    }

    /// Whether anything here was written with the data directory's pseudonym key: each attachment that was scored leaves a counter.
    pub async fn holds_pseudonyms(&self) -> Result<bool, StoreError> {
        let query = "SELECT EXISTS (SELECT 1 FROM counters) OR EXISTS (SELECT 1 FROM review_items) OR EXISTS (SELECT 1 FROM idempotency)";
        Ok(sqlx::query_scalar::<_, i64>(query).fetch_one(self.readers()).await? != 0)
    }

    /// What the ledger holds of trust in certificates: which were installed, and which keys were believed, in their order.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when this version cannot read one of them.
    pub async fn certificate_events(&self, tenant: TenantId) -> Result<Vec<EventBody>, StoreError> {
        let payloads: Vec<String> = sqlx::query_scalar(
            "SELECT payload FROM ledger WHERE tenant_id = ? AND kind IN ('operating_point_installed', 'certificate_key_trusted')
             AND payload IS NOT NULL ORDER BY seq",
        )
        .bind(blob(tenant.0))
        .fetch_all(self.readers())
        .await?;
        let corrupt = |error: serde_json::Error| StoreError::Corrupt { what: "event", detail: error.to_string() };
        payloads.iter().map(|json| serde_json::from_str(json).map_err(corrupt)).collect()
    }

    /// Reads the whole chain and checks it. Writers go on meanwhile: it covers what is recorded when it starts, which never changes but for
    /// erasures, so it is read in pages and holds no long snapshot.
    ///
    /// # Errors
    /// [`StoreError::LedgerBroken`] at the first event that does not fit.
    pub async fn verify_ledger(&self, tenant: TenantId) -> Result<LedgerCheck, StoreError> {
        // One statement sees one state: the last event there is, and the last that is recorded as such.
        let row = sqlx::query(
            "SELECT (SELECT coalesce(max(seq), 0) FROM ledger WHERE tenant_id = ?1) AS last, seq, hash
             FROM (SELECT 1) LEFT JOIN ledger_heads ON tenant_id = ?1",
        )
        .bind(blob(tenant.0))
        .fetch_one(self.readers())
        .await?;
        let head = match row.try_get::<Option<i64>, _>("seq")? {
            Some(seq) => Head { seq, hash: digest(&row, "hash")? },
            None => Head::EMPTY,
        };
        let last: i64 = row.try_get("last")?;
        if last > head.seq {
            return Err(Broken::Head { expected: head.seq, found: last }.into());
        }
        let mut verifier = Verifier::new(tenant);
        let mut after = 0;
        loop {
            let links = self.links(tenant, after, head.seq, PAGE).await?;
            let Some(end) = links.last() else { break };
            after = end.seq;
            links.iter().try_for_each(|link| verifier.check(link))?;
        }
        Ok(verifier.finish(&head)?)
    }

    async fn links(&self, tenant: TenantId, after: i64, until: i64, limit: u32) -> Result<Vec<Link>, StoreError> {
        let rows = sqlx::query(
            "SELECT tenant_id, seq, id, at, kind, version, payload, payload_key, payload_digest, previous, hash
             FROM ledger WHERE tenant_id = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT +?",
        )
        .bind(blob(tenant.0))
        .bind(after)
        .bind(until)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(link).collect()
    }

    /// Erases an event's payload and the key of its digest, and records that; erasing twice is no error. What records an erasure cannot be erased. The rows' bytes are overwritten (`secure_delete`), and
    /// the log that still holds them is emptied as soon as no reader needs it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Invalid`] for an event that records an erasure.
    pub async fn erase_payload(&self, tenant: TenantId, event: EventId) -> Result<(), StoreError> {
        self.write(move |tx| Box::pin(erase(tx, tenant, event))).await?;
        // A checkpoint that is held up is finished by a later one; the erasure itself is durable.
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_optional(self.readers()).await?;
        Ok(())
    }
}
