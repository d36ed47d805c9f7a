//! What people here think of an exchange's entries, on its way to the exchange.
//!
//! Opinions have numbers that grow; an exchange has the number up to which they are in its outbox. Putting further ones in and moving that number is one
//! transaction, so none is lost and none is doubled. An entry has one place in the outbox: a newer word replaces an older one, sent or not.

use sqlx::Row;

use super::Exchange;
use crate::{
    domain::{
        bank::Opinion,
        event::{Event, EventBody},
        ids::EventId,
        time::Timestamp,
    },
    store::{
        Store,
        error::StoreError,
        row::{named, number, optional_time, time},
    },
};

/// A word that is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    pub key: String,
    pub reference: Option<String>,
    /// The item that it was said of.
    pub content_id: i64,
    pub opinion: Opinion,
    /// How often it was tried already.
    pub attempts: u32,
}

/// What became of a word.
#[derive(Clone, Debug)]
pub struct OutboxResult {
    pub entry: OutboxEntry,
    pub outcome: Outcome,
}

/// See [`OutboxResult`].
#[derive(Clone, Debug)]
pub enum Outcome {
    Sent,
    /// To be tried again at this time.
    Later(Timestamp, String),
    /// Never to be tried again.
    GivenUp(String),
}

/// How an outbox stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxState {
    pub waiting: u64,
    pub sent: u64,
    pub given_up: u64,
    /// Why something was given up, or else why something waits.
    pub failure: Option<String>,
}

/// A word of an outbox, for people to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxWord {
    /// The item that it was said of.
    pub content_id: i64,
    pub opinion: Opinion,
    pub queued_at: Timestamp,
    /// When it is tried next, if it is to be.
    pub next_at: Timestamp,
    pub sent_at: Option<Timestamp>,
    pub given_up: bool,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last try failed.
    pub failure: Option<String>,
}

impl Store {
    /// Puts into an exchange's outbox what people here said of its entries since the last time; how many words.
    pub async fn queue_feedback(&self, exchange: &Exchange) -> Result<u64, StoreError> {
        let (tenant, number, name) = (exchange.tenant, exchange.number, exchange.name.clone());
        // Mostly there is nothing, and then nothing is written.
        let waiting: bool = sqlx::query_scalar(
            "SELECT (SELECT coalesce(max(seq), 0) FROM bank_opinions) > (SELECT opinions_seq FROM exchanges WHERE number = ?)",
        )
        .bind(number)
        .fetch_one(self.readers())
        .await?;
        if !waiting {
            return Ok(0);
        }
        self.write(move |tx| {
            Box::pin(async move {
                let now = Timestamp::now();
                // In the order of their numbers, so that of two words on an item the newer one stays.
                let queued = sqlx::query(
                    "INSERT INTO exchange_outbox (exchange, key, content_id, reference, opinion, queued_at, next_at)
                     SELECT entries.exchange, entries.key, entries.content_id, entries.reference, opinions.opinion, ?3, ?3
                     FROM bank_opinions AS opinions JOIN banks ON banks.number = opinions.bank
                     JOIN exchange_entries AS entries ON entries.exchange = ?1 AND entries.content_id = opinions.content_id
                     WHERE opinions.seq > (SELECT opinions_seq FROM exchanges WHERE number = ?1) AND opinions.source <> 'exchange'
                         AND opinions.tenant_id = ?2 AND banks.name = ?4 AND banks.deleted_at IS NULL
                     ORDER BY opinions.seq
                     ON CONFLICT (exchange, key, content_id) DO UPDATE SET reference = excluded.reference, opinion = excluded.opinion,
                         queued_at = excluded.queued_at, next_at = excluded.next_at, attempts = 0, sent_at = NULL, failure = NULL, given_up = 0",
                )
                .bind(number)
                .bind(crate::store::row::blob(tenant.0))
                .bind(now.micros())
                .bind(name)
                .execute(tx.sql().await?)
                .await?;
                sqlx::query("UPDATE exchanges SET opinions_seq = (SELECT coalesce(max(seq), 0) FROM bank_opinions) WHERE number = ?")
                    .bind(number)
                    .execute(tx.sql().await?)
                    .await?;
                Ok(queued.rows_affected())
            })
        })
        .await
    }

