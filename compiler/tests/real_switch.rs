//! Lowered flows in a real Open vSwitch: accepted, and a packet comes out as the language says it does.
//!
//! Bytes in, bytes out: a wrong field number, a missing prerequisite, an action that the datapath carries out otherwise, or a checksum that is not
//! brought up to date shows here and nowhere below.
#![allow(
    clippy::disallowed_methods,
    reason = "the crate is pure; this test of it runs Open vSwitch"
)]

#[path = "real_switch/switch.rs"]
mod switch;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use openflow_rs::{Action as OfAction, Field as OfField, Flow, Match, PortNo};
use switch::{PORTS, Switch};
use uuid::Uuid;
use weft_compiler::interpret::frame::Frame;
use weft_compiler::logical_flow::{Datapath, DatapathRef, LogicalFlow, Names, Scope};
use weft_compiler::lowering::lower;
use weft_compiler::pipeline::{DatapathKey, DatapathKind, PortKey, Stage, table};
use weft_expr::symbol::Access;
use weft_expr::{
    Action, Constant, Expr, Mac, NoSets, Pipeline, Predicate, Symbol, inport, parse_actions,
    parse_match, reply,
};

const KEY: u32 = 5;
const STAGE: Stage = Stage::LsInArpRsp;

/// Port `pN` has the key N; the switch's OpenFlow port N is that port.
struct Fixture;

impl Names for Fixture {
    fn datapath(&mut self, _datapath: DatapathRef) -> Option<DatapathKey> {
        DatapathKey::new(KEY)
    }

    fn port(&mut self, _datapath: &Datapath, name: &str) -> Option<PortKey> {
        PortKey::port(name.strip_prefix('p')?.parse().ok()?)
    }

    fn delivery(&mut self, _datapath: &str, _port: &str) -> Option<(DatapathKey, PortKey)> {
        Some((DatapathKey::new(KEY)?, PortKey::port(2)?))
    }

    fn tunnel_address(&mut self, _node: &str) -> Option<IpAddr> {
        None
    }
}

fn lowered(priority: u16, matches: Expr, actions: Vec<Action>) -> Vec<Flow> {
    let datapath = DatapathRef {
        kind: DatapathKind::Switch,
        uuid: Uuid::from_u128(1),
    };
    let flow = LogicalFlow {
        datapath: Datapath::One(datapath),
        stage: STAGE,
        priority,
        matches,
        actions,
        scope: Scope::Everywhere,
        owner: None,
    };
    let lowered = lower(&flow, &mut Fixture, &NoSets);
    lowered
        .unwrap_or_else(|error| panic!("{flow}: {error}"))
        .flows
}

fn text(priority: u16, matches: &str, actions: &str) -> Vec<Flow> {
    let matches = parse_match(matches).unwrap_or_else(|error| panic!("{error}"));
    lowered(
        priority,
        matches,
        parse_actions(actions).unwrap_or_else(|error| panic!("{error}")),
    )
}

/// A switch whose ports lead to the stage, and whose output leads to the ports.
fn with_flows(flows: &[Vec<Flow>]) -> Switch {
    let set = |field: OfField, value: u128| OfAction::SetField {
        field,
        value,
        mask: field.all_ones(),
    };
    let flow = |table: u8, matches: Match, actions: Vec<OfAction>| Flow {
        table,
        priority: 1,
        cookie: 0,
        matches,
        actions,
    };
    let mut physical = Vec::new();
    for port in 1..=PORTS {
        let key = u128::from(port);
        let enter = vec![
            set(OfField::Metadata, u128::from(KEY)),
            set(OfField::Reg(14), key),
            OfAction::Resubmit {
                table: STAGE.table().get(),
            },
        ];
        physical.push(flow(
            table::CLASSIFY.get(),
            Match::new().exact(OfField::InPort, key),
            enter,
        ));
        let chosen = Match::new()
            .exact(OfField::Metadata, u128::from(KEY))
            .exact(OfField::Reg(15), key);
        physical.push(flow(
            table::OUTPUT.get(),
            chosen,
            vec![OfAction::Output(PortNo(u32::from(port)))],
        ));
    }
    let switch = Switch::start();
    let all: Vec<Flow> = physical
        .into_iter()
        .chain(flows.iter().flatten().cloned())
        .collect();
    switch.add(&all).unwrap();
    switch
}

