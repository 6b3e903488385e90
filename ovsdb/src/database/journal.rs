//! A database as the records of a log, both ways (ovsdb(5), Standalone Format).
//!
//! ```text
//! delta ──▶ one record: of new rows what is not default, of changed rows what changed, null for rows that went
//! database ──▶ one record: all rows             record ──▶ replayed as a transaction, all checks included
//! ```
//!
//! Since Open vSwitch 2.15 a record that says `_is_diff` holds the difference of columns that may have several
//! elements. The reader there takes a difference for the value if the column holds its default, so for such a column
//! the value is what is written. Ephemeral columns are in no record.
//!
//! Must not: do IO; read the clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use uuid::Uuid;

use crate::database::transaction::Transaction;
use crate::database::{Database, Delta, StoredRow, Table};
use crate::notation;
use crate::row::Row;
use crate::schema::{ColumnSchema, DatabaseSchema, TableSchema};
use crate::value::Datum;

/// Why a record is no transaction of this database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ReplayError(String);

/// All rows of a database, shared with it, so that they can be written while it goes on.
#[derive(Debug)]
pub(crate) struct Snapshot {
    schema: Arc<DatabaseSchema>,
    tables: Vec<(Arc<str>, Rows)>,
}

type Rows = Vec<(Uuid, Arc<Row>)>;

/// A database that took on another schema.
#[derive(Debug)]
pub(crate) struct Converted {
    pub(crate) database: Database,
    /// Tables and columns that held something for which the new schema has no place.
    pub(crate) dropped: Vec<String>,
}

impl Database {
    /// The content of a record that says what a transaction did; `None` if that need not survive a restart.
    ///
    /// Only tables' schemas are read: an empty database of the same schema serves.
    pub(crate) fn journal(&self, delta: &Delta, date_ms: i64) -> Option<Vec<u8>> {
        let mut tables: BTreeMap<&str, Changes<'_>> = BTreeMap::new();
        for change in &delta.rows {
            let table = self.table(change.table);
            let row = match (&change.old, &change.new) {
                (_, None) => RowRecord::Gone,
                (None, Some(new)) => RowRecord::Put(&table.schema, &new.row),
                (Some(old), Some(new)) => {
                    let changed = changed_columns(table, old, new, change.difference(table));
                    if changed.is_empty() {
                        continue;
                    }
                    RowRecord::Changed(changed)
                }
            };
            tables
                .entry(&table.name)
                .or_default()
                .0
                .push((change.uuid, row));
        }
        if tables.is_empty() {
            return None;
        }
        let comment = delta.comments.join("\n");
        Some(content(date_ms, &comment, IsDiff::Yes, tables.into_iter()))
    }

