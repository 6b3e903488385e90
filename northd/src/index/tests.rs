//! The index: what becomes of objects, one by one and in random histories.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Namespace, Node, NodeSpec, Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use proptest::prelude::*;
use weft_schema::nb::{LogicalRouterPort, LogicalSwitch, LogicalSwitchPort};

use weft_schema::RowId;

use super::*;

fn metadata(namespace: &str, name: &str, annotations: &[(&str, &str)]) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: (!namespace.is_empty()).then(|| namespace.into()),
        annotations: Some(
            annotations
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect(),
        ),
        uid: Some(format!("uid-{namespace}-{name}")),
        ..ObjectMeta::default()
    }
}

fn namespace(name: &str, annotations: &[(&str, &str)]) -> Object {
    Object::Namespace(Box::new(Namespace {
        metadata: metadata("", name, annotations),
        ..Namespace::default()
    }))
}

fn pod(namespace: &str, name: &str, node: &str, annotations: &[(&str, &str)]) -> Object {
    Object::Pod(Box::new(Pod {
        metadata: metadata(namespace, name, annotations),
        spec: Some(PodSpec {
            node_name: Some(node.into()),
            ..PodSpec::default()
        }),
        status: None,
    }))
}

fn index(cidrs: &[&str], nodes: &[&str]) -> Index {
    let cluster_cidrs = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
    let mut index = Index::new(Config {
        cluster_cidrs,
        ..Config::default()
    })
    .unwrap();
    index.set_nodes(nodes.iter().copied());
    index
}

fn dual() -> Index {
    index(
        &["10.128.0.0/14", "fd77:6566:7400::/64"],
        &["n1", "n2", "n3"],
    )
}

/// `name: addresses` of every pod's port.
fn ports(index: &Index) -> Vec<String> {
    let mut lines: Vec<String> = index
        .rows()
        .values()
        .filter_map(|row| match row {
            NbRow::LogicalSwitchPort(port) if port.kind.is_empty() => Some(format!(
                "{}: {}",
                port.name, port.external_ids["weft-addresses"]
            )),
            _ => None,
        })
        .collect();
    lines.sort();
    lines
}

fn messages(index: &Index) -> Vec<String> {
    index.diagnostics().map(ToString::to_string).collect()
}

/// One object is at fault, with this message; all other pods have their ports.
fn check_refused(objects: Vec<Object>, message: &str, expected_ports: &[&str]) {
    let mut index = dual();
    index.reset(objects, Vec::new());
    index.translate();
    assert_eq!(messages(&index), [message]);
    assert_eq!(ports(&index), expected_ports);
}

#[test]
fn a_pod_becomes_a_port_of_its_namespaces_switch_on_the_cluster_router() {
    let mut index = dual();
    index.apply(namespace("shop", &[]));
    index.apply(pod("shop", "web-0", "n1", &[]));
    let translation = index.translate();
    assert_eq!(translation.reported, []);
    assert_eq!(translation.changes.len(), 5);
    let rows: BTreeMap<(&str, &str), &NbRow> = index
        .rows()
        .values()
        .map(|row| ((row.table(), row.name()), row))
        .collect();
    let NbRow::LogicalSwitchPort(port) = rows[&("Logical_Switch_Port", "shop_web-0")] else {
        unreachable!()
    };
    let security = ["0a:58:0a:80:00:01 10.128.0.1 fd77:6566:7400::a80:1".to_owned()];
    assert_eq!(port.addresses, security.clone().into());
    assert_eq!(port.port_security, security.into());
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    assert_eq!(
        port.options,
        map(&[
            ("requested-chassis", "n1"),
            ("iface-id-ver", "uid-shop-web-0")
        ])
    );
    assert_eq!(
        port.external_ids,
        map(&[
            ("namespace", "shop"),
            ("pod", "web-0"),
            ("weft-uid", "uid-shop-web-0"),
            ("weft-addresses", "10.128.0.1/32 fd77:6566:7400::a80:1/128"),
            ("weft-gateways", "10.128.0.0 fd77:6566:7400::a80:0"),
            ("weft-owner", "northd"),
        ])
    );
    let NbRow::LogicalRouterPort(router_port) = rows[&("Logical_Router_Port", "cluster_to_shop")]
    else {
        unreachable!()
    };
    let networks = [
        "10.128.0.0/29".to_owned(),
        "fd77:6566:7400::a80:0/125".to_owned(),
    ];
    assert_eq!(router_port.networks, networks.into());
    let NbRow::LogicalSwitchPort(peer) = rows[&("Logical_Switch_Port", "shop_to_cluster")] else {
        unreachable!()
    };
    assert_eq!(
        (peer.kind.as_str(), peer.options["router-port"].as_str()),
        ("router", "cluster_to_shop")
    );
    let NbRow::LogicalSwitch(switch) = rows[&("Logical_Switch", "shop")] else {
        unreachable!()
    };
    assert_eq!(
        BTreeSet::from_iter(&switch.ports),
        BTreeSet::from([&port.uuid, &peer.uuid])
    );
    let NbRow::LogicalRouter(router) = rows[&("Logical_Router", "cluster")] else {
        unreachable!()
    };
    assert_eq!(router.ports, [router_port.uuid]);
}

