//! A connection over the wire: a task that owns the socket and the session, and handles to it.
//!
//! ```text
//! Handle ── commands (bounded; full: the caller waits) ──▶ task: backoff, socket ⇄ Session ── events ──▶ Mailbox
//!                                                                                     └── answers ──▶ oneshot
//! ```
//!
//! The task ends when the last handle is dropped.
//!
//! Must not: give up connecting.

mod end;
mod replica;
mod session;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{Instrument, debug, info, info_span, warn};
use weft_stream::{Remote, Stream};

use crate::client::session::{Command, Session};
use crate::connection::{ConnectOptions, MonitorTable};
use crate::error::Error;
use crate::framing::{Framer, Limits};
use crate::jsonrpc::Message;
use crate::mailbox::Mailbox;
use crate::operation::{Operation, OperationResult};
use crate::schema::DatabaseSchema;
use crate::server::lock::LockMode;

pub use end::ClientEnd;

/// A handle to a connection.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
    remote: Arc<str>,
    request_timeout: Duration,
    /// Why there is no connection; empty while there is one.
    trouble: watch::Receiver<String>,
}

impl Handle {
    /// Starts the task.
    pub(crate) fn spawn(remote: Remote, database: &str, options: ConnectOptions) -> Handle {
        // Full: the caller waits, within its request's time.
        let (sender, commands) = mpsc::channel(64);
        let (trouble_sender, trouble) = watch::channel("not connected yet".to_owned());
        let name: Arc<str> = remote.to_string().into();
        let request_timeout = options.request_timeout;
        let span = info_span!("ovsdb", remote = %name, %database);
        let mut session = Session::new(name.clone(), database, options.inactivity_probe);
        session.bound_replicas(options.replica_bytes_max);
        let task = Task {
            remote,
            options,
            session,
            commands,
            trouble: trouble_sender,
        };
        tokio::spawn(task.run().instrument(span));
        Handle {
            commands: sender,
            remote: name,
            request_timeout,
            trouble,
        }
    }

    pub(crate) async fn schema(&self) -> Result<Arc<DatabaseSchema>, Error> {
        self.ask(Some(self.request_timeout), |reply| Command::Schema {
            reply,
        })
        .await
    }

    pub(crate) async fn transact(
        &self,
        operations: Vec<Operation>,
    ) -> Result<Vec<OperationResult>, Error> {
        let mut waits = operations.iter().filter_map(|operation| match operation {
            Operation::Wait { timeout_ms, .. } => Some(timeout_ms.map(Duration::from_millis)),
            _ => None,
        });
        // A wait without a timeout waits for ever.
        let waiting = waits.try_fold(Duration::ZERO, |sum, wait| Some(sum.saturating_add(wait?)));
        let timeout = waiting.map(|waiting| waiting.saturating_add(self.request_timeout));
        self.ask(timeout, |reply| Command::Transact { operations, reply })
            .await
    }

    pub(crate) async fn monitor(&self, tables: Vec<MonitorTable>) -> Result<Arc<Mailbox>, Error> {
        self.ask(Some(self.request_timeout), |reply| Command::Monitor {
            tables,
            reply,
        })
        .await
    }

    pub(crate) async fn lock(
        &self,
        name: &str,
        mode: LockMode,
    ) -> Result<watch::Receiver<bool>, Error> {
        let name = name.to_owned();
        self.ask(Some(self.request_timeout), |reply| Command::Lock {
            name,
            mode,
            reply,
        })
        .await
    }

    pub(crate) async fn unlock(&self, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        self.ask(Some(self.request_timeout), |reply| Command::Unlock {
            name,
            reply,
        })
        .await
    }

    async fn ask<T>(
        &self,
        timeout: Option<Duration>,
        command: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let ask = async {
            self.commands
                .send(command(reply))
                .await
                .map_err(|_| Error::Closed)?;
            answer.await.map_err(|_| Error::Closed)?
        };
        let Some(timeout) = timeout else {
            return ask.await;
        };
        tokio::time::timeout(timeout, ask)
            .await
            .unwrap_or_else(|_| {
                let trouble = self.trouble.borrow().clone();
                let reason = if trouble.is_empty() {
                    "connected, but no answer came".to_owned()
                } else {
                    trouble
                };
                Err(Error::Timeout {
                    remote: self.remote.to_string(),
                    seconds: timeout.as_secs(),
                    reason,
                })
            })
    }
}

struct Task {
    remote: Remote,
    options: ConnectOptions,
    session: Session,
    commands: mpsc::Receiver<Command>,
    trouble: watch::Sender<String>,
}

/// Why a connection ended.
enum End {
    /// The last handle is gone.
    Closed,
    Lost(String),
}

impl Task {
    async fn run(mut self) {
        let mut backoff = self.options.backoff.0;
        let mut told = Told::default();
        loop {
            let started = Instant::now();
            let reason = match self.connect_and_run().await {
                End::Closed => break,
                End::Lost(reason) => reason,
            };
            self.session.disconnected(&reason);
            // A connection that came to be leaves no trouble behind.
            let before = self.trouble.send_replace(reason.clone());
            if told.is_news(&before, &reason, Instant::now()) {
                warn!(%reason, "not connected");
            } else {
                debug!(%reason, "still not connected");
            }
            if started.elapsed() >= STABLE {
                backoff = self.options.backoff.0;
            }
            let pause = backoff.mul_f64(rand::rng().random_range(0.5..1.0));
            backoff = backoff.saturating_mul(2).min(self.options.backoff.1);
            if self.pause(pause).await.is_none() {
                break;
            }
        }
        self.session.closed();
    }

