//! From an index to addresses, gateways, networks and a MAC address, and back.
//!
//! Must not: allocate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

/// Which addresses an index stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addressing {
    /// Whether the index is an IPv4 address.
    pub ipv4: bool,
    /// The network whose low 32 bits the index is; its own low 32 bits are ignored.
    pub ipv6: Option<Ipv6Net>,
}

impl Addressing {
    /// The addresses of an index, IPv4 first.
    pub fn addresses(self, index: u32) -> impl Iterator<Item = IpAddr> {
        let ipv4 = self.ipv4.then(|| IpAddr::V4(Ipv4Addr::from_bits(index)));
        let ipv6 = self.ipv6.map(|network| IpAddr::V6(ipv6(network, index)));
        ipv4.into_iter().chain(ipv6)
    }

    /// The addresses of an index with the length of a prefix of `length` bits of the index:
    /// `length` for IPv4, 96 more for IPv6.
    pub fn prefixed(self, index: u32, length: u8) -> impl Iterator<Item = String> {
        self.addresses(index).map(move |address| match address {
            IpAddr::V4(address) => format!("{address}/{length}"),
            IpAddr::V6(address) => format!("{address}/{}", length.saturating_add(96)),
        })
    }

    /// The index that an address stands for here; `None` if the address has another family or
    /// another IPv6 network.
    #[must_use]
    pub fn index(self, address: IpAddr) -> Option<u32> {
        match address {
            IpAddr::V4(address) => self.ipv4.then(|| address.to_bits()),
            IpAddr::V6(address) => {
                let index = low_bits(address);
                (ipv6(self.ipv6?, index) == address).then_some(index)
            }
        }
    }

    /// The addressing of these networks: at most one of each family.
    #[must_use]
    pub fn of(networks: &[IpNet]) -> Self {
        Self {
            ipv4: networks
                .iter()
                .any(|network| matches!(network, IpNet::V4(_))),
            ipv6: networks.iter().find_map(|network| match network {
                IpNet::V6(network) => Some(*network),
                IpNet::V4(_) => None,
            }),
        }
    }
}

/// The MAC address of an index: `0a:58` and its 32 bits.
#[must_use]
pub fn mac(index: u32) -> String {
    let [a, b, c, d] = index.to_be_bytes();
    format!("0a:58:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

fn ipv6(network: Ipv6Net, index: u32) -> Ipv6Addr {
    let high = network.network().to_bits() & !u128::from(u32::MAX);
    Ipv6Addr::from_bits(high | u128::from(index))
}

fn low_bits(address: Ipv6Addr) -> u32 {
    let [.., a, b, c, d] = address.octets();
    u32::from_be_bytes([a, b, c, d])
}