#[test]
fn a_namespace_with_subnets_is_one_l2_network_with_a_gateway() {
    let mut index = dual();
    index.apply(namespace(
        "red",
        &[(ROUTER, "red"), (SUBNETS, "fd00:10::/64, 10.0.0.0/24")],
    ));
    index.apply(pod("red", "a", "n1", &[]));
    index.apply(pod("red", "b", "n2", &[(ADDRESSES, "10.0.0.77")]));
    index.apply(pod(
        "red",
        "c",
        "n2",
        &[(ADDRESSES, "fd00:10::a00:4e"), (MAC, "02:00:00:00:00:0C")],
    ));
    index.translate();
    assert_eq!(messages(&index), [""; 0]);
    assert_eq!(
        ports(&index),
        [
            "red_a: 10.0.0.2/24 fd00:10::a00:2/64",
            "red_b: 10.0.0.77/24 fd00:10::a00:4d/64",
            "red_c: 10.0.0.78/24 fd00:10::a00:4e/64",
        ]
    );
    let port = RowId::<LogicalRouterPort>::derived("red").uuid();
    let NbRow::LogicalRouterPort(router_port) = &index.rows()[&port] else {
        unreachable!()
    };
    assert_eq!(router_port.name, "red_to_red");
    assert_eq!(
        router_port.networks,
        ["10.0.0.1/24".to_owned(), "fd00:10::a00:1/64".to_owned()].into()
    );
    let c = RowId::<LogicalSwitchPort>::derived("red_c").uuid();
    let NbRow::LogicalSwitchPort(c) = &index.rows()[&c] else {
        unreachable!()
    };
    assert_eq!(
        c.addresses,
        ["02:00:00:00:00:0c 10.0.0.78 fd00:10::a00:4e".to_owned()].into()
    );
}

#[test]
fn tenants_on_routers_of_their_own_may_have_the_same_addresses() {
    let mut index = dual();
    for tenant in ["red", "blue"] {
        index.apply(namespace(
            tenant,
            &[(ROUTER, tenant), (SUBNETS, "10.0.0.0/24")],
        ));
        index.apply(pod(tenant, "a", "n1", &[]));
    }
    // Without subnets: blocks, out of an address space of the router's own.
    index.apply(namespace("green", &[(ROUTER, "green")]));
    index.apply(pod("green", "a", "n1", &[]));
    index.apply(pod("shop", "a", "n1", &[]));
    index.translate();
    assert_eq!(messages(&index), [""; 0]);
    assert_eq!(
        ports(&index),
        [
            "blue_a: 10.0.0.2/24",
            "green_a: 10.128.0.1/32 fd77:6566:7400::a80:1/128",
            "red_a: 10.0.0.2/24",
            "shop_a: 10.128.0.1/32 fd77:6566:7400::a80:1/128",
        ]
    );
}

