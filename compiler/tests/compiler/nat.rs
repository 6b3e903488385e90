//! Routers that are on one node alone, and what they translate.

use std::collections::BTreeSet;
use std::net::IpAddr;

use weft_compiler::Options;
use weft_compiler::interpret::{Connections, interpret_among};
use weft_expr::{Mac, Packet, Symbol};

use crate::network::{Network, dump, node_name};

/// Router `gw` on n1 between switch `inner`, with `a` on n1 and `b` on n2, and `outer`, which is a physical network on n1 and n2.
fn gateway() -> Network {
    let mut network = Network::default();
    (1..=2).for_each(|node| network.node(node));
    let (inner, outer) = (network.switch("inner"), network.switch("outer"));
    let router = network.router("gw");
    let row = network.routers.get_mut(&router).expect("just made");
    row.options.insert("chassis".to_owned(), "n1".to_owned());
    network.join(router, inner, INSIDE, ["10.8.0.1/24", "fd08::1/64"]);
    network.join(router, outer, OUTSIDE, ["192.0.2.1/24", "2001:db8::1/64"]);
    network.port(inner, "a", "0a:00:00:00:08:0a 10.8.0.10 fd08::a", 1, 2);
    network.port(inner, "b", "0a:00:00:00:08:0b 10.8.0.11 fd08::b", 2, 2);
    network.localnet(outer, "ln", "net", None);
    network.plug(1, "ln", 9);
    network.plug(2, "ln", 8);
    for (kind, external, logical) in [
        ("snat", "192.0.2.1", "10.8.0.0/24"),
        ("dnat_and_snat", "192.0.2.11", "10.8.0.11"),
        ("snat", "2001:db8::1", "fd08::/64"),
        ("dnat_and_snat", "2001:db8::b", "fd08::b"),
    ] {
        network.nat(router, kind, external, logical);
    }
    for ip in [HOST4, HOST6] {
        network.mac_binding("lrp-outer", ip, HOST);
    }
    network
}

const INSIDE: &str = "0a:00:00:00:00:01";
const OUTSIDE: &str = "0a:00:00:00:00:02";
const HOST: &str = "02:00:00:00:00:50";
const HOST4: &str = "192.0.2.50";
const HOST6: &str = "2001:db8::50";

fn packet(macs: (&str, &str), from: &str, to: &str) -> Packet {
    let mut packet = Packet::new();
    packet.set(Symbol::EthSrc, macs.0.parse::<Mac>().expect("a MAC"));
    packet.set(Symbol::EthDst, macs.1.parse::<Mac>().expect("a MAC"));
    let [from, to] = [from, to].map(|text| text.parse::<IpAddr>().expect("an address"));
    let (eth_type, source, destination) = match from {
        IpAddr::V4(_) => (0x800u16, Symbol::Ip4Src, Symbol::Ip4Dst),
        IpAddr::V6(_) => (0x86dd, Symbol::Ip6Src, Symbol::Ip6Dst),
    };
    packet.set(Symbol::EthType, eth_type);
    packet.set(Symbol::IpTtl, 64u8);
    packet.set(Symbol::IpProto, 17u8);
    packet.set(source, from);
    packet.set(destination, to);
    packet
}

/// What is sent into a port on a node comes out so: `PORT on NODE: SOURCE -> DESTINATION`.
#[track_caller]
fn check(
    network: &Network,
    (port, node): (&str, usize),
    packet: &Packet,
    expected: &[&str],
    connections: Connections,
) -> Connections {
    let compiler = network.compile();
    let view = compiler.view();
    let (datapath, _) = view.find_port(port).expect("a port");
    let outcome = interpret_among(&view, &node_name(node), datapath, port, packet, connections);
    let deliveries = outcome.deliveries.iter();
    let found: BTreeSet<String> = deliveries
        .map(|delivery| {
            let packet = &delivery.packet;
            let text = |field, is_ip4: bool| {
                let value = packet.get(field);
                match is_ip4 {
                    true => IpAddr::V4(u32::try_from(value).expect("32 bits").into()),
                    false => IpAddr::V6(value.into()),
                }
            };
            let (from, to) = match packet.get(Symbol::EthType) {
                0x800 => (text(Symbol::Ip4Src, true), text(Symbol::Ip4Dst, true)),
                0x806 => (text(Symbol::ArpSpa, true), text(Symbol::ArpTpa, true)),
                _ => (text(Symbol::Ip6Src, false), text(Symbol::Ip6Dst, false)),
            };
            format!("{} on {}: {from} -> {to}", delivery.port, delivery.node)
        })
        .collect();
    let expected: BTreeSet<String> = expected.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(found, expected, "{}", outcome.trace);
    outcome.connections
}

