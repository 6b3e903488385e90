//! Packets made by hand, and looked into: only what the cases send and expect.
//!
//! Sources: RFC 826 (ARP), 791, 768, 792 (IPv4), 8200, 4443, 4861 (IPv6), 8926 (Geneve).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use weft_cni::link::Mac;

pub const BROADCAST: Mac = Mac([0xff; 6]);
pub const ARP: u16 = 0x0806;
pub const IPV4: u16 = 0x0800;
pub const IPV6: u16 = 0x86dd;
pub const GENEVE_PORT: u16 = 6081;
pub const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

pub fn ethernet(source: Mac, destination: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&destination.0[..], &source.0, &kind.to_be_bytes(), payload].concat()
}

/// An ARP packet about IPv4: 1 asks, 2 answers.
pub fn arp(operation: u16, sha: Mac, spa: Ipv4Addr, tha: Mac, tpa: Ipv4Addr) -> Vec<u8> {
    let header = [0, 1, 8, 0, 6, 4];
    [
        &header[..],
        &operation.to_be_bytes(),
        &sha.0,
        &spa.octets(),
        &tha.0,
        &tpa.octets(),
    ]
    .concat()
}

/// Operation, sender's and target's addresses of a frame that is ARP.
pub fn parse_arp(frame: &[u8]) -> Option<(u16, Mac, Ipv4Addr, Ipv4Addr)> {
    let packet = payload_of(frame, ARP)?;
    let address = |at: usize| {
        Some(Ipv4Addr::from(
            <[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?,
        ))
    };
    let operation = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]);
    Some((
        operation,
        Mac(packet.get(8..14)?.try_into().ok()?),
        address(14)?,
        address(24)?,
    ))
}

/// An IP packet, don't fragment set. Both addresses must be of one family.
pub fn ip(source: IpAddr, destination: IpAddr, ttl: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let length = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
            let mut header = [
                &[0x45, 0][..],
                &length,
                &[0, 1, 0x40, 0, ttl, protocol, 0, 0],
                &source.octets(),
                &destination.octets(),
            ]
            .concat();
            let sum = checksum(&header).to_be_bytes();
            header[10..12].copy_from_slice(&sum);
            [&header, payload].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
            [
                &[0x60, 0, 0, 0][..],
                &length,
                &[protocol, ttl],
                &source.octets(),
                &destination.octets(),
                payload,
            ]
            .concat()
        }
        _ => panic!("{source} and {destination} are not of one family"),
    }
}

/// An IP packet with a UDP datagram in it.
pub fn udp(source: IpAddr, destination: IpAddr, ttl: u8, port: u16, payload: &[u8]) -> Vec<u8> {
    udp_between(source, destination, ttl, (4444, port), payload)
}

/// As [`udp`], with a source port of one's own.
pub fn udp_between(
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    (from, to): (u16, u16),
    payload: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
    let mut datagram = [
        &from.to_be_bytes()[..],
        &to.to_be_bytes(),
        &length,
        &[0, 0],
        payload,
    ]
    .concat();
    let sum = transport_checksum(source, destination, UDP, &datagram).to_be_bytes();
    datagram[6..8].copy_from_slice(&sum);
    ip(source, destination, ttl, UDP, &datagram)
}

/// An IPv4 packet without options in two fragments, the first with so many bytes of payload: a multiple of 8.
pub fn fragments(packet: &[u8], first: usize) -> [Vec<u8>; 2] {
    let (header, payload) = packet.split_at(20);
    let fragment = |more: u16, offset: usize, part: &[u8]| {
        let mut header = header.to_vec();
        header[2..4].copy_from_slice(&u16::try_from(20 + part.len()).unwrap().to_be_bytes());
        let place = more << 13 | u16::try_from(offset / 8).unwrap();
        header[6..8].copy_from_slice(&place.to_be_bytes());
        header[10..12].copy_from_slice(&[0, 0]);
        let sum = checksum(&header).to_be_bytes();
        header[10..12].copy_from_slice(&sum);
        [&header, part].concat()
    };
    [
        fragment(1, 0, &payload[..first]),
        fragment(0, first, &payload[first..]),
    ]
}