#[test]
fn pods_on_the_hosts_network_pods_that_have_ended_and_pods_without_a_node_have_no_port() {
    let mut index = dual();
    let change = |object: Object, change: &dyn Fn(&mut Pod)| match object {
        Object::Pod(mut pod) => {
            change(&mut pod);
            Object::Pod(pod)
        }
        other => other,
    };
    index.apply(pod("shop", "a", "n1", &[]));
    index.translate();
    assert_eq!(ports(&index).len(), 1);
    index.apply(change(pod("shop", "a", "n1", &[]), &|pod| {
        pod.status = Some(PodStatus {
            phase: Some("Succeeded".into()),
            ..PodStatus::default()
        });
    }));
    index.apply(change(pod("shop", "b", "n1", &[]), &|pod| {
        pod.spec.as_mut().unwrap().host_network = Some(true);
    }));
    index.apply(change(pod("shop", "c", "n1", &[]), &|pod| {
        pod.spec.as_mut().unwrap().node_name = None
    }));
    index.translate();
    assert_eq!(index.rows().len(), 0);
}

#[test]
fn one_pod_more_changes_its_port_its_switch_and_nothing_else() {
    let mut index = dual();
    for number in 0..2000 {
        index.apply(pod(
            "shop",
            &format!("web-{number}"),
            ["n1", "n2", "n3"][number % 3],
            &[],
        ));
    }
    index.translate();
    assert_eq!(messages(&index), [""; 0]);
    // Not a new block: 2000 pods on three nodes leave room in the last block of each.
    index.apply(pod("shop", "one-more", "n1", &[]));
    let changed: Vec<&str> = index
        .translate()
        .changes
        .iter()
        .map(|change| change.new.as_ref().unwrap().table())
        .collect();
    assert_eq!(
        changed.iter().collect::<BTreeSet<_>>(),
        BTreeSet::from([&"Logical_Switch", &"Logical_Switch_Port"])
    );
    assert_eq!(changed.len(), 2);
}

#[test]
fn a_pod_of_the_same_name_is_another_pod_and_gets_another_address() {
    let mut index = dual();
    index.apply(pod("shop", "a", "n1", &[]));
    index.translate();
    let Object::Pod(mut again) = pod("shop", "a", "n1", &[]) else {
        unreachable!()
    };
    again.metadata.uid = Some("another".into());
    index.apply(Object::Pod(again));
    let translation = index.translate();
    assert_eq!(
        ports(&index),
        ["shop_a: 10.128.0.9/32 fd77:6566:7400::a80:9/128"]
    );
    let port = translation
        .changes
        .iter()
        .filter_map(|change| change.new.as_ref())
        .find(|row| row.name() == "shop_a");
    let Some(NbRow::LogicalSwitchPort(port)) = port else {
        unreachable!()
    };
    assert_eq!(port.options["iface-id-ver"], "another");
}

#[test]
fn nodes_with_pod_cidrs_give_their_pods_addresses_of_these() {
    let mut index = index(&["10.128.0.0/14"], &[]);
    let node = |name: &str, cidr: &str| {
        let spec = NodeSpec {
            pod_cidrs: Some(vec![cidr.into()]),
            ..NodeSpec::default()
        };
        Object::Node(Box::new(Node {
            metadata: metadata("", name, &[]),
            spec: Some(spec),
            status: None,
        }))
    };
    index.reset(
        vec![
            node("n1", "10.128.9.0/24"),
            node("n2", "10.9.0.0/24"),
            pod("shop", "a", "n1", &[]),
            pod("shop", "b", "n2", &[]),
        ],
        Vec::new(),
    );
    index.translate();
    assert_eq!(
        ports(&index),
        ["shop_a: 10.128.9.1/32", "shop_b: 10.128.0.1/32"]
    );
    assert_eq!(
        messages(&index),
        ["Node n2: spec.podCIDRs: \"10.9.0.0/24\" is not part of the cluster CIDRs 10.128.0.0/14"]
    );
}

