//! A sorted map from atom to atom that is cheap to clone and compare.
//!
//! Stored as a shared sorted slice of pairs, or as nothing when empty; see [`Set`](crate::value::Set).
//!
//! Must not: hold a key twice.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::value::Atom;

/// A sorted map from atom to atom.
#[derive(Clone, Default)]
pub struct Map(Option<Arc<[(Atom, Atom)]>>);

impl Map {
    /// The empty map.
    pub fn new() -> Map {
        Map::default()
    }

    /// The pairs, sorted by key.
    pub fn as_slice(&self) -> &[(Atom, Atom)] {
        self.0.as_deref().unwrap_or(&[])
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// True if there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The pairs in key order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Atom, &Atom)> {
        self.as_slice().iter().map(|(key, value)| (key, value))
    }

    /// The keys in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Atom> {
        self.as_slice().iter().map(|(key, _)| key)
    }

    /// The values in key order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Atom> {
        self.as_slice().iter().map(|(_, value)| value)
    }

    /// The value of a key.
    pub fn get(&self, key: &Atom) -> Option<&Atom> {
        let at = self.find(key).ok()?;
        self.as_slice().get(at).map(|(_, value)| value)
    }

    /// The string value of a string key.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.iter()
            .find(|(k, _)| k.as_str() == Some(key))
            .and_then(|(_, value)| value.as_str())
    }

    /// True if the key has a value.
    pub fn contains_key(&self, key: &Atom) -> bool {
        self.find(key).is_ok()
    }

    /// Gives a key a value; returns the value it had.
    pub fn insert(&mut self, key: Atom, value: Atom) -> Option<Atom> {
        let at = self.find(&key);
        let (before, rest) = self.as_slice().split_at(match at {
            Ok(at) | Err(at) => at,
        });
        let old = at
            .ok()
            .and_then(|_| rest.first())
            .map(|(_, value)| value.clone());
        let after = rest.iter().skip(usize::from(old.is_some()));
        let all = before
            .iter()
            .cloned()
            .chain(std::iter::once((key, value)))
            .chain(after.cloned());
        self.0 = Some(all.collect());
        old
    }

    /// Takes a key out; returns the value it had.
    pub fn remove(&mut self, key: &Atom) -> Option<Atom> {
        let at = self.find(key).ok()?;
        let (before, rest) = self.as_slice().split_at(at);
        let old = rest.first().map(|(_, value)| value.clone());
        *self = Map::from_sorted(before.iter().chain(rest.iter().skip(1)).cloned().collect());
        old
    }

    /// The difference that turns `self` into `new`, as a `modify` of an update2 carries it: pairs of keys that exist
    /// in one of the two, and, where the values differ, the new pair. [`Map::apply_difference`] undoes it.
    pub fn difference_to(&self, new: &Map) -> Map {
        if self.same_storage(new) {
            return Map::new();
        }
        let gone = self
            .as_slice()
            .iter()
            .filter(|(key, _)| !new.contains_key(key));
        let put = new
            .as_slice()
            .iter()
            .filter(|(key, value)| self.get(key) != Some(value));
        gone.chain(put).cloned().collect()
    }

    /// Applies a difference: a pair that is there already goes, any other is put.
    pub fn apply_difference(&self, difference: &Map) -> Map {
        let kept = self
            .as_slice()
            .iter()
            .filter(|(key, _)| !difference.contains_key(key));
        let put = difference
            .as_slice()
            .iter()
            .filter(|(key, value)| self.get(key) != Some(value));
        kept.chain(put).cloned().collect()
    }

    fn find(&self, key: &Atom) -> Result<usize, usize> {
        self.as_slice().binary_search_by(|(k, _)| k.cmp(key))
    }

    fn same_storage(&self, other: &Map) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        }
    }

    /// `pairs` must be sorted by key, keys distinct.
    fn from_sorted(pairs: Vec<(Atom, Atom)>) -> Map {
        Map((!pairs.is_empty()).then(|| pairs.into()))
    }
}

/// Of pairs with the same key the last one counts.
impl<K: Into<Atom>, V: Into<Atom>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Map {
        let mut pairs: Vec<(Atom, Atom)> = iter
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        pairs.reverse();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|b, a| a.0 == b.0);
        Map::from_sorted(pairs)
    }
}

impl From<BTreeMap<Atom, Atom>> for Map {
    fn from(pairs: BTreeMap<Atom, Atom>) -> Map {
        Map::from_sorted(pairs.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = &'a (Atom, Atom);
    type IntoIter = std::slice::Iter<'a, (Atom, Atom)>;

    fn into_iter(self) -> Self::IntoIter {
        self.as_slice().iter()
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        self.same_storage(other) || self.as_slice() == other.as_slice()
    }
}

impl Eq for Map {}

impl PartialOrd for Map {
    fn partial_cmp(&self, other: &Map) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Map {
    fn cmp(&self, other: &Map) -> std::cmp::Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl std::hash::Hash for Map {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
