//! The client session fed with messages: falls back, resumes, refuses what does not fit.

use super::*;
use crate::fixture::schema;
use crate::framing::{Framer, Limits};

const SECOND: Duration = Duration::from_secs(1);

struct Client {
    session: Session,
    now: Instant,
}

impl Client {
    fn new() -> Client {
        let (session, now) = (
            Session::new("unix:test".into(), "Zoo", SECOND),
            Instant::now(),
        );
        Client { session, now }
    }

    /// The requests that wait to be sent: method, params, id.
    fn sent(&mut self) -> Vec<(String, Value, Value)> {
        let mut framer = Framer::new(Limits::REQUESTS);
        framer.push(&self.session.take_output());
        let mut sent = Vec::new();
        while let Some(text) = framer.next_text().expect("a client frames well") {
            match Message::parse(&text).expect("a client sends messages") {
                Message::Request { method, params, id } => sent.push((method, params.into(), id)),
                Message::Notification { method, params } => {
                    sent.push((method, params.into(), Value::Null))
                }
                Message::Response { id, result } => {
                    sent.push(("".into(), json!(format!("{result:?}")), id))
                }
            }
        }
        sent
    }

    fn answer(&mut self, id: &Value, result: Result<Value, Value>) -> Result<(), String> {
        self.session.receive(
            Message::Response {
                id: id.clone(),
                result,
            },
            self.now,
        )
    }

    fn notify(&mut self, method: &str, params: Value) -> Result<(), String> {
        let Value::Array(params) = params else {
            panic!("params are an array: {params}")
        };
        self.session.receive(
            Message::Notification {
                method: method.into(),
                params,
            },
            self.now,
        )
    }

    /// Connects and is told the schema.
    fn connect(&mut self) {
        self.session.connected(self.now);
        let [(method, _, id)] = &self.sent()[..] else {
            panic!("one request")
        };
        assert_eq!(method, "get_schema");
        self.answer(id, Ok(schema().to_json())).expect("fits");
    }

    fn monitor(&mut self) -> oneshot::Receiver<Result<Arc<Mailbox>, Error>> {
        let (reply, answer) = oneshot::channel();
        let tables = vec![MonitorTable::new("Zoo").columns(["name"])];
        self.session.command(Command::Monitor { tables, reply });
        answer
    }
}

fn event(mailbox: &Mailbox) -> Event {
    futures::executor::block_on(mailbox.next()).expect("open")
}

fn row(key: &str, name: &str) -> Value {
    json!({"Zoo": {Uuid::from_u128(1).to_string(): {key: {"name": name}}}})
}

#[test]
fn a_monitor_survives_a_lost_connection_without_a_snapshot_where_the_server_remembers() {
    let mut client = Client::new();
    let mut answer = client.monitor();
    assert!(client.sent().is_empty(), "there is no connection yet");
    client.connect();
    let [(method, params, id)] = &client.sent()[..] else {
        panic!("one request")
    };
    assert_eq!(
        (method.as_str(), &params[3]),
        ("monitor_cond_since", &json!(Uuid::nil()))
    );
    let monitor = params[1].clone();
    let (first, second) = (Uuid::from_u128(100), Uuid::from_u128(101));
    client
        .answer(id, Ok(json!([false, first, row("initial", "A")])))
        .expect("fits");
    let mailbox = answer.try_recv().expect("answered").expect("granted");
    assert!(matches!(event(&mailbox), Event::Snapshot(rows) if rows.len() == 1));
    client
        .notify("update3", json!([monitor, second, row("modify", "B")]))
        .expect("fits");
    assert!(matches!(event(&mailbox), Event::Changes(rows) if rows.len() == 1));

    client.session.disconnected("pulled the plug");
    assert_eq!(
        event(&mailbox),
        Event::Disconnected {
            reason: "pulled the plug".into()
        }
    );
    client.connect();
    let [(_, params, id)] = &client.sent()[..] else {
        panic!("one request")
    };
    assert_eq!(params[3], json!(second), "from where it left off");
    client
        .answer(id, Ok(json!([true, second, {}])))
        .expect("fits");
    assert_eq!(event(&mailbox), Event::Changes(vec![]));

    client.session.disconnected("again");
    event(&mailbox);
    client.connect();
    let [(_, _, id)] = &client.sent()[..] else {
        panic!("one request")
    };
    client
        .answer(id, Ok(json!([false, Uuid::nil(), {}])))
        .expect("fits");
    assert_eq!(event(&mailbox), Event::Snapshot(vec![]), "history was lost");
}