    /// All rows as they are now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let rows = |table: &Table| {
            let rows = table.rows.iter();
            rows.map(|(uuid, stored)| (*uuid, stored.row.clone()))
                .collect()
        };
        Snapshot {
            schema: self.schema.clone(),
            tables: self
                .tables
                .iter()
                .map(|table| (table.name.clone(), rows(table)))
                .collect(),
        }
    }

    /// Does what a record says was done.
    pub(crate) fn replay(&mut self, record: &Value) -> Result<(), ReplayError> {
        let object = record
            .as_object()
            .ok_or_else(|| ReplayError("the record is no JSON object".to_owned()))?;
        let is_diff = object.get("_is_diff") == Some(&Value::Bool(true));
        let mut transaction = Transaction::new(self);
        for (name, rows) in object {
            let Some(table) = transaction.database.table_id(name) else {
                if name.starts_with('_') {
                    continue;
                }
                return Err(ReplayError(format!("there is no table {name}")));
            };
            let rows = rows
                .as_object()
                .ok_or_else(|| ReplayError(format!("table {name}: not an object of rows")))?;
            for (uuid, row) in rows {
                let at = |problem: String| ReplayError(format!("{name} row {uuid}: {problem}"));
                let uuid = notation::uuid_from_str(uuid).ok_or_else(|| at("no UUID".to_owned()))?;
                let key = (table, uuid);
                let stored = transaction.database.table(table).rows.get(&uuid).cloned();
                let row = match (row, stored) {
                    (Value::Null, None) => {
                        return Err(at("it is deleted and was not there".to_owned()));
                    }
                    (Value::Null, Some(_)) => None,
                    (row, stored) => {
                        let table = transaction.database.table(table);
                        Some(replayed(table, stored, row, is_diff).map_err(at)?)
                    }
                };
                transaction.write(key, row);
            }
        }
        transaction
            .commit()
            .map_err(|refusal| ReplayError(format!("{}: {}", refusal.error, refusal.details)))?;
        Ok(())
    }

    /// Undoes transactions that were the last, given as one; what changed by it.
    pub(crate) fn revert(&mut self, done: &Delta) -> Option<Arc<Delta>> {
        let mut transaction = Transaction::new(self);
        for change in &done.rows {
            let old = change.old.as_ref().map(|old| (*old.row).clone());
            transaction.write((change.table, change.uuid), old);
        }
        // What was there before had passed every check when it was committed.
        transaction.commit().ok().flatten()
    }

    /// The same rows under another schema: columns that are new hold their defaults, what is no longer there is left
    /// out.
    pub(crate) fn convert(&self, schema: DatabaseSchema) -> Result<Converted, ReplayError> {
        let mut database = Database::new(schema);
        let mut dropped = Vec::new();
        let mut transaction = Transaction::new(&mut database);
        for old in self.tables.iter().filter(|table| !table.rows.is_empty()) {
            let Some(id) = transaction.database.table_id(&old.name) else {
                dropped.push(format!("table {} ({} rows)", old.name, old.rows.len()));
                continue;
            };
            let schema = transaction.database.table(id).schema.clone();
            for (name, column) in &old.schema.columns {
                let is_used = || old.rows.values().any(|row| row.row.get(name).is_some());
                if schema.column(name).is_none() && !column.ephemeral && is_used() {
                    dropped.push(format!("column {name} of table {}", old.name));
                }
            }
            for (uuid, stored) in &old.rows {
                let mut row = Row::new();
                for (name, datum) in stored.row.iter() {
                    let Some(column) = schema.column(name) else {
                        continue;
                    };
                    let datum = match (datum, column.kind.is_map()) {
                        (datum, true) if datum.is_empty() => Datum::empty_map(),
                        (datum, _) => datum.clone(),
                    };
                    column.kind.check(&datum).map_err(|misfit| {
                        ReplayError(format!("{} row {uuid} column {name}: {misfit}", old.name))
                    })?;
                    row.set(name.clone(), datum);
                }
                transaction.database.table(id).normalize(&mut row);
                transaction.write((id, *uuid), Some(row));
            }
        }
        transaction
            .commit()
            .map_err(|refusal| ReplayError(format!("{}: {}", refusal.error, refusal.details)))?;
        Ok(Converted { database, dropped })
    }
}

impl Snapshot {
    /// The contents of the two records of a compact log: the schema, and all rows if there are any.
    pub(crate) fn journal(&self, date_ms: i64, comment: &str) -> (Vec<u8>, Option<Vec<u8>>) {
        let schema = self.schema.to_json().to_string().into_bytes();
        let tables = self.tables.iter().filter(|(_, rows)| !rows.is_empty());
        let tables = tables.filter_map(|(name, rows)| {
            let schema = self.schema.table(name)?;
            let rows = rows
                .iter()
                .map(|(uuid, row)| (*uuid, RowRecord::Put(schema, row)))
                .collect();
            Some((&**name, Changes(rows)))
        });
        let is_empty = self.tables.iter().all(|(_, rows)| rows.is_empty());
        let rows = (!is_empty).then(|| content(date_ms, comment, IsDiff::No, tables));
        (schema, rows)
    }
}

