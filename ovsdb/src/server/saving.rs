//! Transactions on their way to a file: answered when they are there, undone when they cannot be.
//!
//! ```text
//! Core: commit in memory, tell monitors ─▶ unsaved ─┐ request and outcome wait here
//!                          └─ delta ─▶ Backlog ─▶ writer thread: all there is, one write, one fsync
//!                                                   │ saved(n): the first n are answered
//!                                                   │ not_saved: all are undone, newest first, and refused
//! ```
//!
//! While one fsync runs, the next group gathers; nobody but those who wait for their own answer notices the disk. What
//! was undone is told to monitors like any change.
//!
//! The thread is no task, since the disk would block a worker. Lock order: core, then backlog.
//!
//! Must not: hold the core while the disk works.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use serde_json::Value;
use tracing::{error, info, warn};

use crate::database::{Delta, Refusal, Snapshot};
use crate::server::core::{Core, Outcome, Reply, Request, SessionId};
use crate::storage::log::{Log, NotSaved};

/// The transactions of a database that are not on disk yet.
#[derive(Debug)]
pub(super) struct Saving {
    database: usize,
    /// Oldest first; the backlog holds the last of their deltas, the writer those before.
    unsaved: VecDeque<Unsaved>,
    /// What of it is whose.
    loads: HashMap<SessionId, Load>,
    backlog: Arc<Backlog>,
    /// True once the writer has ended: nothing can be changed any more.
    is_over: bool,
}

/// What a session waits for.
#[derive(Debug, Default)]
struct Load {
    /// Oldest first; `None`: asked in this process.
    ids: VecDeque<Option<Value>>,
    bytes: usize,
}

#[derive(Debug)]
struct Unsaved {
    request: Request,
    outcome: Outcome,
    delta: Arc<Delta>,
}

/// Deltas for the writer. Bounded by what sessions may have unanswered ([`Core::is_behind`]); callers in this process
/// wait for each answer.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    deltas: Vec<Arc<Delta>>,
    is_closed: bool,
}

/// The thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    backlog: Arc<Backlog>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Core {
    /// From now on a database is kept in a file.
    pub(super) fn keep(&mut self, database: usize) -> Arc<Backlog> {
        let backlog = Arc::new(Backlog::default());
        self.saving = Some(Saving {
            database,
            unsaved: VecDeque::new(),
            loads: HashMap::new(),
            backlog: backlog.clone(),
            is_over: false,
        });
        backlog
    }

    /// Takes a transaction that was carried out; gives it back if it need not be saved, so that it can be answered.
    pub(super) fn save(
        &mut self,
        request: Request,
        outcome: Outcome,
        delta: Option<&Arc<Delta>>,
    ) -> Option<(Request, Outcome)> {
        let saving = self.saving.as_mut();
        let saving = saving.filter(|saving| saving.database == request.database);
        let (Some(saving), Some(delta)) = (saving, delta) else {
            return Some((request, outcome));
        };
        saving.backlog.push(delta.clone());
        let load = saving.loads.entry(request.session).or_default();
        load.bytes = load.bytes.saturating_add(request.bytes);
        load.ids.push_back(match &request.reply {
            Reply::Wire(id) => Some(id.clone()),
            Reply::Local(_) => None,
        });
        saving.unsaved.push_back(Unsaved {
            request,
            outcome,
            delta: delta.clone(),
        });
        None
    }

    /// True if a session has so much unsaved that it must not ask for more.
    pub(super) fn is_behind(&self, session: SessionId) -> bool {
        let saving = self.saving.as_ref();
        saving
            .and_then(|saving| saving.loads.get(&session))
            .is_some_and(|load| load.ids.len() >= MAX_UNSAVED || load.bytes >= MAX_UNSAVED_BYTES)
    }

    /// The oldest so many transactions are on disk.
    fn saved(&mut self, count: usize) {
        let Some(saving) = &mut self.saving else {
            return;
        };
        for unsaved in saving.take(count) {
            self.complete(unsaved.request, unsaved.outcome);
        }
    }

    /// What is not on disk cannot be put there: it is undone and refused.
    fn not_saved(&mut self, reason: &str, now: Instant) {
        let Some(saving) = &mut self.saving else {
            return;
        };
        let database = saving.database;
        saving.backlog.take();
        let unsaved = saving.take(usize::MAX);
        let done = Delta::merge(unsaved.iter().map(|unsaved| &unsaved.delta));
        let undone = self
            .database_mut(database)
            .zip(done)
            .and_then(|(database, done)| database.revert(&done));
        for Unsaved {
            request,
            mut outcome,
            ..
        } in unsaved
        {
            outcome.refusal = Some(Refusal::new("I/O error", reason.to_owned()));
            self.complete(request, outcome);
        }
        if let Some(undone) = undone {
            self.tell(database, undone, now);
        }
    }

    /// All rows as they are, what they are not saved of, and how many transactions that concerns.
    fn gather(&mut self) -> Option<(Snapshot, Vec<Arc<Delta>>, usize)> {
        let saving = self.saving.as_ref()?;
        let (deltas, count) = (saving.backlog.take(), saving.unsaved.len());
        Some((self.database(saving.database).snapshot(), deltas, count))
    }
}

impl Saving {
    /// True if nothing of this database can be changed any more.
    pub(super) fn is_over(&self, database: usize) -> bool {
        self.is_over && self.database == database
    }

