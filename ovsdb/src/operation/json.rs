//! Operations as JSON, both ways (RFC 7047 §5.2).
//!
//! Decoding is directed by the schema and stops at the first bad operation: those before it are still carried out, so
//! that their results precede its error, as the RFC has it.
//!
//! Must not: panic on any JSON.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map as Object, Value, json};

use crate::database::Refusal;
use crate::notation::{self, Names, NotationError, clip};
use crate::operation::{Condition, Function, Mutation, Mutator, Operation, Until};
use crate::schema::{BaseType, ColumnType, DatabaseSchema, TableSchema};
use crate::value::Datum;

/// Decodes the operations of a transaction, up to the first bad one.
pub(crate) fn transaction_from_json(
    operations: &[Value],
    schema: &DatabaseSchema,
) -> (Vec<Operation>, Option<Refusal>) {
    let mut names = Names::default();
    let mut defined = HashSet::new();
    for operation in operations {
        // A name may be used before the insert that gives it, and that insert may fix its UUID.
        if let (Some(name), Some(uuid)) = (text(operation, "uuid-name"), text(operation, "uuid"))
            && let Some(uuid) = notation::uuid_from_str(uuid)
        {
            names.define(name, uuid);
        }
    }
    let mut out = Vec::with_capacity(operations.len());
    for operation in operations {
        match operation_from_json(operation, schema, &mut names, &mut defined) {
            Ok(operation) => out.push(operation),
            Err(refusal) => return (out, Some(refusal)),
        }
    }
    (out, None)
}

fn text<'a>(value: &'a Value, member: &str) -> Option<&'a str> {
    value.get(member)?.as_str()
}

fn operation_from_json(
    value: &Value,
    schema: &DatabaseSchema,
    names: &mut Names,
    defined: &mut HashSet<String>,
) -> Result<Operation, Refusal> {
    let object = value
        .as_object()
        .ok_or_else(|| syntax(format!("{} is no operation object", clip(value))))?;
    let name = string(object, "op")?;
    let mut members: &[&str] = &["op", "table", "where"];
    let operation = match name {
        "insert" => {
            members = &["op", "table", "row", "uuid", "uuid-name"];
            let (table, table_schema) = table(object, schema)?;
            let mut uuid = optional_string(object, "uuid")?
                .map(|uuid| {
                    notation::uuid_from_str(uuid)
                        .ok_or_else(|| syntax(format!("{uuid:?} is no UUID")))
                })
                .transpose()?;
            if let Some(name) = optional_string(object, "uuid-name")? {
                if !notation::is_identifier(name) {
                    return Err(syntax(format!("uuid-name {name:?} is no identifier")));
                }
                if !defined.insert(name.to_owned()) {
                    return Err(Refusal::new(
                        "duplicate uuid-name",
                        "This \"uuid-name\" appeared on an earlier \"insert\" operation."
                            .to_owned(),
                    ));
                }
                uuid = Some(uuid.unwrap_or_else(|| names.resolve(name)));
            }
            let row = member(object, "row")?;
            let row = row_from_json(row, table_schema, names)?;
            Operation::Insert { table, uuid, row }
        }
        "select" => {
            members = &["op", "table", "where", "columns", "sort"];
            let (table, table_schema) = table(object, schema)?;
            let conditions = conditions(object, table_schema, names)?;
            Operation::Select {
                table,
                conditions,
                columns: columns(object, table_schema)?,
            }
        }
        "update" => {
            members = &["op", "table", "where", "row"];
            let (table, table_schema) = table(object, schema)?;
            let row = row_from_json(member(object, "row")?, table_schema, names)?;
            Operation::Update {
                table,
                conditions: conditions(object, table_schema, names)?,
                row,
            }
        }
        "mutate" => {
            members = &["op", "table", "where", "mutations"];
            let (table, table_schema) = table(object, schema)?;
            let mutations = array(object, "mutations")?;
            let mutations = mutations
                .iter()
                .map(|m| mutation(m, table_schema, names))
                .collect::<Result<_, _>>()?;
            Operation::Mutate {
                table,
                conditions: conditions(object, table_schema, names)?,
                mutations,
            }
        }
        "delete" => {
            let (table, table_schema) = table(object, schema)?;
            Operation::Delete {
                table,
                conditions: conditions(object, table_schema, names)?,
            }
        }
        "wait" => {
            members = &[
                "op", "table", "where", "columns", "until", "rows", "timeout",
            ];
            let (table, table_schema) = table(object, schema)?;
            let timeout_ms = match object.get("timeout") {
                None => None,
                Some(timeout) => Some(timeout.as_u64().ok_or_else(|| {
                    syntax(format!(
                        "timeout {} is no non-negative integer",
                        clip(timeout)
                    ))
                })?),
            };
            let until = match string(object, "until")? {
                "==" => Until::Equal,
                "!=" => Until::NotEqual,
                other => {
                    return Err(syntax(format!(
                        "\"until\" is {other:?}; it must be \"==\" or \"!=\""
                    )));
                }
            };
            let columns = columns(object, table_schema)?;
            let conditions = conditions(object, table_schema, names)?;
            let rows = array(object, "rows")?;
            let rows = rows
                .iter()
                .map(|row| row_from_json(row, table_schema, names))
                .collect::<Result<_, _>>()?;
            Operation::Wait {
                table,
                conditions,
                columns,
                until,
                rows,
                timeout_ms,
            }
        }
        "commit" => {
            members = &["op", "durable"];
            let durable = member(object, "durable")?.as_bool();
            Operation::Commit {
                durable: durable.ok_or_else(|| syntax("durable is no boolean".to_owned()))?,
            }
        }
        "abort" => {
            members = &["op"];
            Operation::Abort
        }
        "comment" => {
            members = &["op", "comment"];
            Operation::Comment(string(object, "comment")?.to_owned())
        }
        "assert" => {
            members = &["op", "lock"];
            Operation::Assert {
                lock: string(object, "lock")?.to_owned(),
            }
        }
        other => return Err(syntax(format!("No operation {other:?}."))),
    };
    match object.keys().find(|key| !members.contains(&key.as_str())) {
        Some(key) => Err(syntax(format!(
            "{name} operation has an unknown member {key:?}"
        ))),
        None => Ok(operation),
    }
}

