//! Bad rows: each gets its message, and the rest of the network what it had.

use std::collections::BTreeMap;

use uuid::Uuid;
use weft_compiler::{Compiler, Options};

use crate::network::{Network, node_name, set};

/// Two switches on a router, a port each on two nodes.
fn good() -> Network {
    let mut network = Network::default();
    (1..=2).for_each(|node| network.node(node));
    let (a, b, router) = (
        network.switch("a"),
        network.switch("b"),
        network.router("r"),
    );
    network.join(router, a, "0a:58:00:00:00:01", ["10.0.1.1/24"]);
    network.join(router, b, "0a:58:00:00:00:02", ["10.0.2.1/24"]);
    network.port(a, "red", "0a:58:0a:00:01:02 10.0.1.2", 1, 1);
    network.port(b, "blue", "0a:58:0a:00:02:02 10.0.2.2", 2, 1);
    network
}

fn messages(compiler: &Compiler) -> Vec<String> {
    let diagnostics = compiler.diagnostics();
    let text = |diagnostic: &weft_compiler::Diagnostic| {
        format!(
            "{} {} {}: {}",
            diagnostic.table, diagnostic.name, diagnostic.column, diagnostic.message
        )
    };
    diagnostics.map(text).collect()
}

/// What `spoil` does to the good network gets exactly `message`, and every flow of the good network is there still.
#[track_caller]
fn check(spoil: impl FnOnce(&mut Network), message: &str) {
    let network = good();
    let before = network.compile();
    assert_eq!(messages(&before), [""; 0]);
    let mut spoilt = network.clone();
    spoil(&mut spoilt);
    let mut compiler = network.compile();
    spoilt
        .changes_since(&network)
        .into_iter()
        .for_each(|change| compiler.apply(change));
    let compilation = compiler.compile();
    assert_eq!(messages(&compiler), [message]);
    assert_eq!(compilation.diagnostics_added.len(), 1);
    for node in [1, 2].map(node_name) {
        let (old, new) = (
            before.desired(&node).expect("a node"),
            compiler.desired(&node).expect("a node"),
        );
        for flow in old.flows() {
            let kept = new
                .flow(flow.key())
                .unwrap_or_else(|| panic!("{node} lost {:?}", flow.flow()));
            assert_eq!(kept.flow(), flow.flow());
        }
    }
    // Once it is put right, nothing is left of it.
    network
        .changes_since(&spoilt)
        .into_iter()
        .for_each(|change| compiler.apply(change));
    assert_eq!(compiler.compile().diagnostics_removed.len(), 1);
    assert_eq!(messages(&compiler), [""; 0]);
}

fn switch(network: &Network, name: &str) -> Uuid {
    network.switch_named(name)
}

#[test]
fn a_malformed_address() {
    check(
        |network| {
            network.loose_port(
                switch(network, "a"),
                "bad",
                "0a:58:0a:00:01:03 10.0.1.300",
                1,
                9,
            );
        },
        r#"Logical_Switch_Port bad addresses: "10.0.1.300" in "0a:58:0a:00:01:03 10.0.1.300" is no IP address"#,
    );
    check(
        |network| {
            network.loose_port(switch(network, "a"), "bad", "0a:58:0a:00:zz 10.0.1.3", 1, 9);
        },
        r#"Logical_Switch_Port bad addresses: "0a:58:0a:00:zz" is no Ethernet address; write six hexadecimal bytes, such as 0a:58:0a:80:00:09"#,
    );
}

