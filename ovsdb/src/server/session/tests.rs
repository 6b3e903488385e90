//! A session fed with messages: what it answers, and what bad input gets.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::fixture::{Served, messages};

fn insert(name: &str, size: i64) -> Value {
    json!({"op": "insert", "table": "Zoo", "row": {"name": name, "size": size}})
}

fn notification(message: &Message) -> (&str, &[Value]) {
    match message {
        Message::Notification { method, params } => (method, params),
        other => panic!("no notification: {other:?}"),
    }
}

/// The updates of the one table in a `<table-updates>`, without the rows' identities.
fn rows(updates: &Value) -> Vec<&Value> {
    updates
        .as_object()
        .expect("updates")
        .values()
        .flat_map(|t| t.as_object().expect("rows").values())
        .collect()
}

#[test]
fn an_update_precedes_the_answer_to_the_transaction_that_made_it() {
    let mut zoo = Served::new();
    let monitors = [
        (
            "monitor",
            json!(["Zoo", "m1", {"Zoo": {"columns": ["name", "words"]}}]),
        ),
        (
            "monitor_cond",
            json!(["Zoo", "m2", {"Zoo": [{"columns": ["name", "words"]}]}]),
        ),
        (
            "monitor_cond_since",
            json!(["Zoo", "m3", {"Zoo": [{"columns": ["name", "words"]}]}, Uuid::nil()]),
        ),
    ];
    for (method, params) in monitors {
        zoo.ask(method, params).expect("granted");
    }
    let make = json!(["Zoo", {"op": "insert", "table": "Zoo", "row": {"name": "A", "size": 1}}]);
    let got = zoo.request("transact", make);
    assert_eq!(got.len(), 4);
    let (method, params) = notification(&got[0]);
    assert_eq!((method, &params[0]), ("update", &json!("m1")));
    assert_eq!(
        rows(&params[1]),
        [&json!({"new": {"name": "A", "words": ["set", []]}})]
    );
    let (method, params) = notification(&got[1]);
    assert_eq!((method, &params[0]), ("update2", &json!("m2")));
    assert_eq!(
        rows(&params[1]),
        [&json!({"insert": {"name": "A"}})],
        "defaults are left out"
    );
    let (method, params) = notification(&got[2]);
    assert_eq!((method, &params[0]), ("update3", &json!("m3")));
    assert_eq!(params[1], json!(zoo.core.database(0).last_id()));
    assert!(matches!(&got[3], Message::Response { result: Ok(_), .. }));

    let change = json!(["Zoo", {"op": "update", "table": "Zoo", "where": [], "row": {"words": ["set", ["a", "b"]]}},
        {"op": "mutate", "table": "Zoo", "where": [], "mutations": [["size", "+=", 1]]}]);
    let got = zoo.request("transact", change);
    let modified =
        json!({"old": {"words": ["set", []]}, "new": {"name": "A", "words": ["set", ["a", "b"]]}});
    assert_eq!(rows(&notification(&got[0]).1[1]), [&modified]);
    assert_eq!(
        rows(&notification(&got[1]).1[1]),
        [&json!({"modify": {"words": ["set", ["a", "b"]]}})]
    );

    let unseen = json!(["Zoo", {"op": "update", "table": "Zoo", "where": [], "row": {"size": 9}}]);
    assert_eq!(
        zoo.request("transact", unseen).len(),
        1,
        "a column that nobody watches"
    );

    let got = zoo.request(
        "transact",
        json!(["Zoo", {"op": "delete", "table": "Zoo", "where": []}]),
    );
    assert_eq!(
        rows(&notification(&got[0]).1[1]),
        [&json!({"old": {"name": "A", "words": ["set", ["a", "b"]]}})]
    );
    assert_eq!(
        rows(&notification(&got[1]).1[1]),
        [&json!({"delete": null})]
    );
}

#[test]
fn rows_come_and_go_with_the_condition() {
    let mut zoo = Served::new();
    zoo.transact(json!([insert("small", 1), insert("large", 9)]));
    let request = json!({"Zoo": [{"columns": ["name"], "where": [["size", ">", 5]]}]});
    let initial = zoo
        .ask("monitor_cond", json!(["Zoo", "m", request]))
        .expect("granted");
    assert_eq!(rows(&initial), [&json!({"initial": {"name": "large"}})]);
    let resize = |name: &str, size: i64| json!(["Zoo", {"op": "update", "table": "Zoo", "where": [["name", "==", name]], "row": {"size": size}}]);
    let got = zoo.request("transact", resize("small", 6));
    assert_eq!(
        rows(&notification(&got[0]).1[1]),
        [&json!({"insert": {"name": "small"}})]
    );
    let got = zoo.request("transact", resize("large", 2));
    assert_eq!(
        rows(&notification(&got[0]).1[1]),
        [&json!({"delete": null})]
    );
    let change = json!(["m", "n", {"Zoo": [{"where": [["size", "<", 5]]}]}]);
    let got = zoo.request("monitor_cond_change", change);
    assert_eq!(notification(&got[0]).1[0], json!("n"));
    let mut seen: Vec<String> = rows(&notification(&got[0]).1[1])
        .into_iter()
        .map(Value::to_string)
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [r#"{"delete":null}"#, r#"{"insert":{"name":"large"}}"#]
    );
    assert!(matches!(&got[1], Message::Response { result: Ok(_), .. }));
    assert_eq!(zoo.ask("monitor_cancel", json!(["n"])), Ok(json!({})));
    assert_eq!(zoo.request("transact", resize("large", 3)).len(), 1);
}

