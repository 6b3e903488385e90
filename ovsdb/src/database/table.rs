//! A table's rows, its declared indexes and its columns' defaults and references.
//!
//! Must not: enforce anything, which is the commit's work.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use crate::operation::{Condition, Function};
use crate::row::Row;
use crate::schema::{BaseType, RefType, TableSchema};
use crate::value::{Atom, Datum};

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: Arc<str>,
    pub(crate) schema: TableSchema,
    pub(crate) rows: BTreeMap<Uuid, StoredRow>,
    /// How many strong references there are to a row, itself aside; absent: none.
    pub(crate) strong: HashMap<Uuid, u32>,
    /// In the order of the schema's indexes: values to row.
    pub(crate) indexes: Vec<HashMap<Vec<Datum>, Uuid>>,
    /// The columns that hold references.
    pub(crate) references: Vec<ReferenceColumn>,
    defaults: BTreeMap<Arc<str>, Datum>,
}

/// A row and its `_version`, which is the identity of the transaction that last changed it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredRow {
    pub(crate) row: Arc<Row>,
    pub(crate) version: Uuid,
}

/// A column whose keys, values or both are references.
#[derive(Clone, Debug)]
pub(crate) struct ReferenceColumn {
    pub(crate) column: Arc<str>,
    pub(crate) key: Option<(usize, RefType)>,
    pub(crate) value: Option<(usize, RefType)>,
}

impl Table {
    pub(crate) fn new(
        name: Arc<str>,
        schema: &TableSchema,
        ids: &BTreeMap<Arc<str>, usize>,
    ) -> Table {
        let target = |base: &BaseType| Some((*ids.get(base.ref_table.as_ref()?)?, base.ref_type));
        let references = schema
            .columns
            .iter()
            .map(|(column, schema)| ReferenceColumn {
                column: column.clone(),
                key: target(&schema.kind.key),
                value: schema.kind.value.as_ref().and_then(target),
            });
        Table {
            name,
            rows: BTreeMap::new(),
            strong: HashMap::new(),
            indexes: schema.indexes.iter().map(|_| HashMap::new()).collect(),
            references: references
                .filter(|column| column.key.is_some() || column.value.is_some())
                .collect(),
            defaults: schema
                .columns
                .iter()
                .map(|(name, column)| (name.clone(), column.kind.default_datum()))
                .collect(),
            schema: schema.clone(),
        }
    }

    /// The value a row has in a column of this table; the empty set if there is no such column.
    pub(crate) fn value<'a>(&'a self, row: &'a Row, column: &str) -> &'a Datum {
        static EMPTY: Datum = Datum::Set(crate::value::Set::new());
        row.get(column)
            .or_else(|| self.defaults.get(column))
            .unwrap_or(&EMPTY)
    }

    /// Brings a row into the stored form: defaults left out, an empty set in a map column an empty map.
    pub(crate) fn normalize(&self, row: &mut Row) {
        row.retain(|column, datum| {
            !self
                .schema
                .column(column)
                .is_some_and(|schema| schema.kind.is_default(datum))
        });
    }

    /// Puts into a new row the defaults that a row does not leave out.
    pub(crate) fn complete(&self, row: &mut Row) {
        for (column, default) in &self.defaults {
            let kind = self.schema.column(column).map(|schema| &schema.kind);
            if row.get(column).is_none() && kind.is_some_and(|kind| !kind.is_default(default)) {
                row.set(column.clone(), default.clone());
            }
        }
    }

    /// A row's values in the columns of the schema's n-th index.
    pub(crate) fn index_key(&self, index: &[Arc<str>], row: &Row) -> Vec<Datum> {
        index
            .iter()
            .map(|column| self.value(row, column).clone())
            .collect()
    }

    /// If the conditions fix all columns of an index: the row that had these values at the last commit.
    pub(crate) fn find_by_index(&self, conditions: &[Condition]) -> Option<Option<Uuid>> {
        let fixed = |column: &Arc<str>| {
            let equal = conditions
                .iter()
                .find(|c| c.function == Function::Equal && c.column == *column)?;
            Some(equal.value.clone())
        };
        self.schema
            .indexes
            .iter()
            .zip(&self.indexes)
            .find_map(|(columns, index)| {
                let key = columns.iter().map(fixed).collect::<Option<Vec<Datum>>>()?;
                Some(index.get(&key).copied())
            })
    }
}

impl ReferenceColumn {
    /// The references that this column's value holds.
    pub(crate) fn of<'a>(
        &'a self,
        datum: &'a Datum,
    ) -> impl Iterator<Item = (usize, RefType, Uuid)> + 'a {
        let (set, map) = match datum {
            Datum::Set(set) => (set.as_slice(), &[][..]),
            Datum::Map(map) => (&[][..], map.as_slice()),
        };
        let keys = set.iter().chain(map.iter().map(|(key, _)| key));
        let values = map.iter().map(|(_, value)| value);
        let named = |target: Option<(usize, RefType)>| {
            move |atom: &Atom| target.and_then(|(table, kind)| Some((table, kind, atom.as_uuid()?)))
        };
        keys.filter_map(named(self.key))
            .chain(values.filter_map(named(self.value)))
    }

    /// True if some references of this column are weak.
    pub(crate) fn has_weak(&self) -> bool {
        [self.key, self.value]
            .iter()
            .flatten()
            .any(|(_, kind)| *kind == RefType::Weak)
    }

    /// The value without its weak references to a row.
    pub(crate) fn without(&self, datum: &Datum, target: (usize, Uuid)) -> Datum {
        let names = |reference: Option<(usize, RefType)>, atom: &Atom| {
            reference == Some((target.0, RefType::Weak)) && atom.as_uuid() == Some(target.1)
        };
        match datum {
            Datum::Set(set) => Datum::Set(
                set.iter()
                    .filter(|atom| !names(self.key, atom))
                    .cloned()
                    .collect(),
            ),
            Datum::Map(map) => Datum::Map(
                map.as_slice()
                    .iter()
                    .filter(|(key, value)| !names(self.key, key) && !names(self.value, value))
                    .cloned()
                    .collect(),
            ),
        }
    }
}
