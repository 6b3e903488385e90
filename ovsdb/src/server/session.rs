//! A client's session over the wire, as a state machine: messages and time in, bytes out (RFC 7047 §4.1).
//!
//! Updates always precede the answer to the request that the client sent after (or that made) the change: whatever is
//! written, pending updates are written first.
//!
//! Must not: do IO; read the clock (it is passed in).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::database::Refusal;
use crate::jsonrpc::{self, Message};
use crate::notation;
use crate::operation::json::transaction_from_json;
use crate::server::Access;
use crate::server::core::{Core, Notice, Outcome, Reply, Request, SessionId};
use crate::server::lock::LockMode;
use crate::watch::{Notation, Watch};

/// A client's session.
#[derive(Debug)]
pub(crate) struct Session {
    id: SessionId,
    access: Access,
    monitors: Vec<Monitor>,
    /// Bytes for the client.
    out: Vec<u8>,
    /// With no byte from the client for this long it is asked for an echo; twice as long ends the session. `None`: for
    /// ever.
    probe: Option<Duration>,
    last_heard: Instant,
    is_probed: bool,
    /// Length of the message being received.
    message_bytes: usize,
}

#[derive(Debug)]
struct Monitor {
    id: Value,
    database: usize,
    notation: Notation,
    watch: Watch,
    /// Length of the request that made it: what it may hold on to.
    bytes: usize,
}

/// How a request other than a transaction is refused.
struct Refused(Value);

impl Session {
    const MAX_MONITORS: usize = 256;
    const MAX_MONITOR_BYTES: usize = 32 << 20;

    pub(crate) fn new(
        id: SessionId,
        access: Access,
        probe: Option<Duration>,
        now: Instant,
    ) -> Session {
        Session {
            id,
            access,
            monitors: Vec::new(),
            out: Vec::new(),
            probe,
            last_heard: now,
            is_probed: false,
            message_bytes: 0,
        }
    }

    /// Takes what there is to send.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Bytes that wait to be sent.
    pub(crate) fn pending_output(&self) -> usize {
        self.out.len()
    }

