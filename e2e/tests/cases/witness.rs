//! Whoever asks a witness is told its name, and the address that it sees.
//!
//! Sockets are made inside a network namespace and stay there, wherever their tasks run. Must not: outlive its owner.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
    time::timeout,
};
use weft_cni::netns::Netns;
use weft_e2e::patience::scaled;

/// A transport protocol to ask over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Tcp,
    Udp,
}

/// Answers until it is dropped.
pub struct Witness {
    _tasks: JoinSet<()>,
}

impl Witness {
    /// Listens on a port of all addresses, over TCP and UDP.
    pub fn start(netns: &Netns, name: &str, port: u16) -> io::Result<Witness> {
        Witness::start_at(netns, name, port, &[Ipv6Addr::UNSPECIFIED.into()])
    }

    /// Listens on a port of these addresses, over TCP and UDP. Who has several answers datagrams from the one that was asked only if the
    /// socket is bound to it.
    pub fn start_at(
        netns: &Netns,
        name: &str,
        port: u16,
        addresses: &[IpAddr],
    ) -> io::Result<Witness> {
        let mut tasks = JoinSet::new();
        for address in addresses {
            let at = SocketAddr::from((*address, port));
            let (tcp, udp) = netns.run(|| {
                let tcp = std::net::TcpListener::bind(at)?;
                let udp = std::net::UdpSocket::bind(at)?;
                tcp.set_nonblocking(true)?;
                udp.set_nonblocking(true)?;
                io::Result::Ok((tcp, udp))
            })??;
            let name: Arc<str> = name.into();
            tasks.spawn(answer_connections(
                TcpListener::from_std(tcp)?,
                Arc::clone(&name),
            ));
            tasks.spawn(answer_datagrams(UdpSocket::from_std(udp)?, name));
        }
        Ok(Witness { _tasks: tasks })
    }
}

async fn answer_connections(listener: TcpListener, name: Arc<str>) {
    while let Ok((mut stream, from)) = listener.accept().await {
        // The asker's time is bounded, and so is what fits into a socket.
        let _ = stream.write_all(text(&name, from).as_bytes()).await;
    }
}

async fn answer_datagrams(socket: UdpSocket, name: Arc<str>) {
    let mut buffer = [0; 64];
    while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
        let _ = socket.send_to(text(&name, from).as_bytes(), from).await;
    }
}

fn text(name: &str, from: SocketAddr) -> String {
    format!("{name} {}", from.ip().to_canonical())
}

/// Who answers at an address, and whom it sees; `None` when nobody does in time.
pub async fn ask(from: &Netns, over: Over, to: SocketAddr) -> Option<(String, IpAddr)> {
    let any: SocketAddr = match to.is_ipv4() {
        true => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        false => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let answered = async {
        let mut bytes = Vec::new();
        match over {
            Over::Tcp => {
                let socket = from.run(|| match to.is_ipv4() {
                    true => tokio::net::TcpSocket::new_v4(),
                    false => tokio::net::TcpSocket::new_v6(),
                });
                let mut stream: TcpStream = socket.ok()?.ok()?.connect(to).await.ok()?;
                stream.read_to_end(&mut bytes).await.ok()?;
            }
            Over::Udp => {
                let socket = from.run(|| std::net::UdpSocket::bind(any)).ok()?.ok()?;
                socket.set_nonblocking(true).ok()?;
                let socket = UdpSocket::from_std(socket).ok()?;
                socket.connect(to).await.ok()?;
                socket.send(b"who").await.ok()?;
                bytes.resize(64, 0);
                let length = socket.recv(&mut bytes).await.ok()?;
                bytes.truncate(length);
            }
        }
        let text = String::from_utf8(bytes).ok()?;
        let (name, seen) = text.split_once(' ')?;
        Some((name.to_owned(), seen.parse().ok()?))
    };
    timeout(scaled(PATIENCE), answered).await.ok()?
}

/// Long enough for a lost packet to be sent again once.
const PATIENCE: Duration = Duration::from_secs(3);
