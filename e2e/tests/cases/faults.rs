//! What happens to real nodes: daemons that die, a bridge that is deleted, flows changed by hand, peers that are mute or
//! mad, a control path that is cut. Packets are counted all the while.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinSet,
};
use uuid::Uuid;
use weft_compiler::pipeline::table;
use weft_e2e::{
    management::{self, Transport},
    node::{Datapath, Node},
    probe::Family,
    switch,
};
use weft_ovsdb::{Condition, Function, Mutation, Mutator, Operation};
use weft_schema::{
    Table,
    nb::{LogicalRouter, LogicalRouterStaticRoute},
};

use super::{
    by_hand,
    lab::{self, manifests, tell},
    programs::{Database, Reach, Setting, write_nodes},
    standalone::await_flows,
};

const TWO: [(&str, &str); 2] = [("shop/a", "n1"), ("shop/b", "n2")];

pub async fn a_switch_that_dies_is_filled_again_in_the_right_order_and_packets_flow()
-> anyhow::Result<()> {
    lab::run(2, &manifests(&[("shop", &[])], &TWO), async |lab| {
        let [a, b] = lab.pods(["shop/a", "shop/b"]).await?;
        lab.audit().await?;
        for text in [
            "switch disconnected; dialling again",
            "switch is not reachable; trying again",
            // In userspace a switch that starts finds the devices of the one before.
            "|dpif_netdev|",
            "|netdev_linux|",
            "|bridge|WARN|",
        ] {
            lab.expect(text);
        }
        let node = Arc::clone(a.node());
        let before = state(&node).await?;
        let streams = lab::streams(&a, &b)?;
        let killed = Instant::now();
        node.kill_vswitchd().await?;
        lab.await_log(&["switch disconnected"]).await?;
        node.start_vswitchd().await?;
        let started = Instant::now();
        await_flows(&node, |flows| *flows == before.0).await?;
        tell(&format!(
            "filled again {:?} after the start of ovs-vswitchd, {:?} after its death",
            started.elapsed(),
            killed.elapsed()
        ));
        lab.fabric.restore_underlay(&node).await?;
        // Ports may have other numbers now, and then flows that name them are others; all else is as it was.
        ensure!(state(&node).await? == before, "not as before");
        lab::must_reach(&a, &b, Family::Ipv4).await?;
        lab::must_reach(&b, &a, Family::Ipv6).await?;
        for stream in streams {
            let tally = stream.stop().await;
            tell(&format!("{tally}"));
            ensure!(!tally.lost.is_empty(), "the switch was never gone");
            ensure!(tally.lost.len() < tally.sent, "nothing came back: {tally}");
        }
        // What comes afterwards is installed as ever.
        lab.write("more", Some(&manifests(&[], &[("shop/c", "n1")])))?;
        let [_, _, c] = lab.pods(["shop/a", "shop/b", "shop/c"]).await?;
        lab::must_reach(&b, &c, Family::Ipv4).await
    })
    .await
}

pub async fn a_nodes_database_server_that_dies_stops_nobody_else_and_is_followed_again()
-> anyhow::Result<()> {
    let pods = [("shop/a", "n1"), ("shop/b", "n2"), ("shop/c", "n3")];
    lab::run(3, &manifests(&[("shop", &[])], &pods), async |lab| {
        let [a, b, c] = lab.pods(["shop/a", "shop/b", "shop/c"]).await?;
        lab.audit().await?;
        for text in [
            "not connected",
            "switch disconnected; dialling again",
            "switch is not reachable; trying again",
            "|jsonrpc|",
            "|reconnect|",
        ] {
            lab.expect(text);
        }
        let node = Arc::clone(b.node());
        let before = state(&node).await?;
        let (others, concerned) = (lab::streams(&a, &c)?, lab::streams(&a, &b)?);
        node.kill_ovsdb_server().await?;
        lab.await_log(&["ovsdb{node=n2}", "not connected"]).await?;
        // Pods on other nodes come and go as ever.
        lab.write("more", Some(&manifests(&[], &[("shop/d", "n1")])))?;
        lab.await_pod("shop/d").await?;
        node.start_ovsdb_server().await?;
        let [_, _, _, d] = lab.pods(["shop/a", "shop/b", "shop/c", "shop/d"]).await?;
        lab::must_reach(&b, &d, Family::Ipv4).await?;
        // In userspace ovs-vswitchd moves packets in its main loop, which stands still while it has no database.
        match node.datapath() {
            Datapath::Kernel => lab::nothing_was_lost(concerned).await?,
            Datapath::Userspace => {
                for stream in concerned {
                    let tally = stream.stop().await;
                    tell(&format!("to the node itself: {tally}"));
                    ensure!(tally.lost.len() < tally.sent, "nothing came back: {tally}");
                }
            }
        }
        lab::nothing_was_lost(others).await?;
        lab.write("more", Some(&manifests(&[], &[("shop/e", "n2")])))?;
        let [_, _, _, e] = lab.pods(["shop/a", "shop/b", "shop/c", "shop/e"]).await?;
        lab::must_reach(&a, &e, Family::Ipv4).await?;
        lab.write("more", None)?;
        lab.pods(["shop/a", "shop/b", "shop/c"]).await?;
        lab.audit().await?;
        ensure!(state(&node).await? == before, "not as before");
        Ok(())
    })
    .await
}

