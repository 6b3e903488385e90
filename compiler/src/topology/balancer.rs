//! Load balancers: what their rows say, and which switches have them.
//!
//! ```text
//!   switch ─▶ set (what it lists, load balancers and groups) ─▶ groups ─▶ load balancers ─▶ virtual addresses, claimed in the set
//! ```
//!
//! Switches that list the same have one *set*, whose flows are made once, however many switches there are: a packet carries the set's number.
//! A set is named by what is listed, not by what that holds, so that a group with one load balancer more leaves every switch as it is.
//!
//! Must not: let a row with a bad part harm its good parts.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use uuid::Uuid;
use weft_expr::{Backend, HashField};
use weft_schema::nb;
use weft_schema::service::Placement;

use crate::diagnostic::Diagnostic;
use crate::engine::{Emission, Key, Member, Reader, Value};

/// A load balancer, read.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Balancer {
    pub(crate) name: Arc<str>,
    /// The sets it is in, sorted.
    pub(crate) sets: Vec<Uuid>,
    /// Sorted by virtual address, each once.
    pub(crate) addresses: Vec<VirtualAddress>,
    /// By family: what takes the place of a source that is the destination too.
    pub(crate) hairpin: Vec<IpAddr>,
    /// What is hashed; empty is addresses, protocol and ports.
    pub(crate) fields: Vec<HashField>,
    /// Whether who asks for an address without endpoints is told so at once.
    pub(crate) rejects: bool,
    /// Which endpoints a node uses.
    pub(crate) placement: Placement,
}

/// A virtual address and what is behind it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct VirtualAddress {
    pub(crate) vip: Vip,
    /// Sorted, each once, all of the family of the virtual address.
    pub(crate) endpoints: Arc<[Backend]>,
}

/// What of a packet says that it goes to a load balancer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Vip {
    pub(crate) address: IpAddr,
    /// None: all there is at the address that has no load balancer of its own.
    pub(crate) port: Option<(Protocol, u16)>,
}

impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some((protocol, port)) => {
                let address = SocketAddr::new(self.address, port);
                write!(f, "{address}/{}", protocol.name())
            }
            None => fmt::Display::fmt(&self.address, f),
        }
    }
}

/// A protocol with ports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// As the column says it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }

    /// Of several that say the same, `tcp` is what OVN takes an absent one for.
    fn of(row: &nb::LoadBalancer) -> Protocol {
        match row.protocol.as_deref() {
            Some("udp") => Protocol::Udp,
            Some("sctp") => Protocol::Sctp,
            _ => Protocol::Tcp,
        }
    }
}

/// The groups of buckets of a virtual address: one, or if there are many endpoints, one that chooses among others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BalancerGroups {
    balancer: Uuid,
    vip: Vip,
    variant: Variant,
}

/// Which endpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Variant {
    /// All, or those that a node without a list of its own uses.
    All,
    /// Those of a list.
    Near,
}

impl BalancerGroups {
    /// Most buckets of a group: dumps of larger ones do not fit into a message, and Open vSwitch answers wrongly then.
    pub(crate) const BUCKETS: usize = 256;
    /// Half of that: endpoints are told apart by a hash, and so unevenly.
    const BUCKETS_MEAN: usize = 128;

    pub(crate) const fn new(balancer: Uuid, vip: Vip, variant: Variant) -> BalancerGroups {
        BalancerGroups {
            balancer,
            vip,
            variant,
        }
    }

    /// How many groups the first one chooses among; none if it has the endpoints itself. A power of two that seldom changes.
    pub(crate) fn parts(endpoints: usize) -> usize {
        match endpoints {
            ..=Self::BUCKETS => 0,
            _ => endpoints
                .div_ceil(Self::BUCKETS_MEAN)
                .next_power_of_two()
                .min(Self::BUCKETS),
        }
    }

    /// What the group's number is derived from. Group 0 is the one that flows name.
    pub(crate) fn identity(&self, number: usize) -> Uuid {
        let (vip, variant) = (&self.vip, self.variant);
        let text = format!("{vip} {variant:?} {number}");
        Uuid::new_v5(&self.balancer, text.as_bytes())
    }

    fn identities(&self, endpoints: usize) -> impl Iterator<Item = Uuid> + '_ {
        (0..=Self::parts(endpoints)).map(|number| self.identity(number))
    }
}