#[test]
fn an_old_server_is_asked_in_an_older_way() {
    let mut client = Client::new();
    let mut answer = client.monitor();
    client.connect();
    for expected in ["monitor_cond_since", "monitor_cond", "monitor"] {
        let [(method, _, id)] = &client.sent()[..] else {
            panic!("one request")
        };
        assert_eq!(method, expected);
        let result = if expected == "monitor" {
            Ok(row("new", "A"))
        } else {
            Err(json!("unknown method"))
        };
        client.answer(id, result).expect("fits");
    }
    let mailbox = answer.try_recv().expect("answered").expect("granted");
    assert!(matches!(event(&mailbox), Event::Snapshot(rows) if rows.len() == 1));
}

#[test]
fn a_monitor_nobody_reads_is_cancelled() {
    let mut client = Client::new();
    let mut answer = client.monitor();
    client.connect();
    let [(_, params, id)] = &client.sent()[..] else {
        panic!("one request")
    };
    let monitor = params[1].clone();
    client
        .answer(id, Ok(json!([false, Uuid::nil(), {}])))
        .expect("fits");
    drop(answer.try_recv().expect("answered").expect("granted"));
    client
        .notify("update3", json!([monitor, Uuid::nil(), row("insert", "A")]))
        .expect("fits");
    let [(method, params, _)] = &client.sent()[..] else {
        panic!("one request")
    };
    assert_eq!((method.as_str(), &params[0]), ("monitor_cancel", &monitor));
    client
        .notify("update3", json!([monitor, Uuid::nil(), row("modify", "B")]))
        .expect("passed over");
}

#[test]
fn what_was_sent_and_not_answered_is_of_unknown_outcome() {
    let mut client = Client::new();
    let (reply, mut sent) = oneshot::channel();
    client.connect();
    client.session.command(Command::Transact {
        operations: vec![Operation::Abort],
        reply,
    });
    client.session.disconnected("gone");
    assert!(
        matches!(sent.try_recv().expect("told"), Err(Error::Disconnected { reason, .. }) if reason == "gone")
    );
    let (reply, mut waits) = oneshot::channel();
    client.session.command(Command::Transact {
        operations: vec![Operation::Abort],
        reply,
    });
    client.connect();
    let [(method, _, id)] = &client.sent()[..] else {
        panic!("one request")
    };
    assert_eq!(method, "transact");
    client
        .answer(id, Ok(json!([{"error": "aborted", "details": "d"}])))
        .expect("fits");
    let Err(Error::Transaction(error)) = waits.try_recv().expect("told") else {
        panic!("an error")
    };
    assert_eq!((error.error.as_str(), error.operation), ("aborted", 0));
}

#[test]
fn a_transaction_nobody_waits_for_is_cancelled() {
    let mut client = Client::new();
    client.connect();
    let (reply, answer) = oneshot::channel();
    client.session.command(Command::Transact {
        operations: vec![Operation::Abort],
        reply,
    });
    let [(_, _, id)] = &client.sent()[..] else {
        panic!("one request")
    };
    drop(answer);
    client.session.tick(client.now + SECOND / 2).expect("alive");
    let [(method, params, _)] = &client.sent()[..] else {
        panic!("one request")
    };
    assert_eq!((method.as_str(), &params[0]), ("cancel", id));
}

