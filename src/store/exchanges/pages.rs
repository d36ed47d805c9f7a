//! What was read of an exchange: which items its entries stand for, and where the next page begins.

use std::collections::HashMap;

use sqlx::Row;

use super::{Exchange, ExchangeLease, LEASE};
use crate::{
    domain::{
        event::{Event, EventBody},
        ids::EventId,
        time::Timestamp,
    },
    store::{Store, error::StoreError, row::blob, transaction::WriteTx},
};

/// Which items an entry stands for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryItems {
    pub key: String,
    /// What feedback has to name, when that is not the key.
    pub reference: Option<String>,
    /// Empty when the entry is on the list no more.
    pub content_ids: Vec<i64>,
}

/// A page whose items were added and withdrawn already.
#[derive(Clone, Debug)]
pub struct ExchangePage {
    pub entries: Vec<EntryItems>,
    pub checkpoint: serde_json::Value,
    pub progress: Option<Timestamp>,
    /// Whether the list begins with this page.
    pub starts_over: bool,
    /// For the ledger and the status.
    pub added: u64,
    pub withdrawn: u64,
    pub opinions: u64,
    pub skipped: u64,
    pub bad: u64,
}

async fn renew(tx: &mut WriteTx, lease: ExchangeLease) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let renewed = sqlx::query("UPDATE exchanges SET lease_until = ? WHERE number = ? AND lease = ?")
        .bind(now.plus(LEASE).micros())
        .bind(lease.exchange)
        .bind(blob(lease.token))
        .execute(tx.sql().await?)
        .await?;
    if renewed.rows_affected() == 1 { Ok(()) } else { Err(StoreError::ImportLost) }
}

impl Store {
    /// Which items these entries of an exchange stand for; keys that stand for none are left out.
    pub async fn entry_items(&self, exchange: &Exchange, keys: &[String]) -> Result<HashMap<String, Vec<i64>>, StoreError> {
        let list = serde_json::to_string(keys).map_err(|error| StoreError::Invalid(error.to_string()))?;
        let rows = sqlx::query(
            "SELECT key, content_id FROM exchange_entries WHERE exchange = ? AND key IN (SELECT value FROM json_each(?)) ORDER BY key, content_id",
        )
        .bind(exchange.number)
        .bind(list)
        .fetch_all(self.readers())
        .await?;
        let mut items: HashMap<String, Vec<i64>> = HashMap::new();
        for row in &rows {
            items.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
        }
        Ok(items)
    }

    /// Of these items those that entries of the exchange beside `keys` stand for.
    pub async fn items_of_other_entries(&self, exchange: &Exchange, content_ids: &[i64], keys: &[String]) -> Result<Vec<i64>, StoreError> {
        let invalid = |error: serde_json::Error| StoreError::Invalid(error.to_string());
        let (content_ids, keys) = (serde_json::to_string(content_ids).map_err(invalid)?, serde_json::to_string(keys).map_err(invalid)?);
        Ok(sqlx::query_scalar(
            "SELECT DISTINCT content_id FROM exchange_entries
             WHERE exchange = ?1 AND content_id IN (SELECT value FROM json_each(?2)) AND key NOT IN (SELECT value FROM json_each(?3))",
        )
        .bind(exchange.number)
        .bind(content_ids)
        .bind(keys)
        .fetch_all(self.readers())
        .await?)
    }

    /// Items that entries of the exchange stand for, by content id, above `after` and at most `limit`.
    pub async fn exchange_items(&self, exchange: &Exchange, after: i64, limit: u32) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT DISTINCT content_id FROM exchange_entries WHERE exchange = ? AND content_id > ? ORDER BY content_id LIMIT +?",
        )
        .bind(exchange.number)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?)
    }

    /// The entries of the exchange that stand for an item, by key.
    pub async fn entries_of_item(&self, exchange: &Exchange, content_id: i64) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT key FROM exchange_entries WHERE exchange = ? AND content_id = ? ORDER BY key")
            .bind(exchange.number)
            .bind(content_id)
            .fetch_all(self.readers())
            .await?)
    }

    /// Entries of an exchange that the list did not name since it was read from its beginning, at most `limit`.
    pub async fn unnamed_entries(&self, exchange: &Exchange, limit: u32) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT DISTINCT key FROM exchange_entries WHERE exchange = ?1
                 AND generation < (SELECT generation FROM exchanges WHERE number = ?1) ORDER BY key LIMIT +?2",
        )
        .bind(exchange.number)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?)
    }

    /// How many entries of an exchange stand for items.
    pub async fn count_entries(&self, exchange: &Exchange) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT count(DISTINCT key) FROM exchange_entries WHERE exchange = ?")
            .bind(exchange.number)
            .fetch_one(self.readers())
            .await?;
        Ok(count.unsigned_abs())
    }

    /// Notes which items the page's entries stand for and moves the checkpoint; with its ledger event, when the page said anything.
    ///
    /// # Errors
    /// [`StoreError::ImportLost`] when another process took over.
    pub async fn commit_exchange_page(&self, lease: ExchangeLease, page: ExchangePage) -> Result<(), StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                renew(tx, lease).await?;
                let row = sqlx::query(
                    "UPDATE exchanges SET checkpoint = ?2, progress = coalesce(?3, progress), generation = generation + ?4,
                         skipped = CASE WHEN ?4 THEN 0 ELSE skipped END + ?5, bad = CASE WHEN ?4 THEN 0 ELSE bad END + ?6
                     WHERE number = ?1 RETURNING generation, name, api",
                )
                .bind(lease.exchange)
                .bind(page.checkpoint.to_string())
                .bind(page.progress.map(Timestamp::micros))
                .bind(i64::from(page.starts_over))
                .bind(i64::try_from(page.skipped).unwrap_or(i64::MAX))
                .bind(i64::try_from(page.bad).unwrap_or(i64::MAX))
                .fetch_one(tx.sql().await?)
                .await?;
                let generation: i64 = row.try_get(0)?;
                let (exchange, api): (String, String) = (row.try_get(1)?, row.try_get(2)?);
                for entry in page.entries {
                    replace(tx, lease, generation, entry).await?;
                }
                if page.added + page.withdrawn + page.opinions + page.bad > 0 {
                    let ExchangePage { added, withdrawn, opinions, skipped, bad, .. } = page;
                    let body = EventBody::ExchangeFetched { exchange, api, added, withdrawn, opinions, skipped, bad };
                    tx.append(&Event { id: EventId::new(), tenant: lease.tenant, at: Timestamp::now(), body }).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

/// Writes what an entry stands for in place of what it stood for.
async fn replace(tx: &mut WriteTx, lease: ExchangeLease, generation: i64, entry: EntryItems) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM exchange_entries WHERE exchange = ? AND key = ?")
        .bind(lease.exchange)
        .bind(entry.key.clone())
        .execute(tx.sql().await?)
        .await?;
    for content_id in entry.content_ids {
        sqlx::query("INSERT OR IGNORE INTO exchange_entries (exchange, key, content_id, reference, generation) VALUES (?, ?, ?, ?, ?)")
            .bind(lease.exchange)
            .bind(entry.key.clone())
            .bind(content_id)
            .bind(entry.reference.clone())
            .bind(generation)
            .execute(tx.sql().await?)
            .await?;
    }
    Ok(())
}
