//! Matches on the wire: `ofp_match` and its OXM fields (OpenFlow 1.5 §7.2.3, Open vSwitch `lib/nx-match.c`).
//!
//! What is written is what Open vSwitch writes for the same match: registers in pairs as `OXM_OF_PKT_REG`, VLAN as
//! `OXM_OF_VLAN_VID` and `_PCP`, the ingress port in 32 bits.
//!
//! Must not: hold more than the one length byte allows (255 bytes a field).

use super::{Match, MatchField, UnknownField};
use crate::error::{DecodeError, EncodeError};
use crate::field::{Field, OXM_EXPERIMENTER};
use crate::port::PortNo;
use crate::wire::{Reader, Writer};

/// Most fields of one match; Open vSwitch knows fewer than 200.
const FIELDS_MAX: usize = 256;
const OFPMT_OXM: u16 = 1;

/// A field as its OXM header announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FieldHeader {
    pub(crate) raw: u32,
    pub(crate) field: Option<Field>,
    pub(crate) has_mask: bool,
    pub(crate) length: usize,
}

impl FieldHeader {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<FieldHeader, DecodeError> {
        let raw = reader.u32()?;
        let [high, low, number, length] = raw.to_be_bytes();
        let class = u16::from_be_bytes([high, low]);
        let field = match class {
            OXM_EXPERIMENTER => None,
            _ => Field::from_number(class, number >> 1),
        };
        Ok(FieldHeader {
            raw,
            field,
            has_mask: number & 1 == 1,
            length: usize::from(length),
        })
    }

    /// The header's field, or the error that names its number.
    pub(crate) fn known(&self, what: &'static str) -> Result<Field, DecodeError> {
        let [high, low, number, _] = self.raw.to_be_bytes();
        let class = u16::from_be_bytes([high, low]);
        self.field.ok_or(DecodeError::UnknownField {
            what,
            class,
            number: number >> 1,
        })
    }
}

impl Match {
    /// Reads `ofp_match` with its padding.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Match, DecodeError> {
        let kind = reader.u16()?;
        if kind != OFPMT_OXM {
            return Err(DecodeError::Value {
                what: "match type",
                value: u64::from(kind),
                rule: "1, OXM",
            });
        }
        let length = usize::from(reader.u16()?);
        let body = length.checked_sub(4).ok_or(DecodeError::Length {
            what: "match",
            length,
            rule: "at least 4",
        })?;
        let decoded = Match::decode_fields(reader.part("match", body)?)?;
        reader.skip(length.next_multiple_of(8).saturating_sub(length))?;
        Ok(decoded)
    }

    /// Reads OXM fields without a header around them.
    pub(crate) fn decode_fields(mut reader: Reader<'_>) -> Result<Match, DecodeError> {
        let mut decoded = Match::new();
        let fields = reader.entries(FIELDS_MAX, |reader| {
            let header = FieldHeader::decode(reader)?;
            match header
                .field
                .filter(|field| is_representable(*field, header))
            {
                Some(field) => decode_body(reader, field, header).map(Ok),
                None => Ok(Err(UnknownField {
                    header: header.raw,
                    body: reader.take(header.length)?.to_vec(),
                })),
            }
        })?;
        for field in fields {
            match field {
                Ok(entry) => decoded.insert_decoded(entry)?,
                Err(unknown) => decoded.unknown.push(unknown),
            }
        }
        decoded.unknown.sort();
        Ok(decoded)
    }

    /// Writes `ofp_match` with its padding.
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let start = writer.len();
        writer.u16(OFPMT_OXM);
        writer.u16(0);
        self.encode_fields(writer)?;
        writer.patch("match", start.saturating_add(2), start)?;
        writer.pad(start);
        Ok(())
    }

    /// Writes OXM fields without a header around them.
    pub(crate) fn encode_fields(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let mut pair_done = None;
        for entry in &self.fields {
            match entry.field {
                Field::Reg(n) if pair_done == Some(n >> 1) => {}
                Field::Reg(n) => {
                    pair_done = Some(n >> 1);
                    let (value, mask) = self.register_pair(n & !1);
                    encode_field(writer, Field::XReg(n >> 1), value, mask)?;
                }
                Field::VlanTci => encode_vlan(writer, entry)?,
                Field::InPort if entry.is_exact() => {
                    let port = PortNo::from_u16(u16::try_from(entry.value).unwrap_or(u16::MAX));
                    encode_field(
                        writer,
                        Field::InPortOxm,
                        u128::from(port.0),
                        Field::InPortOxm.all_ones(),
                    )?;
                }
                // Their unused high bits are wildcards to Open vSwitch, even in an exact match.
                Field::CtState | Field::TunFlags => encode_masked(writer, entry),
                _ => encode_field(writer, entry.field, entry.value, entry.mask)?,
            }
        }
        for unknown in &self.unknown {
            writer.u32(unknown.header);
            writer.slice(&unknown.body);
        }
        Ok(())
    }

    fn register_pair(&self, even: u8) -> (u128, u128) {
        let half = |index| {
            self.get(Field::Reg(index))
                .map_or((0, 0), |entry| (entry.value, entry.mask))
        };
        let ((high, high_mask), (low, low_mask)) = (half(even), half(even | 1));
        ((high << 32) | low, (high_mask << 32) | low_mask)
    }

    fn insert_decoded(&mut self, entry: MatchField) -> Result<(), DecodeError> {
        if entry.field == Field::InPortOxm {
            let value = u32::try_from(entry.value).unwrap_or(u32::MAX);
            let rule = "a port below 0xff00 or a reserved one";
            let error = DecodeError::Value {
                what: "in_port",
                value: u64::from(value),
                rule,
            };
            self.insert(
                Field::InPort,
                u128::from(PortNo(value).to_u16().ok_or(error)?),
                0xffff,
            );
            return Ok(());
        }
        self.insert(entry.field, entry.value, entry.mask);
        Ok(())
    }
}

