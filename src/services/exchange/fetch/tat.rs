//! Tech Against Terrorism's hash list v2: a token for name and password, then pages in the order of change.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Feedback, FetchError, Fetcher, Page, at, base, checkpoint, get, saved, untold, url};
use crate::{
    domain::time::Timestamp,
    outbound::{Client, Request},
    services::exchange::{
        api::{self, Api},
        credentials::Credentials,
        formats::tat,
    },
};

#[derive(Default, Serialize, Deserialize)]
struct Checkpoint {
    /// Time and id of the last record that was read, as the server wrote it.
    after: String,
}

pub(super) struct Tat {
    base: String,
    credentials: Credentials,
    client: Client,
}

impl Tat {
    pub fn new(credentials: Credentials, client: Client) -> Result<Self, FetchError> {
        Ok(Self { base: base(credentials.base_url().unwrap_or(api::TAT))?, credentials, client })
    }

    async fn token(&self) -> Result<String, FetchError> {
        let body = json!({"username": self.credentials.get("username"), "password": self.credentials.get("password"), "resend": false});
        let address = url(&format!("{}/token-auth/tcap/", self.base))?;
        let request = Request::post(address, "application/json", body.to_string()).idempotent();
        let answer = self.client.send(&request).await?.success()?;
        let token = serde_json::from_slice::<Value>(&answer.body).ok().and_then(|answer| answer.get("token")?.as_str().map(str::to_owned));
        token.ok_or_else(|| FetchError::Answer("no token for name and password".to_owned()))
    }

    async fn step(&self, known: Option<Checkpoint>) -> Result<Page, FetchError> {
        let starts_over = known.is_none();
        let known = known.unwrap_or_default();
        let authorization = format!("Bearer {}", self.token().await?);
        let mut address = url(&format!("{}/api/hash-list/v2/all", self.base))?;
        address.query_pairs_mut().append_pair("order", "asc").append_pair("after", &known.after);
        let body = get(&self.client, address, &[("authorization", &authorization)]).await?;
        let mut entries = Vec::new();
        let fields = tat::read_page(&body[..], &mut |entry| {
            entries.push(entry);
            true
        })?;
        let after = fields.get("checkpoint").and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let more = fields.get("next").is_some_and(|next| !next.is_null());
        let moved = after.as_ref().is_some_and(|after| *after != known.after);
        if more && !moved {
            return Err(FetchError::Answer("more results without a new checkpoint".to_owned()));
        }
        let next = Checkpoint { after: after.unwrap_or(known.after) };
        let progress = next.after.split(',').next().and_then(|seconds| seconds.parse::<f64>().ok()).map(|seconds| at(seconds as i64));
        Ok(Page { entries, progress, checkpoint: saved(&next), more, starts_over, full: false })
    }
}

impl Fetcher for Tat {
    fn page<'a>(&'a self, known: Option<&'a Value>, _: Timestamp) -> BoxFuture<'a, Result<Page, FetchError>> {
        Box::pin(self.step(checkpoint(known)))
    }

    fn tell<'a>(&'a self, feedback: &'a [Feedback]) -> BoxFuture<'a, Vec<Result<(), FetchError>>> {
        Box::pin(async move { untold(feedback, Api::Tat) })
    }
}
