//! States of banks and of their items: enabled, disabled, removed.
//!
//! Each change is a new version of the bank, told like an import by [`bank_changes`](Store::bank_changes_since) and by a ledger event.

use sqlx::Row;

use super::{Store, banks::Bank, error::StoreError, row::blob, transaction::WriteTx};
use crate::domain::{
    bank::ItemState,
    event::{Event, EventBody},
    ids::{EventId, TenantId},
    time::Timestamp,
};

/// What setting a state did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChanged {
    /// The bank's version afterwards; unchanged when everything was in this state already.
    pub bank_version: i64,
    /// Items whose state changed; for a bank as a whole 1 or 0.
    pub changed: u64,
}

/// An item's state from a version of its bank on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemChange {
    pub at: ItemCursor,
    pub state: ItemState,
}

/// The place of a change in its bank's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ItemCursor {
    pub version: i64,
    pub content_id: i64,
}

impl ItemCursor {
    /// Behind all changes of a version.
    pub const fn after(version: i64) -> Self {
        Self { version, content_id: i64::MAX }
    }
}

/// A published bank under the write lock.
struct Locked {
    number: i64,
    version: i64,
    signals: i64,
    enabled: bool,
}

impl Locked {
    async fn find(tx: &mut WriteTx, tenant: TenantId, name: &str) -> Result<Self, StoreError> {
        let row = sqlx::query("SELECT number, version, signals, enabled FROM banks WHERE tenant_id = ? AND name = ? AND version > 0")
            .bind(blob(tenant.0))
            .bind(name.to_owned())
            .fetch_optional(tx.sql().await?)
            .await?
            .ok_or(StoreError::NotFound("bank"))?;
        Ok(Self { number: row.try_get(0)?, version: row.try_get(1)?, signals: row.try_get(2)?, enabled: row.try_get(3)? })
    }

    /// Sets the whole bank's state; how many changed: 1 or 0.
    async fn set_bank(&self, tx: &mut WriteTx, state: ItemState) -> Result<u64, StoreError> {
        let enabled = match state {
            ItemState::Enabled => true,
            ItemState::Disabled => false,
            ItemState::Removed => return Err(StoreError::Invalid("a bank as a whole can be disabled, not removed".to_owned())),
        };
        if enabled == self.enabled {
            return Ok(0);
        }
        sqlx::query("UPDATE banks SET enabled = ? WHERE number = ?").bind(enabled).bind(self.number).execute(tx.sql().await?).await?;
        Ok(1)
    }

    /// Sets the items' state in the version that comes next; how many changed.
    async fn set_items(&self, tx: &mut WriteTx, tenant: TenantId, content_ids: &[i64], state: ItemState) -> Result<u64, StoreError> {
        if let Some(unknown) = content_ids.iter().find(|id| !(1..=self.signals).contains(*id)) {
            return Err(StoreError::Invalid(format!("the bank has no content id {unknown}; its ids are 1 to {}", self.signals)));
        }
        let ids = serde_json::to_string(content_ids).map_err(|error| StoreError::Invalid(error.to_string()))?;
        if state != ItemState::Removed {
            let removed: Option<i64> = sqlx::query_scalar(
                "SELECT content_id FROM bank_item_states WHERE bank = ? AND content_id IN (SELECT value FROM json_each(?)) AND state = 'removed'
                 ORDER BY content_id LIMIT 1",
            )
            .bind(self.number)
            .bind(ids.clone())
            .fetch_optional(tx.sql().await?)
            .await?;
            if let Some(id) = removed {
                return Err(StoreError::Invalid(format!("content id {id} was removed for good; import its signal again")));
            }
        }
        let changed = sqlx::query(
            "INSERT INTO bank_item_states (tenant_id, bank, version, content_id, state)
             SELECT DISTINCT ?1, ?2, ?3, value, ?4 FROM json_each(?5) WHERE ?4 <> coalesce(
                 (SELECT state FROM bank_item_states WHERE bank = ?2 AND content_id = value ORDER BY version DESC LIMIT 1), 'enabled')",
        )
        .bind(blob(tenant.0))
        .bind(self.number)
        .bind(self.version + 1)
        .bind(state.as_str())
        .bind(ids)
        .execute(tx.sql().await?)
        .await?;
        if state == ItemState::Removed {
            sqlx::query(
                "DELETE FROM bank_signal_keys WHERE (bank, signal_type, signal) IN
                     (SELECT bank, signal_type, signal FROM bank_item_states JOIN bank_signals USING (bank, content_id) WHERE bank = ? AND version = ?)",
            )
            .bind(self.number)
            .bind(self.version + 1)
            .execute(tx.sql().await?)
            .await?;
        }
        Ok(changed.rows_affected())
    }

    /// Makes the next version visible.
    async fn publish(&self, tx: &mut WriteTx, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE banks SET version = version + 1 WHERE number = ?").bind(self.number).execute(tx.sql().await?).await?;
        sqlx::query(
            "INSERT INTO bank_changes (tenant_id, bank, version, signals, at) SELECT tenant_id, id, version, signals, ? FROM banks WHERE number = ?",
        )
        .bind(now.micros())
        .bind(self.number)
        .execute(tx.sql().await?)
        .await?;
        Ok(())
    }
}

impl Store {
    /// Enables or disables the tenant's bank of that name (`content_ids` is `None`), or enables, disables or removes some of its items, all or none;
    /// with its ledger event. Returns when that is durable.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bank; [`StoreError::Invalid`] for content ids that it does not have, for a state other than removed of an item that
    /// was removed, and for removing a whole bank.
    pub async fn set_bank_state(
        &self,
        tenant: TenantId,
        bank: &str,
        content_ids: Option<Vec<i64>>,
        state: ItemState,
    ) -> Result<StateChanged, StoreError> {
        let name = bank.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                let (bank, now) = (Locked::find(tx, tenant, &name).await?, Timestamp::now());
                let changed = match &content_ids {
                    None => bank.set_bank(tx, state).await?,
                    Some(ids) => bank.set_items(tx, tenant, ids, state).await?,
                };
                if changed > 0 {
                    bank.publish(tx, now).await?;
                }
                let bank_version = bank.version + i64::from(changed > 0);
                let body = EventBody::BankChanged { bank: name, bank_version, state, items: content_ids.map(|_| changed) };
                tx.append(&Event { id: EventId::new(), tenant, at: now, body }).await?;
                Ok(StateChanged { bank_version, changed })
            })
        })
        .await
    }

    /// Changes of items' states after `after` up to exactly this version of the bank, in their order, at most `limit`. Applied in that order to the signals
    /// of [`load_signals`](Self::load_signals) they give the bank at this version.
    pub async fn item_changes(&self, bank: &Bank, after: ItemCursor, limit: u32) -> Result<Vec<ItemChange>, StoreError> {
        let rows = sqlx::query(
            "SELECT version, content_id, state FROM bank_item_states
             WHERE bank = ? AND (version, content_id) > (?, ?) AND version <= ? ORDER BY version, content_id LIMIT ?",
        )
        .bind(bank.number)
        .bind(after.version)
        .bind(after.content_id)
        .bind(bank.version)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| {
                let name: &str = row.try_get(2)?;
                let state = ItemState::ALL.into_iter().find(|state| state.as_str() == name);
                let state = state.ok_or_else(|| StoreError::Corrupt { what: "item's state", detail: name.to_owned() })?;
                Ok(ItemChange { at: ItemCursor { version: row.try_get(0)?, content_id: row.try_get(1)? }, state })
            })
            .collect()
    }
}
