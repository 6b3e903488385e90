//! The state that all sessions of a server share: databases, locks, transactions that wait, what each session is yet
//! to be told.
//!
//! A commit hands its delta, shared, to every session that watches the database and wakes it; the session turns it
//! into its own updates when its client can take them. Deltas that pile up become one, so a slow client costs at most
//! what the rows it has not heard of cost.
//!
//! A transaction of a database that is kept in a file is answered when it is on disk (`saving.rs`); everybody else sees
//! it at once.
//!
//! Must not: do IO; read the clock (it is passed in).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Instant;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot, watch};
use uuid::Uuid;

use crate::connection::Event;
use crate::database::{Attempt, Context, Database, Delta, Output, Refusal, StoredRow, Table};
use crate::mailbox::Mailbox;
use crate::operation::Operation;
use crate::server::lock::{LockMode, Locks};
use crate::server::own;
use crate::server::saving::Saving;
use crate::watch::{Watch, column_value};

/// A session, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(pub(crate) u64);

/// What sessions share.
#[derive(Debug)]
pub(crate) struct Core {
    /// `_Server` is the last.
    databases: Vec<Database>,
    server_id: Uuid,
    locks: Locks,
    sessions: HashMap<SessionId, Inbox>,
    blocked: Vec<Blocked>,
    local_monitors: Vec<LocalMonitor>,
    last_session: u64,
    /// The database that is kept in a file, if one is.
    pub(super) saving: Option<Saving>,
}

/// What a session is yet to be told.
#[derive(Debug, Default)]
struct Inbox {
    wake: Arc<Notify>,
    /// For each database watched, what happened to it.
    deltas: HashMap<usize, VecDeque<Arc<Delta>>>,
    notices: Vec<Notice>,
    /// Locks of a session in this process.
    local_locks: HashMap<String, watch::Sender<bool>>,
}

/// What a session over the wire is told, in order.
#[derive(Debug)]
pub(crate) enum Notice {
    Locked(String),
    Stolen(String),
    /// A transaction that waited is over: its result as JSON.
    Completed {
        id: Value,
        result: Vec<u8>,
    },
}

/// A transaction.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) session: SessionId,
    pub(crate) database: usize,
    pub(crate) operations: Vec<Operation>,
    /// Why the operation after these could not be decoded.
    pub(crate) bad: Option<Refusal>,
    /// How many operations there are, those that were not decoded included.
    pub(crate) asked: usize,
    pub(crate) read_only: bool,
    /// Length of the request: what it holds on to while it waits.
    pub(crate) bytes: usize,
    pub(crate) reply: Reply,
}

/// Where a transaction's outcome goes if it has to wait.
#[derive(Debug)]
pub(crate) enum Reply {
    Wire(Value),
    Local(Option<oneshot::Sender<Outcome>>),
}

/// How a transaction ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) outputs: Vec<Output>,
    /// At operation `outputs.len()`; at that number of operations: the commit.
    pub(crate) refusal: Option<Refusal>,
}

#[derive(Debug)]
struct Blocked {
    request: Request,
    started: Instant,
    deadline: Option<Instant>,
    table: usize,
}

#[derive(Debug)]
struct LocalMonitor {
    database: usize,
    watch: Watch,
    mailbox: Weak<Mailbox>,
}

impl Core {
    const MAX_DELTAS: usize = 64;
    const MAX_BLOCKED_PER_SESSION: usize = 64;
    const MAX_BLOCKED_BYTES_PER_SESSION: usize = 32 << 20;

    pub(crate) fn new(mut databases: Vec<Database>) -> Core {
        databases.push(own::describe(databases.iter()));
        Core {
            databases,
            server_id: Uuid::new_v4(),
            locks: Locks::default(),
            sessions: HashMap::new(),
            blocked: Vec::new(),
            local_monitors: Vec::new(),
            last_session: 0,
            saving: None,
        }
    }

    pub(crate) fn server_id(&self) -> Uuid {
        self.server_id
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.databases
            .iter()
            .map(|database| database.schema().name.as_str())
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.names().position(|known| known == name)
    }

