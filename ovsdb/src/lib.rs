//! OVSDB (RFC 7047 and Open vSwitch's extensions): values, schema, transaction engine, client, server.
//!
//! ```text
//!            Connection ── wire ──▶ client ── JSON over weft-stream ──▶ any ovsdb-server
//! callers ─▶ (transact,
//!             monitor)  ── local ─▶ Server ──▶ Database (pure engine)
//!                                     ▲  └─deltas─▶ storage ─▶ a file that ovsdb-tool reads
//!            ovn-nbctl, ovsdb-client ─┘ punix:, ptcp:, pssl:
//! ```
//!
//! [`Connection`] is the one interface: over the wire, or in process, where no JSON is involved and rows are shared
//! with the database. Nothing here knows a table by name, but for `_Server`'s own.
//!
//! Must not: know what a database is used for.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

mod client;
mod connection;
mod database;
mod error;
#[cfg(test)]
mod fixture;
mod framing;
mod jsonrpc;
mod mailbox;
mod notation;
mod operation;
mod record;
mod row;
mod schema;
mod server;
mod storage;
mod value;
mod watch;
pub mod wire;

pub use connection::{ConnectOptions, Connection, Event, Lock, Monitor, MonitorTable};
pub use database::{Committed, CommittedRow, Database};
pub use error::{Error, TransactionError};
pub use notation::NotationError;
pub use operation::{Condition, Function, Mutation, Mutator, Operation, OperationResult, Until};
pub use row::{Row, RowChange};
pub use schema::{
    BaseType, ColumnSchema, ColumnType, DatabaseSchema, Misfit, RefType, SchemaError, TableSchema,
};
pub use server::{Access, ListenOptions, Listening, Server};
pub use storage::{Compaction, StorageError, Stored};
pub use uuid::Uuid;
pub use value::{Atom, AtomType, Datum, Map, Real, Set};
pub use weft_stream::{OVSDB_PORT as DEFAULT_PORT, Passive, Remote, RemoteError, Tls, TlsClient};
