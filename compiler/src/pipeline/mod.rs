//! The pipeline as tables: stages, OpenFlow tables, registers, keys, conntrack zones and cookies. The one home of every number that flows agree on.
//!
//! ```text
//!            table 0                  8..                    64             72..                112
//!  port ──▶ classify ──▶ switch ingress (ls_in_*) ──output──▶ output ──▶ switch egress ──▶ deliver ──▶ port
//!              ▲              ▲        │ to a router's port   │  ▲                            │ a router port's:
//!           tunnel            │        ▼                      │  │                            ▼ into its peer
//!                             │     router ingress (lr_in_*, 40..) ──▶ router egress (lr_out_*, 96..)
//!                             └────────────────── deliver ◀───────────┘
//! ```
//!
//! A packet that came out of a tunnel goes from `classify` to `tunnel_in`, and from there to the local half of `output`, or, without
//! an egress port, to the router's egress pipeline, which finds the port by address.
//!
//! `docs/pipeline.md` is [`markdown()`] written out. Invariants (tested): no two stages share a table; register fields
//! overlap only where the table says so.
//!
//! Must not: make flows; hold anything that depends on a topology.

mod key;
mod markdown;
pub mod meter;
pub mod register;
mod stage;
pub mod table;
pub mod zone;

pub use key::{Cookie, DatapathKey, FIRST_BALANCER_GROUP, FIRST_MULTICAST_KEY, GroupId, PortKey};
pub use markdown::markdown;
pub use meter::Punt;
pub use register::RegisterField;
pub use stage::{DatapathKind, Stage};
pub use table::{PhysicalTable, TableId};

/// OpenFlow port of the tunnel on every node, asked for with `ofport_request`: flows that name it are then the same bytes everywhere.
/// High, so that ports numbered from 1 up do not meet it, and below 65,280, where Open vSwitch stops.
pub const TUNNEL_OFPORT: u16 = 65_000;

/// How many sets of load balancers there can be: what switches list, each once.
pub const BALANCER_SETS: u32 = 0xffff_ffff;

/// The Geneve option that carries logical ports: OVN's class (RFC 8926 §3.5).
pub const OPTION_CLASS: u16 = 0x0102;
/// OVN's type, with the critical bit set: a receiver that does not know the option drops the packet.
pub const OPTION_TYPE: u8 = 0x80;
/// Bytes of the option's value: ingress port key in bits 16 to 30, egress port key in bits 0 to 15.
pub const OPTION_LENGTH: u8 = 4;
/// The `tun_metadata` field that the option has to be mapped to before any flow is added.
pub const OPTION_FIELD: u8 = 0;

/// Group of all ports of a switch on every node that holds one; `outport` of broadcast and multicast.
pub const FLOOD: &str = "_MC_flood";
/// Group of all *other* nodes that hold ports of a switch: each looks the destination MAC up among its own ports and drops the packet if
/// it has no such port. `outport` of a unicast packet whose MAC this node does not know, in plain domains only.
pub const ELSEWHERE: &str = "_MC_elsewhere";

/// Group of the ports of a switch that take MACs that no port has, on every node that holds one. As in OVN.
pub const UNKNOWN: &str = "_MC_unknown";

#[cfg(test)]
mod tests;
