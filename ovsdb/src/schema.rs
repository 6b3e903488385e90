//! Database schemas (RFC 7047 §3.2): tables, columns, types and their constraints.
//!
//! A schema is read from and printed as JSON (`schema/json.rs`) or built in Rust. It checks values
//! ([`ColumnType::check`]) and knows defaults; it holds no rows.
//!
//! Must not: do IO.

mod json;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::value::{Atom, AtomType, Datum, Real, Set};

pub use json::SchemaError;

/// The schema of a database.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseSchema {
    /// The database's name.
    pub name: String,
    /// `x.y.z`; informational.
    pub version: String,
    /// Checksum of the schema file; informational.
    pub cksum: Option<String>,
    /// The tables by name.
    pub tables: BTreeMap<Arc<str>, TableSchema>,
}

/// The schema of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableSchema {
    /// The columns by name, without `_uuid` and `_version`.
    pub columns: BTreeMap<Arc<str>, ColumnSchema>,
    /// The most rows the table may hold after a commit; `None`: no limit.
    pub max_rows: Option<u64>,
    /// True if rows live without being referenced. (If no table of a schema says so, all tables are root.)
    pub is_root: bool,
    /// Sets of columns whose values together must be unique.
    pub indexes: Vec<Vec<Arc<str>>>,
}

/// The schema of a column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSchema {
    /// What it holds.
    pub kind: ColumnType,
    /// True if its value need not survive a restart.
    pub ephemeral: bool,
    /// False if its value is fixed once the row is inserted.
    pub mutable: bool,
}

/// What a column holds: `min` to `max` atoms, or pairs if there is a `value` (RFC 7047 §3.2, `<type>`).
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnType {
    /// The elements of a set, the keys of a map.
    pub key: BaseType,
    /// The values of a map; `None`: a set.
    pub value: Option<BaseType>,
    /// 0 or 1.
    pub min: u32,
    /// At least 1; `None`: no limit.
    pub max: Option<u32>,
}

/// A kind of atom and what limits it (RFC 7047 §3.2, `<base-type>`).
#[derive(Clone, Debug, PartialEq)]
pub struct BaseType {
    /// The kind.
    pub atom: AtomType,
    /// `enum`: the only values allowed.
    pub allowed: Option<Set>,
    /// `minInteger`, `maxInteger`, inclusive.
    pub integer_range: (Option<i64>, Option<i64>),
    /// `minReal`, `maxReal`, inclusive.
    pub real_range: (Option<Real>, Option<Real>),
    /// `minLength`, `maxLength` in characters, inclusive.
    pub length_range: (Option<u64>, Option<u64>),
    /// `refTable`: the table whose rows a UUID names.
    pub ref_table: Option<Arc<str>>,
    /// `refType`.
    pub ref_type: RefType,
}

/// What a reference does to the row it names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefType {
    /// Keeps it: a commit that would leave the reference dangling fails.
    #[default]
    Strong,
    /// Does not: when the row goes, the reference is taken out.
    Weak,
}

/// Why a value does not fit a column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misfit(pub(crate) String);

impl DatabaseSchema {
    /// The schema of a table.
    pub fn table(&self, name: &str) -> Option<&TableSchema> {
        self.tables.get(name)
    }
}

impl TableSchema {
    /// The schema of a column.
    pub fn column(&self, name: &str) -> Option<&ColumnSchema> {
        self.columns.get(name)
    }
}

impl ColumnSchema {
    /// A mutable, persistent column of this type.
    pub fn new(kind: ColumnType) -> ColumnSchema {
        ColumnSchema {
            kind,
            ephemeral: false,
            mutable: true,
        }
    }
}

impl ColumnType {
    /// Exactly one.
    pub fn scalar(key: BaseType) -> ColumnType {
        ColumnType {
            key,
            value: None,
            min: 1,
            max: Some(1),
        }
    }

