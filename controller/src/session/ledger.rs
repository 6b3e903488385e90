//! What should be on a switch against what is: flows, and likewise groups.
//!
//! ```text
//! desired ──┐
//!           ├── plan: puts and removals of the keys that may differ ──▶ bundle ──▶ installed
//! installed ┘
//! ```
//!
//! Entries are shared references: a thousand nodes that hold the same flow hold one copy.
//!
//! Invariants: `installed` and `foreign` share no key; a plan that was applied leaves nothing to plan; what the switch
//! refused is not offered again until it is wanted differently, forgiven or tried again.
//!
//! Must not: know the wire, or clone an entry.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

/// Something that a switch holds at most once per key.
pub trait Keyed {
    /// What identifies it on the switch.
    type Key: Clone + Ord + Hash;

    /// Its key.
    fn key(&self) -> &Self::Key;

    /// Whether it and another of the same key are told alike to the switch.
    fn is_same(&self, other: &Self) -> bool;
}

/// Desired against installed; see the [module](self).
#[derive(Debug)]
pub struct Ledger<V: Keyed> {
    desired: FxHashSet<ByKey<V>>,
    installed: FxHashSet<ByKey<V>>,
    /// On the switch, but not as it should be, or nobody's.
    foreign: FxHashSet<V::Key>,
    /// By key: what the switch will not take, and what it said.
    refused: FxHashMap<V::Key, (ByKey<V>, String)>,
    dirty: Dirty<V::Key>,
}

/// One difference.
#[derive(Debug)]
pub enum Change<V: Keyed> {
    /// Add or replace.
    Put {
        /// What to put there.
        entry: Arc<V>,
        /// What the switch has under the key.
        held: Held<V>,
    },
    /// Take away.
    Remove(V::Key),
}

/// What a switch has under a key.
#[derive(Debug)]
pub enum Held<V> {
    /// Nothing.
    Nothing,
    /// Something, nobody knows what.
    Something,
    /// This.
    Entry(Arc<V>),
}

