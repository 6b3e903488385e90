//! A small schema with every kind of constraint, and operations on it out of bytes.
//!
//! Must not: make only operations that succeed.

use arbitrary::{Arbitrary, Result, Unstructured};
use serde_json::{Value, json};
use weft_ovsdb::{Database, DatabaseSchema};

/// Zoos hold animals (strong, not root) and know friends (weak); a tag's name is unique.
pub(crate) const SCHEMA: &str = r#"{"name": "Zoo", "version": "1.0.0", "tables": {
    "Zoo": {"isRoot": true, "columns": {
        "name": {"type": "string"},
        "animals": {"type": {"key": {"type": "uuid", "refTable": "Animal"}, "min": 0, "max": "unlimited"}},
        "cages": {"type": {"key": "integer", "value": {"type": "uuid", "refTable": "Animal", "refType": "weak"},
                           "min": 0, "max": "unlimited"}},
        "size": {"type": {"key": {"type": "integer", "minInteger": 0, "maxInteger": 1000}}},
        "rating": {"type": {"key": "real", "min": 0, "max": 1}},
        "words": {"type": {"key": {"type": "string", "maxLength": 5}, "min": 0, "max": 3}},
        "notes": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
        "founded": {"type": "integer", "mutable": false}}},
    "Animal": {"columns": {
        "name": {"type": "string"},
        "kind": {"type": {"key": {"type": "string", "enum": ["set", ["", "ape", "bee"]]}}},
        "young": {"type": {"key": {"type": "uuid", "refTable": "Animal"}, "min": 0, "max": "unlimited"}},
        "friends": {"type": {"key": {"type": "uuid", "refTable": "Animal", "refType": "weak"},
                             "min": 0, "max": "unlimited"}}}},
    "Tag": {"isRoot": true, "indexes": [["name"], ["x", "y"]], "maxRows": 5, "columns": {
        "name": {"type": "string"}, "x": {"type": "integer"}, "y": {"type": "integer"},
        "of": {"type": {"key": {"type": "uuid", "refTable": "Animal", "refType": "weak"}, "min": 0, "max": 1}}}},
    "Sole": {"isRoot": true, "columns": {
        "zoo": {"type": {"key": {"type": "uuid", "refTable": "Zoo", "refType": "weak"}, "min": 1, "max": 2}},
        "animal": {"type": {"key": {"type": "uuid", "refTable": "Animal"}, "min": 0, "max": 1}}}}}}"#;

const COLUMNS: &[(&str, &[&str])] = &[
    (
        "Zoo",
        &[
            "name", "animals", "cages", "size", "rating", "words", "notes", "founded",
        ],
    ),
    ("Animal", &["name", "kind", "young", "friends"]),
    ("Tag", &["name", "x", "y", "of"]),
    ("Sole", &["zoo", "animal"]),
];

/// An empty database.
pub(crate) fn database() -> Database {
    Database::new(DatabaseSchema::parse(SCHEMA).expect("the schema above is one"))
}

/// An operation, most of whose parts fit together.
pub(crate) fn operation(bytes: &mut Unstructured<'_>) -> Result<Value> {
    let (table, columns) = *bytes.choose(COLUMNS)?;
    Ok(match bytes.int_in_range(0..=15)? {
        0..=5 => {
            let mut operation =
                json!({"op": "insert", "table": table, "row": row(bytes, columns)?});
            match bytes.int_in_range(0..=2)? {
                0 => operation["uuid-name"] = json!(name(bytes)?),
                1 => operation["uuid"] = json!(uuid(bytes)?),
                _ => {}
            }
            operation
        }
        6 => json!({"op": "select", "table": table, "where": conditions(bytes, columns)?}),
        7 | 8 => {
            json!({"op": "update", "table": table, "where": conditions(bytes, columns)?, "row": row(bytes, columns)?})
        }
        9..=11 => {
            let mutators = ["+=", "-=", "*=", "/=", "%=", "insert", "delete"];
            let mut mutations = Vec::new();
            for _ in 0..bytes.int_in_range(1..=3)? {
                let column = *bytes.choose(columns)?;
                mutations.push(json!([
                    column,
                    bytes.choose(&mutators)?,
                    value(bytes, column)?
                ]));
            }
            json!({"op": "mutate", "table": table, "where": conditions(bytes, columns)?, "mutations": mutations})
        }
        12 => json!({"op": "delete", "table": table, "where": conditions(bytes, columns)?}),
        13 => {
            json!({"op": "wait", "table": table, "where": conditions(bytes, columns)?, "columns": [bytes.choose(columns)?],
            "until": bytes.choose(&["==", "!="])?, "rows": [row(bytes, columns)?], "timeout": bytes.int_in_range(0..=2)?})
        }
        14 => json!({"op": "comment", "comment": "c"}),
        _ => bytes
            .choose(&[
                json!({"op": "abort"}),
                json!({"op": "commit", "durable": true}),
                json!({"op": "assert", "lock": "l"}),
            ])?
            .clone(),
    })
}

