//! A bank under the write lock: what every change of a bank begins with, and how it ends.

use sqlx::Row;

use super::{holders, sums::signal_sum};
use crate::{
    domain::{
        bank::{ItemState, Standing},
        curation::DisableUntil,
        event::{Event, EventBody},
        ids::{EventId, TenantId},
        signal::Signal,
        time::Timestamp,
    },
    store::{
        error::StoreError,
        row::{blob, named, optional_time},
        transaction::WriteTx,
    },
};

/// A published bank. Changes are fed for the version that comes next, and [`publish`](Self::publish) makes that one the bank's.
pub(in crate::store) struct Locked {
    pub number: i64,
    pub tenant: TenantId,
    pub name: String,
    pub version: i64,
    pub signals: i64,
    pub further_signals: i64,
    /// See [`sums`](super::sums).
    signals_sum: Option<i64>,
    pub enabled_ratio: f64,
    /// Until when another import holds it.
    pub import_until: Option<Timestamp>,
    /// Whether something was fed that is not published.
    changed: bool,
}

/// An item's standing, and what else may disable it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Life {
    pub standing: Standing,
    pub disable_until: DisableUntil,
}

impl Life {
    /// What an index makes of it.
    pub const fn state(self, now: Timestamp) -> ItemState {
        match self.standing.state() {
            ItemState::Enabled if self.disable_until.disables(now) => ItemState::Disabled,
            state => state,
        }
    }
}

impl Locked {
    pub async fn find(tx: &mut WriteTx, tenant: TenantId, name: &str) -> Result<Self, StoreError> {
        let row = sqlx::query(
            "SELECT number, version, signals, further_signals, enabled_ratio, import_until, signals_sum FROM banks
             WHERE tenant_id = ? AND name = ? AND version > 0 AND deleted_at IS NULL",
        )
        .bind(blob(tenant.0))
        .bind(name.to_owned())
        .fetch_optional(tx.sql().await?)
        .await?
        .ok_or(StoreError::NotFound("bank"))?;
        Ok(Self {
            number: row.try_get(0)?,
            tenant,
            name: name.to_owned(),
            version: row.try_get(1)?,
            signals: row.try_get(2)?,
            further_signals: row.try_get(3)?,
            enabled_ratio: row.try_get(4)?,
            import_until: optional_time(&row, "import_until")?,
            signals_sum: row.try_get("signals_sum")?,
            changed: false,
        })
    }

    /// The bank that had this name at a time, whatever it is called now.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when no bank had it, or the one that had it is deleted.
    pub async fn find_as_of(tx: &mut WriteTx, tenant: TenantId, name: &str, at: Timestamp) -> Result<Self, StoreError> {
        let now: Option<String> = sqlx::query_scalar(
            "SELECT banks.name FROM bank_former_names AS former JOIN banks ON banks.number = former.bank
             WHERE former.tenant_id = ?1 AND former.name = ?2 AND former.since <= ?3 AND former.until > ?3
             UNION ALL
             SELECT name FROM banks WHERE tenant_id = ?1 AND name = ?2
             AND coalesce((SELECT max(until) FROM bank_former_names WHERE bank = banks.number), created_at) <= ?3
             LIMIT 1",
        )
        .bind(blob(tenant.0))
        .bind(name.to_owned())
        .bind(at.micros())
        .fetch_optional(tx.sql().await?)
        .await?;
        Self::find(tx, tenant, &now.ok_or(StoreError::NotFound("bank"))?).await
    }

    /// The item's life; that there is such an item is checked.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a number that is no item's.
    pub async fn life(&self, tx: &mut WriteTx, content_id: i64) -> Result<Life, StoreError> {
        let row = sqlx::query(
            "SELECT coalesce(standing, 'active') AS standing, coalesce(disable_until, 0) AS disable_until FROM bank_signals AS signals
             LEFT JOIN bank_items AS items ON items.bank = signals.bank AND items.content_id = signals.number
             WHERE signals.bank = ? AND signals.number = ? AND signals.number <= ? AND signals.content_id IS NULL",
        )
        .bind(self.number)
        .bind(content_id)
        .bind(self.signals)
        .fetch_optional(tx.sql().await?)
        .await?
        .ok_or(StoreError::NotFound("item of this bank"))?;
        Ok(Life { standing: named(&row, "standing")?, disable_until: DisableUntil::stored(row.try_get("disable_until")?) })
    }

