//! A switch port: an interface on a node, and the addresses behind it.
//!
//! Where its flows go:
//!
//! - what comes from it and goes to it: on its node alone;
//! - that its addresses are answered for: on nodes with ports in the same subnet, for nobody else asks;
//! - that its MAC is known: in a plain domain on the same nodes (others ask elsewhere), but if routes name it as next hop or its subnet
//!   is switched, and outside of plain domains, wherever its domain resides, for every such node may route to it;
//! - that its address is located (plain), or resolved to its MAC (otherwise);
//! - how it is reached, in a switch with physical networks: wherever its domain resides.
//!
//! A port whose MAC and addresses follow from one number has a few entries in place of most of these ([`derived`]): the one for its MAC is the
//! one for its IPv4 address too, and goes wherever the MAC is wanted.
//!
//! A next hop of routes that count on one node alone is one on that node only.
//!
//! Must not: say anything about a port that is on no node.

use std::net::IpAddr;
use std::sync::Arc;

use openflow_rs::{Action as OfAction, Field, Flow, Match, Subfield};
use uuid::Uuid;
use weft_expr::{Action, Mac, Pipeline, Symbol, inport, outport, reply};

use super::draft::{Draft, datapath_key, port_flow, port_key};
use super::{derived, localnet, port_security};
use crate::engine::{Key, Reader, Value};
use crate::logical_flow::{Datapath, DatapathRef, NodeSet, Scope};
use crate::pipeline::{DatapathKey, DatapathKind, PortKey, Stage, UNKNOWN, register, table};
use crate::topology::{Derived, Face, Place, Routed, Spread, SwitchPort};

pub(super) fn compile(reader: &mut Reader<'_>, draft: &mut Draft, port: Uuid) {
    let read = reader.read(Key::SwitchPort(port)).switch_port().cloned();
    let place = reader.read(Key::Place(port)).place().cloned();
    let (Some(switch_port), Some(place)) = (read, place) else {
        return;
    };
    let routed = reader
        .read(Key::Routed(switch_port.switch))
        .routed()
        .cloned();
    draft.own("Logical_Switch_Port", port, &switch_port.name);
    let mut unit = PortUnit {
        datapath: Datapath::One(DatapathRef::switch(switch_port.switch)),
        here: Scope::At(place.node.clone()),
        port: &switch_port,
        place: &place,
        routed: routed.as_deref(),
        is_bridged: !reader.is_empty(Key::LocalnetsOf(switch_port.switch)),
        derived: None,
        reader,
        draft,
    };
    unit.physical(port);
    // In a switch with physical networks the way to a port is not the same from every node.
    let derived = match unit.reader.options().derived_ports && !unit.is_bridged {
        true => switch_port.derived(),
        false => None,
    };
    if let Some(derived) = &derived {
        derived::own(
            unit.draft,
            &unit.datapath,
            &switch_port.name,
            derived,
            &unit.here,
        );
    }
    if derived.is_none() || switch_port.security.is_empty() {
        port_security::compile(unit.draft, &unit.datapath, unit.port, &unit.here);
    }
    unit.derived = derived;
    for (mac, ips) in &switch_port.addresses {
        unit.mac(*mac, ips);
    }
    if !unit.reader.read(Key::SetOf(switch_port.switch)).is_absent() {
        for (_, ip) in switch_port.ips() {
            super::balancer::hairpin(unit.draft, &unit.datapath, ip, &unit.here);
        }
    }
    if switch_port.takes_unknown {
        unit.unknown();
    }
}

struct PortUnit<'a, 'b, 'c> {
    reader: &'a mut Reader<'b>,
    draft: &'c mut Draft,
    port: &'a SwitchPort,
    derived: Option<Derived>,
    place: &'a Place,
    /// In a plain domain.
    routed: Option<&'a Routed>,
    /// Whether the switch has physical networks.
    is_bridged: bool,
    datapath: Datapath,
    here: Scope,
}

