//! What can go wrong between a caller and a database.
//!
//! Must not: carry what a caller cannot act on.

use crate::schema::SchemaError;
use weft_stream::RemoteError;

/// Why a request did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused the transaction; nothing of it was done.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The connection broke after the request was sent: whether it was done is not known.
    #[error(
        "connection to {remote} lost: {reason}; whether the request was carried out is not known"
    )]
    Disconnected {
        /// The other side.
        remote: String,
        /// Why.
        reason: String,
    },
    /// No connection, or no answer, within the time allowed for a request.
    #[error("no answer from {remote} within {seconds} s: {reason}")]
    Timeout {
        /// The other side.
        remote: String,
        /// The time allowed.
        seconds: u64,
        /// The last thing known about the connection.
        reason: String,
    },
    /// The server refused a request other than a transaction.
    #[error("{remote} refused {method}: {error}")]
    Refused {
        /// The other side.
        remote: String,
        /// The request.
        method: &'static str,
        /// Its answer.
        error: String,
    },
    /// The server said something that is not OVSDB.
    #[error("{remote} broke the protocol: {problem}")]
    Protocol {
        /// The other side.
        remote: String,
        /// What it said.
        problem: String,
    },
    /// The server has no database of this name.
    #[error("no database {0}")]
    UnknownDatabase(String),
    /// The server has other databases.
    #[error(
        "{remote} has no database {database}; it has {}: give the address of a server that has it",
        if found.is_empty() { "none".to_owned() } else { found.join(", ") }
    )]
    OtherDatabases {
        /// The other side.
        remote: String,
        /// What was asked for.
        database: String,
        /// What it has.
        found: Vec<String>,
    },
    /// A table or column that the database does not have.
    #[error("database {database} has no {what}")]
    UnknownName {
        /// The database.
        database: String,
        /// `table T` or `column C of table T`.
        what: String,
    },
    /// A schema that is none.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A remote or listener that is none.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A listener that cannot be opened.
    #[error("cannot listen on {passive}: {source}")]
    Listen {
        /// The listener.
        passive: String,
        /// Why.
        source: std::io::Error,
    },
    /// The thread that writes a database's file did not start.
    #[error("cannot start the thread that writes the database: {0}")]
    Writer(#[source] std::io::Error),
    /// The connection or server was closed by its owner.
    #[error("closed")]
    Closed,
}

/// Why a transaction failed (RFC 7047 §3.1, `<error>`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("transaction failed at operation {operation}: {error}: {details}")]
pub struct TransactionError {
    /// The short, standard name: `constraint violation`, `referential integrity violation`, `timed out`, …
    pub error: String,
    /// A sentence for people.
    pub details: String,
    /// Which operation, from 0; the number of operations if the commit failed.
    pub operation: usize,
}
