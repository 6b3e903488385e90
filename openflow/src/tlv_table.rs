//! NXT_TLV_TABLE_MOD, _REQUEST and _REPLY: which Geneve option is which `tun_metadata` field (Open vSwitch `struct nx_tlv_table_mod`).
//!
//! A mapping cannot be changed while flows use it, and flows cannot use a field that is not mapped.
//!
//! Must not: choose options (the pipeline does).

use crate::error::{DecodeError, EncodeError};
use crate::wire::{Reader, Writer};

const MAPPINGS_MAX: usize = 8192;

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TlvMapping {
    /// The option's class.
    pub class: u16,
    /// The option's type.
    pub kind: u8,
    /// Bytes of its body: a multiple of 4, up to 124.
    pub length: u8,
    /// The n of `tun_metadata`n.
    pub index: u16,
}

/// What a table mod does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum TlvCommand {
    /// Adds mappings.
    Add = 0,
    /// Deletes mappings.
    Delete = 1,
    /// Deletes all mappings.
    Clear = 2,
}

/// NXT_TLV_TABLE_MOD.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlvTableMod {
    /// What to do.
    pub command: TlvCommand,
    /// Which mappings.
    pub mappings: Vec<TlvMapping>,
}

/// NXT_TLV_TABLE_REPLY.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlvTableReply {
    /// Bytes that all options together may have.
    pub space_max: u32,
    /// How many fields there are.
    pub fields_max: u16,
    /// What is mapped.
    pub mappings: Vec<TlvMapping>,
}

impl TlvTableMod {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.u16(self.command as u16);
        writer.zeros(6);
        encode_mappings(writer, &self.mappings);
        Ok(())
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<TlvTableMod, DecodeError> {
        let command = match reader.u16()? {
            0 => TlvCommand::Add,
            1 => TlvCommand::Delete,
            2 => TlvCommand::Clear,
            command => {
                return Err(DecodeError::Value {
                    what: "TLV table command",
                    value: u64::from(command),
                    rule: "0 to 2",
                });
            }
        };
        reader.skip(6)?;
        Ok(TlvTableMod {
            command,
            mappings: decode_mappings(reader)?,
        })
    }
}

impl TlvTableReply {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.u32(self.space_max);
        writer.u16(self.fields_max);
        writer.zeros(10);
        encode_mappings(writer, &self.mappings);
        Ok(())
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<TlvTableReply, DecodeError> {
        let (space_max, fields_max) = (reader.u32()?, reader.u16()?);
        reader.skip(10)?;
        Ok(TlvTableReply {
            space_max,
            fields_max,
            mappings: decode_mappings(reader)?,
        })
    }
}

fn encode_mappings(writer: &mut Writer, mappings: &[TlvMapping]) {
    for mapping in mappings {
        writer.u16(mapping.class);
        writer.u8(mapping.kind);
        writer.u8(mapping.length);
        writer.u16(mapping.index);
        writer.zeros(2);
    }
}

fn decode_mappings(mut reader: Reader<'_>) -> Result<Vec<TlvMapping>, DecodeError> {
    reader.entries(MAPPINGS_MAX, |reader| {
        let (class, kind, length, index) =
            (reader.u16()?, reader.u8()?, reader.u8()?, reader.u16()?);
        reader.skip(2)?;
        Ok(TlvMapping {
            class,
            kind,
            length,
            index,
        })
    })
}
