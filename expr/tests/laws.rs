//! Laws over random expressions and packets: printing and reading, evaluation, negation, simplification and normal forms agree.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use weft_expr::symbol::Level;
use weft_expr::{
    Action, Backend, Constant, Expr, Field, HashField, NatSide, NormalizeError, Operand, Packet,
    Part, Pipeline, PortOperand, PortSymbol, Predicate, Relation, Replacement, Sets, Symbol,
    factor, normalize, parse_actions, parse_match,
};

/// Two address sets and a port group.
struct Fixture;

impl Sets for Fixture {
    fn address_set(&self, name: &str, width: u8) -> Option<Vec<Constant>> {
        match (name, width) {
            ("small", 32) => Some(vec![
                Constant::new(0x0a00_0001),
                Constant::masked(0x0a00_0100, 0xffff_ff00),
            ]),
            ("small", 128) => Some(vec![Constant::new(0xfd00 << 112 | 1)]),
            ("small" | "empty", _) => Some(Vec::new()),
            _ => None,
        }
    }

    fn port_group(&self, name: &str) -> Option<Vec<Arc<str>>> {
        (name == "pg").then(|| vec!["a".into(), "b".into()])
    }
}

/// Values that meet each other often.
fn value(width: u8) -> BoxedStrategy<u128> {
    let mask = if width == 128 {
        u128::MAX
    } else {
        (1u128 << width) - 1
    };
    let likely = vec![
        0,
        1,
        2,
        6,
        17,
        58,
        80,
        443,
        135,
        136,
        255,
        0x800,
        0x86dd,
        0x0a00_0001,
        0x0a00_0105,
        mask,
        mask - 1,
        mask >> 1,
    ];
    prop_oneof![3 => select(likely), 1 => any::<u128>()]
        .prop_map(move |value| value & mask)
        .boxed()
}

fn part(levels: &'static [Level]) -> impl Strategy<Value = Part> {
    let symbols: Vec<Symbol> = Symbol::ALL
        .iter()
        .copied()
        .filter(|symbol| levels.contains(&symbol.info().level))
        .collect();
    (select(symbols), any::<u8>(), any::<u8>(), any::<bool>()).prop_map(
        |(symbol, one, other, whole)| {
            let (one, other) = (one % symbol.width(), other % symbol.width());
            match whole || symbol.info().level == Level::Nominal {
                true => symbol.whole(),
                false => symbol.bits(one.min(other), one.max(other)),
            }
        },
    )
}

fn constant(part: Part) -> BoxedStrategy<Operand> {
    let exact = value(part.width()).prop_map(|value| Operand::Constant(Constant::new(value)));
    if part.symbol().info().level == Level::Nominal {
        return exact.boxed();
    }
    let width = part.width();
    let prefix = (value(width), 0..=width).prop_map(move |(value, length)| {
        let mask = part.mask()
            & !((1u128.checked_shl(u32::from(width - length)).unwrap_or(0)).wrapping_sub(1));
        Operand::Constant(Constant::masked(value, mask))
    });
    let masked = (value(width), value(width))
        .prop_map(|(value, mask)| Operand::Constant(Constant::masked(value, mask)));
    let set = select(vec!["small", "empty"]).prop_map(|name| Operand::AddressSet(name.into()));
    prop_oneof![4 => exact, 3 => prefix, 1 => masked, 1 => set].boxed()
}

fn ordinal_comparison() -> impl Strategy<Value = Expr> {
    let set = part(&[Level::Ordinal]).prop_flat_map(|part| {
        let relation = select(vec![Relation::Equal, Relation::NotEqual]);
        (relation, vec(constant(part), 1..4))
            .prop_map(move |(relation, operands)| Expr::compare(part, relation, operands))
    });
    let order = part(&[Level::Ordinal]).prop_flat_map(|part| {
        let relations = vec![
            Relation::Less,
            Relation::AtMost,
            Relation::Greater,
            Relation::AtLeast,
        ];
        (select(relations), value(part.width())).prop_map(move |(relation, value)| {
            Expr::compare(
                part,
                relation,
                vec![Operand::Constant(Constant::new(value))],
            )
        })
    });
    prop_oneof![set, order]
}

/// Comparisons that stand only in a positive sense.
fn nominal() -> impl Strategy<Value = Expr> {
    let comparison = part(&[Level::Nominal]).prop_flat_map(|part| {
        vec(constant(part), 1..4)
            .prop_map(move |operands| Expr::compare(part, Relation::Equal, operands))
    });
    let port_operand = prop_oneof![
        select(vec!["a", "b", "c d\"\\\n", ""]).prop_map(|name| PortOperand::Name(name.into())),
        Just(PortOperand::Group("pg".into()))
    ];
    let port = (select(PortSymbol::ALL), vec(port_operand, 1..3)).prop_map(|(symbol, operands)| {
        Expr::Port {
            symbol,
            negated: false,
            operands,
        }
    });
    prop_oneof![
        comparison,
        port,
        select(Predicate::ALL).prop_map(Expr::from)
    ]
}

