//! All messages by type: the one place that knows which number has which body (OpenFlow 1.5 §7.1.1, Open vSwitch `ofp-msgs.h`).
//!
//! What is not listed survives a round trip as [`Message::Unknown`].
//!
//! Must not: know the bodies (a file each).

use bytes::Bytes;

use crate::action::NICIRA;
use crate::async_config::AsyncConfig;
use crate::bundle::{BundleAdd, BundleControl};
use crate::ct_flush::CtFlush;
use crate::error::{DecodeError, EncodeError};
use crate::error_message::ErrorMessage;
use crate::flow_mod::FlowMod;
use crate::flow_removed::FlowRemoved;
use crate::group_mod::GroupMod;
use crate::header::{Header, VERSION, message};
use crate::hello::Hello;
use crate::meter_mod::MeterMod;
use crate::multipart::{MultipartReply, MultipartRequest, Part};
use crate::packet_in::{PacketIn, PacketIn2};
use crate::packet_out::PacketOut;
use crate::port_desc::PortStatus;
use crate::role::{Role, RoleStatus};
use crate::switch::{Features, SwitchConfig};
use crate::tlv_table::{TlvTableMod, TlvTableReply};
use crate::wire::{Reader, Writer};

/// `OFPT_*` of OpenFlow 1.5.
pub(crate) mod kind {
    pub(crate) const HELLO: u8 = 0;
    pub(crate) const ERROR: u8 = 1;
    pub(crate) const ECHO_REQUEST: u8 = 2;
    pub(crate) const ECHO_REPLY: u8 = 3;
    pub(crate) const EXPERIMENTER: u8 = 4;
    pub(crate) const FEATURES_REQUEST: u8 = 5;
    pub(crate) const FEATURES_REPLY: u8 = 6;
    pub(crate) const GET_CONFIG_REQUEST: u8 = 7;
    pub(crate) const GET_CONFIG_REPLY: u8 = 8;
    pub(crate) const SET_CONFIG: u8 = 9;
    pub(crate) const PACKET_IN: u8 = 10;
    pub(crate) const FLOW_REMOVED: u8 = 11;
    pub(crate) const PORT_STATUS: u8 = 12;
    pub(crate) const PACKET_OUT: u8 = 13;
    pub(crate) const FLOW_MOD: u8 = 14;
    pub(crate) const GROUP_MOD: u8 = 15;
    pub(crate) const MULTIPART_REQUEST: u8 = 18;
    pub(crate) const MULTIPART_REPLY: u8 = 19;
    pub(crate) const BARRIER_REQUEST: u8 = 20;
    pub(crate) const BARRIER_REPLY: u8 = 21;
    pub(crate) const ROLE_REQUEST: u8 = 24;
    pub(crate) const ROLE_REPLY: u8 = 25;
    pub(crate) const GET_ASYNC_REQUEST: u8 = 26;
    pub(crate) const GET_ASYNC_REPLY: u8 = 27;
    pub(crate) const SET_ASYNC: u8 = 28;
    pub(crate) const METER_MOD: u8 = 29;
    pub(crate) const ROLE_STATUS: u8 = 30;
    pub(crate) const BUNDLE_CONTROL: u8 = 33;
    pub(crate) const BUNDLE_ADD_MESSAGE: u8 = 34;
}

/// `NXT_*`: subtypes of experimenter 0x2320.
mod nicira {
    pub(super) const SET_PACKET_IN_FORMAT: u32 = 16;
    pub(super) const SET_CONTROLLER_ID: u32 = 20;
    pub(super) const TLV_TABLE_MOD: u32 = 24;
    pub(super) const TLV_TABLE_REQUEST: u32 = 25;
    pub(super) const TLV_TABLE_REPLY: u32 = 26;
    pub(super) const RESUME: u32 = 28;
    pub(super) const CT_FLUSH_ZONE: u32 = 29;
    pub(super) const PACKET_IN2: u32 = 30;
    pub(super) const CT_FLUSH: u32 = 32;
}