const ASKER: Mac = Mac([0x0a, 0x58, 0, 0, 0, 1]);
const ASKED: Mac = Mac([0x0a, 0x58, 0, 0, 0, 2]);
const ASKER4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const ASKED4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const ASKER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const ASKED6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

/// A frame with these fields.
fn frame(fields: &[(Symbol, Constant)], payload: &[u8]) -> Frame {
    let mut frame = Frame {
        payload: payload.to_vec(),
        ..Frame::default()
    };
    for (symbol, value) in fields {
        frame.fields.set(*symbol, *value);
    }
    frame
}

fn ip4(proto: u8, more: &[(Symbol, Constant)]) -> Frame {
    let mut fields = vec![
        (Symbol::EthSrc, ASKER.into()),
        (Symbol::EthDst, ASKED.into()),
        (Symbol::EthType, 0x800.into()),
        (Symbol::IpProto, proto.into()),
        (Symbol::IpTtl, 64.into()),
        (Symbol::Ip4Src, ASKER4.into()),
        (Symbol::Ip4Dst, ASKED4.into()),
    ];
    fields.extend(more);
    frame(&fields, b"\x12\x34\x00\x01what is sent")
}

fn ip6(proto: u8, ttl: u8, more: &[(Symbol, Constant)], payload: &[u8]) -> Frame {
    let mut fields = vec![
        (Symbol::EthSrc, ASKER.into()),
        (Symbol::EthDst, ASKED.into()),
        (Symbol::EthType, 0x86dd.into()),
        (Symbol::IpProto, proto.into()),
        (Symbol::IpTtl, ttl.into()),
        (Symbol::Ip6Src, ASKER6.into()),
        (Symbol::Ip6Dst, ASKED6.into()),
    ];
    fields.extend(more);
    frame(&fields, payload)
}

/// Sends a frame into port 1 and reads what comes out, padding cut by its own lengths.
#[track_caller]
fn answer(switch: &Switch, sent: &Frame) -> (u16, Frame) {
    let (port, bytes) = switch.send(1, &sent.build());
    (
        port,
        Frame::parse(&bytes).unwrap_or_else(|error| panic!("{error}: {bytes:02x?}")),
    )
}

/// The frame with some fields changed.
fn changed(frame: &Frame, fields: &[(Symbol, Constant)]) -> Frame {
    let mut frame = frame.clone();
    for (symbol, value) in fields {
        frame.fields.set(*symbol, *value);
    }
    frame
}

#[test]
fn arp_is_answered_in_one_flow() {
    let asked = inport("p1") & reply::arp_request(ASKED4);
    let switch = with_flows(&[lowered(50, asked, reply::arp_answer(ASKED, ASKED4))]);
    let request = frame(
        &[
            (Symbol::EthSrc, ASKER.into()),
            (Symbol::EthDst, Mac::BROADCAST.into()),
            (Symbol::EthType, 0x806.into()),
            (Symbol::ArpOp, 1.into()),
            (Symbol::ArpSha, ASKER.into()),
            (Symbol::ArpSpa, ASKER4.into()),
            (Symbol::ArpTpa, ASKED4.into()),
        ],
        &[],
    );
    let expected = changed(
        &request,
        &[
            (Symbol::EthSrc, ASKED.into()),
            (Symbol::EthDst, ASKER.into()),
            (Symbol::ArpOp, 2.into()),
            (Symbol::ArpSha, ASKED.into()),
            (Symbol::ArpSpa, ASKED4.into()),
            (Symbol::ArpTha, ASKER.into()),
            (Symbol::ArpTpa, ASKER4.into()),
        ],
    );
    assert_eq!(
        answer(&switch, &request),
        (1, expected),
        "back out of the port it came in by"
    );
}

