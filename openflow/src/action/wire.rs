//! Actions on the wire (OpenFlow 1.5 §7.2.6, Open vSwitch `lib/ofp-actions.c`).
//!
//! Every action is type, length and a body; with padding its length is a multiple of 8. A Nicira action has type 0xffff,
//! vendor 0x2320 and a subtype.
//!
//! Must not: recurse deeper than `DEPTH_MAX`, in either direction.

use super::conntrack::{decode_ct, decode_nat, encode_ct, encode_nat};
use super::table::{Kind, Number};
use super::{Action, COUNT_MAX, Controller, DEPTH_MAX, Multipath};
use crate::error::{DecodeError, EncodeError};
use crate::field::Field;
use crate::matches::{FieldHeader, decode_field, encode_field, encode_header};
use crate::port::PortNo;
use crate::property::{decode_property, encode_property, unknown_property};
use crate::subfield::Subfield;
use crate::wire::{Reader, Writer};

const EXPERIMENTER: u16 = 0xffff;
/// Vendor number of Open vSwitch's extensions.
pub(crate) const NICIRA: u32 = 0x2320;
const CONTROLLER_MAX_LEN: u16 = 0;
const CONTROLLER_ID: u16 = 1;
const CONTROLLER_REASON: u16 = 2;
const CONTROLLER_USERDATA: u16 = 3;
const CONTROLLER_PAUSE: u16 = 4;
const CONTROLLER_METER: u16 = 5;
/// `OFPP_IN_PORT` in 16 bits.
pub(crate) const IN_PORT_16: u16 = 0xfff8;

/// Reads actions until nothing is left.
pub(crate) fn decode_actions(
    mut reader: Reader<'_>,
    depth: usize,
) -> Result<Vec<Action>, DecodeError> {
    if depth > DEPTH_MAX {
        return Err(DecodeError::Depth {
            what: reader.what(),
            limit: DEPTH_MAX,
        });
    }
    reader.entries(COUNT_MAX, |reader| decode_action(reader, depth))
}

fn decode_action(reader: &mut Reader<'_>, depth: usize) -> Result<Action, DecodeError> {
    let kind = reader.u16()?;
    let length = usize::from(reader.u16()?);
    let rule = "a multiple of 8, at least 8";
    let bad = DecodeError::Length {
        what: "action",
        length,
        rule,
    };
    let body = length
        .checked_sub(4)
        .filter(|_| length >= 8 && length.is_multiple_of(8))
        .ok_or(bad)?;
    let whole = reader.take(body)?;
    let unknown = || Action::Unknown {
        kind,
        body: whole.to_vec(),
    };
    let mut reader = Reader::new("action", whole);
    let number = match kind {
        EXPERIMENTER if reader.u32()? == NICIRA => Number::Nicira(reader.u16()?),
        EXPERIMENTER => return Ok(unknown()),
        _ => Number::Standard(kind),
    };
    match Kind::from_number(number) {
        Some(kind) => match decode_body(kind, reader, depth) {
            // A field that is not in the table: the action is passed through as it came.
            Err(DecodeError::UnknownField { .. }) => Ok(unknown()),
            decoded => decoded,
        },
        None => Ok(unknown()),
    }
}

