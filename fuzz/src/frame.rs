//! Packets: what was parsed builds bytes that parse the same.
//!
//! Must not: ask for the same bytes: options and padding are not kept.

use weft_compiler::interpret::frame::Frame;

/// One packet, as it is and with its checksums made right.
pub fn check(data: &[u8]) {
    check_frame(data);
    let mut repaired = data.to_vec();
    if repair(&mut repaired).is_some() {
        check_frame(&repaired);
    }
}

fn check_frame(data: &[u8]) {
    let Ok(frame) = Frame::parse(data) else {
        return;
    };
    let built = frame.build();
    assert_eq!(
        Frame::parse(&built).as_ref(),
        Ok(&frame),
        "{data:02x?} built as {built:02x?}"
    );
}

/// Makes the checksums right that a fuzzer would not: of the IPv4 header, and of TCP, UDP and ICMP (RFC 1071).
fn repair(data: &mut [u8]) -> Option<()> {
    let mut at = 12;
    if number(data, at)? == 0x8100 {
        at += 4;
    }
    let (version, packet) = (number(data, at)?, at + 2);
    let (header, proto, addresses, length) = match version {
        0x0800 => {
            let header = usize::from(*data.get(packet)? & 0xf) * 4;
            set_checksum(data, packet..packet + header, packet + 10, 0)?;
            let length = usize::from(number(data, packet + 2)?).checked_sub(header)?;
            (
                header,
                *data.get(packet + 9)?,
                packet + 12..packet + 20,
                length,
            )
        }
        0x86dd => {
            let length = usize::from(number(data, packet + 4)?);
            (40, *data.get(packet + 6)?, packet + 8..packet + 40, length)
        }
        _ => return None,
    };
    let start = packet + header;
    let place = match proto {
        1 => 2,
        6 => 16,
        17 => 6,
        58 => 2,
        _ => return Some(()),
    };
    let pseudo = match proto {
        1 => 0,
        _ => sum(data.get(addresses)?) + u64::from(proto) + length as u64,
    };
    set_checksum(data, start..start + length, start + place, pseudo)
}

fn number(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*data.get(at)?, *data.get(at + 1)?]))
}

fn sum(data: &[u8]) -> u64 {
    data.chunks(2)
        .map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)))
        .sum()
}

fn set_checksum(
    data: &mut [u8],
    covered: std::ops::Range<usize>,
    place: usize,
    pseudo: u64,
) -> Option<()> {
    data.get_mut(place..place + 2)?.fill(0);
    let mut sum = sum(data.get(covered)?) + pseudo;
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    let folded = u16::try_from(sum).expect("folded to 16 bits");
    data.get_mut(place..place + 2)?
        .copy_from_slice(&(!folded).to_be_bytes());
    Some(())
}

/// A packet of each kind, made of fields.
pub fn seeds() -> Vec<Vec<u8>> {
    use weft_expr::Field;
    /// EtherType, protocol, other fields.
    type Kind = (u128, u128, &'static [(Field, u128)]);
    let kinds: [Kind; 9] = [
        (
            0x0806,
            0,
            &[(Field::ArpOp, 1), (Field::ArpTpa, 0x0a00_0001)],
        ),
        (0x0800, 1, &[(Field::Icmp4Type, 8)]),
        (0x0800, 6, &[(Field::TcpDst, 80)]),
        (0x0800, 17, &[(Field::UdpDst, 53), (Field::VlanTci, 0x1005)]),
        (0x0800, 47, &[]),
        (0x86dd, 17, &[(Field::UdpDst, 53)]),
        (
            0x86dd,
            58,
            &[(Field::Icmp6Type, 135), (Field::NdSll, 0x0a58_0a00_0001)],
        ),
        (
            0x86dd,
            58,
            &[(Field::Icmp6Type, 136), (Field::NdTll, 0x0a58_0a00_0001)],
        ),
        (0x88cc, 0, &[]),
    ];
    let build = |(kind, proto, fields): &Kind| {
        let mut frame = Frame {
            payload: b"payload".to_vec(),
            ..Frame::default()
        };
        let head = [
            (Field::EthType, *kind),
            (Field::IpProto, *proto),
            (Field::IpTtl, 64),
        ];
        for (field, value) in head.iter().chain(*fields) {
            frame.fields.set_field(*field, *value);
        }
        frame.build()
    };
    kinds.iter().map(build).collect()
}
