//! Services: what rows they become, what is refused, and how little a change touches.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use weft_schema::service::Placement;

use super::super::{Config, HostConfig, Index, Object, RowDelta};
use super::*;

/// An object of its kind from JSON, as the API server would send it.
fn object(value: Value) -> Object {
    fn read<T: serde::de::DeserializeOwned>(value: Value) -> Box<T> {
        Box::new(serde_json::from_value(value).unwrap())
    }
    match value["kind"].as_str().unwrap() {
        "Namespace" => Object::Namespace(read(value)),
        "Pod" => Object::Pod(read(value)),
        "Node" => Object::Node(read(value)),
        "Service" => Object::Service(read(value)),
        "EndpointSlice" => Object::EndpointSlice(read(value)),
        other => unreachable!("{other}"),
    }
}

/// `spec` of a Service `shop/NAME`.
fn service(name: &str, spec: Value) -> Object {
    object(json!({"kind": "Service", "apiVersion": "v1", "spec": spec,
        "metadata": {"namespace": "shop", "name": name}}))
}

/// A Service with one port, and these fields more.
fn simple(name: &str, more: Value) -> Object {
    let mut spec = json!({
        "clusterIP": "10.96.0.10",
        "selector": {"app": "web"},
        "ports": [{"port": 80, "targetPort": 8080}],
    });
    merge(&mut spec, more);
    service(name, spec)
}

fn merge(into: &mut Value, more: Value) {
    for (key, value) in more.as_object().unwrap() {
        into[key] = value.clone();
    }
}

/// Pod `shop/NAME` of `app: web` on a node, with these top-level fields more.
fn pod(name: &str, node: &str, more: Value) -> Object {
    let mut pod = json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"namespace": "shop", "name": name, "uid": name, "labels": {"app": "web"}},
        "spec": {"nodeName": node, "containers": [
            {"name": "main", "ports": [{"name": "http", "containerPort": 8000}]},
        ]},
    });
    for (key, value) in more.as_object().unwrap() {
        merge(&mut pod[key], value.clone());
    }
    object(pod)
}

fn node(name: &str, zone: &str, address: &str) -> Object {
    object(json!({"kind": "Node", "apiVersion": "v1",
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]}}))
}

fn not_ready(terminating: bool) -> Value {
    let metadata = match terminating {
        true => json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}),
        false => json!({}),
    };
    let status = if terminating { "True" } else { "False" };
    json!({"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": status}]}})
}

fn with(config: Config) -> Index {
    let mut index = Index::new(config).unwrap();
    for (name, zone, address) in [
        ("n1", "a", "192.0.2.1"),
        ("n2", "a", "192.0.2.2"),
        ("n3", "b", "192.0.2.3"),
    ] {
        index.apply(node(name, zone, address));
    }
    index
}

fn without_hosts() -> Index {
    with(Config::default())
}

fn with_hosts() -> Index {
    with(Config {
        hosts: Some(HostConfig::default()),
        ..Config::default()
    })
}

/// Pods web-1 on n1 (10.128.0.1), web-2 on n2 (10.128.1.1), web-3 on n3 (10.128.2.1).
fn apply_pods(index: &mut Index) {
    for (name, node) in [("web-1", "n1"), ("web-2", "n2"), ("web-3", "n3")] {
        index.apply(pod(name, node, json!({})));
    }
    index.translate();
}

fn balancers(index: &Index) -> BTreeMap<String, LoadBalancer> {
    let rows = index.rows().values().filter_map(|row| match row {
        NbRow::LoadBalancer(row) => Some((row.name.clone(), (**row).clone())),
        _ => None,
    });
    rows.collect()
}

/// `NAME VIP = ENDPOINTS` of every row.
fn vips(index: &Index) -> Vec<String> {
    balancers(index)
        .iter()
        .flat_map(|(name, row)| {
            let vips = row.vips.iter();
            vips.map(move |(vip, endpoints)| format!("{name} {vip} = {endpoints}"))
        })
        .collect()
}

fn group(index: &Index, name: &str) -> Vec<String> {
    let NbRow::LoadBalancerGroup(row) = &index.rows()[&group_id(name)] else {
        unreachable!()
    };
    let names = row.load_balancer.iter();
    let mut names: Vec<String> = names
        .map(|row| index.rows()[row].name().to_owned())
        .collect();
    names.sort();
    names
}

fn messages(index: &Index) -> Vec<String> {
    index.diagnostics().map(ToString::to_string).collect()
}

#[track_caller]
fn check(index: &mut Index, service: Object, expected: &[&str]) {
    index.apply(service);
    index.translate();
    assert_eq!(messages(index), [""; 0]);
    assert_eq!(vips(index), expected);
}

/// The Service has these virtual addresses, and one thing wrong with it.
#[track_caller]
fn check_refused(index: &mut Index, service: Object, expected: &[&str], message: &str) {
    index.apply(service);
    index.translate();
    assert_eq!(messages(index), [message]);
    assert_eq!(vips(index), expected);
}

