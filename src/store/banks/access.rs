//! Which keys may use a bank.

use std::collections::HashMap;

use super::locked::Locked;
use crate::{
    domain::{
        curation::{AccessList, BankRight},
        event::EventBody,
        ids::{BankId, KeyId, TenantId},
        time::Timestamp,
    },
    store::{
        Store,
        error::StoreError,
        row::{blob, named, uuid},
    },
};

impl Store {
    /// Puts a key of the tenant on a bank's list, or takes it off, with its ledger event; whether that changed anything. Servers look at the bank again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bank or the key.
    pub async fn set_bank_access(
        &self,
        tenant: TenantId,
        bank: &str,
        (key, right): (KeyId, BankRight),
        allowed: bool,
        by: Option<KeyId>,
    ) -> Result<bool, StoreError> {
        let name = bank.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                let (bank, now) = (Locked::find(tx, tenant, &name).await?, Timestamp::now());
                let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM keys WHERE tenant_id = ? AND id = ?)")
                    .bind(blob(tenant.0))
                    .bind(blob(key.0))
                    .fetch_one(tx.sql().await?)
                    .await?;
                if !known {
                    return Err(StoreError::NotFound("key"));
                }
                let statement = if allowed {
                    "INSERT OR IGNORE INTO bank_access (tenant_id, bank, key, may) VALUES (?, ?, ?, ?)"
                } else {
                    "DELETE FROM bank_access WHERE tenant_id = ? AND bank = ? AND key = ? AND may = ?"
                };
                let changed = sqlx::query(statement)
                    .bind(blob(tenant.0))
                    .bind(bank.number)
                    .bind(blob(key.0))
                    .bind(right.as_str())
                    .execute(tx.sql().await?)
                    .await?;
                if changed.rows_affected() == 0 {
                    return Ok(false);
                }
                bank.tell(tx, now).await?;
                bank.record(tx, now, EventBody::BankAccessChanged { bank: name, key, right, allowed, by }).await?;
                Ok(true)
            })
        })
        .await
    }

    /// The access lists of all banks that have one.
    pub async fn bank_access(&self) -> Result<HashMap<BankId, AccessList>, StoreError> {
        let rows = sqlx::query(
            "SELECT banks.id, key, may FROM bank_access JOIN banks ON banks.number = bank_access.bank WHERE deleted_at IS NULL ORDER BY banks.id, key, may",
        )
        .fetch_all(self.readers())
        .await?;
        let mut lists: HashMap<BankId, AccessList> = HashMap::new();
        for row in &rows {
            let entry = (KeyId(uuid(row, "key")?), named(row, "may")?);
            lists.entry(BankId(uuid(row, "id")?)).or_default().entries.push(entry);
        }
        Ok(lists)
    }

    /// One bank's list.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bank.
    pub async fn access_of(&self, tenant: TenantId, bank: &str) -> Result<AccessList, StoreError> {
        let bank = self.bank(tenant, bank).await?.ok_or(StoreError::NotFound("bank"))?;
        let rows = sqlx::query("SELECT key, may FROM bank_access WHERE bank = ? ORDER BY key, may")
            .bind(bank.number)
            .fetch_all(self.readers())
            .await?;
        let entries = rows.iter().map(|row| Ok((KeyId(uuid(row, "key")?), named(row, "may")?)));
        Ok(AccessList { entries: entries.collect::<Result<_, StoreError>>()? })
    }
}