fn decode_body(kind: Kind, mut reader: Reader<'_>, depth: usize) -> Result<Action, DecodeError> {
    let action = match kind {
        Kind::Output => decode_output(&mut reader)?,
        Kind::SetTtl => Action::SetTtl(reader.u8()?),
        Kind::PushVlan => Action::PushVlan(reader.u16()?),
        Kind::PopVlan => Action::PopVlan,
        Kind::SetQueue => Action::SetQueue(reader.u32()?),
        Kind::Group => Action::Group(reader.u32()?),
        Kind::DecTtl => Action::DecTtl,
        Kind::SetField => {
            let entry = decode_field(&mut reader)?;
            Action::SetField {
                field: entry.field,
                value: entry.value,
                mask: entry.mask,
            }
        }
        Kind::Move => decode_move(&mut reader)?,
        Kind::Meter => Action::Meter(reader.u32()?),
        Kind::ResubmitPort => Action::ResubmitFrom {
            in_port: reader.u16()?,
            table: 255,
            original_direction: false,
        },
        Kind::Resubmit | Kind::ResubmitCt => {
            decode_resubmit(&mut reader, kind == Kind::ResubmitCt)?
        }
        Kind::PopQueue => Action::PopQueue,
        Kind::Note => Action::Note(reader.rest().to_vec()),
        Kind::OutputField => decode_output_field(&mut reader)?,
        Kind::OutputField2 => decode_output_field2(&mut reader)?,
        Kind::Exit => Action::Exit,
        Kind::ControllerShort => {
            let (max_len, controller_id, reason) = (reader.u16()?, reader.u16()?, reader.u8()?);
            Action::Controller(Controller {
                max_len,
                controller_id,
                reason,
                ..Controller::default()
            })
        }
        Kind::Controller => return decode_controller(reader),
        Kind::DecTtlControllers => {
            let count = usize::from(reader.u16()?);
            reader.skip(4)?;
            let mut ids = reader.part("dec_ttl controller IDs", count.saturating_mul(2))?;
            Action::DecTtlControllers(ids.entries(COUNT_MAX, Reader::u16)?)
        }
        Kind::Push => Action::Push(decode_stack(&mut reader)?),
        Kind::Pop => Action::Pop(decode_stack(&mut reader)?),
        Kind::Conjunction => {
            let (clause, n) = (reader.u8()?, reader.u8()?);
            let clause = clause
                .checked_add(1)
                .filter(|clause| *clause <= n && n <= 64);
            let rule = "clause 0..n of n up to 64";
            let bad = DecodeError::Value {
                what: "conjunction",
                value: u64::from(n),
                rule,
            };
            Action::Conjunction {
                clause: clause.ok_or(bad)?,
                n,
                id: reader.u32()?,
            }
        }
        Kind::Ct => return decode_ct(reader, depth).map(Action::Ct),
        Kind::Nat => Action::Nat(decode_nat(&mut reader)?),
        Kind::OutputTruncated => Action::OutputTruncated {
            port: reader.u16()?,
            max_len: reader.u32()?,
        },
        Kind::Clone => {
            reader.skip(6)?;
            return decode_actions(reader, depth.saturating_add(1)).map(Action::Clone);
        }
        Kind::CtClear => Action::CtClear,
        Kind::CheckPacketLarger => {
            let (bytes, offset) = (reader.u16()?, reader.u16()?);
            let field = FieldHeader::decode(&mut reader)?.known("check_pkt_larger")?;
            reader.skip(6)?;
            Action::CheckPacketLarger {
                bytes,
                destination: subfield(field, offset, 1)?,
            }
        }
        Kind::Multipath => Action::Multipath(decode_multipath(&mut reader)?),
        Kind::DeleteField => {
            let field = FieldHeader::decode(&mut reader)?.known("delete_field")?;
            reader.skip(10)?;
            Action::DeleteField(field)
        }
        Kind::GotoTable
        | Kind::WriteMetadata
        | Kind::WriteActions
        | Kind::ApplyActions
        | Kind::ClearActions => {
            return Err(DecodeError::Value {
                what: "action",
                value: 0,
                rule: "an instruction is no action",
            });
        }
    };
    reader.end_padding()?;
    Ok(action)
}

fn decode_output(reader: &mut Reader<'_>) -> Result<Action, DecodeError> {
    let (port, max_len) = (PortNo(reader.u32()?), reader.u16()?);
    Ok(match port {
        PortNo::CONTROLLER => Action::OutputController { max_len },
        port => Action::Output(port),
    })
}

fn decode_move(reader: &mut Reader<'_>) -> Result<Action, DecodeError> {
    let (bits, source_offset, destination_offset) = (reader.u16()?, reader.u16()?, reader.u16()?);
    reader.skip(2)?;
    let source = FieldHeader::decode(reader)?.known("move source")?;
    let destination = FieldHeader::decode(reader)?.known("move destination")?;
    Ok(Action::Move {
        source: subfield(source, source_offset, bits)?,
        destination: subfield(destination, destination_offset, bits)?,
    })
}

fn decode_resubmit(
    reader: &mut Reader<'_>,
    original_direction: bool,
) -> Result<Action, DecodeError> {
    let (in_port, table) = (reader.u16()?, reader.u8()?);
    Ok(match (in_port, table, original_direction) {
        (IN_PORT_16, 0..=254, false) => Action::Resubmit { table },
        _ => Action::ResubmitFrom {
            in_port,
            table,
            original_direction,
        },
    })
}

