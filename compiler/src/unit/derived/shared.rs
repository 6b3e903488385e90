//! The flows around the entries of derived ports: the same for every switch.
//!
//! ```text
//!   ls_in_check_port_sec ─▶ own ─▶ (ARP, ND: own again) ─▶ the rest of ingress
//!   ls_in_arp_rsp ─▶ own ──no──▶ found ─yes─▶ answer        yes, no: on, unanswered
//!   ls_in_l2_lkup ─▶ found ─yes─▶ output                    no: back, to what is done with MACs that nobody has
//!   ls_in_locate  ─▶ found ─yes─▶ output                    no: dropped
//!   ls_out_check_port_sec ─▶ own ─▶ ls_out_apply_port_sec   no: dropped
//! ```
//!
//! Must not: match a port or an address.

use std::net::{Ipv4Addr, Ipv6Addr};

use weft_expr::{Action, Constant, Expr, Mac, Pipeline, Predicate, Symbol, reply};

use super::{ADDRESS, Asker, IS_IPV4, IS_IPV6, IS_LINK_LOCAL, KEY, WAS_SOUGHT, mac, question};
use crate::logical_flow::{Datapath, Scope};
use crate::pipeline::{DatapathKind, Stage};
use crate::topology::DERIVED_MAC_HIGH;
use crate::unit::draft::Draft;

pub(in crate::unit) fn compile(draft: &mut Draft) {
    sender(draft);
    sender_again(draft);
    responder(draft);
    switch(draft);
    router(draft);
    receiver(draft);
}

fn add(
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

fn call(stage: Stage) -> Action {
    Action::next_stage(Pipeline::Ingress, stage.number())
}

/// On in ingress, behind a stage.
fn behind(stage: Stage) -> Action {
    match stage.following() {
        Some(stage) => call(stage),
        None => Action::next(),
    }
}

/// Asks whether MAC and address are the port's own.
fn ask_own(mut what: Vec<Action>, asker: Asker, kind: u16) -> Vec<Action> {
    what.extend([question().set(asker.asking(kind)), call(Stage::LsInOwn)]);
    what
}

/// Asks which port has the address.
fn ask_found(what: Action, asker: Asker, kind: u16) -> Vec<Action> {
    let ask = question().set(asker.asking(kind));
    vec![what, ask, call(Stage::LsInPortLkup)]
}

/// The MAC that follows from the number.
fn set_derived(
    mac: impl Fn(u8, u8) -> weft_expr::Part,
    key: impl Into<weft_expr::Part>,
) -> [Action; 2] {
    [mac(32, 47).set(DERIVED_MAC_HIGH), mac(0, 31).copy_from(key)]
}

/// A link-local address that follows from a derived MAC.
fn is_link_local(address: Symbol) -> Expr {
    let value = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x0858, 0x00ff, 0xfe00, 0);
    let mask = Ipv6Addr::new(0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0x00ff, 0xff00, 0);
    address.is(Constant::masked(value.to_bits(), mask.to_bits()))
}

/// The number that it follows from.
fn key_of_link_local(address: Symbol) -> [Action; 2] {
    [
        KEY.bits(24, 31).copy_from(address.bits(40, 47)),
        KEY.bits(0, 23).copy_from(address.bits(0, 23)),
    ]
}

/// Frame and packet. Ports that are not derived have flows above these.
fn sender(draft: &mut Draft) {
    let stage = Stage::LsInCheckPortSec;
    let mac_and = |more: &[Action]| {
        let mut actions = vec![mac().copy_from(Symbol::EthSrc)];
        actions.extend_from_slice(more);
        actions
    };
    let mut ask = |priority, matches: Expr, more: &[Action], kind| {
        let actions = ask_own(mac_and(more), Asker::Sender, kind);
        add(draft, stage, priority, matches, actions);
    };
    let number = KEY.copy_from(Symbol::EthSrc.bits(0, 31));
    // Who has no address yet has a MAC.
    ask(
        20,
        super::super::common::dhcp(),
        std::slice::from_ref(&number),
        0,
    );
    ask(
        20,
        super::super::common::unspecified(),
        std::slice::from_ref(&number),
        0,
    );
    let probe = Symbol::ArpSpa.is(Ipv4Addr::UNSPECIFIED);
    ask(20, probe, &[number], IS_IPV4);
    let link_local = key_of_link_local(Symbol::Ip6Src);
    ask(
        15,
        is_link_local(Symbol::Ip6Src),
        &link_local,
        IS_LINK_LOCAL,
    );
    ask(
        10,
        Predicate::Ip4.into(),
        &[KEY.copy_from(Symbol::Ip4Src)],
        IS_IPV4,
    );
    ask(
        10,
        Predicate::Arp.into(),
        &[KEY.copy_from(Symbol::ArpSpa)],
        IS_IPV4,
    );
    ask(
        10,
        Predicate::Ip6.into(),
        &[ADDRESS.copy_from(Symbol::Ip6Src)],
        IS_IPV6,
    );
}