impl PortUnit<'_, '_, '_> {
    fn physical(&mut self, port: Uuid) {
        let switch = self.port.switch;
        let datapath = datapath_key(self.reader, switch);
        let (Some(datapath), Some(port)) = (datapath, port_key(self.reader, switch, port)) else {
            return;
        };
        let ofport = self.place.ofport.get();
        let set_ofport = OfAction::set(Field::Reg(register::OFPORT), ofport);
        let start = |pipeline| {
            let stage = Stage::first(DatapathKind::Switch, pipeline);
            stage.map(|stage| OfAction::Resubmit {
                table: stage.table().get(),
            })
        };
        let matches = Match::new().exact(Field::InPort, ofport);
        let (priority, matches, mut actions) = match &self.port.nest {
            None => (100, matches, Vec::new()),
            Some(nest) => {
                let tagged = matches.masked(Field::VlanTci, VLAN_PRESENT | nest.tag, VLAN_MASK);
                // What comes from one port of an interface may leave by another.
                let forget = OfAction::set(Field::InPort, NO_PORT);
                (150, tagged, vec![OfAction::PopVlan, forget])
            }
        };
        actions.extend([
            OfAction::set(Field::Metadata, datapath.get()),
            OfAction::set(Field::Reg(register::INPORT), port.get()),
            set_ofport.clone(),
        ]);
        actions.extend(start(Pipeline::Ingress));
        let table = table::CLASSIFY.get();
        let classify = Flow {
            table,
            priority,
            cookie: 0,
            matches,
            actions,
        };
        self.draft.physical(&self.here, classify);
        let mut actions = vec![set_ofport];
        actions.extend(start(Pipeline::Egress));
        let output = port_flow(table::OUTPUT, datapath, port, actions);
        self.draft.physical(&self.here, output);
        if self.is_bridged {
            localnet::reach(
                self.reader,
                self.draft,
                switch,
                (datapath, port),
                &self.place.node,
            );
        }
        if let Some(nest) = &self.port.nest {
            self.nested(datapath, port, nest.tag);
        }
    }

    /// Out of a nested port: in its VLAN, by the interface that it may have come in by; not back by the port itself, which is not for
    /// Open vSwitch to see, as it is with other ports.
    fn nested(&mut self, datapath: DatapathKey, port: PortKey, tag: u16) {
        let mut back = port_flow(table::OUTPUT, datapath, port, Vec::new());
        back.priority = 110;
        back.matches = back
            .matches
            .exact(Field::Reg(register::INPORT), port.get())
            .masked(Field::Reg(register::FLAGS), 0u8, 1u8);
        self.draft.physical(&self.here, back);
        let actions = vec![
            OfAction::set(Field::InPort, NO_PORT),
            OfAction::PushVlan(0x8100),
            OfAction::set(Field::VlanVid, VLAN_PRESENT | tag),
            OfAction::OutputField(Subfield::new(Field::Reg(register::OFPORT), 0, 16)),
        ];
        let deliver = port_flow(table::DELIVER, datapath, port, actions);
        self.draft.physical(&self.here, deliver);
    }

    fn mac(&mut self, mac: Mac, ips: &[IpAddr]) {
        let mut subnets = Vec::new();
        let (mut is_in_none, mut is_wanted_everywhere) = (ips.is_empty(), false);
        for ip in ips {
            let subnet = self.reader.read(Key::SubnetOf(self.port.switch, *ip));
            let (network, router_port) = match *subnet {
                Value::Subnet(network, router_port) => (Some(network), Some(router_port)),
                _ => (None, None),
            };
            subnets.extend(network);
            let is_switched = self.is_switched(router_port.zip(network));
            is_in_none |= network.is_none();
            let askers = self.asking(network.as_slice(), network.is_none());
            match (&self.derived, ip) {
                (None, _) => self.answer(mac, *ip, &askers),
                (Some(_), IpAddr::V4(_)) => {}
                (Some(_), IpAddr::V6(ip)) => self.find_by_ipv6(*ip, &askers),
            }
            let is_next_hop = self.route(mac, *ip, network.is_some(), is_switched);
            is_wanted_everywhere |= is_next_hop || is_switched;
        }
        let known = match self.routed {
            Some(_) if !is_wanted_everywhere => self.asking(&subnets, is_in_none),
            _ => self.domain(),
        };
        if let Some(derived) = &self.derived {
            let at = (&known, &self.place.node);
            derived::found(self.draft, &self.datapath, &self.port.name, derived, at);
            return;
        }
        let actions = vec![Action::outport(self.port.name.clone()), Action::Output];
        let (matches, node) = (Symbol::EthDst.is(mac), &self.place.node);
        let (datapath, stage) = (self.datapath.clone(), Stage::LsInL2Lkup);
        if self.is_bridged {
            // The output table knows the way: it is not the same from every node.
            self.draft
                .flow(datapath, stage, 50, matches, actions, &known);
            return;
        }
        self.draft
            .output_flow(datapath, stage, 50, matches, actions, &known, node);
    }

    fn find_by_ipv6(&mut self, ip: std::net::Ipv6Addr, askers: &Scope) {
        let at = (askers, &self.place.node);
        derived::found_by_ipv6(self.draft, &self.datapath, &self.port.name, ip, at);
    }

    /// Whether routers reach a subnet by switching.
    fn is_switched(&mut self, subnet: Option<(Uuid, ipnet::IpNet)>) -> bool {
        let Some((router_port, network)) = subnet.filter(|_| self.routed.is_some()) else {
            return false;
        };
        let spread = self.reader.read(Key::Spread(router_port, network));
        spread.spread() == Some(&Spread::Switched)
    }

    /// Nodes with ports that may ask for an address in these subnets.
    fn asking(&self, subnets: &[ipnet::IpNet], is_in_none: bool) -> Scope {
        let switch = self.port.switch;
        let nodes = match is_in_none {
            true => NodeSet::Switch(switch),
            false => {
                let mut subnets = subnets.to_vec();
                subnets.sort();
                subnets.dedup();
                NodeSet::Subnets(switch, subnets)
            }
        };
        Scope::On {
            nodes,
            except: None,
        }
    }

    fn domain(&self) -> Scope {
        let nodes = NodeSet::Domain(self.port.switch);
        Scope::On {
            nodes,
            except: None,
        }
    }

    /// ARP and ND, for anyone but the port itself: its own probes for duplicates must reach whoever has its address too.
    fn answer(&mut self, mac: Mac, ip: IpAddr, askers: &Scope) {
        let stage = Stage::LsInArpRsp;
        let own = || inport(self.port.name.clone());
        let mut add = |priority, matches, actions, scope: &Scope| {
            self.draft.flow(
                self.datapath.clone(),
                stage,
                priority,
                matches,
                actions,
                scope,
            );
        };
        match ip {
            IpAddr::V4(ip) => {
                add(
                    100,
                    own() & reply::arp_request(ip),
                    vec![Action::next()],
                    &self.here,
                );
                add(
                    50,
                    reply::arp_request(ip),
                    reply::arp_answer(mac, ip),
                    askers,
                );
            }
            IpAddr::V6(ip) => {
                let (reserved, number) = (reply::ND_HOST, stage.number());
                let turn = reply::nd_turn(mac, reserved, stage.pipeline(), number);
                add(
                    100,
                    own() & reply::nd_solicitation(ip),
                    vec![Action::next()],
                    &self.here,
                );
                add(50, reply::nd_solicitation(ip), turn, askers);
            }
        }
    }

    /// How routers find the address. Says whether routes use it as next hop.
    fn route(&mut self, mac: Mac, ip: IpAddr, is_in_subnet: bool, is_switched: bool) -> bool {
        // The router's port finds derived ones for all of a subnet.
        if let (Some(routed), true, false) = (self.routed, is_in_subnet, is_switched)
            && self.derived.is_none()
        {
            self.locate(routed, mac, ip);
        }
        let mut is_next_hop = false;
        for router_port in self.reader.rows(Key::RouterPortsOn(self.port.switch)) {
            let Some(face) = self.reader.read(Key::Face(router_port)).face().cloned() else {
                continue;
            };
            let hops = self.hops(face.router, ip);
            is_next_hop |= hops == Hops::OfAll;
            match hops {
                _ if is_in_subnet && self.routed.is_none() => self.resolve(&face, mac, ip),
                Hops::OfAll => self.resolve(&face, mac, ip),
                Hops::OfThisNode => {
                    super::gateway::resolve(self.draft, &face, mac, ip, &self.here);
                }
                Hops::None => {}
            }
        }
        is_next_hop
    }

    /// Who has routes that name the address as next hop.
    fn hops(&mut self, router: Uuid, ip: IpAddr) -> Hops {
        let routes = self.reader.rows(Key::NextHops(router, ip));
        if routes.is_empty() {
            return Hops::None;
        }
        let is_of_this_node = |route: &Uuid| {
            let route = self.reader.read(Key::Route(*route)).route();
            route.is_some_and(|route| route.node.as_ref() == Some(&self.place.node))
        };
        match routes.iter().all(is_of_this_node) {
            true => Hops::OfThisNode,
            false => Hops::OfAll,
        }
    }

    /// A routed packet that came here because the address is here.
    fn locate(&mut self, routed: &Routed, mac: Mac, ip: IpAddr) {
        let destination = match ip {
            IpAddr::V4(ip) => Symbol::Ip4Dst.is(ip),
            IpAddr::V6(ip) => Symbol::Ip6Dst.is(ip),
        };
        let switch: Arc<str> = super::datapath_name(self.reader, self.port.switch);
        let actions = vec![
            Action::DecrementTtl,
            Symbol::EthSrc.set(routed.mac),
            Symbol::EthDst.set(mac),
            Action::deliver(switch, self.port.name.clone()),
        ];
        let datapath = Datapath::One(DatapathRef::router(routed.router));
        let matches = outport("") & destination;
        self.draft.flow(
            datapath,
            Stage::LrOutLocate,
            50,
            matches,
            actions,
            &self.here,
        );
    }

    fn resolve(&mut self, face: &Face, mac: Mac, ip: IpAddr) {
        let scope = self.domain();
        super::gateway::resolve(self.draft, face, mac, ip, &scope);
    }

    /// Frames to MACs that no port has go to the ports that take them.
    fn unknown(&mut self) {
        let actions = vec![Action::outport(UNKNOWN), Action::Output];
        let scope = self.domain();
        let datapath = self.datapath.clone();
        self.draft.flow(
            datapath,
            Stage::LsInL2Lkup,
            10,
            weft_expr::Expr::True,
            actions,
            &scope,
        );
    }
}

/// Who has routes that name an address as next hop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hops {
    None,
    /// The node that the address is on.
    OfThisNode,
    OfAll,
}

/// The bit of `vlan_tci` that says that there is a tag; it counts as part of `vlan_vid` when that is written.
const VLAN_PRESENT: u16 = 0x1000;
/// That bit and the VLAN's number, without the priority.
const VLAN_MASK: u16 = 0x1fff;
/// `OFPP_NONE` in 16 bits.
const NO_PORT: u16 = 0xffff;
