//! A lowered flow matches what the logical flow matches, and is refused where it would mean nothing.

use std::net::IpAddr;

use openflow_rs::{Flow, Subfield};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;
use weft_expr::{Constant, Expr, Packet, Symbol, parse_actions, parse_match};

use super::*;
use crate::logical_flow::{DatapathRef, Scope};
use crate::pipeline::{DatapathKey, PortKey, Stage, table};

struct Fixture;

impl Names for Fixture {
    fn datapath(&mut self, datapath: DatapathRef) -> Option<DatapathKey> {
        (datapath == SWITCH).then(|| DatapathKey::new(KEY).unwrap())
    }

    fn port(&mut self, _datapath: &Datapath, name: &str) -> Option<PortKey> {
        PORTS
            .iter()
            .find(|(known, _)| *known == name)
            .and_then(|(_, key)| PortKey::port(*key))
    }

    fn delivery(&mut self, datapath: &str, port: &str) -> Option<(DatapathKey, PortKey)> {
        (datapath == "blue" && port == "d")
            .then(|| (DatapathKey::new(9).unwrap(), PortKey::port(4).unwrap()))
    }

    fn tunnel_address(&mut self, node: &str) -> Option<IpAddr> {
        match node {
            "n2" => Some(IpAddr::from([192, 0, 2, 2])),
            "n6" => Some("2001:db8::6".parse().unwrap()),
            _ => None,
        }
    }
}

impl Sets for Fixture {
    fn address_set(&self, name: &str, width: u8) -> Option<Vec<Constant>> {
        let addresses = (0..40u32).map(|host| Constant::from(0x0a00_0000 + host * 3));
        (name == "many").then(|| addresses.filter(|_| width == 32).collect())
    }

    fn port_group(&self, name: &str) -> Option<Vec<Arc<str>>> {
        (name == "pg").then(|| vec!["a".into(), "gone".into()])
    }
}

const SWITCH: DatapathRef = DatapathRef {
    kind: DatapathKind::Switch,
    uuid: Uuid::from_u128(1),
};
const KEY: u32 = 5;
const PORTS: [(&str, u16); 2] = [("a", 1), ("b", 2)];

fn logical(matches: Expr, actions: &str) -> LogicalFlow {
    LogicalFlow {
        datapath: Datapath::One(SWITCH),
        stage: Stage::LsInL2Lkup,
        priority: 50,
        matches,
        actions: parse_actions(actions).unwrap_or_else(|error| panic!("{error}")),
        scope: Scope::Everywhere,
        owner: None,
    }
}

fn lowered(matches: &str, actions: &str) -> Result<Vec<Flow>, LowerError> {
    let matches = parse_match(matches).unwrap_or_else(|error| panic!("{error}"));
    lower(&logical(matches, actions), &mut Fixture, &Fixture).map(|lowered| lowered.flows)
}

/// What OpenFlow sees of a packet in the datapath, told apart from how lowering maps fields.
fn openflow_value(packet: &Packet, field: OfField) -> u128 {
    let port = |symbol| {
        let name = packet.port(symbol);
        PORTS
            .iter()
            .find(|(known, _)| known == &&**name)
            .map_or(0, |(_, key)| u128::from(*key))
    };
    let symbol = |name: &str| packet.get(Symbol::from_name(name).unwrap());
    match field {
        OfField::Metadata => u128::from(KEY),
        OfField::Reg(14) => port(PortSymbol::Inport),
        OfField::Reg(15) => port(PortSymbol::Outport),
        OfField::Reg(10) => symbol("flags"),
        OfField::Reg(number @ 0..=9) => symbol(&format!("reg{number}")),
        OfField::EthSrc => symbol("eth.src"),
        OfField::EthDst => symbol("eth.dst"),
        OfField::EthType => symbol("eth.type"),
        OfField::VlanTci => symbol("vlan.tci"),
        OfField::IpProto => symbol("ip.proto"),
        OfField::IpTtl => symbol("ip.ttl"),
        OfField::IpFrag => symbol("ip.frag"),
        OfField::Ipv4Src => symbol("ip4.src"),
        OfField::Ipv4Dst => symbol("ip4.dst"),
        OfField::Ipv6Src => symbol("ip6.src"),
        OfField::Ipv6Dst => symbol("ip6.dst"),
        OfField::ArpOp => symbol("arp.op"),
        OfField::ArpTpa => symbol("arp.tpa"),
        OfField::Icmpv6Type => symbol("icmp6.type"),
        OfField::Icmpv6Code => symbol("icmp6.code"),
        OfField::NdTarget => symbol("nd.target"),
        OfField::TcpDst => symbol("tcp.dst"),
        OfField::UdpDst => symbol("udp.dst"),
        OfField::CtState => symbol("ct_state"),
        other => panic!("{other:?} is in no expression below"),
    }
}