    /// A database whose number [`Core::find`] gave.
    pub(crate) fn database(&self, id: usize) -> &Database {
        self.databases
            .get(id)
            .expect("database numbers come from find and databases stay")
    }

    pub(super) fn database_mut(&mut self, id: usize) -> Option<&mut Database> {
        self.databases.get_mut(id)
    }

    /// A new session; the notification wakes it.
    pub(crate) fn open(&mut self) -> (SessionId, Arc<Notify>) {
        self.last_session = self.last_session.saturating_add(1);
        let (id, inbox) = (SessionId(self.last_session), Inbox::default());
        let wake = inbox.wake.clone();
        self.sessions.insert(id, inbox);
        (id, wake)
    }

    /// The end of a session: its locks and waiting transactions go.
    pub(crate) fn close(&mut self, session: SessionId) {
        self.sessions.remove(&session);
        self.blocked
            .retain(|blocked| blocked.request.session != session);
        for (name, holder) in self.locks.release_all(session) {
            self.tell_lock(holder, &name, true);
        }
    }

    /// The end of the server: readers in this process are told.
    pub(crate) fn shut_down(&mut self) {
        self.local_monitors
            .drain(..)
            .filter_map(|monitor| monitor.mailbox.upgrade())
            .for_each(|m| m.close());
    }

    /// Carries out a transaction; `None` if it waits, the outcome to come to its [`Reply`].
    pub(crate) fn transact(&mut self, request: Request, now: Instant) -> Option<Outcome> {
        let own = self
            .blocked
            .iter()
            .filter(|blocked| blocked.request.session == request.session);
        let bytes = own.clone().fold(request.bytes, |sum, blocked| {
            sum.saturating_add(blocked.request.bytes)
        });
        // Past the limits a wait that is not satisfied fails at once.
        let can_wait = own.count() < Self::MAX_BLOCKED_PER_SESSION
            && bytes <= Self::MAX_BLOCKED_BYTES_PER_SESSION;
        match self.attempt(&request, 0, can_wait) {
            Attempt::Done { outputs, delta } => {
                let (database, outcome) = (request.database, Outcome::done(outputs));
                let settled = self.save(request, outcome, delta.as_ref());
                if let Some(delta) = delta {
                    self.tell(database, delta, now);
                }
                settled.map(|(_, outcome)| outcome)
            }
            Attempt::Failed { outputs, refusal } => Some(Outcome {
                outputs,
                refusal: Some(refusal),
            }),
            Attempt::Blocked {
                timeout_ms, table, ..
            } => {
                let deadline =
                    timeout_ms.and_then(|ms| now.checked_add(std::time::Duration::from_millis(ms)));
                self.blocked.push(Blocked {
                    request,
                    started: now,
                    deadline,
                    table,
                });
                None
            }
        }
    }

    /// True if a transaction of this session waits, or is being saved, under this id.
    pub(crate) fn is_waiting(&self, session: SessionId, id: &Value) -> bool {
        let saving = self.saving.as_ref();
        saving.is_some_and(|saving| saving.has(session, id))
            || self
                .blocked
                .iter()
                .any(|blocked| blocked.request.is(session, id))
    }

    /// Gives up a waiting transaction; false if there is none of this id.
    pub(crate) fn cancel(&mut self, session: SessionId, id: &Value) -> bool {
        let before = self.blocked.len();
        self.blocked
            .retain(|blocked| !blocked.request.is(session, id));
        self.blocked.len() != before
    }

    /// When the first waiting transaction of a session runs out of time.
    pub(crate) fn deadline(&self, session: SessionId) -> Option<Instant> {
        self.blocked
            .iter()
            .filter(|blocked| blocked.request.session == session)
            .filter_map(|b| b.deadline)
            .min()
    }

