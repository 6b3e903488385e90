//! Router ports: what they are joined to, and the networks connected to them.
//!
//! Must not: look at nodes.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use uuid::Uuid;
use weft_expr::Mac;
use weft_schema::nb;

use super::{address, row};
use crate::diagnostic::Diagnostic;
use crate::engine::{Emission, Key, Member, Reader, Value};

/// A port of a router.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct RouterPort {
    pub(crate) name: Arc<str>,
    pub(crate) router: Uuid,
    pub(crate) mac: Mac,
    /// Its own addresses, each with the length of its network's prefix.
    pub(crate) networks: Vec<IpNet>,
    pub(crate) link: Link,
    /// Whether only some nodes may host it.
    pub(crate) is_gateway: bool,
}

/// What a router port is joined to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Link {
    /// Nothing.
    None,
    /// A switch, by a port of it.
    Switch {
        /// The switch.
        switch: Uuid,
        /// Its port.
        port: Uuid,
        /// Its port's name.
        name: Arc<str>,
    },
    /// A port of another router.
    Router {
        /// The other router.
        router: Uuid,
        /// Its port.
        port: Uuid,
    },
}

/// A router port without its networks.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Face {
    pub(crate) name: Arc<str>,
    pub(crate) router: Uuid,
    pub(crate) mac: Mac,
    pub(crate) link: Link,
    /// Whether it has an IPv6 network, and so a link-local address.
    pub(crate) has_ipv6: bool,
}

fn diagnostic(row: &nb::LogicalRouterPort, column: &'static str, message: String) -> Diagnostic {
    Diagnostic {
        table: "Logical_Router_Port",
        uuid: row.uuid,
        name: row.name.clone(),
        column,
        message,
    }
}

/// The networks that can be read, one of each kind, and those that cannot.
pub(super) fn networks(row: &nb::LogicalRouterPort) -> (Vec<IpNet>, Vec<String>) {
    let (mut good, mut bad) = (Vec::<IpNet>::new(), Vec::new());
    for text in &row.networks {
        match address::parse_interface(text) {
            // Two addresses in one network: the second has nothing of its own to say.
            Some(network) if good.iter().any(|known| known.trunc() == network.trunc()) => {
                bad.push(format!(
                    "{text}: the port has an address in this network already"
                ));
            }
            Some(network) => good.push(network),
            None => bad.push(format!(
                "{text:?} is no address with a prefix length, such as 10.0.0.1/24"
            )),
        }
    }
    (good, bad)
}

/// Whether only some nodes may host a port. Not served yet: it is on every node.
pub(super) fn is_gateway(row: &nb::LogicalRouterPort) -> bool {
    !row.gateway_chassis.is_empty() || row.ha_chassis_group.is_some()
}

/// Reads a row, and claims what it has.
pub(super) fn parse(reader: &mut Reader<'_>, port: Uuid) -> Value {
    let Some(row) = reader
        .read(Key::RouterPortRow(port))
        .router_port_row()
        .cloned()
    else {
        return Value::Absent;
    };
    let Some(router) = reader.first_row(Key::RoutersOf(port)) else {
        return Value::Absent;
    };
    let is_on = reader
        .read(Key::RouterRow(router))
        .router_row()
        .is_some_and(|row| row.enabled != Some(false));
    if row.enabled == Some(false) || !is_on {
        return Value::Absent;
    }
    let name: Arc<str> = Arc::from(row.name.as_str());
    if reader.first_row(Key::RouterPortsNamed(Arc::clone(&name))) != Some(port) {
        let message =
            format!("another router port is named {name:?} too; rename one, this one is left out");
        reader.diagnose(diagnostic(&row, "name", message));
        return Value::Absent;
    }
    let what = format!("port {name:?}");
    row::listed_twice(reader, Key::RoutersOf(port), "ports", &what);
    let mac = match address::parse_mac(&row.mac) {
        Ok(mac) => mac,
        Err(message) => {
            reader.diagnose(diagnostic(&row, "mac", message));
            return Value::Absent;
        }
    };
    let (networks, bad) = networks(&row);
    for message in bad {
        reader.diagnose(diagnostic(&row, "networks", message));
    }
    let link = link(reader, &row);
    let is_gateway = is_gateway(&row);
    emit(reader, port, router, mac, &networks, &link);
    Value::RouterPort(Arc::new(RouterPort {
        name,
        router,
        mac,
        networks,
        link,
        is_gateway,
    }))
}

