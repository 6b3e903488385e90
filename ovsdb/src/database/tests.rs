//! The engine: operations, references, garbage, indexes; and the engine against a naive model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::fixture::{Served, schema};
use crate::operation::{Mutation, Mutator};
use crate::schema::RefType;
use crate::value::{Atom, Datum};

/// Carries out operations and compares the results, in which `error` stands for any details.
fn check(served: &mut Served, operations: Value, expected: Value) {
    let mut results = served.transact(operations.clone());
    for result in results.as_array_mut().expect("results") {
        if let Some(object) = result.as_object_mut() {
            object.remove("details");
        }
    }
    assert_eq!(results, expected, "{operations}");
}

fn insert(table: &str, row: Value) -> Value {
    json!({"op": "insert", "table": table, "row": row})
}

fn uuid(n: u128) -> Value {
    json!(["uuid", Uuid::from_u128(n)])
}

#[test]
fn every_operation_gives_what_the_rfc_says() {
    let mut zoo = Served::new();
    let one = Uuid::from_u128(1);
    let is_one = json!([["_uuid", "==", uuid(1)]]);
    check(
        &mut zoo,
        json!([
            {"op": "comment", "comment": "hello"},
            {"op": "insert", "table": "Zoo", "uuid": one, "row": {"name": "A", "size": 5, "words": ["set", ["x", "y"]]}},
            {"op": "select", "table": "Zoo", "where": is_one, "columns": ["name", "size", "rating", "words", "notes"]},
            {"op": "update", "table": "Zoo", "where": [["name", "==", "A"]], "row": {"rating": 2, "words": "z"}},
            {"op": "mutate", "table": "Zoo", "where": [], "mutations": [
                ["size", "+=", 7], ["size", "*=", 3], ["size", "-=", 1], ["size", "/=", 2], ["size", "%=", 10],
                ["words", "insert", ["set", ["w", "z"]]], ["words", "delete", "q"],
                ["notes", "insert", ["map", [["a", "1"], ["b", "2"]]]], ["notes", "insert", ["map", [["a", "9"]]]],
                ["notes", "delete", ["set", ["b"]]], ["rating", "/=", 4]]},
            {"op": "wait", "table": "Zoo", "where": is_one, "columns": ["size"], "until": "==", "timeout": 0,
             "rows": [{"size": 7}]},
            {"op": "commit", "durable": true}]),
        json!([{}, {"uuid": ["uuid", one]},
            {"rows": [{"name": "A", "size": 5, "rating": ["set", []], "words": ["set", ["x", "y"]],
                       "notes": ["map", []]}]},
            {"count": 1}, {"count": 1}, {}, {}]),
    );
    assert_eq!(
        zoo.dump("Zoo", &["size", "rating", "words", "notes"]),
        [json!([7, 0.5, ["set", ["w", "z"]], ["map", [["a", "1"]]]])]
    );
    check(
        &mut zoo,
        json!([{"op": "delete", "table": "Zoo", "where": [["size", ">", 7]]},
               {"op": "delete", "table": "Zoo", "where": [["size", ">=", 7]]}, {"op": "abort"},
               {"op": "comment", "comment": "x"}]),
        json!([{"count": 0}, {"count": 1}, {"error": "aborted"}, null]),
    );
    assert_eq!(
        zoo.dump("Zoo", &["name"]).len(),
        1,
        "an aborted transaction changes nothing"
    );
    check(
        &mut zoo,
        json!([{"op": "delete", "table": "Zoo", "where": is_one}]),
        json!([{"count": 1}]),
    );
    assert!(zoo.dump("Zoo", &["name"]).is_empty());
}

