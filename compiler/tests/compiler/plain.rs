//! Routed packets arrive alike whether they travel under the router's key or the switch's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use weft_compiler::Options;
use weft_compiler::interpret::{Delivery, Outlet, interpret};
use weft_expr::{Mac, Packet, Symbol};

use crate::derived::is_answer;
use crate::network::{Network, node_name};

/// A port: its switch, its host number, its node, and whether it is held to its addresses.
pub type Port = (u8, u8, u8, bool);

/// Prefix (switch, host, length), whether it is a source's, next hops (a port, or none to discard), and the node that alone follows it, if one
/// does.
type Route = (u8, u8, u8, bool, Vec<Option<Index>>, Option<u8>);

#[derive(Clone, Debug)]
pub struct Shape {
    pub ports: Vec<Port>,
    /// Per switch: whether its networks are blocks of eight, and whether it has a router.
    switches: Vec<(bool, bool)>,
    routes: Vec<Route>,
}

pub const SWITCHES: u8 = 3;
const HOSTS: u8 = 30;

pub fn shape() -> impl Strategy<Value = Shape> {
    (
        prop::collection::vec((0..SWITCHES, 2..HOSTS, 1u8..4, any::<bool>()), 2..14),
        prop::collection::vec(
            (any::<bool>(), prop::bool::weighted(0.9)),
            usize::from(SWITCHES),
        ),
        prop::collection::vec(
            (
                0..SWITCHES + 2,
                0..HOSTS,
                prop_oneof![3 => 22u8..33, 1 => Just(0)],
                prop::bool::weighted(0.3),
                prop::collection::vec(any::<Option<Index>>(), 1..4),
                prop::option::weighted(0.2, 1u8..4),
            ),
            0..4,
        ),
    )
        .prop_map(|(ports, switches, routes)| Shape {
            ports,
            switches,
            routes,
        })
}

pub fn ipv4(switch: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, switch, 0, host)
}

/// The low 32 bits are those of the IPv4 address.
pub fn ipv6(switch: u8, host: u8) -> Ipv6Addr {
    let low = 0x0a00 | u16::from(switch);
    Ipv6Addr::new(0xfd00, u16::from(switch), 0, 0, 0, 0, low, u16::from(host))
}

/// MACs follow from addresses, but on the last switch.
pub fn port_mac(switch: u8, host: u8) -> Mac {
    let first = if switch == SWITCHES - 1 { 0x0e } else { 0x0a };
    Mac([first, 0x58, 10, switch, 0, host])
}

pub fn router_mac(switch: u8) -> Mac {
    Mac([0x0a, 0x58, 0, 0, 0, switch])
}

pub fn link_local(mac: Mac) -> Ipv6Addr {
    let Mac([a, b, c, d, e, f]) = mac;
    let low = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from_bits((0xfe80 << 112) | u128::from(low))
}

pub fn build(shape: &Shape) -> Network {
    let mut network = Network::default();
    for node in 1..=3 {
        network.node(node);
    }
    let router = network.router("r");
    let mut switches = Vec::new();
    for (number, (is_blocks, is_joined)) in (0u8..).zip(&shape.switches) {
        let switch = network.switch(&format!("s{number}"));
        switches.push(switch);
        if *is_joined {
            let port = network.join(
                router,
                switch,
                &router_mac(number).to_string(),
                ["10.0.0.1/24"],
            );
            let networks = &mut network
                .router_ports
                .get_mut(&port)
                .expect("just made")
                .networks;
            networks.clear();
            if *is_blocks {
                networks.extend([0u8, 8, 16].map(|low| format!("{}/29", ipv4(number, low + 1))));
                networks.insert(format!("{}/125", ipv6(number, 1)));
                networks.insert(format!("{}/125", ipv6(number, 9)));
            } else {
                networks.insert(format!("{}/24", ipv4(number, 1)));
                networks.insert(format!("{}/64", ipv6(number, 1)));
            }
        }
    }
    for (index, (switch, host, node, is_held)) in (1u16..).zip(&shape.ports) {
        let addresses = format!(
            "{} {} {}",
            port_mac(*switch, *host),
            ipv4(*switch, *host),
            ipv6(*switch, *host)
        );
        let (switch, name) = (switches[usize::from(*switch)], format!("p{index}"));
        match is_held {
            true => network.port(switch, &name, &addresses, usize::from(*node), index),
            false => network.loose_port(switch, &name, &addresses, usize::from(*node), index),
        };
    }
    for (switch, host, length, is_source, hops, node) in &shape.routes {
        let prefix = format!("{}/{length}", ipv4(*switch, *host));
        let policy = is_source.then_some("src-ip");
        for hop in hops {
            let hop = hop.as_ref().map(|index| index.get(&shape.ports));
            let hop = hop.map_or("discard".to_owned(), |(switch, host, ..)| {
                ipv4(*switch, *host).to_string()
            });
            let route = network.route_by(router, policy, &prefix, &hop);
            if let Some(node) = node {
                network.only_on(route, usize::from(*node));
            }
        }
    }
    network
}