impl Operation {
    /// Prints the operation.
    pub fn to_json(&self) -> Value {
        let mut object = Object::new();
        let mut put = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
        put("op", json!(self.name()));
        if let Some(table) = self.table() {
            put("table", json!(**table));
        }
        if let Operation::Select { conditions, .. }
        | Operation::Update { conditions, .. }
        | Operation::Mutate { conditions, .. }
        | Operation::Delete { conditions, .. }
        | Operation::Wait { conditions, .. } = self
        {
            put("where", conditions.iter().map(Condition::to_json).collect());
        }
        if let Operation::Select {
            columns: Some(columns),
            ..
        }
        | Operation::Wait {
            columns: Some(columns),
            ..
        } = self
        {
            put(
                "columns",
                columns.iter().map(|column| json!(**column)).collect(),
            );
        }
        match self {
            Operation::Insert { uuid, row, .. } => {
                if let Some(uuid) = uuid {
                    put("uuid", json!(uuid));
                }
                put("row", json!(row));
            }
            Operation::Update { row, .. } => put("row", json!(row)),
            Operation::Mutate { mutations, .. } => put(
                "mutations",
                mutations.iter().map(Mutation::to_json).collect(),
            ),
            Operation::Wait {
                until,
                rows,
                timeout_ms,
                ..
            } => {
                put(
                    "until",
                    json!(if *until == Until::Equal { "==" } else { "!=" }),
                );
                put("rows", json!(rows));
                if let Some(timeout_ms) = timeout_ms {
                    put("timeout", json!(timeout_ms));
                }
            }
            Operation::Commit { durable } => put("durable", json!(durable)),
            Operation::Comment(comment) => put("comment", json!(comment)),
            Operation::Assert { lock } => put("lock", json!(lock)),
            Operation::Select { .. } | Operation::Delete { .. } | Operation::Abort => {}
        }
        object.into()
    }
}

impl Condition {
    /// Prints the condition.
    pub fn to_json(&self) -> Value {
        match self.function {
            Function::True => json!(true),
            Function::False => json!(false),
            _ => json!([*self.column, self.function.name(), self.value]),
        }
    }

    /// Decodes a condition on a table's rows.
    pub(crate) fn from_json(
        value: &Value,
        schema: &TableSchema,
        names: Option<&mut Names>,
    ) -> Result<Condition, Refusal> {
        if let Some(always) = value.as_bool() {
            let function = if always {
                Function::True
            } else {
                Function::False
            };
            return Ok(Condition::new("", function, Datum::empty()));
        }
        let Some([Value::String(column), Value::String(function), value]) =
            value.as_array().map(Vec::as_slice)
        else {
            return Err(syntax(format!(
                "{} is no condition: [column, function, value] or a boolean",
                clip(value)
            )));
        };
        let (column, kind) = column_type(column, schema)?;
        let function = Function::from_name(function).ok_or_else(|| {
            Refusal::new("unknown function", format!("No function named {function}."))
        })?;
        let value = notation::datum_from_json(value, &kind, names).map_err(in_column(&column))?;
        Ok(Condition {
            column,
            function,
            value,
        })
    }
}

impl Mutation {
    /// Prints the mutation.
    pub fn to_json(&self) -> Value {
        json!([*self.column, self.mutator.name(), self.value])
    }
}

