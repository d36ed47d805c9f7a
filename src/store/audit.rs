//! Rows that answers are made from, held against the events that recorded them.
//!
//! The chain protects the ledger; what people and programs are shown comes from other tables. A verdict that was changed there, an item whose evidence is another one or a
//! key with another role would not break any chain, so an audit compares: verdicts, what was put before people, and keys. What was erased from the ledger cannot be
//! compared, and as many rows may be without an event as events were erased.

use std::collections::HashMap;

use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{Row, sqlite::SqliteRow};
use uuid::Uuid;

use super::{
    Store,
    error::StoreError,
    row::{blob, optional_uuid, uuid},
};
use crate::domain::ids::TenantId;

/// Rows that are read at a time.
const PAGE: i64 = 1000;

/// How many rows were compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ComparedRows {
    pub decisions: u64,
    pub review_items: u64,
    pub keys: u64,
}

/// The last of each that is compared: of one moment, because writers go on.
struct Until {
    event: i64,
    decision: i64,
    item: i64,
}

/// What events say of rows.
#[derive(Default)]
struct Recorded {
    /// Verdicts: who, what, when.
    decisions: HashMap<Uuid, (Uuid, String, i64)>,
    /// Digests of evidence and routing of what was put before people.
    items: HashMap<Uuid, [u8; 32]>,
    /// Names and roles, and whether they were ended.
    keys: HashMap<Uuid, (String, String, Option<String>, bool)>,
    /// Events of each kind whose payload is erased.
    erased: HashMap<String, u64>,
}

fn changed(what: &'static str, id: Uuid, detail: &str) -> StoreError {
    StoreError::RowChanged { what, id: id.to_string(), detail: detail.to_owned() }
}

fn corrupt(detail: &str) -> StoreError {
    StoreError::Corrupt { what: "event", detail: detail.to_owned() }
}

fn text<'a>(payload: &'a Value, key: &str) -> Result<&'a str, StoreError> {
    payload[key].as_str().ok_or_else(|| corrupt(key))
}

fn id(payload: &Value, key: &str) -> Result<Uuid, StoreError> {
    text(payload, key)?.parse().map_err(|_| corrupt(key))
}

/// Of what stands in both places as the same JSON: of the values, because a number may be written in several ways.
fn looked_at(evidence: &Value, decision: &Value) -> [u8; 32] {
    let (evidence, decision) = (evidence.to_string(), decision.to_string());
    Sha256::new().chain_update((evidence.len() as u64).to_be_bytes()).chain_update(evidence).chain_update(decision).finalize().into()
}

