//! Which conntrack zone is whose.
//!
//! The zone of a port is its number in OpenFlow, so that nothing has to be handed out or remembered: a flow finds it in a register.
//!
//! Must not: hand out zones.

use weft_expr::NatSide;

/// A run of zones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Zones {
    /// What for.
    pub name: &'static str,
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
    /// What they hold.
    pub job: &'static str,
}

/// Zones of ports: the numbers that interfaces can have, each its own zone.
pub const PORTS: Zones = Zones {
    name: "ports",
    first: 1,
    last: 65_279,
    job: "the zone of a port is its OpenFlow port: its connections to load balancers, seen from its side",
};

/// Zones of routers.
pub const ROUTERS: Zones = Zones {
    name: "routers",
    first: 65_280,
    last: 65_535,
    job: "two for each router that translates addresses: one for destinations, one for sources",
};

/// How many routers can translate addresses.
pub const TRANSLATING_ROUTERS: u32 = 128;

/// The zone in which the router with this number, from 1 on, translates destinations or sources. Two, for a packet may have both translated.
#[must_use]
pub fn of_router(number: u32, side: NatSide) -> Option<u16> {
    if !(1..=TRANSLATING_ROUTERS).contains(&number) {
        return None;
    }
    let which = match side {
        NatSide::Destination => 0,
        NatSide::Source => 1,
    };
    let offset = number.checked_sub(1)?.checked_mul(2)?.checked_add(which)?;
    ROUTERS.first.checked_add(u16::try_from(offset).ok()?)
}

/// All of them. Zone 0 is the host's own, which packets outside of Open vSwitch are tracked in.
pub const ALL: &[Zones] = &[PORTS, ROUTERS];
