//! What a flow does with a packet: OpenFlow 1.5 actions, Open vSwitch's Nicira actions, and instructions.
//!
//! As in Open vSwitch, the instructions other than apply-actions stand in the same list as actions of their own
//! (`GotoTable`, `WriteActions`, …); weft sends none of them but must be able to read a flow that somebody else installed.
//! Anything not in this table survives as [`Action::Unknown`].
//!
//! Invariants: `SetField` covers what `load` and `set_field` say in text; nesting is bounded at [`DEPTH_MAX`].
//!
//! Must not: check that actions make sense together; the switch refuses these by name.

mod conntrack;
mod instruction;
mod table;
mod text;
mod wire;

use std::net::IpAddr;

use bytes::Bytes;

use crate::error::{DecodeError, EncodeError};
use crate::field::Field;
use crate::port::PortNo;
use crate::subfield::Subfield;
use crate::wire::{Reader, Writer};

pub(crate) use self::instruction::{decode_instructions, encode_instructions};
pub use self::table::{ACTIONS, ActionSpec, Number};
pub(crate) use self::text::{actions_text, parse_actions};
pub(crate) use self::wire::{NICIRA, decode_actions, encode_actions};

/// Deepest nesting of actions within actions (`clone`, `ct`, `write_actions`) that is read or written.
pub const DEPTH_MAX: usize = 8;
/// Most actions of one list.
pub const COUNT_MAX: usize = 8192;

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// `output:N`, `IN_PORT`, …
    Output(PortNo),
    /// `CONTROLLER:max_len`: the first bytes of the packet as an OpenFlow packet-in.
    OutputController {
        /// Bytes of the packet; 65535 for all.
        max_len: u16,
    },
    /// `output:NXM_NX_REG0[0..15]`.
    OutputField(Subfield),
    /// `output(port=N,max_len=M)`: the packet cut to `max_len` bytes.
    OutputTruncated {
        /// The port, 16 bits.
        port: u16,
        /// Bytes that are sent.
        max_len: u32,
    },
    /// `group:N`.
    Group(u32),
    /// `set_field:VALUE[/MASK]->FIELD`; `load:` in text is read as this too.
    SetField {
        /// The field.
        field: Field,
        /// The bits written; those outside `mask` are zero.
        value: u128,
        /// The bits that are written.
        mask: u128,
    },
    /// `move:SOURCE->DESTINATION`.
    Move {
        /// Where the bits come from.
        source: Subfield,
        /// Where they go; as many bits.
        destination: Subfield,
    },
    /// `resubmit(,TABLE)`: look up in a table, with the ingress port as it is.
    Resubmit {
        /// The table.
        table: u8,
    },
    /// `resubmit(PORT,TABLE[,ct])`: look up as if the packet came in by `in_port`.
    ResubmitFrom {
        /// The ingress port, 16 bits; 0xfff8 for the present one.
        in_port: u16,
        /// The table; 255 for the present one.
        table: u8,
        /// Whether the fields of connection tracking's original direction replace the packet's for the look-up.
        original_direction: bool,
    },
    /// `dec_ttl`.
    DecTtl,
    /// `dec_ttl(id,…)`: where the TTL ends, packet-ins go to these controllers.
    DecTtlControllers(Vec<u16>),
    /// `mod_nw_ttl:N`.
    SetTtl(u8),
    /// `push:SUBFIELD`.
    Push(Subfield),
    /// `pop:SUBFIELD`.
    Pop(Subfield),
    /// `push_vlan:ETHERTYPE`.
    PushVlan(u16),
    /// `pop_vlan`.
    PopVlan,
    /// `set_queue:N`.
    SetQueue(u32),
    /// `pop_queue`.
    PopQueue,
    /// `controller(…)`.
    Controller(Controller),
    /// `meter:N`.
    Meter(u32),
    /// `clone(…)`.
    Clone(Vec<Action>),
    /// `conjunction(id,clause/n)`.
    Conjunction {
        /// The conjunction.
        id: u32,
        /// Which clause this flow belongs to, from 1.
        clause: u8,
        /// How many clauses there are, 2 to 64.
        n: u8,
    },
    /// `ct(…)`.
    Ct(Ct),
    /// `ct_clear`.
    CtClear,
    /// `nat(…)`, only within `ct`.
    Nat(Nat),
    /// `check_pkt_larger(N)->SUBFIELD`.
    CheckPacketLarger {
        /// Bytes.
        bytes: u16,
        /// The bit that is set if the packet is larger.
        destination: Subfield,
    },
    /// `multipath(…)`: a number by hash of the packet.
    Multipath(Multipath),
    /// `delete_field:FIELD`, for Geneve options.
    DeleteField(Field),
    /// `note:00.01`: no effect. Padded with zeros to a multiple of 8 less 2 bytes.
    Note(Vec<u8>),
    /// `exit`.
    Exit,
    /// The instruction `write_metadata:VALUE/MASK`.
    WriteMetadata {
        /// The bits written.
        value: u64,
        /// The bits that are written.
        mask: u64,
    },
    /// The instruction `goto_table:N`.
    GotoTable(u8),
    /// The instruction `clear_actions`.
    ClearActions,
    /// The instruction `write_actions(…)`.
    WriteActions(Vec<Action>),
    /// An action that the action table does not list, passed through as it came.
    Unknown {
        /// `OFPAT_*`; 0xffff for an experimenter's.
        kind: u16,
        /// What follows type and length; with type and length a multiple of 8 bytes.
        body: Vec<u8>,
    },
}