#[test]
fn a_service_is_a_load_balancer_in_the_group_of_its_router() {
    let mut index = without_hosts();
    apply_pods(&mut index);
    check(
        &mut index,
        simple("web", json!({})),
        &["shop/web:tcp 10.96.0.10:80 = 10.128.0.1:8080,10.128.1.1:8080,10.128.2.1:8080"],
    );
    let row = &balancers(&index)["shop/web:tcp"];
    assert_eq!(
        row.uuid,
        RowId::<LoadBalancer>::derived("shop/web:tcp").uuid()
    );
    assert_eq!(row.protocol.as_deref(), Some("tcp"));
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect()
    };
    let hairpin = ("hairpin_snat_ip", "169.254.77.4 fd69:77::4");
    assert_eq!(row.options, map(&[("reject", "true"), hairpin]));
    let owner = [
        ("namespace", "shop"),
        ("service", "web"),
        ("weft-owner", "northd"),
    ];
    assert_eq!(row.external_ids, map(&owner));
    assert_eq!(group(&index, "cluster"), ["shop/web:tcp"]);
    let switches: Vec<_> = index
        .rows()
        .values()
        .filter_map(|row| match row {
            NbRow::LogicalSwitch(row) => Some((row.name.as_str(), row.load_balancer_group.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(switches, [("shop", vec![group_id("cluster")])]);

    index.delete(&ObjectRef::service("shop", "web"));
    let gone = index.translate().changes;
    assert_eq!(gone.len(), 3, "row, group and switch: {gone:?}");
    assert_eq!(vips(&index), [""; 0]);
}

#[test]
fn ports_of_one_protocol_share_a_row_and_a_named_one_is_each_pods_own() {
    let mut index = without_hosts();
    apply_pods(&mut index);
    let sidecar = json!({"spec": {
        "containers": [],
        "initContainers": [{"name": "s", "restartPolicy": "Always",
            "ports": [{"name": "http", "containerPort": 9000}]}],
    }});
    index.apply(pod("web-4", "n1", sidecar));
    let ports = json!([
        {"name": "web", "port": 80, "targetPort": "http"},
        {"name": "admin", "port": 81},
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 5353},
        {"name": "sigtran", "port": 2905, "protocol": "SCTP"},
        {"name": "nobody", "port": 99, "targetPort": "none"},
    ]);
    check(
        &mut index,
        simple("web", json!({"ports": ports})),
        &[
            "shop/web:sctp 10.96.0.10:2905 = 10.128.0.1:2905,10.128.0.2:2905,10.128.1.1:2905,10.128.2.1:2905",
            "shop/web:tcp 10.96.0.10:80 = 10.128.0.1:8000,10.128.0.2:9000,10.128.1.1:8000,10.128.2.1:8000",
            "shop/web:tcp 10.96.0.10:81 = 10.128.0.1:81,10.128.0.2:81,10.128.1.1:81,10.128.2.1:81",
            "shop/web:tcp 10.96.0.10:99 = ",
            "shop/web:udp 10.96.0.10:53 = 10.128.0.1:5353,10.128.0.2:5353,10.128.1.1:5353,10.128.2.1:5353",
        ],
    );
}

#[test]
fn a_headless_service_and_a_name_are_nothing() {
    let mut index = without_hosts();
    apply_pods(&mut index);
    check(&mut index, simple("web", json!({"clusterIP": "None"})), &[]);
    let name = json!({"type": "ExternalName", "externalName": "example.org"});
    check(&mut index, simple("web", name), &[]);
    // A Service that becomes headless loses its rows.
    check(
        &mut index,
        simple("web", json!({"selector": {"app": "none"}})),
        &["shop/web:tcp 10.96.0.10:80 = "],
    );
    check(&mut index, simple("web", json!({"clusterIP": "None"})), &[]);
}

#[test]
fn both_families_have_their_own_endpoints() {
    let mut index = without_hosts();
    index.apply(pod("web-1", "n1", json!({})));
    check(
        &mut index,
        simple(
            "web",
            json!({"clusterIPs": ["10.96.0.10", "fd77:6566:7400:3::a"]}),
        ),
        &[
            "shop/web:tcp 10.96.0.10:80 = 10.128.0.1:8080",
            "shop/web:tcp [fd77:6566:7400:3::a]:80 = [fd77:6566:7400::a80:1]:8080",
        ],
    );
}

#[test]
fn node_ports_are_virtual_addresses_for_hosts_alone() {
    let mut index = with_hosts();
    index.apply(pod("web-1", "n1", json!({})));
    let ports = json!([{"port": 80, "targetPort": 8080, "nodePort": 30080}]);
    let dual = json!({"type": "NodePort", "ports": ports, "ipFamilyPolicy": "PreferDualStack"});
    check(
        &mut index,
        simple("web", dual),
        &[
            "shop/web:tcp 10.96.0.10:80 = 10.128.0.1:8080",
            "shop/web:tcp@hosts 169.254.77.2:30080 = 10.128.0.1:8080",
            "shop/web:tcp@hosts [fd69:77::2]:30080 = [fd77:6566:7400::a80:1]:8080",
        ],
    );
    assert_eq!(group(&index, "cluster"), ["shop/web:tcp"]);
    let both = ["shop/web:tcp", "shop/web:tcp@hosts"];
    assert_eq!(group(&index, "cluster_hosts"), both);
    let hosts = &balancers(&index)["shop/web:tcp@hosts"];
    assert!(!hosts.options.contains_key("skip_snat"));
}

#[test]
fn with_a_local_policy_hosts_use_the_nodes_own_endpoints_and_pods_use_all() {
    let mut index = with_hosts();
    apply_pods(&mut index);
    let ports = json!([{"port": 80, "targetPort": 8080, "nodePort": 30080}]);
    let local = json!({"type": "NodePort", "ports": ports, "externalIPs": ["198.51.100.7"],
        "externalTrafficPolicy": "Local"});
    let all = "10.128.0.1:8080,10.128.1.1:8080,10.128.2.1:8080";
    check(
        &mut index,
        simple("web", local),
        &[
            &format!("shop/web:tcp 10.96.0.10:80 = {all}"),
            &format!("shop/web:tcp@hosts 169.254.77.2:30080 = {all}"),
            &format!("shop/web:tcp@hosts 198.51.100.7:80 = {all}"),
            &format!("shop/web:tcp@pods 198.51.100.7:80 = {all}"),
        ],
    );
    assert_eq!(
        group(&index, "cluster"),
        ["shop/web:tcp", "shop/web:tcp@pods"]
    );
    let of_hosts = ["shop/web:tcp", "shop/web:tcp@hosts"];
    assert_eq!(group(&index, "cluster_hosts"), of_hosts);
    let rows = balancers(&index);
    let hosts = &rows["shop/web:tcp@hosts"].options;
    assert_eq!(hosts["skip_snat"], "true");
    let (placement, _) = Placement::of(hosts);
    let endpoints: Vec<IpAddr> = ["10.128.0.1", "10.128.1.1"]
        .map(|it| it.parse().unwrap())
        .into();
    let chosen = |node| placement.choose(node, None, &endpoints, |address| *address);
    assert_eq!(chosen("n2"), [endpoints[1]]);
    assert_eq!(chosen("n4"), [] as [IpAddr; 0]);
    for row in ["shop/web:tcp", "shop/web:tcp@pods"] {
        assert!(Placement::of(&rows[row].options).0.is_everywhere(), "{row}");
    }
}

#[test]
fn an_internal_policy_is_about_cluster_addresses_alone() {
    let mut index = with_hosts();
    index.apply(pod("web-1", "n1", json!({})));
    let local = json!({"internalTrafficPolicy": "Local", "externalIPs": ["198.51.100.7"]});
    check(
        &mut index,
        simple("web", local),
        &[
            "shop/web:tcp 198.51.100.7:80 = 10.128.0.1:8080",
            "shop/web:tcp@local 10.96.0.10:80 = 10.128.0.1:8080",
        ],
    );
    let local = &balancers(&index)["shop/web:tcp@local"].options;
    assert_eq!(local["weft-node:n1"], "10.128.0.1");
    assert!(local.contains_key("weft-local") && !local.contains_key("skip_snat"));
}

#[test]
fn load_balancer_addresses_come_from_annotation_field_status_or_pool_in_this_order() {
    let mut index = with(Config {
        load_balancer_pool: vec!["203.0.113.0/28".parse().unwrap()],
        ..Config::default()
    });
    let base = json!({"kind": "Service", "apiVersion": "v1",
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.10", "ports": [{"port": 80}]}});
    let mut steps = Vec::new();
    steps.push((base.clone(), None));
    let mut next = base;
    next["status"] = json!({"loadBalancer": {"ingress": [
        {"ip": "198.51.100.3"}, {"ip": "198.51.100.9", "ipMode": "Proxy"}]}});
    steps.push((next.clone(), Some("198.51.100.3")));
    next["spec"]["loadBalancerIP"] = json!("198.51.100.2");
    steps.push((next.clone(), Some("198.51.100.2")));
    next["metadata"]["annotations"] = json!({"weft.dev/load-balancer-ip": "198.51.100.1"});
    steps.push((next.clone(), Some("198.51.100.1")));
    for (service, address) in steps {
        index.apply(object(service));
        index.translate();
        assert_eq!(messages(&index), [""; 0]);
        let row = &balancers(&index)["shop/web:tcp"];
        let external: Vec<&String> = row
            .vips
            .keys()
            .filter(|vip| *vip != "10.96.0.10:80")
            .collect();
        match address {
            Some(address) => assert_eq!(external, [&format!("{address}:80")]),
            None => assert!(external[0].starts_with("203.0.113."), "{external:?}"),
        }
    }
    // A class of somebody else's, who has not given one yet.
    next["metadata"]["annotations"] = json!(null);
    next["spec"]["loadBalancerIP"] = json!(null);
    next["spec"]["loadBalancerClass"] = json!("example.org/x");
    next["status"] = json!({});
    check(&mut index, object(next), &["shop/web:tcp 10.96.0.10:80 = "]);
}

#[test]
fn a_client_keeps_its_endpoint_for_as_long_as_it_says() {
    let mut index = without_hosts();
    let affinity = json!({"sessionAffinity": "ClientIP"});
    check(
        &mut index,
        simple("web", affinity.clone()),
        &["shop/web:tcp 10.96.0.10:80 = "],
    );
    let timeout =
        |index: &Index| balancers(index)["shop/web:tcp"].options["affinity_timeout"].clone();
    assert_eq!(timeout(&index), "10800");
    let mut long = affinity;
    long["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": 86400}});
    check_refused(
        &mut index,
        simple("web", long),
        &["shop/web:tcp 10.96.0.10:80 = "],
        "Service shop/web: spec.sessionAffinityConfig.clientIP.timeoutSeconds: 86400: a client keeps its endpoint for at most 65535 seconds, which count",
    );
    assert_eq!(timeout(&index), "65535");
}

#[test]
fn endpoints_that_end_serve_until_another_is_ready() {
    let mut index = without_hosts();
    index.apply(pod("web-1", "n1", not_ready(true)));
    index.apply(pod("web-2", "n2", not_ready(false)));
    check(
        &mut index,
        simple("web", json!({})),
        &["shop/web:tcp 10.96.0.10:80 = 10.128.0.1:8080"],
    );
    check(
        &mut index,
        pod("web-2", "n2", json!({})),
        &["shop/web:tcp 10.96.0.10:80 = 10.128.1.1:8080"],
    );
    // On its own node it serves on.
    check(
        &mut index,
        simple("web", json!({"internalTrafficPolicy": "Local"})),
        &["shop/web:tcp@local 10.96.0.10:80 = 10.128.0.1:8080,10.128.1.1:8080"],
    );
    check(
        &mut index,
        simple("web", json!({"publishNotReadyAddresses": true})),
        &["shop/web:tcp 10.96.0.10:80 = 10.128.0.1:8080,10.128.1.1:8080"],
    );
    check(
        &mut index,
        pod("web-2", "n2", json!({"status": {"phase": "Failed"}})),
        &["shop/web:tcp 10.96.0.10:80 = 10.128.0.1:8080"],
    );
}

#[test]
fn a_pod_on_the_hosts_network_is_an_endpoint_at_its_nodes_address() {
    let mut index = with_hosts();
    index.apply(pod("web-1", "n1", json!({"spec": {"hostNetwork": true}})));
    index.apply(pod("web-2", "n2", json!({})));
    check(
        &mut index,
        simple("web", json!({"internalTrafficPolicy": "Local"})),
        &["shop/web:tcp@local 10.96.0.10:80 = 10.128.0.1:8080,192.0.2.1:8080"],
    );
    let options = &balancers(&index)["shop/web:tcp@local"].options;
    assert_eq!(options["weft-node:n1"], "192.0.2.1");
    // The node moves.
    check(
        &mut index,
        node("n1", "a", "192.0.2.9"),
        &["shop/web:tcp@local 10.96.0.10:80 = 10.128.0.1:8080,192.0.2.9:8080"],
    );
    // Everything that is there goes when it is no longer said.
    index.reset(vec![node("n1", "a", "192.0.2.9")], Vec::new());
    index.translate();
    assert_eq!(vips(&index), [""; 0]);
    index.apply(simple("web", json!({})));
    index.translate();
    assert_eq!(vips(&index), ["shop/web:tcp 10.96.0.10:80 = "]);
}

fn slice(name: &str, family: &str, endpoints: Value) -> Object {
    object(
        json!({"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"namespace": "shop", "name": name,
            "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": family,
        "ports": [{"name": "", "port": 5432, "protocol": "TCP"}],
        "endpoints": endpoints}),
    )
}

fn db(more: Value) -> Object {
    let mut spec = json!({"clusterIP": "10.96.0.20", "ports": [{"port": 5432}]});
    merge(&mut spec, more);
    service("db", spec)
}

#[test]
fn slices_say_which_endpoints_a_service_without_selector_has() {
    let mut index = with_hosts();
    let endpoints = json!([
        {"addresses": ["192.0.2.200"], "nodeName": "n1"},
        {"addresses": ["192.0.2.201"], "conditions": {"ready": false}},
        {"addresses": ["192.0.2.202"], "conditions": {"ready": false, "serving": true, "terminating": true}},
    ]);
    index.apply(slice("db-1", "IPv4", endpoints));
    check(
        &mut index,
        db(json!({})),
        &["shop/db:tcp 10.96.0.20:5432 = 192.0.2.200:5432"],
    );
    // The same endpoint in two slices is one.
    let more = json!([{"addresses": ["192.0.2.200"]}, {"addresses": ["192.0.2.203"]}]);
    check(
        &mut index,
        slice("db-2", "IPv4", more),
        &["shop/db:tcp 10.96.0.20:5432 = 192.0.2.200:5432,192.0.2.203:5432"],
    );
    index.delete(&ObjectRef::endpoint_slice("shop", "db-2"));
    index.delete(&ObjectRef::endpoint_slice("shop", "db-1"));
    index.translate();
    assert_eq!(vips(&index), ["shop/db:tcp 10.96.0.20:5432 = "]);
}

#[test]
fn hints_count_when_every_ready_endpoint_has_one() {
    let mut index = with_hosts();
    let hint = |address: &str, zone: &str| json!({"addresses": [address], "hints": {"forZones": [{"name": zone}]}});
    index.apply(slice(
        "db-1",
        "IPv4",
        json!([hint("192.0.2.7", "a"), hint("192.0.2.8", "b")]),
    ));
    let vips = ["shop/db:tcp 10.96.0.20:5432 = 192.0.2.7:5432,192.0.2.8:5432"];
    check(&mut index, db(json!({})), &vips);
    let options = |index: &Index| balancers(index)["shop/db:tcp"].options.clone();
    assert_eq!(options(&index)["weft-zone:a"], "192.0.2.7");
    assert_eq!(options(&index)["weft-zone:b"], "192.0.2.8");
    let one_without = json!([hint("192.0.2.7", "a"), {"addresses": ["192.0.2.8"]}]);
    check(&mut index, slice("db-1", "IPv4", one_without), &vips);
    assert!(Placement::of(&options(&index)).0.is_everywhere());
}

#[test]
fn traffic_distribution_prefers_the_zone_or_the_node() {
    let mut index = without_hosts();
    apply_pods(&mut index);
    let all = ["shop/web:tcp 10.96.0.10:80 = 10.128.0.1:8080,10.128.1.1:8080,10.128.2.1:8080"];
    check(
        &mut index,
        simple("web", json!({"trafficDistribution": "PreferClose"})),
        &all,
    );
    let options = |index: &Index| balancers(index)["shop/web:tcp"].options.clone();
    assert_eq!(options(&index)["weft-zone:a"], "10.128.0.1 10.128.1.1");
    assert_eq!(options(&index)["weft-zone:b"], "10.128.2.1");
    check(
        &mut index,
        simple("web", json!({"trafficDistribution": "PreferSameNode"})),
        &all,
    );
    assert_eq!(options(&index)["weft-node:n2"], "10.128.1.1");
    assert!(!options(&index).contains_key("weft-local"));
    // The node moves to another zone.
    check(&mut index, node("n2", "b", "192.0.2.2"), &all);
    assert_eq!(options(&index)["weft-zone:b"], "10.128.1.1 10.128.2.1");
}

#[test]
fn a_tenants_service_is_in_its_own_group_and_has_no_node_ports() {
    let mut index = with_hosts();
    index.apply(object(json!({"kind": "Namespace", "apiVersion": "v1",
        "metadata": {"name": "shop", "annotations":
            {"weft.dev/router": "red", "weft.dev/subnets": "10.0.0.0/24"}}})));
    index.apply(pod("web-1", "n1", json!({})));
    check_refused(
        &mut index,
        simple("web", json!({"type": "NodePort"})),
        &["shop/web:tcp 10.96.0.10:80 = 10.0.0.2:8080"],
        "Service shop/web: spec.type: node ports are not served: namespace shop is on router red, which no host is on",
    );
    assert_eq!(group(&index, "red"), ["shop/web:tcp"]);
    assert!(!index.rows().contains_key(&group_id("cluster")));
    // An address from outside is in nobody's reach there.
    let outside = json!([{"addresses": ["192.0.2.7"]}, {"addresses": ["192.0.2.8"]}]);
    index.delete(&ObjectRef::service("shop", "web"));
    index.apply(slice("db-1", "IPv4", outside));
    check_refused(
        &mut index,
        db(json!({})),
        &["shop/db:tcp 10.96.0.20:5432 = "],
        "Service shop/db: spec.selector: endpoint 192.0.2.7 and 1 more: outside every network that router red leads to; left out",
    );
    // Back on the cluster's router the rows move.
    index.delete(&ObjectRef::namespace("shop"));
    index.translate();
    assert_eq!(group(&index, "cluster"), ["shop/db:tcp"]);
    assert!(!index.rows().contains_key(&group_id("red")));
    assert_eq!(messages(&index), [""; 0]);
}

#[test]
fn what_is_wrong_is_told_by_name_and_field_and_the_rest_counts() {
    let web = ["shop/web:tcp 10.96.0.10:80 = "];
    let port_0 = json!({"ports": [{"port": 0}, {"port": 80}]});
    let twice = json!({"ports": [{"port": 80}, {"port": 80, "name": "b"}]});
    let families = json!({"ipFamilies": ["IPv6"], "clusterIPs": ["10.96.0.10"]});
    let mixed = json!({"externalIPs": ["2001:db8::1"]});
    let cases: Vec<(Value, &[&str], &str)> = vec![
        (
            port_0,
            &web,
            "spec.ports[0].port: 0 is not a port; use one from 1 to 65535",
        ),
        (
            twice,
            &web,
            "spec.ports[1].port: 80/TCP comes twice; remove one",
        ),
        (
            json!({"ports": [{"port": 80, "targetPort": 70000}, {"port": 80}]}),
            &web,
            "spec.ports[0].targetPort: 70000 is not a port; use one from 1 to 65535",
        ),
        (
            json!({"ports": [{"port": 1, "protocol": "ICMP"}, {"port": 80}]}),
            &web,
            "spec.ports[0].protocol: \"ICMP\" is no protocol; use TCP, UDP or SCTP",
        ),
        (
            json!({"ports": []}),
            &[],
            "spec.ports: is empty; name a port, or make the Service headless with clusterIP: None",
        ),
        (
            json!({"clusterIP": "10.128.3.4"}),
            &[],
            "spec.clusterIP: 10.128.3.4 lies in the cluster CIDR 10.128.0.0/14, where pods and nodes have theirs; choose another",
        ),
        (
            json!({"clusterIP": "100.64.0.9"}),
            &[],
            "spec.clusterIP: 100.64.0.9 lies in the join network 100.64.0.0/16, where pods and nodes have theirs; choose another",
        ),
        (
            json!({"clusterIP": "10.7.0.9"}),
            &[],
            "spec.clusterIP: 10.7.0.9 lies in 10.7.0.0/24 of namespace flat, where pods and nodes have theirs; choose another",
        ),
        (
            json!({"clusterIP": "10.96.0.300"}),
            &[],
            "spec.clusterIP: \"10.96.0.300\" is not an IP address; write one such as 10.96.0.10",
        ),
        (
            json!({"externalIPs": ["127.0.0.1"]}),
            &web,
            "spec.externalIPs[0]: 127.0.0.1 is not an address of a host",
        ),
        (
            families,
            &[],
            "spec.clusterIPs[0]: 10.96.0.10 is an IPv4 address, and the Service's family is IPv6; see spec.ipFamilies",
        ),
        (
            mixed,
            &web,
            "spec.externalIPs[0]: 2001:db8::1 is an IPv6 address, and the Service's family is IPv4; see spec.ipFamilies",
        ),
        (
            json!({"clusterIPs": ["10.96.0.10", "10.96.0.11"]}),
            &web,
            "spec.clusterIPs[1]: 10.96.0.11: a second address of its family; at most one IPv4 and one IPv6 address",
        ),
        (
            json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}),
            &web,
            "spec.ports[0].nodePort: 80 is not a node port; use one from 30000 to 32767",
        ),
        (
            json!({"ports": [{"port": 80, "nodePort": 30080}]}),
            &web,
            "spec.ports[0].nodePort: counts with type NodePort or LoadBalancer only",
        ),
        (
            json!({"internalTrafficPolicy": "local"}),
            &web,
            "spec.internalTrafficPolicy: \"local\" is no policy; use Cluster or Local",
        ),
        (
            json!({"sessionAffinity": "Cookie"}),
            &web,
            "spec.sessionAffinity: \"Cookie\" is none; use ClientIP or None",
        ),
        (
            json!({"type": "Sometimes"}),
            &[],
            "spec.type: \"Sometimes\" is no type; use ClusterIP, NodePort, LoadBalancer or ExternalName",
        ),
        (
            json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false}),
            &web,
            "spec.type: LoadBalancer: no address: name one with the annotation weft.dev/load-balancer-ip, or give a pool with --load-balancer-pool",
        ),
        (
            json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false,
                "loadBalancerIP": "198.51.100.1", "loadBalancerSourceRanges": ["192.0.2.0/24"]}),
            &web,
            "spec.loadBalancerSourceRanges: cannot be enforced yet, so the Service gets no load balancer address; remove it, and everybody may ask",
        ),
    ];
    for (spec, expected, message) in cases {
        let mut index = with_hosts();
        index.apply(object(
            json!({"kind": "Namespace", "apiVersion": "v1", "metadata":
            {"name": "flat", "annotations": {"weft.dev/subnets": "10.7.0.0/24"}}}),
        ));
        let message = format!("Service shop/web: {message}");
        check_refused(&mut index, simple("web", spec), expected, &message);
    }
}

