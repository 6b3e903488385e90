//! OXS: counters of a flow, as OpenFlow 1.5 puts them behind a match (§7.2.4, `struct ofp_oxs_stat`).
//!
//! Must not: be part of a flow's identity.

use crate::error::{DecodeError, EncodeError};
use crate::wire::{Reader, Writer};

const CLASS_BASIC: u16 = 0x8002;
const DURATION: u8 = 0;
const IDLE_TIME: u8 = 1;
const FLOW_COUNT: u8 = 3;
const PACKET_COUNT: u8 = 4;
const BYTE_COUNT: u8 = 5;
const FIELDS_MAX: usize = 64;

/// Counters of a flow. What the switch does not say is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FlowStats {
    /// Seconds and nanoseconds since the flow was added.
    pub duration: Option<(u32, u32)>,
    /// Seconds and nanoseconds since the last packet.
    pub idle: Option<(u32, u32)>,
    /// Flows (of aggregates).
    pub flows: Option<u32>,
    /// Packets.
    pub packets: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
}

impl FlowStats {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let start = writer.len();
        writer.zeros(4);
        let pair = |pair: (u32, u32)| (u64::from(pair.0) << 32) | u64::from(pair.1);
        let flows = self.flows.map(u64::from);
        let fields = [
            (DURATION, 8, self.duration.map(pair)),
            (IDLE_TIME, 8, self.idle.map(pair)),
            (FLOW_COUNT, 4, flows),
            (PACKET_COUNT, 8, self.packets),
            (BYTE_COUNT, 8, self.bytes),
        ];
        for (number, bytes, value) in fields {
            let Some(value) = value else { continue };
            writer.u16(CLASS_BASIC);
            writer.u8(number << 1);
            writer.u8(bytes);
            writer.number(u128::from(value), usize::from(bytes));
        }
        writer.patch("flow statistics", start.saturating_add(2), start)?;
        writer.pad(start);
        Ok(())
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<FlowStats, DecodeError> {
        reader.skip(2)?;
        let length = usize::from(reader.u16()?);
        let bad = DecodeError::Length {
            what: "flow statistics",
            length,
            rule: "at least 4",
        };
        let mut part = reader.part("flow statistics", length.checked_sub(4).ok_or(bad)?)?;
        reader.skip(length.next_multiple_of(8).saturating_sub(length))?;
        let mut stats = FlowStats::default();
        part.entries(FIELDS_MAX, |reader| {
            let (class, number, length) =
                (reader.u16()?, reader.u8()? >> 1, usize::from(reader.u8()?));
            let mut body = reader.part("flow statistic", length)?;
            match (class, number) {
                (CLASS_BASIC, DURATION) => stats.duration = Some((body.u32()?, body.u32()?)),
                (CLASS_BASIC, IDLE_TIME) => stats.idle = Some((body.u32()?, body.u32()?)),
                (CLASS_BASIC, FLOW_COUNT) => stats.flows = Some(body.u32()?),
                (CLASS_BASIC, PACKET_COUNT) => stats.packets = Some(body.u64()?),
                (CLASS_BASIC, BYTE_COUNT) => stats.bytes = Some(body.u64()?),
                // Counters of other switches: of no use here.
                _ => body.rest().iter().for_each(drop),
            }
            body.end()
        })?;
        Ok(stats)
    }
}
