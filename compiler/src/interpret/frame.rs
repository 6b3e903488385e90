//! Packets as bytes: Ethernet with ARP, IPv4, IPv6, ICMP, ICMPv6, neighbour discovery, TCP and UDP, checksums right.
//!
//! A [`Frame`] is the field values that flows see and, beside them, the bytes that they do not: what follows the ports of UDP, the flags of TCP,
//! the checksum of ICMP; of any other protocol all of it.
//!
//! Invariants: `parse(build(frame)) == frame` for a frame whose fields fit together; parsing checks every checksum and length, and refuses rather
//! than guesses. Not kept: IP options, IPv6 extension headers before the transport, TCP's options, sequence numbers and window, and the options of
//! neighbour discovery after the first.
//! Must not: panic on any bytes.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

use weft_expr::{Field, Packet, Symbol};

/// A packet's fields, and the bytes that are no field.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Frame {
    /// What flows see.
    pub fields: Packet,
    /// The rest.
    pub payload: Vec<u8>,
}

/// Bytes that are no packet this module knows.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Too few bytes.
    #[error("the {0} is cut short")]
    Short(&'static str),
    /// A field with a value that cannot be.
    #[error("the {0} is malformed")]
    Malformed(&'static str),
    /// A checksum that does not add up.
    #[error("the {0} checksum is wrong")]
    Checksum(&'static str),
}

impl Frame {
    /// Reads a frame, without Ethernet's own checksum. Padding after an IP packet or ARP is ignored.
    ///
    /// # Errors
    /// When it is cut short, malformed, or a checksum is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Frame, FrameError> {
        let mut reader = Reader {
            rest: bytes,
            what: "Ethernet header",
        };
        let mut frame = Frame::default();
        frame.set(Field::EthDst, reader.number(6)?);
        frame.set(Field::EthSrc, reader.number(6)?);
        let mut kind = reader.number(2)?;
        if kind == VLAN {
            frame.set(Field::VlanTci, reader.number(2)? | VLAN_PRESENT);
            kind = reader.number(2)?;
        }
        frame.set(Field::EthType, kind);
        match kind {
            ARP => frame.parse_arp(reader)?,
            IP4 => frame.parse_ip4(reader)?,
            IP6 => frame.parse_ip6(reader)?,
            _ => frame.payload = reader.rest.to_vec(),
        }
        Ok(frame)
    }

    /// The bytes, with lengths and checksums. Nothing is padded.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, 6, self.get(Field::EthDst));
        put(&mut bytes, 6, self.get(Field::EthSrc));
        if self.get(Field::VlanTci) != 0 {
            put(&mut bytes, 2, VLAN);
            put(&mut bytes, 2, self.get(Field::VlanTci) & !VLAN_PRESENT);
        }
        put(&mut bytes, 2, self.get(Field::EthType));
        bytes.extend(match self.get(Field::EthType) {
            ARP => self.build_arp(),
            IP4 => self.build_ip4(),
            IP6 => self.build_ip6(),
            _ => self.payload.clone(),
        });
        bytes
    }

    fn get(&self, field: Field) -> u128 {
        self.fields.field(field)
    }

    fn set(&mut self, field: Field, value: u128) {
        self.fields.set_field(field, value);
    }

    fn parse_arp(&mut self, mut reader: Reader) -> Result<(), FrameError> {
        reader.what = "ARP message";
        // Ethernet, IPv4, and the lengths of their addresses (RFC 826).
        if reader.number(6)? != 0x0001_0800_0604 {
            return Err(FrameError::Malformed("ARP message"));
        }
        for (field, length) in ARP_FIELDS {
            self.set(field, reader.number(length)?);
        }
        Ok(())
    }

    fn build_arp(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, 6, 0x0001_0800_0604);
        for (field, length) in ARP_FIELDS {
            put(&mut bytes, length, self.get(field));
        }
        bytes
    }

    fn parse_ip4(&mut self, reader: Reader) -> Result<(), FrameError> {
        let mut reader = Reader {
            what: "IPv4 header",
            ..reader
        };
        let all = reader.rest;
        let first = reader.number(1)?;
        let header_length = usize::try_from(first & 0xf).unwrap_or(0).saturating_mul(4);
        if first >> 4 != 4 || header_length < 20 {
            return Err(FrameError::Malformed("IPv4 header"));
        }
        self.set_traffic_class(reader.number(1)?);
        let length = usize::try_from(reader.number(2)?).unwrap_or(usize::MAX);
        reader.number(2)?;
        let fragment = reader.number(2)?;
        self.set_fragment(fragment & 0x1fff, fragment & 0x2000 != 0);
        self.set(Field::IpTtl, reader.number(1)?);
        self.set(Field::IpProto, reader.number(1)?);
        reader.number(2)?;
        self.set(Field::Ip4Src, reader.number(4)?);
        self.set(Field::Ip4Dst, reader.number(4)?);
        let header = all
            .get(..header_length)
            .ok_or(FrameError::Short("IPv4 header"))?;
        if checksum(&[header]) != 0 {
            return Err(FrameError::Checksum("IPv4 header"));
        }
        let body = all
            .get(header_length..length)
            .ok_or(FrameError::Short("IPv4 packet"))?;
        self.parse_transport(body)
    }

    fn build_ip4(&self) -> Vec<u8> {
        let body = self.build_transport();
        let mut header = vec![0x45];
        put(&mut header, 1, self.traffic_class());
        put(&mut header, 2, length_of(&body).saturating_add(20));
        put(&mut header, 2, 0);
        let (offset, more) = self.fragment();
        put(&mut header, 2, offset | if more { 0x2000 } else { 0 });
        put(&mut header, 1, self.get(Field::IpTtl));
        put(&mut header, 1, self.get(Field::IpProto));
        put(&mut header, 2, 0);
        put(&mut header, 4, self.get(Field::Ip4Src));
        put(&mut header, 4, self.get(Field::Ip4Dst));
        let sum = checksum(&[&header]);
        patch(&mut header, 10, sum);
        header.extend(body);
        header
    }

    fn parse_ip6(&mut self, reader: Reader) -> Result<(), FrameError> {
        let mut reader = Reader {
            what: "IPv6 header",
            ..reader
        };
        let first = reader.number(4)?;
        if first >> 28 != 6 {
            return Err(FrameError::Malformed("IPv6 header"));
        }
        self.set_traffic_class(first >> 20 & 0xff);
        self.set(Field::Ip6Label, first & 0xf_ffff);
        let length = usize::try_from(reader.number(2)?).unwrap_or(usize::MAX);
        let mut proto = reader.number(1)?;
        self.set(Field::IpTtl, reader.number(1)?);
        self.set(Field::Ip6Src, reader.number(16)?);
        self.set(Field::Ip6Dst, reader.number(16)?);
        let body = reader
            .rest
            .get(..length)
            .ok_or(FrameError::Short("IPv6 packet"))?;
        let mut reader = Reader {
            rest: body,
            what: "IPv6 extension header",
        };
        loop {
            match proto {
                // Hop-by-hop, routing and destination options: length in units of 8 bytes, the first not counted.
                0 | 43 | 60 => {
                    proto = reader.number(1)?;
                    let units = usize::try_from(reader.number(1)?).unwrap_or(usize::MAX);
                    reader.take(units.saturating_mul(8).saturating_add(6))?;
                }
                44 => {
                    proto = reader.number(1)?;
                    reader.number(1)?;
                    let fragment = reader.number(2)?;
                    reader.number(4)?;
                    self.set_fragment(fragment >> 3, fragment & 1 != 0);
                }
                _ => break,
            }
        }
        self.set(Field::IpProto, proto);
        self.parse_transport(reader.rest)
    }

    fn build_ip6(&self) -> Vec<u8> {
        let mut body = self.build_transport();
        let mut proto = self.get(Field::IpProto);
        if self.get(Field::IpFrag) != 0 {
            let (offset, more) = self.fragment();
            let mut extended = Vec::new();
            put(&mut extended, 2, proto << 8);
            put(&mut extended, 2, offset << 3 | u128::from(more));
            put(&mut extended, 4, 0);
            extended.append(&mut body);
            (body, proto) = (extended, 44);
        }
        let mut bytes = Vec::new();
        put(
            &mut bytes,
            4,
            6 << 28 | self.traffic_class() << 20 | self.get(Field::Ip6Label),
        );
        put(&mut bytes, 2, length_of(&body));
        put(&mut bytes, 1, proto);
        put(&mut bytes, 1, self.get(Field::IpTtl));
        put(&mut bytes, 16, self.get(Field::Ip6Src));
        put(&mut bytes, 16, self.get(Field::Ip6Dst));
        bytes.extend(body);
        bytes
    }

    fn set_traffic_class(&mut self, class: u128) {
        self.set(Field::IpDscp, class >> 2);
        self.set(Field::IpEcn, class);
    }

    fn traffic_class(&self) -> u128 {
        self.get(Field::IpDscp) << 2 | self.get(Field::IpEcn)
    }

    /// Bit 0: a fragment; bit 1: not the first.
    fn set_fragment(&mut self, offset: u128, more: bool) {
        let is_later = u128::from(offset != 0);
        self.set(Field::IpFrag, is_later << 1 | u128::from(more) | is_later);
    }

    /// A later fragment is built as the last one, 8 bytes in: what it is of is not known here.
    fn fragment(&self) -> (u128, bool) {
        let is_later = self.get(Field::IpFrag) & 2 != 0;
        (u128::from(is_later), self.get(Field::IpFrag) == 1)
    }

    fn parse_transport(&mut self, body: &[u8]) -> Result<(), FrameError> {
        let reader = Reader {
            rest: body,
            what: "transport header",
        };
        // Of a fragment not even the first has all that its checksum covers.
        if self.get(Field::IpFrag) & 2 != 0 {
            self.payload = body.to_vec();
            return Ok(());
        }
        let is_whole = self.get(Field::IpFrag) == 0;
        match (self.get(Field::EthType), self.get(Field::IpProto)) {
            (IP4, ICMP) => self.parse_icmp(reader, is_whole),
            (IP6, ICMP6) => self.parse_icmp6(reader, is_whole),
            (_, TCP) => self.parse_tcp(reader, is_whole),
            (_, UDP) => self.parse_udp(reader, is_whole),
            (_, SCTP) => {
                let mut reader = reader;
                self.set(Field::SctpSrc, reader.number(2)?);
                self.set(Field::SctpDst, reader.number(2)?);
                self.payload = reader.rest.to_vec();
                Ok(())
            }
            _ => {
                self.payload = body.to_vec();
                Ok(())
            }
        }
    }

    fn build_transport(&self) -> Vec<u8> {
        if self.get(Field::IpFrag) & 2 != 0 {
            return self.payload.clone();
        }
        let mut bytes = Vec::new();
        let sum_at = match (self.get(Field::EthType), self.get(Field::IpProto)) {
            (IP4, ICMP) => {
                put(&mut bytes, 1, self.get(Field::Icmp4Type));
                put(&mut bytes, 3, self.get(Field::Icmp4Code) << 16);
                bytes.extend(&self.payload);
                let sum = checksum(&[&bytes]);
                patch(&mut bytes, 2, sum);
                return bytes;
            }
            (IP6, ICMP6) => {
                put(&mut bytes, 1, self.get(Field::Icmp6Type));
                put(&mut bytes, 3, self.get(Field::Icmp6Code) << 16);
                self.build_nd(&mut bytes);
                2
            }
            (_, TCP) => {
                put(&mut bytes, 2, self.get(Field::TcpSrc));
                put(&mut bytes, 2, self.get(Field::TcpDst));
                put(&mut bytes, 8, 0);
                put(&mut bytes, 2, 5 << 12 | self.get(Field::TcpFlags));
                put(&mut bytes, 2, 0xffff);
                put(&mut bytes, 4, 0);
                16
            }
            (_, UDP) => {
                put(&mut bytes, 2, self.get(Field::UdpSrc));
                put(&mut bytes, 2, self.get(Field::UdpDst));
                put(&mut bytes, 2, length_of(&self.payload).saturating_add(8));
                put(&mut bytes, 2, 0);
                6
            }
            (_, SCTP) => {
                put(&mut bytes, 2, self.get(Field::SctpSrc));
                put(&mut bytes, 2, self.get(Field::SctpDst));
                bytes.extend(&self.payload);
                return bytes;
            }
            _ => return self.payload.clone(),
        };
        bytes.extend(&self.payload);
        let sum = checksum(&[&self.pseudo_header(&bytes), &bytes]);
        // UDP says "no checksum" with 0, and writes a sum of 0 as its other form (RFC 768).
        let sum = if sum == 0 && self.get(Field::IpProto) == UDP {
            0xffff
        } else {
            sum
        };
        patch(&mut bytes, sum_at, sum);
        bytes
    }

    /// What TCP, UDP and ICMPv6 sum up besides themselves (RFC 9293 §3.1, RFC 8200 §8.1).
    fn pseudo_header(&self, transport: &[u8]) -> Vec<u8> {
        let (source, destination, width) = match self.get(Field::EthType) {
            IP4 => (Field::Ip4Src, Field::Ip4Dst, 4),
            _ => (Field::Ip6Src, Field::Ip6Dst, 16),
        };
        let mut bytes = Vec::new();
        put(&mut bytes, width, self.get(source));
        put(&mut bytes, width, self.get(destination));
        put(&mut bytes, 4, length_of(transport));
        put(&mut bytes, 4, self.get(Field::IpProto));
        bytes
    }

    fn check(
        &self,
        is_whole: bool,
        transport: &[u8],
        what: &'static str,
    ) -> Result<(), FrameError> {
        match is_whole && checksum(&[&self.pseudo_header(transport), transport]) != 0 {
            true => Err(FrameError::Checksum(what)),
            false => Ok(()),
        }
    }

    fn parse_icmp(&mut self, mut reader: Reader, is_whole: bool) -> Result<(), FrameError> {
        if is_whole && checksum(&[reader.rest]) != 0 {
            return Err(FrameError::Checksum("ICMP"));
        }
        self.set(Field::Icmp4Type, reader.number(1)?);
        self.set(Field::Icmp4Code, reader.number(1)?);
        reader.number(2)?;
        self.payload = reader.rest.to_vec();
        Ok(())
    }

    fn parse_icmp6(&mut self, mut reader: Reader, is_whole: bool) -> Result<(), FrameError> {
        self.check(is_whole, reader.rest, "ICMPv6")?;
        self.set(Field::Icmp6Type, reader.number(1)?);
        self.set(Field::Icmp6Code, reader.number(1)?);
        reader.number(2)?;
        if !self.is_nd() {
            self.payload = reader.rest.to_vec();
            return Ok(());
        }
        reader.what = "neighbour discovery message";
        self.set(Field::NdReserved, reader.number(4)?);
        self.set(Field::NdTarget, reader.number(16)?);
        if reader.rest.is_empty() {
            return Ok(());
        }
        let kind = reader.number(1)?;
        let units = usize::try_from(reader.number(1)?).unwrap_or(0);
        let Some(rest) = units
            .checked_mul(8)
            .and_then(|length| length.checked_sub(2))
        else {
            return Err(FrameError::Malformed("option of neighbour discovery"));
        };
        let mut option = Reader {
            rest: reader.take(rest)?,
            what: "option of neighbour discovery",
        };
        let field = match kind {
            1 => Field::NdSll,
            2 => Field::NdTll,
            _ => return Ok(()),
        };
        self.set(Field::NdOptionsType, kind);
        self.set(field, option.number(6)?);
        Ok(())
    }

    /// Whether it is a neighbour solicitation or advertisement.
    fn is_nd(&self) -> bool {
        matches!(self.fields.get(Symbol::Icmp6Type), 135 | 136) && self.get(Field::Icmp6Code) == 0
    }

    fn build_nd(&self, bytes: &mut Vec<u8>) {
        if !self.is_nd() {
            return;
        }
        put(bytes, 4, self.get(Field::NdReserved));
        put(bytes, 16, self.get(Field::NdTarget));
        let kind = self.get(Field::NdOptionsType);
        let field = match kind {
            1 => Field::NdSll,
            2 => Field::NdTll,
            _ => return,
        };
        put(bytes, 2, kind << 8 | 1);
        put(bytes, 6, self.get(field));
    }

    fn parse_tcp(&mut self, mut reader: Reader, is_whole: bool) -> Result<(), FrameError> {
        reader.what = "TCP header";
        let all = reader.rest;
        self.check(is_whole, all, "TCP")?;
        self.set(Field::TcpSrc, reader.number(2)?);
        self.set(Field::TcpDst, reader.number(2)?);
        reader.number(8)?;
        let offset_and_flags = reader.number(2)?;
        self.set(Field::TcpFlags, offset_and_flags);
        let length = usize::try_from(offset_and_flags >> 12)
            .unwrap_or(0)
            .saturating_mul(4);
        if length < 20 {
            return Err(FrameError::Malformed("TCP header"));
        }
        self.payload = all
            .get(length..)
            .ok_or(FrameError::Short("TCP header"))?
            .to_vec();
        Ok(())
    }

    fn parse_udp(&mut self, mut reader: Reader, is_whole: bool) -> Result<(), FrameError> {
        reader.what = "UDP header";
        let all = reader.rest;
        self.set(Field::UdpSrc, reader.number(2)?);
        self.set(Field::UdpDst, reader.number(2)?);
        let length = usize::try_from(reader.number(2)?).unwrap_or(usize::MAX);
        let sum = reader.number(2)?;
        if is_whole && sum != 0 {
            self.check(true, all, "UDP")?;
        }
        if is_whole && length != all.len() {
            return Err(FrameError::Malformed("UDP length"));
        }
        self.payload = reader.rest.to_vec();
        Ok(())
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    /// What is being read, for messages.
    what: &'static str,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(FrameError::Short(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    /// A big-endian number of up to 16 bytes.
    fn number(&mut self, length: usize) -> Result<u128, FrameError> {
        Ok(self
            .take(length)?
            .iter()
            .fold(0, |number, byte| number << 8 | u128::from(*byte)))
    }
}

