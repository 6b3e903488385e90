//! OFPT_SET_ASYNC: which messages a switch sends unasked, by reason and by role (OpenFlow 1.5 §7.3.10).
//!
//! Must not: have defaults of its own.

use crate::error::{DecodeError, EncodeError};
use crate::property::{PROPERTIES_MAX, decode_property, encode_property};
use crate::wire::{Reader, Writer};

/// Property for packet-ins as slave; the one for master or equal is one more.
pub const ASYNC_PACKET_IN_SLAVE: u16 = 0;
/// Property for packet-ins as master or equal.
pub const ASYNC_PACKET_IN_MASTER: u16 = 1;
/// Property for port status as slave.
pub const ASYNC_PORT_STATUS_SLAVE: u16 = 2;
/// Property for port status as master or equal.
pub const ASYNC_PORT_STATUS_MASTER: u16 = 3;
/// Property for flow removed as slave.
pub const ASYNC_FLOW_REMOVED_SLAVE: u16 = 4;
/// Property for flow removed as master or equal.
pub const ASYNC_FLOW_REMOVED_MASTER: u16 = 5;
/// Property for others' group and meter changes as master or equal: a bit for groups, then one for meters.
pub const ASYNC_REQUEST_FORWARD_MASTER: u16 = 11;

/// Which messages are sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AsyncConfig {
    /// `OFPACPT_*` and a mask with bit n for reason n.
    pub masks: Vec<(u16, u32)>,
}

impl AsyncConfig {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.masks.iter().try_for_each(|(kind, mask)| {
            encode_property(writer, *kind, |writer| {
                writer.u32(*mask);
                Ok(())
            })
        })
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<AsyncConfig, DecodeError> {
        let masks = reader.entries(PROPERTIES_MAX, |reader| {
            let (kind, mut body) = decode_property(reader)?;
            let mask = body.u32()?;
            body.end()?;
            Ok((kind, mask))
        })?;
        Ok(AsyncConfig { masks })
    }
}
