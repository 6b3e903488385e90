//! What a transaction changed, several of these as one, and the recent ones.
//!
//! Must not: hold more history than its budget.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use crate::database::{RowKey, StoredRow, Table};
use crate::row::Row;
use crate::value::Datum;

/// The rows that one transaction, or several in a row, changed.
#[derive(Debug)]
pub(crate) struct Delta {
    /// The identity of the (last) transaction.
    pub(crate) id: Uuid,
    /// Ordered by table and UUID; each row once; old and new differ.
    pub(crate) rows: Vec<RowDelta>,
    /// What `comment` operations said.
    pub(crate) comments: Vec<String>,
}

/// A row before and after; `None`: not there.
#[derive(Debug)]
pub(crate) struct RowDelta {
    pub(crate) table: usize,
    pub(crate) uuid: Uuid,
    pub(crate) old: Option<StoredRow>,
    pub(crate) new: Option<StoredRow>,
    difference: OnceLock<Row>,
}

impl RowDelta {
    pub(crate) fn new(
        (table, uuid): RowKey,
        old: Option<StoredRow>,
        new: Option<StoredRow>,
    ) -> RowDelta {
        RowDelta {
            table,
            uuid,
            old,
            new,
            difference: OnceLock::new(),
        }
    }

    /// For a row there before and after: the columns that changed, each with its difference as an update2 carries it.
    /// Computed once, for all monitors.
    pub(crate) fn difference(&self, table: &Table) -> &Row {
        self.difference
            .get_or_init(|| match (&self.old, &self.new) {
                (Some(old), Some(new)) => row_difference(table, &old.row, &new.row),
                _ => Row::new(),
            })
    }

    fn heap_bytes(&self, table: &Table) -> usize {
        // What only the history still holds is the old values of changed columns.
        let changed = self.difference(table).iter().map(|(column, difference)| {
            let old = self
                .old
                .as_ref()
                .and_then(|old| old.row.get(column))
                .map_or(0, Datum::heap_bytes);
            old.saturating_add(difference.heap_bytes())
                .saturating_add(80)
        });
        let whole = match (&self.old, &self.new) {
            (Some(old), None) => old.row.iter().fold(0usize, |n, (_, d)| {
                n.saturating_add(d.heap_bytes()).saturating_add(40)
            }),
            _ => 0,
        };
        changed.fold(
            whole.saturating_add(size_of::<RowDelta>()),
            usize::saturating_add,
        )
    }
}

fn row_difference(table: &Table, old: &Row, new: &Row) -> Row {
    let mut difference = Row::new();
    let only_new = new.iter().filter(|(column, _)| old.get(column).is_none());
    for (column, _) in old.iter().chain(only_new) {
        let (before, after) = (table.value(old, column), table.value(new, column));
        if before == after {
            continue;
        }
        let composite = table
            .schema
            .column(column)
            .is_some_and(|schema| schema.kind.is_composite());
        difference.set(
            column.clone(),
            match (before, after) {
                (Datum::Set(before), Datum::Set(after)) if composite => {
                    Datum::Set(before.symmetric_difference(after))
                }
                (Datum::Map(before), Datum::Map(after)) if composite => {
                    Datum::Map(before.difference_to(after))
                }
                _ => after.clone(),
            },
        );
    }
    difference
}

impl Delta {
    /// Several deltas, oldest first, as one: for each row what it was first and is last.
    pub(crate) fn merge<'a>(
        deltas: impl IntoIterator<Item = &'a Arc<Delta>>,
    ) -> Option<Arc<Delta>> {
        let mut id = None;
        let mut rows: BTreeMap<RowKey, (Option<StoredRow>, Option<StoredRow>)> = BTreeMap::new();
        for delta in deltas {
            id = Some(delta.id);
            for row in &delta.rows {
                let merged = rows
                    .entry((row.table, row.uuid))
                    .or_insert_with(|| (row.old.clone(), None));
                merged.1 = row.new.clone();
            }
        }
        let unlike = |(old, new): &(Option<StoredRow>, Option<StoredRow>)| match (old, new) {
            (Some(old), Some(new)) => old.row != new.row,
            (None, None) => false,
            _ => true,
        };
        let rows = rows.into_iter().filter(|(_, change)| unlike(change));
        let rows = rows
            .map(|(key, (old, new))| RowDelta::new(key, old, new))
            .collect();
        Some(Arc::new(Delta {
            id: id?,
            rows,
            comments: Vec::new(),
        }))
    }
}

/// The last transactions, for clients that come back and ask what they missed.
#[derive(Debug, Default)]
pub(crate) struct History {
    deltas: VecDeque<(Arc<Delta>, usize)>,
    bytes: usize,
    /// The identity that the oldest delta follows on.
    base: Option<Uuid>,
}

impl History {
    const MAX_DELTAS: usize = 1000;
    const MAX_BYTES: usize = 1 << 20;

    /// Adds a delta; `before` is the identity that it follows on.
    pub(crate) fn push(&mut self, before: Uuid, delta: &Arc<Delta>, tables: &[Table]) {
        let bytes = delta
            .rows
            .iter()
            .filter_map(|row| Some(row.heap_bytes(tables.get(row.table)?)));
        let bytes = bytes.fold(0, usize::saturating_add);
        self.base.get_or_insert(before);
        self.deltas.push_back((delta.clone(), bytes));
        self.bytes = self.bytes.saturating_add(bytes);
        while self.deltas.len() > Self::MAX_DELTAS || self.bytes > Self::MAX_BYTES {
            let Some((delta, bytes)) = self.deltas.pop_front() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(bytes);
            self.base = Some(delta.id);
        }
    }

    /// All that happened after a transaction, as one; `None` if that transaction is not known (any more).
    /// `current` is the identity of the last transaction.
    pub(crate) fn since(&self, id: Uuid, current: Uuid) -> Option<Arc<Delta>> {
        if id == current {
            return Some(Arc::new(Delta {
                id,
                rows: Vec::new(),
                comments: Vec::new(),
            }));
        }
        let skip = match self.deltas.iter().position(|(delta, _)| delta.id == id) {
            Some(at) => at.saturating_add(1),
            None if self.base == Some(id) => 0,
            None => return None,
        };
        Delta::merge(self.deltas.iter().skip(skip).map(|(delta, _)| delta))
    }
}
