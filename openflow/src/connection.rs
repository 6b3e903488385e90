//! Dials a switch and agrees on OpenFlow 1.5; from there on messages go both ways, without a session's logic.
//!
//! How a remote is reached, and over what, is `weft-stream`'s; [`Connection::over`] takes any stream.
//!
//! Must not: answer echo requests, keep transaction IDs or reconnect: the session does.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::io::{ReadHalf, WriteHalf};
use tokio_util::codec::{FramedRead, FramedWrite};
pub use weft_stream::{DialError, OPENFLOW_PORT, Remote, Stream, TlsClient};

use crate::error::EncodeError;
use crate::error_message::ErrorMessage;
use crate::framing::{FramingError, OpenFlowCodec, Received};
use crate::header::Header;
use crate::hello::Hello;
use crate::message::Message;

/// Bytes gathered before they are written.
const WRITE_BUFFER: usize = 64 * 1024;

/// Why there is no connection, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// Nobody listens there, or it does not speak TLS with us.
    #[error("cannot connect to {remote}: {source}")]
    Dial {
        /// Who was dialled.
        remote: String,
        /// What is in the way.
        #[source]
        source: DialError,
    },
    /// Silence for too long.
    #[error("{remote} did not answer within {after:?} while {doing}")]
    Timeout {
        /// Who was dialled.
        remote: String,
        /// What was waited for.
        doing: &'static str,
        /// How long.
        after: Duration,
    },
    /// The switch does not speak OpenFlow 1.5.
    #[error(
        "{remote} speaks {found}, not OpenFlow 1.5: set `protocols` of its bridge to OpenFlow15"
    )]
    Version {
        /// Who was dialled.
        remote: String,
        /// What it offered.
        found: String,
    },
    /// The switch refused the hello.
    #[error("{remote} refused the hello: {error}")]
    Refused {
        /// Who was dialled.
        remote: String,
        /// The error it sent.
        error: ErrorMessage,
    },
    /// The first message was no hello.
    #[error("{remote} did not begin with a hello but with a message of type {kind}")]
    NoHello {
        /// Who was dialled.
        remote: String,
        /// The type of its first message.
        kind: u8,
    },
    /// The peer closed the connection.
    #[error("{remote} closed the connection")]
    Closed {
        /// Who was dialled.
        remote: String,
    },
    /// The stream broke or carried something else.
    #[error("connection to {remote}: {source}")]
    Stream {
        /// Who was dialled.
        remote: String,
        /// What happened.
        #[source]
        source: FramingError,
    },
    /// A message could not be put into bytes.
    #[error("message for {remote}: {source}")]
    Encode {
        /// Who was dialled.
        remote: String,
        /// What is wrong with it.
        #[source]
        source: EncodeError,
    },
}

/// A connection on which both sides agreed on OpenFlow 1.5.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    receiver: Receiver,
}

/// The half that sends.
pub struct Sender {
    remote: String,
    frames: FramedWrite<WriteHalf<Box<dyn Stream>>, OpenFlowCodec>,
}

/// The half that receives.
pub struct Receiver {
    remote: String,
    frames: FramedRead<ReadHalf<Box<dyn Stream>>, OpenFlowCodec>,
}

impl Connection {
    /// Dials and exchanges hellos, each within `timeout`. `tls` is what an `ssl:` remote needs.
    ///
    /// # Errors
    /// If nobody listens, nobody answers in time, no TLS is agreed on, or the switch does not speak OpenFlow 1.5.
    pub async fn connect(
        remote: &Remote,
        tls: Option<&TlsClient>,
        timeout: Duration,
    ) -> Result<Connection, ConnectionError> {
        let stream = weft_stream::dial(remote, tls, timeout).await;
        let stream = stream.map_err(|source| ConnectionError::Dial {
            remote: remote.to_string(),
            source,
        })?;
        Connection::over(stream, &remote.to_string(), timeout).await
    }

