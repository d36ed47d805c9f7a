//! `[server]` and `[auth]`: the front door.

use std::net::SocketAddr;

use super::{ConfigError, layers::Layers, millis, networks};
use crate::domain::network::Network;

/// How the server listens, and what one request may cost.
#[derive(Clone, Debug)]
pub struct Server {
    pub listen: SocketAddr,
    pub body_limit_bytes: usize,
    /// Attachments scored at the same time.
    pub permits: usize,
    pub deadline_ms: u64,
    pub body_read_timeout_ms: u64,
    pub shutdown_grace_ms: u64,
    /// From SIGTERM, when `/readyz` says that the server stops, to the closing of the port.
    pub drain_ms: u64,
    pub batch_max_parts: usize,
    /// Attachments of one batch scored at the same time.
    pub batch_concurrency: usize,
    pub batch_deadline_ms: u64,
    /// Connections at a time.
    pub max_connections: usize,
    /// Of those without a key, from one address.
    pub max_strangers_per_address: usize,
    /// Where one address may stand for many callers.
    pub trusted_proxies: Vec<Network>,
    pub head_timeout_ms: u64,
    pub idle_timeout_ms: u64,
    pub write_timeout_ms: u64,
    /// Bytes of bodies in memory; 0 = a quarter of what there is.
    pub body_memory_bytes: usize,
    /// Slowest that a body may arrive, in bytes per second.
    pub body_min_rate: u64,
}

/// Who may call.
#[derive(Clone, Copy, Debug)]
pub struct Auth {
    pub enabled: bool,
    /// Whether `/metrics` needs no key.
    pub metrics_open: bool,
}

impl Server {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        let server = Self {
            listen: layers.parsed("server.listen", "an IP address with a port, such as 127.0.0.1:8080")?,
            // At most 4 GiB: a body is held in memory.
            body_limit_bytes: layers.number("server.body_limit_bytes", 1..=(4 << 30))?,
            permits: layers.number("server.permits", 1..=65_536)?,
            deadline_ms: millis(layers, "server.deadline_ms", 1)?,
            body_read_timeout_ms: millis(layers, "server.body_read_timeout_ms", 1)?,
            shutdown_grace_ms: millis(layers, "server.shutdown_grace_ms", 0)?,
            drain_ms: millis(layers, "server.drain_ms", 0)?,
            batch_max_parts: layers.number("server.batch_max_parts", 1..=4096)?,
            batch_concurrency: layers.number("server.batch_concurrency", 1..=4096)?,
            batch_deadline_ms: millis(layers, "server.batch_deadline_ms", 1)?,
            max_connections: layers.number("server.max_connections", 16..=1_000_000)?,
            max_strangers_per_address: layers.number("server.max_strangers_per_address", 1..=1_000_000)?,
            trusted_proxies: networks(layers, "server.trusted_proxies")?,
            head_timeout_ms: millis(layers, "server.head_timeout_ms", 1)?,
            idle_timeout_ms: millis(layers, "server.idle_timeout_ms", 1)?,
            write_timeout_ms: millis(layers, "server.write_timeout_ms", 1)?,
            body_memory_bytes: layers.number("server.body_memory_bytes", 0..=i64::MAX)?,
            body_min_rate: layers.number("server.body_min_rate", 0..=1_000_000_000)?,
        };
        if server.body_memory_bytes != 0 && server.body_memory_bytes < server.body_limit_bytes {
            // The largest body that is allowed could never arrive.
            let allowed = format!("0, or server.body_limit_bytes ({}) at least", server.body_limit_bytes);
            return Err(layers.invalid("server.body_memory_bytes", allowed));
        }
        Ok(server)
    }
}

impl Auth {
    pub(super) fn read(layers: &Layers, server: &Server) -> Result<Self, ConfigError> {
        let auth = Self { enabled: layers.switch("auth.enabled")?, metrics_open: layers.switch("auth.metrics_open")? };
        if !auth.enabled && !server.listen.ip().is_loopback() {
            // A forgotten `enabled = false` must not open a review queue to a network.
            let allowed = format!("true, because server.listen = {} is not a loopback address", server.listen);
            return Err(layers.invalid("auth.enabled", allowed));
        }
        Ok(auth)
    }
}
