//! Records against what Open vSwitch writes, and the law that replaying them gives the database back.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::database::tests::{audit, operation, step};
use crate::database::{Attempt, Context};
use crate::fixture;
use crate::operation::Operation;
use crate::operation::json::transaction_from_json;

/// Covers each way in which a column can be written.
fn schema() -> DatabaseSchema {
    let schema = json!({"name": "Q", "version": "1.0.0", "tables": {"T": {"columns": {
        "number": {"type": "integer"},
        "some": {"type": {"key": "string", "min": 1, "max": "unlimited"}},
        "any": {"type": {"key": "string", "min": 0, "max": "unlimited"}},
        "map": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
        "pair": {"type": {"key": "string", "value": "string", "min": 0, "max": 1}},
        "one": {"type": {"key": "string", "min": 0, "max": 1}},
        "seen": {"type": "integer", "ephemeral": true}}}}});
    DatabaseSchema::from_json(&schema).unwrap()
}

fn commit(database: &mut Database, operations: &[Operation]) -> Option<Arc<Delta>> {
    match database.attempt(operations, None, &Context::default()) {
        Attempt::Done { delta, .. } => delta,
        Attempt::Failed { .. } => None,
        Attempt::Blocked { .. } => panic!("nothing waits"),
    }
}

fn transact(database: &mut Database, operations: Value) -> Option<Arc<Delta>> {
    let (operations, bad) =
        transaction_from_json(operations.as_array().unwrap(), database.schema());
    assert_eq!(bad, None);
    commit(database, &operations)
}

/// The record of a transaction, without its date.
fn record(database: &Database, delta: &Delta) -> Option<Value> {
    let mut record: Value = serde_json::from_slice(&database.journal(delta, 7)?).unwrap();
    let date = record.as_object_mut().unwrap().remove("_date");
    assert_eq!(date, Some(json!(7)));
    Some(record)
}

fn rows(database: &Database) -> Vec<(String, Uuid, Row)> {
    let names = database.schema().tables.keys();
    let rows = names.flat_map(|name| {
        database
            .rows(name)
            .map(move |(uuid, row)| (name.to_string(), uuid, (**row).clone()))
    });
    rows.collect()
}

#[test]
fn records_are_those_of_open_vswitch() {
    let mut database = Database::new(schema());
    let mut replica = Database::new(schema());
    let uuid = Uuid::from_u128(1);
    let update = |row: Value| json!([{"op": "update", "table": "T", "where": [], "row": row}]);
    let changed = |row: Value| Some(json!({"_is_diff": true, "T": {uuid.to_string(): row}}));
    let insert = json!([{"op": "comment", "comment": "a"}, {"op": "comment", "comment": "b"},
        {"op": "insert", "table": "T", "uuid": uuid, "row": {"number": 1, "any": "x", "seen": 9, "one": ["set", []]}}]);
    let inserted = json!({"_is_diff": true, "_comment": "a\nb", "T": {uuid.to_string(): {"number": 1, "any": "x"}}});
    for (operations, expected) in [
        (insert, Some(inserted)),
        (update(json!({"seen": 5})), None),
        (
            update(json!({"number": 0, "seen": 6})),
            changed(json!({"number": 0})),
        ),
        (
            update(json!({"any": ["set", ["y", "z"]]})),
            changed(json!({"any": ["set", ["x", "y", "z"]]})),
        ),
        (
            update(json!({"any": ["set", []]})),
            changed(json!({"any": ["set", ["y", "z"]]})),
        ),
        // A difference to a default is taken for the value, which shows only where the default is not empty.
        (update(json!({"some": "x"})), changed(json!({"some": "x"}))),
        (
            update(json!({"some": ["set", ["x", "y"]]})),
            changed(json!({"some": "y"})),
        ),
        (
            update(json!({"map": ["map", [["a", "1"], ["b", "2"]]]})),
            changed(json!({"map": ["map", [["a", "1"], ["b", "2"]]]})),
        ),
        (
            update(json!({"map": ["map", [["a", "3"]]]})),
            changed(json!({"map": ["map", [["a", "3"], ["b", "2"]]]})),
        ),
        // What may hold only one element has no differences, maps included.
        (
            update(json!({"pair": ["map", [["k", "v"]]]})),
            changed(json!({"pair": ["map", [["k", "v"]]]})),
        ),
        (
            update(json!({"pair": ["map", [["z", "w"]]]})),
            changed(json!({"pair": ["map", [["z", "w"]]]})),
        ),
        (
            update(json!({"pair": ["map", []]})),
            changed(json!({"pair": ["map", []]})),
        ),
        (update(json!({"one": "1"})), changed(json!({"one": "1"}))),
        (update(json!({"one": "2"})), changed(json!({"one": "2"}))),
        (
            update(json!({"one": ["set", []]})),
            changed(json!({"one": ["set", []]})),
        ),
        (
            json!([{"op": "delete", "table": "T", "where": []}]),
            changed(Value::Null),
        ),
    ] {
        let delta = transact(&mut database, operations.clone()).expect("it changes something");
        let written = record(&database, &delta);
        assert_eq!(written, expected, "{operations}");
        if let Some(written) = written {
            replica.replay(&written).unwrap();
        }
        let lasting = |(table, uuid, mut row): (String, Uuid, Row)| {
            row.remove("seen");
            (table, uuid, row)
        };
        assert!(
            rows(&replica)
                .into_iter()
                .eq(rows(&database).into_iter().map(lasting)),
            "{operations}"
        );
    }
}

