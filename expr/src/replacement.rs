//! The packets that [`Replacement`]s make, as far as fields go: for `weft trace` and the tests.
//!
//! The bytes are made elsewhere, by whoever is handed the packet; both must agree on when no packet is made.
//!
//! Must not: know what the packet's body says.

use crate::action::Replacement;
use crate::eval::Packet;
use crate::symbol::{Field, Symbol};

impl Packet {
    /// The packet that is made out of this one; `None` where none may be.
    #[must_use]
    pub fn replaced(&self, with: Replacement) -> Option<Packet> {
        if !self.may_be_answered() {
            return None;
        }
        let is_ip4 = self.field(Field::EthType) == IP4;
        let is_tcp = self.field(Field::IpProto) == TCP;
        let mut packet = self.clone();
        for field in TRANSPORT {
            packet.set_field(field, 0);
        }
        packet.set_field(Field::IpFrag, 0);
        packet.set_field(Field::IpTtl, 255);
        packet.set_field(Field::IpEcn, 0);
        packet.set_field(Field::Ip6Label, 0);
        if with == Replacement::Reject {
            for (left, right) in [
                (Field::EthSrc, Field::EthDst),
                (Field::Ip4Src, Field::Ip4Dst),
                (Field::Ip6Src, Field::Ip6Dst),
            ] {
                packet.set_field(left, self.field(right));
                packet.set_field(right, self.field(left));
            }
        }
        let is_reset = with == Replacement::TcpReset || with == Replacement::Reject && is_tcp;
        if is_reset {
            let flags = self.get(Symbol::TcpFlags);
            if !is_tcp || flags & RST != 0 {
                return None;
            }
            packet.set_field(Field::TcpSrc, self.field(Field::TcpDst));
            packet.set_field(Field::TcpDst, self.field(Field::TcpSrc));
            let answer = if flags & ACK != 0 { RST } else { RST | ACK };
            packet.set_field(Field::TcpFlags, answer);
            return Some(packet);
        }
        let is_reject = with == Replacement::Reject;
        if is_ip4 {
            // Network control, as routers' messages have it (RFC 1812 §4.3.2.5).
            packet.set_field(Field::IpDscp, 48);
            packet.set_field(Field::IpProto, 1);
            packet.set_field(Field::Icmp4Type, 3);
            packet.set_field(Field::Icmp4Code, if is_reject { 3 } else { 1 });
        } else {
            packet.set_field(Field::IpDscp, 0);
            packet.set_field(Field::IpProto, 58);
            packet.set_field(Field::Icmp6Type, 1);
            packet.set_field(Field::Icmp6Code, if is_reject { 4 } else { 3 });
        }
        Some(packet)
    }

    fn may_be_answered(&self) -> bool {
        let is_group_mac = self.field(Field::EthDst) >> 40 & 1 == 1;
        let is_later_fragment = self.field(Field::IpFrag) & 2 != 0;
        if is_group_mac || is_later_fragment {
            return false;
        }
        let (kind, proto) = (self.field(Field::EthType), self.field(Field::IpProto));
        match kind {
            IP4 => {
                let (from, to) = (self.field(Field::Ip4Src), self.field(Field::Ip4Dst));
                let is_error =
                    proto == 1 && matches!(self.field(Field::Icmp4Type), 3 | 4 | 5 | 11 | 12);
                let is_host = |address: u128| !matches!(address >> 24, 0 | 127 | 224..);
                is_host(from) && to >> 24 < 224 && !is_error
            }
            IP6 => {
                let (from, to) = (self.field(Field::Ip6Src), self.field(Field::Ip6Dst));
                let message = self.field(Field::Icmp6Type);
                let is_error = proto == 58 && (message < 128 || message == 137);
                from > 1 && from >> 120 != 0xff && to >> 120 != 0xff && !is_error
            }
            _ => false,
        }
    }
}

const IP4: u128 = 0x0800;
const IP6: u128 = 0x86dd;
const TCP: u128 = 6;
const RST: u128 = 4;
const ACK: u128 = 16;
const TRANSPORT: [Field; 16] = [
    Field::Icmp4Type,
    Field::Icmp4Code,
    Field::Icmp6Type,
    Field::Icmp6Code,
    Field::NdTarget,
    Field::NdSll,
    Field::NdTll,
    Field::NdReserved,
    Field::NdOptionsType,
    Field::TcpSrc,
    Field::TcpDst,
    Field::TcpFlags,
    Field::UdpSrc,
    Field::UdpDst,
    Field::SctpSrc,
    Field::SctpDst,
];

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn packet() -> Packet {
        let mut packet = Packet::new();
        packet.set(Symbol::EthSrc, 0x0a_58_0a_00_00_02_u64);
        packet.set(Symbol::EthDst, 0x0a_58_0a_00_00_01_u64);
        packet.set(Symbol::EthType, 0x800u16);
        packet.set(Symbol::Ip4Src, Ipv4Addr::new(10, 0, 0, 2));
        packet.set(Symbol::Ip4Dst, Ipv4Addr::new(10, 1, 0, 2));
        packet.set(Symbol::IpProto, 6u8);
        packet.set(Symbol::TcpSrc, 4000u16);
        packet.set(Symbol::TcpDst, 80u16);
        packet.set_field(Field::TcpFlags, 2);
        packet
    }

    #[test]
    fn a_reject_goes_back_as_a_reset_for_tcp_and_as_an_error_for_all_else() {
        let reset = packet().replaced(Replacement::Reject).expect("an answer");
        assert_eq!(reset.field(Field::Ip4Dst), 0x0a00_0002);
        assert_eq!(reset.field(Field::EthDst), 0x0a_58_0a_00_00_02);
        assert_eq!(
            (reset.field(Field::TcpSrc), reset.field(Field::TcpFlags)),
            (80, 0x14)
        );
        let mut datagram = packet();
        datagram.set(Symbol::IpProto, 17u8);
        let error = datagram.replaced(Replacement::Reject).expect("an answer");
        assert_eq!(
            (error.field(Field::IpProto), error.field(Field::Icmp4Code)),
            (1, 3)
        );
        assert_eq!(error.field(Field::TcpDst), 0);
    }

    #[test]
    fn nothing_is_made_of_what_no_answer_is_owed_for() {
        let changes: [fn(&mut Packet); 7] = [
            |packet| packet.set_field(Field::IpFrag, 3),
            |packet| packet.set(Symbol::Ip4Src, Ipv4Addr::UNSPECIFIED),
            |packet| packet.set(Symbol::Ip4Src, Ipv4Addr::new(224, 0, 0, 1)),
            |packet| packet.set(Symbol::Ip4Dst, Ipv4Addr::BROADCAST),
            |packet| packet.set(Symbol::EthDst, 0x0100_5e00_0001_u64),
            |packet| packet.set_field(Field::TcpFlags, 4),
            |packet| {
                packet.set(Symbol::IpProto, 1u8);
                packet.set(Symbol::Icmp4Type, 11u8);
            },
        ];
        assert!(packet().replaced(Replacement::Reject).is_some());
        for change in changes {
            let mut packet = packet();
            change(&mut packet);
            assert_eq!(packet.replaced(Replacement::Reject), None, "{packet:?}");
        }
    }
}
