//! How the data plane answers in a host's stead: ARP, neighbour discovery and ping, turned round in place.
//!
//! ARP and ping take one flow. A neighbour advertisement takes two, because Open vSwitch lets a flow write `nd.tll` only where its match
//! says that the message is an advertisement already. The second is the same for all, since what differs waits in a register:
//!
//! ```text
//!   nd_ns && nd.sll == 0                next;
//!   nd_ns && nd.target == A             xreg4 = MAC, and whether a router's; icmp6.type = 136; flags.nd_reply = 1; next(this same stage);
//!   flags.nd_reply && nd_na && xreg4…   nd.options_type = 2; nd.reserved = …; nd.tll = xreg4; addresses; output;
//! ```
//!
//! A solicitation without the source's link-layer option has no room for the target's, so a flow above the others leaves it alone. It
//! matches the address, not the option's type: of the type the kernel's datapath tells nothing when a cached answer is judged again.
//! `flags.nd_reply` is what keeps an advertisement that somebody sent from being taken for a half-made answer.
//!
//! Every answer ends with the packet pointed back at its port (`outport = inport; flags.loopback = 1; output;`).
//!
//! Must not: decide who is answered; that is the match the compiler adds.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::action::{Action, Pipeline, Replacement};
use crate::address::Mac;
use crate::expr::Expr;
use crate::symbol::{Predicate, Symbol};

/// Flags of a host's solicited advertisement: solicited, override (RFC 4861 §4.4).
pub const ND_HOST: u32 = 0x6000_0000;
/// Flags of a router's solicited advertisement: router, solicited, override (RFC 4861 §4.4).
pub const ND_ROUTER: u32 = 0xe000_0000;

/// An ARP request for `address`.
#[must_use]
pub fn arp_request(address: Ipv4Addr) -> Expr {
    Predicate::Arp & Symbol::ArpOp.is(1) & Symbol::ArpTpa.is(address)
}

/// The request turned into the answer that `address` is at `mac`.
#[must_use]
pub fn arp_answer(mac: Mac, address: Ipv4Addr) -> Vec<Action> {
    let mut actions = vec![
        Symbol::EthDst.copy_from(Symbol::EthSrc),
        Symbol::EthSrc.set(mac),
        Symbol::ArpOp.set(2),
        Symbol::ArpTha.copy_from(Symbol::ArpSha),
        Symbol::ArpSha.set(mac),
        Symbol::ArpTpa.copy_from(Symbol::ArpSpa),
        Symbol::ArpSpa.set(address),
    ];
    actions.extend(turn_back());
    actions
}

/// A neighbour solicitation for `address`.
#[must_use]
pub fn nd_solicitation(address: Ipv6Addr) -> Expr {
    Predicate::NdNs & Symbol::NdTarget.is(address)
}

/// A neighbour solicitation that cannot be answered in place, having no room for a link-layer address. A probe for duplicates never has it
/// (RFC 4861 §4.3), so there is no answer to `::`.
#[must_use]
pub fn nd_bare_solicitation() -> Expr {
    Predicate::NdNs & Symbol::NdSll.is(Mac::default())
}

/// First flow of the answer that the target is at `mac`; `reserved` is [`ND_HOST`] or [`ND_ROUTER`].
#[must_use]
pub fn nd_turn(mac: Mac, reserved: u32, pipeline: Pipeline, table: u8) -> Vec<Action> {
    let known = u128::from(reserved >> 16) << 48 | u128::from(mac.to_bits());
    let mut actions = vec![Symbol::XReg4.set(known)];
    actions.extend(nd_turn_computed(pipeline, table));
    actions
}

/// The same where `xreg4` has the MAC in its low 48 bits, and the upper half of [`ND_HOST`] or [`ND_ROUTER`] above.
#[must_use]
pub fn nd_turn_computed(pipeline: Pipeline, table: u8) -> Vec<Action> {
    // The solicitation becomes an advertisement and passes a stage again.
    vec![
        Symbol::Icmp6Type.set(136),
        Symbol::FlagsNdReply.set(1),
        Action::next_stage(pipeline, table),
    ]
}

