//! An address of a router port, and the network connected there.
//!
//! A subnet that is on one node alone has its gateway there: in a plain domain others reach it as they reach any address, and the ping
//! is turned round where it is located. Otherwise the gateway is wherever the router is.
//!
//! Must not: answer for any other address of the network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use uuid::Uuid;
use weft_expr::{Action, Constant, Expr, Mac, Pipeline, Symbol, inport, outport, reply};

use super::draft::Draft;
use super::location::destined_to;
use super::route::{route_priority, towards_destination};
use crate::engine::{Key, Member, Reader};
use crate::logical_flow::{Datapath, DatapathRef, NodeSet, Scope};
use crate::node::NodeName;
use crate::pipeline::Stage;
use crate::topology::{DERIVED_MAC_HIGH, Face, Link, Spread, residence};

pub(super) fn compile(reader: &mut Reader<'_>, draft: &mut Draft, port: Uuid, network: IpNet) {
    let connected = reader.read(Key::Connected(port)).networks().cloned();
    let own = connected.and_then(|networks| {
        let mut networks = networks.iter();
        networks.find(|own| own.trunc() == network).copied()
    });
    let face = reader.read(Key::Face(port)).face().cloned();
    let (Some(own), Some(face)) = (own, face) else {
        return;
    };
    draft.own("Logical_Router_Port", port, &face.name);
    let domain = on(NodeSet::Domain(face.router));
    let router = Datapath::One(DatapathRef::router(face.router));
    let switch = match &face.link {
        Link::Switch { switch, .. } => Some(*switch),
        Link::Router { .. } | Link::None => None,
    };
    let is_plain = switch.is_some_and(|switch| !reader.read(Key::Routed(switch)).is_absent());
    let beside = match is_plain {
        true => beside_routes(reader, face.router, own),
        false => Beside::default(),
    };
    let spread = match is_plain {
        true => reader.read(Key::Spread(port, network)).spread().cloned(),
        false => None,
    };
    let is_switched = spread == Some(Spread::Switched);
    let is_at_home = matches!(spread, Some(Spread::Home(_)));
    let home = match spread {
        Some(Spread::Home(home)) if !beside.is_routed_away => Some(home),
        _ => None,
    };
    ping(draft, &router, own.addr(), home, &domain);
    let priority = route_priority(network, 2);
    if is_plain && !is_switched {
        if beside.is_within_route || beside.is_cut || !is_at_home {
            // Location prefixes stand for the connected networks: one for all of a network that is on one node, or several that leave
            // open what nobody has. That must not fall to a route for more than the network, and is not without a route: it is nobody's.
            let actions = towards_destination(&face, network);
            draft.flow(
                router.clone(),
                Stage::LrInIpRouting,
                priority,
                destined_to(network),
                actions,
                &domain,
            );
        }
    } else {
        let actions = towards_destination(&face, network);
        draft.flow(
            router.clone(),
            Stage::LrInIpRouting,
            priority,
            destined_to(network),
            actions,
            &domain,
        );
        match is_switched {
            true => resolve_computed(draft, &face, network, &domain),
            false => {
                for other in neighbours(reader, &face, port) {
                    resolve(draft, &other, face.mac, own.addr(), &domain);
                }
            }
        }
    }
    if let Link::Switch { switch, name, .. } = &face.link
        && is_plain
        && !is_switched
        && reader.options().derived_ports
    {
        locate(reader, draft, &face, (*switch, name), network);
    }
    // To who is found by location, where he is; to who is routed to, out of the port.
    if let (Some(switch), true, false) = (switch, is_plain, is_switched) {
        let here = on(NodeSet::Subnets(switch, vec![network]));
        own_errors(draft, &router, "", own, &here);
    }
    if !is_plain || is_switched || !reader.is_empty(Key::RoutedPorts(port)) {
        own_errors(draft, &router, &face.name, own, &domain);
    }
    if let Some(switch) = switch {
        let node = residence(reader, face.router);
        answer(reader, draft, &face, switch, network, own.addr(), node);
        own_sources(draft, &router, &face, own, switch);
    }
}

/// Static routes that meet a connected network.
#[derive(Default)]
struct Beside {
    /// One is for all of the network.
    is_within_route: bool,
    /// One is for the router's own address and less than the network: then no location prefix leads to the address, though it is the router's
    /// all the same.
    is_routed_away: bool,
    /// One is for a part of the network, which location prefixes leave out, and what is beside it with that.
    is_cut: bool,
}

