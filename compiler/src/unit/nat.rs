//! A translation of a router that is on one node alone.
//!
//! ```text
//!   from outside   lr_in_unsnat   to the outside address     ct_snat            an answer: to who asked
//!                  lr_in_dnat     to the outside address     ct_dnat(inside)    to what is inside
//!   from inside    lr_out_undnat  from the inside address    ct_dnat            an answer: from what was asked
//!                  lr_out_snat    from the inside prefix     ct_snat(outside)
//! ```
//!
//! Destinations and sources have a zone each: a packet from inside to the outside address of something inside has both translated.
//!
//! Must not: answer for an outside address in a network that is not connected; those are routed to the router.

use ipnet::IpNet;
use uuid::Uuid;
use weft_expr::{Action, Expr, NatSide};

use super::draft::Draft;
use super::gateway;
use super::location::{destined_to, sent_from};
use crate::engine::{Key, Member, Reader};
use crate::logical_flow::{Datapath, DatapathRef, NodeSet, Scope};
use crate::pipeline::Stage;
use crate::topology::{Link, Nat, nat_diagnostic, residence};

pub(super) fn compile(reader: &mut Reader<'_>, draft: &mut Draft, nat: Uuid) {
    let row = reader.read(Key::NatRow(nat)).nat_row().cloned();
    let read = reader.read(Key::Nat(nat)).nat().cloned();
    let (Some(row), Some(read)) = (row, read) else {
        return;
    };
    draft.own("NAT", nat, &read.external.to_string());
    for (side, claimed) in read.claims() {
        let holder = reader.first_claim(Key::NatClaims(read.router, side, claimed));
        if let Some(holder) = holder.filter(|holder| *holder != nat) {
            let column = match side {
                crate::topology::Side::Destination => "external_ip",
                crate::topology::Side::Source => "logical_ip",
            };
            let message =
                format!("{claimed} is translated by another row of the router already ({holder})");
            reader.diagnose(nat_diagnostic(&row, column, message));
            return;
        }
    }
    translate(draft, &read);
    answer(reader, draft, &read, |reader, message| {
        reader.diagnose(nat_diagnostic(&row, "external_ip", message));
    });
}

fn translate(draft: &mut Draft, nat: &Nat) {
    let router = Datapath::One(DatapathRef::router(nat.router));
    // The router is on one node, and so are its flows.
    let scope = Scope::On {
        nodes: NodeSet::Domain(nat.router),
        except: None,
    };
    let mut add = |stage, priority, matches: Expr, side, address| {
        let actions = vec![Action::CtNat { side, address }];
        draft.flow(router.clone(), stage, priority, matches, actions, &scope);
    };
    let outside = || destined_to(IpNet::from(nat.external));
    if nat.of_sources {
        let (side, new) = (NatSide::Source, Some(nat.external));
        // The longest prefix wins.
        let priority = u16::from(nat.logical.prefix_len()).saturating_add(1);
        add(Stage::LrInUnsnat, 90, outside(), side, None);
        add(
            Stage::LrOutSnat,
            priority,
            sent_from(nat.logical),
            side,
            new,
        );
    }
    if nat.of_destinations {
        let (side, new) = (NatSide::Destination, Some(nat.logical.addr()));
        add(Stage::LrInDnat, 100, outside(), side, new);
        add(Stage::LrOutUndnat, 100, sent_from(nat.logical), side, None);
    }
}

/// ARP and ND for the outside address, by the router port whose network has it.
fn answer(
    reader: &mut Reader<'_>,
    draft: &mut Draft,
    nat: &Nat,
    mut complain: impl FnMut(&mut Reader<'_>, String),
) {
    let connected = reader.read(Key::ConnectedOf(nat.router)).set().keys();
    let connected = connected.filter_map(|member| match member {
        Member::Connected(network, port) if network.contains(&nat.external) => {
            Some((*network, *port))
        }
        _ => None,
    });
    let longest = connected.max_by_key(|(network, port)| (network.prefix_len(), *port));
    let Some((network, port)) = longest else {
        return;
    };
    let face = reader.read(Key::Face(port)).face().cloned();
    // Its own address the port answers for anyway.
    let (Some(face), false) = (face, network.addr() == nat.external) else {
        return;
    };
    let Link::Switch { switch, .. } = face.link else {
        return;
    };
    if !reader.is_empty(Key::AddressClaims(switch, nat.external)) {
        let message = format!(
            "{} is the address of a port in the network of {:?}, which answers for it",
            nat.external, face.name
        );
        complain(reader, message);
        return;
    }
    let node = residence(reader, nat.router);
    gateway::answer(
        reader,
        draft,
        &face,
        switch,
        network.trunc(),
        nat.external,
        node,
    );
}
