//! The desired set of one node, and the difference made since the last compilation: the diff stage.
//!
//! Two units may want a flow with the same key (rows that contradict each other). Both are remembered, and the one whose unit sorts
//! first holds; so the result does not depend on who came first.
//!
//! Invariant: `flow` gives, for each key, the contribution of the least contributor. Must not: order anything by history.

use std::collections::BTreeMap;
use std::sync::Arc;

use openflow_rs::FlowKey;
use rustc_hash::FxHashMap;

use super::{CompiledFlow, CompiledGroup, FlowChange, GroupChange, NodeDelta};

/// Who wants a flow. Ordered.
pub(crate) type Contributor = Arc<crate::unit::Unit>;

/// The flows and groups that a node should have.
#[derive(Default, Debug)]
pub struct NodeState {
    flows: FxHashMap<Arc<FlowKey>, Slot>,
    groups: BTreeMap<u32, Arc<CompiledGroup>>,
    /// What held before this compilation, of the keys touched in it.
    touched_flows: FxHashMap<Arc<FlowKey>, Option<Arc<CompiledFlow>>>,
    touched_groups: BTreeMap<u32, Option<Arc<CompiledGroup>>>,
}

#[derive(Debug)]
enum Slot {
    One(Contributor, Arc<CompiledFlow>),
    /// Two or more, by contributor.
    Many(BTreeMap<Contributor, Arc<CompiledFlow>>),
}

impl Slot {
    fn holds(&self) -> Option<&Arc<CompiledFlow>> {
        match self {
            Slot::One(_, flow) => Some(flow),
            Slot::Many(all) => all.first_key_value().map(|(_, flow)| flow),
        }
    }
}

impl NodeState {
    /// Every flow, in no order.
    pub fn flows(&self) -> impl Iterator<Item = &Arc<CompiledFlow>> {
        self.flows.values().filter_map(Slot::holds)
    }

    /// The flow with this key.
    #[must_use]
    pub fn flow(&self, key: &FlowKey) -> Option<&Arc<CompiledFlow>> {
        self.flows.get(key).and_then(Slot::holds)
    }

    /// How many flows there are.
    #[must_use]
    pub fn flow_count(&self) -> usize {
        self.flows.len()
    }

    /// Every group, by number.
    #[must_use]
    pub fn groups(&self) -> &BTreeMap<u32, Arc<CompiledGroup>> {
        &self.groups
    }

    pub(crate) fn put(&mut self, contributor: &Contributor, flow: &Arc<CompiledFlow>) {
        self.touch(&flow.key);
        let key = Arc::clone(&flow.key);
        let slot = match self.flows.remove(&key) {
            None => Slot::One(Arc::clone(contributor), Arc::clone(flow)),
            Some(Slot::One(old, _)) if old == *contributor => {
                Slot::One(Arc::clone(contributor), Arc::clone(flow))
            }
            Some(Slot::One(old, old_flow)) => Slot::Many(BTreeMap::from([
                (old, old_flow),
                (Arc::clone(contributor), Arc::clone(flow)),
            ])),
            Some(Slot::Many(mut all)) => {
                all.insert(Arc::clone(contributor), Arc::clone(flow));
                Slot::Many(all)
            }
        };
        self.flows.insert(key, slot);
    }

    pub(crate) fn remove(&mut self, contributor: &Contributor, key: &Arc<FlowKey>) {
        self.touch(key);
        let left = match self.flows.remove(key) {
            None => None,
            Some(Slot::One(old, flow)) if old != *contributor => Some(Slot::One(old, flow)),
            Some(Slot::One(..)) => None,
            Some(Slot::Many(mut all)) => {
                all.remove(contributor);
                match all.len() {
                    1 => all.pop_first().map(|(unit, flow)| Slot::One(unit, flow)),
                    _ => Some(Slot::Many(all)),
                }
            }
        };
        if let Some(slot) = left {
            self.flows.insert(Arc::clone(key), slot);
        }
    }

    pub(crate) fn put_group(&mut self, group: &Arc<CompiledGroup>) {
        let id = group.group.id;
        let old = self.groups.insert(id, Arc::clone(group));
        self.touched_groups.entry(id).or_insert(old);
    }

    pub(crate) fn remove_group(&mut self, id: u32) {
        let old = self.groups.remove(&id);
        self.touched_groups.entry(id).or_insert(old);
    }

    /// What changed since it was last taken.
    pub(crate) fn take_delta(&mut self) -> NodeDelta {
        let mut flows: Vec<_> = std::mem::take(&mut self.touched_flows)
            .into_iter()
            .filter_map(|(key, old)| self.flow_change(key, old))
            .collect();
        flows.sort_by(|left, right| sort_key(left).cmp(sort_key(right)));
        let groups = std::mem::take(&mut self.touched_groups)
            .into_iter()
            .filter_map(|(id, old)| match (old, self.groups.get(&id)) {
                (Some(_), None) => Some(GroupChange::Remove(id)),
                (None, None) => None,
                (Some(old), Some(new)) if old.group == new.group => None,
                (_, Some(new)) => Some(GroupChange::Put(Arc::clone(new))),
            })
            .collect();
        NodeDelta { flows, groups }
    }

    fn touch(&mut self, key: &Arc<FlowKey>) {
        if !self.touched_flows.contains_key(key) {
            let old = self.flow(key).cloned();
            self.touched_flows.insert(Arc::clone(key), old);
        }
    }

    fn flow_change(&self, key: Arc<FlowKey>, old: Option<Arc<CompiledFlow>>) -> Option<FlowChange> {
        match (old, self.flow(&key)) {
            (Some(_), None) => Some(FlowChange::Remove(key)),
            (None, None) => None,
            (Some(old), Some(new)) if old.cookie == new.cookie && old.actions == new.actions => {
                None
            }
            (_, Some(new)) => Some(FlowChange::Put(Arc::clone(new))),
        }
    }
}

fn sort_key(change: &FlowChange) -> &FlowKey {
    match change {
        FlowChange::Put(flow) => &flow.key,
        FlowChange::Remove(key) => key,
    }
}
