//! What a client sends: cut into messages, each read and written again, and answered by a server that stays whole.
//!
//! Must not: know what the answers say.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weft_ovsdb::wire::{Framer, Limits, Message, ServerEnd};

use crate::zoo;

/// A stream from a client.
pub fn check(data: &[u8]) {
    let mut framer = Framer::new(Limits::REQUESTS);
    framer.push(data);
    while let Ok(Some(text)) = framer.next_text() {
        if let Ok(message) = Message::parse(&text) {
            let written = message.to_text();
            assert_eq!(
                Message::parse(&written),
                Ok(message),
                "{}",
                String::from_utf8_lossy(&text)
            );
        }
    }
    let mut server = ServerEnd::new(vec![zoo::database()], Instant::now());
    // Where the stream is cut into reads must not matter.
    let (first, second) = data.split_at(data.len() / 2);
    let outcome = server.receive(first).and_then(|_| server.receive(second));
    if outcome.is_ok() {
        read_all(&server.pass(Duration::from_secs(1)));
    }
    let database = server.database("Zoo").expect("it is served");
    assert_eq!(database.audit(), Vec::<String>::new());
}

/// What the server sends is a sequence of messages.
fn read_all(sent: &[u8]) {
    let mut framer = Framer::new(Limits::REPLIES);
    framer.push(sent);
    while let Some(text) = framer.next_text().expect("a server frames well") {
        Message::parse(&text).expect("a server sends messages");
    }
}

/// A session with a bit of everything.
pub fn seeds() -> Vec<Vec<u8>> {
    let uuid = |n: u8| json!(["uuid", format!("00000000-0000-0000-0000-00000000000{n}")]);
    let requests = [
        json!({"method": "transact", "id": 1, "params": ["Zoo",
            {"op": "insert", "table": "Animal", "uuid-name": "a", "row": {"name": "Ada", "kind": "ape"}},
            {"op": "insert", "table": "Zoo", "row": {"name": "Z", "animals": ["set", [["named-uuid", "a"]]],
                "cages": ["map", [[1, ["named-uuid", "a"]]]], "size": 7, "rating": 0.5, "notes": ["map", [["k", "v"]]]}},
            {"op": "wait", "table": "Zoo", "timeout": 0, "where": [["size", ">", 3]], "columns": ["name"],
                "until": "==", "rows": [{"name": "Z"}]},
            {"op": "mutate", "table": "Zoo", "where": [], "mutations": [["size", "+=", 1], ["notes", "delete", "k"]]},
            {"op": "update", "table": "Zoo", "where": [["name", "includes", "Z"]], "row": {"words": ["set", ["x", "y"]]}},
            {"op": "select", "table": "Zoo", "where": [true]}, {"op": "comment", "comment": "c"},
            {"op": "commit", "durable": false}]}),
        json!({"method": "transact", "id": 2, "params": ["Zoo", {"op": "delete", "table": "Zoo", "where": []},
            {"op": "assert", "lock": "l"}, {"op": "abort"}]}),
        json!({"method": "monitor", "id": 3, "params": ["Zoo", "m", {"Zoo": {"columns": ["name"]}}]}),
        json!({"method": "monitor_cond", "id": 4, "params": ["Zoo", "n", {"Zoo": [{"where": [["size", "<", 3]]}]}]}),
        json!({"method": "monitor_cond_since", "id": 5, "params": ["Zoo", "o", {"Tag": [{"select": {"initial": true}}]},
            "00000000-0000-0000-0000-000000000000"]}),
        json!({"method": "monitor_cond_change", "id": 6, "params": ["n", "p", {"Zoo": [{"where": [false]}]}]}),
        json!({"method": "transact", "id": 7, "params": ["Zoo",
            {"op": "insert", "table": "Tag", "uuid": uuid(1)[1], "row": {"name": "t", "x": 1, "of": uuid(2)}}]}),
        json!({"method": "monitor_cancel", "id": 8, "params": ["m"]}),
        json!({"method": "lock", "id": 9, "params": ["l"]}),
        json!({"method": "steal", "id": 10, "params": ["l"]}),
        json!({"method": "unlock", "id": 11, "params": ["l"]}),
        json!({"method": "echo", "id": "echo", "params": ["\"}\\"]}),
        json!({"method": "get_schema", "id": 12, "params": ["_Server"]}),
        json!({"method": "cancel", "id": null, "params": [1]}),
        json!({"id": "echo", "result": [], "error": null}),
    ];
    let all: Vec<u8> = requests
        .iter()
        .flat_map(|request| request.to_string().into_bytes())
        .collect();
    let each = requests
        .iter()
        .map(Value::to_string)
        .map(String::into_bytes);
    each.chain([all]).collect()
}
