//! One interface to a database, over the wire or in process.
//!
//! Must not: differ in what a caller sees between the two.

mod local;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use weft_stream::{Remote, TlsClient};

use crate::client;
use crate::connection::local::Local;
use crate::error::Error;
use crate::mailbox::Mailbox;
use crate::operation::{Condition, Operation, OperationResult};
use crate::row::RowChange;
use crate::schema::DatabaseSchema;
use crate::server::Server;
use crate::server::lock::LockMode;

/// A connection to one database. Clones share it; dropping the last ends it.
#[derive(Clone, Debug)]
pub struct Connection(Way);

#[derive(Clone, Debug)]
enum Way {
    Wire(client::Handle),
    Local(Arc<Local>),
}

/// How a wire connection behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// After this long without a byte from the server it is asked for an echo; after as long again without one the
    /// connection is given up.
    pub inactivity_probe: Duration,
    /// Time for the other side to accept a connection, its TLS handshake included.
    pub connect_timeout: Duration,
    /// First and longest wait between two attempts.
    pub backoff: (Duration, Duration),
    /// What an `ssl:` remote needs.
    pub tls: Option<TlsClient>,
    /// How much the copy of a monitor's rows may be, in bytes of JSON; a server with more is not followed. `None`: no bound.
    pub replica_bytes_max: Option<usize>,
    /// Time for a request to be answered, waiting for a connection included. (A `wait` operation adds its own.)
    pub request_timeout: Duration,
}

/// One table of a monitor.
#[derive(Clone, Debug, PartialEq)]
pub struct MonitorTable {
    /// The table.
    pub table: Arc<str>,
    /// The columns; `None`: all.
    pub columns: Option<Vec<Arc<str>>>,
    /// Which rows: those for which **any** of these holds; `None`: all.
    pub condition: Option<Vec<Condition>>,
}

/// A stream of what happens to rows. Dropping it ends it.
#[derive(Debug)]
pub struct Monitor {
    mailbox: Arc<Mailbox>,
}

/// What a [`Monitor`] tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Everything there is: replaces all that was known before. Comes first, and after a reconnect that lost history.
    Snapshot(Vec<RowChange>),
    /// One transaction's worth of changes, or several transactions' when the reader is slow; atomic.
    Changes(Vec<RowChange>),
    /// The connection is down; what was known may be out of date until the next event.
    Disconnected {
        /// Why.
        reason: String,
    },
}

/// A lock asked for with [`Connection::lock`] or [`Connection::steal`].
#[derive(Clone, Debug)]
pub struct Lock {
    held: watch::Receiver<bool>,
}

impl Connection {
    /// Connects over the wire, now and again after every loss, until the last clone is dropped. Needs a tokio runtime.
    pub fn connect(remote: Remote, database: &str, options: ConnectOptions) -> Connection {
        Connection(Way::Wire(client::Handle::spawn(remote, database, options)))
    }

    /// Connects to a server in this process: no JSON, rows are shared with the database.
    pub fn local(server: &Server, database: &str) -> Connection {
        Connection(Way::Local(Arc::new(Local::new(server.clone(), database))))
    }

    /// The schema the server has.
    ///
    /// # Errors
    /// When there is no such database, or no answer in time.
    pub async fn schema(&self) -> Result<Arc<DatabaseSchema>, Error> {
        match &self.0 {
            Way::Wire(client) => client.schema().await,
            Way::Local(local) => local.schema(),
        }
    }

    /// Carries out operations as one transaction: all of them or none. One result per operation.
    ///
    /// # Errors
    /// [`Error::Transaction`] when the database refuses, [`Error::Disconnected`] when it is unknown what became of it.
    pub async fn transact(
        &self,
        operations: Vec<Operation>,
    ) -> Result<Vec<OperationResult>, Error> {
        match &self.0 {
            Way::Wire(client) => client.transact(operations).await,
            Way::Local(local) => local.transact(operations).await,
        }
    }

    /// Watches tables.
    ///
    /// # Errors
    /// When there is no such table or column, or no answer in time.
    pub async fn monitor(&self, tables: Vec<MonitorTable>) -> Result<Monitor, Error> {
        let mailbox = match &self.0 {
            Way::Wire(client) => client.monitor(tables).await?,
            Way::Local(local) => local.monitor(&tables)?,
        };
        Ok(Monitor { mailbox })
    }

    /// Asks for a lock; it may come later.
    ///
    /// # Errors
    /// When this connection asked for it before, or there is no answer in time.
    pub async fn lock(&self, name: &str) -> Result<Lock, Error> {
        self.ask_for_lock(name, LockMode::Wait).await
    }

    /// Takes a lock from whoever has it.
    ///
    /// # Errors
    /// When this connection asked for it before, or there is no answer in time.
    pub async fn steal(&self, name: &str) -> Result<Lock, Error> {
        self.ask_for_lock(name, LockMode::Steal).await
    }

    /// Gives a lock back, or stops waiting for it.
    ///
    /// # Errors
    /// When this connection did not ask for it, or there is no answer in time.
    pub async fn unlock(&self, name: &str) -> Result<(), Error> {
        match &self.0 {
            Way::Wire(client) => client.unlock(name).await,
            Way::Local(local) => local.unlock(name),
        }
    }

    async fn ask_for_lock(&self, name: &str, mode: LockMode) -> Result<Lock, Error> {
        let held = match &self.0 {
            Way::Wire(client) => client.lock(name, mode).await?,
            Way::Local(local) => local.lock(name, mode)?,
        };
        Ok(Lock { held })
    }
}

impl Monitor {
    /// The next event; `None` when the connection or server is closed for good. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.mailbox.next().await
    }
}

impl MonitorTable {
    /// All rows and columns of a table.
    pub fn new(table: impl Into<Arc<str>>) -> MonitorTable {
        MonitorTable {
            table: table.into(),
            columns: None,
            condition: None,
        }
    }

    /// Only these columns.
    #[must_use]
    pub fn columns<C: Into<Arc<str>>>(
        mut self,
        columns: impl IntoIterator<Item = C>,
    ) -> MonitorTable {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Only rows for which any of these holds.
    #[must_use]
    pub fn condition(mut self, any_of: impl IntoIterator<Item = Condition>) -> MonitorTable {
        self.condition = Some(any_of.into_iter().collect());
        self
    }
}

impl Default for ConnectOptions {
    fn default() -> ConnectOptions {
        ConnectOptions {
            inactivity_probe: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            tls: None,
            replica_bytes_max: None,
            backoff: (Duration::from_millis(100), Duration::from_secs(8)),
            request_timeout: Duration::from_secs(30),
        }
    }
}

impl Lock {
    /// True if the lock is held now.
    pub fn is_held(&self) -> bool {
        *self.held.borrow()
    }

    /// Waits until the lock is held; false if the connection was closed or the lock given back before.
    pub async fn held(&mut self) -> bool {
        self.held.wait_for(|held| *held).await.is_ok()
    }

    /// Waits until the lock is not held (any more).
    pub async fn lost(&mut self) {
        // Closed for good is lost as well.
        let _ = self.held.wait_for(|held| !*held).await;
    }
}
