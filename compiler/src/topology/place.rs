//! Where ports are, and the sets of nodes that follow from it.
//!
//! Must not: list nodes where a relation can count them.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use uuid::Uuid;

use super::Fact;
use super::derived::{derived_mac, said_address};
use crate::engine::{Emission, Key, Member, Reader, Value};
use crate::node::{NodeName, Ofport};

/// Where a port is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) node: NodeName,
    pub(crate) ofport: Ofport,
}

/// Where a switch port is, if it is on a node that takes part. Puts the node into every set it belongs to on account of this port.
pub(super) fn place(reader: &mut Reader<'_>, port: Uuid) -> Value {
    let Some(switch_port) = reader.read(Key::SwitchPort(port)).switch_port().cloned() else {
        return Value::Absent;
    };
    if switch_port.localnet.is_some() {
        return Value::Absent;
    }
    let interface = switch_port.nest.as_ref().map(|nest| &nest.parent);
    let key = Key::Binding(Arc::clone(interface.unwrap_or(&switch_port.name)));
    let Some(binding) = reader.read(key).binding().cloned() else {
        return Value::Absent;
    };
    let node = binding.node;
    if reader.read(Key::Node(node.clone())).is_absent() {
        return Value::Absent;
    }
    let switch = switch_port.switch;
    let component = reader.read(Key::Component(switch)).row().copied();
    let mut join = |key| reader.emit(Emission::Member(key, Member::Node(node.clone())));
    join(Key::NodesOfSwitch(switch));
    join(Key::NodesOfDomain(component.unwrap_or(switch)));
    if switch_port.is_unguarded() {
        join(Key::NodesUnguarded(switch));
    }
    if switch_port.takes_unknown {
        join(Key::NodesOfUnknown(switch));
    }
    let at = |key| Emission::Member(key, Member::Row(port));
    reader.emit(at(Key::PortsAt(switch, node.clone())));
    if switch_port.takes_unknown {
        reader.emit(at(Key::UnknownPortsAt(switch, node.clone())));
    }
    let groups = crate::unit::Unit::Groups(switch, node.clone());
    reader.emit(Emission::Demand(Key::Placed(groups)));
    // A MAC that says an address that is not the port's would draw that address's packets.
    for said in switch_port.addresses.iter().filter_map(|(mac, ips)| {
        let said = IpAddr::V4(said_address(*mac)?);
        (!ips.contains(&said)).then_some(said)
    }) {
        if let Value::Subnet(network, _) = *reader.read(Key::SubnetOf(switch, said)) {
            let key = Key::Underived(switch, network);
            reader.emit(Emission::Member(key, Member::Row(port)));
        }
    }
    let mut is_in_no_subnet = switch_port.ips().next().is_none() || switch_port.takes_unknown;
    for (mac, ip) in switch_port.ips() {
        let Value::Subnet(network, router_port) = *reader.read(Key::SubnetOf(switch, ip)) else {
            is_in_no_subnet = true;
            continue;
        };
        let key = Key::NodesOfSubnet(switch, network);
        reader.emit(Emission::Member(key, Member::Node(node.clone())));
        if Some(mac) != derived_mac(ip) {
            let key = Key::Underived(switch, network);
            reader.emit(Emission::Member(key, Member::Row(port)));
        }
        let router = reader
            .read(Key::Face(router_port))
            .face()
            .map(|face| face.router);
        if let Some(router) = router {
            reader.emit(Emission::Fact(router, Fact::At(ip, node.clone(), port)));
        }
    }
    if is_in_no_subnet {
        let key = Key::NodesOfNoSubnet(switch);
        reader.emit(Emission::Member(key, Member::Node(node.clone())));
    }
    let ofport = binding.ofport;
    Value::Place(Place { node, ofport })
}

/// How a subnet lies over the nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Spread {
    /// On one node alone. The router's address in it is located there.
    Home(NodeName),
    /// An IPv4 subnet on several nodes, where each port's MAC follows from its address. Finding the node of each address would take an entry per address,
    /// and so does switching; routing to the subnet by computed MACs saves the first.
    Switched,
}

/// How a subnet lies over the nodes, if there is something to say about it.
pub(super) fn spread(reader: &mut Reader<'_>, port: Uuid, network: IpNet) -> Value {
    let connected = reader.read(Key::Connected(port)).networks().cloned();
    let own = connected.and_then(|networks| super::router_port::address_in(&networks, network));
    let face = reader.read(Key::Face(port)).face().cloned();
    let (Some(own), Some(face)) = (own, face) else {
        return Value::Absent;
    };
    let super::Link::Switch { switch, .. } = face.link else {
        return Value::Absent;
    };
    let inside = reader.members(Key::NodesOfSubnet(switch, network));
    let is_derived = reader.is_empty(Key::Underived(switch, network));
    let mut nodes = reader.members(Key::NodesOfNoSubnet(switch));
    nodes.extend(inside.iter().cloned());
    nodes.sort();
    nodes.dedup();
    match nodes.as_slice() {
        [Member::Node(node)] => {
            reader.emit(Emission::Fact(
                face.router,
                Fact::At(own, node.clone(), port),
            ));
            Value::Spread(Spread::Home(node.clone()))
        }
        _ if inside.len() > 1 && is_derived => {
            reader.emit(Emission::Fact(face.router, Fact::Switched(network)));
            reader.emit(Emission::Member(
                Key::Switched(port),
                Member::Network(network),
            ));
            Value::Spread(Spread::Switched)
        }
        _ => Value::Absent,
    }
}
