//! A node: what the others do with packets from its tunnel.
//!
//! A tunnel packet from an address that is no node's matches nothing, and is dropped.
//!
//! Must not: multiply nodes by datapaths; the datapath travels in the packet.

use std::net::IpAddr;

use openflow_rs::{Action as OfAction, Field, Flow, Match, Subfield};

use super::draft::{Draft, tunnel_address};
use crate::engine::Reader;
use crate::logical_flow::{NodeSet, Scope};
use crate::node::NodeName;
use crate::pipeline::{OPTION_FIELD, TUNNEL_OFPORT, register, table};

pub(super) fn compile(reader: &mut Reader<'_>, draft: &mut Draft, node: &NodeName) {
    let Some(address) = tunnel_address(reader, node) else {
        return;
    };
    let from_tunnel = Match::new().exact(Field::InPort, TUNNEL_OFPORT);
    let matches = match address {
        IpAddr::V4(address) => from_tunnel.exact(Field::TunSrc, address.to_bits()),
        IpAddr::V6(address) => from_tunnel.exact(Field::TunIpv6Src, address.to_bits()),
    };
    let option = Field::TunMetadata(OPTION_FIELD);
    let bits = |field, offset, bits| Subfield::new(field, offset, bits);
    let (inport, outport) = (Field::Reg(register::INPORT), Field::Reg(register::OUTPORT));
    let actions = vec![
        OfAction::copy(bits(Field::TunId, 0, 24), bits(Field::Metadata, 0, 24)),
        OfAction::copy(bits(option, 16, 15), bits(inport, 0, 15)),
        OfAction::copy(bits(option, 0, 16), bits(outport, 0, 16)),
        OfAction::Resubmit {
            table: table::TUNNEL_IN.get(),
        },
    ];
    let scope = Scope::On {
        nodes: NodeSet::Known,
        except: Some(node.clone()),
    };
    let table = table::CLASSIFY.get();
    draft.physical(
        &scope,
        Flow {
            table,
            priority: 100,
            cookie: 0,
            matches,
            actions,
        },
    );
}
