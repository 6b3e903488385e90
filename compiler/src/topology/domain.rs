//! Datapaths that are joined, the subnets of a switch, and which domains are plain.
//!
//! A *domain* is a connected component of the graph of switches and routers, whose edges are router ports. A *plain* domain is one
//! router and switches that have no other router, nothing whose place cannot be told from an address, no address twice, and no route by
//! source, or of one node, that comes before a connected network.
//!
//! Must not: make flows.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use petgraph::graphmap::UnGraphMap;
use petgraph::visit::Dfs;
use rustc_hash::FxHashMap;
use uuid::Uuid;
use weft_expr::Mac;

use super::Link;
use crate::engine::{Key, Member, Reader, Value};

/// The router that a switch is routed by, in a plain domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Routed {
    pub(crate) router: Uuid,
    /// The router's port on the switch.
    pub(crate) port: Uuid,
    pub(crate) mac: Mac,
}

/// Which component each joined datapath is in; a component is named by its least datapath.
pub(super) fn components(reader: &mut Reader<'_>) -> Value {
    let mut graph = UnGraphMap::<Uuid, ()>::new();
    for member in reader.read(Key::Links).set().keys() {
        if let Member::Link(left, right) = member {
            graph.add_edge(*left, *right, ());
        }
    }
    let mut datapaths: Vec<Uuid> = graph.nodes().collect();
    datapaths.sort();
    let mut components = FxHashMap::default();
    for first in datapaths {
        if components.contains_key(&first) {
            continue;
        }
        let mut search = Dfs::new(&graph, first);
        while let Some(datapath) = search.next(&graph) {
            components.insert(datapath, first);
        }
    }
    Value::Components(Arc::new(components))
}

/// The component a datapath is in: itself, if it is joined to nothing.
pub(super) fn component(reader: &mut Reader<'_>, datapath: Uuid) -> Value {
    let components = reader.read(Key::Components).components();
    let component = components.and_then(|components| components.get(&datapath));
    Value::Row(component.copied().unwrap_or(datapath))
}

/// The networks connected to a switch, longest first.
pub(super) fn subnets(reader: &mut Reader<'_>, switch: Uuid) -> Value {
    let mut subnets = Vec::new();
    for port in reader.rows(Key::RouterPortsOn(switch)) {
        let networks = reader.read(Key::Connected(port)).networks().cloned();
        for network in networks.iter().flat_map(|networks| networks.iter()) {
            subnets.push((network.trunc(), port));
        }
    }
    subnets
        .sort_by_key(|(network, port)| (std::cmp::Reverse(network.prefix_len()), *network, *port));
    Value::Subnets(Arc::new(subnets))
}

/// The longest network of a switch that an address is in, and the router port connected to it.
pub(super) fn subnet_of(reader: &mut Reader<'_>, switch: Uuid, address: IpAddr) -> Value {
    let subnets = reader.read(Key::Subnets(switch)).subnets();
    let found = subnets.and_then(|subnets| {
        let mut subnets = subnets.iter();
        subnets
            .find(|(network, _)| network.contains(&address))
            .copied()
    });
    found.map_or(Value::Absent, |(network, port)| {
        Value::Subnet(network, port)
    })
}

/// Whether a router's domain has the shape of a plain one. Present if so.
pub(super) fn plain_shape(reader: &mut Reader<'_>, router: Uuid) -> Value {
    if !reader.options().plain_path {
        return Value::Absent;
    }
    let row = reader.read(Key::RouterRow(router)).router_row();
    if row.is_none_or(|row| super::nat::chassis(row).is_some()) {
        return Value::Absent;
    }
    for port in reader.rows(Key::PortsOfRouter(router)) {
        let Some(port) = reader.read(Key::RouterPort(port)).router_port().cloned() else {
            return Value::Absent;
        };
        let switch = match port.link {
            Link::None => continue,
            Link::Router { .. } => return Value::Absent,
            Link::Switch { switch, .. } => switch,
        };
        if port.is_gateway
            || reader.read(Key::RouterPortsOn(switch)).set().len() != 1
            || !reader.is_empty(Key::Obstacles(switch))
        {
            return Value::Absent;
        }
    }
    match overlaps(reader, router) {
        true => Value::Absent,
        false => Value::Flag,
    }
}

/// Whether a network of one port lies within a network of another, or of the same one.
fn overlaps(reader: &mut Reader<'_>, router: Uuid) -> bool {
    let connected = reader.read(Key::ConnectedOf(router)).set().keys();
    let mut networks: Vec<IpNet> = connected
        .filter_map(|member| match member {
            Member::Connected(network, _) => Some(network.trunc()),
            _ => None,
        })
        .collect();
    // A network that holds others stands right before the first of them.
    networks.sort_by_key(|network| (network.addr(), network.prefix_len()));
    networks
        .windows(2)
        .any(|pair| matches!(pair, [left, right] if left.contains(right)))
}

/// Whether a router's domain is plain. Present if so.
pub(super) fn plain(reader: &mut Reader<'_>, router: Uuid) -> Value {
    let has_shape = !reader.read(Key::PlainShape(router)).is_absent();
    let is_plain =
        has_shape && reader.is_empty(Key::Doubles(router)) && !is_overruled(reader, router);
    match is_plain {
        true => Value::Flag,
        false => Value::Absent,
    }
}

/// Whether a route by source, or of one node, is longer than a connected network: it is asked before the network is, and where a packet goes
/// does not follow from its destination.
fn is_overruled(reader: &mut Reader<'_>, router: Uuid) -> bool {
    let sources: Vec<IpNet> = reader
        .members(Key::SourceRoutes(router))
        .into_iter()
        .filter_map(|member| match member {
            Member::Network(prefix) => Some(prefix),
            _ => None,
        })
        .collect();
    if sources.is_empty() {
        return false;
    }
    let connected = reader.read(Key::ConnectedOf(router)).set().keys();
    let mut networks = connected.filter_map(|member| match member {
        Member::Connected(network, _) => Some(*network),
        _ => None,
    });
    networks.any(|network| {
        sources.iter().any(|source| {
            source.addr().is_ipv4() == network.addr().is_ipv4()
                && source.prefix_len() > network.prefix_len()
        })
    })
}

/// The router of a switch, if the switch is in a plain domain.
pub(super) fn routed(reader: &mut Reader<'_>, switch: Uuid) -> Value {
    let ports = reader.rows(Key::RouterPortsOn(switch));
    let [port] = ports.as_slice() else {
        return Value::Absent;
    };
    let Some(face) = reader.read(Key::Face(*port)).face().cloned() else {
        return Value::Absent;
    };
    if reader.read(Key::Plain(face.router)).is_absent() {
        return Value::Absent;
    }
    Value::Routed(Arc::new(Routed {
        router: face.router,
        port: *port,
        mac: face.mac,
    }))
}
