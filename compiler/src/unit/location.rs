//! The location prefixes of a node in a plain domain: routed packets to them travel there under the router's key.
//!
//! Must not: compute prefixes.

use ipnet::IpNet;
use uuid::Uuid;
use weft_expr::{Expr, Predicate, Symbol};

use super::draft::Draft;
use crate::engine::{Key, Member, Reader};
use crate::logical_flow::{Datapath, DatapathRef, NodeSet, Scope};
use crate::node::NodeName;
use crate::pipeline::Stage;

pub(super) fn compile(reader: &mut Reader<'_>, draft: &mut Draft, router: Uuid, node: &NodeName) {
    if reader.read(Key::Plain(router)).is_absent() {
        return;
    }
    draft.own("Logical_Router", router, "");
    let scope = Scope::On {
        nodes: NodeSet::Domain(router),
        except: None,
    };
    for member in reader.members(Key::Prefixes(router, node.clone())) {
        if let Member::Network(prefix) = member {
            // Above every route: no address of the prefix is one that a static route decides about.
            let priority = LOCATION_PRIORITY + u16::from(prefix.prefix_len());
            let datapath = Datapath::One(DatapathRef::router(router));
            draft.forward_flow(
                datapath,
                Stage::LrInIpRouting,
                priority,
                destined_to(prefix),
                &scope,
                node,
            );
        }
    }
}

/// A packet to an address of a network.
pub(super) fn destined_to(network: IpNet) -> Expr {
    let (address, length) = (network.addr(), network.prefix_len());
    match (network, length) {
        (IpNet::V4(_), 0) => Predicate::Ip4.into(),
        (IpNet::V6(_), 0) => Predicate::Ip6.into(),
        (IpNet::V4(_), _) => Symbol::Ip4Dst.in_prefix(address, length),
        (IpNet::V6(_), _) => Symbol::Ip6Dst.in_prefix(address, length),
    }
}

/// A packet from an address of a network.
pub(super) fn sent_from(network: IpNet) -> Expr {
    let (address, length) = (network.addr(), network.prefix_len());
    match (network, length) {
        (IpNet::V4(_), 0) => Predicate::Ip4.into(),
        (IpNet::V6(_), 0) => Predicate::Ip6.into(),
        (IpNet::V4(_), _) => Symbol::Ip4Src.in_prefix(address, length),
        (IpNet::V6(_), _) => Symbol::Ip6Src.in_prefix(address, length),
    }
}

/// Routes have three times their length plus 3 at most.
const LOCATION_PRIORITY: u16 = 1000;
