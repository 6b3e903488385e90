//! The database: rows in memory and the transactions that change them (RFC 7047 §5.2).
//!
//! ```text
//! operations ─▶ Transaction: works on the rows in place, remembers what was there before
//!                    │ commit: references, garbage, weak references, row limits, indexes
//!                    ▼
//!                  Delta: every row that changed, before and after ─▶ history, monitors
//! ```
//!
//! Work is proportional to what a transaction touches: rows are found by UUID or by a declared index where conditions
//! allow, references are counted as they come and go, nothing walks the whole database.
//!
//! Invariants: between transactions every strong reference names a row, every non-root row has a strong reference,
//! indexes are unique. A transaction that fails leaves no trace.
//!
//! Must not: do IO; read the clock.

mod audit;
mod commit;
mod condition;
mod delta;
mod journal;
mod mutation;
mod table;
mod transaction;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::error::TransactionError;
use crate::operation::{Condition, Operation, OperationResult};
use crate::row::Row;
use crate::schema::DatabaseSchema;

pub(crate) use condition::{check as check_condition, matches};
pub(crate) use delta::{Delta, History, RowDelta};
pub(crate) use journal::{Converted, Snapshot};
pub(crate) use table::{StoredRow, Table};
pub(crate) use transaction::{Attempt, Context, Output, Refusal};

/// A database: a schema and its rows.
pub struct Database {
    schema: Arc<DatabaseSchema>,
    tables: Vec<Table>,
    names: BTreeMap<Arc<str>, usize>,
    /// For a row that is weakly referenced: which rows do, and how often.
    weak: HashMap<RowKey, HashMap<RowKey, u32>>,
    /// Random in its upper half, counting in its lower: the identity of the last transaction.
    last_id: Uuid,
    history: History,
}

/// A table, by its place in the schema, and a row of it.
pub(crate) type RowKey = (usize, Uuid);

/// What a committed transaction did: the rows it changed.
#[derive(Clone, Debug)]
pub struct Committed {
    delta: Arc<Delta>,
    names: Vec<Arc<str>>,
}

/// A row that a transaction changed.
#[derive(Clone, Debug, PartialEq)]
pub struct CommittedRow<'a> {
    /// Its table.
    pub table: &'a Arc<str>,
    /// The row.
    pub uuid: Uuid,
    /// What it was; `None`: not there.
    pub old: Option<Arc<Row>>,
    /// What it is; `None`: gone.
    pub new: Option<Arc<Row>>,
}

impl Database {
    /// An empty database.
    pub fn new(schema: DatabaseSchema) -> Database {
        let names: BTreeMap<Arc<str>, usize> = schema
            .tables
            .keys()
            .enumerate()
            .map(|(id, name)| (name.clone(), id))
            .collect();
        let tables = schema
            .tables
            .iter()
            .map(|(name, table)| Table::new(name.clone(), table, &names))
            .collect();
        Database {
            schema: Arc::new(schema),
            tables,
            names,
            weak: HashMap::new(),
            last_id: first_id(),
            history: History::default(),
        }
    }

    /// The schema.
    pub fn schema(&self) -> &Arc<DatabaseSchema> {
        &self.schema
    }

    /// Carries out operations: all of them or none. One result per operation, and what changed, if anything did.
    ///
    /// No lock is held and nothing can be waited for: an `assert` fails, as does a `wait` for what is not so.
    ///
    /// # Errors
    /// What the first failing operation, or the commit, has to say.
    pub fn transact(
        &mut self,
        operations: &[Operation],
    ) -> Result<(Vec<OperationResult>, Option<Committed>), TransactionError> {
        let refused = |refusal: Refusal, operation| {
            Err(TransactionError {
                error: refusal.error.to_owned(),
                details: refusal.details,
                operation,
            })
        };
        match self.attempt(operations, None, &Context::default()) {
            Attempt::Done { outputs, delta } => {
                let results = outputs.into_iter().map(Output::into_result).collect();
                let names = || self.tables.iter().map(|table| table.name.clone()).collect();
                Ok((
                    results,
                    delta.map(|delta| Committed {
                        delta,
                        names: names(),
                    }),
                ))
            }
            Attempt::Failed { outputs, refusal } => refused(refusal, outputs.len()),
            Attempt::Blocked { operation, .. } => refused(
                Refusal::new("timed out", "\"wait\" is not satisfied".to_owned()),
                operation,
            ),
        }
    }

