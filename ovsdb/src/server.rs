//! The server: databases, their clients over the wire and in process.
//!
//! ```text
//! accept task (one per listener) ── spawns ──▶ client task: bytes ⇄ Session ─┐
//!                                                                            ├─▶ Core, behind a mutex never held
//! Connection::local ─────────────────────────────────────────────────────────┘   across an await
//! Server::stored: Core ── deltas ──▶ writer thread: file, fsync ── saved ──▶ Core: answers
//! ```
//!
//! A client task reads only while it has nothing left to write, so a client that does not read cannot make the server
//! hold more than one answer and its pending updates; one that reads nothing for a minute is dropped.
//!
//! Must not: know a table by name, but for `_Server`'s own.

pub(crate) mod core;
pub(crate) mod lock;
mod own;
mod saving;
pub(crate) mod session;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};
use weft_stream::{DialError, Listener, Passive, Stream, Tls};

use crate::database::Database;
use crate::error::Error;
use crate::framing::{Framer, Limits};
use crate::jsonrpc::{self, Message};
use crate::server::core::{Core, SessionId};
use crate::server::saving::Writer;
use crate::server::session::Session;
use crate::storage::Stored;

/// Databases and those who use them. Clones are the same server.
#[derive(Clone, Debug)]
pub struct Server {
    core: Arc<Mutex<Core>>,
    /// How many clients there may be at a time.
    places: Arc<Semaphore>,
    /// What writes the file, if the database is kept in one.
    writer: Option<Arc<Writer>>,
}

/// What the clients of a listener may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Everything.
    #[default]
    ReadWrite,
    /// Select, monitor, wait; what would change rows is answered with `not allowed`.
    ReadOnly,
}

/// How a listener treats its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenOptions {
    /// What they may do.
    pub access: Access,
    /// What `pssl:` needs.
    pub tls: Option<Tls>,
}

/// An open listener.
#[derive(Debug)]
pub struct Listening {
    address: Passive,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    const MAX_CLIENTS: usize = 1024;

    /// A server of these databases. It also has `_Server`, which describes them.
    pub fn new(databases: Vec<Database>) -> Server {
        let core = Arc::new(Mutex::new(Core::new(databases)));
        Server {
            core,
            places: Arc::new(Semaphore::new(Self::MAX_CLIENTS)),
            writer: None,
        }
    }

    /// A server of a database that is kept in a file: a transaction is answered when it is on disk, and refused when
    /// it cannot be. What is written is seen by others before that.
    ///
    /// # Errors
    /// When the thread that writes cannot be started.
    pub fn stored(stored: Stored) -> Result<Server, Error> {
        let mut server = Server::new(vec![stored.database]);
        let backlog = server.lock().keep(0);
        let writer = Writer::start(stored.log, &server.core, backlog).map_err(Error::Writer)?;
        server.writer = Some(Arc::new(writer));
        Ok(server)
    }

    /// Writes what is not yet written, and gives the file back. Transactions that come later are refused.
    pub async fn close(&self) {
        self.shut_down();
        if let Some(writer) = self.writer.clone() {
            // It ends by itself: the time it takes is that of the disk.
            let _ = tokio::task::spawn_blocking(move || writer.end()).await;
        }
    }

    /// Listens for clients that may read and write, until cancelled.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn listen(
        &self,
        passive: Passive,
        cancel: CancellationToken,
    ) -> Result<Listening, Error> {
        self.listen_with(passive, ListenOptions::default(), cancel)
            .await
    }

    /// As [`Server::listen`], on other terms.
    ///
    /// # Errors
    /// When the address cannot be bound, or it is `pssl:` and no TLS is given.
    pub async fn listen_with(
        &self,
        passive: Passive,
        options: ListenOptions,
        cancel: CancellationToken,
    ) -> Result<Listening, Error> {
        let ListenOptions { access, tls } = options;
        let refuse = |source| Error::Listen {
            passive: passive.to_string(),
            source,
        };
        let listener = Listener::bind(&passive, tls).await.map_err(refuse)?;
        let address = listener.address(&passive);
        info!(listener = %address, "listening");
        let task = tokio::spawn(accept(self.clone(), listener, access, cancel));
        Ok(Listening { address, task })
    }

    /// Ends monitors in this process: their readers get what is left, then `None`.
    pub fn shut_down(&self) {
        self.lock().shut_down();
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        // A transaction that panics is rolled back on its way out; the rest of the core changes in single steps.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listening {
    /// Where it listens; with the port that was taken if 0 was asked for.
    pub fn address(&self) -> &Passive {
        &self.address
    }

    /// Waits until it is cancelled and all its clients are closed.
    pub async fn join(self) {
        // Only a panic could be told, and that has been printed.
        let _ = self.task.await;
    }
}