/// Reads header, value and mask of a field that must be known, as set-field carries one.
pub(crate) fn decode_field(reader: &mut Reader<'_>) -> Result<MatchField, DecodeError> {
    let header = FieldHeader::decode(reader)?;
    let field = header.known(reader.what())?;
    decode_body(reader, field, header)
}

fn decode_body(
    reader: &mut Reader<'_>,
    field: Field,
    header: FieldHeader,
) -> Result<MatchField, DecodeError> {
    let half = match header.has_mask {
        true => header.length / 2,
        false => header.length,
    };
    let what = field.spec().name;
    let bytes = usize::from(field.spec().bytes);
    let is_whole = !header.has_mask || header.length.is_multiple_of(2);
    if !is_whole || (bytes != 0 && half != bytes) {
        let rule = "the field's bytes, twice with a mask";
        return Err(DecodeError::Length {
            what,
            length: header.length,
            rule,
        });
    }
    let value = reader.number(half)?;
    let wire_ones = match half {
        0..=15 => {
            !(u128::MAX
                .checked_shl(u32::try_from(half.saturating_mul(8)).unwrap_or(0))
                .unwrap_or(0))
        }
        _ => u128::MAX,
    };
    let mask = match header.has_mask {
        true => reader.number(half)?,
        false => field.all_ones(),
    };
    // A mask of all bytes sent is an exact match, unused high bits of the field aside. Of an option, more bytes may exist.
    let mask = match mask == wire_ones && bytes != 0 {
        true => field.all_ones(),
        false => mask,
    };
    if (value & mask) & !field.all_ones() != 0 || mask & !field.all_ones() != 0 {
        let value = u64::try_from(value).unwrap_or(u64::MAX);
        return Err(DecodeError::Value {
            what,
            value,
            rule: "no bits beyond the field's width",
        });
    }
    Ok(MatchField {
        field,
        value: value & mask,
        mask: field.normal_mask(mask),
    })
}

/// Geneve options longer than a number holds are passed through as unknown fields.
fn is_representable(field: Field, header: FieldHeader) -> bool {
    let half = match header.has_mask {
        true => header.length / 2,
        false => header.length,
    };
    !matches!(field, Field::TunMetadata(_)) || half <= 16
}

/// Writes header, value and, unless it is exact, mask.
pub(crate) fn encode_field(
    writer: &mut Writer,
    field: Field,
    value: u128,
    mask: u128,
) -> Result<(), EncodeError> {
    if value & !field.all_ones() != 0 {
        return Err(EncodeError::TooWide {
            field: field.to_string(),
            value,
            bits: field.width_bits(),
        });
    }
    let is_exact = mask & field.all_ones() == field.all_ones();
    let bytes = match field {
        Field::TunMetadata(_) if is_exact => option_bytes(value),
        Field::TunMetadata(_) => option_bytes(value | mask),
        _ => usize::from(field.spec().bytes),
    };
    encode_header(writer, field, !is_exact, bytes);
    writer.number(value, bytes);
    if !is_exact {
        writer.number(mask, bytes);
    }
    Ok(())
}

fn encode_masked(writer: &mut Writer, entry: &MatchField) {
    let bytes = usize::from(entry.field.spec().bytes);
    encode_header(writer, entry.field, true, bytes);
    writer.number(entry.value, bytes);
    writer.number(entry.mask, bytes);
}

/// Writes the OXM header of a field of `bytes` bytes.
pub(crate) fn encode_header(writer: &mut Writer, field: Field, has_mask: bool, bytes: usize) {
    let (class, number) = field.number();
    let length = match has_mask {
        true => bytes.saturating_mul(2),
        false => bytes,
    };
    writer.u16(class);
    writer.u8((number << 1) | u8::from(has_mask));
    writer.u8(u8::try_from(length).unwrap_or(u8::MAX));
}

/// Geneve options are whole 4-byte words; Open vSwitch extends a shorter one with zeros at its high end.
fn option_bytes(number: u128) -> usize {
    let bits = 128_u32.saturating_sub(number.leading_zeros()).max(1);
    usize::try_from(bits.div_ceil(32).saturating_mul(4)).unwrap_or(16)
}

fn encode_vlan(writer: &mut Writer, entry: &MatchField) -> Result<(), EncodeError> {
    let (vid, vid_mask) = (entry.value & 0x1fff, entry.mask & 0x1fff);
    let (pcp, pcp_mask) = (entry.value >> 13, entry.mask >> 13);
    let is_oxm = pcp_mask == 0 || (pcp_mask == 7 && vid & 0x1000 != 0);
    if !is_oxm {
        return encode_field(writer, Field::VlanTci, entry.value, entry.mask);
    }
    encode_field(writer, Field::VlanVid, vid, vid_mask)?;
    match pcp_mask {
        0 => Ok(()),
        _ => encode_field(writer, Field::VlanPcp, pcp, 7),
    }
}
