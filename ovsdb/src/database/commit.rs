//! The end of a transaction: references, garbage, weak references, row limits, indexes; then it counts.
//!
//! Reference counts change by what the touched rows gained and lost. A non-root row whose count is zero goes, which
//! may take others along; then references to what is gone are refused (strong) or taken out (weak).
//!
//! Must not: change counts or indexes before every check has passed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use crate::database::transaction::Transaction;
use crate::database::{Delta, Refusal, RowDelta, RowKey, StoredRow};
use crate::row::Row;
use crate::schema::RefType;
use crate::value::{Atom, Datum};

/// What a transaction does to reference counts.
#[derive(Default)]
struct Counts {
    strong: BTreeMap<RowKey, i64>,
    /// Referenced row, referencing row.
    weak: BTreeMap<RowKey, BTreeMap<RowKey, i64>>,
    /// For every touched row, the row as counted so far.
    counted: BTreeMap<RowKey, Option<Arc<Row>>>,
}

impl Transaction<'_> {
    /// Commits; what changed, if anything did.
    pub(super) fn commit(mut self) -> Result<Option<Arc<Delta>>, Refusal> {
        let mut counts = Counts::default();
        loop {
            self.count_references(&mut counts);
            if self.collect_garbage(&counts) {
                continue;
            }
            self.check_strong(&counts)?;
            if !self.prune_weak(&counts)? {
                break;
            }
        }
        self.drop_unchanged();
        self.check_max_rows()?;
        self.check_indexes()?;
        Ok(self.apply(counts))
    }

    fn current(&self, key: RowKey) -> Option<&StoredRow> {
        self.database.table(key.0).rows.get(&key.1)
    }

    /// Brings the counts up to date with the rows as they are now.
    fn count_references(&self, counts: &mut Counts) {
        for (key, before) in &self.before {
            let new = self.current(*key).map(|stored| stored.row.clone());
            let counted = counts
                .counted
                .entry(*key)
                .or_insert_with(|| before.as_ref().map(|old| old.row.clone()));
            let old = std::mem::replace(counted, new.clone());
            if let (Some(old), Some(new)) = (&old, &new)
                && Arc::ptr_eq(old, new)
            {
                continue;
            }
            for column in &self.database.table(key.0).references {
                let value = |row: &Option<Arc<Row>>| {
                    row.as_ref()
                        .and_then(|row| row.get(&column.column))
                        .cloned()
                };
                let (old, new) = match (value(&old), value(&new)) {
                    (old, new) if old == new => continue,
                    // Large sets change by few elements: count only those.
                    (Some(Datum::Set(old)), Some(Datum::Set(new))) => (
                        Some(Datum::Set(old.difference(&new))),
                        Some(Datum::Set(new.difference(&old))),
                    ),
                    other => other,
                };
                for (datum, change) in [(old, -1_i64), (new, 1)] {
                    let Some(datum) = datum else { continue };
                    for (table, kind, uuid) in column.of(&datum) {
                        let count = match kind {
                            // A row cannot keep itself.
                            RefType::Strong if (table, uuid) == *key => continue,
                            RefType::Strong => counts.strong.entry((table, uuid)).or_default(),
                            RefType::Weak => counts
                                .weak
                                .entry((table, uuid))
                                .or_default()
                                .entry(*key)
                                .or_default(),
                        };
                        *count = count.saturating_add(change);
                    }
                }
            }
        }
    }

    fn strong_count(&self, counts: &Counts, key: RowKey) -> i64 {
        let committed = self
            .database
            .table(key.0)
            .strong
            .get(&key.1)
            .copied()
            .unwrap_or_default();
        i64::from(committed).saturating_add(counts.strong.get(&key).copied().unwrap_or_default())
    }

    /// Removes non-root rows that nothing references; true if there were any.
    fn collect_garbage(&mut self, counts: &Counts) -> bool {
        let touched = self.before.keys().chain(counts.strong.keys());
        let garbage: BTreeSet<RowKey> = touched
            .filter(|key| !self.database.table(key.0).schema.is_root)
            .filter(|key| self.current(**key).is_some() && self.strong_count(counts, **key) <= 0)
            .copied()
            .collect();
        garbage.iter().for_each(|key| self.write(*key, None));
        !garbage.is_empty()
    }

    fn check_strong(&self, counts: &Counts) -> Result<(), Refusal> {
        for key in self.before.keys().chain(counts.strong.keys()) {
            let count = self.strong_count(counts, *key);
            if count <= 0 || self.current(*key).is_some() {
                continue;
            }
            let target = self.database.table(key.0);
            if matches!(self.before.get(key), Some(Some(_))) {
                return Err(Refusal::integrity(format!(
                    "cannot delete {} row {} because of {count} remaining reference(s)",
                    target.name, key.1
                )));
            }
            let source = self.before.keys().find_map(|source| {
                let table = self.database.table(source.0);
                let row = &self.current(*source)?.row;
                let column = table.references.iter().find(|column| {
                    row.get(&column.column).is_some_and(|datum| {
                        column.of(datum).any(|(table, kind, uuid)| {
                            kind == RefType::Strong && (table, uuid) == *key
                        })
                    })
                })?;
                Some(format!(
                    "Table {} column {} row {}",
                    table.name, column.column, source.1
                ))
            });
            return Err(Refusal::integrity(format!(
                "{} references nonexistent row {} in table {}.",
                source.unwrap_or_else(|| "A row".to_owned()),
                key.1,
                target.name
            )));
        }
        Ok(())
    }

    /// Takes out weak references to rows that are not there; true if there were any.
    fn prune_weak(&mut self, counts: &Counts) -> Result<bool, Refusal> {
        let targets: BTreeSet<RowKey> = self
            .before
            .keys()
            .chain(counts.weak.keys())
            .copied()
            .collect();
        let mut is_changed = false;
        for target in targets {
            if self.current(target).is_some() {
                continue;
            }
            let committed = self
                .database
                .weak
                .get(&target)
                .into_iter()
                .flat_map(HashMap::keys);
            let added = counts
                .weak
                .get(&target)
                .into_iter()
                .flat_map(BTreeMap::keys);
            let sources: BTreeSet<RowKey> = committed.chain(added).copied().collect();
            for source in sources {
                is_changed |= self.prune_row(source, target)?;
            }
        }
        Ok(is_changed)
    }

    fn prune_row(&mut self, source: RowKey, target: RowKey) -> Result<bool, Refusal> {
        let table = self.database.table(source.0);
        let Some(stored) = table.rows.get(&source.1) else {
            return Ok(false);
        };
        let mut row = (*stored.row).clone();
        for column in table.references.iter().filter(|column| column.has_weak()) {
            let Some(datum) = stored.row.get(&column.column) else {
                continue;
            };
            let pruned = column.without(datum, target);
            if pruned.len() == datum.len() {
                continue;
            }
            let kind = table
                .schema
                .column(&column.column)
                .map(|schema| &schema.kind);
            if pruned.is_empty() && kind.is_some_and(|kind| kind.min > 0) {
                return Err(Refusal::constraint(format!(
                    "Deletion of {} weak reference(s) to deleted (or never-existing) rows from column \"{}\" in \"{}\" \
                     row {} caused this column to become empty, but constraints on this column disallow an empty \
                     column.",
                    datum.len().saturating_sub(pruned.len()),
                    column.column,
                    table.name,
                    source.1
                )));
            }
            row.set(column.column.clone(), pruned);
        }
        if row == *stored.row {
            return Ok(false);
        }
        table.normalize(&mut row);
        self.write(source, Some(row));
        Ok(true)
    }

    /// Forgets rows that are what they were; their `_version` stays.
    fn drop_unchanged(&mut self) {
        let database = &mut *self.database;
        self.before.retain(|(table, uuid), before| {
            let rows = &mut database.table_mut(*table).rows;
            match (before, rows.get_mut(uuid)) {
                (None, None) => false,
                (Some(before), Some(now)) if before.row == now.row => {
                    *now = before.clone();
                    false
                }
                _ => true,
            }
        });
    }

    fn check_max_rows(&self) -> Result<(), Refusal> {
        let tables: BTreeSet<usize> = self.before.keys().map(|(table, _)| *table).collect();
        for table in tables {
            let table = self.database.table(table);
            let rows = u64::try_from(table.rows.len()).unwrap_or(u64::MAX);
            if let Some(max) = table.schema.max_rows
                && rows > max
            {
                return Err(Refusal::constraint(format!(
                    "transaction causes \"{}\" table to contain {rows} rows, greater than the schema-defined limit of \
                     {max} row(s)",
                    table.name
                )));
            }
        }
        Ok(())
    }

    fn check_indexes(&self) -> Result<(), Refusal> {
        let mut taken: HashMap<(usize, usize, Vec<Datum>), Uuid> = HashMap::new();
        for key in self.before.keys() {
            let table = self.database.table(key.0);
            let Some(stored) = table.rows.get(&key.1) else {
                continue;
            };
            for (at, (columns, index)) in
                table.schema.indexes.iter().zip(&table.indexes).enumerate()
            {
                let values = table.index_key(columns, &stored.row);
                // A committed holder counts unless this transaction touched it: then it speaks for itself.
                let holder = index
                    .get(&values)
                    .filter(|holder| !self.before.contains_key(&(key.0, **holder)));
                let other = holder
                    .copied()
                    .or_else(|| taken.insert((key.0, at, values.clone()), key.1));
                if let Some(other) = other {
                    return Err(self.duplicate(key.0, columns, key.1, other));
                }
            }
        }
        Ok(())
    }

    /// Says of two rows that an index does not allow both, as Open vSwitch says it.
    fn duplicate(&self, id: usize, columns: &[Arc<str>], one: Uuid, other: Uuid) -> Refusal {
        let table = self.database.table(id);
        let row = |uuid: Uuid| table.rows.get(&uuid).map(|stored| &stored.row);
        let values = |uuid: Uuid| -> Option<Vec<&Datum>> {
            let row = row(uuid)?;
            let columns = table.schema.columns.keys();
            Some(columns.map(|column| table.value(row, column)).collect())
        };
        let (first, second) = match values(one) < values(other) {
            true => (other, one),
            false => (one, other),
        };
        let listed = |row: &Row| {
            let values = columns.iter().map(|column| plain(table.value(row, column)));
            enumerate(&values.collect::<Vec<_>>())
        };
        let history = |uuid: Uuid| {
            match (self.before.get(&(id, uuid)), row(uuid)) {
            (Some(None), _) => "was inserted by this transaction".to_owned(),
            (Some(Some(before)), Some(now)) => {
                let key = |row: &Row| table.index_key(columns, row);
                match key(&before.row) == key(now) {
                    true => "existed in the database before this transaction, which modified some of the row's columns \
                             but not any columns in this index"
                        .to_owned(),
                    false => format!(
                        "had the following index values before the transaction: {}",
                        listed(&before.row)
                    ),
                }
            }
            _ => "existed in the database before this transaction and was not modified by the transaction".to_owned(),
        }
        };
        let names: Vec<String> = columns
            .iter()
            .map(|column| format!("\"{column}\""))
            .collect();
        Refusal::constraint(format!(
            "Transaction causes multiple rows in \"{}\" table to have identical values ({}) for index on column{} {}.  \
             First row, with UUID {first}, {}.  Second row, with UUID {second}, {}.",
            table.name,
            row(one).map(|row| listed(row)).unwrap_or_default(),
            if names.len() > 1 { "s" } else { "" },
            enumerate(&names),
            history(first),
            history(second),
        ))
    }

    /// All checks have passed: makes it so.
    fn apply(mut self, counts: Counts) -> Option<Arc<Delta>> {
        self.is_committed = true;
        let before = std::mem::take(&mut self.before);
        if before.is_empty() {
            return None;
        }
        let database = &mut *self.database;
        for ((table, uuid), change) in counts.strong {
            let strong = &mut database.table_mut(table).strong;
            let count =
                i64::from(strong.get(&uuid).copied().unwrap_or_default()).saturating_add(change);
            match u32::try_from(count) {
                Ok(0) | Err(_) => strong.remove(&uuid),
                Ok(count) => strong.insert(uuid, count),
            };
        }
        for (target, sources) in counts.weak {
            let referrers = database.weak.entry(target).or_default();
            for (source, change) in sources {
                let count = i64::from(referrers.get(&source).copied().unwrap_or_default())
                    .saturating_add(change);
                match u32::try_from(count) {
                    Ok(0) | Err(_) => referrers.remove(&source),
                    Ok(count) => referrers.insert(source, count),
                };
            }
            if referrers.is_empty() {
                database.weak.remove(&target);
            }
        }
        let mut rows = Vec::with_capacity(before.len());
        for (key, old) in &before {
            let table = database.table_mut(key.0);
            let Some(old) = old else { continue };
            let columns = table.schema.indexes.clone();
            for (at, columns) in columns.iter().enumerate() {
                let values = table.index_key(columns, &old.row);
                if let Some(index) = table.indexes.get_mut(at)
                    && index.get(&values) == Some(&key.1)
                {
                    index.remove(&values);
                }
            }
        }
        for (key, old) in before {
            let table = database.table_mut(key.0);
            let new = table.rows.get(&key.1).cloned();
            if let Some(new) = &new {
                for at in 0..table.indexes.len() {
                    let Some(columns) = table.schema.indexes.get(at) else {
                        continue;
                    };
                    let values = table.index_key(columns, &new.row);
                    if let Some(index) = table.indexes.get_mut(at) {
                        index.insert(values, key.1);
                    }
                }
            }
            rows.push(RowDelta::new(key, old, new));
        }
        let delta = Arc::new(Delta {
            id: self.id,
            rows,
            comments: std::mem::take(&mut self.comments),
        });
        database
            .history
            .push(database.last_id, &delta, &database.tables);
        database.last_id = self.id;
        Some(delta)
    }
}

/// A value as people write it: a string without quotes where it is a plain word.
fn plain(datum: &Datum) -> String {
    let word = |text: &&str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
    };
    let text = datum.as_atom().and_then(Atom::as_str).filter(word);
    text.map_or_else(|| datum.to_string(), str::to_owned)
}

/// `a`, `a and b`, `a, b and c`
fn enumerate(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [word] => word.clone(),
        [words @ .., last] => format!("{} and {last}", words.join(", ")),
    }
}
