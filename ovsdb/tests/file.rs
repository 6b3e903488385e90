//! Files that are ours and Open vSwitch's: each opens what the other wrote.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use weft_ovsdb::{DatabaseSchema, Passive, Server, Stored};

use crate::harness::{DEADLINE, FAMILY, connect, family, run};

/// Everything that a record can hold: several elements, one, none, defaults that are not empty, references of both
/// kinds, characters that JSON escapes, what is not kept.
const SCHEMA: &str = r#"{"name": "All", "version": "2.0.0", "tables": {
    "Root": {"isRoot": true, "indexes": [["name"]], "columns": {
        "name": {"type": "string"},
        "integer": {"type": {"key": {"type": "integer", "minInteger": -5, "maxInteger": 150}}},
        "real": {"type": "real"},
        "flag": {"type": "boolean"},
        "one": {"type": {"key": "string", "min": 0}},
        "some": {"type": {"key": "string", "min": 1, "max": "unlimited"}},
        "any": {"type": {"key": "string", "min": 0, "max": "unlimited"}},
        "map": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
        "pair": {"type": {"key": "integer", "value": "real", "min": 0, "max": 1}},
        "leaves": {"type": {"key": {"type": "uuid", "refTable": "Leaf"}, "min": 0, "max": "unlimited"}},
        "seen": {"type": "integer", "ephemeral": true}}},
    "Leaf": {"columns": {
        "name": {"type": "string"},
        "friends": {"type": {"key": {"type": "uuid", "refTable": "Leaf", "refType": "weak"},
                             "min": 0, "max": "unlimited"}}}}}}"#;

/// Transactions, each on what those before left.
const TRANSACTIONS: &[&str] = &[
    r#"["All", {"op": "comment", "comment": "first \"line\"\n"}, {"op": "comment", "comment": "second"},
        {"op": "insert", "table": "Root", "row": {"name": "a", "seen": 7, "real": 0.1, "flag": true,
            "one": "é\n\u0001/\\\"", "any": ["set", ["x", "y"]], "map": ["map", [["k", "v"], ["l", "w"]]],
            "pair": ["map", [[1, 1e300]]], "leaves": ["set", [["named-uuid", "l"], ["named-uuid", "m"]]]}},
        {"op": "insert", "table": "Leaf", "uuid-name": "l", "row": {"name": "l", "friends": ["named-uuid", "m"]}},
        {"op": "insert", "table": "Leaf", "uuid-name": "m", "row": {"name": "m"}}]"#,
    r#"["All", {"op": "insert", "table": "Root", "row": {"name": "b"}}]"#,
    r#"["All", {"op": "update", "table": "Root", "where": [["name", "==", "b"]],
        "row": {"any": ["set", ["q", "r"]], "map": ["map", [["z", "1"]]], "one": "1", "pair": ["map", [[1, 2]]]}}]"#,
    r#"["All", {"op": "mutate", "table": "Root", "where": [], "mutations": [
        ["any", "insert", ["set", ["x", "new"]]], ["map", "delete", ["set", ["k"]]], ["integer", "+=", 3],
        ["real", "+=", -2]]}]"#,
    r#"["All", {"op": "update", "table": "Root", "where": [], "row": {"seen": 3}}]"#,
    r#"["All", {"op": "update", "table": "Root", "where": [["name", "==", "b"]],
        "row": {"pair": ["map", [[2, 2]]], "one": "2", "flag": true, "map": ["map", []]}}]"#,
    r#"["All", {"op": "update", "table": "Root", "where": [], "row": {"pair": ["map", []], "one": ["set", []],
        "integer": 0, "flag": false}}]"#,
    r#"["All", {"op": "update", "table": "Leaf", "where": [["name", "==", "m"]], "row": {"name": "n"}}]"#,
    r#"["All", {"op": "delete", "table": "Leaf", "where": [["name", "==", "n"]]},
        {"op": "update", "table": "Root", "where": [], "row": {"leaves": ["set", []]}}]"#,
    r#"["All", {"op": "delete", "table": "Root", "where": [["name", "==", "b"]]},
        {"op": "insert", "table": "Root", "row": {"name": "b", "some": ["set", ["1", "2"]]}}]"#,
];

