//! Rows: named columns and their values, without `_uuid` and `_version`.
//!
//! **A column that is absent holds its type's default** (an empty set or map; 0, "", false for a mandatory scalar).
//! Rows in the database, in monitors and in results leave out every column that holds its default, so a sparse row
//! costs what it says. Operations may name defaults explicitly: in an update that is how a column is emptied.
//!
//! Must not: know a schema.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::value::Datum;

/// Columns and their values, sorted by column name; an absent column holds its type's default.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Row {
    columns: Vec<(Arc<str>, Datum)>,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// The row's table.
    pub table: Arc<str>,
    /// The row.
    pub uuid: Uuid,
    /// The whole new row (of the monitored columns); `None`: deleted.
    pub row: Option<Arc<Row>>,
}

impl Row {
    /// A row of defaults.
    pub fn new() -> Row {
        Row::default()
    }

    /// The value of a column; `None` if it is absent, that is, holds its type's default.
    pub fn get(&self, column: &str) -> Option<&Datum> {
        let at = self.find(column).ok()?;
        self.columns.get(at).map(|(_, datum)| datum)
    }

    /// Gives a column a value.
    pub fn set(&mut self, column: impl Into<Arc<str>>, datum: impl Into<Datum>) {
        let (column, datum) = (column.into(), datum.into());
        match self.find(&column) {
            Ok(at) => {
                if let Some(slot) = self.columns.get_mut(at) {
                    slot.1 = datum;
                }
            }
            Err(at) => {
                self.columns.reserve_exact(1);
                self.columns.insert(at, (column, datum));
            }
        }
    }

    /// [`Row::set`], for building a row in one expression.
    #[must_use]
    pub fn with(mut self, column: impl Into<Arc<str>>, datum: impl Into<Datum>) -> Row {
        self.set(column, datum);
        self
    }

    /// Takes a column out.
    pub fn remove(&mut self, column: &str) -> Option<Datum> {
        let at = self.find(column).ok()?;
        Some(self.columns.remove(at).1)
    }

    /// The columns that are present, in order of name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Datum)> {
        self.columns.iter().map(|(column, datum)| (column, datum))
    }

    /// Number of columns that are present.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// True if no column is present.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Keeps the columns for which `keep` says so.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str, &Datum) -> bool) {
        self.columns.retain(|(column, datum)| keep(column, datum));
        self.columns.shrink_to_fit();
    }

    fn find(&self, column: &str) -> Result<usize, usize> {
        self.columns
            .binary_search_by(|(name, _)| (**name).cmp(column))
    }
}

impl<C: Into<Arc<str>>, D: Into<Datum>> FromIterator<(C, D)> for Row {
    fn from_iter<I: IntoIterator<Item = (C, D)>>(iter: I) -> Row {
        let mut row = Row::new();
        for (column, datum) in iter {
            row.set(column, datum);
        }
        row
    }
}

impl<'a> IntoIterator for &'a Row {
    type Item = &'a (Arc<str>, Datum);
    type IntoIter = std::slice::Iter<'a, (Arc<str>, Datum)>;

    fn into_iter(self) -> Self::IntoIter {
        self.columns.iter()
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
