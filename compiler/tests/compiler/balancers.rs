//! Load balancers: from a virtual address to each endpoint and back, and no more work than the change is worth.

use std::collections::BTreeSet;
use std::net::IpAddr;

use openflow_rs::Action;
use uuid::Uuid;
use weft_compiler::interpret::{Connections, Delivery, Outlet, interpret_among};
use weft_compiler::{Compilation, Compiler, FlowChange, GroupChange, Options};
use weft_expr::{Packet, Symbol};

use crate::network::{Network, Switches, dump, node_name};

/// Two namespaces with blocks on two nodes, and a switch without load balancers; `a1` and `b1` are on node 1, `a2`, `b2` and `c2` on node 2.
fn pods() -> Network {
    let mut network = Network::default();
    (1..=2).for_each(|node| network.node(node));
    let router = network.router("r");
    for (number, name) in [(1, "a"), (2, "b"), (3, "c")] {
        let switch = network.switch(name);
        let port = network.join(router, switch, &format!("0a:58:00:00:00:0{number}"), []);
        let row = network.router_ports.get_mut(&port).expect("just made");
        row.networks = (1..=2)
            .flat_map(|node| {
                let block = node * 8;
                [
                    format!("10.{number}.0.{block}/29"),
                    format!("fd00:{number}::{block:x}/125"),
                ]
            })
            .collect();
        for node in 1..=2u8 {
            let host = node * 8 + 1;
            let addresses = format!(
                "0a:58:0a:0{number}:00:{host:02x} 10.{number}.0.{host} fd00:{number}::{host:x}"
            );
            let ofport = u16::from(number * 10 + node);
            network.port(
                switch,
                &format!("{name}{node}"),
                &addresses,
                node.into(),
                ofport,
            );
        }
    }
    network
}

/// Switches `a` and `b` have the group `all`, which holds these.
fn group(network: &mut Network, balancers: &[Uuid]) -> Uuid {
    let group = network.balancer_group("all", balancers);
    for name in ["a", "b"] {
        let switch = network.switch_named(name);
        let row = network.switches.get_mut(&switch).expect("a switch");
        row.load_balancer_group = vec![group];
    }
    group
}

/// A service at 10.96.0.1:80 and [fd96::1]:80, TCP and UDP, whose endpoints are `a1` and `b2`.
fn service() -> (Network, [Uuid; 2]) {
    let mut network = pods();
    let vips = [
        ("10.96.0.1:80", "10.1.0.9:8080,10.2.0.17:8080"),
        ("[fd96::1]:80", "[fd00:1::9]:8080,[fd00:2::11]:8080"),
    ];
    let balancers = [
        network.balancer("svc-tcp", "tcp", &vips),
        network.balancer("svc-udp", "udp", &vips),
    ];
    group(&mut network, &balancers);
    (network, balancers)
}

/// Address and port.
type Side = (IpAddr, u16);

fn side(address: &str, port: u16) -> Side {
    (address.parse().expect("an address"), port)
}

/// From a port to its gateway.
fn packet(mac: (u8, u8), protocol: u8, from: Side, to: Side) -> Packet {
    let mut packet = Packet::new();
    let (switch, host) = mac;
    packet.set(Symbol::EthSrc, [0x0a, 0x58, 0x0a, switch, 0, host]);
    packet.set(Symbol::EthDst, [0x0a, 0x58, 0, 0, 0, switch]);
    packet.set(Symbol::IpTtl, 64u8);
    packet.set(Symbol::IpProto, protocol);
    let (eth_type, addresses) = match from.0 {
        IpAddr::V4(_) => (0x0800u16, (Symbol::Ip4Src, Symbol::Ip4Dst)),
        IpAddr::V6(_) => (0x86dd, (Symbol::Ip6Src, Symbol::Ip6Dst)),
    };
    let ports = match protocol {
        6 => (Symbol::TcpSrc, Symbol::TcpDst),
        _ => (Symbol::UdpSrc, Symbol::UdpDst),
    };
    packet.set(Symbol::EthType, eth_type);
    packet.set(addresses.0, from.0);
    packet.set(addresses.1, to.0);
    packet.set(ports.0, from.1);
    packet.set(ports.1, to.1);
    packet
}