#[test]
fn conditions_select_by_type() {
    let mut zoo = Served::new();
    let rows = [
        json!({"name": "a", "size": 1, "words": ["set", ["p", "q"]], "notes": ["map", [["k", "1"], ["l", "2"]]]}),
        json!({"name": "b", "size": 2, "rating": 1.5, "words": "p"}),
        json!({"name": "c", "size": 3}),
    ];
    zoo.transact(rows.map(|row| insert("Zoo", row)).into_iter().collect());
    let cases = [
        (json!(["size", "<", 2]), "a"),
        (json!(["size", "<=", 2]), "ab"),
        (json!(["size", ">=", 2]), "bc"),
        (json!(["size", "!=", 2]), "ac"),
        (json!(["rating", ">", 1]), "b"),
        (json!(["rating", "==", ["set", []]]), "ac"),
        (json!(["words", "includes", "p"]), "ab"),
        (json!(["words", "includes", ["set", ["p", "q"]]]), "a"),
        (json!(["words", "includes", ["set", []]]), "abc"),
        (json!(["words", "excludes", "q"]), "bc"),
        (json!(["words", "==", ["set", ["q", "p"]]]), "a"),
        (json!(["notes", "includes", ["map", [["k", "1"]]]]), "a"),
        (json!(["notes", "includes", ["map", [["k", "2"]]]]), ""),
        (json!(["notes", "excludes", ["map", [["k", "1"]]]]), "bc"),
        (json!(["notes", "==", ["map", []]]), "bc"),
        (json!(true), "abc"),
        (json!(false), ""),
    ];
    for (condition, expected) in cases {
        let select = json!([{"op": "select", "table": "Zoo", "where": [condition], "columns": ["name", "_uuid"]}]);
        let result = zoo.transact(select);
        let names = result[0]["rows"]
            .as_array()
            .unwrap_or_else(|| panic!("{condition}: {result}"));
        let names: BTreeSet<&str> = names
            .iter()
            .map(|row| row["name"].as_str().expect("a name"))
            .collect();
        assert_eq!(
            names.into_iter().collect::<String>(),
            expected,
            "{condition}"
        );
    }
}