fn emit(
    reader: &mut Reader<'_>,
    port: Uuid,
    router: Uuid,
    mac: Mac,
    networks: &[IpNet],
    link: &Link,
) {
    reader.emit(Emission::Member(
        Key::PortsOfRouter(router),
        Member::Row(port),
    ));
    for network in networks {
        let key = Key::NetworkClaims(router, network.trunc());
        reader.emit(Emission::Member(key, Member::Row(port)));
    }
    match link {
        Link::None => {}
        Link::Router { router: other, .. } => {
            reader.emit(Emission::Member(Key::Links, Member::Link(router, *other)));
        }
        Link::Switch { switch, .. } => {
            let claim = Member::Claim(0, port);
            reader.emit(Emission::Member(Key::Links, Member::Link(router, *switch)));
            reader.emit(Emission::Member(
                Key::RouterPortsOn(*switch),
                Member::Row(port),
            ));
            reader.emit(Emission::Member(
                Key::MacClaims(*switch, mac),
                claim.clone(),
            ));
            for network in networks {
                let key = Key::AddressClaims(*switch, network.addr());
                reader.emit(Emission::Member(key, claim.clone()));
            }
        }
    }
}

/// The switch ports that name a router port and can be joined to it, with their switches: the first is.
pub(super) fn switch_sides(
    reader: &mut Reader<'_>,
    name: &Arc<str>,
) -> Vec<(Uuid, Uuid, Arc<str>)> {
    let mut sides = Vec::new();
    for port in reader.rows(Key::SwitchSides(Arc::clone(name))) {
        let is_on = reader
            .read(Key::SwitchPortRow(port))
            .switch_port_row()
            .filter(|row| row.enabled != Some(false))
            .map(|row| Arc::<str>::from(row.name.as_str()));
        let switch = reader.first_row(Key::SwitchesOf(port));
        if let (Some(name), Some(switch)) = (is_on, switch) {
            sides.push((switch, port, name));
        }
    }
    sides
}

fn link(reader: &mut Reader<'_>, row: &nb::LogicalRouterPort) -> Link {
    let name: Arc<str> = Arc::from(row.name.as_str());
    let side = switch_sides(reader, &name).into_iter().next();
    let peer = row.peer.as_deref().filter(|peer| !peer.is_empty());
    match (side, peer) {
        (Some((switch, port, name)), peer) => {
            if let Some(peer) = peer {
                let message =
                    format!("the port is joined to switch port {name:?}; {peer:?} is not its peer");
                reader.diagnose(diagnostic(row, "peer", message));
            }
            Link::Switch { switch, port, name }
        }
        (None, None) => Link::None,
        (None, Some(peer)) => peer_link(reader, row, peer),
    }
}

fn peer_link(reader: &mut Reader<'_>, row: &nb::LogicalRouterPort, peer: &str) -> Link {
    let other = reader.first_row(Key::RouterPortsNamed(Arc::from(peer)));
    let Some(other) = other.filter(|other| *other != row.uuid) else {
        let message = format!("there is no other router port {peer:?} to be joined to");
        reader.diagnose(diagnostic(row, "peer", message));
        return Link::None;
    };
    let is_mutual = reader
        .read(Key::RouterPortRow(other))
        .router_port_row()
        .is_some_and(|other| {
            other.enabled != Some(false) && other.peer.as_ref() == Some(&row.name)
        });
    match reader.first_row(Key::RoutersOf(other)) {
        Some(router) if is_mutual => Link::Router {
            router,
            port: other,
        },
        _ => {
            let message = format!("{peer:?} does not name this port as its peer");
            reader.diagnose(diagnostic(row, "peer", message));
            Link::None
        }
    }
}

