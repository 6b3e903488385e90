//! Where localnet ports are: on every node that has their physical network and could have a use for it.
//!
//! The node's controller connects them (`ovn-bridge-mappings`), and tells by which port of its bridge. Of the localnet ports of one switch
//! a node uses one: with two, what comes from one network would have to go out to the other.
//!
//! Must not: look at mappings; what is connected is mapped.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::switch_port::diagnostic;
use crate::engine::{Emission, Key, Member, Reader, Value};
use crate::node::NodeName;

/// The nodes on which a localnet port is in use.
pub(super) fn plugs(reader: &mut Reader<'_>, port: Uuid) -> Value {
    let Some(read) = reader.read(Key::SwitchPort(port)).switch_port().cloned() else {
        return Value::Absent;
    };
    let switch = read.switch;
    let mut rivals: Vec<Arc<str>> = Vec::new();
    for other in reader.rows(Key::LocalnetsOf(switch)) {
        if other < port
            && let Some(other) = reader.read(Key::SwitchPort(other)).switch_port()
        {
            rivals.push(Arc::clone(&other.name));
        }
    }
    let component = reader.read(Key::Component(switch)).row().copied();
    let domain = Key::NodesOfDomain(component.unwrap_or(switch));
    let mut plugs = BTreeMap::new();
    let mut overruled = None;
    for member in reader.members(Key::PluggedNodes(Arc::clone(&read.name))) {
        let Member::Node(node) = &member else {
            continue;
        };
        let is_unknown = reader.read(Key::Node(node.clone())).is_absent();
        if is_unknown || !reader.read(domain.clone()).set().contains(&member) {
            continue;
        }
        if let Some(rival) = first_plugged(reader, node, &rivals) {
            overruled = overruled.or(Some((node.clone(), rival)));
            continue;
        }
        let plug = Key::Plug(node.clone(), Arc::clone(&read.name));
        let Some(ofport) = reader.read(plug).ofport().copied() else {
            continue;
        };
        let (nodes, uplink) = (
            Key::NodesOfLocalnet(port),
            Key::Uplink(switch, node.clone()),
        );
        reader.emit(Emission::Member(nodes, member.clone()));
        reader.emit(Emission::Member(uplink, Member::Row(port)));
        // A router on this node alone may have no port of the switch beside it.
        let groups = crate::unit::Unit::Groups(switch, node.clone());
        reader.emit(Emission::Demand(Key::Placed(groups)));
        plugs.insert(node.clone(), ofport);
    }
    if let Some((node, rival)) = overruled
        && let Some(row) = reader
            .read(Key::SwitchPortRow(port))
            .switch_port_row()
            .cloned()
    {
        let message = format!(
            "node {node} has this network and that of {rival:?}, which it uses for the switch; a node is to have one of them"
        );
        reader.diagnose(diagnostic(&row, "options", message));
    }
    Value::Plugs(Arc::new(plugs))
}

fn first_plugged(reader: &mut Reader<'_>, node: &NodeName, ports: &[Arc<str>]) -> Option<Arc<str>> {
    let mut ports = ports.iter();
    let found = ports.find(|port| {
        let plug = Key::Plug(node.clone(), Arc::clone(port));
        !reader.read(plug).is_absent()
    });
    found.cloned()
}