    /// Notes that the client is alive.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.is_probed = false;
    }

    /// When [`Session::tick`] is due.
    pub(crate) fn deadline(&self, core: &Core) -> Option<Instant> {
        let probe = self.probe.and_then(|probe| {
            self.last_heard.checked_add(if self.is_probed {
                probe.saturating_mul(2)
            } else {
                probe
            })
        });
        probe.into_iter().chain(core.deadline(self.id)).min()
    }

    /// Lets time pass. False: the client is silent for too long.
    pub(crate) fn tick(&mut self, core: &mut Core, now: Instant) -> bool {
        core.expire(now);
        self.collect(core);
        let Some(probe) = self.probe else { return true };
        let silence = now.saturating_duration_since(self.last_heard);
        if silence >= probe.saturating_mul(2) && self.is_probed {
            return false;
        }
        if silence >= probe && !self.is_probed {
            self.is_probed = true;
            jsonrpc::write_request(&mut self.out, "echo", &json!([]), &json!("echo"));
        }
        true
    }

    /// Writes what others did: updates, then notices.
    pub(crate) fn collect(&mut self, core: &mut Core) {
        for (database, delta) in core.take_deltas(self.id) {
            for monitor in self
                .monitors
                .iter()
                .filter(|monitor| monitor.database == database)
            {
                monitor.write_update(core, &delta, &monitor.watch, &mut self.out);
            }
        }
        for notice in core.take_notices(self.id) {
            match notice {
                Notice::Locked(name) => {
                    jsonrpc::write_request(&mut self.out, "locked", &[name], &Value::Null)
                }
                Notice::Stolen(name) => {
                    jsonrpc::write_request(&mut self.out, "stolen", &[name], &Value::Null)
                }
                Notice::Completed { id, result } => {
                    jsonrpc::write_raw_result(&mut self.out, &id, &result)
                }
            }
        }
    }

    /// Says how long the next message is: requests that stay (monitors, waits) are bounded by it.
    pub(crate) fn announce(&mut self, bytes: usize) {
        self.message_bytes = bytes;
    }

    /// Takes in what the client said.
    pub(crate) fn receive(&mut self, core: &mut Core, message: Message, now: Instant) {
        match message {
            Message::Request { method, params, id } => {
                self.request(core, &method, &params, id, now)
            }
            Message::Notification { method, params } if method == "cancel" => {
                if let [id] = params.as_slice()
                    && core.cancel(self.id, id)
                {
                    self.collect(core);
                    jsonrpc::write_error(&mut self.out, id, &"canceled");
                }
            }
            // An answer to our echo: that it came is all that matters.
            Message::Response { .. } | Message::Notification { .. } => {}
        }
    }

    fn request(
        &mut self,
        core: &mut Core,
        method: &str,
        params: &[Value],
        id: Value,
        now: Instant,
    ) {
        if method == "transact" {
            return self.transact(core, params, id, now);
        }
        self.collect(core);
        let result: Result<Value, Refused> = match method {
            "echo" => Ok(params.into()),
            "list_dbs" => Ok(core.names().collect()),
            "get_server_id" => Ok(json!(core.server_id())),
            "get_schema" => self
                .database(core, method, params)
                .map(|db| core.database(db).schema().to_json()),
            "monitor" => return self.monitor(core, Notation::Update, method, params, &id),
            "monitor_cond" => return self.monitor(core, Notation::Update2, method, params, &id),
            "monitor_cond_since" => {
                return self.monitor(core, Notation::Update3, method, params, &id);
            }
            "monitor_cond_change" => self.change_conditions(core, params),
            "monitor_cancel" => self.cancel_monitor(core, params),
            "lock" => self.lock(core, params, LockMode::Wait),
            "steal" => self.lock(core, params, LockMode::Steal),
            "unlock" => lock_name(params).and_then(|name| {
                core.unlock(self.id, name)
                    .map(|()| json!({}))
                    .map_err(|details| syntax(&details))
            }),
            // Databases neither come nor go while a server runs.
            "set_db_change_aware" => match params {
                [Value::Bool(_)] => Ok(json!({})),
                _ => Err(syntax("set_db_change_aware takes one boolean")),
            },
            _ => Err(Refused(json!("unknown method"))),
        };
        match result {
            Ok(result) => jsonrpc::write_result(&mut self.out, &id, &result),
            Err(Refused(error)) => jsonrpc::write_error(&mut self.out, &id, &error),
        }
    }

    fn transact(&mut self, core: &mut Core, params: &[Value], id: Value, now: Instant) {
        let result = self.database(core, "transact", params);
        let (database, operations) = match (result, params) {
            (Ok(database), [_, operations @ ..]) => (database, operations),
            (Err(Refused(error)), _) => return self.refuse(core, &id, &error),
            (Ok(_), []) => return self.refuse(core, &id, &json!("no database")),
        };
        if core.is_waiting(self.id, &id) {
            return self.refuse(core, &id, &json!("duplicate request ID"));
        }
        let (decoded, bad) = transaction_from_json(operations, core.database(database).schema());
        let request = Request {
            session: self.id,
            database,
            operations: decoded,
            bad,
            asked: operations.len(),
            read_only: self.access == Access::ReadOnly,
            bytes: self.message_bytes,
            reply: Reply::Wire(id.clone()),
        };
        let outcome = core.transact(request, now);
        self.collect(core);
        if let Some(outcome) = outcome {
            self.write_outcome(core, database, &outcome, operations.len(), &id);
        }
    }

    fn write_outcome(
        &mut self,
        core: &Core,
        database: usize,
        outcome: &Outcome,
        asked: usize,
        id: &Value,
    ) {
        let result = core.render(database, outcome, asked);
        jsonrpc::write_raw_result(&mut self.out, id, &result);
    }

    fn refuse(&mut self, core: &mut Core, id: &Value, error: &Value) {
        self.collect(core);
        jsonrpc::write_error(&mut self.out, id, error);
    }

    fn database(&self, core: &Core, method: &str, params: &[Value]) -> Result<usize, Refused> {
        let Some(Value::String(name)) = params.first() else {
            return Err(syntax(&format!(
                "{method} request's first parameter is no database name"
            )));
        };
        core.find(name).ok_or_else(|| {
            let details = format!("{method} request specifies unknown database {name}");
            Refused(json!({"error": "unknown database", "details": details}))
        })
    }

    fn monitor(
        &mut self,
        core: &mut Core,
        notation: Notation,
        method: &str,
        params: &[Value],
        id: &Value,
    ) {
        match self.start_monitor(core, notation, method, params) {
            Ok(result) => jsonrpc::write_raw_result(&mut self.out, id, &result),
            Err(Refused(error)) => jsonrpc::write_error(&mut self.out, id, &error),
        }
    }

    fn start_monitor(
        &mut self,
        core: &mut Core,
        notation: Notation,
        method: &str,
        params: &[Value],
    ) -> Result<Vec<u8>, Refused> {
        let number = self.database(core, method, params)?;
        let (id, requests, since) = match (notation, params) {
            (Notation::Update | Notation::Update2, [_, id, requests]) => (id, requests, None),
            (Notation::Update3, [_, id, requests, Value::String(since)]) => {
                (id, requests, Some(since))
            }
            _ => return Err(syntax("invalid parameters")),
        };
        if self.monitors.iter().any(|monitor| monitor.id == *id) {
            return Err(syntax("duplicate monitor ID"));
        }
        if self.monitors.len() >= Self::MAX_MONITORS {
            return Err(syntax(&format!(
                "a client may have at most {} monitors",
                Self::MAX_MONITORS
            )));
        }
        if self.monitor_bytes().saturating_add(self.message_bytes) > Self::MAX_MONITOR_BYTES {
            return Err(syntax("the client's monitors are too large together"));
        }
        let database = core.database(number);
        let watch =
            Watch::from_json(database, requests, notation != Notation::Update).map_err(refused)?;
        let mut out = Vec::new();
        match since {
            None => watch.write_initial(database, notation, &mut out),
            Some(since) => {
                let since = notation::uuid_from_str(since)
                    .ok_or_else(|| syntax("the last transaction id is no UUID"))?;
                let missed = database.history().since(since, database.last_id());
                jsonrpc::write(&mut out, b"[", &missed.is_some());
                jsonrpc::write(&mut out, b",", &database.last_id());
                out.push(b',');
                match missed {
                    Some(missed) => {
                        if !watch.write_changes(database, &missed, notation, &mut out) {
                            out.extend_from_slice(b"{}");
                        }
                    }
                    None => watch.write_initial(database, notation, &mut out),
                }
                out.push(b']');
            }
        }
        self.monitors.push(Monitor {
            id: id.clone(),
            database: number,
            notation,
            watch,
            bytes: self.message_bytes,
        });
        core.subscribe(self.id, number);
        Ok(out)
    }

    fn change_conditions(&mut self, core: &Core, params: &[Value]) -> Result<Value, Refused> {
        let [old_id, new_id, requests] = params else {
            return Err(syntax("invalid parameters"));
        };
        if old_id != new_id && self.monitors.iter().any(|monitor| monitor.id == *new_id) {
            return Err(syntax("duplicate monitor ID"));
        }
        let total = self.monitor_bytes();
        let Some(monitor) = self
            .monitors
            .iter_mut()
            .find(|monitor| monitor.id == *old_id)
        else {
            return Err(syntax("unknown monitor session"));
        };
        if monitor.notation == Notation::Update {
            return Err(syntax("the monitor has no conditions"));
        }
        if total.saturating_add(self.message_bytes) > Self::MAX_MONITOR_BYTES {
            return Err(syntax("the client's monitors are too large together"));
        }
        let database = core.database(monitor.database);
        let watch = monitor
            .watch
            .with_conditions(database, requests)
            .map_err(refused)?;
        let delta = monitor.watch.compare(&watch, database);
        monitor.watch = watch;
        monitor.bytes = monitor.bytes.saturating_add(self.message_bytes);
        monitor.id = new_id.clone();
        monitor.write_update(core, &delta, &monitor.watch.unconditional(), &mut self.out);
        Ok(json!({}))
    }

    fn monitor_bytes(&self) -> usize {
        self.monitors
            .iter()
            .fold(0, |sum, monitor| sum.saturating_add(monitor.bytes))
    }

    fn cancel_monitor(&mut self, core: &mut Core, params: &[Value]) -> Result<Value, Refused> {
        let [id] = params else {
            return Err(Refused(json!("invalid parameters")));
        };
        let Some(at) = self.monitors.iter().position(|monitor| monitor.id == *id) else {
            return Err(Refused(json!("unknown monitor")));
        };
        let monitor = self.monitors.remove(at);
        if self
            .monitors
            .iter()
            .all(|other| other.database != monitor.database)
        {
            core.unsubscribe(self.id, monitor.database);
        }
        Ok(json!({}))
    }

    fn lock(
        &mut self,
        core: &mut Core,
        params: &[Value],
        mode: LockMode,
    ) -> Result<Value, Refused> {
        let name = lock_name(params)?;
        let is_held = core
            .lock(self.id, name, mode)
            .map_err(|details| syntax(&details))?;
        Ok(json!({ "locked": is_held }))
    }
}

