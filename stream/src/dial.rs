//! Opening a stream to a remote.
//!
//! Must not: try again; that is for whoever knows how long to wait.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout_at;

use crate::remote::Remote;
use crate::tls::{TlsClient, TlsFailure};

/// A connection's bytes, both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why there is no stream. The remote is for the caller to name.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody listens there, or it cannot be reached.
    #[error(transparent)]
    Connect(#[from] io::Error),
    /// Silence.
    #[error("no {awaited} within {after:?}")]
    Timeout {
        /// What was waited for.
        awaited: &'static str,
        /// How long.
        after: Duration,
    },
    /// `ssl:`, and no files to do it with.
    #[error(
        "no private key, certificate and CA certificate are given, and ssl: needs all three; make them with: weft pki --help"
    )]
    NoTls,
    /// No agreement with the peer.
    #[error(transparent)]
    Tls(#[from] TlsFailure),
}

/// Dials, all within `limit`. `tls` is what `ssl:` remotes need; the others make no use of it.
///
/// # Errors
/// See [`DialError`].
pub async fn dial(
    remote: &Remote,
    tls: Option<&TlsClient>,
    limit: Duration,
) -> Result<Box<dyn Stream>, DialError> {
    let deadline = tokio::time::Instant::now()
        .checked_add(limit)
        .ok_or(DialError::Timeout {
            awaited: "connection",
            after: limit,
        })?;
    let late = |awaited| DialError::Timeout {
        awaited,
        after: limit,
    };
    match remote {
        Remote::Unix(path) => {
            let stream = timeout_at(deadline, UnixStream::connect(path)).await;
            Ok(Box::new(stream.map_err(|_| late("connection"))??))
        }
        Remote::Tcp { host, port } => {
            let stream = timeout_at(deadline, connect(host, *port)).await;
            Ok(Box::new(stream.map_err(|_| late("connection"))??))
        }
        Remote::Ssl { host, port } => {
            let tls = tls.ok_or(DialError::NoTls)?;
            let stream = timeout_at(deadline, connect(host, *port)).await;
            let stream = stream.map_err(|_| late("connection"))??;
            let secured = timeout_at(deadline, tls.handshake(stream)).await;
            let secured = secured.map_err(|_| late("answer to the TLS handshake"))??;
            Ok(Box::new(secured))
        }
    }
}

async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    // Messages are gathered before they are written; waiting for more would only add to the latency.
    stream.set_nodelay(true)?;
    Ok(stream)
}
