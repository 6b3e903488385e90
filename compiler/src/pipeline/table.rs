//! OpenFlow tables that are no logical stage.
//!
//! Must not: overlap the ranges that `stage` sets aside (tested).

use std::fmt;

/// Number of an OpenFlow table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TableId(u8);

impl TableId {
    /// Table `number`.
    #[must_use]
    pub const fn new(number: u8) -> TableId {
        TableId(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A table between the logical pipelines and the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PhysicalTable {
    /// Its number.
    pub id: TableId,
    /// Its name in the documentation.
    pub name: &'static str,
    /// What it is for.
    pub job: &'static str,
}

/// Where every packet starts.
pub const CLASSIFY: TableId = TableId(0);
/// Where a packet from a known node goes on.
pub const TUNNEL_IN: TableId = TableId(1);
/// Egress port to node, group or local port.
pub const OUTPUT: TableId = TableId(64);
/// After the egress pipeline: to the port, or into the peer datapath.
pub const DELIVER: TableId = TableId(112);

/// All of them.
pub const ALL: &[PhysicalTable] = &[
    PhysicalTable {
        id: CLASSIFY,
        name: "classify",
        job: "ingress port, or tunnel and sending node, to datapath and logical ports; a miss drops",
    },
    PhysicalTable {
        id: TUNNEL_IN,
        name: "tunnel_in",
        job: "a packet from another node: to its port, to the lookup of its MAC, or to the router that finds its port",
    },
    PhysicalTable {
        id: OUTPUT,
        name: "output",
        job: "datapath and egress port: a local port's egress pipeline, the tunnel, a group, or the peer router; a miss drops",
    },
    PhysicalTable {
        id: DELIVER,
        name: "deliver",
        job: "a router's port: into the peer datapath; any other: out of the OpenFlow port in reg13",
    },
];
