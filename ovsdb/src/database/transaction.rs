//! Carrying out operations one after the other, in place, with what was there before kept for going back.
//!
//! Must not: leave a trace when it is dropped without a commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::database::{Database, Delta, RowKey, StoredRow, Table, condition, mutation, next_id};
use crate::operation::{Condition, Mutation, Operation, OperationResult, Until};
use crate::row::Row;
use crate::value::Datum;

/// What an attempt to carry out a transaction came to.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It is committed; `delta`: what changed, if anything.
    Done {
        outputs: Vec<Output>,
        delta: Option<Arc<Delta>>,
    },
    /// It is undone. As many outputs as operations: the commit failed; fewer: the operation after them.
    Failed {
        outputs: Vec<Output>,
        refusal: Refusal,
    },
    /// It is undone, since a `wait` is not satisfied and its time not up.
    Blocked {
        /// Which operation.
        operation: usize,
        /// The least timeout, counted from the first attempt, of the waits up to this one.
        timeout_ms: Option<u64>,
        /// The table waited for.
        table: usize,
    },
}

/// What an operation gave.
#[derive(Debug)]
pub(crate) enum Output {
    Inserted(Uuid),
    Count(u64),
    /// Whole rows; `columns` says which columns were asked for, `None`: all.
    Rows {
        table: usize,
        rows: Vec<(Uuid, StoredRow)>,
        columns: Option<Vec<Arc<str>>>,
    },
    Empty,
}

/// Why an operation or a commit failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    /// The standard name.
    pub(crate) error: &'static str,
    /// A sentence.
    pub(crate) details: String,
}

/// Who asks, and since when.
#[derive(Default)]
pub(crate) struct Context<'a> {
    /// Time since the first attempt.
    pub(crate) elapsed_ms: u64,
    /// Locks the client holds.
    pub(crate) holds_lock: Option<&'a dyn Fn(&str) -> bool>,
    /// True if operations that change rows are refused.
    pub(crate) read_only: bool,
    /// True if waits can be tried again, so that they need not fail at once.
    pub(crate) can_wait: bool,
}

enum Stop {
    Refused(Refusal),
    Wait {
        timeout_ms: Option<u64>,
        table: usize,
    },
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Refused(refusal)
    }
}

/// A transaction under way.
pub(super) struct Transaction<'d> {
    pub(super) database: &'d mut Database,
    /// Rows touched: what they were before.
    pub(super) before: BTreeMap<RowKey, Option<StoredRow>>,
    pub(super) comments: Vec<String>,
    pub(super) id: Uuid,
    pub(super) is_committed: bool,
}

impl Database {
    /// Carries out operations; then, if `bad` is given, fails with it as the next operation's refusal.
    pub(crate) fn attempt(
        &mut self,
        operations: &[Operation],
        bad: Option<Refusal>,
        context: &Context<'_>,
    ) -> Attempt {
        let mut transaction = Transaction::new(self);
        let mut outputs = Vec::with_capacity(operations.len());
        let mut timeout_ms: Option<u64> = None;
        for (index, operation) in operations.iter().enumerate() {
            if let Operation::Wait {
                timeout_ms: Some(timeout),
                ..
            } = operation
            {
                timeout_ms = Some(timeout_ms.map_or(*timeout, |least| least.min(*timeout)));
            }
            match transaction.execute(operation, context) {
                Ok(output) => outputs.push(output),
                Err(Stop::Refused(refusal)) => return Attempt::Failed { outputs, refusal },
                Err(Stop::Wait {
                    timeout_ms: own,
                    table,
                }) => {
                    let timeout_ms = timeout_ms.or(own);
                    return Attempt::Blocked {
                        operation: index,
                        timeout_ms,
                        table,
                    };
                }
            }
        }
        if let Some(refusal) = bad {
            return Attempt::Failed { outputs, refusal };
        }
        match transaction.commit() {
            Ok(delta) => Attempt::Done { outputs, delta },
            Err(refusal) => Attempt::Failed { outputs, refusal },
        }
    }
}

