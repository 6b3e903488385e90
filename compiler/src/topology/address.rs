//! The texts of `addresses` and `port_security` (ovn-nb(5), `Logical_Switch_Port`).
//!
//! Must not: panic on any text; know which row it came from.
#![deny(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use weft_expr::Mac;

/// What an element of `addresses` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Address {
    /// A MAC and the addresses behind it.
    Known(Mac, Vec<IpAddr>),
    /// Any MAC that no other port has.
    Unknown,
    /// Those of the router port at the other end.
    Router,
    /// Those that were handed out: `dynamic_addresses` has them.
    Dynamic,
}

/// One element of `port_security`: what may be sent from a MAC.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Security {
    pub(crate) mac: Mac,
    /// Empty: any.
    pub(crate) networks: Vec<IpNet>,
    /// Where packets to the port may go besides: the broadcast addresses of networks given with a host part.
    pub(crate) broadcasts: Vec<IpAddr>,
}

/// Reads an element of `addresses`.
pub(crate) fn parse(text: &str) -> Result<Address, String> {
    let mut words = text.split_whitespace();
    match words.next() {
        None => Err(r#"an empty address; write "MAC [IP]…" or "unknown""#.to_owned()),
        Some("unknown") => Ok(Address::Unknown),
        Some("router") => Ok(Address::Router),
        Some("dynamic") => Ok(Address::Dynamic),
        Some(mac) => {
            let mac = parse_mac(mac)?;
            let mut addresses = Vec::new();
            for word in words {
                if word == "dynamic" {
                    return Ok(Address::Dynamic);
                }
                let address: IpAddr = word
                    .parse()
                    .map_err(|_| format!("{word:?} in {text:?} is no IP address"))?;
                if address.is_multicast() || address.is_unspecified() {
                    return Err(format!("{address} is no address that a port can have"));
                }
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            Ok(Address::Known(mac, addresses))
        }
    }
}

/// Reads an element of `port_security`.
pub(crate) fn parse_security(text: &str) -> Result<Security, String> {
    let mut words = text.split_whitespace();
    let mac = words.next().ok_or(r#"an empty entry; write "MAC [IP]…""#)?;
    let mut security = Security {
        mac: parse_mac(mac)?,
        networks: Vec::new(),
        broadcasts: Vec::new(),
    };
    for word in words {
        let (network, broadcast) = parse_network(word)
            .ok_or_else(|| format!("{word:?} in {text:?} is no IP address or network"))?;
        security.networks.push(network);
        security.broadcasts.extend(broadcast);
    }
    security.networks.sort();
    security.networks.dedup();
    Ok(security)
}

/// `ADDRESS`, `NETWORK/LEN` (all of it), or `ADDRESS/LEN` (that address, and the network's broadcast address).
fn parse_network(word: &str) -> Option<(IpNet, Option<IpAddr>)> {
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some((IpNet::from(address), None));
    }
    let network: IpNet = word.parse().ok()?;
    if network.trunc() == network {
        return Some((network, None));
    }
    let broadcast = match network {
        IpNet::V4(network) if network.prefix_len() < 31 => Some(IpAddr::V4(network.broadcast())),
        _ => None,
    };
    Some((IpNet::from(network.addr()), broadcast))
}

/// Reads a MAC that a port can have.
pub(crate) fn parse_mac(text: &str) -> Result<Mac, String> {
    let mac: Mac = text.parse().map_err(|error| format!("{error}"))?;
    match mac.is_multicast() || mac == Mac::default() {
        true => Err(format!("{mac} is no MAC that a port can have")),
        false => Ok(mac),
    }
}

/// The link-local address made of a MAC (RFC 4291, appendix A).
pub(crate) fn link_local(mac: Mac) -> Ipv6Addr {
    let Mac([a, b, c, d, e, f]) = mac;
    let interface = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from_bits((0xfe80 << 112) | u128::from(interface))
}

/// The network that `address/length` is in, if the text is one.
pub(crate) fn parse_interface(text: &str) -> Option<IpNet> {
    let network: IpNet = text.parse().ok()?;
    let address = network.addr();
    let is_bad = address.is_multicast() || address.is_unspecified() || address.is_loopback();
    (!is_bad).then_some(network)
}

/// Reads a prefix; a bare address is one host.
pub(crate) fn parse_prefix(text: &str) -> Option<IpNet> {
    let host = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let network = text.parse::<IpNet>().ok().or_else(host)?;
    Some(match network {
        IpNet::V4(network) => IpNet::V4(Ipv4Net::trunc(&network)),
        IpNet::V6(network) => IpNet::V6(Ipv6Net::trunc(&network)),
    })
}
