//! Switch ports: what their rows say, and what is left of it beside the other rows of the switch.
//!
//! Two steps. Parsing looks at the row alone and claims the MACs and addresses it finds; judging keeps those whose claim is the lowest,
//! so that of two ports with one address exactly one has it, the same whichever came first.
//!
//! Must not: look at bindings.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;
use weft_expr::Mac;
use weft_schema::{keys, nb};

use super::address::{self, Address, Security};
use super::{router_port, row};
use crate::diagnostic::Diagnostic;
use crate::engine::{Emission, Key, Member, Reader, Value};

/// A row that is a port of a switch, read.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct ParsedPort {
    pub(crate) name: Arc<str>,
    pub(crate) switch: Uuid,
    pub(crate) kind: PortKind,
    pub(crate) nest: Option<Nest>,
    pub(crate) localnet: Option<Localnet>,
    pub(crate) addresses: Vec<(Mac, Vec<IpAddr>)>,
    pub(crate) takes_unknown: bool,
    pub(crate) security: Vec<Security>,
}

/// Where a nested port is: on another port's interface, in a VLAN of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Nest {
    /// The other port's name.
    pub(crate) parent: Arc<str>,
    /// 1 to 4095.
    pub(crate) tag: u16,
}

/// How a localnet port's frames travel on its physical network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Localnet {
    /// In this VLAN, 1 to 4095; `None`: without a tag.
    pub(crate) vlan: Option<u16>,
    /// Ethernet type of the tag.
    pub(crate) ethertype: u16,
}

/// What a switch port is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PortKind {
    /// An interface on some node.
    Interface,
    /// The switch's side of a router port.
    Router,
    /// A physical network, on every node that has it.
    Localnet,
}

/// A port of a switch: an interface or a physical network, with the addresses that are its own.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct SwitchPort {
    pub(crate) name: Arc<str>,
    pub(crate) switch: Uuid,
    pub(crate) nest: Option<Nest>,
    pub(crate) localnet: Option<Localnet>,
    pub(crate) addresses: Vec<(Mac, Vec<IpAddr>)>,
    pub(crate) takes_unknown: bool,
    /// Empty: nothing is checked.
    pub(crate) security: Vec<Security>,
}

impl SwitchPort {
    /// Every IP address it has.
    pub(crate) fn ips(&self) -> impl Iterator<Item = (Mac, IpAddr)> + '_ {
        self.addresses
            .iter()
            .flat_map(|(mac, ips)| ips.iter().map(move |ip| (*mac, *ip)))
    }

    /// Whether it can send from any IP address.
    pub(crate) fn is_unguarded(&self) -> bool {
        self.security.is_empty() || self.security.iter().any(|entry| entry.networks.is_empty())
    }
}

/// A message about a switch port.
pub(crate) fn diagnostic(
    row: &nb::LogicalSwitchPort,
    column: &'static str,
    message: String,
) -> Diagnostic {
    Diagnostic {
        table: "Logical_Switch_Port",
        uuid: row.uuid,
        name: row.name.clone(),
        column,
        message,
    }
}

