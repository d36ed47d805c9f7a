//! What people here think of an exchange's entries is told to the exchange.

use std::{collections::HashMap, time::Duration};

use serde::Serialize;

use super::{
    ExchangeError, Exchanges,
    fetch::{Feedback, FetchError},
};
use crate::{
    domain::{ids::TenantId, time::Timestamp},
    store::{Exchange, FeedbackOutcome, Item, OutboxEntry, OutboxResult, OutboxWord},
};

/// Words that are sent in one turn.
const TURN: u32 = 500;
/// The pause after the first failure; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// What one turn sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    pub queued: u64,
    pub sent: u64,
    /// To be tried again.
    pub failed: u64,
    pub given_up: u64,
}

impl Exchanges {
    /// Queues what was said since the last time, and sends what is due.
    ///
    /// # Errors
    /// When the store cannot be used, or there are no credentials. What an exchange does not take is noted in its outbox.
    pub async fn feedback(&self, tenant: TenantId, name: &str) -> Result<Sent, ExchangeError> {
        let exchange = self.get(tenant, name).await?;
        self.write_back(&exchange, Timestamp::now()).await
    }

    /// What an exchange is to be told, was told, or cannot be told; at most `limit` words.
    ///
    /// # Errors
    /// [`ExchangeError::NotFound`].
    pub async fn outbox(&self, tenant: TenantId, name: &str, limit: u32) -> Result<Vec<OutboxWord>, ExchangeError> {
        let exchange = self.get(tenant, name).await?;
        Ok(self.store.outbox_words(&exchange, limit).await?)
    }

    pub(super) async fn write_back(&self, exchange: &Exchange, now: Timestamp) -> Result<Sent, ExchangeError> {
        let mut sent = Sent { queued: self.store.queue_feedback(exchange).await?, ..Sent::default() };
        let now = now.max(Timestamp::now());
        let due = self.store.due_feedback(exchange, now, TURN).await?;
        if due.is_empty() {
            return Ok(sent);
        }
        let fetcher = self.fetcher(exchange)?;
        let wanted: Vec<(String, i64)> = due.iter().map(|entry| (exchange.name.clone(), entry.content_id)).collect();
        let items: HashMap<i64, Item> =
            self.store.items(exchange.tenant, &wanted).await?.into_iter().map(|item| (item.content_id, item)).collect();
        for chunk in due.chunks(fetcher.feedback_at_once().max(1)) {
            let feedback: Vec<Feedback> = chunk.iter().map(|entry| feedback(entry, &items)).collect();
            let outcomes = fetcher.tell(&feedback).await;
            let mut results = Vec::with_capacity(chunk.len());
            for (entry, outcome) in chunk.iter().zip(outcomes) {
                let outcome = match outcome {
                    Ok(()) => FeedbackOutcome::Sent,
                    // Its words were not understood, or cannot be; 401 and 403 may be mended by other credentials.
                    Err(error) if is_final(&error) => FeedbackOutcome::GivenUp(error.to_string()),
                    Err(error) => FeedbackOutcome::Later(now.plus(pause(entry.attempts)), error.to_string()),
                };
                match &outcome {
                    FeedbackOutcome::Sent => sent.sent += 1,
                    FeedbackOutcome::Later(..) => sent.failed += 1,
                    FeedbackOutcome::GivenUp(_) => sent.given_up += 1,
                }
                results.push(OutboxResult { entry: entry.clone(), outcome });
            }
            self.store.note_feedback(exchange, results).await?;
        }
        Ok(sent)
    }
}

fn feedback(entry: &OutboxEntry, items: &HashMap<i64, Item>) -> Feedback {
    let signals = items.get(&entry.content_id).map(|item| item.signals.clone()).unwrap_or_default();
    Feedback { key: entry.key.clone(), reference: entry.reference.clone(), opinion: entry.opinion, signals }
}

fn pause(attempts: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << attempts.min(16)).min(LONGEST_PAUSE)
}

/// Whether trying again cannot help.
const fn is_final(error: &FetchError) -> bool {
    match error {
        FetchError::Impossible(_) => true,
        FetchError::Outbound(crate::outbound::OutboundError::Status { status, .. }) => matches!(*status, 400 | 404 | 405 | 409 | 410 | 422),
        _ => false,
    }
}
