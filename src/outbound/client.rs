//! Requests and their answers.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, StatusCode,
    body::{Body, Incoming},
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use url::Url;

use super::{
    connect::Connector,
    error::OutboundError,
    policy::Policy,
    resolve::{Resolver, SystemResolver},
    retry::{self, Retry},
};
use crate::domain::time::Timestamp;

/// Redirects that are followed. Browsers follow 20; a list or a picture needs one or two.
const REDIRECTS: u32 = 5;

const USER_AGENT: &str = concat!("nightlight/", env!("CARGO_PKG_VERSION"));

/// What one attempt may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Resolving, connecting and the TLS handshake together.
    pub connect: Duration,
    /// From the first connection to the last byte, redirects included.
    pub total: Duration,
    /// Bytes of the body.
    pub max_bytes: usize,
}

/// What to ask. Made by [`get`](Self::get), [`put`](Self::put) and [`post`](Self::post).
#[derive(Clone)]
pub struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    idempotent: bool,
}

impl Request {
    fn new(method: Method, url: Url, body: Bytes, idempotent: bool) -> Self {
        Self { method, url, headers: HeaderMap::new(), body, idempotent }
    }

    /// Reads.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url, Bytes::new(), true)
    }

    /// Puts a whole resource; doing it twice is doing it once.
    pub fn put(url: Url, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::new(Method::PUT, url, body.into(), true).media_type(media_type)
    }

    /// Changes something; not repeated unless [`idempotent`](Self::idempotent) says so.
    pub fn post(url: Url, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::new(Method::POST, url, body.into(), false).media_type(media_type)
    }

    fn media_type(mut self, media_type: &'static str) -> Self {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        self
    }

    /// The receiver takes this request twice without harm, so it may be repeated.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Adds a header. It goes to this origin only, not to another one that the server redirects to.
    ///
    /// # Errors
    /// [`OutboundError::Malformed`] for a value that no header can have; the value is not shown.
    pub fn header(mut self, name: &'static str, value: &str) -> Result<Self, OutboundError> {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| OutboundError::Malformed { detail: format!("the value of {name} cannot be a header") })?;
        value.set_sensitive(true);
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Paths, queries and headers carry tokens.
        f.debug_struct("Request").field("method", &self.method).field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// What came back: any status that is no redirect.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// `Content-Type`, as sent.
    pub content_type: Option<String>,
    pub body: Bytes,
    retry_after: Option<Duration>,
    host: String,
}

impl Response {
    /// This answer, if its status is 2xx.
    ///
    /// # Errors
    /// [`OutboundError::Status`].
    pub fn success(self) -> Result<Self, OutboundError> {
        if (200..300).contains(&self.status) {
            Ok(self)
        } else {
            Err(OutboundError::Status { host: self.host, status: self.status, retry_after: self.retry_after })
        }
    }
}

/// Sends requests, each over a connection of its own to an address that was checked. Cloning is cheap.
#[derive(Clone)]
pub struct Client {
    connector: Arc<Connector>,
    limits: Limits,
    retry: Retry,
}

impl Client {
    /// With the system's resolver.
    pub fn new(policy: Policy, limits: Limits, retry: Retry) -> Self {
        Self::with_resolver(policy, limits, retry, Arc::new(SystemResolver))
    }

    /// With another resolver.
    pub fn with_resolver(policy: Policy, limits: Limits, retry: Retry, resolver: Arc<dyn Resolver>) -> Self {
        Self { connector: Arc::new(Connector::new(policy, resolver)), limits, retry }
    }

    /// The same under other limits.
    #[must_use]
    pub fn with_limits(&self, limits: Limits, retry: Retry) -> Self {
        Self { connector: Arc::clone(&self.connector), limits, retry }
    }