/// Reads a row, and claims what it has.
pub(super) fn parse(reader: &mut Reader<'_>, port: Uuid) -> Value {
    let Some(row) = reader
        .read(Key::SwitchPortRow(port))
        .switch_port_row()
        .cloned()
    else {
        return Value::Absent;
    };
    let Some(switch) = reader.first_row(Key::SwitchesOf(port)) else {
        return Value::Absent;
    };
    let name: Arc<str> = Arc::from(row.name.as_str());
    if reader.first_row(Key::SwitchPortsNamed(Arc::clone(&name))) != Some(port) {
        let message =
            format!("another port is named {name:?} too; rename one, this one is left out");
        reader.diagnose(diagnostic(&row, "name", message));
        return Value::Absent;
    }
    let what = format!("port {name:?}");
    row::listed_twice(reader, Key::SwitchesOf(port), "ports", &what);
    if row.enabled == Some(false) {
        return Value::Absent;
    }
    let Some(kind) = kind(reader, &row) else {
        return Value::Absent;
    };
    let localnet = match kind {
        PortKind::Localnet => localnet(reader, &row),
        PortKind::Interface | PortKind::Router => None,
    };
    if kind == PortKind::Localnet && localnet.is_none() {
        return Value::Absent;
    }
    let nest = match nest(&row) {
        Ok(nest) => nest,
        Err(message) => {
            reader.diagnose(diagnostic(&row, "tag", message));
            return Value::Absent;
        }
    };
    if let Some(nest) = &nest {
        let claims = Key::TagClaims(Arc::clone(&nest.parent), nest.tag);
        reader.emit(claim(claims, port));
    }
    let mut parsed = ParsedPort {
        name,
        switch,
        kind,
        nest,
        localnet,
        addresses: Vec::new(),
        takes_unknown: false,
        security: Vec::new(),
    };
    if kind != PortKind::Router {
        read_addresses(reader, &row, &mut parsed);
        read_security(reader, &row, &mut parsed);
        for (mac, ips) in &parsed.addresses {
            reader.emit(claim(Key::MacClaims(switch, *mac), port));
            for ip in ips {
                reader.emit(claim(Key::AddressClaims(switch, *ip), port));
            }
        }
    }
    Value::ParsedPort(Arc::new(parsed))
}

fn claim(key: Key, port: Uuid) -> Emission {
    Emission::Member(key, Member::Claim(1, port))
}

fn kind(reader: &mut Reader<'_>, row: &nb::LogicalSwitchPort) -> Option<PortKind> {
    match row.kind.as_str() {
        "" => Some(PortKind::Interface),
        "router" => {
            check_peer(reader, row);
            Some(PortKind::Router)
        }
        "localnet" => Some(PortKind::Localnet),
        // Said once for all ports of the type: see `unserved_type`.
        _ => None,
    }
}

/// Whether ports of a type are left out.
pub(super) fn is_unserved(kind: &str) -> bool {
    !["", "router", "localnet"].contains(&kind)
}

/// One warning for all ports of a type that is not served. It names none of them, so that it stays the same while they come and go.
pub(super) fn unserved_type(reader: &mut Reader<'_>, kind: &Arc<str>) -> Value {
    let why = match TYPES_TO_COME.contains(&&**kind) {
        true => "is not served yet",
        false => "is none that there is",
    };
    reader.diagnose(Diagnostic {
        table: "Logical_Switch_Port",
        uuid: Uuid::nil(),
        name: String::new(),
        column: "type",
        message: format!(
            "type {kind:?} {why}; ports of it are left out (ovn-nbctl find Logical_Switch_Port type={kind} lists them)"
        ),
    });
    Value::Absent
}

/// What `options` and `tag` of a localnet port say. As with nested ports a tag that was asked for is as good as one in use.
fn localnet(reader: &mut Reader<'_>, row: &nb::LogicalSwitchPort) -> Option<Localnet> {
    if row
        .options
        .get(keys::NETWORK_NAME)
        .is_none_or(String::is_empty)
    {
        let message = format!(
            "options:{} is missing; it names the physical network, as in external_ids:{} of the nodes; the port is left out",
            keys::NETWORK_NAME,
            keys::OVN_BRIDGE_MAPPINGS
        );
        reader.diagnose(diagnostic(row, "options", message));
        return None;
    }
    let tag = row.tag.or(row.tag_request).filter(|tag| *tag != 0);
    let vlan = tag.map(u16::try_from).transpose().ok();
    let Some(vlan) = vlan.filter(|vlan| vlan.is_none_or(|vlan| vlan <= 4095)) else {
        let message = "the tag is none from 1 to 4095; the port is left out".to_owned();
        reader.diagnose(diagnostic(row, "tag", message));
        return None;
    };
    let ethertype = match row.options.get(ETHERTYPE).map(String::as_str) {
        None | Some("802.11q") => 0x8100,
        Some("802.11ad") => 0x88a8,
        Some(other) => {
            let message = format!(
                "options:{ETHERTYPE} {other:?} is neither 802.11q nor 802.11ad; taking 802.11q"
            );
            reader.diagnose(diagnostic(row, "options", message));
            0x8100
        }
    };
    Some(Localnet { vlan, ethertype })
}

