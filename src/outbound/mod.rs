//! Requests that this server sends: to hash exchanges, and for attachments that a caller names by URL.
//!
//! Whoever may choose a URL may choose one inside the network that the server stands in, whose neighbours trust it: a metadata service, a database's
//! console, this server itself. So every request passes a guard ([`Policy`]): http and https only, on the ports that are allowed, to addresses of the
//! public Internet only. A name is resolved once, *all* its addresses are checked, and the connection goes to one of those: what the name's owner
//! answers the next time does not matter. Literal addresses are checked in every notation that a URL knows, and so are the IPv6 forms that carry an
//! IPv4 address. Redirects are followed here (at most five), each as a new request that is checked like the first; headers of the caller stay at their origin,
//! and https is never left for http. An operator opens what he needs: `outbound.allow_networks`, `allow_hosts`, `ports`.
//!
//! Every request has limits: time to connect, time in all, and bytes, counted while they arrive. Requests that may be repeated are, with pauses that
//! grow and are drawn at random, and as late as `Retry-After` says. No error and no log line holds a path, a query or a header.
//!
//! ```
//! use std::time::Duration;
//! use nightlight::outbound::{Client, Limits, OutboundError, Policy, Request, Retry};
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let limits = Limits { connect: Duration::from_secs(5), total: Duration::from_secs(30), max_bytes: 1 << 20 };
//! let client = Client::new(Policy::default(), limits, Retry::STANDARD);
//! let answer = client.send(&Request::get("http://169.254.169.254/latest/meta-data/".parse().unwrap())).await;
//! assert!(matches!(answer, Err(OutboundError::Refused { .. })));
//! # });
//! ```

mod client;
mod connect;
mod error;
mod media;
mod network;
mod policy;
mod resolve;
mod retry;

pub use url::Url;

pub use self::{
    client::{Client, Limits, Request, Response},
    error::OutboundError,
    media::{Media, MediaFetcher},
    network::refusal,
    policy::Policy,
    resolve::{Resolver, SystemResolver},
    retry::Retry,
};