#[test]
fn a_monitor_continues_where_its_client_left_off() {
    let mut zoo = Served::new();
    zoo.transact(json!([insert("A", 1)]));
    let since = |id: Uuid, name: &str| json!(["Zoo", name, {"Zoo": [{"columns": ["name"]}]}, id]);
    let result = zoo
        .ask("monitor_cond_since", since(Uuid::nil(), "a"))
        .expect("granted");
    assert_eq!(result[0], json!(false));
    assert_eq!(rows(&result[2]), [&json!({"initial": {"name": "A"}})]);
    let id: Uuid = result[1]
        .as_str()
        .and_then(|id| id.parse().ok())
        .expect("an id");
    let result = zoo
        .ask("monitor_cond_since", since(id, "b"))
        .expect("granted");
    assert_eq!(result, json!([true, id, {}]), "nothing was missed");
    zoo.transact(json!([insert("B", 1)]));
    let result = zoo
        .ask("monitor_cond_since", since(id, "c"))
        .expect("granted");
    assert_eq!(result[0], json!(true));
    assert_eq!(rows(&result[2]), [&json!({"insert": {"name": "B"}})]);
}

#[test]
fn a_wait_holds_its_transaction_until_another_client_commits() {
    let mut zoo = Served::new();
    let mut other = zoo.client(Access::ReadWrite);
    let wait = json!(["Zoo", {"op": "wait", "table": "Zoo", "where": [["name", "==", "A"]], "columns": ["size"],
        "until": "==", "rows": [{"size": 1}], "timeout": 1000}, insert("B", 2)]);
    assert_eq!(zoo.request("transact", wait), []);
    let done = Message::Request {
        method: "transact".into(),
        params: vec![json!("Zoo"), insert("A", 1)],
        id: json!(1),
    };
    other.receive(&mut zoo.core, done, zoo.now);
    zoo.session.collect(&mut zoo.core);
    let got = messages(&mut zoo.session);
    assert!(
        matches!(&got[..], [Message::Response { id, result: Ok(result) }]
        if *id == json!("it") && result[0] == json!({}) && result[1]["uuid"].is_array()),
        "{got:?}"
    );
    assert_eq!(zoo.dump("Zoo", &["name"]).len(), 2);
}

#[test]
fn a_wait_times_out_or_is_cancelled() {
    let mut zoo = Served::new();
    let wait = |timeout: Value| {
        json!(["Zoo", {"op": "wait", "table": "Zoo", "where": [], "columns": ["name"], "until": "!=", "rows": [],
            "timeout": timeout}])
    };
    assert_eq!(zoo.request("transact", wait(json!(500))), []);
    let deadline = zoo
        .session
        .deadline(&zoo.core)
        .expect("a wait has a deadline");
    assert_eq!(deadline, zoo.now + Duration::from_millis(500));
    assert!(
        zoo.session
            .tick(&mut zoo.core, zoo.now + Duration::from_millis(499))
    );
    assert_eq!(messages(&mut zoo.session), []);
    assert!(zoo.session.tick(&mut zoo.core, deadline));
    let got = messages(&mut zoo.session);
    assert!(
        matches!(&got[..], [Message::Response { result: Ok(r), .. }] if r[0]["error"] == "timed out"),
        "{got:?}"
    );

    assert_eq!(zoo.request("transact", wait(json!(500))), []);
    let got = zoo.request("transact", wait(json!(500)));
    assert!(
        matches!(&got[..], [Message::Response { result: Err(e), .. }] if e == "duplicate request ID"),
        "{got:?}"
    );
    let cancel = Message::Notification {
        method: "cancel".into(),
        params: vec![json!("it")],
    };
    zoo.session.receive(&mut zoo.core, cancel.clone(), zoo.now);
    let got = messages(&mut zoo.session);
    assert!(
        matches!(&got[..], [Message::Response { result: Err(e), .. }] if e == "canceled"),
        "{got:?}"
    );
    zoo.session.receive(&mut zoo.core, cancel, zoo.now);
    assert_eq!(messages(&mut zoo.session), [], "nothing is left to cancel");
    assert_eq!(zoo.session.deadline(&zoo.core), None);
}

