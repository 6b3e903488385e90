//! A localnet port: the way from a switch to a physical network, on every node that has it.
//!
//! The physical network is what joins these nodes: what one of them has for the others goes out there, once, and not into the tunnel. Nodes of
//! the switch that have no such network are reached by the tunnel_to, as ever.
//!
//! ```text
//!   port ─▶ ls_in ─▶ output ─▶ ls_out ─▶ deliver (tag) ─▶ network ─▶ (tag) classify ─▶ ls_in ─▶ output ─▶ ports of this node
//! ```
//!
//! So that nothing goes round: what came from the network goes to ports of its node alone; what came out of the tunnel does not go to
//! the network. Routers are no part of it. Each node would show the network the same MAC: what they send stays in the tunnel, nothing from the
//! network reaches them, and nobody answers for them there. Not so a router that is on one node alone: that node is its place on the network. Neither does a node answer there for addresses of other ports: their owners do.
//!
//! Must not: know how the node is connected.

use std::collections::BTreeSet;

use openflow_rs::{Action as OfAction, Field, Flow, Match, Subfield};
use uuid::Uuid;
use weft_expr::{Action, Expr, Pipeline, Symbol, inport};

use super::draft::{Draft, datapath_key, port_flow, port_key, tunnel_address, tunnel_to};
use super::port_security;
use crate::engine::{Key, Reader};
use crate::logical_flow::{Datapath, DatapathRef, NodeSet, Scope};
use crate::node::{NodeName, Ofport};
use crate::pipeline::{DatapathKey, DatapathKind, PortKey, Stage, UNKNOWN, register, table};
use crate::topology::{Link, Localnet, residence};

pub(super) fn compile(reader: &mut Reader<'_>, draft: &mut Draft, port: Uuid) {
    let read = reader.read(Key::SwitchPort(port)).switch_port().cloned();
    let plugs = reader.read(Key::Plugs(port)).plugs().cloned();
    let (Some(read), Some(plugs)) = (read, plugs) else {
        return;
    };
    let (Some(localnet), false) = (read.localnet, plugs.is_empty()) else {
        return;
    };
    let keys = datapath_key(reader, read.switch).zip(port_key(reader, read.switch, port));
    let Some(keys) = keys else {
        return;
    };
    draft.own("Logical_Switch_Port", port, &read.name);
    let everywhere = Scope::On {
        nodes: NodeSet::Localnet(port),
        except: None,
    };
    let (residents, others) = router_sides(reader, read.switch);
    for (node, ofport) in plugs.iter() {
        let answers = residents.contains(node);
        connect(draft, keys, localnet, (node, *ofport), answers);
    }
    tag(draft, keys, localnet, &everywhere);
    for side in others {
        let mut keep = from_port(port_flow(table::OUTPUT, keys.0, keys.1, Vec::new()), side);
        keep.priority = 110;
        draft.physical(&everywhere, keep);
    }
    let datapath = Datapath::One(DatapathRef::switch(read.switch));
    port_security::compile(draft, &datapath, &read, &everywhere);
    let mut flow = |stage, priority, matches: Expr, actions| {
        draft.flow(
            datapath.clone(),
            stage,
            priority,
            matches,
            actions,
            &everywhere,
        );
    };
    let from = inport(read.name.clone());
    flow(Stage::LsInArpRsp, 100, from, vec![Action::next()]);
    let to = |port: &str| vec![Action::outport(port.to_owned()), Action::Output];
    for (mac, _) in &read.addresses {
        let matches = Symbol::EthDst.is(*mac);
        flow(Stage::LsInL2Lkup, 50, matches, to(&read.name));
    }
    if read.takes_unknown {
        flow(Stage::LsInL2Lkup, 10, Expr::True, to(UNKNOWN));
    }
}

/// In from the network, and on the way out to it. `answers`: somebody on the node answers questions from there, and nothing else of that turns round.
fn connect(
    draft: &mut Draft,
    (datapath, port): (DatapathKey, PortKey),
    localnet: Localnet,
    (node, ofport): (&NodeName, Ofport),
    answers: bool,
) {
    let here = Scope::At(node.clone());
    let set_ofport = OfAction::set(Field::Reg(register::OFPORT), ofport.get());
    let start = |pipeline| {
        let stage = Stage::first(DatapathKind::Switch, pipeline);
        stage.map(|stage| OfAction::Resubmit {
            table: stage.table().get(),
        })
    };
    let mut enter = vec![
        OfAction::set(Field::Metadata, datapath.get()),
        OfAction::set(Field::Reg(register::INPORT), port.get()),
        set_ofport.clone(),
        OfAction::SetField {
            field: Field::Reg(register::FLAGS),
            value: register::FROM_OUTSIDE.into(),
            mask: register::FROM_OUTSIDE.into(),
        },
    ];
    enter.extend(start(Pipeline::Ingress));
    let untag = [vec![OfAction::PopVlan], enter.clone()].concat();
    let from = || Match::new().exact(Field::InPort, ofport.get());
    let in_vlan = |vlan: u16| from().masked(Field::VlanTci, VLAN_PRESENT | vlan, VLAN_MASK);
    let mut classify = |matches, actions| {
        let flow = Flow {
            table: table::CLASSIFY.get(),
            priority: 100,
            cookie: 0,
            matches,
            actions,
        };
        draft.physical(&here, flow);
    };
    match localnet.vlan {
        Some(vlan) => classify(in_vlan(vlan), untag),
        None => {
            let bare = from().masked(Field::VlanTci, 0u16, VLAN_PRESENT);
            classify(bare, enter);
            // A tag that says the priority alone is in no VLAN.
            classify(in_vlan(0), untag);
        }
    }
    let mut actions = vec![set_ofport];
    actions.extend(start(Pipeline::Egress));
    let leave = port_flow(table::OUTPUT, datapath, port, actions);
    if answers {
        let mut back = from_port(leave.clone(), port);
        let (flags, turned) = (
            Field::Reg(register::FLAGS),
            register::FROM_OUTSIDE | register::LOOPBACK,
        );
        back.matches = back.matches.masked(flags, turned, turned);
        draft.physical(&here, back);
    }
    draft.physical(&here, from_inside(leave));
}

