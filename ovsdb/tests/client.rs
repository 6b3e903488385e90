//! Our client against a real `ovsdb-server`, and in process.

use weft_ovsdb::{
    Condition, Connection, Error, Event, Function, MonitorTable, Mutation, Mutator, Operation,
    OperationResult, Row, Until, Uuid,
};

use crate::harness::{DEADLINE, RealServer, Served, connect, family, next};

fn insert(name: &str, age: i64) -> Operation {
    Operation::Insert {
        table: "Parent".into(),
        uuid: Some(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())),
        row: Row::new().with("name", name).with("age", age),
    }
}

fn age(name: &str) -> Operation {
    Operation::Select {
        table: "Parent".into(),
        conditions: vec![Condition::equal("name", name)],
        columns: Some(vec!["age".into()]),
    }
}

/// What any connection must do, whatever is behind it.
async fn exercise(connection: &Connection) {
    let schema = connection.schema().await.expect("a schema");
    assert_eq!(*schema, family());
    let watched =
        MonitorTable::new("Parent").condition([Condition::new("age", Function::Less, 100)]);
    let mut monitor = connection
        .monitor(vec![watched, MonitorTable::new("Child")])
        .await
        .expect("granted");
    assert_eq!(next(&mut monitor).await, Event::Snapshot(vec![]));

    let child = Uuid::from_u128(7);
    let results = connection.transact(vec![
        insert("Ada", 36),
        Operation::Insert {
            table: "Child".into(),
            uuid: Some(child),
            row: Row::new().with("name", "Byron"),
        },
        Operation::Mutate {
            table: "Parent".into(),
            conditions: vec![Condition::equal("name", "Ada")],
            mutations: vec![Mutation::new("children", Mutator::Insert, child)],
        },
        age("Ada"),
        Operation::Comment("hello".into()),
    ]);
    let results = results.await.expect("fits");
    let OperationResult::Inserted(ada) = results[0] else {
        panic!("{results:?}")
    };
    assert_eq!(results[1], OperationResult::Inserted(child));
    assert_eq!(results[2], OperationResult::Count(1));
    assert_eq!(
        results[3],
        OperationResult::Rows(vec![(ada, Row::new().with("age", 36))])
    );
    assert_eq!(results[4], OperationResult::Empty);
    let Event::Changes(mut changes) = next(&mut monitor).await else {
        panic!("changes")
    };
    changes.sort_by(|a, b| b.table.cmp(&a.table));
    assert_eq!(changes.len(), 2, "{changes:?}");
    let expected = Row::new()
        .with("name", "Ada")
        .with("age", 36)
        .with("children", child);
    assert_eq!(
        (changes[0].uuid, changes[0].row.as_deref()),
        (ada, Some(&expected))
    );
    assert_eq!((changes[1].uuid, &*changes[1].table), (child, "Child"));

    connection
        .transact(vec![insert("Methuselah", 120)])
        .await
        .expect("fits");
    let grow = |years: i64| Operation::Mutate {
        table: "Parent".into(),
        conditions: vec![Condition::uuid(ada)],
        mutations: vec![Mutation::new("age", Mutator::Add, years)],
    };
    connection.transact(vec![grow(1)]).await.expect("fits");
    let Event::Changes(changes) = next(&mut monitor).await else {
        panic!("changes")
    };
    assert_eq!(
        changes.len(),
        1,
        "the other is too old to be seen: {changes:?}"
    );
    assert_eq!(
        changes[0]
            .row
            .as_ref()
            .and_then(|row| row.get("age")?.as_i64()),
        Some(37)
    );

    let error = connection
        .transact(vec![grow(1), grow(1000)])
        .await
        .expect_err("too old");
    assert!(
        matches!(&error, Error::Transaction(e) if e.error == "constraint violation" && e.operation == 1),
        "{error}"
    );
    let error = connection
        .transact(vec![insert("Ada", 1)])
        .await
        .expect_err("a duplicate");
    assert!(matches!(error, Error::Transaction(_)), "{error}");
    let error = connection
        .monitor(vec![MonitorTable::new("Nobody")])
        .await
        .expect_err("no table");
    assert!(matches!(error, Error::UnknownName { .. }), "{error}");

    let lock = connection.lock("l").await.expect("granted");
    assert!(lock.is_held());
    connection.lock("l").await.expect_err("twice");
    connection
        .transact(vec![Operation::Assert { lock: "l".into() }])
        .await
        .expect("held");
    connection.unlock("l").await.expect("given back");
    connection
        .transact(vec![Operation::Assert { lock: "l".into() }])
        .await
        .expect_err("not held");

    let wait = |until_age: i64, timeout_ms| Operation::Wait {
        table: "Parent".into(),
        conditions: vec![Condition::uuid(ada)],
        columns: Some(vec!["age".into()]),
        until: Until::Equal,
        rows: vec![Row::new().with("age", until_age)],
        timeout_ms: Some(timeout_ms),
    };
    let (waited, grown) = tokio::join!(
        connection.transact(vec![wait(40, 15_000), age("Ada")]),
        async { connection.transact(vec![grow(3)]).await }
    );
    grown.expect("fits");
    assert_eq!(
        waited.expect("it comes true")[1],
        OperationResult::Rows(vec![(ada, Row::new().with("age", 40))])
    );
    let error = connection
        .transact(vec![wait(41, 30)])
        .await
        .expect_err("it never does");
    assert!(
        matches!(&error, Error::Transaction(e) if e.error == "timed out"),
        "{error}"
    );

    let delete = Operation::Delete {
        table: "Parent".into(),
        conditions: vec![],
    };
    connection.transact(vec![delete]).await.expect("fits");
    let Event::Changes(changes) = next(&mut monitor).await else {
        panic!("changes")
    };
    assert_eq!(changes.len(), 1, "{changes:?}");
    let Event::Changes(changes) = next(&mut monitor).await else {
        panic!("changes")
    };
    assert!(
        changes.len() == 2 && changes.iter().all(|change| change.row.is_none()),
        "{changes:?}"
    );
}

