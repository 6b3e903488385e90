//! Probes: does a packet from this pod reach that one, and does the answer come back?
//!
//! A probe carries a random token. *Reached* means that the named pod itself got it and the sender got the answer:
//! - ICMP: the token was received on the named pod's own interface, and came back in an echo reply.
//! - TCP, UDP: the responder's answer holds the named pod's name and the token.
//!
//! So neither a pod of another tenant with the same address, nor the sender itself, counts as the pod that was meant.
//!
//! ```text
//! Pinger ─owns─▶ a task per family: raw ICMP socket ─▶ replies by token ─▶ the probe that waits
//! ```
//!
//! Must not: judge whether the outcome is right.

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, UdpSocket},
    sync::oneshot,
    task::JoinSet,
    time::{timeout, timeout_at},
};
use uuid::Uuid;
use weft_cni::netns::Netns;

use crate::{
    patience::scaled,
    pod::Pod,
    responder::{Transport, answered_by},
};

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Probe {
    /// An echo request.
    Icmp,
    /// A connection to this port.
    Tcp(u16),
    /// A datagram to this port.
    Udp(u16),
}

impl Probe {
    /// The protocol's name.
    #[must_use]
    pub fn protocol(self) -> &'static str {
        match self {
            Probe::Icmp => "icmp",
            Probe::Tcp(_) => "tcp",
            Probe::Udp(_) => "udp",
        }
    }

    /// The port; ICMP has none.
    #[must_use]
    pub fn port(self) -> Option<u16> {
        match self {
            Probe::Icmp => None,
            Probe::Tcp(port) | Probe::Udp(port) => Some(port),
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port() {
            None => f.write_str(self.protocol()),
            Some(port) => write!(f, "{}:{port}", self.protocol()),
        }
    }
}

/// A text that names no probe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("probe {0:?} is none: write icmp, tcp:PORT or udp:PORT, with PORT from 1 to 65535")]
pub struct NotAProbe(String);

impl FromStr for Probe {
    type Err = NotAProbe;

    fn from_str(text: &str) -> Result<Probe, NotAProbe> {
        let port = |port: &str| match port.parse() {
            // A sign is no digit, whatever `parse` takes for one.
            Ok(number) if number > 0 && !port.starts_with('+') => Ok(number),
            _ => Err(NotAProbe(text.to_owned())),
        };
        match text.split_once(':') {
            None if text == "icmp" => Ok(Probe::Icmp),
            Some(("tcp", number)) => port(number).map(Probe::Tcp),
            Some(("udp", number)) => port(number).map(Probe::Udp),
            _ => Err(NotAProbe(text.to_owned())),
        }
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Both.
    pub const ALL: [Family; 2] = [Family::Ipv4, Family::Ipv6];

    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() {
            Family::Ipv4
        } else {
            Family::Ipv6
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
        })
    }
}

/// What came of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Name of the pod that sent it.
    pub from: String,
    /// Name of the pod that was meant.
    pub to: String,
    /// The address family.
    pub family: Family,
    /// What was sent.
    pub probe: Probe,
    /// Time until the answer; `None`: not reached.
    pub rtt: Option<Duration>,
}

/// Sends every probe from every pod to every other, in each family that both have. Many at a time; the outcomes come in
/// the order of the arguments: from, to, probe, family.
pub async fn probe_all(pods: &[Arc<Pod>], probes: &[Probe]) -> Vec<Outcome> {
    let pairs = pods
        .iter()
        .flat_map(|from| pods.iter().map(move |to| (from, to)))
        .filter(|(from, to)| from.name() != to.name());
    let rows = pairs.flat_map(|(from, to)| {
        probes
            .iter()
            .flat_map(move |probe| Family::ALL.map(|family| (from, to, *probe, family)))
    });
    let rows: Vec<_> = rows
        .filter(|(from, to, _, family)| {
            from.address(*family).is_some() && to.address(*family).is_some()
        })
        .collect();
    stream::iter(rows)
        .map(|(from, to, probe, family)| async move {
            let rtt = reach(from, to, probe, family).await;
            Outcome {
                from: from.name().to_owned(),
                to: to.name().to_owned(),
                family,
                probe,
                rtt,
            }
        })
        .buffered(AT_A_TIME)
        .collect()
        .await
}