#[test]
fn endpoints_of_the_wrong_family_or_nobodys_are_told_with_slice_and_field() {
    let mut index = with_hosts();
    let endpoints = json!([
        {"addresses": ["2001:db8::1"]}, {"addresses": ["127.0.0.1"]},
        {"addresses": ["x"]}, {"addresses": ["192.0.2.7"]},
    ]);
    index.apply(slice("db-1", "IPv4", endpoints));
    index.apply(db(json!({})));
    index.translate();
    let field =
        |number| format!("Service shop/db: EndpointSlice db-1: endpoints[{number}].addresses[0]: ");
    assert_eq!(
        messages(&index),
        [
            field(0) + "2001:db8::1 is not an IPv4 address",
            field(1) + "127.0.0.1 is not an address of a host",
            field(2) + "\"x\" is not an IP address",
        ]
    );
    assert_eq!(
        vips(&index),
        ["shop/db:tcp 10.96.0.20:5432 = 192.0.2.7:5432"]
    );
    // Endpoints of one family, an address of the other.
    index.apply(slice(
        "db-1",
        "IPv6",
        json!([{"addresses": ["2001:db8::1"]}]),
    ));
    check_refused(
        &mut index,
        db(json!({})),
        &["shop/db:tcp 10.96.0.20:5432 = "],
        "Service shop/db: spec.ipFamilies: IPv4: all endpoints have IPv6 addresses, so nobody answers here",
    );
}

