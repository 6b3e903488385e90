//! Rows as they come in, and what they put into relations by themselves.
//!
//! Must not: judge a row; that is for the cells that read it.

use std::sync::Arc;

use rustc_hash::FxHashSet;
use uuid::Uuid;
use weft_schema::{keys, nb};

use super::{balancer, nat, router_port, switch_port};
use crate::diagnostic::Diagnostic;
use crate::engine::{Emission, Key, Member, Reader, Value};
use crate::unit::Unit;

/// The input that a change of the northbound database is; `None` for tables that are not read.
pub(crate) fn change_of(change: nb::Change) -> Option<(Key, Value)> {
    use nb::Change;
    Some(match change {
        Change::LogicalSwitch(uuid, row) => (
            Key::SwitchRow(uuid),
            row.map_or(Value::Absent, Value::SwitchRow),
        ),
        Change::LogicalSwitchPort(uuid, row) => (
            Key::SwitchPortRow(uuid),
            row.map_or(Value::Absent, Value::SwitchPortRow),
        ),
        Change::LogicalRouter(uuid, row) => (
            Key::RouterRow(uuid),
            row.map_or(Value::Absent, Value::RouterRow),
        ),
        Change::LogicalRouterPort(uuid, row) => (
            Key::RouterPortRow(uuid),
            row.map_or(Value::Absent, Value::RouterPortRow),
        ),
        Change::LogicalRouterStaticRoute(uuid, row) => (
            Key::RouteRow(uuid),
            row.map_or(Value::Absent, Value::RouteRow),
        ),
        Change::LoadBalancer(uuid, row) => (
            Key::BalancerRow(uuid),
            row.map_or(Value::Absent, Value::BalancerRow),
        ),
        Change::LoadBalancerGroup(uuid, row) => (
            Key::BalancerGroupRow(uuid),
            row.map_or(Value::Absent, Value::BalancerGroupRow),
        ),
        Change::Nat(uuid, row) => (Key::NatRow(uuid), row.map_or(Value::Absent, Value::NatRow)),
        Change::StaticMacBinding(uuid, row) => (
            Key::MacBindingRow(uuid),
            row.map_or(Value::Absent, Value::MacBindingRow),
        ),
        // Progress counters: the controller's business.
        Change::NbGlobal(..) => return None,
    })
}

/// What a row puts into relations now that it did not before, and what no longer.
pub(crate) fn difference(old: &Value, new: &Value) -> (Vec<Emission>, Vec<Emission>) {
    let (old_ports, new_ports) = (listed(old), listed(new));
    // Long lists that hardly change: only what differs is looked at.
    let (old_set, new_set): (FxHashSet<_>, FxHashSet<_>) =
        (old_ports.iter().collect(), new_ports.iter().collect());
    let (before, after) = (emissions(old), emissions(new));
    let without = |all: &[Emission], others: &[Emission]| -> Vec<Emission> {
        all.iter()
            .filter(|emission| !others.contains(emission))
            .cloned()
            .collect()
    };
    let (mut added, mut removed) = (without(&after, &before), without(&before, &after));
    added.extend(
        new_set
            .difference(&old_set)
            .flat_map(|entry| entry.emissions()),
    );
    removed.extend(
        old_set
            .difference(&new_set)
            .flat_map(|entry| entry.emissions()),
    );
    (added, removed)
}

/// What a row lists: itself, the table, and the row listed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Listed {
    SwitchPort(Uuid, Uuid),
    RouterPort(Uuid, Uuid),
    Route(Uuid, Uuid),
    Nat(Uuid, Uuid),
    /// Of a set.
    Balancer(Uuid, Uuid),
    /// Of a set.
    BalancerGroup(Uuid, Uuid),
    /// Of a group.
    BalancerOfGroup(Uuid, Uuid),
}

impl Listed {
    fn emissions(self) -> Vec<Emission> {
        match self {
            Listed::SwitchPort(switch, port) => vec![
                Emission::Member(Key::SwitchesOf(port), Member::Row(switch)),
                Emission::PortNumber(switch, port),
            ],
            Listed::RouterPort(router, port) => vec![
                Emission::Member(Key::RoutersOf(port), Member::Row(router)),
                Emission::PortNumber(router, port),
            ],
            Listed::Balancer(set, balancer) => {
                vec![Emission::Member(Key::SetsOf(balancer), Member::Row(set))]
            }
            Listed::BalancerGroup(set, group) => {
                vec![Emission::Member(Key::SetsOfGroup(group), Member::Row(set))]
            }
            Listed::BalancerOfGroup(group, balancer) => {
                vec![Emission::Member(
                    Key::GroupsOf(balancer),
                    Member::Row(group),
                )]
            }
            Listed::Nat(router, nat) => {
                vec![Emission::Member(
                    Key::RoutersOfNat(nat),
                    Member::Row(router),
                )]
            }
            Listed::Route(router, route) => {
                vec![Emission::Member(
                    Key::RoutersOfRoute(route),
                    Member::Row(router),
                )]
            }
        }
    }
}

