//! Nodes and what is bound to them, as the controller reports it.
//!
//! Must not: hold anything about how a node is reached.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Name of a node.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl<T: Into<Arc<str>>> From<T> for NodeName {
    fn from(name: T) -> NodeName {
        NodeName(name.into())
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// OpenFlow port number of an interface on its node's bridge: 1 to 65,279.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ofport(u16);

impl Ofport {
    /// The port, if `number` is one that an interface can have.
    #[must_use]
    pub const fn new(number: u16) -> Option<Ofport> {
        match number {
            1..=65_279 => Some(Ofport(number)),
            _ => None,
        }
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Ofport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A node that takes part: its bridge is configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Where the others send tunnel packets, and where its own come from.
    pub encap_ip: IpAddr,
    /// OpenFlow port of the tunnel on this node: [`TUNNEL_OFPORT`](crate::pipeline::TUNNEL_OFPORT), unless Open vSwitch gave it another.
    pub tunnel_ofport: Ofport,
}

/// An interface on a node that is a logical switch port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// The node.
    pub node: NodeName,
    /// The interface's OpenFlow port there.
    pub ofport: Ofport,
}
