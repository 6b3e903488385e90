//! The desired set of one node, and the difference made since the last compilation: the diff stage.
//!
//! Two units may want a flow with the same key, and so may two logical flows of one unit. All are remembered. If they only count for
//! conjunctive matches, one flow counts for all of them. If not, rows contradict each other, and the flow whose unit sorts first
//! holds; so the result does not depend on who came first.
//!
//! Invariant: what holds for a key is a function of the set of contributions. Must not: order anything by history.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use openflow_rs::{Action, EncodedKey};
use rustc_hash::FxHashMap;

use super::{
    CompiledFlow, CompiledGroup, CompiledMeter, FlowChange, GroupChange, MeterChange, NodeDelta,
};

/// Who wants a flow. Ordered.
pub(crate) type Contributor = Arc<crate::unit::Unit>;

/// The flows and groups that a node should have.
#[derive(Default, Debug)]
pub struct NodeState {
    flows: FxHashMap<EncodedKey, Slot>,
    groups: BTreeMap<u32, Arc<CompiledGroup>>,
    /// Those that the flows name, and how many do.
    meters: BTreeMap<u32, (Arc<CompiledMeter>, usize)>,
    /// What held before this compilation, of the keys touched in it.
    touched_flows: FxHashMap<EncodedKey, Option<Arc<CompiledFlow>>>,
    touched_groups: BTreeMap<u32, Option<Arc<CompiledGroup>>>,
}

#[derive(Debug)]
enum Slot {
    One(Contributor, Arc<CompiledFlow>),
    /// Two or more.
    Many(Contributions),
}

/// Who wants a flow, and what: ordered by both.
#[derive(Debug)]
struct Contributions {
    all: BTreeMap<(Contributor, Bytes), Arc<CompiledFlow>>,
    /// What follows from them, once somebody has asked.
    holds: OnceLock<Option<Arc<CompiledFlow>>>,
}

impl Slot {
    fn holds(&self) -> Option<&Arc<CompiledFlow>> {
        match self {
            Slot::One(_, flow) => Some(flow),
            Slot::Many(contributions) => contributions.holds(),
        }
    }

    fn into_all(self) -> BTreeMap<(Contributor, Bytes), Arc<CompiledFlow>> {
        match self {
            Slot::One(unit, flow) => BTreeMap::from([((unit, flow.add().clone()), flow)]),
            Slot::Many(contributions) => contributions.all,
        }
    }

    fn of(mut all: BTreeMap<(Contributor, Bytes), Arc<CompiledFlow>>) -> Option<Slot> {
        if all.len() > 1 {
            let holds = OnceLock::new();
            return Some(Slot::Many(Contributions { all, holds }));
        }
        let ((unit, _), flow) = all.pop_first()?;
        Some(Slot::One(unit, flow))
    }
}

impl Contributions {
    fn holds(&self) -> Option<&Arc<CompiledFlow>> {
        let find = || {
            let mut doing = self.all.values().filter(|flow| !flow.is_conjunctive());
            // It does what it does before any conjunctive match is complete.
            doing.next().cloned().or_else(|| self.merged())
        };
        self.holds.get_or_init(find).as_ref()
    }

    /// Whose the flow is that holds; of several that share one, the first.
    fn contributor(&self) -> Option<&crate::unit::Unit> {
        let mut doing = self.all.iter().filter(|(_, flow)| !flow.is_conjunctive());
        let (contributor, _) = doing.next().or_else(|| self.all.iter().next())?.0;
        Some(contributor)
    }

    /// One flow that counts for everything that these count for.
    fn merged(&self) -> Option<Arc<CompiledFlow>> {
        let first = self.all.values().next()?;
        let mut parts: Vec<(u32, u8, u8)> = Vec::new();
        for action in self.all.values().flat_map(|flow| flow.flow().actions) {
            if let Action::Conjunction { id, clause, n } = action {
                parts.push((id, clause, n));
            }
        }
        parts.sort_unstable();
        parts.dedup();
        let part = |(id, clause, n)| Action::Conjunction { id, clause, n };
        let mut flow = first.flow();
        flow.actions = parts.into_iter().map(part).collect();
        // One that is too long to encode cannot be had; then some of the rows go without, as with any flow that cannot be encoded.
        Some(CompiledFlow::new(flow).map_or_else(|_| Arc::clone(first), Arc::new))
    }
}