#[test]
fn a_neighbour_solicitation_is_answered_in_two_flows() {
    let table = STAGE.number();
    let asked = inport("p1") & reply::nd_solicitation(ASKED6);
    let switch = with_flows(&[
        lowered(
            70,
            inport("p1") & reply::nd_bare_solicitation(),
            vec![Action::outport("p2"), Action::Output],
        ),
        lowered(
            50,
            asked,
            reply::nd_turn(ASKED, reply::ND_ROUTER, Pipeline::Ingress, table),
        ),
        lowered(
            60,
            reply::nd_half_made(reply::ND_HOST),
            reply::nd_answer(reply::ND_HOST),
        ),
        lowered(
            60,
            reply::nd_half_made(reply::ND_ROUTER),
            reply::nd_answer(reply::ND_ROUTER),
        ),
        // What is not answered passes.
        text(10, "nd", "outport = \"p2\"; output;"),
    ]);
    let group: Ipv6Addr = "ff02::1:ff00:2".parse().unwrap();
    let fields = [
        (Symbol::EthDst, Mac([0x33, 0x33, 0xff, 0, 0, 2]).into()),
        (Symbol::Ip6Dst, group.into()),
        (Symbol::Icmp6Type, 135.into()),
        (Symbol::NdTarget, ASKED6.into()),
        (Symbol::NdOptionsType, 1.into()),
        (Symbol::NdSll, ASKER.into()),
    ];
    let solicitation = ip6(58, 255, &fields, &[]);
    let expected = changed(
        &solicitation,
        &[
            (Symbol::EthSrc, ASKED.into()),
            (Symbol::EthDst, ASKER.into()),
            (Symbol::Ip6Src, ASKED6.into()),
            (Symbol::Ip6Dst, ASKER6.into()),
            (Symbol::Icmp6Type, 136.into()),
            (Symbol::NdReserved, reply::ND_ROUTER.into()),
            (Symbol::NdOptionsType, 2.into()),
            (Symbol::NdSll, 0.into()),
            (Symbol::NdTll, ASKED.into()),
        ],
    );
    assert_eq!(answer(&switch, &solicitation), (1, expected));
    // Without the option there is no room for an answer: it goes to the owner, as does a probe for duplicates.
    let bare = changed(
        &solicitation,
        &[(Symbol::NdOptionsType, 0.into()), (Symbol::NdSll, 0.into())],
    );
    assert_eq!(answer(&switch, &bare), (2, bare));
    // An advertisement that somebody sent is nobody's half-made answer.
    let sent = changed(
        &solicitation,
        &[
            (Symbol::Icmp6Type, 136.into()),
            (Symbol::NdOptionsType, 2.into()),
            (Symbol::NdSll, 0.into()),
            (Symbol::NdTll, ASKER.into()),
        ],
    );
    assert_eq!(answer(&switch, &sent), (2, sent));
}

#[test]
fn pings_are_answered_with_their_payload() {
    let back = |mut actions: Vec<Action>| {
        actions.extend(reply::turn_back());
        actions
    };
    let switch = with_flows(&[
        lowered(50, reply::ping4(ASKED4), back(reply::ping4_answer())),
        lowered(50, reply::ping6(ASKED6), back(reply::ping6_answer())),
    ]);
    let ping4 = ip4(1, &[(Symbol::Icmp4Type, 8.into())]);
    let expected = changed(
        &ping4,
        &[
            (Symbol::Icmp4Type, 0.into()),
            (Symbol::IpTtl, 255.into()),
            (Symbol::Ip4Src, ASKED4.into()),
            (Symbol::Ip4Dst, ASKER4.into()),
        ],
    );
    assert_eq!(answer(&switch, &ping4), (1, expected));
    let ping6 = ip6(
        58,
        64,
        &[(Symbol::Icmp6Type, 128.into())],
        b"\x12\x34\x00\x01what is sent",
    );
    let expected = changed(
        &ping6,
        &[
            (Symbol::Icmp6Type, 129.into()),
            (Symbol::IpTtl, 255.into()),
            (Symbol::Ip6Src, ASKED6.into()),
            (Symbol::Ip6Dst, ASKER6.into()),
        ],
    );
    assert_eq!(answer(&switch, &ping6), (1, expected));
}