fn decode_output_field(reader: &mut Reader<'_>) -> Result<Action, DecodeError> {
    let packed = reader.u16()?;
    let field = FieldHeader::decode(reader)?.known("output field")?;
    reader.skip(8)?;
    packed_subfield(field, packed).map(Action::OutputField)
}

fn decode_output_field2(reader: &mut Reader<'_>) -> Result<Action, DecodeError> {
    let packed = reader.u16()?;
    reader.skip(2)?;
    let field = FieldHeader::decode(reader)?.known("output field")?;
    reader.rest();
    packed_subfield(field, packed).map(Action::OutputField)
}

fn decode_stack(reader: &mut Reader<'_>) -> Result<Subfield, DecodeError> {
    let offset = reader.u16()?;
    let field = FieldHeader::decode(reader)?.known("push or pop")?;
    subfield(field, offset, reader.u16()?)
}

fn decode_multipath(reader: &mut Reader<'_>) -> Result<Multipath, DecodeError> {
    let (fields, basis) = (reader.u16()?, reader.u16()?);
    reader.skip(2)?;
    let (algorithm, last, argument) = (reader.u16()?, reader.u16()?, reader.u32()?);
    reader.skip(2)?;
    let packed = reader.u16()?;
    let field = FieldHeader::decode(reader)?.known("multipath")?;
    Ok(Multipath {
        fields,
        basis,
        algorithm,
        last,
        argument,
        destination: packed_subfield(field, packed)?,
    })
}

fn decode_controller(mut reader: Reader<'_>) -> Result<Action, DecodeError> {
    reader.skip(6)?;
    let mut controller = Controller::default();
    reader.entries(COUNT_MAX, |reader| {
        let (kind, mut part) = decode_property(reader)?;
        match kind {
            CONTROLLER_MAX_LEN => controller.max_len = part.u16()?,
            CONTROLLER_ID => controller.controller_id = part.u16()?,
            CONTROLLER_REASON => controller.reason = part.u8()?,
            CONTROLLER_USERDATA => controller.userdata = part.rest().to_vec(),
            CONTROLLER_PAUSE => controller.pause = true,
            CONTROLLER_METER => controller.meter = Some(part.u32()?),
            _ => return Err(unknown_property("controller property", kind)),
        }
        part.end_padding()
    })?;
    Ok(Action::Controller(controller))
}

fn subfield(field: Field, offset: u16, bits: u16) -> Result<Subfield, DecodeError> {
    let subfield = Subfield {
        field,
        offset,
        bits,
    };
    let rule = "bits within the field";
    let bad = DecodeError::Value {
        what: field.spec().name,
        value: u64::from(offset),
        rule,
    };
    Some(subfield)
        .filter(|subfield| subfield.is_valid())
        .ok_or(bad)
}

/// Offset in the upper ten bits, bits less one in the lower six.
fn packed_subfield(field: Field, packed: u16) -> Result<Subfield, DecodeError> {
    subfield(field, packed >> 6, (packed & 0x3f).saturating_add(1))
}

pub(crate) fn packed(subfield: Subfield) -> Result<u16, EncodeError> {
    let rule = "at most 64 bits at a time";
    let bad = EncodeError::Misplaced {
        what: "this run of bits",
        rule,
    };
    let bits = subfield
        .bits
        .checked_sub(1)
        .filter(|bits| *bits < 64)
        .ok_or(bad)?;
    Ok((subfield.offset << 6) | bits)
}

/// Writes actions one after the other.
pub(crate) fn encode_actions(
    writer: &mut Writer,
    actions: &[Action],
    depth: usize,
) -> Result<(), EncodeError> {
    if depth > DEPTH_MAX {
        return Err(EncodeError::Misplaced {
            what: "an action",
            rule: "at most 8 levels of nesting",
        });
    }
    actions
        .iter()
        .try_for_each(|action| encode_action(writer, action, depth))
}

fn encode_action(writer: &mut Writer, action: &Action, depth: usize) -> Result<(), EncodeError> {
    let start = writer.len();
    encode_unpadded(writer, action, depth)?;
    writer.pad(start);
    writer.patch("action", start.saturating_add(2), start)
}

/// Type, length (patched by the caller) and, for Nicira's, vendor and subtype.
fn begin(writer: &mut Writer, kind: Kind) {
    match kind.number() {
        Number::Nicira(subtype) => {
            writer.u16(EXPERIMENTER);
            writer.u16(0);
            writer.u32(NICIRA);
            writer.u16(subtype);
        }
        number => {
            writer.u16(number.value());
            writer.u16(0);
        }
    }
}