/// What ARP and ND say of their sender besides.
fn sender_again(draft: &mut Draft) {
    let stage = Stage::LsInOwnThen;
    let again = |what: &[Action], kind| ask_own(what.to_vec(), Asker::SenderAgain, kind);
    let first = || Asker::Sender.asks();
    let number = |of: Symbol| KEY.copy_from(of.bits(0, 31));
    let says = |of: Symbol| mac().copy_from(of);

    let sha = says(Symbol::ArpSha);
    let probe = first() & Symbol::ArpSpa.is(Ipv4Addr::UNSPECIFIED);
    add(
        draft,
        stage,
        90,
        probe,
        again(&[sha.clone(), number(Symbol::ArpSha)], IS_IPV4),
    );
    add(
        draft,
        stage,
        80,
        first() & Predicate::Arp,
        again(&[sha], IS_IPV4),
    );

    let on = || vec![behind(Stage::LsInNdPortSec)];
    // As for other ports: `common` says why.
    let unreadable = first() & super::super::common::unreadable();
    add(draft, stage, 110, unreadable, vec![Action::Drop]);
    add(
        draft,
        stage,
        100,
        first() & reply::nd_bare_solicitation(),
        on(),
    );
    let sll = [says(Symbol::NdSll), number(Symbol::NdSll)];
    // Only ports with IPv6 addresses solicit with their MAC, and these have a link-local address.
    add(
        draft,
        stage,
        90,
        first() & Predicate::NdNs,
        again(&sll, IS_LINK_LOCAL),
    );
    // Without option an advertisement says its target alone.
    for (priority, has_option) in [(94, false), (90, true)] {
        let (matches, mac) = match has_option {
            true => (first() & Predicate::NdNa, says(Symbol::NdTll)),
            false => (
                first() & Symbol::NdTll.is(Mac::default()),
                says(Symbol::EthSrc),
            ),
        };
        let whole = [mac.clone(), ADDRESS.copy_from(Symbol::NdTarget)];
        add(
            draft,
            stage,
            priority,
            matches.clone(),
            again(&whole, IS_IPV6),
        );
        let [high, low] = key_of_link_local(Symbol::NdTarget);
        let matches = matches & is_link_local(Symbol::NdTarget);
        add(
            draft,
            stage,
            priority + 2,
            matches,
            again(&[mac, high, low], IS_LINK_LOCAL),
        );
    }
    add(draft, stage, 0, Expr::True, on());
}

/// ARP and ND, answered for derived ports and nobody else's sake: others have answers above these.
fn responder(draft: &mut Draft) {
    let stage = Stage::LsInArpRsp;
    let own = |of: Symbol, key: weft_expr::Part, kind| {
        let mut what = vec![if kind == IS_IPV6 { ADDRESS } else { KEY }.copy_from(of)];
        what.extend(set_derived(|low, high| Symbol::XReg4.bits(low, high), key));
        ask_own(what, Asker::Responder, kind)
    };
    let asked4 = Symbol::ArpOp.is(1);
    add(
        draft,
        stage,
        40,
        asked4,
        own(Symbol::ArpTpa, Symbol::ArpTpa.whole(), IS_IPV4),
    );
    let asked6 = Predicate::NdNs;
    add(
        draft,
        stage,
        40,
        asked6,
        own(Symbol::NdTarget, Symbol::NdTarget.bits(0, 31), IS_IPV6),
    );
    // Nobody is told of himself: his probes for duplicates must reach whoever has his address too.
    let asks = || Asker::Responder.asks();
    add(draft, Stage::LsInOwnThen, 120, asks(), vec![behind(stage)]);
    add(
        draft,
        Stage::LsInOwn,
        0,
        asks(),
        vec![call(Stage::LsInPortLkup)],
    );
    add(draft, Stage::LsInPortLkup, 0, asks(), vec![behind(stage)]);

    let stage = Stage::LsInPortThen;
    let eth_src = |low, high| Symbol::EthSrc.bits(low, high);
    let arp_sha = |low, high| Symbol::ArpSha.bits(low, high);
    let mut answer = vec![Symbol::EthDst.copy_from(Symbol::EthSrc)];
    answer.extend(set_derived(eth_src, KEY));
    answer.extend([
        Symbol::ArpOp.set(2),
        Symbol::ArpTha.copy_from(Symbol::ArpSha),
    ]);
    answer.extend(set_derived(arp_sha, KEY));
    answer.extend([
        Symbol::ArpTpa.copy_from(Symbol::ArpSpa),
        Symbol::ArpSpa.copy_from(KEY),
    ]);
    answer.extend(reply::turn_back());
    add(draft, stage, 50, asks() & Predicate::Arp, answer);
    // The answer is made where all of them are; the MAC stands in the register already.
    let mut turn = vec![question().set(reply::ND_HOST >> 16)];
    turn.extend(reply::nd_turn_computed(
        Pipeline::Ingress,
        Stage::LsInArpRsp.number(),
    ));
    add(draft, stage, 50, asks() & Predicate::NdNs, turn);
}

