//! Load balancers: where their clients are, in the ingress pipeline of the clients' switches.
//!
//! ```text
//!   ls_in_pre_lb        ip from a port of the switch          reg3 = number of the set
//!   ls_in_pre_stateful  reg3, to a virtual address            reg0[0] = 1, reg1 = hairpin address, ct(zone = port, nat)
//!   ls_in_lb            reg3, ct.new, to address and port     group ─▶ ct(commit, nat(dst = endpoint))
//!   ls_in_hairpin       reg0[0], from a port to itself        source = reg1, back out of the port
//!   ls_out_pre_lb       ip to a port of the switch            ct(zone = port, nat): the source is the virtual address again
//! ```
//!
//! All packets to a virtual address are tracked, not only those to a port of it: the later fragments of a datagram have no port.
//!
//! The answer to a hairpin goes to the hairpin address, and therefore back to who sent it. Without an address of its own for that the virtual
//! address stands in, whose packets to ports that nothing is served at are such answers.
//!
//! Must not: give a node anything whose ports have no use for it.

mod buckets;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;
use weft_expr::{Action, Backend, Expr, Predicate, Replacement, Symbol, inport};

use super::draft::Draft;
use crate::engine::{Key, Member, Reader};
use crate::logical_flow::{Datapath, DatapathRef, NodeSet, Scope};
use crate::node::NodeName;
use crate::pipeline::register::balancing::{self, HAIRPIN4, HAIRPIN6, SET};
use crate::pipeline::{DatapathKind, GroupId, Stage};
use crate::topology::{
    self, Balancer, BalancerGroups, Link, Protocol, Variant, Vip, VirtualAddress,
};

/// The flows by which a switch has its load balancers.
pub(super) fn compile_switch(reader: &mut Reader<'_>, draft: &mut Draft, switch: Uuid) {
    let Some(set) = reader.read(Key::SetOf(switch)).row().copied() else {
        return;
    };
    let Some(number) = set_number(reader, set) else {
        return;
    };
    let name = super::datapath_name(reader, switch);
    draft.own("Logical_Switch", switch, &name);
    let datapath = Datapath::One(DatapathRef::switch(switch));
    let scope = Scope::On {
        nodes: NodeSet::Switch(switch),
        except: None,
    };
    // What a router sends into the switch is on its way from somewhere else, and has no zone here.
    for router_port in reader.rows(Key::RouterPortsOn(switch)) {
        let face = reader.read(Key::RouterPort(router_port)).router_port();
        if let Some(Link::Switch { name, .. }) = face.map(|face| &face.link) {
            let matches = inport(name.clone());
            let actions = vec![Action::next()];
            let stage = Stage::LsInPreLb;
            draft.flow(datapath.clone(), stage, 110, matches, actions, &scope);
        }
    }
    let mark = vec![SET.set(number), Action::next()];
    draft.flow(
        datapath.clone(),
        Stage::LsInPreLb,
        100,
        Predicate::Ip,
        mark,
        &scope,
    );
    let track = vec![Action::CtLb];
    draft.flow(
        datapath,
        Stage::LsOutPreLb,
        100,
        Predicate::Ip,
        track,
        &scope,
    );
}

/// What the load balancers of a set share. Answers to what came from a hairpin address go back to who sends them, for they are its own.
pub(super) fn compile_set(reader: &mut Reader<'_>, draft: &mut Draft, set: Uuid) {
    let Some(number) = set_number(reader, set) else {
        return;
    };
    pass(draft, &on(&[set]));
    for member in reader.members(Key::HairpinsOf(set)) {
        if let Member::Address(address) = member {
            let matches = SET.is(number) & to(address);
            let actions = turn_back(address);
            let stage = Stage::LsInPreStateful;
            draft.flow(every(), stage, 90, matches, actions, &on(&[set]));
        }
    }
}

/// What goes to no load balancer, and what belongs to no connection.
fn pass(draft: &mut Draft, scope: &Scope) {
    let mut add = |stage, priority, matches: Expr| {
        let actions = vec![Action::next()];
        draft.flow(every(), stage, priority, matches, actions, scope);
    };
    for stage in [Stage::LsInPreStateful, Stage::LsInLb, Stage::LsInHairpin] {
        add(stage, 0, Expr::True);
    }
    add(Stage::LsOutPreLb, 110, Symbol::EthMcast.is(1));
    let messages = [Predicate::Nd, Predicate::NdRs, Predicate::NdRa];
    add(Stage::LsOutPreLb, 110, Expr::any(messages));
}

/// A load balancer's own flows and groups.
pub(super) fn compile(reader: &mut Reader<'_>, draft: &mut Draft, balancer: Uuid) {
    let Some(read) = reader.read(Key::Balancer(balancer)).balancer().cloned() else {
        return;
    };
    draft.own("Load_Balancer", balancer, &read.name);
    for address in &read.addresses {
        let sets = held(reader, balancer, address.vip, &read.sets);
        if !sets.is_empty() {
            let mut unit = AddressUnit {
                draft: &mut *draft,
                balancer: &read,
                address,
                sets,
            };
            unit.track();
            unit.balance(reader, balancer);
        }
    }
}