/// An IP packet with an echo request in it.
pub fn echo_request(source: IpAddr, destination: IpAddr, ttl: u8, payload: &[u8]) -> Vec<u8> {
    echo_request_as(7, source, destination, ttl, payload)
}

/// One with an identifier, by which connection tracking tells those of the same two addresses apart.
pub fn echo_request_as(
    identifier: u16,
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    payload: &[u8],
) -> Vec<u8> {
    let body = [&identifier.to_be_bytes()[..], &[0, 1], payload].concat();
    match source {
        IpAddr::V4(_) => {
            let mut message = [&[8, 0, 0, 0][..], &body].concat();
            let sum = checksum(&message).to_be_bytes();
            message[2..4].copy_from_slice(&sum);
            ip(source, destination, ttl, ICMP, &message)
        }
        IpAddr::V6(_) => icmpv6(source, destination, ttl, 128, &body),
    }
}

pub fn icmpv6(source: IpAddr, destination: IpAddr, ttl: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, 0, 0, 0][..], body].concat();
    let sum = transport_checksum(source, destination, ICMPV6, &message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    ip(source, destination, ttl, ICMPV6, &message)
}

/// A neighbour solicitation; from the unspecified address (and then without option) it is duplicate detection's.
pub fn solicitation(source: Ipv6Addr, mac: Mac, target: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(target);
    let mut body = [&[0; 4][..], &target.octets()].concat();
    if !source.is_unspecified() {
        body.extend([&[1, 1][..], &mac.0].concat());
    }
    let packet = icmpv6(source.into(), group.into(), 255, 135, &body);
    ethernet(mac, multicast_mac(group), IPV6, &packet)
}

/// A message of neighbour discovery, solicitation (135) or advertisement (136), with options of this type and MAC address each.
pub fn neighbour(
    source_mac: Mac,
    (source, destination): (Ipv6Addr, Ipv6Addr),
    kind: u8,
    target: Ipv6Addr,
    options: &[(u8, Mac)],
) -> Vec<u8> {
    let flags = if kind == 136 { 0x20 } else { 0 };
    let mut body = [&[flags, 0, 0, 0][..], &target.octets()].concat();
    for (option, mac) in options {
        body.extend([&[*option, 1][..], &mac.0].concat());
    }
    let packet = icmpv6(source.into(), destination.into(), 255, kind, &body);
    ethernet(source_mac, multicast_mac(destination), IPV6, &packet)
}

/// An unsolicited neighbour advertisement to all nodes.
pub fn advertisement(
    source: Ipv6Addr,
    source_mac: Mac,
    target: Ipv6Addr,
    target_mac: Mac,
) -> Vec<u8> {
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let body = [
        &[0x20, 0, 0, 0][..],
        &target.octets(),
        &[2, 1],
        &target_mac.0,
    ]
    .concat();
    let packet = icmpv6(source.into(), all_nodes.into(), 255, 136, &body);
    ethernet(source_mac, multicast_mac(all_nodes), IPV6, &packet)
}

/// Flags, target and link-layer address of a frame that is a neighbour advertisement.
pub fn parse_advertisement(frame: &[u8]) -> Option<(u8, Ipv6Addr, Option<Mac>)> {
    let packet = payload_of(frame, IPV6)?;
    let message = packet
        .get(40..)
        .filter(|_| packet.get(6) == Some(&ICMPV6))?;
    if message.first() != Some(&136) {
        return None;
    }
    let target = Ipv6Addr::from(<[u8; 16]>::try_from(message.get(8..24)?).ok()?);
    let option = message.get(24..32).filter(|option| option[..2] == [2, 1]);
    let mac = option.and_then(|option| Some(Mac(option.get(2..8)?.try_into().ok()?)));
    Some((*message.get(4)?, target, mac))
}

/// Target of a frame that is a neighbour solicitation.
pub fn parse_solicitation(frame: &[u8]) -> Option<Ipv6Addr> {
    let packet = payload_of(frame, IPV6)?;
    let message = packet
        .get(40..)
        .filter(|_| packet.get(6) == Some(&ICMPV6))?;
    (message.first() == Some(&135)).then_some(())?;
    Some(Ipv6Addr::from(
        <[u8; 16]>::try_from(message.get(8..24)?).ok()?,
    ))
}

pub fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

pub fn multicast_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