/// What the switch does to a packet is what the language's own evaluation does.
#[test]
fn actions_do_in_the_switch_what_they_do_in_the_interpreter() {
    let udp4 = ip4(
        17,
        &[(Symbol::UdpSrc, 1000.into()), (Symbol::UdpDst, 1.into())],
    );
    let tcp6 = ip6(
        6,
        64,
        &[
            (Symbol::TcpSrc, 1000.into()),
            (Symbol::TcpDst, 1.into()),
            (Symbol::TcpFlags, 2.into()),
        ],
        b"abc",
    );
    let cases: &[(&Frame, &str)] = &[
        (&udp4, "ip.ttl--;"),
        (
            &udp4,
            "eth.src <-> eth.dst; ip4.src <-> ip4.dst; udp.src <-> udp.dst;",
        ),
        (&udp4, "reg0 = 10.1.2.3; reg5 = reg0; ip4.dst = reg5;"),
        (
            &udp4,
            "xxreg0 = 1:2:3:4:5:6:7:8; reg4 = reg1; ip4.src = reg4; ip4.dst = reg3;",
        ),
        (
            &udp4,
            "xreg4 = 0x0a01020304050607; ip4.src = reg8; ip4.dst = reg9;",
        ),
        (
            &udp4,
            "reg7[8..23] = 0xabcd; udp.src = reg7[8..23]; udp.dst[0..7] = reg7[16..23];",
        ),
        (
            &udp4,
            "xxreg1[90..121] = 10.9.8.7; ip4.dst = xxreg1[90..121];",
        ),
        (
            &udp4,
            "eth.dst = 0a:58:0a:00:00:00; eth.dst[0..31] = ip4.src;",
        ),
        (&udp4, "ip.dscp = 46; ip.ecn = 1; ip.ttl = 3;"),
        (
            &udp4,
            "flags = 0x80000000; flags.nd_reply = 1; ip4.src = flags;",
        ),
        (
            &tcp6,
            "xxreg1 = ip6.src; ip6.src = ip6.dst; ip6.dst = xxreg1; tcp.dst = 443;",
        ),
        (
            &tcp6,
            "ip6.dst[0..31] = 10.0.0.7; ip6.label = 0x12345; ip.ttl--;",
        ),
        (&tcp6, "ip6.src <-> ip6.dst; tcp.src <-> tcp.dst;"),
    ];
    // One switch for all: the case's number travels in the destination port's place, the VLAN tag.
    let mut flows = Vec::new();
    for ((_, actions), number) in cases.iter().zip(1u16..) {
        let matches = format!("vlan.vid == {number}");
        flows.push(text(
            number,
            &matches,
            &format!("{actions} outport = \"p2\"; output;"),
        ));
    }
    let switch = with_flows(&flows);
    for ((sent, actions), number) in cases.iter().zip(1u16..) {
        let sent = changed(sent, &[(Symbol::VlanTci, (0x1000 | number).into())]);
        let mut expected = sent.clone();
        for action in parse_actions(actions).unwrap() {
            expected.fields.apply(&action);
        }
        expected.fields = weft_compiler::interpret::bare(&expected.fields);
        assert_ne!(expected, sent, "{actions} does something");
        assert_eq!(answer(&switch, &sent), (2, expected), "{actions}");
    }
}

#[test]
fn every_symbol_can_be_matched_and_every_writable_one_written() {
    let switch = with_flows(&[]);
    for symbol in Symbol::ALL {
        // A connection that is new has to be tracked.
        let value: u128 = if *symbol == Symbol::CtState { 0x21 } else { 1 };
        let equal = symbol.is(value);
        let flows = lowered(7, equal.clone(), Vec::new());
        assert!(!flows.is_empty(), "{equal}");
        switch
            .add(&flows)
            .unwrap_or_else(|error| panic!("{equal}: {error}"));
        if symbol.info().access == Access::Writable {
            let action = symbol.set(0);
            let flows = lowered(8, Expr::True, vec![action.clone()]);
            switch
                .add(&flows)
                .unwrap_or_else(|error| panic!("{action} {error}"));
        }
    }
    for predicate in Predicate::ALL {
        let flows = lowered(9, (*predicate).into(), Vec::new());
        switch
            .add(&flows)
            .unwrap_or_else(|error| panic!("{predicate}: {error}"));
    }
}

#[test]
fn what_presupposes_too_little_is_refused_by_the_switch() {
    let mut switch = with_flows(&[]);
    switch.expected = vec![
        "set_field nd_tll lacks correct prerequisites",
        "connection dropped",
    ];
    let mut flows = text(50, "nd_ns", "icmp6.type = 136;");
    assert_eq!(switch.add(&flows), Ok(()));
    // The reason for the two flows: to write nd_tll, the match has to say advertisement.
    let tll = OfAction::SetField {
        field: OfField::NdTll,
        value: 5,
        mask: OfField::NdTll.all_ones(),
    };
    flows[0].actions.push(tll);
    assert!(switch.add(&flows).is_err());
}

