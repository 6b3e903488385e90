//! The client's side of a session, as a state machine: commands, messages and time in; bytes, answers and events out.
//!
//! ```text
//! connected ─▶ get_schema ─▶ ready: locks and monitors are asked for again, commands that waited are sent
//! ```
//!
//! A monitor asks for what happened since the last transaction it knows of; only where the server has forgotten that,
//! or never knew, does its reader get a snapshot. Servers that know no `monitor_cond_since` are asked for
//! `monitor_cond`, then for `monitor`.
//!
//! Must not: do IO; read the clock (it is passed in).

mod answer;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tracing::debug;
use uuid::Uuid;

use crate::client::replica::Replica;
use crate::connection::{Event, MonitorTable};
use crate::error::Error;
use crate::jsonrpc::{self, Message};
use crate::mailbox::Mailbox;
use crate::operation::{Operation, OperationResult};
use crate::row::RowChange;
use crate::schema::DatabaseSchema;
use crate::server::lock::LockMode;

type ReplyTo<T> = oneshot::Sender<Result<T, Error>>;

/// What a handle asks for.
#[derive(Debug)]
pub(super) enum Command {
    Schema {
        reply: ReplyTo<Arc<DatabaseSchema>>,
    },
    Transact {
        operations: Vec<Operation>,
        reply: ReplyTo<Vec<OperationResult>>,
    },
    Monitor {
        tables: Vec<MonitorTable>,
        reply: ReplyTo<Arc<Mailbox>>,
    },
    Lock {
        name: String,
        mode: LockMode,
        reply: ReplyTo<watch::Receiver<bool>>,
    },
    Unlock {
        name: String,
        reply: ReplyTo<()>,
    },
}

/// A session with a server, across connections.
#[derive(Debug)]
pub(super) struct Session {
    remote: Arc<str>,
    database: String,
    probe: Duration,
    replica_bytes_max: Option<usize>,
    state: State,
    schema: Option<Arc<DatabaseSchema>>,
    /// Commands that wait for a connection.
    waiting: VecDeque<Command>,
    /// Requests sent and not answered, by id.
    pending: BTreeMap<u64, Pending>,
    monitors: BTreeMap<u64, MonitorState>,
    locks: BTreeMap<String, watch::Sender<bool>>,
    method: Method,
    next_id: u64,
    out: Vec<u8>,
    last_heard: Instant,
    is_probed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    /// Connected, waiting for the schema.
    Greeting,
    Ready,
}

/// The best monitor request that the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Since,
    Conditional,
    Plain,
}

/// A request sent and not answered.
#[derive(Debug)]
enum Pending {
    Schema,
    /// The names of the databases there are, since the one wanted is not among them.
    Databases,
    Transact {
        operations: Vec<Operation>,
        reply: ReplyTo<Vec<OperationResult>>,
    },
    Monitor {
        id: u64,
        method: Method,
    },
    Lock {
        name: String,
        mode: LockMode,
        reply: Option<ReplyTo<watch::Receiver<bool>>>,
    },
    Unlock {
        reply: ReplyTo<()>,
    },
    /// Nobody waits for the answer.
    Nothing,
}

#[derive(Debug)]
struct MonitorState {
    tables: Vec<MonitorTable>,
    replica: Replica,
    /// The last transaction that the replica includes.
    last_id: Uuid,
    mailbox: Arc<Mailbox>,
    /// Until the first answer: who waits for it.
    reply: Option<ReplyTo<Arc<Mailbox>>>,
    /// True once the server has answered on this connection.
    is_live: bool,
}

impl Session {
    const MAX_WAITING: usize = 256;

    pub(super) fn new(remote: Arc<str>, database: &str, probe: Duration) -> Session {
        Session {
            remote,
            database: database.to_owned(),
            probe,
            replica_bytes_max: None,
            state: State::Down,
            schema: None,
            waiting: VecDeque::new(),
            pending: BTreeMap::new(),
            monitors: BTreeMap::new(),
            locks: BTreeMap::new(),
            method: Method::Since,
            next_id: 1,
            out: Vec::new(),
            last_heard: Instant::now(),
            is_probed: false,
        }
    }

    /// Gives up a connection whose monitors' rows are more than this.
    pub(super) fn bound_replicas(&mut self, bytes_max: Option<usize>) {
        self.replica_bytes_max = bytes_max;
    }

