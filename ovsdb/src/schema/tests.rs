//! Schemas: reading, printing, checking.

use serde_json::{Value, json};

use super::*;

fn table(table: Value) -> Value {
    json!({"name": "d", "version": "1.0.0", "tables": {"T": table}})
}

fn column(kind: Value) -> Value {
    table(json!({"columns": {"c": {"type": kind}}}))
}

#[test]
fn a_schema_reads_as_it_prints() {
    let schema = json!({"name": "d", "version": "1.2.3", "cksum": "1 2", "tables": {
        "A": {"isRoot": true, "maxRows": 3, "indexes": [["i"], ["i", "s"]], "columns": {
            "i": {"type": {"key": {"type": "integer", "minInteger": -5, "maxInteger": 9}}, "mutable": false},
            "r": {"type": {"key": {"type": "real", "minReal": 0.5, "maxReal": 2.0}, "min": 0}, "ephemeral": true},
            "s": {"type": {"key": {"type": "string", "minLength": 1, "maxLength": 7}}},
            "e": {"type": {"key": {"type": "string", "enum": ["set", ["x", "y"]]}}},
            "b": {"type": "boolean"},
            "m": {"type": {"key": "string", "value": {"type": "uuid", "refTable": "B"}, "min": 0, "max": "unlimited"}},
            "w": {"type": {"key": {"type": "uuid", "refTable": "B", "refType": "weak"}, "min": 0, "max": 4}}}},
        "B": {"columns": {}}}});
    let read = DatabaseSchema::from_json(&schema).expect("a schema");
    assert_eq!(read.to_json(), schema);
    assert_eq!(DatabaseSchema::from_json(&read.to_json()), Ok(read));
}

#[test]
fn what_is_no_schema_is_refused_with_the_place() {
    let cases = [
        (json!([]), "database"),
        (json!({"name": "d", "version": "1"}), "database"),
        (
            json!({"name": "1", "version": "1", "tables": {}}),
            "database",
        ),
        (json!({"name": "d", "tables": {"T": 1}}), "table T"),
        (table(json!({})), "table T"),
        (table(json!({"columns": {}, "maxRows": 0})), "table T"),
        (table(json!({"columns": {}, "isroot": true})), "table T"),
        (table(json!({"columns": {}, "indexes": [["x"]]})), "table T"),
        (table(json!({"columns": {}, "indexes": [[]]})), "table T"),
        (
            table(json!({"columns": {"_c": {"type": "string"}}})),
            "table T column _c",
        ),
        (table(json!({"columns": {"c": {}}})), "table T column c"),
        (column(json!("text")), "table T column c"),
        (
            column(json!({"key": "string", "min": 2})),
            "table T column c",
        ),
        (
            column(json!({"key": "string", "max": 0})),
            "table T column c",
        ),
        (
            column(json!({"key": "string", "max": "many"})),
            "table T column c",
        ),
        (
            column(json!({"key": {"type": "string", "minInteger": 1}})),
            "table T column c",
        ),
        (
            column(json!({"key": {"type": "integer", "minInteger": 2, "maxInteger": 1}})),
            "table T column c",
        ),
        (
            column(json!({"key": {"type": "string", "enum": ["set", []]}})),
            "table T column c",
        ),
        (
            column(json!({"key": {"type": "string", "enum": ["set", [1]]}})),
            "table T column c",
        ),
        (
            column(json!({"key": {"type": "uuid", "refTable": "X"}})),
            "table T column c",
        ),
        (
            column(json!({"key": {"type": "uuid", "refTable": "T", "refType": "soft"}})),
            "table T column c",
        ),
    ];
    for (schema, at) in cases {
        let error = DatabaseSchema::from_json(&schema).expect_err(&schema.to_string());
        assert_eq!(error.at, at, "{error}");
    }
    assert_eq!(DatabaseSchema::parse("{").expect_err("no JSON").at, "text");
}

#[test]
fn without_any_root_table_all_are_root() {
    let schema = DatabaseSchema::from_json(&table(json!({"columns": {}}))).expect("a schema");
    assert!(schema.tables["T"].is_root);
    assert_eq!(schema.to_json()["tables"]["T"], json!({"columns": {}}));
}
