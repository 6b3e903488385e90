//! Values as JSON, both ways (RFC 7047 §5.1).
//!
//! Decoding is directed by a column's type, since `1` may be an integer or a real. Encoding needs no type: a set of
//! one prints as its atom, any other set as `["set", […]]`, a map as `["map", [[k, v], …]]`.
//!
//! Must not: panic on any JSON.

use std::collections::HashMap;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, SerializeTuple, Serializer};
use serde_json::Value;
use uuid::Uuid;

use crate::row::Row;
use crate::schema::{BaseType, ColumnType, TableSchema};
use crate::value::{Atom, AtomType, Datum, Map, Real, Set};

/// Why a JSON value is not the OVSDB value expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotationError(pub(crate) String);

/// The `uuid-name`s of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<String, Uuid>);

impl Names {
    /// The UUID behind a name, chosen at its first use.
    pub(crate) fn resolve(&mut self, name: &str) -> Uuid {
        *self.0.entry(name.to_owned()).or_insert_with(Uuid::new_v4)
    }

    /// Fixes the UUID behind a name before its first use.
    pub(crate) fn define(&mut self, name: &str, uuid: Uuid) {
        self.0.insert(name.to_owned(), uuid);
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`
pub(crate) fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

pub(crate) fn datum_to_json(datum: &Datum) -> Value {
    // Serializing into a Value fails only for non-string keys, of which there are none.
    serde_json::to_value(datum).unwrap_or(Value::Null)
}

/// Decodes a value of a column. With `names`, `["named-uuid", …]` is understood.
pub(crate) fn datum_from_json(
    value: &Value,
    kind: &ColumnType,
    mut names: Option<&mut Names>,
) -> Result<Datum, NotationError> {
    if let Some(value_base) = &kind.value {
        return match tagged(value) {
            Some(("map", Value::Array(pairs))) => {
                let mut atoms = Vec::with_capacity(pairs.len());
                for pair in pairs {
                    let Some([key, value]) = pair.as_array().map(Vec::as_slice) else {
                        return refuse(format!("{} is no pair", clip(pair)));
                    };
                    let key = atom_from_json(key, &kind.key, names.as_deref_mut())?;
                    atoms.push((
                        key,
                        atom_from_json(value, value_base, names.as_deref_mut())?,
                    ));
                }
                let given = atoms.len();
                let map: Map = atoms.into_iter().collect();
                if map.len() != given {
                    return refuse("a map holds a key twice".to_owned());
                }
                Ok(Datum::Map(map))
            }
            Some(("set", Value::Array(atoms))) if atoms.is_empty() => Ok(Datum::empty_map()),
            _ => refuse(format!("{} is no map", clip(value))),
        };
    }
    if let Some(("set", elements)) = tagged(value) {
        let Value::Array(elements) = elements else {
            return refuse(format!("{} is no set", clip(value)));
        };
        let mut atoms = Vec::with_capacity(elements.len());
        for element in elements {
            atoms.push(atom_from_json(element, &kind.key, names.as_deref_mut())?);
        }
        let given = atoms.len();
        let set: Set = atoms.into_iter().collect();
        if set.len() != given {
            return refuse("a set holds an element twice".to_owned());
        }
        return Ok(Datum::Set(set));
    }
    Ok(Datum::Set(Set::one(atom_from_json(
        value, &kind.key, names,
    )?)))
}

fn atom_from_json(
    value: &Value,
    base: &BaseType,
    names: Option<&mut Names>,
) -> Result<Atom, NotationError> {
    let atom = match base.atom {
        AtomType::Integer => integer(value).map(Atom::Integer),
        AtomType::Real => value.as_f64().and_then(Real::new).map(Atom::Real),
        AtomType::Boolean => value.as_bool().map(Atom::Boolean),
        // Open vSwitch's own JSON reader refuses U+0000: storing it would break every other client.
        AtomType::String => value.as_str().filter(|s| !s.contains('\0')).map(Atom::from),
        AtomType::Uuid => match tagged(value) {
            Some(("uuid", Value::String(uuid))) => uuid_from_str(uuid).map(Atom::Uuid),
            Some(("named-uuid", Value::String(name))) if is_identifier(name) => {
                names.map(|names| Atom::Uuid(names.resolve(name)))
            }
            _ => None,
        },
    };
    atom.ok_or_else(|| NotationError(format!("{} is no {}", clip(value), base.atom)))
}

/// Integers may be written as reals without a fraction, as Open vSwitch reads them.
fn integer(value: &Value) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| {
        let real = value.as_f64()?;
        (real.fract() == 0.0 && real.abs() <= EXACT).then(|| format!("{real:.0}").parse().ok())?
    })
}

/// Only the form with hyphens, as Open vSwitch prints and reads it.
pub(crate) fn uuid_from_str(text: &str) -> Option<Uuid> {
    if text.len() != 36 {
        None
    } else {
        Uuid::try_parse(text).ok()
    }
}

/// Decodes a row of a table: an object from column to value. `_uuid` and `_version` are passed over.
pub(crate) fn row_from_json(
    value: &Value,
    schema: &TableSchema,
    mut names: Option<&mut Names>,
) -> Result<Row, NotationError> {
    let Some(object) = value.as_object() else {
        return refuse(format!("{} is no row object", clip(value)));
    };
    let mut row = Row::new();
    for (name, value) in object {
        if name == "_uuid" || name == "_version" {
            continue;
        }
        let Some((column, column_schema)) = schema.columns.get_key_value(name.as_str()) else {
            return refuse(format!("there is no column {name}"));
        };
        let datum = datum_from_json(value, &column_schema.kind, names.as_deref_mut())
            .map_err(|error| NotationError(format!("column {name}: {error}")))?;
        row.set(column.clone(), datum);
    }
    Ok(row)
}

impl Row {
    /// A row as `serde` writes it, and as monitors tell it: an object from column to value.
    ///
    /// # Errors
    /// If it is none, or names a column that the table does not have, or a value is not of its column's type.
    pub fn from_json(value: &Value, schema: &TableSchema) -> Result<Row, NotationError> {
        row_from_json(value, schema, None)
    }
}

/// A JSON value cut to a length fit for a message.
pub(crate) fn clip(value: &Value) -> String {
    const MAX: usize = 100;
    let text = value.to_string();
    match text.char_indices().nth(MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

fn refuse<T>(problem: String) -> Result<T, NotationError> {
    Err(NotationError(problem))
}

/// `["tag", value]`
fn tagged(value: &Value) -> Option<(&str, &Value)> {
    match value.as_array().map(Vec::as_slice) {
        Some([Value::String(tag), value]) => Some((tag, value)),
        _ => None,
    }
}

impl Serialize for Atom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Atom::Integer(i) => serializer.serialize_i64(*i),
            Atom::Real(r) => serializer.serialize_f64(r.get()),
            Atom::Boolean(b) => serializer.serialize_bool(*b),
            Atom::String(s) => serializer.serialize_str(s),
            Atom::Uuid(uuid) => pair(serializer, "uuid", uuid),
        }
    }
}

impl Serialize for Datum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Datum::Set(set) => match set.as_slice() {
                [atom] => atom.serialize(serializer),
                atoms => pair(serializer, "set", &Elements(atoms)),
            },
            Datum::Map(map) => pair(serializer, "map", map.as_slice()),
        }
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.len()))?;
        for (column, datum) in self {
            object.serialize_entry(&**column, datum)?;
        }
        object.end()
    }
}

struct Elements<'a>(&'a [Atom]);

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_seq(Some(self.0.len()))?;
        for atom in self.0 {
            array.serialize_element(atom)?;
        }
        array.end()
    }
}

fn pair<S: Serializer, T: Serialize + ?Sized>(
    serializer: S,
    tag: &str,
    value: &T,
) -> Result<S::Ok, S::Error> {
    let mut tuple = serializer.serialize_tuple(2)?;
    tuple.serialize_element(tag)?;
    tuple.serialize_element(value)?;
    tuple.end()
}

#[cfg(test)]
mod tests;