    /// The answer, whatever its status. An idempotent request is repeated after 408, 429, 5xx and broken connections, as [`Retry`] says; the last answer
    /// counts.
    ///
    /// # Errors
    /// See [`OutboundError`].
    pub async fn send(&self, request: &Request) -> Result<Response, OutboundError> {
        let mut attempt = 1;
        loop {
            let answer = self.attempt(request).await;
            let error = match &answer {
                Ok(response) => response.clone().success().err(),
                Err(error) => Some(error.clone()),
            };
            let pause = error.filter(|_| request.idempotent).and_then(|error| self.retry.pause(attempt, &error, retry::draw()));
            let Some(pause) = pause else { return answer };
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Response, OutboundError> {
        let limit = self.limits.total;
        let timed_out = || OutboundError::TimedOut { host: request.url.host_str().unwrap_or_default().to_owned(), limit };
        tokio::time::timeout(limit, self.follow(request)).await.unwrap_or_else(|_| Err(timed_out()))
    }

    /// Follows redirects; each is checked like the first URL, because each is a new connection.
    async fn follow(&self, request: &Request) -> Result<Response, OutboundError> {
        let (mut url, mut headers) = (request.url.clone(), request.headers.clone());
        for _ in 0..=REDIRECTS {
            let answer = self.exchange(&request.method, &url, headers.clone(), request.body.clone()).await?;
            let next = match answer {
                Answer::Final(response) => return Ok(response),
                Answer::Elsewhere(location) => next_url(&url, &location)?,
            };
            if request.method != Method::GET {
                let detail = format!("{} asks to repeat a change elsewhere; correct the address", url.host_str().unwrap_or_default());
                return Err(OutboundError::Redirected { detail });
            }
            if next.origin() != url.origin() {
                headers.clear();
            }
            url = next;
        }
        Err(OutboundError::Redirects { most: REDIRECTS })
    }

    async fn exchange(&self, method: &Method, url: &Url, headers: HeaderMap, body: Bytes) -> Result<Answer, OutboundError> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let limit = self.limits.connect;
        let stream = match tokio::time::timeout(limit, self.connector.connect(url)).await {
            Ok(stream) => stream?,
            Err(_) => return Err(OutboundError::TimedOut { host, limit }),
        };
        let broken = |error: hyper::Error| OutboundError::Broken { host: host.clone(), detail: error.to_string() };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends when the answer is read or the sender is dropped; what goes wrong arrives with the answer.
        let connection = tokio::spawn(connection);
        let _ends = AbortOnDrop(connection.abort_handle());
        let message = message(method, url, headers, body).map_err(|detail| OutboundError::Malformed { detail })?;
        let response = sender.send_request(message).await.map_err(broken)?;
        self.read(host, response).await
    }

    /// The body in pieces: what is too long is not read to its end.
    async fn read(&self, host: String, response: hyper::Response<Incoming>) -> Result<Answer, OutboundError> {
        let (head, mut incoming) = response.into_parts();
        let text = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let elsewhere = [
            StatusCode::MOVED_PERMANENTLY,
            StatusCode::FOUND,
            StatusCode::SEE_OTHER,
            StatusCode::TEMPORARY_REDIRECT,
            StatusCode::PERMANENT_REDIRECT,
        ];
        if elsewhere.contains(&head.status) {
            let location = text(header::LOCATION);
            let missing = || OutboundError::Redirected { detail: format!("{host} names no Location") };
            return location.map(Answer::Elsewhere).ok_or_else(missing);
        }
        let most = self.limits.max_bytes;
        let too_large = || OutboundError::TooLarge { host: host.clone(), most };
        if incoming.size_hint().lower() > most as u64 {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| OutboundError::Broken { host: host.clone(), detail: error.to_string() })?;
            let Ok(data) = frame.into_data() else { continue }; // trailers say nothing to us
            if data.len() > most - body.len() {
                return Err(too_large());
            }
            body.extend_from_slice(&data);
        }
        let retry_after = text(header::RETRY_AFTER).and_then(|value| retry::retry_after(&value, Timestamp::now()));
        let content_type = text(header::CONTENT_TYPE);
        Ok(Answer::Final(Response { status: head.status.as_u16(), content_type, body: body.freeze(), retry_after, host }))
    }
}

enum Answer {
    Final(Response),
    /// The text of `Location`.
    Elsewhere(String),
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn message(method: &Method, url: &Url, headers: HeaderMap, body: Bytes) -> Result<hyper::Request<Full<Bytes>>, String> {
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut message = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, USER_AGENT)
        // One request, one connection.
        .header(header::CONNECTION, "close")
        .body(Full::new(body))
        .map_err(|_| "the path or host cannot be sent".to_owned())?;
    for (name, value) in &headers {
        message.headers_mut().insert(name, value.clone());
    }
    Ok(message)
}

fn next_url(url: &Url, location: &str) -> Result<Url, OutboundError> {
    let refused = |detail: &str| OutboundError::Redirected { detail: detail.to_owned() };
    let next = url.join(location).map_err(|_| refused("its Location is not a URL"))?;
    if url.scheme() == "https" && next.scheme() == "http" { Err(refused("from https to http")) } else { Ok(next) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_within_tls_and_may_be_relative() {
        let from: Url = "https://a.example/list/1?x=1".parse().unwrap();
        let to = |location: &str| next_url(&from, location).map(String::from);
        assert_eq!(to("2").unwrap(), "https://a.example/list/2");
        assert_eq!(to("//b.example/2").unwrap(), "https://b.example/2");
        assert!(matches!(to("http://a.example/2"), Err(OutboundError::Redirected { detail }) if detail == "from https to http"));
        assert!(matches!(to("http://[::"), Err(OutboundError::Redirected { .. })));
        let plain = "http://a.example/".parse().unwrap();
        assert_eq!(next_url(&plain, "https://a.example/2").unwrap().scheme(), "https");
    }
}