/// The row that a record makes of the row that is there.
fn replayed(
    table: &Table,
    stored: Option<StoredRow>,
    row: &Value,
    is_diff: bool,
) -> Result<Row, String> {
    let changes =
        notation::row_from_json(row, &table.schema, None).map_err(|error| error.to_string())?;
    let is_new = stored.is_none();
    let mut new = stored.map_or_else(Row::new, |stored| (*stored.row).clone());
    for (name, change) in &changes {
        let Some(column) = table.schema.column(name) else {
            continue;
        };
        let old = table.value(&new, name);
        let is_difference = is_diff && column.kind.is_composite() && !is_default(column, old);
        let datum = match (old, change) {
            (Datum::Set(old), Datum::Set(change)) if is_difference => {
                Datum::Set(old.symmetric_difference(change))
            }
            (Datum::Map(old), Datum::Map(change)) if is_difference => {
                Datum::Map(old.apply_difference(change))
            }
            _ => change.clone(),
        };
        let kind = &column.kind;
        kind.check(&datum)
            .map_err(|misfit| format!("column {name}: {misfit}"))?;
        new.set(name.clone(), datum);
    }
    if is_new {
        table.complete(&mut new);
    }
    table.normalize(&mut new);
    Ok(new)
}

/// What a record says of a row that changed: for every column but ephemeral ones the difference, or the value where no
/// difference can be told.
fn changed_columns(table: &Table, old: &StoredRow, new: &StoredRow, difference: &Row) -> Row {
    let columns = difference.iter().filter_map(|(name, difference)| {
        let column = table
            .schema
            .column(name)
            .filter(|column| !column.ephemeral)?;
        let value = match is_default(column, table.value(&old.row, name)) {
            true => table.value(&new.row, name),
            false => difference,
        };
        Some((name.clone(), value.clone()))
    });
    columns.collect()
}

fn is_default(column: &ColumnSchema, datum: &Datum) -> bool {
    *datum == column.kind.default_datum()
}

enum IsDiff {
    Yes,
    No,
}

#[derive(Default)]
struct Changes<'a>(Vec<(Uuid, RowRecord<'a>)>);

enum RowRecord<'a> {
    Gone,
    Put(&'a TableSchema, &'a Row),
    Changed(Row),
}

fn content<'a>(
    date_ms: i64,
    comment: &str,
    is_diff: IsDiff,
    tables: impl Iterator<Item = (&'a str, Changes<'a>)>,
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut out);
    // Writing to memory does not fail, and every key is a string.
    let written = (&mut serializer)
        .serialize_map(None)
        .and_then(|mut record| {
            record.serialize_entry("_date", &date_ms)?;
            if let IsDiff::Yes = is_diff {
                record.serialize_entry("_is_diff", &true)?;
            }
            if !comment.is_empty() {
                record.serialize_entry("_comment", comment)?;
            }
            for (name, changes) in tables {
                record.serialize_entry(name, &changes)?;
            }
            record.end()
        });
    debug_assert!(written.is_ok(), "{written:?}");
    out
}

impl Serialize for Changes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.0.len()))?;
        for (uuid, row) in &self.0 {
            object.serialize_entry(uuid, row)?;
        }
        object.end()
    }
}

impl Serialize for RowRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            RowRecord::Gone => serializer.serialize_none(),
            RowRecord::Changed(row) => row.serialize(serializer),
            RowRecord::Put(schema, row) => {
                let mut object = serializer.serialize_map(None)?;
                for (name, datum) in row.iter() {
                    // Open vSwitch leaves out every default.
                    let lasts =
                        |column: &ColumnSchema| !column.ephemeral && !is_default(column, datum);
                    if schema.column(name).is_some_and(lasts) {
                        object.serialize_entry(&**name, datum)?;
                    }
                }
                object.end()
            }
        }
    }
}

#[cfg(test)]
mod tests;
