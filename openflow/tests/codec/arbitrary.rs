//! Flows, groups and actions at random, such as a switch would take and give back.

use std::net::{Ipv4Addr, Ipv6Addr};

use openflow_rs::{
    Action, Bucket, Controller, Ct, Field, Flow, Group, GroupType, Match, Multipath, Nat,
    NatDirection, PortNo, Selection, SelectionField, Subfield, Zone,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Any field, any member of a family.
pub fn field() -> impl Strategy<Value = Field> {
    (proptest::sample::select(Field::ALL), any::<u8>())
        .prop_map(|(field, index)| field.with_index(index % field.spec().count))
}

fn value(field: Field) -> impl Strategy<Value = u128> {
    prop_oneof![
        any::<u128>(),
        any::<u8>().prop_map(u128::from),
        Just(0),
        Just(u128::MAX)
    ]
    .prop_map(move |value| value & field.all_ones())
}

/// A mask that is not empty.
fn mask(field: Field) -> impl Strategy<Value = u128> {
    let all = field.all_ones();
    prop_oneof![
        Just(all),
        value(field),
        (0..128_u32).prop_map(move |bits| (u128::MAX << bits) & all)
    ]
    .prop_map(move |mask| {
        if mask == 0 || !field.is_maskable() {
            all
        } else {
            mask
        }
    })
}

pub fn matches() -> impl Strategy<Value = Match> {
    let entry = field().prop_flat_map(|field| (Just(field), value(field), mask(field)));
    let protocol = proptest::sample::select(
        &[
            "", "ip", "ipv6", "tcp", "tcp6", "udp6", "sctp", "icmp", "icmp6", "arp", "mpls",
        ][..],
    );
    (protocol, vec(entry, 0..8)).prop_map(|(protocol, entries)| {
        let start: Match = protocol.parse().expect("a protocol");
        let add = |all: Match, (field, value, mask): (Field, u128, u128)| match field {
            // Ports between the ordinary and the reserved ones have no text of their own.
            Field::InPort | Field::InPortOxm => all.exact(Field::InPort, value % 0xff00),
            field => all.masked(field, value, mask),
        };
        entries.into_iter().fold(start, add)
    })
}

fn port() -> impl Strategy<Value = PortNo> {
    prop_oneof![
        (0..0xff00_u32).prop_map(PortNo),
        proptest::sample::select(PortNo::RESERVED.map(|(port, _)| port).to_vec())
    ]
}

fn subfield() -> impl Strategy<Value = Subfield> {
    (field(), any::<u16>(), any::<u16>()).prop_map(|(field, offset, bits)| {
        let width = field.width_bits();
        let offset = offset % width;
        Subfield::new(field, offset, 1 + bits % (width - offset).min(64))
    })
}

fn nat() -> impl Strategy<Value = Nat> {
    let ports = option::of((any::<u16>(), option::of(any::<u16>())));
    let addresses = prop_oneof![
        Just(None),
        (any::<u32>(), option::of(any::<u32>())).prop_map(|(first, last)| {
            let address = |bits| Ipv4Addr::from_bits(bits).into();
            Some((address(first), last.map(address)))
        }),
        (any::<u128>(), option::of(any::<u128>())).prop_map(|(first, last)| {
            let address = |bits| Ipv6Addr::from_bits(bits).into();
            Some((address(first), last.map(address)))
        }),
    ];
    let direction = proptest::sample::select(
        &[Some(NatDirection::Source), Some(NatDirection::Destination)][..],
    );
    (direction, any::<[bool; 3]>(), addresses, ports).prop_map(
        |(direction, flags, addresses, ports)| {
            let [persistent, hash, random] = flags;
            Nat {
                direction,
                persistent,
                hash,
                random,
                addresses,
                ports,
            }
        },
    )
}

fn controller() -> impl Strategy<Value = Controller> {
    let userdata = vec(any::<u8>(), 1..20);
    (
        any::<u16>(),
        any::<u16>(),
        any::<u8>(),
        userdata,
        any::<bool>(),
        option::of(any::<u32>()),
    )
        .prop_map(
            |(max_len, controller_id, reason, userdata, pause, meter)| Controller {
                max_len,
                controller_id,
                reason,
                userdata,
                pause,
                meter,
            },
        )
}

fn flat_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        port().prop_map(Action::Output),
        any::<u16>().prop_map(|max_len| Action::OutputController { max_len }),
        subfield().prop_map(Action::OutputField),
        (0..0xff00_u16, any::<u32>())
            .prop_map(|(port, max_len)| Action::OutputTruncated { port, max_len }),
        any::<u32>().prop_map(Action::Group),
        field()
            .prop_flat_map(|field| (Just(field), value(field), mask(field)))
            .prop_map(|(field, value, mask)| { Action::SetField { field, value, mask } }),
        (subfield(), any::<u16>()).prop_map(|(source, bits)| {
            let destination =
                Subfield::new(Field::XxReg(1), bits % (129 - source.bits), source.bits);
            Action::Move {
                source,
                destination,
            }
        }),
        (0..255_u8).prop_map(|table| Action::Resubmit { table }),
        (0..0xff00_u16, any::<u8>(), any::<bool>()).prop_map(
            |(in_port, table, original_direction)| {
                Action::ResubmitFrom {
                    in_port,
                    table,
                    original_direction,
                }
            }
        ),
        Just(Action::DecTtl),
        vec(any::<u16>(), 1..4).prop_map(Action::DecTtlControllers),
        any::<u8>().prop_map(Action::SetTtl),
        subfield().prop_map(Action::Push),
        subfield().prop_map(Action::Pop),
        any::<u16>().prop_map(Action::PushVlan),
        Just(Action::PopVlan),
        any::<u32>().prop_map(Action::SetQueue),
        Just(Action::PopQueue),
        controller().prop_map(Action::Controller),
        any::<u32>().prop_map(Action::Meter),
        (any::<u32>(), 1..65_u8, any::<u8>()).prop_map(|(id, n, clause)| Action::Conjunction {
            id,
            n,
            clause: 1 + clause % n
        }),
        Just(Action::CtClear),
        (any::<u16>(), subfield()).prop_map(|(bytes, bit)| Action::CheckPacketLarger {
            bytes,
            destination: Subfield { bits: 1, ..bit }
        }),
        (
            0..9_u16,
            any::<u16>(),
            0..5_u16,
            any::<u16>(),
            any::<u32>(),
            0..16_u8
        )
            .prop_map(|(fields, basis, algorithm, last, argument, register)| {
                Action::Multipath(Multipath {
                    fields,
                    basis,
                    algorithm,
                    last,
                    argument,
                    destination: Subfield::new(Field::Reg(register), 16, 16),
                })
            }),
        field().prop_map(Action::DeleteField),
        vec(any::<u8>(), 0..20).prop_map(Action::Note),
        Just(Action::Exit),
        // Type 27 is none of OpenFlow 1.5's that are known here.
        (1..4_usize, any::<u8>()).prop_map(|(words, byte)| Action::Unknown {
            kind: 27,
            body: vec![byte; words * 8 - 4]
        }),
    ]
}