/// Sends a packet from a port; where it came out, source and destination, as text, and what is known of connections then.
fn send(
    compiler: &Compiler,
    port: &str,
    packet: &Packet,
    connections: Connections,
) -> (BTreeSet<String>, Connections) {
    let view = compiler.view();
    let Some((datapath, Outlet::Bound(node))) = view.find_port(port) else {
        panic!("{port} is nowhere")
    };
    let outcome = interpret_among(&view, &node, datapath, port, packet, connections);
    assert!(!outcome.is_cut, "{}", outcome.trace);
    let texts = outcome.deliveries.iter().map(text).collect();
    (texts, outcome.connections)
}

fn text(delivery: &Delivery) -> String {
    let packet = &delivery.packet;
    let address = |v4, v6| match packet.get(Symbol::EthType) {
        0x0800 => std::net::Ipv4Addr::from_bits(packet.get(v4) as u32).to_string(),
        _ => format!("[{}]", std::net::Ipv6Addr::from_bits(packet.get(v6))),
    };
    let port = |tcp, udp| match packet.get(Symbol::IpProto) {
        6 => packet.get(tcp),
        _ => packet.get(udp),
    };
    format!(
        "{}: {}:{} > {}:{}",
        delivery.port,
        address(Symbol::Ip4Src, Symbol::Ip6Src),
        port(Symbol::TcpSrc, Symbol::UdpSrc),
        address(Symbol::Ip4Dst, Symbol::Ip6Dst),
        port(Symbol::TcpDst, Symbol::UdpDst),
    )
}

fn both_ways() -> [Options; 2] {
    [true, false].map(|plain_path| Options {
        plain_path,
        ..Options::default()
    })
}

#[test]
fn a_connection_reaches_each_endpoint_and_every_answer_is_the_services() {
    let (network, _) = service();
    for options in both_ways() {
        let (compiler, _) = network.compile_with(options);
        for protocol in [6, 17] {
            // A client on the node of one endpoint, whose own port the other is not.
            let to_service = packet(
                (2, 9),
                protocol,
                side("10.2.0.9", 1234),
                side("10.96.0.1", 80),
            );
            let (found, known) = send(&compiler, "b1", &to_service, Connections::default());
            let expected = [
                "a1: 10.2.0.9:1234 > 10.1.0.9:8080",
                "b2: 10.2.0.9:1234 > 10.2.0.17:8080",
            ];
            assert_eq!(found, expected.map(str::to_owned).into());
            for (port, mac, endpoint) in [("a1", (1, 9), "10.1.0.9"), ("b2", (2, 17), "10.2.0.17")]
            {
                let (from, to) = (side(endpoint, 8080), side("10.2.0.9", 1234));
                let answer = packet(mac, protocol, from, to);
                let (found, _) = send(&compiler, port, &answer, known.clone());
                let expected = "b1: 10.96.0.1:80 > 10.2.0.9:1234".to_owned();
                assert_eq!(found, [expected].into(), "from {port}");
                // Who asks the endpoint itself is answered by it.
                let (found, _) = send(&compiler, port, &answer, Connections::default());
                let expected = format!("b1: {endpoint}:8080 > 10.2.0.9:1234");
                assert_eq!(found, [expected].into(), "from {port}");
            }
        }
        let to_service = packet((2, 9), 6, side("fd00:2::9", 1234), side("fd96::1", 80));
        let (found, known) = send(&compiler, "b1", &to_service, Connections::default());
        let expected = [
            "a1: [fd00:2::9]:1234 > [fd00:1::9]:8080",
            "b2: [fd00:2::9]:1234 > [fd00:2::11]:8080",
        ];
        assert_eq!(found, expected.map(str::to_owned).into());
        let answer = packet(
            (2, 17),
            6,
            side("fd00:2::11", 8080),
            side("fd00:2::9", 1234),
        );
        let (found, _) = send(&compiler, "b2", &answer, known);
        let expected = "b1: [fd96::1]:80 > [fd00:2::9]:1234".to_owned();
        assert_eq!(found, [expected].into());
    }
}

