//! Updates applied to a replica give the database content, in all notations and in process.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::connection::{Event, MonitorTable};
use crate::fixture::{Served, messages, schema};
use crate::jsonrpc::Message;
use crate::mailbox::Mailbox;
use crate::operation::{Condition, Function};
use crate::watch::Watch;

type Content = BTreeMap<(String, Uuid), Row>;

#[derive(Clone, Debug)]
enum Step {
    Put(u128, i64, Vec<String>, BTreeMap<String, String>),
    Delete(u128),
    /// The reader takes what is there.
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    let words = proptest::collection::btree_set("[a-d]", 0..3)
        .prop_map(|words| words.into_iter().collect());
    let notes = proptest::collection::btree_map("[a-c]", "[xy]", 0..3);
    prop_oneof![
        4 => (1_u128..5, 0_i64..10, words, notes).prop_map(|(n, size, words, notes)| Step::Put(n, size, words, notes)),
        1 => (1_u128..5).prop_map(Step::Delete),
        1 => Just(Step::Read),
    ]
}

fn content(rows: impl IntoIterator<Item = RowChange>) -> Content {
    let rows = rows.into_iter();
    rows.map(|change| {
        (
            (change.table.to_string(), change.uuid),
            (*change.row.expect("a row")).clone(),
        )
    })
    .collect()
}

