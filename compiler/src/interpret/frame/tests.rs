//! Frames read, changed and written back.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use weft_expr::{Field, Mac, Symbol};

use super::{Frame, FrameError};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

/// The sums were added up by hand.
#[test]
fn a_ping_is_read_and_built_to_the_byte() {
    let wire = bytes(
        "0a5800000002 0a5800000001 0800
         4500002200000000 4001 66d9 0a000001 0a000002
         0800 f238 1234 0001 6162630a 2f25",
    );
    let mut frame = Frame::default();
    let fields = &mut frame.fields;
    fields.set(Symbol::EthDst, Mac([0x0a, 0x58, 0, 0, 0, 2]));
    fields.set(Symbol::EthSrc, Mac([0x0a, 0x58, 0, 0, 0, 1]));
    fields.set(Symbol::EthType, 0x800);
    fields.set(Symbol::IpProto, 1);
    fields.set(Symbol::IpTtl, 64);
    fields.set(Symbol::Ip4Src, Ipv4Addr::new(10, 0, 0, 1));
    fields.set(Symbol::Ip4Dst, Ipv4Addr::new(10, 0, 0, 2));
    fields.set(Symbol::Icmp4Type, 8);
    frame.payload = bytes("1234 0001 6162630a 2f25");
    assert_eq!(frame.build(), wire);
    assert_eq!(Frame::parse(&wire), Ok(frame));
    let mut wrong = wire.clone();
    wrong[35] = 1;
    assert_eq!(Frame::parse(&wrong), Err(FrameError::Checksum("ICMP")));
    wrong = wire;
    wrong[22] = 63;
    assert_eq!(
        Frame::parse(&wrong),
        Err(FrameError::Checksum("IPv4 header"))
    );
}

#[test]
fn a_solicitation_is_read_with_its_option() {
    let mut frame = Frame::default();
    let fields = &mut frame.fields;
    fields.set(Symbol::EthType, 0x86dd);
    fields.set(Symbol::IpProto, 58);
    fields.set(Symbol::IpTtl, 255);
    fields.set(Symbol::Ip6Src, "fd00::1".parse::<Ipv6Addr>().unwrap());
    fields.set(
        Symbol::Ip6Dst,
        "ff02::1:ff00:2".parse::<Ipv6Addr>().unwrap(),
    );
    fields.set(Symbol::Icmp6Type, 135);
    fields.set(Symbol::NdTarget, "fd00::2".parse::<Ipv6Addr>().unwrap());
    fields.set(Symbol::NdOptionsType, 1);
    fields.set(Symbol::NdSll, Mac([2, 0, 0, 0, 0, 1]));
    let built = frame.build();
    assert_eq!(built.len(), 14 + 40 + 24 + 8);
    assert_eq!(Frame::parse(&built), Ok(frame));
}

fn frame() -> impl Strategy<Value = Frame> {
    let kind = select(vec![0x800u128, 0x86dd, 0x806, 0x88cc]);
    let proto = select(vec![1u128, 6, 17, 58, 132, 89]);
    let values = vec(any::<u128>(), 24);
    let payload = vec(any::<u8>(), 0..40);
    (kind, proto, 0..3u128, any::<bool>(), values, payload).prop_map(
        |(kind, proto, fragment, tagged, values, payload)| {
            let mut frame = Frame {
                payload,
                ..Frame::default()
            };
            let mut values = values.into_iter();
            let mut any = |frame: &mut Frame, fields: &[Field]| {
                for field in fields {
                    frame.fields.set_field(*field, values.next().unwrap());
                }
            };
            any(&mut frame, &[Field::EthSrc, Field::EthDst]);
            if tagged {
                any(&mut frame, &[Field::VlanTci]);
                frame.set(Field::VlanTci, frame.get(Field::VlanTci) | 0x1000);
            }
            frame.set(Field::EthType, kind);
            match kind {
                0x806 => {
                    any(
                        &mut frame,
                        &[
                            Field::ArpOp,
                            Field::ArpSpa,
                            Field::ArpTpa,
                            Field::ArpSha,
                            Field::ArpTha,
                        ],
                    );
                    frame.payload.clear();
                    return frame;
                }
                0x800 => any(&mut frame, &[Field::Ip4Src, Field::Ip4Dst]),
                0x86dd => any(&mut frame, &[Field::Ip6Src, Field::Ip6Dst, Field::Ip6Label]),
                _ => return frame,
            }
            any(&mut frame, &[Field::IpDscp, Field::IpEcn, Field::IpTtl]);
            frame.set(Field::IpProto, proto);
            frame.set(Field::IpFrag, [0, 1, 3][usize::try_from(fragment).unwrap()]);
            if fragment == 2 {
                return frame;
            }
            match (kind, proto) {
                (0x800, 1) => any(&mut frame, &[Field::Icmp4Type, Field::Icmp4Code]),
                (0x86dd, 58) => {
                    any(
                        &mut frame,
                        &[Field::Icmp6Type, Field::Icmp6Code, Field::NdTll],
                    );
                    let is_advertisement = frame.get(Field::NdTll) & 1 == 1;
                    if is_advertisement {
                        frame.set(Field::Icmp6Type, 136);
                        frame.set(Field::Icmp6Code, 0);
                        frame.set(Field::NdOptionsType, 2);
                        any(&mut frame, &[Field::NdTarget, Field::NdReserved]);
                        frame.payload.clear();
                    } else {
                        frame.set(Field::NdTll, 0);
                        frame.set(Field::Icmp6Type, frame.get(Field::Icmp6Type) & 0x7f);
                    }
                }
                (_, 6) => any(&mut frame, &[Field::TcpSrc, Field::TcpDst, Field::TcpFlags]),
                (_, 17) => any(&mut frame, &[Field::UdpSrc, Field::UdpDst]),
                (_, 132) => any(&mut frame, &[Field::SctpSrc, Field::SctpDst]),
                _ => {}
            }
            frame
        },
    )
}

proptest! {
    #[test]
    fn what_is_built_reads_back(frame in frame()) {
        prop_assert_eq!(Frame::parse(&frame.build()), Ok(frame));
    }

    #[test]
    fn a_frame_cut_at_any_length_is_refused_or_read_but_never_panics(frame in frame()) {
        let built = frame.build();
        for end in 0..built.len() {
            let read = Frame::parse(&built[..end]);
            let is_ip = matches!(frame.fields.get(Symbol::EthType), 0x800 | 0x86dd | 0x806);
            prop_assert!(!is_ip || read.is_err(), "cut at {} of {}", end, built.len());
        }
    }

    #[test]
    fn a_flipped_bit_does_not_go_unnoticed(frame in frame(), bit in any::<usize>()) {
        // What a tag and a fragment header keep for later use is not read.
        prop_assume!(frame.get(Field::VlanTci) == 0 && frame.get(Field::IpFrag) == 0);
        let mut built = frame.build();
        let bit = bit % (built.len() * 8);
        built[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(Frame::parse(&built), Ok(frame));
    }

    #[test]
    fn garbage_is_refused_or_read(noise in vec(any::<u8>(), 0..120), kind in select(vec![0x0800u16, 0x86dd, 0x0806, 0x8100])) {
        let mut bytes = vec![0; 12];
        bytes.extend(kind.to_be_bytes());
        bytes.extend(noise);
        let _ = Frame::parse(&bytes);
    }
}