    /// Writes an item's new life, and feeds the index's state when it is another one; the state.
    pub async fn live(&mut self, tx: &mut WriteTx, content_id: i64, life: Life, now: Timestamp) -> Result<ItemState, StoreError> {
        sqlx::query(
            "INSERT INTO bank_items (tenant_id, bank, content_id, standing, disable_until) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (bank, content_id) DO UPDATE SET standing = excluded.standing, disable_until = excluded.disable_until",
        )
        .bind(blob(self.tenant.0))
        .bind(self.number)
        .bind(content_id)
        .bind(life.standing.as_str())
        .bind(life.disable_until.number())
        .execute(tx.sql().await?)
        .await?;
        // Disputed and active are the same state and another version all the same: answers tell them apart.
        self.changed = true;
        let state = life.state(now);
        self.feed(tx, &format!("[{content_id}]"), state).await?;
        Ok(state)
    }

    /// Feeds a state for the items of a JSON list, and frees the signals of those that are removed; how many were in another state. Items that share a signal
    /// with a removed one keep it.
    pub async fn feed(&mut self, tx: &mut WriteTx, content_ids: &str, state: ItemState) -> Result<u64, StoreError> {
        let fed = sqlx::query(
            "INSERT INTO bank_item_states (tenant_id, bank, version, content_id, state)
             SELECT DISTINCT ?1, ?2, ?3, value, ?4 FROM json_each(?5) WHERE ?4 <> coalesce(
                 (SELECT state FROM bank_item_states WHERE bank = ?2 AND content_id = value ORDER BY version DESC LIMIT 1), 'enabled')",
        )
        .bind(blob(self.tenant.0))
        .bind(self.number)
        .bind(self.version + 1)
        .bind(state.as_str())
        .bind(content_ids.to_owned())
        .execute(tx.sql().await?)
        .await?
        .rows_affected();
        if state == ItemState::Removed && fed > 0 {
            for table in holders::TABLES {
                let statement = format!(
                    "DELETE FROM {table} WHERE bank = ?2 AND (signal_type, signal, number) IN
                         (SELECT signal_type, signal, signals.number FROM bank_item_states AS states JOIN bank_signals AS signals
                          ON signals.bank = states.bank AND signals.number >= states.content_id AND signals.number < states.content_id + ?1
                             AND coalesce(signals.content_id, signals.number) = states.content_id
                          WHERE states.bank = ?2 AND states.version = ?3 AND states.state = 'removed')"
                );
                // Names of this floor.
                sqlx::query(sqlx::AssertSqlSafe(statement))
                    .bind(super::MOST_SIGNALS as i64)
                    .bind(self.number)
                    .bind(self.version + 1)
                    .execute(tx.sql().await?)
                    .await?;
            }
        }
        self.changed |= fed > 0;
        Ok(fed)
    }

    /// Adds a signal to the sum, for the version that comes next.
    pub fn sum(&mut self, number: i64, content_id: i64, signal: &Signal) {
        self.signals_sum = self.signals_sum.map(|sum| sum.wrapping_add(signal_sum(number, content_id, signal)));
    }

    /// Makes the next version visible.
    pub async fn publish(&mut self, tx: &mut WriteTx, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE banks SET version = version + 1, signals = ?, further_signals = ?, signals_sum = ? WHERE number = ?")
            .bind(self.signals)
            .bind(self.further_signals)
            .bind(self.signals_sum)
            .bind(self.number)
            .execute(tx.sql().await?)
            .await?;
        self.version += 1;
        self.changed = false;
        self.tell(tx, now).await
    }

    /// Makes the next version visible if anything was fed for it.
    pub async fn publish_changes(&mut self, tx: &mut WriteTx, now: Timestamp) -> Result<(), StoreError> {
        if self.changed { self.publish(tx, now).await } else { Ok(()) }
    }

    /// Has servers look at the bank again.
    pub async fn tell(&self, tx: &mut WriteTx, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO bank_changes (tenant_id, bank, version, signals, at) SELECT tenant_id, id, version, signals, ? FROM banks WHERE number = ?",
        )
        .bind(now.micros())
        .bind(self.number)
        .execute(tx.sql().await?)
        .await?;
        Ok(())
    }

    /// Appends an event to the chain of the bank's tenant.
    pub async fn record(&self, tx: &mut WriteTx, now: Timestamp, body: EventBody) -> Result<(), StoreError> {
        tx.append(&Event { id: EventId::new(), tenant: self.tenant, at: now, body }).await
    }
}
