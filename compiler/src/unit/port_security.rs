//! What a port may send, and what may be sent to it (ovn-nb(5), `port_security`).
//!
//! Positive only: a port's flows say what passes, [`common`](super::common) drops the rest.
//!
//! Must not: trust `addresses`; without `port_security` nothing is checked, as in OVN.

use ipnet::IpNet;
use weft_expr::{Action, Constant, Expr, Mac, Predicate, Symbol, inport, outport};

use super::draft::Draft;
use crate::logical_flow::{Datapath, Scope};
use crate::pipeline::Stage;
use crate::topology::SwitchPort;
use crate::topology::address::{Security, link_local};

pub(super) fn compile(draft: &mut Draft, datapath: &Datapath, port: &SwitchPort, here: &Scope) {
    let mut flows = Flows {
        draft,
        datapath,
        port,
        here,
    };
    if port.security.is_empty() {
        let behind = Stage::LsInPreLb;
        let past = Action::next_stage(behind.pipeline(), behind.number());
        flows.add(
            Stage::LsInCheckPortSec,
            50,
            inport(port.name.clone()),
            vec![past],
        );
    }
    let mut macs: Vec<Mac> = port.security.iter().map(|entry| entry.mac).collect();
    macs.dedup();
    for mac in macs {
        let matches = flows.sent_by(mac);
        flows.pass(Stage::LsInCheckPortSec, 50, matches);
    }
    for entry in &port.security {
        match entry.networks.is_empty() {
            true => flows.any_address_of(entry.mac),
            false => flows.networks_of(entry),
        }
    }
    flows.towards_port();
}

struct Flows<'a> {
    draft: &'a mut Draft,
    datapath: &'a Datapath,
    port: &'a SwitchPort,
    here: &'a Scope,
}

impl Flows<'_> {
    fn add(&mut self, stage: Stage, priority: u16, matches: Expr, actions: Vec<Action>) {
        self.draft.flow(
            self.datapath.clone(),
            stage,
            priority,
            matches,
            actions,
            self.here,
        );
    }

    fn pass(&mut self, stage: Stage, priority: u16, matches: Expr) {
        self.add(stage, priority, matches, vec![Action::next()]);
    }

    fn sent_by(&self, mac: Mac) -> Expr {
        inport(self.port.name.clone()) & Symbol::EthSrc.is(mac)
    }

    fn any_address_of(&mut self, mac: Mac) {
        let from = self.sent_by(mac);
        let stage = Stage::LsInIpPortSec;
        self.pass(
            stage,
            90,
            from.clone() & Predicate::Arp & Symbol::ArpSha.is(mac),
        );
        self.add(stage, 85, from.clone() & Predicate::Arp, vec![Action::Drop]);
        self.pass(stage, 80, from.clone());
        let stage = Stage::LsInNdPortSec;
        self.pass(
            stage,
            90,
            from.clone() & Predicate::NdNs & Symbol::NdSll.is(mac),
        );
        self.pass(
            stage,
            90,
            from & Predicate::NdNa & Symbol::NdTll.one_of([Mac::default(), mac]),
        );
    }

    fn networks_of(&mut self, entry: &Security) {
        let (mac, from, stage) = (entry.mac, self.sent_by(entry.mac), Stage::LsInIpPortSec);
        let ipv4 = constants(&entry.networks, true);
        if !ipv4.is_empty() {
            self.pass(
                stage,
                90,
                from.clone() & Symbol::Ip4Src.one_of(ipv4.clone()),
            );
            // A probe for duplicates has no sender's address (RFC 5227 §2.1.1).
            let senders = ipv4.into_iter().chain([Constant::new(0)]);
            let arp = Symbol::ArpSha.is(mac) & Symbol::ArpSpa.one_of(senders);
            self.pass(stage, 90, from.clone() & arp);
        }
        let ipv6 = with_link_local(entry);
        if !ipv6.is_empty() {
            self.pass(
                stage,
                90,
                from.clone() & Symbol::Ip6Src.one_of(ipv6.clone()),
            );
            let stage = Stage::LsInNdPortSec;
            self.pass(
                stage,
                90,
                from.clone() & Predicate::NdNs & Symbol::NdSll.is(mac),
            );
            let own = Symbol::NdTarget.one_of(ipv6) & Symbol::NdTll.one_of([Mac::default(), mac]);
            self.pass(stage, 90, from & Predicate::NdNa & own);
        }
    }

    fn towards_port(&mut self) {
        let stage = Stage::LsOutCheckPortSec;
        let to = outport(self.port.name.clone());
        let output = || vec![Action::Output];
        let macs: Vec<Mac> = self.port.security.iter().map(|entry| entry.mac).collect();
        // The MAC was looked up, so it is one of `addresses`: only a port with others, or with any, can get a frame it may not.
        let is_mac_open = !macs.is_empty()
            && (self.port.takes_unknown
                || self
                    .port
                    .addresses
                    .iter()
                    .any(|(mac, _)| !macs.contains(mac)));
        if is_mac_open {
            let foreign = Symbol::EthMcast.is(0) & to.clone();
            self.add(stage, 120, foreign, vec![Action::Drop]);
        }
        for entry in &self.port.security {
            let to = match is_mac_open {
                true => to.clone() & Symbol::EthDst.is(entry.mac),
                false => to.clone(),
            };
            let priority = if is_mac_open { 130 } else { 110 };
            if entry.networks.is_empty() {
                self.add(stage, priority, to, output());
                continue;
            }
            let mut ipv4 = constants(&entry.networks, true);
            if !ipv4.is_empty() {
                ipv4.extend(
                    entry
                        .broadcasts
                        .iter()
                        .map(|address| Constant::from(*address)),
                );
                self.add(
                    stage,
                    priority,
                    to.clone() & Symbol::Ip4Dst.one_of(ipv4),
                    output(),
                );
            }
            let ipv6 = with_link_local(entry);
            if !ipv6.is_empty() {
                self.add(
                    stage,
                    priority,
                    to.clone() & Symbol::Ip6Dst.one_of(ipv6),
                    output(),
                );
            }
            if is_mac_open {
                self.add(stage, priority, to & Predicate::Arp, output());
            }
        }
        if self.port.security.is_empty() {
            self.add(stage, 110, to, output());
        }
    }
}

fn constants(networks: &[IpNet], is_ipv4: bool) -> Vec<Constant> {
    let networks = networks
        .iter()
        .filter(|network| network.addr().is_ipv4() == is_ipv4);
    networks
        .map(|network| Constant::prefix(network.addr(), network.prefix_len()))
        .collect()
}

/// The IPv6 networks of an entry, and the link-local address that comes with having any.
fn with_link_local(entry: &Security) -> Vec<Constant> {
    let mut ipv6 = constants(&entry.networks, false);
    if !ipv6.is_empty() {
        ipv6.push(Constant::from(link_local(entry.mac)));
    }
    ipv6
}