#[test]
fn a_pod_on_an_unknown_node_is_told_which_nodes_there_are() {
    check_refused(
        vec![pod("shop", "a", "n9", &[]), pod("shop", "b", "n1", &[])],
        "Pod shop/a: spec.nodeName: unknown node \"n9\"; known nodes are n1, n2, n3",
        &["shop_b: 10.128.0.1/32 fd77:6566:7400::a80:1/128"],
    );
}

#[test]
fn a_pod_gets_its_port_when_its_node_comes() {
    let mut index = dual();
    index.apply(pod("shop", "a", "n9", &[]));
    index.translate();
    index.set_nodes(["n1", "n9"]);
    let translation = index.translate();
    assert_eq!(translation.resolved.len(), 1);
    assert_eq!(ports(&index).len(), 1);
}

#[test]
fn of_two_pods_that_claim_one_address_the_first_has_it() {
    let subnet = namespace("red", &[(ROUTER, "red"), (SUBNETS, "10.0.0.0/24")]);
    check_refused(
        vec![
            subnet,
            pod("red", "a", "n1", &[(ADDRESSES, "10.0.0.5")]),
            pod("red", "b", "n2", &[(ADDRESSES, "10.0.0.5")]),
            pod("red", "c", "n2", &[]),
        ],
        "Pod red/b: metadata.annotations[weft.dev/addresses]: 10.0.0.5 is held by pod red/a; \
         choose another, or leave the choice to weft",
        &["red_a: 10.0.0.5/24", "red_c: 10.0.0.2/24"],
    );
}

#[test]
fn a_claimed_address_is_free_for_the_next_when_its_holder_goes() {
    let mut index = dual();
    index.apply(namespace(
        "red",
        &[(ROUTER, "red"), (SUBNETS, "10.0.0.0/24")],
    ));
    index.apply(pod("red", "a", "n1", &[(ADDRESSES, "10.0.0.5")]));
    index.apply(pod("red", "b", "n2", &[(ADDRESSES, "10.0.0.5")]));
    index.translate();
    index.delete(&ObjectRef::pod("red", "a"));
    index.translate();
    assert_eq!(
        (ports(&index), messages(&index)),
        (vec!["red_b: 10.0.0.5/24".to_owned()], vec![])
    );
}

#[test]
fn a_namespace_without_a_free_address_says_so() {
    let mut objects = vec![namespace(
        "red",
        &[(ROUTER, "red"), (SUBNETS, "10.0.0.0/30")],
    )];
    objects.extend(["a", "b"].map(|name| pod("red", name, "n1", &[])));
    objects.push(pod("shop", "a", "n1", &[]));
    check_refused(
        objects,
        "Pod red/b: namespace red has no free address: 10.0.0.0/30 is used up; give it a larger subnet with weft.dev/subnets",
        &[
            "red_a: 10.0.0.2/30",
            "shop_a: 10.128.0.1/32 fd77:6566:7400::a80:1/128",
        ],
    );
}

#[test]
fn a_cluster_cidr_that_is_used_up_says_so() {
    let mut index = index(&["10.9.0.0/29"], &["n1", "n2"]);
    index.apply(pod("shop", "a", "n1", &[]));
    index.apply(pod("shop", "b", "n2", &[]));
    index.translate();
    assert_eq!(
        messages(&index),
        [
            "Pod shop/b: no free address: the cluster CIDR 10.9.0.0/29 is used up; give a larger one with --cluster-cidr"
        ]
    );
    index.delete(&ObjectRef::pod("shop", "a"));
    index.translate();
    assert_eq!(
        (ports(&index), messages(&index)),
        (vec!["shop_b: 10.9.0.1/32".to_owned()], vec![])
    );
}

#[test]
fn subnets_that_overlap_on_one_router_are_refused_to_the_second_namespace() {
    let tenant = |name| namespace(name, &[(ROUTER, "acme"), (SUBNETS, "10.0.0.0/24")]);
    check_refused(
        vec![
            tenant("a"),
            tenant("b"),
            pod("a", "x", "n1", &[]),
            pod("b", "x", "n1", &[]),
        ],
        "Namespace b: metadata.annotations[weft.dev/subnets]: 10.0.0.0/24 overlaps 10.0.0.0/24 of namespace a \
         on the same router acme; choose another subnet, or another router with weft.dev/router",
        &["a_x: 10.0.0.2/24"],
    );
}

