//! What the unit tests share: a small schema, a server core with a client, and transactions as JSON.
//!
//! Must not: be part of the library.

use std::time::Instant;

use serde_json::{Value, json};

use crate::database::Database;
use crate::framing::{Framer, Limits};
use crate::jsonrpc::Message;
use crate::schema::DatabaseSchema;
use crate::server::Access;
use crate::server::core::Core;
use crate::server::session::Session;

/// Zoos hold animals (strong, not root) and know friends (weak); a tag's name is unique.
pub(crate) fn schema() -> DatabaseSchema {
    let schema = json!({
        "name": "Zoo", "version": "1.0.0",
        "tables": {
            "Zoo": {"isRoot": true, "columns": {
                "name": {"type": "string"},
                "animals": {"type": {"key": {"type": "uuid", "refTable": "Animal"}, "min": 0, "max": "unlimited"}},
                "cages": {"type": {"key": "integer", "value": {"type": "uuid", "refTable": "Animal", "refType": "weak"},
                                   "min": 0, "max": "unlimited"}},
                "size": {"type": {"key": {"type": "integer", "minInteger": 0, "maxInteger": 1000}}},
                "rating": {"type": {"key": "real", "min": 0, "max": 1}},
                "words": {"type": {"key": {"type": "string", "maxLength": 5}, "min": 0, "max": 3}},
                "notes": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
                "founded": {"type": "integer", "mutable": false}}},
            "Animal": {"columns": {
                "name": {"type": "string"},
                "kind": {"type": {"key": {"type": "string", "enum": ["set", ["", "ape", "bee"]]}}},
                "young": {"type": {"key": {"type": "uuid", "refTable": "Animal"}, "min": 0, "max": "unlimited"}},
                "friends": {"type": {"key": {"type": "uuid", "refTable": "Animal", "refType": "weak"},
                                     "min": 0, "max": "unlimited"}}}},
            "Tag": {"isRoot": true, "indexes": [["name"], ["x", "y"]], "maxRows": 5, "columns": {
                "name": {"type": "string"}, "x": {"type": "integer"}, "y": {"type": "integer"},
                "of": {"type": {"key": {"type": "uuid", "refTable": "Animal", "refType": "weak"},
                                "min": 0, "max": 1}}}},
            "Sole": {"isRoot": true, "columns": {
                "zoo": {"type": {"key": {"type": "uuid", "refTable": "Zoo", "refType": "weak"}, "min": 1, "max": 2}}}}
        }
    });
    DatabaseSchema::from_json(&schema).expect("the schema above is one")
}

/// A server core with one client.
pub(crate) struct Served {
    pub(crate) core: Core,
    pub(crate) session: Session,
    pub(crate) now: Instant,
}

impl Served {
    pub(crate) fn new() -> Served {
        let mut core = Core::new(vec![Database::new(schema())]);
        let now = Instant::now();
        let (id, _) = core.open();
        Served {
            core,
            session: Session::new(id, Access::ReadWrite, None, now),
            now,
        }
    }

    /// Another client of the same core.
    pub(crate) fn client(&mut self, access: Access) -> Session {
        let (id, _) = self.core.open();
        Session::new(id, access, None, self.now)
    }

    /// Sends a request; all that the client gets, in order.
    pub(crate) fn request(&mut self, method: &str, params: Value) -> Vec<Message> {
        let Value::Array(params) = params else {
            panic!("params are an array: {params}")
        };
        let message = Message::Request {
            method: method.to_owned(),
            params,
            id: json!("it"),
        };
        self.session.receive(&mut self.core, message, self.now);
        messages(&mut self.session)
    }

    /// Sends a request; its result.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        match self.request(method, params).pop() {
            Some(Message::Response { result, .. }) => result,
            other => panic!("no response: {other:?}"),
        }
    }

    /// The results of a transaction.
    pub(crate) fn transact(&mut self, operations: Value) -> Value {
        let Value::Array(operations) = operations else {
            panic!("operations are an array: {operations}")
        };
        let params = std::iter::once(json!("Zoo")).chain(operations).collect();
        self.ask("transact", params)
            .expect("a transaction has results")
    }

    /// Column values of all rows of a table, sorted.
    pub(crate) fn dump(&mut self, table: &str, columns: &[&str]) -> Vec<Value> {
        let result = self
            .transact(json!([{"op": "select", "table": table, "where": [], "columns": columns}]));
        let rows = result[0]["rows"]
            .as_array()
            .unwrap_or_else(|| panic!("no rows: {result}"))
            .clone();
        let mut rows: Vec<Value> = rows
            .into_iter()
            .map(|row| columns.iter().map(|column| row[column].clone()).collect())
            .collect();
        rows.sort_by_key(Value::to_string);
        rows
    }
}

/// What waits to be sent to a client.
pub(crate) fn messages(session: &mut Session) -> Vec<Message> {
    let mut framer = Framer::new(Limits::REPLIES);
    framer.push(&session.take_output());
    let mut messages = Vec::new();
    while let Some(text) = framer.next_text().expect("a server frames well") {
        messages.push(Message::parse(&text).expect("a server sends messages"));
    }
    messages
}
