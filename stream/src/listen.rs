//! Waiting for streams from elsewhere.
//!
//! Must not: let one peer keep another waiting; a handshake is the business of the task that serves the peer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::dial::{DialError, Stream};
use crate::remote::Passive;
use crate::tls::Tls;

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    tls: Option<Tls>,
}

#[derive(Debug)]
enum Socket {
    Unix {
        listener: UnixListener,
        path: PathBuf,
    },
    Tcp(TcpListener),
}

/// A peer that has come; over TLS it has yet to show who it is.
#[derive(Debug)]
pub struct Incoming(Arrived);

#[derive(Debug)]
enum Arrived {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(TcpStream, Tls),
}

impl Listener {
    /// Binds; a socket file that nobody listens on any more is replaced. `tls` is what `pssl:` needs; the others make no
    /// use of it.
    ///
    /// # Errors
    /// When the address cannot be bound, or `pssl:` is asked for without `tls`.
    pub async fn bind(passive: &Passive, tls: Option<Tls>) -> io::Result<Listener> {
        let (socket, tls) = match passive {
            Passive::Unix(path) => {
                if is_stale(path).await {
                    std::fs::remove_file(path)?;
                }
                let listener = UnixListener::bind(path)?;
                let path = path.clone();
                (Socket::Unix { listener, path }, None)
            }
            Passive::Tcp { port, address } => (Socket::Tcp(bind_tcp(*port, *address).await?), None),
            Passive::Ssl { port, address } => {
                let tls = tls.ok_or_else(|| io::Error::other(DialError::NoTls))?;
                (Socket::Tcp(bind_tcp(*port, *address).await?), Some(tls))
            }
        };
        Ok(Listener { socket, tls })
    }

    /// Where it listens, the port that was taken included.
    #[must_use]
    pub fn address(&self, asked: &Passive) -> Passive {
        let Socket::Tcp(listener) = &self.socket else {
            return asked.clone();
        };
        let bound = listener.local_addr().map(|bound| bound.port());
        let mut address = asked.clone();
        if let (Passive::Tcp { port, .. } | Passive::Ssl { port, .. }, Ok(bound)) =
            (&mut address, bound)
        {
            *port = bound;
        }
        address
    }

    /// The next peer and a name for it. Cancel-safe.
    ///
    /// # Errors
    /// When the system has no more sockets to give, for example. The listener is still good.
    pub async fn accept(&self) -> io::Result<(Incoming, String)> {
        match &self.socket {
            Socket::Unix { listener, path } => {
                let (stream, _) = listener.accept().await?;
                let name = format!("unix:{}", path.display());
                Ok((Incoming(Arrived::Unix(stream)), name))
            }
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(match &self.tls {
                    None => (Incoming(Arrived::Tcp(stream)), format!("tcp:{peer}")),
                    Some(tls) => (
                        Incoming(Arrived::Tls(stream, tls.clone())),
                        format!("ssl:{peer}"),
                    ),
                })
            }
        }
    }

    /// True if peers may be on other machines, so that their silence means something.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self.socket, Socket::Tcp(_))
    }
}

impl Incoming {
    /// Agrees with the peer on TLS, where there is to be any. A peer that takes its time is given up.
    ///
    /// # Errors
    /// What is wrong with the peer.
    pub async fn finish(self) -> Result<Box<dyn Stream>, DialError> {
        match self.0 {
            Arrived::Unix(stream) => Ok(Box::new(stream)),
            Arrived::Tcp(stream) => Ok(Box::new(stream)),
            Arrived::Tls(stream, tls) => {
                let secured = tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream)).await;
                let secured = secured.map_err(|_| DialError::Timeout {
                    awaited: "TLS handshake",
                    after: HANDSHAKE_MAX,
                })??;
                Ok(Box::new(secured))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Socket::Unix { path, .. } = &self.socket {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

async fn bind_tcp(port: u16, address: Option<IpAddr>) -> io::Result<TcpListener> {
    if let Some(address) = address {
        return TcpListener::bind((address, port)).await;
    }
    // One socket serves both families where the host has IPv6.
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
    }
}

async fn is_stale(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    is_socket
        && matches!(UnixStream::connect(path).await, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

/// A handshake takes two round trips; who needs longer holds a place that others want.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
