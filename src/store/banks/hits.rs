//! How often items matched, by hour.

use std::collections::BTreeMap;

use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    domain::{ids::TenantId, time::Timestamp},
    store::{
        Store,
        error::StoreError,
        row::{blob, number, time, uuid},
    },
};

/// Hits of an item in some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemHits {
    pub tenant: TenantId,
    pub bank: String,
    pub content_id: i64,
    /// Start of the hour.
    pub hour: Timestamp,
    /// Accounts, or keys that named none, whose attachments matched.
    pub hits: u64,
    /// Those of them that matched by something else than an exact digest.
    pub near: u64,
}

fn hits(row: &SqliteRow) -> Result<ItemHits, StoreError> {
    Ok(ItemHits {
        tenant: TenantId(uuid(row, "tenant_id")?),
        bank: row.try_get("name")?,
        content_id: row.try_get("content_id")?,
        hour: time(row, "hour")?,
        hits: number(row, "hits")?,
        near: number(row, "near")?,
    })
}

impl Store {
    /// Adds hits; of banks that are there no more they are forgotten.
    pub async fn add_hits(&self, hits: Vec<ItemHits>) -> Result<(), StoreError> {
        if hits.is_empty() {
            return Ok(());
        }
        self.write(move |tx| {
            Box::pin(async move {
                let mut by_bank: BTreeMap<_, Vec<(i64, i64, u64, u64)>> = BTreeMap::new();
                for one in hits {
                    by_bank.entry((one.tenant, one.bank)).or_default().push((one.content_id, one.hour.hour().micros(), one.hits, one.near));
                }
                for ((tenant, bank), hits) in by_bank {
                    let list = serde_json::to_string(&hits).map_err(|error| StoreError::Invalid(error.to_string()))?;
                    sqlx::query(
                        "INSERT INTO bank_hits (bank, content_id, hour, hits, near)
                         SELECT banks.number, value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?) CROSS JOIN banks
                         WHERE banks.tenant_id = ? AND banks.name = ? AND deleted_at IS NULL
                         ON CONFLICT (bank, content_id, hour) DO UPDATE SET hits = hits + excluded.hits, near = near + excluded.near",
                    )
                    .bind(list)
                    .bind(blob(tenant.0))
                    .bind(bank)
                    .execute(tx.sql().await?)
                    .await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// All hits from this hour on, by hour, bank and item, at most `limit`; the newest are left out first.
    pub async fn hits_since(&self, from: Timestamp, limit: u32) -> Result<Vec<ItemHits>, StoreError> {
        let rows = sqlx::query(
            "SELECT banks.tenant_id, name, content_id, hour, hits, near FROM bank_hits JOIN banks ON banks.number = bank_hits.bank
             WHERE hour >= ? AND deleted_at IS NULL ORDER BY hour, bank, content_id LIMIT +?",
        )
        .bind(from.hour().micros())
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(hits).collect()
    }

    /// The tenant's items of a bank that matched most since this hour; `hour` of each is when it matched last.
    pub async fn most_hit(&self, tenant: TenantId, bank: &str, from: Timestamp, limit: u32) -> Result<Vec<ItemHits>, StoreError> {
        let rows = sqlx::query(
            "SELECT banks.tenant_id, name, content_id, max(hour) AS hour, sum(hits) AS hits, sum(near) AS near FROM bank_hits
             JOIN banks ON banks.number = bank_hits.bank
             WHERE banks.tenant_id = ? AND name = ? AND deleted_at IS NULL AND hour >= ? GROUP BY content_id ORDER BY 5 DESC, content_id LIMIT +?",
        )
        .bind(blob(tenant.0))
        .bind(bank.to_owned())
        .bind(from.hour().micros())
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(hits).collect()
    }

    /// Forgets hits before this hour.
    pub async fn forget_hits(&self, before: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("DELETE FROM bank_hits WHERE hour < ?").bind(before.hour().micros()).execute(tx.sql().await?).await?;
                Ok(())
            })
        })
        .await
    }
}
