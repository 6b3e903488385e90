//! Flows that do not differ between datapaths of a kind.
//!
//! Ports' own flows say what is let through; these say what everyone may do, and what happens to the rest.
//!
//! Must not: read anything.

use std::net::{Ipv4Addr, Ipv6Addr};

use openflow_rs::{Action as OfAction, Field, Flow, Match, Subfield};
use weft_expr::{Action, Constant, Expr, Pipeline, Predicate, Symbol, outport, reply};

use super::draft::{Draft, tunnel};
use crate::logical_flow::{Datapath, Scope};
use crate::pipeline::{DatapathKind, ELSEWHERE, FLOOD, PortKey, Stage, register, table};

pub(super) fn compile(draft: &mut Draft) {
    super::derived::compile(draft);
    switch_port_security(draft);
    switch_balancing(draft);
    switch_forwarding(draft);
    router_ingress(draft);
    router_egress(draft);
    physical(draft);
}

fn switch(
    draft: &mut Draft,
    stage: Stage,
    priority: u16,
    matches: impl Into<Expr>,
    actions: Vec<Action>,
) {
    let datapath = Datapath::Every(DatapathKind::Switch);
    draft.flow(
        datapath,
        stage,
        priority,
        matches,
        actions,
        &Scope::Everywhere,
    );
}

fn router(
    draft: &mut Draft,
    stage: Stage,
    priority: u16,
    matches: impl Into<Expr>,
    actions: Vec<Action>,
) {
    let datapath = Datapath::Every(DatapathKind::Router);
    draft.flow(
        datapath,
        stage,
        priority,
        matches,
        actions,
        &Scope::Everywhere,
    );
}

fn next() -> Vec<Action> {
    vec![Action::next()]
}

fn drop_it() -> Vec<Action> {
    vec![Action::Drop]
}

fn switch_port_security(draft: &mut Draft) {
    let stage = Stage::LsInCheckPortSec;
    let bad = Expr::from(Predicate::VlanPresent) | Symbol::EthSrc.bit(40).is(1);
    switch(draft, stage, 100, bad, drop_it());

    // Whoever was let through so far sends with a MAC of its own.
    let stage = Stage::LsInIpPortSec;
    switch(draft, stage, 100, dhcp(), next());
    switch(draft, stage, 100, unspecified(), next());

    let stage = Stage::LsInNdPortSec;
    switch(draft, stage, 110, unreadable(), drop_it());
    // A solicitation without link-layer address cannot say a wrong one.
    switch(draft, stage, 100, reply::nd_bare_solicitation(), next());
    switch(draft, stage, 80, Predicate::Nd, drop_it());
    switch(draft, stage, 0, Expr::True, next());

    let stage = Stage::LsOutCheckPortSec;
    let group4 = Symbol::Ip4Dst.one_of([
        Constant::prefix(Ipv4Addr::new(224, 0, 0, 0), 4),
        Constant::from(Ipv4Addr::BROADCAST),
    ]);
    let group6 = Symbol::Ip6Dst.in_prefix(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8);
    switch(draft, stage, 100, group4, vec![Action::Output]);
    switch(draft, stage, 100, group6, vec![Action::Output]);
    switch(draft, stage, 0, Expr::True, vec![Action::Output]);
}

/// Who asks for an address over DHCP.
pub(super) fn dhcp() -> Expr {
    Symbol::Ip4Src.is(Ipv4Addr::UNSPECIFIED)
        & Symbol::Ip4Dst.is(Ipv4Addr::BROADCAST)
        & Symbol::UdpSrc.is(68)
        & Symbol::UdpDst.is(67)
}

/// Duplicate address detection and multicast listeners' reports (RFC 4862 §5.4, RFC 3810 §5.2.13).
pub(super) fn unspecified() -> Expr {
    let link_scope = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0);
    Symbol::Ip6Src.is(Ipv6Addr::UNSPECIFIED)
        & Symbol::Ip6Dst.in_prefix(link_scope, 16)
        & Symbol::Icmp6Type.one_of([131, 135, 143])
}

