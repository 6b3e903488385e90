//! What can go wrong between a pod's start and its first packet.
//!
//! Must not: hide the step that failed; each variant says what, where, and what to look at.

use std::{io, path::PathBuf, time::Duration};

/// Why an attachment, its removal or a node set-up did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The pod's network namespace could not be opened or entered.
    #[error("network namespace {}", path.display())]
    Namespace {
        /// Its file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A netlink request was refused.
    #[error("{action} of interface {interface}")]
    Link {
        /// What was tried, as a noun: "creation", "address 10.0.0.2/32".
        action: String,
        /// The interface.
        interface: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The local OVSDB refused a transaction or cannot be reached.
    #[error("local OVSDB {}", path.display())]
    Ovsdb {
        /// The socket.
        path: PathBuf,
        /// The client's error.
        #[source]
        source: weft_ovsdb::Error,
    },
    /// The local OVSDB did not come into the wanted state in time.
    #[error("local OVSDB {}: waited {waited:?} for {awaited}; seen last: {seen}", path.display())]
    Timeout {
        /// The socket.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
        /// What did not come, and who would have done it.
        awaited: &'static str,
        /// The state at the deadline.
        seen: String,
    },
    /// Open vSwitch could not take the interface.
    #[error("Open vSwitch refused interface {interface}: {message}")]
    Refused {
        /// The host end.
        interface: String,
        /// `Interface.error`.
        message: String,
    },
    /// The controller's answer cannot be read.
    #[error("interface {interface}: {key}={found:?} in external_ids: {expected}")]
    Answer {
        /// The host end.
        interface: String,
        /// The key in `external_ids`.
        key: &'static str,
        /// Its value.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A kernel setting, or the file that remembers them, could not be read or written.
    #[error("{action}")]
    File {
        /// The file, and the value that was to be written.
        action: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The packet filter's program is missing or refused.
    #[error("{what}: {message}")]
    Firewall {
        /// What was tried.
        what: &'static str,
        /// What it said, and what to do.
        message: String,
    },
    /// No interface holds the tunnel address.
    #[error(
        "no interface of this node holds the tunnel address {address}; give the address of the interface that reaches the other nodes"
    )]
    NoSuchAddress {
        /// The address asked for.
        address: std::net::IpAddr,
    },
}

impl Error {
    /// The message with its causes, in one line: for a log.
    #[must_use]
    pub fn with_causes(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |error| error.source());
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }
}

/// A link error from rtnetlink, with the errno kept.
pub(crate) fn link_error(
    action: impl Into<String>,
    interface: &str,
    error: rtnetlink::Error,
) -> Error {
    Error::Link {
        action: action.into(),
        interface: interface.to_owned(),
        source: io_error(error),
    }
}

/// The errno that an rtnetlink error carries, else its text.
pub(crate) fn io_error(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    }
}