/// What a test packet is made of.
#[derive(Clone, Debug)]
pub struct Probe {
    from: Index,
    source_mac: u8,
    destination_mac: u8,
    source: (u8, u8),
    destination: (u8, u8),
    kind: u8,
    ttl: u8,
}

pub fn probe() -> impl Strategy<Value = Probe> {
    (
        any::<Index>(),
        0u8..10,
        0u8..14,
        (0..SWITCHES, 0..HOSTS),
        (0..SWITCHES + 1, 0..HOSTS),
        0u8..12,
        select(vec![0u8, 1, 2, 64, 255]),
    )
        .prop_map(
            |(from, source_mac, destination_mac, source, destination, kind, ttl)| Probe {
                from,
                source_mac,
                destination_mac,
                source,
                destination,
                kind,
                ttl,
            },
        )
}

pub fn packet(probe: &Probe, ports: &[Port]) -> (usize, Packet) {
    let index = probe.from.index(ports.len());
    let (switch, host, ..) = ports[index];
    let mut packet = Packet::new();
    // Mostly its own addresses, mostly to the router or to somebody there is.
    let other = ports[usize::from(probe.destination.1) % ports.len()];
    let source_mac = match probe.source_mac {
        0 => Mac([1, 0, 0, 0, 0, 1]),
        1 => port_mac(other.0, other.1),
        _ => port_mac(switch, host),
    };
    let destination_mac = match probe.destination_mac {
        0 => Mac::BROADCAST,
        1 => Mac([0x33, 0x33, 0, 0, 0, 1]),
        2 => Mac([0x0a, 9, 9, 9, 9, 9]),
        3..=5 => port_mac(other.0, other.1),
        _ => router_mac(switch),
    };
    packet.set(Symbol::EthSrc, source_mac);
    packet.set(Symbol::EthDst, destination_mac);
    let own = probe.source_mac != 2;
    let (from_switch, from_host) = if own { (switch, host) } else { probe.source };
    let (to_switch, to_host) = match probe.destination.1 % 3 {
        0 => probe.destination,
        _ => (other.0, other.1),
    };
    match probe.kind {
        0 | 1 => arp(
            &mut packet,
            probe,
            (from_switch, from_host),
            (to_switch, to_host),
            source_mac,
        ),
        2 => solicitation(
            &mut packet,
            probe,
            (from_switch, from_host),
            (to_switch, to_host),
            source_mac,
        ),
        kind => {
            let is_ipv4 = kind % 2 == 0;
            let protocol = match (kind, is_ipv4) {
                (3..=8, true) => 1u8,
                (3..=8, false) => 58,
                _ => 17,
            };
            let to_router = probe.destination.1.is_multiple_of(7);
            let host = if to_router {
                to_host / 8 * 8 + 1
            } else {
                to_host
            };
            packet.set(Symbol::IpProto, protocol);
            packet.set(Symbol::IpTtl, probe.ttl);
            if is_ipv4 {
                packet.set(Symbol::EthType, 0x800u16);
                packet.set(Symbol::Ip4Src, ipv4(from_switch, from_host));
                packet.set(Symbol::Ip4Dst, ipv4(to_switch, host));
                packet.set(
                    if protocol == 1 {
                        Symbol::Icmp4Type
                    } else {
                        Symbol::UdpDst
                    },
                    8u8,
                );
            } else {
                packet.set(Symbol::EthType, 0x86ddu16);
                packet.set(Symbol::Ip6Src, ipv6(from_switch, from_host));
                let to = match kind {
                    5 => link_local(router_mac(switch)),
                    _ => ipv6(to_switch, host),
                };
                packet.set(Symbol::Ip6Dst, to);
                packet.set(
                    if protocol == 58 {
                        Symbol::Icmp6Type
                    } else {
                        Symbol::UdpDst
                    },
                    128u8,
                );
            }
        }
    }
    (index, packet)
}

