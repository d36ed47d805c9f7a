//! What may be asked: the guard against requests that others make us send (SSRF).

use std::net::IpAddr;

use url::{Host, Url};

use super::{error::OutboundError, network::refusal};
use crate::domain::network::Network;

/// Where requests may go. The default is the public Internet on the ports of HTTP and HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Networks that may be reached although they are not public.
    pub allow_networks: Vec<Network>,
    /// Host names, in lower case, that may resolve to any address.
    pub allow_hosts: Vec<String>,
    /// Ports that may be asked.
    pub ports: Vec<u16>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { allow_networks: Vec::new(), allow_hosts: Vec::new(), ports: vec![80, 443] }
    }
}

/// A place to connect to, still to be resolved when it is a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Name(String, u16),
    Address(IpAddr, u16),
}

impl Policy {
    /// What a URL points at, if its scheme, its port and, when it has one, its literal address are allowed.
    ///
    /// # Errors
    /// [`OutboundError::Refused`].
    pub(super) fn check_url(&self, url: &Url) -> Result<Target, OutboundError> {
        let refused = |reason: String| Err(OutboundError::Refused { reason });
        if !matches!(url.scheme(), "http" | "https") {
            return refused(format!("the scheme {} is not http or https", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refused("a URL with a user name or password; give credentials apart from it".to_owned());
        }
        let port = url.port_or_known_default().unwrap_or_default(); // http and https have one
        if !self.ports.contains(&port) {
            return refused(format!("port {port} is not in outbound.ports"));
        }
        match url.host() {
            None => refused("a URL without a host".to_owned()),
            Some(Host::Domain(name)) => Ok(Target::Name(name.to_owned(), port)),
            Some(Host::Ipv4(address)) => self.check_address(address.into(), None).map(|()| Target::Address(address.into(), port)),
            Some(Host::Ipv6(address)) => self.check_address(address.into(), None).map(|()| Target::Address(address.into(), port)),
        }
    }

    /// Whether a connection to this address, found for `name`, may be opened.
    ///
    /// # Errors
    /// [`OutboundError::Refused`].
    pub(super) fn check_address(&self, address: IpAddr, name: Option<&str>) -> Result<(), OutboundError> {
        let named = name.is_some_and(|name| self.allow_hosts.iter().any(|host| host.eq_ignore_ascii_case(name.trim_end_matches('.'))));
        if named || self.allow_networks.iter().any(|network| network.contains(address)) {
            return Ok(());
        }
        match refusal(address) {
            None => Ok(()),
            // The address of a name is not told: whoever chose the name could map the network behind us.
            Some(reason) => Err(OutboundError::Refused { reason: format!("the address is not on the public Internet ({reason})") }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(policy: &Policy, url: &str) -> String {
        policy.check_url(&url.parse().unwrap()).map(|target| format!("{target:?}")).unwrap_err().to_string()
    }

    #[test]
    fn urls_in_every_disguise() {
        let policy = Policy::default();
        let disguises = [
            "http://127.0.0.1/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://169.254.169.254/latest/meta-data/",
            "http://0/",
            "http://１２７.０.０.１/",
        ];
        for url in disguises {
            assert!(refused(&policy, url).contains("not on the public Internet"), "{url}");
        }
        assert!(refused(&policy, "ftp://example.org/").contains("scheme ftp"));
        assert!(refused(&policy, "file:///etc/passwd").contains("scheme file"));
        assert!(refused(&policy, "http://user:pw@example.org/").contains("user name"));
        assert!(refused(&policy, "http://example.org:22/").contains("port 22"));
        assert_eq!(policy.check_url(&"https://Example.org/x".parse().unwrap()), Ok(Target::Name("example.org".into(), 443)));
        assert_eq!(policy.check_url(&"http://8.8.8.8/".parse().unwrap()), Ok(Target::Address([8, 8, 8, 8].into(), 80)));
    }

    #[test]
    fn an_operator_can_allow_networks_hosts_and_ports() {
        let policy = Policy {
            allow_networks: vec!["10.1.0.0/16".parse().unwrap()],
            allow_hosts: vec!["hma.internal".into()],
            ports: vec![443, 8080],
        };
        assert!(policy.check_url(&"http://10.1.2.3:8080/".parse().unwrap()).is_ok());
        assert!(refused(&policy, "http://10.2.2.3:8080/").contains("private"));
        assert!(refused(&policy, "http://10.1.2.3/").contains("port 80"));
        let private: IpAddr = [192, 168, 1, 1].into();
        assert!(
            policy.check_address(private, Some("hma.internal")).is_ok() && policy.check_address(private, Some("HMA.internal.")).is_ok()
        );
        assert!(policy.check_address(private, Some("other.internal")).is_err() && policy.check_address(private, None).is_err());
    }
}
