//! Making, setting and deleting banks.

use futures_util::FutureExt;

use super::{Bank, find, locked::Locked};
use crate::{
    domain::{
        curation::BankSettings,
        event::{Event, EventBody},
        ids::{BankId, EventId, KeyId, TenantId},
        time::Timestamp,
    },
    store::{Store, error::StoreError, row::blob},
};

/// Rows of a deleted bank that go in one transaction: some tens of milliseconds of write lock.
const CHUNK: i64 = 8192;

/// Makes new settings of those that are in force when it is written, so that of two changes at a time none is lost; a text says why it cannot.
pub type Revision = Box<dyn FnOnce(BankSettings) -> Result<BankSettings, String> + Send>;

/// What is to change of a bank; `None` leaves it.
#[derive(Default)]
pub struct BankUpdate {
    pub name: Option<String>,
    pub settings: Option<Revision>,
}

impl BankUpdate {
    /// Settings that depend on those before.
    pub fn revise(revision: impl FnOnce(BankSettings) -> Result<BankSettings, String> + Send + 'static) -> Self {
        Self { name: None, settings: Some(Box::new(revision)) }
    }

    /// These settings, whatever they were.
    pub fn settle(settings: BankSettings) -> Self {
        Self::revise(|_| Ok(settings))
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Invalid(error.to_string()))
}

