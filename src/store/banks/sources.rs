//! Who names an item: sources, their words, and that they take them back.

use super::{
    Bank,
    locked::{Life, Locked},
};
use crate::{
    domain::{
        bank::{ItemState, Provenance, Standing},
        event::EventBody,
        ids::TenantId,
        time::Timestamp,
    },
    store::{Store, error::StoreError, row::blob, transaction::WriteTx},
};

/// The number of what imports say of the item `wanted.id` of bank `banks.number`; runs of signals do not overlap, so the last that begins before it is the
/// only one that can hold it, when its `last` reaches that far.
macro_rules! import_of {
    () => {
        "(SELECT number FROM bank_imports WHERE bank = banks.number AND first <= wanted.id AND last >= first ORDER BY first DESC LIMIT 1)"
    };
}
pub(super) const IMPORT_OF: &str = import_of!();

/// The sources of item `wanted.id` of bank `banks.number` as rows (source, submitter, at): its import's, and those that named it beside. An import that
/// is not finished says nothing, nor does a source that took its word back.
pub(super) const SOURCES: &str = concat!(
    "SELECT source, submitter, at FROM bank_imports AS imports WHERE imports.number = ",
    import_of!(),
    "
        AND last >= wanted.id AND source IS NOT NULL AND NOT EXISTS (SELECT 1 FROM bank_item_sources AS own WHERE own.bank = banks.number
            AND own.content_id = wanted.id AND own.source = imports.source AND own.withdrawn_at IS NOT NULL)
    UNION ALL
    SELECT source, submitter, at FROM bank_item_sources AS own
        WHERE own.bank = banks.number AND own.content_id = wanted.id AND withdrawn_at IS NULL
        AND (import IS NULL OR EXISTS (SELECT 1 FROM bank_imports WHERE number = own.import AND last IS NOT NULL))"
);

/// Notes that a source names the item. A source that took its word back gives it again.
pub(super) async fn name(tx: &mut WriteTx, bank: &Locked, content_id: i64, provenance: &Provenance) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO bank_item_sources (tenant_id, bank, content_id, source, submitter, at) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (bank, content_id, source, ifnull(submitter, 0)) DO UPDATE SET at = excluded.at, withdrawn_at = NULL, import = NULL
         WHERE withdrawn_at IS NOT NULL OR import IS NOT NULL",
    )
    .bind(blob(bank.tenant.0))
    .bind(bank.number)
    .bind(content_id)
    .bind(provenance.source.clone())
    .bind(provenance.submitter.clone())
    .bind(provenance.at.micros())
    .execute(tx.sql().await?)
    .await?;
    // Another submitter of the same source counts as the source having said it again.
    sqlx::query("DELETE FROM bank_item_sources WHERE bank = ? AND content_id = ? AND source = ? AND withdrawn_at IS NOT NULL")
        .bind(bank.number)
        .bind(content_id)
        .bind(provenance.source.clone())
        .execute(tx.sql().await?)
        .await?;
    Ok(())
}

/// Takes a source's word on an item back; whether it had given it, and whether anybody else still names the item.
async fn withdraw(tx: &mut WriteTx, bank: &Locked, content_id: i64, source: &str, now: Timestamp) -> Result<(bool, bool), StoreError> {
    let named = |only: &'static str| {
        sqlx::AssertSqlSafe(format!(
            "WITH wanted AS (SELECT ? AS id), banks AS (SELECT ? AS number) SELECT EXISTS (SELECT 1 FROM wanted, banks WHERE EXISTS
             (SELECT 1 FROM ({SOURCES}) AS named WHERE named.source {only} ?))"
        ))
    };
    let ask = |statement, source: &str| sqlx::query_scalar::<_, bool>(statement).bind(content_id).bind(bank.number).bind(source.to_owned());
    let had = ask(named("="), source).fetch_one(tx.sql().await?).await?;
    let others = ask(named("<>"), source).fetch_one(tx.sql().await?).await?;
    if had {
        sqlx::query("DELETE FROM bank_item_sources WHERE bank = ? AND content_id = ? AND source = ?")
            .bind(bank.number)
            .bind(content_id)
            .bind(source.to_owned())
            .execute(tx.sql().await?)
            .await?;
        sqlx::query(
            "INSERT INTO bank_item_sources (tenant_id, bank, content_id, source, at, withdrawn_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        )
        .bind(blob(bank.tenant.0))
        .bind(bank.number)
        .bind(content_id)
        .bind(source.to_owned())
        .bind(now.micros())
        .execute(tx.sql().await?)
        .await?;
    }
    Ok((had, others))
}

impl Store {
    /// Whether anybody but this source names items of the bank. Looks at all of them when nobody does.
    pub async fn is_named_by_others(&self, bank: &Bank, source: &str) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM bank_item_sources WHERE bank = ?1 AND source <> ?2 AND withdrawn_at IS NULL)
                 OR EXISTS (SELECT 1 FROM bank_imports WHERE bank = ?1 AND last >= first AND ifnull(source, '') <> ?2)",
        )
        .bind(bank.number)
        .bind(source.to_owned())
        .fetch_one(self.readers())
        .await?)
    }

    /// Takes a source's word on items back, all or none, with one ledger event. Items that nobody else names are retired; how many.
    ///
    /// Items that the source did not name, or that are retired already, are passed over.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bank or a content id.
    pub async fn withdraw_items(&self, tenant: TenantId, bank: &str, content_ids: Vec<i64>, source: &str) -> Result<u64, StoreError> {
        let (name, source) = (bank.to_owned(), source.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                let (mut bank, now) = (Locked::find(tx, tenant, &name).await?, Timestamp::now());
                let (mut items, mut retired) = (0, 0);
                for content_id in content_ids {
                    let life = bank.life(tx, content_id).await?;
                    if life.standing == Standing::Retired {
                        continue;
                    }
                    let (had, others) = withdraw(tx, &bank, content_id, &source, now).await?;
                    items += u64::from(had);
                    if had && !others {
                        let state = bank.live(tx, content_id, Life { standing: Standing::Retired, ..life }, now).await?;
                        retired += u64::from(state == ItemState::Removed);
                    }
                }
                bank.publish_changes(tx, now).await?;
                let body = EventBody::BankItemsWithdrawn { bank: name, bank_version: bank.version, source, items, retired };
                bank.record(tx, now, body).await?;
                Ok(retired)
            })
        })
        .await
    }
}
