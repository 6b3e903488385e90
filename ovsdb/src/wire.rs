//! Both ends of a connection without a socket: bytes in, bytes out.
//!
//! ```text
//! bytes ─▶ Framer ─▶ Message ─▶ session of a server (ServerEnd) or of a client (ClientEnd) ─▶ bytes
//! ```
//!
//! The same framing, decoding and sessions that stand behind a socket, for whoever wants to know what becomes of given
//! bytes: fuzzing, and tests of hostile peers.
//!
//! Must not: do IO; decide anything that the sessions decide.

use std::time::{Duration, Instant};

use crate::database::Database;
use crate::server::Access;
use crate::server::core::Core;
use crate::server::session::Session;

pub use crate::client::ClientEnd;
pub use crate::framing::{Framer, FramingError, Limits};
pub use crate::jsonrpc::{Message, MessageError};

/// A server with one client that may do everything.
#[derive(Debug)]
pub struct ServerEnd {
    core: Core,
    session: Session,
    framer: Framer,
    now: Instant,
}

impl ServerEnd {
    /// A server of these databases, and `_Server`.
    pub fn new(databases: Vec<Database>, now: Instant) -> ServerEnd {
        let mut core = Core::new(databases);
        let (id, _) = core.open();
        ServerEnd {
            session: Session::new(id, Access::ReadWrite, None, now),
            core,
            framer: Framer::new(Limits::REQUESTS),
            now,
        }
    }

    /// Takes in what the client sent; what the server sends.
    ///
    /// # Errors
    /// The stream is no sequence of messages any more: a server closes the connection.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        self.framer.push(bytes);
        while let Some(text) = self.framer.next_text().map_err(|error| error.to_string())? {
            let message = Message::parse(&text).map_err(|error| error.to_string())?;
            self.session.announce(text.len());
            self.session.receive(&mut self.core, message, self.now);
        }
        Ok(self.session.take_output())
    }

    /// Lets time pass; what the server sends.
    pub fn pass(&mut self, time: Duration) -> Vec<u8> {
        self.now = self.now.checked_add(time).unwrap_or(self.now);
        self.session.tick(&mut self.core, self.now);
        self.session.take_output()
    }

    /// A database by its name.
    pub fn database(&self, name: &str) -> Option<&Database> {
        Some(self.core.database(self.core.find(name)?))
    }
}
