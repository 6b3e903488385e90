//! The switch as a whole: OFPT_FEATURES_REPLY, OFPT_SET_CONFIG and OFPT_GET_CONFIG_REPLY (OpenFlow 1.5 §7.3.1, §7.3.2).
//!
//! Must not: probe (the session does).

use crate::error::{DecodeError, EncodeError};
use crate::wire::{Reader, Writer};

/// OFPT_FEATURES_REPLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Features {
    /// The bridge.
    pub datapath_id: u64,
    /// Packets the switch can keep.
    pub buffers: u32,
    /// Tables.
    pub tables: u8,
    /// 0 for the main connection.
    pub auxiliary_id: u8,
    /// `OFPC_*`.
    pub capabilities: u32,
    /// Not used.
    pub reserved: u32,
}

impl Features {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.u64(self.datapath_id);
        writer.u32(self.buffers);
        writer.u8(self.tables);
        writer.u8(self.auxiliary_id);
        writer.zeros(2);
        writer.u32(self.capabilities);
        writer.u32(self.reserved);
        Ok(())
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<Features, DecodeError> {
        let (datapath_id, buffers) = (reader.u64()?, reader.u32()?);
        let (tables, auxiliary_id) = (reader.u8()?, reader.u8()?);
        reader.skip(2)?;
        let (capabilities, reserved) = (reader.u32()?, reader.u32()?);
        reader.end()?;
        Ok(Features {
            datapath_id,
            buffers,
            tables,
            auxiliary_id,
            capabilities,
            reserved,
        })
    }
}

/// OFPT_SET_CONFIG and OFPT_GET_CONFIG_REPLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SwitchConfig {
    /// How fragments are treated; 0 for as packets.
    pub flags: u16,
    /// Bytes of a packet in a packet-in; 0xffff for all. A switch that was dialled sends no asynchronous message before
    /// it was told one other than 0.
    pub miss_send_len: u16,
}

impl SwitchConfig {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.u16(self.flags);
        writer.u16(self.miss_send_len);
        Ok(())
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<SwitchConfig, DecodeError> {
        let config = SwitchConfig {
            flags: reader.u16()?,
            miss_send_len: reader.u16()?,
        };
        reader.end()?;
        Ok(config)
    }
}