fn encode_unpadded(writer: &mut Writer, action: &Action, depth: usize) -> Result<(), EncodeError> {
    match action {
        Action::Output(port) => {
            let max_len = if *port == PortNo::CONTROLLER {
                65535
            } else {
                0
            };
            encode_output(writer, *port, max_len);
        }
        Action::OutputController { max_len } => encode_output(writer, PortNo::CONTROLLER, *max_len),
        Action::OutputField(source) => {
            begin(writer, Kind::OutputField);
            writer.u16(packed(*source)?);
            encode_header(writer, source.field, false, header_bytes(source.field));
            writer.u16(65535);
            writer.zeros(6);
        }
        Action::OutputTruncated { port, max_len } => {
            begin(writer, Kind::OutputTruncated);
            writer.u16(*port);
            writer.u32(*max_len);
        }
        Action::Group(group) => encode_u32(writer, Kind::Group, *group),
        Action::SetField { field, value, mask } => {
            begin(writer, Kind::SetField);
            encode_field(writer, *field, *value, *mask)?;
        }
        Action::Move {
            source,
            destination,
        } => encode_move(writer, *source, *destination)?,
        Action::Resubmit { table } => encode_resubmit(writer, Kind::Resubmit, IN_PORT_16, *table),
        Action::ResubmitFrom {
            in_port,
            table,
            original_direction,
        } => {
            let kind = if *original_direction {
                Kind::ResubmitCt
            } else {
                Kind::Resubmit
            };
            encode_resubmit(writer, kind, *in_port, *table);
        }
        Action::DecTtl => begin(writer, Kind::DecTtl),
        Action::DecTtlControllers(ids) => {
            begin(writer, Kind::DecTtlControllers);
            let bad = EncodeError::TooLong {
                what: "dec_ttl",
                length: ids.len(),
                limit: 65535,
            };
            writer.u16(u16::try_from(ids.len()).map_err(|_| bad)?);
            writer.zeros(4);
            ids.iter().for_each(|id| writer.u16(*id));
        }
        Action::SetTtl(ttl) => {
            begin(writer, Kind::SetTtl);
            writer.u8(*ttl);
        }
        Action::Push(subfield) => encode_stack(writer, Kind::Push, *subfield),
        Action::Pop(subfield) => encode_stack(writer, Kind::Pop, *subfield),
        Action::PushVlan(ethertype) => {
            begin(writer, Kind::PushVlan);
            writer.u16(*ethertype);
        }
        Action::PopVlan => begin(writer, Kind::PopVlan),
        Action::SetQueue(queue) => encode_u32(writer, Kind::SetQueue, *queue),
        Action::PopQueue => begin(writer, Kind::PopQueue),
        Action::Controller(controller) => encode_controller(writer, controller)?,
        Action::Meter(meter) => encode_u32(writer, Kind::Meter, *meter),
        Action::Clone(actions) => {
            begin(writer, Kind::Clone);
            writer.zeros(6);
            encode_actions(writer, actions, depth.saturating_add(1))?;
        }
        Action::Conjunction { id, clause, n } => {
            begin(writer, Kind::Conjunction);
            let rule = "clauses are counted from 1";
            let bad = EncodeError::Misplaced {
                what: "conjunction clause 0",
                rule,
            };
            writer.u8(clause.checked_sub(1).ok_or(bad)?);
            writer.u8(*n);
            writer.u32(*id);
        }
        Action::Ct(ct) => {
            begin(writer, Kind::Ct);
            encode_ct(writer, ct, depth)?;
        }
        Action::CtClear => begin(writer, Kind::CtClear),
        Action::Nat(nat) => {
            begin(writer, Kind::Nat);
            encode_nat(writer, nat)?;
        }
        Action::CheckPacketLarger { bytes, destination } => {
            begin(writer, Kind::CheckPacketLarger);
            writer.u16(*bytes);
            writer.u16(destination.offset);
            encode_header(
                writer,
                destination.field,
                false,
                header_bytes(destination.field),
            );
            writer.zeros(6);
        }
        Action::Multipath(multipath) => encode_multipath(writer, *multipath)?,
        Action::DeleteField(field) => {
            begin(writer, Kind::DeleteField);
            encode_header(writer, *field, false, header_bytes(*field));
            writer.zeros(10);
        }
        Action::Note(bytes) => {
            begin(writer, Kind::Note);
            writer.slice(bytes);
        }
        Action::Exit => begin(writer, Kind::Exit),
        Action::WriteMetadata { .. }
        | Action::GotoTable(_)
        | Action::ClearActions
        | Action::WriteActions(_) => {
            let rule = "instructions stand at the end of a flow, not within actions, groups or packet-outs";
            return Err(EncodeError::Misplaced {
                what: "an instruction",
                rule,
            });
        }
        Action::Unknown { kind, body } => {
            writer.u16(*kind);
            writer.u16(0);
            writer.slice(body);
        }
    }
    Ok(())
}