#[test]
fn of_two_that_want_the_same_the_older_has_it_whatever_the_order() {
    let made = |name: &str, year: u32, spec: Value| {
        object(json!({"kind": "Service", "apiVersion": "v1", "spec": spec,
            "metadata": {"namespace": "shop", "name": name,
                "creationTimestamp": format!("{year}-01-01T00:00:00Z")}}))
    };
    let spec = |ip: &str, node_port: u16| {
        json!({"type": "NodePort", "clusterIP": ip, "externalIPs": ["198.51.100.1"],
            "ports": [{"port": 80, "nodePort": node_port}]})
    };
    let old = made("old", 2020, spec("10.96.0.10", 30080));
    let new = made("a-new", 2021, spec("10.96.0.10", 30080));
    for order in [[&old, &new], [&new, &old]] {
        let mut index = with_hosts();
        for service in order {
            index.apply(service.clone());
            index.translate();
        }
        assert_eq!(
            messages(&index),
            [
                "Service shop/a-new: spec.clusterIP: 10.96.0.10 is the address of Service shop/old; choose another, or leave the choice to weft",
                "Service shop/a-new: spec.externalIPs[0]: 198.51.100.1:80 TCP is served by Service shop/old already; choose another address or port",
                "Service shop/a-new: spec.ports[0].nodePort: 30080 TCP is the node port of Service shop/old; choose another, or leave the choice to weft",
            ]
        );
        assert!(vips(&index).iter().all(|vip| vip.starts_with("shop/old:")));
        // Once it is gone, the other has it.
        index.delete(&ObjectRef::service("shop", "old"));
        index.translate();
        assert_eq!(messages(&index), [""; 0]);
        assert_eq!(vips(&index).len(), 3);
    }
    // The same address on another port, or another protocol, is no clash.
    let mut index = without_hosts();
    let on = |port: u16, protocol: &str| {
        json!({"clusterIP": "", "externalIPs": ["198.51.100.1"],
            "ports": [{"port": port, "protocol": protocol}]})
    };
    for (name, spec) in [
        ("a", on(80, "TCP")),
        ("b", on(81, "TCP")),
        ("c", on(80, "UDP")),
    ] {
        index.apply(service(name, spec));
    }
    index.translate();
    assert_eq!(messages(&index), [""; 0]);
}