/// What `parent_name` and `tag` say. A tag that was asked for and not 0 is as good as one in use: nothing else could be chosen.
fn nest(row: &nb::LogicalSwitchPort) -> Result<Option<Nest>, String> {
    let parent = row.parent_name.as_deref().filter(|name| !name.is_empty());
    let Some(parent) = parent.filter(|_| row.kind.is_empty()) else {
        return Ok(None);
    };
    let tag = row.tag.or(row.tag_request.filter(|tag| *tag != 0));
    let tag = tag
        .and_then(|tag| u16::try_from(tag).ok())
        .filter(|tag| (1..=4095).contains(tag))
        .ok_or_else(|| {
            format!(
                "the port is nested in {parent:?} and has no tag from 1 to 4095; it is left out"
            )
        })?;
    let parent = Arc::from(parent);
    Ok(Some(Nest { parent, tag }))
}

/// Says so if a port of type `router` leads to no router, or to one that another port is joined to.
fn check_peer(reader: &mut Reader<'_>, row: &nb::LogicalSwitchPort) {
    let peer = row.options.get(keys::ROUTER_PORT);
    let message = match peer {
        None => {
            "options:router-port is missing; it names the router port to be joined to".to_owned()
        }
        Some(peer) => {
            let peer: Arc<str> = Arc::from(peer.as_str());
            let first = router_port::switch_sides(reader, &peer).into_iter().next();
            match first {
                _ if reader.is_empty(Key::RouterPortsNamed(Arc::clone(&peer))) => format!(
                    "there is no router port {peer:?} (options:router-port); the port leads nowhere"
                ),
                Some((_, port, name)) if port != row.uuid => format!(
                    "router port {peer:?} (options:router-port) is joined to port {name:?} already; this port leads \
                     nowhere"
                ),
                _ => return,
            }
        }
    };
    reader.diagnose(diagnostic(row, "options", message));
}

fn read_addresses(reader: &mut Reader<'_>, row: &nb::LogicalSwitchPort, parsed: &mut ParsedPort) {
    for text in &row.addresses {
        match address::parse(text) {
            Ok(Address::Known(mac, ips)) => add(&mut parsed.addresses, mac, ips),
            Ok(Address::Unknown) => parsed.takes_unknown = true,
            Ok(Address::Dynamic) => {
                let handed_out = row.dynamic_addresses.as_deref().map(address::parse);
                if let Some(Ok(Address::Known(mac, ips))) = handed_out {
                    add(&mut parsed.addresses, mac, ips);
                }
            }
            Ok(Address::Router) => {
                let message = r#""router" is for ports of type "router""#.to_owned();
                reader.diagnose(diagnostic(row, "addresses", message));
            }
            Err(message) => reader.diagnose(diagnostic(row, "addresses", message)),
        }
    }
    for (_, ips) in &mut parsed.addresses {
        ips.sort();
        ips.dedup();
    }
    parsed.addresses.sort();
}

fn add(addresses: &mut Vec<(Mac, Vec<IpAddr>)>, mac: Mac, ips: Vec<IpAddr>) {
    match addresses.iter_mut().find(|(known, _)| *known == mac) {
        Some((_, known)) => known.extend(ips),
        None => addresses.push((mac, ips)),
    }
}