/// A message without its header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// The versions that one side speaks.
    Hello(Hello),
    /// Something failed.
    Error(ErrorMessage),
    /// Are you there?
    EchoRequest(Bytes),
    /// Yes, with the same bytes.
    EchoReply(Bytes),
    /// Asks for [`Message::FeaturesReply`].
    FeaturesRequest,
    /// The switch.
    FeaturesReply(Features),
    /// Asks for [`Message::GetConfigReply`].
    GetConfigRequest,
    /// The switch's configuration.
    GetConfigReply(SwitchConfig),
    /// Configures the switch.
    SetConfig(SwitchConfig),
    /// A packet for the controller.
    PacketIn(PacketIn),
    /// A flow ended.
    FlowRemoved(FlowRemoved),
    /// A port came, went or changed.
    PortStatus(PortStatus),
    /// A packet from the controller.
    PacketOut(PacketOut),
    /// Changes flows.
    FlowMod(Box<FlowMod>),
    /// Changes groups.
    GroupMod(GroupMod),
    /// Asks for a dump.
    MultipartRequest(Part<MultipartRequest>),
    /// A part of a dump.
    MultipartReply(Part<MultipartReply>),
    /// Answered when everything before it is done.
    BarrierRequest,
    /// Everything before the request is done.
    BarrierReply,
    /// Asks for a role.
    RoleRequest(Role),
    /// The role held.
    RoleReply(Role),
    /// The role was changed by others.
    RoleStatus(RoleStatus),
    /// Asks for [`Message::GetAsyncReply`].
    GetAsyncRequest,
    /// Which messages come unasked.
    GetAsyncReply(AsyncConfig),
    /// Sets which messages come unasked.
    SetAsync(AsyncConfig),
    /// Changes meters.
    MeterMod(MeterMod),
    /// Opens, closes, commits, discards a bundle.
    BundleControl(BundleControl),
    /// Adds to a bundle.
    BundleAdd(BundleAdd),
    /// NXT_SET_PACKET_IN_FORMAT: 2 for [`Message::PacketIn2`].
    SetPacketInFormat(u32),
    /// NXT_SET_CONTROLLER_ID: which `controller(id=…)` actions reach this connection.
    SetControllerId(u16),
    /// Maps Geneve options.
    TlvTableMod(TlvTableMod),
    /// Asks for [`Message::TlvTableReply`].
    TlvTableRequest,
    /// Which Geneve options are mapped.
    TlvTableReply(TlvTableReply),
    /// A packet for the controller, with more about it.
    PacketIn2(Box<PacketIn2>),
    /// Lets a packet go on that waits.
    Resume(Box<PacketIn2>),
    /// Forgets all connections of a zone.
    CtFlushZone(u16),
    /// Forgets connections.
    CtFlush(CtFlush),
    /// Any other message, passed through.
    Unknown {
        /// `OFPT_*`.
        kind: u8,
        /// What follows the header.
        body: Bytes,
    },
}

impl Message {
    /// The whole message with its header.
    ///
    /// # Errors
    /// If a value is wider than its field, something has no place where it stands, or the message would be longer than
    /// 65,535 bytes.
    pub fn encode(&self, xid: u32) -> Result<Bytes, EncodeError> {
        message(self.kind(), xid, |writer| self.encode_body(writer, xid))
    }

    /// Reads a whole message, and nothing but it.
    ///
    /// # Errors
    /// If the bytes are no message of OpenFlow 1.5 (hello and error messages may carry other versions).
    pub fn decode(bytes: &[u8]) -> Result<(Header, Message), DecodeError> {
        let mut reader = Reader::new("message", bytes);
        let header = Header::decode(&mut reader)?;
        let length = usize::from(header.length);
        if length != bytes.len() {
            let (what, available) = ("message", bytes.len());
            return Err(match length.checked_sub(available) {
                Some(needed) => DecodeError::Truncated {
                    what,
                    needed,
                    available,
                },
                None => DecodeError::Trailing {
                    what,
                    bytes: available.saturating_sub(length),
                },
            });
        }
        if header.version != VERSION && header.kind != kind::HELLO && header.kind != kind::ERROR {
            return Err(DecodeError::Version {
                version: header.version,
            });
        }
        Ok((header, Message::decode_body(header, reader)?))
    }