#[test]
fn locks_are_granted_in_turn_and_asserted() {
    let mut zoo = Served::new();
    let mut other = zoo.client(Access::ReadWrite);
    let ask = |core: &mut Core, session: &mut Session, method: &str, now| {
        let request = Message::Request {
            method: method.into(),
            params: vec![json!("l")],
            id: json!(1),
        };
        session.receive(core, request, now);
        messages(session)
    };
    assert_eq!(zoo.ask("lock", json!(["l"])), Ok(json!({"locked": true})));
    let assert_op = json!([{"op": "assert", "lock": "l"}]);
    assert_eq!(zoo.transact(assert_op.clone()), json!([{}]));
    let got = ask(&mut zoo.core, &mut other, "steal", zoo.now);
    assert!(
        matches!(&got[..], [Message::Response { result: Ok(r), .. }] if r["locked"] == true),
        "{got:?}"
    );
    zoo.session.collect(&mut zoo.core);
    assert_eq!(
        notification(&messages(&mut zoo.session)[0]),
        ("stolen", &[json!("l")][..])
    );
    assert_eq!(zoo.transact(assert_op)[0]["error"], "not owner");
    ask(&mut zoo.core, &mut other, "unlock", zoo.now);
    zoo.session.collect(&mut zoo.core);
    assert_eq!(
        notification(&messages(&mut zoo.session)[0]),
        ("locked", &[json!("l")][..])
    );
    zoo.ask("lock", json!(["l"])).expect_err("twice");
    zoo.ask("lock", json!(["not an identifier"]))
        .expect_err("a bad name");
    assert_eq!(zoo.ask("unlock", json!(["l"])), Ok(json!({})));
}

#[test]
fn a_reader_may_not_write() {
    let mut zoo = Served::new();
    zoo.transact(json!([insert("A", 1)]));
    zoo.session = zoo.client(Access::ReadOnly);
    for operation in [
        insert("B", 1),
        json!({"op": "update", "table": "Zoo", "where": [], "row": {"size": 1}}),
        json!({"op": "mutate", "table": "Zoo", "where": [], "mutations": []}),
        json!({"op": "delete", "table": "Zoo", "where": []}),
        json!({"op": "commit", "durable": false}),
    ] {
        assert_eq!(
            zoo.transact(json!([operation]))[0]["error"],
            "not allowed",
            "{operation}"
        );
    }
    assert_eq!(zoo.dump("Zoo", &["name"]), [json!(["A"])]);
}

#[test]
fn the_server_describes_itself_and_lets_nobody_write_there() {
    let mut zoo = Served::new();
    assert_eq!(
        zoo.ask("list_dbs", json!([])),
        Ok(json!(["Zoo", "_Server"]))
    );
    assert_eq!(
        zoo.ask("get_schema", json!(["Zoo"])),
        Ok(crate::fixture::schema().to_json())
    );
    let select = json!(["_Server", {"op": "select", "table": "Database", "where": [["name", "==", "Zoo"]],
        "columns": ["model", "connected", "leader"]}]);
    let expected = json!([{"rows": [{"model": "standalone", "connected": true, "leader": true}]}]);
    assert_eq!(zoo.ask("transact", select), Ok(expected));
    let delete = json!(["_Server", {"op": "delete", "table": "Database", "where": []}]);
    assert_eq!(
        zoo.ask("transact", delete).expect("results")[0]["error"],
        "not allowed"
    );
    let id = zoo.ask("get_server_id", json!([])).expect("an id");
    assert!(
        id.as_str().is_some_and(|id| id.parse::<Uuid>().is_ok()),
        "{id}"
    );
    assert_eq!(zoo.ask("set_db_change_aware", json!([true])), Ok(json!({})));
    assert_eq!(zoo.ask("echo", json!([1, "x"])), Ok(json!([1, "x"])));
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let mut zoo = Served::new();
    zoo.ask("monitor", json!(["Zoo", "m", {}]))
        .expect("granted");
    let cases = [
        ("explode", json!([])),
        ("get_schema", json!([])),
        ("get_schema", json!(["Nowhere"])),
        ("transact", json!([])),
        ("transact", json!([{}])),
        ("transact", json!(["Nowhere"])),
        ("monitor", json!(["Zoo", "m", {}])),
        ("monitor", json!(["Zoo", "n"])),
        ("monitor", json!(["Zoo", "n", []])),
        ("monitor", json!(["Zoo", "n", {"Nowhere": []}])),
        ("monitor", json!(["Zoo", "n", {"Zoo": 1}])),
        (
            "monitor",
            json!(["Zoo", "n", {"Zoo": {"columns": ["nothing"]}}]),
        ),
        (
            "monitor",
            json!(["Zoo", "n", {"Zoo": {"columns": ["name", "name"]}}]),
        ),
        ("monitor", json!(["Zoo", "n", {"Zoo": {"where": []}}])),
        (
            "monitor",
            json!(["Zoo", "n", {"Zoo": {"select": {"initial": 1}}}]),
        ),
        (
            "monitor_cond",
            json!(["Zoo", "n", {"Zoo": {"where": [["name", "<", "a"]]}}]),
        ),
        ("monitor_cond", json!(["Zoo", "n", {"Zoo": {"where": 1}}])),
        ("monitor_cond_since", json!(["Zoo", "n", {}])),
        ("monitor_cond_since", json!(["Zoo", "n", {}, "x"])),
        ("monitor_cond_change", json!(["n", "n", {}])),
        ("monitor_cond_change", json!(["m", "m", {}])),
        ("monitor_cancel", json!(["n"])),
        ("monitor_cancel", json!([])),
        ("unlock", json!(["l"])),
        ("lock", json!([1])),
        ("set_db_change_aware", json!([1])),
    ];
    for (method, params) in cases {
        let error = zoo
            .ask(method, params.clone())
            .expect_err(&format!("{method} {params}"));
        assert!(!error.is_null());
    }
    assert_eq!(
        zoo.transact(json!([insert("A", 1)]))
            .as_array()
            .map(Vec::len),
        Some(1),
        "the session goes on"
    );
}

