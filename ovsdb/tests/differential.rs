//! The same requests to a real `ovsdb-server` and to ours: the answers have to be the same, their errors included.
//!
//! What differs by nature is brought to one form: random UUIDs are numbered in order of appearance. Where the wording of an
//! error is our own, the script says so, and then the error's name alone is compared.
//!
//! Must not: judge an answer by anything but the other one.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use weft_ovsdb::DatabaseSchema;
use weft_ovsdb::wire::{Framer, Limits, Message};

use crate::harness::{DEADLINE, RealServer, Served};

/// Every kind of type, constraint and reference.
const SCHEMA: &str = r#"{"name": "Zoo", "version": "1.0.0", "tables": {
    "Zoo": {"isRoot": true, "columns": {
        "name": {"type": "string"},
        "animals": {"type": {"key": {"type": "uuid", "refTable": "Animal"}, "min": 0, "max": "unlimited"}},
        "cages": {"type": {"key": "integer", "value": {"type": "uuid", "refTable": "Animal", "refType": "weak"},
                           "min": 0, "max": "unlimited"}},
        "size": {"type": {"key": {"type": "integer", "minInteger": 0, "maxInteger": 1000}}},
        "rating": {"type": {"key": {"type": "real", "minReal": 0.5, "maxReal": 9.5}, "min": 0, "max": 1}},
        "words": {"type": {"key": {"type": "string", "minLength": 2, "maxLength": 5}, "min": 0, "max": 3}},
        "notes": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
        "open": {"type": "boolean"},
        "numbers": {"type": {"key": "integer", "min": 0, "max": "unlimited"}},
        "founded": {"type": "integer", "mutable": false}}},
    "Animal": {"columns": {
        "name": {"type": "string"},
        "kind": {"type": {"key": {"type": "string", "enum": ["set", ["", "ape", "bee"]]}}},
        "friends": {"type": {"key": {"type": "uuid", "refTable": "Animal", "refType": "weak"},
                             "min": 0, "max": "unlimited"}}}},
    "Tag": {"isRoot": true, "indexes": [["name"], ["x", "y"]], "maxRows": 4, "columns": {
        "name": {"type": "string"}, "x": {"type": "integer"}, "y": {"type": "integer"}}},
    "Sole": {"isRoot": true, "columns": {
        "zoo": {"type": {"key": {"type": "uuid", "refTable": "Zoo", "refType": "weak"}, "min": 1, "max": 2}}}},
    "Strict": {"isRoot": true, "columns": {
        "level": {"type": {"key": {"type": "integer", "minInteger": 1, "maxInteger": 3}}},
        "zoo": {"type": {"key": {"type": "uuid", "refTable": "Zoo"}, "min": 0, "max": 1}}}}}}"#;

/// A client that speaks to one of the two.
struct Peer {
    stream: UnixStream,
    framer: Framer,
    /// Random UUIDs, by the order of their appearance.
    names: HashMap<String, String>,
}

