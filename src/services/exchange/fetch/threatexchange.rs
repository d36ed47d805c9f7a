//! ThreatExchange, `/PRIVACY_GROUP/threat_updates`.
//!
//! Deletions are told for 90 days. Who did not ask for 85 fetches everything anew, and what is not named then is gone.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Feedback, FetchError, Fetcher, Page, at, base, checkpoint, get, saved, seconds, url};
use crate::{
    domain::{bank::Opinion, time::Timestamp},
    outbound::{Client, OutboundError, Request, Url},
    services::exchange::{
        api::{self, ThreatExchangeSettings},
        credentials::Credentials,
        formats::{Entry, threatexchange},
    },
};

/// Records of a page, as pytx asks for them.
const PAGE: u32 = 100;
/// pytx, fb_threatexchange_api.py.
const STALE_SECONDS: i64 = 85 * 24 * 60 * 60;
/// What of each record is asked for.
const FIELDS: &str = "id,indicator,type,last_updated,should_delete,descriptors{id,reactions,owner{id},tags,status}";

#[derive(Clone, Serialize, Deserialize)]
struct Checkpoint {
    /// Everything that changed before was read.
    since: i64,
    /// The next page's address without the token, which does not belong into a database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The newest change seen on the pages under way.
    highest: i64,
    fetched_at: i64,
    #[serde(default)]
    full: bool,
}

pub(super) struct ThreatExchange {
    base: String,
    group: u64,
    token: String,
    client: Client,
}

const TOKEN: &str = "access_token";

impl ThreatExchange {
    pub fn new(settings: &ThreatExchangeSettings, credentials: Credentials, client: Client) -> Result<Self, FetchError> {
        let base = base(credentials.base_url().unwrap_or(api::THREATEXCHANGE))?;
        Ok(Self { base, group: settings.privacy_group, token: credentials.get("api_token").to_owned(), client })
    }

    /// The address without the token; `None` when it is not one of the API's.
    fn without_token(&self, text: &str) -> Option<String> {
        let mut address: Url = text.parse().ok()?;
        if address.origin() != self.base.parse::<Url>().ok()?.origin() {
            return None;
        }
        let pairs: Vec<(String, String)> =
            address.query_pairs().filter(|(name, _)| name != TOKEN).map(|(a, b)| (a.into(), b.into())).collect();
        address.query_pairs_mut().clear().extend_pairs(pairs);
        Some(address.into())
    }

    fn with_token(&self, text: &str) -> Result<Url, FetchError> {
        let mut address = url(text)?;
        address.query_pairs_mut().append_pair(TOKEN, &self.token);
        Ok(address)
    }

    async fn step(&self, known: Option<Checkpoint>, now: Timestamp) -> Result<Page, FetchError> {
        let present = seconds(now);
        let known = known.filter(|known| present - known.fetched_at <= STALE_SECONDS);
        let starts_over = known.is_none();
        let mut known = known.unwrap_or(Checkpoint { since: 0, next: None, highest: 0, fetched_at: present, full: true });
        let first = || {
            let mut address = url(&format!("{}/{}/threat_updates/", self.base, self.group))?;
            {
                let mut query = address.query_pairs_mut();
                query.append_pair("limit", &PAGE.to_string()).append_pair("fields", FIELDS);
                if known.since > 0 {
                    query.append_pair("start_time", &known.since.to_string());
                }
            }
            self.with_token(address.as_str())
        };
        let body = match &known.next {
            None => get(&self.client, first()?, &[]).await?,
            Some(next) => match get(&self.client, self.with_token(next)?, &[]).await {
                // The cursor is over; from the last checkpoint again.
                Err(OutboundError::Status { status: 400 | 404 | 410, .. }) => get(&self.client, first()?, &[]).await?,
                body => body?,
            },
        };
        let mut entries = Vec::new();
        let fields = threatexchange::read_page(&body[..], &mut |entry| {
            if let Entry::Record(record) = &entry
                && let Some(changed) = record.added_on
            {
                known.highest = known.highest.max(seconds(changed));
            }
            entries.push(entry);
            true
        })?;
        let next = match fields.get("paging").and_then(|paging| paging.get("next")).and_then(Value::as_str) {
            None => None,
            Some(text) => {
                let elsewhere = || FetchError::Answer("the next page is at another server".to_owned());
                Some(self.without_token(text).ok_or_else(elsewhere)?)
            }
        };
        let (more, full) = (next.is_some(), known.full);
        let checkpoint = if more {
            Checkpoint { next, fetched_at: present, ..known }
        } else {
            // The second of the newest change may not be over: it is read again the next time.
            Checkpoint { since: known.highest.max(known.since), next: None, highest: 0, fetched_at: present, full: false }
        };
        let progress = Some(at(checkpoint.since.max(checkpoint.highest)));
        Ok(Page { entries, progress, checkpoint: saved(&checkpoint), more, starts_over, full: full && !more })
    }

    async fn react(&self, feedback: &Feedback) -> Result<(), FetchError> {
        let none = || FetchError::Impossible("the entry has no descriptor to react to".to_owned());
        let descriptor = feedback.reference.as_deref().filter(|id| id.bytes().all(|byte| byte.is_ascii_digit())).ok_or_else(none)?;
        let reaction = match feedback.opinion {
            Opinion::Confirm => "HELPFUL",
            Opinion::Dispute => "DISAGREE_WITH_TAGS",
        };
        let address = self.with_token(&format!("{}/{descriptor}/", self.base))?;
        let request = Request::post(address, "application/x-www-form-urlencoded", format!("reactions={reaction}")).idempotent();
        self.client.send(&request).await?.success()?;
        Ok(())
    }
}

impl Fetcher for ThreatExchange {
    fn page<'a>(&'a self, known: Option<&'a Value>, now: Timestamp) -> BoxFuture<'a, Result<Page, FetchError>> {
        Box::pin(self.step(checkpoint(known), now))
    }

    fn tell<'a>(&'a self, feedback: &'a [Feedback]) -> BoxFuture<'a, Vec<Result<(), FetchError>>> {
        Box::pin(async move {
            let mut told = Vec::with_capacity(feedback.len());
            for one in feedback {
                told.push(self.react(one).await);
            }
            told
        })
    }
}