    fn decode_body(header: Header, mut reader: Reader<'_>) -> Result<Message, DecodeError> {
        let decoded = match header.kind {
            kind::HELLO => return Hello::decode(reader).map(Message::Hello),
            kind::ERROR => return ErrorMessage::decode(reader).map(Message::Error),
            kind::ECHO_REQUEST => Message::EchoRequest(Bytes::copy_from_slice(reader.rest())),
            kind::ECHO_REPLY => Message::EchoReply(Bytes::copy_from_slice(reader.rest())),
            kind::EXPERIMENTER => return Message::decode_experimenter(reader),
            kind::FEATURES_REQUEST => Message::FeaturesRequest,
            kind::FEATURES_REPLY => return Features::decode(reader).map(Message::FeaturesReply),
            kind::GET_CONFIG_REQUEST => Message::GetConfigRequest,
            kind::GET_CONFIG_REPLY => {
                return SwitchConfig::decode(reader).map(Message::GetConfigReply);
            }
            kind::SET_CONFIG => return SwitchConfig::decode(reader).map(Message::SetConfig),
            kind::PACKET_IN => return PacketIn::decode(reader).map(Message::PacketIn),
            kind::FLOW_REMOVED => return FlowRemoved::decode(reader).map(Message::FlowRemoved),
            kind::PORT_STATUS => return PortStatus::decode(reader).map(Message::PortStatus),
            kind::PACKET_OUT => return PacketOut::decode(reader).map(Message::PacketOut),
            kind::FLOW_MOD => {
                return FlowMod::decode(reader).map(|flow| Message::FlowMod(Box::new(flow)));
            }
            kind::GROUP_MOD => return GroupMod::decode(reader).map(Message::GroupMod),
            kind::MULTIPART_REQUEST => {
                return Part::<MultipartRequest>::decode(reader).map(Message::MultipartRequest);
            }
            kind::MULTIPART_REPLY => {
                return Part::<MultipartReply>::decode(reader).map(Message::MultipartReply);
            }
            kind::BARRIER_REQUEST => Message::BarrierRequest,
            kind::BARRIER_REPLY => Message::BarrierReply,
            kind::ROLE_REQUEST => return Role::decode(reader).map(Message::RoleRequest),
            kind::ROLE_REPLY => return Role::decode(reader).map(Message::RoleReply),
            kind::ROLE_STATUS => return RoleStatus::decode(reader).map(Message::RoleStatus),
            kind::GET_ASYNC_REQUEST => Message::GetAsyncRequest,
            kind::GET_ASYNC_REPLY => {
                return AsyncConfig::decode(reader).map(Message::GetAsyncReply);
            }
            kind::SET_ASYNC => return AsyncConfig::decode(reader).map(Message::SetAsync),
            kind::METER_MOD => return MeterMod::decode(reader).map(Message::MeterMod),
            kind::BUNDLE_CONTROL => {
                return BundleControl::decode(reader).map(Message::BundleControl);
            }
            kind::BUNDLE_ADD_MESSAGE => {
                return BundleAdd::decode(reader, header.xid).map(Message::BundleAdd);
            }
            kind => Message::Unknown {
                kind,
                body: Bytes::copy_from_slice(reader.rest()),
            },
        };
        reader.end()?;
        Ok(decoded)
    }

    fn decode_experimenter(mut reader: Reader<'_>) -> Result<Message, DecodeError> {
        let whole = reader.clone().rest();
        let unknown = || Message::Unknown {
            kind: kind::EXPERIMENTER,
            body: Bytes::copy_from_slice(whole),
        };
        let (experimenter, subtype) = (reader.u32()?, reader.u32()?);
        if experimenter != NICIRA {
            return Ok(unknown());
        }
        let decoded = match subtype {
            nicira::SET_PACKET_IN_FORMAT => Message::SetPacketInFormat(reader.u32()?),
            nicira::SET_CONTROLLER_ID => {
                reader.skip(6)?;
                Message::SetControllerId(reader.u16()?)
            }
            nicira::TLV_TABLE_MOD => return TlvTableMod::decode(reader).map(Message::TlvTableMod),
            nicira::TLV_TABLE_REQUEST => Message::TlvTableRequest,
            nicira::TLV_TABLE_REPLY => {
                return TlvTableReply::decode(reader).map(Message::TlvTableReply);
            }
            nicira::RESUME => {
                return PacketIn2::decode(reader).map(|packet| Message::Resume(Box::new(packet)));
            }
            nicira::PACKET_IN2 => {
                return PacketIn2::decode(reader)
                    .map(|packet| Message::PacketIn2(Box::new(packet)));
            }
            nicira::CT_FLUSH_ZONE => {
                reader.skip(6)?;
                Message::CtFlushZone(reader.u16()?)
            }
            nicira::CT_FLUSH => return CtFlush::decode(reader).map(Message::CtFlush),
            _ => return Ok(unknown()),
        };
        reader.end()?;
        Ok(decoded)
    }

