//! Errors and resets about good packets, silence about the others, and neither panics nor wrong sums about any bytes.

use openflow_rs::Action;
use proptest::prelude::*;
use weft_expr::{Field, Packet, Symbol};

use super::*;
use crate::interpret::frame::Frame;

fn request(opcode: Opcode, message: (u8, u8), frag_mtu: u16) -> Request {
    Request {
        opcode,
        message,
        frag_mtu,
        actions: Vec::<Action>::new(),
    }
}

/// A packet from one host to another, `kind` its protocol.
fn frame(is_ip4: bool, protocol: u8, payload: usize) -> Frame {
    let mut fields = Packet::new();
    fields.set(Symbol::EthSrc, 0x0a58_0a00_0002_u64);
    fields.set(Symbol::EthDst, 0x0a58_0a00_0001_u64);
    fields.set(Symbol::IpProto, protocol);
    fields.set(Symbol::IpTtl, 1u8);
    if is_ip4 {
        fields.set(Symbol::EthType, 0x800u16);
        fields.set(Symbol::Ip4Src, std::net::Ipv4Addr::new(10, 0, 0, 2));
        fields.set(Symbol::Ip4Dst, std::net::Ipv4Addr::new(10, 1, 0, 2));
    } else {
        fields.set(Symbol::EthType, 0x86ddu16);
        fields.set_field(Field::Ip6Src, 0xfd00 << 112 | 2);
        fields.set_field(Field::Ip6Dst, 0xfd01 << 112 | 2);
    }
    fields.set_field(Field::TcpSrc, if protocol == TCP { 4000 } else { 0 });
    fields.set_field(Field::TcpDst, if protocol == TCP { 80 } else { 0 });
    Frame {
        fields,
        payload: vec![7; payload],
    }
}

fn answered(opcode: Opcode, frame: &Frame) -> Option<Vec<u8>> {
    make(&request(opcode, (11, 0), 0), &frame.build())
}

#[test]
fn an_error_quotes_the_packet_between_the_same_addresses() {
    let expired = frame(true, 17, 100);
    let made = answered(Opcode::Icmp4, &expired).expect("an error");
    // Parsing checks every sum and length.
    let read = Frame::parse(&made).expect("a packet");
    let field = |field| read.fields.field(field);
    assert_eq!((field(Field::Icmp4Type), field(Field::Icmp4Code)), (11, 0));
    assert_eq!(
        (field(Field::Ip4Src), field(Field::Ip4Dst)),
        (0x0a00_0002, 0x0a01_0002)
    );
    assert_eq!((field(Field::IpTtl), field(Field::IpDscp)), (255, 48));
    assert_eq!(read.payload[..4], [0; 4]);
    assert_eq!(read.payload[4..], expired.build()[14..]);

    let made = make(
        &request(Opcode::Icmp6, (2, 0), 1400),
        &frame(false, 17, 1400).build(),
    );
    let made = made.expect("an error");
    let read = Frame::parse(&made).expect("a packet");
    assert_eq!(read.fields.field(Field::Icmp6Type), 2);
    assert_eq!(read.payload[..4], [0, 0, 5, 120]);
    assert_eq!(made.len(), 14 + 1280, "as much as fits");
    let long = answered(Opcode::Icmp4, &frame(true, 17, 1400)).expect("an error");
    assert_eq!(long.len(), 14 + 576);
}

#[test]
fn a_reset_takes_up_the_numbers_of_what_it_answers() {
    // (flags, bytes of data, flags of the reset, its sequence number, its acknowledgement)
    let cases = [
        (SYN, 0, RST | ACK, 0u32, 0x0102_0305_u32),
        (0, 10, RST | ACK, 0, 0x0102_0304 + 10),
        (FIN, 3, RST | ACK, 0, 0x0102_0304 + 4),
        (ACK, 10, RST, 0x0a0b_0c0d, 0),
    ];
    for is_ip4 in [true, false] {
        for (flags, data, answer, sequence, acknowledged) in cases {
            let mut open = frame(is_ip4, TCP, data);
            open.fields.set_field(Field::TcpFlags, flags.into());
            let mut bytes = open.build();
            let transport = if is_ip4 { 34 } else { 54 };
            bytes[transport + 4..transport + 8].copy_from_slice(&[1, 2, 3, 4]);
            bytes[transport + 8..transport + 12].copy_from_slice(&[10, 11, 12, 13]);
            for opcode in [Opcode::TcpReset, Opcode::Reject] {
                let made = make(&request(opcode, (0, 0), 0), &bytes).expect("a reset");
                let read = Frame::parse(&made).expect("a packet");
                let field = |field| read.fields.field(field);
                assert_eq!((field(Field::TcpSrc), field(Field::TcpDst)), (80, 4000));
                assert_eq!(field(Field::TcpFlags), u128::from(answer));
                let is_turned = field(Field::EthDst) == 0x0a58_0a00_0002;
                assert_eq!(is_turned, opcode == Opcode::Reject);
                let word = |at: usize| {
                    u32::from_be_bytes(made[transport + at..transport + at + 4].try_into().unwrap())
                };
                assert_eq!((word(4), word(8)), (sequence, acknowledged), "{flags}");
            }
        }
    }
}

