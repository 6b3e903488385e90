//! What is wrong with a row: one line for the person who wrote it.
//!
//! Must not: stop compilation; a bad row harms itself only.

use std::fmt;

use uuid::Uuid;

/// A message about one row.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Diagnostic {
    /// The row's table.
    pub table: &'static str,
    /// The row; nil where many are meant.
    pub uuid: Uuid,
    /// The row's name; empty for tables without one.
    pub name: String,
    /// The column at fault.
    pub column: &'static str,
    /// What was found and what to do.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic {
            table,
            uuid,
            name,
            column,
            message,
        } = self;
        match name.is_empty() {
            // About all rows of a kind.
            true if uuid.is_nil() => write!(f, "{table} {column}: {message}"),
            true => write!(f, "{table} {uuid} {column}: {message}"),
            false => write!(f, "{table} {name} ({uuid}) {column}: {message}"),
        }
    }
}
