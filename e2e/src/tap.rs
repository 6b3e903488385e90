//! A tap on an interface: every frame that enters or leaves it, and frames of one's own making.
//!
//! A packet socket (packet(7)), made inside the interface's network namespace, used from anywhere.
//!
//! Must not: change a frame.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

use nix::{
    ifaddrs::getifaddrs,
    sys::socket::{
        AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, send,
        setsockopt, socket, sockopt::RcvBuf,
    },
};
use tokio::{
    io::Interest,
    net::UdpSocket,
    time::{Instant, timeout_at},
};
use weft_cni::netns::Netns;

/// Which way a frame goes, seen from the namespace that holds the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Received.
    In,
    /// Sent.
    Out,
}

/// A frame that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which way it went.
    pub direction: Direction,
    /// From the Ethernet header on.
    pub bytes: Vec<u8>,
}

/// A tap on an interface.
#[derive(Debug)]
pub struct Tap {
    /// A packet socket: to tokio one datagram socket is like another, and its safe wrapper for them is this.
    socket: UdpSocket,
    interface: usize,
}

impl Tap {
    /// Opens a tap; it sees what comes from now on. Needs a tokio runtime.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn open(netns: &Netns, interface: &str) -> io::Result<Tap> {
        let (socket, interface) = netns.run(|| open(interface)).and_then(|result| result)?;
        Ok(Tap {
            socket: UdpSocket::from_std(socket.into())?,
            interface,
        })
    }

    /// Sends a frame as it is.
    ///
    /// # Errors
    /// What the kernel says, for example that the interface is down or the frame exceeds its MTU.
    pub async fn send(&self, frame: &[u8]) -> io::Result<()> {
        let send = || {
            let sent = send(self.socket.as_raw_fd(), frame, MsgFlags::empty());
            sent.map(drop).map_err(io::Error::from)
        };
        self.socket.async_io(Interest::WRITABLE, send).await
    }

    /// The next frame.
    ///
    /// # Errors
    /// When the interface is gone.
    pub async fn next(&self) -> io::Result<Frame> {
        let mut buffer = vec![0; FRAME_MAX];
        loop {
            let receive = || self.receive_into(&mut buffer);
            if let Some(frame) = self.socket.async_io(Interest::READABLE, receive).await? {
                return Ok(frame);
            }
        }
    }

    /// What has come and was not read yet, without waiting.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn pending(&self) -> io::Result<Vec<Frame>> {
        let mut buffer = vec![0; FRAME_MAX];
        let mut frames = Vec::new();
        loop {
            match self.receive_into(&mut buffer) {
                Ok(frame) => frames.extend(frame),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(frames),
                Err(error) => return Err(error),
            }
        }
    }

    /// The first received frame that is wanted, if one comes in time.
    pub async fn receive(
        &self,
        time: Duration,
        mut is_wanted: impl FnMut(&[u8]) -> bool,
    ) -> Option<Vec<u8>> {
        let deadline = Instant::now() + time;
        loop {
            let frame = timeout_at(deadline, self.next()).await.ok()?.ok()?;
            if frame.direction == Direction::In && is_wanted(&frame.bytes) {
                return Some(frame.bytes);
            }
        }
    }

    /// `None`: a frame of another interface, from before the socket was bound to this one.
    fn receive_into(&self, buffer: &mut [u8]) -> io::Result<Option<Frame>> {
        let (length, from) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), buffer)?;
        let from = from.filter(|from| from.ifindex() == self.interface);
        Ok(from.map(|from| Frame {
            direction: if from.pkttype() == PACKET_OUTGOING {
                Direction::Out
            } else {
                Direction::In
            },
            bytes: buffer[..length].to_vec(),
        }))
    }
}

/// In the calling thread's network namespace.
fn open(interface: &str) -> io::Result<(OwnedFd, usize)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        flags,
        SockProtocol::EthAll,
    )?;
    setsockopt(&socket, RcvBuf, &RECEIVE_BUFFER)?;
    // The list of interfaces holds addresses of just the kind that `bind` wants.
    let address = getifaddrs()?
        .filter(|found| found.interface_name == interface)
        .find_map(|found| found.address?.as_link_addr().copied())
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("no interface {interface}"))
        })?;
    bind(socket.as_raw_fd(), &address)?;
    Ok((socket, address.ifindex()))
}

const FRAME_MAX: usize = 70_000;
const RECEIVE_BUFFER: usize = 4 << 20;
/// `linux/if_packet.h`.
const PACKET_OUTGOING: u8 = 4;
