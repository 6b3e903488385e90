//! `_Server`: the database in which a server says which databases it has (ovsdb-server(5)).
//!
//! Tools look here before they ask for a database; ours are all stand-alone, always connected and leading.
//!
//! Must not: be written by clients.

use crate::database::Database;
use crate::operation::Operation;
use crate::row::Row;
use crate::schema::{BaseType, ColumnSchema, ColumnType, DatabaseSchema, TableSchema};

/// The name of the database.
pub(crate) const NAME: &str = "_Server";

/// A `_Server` that lists itself and these databases.
pub(crate) fn describe<'a>(databases: impl Iterator<Item = &'a Database>) -> Database {
    let mut own = Database::new(schema());
    let schemas = databases
        .map(|database| database.schema().clone())
        .chain([own.schema().clone()]);
    let inserts: Vec<Operation> = schemas
        .map(|schema| Operation::Insert {
            table: "Database".into(),
            uuid: None,
            row: Row::new()
                .with("name", schema.name.as_str())
                .with("model", "standalone")
                .with("connected", true)
                .with("leader", true)
                .with("schema", schema.to_json().to_string()),
        })
        .collect();
    own.transact(&inserts)
        .expect("the rows above fit the schema below");
    own
}

fn schema() -> DatabaseSchema {
    let columns = [
        ("name", ColumnType::scalar(BaseType::string())),
        (
            "model",
            ColumnType::scalar(BaseType::one_of(["clustered", "relay", "standalone"])),
        ),
        ("connected", ColumnType::scalar(BaseType::boolean())),
        ("leader", ColumnType::scalar(BaseType::boolean())),
        ("schema", ColumnType::optional(BaseType::string())),
        ("cid", ColumnType::optional(BaseType::uuid())),
        ("sid", ColumnType::optional(BaseType::uuid())),
        ("index", ColumnType::optional(BaseType::integer())),
    ];
    let columns = columns
        .into_iter()
        .map(|(name, kind)| (name.into(), ColumnSchema::new(kind)))
        .collect();
    let table = TableSchema {
        columns,
        is_root: true,
        ..TableSchema::default()
    };
    DatabaseSchema {
        name: NAME.to_owned(),
        version: "1.2.0".to_owned(),
        cksum: None,
        tables: [("Database".into(), table)].into(),
    }
}
