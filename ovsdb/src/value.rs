//! OVSDB values: atoms, and the sets and maps of atoms that columns hold.
//!
//! RFC 7047 §3.1 calls a column's value a datum: a set of atoms or a map from atom to atom; a scalar is a set of
//! exactly one. Sets and maps are immutable sorted slices behind an `Arc`, a set of one is stored in place: cloning a
//! row copies no large column, comparing a column that did not change is a pointer comparison, and a scalar costs no
//! allocation beyond its string.
//!
//! Invariants: elements of [`Set`] and keys of [`Map`] are sorted and distinct; a [`Real`] is finite and never -0.
//!
//! Must not: know a schema; do IO.

mod map;
mod set;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

pub use map::Map;
pub use set::Set;

/// One indivisible value (RFC 7047 §5.1, `<atom>`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Atom {
    /// A signed 64-bit integer.
    Integer(i64),
    /// A finite double.
    Real(Real),
    /// True or false.
    Boolean(bool),
    /// A string of Unicode without U+0000.
    String(Arc<str>),
    /// A row's identity, or a reference to one.
    Uuid(Uuid),
}

/// The kinds of [`Atom`] (RFC 7047 §3.2, `<atomic-type>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AtomType {
    /// `"integer"`
    Integer,
    /// `"real"`
    Real,
    /// `"boolean"`
    Boolean,
    /// `"string"`
    String,
    /// `"uuid"`
    Uuid,
}

/// A finite double with a total order; zero has one representation.
#[derive(Clone, Copy)]
pub struct Real(f64);

/// The value of a column: a set or a map.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Datum {
    /// A set of atoms of one type; a scalar is a set of one, an absent optional value an empty set.
    Set(Set),
    /// A map from atoms of one type to atoms of one type.
    Map(Map),
}

impl Atom {
    /// The kind of this atom.
    pub fn atom_type(&self) -> AtomType {
        match self {
            Atom::Integer(_) => AtomType::Integer,
            Atom::Real(_) => AtomType::Real,
            Atom::Boolean(_) => AtomType::Boolean,
            Atom::String(_) => AtomType::String,
            Atom::Uuid(_) => AtomType::Uuid,
        }
    }

    /// The string, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Atom::String(s) => Some(s),
            _ => None,
        }
    }

    /// The integer, if this is one.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Atom::Integer(i) => Some(*i),
            _ => None,
        }
    }

    /// The real number, if this is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Atom::Real(r) => Some(r.get()),
            _ => None,
        }
    }

    /// The boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Atom::Boolean(b) => Some(*b),
            _ => None,
        }
    }

    /// The UUID, if this is one.
    pub fn as_uuid(&self) -> Option<Uuid> {
        match self {
            Atom::Uuid(u) => Some(*u),
            _ => None,
        }
    }

    /// Bytes held on the heap, for budgets; shared strings count in full.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Atom::String(s) => s.len().saturating_add(16),
            _ => 0,
        }
    }
}

impl AtomType {
    /// The name in a schema.
    pub fn name(self) -> &'static str {
        match self {
            AtomType::Integer => "integer",
            AtomType::Real => "real",
            AtomType::Boolean => "boolean",
            AtomType::String => "string",
            AtomType::Uuid => "uuid",
        }
    }

    /// The kind with this schema name.
    pub fn from_name(name: &str) -> Option<AtomType> {
        Some(match name {
            "integer" => AtomType::Integer,
            "real" => AtomType::Real,
            "boolean" => AtomType::Boolean,
            "string" => AtomType::String,
            "uuid" => AtomType::Uuid,
            _ => return None,
        })
    }

    /// What a mandatory column holds when a row is inserted without it (RFC 7047 §5.2.1).
    pub fn default_atom(self) -> Atom {
        match self {
            AtomType::Integer => Atom::Integer(0),
            AtomType::Real => Atom::Real(Real(0.0)),
            AtomType::Boolean => Atom::Boolean(false),
            AtomType::String => Atom::String(Arc::from("")),
            AtomType::Uuid => Atom::Uuid(Uuid::nil()),
        }
    }
}

