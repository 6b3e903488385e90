//! Generic netlink, as much of it as two questions need: "which number has this family?" and "do this".
//!
//! One request, one acknowledgement, over a blocking socket with a receive timeout. Written here because the ioctl way
//! needs `unsafe`, and the `ethtool` program is one more thing a node would have to have.
//! Source: `linux/netlink.h`, `linux/genetlink.h`.
//!
//! Must not: panic on what the kernel answers.

use std::{io, os::fd::AsRawFd, time::Duration};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send,
    setsockopt, socket, sockopt::ReceiveTimeout,
};

/// The number of a generic netlink family. Asking makes the kernel load the module that provides it.
///
/// # Errors
/// `NotFound` when the kernel knows no such family.
pub fn family(name: &str) -> io::Result<u16> {
    const GENL_ID_CTRL: u16 = 0x10;
    const CTRL_CMD_GETFAMILY: u8 = 3;
    const CTRL_ATTR_FAMILY_ID: u16 = 1;
    const CTRL_ATTR_FAMILY_NAME: u16 = 2;
    let mut attributes = Vec::new();
    string(&mut attributes, CTRL_ATTR_FAMILY_NAME, name);
    let answer = request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &attributes)?;
    parse(&answer)
        .into_iter()
        .find(|(kind, _)| *kind == CTRL_ATTR_FAMILY_ID)
        .and_then(|(_, value)| Some(u16::from_ne_bytes(value.get(..2)?.try_into().ok()?)))
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("generic netlink family {name}: the kernel's answer has no number"),
            )
        })
}

/// Sends one command in the calling thread's network namespace and returns the attributes of the answer, if there was
/// one before the acknowledgement.
///
/// # Errors
/// What the kernel answered.
pub fn request(family: u16, command: u8, attributes: &[u8]) -> io::Result<Vec<u8>> {
    const NLM_F_REQUEST_ACK: u16 = 0x01 | 0x04;
    const ANSWER_MAX: usize = 64 * 1024;
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkGeneric,
    )?;
    let timeout = nix::sys::time::TimeVal::new(TIMEOUT.as_secs().try_into().unwrap_or(5), 0);
    setsockopt(&socket, ReceiveTimeout, &timeout)?;
    connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    let length = u32::try_from(attributes.len().saturating_add(HEADERS))
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "netlink request too long"))?;
    let mut message = Vec::with_capacity(attributes.len().saturating_add(HEADERS));
    message.extend(length.to_ne_bytes());
    message.extend(family.to_ne_bytes());
    message.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
    message.extend([0; 8]); // sequence and port: one request per socket, so neither tells anything
    message.extend([command, 1, 0, 0]);
    message.extend(attributes);
    send(socket.as_raw_fd(), &message, MsgFlags::empty())?;
    let mut answer = Vec::new();
    let mut buffer = vec![0; ANSWER_MAX];
    loop {
        let received = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let mut rest = buffer.get(..received).unwrap_or_default();
        while let Some((kind, body, next)) = next_message(rest) {
            if kind == NLMSG_ERROR {
                let code = body
                    .get(..4)
                    .and_then(|bytes| bytes.try_into().ok())
                    .map_or(0, i32::from_ne_bytes);
                return match code {
                    0 => Ok(answer),
                    code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                };
            }
            answer = body.get(4..).unwrap_or_default().to_vec();
            rest = next;
        }
    }
}

/// Appends a string attribute.
pub fn string(attributes: &mut Vec<u8>, kind: u16, value: &str) {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    attribute(attributes, kind, &bytes);
}

/// Appends an attribute that holds attributes.
pub fn nested(attributes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    const NLA_F_NESTED: u16 = 1 << 15;
    attribute(attributes, kind | NLA_F_NESTED, value);
}

/// Appends an attribute. A value past 64 KiB cannot be said in netlink; such an attribute is left out.
pub fn attribute(attributes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let Ok(length) = u16::try_from(value.len().saturating_add(4)) else {
        return;
    };
    attributes.extend(length.to_ne_bytes());
    attributes.extend(kind.to_ne_bytes());
    attributes.extend(value);
    attributes.resize(attributes.len().next_multiple_of(4), 0);
}

fn parse(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut attributes = Vec::new();
    while let Some((length, kind)) = u16_at(bytes, 0).zip(u16_at(bytes, 2)) {
        let Some(value) = bytes.get(4..usize::from(length)) else {
            break;
        };
        attributes.push((kind, value));
        let Some(rest) = bytes.get(usize::from(length).next_multiple_of(4)..) else {
            break;
        };
        bytes = rest;
    }
    attributes
}

/// Message type, what follows its header, and the messages behind it.
fn next_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?)).ok()?;
    let body = bytes.get(NETLINK_HEADER..length)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((u16_at(bytes, 4)?, body, rest))
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(
        bytes.get(offset..)?.get(..2)?.try_into().ok()?,
    ))
}

const NETLINK_HEADER: usize = 16;
const HEADERS: usize = NETLINK_HEADER + 4;
const NLMSG_ERROR: u16 = 2;
const TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_family_knows_its_own_number() {
        assert_eq!(family("nlctrl").unwrap(), 0x10);
    }

    #[test]
    fn an_unknown_family_is_not_found() {
        assert_eq!(
            family("weft-no-such").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn an_answer_cut_anywhere_is_read_without_panic() {
        let mut bytes = Vec::new();
        string(&mut bytes, 2, "nlctrl");
        attribute(&mut bytes, 1, &16u16.to_ne_bytes());
        assert_eq!(parse(&bytes).len(), 2);
        for end in 0..bytes.len() {
            assert!(parse(&bytes[..end]).len() <= 2);
            let _ = next_message(&bytes[..end]);
        }
    }
}