fn mutation(value: &Value, schema: &TableSchema, names: &mut Names) -> Result<Mutation, Refusal> {
    let Some([Value::String(column), Value::String(mutator), value]) =
        value.as_array().map(Vec::as_slice)
    else {
        return Err(syntax(format!(
            "{} is no mutation: [column, mutator, value]",
            clip(value)
        )));
    };
    if column == "_uuid" || column == "_version" {
        return Err(Refusal::constraint(format!(
            "Cannot mutate immutable column {column}."
        )));
    }
    let Some((column, column_schema)) = schema.columns.get_key_value(column.as_str()) else {
        return Err(unknown_column(column));
    };
    let mutator = Mutator::from_name(mutator)
        .ok_or_else(|| Refusal::new("unknown mutator", format!("No mutator named {mutator}.")))?;
    let kind = &column_schema.kind;
    let decoded = match notation::datum_from_json(value, kind, Some(names)) {
        // Deleting from a map takes pairs or keys.
        Err(_) if mutator == Mutator::Delete && kind.is_map() => {
            notation::datum_from_json(value, &ColumnType::set(kind.key.clone()), Some(names))
        }
        other => other,
    };
    Ok(Mutation {
        column: column.clone(),
        mutator,
        value: decoded.map_err(in_column(column))?,
    })
}

fn conditions(
    object: &Object<String, Value>,
    schema: &TableSchema,
    names: &mut Names,
) -> Result<Vec<Condition>, Refusal> {
    array(object, "where")?
        .iter()
        .map(|c| Condition::from_json(c, schema, Some(names)))
        .collect()
}

/// The names in `columns`, if it is there.
fn columns(
    object: &Object<String, Value>,
    schema: &TableSchema,
) -> Result<Option<Vec<Arc<str>>>, Refusal> {
    if !object.contains_key("columns") {
        return Ok(None);
    }
    columns_from_json(array(object, "columns")?, schema).map(Some)
}

/// Decodes a list of column names.
pub(crate) fn columns_from_json(
    names: &[Value],
    schema: &TableSchema,
) -> Result<Vec<Arc<str>>, Refusal> {
    let mut columns: Vec<Arc<str>> = Vec::with_capacity(names.len());
    for name in names {
        let name = name
            .as_str()
            .ok_or_else(|| syntax(format!("{} is no column name", clip(name))))?;
        let (column, _) = column_type(name, schema)
            .map_err(|_| syntax(format!("{name:?} is no column of this table")))?;
        if columns.contains(&column) {
            return Err(syntax(format!("column {column} is named twice")));
        }
        columns.push(column);
    }
    Ok(columns)
}

fn column_type(name: &str, schema: &TableSchema) -> Result<(Arc<str>, ColumnType), Refusal> {
    if name == "_uuid" || name == "_version" {
        return Ok((
            Arc::from(name),
            ColumnType::scalar(BaseType::new(crate::value::AtomType::Uuid)),
        ));
    }
    match schema.columns.get_key_value(name) {
        Some((column, column_schema)) => Ok((column.clone(), column_schema.kind.clone())),
        None => Err(unknown_column(name)),
    }
}

fn table<'a>(
    object: &Object<String, Value>,
    schema: &'a DatabaseSchema,
) -> Result<(Arc<str>, &'a TableSchema), Refusal> {
    let name = string(object, "table")?;
    let found = schema
        .tables
        .get_key_value(name)
        .map(|(name, table)| (name.clone(), table));
    found.ok_or_else(|| syntax(format!("No table named {name}.")))
}

fn row_from_json(
    value: &Value,
    schema: &TableSchema,
    names: &mut Names,
) -> Result<crate::row::Row, Refusal> {
    if let Some(unknown) = value.as_object().and_then(|row| {
        row.keys().find(|key| {
            !schema.columns.contains_key(key.as_str()) && *key != "_uuid" && *key != "_version"
        })
    }) {
        return Err(unknown_column(unknown));
    }
    let row = notation::row_from_json(value, schema, Some(names))
        .map_err(|error| syntax(error.to_string()))?;
    // Too few or too many elements are no value of the column at all, whatever they are.
    for (column, datum) in &row {
        let kind = schema.column(column).map(|schema| &schema.kind);
        if let Some(misfit) = kind.and_then(|kind| kind.check_len(datum).err()) {
            return Err(syntax(format!("column {column}: {misfit}")));
        }
    }
    Ok(row)
}

fn member<'a>(object: &'a Object<String, Value>, name: &str) -> Result<&'a Value, Refusal> {
    object
        .get(name)
        .ok_or_else(|| syntax(format!("Required \"{name}\" member is missing.")))
}

fn string<'a>(object: &'a Object<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    member(object, name)?
        .as_str()
        .ok_or_else(|| syntax(format!("\"{name}\" is no string")))
}

fn optional_string<'a>(
    object: &'a Object<String, Value>,
    name: &str,
) -> Result<Option<&'a str>, Refusal> {
    if object.contains_key(name) {
        string(object, name).map(Some)
    } else {
        Ok(None)
    }
}

fn array<'a>(object: &'a Object<String, Value>, name: &str) -> Result<&'a [Value], Refusal> {
    let array = member(object, name)?.as_array();
    Ok(array.ok_or_else(|| syntax(format!("\"{name}\" is no array")))?)
}

fn in_column(column: &str) -> impl FnOnce(NotationError) -> Refusal {
    move |error| syntax(format!("column {column}: {error}"))
}

fn unknown_column(column: &str) -> Refusal {
    Refusal::new(
        "unknown column",
        format!("No column {column:?} in this table."),
    )
}

fn syntax(details: String) -> Refusal {
    Refusal::syntax(details)
}
