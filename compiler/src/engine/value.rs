//! What cells hold.
//!
//! Must not: be expensive to clone; anything large is behind an `Arc`.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use rustc_hash::FxHashMap;
use uuid::Uuid;
use weft_schema::nb;

use super::Members;
use crate::node::{Binding, Node, NodeName, Ofport};
use crate::topology::{
    Balancer, Face, Nat, ParsedPort, Place, Route, Routed, RouterPort, Spread, SwitchPort,
};
use crate::unit::{CompiledUnit, PlacedUnit};

/// The value of a cell.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) enum Value {
    #[default]
    Absent,
    SwitchRow(Arc<nb::LogicalSwitch>),
    SwitchPortRow(Arc<nb::LogicalSwitchPort>),
    RouterRow(Arc<nb::LogicalRouter>),
    RouterPortRow(Arc<nb::LogicalRouterPort>),
    RouteRow(Arc<nb::LogicalRouterStaticRoute>),
    BalancerRow(Arc<nb::LoadBalancer>),
    BalancerGroupRow(Arc<nb::LoadBalancerGroup>),
    NatRow(Arc<nb::Nat>),
    MacBindingRow(Arc<nb::StaticMacBinding>),
    Balancer(Arc<Balancer>),
    Nat(Arc<Nat>),
    Binding(Binding),
    Node(Node),
    Ofport(Ofport),
    Number(u32),
    /// A relation: members and how often each was put in.
    Set(Members<u32>),
    Name(Arc<str>),
    ParsedPort(Arc<ParsedPort>),
    RouterPort(Arc<RouterPort>),
    Face(Arc<Face>),
    SwitchPort(Arc<SwitchPort>),
    Networks(Arc<Vec<IpNet>>),
    Subnets(Arc<Vec<(IpNet, Uuid)>>),
    Subnet(IpNet, Uuid),
    Components(Arc<FxHashMap<Uuid, Uuid>>),
    Row(Uuid),
    Route(Arc<Route>),
    Place(Place),
    Spread(Spread),
    /// Nodes on which a localnet port is in use, and by which port of each one's bridge.
    Plugs(Arc<BTreeMap<NodeName, Ofport>>),
    Flag,
    Routed(Arc<Routed>),
    Unit(Arc<CompiledUnit>),
    Placed(Arc<PlacedUnit>),
}

macro_rules! accessors {
    ($($name:ident: $variant:ident -> $type:ty;)*) => {$(
        pub(crate) fn $name(&self) -> Option<&$type> {
            match self {
                Value::$variant(value) => Some(value),
                _ => None,
            }
        }
    )*};
}

impl Value {
    accessors! {
        switch_row: SwitchRow -> Arc<nb::LogicalSwitch>;
        switch_port_row: SwitchPortRow -> Arc<nb::LogicalSwitchPort>;
        router_row: RouterRow -> Arc<nb::LogicalRouter>;
        router_port_row: RouterPortRow -> Arc<nb::LogicalRouterPort>;
        route_row: RouteRow -> Arc<nb::LogicalRouterStaticRoute>;
        balancer_row: BalancerRow -> Arc<nb::LoadBalancer>;
        nat_row: NatRow -> Arc<nb::Nat>;
        mac_binding_row: MacBindingRow -> Arc<nb::StaticMacBinding>;
        balancer: Balancer -> Arc<Balancer>;
        nat: Nat -> Arc<Nat>;
        binding: Binding -> Binding;
        node: Node -> Node;
        ofport: Ofport -> Ofport;
        number: Number -> u32;
        name: Name -> Arc<str>;
        parsed_port: ParsedPort -> Arc<ParsedPort>;
        router_port: RouterPort -> Arc<RouterPort>;
        face: Face -> Arc<Face>;
        switch_port: SwitchPort -> Arc<SwitchPort>;
        networks: Networks -> Arc<Vec<IpNet>>;
        subnets: Subnets -> Arc<Vec<(IpNet, Uuid)>>;
        components: Components -> Arc<FxHashMap<Uuid, Uuid>>;
        row: Row -> Uuid;
        route: Route -> Arc<Route>;
        place: Place -> Place;
        spread: Spread -> Spread;
        plugs: Plugs -> Arc<BTreeMap<NodeName, Ofport>>;
        routed: Routed -> Arc<Routed>;
        unit: Unit -> Arc<CompiledUnit>;
        placed: Placed -> Arc<PlacedUnit>;
    }

    /// The members of a relation.
    pub(crate) fn set(&self) -> &Members<u32> {
        static EMPTY: Members<u32> = Members::EMPTY;
        match self {
            Value::Set(members) => members,
            _ => &EMPTY,
        }
    }

    pub(super) fn set_mut(&mut self) -> &mut Members<u32> {
        if !matches!(self, Value::Set(_)) {
            *self = Value::Set(Members::EMPTY);
        }
        match self {
            Value::Set(members) => members,
            _ => unreachable!("made a set above"),
        }
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Value::Absent)
    }
}
