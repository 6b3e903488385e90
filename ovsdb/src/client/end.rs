//! A client's end of a connection without a socket; see [`crate::wire`].
//!
//! Must not: know anything of what the server says that the session does not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::client::session::{Command, Session};
use crate::connection::{Event, MonitorTable};
use crate::error::Error;
use crate::framing::{Framer, Limits};
use crate::jsonrpc::Message;
use crate::mailbox::Mailbox;
use crate::operation::{Operation, OperationResult};
use crate::server::lock::LockMode;

type Answer<T> = oneshot::Receiver<Result<T, Error>>;

/// A client that has asked for a monitor, a lock and a transaction, in this order, as soon as it knows the schema.
#[derive(Debug)]
pub struct ClientEnd {
    session: Session,
    framer: Framer,
    now: Instant,
    monitor: Answer<Arc<Mailbox>>,
    mailbox: Option<Arc<Mailbox>>,
    lock: Answer<watch::Receiver<bool>>,
    results: Answer<Vec<OperationResult>>,
}

impl ClientEnd {
    /// A client that is connected now; the first thing that [`ClientEnd::receive`] gives it to send is `get_schema`.
    pub fn new(
        database: &str,
        tables: Vec<MonitorTable>,
        lock: &str,
        operations: Vec<Operation>,
        now: Instant,
    ) -> ClientEnd {
        let mut session = Session::new("nowhere".into(), database, Duration::from_secs(5));
        let (reply, monitor) = oneshot::channel();
        session.command(Command::Monitor { tables, reply });
        let (reply, lock_answer) = oneshot::channel();
        session.command(Command::Lock {
            name: lock.to_owned(),
            mode: LockMode::Wait,
            reply,
        });
        let (reply, results) = oneshot::channel();
        session.command(Command::Transact { operations, reply });
        session.connected(now);
        ClientEnd {
            session,
            framer: Framer::new(Limits::REPLIES),
            now,
            monitor,
            mailbox: None,
            lock: lock_answer,
            results,
        }
    }

    /// Takes in what the server sent; what the client sends.
    ///
    /// # Errors
    /// Why a client closes the connection.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        self.framer.push(bytes);
        while let Some(text) = self.framer.next_text().map_err(|error| error.to_string())? {
            let message = Message::parse(&text).map_err(|error| error.to_string())?;
            self.session.receive(message, self.now)?;
            if let Ok(Ok(mailbox)) = self.monitor.try_recv() {
                self.mailbox = Some(mailbox);
            }
        }
        Ok(self.session.take_output())
    }

    /// What the monitor's reader has not read yet.
    pub fn take_events(&mut self) -> Vec<Event> {
        let mailbox = self.mailbox.iter();
        mailbox
            .flat_map(|mailbox| std::iter::from_fn(|| mailbox.take()))
            .collect()
    }

    /// True while the server says that the client holds its lock.
    pub fn holds_lock(&mut self) -> bool {
        match self.lock.try_recv() {
            Ok(Ok(held)) => *held.borrow(),
            _ => false,
        }
    }

    /// What the transaction came to, once it is known; given once.
    pub fn take_results(&mut self) -> Option<Result<Vec<OperationResult>, Error>> {
        self.results.try_recv().ok()
    }
}
