//! What a monitor watches, and what it makes of a change: for the wire (update, update2, update3) and in process.
//!
//! Must not: hold rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use uuid::Uuid;

use crate::connection::MonitorTable;
use crate::database::{
    Database, Delta, Refusal, RowDelta, StoredRow, Table, check_condition, matches,
};
use crate::jsonrpc::write;
use crate::operation::Condition;
use crate::operation::json::columns_from_json;
use crate::row::{Row, RowChange};
use crate::value::Datum;

/// The notation of a monitor's updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    /// Old and new rows (RFC 7047 §4.1.6).
    Update,
    /// Differences (ovsdb-server(7) §4.1.14).
    Update2,
    /// Differences, and the identity of the transaction (ovsdb-server(7) §4.1.16).
    Update3,
}

/// Tables, columns and conditions of a monitor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    tables: BTreeMap<usize, TableWatch>,
}

#[derive(Clone, Debug)]
struct TableWatch {
    /// By kind of change; `None`: not asked for.
    initial: Option<Vec<Arc<str>>>,
    insert: Option<Vec<Arc<str>>>,
    delete: Option<Vec<Arc<str>>>,
    modify: Option<Vec<Arc<str>>>,
    /// True if all columns of the table are watched.
    is_whole: bool,
    /// Rows for which any of these holds; `None`: all.
    condition: Option<Vec<Condition>>,
}