fn listed(row: &Value) -> Vec<Listed> {
    match row {
        Value::SwitchRow(row) => {
            let port = |port: &Uuid| Listed::SwitchPort(row.uuid, *port);
            let mut all: Vec<Listed> = row.ports.iter().map(port).collect();
            if let Some(set) = balancer::set_of_row(row) {
                let balancers = row.load_balancer.iter();
                all.extend(balancers.map(|balancer| Listed::Balancer(set, *balancer)));
                let groups = row.load_balancer_group.iter();
                all.extend(groups.map(|group| Listed::BalancerGroup(set, *group)));
            }
            all
        }
        Value::RouterRow(row) => {
            let port = |port: &Uuid| Listed::RouterPort(row.uuid, *port);
            let route = |route: &Uuid| Listed::Route(row.uuid, *route);
            let ports = row.ports.iter().map(port);
            let nat = |nat: &Uuid| Listed::Nat(row.uuid, *nat);
            let routes = row.static_routes.iter().map(route);
            ports.chain(routes).chain(row.nat.iter().map(nat)).collect()
        }
        Value::BalancerGroupRow(row) => {
            let balancer = |balancer: &Uuid| Listed::BalancerOfGroup(row.uuid, *balancer);
            row.load_balancer.iter().map(balancer).collect()
        }
        _ => Vec::new(),
    }
}

fn emissions(row: &Value) -> Vec<Emission> {
    let member = |key, uuid| Emission::Member(key, Member::Row(uuid));
    let unserved =
        |table, count: usize, uuid| (count > 0).then(|| member(Key::Unserved(table), uuid));
    match row {
        Value::SwitchRow(row) => {
            let mut all = vec![Emission::DatapathNumber(row.uuid)];
            all.extend(unserved("ACL", row.acls.len(), row.uuid));
            all.extend(unserved("QoS", row.qos_rules.len(), row.uuid));
            if let Some(set) = balancer::set_of_row(row) {
                all.push(Emission::Demand(Key::BalancerSet(set)));
                all.push(Emission::Demand(Key::BalancedNodes(row.uuid)));
                let units = [Unit::BalancerSet(set), Unit::BalancedSwitch(row.uuid)];
                all.extend(units.map(|unit| Emission::Demand(Key::Placed(unit))));
            }
            all
        }
        Value::BalancerRow(row) => vec![
            Emission::Demand(Key::Balancer(row.uuid)),
            Emission::Demand(Key::Placed(Unit::Balancer(row.uuid))),
        ],
        Value::RouterRow(row) => {
            let mut all = vec![Emission::DatapathNumber(row.uuid)];
            if nat::chassis(row).is_some() {
                all.push(Emission::Demand(Key::ResidentNode(row.uuid)));
                // Once for the router, not for each row: who takes a number back does not count who has asked for it.
                all.extend((!row.nat.is_empty()).then_some(Emission::ZoneNumber(row.uuid)));
            }
            all.extend(unserved(
                "Logical_Router_Policy",
                row.policies.len(),
                row.uuid,
            ));
            let balancers = row.load_balancer.len() + row.load_balancer_group.len();
            all.extend(unserved("Load_Balancer", balancers, row.uuid));
            all
        }
        Value::SwitchPortRow(row) => {
            let mut all = vec![
                member(
                    Key::SwitchPortsNamed(Arc::from(row.name.as_str())),
                    row.uuid,
                ),
                Emission::Demand(Key::SwitchPort(row.uuid)),
                Emission::Demand(Key::ParsedPort(row.uuid)),
                Emission::Demand(Key::Place(row.uuid)),
                Emission::Demand(Key::Placed(Unit::Port(row.uuid))),
            ];
            match row.kind.as_str() {
                "localnet" => all.extend([
                    Emission::Demand(Key::Plugs(row.uuid)),
                    Emission::Demand(Key::Placed(Unit::Localnet(row.uuid))),
                ]),
                kind if switch_port::is_unserved(kind) => {
                    all.push(Emission::Demand(Key::UnservedType(Arc::from(kind))));
                }
                _ => {}
            }
            let is_host = row
                .options
                .get(keys::HOST)
                .is_some_and(|value| value == "true");
            let zone = row.external_ids.get(keys::ZONE).filter(|_| is_host);
            if let (Some(zone), Some(node)) = (zone, row.external_ids.get(keys::NODE)) {
                let key = Key::NodesInZone(Arc::from(zone.as_str()));
                let node = crate::node::NodeName::from(node.as_str());
                all.push(Emission::Member(key, Member::Node(node)));
            }
            if let ("router", Some(peer)) = (row.kind.as_str(), row.options.get(keys::ROUTER_PORT))
            {
                all.push(member(Key::SwitchSides(Arc::from(peer.as_str())), row.uuid));
            }
            all
        }
        Value::RouterPortRow(row) => {
            let mut all = vec![
                member(
                    Key::RouterPortsNamed(Arc::from(row.name.as_str())),
                    row.uuid,
                ),
                Emission::Demand(Key::RouterPort(row.uuid)),
                Emission::Demand(Key::Connected(row.uuid)),
                Emission::Demand(Key::Placed(Unit::RouterPort(row.uuid))),
            ];
            if router_port::is_gateway(row) {
                all.push(member(Key::Unserved(GATEWAY_CHASSIS), row.uuid));
            }
            for network in router_port::networks(row).0 {
                let network = network.trunc();
                all.push(Emission::Demand(Key::Spread(row.uuid, network)));
                all.push(Emission::Demand(Key::Placed(Unit::Gateway(
                    row.uuid, network,
                ))));
            }
            all
        }
        Value::NatRow(row) => vec![
            Emission::Demand(Key::Nat(row.uuid)),
            Emission::Demand(Key::Placed(Unit::Nat(row.uuid))),
        ],
        Value::MacBindingRow(row) => {
            vec![Emission::Demand(Key::Placed(Unit::MacBinding(row.uuid)))]
        }
        Value::RouteRow(row) => vec![
            Emission::Demand(Key::Route(row.uuid)),
            Emission::Demand(Key::Decided(row.uuid)),
            Emission::Demand(Key::Placed(Unit::Route(row.uuid))),
        ],
        _ => Vec::new(),
    }
}