#[test]
fn a_port_reaches_itself_through_a_service() {
    for hairpin in [None, Some("169.254.77.4 fd69:77::4")] {
        let (mut network, balancers) = service();
        if let Some(hairpin) = hairpin {
            for balancer in balancers {
                let row = network.balancers.get_mut(&balancer).expect("a row");
                let (key, value) = ("hairpin_snat_ip".to_owned(), hairpin.to_owned());
                row.options.insert(key, value);
            }
        }
        for options in both_ways() {
            let (compiler, _) = network.compile_with(options);
            let families = [
                ("10.1.0.9", "10.96.0.1", "169.254.77.4"),
                ("fd00:1::9", "fd96::1", "fd69:77::4"),
            ];
            for (own, service, source) in families {
                let source = hairpin.map_or(service, |_| source);
                let to_service = packet((1, 9), 6, side(own, 1234), side(service, 80));
                let (found, known) = send(&compiler, "a1", &to_service, Connections::default());
                let [own, source, service] = [own, source, service].map(|text| side(text, 0).0);
                let socket = |address, port| std::net::SocketAddr::new(address, port);
                let itself = format!("a1: {} > {}", socket(source, 1234), socket(own, 8080));
                assert!(found.contains(&itself), "{found:?}");
                assert_eq!(found.len(), 2, "{found:?}");
                let answer = packet((1, 9), 6, (own, 8080), (source, 1234));
                let (found, _) = send(&compiler, "a1", &answer, known);
                let expected = format!("a1: {} > {}", socket(service, 80), socket(own, 1234));
                assert_eq!(found, [expected].into());
            }
        }
    }
}

#[test]
fn who_has_no_load_balancers_reaches_none_and_what_has_no_endpoints_is_dropped() {
    let (mut network, _) = service();
    let empty = network.balancer("empty", "tcp", &[("10.96.0.2:80", "")]);
    let group = network.balancer_groups.values_mut().next().expect("one");
    group.load_balancer.push(empty);
    let compiler = network.compile();
    let nothing = BTreeSet::new();
    for (port, mac, from, to) in [
        ("c2", (3, 17), "10.3.0.17", side("10.96.0.1", 80)),
        ("b1", (2, 9), "10.2.0.9", side("10.96.0.2", 80)),
        ("b1", (2, 9), "10.2.0.9", side("10.96.0.1", 81)),
    ] {
        let to_service = packet(mac, 6, side(from, 1234), to);
        let found = send(&compiler, port, &to_service, Connections::default()).0;
        // A port that nothing is served at is what answers to a hairpin come to: back to who sent it.
        let own: BTreeSet<String> = found
            .into_iter()
            .filter(|text| !text.starts_with(port))
            .collect();
        assert_eq!(own, nothing);
    }
}

#[test]
fn a_virtual_address_without_port_takes_what_has_no_service_of_its_own() {
    let mut network = pods();
    let all = network.balancer("all", "tcp", &[("10.96.0.1", "10.1.0.9")]);
    let one = network.balancer("one", "tcp", &[("10.96.0.1:80", "10.2.0.17:8080")]);
    group(&mut network, &[all, one]);
    let compiler = network.compile();
    for (protocol, port, expected) in [
        (6, 80, "b2: 10.2.0.9:1234 > 10.2.0.17:8080"),
        (6, 81, "a1: 10.2.0.9:1234 > 10.1.0.9:81"),
        (17, 80, "a1: 10.2.0.9:1234 > 10.1.0.9:80"),
    ] {
        let to_service = packet(
            (2, 9),
            protocol,
            side("10.2.0.9", 1234),
            side("10.96.0.1", port),
        );
        let (found, _) = send(&compiler, "b1", &to_service, Connections::default());
        assert_eq!(found, [expected.to_owned()].into());
    }
}

/// What a compiler that has `network` does when it becomes `changed`.
fn change(network: &Network, changed: &Network) -> Compilation {
    let mut compiler = network.compile();
    let changes = changed.changes_since(network);
    changes
        .into_iter()
        .for_each(|change| compiler.apply(change));
    compiler.compile()
}