pub async fn a_bridge_deleted_by_hand_is_made_again() -> anyhow::Result<()> {
    let setting = Setting::Apart(Database::Weft, Reach::Underlay(Transport::Plain));
    lab::run_as(
        setting,
        2,
        &manifests(&[("shop", &[])], &TWO),
        async |lab| {
            let [a, b] = lab.pods(["shop/a", "shop/b"]).await?;
            lab.audit().await?;
            for text in [
                "switch disconnected; dialling again",
                "switch is not reachable; trying again",
            ] {
                lab.expect(text);
            }
            let node = Arc::clone(b.node());
            let before = state(&node).await?;
            let port = port_of(&node, "shop_b").await?;
            node.vsctl(&["del-br", "br-int"]).await?;
            lab.await_log(&["openflow{node=n2}", "switch disconnected"])
                .await?;
            // The ports went with the bridge; kubelet's part brings them back.
            node.vsctl(&[
                "--timeout=20",
                "wait-until",
                "Interface",
                "weft-tunnel",
                "ofport=65000",
            ])
            .await?;
            let mut command = vec![
                "add-port",
                "br-int",
                &port.name,
                "--",
                "set",
                "Interface",
                &port.name,
            ];
            command.extend(port.external_ids.iter().map(String::as_str));
            node.vsctl(&command).await?;
            await_flows(&node, |flows| *flows == before.0).await?;
            ensure!(state(&node).await? == before, "not as before");
            lab::must_reach(&a, &b, Family::Ipv4).await?;
            lab::must_reach(&b, &a, Family::Ipv6).await
        },
    )
    .await
}

pub async fn flows_and_groups_changed_by_hand_are_repaired() -> anyhow::Result<()> {
    lab::run(2, &manifests(&[("shop", &[])], &TWO), async |lab| {
        let [a, b] = lab.pods(["shop/a", "shop/b"]).await?;
        lab.audit().await?;
        let node = Arc::clone(a.node());
        let before = state(&node).await?;
        let group = before.1.first().context("no group")?;
        let group = group.split(',').next().context("no group number")?;
        let by_hand: [&[&str]; 6] = [
            &["add-flow", "%", "table=0,priority=65000,actions=drop"],
            &["mod-flows", "%", "table=64,actions=drop"],
            &["del-flows", "%", "table=0"],
            &["del-flows", "%"],
            &["mod-group", "%", &format!("{group},type=all,bucket=drop")],
            &["del-groups", "%"],
        ];
        for command in by_hand {
            node.ofctl(command).await?;
            let done = Instant::now();
            await_flows(&node, |flows| *flows == before.0).await?;
            while switch::groups(&node).await? != before.1 {
                ensure!(
                    done.elapsed() < lab::PATIENCE,
                    "{command:?}: groups are not repaired"
                );
                tokio::task::yield_now().await;
            }
            tell(&format!(
                "{} repaired after {:?}",
                command.join(" "),
                done.elapsed()
            ));
            lab::must_reach(&a, &b, Family::Ipv4).await?;
        }
        Ok(())
    })
    .await
}

