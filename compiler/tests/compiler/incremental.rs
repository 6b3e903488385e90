//! What the compiler has after any changes is what it would have made of the result alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;
use weft_compiler::{Binding, Compiler, Input, Ofport, Options};

use crate::network::{Network, Switches, node_name, set};

/// One change: what, and three numbers to choose with.
type Step = (u8, u8, u8, u8);

fn pick<T: Clone>(from: impl Iterator<Item = T>, number: u8) -> Option<T> {
    let all: Vec<T> = from.collect();
    all.get(usize::from(number).checked_rem(all.len())?)
        .cloned()
}

fn mac(number: u8) -> String {
    format!("0a:58:0a:00:00:{:02x}", number % 12)
}

/// Addresses of few values, so that they collide.
fn addresses(number: u8) -> String {
    let (net, host) = (number % 3, number % 7 + 2);
    // MACs of which some follow from addresses, and some from another's.
    let derived = format!("0a:58:0a:{net:02x}:00:{host:02x}");
    match number % 8 {
        5 => format!("{derived} 10.{net}.0.{host}"),
        6 => format!("{derived} 10.{net}.0.{host} fd00:{net}::a0{net}:{host}"),
        7 => format!("{derived} fd00:{net}::a0{net}:{host}"),
        0 => format!("{} 10.{net}.0.{host}", mac(number)),
        1 => format!("{} 10.{net}.0.{host} fd00:{net}::{host}", mac(number)),
        2 => format!("{} fd00:{net}::{host}", mac(number)),
        3 => mac(number),
        _ => format!("{} 10.{net}.0.{host} 192.168.9.{host}", mac(number)),
    }
}

fn networks(number: u8) -> Vec<String> {
    let net = number % 3;
    match number % 4 {
        0 => vec![format!("10.{net}.0.1/24")],
        1 => vec![
            format!("10.{net}.0.1/29"),
            format!("10.{net}.0.9/29"),
            format!("fd00:{net}::1/64"),
        ],
        2 => vec![format!("10.{net}.0.1/24"), format!("fd00:{net}::1/64")],
        _ => vec!["10.0.0.1/14".to_owned()],
    }
}

