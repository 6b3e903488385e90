//! OpenFlow 1.5 with Open vSwitch's Nicira extensions: wire codec both ways, `ovs-ofctl` text, framing, connection.
//!
//! ```text
//!   text  "table=3,reg14=1 actions=resubmit(,4)"            field.rs   one table of match fields
//!     ⇅                                                     action/    one table of actions
//!   Match, Action, Flow, Group                              flow.rs, group.rs, matches.rs
//!     ⇅
//!   Message  (flow mod, bundle, multipart, …: a file each)  message.rs
//!     ⇅
//!   bytes ── framing.rs ── connection.rs ──▶ ovs-vswitchd
//! ```
//!
//! Invariants: no byte or text from a peer panics, recurses without bound or allocates beyond what was received; what Open
//! vSwitch gives back of a flow equals (`==`) the canonical form of the flow that was sent.
//!
//! Must not: keep a session (transaction IDs, bundles in flight, roles): that is the controller's.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

mod action;
mod async_config;
mod bundle;
pub mod connection;
mod ct_flush;
mod encoded;
mod error;
mod error_message;
mod field;
mod flow;
mod flow_mod;
mod flow_removed;
pub mod framing;
mod group;
mod group_mod;
mod header;
mod hello;
mod matches;
mod message;
mod meter_mod;
mod multipart;
mod packet_in;
mod packet_out;
mod port;
mod port_desc;
mod property;
mod role;
mod stats;
mod subfield;
mod switch;
mod text;
mod tlv_table;
mod value;
mod wire;

pub use self::action::{
    ACTIONS, Action, ActionSpec, COUNT_MAX, Controller, Ct, DEPTH_MAX, HASH_SYMMETRIC_L3L4_UDP,
    MULTIPATH_HRW, Multipath, Nat, NatDirection, Number, Zone,
};
pub use self::async_config::{
    ASYNC_FLOW_REMOVED_MASTER, ASYNC_FLOW_REMOVED_SLAVE, ASYNC_PACKET_IN_MASTER,
    ASYNC_PACKET_IN_SLAVE, ASYNC_PORT_STATUS_MASTER, ASYNC_PORT_STATUS_SLAVE,
    ASYNC_REQUEST_FORWARD_MASTER, AsyncConfig,
};
pub use self::bundle::{BUNDLE_ATOMIC, BUNDLE_ORDERED, BundleAdd, BundleControl, BundleStep};
pub use self::ct_flush::{CtFlush, CtTuple};
pub use self::encoded::{EncodedFlow, EncodedKey};
pub use self::error::{DecodeError, EncodeError, TextError};
pub use self::error_message::ErrorMessage;
pub use self::field::{Field, FieldSpec, Format, Prerequisite};
pub use self::flow::{DEFAULT_PRIORITY, Flow, FlowKey};
pub use self::flow_mod::{
    ALL_TABLES, ANY_GROUP, FLOW_CHECK_OVERLAP, FLOW_RESET_COUNTS, FLOW_SEND_REMOVED, FlowCommand,
    FlowMod, NO_BUFFER,
};
pub use self::flow_removed::FlowRemoved;
pub use self::group::{Bucket, Group, GroupType, Selection, SelectionField};
pub use self::group_mod::{
    ALL_GROUPS, BUCKET_ALL, BUCKET_FIRST, BUCKET_LAST, GroupCommand, GroupMod,
};
pub use self::header::{HEADER_LENGTH, Header, MESSAGE_MAX, VERSION};
pub use self::hello::Hello;
pub use self::matches::{Match, MatchField, UnknownField};
pub use self::message::Message;
pub use self::meter_mod::{
    ALL_METERS, CONTROLLER_METER, METER_BURST, METER_KBPS, METER_PKTPS, METER_STATS, Meter,
    MeterBand, MeterCommand, MeterMod,
};
pub use self::multipart::{
    FlowDesc, FlowRequest, MultipartReply, MultipartRequest, Part, Reassembly, SwitchDesc,
    TableDesc, TableFeatures,
};
pub use self::packet_in::{PacketIn, PacketIn2};
pub use self::packet_out::PacketOut;
pub use self::port::PortNo;
pub use self::port_desc::{PortDesc, PortReason, PortStatus};
pub use self::role::{ControllerRole, Role, RoleStatus};
pub use self::stats::FlowStats;
pub use self::subfield::Subfield;
pub use self::switch::{Features, SwitchConfig};
pub use self::tlv_table::{TlvCommand, TlvMapping, TlvTableMod, TlvTableReply};
