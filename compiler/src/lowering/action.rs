//! Actions of the language to OpenFlow's.
//!
//! Must not: reorder; OpenFlow's apply-actions run in order too.

use std::net::IpAddr;
use std::sync::Arc;

use openflow_rs::{
    Action as OfAction, Controller, Field as OfField, HASH_SYMMETRIC_L3L4_UDP, MULTIPATH_HRW,
    Multipath, PortNo, Subfield,
};
use weft_expr::{Action, Field, Part, Pipeline, Replacement};

use super::field::subfield;
use super::{LowerError, kind, port_register};
use crate::logical_flow::{Datapath, LogicalFlow, Names};
use crate::pipeline::{
    DatapathKind, PortKey, Punt, Stage, TUNNEL_OFPORT, TableId, register, table,
};
use crate::punt::Request;

pub(super) fn lower(
    flow: &LogicalFlow,
    names: &mut dyn Names,
) -> Result<Vec<OfAction>, LowerError> {
    lower_list(flow, &flow.actions, names)
}

fn lower_list(
    flow: &LogicalFlow,
    actions: &[Action],
    names: &mut dyn Names,
) -> Result<Vec<OfAction>, LowerError> {
    let mut lowered = Vec::new();
    for (index, action) in actions.iter().enumerate() {
        let mut one = Vec::new();
        lower_one(flow, action, names, &mut one)?;
        // Elsewhere the packet may be changed; what follows here works on this flow's own.
        let is_last = index.saturating_add(1) == actions.len();
        match hands_over(action) && !is_last {
            true => lowered.push(OfAction::Clone(one)),
            false => lowered.append(&mut one),
        }
    }
    Ok(lowered)
}

const fn hands_over(action: &Action) -> bool {
    matches!(
        action,
        Action::Next { .. }
            | Action::Output
            | Action::Select { .. }
            | Action::CtLb
            | Action::CtLbTo { .. }
            | Action::CtNat { .. }
            | Action::Forward { .. }
            | Action::Deliver { .. }
            | Action::Locate { .. }
    )
}

fn lower_one(
    flow: &LogicalFlow,
    action: &Action,
    names: &mut dyn Names,
    lowered: &mut Vec<OfAction>,
) -> Result<(), LowerError> {
    match action {
        Action::Drop => {}
        Action::Next { pipeline, table } => {
            lowered.push(resubmit(next(flow, action, *pipeline, *table)?));
        }
        Action::Output => lowered.push(resubmit(output(flow))),
        Action::Assign { destination, value } => assign(*destination, *value, lowered),
        Action::AssignPort { destination, name } => {
            let unknown = || LowerError::UnknownPort {
                symbol: *destination,
                name: name.clone(),
            };
            let key = match name.is_empty() {
                true => 0,
                false => names.port(&flow.datapath, name).ok_or_else(unknown)?.get(),
            };
            lowered.push(set(port_register(*destination), u128::from(key)));
        }
        Action::Move {
            destination,
            source,
        } => lowered.push(OfAction::Move {
            source: subfield(*source),
            destination: subfield(*destination),
        }),
        Action::MovePort {
            destination,
            source,
        } => lowered.push(OfAction::Move {
            source: Subfield::whole(port_register(*source)),
            destination: Subfield::whole(port_register(*destination)),
        }),
        Action::Exchange { left, right } => {
            let (left, right) = (subfield(*left), subfield(*right));
            lowered.extend([OfAction::Push(left), OfAction::Push(right)]);
            lowered.extend([OfAction::Pop(left), OfAction::Pop(right)]);
        }
        Action::Select {
            destination,
            choices,
        } => {
            lowered.push(OfAction::Multipath(Multipath {
                fields: HASH_SYMMETRIC_L3L4_UDP,
                // Routers in a row must not choose alike.
                basis: u16::try_from(flow.cookie().get() & 0xffff).unwrap_or(0),
                algorithm: MULTIPATH_HRW,
                last: choices.saturating_sub(1),
                argument: 0,
                destination: subfield(*destination),
            }));
            lowered.push(resubmit(next(flow, action, None, None)?));
        }
        Action::Replace { with, actions } => lowered.push(punt(flow, *with, actions, names)?),
        // Within a replacement it is part of what the controller is told; elsewhere it says nothing.
        Action::FragMtu { .. } => {}
        Action::CtClear => lowered.push(OfAction::CtClear),
        Action::CtLb => {
            let table = next(flow, action, None, None)?;
            lowered.push(super::conntrack::track(table));
        }
        Action::CtLbTo { .. } => {
            let group = names.group().ok_or(LowerError::NoGroup)?;
            lowered.push(OfAction::Group(group.get()));
        }
        Action::CtNat { side, address } => {
            let table = next(flow, action, None, None)?;
            let zone = match &flow.datapath {
                Datapath::One(datapath) => names.zone(*datapath, *side),
                Datapath::Every(_) => None,
            };
            let zone = zone.ok_or(LowerError::NoZone)?;
            lowered.push(super::conntrack::nat(*side, *address, zone, table));
        }
        Action::DecrementTtl => lowered.push(OfAction::DecTtl),
        Action::Forward { node } => forward(node, names, lowered)?,
        Action::Deliver { datapath, port } => {
            let port = deliver(datapath, port, names, lowered)?;
            lowered.extend([
                set(OfField::Reg(register::OUTPORT), u128::from(port.get())),
                resubmit(table::OUTPUT),
            ]);
        }
        Action::Locate { datapath, port } => {
            let _the_routers_own = deliver(datapath, port, names, lowered)?;
            lowered.extend([
                set(OfField::Reg(register::OUTPORT), 0),
                resubmit(Stage::LsInLocate.table()),
            ]);
        }
    }
    Ok(())
}

