//! Columns: Rust types ↔ data of the database, and the constraints of a column.
//!
//! A column's Rust type says its shape ([`Value`]): `String`, `i64`, `bool` and `Uuid` are scalars,
//! `Option<T>` is a set of at most one, `Vec<T>` and `BTreeSet<T>` are sets, `BTreeMap<K, V>` is a
//! map. What the type cannot say, [`rule`]s add: references, ranges, enumerations.
//!
//! Invariants: a datum of the wrong shape is an error that names table, row, column and what was
//! found; a `Vec` read from a row is sorted. Must not: know any column by name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use thiserror::Error;
use uuid::Uuid;
use weft_ovsdb::{Atom, AtomType, BaseType, ColumnSchema, ColumnType, Datum, Row};

/// A row that does not fit its table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{table} {row}: column {column} holds {found}, which is not {expected}")]
pub struct ColumnError {
    /// Table of the row.
    pub table: &'static str,
    /// UUID of the row.
    pub row: Uuid,
    /// Column whose datum does not fit.
    pub column: &'static str,
    /// What the column holds.
    pub found: String,
    /// What it has to hold.
    pub expected: String,
}

/// An atom's Rust type.
pub trait AtomValue: Sized + Ord {
    /// The database's name of the type.
    const TYPE: AtomType;
    /// The atom's value, if it has this type.
    fn from_atom(atom: &Atom) -> Option<Self>;
    /// The atom with this value.
    fn to_atom(&self) -> Atom;
}

impl AtomValue for String {
    const TYPE: AtomType = AtomType::String;
    fn from_atom(atom: &Atom) -> Option<Self> {
        match atom {
            Atom::String(text) => Some(text.to_string()),
            _ => None,
        }
    }
    fn to_atom(&self) -> Atom {
        Atom::String(Arc::from(self.as_str()))
    }
}

impl AtomValue for i64 {
    const TYPE: AtomType = AtomType::Integer;
    fn from_atom(atom: &Atom) -> Option<Self> {
        match atom {
            Atom::Integer(number) => Some(*number),
            _ => None,
        }
    }
    fn to_atom(&self) -> Atom {
        Atom::Integer(*self)
    }
}

impl AtomValue for bool {
    const TYPE: AtomType = AtomType::Boolean;
    fn from_atom(atom: &Atom) -> Option<Self> {
        match atom {
            Atom::Boolean(truth) => Some(*truth),
            _ => None,
        }
    }
    fn to_atom(&self) -> Atom {
        Atom::Boolean(*self)
    }
}

impl AtomValue for Uuid {
    const TYPE: AtomType = AtomType::Uuid;
    fn from_atom(atom: &Atom) -> Option<Self> {
        match atom {
            Atom::Uuid(uuid) => Some(*uuid),
            _ => None,
        }
    }
    fn to_atom(&self) -> Atom {
        Atom::Uuid(*self)
    }
}

/// A column's Rust type.
pub trait Value: Sized + Clone + PartialEq {
    /// How the elements of two values of this shape are compared.
    const SHAPE: Shape;
    /// The column type before any [`rule`].
    fn column_type() -> ColumnType;
    /// The datum's value, if it has this shape.
    fn from_datum(datum: &Datum) -> Option<Self>;
    /// The datum with this value.
    fn to_datum(&self) -> Datum;
}

/// How a changed column is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Replaced as a whole.
    Scalar,
    /// By the elements that came and went.
    Set,
    /// By the keys that came, went and changed.
    Map,
}

impl<A: AtomValue + Clone> Value for A {
    const SHAPE: Shape = Shape::Scalar;
    fn column_type() -> ColumnType {
        ColumnType::scalar(base::<A>())
    }
    fn from_datum(datum: &Datum) -> Option<Self> {
        let mut atoms = atoms(datum)?;
        let first = atoms.next()?;
        atoms.next().is_none().then(|| A::from_atom(first))?
    }
    fn to_datum(&self) -> Datum {
        Datum::scalar(self.to_atom())
    }
}

impl<A: AtomValue + Clone> Value for Option<A> {
    const SHAPE: Shape = Shape::Scalar;
    fn column_type() -> ColumnType {
        ColumnType::optional(base::<A>())
    }
    fn from_datum(datum: &Datum) -> Option<Self> {
        let mut atoms = atoms(datum)?;
        let Some(first) = atoms.next() else {
            return Some(None);
        };
        atoms
            .next()
            .is_none()
            .then(|| A::from_atom(first).map(Some))?
    }
    fn to_datum(&self) -> Datum {
        Datum::Set(self.iter().map(AtomValue::to_atom).collect())
    }
}

impl<A: AtomValue + Clone> Value for Vec<A> {
    const SHAPE: Shape = Shape::Set;
    fn column_type() -> ColumnType {
        ColumnType::set(base::<A>())
    }
    fn from_datum(datum: &Datum) -> Option<Self> {
        atoms(datum)?.map(A::from_atom).collect()
    }
    fn to_datum(&self) -> Datum {
        Datum::Set(self.iter().map(AtomValue::to_atom).collect())
    }
}

impl<A: AtomValue + Clone> Value for BTreeSet<A> {
    const SHAPE: Shape = Shape::Set;
    fn column_type() -> ColumnType {
        ColumnType::set(base::<A>())
    }
    fn from_datum(datum: &Datum) -> Option<Self> {
        atoms(datum)?.map(A::from_atom).collect()
    }
    fn to_datum(&self) -> Datum {
        Datum::Set(self.iter().map(AtomValue::to_atom).collect())
    }
}

