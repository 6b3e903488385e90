//! Connections that load balancers and routers have made: enough of connection tracking to follow a packet to an endpoint and its answer back.
//!
//! A zone is a port, as on nodes, or one of the two of a router. Which endpoint a connection went to only its switch knows: all of those that it may have gone to are remembered,
//! and a later packet of it is followed to each. An answer says itself which endpoint it comes from.
//!
//! Must not: know time or the state of protocols; a connection is there once it was made.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use weft_expr::{Backend, Field, NatSide, Packet, Symbol};

/// What is tracked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Connections(BTreeSet<Connection>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Connection {
    zone: Arc<str>,
    protocol: u128,
    is_ip4: bool,
    side: NatSide,
    /// Source and destination of the first packet,
    original: (Side, Side),
    /// and after translation.
    translated: (Side, Side),
}

/// Address and port.
type Side = (u128, u128);

impl Connections {
    /// What becomes of a packet that is looked up in a zone: one packet, or one for each connection it may be of.
    pub(super) fn track(&self, zone: &str, packet: &Packet) -> Vec<Packet> {
        let Some(headers) = Headers::of(packet) else {
            return vec![packet.clone()];
        };
        let (source, destination) = headers.sides(packet);
        let known = self.0.iter().filter(|known| {
            &*known.zone == zone
                && known.protocol == packet.get(Symbol::IpProto)
                && known.is_ip4 == headers.is_ip4
        });
        let mut all: Vec<Packet> = known
            .filter_map(|known| {
                let mut packet = packet.clone();
                let translated = match known.side {
                    NatSide::Source => SNAT,
                    NatSide::Destination => DNAT,
                };
                let (from, to) = known.translated;
                if (source, destination) == known.original {
                    headers.set_source(&mut packet, from);
                    headers.set_destination(&mut packet, to);
                    packet.set(Symbol::CtState, TRACKED | ESTABLISHED | translated);
                } else if (source, destination) == (to, from) {
                    let (from, to) = known.original;
                    headers.set_source(&mut packet, to);
                    headers.set_destination(&mut packet, from);
                    let state = TRACKED | ESTABLISHED | REPLY | translated;
                    packet.set(Symbol::CtState, state);
                } else {
                    return None;
                }
                Some(packet)
            })
            .collect();
        if all.is_empty() {
            let mut packet = packet.clone();
            packet.set(Symbol::CtState, TRACKED | NEW);
            all.push(packet);
        }
        all
    }

    /// A new connection in a zone, to one endpoint: its packet from now on.
    pub(super) fn commit(&mut self, zone: &Arc<str>, packet: &Packet, backend: Backend) -> Packet {
        self.make(
            zone,
            packet,
            NatSide::Destination,
            backend.address,
            backend.port,
        )
    }

    /// A packet that is translated in a zone: as its connection is, if there is one, or as the first of a new one. Ports are kept.
    pub(super) fn translate(
        &mut self,
        zone: &Arc<str>,
        packet: &Packet,
        side: NatSide,
        address: IpAddr,
    ) -> Vec<Packet> {
        let known = self.track(zone, packet);
        let is_new = |packet: &Packet| packet.get(Symbol::CtState) == TRACKED | NEW;
        match known.iter().any(is_new) {
            true => vec![self.make(zone, packet, side, address, None)],
            false => known,
        }
    }

    fn make(
        &mut self,
        zone: &Arc<str>,
        packet: &Packet,
        side: NatSide,
        address: IpAddr,
        port: Option<u16>,
    ) -> Packet {
        let mut packet = packet.clone();
        let Some(headers) = Headers::of(&packet) else {
            return packet;
        };
        let original = headers.sides(&packet);
        let address = match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        let instead = |old: Side| (address, port.map_or(old.1, u128::from));
        let (from, to) = original;
        let (translated, state) = match side {
            NatSide::Source => ((instead(from), to), SNAT),
            NatSide::Destination => ((from, instead(to)), DNAT),
        };
        self.0.insert(Connection {
            zone: zone.clone(),
            protocol: packet.get(Symbol::IpProto),
            is_ip4: headers.is_ip4,
            side,
            original,
            translated,
        });
        headers.set_source(&mut packet, translated.0);
        headers.set_destination(&mut packet, translated.1);
        packet.set(Symbol::CtState, TRACKED | NEW | state);
        packet
    }
}

/// Where a packet's addresses and ports are.
struct Headers {
    is_ip4: bool,
    addresses: (Field, Field),
    ports: Option<(Field, Field)>,
}

impl Headers {
    fn of(packet: &Packet) -> Option<Headers> {
        let is_ip4 = match packet.get(Symbol::EthType) {
            0x0800 => true,
            0x86dd => false,
            _ => return None,
        };
        let ports = match packet.get(Symbol::IpProto) {
            6 => Some((Field::TcpSrc, Field::TcpDst)),
            17 => Some((Field::UdpSrc, Field::UdpDst)),
            132 => Some((Field::SctpSrc, Field::SctpDst)),
            _ => None,
        };
        let addresses = match is_ip4 {
            true => (Field::Ip4Src, Field::Ip4Dst),
            false => (Field::Ip6Src, Field::Ip6Dst),
        };
        Some(Headers {
            is_ip4,
            addresses,
            ports,
        })
    }

    fn sides(&self, packet: &Packet) -> (Side, Side) {
        let port = |field: Option<Field>| field.map_or(0, |field| packet.field(field));
        let (source, destination) = self.addresses;
        (
            (packet.field(source), port(self.ports.map(|ports| ports.0))),
            (
                packet.field(destination),
                port(self.ports.map(|ports| ports.1)),
            ),
        )
    }

    fn set_source(&self, packet: &mut Packet, (address, port): Side) {
        packet.set_field(self.addresses.0, address);
        if let Some((source, _)) = self.ports {
            packet.set_field(source, port);
        }
    }

    fn set_destination(&self, packet: &mut Packet, (address, port): Side) {
        packet.set_field(self.addresses.1, address);
        if let Some((_, destination)) = self.ports {
            packet.set_field(destination, port);
        }
    }
}

/// Bits of `ct_state` (ovs-fields(7)).
const NEW: u128 = 1;
const ESTABLISHED: u128 = 1 << 1;
const REPLY: u128 = 1 << 3;
const TRACKED: u128 = 1 << 5;
const SNAT: u128 = 1 << 6;
const DNAT: u128 = 1 << 7;