fn encode_output(writer: &mut Writer, port: PortNo, max_len: u16) {
    begin(writer, Kind::Output);
    writer.u32(port.0);
    writer.u16(max_len);
    writer.zeros(6);
}

fn encode_u32(writer: &mut Writer, kind: Kind, value: u32) {
    begin(writer, kind);
    writer.u32(value);
}

fn encode_resubmit(writer: &mut Writer, kind: Kind, in_port: u16, table: u8) {
    begin(writer, kind);
    writer.u16(in_port);
    writer.u8(table);
}

fn encode_move(
    writer: &mut Writer,
    source: Subfield,
    destination: Subfield,
) -> Result<(), EncodeError> {
    if source.bits != destination.bits {
        return Err(EncodeError::Misplaced {
            what: "a move",
            rule: "as many bits at both ends",
        });
    }
    begin(writer, Kind::Move);
    writer.u16(source.bits);
    writer.u16(source.offset);
    writer.u16(destination.offset);
    writer.zeros(2);
    encode_header(writer, source.field, false, header_bytes(source.field));
    encode_header(
        writer,
        destination.field,
        false,
        header_bytes(destination.field),
    );
    Ok(())
}

fn encode_multipath(writer: &mut Writer, multipath: Multipath) -> Result<(), EncodeError> {
    let field = multipath.destination.field;
    begin(writer, Kind::Multipath);
    writer.u16(multipath.fields);
    writer.u16(multipath.basis);
    writer.zeros(2);
    writer.u16(multipath.algorithm);
    writer.u16(multipath.last);
    writer.u32(multipath.argument);
    writer.zeros(2);
    writer.u16(packed(multipath.destination)?);
    encode_header(writer, field, false, header_bytes(field));
    Ok(())
}

fn encode_stack(writer: &mut Writer, kind: Kind, subfield: Subfield) {
    begin(writer, kind);
    writer.u16(subfield.offset);
    encode_header(writer, subfield.field, false, header_bytes(subfield.field));
    writer.u16(subfield.bits);
}

/// Bytes that a header without a value announces; Open vSwitch wants 124 for Geneve options.
pub(crate) fn header_bytes(field: Field) -> usize {
    match field {
        Field::TunMetadata(_) => 124,
        _ => usize::from(field.spec().bytes),
    }
}

fn encode_controller(writer: &mut Writer, controller: &Controller) -> Result<(), EncodeError> {
    let Controller {
        max_len,
        controller_id,
        reason,
        userdata,
        pause,
        meter,
    } = controller;
    if userdata.is_empty() && !pause && meter.is_none() {
        begin(writer, Kind::ControllerShort);
        writer.u16(*max_len);
        writer.u16(*controller_id);
        writer.u8(*reason);
        return Ok(());
    }
    begin(writer, Kind::Controller);
    writer.zeros(6);
    let mut property = |kind: u16, is_sent: bool, body: &[u8]| match is_sent {
        false => Ok(()),
        true => encode_property(writer, kind, |writer| {
            writer.slice(body);
            Ok(())
        }),
    };
    // Two bytes of padding count, as Open vSwitch has it for 16-bit properties.
    let wide = |number: u16| (u32::from(number) << 16).to_be_bytes();
    property(CONTROLLER_MAX_LEN, *max_len != 65535, &wide(*max_len))?;
    property(CONTROLLER_ID, *controller_id != 0, &wide(*controller_id))?;
    property(CONTROLLER_REASON, *reason != 1, &[*reason])?;
    property(CONTROLLER_USERDATA, !userdata.is_empty(), userdata)?;
    property(CONTROLLER_PAUSE, *pause, &[])?;
    property(
        CONTROLLER_METER,
        meter.is_some(),
        &meter.unwrap_or(0).to_be_bytes(),
    )
}
