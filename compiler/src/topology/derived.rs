//! Ports whose MAC and addresses follow from one number: the MAC is `0a:58` and these 32 bits, the IPv4 address is these bits, and IPv6
//! addresses end in them. weft addresses its own ports so, and rows written by hand may too.
//!
//! Must not: take for derived what differs in anything; such a port has flows of its own for everything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use weft_expr::Mac;

use super::SwitchPort;

/// A port's addresses, all of which follow from one number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Derived {
    /// The number.
    pub(crate) key: u32,
    /// Its MAC.
    pub(crate) mac: Mac,
    /// Whether it has the IPv4 address.
    pub(crate) has_ipv4: bool,
    /// Its IPv6 addresses.
    pub(crate) ipv6: Vec<Ipv6Addr>,
}

impl SwitchPort {
    /// What its addresses follow from, if they do, and if it is held to just these addresses or to none.
    pub(crate) fn derived(&self) -> Option<Derived> {
        let [(mac, ips)] = self.addresses.as_slice() else {
            return None;
        };
        let key = said_address(*mac)?.to_bits();
        let follows = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => ip.to_bits() == key,
            IpAddr::V6(ip) => ip.to_bits() & u128::from(u32::MAX) == u128::from(key),
        };
        if self.takes_unknown || ips.is_empty() || !ips.iter().all(follows) {
            return None;
        }
        let is_held_to_all = match self.security.as_slice() {
            [] => true,
            [entry] => {
                let hosts = ips.iter().map(|ip| IpNet::from(*ip));
                entry.mac == *mac
                    && entry.broadcasts.is_empty()
                    && entry.networks.iter().copied().eq(hosts)
            }
            _ => false,
        };
        let ipv6 = ips.iter().filter_map(|ip| match ip {
            IpAddr::V6(ip) => Some(*ip),
            IpAddr::V4(_) => None,
        });
        is_held_to_all.then(|| Derived {
            key,
            mac: *mac,
            has_ipv4: ips.iter().any(IpAddr::is_ipv4),
            ipv6: ipv6.collect(),
        })
    }
}

/// The MAC that follows from an IPv4 address: `0a:58` and the address. None follows from an IPv6 address: its low 32 bits may be another's.
pub(super) fn derived_mac(address: IpAddr) -> Option<Mac> {
    let IpAddr::V4(address) = address else {
        return None;
    };
    let high = u64::from(DERIVED_MAC_HIGH) << 32;
    Some(Mac::from_bits(high | u64::from(address.to_bits())))
}

/// The address that a MAC follows from, if from any.
pub(super) fn said_address(mac: Mac) -> Option<Ipv4Addr> {
    let Mac([_, _, a, b, c, d]) = mac;
    let address = Ipv4Addr::new(a, b, c, d);
    (derived_mac(IpAddr::V4(address)) == Some(mac)).then_some(address)
}

/// The first two bytes of MACs that follow from addresses.
pub(crate) const DERIVED_MAC_HIGH: u16 = 0x0a58;
