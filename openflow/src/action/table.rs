//! The one table of actions: what each is called in text and which number it has on the wire.
//!
//! Decoding looks a number up here, encoding looks up the kind, text parsing the name; documentation prints it.
//! Source: Open vSwitch `lib/ofp-actions.c` (`enum ofp_raw_action_type`), ovs-actions(7).
//!
//! Must not: know the bodies of actions (see `wire.rs`).

/// One row of the action table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionSpec {
    pub(crate) kind: Kind,
    /// Name in flow text.
    pub name: &'static str,
    /// Number on the wire.
    pub number: Number,
    /// Bytes of the body that are always there, after type and length, or after vendor and subtype.
    pub body: u8,
    /// First Open vSwitch version that knows it.
    pub since: &'static str,
}

/// Where an action's number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// `OFPAT_*` of OpenFlow 1.5.
    Standard(u16),
    /// `NXAST_*`, a subtype of experimenter 0x2320.
    Nicira(u16),
    /// `OFPIT_*`: an instruction.
    Instruction(u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Output,
    SetTtl,
    PushVlan,
    PopVlan,
    SetQueue,
    Group,
    DecTtl,
    SetField,
    Move,
    Meter,
    ResubmitPort,
    PopQueue,
    Note,
    Multipath,
    Resubmit,
    ResubmitCt,
    OutputField,
    Exit,
    ControllerShort,
    DecTtlControllers,
    Push,
    Pop,
    OutputField2,
    Conjunction,
    Ct,
    Nat,
    Controller,
    OutputTruncated,
    Clone,
    CtClear,
    CheckPacketLarger,
    DeleteField,
    GotoTable,
    WriteMetadata,
    WriteActions,
    ApplyActions,
    ClearActions,
}

const fn row(
    kind: Kind,
    name: &'static str,
    number: Number,
    body: u8,
    since: &'static str,
) -> ActionSpec {
    ActionSpec {
        kind,
        name,
        number,
        body,
        since,
    }
}

/// All actions and instructions that are decoded; others survive as [`crate::Action::Unknown`].
pub const ACTIONS: &[ActionSpec] = &[
    row(Kind::Output, "output", Number::Standard(0), 12, "1.1"),
    row(Kind::PushVlan, "push_vlan", Number::Standard(17), 4, "1.7"),
    row(Kind::PopVlan, "pop_vlan", Number::Standard(18), 4, "1.7"),
    row(Kind::SetQueue, "set_queue", Number::Standard(21), 4, "1.1"),
    row(Kind::Group, "group", Number::Standard(22), 4, "1.11"),
    row(Kind::SetTtl, "mod_nw_ttl", Number::Standard(23), 4, "1.11"),
    row(Kind::DecTtl, "dec_ttl", Number::Standard(24), 4, "1.4"),
    row(Kind::SetField, "set_field", Number::Standard(25), 4, "1.8"),
    row(Kind::Move, "move", Number::Standard(28), 16, "1.1"),
    row(Kind::Meter, "meter", Number::Standard(29), 4, "2.0"),
    row(Kind::ResubmitPort, "resubmit", Number::Nicira(1), 6, "1.1"),
    row(Kind::PopQueue, "pop_queue", Number::Nicira(5), 6, "1.1"),
    row(Kind::Note, "note", Number::Nicira(8), 6, "1.1"),
    row(Kind::Multipath, "multipath", Number::Nicira(10), 22, "1.1"),
    row(Kind::Resubmit, "resubmit", Number::Nicira(14), 6, "1.3"),
    row(Kind::OutputField, "output", Number::Nicira(15), 14, "1.3"),
    row(Kind::Exit, "exit", Number::Nicira(17), 6, "1.3"),
    row(
        Kind::ControllerShort,
        "controller",
        Number::Nicira(20),
        6,
        "1.6",
    ),
    row(
        Kind::DecTtlControllers,
        "dec_ttl",
        Number::Nicira(21),
        6,
        "1.6",
    ),
    row(Kind::Push, "push", Number::Nicira(27), 14, "1.2"),
    row(Kind::Pop, "pop", Number::Nicira(28), 14, "1.2"),
    row(Kind::OutputField2, "output", Number::Nicira(32), 14, "2.4"),
    row(
        Kind::Conjunction,
        "conjunction",
        Number::Nicira(34),
        6,
        "2.4",
    ),
    row(Kind::Ct, "ct", Number::Nicira(35), 14, "2.5"),
    row(Kind::Nat, "nat", Number::Nicira(36), 6, "2.6"),
    row(Kind::Controller, "controller", Number::Nicira(37), 6, "2.6"),
    row(
        Kind::OutputTruncated,
        "output",
        Number::Nicira(39),
        6,
        "2.6",
    ),
    row(Kind::Clone, "clone", Number::Nicira(42), 6, "2.7"),
    row(Kind::CtClear, "ct_clear", Number::Nicira(43), 6, "2.7"),
    row(Kind::ResubmitCt, "resubmit", Number::Nicira(44), 6, "2.8"),
    row(
        Kind::CheckPacketLarger,
        "check_pkt_larger",
        Number::Nicira(49),
        14,
        "2.12",
    ),
    row(
        Kind::DeleteField,
        "delete_field",
        Number::Nicira(50),
        14,
        "2.14",
    ),
    row(
        Kind::GotoTable,
        "goto_table",
        Number::Instruction(1),
        4,
        "1.7",
    ),
    row(
        Kind::WriteMetadata,
        "write_metadata",
        Number::Instruction(2),
        20,
        "1.8",
    ),
    row(
        Kind::WriteActions,
        "write_actions",
        Number::Instruction(3),
        4,
        "1.10",
    ),
    row(
        Kind::ApplyActions,
        "apply_actions",
        Number::Instruction(4),
        4,
        "1.7",
    ),
    row(
        Kind::ClearActions,
        "clear_actions",
        Number::Instruction(5),
        4,
        "1.10",
    ),
];

impl Kind {
    pub(crate) fn from_number(number: Number) -> Option<Kind> {
        ACTIONS
            .iter()
            .find(|spec| spec.number == number)
            .map(|spec| spec.kind)
    }

    pub(crate) fn number(self) -> Number {
        let spec = ACTIONS.iter().find(|spec| spec.kind == self);
        spec.map_or(Number::Standard(0xffff), |spec| spec.number)
    }
}

impl Number {
    pub(crate) fn value(self) -> u16 {
        match self {
            Number::Standard(value) | Number::Nicira(value) | Number::Instruction(value) => value,
        }
    }
}

/// The first row with a name in flow text.
pub(super) fn spec_named(name: &str) -> Option<Kind> {
    ACTIONS
        .iter()
        .find(|spec| spec.name == name)
        .map(|spec| spec.kind)
}
