//! StopNCII v1.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Feedback, FetchError, Fetcher, Page, at, base, checkpoint, get, saved, seconds, url};
use crate::{
    domain::{signal::Signal, time::Timestamp},
    outbound::{Client, OutboundError, Request},
    services::exchange::{api, credentials::Credentials, formats::stopncii},
};

/// Records of a page; what pytx asks for.
const PAGE: u32 = 800;
/// The first timestamp to ask for (pytx, api.py).
const BEGINNING: i64 = 10;
/// "Not valid over long periods of time" (ibid.), without a number: an hour is short.
const TOKEN_SECONDS: i64 = 60 * 60;
/// After so long without a fetch everything is fetched anew (pytx, stop_ncii_api.py).
const STALE_SECONDS: i64 = 30 * 24 * 60 * 60;
/// Feedback in one request: a page's worth.
const FEEDBACK: usize = 100;

#[derive(Clone, Serialize, Deserialize)]
struct Checkpoint {
    since: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    fetched_at: i64,
    /// Whether the pages under way began at the beginning.
    #[serde(default)]
    full: bool,
}

pub(super) struct StopNcii {
    base: String,
    credentials: Credentials,
    client: Client,
}

impl StopNcii {
    pub fn new(credentials: Credentials, client: Client) -> Result<Self, FetchError> {
        Ok(Self { base: base(credentials.base_url().unwrap_or(api::STOPNCII))?, credentials, client })
    }

    async fn step(&self, known: Option<Checkpoint>, now: Timestamp) -> Result<Page, FetchError> {
        let present = seconds(now);
        let known = known.filter(|known| present - known.fetched_at <= STALE_SECONDS);
        let starts_over = known.is_none();
        let mut known = known.unwrap_or(Checkpoint { since: BEGINNING, token: None, fetched_at: present, full: true });
        if present - known.fetched_at > TOKEN_SECONDS {
            known.token = None;
        }
        let body = match self.fetch(&known).await {
            // The token is over; what it led to is asked for again.
            Err(FetchError::Outbound(OutboundError::Status { status: 400 | 404 | 410, .. })) if known.token.is_some() => {
                known.token = None;
                self.fetch(&known).await?
            }
            body => body?,
        };
        let mut entries = Vec::new();
        let fields = stopncii::read_page(&body[..], &mut |entry| {
            entries.push(entry);
            true
        })?;
        let more = fields.get("hasMoreRecords").and_then(Value::as_bool).unwrap_or(false);
        let token = fields.get("nextPageToken").and_then(Value::as_str).filter(|token| !token.is_empty());
        let full = known.full;
        let next = match (more, token) {
            (true, Some(token)) if known.token.as_deref() != Some(token) => {
                Checkpoint { token: Some(token.to_owned()), fetched_at: present, ..known }
            }
            (true, _) => return Err(FetchError::Answer("more records without a new nextPageToken".to_owned())),
            (false, _) => {
                let until = fields.get("nextSetTimestamp").and_then(Value::as_i64).unwrap_or(known.since);
                Checkpoint { since: until.max(known.since), token: None, fetched_at: present, full: false }
            }
        };
        Ok(Page { entries, progress: Some(at(next.since)), checkpoint: saved(&next), more, starts_over, full: full && !more })
    }

    async fn fetch(&self, known: &Checkpoint) -> Result<bytes::Bytes, FetchError> {
        let mut address = url(&format!("{}/FetchHashes", self.base))?;
        {
            let mut query = address.query_pairs_mut();
            query.append_pair("startTimestamp", &known.since.to_string()).append_pair("pageSize", &PAGE.to_string());
            if let Some(token) = &known.token {
                query.append_pair("nextPageToken", token);
            }
        }
        let headers = [
            ("x-functions-key", self.credentials.get("fetch_function_key")),
            ("ocp-apim-subscription-key", self.credentials.get("subscription_key")),
        ];
        Ok(get(&self.client, address, &headers).await?)
    }

    async fn send(&self, feedback: &[Feedback]) -> Result<(), FetchError> {
        let key = self.credentials.get("feedback_function_key");
        if key.is_empty() {
            return Err(FetchError::Impossible("there is no feedback_function_key among the credentials of stop_ncii".to_owned()));
        }
        let all = feedback.iter().flat_map(|one| one.signals.iter().map(Signal::to_text).map(|text| (text, one.opinion)));
        let body = stopncii::feedback(&all.collect::<Vec<_>>()).to_string();
        let request = Request::post(url(&format!("{}/SubmitFeedback", self.base))?, "application/json", body)
            .header("x-functions-key", key)?
            .header("ocp-apim-subscription-key", self.credentials.get("subscription_key"))?
            .idempotent();
        self.client.send(&request).await?.success()?;
        Ok(())
    }
}

impl Fetcher for StopNcii {
    fn page<'a>(&'a self, known: Option<&'a Value>, now: Timestamp) -> BoxFuture<'a, Result<Page, FetchError>> {
        Box::pin(self.step(checkpoint(known), now))
    }

    fn tell<'a>(&'a self, feedback: &'a [Feedback]) -> BoxFuture<'a, Vec<Result<(), FetchError>>> {
        Box::pin(async move {
            match self.send(feedback).await {
                Ok(()) => feedback.iter().map(|_| Ok(())).collect(),
                Err(FetchError::Outbound(error)) => feedback.iter().map(|_| Err(error.clone().into())).collect(),
                Err(error) => feedback.iter().map(|_| Err(FetchError::Impossible(error.to_string()))).collect(),
            }
        })
    }

    fn feedback_at_once(&self) -> usize {
        FEEDBACK
    }
}