#[test]
fn a_refused_namespace_comes_when_the_other_goes() {
    let mut index = dual();
    for name in ["a", "b"] {
        index.apply(namespace(
            name,
            &[(ROUTER, "acme"), (SUBNETS, "10.0.0.0/24")],
        ));
        index.apply(pod(name, "x", "n1", &[]));
    }
    index.translate();
    index.delete(&ObjectRef::pod("a", "x"));
    index.delete(&ObjectRef::namespace("a"));
    index.translate();
    assert_eq!(
        (ports(&index), messages(&index)),
        (vec!["b_x: 10.0.0.2/24".to_owned()], vec![])
    );
}

#[test]
fn what_is_wrong_with_an_annotation_is_said_with_its_name() {
    let on_namespace = |annotations: &[(&str, &str)], message: &str| {
        check_refused(
            vec![namespace("red", annotations), pod("red", "a", "n1", &[])],
            message,
            &[],
        );
    };
    let subnets = "Namespace red: metadata.annotations[weft.dev/subnets]: ";
    for (value, message) in [
        (
            "10.0.0",
            "\"10.0.0\" is not a CIDR; write one such as 10.0.0.0/24",
        ),
        ("", "\"\" is not a CIDR; write one such as 10.0.0.0/24"),
        (
            "10.0.0.5/24",
            "10.0.0.5/24 has bits set after the prefix; write 10.0.0.0/24",
        ),
        (
            "10.0.0.0/31",
            "10.0.0.0/31 is too small; the prefix may be at most 30 bits long",
        ),
        (
            "fd00::/112",
            "fd00::/112 is too small; the prefix may be at most 96 bits long",
        ),
        (
            "224.0.0.0/24",
            "224.0.0.0/24 is not a network that hosts can have addresses in",
        ),
        (
            "fe80::/64",
            "fe80::/64 is not a network that hosts can have addresses in",
        ),
        (
            "10.0.0.0/24,10.0.1.0/24",
            "10.0.1.0/24: a second subnet of its family; at most one IPv4 and one IPv6 subnet",
        ),
        (
            "10.129.0.0/24",
            "10.129.0.0/24 overlaps the cluster CIDR 10.128.0.0/14, out of which pods on router cluster get their \
             addresses; choose another subnet, or a router of its own with weft.dev/router",
        ),
    ] {
        on_namespace(&[(SUBNETS, value)], &format!("{subnets}{message}"));
    }
    on_namespace(
        &[(ROUTER, "a b")],
        "Namespace red: metadata.annotations[weft.dev/router]: \"a b\" is not a name; use lower case letters, digits and '-'",
    );
    let on_pod = |annotation: &str, value: &str, message: &str| {
        let red = namespace(
            "red",
            &[(ROUTER, "red"), (SUBNETS, "10.0.0.0/24,fd00:10::/64")],
        );
        check_refused(
            vec![red, pod("red", "a", "n1", &[(annotation, value)])],
            &format!("Pod red/a: metadata.annotations[{annotation}]: {message}"),
            &[],
        );
    };
    for (value, message) in [
        (
            "x",
            "\"x\" is not an IP address; write one such as 10.0.0.5",
        ),
        (
            "10.0.1.5",
            "10.0.1.5 is outside the subnets 10.0.0.0/24, fd00:10::/64 of namespace red",
        ),
        (
            "10.0.0.1",
            "10.0.0.1 is the gateway of 10.0.0.0/24, fd00:10::/64; choose another",
        ),
        (
            "10.0.0.255",
            "10.0.0.255 is not an address for a host in 10.0.0.0/24, fd00:10::/64; choose another",
        ),
        (
            "10.0.0.5,fd00:10::5",
            "10.0.0.5, fd00:10::5 do not belong together: the low 32 bits of the IPv6 address are the IPv4 address; \
             write 10.0.0.5, fd00:10::a00:5, or one of them",
        ),
    ] {
        on_pod(ADDRESSES, value, message);
    }
    for (value, message) in [
        (
            "1:2",
            "\"1:2\" is not a MAC address; write one such as 02:00:00:00:00:05",
        ),
        (
            "01:00:5e:00:00:01",
            "\"01:00:5e:00:00:01\" is a multicast MAC address; write one such as 02:00:00:00:00:05",
        ),
        (
            "0a:58:00:00:00:01",
            "\"0a:58:00:00:00:01\" is one of those that weft derives from addresses; write one such as 02:00:00:00:00:05",
        ),
    ] {
        on_pod(MAC, value, message);
    }
}

