//! A pod's responder: answers on its ports with the pod's name, so that a probe knows whom it has reached.
//!
//! The answer is `namespace/name TOKEN`, TOKEN being what the probe sent: no stale or foreign answer is taken for the
//! right one. Sockets are made inside the pod's network namespace and stay there, wherever their tasks run.
//!
//! ```text
//! Responder ─owns─▶ a task per socket ─TCP─▶ a task per connection, ends after one answer or its time
//! ```
//!
//! Must not: answer for another pod.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use socket2::{Domain, Protocol as SocketProtocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
    time::timeout,
};
use weft_cni::netns::Netns;

use crate::patience::scaled;

/// A transport protocol that a container port can have here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port that a pod's manifest declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerPort {
    /// Its protocol.
    pub transport: Transport,
    /// Its number.
    pub port: u16,
}

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Responder {
    _tasks: JoinSet<()>,
}

impl Responder {
    /// Listens on all ports, IPv4 and IPv6.
    ///
    /// # Errors
    /// When a port cannot be bound.
    pub fn start(netns: &Netns, name: &str, ports: &[ContainerPort]) -> io::Result<Responder> {
        let sockets = netns.run(|| {
            ports
                .iter()
                .map(|port| bind(*port).map(|socket| (*port, socket)))
                .collect::<io::Result<Vec<_>>>()
        })??;
        let name: Arc<str> = name.into();
        let mut tasks = JoinSet::new();
        for (port, socket) in sockets {
            let name = Arc::clone(&name);
            match port.transport {
                Transport::Tcp => {
                    let listener = TcpListener::from_std(socket.into())?;
                    tasks.spawn(answer_connections(listener, name));
                }
                Transport::Udp => {
                    let socket = UdpSocket::from_std(socket.into())?;
                    tasks.spawn(answer_datagrams(socket, name));
                }
            }
        }
        Ok(Responder { _tasks: tasks })
    }
}

/// What a responder of this name answers to this token.
#[must_use]
pub fn answer(name: &str, token: &str) -> String {
    format!("{name} {token}\n")
}

/// The name of the responder that answered this to this token.
#[must_use]
pub fn answered_by(text: &[u8], token: &str) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let name = text.strip_suffix(&format!(" {token}\n"))?;
    Some(name.to_owned())
}

fn bind(port: ContainerPort) -> io::Result<Socket> {
    let (kind, protocol) = match port.transport {
        Transport::Tcp => (Type::STREAM, SocketProtocol::TCP),
        Transport::Udp => (Type::DGRAM, SocketProtocol::UDP),
    };
    let dual = Socket::new(Domain::IPV6, kind.nonblocking(), Some(protocol)).and_then(|socket| {
        socket.set_only_v6(false)?;
        Ok((
            socket,
            SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port.port)),
        ))
    });
    // A kernel without IPv6.
    let (socket, address) = dual.or_else(|_| {
        let socket = Socket::new(Domain::IPV4, kind.nonblocking(), Some(protocol))?;
        io::Result::Ok((
            socket,
            SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, port.port)),
        ))
    })?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    if port.transport == Transport::Tcp {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

async fn answer_connections(listener: TcpListener, name: Arc<str>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted && connections.len() < CONNECTIONS_MAX {
                    let name = Arc::clone(&name);
                    connections.spawn(async move { let _ = timeout(scaled(CONNECTION_TIME), answer_connection(stream, &name)).await; });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer_connection(mut stream: TcpStream, name: &str) -> io::Result<()> {
    let mut token = [0; TOKEN_MAX];
    let length = stream.read(&mut token).await?;
    let token = String::from_utf8_lossy(&token[..length]).into_owned();
    stream
        .write_all(answer(name, token.trim_end()).as_bytes())
        .await?;
    stream.shutdown().await
}

async fn answer_datagrams(socket: UdpSocket, name: Arc<str>) {
    let mut token = [0; TOKEN_MAX];
    loop {
        // An error here is that of an earlier answer (its sender is gone); the socket goes on.
        let Ok((length, sender)) = socket.recv_from(&mut token).await else {
            continue;
        };
        let token = String::from_utf8_lossy(&token[..length]).into_owned();
        let _ = socket
            .send_to(answer(&name, token.trim_end()).as_bytes(), sender)
            .await;
    }
}

const BACKLOG: i32 = 128;
const CONNECTIONS_MAX: usize = 256;
const CONNECTION_TIME: Duration = Duration::from_secs(5);
const TOKEN_MAX: usize = 256;
