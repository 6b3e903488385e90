//! A network written by hand: two nodes, two switches, a router between them, flows as text.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use uuid::Uuid;
use weft_expr::{Mac, NoSets, parse_actions, parse_match};

use super::*;
use crate::logical_flow::{Datapath, Scope};
use crate::pipeline::DatapathKind;

struct Fixture {
    flows: Vec<LogicalFlow>,
    ports: BTreeMap<(DatapathRef, &'static str), Outlet>,
}

const fn datapath(kind: DatapathKind, number: u128) -> DatapathRef {
    DatapathRef {
        kind,
        uuid: Uuid::from_u128(number),
    }
}

const RED: DatapathRef = datapath(DatapathKind::Switch, 1);
const BLUE: DatapathRef = datapath(DatapathKind::Switch, 2);
const ROUTER: DatapathRef = datapath(DatapathKind::Router, 3);
const NAMES: [(&str, DatapathRef); 3] = [("red", RED), ("blue", BLUE), ("router", ROUTER)];

impl Network for Fixture {
    fn flows(&self, node: &NodeName, datapath: DatapathRef, stage: Stage) -> Vec<&LogicalFlow> {
        let is_here = |flow: &&LogicalFlow| {
            let is_its = match &flow.datapath {
                Datapath::Every(kind) => *kind == datapath.kind,
                Datapath::One(one) => *one == datapath,
            };
            let is_placed = match &flow.scope {
                Scope::At(only) => only == node,
                _ => true,
            };
            is_its && is_placed && flow.stage == stage
        };
        self.flows.iter().filter(is_here).collect()
    }

    fn datapath(&self, name: &str) -> Option<DatapathRef> {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, datapath)| *datapath)
    }

    fn datapath_name(&self, datapath: DatapathRef) -> Arc<str> {
        NAMES
            .iter()
            .find(|(_, known)| *known == datapath)
            .map_or("?", |(name, _)| *name)
            .into()
    }

    fn outlet(&self, datapath: DatapathRef, port: &str) -> Option<Outlet> {
        let mut ports = self.ports.iter();
        ports
            .find(|((of, name), _)| *of == datapath && *name == port)
            .map(|(_, outlet)| outlet.clone())
    }

    fn unknown_ports(&self, _datapath: DatapathRef) -> Vec<Arc<str>> {
        Vec::new()
    }

    fn ports(&self, datapath: DatapathRef) -> Vec<Arc<str>> {
        let ports = self.ports.keys().filter(|(of, _)| *of == datapath);
        ports.map(|(_, name)| Arc::from(*name)).collect()
    }

    fn sets(&self) -> &dyn Sets {
        &NoSets
    }
}

fn n1() -> NodeName {
    "n1".into()
}