/// What [`Action::Controller`] sends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Controller {
    /// Bytes of the packet; 65535 for all.
    pub max_len: u16,
    /// Which controllers, by the ID they gave with NXT_SET_CONTROLLER_ID; 0 for all that gave none.
    pub controller_id: u16,
    /// `OFPR_*`: 0 no match, 1 action, 2 invalid TTL, …
    pub reason: u8,
    /// Bytes handed back with the packet.
    pub userdata: Vec<u8>,
    /// Whether the packet waits for an NXT_RESUME.
    pub pause: bool,
    /// Meter that limits these packets.
    pub meter: Option<u32>,
}

impl Default for Controller {
    fn default() -> Controller {
        Controller {
            max_len: 65535,
            controller_id: 0,
            reason: 1,
            userdata: Vec::new(),
            pause: false,
            meter: None,
        }
    }
}

/// What [`Action::Multipath`] chooses, and by what (Open vSwitch `struct nx_action_multipath`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Multipath {
    /// `NX_HASH_FIELDS_*`: which fields are hashed; [`HASH_SYMMETRIC_L3L4_UDP`] for addresses, protocol and ports.
    pub fields: u16,
    /// What is hashed besides.
    pub basis: u16,
    /// `NX_MP_ALG_*`: how a hash becomes a choice; [`MULTIPATH_HRW`] changes few choices when there is one more.
    pub algorithm: u16,
    /// The highest number; 0 is the lowest.
    pub last: u16,
    /// The algorithm's own.
    pub argument: u32,
    /// Where the number goes.
    pub destination: Subfield,
}

/// Addresses, protocol, and ports of TCP, SCTP and UDP, the same in both directions (`NX_HASH_FIELDS_SYMMETRIC_L3L4_UDP`).
pub const HASH_SYMMETRIC_L3L4_UDP: u16 = 3;
/// Highest random weight (`NX_MP_ALG_HRW`).
pub const MULTIPATH_HRW: u16 = 2;

/// Connection tracking.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ct {
    /// Whether the connection is kept.
    pub commit: bool,
    /// Whether a connection of the opposite direction gives way (needs `commit`).
    pub force: bool,
    /// The zone.
    pub zone: Zone,
    /// Where a copy of the packet goes on, its connection state known.
    pub table: Option<u8>,
    /// Application layer gateway: 0 none, 21 FTP, 69 TFTP.
    pub alg: u16,
    /// `nat`, and what `exec` may hold: `set_field` and `move` to `ct_mark` and `ct_label`.
    pub actions: Vec<Action>,
}