impl Peer {
    async fn connect(path: &Path) -> Peer {
        let attempt = async {
            loop {
                match UnixStream::connect(path).await {
                    Ok(stream) => return stream,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        Peer {
            stream: tokio::time::timeout(DEADLINE, attempt)
                .await
                .expect("it listens"),
            framer: Framer::new(Limits::REPLIES),
            names: HashMap::new(),
        }
    }

    async fn send(&mut self, message: &Value) {
        let text = message.to_string();
        self.stream
            .write_all(text.as_bytes())
            .await
            .expect("it listens");
    }

    /// The next message, with its UUIDs numbered.
    async fn next(&mut self) -> Value {
        let read = async {
            let mut bytes = [0; 4096];
            loop {
                if let Some(text) = self.framer.next_text().expect("framed") {
                    return text;
                }
                let length = self.stream.read(&mut bytes).await.expect("readable");
                assert!(length > 0, "the server closed the connection");
                self.framer.push(&bytes[..length]);
            }
        };
        let text = tokio::time::timeout(DEADLINE, read)
            .await
            .expect("it answers");
        Message::parse(&text).expect("a message");
        let mut value: Value = serde_json::from_slice(&text).expect("JSON");
        // Of a database in a file, ovsdb-server does not say which transaction was the last; we do.
        for place in ["/params/1", "/result/1"] {
            if let Some(id @ Value::String(_)) = value.pointer_mut(place) {
                *id = json!("last transaction");
            }
        }
        self.number(&mut value);
        value
    }

    fn number(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = in_order(&self.numbered(text)),
            Value::Array(values) => {
                values.iter_mut().for_each(|value| self.number(value));
                // A set has no order.
                if let [Value::String(tag), Value::Array(elements)] = &mut values[..]
                    && (tag == "set" || tag == "map")
                {
                    elements.sort_by_key(Value::to_string);
                }
            }
            // 5 and 5.0 are one number.
            Value::Number(number) => {
                if let Some(real) = number
                    .as_f64()
                    .filter(|real| real.fract() == 0.0 && real.abs() < 1e9)
                {
                    *value = json!(real);
                }
            }
            Value::Object(object) => {
                // An answer that is an error need not say that there is no result.
                if object.get("result") == Some(&Value::Null) {
                    object.remove("result");
                }
                for (key, mut value) in std::mem::take(object) {
                    self.number(&mut value);
                    if key == "rows"
                        && let Some(rows) = value.as_array_mut()
                    {
                        rows.sort_by_key(Value::to_string);
                    }
                    object.insert(self.numbered(&key), value);
                }
            }
            _ => {}
        }
    }

    /// The text with `<n>` for every random (version 4) UUID.
    fn numbered(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let uuid = rest.get(..36).filter(|word| {
                word.as_bytes()[14] == b'4' && weft_ovsdb::Uuid::try_parse(word).is_ok()
            });
            let length = match uuid {
                Some(uuid) => {
                    let next = format!("<{}>", self.names.len());
                    out.push_str(self.names.entry(uuid.to_owned()).or_insert(next));
                    36
                }
                None => {
                    out.push(first);
                    first.len_utf8()
                }
            };
            rest = &rest[length..];
        }
        out
    }
}

/// The text with the rows that an index does not allow both in one order; ovsdb-server's depends on chance.
fn in_order(text: &str) -> String {
    let Some((head, (first, second))) = text
        .split_once("First row, ")
        .and_then(|(head, rows)| Some((head, rows.split_once("  Second row, ")?)))
    else {
        return text.to_owned();
    };
    format!("{head}{} and {}", first.min(second), first.max(second))
}

/// Whether an error's details are compared.
#[derive(Clone, Copy, PartialEq)]
enum Wording {
    Same,
    Own,
    /// Both refuse; Open vSwitch by a name that RFC 7047 does not have ("ovsdb error").
    Refused,
}
use Wording::{Own, Refused, Same};

/// A fixed UUID.
fn uuid(n: u8) -> Value {
    json!(["uuid", format!("00000000-0000-0000-0000-00000000000{n:x}")])
}

fn id(n: u8) -> Value {
    uuid(n)[1].clone()
}

fn insert(table: &str, n: u8, row: Value) -> Value {
    json!({"op": "insert", "table": table, "uuid": id(n), "row": row})
}

fn select(table: &str, columns: Value) -> Value {
    json!({"op": "select", "table": table, "where": [], "columns": columns})
}

/// Transactions, one after the other, on the same database.
fn script() -> Vec<(Wording, Value)> {
    let of_size = |function: &str, size: i64| json!([{"op": "select", "table": "Zoo", "where": [["size", function, size]], "columns": ["name"]}]);
    let mutate = |column: &str, mutator: &str, value: Value| {
        json!([{"op": "mutate", "table": "Zoo", "where": [["name", "==", "A"]], "mutations": [[column, mutator, value]]},
            select("Zoo", json!(["name", column]))])
    };
    let filter = |column: &str, function: &str, value: Value| json!([{"op": "select", "table": "Zoo", "where": [[column, function, value]], "columns": ["name"]}]);
    let update = |row: Value| json!([{"op": "update", "table": "Zoo", "where": [["name", "==", "A"]], "row": row}]);
    let wait = |until: &str, name: &str, timeout: Value| {
        json!([{"op": "wait", "table": "Zoo", "where": [["size", "==", 7]], "columns": ["name"], "until": until,
            "rows": [{"name": name}], "timeout": timeout}])
    };
    let mut steps = vec![
        // insert, named UUIDs both ways, defaults.
        (
            Same,
            json!([
            {"op": "insert", "table": "Zoo", "uuid-name": "z", "row": {"name": "A", "size": 7, "animals": ["named-uuid", "a"],
                "notes": ["map", [["k", "v"], ["l", "w"]]], "words": ["set", ["ab", "cd"]], "rating": 1.5, "founded": 1900,
                "cages": ["map", [[1, ["named-uuid", "a"]]]]}},
            {"op": "insert", "table": "Animal", "uuid-name": "a", "row": {"name": "Ada", "kind": "ape", "friends": ["named-uuid", "a"]}},
            {"op": "insert", "table": "Sole", "row": {"zoo": ["named-uuid", "z"]}}]),
        ),
        (
            Same,
            json!([
                select(
                    "Zoo",
                    json!([
                        "name", "size", "animals", "cages", "notes", "words", "rating", "open",
                        "numbers", "founded"
                    ])
                ),
                select("Animal", json!(["name", "kind", "friends"])),
                select("Sole", json!(["zoo"]))
            ]),
        ),
        (
            Same,
            json!([
                insert("Zoo", 1, json!({"name": "B", "size": 8})),
                insert("Zoo", 2, json!({"name": "C", "size": 9}))
            ]),
        ),
        (Same, json!([insert("Zoo", 1, json!({}))])),
        (
            Same,
            json!([insert("Zoo", 3, json!({})), insert("Zoo", 3, json!({}))]),
        ),
        (
            Same,
            json!([{"op": "insert", "table": "Zoo", "uuid-name": "x", "row": {}}, {"op": "insert", "table": "Zoo", "uuid-name": "x", "row": {}}]),
        ),
        (
            Same,
            json!([{"op": "insert", "table": "Zoo", "row": {"animals": ["named-uuid", "nobody"]}}]),
        ),
        (
            Same,
            json!([{"op": "insert", "table": "Zoo", "row": {"animals": uuid(9)}}]),
        ),
        (
            Same,
            json!([{"op": "insert", "table": "Animal", "row": {"name": "stray"}}, select("Animal", json!(["name"]))]),
        ),
        (Same, json!([select("Animal", json!(["name"]))])),
        // What is no operation.
        (Own, json!([{"op": "explode"}])),
        (Own, json!([{"table": "Zoo"}])),
        (Own, json!([7])),
        (
            Own,
            json!([{"op": "select", "table": "Nothing", "where": []}]),
        ),
        (Own, json!([{"op": "select", "table": "Zoo"}])),
        (Own, json!([{"op": "select", "table": "Zoo", "where": 1}])),
        (
            Own,
            json!([{"op": "select", "table": "Zoo", "where": [], "more": 1}]),
        ),
        (
            Own,
            json!([{"op": "select", "table": "Zoo", "where": [["nothing", "==", 1]]}]),
        ),
        (
            Own,
            json!([{"op": "select", "table": "Zoo", "where": [["size", "~", 1]]}]),
        ),
        (
            Own,
            json!([{"op": "select", "table": "Zoo", "where": [["size", "=="]]}]),
        ),
        (
            Own,
            json!([{"op": "select", "table": "Zoo", "where": [["name", "<", "x"]]}]),
        ),
        (
            Own,
            json!([{"op": "select", "table": "Zoo", "where": [], "columns": ["nothing"]}]),
        ),
        (
            Own,
            json!([{"op": "select", "table": "Zoo", "where": [], "columns": ["name", "name"]}]),
        ),
        (
            Own,
            json!([{"op": "insert", "table": "Zoo", "row": {"nothing": 1}}]),
        ),
        (
            Own,
            json!([{"op": "insert", "table": "Zoo", "row": {"size": "x"}}]),
        ),
        (
            Own,
            json!([{"op": "insert", "table": "Zoo", "row": {"size": 1.5}}]),
        ),
        (
            Refused,
            json!([{"op": "insert", "table": "Zoo", "row": {"words": ["set", ["ab", "ab"]]}}]),
        ),
        (
            Refused,
            json!([{"op": "insert", "table": "Zoo", "row": {"notes": ["map", [["k", "v"], ["k", "w"]]]}}]),
        ),
        (
            Own,
            json!([{"op": "insert", "table": "Zoo", "uuid-name": "1x", "row": {}}]),
        ),
        (
            Own,
            json!([{"op": "insert", "table": "Zoo", "uuid": "x", "row": {}}]),
        ),
        (
            Own,
            json!([{"op": "mutate", "table": "Zoo", "where": [], "mutations": [["size", "^=", 1]]}]),
        ),
        (
            Own,
            json!([{"op": "mutate", "table": "Zoo", "where": [], "mutations": [["name", "+=", 1]]}]),
        ),
        (
            Own,
            json!([{"op": "mutate", "table": "Zoo", "where": [], "mutations": [["notes", "+=", 1]]}]),
        ),
        (
            Own,
            json!([{"op": "mutate", "table": "Zoo", "where": [], "mutations": [["nothing", "+=", 1]]}]),
        ),
        (
            Same,
            json!([{"op": "comment", "comment": "fine"}, {"op": "commit", "durable": true}]),
        ),
        (Own, json!([{"op": "comment"}])),
        (Own, json!([{"op": "commit"}])),
        (Same, json!([])),
        // Constraints.
        (
            Own,
            json!([{"op": "insert", "table": "Zoo", "row": {"size": 1001}}]),
        ),
        (
            Own,
            json!([{"op": "insert", "table": "Zoo", "row": {"size": -1}}]),
        ),
        (
            Own,
            json!([{"op": "insert", "table": "Zoo", "row": {"rating": 0.25}}]),
        ),
        (
            Own,
            json!([{"op": "insert", "table": "Zoo", "row": {"words": "toolong"}}]),
        ),
        (
            Own,
            json!([{"op": "insert", "table": "Zoo", "row": {"words": "x"}}]),
        ),
        (
            Own,
            json!([{"op": "insert", "table": "Zoo", "row": {"words": ["set", ["aa", "bb", "cc", "dd"]]}}]),
        ),
        (
            Own,
            json!([{"op": "insert", "table": "Animal", "row": {"kind": "cat"}}]),
        ),
        (Own, json!([{"op": "insert", "table": "Strict", "row": {}}])),
        (Own, json!([{"op": "insert", "table": "Sole", "row": {}}])),
        (
            Own,
            json!([{"op": "insert", "table": "Sole", "row": {"zoo": ["set", []]}}]),
        ),
        (Same, update(json!({"founded": 1901}))),
        (
            Same,
            json!([{"op": "mutate", "table": "Zoo", "where": [], "mutations": [["founded", "+=", 1]]}]),
        ),
        (Own, update(json!({"size": 2000}))),
        // Operators of conditions.
        (Same, of_size("<", 8)),
        (Same, of_size("<=", 8)),
        (Same, of_size(">", 8)),
        (Same, of_size(">=", 8)),
        (Same, of_size("==", 8)),
        (Same, of_size("!=", 8)),
        (Same, of_size("includes", 8)),
        (Same, of_size("excludes", 8)),
        (
            Same,
            filter("notes", "includes", json!(["map", [["k", "v"]]])),
        ),
        (
            Same,
            filter("notes", "excludes", json!(["map", [["k", "v"]]])),
        ),
        (Same, filter("notes", "==", json!(["map", []]))),
        (
            Same,
            filter("notes", "includes", json!(["map", [["k", "x"]]])),
        ),
        (
            Same,
            filter("words", "includes", json!(["set", ["ab", "cd"]])),
        ),
        (Same, filter("words", "includes", json!(["set", []]))),
        (Same, filter("words", "excludes", json!("ab"))),
        (Same, filter("words", "!=", json!(["set", ["ab", "cd"]]))),
        (Same, filter("rating", "<", json!(2))),
        (Same, filter("rating", "==", json!(["set", []]))),
        (Same, filter("_uuid", "==", uuid(1))),
        (Same, filter("_uuid", "!=", uuid(1))),
        (Same, filter("open", "==", json!(false))),
        (Own, filter("size", "==", json!(["set", [1, 2]]))),
        (Own, filter("size", "<", json!(["set", []]))),
        (Own, filter("words", "<", json!("ab"))),
        (
            Same,
            json!([{"op": "select", "table": "Zoo", "where": [true], "columns": ["name"]}]),
        ),
        (
            Same,
            json!([{"op": "select", "table": "Zoo", "where": [false], "columns": ["name"]}]),
        ),
        // Mutations.
        (Same, mutate("size", "+=", json!(3))),
        (Same, mutate("size", "-=", json!(1))),
        (Same, mutate("size", "*=", json!(4))),
        (Same, mutate("size", "/=", json!(5))),
        (Same, mutate("size", "%=", json!(4))),
        (Own, mutate("size", "/=", json!(0))),
        (Own, mutate("size", "%=", json!(0))),
        (Own, mutate("size", "+=", json!(1000))),
        (Own, mutate("size", "+=", json!(i64::MAX))),
        (Same, mutate("rating", "+=", json!(1))),
        (Same, mutate("rating", "*=", json!(2))),
        (Own, mutate("rating", "/=", json!(0))),
        (Own, mutate("rating", "%=", json!(2))),
        (Same, mutate("numbers", "insert", json!(["set", [3, 1, 2]]))),
        (Same, mutate("numbers", "+=", json!(1))),
        (Own, mutate("numbers", "*=", json!(0))),
        (Same, mutate("numbers", "delete", json!(["set", [2, 9]]))),
        (
            Same,
            mutate(
                "notes",
                "insert",
                json!(["map", [["k", "other"], ["m", "x"]]]),
            ),
        ),
        (
            Same,
            mutate("notes", "delete", json!(["map", [["k", "no"], ["l", "w"]]])),
        ),
        (
            Same,
            mutate("notes", "delete", json!(["set", ["m", "nobody"]])),
        ),
        (Same, mutate("notes", "delete", json!("k"))),
        (Same, mutate("words", "insert", json!("ef"))),
        (Own, mutate("words", "insert", json!("gh"))),
        (Own, mutate("words", "insert", json!("x"))),
        (
            Same,
            mutate("words", "delete", json!(["set", ["ef", "ab"]])),
        ),
        (Same, mutate("words", "insert", json!(["set", []]))),
        (Own, mutate("name", "insert", json!("x"))),
        (Own, mutate("name", "delete", json!("A"))),
        (Own, mutate("_uuid", "insert", uuid(1))),
        // References and garbage.
        (
            Same,
            json!([{"op": "delete", "table": "Animal", "where": []}]),
        ),
        (
            Same,
            json!([{"op": "delete", "table": "Zoo", "where": [["name", "==", "A"]]}]),
        ),
        (
            Same,
            json!([insert("Animal", 4, json!({"name": "Bea"})), insert("Animal", 5, json!({"name": "Cid", "friends": uuid(4)})),
            {"op": "mutate", "table": "Zoo", "where": [["name", "==", "B"]], "mutations": [["animals", "insert", ["set", [uuid(4), uuid(5)]]]]}]),
        ),
        (
            Same,
            json!([{"op": "mutate", "table": "Zoo", "where": [["name", "==", "B"]], "mutations": [["animals", "delete", uuid(4)]]},
            select("Animal", json!(["name", "friends"]))]),
        ),
        (Same, json!([select("Animal", json!(["name", "friends"])),])),
        (
            Same,
            json!([insert("Strict", 6, json!({"level": 1, "zoo": uuid(2)}))]),
        ),
        (
            Same,
            json!([{"op": "delete", "table": "Zoo", "where": [["_uuid", "==", uuid(2)]]}]),
        ),
        (
            Same,
            json!([{"op": "delete", "table": "Zoo", "where": [["_uuid", "==", uuid(2)]]}, {"op": "delete", "table": "Strict", "where": []}]),
        ),
        // Indexes and the limit of rows.
        (
            Same,
            json!([
                insert("Tag", 1, json!({"name": "t", "x": 1})),
                insert("Tag", 2, json!({"name": "u", "x": 2}))
            ]),
        ),
        (
            Same,
            json!([insert("Tag", 3, json!({"name": "t", "x": 3}))]),
        ),
        (
            Same,
            json!([insert("Tag", 3, json!({"name": "v", "x": 2}))]),
        ),
        (
            Same,
            json!([
                insert("Tag", 3, json!({"name": "v", "x": 9})),
                insert("Tag", 4, json!({"name": "v", "x": 8}))
            ]),
        ),
        (
            Same,
            json!([{"op": "update", "table": "Tag", "where": [["name", "==", "t"]], "row": {"name": "u"}}]),
        ),
        (
            Same,
            json!([{"op": "update", "table": "Tag", "where": [["name", "==", "t"]], "row": {"name": "s"}},
            {"op": "update", "table": "Tag", "where": [["name", "==", "u"]], "row": {"name": "t"}}]),
        ),
        (
            Same,
            json!([
                insert("Tag", 3, json!({"name": "v", "x": 3})),
                insert("Tag", 4, json!({"name": "w", "x": 4})),
                insert("Tag", 5, json!({"name": "x", "x": 5}))
            ]),
        ),
        (
            Same,
            json!([{"op": "delete", "table": "Tag", "where": [["name", "==", "t"]]}, insert("Tag", 2, json!({"name": "t", "x": 2}))]),
        ),
        // wait, abort, assert.
        (
            Same,
            json!([{"op": "update", "table": "Zoo", "where": [["name", "==", "A"]], "row": {"size": 7}}]),
        ),
        (Same, wait("==", "A", json!(0))),
        (Same, wait("!=", "A", json!(0))),
        (Same, wait("==", "B", json!(0))),
        (Same, wait("!=", "B", json!(0))),
        (Own, wait("==", "B", json!(20))),
        (Own, wait("~", "B", json!(0))),
        (Own, wait("==", "B", json!(-1))),
        (
            Same,
            json!([{"op": "delete", "table": "Zoo", "where": []}, {"op": "abort"}, {"op": "comment", "comment": "never"}]),
        ),
        (Same, json!([{"op": "assert", "lock": "l"}])),
        (Own, json!([{"op": "assert"}])),
        (
            Same,
            json!([select("Zoo", json!(["name", "size", "_uuid"]))]),
        ),
    ];
    steps.push((Same, json!([{"op": "delete", "table": "Sole", "where": []}, {"op": "delete", "table": "Zoo", "where": []},
        select("Animal", json!(["name"]))])));
    steps.push((
        Same,
        json!([
            select("Animal", json!(["name"])),
            select("Zoo", json!(["name"])),
            select("Strict", json!(["level"]))
        ]),
    ));
    steps
}

/// Takes members of errors out: `syntax` repeats the request, which we do not; `details` where the wording is our own.
fn remove(value: &mut Value, names: &[&str]) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| remove(value, names)),
        Value::Object(object) => {
            if object.contains_key("error") {
                names.iter().for_each(|name| drop(object.remove(*name)));
            }
            object.values_mut().for_each(|value| remove(value, names));
        }
        _ => {}
    }
}

