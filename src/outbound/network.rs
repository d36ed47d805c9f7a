//! Networks, and which addresses no request of ours may go to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::domain::network::within;

/// IPv4 networks that are not the public Internet (IANA, IPv4 Special-Purpose Address Registry; RFC 6890) and one that is, and that answers every
/// virtual machine of its cloud with its secrets.
const REFUSED_V4: [(Ipv4Addr, u8, &str); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared by a carrier's customers"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "the host of an Azure machine"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relays"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved, broadcast"),
];

const fn v6(segments: [u16; 8]) -> u128 {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Addr::new(a, b, c, d, e, f, g, h).to_bits()
}

/// IPv6 networks by name, for the reason; what none of them holds must be global unicast (IANA, IPv6 Special-Purpose Address Registry).
const REFUSED_V6: [(u128, u8, &str); 10] = [
    (v6([0; 8]), 96, "unspecified, loopback or IPv4-compatible"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0]), 48, "local NAT64"),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0]), 64, "discarded"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0]), 23, "protocol assignments, Teredo among them"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0]), 32, "documentation"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0]), 20, "documentation"),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0]), 7, "unique local"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0]), 10, "link-local"),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0]), 10, "site-local"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0]), 8, "multicast"),
];

/// NAT64's well-known prefix (RFC 6052): the last 32 bits are an IPv4 address.
const NAT64: u128 = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0]);
/// 6to4 (RFC 3056): bits 16 to 47 are an IPv4 address.
const SIX_TO_FOUR: u128 = v6([0x2002, 0, 0, 0, 0, 0, 0, 0]);
/// All global unicast that is given out so far (RFC 4291, section 2.4, and IANA's registry of IPv6 global unicast space).
const GLOBAL: u128 = v6([0x2000, 0, 0, 0, 0, 0, 0, 0]);

/// Why no request may go to this address; `None` when it is a place on the public Internet. IPv6 forms that carry an IPv4 address are judged by it.
pub fn refusal(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            let embedded = |shift: u32| refusal_v4(Ipv4Addr::from_bits((bits >> shift) as u32)); // truncation takes the 32 bits that are meant
            if let Some((_, _, reason)) = REFUSED_V6.iter().find(|(network, prefix, _)| within(*network, bits, *prefix, 128)) {
                Some(reason)
            } else if within(NAT64, bits, 96, 128) {
                embedded(0)
            } else if within(SIX_TO_FOUR, bits, 16, 128) {
                embedded(80)
            } else if within(GLOBAL, bits, 3, 128) {
                None
            } else {
                Some("not global unicast")
            }
        }
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = u128::from(address.to_bits());
    let found = REFUSED_V4.iter().find(|(network, prefix, _)| within(network.to_bits().into(), bits, *prefix, 32));
    found.map(|(_, _, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> Option<&'static str> {
        refusal(text.parse().unwrap_or_else(|error| panic!("{text}: {error}")))
    }

    /// First and last address of every range, and their neighbours outside of it.
    #[test]
    fn every_range_ends_where_it_should() {
        let ranges = [
            ("0.0.0.0", "0.255.255.255", "this network"),
            ("10.0.0.0", "10.255.255.255", "private"),
            ("100.64.0.0", "100.127.255.255", "shared"),
            ("127.0.0.0", "127.255.255.255", "loopback"),
            ("168.63.129.16", "168.63.129.16", "Azure"),
            ("169.254.0.0", "169.254.255.255", "link-local"),
            ("172.16.0.0", "172.31.255.255", "private"),
            ("192.0.0.0", "192.0.0.255", "protocol"),
            ("192.0.2.0", "192.0.2.255", "documentation"),
            ("192.88.99.0", "192.88.99.255", "6to4"),
            ("192.168.0.0", "192.168.255.255", "private"),
            ("198.18.0.0", "198.19.255.255", "benchmarks"),
            ("198.51.100.0", "198.51.100.255", "documentation"),
            ("203.0.113.0", "203.0.113.255", "documentation"),
            ("224.0.0.0", "239.255.255.255", "multicast"),
            ("240.0.0.0", "255.255.255.255", "reserved"),
        ];
        for (first, last, expected) in ranges {
            for address in [first, last] {
                assert!(reason(address).is_some_and(|reason| reason.contains(expected)), "{address}: {:?}", reason(address));
            }
            let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap();
            let (first, last) = (ip(first), ip(last));
            let inside = |address: Ipv4Addr| ranges.iter().any(|(a, b, _)| (ip(a)..=ip(b)).contains(&address));
            for neighbour in [first.to_bits().checked_sub(1), last.to_bits().checked_add(1)].into_iter().flatten().map(Ipv4Addr::from_bits)
            {
                assert_eq!(refusal(neighbour.into()).is_some(), inside(neighbour), "{neighbour}");
            }
        }
    }

    #[test]
    fn ipv6_and_what_carries_ipv4() {
        let refused = [
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::127.0.0.1", "compatible"),
            ("::8.8.8.8", "compatible"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:169.254.169.254", "link-local"),
            ("::ffff:0:127.0.0.1", "not global"),
            ("64:ff9b::127.0.0.1", "loopback"),
            ("64:ff9b::10.0.0.1", "private"),
            ("64:ff9b:1::8.8.8.8", "local NAT64"),
            ("64:ff9b:1:ffff::1", "local NAT64"),
            ("100::1", "discarded"),
            ("2001::1", "Teredo"),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
            ("2001:2::1", "protocol"),
            ("2001:1ff:ffff::1", "protocol"),
            ("2001:db8::1", "documentation"),
            ("2002:7f00:1::1", "loopback"),
            ("2002:c0a8:101::1", "private"),
            ("2002:a9fe:a9fe::", "link-local"),
            ("3fff::1", "documentation"),
            ("fc00::1", "unique local"),
            ("fd00:ec2::254", "unique local"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fec0::1", "site-local"),
            ("feff::1", "site-local"),
            ("ff02::1", "multicast"),
            ("4000::1", "not global"),
            ("5f00::1", "not global"),
            ("1fff::1", "not global"),
        ];
        for (address, expected) in refused {
            assert!(reason(address).is_some_and(|reason| reason.contains(expected)), "{address}: {:?}", reason(address));
        }
        let allowed =
            ["8.8.8.8", "2606:4700::1111", "2001:200::1", "2001:4860:4860::8888", "2002:808:808::1", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8"];
        for address in allowed {
            assert_eq!(reason(address), None, "{address}");
        }
    }
}