fn negatable() -> impl Strategy<Value = Expr> {
    let ordinal: Vec<Predicate> = Predicate::ALL
        .iter()
        .copied()
        .filter(|predicate| predicate.level() == Level::Ordinal)
        .collect();
    let leaf = prop_oneof![4 => ordinal_comparison(), 1 => select(ordinal).prop_map(Expr::from), 1 => Just(Expr::True)];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Expr::all),
            vec(inner.clone(), 0..3).prop_map(Expr::any),
            inner.prop_map(|inner| !inner)
        ]
    })
}

fn expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![negatable(), nominal()];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Expr::all),
            vec(inner, 0..4).prop_map(Expr::any)
        ]
    })
}

const FIELDS: &[Field] = &[
    Field::XxReg0,
    Field::XxReg1,
    Field::XReg4,
    Field::Flags,
    Field::CtState,
    Field::CtMark,
    Field::CtLabel,
    Field::EthSrc,
    Field::EthDst,
    Field::VlanTci,
    Field::IpDscp,
    Field::IpEcn,
    Field::IpTtl,
    Field::IpFrag,
    Field::Ip4Src,
    Field::Ip4Dst,
    Field::Ip6Src,
    Field::Ip6Dst,
    Field::Ip6Label,
    Field::ArpOp,
    Field::ArpSpa,
    Field::ArpTpa,
    Field::ArpSha,
    Field::ArpTha,
    Field::Icmp4Type,
    Field::Icmp4Code,
    Field::Icmp6Type,
    Field::Icmp6Code,
    Field::NdTarget,
    Field::NdSll,
    Field::NdTll,
    Field::TcpSrc,
    Field::TcpDst,
    Field::TcpFlags,
    Field::UdpSrc,
    Field::UdpDst,
    Field::SctpSrc,
    Field::SctpDst,
];

fn packet() -> impl Strategy<Value = Packet> {
    let types = select(vec![0x800u128, 0x86dd, 0x806, 0x8035, 0x88cc]);
    let protos = select(vec![1u128, 2, 6, 17, 58, 132]);
    let values: Vec<BoxedStrategy<u128>> =
        FIELDS.iter().map(|field| value(field.width())).collect();
    let ports = select(vec!["a", "b", "", "c d\"\\\n"]);
    (types, protos, values, ports.clone(), ports).prop_map(
        |(kind, proto, values, inport, outport)| {
            let mut packet = Packet::new();
            for (field, value) in FIELDS.iter().zip(values) {
                packet.set_field(*field, value);
            }
            packet.set_field(Field::EthType, kind);
            packet.set_field(Field::IpProto, proto);
            packet.set_port(PortSymbol::Inport, inport);
            packet.set_port(PortSymbol::Outport, outport);
            packet
        },
    )
}