#[test]
fn what_does_not_fit_the_schema_is_refused_and_changes_nothing() {
    let mut zoo = Served::new();
    zoo.transact(
        json!([insert("Zoo", json!({"name": "A", "size": 1, "words": ["set", ["a", "b", "c"]]})),
                        insert("Sole", json!({"zoo": ["named-uuid", "z"]})),
                        {"op": "insert", "table": "Zoo", "uuid-name": "z", "row": {"name": "Z"}}]),
    );
    let before = zoo.dump("Zoo", &["_uuid", "_version", "name", "size", "words"]);
    let update = |row: Value| json!({"op": "update", "table": "Zoo", "where": [], "row": row});
    let mutate = |m: Value| json!({"op": "mutate", "table": "Zoo", "where": [["name", "==", "A"]], "mutations": [m]});
    let select = |c: Value| json!({"op": "select", "table": "Zoo", "where": [c]});
    let cases = [
        (json!(7), "syntax error"),
        (json!({}), "syntax error"),
        (json!({"op": "explode"}), "syntax error"),
        (json!({"op": "abort", "x": 1}), "syntax error"),
        (insert("Nowhere", json!({})), "syntax error"),
        (insert("Zoo", json!({"colour": 1})), "unknown column"),
        (insert("Zoo", json!({"name": 1})), "syntax error"),
        (insert("Zoo", json!({"name": "a\u{0}b"})), "syntax error"),
        (
            insert("Zoo", json!({"name": ["set", ["a", "b"]]})),
            "syntax error",
        ),
        (insert("Zoo", json!({"name": ["set", []]})), "syntax error"),
        (insert("Zoo", json!({"size": 1001})), "constraint violation"),
        (insert("Zoo", json!({"size": 1.5})), "syntax error"),
        (
            insert("Zoo", json!({"words": "longer"})),
            "constraint violation",
        ),
        (
            insert("Zoo", json!({"words": ["set", ["a", "a"]]})),
            "syntax error",
        ),
        (
            insert("Zoo", json!({"words": ["set", ["a", "b", "c", "d"]]})),
            "syntax error",
        ),
        (
            insert("Zoo", json!({"notes": ["map", [["a", "1"], ["a", "2"]]]})),
            "syntax error",
        ),
        (
            insert("Zoo", json!({"animals": ["uuid", "1"]})),
            "syntax error",
        ),
        (
            insert("Animal", json!({"kind": "cat"})),
            "constraint violation",
        ),
        (
            json!({"op": "insert", "table": "Zoo", "row": {}, "uuid": "x"}),
            "syntax error",
        ),
        (
            json!({"op": "insert", "table": "Zoo", "row": {}, "uuid": before[0][0][1]}),
            "duplicate uuid",
        ),
        (update(json!({"founded": 1900})), "constraint violation"),
        (update(json!({"size": -1})), "constraint violation"),
        (mutate(json!(["size", "/=", 0])), "domain error"),
        (mutate(json!(["size", "%=", 0])), "domain error"),
        (
            mutate(json!(["size", "*=", i64::MAX])),
            "constraint violation",
        ),
        (mutate(json!(["size", "+=", i64::MAX])), "range error"),
        (mutate(json!(["size", "-=", 5])), "constraint violation"),
        (mutate(json!(["size", "insert", 5])), "syntax error"),
        (
            mutate(json!(["words", "insert", "d"])),
            "constraint violation",
        ),
        (mutate(json!(["words", "+=", "d"])), "syntax error"),
        (mutate(json!(["founded", "+=", 1])), "constraint violation"),
        (mutate(json!(["size", "^=", 1])), "unknown mutator"),
        (mutate(json!(["nothing", "+=", 1])), "unknown column"),
        (select(json!(["name", "<", "a"])), "syntax error"),
        (select(json!(["name", "like", "a"])), "unknown function"),
        (select(json!(["nothing", "==", "a"])), "unknown column"),
        (select(json!(["name", "=="])), "syntax error"),
        (
            json!({"op": "select", "table": "Zoo", "where": [], "columns": ["nothing"]}),
            "syntax error",
        ),
        (json!({"op": "assert", "lock": "l"}), "not owner"),
        (
            json!({"op": "wait", "table": "Zoo", "where": [], "columns": ["name"], "until": "==", "rows": [],
                "timeout": 0}),
            "timed out",
        ),
        (
            json!({"op": "wait", "table": "Zoo", "where": [], "until": "~", "rows": []}),
            "syntax error",
        ),
    ];
    for (operation, error) in cases {
        let results = zoo.transact(json!([insert("Zoo", json!({"name": "new"})), operation, {"op": "comment", "comment": ""}]));
        assert_eq!(results[1]["error"], json!(error), "{operation}: {results}");
        assert!(
            results[1]["details"]
                .as_str()
                .is_some_and(|details| !details.is_empty()),
            "{results}"
        );
        assert_eq!(results[2], Value::Null, "{results}");
        assert_eq!(
            zoo.dump("Zoo", &["_uuid", "_version", "name", "size", "words"]),
            before,
            "{operation}"
        );
    }
    audit(zoo.core.database(0));
}

