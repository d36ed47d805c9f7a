//! Many items at once: in force, out of force, removed. And what an index follows.
//!
//! Each change is a new version of the bank, told like an import by [`bank_changes`](Store::bank_changes_since) and by a ledger event.

use sqlx::Row;

use super::{Bank, locked::Locked};
use crate::{
    domain::{
        bank::ItemState,
        event::{Event, EventBody},
        ids::{EventId, TenantId},
        time::Timestamp,
    },
    store::{
        Store,
        error::StoreError,
        row::{blob, named, uuid},
        transaction::WriteTx,
    },
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

/// Sets the whole bank's state; how many changed: 1 or 0.
async fn set_bank(bank: &Locked, tx: &mut WriteTx, state: ItemState) -> Result<u64, StoreError> {
    let enabled = match state {
        ItemState::Enabled => true,
        ItemState::Disabled => false,
        ItemState::Removed => return Err(StoreError::Invalid("a bank as a whole can be disabled or deleted, not removed".to_owned())),
    };
    if enabled == (bank.enabled_ratio > 0.0) {
        return Ok(0);
    }
    sqlx::query("UPDATE banks SET enabled_ratio = ? WHERE number = ?")
        .bind(if enabled { 1.0 } else { 0.0 })
        .bind(bank.number)
        .execute(tx.sql().await?)
        .await?;
    Ok(1)
}

/// Sets the items' state in the version that comes next; how many changed.
async fn set_items(bank: &mut Locked, tx: &mut WriteTx, content_ids: &[i64], state: ItemState) -> Result<u64, StoreError> {
    if let Some(unknown) = content_ids.iter().find(|id| !(1..=bank.signals).contains(*id)) {
        return Err(StoreError::Invalid(format!("the bank has no content id {unknown}; its ids are 1 to {}", bank.signals)));
    }
    let ids = serde_json::to_string(content_ids).map_err(|error| StoreError::Invalid(error.to_string()))?;
    let other: Option<(i64, i64)> = sqlx::query_as(
        "SELECT number, content_id FROM bank_signals WHERE bank = ? AND number IN (SELECT value FROM json_each(?)) AND content_id IS NOT NULL
         ORDER BY number LIMIT 1",
    )
    .bind(bank.number)
    .bind(ids.clone())
    .fetch_optional(tx.sql().await?)
    .await?;
    if let Some((number, item)) = other {
        return Err(StoreError::Invalid(format!("the bank has no content id {number}; that signal is one of content id {item}")));
    }
    if state != ItemState::Removed {
        // What its standing keeps out of force is not put into force by the way.
        let other: Option<(i64, String)> = sqlx::query_as(
            "SELECT content_id, standing FROM bank_items WHERE bank = ? AND content_id IN (SELECT value FROM json_each(?))
             AND (standing = 'retired' OR (? = 'enabled' AND standing NOT IN ('active', 'disputed'))) ORDER BY content_id LIMIT 1",
        )
        .bind(bank.number)
        .bind(ids.clone())
        .bind(state.as_str())
        .fetch_optional(tx.sql().await?)
        .await?;
        match other {
            Some((id, standing)) if standing == "retired" => {
                return Err(StoreError::Invalid(format!("content id {id} was removed for good; import its signal again")));
            }
            Some((id, standing)) => {
                return Err(StoreError::Invalid(format!("content id {id} is {standing}; make it active to put it into force")));
            }
            None => {}
        }
    }
    let changed = bank.feed(tx, &ids, state).await?;
    let (columns, set) = match state {
        ItemState::Enabled => ("'active', 0", "disable_until = 0"),
        ItemState::Disabled => ("'active', 1", "disable_until = 1"),
        ItemState::Removed => ("'retired', 0", "standing = 'retired'"),
    };
    let statement = format!(
        "INSERT INTO bank_items (tenant_id, bank, content_id, standing, disable_until)
         SELECT DISTINCT ?1, ?2, value, {columns} FROM json_each(?3) WHERE true ON CONFLICT (bank, content_id) DO UPDATE SET {set}"
    );
    // Both parts are literals of this function.
    sqlx::query(sqlx::AssertSqlSafe(statement)).bind(blob(bank.tenant.0)).bind(bank.number).bind(ids).execute(tx.sql().await?).await?;
    Ok(changed)
}

impl Store {
    /// Enables or disables the tenant's bank of that name (`content_ids` is `None`), or enables, disables or removes some of its items, all or none;
    /// with its ledger event. Returns when that is durable.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bank; [`StoreError::Invalid`] for content ids that it does not have, for a state other than removed of an item that
    /// was removed, for enabling an item whose standing keeps it out of force, and for removing a whole bank.
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
                let (mut bank, now) = (Locked::find(tx, tenant, &name).await?, Timestamp::now());
                let changed = match &content_ids {
                    None => set_bank(&bank, tx, state).await?,
                    Some(ids) => set_items(&mut bank, tx, ids, state).await?,
                };
                if changed > 0 {
                    bank.publish(tx, now).await?;
                }
                let bank_version = bank.version;
                let body = EventBody::BankChanged { bank: name, bank_version, state, items: content_ids.map(|_| changed) };
                bank.record(tx, now, body).await?;
                Ok(StateChanged { bank_version, changed })
            })
        })
        .await
    }

    /// Puts items back into force whose time out of it is over, in all banks; how many. Cheap when there are none.
    pub async fn end_disabled(&self, now: Timestamp) -> Result<u64, StoreError> {
        const DUE: &str = "disable_until > 1 AND disable_until <= ?";
        let due = sqlx::AssertSqlSafe(format!("SELECT EXISTS (SELECT 1 FROM bank_items WHERE {DUE})"));
        let seconds = now.micros() / 1_000_000;
        if !sqlx::query_scalar::<_, bool>(due).bind(seconds).fetch_one(self.readers()).await? {
            return Ok(0);
        }
        self.write(move |tx| {
            Box::pin(async move {
                let over = sqlx::AssertSqlSafe(format!(
                    "SELECT items.tenant_id, name, json_group_array(content_id) FILTER (WHERE standing IN ('active', 'disputed', 'quarantined')) AS back
                     FROM bank_items AS items JOIN banks ON banks.number = items.bank
                     WHERE {DUE} AND deleted_at IS NULL GROUP BY items.bank"
                ));
                let rows = sqlx::query(over).bind(seconds).fetch_all(tx.sql().await?).await?;
                let end = sqlx::AssertSqlSafe(format!("UPDATE bank_items SET disable_until = 0 WHERE {DUE}"));
                sqlx::query(end).bind(seconds).execute(tx.sql().await?).await?;
                let mut all = 0;
                for row in rows {
                    let (tenant, name): (_, String) = (TenantId(uuid(&row, "tenant_id")?), row.try_get("name")?);
                    let mut bank = Locked::find(tx, tenant, &name).await?;
                    let back = bank.feed(tx, row.try_get("back")?, ItemState::Enabled).await?;
                    bank.publish_changes(tx, now).await?;
                    let body =
                        EventBody::BankChanged { bank: name, bank_version: bank.version, state: ItemState::Enabled, items: Some(back) };
                    tx.append(&Event { id: EventId::new(), tenant, at: now, body }).await?;
                    all += back;
                }
                Ok(all)
            })
        })
        .await
    }

    /// Changes of items' states after `after` up to exactly this version of the bank, in their order, at most `limit`. Applied in that order to the signals
    /// of [`load_signals`](Self::load_signals) they give the bank at this version.
    pub async fn item_changes(&self, bank: &Bank, after: ItemCursor, limit: u32) -> Result<Vec<ItemChange>, StoreError> {
        let rows = sqlx::query(
            "SELECT version, content_id, state FROM bank_item_states
             WHERE bank = ? AND (version, content_id) > (?, ?) AND version <= ? ORDER BY version, content_id LIMIT +?",
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
                let at = ItemCursor { version: row.try_get(0)?, content_id: row.try_get(1)? };
                Ok(ItemChange { at, state: named(row, "state")? })
            })
            .collect()
    }
}
