//! `ct` and `nat` on the wire (Open vSwitch `struct nx_action_conntrack`, `struct nx_action_nat`).
//!
//! Must not: judge ranges (the switch does).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::wire::{decode_actions, encode_actions, header_bytes, packed};
use super::{Ct, Nat, NatDirection, Zone};
use crate::error::{DecodeError, EncodeError};
use crate::matches::{FieldHeader, encode_header};
use crate::subfield::Subfield;
use crate::wire::{Reader, Writer};

const CT_COMMIT: u16 = 1;
const CT_FORCE: u16 = 2;
const NO_TABLE: u8 = 0xff;
const NAT_SOURCE: u16 = 1;
const NAT_DESTINATION: u16 = 2;
const NAT_PERSISTENT: u16 = 4;
const NAT_HASH: u16 = 8;
const NAT_RANDOM: u16 = 16;
const RANGE_IPV4_MIN: u16 = 1;
const RANGE_IPV4_MAX: u16 = 2;
const RANGE_IPV6_MIN: u16 = 4;
const RANGE_IPV6_MAX: u16 = 8;
const RANGE_PORT_MIN: u16 = 16;
const RANGE_PORT_MAX: u16 = 32;

pub(super) fn decode_ct(mut reader: Reader<'_>, depth: usize) -> Result<Ct, DecodeError> {
    let flags = reader.u16()?;
    if flags & !(CT_COMMIT | CT_FORCE) != 0 {
        return Err(DecodeError::Value {
            what: "ct flags",
            value: u64::from(flags),
            rule: "1 commit, 2 force",
        });
    }
    let mut source = reader.part("ct zone", 4)?;
    let zone = reader.u16()?;
    let zone = match source.clone().u32()? {
        0 => Zone::Number(zone),
        _ => {
            let field = FieldHeader::decode(&mut source)?.known("ct zone")?;
            let part = Subfield::new(field, zone >> 6, (zone & 0x3f).saturating_add(1));
            let bad = DecodeError::Value {
                what: "ct zone",
                value: u64::from(zone),
                rule: "bits within the field",
            };
            Zone::Field(Some(part).filter(|part| part.is_valid()).ok_or(bad)?)
        }
    };
    let table = Some(reader.u8()?).filter(|table| *table != NO_TABLE);
    reader.skip(3)?;
    let alg = reader.u16()?;
    let actions = decode_actions(reader, depth.saturating_add(1))?;
    Ok(Ct {
        commit: flags & CT_COMMIT != 0,
        force: flags & CT_FORCE != 0,
        zone,
        table,
        alg,
        actions,
    })
}

pub(super) fn encode_ct(writer: &mut Writer, ct: &Ct, depth: usize) -> Result<(), EncodeError> {
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    writer.u16(flag(ct.commit, CT_COMMIT) | flag(ct.force, CT_FORCE));
    match ct.zone {
        Zone::Number(zone) => {
            writer.u32(0);
            writer.u16(zone);
        }
        Zone::Field(source) => {
            encode_header(writer, source.field, false, header_bytes(source.field));
            writer.u16(packed(source)?);
        }
    }
    writer.u8(ct.table.unwrap_or(NO_TABLE));
    writer.zeros(3);
    writer.u16(ct.alg);
    encode_actions(writer, &ct.actions, depth.saturating_add(1))
}