#[test]
fn rows_live_as_long_as_they_are_referenced() {
    let mut zoo = Served::new();
    zoo.transact(json!([insert("Animal", json!({"name": "stray"}))]));
    assert!(
        zoo.dump("Animal", &["name"]).is_empty(),
        "nobody references it"
    );
    zoo.transact(json!([
        {"op": "insert", "table": "Zoo", "uuid": Uuid::from_u128(1), "row": {"animals": ["named-uuid", "mother"]}},
        {"op": "insert", "table": "Animal", "uuid-name": "mother", "uuid": Uuid::from_u128(2),
         "row": {"name": "mother", "young": ["set", [["named-uuid", "child"], ["named-uuid", "mother"]]]}},
        {"op": "insert", "table": "Animal", "uuid-name": "child", "uuid": Uuid::from_u128(3), "row": {"name": "child"}},
        {"op": "insert", "table": "Tag", "row": {"name": "t", "of": ["named-uuid", "child"]}}]));
    assert_eq!(
        zoo.dump("Animal", &["name"]),
        [json!(["child"]), json!(["mother"])]
    );
    check(
        &mut zoo,
        json!([{"op": "delete", "table": "Animal", "where": [["name", "==", "mother"]]}]),
        json!([{"count": 1}, {"error": "referential integrity violation"}]),
    );
    check(
        &mut zoo,
        json!([{"op": "update", "table": "Zoo", "where": [], "row": {"animals": uuid(9)}}]),
        json!([{"count": 1}, {"error": "referential integrity violation"}]),
    );
    assert_eq!(zoo.dump("Tag", &["of"]), [json!([uuid(3)])]);
    // The mother keeps her child, and does not keep herself.
    zoo.transact(json!([{"op": "mutate", "table": "Zoo", "where": [], "mutations": [["animals", "delete", uuid(2)]]}]));
    assert!(zoo.dump("Animal", &["name"]).is_empty());
    assert_eq!(
        zoo.dump("Tag", &["of"]),
        [json!([["set", []]])],
        "a weak reference goes with its row"
    );
    audit(zoo.core.database(0));
}

#[test]
fn a_weak_reference_that_must_not_go_holds_the_row() {
    let mut zoo = Served::new();
    let nothing = zoo.transact(json!([insert("Sole", json!({}))]));
    assert_eq!(nothing[1]["error"], "constraint violation", "{nothing}");
    zoo.transact(
        json!([{"op": "insert", "table": "Zoo", "uuid": Uuid::from_u128(1), "row": {}},
                        insert("Sole", json!({"zoo": uuid(1)}))]),
    );
    check(
        &mut zoo,
        json!([{"op": "delete", "table": "Zoo", "where": []}]),
        json!([{"count": 1}, {"error": "constraint violation"}]),
    );
    check(
        &mut zoo,
        json!([{"op": "delete", "table": "Zoo", "where": []}, {"op": "delete", "table": "Sole", "where": []}]),
        json!([{"count": 1}, {"count": 1}]),
    );
    audit(zoo.core.database(0));
}

#[test]
fn indexes_and_row_limits_are_judged_at_the_commit() {
    let mut zoo = Served::new();
    let tag = |name: &str, x: i64| insert("Tag", json!({"name": name, "x": x}));
    zoo.transact(json!([tag("a", 1), tag("b", 2)]));
    let twice = json!({"error": "constraint violation"});
    let results = zoo.transact(json!([tag("a", 3)]));
    assert_eq!(
        (&results[1]["error"], results[2].is_null()),
        (&twice["error"], true)
    );
    assert_eq!(
        zoo.transact(json!([tag("c", 3), tag("c", 4)]))[2]["error"],
        twice["error"]
    );
    assert_eq!(
        zoo.transact(json!([tag("c", 2)]))[1]["error"],
        twice["error"],
        "the second index"
    );
    // Names may be swapped within one transaction.
    let rename = |from: &str, to: &str| json!({"op": "update", "table": "Tag", "where": [["name", "==", from]], "row": {"name": to}});
    check(
        &mut zoo,
        json!([rename("a", "c"), rename("b", "a"), rename("c", "b")]),
        json!([{"count": 1}, {"count": 1}, {"count": 1}]),
    );
    assert_eq!(
        zoo.dump("Tag", &["name", "x"]),
        [json!(["a", 2]), json!(["b", 1])]
    );
    check(&mut zoo, json!([rename("a", "z")]), json!([{"count": 1}]));
    check(&mut zoo, json!([rename("a", "z")]), json!([{"count": 0}]));
    let four: Value = (10..14).map(|n| tag(&n.to_string(), n)).collect();
    assert_eq!(
        zoo.transact(four)[4]["error"],
        twice["error"],
        "five rows are the limit"
    );
    audit(zoo.core.database(0));
}