/// The sets in which the virtual address is this load balancer's, and their numbers. Says so where it is another's.
fn held(reader: &mut Reader<'_>, balancer: Uuid, vip: Vip, sets: &[Uuid]) -> Vec<(Uuid, u32)> {
    let mut held = Vec::new();
    for set in sets {
        match reader.first_claim(Key::VipClaims(*set, vip)) {
            Some(holder) if holder != balancer => complain(reader, balancer, vip, holder),
            _ => held.extend(set_number(reader, *set).map(|number| (*set, number))),
        }
    }
    held
}

fn complain(reader: &mut Reader<'_>, balancer: Uuid, vip: Vip, holder: Uuid) {
    let name = |row: &crate::engine::Value| row.balancer_row().map(|row| row.name.clone());
    let holder_name = name(reader.read(Key::BalancerRow(holder))).unwrap_or_default();
    let row = reader
        .read(Key::BalancerRow(balancer))
        .balancer_row()
        .cloned();
    if let Some(row) = row {
        let message = format!(
            "{vip} is load balancer {holder_name:?}'s ({holder}) already on a switch that has both; it is left to that there"
        );
        reader.diagnose(topology::balancer_diagnostic(&row, "vips", message));
    }
}

struct AddressUnit<'a> {
    draft: &'a mut Draft,
    balancer: &'a Balancer,
    address: &'a VirtualAddress,
    /// Where it holds, and by what number.
    sets: Vec<(Uuid, u32)>,
}

impl AddressUnit<'_> {
    /// What takes the place of a source that is the destination too, if not the virtual address.
    fn hairpin(&self) -> Option<IpAddr> {
        let is_v4 = self.address.vip.address.is_ipv4();
        let mut all = self.balancer.hairpin.iter().copied();
        all.find(|address| address.is_ipv4() == is_v4)
    }

    fn track(&mut self) {
        let vip = self.address.vip.address;
        let hairpin = self.hairpin().unwrap_or(vip);
        let register = match hairpin {
            IpAddr::V4(_) => HAIRPIN4,
            IpAddr::V6(_) => HAIRPIN6,
        };
        let actions = vec![
            balancing::is_balanced().set(1),
            register.set(hairpin),
            Action::CtLb,
        ];
        for (set, number) in &self.sets {
            let matches = SET.is(*number) & to(vip);
            let stage = Stage::LsInPreStateful;
            self.draft
                .flow(every(), stage, 100, matches, actions.clone(), &on(&[*set]));
        }
    }

    fn balance(&mut self, reader: &mut Reader<'_>, balancer: Uuid) {
        let (vip, sets) = (self.address.vip, self.sets.clone());
        let placement = &self.balancer.placement;
        let groups = BalancerGroups::new(balancer, vip, Variant::All);
        let scope = on(&sets.iter().map(|(set, _)| *set).collect::<Vec<_>>());
        let endpoints = self.address.endpoints.clone();
        let of_all = match placement.is_local {
            // A node uses those of its list, and no others.
            true => None,
            false => self.choice(reader, groups, &endpoints, &scope),
        };
        for (set, number) in &sets {
            self.choose(*number, 0, of_all.as_ref(), &on(&[*set]));
            if vip.port.is_some() && self.hairpin().is_none() {
                self.answer(*number, *set);
            }
        }
        let groups = BalancerGroups::new(balancer, vip, Variant::Near);
        for (node, sets, endpoints) in self.near(reader) {
            let at = Scope::At(node);
            let choice = self.choice(reader, groups, &endpoints, &at);
            for number in sets {
                self.choose(number, 1, choice.as_ref(), &at);
            }
        }
    }

    /// Nodes that use endpoints of their own choice, the numbers of the sets that they have, and these endpoints.
    fn near(&self, reader: &mut Reader<'_>) -> Vec<(NodeName, Vec<u32>, Vec<Backend>)> {
        let placement = &self.balancer.placement;
        let names = placement.nodes.keys();
        let mut zones: BTreeMap<NodeName, Option<&str>> = names
            .map(|node| (NodeName::from(node.as_str()), None))
            .collect();
        for zone in placement.zones.keys() {
            for member in reader.members(Key::NodesInZone(Arc::from(zone.as_str()))) {
                if let Member::Node(node) = member {
                    zones.insert(node, Some(zone));
                }
            }
        }
        let all = &self.address.endpoints;
        let mut near = Vec::new();
        for (node, zone) in zones {
            let chosen = placement.choose(node.as_str(), zone, all, |endpoint: &Backend| {
                endpoint.address
            });
            if chosen.is_empty() || (chosen.len() == all.len() && !placement.is_local) {
                continue;
            }
            let mut numbers = Vec::new();
            for (set, number) in &self.sets {
                let nodes = reader.read(Key::NodesOfSet(*set)).set();
                if nodes.contains(&Member::Node(node.clone())) {
                    numbers.push(*number);
                }
            }
            if !numbers.is_empty() {
                near.push((node, numbers, chosen));
            }
        }
        near
    }

    /// The group of some endpoints; `None` if there are none.
    fn choice(
        &mut self,
        reader: &mut Reader<'_>,
        groups: BalancerGroups,
        endpoints: &[Backend],
        scope: &Scope,
    ) -> Option<(GroupId, Arc<[Backend]>)> {
        if endpoints.is_empty() {
            return None;
        }
        let fields = buckets::selection(self.address.vip, &self.balancer.fields);
        let group = buckets::add(reader, self.draft, groups, endpoints, &fields, scope)?;
        Some((group, endpoints.into()))
    }

    /// An answer to a hairpin whose source was the virtual address: it is new to connection tracking, or invalid.
    fn answer(&mut self, number: u32, set: Uuid) {
        let (vip, stage, scope) = (self.address.vip, Stage::LsInLb, on(&[set]));
        let to_itself = SET.is(number) & to_vip(vip);
        let drop = vec![Action::Drop];
        self.draft
            .flow(every(), stage, 100, to_itself, drop, &scope);
        let matches = SET.is(number) & to(vip.address);
        let actions = turn_back(vip.address);
        self.draft
            .flow(every(), stage, 90, matches, actions, &scope);
    }

    /// What becomes of a new connection. `above`: by how much this goes before what all nodes do.
    fn choose(
        &mut self,
        number: u32,
        above: u16,
        choice: Option<&(GroupId, Arc<[Backend]>)>,
        scope: &Scope,
    ) {
        let (vip, stage) = (self.address.vip, Stage::LsInLb);
        let matches = SET.is(number) & Symbol::CtNew.is(1) & to_vip(vip);
        let priority = above + if vip.port.is_some() { 120 } else { 110 };
        let Some((group, backends)) = choice else {
            let is_empty = self.address.endpoints.is_empty();
            let actions = match is_empty && self.balancer.rejects {
                true => vec![reject()],
                false => vec![Action::Drop],
            };
            self.draft
                .flow(every(), stage, priority, matches, actions, scope);
            return;
        };
        let actions = vec![Action::CtLbTo {
            backends: backends.clone(),
            fields: self.balancer.fields.clone(),
        }];
        self.draft
            .balance_flow(every(), stage, priority, matches, actions, scope, *group);
    }
}