struct Pair {
    real: Peer,
    ours: Peer,
    differences: Vec<String>,
}

impl Pair {
    async fn new(real: &RealServer, ours: &Served) -> Pair {
        Pair {
            real: Peer::connect(&real.socket()).await,
            ours: Peer::connect(&ours.directory.path().join("db.sock")).await,
            differences: Vec::new(),
        }
    }

    async fn send(&mut self, message: &Value) {
        self.real.send(message).await;
        self.ours.send(message).await;
    }

    /// Compares the next message of both.
    async fn compare(&mut self, wording: Wording, what: &Value) -> Value {
        let (mut real, mut ours) = (self.real.next().await, self.ours.next().await);
        let answer = ours.clone();
        for answer in [&mut real, &mut ours] {
            match wording {
                Same => remove(answer, &["syntax"]),
                Own => remove(answer, &["syntax", "details"]),
                Refused => {
                    let text = answer.to_string();
                    assert!(
                        text.contains("\"error\":\""),
                        "{what} is not refused: {text}"
                    );
                    *answer = Value::Null;
                }
            }
        }
        if real != ours {
            self.differences
                .push(format!("{what}\n  real {real}\n  ours {ours}"));
        }
        answer
    }

    async fn ask(&mut self, wording: Wording, method: &str, params: Value) -> Value {
        let request = json!({"method": method, "params": params, "id": 7});
        self.send(&request).await;
        let answer = self.compare(wording, &request).await;
        if answer.get("method").is_some() {
            self.differences
                .push(format!("{request}\n  both {answer}, which is no answer"));
        }
        answer
    }