#[test]
fn an_address_chosen_in_the_cluster_cidr_has_to_be_the_nodes() {
    let mut index = dual();
    index.apply(pod("shop", "a", "n1", &[(ADDRESSES, "10.128.4.9")]));
    index.translate();
    index.apply(pod("shop", "b", "n2", &[(ADDRESSES, "10.128.4.20")]));
    index.apply(pod("shop", "c", "n1", &[(ADDRESSES, "192.168.0.1")]));
    index.apply(pod("shop", "d", "n1", &[(ADDRESSES, "10.128.4.9")]));
    index.translate();
    assert_eq!(
        messages(&index),
        [
            "Pod shop/b: metadata.annotations[weft.dev/addresses]: 10.128.4.20 cannot be had on node n2: the address is \
             in 10.128.4.0/24, which belongs to n1; choose another, or leave the choice to weft",
            "Pod shop/c: metadata.annotations[weft.dev/addresses]: 192.168.0.1 is outside the cluster CIDR \
             10.128.0.0/14, fd77:6566:7400::/64",
            "Pod shop/d: metadata.annotations[weft.dev/addresses]: 10.128.4.9 is held by pod shop/a; choose another, or \
             leave the choice to weft",
        ]
    );
    assert_eq!(
        ports(&index),
        ["shop_a: 10.128.4.9/32 fd77:6566:7400::a80:409/128"]
    );
}

#[test]
fn cluster_cidrs_that_cannot_be_used_are_refused() {
    let refused = |cidrs: &[&str]| {
        let cluster_cidrs = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
        Index::new(Config {
            cluster_cidrs,
            ..Config::default()
        })
        .unwrap_err()
        .to_string()
    };
    assert_eq!(
        refused(&[]),
        "no cluster CIDR; give one, such as 10.128.0.0/14"
    );
    assert!(refused(&["10.0.0.0/8", "11.0.0.0/8"]).starts_with("11.0.0.0/8: a second network"));
    assert!(refused(&["10.0.0.0/30"]).contains("at most /29"));
    assert!(refused(&["fd00::/97"]).contains("at most /96"));
}

#[test]
fn a_cluster_without_ipv4_counts_its_pods() {
    let mut index = index(&["fd00::/64"], &["n1"]);
    index.apply(pod("shop", "a", "n1", &[]));
    index.translate();
    assert_eq!(ports(&index), ["shop_a: fd00::a80:1/128"]);
}

#[test]
fn a_pod_that_moves_its_namespace_to_another_network_is_addressed_anew() {
    let mut index = dual();
    index.apply(pod("red", "a", "n1", &[]));
    index.translate();
    index.apply(namespace(
        "red",
        &[(ROUTER, "red"), (SUBNETS, "10.0.0.0/24")],
    ));
    let changes = index.translate().changes;
    assert_eq!(ports(&index), ["red_a: 10.0.0.2/24"]);
    let gone: Vec<&str> = changes
        .iter()
        .filter(|change| change.new.is_none())
        .map(|change| change.old.as_ref().unwrap().name())
        .collect();
    assert_eq!(
        gone,
        ["cluster"],
        "the cluster router has nobody left on it"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Namespace {
        namespace: u8,
        kind: u8,
    },
    Pod {
        namespace: u8,
        pod: u8,
        node: u8,
        uid: u8,
        address: Option<u8>,
    },
    DeleteNamespace(u8),
    DeletePod {
        namespace: u8,
        pod: u8,
    },
    Nodes(u8),
    Translate,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..4_u8, 0..5_u8).prop_map(|(namespace, kind)| Step::Namespace { namespace, kind }),
        8 => (0..4_u8, 0..12_u8, 0..3_u8, 0..2_u8, prop::option::weighted(0.1, 2..20_u8)).prop_map(
            |(namespace, pod, node, uid, address)| Step::Pod { namespace, pod, node, uid, address }
        ),
        1 => (0..4_u8).prop_map(Step::DeleteNamespace),
        4 => (0..4_u8, 0..12_u8).prop_map(|(namespace, pod)| Step::DeletePod { namespace, pod }),
        1 => (0..4_u8).prop_map(Step::Nodes),
        4 => Just(Step::Translate),
    ]
}

