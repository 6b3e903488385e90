//! Physical networks: where frames of a switch with localnet ports go, and where they do not.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use uuid::Uuid;
use weft_compiler::interpret::interpret;
use weft_compiler::{Compiler, Options};
use weft_expr::{Mac, Packet, Symbol};

use crate::network::{Network, dump, node_name, set};

/// Switch `lan` in VLAN 7 of the network `net`, which n1 and n2 have and n3 has not; ports x on n1, y on n2, z on n3. Switch `inner` with q on
/// n1, and a router between the two.
fn bridged() -> Network {
    let mut network = Network::default();
    (1..=3).for_each(|node| network.node(node));
    let (lan, inner) = (network.switch("lan"), network.switch("inner"));
    let router = network.router("r");
    network.join(router, lan, ROUTER, ["10.9.0.1/24"]);
    network.join(router, inner, "0a:00:00:00:00:02", ["10.8.0.1/24"]);
    for (name, node) in [("x", 1), ("y", 2), ("z", 3)] {
        let host = 10 + node;
        let addresses = format!("0a:00:00:00:09:{host} 10.9.0.{host}");
        network.port(lan, name, &addresses, node, 1);
    }
    network.port(inner, "q", "0a:00:00:00:08:11 10.8.0.11", 1, 2);
    network.localnet(lan, "ln", "net", Some(7));
    network.plug(1, "ln", 9);
    network.plug(2, "ln", 8);
    network
}

const ROUTER: &str = "0a:00:00:00:00:01";
const HOST: &str = "02:00:00:00:00:50";
const EVERYBODY: &str = "ff:ff:ff:ff:ff:ff";

/// MAC and address of a port of `lan`.
fn of(node: u8) -> (String, Ipv4Addr) {
    let host = 10 + node;
    (
        format!("0a:00:00:00:09:{host}"),
        Ipv4Addr::new(10, 9, 0, host),
    )
}

fn packet(from: (&str, Ipv4Addr), to: (&str, Ipv4Addr)) -> Packet {
    let mac = |text: &str| text.parse::<Mac>().expect("a MAC");
    let mut packet = Packet::new();
    packet.set(Symbol::EthSrc, mac(from.0));
    packet.set(Symbol::EthDst, mac(to.0));
    packet.set(Symbol::EthType, 0x800u16);
    packet.set(Symbol::IpTtl, 64u8);
    packet.set(Symbol::IpProto, 17u8);
    packet.set(Symbol::Ip4Src, from.1);
    packet.set(Symbol::Ip4Dst, to.1);
    packet
}

fn host() -> (&'static str, Ipv4Addr) {
    (HOST, Ipv4Addr::new(10, 9, 0, 50))
}

/// What is sent into a port on a node comes out at these ports, each as `PORT on NODE`.
#[track_caller]
fn check(network: &Network, port: &str, node: usize, packet: &Packet, expected: &[&str]) {
    let compiler = network.compile();
    let view = compiler.view();
    let (datapath, _) = view.find_port(port).expect("a port");
    let outcome = interpret(&view, &node_name(node), datapath, port, packet);
    let found: BTreeSet<String> = outcome
        .deliveries
        .iter()
        .map(|delivery| format!("{} on {}", delivery.port, delivery.node))
        .collect();
    let expected: BTreeSet<String> = expected.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(found, expected, "{}", outcome.trace);
}

#[test]
fn what_ports_send_goes_out_by_the_network_once_and_by_the_tunnel_only_to_nodes_without_it() {
    let network = bridged();
    let ((x, x4), (y, y4), (z, z4)) = (of(1), of(2), of(3));
    let everybody = (EVERYBODY, Ipv4Addr::BROADCAST);
    // To a host that nobody knows, to all, to a port that shares the network, and to one that does not.
    check(&network, "x", 1, &packet((&x, x4), host()), &["ln on n1"]);
    check(
        &network,
        "x",
        1,
        &packet((&x, x4), everybody),
        &["ln on n1", "z on n3"],
    );
    check(&network, "x", 1, &packet((&x, x4), (&y, y4)), &["ln on n1"]);
    check(&network, "x", 1, &packet((&x, x4), (&z, z4)), &["z on n3"]);
    // Without the network there is the tunnel, and no way to the host.
    check(&network, "z", 3, &packet((&z, z4), (&y, y4)), &["y on n2"]);
    check(
        &network,
        "z",
        3,
        &packet((&z, z4), everybody),
        &["x on n1", "y on n2"],
    );
    check(&network, "z", 3, &packet((&z, z4), host()), &[]);
}

#[test]
fn what_comes_from_the_network_goes_to_ports_of_its_node_alone() {
    let network = bridged();
    let ((x, x4), (y, y4), (z, z4)) = (of(1), of(2), of(3));
    let everybody = (EVERYBODY, Ipv4Addr::BROADCAST);
    check(&network, "ln", 1, &packet(host(), (&x, x4)), &["x on n1"]);
    check(&network, "ln", 2, &packet(host(), (&y, y4)), &["y on n2"]);
    check(&network, "ln", 1, &packet(host(), everybody), &["x on n1"]);
    // Each node has its own copy from the network: none is passed on, nor sent back.
    check(&network, "ln", 1, &packet(host(), (&y, y4)), &[]);
    check(&network, "ln", 1, &packet(host(), (&z, z4)), &[]);
    check(&network, "ln", 1, &packet(host(), host()), &[]);
}

