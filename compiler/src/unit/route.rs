//! A static route, and the router's use of its next hop.
//!
//! Must not: resolve the next hop; the port that has the address does.

use std::net::IpAddr;

use ipnet::IpNet;
use uuid::Uuid;
use weft_expr::{Action, Symbol};

use super::draft::Draft;
use super::location::destined_to;
use crate::diagnostic::Diagnostic;
use crate::engine::{Key, Reader};
use crate::logical_flow::{Datapath, DatapathRef, NodeSet, Scope};
use crate::pipeline::Stage;
use crate::topology::Face;

pub(super) fn compile(reader: &mut Reader<'_>, draft: &mut Draft, route: Uuid) {
    let Some(read) = reader.read(Key::Route(route)).route().cloned() else {
        return;
    };
    let claims = Key::RouteClaims(read.router, read.prefix);
    if reader.first_row(claims) != Some(route) {
        reader.diagnose(Diagnostic {
            table: "Logical_Router_Static_Route",
            uuid: route,
            name: String::new(),
            column: "ip_prefix",
            message: format!(
                "another route of this router is for {} too; several next hops are not served yet, this one is left out",
                read.prefix
            ),
        });
        return;
    }
    let actions = match &read.next_hop {
        None => vec![Action::Drop],
        Some(hop) => match reader.read(Key::Face(hop.port)).face().cloned() {
            None => vec![Action::Drop],
            Some(face) => towards(&face, hop.address),
        },
    };
    draft.own("Logical_Router_Static_Route", route, "");
    let scope = Scope::On {
        nodes: NodeSet::Domain(read.router),
        except: None,
    };
    let datapath = Datapath::One(DatapathRef::router(read.router));
    let priority = route_priority(read.prefix, 1);
    draft.flow(
        datapath,
        Stage::LrInIpRouting,
        priority,
        destined_to(read.prefix),
        actions,
        &scope,
    );
}

/// A longer prefix before a shorter one, and of the same length a connected network (2) before a static route (1), as in OVN.
pub(super) fn route_priority(prefix: IpNet, rank: u16) -> u16 {
    u16::from(prefix.prefix_len()) * 3 + rank
}

/// Out of a router port, to a next hop.
fn towards(face: &Face, next_hop: IpAddr) -> Vec<Action> {
    let hop = match next_hop {
        IpAddr::V4(address) => Symbol::Reg0.set(address),
        IpAddr::V6(address) => Symbol::XxReg0.set(address),
    };
    leave(face, hop)
}

/// Out of a router port, straight to the destination: it is in a network connected there.
pub(super) fn towards_destination(face: &Face, network: IpNet) -> Vec<Action> {
    leave(
        face,
        match network {
            IpNet::V4(_) => Symbol::Reg0.copy_from(Symbol::Ip4Dst),
            IpNet::V6(_) => Symbol::XxReg0.copy_from(Symbol::Ip6Dst),
        },
    )
}

fn leave(face: &Face, hop: Action) -> Vec<Action> {
    vec![
        hop,
        Symbol::EthSrc.set(face.mac),
        Action::outport(face.name.clone()),
        // A router sends back where it came from, if that is the way.
        Symbol::FlagsLoopback.set(1),
        Action::next(),
    ]
}
