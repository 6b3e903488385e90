//! What a client session makes of the answers to its requests.
//!
//! Must not: panic on any answer.

use std::sync::Arc;

use serde_json::{Value, json};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::client::session::{Method, Pending, Session, transaction_id};
use crate::connection::Event;
use crate::error::{Error, TransactionError};
use crate::notation;
use crate::operation::{Operation, OperationResult};
use crate::schema::DatabaseSchema;

type Answer = Result<Value, Value>;

impl Session {
    pub(super) fn answered(&mut self, pending: Pending, answer: Answer) -> Result<(), String> {
        match pending {
            Pending::Nothing => Ok(()),
            Pending::Schema => self.got_schema(answer),
            Pending::Databases => self.got_databases(answer),
            Pending::Monitor { id, method } => self.got_monitor(id, method, answer),
            Pending::Transact { operations, reply } => {
                let result = match answer {
                    Ok(results) => self.results(&operations, &results),
                    Err(error) => Err(self.refused("transact", error)),
                };
                // Whoever asked may have stopped waiting, here and below.
                let _ = reply.send(result);
                Ok(())
            }
            Pending::Lock { name, reply, .. } => {
                let held = self.locks.get(&name);
                match (&answer, held) {
                    (Ok(result), Some(held)) => {
                        let is_held = result
                            .get("locked")
                            .and_then(Value::as_bool)
                            .ok_or("lock: no \"locked\"")?;
                        held.send_replace(is_held);
                        if let Some(reply) = reply {
                            let _ = reply.send(Ok(held.subscribe()));
                        }
                    }
                    (Err(error), _) => {
                        self.locks.remove(&name);
                        match reply {
                            Some(reply) => drop(reply.send(Err(self.refused("lock", error)))),
                            None => warn!(%name, %error, "the lock is refused after reconnecting"),
                        }
                    }
                    // Given back meanwhile.
                    (Ok(_), None) => {
                        if let Some(reply) = reply {
                            let _ = reply.send(Err(Error::Closed));
                        }
                    }
                }
                Ok(())
            }
            Pending::Unlock { reply } => {
                let result = answer
                    .map(|_| ())
                    .map_err(|error| self.refused("unlock", error));
                let _ = reply.send(result);
                Ok(())
            }
        }
    }

    fn got_schema(&mut self, answer: Answer) -> Result<(), String> {
        let json = match answer {
            Ok(json) => json,
            Err(error) => {
                // A server without the database will not soon have it: who waits is told, connecting goes on.
                if error.to_string().contains("unknown database") {
                    self.send("list_dbs", &json!([]), Pending::Databases);
                    return Ok(());
                }
                for command in std::mem::take(&mut self.waiting) {
                    command.refuse(self.refused("get_schema", &error));
                }
                return Err(format!(
                    "the server refuses the schema of {}: {error}",
                    self.database
                ));
            }
        };
        let schema = DatabaseSchema::from_json(&json).map_err(|error| error.to_string())?;
        match &self.schema {
            Some(known) if **known == schema => {}
            known => {
                if known.is_some() {
                    // Rows of another schema cannot be continued.
                    debug!("the schema has changed");
                    self.monitors
                        .values_mut()
                        .for_each(|monitor| monitor.last_id = Uuid::nil());
                }
                self.schema = Some(Arc::new(schema));
            }
        }
        self.resume();
        Ok(())
    }

    /// The database is none of these.
    fn got_databases(&mut self, answer: Answer) -> Result<(), String> {
        let names = answer.unwrap_or_default();
        let names = names.as_array().into_iter().flatten();
        let mut found: Vec<String> = names
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        found.sort();
        let error = || Error::OtherDatabases {
            remote: self.remote.to_string(),
            database: self.database.clone(),
            found: found.clone(),
        };
        for command in std::mem::take(&mut self.waiting) {
            command.refuse(error());
        }
        Err(error().to_string())
    }

