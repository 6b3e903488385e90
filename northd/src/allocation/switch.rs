//! What one logical switch has to hand out, and what of it is taken.
//!
//! Must not: know ports.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;
use uuid::Uuid;
use weft_schema::nb::LogicalSwitch;

use super::{Request, usable};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Pool {
    name: String,
    subnet: Option<Ipv4Net>,
    prefix: Option<Ipv6Addr>,
    mac_only: bool,
    /// `exclude_ips`: first and last.
    excluded: Vec<(Ipv4Addr, Ipv4Addr)>,
    addresses: BTreeSet<IpAddr>,
    macs: BTreeSet<String>,
}

impl Pool {
    /// What `other_config` says. What cannot be read is left out.
    pub(super) fn new(switch: &LogicalSwitch, complaints: &mut BTreeSet<String>) -> Pool {
        let mut pool = Pool {
            name: switch.name.clone(),
            ..Pool::default()
        };
        let mut complain = |key: &str, text: &str, wanted: &str| {
            complaints.insert(format!(
                "Logical_Switch {:?} other_config:{key}: {text:?} is no {wanted}",
                switch.name
            ));
        };
        let config = |key: &str| switch.other_config.get(key).map(String::as_str);
        if let Some(text) = config("subnet") {
            match text.parse::<Ipv4Net>() {
                Ok(subnet) => pool.subnet = Some(subnet.trunc()),
                Err(_) => complain("subnet", text, "IPv4 subnet, such as 10.0.0.0/24"),
            }
        }
        if let Some(text) = config("ipv6_prefix") {
            match text.split('/').next().unwrap_or_default().parse() {
                Ok(prefix) => pool.prefix = Some(prefix),
                Err(_) => complain("ipv6_prefix", text, "IPv6 prefix, such as fd00:1::"),
            }
        }
        pool.mac_only = config("mac_only") == Some("true");
        for word in config("exclude_ips").unwrap_or_default().split_whitespace() {
            let (first, last) = word.split_once("..").unwrap_or((word, word));
            match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) => pool.excluded.push((first, last)),
                _ => complain(
                    "exclude_ips",
                    word,
                    "address, or range such as 10.0.0.2..10.0.0.9",
                ),
            }
        }
        pool
    }

    /// Takes every address and MAC in a text.
    pub(super) fn take_all(&mut self, text: &str) {
        for word in text.split_whitespace() {
            match word.parse() {
                Ok(address) => drop(self.addresses.insert(address)),
                Err(_) => drop(self.macs.insert(word.to_ascii_lowercase())),
            }
        }
    }

    /// Takes what a port has already, if it is what it asks for, and nobody else's.
    pub(super) fn keep(&mut self, request: &Request, had: Option<&str>) -> bool {
        let words: Vec<&str> = had.into_iter().flat_map(str::split_whitespace).collect();
        let Some((mac, addresses)) = words.split_first() else {
            return false;
        };
        let mut parsed = Vec::new();
        for word in addresses {
            match word.parse::<IpAddr>() {
                Ok(address) => parsed.push(address),
                Err(_) => return false,
            }
        }
        let ipv4 = parsed.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        });
        let ipv6 = parsed.iter().find_map(|address| match address {
            IpAddr::V6(address) => Some(*address),
            IpAddr::V4(_) => None,
        });
        let ipv4_fits = match request.ipv4 {
            Some(wanted) => ipv4 == Some(wanted),
            None => {
                ipv4.is_some() == self.gives_ipv4()
                    && ipv4.is_none_or(|address| self.may_give(address))
            }
        };
        let ipv6_fits = ipv6 == request.ipv6.or(self.derived(mac));
        let mac_fits = request.mac.as_deref().is_none_or(|wanted| wanted == *mac);
        let is_free = !self.macs.contains(&mac.to_ascii_lowercase())
            && parsed
                .iter()
                .all(|address| !self.addresses.contains(address));
        if !(ipv4_fits && ipv6_fits && mac_fits && is_free) {
            return false;
        }
        self.macs.insert(mac.to_ascii_lowercase());
        self.addresses.extend(parsed);
        true
    }

    /// Something new for a port: `MAC [IPv4] [IPv6]`, or nothing where the switch has nothing to give.
    pub(super) fn hand_out(
        &mut self,
        request: &Request,
        port: Uuid,
    ) -> Result<Option<String>, String> {
        let has_nothing = !self.gives_ipv4() && self.prefix.is_none() && !self.mac_only;
        if has_nothing && request.ipv4.is_none() && request.ipv6.is_none() {
            return Ok(None);
        }
        let ipv4 = match (request.ipv4, self.subnet) {
            (Some(address), _) => Some(address),
            (None, Some(subnet)) if !self.mac_only => {
                let mut free = usable(subnet).filter(|address| self.may_give(*address));
                let free = free.find(|address| !self.addresses.contains(&IpAddr::V4(*address)));
                Some(free.ok_or_else(|| {
                    format!("switch {:?} has no address of {subnet} left", self.name)
                })?)
            }
            _ => None,
        };
        let mac = match &request.mac {
            Some(mac) => mac.clone(),
            None => self.free_mac(ipv4, port),
        };
        let ipv6 = request.ipv6.or(self.derived(&mac));
        let addresses: Vec<IpAddr> = ipv4
            .map(IpAddr::V4)
            .into_iter()
            .chain(ipv6.map(IpAddr::V6))
            .collect();
        for address in &addresses {
            if !self.addresses.insert(*address) {
                return Err(format!(
                    "{address} is another port's on switch {:?}",
                    self.name
                ));
            }
        }
        self.macs.insert(mac.to_ascii_lowercase());
        let texts = addresses.iter().map(IpAddr::to_string);
        let words: Vec<String> = std::iter::once(mac).chain(texts).collect();
        Ok(Some(words.join(" ")))
    }

    fn gives_ipv4(&self) -> bool {
        self.subnet.is_some() && !self.mac_only
    }

    /// Whether an address is one that may be handed out, to whomever.
    fn may_give(&self, address: Ipv4Addr) -> bool {
        let Some(subnet) = self.subnet else {
            return false;
        };
        let is_excluded =
            |(first, last): &(Ipv4Addr, Ipv4Addr)| (*first..=*last).contains(&address);
        let first = subnet.hosts().next();
        subnet.contains(&address)
            && address != subnet.network()
            && address != subnet.broadcast()
            && first != Some(address)
            && !self.excluded.iter().any(is_excluded)
    }

    /// The IPv6 address that follows from a MAC (RFC 4291, appendix A).
    fn derived(&self, mac: &str) -> Option<Ipv6Addr> {
        let prefix = self.prefix.filter(|_| !self.mac_only)?;
        let bytes: Vec<u8> = mac
            .split(':')
            .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
            .collect();
        let [a, b, c, d, e, f] = bytes.as_slice() else {
            return None;
        };
        let low = u64::from_be_bytes([a ^ 2, *b, *c, 0xff, 0xfe, *d, *e, *f]);
        let high = prefix.to_bits() >> 64 << 64;
        Some(Ipv6Addr::from_bits(high | u128::from(low)))
    }

    /// A MAC that says the address; where there is none, or somebody has it, one that follows from the port.
    fn free_mac(&self, ipv4: Option<Ipv4Addr>, port: Uuid) -> String {
        let text = |bytes: [u8; 6]| {
            let bytes = bytes.map(|byte| format!("{byte:02x}"));
            bytes.join(":")
        };
        let said = ipv4.map(|address| {
            let [a, b, c, d] = address.octets();
            text([0x0a, 0x58, a, b, c, d])
        });
        let drawn = (0u32..).map(|salt| {
            let drawn = Uuid::new_v5(&port, &salt.to_be_bytes());
            let [a, b, c, d, e, ..] = *drawn.as_bytes();
            text([0x0e, a, b, c, d, e])
        });
        let mut candidates = said.into_iter().chain(drawn);
        let free = candidates.find(|mac| !self.macs.contains(mac));
        free.unwrap_or_default()
    }
}