fn arp(packet: &mut Packet, probe: &Probe, from: (u8, u8), to: (u8, u8), mac: Mac) {
    let is_request = probe.ttl != 2;
    packet.set(
        Symbol::EthDst,
        if is_request {
            Mac::BROADCAST
        } else {
            router_mac(from.0)
        },
    );
    packet.set(Symbol::EthType, 0x806u16);
    packet.set(Symbol::ArpOp, if is_request { 1u8 } else { 2 });
    packet.set(Symbol::ArpSha, mac);
    let sender = if probe.ttl == 0 {
        Ipv4Addr::UNSPECIFIED
    } else {
        ipv4(from.0, from.1)
    };
    packet.set(Symbol::ArpSpa, sender);
    packet.set(Symbol::ArpTpa, ipv4(to.0, to.1));
}

fn solicitation(packet: &mut Packet, probe: &Probe, from: (u8, u8), to: (u8, u8), mac: Mac) {
    packet.set(Symbol::EthDst, Mac([0x33, 0x33, 0xff, 0, 0, to.1]));
    packet.set(Symbol::EthType, 0x86ddu16);
    packet.set(Symbol::IpProto, 58u8);
    packet.set(Symbol::IpTtl, 255u8);
    packet.set(Symbol::Icmp6Type, 135u8);
    let is_probe = probe.ttl == 0;
    let source = if is_probe {
        Ipv6Addr::UNSPECIFIED
    } else {
        ipv6(from.0, from.1)
    };
    packet.set(Symbol::Ip6Src, source);
    packet.set(
        Symbol::Ip6Dst,
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, u16::from(to.1)),
    );
    packet.set(Symbol::NdTarget, ipv6(to.0, to.1));
    if !is_probe {
        packet.set(Symbol::NdOptionsType, 1u8);
        packet.set(Symbol::NdSll, mac);
    }
}

/// Each case is a network and many packets. PROPTEST_CASES asks for more.
pub fn fewer_cases() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        cases: usual.cases / 2,
        ..usual
    }
}

proptest! {
    #![proptest_config(fewer_cases())]

    #[test]
    fn the_plain_path_delivers_what_the_general_path_delivers(
        shape in shape(),
        probes in prop::collection::vec(probe(), 1..40),
    ) {
        let network = build(&shape);
        let (plain, _) = network.compile_with(Options { plain_path: true, ..Options::default() });
        let (general, _) = network.compile_with(Options { plain_path: false, ..Options::default() });
        let (plain, general) = (plain.view(), general.view());
        for probe in &probes {
            let (index, packet) = packet(probe, &shape.ports);
            let name = format!("p{}", index + 1);
            let Some((datapath, Outlet::Bound(node))) = plain.find_port(&name) else { continue };
            let one = interpret(&plain, &node, datapath, &name, &packet);
            let other = interpret(&general, &node, datapath, &name, &packet);
            prop_assert!(!one.is_cut && !other.is_cut);
            if is_answer(&other, &packet, &name) && !is_answer(&one, &packet, &name) {
                // Outside of its subnet, whose nodes know the answer, a request goes to the owner, who says the same.
                let target = packet.get(Symbol::ArpTpa);
                let reaches_owner = one.deliveries.iter().any(|delivery| {
                    let ports = shape.ports.iter().zip(1..);
                    let mut owners = ports.filter(|(port, _)| u128::from(ipv4(port.0, port.1).to_bits()) == target);
                    delivery.packet == packet && owners.any(|(_, number)| *delivery.port == format!("p{number}"))
                });
                prop_assert!(reaches_owner, "{:?} from {}\n{}", packet, name, one.trace);
                continue;
            }
            // Location prefixes hold what a route discards, and what is beside somebody and without a route: that is dropped where they
            // lead to, or found to have expired there.
            let is_discarded = shape.routes.iter().any(|route| route.4.iter().any(Option::is_none));
            let is_excused = one.deliveries.iter().all(says_expired)
                && match other.deliveries.is_empty() {
                    true => is_discarded,
                    false => other.deliveries.iter().all(says_no_route),
                };
            prop_assert!(
                one.deliveries == other.deliveries || is_excused,
                "{:?} from {} on {}\nplain:\n{}\ngeneral:\n{}", packet, name, node, one.trace, other.trace
            );
        }
    }
}

