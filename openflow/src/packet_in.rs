//! Packets handed to the controller: OFPT_PACKET_IN, and NXT_PACKET_IN2, which says more (Open vSwitch `enum nx_packet_in2_prop_type`).
//!
//! Must not: parse packets.

use bytes::Bytes;

use crate::error::{DecodeError, EncodeError};
use crate::flow_mod::NO_BUFFER;
use crate::matches::Match;
use crate::property::{PROPERTIES_MAX, decode_property, encode_property, unknown_property};
use crate::wire::{Reader, Writer};

const PACKET: u16 = 0;
const FULL_LENGTH: u16 = 1;
const BUFFER_ID: u16 = 2;
const TABLE_ID: u16 = 3;
const COOKIE: u16 = 4;
const REASON: u16 = 5;
const METADATA: u16 = 6;
const USERDATA: u16 = 7;
const CONTINUATION: u16 = 8;

/// OFPT_PACKET_IN.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PacketIn {
    /// Where the switch keeps the packet, or [`NO_BUFFER`].
    pub buffer_id: u32,
    /// Bytes of the whole packet.
    pub total_length: u16,
    /// `OFPR_*`.
    pub reason: u8,
    /// The table it came from.
    pub table: u8,
    /// The cookie of the flow that sent it.
    pub cookie: u64,
    /// The packet's metadata, as an exact match.
    pub metadata: Match,
    /// The packet, or its start.
    pub packet: Bytes,
}

impl PacketIn {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.u32(self.buffer_id);
        writer.u16(self.total_length);
        writer.u8(self.reason);
        writer.u8(self.table);
        writer.u64(self.cookie);
        self.metadata.encode(writer)?;
        writer.zeros(2);
        writer.slice(&self.packet);
        Ok(())
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<PacketIn, DecodeError> {
        let (buffer_id, total_length) = (reader.u32()?, reader.u16()?);
        let (reason, table, cookie) = (reader.u8()?, reader.u8()?, reader.u64()?);
        let metadata = Match::decode(&mut reader)?;
        reader.skip(2)?;
        let packet = Bytes::copy_from_slice(reader.rest());
        Ok(PacketIn {
            buffer_id,
            total_length,
            reason,
            table,
            cookie,
            metadata,
            packet,
        })
    }
}

/// NXT_PACKET_IN2 and NXT_RESUME. Sent once the switch was told `SetPacketInFormat(2)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PacketIn2 {
    /// The packet, or its start.
    pub packet: Bytes,
    /// Bytes of the whole packet, if `packet` is less.
    pub full_length: Option<u32>,
    /// Where the switch keeps the packet, or [`NO_BUFFER`].
    pub buffer_id: u32,
    /// The table it came from.
    pub table: u8,
    /// The cookie of the flow that sent it; all ones if there is none.
    pub cookie: u64,
    /// `OFPR_*`.
    pub reason: u8,
    /// The packet's metadata, as an exact match.
    pub metadata: Match,
    /// What the `controller` action carried.
    pub userdata: Bytes,
    /// The state of a packet that waits, to be handed back as it is.
    pub continuation: Option<Bytes>,
}

impl PacketIn2 {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let bytes = |bytes: Bytes| {
            move |writer: &mut Writer| {
                writer.slice(&bytes);
                Ok(())
            }
        };
        encode_property(writer, PACKET, bytes(self.packet.clone()))?;
        if let Some(length) = self.full_length {
            encode_property(
                writer,
                FULL_LENGTH,
                bytes(Bytes::copy_from_slice(&length.to_be_bytes())),
            )?;
        }
        if self.buffer_id != NO_BUFFER {
            encode_property(
                writer,
                BUFFER_ID,
                bytes(Bytes::copy_from_slice(&self.buffer_id.to_be_bytes())),
            )?;
        }
        encode_property(
            writer,
            TABLE_ID,
            bytes(Bytes::copy_from_slice(&[self.table])),
        )?;
        if self.cookie != u64::MAX {
            encode_property(writer, COOKIE, |writer| {
                writer.zeros(4);
                writer.u64(self.cookie);
                Ok(())
            })?;
        }
        encode_property(
            writer,
            REASON,
            bytes(Bytes::copy_from_slice(&[self.reason])),
        )?;
        if !self.metadata.is_empty() {
            encode_property(writer, METADATA, |writer| {
                self.metadata.encode_fields(writer)
            })?;
        }
        if !self.userdata.is_empty() {
            encode_property(writer, USERDATA, bytes(self.userdata.clone()))?;
        }
        match &self.continuation {
            Some(continuation) => {
                encode_property(writer, CONTINUATION, bytes(continuation.clone()))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<PacketIn2, DecodeError> {
        let mut packet_in = PacketIn2 {
            packet: Bytes::new(),
            full_length: None,
            buffer_id: NO_BUFFER,
            table: 0,
            cookie: u64::MAX,
            reason: 0,
            metadata: Match::new(),
            userdata: Bytes::new(),
            continuation: None,
        };
        let mut has_packet = false;
        reader.entries(PROPERTIES_MAX, |reader| {
            let (kind, mut body) = decode_property(reader)?;
            match kind {
                PACKET => {
                    has_packet = true;
                    packet_in.packet = Bytes::copy_from_slice(body.rest());
                }
                FULL_LENGTH => packet_in.full_length = Some(body.u32()?),
                BUFFER_ID => packet_in.buffer_id = body.u32()?,
                TABLE_ID => packet_in.table = body.u8()?,
                COOKIE => {
                    body.skip(4)?;
                    packet_in.cookie = body.u64()?;
                }
                REASON => packet_in.reason = body.u8()?,
                METADATA => {
                    packet_in.metadata = Match::decode_fields(body)?;
                    return Ok(());
                }
                USERDATA => packet_in.userdata = Bytes::copy_from_slice(body.rest()),
                CONTINUATION => packet_in.continuation = Some(Bytes::copy_from_slice(body.rest())),
                _ => return Err(unknown_property("packet-in property", kind)),
            }
            body.end_padding()
        })?;
        match has_packet {
            true => Ok(packet_in),
            false => Err(DecodeError::Truncated {
                what: "packet-in without a packet",
                needed: 4,
                available: 0,
            }),
        }
    }
}
