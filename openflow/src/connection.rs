//! Dials a switch and agrees on OpenFlow 1.5; from there on messages go both ways, without a session's logic.
//!
//! [`Connection::over`] takes any stream, so that one secured by TLS is dialled elsewhere and handed in.
//!
//! Must not: answer echo requests, keep transaction IDs or reconnect: the session does.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::codec::{FramedRead, FramedWrite};

use crate::error::EncodeError;
use crate::error_message::ErrorMessage;
use crate::framing::{FramingError, OpenFlowCodec, Received};
use crate::header::Header;
use crate::hello::Hello;
use crate::message::Message;

/// The port that IANA gave to OpenFlow.
pub const DEFAULT_PORT: u16 = 6653;
/// Bytes gathered before they are written.
const WRITE_BUFFER: usize = 64 * 1024;

/// Any byte stream: a socket, or one within TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where a switch listens. In text `unix:PATH` or `tcp:HOST[:PORT]` (an IPv6 address in brackets).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remote {
    /// A socket file, such as Open vSwitch's `br-int.mgmt`.
    Unix(PathBuf),
    /// A host and port.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Text that names no remote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "remote {0:?} is not of the form unix:PATH or tcp:HOST[:PORT] (an IPv6 address in brackets)"
)]
pub struct RemoteError(pub String);

/// Why there is no connection, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// Nobody listens there.
    #[error("cannot connect to {remote}: {source}")]
    Dial {
        /// Who was dialled.
        remote: String,
        /// What the system says.
        #[source]
        source: io::Error,
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
    /// Dials and exchanges hellos, all within `timeout`.
    ///
    /// # Errors
    /// If nobody listens, nobody answers in time, or the switch does not speak OpenFlow 1.5.
    pub async fn connect(
        remote: &Remote,
        timeout: Duration,
    ) -> Result<Connection, ConnectionError> {
        let doing = "being dialled";
        let late = ConnectionError::Timeout {
            remote: remote.to_string(),
            doing,
            after: timeout,
        };
        let stream = tokio::time::timeout(timeout, dial(remote))
            .await
            .map_err(|_| late)??;
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

    /// Hands over a whole message; it is written when enough are gathered, or at [`Sender::flush`]. Waits while the peer
    /// does not read.
    ///
    /// # Errors
    /// If the stream is broken.
    pub async fn feed(&mut self, message: Bytes) -> Result<(), ConnectionError> {
        let fed = self.frames.feed(message).await;
        fed.map_err(|source| ConnectionError::Stream {
            remote: self.remote.clone(),
            source,
        })
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

impl FromStr for Remote {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Remote, RemoteError> {
        let bad = || RemoteError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Remote::Unix(PathBuf::from(path)));
        }
        let rest = text.strip_prefix("tcp:").ok_or_else(bad)?;
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(bad)?;
                let port = match port {
                    "" => None,
                    port => Some(port.strip_prefix(':').ok_or_else(bad)?),
                };
                (host, port)
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = port.map_or(Ok(DEFAULT_PORT), |port| port.parse().map_err(|_| bad()))?;
        match host.is_empty() || port == 0 {
            true => Err(bad()),
            false => Ok(Remote::Tcp {
                host: host.to_owned(),
                port,
            }),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Unix(path) => write!(f, "unix:{}", path.display()),
            Remote::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Remote::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

async fn dial(remote: &Remote) -> Result<Box<dyn Stream>, ConnectionError> {
    let error = |source| ConnectionError::Dial {
        remote: remote.to_string(),
        source,
    };
    match remote {
        Remote::Unix(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(error)?)),
        Remote::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port))
                .await
                .map_err(error)?;
            // Messages are gathered before they are written; waiting for more would only add to the latency.
            stream.set_nodelay(true).map_err(error)?;
            Ok(Box::new(stream))
        }
    }
}

fn offered(hello: &Hello, header: Header) -> String {
    match hello.versions.first() {
        Some(word) => format!("wire versions {word:#x} (a bit each)"),
        None => format!("wire version {:#04x}", header.version),
    }
}