/// Networks that do not overlap, so that order decides nothing.
fn network(namespace: u8, kind: u8) -> Vec<(&'static str, String)> {
    let subnets = format!("10.{namespace}.0.0/28,fd00:{namespace}::/64");
    match kind {
        0 => vec![],
        1 => vec![(SUBNETS, subnets)],
        2 => vec![(ROUTER, "tenant".into())],
        3 => vec![(ROUTER, "tenant".into()), (SUBNETS, subnets)],
        _ => vec![
            (ROUTER, format!("own{namespace}")),
            (SUBNETS, format!("fd00:{namespace}::/64")),
        ],
    }
}

/// A model of the objects there are, beside the index that was told of them one by one.
#[derive(Default)]
struct Model {
    objects: BTreeMap<ObjectRef, Object>,
    nodes: Vec<String>,
}

impl Model {
    fn step(&mut self, index: &mut Index, step: &Step) {
        let ns = |number: &u8| format!("ns{number}");
        match step {
            Step::Namespace {
                namespace: number,
                kind,
            } => {
                let annotations = network(*number, *kind);
                let annotations: Vec<(&str, &str)> = annotations
                    .iter()
                    .map(|(key, value)| (*key, value.as_str()))
                    .collect();
                self.put(index, namespace(&ns(number), &annotations));
            }
            Step::Pod {
                namespace,
                pod: name,
                node,
                uid,
                address,
            } => {
                let address = address.map(|last| format!("10.{namespace}.0.{last}"));
                let annotations: Vec<(&str, &str)> = address
                    .iter()
                    .map(|address| (ADDRESSES, address.as_str()))
                    .collect();
                let object = pod(
                    &ns(namespace),
                    &format!("p{name}"),
                    &format!("n{node}"),
                    &annotations,
                );
                let Object::Pod(mut pod) = object else {
                    unreachable!()
                };
                pod.metadata.uid = Some(format!("{name}-{uid}"));
                self.put(index, Object::Pod(pod));
            }
            Step::DeleteNamespace(namespace) => {
                self.delete(index, &ObjectRef::namespace(&ns(namespace)))
            }
            Step::DeletePod { namespace, pod } => {
                self.delete(index, &ObjectRef::pod(&ns(namespace), &format!("p{pod}")));
            }
            Step::Nodes(count) => {
                self.nodes = (0..*count).map(|node| format!("n{node}")).collect();
                index.set_nodes(self.nodes.iter().map(String::as_str));
            }
            Step::Translate => {}
        }
    }

    fn put(&mut self, index: &mut Index, object: Object) {
        self.objects.insert(object.reference(), object.clone());
        index.apply(object);
    }

    fn delete(&mut self, index: &mut Index, object: &ObjectRef) {
        self.objects.remove(object);
        index.delete(object);
    }
}

fn follow(rows: &mut BTreeMap<Uuid, NbRow>, changes: Vec<RowDelta>) {
    for change in changes {
        let old = match change.new.clone() {
            Some(row) => rows.insert(change.uuid, row),
            None => rows.remove(&change.uuid),
        };
        assert_eq!(old, change.old, "a change begins where the last one ended");
    }
}