#[test]
fn an_endpoint_more_compiles_its_load_balancer_and_changes_one_group_on_each_node() {
    let (network, [tcp, _]) = service();
    let mut changed = network.clone();
    let row = changed.balancers.get_mut(&tcp).expect("a row");
    let endpoints = row.vips.get_mut("10.96.0.1:80").expect("an address");
    endpoints.push_str(",10.2.0.9:8080");
    let compilation = change(&network, &changed);
    assert_eq!(compilation.statistics.units_compiled, 1);
    assert_eq!(compilation.changed.len(), 2);
    for delta in compilation.changed.values() {
        assert_eq!((delta.flows.len(), delta.groups.len()), (0, 1), "{delta:?}");
    }
}

#[test]
fn a_service_more_in_a_group_leaves_switches_and_other_services_as_they_are() {
    let (network, _) = service();
    let mut changed = network.clone();
    let other = changed.balancer("other", "tcp", &[("10.96.0.7:80", "10.1.0.9:80")]);
    let group = changed.balancer_groups.values_mut().next().expect("one");
    group.load_balancer.push(other);
    let compilation = change(&network, &changed);
    assert_eq!(compilation.statistics.units_compiled, 1);
    for delta in compilation.changed.values() {
        let is_put = |change: &FlowChange| matches!(change, FlowChange::Put(_));
        assert!(delta.flows.iter().all(is_put), "{delta:?}");
        // Tracked, chosen, nothing else to it, and back to who answers.
        assert_eq!((delta.flows.len(), delta.groups.len()), (4, 1), "{delta:?}");
    }
}

#[test]
fn a_node_without_ports_of_its_switches_has_nothing_of_a_load_balancer() {
    let (mut network, _) = service();
    let before = network.compile();
    network.node(3);
    let alone = network.switch("alone");
    network.port(alone, "d3", "0a:58:0a:04:00:09 10.4.0.9", 3, 1);
    let compiler = network.compile();
    let state = compiler.desired(&node_name(3)).expect("a node");
    let is_balancing = |id: &u32| *id >= weft_compiler::pipeline::FIRST_BALANCER_GROUP;
    assert!(!state.groups().keys().any(is_balancing));
    let text = dump(&compiler, &node_name(3));
    assert!(!text.contains("nw_dst=10.96.0.1"), "{text}");
    let other = before.desired(&node_name(1)).expect("a node");
    assert!(other.groups().keys().any(is_balancing));
}

#[test]
fn the_flows_of_a_group_of_load_balancers_are_there_once_however_many_switches_list_it() {
    let (network, _) = service();
    let text = dump(&network.compile(), &node_name(1));
    let tracked = text
        .lines()
        .filter(|line| line.contains("nw_dst=10.96.0.1 ") && line.contains("nat"));
    assert_eq!(tracked.count(), 1, "{text}");
}

#[test]
fn three_hundred_endpoints_are_shared_out_among_groups_that_a_dump_can_show() {
    let mut network = pods();
    let endpoints = |count: u32| {
        let endpoint = |number: u32| format!("10.1.{}.{}:80", number / 250, number % 250 + 1);
        (0..count).map(endpoint).collect::<Vec<_>>().join(",")
    };
    let many = network.balancer("many", "tcp", &[("10.96.0.1:80", &endpoints(300))]);
    group(&mut network, &[many]);
    let compiler = network.compile();
    let state = compiler.desired(&node_name(1)).expect("a node");
    let groups = state.groups().values().map(|group| &group.group);
    let groups: Vec<_> = groups
        .filter(|group| group.id >= weft_compiler::pipeline::FIRST_BALANCER_GROUP)
        .collect();
    let is_top = |group: &&&openflow_rs::Group| {
        let mut actions = group.buckets.iter().flat_map(|bucket| &bucket.actions);
        actions.any(|action| matches!(action, Action::Group(_)))
    };
    let top: Vec<_> = groups.iter().filter(is_top).collect();
    assert_eq!(top.len(), 1);
    let below: usize = groups
        .iter()
        .filter(|group| !is_top(group))
        .map(|group| group.buckets.len())
        .sum();
    assert_eq!((top[0].buckets.len(), below), (4, 300));
    assert!(groups.iter().all(|group| group.buckets.len() <= 256));
    // One more changes the one group that it belongs to.
    let mut changed = network.clone();
    let row = changed.balancers.get_mut(&many).expect("a row");
    row.vips.insert("10.96.0.1:80".to_owned(), endpoints(301));
    let compilation = change(&network, &changed);
    for delta in compilation.changed.values() {
        assert_eq!((delta.flows.len(), delta.groups.len()), (0, 1));
        let GroupChange::Put(group) = &delta.groups[0] else {
            panic!("{delta:?}")
        };
        let old = state.groups().get(&group.group.id).expect("a group");
        let new: BTreeSet<_> = group.group.buckets.iter().collect();
        let old: BTreeSet<_> = old.group.buckets.iter().collect();
        assert!(old.is_subset(&new) && new.len() == old.len() + 1);
    }
}