#[test]
fn history_gives_what_was_missed_or_says_that_it_forgot() {
    let mut database = Database::new(schema());
    let start = database.last_id();
    let row = |n: u128, name: &str| Operation::Insert {
        table: "Zoo".into(),
        uuid: Some(Uuid::from_u128(n)),
        row: Row::new().with("name", name),
    };
    database.transact(&[row(1, "a")]).expect("fits");
    let middle = database.last_id();
    database.transact(&[row(2, "b")]).expect("fits");
    let delete = Operation::Delete {
        table: "Zoo".into(),
        conditions: vec![Condition::uuid(Uuid::from_u128(1))],
    };
    database.transact(&[delete]).expect("fits");
    let missed = |id| {
        let delta = database.history().since(id, database.last_id())?;
        Some(
            delta
                .rows
                .iter()
                .map(|row| (row.uuid.as_u128(), row.new.is_some()))
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        missed(start),
        Some(vec![(2, true)]),
        "what came and went is not told"
    );
    assert_eq!(missed(middle), Some(vec![(1, false), (2, true)]));
    assert_eq!(missed(database.last_id()), Some(vec![]));
    assert_eq!(missed(Uuid::nil()), None);
    let id = database.last_id();
    for n in 0..3000 {
        let name = format!("{n}");
        let update = Operation::Update {
            table: "Zoo".into(),
            conditions: vec![],
            row: Row::new().with("name", name),
        };
        database.transact(&[update]).expect("fits");
    }
    assert!(
        database.history().since(id, database.last_id()).is_none(),
        "history is bounded"
    );
}

#[test]
fn thousands_of_rows_in_one_set_stay_cheap() {
    let mut database = Database::new(schema());
    let zoo = Uuid::from_u128(1);
    let insert = Operation::Insert {
        table: "Zoo".into(),
        uuid: Some(zoo),
        row: Row::new(),
    };
    database.transact(&[insert]).expect("fits");
    for n in 2..2002 {
        let uuid = Uuid::from_u128(n);
        let operations = [
            Operation::Insert {
                table: "Animal".into(),
                uuid: Some(uuid),
                row: Row::new().with("name", format!("animal {n}")),
            },
            Operation::Mutate {
                table: "Zoo".into(),
                conditions: vec![Condition::uuid(zoo)],
                mutations: vec![Mutation::new("animals", Mutator::Insert, uuid)],
            },
        ];
        let (_, committed) = database.transact(&operations).expect("fits");
        let rows = committed.expect("rows changed");
        assert_eq!(rows.rows().count(), 2);
        let delta = rows
            .delta
            .rows
            .iter()
            .find(|row| row.uuid == zoo)
            .expect("the zoo");
        let difference = delta.difference(database.table(delta.table));
        assert_eq!(difference.get("animals").map(Datum::len), Some(1));
    }
    audit(&database);
}

/// Recounts from scratch what the database keeps up to date.
pub(super) fn audit(database: &Database) {
    let mut strong: BTreeMap<RowKey, u32> = BTreeMap::new();
    let mut weak: HashMap<RowKey, HashMap<RowKey, u32>> = HashMap::new();
    for (id, table) in database.tables.iter().enumerate() {
        for (uuid, stored) in &table.rows {
            for column in &table.references {
                for (target, kind, to) in column.of(table.value(&stored.row, &column.column)) {
                    let exists = database.table(target).rows.contains_key(&to);
                    assert!(exists, "{} {uuid} {} dangles", table.name, column.column);
                    match kind {
                        RefType::Strong if (target, to) == (id, *uuid) => {}
                        RefType::Strong => *strong.entry((target, to)).or_default() += 1,
                        RefType::Weak => {
                            *weak
                                .entry((target, to))
                                .or_default()
                                .entry((id, *uuid))
                                .or_default() += 1;
                        }
                    }
                }
            }
            for (column, datum) in stored.row.iter() {
                let kind = &table.schema.columns[column].kind;
                kind.check(datum).expect("a stored value fits");
                assert!(!kind.is_default(datum), "defaults are left out");
            }
            assert!(
                table.schema.is_root || strong_or_counted(table, *uuid),
                "{} {uuid} is garbage",
                table.name
            );
        }
        for (columns, index) in table.schema.indexes.iter().zip(&table.indexes) {
            let fresh: HashMap<Vec<Datum>, Uuid> = table
                .rows
                .iter()
                .map(|(uuid, stored)| (table.index_key(columns, &stored.row), *uuid))
                .collect();
            assert_eq!(&fresh, index);
            assert_eq!(fresh.len(), table.rows.len(), "an index is unique");
        }
    }
    let kept: BTreeMap<RowKey, u32> = database
        .tables
        .iter()
        .enumerate()
        .flat_map(|(id, table)| {
            table
                .strong
                .iter()
                .map(move |(uuid, count)| ((id, *uuid), *count))
        })
        .collect();
    assert_eq!(kept, strong);
    assert_eq!(database.weak, weak);
}

fn strong_or_counted(table: &Table, uuid: Uuid) -> bool {
    table.strong.get(&uuid).is_some_and(|count| *count > 0)
}

/// A database as naive as can be: copies, whole scans, rules in the RFC's words.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    /// Name, strong references, weak references by key.
    zoos: BTreeMap<u8, ModelZoo>,
    /// Strong references, weak references.
    animals: BTreeMap<u8, (BTreeSet<u8>, BTreeSet<u8>)>,
    tags: BTreeMap<u8, (String, Option<u8>)>,
}