impl Monitor {
    fn write_update(
        &self,
        core: &Core,
        delta: &crate::database::Delta,
        watch: &Watch,
        out: &mut Vec<u8>,
    ) {
        let mut updates = Vec::new();
        if !watch.write_changes(
            core.database(self.database),
            delta,
            self.notation,
            &mut updates,
        ) {
            return;
        }
        let method = match self.notation {
            Notation::Update => "update",
            Notation::Update2 => "update2",
            Notation::Update3 => "update3",
        };
        jsonrpc::write(out, b"{\"id\":null,\"method\":", method);
        jsonrpc::write(out, b",\"params\":[", &self.id);
        if self.notation == Notation::Update3 {
            jsonrpc::write(out, b",", &delta.id);
        }
        out.push(b',');
        out.extend_from_slice(&updates);
        out.extend_from_slice(b"]}");
    }
}

fn lock_name(params: &[Value]) -> Result<&str, Refused> {
    match params {
        [Value::String(name)] if notation::is_identifier(name) && name.len() <= MAX_LOCK_NAME => {
            Ok(name)
        }
        _ => Err(syntax(
            "lock name must be an identifier, the only parameter",
        )),
    }
}

fn syntax(details: &str) -> Refused {
    Refused(json!({"error": "syntax error", "details": details}))
}

fn refused(refusal: Refusal) -> Refused {
    Refused(json!({"error": refusal.error, "details": refusal.details}))
}

const MAX_LOCK_NAME: usize = 255;

#[cfg(test)]
mod tests;