fn says(delivery: &Delivery, ip4: (u128, u128), ip6: (u128, u128)) -> bool {
    let field = |symbol: Symbol| delivery.packet.get(symbol);
    match field(Symbol::IpProto) {
        1 => (field(Symbol::Icmp4Type), field(Symbol::Icmp4Code)) == ip4,
        58 => (field(Symbol::Icmp6Type), field(Symbol::Icmp6Code)) == ip6,
        _ => false,
    }
}

fn says_no_route(delivery: &Delivery) -> bool {
    says(delivery, (3, 0), (1, 0))
}

fn says_expired(delivery: &Delivery) -> bool {
    says(delivery, (11, 0), (3, 0))
}

/// Two nodes, two switches of blocks, a pod on each node.
fn two_nodes() -> Network {
    let ports = vec![(0, 2, 1, true), (1, 10, 2, true), (0, 20, 3, true)];
    build(&Shape {
        ports,
        switches: vec![(true, true), (true, true), (false, false)],
        routes: Vec::new(),
    })
}

fn ping(from: (u8, u8), to: IpAddr, ttl: u8) -> Packet {
    let mut packet = Packet::new();
    packet.set(Symbol::EthSrc, port_mac(from.0, from.1));
    packet.set(Symbol::EthDst, router_mac(from.0));
    packet.set(Symbol::IpTtl, ttl);
    match to {
        IpAddr::V4(to) => {
            packet.set(Symbol::EthType, 0x800u16);
            packet.set(Symbol::IpProto, 1u8);
            packet.set(Symbol::Ip4Src, ipv4(from.0, from.1));
            packet.set(Symbol::Ip4Dst, to);
            packet.set(Symbol::Icmp4Type, 8u8);
        }
        IpAddr::V6(to) => {
            packet.set(Symbol::EthType, 0x86ddu16);
            packet.set(Symbol::IpProto, 58u8);
            packet.set(Symbol::Ip6Src, ipv6(from.0, from.1));
            packet.set(Symbol::Ip6Dst, to);
            packet.set(Symbol::Icmp6Type, 128u8);
        }
    }
    packet
}

/// A ping from p1 comes out at these ports, with these TTLs.
#[track_caller]
fn check(network: &Network, to: IpAddr, ttl: u8, options: Options, expected: &[(&str, u128)]) {
    let (compiler, _) = network.compile_with(options);
    let view = compiler.view();
    let (datapath, _) = view.find_port("p1").expect("a port");
    let outcome = interpret(&view, &node_name(1), datapath, "p1", &ping((0, 2), to, ttl));
    let deliveries = outcome.deliveries.iter();
    let found: Vec<(&str, u128)> = deliveries
        .map(|delivery| (&*delivery.port, delivery.packet.get(Symbol::IpTtl)))
        .collect();
    assert_eq!(found, expected, "{to} {options:?}\n{}", outcome.trace);
}

#[test]
fn a_packet_is_routed_to_another_node_with_its_ttl_down_by_one() {
    let network = two_nodes();
    for plain_path in [true, false] {
        let options = Options {
            plain_path,
            ..Options::default()
        };
        for to in [IpAddr::V4(ipv4(1, 10)), IpAddr::V6(ipv6(1, 10))] {
            check(&network, to, 64, options, &[("p2", 63)]);
            // The router says so, to the sender.
            check(&network, to, 1, options, &[("p1", 254)]);
        }
    }
}

#[test]
fn a_router_answers_pings_of_its_addresses_wherever_they_are() {
    let network = two_nodes();
    for plain_path in [true, false] {
        let options = Options {
            plain_path,
            ..Options::default()
        };
        let gateways = [ipv4(0, 1), ipv4(1, 9), ipv4(0, 17), ipv4(1, 1)].map(IpAddr::V4);
        let link_local = IpAddr::V6(link_local(router_mac(0)));
        for to in gateways.into_iter().chain([IpAddr::V6(ipv6(1, 9))]) {
            check(&network, to, 1, options, &[("p1", 254)]);
        }
        check(&network, link_local, 64, options, &[("p1", 255)]);
    }
}