/// `datapath | stage | priority | match | actions`, and ` @ node` at the end for a flow that only that node has.
fn fixture(extra: &str) -> Fixture {
    let common = "
        switch | ls_in_check_port_sec | 50 | 1 | next;
        switch | ls_in_ip_port_sec | 0 | 1 | next;
        switch | ls_in_nd_port_sec | 0 | 1 | next;
        switch | ls_in_pre_lb | 0 | 1 | next;
        switch | ls_in_pre_stateful | 0 | 1 | next;
        switch | ls_in_lb | 0 | 1 | next;
        switch | ls_in_hairpin | 0 | 1 | next;
        switch | ls_in_arp_rsp | 0 | 1 | next;
        switch | ls_in_l2_lkup | 70 | eth.mcast | outport = \"_MC_flood\"; output;
        switch | ls_out_pre_lb | 0 | 1 | next;
        switch | ls_out_check_port_sec | 0 | 1 | output;
        router | lr_in_admission | 50 | eth.dst == 0a:58:00:00:00:fe | next;
        router | lr_in_ip_input | 0 | 1 | next;
        router | lr_in_unsnat | 0 | 1 | next;
        router | lr_in_dnat | 0 | 1 | next;
        router | lr_in_ip_ttl | 0 | 1 | ip.ttl--; next;
        router | lr_in_ip_routing_ecmp | 0 | 1 | next;
        router | lr_in_arp_resolve | 0 | 1 | output;
        router | lr_out_undnat | 0 | 1 | next;
        router | lr_out_snat | 0 | 1 | next;
        router | lr_out_delivery | 0 | 1 | output;
    ";
    let flow = |line: &str| {
        let (line, scope) = match line.split_once(" @ ") {
            Some((line, node)) => (line, Scope::At(node.trim().into())),
            None => (line, Scope::Everywhere),
        };
        let mut columns = line.split(" | ").map(str::trim);
        let mut column = || columns.next().unwrap_or_else(|| panic!("{line}"));
        let datapath = match column() {
            "switch" => Datapath::Every(DatapathKind::Switch),
            "router" => Datapath::Every(DatapathKind::Router),
            name => Datapath::One(NAMES.iter().find(|(known, _)| *known == name).unwrap().1),
        };
        let stage = column();
        let stage = *Stage::ALL
            .iter()
            .find(|known| known.name() == stage)
            .unwrap_or_else(|| panic!("{stage}"));
        LogicalFlow {
            datapath,
            stage,
            priority: column().parse().unwrap(),
            matches: parse_match(column()).unwrap_or_else(|error| panic!("{error}")),
            actions: parse_actions(column()).unwrap_or_else(|error| panic!("{error}")),
            scope,
            owner: None,
        }
    };
    let lines = common
        .lines()
        .chain(extra.lines())
        .filter(|line| !line.trim().is_empty());
    let bound = |node: &str| Outlet::Bound(node.into());
    let joined = |datapath, port: &str| Outlet::Joined {
        datapath,
        port: port.into(),
    };
    Fixture {
        flows: lines.map(flow).collect(),
        ports: BTreeMap::from([
            ((RED, "a"), bound("n1")),
            ((RED, "b"), bound("n1")),
            ((RED, "c"), bound("n2")),
            ((RED, "late"), Outlet::Unbound),
            ((RED, "red-router"), joined(ROUTER, "router-red")),
            ((ROUTER, "router-red"), joined(RED, "red-router")),
            ((ROUTER, "router-blue"), joined(BLUE, "blue-router")),
            ((BLUE, "blue-router"), joined(ROUTER, "router-blue")),
            ((BLUE, "d"), bound("n2")),
        ]),
    }
}

fn packet(destination: Mac) -> Packet {
    let mut packet = Packet::new();
    packet.set(Symbol::EthSrc, Mac([10, 88, 0, 0, 0, 1]));
    packet.set(Symbol::EthDst, destination);
    packet.set(Symbol::EthType, 0x800);
    packet.set(Symbol::IpProto, 17);
    packet.set(Symbol::IpTtl, 64);
    packet.set(Symbol::Ip4Src, Ipv4Addr::new(10, 0, 0, 1));
    packet.set(Symbol::Ip4Dst, Ipv4Addr::new(10, 0, 1, 1));
    packet
}

fn ports(outcome: &Outcome) -> Vec<String> {
    outcome
        .deliveries
        .iter()
        .map(|delivery| format!("{}/{}", delivery.node, delivery.port))
        .collect()
}

#[test]
fn a_frame_crosses_to_the_node_of_its_port() {
    let network = fixture(
        "red | ls_in_l2_lkup | 50 | eth.dst == 0a:58:00:00:00:03 | outport = \"c\"; output;",
    );
    let sent = packet(Mac([10, 88, 0, 0, 0, 3]));
    let outcome = interpret(&network, &n1(), RED, "a", &sent);
    assert_eq!(ports(&outcome), ["n2/c"], "{}", outcome.trace);
    assert_eq!(
        outcome.deliveries.first().unwrap().packet,
        sent,
        "and is what it was"
    );
    let text = outcome.trace.to_string();
    assert!(text.contains("-> tunnel from n1 to n2"), "{text}");
}

#[test]
fn a_broadcast_reaches_every_other_port_once_and_crosses_no_second_tunnel() {
    let network = fixture("");
    let outcome = interpret(&network, &n1(), RED, "a", &packet(Mac::BROADCAST));
    assert_eq!(ports(&outcome), ["n1/b", "n2/c"], "{}", outcome.trace);
    let tunnelled = outcome
        .trace
        .iter()
        .filter(|event| matches!(event, Event::Tunnelled { .. }));
    assert_eq!(tunnelled.count(), 1, "{}", outcome.trace);
}