/// Whether some flow's actions run for a packet, conjunctive matches included.
fn applies(flows: &[Flow], packet: &Packet) -> bool {
    let meets = |flow: &Flow, conjunction: Option<u32>| {
        flow.matches.iter().all(|matched| {
            let value = match matched.field {
                OfField::ConjId => conjunction.map_or(0, u128::from),
                field => openflow_value(packet, field),
            };
            value & matched.mask == matched.value
        })
    };
    let mut clauses =
        std::collections::BTreeMap::<u32, (u8, std::collections::BTreeSet<u8>)>::new();
    for flow in flows.iter().filter(|flow| meets(flow, None)) {
        match flow.actions.as_slice() {
            [OfAction::Conjunction { id, clause, n }] => {
                clauses
                    .entry(*id)
                    .or_insert((*n, Default::default()))
                    .1
                    .insert(*clause);
            }
            _ => return true,
        }
    }
    let complete = clauses
        .into_iter()
        .filter(|(_, (n, met))| met.len() == usize::from(*n));
    let complete: Vec<u32> = complete.map(|(id, _)| id).collect();
    let conjunctive = flows
        .iter()
        .filter(|flow| flow.matches.get(OfField::ConjId).is_some());
    conjunctive
        .into_iter()
        .any(|flow| complete.iter().any(|id| meets(flow, Some(*id))))
}

fn expr() -> impl Strategy<Value = Expr> {
    let atoms = select(vec![
        "inport == \"a\"",
        "inport == {\"a\", \"b\"}",
        "inport == @pg",
        "outport == \"gone\"",
        "inport == \"\"",
        "eth.mcast",
        "eth.dst == ff:ff:ff:ff:ff:ff",
        "ip4",
        "ip6",
        "arp",
        "tcp",
        "ip4.src == 10.0.0.0/24",
        "ip4.src != {10.0.0.3, 10.0.0.64/26}",
        "ip4.dst == $many",
        "tcp.dst == {1, 2, 3, 4, 5, 6, 80}",
        "1 < tcp.dst <= 443",
        "udp.dst != 80",
        "ip6.dst == fd00::/16",
        "nd_ns && nd.target == fd00::1",
        "arp.op == 1 && arp.tpa == 10.0.0.3",
        "flags.loopback",
        "reg0[0..7] == 3",
        "reg5 == 10.0.0.3",
        "xxreg0 == fd00::1",
        "reg8 == 3",
        "!ct.est",
        "ct.trk",
        "vlan.present",
        "ip.ttl == {0, 1}",
        "ip.is_frag",
        "reg9 >= 2",
    ]);
    let leaf = atoms.prop_map(|text| parse_match(text).unwrap_or_else(|error| panic!("{error}")));
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![2 => vec(inner.clone(), 1..4).prop_map(Expr::all), 1 => vec(inner, 1..4).prop_map(Expr::any)]
    })
}

fn packet() -> impl Strategy<Value = Packet> {
    let small = || {
        select(vec![
            0u128,
            1,
            2,
            3,
            5,
            80,
            135,
            443,
            0x0a00_0003,
            0x0a00_0041,
            0xfd00 << 112 | 1,
        ])
    };
    let values = vec(small(), Symbol::ALL.len());
    let kinds = (
        select(vec![0x800u128, 0x86dd, 0x806]),
        select(vec![6u128, 17, 58]),
        select(vec![1u128, 255]),
    );
    let ports = select(vec!["a", "b", ""]);
    (values, kinds, ports.clone(), ports, any::<bool>()).prop_map(
        |(values, (kind, proto, ttl), inport, outport, all)| {
            let mut packet = Packet::new();
            for (symbol, value) in Symbol::ALL.iter().zip(values) {
                packet.set(*symbol, value);
            }
            packet.set(Symbol::EthType, kind);
            packet.set(Symbol::IpProto, proto);
            packet.set(Symbol::IpTtl, ttl);
            packet.set(Symbol::Icmp6Code, 0);
            if all {
                packet.set(Symbol::EthDst, weft_expr::Mac::BROADCAST);
            }
            packet.set_port(PortSymbol::Inport, inport);
            packet.set_port(PortSymbol::Outport, outport);
            packet
        },
    )
}

