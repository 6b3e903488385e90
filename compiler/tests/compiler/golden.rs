//! Logical flows and OpenFlow of small topologies, to be read as code.

use std::collections::BTreeSet;

use weft_compiler::{NodeName, Options};

use crate::network::{Network, dump};

/// One switch over two nodes, two ports.
fn lan() -> Network {
    let mut network = Network::default();
    network.node(1);
    network.node(2);
    let lan = network.switch("lan");
    network.port(lan, "red", "0a:58:0a:00:00:02 10.0.0.2", 1, 5);
    network.port(lan, "blue", "0a:58:0a:00:00:03 10.0.0.3", 2, 6);
    network
}

/// Two namespaces as northd makes them, IPv4 and IPv6: a block each, on a node each.
fn pods() -> Network {
    let mut network = Network::default();
    network.node(1);
    network.node(2);
    let (shop, office, router) = (
        network.switch("shop"),
        network.switch("office"),
        network.router("cluster"),
    );
    network.join(
        router,
        shop,
        "0a:58:a9:fe:4d:01",
        ["10.128.0.8/29", "fd00::a80:8/125"],
    );
    network.join(
        router,
        office,
        "0a:58:a9:fe:4d:02",
        ["10.128.1.8/29", "fd00::a80:108/125"],
    );
    network.port(
        shop,
        "shop_web",
        "0a:58:0a:80:00:09 10.128.0.9 fd00::a80:9",
        1,
        5,
    );
    network.port(
        office,
        "office_pc",
        "0a:58:0a:80:01:09 10.128.1.9 fd00::a80:109",
        2,
        6,
    );
    network
}

/// Two routers joined by their ports, a switch each with a port that may say anything, and a way out.
fn routers() -> Network {
    let mut network = Network::default();
    network.node(1);
    network.node(2);
    let (left, right) = (network.switch("left"), network.switch("right"));
    let (west, east) = (network.router("west"), network.router("east"));
    network.join(west, left, "0a:58:00:00:00:01", ["10.1.0.1/24"]);
    network.join(east, right, "0a:58:00:00:00:02", ["10.2.0.1/24"]);
    let one = network.router_port(west, "west-east", "0a:58:00:00:00:03", ["10.9.0.1/30"]);
    let two = network.router_port(east, "east-west", "0a:58:00:00:00:04", ["10.9.0.2/30"]);
    network.router_ports.get_mut(&one).expect("just made").peer = Some("east-west".to_owned());
    network.router_ports.get_mut(&two).expect("just made").peer = Some("west-east".to_owned());
    network.route(west, "10.2.0.0/16", "10.9.0.2");
    network.route(east, "0.0.0.0/0", "10.9.0.1");
    network.route(east, "10.3.0.0/16", "discard");
    network.loose_port(left, "a", "0a:00:00:00:00:0a 10.1.0.2", 1, 1);
    let b = network.port(right, "b", "0a:00:00:00:00:0b 10.2.0.2", 2, 1);
    network
        .ports
        .get_mut(&b)
        .expect("just made")
        .addresses
        .insert("unknown".to_owned());
    network
}

/// Two routers with two links between them, two subnets on a port, and every kind of static route.
fn ways() -> Network {
    let mut network = Network::default();
    network.node(1);
    network.node(2);
    let (left, right) = (network.switch("left"), network.switch("right"));
    let (west, east) = (network.router("west"), network.router("east"));
    network.join(
        west,
        left,
        "0a:58:00:00:00:01",
        ["10.1.0.1/24", "10.1.1.1/24", "fd01::1/64"],
    );
    network.join(
        east,
        right,
        "0a:58:00:00:00:02",
        ["10.2.0.1/24", "fd02::1/64"],
    );
    for (link, number) in [("one", 1), ("two", 2)] {
        for (router, other, end) in [("west", "east", 1), ("east", "west", 2)] {
            let port = network.router_port(
                if router == "west" { west } else { east },
                &format!("{router}-{link}"),
                &format!("0a:58:00:00:0{end}:0{number}"),
                ["10.9.9.9/32"],
            );
            let row = network.router_ports.get_mut(&port).expect("just made");
            row.networks = BTreeSet::from([
                format!("10.9.{number}.{end}/30"),
                format!("fd09:{number}::{end}/64"),
            ]);
            row.peer = Some(format!("{other}-{link}"));
        }
        network.route(west, "10.2.0.0/16", &format!("10.9.{number}.2"));
        network.route(west, "fd02::/64", &format!("fd09:{number}::2"));
    }
    network.route_by(west, Some("src-ip"), "10.1.1.0/24", "10.9.2.2");
    network.route(west, "10.2.9.0/24", "discard");
    network.route(east, "0.0.0.0/0", "10.9.1.1");
    let back = network.route(east, "::/0", "fe80::858:ff:fe00:101");
    let back = network.routes.get_mut(&back).expect("just made");
    back.output_port = Some("east-one".to_owned());
    network.port(left, "a", "0a:00:00:00:00:0a 10.1.0.2 fd01::2", 1, 1);
    network.port(left, "c", "0a:00:00:00:00:0c 10.1.1.2", 1, 2);
    network.port(right, "b", "0a:00:00:00:00:0b 10.2.0.2 fd02::2", 2, 1);
    network
}

/// A port with two others nested in it, on two switches, one of them with addresses that were handed out.
fn nested() -> Network {
    let mut network = Network::default();
    network.node(1);
    network.node(2);
    let (lan, other) = (network.switch("lan"), network.switch("other"));
    network.port(lan, "vm", "0a:58:0a:00:00:02 10.0.0.2", 1, 5);
    network.nested_port(lan, "one", "0a:58:0a:00:00:03 10.0.0.3", "vm", 7);
    let two = network.nested_port(other, "two", "dynamic", "vm", 8);
    let two = network.ports.get_mut(&two).expect("just made");
    two.dynamic_addresses = Some("0a:58:0a:00:01:03 10.0.1.3".to_owned());
    network
}

/// Snapshots of the logical flows, and of OpenFlow on both nodes.
macro_rules! check {
    ($name:literal, $network:expr, $options:expr) => {
        let (compiler, _) = $network.compile_with($options);
        assert_eq!(
            compiler.diagnostics().count(),
            0,
            "{:?}",
            compiler.diagnostics().collect::<Vec<_>>()
        );
        insta::assert_snapshot!(concat!($name, "_logical"), compiler.view().lflow_list(None));
        insta::assert_snapshot!(
            concat!($name, "_n1"),
            dump(&compiler, &NodeName::from("n1"))
        );
        insta::assert_snapshot!(
            concat!($name, "_n2"),
            dump(&compiler, &NodeName::from("n2"))
        );
    };
}

#[test]
fn a_switch_over_two_nodes() {
    check!("lan", lan(), Options::default());
}

#[test]
fn pods_of_two_namespaces_in_a_plain_domain() {
    check!("pods", pods(), Options::default());
}

#[test]
fn the_same_pods_without_the_plain_path() {
    check!(
        "pods_general",
        pods(),
        Options {
            plain_path: false,
            ..Options::default()
        }
    );
}

#[test]
fn routes_of_every_kind() {
    check!("ways", ways(), Options::default());
}

#[test]
fn ports_nested_in_another() {
    check!("nested", nested(), Options::default());
}

#[test]
fn routers_joined_by_their_ports() {
    check!("routers", routers(), Options::default());
}