    /// None or one.
    pub fn optional(key: BaseType) -> ColumnType {
        ColumnType {
            key,
            value: None,
            min: 0,
            max: Some(1),
        }
    }

    /// Any number.
    pub fn set(key: BaseType) -> ColumnType {
        ColumnType {
            key,
            value: None,
            min: 0,
            max: None,
        }
    }

    /// Any number of pairs.
    pub fn map(key: BaseType, value: BaseType) -> ColumnType {
        ColumnType {
            key,
            value: Some(value),
            min: 0,
            max: None,
        }
    }

    /// True if the column holds pairs.
    pub fn is_map(&self) -> bool {
        self.value.is_some()
    }

    /// True if an update2, and a log record, carries the difference of this column rather than its new value: all that
    /// may hold more than one element, maps or sets (`ovsdb_type_is_composite` in Open vSwitch's lib/ovsdb-types.h).
    pub(crate) fn is_composite(&self) -> bool {
        self.max != Some(1)
    }

    /// True if the column always holds exactly one atom.
    pub(crate) fn is_scalar(&self) -> bool {
        self.value.is_none() && self.min == 1 && self.max == Some(1)
    }

    /// What a new row holds in this column unless told otherwise.
    pub fn default_datum(&self) -> Datum {
        match &self.value {
            None if self.min == 0 => Datum::empty(),
            None => Datum::scalar(self.key.atom.default_atom()),
            Some(_) if self.min == 0 => Datum::empty_map(),
            Some(value) => [(self.key.atom.default_atom(), value.atom.default_atom())]
                .into_iter()
                .collect(),
        }
    }

    /// True if the value is what a new row holds anyway.
    pub fn is_default(&self, datum: &Datum) -> bool {
        if self.min == 0 {
            return datum.is_empty();
        }
        // The nil UUID names no row: it must be seen when references are checked. And to whoever reads a row, a set that
        // is not there is an empty one.
        !self.is_mandatory_reference() && self.is_scalar() && *datum == self.default_datum()
    }

    /// True if the column must reference a row, so that its default is never right.
    pub(crate) fn is_mandatory_reference(&self) -> bool {
        let bases = [Some(&self.key), self.value.as_ref()];
        self.min > 0
            && bases
                .into_iter()
                .flatten()
                .any(|base| base.ref_table.is_some())
    }

    /// Checks number, kinds and constraints.
    ///
    /// # Errors
    /// A sentence about the first thing that does not fit.
    pub fn check(&self, datum: &Datum) -> Result<(), Misfit> {
        self.check_kinds(datum)?;
        self.check_len(datum)?;
        match datum {
            Datum::Set(set) => set.iter().try_for_each(|atom| self.key.check(atom)),
            Datum::Map(map) => map.iter().try_for_each(|(key, value)| {
                self.key.check(key)?;
                self.value.as_ref().map_or(Ok(()), |base| base.check(value))
            }),
        }
    }

    /// Checks the number of elements, and nothing else.
    pub(crate) fn check_len(&self, datum: &Datum) -> Result<(), Misfit> {
        let len = datum.len();
        let max = self
            .max
            .map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        if len < usize::try_from(self.min).unwrap_or(usize::MAX) || len > max {
            let max = self
                .max
                .map_or_else(|| "unlimited".to_owned(), |max| max.to_string());
            return Err(Misfit(format!(
                "{len} elements where {} to {max} are allowed",
                self.min
            )));
        }
        Ok(())
    }