    /// Words that are due now, the longest waiting first, at most `limit`.
    pub async fn due_feedback(&self, exchange: &Exchange, now: Timestamp, limit: u32) -> Result<Vec<OutboxEntry>, StoreError> {
        let rows = sqlx::query(
            "SELECT key, reference, content_id, opinion, attempts FROM exchange_outbox
             WHERE exchange = ? AND sent_at IS NULL AND given_up = 0 AND next_at <= ? ORDER BY next_at, key LIMIT +?",
        )
        .bind(exchange.number)
        .bind(now.micros())
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(OutboxEntry {
                    key: row.try_get("key")?,
                    reference: row.try_get("reference")?,
                    content_id: row.try_get("content_id")?,
                    opinion: named(row, "opinion")?,
                    attempts: number(row, "attempts")?,
                })
            })
            .collect()
    }

    /// Notes what became of words; with a ledger event for those that were sent. A word that was replaced meanwhile stays to be told.
    pub async fn note_feedback(&self, exchange: &Exchange, results: Vec<OutboxResult>) -> Result<(), StoreError> {
        let (tenant, number, name) = (exchange.tenant, exchange.number, exchange.name.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let now = Timestamp::now();
                let (mut confirms, mut disputes) = (0, 0);
                for OutboxResult { entry, outcome } in results {
                    let (sent_at, next_at, failure, given_up) = match outcome {
                        Outcome::Sent => (Some(now.micros()), now.micros(), None, false),
                        Outcome::Later(at, failure) => (None, at.micros(), Some(failure), false),
                        Outcome::GivenUp(failure) => (None, now.micros(), Some(failure), true),
                    };
                    let noted = sqlx::query(
                        "UPDATE exchange_outbox SET sent_at = ?, next_at = ?, failure = ?, given_up = ?, attempts = attempts + 1
                         WHERE exchange = ? AND key = ? AND content_id = ? AND opinion = ? AND sent_at IS NULL",
                    )
                    .bind(sent_at)
                    .bind(next_at)
                    .bind(failure)
                    .bind(given_up)
                    .bind(number)
                    .bind(entry.key)
                    .bind(entry.content_id)
                    .bind(entry.opinion.as_str())
                    .execute(tx.sql().await?)
                    .await?;
                    if sent_at.is_some() && noted.rows_affected() == 1 {
                        match entry.opinion {
                            Opinion::Confirm => confirms += 1,
                            Opinion::Dispute => disputes += 1,
                        }
                    }
                }
                if confirms + disputes > 0 {
                    let body = EventBody::ExchangeFeedbackSent { exchange: name, confirms, disputes };
                    tx.append(&Event { id: EventId::new(), tenant, at: now, body }).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Words of an exchange's outbox, at most `limit`: first those that were given up, then those that wait, then those that were sent, newest first.
    pub async fn outbox_words(&self, exchange: &Exchange, limit: u32) -> Result<Vec<OutboxWord>, StoreError> {
        let rows = sqlx::query(
            "SELECT content_id, opinion, queued_at, next_at, sent_at, given_up, attempts, failure FROM exchange_outbox WHERE exchange = ?
             ORDER BY given_up DESC, sent_at IS NOT NULL, coalesce(sent_at, queued_at) DESC, content_id LIMIT +?",
        )
        .bind(exchange.number)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(OutboxWord {
                    content_id: row.try_get("content_id")?,
                    opinion: named(row, "opinion")?,
                    queued_at: time(row, "queued_at")?,
                    next_at: time(row, "next_at")?,
                    sent_at: optional_time(row, "sent_at")?,
                    given_up: row.try_get("given_up")?,
                    attempts: number(row, "attempts")?,
                    failure: row.try_get("failure")?,
                })
            })
            .collect()
    }

    /// How the outbox of an exchange stands.
    pub async fn outbox(&self, exchange: &Exchange) -> Result<OutboxState, StoreError> {
        let row = sqlx::query(
            "SELECT count(*) FILTER (WHERE sent_at IS NULL AND given_up = 0) AS waiting, count(*) FILTER (WHERE sent_at IS NOT NULL) AS sent,
                 count(*) FILTER (WHERE given_up = 1) AS given_up,
                 (SELECT failure FROM exchange_outbox WHERE exchange = ?1 AND failure IS NOT NULL
                     ORDER BY given_up DESC, next_at DESC LIMIT 1) AS failure
             FROM exchange_outbox WHERE exchange = ?1",
        )
        .bind(exchange.number)
        .fetch_one(self.readers())
        .await?;
        Ok(OutboxState {
            waiting: number(&row, "waiting")?,
            sent: number(&row, "sent")?,
            given_up: number(&row, "given_up")?,
            failure: row.try_get("failure")?,
        })
    }
}