    fn got_monitor(&mut self, id: u64, method: Method, answer: Answer) -> Result<(), String> {
        let Some(monitor) = self.monitors.get_mut(&id) else {
            return Ok(());
        };
        let Some(schema) = &self.schema else {
            return Err("a monitor before the schema".to_owned());
        };
        let result = match answer {
            Ok(result) => result,
            Err(error) => {
                let is_unknown = error.to_string().contains("unknown method");
                let next = match method {
                    Method::Since if is_unknown => Some(Method::Conditional),
                    Method::Conditional if is_unknown => Some(Method::Plain),
                    _ => None,
                };
                let has_condition = monitor.tables.iter().any(|table| table.condition.is_some());
                if let Some(next) = next.filter(|next| *next != Method::Plain || !has_condition) {
                    self.method = next;
                    self.ask_for_monitor(id);
                    return Ok(());
                }
                return match monitor.reply.take() {
                    Some(reply) => {
                        self.monitors.remove(&id);
                        let _ = reply.send(Err(self.refused("monitor", error)));
                        Ok(())
                    }
                    None => Err(format!(
                        "the server refuses a monitor it granted before: {error}"
                    )),
                };
            }
        };
        let (is_continued, last_id, updates) = match (method, &result) {
            (Method::Since, Value::Array(parts)) => match parts.as_slice() {
                [Value::Bool(found), last_id, updates] => {
                    (*found, transaction_id(last_id)?, updates)
                }
                _ => return Err("monitor_cond_since: not three results".to_owned()),
            },
            (Method::Since, _) => {
                return Err("monitor_cond_since: the result is no array".to_owned());
            }
            (_, updates) => (false, Uuid::nil(), updates),
        };
        monitor.last_id = last_id;
        monitor.is_live = true;
        if is_continued {
            let changes = monitor.take_in(updates, schema)?;
            // Even without a change, that the connection is back is worth knowing.
            monitor.mailbox.push(Event::Changes(changes));
        } else {
            monitor.replica.clear();
            monitor.take_in(updates, schema)?;
            monitor
                .mailbox
                .push(Event::Snapshot(monitor.replica.snapshot()));
        }
        if let Some(reply) = monitor.reply.take() {
            let _ = reply.send(Ok(monitor.mailbox.clone()));
        }
        Ok(())
    }

    fn results(
        &self,
        operations: &[Operation],
        results: &Value,
    ) -> Result<Vec<OperationResult>, Error> {
        let protocol = |problem: String| Error::Protocol {
            remote: self.remote.to_string(),
            problem,
        };
        let results = results
            .as_array()
            .ok_or_else(|| protocol("the result of transact is no array".to_owned()))?;
        for (operation, result) in results.iter().enumerate() {
            if let Some(error) = result.get("error") {
                let text = |value: Option<&Value>| match value {
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => notation::clip(other),
                    None => String::new(),
                };
                let (error, details) = (text(Some(error)), text(result.get("details")));
                return Err(TransactionError {
                    error,
                    details,
                    operation,
                }
                .into());
            }
        }
        if results.len() != operations.len() {
            return Err(protocol(format!(
                "{} results for {} operations",
                results.len(),
                operations.len()
            )));
        }
        let pairs = operations.iter().zip(results);
        pairs
            .map(|(operation, result)| self.result(operation, result).map_err(protocol))
            .collect()
    }

    fn result(&self, operation: &Operation, result: &Value) -> Result<OperationResult, String> {
        let uuid = |value: Option<&Value>| match value.and_then(Value::as_array).map(Vec::as_slice)
        {
            Some([Value::String(tag), Value::String(uuid)]) if tag == "uuid" => {
                notation::uuid_from_str(uuid)
            }
            _ => None,
        };
        let at = |what: &str| format!("the result of {} has no {what}", operation.name());
        match operation {
            Operation::Insert { .. } => uuid(result.get("uuid"))
                .map(OperationResult::Inserted)
                .ok_or_else(|| at("uuid")),
            Operation::Update { .. } | Operation::Mutate { .. } | Operation::Delete { .. } => {
                let count = result.get("count").and_then(Value::as_u64);
                count.map(OperationResult::Count).ok_or_else(|| at("count"))
            }
            Operation::Select { table, .. } => {
                let schema = self
                    .schema
                    .as_ref()
                    .and_then(|schema| schema.table(table))
                    .ok_or_else(|| at("table"))?;
                let rows = result
                    .get("rows")
                    .and_then(Value::as_array)
                    .ok_or_else(|| at("rows"))?;
                let row = |row: &Value| {
                    let uuid = uuid(row.get("_uuid")).ok_or_else(|| at("_uuid"))?;
                    let mut row = notation::row_from_json(row, schema, None)
                        .map_err(|error| error.to_string())?;
                    row.retain(|column, datum| {
                        !schema
                            .column(column)
                            .is_some_and(|c| c.kind.is_default(datum))
                    });
                    Ok((uuid, row))
                };
                rows.iter()
                    .map(row)
                    .collect::<Result<_, String>>()
                    .map(OperationResult::Rows)
            }
            Operation::Wait { .. }
            | Operation::Commit { .. }
            | Operation::Abort
            | Operation::Comment(_)
            | Operation::Assert { .. } => Ok(OperationResult::Empty),
        }
    }
}
