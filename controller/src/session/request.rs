//! What a session sends besides bundles, as bytes.
//!
//! Must not: hold state.

use bytes::Bytes;
use openflow_rs::{
    ALL_GROUPS, ALL_METERS, BundleControl, BundleStep, FlowMod, FlowRequest, GroupMod, Message,
    Meter, MeterCommand, MeterMod, MultipartRequest, Part, SwitchConfig,
};

/// The bytes of a message of our own making.
pub(super) fn encode(xid: u32, message: Message) -> Bytes {
    message
        .encode(xid)
        .expect("messages without flows or buckets fit a message")
}

pub(super) fn features(xid: u32) -> Bytes {
    encode(xid, Message::FeaturesRequest)
}

pub(super) fn set_config(xid: u32) -> Bytes {
    encode(
        xid,
        Message::SetConfig(SwitchConfig {
            flags: 0,
            miss_send_len: 0xffff,
        }),
    )
}

pub(super) fn echo(xid: u32) -> Bytes {
    encode(xid, Message::EchoRequest(Bytes::new()))
}

pub(super) fn echo_reply(xid: u32, data: Bytes) -> Bytes {
    encode(xid, Message::EchoReply(data))
}

pub(super) fn barrier(xid: u32) -> Bytes {
    encode(xid, Message::BarrierRequest)
}

pub(super) fn option_map(xid: u32) -> Bytes {
    encode(xid, Message::TlvTableRequest)
}

pub(super) fn read_flows(xid: u32) -> Bytes {
    encode(
        xid,
        Message::MultipartRequest(Part::last(MultipartRequest::Flows(FlowRequest::all()))),
    )
}

pub(super) fn read_groups(xid: u32) -> Bytes {
    encode(
        xid,
        Message::MultipartRequest(Part::last(MultipartRequest::Groups(ALL_GROUPS))),
    )
}

pub(super) fn read_meters(xid: u32) -> Bytes {
    encode(
        xid,
        Message::MultipartRequest(Part::last(MultipartRequest::Meters(ALL_METERS))),
    )
}

/// Packets are to be handed over with what their flows say about them.
pub(super) fn packet_in_format(xid: u32) -> Bytes {
    encode(xid, Message::SetPacketInFormat(PACKET_IN2))
}

pub(super) fn delete_all_meters(xid: u32) -> Bytes {
    delete_meter(xid, ALL_METERS)
}

pub(super) fn delete_meter(xid: u32, id: u32) -> Bytes {
    let meter = Meter {
        id,
        flags: 0,
        bands: Vec::new(),
    };
    let command = MeterCommand::Delete;
    encode(xid, Message::MeterMod(MeterMod { command, meter }))
}

pub(super) fn delete_all_flows(xid: u32) -> Bytes {
    encode(xid, Message::FlowMod(Box::new(FlowMod::delete_all())))
}

pub(super) fn delete_all_groups(xid: u32) -> Bytes {
    encode(xid, Message::GroupMod(GroupMod::delete(ALL_GROUPS)))
}

pub(super) fn bundle(xid: u32, id: u32, step: BundleStep) -> Bytes {
    encode(xid, Message::BundleControl(BundleControl::new(id, step)))
}

/// `NXPIF_NXT_PACKET_IN2`
const PACKET_IN2: u32 = 2;