pub async fn mute_and_mad_peers_disturb_nobody() -> anyhow::Result<()> {
    lab::run(4, &manifests(&[("shop", &[])], &TWO), async |lab| {
        let [a, b] = lab.pods(["shop/a", "shop/b"]).await?;
        lab.audit().await?;
        for text in [
            "switch disconnected; dialling again",
            "switch is not reachable; trying again",
            "not connected",
        ] {
            lab.expect(text);
        }
        // So that the case is done before its time.
        lab.programs
            .set_controller_options(&["--probe-interval", "1"]);
        lab.restart_weft()?;
        lab.audit().await?;
        let streams = lab::streams(&a, &b)?;
        let whole = lab.fabric.nodes_yaml();
        let mut peers = JoinSet::new();
        let sockets = [
            ("mute", Manners::Mute),
            ("deaf", Manners::Hello),
            ("mad", Manners::Mad),
            ("late", Manners::HelloThenMad),
        ];
        for (name, manners) in sockets {
            let listener = UnixListener::bind(format!("/run/weft/{name}.sock"))?;
            peers.spawn(serve(listener, manners));
        }
        // Two whose database answers and whose switch does not, three whose database does not.
        let with = whole
            .replace("n3/br-int.mgmt", "deaf.sock")
            .replace("n4/br-int.mgmt", "late.sock");
        let with = format!(
            "{with}- {{name: x1, ovsdb: \"unix:/run/weft/mute.sock\"}}\n- {{name: x2, ovsdb: \"unix:/run/weft/mad.sock\"}}\n\
             - {{name: x3, ovsdb: \"unix:/nowhere/db.sock\"}}\n"
        );
        write_nodes(&with)?;
        for parts in [
            ["node=x1", "silent"],
            ["node=x2", "not connected"],
            ["node=x3", "not connected"],
            ["node=n3", "what was asked for did not come"],
            ["node=n4", "what was asked for did not come"],
        ] {
            lab.await_log(&parts).await?;
        }
        // Pods come and go as ever on the others.
        for name in ["shop/c", "shop/d", "shop/e"] {
            lab.write("more", Some(&manifests(&[], &[(name, "n2")])))?;
            let [_, _, pod] = lab.pods(["shop/a", "shop/b", name]).await?;
            lab::must_reach(&a, &pod, Family::Ipv4).await?;
        }
        lab.write("more", None)?;
        write_nodes(&whole)?;
        lab.pods(["shop/a", "shop/b"]).await?;
        // Said once, however often it is tried.
        let log = lab.weft_log();
        let limits = [
            ("ovsdb{node=x1}", 1),
            ("ovsdb{node=x2}", 3),
            ("ovsdb{node=x3}", 1),
            // Up before, and missed; then what is wrong.
            ("openflow{node=n3}", 2),
            ("openflow{node=n4}", 4),
        ];
        for (node, most) in limits {
            let said = log.lines();
            let said = said.filter(|line| line.contains(node) && line.contains(" WARN "));
            ensure!(said.count() <= most, "{node}: said too often:\n{log}");
        }
        peers.shutdown().await;
        // Three pods came, and three went.
        lab::nothing_was_lost_to_flows(lab, streams, 6).await
    })
    .await
}

