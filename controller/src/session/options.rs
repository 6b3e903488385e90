//! The option map: which Geneve option is which `tun_metadata` field. It comes before any flow that names one.
//!
//! Must not: choose the option (the pipeline does).

use bytes::Bytes;
use openflow_rs::{Message, TlvCommand, TlvMapping, TlvTableMod};
use weft_compiler::pipeline;

use super::request::encode;

/// What the switch's map needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Good,
    /// The mapping.
    Missing,
    /// To be cleared first: the option or the field is used otherwise.
    Conflict,
}

/// Looks at what the switch has.
pub(super) fn compare(mappings: &[TlvMapping]) -> Verdict {
    let wanted = wanted();
    let rivals = |mapping: &&TlvMapping| {
        mapping.index == wanted.index
            || (mapping.class == wanted.class && mapping.kind == wanted.kind)
    };
    match mappings.iter().find(rivals) {
        None => Verdict::Missing,
        Some(mapping) if *mapping == wanted => Verdict::Good,
        Some(_) => Verdict::Conflict,
    }
}

pub(super) fn add(xid: u32) -> Bytes {
    encode(
        xid,
        Message::TlvTableMod(TlvTableMod {
            command: TlvCommand::Add,
            mappings: vec![wanted()],
        }),
    )
}

pub(super) fn clear(xid: u32) -> Bytes {
    encode(
        xid,
        Message::TlvTableMod(TlvTableMod {
            command: TlvCommand::Clear,
            mappings: Vec::new(),
        }),
    )
}

fn wanted() -> TlvMapping {
    TlvMapping {
        class: pipeline::OPTION_CLASS,
        kind: pipeline::OPTION_TYPE,
        length: pipeline::OPTION_LENGTH,
        index: u16::from(pipeline::OPTION_FIELD),
    }
}