pub fn action() -> impl Strategy<Value = Action> {
    flat_action().prop_recursive(3, 12, 4, |inner| {
        let zone = prop_oneof![
            any::<u16>().prop_map(Zone::Number),
            (0..16_u8).prop_map(|n| Zone::Field(Subfield::new(Field::Reg(n), 0, 16)))
        ];
        let ct = (
            any::<bool>(),
            any::<bool>(),
            zone,
            option::of(0..255_u8),
            any::<u16>(),
            option::of(nat()),
            vec(inner.clone(), 0..3),
        );
        prop_oneof![
            vec(inner, 0..4).prop_map(Action::Clone),
            ct.prop_map(|(commit, force, zone, table, alg, nat, exec)| {
                let actions = nat.map(Action::Nat).into_iter().chain(exec).collect();
                Action::Ct(Ct {
                    commit,
                    force,
                    zone,
                    table,
                    alg,
                    actions,
                })
            }),
        ]
    })
}

pub fn flow() -> impl Strategy<Value = Flow> {
    let instructions = prop_oneof![
        4 => Just(Vec::new()),
        1 => any::<u8>().prop_map(|table| vec![Action::GotoTable(table)]),
        1 => (vec(action(), 0..3), any::<u64>(), any::<u64>()).prop_map(|(actions, value, mask)| {
            let write = Action::WriteMetadata { value: value & mask, mask };
            vec![Action::ClearActions, Action::WriteActions(actions), write, Action::GotoTable(9)]
        }),
    ];
    (
        0..255_u8,
        any::<u16>(),
        any::<u64>(),
        matches(),
        vec(action(), 0..6),
        instructions,
    )
        .prop_map(
            |(table, priority, cookie, matches, actions, instructions)| {
                let actions = actions.into_iter().chain(instructions).collect();
                Flow {
                    table,
                    priority,
                    cookie,
                    matches,
                    actions,
                }
            },
        )
}

pub fn group() -> impl Strategy<Value = Group> {
    let kind = proptest::sample::select(
        &[
            GroupType::All,
            GroupType::Select,
            GroupType::Indirect,
            GroupType::FastFailover,
        ][..],
    );
    let watch = option::of((0..0xff00_u32).prop_map(PortNo));
    let bucket = (
        0..0xffff_ff00_u32,
        any::<u16>(),
        watch,
        option::of(0..1000_u32),
        vec(action(), 0..4),
    )
        .prop_map(|(id, weight, watch_port, watch_group, actions)| Bucket {
            id,
            weight,
            watch_port,
            watch_group,
            actions,
        });
    let fields = vec(
        field().prop_flat_map(|field| (Just(field), mask(field))),
        0..3,
    );
    let selection =
        ("[a-z_]{1,15}", any::<u64>(), fields).prop_map(|(method, parameter, fields)| {
            let fields = fields
                .into_iter()
                .map(|(field, mask)| SelectionField { field, mask })
                .collect();
            Selection {
                method,
                parameter,
                fields,
            }
        });
    (any::<u32>(), kind, vec(bucket, 0..5), option::of(selection)).prop_map(
        |(id, kind, buckets, selection)| {
            Group {
                id,
                kind,
                buckets,
                selection,
            }
            .canonical()
        },
    )
}