/// A change as one watch sees it.
enum Seen<'a> {
    Insert(&'a StoredRow),
    Delete(&'a StoredRow),
    Modify(&'a StoredRow, &'a StoredRow),
}

impl Watch {
    /// From a typed request.
    pub(crate) fn new(database: &Database, tables: &[MonitorTable]) -> Result<Watch, Refusal> {
        let mut watch = Watch::default();
        for request in tables {
            let (id, table) = find(database, &request.table)?;
            let columns = match &request.columns {
                None => table.schema.columns.keys().cloned().collect(),
                Some(columns) => {
                    for column in columns {
                        if !table.schema.columns.contains_key(column) {
                            return Err(Refusal::unknown_column(table, column));
                        }
                    }
                    columns.clone()
                }
            };
            request
                .condition
                .iter()
                .flatten()
                .try_for_each(|condition| check_condition(table, condition))?;
            let is_whole = table
                .schema
                .columns
                .keys()
                .all(|column| columns.contains(column));
            let of = Some(columns);
            watch.tables.insert(
                id,
                TableWatch {
                    initial: of.clone(),
                    insert: of.clone(),
                    delete: of.clone(),
                    modify: of,
                    is_whole,
                    condition: request.condition.clone(),
                },
            );
        }
        Ok(watch)
    }

    /// From a `<monitor-requests>` object. `has_conditions`: `where` is understood.
    pub(crate) fn from_json(
        database: &Database,
        requests: &Value,
        has_conditions: bool,
    ) -> Result<Watch, Refusal> {
        let requests = requests
            .as_object()
            .ok_or_else(|| syntax("monitor-requests must be object".to_owned()))?;
        let mut watch = Watch::default();
        for (name, requests) in requests {
            let (id, table) = find(database, name)?;
            let mut of_table = TableWatch {
                initial: None,
                insert: None,
                delete: None,
                modify: None,
                is_whole: false,
                condition: None,
            };
            let single = std::slice::from_ref(requests);
            for request in requests.as_array().map_or(single, Vec::as_slice) {
                of_table.add(table, request, has_conditions)?;
            }
            watch.tables.insert(id, of_table);
        }
        Ok(watch)
    }

    /// A watch with other conditions, from a `<monitor-cond-update-requests>` object.
    pub(crate) fn with_conditions(
        &self,
        database: &Database,
        requests: &Value,
    ) -> Result<Watch, Refusal> {
        let requests = requests
            .as_object()
            .ok_or_else(|| syntax("monitor-cond-change-requests must be object".to_owned()))?;
        let mut watch = self.clone();
        for (name, requests) in requests {
            let (id, table) = find(database, name)?;
            let Some(of_table) = watch.tables.get_mut(&id) else {
                return Err(syntax(format!("no table named {name} in monitor session")));
            };
            let requests = requests
                .as_array()
                .ok_or_else(|| syntax(format!("table {name} no monitor-cond-change JSON array")))?;
            for request in requests {
                if request.get("columns").is_some() {
                    return Err(syntax("changing columns is unsupported".to_owned()));
                }
                of_table.condition = request
                    .get("where")
                    .map_or(Ok(None), |c| condition(table, c))?;
            }
        }
        Ok(watch)
    }

    /// Writes `<table-updates>` of everything watched.
    pub(crate) fn write_initial(&self, database: &Database, notation: Notation, out: &mut Vec<u8>) {
        let mut updates = Updates::new(out);
        for (id, of_table) in &self.tables {
            let (table, Some(columns)) = (database.table(*id), &of_table.initial) else {
                continue;
            };
            for (uuid, stored) in table
                .rows
                .iter()
                .filter(|(uuid, stored)| of_table.shows(table, **uuid, stored))
            {
                let row = Columns {
                    table,
                    uuid: *uuid,
                    stored,
                    columns,
                    is_sparse: notation != Notation::Update,
                };
                let key = if notation == Notation::Update {
                    "new"
                } else {
                    "initial"
                };
                updates.row(table, *uuid, &[(key, &row)]);
            }
        }
        updates.finish();
    }

    /// Writes `<table-updates>` of a change; false, and nothing written, if this watch sees nothing of it.
    pub(crate) fn write_changes(
        &self,
        database: &Database,
        delta: &Delta,
        notation: Notation,
        out: &mut Vec<u8>,
    ) -> bool {
        let start = out.len();
        let mut updates = Updates::new(out);
        for change in &delta.rows {
            let Some(of_table) = self.tables.get(&change.table) else {
                continue;
            };
            let table = database.table(change.table);
            match (of_table.see(table, change), notation) {
                (Some(seen), Notation::Update) => {
                    of_table.write_update(table, change, &seen, &mut updates)
                }
                (Some(seen), _) => of_table.write_update2(table, change, &seen, &mut updates),
                (None, _) => {}
            }
        }
        if updates.is_empty() {
            out.truncate(start);
            return false;
        }
        updates.finish();
        true
    }

    /// What a change of conditions shows and hides, as a change.
    pub(crate) fn compare(&self, new: &Watch, database: &Database) -> Delta {
        let mut rows = Vec::new();
        for (id, of_table) in &self.tables {
            let (table, Some(new)) = (database.table(*id), new.tables.get(id)) else {
                continue;
            };
            if of_table.condition == new.condition {
                continue;
            }
            for (uuid, stored) in &table.rows {
                match (
                    of_table.shows(table, *uuid, stored),
                    new.shows(table, *uuid, stored),
                ) {
                    (false, true) => {
                        rows.push(RowDelta::new((*id, *uuid), None, Some(stored.clone())))
                    }
                    (true, false) => {
                        rows.push(RowDelta::new((*id, *uuid), Some(stored.clone()), None))
                    }
                    _ => {}
                }
            }
        }
        Delta {
            id: database.last_id(),
            rows,
            comments: Vec::new(),
        }
    }

    /// The same watch without conditions, for writing what [`Watch::compare`] found.
    pub(crate) fn unconditional(&self) -> Watch {
        let mut watch = self.clone();
        watch
            .tables
            .values_mut()
            .for_each(|of_table| of_table.condition = None);
        watch
    }

    /// Everything watched, for a reader in this process.
    pub(crate) fn snapshot(&self, database: &Database) -> Vec<RowChange> {
        let mut rows = Vec::new();
        for (id, of_table) in &self.tables {
            let table = database.table(*id);
            let shown = table
                .rows
                .iter()
                .filter(|(uuid, stored)| of_table.shows(table, **uuid, stored));
            rows.extend(shown.map(|(uuid, stored)| of_table.put(table, *uuid, stored)));
        }
        rows
    }

    /// What a change is to a reader in this process.
    pub(crate) fn changes(&self, database: &Database, delta: &Delta) -> Vec<RowChange> {
        let changes = delta.rows.iter().filter_map(|change| {
            let of_table = self.tables.get(&change.table)?;
            let table = database.table(change.table);
            Some(match of_table.see(table, change)? {
                Seen::Insert(new) => of_table.put(table, change.uuid, new),
                Seen::Delete(_) => RowChange {
                    table: table.name.clone(),
                    uuid: change.uuid,
                    row: None,
                },
                Seen::Modify(_, new) => {
                    let difference = change.difference(table);
                    let columns = of_table.modify.as_ref()?;
                    if !columns
                        .iter()
                        .any(|column| difference.get(column).is_some())
                    {
                        return None;
                    }
                    of_table.put(table, change.uuid, new)
                }
            })
        });
        changes.collect()
    }
}

impl TableWatch {
    fn add(&mut self, table: &Table, request: &Value, has_conditions: bool) -> Result<(), Refusal> {
        let object = request.as_object().ok_or_else(|| {
            syntax(format!(
                "table {}: a monitor request is no object",
                table.name
            ))
        })?;
        let known = |key: &&String| {
            matches!(key.as_str(), "columns" | "select")
                || (has_conditions && key.as_str() == "where")
        };
        if let Some(key) = object.keys().find(|key| !known(key)) {
            return Err(syntax(format!(
                "table {}: unknown member {key:?} of a monitor request",
                table.name
            )));
        }
        let columns = match object.get("columns") {
            None => table.schema.columns.keys().cloned().collect(),
            Some(Value::Array(names)) => columns_from_json(names, &table.schema)?,
            Some(_) => return Err(syntax("array of column names expected".to_owned())),
        };
        let select = |kind: &str| match object.get("select").map(|select| select.get(kind)) {
            None | Some(None) => Ok(true),
            Some(Some(Value::Bool(wanted))) => Ok(*wanted),
            Some(Some(_)) => Err(syntax(format!(
                "table {}: select {kind} is no boolean",
                table.name
            ))),
        };
        for (kind, slot) in [
            ("initial", &mut self.initial),
            ("insert", &mut self.insert),
            ("delete", &mut self.delete),
            ("modify", &mut self.modify),
        ] {
            if !select(kind)? {
                continue;
            }
            let slot = slot.get_or_insert_with(Vec::new);
            for column in &columns {
                if slot.contains(column) {
                    return Err(syntax(format!("column {column} mentioned more than once")));
                }
                slot.push(column.clone());
            }
        }
        if let Some(any_of) = object.get("where") {
            self.condition = condition(table, any_of)?;
        }
        Ok(())
    }

    fn shows(&self, table: &Table, uuid: Uuid, stored: &StoredRow) -> bool {
        self.condition
            .as_ref()
            .is_none_or(|any_of| any_of.iter().any(|c| matches(table, uuid, stored, c)))
    }

    fn see<'a>(&self, table: &Table, change: &'a RowDelta) -> Option<Seen<'a>> {
        let shown = |stored: &'a Option<StoredRow>| {
            stored
                .as_ref()
                .filter(|s| self.shows(table, change.uuid, s))
        };
        match (shown(&change.old), shown(&change.new)) {
            (None, None) => None,
            (None, Some(new)) => Some(Seen::Insert(new)),
            (Some(old), None) => Some(Seen::Delete(old)),
            (Some(old), Some(new)) => Some(Seen::Modify(old, new)),
        }
    }

    fn put(&self, table: &Table, uuid: Uuid, stored: &StoredRow) -> RowChange {
        let columns = self.modify.as_deref().unwrap_or_default();
        let row = if self.is_whole
            || stored
                .row
                .iter()
                .all(|(column, _)| columns.contains(column))
        {
            stored.row.clone()
        } else {
            let watched = stored
                .row
                .iter()
                .filter(|(column, _)| columns.contains(column));
            Arc::new(
                watched
                    .map(|(column, datum)| (column.clone(), datum.clone()))
                    .collect::<Row>(),
            )
        };
        RowChange {
            table: table.name.clone(),
            uuid,
            row: Some(row),
        }
    }

    fn write_update(
        &self,
        table: &Table,
        change: &RowDelta,
        seen: &Seen<'_>,
        updates: &mut Updates<'_>,
    ) {
        let uuid = change.uuid;
        let full = |stored, columns| Columns {
            table,
            uuid,
            stored,
            columns,
            is_sparse: false,
        };
        match seen {
            Seen::Insert(new) => {
                if let Some(columns) = &self.insert {
                    updates.row(table, uuid, &[("new", &full(new, columns))]);
                }
            }
            Seen::Delete(old) => {
                if let Some(columns) = &self.delete {
                    updates.row(table, uuid, &[("old", &full(old, columns))]);
                }
            }
            Seen::Modify(old, new) => {
                let Some(columns) = &self.modify else { return };
                let changed = changed_columns(table, change, columns);
                if !changed.is_empty() {
                    updates.row(
                        table,
                        uuid,
                        &[("old", &full(old, &changed)), ("new", &full(new, columns))],
                    );
                }
            }
        }
    }

    fn write_update2(
        &self,
        table: &Table,
        change: &RowDelta,
        seen: &Seen<'_>,
        updates: &mut Updates<'_>,
    ) {
        let uuid = change.uuid;
        match seen {
            Seen::Insert(new) => {
                if let Some(columns) = &self.insert {
                    let row = Columns {
                        table,
                        uuid,
                        stored: new,
                        columns,
                        is_sparse: true,
                    };
                    updates.row(table, uuid, &[("insert", &row)]);
                }
            }
            Seen::Delete(_) => {
                if self.delete.is_some() {
                    updates.row(table, uuid, &[("delete", &Null)]);
                }
            }
            Seen::Modify(_, new) => {
                let Some(columns) = &self.modify else { return };
                let changed = changed_columns(table, change, columns);
                if !changed.is_empty() {
                    let row = Difference {
                        difference: change.difference(table),
                        new,
                        columns: &changed,
                    };
                    updates.row(table, uuid, &[("modify", &row)]);
                }
            }
        }
    }
}

