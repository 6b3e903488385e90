//! What a server sends: a client takes it in or gives the connection up, and its monitor stays a set of rows.
//!
//! Must not: know more of the client than its commands and events.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};
use weft_ovsdb::wire::ClientEnd;
use weft_ovsdb::{Event, MonitorTable, Operation, Row};

use crate::zoo;

/// A stream from a server, behind an honest schema.
pub fn check(data: &[u8]) {
    let mut client = client();
    if client.receive(data).is_ok() {
        let mut rows = BTreeMap::new();
        for event in client.take_events() {
            let changes = match event {
                Event::Snapshot(changes) => {
                    rows.clear();
                    changes
                }
                Event::Changes(changes) => changes,
                Event::Disconnected { .. } => continue,
            };
            for change in changes {
                let key = (change.table, change.uuid);
                match change.row {
                    Some(row) => drop(rows.insert(key, row)),
                    None => drop(rows.remove(&key)),
                }
            }
        }
        let _ = client.take_results();
        let _ = client.holds_lock();
    }
}

/// A client that has its schema, and has asked for a monitor (2), a lock (3) and a transaction (4).
fn client() -> ClientEnd {
    let insert = Operation::Insert {
        table: "Zoo".into(),
        uuid: None,
        row: Row::new().with("name", "Z"),
    };
    let select = Operation::Select {
        table: "Zoo".into(),
        conditions: Vec::new(),
        columns: None,
    };
    let tables = vec![MonitorTable::new("Zoo"), MonitorTable::new("Animal")];
    let mut client = ClientEnd::new("Zoo", tables, "l", vec![insert, select], Instant::now());
    let schema: Value = serde_json::from_str(zoo::SCHEMA).expect("JSON");
    let schema = json!({"id": 1, "result": schema, "error": null}).to_string();
    client.receive(schema.as_bytes()).expect("an honest schema");
    client
}

/// Answers and updates in every notation.
pub fn seeds() -> Vec<Vec<u8>> {
    let uuid = "00000000-0000-0000-0000-000000000001";
    let row = json!({"name": "Z", "size": 3, "notes": ["map", [["k", "v"]]], "words": ["set", ["a", "b"]],
        "animals": ["uuid", uuid]});
    let messages = [
        json!({"id": 2, "error": null, "result": [false, uuid, {"Zoo": {uuid: {"initial": row}}}]}),
        json!({"id": 2, "error": null, "result": [true, uuid, {}]}),
        json!({"id": 2, "error": "unknown method", "result": null}),
        json!({"id": 3, "error": null, "result": {"locked": true}}),
        json!({"id": 4, "error": null, "result": [{"uuid": ["uuid", uuid]}, {"rows": [row]}]}),
        json!({"id": 4, "error": null, "result": [null, {"error": "timed out", "details": "d"}]}),
        json!({"id": null, "method": "update3", "params": [2, uuid, {"Zoo": {uuid: {"modify":
            {"words": ["set", ["b", "c"]], "notes": ["map", [["k", "w"]]], "size": 4}}}}]}),
        json!({"id": null, "method": "update3", "params": [2, uuid, {"Zoo": {uuid: {"delete": null}}}]}),
        json!({"id": null, "method": "update2", "params": [2, {"Animal": {uuid: {"insert": {"name": "Ada"}}}}]}),
        json!({"id": null, "method": "update", "params": [2, {"Animal": {uuid: {"old": {}, "new": {"name": "Ada"}}}}]}),
        json!({"id": null, "method": "stolen", "params": ["l"]}),
        json!({"id": "echo", "method": "echo", "params": []}),
    ];
    let stream = |picked: &[usize]| {
        let texts = picked.iter().filter_map(|n| messages.get(*n));
        texts
            .flat_map(|message| message.to_string().into_bytes())
            .collect()
    };
    [
        &[0, 3, 4, 6, 8, 7][..],
        &[1, 9, 10, 5, 11],
        &[2, 3],
        &[0, 6],
        &[0, 9],
    ]
    .map(stream)
    .into()
}
