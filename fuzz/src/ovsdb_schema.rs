//! Schemas: what was read prints as JSON that reads the same, and makes a database that takes transactions.
//!
//! Must not: bound what a schema may say; the reader does.

use serde_json::{Value, json};
use weft_ovsdb::{Database, DatabaseSchema, Operation, Row};

use crate::zoo;

/// One schema.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(schema) = DatabaseSchema::parse(text) else {
        return;
    };
    let printed = schema.to_json().to_string();
    let read = DatabaseSchema::parse(&printed);
    assert_eq!(read.as_ref(), Ok(&schema), "{text} printed as {printed}");
    let mut database = Database::new(schema.clone());
    for table in schema.tables.keys() {
        let insert = Operation::Insert {
            table: table.clone(),
            uuid: None,
            row: Row::new(),
        };
        // Refused where a column may not have its default.
        let _ = database.transact(&[insert]);
    }
    assert_eq!(database.audit(), Vec::<String>::new(), "{text}");
}

/// Schemas with every member.
pub fn seeds() -> Vec<Vec<u8>> {
    let bases: [Value; 5] = [
        json!({"type": "integer", "minInteger": 1, "maxInteger": 9}),
        json!({"type": "real", "minReal": 0.5, "maxReal": 9.5}),
        json!({"type": "string", "minLength": 1, "maxLength": 9}),
        json!({"type": "string", "enum": ["set", ["a", "b"]]}),
        json!({"type": "uuid", "refTable": "T", "refType": "weak"}),
    ];
    let schema = |base: &Value| {
        let column = json!({"type": {"key": base, "value": base, "min": 0, "max": "unlimited"},
            "ephemeral": true, "mutable": false});
        let table = json!({"columns": {"c": column, "d": {"type": "boolean"}}, "indexes": [["d"]], "maxRows": 3,
            "isRoot": true});
        json!({"name": "N", "version": "1.0.0", "cksum": "1 2", "tables": {"T": table}}).to_string()
    };
    let all = bases.iter().map(schema).chain([zoo::SCHEMA.to_owned()]);
    all.map(String::into_bytes).collect()
}