/// The name of a switch or router.
pub(super) fn datapath_name(reader: &mut Reader<'_>, datapath: Uuid) -> Value {
    let name = match reader.read(Key::SwitchRow(datapath)).switch_row() {
        Some(row) => Some(Arc::from(row.name.as_str())),
        None => {
            let row = reader.read(Key::RouterRow(datapath)).router_row();
            row.map(|row| Arc::from(row.name.as_str()))
        }
    };
    name.map_or(Value::Absent, Value::Name)
}

/// Says so of each row after the first that lists what belongs to one. `listers`: the rows that do.
pub(super) fn listed_twice(
    reader: &mut Reader<'_>,
    listers: Key,
    column: &'static str,
    what: &str,
) {
    if reader.read(listers.clone()).set().len() < 2 {
        return;
    }
    let rows = reader.rows(listers);
    let mut named = rows.iter().filter_map(|uuid| {
        let switch = reader.read(Key::SwitchRow(*uuid)).switch_row();
        let switch = switch.map(|row| ("Logical_Switch", *uuid, row.name.clone()));
        switch.or_else(|| {
            let router = reader.read(Key::RouterRow(*uuid)).router_row();
            router.map(|row| ("Logical_Router", *uuid, row.name.clone()))
        })
    });
    let Some((kind, _, first)) = named.next() else {
        return;
    };
    let rest: Vec<_> = named.collect();
    let kind = match kind {
        "Logical_Switch" => "switch",
        _ => "router",
    };
    for (table, uuid, name) in rest {
        reader.diagnose(Diagnostic {
            table,
            uuid,
            name,
            column,
            message: format!("{what} is one of {kind} {first:?} already; it is left to that"),
        });
    }
}

/// One warning for all rows of a table that is not served. It names and counts none of them, so that it stays the same while they come and go.
pub(super) fn unserved_warning(reader: &mut Reader<'_>, unserved: &'static str) -> Value {
    if !reader.is_empty(Key::Unserved(unserved)) {
        let (table, column) = match unserved {
            "ACL" => ("Logical_Switch", "acls"),
            "QoS" => ("Logical_Switch", "qos_rules"),
            "Logical_Router_Policy" => ("Logical_Router", "policies"),
            GATEWAY_CHASSIS => ("Logical_Router_Port", "gateway_chassis"),
            _ => ("Load_Balancer", "vips"),
        };
        let effect = match unserved {
            GATEWAY_CHASSIS => "a port with it is on every node",
            _ => "its rows have no effect",
        };
        reader.diagnose(Diagnostic {
            table,
            uuid: Uuid::nil(),
            name: String::new(),
            column,
            message: format!("{unserved} is not served yet; {effect}"),
        });
    }
    Value::Absent
}

/// Tables that get one warning each.
pub(crate) const UNSERVED: [&str; 5] = [
    "ACL",
    "QoS",
    "Load_Balancer",
    "Logical_Router_Policy",
    GATEWAY_CHASSIS,
];
/// That only some nodes may host a router port; `ha_chassis_group` says the same.
const GATEWAY_CHASSIS: &str = "Gateway_Chassis";