#[test]
fn a_nested_port_without_a_tag_of_its_own() {
    check(
        |network| {
            let a = switch(network, "a");
            let port = network.nested_port(a, "bad", "0a:58:0a:00:01:03 10.0.1.3", "red", 3);
            network.ports.get_mut(&port).expect("just made").tag = None;
        },
        r#"Logical_Switch_Port bad tag: the port is nested in "red" and has no tag from 1 to 4095; it is left out"#,
    );
    check(
        |network| {
            let a = switch(network, "a");
            // The second by UUID.
            network.nested_port(a, "good", "0a:58:0a:00:01:03 10.0.1.3", "red", 3);
            network.nested_port(a, "bad", "0a:58:0a:00:01:04 10.0.1.4", "red", 3);
        },
        r#"Logical_Switch_Port bad tag: tag 3 of "red" belongs to port "good" already; it is left out here"#,
    );
}

#[test]
fn a_malformed_port_security_lets_nothing_through() {
    let spoil = |network: &mut Network| {
        let port = network.loose_port(
            switch(network, "a"),
            "bad",
            "0a:58:0a:00:01:03 10.0.1.3",
            1,
            9,
        );
        network
            .ports
            .get_mut(&port)
            .expect("just made")
            .port_security = set(["nonsense"]);
    };
    check(
        spoil,
        r#"Logical_Switch_Port bad port_security: "nonsense" is no Ethernet address; write six hexadecimal bytes, such as 0a:58:0a:80:00:09"#,
    );
    let mut network = good();
    spoil(&mut network);
    let text = network.compile().view().lflow_list(None);
    assert!(
        !text.contains(r#"inport == "bad"), action=(next"#),
        "{text}"
    );
}

#[test]
fn an_address_that_somebody_has() {
    check(
        |network| {
            network.port(
                switch(network, "b"),
                "later",
                "0a:58:0a:00:02:03 10.0.2.1",
                2,
                9,
            );
        },
        r#"Logical_Switch_Port later addresses: 10.0.2.1 belongs to router port "lrp-b" already; it is left out here"#,
    );
}

#[test]
fn of_two_ports_with_one_mac_or_address_exactly_one_has_it() {
    for (addresses, what) in [
        ("0a:58:0a:00:01:02 10.0.1.9", "0a:58:0a:00:01:02"),
        ("0a:58:0a:00:01:09 10.0.1.2", "10.0.1.2"),
    ] {
        let mut network = good();
        network.port(switch(&network, "a"), "twin", addresses, 1, 9);
        let found = messages(&network.compile());
        let [message] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert!(
            message.contains(&format!("{what} belongs to port")),
            "{message}"
        );
    }
}

#[test]
fn a_type_that_is_not_served_gets_one_warning_whatever_the_number_of_its_ports() {
    for (kind, why) in [
        ("vtep", "is not served yet"),
        ("l2gateway", "is not served yet"),
        ("external", "is not served yet"),
        ("virtual", "is not served yet"),
        ("remote", "is not served yet"),
        ("localport", "is not served yet"),
        ("patch", "is none that there is"),
    ] {
        check(
            |network| {
                for number in 1..=3 {
                    let name = format!("odd{number}");
                    let port = network.loose_port(switch(network, "a"), &name, "unknown", 1, 9);
                    network.ports.get_mut(&port).expect("just made").kind = kind.to_owned();
                }
            },
            &format!(
                "Logical_Switch_Port  type: type {kind:?} {why}; ports of it are left out (ovn-nbctl find Logical_Switch_Port type={kind} lists them)"
            ),
        );
    }
}

#[test]
fn a_warning_about_a_type_stays_the_same_while_ports_of_it_come_and_go() {
    let mut network = good();
    let mut compiler = network.compile();
    let mut told = Vec::new();
    for number in 1..=4 {
        let before = network.clone();
        if number > 1 {
            let gone = format!("odd{}", number - 1);
            let gone = network.ports.values().find(|row| row.name == gone);
            network.remove_port(gone.expect("made before").uuid);
        }
        for name in [format!("odd{number}"), format!("more{number}")] {
            let port = network.loose_port(switch(&network, "a"), &name, "unknown", 0, 1);
            network.ports.get_mut(&port).expect("just made").kind = "vtep".to_owned();
        }
        let changes = network.changes_since(&before);
        changes
            .into_iter()
            .for_each(|change| compiler.apply(change));
        let compilation = compiler.compile();
        told.push((
            compilation.diagnostics_added.len(),
            compilation.diagnostics_removed.len(),
        ));
    }
    assert_eq!(told, [(1, 0), (0, 0), (0, 0), (0, 0)]);
}

#[test]
fn a_localnet_port_without_a_network_or_with_a_tag_that_cannot_be() {
    let localnet = |options: &'static [(&str, &str)], tag: Option<i64>| {
        move |network: &mut Network| {
            let other = network.switch("other");
            let port = network.localnet(other, "ln", "physnet1", tag);
            let row = network.ports.get_mut(&port).expect("just made");
            row.options = options
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect();
        }
    };
    check(
        localnet(&[], None),
        "Logical_Switch_Port ln options: options:network_name is missing; it names the physical network, as in external_ids:ovn-bridge-mappings of the nodes; the port is left out",
    );
    check(
        localnet(&[("network_name", "physnet1")], Some(4096)),
        "Logical_Switch_Port ln tag: the tag is none from 1 to 4095; the port is left out",
    );
    check(
        localnet(
            &[("network_name", "physnet1"), ("ethtype", "0x9100")],
            Some(7),
        ),
        r#"Logical_Switch_Port ln options: options:ethtype "0x9100" is neither 802.11q nor 802.11ad; taking 802.11q"#,
    );
}

