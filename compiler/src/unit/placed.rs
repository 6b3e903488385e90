//! Placement: which nodes get the flows of a unit.
//!
//! Must not: lower or encode.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openflow_rs::EncodedKey;
use uuid::Uuid;

use super::{CompiledUnit, Unit};
use crate::compilation::{CompiledFlow, CompiledGroup, Contributor, NodeState};
use crate::engine::{Key, Member, Reader, Replaced, Value};
use crate::logical_flow::{NodeSet, Scope};
use crate::lowering::renumber;
use crate::node::NodeName;

/// Nodes, and the flows and groups that go to each of them.
#[derive(Default, Debug)]
struct Part {
    nodes: BTreeSet<NodeName>,
    flows: Vec<Arc<CompiledFlow>>,
    groups: Vec<Arc<CompiledGroup>>,
}

/// A unit's flows by node.
#[derive(Default, Debug)]
pub(crate) struct PlacedUnit {
    /// What goes to the same nodes.
    parts: Vec<Part>,
}

impl PartialEq for PlacedUnit {
    fn eq(&self, other: &PlacedUnit) -> bool {
        fn same<T>(one: &[Arc<T>], two: &[Arc<T>]) -> bool {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| Arc::ptr_eq(one, two))
        }
        self.parts.len() == other.parts.len()
            && self.parts.iter().zip(&other.parts).all(|(one, two)| {
                one.nodes == two.nodes
                    && same(&one.flows, &two.flows)
                    && same(&one.groups, &two.groups)
            })
    }
}

/// What a unit gives one node.
#[derive(Default)]
struct Share<'a> {
    flows: Vec<&'a Arc<CompiledFlow>>,
    groups: BTreeMap<u32, &'a Arc<CompiledGroup>>,
}