/// The part of a router port that others read.
pub(super) fn face(reader: &mut Reader<'_>, port: Uuid) -> Value {
    let port = reader.read(Key::RouterPort(port)).router_port();
    port.map_or(Value::Absent, |port| {
        Value::Face(Arc::new(Face {
            name: Arc::clone(&port.name),
            router: port.router,
            mac: port.mac,
            link: port.link.clone(),
            has_ipv6: port.networks.iter().any(|network| network.addr().is_ipv6()),
        }))
    })
}

/// Whether a router port's MAC is its own on the switch that it is joined to: of two router ports with one MAC a host could
/// not tell which it talks to.
pub(crate) fn owns_mac(reader: &mut Reader<'_>, port: Uuid, link: &Link, mac: Mac) -> bool {
    match link {
        Link::Switch { switch, .. } => {
            let first = reader.first_claim(Key::MacClaims(*switch, mac));
            first.is_none_or(|first| first == port)
        }
        Link::Router { .. } | Link::None => true,
    }
}

/// The networks connected to a router by this port: those that no other port of it has, of addresses that are its own.
pub(super) fn connected(reader: &mut Reader<'_>, port: Uuid) -> Value {
    let Some(read) = reader.read(Key::RouterPort(port)).router_port().cloned() else {
        return Value::Absent;
    };
    let mut kept = Vec::new();
    let owns_mac = owns_mac(reader, port, &read.link, read.mac);
    if let (false, Link::Switch { switch, .. }) = (owns_mac, &read.link) {
        taken(
            reader,
            port,
            "mac",
            Key::MacClaims(*switch, read.mac),
            &read.mac.to_string(),
        );
    }
    for network in read.networks.iter().filter(|_| owns_mac) {
        if let Link::Switch { switch, .. } = &read.link {
            let claims = Key::AddressClaims(*switch, network.addr());
            let first = reader.first_claim(claims.clone());
            if first.is_some_and(|first| first != port) {
                taken(
                    reader,
                    port,
                    "networks",
                    claims,
                    &network.addr().to_string(),
                );
                continue;
            }
        }
        let claims = Key::NetworkClaims(read.router, network.trunc());
        match reader.first_row(claims).filter(|first| *first != port) {
            None => kept.push(*network),
            Some(other) => overlap(reader, port, *network, other),
        }
    }
    for network in &kept {
        let fact = super::Fact::Connected(network.trunc());
        let member = Member::Connected(*network, port);
        reader.emit(Emission::Member(Key::ConnectedOf(read.router), member));
        reader.emit(Emission::Fact(read.router, fact));
    }
    Value::Networks(Arc::new(kept))
}

/// Says that another router port has a MAC or an address on the switch.
fn taken(reader: &mut Reader<'_>, port: Uuid, column: &'static str, claims: Key, what: &str) {
    let other = reader.first_claim(claims);
    let other = other.and_then(|other| reader.read(Key::RouterPort(other)).router_port());
    let other = other
        .map(|other| other.name.to_string())
        .unwrap_or_default();
    let message = format!(
        "{what} belongs to router port {other:?} on this switch already; it is left out here"
    );
    let row = reader.read(Key::RouterPortRow(port)).router_port_row();
    if let Some(row) = row.cloned() {
        reader.diagnose(diagnostic(&row, column, message));
    }
}

fn overlap(reader: &mut Reader<'_>, port: Uuid, network: IpNet, other: Uuid) {
    let other = reader.read(Key::RouterPort(other)).router_port();
    let other = other
        .map(|other| other.name.to_string())
        .unwrap_or_default();
    let message = format!(
        "{} is connected to this router by port {other:?} already; it is left out here",
        network.trunc()
    );
    if let Some(row) = reader
        .read(Key::RouterPortRow(port))
        .router_port_row()
        .cloned()
    {
        reader.diagnose(diagnostic(&row, "networks", message));
    }
}

/// The address a router port has in a network.
pub(crate) fn address_in(networks: &[IpNet], network: IpNet) -> Option<IpAddr> {
    let own = networks.iter().find(|own| own.trunc() == network);
    own.map(IpNet::addr)
}