fn changed_columns(table: &Table, change: &RowDelta, columns: &[Arc<str>]) -> Vec<Arc<str>> {
    let difference = change.difference(table);
    let changed: Vec<Arc<str>> = columns
        .iter()
        .filter(|column| difference.get(column).is_some())
        .cloned()
        .collect();
    if changed.is_empty() {
        return changed;
    }
    // The version changes with any change, but is no change by itself.
    changed
        .into_iter()
        .chain(
            columns
                .iter()
                .filter(|column| &***column == "_version")
                .cloned(),
        )
        .collect()
}

/// A JSON value that a row update holds.
trait Part {
    fn write(&self, out: &mut Vec<u8>, before: &[u8]);
}

impl<T: Serialize> Part for T {
    fn write(&self, out: &mut Vec<u8>, before: &[u8]) {
        write(out, before, self);
    }
}

/// Columns of a row: all that were asked for, or (sparse) only those that differ from their default.
struct Columns<'a> {
    table: &'a Table,
    uuid: Uuid,
    stored: &'a StoredRow,
    columns: &'a [Arc<str>],
    is_sparse: bool,
}

impl Serialize for Columns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        for column in self.columns {
            if !self.is_sparse || column.starts_with('_') || self.stored.row.get(column).is_some() {
                object.serialize_entry(
                    &**column,
                    &*column_value(self.table, self.uuid, self.stored, column),
                )?;
            }
        }
        object.end()
    }
}

