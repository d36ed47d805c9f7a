//! What waits for admission, and what becomes of it: many items in one version.

use std::collections::BTreeMap;

use sqlx::Row;

use super::{Locked, locked::Life};
use crate::{
    domain::{
        bank::{Admission, ItemState, Standing},
        event::EventBody,
        ids::TenantId,
        time::Timestamp,
    },
    store::{
        Store,
        error::StoreError,
        row::{json, uuid},
    },
};

/// A bank with items that wait, and everything but the items that their tests depend on and that changes in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub number: i64,
    pub tenant: TenantId,
    pub bank: String,
    pub admission: Admission,
    /// Number of the last finished import; 0 before the first.
    pub last_import: i64,
}

/// An item that took the tests: its content id, the standing that it had then, and the one that it gets.
pub type Examined = (i64, Standing, Standing);

impl Store {
    /// Banks with items that wait for admission, of all tenants.
    pub async fn waiting_for_admission(&self) -> Result<Vec<Waiting>, StoreError> {
        let rows = sqlx::query(
            "SELECT number, tenant_id, name, admission,
                 coalesce((SELECT max(number) FROM bank_imports WHERE bank = banks.number AND first = 0 AND last IS NOT NULL), 0) AS last_import
             FROM banks WHERE version > 0 AND deleted_at IS NULL AND EXISTS (SELECT 1 FROM bank_items WHERE bank = banks.number AND standing IN ('candidate', 'vetted') AND content_id <= banks.signals)
             ORDER BY number",
        )
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Waiting {
                    number: row.try_get("number")?,
                    tenant: TenantId(uuid(row, "tenant_id")?),
                    bank: row.try_get("name")?,
                    admission: json(row, "admission")?,
                    last_import: row.try_get("last_import")?,
                })
            })
            .collect()
    }

    /// Moves items that took the admission tests, in one version of the bank and with one ledger event; how many. Items that have another standing by now
    /// stay, and so do those that there are not.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bank; [`StoreError::Invalid`] for a standing that an item cannot get from its own.
    pub async fn admit(&self, tenant: TenantId, bank: &str, examined: Vec<Examined>) -> Result<u64, StoreError> {
        let name = bank.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                let (mut bank, now) = (Locked::find(tx, tenant, &name).await?, Timestamp::now());
                let mut states: BTreeMap<&'static str, (ItemState, Vec<i64>)> = BTreeMap::new();
                let mut moved: BTreeMap<Standing, u64> = BTreeMap::new();
                for (content_id, from, standing) in examined {
                    let life = match bank.life(tx, content_id).await {
                        Err(StoreError::NotFound(_)) => continue,
                        life => life?,
                    };
                    if life.standing != from || from == standing {
                        continue;
                    }
                    if !from.may_become(standing) {
                        return Err(StoreError::Invalid(format!("content id {content_id} is {from}; it cannot become {standing}")));
                    }
                    sqlx::query("UPDATE bank_items SET standing = ? WHERE bank = ? AND content_id = ?")
                        .bind(standing.as_str())
                        .bind(bank.number)
                        .bind(content_id)
                        .execute(tx.sql().await?)
                        .await?;
                    let state = Life { standing, ..life }.state(now);
                    states.entry(state.as_str()).or_insert((state, Vec::new())).1.push(content_id);
                    *moved.entry(standing).or_default() += 1;
                }
                let all: u64 = moved.values().sum();
                if all == 0 {
                    return Ok(0);
                }
                for (state, ids) in states.into_values() {
                    let ids = serde_json::to_string(&ids).map_err(|error| StoreError::Invalid(error.to_string()))?;
                    bank.feed(tx, &ids, state).await?;
                }
                // Who is merely vetted is in force no more than before.
                bank.publish_changes(tx, now).await?;
                let count = |standing| moved.get(&standing).copied().unwrap_or(0);
                let body = EventBody::BankItemsExamined {
                    bank: name,
                    bank_version: bank.version,
                    candidates: count(Standing::Candidate),
                    vetted: count(Standing::Vetted),
                    active: count(Standing::Active),
                };
                bank.record(tx, now, body).await?;
                Ok(all)
            })
        })
        .await
    }
}
