//! Hosts: their rows, and that their addresses stay.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Config, NbRow};
use super::*;

fn index(nodes: &[&str], join: &[&str]) -> Index {
    let join_cidrs = join.iter().map(|cidr| cidr.parse().unwrap()).collect();
    let mut index = Index::new(Config {
        hosts: Some(HostConfig { join_cidrs }),
        ..Config::default()
    })
    .unwrap();
    index.set_nodes(nodes.iter().copied());
    index
}

fn hosts(index: &Index) -> BTreeMap<String, LogicalSwitchPort> {
    let ports = index.rows().values().filter_map(|row| match row {
        NbRow::LogicalSwitchPort(port) => Some((**port).clone()),
        _ => None,
    });
    ports
        .filter_map(|port| Some((port.external_ids.get(keys::NODE)?.clone(), port)))
        .collect()
}

const JOIN_CIDRS: [&str; 2] = ["100.64.0.0/16", "fd77:6566:7400:1::/64"];

#[test]
fn a_host_is_a_port_on_a_switch_of_the_clusters_router_and_a_way_out_on_its_node() {
    let mut index = index(&["n1", "n2"], &JOIN_CIDRS);
    index.translate();
    let rows: BTreeMap<(&str, &str), &NbRow> = index
        .rows()
        .values()
        .map(|row| ((row.table(), row.name()), row))
        .collect();
    let NbRow::LogicalSwitch(switch) = rows[&("Logical_Switch", "_join")] else {
        unreachable!()
    };
    assert_eq!(switch.ports.len(), 3);
    let NbRow::LogicalRouterPort(router_port) = rows[&("Logical_Router_Port", "cluster_to__join")]
    else {
        unreachable!()
    };
    let networks = ["100.64.0.1/16", "fd77:6566:7400:1::1/64"].map(str::to_owned);
    assert_eq!(router_port.networks, networks.into());
    let NbRow::LogicalRouter(router) = rows[&("Logical_Router", "cluster")] else {
        unreachable!()
    };
    assert_eq!(router.ports, [router_port.uuid]);
    // Of each family a way out per node, and no way out for what is the cluster's own.
    let routes = router
        .static_routes
        .iter()
        .map(|route| &index.rows()[route]);
    let discarded: BTreeSet<&str> = routes
        .filter_map(|row| match row {
            NbRow::LogicalRouterStaticRoute(row) if row.nexthop == "discard" => {
                Some(&*row.ip_prefix)
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        discarded,
        BTreeSet::from(["10.128.0.0/14", "fd77:6566:7400::/64"])
    );
    assert_eq!(router.static_routes.len(), 2 * 2 + 2);

    let host = &hosts(&index)["n1"];
    assert_eq!(host.name, "_join_n1");
    let options = [("requested-chassis", "n1"), ("weft-host", "true")];
    let options = options.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(host.options, options.into());
    let (address, _) = host.external_ids["weft-addresses"]
        .split_once("/32 ")
        .unwrap();
    let gateways = "100.64.0.1 fd77:6566:7400:1::1";
    assert_eq!(host.external_ids["weft-gateways"], gateways);
    for route in &router.static_routes {
        let NbRow::LogicalRouterStaticRoute(route) = &index.rows()[route] else {
            unreachable!()
        };
        if route.ip_prefix == "0.0.0.0/0" && route.options["weft-node"] == "n1" {
            assert_eq!(route.nexthop, address);
            assert_eq!(route.output_port.as_deref(), Some("cluster_to__join"));
        }
    }
    // The last node takes the switch with it.
    index.set_nodes([]);
    index.translate();
    assert_eq!(index.rows().len(), 0);
}

#[test]
fn a_hosts_address_depends_on_the_nodes_name_and_survives_others_and_restarts() {
    let names: Vec<String> = (0..200).map(|number| format!("node-{number}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    // So small that many hashes meet.
    let join = ["100.64.0.0/24"];
    let mut crowded = index(&all, &join);
    crowded.translate();
    let addresses = |index: &Index| -> BTreeMap<String, BTreeSet<String>> {
        let hosts = hosts(index).into_iter();
        hosts.map(|(node, port)| (node, port.addresses)).collect()
    };
    let before = addresses(&crowded);
    let distinct: BTreeSet<_> = before.values().collect();
    assert_eq!(distinct.len(), 200);

    // Half of them go: the others keep theirs, over a restart too, for which the rows are the record.
    crowded.set_nodes(all.iter().copied().skip(100));
    crowded.translate();
    let mut restarted = index(&all[100..], &join);
    let rows = hosts(&crowded);
    restarted.restore_hosts(rows.values().filter_map(record_of));
    restarted.translate();
    for index in [&crowded, &restarted] {
        let now = addresses(index);
        assert_eq!(now.len(), 100);
        assert!(now.iter().all(|(node, address)| before[node] == *address));
    }

    // In a large network it follows from the name alone.
    let mut one = index(&["node-7"], &JOIN_CIDRS);
    one.translate();
    let mut many = index(&all[..20], &JOIN_CIDRS);
    many.translate();
    assert_eq!(addresses(&one)["node-7"], addresses(&many)["node-7"]);
}

#[test]
fn a_join_network_that_is_full_is_told_and_a_bad_one_refused() {
    let names: Vec<String> = (0..14).map(|number| format!("n{number}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut index = index(&all, &["100.64.0.0/28"]);
    index.translate();
    let messages: Vec<String> = index.diagnostics().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        [
            "Node n9: no address is left on the join network for its host; give a larger one with --join-cidr"
        ]
    );
    assert_eq!(hosts(&index).len(), 13);
    for (join, message) in [
        (
            &["10.128.7.0/24"][..],
            "10.128.0.0/14 overlaps 10.128.7.0/24",
        ),
        (&["100.64.0.0/30"], "100.64.0.0/30: the prefix is too long"),
        (
            &["100.64.0.0/24", "100.65.0.0/24"],
            "100.65.0.0/24: a second network",
        ),
    ] {
        let join_cidrs = join.iter().map(|cidr| cidr.parse().unwrap()).collect();
        let refused = Index::new(Config {
            hosts: Some(HostConfig { join_cidrs }),
            ..Config::default()
        });
        let found = refused.unwrap_err().to_string();
        assert!(found.starts_with(message), "{found}");
    }
}
