//! What people and exchanges say of items, and what follows from it.

use sqlx::{Row, sqlite::SqliteRow};

use super::{
    change::{self, Change},
    locked::{Life, Locked},
};
use crate::{
    domain::{
        bank::{Opinion, OpinionSource, Standing},
        curation::FeedbackRules,
        event::EventBody,
        ids::TenantId,
        time::Timestamp,
    },
    store::{
        Store,
        error::StoreError,
        row::{blob, named, time, uuid},
        transaction::WriteTx,
    },
};

/// Something that is said of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOpinion {
    pub source: OpinionSource,
    /// A key's id, or the name of an exchange's member: 1 to 128 characters. Of each, the newest word counts.
    pub who: String,
    pub opinion: Opinion,
}

/// An opinion as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpinionRecord {
    /// Grows with every word, over all tenants; not gapless.
    pub seq: i64,
    pub tenant: TenantId,
    pub bank: String,
    pub content_id: i64,
    pub source: OpinionSource,
    pub who: String,
    pub opinion: Opinion,
    pub at: Timestamp,
}

fn record(row: &SqliteRow) -> Result<OpinionRecord, StoreError> {
    Ok(OpinionRecord {
        seq: row.try_get("seq")?,
        tenant: TenantId(uuid(row, "tenant_id")?),
        bank: row.try_get("name")?,
        content_id: row.try_get("content_id")?,
        source: named(row, "source")?,
        who: row.try_get("who")?,
        opinion: named(row, "opinion")?,
        at: time(row, "at")?,
    })
}

/// Writes an opinion down and moves the item as the rules say; its standing afterwards. Who says again what they said changes nothing. Of a retired item
/// nothing is said any more.
pub(in crate::store) async fn opine(
    tx: &mut WriteTx,
    bank: &mut Locked,
    content_id: i64,
    new: NewOpinion,
    rules: FeedbackRules,
    now: Timestamp,
) -> Result<Standing, StoreError> {
    let from = bank.life(tx, content_id).await?;
    if from.standing == Standing::Retired {
        return Ok(Standing::Retired);
    }
    let NewOpinion { source, who, opinion } = new;
    let said: Option<String> =
        sqlx::query_scalar("SELECT opinion FROM bank_opinions WHERE bank = ? AND content_id = ? AND source = ? AND who = ?")
            .bind(bank.number)
            .bind(content_id)
            .bind(source.as_str())
            .bind(who.clone())
            .fetch_optional(tx.sql().await?)
            .await?;
    if said.as_deref() == Some(opinion.as_str()) {
        return Ok(from.standing);
    }
    // Replaced, so that it gets a new number and whoever follows the numbers meets it.
    sqlx::query(
        "INSERT OR REPLACE INTO bank_opinions (tenant_id, bank, content_id, source, who, opinion, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(blob(bank.tenant.0))
    .bind(bank.number)
    .bind(content_id)
    .bind(source.as_str())
    .bind(who.clone())
    .bind(opinion.as_str())
    .bind(now.micros())
    .execute(tx.sql().await?)
    .await?;
    bank.record(tx, now, EventBody::BankOpinion { bank: bank.name.clone(), content_id, source, who, opinion }).await?;
    let (confirms, disputes): (i64, i64) = sqlx::query_as(
        "SELECT count(DISTINCT who) FILTER (WHERE opinion = 'confirm'), count(DISTINCT who) FILTER (WHERE opinion = 'dispute')
         FROM bank_opinions WHERE bank = ? AND content_id = ?",
    )
    .bind(bank.number)
    .bind(content_id)
    .fetch_one(tx.sql().await?)
    .await?;
    let many = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    let Some(standing) = rules.next(from.standing, many(confirms), many(disputes)) else { return Ok(from.standing) };
    change::shift(tx, bank, (content_id, from, Life { standing, ..from }), Change::rule("feedback", from.standing), now).await?;
    Ok(standing)
}

impl Store {
    /// Says something of an item of the tenant's bank of that name, with its ledger event; the item moves as the rules say. Its standing afterwards.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bank or the item.
    pub async fn add_opinion(
        &self,
        tenant: TenantId,
        bank: &str,
        content_id: i64,
        opinion: NewOpinion,
        rules: FeedbackRules,
    ) -> Result<Standing, StoreError> {
        let name = bank.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                let mut bank = Locked::find(tx, tenant, &name).await?;
                opine(tx, &mut bank, content_id, opinion, rules, Timestamp::now()).await
            })
        })
        .await
    }

    /// What is said of an item, newest first.
    pub async fn opinions(&self, tenant: TenantId, bank: &str, content_id: i64) -> Result<Vec<OpinionRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, opinions.tenant_id, name, content_id, source, who, opinion, at FROM bank_opinions AS opinions
             JOIN banks ON banks.number = opinions.bank
             WHERE opinions.tenant_id = ? AND name = ? AND deleted_at IS NULL AND content_id = ? ORDER BY seq DESC",
        )
        .bind(blob(tenant.0))
        .bind(bank.to_owned())
        .bind(content_id)
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(record).collect()
    }

    /// What was said after number `seq`, in all banks of all tenants, in that order, at most `limit`: for whoever has to pass it on. The numbers grow in the
    /// order of the commits, because there is one writer at a time; a word that was replaced is met once, with its new number.
    pub async fn opinions_since(&self, seq: i64, limit: u32) -> Result<Vec<OpinionRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, opinions.tenant_id, name, content_id, source, who, opinion, at FROM bank_opinions AS opinions
             JOIN banks ON banks.number = opinions.bank WHERE seq > ? AND deleted_at IS NULL ORDER BY seq LIMIT +?",
        )
        .bind(seq)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(record).collect()
    }
}