/// Match of the second flow; `reserved` is [`ND_HOST`] or [`ND_ROUTER`].
#[must_use]
pub fn nd_half_made(reserved: u32) -> Expr {
    let is_router = Symbol::XReg4.bit(63).is(u128::from(reserved >> 31));
    Symbol::FlagsNdReply.is(1) & Predicate::NdNa & is_router
}

/// Second flow of the answer; `reserved` is [`ND_HOST`] or [`ND_ROUTER`].
#[must_use]
pub fn nd_answer(reserved: u32) -> Vec<Action> {
    let mac = || Symbol::XReg4.bits(0, 47);
    let mut actions = vec![
        Symbol::EthDst.copy_from(Symbol::EthSrc),
        Symbol::EthSrc.copy_from(mac()),
        Symbol::Ip6Dst.copy_from(Symbol::Ip6Src),
        Symbol::Ip6Src.copy_from(Symbol::NdTarget),
        Symbol::NdOptionsType.set(2),
        Symbol::NdReserved.set(reserved),
        Symbol::NdTll.copy_from(mac()),
        Symbol::FlagsNdReply.set(0),
    ];
    actions.extend(turn_back());
    actions
}

/// An ICMP echo request to `address`.
#[must_use]
pub fn ping4(address: Ipv4Addr) -> Expr {
    Predicate::Icmp4
        & Symbol::Icmp4Type.is(8)
        & Symbol::Icmp4Code.is(0)
        & Symbol::Ip4Dst.is(address)
}

/// The echo request turned into its reply, up to (not including) the decision where it goes.
#[must_use]
pub fn ping4_answer() -> Vec<Action> {
    vec![
        Action::exchange(Symbol::Ip4Src, Symbol::Ip4Dst),
        Symbol::IpTtl.set(255),
        Symbol::Icmp4Type.set(0),
        Symbol::FlagsLoopback.set(1),
    ]
}

/// An ICMPv6 echo request to `address`.
#[must_use]
pub fn ping6(address: Ipv6Addr) -> Expr {
    Predicate::Icmp6
        & Symbol::Icmp6Type.is(128)
        & Symbol::Icmp6Code.is(0)
        & Symbol::Ip6Dst.is(address)
}

/// The echo request turned into its reply, up to (not including) the decision where it goes.
#[must_use]
pub fn ping6_answer() -> Vec<Action> {
    vec![
        Action::exchange(Symbol::Ip6Src, Symbol::Ip6Dst),
        Symbol::IpTtl.set(255),
        Symbol::Icmp6Type.set(129),
        Symbol::FlagsLoopback.set(1),
    ]
}

/// An error that a router owes about an IPv4 packet, which it routes as any packet of its own. Its source is left open (0.0.0.0): it is the address of the
/// port that it leaves by (RFC 1812 §4.3.2.4), which is known when it leaves. `table` is the number of the stage that routes.
#[must_use]
pub fn router_error4(kind: u8, code: u8, table: u8) -> Action {
    let mut actions = vec![
        Symbol::Icmp4Type.set(kind),
        Symbol::Icmp4Code.set(code),
        Symbol::Ip4Dst.copy_from(Symbol::Ip4Src),
        Symbol::Ip4Src.set(Ipv4Addr::UNSPECIFIED),
    ];
    actions.extend(route_anew(table));
    Action::replace(Replacement::Icmp4, actions)
}

/// The same about an IPv6 packet.
#[must_use]
pub fn router_error6(kind: u8, code: u8, table: u8) -> Action {
    let mut actions = vec![
        Symbol::Icmp6Type.set(kind),
        Symbol::Icmp6Code.set(code),
        Symbol::Ip6Dst.copy_from(Symbol::Ip6Src),
        Symbol::Ip6Src.set(Ipv6Addr::UNSPECIFIED),
    ];
    actions.extend(route_anew(table));
    Action::replace(Replacement::Icmp6, actions)
}

/// Whatever was chosen for the packet that it is about does not hold for the error.
fn route_anew(table: u8) -> [Action; 3] {
    [
        Symbol::Reg8.set(0u8),
        Symbol::FlagsLoopback.set(1),
        Action::next_stage(Pipeline::Ingress, table),
    ]
}

/// Back out of the port it came in by.
#[must_use]
pub fn turn_back() -> Vec<Action> {
    vec![
        Action::turn_back(),
        Symbol::FlagsLoopback.set(1),
        Action::Output,
    ]
}
