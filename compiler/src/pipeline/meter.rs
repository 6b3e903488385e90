//! Meters: how many packets of each kind a node hands to the controller, a second. The one home of their numbers.
//!
//! ```text
//!   a flow's icmp4 { … } ──▶ controller(userdata=…, meter_id=N) ──meter N──▶ the controller's session with the node
//! ```
//!
//! A meter is a kind's, on each node. Not a port's: where a router notices that it owes an error, the packet has crossed tunnels and routers, and by which
//! port it came in is not known any more; and a flow and a meter per port and kind would be many, for packets that are few. So one who sends a flood of
//! packets that expire can keep a node from telling others of theirs: errors that nobody may rely on. He disturbs nothing else, neither other kinds nor forwarding.
//!
//! The number says all: flows alone say which meters a node needs, and the table below what those are.
//!
//! Must not: number anything by what is on a node.

use openflow_rs::{METER_BURST, METER_PKTPS, Meter, MeterBand};

/// Why a packet goes to the controller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Punt {
    /// An ICMP error is to be made about it.
    IcmpError,
    /// It is refused: a reset, or an ICMP error.
    Reject,
}

/// One meter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MeterSpec {
    /// What it is for.
    pub punt: Punt,
    /// Its number: small, since switches have few (Open vSwitch's userspace datapath 65,536).
    pub id: u32,
    /// Packets a second.
    pub rate: u32,
    /// Packets at once, after a while without any.
    pub burst: u32,
    /// In words.
    pub meaning: &'static str,
}

/// All of them.
///
/// The rates: a tenth of what a Linux host allows itself (`icmp_msgs_per_sec`, 1,000), because one controller answers for all nodes. A
/// `traceroute` sends sixteen at once; who is refused is to be told so, and tries again by himself.
pub const ALL: &[MeterSpec] = &[
    MeterSpec {
        punt: Punt::IcmpError,
        id: 1,
        rate: 100,
        burst: 100,
        meaning: "packets that an ICMP error is made about: TTL exceeded, no route, too long",
    },
    MeterSpec {
        punt: Punt::Reject,
        id: 2,
        rate: 200,
        burst: 200,
        meaning: "packets that are refused by a reset or an ICMP error",
    },
];

impl Punt {
    /// The number of its meter.
    #[must_use]
    pub const fn meter(self) -> u32 {
        match self {
            Punt::IcmpError => 1,
            Punt::Reject => 2,
        }
    }
}

/// The meter of this number, as a switch gives it back; `None` if there is no such meter.
#[must_use]
pub fn meter(id: u32) -> Option<Meter> {
    let spec = ALL.iter().find(|spec| spec.id == id)?;
    Some(Meter {
        id,
        flags: METER_PKTPS | METER_BURST,
        bands: vec![MeterBand {
            rate: spec.rate,
            burst: spec.burst,
            dscp_precedence: None,
        }],
    })
}