pub async fn a_node_cut_off_while_much_changes_is_brought_up_to_date_by_one_bundle()
-> anyhow::Result<()> {
    let setting = Setting::Apart(Database::Weft, Reach::Underlay(Transport::Plain));
    lab::run_as(setting, 2, &manifests(&[("shop", &[])], &TWO), async |lab| {
        lab.pods(["shop/a", "shop/b"]).await?;
        lab.nb.transact(by_hand::rows()).await?;
        let names = ["hand/x", "hand/y", "hand/z", "shop/a", "shop/b"];
        let [_, _, _, a, b] = lab.pods(names).await?;
        for text in [
            "switch disconnected; dialling again",
            "switch is not reachable; trying again",
            "not connected",
            // The connection that nobody hears of any more.
            "no response to inactivity probe",
            "|rconn|WARN|",
            "|reconnect|WARN|tcp:",
            "|jsonrpc|WARN|tcp:",
        ] {
            lab.expect(text);
        }
        let streams = lab::streams(&a, &b)?;
        lab.fabric.cut("n2", management::HOST)?;
        let cut = tokio::time::Instant::now();
        let [near, far] = ["n1", "n2"].map(|name| lab.fabric.node(name).cloned());
        let (near, far) = (near.context("n1")?, far.context("n2")?);
        let before = switch::flows(&far).await?;
        let bundles = lab.bundles();
        for change in 1..=CHANGES {
            lab.nb.transact(route(change)).await?;
        }
        let last = format!("nw_dst=10.200.{CHANGES}.0/24");
        let has_last = |flows: &BTreeSet<String>| flows.iter().any(|flow| flow.contains(&last));
        await_flows(&near, has_last).await?;
        // With the probe interval that everybody has: missed after 25 s.
        lab.await_log(&["openflow{node=n2}", "switch disconnected"])
            .await?;
        tokio::time::sleep_until(cut + CUT).await;
        ensure!(switch::flows(&far).await? == before, "n2 was not cut off");
        lab.fabric.mend("n2", management::HOST)?;
        let mended = Instant::now();
        await_flows(&far, has_last).await?;
        lab.audit().await?;
        let since = lab.bundles();
        let [to_near, to_far] = [0, 1].map(|node| since[node] - bundles[node]);
        tell(&format!(
            "{CHANGES} changes were {to_near} bundles to n1 and {to_far} to n2, {:?} after it was back",
            mended.elapsed()
        ));
        ensure!(to_far == 1, "n2 was sent {to_far} bundles");
        // Before ports are taken away, which costs the userspace datapath a packet of others now and then.
        lab::nothing_was_lost(streams).await?;
        lab.nb.transact(by_hand::removal()).await?;
        lab.pods(["shop/a", "shop/b"]).await.map(drop)
    })
    .await
}

pub async fn a_change_that_a_switch_refuses_is_named_and_marked_and_all_else_is_applied()
-> anyhow::Result<()> {
    lab::run(2, &manifests(&[("shop", &[])], &TWO), async |lab| {
        let [a, b] = lab.pods(["shop/a", "shop/b"]).await?;
        lab.audit().await?;
        lab.expect("switch refuses a change of");
        let streams = lab::streams(&a, &b)?;
        // n1 has room for no other port in the table that every packet passes first.
        let node = Arc::clone(a.node());
        let flows = switch::flows(&node).await?;
        // A dump names every table but this one.
        let in_first = |flow: &&String| !flow.contains("table=");
        let full = flows.iter().filter(in_first).count();
        let place = format!("flow_tables:{}=@full", table::CLASSIFY.get());
        let limit = format!("flow_limit={full}");
        let full = [
            "--id=@full",
            "create",
            "Flow_Table",
            &limit,
            "overflow_policy=refuse",
        ];
        let set = ["set", "Bridge", "br-int", &place];
        node.vsctl(&[&["--"], &full[..], &["--"], &set[..]].concat())
            .await?;
        let both = [("shop/c", "n1"), ("shop/d", "n2")];
        lab.write("more", Some(&manifests(&[], &both)))?;
        let refused = Instant::now();
        let parts = ["node=n1", "refuses a change of Logical_Switch_Port shop_c "];
        let line = lab.await_log(&parts).await?;
        for part in ["ERROR", "TABLE_FULL", "in_port="] {
            ensure!(line.contains(part), "no {part:?} in {line}");
        }
        // Everything else goes its way: the other pod, and what n1 is to know of it.
        let d = lab.await_pod("shop/d").await?;
        lab::must_reach(&a, &d, Family::Ipv4).await?;
        for (port, up) in [("shop_a", "true"), ("shop_c", "false"), ("shop_d", "true")] {
            let up = format!("wait-until Logical_Switch_Port {port} up={up}");
            lab.nbctl(&up).await?;
        }
        let its = "external_ids:iface-id=shop_c";
        let row = node
            .vsctl(&["--columns=external_ids", "find", "Interface", its])
            .await?;
        ensure!(
            row.contains("weft-addresses") && !row.contains("ovn-installed"),
            "{row}"
        );
        // There is room again: nobody has to say so.
        let number = table::CLASSIFY.get().to_string();
        node.vsctl(&["remove", "Bridge", "br-int", "flow_tables", &number])
            .await?;
        let [_, _, c, _] = lab.pods(["shop/a", "shop/b", "shop/c", "shop/d"]).await?;
        tell(&format!(
            "installed {:?} after it was asked for",
            refused.elapsed()
        ));
        lab::must_reach(&b, &c, Family::Ipv4).await?;
        lab.await_log(&[
            "node=n1",
            "no longer refuses a change of Logical_Switch_Port shop_c",
        ])
        .await?;
        // Two ports came.
        lab::nothing_was_lost_to_flows(lab, streams, 2).await?;
        lab.write("more", None)?;
        lab.pods(["shop/a", "shop/b"]).await.map(drop)
    })
    .await
}