const fn resubmit(table: TableId) -> OfAction {
    OfAction::Resubmit { table: table.get() }
}

fn set(field: OfField, value: u128) -> OfAction {
    OfAction::SetField {
        field,
        value,
        mask: field.all_ones(),
    }
}

/// A router's ports are on every node: there is nothing to look up on the way to its egress pipeline.
fn output(flow: &LogicalFlow) -> TableId {
    match (flow.stage.pipeline(), kind(&flow.datapath)) {
        (Pipeline::Ingress, DatapathKind::Switch) => table::OUTPUT,
        (Pipeline::Ingress, kind @ DatapathKind::Router) => {
            Stage::first(kind, Pipeline::Egress).map_or(table::DELIVER, Stage::table)
        }
        (Pipeline::Egress, _) => table::DELIVER,
    }
}

fn next(
    flow: &LogicalFlow,
    action: &Action,
    pipeline: Option<Pipeline>,
    table: Option<u8>,
) -> Result<TableId, LowerError> {
    let stage = match table {
        None => flow.stage.following(),
        Some(number) => {
            let pipeline = pipeline.unwrap_or(flow.stage.pipeline());
            Stage::find(kind(&flow.datapath), pipeline, number)
        }
    };
    stage.map(Stage::table).ok_or_else(|| LowerError::NoStage {
        action: action.clone(),
    })
}

fn assign(destination: Part, value: u128, lowered: &mut Vec<OfAction>) {
    let bits = subfield(destination);
    if matches!(bits.field, OfField::NdReserved | OfField::NdOptionsType) {
        set_by_stack(bits, value, lowered);
        return;
    }
    let value = value.checked_shl(bits.offset.into()).unwrap_or(0);
    lowered.push(OfAction::SetField {
        field: bits.field,
        value,
        mask: bits.mask(),
    });
    // Open vSwitch never sends a packet out of the port it came in by, so the port has to be forgotten where that is wanted.
    let loopback = 1;
    if destination.field() == Field::Flags && value & loopback != 0 {
        lowered.push(set(OfField::InPort, NO_PORT));
    }
}

/// Open vSwitch refuses to set these two, by `set_field` or `move`, where the datapath cannot (the kernel's), although it changes such
/// packets itself and not in the datapath. Taken from the stack they are accepted (`ofproto-dpif.c`, `check_actions`). The
/// register is as before afterwards.
fn set_by_stack(bits: Subfield, value: u128, lowered: &mut Vec<OfAction>) {
    let scratch = Subfield::new(OfField::Reg(0), 0, bits.bits);
    lowered.extend([
        OfAction::Push(scratch),
        OfAction::SetField {
            field: scratch.field,
            value,
            mask: scratch.mask(),
        },
        OfAction::Push(scratch),
        OfAction::Pop(bits),
        OfAction::Pop(scratch),
    ]);
}

