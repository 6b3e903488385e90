//! Names of cells, their levels, and what cells put into others.
//!
//! Must not: have a level read its own or a higher one (asserted where cells are read).

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use uuid::Uuid;
use weft_expr::Mac;

use crate::node::NodeName;
use crate::topology::{Fact, Side, Vip};
use crate::unit::Unit;

/// How many levels there are.
pub(crate) const LEVELS: usize = 17;

/// The name of a cell. `Uuid`s are rows; which table is said by the variant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Key {
    // Inputs, level 0.
    SwitchRow(Uuid),
    SwitchPortRow(Uuid),
    RouterRow(Uuid),
    RouterPortRow(Uuid),
    RouteRow(Uuid),
    BalancerRow(Uuid),
    BalancerGroupRow(Uuid),
    NatRow(Uuid),
    MacBindingRow(Uuid),
    Binding(Arc<str>),
    Node(NodeName),
    /// Where on a node a localnet port, by name, is connected to its physical network.
    Plug(NodeName, Arc<str>),
    // Allotted keys, level 1.
    DatapathNumber(Uuid),
    /// Datapath, port.
    PortNumber(Uuid, Uuid),
    // Relations that rows fill, level 1.
    SwitchPortsNamed(Arc<str>),
    RouterPortsNamed(Arc<str>),
    SwitchesOf(Uuid),
    RoutersOf(Uuid),
    RoutersOfRoute(Uuid),
    RoutersOfNat(Uuid),
    /// Switch ports of type `router` that name this router port.
    SwitchSides(Arc<str>),
    Nodes,
    /// Nodes on which a localnet port, by name, is connected to its physical network.
    PluggedNodes(Arc<str>),
    /// Nodes of a topology zone, by the ports of their hosts.
    NodesInZone(Arc<str>),
    /// Sets that hold a load balancer by itself.
    SetsOf(Uuid),
    /// Sets that hold a group of load balancers.
    SetsOfGroup(Uuid),
    /// Groups that hold a load balancer.
    GroupsOf(Uuid),
    /// Rows that hold something of this table, which is not served yet.
    Unserved(&'static str),
    // Level 2.
    /// Says that switch ports of a type are not served.
    UnservedType(Arc<str>),
    DatapathName(Uuid),
    ParsedPort(Uuid),
    RouterPort(Uuid),
    /// The node that a router is on, if it is on one alone.
    Residence(Uuid),
    Nat(Uuid),
    Balancer(Uuid),
    /// Load balancers that act together: those of a switch, and of every other that lists the same.
    BalancerSet(Uuid),
    /// The load balancers of a switch.
    SetOf(Uuid),
    // Allotted keys, level 3.
    /// Number of a set of load balancers.
    SetNumber(Uuid),
    /// Number of a group of buckets.
    GroupNumber(Uuid),
    /// Number of a router that translates addresses, which says its conntrack zones.
    ZoneNumber(Uuid),
    // Relations, level 3.
    /// Translations of a router by what they look at: an outside address, or inside ones.
    NatClaims(Uuid, Side, IpNet),
    /// Load balancers of a set that have this virtual address.
    VipClaims(Uuid, Vip),
    /// Addresses that take the place of a source that is the destination too, in a set.
    HairpinsOf(Uuid),
    Links,
    RouterPortsOn(Uuid),
    MacClaims(Uuid, Mac),
    AddressClaims(Uuid, IpAddr),
    /// Name of the port nested in, VLAN tag.
    TagClaims(Arc<str>, u16),
    NetworkClaims(Uuid, IpNet),
    /// What others need to know of a router port, without its networks.
    Face(Uuid),
    PortsOfRouter(Uuid),
    // Level 4.
    SwitchPort(Uuid),
    Connected(Uuid),
    Components,
    UnservedWarning(&'static str),
    // Level 5.
    ConnectedOf(Uuid),
    Obstacles(Uuid),
    LocalnetsOf(Uuid),
    Component(Uuid),
    // Level 6.
    Subnets(Uuid),
    PlainShape(Uuid),
    Route(Uuid),
    // Level 7.
    SubnetOf(Uuid, IpAddr),
    /// Routes of a router for the same prefix.
    RouteGroup(Uuid, Side, IpNet),
    NextHops(Uuid, IpAddr),
    RoutedPorts(Uuid),
    /// Prefixes of a router's static routes that go by source, or count on one node alone.
    SourceRoutes(Uuid),
    // Level 8.
    Place(Uuid),
    /// What a route decides about.
    Decided(Uuid),
    /// Puts the node of a router that is on one alone among those of its domain.
    ResidentNode(Uuid),
    // Relations, level 9.
    /// Prefixes that a router's static routes decide about, and lead somewhere or may.
    StaticPrefixes(Uuid),
    /// Prefixes in which the router drops what no longer prefix takes.
    DiscardedPrefixes(Uuid),
    PortsAt(Uuid, NodeName),
    UnknownPortsAt(Uuid, NodeName),
    NodesOfSwitch(Uuid),
    NodesOfUnknown(Uuid),
    NodesOfSubnet(Uuid, IpNet),
    /// Nodes with a port of the switch that is in no subnet.
    NodesOfNoSubnet(Uuid),
    NodesUnguarded(Uuid),
    /// Ports in a subnet whose MAC does not follow from their address.
    Underived(Uuid, IpNet),
    NodesOfDomain(Uuid),
    // Level 10.
    Spread(Uuid, IpNet),
    /// Where a localnet port is in use.
    Plugs(Uuid),
    /// The nodes of a switch with load balancers.
    BalancedNodes(Uuid),
    // Relations, level 11.
    NodesOfSet(Uuid),
    /// Networks of a router port whose addresses are switched, not located.
    Switched(Uuid),
    Prefixes(Uuid, NodeName),
    Doubles(Uuid),
    /// Nodes on which a localnet port is in use.
    NodesOfLocalnet(Uuid),
    /// The localnet port of a switch that is in use on a node: one at most.
    Uplink(Uuid, NodeName),
    // Level 12.
    Plain(Uuid),
    // Level 13.
    Routed(Uuid),
    // Level 14.
    Unit(Unit),
    // An allotted key, level 15.
    /// Number of a conjunctive match.
    ConjunctionNumber(Uuid),
    // Level 16.
    Placed(Unit),
}

impl Key {
    pub(crate) const fn level(&self) -> u8 {
        #[allow(clippy::enum_glob_use)] // every variant is named below
        use Key::*;
        match self {
            SwitchRow(_) | SwitchPortRow(_) | RouterRow(_) | RouterPortRow(_) | RouteRow(_)
            | BalancerRow(_) | BalancerGroupRow(_) | NatRow(_) | MacBindingRow(_) | Binding(_)
            | Node(_) | Plug(..) => 0,
            NodesInZone(_) | SetsOf(_) | SetsOfGroup(_) | GroupsOf(_) | DatapathNumber(_)
            | PortNumber(..) | SwitchPortsNamed(_) | RouterPortsNamed(_) | SwitchesOf(_)
            | RoutersOf(_) | RoutersOfRoute(_) | RoutersOfNat(_) | SwitchSides(_) | Nodes
            | PluggedNodes(_) | Unserved(_) => 1,
            DatapathName(_) | ParsedPort(_) | RouterPort(_) | UnservedType(_) | Residence(_)
            | Nat(_) | Balancer(_) | BalancerSet(_) | SetOf(_) => 2,
            SetNumber(_) | GroupNumber(_) | ZoneNumber(_) | NatClaims(..) | VipClaims(..)
            | HairpinsOf(_) | Links | RouterPortsOn(_) | MacClaims(..) | AddressClaims(..)
            | TagClaims(..) | NetworkClaims(..) | Face(_) | PortsOfRouter(_) => 3,
            SwitchPort(_) | Connected(_) | Components | UnservedWarning(_) => 4,
            ConnectedOf(_) | Obstacles(_) | LocalnetsOf(_) | Component(_) => 5,
            Subnets(_) | PlainShape(_) | Route(_) => 6,
            SubnetOf(..) | RouteGroup(..) | NextHops(..) | RoutedPorts(_) | SourceRoutes(_) => 7,
            Place(_) | Decided(_) | ResidentNode(_) => 8,
            StaticPrefixes(_) | DiscardedPrefixes(_) | PortsAt(..) | UnknownPortsAt(..)
            | NodesOfSwitch(_) | NodesOfUnknown(_) | NodesOfSubnet(..) | NodesOfNoSubnet(_)
            | NodesUnguarded(_) | NodesOfDomain(_) | Underived(..) => 9,
            Spread(..) | Plugs(_) | BalancedNodes(_) => 10,
            NodesOfSet(_) | Prefixes(..) | Doubles(_) | Switched(_) | NodesOfLocalnet(_)
            | Uplink(..) => 11,
            Plain(_) => 12,
            Routed(_) => 13,
            Key::Unit(_) => 14,
            ConjunctionNumber(_) => 15,
            Placed(_) => 16,
        }
    }

    /// Whether it is a set that others put members into.
    pub(crate) const fn is_relation(&self) -> bool {
        match self {
            Key::SwitchPortsNamed(_)
            | Key::RouterPortsNamed(_)
            | Key::SwitchesOf(_)
            | Key::RoutersOf(_)
            | Key::RoutersOfRoute(_)
            | Key::RoutersOfNat(_)
            | Key::NatClaims(..)
            | Key::SwitchSides(_)
            | Key::Nodes
            | Key::PluggedNodes(_)
            | Key::NodesInZone(_)
            | Key::SetsOf(_)
            | Key::SetsOfGroup(_)
            | Key::GroupsOf(_)
            | Key::VipClaims(..)
            | Key::HairpinsOf(_)
            | Key::NodesOfSet(_)
            | Key::Unserved(_)
            | Key::Links
            | Key::RouterPortsOn(_)
            | Key::MacClaims(..)
            | Key::AddressClaims(..)
            | Key::TagClaims(..)
            | Key::NetworkClaims(..)
            | Key::PortsOfRouter(_)
            | Key::ConnectedOf(_)
            | Key::Obstacles(_)
            | Key::LocalnetsOf(_)
            | Key::RouteGroup(..)
            | Key::NextHops(..)
            | Key::RoutedPorts(_)
            | Key::SourceRoutes(_)
            | Key::Prefixes(..)
            | Key::Switched(_)
            | Key::NodesOfLocalnet(_)
            | Key::Uplink(..)
            | Key::Doubles(_) => true,
            _ => self.level() == 9,
        }
    }

    /// Whether it is computed.
    pub(crate) const fn is_derived(&self) -> bool {
        !self.is_relation()
            && self.level() != 0
            && !matches!(
                self,
                Key::DatapathNumber(_)
                    | Key::PortNumber(..)
                    | Key::SetNumber(_)
                    | Key::GroupNumber(_)
                    | Key::ZoneNumber(_)
                    | Key::ConjunctionNumber(_)
            )
    }
}

/// A member of a relation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Member {
    Row(Uuid),
    Node(NodeName),
    Network(IpNet),
    Address(IpAddr),
    /// A network and the router port it is connected to.
    Connected(IpNet, Uuid),
    /// Two datapaths that are joined.
    Link(Uuid, Uuid),
    /// A claim to an address: the lowest holds. Router ports (0) go before switch ports (1).
    Claim(u8, Uuid),
    /// Why a switch can be in no plain domain.
    Obstacle(&'static str),
}

/// What a cell puts into others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Emission {
    /// A member of a relation.
    Member(Key, Member),
    /// That a cell is there.
    Demand(Key),
    /// That a datapath gets a key.
    DatapathNumber(Uuid),
    /// That a port of a datapath gets a key.
    PortNumber(Uuid, Uuid),
    /// That a set of load balancers gets a number.
    SetNumber(Uuid),
    /// That a group of buckets gets a number.
    GroupNumber(Uuid),
    /// That a router gets conntrack zones.
    ZoneNumber(Uuid),
    /// That a conjunctive match gets a number.
    ConjunctionNumber(Uuid),
    /// Something about where addresses of a router's domain are.
    Fact(Uuid, Fact),
}