/// Appends the low `length` bytes of `value`.
fn put(bytes: &mut Vec<u8>, length: usize, value: u128) {
    let all = value.to_be_bytes();
    bytes.extend(all.iter().skip(all.len().saturating_sub(length)));
}

fn patch(bytes: &mut [u8], at: usize, sum: u16) {
    for (byte, value) in bytes.iter_mut().skip(at).zip(sum.to_be_bytes()) {
        *byte = value;
    }
}

fn length_of(bytes: &[u8]) -> u128 {
    u128::try_from(bytes.len()).unwrap_or(u128::MAX)
}

/// The Internet checksum (RFC 1071) of pieces, each but the last of even length: 0 when one is in there and right.
fn checksum(pieces: &[&[u8]]) -> u16 {
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
    while let Some(carry) = (sum >> 16 != 0).then_some(sum >> 16) {
        sum = (sum & 0xffff).saturating_add(carry);
    }
    !u16::try_from(sum).unwrap_or(0)
}

const ARP_FIELDS: [(Field, usize); 5] = [
    (Field::ArpOp, 2),
    (Field::ArpSha, 6),
    (Field::ArpSpa, 4),
    (Field::ArpTha, 6),
    (Field::ArpTpa, 4),
];
const VLAN: u128 = 0x8100;
/// Bit 12 of the tag control information stands for "there is a tag", as in Open vSwitch.
const VLAN_PRESENT: u128 = 0x1000;
const IP4: u128 = 0x0800;
const IP6: u128 = 0x86dd;
const ARP: u128 = 0x0806;
const ICMP: u128 = 1;
const TCP: u128 = 6;
const UDP: u128 = 17;
const ICMP6: u128 = 58;
const SCTP: u128 = 132;

#[cfg(test)]
mod tests;
