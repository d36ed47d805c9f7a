//! Fetching: one page at a time, from a checkpoint to the next.
//!
//! A [`Fetcher`] keeps nothing between two pages: whatever it needs to go on stands in the checkpoint, which the store writes together with what the page
//! said. So a fetch goes on after a crash where the last page that was stored ended, on whichever node.
//!
//! | API | order | checkpoint |
//! | --- | --- | --- |
//! | NCMEC | none within a span of time | moves when a span is exhausted; the address of the next page is kept for twelve hours |
//! | StopNCII | by time of change | moves when all pages were read; the token of the next page is kept for an hour |
//! | ThreatExchange | by time of change | moves with each page; after 85 days everything is fetched anew |
//! | Tech Against Terrorism | by time of change | moves with each page |
//! | local file | the file's | place in the file; a changed file is read anew |
//!
//! A checkpoint that is [`Page::full`] began at nothing: what it did not name by its end is on the list no more.

mod local;
mod ncmec;
mod sample;
mod stopncii;
mod tat;
mod threatexchange;

use futures_util::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    api::{Api, Settings},
    credentials::{Credentials, CredentialsError},
    formats::{Entry, FormatError},
};
use crate::{
    domain::{bank::Opinion, signal::Signal, time::Timestamp},
    outbound::{Client, OutboundError, Request, Url},
};

/// One page.
#[derive(Debug)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// Where the next page begins.
    pub checkpoint: Value,
    /// How far the list has been read, in the exchange's own time.
    pub progress: Option<Timestamp>,
    /// Whether there is another page now.
    pub more: bool,
    /// Whether this page is the first of the whole list.
    pub starts_over: bool,
    /// Whether the pages since the last `starts_over` are the whole list.
    pub full: bool,
}

/// What is told to an exchange about one of its entries.
#[derive(Clone, Debug)]
pub struct Feedback {
    /// The entry's name there.
    pub key: String,
    /// What feedback has to name, when that is not the key.
    pub reference: Option<String>,
    pub opinion: Opinion,
    pub signals: Vec<Signal>,
}

/// Why there is no page, or why feedback was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("the exchange's answer cannot be read: {0}")]
    Format(#[from] FormatError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("the exchange's answer is not as documented: {0}")]
    Answer(String),
    #[error("the file cannot be read: {0}")]
    File(std::io::Error),
    /// Cannot be mended by trying again.
    #[error("{0}")]
    Impossible(String),
}

impl FetchError {
    /// Whether trying again later may help without anybody changing something.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Outbound(error) if error.is_transient())
    }
}

/// An exchange's API, seen from here.
pub trait Fetcher: Send + Sync {
    /// The page at `checkpoint`; `None` begins the list. `now` is the present.
    fn page<'a>(&'a self, checkpoint: Option<&'a Value>, now: Timestamp) -> BoxFuture<'a, Result<Page, FetchError>>;

    /// Tells what people here think of entries; one result each, in their order. Telling it twice is telling it once.
    fn tell<'a>(&'a self, feedback: &'a [Feedback]) -> BoxFuture<'a, Vec<Result<(), FetchError>>>;

    /// Most pieces of feedback in one call of [`tell`](Self::tell).
    fn feedback_at_once(&self) -> usize {
        1
    }
}

/// The fetcher of an exchange.
///
/// # Errors
/// When its address is none, or its settings belong to another API.
pub fn fetcher(api: Api, settings: &Settings, credentials: Credentials, client: Client) -> Result<Box<dyn Fetcher>, FetchError> {
    Ok(match (api, settings) {
        (Api::Ncmec, Settings::Ncmec(settings)) => Box::new(ncmec::Ncmec::new(settings, credentials, client)?),
        (Api::FbThreatexchange, Settings::ThreatExchange(settings)) => {
            Box::new(threatexchange::ThreatExchange::new(settings, credentials, client)?)
        }
        (Api::StopNcii, _) => Box::new(stopncii::StopNcii::new(credentials, client)?),
        (Api::Tat, _) => Box::new(tat::Tat::new(credentials, client)?),
        (Api::LocalFile, Settings::LocalFile(settings)) => Box::new(local::LocalFile::new(settings)),
        (Api::Sample, _) => Box::new(sample::Sample),
        _ => return Err(FetchError::Impossible(format!("the settings are not those of {api}"))),
    })
}

/// The base address of an API, without a slash at its end.
fn base(url: &str) -> Result<String, FetchError> {
    let trimmed = url.trim_end_matches('/');
    match trimmed.parse::<Url>() {
        Ok(url) if url.has_host() => Ok(trimmed.to_owned()),
        _ => Err(FetchError::Impossible("the address of the API is not a URL".to_owned())),
    }
}

fn url(text: &str) -> Result<Url, FetchError> {
    // The text may hold a token, and is not shown.
    text.parse().map_err(|_| FetchError::Answer("an address is not a URL".to_owned()))
}

/// A checkpoint of ours; one that another version wrote, or nobody, is none.
fn checkpoint<T: DeserializeOwned>(value: Option<&Value>) -> Option<T> {
    serde_json::from_value(value?.clone()).ok()
}

fn saved(checkpoint: &impl Serialize) -> Value {
    serde_json::to_value(checkpoint).unwrap_or_default() // plain structs of numbers and texts
}

fn seconds(at: Timestamp) -> i64 {
    at.micros().div_euclid(1_000_000)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}

/// No feedback can be given to this kind of exchange.
fn untold(feedback: &[Feedback], api: Api) -> Vec<Result<(), FetchError>> {
    feedback.iter().map(|_| Err(FetchError::Impossible(format!("{api} takes no feedback")))).collect()
}

/// GET with headers; the body of a 2xx.
async fn get(client: &Client, url: Url, headers: &[(&'static str, &str)]) -> Result<bytes::Bytes, OutboundError> {
    let mut request = Request::get(url);
    for (name, value) in headers {
        request = request.header(name, value)?;
    }
    Ok(client.send(&request).await?.success()?.body)
}