impl NodeState {
    /// Every flow, in no order.
    pub fn flows(&self) -> impl Iterator<Item = &Arc<CompiledFlow>> {
        self.flows.values().filter_map(Slot::holds)
    }

    /// The flow with this key.
    #[must_use]
    pub fn flow(&self, key: &EncodedKey) -> Option<&Arc<CompiledFlow>> {
        self.flows.get(key).and_then(Slot::holds)
    }

    /// The unit whose flow holds under this key.
    pub(crate) fn contributor(&self, key: &EncodedKey) -> Option<&crate::unit::Unit> {
        match self.flows.get(key)? {
            Slot::One(contributor, _) => Some(contributor),
            Slot::Many(contributions) => contributions.contributor(),
        }
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

    /// Every meter, by number.
    pub fn meters(&self) -> impl Iterator<Item = &Arc<CompiledMeter>> {
        self.meters.values().map(|(meter, _)| meter)
    }

    pub(crate) fn put(&mut self, contributor: &Contributor, flow: &Arc<CompiledFlow>) {
        match self.flows.entry(flow.key().clone()) {
            Entry::Vacant(vacant) => {
                self.touched_flows.entry(flow.key().clone()).or_insert(None);
                vacant.insert(Slot::One(Arc::clone(contributor), Arc::clone(flow)));
            }
            Entry::Occupied(occupied) => {
                let (key, known) = occupied.remove_entry();
                let old = || known.holds().cloned();
                self.touched_flows.entry(key.clone()).or_insert_with(old);
                let mut all = known.into_all();
                all.insert(
                    (Arc::clone(contributor), flow.add().clone()),
                    Arc::clone(flow),
                );
                if let Some(slot) = Slot::of(all) {
                    self.flows.insert(key, slot);
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, contributor: &Contributor, flow: &CompiledFlow) {
        let key = flow.key();
        self.touch(key);
        let Some(known) = self.flows.remove(key) else {
            return;
        };
        let mut all = known.into_all();
        all.remove(&(Arc::clone(contributor), flow.add().clone()));
        if let Some(slot) = Slot::of(all) {
            self.flows.insert(key.clone(), slot);
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
        let touched = std::mem::take(&mut self.touched_flows);
        let meters = self.count_meters(&touched);
        let mut flows: Vec<_> = touched
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
        NodeDelta {
            flows,
            groups,
            meters,
        }
    }

    /// Brings the meters up to date with the flows that were touched.
    fn count_meters(
        &mut self,
        touched: &FxHashMap<EncodedKey, Option<Arc<CompiledFlow>>>,
    ) -> Vec<MeterChange> {
        let mut shifts: BTreeMap<u32, isize> = BTreeMap::new();
        for (key, old) in touched {
            if let Some(meter) = old.as_ref().and_then(|flow| flow.meter()) {
                *shifts.entry(meter).or_default() -= 1;
            }
            if let Some(meter) = self.flow(key).and_then(|flow| flow.meter()) {
                *shifts.entry(meter).or_default() += 1;
            }
        }
        let mut changes = Vec::new();
        for (id, shift) in shifts {
            if let Some((_, users)) = self.meters.get_mut(&id) {
                *users = users.saturating_add_signed(shift);
                if *users == 0 {
                    self.meters.remove(&id);
                    changes.push(MeterChange::Remove(id));
                }
            } else if let (Ok(users @ 1..), Some(meter)) =
                (usize::try_from(shift), CompiledMeter::numbered(id))
            {
                let meter = Arc::new(meter);
                self.meters.insert(id, (Arc::clone(&meter), users));
                changes.push(MeterChange::Put(meter));
            }
        }
        changes
    }

    fn touch(&mut self, key: &EncodedKey) {
        if !self.touched_flows.contains_key(key) {
            let old = self.flow(key).cloned();
            self.touched_flows.insert(key.clone(), old);
        }
    }

    fn flow_change(&self, key: EncodedKey, old: Option<Arc<CompiledFlow>>) -> Option<FlowChange> {
        match (old, self.flow(&key)) {
            (Some(_), None) => Some(FlowChange::Remove(key)),
            (None, None) => None,
            (Some(old), Some(new)) if old == *new => None,
            (_, Some(new)) => Some(FlowChange::Put(Arc::clone(new))),
        }
    }
}

fn sort_key(change: &FlowChange) -> &EncodedKey {
    match change {
        FlowChange::Put(flow) => flow.key(),
        FlowChange::Remove(key) => key,
    }
}

#[cfg(test)]
mod tests;