proptest! {
    #[test]
    fn lowered_flows_match_what_the_logical_flow_matches(expr in expr(), packets in vec(packet(), 40)) {
        let flow = logical(expr, "next(0);");
        let Ok(Lowered { flows, conjunctions }) = lower(&flow, &mut Fixture, &Fixture) else { return Ok(()) };
        let numbers: std::collections::BTreeSet<u32> = conjunctions.iter().map(|one| one.number).collect();
        prop_assert_eq!(numbers.len(), conjunctions.len());
        for packet in &packets {
            prop_assert_eq!(applies(&flows, packet), flow.matches.holds(packet, &Fixture), "{} {:#?}", flow, packet);
        }
    }
}

#[test]
fn a_product_of_sets_takes_the_sum_of_their_sizes() {
    let flows = lowered(
        "ip4.src == $many && tcp.dst == {1, 2, 3, 5, 8, 13, 21}",
        "drop;",
    )
    .unwrap();
    assert_eq!(flows.len(), 40 + 7 + 1);
    let clauses = flows.iter().filter(|flow| {
        matches!(
            flow.actions.as_slice(),
            [OfAction::Conjunction { n: 2, .. }]
        )
    });
    assert_eq!(clauses.count(), 47);
    // Two in one dimension are no product.
    assert_eq!(
        lowered("tcp.dst == {1, 2, 3, 5} && tcp.dst == {3, 4, 5}", "drop;")
            .unwrap()
            .len(),
        2 * 2
    );
}

#[test]
fn what_actions_presuppose_joins_the_match() {
    let flows = lowered("inport == \"a\"", "ip.ttl--; next(0);").unwrap();
    let kinds: Vec<_> = flows
        .iter()
        .map(|flow| flow.matches.exact_value(OfField::EthType))
        .collect();
    assert_eq!(kinds, [Some(0x800), Some(0x86dd)]);
}

#[test]
fn a_match_on_a_port_that_is_gone_makes_no_flow() {
    assert_eq!(lowered("inport == \"gone\"", "next(0);"), Ok(Vec::new()));
}

#[test]
fn actions_become_what_they_say() {
    let actions = |text: &str| lowered("ip4", text).unwrap().remove(0).actions;
    let field = Subfield::whole;
    let set = |field: OfField, value: u128| OfAction::SetField {
        field,
        value,
        mask: field.all_ones(),
    };
    assert_eq!(actions("drop;"), []);
    assert_eq!(actions(""), []);
    assert_eq!(
        actions("output;"),
        [OfAction::Resubmit {
            table: table::OUTPUT.get()
        }]
    );
    assert_eq!(
        actions("next(20);"),
        [OfAction::Resubmit {
            table: Stage::LsInArpRsp.table().get()
        }]
    );
    assert_eq!(
        actions("next(pipeline=egress, table=9);"),
        [OfAction::Resubmit {
            table: Stage::LsOutCheckPortSec.table().get()
        }]
    );
    assert_eq!(actions("outport = \"b\";"), [set(OfField::Reg(15), 2)]);
    assert_eq!(actions("outport = \"\";"), [set(OfField::Reg(15), 0)]);
    assert_eq!(
        actions("outport = inport;"),
        [OfAction::Move {
            source: field(OfField::Reg(14)),
            destination: field(OfField::Reg(15))
        }]
    );
    assert_eq!(actions("reg1 = 7;"), [set(OfField::Reg(1), 7)]);
    assert_eq!(
        actions("reg6[8..15] = 7;"),
        [OfAction::SetField {
            field: OfField::Reg(6),
            value: 0x700,
            mask: 0xff00
        }]
    );
    assert_eq!(
        actions("xxreg0 = fd00::1;"),
        [set(OfField::XxReg(0), 0xfd00 << 112 | 1)]
    );
    assert_eq!(
        actions("reg8 = 7; reg9 = 8;"),
        [set(OfField::Reg(8), 7), set(OfField::Reg(9), 8)]
    );
    let (source, destination) = (field(OfField::Ipv4Src), field(OfField::Ipv4Dst));
    assert_eq!(
        actions("ip4.src <-> ip4.dst;"),
        [
            OfAction::Push(source),
            OfAction::Push(destination),
            OfAction::Pop(source),
            OfAction::Pop(destination)
        ]
    );
    // What leaves by the port it came in by must have forgotten that port.
    let flag = OfAction::SetField {
        field: OfField::Reg(10),
        value: 1,
        mask: 1,
    };
    assert_eq!(
        actions("flags.loopback = 1;"),
        [flag, set(OfField::InPort, 0xffff)]
    );
    assert!(actions("forward(\"n2\");").contains(&set(OfField::TunDst, 0xc000_0202)));
    assert!(actions("forward(\"n6\");").contains(&set(OfField::TunIpv6Dst, 0x2001_0db8 << 96 | 6)));
    let delivered = actions("deliver(\"blue\", \"d\");");
    assert!(
        delivered.contains(&set(OfField::Metadata, 9))
            && delivered.contains(&set(OfField::Reg(15), 4))
    );
    let located = actions("locate(\"blue\", \"d\");");
    let lookup = OfAction::Resubmit {
        table: Stage::LsInLocate.table().get(),
    };
    assert!(
        located.contains(&set(OfField::Metadata, 9))
            && located.contains(&set(OfField::Reg(15), 0))
            && located.last() == Some(&lookup)
    );
    assert_eq!(
        actions("output; ip.ttl--; output;"),
        [
            OfAction::Clone(vec![OfAction::Resubmit {
                table: table::OUTPUT.get()
            }]),
            OfAction::DecTtl,
            OfAction::Resubmit {
                table: table::OUTPUT.get()
            },
        ]
    );
}