#[test]
fn who_sends_to_where_no_route_leads_is_told_and_who_sends_to_nobody_is_not() {
    let network = two_nodes();
    for plain_path in [true, false] {
        let options = Options {
            plain_path,
            ..Options::default()
        };
        for to in [Ipv4Addr::new(8, 8, 8, 8), ipv4(9, 1)] {
            check(&network, IpAddr::V4(to), 64, options, &[("p1", 254)]);
        }
        // In connected networks: of somebody, and of nobody.
        for to in [ipv4(1, 11), ipv4(1, 18)] {
            check(&network, IpAddr::V4(to), 64, options, &[]);
        }
    }
}

#[test]
fn a_port_reaches_itself_through_the_router() {
    let network = two_nodes();
    for plain_path in [true, false] {
        let options = Options {
            plain_path,
            ..Options::default()
        };
        check(&network, IpAddr::V4(ipv4(0, 2)), 64, options, &[("p1", 63)]);
    }
}

/// Two nodes with a host each, on a switch of their own, and the ways out by them.
fn with_hosts() -> Network {
    let mut network = two_nodes();
    let router = *network.routers.keys().next().expect("one");
    let join = network.switch("join");
    let mac = "0a:57:00:00:00:99";
    let networks = ["100.64.0.1/16", "fd64::1/64"];
    network.join(router, join, mac, networks);
    for node in 1..=2u16 {
        let (low, number) = (node + 1, usize::from(node));
        let addresses = format!("0a:58:64:40:00:0{low} 100.64.0.{low} fd64::{low}");
        let name = format!("host{node}");
        network.loose_port(join, &name, &addresses, number, 100 + node);
        for (all, hop) in [
            ("0.0.0.0/0", format!("100.64.0.{low}")),
            ("::/0", format!("fd64::{low}")),
        ] {
            let route = network.route(router, all, &hop);
            network.only_on(route, number);
        }
    }
    network
}

#[test]
fn what_is_for_nobody_leaves_by_the_host_of_the_node_it_is_on_and_comes_back_to_nobody() {
    let network = with_hosts();
    let outside = [
        IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9)),
    ];
    for plain_path in [true, false] {
        let options = Options {
            plain_path,
            ..Options::default()
        };
        for to in outside {
            check(&network, to, 64, options, &[("host1", 63)]);
            let (compiler, _) = network.compile_with(options);
            let view = compiler.view();
            for (from, node, expected) in [("p2", 2, Some("host2")), ("host1", 1, None)] {
                let mut packet = ping((1, 10), to, 64);
                if from == "host1" {
                    packet.set(Symbol::EthSrc, Mac([0x0a, 0x58, 0x64, 0x40, 0, 2]));
                    packet.set(Symbol::EthDst, Mac([0x0a, 0x57, 0, 0, 0, 0x99]));
                }
                let (datapath, _) = view.find_port(from).expect("a port");
                let outcome = interpret(&view, &node_name(node), datapath, from, &packet);
                let found: Vec<&str> = outcome.deliveries.iter().map(|it| &*it.port).collect();
                let expected: Vec<&str> = expected.into_iter().collect();
                assert_eq!(found, expected, "{from} to {to}\n{}", outcome.trace);
            }
        }
        // Hosts and pods are in reach of each other.
        for (low, host) in [(2, "host1"), (3, "host2")] {
            let to = IpAddr::V4(Ipv4Addr::new(100, 64, 0, low));
            check(&network, to, 64, options, &[(host, 63)]);
        }
    }
}

#[test]
fn a_way_out_is_on_its_own_node_alone() {
    let compiler = with_hosts().compile();
    for node in 1..=2 {
        let flows = crate::network::dump(&compiler, &node_name(node));
        let to_host = |low: u8| format!("reg0=0x6440000{low}");
        let own = u8::try_from(node).expect("few") + 1;
        assert!(flows.contains(&to_host(own)), "n{node}:\n{flows}");
        assert!(!flows.contains(&to_host(5 - own)), "n{node}:\n{flows}");
    }
}