fn apply(network: &mut Network, (what, a, b, c): Step) {
    let switch = pick(network.switches.keys().copied(), a);
    let router = pick(network.routers.keys().copied(), b);
    let port = pick(network.ports.keys().copied(), c);
    match (what % 47, switch, router, port) {
        (0, ..) => network.node(usize::from(a % 3) + 1),
        (1, ..) if c % 3 == 0 => drop(network.nodes.remove(&node_name(usize::from(a % 3) + 1))),
        (2, ..) => drop(network.switch(&format!("s{}", a % 4))),
        (3, Some(switch), ..) if c % 4 == 0 => {
            for port in network.switches.remove(&switch).expect("picked").ports {
                network.ports.remove(&port);
            }
        }
        (4, ..) => drop(network.router(&format!("r{}", a % 2))),
        (5, _, Some(router), _) if c % 4 == 0 => {
            let row = network.routers.remove(&router).expect("picked");
            row.ports
                .iter()
                .for_each(|port| drop(network.router_ports.remove(port)));
            row.static_routes
                .iter()
                .for_each(|route| drop(network.routes.remove(route)));
        }
        (6..=9, Some(switch), ..) => {
            let name = format!("p{}", b % 14);
            if !network.ports.values().any(|row| row.name == name) {
                let node = usize::from(c % 4);
                network.port(
                    switch,
                    &name,
                    &addresses(b ^ c),
                    node,
                    u16::from(b % 14) + 1,
                );
            }
        }
        (10, _, _, Some(port)) => network.remove_port(port),
        (11, ..) => {
            let binding = Binding {
                node: node_name(usize::from(b % 3) + 1),
                ofport: Ofport::new(u16::from(c % 20) + 1).expect("in range"),
            };
            network
                .bindings
                .insert(Arc::from(format!("p{}", a % 14)), binding);
        }
        (12, ..) => drop(network.bindings.remove(format!("p{}", a % 14).as_str())),
        (13, _, _, Some(port)) => {
            let row = network.ports.get_mut(&port).expect("picked");
            if row.kind.is_empty() {
                row.addresses = set([&addresses(a)]);
                if b % 5 == 0 {
                    row.addresses.insert("unknown".to_owned());
                }
            }
        }
        (14, _, _, Some(port)) => {
            let row = network.ports.get_mut(&port).expect("picked");
            row.enabled = (a % 3 == 0).then_some(false);
            if b % 2 == 0 {
                row.port_security = row.addresses.clone();
            } else {
                row.port_security.clear();
            }
        }
        (15 | 16, Some(switch), Some(router), _) => {
            let name = network.switches[&switch].name.clone();
            if !network
                .router_ports
                .values()
                .any(|row| row.name == format!("lrp-{name}"))
            {
                let port = network.join(
                    router,
                    switch,
                    &format!("0a:58:00:00:01:{:02x}", c % 5),
                    ["10.9.9.9/32"],
                );
                network
                    .router_ports
                    .get_mut(&port)
                    .expect("just made")
                    .networks = networks(c).into_iter().collect();
            }
        }
        (17, ..) => {
            if let Some(port) = pick(network.router_ports.keys().copied(), a) {
                let row = network.router_ports.get_mut(&port).expect("picked");
                row.networks = networks(b).into_iter().collect();
                row.enabled = (c % 4 == 0).then_some(false);
            }
        }
        (18, _, Some(router), _) => {
            let next_hop = match a % 4 {
                0 => "discard".to_owned(),
                _ => format!("10.{}.0.{}", b % 3, c % 7 + 2),
            };
            let policy = (a % 5 == 4).then_some("src-ip");
            let route = network.route_by(router, policy, &prefix(a, b, c), &next_hop);
            if b % 3 == 0 {
                network.only_on(route, 1 + usize::from(c % 3));
            }
        }
        (19, ..) => {
            if let Some(route) = pick(network.routes.keys().copied(), a) {
                network.routes.remove(&route);
                let without = |routes: &mut Vec<Uuid>| routes.retain(|listed| *listed != route);
                network
                    .routers
                    .values_mut()
                    .for_each(|row| without(&mut row.static_routes));
            }
        }
        (20, Some(switch), ..) => {
            network.switches.get_mut(&switch).expect("picked").name = format!("s{}", b % 5);
        }
        (21, ..) => {
            if let Some(route) = pick(network.routes.keys().copied(), a) {
                let row = network.routes.get_mut(&route).expect("picked");
                match b % 2 {
                    0 => row.ip_prefix = prefix(a, c, b),
                    _ => row.nexthop = format!("10.{}.0.{}", b % 3, c % 7 + 2),
                }
            }
        }
        (22, ..) => {
            if let Some(node) = pick(network.nodes.keys().cloned(), a) {
                let encap_ip = format!("172.30.{}.{}", b % 2, a % 3 + 1);
                network.nodes.get_mut(&node).expect("picked").encap_ip =
                    encap_ip.parse().expect("an address");
            }
        }
        (23, ..) => join_routers(network, a, b),
        (24, Some(switch), _, Some(port)) => {
            let ports = &mut network.switches.get_mut(&switch).expect("picked").ports;
            match ports.iter().position(|listed| *listed == port) {
                Some(at) => drop(ports.remove(at)),
                None => ports.push(port),
            }
        }
        (25, _, _, Some(port)) => {
            network.ports.get_mut(&port).expect("picked").name = format!("p{}", b % 14);
        }
        (26, _, Some(router), _) => {
            if let Some(port) = pick(network.router_ports.keys().copied(), a) {
                let ports = &mut network.routers.get_mut(&router).expect("picked").ports;
                match ports.iter().position(|listed| *listed == port) {
                    Some(at) => drop(ports.remove(at)),
                    None => ports.push(port),
                }
            }
        }
        (27, _, _, Some(port)) => {
            let to = pick(network.router_ports.values().map(|row| row.name.clone()), a);
            let row = network.ports.get_mut(&port).expect("picked");
            if let (false, Some(to)) = (row.kind.is_empty(), to) {
                row.options.insert("router-port".to_owned(), to);
            }
        }
        (28, _, _, Some(port)) => {
            let row = network.ports.get_mut(&port).expect("picked");
            if row.kind.is_empty() && !row.addresses.remove("unknown") {
                row.addresses.insert("unknown".to_owned());
            }
        }
        (29, _, Some(router), _) => {
            // To a port there is, or may be.
            let hop = format!("10.{}.0.{}", a % 3, c % 7 + 2);
            network.route(router, &prefix(a, b, 0), &hop);
        }
        (30, _, _, Some(port)) => {
            let row = network.ports.get_mut(&port).expect("picked");
            if row.kind.is_empty() {
                row.port_security.clear();
            }
        }
        (31, Some(switch), ..) => {
            let name = format!("p{}", b % 14);
            if !network.ports.values().any(|row| row.name == name) {
                network.loose_port(
                    switch,
                    &name,
                    &addresses(c),
                    usize::from(c % 3) + 1,
                    u16::from(b % 14) + 1,
                );
            }
        }
        (32, _, _, Some(port)) => {
            let row = network.ports.get_mut(&port).expect("picked");
            if row.kind.is_empty() {
                let parent = format!("p{}", a % 14);
                row.parent_name = (c % 4 != 0 && parent != row.name).then_some(parent);
                row.tag = (b % 4 != 0).then_some(i64::from(b % 4));
                row.addresses = set(["dynamic"]);
                row.dynamic_addresses = (a % 5 != 0).then(|| addresses(a));
            }
        }
        (33, Some(switch), ..) => {
            let name = format!("ln{}", b % 3);
            if !network.ports.values().any(|row| row.name == name) {
                let tag = (c % 3 != 0).then_some(i64::from(c % 3));
                let port = network.localnet(switch, &name, "net", tag);
                let row = network.ports.get_mut(&port).expect("just made");
                if a % 4 == 0 {
                    row.addresses = set([&addresses(c)]);
                }
                // On every node at first.
                (1..=3).for_each(|node| network.plug(node, &name, 30 + u16::from(b % 3)));
            }
        }
        (34 | 35, ..) => {
            let (node, name) = (usize::from(a % 3) + 1, format!("ln{}", b % 3));
            match c % 3 {
                0 => drop(network.plugs.remove(&(node_name(node), Arc::from(name)))),
                _ => network.plug(node, &name, 30 + u16::from(c % 5)),
            }
        }
        (36, _, _, Some(port)) => {
            let row = network.ports.get_mut(&port).expect("picked");
            if row.kind == "localnet" {
                row.tag = (b % 3 != 0).then_some(i64::from(b % 3));
                row.addresses = set([if a % 2 == 0 {
                    "unknown"
                } else {
                    "0a:58:0a:00:00:0b"
                }]);
                row.enabled = (c % 4 == 0).then_some(false);
            }
        }
        (37..=42, switch, ..) => balance(network, what % 47 - 37, switch, (a, b, c)),
        (43..=46, _, Some(router), _) => translate(network, what % 47 - 43, router, (a, b, c)),
        _ => {}
    }
}

