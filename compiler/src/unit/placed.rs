//! Placement: which nodes get the flows of a unit.
//!
//! Must not: lower or encode.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Unit;
use crate::compilation::{CompiledFlow, CompiledGroup, NodeState};
use crate::engine::{Key, Member, Reader, Replaced, Value};
use crate::logical_flow::{NodeSet, Scope};
use crate::node::NodeName;

/// Nodes, and the flows that go to each of them.
type Part = (BTreeSet<NodeName>, Vec<Arc<CompiledFlow>>);

/// A unit's flows by node.
#[derive(Default, Debug)]
pub(crate) struct PlacedUnit {
    /// Flows that go to the same nodes.
    parts: Vec<Part>,
    groups: Vec<(NodeName, Arc<CompiledGroup>)>,
}

impl PartialEq for PlacedUnit {
    fn eq(&self, other: &PlacedUnit) -> bool {
        let same = |one: &[Arc<CompiledFlow>], two: &[Arc<CompiledFlow>]| {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| Arc::ptr_eq(one, two))
        };
        self.parts.len() == other.parts.len()
            && self.groups.len() == other.groups.len()
            && self
                .parts
                .iter()
                .zip(&other.parts)
                .all(|(one, two)| one.0 == two.0 && same(&one.1, &two.1))
            && self
                .groups
                .iter()
                .zip(&other.groups)
                .all(|(one, two)| one.0 == two.0 && Arc::ptr_eq(&one.1, &two.1))
    }
}

impl PlacedUnit {
    fn by_node(&self) -> BTreeMap<&NodeName, Vec<&Arc<CompiledFlow>>> {
        let mut by_node: BTreeMap<&NodeName, Vec<_>> = BTreeMap::new();
        for (nodes, flows) in &self.parts {
            for node in nodes.iter() {
                by_node.entry(node).or_default().extend(flows);
            }
        }
        by_node
    }
}

/// Resolves the scopes of a unit's flows.
pub(crate) fn place(reader: &mut Reader<'_>, unit: &Unit) -> Value {
    let Some(compiled) = reader.read(Key::Unit(unit.clone())).unit().cloned() else {
        return Value::Absent;
    };
    let mut scopes: Vec<(&Scope, Vec<Arc<CompiledFlow>>)> = Vec::new();
    for (scope, flow) in &compiled.flows {
        match scopes.iter_mut().find(|(known, _)| *known == scope) {
            Some((_, flows)) => flows.push(Arc::clone(flow)),
            None => scopes.push((scope, vec![Arc::clone(flow)])),
        }
    }
    let parts = scopes
        .into_iter()
        .map(|(scope, flows)| (resolve(reader, scope), flows))
        .filter(|(nodes, _)| !nodes.is_empty())
        .collect();
    let known = |node: &NodeName, reader: &mut Reader<'_>| {
        !reader.read(Key::Node(node.clone())).is_absent()
    };
    let mut groups = Vec::new();
    for (node, group) in &compiled.groups {
        if known(node, reader) {
            groups.push((node.clone(), Arc::clone(group)));
        }
    }
    Value::Placed(Arc::new(PlacedUnit { parts, groups }))
}

fn resolve(reader: &mut Reader<'_>, scope: &Scope) -> BTreeSet<NodeName> {
    match scope {
        Scope::Everywhere => nodes(reader.read(Key::Nodes)),
        Scope::At(node) => match reader.read(Key::Node(node.clone())).is_absent() {
            true => BTreeSet::new(),
            false => BTreeSet::from([node.clone()]),
        },
        Scope::On { nodes: set, except } => {
            let mut all = BTreeSet::new();
            for key in relations(set, |datapath| {
                let component = reader.read(Key::Component(datapath)).row();
                component.copied().unwrap_or(datapath)
            }) {
                all.extend(nodes(reader.read(key)));
            }
            if let Some(except) = except {
                all.remove(except);
            }
            all
        }
    }
}

/// The relations whose members make up a set of nodes.
fn relations(set: &NodeSet, component: impl FnOnce(uuid::Uuid) -> uuid::Uuid) -> Vec<Key> {
    match set {
        NodeSet::Known => vec![Key::Nodes],
        NodeSet::Domain(datapath) => vec![Key::NodesOfDomain(component(*datapath))],
        NodeSet::Switch(switch) => vec![Key::NodesOfSwitch(*switch)],
        NodeSet::Unguarded(switch) => vec![Key::NodesUnguarded(*switch)],
        NodeSet::Subnets(switch, networks) => networks
            .iter()
            .map(|network| Key::NodesOfSubnet(*switch, *network))
            .chain([Key::NodesOfNoSubnet(*switch)])
            .collect(),
    }
}

/// The nodes of a scope, for those who look from outside.
pub(crate) fn nodes_of<'a>(scope: &Scope, peek: impl Fn(&Key) -> &'a Value) -> BTreeSet<NodeName> {
    match scope {
        Scope::Everywhere => nodes(peek(&Key::Nodes)),
        Scope::At(node) => BTreeSet::from([node.clone()]),
        Scope::On { nodes: set, except } => {
            let component = |datapath| {
                peek(&Key::Component(datapath))
                    .row()
                    .copied()
                    .unwrap_or(datapath)
            };
            let keys = relations(set, component);
            let mut all: BTreeSet<NodeName> =
                keys.iter().flat_map(|key| nodes(peek(key))).collect();
            if let Some(except) = except {
                all.remove(except);
            }
            all
        }
    }
}

fn nodes(relation: &Value) -> BTreeSet<NodeName> {
    let members = relation.set().keys();
    members
        .filter_map(|member| match member {
            Member::Node(node) => Some(node.clone()),
            _ => None,
        })
        .collect()
}

/// Carries a change of a placed unit over to the nodes.
pub(crate) fn apply(replaced: Replaced, states: &mut BTreeMap<NodeName, NodeState>) {
    let contributor = Arc::new(replaced.unit);
    let empty = PlacedUnit::default();
    let old = replaced.old.as_deref().unwrap_or(&empty);
    let new = replaced.new.as_deref().unwrap_or(&empty);
    let (old_flows, new_flows) = (old.by_node(), new.by_node());
    let mut touched: BTreeSet<&NodeName> = old_flows.keys().copied().collect();
    touched.extend(new_flows.keys().copied());
    for node in touched {
        let Some(state) = states.get_mut(node) else {
            continue;
        };
        let address = |flow: &&Arc<CompiledFlow>| Arc::as_ptr(flow) as usize;
        let before = old_flows.get(node).map_or(&[][..], Vec::as_slice);
        let after = new_flows.get(node).map_or(&[][..], Vec::as_slice);
        let kept: rustc_hash::FxHashSet<usize> = after.iter().map(address).collect();
        let known: rustc_hash::FxHashSet<usize> = before.iter().map(address).collect();
        for flow in before.iter().filter(|flow| !kept.contains(&address(flow))) {
            state.remove(&contributor, &flow.key);
        }
        for flow in after.iter().filter(|flow| !known.contains(&address(flow))) {
            state.put(&contributor, flow);
        }
    }
    for (node, group) in &old.groups {
        let is_kept = new
            .groups
            .iter()
            .any(|(at, new)| at == node && new.group.id == group.group.id);
        if let (false, Some(state)) = (is_kept, states.get_mut(node)) {
            state.remove_group(group.group.id);
        }
    }
    for (node, group) in &new.groups {
        if let Some(state) = states.get_mut(node) {
            state.put_group(group);
        }
    }
}