impl<'d> Transaction<'d> {
    pub(super) fn new(database: &'d mut Database) -> Transaction<'d> {
        let id = next_id(database.last_id);
        Transaction {
            database,
            before: BTreeMap::new(),
            comments: Vec::new(),
            id,
            is_committed: false,
        }
    }

    fn execute(&mut self, operation: &Operation, context: &Context<'_>) -> Result<Output, Stop> {
        let table = match operation.table() {
            None => None,
            Some(name) => {
                let id = self.database.table_id(name);
                Some(id.ok_or_else(|| {
                    Refusal::new("syntax error", format!("No table named {name}."))
                })?)
            }
        };
        if context.read_only && !operation.is_read_only() {
            return Err(Refusal::new(
                "not allowed",
                format!(
                    "{} operation not allowed when database server is in read only mode",
                    operation.name()
                ),
            )
            .into());
        }
        let table = table.unwrap_or_default();
        match operation {
            Operation::Insert { uuid, row, .. } => Ok(self.insert(table, *uuid, row)?),
            Operation::Select {
                conditions,
                columns,
                ..
            } => {
                self.check_columns(table, columns.as_deref())?;
                let rows = self.select(table, conditions)?;
                Ok(Output::Rows {
                    table,
                    rows,
                    columns: columns.clone(),
                })
            }
            Operation::Update {
                conditions, row, ..
            } => Ok(self.update(table, conditions, row)?),
            Operation::Mutate {
                conditions,
                mutations,
                ..
            } => Ok(self.mutate(table, conditions, mutations)?),
            Operation::Delete { conditions, .. } => {
                let uuids = self.find(table, conditions)?;
                let count = count(uuids.len());
                uuids
                    .into_iter()
                    .for_each(|uuid| self.write((table, uuid), None));
                Ok(Output::Count(count))
            }
            Operation::Wait {
                conditions,
                columns,
                until,
                rows,
                timeout_ms,
                ..
            } => {
                self.check_columns(table, columns.as_deref())?;
                for row in rows {
                    self.check_kinds(table, row)?;
                }
                let is_equal = self.is_as_expected(table, conditions, columns.as_deref(), rows)?;
                if is_equal == (*until == Until::Equal) {
                    return Ok(Output::Empty);
                }
                let is_over = timeout_ms.is_some_and(|timeout| context.elapsed_ms >= timeout);
                if context.can_wait && !is_over {
                    return Err(Stop::Wait {
                        timeout_ms: *timeout_ms,
                        table,
                    });
                }
                let details = if context.elapsed_ms > 0 {
                    format!("\"wait\" timed out after {} ms", context.elapsed_ms)
                } else {
                    "\"where\" clause test failed".to_owned()
                };
                Err(Refusal::new("timed out", details).into())
            }
            Operation::Commit { .. } => Ok(Output::Empty),
            Operation::Abort => {
                Err(Refusal::new("aborted", "aborted by request".to_owned()).into())
            }
            Operation::Comment(comment) => {
                self.comments.push(comment.clone());
                Ok(Output::Empty)
            }
            Operation::Assert { lock } => match context.holds_lock {
                Some(holds) if holds(lock) => Ok(Output::Empty),
                _ => {
                    Err(Refusal::new("not owner", format!("Asserted lock {lock} not held.")).into())
                }
            },
        }
    }

    fn insert(&mut self, table: usize, uuid: Option<Uuid>, row: &Row) -> Result<Output, Refusal> {
        let schema = self.database.table(table);
        let uuid = uuid.unwrap_or_else(Uuid::new_v4);
        if schema.rows.contains_key(&uuid) || self.before.contains_key(&(table, uuid)) {
            let details = "This UUID would duplicate a UUID already present within the table or deleted within the \
                           same transaction.";
            return Err(Refusal::new("duplicate uuid", details.to_owned()));
        }
        self.check_values(table, row)?;
        let mut row = row.clone();
        schema.normalize(&mut row);
        for (column, column_schema) in &schema.schema.columns {
            if row.get(column).is_some() {
                continue;
            }
            // A default need not satisfy the column's constraints. One that names no row is refused when references are
            // checked.
            let Err(problem) = column_schema.kind.check(schema.value(&row, column)) else {
                continue;
            };
            return Err(Refusal::constraint(format!(
                "Column {column} of table {} is not given and may not have its default: {problem}",
                schema.name
            )));
        }
        schema.complete(&mut row);
        self.write((table, uuid), Some(row));
        Ok(Output::Inserted(uuid))
    }

    fn update(
        &mut self,
        table: usize,
        conditions: &[Condition],
        row: &Row,
    ) -> Result<Output, Refusal> {
        self.check_values(table, row)?;
        let schema = self.database.table(table);
        for (column, _) in row {
            if schema
                .schema
                .column(column)
                .is_some_and(|column| !column.mutable)
            {
                return Err(Refusal::constraint(format!(
                    "Cannot update immutable column {column} in table {}.",
                    schema.name
                )));
            }
        }
        let uuids = self.find(table, conditions)?;
        let count = count(uuids.len());
        for uuid in uuids {
            let schema = self.database.table(table);
            let Some(stored) = schema.rows.get(&uuid) else {
                continue;
            };
            let mut new = (*stored.row).clone();
            row.iter()
                .for_each(|(column, datum)| new.set(column.clone(), datum.clone()));
            schema.normalize(&mut new);
            if new != *stored.row {
                self.write((table, uuid), Some(new));
            }
        }
        Ok(Output::Count(count))
    }

    fn mutate(
        &mut self,
        table: usize,
        conditions: &[Condition],
        mutations: &[Mutation],
    ) -> Result<Output, Refusal> {
        let schema = self.database.table(table);
        mutations
            .iter()
            .try_for_each(|m| mutation::check(schema, m))?;
        let uuids = self.find(table, conditions)?;
        let count = count(uuids.len());
        for uuid in uuids {
            let schema = self.database.table(table);
            let Some(stored) = schema.rows.get(&uuid) else {
                continue;
            };
            let new = mutation::apply(schema, &stored.row, mutations)?;
            if new != *stored.row {
                self.write((table, uuid), Some(new));
            }
        }
        Ok(Output::Count(count))
    }

    fn select(
        &self,
        table: usize,
        conditions: &[Condition],
    ) -> Result<Vec<(Uuid, StoredRow)>, Refusal> {
        let uuids = self.find(table, conditions)?;
        let rows = &self.database.table(table).rows;
        Ok(uuids
            .into_iter()
            .filter_map(|uuid| Some((uuid, rows.get(&uuid)?.clone())))
            .collect())
    }

    /// Whether the rows that match are, in these columns and as sets, the rows given.
    fn is_as_expected(
        &self,
        table: usize,
        conditions: &[Condition],
        columns: Option<&[Arc<str>]>,
        expected: &[Row],
    ) -> Result<bool, Refusal> {
        let found = self.select(table, conditions)?;
        let schema = self.database.table(table);
        let columns: Vec<&str> = match columns {
            Some(columns) => columns.iter().map(|column| &**column).collect(),
            None => schema
                .schema
                .columns
                .keys()
                .map(|column| &**column)
                .collect(),
        };
        let values = |row: &Row, uuid: Uuid, version: Uuid| -> Vec<Datum> {
            let value = |column: &&str| match *column {
                "_uuid" => Datum::scalar(uuid),
                "_version" => Datum::scalar(version),
                // An empty set given for a map column means the empty map.
                column => match schema.value(row, column) {
                    datum if datum.is_empty() => Datum::empty(),
                    datum => datum.clone(),
                },
            };
            columns.iter().map(value).collect()
        };
        let expected: BTreeSet<Vec<Datum>> = expected
            .iter()
            .map(|row| values(row, Uuid::nil(), Uuid::nil()))
            .collect();
        let found: BTreeSet<Vec<Datum>> = found
            .iter()
            .map(|(uuid, stored)| values(&stored.row, *uuid, stored.version))
            .collect();
        Ok(found == expected)
    }

    fn find(&self, table: usize, conditions: &[Condition]) -> Result<Vec<Uuid>, Refusal> {
        let schema = self.database.table(table);
        conditions
            .iter()
            .try_for_each(|c| condition::check(schema, c))?;
        let touched = self
            .before
            .range((table, Uuid::nil())..=(table, Uuid::max()))
            .map(|(key, _)| key.1);
        Ok(self.database.find(table, conditions, touched))
    }

    /// Puts a row in place, or takes it away.
    pub(super) fn write(&mut self, key: RowKey, row: Option<Row>) {
        let id = self.id;
        let rows = &mut self.database.table_mut(key.0).rows;
        let old = match row {
            Some(row) => rows.insert(
                key.1,
                StoredRow {
                    row: Arc::new(row),
                    version: id,
                },
            ),
            None => rows.remove(&key.1),
        };
        self.before.entry(key).or_insert(old);
    }

    fn check_columns(&self, table: usize, columns: Option<&[Arc<str>]>) -> Result<(), Refusal> {
        let schema = self.database.table(table);
        columns
            .unwrap_or_default()
            .iter()
            .try_for_each(|column| condition::column_type(schema, column).map(|_| ()))
    }

    fn check_kinds(&self, table: usize, row: &Row) -> Result<(), Refusal> {
        let schema = self.database.table(table);
        row.iter().try_for_each(|(column, datum)| {
            let kind = condition::column_type(schema, column)?;
            kind.check_kinds(datum).map_err(|misfit| {
                Refusal::syntax(format!(
                    "Column {column} of table {}: {misfit}",
                    schema.name
                ))
            })
        })
    }

    fn check_values(&self, table: usize, row: &Row) -> Result<(), Refusal> {
        self.check_kinds(table, row)?;
        let schema = self.database.table(table);
        row.iter().try_for_each(|(column, datum)| {
            let kind = &schema
                .schema
                .column(column)
                .ok_or_else(|| Refusal::unknown_column(schema, column))?
                .kind;
            kind.check(datum).map_err(|misfit| {
                Refusal::constraint(format!(
                    "Column {column} of table {}: {misfit}",
                    schema.name
                ))
            })
        })
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_committed {
            return;
        }
        for ((table, uuid), before) in std::mem::take(&mut self.before) {
            let rows = &mut self.database.table_mut(table).rows;
            match before {
                Some(stored) => rows.insert(uuid, stored),
                None => rows.remove(&uuid),
            };
        }
    }
}

impl Output {
    /// The result as a caller sees it: rows with the columns asked for.
    pub(crate) fn into_result(self) -> OperationResult {
        match self {
            Output::Inserted(uuid) => OperationResult::Inserted(uuid),
            Output::Count(count) => OperationResult::Count(count),
            Output::Empty => OperationResult::Empty,
            Output::Rows { rows, columns, .. } => OperationResult::Rows(
                rows.into_iter()
                    .map(|(uuid, stored)| (uuid, project(&stored.row, columns.as_deref())))
                    .collect(),
            ),
        }
    }
}

/// The row with only these columns.
fn project(row: &Row, columns: Option<&[Arc<str>]>) -> Row {
    match columns {
        None => row.clone(),
        Some(columns) => columns
            .iter()
            .filter_map(|column| Some((column.clone(), row.get(column)?.clone())))
            .collect(),
    }
}

impl Refusal {
    pub(crate) fn new(error: &'static str, details: String) -> Refusal {
        Refusal { error, details }
    }

    pub(crate) fn constraint(details: String) -> Refusal {
        Refusal::new("constraint violation", details)
    }

    pub(crate) fn integrity(details: String) -> Refusal {
        Refusal::new("referential integrity violation", details)
    }

    pub(crate) fn syntax(details: String) -> Refusal {
        Refusal::new("syntax error", details)
    }

    pub(crate) fn unknown_column(table: &Table, column: &str) -> Refusal {
        Refusal::new(
            "unknown column",
            format!("No column {column} in table {}.", table.name),
        )
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