#[tokio::test]
async fn a_connection_to_a_real_server_does_all_it_should() {
    let server = RealServer::start().await;
    exercise(&connect(server.remote(), "Family")).await;
}

#[tokio::test]
async fn a_connection_to_our_server_does_all_it_should() {
    let served = Served::new(family()).await;
    exercise(&connect(
        served.remote().parse().expect("a remote"),
        "Family",
    ))
    .await;
}

#[tokio::test]
async fn a_connection_in_process_does_all_it_should() {
    let served = Served::new(family()).await;
    exercise(&Connection::local(&served.server, "Family")).await;
}

#[tokio::test]
async fn a_client_comes_back_when_the_real_server_does() {
    let mut server = RealServer::start().await;
    let connection = connect(server.remote(), "Family");
    let mut monitor = connection
        .monitor(vec![MonitorTable::new("Parent")])
        .await
        .expect("granted");
    let mut lock = connection.lock("l").await.expect("granted");
    assert_eq!(next(&mut monitor).await, Event::Snapshot(vec![]));
    let durable = Operation::Commit { durable: true };
    connection
        .transact(vec![insert("Ada", 36), durable])
        .await
        .expect("fits");
    assert!(matches!(next(&mut monitor).await, Event::Changes(rows) if rows.len() == 1));
    server.kill().await;
    assert!(matches!(
        next(&mut monitor).await,
        Event::Disconnected { .. }
    ));
    tokio::time::timeout(DEADLINE, lock.lost())
        .await
        .expect("the lock is lost with the connection");
    server.start_again().await;
    // A stand-alone ovsdb-server keeps no history across a restart: everything comes anew.
    assert!(matches!(next(&mut monitor).await, Event::Snapshot(rows) if rows.len() == 1));
    assert!(
        tokio::time::timeout(DEADLINE, lock.held())
            .await
            .expect("the lock comes back")
    );
    connection
        .transact(vec![insert("Eva", 1)])
        .await
        .expect("fits");
    assert!(matches!(next(&mut monitor).await, Event::Changes(rows) if rows.len() == 1));
}