    async fn transact(&mut self, wording: Wording, operations: &Value) {
        let operations = operations.as_array().expect("a list of operations");
        let params = std::iter::once(json!("Zoo"))
            .chain(operations.iter().cloned())
            .collect();
        self.ask(wording, "transact", params).await;
    }

    fn finish(self) {
        let count = self.differences.len();
        assert!(
            count == 0,
            "{count} answers differ:\n{}",
            self.differences.join("\n")
        );
    }
}

async fn servers() -> (RealServer, Served) {
    let schema = DatabaseSchema::parse(SCHEMA).expect("the schema above is one");
    (RealServer::of(SCHEMA).await, Served::new(schema).await)
}

#[tokio::test]
async fn every_operation_is_answered_as_ovsdb_server_answers_it() {
    let (real, ours) = servers().await;
    let mut pair = Pair::new(&real, &ours).await;
    for (wording, operations) in script() {
        pair.transact(wording, &operations).await;
    }
    pair.finish();
}

#[tokio::test]
async fn every_monitor_tells_what_ovsdb_server_tells() {
    let (real, ours) = servers().await;
    let mut pair = Pair::new(&real, &ours).await;
    let tables = json!({"Zoo": {"columns": ["name", "size", "notes", "words", "animals"]}, "Animal": [{"columns": ["name", "friends"]}]});
    let some =
        json!({"Zoo": [{"columns": ["name", "size", "notes"], "where": [["size", ">", 5]]}]});
    let quiet =
        json!({"Zoo": {"columns": ["name"], "select": {"initial": false, "modify": false}}});
    let nil = "00000000-0000-0000-0000-000000000000";
    pair.transact(
        Same,
        &json!([
            insert("Zoo", 1, json!({"name": "A", "size": 1})),
            insert("Zoo", 2, json!({"name": "B", "size": 6}))
        ]),
    )
    .await;
    // One monitor at a time, since the order among several is nobody's promise.
    let monitors = [
        ("monitor", json!(["Zoo", "m", tables])),
        ("monitor", json!(["Zoo", "m", quiet])),
        ("monitor_cond", json!(["Zoo", "m", tables])),
        ("monitor_cond", json!(["Zoo", "m", some])),
        ("monitor_cond_since", json!(["Zoo", "m", some, nil])),
    ];
    for (round, (method, params)) in monitors.into_iter().enumerate() {
        let mut watcher = Pair::new(&real, &ours).await;
        let method_params = json!([method, params]);
        watcher.ask(Same, method, params).await;
        let n = 3 + u8::try_from(round).expect("few");
        // A UUID of its own: of two rows with one, in different tables, ovsdb-server tells a monitor only one.
        let changes = [
            json!([
                insert("Animal", n + 7, json!({"name": "Ada"})),
                insert(
                    "Zoo",
                    n,
                    json!({"name": format!("Z{n}"), "size": 7, "notes": ["map", [["k", "v"]]], "words": ["set", ["ab", "cd"]], "animals": uuid(n + 7)})
                )
            ]),
            json!([{"op": "mutate", "table": "Zoo", "where": [["_uuid", "==", uuid(n)]], "mutations": [["notes", "insert", ["map", [["l", "w"]]]],
                ["words", "delete", "ab"], ["words", "insert", "ef"], ["size", "-=", 1]]}]),
            json!([{"op": "update", "table": "Zoo", "where": [["_uuid", "==", uuid(n)]], "row": {"size": 2, "notes": ["map", [["k", "x"]]]}}]),
            json!([{"op": "update", "table": "Zoo", "where": [["_uuid", "==", uuid(n)]], "row": {"size": 9}}]),
            json!([{"op": "update", "table": "Zoo", "where": [["_uuid", "==", uuid(n)]], "row": {"size": 9, "open": true}}]),
            json!([{"op": "delete", "table": "Zoo", "where": [["_uuid", "==", uuid(n)]]}]),
        ];
        for change in &changes {
            // By the watcher itself: its updates come before its answer, so that the answer is the end of them.
            let operations = change.as_array().expect("a list").iter().cloned();
            let params: Value = std::iter::once(json!("Zoo")).chain(operations).collect();
            watcher
                .send(&json!({"method": "transact", "params": params, "id": "end"}))
                .await;
            loop {
                let message = watcher.compare(Same, &json!([method_params, change])).await;
                if message["id"] == "end" || !watcher.differences.is_empty() {
                    break;
                }
            }
            if !watcher.differences.is_empty() {
                break;
            }
        }
        if watcher.differences.is_empty() && method == "monitor_cond" {
            let change = json!(["m", "n", {"Zoo": [{"where": [["size", "<", 3]]}]}]);
            watcher
                .send(&json!({"method": "monitor_cond_change", "params": change, "id": 8}))
                .await;
            // The answer and the update it causes may come in either order.
            let both = |one: Value, other: Value| {
                let mut both = [one, other];
                both.sort_by_key(Value::to_string);
                both
            };
            let real = both(watcher.real.next().await, watcher.real.next().await);
            let ours = both(watcher.ours.next().await, watcher.ours.next().await);
            if real != ours {
                watcher.differences.push(format!(
                    "monitor_cond_change\n  real {real:?}\n  ours {ours:?}"
                ));
            }
            watcher.ask(Same, "monitor_cancel", json!(["n"])).await;
        }
        watcher.ask(Own, "monitor_cancel", json!(["nobody"])).await;
        pair.differences.append(&mut watcher.differences);
    }
    pair.finish();
}