/// Changes something about load balancers: few, with few addresses, so that they meet.
fn balance(network: &mut Network, what: u8, switch: Option<Uuid>, (a, b, c): (u8, u8, u8)) {
    let balancer = pick(network.balancers.keys().copied(), a);
    match (what, switch, balancer) {
        (0, ..) => {
            let protocol = ["tcp", "udp", "sctp"][usize::from(b % 3)];
            network.balancer(&format!("lb{}", a % 4), protocol, &[]);
        }
        (1, _, Some(balancer)) => {
            let row = network.balancers.get_mut(&balancer).expect("picked");
            let endpoints: Vec<String> = (0..b % 4)
                .map(|number| match c % 3 {
                    0 => format!("[fd00:{number}::2]:{}", 80 + c % 2),
                    _ => format!("10.{number}.0.{}:{}", c % 7 + 2, 80 + c % 2),
                })
                .collect();
            let vip = match (c % 3, b % 5) {
                (_, 4) => "10.96.0.9".to_owned(),
                (0, _) => format!("[fd96::{}]:80", a % 3),
                _ => format!("10.96.0.{}:80", a % 3),
            };
            row.vips.insert(vip, endpoints.join(","));
        }
        (2, _, Some(balancer)) => {
            let row = network.balancers.get_mut(&balancer).expect("picked");
            let vip = pick(row.vips.keys().cloned(), b);
            vip.map(|vip| row.vips.remove(&vip));
            if c % 3 == 0 {
                network.balancers.remove(&balancer);
            } else if c % 3 == 1 {
                let hairpin = format!("169.254.77.{} fd69::4", b % 2 + 4);
                row.options.insert("hairpin_snat_ip".to_owned(), hairpin);
            }
        }
        (3, _, Some(balancer)) => {
            let group = network.balancer_group(&format!("g{}", b % 2), &[]);
            let all = network.balancers.keys().copied();
            let members = all
                .filter(|other| *other == balancer || c % 2 == 0)
                .collect();
            let group = network.balancer_groups.get_mut(&group).expect("just made");
            group.load_balancer = members;
        }
        (4, Some(switch), balancer) => {
            let group = pick(network.balancer_groups.keys().copied(), b);
            let row = network.switches.get_mut(&switch).expect("picked");
            let toggle = |list: &mut Vec<Uuid>, row: Option<Uuid>| {
                let Some(row) = row else { return };
                match list.iter().position(|listed| *listed == row) {
                    Some(at) => drop(list.remove(at)),
                    None => list.push(row),
                }
            };
            match c % 2 {
                0 => toggle(&mut row.load_balancer, balancer),
                _ => toggle(&mut row.load_balancer_group, group),
            }
        }
        (_, _, Some(balancer)) => {
            let row = network.balancers.get_mut(&balancer).expect("picked");
            let field = ["ip_src", "ip_dst", "tp_src", "tp_dst"][usize::from(b % 4)].to_owned();
            if !row.selection_fields.remove(&field) {
                row.selection_fields.insert(field);
            }
            let list = format!("weft-node:n{}", c % 3 + 1);
            match b % 3 {
                0 => drop(row.options.insert(list, format!("10.{}.0.2", c % 3))),
                1 => drop(row.options.remove(&list)),
                _ => drop(
                    row.options
                        .insert("weft-local".to_owned(), (c % 2 == 0).to_string()),
                ),
            }
        }
        _ => {}
    }
}