/// Open vSwitch reads a message that has an option twice as one about no target and without options; hosts read it otherwise.
pub(super) fn unreadable() -> Expr {
    Predicate::Nd & Symbol::NdTarget.is(Ipv6Addr::UNSPECIFIED)
}

/// Nodes without load balancers go without their stages.
fn switch_balancing(draft: &mut Draft) {
    let past = Stage::LsInHairpin.following();
    let past = past.map_or(Action::Drop, |stage| {
        Action::next_stage(Pipeline::Ingress, stage.number())
    });
    switch(draft, Stage::LsInPreLb, 0, Expr::True, vec![past]);
    switch(draft, Stage::LsOutPreLb, 0, Expr::True, next());
}

fn switch_forwarding(draft: &mut Draft) {
    let stage = Stage::LsInArpRsp;
    switch(draft, stage, 110, reply::nd_bare_solicitation(), next());
    for reserved in [reply::ND_HOST, reply::ND_ROUTER] {
        let (half_made, answer) = (reply::nd_half_made(reserved), reply::nd_answer(reserved));
        switch(draft, stage, 60, half_made, answer);
    }
    switch(draft, stage, 0, Expr::True, next());
    let stage = Stage::LsInL2Lkup;
    let flood = vec![Action::outport(FLOOD), Action::Output];
    switch(draft, stage, 70, Symbol::EthMcast.is(1), flood);
    // Only switches of plain domains have such a group; in others every node that can be asked knows every MAC.
    let elsewhere = vec![Action::outport(ELSEWHERE), Action::Output];
    switch(draft, stage, 0, Expr::True, elsewhere);
}

fn router_ingress(draft: &mut Draft) {
    let stage = Stage::LrInAdmission;
    let bad = Predicate::VlanPresent | Symbol::EthSrc.bit(40).is(1);
    router(draft, stage, 100, bad, drop_it());
    router(draft, stage, 100, Symbol::EthMcast.is(1), drop_it());
    router(draft, stage, 0, Expr::True, next());

    let stage = Stage::LrInIpInput;
    let prefix4 = |a, length| Constant::prefix(Ipv4Addr::new(a, 0, 0, 0), length);
    let prefix6 = |a, length| Constant::prefix(Ipv6Addr::new(a, 0, 0, 0, 0, 0, 0, 0), length);
    let (this, loopback, group) = (prefix4(0, 8), prefix4(127, 8), prefix4(224, 4));
    let broadcast = Constant::from(Ipv4Addr::BROADCAST);
    let nowhere4 = [this, loopback, group, broadcast];
    router(
        draft,
        stage,
        100,
        Symbol::Ip4Src.one_of(nowhere4),
        drop_it(),
    );
    router(
        draft,
        stage,
        100,
        Symbol::Ip4Dst.one_of(nowhere4),
        drop_it(),
    );
    let low6 = Constant::prefix(Ipv6Addr::UNSPECIFIED, 127);
    router(
        draft,
        stage,
        100,
        Symbol::Ip6Src.one_of([low6, prefix6(0xff00, 8)]),
        drop_it(),
    );
    router(
        draft,
        stage,
        100,
        Symbol::Ip6Dst.one_of([low6, prefix6(0xff00, 8)]),
        drop_it(),
    );
    // Link-local packets stay on their link (RFC 4291 §2.5.6); pings to the router itself come before this.
    let link_local = prefix6(0xfe80, 10);
    router(draft, stage, 30, Symbol::Ip6Src.is(link_local), drop_it());
    router(draft, stage, 30, Symbol::Ip6Dst.is(link_local), drop_it());
    // What is no IP packet is no route's.
    router(draft, stage, 0, Expr::True, next());

    // No route: network unreachable; no route to destination (RFC 792, RFC 4443 §3.1).
    let routing = Stage::LrInIpRouting;
    router_error(draft, routing, 0, &Expr::True, [(3, 0), (1, 0)]);

    for stage in [
        Stage::LrInUnsnat,
        Stage::LrInDnat,
        Stage::LrOutUndnat,
        Stage::LrOutSnat,
    ] {
        router(draft, stage, 0, Expr::True, next());
    }
    router(draft, Stage::LrInIpRoutingEcmp, 0, Expr::True, next());

    let stage = Stage::LrInIpTtl;
    expired(draft, stage, 100, &Expr::True);
    router(
        draft,
        stage,
        0,
        Predicate::Ip,
        vec![Action::DecrementTtl, Action::next()],
    );
}