#[test]
fn a_product_of_sets_matches_as_its_members_do() {
    let hosts: Vec<String> = (0..8)
        .map(|host| format!("10.0.0.{}", host * 3 + 1))
        .collect();
    let matches = format!(
        "ip4.src == {{{}}} && udp.dst == {{1, 4, 7, 10, 13, 16}}",
        hosts.join(", ")
    );
    let flows = text(50, &matches, "outport = \"p2\"; output;");
    assert_eq!(flows.len(), 8 + 6 + 1, "conjunctive");
    let switch = with_flows(&[
        flows,
        text(10, "1", "outport = inport; flags.loopback = 1; output;"),
    ]);
    for (host, destination, expected) in [
        (1, 1, 2),
        (22, 16, 2),
        (4, 7, 2),
        (2, 1, 1),
        (1, 2, 1),
        (2, 2, 1),
    ] {
        let source = Ipv4Addr::new(10, 0, 0, host);
        let sent = ip4(
            17,
            &[
                (Symbol::Ip4Src, source.into()),
                (Symbol::UdpDst, destination.into()),
            ],
        );
        assert_eq!(
            answer(&switch, &sent),
            (expected, sent),
            "{source} to port {destination}"
        );
    }
}

#[test]
fn a_delivery_begins_with_clean_registers() {
    let actions = "reg0 = 5; reg9 = 7; flags = 0xff; xxreg1 = fd00::1; deliver(\"other\", \"p2\");";
    // The output table here looks at the registers before it lets the packet out.
    let switch = with_flows(&[text(50, "1", actions)]);
    let registers = (0..=10).fold(
        Match::new().exact(OfField::Reg(14), 0u32),
        |matches, register| matches.exact(OfField::Reg(register), 0u32),
    );
    let clean = registers
        .exact(OfField::Metadata, KEY)
        .exact(OfField::Reg(15), 2u32);
    let output = |priority: u16, matches: Match, actions: Vec<OfAction>| Flow {
        table: table::OUTPUT.get(),
        priority,
        cookie: 0,
        matches,
        actions,
    };
    let dirty = vec![
        OfAction::SetField {
            field: OfField::InPort,
            value: 0xffff,
            mask: 0xffff,
        },
        OfAction::Output(PortNo(1)),
    ];
    switch
        .add(&[
            output(5, clean, vec![OfAction::Output(PortNo(2))]),
            output(4, Match::new(), dirty),
        ])
        .unwrap();
    let sent = ip4(17, &[(Symbol::UdpDst, 9.into())]);
    assert_eq!(answer(&switch, &sent), (2, sent));
}

#[test]
fn two_conjunctive_matches_share_the_flow_of_a_common_member() {
    let sources =
        "ip4.src == {10.0.0.1, 10.0.1.0/24, 10.0.2.7, 10.0.3.7, 10.0.4.7, 10.0.5.7, 10.0.6.7}";
    let mut flows: Vec<Flow> = Vec::new();
    for (ports, to) in [
        ("{1, 2, 4, 7, 21, 26, 58}", "p2"),
        ("{11, 12, 14, 17, 31, 36, 38}", "p1"),
    ] {
        let matches = format!("ip4 && {sources} && udp.dst == {ports}");
        for flow in text(
            50,
            &matches,
            &format!("flags.loopback = 1; outport = \"{to}\"; output;"),
        ) {
            match flows.iter_mut().find(|known| known.key() == flow.key()) {
                Some(known) => known.actions.extend(flow.actions),
                None => flows.push(flow),
            }
        }
    }
    let counts_twice = |flow: &&Flow| {
        matches!(
            flow.actions[..],
            [OfAction::Conjunction { .. }, OfAction::Conjunction { .. }]
        )
    };
    let shared = flows.iter().filter(counts_twice);
    let listed: Vec<String> = flows.iter().map(ToString::to_string).collect();
    assert_eq!(shared.count(), 7, "{listed:#?}");
    let other = text(10, "ip4", "ip.ttl--; outport = \"p2\"; output;");
    let switch = with_flows(&[flows, other]);
    for (port, expected, ttl) in [(4, 2, 64), (14, 1, 64), (5, 2, 63)] {
        let sent = ip4(
            17,
            &[(Symbol::UdpSrc, 9.into()), (Symbol::UdpDst, port.into())],
        );
        assert_eq!(
            answer(&switch, &sent),
            (expected, changed(&sent, &[(Symbol::IpTtl, ttl.into())])),
            "to UDP port {port}"
        );
    }
}