fn records(index: &Index) -> Vec<Record> {
    let router_port = |namespace: &str| match index
        .rows()
        .get(&RowId::<LogicalRouterPort>::derived(namespace).uuid())
    {
        Some(NbRow::LogicalRouterPort(port)) => Some(port),
        _ => None,
    };
    index
        .rows()
        .values()
        .filter_map(|row| match row {
            NbRow::LogicalSwitchPort(port) => Record::from_rows(
                port,
                router_port(&port.external_ids["namespace"]).map(|port| &**port),
            ),
            _ => None,
        })
        .collect()
}

proptest! {
    #[test]
    fn whatever_happens_changes_add_up_to_rows_that_are_sound_and_a_restart_changes_none(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        let mut index = dual();
        let mut model = Model { nodes: vec!["n1".into(), "n2".into(), "n3".into()], ..Model::default() };
        let mut rows = BTreeMap::new();
        for step in &steps {
            model.step(&mut index, step);
            if matches!(step, Step::Translate) {
                follow(&mut rows, index.translate().changes);
                prop_assert_eq!(&rows, index.rows());
                check_sound(&rows)?;
            }
        }
        follow(&mut rows, index.translate().changes);
        check_sound(&rows)?;

        // A restart finds the rows of before.
        let mut restarted = dual();
        restarted.set_nodes(model.nodes.iter().map(String::as_str));
        restarted.reset(model.objects.values().cloned().collect(), records(&index));
        restarted.translate();
        if index.diagnostics().next().is_none() {
            prop_assert_eq!(restarted.rows(), index.rows());
        }

        // Nothing is left of what is gone.
        for object in model.objects.keys() {
            index.delete(object);
        }
        follow(&mut rows, index.translate().changes);
        prop_assert_eq!(rows, BTreeMap::new());
        prop_assert_eq!(index.diagnostics().count(), 0);
    }
}

/// References resolve, names are unique, and no address is twice on one router.
fn check_sound(rows: &BTreeMap<Uuid, NbRow>) -> Result<(), TestCaseError> {
    let mut names = BTreeSet::new();
    let mut referenced = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for row in rows.values() {
        prop_assert!(
            names.insert((row.table(), row.name())),
            "{} {} twice",
            row.table(),
            row.name()
        );
        match row {
            NbRow::LogicalSwitch(switch) => {
                let router = router_of(rows, switch);
                for port in &switch.ports {
                    prop_assert!(referenced.insert(*port));
                    let Some(NbRow::LogicalSwitchPort(port)) = rows.get(port) else {
                        return Err(TestCaseError::fail(format!(
                            "{} names no port",
                            switch.name
                        )));
                    };
                    for address in port
                        .addresses
                        .iter()
                        .flat_map(|list| list.split(' ').skip(1))
                    {
                        prop_assert!(
                            addresses.insert((router.clone(), address)),
                            "{address} twice on {router:?}"
                        );
                    }
                }
            }
            NbRow::LogicalRouter(router) => {
                for port in &router.ports {
                    prop_assert!(referenced.insert(*port));
                    prop_assert!(matches!(rows.get(port), Some(NbRow::LogicalRouterPort(_))));
                }
            }
            NbRow::LogicalRouterPort(port) => prop_assert!(!port.networks.is_empty()),
            _ => {}
        }
    }
    let ports: BTreeSet<Uuid> = rows
        .values()
        .filter(|row| {
            matches!(
                row,
                NbRow::LogicalSwitchPort(_) | NbRow::LogicalRouterPort(_)
            )
        })
        .map(NbRow::uuid)
        .collect();
    prop_assert_eq!(ports, referenced, "every port has exactly one owner");
    Ok(())
}

fn router_of(rows: &BTreeMap<Uuid, NbRow>, switch: &LogicalSwitch) -> Option<String> {
    switch.ports.iter().find_map(|port| match rows.get(port) {
        Some(NbRow::LogicalSwitchPort(port)) => port
            .options
            .get("router-port")
            .and_then(|name| name.split("_to_").next())
            .map(str::to_owned),
        _ => None,
    })
}
