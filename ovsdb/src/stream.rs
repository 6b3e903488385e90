//! Byte streams to and from the other side, whatever carries them.
//!
//! Client and server sessions see a [`Stream`] and no more; what else can carry one (TLS) is added here.
//!
//! Must not: know JSON.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::remote::{Passive, Remote};

/// A connection's bytes, both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens a connection.
pub(crate) async fn connect(remote: &Remote) -> io::Result<Box<dyn Stream>> {
    match remote {
        Remote::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Remote::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
    }
}

/// A bound listener.
#[derive(Debug)]
pub(crate) enum Listener {
    Unix {
        listener: UnixListener,
        path: PathBuf,
    },
    Tcp(TcpListener),
}

impl Listener {
    /// Binds; a socket file that nobody listens on any more is replaced.
    pub(crate) async fn bind(passive: &Passive) -> io::Result<Listener> {
        match passive {
            Passive::Unix(path) => {
                if is_stale(path).await {
                    std::fs::remove_file(path)?;
                }
                Ok(Listener::Unix {
                    listener: UnixListener::bind(path)?,
                    path: path.clone(),
                })
            }
            Passive::Tcp {
                port,
                address: Some(address),
            } => Ok(Listener::Tcp(TcpListener::bind((*address, *port)).await?)),
            Passive::Tcp {
                port,
                address: None,
            } => {
                // One socket serves both families where the host has IPv6.
                match TcpListener::bind((std::net::Ipv6Addr::UNSPECIFIED, *port)).await {
                    Ok(listener) => Ok(Listener::Tcp(listener)),
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
                    Err(_) => Ok(Listener::Tcp(
                        TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, *port)).await?,
                    )),
                }
            }
        }
    }

    /// Where it listens, the port that was taken included.
    pub(crate) fn address(&self, asked: &Passive) -> Passive {
        match (self, asked) {
            (Listener::Tcp(listener), Passive::Tcp { address, port }) => {
                let port = listener.local_addr().map_or(*port, |bound| bound.port());
                Passive::Tcp {
                    port,
                    address: *address,
                }
            }
            _ => asked.clone(),
        }
    }

    /// The next connection and a name for who is at its other end. Cancel-safe.
    pub(crate) async fn accept(&self) -> io::Result<(Box<dyn Stream>, String)> {
        match self {
            Listener::Unix { listener, path } => {
                let (stream, _) = listener.accept().await?;
                Ok((Box::new(stream), format!("unix:{}", path.display())))
            }
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Box::new(stream), format!("tcp:{peer}")))
            }
        }
    }

    /// True if clients may be on other machines, so that their silence means something.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Listener::Tcp(_))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix { path, .. } = self {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

async fn is_stale(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    is_socket
        && matches!(UnixStream::connect(path).await, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}
