//! OFPT_PACKET_OUT: a packet sent by the controller (OpenFlow 1.5 §7.3.6).
//!
//! Must not: build packets.

use bytes::Bytes;

use crate::action::{Action, decode_actions, encode_actions};
use crate::error::{DecodeError, EncodeError};
use crate::matches::Match;
use crate::wire::{Reader, Writer};

/// The whole message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PacketOut {
    /// A packet that the switch keeps, or [`crate::NO_BUFFER`].
    pub buffer_id: u32,
    /// The packet's metadata, `in_port` at least.
    pub metadata: Match,
    /// What is done with it.
    pub actions: Vec<Action>,
    /// The packet.
    pub packet: Bytes,
}

impl PacketOut {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.u32(self.buffer_id);
        let length_at = writer.len();
        writer.zeros(4);
        self.metadata.encode(writer)?;
        let start = writer.len();
        encode_actions(writer, &self.actions, 0)?;
        writer.patch("packet-out actions", length_at, start)?;
        writer.slice(&self.packet);
        Ok(())
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<PacketOut, DecodeError> {
        let (buffer_id, length) = (reader.u32()?, usize::from(reader.u16()?));
        reader.skip(2)?;
        let metadata = Match::decode(&mut reader)?;
        let actions = decode_actions(reader.part("packet-out actions", length)?, 0)?;
        Ok(PacketOut {
            buffer_id,
            metadata,
            actions,
            packet: Bytes::copy_from_slice(reader.rest()),
        })
    }
}