    /// The row of a table, if it is there.
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<&Arc<Row>> {
        let id = *self.names.get(table)?;
        self.table(id).rows.get(&uuid).map(|stored| &stored.row)
    }

    /// All rows of a table, in order of UUID; none if there is no such table.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Arc<Row>)> {
        let rows = self.names.get(table).map(|id| self.table(*id).rows.iter());
        rows.into_iter()
            .flatten()
            .map(|(uuid, stored)| (*uuid, &stored.row))
    }

    /// The identity of the last transaction that changed anything.
    pub(crate) fn last_id(&self) -> Uuid {
        self.last_id
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn table_id(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The table with an id that this database gave out.
    pub(crate) fn table(&self, id: usize) -> &Table {
        self.tables
            .get(id)
            .expect("table ids are places in the table list")
    }

    fn table_mut(&mut self, id: usize) -> &mut Table {
        self.tables
            .get_mut(id)
            .expect("table ids are places in the table list")
    }

    /// Rows of a table for which all conditions hold. `touched`: rows whose index entries may be out of date.
    fn find(
        &self,
        table: usize,
        conditions: &[Condition],
        touched: impl Iterator<Item = Uuid>,
    ) -> Vec<Uuid> {
        let table = self.table(table);
        let holds = |uuid: &Uuid, stored: &StoredRow| {
            conditions.iter().all(|c| matches(table, *uuid, stored, c))
        };
        let check = |uuid: Uuid| {
            table
                .rows
                .get(&uuid)
                .filter(|stored| holds(&uuid, stored))
                .map(|_| uuid)
        };
        if let Some(uuid) = condition::uuid_asked_for(conditions) {
            return check(uuid).into_iter().collect();
        }
        if let Some(hit) = table.find_by_index(conditions) {
            let mut candidates: Vec<Uuid> = hit.into_iter().chain(touched).collect();
            candidates.sort_unstable();
            candidates.dedup();
            return candidates.into_iter().filter_map(check).collect();
        }
        table
            .rows
            .iter()
            .filter(|(uuid, stored)| holds(uuid, stored))
            .map(|(uuid, _)| *uuid)
            .collect()
    }
}

impl Committed {
    /// What the transaction's comments said: text for a log.
    pub fn comments(&self) -> &[String] {
        &self.delta.comments
    }

    /// The rows that changed.
    pub fn rows(&self) -> impl Iterator<Item = CommittedRow<'_>> {
        self.delta.rows.iter().filter_map(|row| {
            let side =
                |stored: &'_ Option<StoredRow>| stored.as_ref().map(|stored| stored.row.clone());
            let table = self.names.get(row.table)?;
            Some(CommittedRow {
                table,
                uuid: row.uuid,
                old: side(&row.old),
                new: side(&row.new),
            })
        })
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self
            .tables
            .iter()
            .map(|table| (&table.name, table.rows.len()));
        f.debug_struct("Database")
            .field("name", &self.schema.name)
            .field("rows", &rows.collect::<Vec<_>>())
            .finish()
    }
}

/// Two runs of one server must not share transaction identities: a client would be told it missed nothing.
fn first_id() -> Uuid {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    Uuid::from_u64_pair(random, 1 << 63)
}

fn next_id(id: Uuid) -> Uuid {
    let (random, count) = id.as_u64_pair();
    Uuid::from_u64_pair(random, count.wrapping_add(1))
}

#[cfg(test)]
mod tests;
