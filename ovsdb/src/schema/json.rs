//! Schemas as JSON, both ways (RFC 7047 §3.2).
//!
//! Unknown members are refused: a constraint nobody enforces is worse than an error. Printing leaves out what has its
//! default, as Open vSwitch does.
//!
//! Must not: do IO.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map as Object, Value, json};

use crate::notation;
use crate::schema::{BaseType, ColumnSchema, ColumnType, DatabaseSchema, RefType, TableSchema};
use crate::value::{AtomType, Datum, Real, Set};

/// Why a text is no schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("schema: {at}: {problem}")]
pub struct SchemaError {
    /// The place: `table T column C` and so on.
    pub at: String,
    /// What is wrong there.
    pub problem: String,
}

type Result<T> = std::result::Result<T, SchemaError>;

impl DatabaseSchema {
    /// Reads a schema from its text.
    ///
    /// # Errors
    /// When the text is no JSON, or no valid schema.
    pub fn parse(text: &str) -> Result<DatabaseSchema> {
        let value = serde_json::from_str(text)
            .map_err(|error| refuse("text", format!("not JSON: {error}")))?;
        DatabaseSchema::from_json(&value)
    }

    /// Reads a schema.
    ///
    /// # Errors
    /// When the value is no valid schema: unknown or missing members, bad types, a `refTable` or an index that names
    /// what is not there.
    pub fn from_json(value: &Value) -> Result<DatabaseSchema> {
        let object = object(value, "database")?;
        known(object, &["name", "version", "cksum", "tables"], "database")?;
        let mut tables = BTreeMap::new();
        let all = object
            .get("tables")
            .ok_or_else(|| refuse("database", "no \"tables\""))?;
        for (name, table) in self::object(all, "tables")? {
            let at = format!("table {name}");
            identifier(name, &at)?;
            tables.insert(Arc::from(name.as_str()), table_from_json(table, &at)?);
        }
        if !tables.values().any(|table: &TableSchema| table.is_root) {
            tables.values_mut().for_each(|table| table.is_root = true);
        }
        let schema = DatabaseSchema {
            name: string(object, "name", "database")?
                .ok_or_else(|| refuse("database", "no \"name\""))?,
            version: string(object, "version", "database")?.unwrap_or_else(|| "0.0.0".to_owned()),
            cksum: string(object, "cksum", "database")?,
            tables,
        };
        identifier(&schema.name, "database")?;
        schema.check_references()?;
        Ok(schema)
    }

    /// Prints the schema.
    pub fn to_json(&self) -> Value {
        let all_root = self.tables.values().all(|table| table.is_root);
        let tables: Object<String, Value> = self
            .tables
            .iter()
            .map(|(name, table)| (name.to_string(), table_to_json(table, all_root)))
            .collect();
        let mut object = json!({"name": self.name, "version": self.version, "tables": tables});
        if let (Some(cksum), Some(object)) = (&self.cksum, object.as_object_mut()) {
            object.insert("cksum".to_owned(), json!(cksum));
        }
        object
    }