type ModelZoo = (String, BTreeSet<u8>, BTreeMap<i64, u8>);

#[derive(Clone, Debug)]
pub(super) enum Step {
    Zoo(u8, String, BTreeSet<u8>, BTreeMap<i64, u8>),
    Animal(u8, BTreeSet<u8>, BTreeSet<u8>),
    Tag(u8, String, Option<u8>),
    Delete(&'static str, u8),
}

impl Model {
    fn apply(&self, steps: &[Step]) -> Option<Model> {
        let mut model = self.clone();
        let mut gone: BTreeSet<(&str, u8)> = BTreeSet::new();
        for step in steps {
            match step.clone() {
                Step::Zoo(id, ..) if gone.contains(&("Zoo", id)) => return None,
                Step::Animal(id, ..) if gone.contains(&("Animal", id)) => return None,
                Step::Tag(id, ..) if gone.contains(&("Tag", id)) => return None,
                Step::Zoo(id, name, animals, cages) => {
                    drop(model.zoos.insert(id, (name, animals, cages)))
                }
                Step::Animal(id, young, friends) => {
                    drop(model.animals.insert(id, (young, friends)))
                }
                Step::Tag(id, name, of) => drop(model.tags.insert(id, (name, of))),
                Step::Delete(table, id) => {
                    let was = match table {
                        "Zoo" => model.zoos.remove(&id).is_some(),
                        "Animal" => model.animals.remove(&id).is_some(),
                        _ => model.tags.remove(&id).is_some(),
                    };
                    if was {
                        gone.insert((table, id));
                    }
                }
            }
        }
        loop {
            let zoos = model.zoos.values().flat_map(|zoo| zoo.1.iter().copied());
            let animals = model.animals.iter();
            let young = animals.flat_map(|(id, a)| a.0.iter().copied().filter(move |to| to != id));
            let referenced: BTreeSet<u8> = zoos.chain(young).collect();
            let before = model.animals.len();
            model.animals.retain(|id, _| referenced.contains(id));
            if model.animals.len() == before {
                if referenced.iter().any(|id| !model.animals.contains_key(id)) {
                    return None;
                }
                break;
            }
        }
        let alive: BTreeSet<u8> = model.animals.keys().copied().collect();
        model
            .zoos
            .values_mut()
            .for_each(|zoo| zoo.2.retain(|_, to| alive.contains(to)));
        model
            .animals
            .values_mut()
            .for_each(|animal| animal.1.retain(|to| alive.contains(to)));
        model
            .tags
            .values_mut()
            .for_each(|tag| tag.1 = tag.1.filter(|to| alive.contains(to)));
        let names: BTreeSet<&String> = model.tags.values().map(|tag| &tag.0).collect();
        (names.len() == model.tags.len() && model.tags.len() <= 5).then_some(model)
    }
}

fn id(table: u128, n: u8) -> Uuid {
    Uuid::from_u128(table * 256 + u128::from(n))
}

fn animals<'a>(ids: impl IntoIterator<Item = &'a u8>) -> Datum {
    ids.into_iter().map(|n| id(2, *n)).collect()
}