const CHANGES: u8 = 200;
/// How long the node is cut off.
const CUT: Duration = Duration::from_secs(30);

/// One more route of the router `r1`.
fn route(number: u8) -> Vec<Operation> {
    let route = LogicalRouterStaticRoute {
        uuid: Uuid::new_v4(),
        ip_prefix: format!("10.200.{number}.0/24"),
        nexthop: "10.50.0.2".to_owned(),
        ..LogicalRouterStaticRoute::default()
    };
    let add = Operation::Mutate {
        table: LogicalRouter::NAME.into(),
        conditions: vec![Condition {
            column: "name".into(),
            function: Function::Equal,
            value: "r1".into(),
        }],
        mutations: vec![Mutation {
            column: "static_routes".into(),
            mutator: Mutator::Insert,
            value: route.uuid.into(),
        }],
    };
    vec![route.insert(), add]
}

/// Flows, groups and option map of a switch.
async fn state(node: &Node) -> anyhow::Result<(BTreeSet<String>, BTreeSet<String>, String)> {
    let map = node.ofctl(&["dump-tlv-map", "%"]).await?;
    // The first line holds a transaction number.
    let map = map.lines().skip(1).collect::<Vec<_>>().join("\n");
    Ok((switch::flows(node).await?, switch::groups(node).await?, map))
}

/// An interface as `ovs-vsctl` is told to make it.
struct Port {
    name: String,
    external_ids: Vec<String>,
}

async fn port_of(node: &Node, lsp: &str) -> anyhow::Result<Port> {
    let find = format!("external_ids:iface-id={lsp}");
    let name = node
        .vsctl(&["--bare", "--columns=name", "find", "Interface", &find])
        .await?;
    let name = name.trim().to_owned();
    let mut external_ids = Vec::new();
    for key in ["iface-id", "iface-id-ver", "weft-sandbox"] {
        let column = format!("external_ids:{key}");
        let value = node
            .vsctl(&["--if-exists", "get", "Interface", &name, &column])
            .await?;
        external_ids.push(format!("{column}={}", value.trim()));
    }
    Ok(Port { name, external_ids })
}

/// How a peer behaves that is none.
#[derive(Clone, Copy, Debug)]
enum Manners {
    /// Takes everything and says nothing.
    Mute,
    /// Says the OpenFlow hello and nothing more.
    Hello,
    /// Answers every read with random bytes.
    Mad,
    /// Says the hello, then messages of the right version and length with random content.
    HelloThenMad,
}

async fn serve(listener: UnixListener, manners: Manners) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // A connection ends with its peer.
        connections.spawn(answer(stream, manners));
    }
}

async fn answer(mut stream: UnixStream, manners: Manners) -> std::io::Result<()> {
    const HELLO: [u8; 8] = [6, 0, 0, 8, 0, 0, 0, 1];
    if matches!(manners, Manners::Hello | Manners::HelloThenMad) {
        stream.write_all(&HELLO).await?;
    }
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let mut noise: [u8; 64] = rand::random();
        match manners {
            Manners::Mute | Manners::Hello => continue,
            Manners::Mad => {}
            // The header of an answer to what was asked; what follows is anything.
            Manners::HelloThenMad => {
                let kind = noise[1] % 35;
                noise[..4].copy_from_slice(&[6, kind, 0, 64]);
                noise[4..8].copy_from_slice(&buffer[4..8]);
            }
        }
        stream.write_all(&noise).await?;
    }
}