fn read_security(reader: &mut Reader<'_>, row: &nb::LogicalSwitchPort, parsed: &mut ParsedPort) {
    for text in &row.port_security {
        match address::parse_security(text) {
            Ok(security) => parsed.security.push(security),
            Err(message) => reader.diagnose(diagnostic(row, "port_security", message)),
        }
    }
    parsed.security.sort();
    if parsed.security.is_empty() && !row.port_security.is_empty() {
        // Nothing of it could be read. No entry would mean "anything goes"; this one lets nothing through.
        parsed.security.push(Security {
            mac: Mac::default(),
            networks: Vec::new(),
            broadcasts: Vec::new(),
        });
    }
}

/// Keeps what is the port's own.
pub(super) fn judge(reader: &mut Reader<'_>, port: Uuid) -> Value {
    let Some(parsed) = reader.read(Key::ParsedPort(port)).parsed_port().cloned() else {
        return Value::Absent;
    };
    if parsed.kind == PortKind::Router {
        return Value::Absent;
    }
    if let Some(nest) = &parsed.nest
        && let claims = Key::TagClaims(Arc::clone(&nest.parent), nest.tag)
        && !holds(
            reader,
            claims,
            port,
            "tag",
            &format!("tag {} of {:?}", nest.tag, nest.parent),
        )
    {
        return Value::Absent;
    }
    let mut addresses = Vec::new();
    for (mac, ips) in &parsed.addresses {
        if !holds(
            reader,
            Key::MacClaims(parsed.switch, *mac),
            port,
            "addresses",
            &mac.to_string(),
        ) {
            continue;
        }
        let mut kept = Vec::new();
        for ip in ips {
            if holds(
                reader,
                Key::AddressClaims(parsed.switch, *ip),
                port,
                "addresses",
                &ip.to_string(),
            ) {
                kept.push(*ip);
            }
        }
        addresses.push((*mac, kept));
    }
    if parsed.takes_unknown {
        let member = Member::Obstacle("unknown addresses");
        reader.emit(Emission::Member(Key::Obstacles(parsed.switch), member));
    }
    if parsed.localnet.is_some() {
        let member = Member::Obstacle("a physical network");
        reader.emit(Emission::Member(Key::Obstacles(parsed.switch), member));
        let localnets = Key::LocalnetsOf(parsed.switch);
        reader.emit(Emission::Member(localnets, Member::Row(port)));
    }
    Value::SwitchPort(Arc::new(SwitchPort {
        name: Arc::clone(&parsed.name),
        switch: parsed.switch,
        nest: parsed.nest.clone(),
        localnet: parsed.localnet,
        addresses,
        takes_unknown: parsed.takes_unknown,
        security: parsed.security.clone(),
    }))
}

/// Whether the port's claim is the lowest; says so if it is not.
fn holds(
    reader: &mut Reader<'_>,
    claims: Key,
    port: Uuid,
    column: &'static str,
    what: &str,
) -> bool {
    let first = reader.read(claims).set().first();
    let Some(&Member::Claim(rank, holder)) = first else {
        return true;
    };
    if holder == port {
        return true;
    }
    let holder = match rank {
        0 => reader
            .read(Key::RouterPort(holder))
            .router_port()
            .map(|port| format!("router port {:?}", port.name)),
        _ => reader
            .read(Key::ParsedPort(holder))
            .parsed_port()
            .map(|port| format!("port {:?}", port.name)),
    };
    let message = format!(
        "{what} belongs to {} already; it is left out here",
        holder.unwrap_or_default()
    );
    if let Some(row) = reader
        .read(Key::SwitchPortRow(port))
        .switch_port_row()
        .cloned()
    {
        reader.diagnose(diagnostic(&row, column, message));
    }
    false
}

/// Types that ovn-nb(5) has and that are left out so far.
const TYPES_TO_COME: [&str; 8] = [
    "external",
    "l2gateway",
    "localport",
    "remote",
    "switch",
    "virtual",
    "vtep",
    "l3gateway",
];
/// Which tag a localnet port has: OVN's key.
const ETHERTYPE: &str = "ethtype";
