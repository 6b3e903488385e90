//! The bytes of the packets that are made out of others: ICMP errors and TCP resets.
//!
//! ```text
//!   Ethernet │ IP │ …            as it was handed over, perhaps cut short
//!   Ethernet │ IP │ ICMP │ IP │ …    the error: the same addresses (the request's actions write others), and as much of the packet as fits
//! ```
//!
//! Sources: RFC 792; RFC 1122 §3.2.2 and RFC 1812 §4.3.2 (what an error is never made about: an error, a later fragment, a broadcast, a source that is no single
//! host; 576 bytes at most); RFC 4443 §2.4 (likewise, 1,280 bytes); RFC 9293 §3.5.2 (resets); RFC 1191, RFC 8201 (the MTU).
//!
//! Invariants: any bytes give a packet or none, never a panic; checksums and lengths of a made packet are right; none is longer than 1,294 bytes.
//! Must not: know why a packet is made.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

use super::{Opcode, Request};

/// The packet that a request asks for, made out of the one that came with it; `None` if none is owed, or the bytes are no packet that it can be made out of.
#[must_use]
pub fn make(request: &Request, packet: &[u8]) -> Option<Vec<u8>> {
    let mut ethernet = Ethernet::parse(packet)?;
    if ethernet.destination.first()? & 1 == 1 {
        return None;
    }
    let mut ip = match ethernet.kind {
        IP4 => Ip::parse4(ethernet.body)?,
        IP6 => Ip::parse6(ethernet.body)?,
        _ => return None,
    };
    if request.opcode == Opcode::Reject {
        std::mem::swap(&mut ethernet.source, &mut ethernet.destination);
        std::mem::swap(&mut ip.source, &mut ip.destination);
    }
    let is_ip4 = ethernet.kind == IP4;
    let made = match request.opcode {
        Opcode::Icmp4 if is_ip4 => ip.error(request.message, request.frag_mtu),
        Opcode::Icmp6 if !is_ip4 => ip.error(request.message, request.frag_mtu),
        Opcode::TcpReset => ip.reset(),
        Opcode::Reject if ip.protocol == TCP => ip.reset(),
        // Port unreachable.
        Opcode::Reject => ip.error(if is_ip4 { (3, 3) } else { (1, 4) }, 0),
        Opcode::Icmp4 | Opcode::Icmp6 => None,
    }?;
    let mut bytes = Vec::with_capacity(made.len().saturating_add(14));
    bytes.extend_from_slice(ethernet.destination);
    bytes.extend_from_slice(ethernet.source);
    bytes.extend_from_slice(&ethernet.kind.to_be_bytes());
    bytes.extend(made);
    Some(bytes)
}

struct Ethernet<'a> {
    destination: &'a [u8],
    source: &'a [u8],
    kind: u16,
    body: &'a [u8],
}

impl Ethernet<'_> {
    fn parse(packet: &[u8]) -> Option<Ethernet<'_>> {
        let (destination, rest) = packet.split_at_checked(6)?;
        let (source, rest) = rest.split_at_checked(6)?;
        let (kind, body) = rest.split_at_checked(2)?;
        let kind = u16::from_be_bytes(kind.try_into().ok()?);
        Some(Ethernet {
            destination,
            source,
            kind,
            body,
        })
    }
}

/// A packet about which something may be said.
struct Ip<'a> {
    /// Four or sixteen bytes each.
    source: &'a [u8],
    destination: &'a [u8],
    /// What the transport header says it is.
    protocol: u8,
    /// Type of service, or traffic class.
    class: u8,
    /// From the transport header on, as far as it is there.
    transport: &'a [u8],
    /// Bytes of all of that, there or not.
    transport_length: usize,
    /// All of it, as far as it is there.
    whole: &'a [u8],
}