/// Sends one probe. Returns the time until the answer, or `None` when the named pod was not reached within a second.
pub async fn reach(from: &Pod, to: &Pod, probe: Probe, family: Family) -> Option<Duration> {
    let address = to.address(family)?;
    match probe {
        Probe::Icmp => reach_icmp(from, to, address).await,
        Probe::Tcp(port) => timeout(
            scaled(PATIENCE),
            reach_tcp(from, to, SocketAddr::new(address, port)),
        )
        .await
        .ok()?
        .ok()?,
        Probe::Udp(port) => reach_udp(from, to, SocketAddr::new(address, port))
            .await
            .ok()?,
    }
}

/// Connects to an address from a port of one's own (0: any), as a client of a service does, and returns the name that the answer holds;
/// `None` when there is none within a second.
pub async fn who_answers(
    from: &Pod,
    port: u16,
    probe: Probe,
    target: SocketAddr,
) -> Option<String> {
    let token = Uuid::new_v4().simple().to_string();
    let own: IpAddr = match target.is_ipv4() {
        true => std::net::Ipv4Addr::UNSPECIFIED.into(),
        false => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let own = SocketAddr::new(own, port);
    let ask = async {
        let mut text = Vec::new();
        match probe {
            Probe::Udp(_) => {
                let socket = from
                    .netns()
                    .run(|| std::net::UdpSocket::bind(own))
                    .ok()?
                    .ok()?;
                socket.set_nonblocking(true).ok()?;
                let socket = UdpSocket::from_std(socket).ok()?;
                socket.connect(target).await.ok()?;
                socket.send(token.as_bytes()).await.ok()?;
                text.resize(512, 0);
                let length = socket.recv(&mut text).await.ok()?;
                text.truncate(length);
            }
            _ => {
                let socket = from.netns().run(|| match target.is_ipv4() {
                    true => TcpSocket::new_v4(),
                    false => TcpSocket::new_v6(),
                });
                let socket = socket.ok()?.ok()?;
                socket.set_reuseaddr(true).ok()?;
                socket.bind(own).ok()?;
                let mut stream = socket.connect(target).await.ok()?;
                stream.write_all(token.as_bytes()).await.ok()?;
                stream.take(REPLY_MAX).read_to_end(&mut text).await.ok()?;
            }
        }
        let text = String::from_utf8(text).ok()?;
        let (name, answered) = text.trim_end().split_once(' ')?;
        (answered == token).then(|| name.to_owned())
    };
    timeout(scaled(PATIENCE), ask).await.ok()?
}

async fn reach_icmp(from: &Pod, to: &Pod, address: IpAddr) -> Option<Duration> {
    let deadline = tokio::time::Instant::now() + scaled(PATIENCE);
    for _ in 0..ATTEMPTS {
        let token = Token(Uuid::new_v4());
        let attempt_end = (tokio::time::Instant::now() + scaled(PATIENCE) / ATTEMPTS).min(deadline);
        let Ok(Some(rtt)) = timeout_at(attempt_end, from.pinger().ping(address, token)).await
        else {
            continue;
        };
        // The reply may be known here before the tap on the other side was read.
        return timeout_at(deadline, to.saw(token)).await.ok().map(|()| rtt);
    }
    None
}

async fn reach_tcp(from: &Pod, to: &Pod, target: SocketAddr) -> io::Result<Option<Duration>> {
    let answered = ask_tcp(from, target).await?;
    Ok(answered.and_then(|(name, rtt)| (name == to.name()).then_some(rtt)))
}

async fn reach_udp(from: &Pod, to: &Pod, target: SocketAddr) -> io::Result<Option<Duration>> {
    let answered = ask_udp(from, target, |name| name == to.name()).await?;
    Ok(answered.map(|(_, rtt)| rtt))
}

/// Asks an address that may be anybody's who it is: the name of the pod that answered, or `None` when none did.
pub async fn ask(from: &Pod, target: SocketAddr, transport: Transport) -> Option<String> {
    let answered = match transport {
        Transport::Tcp => timeout(scaled(PATIENCE), ask_tcp(from, target))
            .await
            .ok()?,
        Transport::Udp => ask_udp(from, target, |_| true).await,
    };
    answered.ok()?.map(|(name, _)| name)
}

async fn ask_tcp(from: &Pod, target: SocketAddr) -> io::Result<Option<(String, Duration)>> {
    let socket = from.netns().run(|| {
        if target.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }
    })?;
    let socket = socket?;
    let token = Uuid::new_v4().simple().to_string();
    let started = Instant::now();
    let mut stream = socket.connect(target).await?;
    stream.write_all(token.as_bytes()).await?;
    let mut text = Vec::new();
    stream.take(REPLY_MAX).read_to_end(&mut text).await?;
    Ok(answered_by(&text, &token).map(|name| (name, started.elapsed())))
}

