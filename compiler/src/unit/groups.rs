//! The multicast groups of a switch on one node that holds ports of it.
//!
//! One copy for each other node, one for each port here. A group's copies to other nodes go nowhere when the packet came out of the
//! tunnel, because Open vSwitch sends no packet out of the port it came in by: what came out of a tunnel never enters one.
//!
//! Must not: send to nodes that hold no port of the switch.

use openflow_rs::{Action as OfAction, Bucket, Field, Group, GroupType};
use uuid::Uuid;

use super::draft::{Draft, datapath_key, port_flow, port_key, tunnel, tunnel_address};
use crate::engine::{Key, Member, Reader};
use crate::logical_flow::Scope;
use crate::node::NodeName;
use crate::pipeline::{DatapathKey, GroupId, PortKey, register, table};

pub(super) fn compile(reader: &mut Reader<'_>, draft: &mut Draft, switch: Uuid, node: &NodeName) {
    let Some(datapath) = datapath_key(reader, switch) else {
        return;
    };
    let at = Scope::At(node.clone());
    let ports = local_buckets(reader, switch, Key::PortsAt(switch, node.clone()));
    let nodes = remote_buckets(reader, Key::NodesOfSwitch(switch), node);
    let is_alone = nodes.is_empty();
    let mut flood = Multicast {
        draft,
        node,
        at,
        datapath,
        actions: Vec::new(),
    };
    flood.add(GroupId::remote(datapath), nodes);
    flood.add(GroupId::local(datapath), ports);
    flood.finish(PortKey::FLOOD);
    if !is_alone && !reader.read(Key::Routed(switch)).is_absent() {
        let actions = vec![OfAction::Group(GroupId::remote(datapath).get())];
        let flow = port_flow(table::OUTPUT, datapath, PortKey::ELSEWHERE, actions);
        draft.physical(&Scope::At(node.clone()), flow);
    }
    unknown(reader, draft, switch, node, datapath);
}

/// The ports that take MACs that no port has.
fn unknown(
    reader: &mut Reader<'_>,
    draft: &mut Draft,
    switch: Uuid,
    node: &NodeName,
    datapath: DatapathKey,
) {
    let ports = local_buckets(reader, switch, Key::UnknownPortsAt(switch, node.clone()));
    let nodes = remote_buckets(reader, Key::NodesOfUnknown(switch), node);
    let at = Scope::At(node.clone());
    let mut unknown = Multicast {
        draft,
        node,
        at,
        datapath,
        actions: Vec::new(),
    };
    unknown.add(GroupId::remote_unknown(datapath), nodes);
    unknown.add(GroupId::local_unknown(datapath), ports);
    unknown.finish(PortKey::UNKNOWN);
}

struct Multicast<'a> {
    draft: &'a mut Draft,
    node: &'a NodeName,
    at: Scope,
    datapath: DatapathKey,
    actions: Vec<OfAction>,
}

impl Multicast<'_> {
    fn add(&mut self, id: GroupId, buckets: Vec<Bucket>) {
        if buckets.is_empty() {
            return;
        }
        let (id, kind) = (id.get(), GroupType::All);
        self.actions.push(OfAction::Group(id));
        self.draft.group(
            self.node,
            Group {
                id,
                kind,
                buckets,
                selection: None,
            },
        );
    }

    fn finish(self, port: PortKey) {
        if !self.actions.is_empty() {
            let flow = port_flow(table::OUTPUT, self.datapath, port, self.actions);
            self.draft.physical(&self.at, flow);
        }
    }
}

fn local_buckets(reader: &mut Reader<'_>, switch: Uuid, ports: Key) -> Vec<Bucket> {
    let ports = reader.rows(ports);
    let mut keys: Vec<u16> = ports
        .into_iter()
        .filter_map(|port| port_key(reader, switch, port))
        .map(PortKey::get)
        .collect();
    keys.sort_unstable();
    keys.into_iter()
        .map(|key| {
            let to_port = OfAction::set(Field::Reg(register::OUTPORT), key);
            let output = OfAction::Resubmit {
                table: table::OUTPUT.get(),
            };
            Bucket::new(u32::from(key), vec![to_port, output])
        })
        .collect()
}

fn remote_buckets(reader: &mut Reader<'_>, nodes: Key, here: &NodeName) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    for member in reader.members(nodes) {
        if let Member::Node(node) = member
            && node != *here
            && let Some(address) = tunnel_address(reader, &node)
        {
            buckets.push(tunnel(address));
        }
    }
    buckets
        .into_iter()
        .zip(1u32..)
        .map(|(actions, id)| Bucket::new(id, actions))
        .collect()
}
