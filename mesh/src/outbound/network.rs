//! Which addresses belong to the internet, by the registries of special addresses (IANA, RFC 6890), and what the others are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of the fourth version that are not of the internet.
const FOURTH: &[(&str, Ipv4Addr, u32)] = &[
    ("this network", Ipv4Addr::new(0, 0, 0, 0), 8),
    ("private", Ipv4Addr::new(10, 0, 0, 0), 8),
    ("shared by a carrier", Ipv4Addr::new(100, 64, 0, 0), 10),
    ("loopback", Ipv4Addr::new(127, 0, 0, 0), 8),
    ("link-local", Ipv4Addr::new(169, 254, 0, 0), 16),
    ("private", Ipv4Addr::new(172, 16, 0, 0), 12),
    ("protocol assignments", Ipv4Addr::new(192, 0, 0, 0), 24),
    ("documentation", Ipv4Addr::new(192, 0, 2, 0), 24),
    ("6to4 relays", Ipv4Addr::new(192, 88, 99, 0), 24),
    ("private", Ipv4Addr::new(192, 168, 0, 0), 16),
    ("benchmarks", Ipv4Addr::new(198, 18, 0, 0), 15),
    ("documentation", Ipv4Addr::new(198, 51, 100, 0), 24),
    ("documentation", Ipv4Addr::new(203, 0, 113, 0), 24),
    ("multicast", Ipv4Addr::new(224, 0, 0, 0), 4),
    ("reserved", Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Where clouds answer questions about a machine at an address of the internet.
const METADATA: [Ipv4Addr; 2] = [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(100, 100, 100, 200)];

/// What an address is when it is not of the internet.
pub fn class(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => fourth(address),
        IpAddr::V6(address) => sixth(address),
    }
}

fn fourth(address: Ipv4Addr) -> Option<&'static str> {
    if METADATA.contains(&address) {
        return Some("metadata of a cloud");
    }
    let within =
        |(_, network, bits): &&(&str, Ipv4Addr, u32)| (address.to_bits() ^ network.to_bits()) >> (32 - bits) == 0;
    FOURTH.iter().find(within).map(|(class, ..)| *class)
}

/// Addresses that carry one of the fourth version are what that is, and are refused in any case where it is reached through a
/// translator: whose networks that one is in, nobody knows here.
fn sixth(address: Ipv6Addr) -> Option<&'static str> {
    let parts = address.segments();
    if let Some(mapped) = address.to_ipv4_mapped() {
        return fourth(mapped);
    }
    match parts {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        [0, 0, 0, 0, 0, 0, ..] => Some("carries another address"),
        [0x64, 0xff9b, ..] => Some("a translator's"),
        [0x2001, 0, ..] => Some("Teredo"),
        [0x2001, second, ..] if second < 0x200 => Some("protocol assignments"),
        [0x2001, 0xdb8, ..] => Some("documentation"),
        [0x2002, ..] => Some("6to4"),
        [0x3fff, second, ..] if second < 0x1000 => Some("documentation"),
        [first, ..] if first & 0xe000 == 0x2000 => None,
        [first, ..] if first & 0xfe00 == 0xfc00 => Some("private"),
        [first, ..] if first & 0xffc0 == 0xfe80 => Some("link-local"),
        [first, ..] if first & 0xffc0 == 0xfec0 => Some("private"),
        [first, ..] if first & 0xff00 == 0xff00 => Some("multicast"),
        _ => Some("reserved"),
    }
}