impl Store {
    /// Makes an empty bank, with its ledger event.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the tenant has a bank of this name, also one that an unfinished import is making; [`StoreError::Invalid`] for settings
    /// that mean nothing.
    pub async fn create_bank(&self, tenant: TenantId, name: &str, settings: BankSettings, by: Option<KeyId>) -> Result<Bank, StoreError> {
        settings.check().map_err(StoreError::Invalid)?;
        let new = name.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                let now = Timestamp::now();
                sqlx::query(
                    "INSERT INTO banks (tenant_id, id, name, version, enabled_ratio, purpose, max_distance, radii, minimum_quality, admission,
                     signals, signals_sum, created_at) VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, 0, 0, ?)",
                )
                .bind(blob(tenant.0))
                .bind(blob(BankId::new().0))
                .bind(new.clone())
                .bind(settings.enabled_ratio)
                .bind(settings.purpose.as_str())
                .bind(i64::from(settings.max_distance))
                .bind(json(&settings.radii)?)
                .bind(i64::from(settings.minimum_quality))
                .bind(json(&settings.admission)?)
                .bind(now.micros())
                .execute(tx.sql().await?)
                .await
                .map_err(|error| StoreError::constraint(error, "bank"))?;
                let bank = Locked::find(tx, tenant, &new).await?;
                bank.tell(tx, now).await?;
                bank.record(tx, now, EventBody::BankCreated { bank: new, settings, by }).await
            })
        })
        .await?;
        self.bank(tenant, name).await?.ok_or(StoreError::NotFound("bank"))
    }

    /// Renames a bank or sets it otherwise, with its ledger event.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Duplicate`] for a name that another one has; [`StoreError::Invalid`] for settings that mean nothing.
    pub async fn update_bank(&self, tenant: TenantId, name: &str, update: BankUpdate, by: Option<KeyId>) -> Result<Bank, StoreError> {
        let BankUpdate { name: renamed, settings: revision } = update;
        let (old, new) = (name.to_owned(), renamed.unwrap_or_else(|| name.to_owned()));
        self.write({
            let new = new.clone();
            move |tx| {
                Box::pin(async move {
                    let (mut bank, now) = (Locked::find(tx, tenant, &old).await?, Timestamp::now());
                    let mut settings = find(tx.sql().await?, tenant, &old).await?.ok_or(StoreError::NotFound("bank"))?.settings();
                    if let Some(revision) = revision {
                        settings = revision(settings).map_err(StoreError::Invalid)?;
                    }
                    settings.check().map_err(StoreError::Invalid)?;
                    if new != old {
                        sqlx::query(
                            "INSERT INTO bank_former_names (bank, tenant_id, name, since, until)
                             SELECT number, tenant_id, name, coalesce((SELECT max(until) FROM bank_former_names WHERE bank = number), created_at), ?
                             FROM banks WHERE number = ?",
                        )
                        .bind(now.micros())
                        .bind(bank.number)
                        .execute(tx.sql().await?)
                        .await?;
                    }
                    sqlx::query(
                        "UPDATE banks SET name = ?, enabled_ratio = ?, purpose = ?, max_distance = ?, radii = ?, minimum_quality = ?, admission = ?
                         WHERE number = ?",
                    )
                    .bind(new.clone())
                    .bind(settings.enabled_ratio)
                    .bind(settings.purpose.as_str())
                    .bind(i64::from(settings.max_distance))
                    .bind(json(&settings.radii)?)
                    .bind(i64::from(settings.minimum_quality))
                    .bind(json(&settings.admission)?)
                    .bind(bank.number)
                    .execute(tx.sql().await?)
                    .await
                    .map_err(|error| StoreError::constraint(error, "bank"))?;
                    bank.publish(tx, now).await?;
                    let body = EventBody::BankUpdated { bank: old, bank_version: bank.version, name: new, settings, by };
                    bank.record(tx, now, body).await
                })
            }
        })
        .await?;
        self.bank(tenant, &new).await?.ok_or(StoreError::NotFound("bank"))
    }

    /// Deletes a bank, with its ledger event: it is not searched any more, and its name is free. Its signals still lie in the file until
    /// [`purge_deleted_banks`](Self::purge_deleted_banks).
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_bank(&self, tenant: TenantId, name: &str, by: Option<KeyId>) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                let (bank, now) = (Locked::find(tx, tenant, &name).await?, Timestamp::now());
                // No bank can have a name with a line break: control characters are refused. An import into it has lost its lease.
                sqlx::query(
                    "UPDATE banks SET name = name || char(10) || number, deleted_at = ?, import_token = NULL, import_until = NULL WHERE number = ?",
                )
                .bind(now.micros())
                .bind(bank.number)
                .execute(tx.sql().await?)
                .await?;
                sqlx::query("DELETE FROM bank_access WHERE bank = ?").bind(bank.number).execute(tx.sql().await?).await?;
                sqlx::query("DELETE FROM bank_former_names WHERE bank = ?").bind(bank.number).execute(tx.sql().await?).await?;
                bank.tell(tx, now).await?;
                let body = EventBody::BankDeleted { bank: name, signals: bank.signals, by };
                tx.append(&Event { id: EventId::new(), tenant, at: now, body }).await
            })
        })
        .await
    }

    /// Removes what deleted banks have left, in chunks that keep nobody else from writing; how many rows. Cheap when there is nothing.
    ///
    /// Erased bytes are overwritten (`secure_delete`).
    pub async fn purge_deleted_banks(&self) -> Result<u64, StoreError> {
        const LEFT: &str = "SELECT number FROM banks WHERE deleted_at IS NOT NULL AND
            (EXISTS (SELECT 1 FROM bank_signals WHERE bank = banks.number) OR EXISTS (SELECT 1 FROM bank_signal_keys WHERE bank = banks.number)
             OR EXISTS (SELECT 1 FROM bank_imports WHERE bank = banks.number)) ORDER BY number";
        // Ordered so that whoever looks for what is left finds it until all of it is gone.
        const TABLES: [&str; 9] = [
            "bank_items",
            "bank_item_states",
            "bank_item_sources",
            "bank_opinions",
            "bank_hits",
            "bank_signal_keys",
            "bank_shared_signals",
            "bank_signals",
            "bank_imports",
        ];
        let banks: Vec<i64> = sqlx::query_scalar(LEFT).fetch_all(self.readers()).await?;
        if banks.is_empty() {
            return Ok(0);
        }
        let (mut tx, mut all) = (self.own_transaction(), 0);
        for bank in banks {
            for table in TABLES {
                loop {
                    let gone = tx
                        .single(|tx| {
                            async move {
                                let statement = match key(table) {
                                    None => format!("DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE bank = ? LIMIT {CHUNK})"),
                                    Some(key) => format!(
                                        "DELETE FROM {table} WHERE bank = ?1 AND ({key}) IN (SELECT {key} FROM {table} WHERE bank = ?1 LIMIT {CHUNK})"
                                    ),
                                };
                                // Names and numbers of this file.
                                let gone = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(bank).execute(tx.sql().await?).await?;
                                Ok(gone.rows_affected())
                            }
                            .boxed()
                        })
                        .await?;
                    all += gone;
                    if gone == 0 {
                        break;
                    }
                    tokio::time::sleep(crate::store::import::PAUSE).await;
                }
            }
        }
        tx.close().await;
        Ok(all)
    }
}

/// What follows `bank` in the primary key of a table without row ids.
fn key(table: &str) -> Option<&'static str> {
    match table {
        "bank_items" => Some("content_id"),
        "bank_item_states" => Some("version, content_id"),
        "bank_hits" => Some("content_id, hour"),
        "bank_signal_keys" => Some("signal_type, signal"),
        "bank_shared_signals" => Some("signal_type, signal, number"),
        "bank_signals" => Some("number"),
        _ => None,
    }
}
