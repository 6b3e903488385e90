//! How much work a change is, and how many flows a node gets, at the size of a small cluster.

use weft_compiler::{Compiler, Options};

use crate::network::{Network, node_name};

const NAMESPACES: usize = 50;
const NODES: usize = 20;
/// Pods of a namespace on a node.
const PODS: usize = 2;

fn ipv4(bits: usize) -> String {
    let bits = u32::try_from(bits).expect("an address");
    std::net::Ipv4Addr::from_bits(bits).to_string()
}

fn mac(bits: usize) -> String {
    let [a, b, c, d] = u32::try_from(bits).expect("an address").to_be_bytes();
    format!("0a:58:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// First address of a node's aggregate: a /22 each.
fn aggregate(node: usize) -> usize {
    (10 << 24) + (128 << 16) + (node << 10)
}

/// First address of a namespace's block on a node.
fn block(namespace: usize, node: usize) -> usize {
    aggregate(node) + namespace * 8
}

/// The address families of a cluster.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Families {
    Ipv4,
    Both,
}

/// The low 32 bits of a pod's IPv6 address are its IPv4 address.
fn ipv6(bits: usize) -> String {
    let bits = u128::try_from(bits).expect("an address");
    std::net::Ipv6Addr::from_bits((0xfd77_6566_7400 << 80) | bits).to_string()
}

fn add_pod(network: &mut Network, families: Families, namespace: usize, node: usize, pod: usize) {
    let bits = block(namespace, node) + 1 + pod;
    let mut addresses = format!("{} {}", mac(bits), ipv4(bits));
    if families == Families::Both {
        addresses += &format!(" {}", ipv6(bits));
    }
    let switch = network.switch_named(&format!("ns{namespace}"));
    let ofport = u16::try_from(namespace * 8 + pod + 1).expect("a port");
    let name = format!("ns{namespace}_pod{node}-{pod}");
    network.port(switch, &name, &addresses, node, ofport);
}

/// As northd writes it: a /29 for each namespace on each node, pods in them, gateways their first addresses.
fn cluster(families: Families) -> Network {
    let mut network = Network::default();
    (1..=NODES).for_each(|node| network.node(node));
    let router = network.router("cluster");
    for namespace in 0..NAMESPACES {
        let switch = network.switch(&format!("ns{namespace}"));
        let port = network.join(
            router,
            switch,
            &mac((100 << 24) + namespace),
            ["192.168.0.1/32"],
        );
        let row = network.router_ports.get_mut(&port).expect("just made");
        row.networks.clear();
        for bits in (1..=NODES).map(|node| block(namespace, node)) {
            row.networks.insert(format!("{}/29", ipv4(bits)));
            if families == Families::Both {
                row.networks.insert(format!("{}/125", ipv6(bits)));
            }
        }
        for node in 1..=NODES {
            (0..PODS).for_each(|pod| add_pod(&mut network, families, namespace, node, pod));
        }
    }
    network
}

/// As by hand: a /24 for each switch, its pods dealt out to the nodes in turn.
fn by_hand() -> Network {
    let mut network = Network::default();
    (1..=NODES).for_each(|node| network.node(node));
    let router = network.router("router");
    for number in 0..NAMESPACES {
        let switch = network.switch(&format!("ls{number}"));
        let base = (10 << 24) + (number << 8);
        network.join(
            router,
            switch,
            &mac((100 << 24) + number),
            [&format!("{}/24", ipv4(base + 1))],
        );
        for pod in 0..NODES * PODS {
            let node = pod % NODES + 1;
            let ofport = u16::try_from(number * PODS + pod / NODES + 1).expect("a port");
            let addresses = format!("{} {}", mac(base + 2 + pod), ipv4(base + 2 + pod));
            network.port(
                switch,
                &format!("ls{number}-{pod}"),
                &addresses,
                node,
                ofport,
            );
        }
    }
    network
}

fn most_flows(compiler: &Compiler) -> usize {
    let counts = (1..=NODES).map(|node| {
        compiler
            .desired(&node_name(node))
            .expect("a node")
            .flow_count()
    });
    counts.max().expect("nodes")
}

#[test]
fn one_pod_more_among_two_thousand_recompiles_three_units_and_sends_to_one_node() {
    // Flows on a node, and flows of the pod, in each case.
    for (families, flows_max, encoded_max) in
        [(Families::Ipv4, 1200, 10), (Families::Both, 1500, 10)]
    {
        let mut network = cluster(families);
        assert_eq!(network.bindings.len(), 2000);
        let (mut compiler, first) = network.compile_with(Options::default());
        assert_eq!(compiler.diagnostics().count(), 0);
        let most = most_flows(&compiler);
        assert!(most <= flows_max, "{most} flows on a node");
        let before = network.clone();
        add_pod(&mut network, families, 7, 3, PODS);
        network
            .changes_since(&before)
            .into_iter()
            .for_each(|change| compiler.apply(change));
        let compilation = compiler.compile();
        let nodes: Vec<_> = compilation.changed.keys().cloned().collect();
        assert_eq!(nodes, [node_name(3)]);
        let statistics = compilation.statistics;
        assert!(statistics.units_compiled <= 3, "{statistics:?}");
        assert!(statistics.flows_encoded < encoded_max, "{statistics:?}");
        assert!(
            statistics.cells_computed < 40,
            "{statistics:?} of {:?}",
            first.statistics
        );
    }
}

#[test]
fn one_pod_less_sends_to_one_node_and_compiles_hardly_anything() {
    let mut network = cluster(Families::Ipv4);
    let (mut compiler, _) = network.compile_with(Options::default());
    let before = network.clone();
    let port = *network
        .ports
        .iter()
        .find(|(_, row)| row.name == "ns7_pod3-1")
        .expect("a pod")
        .0;
    network.remove_port(port);
    network
        .changes_since(&before)
        .into_iter()
        .for_each(|change| compiler.apply(change));
    let compilation = compiler.compile();
    assert_eq!(compilation.changed.len(), 1);
    assert!(
        compilation.statistics.units_compiled <= 3,
        "{:?}",
        compilation.statistics
    );
}

#[test]
fn a_cluster_by_hand_keeps_within_its_flows() {
    let (compiler, _) = by_hand().compile_with(Options::default());
    assert_eq!(compiler.diagnostics().count(), 0);
    let most = most_flows(&compiler);
    assert!(most <= 3500, "{most} flows on a node");
}

#[test]
fn a_node_without_ports_of_a_network_gets_none_of_its_flows() {
    let mut network = Network::default();
    (1..=3).for_each(|node| network.node(node));
    let empty = network.compile();
    let idle = empty.desired(&node_name(3)).expect("a node").flow_count();
    let (lan, router) = (network.switch("lan"), network.router("r"));
    network.join(router, lan, "0a:58:00:00:00:01", ["10.0.0.1/24"]);
    network.port(lan, "red", "0a:58:0a:00:00:02 10.0.0.2", 1, 5);
    network.port(lan, "blue", "0a:58:0a:00:00:03 10.0.0.3", 2, 5);
    for plain_path in [true, false] {
        let (compiler, _) = network.compile_with(Options {
            plain_path,
            ..Options::default()
        });
        let state = compiler.desired(&node_name(3)).expect("a node");
        assert_eq!(state.flow_count(), idle);
        assert!(state.groups().is_empty());
    }
}
