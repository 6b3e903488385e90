//! The controller against real Open vSwitch daemons and a northbound database in this process.
//!
//! Each test has its own nodes, database and nodes file. Each ends in the audit of [`Bench::audit`]: a second controller
//! that reads the switches finds nothing to change. Every controller is recorded, and its recording played when it ends.
//!
//! Must not: share anything between tests, or wait by time.

mod bench;
mod refusals;

use bench::Bench;
use weft_controller::Status;
use weft_e2e::stand_in::Node;
use weft_schema::nb;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_configured_and_its_port_is_bound_answered_and_installed() {
    let bench = Bench::start(&[("n1", "192.0.2.1")]).await;
    bench.nbctl(&["ls-add", "ls", "--", "lsp-add", "ls", "p1"]);
    bench.nbctl(&["lsp-set-addresses", "p1", "0a:58:0a:00:00:05 10.0.0.5"]);
    let node = &bench.nodes[0];
    node.await_column("Bridge", "br-int", "fail_mode=secure");
    node.await_column("Interface", "weft-tunnel", "ofport=65000");
    let tunnel = node.vsctl(&["get", "Interface", "weft-tunnel", "options"]);
    assert_eq!(
        tunnel.trim(),
        r#"{csum="true", key=flow, local_ip="192.0.2.1", remote_ip=flow}"#
    );
    assert!(
        node.vsctl(&["get", "Bridge", "br-int", "protocols"])
            .contains("OpenFlow15")
    );
    assert!(
        node.vsctl(&["get", "Flow_Table", "weft", "prefixes"])
            .contains("ipv6_dst")
    );
    node.attach("port1", "p1");
    node.await_column("Interface", "port1", "external_ids:ovn-installed=true");
    let told = node.vsctl(&["get", "Interface", "port1", "external_ids"]);
    for answer in [
        r#"weft-mac="0a:58:0a:00:00:05""#,
        r#"weft-addresses="10.0.0.5/32""#,
        r#"weft-mtu="1438""#,
    ] {
        assert!(told.contains(answer), "{answer} is not in {told}");
    }
    bench.nbctl(&["--wait=hv", "--timeout=20", "sync"]);
    assert_eq!(
        bench
            .nbctl(&["get", "Logical_Switch_Port", "p1", "up"])
            .trim(),
        "true"
    );
    assert!(!node.flows().is_empty(), "no flow came:\n{}", node.logs());
    node.vsctl(&["--no-wait", "del-port", "port1"]);
    bench
        .await_nb("Logical_Switch_Port", "p1", "up", "false")
        .await;
    bench.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_sends_nothing_to_nodes_that_are_as_they_should_be() {
    let mut bench = Bench::with_ports(&["n1", "n2"]).await;
    let before: Vec<_> = bench
        .nodes
        .iter()
        .map(|node| (node.flows(), node.groups()))
        .collect();
    assert!(
        before
            .iter()
            .all(|(flows, groups)| !flows.is_empty() && !groups.is_empty()),
        "{before:#?}"
    );
    bench.stop_controller().await;
    let after: Vec<_> = bench
        .nodes
        .iter()
        .map(|node| (node.flows(), node.groups()))
        .collect();
    assert_eq!(before, after, "flows stay when the controller stops");
    bench.start_controller();
    bench.sync();
    for (name, node) in &bench.status().nodes {
        assert_eq!((node.changes, node.bundles), (0, 0), "{name}: {node:?}");
        assert!(
            node.acknowledged > 0 && node.flows_installed == node.flows_desired,
            "{name}: {node:?}"
        );
    }
    bench.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_belong_on_a_switch_is_gone_after_connecting_and_what_is_missing_is_back() {
    let mut bench = Bench::with_ports(&["n1", "n2"]).await;
    let node = &bench.nodes[0];
    let before = (node.flows(), node.groups());
    bench.stop_controller().await;
    let node = &bench.nodes[0];
    node.ofctl(
        "add-flow",
        &["table=8,priority=7,ip,nw_dst=203.0.113.1 actions=drop"],
    );
    node.ofctl(
        "add-flow",
        &["table=0,priority=1,in_port=1,idle_timeout=600 actions=NORMAL"],
    );
    node.ofctl("add-group", &["group_id=77,type=all,bucket=output:1"]);
    node.ofctl("mod-flows", &["table=64 actions=drop"]);
    node.ofctl("del-flows", &["table=0"]);
    assert_ne!(node.flows(), before.0);
    bench.start_controller();
    bench.sync();
    let node = &bench.nodes[0];
    assert_eq!((node.flows(), node.groups()), before);
    assert_eq!(
        bench.status().nodes["n1"].bundles,
        1,
        "all of it in one bundle"
    );
    assert_eq!(
        bench.status().nodes["n2"].bundles,
        0,
        "the other node was as it should be"
    );
    bench.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_restarts_is_filled_again() {
    let mut bench = Bench::with_ports(&["n1", "n2"]).await;
    let before = (bench.nodes[0].flows(), bench.nodes[0].groups());
    bench.nodes[0].kill_vswitchd();
    bench
        .await_status("the switch is missed", |status| {
            !status.nodes["n1"].openflow
        })
        .await;
    bench.nodes[0].start_vswitchd();
    bench
        .await_status("the switch is filled", |status| {
            let node = &status.nodes["n1"];
            node.openflow && node.bundles > 1 && node.flows_installed == node.flows_desired
        })
        .await;
    bench.sync();
    assert_eq!((bench.nodes[0].flows(), bench.nodes[0].groups()), before);
    bench.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_changes_in_a_nodes_database_is_repaired() {
    let bench = Bench::with_ports(&["n1", "n2"]).await;
    let node = &bench.nodes[0];
    let before = node.flows();
    node.vsctl(&[
        "--no-wait",
        "set",
        "Bridge",
        "br-int",
        "fail_mode=standalone",
    ]);
    node.await_column("Bridge", "br-int", "fail_mode=secure");
    node.vsctl(&[
        "--no-wait",
        "set",
        "Interface",
        "weft-tunnel",
        "options:key=7",
    ]);
    node.await_column("Interface", "weft-tunnel", "options:key=flow");
    node.vsctl(&["--no-wait", "del-port", "weft-tunnel"]);
    node.await_column("Interface", "weft-tunnel", "ofport=65000");
    // Open vSwitch drops all flows when the fail mode changes, and gives a port that comes back to the flows it had.
    bench.await_flows(0, &before).await;
    bench.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flows_changed_by_hand_under_a_running_controller_are_repaired_and_its_own_bundles_are_no_cause_for_alarm()
 {
    let bench = Bench::with_ports(&["n1", "n2"]).await;
    // The first bundle may hold all there is; this makes a second, for both nodes.
    bench.nbctl(&[
        "lsp-add",
        "ls",
        "p-more",
        "--",
        "lsp-set-addresses",
        "p-more",
        "0a:58:0a:00:00:99 10.0.0.99",
    ]);
    bench.nodes[0].attach("port-more", "p-more");
    bench.nodes[0].await_column("Interface", "port-more", "external_ids:ovn-installed=true");
    bench.sync();
    for (name, node) in &bench.status().nodes {
        assert!(
            node.bundles > 1 && node.reads == 1,
            "{name} was read again after its own bundles: {node:?}"
        );
    }
    let node = &bench.nodes[0];
    let before = node.flows();
    node.ofctl(
        "add-flow",
        &["table=8,priority=7,ip,nw_dst=203.0.113.1 actions=drop"],
    );
    node.ofctl("del-flows", &["table=0"]);
    bench.await_flows(0, &before).await;
    // A group has no flow monitor; the switch forwards what another connection asks of it.
    let (groups, flows) = (node.groups(), node.flows());
    let group = groups.first().expect("a group").clone();
    let number = group
        .split([',', '='])
        .nth(1)
        .expect("group_id=N")
        .to_owned();
    for (verb, argument) in [
        (
            "mod-group",
            format!("group_id={number},type=all,bucket=output:1"),
        ),
        (
            "add-group",
            "group_id=77,type=all,bucket=output:1".to_owned(),
        ),
        // Takes the flows along that use it.
        ("del-groups", format!("group_id={number}")),
    ] {
        node.ofctl(verb, &[&argument]);
        assert_ne!(node.groups(), groups, "{verb} {argument} does nothing");
        bench.await_flows(0, &flows).await;
        bench.await_groups(0, &groups).await;
    }
    bench.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_moves_leaves_no_flow_behind_and_a_second_claim_is_refused() {
    let bench = Bench::with_ports(&["n1", "n2"]).await;
    let (first, second) = (&bench.nodes[0], &bench.nodes[1]);
    second.attach("thief", "p-n1");
    // Something that comes after: once it is there, the claim was judged.
    second.attach("late", "p-late");
    bench.nbctl(&[
        "lsp-add",
        "ls",
        "p-late",
        "--",
        "lsp-set-addresses",
        "p-late",
        "0a:58:0a:00:00:99 10.0.0.99",
    ]);
    second.await_column("Interface", "late", "external_ids:ovn-installed=true");
    let told = second.vsctl(&["get", "Interface", "thief", "external_ids"]);
    assert!(
        !told.contains("weft-addresses"),
        "a second claim is not answered: {told}"
    );
    first.vsctl(&["--no-wait", "del-port", "port-n1"]);
    second.await_column("Interface", "thief", "external_ids:ovn-installed=true");
    bench.sync();
    bench.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_come_and_go_with_the_nodes_file_and_a_dead_one_delays_nobody() {
    let mut bench = Bench::with_ports(&["n1"]).await;
    bench.nodes.push(Node::start("n2", "192.0.2.2"));
    bench.write_nodes("  - {name: dead, ovsdb: 'unix:/nonexistent/db.sock'}\n");
    bench.nodes[1].await_column("Interface", "weft-tunnel", "ofport=65000");
    bench.add_port(1);
    bench.nodes[1].await_column("Interface", "port-n2", "external_ids:ovn-installed=true");
    bench.sync();
    let gone = bench.nodes.remove(1);
    bench.write_nodes("");
    bench
        .await_status("the nodes are gone", |status| status.nodes.len() == 1)
        .await;
    bench
        .await_nb("Logical_Switch_Port", "p-n2", "up", "false")
        .await;
    bench.sync();
    assert!(
        !gone.flows().is_empty(),
        "a node that leaves keeps its flows"
    );
    bench.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_says_it_is_another_gets_no_flow_and_disturbs_nobody() {
    let mut bench = Bench::with_ports(&["n1", "n2"]).await;
    // Its Open vSwitch names another; a second entry that leads to the switch of the first looks the same.
    let liar = Node::start("n3", "192.0.2.3");
    liar.vsctl(&[
        "--no-wait",
        "set",
        "Open_vSwitch",
        ".",
        "external_ids:system-id=n1",
    ]);
    let twin = Node::start("n4", "192.0.2.2");
    bench.nodes.push(liar);
    bench.nodes.push(twin);
    bench.write_nodes("");
    for node in &bench.nodes[2..] {
        // What it claims is not its own.
        node.await_column("Interface", "weft-tunnel", "ofport=65000");
        node.attach("thief", "p-n1");
    }
    // What comes after: once it is there, the others were judged.
    bench.nodes.push(Node::start("n5", "192.0.2.5"));
    bench.write_nodes("");
    bench.nodes[4].await_column("Interface", "weft-tunnel", "ofport=65000");
    bench.nodes[0].vsctl(&["--no-wait", "del-port", "port-n1"]);
    bench
        .await_nb("Logical_Switch_Port", "p-n1", "up", "false")
        .await;
    bench.nodes[0].attach("port-n1", "p-n1");
    bench.nodes[0].await_column("Interface", "port-n1", "external_ids:ovn-installed=true");
    bench.sync();
    for node in &bench.nodes[2..4] {
        assert_eq!(node.flows(), [] as [String; 0], "{}", node.name);
        let seen = &bench.status().nodes[&node.name];
        assert!(
            !seen.openflow && seen.bundles == 0,
            "{}: {seen:?}",
            node.name
        );
    }
    // Mended, it is a node like others.
    let liar = &bench.nodes[2];
    liar.vsctl(&["--no-wait", "del-port", "thief"]);
    liar.vsctl(&[
        "--no-wait",
        "set",
        "Open_vSwitch",
        ".",
        "external_ids:system-id=n3",
    ]);
    bench
        .await_status("n3 is filled", |status| {
            status.nodes["n3"].openflow && status.nodes["n3"].acknowledged > 0
        })
        .await;
    assert_ne!(bench.nodes[2].flows(), [] as [String; 0]);
    bench.nodes.remove(3);
    bench.write_nodes("");
    bench
        .await_status("n4 is gone", |status| !status.nodes.contains_key("n4"))
        .await;
    bench.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_bridge_is_deleted_and_whose_switch_dies_is_as_before() {
    let mut bench = Bench::with_ports(&["n1"]).await;
    let before = (bench.nodes[0].flows(), bench.nodes[0].groups());
    // Flows name the port's number, and Open vSwitch may give a port that comes back another one.
    let number = bench.nodes[0].vsctl(&["get", "Interface", "port-n1", "ofport"]);
    bench.nodes[0].vsctl(&["--no-wait", "del-br", "br-int"]);
    bench.nodes[0].await_column("Interface", "weft-tunnel", "ofport=65000");
    bench.nodes[0].attach_at("port-n1", "p-n1", number.trim());
    bench.nodes[0].await_column("Interface", "port-n1", "external_ids:ovn-installed=true");
    bench.await_flows(0, &before.0).await;
    bench.nodes[0].kill_vswitchd();
    bench
        .await_status("the switch is missed", |status| {
            !status.nodes["n1"].openflow
        })
        .await;
    bench.nodes[0].start_vswitchd();
    bench
        .await_status("the switch is back", |status| status.nodes["n1"].openflow)
        .await;
    bench.await_flows(0, &before.0).await;
    assert_eq!(bench.nodes[0].groups(), before.1);
    bench.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn localnet_ports_are_connected_where_the_network_is_and_stay_so_while_controllers_restart() {
    let mut bench = Bench::with_ports(&["n1", "n2"]).await;
    let node = &bench.nodes[0];
    node.vsctl(&["add-br", "br-eth1"]);
    let mapping = "external_ids:ovn-bridge-mappings=\"physnet1:br-eth1\"";
    node.vsctl(&["--no-wait", "set", "Open_vSwitch", ".", mapping]);
    bench.nbctl(&[
        "lsp-add",
        "ls",
        "ln",
        "--",
        "lsp-set-type",
        "ln",
        "localnet",
    ]);
    bench.nbctl(&["lsp-set-addresses", "ln", "unknown"]);
    bench.nbctl(&["lsp-set-options", "ln", "network_name=physnet1"]);
    let (near, far) = ("patch-br-int-to-ln", "patch-ln-to-br-int");
    node.await_column("Interface", near, &format!("options:peer={far}"));
    node.await_column("Interface", far, &format!("options:peer={near}"));
    assert_eq!(node.vsctl(&["port-to-br", far]).trim(), "br-eth1");
    let number = node.vsctl(&["get", "Interface", near, "ofport"]);
    let from_network = format!("in_port={}", number.trim());
    let is_served = |flows: &[String]| flows.iter().any(|flow| flow.contains(&from_network));
    bench
        .await_that("the port is served", || is_served(&bench.nodes[0].flows()))
        .await;
    bench.sync();
    assert!(
        !is_served(&bench.nodes[1].flows()),
        "n2 has no such network"
    );
    bench.stop_controller().await;
    bench.start_controller();
    bench.sync();
    let status = &bench.status().nodes["n1"];
    assert_eq!((status.changes, status.bundles), (0, 0), "{status:?}");
    let node = &bench.nodes[0];
    assert_eq!(node.vsctl(&["get", "Interface", near, "ofport"]), number);
    // Gone while nobody looks: the next controller clears up.
    bench.stop_controller().await;
    bench.nbctl(&["lsp-del", "ln"]);
    bench.start_controller();
    bench.sync();
    let node = &bench.nodes[0];
    bench
        .await_that("the patch ports are gone", || {
            !node.vsctl(&["list-ports", "br-int"]).contains("patch")
                && node.vsctl(&["list-ports", "br-eth1"]).trim().is_empty()
        })
        .await;
    bench
        .await_that("so are the flows", || !is_served(&node.flows()))
        .await;
    bench.audit().await;
}

/// A datagram from the port of node n1.
fn datagram(to: std::net::IpAddr, ttl: u8) -> Vec<u8> {
    use weft_compiler::interpret::frame::Frame;
    use weft_expr::{Packet, Symbol};
    let mut fields = Packet::new();
    fields.set(Symbol::EthSrc, 0x0a58_0a00_000a_u64);
    fields.set(Symbol::EthDst, 0x0a58_0a00_0001_u64);
    fields.set(Symbol::IpProto, 17u8);
    fields.set(Symbol::IpTtl, ttl);
    fields.set(Symbol::UdpDst, 9u16);
    match to {
        std::net::IpAddr::V4(to) => {
            fields.set(Symbol::EthType, 0x800u16);
            fields.set(Symbol::Ip4Src, std::net::Ipv4Addr::new(10, 0, 0, 10));
            fields.set(Symbol::Ip4Dst, to);
        }
        std::net::IpAddr::V6(to) => {
            let from: std::net::Ipv6Addr = "fd00::10".parse().expect("an address");
            fields.set(Symbol::EthType, 0x86ddu16);
            fields.set(Symbol::Ip6Src, from);
            fields.set(Symbol::Ip6Dst, to);
        }
    }
    let payload = vec![7; 8];
    Frame { fields, payload }.build()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_that_a_router_owes_is_made_by_the_controller_and_sent_back_as_the_flow_says() {
    use weft_compiler::interpret::frame::Frame;
    use weft_expr::Symbol;
    let bench = Bench::with_ports(&["n1"]).await;
    let node = &bench.nodes[0];
    let limits = node.meters();
    assert_eq!(limits.len(), 1, "{limits:?}");
    assert!(limits[0].contains("rate=100"), "{limits:?}");
    node.capture("port-n1");
    for (to, ttl, message) in [
        ("10.0.0.77", 1, (11, 0)),
        ("10.9.0.1", 64, (3, 0)),
        ("fd00::77", 1, (3, 0)),
        ("fd09::1", 64, (1, 0)),
    ] {
        let to: std::net::IpAddr = to.parse().expect("an address");
        let asked = datagram(to, ttl);
        node.receive("port-n1", &asked);
        let quotes = |frame: &Vec<u8>| frame.ends_with(&asked[asked.len() - 8..]);
        let is_told = |frame: &Vec<u8>| {
            // Reading checks sums and lengths.
            let read = Frame::parse(frame).ok();
            let is_kind = |read: &Frame| {
                let field = |symbol: Symbol| read.fields.get(symbol);
                match to {
                    std::net::IpAddr::V4(_) => {
                        (field(Symbol::Icmp4Type), field(Symbol::Icmp4Code)) == message
                            && field(Symbol::Ip4Src) == 0x0a00_0001
                            && field(Symbol::Ip4Dst) == 0x0a00_000a
                    }
                    std::net::IpAddr::V6(_) => {
                        (field(Symbol::Icmp6Type), field(Symbol::Icmp6Code)) == message
                            && field(Symbol::Ip6Src) == 0xfd00 << 112 | 1
                            && field(Symbol::Ip6Dst) == 0xfd00 << 112 | 0x10
                    }
                }
            };
            let is_near = |read: &Frame| read.fields.get(Symbol::IpTtl) == 254;
            quotes(frame)
                && frame[..6] == asked[6..12]
                && read.is_some_and(|read| is_kind(&read) && is_near(&read))
        };
        bench
            .await_that(&format!("{to} with TTL {ttl} is answered"), || {
                node.captured("port-n1").iter().any(is_told)
            })
            .await;
    }
    // Flows that use it go with it.
    node.ofctl("del-meters", &[]);
    bench
        .await_that("a meter deleted by hand is back", || {
            node.meters() == limits
        })
        .await;
    bench.audit().await;
}

/// What nodes said to an earlier build, and what it answered. A recording that differs for a good reason is made anew:
/// `WEFT_KEEP_RECORDING=$PWD/controller/tests/recordings/one-node.jsonl cargo test -p weft-controller --test main whose_bridge`.
#[test]
fn a_recorded_run_is_played_again_with_the_same_effects() {
    let file = std::fs::File::open(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/recordings/one-node.jsonl"
    ));
    let recording = std::io::BufReader::new(file.expect("the recording is in the repository"));
    let played = weft_controller::recording::replay(recording);
    let played = played.unwrap_or_else(|error| panic!("{error}"));
    assert!(played > 20, "only {played} events");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_northbound_server_that_is_killed_and_comes_back_changes_nothing_and_is_followed_again() {
    let nodes = [("n1", "192.0.2.1"), ("n2", "192.0.2.2")];
    let mut bench = Bench::on_ovsdb_server(&nodes, &nb::database_schema());
    bench.start_controller();
    bench.fill();
    let flows = |bench: &Bench| [bench.nodes[0].flows(), bench.nodes[1].flows()];
    let (before, status) = (flows(&bench), bench.status());
    assert!(before.iter().all(|flows| !flows.is_empty()));
    bench.kill_database();
    // What concerns the nodes alone goes on: a flow that somebody took away is put back.
    bench.nodes[0].ofctl("del-flows", &["table=8"]);
    bench.await_flows(0, &before[0]).await;
    bench.start_database();
    bench.sync();
    assert!(flows(&bench) == before, "flows changed");
    let sent = |status: &Status| {
        let node = &status.nodes["n2"];
        (node.changes, node.bundles, node.reads)
    };
    assert_eq!(
        sent(&bench.status()),
        sent(&status),
        "nothing is sent again"
    );
    // What is written from now on is followed.
    bench.nbctl(&["lsp-set-addresses", "p-n2", "0a:58:0a:00:00:77 10.0.0.77"]);
    bench.sync();
    let had = |flows: &[String]| flows.iter().any(|flow| flow.contains("10.0.0.77"));
    assert!(had(&flows(&bench)[1]), "{:#?}", flows(&bench)[1]);
    bench.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_another_name_or_without_what_is_needed_is_told_in_words() {
    let node = [("n1", "192.0.2.1")];
    let mut park = nb::database_schema();
    park.name = "Park".to_owned();
    let mut bench = Bench::on_ovsdb_server(&node, &park);
    bench.start_controller();
    let error = bench.await_error().await.to_string();
    for part in [
        "no database OVN_Northbound",
        "it has Park, _Server",
        "nb.sock",
    ] {
        assert!(error.contains(part), "no {part:?} in {error:?}");
    }

    let mut old = nb::database_schema();
    old.version = "5.3.0".to_owned();
    let ports = old.tables.get_mut("Logical_Router_Port").expect("there");
    ports.columns.remove("peer");
    let mut bench = Bench::on_ovsdb_server(&node, &old);
    bench.start_controller();
    let error = bench.await_error().await.to_string();
    for part in [
        "OVN_Northbound 5.3.0 is not OVN_Northbound 7.6.0",
        "it lacks column peer of table Logical_Router_Port;",
    ] {
        assert!(error.contains(part), "no {part:?} in {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_database_with_tables_and_columns_that_nobody_knows_is_served() {
    let mut newer = nb::database_schema();
    newer.version = "8.1.0".to_owned();
    let name = newer.tables["Meter"].columns["name"].clone();
    let ports = newer.tables.get_mut("Logical_Switch_Port").expect("there");
    ports.columns.insert("of_tomorrow".into(), name);
    newer
        .tables
        .insert("Tomorrow".into(), newer.tables["Meter"].clone());
    let mut bench = Bench::on_ovsdb_server(&[("n1", "192.0.2.1")], &newer);
    bench.start_controller();
    bench.fill();
    bench.nbctl(&["set", "Logical_Switch_Port", "p-n1", "tag=7"]);
    bench.audit().await;
}