/// Out to the network.
fn tag(
    draft: &mut Draft,
    (datapath, port): (DatapathKey, PortKey),
    localnet: Localnet,
    scope: &Scope,
) {
    if let Some(vlan) = localnet.vlan {
        let actions = vec![
            OfAction::PushVlan(localnet.ethertype),
            OfAction::set(Field::VlanVid, VLAN_PRESENT | vlan),
            OfAction::OutputField(Subfield::new(Field::Reg(register::OFPORT), 0, 16)),
        ];
        let deliver = port_flow(table::DELIVER, datapath, port, actions);
        draft.physical(scope, deliver);
    }
}

/// How other nodes reach a port of a switch that has physical networks: by the one that they share with its node, else by the tunnel. What came
/// from outside goes neither way.
pub(super) fn reach(
    reader: &mut Reader<'_>,
    draft: &mut Draft,
    switch: Uuid,
    (datapath, port): (DatapathKey, PortKey),
    node: &NodeName,
) {
    let on = |nodes| Scope::On {
        nodes,
        except: Some(node.clone()),
    };
    let Some(address) = tunnel_address(reader, node) else {
        return;
    };
    let through_tunnel =
        || from_inside(port_flow(table::OUTPUT, datapath, port, tunnel_to(address)));
    draft.physical(&on(NodeSet::Domain(switch)), through_tunnel());
    let Some(localnet) = reader.first_row(Key::Uplink(switch, node.clone())) else {
        return;
    };
    let Some(localnet_key) = port_key(reader, switch, localnet) else {
        return;
    };
    let sharers = on(NodeSet::Localnet(localnet));
    let actions = vec![
        OfAction::set(Field::Reg(register::OUTPORT), localnet_key.get()),
        OfAction::Resubmit {
            table: table::OUTPUT.get(),
        },
    ];
    let mut through_network = from_inside(port_flow(table::OUTPUT, datapath, port, actions));
    through_network.priority = 105;
    draft.physical(&sharers, through_network);
    for (_, side) in all_router_sides(reader, switch) {
        let mut routed = from_port(through_tunnel(), side);
        routed.priority = 110;
        draft.physical(&sharers, routed);
    }
}

/// The nodes of routers on the switch that are on one node alone, and the switch's sides of the ports of all others.
fn router_sides(reader: &mut Reader<'_>, switch: Uuid) -> (BTreeSet<NodeName>, Vec<PortKey>) {
    let (mut residents, mut sides) = (BTreeSet::new(), Vec::new());
    for (router, side) in all_router_sides(reader, switch) {
        match residence(reader, router) {
            Some(node) => drop(residents.insert(node)),
            None => sides.push(side),
        }
    }
    (residents, sides)
}

/// Routers on the switch, and its sides of their ports.
fn all_router_sides(reader: &mut Reader<'_>, switch: Uuid) -> Vec<(Uuid, PortKey)> {
    let mut sides = Vec::new();
    for port in reader.rows(Key::RouterPortsOn(switch)) {
        let face = reader.read(Key::Face(port)).face().cloned();
        if let Some(face) = face
            && let Link::Switch { port: side, .. } = face.link
        {
            let key = port_key(reader, switch, side);
            sides.extend(key.map(|key| (face.router, key)));
        }
    }
    sides
}

fn from_port(mut flow: Flow, port: PortKey) -> Flow {
    flow.matches = flow.matches.exact(Field::Reg(register::INPORT), port.get());
    flow
}

/// Only for packets of this node's own ports and routers.
fn from_inside(mut flow: Flow) -> Flow {
    let (flags, outside) = (Field::Reg(register::FLAGS), register::FROM_OUTSIDE);
    flow.matches = flow.matches.masked(flags, 0u32, outside);
    flow
}

/// The bit of `vlan_tci` that says that there is a tag; it counts as part of `vlan_vid` when that is written.
const VLAN_PRESENT: u16 = 0x1000;
/// That bit and the VLAN's number, without the priority.
const VLAN_MASK: u16 = 0x1fff;
