//! OFPT_FLOW_MOD: adds, changes or deletes flows (OpenFlow 1.5 §7.3.4.2).
//!
//! Must not: decide anything (the switch does).

use bytes::Bytes;

use crate::action::{decode_instructions, encode_instructions};
use crate::error::{DecodeError, EncodeError};
use crate::flow::Flow;
use crate::header::message;
use crate::matches::Match;
use crate::message::kind;
use crate::port::PortNo;
use crate::wire::{Reader, Writer};

/// Flag of [`FlowMod::flags`]: an OFPT_FLOW_REMOVED is sent when the flow ends.
pub const FLOW_SEND_REMOVED: u16 = 1;
/// Flag of [`FlowMod::flags`]: an add that overlaps another flow of the same priority is refused.
pub const FLOW_CHECK_OVERLAP: u16 = 2;
/// Flag of [`FlowMod::flags`]: counters start at zero.
pub const FLOW_RESET_COUNTS: u16 = 4;
/// No buffered packet (`OFP_NO_BUFFER`).
pub const NO_BUFFER: u32 = 0xffff_ffff;
/// Any group (`OFPG_ANY`).
pub const ANY_GROUP: u32 = 0xffff_ffff;
/// Any table (`OFPTT_ALL`), in deletes.
pub const ALL_TABLES: u8 = 0xff;

/// What a flow mod does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FlowCommand {
    /// Adds a flow or replaces the one with the same key.
    Add = 0,
    /// Changes the actions of all flows that match.
    Modify = 1,
    /// Changes the actions of the one flow with this key.
    ModifyStrict = 2,
    /// Deletes all flows that match.
    Delete = 3,
    /// Deletes the one flow with this key.
    DeleteStrict = 4,
}

/// The whole message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FlowMod {
    /// What to do.
    pub command: FlowCommand,
    /// The flow; of deletes, the actions are not looked at.
    pub flow: Flow,
    /// Changes and deletes concern only flows whose cookie has these bits of the flow's cookie.
    pub cookie_mask: u64,
    /// Seconds without a packet after which the flow ends; 0: never.
    pub idle_timeout: u16,
    /// Seconds after which the flow ends; 0: never.
    pub hard_timeout: u16,
    /// A packet that the switch keeps, or [`NO_BUFFER`].
    pub buffer_id: u32,
    /// Deletes concern only flows that output to this port, or [`PortNo::ANY`].
    pub out_port: PortNo,
    /// Deletes concern only flows that output to this group, or [`ANY_GROUP`].
    pub out_group: u32,
    /// `FLOW_*`.
    pub flags: u16,
    /// What may be evicted first when the table is full.
    pub importance: u16,
}

impl FlowMod {
    /// A command for the empty flow of table 0.
    #[must_use]
    pub fn new(command: FlowCommand) -> FlowMod {
        let (matches, actions) = (Match::new(), Vec::new());
        FlowMod {
            command,
            flow: Flow {
                table: 0,
                priority: crate::flow::DEFAULT_PRIORITY,
                cookie: 0,
                matches,
                actions,
            },
            cookie_mask: 0,
            idle_timeout: 0,
            hard_timeout: 0,
            buffer_id: NO_BUFFER,
            out_port: PortNo::ANY,
            out_group: ANY_GROUP,
            flags: 0,
            importance: 0,
        }
    }

    /// Deletes every flow of every table.
    #[must_use]
    pub fn delete_all() -> FlowMod {
        let mut all = FlowMod::new(FlowCommand::Delete);
        all.flow.table = ALL_TABLES;
        all
    }

    /// The whole message with its header.
    ///
    /// # Errors
    /// If a value is wider than its field, or the message would be longer than 65,535 bytes.
    pub fn message(&self, xid: u32) -> Result<Bytes, EncodeError> {
        message(kind::FLOW_MOD, xid, |writer| self.encode(writer))
    }

    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.u64(self.flow.cookie);
        writer.u64(self.cookie_mask);
        writer.u8(self.flow.table);
        writer.u8(self.command as u8);
        writer.u16(self.idle_timeout);
        writer.u16(self.hard_timeout);
        writer.u16(self.flow.priority);
        writer.u32(self.buffer_id);
        writer.u32(self.out_port.0);
        writer.u32(self.out_group);
        writer.u16(self.flags);
        writer.u16(self.importance);
        self.flow.matches.encode(writer)?;
        encode_instructions(writer, &self.flow.actions)
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<FlowMod, DecodeError> {
        let (cookie, cookie_mask, table) = (reader.u64()?, reader.u64()?, reader.u8()?);
        let command = match reader.u8()? {
            0 => FlowCommand::Add,
            1 => FlowCommand::Modify,
            2 => FlowCommand::ModifyStrict,
            3 => FlowCommand::Delete,
            4 => FlowCommand::DeleteStrict,
            command => {
                let value = u64::from(command);
                return Err(DecodeError::Value {
                    what: "flow mod command",
                    value,
                    rule: "0 to 4",
                });
            }
        };
        let (idle_timeout, hard_timeout, priority) = (reader.u16()?, reader.u16()?, reader.u16()?);
        let (buffer_id, out_port, out_group) =
            (reader.u32()?, PortNo(reader.u32()?), reader.u32()?);
        let (flags, importance) = (reader.u16()?, reader.u16()?);
        let matches = Match::decode(&mut reader)?;
        let actions = decode_instructions(reader)?;
        let flow = Flow {
            table,
            priority,
            cookie,
            matches,
            actions,
        };
        #[rustfmt::skip]
        let flow_mod = FlowMod { command, flow, cookie_mask, idle_timeout, hard_timeout, buffer_id, out_port, out_group, flags, importance };
        Ok(flow_mod)
    }
}