#[test]
fn given_addresses_depend_on_names_alone_and_give_way_to_named_ones() {
    let names: Vec<String> = (0..40).map(|number| format!("s{number}")).collect();
    let open = |name: &str| {
        service(
            name,
            json!({"ports": [{"port": 80}], "ipFamilyPolicy": "PreferDualStack"}),
        )
    };
    let given = |order: Vec<&String>| {
        let mut index = without_hosts();
        order.iter().for_each(|name| index.apply(open(name)));
        index.translate();
        assert_eq!(messages(&index), [""; 0]);
        vips(&index)
    };
    let all = given(names.iter().collect());
    assert_eq!(given(names.iter().rev().collect()), all);
    assert_eq!(all.len(), 80);
    let addresses: BTreeSet<&str> = all.iter().filter_map(|vip| vip.split(' ').nth(1)).collect();
    assert_eq!(addresses.len(), 80, "each has its own");
    let alone = given(vec![&names[7]]);
    assert!(alone.iter().all(|vip| all.contains(vip)), "{alone:?}");

    // Somebody names the address: it is theirs, and the other gets a new one.
    let mut index = without_hosts();
    index.apply(open("s7"));
    index.translate();
    let before = vips(&index);
    let taken = before[0]
        .split(' ')
        .nth(1)
        .unwrap()
        .trim_end_matches(":80")
        .to_owned();
    index.apply(service(
        "zz",
        json!({"clusterIP": taken, "ports": [{"port": 80}]}),
    ));
    index.translate();
    assert_eq!(messages(&index), [""; 0]);
    let holders: Vec<String> = vips(&index)
        .into_iter()
        .filter(|vip| vip.contains(&format!(" {taken}:80 ")))
        .collect();
    assert_eq!(holders, [format!("shop/zz:tcp {taken}:80 = ")]);
    assert_eq!(vips(&index).len(), 3);
}