    fn kind(&self) -> u8 {
        match self {
            Message::Hello(_) => kind::HELLO,
            Message::Error(_) => kind::ERROR,
            Message::EchoRequest(_) => kind::ECHO_REQUEST,
            Message::EchoReply(_) => kind::ECHO_REPLY,
            Message::FeaturesRequest => kind::FEATURES_REQUEST,
            Message::FeaturesReply(_) => kind::FEATURES_REPLY,
            Message::GetConfigRequest => kind::GET_CONFIG_REQUEST,
            Message::GetConfigReply(_) => kind::GET_CONFIG_REPLY,
            Message::SetConfig(_) => kind::SET_CONFIG,
            Message::PacketIn(_) => kind::PACKET_IN,
            Message::FlowRemoved(_) => kind::FLOW_REMOVED,
            Message::PortStatus(_) => kind::PORT_STATUS,
            Message::PacketOut(_) => kind::PACKET_OUT,
            Message::FlowMod(_) => kind::FLOW_MOD,
            Message::GroupMod(_) => kind::GROUP_MOD,
            Message::MultipartRequest(_) => kind::MULTIPART_REQUEST,
            Message::MultipartReply(_) => kind::MULTIPART_REPLY,
            Message::BarrierRequest => kind::BARRIER_REQUEST,
            Message::BarrierReply => kind::BARRIER_REPLY,
            Message::RoleRequest(_) => kind::ROLE_REQUEST,
            Message::RoleReply(_) => kind::ROLE_REPLY,
            Message::RoleStatus(_) => kind::ROLE_STATUS,
            Message::GetAsyncRequest => kind::GET_ASYNC_REQUEST,
            Message::GetAsyncReply(_) => kind::GET_ASYNC_REPLY,
            Message::SetAsync(_) => kind::SET_ASYNC,
            Message::MeterMod(_) => kind::METER_MOD,
            Message::BundleControl(_) => kind::BUNDLE_CONTROL,
            Message::BundleAdd(_) => kind::BUNDLE_ADD_MESSAGE,
            Message::SetPacketInFormat(_)
            | Message::SetControllerId(_)
            | Message::TlvTableMod(_)
            | Message::TlvTableRequest
            | Message::TlvTableReply(_)
            | Message::PacketIn2(_)
            | Message::Resume(_)
            | Message::CtFlushZone(_)
            | Message::CtFlush(_) => kind::EXPERIMENTER,
            Message::Unknown { kind, .. } => *kind,
        }
    }

    fn encode_body(&self, writer: &mut Writer, xid: u32) -> Result<(), EncodeError> {
        match self {
            Message::Hello(hello) => hello.encode(writer)?,
            Message::Error(error) => error.encode(writer)?,
            Message::EchoRequest(body)
            | Message::EchoReply(body)
            | Message::Unknown { body, .. } => writer.slice(body),
            Message::FeaturesReply(features) => features.encode(writer)?,
            Message::GetConfigReply(config) | Message::SetConfig(config) => {
                config.encode(writer)?
            }
            Message::PacketIn(packet) => packet.encode(writer)?,
            Message::FlowRemoved(flow) => flow.encode(writer)?,
            Message::PortStatus(status) => status.encode(writer)?,
            Message::PacketOut(packet) => packet.encode(writer)?,
            Message::FlowMod(flow) => flow.encode(writer)?,
            Message::GroupMod(group) => group.encode(writer)?,
            Message::MultipartRequest(request) => request.encode(writer)?,
            Message::MultipartReply(reply) => reply.encode(writer)?,
            Message::RoleRequest(role) | Message::RoleReply(role) => role.encode(writer)?,
            Message::RoleStatus(status) => status.encode(writer)?,
            Message::GetAsyncReply(config) | Message::SetAsync(config) => config.encode(writer)?,
            Message::MeterMod(meter) => meter.encode(writer)?,
            Message::BundleControl(control) => control.encode(writer)?,
            Message::BundleAdd(add) => add.encode(writer, xid)?,
            Message::SetPacketInFormat(format) => {
                begin_nicira(writer, nicira::SET_PACKET_IN_FORMAT);
                writer.u32(*format);
            }
            Message::SetControllerId(id) => {
                begin_nicira(writer, nicira::SET_CONTROLLER_ID);
                writer.zeros(6);
                writer.u16(*id);
            }
            Message::TlvTableMod(table) => {
                begin_nicira(writer, nicira::TLV_TABLE_MOD);
                table.encode(writer)?;
            }
            Message::TlvTableRequest => begin_nicira(writer, nicira::TLV_TABLE_REQUEST),
            Message::TlvTableReply(table) => {
                begin_nicira(writer, nicira::TLV_TABLE_REPLY);
                table.encode(writer)?;
            }
            Message::PacketIn2(packet) => {
                begin_nicira(writer, nicira::PACKET_IN2);
                packet.encode(writer)?;
            }
            Message::Resume(packet) => {
                begin_nicira(writer, nicira::RESUME);
                packet.encode(writer)?;
            }
            Message::CtFlushZone(zone) => {
                begin_nicira(writer, nicira::CT_FLUSH_ZONE);
                writer.zeros(6);
                writer.u16(*zone);
            }
            Message::CtFlush(flush) => {
                begin_nicira(writer, nicira::CT_FLUSH);
                flush.encode(writer)?;
            }
            Message::FeaturesRequest
            | Message::GetConfigRequest
            | Message::BarrierRequest
            | Message::BarrierReply
            | Message::GetAsyncRequest => {}
        }
        Ok(())
    }
}

fn begin_nicira(writer: &mut Writer, subtype: u32) {
    writer.u32(NICIRA);
    writer.u32(subtype);
}