/// The set of what a switch lists; `None` if it lists no load balancers.
pub(crate) fn set_of_row(row: &nb::LogicalSwitch) -> Option<Uuid> {
    let (balancers, groups) = (&row.load_balancer, &row.load_balancer_group);
    if balancers.is_empty() && groups.is_empty() {
        return None;
    }
    let mut bytes = Vec::new();
    for list in [balancers, groups] {
        let mut list = list.clone();
        list.sort_unstable();
        list.dedup();
        bytes.extend(u32::try_from(list.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(list.iter().flat_map(Uuid::as_bytes));
    }
    Some(Uuid::new_v5(&Uuid::NAMESPACE_OID, &bytes))
}

/// A set is there, and has a number.
pub(super) fn set(reader: &mut Reader<'_>, set: Uuid) -> Value {
    reader.emit(Emission::SetNumber(set));
    Value::Flag
}

/// The set of a switch.
pub(super) fn set_of(reader: &mut Reader<'_>, switch: Uuid) -> Value {
    let row = reader.read(Key::SwitchRow(switch)).switch_row();
    row.and_then(|row| set_of_row(row))
        .map_or(Value::Absent, Value::Row)
}

/// Puts the nodes of a switch among those of its set.
pub(super) fn nodes(reader: &mut Reader<'_>, switch: Uuid) -> Value {
    let Some(set) = reader.read(Key::SetOf(switch)).row().copied() else {
        return Value::Absent;
    };
    for node in reader.members(Key::NodesOfSwitch(switch)) {
        reader.emit(Emission::Member(Key::NodesOfSet(set), node));
    }
    Value::Flag
}

/// Reads a row, and claims its virtual addresses in the sets it is in.
pub(super) fn parse(reader: &mut Reader<'_>, balancer: Uuid) -> Value {
    let Some(row) = reader
        .read(Key::BalancerRow(balancer))
        .balancer_row()
        .cloned()
    else {
        return Value::Absent;
    };
    let mut sets = reader.rows(Key::SetsOf(balancer));
    for group in reader.rows(Key::GroupsOf(balancer)) {
        sets.extend(reader.rows(Key::SetsOfGroup(group)));
    }
    sets.sort_unstable();
    sets.dedup();
    let (placement, bad) = Placement::of(&row.options);
    for key in bad {
        let message = format!("{key} is no list of addresses separated by spaces; it is ignored");
        reader.diagnose(diagnostic(&row, "options", message));
    }
    let parsed = Balancer {
        name: Arc::from(row.name.as_str()),
        sets,
        addresses: addresses(reader, &row),
        hairpin: hairpin(reader, &row),
        fields: fields(&row),
        rejects: row
            .options
            .get("reject")
            .is_some_and(|value| value == "true"),
        placement,
    };
    for VirtualAddress { vip, endpoints } in &parsed.addresses {
        for set in &parsed.sets {
            let member = Member::Claim(0, balancer);
            reader.emit(Emission::Member(Key::VipClaims(*set, *vip), member));
        }
        let mut variants = vec![Variant::All];
        if !parsed.placement.is_everywhere() {
            variants.push(Variant::Near);
        }
        for variant in variants {
            let groups = BalancerGroups::new(balancer, *vip, variant);
            let identities = groups.identities(endpoints.len());
            identities.for_each(|identity| reader.emit(Emission::GroupNumber(identity)));
        }
    }
    for address in &parsed.hairpin {
        for set in &parsed.sets {
            let member = Member::Address(*address);
            reader.emit(Emission::Member(Key::HairpinsOf(*set), member));
        }
    }
    Value::Balancer(Arc::new(parsed))
}

/// A message about a load balancer.
pub(crate) fn diagnostic(
    row: &nb::LoadBalancer,
    column: &'static str,
    message: String,
) -> Diagnostic {
    Diagnostic {
        table: "Load_Balancer",
        uuid: row.uuid,
        name: row.name.clone(),
        column,
        message,
    }
}

fn addresses(reader: &mut Reader<'_>, row: &nb::LoadBalancer) -> Vec<VirtualAddress> {
    let protocol = Protocol::of(row);
    let mut all: BTreeMap<Vip, Arc<[Backend]>> = BTreeMap::new();
    for (key, value) in &row.vips {
        let vip = match read_vip(key, protocol) {
            Ok(vip) => vip,
            Err(problem) => {
                let message = format!("virtual address {key:?}: {problem}; it is left out");
                reader.diagnose(diagnostic(row, "vips", message));
                continue;
            }
        };
        let mut problems = Vec::new();
        let endpoints = endpoints(value, vip, &mut problems);
        for problem in problems {
            let message = format!("virtual address {key:?}: {problem}");
            reader.diagnose(diagnostic(row, "vips", message));
        }
        if all.contains_key(&vip) {
            let message = format!(
                "virtual address {key:?} is here twice, written in two ways; the first one counts"
            );
            reader.diagnose(diagnostic(row, "vips", message));
            continue;
        }
        all.insert(vip, endpoints);
    }
    let address = |(vip, endpoints)| VirtualAddress { vip, endpoints };
    all.into_iter().map(address).collect()
}

/// `10.0.0.1:80`, `[fd00::1]:80`, or an address alone.
fn read_vip(text: &str, protocol: Protocol) -> Result<Vip, String> {
    let Backend { address, port } = read(text)?;
    let is_possible = !address.is_unspecified() && !address.is_multicast();
    match port {
        _ if !is_possible => Err(format!("{address} cannot be the address of a service")),
        Some(0) => Err("port 0 cannot be served; give one from 1 to 65535".to_owned()),
        port => Ok(Vip {
            address,
            port: port.map(|port| (protocol, port)),
        }),
    }
}

fn read(text: &str) -> Result<Backend, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let backend = |address, port| Backend { address, port };
    text.parse()
        .map(|address: SocketAddr| backend(address.ip(), Some(address.port())))
        .or_else(|_| {
            let address: Result<IpAddr, _> = bare.unwrap_or(text).parse();
            address.map(|address| backend(address, None))
        })
        .map_err(|_| {
            "an address is written 10.0.0.1, 10.0.0.1:80, fd00::1 or [fd00::1]:80".to_owned()
        })
}

/// The endpoints in a list separated by commas. Ones that do not fit are left out.
fn endpoints(text: &str, vip: Vip, problems: &mut Vec<String>) -> Arc<[Backend]> {
    let mut all = Vec::new();
    let texts = text.split(',').map(str::trim);
    for text in texts.filter(|text| !text.is_empty()) {
        let endpoint = read(text).and_then(|endpoint| fitting(endpoint, vip));
        match endpoint {
            Ok(endpoint) => all.push(endpoint),
            Err(problem) => problems.push(format!("endpoint {text:?}: {problem}; it is left out")),
        }
    }
    all.sort_unstable();
    let count = all.len();
    all.dedup();
    if all.len() < count {
        problems.push("an endpoint is listed twice; it counts once".to_owned());
    }
    if all.len() > ENDPOINTS_MAX {
        problems.push(format!(
            "{} endpoints are more than the {ENDPOINTS_MAX} that are served; the rest is left out",
            all.len()
        ));
        all.truncate(ENDPOINTS_MAX);
    }
    all.into()
}

fn fitting(endpoint: Backend, vip: Vip) -> Result<Backend, String> {
    let families = [endpoint.address, vip.address].map(|address| address.is_ipv4());
    match (endpoint.port, vip.port) {
        _ if families[0] != families[1] => {
            Err("one of the two addresses is IPv4, the other IPv6".to_owned())
        }
        _ if endpoint.address.is_unspecified() || endpoint.address.is_multicast() => {
            Err("nothing can be there".to_owned())
        }
        (Some(0), _) => Err("port 0 cannot be served; give one from 1 to 65535".to_owned()),
        (None, Some(_)) => Err("it has no port, and the virtual address has one".to_owned()),
        (Some(_), None) => Err("it has a port, and the virtual address has none".to_owned()),
        _ => Ok(endpoint),
    }
}

fn hairpin(reader: &mut Reader<'_>, row: &nb::LoadBalancer) -> Vec<IpAddr> {
    let Some(text) = row.options.get("hairpin_snat_ip") else {
        return Vec::new();
    };
    let mut all: Vec<IpAddr> = Vec::new();
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        let is_known = |address: IpAddr| {
            let mut same = all
                .iter()
                .filter(|known| known.is_ipv4() == address.is_ipv4());
            same.next().is_some()
        };
        match word.parse() {
            Ok(address) if !is_known(address) => all.push(address),
            _ => {
                let message = format!(
                    "hairpin_snat_ip {text:?}: {word:?} is no address, or a second one of its family; it is ignored"
                );
                reader.diagnose(diagnostic(row, "options", message));
            }
        }
    }
    all.sort_unstable();
    all
}

fn fields(row: &nb::LoadBalancer) -> Vec<HashField> {
    let (source, destination) = match Protocol::of(row) {
        Protocol::Tcp => (HashField::TcpSrc, HashField::TcpDst),
        Protocol::Udp => (HashField::UdpSrc, HashField::UdpDst),
        Protocol::Sctp => (HashField::SctpSrc, HashField::SctpDst),
    };
    let field = |name: &String| match name.as_str() {
        "eth_src" => Some(HashField::EthSrc),
        "eth_dst" => Some(HashField::EthDst),
        "ip_src" => Some(HashField::IpSrc),
        "ip_dst" => Some(HashField::IpDst),
        "tp_src" => Some(source),
        "tp_dst" => Some(destination),
        _ => None,
    };
    row.selection_fields.iter().filter_map(field).collect()
}

/// Two full levels of groups, half filled so that a hash can tell them apart.
const ENDPOINTS_MAX: usize = BalancerGroups::BUCKETS * BalancerGroups::BUCKETS_MEAN;

#[cfg(test)]
mod tests;