impl<K: AtomValue + Clone, V: AtomValue + Clone> Value for BTreeMap<K, V> {
    const SHAPE: Shape = Shape::Map;
    fn column_type() -> ColumnType {
        ColumnType::map(base::<K>(), base::<V>())
    }
    fn from_datum(datum: &Datum) -> Option<Self> {
        match datum {
            Datum::Map(pairs) => pairs
                .iter()
                .map(|(key, value)| Some((K::from_atom(key)?, V::from_atom(value)?)))
                .collect(),
            // An empty set and an empty map are written alike in some messages.
            Datum::Set(atoms) if atoms.is_empty() => Some(Self::new()),
            Datum::Set(_) => None,
        }
    }
    fn to_datum(&self) -> Datum {
        Datum::Map(
            self.iter()
                .map(|(key, value)| (key.to_atom(), value.to_atom()))
                .collect(),
        )
    }
}

fn atoms(datum: &Datum) -> Option<impl Iterator<Item = &Atom>> {
    match datum {
        Datum::Set(atoms) => Some(atoms.iter()),
        Datum::Map(_) => None,
    }
}

fn base<A: AtomValue>() -> BaseType {
    BaseType::new(A::TYPE)
}

/// Reads one column of a row; one that is absent has its type's default.
pub(crate) fn read<V: Value + Default>(
    table: &'static str,
    row_uuid: Uuid,
    column: &'static str,
    row: &Row,
) -> Result<V, ColumnError> {
    let Some(datum) = row.get(column) else {
        return Ok(V::default());
    };
    V::from_datum(datum).ok_or_else(|| ColumnError {
        table,
        row: row_uuid,
        column,
        found: datum.to_string(),
        expected: describe(&V::column_type()),
    })
}

/// Writes one column of a row, unless it holds its type's default: rows leave these out.
pub(crate) fn write<V: Value>(row: &mut Row, column: &'static str, value: &V) {
    let datum = value.to_datum();
    if !V::column_type().is_default(&datum) {
        row.set(column, datum);
    }
}

/// The schema of a column of this type, before any [`rule`].
pub(crate) fn schema<V: Value>() -> ColumnSchema {
    ColumnSchema::new(V::column_type())
}

fn describe(kind: &ColumnType) -> String {
    let key = kind.key.atom;
    match (&kind.value, kind.min, kind.max) {
        (Some(value), ..) => format!("a map of {key} to {}", value.atom),
        (None, 1, Some(1)) => format!("one {key}"),
        (None, 0, Some(1)) => format!("at most one {key}"),
        _ => format!("a set of {key}"),
    }
}

/// Rules: what the Rust type of a column cannot say.
pub mod rule {
    use std::sync::Arc;

    use weft_ovsdb::{BaseType, ColumnSchema, RefType};

    /// Changes one rule of a column's schema.
    pub type Rule = Box<dyn Fn(&mut ColumnSchema)>;

    /// Names rows of `table`, which live as long as they are named.
    #[must_use]
    pub fn strong(table: &'static str) -> Rule {
        Box::new(move |column| refer(&mut column.kind.key, table, RefType::Strong))
    }

    /// Names rows of `table`; a name goes when its row goes.
    #[must_use]
    pub fn weak(table: &'static str) -> Rule {
        Box::new(move |column| refer(&mut column.kind.key, table, RefType::Weak))
    }

    /// As [`strong`], for the values of a map.
    #[must_use]
    pub fn value_strong(table: &'static str) -> Rule {
        Box::new(move |column| {
            if let Some(value) = &mut column.kind.value {
                refer(value, table, RefType::Strong);
            }
        })
    }

    /// Strings, or keys of a map, out of these.
    #[must_use]
    pub fn one_of(strings: &'static [&'static str]) -> Rule {
        Box::new(move |column| {
            column.kind.key.allowed = Some(strings.iter().copied().collect());
        })
    }

    /// Integers, or keys of a map, from `min` to `max`.
    #[must_use]
    pub fn range(min: i64, max: i64) -> Rule {
        Box::new(move |column| limit(&mut column.kind.key, min, Some(max)))
    }

    /// Integers from `min`.
    #[must_use]
    pub fn at_least(min: i64) -> Rule {
        Box::new(move |column| limit(&mut column.kind.key, min, None))
    }

    /// Values of a map from `min` to `max`.
    #[must_use]
    pub fn value_range(min: i64, max: i64) -> Rule {
        Box::new(move |column| {
            if let Some(value) = &mut column.kind.value {
                limit(value, min, Some(max));
            }
        })
    }

    /// Strings of at most this many characters.
    #[must_use]
    pub fn max_length(characters: u64) -> Rule {
        Box::new(move |column| column.kind.key.length_range.1 = Some(characters))
    }

    /// A set of at least one.
    #[must_use]
    pub fn non_empty() -> Rule {
        Box::new(|column| column.kind.min = 1)
    }

    /// Not written to disk.
    #[must_use]
    pub fn ephemeral() -> Rule {
        Box::new(|column| column.ephemeral = true)
    }

    fn refer(base: &mut BaseType, table: &'static str, kind: RefType) {
        base.ref_table = Some(Arc::from(table));
        base.ref_type = kind;
    }

    fn limit(base: &mut BaseType, min: i64, max: Option<i64>) {
        base.integer_range = (Some(min), max);
    }
}