/// What the database holds, as far as a monitor of these columns and rows shows it.
fn expected(zoo: &Served, only_large: bool) -> Content {
    let shown = zoo.core.database(0).rows("Zoo");
    let shown =
        shown.filter(|(_, row)| !only_large || row.get("size").and_then(Datum::as_i64) > Some(4));
    let part = |row: &Row| {
        row.iter()
            .filter(|(c, _)| ***c != *"rating")
            .map(|(c, d)| (c.clone(), d.clone()))
            .collect()
    };
    shown
        .map(|(uuid, row)| (("Zoo".to_owned(), uuid), part(row)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn a_monitor_shows_the_database(before in proptest::collection::vec(step(), 0..6),
                                    after in proptest::collection::vec(step(), 0..90)) {
        let columns = ["name", "size", "words", "notes"];
        let schema = schema();
        let mut zoo = Served::new();
        before.iter().for_each(|step| perform(&mut zoo, step));
        let mut reader = zoo.client(crate::server::Access::ReadOnly);
        let only_large = json!([["size", ">", 4]]);
        let monitors = [
            ("monitor", json!(["Zoo", 0, {"Zoo": {"columns": columns}}])),
            ("monitor_cond", json!(["Zoo", 1, {"Zoo": {"columns": columns, "where": only_large}}])),
            ("monitor_cond_since", json!(["Zoo", 2, {"Zoo": {"columns": columns}}, Uuid::nil()])),
        ];
        let mut replicas = [Replica::default(), Replica::default(), Replica::default()];
        for ((method, params), replica) in monitors.into_iter().zip(&mut replicas) {
            let Value::Array(params) = params else { unreachable!("written above") };
            reader.receive(&mut zoo.core, Message::Request { method: method.into(), params, id: json!(1) }, zoo.now);
            let Some(Message::Response { result: Ok(result), .. }) = messages(&mut reader).pop() else {
                panic!("{method} is granted");
            };
            replica.apply(if method == "monitor_cond_since" { &result[2] } else { &result }, &schema).expect("initial");
        }
        let mailbox = Arc::new(Mailbox::default());
        let table = MonitorTable::new("Zoo").columns(columns).condition([Condition::new("size", Function::Greater, 4)]);
        let watch = Watch::new(zoo.core.database(0), &[table]).expect("names are right");
        zoo.core.monitor_locally(0, watch, &mailbox);
        let mut local = Content::new();
        for step in after.iter().chain([&Step::Read]) {
            perform(&mut zoo, step);
            if !matches!(step, Step::Read) {
                continue;
            }
            reader.collect(&mut zoo.core);
            for message in messages(&mut reader) {
                let Message::Notification { params, .. } = message else { panic!("only updates: {message:?}") };
                let number = usize::try_from(params[0].as_u64().expect("our id")).expect("small");
                replicas[number].apply(params.last().expect("updates"), &schema).expect("an update fits");
            }
            for (number, replica) in replicas.iter().enumerate() {
                prop_assert_eq!(content(replica.snapshot()), expected(&zoo, number == 1), "monitor {}", number);
            }
            mailbox.push(Event::Disconnected { reason: "the end of what there is".to_owned() });
            loop {
                match futures::executor::block_on(mailbox.next()).expect("open") {
                    Event::Disconnected { .. } => break,
                    Event::Snapshot(rows) => local = content(rows),
                    Event::Changes(rows) => for change in rows {
                        let key = (change.table.to_string(), change.uuid);
                        match change.row {
                            Some(row) => drop(local.insert(key, (*row).clone())),
                            None => drop(local.remove(&key)),
                        }
                    }
                }
            }
            prop_assert_eq!(&local, &expected(&zoo, true), "in process");
        }
    }
}

fn perform(zoo: &mut Served, step: &Step) {
    let is_row = |n: &u128| json!([["_uuid", "==", ["uuid", Uuid::from_u128(*n)]]]);
    match step {
        Step::Read => {}
        Step::Delete(n) => {
            drop(zoo.transact(json!([{"op": "delete", "table": "Zoo", "where": is_row(n)}])))
        }
        Step::Put(n, size, words, notes) => {
            let row = json!({"size": size, "rating": size, "words": ["set", words],
                "notes": ["map", notes.iter().collect::<Vec<_>>()]});
            let update = json!([{"op": "update", "table": "Zoo", "where": is_row(n), "row": row}]);
            if zoo.transact(update)[0]["count"] == 0 {
                zoo.transact(json!([{"op": "insert", "table": "Zoo", "uuid": Uuid::from_u128(*n), "row": row}]));
            }
        }
    }
}

#[test]
fn a_row_of_the_database_is_shared_with_readers_in_process() {
    let mut zoo = Served::new();
    perform(&mut zoo, &Step::Put(1, 5, vec![], BTreeMap::new()));
    let mailbox = Arc::new(Mailbox::default());
    let watch =
        Watch::new(zoo.core.database(0), &[MonitorTable::new("Zoo")]).expect("names are right");
    zoo.core.monitor_locally(0, watch, &mailbox);
    let Some(Event::Snapshot(rows)) = futures::executor::block_on(mailbox.next()) else {
        panic!("a snapshot")
    };
    let shared = rows[0].row.as_ref().expect("a row");
    assert!(Arc::ptr_eq(
        shared,
        zoo.core
            .database(0)
            .row("Zoo", Uuid::from_u128(1))
            .expect("a row")
    ));
}

#[test]
fn updates_that_do_not_fit_are_errors() {
    let schema = schema();
    let row = Uuid::from_u128(1).to_string();
    for update in [
        json!([]),
        json!({"Nowhere": {}}),
        json!({"Zoo": []}),
        json!({"Zoo": {"x": {"insert": {}}}}),
        json!({"Zoo": {&row: {}}}),
        json!({"Zoo": {&row: null}}),
        json!({"Zoo": {&row: {"insert": {"nothing": 1}}}}),
        json!({"Zoo": {&row: {"insert": {"name": 1}}}}),
        json!({"Zoo": {&row: {"insert": 7}}}),
        json!({"Zoo": {&row: {"modify": {"name": "x"}}}}),
    ] {
        Replica::default()
            .apply(&update, &schema)
            .expect_err(&update.to_string());
    }
}

#[test]
fn a_bounded_copy_counts_what_comes_and_goes_and_refuses_what_is_too_much() {
    let schema = schema();
    let update =
        |number: u128, change: Value| json!({"Zoo": {Uuid::from_u128(number).to_string(): change}});
    let insert = |number| update(number, json!({"insert": {"name": "x".repeat(50)}}));
    let mut replica = Replica::bounded(Some(250));
    // Two rows of about a hundred bytes fit, whatever came and went before; a third does not.
    for _ in 0..5 {
        for number in [1, 2] {
            replica.apply(&insert(number), &schema).expect("it fits");
        }
        replica
            .apply(&update(1, json!({"delete": null})), &schema)
            .expect("less fits");
    }
    replica.apply(&insert(1), &schema).expect("it fits");
    let refusal = replica.apply(&insert(3), &schema).expect_err("too much");
    assert!(
        refusal.contains("250 bytes") && refusal.contains("Zoo"),
        "{refusal}"
    );
    replica.clear();
    replica.apply(&insert(3), &schema).expect("it fits again");
}
