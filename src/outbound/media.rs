//! Attachments that callers name by URL instead of sending them.

use std::time::Duration;

use bytes::Bytes;

use super::{
    client::{Client, Limits, Request},
    error::OutboundError,
    policy::Policy,
    retry::Retry,
};

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    pub bytes: Bytes,
    /// `Content-Type` as the server sent it; `None` when it sent none, which says nothing about the bytes.
    pub content_type: Option<String>,
}

/// Fetches attachments by URL, when the operator allows it at all.
#[derive(Clone)]
pub struct MediaFetcher {
    client: Option<Client>,
}

impl MediaFetcher {
    /// Refuses every URL.
    pub const fn off() -> Self {
        Self { client: None }
    }

    /// Fetches what `policy` allows, up to `max_bytes`, within `total`. A caller waits, so nothing is tried twice.
    pub fn new(policy: Policy, connect: Duration, total: Duration, max_bytes: usize) -> Self {
        Self::with_client(Client::new(policy, Limits { connect, total, max_bytes }, Retry::NEVER))
    }

    /// With a client of the caller's.
    pub const fn with_client(client: Client) -> Self {
        Self { client: Some(client) }
    }

    /// The bytes behind `url`.
    ///
    /// # Errors
    /// [`OutboundError::FetchOff`] when fetching is off, [`OutboundError::Status`] when the answer is not 2xx, and the others of a request.
    pub async fn fetch_media(&self, url: &str) -> Result<Media, OutboundError> {
        let client = self.client.as_ref().ok_or(OutboundError::FetchOff)?;
        let url = url.parse().map_err(|error: url::ParseError| OutboundError::Malformed { detail: error.to_string() })?;
        let response = client.send(&Request::get(url)).await?.success()?;
        Ok(Media { bytes: response.body, content_type: response.content_type })
    }
}