/// A file, and a socket on which somebody serves it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(schema: &str) -> Place {
        let folder = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(folder.path().join("schema"), schema).expect("writable");
        Place { folder }
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("test.db")
    }

    fn remote(&self) -> String {
        format!("unix:{}", self.at("db.sock"))
    }

    /// `ovsdb-tool VERB FILE …`
    async fn tool(&self, verb: &str, arguments: &[&str]) -> String {
        let file = self.at("test.db");
        let arguments: Vec<&str> = [verb, &file]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        run("ovsdb-tool", &arguments)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// What `ovsdb-tool` finds in the file, but for versions of rows.
    async fn by_the_tool(&self, schema: &DatabaseSchema) -> Value {
        let selects = schema.tables.keys();
        let selects: Vec<String> = selects
            .map(|table| format!(r#"{{"op":"select","table":"{table}","where":[]}}"#))
            .collect();
        let query = format!(r#"["{}",{}]"#, schema.name, selects.join(","));
        content(&self.tool("query", &[&query]).await)
    }
}

/// The rows of selects, without what differs between two readers: order, versions, what is not kept.
fn content(results: &str) -> Value {
    let mut results: Value = serde_json::from_str(results).expect("results are JSON");
    for result in results.as_array_mut().expect("results") {
        let rows = result["rows"].as_array_mut().expect("rows");
        for row in rows.iter_mut() {
            let row = row.as_object_mut().expect("a row");
            row.remove("_version");
            row.remove("seen");
        }
        rows.sort_by_key(Value::to_string);
    }
    results
}

/// A server of ours on a file.
struct Ours {
    server: Server,
    cancel: CancellationToken,
}

impl Ours {
    async fn open(place: &Place, schema: &str) -> Ours {
        let schema = DatabaseSchema::parse(schema).expect("a schema");
        let stored = Stored::open(&place.file(), schema).unwrap_or_else(|error| panic!("{error}"));
        let ours = Ours {
            server: Server::stored(stored).expect("starts"),
            cancel: CancellationToken::new(),
        };
        let passive = Passive::Unix(place.at("db.sock").into());
        ours.server
            .listen(passive, ours.cancel.clone())
            .await
            .expect("listens");
        ours
    }

    async fn close(self) {
        self.cancel.cancel();
        self.server.close().await;
    }
}

/// Asks whoever listens.
async fn ask(place: &Place, transaction: &str) -> String {
    let answer = run("ovsdb-client", &["transact", &place.remote(), transaction]).await;
    let answer = answer.unwrap_or_else(|error| panic!("{error}"));
    assert!(!answer.contains("error"), "{transaction}: {answer}");
    answer
}

async fn selected(place: &Place, schema: &DatabaseSchema) -> Value {
    let selects = schema.tables.keys();
    let selects: Vec<String> = selects
        .map(|table| format!(r#"{{"op":"select","table":"{table}","where":[]}}"#))
        .collect();
    content(
        &ask(
            place,
            &format!(r#"["{}",{}]"#, schema.name, selects.join(",")),
        )
        .await,
    )
}

/// A real `ovsdb-server` on the same file; ends with the value.
async fn real_server(place: &Place, database: &str) -> tokio::process::Child {
    let child = tokio::process::Command::new("ovsdb-server")
        .arg(place.file())
        .arg(format!("--remote=punix:{}", place.at("db.sock")))
        .arg(format!("--unixctl={}", place.at("ctl.sock")))
        .arg("-vconsole:off")
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("ovsdb-server starts; install Open vSwitch (openvswitch-switch)");
    run(
        "ovsdb-client",
        &["wait", &place.remote(), database, "connected"],
    )
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    child
}

#[tokio::test]
async fn every_transaction_that_either_writes_is_read_by_the_other() {
    let schema = DatabaseSchema::parse(SCHEMA).expect("a schema");
    let place = Place::new(SCHEMA);
    for (number, transaction) in TRANSACTIONS.iter().enumerate() {
        let ours = Ours::open(&place, SCHEMA).await;
        ask(&place, transaction).await;
        let expected = selected(&place, &schema).await;
        ours.close().await;
        assert_eq!(
            place.by_the_tool(&schema).await,
            expected,
            "after {number}, by ovsdb-tool"
        );
        let ours = Ours::open(&place, SCHEMA).await;
        assert_eq!(
            selected(&place, &schema).await,
            expected,
            "after {number}, by us"
        );
        ours.close().await;
    }
    let log = place.tool("show-log", &["-m"]).await;
    assert!(
        log.contains("first \"line\"") && log.contains("table Root insert row \"a\""),
        "{log}"
    );

    let place = Place::new(SCHEMA);
    place.tool("create", &[&place.at("schema")]).await;
    for (number, transaction) in TRANSACTIONS.iter().enumerate() {
        // In turns, so that each writes on what the other left.
        if number % 2 == 0 {
            place.tool("transact", &[transaction]).await;
        }
        let ours = Ours::open(&place, SCHEMA).await;
        if number % 2 == 1 {
            ask(&place, transaction).await;
        }
        let found = selected(&place, &schema).await;
        ours.close().await;
        assert_eq!(found, place.by_the_tool(&schema).await, "after {number}");
    }
    place.tool("compact", &[]).await;
    let compact = place.by_the_tool(&schema).await;
    let ours = Ours::open(&place, SCHEMA).await;
    assert_eq!(selected(&place, &schema).await, compact);
    ours.close().await;
}

#[tokio::test]
async fn a_real_server_goes_on_with_our_file_and_we_with_its() {
    let schema = DatabaseSchema::parse(SCHEMA).expect("a schema");
    let place = Place::new(SCHEMA);
    let (ours_first, theirs) = TRANSACTIONS.split_at(TRANSACTIONS.len() / 2);
    let ours = Ours::open(&place, SCHEMA).await;
    for transaction in ours_first {
        ask(&place, transaction).await;
    }
    let before = selected(&place, &schema).await;
    let refused = run(
        "ovsdb-server",
        &[&place.at("test.db"), "--unixctl=/dev/null/none"],
    )
    .await;
    let refused = refused.expect_err("the file is ours for now");
    assert!(refused.contains("failed to lock lockfile"), "{refused}");
    ours.close().await;

    let mut real = real_server(&place, "All").await;
    assert_eq!(selected(&place, &schema).await, before);
    for transaction in theirs {
        ask(&place, transaction).await;
    }
    let after = selected(&place, &schema).await;
    let refused =
        Stored::open(&place.file(), schema.clone()).expect_err("the file is theirs for now");
    let holder = format!("by process {}", real.id().expect("it runs"));
    assert!(refused.to_string().contains(&holder), "{refused}");
    real.kill().await.expect("killed");

    std::fs::remove_file(place.at("db.sock")).expect("a killed server leaves its socket");
    let ours = Ours::open(&place, SCHEMA).await;
    assert_eq!(selected(&place, &schema).await, after);
    ours.close().await;
}

#[tokio::test]
async fn a_file_that_the_tool_converted_is_read_and_one_that_we_converted_too() {
    let place = Place::new(FAMILY);
    let wider = FAMILY.replace("1.0.0", "1.1.0").replace(
        r#""Child": {"columns": {"#,
        r#""Child": {"columns": {"color": {"type": "string"},"#,
    );
    let ours = Ours::open(&place, FAMILY).await;
    let insert = r#"["Family",{"op":"insert","table":"Parent","row":{"name":"Ada","age":36,"children":["named-uuid","c"]}},
        {"op":"insert","table":"Child","uuid-name":"c","row":{"name":"Byron"}}]"#;
    ask(&place, insert).await;
    let rows = selected(&place, &family()).await;
    ours.close().await;
    std::fs::copy(place.file(), place.at("theirs.db")).expect("copied");
    std::fs::write(place.at("wider"), &wider).expect("writable");
    run(
        "ovsdb-tool",
        &["convert", &place.at("theirs.db"), &place.at("wider")],
    )
    .await
    .expect("converted");

    let ours = Ours::open(&place, &wider).await;
    let converted = selected(&place, &family()).await;
    ours.close().await;
    let version = place.tool("db-version", &[]).await;
    assert_eq!(version.trim(), "1.1.0");
    let by_us = place.by_the_tool(&family()).await;
    std::fs::rename(place.at("theirs.db"), place.file()).expect("renamed");
    assert_eq!(place.by_the_tool(&family()).await, by_us);
    let ours = Ours::open(&place, &wider).await;
    assert_eq!(selected(&place, &family()).await, converted);
    ours.close().await;
    assert_ne!(rows, converted, "the new column shows");
}

#[tokio::test]
async fn a_torn_file_of_a_real_server_is_read_as_far_as_that_server_reads_it() {
    let place = Place::new(FAMILY);
    place.tool("create", &[&place.at("schema")]).await;
    for name in ["a", "b", "c"] {
        let insert =
            format!(r#"["Family",{{"op":"insert","table":"Parent","row":{{"name":"{name}"}}}}]"#);
        place.tool("transact", &[&insert]).await;
    }
    let bytes = std::fs::read(place.file()).expect("readable");
    let select = r#"["Family",{"op":"select","table":"Parent","columns":["name"],"where":[]}]"#;
    // Within a record's first line, within its second, and between records.
    for length in (end_of_first(&place.file())..bytes.len()).step_by(41) {
        std::fs::write(place.file(), &bytes[..length]).expect("writable");
        let mut real = real_server(&place, "Family").await;
        let theirs = content(&ask(&place, select).await);
        real.kill().await.expect("killed");
        std::fs::remove_file(place.at("db.sock")).expect("a killed server leaves its socket");
        std::fs::write(place.file(), &bytes[..length]).expect("writable");
        let ours = Ours::open(&place, FAMILY).await;
        assert_eq!(content(&ask(&place, select).await), theirs, "{length}");
        ours.close().await;
    }
}

fn end_of_first(file: &Path) -> usize {
    let text = std::fs::read_to_string(file).expect("readable");
    text.match_indices('\n').nth(1).expect("two lines").0 + 1
}

#[tokio::test]
async fn a_client_that_does_not_wait_for_answers_gets_them_all() {
    const MANY: usize = 3000;
    let place = Place::new(FAMILY);
    let ours = Ours::open(&place, FAMILY).await;
    let remote = weft_ovsdb::Remote::Unix(place.at("db.sock").into());
    let connection = connect(remote, "Family");
    let inserts = (0..MANY).map(|number| {
        let row = [("name", weft_ovsdb::Datum::from(format!("p{number}")))];
        connection.transact(vec![weft_ovsdb::Operation::Insert {
            table: "Parent".into(),
            uuid: None,
            row: row.into_iter().collect(),
        }])
    });
    let all = tokio::time::timeout(DEADLINE, futures::future::join_all(inserts)).await;
    let refused = all
        .expect("in time")
        .into_iter()
        .filter(Result::is_err)
        .count();
    assert_eq!(refused, 0);
    ours.close().await;
    let select = r#"["Family",{"op":"select","table":"Parent","columns":["_uuid"],"where":[]}]"#;
    let found = content(&place.tool("query", &[select]).await);
    assert_eq!(found[0]["rows"].as_array().map(Vec::len), Some(MANY));
}