/// MACs that derived ports may have.
fn switch(draft: &mut Draft) {
    let stage = Stage::LsInL2Lkup;
    let is_sought = Symbol::EthDst.bits(32, 47).is(DERIVED_MAC_HIGH);
    let is_first = Symbol::XReg4.bit(63).is(0);
    let number = KEY.copy_from(Symbol::EthDst.bits(0, 31));
    add(
        draft,
        stage,
        30,
        is_sought & is_first,
        ask_found(number, Asker::Switch, 0),
    );
    let asks = || Asker::Switch.asks();
    let not_found = vec![question().set(WAS_SOUGHT), call(stage)];
    add(draft, Stage::LsInPortLkup, 0, asks(), not_found);
    add(draft, Stage::LsInPortThen, 50, asks(), vec![Action::Output]);
}

/// Routed packets that have come to the node of their destination.
fn router(draft: &mut Draft) {
    let stage = Stage::LsInLocate;
    let by4 = ask_found(KEY.copy_from(Symbol::Ip4Dst), Asker::Router, IS_IPV4);
    add(draft, stage, 0, Predicate::Ip4, by4);
    let by6 = ask_found(ADDRESS.copy_from(Symbol::Ip6Dst), Asker::Router, IS_IPV6);
    add(draft, stage, 0, Predicate::Ip6, by6);
    let mut out = Vec::from(set_derived(|low, high| Symbol::EthDst.bits(low, high), KEY));
    out.push(Action::Output);
    add(draft, Stage::LsInPortThen, 50, Asker::Router.asks(), out);
}

/// What may go out of a port. Its own addresses only, as if the packet came in by it.
fn receiver(draft: &mut Draft) {
    let stage = Stage::LsOutCheckPortSec;
    let mac = |low, high| Symbol::XReg4.bits(low, high);
    let mut ask = |priority, matches: Expr, what: &[Action], kind| {
        let mut actions = vec![Action::MovePort {
            destination: weft_expr::PortSymbol::Inport,
            source: weft_expr::PortSymbol::Outport,
        }];
        actions.extend_from_slice(what);
        actions.extend(set_derived(mac, KEY));
        add(
            draft,
            stage,
            priority,
            matches,
            ask_own(actions, Asker::Receiver, kind),
        );
    };
    let link_local = key_of_link_local(Symbol::Ip6Dst);
    ask(
        85,
        is_link_local(Symbol::Ip6Dst),
        &link_local,
        IS_LINK_LOCAL,
    );
    ask(
        80,
        Predicate::Ip4.into(),
        &[KEY.copy_from(Symbol::Ip4Dst)],
        IS_IPV4,
    );
    ask(
        80,
        Predicate::Ip6.into(),
        &[ADDRESS.copy_from(Symbol::Ip6Dst)],
        IS_IPV6,
    );
    let apply = Stage::LsOutApplyPortSec;
    let on = vec![Action::next_stage(Pipeline::Egress, apply.number())];
    add(draft, Stage::LsInOwnThen, 120, Asker::Receiver.asks(), on);
    add(draft, apply, 0, Expr::True, vec![Action::Output]);
}