/// Where the zone of [`Ct`] comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// A number.
    Number(u16),
    /// Sixteen bits of the packet or its registers.
    Field(Subfield),
}

impl Default for Zone {
    fn default() -> Zone {
        Zone::Number(0)
    }
}

/// Address translation, within [`Ct`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nat {
    /// What is translated; `None`: what the connection's entry says.
    pub direction: Option<NatDirection>,
    /// Same mapping across restarts.
    pub persistent: bool,
    /// Ports by hash.
    pub hash: bool,
    /// Ports at random.
    pub random: bool,
    /// First and last address; both of one family.
    pub addresses: Option<(IpAddr, Option<IpAddr>)>,
    /// First and last port.
    pub ports: Option<(u16, Option<u16>)>,
}

/// The side that [`Nat`] rewrites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatDirection {
    /// Source.
    Source,
    /// Destination.
    Destination,
}

impl Action {
    /// A list of actions as it stands in a message: for what carries actions that are carried out later.
    ///
    /// # Errors
    /// If a value is wider than its field, or something has no place where it stands.
    pub fn encode_list(actions: &[Action]) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::new();
        encode_actions(&mut writer, actions, 0)?;
        Ok(writer.finish())
    }

    /// Reads such a list, and nothing but it.
    ///
    /// # Errors
    /// If the bytes are no list of actions.
    pub fn decode_list(bytes: &[u8]) -> Result<Vec<Action>, DecodeError> {
        decode_actions(Reader::new("list of actions", bytes), 0)
    }

    /// Writes a whole field.
    #[must_use]
    pub fn set(field: Field, value: impl Into<u128>) -> Action {
        Action::SetField {
            field,
            value: value.into(),
            mask: field.all_ones(),
        }
    }

    /// Writes some bits of a field; `value` is counted from the subfield's lowest bit.
    #[must_use]
    pub fn load(destination: Subfield, value: impl Into<u128>) -> Action {
        let mask = destination.mask();
        let value = value
            .into()
            .checked_shl(u32::from(destination.offset))
            .unwrap_or(0)
            & mask;
        Action::SetField {
            field: destination.field,
            value,
            mask: destination.field.normal_mask(mask),
        }
    }

    /// Copies one field, or a part of one, to another of the same width.
    #[must_use]
    pub fn copy(source: impl Into<Subfield>, destination: impl Into<Subfield>) -> Action {
        Action::Move {
            source: source.into(),
            destination: destination.into(),
        }
    }

    /// The same action as Open vSwitch would give it back.
    #[must_use]
    pub(crate) fn canonical(self) -> Option<Action> {
        Some(match self {
            Action::Output(PortNo::CONTROLLER) => Action::OutputController { max_len: 65535 },
            Action::SetField { mask: 0, .. } => return None,
            Action::SetField { field, value, mask } => {
                let mask = field.normal_mask(mask);
                Action::SetField {
                    field,
                    value: value & mask,
                    mask,
                }
            }
            Action::ResubmitFrom {
                in_port: 0xfff8,
                table,
                original_direction: false,
            } if table != 255 => Action::Resubmit { table },
            Action::Note(mut bytes) => {
                let padded = bytes
                    .len()
                    .saturating_add(2)
                    .next_multiple_of(8)
                    .saturating_sub(2);
                bytes.resize(padded, 0);
                Action::Note(bytes)
            }
            Action::Clone(actions) => Action::Clone(canonical_list(actions)),
            Action::WriteActions(actions) => Action::WriteActions(canonical_list(actions)),
            Action::Ct(ct) => Action::Ct(Ct {
                actions: canonical_list(ct.actions),
                ..ct
            }),
            other => other,
        })
    }
}

/// A list of actions as Open vSwitch would give it back.
pub(crate) fn canonical_list(actions: Vec<Action>) -> Vec<Action> {
    actions.into_iter().filter_map(Action::canonical).collect()
}
