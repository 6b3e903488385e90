//! A router port: the way into the router and out of it.
//!
//! Routers are on every node, so a router port is crossed in place: the packet becomes one of the other datapath, without history. A router that is
//! on one node alone (`options:chassis`) is crossed into there, and by a tunnel from elsewhere.
//!
//! Must not: say anything about networks; each has a unit of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use openflow_rs::Field;
use uuid::Uuid;
use weft_expr::{Action, Pipeline, Symbol, inport, outport, reply};

use super::draft::{Draft, cross, datapath_key, port_flow, port_key, tunnel_address, tunnel_to};
use super::gateway::{neighbours, resolve};
use crate::engine::{Key, Reader};
use crate::logical_flow::{Datapath, DatapathRef, NodeSet, Scope};
use crate::pipeline::{DatapathKind, Stage, register, table};
use crate::topology::address::link_local;
use crate::topology::{Face, Link, owns_mac, residence};

pub(super) fn compile(reader: &mut Reader<'_>, draft: &mut Draft, port: Uuid) {
    let Some(face) = reader.read(Key::Face(port)).face().cloned() else {
        return;
    };
    if !owns_mac(reader, port, &face.link, face.mac) {
        return;
    }
    draft.own("Logical_Router_Port", port, &face.name);
    match &face.link {
        Link::None => {}
        Link::Router { router, port: peer } => {
            let domain = on(NodeSet::Domain(face.router));
            out(
                reader,
                draft,
                (face.router, port),
                (*router, *peer, DatapathKind::Router),
                &domain,
            );
        }
        Link::Switch {
            switch,
            port: side,
            name,
        } => {
            let is_plain = !reader.read(Key::Routed(*switch)).is_absent();
            let is_routed_to =
                !reader.is_empty(Key::RoutedPorts(port)) || !reader.is_empty(Key::Switched(port));
            let domain = on(NodeSet::Domain(face.router));
            let on_switch = on(NodeSet::Switch(*switch));
            let inward = if is_plain { &on_switch } else { &domain };
            into(reader, draft, &face, port, (*switch, *side, name), inward);
            // In a plain domain packets are delivered past the switch's ingress, but for those that a route sends to a next hop, and those to
            // switched subnets.
            if !is_plain || is_routed_to {
                let outward = &domain;
                let switch_side = (*switch, *side, DatapathKind::Switch);
                out(reader, draft, (face.router, port), switch_side, outward);
                let answer = Stage::LsInArpRsp;
                let past = Action::next_stage(answer.pipeline(), answer.number());
                let datapath = Datapath::One(DatapathRef::switch(*switch));
                let (stage, from) = (Stage::LsInCheckPortSec, inport(name.clone()));
                draft.flow(
                    datapath.clone(),
                    stage,
                    50,
                    from.clone(),
                    vec![past],
                    outward,
                );
                // Routers know whom they send to: a MAC that is not known here is nobody's, and not asked for elsewhere.
                let stage = Stage::LsInL2Lkup;
                draft.flow(
                    datapath.clone(),
                    stage,
                    5,
                    from.clone(),
                    vec![Action::Drop],
                    outward,
                );
                // A computed MAC may turn out to be the router's own.
                let back = from & Symbol::EthDst.is(face.mac);
                draft.flow(datapath, stage, 60, back, vec![Action::Drop], outward);
            }
            if face.has_ipv6 {
                link_local_flows(draft, &face, *switch, &on_switch);
            }
        }
    }
    let is_plain = match &face.link {
        Link::Switch { switch, .. } => !reader.read(Key::Routed(*switch)).is_absent(),
        Link::None | Link::Router { .. } => false,
    };
    if !is_plain || !reader.is_empty(Key::RoutedPorts(port)) {
        own_errors(reader, draft, &face, port);
    }
    if face.has_ipv6 {
        link_local_hops(reader, draft, &face, port);
    }
}

fn on(nodes: NodeSet) -> Scope {
    Scope::On {
        nodes,
        except: None,
    }
}

/// From the switch into the router: the MAC looked up, and the port crossed. What another node sends is routed already: a node passes
/// nothing on for others.
fn into(
    reader: &mut Reader<'_>,
    draft: &mut Draft,
    face: &Face,
    port: Uuid,
    (switch, side, name): (Uuid, Uuid, &std::sync::Arc<str>),
    scope: &Scope,
) {
    let datapath = Datapath::One(DatapathRef::switch(switch));
    let actions = vec![Action::outport(name.clone()), Action::Output];
    draft.flow(
        datapath,
        Stage::LsInL2Lkup,
        50,
        Symbol::EthDst.is(face.mac),
        actions,
        scope,
    );
    let keys = (
        datapath_key(reader, switch),
        port_key(reader, switch, side),
        datapath_key(reader, face.router),
        port_key(reader, face.router, port),
    );
    if let (Some(switch), Some(side), Some(router), Some(port)) = keys {
        let actions = cross(router, port, DatapathKind::Router);
        let here = port_flow(table::OUTPUT, switch, side, actions);
        let Some(node) = residence(reader, face.router) else {
            draft.physical(scope, from_inside(here));
            return;
        };
        // The router is there alone, so others send it what it is to route. From physical networks it hears on its own node.
        draft.physical(&Scope::At(node.clone()), here);
        if let Some(address) = tunnel_address(reader, &node) {
            let there = port_flow(table::OUTPUT, switch, side, tunnel_to(address));
            let others = Scope::On {
                nodes: NodeSet::Domain(face.router),
                except: Some(node),
            };
            draft.physical(&others, from_inside(there));
        }
    }
}

