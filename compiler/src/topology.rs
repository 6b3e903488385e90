//! The logical topology: rows, judged and joined.
//!
//! ```text
//!   rows ──▶ parsed ports, router ports ──▶ claims ──▶ switch ports, connected networks, routes
//!        ──▶ components (petgraph) ──▶ places ──▶ sets of nodes, locations ──▶ which domains are plain
//! ```
//!
//! Each arrow is a level of the [`engine`](crate::engine); [`compute`] says which function computes which cell.
//!
//! Must not: make flows.

pub(crate) mod address;
mod balancer;
mod derived;
mod domain;
mod key_table;
mod localnet;
mod location;
mod nat;
mod place;
mod route;
mod router_port;
mod row;
mod switch_port;

pub(crate) use balancer::{
    Balancer, BalancerGroups, Protocol, Variant, Vip, VirtualAddress,
    diagnostic as balancer_diagnostic, set_of_row,
};
pub(crate) use derived::{DERIVED_MAC_HIGH, Derived};
pub(crate) use domain::Routed;
pub(crate) use key_table::{KeyTable, first_choice};
pub(crate) use location::{Fact, LocationChange, Locations};
pub(crate) use nat::{Nat, diagnostic as nat_diagnostic, residence};
pub(crate) use place::{Place, Spread};
pub(crate) use route::{Route, Side};
pub(crate) use router_port::{Face, Link, RouterPort, owns_mac};
pub(crate) use row::{UNSERVED, change_of, difference};
pub(crate) use switch_port::{Localnet, ParsedPort, SwitchPort};

use crate::engine::{Key, Reader, Value};
use crate::unit;

/// Computes a derived cell.
pub(crate) fn compute(reader: &mut Reader<'_>, key: &Key, old: &Value) -> Value {
    match key {
        Key::DatapathName(datapath) => row::datapath_name(reader, *datapath),
        Key::UnservedWarning(table) => row::unserved_warning(reader, table),
        Key::UnservedType(kind) => switch_port::unserved_type(reader, kind),
        Key::Balancer(balancer) => balancer::parse(reader, *balancer),
        Key::BalancerSet(set) => balancer::set(reader, *set),
        Key::SetOf(switch) => balancer::set_of(reader, *switch),
        Key::BalancedNodes(switch) => balancer::nodes(reader, *switch),
        Key::ParsedPort(port) => switch_port::parse(reader, *port),
        Key::SwitchPort(port) => switch_port::judge(reader, *port),
        Key::RouterPort(port) => router_port::parse(reader, *port),
        Key::Face(port) => router_port::face(reader, *port),
        Key::Connected(port) => router_port::connected(reader, *port),
        Key::Components => domain::components(reader),
        Key::Component(datapath) => domain::component(reader, *datapath),
        Key::Subnets(switch) => domain::subnets(reader, *switch),
        Key::SubnetOf(switch, address) => domain::subnet_of(reader, *switch, *address),
        Key::PlainShape(router) => domain::plain_shape(reader, *router),
        Key::Plain(router) => domain::plain(reader, *router),
        Key::Routed(switch) => domain::routed(reader, *switch),
        Key::Route(route) => route::parse(reader, *route),
        Key::Decided(route) => route::decided(reader, *route),
        Key::Residence(router) => nat::read_residence(reader, *router),
        Key::ResidentNode(router) => nat::resident_node(reader, *router),
        Key::Nat(nat) => nat::parse(reader, *nat),
        Key::Place(port) => place::place(reader, *port),
        Key::Spread(port, network) => place::spread(reader, *port, *network),
        Key::Plugs(port) => localnet::plugs(reader, *port),
        Key::Unit(unit) => unit::compile(reader, unit, old),
        Key::Placed(unit) => unit::place(reader, unit),
        _ => Value::Absent,
    }
}