#[test]
fn an_unknown_address_is_asked_of_the_other_nodes_and_found_there() {
    let network = fixture(
        "red | ls_in_l2_lkup | 0 | 1 | outport = \"_MC_elsewhere\"; output;
         red | ls_in_l2_lkup | 50 | eth.dst == 0a:58:00:00:00:03 | outport = \"c\"; output; @ n2",
    );
    let outcome = interpret(
        &network,
        &n1(),
        RED,
        "a",
        &packet(Mac([10, 88, 0, 0, 0, 3])),
    );
    assert_eq!(ports(&outcome), ["n2/c"], "{}", outcome.trace);
    let outcome = interpret(
        &network,
        &n1(),
        RED,
        "a",
        &packet(Mac([10, 88, 0, 0, 0, 9])),
    );
    assert_eq!(ports(&outcome), [""; 0], "{}", outcome.trace);
    assert!(!outcome.is_cut);
}

#[test]
fn a_packet_comes_back_only_with_leave_to() {
    let flow = |leave: &str| {
        fixture(&format!(
            "red | ls_in_l2_lkup | 50 | 1 | outport = inport; {leave}output;"
        ))
    };
    let sent = packet(Mac([10, 88, 0, 0, 0, 9]));
    assert_eq!(
        ports(&interpret(&flow(""), &n1(), RED, "a", &sent)),
        [""; 0]
    );
    assert_eq!(
        ports(&interpret(
            &flow("flags.loopback = 1; "),
            &n1(),
            RED,
            "a",
            &sent
        )),
        ["n1/a"]
    );
}

const ROUTED: &str = "
    red | ls_in_l2_lkup | 50 | eth.dst == 0a:58:00:00:00:fe | outport = \"red-router\"; output;
    blue | ls_in_l2_lkup | 50 | eth.dst == 0a:58:00:00:00:04 | outport = \"d\"; output;
";