/// A destination among few.
fn prefix(a: u8, b: u8, c: u8) -> String {
    format!("10.{}.{}.0/{}", a % 3, b % 2, 16 + c % 9)
}

/// Makes two ports of routers the ends of one link, or ends the link that the first has.
fn join_routers(network: &mut Network, a: u8, b: u8) {
    let names: Vec<String> = network
        .router_ports
        .values()
        .map(|row| row.name.clone())
        .collect();
    let (Some(one), Some(other)) = (pick(names.iter(), a), pick(names.iter(), b)) else {
        return;
    };
    for (from, to) in [(one, other), (other, one)] {
        let mut rows = network.router_ports.values_mut();
        if let Some(row) = rows.find(|row| row.name == *from) {
            row.peer = (one != other && row.peer.is_none()).then(|| to.clone());
        }
    }
}

/// Something to begin with: two tenants with the same addresses, one of them with two switches, and a switch alone. So that changes meet
/// what they can change.
fn populated() -> Network {
    let mut network = Network::default();
    (1..=3).for_each(|node| network.node(node));
    let routers = [network.router("r0"), network.router("r1")];
    let networks: [&[&str]; 3] = [
        &["10.0.0.1/29", "10.0.0.9/29", "fd00:0::1/64"],
        &["10.1.0.1/24", "fd00:1::1/64"],
        &["10.0.0.1/24", "fd00:0::1/64"],
    ];
    for (number, router) in [(0u8, Some(0)), (1, Some(0)), (2, Some(1)), (3, None)] {
        let switch = network.switch(&format!("s{number}"));
        if let Some(router) = router {
            let mac = format!("0a:58:00:00:01:{number:02x}");
            let port = network.join(routers[router], switch, &mac, ["10.9.9.9/32"]);
            let row = network.router_ports.get_mut(&port).expect("just made");
            row.networks = networks[usize::from(number)]
                .iter()
                .map(|text| (*text).to_owned())
                .collect();
        }
        let net = if number == 2 { 0 } else { number };
        for host in 2..5u8 {
            let (name, index) = (format!("p{}", number * 3 + host - 2), number * 3 + host);
            let addresses =
                format!("0a:58:0a:0{net}:00:0{host} 10.{net}.0.{host} fd00:{net}::{host}");
            network.port(
                switch,
                &name,
                &addresses,
                usize::from(host) - 1,
                u16::from(index),
            );
        }
    }
    let vips = [
        ("10.96.0.1:80", "10.0.0.2:80,10.1.0.3:80"),
        ("[fd96::1]:80", "[fd00:1::2]:80"),
    ];
    let balancers = [
        network.balancer("lb0", "tcp", &vips),
        network.balancer("lb1", "udp", &vips),
    ];
    let group = network.balancer_group("g0", &balancers);
    for switch in network.switches.values_mut().take(3) {
        switch.load_balancer_group.push(group);
    }
    network.route(routers[0], "10.2.0.0/24", "10.0.0.2");
    network.route(routers[1], "0.0.0.0/0", "10.0.0.4");
    network
}

