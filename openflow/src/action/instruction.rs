//! Instructions of a flow: apply-actions, and those that weft does not send but must read (OpenFlow 1.5 §7.2.5).
//!
//! The list of a flow is the actions of apply-actions followed by the others in the order in which a switch carries them
//! out: clear-actions, write-actions, write-metadata, goto-table.
//!
//! Must not: appear in groups or packet-outs, which carry actions only.

use super::Action;
use super::table::{Kind, Number};
use super::wire::{decode_actions, encode_actions};
use crate::error::{DecodeError, EncodeError};
use crate::wire::{Reader, Writer};

/// Instructions of one flow; there are six kinds and none may be repeated.
const COUNT_MAX: usize = 8;

/// Reads instructions until nothing is left.
pub(crate) fn decode_instructions(mut reader: Reader<'_>) -> Result<Vec<Action>, DecodeError> {
    let mut seen = Vec::new();
    let mut instructions = reader.entries(COUNT_MAX, |reader| {
        let (number, length) = (reader.u16()?, usize::from(reader.u16()?));
        let bad = DecodeError::Length {
            what: "instruction",
            length,
            rule: "a multiple of 8, at least 8",
        };
        let body = length
            .checked_sub(4)
            .filter(|_| length >= 8 && length.is_multiple_of(8))
            .ok_or(bad)?;
        let reader = reader.part("instruction", body)?;
        let rule = "1 to 5, each once";
        let bad = DecodeError::Value {
            what: "instruction",
            value: u64::from(number),
            rule,
        };
        let kind = Kind::from_number(Number::Instruction(number))
            .filter(|_| !seen.contains(&number))
            .ok_or(bad)?;
        seen.push(number);
        decode_instruction(kind, reader).map(|actions| (rank(kind), actions))
    })?;
    instructions.sort_by_key(|(rank, _)| *rank);
    Ok(instructions
        .into_iter()
        .flat_map(|(_, actions)| actions)
        .collect())
}

fn decode_instruction(kind: Kind, mut reader: Reader<'_>) -> Result<Vec<Action>, DecodeError> {
    let action = match kind {
        Kind::GotoTable => Action::GotoTable(reader.u8()?),
        Kind::WriteMetadata => {
            reader.skip(4)?;
            let (value, mask) = (reader.u64()?, reader.u64()?);
            Action::WriteMetadata {
                value: value & mask,
                mask,
            }
        }
        Kind::ClearActions => Action::ClearActions,
        Kind::WriteActions => {
            reader.skip(4)?;
            return Ok(vec![Action::WriteActions(decode_actions(reader, 1)?)]);
        }
        _ => {
            reader.skip(4)?;
            return decode_actions(reader, 0);
        }
    };
    reader.end_padding()?;
    Ok(vec![action])
}

fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::ApplyActions => 0,
        Kind::ClearActions => 1,
        Kind::WriteActions => 2,
        Kind::WriteMetadata => 3,
        _ => 4,
    }
}

/// Writes the instructions for a flow's list of actions.
pub(crate) fn encode_instructions(
    writer: &mut Writer,
    actions: &[Action],
) -> Result<(), EncodeError> {
    let is_instruction = |action: &Action| instruction(action).is_some();
    let applied = actions
        .iter()
        .position(is_instruction)
        .unwrap_or(actions.len());
    let (apply, others) = actions.split_at_checked(applied).unwrap_or((actions, &[]));
    if !apply.is_empty() {
        begin(writer, Kind::ApplyActions, |writer| {
            writer.zeros(4);
            encode_actions(writer, apply, 0)
        })?;
    }
    let mut last = 0;
    for action in others {
        let rule = "after the actions, each once: clear_actions, write_actions, write_metadata, goto_table";
        let bad = EncodeError::Misplaced {
            what: "an action or instruction",
            rule,
        };
        let kind = instruction(action)
            .filter(|kind| rank(*kind) > last)
            .ok_or(bad)?;
        last = rank(kind);
        begin(writer, kind, |writer| match action {
            Action::GotoTable(table) => {
                writer.u8(*table);
                writer.zeros(3);
                Ok(())
            }
            Action::WriteMetadata { value, mask } => {
                writer.zeros(4);
                writer.u64(*value);
                writer.u64(*mask);
                Ok(())
            }
            Action::WriteActions(actions) => {
                writer.zeros(4);
                encode_actions(writer, actions, 1)
            }
            _ => {
                writer.zeros(4);
                Ok(())
            }
        })?;
    }
    Ok(())
}

fn instruction(action: &Action) -> Option<Kind> {
    match action {
        Action::GotoTable(_) => Some(Kind::GotoTable),
        Action::WriteMetadata { .. } => Some(Kind::WriteMetadata),
        Action::WriteActions(_) => Some(Kind::WriteActions),
        Action::ClearActions => Some(Kind::ClearActions),
        _ => None,
    }
}

fn begin(
    writer: &mut Writer,
    kind: Kind,
    body: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = writer.len();
    writer.u16(kind.number().value());
    writer.u16(0);
    body(writer)?;
    writer.patch("instruction", start.saturating_add(2), start)
}
