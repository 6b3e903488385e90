//! Units of compilation: the pieces that flows belong to and that recompile one by one.
//!
//! ```text
//!   Unit ──(its file)──▶ Draft: logical flows, physical flows, groups ──finish──▶ CompiledUnit ──place──▶ PlacedUnit
//! ```
//!
//! Lowering and encoding happen once per flow, whatever the number of nodes; a flow that comes out as it was keeps its bytes.
//!
//! Must not: be ordered by anything but what they are; the order decides between units that contradict each other.

mod balancer;
mod common;
mod derived;
mod draft;
mod gateway;
mod groups;
mod localnet;
mod location;
mod mac_binding;
mod nat;
mod node;
mod placed;
mod port;
mod port_security;
mod route;
mod router_port;

use ipnet::IpNet;
use uuid::Uuid;

use crate::engine::{Key, Reader, Value};
use crate::node::NodeName;

pub(crate) use draft::CompiledUnit;
pub(crate) use placed::{PlacedUnit, apply, nodes_of, place};

/// A piece of the network whose flows are made together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Unit {
    /// What every topology has.
    Common,
    /// A node: packets from its tunnel.
    Node(NodeName),
    /// A router port, and the port of the switch or router it is joined to.
    RouterPort(Uuid),
    /// An address of a router port and the network it is in.
    Gateway(Uuid, IpNet),
    /// A static route.
    Route(Uuid),
    /// The addresses of a router's domain that are on a node.
    Location(Uuid, NodeName),
    /// The multicast groups of a switch on a node.
    Groups(Uuid, NodeName),
    /// A switch port.
    Port(Uuid),
    /// A switch port that is a physical network.
    Localnet(Uuid),
    /// That a switch has load balancers.
    BalancedSwitch(Uuid),
    /// What the load balancers of a set share.
    BalancerSet(Uuid),
    /// A load balancer.
    Balancer(Uuid),
    /// A translation of a router.
    Nat(Uuid),
    /// A next hop's MAC that somebody has told.
    MacBinding(Uuid),
}

/// Makes a unit's flows.
pub(crate) fn compile(reader: &mut Reader<'_>, unit: &Unit, old: &Value) -> Value {
    let mut draft = draft::Draft::default();
    match unit {
        Unit::Common => common::compile(&mut draft),
        Unit::Node(node) => node::compile(reader, &mut draft, node),
        Unit::RouterPort(port) => router_port::compile(reader, &mut draft, *port),
        Unit::Gateway(port, network) => gateway::compile(reader, &mut draft, *port, *network),
        Unit::Route(route) => route::compile(reader, &mut draft, *route),
        Unit::Location(router, node) => location::compile(reader, &mut draft, *router, node),
        Unit::Groups(switch, node) => groups::compile(reader, &mut draft, *switch, node),
        Unit::BalancedSwitch(switch) => balancer::compile_switch(reader, &mut draft, *switch),
        Unit::BalancerSet(set) => balancer::compile_set(reader, &mut draft, *set),
        Unit::Balancer(balancer) => balancer::compile(reader, &mut draft, *balancer),
        Unit::Nat(nat) => nat::compile(reader, &mut draft, *nat),
        Unit::MacBinding(binding) => mac_binding::compile(reader, &mut draft, *binding),
        Unit::Port(port) => port::compile(reader, &mut draft, *port),
        Unit::Localnet(port) => localnet::compile(reader, &mut draft, *port),
    };
    draft.finish(reader, old)
}

/// The name of a switch or router; empty if it has none.
fn datapath_name(reader: &mut Reader<'_>, datapath: Uuid) -> std::sync::Arc<str> {
    let name = reader.read(Key::DatapathName(datapath)).name();
    name.cloned().unwrap_or_default()
}