/// The TTL is used up: exceeded in transit (RFC 792, RFC 4443 §3.3).
fn expired(draft: &mut Draft, stage: Stage, priority: u16, which: &Expr) {
    let which = which.clone() & Symbol::IpTtl.one_of([0, 1]);
    router_error(draft, stage, priority, &which, [(11, 0), (3, 0)]);
}

/// Errors about packets of either family: type and code of ICMP and of ICMPv6.
fn router_error(
    draft: &mut Draft,
    stage: Stage,
    priority: u16,
    which: &Expr,
    [ip4, ip6]: [(u8, u8); 2],
) {
    let routing = Stage::LrInIpRouting.number();
    let error4 = reply::router_error4(ip4.0, ip4.1, routing);
    let error6 = reply::router_error6(ip6.0, ip6.1, routing);
    let of = |family: Predicate| which.clone() & family;
    router(draft, stage, priority, of(Predicate::Ip4), vec![error4]);
    router(draft, stage, priority, of(Predicate::Ip6), vec![error6]);
}

fn router_egress(draft: &mut Draft) {
    let stage = Stage::LrOutLocate;
    let lost = || outport("");
    // The router's own errors get a source where a port's address is known to be right; there is none.
    let unspecified4 = Symbol::Ip4Src.is(Ipv4Addr::UNSPECIFIED);
    let unspecified6 = Symbol::Ip6Src.is(Ipv6Addr::UNSPECIFIED);
    router(draft, stage, 105, unspecified4, drop_it());
    router(draft, stage, 105, unspecified6, drop_it());
    expired(draft, stage, 80, &lost());
    router(draft, stage, 10, lost(), drop_it());
    router(draft, stage, 0, Expr::True, next());
    router(
        draft,
        Stage::LrOutDelivery,
        0,
        Expr::True,
        vec![Action::Output],
    );
}

fn physical(draft: &mut Draft) {
    let resubmit = |table: crate::pipeline::TableId| OfAction::Resubmit { table: table.get() };
    let mut add = |table: crate::pipeline::TableId, priority, matches, actions| {
        let table = table.get();
        let flow = Flow {
            table,
            priority,
            cookie: 0,
            matches,
            actions,
        };
        draft.physical(&Scope::Everywhere, flow);
    };
    let to_port = |key: u16| Match::new().exact(Field::Reg(register::OUTPORT), key);
    // Its sender has routed it, if it was to be: from here it goes to a port, and not on to another node.
    let from_outside = || OfAction::SetField {
        field: Field::Reg(register::FLAGS),
        value: register::FROM_OUTSIDE.into(),
        mask: register::FROM_OUTSIDE.into(),
    };
    let lookup = vec![
        from_outside(),
        OfAction::set(Field::Reg(register::OUTPORT), 0u8),
        resubmit(Stage::LsInL2Lkup.table()),
    ];
    add(
        table::TUNNEL_IN,
        100,
        to_port(PortKey::ELSEWHERE.get()),
        lookup,
    );
    let egress = Stage::first(DatapathKind::Router, Pipeline::Egress);
    let locate = egress
        .map(|stage| resubmit(stage.table()))
        .into_iter()
        .collect();
    add(table::TUNNEL_IN, 100, to_port(0), locate);
    add(
        table::TUNNEL_IN,
        0,
        Match::new(),
        vec![from_outside(), resubmit(table::OUTPUT)],
    );
    let far = Match::new().masked(Field::Reg(register::OUTPORT), register::FAR, register::FAR);
    add(table::OUTPUT, 120, far, tunnel());
    let ofport = Subfield::new(Field::Reg(register::OFPORT), 0, 16);
    add(
        table::DELIVER,
        0,
        Match::new(),
        vec![OfAction::OutputField(ofport)],
    );
}