/// The value of a column, `_uuid` and `_version` included.
pub(crate) fn column_value<'a>(
    table: &'a Table,
    uuid: Uuid,
    stored: &'a StoredRow,
    column: &str,
) -> Cow<'a, Datum> {
    match column {
        "_uuid" => Cow::Owned(Datum::scalar(uuid)),
        "_version" => Cow::Owned(Datum::scalar(stored.version)),
        column => Cow::Borrowed(table.value(&stored.row, column)),
    }
}

struct Difference<'a> {
    difference: &'a Row,
    new: &'a StoredRow,
    columns: &'a [Arc<str>],
}

impl Serialize for Difference<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        for column in self.columns {
            if &**column == "_version" {
                object.serialize_entry("_version", &Datum::scalar(self.new.version))?;
            } else if let Some(datum) = self.difference.get(column) {
                object.serialize_entry(&**column, datum)?;
            }
        }
        object.end()
    }
}

struct Null;

impl Serialize for Null {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

/// Writes `{table: {uuid: {…}}}`; rows of a table come together.
struct Updates<'a> {
    out: &'a mut Vec<u8>,
    table: Option<Arc<str>>,
}

impl<'a> Updates<'a> {
    fn new(out: &'a mut Vec<u8>) -> Updates<'a> {
        out.push(b'{');
        Updates { out, table: None }
    }

    fn is_empty(&self) -> bool {
        self.table.is_none()
    }

    fn row(&mut self, table: &Table, uuid: Uuid, parts: &[(&str, &dyn Part)]) {
        if self.table.as_ref() == Some(&table.name) {
            self.out.push(b',');
        } else {
            let before: &[u8] = if self.table.is_some() { b"}," } else { b"" };
            write(self.out, before, &*table.name);
            self.out.extend_from_slice(b":{");
            self.table = Some(table.name.clone());
        }
        write(self.out, b"", &uuid);
        let mut before: &[u8] = b":{";
        for (key, part) in parts {
            write(self.out, before, key);
            part.write(self.out, b":");
            before = b",";
        }
        self.out.push(b'}');
    }

    fn finish(self) {
        if self.table.is_some() {
            self.out.push(b'}');
        }
        self.out.push(b'}');
    }
}

/// An empty list means every row, as does a list with `true` in it.
fn condition(table: &Table, any_of: &Value) -> Result<Option<Vec<Condition>>, Refusal> {
    let any_of = any_of
        .as_array()
        .ok_or_else(|| syntax("\"where\" is no array of conditions".to_owned()))?;
    let mut conditions = Vec::with_capacity(any_of.len());
    for condition in any_of {
        let condition = Condition::from_json(condition, &table.schema, None)?;
        check_condition(table, &condition)?;
        conditions.push(condition);
    }
    Ok((!conditions.is_empty()).then_some(conditions))
}

fn find<'a>(database: &'a Database, name: &str) -> Result<(usize, &'a Table), Refusal> {
    let id = database
        .table_id(name)
        .ok_or_else(|| syntax(format!("no table named {name}")))?;
    Ok((id, database.table(id)))
}

fn syntax(details: String) -> Refusal {
    Refusal::syntax(details)
}
