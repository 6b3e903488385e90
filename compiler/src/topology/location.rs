//! Location prefixes: which node a routed packet of a plain domain has to go to, in as few prefixes as there can be.
//!
//! The router's table says of each address: it is on node X (a port of that node has it and no route says otherwise), or a static route (or a switched subnet)
//! decides, or nobody cares (nothing has it, or a route discards what is for it: wherever the packet is sent, it is dropped there). A location prefix is a shallowest
//! aligned prefix that holds addresses of one node and otherwise only such that nobody cares about; without a route, only those beside somebody, so
//! that others who send to nowhere are told:
//!
//! ```text
//!   10.0.0.0/24 connected      .0/25 ──▶ n1    (n1 has .3 and .9)
//!   .3 and .9 on n1       ⇒    .128/26 ──▶ n2  (n2 has .130)
//!   .130 on n2                 .192/27 ──▶ n1  (n1 has .200; a static route takes .224/27)
//!   .200 on n1, .224/27 static
//! ```
//!
//! Kept in a binary trie; each node sums up what is below it once for each way the routes above it may decide. So a changed
//! address touches the trie nodes on its path, and changes prefixes on that path or right beside it.
//!
//! Invariants (tested): a deterministic function of the facts; every address on a node is covered by a prefix of that node, and by no
//! other; no prefix holds an address that a static route decides about, or that somebody has though a route discards what is for it.
//! Must not: know why an address is where it is.

mod trie;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use uuid::Uuid;

use self::trie::{Prefix, Trie};
use crate::node::NodeName;

/// Something about the addresses of a router's domain.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Fact {
    /// A network is connected to the router.
    Connected(IpNet),
    /// A static route decides about a prefix, and leads somewhere or may.
    Static(IpNet),
    /// A static route drops what is for a prefix, as far as nothing longer decides.
    Discarded(IpNet),
    /// A connected network is switched: routed to as a static route would.
    Switched(IpNet),
    /// An address is on a node; the row that has it.
    At(IpAddr, NodeName, Uuid),
}

/// What a fact changed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum LocationChange {
    /// A location prefix came (`true`) or went.
    Prefix(IpNet, NodeName, bool),
    /// An address came to be in two places, or is no longer.
    Double(IpAddr, bool),
}

/// The locations of one router's domain.
#[derive(Debug, Default)]
pub(crate) struct Locations {
    ipv4: Trie<32>,
    ipv6: Trie<128>,
}

impl Locations {
    pub(crate) fn is_empty(&self) -> bool {
        self.ipv4.is_empty() && self.ipv6.is_empty()
    }

    /// Adds or removes a fact.
    pub(crate) fn change(&mut self, fact: &Fact, is_added: bool) -> Vec<LocationChange> {
        let network = match fact {
            Fact::Connected(network)
            | Fact::Static(network)
            | Fact::Discarded(network)
            | Fact::Switched(network) => *network,
            Fact::At(address, ..) => IpNet::from(*address),
        };
        let prefix = prefix_of(network);
        let is_ipv4 = network.addr().is_ipv4();
        let changes = match is_ipv4 {
            true => self.ipv4.change(prefix, fact, is_added),
            false => self.ipv6.change(prefix, fact, is_added),
        };
        let back = |prefix: Prefix| network_of(prefix, is_ipv4);
        let mut all: Vec<LocationChange> = changes
            .prefixes
            .into_iter()
            .map(|(prefix, node, is_added)| LocationChange::Prefix(back(prefix), node, is_added))
            .collect();
        if let Some(is_double) = changes.double {
            all.push(LocationChange::Double(network.addr(), is_double));
        }
        all
    }
}

fn prefix_of(network: IpNet) -> Prefix {
    let bits = match network.addr() {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    Prefix {
        bits,
        length: network.prefix_len(),
    }
}

fn network_of(prefix: Prefix, is_ipv4: bool) -> IpNet {
    match is_ipv4 {
        true => {
            let bits = u32::try_from(prefix.bits >> 96).expect("128 - 96 bits are 32 bits");
            let network = Ipv4Net::new(Ipv4Addr::from_bits(bits), prefix.length);
            IpNet::V4(network.expect("a trie of 32 levels has no longer prefix"))
        }
        false => {
            let network = Ipv6Net::new(Ipv6Addr::from_bits(prefix.bits), prefix.length);
            IpNet::V6(network.expect("a trie of 128 levels has no longer prefix"))
        }
    }
}

#[cfg(test)]
mod tests;
