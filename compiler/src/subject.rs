//! Whose a flow or group is: the row that somebody wrote, for messages about what became of it.
//!
//! Must not: be asked often; groups are searched for.

use std::fmt;
use std::sync::Arc;

use openflow_rs::EncodedKey;

use crate::compiler::Compiler;
use crate::engine::Key;
use crate::logical_flow::Owner;
use crate::node::NodeName;
use crate::topology;
use crate::unit::Unit;

/// A row, or what stands for one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// A row of the northbound database, with its name, which is empty in tables without one.
    Row(Owner, Arc<str>),
    /// What is needed for another node.
    Node(NodeName),
    /// What every node has, whatever the rows say.
    Everything,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Row(Owner { table, uuid }, name) if name.is_empty() => {
                write!(f, "{table} {uuid}")
            }
            Subject::Row(Owner { table, uuid }, name) => write!(f, "{table} {name} ({uuid})"),
            Subject::Node(node) => write!(f, "node {node}"),
            Subject::Everything => write!(f, "every network"),
        }
    }
}

impl Compiler {
    /// Whose flow of a node this is, as of the last compilation.
    #[must_use]
    pub fn subject_of_flow(&self, node: &NodeName, key: &EncodedKey) -> Option<Subject> {
        let unit = self.desired(node)?.contributor(key)?;
        Some(self.subject(unit))
    }

    /// Whose group this is.
    #[must_use]
    pub fn subject_of_group(&self, id: u32) -> Option<Subject> {
        let mut units = self.engine().units();
        let (unit, _) = units.find(|(_, value)| {
            let groups = value.unit().into_iter().flat_map(|unit| &unit.groups);
            groups.into_iter().any(|(_, group)| group.group.id == id)
        })?;
        Some(self.subject(unit))
    }

    fn subject(&self, unit: &Unit) -> Subject {
        let row = |table, uuid, name: &str| Subject::Row(Owner { table, uuid }, Arc::from(name));
        let peek = |key| self.engine().peek(&key);
        match unit {
            Unit::Common => Subject::Everything,
            Unit::Node(node) => Subject::Node(node.clone()),
            Unit::RouterPort(uuid) | Unit::Gateway(uuid, _) => {
                let port = peek(Key::RouterPortRow(*uuid)).router_port_row();
                row(
                    "Logical_Router_Port",
                    *uuid,
                    port.map_or("", |port| &port.name),
                )
            }
            Unit::Nat(uuid) => row("NAT", *uuid, ""),
            Unit::MacBinding(uuid) => row("Static_MAC_Binding", *uuid, ""),
            Unit::Route(uuid) => row("Logical_Router_Static_Route", *uuid, ""),
            Unit::Location(uuid, _) => {
                let router = peek(Key::RouterRow(*uuid)).router_row();
                row(
                    "Logical_Router",
                    *uuid,
                    router.map_or("", |router| &router.name),
                )
            }
            Unit::Groups(uuid, _) | Unit::BalancedSwitch(uuid) => {
                let switch = peek(Key::SwitchRow(*uuid)).switch_row();
                row(
                    "Logical_Switch",
                    *uuid,
                    switch.map_or("", |switch| &switch.name),
                )
            }
            // Of all the switches that have the set, one.
            Unit::BalancerSet(set) => {
                let mut inputs = self.engine().inputs();
                let switch = inputs.find_map(|(_, value)| {
                    let row = value.switch_row()?;
                    (topology::set_of_row(row) == Some(*set)).then_some(row)
                });
                switch.map_or(Subject::Everything, |switch| {
                    row("Logical_Switch", switch.uuid, &switch.name)
                })
            }
            Unit::Balancer(uuid) => {
                let balancer = peek(Key::BalancerRow(*uuid)).balancer_row();
                let name = balancer.map_or("", |balancer| &balancer.name);
                row("Load_Balancer", *uuid, name)
            }
            Unit::Port(uuid) | Unit::Localnet(uuid) => {
                let port = peek(Key::SwitchPortRow(*uuid)).switch_port_row();
                row(
                    "Logical_Switch_Port",
                    *uuid,
                    port.map_or("", |port| &port.name),
                )
            }
        }
    }
}
