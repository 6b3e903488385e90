//! The multicast groups of a switch on one node that holds ports of it.
//!
//! One copy for each other node, one for each port here. A group's copies to other nodes go nowhere when the packet came out of the
//! tunnel, because Open vSwitch sends no packet out of the port it came in by: what came out of a tunnel never enters one.
//!
//! Where the switch has a physical network, one copy goes out there, for all nodes that have it too; nodes without it get theirs by the tunnel.
//!
//! Must not: send to nodes that hold no port of the switch.

use openflow_rs::{Action as OfAction, Bucket, Field, Group, GroupType};
use uuid::Uuid;

use super::draft::{Draft, datapath_key, port_flow, port_key, tunnel_address, tunnel_to};
use crate::engine::{Key, Member, Reader};
use crate::logical_flow::Scope;
use crate::node::NodeName;
use crate::pipeline::{DatapathKey, GroupId, PortKey, register, table};

pub(super) fn compile(reader: &mut Reader<'_>, draft: &mut Draft, switch: Uuid, node: &NodeName) {
    let Some(datapath) = datapath_key(reader, switch) else {
        return;
    };
    let at = Scope::At(node.clone());
    let uplink = Uplink::of(reader, switch, node);
    let mut ports = reader.rows(Key::PortsAt(switch, node.clone()));
    ports.extend(uplink.as_ref().map(|uplink| uplink.port));
    let ports = local_buckets(reader, switch, ports);
    let nodes = remote_buckets(reader, Key::NodesOfSwitch(switch), node, uplink.as_ref());
    let is_alone = nodes.is_empty();
    let mut flood = Multicast {
        draft,
        at,
        datapath,
        others: None,
        here: None,
    };
    flood.others = flood.add(GroupId::remote(datapath), nodes);
    flood.here = flood.add(GroupId::local(datapath), ports);
    flood.finish(PortKey::FLOOD, uplink.is_some());
    if !is_alone && !reader.read(Key::Routed(switch)).is_absent() {
        let actions = vec![OfAction::Group(GroupId::remote(datapath).get())];
        let flow = port_flow(table::OUTPUT, datapath, PortKey::ELSEWHERE, actions);
        draft.physical(&Scope::At(node.clone()), flow);
    }
    let uplink = uplink.filter(|uplink| uplink.takes_unknown);
    unknown(reader, draft, switch, node, datapath, uplink.as_ref());
}

/// The ports that take MACs that no port has.
fn unknown(
    reader: &mut Reader<'_>,
    draft: &mut Draft,
    switch: Uuid,
    node: &NodeName,
    datapath: DatapathKey,
    uplink: Option<&Uplink>,
) {
    let mut ports = reader.rows(Key::UnknownPortsAt(switch, node.clone()));
    ports.extend(uplink.map(|uplink| uplink.port));
    let ports = local_buckets(reader, switch, ports);
    let nodes = remote_buckets(reader, Key::NodesOfUnknown(switch), node, uplink);
    let is_bridged = !reader.is_empty(Key::LocalnetsOf(switch));
    let at = Scope::At(node.clone());
    let mut unknown = Multicast {
        draft,
        at,
        datapath,
        others: None,
        here: None,
    };
    unknown.others = unknown.add(GroupId::remote_unknown(datapath), nodes);
    unknown.here = unknown.add(GroupId::local_unknown(datapath), ports);
    unknown.finish(PortKey::UNKNOWN, is_bridged);
}

/// The localnet port of a switch that is in use on a node.
struct Uplink {
    port: Uuid,
    takes_unknown: bool,
    /// The nodes that hear what goes out of it.
    hearers: Vec<Member>,
}

impl Uplink {
    fn of(reader: &mut Reader<'_>, switch: Uuid, node: &NodeName) -> Option<Uplink> {
        let port = reader.first_row(Key::Uplink(switch, node.clone()))?;
        let read = reader.read(Key::SwitchPort(port)).switch_port();
        Some(Uplink {
            port,
            takes_unknown: read.is_some_and(|read| read.takes_unknown),
            hearers: reader.members(Key::NodesOfLocalnet(port)),
        })
    }
}

struct Multicast<'a> {
    draft: &'a mut Draft,
    at: Scope,
    datapath: DatapathKey,
    /// To other nodes.
    others: Option<OfAction>,
    /// To ports of this one.
    here: Option<OfAction>,
}

impl Multicast<'_> {
    fn add(&mut self, id: GroupId, buckets: Vec<Bucket>) -> Option<OfAction> {
        if buckets.is_empty() {
            return None;
        }
        let (id, kind) = (id.get(), GroupType::All);
        self.draft.group(
            &self.at,
            Group {
                id,
                kind,
                buckets,
                selection: None,
            },
        );
        Some(OfAction::Group(id))
    }

    /// `is_bridged`: the switch has physical networks, and what came from one goes to no other node.
    fn finish(self, port: PortKey, is_bridged: bool) {
        let here: Vec<OfAction> = self.here.into_iter().collect();
        let has_others = self.others.is_some();
        let all: Vec<OfAction> = self.others.into_iter().chain(here.clone()).collect();
        if all.is_empty() {
            return;
        }
        let flow = port_flow(table::OUTPUT, self.datapath, port, all);
        self.draft.physical(&self.at, flow);
        if is_bridged && has_others {
            let mut flow = port_flow(table::OUTPUT, self.datapath, port, here);
            flow.priority = 110;
            let (flags, outside) = (Field::Reg(register::FLAGS), register::FROM_OUTSIDE);
            flow.matches = flow.matches.masked(flags, outside, outside);
            self.draft.physical(&self.at, flow);
        }
    }
}

fn local_buckets(reader: &mut Reader<'_>, switch: Uuid, ports: Vec<Uuid>) -> Vec<Bucket> {
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

fn remote_buckets(
    reader: &mut Reader<'_>,
    nodes: Key,
    here: &NodeName,
    uplink: Option<&Uplink>,
) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    for member in reader.members(nodes) {
        // They get it by the physical network.
        let hears = uplink.is_some_and(|uplink| uplink.hearers.contains(&member));
        if let Member::Node(node) = member
            && node != *here
            && !hears
            && let Some(address) = tunnel_address(reader, &node)
        {
            buckets.push(tunnel_to(address));
        }
    }
    buckets
        .into_iter()
        .zip(1u32..)
        .map(|(actions, id)| Bucket::new(id, actions))
        .collect()
}