    /// Ends waiting transactions whose time is up.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(at) = self
            .blocked
            .iter()
            .position(|blocked| blocked.deadline.is_some_and(|end| end <= now))
        {
            let mut blocked = self.blocked.swap_remove(at);
            match self.attempt(&blocked.request, blocked.elapsed_ms(now), false) {
                Attempt::Done { outputs, delta } => {
                    let (database, outcome) = (blocked.request.database, Outcome::done(outputs));
                    let settled = self.save(blocked.request, outcome, delta.as_ref());
                    if let Some((request, outcome)) = settled {
                        self.complete(request, outcome);
                    }
                    if let Some(delta) = delta {
                        self.tell(database, delta, now);
                    }
                }
                Attempt::Failed { outputs, refusal } => {
                    self.complete(
                        blocked.request,
                        Outcome {
                            outputs,
                            refusal: Some(refusal),
                        },
                    );
                }
                Attempt::Blocked { .. } => {
                    // Cannot be: it may not wait. Should it be, it must not be tried again at once for ever.
                    blocked.deadline = None;
                    self.blocked.push(blocked);
                }
            }
        }
    }

    /// Asks for a lock; whether it is held now.
    pub(crate) fn lock(
        &mut self,
        session: SessionId,
        name: &str,
        mode: LockMode,
    ) -> Result<bool, String> {
        let (is_held, victim) = self.locks.request(session, name, mode)?;
        if let Some(victim) = victim {
            self.tell_lock(victim, name, false);
        }
        Ok(is_held)
    }

    /// Asks for a lock for a session in this process.
    pub(crate) fn lock_locally(
        &mut self,
        session: SessionId,
        name: &str,
        mode: LockMode,
    ) -> Result<watch::Receiver<bool>, String> {
        let is_held = self.lock(session, name, mode)?;
        let (sender, receiver) = watch::channel(is_held);
        if let Some(inbox) = self.sessions.get_mut(&session) {
            inbox.local_locks.insert(name.to_owned(), sender);
        }
        Ok(receiver)
    }

    /// Gives a lock back.
    pub(crate) fn unlock(&mut self, session: SessionId, name: &str) -> Result<(), String> {
        if let Some(holder) = self.locks.release(session, name)? {
            self.tell_lock(holder, name, true);
        }
        if let Some(sender) = self
            .sessions
            .get_mut(&session)
            .and_then(|inbox| inbox.local_locks.remove(name))
        {
            sender.send_replace(false);
        }
        Ok(())
    }

    /// From now on the session is told what happens to the database.
    pub(crate) fn subscribe(&mut self, session: SessionId, database: usize) {
        if let Some(inbox) = self.sessions.get_mut(&session) {
            inbox.deltas.entry(database).or_default();
        }
    }

    /// The session no longer watches the database.
    pub(crate) fn unsubscribe(&mut self, session: SessionId, database: usize) {
        if let Some(inbox) = self.sessions.get_mut(&session) {
            inbox.deltas.remove(&database);
        }
    }

    /// What happened to the databases that the session watches, since it last asked.
    pub(crate) fn take_deltas(&mut self, session: SessionId) -> Vec<(usize, Arc<Delta>)> {
        let Some(inbox) = self.sessions.get_mut(&session) else {
            return Vec::new();
        };
        let mut deltas = Vec::new();
        for (database, queue) in &mut inbox.deltas {
            deltas.extend(queue.drain(..).map(|delta| (*database, delta)));
        }
        deltas
    }

    /// What else the session is to be told.
    pub(crate) fn take_notices(&mut self, session: SessionId) -> Vec<Notice> {
        self.sessions
            .get_mut(&session)
            .map(|inbox| std::mem::take(&mut inbox.notices))
            .unwrap_or_default()
    }

    /// Starts a monitor in this process: the snapshot is in the mailbox when this returns.
    pub(crate) fn monitor_locally(
        &mut self,
        database: usize,
        watch: Watch,
        mailbox: &Arc<Mailbox>,
    ) {
        mailbox.push(Event::Snapshot(watch.snapshot(self.database(database))));
        self.local_monitors.push(LocalMonitor {
            database,
            watch,
            mailbox: Arc::downgrade(mailbox),
        });
    }

    fn attempt(&mut self, request: &Request, elapsed_ms: u64, can_wait: bool) -> Attempt {
        let locks = &self.locks;
        let holds = |name: &str| locks.holds(request.session, name);
        let database = self
            .databases
            .get_mut(request.database)
            .expect("database numbers come from find");
        // The server alone says what is in databases that are about itself.
        let is_own = database.schema().name.starts_with('_');
        let saving = self.saving.as_ref();
        let is_over = saving.is_some_and(|saving| saving.is_over(request.database));
        let read_only = request.read_only || is_own || is_over;
        let context = Context {
            elapsed_ms,
            holds_lock: Some(&holds),
            read_only,
            can_wait,
        };
        database.attempt(&request.operations, request.bad.clone(), &context)
    }

    /// Tells everybody concerned what a commit changed, and tries waiting transactions again, whose commits are told in
    /// turn.
    pub(super) fn tell(&mut self, database: usize, delta: Arc<Delta>, now: Instant) {
        let mut untold = VecDeque::from([delta]);
        while let Some(delta) = untold.pop_front() {
            self.distribute(database, &delta);
            let is_concerned = |blocked: &Blocked| {
                blocked.request.database == database
                    && delta.rows.iter().any(|row| row.table == blocked.table)
            };
            let (concerned, others) = std::mem::take(&mut self.blocked)
                .into_iter()
                .partition(is_concerned);
            self.blocked = others;
            let concerned: Vec<Blocked> = concerned;
            for mut blocked in concerned {
                match self.attempt(&blocked.request, blocked.elapsed_ms(now), true) {
                    Attempt::Done { outputs, delta } => {
                        let outcome = Outcome::done(outputs);
                        let settled = self.save(blocked.request, outcome, delta.as_ref());
                        untold.extend(delta);
                        if let Some((request, outcome)) = settled {
                            self.complete(request, outcome);
                        }
                    }
                    Attempt::Failed { outputs, refusal } => {
                        self.complete(
                            blocked.request,
                            Outcome {
                                outputs,
                                refusal: Some(refusal),
                            },
                        );
                    }
                    Attempt::Blocked { table, .. } => {
                        blocked.table = table;
                        self.blocked.push(blocked);
                    }
                }
            }
        }
    }

    fn distribute(&mut self, database: usize, delta: &Arc<Delta>) {
        for inbox in self.sessions.values_mut() {
            let Some(queue) = inbox.deltas.get_mut(&database) else {
                continue;
            };
            queue.push_back(delta.clone());
            if queue.len() > Self::MAX_DELTAS {
                let merged = Delta::merge(queue.iter());
                queue.clear();
                queue.extend(merged);
            }
            inbox.wake.notify_one();
        }
        let databases = &self.databases;
        self.local_monitors.retain(|monitor| {
            let Some(mailbox) = monitor.mailbox.upgrade() else {
                return false;
            };
            if monitor.database == database
                && let Some(database) = databases.get(database)
            {
                let changes = monitor.watch.changes(database, delta);
                if !changes.is_empty() {
                    mailbox.push(Event::Changes(changes));
                }
            }
            true
        });
    }

    pub(super) fn complete(&mut self, request: Request, outcome: Outcome) {
        match request.reply {
            Reply::Local(Some(sender)) => drop(sender.send(outcome)),
            Reply::Local(None) => {}
            Reply::Wire(id) => {
                let result = self.render(request.database, &outcome, request.asked);
                self.notice(request.session, Notice::Completed { id, result });
            }
        }
    }

    fn tell_lock(&mut self, session: SessionId, name: &str, is_held: bool) {
        let Some(inbox) = self.sessions.get(&session) else {
            return;
        };
        if let Some(sender) = inbox.local_locks.get(name) {
            sender.send_replace(is_held);
            return;
        }
        let notice = if is_held {
            Notice::Locked
        } else {
            Notice::Stolen
        };
        self.notice(session, notice(name.to_owned()));
    }

    fn notice(&mut self, session: SessionId, notice: Notice) {
        if let Some(inbox) = self.sessions.get_mut(&session) {
            // Bounded by the locks and waiting transactions a session may have, both limited, except that a lock can
            // go back and forth: of two notices about one lock the later says it all.
            if let Notice::Locked(name) | Notice::Stolen(name) = &notice {
                inbox.notices.retain(
                    |old| !matches!(old, Notice::Locked(n) | Notice::Stolen(n) if n == name),
                );
            }
            inbox.notices.push(notice);
            inbox.wake.notify_one();
        }
    }

    /// The result of a `transact` as JSON: one element per operation, null for those not reached, one more if the
    /// commit failed (RFC 7047 §4.1.3).
    pub(crate) fn render(&self, database: usize, outcome: &Outcome, asked: usize) -> Vec<u8> {
        let results = Results {
            database: self.database(database),
            outcome,
            asked,
        };
        let mut out = Vec::new();
        crate::jsonrpc::write(&mut out, b"", &results);
        out
    }
}