/// Compares all that can be seen of two compilers.
fn check_equal(
    one: &Compiler,
    other: &Compiler,
    switches: &Switches,
    network: &Network,
) -> Result<(), TestCaseError> {
    for node in network.nodes.keys() {
        let (left, right) = (
            one.desired(node).expect("a node"),
            other.desired(node).expect("a node"),
        );
        let flows = |state: &weft_compiler::NodeState| -> BTreeMap<_, _> {
            state
                .flows()
                .map(|flow| (flow.key().decode(), (flow.flow(), flow.add().clone())))
                .collect()
        };
        let (left_flows, right_flows) = (flows(left), flows(right));
        for (key, flow) in &left_flows {
            prop_assert_eq!(
                Some(flow),
                right_flows.get(key),
                "{} has what it should not: {:?}",
                node,
                key
            );
        }
        for (key, flow) in &right_flows {
            prop_assert_eq!(Some(flow), left_flows.get(key), "{} lacks {:?}", node, key);
        }
        let groups = |state: &weft_compiler::NodeState| -> BTreeMap<_, _> {
            state
                .groups()
                .iter()
                .map(|(id, group)| (*id, group.group.clone()))
                .collect()
        };
        prop_assert_eq!(groups(left), groups(right));
        // What was sent adds up to what is wanted.
        let sent: BTreeMap<_, _> = switches.flows.get(node).cloned().unwrap_or_default();
        let wanted: BTreeMap<_, _> = right_flows
            .into_iter()
            .map(|(key, (flow, _))| (key, flow))
            .collect();
        prop_assert_eq!(sent, wanted);
        prop_assert_eq!(
            switches.groups.get(node).cloned().unwrap_or_default(),
            groups(right)
        );
    }
    prop_assert_eq!(one.view().lflow_list(None), other.view().lflow_list(None));
    let all = |compiler: &Compiler| compiler.diagnostics().cloned().collect::<Vec<_>>();
    prop_assert_eq!(all(one), all(other));
    Ok(())
}

fn check(
    is_populated: bool,
    steps: &[(Step, bool, u8)],
    options: Options,
) -> Result<(), TestCaseError> {
    let mut network = Network::default();
    (1..=3).for_each(|node| network.node(node));
    if is_populated {
        network = populated();
    }
    let mut told = Network::default();
    let mut compiler = Compiler::new(options);
    let mut switches = Switches::default();
    for (step, is_compiled, order) in steps {
        apply(&mut network, *step);
        if *is_compiled {
            let mut changes: Vec<Input> = network.changes_since(&told);
            if !changes.is_empty() {
                let middle = usize::from(*order) % changes.len();
                changes.rotate_left(middle);
            }
            changes
                .into_iter()
                .for_each(|change| compiler.apply(change));
            told = network.clone();
            let compilation = compiler.compile();
            switches.apply(&compilation);
            // A node that went took its flows with it.
            switches
                .flows
                .retain(|node, _| told.nodes.contains_key(node));
            switches
                .groups
                .retain(|node, _| told.nodes.contains_key(node));
        }
    }
    network
        .changes_since(&told)
        .into_iter()
        .for_each(|change| compiler.apply(change));
    switches.apply(&compiler.compile());
    switches
        .flows
        .retain(|node, _| network.nodes.contains_key(node));
    switches
        .groups
        .retain(|node, _| network.nodes.contains_key(node));
    let (fresh, _) = network.compile_with(options);
    check_equal(&compiler, &fresh, &switches, &network)
}

