//! What an interface has to be configured with, derived from its port's `addresses` and the networks of its switch's router ports.
//!
//! northd says it outright in `external_ids`; this is for ports written by hand.
//!
//! Invariant: IPv4 before IPv6, each in the order found. An address in no router's network is a host of its own (/32, /128).
//!
//! Must not: fail; what cannot be read is left out, the compiler complains about it.

use std::net::IpAddr;

use weft_schema::nb::LogicalSwitchPort;

/// MAC, addresses and gateways of a port, as text for `external_ids`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addressing {
    /// The MAC address, if the port has one.
    pub mac: Option<String>,
    /// `ADDRESS/LENGTH…`, separated by spaces, IPv4 first.
    pub addresses: String,
    /// Gateways, separated by spaces, IPv4 first.
    pub gateways: String,
}

/// The addressing of `port`; `networks` are the `ADDRESS/LENGTH` of the router ports on its switch.
pub(super) fn derive(
    port: &LogicalSwitchPort,
    networks: impl FnOnce() -> Vec<String>,
) -> Addressing {
    let entries = port
        .addresses
        .iter()
        .map(String::as_str)
        .chain(port.dynamic_addresses.as_deref());
    let mut words = Vec::new();
    for entry in entries {
        let mut entry = entry.split_whitespace();
        // "unknown", "router" and "dynamic" name no MAC.
        if let Some(mac) = entry.next().filter(|word| is_mac(word)) {
            words = std::iter::once(mac).chain(entry).collect();
            break;
        }
    }
    let Some((mac, addresses)) = words.split_first() else {
        return Addressing::default();
    };
    let networks: Vec<(IpAddr, u8)> = networks().iter().filter_map(|text| network(text)).collect();
    let mut parsed: Vec<IpAddr> = addresses
        .iter()
        .filter_map(|word| word.parse().ok())
        .collect();
    parsed.sort_by_key(IpAddr::is_ipv6);
    let mut addressing = Addressing {
        mac: Some((*mac).to_owned()),
        ..Addressing::default()
    };
    let mut gateways: Vec<String> = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    for address in parsed {
        let within = networks
            .iter()
            .filter(|(gateway, length)| in_network(address, *gateway, *length));
        match within.max_by_key(|(_, length)| *length) {
            Some((gateway, length)) => {
                lines.push(format!("{address}/{length}"));
                let gateway = gateway.to_string();
                if !gateways.contains(&gateway) {
                    gateways.push(gateway);
                }
            }
            None => lines.push(format!(
                "{address}/{}",
                if address.is_ipv4() { 32 } else { 128 }
            )),
        }
    }
    addressing.addresses = lines.join(" ");
    addressing.gateways = gateways.join(" ");
    addressing
}

fn is_mac(word: &str) -> bool {
    let mut octets = 0;
    let good = word.split(':').all(|octet| {
        octets += 1;
        octet.len() == 2 && octet.bytes().all(|digit| digit.is_ascii_hexdigit())
    });
    good && octets == 6
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
}

fn in_network(address: IpAddr, gateway: IpAddr, length: u8) -> bool {
    let shift = |width: u32| width.saturating_sub(u32::from(length));
    match (address, gateway) {
        (IpAddr::V4(address), IpAddr::V4(gateway)) => {
            let different = u32::from(address) ^ u32::from(gateway);
            different.checked_shr(shift(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(gateway)) => {
            let different = u128::from(address) ^ u128::from(gateway);
            different.checked_shr(shift(128)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_gets_the_longest_network_that_holds_its_address_and_that_ports_address_as_gateway()
     {
        let networks = [
            "10.0.0.1/8",
            "10.1.0.1/16",
            "fd00::1/64",
            "bad",
            "10.0.0.1/99",
        ];
        for (addresses, expected) in [
            (
                vec!["0a:58:0a:01:00:05 fd00::5 10.1.0.5"],
                "0a:58:0a:01:00:05|10.1.0.5/16 fd00::5/64|10.1.0.1 fd00::1",
            ),
            (
                vec!["0a:58:0a:01:00:05 192.0.2.1 10.2.0.5"],
                "0a:58:0a:01:00:05|192.0.2.1/32 10.2.0.5/8|10.0.0.1",
            ),
            (vec!["unknown", "0a:58:0a:01:00:05"], "0a:58:0a:01:00:05||"),
            (vec!["unknown"], "none||"),
            (vec![], "none||"),
            (
                vec!["0a:58:0a:01:00:05 not-an-address"],
                "0a:58:0a:01:00:05||",
            ),
        ] {
            let port = LogicalSwitchPort {
                addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
                ..LogicalSwitchPort::default()
            };
            let Addressing {
                mac,
                addresses,
                gateways,
            } = derive(&port, || networks.map(str::to_owned).into());
            assert_eq!(
                format!(
                    "{}|{addresses}|{gateways}",
                    mac.as_deref().unwrap_or("none")
                ),
                expected
            );
        }
    }
}