fn beside_routes(reader: &mut Reader<'_>, router: Uuid, own: IpNet) -> Beside {
    let (mut is_routed_away, mut is_cut) = (false, false);
    let mut longest_around = |reader: &mut Reader<'_>, prefixes| {
        let mut longest = None;
        for member in reader.read(prefixes).set().keys() {
            if let Member::Network(prefix) = member {
                if prefix.contains(&own.trunc()) {
                    longest = longest.max(Some(prefix.prefix_len()));
                }
                let is_longer = prefix.prefix_len() > own.prefix_len();
                is_routed_away |= is_longer && prefix.contains(&own.addr());
                is_cut |= is_longer && own.trunc().contains(prefix);
            }
        }
        longest
    };
    let leading = longest_around(reader, Key::StaticPrefixes(router));
    let discarding = longest_around(reader, Key::DiscardedPrefixes(router));
    // What falls to a route that discards is dropped as well.
    let is_within = leading.is_some() && leading >= discarding;
    Beside {
        is_within_route: is_within,
        is_routed_away,
        is_cut,
    }
}

/// The source of the router's errors to who is in the network: the router's address there, as far as he knows the router.
fn own_errors(draft: &mut Draft, router: &Datapath, port: &str, own: IpNet, scope: &Scope) {
    let (open, fill) = match own.addr() {
        IpAddr::V4(own) => (
            Symbol::Ip4Src.is(Ipv4Addr::UNSPECIFIED),
            Symbol::Ip4Src.set(own),
        ),
        IpAddr::V6(own) => (
            Symbol::Ip6Src.is(Ipv6Addr::UNSPECIFIED),
            Symbol::Ip6Src.set(own),
        ),
    };
    let stage = Stage::LrOutLocate;
    let again = Action::next_stage(stage.pipeline(), stage.number());
    let matches = outport(port) & open & destined_to(own.trunc());
    draft.flow(
        router.clone(),
        stage,
        110,
        matches,
        vec![fill, again],
        scope,
    );
}

fn on(nodes: NodeSet) -> Scope {
    Scope::On {
        nodes,
        except: None,
    }
}

fn ping(draft: &mut Draft, router: &Datapath, own: IpAddr, home: Option<NodeName>, domain: &Scope) {
    let (matches, mut actions) = match own {
        IpAddr::V4(own) => (reply::ping4(own), reply::ping4_answer()),
        IpAddr::V6(own) => (reply::ping6(own), reply::ping6_answer()),
    };
    match home {
        None => {
            actions.push(Action::next());
            draft.flow(
                router.clone(),
                Stage::LrInIpInput,
                90,
                matches,
                actions,
                domain,
            );
        }
        Some(home) => {
            let routing = Stage::LrInIpRouting;
            actions.push(Action::next_stage(Pipeline::Ingress, routing.number()));
            let matches = outport("") & matches;
            // Before the TTL is looked at: what is for the router itself may have come to its end.
            draft.flow(
                router.clone(),
                Stage::LrOutLocate,
                100,
                matches,
                actions,
                &Scope::At(home),
            );
        }
    }
}

/// Routed packets that have come to the node of a port whose address is in the network: the switch knows which it is. Ports that are not
/// derived have flows above this one.
fn locate(
    reader: &mut Reader<'_>,
    draft: &mut Draft,
    face: &Face,
    (switch, side): (Uuid, &Arc<str>),
    network: IpNet,
) {
    let actions = vec![
        Action::DecrementTtl,
        Symbol::EthSrc.set(face.mac),
        Action::locate(super::datapath_name(reader, switch), side.clone()),
    ];
    let matches = outport("") & destined_to(network);
    let scope = on(NodeSet::Subnets(switch, vec![network]));
    let router = Datapath::One(DatapathRef::router(face.router));
    draft.flow(router, Stage::LrOutLocate, 40, matches, actions, &scope);
}