#[test]
fn node_ports_and_pool_addresses_are_given_until_none_is_left() {
    let mut index = with(Config {
        hosts: Some(HostConfig::default()),
        load_balancer_pool: vec!["203.0.113.0/30".parse().unwrap()],
        ..Config::default()
    });
    let one = json!({"type": "LoadBalancer", "ports": [{"port": 80}, {"port": 81}]});
    for name in ["a", "b", "c"] {
        index.apply(service(name, one.clone()));
    }
    index.translate();
    assert_eq!(
        messages(&index),
        [
            "Service shop/c: spec.type: LoadBalancer: no address: the pool 203.0.113.0/30 is used up, or of another family"
        ]
    );
    let rows = balancers(&index);
    let node_ports: BTreeSet<&String> = ["a", "b", "c"]
        .iter()
        .flat_map(|name| rows[&format!("shop/{name}:tcp@hosts")].vips.keys())
        .collect();
    assert_eq!(node_ports.len(), 6, "{node_ports:?}");
    // What was given back is there for who waits.
    index.delete(&ObjectRef::service("shop", "a"));
    index.translate();
    assert_eq!(messages(&index), [""; 0]);
}

#[test]
fn three_hundred_ports_and_five_thousand_endpoints_work_and_their_product_is_told() {
    let endpoints: Vec<Value> = (0..5000)
        .map(|number| json!({"addresses": [format!("198.18.{}.{}", number / 250, number % 250 + 1)]}))
        .collect();
    let mut index = with_hosts();
    index.apply(slice("db-1", "IPv4", json!(endpoints)));
    index.apply(db(json!({})));
    index.translate();
    assert_eq!(messages(&index), [""; 0]);
    let list = balancers(&index)["shop/db:tcp"].vips["10.96.0.20:5432"].clone();
    assert_eq!(list.split(',').count(), 5000);
    let ports: Vec<Value> = (1..=300)
        .map(|port| json!({"port": port, "name": format!("p{port}")}))
        .collect();
    index.apply(service(
        "many",
        json!({"clusterIP": "10.96.0.30", "ports": ports}),
    ));
    index.translate();
    assert_eq!(balancers(&index)["shop/many:tcp"].vips.len(), 300);
    let ports: Vec<Value> = (1..=300).map(|port| json!({"port": port})).collect();
    let left = vips(&index);
    let left: Vec<&str> = left
        .iter()
        .map(String::as_str)
        .filter(|vip| vip.starts_with("shop/many"))
        .collect();
    check_refused(
        &mut index,
        db(json!({"ports": ports})),
        &left,
        "Service shop/db: spec.ports: 300 virtual addresses with ports, and their endpoints, make 1500000 pairs; at most 250000 are possible: divide the Service",
    );
}