    /// Exchanges hellos on a stream that is there already; `remote` names it in errors.
    ///
    /// # Errors
    /// If nobody answers in time or the switch does not speak OpenFlow 1.5.
    pub async fn over(
        stream: Box<dyn Stream>,
        remote: &str,
        timeout: Duration,
    ) -> Result<Connection, ConnectionError> {
        let (read, write) = tokio::io::split(stream);
        let remote = remote.to_owned();
        let mut frames = FramedWrite::new(write, OpenFlowCodec);
        frames.set_backpressure_boundary(WRITE_BUFFER);
        let sender = Sender {
            remote: remote.clone(),
            frames,
        };
        let receiver = Receiver {
            remote: remote.clone(),
            frames: FramedRead::new(read, OpenFlowCodec),
        };
        let mut connection = Connection { sender, receiver };
        let late = ConnectionError::Timeout {
            remote,
            doing: "greeting",
            after: timeout,
        };
        tokio::time::timeout(timeout, connection.greet())
            .await
            .map_err(|_| late)??;
        Ok(connection)
    }

    /// Sends a message with a transaction ID.
    ///
    /// # Errors
    /// If the message cannot be encoded or the stream is broken.
    pub async fn send(&mut self, xid: u32, message: &Message) -> Result<(), ConnectionError> {
        self.sender.send(xid, message).await
    }

    /// The next message; `None` once the peer closed the connection. Cancel-safe.
    ///
    /// # Errors
    /// If the stream is broken. A message that cannot be decoded is no such error.
    pub async fn receive(&mut self) -> Result<Option<Received>, ConnectionError> {
        self.receiver.receive().await
    }

    /// Two halves, so that a full bundle can be written while answers are read: both sides must read or they wait for
    /// each other.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    async fn greet(&mut self) -> Result<(), ConnectionError> {
        self.send(0, &Message::Hello(Hello::of_1_5())).await?;
        let remote = self.sender.remote.clone();
        let Some(received) = self.receive().await? else {
            return Err(ConnectionError::Closed { remote });
        };
        match received.message {
            Ok(Message::Hello(hello)) if hello.offers_1_5(received.header.version) => Ok(()),
            Ok(Message::Hello(hello)) => Err(ConnectionError::Version {
                remote,
                found: offered(&hello, received.header),
            }),
            Ok(Message::Error(error)) => Err(ConnectionError::Refused { remote, error }),
            _ => Err(ConnectionError::NoHello {
                remote,
                kind: received.header.kind,
            }),
        }
    }
}

impl Sender {
    /// Sends a message with a transaction ID.
    ///
    /// # Errors
    /// If the message cannot be encoded or the stream is broken.
    pub async fn send(&mut self, xid: u32, message: &Message) -> Result<(), ConnectionError> {
        let encoded = message.encode(xid);
        let bytes = encoded.map_err(|source| ConnectionError::Encode {
            remote: self.remote.clone(),
            source,
        })?;
        self.feed(bytes).await?;
        self.flush().await
    }

    /// Hands over whole messages; they are written when enough are gathered, or at [`Sender::flush`]. Waits while the peer
    /// does not read. Never gathers more than 64 KiB, whatever it is given.
    ///
    /// # Errors
    /// If the stream is broken.
    pub async fn feed(&mut self, mut messages: Bytes) -> Result<(), ConnectionError> {
        while !messages.is_empty() {
            let piece = messages.split_to(messages.len().min(WRITE_BUFFER));
            let fed = self.frames.feed(piece).await;
            fed.map_err(|source| ConnectionError::Stream {
                remote: self.remote.clone(),
                source,
            })?;
        }
        Ok(())
    }

    /// Writes what was handed over.
    ///
    /// # Errors
    /// If the stream is broken.
    pub async fn flush(&mut self) -> Result<(), ConnectionError> {
        let flushed = self.frames.flush().await;
        flushed.map_err(|source| ConnectionError::Stream {
            remote: self.remote.clone(),
            source,
        })
    }
}

impl Receiver {
    /// The next message; `None` once the peer closed the connection. Cancel-safe.
    ///
    /// # Errors
    /// If the stream is broken. A message that cannot be decoded is no such error.
    pub async fn receive(&mut self) -> Result<Option<Received>, ConnectionError> {
        let received = self.frames.next().await.transpose();
        received.map_err(|source| ConnectionError::Stream {
            remote: self.remote.clone(),
            source,
        })
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

fn offered(hello: &Hello, header: Header) -> String {
    match hello.versions.first() {
        Some(word) => format!("wire versions {word:#x} (a bit each)"),
        None => format!("wire version {:#04x}", header.version),
    }
}