#[test]
fn a_switch_port_that_leads_to_no_router() {
    let lost = |network: &mut Network, options: BTreeMap<String, String>| {
        let port = network.loose_port(switch(network, "a"), "lost", "router", 0, 1);
        let row = network.ports.get_mut(&port).expect("just made");
        (row.kind, row.options) = ("router".to_owned(), options);
    };
    check(
        |network| {
            lost(
                network,
                BTreeMap::from([("router-port".to_owned(), "none".to_owned())]),
            )
        },
        r#"Logical_Switch_Port lost options: there is no router port "none" (options:router-port); the port leads nowhere"#,
    );
    check(
        |network| lost(network, BTreeMap::new()),
        "Logical_Switch_Port lost options: options:router-port is missing; it names the router port to be joined to",
    );
}

#[test]
fn a_router_port_that_cannot_be() {
    let router = |network: &Network| *network.routers.keys().next().expect("a router");
    check(
        |network| {
            network.router_port(router(network), "lrp", "01:00:00:00:00:01", ["10.0.9.1/24"]);
        },
        "Logical_Router_Port lrp mac: 01:00:00:00:00:01 is no MAC that a port can have",
    );
    check(
        |network| {
            network.router_port(router(network), "lrp", "0a:58:00:00:00:09", ["10.0.9.1"]);
        },
        r#"Logical_Router_Port lrp networks: "10.0.9.1" is no address with a prefix length, such as 10.0.0.1/24"#,
    );
    check(
        |network| {
            let port =
                network.router_port(router(network), "lrp", "0a:58:00:00:00:09", ["10.0.9.1/24"]);
            network.router_ports.get_mut(&port).expect("just made").peer =
                Some("nobody".to_owned());
        },
        r#"Logical_Router_Port lrp peer: there is no other router port "nobody" to be joined to"#,
    );
}

#[test]
fn two_switch_ports_on_one_router_port() {
    let mut network = good();
    let first = network
        .ports
        .values()
        .find(|row| row.options.get("router-port").map(String::as_str) == Some("lrp-a"));
    let first = first.expect("joined").name.clone();
    let port = network.loose_port(switch(&network, "b"), "second", "router", 0, 1);
    let row = network.ports.get_mut(&port).expect("just made");
    row.kind = "router".to_owned();
    row.options = BTreeMap::from([("router-port".to_owned(), "lrp-a".to_owned())]);
    let found = messages(&network.compile());
    let told = |name: &str, other: &str| {
        format!(
            "Logical_Switch_Port {name} options: router port \"lrp-a\" (options:router-port) is joined to port {other:?} \
             already; this port leads nowhere"
        )
    };
    assert!(
        found == [told("second", &first)] || found == [told(&first, "second")],
        "{found:?}"
    );
}