#[test]
fn an_endpoint_more_changes_one_row_and_a_service_more_changes_its_row_and_the_group() {
    let mut index = with_hosts();
    for number in 0..2000 {
        let app = format!("app-{number}");
        index.apply(service(
            &app,
            json!({"selector": {"app": app}, "ports": [{"port": 80}]}),
        ));
        for replica in 0..10 {
            let labels = json!({"metadata": {"labels": {"app": app}}});
            index.apply(pod(
                &format!("{app}-{replica}"),
                ["n1", "n2", "n3"][replica % 3],
                labels,
            ));
        }
    }
    assert_eq!(index.translate().reported, []);
    assert_eq!(balancers(&index).len(), 2000);
    let tables = |changes: &[RowDelta]| {
        let rows = changes
            .iter()
            .filter_map(|change| change.new.as_ref().or(change.old.as_ref()));
        let mut tables: Vec<&str> = rows.map(NbRow::table).collect();
        tables.sort_unstable();
        tables
    };
    // Not ready any more: nothing but the one row.
    let labels = json!({"app": "app-7"});
    let unready = json!({"metadata": {"labels": labels},
        "status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    index.apply(pod("app-7-3", "n1", unready));
    let changes = index.translate().changes;
    assert_eq!(tables(&changes), ["Load_Balancer"]);
    assert_eq!(changes[0].operations().len(), 1);
    index.apply(service("new", json!({"ports": [{"port": 80}]})));
    let changes = index.translate().changes;
    let of_groups = [
        "Load_Balancer",
        "Load_Balancer_Group",
        "Load_Balancer_Group",
    ];
    assert_eq!(tables(&changes), of_groups);
    // The same again is no change at all.
    index.apply(service("new", json!({"ports": [{"port": 80}]})));
    assert_eq!(index.translate().changes, []);
}

#[derive(Clone, Debug)]
enum Step {
    Service(u8, u8, u8, u8),
    Pod(u8, u8, u8),
    Slice(u8, u8),
    Namespace(bool),
    Delete(u8, u8),
    Translate,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_u8, 0..3_u8, 0..4_u8, any::<u8>()).prop_map(|(a, b, c, d)| Step::Service(a, b, c, d)),
        (0..6_u8, 0..3_u8, 0..4_u8).prop_map(|(a, b, c)| Step::Pod(a, b, c)),
        (0..3_u8, 0..4_u8).prop_map(|(a, b)| Step::Slice(a, b)),
        any::<bool>().prop_map(Step::Namespace),
        (0..3_u8, 0..6_u8).prop_map(|(a, b)| Step::Delete(a, b)),
        Just(Step::Translate),
    ]
}