/// The step as an operation: an insert, or an update of the row that is there.
pub(super) fn operation(
    database: &Database,
    inserted: &mut BTreeSet<(String, Uuid)>,
    step: &Step,
) -> Operation {
    let (table, uuid, row) = match step {
        Step::Zoo(n, name, strong, cages) => {
            let cages: Datum = cages.iter().map(|(cage, n)| (*cage, id(2, *n))).collect();
            (
                "Zoo",
                id(1, *n),
                Row::new()
                    .with("name", name.as_str())
                    .with("animals", animals(strong))
                    .with("cages", cages),
            )
        }
        Step::Animal(n, young, friends) => (
            "Animal",
            id(2, *n),
            Row::new()
                .with("young", animals(young))
                .with("friends", animals(friends)),
        ),
        Step::Tag(n, name, of) => {
            let row = Row::new()
                .with("name", name.as_str())
                .with("x", i64::from(*n))
                .with("of", animals(of));
            ("Tag", id(3, *n), row)
        }
        Step::Delete(table, n) => {
            let number = match *table {
                "Zoo" => 1,
                "Animal" => 2,
                _ => 3,
            };
            let conditions = vec![Condition::uuid(id(number, *n))];
            return Operation::Delete {
                table: (*table).into(),
                conditions,
            };
        }
    };
    let is_there = database.row(table, uuid).is_some();
    if is_there || !inserted.insert((table.to_owned(), uuid)) {
        return Operation::Update {
            table: table.into(),
            conditions: vec![Condition::uuid(uuid)],
            row,
        };
    }
    Operation::Insert {
        table: table.into(),
        uuid: Some(uuid),
        row,
    }
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let some = || proptest::collection::btree_set(0_u8..6, 0..3);
    prop_oneof![
        (
            0_u8..3,
            "[ab]",
            some(),
            proptest::collection::btree_map(0_i64..3, 0_u8..6, 0..2)
        )
            .prop_map(|(n, name, animals, cages)| Step::Zoo(n, name, animals, cages)),
        (0_u8..6, some(), some()).prop_map(|(n, young, friends)| Step::Animal(n, young, friends)),
        (0_u8..7, "[ab]", proptest::option::of(0_u8..6))
            .prop_map(|(n, name, of)| Step::Tag(n, name, of)),
        (
            prop_oneof![Just("Zoo"), Just("Animal"), Just("Tag")],
            0_u8..6
        )
            .prop_map(|(table, n)| Step::Delete(table, n)),
    ]
}