/// Routers on one node, translations and MACs that are told, of few values.
fn translate(network: &mut Network, what: u8, router: Uuid, (a, b, c): (u8, u8, u8)) {
    match what {
        0 => {
            let row = network.routers.get_mut(&router).expect("picked");
            match a % 4 {
                0 => drop(row.options.remove("chassis")),
                node => drop(row.options.insert("chassis".to_owned(), format!("n{node}"))),
            }
        }
        1 => {
            let kind = ["snat", "dnat", "dnat_and_snat"][usize::from(a % 3)];
            let (external, logical) = match b % 4 {
                0 => (format!("fd00:{}::{}", c % 3, c % 5), "fd00:1::3".to_owned()),
                1 => (
                    format!("10.{}.0.{}", c % 3, c % 5),
                    "10.1.0.0/24".to_owned(),
                ),
                _ => (
                    format!("10.{}.0.{}", c % 3, c % 5),
                    format!("10.1.0.{}", a % 5),
                ),
            };
            network.nat(router, kind, &external, &logical);
        }
        2 => {
            if let Some(nat) = pick(network.nats.keys().copied(), a) {
                network.nats.remove(&nat);
                for row in network.routers.values_mut() {
                    row.nat.retain(|listed| *listed != nat);
                }
            }
        }
        _ => {
            let (port, ip) = (
                format!("lrp-s{}", a % 4),
                format!("10.{}.0.{}", b % 3, b % 9),
            );
            let binding = network.mac_binding(&port, &ip, &mac(c));
            if c % 3 == 0 {
                network.mac_bindings.remove(&binding);
            }
        }
    }
}

fn step() -> impl Strategy<Value = (Step, bool, u8)> {
    (any::<Step>(), prop::bool::weighted(0.5), any::<u8>())
}

/// Each case is a long sequence of changes. PROPTEST_CASES asks for more.
fn fewer_cases() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        cases: usual.cases / 4,
        ..usual
    }
}

proptest! {
    #![proptest_config(fewer_cases())]

    #[test]
    fn incremental_is_from_scratch(is_populated in prop::bool::weighted(0.7), steps in prop::collection::vec(step(), 1..90)) {
        check(is_populated, &steps, Options::default())?;
    }

    #[test]
    fn incremental_is_from_scratch_without_the_plain_path(is_populated in prop::bool::weighted(0.7), steps in prop::collection::vec(step(), 1..60)) {
        check(is_populated, &steps, Options { plain_path: false, ..Options::default() })?;
    }
}

#[test]
fn what_is_taken_away_again_leaves_nothing() {
    let mut network = Network::default();
    network.node(1);
    network.node(2);
    let mut compiler = Compiler::new(Options::default());
    network
        .changes_since(&Network::default())
        .into_iter()
        .for_each(|change| compiler.apply(change));
    compiler.compile();
    let empty = network.clone();
    let before: Vec<usize> = [1, 2]
        .map(|node| {
            compiler
                .desired(&node_name(node))
                .expect("a node")
                .flow_count()
        })
        .to_vec();
    let (lan, router) = (network.switch("lan"), network.router("r"));
    network.join(
        router,
        lan,
        "0a:58:00:00:00:01",
        ["10.0.0.1/24", "fd00::1/64"],
    );
    network.port(lan, "red", "0a:58:0a:00:00:02 10.0.0.2 fd00::2", 1, 5);
    network.port(lan, "blue", "0a:58:0a:00:00:03 10.0.0.3 fd00::3", 2, 5);
    network.route(router, "0.0.0.0/0", "10.0.0.3");
    network
        .changes_since(&empty)
        .into_iter()
        .for_each(|change| compiler.apply(change));
    assert!(
        compiler.compile().changed.len() == 2,
        "both nodes have something to do"
    );
    empty
        .changes_since(&network)
        .into_iter()
        .for_each(|change| compiler.apply(change));
    compiler.compile();
    let after: Vec<usize> = [1, 2]
        .map(|node| {
            compiler
                .desired(&node_name(node))
                .expect("a node")
                .flow_count()
        })
        .to_vec();
    assert_eq!(before, after);
    assert!(
        compiler
            .desired(&node_name(1))
            .expect("a node")
            .groups()
            .is_empty()
    );
    assert_eq!(
        compiler.view().lflow_list(None),
        empty.compile().view().lflow_list(None)
    );
}