#[test]
fn a_pod_on_any_node_gets_out_with_the_outside_address_and_hears_the_answer() {
    let network = gateway();
    // `b` has an address of its own outside, and is on another node than the router.
    for (pod, node, mac, inside, outside, host) in [
        ("a", 1, "0a:00:00:00:08:0a", "10.8.0.10", "192.0.2.1", HOST4),
        ("a", 1, "0a:00:00:00:08:0a", "fd08::a", "2001:db8::1", HOST6),
        (
            "b",
            2,
            "0a:00:00:00:08:0b",
            "10.8.0.11",
            "192.0.2.11",
            HOST4,
        ),
        ("b", 2, "0a:00:00:00:08:0b", "fd08::b", "2001:db8::b", HOST6),
    ] {
        let known = check(
            &network,
            (pod, node),
            &packet((mac, INSIDE), inside, host),
            &[&format!("ln on n1: {outside} -> {host}")],
            Connections::default(),
        );
        check(
            &network,
            ("ln", 1),
            &packet((HOST, OUTSIDE), host, outside),
            &[&format!("{pod} on n{node}: {host} -> {inside}")],
            known,
        );
    }
    // An answer to nothing goes nowhere, and the other node of the network takes nothing for the router.
    let answer = packet((HOST, OUTSIDE), HOST4, "192.0.2.1");
    check(&network, ("ln", 1), &answer, &[], Connections::default());
    let asked = packet((HOST, OUTSIDE), HOST4, "192.0.2.11");
    check(&network, ("ln", 2), &asked, &[], Connections::default());
}

#[test]
fn who_asks_for_the_outside_address_gets_to_the_pod_from_inside_as_well() {
    let network = gateway();
    for (host, outside, inside) in [
        (HOST4, "192.0.2.11", "10.8.0.11"),
        (HOST6, "2001:db8::b", "fd08::b"),
    ] {
        let known = check(
            &network,
            ("ln", 1),
            &packet((HOST, OUTSIDE), host, outside),
            &[&format!("b on n2: {host} -> {inside}")],
            Connections::default(),
        );
        check(
            &network,
            ("b", 2),
            &packet(("0a:00:00:00:08:0b", INSIDE), inside, host),
            &[&format!("ln on n1: {outside} -> {host}")],
            known,
        );
    }
    // Both sides are translated, or the answer would not come by the router.
    let known = check(
        &network,
        ("a", 1),
        &packet(("0a:00:00:00:08:0a", INSIDE), "10.8.0.10", "192.0.2.11"),
        &["b on n2: 192.0.2.1 -> 10.8.0.11"],
        Connections::default(),
    );
    check(
        &network,
        ("b", 2),
        &packet(("0a:00:00:00:08:0b", INSIDE), "10.8.0.11", "192.0.2.1"),
        &["a on n1: 192.0.2.11 -> 10.8.0.10"],
        known,
    );
}

