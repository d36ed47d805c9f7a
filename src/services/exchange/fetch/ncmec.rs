//! NCMEC Hash Sharing v2.
//!
//! Asked is for the entries that changed within a span of time. Within a span they have no order, so how far the list was read is known only when all pages of
//! a span were read: then the next span begins. The server's addresses of next pages hold for twelve hours; a span that takes longer begins again, and is
//! made shorter, because it would take as long the next time. Spans that were exhausted in time make the next one longer.

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Feedback, FetchError, Fetcher, Page, at, base, checkpoint, get, saved, seconds, url};
use crate::{
    domain::{bank::Opinion, time::Timestamp},
    outbound::{Client, OutboundError, Request},
    services::exchange::{
        api::{self, NcmecSettings},
        credentials::Credentials,
        formats::{Entry, ncmec},
    },
};

/// How long the address of a next page is used: NCMEC's own word (pytx, ncmec_api.py).
const PAGE_SECONDS: i64 = 12 * 60 * 60;
/// The newest seconds are left for the next time: entries are not ordered, and one second may not be over.
const SETTLED_SECONDS: i64 = 5;
/// What is newer than this when a span is exhausted is left for the next time as well: else each answer would find that a second has passed.
const LATER_SECONDS: i64 = 60;
/// The shortest span that is made after one that could not be exhausted in twelve hours.
const SHORTEST_SPAN: i64 = 60 * 60;

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    /// Everything that changed before was read.
    from: i64,
    /// The end of the span whose pages are being read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<i64>,
    /// Path and query of its next page, and when it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(default)]
    next_at: i64,
    /// The longest span to ask for; `None` is up to now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    longest: Option<i64>,
}

pub(super) struct Ncmec {
    base: String,
    authorization: String,
    only: Vec<u64>,
    client: Client,
}

impl Ncmec {
    pub fn new(settings: &NcmecSettings, credentials: Credentials, client: Client) -> Result<Self, FetchError> {
        let address = api::environment(&settings.environment).map_err(FetchError::Impossible)?;
        let pair = format!("{}:{}", credentials.get("user"), credentials.get("password"));
        Ok(Self {
            base: base(credentials.base_url().unwrap_or(address))?,
            authorization: format!("Basic {}", STANDARD.encode(pair)),
            only: settings.only_esp_ids.clone(),
            client,
        })
    }

    async fn get(&self, path: &str) -> Result<bytes::Bytes, FetchError> {
        Ok(get(&self.client, url(&format!("{}{path}", self.base))?, &[("authorization", &self.authorization)]).await?)
    }

    async fn step(&self, known: Option<Checkpoint>, now: Timestamp) -> Result<Page, FetchError> {
        let starts_over = known.is_none();
        let mut known = known.unwrap_or(Checkpoint { from: 0, to: None, next: None, next_at: 0, longest: None });
        let present = seconds(now);
        if let (Some(to), Some(next)) = (known.to, known.next.take()) {
            // The server's word is a path: whatever else it is does not lead elsewhere with our password.
            let usable = next.starts_with("/v2/") && present - known.next_at <= PAGE_SECONDS;
            let answer = if usable { Some(self.get(&next).await) } else { None };
            match answer {
                Some(Ok(body)) => return self.read(&body, known, to, present, starts_over),
                // 400, 404 and 410: the address is over. Everything else is not its fault.
                Some(Err(FetchError::Outbound(OutboundError::Status { status: 400 | 404 | 410, .. }))) | None => {
                    known.longest = Some(((to - known.from) / 4).max(SHORTEST_SPAN));
                }
                Some(Err(error)) => return Err(error),
            }
        }
        let end = present - SETTLED_SECONDS;
        let to = known.longest.map_or(end, |longest| end.min(known.from.saturating_add(longest)));
        if to <= known.from {
            known.to = None;
            let progress = Some(at(known.from));
            return Ok(Page { entries: Vec::new(), checkpoint: saved(&known), progress, more: false, starts_over, full: false });
        }
        let body = self.get(&format!("/v2/entries?from={}&to={}", at(known.from), at(to))).await?;
        self.read(&body, known, to, present, starts_over)
    }

    fn read(&self, body: &[u8], known: Checkpoint, to: i64, present: i64, starts_over: bool) -> Result<Page, FetchError> {
        let mut entries = Vec::new();
        let page = ncmec::read_page(body, &mut |entry| {
            let wanted = match &entry {
                Entry::Record(record) if !self.only.is_empty() => {
                    record.member.as_deref().and_then(|member| member.parse().ok()).is_some_and(|member| self.only.contains(&member))
                }
                _ => true,
            };
            if wanted {
                entries.push(entry);
            }
            true
        })?;
        let next = match page.next {
            Some(next) => Checkpoint { to: Some(to), next: Some(next), next_at: present, ..known },
            // Exhausted: only now is it known that everything before `to` was read.
            None => {
                Checkpoint { from: to, to: None, next: None, next_at: 0, longest: known.longest.map(|longest| longest.saturating_mul(2)) }
            }
        };
        let more = next.next.is_some() || next.from < present - LATER_SECONDS;
        Ok(Page { entries, progress: Some(at(next.from)), checkpoint: saved(&next), more, starts_over, full: false })
    }

    async fn tell_one(&self, feedback: &Feedback) -> Result<(), FetchError> {
        let (member, id) =
            feedback.key.split_once('/').ok_or_else(|| FetchError::Impossible("the entry has no key of NCMEC's".to_owned()))?;
        for kind in feedback.signals.iter().filter_map(ncmec::fingerprint_of) {
            let reason = match feedback.opinion {
                Opinion::Confirm => None,
                Opinion::Dispute => Some(self.reason(&kind).await?),
            };
            let body = ncmec::feedback(feedback.opinion, reason.as_deref());
            let mut address = url(&self.base)?;
            // Segments are encoded: an id is a text of somebody else's.
            address
                .path_segments_mut()
                .map_err(|()| FetchError::Impossible("the address of the API takes no path".to_owned()))?
                .extend(["v2", "entries", member, id, &kind, "feedback"]);
            let request = Request::put(address, "application/xml; charset=utf-8", body).header("authorization", &self.authorization)?;
            self.client.send(&request).await?.success()?;
        }
        Ok(())
    }

    /// A negative vote names a reason, and which there are NCMEC says for each type: the first that speaks of a wrong hash, or the only one.
    async fn reason(&self, kind: &str) -> Result<String, FetchError> {
        let reasons = ncmec::reasons(&self.get(&format!("/v2/feedback/{kind}/reasons")).await?)?;
        let speaks =
            |text: &str| ["false positive", "incorrect", "not csam", "does not"].iter().any(|word| text.to_lowercase().contains(word));
        let chosen = reasons.iter().find(|(_, name)| speaks(name)).or_else(|| reasons.first());
        chosen.map(|(guid, _)| guid.clone()).ok_or_else(|| FetchError::Answer(format!("there is no reason for a negative vote on {kind}")))
    }
}

impl Fetcher for Ncmec {
    fn page<'a>(&'a self, known: Option<&'a Value>, now: Timestamp) -> BoxFuture<'a, Result<Page, FetchError>> {
        Box::pin(self.step(checkpoint(known), now))
    }

    fn tell<'a>(&'a self, feedback: &'a [Feedback]) -> BoxFuture<'a, Vec<Result<(), FetchError>>> {
        Box::pin(async move {
            let mut told = Vec::with_capacity(feedback.len());
            for one in feedback {
                told.push(self.tell_one(one).await);
            }
            told
        })
    }
}