#[test]
fn a_record_without_differences_holds_values() {
    let mut database = Database::new(schema());
    let row = |any: Value| json!({"_date": 1, "T": {Uuid::nil().to_string(): {"any": any}}});
    database.replay(&row(json!("x"))).unwrap();
    database.replay(&row(json!("y"))).unwrap();
    assert_eq!(
        rows(&database)[0].2,
        Row::new().with("any", "y").with("some", "")
    );
}

#[test]
fn what_is_no_transaction_says_why_and_changes_nothing() {
    let mut database = Database::new(fixture::schema());
    let (one, two) = (
        Uuid::from_u128(1).to_string(),
        Uuid::from_u128(2).to_string(),
    );
    database
        .replay(&json!({"Tag": {&one: {"name": "a"}}}))
        .unwrap();
    let before = rows(&database);
    for (record, problem) in [
        (json!([]), "no JSON object"),
        (json!({"Nowhere": {}}), "no table Nowhere"),
        (json!({"Tag": []}), "not an object of rows"),
        (json!({"Tag": {"one": {}}}), "no UUID"),
        (json!({"Tag": {&two: null}}), "was not there"),
        (json!({"Tag": {&two: {"nothing": 1}}}), "no column nothing"),
        (json!({"Tag": {&two: {"name": 1}}}), "1 is no string"),
        (json!({"Tag": {&two: {"name": "a"}}}), "identical values"),
        (
            json!({"Zoo": {&two: {"animals": ["uuid", &one]}}}),
            "referential integrity",
        ),
        (json!({"Zoo": {&two: {"size": 5000}}}), "range"),
    ] {
        let error = database.replay(&record).unwrap_err().to_string();
        assert!(error.contains(problem), "{record}: {error}");
        assert_eq!(rows(&database), before, "{record}");
    }
}

#[test]
fn rows_take_on_another_schema() {
    let mut database = Database::new(schema());
    transact(
        &mut database,
        json!([{"op": "insert", "table": "T", "row": {"number": 5, "any": "x", "one": "y"}}]),
    );
    let mut wider = schema();
    let table = wider.tables.get_mut("T").unwrap();
    table.columns.remove("any");
    table.columns.remove("map");
    let integer = crate::schema::ColumnType::scalar(crate::schema::BaseType::integer());
    table
        .columns
        .insert("new".into(), ColumnSchema::new(integer));
    let converted = database.convert(wider).unwrap();
    assert_eq!(
        converted.dropped,
        ["column any of table T"],
        "what was not used is not missed"
    );
    assert_eq!(
        rows(&converted.database)[0].2,
        Row::new()
            .with("number", 5)
            .with("one", "y")
            .with("some", "")
    );

    let mut narrow = schema();
    let table = narrow.tables.get_mut("T").unwrap();
    table
        .columns
        .get_mut("number")
        .unwrap()
        .kind
        .key
        .integer_range = (None, Some(4));
    let error = database.convert(narrow).unwrap_err().to_string();
    assert!(
        error.contains("column number: 5 is not at most 4"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn a_replayed_database_is_the_database(transactions in proptest::collection::vec(
        proptest::collection::vec(step(), 1..6), 1..12)) {
        let mut database = Database::new(fixture::schema());
        let mut replica = Database::new(fixture::schema());
        // What writes has no rows: it must not need any.
        let shape = Database::new(fixture::schema());
        for steps in transactions {
            let mut inserted = BTreeSet::new();
            let operations: Vec<Operation> =
                steps.iter().map(|step| operation(&database, &mut inserted, step)).collect();
            let before = rows(&database);
            let Some(delta) = commit(&mut database, &operations) else { continue };
            let record = shape.journal(&delta, 0).expect("nothing is ephemeral");
            replica.replay(&serde_json::from_slice(&record).unwrap()).unwrap();
            prop_assert_eq!(rows(&replica), rows(&database));

            let after = rows(&database);
            let undone = database.revert(&delta).expect("something changed");
            prop_assert_eq!(rows(&database), before);
            audit(&database);
            database.revert(&undone);
            prop_assert_eq!(rows(&database), after);
        }
        audit(&replica);
        let (schema, all) = database.snapshot().journal(0, "");
        let schema = DatabaseSchema::parse(std::str::from_utf8(&schema).unwrap()).unwrap();
        prop_assert_eq!(&schema, &**database.schema());
        let mut copy = Database::new(schema);
        if let Some(all) = all {
            copy.replay(&serde_json::from_slice(&all).unwrap()).unwrap();
        }
        prop_assert_eq!(rows(&copy), rows(&database));
    }
}
