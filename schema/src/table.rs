//! A table: the trait, and the macro that makes a definition read as one.
//!
//! ```text
//! table! {
//!     /// What a row is.
//!     "OVN_Northbound", "Logical_Switch" as LogicalSwitch: root();
//!
//!     /// What the column is.
//!     name: String;
//!     /// A Rust keyword as column name, and rules for what the type cannot say.
//!     kind = "type": String, one_of(&["a", "b"]);
//! }
//! ```
//!
//! makes the struct (with the row's `uuid` first), its [`Table`] implementation and its schema.
//! Properties of the table and rules of columns are the functions of [`crate::column::rule`] and
//! [`property`]. Must not: know any table by name.

use std::{fmt::Debug, sync::Arc};

use uuid::Uuid;
use weft_ovsdb::{Condition, Datum, Map, Mutation, Mutator, Operation, Row, Set, TableSchema};

use crate::column::{ColumnError, Shape, Value};

/// A typed table.
pub trait Table: Clone + Debug + Default + PartialEq + Sized {
    /// Name of the database.
    const DATABASE: &'static str;
    /// Name of the table.
    const NAME: &'static str;
    /// Names of the columns, in the order of definition.
    const COLUMNS: &'static [&'static str];

    /// UUID of this row.
    fn uuid(&self) -> Uuid;

    /// The row read from the database. A column that the row lacks has its default.
    ///
    /// # Errors
    /// A column holds what its type does not allow.
    fn from_row(uuid: Uuid, row: &Row) -> Result<Self, ColumnError>;

    /// The row as the database stores it: without the columns that hold their default.
    fn to_row(&self) -> Row;

    /// The table's schema: the columns that weft knows.
    fn schema() -> TableSchema;

    /// Columns that differ from `old`, in the order of definition.
    fn changes_from(&self, old: &Self) -> Vec<ColumnChange>;

    /// The operation that inserts this row. Columns at their default are left to the database.
    fn insert(&self) -> Operation {
        let row = self
            .changes_from(&Self::default())
            .into_iter()
            .map(|change| (change.column, change.new))
            .collect();
        Operation::Insert {
            table: Arc::from(Self::NAME),
            uuid: Some(self.uuid()),
            row,
        }
    }

    /// The operations that turn `old` into this row: changed columns alone, and of sets and maps
    /// changed elements alone, so that what others put beside them survives. Empty if nothing
    /// changed.
    fn update_from(&self, old: &Self) -> Vec<Operation> {
        let conditions = || vec![Condition::uuid(self.uuid())];
        let mut row = Row::default();
        let mut mutations = Vec::new();
        for change in self.changes_from(old) {
            match change.shape {
                Shape::Scalar => row.set(change.column, change.new),
                Shape::Set => mutations.extend(set_mutations(&change)),
                Shape::Map => mutations.extend(map_mutations(&change)),
            }
        }
        let mut operations = Vec::new();
        if !row.is_empty() {
            operations.push(Operation::Update {
                table: Arc::from(Self::NAME),
                conditions: conditions(),
                row,
            });
        }
        if !mutations.is_empty() {
            operations.push(Operation::Mutate {
                table: Arc::from(Self::NAME),
                conditions: conditions(),
                mutations,
            });
        }
        operations
    }

    /// The operation that deletes the row. A row of a table that is not root goes by itself, once
    /// no row names it.
    fn delete(uuid: Uuid) -> Operation {
        Operation::Delete {
            table: Arc::from(Self::NAME),
            conditions: vec![Condition::uuid(uuid)],
        }
    }
}

/// One column that differs between two versions of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnChange {
    /// Name of the column.
    pub column: &'static str,
    /// How it is written.
    pub shape: Shape,
    /// What it held.
    pub old: Datum,
    /// What it holds.
    pub new: Datum,
}

impl ColumnChange {
    /// The change of one column, or nothing if there is none.
    pub fn between<V: Value>(column: &'static str, old: &V, new: &V) -> Option<Self> {
        if old == new {
            return None;
        }
        // Compared as data: a list in another order is the same set.
        let (old, new) = (old.to_datum(), new.to_datum());
        (old != new).then_some(Self {
            column,
            shape: V::SHAPE,
            old,
            new,
        })
    }
}

/// Insert first: a set that must not be empty would be, in between.
fn set_mutations(change: &ColumnChange) -> Vec<Mutation> {
    let (Datum::Set(old), Datum::Set(new)) = (&change.old, &change.new) else {
        return Vec::new();
    };
    [
        (Mutator::Insert, new.difference(old)),
        (Mutator::Delete, old.difference(new)),
    ]
    .into_iter()
    .filter(|(_, atoms)| !atoms.is_empty())
    .map(|(mutator, atoms)| Mutation::new(change.column, mutator, atoms))
    .collect()
}