#[test]
fn the_node_of_the_router_alone_answers_the_network_for_it() {
    let network = gateway();
    for (target, node, answered) in [
        ("192.0.2.1", 1, true),
        ("192.0.2.11", 1, true),
        ("192.0.2.12", 1, false),
        ("192.0.2.11", 2, false),
    ] {
        let mut question = Packet::new();
        question.set(Symbol::EthSrc, HOST.parse::<Mac>().expect("a MAC"));
        question.set(Symbol::EthDst, [0xffu8; 6]);
        question.set(Symbol::EthType, 0x806u16);
        question.set(Symbol::ArpOp, 1u8);
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        question.set(Symbol::ArpSpa, address(HOST4));
        question.set(Symbol::ArpTpa, address(target));
        let answer = format!("ln on n{node}: {target} -> {HOST4}");
        let expected = [answer.as_str()];
        let expected = if answered { &expected[..] } else { &[] };
        check(
            &network,
            ("ln", node),
            &question,
            expected,
            Connections::default(),
        );
    }
}

#[test]
fn the_routers_flows_are_on_its_node_alone() {
    let network = gateway();
    let (compiler, _) = network.compile_with(Options::default());
    let texts = [1, 2].map(|node| dump(&compiler, &node_name(node)));
    let count = |text: &str| text.lines().filter(|line| line.contains("ct(")).count();
    assert!(count(&texts[0]) >= 4, "{}", texts[0]);
    assert_eq!(count(&texts[1]), 0, "{}", texts[1]);
    insta::assert_snapshot!("nat_n1", texts[0]);
    insta::assert_snapshot!("nat_n2", texts[1]);
}

#[test]
fn a_row_that_goes_leaves_the_others_of_its_router() {
    let all = gateway();
    let mut rest = all.clone();
    let (gone, _) = rest.nats.pop_first().expect("one");
    let row = rest.routers.values_mut().next().expect("one");
    row.nat.retain(|listed| *listed != gone);
    let mut compiler = all.compile();
    for input in rest.changes_since(&all) {
        compiler.apply(input);
    }
    compiler.compile();
    let node = node_name(1);
    assert_eq!(dump(&compiler, &node), dump(&rest.compile(), &node));
    assert_eq!(compiler.diagnostics().count(), 0);
    assert!(dump(&compiler, &node).contains("ct("));
}

#[test]
fn a_row_that_cannot_be_done_is_left_out_with_a_message_and_the_others_go_on() {
    let good = gateway();
    let router = *good.routers.keys().next().expect("one");
    for (kind, external, logical, column, said) in [
        (
            "snat",
            "192.0.2",
            "10.9.0.0/24",
            "external_ip",
            "is no address",
        ),
        (
            "snat",
            "192.0.2.3",
            "10.9.0.0/33",
            "logical_ip",
            "neither an address",
        ),
        (
            "snat",
            "192.0.2.3",
            "fd09::/64",
            "logical_ip",
            "of different families",
        ),
        (
            "dnat",
            "192.0.2.3",
            "10.9.0.0/24",
            "logical_ip",
            "only snat takes a prefix",
        ),
        (
            "dnat",
            "192.0.2.11",
            "10.9.0.1",
            "external_ip",
            "by another row",
        ),
        (
            "snat",
            "192.0.2.4",
            "10.8.0.0/24",
            "logical_ip",
            "by another row",
        ),
        (
            "dnat",
            "224.0.0.1",
            "10.9.0.1",
            "external_ip",
            "nobody's address",
        ),
    ] {
        let mut network = good.clone();
        let bad = network.nat(router, kind, external, logical);
        let compiler = network.compile();
        let found: Vec<_> = compiler.diagnostics().collect();
        assert!(
            matches!(found.as_slice(), [one] if one.table == "NAT" && one.column == column && one.message.contains(said)),
            "{kind} {external} {logical} ({bad}): {found:?}"
        );
        if !said.contains("another") {
            for node in 1..=2 {
                let node = node_name(node);
                assert_eq!(dump(&compiler, &node), dump(&good.compile(), &node));
            }
        }
    }
    // On a router that is everywhere nothing is translated, and each row says what to do.
    let mut network = good.clone();
    network
        .routers
        .values_mut()
        .for_each(|row| row.options.clear());
    let compiler = network.compile();
    let found: Vec<_> = compiler.diagnostics().collect();
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(
        found
            .iter()
            .all(|one| one.message.contains("options:chassis"))
    );
    assert!(!dump(&compiler, &node_name(1)).contains("ct("));
}