#[test]
fn a_replacement_goes_to_the_controller_with_all_that_is_to_be_done() {
    use crate::punt::{Opcode, Request};
    let actions = "icmp4_error { icmp4.type = 3; icmp4.code = 4; icmp4.frag_mtu = 1400; ip4.dst = ip4.src; outport = \"b\"; output; }; next;";
    let flows = lowered("ip4", actions).unwrap_err();
    assert!(
        matches!(flows, LowerError::NoStage { .. }),
        "the last stage: {flows}"
    );
    let actions = actions.trim_end_matches(" next;");
    let flows = lowered("ip4", actions).unwrap();
    let [OfAction::Controller(controller)] = &flows[0].actions[..] else {
        panic!("{flows:?}");
    };
    assert_eq!(controller.meter, Some(1));
    let request = Request::decode(&controller.userdata).unwrap();
    assert_eq!(
        (request.opcode, request.message, request.frag_mtu),
        (Opcode::Icmp4, (3, 4), 1400)
    );
    let text = Flow {
        actions: request.actions,
        ..flows[0].clone()
    };
    let text = text.to_string();
    let rest = "move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[],set_field:0x2->reg15,resubmit(,64)";
    assert!(text.ends_with(rest), "{text}");
    let refused = lowered("ip", "reject { outport = inport; output; };").unwrap();
    let is_metered = |flow: &Flow| matches!(&flow.actions[..], [OfAction::Controller(controller)] if controller.meter == Some(2));
    assert!(refused.iter().all(is_metered), "{refused:?}");
}

#[test]
fn what_is_not_there_is_told() {
    let message = |actions: &str| lowered("ip4", actions).unwrap_err().to_string();
    assert_eq!(
        message("outport = \"gone\";"),
        "outport = \"gone\": the datapath has no such port"
    );
    assert_eq!(
        message("forward(\"n9\");"),
        "forward(\"n9\"): there is no such node, or it has no tunnel address"
    );
    assert_eq!(
        message("deliver(\"blue\", \"x\");"),
        "deliver(\"blue\", \"x\"): there is no such port"
    );
    assert_eq!(message("next(200);"), "next(200); leads to no stage");
    assert_eq!(
        message("next;"),
        "next; leads to no stage",
        "the last stage of its pipeline"
    );
    let unknown = lowered("ip4.src == $none", "drop;")
        .unwrap_err()
        .to_string();
    assert_eq!(
        unknown,
        "there is no address set \"none\"; create it or leave $none out"
    );
    let either = |bit: u8| format!("(reg0[{bit}] || reg1[{bit}])");
    let huge = (0..20).map(either).collect::<Vec<_>>().join(" && ");
    let error = lowered(&huge, "drop;").unwrap_err().to_string();
    assert!(
        error.starts_with("the match takes more than 8192 flows"),
        "{error}"
    );
}