/// TTL or hop limit of a frame that is IP.
pub fn ttl(frame: &[u8]) -> Option<u8> {
    payload_of(frame, IPV4)
        .and_then(|packet| packet.get(8))
        .or_else(|| payload_of(frame, IPV6).and_then(|packet| packet.get(7)))
        .copied()
}

/// Whether a frame is an echo reply that carries this payload.
pub fn is_echo_reply(frame: &[u8], payload: &[u8]) -> bool {
    let v4 = payload_of(frame, IPV4)
        .is_some_and(|packet| packet.get(9) == Some(&ICMP) && packet.get(20) == Some(&0));
    let v6 = payload_of(frame, IPV6)
        .is_some_and(|packet| packet.get(6) == Some(&ICMPV6) && packet.get(40) == Some(&129));
    (v4 || v6) && contains(frame, payload)
}

/// A Geneve packet without options, around a frame.
pub fn geneve(source: IpAddr, destination: IpAddr, vni: u32, inner: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = vni.to_be_bytes();
    udp(
        source,
        destination,
        64,
        GENEVE_PORT,
        &[&[0, 0, 0x65, 0x58, a, b, c, 0][..], inner].concat(),
    )
}

/// Where in an underlay frame (IPv4) its Geneve header is, and the frame it carries.
pub fn parse_geneve(frame: &[u8]) -> Option<(usize, &[u8])> {
    let packet = payload_of(frame, IPV4)?;
    (packet.get(9) == Some(&UDP) && packet.get(22..24)? == GENEVE_PORT.to_be_bytes())
        .then_some(())?;
    let options = usize::from(packet.get(28)? & 0x3f) * 4;
    Some((14 + 28, packet.get(36 + options..)?))
}

/// The same underlay frame (IPv4) with another key, and other ports in its one option, around another frame.
pub fn with_tunnel(frame: &[u8], key: u32, (inport, outport): (u16, u16), inner: &[u8]) -> Vec<u8> {
    const OPTION: [u8; 4] = [0x01, 0x02, 0x80, 1];
    let [_, a, b, c] = key.to_be_bytes();
    let header = [
        &[2, 0, 0x65, 0x58, a, b, c, 0][..],
        &OPTION,
        &inport.to_be_bytes(),
        &outport.to_be_bytes(),
    ];
    let datagram = [&header.concat(), inner].concat();
    let mut all = [&frame[..42], &datagram].concat();
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    let (total, udp) = (length(all.len() - 14), length(all.len() - 34));
    all[16..18].copy_from_slice(&total);
    all[38..40].copy_from_slice(&udp);
    let source = Ipv4Addr::new(all[26], all[27], all[28], all[29]);
    set_underlay_source(&mut all, source);
    all
}

/// Gives an underlay frame (IPv4) another source address.
pub fn set_underlay_source(frame: &mut [u8], source: Ipv4Addr) {
    frame[26..30].copy_from_slice(&source.octets());
    frame[24..26].copy_from_slice(&[0, 0]);
    let sum = checksum(&frame[14..34]).to_be_bytes();
    frame[24..26].copy_from_slice(&sum);
    forget_underlay_checksum(frame);
}

/// Leaves an underlay frame (IPv4) without a UDP checksum, which is the sender's choice. One that the kernel datapath sends is seen before
/// the kernel, or a card, has finished its checksum, and would not be taken from anybody else.
pub fn forget_underlay_checksum(frame: &mut [u8]) {
    frame[40..42].copy_from_slice(&[0, 0]);
}

pub fn contains(frame: &[u8], token: &[u8]) -> bool {
    frame.windows(token.len()).any(|window| window == token)
}

pub fn kind_of(address: IpAddr) -> u16 {
    if address.is_ipv4() { IPV4 } else { IPV6 }
}

fn payload_of(frame: &[u8], kind: u16) -> Option<&[u8]> {
    (frame.get(12..14)? == kind.to_be_bytes()).then(|| &frame[14..])
}

fn transport_checksum(source: IpAddr, destination: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let length = u32::try_from(segment.len()).unwrap().to_be_bytes();
    match checksum(
        &[
            &octets(source),
            &octets(destination),
            &length[..],
            &[0, 0, 0, protocol],
            segment,
        ]
        .concat(),
    ) {
        0 => 0xffff,
        sum => sum,
    }
}

fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}