impl Recorded {
    fn take(&mut self, row: &SqliteRow) -> Result<(), StoreError> {
        let (at, kind): (i64, String) = (row.try_get("at")?, row.try_get("kind")?);
        let Some(json) = row.try_get::<Option<&str>, _>("payload")? else {
            *self.erased.entry(kind).or_default() += 1;
            return Ok(());
        };
        let payload: Value = serde_json::from_str(json).map_err(|error| corrupt(&error.to_string()))?;
        match kind.as_str() {
            "review_decided" => {
                let decision = (id(&payload, "reviewer")?, text(&payload, "verdict")?.to_owned(), at);
                self.decisions.insert(id(&payload, "review_item")?, decision);
            }
            "scored" => {
                // Later events of the same item are of attachments that were put to it.
                let digest = looked_at(&payload["evidence"], &payload["decision"]);
                self.items.entry(id(&payload, "review_item")?).or_insert(digest);
            }
            "key_created" => {
                let expires = payload["expires_at"].as_str().map(str::to_owned);
                let key = (text(&payload, "name")?.to_owned(), text(&payload, "role")?.to_owned(), expires, false);
                self.keys.insert(id(&payload, "key")?, key);
            }
            "key_revoked" => {
                if let Some(key) = self.keys.get_mut(&id(&payload, "key")?) {
                    key.3 = true;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Lets a row without an event pass for an event that was erased.
    fn excuses(&mut self, kind: &str) -> bool {
        let left = self.erased.get_mut(kind).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }

    fn decision(&mut self, row: &SqliteRow) -> Result<(), StoreError> {
        const WHAT: &str = "verdict on review item";
        let item = uuid(row, "review_item")?;
        let stored = (uuid(row, "reviewer")?, row.try_get::<String, _>("verdict")?, row.try_get::<i64, _>("decided_at")?);
        match self.decisions.remove(&item) {
            Some(recorded) if recorded == stored => Ok(()),
            Some((_, verdict, _)) if verdict != stored.1 => {
                Err(changed(WHAT, item, &format!("it is {} there, and {verdict} was recorded", stored.1)))
            }
            Some(_) => Err(changed(WHAT, item, "its reviewer or its time is another one")),
            None if self.excuses("review_decided") => Ok(()),
            None => Err(changed(WHAT, item, "no event recorded it")),
        }
    }

    fn item(&mut self, row: &SqliteRow) -> Result<(), StoreError> {
        const WHAT: &str = "review item";
        let item = uuid(row, "id")?;
        // Copies for reviewers' sake show what their original shows.
        let of = match row.try_get::<&str, _>("purpose")? {
            "double" | "gold" => optional_uuid(row, "copy_of")?.unwrap_or(item),
            _ => item,
        };
        let json = |column| -> Result<Value, StoreError> {
            serde_json::from_str(row.try_get(column)?).map_err(|error| changed(WHAT, item, &format!("its {column} is no JSON: {error}")))
        };
        let stored = looked_at(&json("evidence")?, &json("decision")?);
        match self.items.get(&of).copied() {
            Some(recorded) if recorded == stored => Ok(()),
            Some(_) => Err(changed(WHAT, item, "its evidence or its routing is another one")),
            None if self.excuses("scored") => Ok(()),
            None => Err(changed(WHAT, item, "no event recorded it")),
        }
    }

    fn key(&mut self, row: &SqliteRow) -> Result<(), StoreError> {
        const WHAT: &str = "key";
        let key = uuid(row, "id")?;
        let ends = row.try_get::<Option<i64>, _>("expires_at")?.map(|at| crate::domain::time::Timestamp::from_micros(at).to_string());
        let stored = (row.try_get::<String, _>("name")?, row.try_get::<String, _>("role")?, ends, row.try_get::<bool, _>("revoked")?);
        match self.keys.remove(&key) {
            Some(recorded) if recorded == stored => Ok(()),
            Some((_, role, ..)) if role != stored.1 => {
                Err(changed(WHAT, key, &format!("its role is {}, and {role} was recorded", stored.1)))
            }
            Some(_) => Err(changed(WHAT, key, "its name, its end or whether it was revoked is another one")),
            None if self.excuses("key_created") => Ok(()),
            None => Err(changed(WHAT, key, "no event recorded it")),
        }
    }

    /// What was recorded and is not there.
    fn missing(&self) -> Result<(), StoreError> {
        match (self.decisions.keys().next(), self.keys.keys().next()) {
            (Some(item), _) => Err(changed("verdict on review item", *item, "it was recorded, and is not there")),
            (None, Some(key)) => Err(changed("key", *key, "it was recorded, and is not there")),
            (None, None) => Ok(()),
        }
    }
}

impl Store {
    /// Compares verdicts, review items and keys with the events that recorded them. Whether those events are as they were written says
    /// [`verify_ledger`](Self::verify_ledger), which comes first.
    ///
    /// # Errors
    /// [`StoreError::RowChanged`] at the first row that is not as it was recorded.
    pub async fn compare_rows(&self, tenant: TenantId) -> Result<ComparedRows, StoreError> {
        let row = sqlx::query(
            "SELECT (SELECT coalesce(max(seq), 0) FROM ledger WHERE tenant_id = ?1) AS event,
             (SELECT coalesce(max(seq), 0) FROM review_decisions) AS decision, (SELECT coalesce(max(rowid), 0) FROM review_items) AS item",
        )
        .bind(blob(tenant.0))
        .fetch_one(self.readers())
        .await?;
        let until = Until { event: row.try_get("event")?, decision: row.try_get("decision")?, item: row.try_get("item")? };
        let mut recorded = Recorded::default();
        const EVENTS: &str = "SELECT seq AS place, at, kind, payload FROM ledger WHERE tenant_id = ? AND seq > ? AND seq <= ?
             AND kind IN ('scored', 'review_decided') ORDER BY seq LIMIT +?";
        self.pages(tenant, EVENTS, until.event, |row| recorded.take(row)).await?;
        const DECISIONS: &str = "SELECT seq AS place, review_item, reviewer, verdict, decided_at FROM review_decisions
             WHERE tenant_id = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT +?";
        let decisions = self.pages(tenant, DECISIONS, until.decision, |row| recorded.decision(row)).await?;
        const ITEMS: &str = "SELECT rowid AS place, id, purpose, copy_of, evidence, decision FROM review_items
             WHERE tenant_id = ? AND rowid > ? AND rowid <= ? AND subject IS NULL ORDER BY rowid LIMIT +?";
        let review_items = self.pages(tenant, ITEMS, until.item, |row| recorded.item(row)).await?;
        let keys = self.compare_keys(tenant, &mut recorded).await?;
        recorded.missing()?;
        Ok(ComparedRows { decisions, review_items, keys })
    }

    /// Keys change, so their events and rows are read at one moment; there are few.
    async fn compare_keys(&self, tenant: TenantId, recorded: &mut Recorded) -> Result<u64, StoreError> {
        let mut reading = self.readers().begin().await?;
        let events =
            sqlx::query("SELECT at, kind, payload FROM ledger WHERE tenant_id = ? AND kind IN ('key_created', 'key_revoked') ORDER BY seq")
                .bind(blob(tenant.0))
                .fetch_all(&mut *reading)
                .await?;
        let rows = sqlx::query("SELECT id, name, role, expires_at, revoked_at IS NOT NULL AS revoked FROM keys WHERE tenant_id = ?")
            .bind(blob(tenant.0))
            .fetch_all(&mut *reading)
            .await?;
        reading.rollback().await?;
        events.iter().try_for_each(|row| recorded.take(row))?;
        rows.iter().try_for_each(|row| recorded.key(row))?;
        Ok(rows.len() as u64)
    }

    /// Goes through the rows of a statement up to a place; how many they were.
    async fn pages(
        &self,
        tenant: TenantId,
        statement: &'static str,
        until: i64,
        mut take: impl FnMut(&SqliteRow) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        let (mut after, mut count) = (0_i64, 0);
        loop {
            let rows = sqlx::query(statement).bind(blob(tenant.0)).bind(after).bind(until).bind(PAGE).fetch_all(self.readers()).await?;
            let Some(last) = rows.last() else { return Ok(count) };
            after = last.try_get("place")?;
            rows.iter().try_for_each(&mut take)?;
            count += rows.len() as u64;
        }
    }
}
