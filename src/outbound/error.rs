//! Why a request has no answer. No text holds a path, a query or a header: they may carry secrets.

use std::time::Duration;

/// Every error of the room; each text says what to do, or whose turn it is.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum OutboundError {
    /// `outbound.url_fetch` is off.
    #[error("fetching URLs is turned off; send the file itself, or set outbound.url_fetch = true")]
    FetchOff,
    /// Not a URL.
    #[error("not a URL: {detail}")]
    Malformed { detail: String },
    /// The guard says no. An operator may allow hosts, networks and ports in `[outbound]`.
    #[error("this URL is not fetched: {reason}")]
    Refused { reason: String },
    /// The name has no address.
    #[error("the name {host} cannot be resolved: {detail}")]
    Unresolved { host: String, detail: String },
    /// Nobody answers there.
    #[error("{host} cannot be reached: {detail}")]
    Unreachable { host: String, detail: String },
    /// The certificate or the handshake is wrong.
    #[error("no secure connection to {host}: {detail}")]
    Tls { host: String, detail: String },
    /// Too slow.
    #[error("{host} did not answer within {} s", limit.as_secs_f64())]
    TimedOut { host: String, limit: Duration },
    /// The connection broke, or what came is not HTTP.
    #[error("the answer of {host} broke off: {detail}")]
    Broken { host: String, detail: String },
    /// The body is larger than allowed; it was not read further.
    #[error("the answer of {host} is larger than {most} bytes")]
    TooLarge { host: String, most: usize },
    /// A loop, or a long way round.
    #[error("more than {most} redirects")]
    Redirects { most: u32 },
    /// A redirect that is not followed: from https to http, of a request that changes something, or without a sound Location.
    #[error("a redirect that is not followed: {detail}")]
    Redirected { detail: String },
    /// An answer that is no success.
    #[error("{host} answered {status}")]
    Status { host: String, status: u16, retry_after: Option<Duration> },
}

impl OutboundError {
    /// Whether the same request may succeed later without anybody changing something.
    pub const fn is_transient(&self) -> bool {
        match self {
            // 429 Too Many Requests; 408 Request Timeout.
            Self::Status { status, .. } => *status == 429 || *status == 408 || *status >= 500,
            Self::Unresolved { .. } | Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Broken { .. } => true,
            _ => false,
        }
    }
}