impl Request {
    fn is(&self, session: SessionId, id: &Value) -> bool {
        self.session == session && matches!(&self.reply, Reply::Wire(own) if own == id)
    }
}

impl Outcome {
    fn done(outputs: Vec<Output>) -> Outcome {
        Outcome {
            outputs,
            refusal: None,
        }
    }
}

impl Blocked {
    fn elapsed_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }
}

struct Results<'a> {
    database: &'a Database,
    outcome: &'a Outcome,
    asked: usize,
}

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_seq(None)?;
        for output in &self.outcome.outputs {
            match output {
                Output::Inserted(uuid) => {
                    array.serialize_element(&json!({"uuid": ["uuid", uuid]}))?
                }
                Output::Count(count) => array.serialize_element(&json!({ "count": count }))?,
                Output::Empty => array.serialize_element(&json!({}))?,
                Output::Rows {
                    table,
                    rows,
                    columns,
                } => {
                    let table = self.database.table(*table);
                    array.serialize_element(&Rows {
                        table,
                        rows,
                        columns: columns.as_deref(),
                    })?;
                }
            }
        }
        let mut written = self.outcome.outputs.len();
        if let Some(refusal) = &self.outcome.refusal {
            array
                .serialize_element(&json!({"error": refusal.error, "details": refusal.details}))?;
            written = written.saturating_add(1);
        }
        for _ in written..self.asked {
            array.serialize_element(&Value::Null)?;
        }
        array.end()
    }
}

