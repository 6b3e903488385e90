//! Values as JSON, both ways, and what damaged JSON gets.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::fixture::{Served, schema};
use crate::jsonrpc::Message;
use crate::operation::json::transaction_from_json;
use crate::operation::{Condition, Function, Mutation, Mutator, Operation, Until};
use crate::schema::DatabaseSchema;

fn atom(kind: AtomType) -> BoxedStrategy<Atom> {
    match kind {
        AtomType::Integer => any::<i64>().prop_map(Atom::Integer).boxed(),
        AtomType::Real => any::<f64>()
            .prop_filter_map("finite", |real| Real::new(real).map(Atom::Real))
            .boxed(),
        AtomType::Boolean => any::<bool>().prop_map(Atom::Boolean).boxed(),
        AtomType::String => any::<String>()
            .prop_map(|s| Atom::from(s.replace('\0', "")))
            .boxed(),
        AtomType::Uuid => any::<u128>()
            .prop_map(|n| Atom::Uuid(Uuid::from_u128(n)))
            .boxed(),
    }
}

fn kind() -> impl Strategy<Value = AtomType> {
    prop_oneof![
        Just(AtomType::Integer),
        Just(AtomType::Real),
        Just(AtomType::Boolean),
        Just(AtomType::String),
        Just(AtomType::Uuid)
    ]
}

proptest! {
    #[test]
    fn a_set_reads_as_it_prints((kind, set) in kind().prop_flat_map(|kind| {
        (Just(kind), proptest::collection::vec(atom(kind), 0..5))
    })) {
        let datum = Datum::Set(set.into_iter().collect());
        let text = datum_to_json(&datum).to_string();
        let value = serde_json::from_str(&text).expect("JSON");
        prop_assert_eq!(datum_from_json(&value, &ColumnType::set(BaseType::new(kind)), None), Ok(datum));
    }

    #[test]
    fn a_map_reads_as_it_prints((key, value, pairs) in (kind(), kind()).prop_flat_map(|(key, value)| {
        (Just(key), Just(value), proptest::collection::vec((atom(key), atom(value)), 0..5))
    })) {
        let datum = Datum::Map(pairs.into_iter().collect());
        let json = serde_json::from_str(&datum_to_json(&datum).to_string()).expect("JSON");
        let kind = ColumnType::map(BaseType::new(key), BaseType::new(value));
        prop_assert_eq!(datum_from_json(&json, &kind, None), Ok(datum));
    }

    #[test]
    fn any_json_at_all_is_read_or_refused(text in r#"[\[\]{}",:a-z0-9.\-]{0,60}"#, kind in kind()) {
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            let kind = ColumnType::set(BaseType::new(kind));
            drop(datum_from_json(&value, &kind, None));
            drop(DatabaseSchema::from_json(&value));
            drop(transaction_from_json(std::slice::from_ref(&value), &schema()));
        }
    }
}

#[test]
fn values_are_read_by_the_type_of_their_column() {
    let integer = ColumnType::scalar(BaseType::integer());
    let real = ColumnType::scalar(BaseType::real());
    let string = ColumnType::set(BaseType::string());
    let map = ColumnType::map(BaseType::string(), BaseType::integer());
    let uuid = ColumnType::scalar(BaseType::uuid());
    let ok: [(Value, &ColumnType, Datum); 8] = [
        (json!(1), &integer, 1.into()),
        (json!(1.0), &integer, 1.into()),
        (json!(1), &real, Real::new(1.0).expect("finite").into()),
        (json!("a"), &string, "a".into()),
        (json!(["set", ["a"]]), &string, "a".into()),
        (json!(["set", []]), &map, Datum::empty_map()),
        (
            json!(["map", [["a", 1]]]),
            &map,
            [("a", 1)].into_iter().collect(),
        ),
        (
            json!(["uuid", "00000000-0000-0000-0000-000000000001"]),
            &uuid,
            Uuid::from_u128(1).into(),
        ),
    ];
    for (value, kind, datum) in ok {
        assert_eq!(datum_from_json(&value, kind, None), Ok(datum), "{value}");
    }
    let bad: [(Value, &ColumnType); 12] = [
        (json!(1.5), &integer),
        (json!(1e300), &integer),
        (json!(u64::MAX), &integer),
        (json!("1"), &integer),
        (json!(true), &real),
        (json!(null), &string),
        (json!(["set", "a"]), &string),
        (json!(["set", [["set", []]]]), &string),
        (json!(["map", [["a"]]]), &map),
        (json!(["map", [["a", 1], ["a", 2]]]), &map),
        (json!(["uuid", "00000000000000000000000000000001"]), &uuid),
        (json!(["named-uuid", "a"]), &uuid),
    ];
    for (value, kind) in bad {
        datum_from_json(&value, kind, None).expect_err(&value.to_string());
    }
}