/// Delete first: inserting into a map does not overwrite a key (RFC 7047 §5.1).
fn map_mutations(change: &ColumnChange) -> Vec<Mutation> {
    let (Datum::Map(old), Datum::Map(new)) = (&change.old, &change.new) else {
        return Vec::new();
    };
    let went: Set = old
        .iter()
        .filter(|(key, value)| new.get(key) != Some(*value))
        .map(|(key, _)| key.clone())
        .collect();
    let came: Map = new
        .iter()
        .filter(|(key, value)| old.get(key) != Some(*value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mut mutations = Vec::new();
    if !went.is_empty() {
        mutations.push(Mutation::new(change.column, Mutator::Delete, went));
    }
    if !came.is_empty() {
        mutations.push(Mutation::new(change.column, Mutator::Insert, came));
    }
    mutations
}

/// Properties of a table, for the head of a [`table!`](crate::table) block.
pub mod property {
    use std::sync::Arc;

    use weft_ovsdb::TableSchema;

    /// Changes one property of a table's schema.
    pub type Property = Box<dyn Fn(&mut TableSchema)>;

    /// Rows live without being named by another row.
    #[must_use]
    pub fn root() -> Property {
        Box::new(|table| table.is_root = true)
    }

    /// At most this many rows.
    #[must_use]
    pub fn max_rows(count: u64) -> Property {
        Box::new(move |table| table.max_rows = Some(count))
    }

    /// No two rows agree in all of these columns.
    #[must_use]
    pub fn index(columns: &'static [&'static str]) -> Property {
        Box::new(move |table| {
            table
                .indexes
                .push(columns.iter().map(|column| Arc::from(*column)).collect());
        })
    }
}

/// Defines a table; see the [module](self).
macro_rules! table {
    (
        $(#[$table_meta:meta])*
        $database:literal, $table:literal as $name:ident $(: $($property:expr),+)?;
        $(
            $(#[$column_meta:meta])*
            $field:ident $(= $column:literal)? : $type:ty $(, $rule:expr)*;
        )*
    ) => {
        $(#[$table_meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            /// UUID of the row.
            pub uuid: ::uuid::Uuid,
            $( $(#[$column_meta])* pub $field: $type, )*
        }

        impl $crate::table::Table for $name {
            const DATABASE: &'static str = $database;
            const NAME: &'static str = $table;
            const COLUMNS: &'static [&'static str] =
                &[$( $crate::table::column_name!($field $(= $column)?) ),*];

            fn uuid(&self) -> ::uuid::Uuid {
                self.uuid
            }

            fn from_row(
                uuid: ::uuid::Uuid,
                row: &::weft_ovsdb::Row,
            ) -> Result<Self, $crate::column::ColumnError> {
                Ok(Self {
                    uuid,
                    $( $field: $crate::column::read(
                        $table,
                        uuid,
                        $crate::table::column_name!($field $(= $column)?),
                        row,
                    )?, )*
                })
            }

            fn to_row(&self) -> ::weft_ovsdb::Row {
                let mut row = ::weft_ovsdb::Row::default();
                $( $crate::column::write(
                    &mut row,
                    $crate::table::column_name!($field $(= $column)?),
                    &self.$field,
                ); )*
                row
            }

            #[allow(unused_imports, unused_mut)]
            fn schema() -> ::weft_ovsdb::TableSchema {
                use $crate::{column::rule::*, table::property::*};
                let mut table = ::weft_ovsdb::TableSchema::default();
                $( $( $property(&mut table); )+ )?
                $(
                    let mut column = $crate::column::schema::<$type>();
                    $( $rule(&mut column); )*
                    table.columns.insert(
                        ::std::sync::Arc::from($crate::table::column_name!($field $(= $column)?)),
                        column,
                    );
                )*
                table
            }

            fn changes_from(&self, old: &Self) -> Vec<$crate::table::ColumnChange> {
                [$( $crate::table::ColumnChange::between(
                    $crate::table::column_name!($field $(= $column)?),
                    &old.$field,
                    &self.$field,
                ) ),*]
                .into_iter()
                .flatten()
                .collect()
            }
        }
    };
}

macro_rules! column_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident = $column:literal) => {
        $column
    };
}

pub(crate) use {column_name, table};