pub(super) fn decode_nat(reader: &mut Reader<'_>) -> Result<Nat, DecodeError> {
    reader.skip(2)?;
    let (flags, present) = (reader.u16()?, reader.u16()?);
    let direction = match flags & (NAT_SOURCE | NAT_DESTINATION) {
        0 => None,
        NAT_SOURCE => Some(NatDirection::Source),
        NAT_DESTINATION => Some(NatDirection::Destination),
        _ => {
            return Err(DecodeError::Value {
                what: "nat flags",
                value: u64::from(flags),
                rule: "src or dst, not both",
            });
        }
    };
    let value = u64::from(present);
    if present > 63 || (present & 3 != 0 && present & 12 != 0) {
        let rule = "addresses of one family and ports";
        return Err(DecodeError::Value {
            what: "nat range",
            value,
            rule,
        });
    }
    for (min, max) in [
        (RANGE_IPV4_MIN, RANGE_IPV4_MAX),
        (RANGE_IPV6_MIN, RANGE_IPV6_MAX),
        (RANGE_PORT_MIN, RANGE_PORT_MAX),
    ] {
        if present & max != 0 && present & min == 0 {
            return Err(DecodeError::Value {
                what: "nat range",
                value,
                rule: "no end without a start",
            });
        }
    }
    let ipv4 = |reader: &mut Reader<'_>| {
        reader
            .u32()
            .map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
    };
    let ipv6 = |reader: &mut Reader<'_>| {
        reader
            .number(16)
            .map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
    };
    let mut addresses = None;
    if present & RANGE_IPV4_MIN != 0 {
        addresses = Some((
            ipv4(reader)?,
            optional(present & RANGE_IPV4_MAX != 0, || ipv4(reader))?,
        ));
    }
    if present & RANGE_IPV6_MIN != 0 {
        addresses = Some((
            ipv6(reader)?,
            optional(present & RANGE_IPV6_MAX != 0, || ipv6(reader))?,
        ));
    }
    let mut ports = None;
    if present & RANGE_PORT_MIN != 0 {
        ports = Some((
            reader.u16()?,
            optional(present & RANGE_PORT_MAX != 0, || reader.u16())?,
        ));
    }
    let is_set = |flag| flags & flag != 0;
    let (persistent, hash, random) = (is_set(NAT_PERSISTENT), is_set(NAT_HASH), is_set(NAT_RANDOM));
    Ok(Nat {
        direction,
        persistent,
        hash,
        random,
        addresses,
        ports,
    })
}

fn optional<T>(
    is_there: bool,
    read: impl FnOnce() -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    match is_there {
        true => read().map(Some),
        false => Ok(None),
    }
}

pub(super) fn encode_nat(writer: &mut Writer, nat: &Nat) -> Result<(), EncodeError> {
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let direction = match nat.direction {
        None => 0,
        Some(NatDirection::Source) => NAT_SOURCE,
        Some(NatDirection::Destination) => NAT_DESTINATION,
    };
    let mut present = 0;
    match nat.addresses {
        None => {}
        Some((IpAddr::V4(_), None)) => present |= RANGE_IPV4_MIN,
        Some((IpAddr::V4(_), Some(IpAddr::V4(_)))) => present |= RANGE_IPV4_MIN | RANGE_IPV4_MAX,
        Some((IpAddr::V6(_), None)) => present |= RANGE_IPV6_MIN,
        Some((IpAddr::V6(_), Some(IpAddr::V6(_)))) => present |= RANGE_IPV6_MIN | RANGE_IPV6_MAX,
        Some(_) => {
            return Err(EncodeError::Misplaced {
                what: "a nat range",
                rule: "both ends of one address family",
            });
        }
    }
    present |= flag(nat.ports.is_some(), RANGE_PORT_MIN);
    present |= flag(
        nat.ports.is_some_and(|(_, last)| last.is_some()),
        RANGE_PORT_MAX,
    );
    writer.zeros(2);
    writer.u16(
        direction
            | flag(nat.persistent, NAT_PERSISTENT)
            | flag(nat.hash, NAT_HASH)
            | flag(nat.random, NAT_RANDOM),
    );
    writer.u16(present);
    if let Some((first, last)) = nat.addresses {
        [Some(first), last]
            .into_iter()
            .flatten()
            .for_each(|address| match address {
                IpAddr::V4(address) => writer.slice(&address.octets()),
                IpAddr::V6(address) => writer.slice(&address.octets()),
            });
    }
    if let Some((first, last)) = nat.ports {
        writer.u16(first);
        last.into_iter().for_each(|last| writer.u16(last));
    }
    Ok(())
}