#[tokio::test]
async fn after_a_lost_connection_only_what_was_missed_comes() {
    let served = Served::new(family()).await;
    let local = Connection::local(&served.server, "Family");
    local.transact(vec![insert("Ada", 36)]).await.expect("fits");
    let cancel = served.cancel.child_token();
    let path = served.directory.path().join("other.sock");
    let passive = || weft_ovsdb::Passive::Unix(path.clone());
    let listening = served
        .server
        .listen(passive(), cancel.clone())
        .await
        .expect("listens");
    let connection = connect(weft_ovsdb::Remote::Unix(path.clone()), "Family");
    let mut monitor = connection
        .monitor(vec![MonitorTable::new("Parent")])
        .await
        .expect("granted");
    assert!(matches!(next(&mut monitor).await, Event::Snapshot(rows) if rows.len() == 1));
    cancel.cancel();
    listening.join().await;
    assert!(matches!(
        next(&mut monitor).await,
        Event::Disconnected { .. }
    ));
    local.transact(vec![insert("Eva", 1)]).await.expect("fits");
    served
        .server
        .listen(passive(), served.cancel.clone())
        .await
        .expect("listens again");
    let Event::Changes(rows) = next(&mut monitor).await else {
        panic!("no snapshot: history is not lost")
    };
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(
        rows[0]
            .row
            .as_ref()
            .and_then(|row| row.get("name")?.as_str()),
        Some("Eva")
    );
}

#[tokio::test]
async fn a_request_without_a_server_ends_in_time_and_says_why() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let remote = weft_ovsdb::Remote::Unix(directory.path().join("nobody.sock"));
    let options = weft_ovsdb::ConnectOptions {
        request_timeout: std::time::Duration::from_secs(2),
        ..Default::default()
    };
    let connection = Connection::connect(remote, "Family", options);
    let error = connection
        .transact(vec![Operation::Abort])
        .await
        .expect_err("nobody is there");
    assert!(
        matches!(&error, Error::Timeout { reason, .. } if reason.contains("No such file")),
        "{error}"
    );
}

#[tokio::test]
async fn a_database_that_is_not_there_is_said_to_be_so() {
    let served = Served::new(family()).await;
    let wire = connect(served.remote().parse().expect("a remote"), "Strangers");
    let error = wire.schema().await.expect_err("not there").to_string();
    for part in ["no database Strangers", "it has Family, _Server", "db.sock"] {
        assert!(error.contains(part), "no {part:?} in {error:?}");
    }
    let local = Connection::local(&served.server, "Strangers");
    assert!(matches!(
        local.schema().await,
        Err(Error::UnknownDatabase(_))
    ));
}

#[tokio::test]
async fn monitors_end_with_their_connection_or_server() {
    let served = Served::new(family()).await;
    let connection = connect(served.remote().parse().expect("a remote"), "Family");
    let mut wire = connection
        .monitor(vec![MonitorTable::new("Parent")])
        .await
        .expect("granted");
    next(&mut wire).await;
    drop(connection);
    assert_eq!(
        tokio::time::timeout(DEADLINE, wire.next())
            .await
            .expect("it ends"),
        None
    );
    let local = Connection::local(&served.server, "Family");
    let mut local = local
        .monitor(vec![MonitorTable::new("Parent")])
        .await
        .expect("granted");
    next(&mut local).await;
    served.server.shut_down();
    assert_eq!(
        tokio::time::timeout(DEADLINE, local.next())
            .await
            .expect("it ends"),
        None
    );
}