/// To the controller, with what it is to make of the packet and to do with that.
fn punt(
    flow: &LogicalFlow,
    with: Replacement,
    actions: &[Action],
    names: &mut dyn Names,
) -> Result<OfAction, LowerError> {
    let mut request = Request {
        opcode: with.into(),
        message: match with {
            Replacement::Icmp6 | Replacement::Icmp6Error => (1, 3),
            _ => (3, 1),
        },
        frag_mtu: 0,
        actions: Vec::new(),
    };
    let mut rest = Vec::new();
    for action in actions {
        // What is known now goes into the packet when it is made.
        match action {
            Action::Assign { destination, value } if is_icmp(*destination) => {
                let value = u8::try_from(*value).unwrap_or(0);
                match destination.field() {
                    Field::Icmp4Type | Field::Icmp6Type => request.message.0 = value,
                    _ => request.message.1 = value,
                }
            }
            Action::FragMtu { mtu, .. } => request.frag_mtu = *mtu,
            other => rest.push(other.clone()),
        }
    }
    request.actions = lower_list(flow, &rest, names)?;
    let punt = match with {
        Replacement::TcpReset | Replacement::Reject => Punt::Reject,
        _ => Punt::IcmpError,
    };
    Ok(OfAction::Controller(Controller {
        userdata: request.encode()?.to_vec(),
        meter: Some(punt.meter()),
        ..Controller::default()
    }))
}

fn is_icmp(part: Part) -> bool {
    let field = part.field();
    let is_one = matches!(
        field,
        Field::Icmp4Type | Field::Icmp4Code | Field::Icmp6Type | Field::Icmp6Code
    );
    is_one && part.width() == field.width()
}

/// Into the tunnel under this datapath's own key, without ports: the receiver finds the port.
fn forward(
    node: &Arc<str>,
    names: &mut dyn Names,
    lowered: &mut Vec<OfAction>,
) -> Result<(), LowerError> {
    let address = names.tunnel_address(node);
    let address = address.ok_or_else(|| LowerError::UnknownNode { node: node.clone() })?;
    lowered.push(OfAction::Move {
        source: Subfield::new(OfField::Metadata, 0, KEY_BITS),
        destination: Subfield::new(OfField::TunId, 0, KEY_BITS),
    });
    lowered.push(match address {
        IpAddr::V4(address) => set(OfField::TunDst, u128::from(address.to_bits())),
        IpAddr::V6(address) => set(OfField::TunIpv6Dst, address.to_bits()),
    });
    lowered.push(OfAction::Output(PortNo::from_u16(TUNNEL_OFPORT)));
    Ok(())
}

/// A packet of the other datapath that has no history; gives the port's key.
fn deliver(
    datapath: &Arc<str>,
    port: &Arc<str>,
    names: &mut dyn Names,
    lowered: &mut Vec<OfAction>,
) -> Result<PortKey, LowerError> {
    let unknown = || LowerError::UnknownDelivery {
        datapath: datapath.clone(),
        port: port.clone(),
    };
    let (datapath, port) = names.delivery(datapath, port).ok_or_else(unknown)?;
    let registers = [OfField::XxReg(0), OfField::XxReg(1), OfField::XReg(4)];
    lowered.extend(registers.map(|register| set(register, 0)));
    lowered.extend([
        set(OfField::Reg(register::FLAGS), 0),
        set(OfField::Reg(register::INPORT), 0),
        // A packet may be delivered to the port it came in by: it was routed in between.
        set(OfField::InPort, NO_PORT),
        set(OfField::Metadata, u128::from(datapath.get())),
    ]);
    Ok(port)
}

/// Width of a datapath's key.
const KEY_BITS: u16 = 24;
/// `OFPP_NONE` in 16 bits.
const NO_PORT: u128 = 0xffff;
