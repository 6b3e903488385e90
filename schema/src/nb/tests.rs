//! The generated schema, and the way from rows to types and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_ovsdb::{Datum, Mutator, Operation, Row};

use super::*;

/// A line per table and column, in the words of the schema language: read it beside OVN's
/// ovn-nb.ovsschema.
#[test]
fn the_generated_schema_is_ovns() {
    let schema = database_schema().to_json();
    let mut lines = vec![format!("{} {}", schema["name"], schema["version"])];
    for (name, table) in schema["tables"].as_object().unwrap() {
        let mut properties = table.as_object().unwrap().clone();
        let columns = properties.remove("columns").unwrap();
        lines.push(format!("{name} {}", serde_json::Value::from(properties)));
        for (column, schema) in columns.as_object().unwrap() {
            lines.push(format!("    {column} {schema}"));
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

fn port() -> LogicalSwitchPort {
    LogicalSwitchPort {
        uuid: uuid::Uuid::from_u128(1),
        name: "shop_web-0".into(),
        addresses: ["0a:58:0a:80:00:09 10.128.0.9".to_owned()].into(),
        tag: Some(7),
        up: Some(true),
        external_ids: [
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), "2".to_owned()),
        ]
        .into(),
        mirror_rules: vec![uuid::Uuid::from_u128(2), uuid::Uuid::from_u128(3)],
        ..LogicalSwitchPort::default()
    }
}

#[test]
fn a_row_comes_back_as_it_went() {
    let port = port();
    assert_eq!(
        LogicalSwitchPort::from_row(port.uuid, &port.to_row()),
        Ok(port)
    );
    let empty = LogicalSwitchPort::default();
    assert!(empty.to_row().is_empty(), "defaults are left out");
    assert_eq!(
        LogicalSwitchPort::from_row(empty.uuid, &Row::default()),
        Ok(empty)
    );
}

#[test]
fn a_column_of_the_wrong_shape_is_named_with_table_row_and_what_was_found() {
    let refused = |column: &'static str, datum: Datum| {
        let row = Row::default().with(column, datum);
        LogicalSwitchPort::from_row(uuid::Uuid::nil(), &row)
            .unwrap_err()
            .to_string()
    };
    let row = "Logical_Switch_Port 00000000-0000-0000-0000-000000000000";
    assert_eq!(
        refused("name", Datum::scalar(5)),
        format!("{row}: column name holds 5, which is not one string")
    );
    assert_eq!(
        refused("tag", [1_i64, 2].into_iter().collect()),
        format!("{row}: column tag holds {{1, 2}}, which is not at most one integer")
    );
    assert_eq!(
        refused("options", Datum::scalar("x")),
        format!("{row}: column options holds \"x\", which is not a map of string to string")
    );
    assert_eq!(
        refused("addresses", [("a", "b")].into_iter().collect()),
        format!("{row}: column addresses holds {{\"a\": \"b\"}}, which is not a set of string")
    );
}

#[test]
fn an_update_names_only_what_changed() {
    let old = port();
    assert_eq!(old.update_from(&old), []);
    let reordered = LogicalSwitchPort {
        mirror_rules: old.mirror_rules.iter().rev().copied().collect(),
        ..old.clone()
    };
    assert_eq!(reordered.update_from(&old), [], "a set has no order");
    let new = LogicalSwitchPort {
        up: None,
        addresses: ["unknown".to_owned()].into(),
        external_ids: [
            ("a".to_owned(), "9".to_owned()),
            ("b".to_owned(), "2".to_owned()),
        ]
        .into(),
        ..old.clone()
    };
    let operations = new.update_from(&old);
    let [
        Operation::Update { row, .. },
        Operation::Mutate { mutations, .. },
    ] = &operations[..]
    else {
        panic!("{operations:?}");
    };
    assert_eq!(
        row.iter().map(|(column, _)| &**column).collect::<Vec<_>>(),
        ["up"]
    );
    let mutations: Vec<(&str, Mutator, String)> = mutations
        .iter()
        .map(|mutation| {
            (
                &*mutation.column,
                mutation.mutator,
                mutation.value.to_string(),
            )
        })
        .collect();
    assert_eq!(
        mutations,
        [
            ("addresses", Mutator::Insert, "\"unknown\"".to_owned()),
            (
                "addresses",
                Mutator::Delete,
                "\"0a:58:0a:80:00:09 10.128.0.9\"".to_owned()
            ),
            ("external_ids", Mutator::Delete, "\"a\"".to_owned()),
            ("external_ids", Mutator::Insert, "{\"a\": \"9\"}".to_owned()),
        ]
    );
}

#[test]
fn an_insert_leaves_defaults_to_the_database() {
    let Operation::Insert { table, uuid, row } = port().insert() else {
        unreachable!()
    };
    assert_eq!((&*table, uuid), ("Logical_Switch_Port", Some(port().uuid)));
    let columns: Vec<&str> = row.iter().map(|(column, _)| &**column).collect();
    assert_eq!(
        columns,
        [
            "addresses",
            "external_ids",
            "mirror_rules",
            "name",
            "tag",
            "up"
        ]
    );
}

#[test]
fn changes_are_read_for_the_tables_that_the_compiler_reads() {
    let change = |table: &str, row: Option<Row>| RowChange {
        table: Arc::from(table),
        uuid: uuid::Uuid::from_u128(1),
        row: row.map(Arc::new),
    };
    let read = Change::from_row_change(&change("Logical_Switch_Port", Some(port().to_row())));
    assert_eq!(read, Some(Ok(Change::from(port()))));
    let gone = Change::from_row_change(&change("Logical_Router", None));
    assert_eq!(
        gone,
        Some(Ok(Change::LogicalRouter(uuid::Uuid::from_u128(1), None)))
    );
    assert_eq!(Change::from_row_change(&change("DNS", None)), None);
    let bad = change("Logical_Router", Some(Row::default().with("name", 1)));
    assert!(Change::from_row_change(&bad).unwrap().is_err());
}

#[test]
fn every_table_that_is_referred_to_exists() {
    let schema = database_schema();
    let mut references: BTreeMap<String, Arc<str>> = BTreeMap::new();
    for (table, definition) in &schema.tables {
        for (column, definition) in &definition.columns {
            let bases = [Some(&definition.kind.key), definition.kind.value.as_ref()];
            for to in bases
                .into_iter()
                .flatten()
                .filter_map(|base| base.ref_table.clone())
            {
                references.insert(format!("{table}.{column}"), to);
            }
        }
    }
    assert!(references.len() > 20);
    for (from, to) in references {
        assert!(schema.tables.contains_key(&to), "{from} refers to {to}");
    }
}

/// A row was inserted without the column, held one element for the database, and was read as if it held none.
#[test]
fn a_set_that_may_not_be_empty_is_read_as_the_database_holds_it() {
    let mut database = weft_ovsdb::Database::new(database_schema());
    let port = LogicalRouterPort {
        uuid: Uuid::from_u128(1),
        ..LogicalRouterPort::default()
    };
    let router = LogicalRouter {
        uuid: Uuid::from_u128(2),
        ports: [port.uuid].into(),
        ..LogicalRouter::default()
    };
    database
        .transact(&[port.insert(), router.insert()])
        .expect("the default of networks is one empty string");
    let row = database
        .row(LogicalRouterPort::NAME, port.uuid)
        .expect("it is there");
    let read = LogicalRouterPort::from_row(port.uuid, row).expect("it fits");
    assert_eq!(read.networks.iter().collect::<Vec<_>>(), [""], "{row:?}");
}
