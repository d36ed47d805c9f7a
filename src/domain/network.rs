//! Networks of addresses, as operators name them.

use std::{fmt, net::IpAddr, str::FromStr};

/// A network in CIDR notation, such as `10.0.0.0/8` or `fd00::/8`; a bare address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The text is not a network.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a network such as 10.0.0.0/8, fd00::/8 or 192.0.2.7; bits behind the prefix must be zero")]
pub struct ParseNetworkError(String);

impl Network {
    /// Whether `address` lies in it. An IPv4 network holds the IPv4-mapped form of its addresses too.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => within(network.to_bits().into(), address.to_bits().into(), self.prefix, 32),
            (IpAddr::V6(network), IpAddr::V6(address)) => within(network.to_bits(), address.to_bits(), self.prefix, 128),
            _ => false,
        }
    }
}

/// Whether two addresses of `width` bits have the same first `prefix` bits.
pub(crate) fn within(network: u128, address: u128, prefix: u8, width: u8) -> bool {
    prefix == 0 || (network ^ address) >> (width - prefix) == 0
}

impl FromStr for Network {
    type Err = ParseNetworkError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseNetworkError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| refused())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let (bits, width) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let prefix = prefix.unwrap_or(width);
        let rest = if prefix == 0 { bits } else { bits & !(u128::MAX << (width.saturating_sub(prefix))) };
        if prefix > width || rest != 0 { Err(refused()) } else { Ok(Self { address, prefix }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_their_prefix_says() {
        let holds = |network: &str, address: &str| network.parse::<Network>().unwrap().contains(address.parse().unwrap());
        assert!(holds("127.0.0.0/8", "127.9.9.9") && holds("127.0.0.0/8", "::ffff:127.0.0.1") && !holds("127.0.0.0/8", "128.0.0.0"));
        assert!(holds("0.0.0.0/0", "255.1.1.1") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("fd00::/8", "fdff::1") && !holds("fd00::/8", "fe00::1") && holds("::/0", "fe00::1"));
        assert!(holds("10.1.2.3", "10.1.2.3") && !holds("10.1.2.3", "10.1.2.2"));
        for wrong in ["", "10.0.0.0/33", "10.0.0.1/8", "::1/64", "ten/8", "10.0.0.0/-1", "::/129", "1.1.1.1/0"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
