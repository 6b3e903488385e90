//! Ports whose MAC and addresses follow from one number: two entries for each address family say all there is to say of them.
//!
//! ```text
//!   own    inport, MAC, address    what the port may say of itself   asked of whatever a packet says of its sender, of what is asked
//!                                                                    for (nobody is told of himself), and of the destination at the end
//!   found  address                 which port has it                 asked of destination MACs, of ARP and ND targets, and of routed
//!                                                                    packets
//! ```
//!
//! What is asked is put into registers, and a stage is called that has the entries. What differs between ports is in the entries alone; the
//! flows around them ([`shared`]) are the same for all switches, and compute what they need, since the low 32 bits of every address of such
//! a port are those of its MAC.
//!
//! Must not: know ports that are not [`Derived`]; those have flows of their own, which come first.

mod shared;

use weft_expr::{Action, Constant, Expr, Mac, Part, Symbol, inport};

use super::draft::Draft;
use crate::logical_flow::{Datapath, Scope};
use crate::node::NodeName;
use crate::pipeline::Stage;
use crate::topology::Derived;

pub(super) use shared::compile;

/// What may come in by the port, and go out of it.
pub(super) fn own(draft: &mut Draft, datapath: &Datapath, port: &str, of: &Derived, here: &Scope) {
    let mut add = |matches: Expr| {
        let matches = inport(port) & matches;
        let (stage, next) = (Stage::LsInOwn, vec![Action::next()]);
        draft.flow(datapath.clone(), stage, 50, matches, next, here);
    };
    // Every port may speak before it has an address; one with IPv6 addresses has a link-local one besides.
    let is_any = with(IS_IPV6 | refused(of));
    add(masked(MAC_BITS | is_any, bits(of.mac)) & KEY.is(of.key));
    for address in &of.ipv6 {
        let is_ipv6 = with(IS_IPV6);
        add(masked(MAC_BITS | is_ipv6, bits(of.mac) | is_ipv6) & ADDRESS.is(*address));
    }
}

/// That the port is found by its MAC and its IPv4 address, on the nodes of a scope.
pub(super) fn found(
    draft: &mut Draft,
    datapath: &Datapath,
    port: &std::sync::Arc<str>,
    of: &Derived,
    (scope, node): (&Scope, &NodeName),
) {
    let kind = masked(with(IS_IPV6 | refused(of)), 0);
    find(draft, datapath, port, kind & KEY.is(of.key), (scope, node));
}

/// That the port is found by an IPv6 address.
pub(super) fn found_by_ipv6(
    draft: &mut Draft,
    datapath: &Datapath,
    port: &std::sync::Arc<str>,
    address: std::net::Ipv6Addr,
    at: (&Scope, &NodeName),
) {
    let kind = masked(with(IS_IPV6), with(IS_IPV6));
    find(draft, datapath, port, kind & ADDRESS.is(address), at);
}

fn find(
    draft: &mut Draft,
    datapath: &Datapath,
    port: &std::sync::Arc<str>,
    matches: Expr,
    (scope, node): (&Scope, &NodeName),
) {
    let actions = vec![Action::outport(port.clone()), Action::next()];
    let (datapath, stage) = (datapath.clone(), Stage::LsInPortLkup);
    draft.found_flow(datapath, stage, 50, matches, actions, scope, node);
}

/// The kinds of questions to which the answer is no, though MAC and number are the port's.
const fn refused(of: &Derived) -> u16 {
    let mut kinds = 0;
    if !of.has_ipv4 {
        kinds |= IS_IPV4;
    }
    if of.ipv6.is_empty() {
        kinds |= IS_LINK_LOCAL;
    }
    kinds
}

fn masked(mask: u64, value: u64) -> Expr {
    Symbol::XReg4.is(Constant::masked(u128::from(value), u128::from(mask)))
}

/// What is asked, where it stands above the MAC.
fn with(question: u16) -> u64 {
    u64::from(question) << 48
}

fn bits(mac: Mac) -> u64 {
    mac.to_bits()
}

/// The address that is asked about, if it is IPv6; an IPv4 address is its low 32 bits, and so is the number that others follow from.
const ADDRESS: Symbol = Symbol::XxReg1;
/// These.
const KEY: Symbol = Symbol::Reg7;
/// The MAC that is asked about: the low 48 bits of the register.
const MAC_BITS: u64 = (1 << 48) - 1;

// Kinds of questions, and who asks. What says nothing asks for the MAC alone.
/// For all of the address register.
const IS_IPV6: u16 = 1;
/// For the number, as IPv4 address.
const IS_IPV4: u16 = 1 << 1;
/// For the number, as part of the link-local address that follows from the MAC.
const IS_LINK_LOCAL: u16 = 1 << 2;
/// Whoever has looked for a MAC here and not found it.
const WAS_SOUGHT: u16 = 1 << 15;

/// Who asks.
#[derive(Clone, Copy)]
enum Asker {
    /// Port security: frame and packet.
    Sender = 0,
    /// Port security: what ARP and ND say besides.
    SenderAgain = 1,
    /// Who answers ARP and ND.
    Responder = 2,
    /// Port security at the other end.
    Receiver = 3,
    /// Who looks for the port of a MAC.
    Switch = 4,
    /// Who looks for the port of a routed packet.
    Router = 5,
}

impl Asker {
    /// What is in the register when it asks.
    const fn asking(self, kind: u16) -> u16 {
        (self as u16) << 8 | kind
    }

    fn asks(self) -> Expr {
        asker().is(self as u16)
    }
}

/// Who asks, and what.
fn question() -> Part {
    Symbol::XReg4.bits(48, 63)
}

fn asker() -> Part {
    Symbol::XReg4.bits(56, 59)
}

fn mac() -> Part {
    Symbol::XReg4.bits(0, 47)
}