    pub(super) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// False while so many commands wait that more had better wait outside.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < Self::MAX_WAITING && self.pending.len() < Self::MAX_WAITING
    }

    /// When [`Session::tick`] is due.
    pub(super) fn deadline(&self) -> Instant {
        let silence = if self.is_probed {
            self.probe.saturating_mul(2)
        } else {
            self.probe
        };
        self.last_heard
            .checked_add(silence)
            .unwrap_or(self.last_heard)
    }

    /// There is a new connection.
    pub(super) fn connected(&mut self, now: Instant) {
        self.state = State::Greeting;
        self.method = Method::Since;
        self.out.clear();
        self.last_heard = now;
        self.is_probed = false;
        let database = self.database.clone();
        self.send("get_schema", &json!([database]), Pending::Schema);
    }

    /// The connection is gone.
    pub(super) fn disconnected(&mut self, reason: &str) {
        let was_ready = self.state == State::Ready;
        self.state = State::Down;
        self.out.clear();
        for pending in std::mem::take(&mut self.pending).into_values() {
            let lost = || Error::Disconnected {
                remote: self.remote.to_string(),
                reason: reason.to_owned(),
            };
            match pending {
                Pending::Transact { reply, .. } => drop(reply.send(Err(lost()))),
                // The lock is gone with the connection.
                Pending::Unlock { reply } => drop(reply.send(Ok(()))),
                Pending::Lock {
                    name,
                    mode,
                    reply: Some(reply),
                } => {
                    self.locks.remove(&name);
                    self.waiting.push_back(Command::Lock { name, mode, reply });
                }
                Pending::Schema
                | Pending::Databases
                | Pending::Monitor { .. }
                | Pending::Lock { .. }
                | Pending::Nothing => {}
            }
        }
        self.locks
            .values()
            .for_each(|held| _ = held.send_replace(false));
        for monitor in self.monitors.values_mut() {
            monitor.is_live = false;
            if was_ready && monitor.reply.is_none() {
                monitor.mailbox.push(Event::Disconnected {
                    reason: reason.to_owned(),
                });
            }
        }
    }

    /// There will be no connection any more.
    pub(super) fn closed(&mut self) {
        self.monitors
            .values()
            .for_each(|monitor| monitor.mailbox.close());
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// Why the connection is to be given up.
    pub(super) fn tick(&mut self, now: Instant) -> Result<(), String> {
        let silence = now.saturating_duration_since(self.last_heard);
        if self.is_probed && silence >= self.probe.saturating_mul(2) {
            return Err(format!("silent for {} s", silence.as_secs()));
        }
        if !self.is_probed && silence >= self.probe {
            self.is_probed = true;
            jsonrpc::write_request(&mut self.out, "echo", &json!([]), &json!("echo"));
        }
        self.drop_abandoned();
        Ok(())
    }

    /// Takes a command; it waits if there is no connection.
    pub(super) fn command(&mut self, command: Command) {
        if self.state != State::Ready {
            self.waiting.retain(|waiting| !waiting.is_abandoned());
            self.waiting.push_back(command);
            return;
        }
        if command.is_abandoned() {
            return;
        }
        match command {
            Command::Schema { reply } => {
                if let Some(schema) = &self.schema {
                    // Whoever asked may have stopped waiting, here and below.
                    let _ = reply.send(Ok(schema.clone()));
                }
            }
            Command::Transact { operations, reply } => {
                let params =
                    std::iter::once(json!(self.database)).chain(operations.iter().map(with_uuid));
                let params: Vec<Value> = params.collect();
                self.send(
                    "transact",
                    &params.into(),
                    Pending::Transact { operations, reply },
                );
            }
            Command::Monitor { tables, reply } => {
                if let Err(error) = self.check_names(&tables) {
                    let _ = reply.send(Err(error));
                    return;
                }
                let id = self.next_id;
                let monitor = MonitorState {
                    tables,
                    replica: Replica::bounded(self.replica_bytes_max),
                    last_id: Uuid::nil(),
                    mailbox: Arc::default(),
                    reply: Some(reply),
                    is_live: false,
                };
                self.monitors.insert(id, monitor);
                self.ask_for_monitor(id);
            }
            Command::Lock { name, mode, reply } => {
                if self.locks.contains_key(&name) {
                    let error = format!("lock {name} was asked for before on this connection");
                    let _ = reply.send(Err(self.refused("lock", error)));
                    return;
                }
                self.locks.insert(name.clone(), watch::channel(false).0);
                let method = if mode == LockMode::Steal {
                    "steal"
                } else {
                    "lock"
                };
                self.send(
                    method,
                    &json!([name]),
                    Pending::Lock {
                        name,
                        mode,
                        reply: Some(reply),
                    },
                );
            }
            Command::Unlock { name, reply } => {
                if self.locks.remove(&name).is_none() {
                    let error = format!("lock {name} was not asked for on this connection");
                    let _ = reply.send(Err(self.refused("unlock", error)));
                    return;
                }
                self.send("unlock", &json!([name]), Pending::Unlock { reply });
            }
        }
    }

    /// Takes in what the server said.
    ///
    /// # Errors
    /// Why the connection is to be given up.
    pub(super) fn receive(&mut self, message: Message, now: Instant) -> Result<(), String> {
        self.last_heard = now;
        self.is_probed = false;
        match message {
            Message::Request { method, params, id } if method == "echo" => {
                jsonrpc::write_result(&mut self.out, &id, &params);
                Ok(())
            }
            Message::Request { id, .. } => {
                jsonrpc::write_error(&mut self.out, &id, &"unknown method");
                Ok(())
            }
            Message::Notification { method, params } => self.notified(&method, &params),
            Message::Response { id, result } => {
                match id.as_u64().and_then(|id| self.pending.remove(&id)) {
                    Some(pending) => self.answered(pending, result),
                    // The answer to our echo, or to a request that was given up.
                    None => Ok(()),
                }
            }
        }
    }

    fn notified(&mut self, method: &str, params: &[Value]) -> Result<(), String> {
        match (method, params) {
            ("update" | "update2", [id, updates]) => self.updated(id, None, updates),
            ("update3", [id, last_id, updates]) => self.updated(id, Some(last_id), updates),
            ("locked" | "stolen", [Value::String(name)]) => {
                if let Some(held) = self.locks.get(name) {
                    held.send_replace(method == "locked");
                }
                Ok(())
            }
            ("update" | "update2" | "update3" | "locked" | "stolen", _) => {
                Err(format!("{method} with {} parameters", params.len()))
            }
            _ => {
                debug!(method, "unknown notification passed over");
                Ok(())
            }
        }
    }

    fn updated(
        &mut self,
        id: &Value,
        last_id: Option<&Value>,
        updates: &Value,
    ) -> Result<(), String> {
        let Some(id) = id.as_u64() else { return Ok(()) };
        let (Some(monitor), Some(schema)) = (self.monitors.get_mut(&id), &self.schema) else {
            return Ok(());
        };
        if !monitor.is_live {
            return Err("an update before the monitor's first answer".to_owned());
        }
        let changes = monitor.take_in(updates, schema)?;
        monitor.last_id = last_id.map_or(Ok(Uuid::nil()), transaction_id)?;
        if !changes.is_empty() {
            monitor.mailbox.push(Event::Changes(changes));
        }
        if Arc::strong_count(&monitor.mailbox) == 1 {
            self.drop_abandoned();
        }
        Ok(())
    }

    /// Gives up monitors and requests that nobody waits for any more.
    fn drop_abandoned(&mut self) {
        if self.state != State::Ready {
            return;
        }
        let is_abandoned = |monitor: &MonitorState| match &monitor.reply {
            Some(reply) => reply.is_closed(),
            None => Arc::strong_count(&monitor.mailbox) == 1,
        };
        let ids = self
            .monitors
            .iter()
            .filter(|(_, monitor)| monitor.is_live && is_abandoned(monitor));
        for id in ids.map(|(id, _)| *id).collect::<Vec<u64>>() {
            self.monitors.remove(&id);
            self.send("monitor_cancel", &json!([id]), Pending::Nothing);
        }
        let ids = self
            .pending
            .iter()
            .filter(|(_, p)| matches!(p, Pending::Transact { reply, .. } if reply.is_closed()));
        for id in ids.map(|(id, _)| *id).collect::<Vec<u64>>() {
            self.pending.insert(id, Pending::Nothing);
            jsonrpc::write_request(&mut self.out, "cancel", &json!([id]), &Value::Null);
        }
    }

    /// All that was asked for before, on this new connection.
    fn resume(&mut self) {
        self.state = State::Ready;
        for name in self.locks.keys().cloned().collect::<Vec<String>>() {
            self.send(
                "lock",
                &json!([name]),
                Pending::Lock {
                    name: name.clone(),
                    mode: LockMode::Wait,
                    reply: None,
                },
            );
        }
        for id in self.monitors.keys().copied().collect::<Vec<u64>>() {
            self.ask_for_monitor(id);
        }
        for command in std::mem::take(&mut self.waiting) {
            self.command(command);
        }
    }

    fn ask_for_monitor(&mut self, id: u64) {
        let Some(monitor) = self.monitors.get(&id) else {
            return;
        };
        let method = self.method;
        let mut requests = serde_json::Map::new();
        for table in &monitor.tables {
            let mut request = serde_json::Map::new();
            if let Some(columns) = &table.columns {
                request.insert(
                    "columns".to_owned(),
                    columns.iter().map(|column| json!(**column)).collect(),
                );
            }
            if let Some(any_of) = &table.condition {
                // An empty list would mean all rows.
                let any_of: Vec<Value> = match any_of.as_slice() {
                    [] => vec![json!(false)],
                    any_of => any_of.iter().map(|condition| condition.to_json()).collect(),
                };
                request.insert("where".to_owned(), any_of.into());
            }
            requests.insert(table.table.to_string(), json!([request]));
        }
        let (name, params) = match method {
            Method::Since => (
                "monitor_cond_since",
                json!([self.database, id, requests, monitor.last_id.to_string()]),
            ),
            Method::Conditional => ("monitor_cond", json!([self.database, id, requests])),
            Method::Plain => ("monitor", json!([self.database, id, requests])),
        };
        self.send(name, &params, Pending::Monitor { id, method });
    }

    fn check_names(&self, tables: &[MonitorTable]) -> Result<(), Error> {
        let Some(schema) = &self.schema else {
            return Ok(());
        };
        let unknown = |what| {
            Err(Error::UnknownName {
                database: self.database.clone(),
                what,
            })
        };
        for table in tables {
            let Some(table_schema) = schema.table(&table.table) else {
                return unknown(format!("table {}", table.table));
            };
            for column in table.columns.iter().flatten() {
                if table_schema.column(column).is_none() {
                    return unknown(format!("column {column} of table {}", table.table));
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, method: &str, params: &Value, pending: Pending) {
        let id = self.next_id;
        self.next_id = self.next_id.saturating_add(1);
        jsonrpc::write_request(&mut self.out, method, params, &json!(id));
        self.pending.insert(id, pending);
    }

    fn refused(&self, method: &'static str, error: impl ToString) -> Error {
        Error::Refused {
            remote: self.remote.to_string(),
            method,
            error: error.to_string(),
        }
    }
}

impl Command {
    fn refuse(self, error: Error) {
        // Whoever asked may have stopped waiting.
        match self {
            Command::Schema { reply } => drop(reply.send(Err(error))),
            Command::Transact { reply, .. } => drop(reply.send(Err(error))),
            Command::Monitor { reply, .. } => drop(reply.send(Err(error))),
            Command::Lock { reply, .. } => drop(reply.send(Err(error))),
            Command::Unlock { reply, .. } => drop(reply.send(Err(error))),
        }
    }

    fn is_abandoned(&self) -> bool {
        match self {
            Command::Schema { reply } => reply.is_closed(),
            Command::Transact { reply, .. } => reply.is_closed(),
            Command::Monitor { reply, .. } => reply.is_closed(),
            Command::Lock { reply, .. } => reply.is_closed(),
            Command::Unlock { reply, .. } => reply.is_closed(),
        }
    }
}

/// The operation for the wire; a select also asks for the rows' identities, which its result names.
fn with_uuid(operation: &Operation) -> Value {
    let mut json = operation.to_json();
    if let (Operation::Select { .. }, Some(Value::Array(columns))) =
        (operation, json.get_mut("columns"))
    {
        columns.push(json!("_uuid"));
    }
    json
}

fn transaction_id(value: &Value) -> Result<Uuid, String> {
    let id = value.as_str().and_then(crate::notation::uuid_from_str);
    id.ok_or_else(|| format!("{} is no transaction id", crate::notation::clip(value)))
}

impl MonitorState {
    /// # Errors
    /// What is wrong with the updates. Some of them were taken in, so the next connection begins anew.
    fn take_in(
        &mut self,
        updates: &Value,
        schema: &DatabaseSchema,
    ) -> Result<Vec<RowChange>, String> {
        self.replica.apply(updates, schema).inspect_err(|_| {
            self.replica.clear();
            self.last_id = Uuid::nil();
        })
    }
}

#[cfg(test)]
mod tests;