#[test]
fn both_ways_across_a_router_end_in_the_same_packet() {
    let general = fixture(&format!(
        "{ROUTED}
         router | lr_in_ip_routing | 50 | ip4.dst == 10.0.1.0/24 | eth.src = 0a:58:00:00:00:fe; eth.dst = 0a:58:00:00:00:04; outport = \"router-blue\"; next;"
    ));
    let plain = fixture(&format!(
        "{ROUTED}
         router | lr_in_ip_routing | 50 | ip4.dst == 10.0.1.0/24 | ip.ttl--; forward(\"n2\");
         router | lr_out_locate | 50 | ip4.dst == 10.0.1.1 | eth.src = 0a:58:00:00:00:fe; eth.dst = 0a:58:00:00:00:04; deliver(\"blue\", \"d\"); @ n2"
    ));
    // The general way passes lr_out_locate too.
    let mut general = general;
    general.flows.extend(
        fixture("router | lr_out_locate | 1 | outport == \"router-blue\" | next;")
            .flows
            .pop(),
    );
    let sent = packet(Mac([10, 88, 0, 0, 0, 0xfe]));
    let one = interpret(&general, &n1(), RED, "a", &sent);
    let other = interpret(&plain, &n1(), RED, "a", &sent);
    assert_eq!(ports(&one), ["n2/d"], "{}", one.trace);
    assert_eq!(
        one.deliveries, other.deliveries,
        "{}\n{}",
        one.trace, other.trace
    );
    let mut expected = sent.clone();
    expected.set(Symbol::EthSrc, Mac([10, 88, 0, 0, 0, 0xfe]));
    expected.set(Symbol::EthDst, Mac([10, 88, 0, 0, 0, 4]));
    expected.set(Symbol::IpTtl, 63);
    assert_eq!(one.deliveries.first().unwrap().packet, expected);
    let mut tired = sent;
    tired.set(Symbol::IpTtl, 1);
    assert_eq!(ports(&interpret(&plain, &n1(), RED, "a", &tired)), [""; 0]);
    assert_eq!(
        ports(&interpret(&general, &n1(), RED, "a", &tired)),
        [""; 0]
    );
}

#[test]
fn every_choice_that_a_hash_can_make_is_followed() {
    let network = fixture(&format!(
        "{ROUTED}
         router | lr_in_ip_routing | 50 | ip4.dst == 10.0.1.0/24 | eth.dst = 0a:58:00:00:00:04; outport = \"router-blue\"; reg8[0..15] = 5; reg8[16..31] = select(0, 1);
         router | lr_in_ip_routing_ecmp | 100 | reg8[0..15] == 5 && reg8[16..31] == 0 | eth.src = 0a:58:00:00:00:fd; next;
         router | lr_in_ip_routing_ecmp | 100 | reg8[0..15] == 5 && reg8[16..31] == 1 | eth.src = 0a:58:00:00:00:fe; next;
         router | lr_out_locate | 1 | outport == \"router-blue\" | next;"
    ));
    let outcome = interpret(
        &network,
        &n1(),
        RED,
        "a",
        &packet(Mac([10, 88, 0, 0, 0, 0xfe])),
    );
    assert_eq!(ports(&outcome), ["n2/d", "n2/d"], "{}", outcome.trace);
    assert!(
        outcome
            .trace
            .to_string()
            .contains("-- choice 1 of 2, made by hash")
    );
}

#[test]
fn a_loop_is_given_up() {
    let network = fixture("switch | ls_in_l2_lkup | 50 | 1 | next(pipeline=ingress, table=0);");
    let outcome = interpret(
        &network,
        &n1(),
        RED,
        "a",
        &packet(Mac([10, 88, 0, 0, 0, 9])),
    );
    assert!(outcome.is_cut && outcome.deliveries.is_empty());
    assert_eq!(
        outcome
            .trace
            .iter()
            .filter(|event| matches!(event, Event::Dropped(_)))
            .count(),
        1
    );
}

#[test]
fn what_follows_a_hand_over_does_not_reach_what_was_handed_over() {
    let network = fixture(
        "red | ls_in_l2_lkup | 50 | 1 | outport = \"b\"; output; eth.src = 0a:58:00:00:00:07; outport = \"c\"; output;",
    );
    let outcome = interpret(
        &network,
        &n1(),
        RED,
        "a",
        &packet(Mac([10, 88, 0, 0, 0, 9])),
    );
    let sources: Vec<u128> = outcome
        .deliveries
        .iter()
        .map(|delivery| delivery.packet.get(Symbol::EthSrc) & 0xff)
        .collect();
    assert_eq!(
        (ports(&outcome), sources),
        (vec!["n1/b".to_owned(), "n2/c".to_owned()], vec![1, 7])
    );
}

#[test]
fn flows_that_contradict_each_other_are_told() {
    let network = fixture(
        "red | ls_in_l2_lkup | 50 | 1 | outport = \"b\"; output;
         red | ls_in_l2_lkup | 50 | ip4 | outport = \"c\"; output;",
    );
    let outcome = interpret(
        &network,
        &n1(),
        RED,
        "a",
        &packet(Mac([10, 88, 0, 0, 0, 9])),
    );
    assert!(
        outcome.trace.iter().any(|event| *event == Event::Ambiguous),
        "{}",
        outcome.trace
    );
}

#[test]
fn a_port_that_is_elsewhere_or_nowhere_sends_nothing() {
    let network = fixture("red | ls_in_l2_lkup | 50 | 1 | outport = \"late\"; output;");
    let sent = packet(Mac([10, 88, 0, 0, 0, 9]));
    for port in ["c", "late", "red-router", "none"] {
        let outcome = interpret(&network, &n1(), RED, port, &sent);
        assert!(
            outcome.deliveries.is_empty() && outcome.trace.events.len() == 1,
            "{port}"
        );
    }
    assert_eq!(ports(&interpret(&network, &n1(), RED, "a", &sent)), [""; 0]);
}

#[test]
fn a_trace_reads_from_top_to_bottom() {
    let network = fixture(
        "red | ls_in_l2_lkup | 50 | eth.dst == 0a:58:00:00:00:03 | outport = \"c\"; output;",
    );
    let outcome = interpret(
        &network,
        &n1(),
        RED,
        "a",
        &packet(Mac([10, 88, 0, 0, 0, 3])),
    );
    insta::assert_snapshot!(outcome.trace, @r#"
    ingress("red", inport="a") on n1
       0. ls_in_check_port_sec: 1, priority 50
          next;
       1. ls_in_ip_port_sec: 1, priority 0
          next;
       2. ls_in_nd_port_sec: 1, priority 0
          next;
       5. ls_in_pre_lb: 1, priority 0
          next;
       6. ls_in_pre_stateful: 1, priority 0
          next;
      12. ls_in_lb: 1, priority 0
          next;
      16. ls_in_hairpin: 1, priority 0
          next;
      20. ls_in_arp_rsp: 1, priority 0
          next;
      26. ls_in_l2_lkup: eth.dst == 0a:58:00:00:00:03, priority 50
          outport = "c"; output;
      -> tunnel from n1 to n2
        egress("red", outport="c") on n2
           1. ls_out_pre_lb: 1, priority 0
              next;
           9. ls_out_check_port_sec: 1, priority 0
              output;
          => out of "c" on n2
    "#);
}