    fn check_references(&self) -> Result<()> {
        for (table, schema) in &self.tables {
            for (column, column_schema) in &schema.columns {
                let kind = &column_schema.kind;
                for target in [Some(&kind.key), kind.value.as_ref()].into_iter().flatten() {
                    if let Some(target) = &target.ref_table
                        && !self.tables.contains_key(target)
                    {
                        return Err(refuse(
                            format!("table {table} column {column}"),
                            format!("refTable {target} is no table of this schema"),
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

fn table_from_json(value: &Value, at: &str) -> Result<TableSchema> {
    let object = object(value, at)?;
    known(object, &["columns", "maxRows", "isRoot", "indexes"], at)?;
    let mut columns = BTreeMap::new();
    let all = object
        .get("columns")
        .ok_or_else(|| refuse(at, "no \"columns\""))?;
    for (name, column) in self::object(all, at)? {
        let at = format!("{at} column {name}");
        identifier(name, &at)?;
        if name.starts_with('_') {
            return Err(refuse(
                at,
                "names that start with an underscore are reserved",
            ));
        }
        columns.insert(Arc::from(name.as_str()), column_from_json(column, &at)?);
    }
    let max_rows = unsigned(object, "maxRows", at)?;
    if max_rows == Some(0) {
        return Err(refuse(at, "maxRows is 0; it must be at least 1"));
    }
    let mut indexes = Vec::new();
    for index in array(object, "indexes", at)? {
        let names = index
            .as_array()
            .ok_or_else(|| refuse(at, "an index is no array of column names"))?;
        let mut index = Vec::new();
        let mut seen = BTreeSet::new();
        for name in names {
            let name = name
                .as_str()
                .ok_or_else(|| refuse(at, "an index is no array of column names"))?;
            let (name, column) = columns
                .get_key_value(name)
                .map(|(name, column): (&Arc<str>, &ColumnSchema)| (name.clone(), column))
                .ok_or_else(|| {
                    refuse(at, format!("an index names {name:?}, which is no column"))
                })?;
            if column.ephemeral {
                return Err(refuse(
                    at,
                    format!("an index names {name:?}, which is ephemeral"),
                ));
            }
            if !seen.insert(name.clone()) {
                return Err(refuse(at, format!("an index names {name:?} twice")));
            }
            index.push(name);
        }
        if index.is_empty() {
            return Err(refuse(at, "an index names no column"));
        }
        indexes.push(index);
    }
    Ok(TableSchema {
        columns,
        max_rows,
        is_root: boolean(object, "isRoot", at)?.unwrap_or(false),
        indexes,
    })
}

fn table_to_json(table: &TableSchema, all_root: bool) -> Value {
    let mut object = Object::new();
    let columns: Object<String, Value> = table
        .columns
        .iter()
        .map(|(name, column)| (name.to_string(), column_to_json(column)))
        .collect();
    object.insert("columns".to_owned(), columns.into());
    if let Some(max_rows) = table.max_rows {
        object.insert("maxRows".to_owned(), json!(max_rows));
    }
    if table.is_root && !all_root {
        object.insert("isRoot".to_owned(), json!(true));
    }
    if !table.indexes.is_empty() {
        let indexes = table
            .indexes
            .iter()
            .map(|index| index.iter().map(|name| json!(**name)).collect::<Value>());
        object.insert("indexes".to_owned(), indexes.collect());
    }
    object.into()
}

fn column_from_json(value: &Value, at: &str) -> Result<ColumnSchema> {
    let object = object(value, at)?;
    known(object, &["type", "ephemeral", "mutable"], at)?;
    Ok(ColumnSchema {
        kind: type_from_json(
            object
                .get("type")
                .ok_or_else(|| refuse(at, "no \"type\""))?,
            at,
        )?,
        ephemeral: boolean(object, "ephemeral", at)?.unwrap_or(false),
        mutable: boolean(object, "mutable", at)?.unwrap_or(true),
    })
}

fn column_to_json(column: &ColumnSchema) -> Value {
    let mut object = Object::new();
    object.insert("type".to_owned(), type_to_json(&column.kind));
    if column.ephemeral {
        object.insert("ephemeral".to_owned(), json!(true));
    }
    if !column.mutable {
        object.insert("mutable".to_owned(), json!(false));
    }
    object.into()
}

fn type_from_json(value: &Value, at: &str) -> Result<ColumnType> {
    if value.is_string() {
        return Ok(ColumnType::scalar(base_from_json(value, at)?));
    }
    let object = object(value, at)?;
    known(object, &["key", "value", "min", "max"], at)?;
    let key = base_from_json(
        object.get("key").ok_or_else(|| refuse(at, "no \"key\""))?,
        at,
    )?;
    let value = object
        .get("value")
        .map(|value| base_from_json(value, at))
        .transpose()?;
    let min = match unsigned(object, "min", at)? {
        None => 1,
        Some(min @ (0 | 1)) => u32::from(min == 1),
        Some(min) => return Err(refuse(at, format!("min is {min}; it must be 0 or 1"))),
    };
    let max =
        match object.get("max") {
            None => Some(1),
            Some(Value::String(max)) if max == "unlimited" => None,
            Some(max) => {
                let max = max
                    .as_u64()
                    .and_then(|max| u32::try_from(max).ok())
                    .filter(|max| *max > 0);
                Some(max.ok_or_else(|| {
                    refuse(at, "max is neither a positive integer nor \"unlimited\"")
                })?)
            }
        };
    Ok(ColumnType {
        key,
        value,
        min,
        max,
    })
}

fn type_to_json(kind: &ColumnType) -> Value {
    let key = base_to_json(&kind.key);
    if kind.value.is_none() && kind.min == 1 && kind.max == Some(1) && key.is_string() {
        return key;
    }
    let mut object = Object::new();
    object.insert("key".to_owned(), key);
    if let Some(value) = &kind.value {
        object.insert("value".to_owned(), base_to_json(value));
    }
    if kind.min != 1 {
        object.insert("min".to_owned(), json!(kind.min));
    }
    match kind.max {
        Some(1) => {}
        Some(max) => drop(object.insert("max".to_owned(), json!(max))),
        None => drop(object.insert("max".to_owned(), json!("unlimited"))),
    }
    object.into()
}

fn base_from_json(value: &Value, at: &str) -> Result<BaseType> {
    let atom_type = |value: &Value| {
        let name = value
            .as_str()
            .ok_or_else(|| refuse(at, "a type is no string"))?;
        AtomType::from_name(name).ok_or_else(|| refuse(at, format!("{name:?} is no atomic type")))
    };
    if value.is_string() {
        return Ok(BaseType::new(atom_type(value)?));
    }
    let object = object(value, at)?;
    let mut base = BaseType::new(atom_type(
        object
            .get("type")
            .ok_or_else(|| refuse(at, "no \"type\""))?,
    )?);
    let mut members = vec!["type", "enum"];
    match base.atom {
        AtomType::Integer => {
            members.extend(["minInteger", "maxInteger"]);
            base.integer_range = (
                integer(object, "minInteger", at)?,
                integer(object, "maxInteger", at)?,
            );
            in_order(base.integer_range, "minInteger", at)?;
        }
        AtomType::Real => {
            members.extend(["minReal", "maxReal"]);
            base.real_range = (real(object, "minReal", at)?, real(object, "maxReal", at)?);
            in_order(base.real_range, "minReal", at)?;
        }
        AtomType::String => {
            members.extend(["minLength", "maxLength"]);
            base.length_range = (
                unsigned(object, "minLength", at)?,
                unsigned(object, "maxLength", at)?,
            );
            in_order(base.length_range, "minLength", at)?;
        }
        AtomType::Uuid => {
            members.extend(["refTable", "refType"]);
            base.ref_table = string(object, "refTable", at)?.map(Arc::from);
            base.ref_type = match string(object, "refType", at)?.as_deref() {
                None | Some("strong") => RefType::Strong,
                Some("weak") => RefType::Weak,
                Some(other) => {
                    return Err(refuse(
                        at,
                        format!("refType {other:?} is neither strong nor weak"),
                    ));
                }
            };
        }
        AtomType::Boolean => {}
    }
    known(object, &members, at)?;
    if let Some(allowed) = object.get("enum") {
        let kind = ColumnType::set(BaseType::new(base.atom));
        let allowed = notation::datum_from_json(allowed, &kind, None)
            .map_err(|error| refuse(at, error.to_string()))?;
        base.allowed = allowed.as_set().filter(|set| !set.is_empty()).cloned();
        if base.allowed.is_none() {
            return Err(refuse(at, "enum is empty"));
        }
    }
    Ok(base)
}

fn base_to_json(base: &BaseType) -> Value {
    let mut object = Object::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            object.insert(name.to_owned(), value);
        }
    };
    put(
        "enum",
        base.allowed
            .clone()
            .map(|allowed: Set| notation::datum_to_json(&Datum::Set(allowed))),
    );
    put("minInteger", base.integer_range.0.map(Value::from));
    put("maxInteger", base.integer_range.1.map(Value::from));
    put(
        "minReal",
        base.real_range.0.map(|real| Value::from(real.get())),
    );
    put(
        "maxReal",
        base.real_range.1.map(|real| Value::from(real.get())),
    );
    put("minLength", base.length_range.0.map(Value::from));
    put("maxLength", base.length_range.1.map(Value::from));
    put("refTable", base.ref_table.as_deref().map(Value::from));
    put(
        "refType",
        (base.ref_type == RefType::Weak).then(|| Value::from("weak")),
    );
    if object.is_empty() {
        return base.atom.name().into();
    }
    object.insert("type".to_owned(), base.atom.name().into());
    object.into()
}

fn refuse(at: impl Into<String>, problem: impl Into<String>) -> SchemaError {
    SchemaError {
        at: at.into(),
        problem: problem.into(),
    }
}

fn object<'a>(value: &'a Value, at: &str) -> Result<&'a Object<String, Value>> {
    value
        .as_object()
        .ok_or_else(|| refuse(at, "no JSON object"))
}

fn known(object: &Object<String, Value>, members: &[&str], at: &str) -> Result<()> {
    match object
        .keys()
        .find(|key| !members.contains(&key.as_str()) && !key.starts_with('_'))
    {
        Some(key) => Err(refuse(
            at,
            format!("unknown member {key:?}; known are {}", members.join(", ")),
        )),
        None => Ok(()),
    }
}

fn identifier(name: &str, at: &str) -> Result<()> {
    let good = notation::is_identifier(name);
    if good {
        Ok(())
    } else {
        Err(refuse(at, format!("{name:?} is no identifier")))
    }
}

fn string(object: &Object<String, Value>, name: &str, at: &str) -> Result<Option<String>> {
    member(object, name, at, "a string", |value| {
        value.as_str().map(str::to_owned)
    })
}

fn boolean(object: &Object<String, Value>, name: &str, at: &str) -> Result<Option<bool>> {
    member(object, name, at, "a boolean", Value::as_bool)
}

fn integer(object: &Object<String, Value>, name: &str, at: &str) -> Result<Option<i64>> {
    member(object, name, at, "an integer", Value::as_i64)
}

fn unsigned(object: &Object<String, Value>, name: &str, at: &str) -> Result<Option<u64>> {
    member(object, name, at, "a non-negative integer", Value::as_u64)
}

fn real(object: &Object<String, Value>, name: &str, at: &str) -> Result<Option<Real>> {
    member(object, name, at, "a number", |value| {
        value.as_f64().and_then(Real::new)
    })
}

fn array<'a>(object: &'a Object<String, Value>, name: &str, at: &str) -> Result<&'a [Value]> {
    Ok(member(object, name, at, "an array", Value::as_array)?.map_or(&[], Vec::as_slice))
}

fn member<'a, T>(
    object: &'a Object<String, Value>,
    name: &str,
    at: &str,
    what: &str,
    read: impl FnOnce(&'a Value) -> Option<T>,
) -> Result<Option<T>> {
    match object.get(name) {
        None => Ok(None),
        Some(value) => match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(refuse(
                at,
                format!("{name} is no{}", what.strip_prefix('a').unwrap_or(what)),
            )),
        },
    }
}

fn in_order<T: PartialOrd>((min, max): (Option<T>, Option<T>), name: &str, at: &str) -> Result<()> {
    match (min, max) {
        (Some(min), Some(max)) if min > max => {
            Err(refuse(at, format!("{name} is above its maximum")))
        }
        _ => Ok(()),
    }
}