fn backend() -> impl Strategy<Value = Backend> {
    let port = || any::<Option<u16>>();
    prop_oneof![
        (any::<std::net::Ipv4Addr>(), port()).prop_map(|(address, port)| Backend {
            address: address.into(),
            port,
        }),
        // An address that is an IPv4 one in disguise prints as such.
        (any::<[u16; 7]>(), port()).prop_map(|([a, b, c, d, e, f, g], port)| Backend {
            address: std::net::Ipv6Addr::new(a | 1, b, c, d, 0, e, f, g).into(),
            port,
        }),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let name = select(vec!["a", "", "n 1", "\"\\\u{1}é"]);
    let next = (any::<Option<bool>>(), any::<u8>()).prop_map(|(pipeline, table)| {
        let pipeline = pipeline.map(|egress| {
            if egress {
                Pipeline::Egress
            } else {
                Pipeline::Ingress
            }
        });
        Action::Next {
            pipeline,
            table: Some(table),
        }
    });
    let writable = || {
        part(&[Level::Ordinal, Level::Nominal]).prop_filter("writable", |part| {
            part.symbol().info().access == weft_expr::symbol::Access::Writable
        })
    };
    let assign = writable().prop_flat_map(|part| {
        value(part.width()).prop_map(move |value| Action::Assign {
            destination: part,
            value,
        })
    });
    let pair = || {
        (writable(), writable()).prop_filter_map("equal widths", |(left, right)| {
            (left.width() == right.width()).then_some((left, right))
        })
    };
    let simple = prop_oneof![
        Just(Action::next()),
        next,
        Just(Action::Output),
        Just(Action::DecrementTtl),
        (2u16..9).prop_map(|choices| Action::select(Symbol::Reg8.bits(16, 31), choices)),
        assign,
        pair().prop_map(|(destination, source)| Action::Move {
            destination,
            source
        }),
        pair().prop_map(|(left, right)| Action::Exchange { left, right }),
        name.clone().prop_map(Action::outport),
        Just(Action::turn_back()),
        Just(Action::CtLb),
        Just(Action::CtClear),
        (
            any::<bool>(),
            proptest::option::of(any::<std::net::IpAddr>())
        )
            .prop_map(|(is_source, address)| {
                let side = match is_source {
                    true => NatSide::Source,
                    false => NatSide::Destination,
                };
                Action::CtNat { side, address }
            }),
        (
            vec(backend(), 1..4),
            proptest::sample::subsequence(HashField::ALL, 0..4),
        )
            .prop_map(|(backends, fields)| Action::CtLbTo {
                backends: backends.into(),
                fields
            }),
        name.clone().prop_map(Action::forward),
        (name.clone(), name.clone()).prop_map(|(datapath, port)| Action::deliver(datapath, port)),
        (name.clone(), name).prop_map(|(datapath, port)| Action::locate(datapath, port)),
    ];
    let inner = prop_oneof![
        4 => simple.clone(),
        1 => any::<u16>().prop_map(|mtu| Action::FragMtu { error: Replacement::Icmp4, mtu }),
    ];
    let replacement = (select(&Replacement::ALL[..]), vec(inner, 0..4))
        .prop_map(|(with, actions)| Action::replace(with, actions));
    prop_oneof![6 => simple, 1 => replacement]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192,
        // Beside the test, so that a failure found once is tried ever after.
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::WithSource("regressions"))), ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_is_read_back(expr in expr()) {
        let text = expr.to_string();
        prop_assert_eq!(parse_match(&text).map_err(|error| TestCaseError::fail(error.to_string()))?, expr);
    }

    #[test]
    fn printed_actions_are_read_back(actions in vec(action(), 0..6)) {
        let text = Action::list(&actions);
        prop_assert_eq!(parse_actions(&text).map_err(|error| TestCaseError::fail(error.to_string()))?, actions);
    }

    #[test]
    fn normal_forms_hold_when_the_expression_does(expr in expr(), packets in vec(packet(), 20)) {
        let conjuncts = match normalize(&expr, &Fixture) {
            Ok(conjuncts) => conjuncts,
            Err(NormalizeError::TooComplex { .. }) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(format!("{expr}: {error}"))),
        };
        let factored = factor(&expr, &Fixture);
        for packet in &packets {
            let expected = expr.holds(packet, &Fixture);
            prop_assert_eq!(conjuncts.iter().any(|conjunct| conjunct.holds(packet)), expected, "{} {:?}", expr, packet);
            if let Ok(factored) = &factored {
                prop_assert_eq!(factored.holds(packet), expected, "factored {} {:?}", expr, packet);
            }
        }
        for conjunct in &conjuncts {
            prop_assert!(!conjuncts.iter().any(|other| other != conjunct && other.covers(conjunct)) || conjuncts.len() > 256);
        }
    }

    /// For the packets nearest to the expression: those that a conjunct describes.
    #[test]
    fn a_packet_made_from_a_conjunct_meets_the_expression(expr in expr(), base in packet()) {
        for conjunct in normalize(&expr, &Fixture).unwrap_or_default().iter().take(50) {
            let mut packet = base.clone();
            for (field, masked) in conjunct.fields() {
                packet.set_field(field, packet.field(field) & !masked.mask | masked.value);
            }
            for (symbol, name) in conjunct.ports() {
                packet.set_port(symbol, name.clone());
            }
            prop_assert!(conjunct.holds(&packet));
            prop_assert!(expr.holds(&packet, &Fixture), "{} {}", expr, conjunct);
        }
    }

    #[test]
    fn negation_pushed_down_says_the_same(expr in negatable(), packet in packet()) {
        prop_assert_eq!(expr.negated().holds(&packet, &Fixture), (!expr.clone()).holds(&packet, &Fixture));
        prop_assert_eq!(expr.negated().negated().holds(&packet, &Fixture), expr.holds(&packet, &Fixture));
        // Where a prerequisite fails neither may hold; a single comparison and its negation never hold both.
        if let Expr::Compare { .. } = expr {
            prop_assert!(!(expr.holds(&packet, &Fixture) && expr.negated().holds(&packet, &Fixture)));
        }
    }

    #[test]
    fn simplifying_changes_no_answer(expr in expr(), packets in vec(packet(), 10)) {
        let simplified = expr.simplified();
        for packet in &packets {
            prop_assert_eq!(simplified.holds(packet, &Fixture), expr.holds(packet, &Fixture), "{} {}", expr, simplified);
        }
        prop_assert_eq!(simplified.simplified(), simplified);
    }

    #[test]
    fn garbage_is_read_or_refused(text in "[ -~éß\n]{0,60}", words in vec(select(vec![
        "ip4", "ip4.src", "tcp.dst", "==", "!=", "<", "&&", "||", "!", "(", ")", "{", "}", "[", "]", "..", "1", "0", "80",
        "10.0.0.0/8", "fe80::/10", "$a", "@b", "\"c\"", "inport", "next", ";", "=", "<->", "--", ",", "drop", "0x", "::", "é",
    ]), 0..20)) {
        let _ = parse_actions(&text);
        let _ = parse_match(&text);
        let joined = words.join(" ");
        let _ = parse_actions(&joined);
        if let Ok(expr) = parse_match(&joined) {
            prop_assert_eq!(parse_match(&expr.to_string()).unwrap(), expr);
        }
    }
}