async fn accept(server: Server, listener: Listener, access: Access, cancel: CancellationToken) {
    let mut clients = JoinSet::new();
    let refusals = Arc::new(Refusals::default());
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(_) = clients.join_next() => continue,
        };
        let (incoming, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: others must go before it gets better.
                warn!(%error, "cannot accept a client");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = server.places.clone().try_acquire_owned() else {
            warn!(%peer, max = Server::MAX_CLIENTS, "too many clients: this one is turned away");
            continue;
        };
        let probe = listener.is_remote().then_some(PROBE_INTERVAL);
        let (server, refusals) = (server.clone(), Arc::clone(&refusals));
        let cancel = cancel.child_token();
        let span = info_span!("client", %peer);
        clients.spawn(
            async move {
                let finished = tokio::select! {
                    () = cancel.cancelled() => return,
                    finished = incoming.finish() => finished,
                };
                match finished {
                    Ok(stream) => {
                        Client::new(server, stream, access, probe)
                            .serve(cancel)
                            .await
                    }
                    Err(error) => refusals.tell(&error, Instant::now()),
                }
                drop(place);
            }
            .instrument(span),
        );
    }
    drop(listener);
    while clients.join_next().await.is_some() {}
}

/// Says that clients were refused, and not as often as they can try.
#[derive(Default)]
struct Refusals(Mutex<Option<Instant>>);

impl Refusals {
    fn tell(&self, error: &DialError, now: Instant) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| now.saturating_duration_since(last) >= REFUSAL_INTERVAL) {
            *last = Some(now);
            warn!("the client {error}");
        } else {
            debug!("the client {error}");
        }
    }
}

/// A client over the wire.
struct Client {
    server: Server,
    stream: Box<dyn Stream>,
    id: SessionId,
    session: Session,
    wake: Arc<Notify>,
    framer: Framer,
}

impl Client {
    fn new(
        server: Server,
        stream: Box<dyn Stream>,
        access: Access,
        probe: Option<Duration>,
    ) -> Client {
        let (id, wake) = server.lock().open();
        let session = Session::new(id, access, probe, Instant::now());
        Client {
            server,
            stream,
            id,
            session,
            wake,
            framer: Framer::new(Limits::REQUESTS),
        }
    }

    async fn serve(mut self, cancel: CancellationToken) {
        debug!("connected");
        let reason = tokio::select! {
            () = cancel.cancelled() => "shutting down".to_owned(),
            reason = self.run() => reason,
        };
        debug!(%reason, "disconnected");
    }

    /// Serves until there is a reason to stop.
    async fn run(&mut self) -> String {
        let mut input = vec![0; READ_BYTES];
        loop {
            if let Err(reason) = self.answer().await {
                return reason;
            }
            let deadline = self.session.deadline(&self.server.lock());
            let timer = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            // Who asks faster than the disk writes is heard again when answers have come.
            let is_heard = !self.server.lock().is_behind(self.id);
            tokio::select! {
                read = self.stream.read(&mut input), if is_heard => match read {
                    Ok(0) => return "closed by the client".to_owned(),
                    Ok(length) => {
                        self.session.heard(Instant::now());
                        self.framer.push(input.get(..length).unwrap_or_default());
                    }
                    Err(error) => return error.to_string(),
                },
                () = self.wake.notified() => self.session.collect(&mut self.server.lock()),
                () = timer => {
                    if !self.session.tick(&mut self.server.lock(), Instant::now()) {
                        return "silent for too long".to_owned();
                    }
                }
            }
        }
    }

    /// Answers what has arrived, sending before the answers grow large.
    async fn answer(&mut self) -> Result<(), String> {
        loop {
            if self.server.lock().is_behind(self.id) {
                break;
            }
            let refused = match self.framer.next_text() {
                Ok(None) => break,
                Ok(Some(text)) => match Message::parse(&text) {
                    Ok(message) => {
                        self.session.announce(text.len());
                        self.session
                            .receive(&mut self.server.lock(), message, Instant::now());
                        if self.session.pending_output() >= FLUSH_BYTES {
                            self.flush().await?;
                        }
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            // What follows on the stream cannot be told apart any more.
            let mut error = Vec::new();
            let details = serde_json::json!({"error": "syntax error", "details": refused});
            jsonrpc::write_error(&mut error, &serde_json::Value::Null, &details);
            self.flush().await?;
            self.send(&error).await?;
            return Err(refused);
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), String> {
        let output = self.session.take_output();
        self.send(&output).await
    }

    async fn send(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            match tokio::time::timeout(STALL_TIMEOUT, self.stream.write(bytes)).await {
                Ok(Ok(0)) => return Err("closed by the client".to_owned()),
                Ok(Ok(written)) => bytes = bytes.get(written..).unwrap_or_default(),
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => {
                    warn!(
                        seconds = STALL_TIMEOUT.as_secs(),
                        "the client reads nothing and is dropped"
                    );
                    return Err("reads nothing".to_owned());
                }
            }
        }
        // TLS may keep the end of what was written until it is told that there is no more.
        match tokio::time::timeout(STALL_TIMEOUT, self.stream.flush()).await {
            Ok(flushed) => flushed.map_err(|error| error.to_string()),
            Err(_) => Err("reads nothing".to_owned()),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.server.lock().close(self.id);
    }
}

const PROBE_INTERVAL: Duration = Duration::from_secs(30);
/// A peer can cause a refusal as often as it likes.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(10);
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 16 << 10;
const FLUSH_BYTES: usize = 64 << 10;