impl Real {
    /// `None` for infinities and not-a-number, which JSON cannot say.
    pub fn new(value: f64) -> Option<Real> {
        // Adding zero turns -0 into 0, so that equal numbers are equal atoms.
        value.is_finite().then_some(Real(value + 0.0))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for Real {
    fn eq(&self, other: &Real) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Real {}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Real) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Real {
    fn cmp(&self, other: &Real) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl std::hash::Hash for Real {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl Datum {
    /// A scalar: a set of one.
    pub fn scalar(atom: impl Into<Atom>) -> Datum {
        Datum::Set(Set::one(atom.into()))
    }

    /// The empty set: an absent optional value. (The empty map is [`Datum::empty_map`].)
    pub fn empty() -> Datum {
        Datum::Set(Set::new())
    }

    /// The empty map.
    pub fn empty_map() -> Datum {
        Datum::Map(Map::new())
    }

    /// `Some` is a set of one, `None` an empty set.
    pub fn optional(atom: Option<impl Into<Atom>>) -> Datum {
        Datum::Set(atom.map_or_else(Set::new, |atom| Set::one(atom.into())))
    }

    /// Number of elements or pairs.
    pub fn len(&self) -> usize {
        match self {
            Datum::Set(set) => set.len(),
            Datum::Map(map) => map.len(),
        }
    }

    /// True if there is no element or pair.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The set, if this is one.
    pub fn as_set(&self) -> Option<&Set> {
        match self {
            Datum::Set(set) => Some(set),
            Datum::Map(_) => None,
        }
    }

    /// The map, if this is one.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Datum::Map(map) => Some(map),
            Datum::Set(_) => None,
        }
    }

    /// The atom of a set of exactly one.
    pub fn as_atom(&self) -> Option<&Atom> {
        match self {
            Datum::Set(set) => match set.as_slice() {
                [atom] => Some(atom),
                _ => None,
            },
            Datum::Map(_) => None,
        }
    }

    /// The string of a set of exactly one string.
    pub fn as_str(&self) -> Option<&str> {
        self.as_atom()?.as_str()
    }

    /// The integer of a set of exactly one integer.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_atom()?.as_i64()
    }

    /// The number of a set of exactly one real.
    pub fn as_f64(&self) -> Option<f64> {
        self.as_atom()?.as_f64()
    }

    /// The boolean of a set of exactly one boolean.
    pub fn as_bool(&self) -> Option<bool> {
        self.as_atom()?.as_bool()
    }

    /// The UUID of a set of exactly one UUID.
    pub fn as_uuid(&self) -> Option<Uuid> {
        self.as_atom()?.as_uuid()
    }

    /// The strings of a set, in order; elements of other kinds are passed over, a map has none.
    pub fn strings(&self) -> impl Iterator<Item = &str> {
        self.as_set()
            .map_or(&[][..], Set::as_slice)
            .iter()
            .filter_map(Atom::as_str)
    }

    /// The UUIDs of a set, in order; elements of other kinds are passed over, a map has none.
    pub fn uuids(&self) -> impl Iterator<Item = Uuid> {
        self.as_set()
            .map_or(&[][..], Set::as_slice)
            .iter()
            .filter_map(Atom::as_uuid)
    }

    /// The pairs of a map from string to string, copied; other pairs are passed over, a set has none.
    pub fn string_map(&self) -> BTreeMap<String, String> {
        let pairs = self.as_map().map_or(&[][..], Map::as_slice).iter();
        pairs
            .filter_map(|(key, value)| Some((key.as_str()?.to_owned(), value.as_str()?.to_owned())))
            .collect()
    }

    /// Bytes held on the heap, for budgets; shared slices and strings count in full.
    pub(crate) fn heap_bytes(&self) -> usize {
        const ATOM: usize = size_of::<Atom>();
        match self {
            Datum::Set(set) => set.iter().fold(16, |n: usize, a| {
                n.saturating_add(ATOM.saturating_add(a.heap_bytes()))
            }),
            Datum::Map(map) => map.iter().fold(16, |n: usize, (k, v)| {
                n.saturating_add(ATOM.saturating_mul(2))
                    .saturating_add(k.heap_bytes())
                    .saturating_add(v.heap_bytes())
            }),
        }
    }
}

impl Default for Datum {
    fn default() -> Datum {
        Datum::empty()
    }
}

impl From<i64> for Atom {
    fn from(value: i64) -> Atom {
        Atom::Integer(value)
    }
}

impl From<bool> for Atom {
    fn from(value: bool) -> Atom {
        Atom::Boolean(value)
    }
}

impl From<Real> for Atom {
    fn from(value: Real) -> Atom {
        Atom::Real(value)
    }
}

impl From<Uuid> for Atom {
    fn from(value: Uuid) -> Atom {
        Atom::Uuid(value)
    }
}

impl From<&str> for Atom {
    fn from(value: &str) -> Atom {
        Atom::String(Arc::from(value))
    }
}

impl From<String> for Atom {
    fn from(value: String) -> Atom {
        Atom::String(Arc::from(value))
    }
}

impl From<&String> for Atom {
    fn from(value: &String) -> Atom {
        Atom::from(value.as_str())
    }
}

impl From<Arc<str>> for Atom {
    fn from(value: Arc<str>) -> Atom {
        Atom::String(value)
    }
}

impl<T: Into<Atom>> From<T> for Datum {
    fn from(value: T) -> Datum {
        Datum::scalar(value)
    }
}

impl From<Set> for Datum {
    fn from(value: Set) -> Datum {
        Datum::Set(value)
    }
}

impl From<Map> for Datum {
    fn from(value: Map) -> Datum {
        Datum::Map(value)
    }
}

impl<A: Into<Atom>> FromIterator<A> for Datum {
    fn from_iter<I: IntoIterator<Item = A>>(iter: I) -> Datum {
        Datum::Set(iter.into_iter().collect())
    }
}

impl<K: Into<Atom>, V: Into<Atom>> FromIterator<(K, V)> for Datum {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Datum {
        Datum::Map(iter.into_iter().collect())
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Integer(i) => write!(f, "{i}"),
            Atom::Real(r) => write!(f, "{:?}", r.0),
            Atom::Boolean(b) => write!(f, "{b}"),
            Atom::String(s) => write!(f, "{s:?}"),
            Atom::Uuid(u) => write!(f, "{u}"),
        }
    }
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Datum::Set(set) => fmt::Debug::fmt(set, f),
            Datum::Map(map) => fmt::Debug::fmt(map, f),
        }
    }
}

impl fmt::Debug for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for AtomType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