async fn ask_udp(
    from: &Pod,
    target: SocketAddr,
    is_meant: impl Fn(&str) -> bool,
) -> io::Result<Option<(String, Duration)>> {
    let unspecified: IpAddr = if target.is_ipv4() {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = from
        .netns()
        .run(|| std::net::UdpSocket::bind((unspecified, 0)))??;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket)?;
    socket.connect(target).await?;
    exchange(&socket, is_meant, scaled(PATIENCE) / ATTEMPTS).await
}

/// Sends a token at a time until a responder that is meant answers one of them. The answer to an earlier one may come
/// late, and one that nobody waits for is no reason to give up.
async fn exchange(
    socket: &UdpSocket,
    is_meant: impl Fn(&str) -> bool,
    patience: Duration,
) -> io::Result<Option<(String, Duration)>> {
    let mut sent: Vec<(String, Instant)> = Vec::new();
    let mut buffer = [0; 512];
    for _ in 0..ATTEMPTS {
        let token = Uuid::new_v4().simple().to_string();
        let end = tokio::time::Instant::now() + patience;
        let started = Instant::now();
        // Refused: an ICMP error says that nobody listens there.
        socket.send(token.as_bytes()).await?;
        sent.push((token, started));
        while let Ok(received) = timeout_at(end, socket.recv(&mut buffer)).await {
            let text = &buffer[..received?];
            let found = sent.iter().find_map(|(token, started)| {
                let name = answered_by(text, token).filter(|name| is_meant(name))?;
                Some((name, started.elapsed()))
            });
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

/// What an echo request carries: a number nobody else has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(Uuid);

impl Token {
    /// One that nobody had before.
    pub(crate) fn new() -> Token {
        Token(Uuid::new_v4())
    }
}

/// The token of a received frame that is an echo request of a probe.
pub(crate) fn echo_request_token(frame: &[u8]) -> Option<Token> {
    let packet = frame.get(14..)?;
    match (frame.get(12..14)?, packet.first()? >> 4) {
        ([0x08, 0x00], 4) if *packet.get(9)? == 1 => {
            let message = packet.get(usize::from(packet.first()? & 0xf) * 4..)?;
            token_of(message, ECHO_REQUEST_V4)
        }
        ([0x86, 0xdd], 6) if *packet.get(6)? == 58 => token_of(packet.get(40..)?, ECHO_REQUEST_V6),
        _ => None,
    }
}

/// The token of an ICMP message of this type.
fn token_of(message: &[u8], kind: u8) -> Option<Token> {
    let payload = message.get(8..)?;
    let bytes = payload.strip_prefix(MAGIC)?.get(..16)?;
    (*message.first()? == kind).then_some(Token(Uuid::from_slice(bytes).ok()?))
}

/// Sends echo requests from a pod and hands out the replies.
#[derive(Debug)]
pub(crate) struct Pinger {
    v4: Option<Arc<UdpSocket>>,
    v6: Option<Arc<UdpSocket>>,
    waiting: Arc<Waiting>,
    _tasks: JoinSet<()>,
}

/// Probes that wait for a reply, by token. An entry goes with its reply, or with its probe.
type Waiting = Mutex<HashMap<Token, oneshot::Sender<Instant>>>;

impl Pinger {
    /// Opens raw sockets inside a namespace. A kernel without IPv6 has none for it.
    pub(crate) fn open(netns: &Netns) -> io::Result<Pinger> {
        let (v4, v6) = netns.run(|| {
            (
                Socket::new(
                    Domain::IPV4,
                    Type::RAW.nonblocking(),
                    Some(Protocol::ICMPV4),
                ),
                Socket::new(
                    Domain::IPV6,
                    Type::RAW.nonblocking(),
                    Some(Protocol::ICMPV6),
                ),
            )
        })?;
        let mut pinger = Pinger {
            // To tokio one datagram socket is like another, and its safe wrapper for them is this.
            v4: Some(Arc::new(UdpSocket::from_std(v4?.into())?)),
            v6: v6
                .ok()
                .map(|socket| UdpSocket::from_std(socket.into()))
                .transpose()?
                .map(Arc::new),
            waiting: Arc::default(),
            _tasks: JoinSet::new(),
        };
        for (socket, family) in [(&pinger.v4, Family::Ipv4), (&pinger.v6, Family::Ipv6)] {
            if let Some(socket) = socket {
                pinger._tasks.spawn(take_replies(
                    Arc::clone(socket),
                    family,
                    Arc::clone(&pinger.waiting),
                ));
            }
        }
        Ok(pinger)
    }

    /// Sends one echo request and waits for its reply. `None` when it cannot be sent.
    pub(crate) async fn ping(&self, address: IpAddr, token: Token) -> Option<Duration> {
        let (socket, kind) = match Family::of(address) {
            Family::Ipv4 => (self.v4.as_ref()?, ECHO_REQUEST_V4),
            Family::Ipv6 => (self.v6.as_ref()?, ECHO_REQUEST_V6),
        };
        let (sender, reply) = oneshot::channel();
        let _entry = Entry::new(&self.waiting, token, sender);
        let message = echo_request(kind, token);
        let started = Instant::now();
        socket
            .send_to(&message, SocketAddr::new(address, 0))
            .await
            .ok()?;
        Some(reply.await.ok()?.duration_since(started))
    }
}

/// An entry among the waiting that goes with its probe, also when the probe is given up.
struct Entry<'a> {
    waiting: &'a Waiting,
    token: Token,
}

impl<'a> Entry<'a> {
    fn new(waiting: &'a Waiting, token: Token, sender: oneshot::Sender<Instant>) -> Entry<'a> {
        waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(token, sender);
        Entry { waiting, token }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.token);
    }
}

async fn take_replies(socket: Arc<UdpSocket>, family: Family, waiting: Arc<Waiting>) {
    let mut buffer = vec![0; 2048];
    loop {
        // An error is that of an earlier request, such as "unreachable".
        let Ok(length) = socket.recv(&mut buffer).await else {
            continue;
        };
        let now = Instant::now();
        let packet = &buffer[..length];
        // A raw IPv4 socket hands out the IP header, an IPv6 one does not.
        let token = match family {
            Family::Ipv4 => packet
                .first()
                .and_then(|first| packet.get(usize::from(first & 0xf) * 4..))
                .and_then(|message| token_of(message, ECHO_REPLY_V4)),
            Family::Ipv6 => token_of(packet, ECHO_REPLY_V6),
        };
        let sender = token.and_then(|token| {
            waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&token)
        });
        if let Some(sender) = sender {
            let _ = sender.send(now);
        }
    }
}

/// The kernel fills in the checksum of ICMPv6; that of ICMP is computed here.
fn echo_request(kind: u8, token: Token) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0x77, 0x66, 0, 1];
    message.extend(MAGIC);
    message.extend(token.0.as_bytes());
    if kind == ECHO_REQUEST_V4 {
        let checksum = internet_checksum(&message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    message
}

/// RFC 1071.
fn internet_checksum(bytes: &[u8]) -> u16 {
    let mut sum = bytes.chunks(2).fold(0u32, |sum, pair| {
        sum + u32::from(u16::from_be_bytes([
            pair[0],
            pair.get(1).copied().unwrap_or(0),
        ]))
    });
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

const MAGIC: &[u8] = b"weft probe ";
const ECHO_REQUEST_V4: u8 = 8;
const ECHO_REPLY_V4: u8 = 0;
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;
/// A pair that does not answer costs this much.
const PATIENCE: Duration = Duration::from_secs(1);
/// The first packet of a pair may be lost to a neighbour's question on the underlay; a third attempt is for a machine
/// that is busy.
const ATTEMPTS: u32 = 3;
const AT_A_TIME: usize = 128;
const REPLY_MAX: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::responder::answer;

    #[test]
    fn a_probe_reads_back_as_it_prints() {
        for probe in [Probe::Icmp, Probe::Tcp(80), Probe::Udp(65535)] {
            assert_eq!(probe.to_string().parse(), Ok(probe));
        }
    }

    #[tokio::test]
    async fn an_answer_that_comes_late_counts_and_one_in_another_name_does_not() {
        let [from, to] = [(); 2].map(|()| async {
            UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))
                .await
                .expect("a socket")
        });
        let (from, to) = (from.await, to.await);
        from.connect(to.local_addr().expect("bound"))
            .await
            .expect("connected");
        // Answers the first token in its own name, and in another's, once the second has come.
        let responder = tokio::spawn(async move {
            let mut tokens = Vec::new();
            let mut buffer = [0; 512];
            loop {
                let (length, sender) = to.recv_from(&mut buffer).await.expect("received");
                tokens.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
                if tokens.len() == 2 {
                    for name in ["a/namesake", "a/meant"] {
                        let text = answer(name, &tokens[0]);
                        to.send_to(text.as_bytes(), sender).await.expect("sent");
                    }
                }
            }
        });
        let patience = Duration::from_millis(200);
        let meant = exchange(&from, |name| name == "a/meant", patience)
            .await
            .expect("sent");
        assert!(
            meant.as_ref().is_some_and(|(_, rtt)| *rtt >= patience),
            "{meant:?}"
        );
        responder.abort();
        let _ = responder.await;
    }

    #[test]
    fn what_is_no_probe_is_refused_by_name() {
        for text in [
            "",
            "icmp:1",
            "tcp",
            "tcp:",
            "tcp:0",
            "tcp:65536",
            "tcp:http",
            "sctp:80",
            "udp:-1",
        ] {
            let message = text.parse::<Probe>().unwrap_err().to_string();
            assert!(
                message.contains(text) && message.contains("tcp:PORT"),
                "{message}"
            );
        }
    }

    #[test]
    fn the_token_of_an_echo_request_is_found_in_its_frame_and_nowhere_else() {
        let token = Token(Uuid::new_v4());
        let mut v4 = vec![0; 12];
        v4.extend([
            0x08, 0x00, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ]);
        v4.extend(echo_request(ECHO_REQUEST_V4, token));
        assert_eq!(echo_request_token(&v4), Some(token));
        let mut v6 = vec![0; 12];
        v6.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 58, 64]);
        v6.extend([0; 32]);
        v6.extend(echo_request(ECHO_REQUEST_V6, token));
        assert_eq!(echo_request_token(&v6), Some(token));
        let mut reply = v4.clone();
        reply[34] = ECHO_REPLY_V4;
        assert_eq!(echo_request_token(&reply), None);
        for end in 0..v4.len() {
            assert_eq!(echo_request_token(&v4[..end]), None);
        }
    }

    #[test]
    fn the_checksum_of_a_message_that_holds_it_is_zero() {
        let message = echo_request(ECHO_REQUEST_V4, Token(Uuid::nil()));
        assert_eq!(internet_checksum(&message), 0);
    }
}