#[test]
fn a_router_port_that_is_joined_to_a_switch_and_names_a_peer() {
    check(
        |network| {
            let port = network
                .router_ports
                .values_mut()
                .find(|row| row.name == "lrp-a");
            port.expect("a port").peer = Some("lrp-b".to_owned());
        },
        "Logical_Router_Port lrp-a peer: the port is joined to switch port \"rtr-a\"; \"lrp-b\" is not its peer",
    );
}

/// What is listed twice is in the first of its listers, in order of UUID; the other is told.
#[test]
fn what_two_switches_or_routers_list_is_left_to_one() {
    let mut network = good();
    let (a, b) = (switch(&network, "a"), switch(&network, "b"));
    let red = *network.switches[&a]
        .ports
        .iter()
        .find(|port| network.ports[*port].name == "red")
        .expect("red");
    let first = if a < b { "a" } else { "b" };
    let other = if a < b { "b" } else { "a" };
    network.switches.get_mut(&b).expect("b").ports.push(red);
    assert_eq!(
        messages(&network.compile()),
        [format!(
            "Logical_Switch {other} ports: port \"red\" is one of switch {first:?} already; it is left to that"
        )]
    );

    let mut network = good();
    let router = *network.routers.keys().next().expect("r");
    let second = network.router("s");
    let ports = network.routers[&router].ports.clone();
    let route = network.route(router, "10.9.0.0/16", "discard");
    let row = network.routers.get_mut(&second).expect("s");
    row.ports.clone_from(&ports);
    row.static_routes.push(route);
    let (first, other) = if router < second {
        ("r", "s")
    } else {
        ("s", "r")
    };
    let told = |column: &str, what: &str| {
        format!(
            "Logical_Router {other} {column}: {what} is one of router {first:?} already; it is left to that"
        )
    };
    assert_eq!(
        messages(&network.compile()),
        [
            told("ports", "port \"lrp-a\""),
            told("ports", "port \"lrp-b\""),
            told("static_routes", "the route for 10.9.0.0/16"),
        ]
    );
}

/// Two routers that meet on a switch, the second with what the first has: exactly one keeps it, and the other is told.
#[test]
fn of_two_routers_on_a_switch_with_one_mac_or_address_exactly_one_has_it() {
    for (mac, network_text, column, what) in [
        (
            "0a:58:00:00:00:01",
            "10.0.1.99/24",
            "mac",
            "0a:58:00:00:00:01",
        ),
        ("0a:58:00:00:00:99", "10.0.1.1/24", "networks", "10.0.1.1"),
    ] {
        let mut network = good();
        let second = network.router("s");
        let a = switch(&network, "a");
        let port = network.router_port(second, "lrp-s", mac, [network_text]);
        let side = network.loose_port(a, "a-lrp-s", "router", 0, 1);
        let row = network.ports.get_mut(&side).expect("just made");
        row.kind = "router".to_owned();
        row.options = BTreeMap::from([("router-port".to_owned(), "lrp-s".to_owned())]);
        let first = network
            .router_ports
            .values()
            .find(|row| row.name == "lrp-a");
        let (winner, loser) = match first.expect("lrp-a").uuid < port {
            true => ("lrp-a", "lrp-s"),
            false => ("lrp-s", "lrp-a"),
        };
        let compiler = network.compile();
        assert_eq!(
            messages(&compiler),
            [format!(
                "Logical_Router_Port {loser} {column}: {what} belongs to router port {winner:?} on this switch already; \
                 it is left out here"
            )]
        );
        // Nothing answers or takes for the other.
        let view = compiler.view();
        let of_a = view
            .datapaths()
            .into_iter()
            .find(|(name, _)| &**name == "a");
        let text = view.lflow_list(of_a.map(|(_, datapath)| datapath));
        let answers = text
            .lines()
            .filter(|line| line.contains(&format!("arp.tpa == {what}")));
        let takers = text.lines().filter(|line| {
            line.contains("ls_in_l2_lkup")
                && line.contains(&format!("eth.dst == {what}"))
                && !line.contains("inport")
        });
        let count = match column {
            "mac" => takers.count(),
            _ => answers.count(),
        };
        assert_eq!(count, 1, "{text}");
    }
}