/// The objects there are after a step.
fn walk(objects: &mut BTreeMap<ObjectRef, Object>, step: &Step) -> Option<ObjectRef> {
    let made = match step {
        Step::Service(name, address, port, kind) => {
            let spec = json!({
                "type": if kind & 1 == 0 { "NodePort" } else { "ClusterIP" },
                "clusterIP": format!("10.96.0.{address}").replace("10.96.0.0", "10.96.0.9"),
                "externalIPs": if kind & 2 == 0 { json!([]) } else { json!(["198.51.100.1"]) },
                "externalTrafficPolicy": if kind & 4 == 0 { "Local" } else { "Cluster" },
                "internalTrafficPolicy": if kind & 8 == 0 { "Local" } else { "Cluster" },
                "selector": if kind & 16 == 0 { json!({"app": "web"}) } else { json!(null) },
                "ports": [{"port": 80 + u16::from(*port),
                    "nodePort": if kind & 1 == 0 { json!(30000 + u16::from(*port)) } else { json!(null) }}],
            });
            service(&format!("s{name}"), spec)
        }
        Step::Pod(name, node, kind) => {
            let more = match kind {
                0 => json!({}),
                1 => not_ready(true),
                2 => json!({"spec": {"hostNetwork": true}}),
                _ => json!({"metadata": {"labels": {"app": "other"}}}),
            };
            pod(&format!("p{name}"), &format!("n{}", node + 1), more)
        }
        Step::Slice(name, kind) => {
            let name = format!("e{name}");
            let endpoints = json!([{"addresses": [format!("192.0.2.{}", 100 + kind)]}]);
            object(
                json!({"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
                "metadata": {"namespace": "shop", "name": name,
                    "labels": {"kubernetes.io/service-name": format!("s{kind}")}},
                "addressType": "IPv4", "ports": [{"name": "", "port": 80}], "endpoints": endpoints}),
            )
        }
        Step::Namespace(is_tenant) => {
            let annotations = match is_tenant {
                true => json!({"weft.dev/router": "red", "weft.dev/subnets": "10.96.0.0/30"}),
                false => json!({}),
            };
            object(json!({"kind": "Namespace", "apiVersion": "v1",
                "metadata": {"name": "shop", "annotations": annotations}}))
        }
        Step::Delete(kind, number) => {
            let reference = match kind {
                0 => ObjectRef::service("shop", &format!("s{number}")),
                1 => ObjectRef::pod("shop", &format!("p{number}")),
                _ => ObjectRef::endpoint_slice("shop", &format!("e{number}")),
            };
            objects.remove(&reference);
            return Some(reference);
        }
        Step::Translate => return None,
    };
    objects.insert(made.reference(), made);
    None
}

proptest! {
    /// Pods aside, whose addresses depend on history, what becomes of Services follows from the objects there are.
    #[test]
    fn what_rows_there_are_does_not_depend_on_the_way_there(steps in proptest::collection::vec(step(), 1..40)) {
        let mut index = with_hosts();
        let mut objects = BTreeMap::new();
        for step in &steps {
            let deleted = walk(&mut objects, step);
            match (step, deleted) {
                (_, Some(deleted)) => index.delete(&deleted),
                (Step::Translate, _) => { index.translate(); }
                _ => {
                    let mut last = BTreeMap::new();
                    walk(&mut last, step);
                    last.into_values().for_each(|object| index.apply(object));
                }
            }
        }
        index.translate();
        // A second index, whose pods have the addresses that they have in the first.
        let mut ports = index.rows().values().filter_map(|row| match row {
            NbRow::LogicalSwitchPort(port) => Some(port),
            _ => None,
        });
        let routers: Vec<_> = index.rows().values().filter_map(|row| match row {
            NbRow::LogicalRouterPort(port) if !port.name.contains("_join") => Some(port),
            _ => None,
        }).collect();
        let records = ports.by_ref().filter_map(|port| super::super::Record::from_rows(port, routers.first().map(|port| &***port)));
        let records: Vec<_> = records.collect();
        let mut fresh = with_hosts();
        let nodes = ["n1", "n2", "n3"].map(|name| match name {
            "n1" => node("n1", "a", "192.0.2.1"),
            "n2" => node("n2", "a", "192.0.2.2"),
            _ => node("n3", "b", "192.0.2.3"),
        });
        fresh.reset(objects.values().cloned().chain(nodes).collect(), records);
        fresh.translate();
        prop_assert_eq!(vips(&fresh), vips(&index));
        prop_assert_eq!(fresh.rows(), index.rows());
        prop_assert_eq!(messages(&fresh), messages(&index));
    }
}