#[test]
fn what_is_refused_and_no_tcp_is_unreachable() {
    for is_ip4 in [true, false] {
        let made = answered(Opcode::Reject, &frame(is_ip4, 17, 4)).expect("an error");
        let read = Frame::parse(&made).expect("a packet");
        let (kind, code) = match is_ip4 {
            true => (Field::Icmp4Type, Field::Icmp4Code),
            false => (Field::Icmp6Type, Field::Icmp6Code),
        };
        let expected = if is_ip4 { (3, 3) } else { (1, 4) };
        assert_eq!((read.fields.field(kind), read.fields.field(code)), expected);
        assert_eq!(read.fields.field(Field::EthDst), 0x0a58_0a00_0002);
    }
}

#[test]
fn nothing_is_said_about_what_nothing_may_be_said_about() {
    type Change = fn(&mut Packet);
    let ip4: [Change; 9] = [
        |packet| packet.set_field(Field::IpFrag, 3),
        |packet| packet.set_field(Field::Ip4Src, 0),
        |packet| packet.set_field(Field::Ip4Src, 0x7f00_0001),
        |packet| packet.set_field(Field::Ip4Src, 0xe000_0001),
        |packet| packet.set_field(Field::Ip4Src, 0xffff_ffff),
        |packet| packet.set_field(Field::Ip4Dst, 0xe000_0001),
        |packet| packet.set_field(Field::Ip4Dst, 0xffff_ffff),
        |packet| packet.set_field(Field::EthDst, 0xffff_ffff_ffff),
        |packet| {
            packet.set_field(Field::IpProto, 1);
            packet.set_field(Field::Icmp4Type, 3);
        },
    ];
    let ip6: [Change; 6] = [
        |packet| packet.set_field(Field::IpFrag, 3),
        |packet| packet.set_field(Field::Ip6Src, 0),
        |packet| packet.set_field(Field::Ip6Src, 0xff02 << 112 | 1),
        |packet| packet.set_field(Field::Ip6Dst, 0xff02 << 112 | 1),
        |packet| {
            packet.set_field(Field::IpProto, 58);
            packet.set_field(Field::Icmp6Type, 1);
        },
        |packet| {
            packet.set_field(Field::IpProto, 58);
            packet.set_field(Field::Icmp6Type, 137);
        },
    ];
    for (is_ip4, changes) in [(true, &ip4[..]), (false, &ip6[..])] {
        let opcode = if is_ip4 { Opcode::Icmp4 } else { Opcode::Icmp6 };
        assert!(answered(opcode, &frame(is_ip4, 17, 9)).is_some());
        for (number, change) in changes.iter().enumerate() {
            let mut silent = frame(is_ip4, 17, 9);
            change(&mut silent.fields);
            for opcode in [opcode, Opcode::Reject] {
                assert_eq!(answered(opcode, &silent), None, "{is_ip4} {number}");
            }
        }
    }
    let mut reset = frame(true, TCP, 0);
    reset.fields.set_field(Field::TcpFlags, RST.into());
    assert_eq!(answered(Opcode::Reject, &reset), None);
    // An ARP request, and a family that was not asked for.
    assert_eq!(answered(Opcode::Icmp4, &frame(false, 17, 9)), None);
    let mut wrong_sum = frame(true, 17, 9).build();
    wrong_sum[24] ^= 1;
    assert_eq!(make(&request(Opcode::Icmp4, (11, 0), 0), &wrong_sum), None);
}

#[test]
fn the_fields_of_what_is_made_are_those_that_a_trace_shows() {
    use weft_expr::Replacement;
    for is_ip4 in [true, false] {
        for protocol in [TCP, 17, 132, 1, 58] {
            let original = frame(is_ip4, protocol, 40);
            for with in Replacement::ALL {
                let opcode = Opcode::from(with);
                let icmp = if is_ip4 { (3, 1) } else { (1, 3) };
                let made = make(&request(opcode, icmp, 0), &original.build());
                let fits = with
                    .prerequisite()
                    .condition()
                    .holds(&original.fields, &weft_expr::NoSets);
                let traced = original.fields.replaced(with).filter(|_| fits);
                let made = made.map(|made| Frame::parse(&made).expect("a packet").fields);
                assert_eq!(made, traced, "{with:?} of {original:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_give_a_good_packet_or_none(
        opcode in 0usize..4,
        is_ip4 in any::<bool>(),
        protocol in prop::sample::select(vec![1u8, 6, 17, 44, 58, 0, 43]),
        length in 0usize..1500,
        damage in prop::collection::vec((0usize..80, any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let opcode = [Opcode::Icmp4, Opcode::Icmp6, Opcode::TcpReset, Opcode::Reject][opcode];
        let mut bytes = frame(is_ip4, protocol, length).build();
        for (at, byte) in damage {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes.truncate(cut.index(bytes.len() + 1).max(bytes.len() / 2));
        if let Some(made) = make(&request(opcode, (3, 4), 1400), &bytes) {
            prop_assert!(made.len() <= 14 + 1280, "{} bytes", made.len());
            let read = Frame::parse(&made);
            prop_assert!(read.is_ok(), "{:?}: {:02x?}", read, made);
        }
    }
}
