//! Node sessions: OVSDB and OpenFlow to every node.
//!
//! ```text
//!   northbound database            nodes.yaml                      each node
//!          │ rows                      │ who, where          ┌──────────────────────┐
//!          ▼                           ▼                     │ ovsdb-server         │
//!   northbound.rs ──▶ ports.rs ──▶ cluster.rs ◀── facts ──── │ chassis.rs ◀──rows──▶│ ports, br-int, tunnel
//!                                   │     ▲  └── answers ──▶ │                      │
//!                    inputs         ▼     │ acknowledged     │ ovs-vswitchd         │
//!                    weft-compiler ─┴─▶ mailbox ──▶ session ─┼─bundles, barriers───▶│ flows, groups
//!                                        per node            └──────────────────────┘
//! ```
//!
//! - [`cluster`]: the one state; decides everything that concerns more than one node.
//! - [`chassis`] and [`session`]: one node's OVSDB and OpenFlow side. Like [`cluster`], pure state machines: events
//!   and a time in, effects out.
//! - [`recording`]: a run of the sessions written down, and played again.
//! - `main_loop` and `node`: the tasks around them, which turn bytes into events and effects into bytes.
//!
//! Invariants: a dead or slow node delays no other; stopping the controller leaves every flow where it is.
//!
//! Must not: know Kubernetes; make flows (the compiler's work).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation
    )
)]

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weft_ovsdb::Connection;
use weft_stream::Tls;

pub mod backoff;
pub mod chassis;
pub mod cluster;
mod mailbox;
mod main_loop;
mod node;
pub mod nodes;
pub mod northbound;
pub mod ports;
mod punt;
pub mod recording;
mod refusals;
pub mod session;
pub mod status;

pub use status::Status;

/// How the controller runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The nodes file; see [`nodes`].
    pub nodes: PathBuf,
    /// How to compile.
    pub compiler: weft_compiler::Options,
    /// Where to serve the [`Status`] (a unix socket that answers each connection with one line of JSON), if anywhere.
    pub status_socket: Option<PathBuf>,
    /// Nothing is sent to any node before this turns true (or its sender goes away): for a database that starts empty and
    /// is filled by somebody who says when. Without it, what the database holds at the start is taken for all there is.
    pub northbound_ready: Option<watch::Receiver<bool>>,
    /// A node that says nothing for so long is asked whether it is there; it is given up after a few times that.
    pub probe: Duration,
    /// What nodes that are dialled over `ssl:` need: our certificate, and the CA that has signed theirs.
    pub tls: Option<Tls>,
    /// Where every event and effect of the node sessions is written down, if anywhere; see [`recording`].
    pub record: Option<PathBuf>,
}

impl Config {
    /// All defaults but the nodes file.
    #[must_use]
    pub fn new(nodes: impl Into<PathBuf>) -> Config {
        Config {
            nodes: nodes.into(),
            compiler: weft_compiler::Options {
                keeps_logical_flows: false,
                ..weft_compiler::Options::default()
            },
            status_socket: None,
            northbound_ready: None,
            probe: PROBE,
            tls: None,
            record: None,
        }
    }
}

/// Why the controller cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The nodes file is not good at the start.
    #[error(transparent)]
    Nodes(#[from] nodes::NodesError),
    /// The northbound database cannot be monitored.
    #[error("northbound database: {0}")]
    Northbound(#[source] weft_ovsdb::Error),
    /// The northbound database has not all that is read and written here.
    #[error(transparent)]
    NorthboundSchema(#[from] northbound::SchemaMismatch),
    /// The northbound connection ended for good.
    #[error(
        "northbound database: the connection was closed; was its server stopped before the controller?"
    )]
    NorthboundClosed,
    /// A panic in the compiler; its state is lost.
    #[error("the compiler panicked: {0}; please report this with the log above")]
    Compiler(String),
    /// The recording cannot be written.
    #[error("recording {}: {source}", path.display())]
    Record {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The status socket cannot be opened.
    #[error("status socket {}: {source}", path.display())]
    StatusSocket {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// A controller that is about to run.
#[derive(Debug)]
pub struct Controller {
    config: Config,
    northbound: Connection,
    status: watch::Sender<Status>,
}

impl Controller {
    /// A controller, and what can be seen of it while it runs.
    #[must_use]
    pub fn new(config: Config, northbound: Connection) -> (Controller, watch::Receiver<Status>) {
        let (status, seen) = watch::channel(Status::default());
        (
            Controller {
                config,
                northbound,
                status,
            },
            seen,
        )
    }

    /// Runs until `cancel`. The flows stay on the nodes.
    ///
    /// # Errors
    /// See [`Error`]. What concerns one node or one row is logged and gone round instead.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), Error> {
        main_loop::run(self.config, self.northbound, self.status, cancel).await
    }
}

/// As `ovsdb-server` and `ovs-vswitchd` have it.
const PROBE: Duration = Duration::from_secs(5);

/// Runs a controller that nobody watches.
///
/// # Errors
/// As [`Controller::run`].
pub async fn run(
    config: Config,
    northbound: Connection,
    cancel: CancellationToken,
) -> Result<(), Error> {
    Controller::new(config, northbound).0.run(cancel).await
}