#[test]
fn a_router_is_no_part_of_the_network() {
    let network = bridged();
    let (x, x4) = of(1);
    let (_, y4) = of(2);
    let inner = Ipv4Addr::new(10, 8, 0, 11);
    // It routes for the node's own ports, and what it sends does not show on the network.
    check(
        &network,
        "x",
        1,
        &packet((&x, x4), (ROUTER, inner)),
        &["q on n1"],
    );
    let q = ("0a:00:00:00:08:11", inner);
    let through = |to| packet(q, ("0a:00:00:00:00:02", to));
    check(&network, "q", 1, &through(y4), &["y on n2"]);
    check(&network, "q", 1, &through(host().1), &[]);
    // Nothing from there is routed, and nobody answers there for it.
    check(&network, "ln", 1, &packet(host(), (ROUTER, inner)), &[]);
    let mut ping = packet(host(), (ROUTER, Ipv4Addr::new(10, 9, 0, 1)));
    ping.set(Symbol::IpProto, 1u8);
    ping.set(Symbol::Icmp4Type, 8u8);
    check(&network, "ln", 1, &ping, &[]);
    for (asked, heard) in [(1, "x on n1"), (11, "x on n1"), (12, "x on n1")] {
        let mut ask = Packet::new();
        ask.set(Symbol::EthSrc, HOST.parse::<Mac>().expect("a MAC"));
        ask.set(Symbol::EthDst, EVERYBODY.parse::<Mac>().expect("a MAC"));
        ask.set(Symbol::EthType, 0x806u16);
        ask.set(Symbol::ArpOp, 1u16);
        ask.set(Symbol::ArpSpa, host().1);
        ask.set(Symbol::ArpTpa, Ipv4Addr::new(10, 9, 0, asked));
        check(&network, "ln", 1, &ask, &[heard]);
    }
}

#[test]
fn a_localnet_port_without_unknown_takes_broadcasts_and_its_own_macs_alone() {
    let mut network = bridged();
    let ln = *network
        .ports
        .iter()
        .find(|(_, row)| row.name == "ln")
        .expect("a port")
        .0;
    network.ports.get_mut(&ln).expect("found").addresses = set([HOST]);
    let lan = network.switch_named("lan");
    let loose = network.loose_port(lan, "any", "unknown", 2, 5);
    let (x, x4) = of(1);
    check(&network, "x", 1, &packet((&x, x4), host()), &["ln on n1"]);
    let other = ("02:00:00:00:00:51", host().1);
    // Who takes what nobody has hears it by the tunnel then, for it does not go out.
    check(&network, "x", 1, &packet((&x, x4), other), &["any on n2"]);
    network.ports.get_mut(&ln).expect("found").addresses = set(["unknown"]);
    check(&network, "x", 1, &packet((&x, x4), other), &["ln on n1"]);
    check(&network, "ln", 2, &packet(host(), other), &["any on n2"]);
    network.remove_port(loose);
    check(&network, "ln", 2, &packet(host(), other), &[]);
}

#[test]
fn a_node_without_ports_of_the_domain_has_nothing_of_its_localnet_ports() {
    let mut network = bridged();
    network.node(4);
    let text = |network: &Network| dump(&network.compile(), &node_name(4));
    let before = text(&network);
    network.plug(4, "ln", 7);
    assert_eq!(text(&network), before);
}

#[test]
fn of_two_localnet_ports_of_a_switch_a_node_uses_one_and_it_is_told() {
    let mut network = bridged();
    let lan = network.switch_named("lan");
    network.localnet(lan, "ln2", "other", None);
    network.plug(3, "ln2", 7);
    assert_eq!(complaints(&network.compile()), [""; 0]);
    let (x, x4) = of(1);
    let (z, z4) = of(3);
    // Each by its own network; between the two, the tunnel.
    check(&network, "z", 3, &packet((&z, z4), host()), &["ln2 on n3"]);
    check(&network, "x", 1, &packet((&x, x4), (&z, z4)), &["z on n3"]);
    network.plug(1, "ln2", 7);
    let found = complaints(&network.compile());
    let [message] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert!(
        message.contains("node n1 has this network and that of"),
        "{message}"
    );
}

fn complaints(compiler: &Compiler) -> Vec<String> {
    compiler.diagnostics().map(ToString::to_string).collect()
}

#[test]
fn a_switch_with_a_physical_network() {
    let mut network = bridged();
    // Without the router, and untagged: the shortest that shows all.
    network.routers.clear();
    network.router_ports.clear();
    let sides: Vec<Uuid> = network
        .ports
        .values()
        .filter(|row| row.kind == "router")
        .map(|row| row.uuid)
        .collect();
    sides.into_iter().for_each(|side| network.remove_port(side));
    network.localnet(network.switch_named("inner"), "bare", "net", None);
    network.plug(1, "bare", 10);
    let (compiler, _) = network.compile_with(Options::default());
    assert_eq!(complaints(&compiler), [""; 0]);
    insta::assert_snapshot!("bridged_logical", compiler.view().lflow_list(None));
    insta::assert_snapshot!("bridged_n1", dump(&compiler, &node_name(1)));
    insta::assert_snapshot!("bridged_n3", dump(&compiler, &node_name(3)));
}