/// `{"rows": […]}`; rows that agree in all columns asked for appear once.
struct Rows<'a> {
    table: &'a Table,
    rows: &'a [(Uuid, StoredRow)],
    columns: Option<&'a [Arc<str>]>,
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(1))?;
        object.serialize_entry("rows", &RowList(self))?;
        object.end()
    }
}

struct RowList<'a>(&'a Rows<'a>);

impl Serialize for RowList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Rows {
            table,
            rows,
            columns,
        } = self.0;
        let columns: Vec<&str> = match columns {
            Some(columns) => columns.iter().map(|column| &**column).collect(),
            None => ["_uuid", "_version"]
                .into_iter()
                .chain(table.schema.columns.keys().map(|c| &**c))
                .collect(),
        };
        let is_distinct = columns.contains(&"_uuid");
        let mut seen = std::collections::HashSet::new();
        let mut array = serializer.serialize_seq(None)?;
        for (uuid, stored) in *rows {
            let value = |column: &&str| column_value(table, *uuid, stored, column).into_owned();
            if !is_distinct && !seen.insert(columns.iter().map(value).collect::<Vec<_>>()) {
                continue;
            }
            array.serialize_element(&WholeRow {
                table,
                uuid: *uuid,
                stored,
                columns: &columns,
            })?;
        }
        array.end()
    }
}

struct WholeRow<'a> {
    table: &'a Table,
    uuid: Uuid,
    stored: &'a StoredRow,
    columns: &'a [&'a str],
}

impl Serialize for WholeRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.columns.len()))?;
        for column in self.columns {
            object.serialize_entry(
                column,
                &*column_value(self.table, self.uuid, self.stored, column),
            )?;
        }
        object.end()
    }
}