fn row(bytes: &mut Unstructured<'_>, columns: &[&str]) -> Result<Value> {
    let mut row = json!({});
    for column in columns {
        if bool::arbitrary(bytes)? {
            row[*column] = value(bytes, column)?;
        }
    }
    Ok(row)
}

fn conditions(bytes: &mut Unstructured<'_>, columns: &[&str]) -> Result<Value> {
    let functions = ["==", "!=", "<", "<=", ">", ">=", "includes", "excludes"];
    let mut conditions = Vec::new();
    for _ in 0..bytes.int_in_range(0..=2)? {
        conditions.push(match bytes.int_in_range(0..=4)? {
            0 => json!(bool::arbitrary(bytes)?),
            1 | 2 => json!(["_uuid", "==", reference(bytes)?]),
            _ => {
                let column = *bytes.choose(columns)?;
                json!([column, bytes.choose(&functions)?, value(bytes, column)?])
            }
        });
    }
    Ok(conditions.into())
}

/// A value for a column, mostly of its type.
fn value(bytes: &mut Unstructured<'_>, column: &str) -> Result<Value> {
    let kind = match bytes.ratio(1, 30)? {
        true => *bytes.choose(&["name", "size", "animals", "notes"])?,
        false => column,
    };
    let few = |bytes: &mut Unstructured<'_>,
               element: fn(&mut Unstructured<'_>) -> Result<Value>| {
        let mut elements = Vec::new();
        for _ in 0..bytes.int_in_range(0..=3)? {
            elements.push(element(bytes)?);
        }
        Ok::<_, arbitrary::Error>(elements)
    };
    Ok(match kind {
        "animals" | "young" | "friends" | "of" | "zoo" | "animal" => {
            json!(["set", few(bytes, reference)?])
        }
        "cages" => json!([
            "map",
            few(bytes, |bytes| Ok(json!([
                number(bytes)?,
                reference(bytes)?
            ])))?
        ]),
        "notes" => json!([
            "map",
            few(bytes, |bytes| Ok(json!([name(bytes)?, name(bytes)?])))?
        ]),
        "words" => json!(["set", few(bytes, |bytes| Ok(json!(name(bytes)?)))?]),
        "size" | "founded" | "x" | "y" => number(bytes)?,
        "rating" => json!(f64::from(i8::arbitrary(bytes)?) / 2.0),
        "kind" => json!(bytes.choose(&["", "ape", "bee", "cat"])?),
        _ => json!(name(bytes)?),
    })
}

fn number(bytes: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match bytes.ratio(1, 10)? {
        true => json!(bytes.choose(&[i64::MAX, i64::MIN, -1, 1001])?),
        false => json!(bytes.int_in_range(0..=4)?),
    })
}

fn name(bytes: &mut Unstructured<'_>) -> Result<&'static str> {
    bytes.choose(&["a", "b", "c", "toolong", "ü", ""]).copied()
}

fn uuid(bytes: &mut Unstructured<'_>) -> Result<String> {
    Ok(format!(
        "00000000-0000-0000-0000-00000000000{}",
        bytes.int_in_range(0..=7)?
    ))
}

fn reference(bytes: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match bytes.ratio(1, 4)? {
        true => json!(["named-uuid", bytes.choose(&["a", "b", "c"])?]),
        false => json!(["uuid", uuid(bytes)?]),
    })
}