#[test]
fn a_silent_client_is_asked_for_an_echo_and_then_given_up() {
    let mut zoo = Served::new();
    let second = Duration::from_secs(1);
    let (id, _) = zoo.core.open();
    zoo.session = Session::new(id, Access::ReadWrite, Some(second), zoo.now);
    assert_eq!(zoo.session.deadline(&zoo.core), Some(zoo.now + second));
    assert!(zoo.session.tick(&mut zoo.core, zoo.now + second));
    assert!(
        matches!(&messages(&mut zoo.session)[..], [Message::Request { method, .. }] if method == "echo")
    );
    assert_eq!(zoo.session.deadline(&zoo.core), Some(zoo.now + second * 2));
    zoo.session.heard(zoo.now + second);
    assert!(zoo.session.tick(&mut zoo.core, zoo.now + second * 2));
    assert!(!zoo.session.tick(&mut zoo.core, zoo.now + second * 3));
}

#[test]
fn what_piles_up_for_a_slow_client_becomes_one_update() {
    let mut zoo = Served::new();
    let mut slow = zoo.client(Access::ReadWrite);
    let request = json!({"Zoo": [{"columns": ["name", "size"]}]});
    let params = vec![json!("Zoo"), json!("m"), request];
    slow.receive(
        &mut zoo.core,
        Message::Request {
            method: "monitor_cond".into(),
            params,
            id: json!(1),
        },
        zoo.now,
    );
    messages(&mut slow);
    zoo.transact(json!([insert("A", 0)]));
    for n in 1..=500 {
        zoo.transact(json!([{"op": "update", "table": "Zoo", "where": [], "row": {"size": n}}]));
    }
    slow.collect(&mut zoo.core);
    let got = messages(&mut slow);
    assert!(got.len() < 70, "{} updates for 501 transactions", got.len());
    let (_, params) = notification(&got[0]);
    let row = rows(&params[1])[0]["insert"].clone();
    assert!(
        row["name"] == "A" && row["size"].as_i64() > Some(100),
        "{row}"
    );
}

#[test]
fn what_a_client_makes_the_server_hold_is_bounded() {
    let mut zoo = Served::new();
    let wait = json!(["Zoo", {"op": "wait", "table": "Zoo", "where": [], "columns": ["name"], "until": "!=", "rows": []}]);
    let Value::Array(params) = wait else {
        unreachable!("written above")
    };
    let mut waiting = 0;
    for n in 0..100 {
        let request = Message::Request {
            method: "transact".into(),
            params: params.clone(),
            id: json!(n),
        };
        zoo.session.receive(&mut zoo.core, request, zoo.now);
        waiting += usize::from(messages(&mut zoo.session).is_empty());
    }
    assert_eq!(waiting, 64, "further waits fail at once");
    zoo.session.announce(20 << 20);
    zoo.ask("monitor", json!(["Zoo", "a", {}]))
        .expect("granted");
    zoo.ask("monitor", json!(["Zoo", "b", {}]))
        .expect_err("too large together");
    zoo.session.announce(100);
    zoo.ask("monitor", json!(["Zoo", "b", {}]))
        .expect("granted");
    zoo.ask("lock", json!(["l".repeat(256)]))
        .expect_err("too long a name");
}
