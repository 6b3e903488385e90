//! OFPMP_TABLE_FEATURES and OFPMP_TABLE_DESC: tables, their capacities and configuration (OpenFlow 1.5 §7.3.5.4, §7.3.5.18).
//!
//! Must not: read the property lists (what a table can match is probed by using it).

use bytes::Bytes;

use super::desc::{decode_text, encode_text};
use crate::error::{DecodeError, EncodeError};
use crate::wire::{Reader, Writer};

const NAME_LENGTH: usize = 32;
const FEATURES_LENGTH: usize = 64;
const DESC_LENGTH: usize = 8;

/// What a table can do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableFeatures {
    /// The table.
    pub table: u8,
    /// `OFPTFC_*`; 0 in replies.
    pub command: u8,
    /// `OFPTFF_*`.
    pub features: u32,
    /// Its name, up to 31 bytes.
    pub name: Bytes,
    /// Bits of the metadata it can match.
    pub metadata_match: u64,
    /// Bits of the metadata it can write.
    pub metadata_write: u64,
    /// `OFPTC_*` it can be configured to.
    pub capabilities: u32,
    /// Flows it can hold.
    pub flows_max: u32,
    /// Instructions, actions and fields it knows, as they came.
    pub properties: Bytes,
}

/// How a table is configured.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableDesc {
    /// The table.
    pub table: u8,
    /// `OFPTC_*`.
    pub config: u32,
    /// Eviction and vacancy, as they came.
    pub properties: Bytes,
}

impl TableFeatures {
    pub(super) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let start = writer.len();
        writer.zeros(2);
        writer.u8(self.table);
        writer.u8(self.command);
        writer.u32(self.features);
        encode_text(writer, &self.name, NAME_LENGTH)?;
        writer.u64(self.metadata_match);
        writer.u64(self.metadata_write);
        writer.u32(self.capabilities);
        writer.u32(self.flows_max);
        writer.slice(&self.properties);
        writer.patch("table features", start, start)
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<TableFeatures, DecodeError> {
        let length = usize::from(reader.u16()?);
        let bad = DecodeError::Length {
            what: "table features",
            length,
            rule: "at least 64",
        };
        let properties = length.checked_sub(FEATURES_LENGTH).ok_or(bad)?;
        Ok(TableFeatures {
            table: reader.u8()?,
            command: reader.u8()?,
            features: reader.u32()?,
            name: decode_text(reader, NAME_LENGTH)?,
            metadata_match: reader.u64()?,
            metadata_write: reader.u64()?,
            capabilities: reader.u32()?,
            flows_max: reader.u32()?,
            properties: Bytes::copy_from_slice(reader.take(properties)?),
        })
    }
}

impl TableDesc {
    pub(super) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let start = writer.len();
        writer.zeros(2);
        writer.u8(self.table);
        writer.zeros(1);
        writer.u32(self.config);
        writer.slice(&self.properties);
        writer.patch("table description", start, start)
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<TableDesc, DecodeError> {
        let (length, table) = (usize::from(reader.u16()?), reader.u8()?);
        reader.skip(1)?;
        let config = reader.u32()?;
        let bad = DecodeError::Length {
            what: "table description",
            length,
            rule: "at least 8",
        };
        let properties = reader.take(length.checked_sub(DESC_LENGTH).ok_or(bad)?)?;
        Ok(TableDesc {
            table,
            config,
            properties: Bytes::copy_from_slice(properties),
        })
    }
}
