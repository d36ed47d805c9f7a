//! Single changes of banks, to tell one history from another.

use sqlx::{Row, sqlite::SqliteRow};

use super::BankChange;
use crate::{
    domain::ids::{BankId, TenantId},
    store::{
        Store,
        error::StoreError,
        row::{blob, time, uuid},
    },
};

pub(super) fn change(row: &SqliteRow) -> Result<BankChange, StoreError> {
    Ok(BankChange {
        seq: row.try_get("seq")?,
        tenant: TenantId(uuid(row, "tenant_id")?),
        bank: BankId(uuid(row, "bank")?),
        version: row.try_get("version")?,
        signals: row.try_get("signals")?,
        at: time(row, "at")?,
    })
}

impl Store {
    /// The change of this number.
    pub async fn bank_change(&self, seq: i64) -> Result<Option<BankChange>, StoreError> {
        let query = sqlx::query("SELECT seq, tenant_id, bank, version, signals, at FROM bank_changes WHERE seq = ?").bind(seq);
        query.fetch_optional(self.readers()).await?.as_ref().map(change).transpose()
    }

    /// The newest change that tells of this version of a bank. Looks from the newest change of all backwards, so it is quick for banks that changed of late.
    pub async fn newest_change_of(&self, bank: BankId, version: i64) -> Result<Option<BankChange>, StoreError> {
        let query = sqlx::query(
            "SELECT seq, tenant_id, bank, version, signals, at FROM bank_changes WHERE bank = ? AND version = ? ORDER BY seq DESC LIMIT 1",
        );
        query.bind(blob(bank.0)).bind(version).fetch_optional(self.readers()).await?.as_ref().map(change).transpose()
    }
}