    /// Waits, taking commands meanwhile; `None`: there is nobody left to wait for.
    async fn pause(&mut self, pause: Duration) -> Option<()> {
        let end = tokio::time::Instant::now().checked_add(pause)?;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(end) => return Some(()),
                command = self.commands.recv(), if self.session.has_room() => self.session.command(command?),
            }
        }
    }

    async fn connect_and_run(&mut self) -> End {
        let mut stream = {
            let (tls, limit) = (self.options.tls.as_ref(), self.options.connect_timeout);
            let connecting = weft_stream::dial(&self.remote, tls, limit);
            tokio::pin!(connecting);
            loop {
                tokio::select! {
                    connected = &mut connecting => match connected {
                        Ok(stream) => break stream,
                        Err(error) => return End::Lost(error.to_string()),
                    },
                    command = self.commands.recv(), if self.session.has_room() => match command {
                        Some(command) => self.session.command(command),
                        None => return End::Closed,
                    },
                }
            }
        };
        self.session.connected(Instant::now());
        match self.exchange(&mut stream).await {
            Ok(end) => end,
            Err(reason) => End::Lost(reason),
        }
    }

    async fn exchange(&mut self, stream: &mut Box<dyn Stream>) -> Result<End, String> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut framer = Framer::new(Limits::REPLIES);
        let mut input = vec![0; READ_BYTES];
        let mut output: Vec<u8> = Vec::new();
        let mut sent = 0_usize;
        // TLS may keep the end of what was written until it is told that there is no more.
        let mut is_flushed = true;
        loop {
            if sent >= output.len() {
                output = self.session.take_output();
                sent = 0;
            }
            let rest = output.get(sent..).unwrap_or_default();
            let deadline = self.session.deadline();
            tokio::select! {
                read = reader.read(&mut input) => {
                    let length = read.map_err(|error| error.to_string())?;
                    if length == 0 {
                        return Err("closed by the server".to_owned());
                    }
                    framer.push(input.get(..length).unwrap_or_default());
                    while let Some(text) = framer.next_text().map_err(|error| error.to_string())? {
                        let message = Message::parse(&text).map_err(|error| error.to_string())?;
                        self.session.receive(message, Instant::now())?;
                    }
                    if self.session.is_ready() && !self.trouble.borrow().is_empty() {
                        info!("connected");
                        self.trouble.send_replace(String::new());
                    }
                }
                written = write_or_flush(&mut writer, rest), if !rest.is_empty() || !is_flushed => {
                    let written = written.map_err(|error| error.to_string())?;
                    is_flushed = rest.is_empty();
                    sent = sent.saturating_add(written);
                }
                command = self.commands.recv(), if self.session.has_room() => match command {
                    Some(command) => self.session.command(command),
                    None => return Ok(End::Closed),
                },
                () = tokio::time::sleep_until(deadline.into()) => self.session.tick(Instant::now())?,
            }
        }
    }
}

/// Writes some of the bytes; where there are none, sees to it that those before are on their way. Cancel-safe.
async fn write_or_flush(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        writer.flush().await.map(|()| 0)
    } else {
        writer.write(bytes).await
    }
}

/// What was said about a server that is not there. The first failure is news, its repetition is not, and a server that
/// fails in ever new ways is not given more lines than one that fails in a few.
#[derive(Debug, Default)]
struct Told {
    count: u32,
    last: Option<Instant>,
}

impl Told {
    /// Whether it is to be said; `before` is the trouble so far, empty after a good connection.
    fn is_news(&mut self, before: &str, reason: &str, now: Instant) -> bool {
        if before.is_empty() {
            *self = Told::default();
        }
        let rested = self
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= REST);
        let is_news = before != reason && (self.count < WAYS || rested);
        if is_news {
            self.count = self.count.saturating_add(1);
            self.last = Some(now);
        }
        is_news
    }
}

/// So many different failures are told at once, then one in each [`REST`].
const WAYS: u32 = 3;
const REST: Duration = Duration::from_secs(60);
/// A connection that lasted this long was a good one: the next attempt after it is not delayed.
const STABLE: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_once_and_ever_new_ones_not_without_end() {
        let mut told = Told::default();
        let start = Instant::now();
        let mut before = "not connected yet".to_owned();
        let mut tell = |reason: &str, seconds| {
            let news = told.is_news(&before, reason, start + Duration::from_secs(seconds));
            before = reason.to_owned();
            news
        };
        assert!(tell("refused", 0));
        assert!(!tell("refused", 1));
        assert!(tell("timed out", 2));
        assert!(tell("byte 7", 3));
        assert!(!tell("byte 8", 4));
        assert!(tell("byte 9", 63));
        assert!(!tell("byte 10", 64));
        before = String::new();
        assert!(told.is_news(&before, "byte 11", start + Duration::from_secs(65)));
    }
}
