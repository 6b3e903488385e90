//! A static route, and the router's use of its next hop.
//!
//! Routes for the same prefix share the packets: the first of them (by UUID) has the choice made, each has a flow for its own lot.
//!
//! ```text
//!   lr_in_ip_routing       ip4.dst == P                                        reg8[0..15] = G; reg8[16..31] = select(0, 1);
//!   lr_in_ip_routing_ecmp  reg8[0..15] == G && reg8[16..31] == 1 && ip4.dst == P    out of a port, to a next hop
//! ```
//!
//! G follows from the priority, so that it and the prefix name the group without a number of its own. The choice is a hash over addresses,
//! protocol and ports, made by the switch without a group: one next hop more changes few choices.
//!
//! A route that counts on one node alone (`options:weft-node`) is asked after all others of its length, and is on that node alone. It leads out of
//! the cluster, to the node's own host; what comes from there and has nowhere else to go is dropped, or it would go round. So it too has two flows.
//!
//! Must not: resolve the next hop; the port that has the address does.

use std::net::IpAddr;

use ipnet::IpNet;
use uuid::Uuid;
use weft_expr::{Action, Expr, Symbol, inport};

use super::draft::Draft;
use super::location::{destined_to, sent_from};
use crate::diagnostic::Diagnostic;
use crate::engine::{Key, Reader};
use crate::logical_flow::{Datapath, DatapathRef, NodeSet, Scope};
use crate::node::NodeName;
use crate::pipeline::Stage;
use crate::topology::{Face, Route, Side};

pub(super) fn compile(reader: &mut Reader<'_>, draft: &mut Draft, route: Uuid) {
    let Some(read) = reader.read(Key::Route(route)).route().cloned() else {
        return;
    };
    if let Some(node) = read.node.clone() {
        compile_way_out(reader, draft, (route, &read), node);
        return;
    }
    let group = reader.rows(Key::RouteGroup(read.router, read.side, read.prefix));
    let lots = group.len().min(usize::from(LOTS_MAX));
    let lot = group.iter().position(|member| *member == route);
    let numbers = lot
        .filter(|lot| *lot < lots)
        .and_then(|lot| u16::try_from(lot).ok())
        .zip(u16::try_from(lots).ok());
    let Some((lot, lots)) = numbers else {
        reader.diagnose(Diagnostic {
            table: "Logical_Router_Static_Route",
            uuid: route,
            name: String::new(),
            column: "ip_prefix",
            message: format!(
                "{LOTS_MAX} other routes of this router are for {} too, and no more can share its packets; this one is left out",
                read.prefix
            ),
        });
        return;
    };
    let actions = way(reader, &read);
    draft.own("Logical_Router_Static_Route", route, "");
    let (priority, matches) = match read.side {
        Side::Destination => (route_priority(read.prefix, 1), destined_to(read.prefix)),
        Side::Source => (route_priority(read.prefix, 0), sent_from(read.prefix)),
    };
    let scope = Scope::On {
        nodes: NodeSet::Domain(read.router),
        except: None,
    };
    let datapath = Datapath::One(DatapathRef::router(read.router));
    let mut add = |stage, priority, matches: Expr, actions| {
        draft.flow(datapath.clone(), stage, priority, matches, actions, &scope);
    };
    if lots == 1 {
        add(Stage::LrInIpRouting, priority, matches, actions);
        return;
    }
    let (group, number) = (Symbol::Reg8.bits(0, 15), Symbol::Reg8.bits(16, 31));
    // Never 0, which says that there was no choice.
    let name = priority;
    if lot == 0 {
        let choose = vec![group.set(name), Action::select(number, lots)];
        add(Stage::LrInIpRouting, priority, matches.clone(), choose);
    }
    let chosen = group.is(name) & number.is(lot) & matches;
    add(Stage::LrInIpRoutingEcmp, 100, chosen, actions);
}

/// A route of one node.
fn compile_way_out(
    reader: &mut Reader<'_>,
    draft: &mut Draft,
    (route, read): (Uuid, &Route),
    node: NodeName,
) {
    let actions = way(reader, read);
    draft.own("Logical_Router_Static_Route", route, "");
    let matches = match read.side {
        Side::Destination => destined_to(read.prefix),
        Side::Source => sent_from(read.prefix),
    };
    let scope = Scope::At(node);
    let datapath = Datapath::One(DatapathRef::router(read.router));
    let mut add = |stage, priority, matches: Expr, actions| {
        draft.flow(datapath.clone(), stage, priority, matches, actions, &scope);
    };
    let (group, number) = (Symbol::Reg8.bits(0, 15), Symbol::Reg8.bits(16, 31));
    let priority = route_priority(read.prefix, 0);
    let name = priority;
    let choose = vec![group.set(name), number.set(WAY_OUT), Action::next()];
    add(Stage::LrInIpRouting, priority, matches.clone(), choose);
    let chosen = group.is(name) & number.is(WAY_OUT) & matches;
    add(Stage::LrInIpRoutingEcmp, 100, chosen.clone(), actions);
    let port = read.next_hop.as_ref().map(|hop| hop.port);
    let face = port.and_then(|port| reader.read(Key::Face(port)).face());
    if let Some(face) = face {
        let round = inport(face.name.clone()) & chosen;
        add(Stage::LrInIpRoutingEcmp, 110, round, vec![Action::Drop]);
    }
}

/// What a route does with a packet.
fn way(reader: &mut Reader<'_>, route: &Route) -> Vec<Action> {
    let Some(hop) = &route.next_hop else {
        return vec![Action::Drop];
    };
    match reader.read(Key::Face(hop.port)).face().cloned() {
        None => vec![Action::Drop],
        Some(face) => towards(&face, hop.address),
    }
}

/// A longer prefix before a shorter one, and of the same length a connected network (2) before a static route (1), and that before a route
/// by source and one of one node alone (0), as in OVN. Never 0, which is for what no route is for.
pub(super) fn route_priority(prefix: IpNet, rank: u16) -> u16 {
    u16::from(prefix.prefix_len()) * 3 + rank + 1
}

/// Out of a router port, to a next hop.
fn towards(face: &Face, next_hop: IpAddr) -> Vec<Action> {
    let hop = match next_hop {
        IpAddr::V4(address) => Symbol::Reg0.set(address),
        IpAddr::V6(address) => Symbol::XxReg0.set(address),
    };
    leave(face, hop)
}

/// Out of a router port, straight to the destination: it is in a network connected there.
pub(super) fn towards_destination(face: &Face, network: IpNet) -> Vec<Action> {
    leave(
        face,
        match network {
            IpNet::V4(_) => Symbol::Reg0.copy_from(Symbol::Ip4Dst),
            IpNet::V6(_) => Symbol::XxReg0.copy_from(Symbol::Ip6Dst),
        },
    )
}

fn leave(face: &Face, hop: Action) -> Vec<Action> {
    vec![
        hop,
        Symbol::EthSrc.set(face.mac),
        Action::outport(face.name.clone()),
        // A router sends back where it came from, if that is the way.
        Symbol::FlagsLoopback.set(1),
        Action::next(),
    ]
}

/// Stands for the lot of a route of one node: no lot of a group.
const WAY_OUT: u16 = 0xffff;
/// Most routes that share a prefix.
const LOTS_MAX: u16 = 256;
