//! Which conntrack zone is whose.
//!
//! The zone of a port is its number in OpenFlow, so that nothing has to be handed out or remembered: a flow finds it in a register.
//!
//! Must not: hand out zones.

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

/// Zones of routers, and of source translation.
pub const ROUTERS: Zones = Zones {
    name: "routers",
    first: 65_280,
    last: 65_535,
    job: "routers and source translation",
};

/// All of them. Zone 0 is the host's own, which packets outside of Open vSwitch are tracked in.
pub const ALL: &[Zones] = &[PORTS, ROUTERS];
