//! Byte streams to peers and from them: unix sockets, TCP, mutual TLS. What `lib/stream*.c` is in Open vSwitch.
//!
//! ```text
//!  Remote ── dial ──▶ unix │ tcp │ tcp + TLS handshake ─▶ dyn Stream ─▶ OVSDB, OpenFlow
//!  Passive ── Listener ──▶ Incoming ── finish ─▶ dyn Stream                    │
//!                  Tls: key, certificate and CA, read again when their files change
//!  Authority (pki) ── makes ──▶ these files
//! ```
//!
//! Both protocols dial and listen here, so there is one place that decides what a certificate is good for, and one that
//! says what was wrong with it.
//!
//! Invariants: a peer without a certificate that the configured CA signed is never spoken to over `ssl:`; every wait for a
//! peer ends; no private key is ever printed.
//!
//! Must not: know what is said on a stream.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

mod dial;
mod listen;
pub mod pki;
mod remote;
mod tls;

pub use dial::{DialError, Stream, dial};
pub use listen::{Incoming, Listener};
pub use remote::{OPENFLOW_PORT, OVSDB_PORT, Passive, Remote, RemoteError};
pub use tls::{PeerName, PeerNameError, Tls, TlsClient, TlsError, TlsFailure, TlsFiles};
