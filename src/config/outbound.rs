//! `[outbound]`: where requests of this server may go, and how long they may take.

use std::time::Duration;

use super::{ConfigError, layers::Layers, millis, networks};
use crate::outbound::Policy;

/// Settings of requests that this server sends.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// Whether attachments may be named by URL.
    pub url_fetch: bool,
    pub policy: Policy,
    pub connect_timeout: Duration,
    /// For one answer as a whole.
    pub timeout: Duration,
}

impl Outbound {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        const HOSTS: &str = "a list of host names in lower case, without scheme and port";
        const PORTS: &str = "a list of ports, each from 1 to 65535";
        let allow_networks = networks(layers, "outbound.allow_networks")?;
        let allow_hosts: Vec<String> = layers.raw("outbound.allow_hosts", HOSTS)?;
        let sound = |host: &String| {
            // RFC 1035, section 2.3.4: a name has at most 255 bytes.
            (1..=255).contains(&host.len()) && host.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_'))
        };
        if !allow_hosts.iter().all(sound) {
            return Err(layers.invalid("outbound.allow_hosts", HOSTS));
        }
        let ports: Vec<u16> = layers.raw("outbound.ports", PORTS)?;
        if ports.is_empty() || ports.contains(&0) {
            return Err(layers.invalid("outbound.ports", PORTS));
        }
        Ok(Self {
            url_fetch: layers.switch("outbound.url_fetch")?,
            policy: Policy { allow_networks, allow_hosts, ports },
            connect_timeout: Duration::from_millis(millis(layers, "outbound.connect_timeout_ms", 1)?),
            timeout: Duration::from_millis(millis(layers, "outbound.timeout_ms", 1)?),
        })
    }
}