#[test]
fn of_two_load_balancers_with_one_address_the_first_has_it_and_the_other_is_told() {
    let mut network = pods();
    let rows = [
        network.balancer("x", "tcp", &[("10.96.0.1:80", "10.1.0.9:80")]),
        network.balancer("y", "tcp", &[("10.96.0.1:80", "10.2.0.17:80")]),
    ];
    group(&mut network, &rows);
    let (compiler, _) = network.compile_with(Options::default());
    let (first, second) = if rows[0] < rows[1] {
        ("x", "y")
    } else {
        ("y", "x")
    };
    let messages: Vec<String> = compiler.diagnostics().map(ToString::to_string).collect();
    let [message] = messages.as_slice() else {
        panic!("{messages:?}")
    };
    let said = format!("10.96.0.1:80/tcp is load balancer {first:?}'s");
    assert!(
        message.contains(&said) && message.starts_with(&format!("Load_Balancer {second} ")),
        "{message}"
    );
    // Without the first the other has it.
    let mut changed = network.clone();
    changed.balancers.remove(rows.iter().min().expect("two"));
    let mut compiler = network.compile();
    let mut switches = Switches::default();
    changed
        .changes_since(&network)
        .into_iter()
        .for_each(|change| compiler.apply(change));
    drop(compiler.compile());
    assert_eq!(compiler.diagnostics().count(), 0);
    switches.apply(&changed.compile_with(Options::default()).1);
    assert_eq!(
        dump(&compiler, &node_name(1)),
        dump(&changed.compile(), &node_name(1))
    );
}

#[test]
fn bad_parts_of_a_load_balancer_are_named_and_the_rest_goes_on() {
    for (protocol, vip, endpoints, message) in [
        (
            "tcp",
            "10.96.0.300:80",
            "10.1.0.9:80",
            "an address is written",
        ),
        (
            "tcp",
            "10.96.0.1:0",
            "10.1.0.9:80",
            "port 0 cannot be served",
        ),
        (
            "tcp",
            "0.0.0.0:80",
            "10.1.0.9:80",
            "cannot be the address of a service",
        ),
        (
            "tcp",
            "10.96.0.1:80",
            "10.2.0.17:80,[fd00::1]:80",
            "one of the two addresses is IPv4",
        ),
        (
            "udp",
            "10.96.0.1:80",
            "10.2.0.17:80,10.1.0.9:0",
            "port 0 cannot be served",
        ),
        (
            "tcp",
            "10.96.0.1:80",
            "10.2.0.17:80,10.1.0.9",
            "it has no port",
        ),
        ("tcp", "10.96.0.1", "10.2.0.17,10.1.0.9:80", "it has a port"),
        (
            "tcp",
            "10.96.0.1:80",
            "10.2.0.17:80,10.2.0.17:80",
            "is listed twice",
        ),
        (
            "tcp",
            "10.96.0.1:80",
            "10.2.0.17:80,x",
            "an address is written",
        ),
    ] {
        let mut network = pods();
        let good = ("10.96.0.9:80", "10.2.0.17:80");
        let row = network.balancer("lb", protocol, &[(vip, endpoints), good]);
        group(&mut network, &[row]);
        let compiler = network.compile();
        let messages: Vec<String> = compiler.diagnostics().map(ToString::to_string).collect();
        assert_eq!(messages.len(), 1, "{messages:?}");
        let said = &messages[0];
        assert!(
            said.starts_with("Load_Balancer lb (") && said.contains(" vips: "),
            "{said}"
        );
        assert!(
            said.contains(message) && said.contains(&format!("{vip:?}")),
            "{said}"
        );
        let number = if protocol == "udp" { 17 } else { 6 };
        let to_service = packet(
            (2, 9),
            number,
            side("10.2.0.9", 1234),
            side("10.96.0.9", 80),
        );
        let (found, _) = send(&compiler, "b1", &to_service, Connections::default());
        let expected = "b2: 10.2.0.9:1234 > 10.2.0.17:80".to_owned();
        assert_eq!(found, [expected].into());
    }
}

