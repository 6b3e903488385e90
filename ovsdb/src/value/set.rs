//! A sorted set of atoms that is cheap to clone and compare.
//!
//! None is stored as nothing, one in place, more as a shared sorted slice. A change builds a new slice: one copy of
//! plain memory, and whoever still holds the old set keeps it.
//!
//! Must not: hold duplicates.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::value::Atom;

/// A sorted set of atoms.
#[derive(Clone, Default)]
pub struct Set(Elements);

#[derive(Clone, Default)]
enum Elements {
    #[default]
    None,
    One(Atom),
    Many(Arc<[Atom]>),
}

impl Set {
    /// The empty set.
    pub const fn new() -> Set {
        Set(Elements::None)
    }

    /// The set of this atom alone.
    pub fn one(atom: Atom) -> Set {
        Set(Elements::One(atom))
    }

    /// The elements, sorted.
    pub fn as_slice(&self) -> &[Atom] {
        match &self.0 {
            Elements::None => &[],
            Elements::One(atom) => std::slice::from_ref(atom),
            Elements::Many(atoms) => atoms,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// True if there is no element.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// The elements in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Atom> {
        self.as_slice().iter()
    }

    /// The least element.
    pub fn first(&self) -> Option<&Atom> {
        self.as_slice().first()
    }

    /// True if the atom is in the set.
    pub fn contains(&self, atom: &Atom) -> bool {
        self.as_slice().binary_search(atom).is_ok()
    }

    /// True if every element of this set is in the other.
    pub fn is_subset(&self, other: &Set) -> bool {
        self.len() <= other.len() && self.iter().all(|atom| other.contains(atom))
    }

    /// True if no element of this set is in the other.
    pub fn is_disjoint(&self, other: &Set) -> bool {
        let (few, many) = if self.len() <= other.len() {
            (self, other)
        } else {
            (other, self)
        };
        !few.iter().any(|atom| many.contains(atom))
    }

    /// Adds an atom; false if it was there.
    pub fn insert(&mut self, atom: Atom) -> bool {
        let Err(at) = self.as_slice().binary_search(&atom) else {
            return false;
        };
        let (before, after) = self.as_slice().split_at(at);
        self.0 = if before.is_empty() && after.is_empty() {
            Elements::One(atom)
        } else {
            let all = before
                .iter()
                .cloned()
                .chain(std::iter::once(atom))
                .chain(after.iter().cloned());
            Elements::Many(all.collect())
        };
        true
    }

    /// Takes an atom out; false if it was not there.
    pub fn remove(&mut self, atom: &Atom) -> bool {
        let Ok(at) = self.as_slice().binary_search(atom) else {
            return false;
        };
        let (before, rest) = self.as_slice().split_at(at);
        *self = Set::from_sorted(before.iter().chain(rest.iter().skip(1)).cloned().collect());
        true
    }

    /// Elements in either set.
    pub fn union(&self, other: &Set) -> Set {
        match other.as_slice() {
            [] => self.clone(),
            [atom] => {
                let mut set = self.clone();
                set.insert(atom.clone());
                set
            }
            _ if self.is_empty() => other.clone(),
            _ => self.iter().chain(other.iter()).cloned().collect(),
        }
    }

    /// Elements of this set that are not in the other.
    pub fn difference(&self, other: &Set) -> Set {
        if self.same_storage(other) {
            return Set::new();
        }
        match other.as_slice() {
            [] => self.clone(),
            [atom] => {
                let mut set = self.clone();
                set.remove(atom);
                set
            }
            _ => Set::from_sorted(
                self.iter()
                    .filter(|atom| !other.contains(atom))
                    .cloned()
                    .collect(),
            ),
        }
    }

    /// Elements in exactly one of the two sets: what a `modify` of an update2 carries for a set column.
    pub fn symmetric_difference(&self, other: &Set) -> Set {
        if self.same_storage(other) {
            return Set::new();
        }
        let mut out = Vec::new();
        let (mut left, mut right) = (self.iter().peekable(), other.iter().peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(_), None) => left.next(),
                (None, Some(_)) => right.next(),
                (Some(l), Some(r)) => match l.cmp(r) {
                    std::cmp::Ordering::Less => left.next(),
                    std::cmp::Ordering::Greater => right.next(),
                    std::cmp::Ordering::Equal => {
                        left.next();
                        right.next();
                        continue;
                    }
                },
            };
            out.extend(next.cloned());
        }
        Set::from_sorted(out)
    }

    fn same_storage(&self, other: &Set) -> bool {
        match (&self.0, &other.0) {
            (Elements::Many(a), Elements::Many(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// `atoms` must be sorted and distinct.
    fn from_sorted(mut atoms: Vec<Atom>) -> Set {
        Set(match atoms.len() {
            0 => Elements::None,
            1 => atoms.pop().map_or(Elements::None, Elements::One),
            _ => Elements::Many(atoms.into()),
        })
    }
}

impl<A: Into<Atom>> FromIterator<A> for Set {
    fn from_iter<I: IntoIterator<Item = A>>(iter: I) -> Set {
        let mut atoms: Vec<Atom> = iter.into_iter().map(Into::into).collect();
        atoms.sort_unstable();
        atoms.dedup();
        Set::from_sorted(atoms)
    }
}

impl From<BTreeSet<Atom>> for Set {
    fn from(atoms: BTreeSet<Atom>) -> Set {
        Set::from_sorted(atoms.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Set {
    type Item = &'a Atom;
    type IntoIter = std::slice::Iter<'a, Atom>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Set {
    fn eq(&self, other: &Set) -> bool {
        self.same_storage(other) || self.as_slice() == other.as_slice()
    }
}

impl Eq for Set {}

impl PartialOrd for Set {
    fn partial_cmp(&self, other: &Set) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Set {
    fn cmp(&self, other: &Set) -> std::cmp::Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl std::hash::Hash for Set {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_slice() {
            [atom] => fmt::Debug::fmt(atom, f),
            atoms => f.debug_set().entries(atoms).finish(),
        }
    }
}