/// Only for packets of this node's own ports and routers.
fn from_inside(mut flow: openflow_rs::Flow) -> openflow_rs::Flow {
    let from_outside = register::FROM_OUTSIDE.into();
    flow.matches
        .insert(Field::Reg(register::FLAGS), 0, from_outside);
    flow
}

/// Out of the router into what it is joined to.
fn out(
    reader: &mut Reader<'_>,
    draft: &mut Draft,
    (router, port): (Uuid, Uuid),
    (other, peer, kind): (Uuid, Uuid, DatapathKind),
    scope: &Scope,
) {
    let row = router;
    let keys = (
        datapath_key(reader, router),
        port_key(reader, router, port),
        datapath_key(reader, other),
        port_key(reader, other, peer),
    );
    if let (Some(router), Some(port), Some(other), Some(peer)) = keys {
        let actions = cross(other, peer, kind);
        let here = residence(reader, row).map(Scope::At);
        let scope = here.as_ref().unwrap_or(scope);
        draft.physical(scope, port_flow(table::DELIVER, router, port, actions));
    }
}

/// The source of the router's errors to who is beyond the port, and in no network of it: the port's first address.
fn own_errors(reader: &mut Reader<'_>, draft: &mut Draft, face: &Face, port: Uuid) {
    let connected = reader.read(Key::Connected(port)).networks().cloned();
    let Some(networks) = connected else { return };
    let stage = Stage::LrOutLocate;
    let again = Action::next_stage(stage.pipeline(), stage.number());
    let first4 = networks.iter().find_map(|network| match network.addr() {
        IpAddr::V4(own) => Some(own),
        IpAddr::V6(_) => None,
    });
    let first6 = networks.iter().find_map(|network| match network.addr() {
        IpAddr::V4(_) => None,
        IpAddr::V6(own) => Some(own),
    });
    let fill4 = first4.map(|own| {
        let open = Symbol::Ip4Src.is(Ipv4Addr::UNSPECIFIED);
        (open, Symbol::Ip4Src.set(own))
    });
    let fill6 = first6.map(|own| {
        let open = Symbol::Ip6Src.is(Ipv6Addr::UNSPECIFIED);
        (open, Symbol::Ip6Src.set(own))
    });
    for (open, fill) in fill4.into_iter().chain(fill6) {
        let router = Datapath::One(DatapathRef::router(face.router));
        let matches = outport(face.name.clone()) & open;
        let (actions, domain) = (vec![fill, again.clone()], on(NodeSet::Domain(face.router)));
        draft.flow(router, stage, 108, matches, actions, &domain);
    }
}

/// Routes of neighbouring routers may name the link-local address as next hop.
fn link_local_hops(reader: &mut Reader<'_>, draft: &mut Draft, face: &Face, port: Uuid) {
    let address = link_local(face.mac);
    for other in neighbours(reader, face, port) {
        if !reader.is_empty(Key::NextHops(other.router, IpAddr::V6(address))) {
            let domain = on(NodeSet::Domain(face.router));
            resolve(draft, &other, face.mac, IpAddr::V6(address), &domain);
        }
    }
}

/// The router's link-local address: solicited and pinged on the switch, beyond which it means nothing.
fn link_local_flows(draft: &mut Draft, face: &Face, switch: Uuid, scope: &Scope) {
    let address = link_local(face.mac);
    let stage = Stage::LsInArpRsp;
    let datapath = Datapath::One(DatapathRef::switch(switch));
    let (reserved, number) = (reply::ND_ROUTER, stage.number());
    let turn = reply::nd_turn(face.mac, reserved, Pipeline::Ingress, number);
    draft.flow(
        datapath.clone(),
        stage,
        50,
        reply::nd_solicitation(address),
        turn,
        scope,
    );
    let mut back = reply::ping6_answer();
    back.extend([
        Symbol::EthDst.copy_from(Symbol::EthSrc),
        Symbol::EthSrc.set(face.mac),
        Action::turn_back(),
        Action::Output,
    ]);
    let matches = Symbol::EthDst.is(face.mac) & reply::ping6(address);
    draft.flow(datapath, stage, 50, matches, back, scope);
}
