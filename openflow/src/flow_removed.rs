//! OFPT_FLOW_REMOVED: a flow that was added with [`crate::FLOW_SEND_REMOVED`] ended (OpenFlow 1.5 §7.4.2).
//!
//! Must not: be relied on for knowing what is installed (a dump is).

use crate::error::{DecodeError, EncodeError};
use crate::matches::Match;
use crate::stats::FlowStats;
use crate::wire::{Reader, Writer};

/// The whole message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FlowRemoved {
    /// The flow's table.
    pub table: u8,
    /// `OFPRR_*`: 0 idle timeout, 1 hard timeout, 2 deleted, 3 group deleted, 4 meter deleted, 5 evicted.
    pub reason: u8,
    /// The flow's priority.
    pub priority: u16,
    /// Seconds.
    pub idle_timeout: u16,
    /// Seconds.
    pub hard_timeout: u16,
    /// The flow's cookie.
    pub cookie: u64,
    /// What it matched.
    pub matches: Match,
    /// Its last counters.
    pub stats: FlowStats,
}

impl FlowRemoved {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.u8(self.table);
        writer.u8(self.reason);
        writer.u16(self.priority);
        writer.u16(self.idle_timeout);
        writer.u16(self.hard_timeout);
        writer.u64(self.cookie);
        self.matches.encode(writer)?;
        self.stats.encode(writer)
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<FlowRemoved, DecodeError> {
        let (table, reason, priority) = (reader.u8()?, reader.u8()?, reader.u16()?);
        let (idle_timeout, hard_timeout, cookie) = (reader.u16()?, reader.u16()?, reader.u64()?);
        let (matches, stats) = (Match::decode(&mut reader)?, FlowStats::decode(&mut reader)?);
        reader.end()?;
        Ok(FlowRemoved {
            table,
            reason,
            priority,
            idle_timeout,
            hard_timeout,
            cookie,
            matches,
            stats,
        })
    }
}