#[test]
fn a_lock_is_asked_for_again_after_a_reconnect() {
    let mut client = Client::new();
    client.connect();
    let (reply, mut answer) = oneshot::channel();
    client.session.command(Command::Lock {
        name: "l".into(),
        mode: LockMode::Wait,
        reply,
    });
    let [(_, _, id)] = &client.sent()[..] else {
        panic!("one request")
    };
    client
        .answer(id, Ok(json!({"locked": true})))
        .expect("fits");
    let held = answer.try_recv().expect("told").expect("granted");
    assert!(*held.borrow());
    client.notify("stolen", json!(["l"])).expect("fits");
    assert!(!*held.borrow());
    client.notify("locked", json!(["l"])).expect("fits");
    client.session.disconnected("gone");
    assert!(!*held.borrow());
    client.connect();
    let [(method, params, id)] = &client.sent()[..] else {
        panic!("one request")
    };
    assert_eq!((method.as_str(), params), ("lock", &json!(["l"])));
    client
        .answer(id, Ok(json!({"locked": true})))
        .expect("fits");
    assert!(*held.borrow());
}

#[test]
fn a_silent_server_is_probed_and_then_given_up() {
    let mut client = Client::new();
    client.connect();
    client.sent();
    client.session.tick(client.now + SECOND).expect("alive");
    assert_eq!(client.sent()[0].0, "echo");
    client
        .session
        .tick(client.now + SECOND * 2)
        .expect_err("silent");
    client
        .session
        .receive(
            Message::Request {
                method: "echo".into(),
                params: vec![],
                id: json!(1),
            },
            client.now,
        )
        .expect("fits");
    assert_eq!(client.sent()[0].2, json!(1), "an echo is answered");
}

#[test]
fn answers_that_do_not_fit_end_the_connection_and_nothing_else() {
    let bad_monitors = [
        json!({}),
        json!([]),
        json!([1, 2, 3]),
        json!([true, "x", {}]),
        json!([false, Uuid::nil(), 7]),
        json!([false, Uuid::nil(), row("modify", "A")]),
    ];
    for result in bad_monitors {
        let mut client = Client::new();
        let _answer = client.monitor();
        client.connect();
        let [(_, _, id)] = &client.sent()[..] else {
            panic!("one request")
        };
        client
            .answer(id, Ok(result.clone()))
            .expect_err(&result.to_string());
    }
    for result in [
        json!(1),
        json!([]),
        json!([{}, {}]),
        json!([{"uuid": 1}]),
        json!([null]),
    ] {
        let mut client = Client::new();
        client.connect();
        let (reply, mut answer) = oneshot::channel();
        let insert = Operation::Insert {
            table: "Zoo".into(),
            uuid: None,
            row: crate::row::Row::new(),
        };
        client.session.command(Command::Transact {
            operations: vec![insert],
            reply,
        });
        let [(_, _, id)] = &client.sent()[..] else {
            panic!("one request")
        };
        client
            .answer(id, Ok(result.clone()))
            .expect("the caller is told");
        assert!(
            matches!(
                answer.try_recv().expect("told"),
                Err(Error::Protocol { .. })
            ),
            "{result}"
        );
    }
    let mut client = Client::new();
    client.connect();
    client
        .notify("update3", json!([1]))
        .expect_err("parameters are missing");
    client
        .notify("locked", json!([]))
        .expect_err("parameters are missing");
    client
        .notify("news", json!([]))
        .expect("unknown is not wrong");
    client
        .answer(&json!(99), Ok(json!(1)))
        .expect("nobody asked");
    let mut client = Client::new();
    client.session.connected(client.now);
    let [(_, _, id)] = &client.sent()[..] else {
        panic!("one request")
    };
    client
        .answer(id, Ok(json!({"tables": 1})))
        .expect_err("no schema");
}

#[test]
fn unknown_tables_and_columns_are_told_before_asking() {
    let mut client = Client::new();
    client.connect();
    for table in [
        MonitorTable::new("Nowhere"),
        MonitorTable::new("Zoo").columns(["nothing"]),
    ] {
        let (reply, mut answer) = oneshot::channel();
        client.session.command(Command::Monitor {
            tables: vec![table],
            reply,
        });
        assert!(matches!(
            answer.try_recv().expect("told"),
            Err(Error::UnknownName { .. })
        ));
    }
    assert!(client.sent().is_empty());
}