impl<V: Keyed> Ledger<V>
where
    ByKey<V>: Borrow<V::Key>,
{
    /// What should be under `key` from now on.
    pub fn want(&mut self, key: &V::Key, entry: Option<Arc<V>>) {
        self.refused.remove(key);
        match entry {
            // `replace`, not `insert`, which keeps the old one of equal keys.
            Some(entry) => drop(self.desired.replace(ByKey(entry))),
            None => drop(self.desired.remove(key)),
        }
        if let Dirty::Some(keys) = &mut self.dirty {
            keys.insert(key.clone());
        }
    }

    /// The switch is about to be read: nothing is known of it.
    pub fn begin_reading(&mut self) {
        self.installed.clear();
        self.foreign.clear();
        self.dirty = Dirty::All;
    }

    /// Another switch may answer now: what was refused may be offered again.
    pub fn forgive(&mut self) {
        self.refused.clear();
    }

    /// The switch holds something under `key`; `is_same` compares it with what is wanted there. Returns whether it is.
    pub fn found(&mut self, key: V::Key, is_same: impl FnOnce(&V) -> bool) -> bool {
        match self
            .desired
            .get(&key)
            .filter(|entry| is_same(&entry.0))
            .cloned()
        {
            Some(entry) => {
                self.installed.insert(entry);
                true
            }
            None => {
                self.foreign.insert(key);
                false
            }
        }
    }

    /// The differences, ordered by key; they count as planned.
    pub fn plan(&mut self) -> Vec<Change<V>> {
        let mut keys: BTreeSet<V::Key> = BTreeSet::new();
        match std::mem::replace(&mut self.dirty, Dirty::Some(BTreeSet::new())) {
            Dirty::Some(dirty) => keys = dirty,
            Dirty::All => {
                keys.extend(self.foreign.iter().cloned());
                let is_there = |entry: &ByKey<V>| {
                    self.installed
                        .get(entry.0.key())
                        .is_some_and(|known| known.is(entry))
                };
                let missing = self.desired.iter().filter(|entry| !is_there(entry));
                keys.extend(missing.map(|entry| entry.0.key().clone()));
                let excess = self
                    .installed
                    .iter()
                    .filter(|entry| !self.desired.contains(entry.0.key()));
                keys.extend(excess.map(|entry| entry.0.key().clone()));
            }
        }
        keys.into_iter()
            .filter_map(|key| self.change(key))
            .collect()
    }

    /// Planned changes did not happen: they are planned again.
    pub fn replan<'a>(&mut self, changes: impl Iterator<Item = &'a Change<V>>)
    where
        V: 'a,
    {
        if let Dirty::Some(keys) = &mut self.dirty {
            keys.extend(changes.map(|change| change.key().clone()));
        }
    }

    /// The switch has done it.
    pub fn applied(&mut self, change: &Change<V>) {
        self.foreign.remove(change.key());
        match change {
            Change::Put { entry, .. } => drop(self.installed.replace(ByKey(entry.clone()))),
            Change::Remove(key) => drop(self.installed.remove(key)),
        }
    }

    /// What was refused is planned again: whatever was in its way may be gone.
    pub fn retry(&mut self) {
        let refused = std::mem::take(&mut self.refused);
        if let Dirty::Some(keys) = &mut self.dirty {
            keys.extend(refused.into_keys());
        }
    }

    /// The switch will not take this entry; what it holds under the key goes, since it is not what should be there.
    pub fn refuse(&mut self, entry: &Arc<V>, error: String) {
        let refused = (ByKey(entry.clone()), error);
        self.refused.insert(entry.key().clone(), refused);
        if let Dirty::Some(keys) = &mut self.dirty {
            keys.insert(entry.key().clone());
        }
    }

    /// What the switch will not take, and what it said; in no order.
    pub fn refusals(&self) -> impl Iterator<Item = (&V, &str)> {
        let refused = self.refused.values();
        refused.map(|(entry, error)| (&*entry.0, error.as_str()))
    }

    /// The switch has something else under this key than it was thought to have.
    pub fn distrust(&mut self, key: &V::Key) {
        self.installed.remove(key);
        self.foreign.insert(key.clone());
        if let Dirty::Some(keys) = &mut self.dirty {
            keys.insert(key.clone());
        }
    }

    /// Whether there is nothing to plan.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(&self.dirty, Dirty::Some(keys) if keys.is_empty())
    }

    /// How many are wanted, installed and refused.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            desired: self.desired.len(),
            installed: self.installed.len(),
            refused: self.refused.len(),
        }
    }

    fn change(&self, key: V::Key) -> Option<Change<V>> {
        let on_switch = self.installed.get(&key);
        let held = match on_switch {
            Some(entry) => Held::Entry(entry.0.clone()),
            None if self.foreign.contains(&key) => Held::Something,
            None => Held::Nothing,
        };
        let wanted = self.desired.get(&key);
        let wanted = wanted.filter(|entry| {
            !self
                .refused
                .get(&key)
                .is_some_and(|(refused, _)| refused.is(entry))
        });
        match (wanted, on_switch) {
            (Some(wanted), Some(on_switch)) if on_switch.is(wanted) => None,
            (Some(wanted), _) => Some(Change::Put {
                entry: wanted.0.clone(),
                held,
            }),
            (None, _) if matches!(held, Held::Nothing) => None,
            (None, _) => Some(Change::Remove(key)),
        }
    }
}

impl<V: Keyed> Default for Ledger<V> {
    fn default() -> Self {
        Ledger {
            desired: FxHashSet::default(),
            installed: FxHashSet::default(),
            foreign: FxHashSet::default(),
            refused: FxHashMap::default(),
            dirty: Dirty::All,
        }
    }
}

impl<V: Keyed> Change<V> {
    /// What it is about.
    #[must_use]
    pub fn key(&self) -> &V::Key {
        match self {
            Change::Put { entry, .. } => entry.key(),
            Change::Remove(key) => key,
        }
    }
}

/// Sizes of a [`Ledger`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Wanted.
    pub desired: usize,
    /// On the switch and as wanted when last heard of.
    pub installed: usize,
    /// Wanted, and refused by the switch.
    pub refused: usize,
}

#[derive(Debug)]
enum Dirty<K> {
    All,
    Some(BTreeSet<K>),
}

/// An entry that is found by its key: `Borrow<Key>` makes the lookup, which cannot be written once for all `V`
/// (it would overlap with `Borrow<T> for T`), so each kind of entry has its own.
#[derive(Debug)]
pub struct ByKey<V>(pub(super) Arc<V>);

impl<V: Keyed> ByKey<V> {
    /// Most often one and the same; what was compiled anew, or read from a recording, is compared.
    fn is(&self, other: &ByKey<V>) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.is_same(&other.0)
    }
}

impl<V> Clone for ByKey<V> {
    fn clone(&self) -> Self {
        ByKey(self.0.clone())
    }
}

impl<V: Keyed> PartialEq for ByKey<V> {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl<V: Keyed> Eq for ByKey<V> {}

impl<V: Keyed> Hash for ByKey<V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

#[cfg(test)]
mod tests;