    /// Checks that the value is a set or a map of the right kinds of atom, and nothing else.
    ///
    /// # Errors
    /// A sentence about the first thing that does not fit.
    pub fn check_kinds(&self, datum: &Datum) -> Result<(), Misfit> {
        let check = |atom: &Atom, base: &BaseType| {
            if atom.atom_type() == base.atom {
                Ok(())
            } else {
                Err(Misfit(format!(
                    "{atom} is of type {} where {} is expected",
                    atom.atom_type(),
                    base.atom
                )))
            }
        };
        match (datum, &self.value) {
            (Datum::Set(set), None) => set.iter().try_for_each(|atom| check(atom, &self.key)),
            (Datum::Map(map), Some(value)) => map
                .iter()
                .try_for_each(|(k, v)| check(k, &self.key).and_then(|()| check(v, value))),
            // An empty set says the same as an empty map; Row normalization turns one into the other.
            (Datum::Set(set), Some(_)) if set.is_empty() => Ok(()),
            (Datum::Set(_), Some(_)) => Err(Misfit("a set where a map is expected".to_owned())),
            (Datum::Map(_), None) => Err(Misfit("a map where a set is expected".to_owned())),
        }
    }
}

impl BaseType {
    /// Any atom of this kind.
    pub fn new(atom: AtomType) -> BaseType {
        BaseType {
            atom,
            allowed: None,
            integer_range: (None, None),
            real_range: (None, None),
            length_range: (None, None),
            ref_table: None,
            ref_type: RefType::Strong,
        }
    }

    /// Any string.
    pub fn string() -> BaseType {
        BaseType::new(AtomType::String)
    }

    /// Any integer.
    pub fn integer() -> BaseType {
        BaseType::new(AtomType::Integer)
    }

    /// Any boolean.
    pub fn boolean() -> BaseType {
        BaseType::new(AtomType::Boolean)
    }

    /// Any real.
    pub fn real() -> BaseType {
        BaseType::new(AtomType::Real)
    }

    /// Any UUID.
    pub fn uuid() -> BaseType {
        BaseType::new(AtomType::Uuid)
    }

    /// An integer from `min` to `max`, inclusive.
    pub fn integer_range(min: i64, max: i64) -> BaseType {
        BaseType {
            integer_range: (Some(min), Some(max)),
            ..BaseType::integer()
        }
    }

    /// One of these strings.
    pub fn one_of<'a>(strings: impl IntoIterator<Item = &'a str>) -> BaseType {
        BaseType {
            allowed: Some(strings.into_iter().collect()),
            ..BaseType::string()
        }
    }

    /// A reference to a row of a table.
    pub fn reference(table: impl Into<Arc<str>>, ref_type: RefType) -> BaseType {
        BaseType {
            ref_table: Some(table.into()),
            ref_type,
            ..BaseType::uuid()
        }
    }

    /// Checks an atom's constraints; its kind is taken for granted.
    fn check(&self, atom: &Atom) -> Result<(), Misfit> {
        if let Some(allowed) = &self.allowed
            && !allowed.contains(atom)
        {
            return Err(Misfit(format!(
                "{atom} is not one of the allowed values {allowed:?}"
            )));
        }
        let out_of_range = match atom {
            Atom::Integer(i) => outside(i, &self.integer_range),
            Atom::Real(r) => outside(r, &self.real_range),
            Atom::String(s) if self.length_range != (None, None) => {
                let length = u64::try_from(s.chars().count()).unwrap_or(u64::MAX);
                outside(&length, &self.length_range).map(|range| format!("of length {range}"))
            }
            _ => None,
        };
        out_of_range.map_or(Ok(()), |range| {
            Err(Misfit(format!("{atom} is not {range}")))
        })
    }
}

/// The range in words, if the number is outside of it.
fn outside<T: Ord + std::fmt::Debug>(
    number: &T,
    (min, max): &(Option<T>, Option<T>),
) -> Option<String> {
    let below = min.as_ref().is_some_and(|min| number < min);
    let above = max.as_ref().is_some_and(|max| number > max);
    (below || above).then(|| match (min, max) {
        (Some(min), Some(max)) => format!("in the range {min:?} to {max:?}"),
        (Some(min), None) => format!("at least {min:?}"),
        (None, Some(max)) => format!("at most {max:?}"),
        (None, None) => "allowed".to_owned(),
    })
}

#[cfg(test)]
mod tests;