/// The database as the model has it.
fn observe(database: &Database) -> Model {
    let short = |uuid: Uuid| u8::try_from(uuid.as_u128() % 256).expect("below 256");
    let set = |row: &Row, column: &str| -> BTreeSet<u8> {
        row.get(column)
            .map(|datum| datum.uuids().map(short).collect())
            .unwrap_or_default()
    };
    let name = |row: &Row| {
        row.get("name")
            .and_then(Datum::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let cages = |row: &Row| -> BTreeMap<i64, u8> {
        let map = row
            .get("cages")
            .and_then(Datum::as_map)
            .cloned()
            .unwrap_or_default();
        map.iter()
            .map(|(k, v)| {
                (
                    k.as_i64().expect("a number"),
                    v.as_uuid().map(short).expect("a UUID"),
                )
            })
            .collect()
    };
    Model {
        zoos: database
            .rows("Zoo")
            .map(|(u, r)| (short(u), (name(r), set(r, "animals"), cages(r))))
            .collect(),
        animals: database
            .rows("Animal")
            .map(|(u, r)| (short(u), (set(r, "young"), set(r, "friends"))))
            .collect(),
        tags: database
            .rows("Tag")
            .map(|(u, r)| (short(u), (name(r), set(r, "of").first().copied())))
            .collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn the_engine_agrees_with_a_naive_model(transactions in proptest::collection::vec(
        proptest::collection::vec(step(), 1..6), 1..12)) {
        let mut database = Database::new(schema());
        let mut model = Model::default();
        for steps in transactions {
            let mut inserted = BTreeSet::new();
            let operations: Vec<Operation> =
                steps.iter().map(|step| operation(&database, &mut inserted, step)).collect();
            // A row deleted and written again in one transaction is an update of nothing, or refused: not modelled.
            let mut gone = BTreeSet::new();
            let is_modelled = steps.iter().all(|step| match step {
                Step::Delete(table, n) => { gone.insert((*table, *n)); true }
                Step::Zoo(n, ..) => !gone.contains(&("Zoo", *n)),
                Step::Animal(n, ..) => !gone.contains(&("Animal", *n)),
                Step::Tag(n, ..) => !gone.contains(&("Tag", *n)),
            });
            if !is_modelled {
                continue;
            }
            let before = observe(&database);
            let outcome = database.transact(&operations);
            match model.apply(&steps) {
                Some(next) => {
                    prop_assert!(outcome.is_ok(), "{outcome:?} of {operations:?}");
                    model = next;
                }
                None => {
                    prop_assert!(outcome.is_err(), "{operations:?} must fail");
                    prop_assert_eq!(&before, &observe(&database));
                }
            }
            prop_assert_eq!(&observe(&database), &model);
            audit(&database);
        }
    }
}

#[test]
fn an_atom_keeps_a_scalar_in_place() {
    assert_eq!(size_of::<Atom>(), 24);
    assert_eq!(
        size_of::<Datum>(),
        24,
        "two thousand rows must fit in a few megabytes"
    );
}

#[test]
fn two_thousand_rows_with_a_dozen_strings_each_take_a_few_megabytes() {
    let mut database = Database::new(schema());
    for n in 0..2000 {
        let notes = (0..6).map(|k| {
            (
                format!("weft-key-{k}"),
                format!("value {k} of pod number {n}"),
            )
        });
        let row = Row::new()
            .with("name", format!("namespace-with-a-name_pod-{n}-7d5b9c"))
            .with("size", n % 150)
            .with("notes", notes.collect::<Datum>());
        let insert = Operation::Insert {
            table: "Zoo".into(),
            uuid: None,
            row,
        };
        database.transact(&[insert]).expect("fits");
    }
    let column = size_of::<(Arc<str>, Datum)>();
    let row = |row: &Row| {
        row.iter()
            .map(|(_, datum)| column + datum.heap_bytes())
            .sum::<usize>()
    };
    let bytes: usize = database
        .rows("Zoo")
        .map(|(_, stored)| 64 + size_of::<StoredRow>() + row(stored))
        .sum();
    assert!(bytes < 4 << 20, "{bytes} bytes for 2,000 rows");
}
