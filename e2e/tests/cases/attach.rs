//! What the CNI code does on a node, with the controller's part played by hand.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use weft_cni::{
    Attach, Attached, Detach, attach, detach, host_interface_name,
    link::{Link, Links},
    netns::Netns,
};
use weft_e2e::{
    audit,
    fabric::{Fabric, FabricConfig},
    node::{BR_INT, Node},
    patience::scaled,
};

const ANSWER: [&str; 5] = [
    "external_ids:weft-mac=\"0a:58:0a:80:00:09\"",
    "external_ids:weft-addresses=\"10.128.0.9/32 fd00::a80:9/128\"",
    "external_ids:weft-gateways=\"10.128.0.8 fd00::a80:8\"",
    "external_ids:weft-mtu=1438",
    "external_ids:ovn-installed=true",
];

/// A node with an integration bridge that no controller uses.
async fn node() -> anyhow::Result<Arc<Node>> {
    let fabric = Fabric::start(
        &FabricConfig {
            nodes: 1,
            ..FabricConfig::default()
        },
        |_| {},
    )
    .await?;
    let node = Arc::clone(&fabric.nodes()[0]);
    node.vsctl(&[
        "add-br",
        BR_INT,
        "--",
        "set",
        "bridge",
        BR_INT,
        "datapath_type=netdev",
        "fail_mode=secure",
    ])
    .await?;
    Ok(node)
}

fn what(node: &Node, netns: &Netns, patience: Duration) -> Attach {
    Attach {
        ovsdb: node.ovsdb(),
        netns: netns.path().to_owned(),
        interface: "eth0".to_owned(),
        iface_id: "shop_web".to_owned(),
        uid: "uid-1".to_owned(),
        sandbox: "sandbox-1".to_owned(),
        patience,
    }
}

async fn attach_on(node: &Node, what: Attach) -> anyhow::Result<Attached> {
    Ok(node
        .netns()
        .run_async(async move || attach(&what).await)
        .await??)
}

/// Attaches, and answers as soon as the row is there.
async fn attach_answered(node: &Node, what: Attach) -> anyhow::Result<Attached> {
    let host = host_interface_name(&what.sandbox, &what.interface);
    let answer = async {
        node.vsctl(&["wait-until", "Interface", &host]).await?;
        let mut command = vec!["set", "Interface", &host];
        command.extend(ANSWER);
        node.vsctl(&command).await
    };
    Ok(futures::future::try_join(attach_on(node, what), answer)
        .await?
        .0)
}

async fn detach_on(node: &Node, patience: Duration) -> anyhow::Result<()> {
    let what = Detach {
        ovsdb: node.ovsdb(),
        interface: "eth0".to_owned(),
        sandbox: "sandbox-1".to_owned(),
        patience,
    };
    Ok(node
        .netns()
        .run_async(async move || detach(&what).await)
        .await??)
}

async fn links(netns: &Netns) -> anyhow::Result<Vec<Link>> {
    netns
        .run_async(async || Ok(Links::open()?.list().await?))
        .await?
}

async fn ports(node: &Node) -> anyhow::Result<Vec<String>> {
    Ok(node
        .vsctl(&["list-ports", BR_INT])
        .await?
        .lines()
        .map(str::to_owned)
        .collect())
}