fn operations() -> Vec<Operation> {
    let conditions = vec![
        Condition::equal("name", "a\"b\\"),
        Condition::new("size", Function::LessOrEqual, 7),
        Condition::uuid(Uuid::from_u128(7)),
    ];
    let row = Row::new()
        .with("name", "ü")
        .with("notes", [("k", "v")].into_iter().collect::<Datum>());
    let mutations = vec![
        Mutation::new("animals", Mutator::Insert, Uuid::from_u128(2)),
        Mutation::new("notes", Mutator::Delete, "k"),
        Mutation::new("size", Mutator::Add, 1),
    ];
    let table = || "Zoo".into();
    vec![
        Operation::Insert {
            table: table(),
            uuid: Some(Uuid::from_u128(1)),
            row: row.clone(),
        },
        Operation::Select {
            table: table(),
            conditions: conditions.clone(),
            columns: Some(vec!["name".into()]),
        },
        Operation::Update {
            table: table(),
            conditions: conditions.clone(),
            row: row.clone(),
        },
        Operation::Mutate {
            table: table(),
            conditions: conditions.clone(),
            mutations,
        },
        Operation::Delete {
            table: table(),
            conditions: conditions.clone(),
        },
        Operation::Wait {
            table: table(),
            conditions,
            columns: None,
            until: Until::NotEqual,
            rows: vec![row],
            timeout_ms: Some(0),
        },
        Operation::Commit { durable: true },
        Operation::Comment("c".to_owned()),
        Operation::Assert {
            lock: "l".to_owned(),
        },
        Operation::Abort,
    ]
}

#[test]
fn operations_read_as_they_print() {
    let json: Vec<Value> = operations().iter().map(Operation::to_json).collect();
    assert_eq!(
        transaction_from_json(&json, &schema()),
        (operations(), None)
    );
}

/// Every prefix of a request, and the request with every byte changed: refused or carried out, never a panic, and the
/// next request of the same and of another client is answered as ever.
#[test]
fn damaged_requests_harm_nobody() {
    let json: Vec<Value> = operations().iter().map(Operation::to_json).collect();
    let params: Vec<Value> = std::iter::once(json!("Zoo")).chain(json).collect();
    let requests = [
        json!({"method": "transact", "params": params, "id": 1}),
        json!({"method": "monitor_cond_since", "id": 2, "params": ["Zoo", "m", {"Zoo": [{"columns": ["name"],
            "where": [["size", "<", 3], true], "select": {"initial": true}}]}, Uuid::nil().to_string()]}),
        json!({"method": "monitor_cond_change", "id": 3, "params": ["m", "m", {"Zoo": [{"where": [false]}]}]}),
        json!({"method": "lock", "id": 4, "params": ["l"]}),
    ];
    let mut zoo = Served::new();
    let mut other = zoo.client(crate::server::Access::ReadWrite);
    let mut feed = |text: &[u8]| {
        if let Ok(message) = Message::parse(text) {
            zoo.session.receive(&mut zoo.core, message, zoo.now);
            drop(zoo.session.take_output());
        }
        let echo = Message::Request {
            method: "echo".into(),
            params: vec![],
            id: json!(1),
        };
        other.receive(&mut zoo.core, echo, zoo.now);
        assert_eq!(crate::fixture::messages(&mut other).len(), 1);
    };
    for request in requests {
        let text = request.to_string().into_bytes();
        feed(&text);
        for at in 0..text.len() {
            feed(&text[..at]);
            for change in [1, 4, 0x20, 0x80] {
                let mut text = text.clone();
                text[at] ^= change;
                feed(&text);
            }
        }
    }
    assert_eq!(
        zoo.ask("list_dbs", json!([])),
        Ok(json!(["Zoo", "_Server"]))
    );
}
