//! NXT_CT_FLUSH and NXT_CT_FLUSH_ZONE: forget tracked connections (Open vSwitch `struct nx_ct_flush`).
//!
//! Must not: know which zone is whose (the pipeline does).

use std::net::{IpAddr, Ipv6Addr};

use crate::error::{DecodeError, EncodeError};
use crate::property::{PROPERTIES_MAX, decode_property, encode_property, unknown_property};
use crate::wire::{Reader, Writer};

const ORIGINAL: u16 = 0;
const REPLY: u16 = 1;
const ZONE: u16 = 2;
const SOURCE: u16 = 0;
const DESTINATION: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
const ICMP_ID: u16 = 4;
const ICMP_TYPE: u16 = 5;
const ICMP_CODE: u16 = 6;

/// Forgets the connections that agree with everything that is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct CtFlush {
    /// IP protocol; 0 for any.
    pub protocol: u8,
    /// The original direction.
    pub original: CtTuple,
    /// The reply direction.
    pub reply: CtTuple,
    /// The zone; `None` for all.
    pub zone: Option<u16>,
}

/// One direction of a connection; what is `None` may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CtTuple {
    /// Source address.
    pub source: Option<IpAddr>,
    /// Destination address.
    pub destination: Option<IpAddr>,
    /// Source port.
    pub source_port: Option<u16>,
    /// Destination port.
    pub destination_port: Option<u16>,
    /// ICMP identifier.
    pub icmp_id: Option<u16>,
    /// ICMP type.
    pub icmp_type: Option<u8>,
    /// ICMP code.
    pub icmp_code: Option<u8>,
}

impl CtFlush {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.u8(self.protocol);
        writer.zeros(7);
        for (kind, tuple) in [(ORIGINAL, &self.original), (REPLY, &self.reply)] {
            if *tuple != CtTuple::default() {
                encode_property(writer, kind, |writer| tuple.encode(writer))?;
            }
        }
        put_u16(writer, ZONE, self.zone)
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<CtFlush, DecodeError> {
        let mut flush = CtFlush {
            protocol: reader.u8()?,
            ..CtFlush::default()
        };
        reader.skip(7)?;
        reader.entries(PROPERTIES_MAX, |reader| {
            let (kind, mut body) = decode_property(reader)?;
            match kind {
                ORIGINAL => flush.original = CtTuple::decode(body)?,
                REPLY => flush.reply = CtTuple::decode(body)?,
                ZONE => {
                    flush.zone = Some(body.u16()?);
                    body.end_padding()?;
                }
                _ => return Err(unknown_property("ct flush property", kind)),
            }
            Ok(())
        })?;
        Ok(flush)
    }
}

impl CtTuple {
    fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        // The header of four bytes and four of padding come before the properties within.
        writer.zeros(4);
        for (kind, address) in [(SOURCE, self.source), (DESTINATION, self.destination)] {
            let Some(address) = address else { continue };
            let address = match address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            encode_property(writer, kind, |writer| {
                writer.slice(&address.octets());
                Ok(())
            })?;
        }
        put_u16(writer, SOURCE_PORT, self.source_port)?;
        put_u16(writer, DESTINATION_PORT, self.destination_port)?;
        put_u16(writer, ICMP_ID, self.icmp_id)?;
        put_u8(writer, ICMP_TYPE, self.icmp_type)?;
        put_u8(writer, ICMP_CODE, self.icmp_code)
    }

    fn decode(mut reader: Reader<'_>) -> Result<CtTuple, DecodeError> {
        let mut tuple = CtTuple::default();
        reader.skip(4)?;
        reader.entries(PROPERTIES_MAX, |reader| {
            let (kind, mut body) = decode_property(reader)?;
            match kind {
                SOURCE => tuple.source = Some(address(&mut body)?),
                DESTINATION => tuple.destination = Some(address(&mut body)?),
                SOURCE_PORT => tuple.source_port = Some(body.u16()?),
                DESTINATION_PORT => tuple.destination_port = Some(body.u16()?),
                ICMP_ID => tuple.icmp_id = Some(body.u16()?),
                ICMP_TYPE => tuple.icmp_type = Some(body.u8()?),
                ICMP_CODE => tuple.icmp_code = Some(body.u8()?),
                _ => return Err(unknown_property("ct tuple property", kind)),
            }
            body.end_padding()
        })?;
        Ok(tuple)
    }
}

fn address(reader: &mut Reader<'_>) -> Result<IpAddr, DecodeError> {
    let address = Ipv6Addr::from_bits(reader.number(16)?);
    Ok(address
        .to_ipv4_mapped()
        .map_or(IpAddr::V6(address), IpAddr::V4))
}

fn put_u16(writer: &mut Writer, kind: u16, value: Option<u16>) -> Result<(), EncodeError> {
    value.map_or(Ok(()), |value| {
        encode_property(writer, kind, |writer| {
            writer.u16(value);
            writer.zeros(2);
            Ok(())
        })
    })
}

fn put_u8(writer: &mut Writer, kind: u16, value: Option<u8>) -> Result<(), EncodeError> {
    value.map_or(Ok(()), |value| {
        encode_property(writer, kind, |writer| {
            writer.u8(value);
            Ok(())
        })
    })
}
