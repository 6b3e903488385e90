//! Connection tracking of load balancers, in OpenFlow.
//!
//! Must not: know which packets are tracked.

use std::net::IpAddr;

use openflow_rs::{Action as OfAction, Ct, Field, Nat, NatDirection, Subfield, Zone};
use weft_expr::{Backend, NatSide};

use crate::pipeline::{TableId, register};

/// The zone of the port worked on.
fn zone() -> Zone {
    Zone::Field(Subfield::new(Field::Reg(register::OFPORT), 0, 16))
}

/// What is known of the packet's connection, translated as that says.
pub(super) fn track(table: TableId) -> OfAction {
    OfAction::Ct(Ct {
        zone: zone(),
        table: Some(table.get()),
        actions: vec![OfAction::Nat(Nat::default())],
        ..Ct::default()
    })
}

/// A router's translation in one of its zones: of what is known, and with an address of what is new.
pub(super) fn nat(side: NatSide, address: Option<IpAddr>, zone: u16, table: TableId) -> OfAction {
    let direction = match side {
        NatSide::Source => NatDirection::Source,
        NatSide::Destination => NatDirection::Destination,
    };
    OfAction::Ct(Ct {
        commit: address.is_some(),
        zone: Zone::Number(zone),
        table: Some(table.get()),
        actions: vec![OfAction::Nat(Nat {
            direction: address.map(|_| direction),
            addresses: address.map(|address| (address, None)),
            ..Nat::default()
        })],
        ..Ct::default()
    })
}

/// A new connection, whose packets go to `backend` from now on.
pub(crate) fn translate(backend: Backend, table: TableId) -> OfAction {
    let nat = Nat {
        direction: Some(NatDirection::Destination),
        addresses: Some((backend.address, None)),
        ports: backend.port.map(|port| (port, None)),
        ..Nat::default()
    };
    OfAction::Ct(Ct {
        commit: true,
        zone: zone(),
        table: Some(table.get()),
        actions: vec![OfAction::Nat(nat)],
        ..Ct::default()
    })
}