/// ARP and ND, on the nodes that have someone to ask; for hosts of physical networks too, if the router is on one node alone, there.
pub(super) fn answer(
    reader: &mut Reader<'_>,
    draft: &mut Draft,
    face: &Face,
    switch: Uuid,
    network: IpNet,
    own: IpAddr,
    residence: Option<NodeName>,
) {
    let stage = Stage::LsInArpRsp;
    let datapath = Datapath::One(DatapathRef::switch(switch));
    let mut add = |priority, from: Option<&Arc<str>>, scope: &Scope| {
        let mut flow = |matches: Expr, actions| {
            let matches = match from {
                None => matches,
                Some(port) => inport(port.clone()) & matches,
            };
            draft.flow(datapath.clone(), stage, priority, matches, actions, scope);
        };
        match own {
            IpAddr::V4(own) => {
                flow(reply::arp_request(own), reply::arp_answer(face.mac, own));
            }
            IpAddr::V6(own) => {
                let (reserved, number) = (reply::ND_ROUTER, stage.number());
                let turn = reply::nd_turn(face.mac, reserved, Pipeline::Ingress, number);
                flow(reply::nd_solicitation(own), turn);
                if from.is_some() {
                    flow(reply::nd_half_made(reserved), reply::nd_answer(reserved));
                }
            }
        }
    };
    add(50, None, &on(NodeSet::Subnets(switch, vec![network])));
    let Some(node) = residence else {
        return;
    };
    for localnet in reader.rows(Key::LocalnetsOf(switch)) {
        if let Some(port) = reader.read(Key::SwitchPort(localnet)).switch_port() {
            // Before that nobody answers there.
            add(105, Some(&port.name), &Scope::At(node.clone()));
        }
    }
}

/// Packets that claim to come from the router, or from everyone. Only ports that are not held to their own addresses can send them.
fn own_sources(draft: &mut Draft, router: &Datapath, face: &Face, own: IpNet, switch: Uuid) {
    let sources = match own {
        IpNet::V4(own) if own.prefix_len() < 31 => {
            Symbol::Ip4Src.one_of([Constant::from(own.addr()), Constant::from(own.broadcast())])
        }
        IpNet::V4(own) => Symbol::Ip4Src.is(own.addr()),
        IpNet::V6(own) => Symbol::Ip6Src.is(own.addr()),
    };
    let matches = inport(face.name.clone()) & sources;
    let scope = on(NodeSet::Unguarded(switch));
    draft.flow(
        router.clone(),
        Stage::LrInIpInput,
        100,
        matches,
        vec![Action::Drop],
        &scope,
    );
}

/// Other routers that meet this one on its switch, or at the other end of its port: they know its MAC.
pub(super) fn neighbours(reader: &mut Reader<'_>, face: &Face, port: Uuid) -> Vec<Arc<Face>> {
    let others = match &face.link {
        Link::None => Vec::new(),
        Link::Router { port: peer, .. } => vec![*peer],
        Link::Switch { switch, .. } => reader.rows(Key::RouterPortsOn(*switch)),
    };
    let others = others.into_iter().filter(|other| *other != port);
    others
        .filter_map(|other| reader.read(Key::Face(other)).face().cloned())
        .collect()
}

/// A next hop out of a router port, to its MAC.
pub(super) fn resolve(draft: &mut Draft, face: &Face, mac: Mac, ip: IpAddr, scope: &Scope) {
    resolve_at(draft, 100, face, mac, ip, scope);
}

/// The same, of some priority.
pub(super) fn resolve_at(
    draft: &mut Draft,
    priority: u16,
    face: &Face,
    mac: Mac,
    ip: IpAddr,
    scope: &Scope,
) {
    let hop = match ip {
        IpAddr::V4(ip) => weft_expr::Predicate::Ip4 & Symbol::Reg0.is(ip),
        IpAddr::V6(ip) => weft_expr::Predicate::Ip6 & Symbol::XxReg0.is(ip),
    };
    let matches = outport(face.name.clone()) & hop;
    let actions = vec![Symbol::EthDst.set(mac), Action::Output];
    let router = Datapath::One(DatapathRef::router(face.router));
    draft.flow(
        router,
        Stage::LrInArpResolve,
        priority,
        matches,
        actions,
        scope,
    );
}

/// Next hops of a whole IPv4 subnet, whose MACs follow from their addresses. An address that nobody has gives a MAC that nobody has.
fn resolve_computed(draft: &mut Draft, face: &Face, network: IpNet, scope: &Scope) {
    let hop = Symbol::Reg0.in_prefix(network.addr(), network.prefix_len());
    let matches = outport(face.name.clone()) & weft_expr::Predicate::Ip4 & hop;
    let actions = vec![
        Symbol::EthDst.bits(32, 47).set(DERIVED_MAC_HIGH),
        Symbol::EthDst.bits(0, 31).copy_from(Symbol::Reg0),
        Action::Output,
    ];
    // Below the next hops that routes name.
    let router = Datapath::One(DatapathRef::router(face.router));
    draft.flow(router, Stage::LrInArpResolve, 50, matches, actions, scope);
}