impl PlacedUnit {
    fn by_node(&self) -> BTreeMap<&NodeName, Share<'_>> {
        let mut by_node: BTreeMap<&NodeName, Share<'_>> = BTreeMap::new();
        for part in &self.parts {
            for node in &part.nodes {
                let share = by_node.entry(node).or_default();
                share.flows.extend(&part.flows);
                let groups = part.groups.iter().map(|group| (group.group.id, group));
                share.groups.extend(groups);
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
    let mut scopes: Vec<(&Scope, Part)> = Vec::new();
    let number = |identity| {
        reader
            .read(Key::ConjunctionNumber(identity))
            .number()
            .copied()
    };
    let flows = numbered(&compiled, number);
    for (scope, flow) in flows.as_deref().unwrap_or(&compiled.flows) {
        part_of(&mut scopes, scope).flows.push(Arc::clone(flow));
    }
    for (scope, group) in &compiled.groups {
        part_of(&mut scopes, scope).groups.push(Arc::clone(group));
    }
    let parts = scopes
        .into_iter()
        .map(|(scope, part)| Part {
            nodes: resolve(reader, scope),
            ..part
        })
        .filter(|part| !part.nodes.is_empty())
        .collect();
    Value::Placed(Arc::new(PlacedUnit { parts }))
}

fn part_of<'a, 'b>(scopes: &'b mut Vec<(&'a Scope, Part)>, scope: &'a Scope) -> &'b mut Part {
    let known = scopes.iter().position(|(known, _)| *known == scope);
    let at = known.unwrap_or_else(|| {
        scopes.push((scope, Part::default()));
        scopes.len() - 1
    });
    &mut scopes[at].1
}

/// The unit's flows, if conjunctive matches among them have to have other numbers than those they were lowered with.
fn numbered(
    unit: &CompiledUnit,
    mut number: impl FnMut(Uuid) -> Option<u32>,
) -> Option<Vec<(Scope, Arc<CompiledFlow>)>> {
    let mut flows = None;
    for (index, conjunction) in &unit.conjunctions {
        let (from, Some(to)) = (conjunction.number, number(conjunction.identity)) else {
            continue;
        };
        if from == to {
            continue;
        }
        let flows = flows.get_or_insert_with(|| unit.flows.clone());
        if let Some((_, flow)) = flows.get_mut(*index) {
            let mut other = flow.flow();
            renumber(&mut other, from, to);
            if let Ok(other) = CompiledFlow::new(other) {
                *flow = Arc::new(other);
            }
        }
    }
    flows
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
        NodeSet::Balanced(sets) => sets.iter().map(|set| Key::NodesOfSet(*set)).collect(),
        NodeSet::Unguarded(switch) => vec![Key::NodesUnguarded(*switch)],
        NodeSet::Localnet(port) => vec![Key::NodesOfLocalnet(*port)],
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
    if old.parts.is_empty() {
        // As most are, when there was nothing before.
        for part in &new.parts {
            for node in &part.nodes {
                let Some(state) = states.get_mut(node) else {
                    continue;
                };
                let flows = part.flows.iter();
                flows.for_each(|flow| state.put(&contributor, flow));
                part.groups.iter().for_each(|group| state.put_group(group));
            }
        }
    } else {
        carry_over(&contributor, old, new, states);
    }
}

/// What changed of a unit.
fn carry_over(
    contributor: &Contributor,
    old: &PlacedUnit,
    new: &PlacedUnit,
    states: &mut BTreeMap<NodeName, NodeState>,
) {
    let (old, new) = (old.by_node(), new.by_node());
    let mut touched: BTreeSet<&NodeName> = old.keys().copied().collect();
    touched.extend(new.keys().copied());
    let nothing = Share::default();
    for node in touched {
        let Some(state) = states.get_mut(node) else {
            continue;
        };
        let address = |flow: &&Arc<CompiledFlow>| Arc::as_ptr(flow) as usize;
        let (old, new) = (
            old.get(node).unwrap_or(&nothing),
            new.get(node).unwrap_or(&nothing),
        );
        let (before, after) = (&old.flows, &new.flows);
        let kept: rustc_hash::FxHashSet<usize> = after.iter().map(address).collect();
        let known: rustc_hash::FxHashSet<usize> = before.iter().map(address).collect();
        let mut removed: rustc_hash::FxHashSet<&EncodedKey> = rustc_hash::FxHashSet::default();
        for flow in before.iter().filter(|flow| !kept.contains(&address(flow))) {
            state.remove(contributor, flow);
            removed.insert(flow.key());
        }
        // One that stays is put again if its like went: a unit may want the same flow twice.
        let is_to_put = |flow: &&&Arc<CompiledFlow>| {
            !known.contains(&address(flow)) || removed.contains(flow.key())
        };
        for flow in after.iter().filter(is_to_put) {
            state.put(contributor, flow);
        }
        let gone = old.groups.keys().filter(|id| !new.groups.contains_key(id));
        gone.for_each(|id| state.remove_group(*id));
        for (id, group) in &new.groups {
            let known = old.groups.get(id);
            if known.is_none_or(|known| !Arc::ptr_eq(known, group)) {
                state.put_group(group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use openflow_rs::{Action, Field, Flow, Match};

    use super::*;
    use crate::lowering::Conjunction;
    use crate::topology::KeyTable;

    fn compiled(matches: Match, actions: Vec<Action>) -> (Scope, Arc<CompiledFlow>) {
        let (table, priority, cookie) = (8, 1, 0);
        let flow = Flow {
            table,
            priority,
            cookie,
            matches,
            actions,
        };
        (
            Scope::Everywhere,
            Arc::new(CompiledFlow::new(flow).unwrap()),
        )
    }

    #[test]
    fn conjunctive_matches_that_want_one_number_get_two() {
        let mut table = KeyTable::new(2);
        let identities = [1, 2, 3].map(Uuid::from_u128);
        let first = identities.map(|identity| crate::topology::first_choice(identity, 2));
        let numbers: BTreeMap<Uuid, Option<u32>> = identities[..2]
            .iter()
            .flat_map(|identity| table.change(*identity, true))
            .collect();
        assert_eq!((first[0], first[1]), (1, 1), "both want the first");
        let number = first[1];
        let part = |clause| {
            vec![Action::Conjunction {
                id: number,
                clause,
                n: 2,
            }]
        };
        let unit = CompiledUnit {
            flows: vec![
                compiled(Match::new().exact(Field::InPort, 1u8), part(1)),
                compiled(Match::new().exact(Field::InPort, 2u8), Vec::new()),
                compiled(Match::new().exact(Field::ConjId, number), Vec::new()),
            ],
            conjunctions: [0, 2]
                .map(|index| {
                    (
                        index,
                        Conjunction {
                            identity: identities[1],
                            number,
                        },
                    )
                })
                .to_vec(),
            ..CompiledUnit::default()
        };
        let flows = numbered(&unit, |identity| numbers[&identity]).unwrap();
        let texts: Vec<String> = flows
            .iter()
            .map(|(_, flow)| flow.flow().to_string())
            .collect();
        assert!(
            texts[0].ends_with("in_port=1 actions=conjunction(2,1/2)"),
            "{texts:?}"
        );
        assert!(Arc::ptr_eq(&flows[1].1, &unit.flows[1].1));
        assert!(texts[2].contains("conj_id=2 "), "{texts:?}");
        assert!(numbered(&unit, |_| Some(number)).is_none(), "nothing to do");
    }
}