    /// True if a session waits for a transaction under this id.
    pub(super) fn has(&self, session: SessionId, id: &Value) -> bool {
        self.loads
            .get(&session)
            .is_some_and(|load| load.ids.iter().any(|own| own.as_ref() == Some(id)))
    }

    /// Takes the oldest so many.
    fn take(&mut self, count: usize) -> Vec<Unsaved> {
        let count = count.min(self.unsaved.len());
        let taken: Vec<Unsaved> = self.unsaved.drain(..count).collect();
        for request in taken.iter().map(|unsaved| &unsaved.request) {
            let Some(load) = self.loads.get_mut(&request.session) else {
                continue;
            };
            load.ids.pop_front();
            load.bytes = load.bytes.saturating_sub(request.bytes);
            if load.ids.is_empty() {
                self.loads.remove(&request.session);
            }
        }
        taken
    }
}

impl Drop for Saving {
    fn drop(&mut self) {
        self.backlog.close();
    }
}

impl Backlog {
    fn push(&self, delta: Arc<Delta>) {
        self.lock().deltas.push(delta);
        self.arrived.notify_one();
    }

    fn take(&self) -> Vec<Arc<Delta>> {
        std::mem::take(&mut self.lock().deltas)
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_one();
    }

    /// Waits for deltas; `None`: there will be no more.
    fn next(&self) -> Option<Vec<Arc<Delta>>> {
        let state = self.arrived.wait_while(self.lock(), |state| {
            state.deltas.is_empty() && !state.is_closed
        });
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        let deltas = std::mem::take(&mut state.deltas);
        (!deltas.is_empty()).then_some(deltas)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a single step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Starts writing what a core commits.
    pub(super) fn start(
        log: Log,
        core: &Arc<Mutex<Core>>,
        backlog: Arc<Backlog>,
    ) -> io::Result<Writer> {
        let work = Work {
            log,
            core: Arc::downgrade(core),
        };
        let deltas = backlog.clone();
        let thread = std::thread::Builder::new()
            .name("database log".to_owned())
            .spawn(move || work.run(&deltas))?;
        Ok(Writer {
            backlog,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Writes what there is, and ends.
    pub(super) fn end(&self) {
        self.backlog.close();
        let thread = self.thread.lock();
        let thread = thread.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Only a panic could be told, and that has been printed.
            let _ = thread.join();
        }
    }
}

/// The writer's own.
struct Work {
    log: Log,
    /// Weak: the thread must not keep a server that nobody uses.
    core: Weak<Mutex<Core>>,
}

impl Work {
    fn run(mut self, backlog: &Backlog) {
        while let Some(deltas) = backlog.next() {
            self.write(&deltas);
            if self.log.has_grown() {
                self.compact();
            }
        }
    }

    fn write(&mut self, deltas: &[Arc<Delta>]) {
        if self.log.is_broken() {
            return self.recover();
        }
        match self.log.append(deltas) {
            Ok(()) => drop(self.with_core(|core| core.saved(deltas.len()))),
            Err(NotSaved { .. }) if self.log.is_broken() => self.recover(),
            Err(NotSaved { saved, error }) => {
                self.with_core(|core| core.saved(saved));
                self.refuse(&error);
            }
        }
    }

    /// What the file holds is not known: it is written anew.
    fn recover(&mut self) {
        let Some((rows, _, count)) = self.with_core(Core::gather).flatten() else {
            return;
        };
        match self.log.rewrite(&rows, "written anew after an error") {
            Ok(()) => {
                warn!(file = %self.log.path().display(), "written anew after an error");
                self.with_core(|core| core.saved(count));
            }
            Err(error) => self.refuse(&error),
        }
    }

    fn compact(&mut self) {
        let Some((rows, deltas, count)) = self.with_core(Core::gather).flatten() else {
            return;
        };
        match self.log.rewrite(&rows, "compacted") {
            Ok(()) => {
                info!(file = %self.log.path().display(), "compacted");
                self.with_core(|core| core.saved(count));
            }
            Err(error) => {
                warn!(file = %self.log.path().display(), %error, "not compacted; it grows on");
                self.log.put_off_compaction();
                if !deltas.is_empty() {
                    self.write(&deltas);
                }
            }
        }
    }

    fn refuse(&self, problem: &io::Error) {
        let path = self.log.path().display();
        error!(file = %path, error = %problem, "transactions are refused: they cannot be written");
        let reason = match problem.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => format!(
                "{path}: {problem}: the transaction cannot be written to the database file and is undone; free \
                 space on its file system and try again"
            ),
            _ => format!(
                "{path}: {problem}: the transaction cannot be written to the database file and is undone"
            ),
        };
        self.with_core(|core| core.not_saved(&reason, Instant::now()));
    }

    fn with_core<T>(&self, act: impl FnOnce(&mut Core) -> T) -> Option<T> {
        let core = self.core.upgrade()?;
        let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
        Some(act(&mut core))
    }
}

impl Drop for Work {
    /// From now on nothing is written, whatever the reason: nobody may wait for it.
    fn drop(&mut self) {
        let reason = format!("{}: it is closed", self.log.path().display());
        self.with_core(|core| {
            if let Some(saving) = &mut core.saving {
                saving.is_over = true;
            }
            core.not_saved(&reason, Instant::now());
        });
    }
}

/// As many transactions, and as many bytes of them, a client may have unanswered before it is not heard for a while.
const MAX_UNSAVED: usize = 1024;
const MAX_UNSAVED_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests;