fn run_ip(netns: &Netns, arguments: &[&str]) -> anyhow::Result<String> {
    let output = netns.run(|| std::process::Command::new("ip").args(arguments).output())??;
    ensure!(
        output.status.success(),
        "ip {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

pub async fn a_pod_is_configured_as_the_answer_says_and_is_gone_without_a_trace_afterwards()
-> anyhow::Result<()> {
    let node = node().await?;
    let pod = Netns::create("/run/netns/pod")?;
    let attached = attach_answered(&node, what(&node, &pod, scaled(PATIENCE))).await?;
    ensure!(
        attached.mac.to_string() == "0a:58:0a:80:00:09" && attached.mtu == 1438,
        "{attached:?}"
    );
    let eth0 = links(&pod)
        .await?
        .into_iter()
        .find(|link| link.name == "eth0")
        .context("no eth0")?;
    ensure!(
        eth0.is_up && eth0.mtu == 1438 && eth0.mac == Some(attached.mac),
        "{eth0:?}"
    );
    let addresses = run_ip(&pod, &["-o", "address", "show", "dev", "eth0"])?;
    ensure!(
        addresses.contains("10.128.0.9/32") && addresses.contains("fd00::a80:9/128"),
        "{addresses}"
    );
    ensure!(
        !addresses
            .lines()
            .any(|line| line.contains("fd00::a80:9") && line.contains("tentative")),
        "{addresses}"
    );
    for (family, gateway) in [("-4", "10.128.0.8"), ("-6", "fd00::a80:8")] {
        let route = run_ip(&pod, &[family, "route", "show", "default"])?;
        ensure!(
            route.contains(gateway) && route.contains("onlink"),
            "{route}"
        );
    }
    ensure!(
        ports(&node).await? == [attached.host_interface.clone()],
        "ports {:?}",
        ports(&node).await?
    );
    let ids = node
        .vsctl(&["get", "Interface", &attached.host_interface, "external_ids"])
        .await?;
    for wanted in [
        "iface-id=shop_web",
        "iface-id-ver=uid-1",
        "weft-sandbox=sandbox-1",
    ] {
        ensure!(ids.contains(wanted), "{wanted} is not in {ids}");
    }
    detach_on(&node, scaled(PATIENCE)).await?;
    ensure!(ports(&node).await?.is_empty(), "a port is left");
    ensure!(
        links(node.netns())
            .await?
            .iter()
            .all(|link| link.name != attached.host_interface),
        "the veth is left"
    );
    ensure!(
        links(&pod).await?.iter().all(|link| link.name != "eth0"),
        "eth0 is left"
    );
    detach_on(&node, scaled(PATIENCE))
        .await
        .context("a second time")?;
    audit::node_log_is_clean(&node)?;
    Ok(())
}

pub async fn an_attachment_may_be_repeated_and_repairs_what_is_missing() -> anyhow::Result<()> {
    let node = node().await?;
    let pod = Netns::create("/run/netns/pod")?;
    let first = attach_answered(&node, what(&node, &pod, scaled(PATIENCE))).await?;
    let row = node
        .vsctl(&["get", "Interface", &first.host_interface, "_uuid"])
        .await?;

    run_ip(&pod, &["address", "flush", "dev", "eth0"])?;
    run_ip(&pod, &["address", "add", "192.0.2.1/24", "dev", "eth0"])?;
    attach_on(&node, what(&node, &pod, scaled(PATIENCE)))
        .await
        .context("repeated")?;
    let addresses = run_ip(&pod, &["-o", "address", "show", "dev", "eth0"])?;
    ensure!(
        addresses.contains("10.128.0.9/32") && !addresses.contains("192.0.2.1"),
        "{addresses}"
    );
    let same = node
        .vsctl(&["get", "Interface", &first.host_interface, "_uuid"])
        .await?;
    ensure!(row == same, "a port that was right was made anew");

    // Another incarnation of the pod, in another sandbox: the old port goes as the new one comes.
    let again = Netns::create("/run/netns/again")?;
    let next = Attach {
        uid: "uid-2".to_owned(),
        sandbox: "sandbox-2".to_owned(),
        ..what(&node, &again, scaled(PATIENCE))
    };
    let second = attach_answered(&node, next).await?;
    ensure!(
        ports(&node).await? == [second.host_interface],
        "ports {:?}",
        ports(&node).await?
    );
    Ok(())
}

pub async fn an_attachment_that_nobody_answers_says_so_and_takes_back_what_it_made()
-> anyhow::Result<()> {
    let node = node().await?;
    let pod = Netns::create("/run/netns/pod")?;
    let error = attach_on(&node, what(&node, &pod, scaled(Duration::from_millis(700))))
        .await
        .err()
        .context("attached without an answer")?;
    let message = format!("{error:#}");
    ensure!(
        message.contains("the controller's answer") && message.contains("shop_web"),
        "{message}"
    );
    ensure!(ports(&node).await?.is_empty(), "a port is left");
    ensure!(
        links(node.netns())
            .await?
            .iter()
            .all(|link| !link.name.starts_with("weft")),
        "a veth is left"
    );

    let answer_to_nothing = attach_answered(
        &node,
        Attach {
            interface: "eth1".to_owned(),
            ..what(&node, &pod, scaled(PATIENCE))
        },
    )
    .await;
    answer_to_nothing.context("after a failure")?;
    Ok(())
}

pub async fn a_pod_can_be_detached_without_its_namespace_and_without_open_vswitch()
-> anyhow::Result<()> {
    let node = node().await?;
    let pod = Netns::create("/run/netns/pod")?;
    attach_answered(&node, what(&node, &pod, scaled(PATIENCE))).await?;
    let path = pod.path().to_owned();
    drop(pod);
    Netns::remove(&path)?;
    detach_on(&node, scaled(PATIENCE))
        .await
        .context("without the namespace")?;
    ensure!(ports(&node).await?.is_empty(), "a port is left");

    let pod = Netns::create("/run/netns/pod")?;
    let attached = attach_answered(&node, what(&node, &pod, scaled(PATIENCE))).await?;
    node.stop_vswitchd().await?;
    node.stop_ovsdb_server().await?;
    detach_on(&node, scaled(Duration::from_millis(500)))
        .await
        .context("without Open vSwitch")?;
    ensure!(
        links(node.netns())
            .await?
            .iter()
            .all(|link| link.name != attached.host_interface),
        "the veth is left"
    );
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(10);