/// A refusal, as if from the virtual address.
fn reject() -> Action {
    Action::Replace {
        with: Replacement::Reject,
        actions: vec![
            Action::turn_back(),
            Symbol::FlagsLoopback.set(1),
            Action::Output,
        ],
    }
}

/// From a port to its own address, by way of a load balancer: back out of the port, from the address that stands in for it.
pub(super) fn hairpin(draft: &mut Draft, datapath: &Datapath, ip: IpAddr, here: &Scope) {
    let (source, destination, register) = match ip {
        IpAddr::V4(_) => (Symbol::Ip4Src, Symbol::Ip4Dst, HAIRPIN4),
        IpAddr::V6(_) => (Symbol::Ip6Src, Symbol::Ip6Dst, HAIRPIN6),
    };
    let matches = balancing::is_balanced().is(1) & source.is(ip) & destination.is(ip);
    let mut actions = vec![source.copy_from(register)];
    actions.extend(out_again());
    let stage = Stage::LsInHairpin;
    draft.flow(datapath.clone(), stage, 100, matches, actions, here);
}

/// To who sends it.
fn turn_back(address: IpAddr) -> Vec<Action> {
    let mut actions = vec![match address {
        IpAddr::V4(_) => Symbol::Ip4Dst.copy_from(Symbol::Ip4Src),
        IpAddr::V6(_) => Symbol::Ip6Dst.copy_from(Symbol::Ip6Src),
    }];
    actions.extend(out_again());
    actions
}

/// Out of the port it came in by, as if from the router it was sent to.
fn out_again() -> [Action; 5] {
    [
        // A datapath that remembers the connection would not look it up again where the packet leaves.
        Action::CtClear,
        Action::exchange(Symbol::EthDst, Symbol::EthSrc),
        Action::turn_back(),
        Symbol::FlagsLoopback.set(1),
        Action::Output,
    ]
}

fn to(address: IpAddr) -> Expr {
    match address {
        IpAddr::V4(address) => Symbol::Ip4Dst.is(address),
        IpAddr::V6(address) => Symbol::Ip6Dst.is(address),
    }
}

fn to_vip(vip: Vip) -> Expr {
    let to_port = |port: (Protocol, u16)| match port {
        (Protocol::Tcp, port) => Symbol::TcpDst.is(port),
        (Protocol::Udp, port) => Symbol::UdpDst.is(port),
        (Protocol::Sctp, port) => Symbol::SctpDst.is(port),
    };
    match vip.port {
        Some(port) => to(vip.address) & to_port(port),
        None => to(vip.address),
    }
}

fn set_number(reader: &mut Reader<'_>, set: Uuid) -> Option<u32> {
    reader.read(Key::SetNumber(set)).number().copied()
}

const fn every() -> Datapath {
    Datapath::Every(DatapathKind::Switch)
}

/// The nodes of these sets.
fn on(sets: &[Uuid]) -> Scope {
    Scope::On {
        nodes: NodeSet::Balanced(sets.to_vec()),
        except: None,
    }
}