impl<'a> Ip<'a> {
    fn parse4(body: &'a [u8]) -> Option<Ip<'a>> {
        let first = *body.first()?;
        let header_length = usize::from(first & 0xf).checked_mul(4)?;
        let header = body.get(..header_length)?;
        if first >> 4 != 4 || header_length < 20 || checksum(&[header]) != 0 {
            return None;
        }
        let length = usize::from(number(header, 2)?);
        let is_later_fragment = number(header, 6)? & 0x1fff != 0;
        // What follows the packet is padding; what is missing was not handed over.
        let whole = body.get(..length).unwrap_or(body);
        let ip = Ip {
            source: header.get(12..16)?,
            destination: header.get(16..20)?,
            protocol: *header.get(9)?,
            class: *header.get(1)?,
            transport: whole.get(header_length..)?,
            transport_length: length.checked_sub(header_length)?,
            whole,
        };
        let is_host = |address: &[u8]| !matches!(address.first(), None | Some(0 | 127 | 224..));
        let is_error = ip.protocol == ICMP && matches!(ip.transport.first()?, 3 | 4 | 5 | 11 | 12);
        let is_owed = !is_later_fragment
            && !is_error
            && is_host(ip.source)
            && ip.destination.first().is_some_and(|first| *first < 224);
        is_owed.then_some(ip)
    }

    fn parse6(body: &'a [u8]) -> Option<Ip<'a>> {
        let header = body.get(..40)?;
        let first = number(header, 0)?;
        if first >> 12 != 6 {
            return None;
        }
        let length = usize::from(number(header, 4)?).checked_add(40)?;
        let whole = body.get(..length).unwrap_or(body);
        let (mut protocol, mut at) = (*header.get(6)?, 40usize);
        for _ in 0..EXTENSIONS_MAX {
            let next = match protocol {
                // Hop-by-hop, routing and destination options: length in units of 8 bytes, the first not counted.
                0 | 43 | 60 => {
                    let units = usize::from(*whole.get(at.checked_add(1)?)?);
                    units.checked_add(1)?.checked_mul(8)?
                }
                44 => {
                    if number(whole, at.checked_add(2)?)? >> 3 != 0 {
                        return None;
                    }
                    8
                }
                _ => break,
            };
            protocol = *whole.get(at)?;
            at = at.checked_add(next)?;
        }
        let ip = Ip {
            source: header.get(8..24)?,
            destination: header.get(24..40)?,
            protocol,
            class: u8::try_from(first >> 4 & 0xff).ok()?,
            transport: whole.get(at..)?,
            transport_length: length.checked_sub(at)?,
            whole,
        };
        let is_error = match ip.protocol {
            ICMP6 => matches!(ip.transport.first()?, 0..128 | 137),
            // Deeper than anybody reads: it may be one.
            0 | 43 | 44 | 60 => true,
            _ => false,
        };
        let (rest, last) = ip.source.split_at_checked(15)?;
        let is_nobody = rest.iter().all(|byte| *byte == 0) && last.first()? <= &1;
        let is_owed = !is_error
            && !is_nobody
            && ip.source.first()? != &0xff
            && ip.destination.first()? != &0xff;
        is_owed.then_some(ip)
    }

    fn is_ip4(&self) -> bool {
        self.source.len() == 4
    }

    /// An ICMP error that quotes the packet.
    fn error(&self, (kind, code): (u8, u8), mtu: u16) -> Option<Vec<u8>> {
        let (protocol, most) = match self.is_ip4() {
            true => (ICMP, IP4_MOST),
            false => (ICMP6, IP6_MOST),
        };
        let quoted = self.whole.get(..most).unwrap_or(self.whole);
        let mut message = vec![kind, code, 0, 0, 0, 0];
        // RFC 1191 §4 and RFC 4443 §3.2: in both, the low half of what follows the checksum.
        message.extend_from_slice(&mtu.to_be_bytes());
        message.extend_from_slice(quoted);
        // Network control, as routers' messages have it (RFC 1812 §4.3.2.5).
        let class = if self.is_ip4() { 0xc0 } else { 0 };
        self.packet(protocol, class, message, 2)
    }

    /// The reset that a host sends which knows of no such connection.
    fn reset(&self) -> Option<Vec<u8>> {
        if self.protocol != TCP {
            return None;
        }
        let header = self.transport.get(..20)?;
        let flags = *header.get(13)?;
        if flags & RST != 0 {
            return None;
        }
        let (sequence, acknowledged) = (header.get(4..8)?, header.get(8..12)?);
        let header_length = usize::from(header.get(12)? >> 4).checked_mul(4)?;
        let mut message = Vec::with_capacity(20);
        message.extend_from_slice(header.get(2..4)?);
        message.extend_from_slice(header.get(..2)?);
        if flags & ACK != 0 {
            message.extend_from_slice(acknowledged);
            message.extend_from_slice(&[0, 0, 0, 0, 5 << 4, RST]);
        } else {
            let data = self.transport_length.checked_sub(header_length)?;
            let data = u32::try_from(data).ok()?;
            // SYN and FIN take a number each.
            let ends = u32::from(flags & FIN != 0).checked_add(u32::from(flags & SYN != 0))?;
            let next = u32::from_be_bytes(sequence.try_into().ok()?);
            let next = next.wrapping_add(data).wrapping_add(ends);
            message.extend_from_slice(&[0, 0, 0, 0]);
            message.extend_from_slice(&next.to_be_bytes());
            message.extend_from_slice(&[5 << 4, RST | ACK]);
        }
        message.extend_from_slice(&[0, 0, 0, 0, 0, 0]);
        self.packet(TCP, self.class & 0xfc, message, 16)
    }

    /// An IP packet between the same addresses; the transport's checksum goes where `sum_at` says.
    fn packet(
        &self,
        protocol: u8,
        class: u8,
        mut message: Vec<u8>,
        sum_at: usize,
    ) -> Option<Vec<u8>> {
        let length = u16::try_from(message.len()).ok()?;
        let mut pseudo = Vec::with_capacity(40);
        if protocol != ICMP {
            pseudo.extend_from_slice(self.source);
            pseudo.extend_from_slice(self.destination);
            pseudo.extend_from_slice(&u32::from(length).to_be_bytes());
            pseudo.extend_from_slice(&[0, 0, 0, protocol]);
        }
        let sum = checksum(&[&pseudo, &message]);
        patch(&mut message, sum_at, sum);
        let mut bytes = Vec::with_capacity(message.len().saturating_add(40));
        if self.is_ip4() {
            bytes.extend_from_slice(&[0x45, class]);
            bytes.extend_from_slice(&length.checked_add(20)?.to_be_bytes());
            // Never cut into fragments, and so without a number to tell them by (RFC 6864 §4.1).
            bytes.extend_from_slice(&[0, 0, 0x40, 0, 255, protocol, 0, 0]);
            bytes.extend_from_slice(self.source);
            bytes.extend_from_slice(self.destination);
            let sum = checksum(&[&bytes]);
            patch(&mut bytes, 10, sum);
        } else {
            bytes.extend_from_slice(&[0x60 | class >> 4, class << 4, 0, 0]);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&[protocol, 255]);
            bytes.extend_from_slice(self.source);
            bytes.extend_from_slice(self.destination);
        }
        bytes.extend(message);
        Some(bytes)
    }
}

/// Two bytes as a number.
fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(pair.try_into().ok()?))
}

fn patch(bytes: &mut [u8], at: usize, sum: u16) {
    for (byte, value) in bytes.iter_mut().skip(at).zip(sum.to_be_bytes()) {
        *byte = value;
    }
}

/// The Internet checksum (RFC 1071) of pieces, each but the last of even length: 0 when one is in there and right.
pub(crate) fn checksum(pieces: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for piece in pieces {
        for pair in piece.chunks(2) {
            let word = match pair {
                [high, low] => u16::from_be_bytes([*high, *low]),
                [high] => u16::from_be_bytes([*high, 0]),
                _ => 0,
            };
            sum = sum.saturating_add(u64::from(word));
        }
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff).saturating_add(sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

const IP4: u16 = 0x0800;
const IP6: u16 = 0x86dd;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const ICMP6: u8 = 58;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
/// Bytes quoted: 576 and 1,280 less the headers before them.
const IP4_MOST: usize = 576 - 28;
const IP6_MOST: usize = 1280 - 48;
/// Extension headers that are read before a packet is left alone.
const EXTENSIONS_MAX: usize = 8;

#[cfg(test)]
mod tests;
