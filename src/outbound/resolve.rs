//! Names to addresses.

use std::{io, net::IpAddr};

use futures_util::future::BoxFuture;

/// Finds the addresses of a name. Asked once per connection; the connection goes to an address of that answer, so nobody can answer differently
/// between check and use (DNS rebinding).
pub trait Resolver: Send + Sync {
    /// All addresses of `host`; an error or an empty list when it has none.
    fn lookup<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The operating system's resolver.
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn lookup<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect()) })
    }
}