#[test]
fn what_has_no_endpoints_is_refused_at_once_if_the_row_says_so() {
    let mut network = pods();
    let row = network.balancer("empty", "tcp", &[("10.96.0.2:80", "")]);
    let rejects = ("reject".to_owned(), "true".to_owned());
    let options = &mut network.balancers.get_mut(&row).expect("a row").options;
    options.extend([rejects]);
    group(&mut network, &[row]);
    let to_service = packet((2, 9), 6, side("10.2.0.9", 1234), side("10.96.0.2", 80));
    let (found, _) = send(
        &network.compile(),
        "b1",
        &to_service,
        Connections::default(),
    );
    let expected = "b1: 10.96.0.2:80 > 10.2.0.9:1234".to_owned();
    assert_eq!(found, [expected].into());
}

/// Who answers a client on node 1, and one on node 2, with these options of the load balancer. Node 2 is in zone `z`.
#[track_caller]
fn check_placed(options: &[(&str, &str)], on_first: &[&str], on_second: &[&str]) {
    let (mut network, balancers) = service();
    for balancer in balancers {
        let row = network.balancers.get_mut(&balancer).expect("a row");
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        row.options.extend(options.iter().map(pair));
    }
    let switch = network.switch("hosts");
    let host = network.port(switch, "host2", "0a:58:64:40:00:02 100.64.0.2", 2, 99);
    let row = network.ports.get_mut(&host).expect("just made");
    row.options = [("weft-host".to_owned(), "true".to_owned())].into();
    let ids = [("weft-node", "n2"), ("weft-zone", "z")];
    row.external_ids = ids
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let compiler = network.compile();
    for (port, mac, from, expected) in [
        ("b1", (2, 9), "10.2.0.9", on_first),
        ("a2", (1, 17), "10.1.0.17", on_second),
    ] {
        let to_service = packet(mac, 6, side(from, 1234), side("10.96.0.1", 80));
        let (found, _) = send(&compiler, port, &to_service, Connections::default());
        let names: Vec<&str> = found
            .iter()
            .filter_map(|text| text.split(':').next())
            .collect();
        assert_eq!(names, expected, "{port} with {options:?}");
    }
}

#[test]
fn a_node_uses_the_endpoints_of_its_list_or_of_its_zones_or_all() {
    let all: &[&str] = &["a1", "b2"];
    check_placed(&[], all, all);
    let own = ("weft-node:n1", "10.1.0.9 fd00:1::9");
    check_placed(&[own], &["a1"], all);
    check_placed(&[own, ("weft-local", "true")], &["a1"], &[]);
    let other = ("weft-node:n1", "10.1.0.99");
    check_placed(&[other], all, all);
    check_placed(&[other, ("weft-local", "true")], &[], &[]);
    check_placed(&[("weft-zone:z", "10.2.0.17")], all, &["b2"]);
    check_placed(&[own, ("weft-zone:z", "10.1.0.9")], &["a1"], &["a1"]);
}

#[test]
fn a_port_that_may_send_from_any_address_reaches_services_too() {
    let (mut network, _) = service();
    for row in network.ports.values_mut() {
        row.port_security.clear();
    }
    let to_service = packet((2, 9), 6, side("10.2.0.9", 1234), side("10.96.0.1", 80));
    let (found, _) = send(
        &network.compile(),
        "b1",
        &to_service,
        Connections::default(),
    );
    assert_eq!(found.len(), 2, "{found:?}");
}
