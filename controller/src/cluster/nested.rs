//! Logical switch ports that are nested in another (`parent_name`): they are where the other is, in a VLAN on its interface.
//!
//! Nobody claims them, and no interface is told about them; all that the cluster has to do for them is to know when they are up.
//!
//! Must not: know about tags; those are the compiler's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who is nested in whom, and for whom that is to be looked at again.
#[derive(Debug, Default)]
pub(super) struct Nested {
    parents: BTreeMap<Arc<str>, Arc<str>>,
    children: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    changed: BTreeSet<Arc<str>>,
}

impl Nested {
    /// A port is nested in another now, or (`None`) in none.
    pub(super) fn set(&mut self, port: &Arc<str>, parent: Option<Arc<str>>) {
        if self.parents.get(port) == parent.as_ref() {
            return;
        }
        if let Some(before) = self.parents.remove(port)
            && let Some(children) = self.children.get_mut(&before)
        {
            children.remove(port);
            if children.is_empty() {
                self.children.remove(&before);
            }
        }
        if let Some(parent) = parent {
            self.children
                .entry(parent.clone())
                .or_default()
                .insert(port.clone());
            self.parents.insert(port.clone(), parent);
        }
        self.changed.insert(port.clone());
    }

    /// A port is somewhere else now: so are those nested in it.
    pub(super) fn moved(&mut self, port: &str) {
        self.changed
            .extend(self.children.get(port).into_iter().flatten().cloned());
    }

    /// Whether a port is nested in another.
    pub(super) fn contains(&self, port: &str) -> bool {
        self.parents.contains_key(port)
    }

    /// Ports that were nested since the last call and are not any more.
    pub(super) fn take_freed(&mut self) -> Vec<Arc<str>> {
        let freed = |port: &Arc<str>| !self.parents.contains_key(port);
        let freed: Vec<_> = self
            .changed
            .iter()
            .filter(|port| freed(port))
            .cloned()
            .collect();
        self.changed.retain(|port| self.parents.contains_key(port));
        freed
    }

    /// Nested ports to look at again, each with the port that it is nested in.
    pub(super) fn take_changed(&mut self) -> Vec<(Arc<str>, Arc<str>)> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .filter_map(|port| {
                let parent = self.parents.get(&port).cloned()?;
                Some((port, parent))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_port_is_looked_at_when_its_parent_moves_and_when_it_is_freed() {
        let [one, two, vm] = ["one", "two", "vm"].map(Arc::<str>::from);
        let mut nested = Nested::default();
        nested.set(&one, Some(vm.clone()));
        nested.set(&two, Some(vm.clone()));
        assert_eq!(
            nested.take_changed(),
            [(one.clone(), vm.clone()), (two.clone(), vm.clone())]
        );
        nested.moved("two");
        nested.set(&one, Some(vm.clone()));
        assert_eq!(nested.take_changed(), [], "nothing that concerns anybody");
        nested.set(&two, None);
        nested.moved("vm");
        assert_eq!(nested.take_freed(), [two]);
        assert_eq!(nested.take_changed(), [(one.clone(), vm)]);
        assert!(nested.contains("one") && !nested.contains("two"));
    }
}
