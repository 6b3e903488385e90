//! A monitor's copy of the rows, and the updates that keep it so (RFC 7047 §4.1.6, ovsdb-server(7) §4.1.14).
//!
//! Must not: trust an update; what does not fit the copy is an error, not a panic.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use crate::notation;
use crate::row::{Row, RowChange};
use crate::schema::{DatabaseSchema, TableSchema};
use crate::value::Datum;

/// The rows that a monitor shows.
#[derive(Debug, Default)]
pub(super) struct Replica {
    tables: BTreeMap<Arc<str>, HashMap<Uuid, Arc<Row>>>,
    /// How many bytes of JSON the rows may be; `None`: as many as the server sends.
    bytes_max: Option<usize>,
    /// How many they are; counted only where it is bounded.
    bytes: usize,
}

impl Replica {
    /// A copy that grows to so many bytes and no further.
    pub(super) fn bounded(bytes_max: Option<usize>) -> Replica {
        Replica {
            bytes_max,
            ..Replica::default()
        }
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.tables.clear();
        self.bytes = 0;
    }

    /// All rows.
    pub(super) fn snapshot(&self) -> Vec<RowChange> {
        let tables = self.tables.iter();
        let rows = tables
            .flat_map(|(table, rows)| rows.iter().map(move |(uuid, row)| (table, *uuid, row)));
        rows.map(|(table, uuid, row)| RowChange {
            table: table.clone(),
            uuid,
            row: Some(row.clone()),
        })
        .collect()
    }

    /// Applies `<table-updates>` of either notation; what changed.
    pub(super) fn apply(
        &mut self,
        updates: &Value,
        schema: &DatabaseSchema,
    ) -> Result<Vec<RowChange>, String> {
        let mut changes = Vec::new();
        for (name, rows) in updates.as_object().ok_or("updates are no object")? {
            let (name, table) = schema
                .tables
                .get_key_value(name.as_str())
                .ok_or_else(|| format!("update of unknown table {name}"))?;
            for (uuid, update) in rows
                .as_object()
                .ok_or_else(|| format!("update of table {name} is no object"))?
            {
                let uuid =
                    notation::uuid_from_str(uuid).ok_or_else(|| format!("{uuid:?} is no UUID"))?;
                let at =
                    |problem: String| format!("update of row {uuid} of table {name}: {problem}");
                let of_table = self.tables.entry(name.clone()).or_default();
                let row =
                    match change(update).ok_or_else(|| at("neither old nor new".to_owned()))? {
                        Change::Put(row) => Some(decode(row, table).map_err(at)?),
                        Change::Difference(difference) => {
                            let old = of_table
                                .get(&uuid)
                                .ok_or_else(|| at("modifies a row never sent".to_owned()))?;
                            Some(apply_difference(old, difference, table).map_err(at)?)
                        }
                        Change::Delete => None,
                    };
                let row = row.map(Arc::new);
                let old = match &row {
                    Some(row) => of_table.insert(uuid, row.clone()),
                    None => of_table.remove(&uuid),
                };
                if let Some(most) = self.bytes_max {
                    let (new, gone) = (weight(row.as_deref()), weight(old.as_deref()));
                    self.bytes = self.bytes.saturating_add(new).saturating_sub(gone);
                    if self.bytes > most {
                        return Err(format!(
                            "its rows are more than {most} bytes, the last in table {name}"
                        ));
                    }
                }
                if old != row {
                    changes.push(RowChange {
                        table: name.clone(),
                        uuid,
                        row,
                    });
                }
            }
        }
        Ok(changes)
    }
}

/// The row in JSON, and its identity.
fn weight(row: Option<&Row>) -> usize {
    const UUID: usize = 36;
    row.map_or(0, |row| {
        let json = serde_json::to_vec(row).unwrap_or_default();
        json.len().saturating_add(UUID)
    })
}

enum Change<'a> {
    Put(&'a Value),
    Difference(&'a Value),
    Delete,
}

fn change(update: &Value) -> Option<Change<'_>> {
    let put = ["new", "initial", "insert"]
        .into_iter()
        .find_map(|key| update.get(key));
    if let Some(row) = put.filter(|row| !row.is_null()) {
        return Some(Change::Put(row));
    }
    if let Some(difference) = update.get("modify") {
        return Some(Change::Difference(difference));
    }
    (update.get("delete").is_some() || update.get("old").is_some()).then_some(Change::Delete)
}

fn decode(value: &Value, table: &TableSchema) -> Result<Row, String> {
    let mut row = notation::row_from_json(value, table, None).map_err(|error| error.to_string())?;
    leave_out_defaults(&mut row, table);
    Ok(row)
}

fn apply_difference(old: &Row, difference: &Value, table: &TableSchema) -> Result<Row, String> {
    let difference =
        notation::row_from_json(difference, table, None).map_err(|error| error.to_string())?;
    let mut row = old.clone();
    for (column, change) in &difference {
        let Some(schema) = table.column(column) else {
            continue;
        };
        let default = schema.kind.default_datum();
        let new = match (old.get(column).unwrap_or(&default), change) {
            (Datum::Set(old), Datum::Set(change)) if schema.kind.is_composite() => {
                Datum::Set(old.symmetric_difference(change))
            }
            (Datum::Map(old), Datum::Map(change)) if schema.kind.is_composite() => {
                Datum::Map(old.apply_difference(change))
            }
            (_, new) => new.clone(),
        };
        row.set(column.clone(), new);
    }
    leave_out_defaults(&mut row, table);
    Ok(row)
}

fn leave_out_defaults(row: &mut Row, table: &TableSchema) {
    row.retain(|column, datum| {
        !table
            .column(column)
            .is_some_and(|schema| schema.kind.is_default(datum))
    });
}

#[cfg(test)]
mod tests;