#[tokio::test]
async fn locks_and_the_rest_are_answered_as_ovsdb_server_answers_them() {
    let (real, ours) = servers().await;
    let (mut one, mut two) = (Pair::new(&real, &ours).await, Pair::new(&real, &ours).await);
    one.ask(Same, "echo", json!(["a", {"b": [1, null]}])).await;
    one.ask(Same, "list_dbs", json!([])).await;
    one.ask(Same, "get_schema", json!(["Zoo"])).await;
    one.ask(Own, "get_schema", json!(["Nothing"])).await;
    one.ask(Own, "get_schema", json!([])).await;
    one.ask(Own, "transact", json!([])).await;
    one.ask(Own, "transact", json!(["Nothing"])).await;
    one.ask(Same, "explode", json!([])).await;
    one.ask(Same, "set_db_change_aware", json!([true])).await;
    one.ask(Own, "unlock", json!(["l"])).await;
    one.ask(Own, "lock", json!([])).await;
    one.ask(Own, "lock", json!(["1x"])).await;
    one.ask(Same, "lock", json!(["l"])).await;
    one.ask(Own, "lock", json!(["l"])).await;
    two.ask(Same, "lock", json!(["l"])).await;
    let assert = json!([{"op": "assert", "lock": "l"}]);
    one.transact(Same, &assert).await;
    two.transact(Same, &assert).await;
    one.ask(Same, "unlock", json!(["l"])).await;
    two.compare(Same, &json!("granted")).await;
    two.transact(Same, &assert).await;
    one.ask(Same, "steal", json!(["l"])).await;
    two.compare(Same, &json!("stolen")).await;
    two.transact(Same, &assert).await;
    one.ask(Same, "unlock", json!(["l"])).await;
    two.compare(Same, &json!("granted again")).await;
    two.ask(Same, "unlock", json!(["l"])).await;
    // A wait is answered when another's transaction ends it, or when it is cancelled.
    let wait = json!({"op": "wait", "table": "Zoo", "where": [], "columns": ["name"], "until": "==", "rows": [{"name": "W"}]});
    one.send(&json!({"method": "transact", "params": ["Zoo", wait, {"op": "comment", "comment": "c"}], "id": "waits"})).await;
    one.ask(Same, "echo", json!([])).await;
    two.transact(Same, &json!([insert("Zoo", 1, json!({"name": "W"}))]))
        .await;
    one.compare(Same, &json!("the wait ends")).await;
    two.transact(
        Same,
        &json!([{"op": "delete", "table": "Zoo", "where": []}]),
    )
    .await;
    one.send(&json!({"method": "transact", "params": ["Zoo", wait], "id": "waits"}))
        .await;
    one.ask(Same, "echo", json!([])).await;
    one.send(&json!({"method": "cancel", "params": ["waits"], "id": null}))
        .await;
    one.compare(Same, &json!("cancelled")).await;
    one.differences.append(&mut two.differences);
    one.finish();
}
