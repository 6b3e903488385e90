//! Transactions against the engine: whatever they say, the database stays whole, and what fails leaves no trace.
//!
//! Must not: judge what a transaction answers beyond its shape; the differential tests do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use serde_json::{Value, json};
use uuid::Uuid;
use weft_ovsdb::wire::{Message, ServerEnd};
use weft_ovsdb::{Database, Row};

use crate::zoo;

/// Transactions made of the bytes, one after the other.
pub fn check(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let mut server = ServerEnd::new(vec![zoo::database()], Instant::now());
    for id in 0.. {
        if bytes.is_empty() || id == 40 {
            return;
        }
        let mut operations = Vec::new();
        for _ in 0..bytes.int_in_range(1..=5).unwrap_or(1) {
            operations.extend(zoo::operation(&mut bytes));
        }
        check_transaction(&mut server, id, operations);
    }
}

fn check_transaction(server: &mut ServerEnd, id: u64, operations: Vec<Value>) {
    let asked = operations.len();
    let shown = || json!(operations).to_string();
    let before = content(server);
    let params: Vec<Value> = std::iter::once(json!("Zoo"))
        .chain(operations.iter().cloned())
        .collect();
    let request = Message::Request {
        method: "transact".to_owned(),
        params,
        id: json!(id),
    };
    let mut answer = server
        .receive(&request.to_text())
        .expect("a request frames well");
    if answer.is_empty() {
        // It waits; no wait is for more than 2 ms.
        answer = server.pass(Duration::from_millis(3));
    }
    let Ok(Message::Response {
        result: Ok(Value::Array(results)),
        ..
    }) = Message::parse(&answer)
    else {
        panic!("{}: {}", shown(), String::from_utf8_lossy(&answer))
    };
    assert!(
        results.len() == asked || results.len() == asked + 1,
        "{}: {results:?}",
        shown()
    );
    let is_failed = results.iter().any(|result| result.get("error").is_some());
    if is_failed {
        assert_eq!(
            content(server),
            before,
            "{} failed and left a trace",
            shown()
        );
    }
    assert_eq!(
        database(server).audit(),
        Vec::<String>::new(),
        "{}",
        shown()
    );
}

fn database(server: &ServerEnd) -> &Database {
    server.database("Zoo").expect("it is served")
}

fn content(server: &ServerEnd) -> Vec<(Arc<str>, Uuid, Arc<Row>)> {
    let database = database(server);
    let tables = database.schema().tables.keys();
    tables
        .flat_map(|table| {
            database
                .rows(table)
                .map(|(uuid, row)| (table.clone(), uuid, row.clone()))
        })
        .collect()
}

/// Bytes that make some of every operation.
pub fn seeds() -> Vec<Vec<u8>> {
    let stream = |seed: u32| {
        let mut state = seed * 2 + 1;
        let mut byte = || {
            state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            state.to_be_bytes()[0]
        };
        (0..200).map(|_| byte()).collect()
    };
    (0..6).map(stream).collect()
}
