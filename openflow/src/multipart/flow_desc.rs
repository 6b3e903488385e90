//! OFPMP_FLOW_DESC: flows with their counters, as OpenFlow 1.5 and Open vSwitch 3.1 give them (§7.3.5.2, `struct ofp15_flow_desc`).
//!
//! Must not: compare flows (see `Flow::canonical`).

use crate::action::{decode_instructions, encode_instructions};
use crate::error::{DecodeError, EncodeError};
use crate::flow::Flow;
use crate::flow_mod::{ALL_TABLES, ANY_GROUP};
use crate::matches::Match;
use crate::port::PortNo;
use crate::stats::FlowStats;
use crate::wire::{Reader, Writer};

/// Which flows are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FlowRequest {
    /// The table, or [`ALL_TABLES`].
    pub table: u8,
    /// Only flows that output here, or [`PortNo::ANY`].
    pub out_port: PortNo,
    /// Only flows that output here, or [`ANY_GROUP`].
    pub out_group: u32,
    /// Only flows with these bits of `cookie`.
    pub cookie: u64,
    /// Which bits of the cookie.
    pub cookie_mask: u64,
    /// Only flows whose match says at least this.
    pub matches: Match,
}

/// A flow as a switch describes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FlowDesc {
    /// The flow.
    pub flow: Flow,
    /// Seconds without a packet after which it ends; 0: never.
    pub idle_timeout: u16,
    /// Seconds after which it ends; 0: never.
    pub hard_timeout: u16,
    /// `FLOW_*`.
    pub flags: u16,
    /// What may be evicted first.
    pub importance: u16,
    /// Its counters.
    pub stats: FlowStats,
}

impl FlowRequest {
    /// Every flow of every table.
    #[must_use]
    pub fn all() -> FlowRequest {
        FlowRequest {
            table: ALL_TABLES,
            out_port: PortNo::ANY,
            out_group: ANY_GROUP,
            cookie: 0,
            cookie_mask: 0,
            matches: Match::new(),
        }
    }

    pub(super) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.u8(self.table);
        writer.zeros(3);
        writer.u32(self.out_port.0);
        writer.u32(self.out_group);
        writer.zeros(4);
        writer.u64(self.cookie);
        writer.u64(self.cookie_mask);
        self.matches.encode(writer)
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<FlowRequest, DecodeError> {
        let table = reader.u8()?;
        reader.skip(3)?;
        let (out_port, out_group) = (PortNo(reader.u32()?), reader.u32()?);
        reader.skip(4)?;
        let (cookie, cookie_mask) = (reader.u64()?, reader.u64()?);
        let matches = Match::decode(reader)?;
        Ok(FlowRequest {
            table,
            out_port,
            out_group,
            cookie,
            cookie_mask,
            matches,
        })
    }
}

impl FlowDesc {
    pub(super) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let start = writer.len();
        writer.zeros(4);
        writer.u8(self.flow.table);
        writer.zeros(1);
        writer.u16(self.flow.priority);
        writer.u16(self.idle_timeout);
        writer.u16(self.hard_timeout);
        writer.u16(self.flags);
        writer.u16(self.importance);
        writer.u64(self.flow.cookie);
        self.flow.matches.encode(writer)?;
        self.stats.encode(writer)?;
        encode_instructions(writer, &self.flow.actions)?;
        writer.patch("flow description", start, start)
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<FlowDesc, DecodeError> {
        let length = usize::from(reader.u16()?);
        let bad = DecodeError::Length {
            what: "flow description",
            length,
            rule: "at least 40",
        };
        let mut reader = reader.part("flow description", length.checked_sub(2).ok_or(bad)?)?;
        reader.skip(2)?;
        let table = reader.u8()?;
        reader.skip(1)?;
        let (priority, idle_timeout, hard_timeout) = (reader.u16()?, reader.u16()?, reader.u16()?);
        let (flags, importance, cookie) = (reader.u16()?, reader.u16()?, reader.u64()?);
        let (matches, stats) = (Match::decode(&mut reader)?, FlowStats::decode(&mut reader)?);
        let flow = Flow {
            table,
            priority,
            cookie,
            matches,
            actions: decode_instructions(reader)?,
        };
        Ok(FlowDesc {
            flow,
            idle_timeout,
            hard_timeout,
            flags,
            importance,
            stats,
        })
    }
}
