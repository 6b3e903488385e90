//! What the compiler is told: northbound rows, nodes, and which interface is which port.
//!
//! Each input says how one thing is now; what was said of it before is forgotten. Inputs may come in any order.
//!
//! Must not: carry anything that only one node session knows, but for bindings.

use std::sync::Arc;

use weft_schema::nb;

use crate::node::{Binding, Node, NodeName, Ofport};

/// One thing that is different now.
#[derive(Clone, Debug)]
pub enum Input {
    /// A northbound row came, changed or went.
    Nb(nb::Change),
    /// A node came, changed or went.
    Node(NodeName, Option<Node>),
    /// The logical switch port of this name was found on a node, moved, or is nowhere any more.
    Binding(Arc<str>, Option<Binding>),
    /// The localnet port of this name is connected to its physical network on a node, by this port of the node's bridge, or is not any more.
    Plug(NodeName, Arc<str>, Option<Ofport>),
}

/// How to compile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Whether routed packets of plain domains travel under the router's key, found by location prefixes. The network does the same
    /// without; it takes more flows.
    pub plain_path: bool,
    /// Whether ports whose MAC and addresses follow from one number have flows that make use of it. The network does the same without; it
    /// takes more flows.
    pub derived_ports: bool,
    /// Whether logical flows are kept once they are lowered, for [`Compiler::view`](crate::Compiler::view). They take more memory
    /// than all else, so a controller, which has no use for them, goes without.
    pub keeps_logical_flows: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            plain_path: true,
            derived_ports: true,
            keeps_logical_flows: true,
        }
    }
}