#[test]
fn one_network_on_two_ports_of_a_router() {
    let mut network = good();
    let (c, router) = (
        network.switch("c"),
        *network.routers.keys().next().expect("a router"),
    );
    network.join(router, c, "0a:58:00:00:00:03", ["10.0.1.1/24"]);
    let found = messages(&network.compile());
    let [message] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert!(
        message.contains("10.0.1.0/24 is connected to this router by port"),
        "{message}"
    );
}

#[test]
fn routes_to_nowhere() {
    let router = |network: &Network| *network.routers.keys().next().expect("a router");
    let route = |prefix: &'static str, hop: &'static str| {
        move |network: &mut Network| {
            network.route(router(network), prefix, hop);
        }
    };
    let table = "Logical_Router_Static_Route";
    check(
        route("10.9.0.0/33", "10.0.1.2"),
        &format!(r#"{table}  ip_prefix: "10.9.0.0/33" is no prefix, such as 10.0.0.0/8"#),
    );
    check(
        route("10.9.0.0/16", "somewhere"),
        &format!(r#"{table}  nexthop: "somewhere" is neither an address nor "discard""#),
    );
    check(
        route("10.9.0.0/16", "192.168.0.1"),
        &format!(
            "{table}  nexthop: 192.168.0.1 is in no network of the router's ports; the route is left out"
        ),
    );
    check(
        route("10.9.0.0/16", "fd00::1"),
        &format!("{table}  nexthop: fd00::1 and 10.9.0.0/16 are of different families"),
    );
}

#[test]
fn tables_that_are_not_served_get_one_warning_each() {
    let mut network = good();
    for row in network.switches.values_mut() {
        row.acls = vec![Uuid::from_u128(1), Uuid::from_u128(2)];
    }
    let found = messages(&network.compile());
    let [message] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert!(
        message == "Logical_Switch  acls: ACL is not served yet; its rows have no effect",
        "{message}"
    );
}

#[test]
fn gateway_ports_get_one_warning_and_are_on_every_node() {
    check(
        |network| {
            let router = *network.routers.keys().next().expect("a router");
            for number in 1..=2 {
                let (name, mac) = (format!("gw{number}"), format!("0a:58:00:00:00:1{number}"));
                let networks = format!("10.9.{number}.1/24");
                let port = network.router_port(router, &name, &mac, [&networks]);
                let row = network.router_ports.get_mut(&port).expect("just made");
                row.gateway_chassis = vec![Uuid::from_u128(number)];
            }
        },
        "Logical_Router_Port  gateway_chassis: Gateway_Chassis is not served yet; a port with it is on every node",
    );
}

#[test]
fn a_port_that_is_switched_off_leaves_nothing() {
    let mut network = good();
    let port = *network
        .ports
        .iter()
        .find(|(_, row)| row.name == "red")
        .expect("a port")
        .0;
    network.ports.get_mut(&port).expect("a port").enabled = Some(false);
    for plain_path in [true, false] {
        let text = network
            .compile_with(Options {
                plain_path,
                ..Options::default()
            })
            .0
            .view()
            .lflow_list(None);
        assert!(
            !text.contains(r#""red""#) && !text.contains("0a:58:0a:00:01:02"),
            "{text}"
        );
    }
}
