//! The first packet, and life with the controller going and coming.

use anyhow::{Context, ensure};
use weft_e2e::{
    expectation::{PodFacts, is_expected},
    probe::{Family, Probe, probe_all},
    responder::{ContainerPort, Transport},
    switch,
};

use super::{
    lab::{self, Lab, manifests},
    programs::{NB, Role},
};

const PROBES: [Probe; 4] = [Probe::Icmp, Probe::Tcp(80), Probe::Udp(53), Probe::Tcp(81)];

pub async fn two_pods_on_two_nodes_reach_each_other_because_yaml_said_so() -> anyhow::Result<()> {
    let yaml = manifests(&[("shop", &[])], &[("shop/a", "n1"), ("shop/b", "n2")]);
    lab::run(2, &yaml, async |lab| {
        let [a, b] = lab.pods(["shop/a", "shop/b"]).await?;
        // northd makes no NB_Global row: ovn-nbctl does, and its generation is followed.
        for _ in 0..2 {
            let database = format!("--db=unix:{}", NB);
            let sync = tokio::process::Command::new("ovn-nbctl")
                .args([&database, "--timeout=20", "--wait=hv", "sync"])
                .output()
                .await
                .context("run ovn-nbctl")?;
            ensure!(sync.status.success(), "ovn-nbctl --wait=hv sync: {sync:?}");
        }
        let before = switch::tunnel_counters(a.node()).await?;
        let outcomes = probe_all(&[a.clone(), b.clone()], &PROBES).await;
        ensure!(
            outcomes.len() == 2 * PROBES.len() * 2,
            "both families: {outcomes:#?}"
        );
        for outcome in &outcomes {
            ensure!(
                outcome.rtt.is_some() == (outcome.probe != Probe::Tcp(81)),
                "{outcome:?}"
            );
        }
        let counted = switch::tunnel_counters(a.node()).await?.since(before);
        ensure!(
            counted.tx_packets >= 8 && counted.rx_packets >= 8,
            "the tunnel carried {counted:?}"
        );
        Ok(())
    })
    .await
}

pub async fn tenants_with_the_same_addresses_never_meet() -> anyhow::Result<()> {
    let subnets = ("subnets", "10.0.0.0/24,fd00:10::/64");
    let yaml = manifests(
        &[
            ("red", &[("router", "red"), subnets]),
            ("blue", &[("router", "blue"), subnets]),
            ("shop", &[]),
        ],
        &[
            ("red/a", "n1"),
            ("red/b", "n2"),
            ("blue/a", "n1"),
            ("blue/b", "n2"),
            ("shop/a", "n1"),
            ("shop/b", "n2"),
        ],
    );
    lab::run(2, &yaml, async |lab| {
        let pods = lab
            .pods(["red/a", "red/b", "blue/a", "blue/b", "shop/a", "shop/b"])
            .await?;
        let [red_a, red_b, blue_a, blue_b, ..] = &pods;
        let addresses = |a: &weft_e2e::pod::Pod, b: &weft_e2e::pod::Pod| {
            let mut all = [a.addresses(), b.addresses()].concat();
            all.sort();
            all
        };
        ensure!(
            addresses(red_a, red_b) == addresses(blue_a, blue_b),
            "the tenants' addresses should overlap"
        );
        let facts = |name: &str| {
            let namespace = name.split('/').next().unwrap_or_default();
            let ports = [(Transport::Tcp, 80), (Transport::Udp, 53)];
            PodFacts {
                router: (namespace != "shop").then(|| namespace.to_owned()),
                ports: ports
                    .map(|(transport, port)| ContainerPort { transport, port })
                    .into(),
            }
        };
        for outcome in probe_all(&pods, &PROBES).await {
            let expected = is_expected(&facts(&outcome.from), &facts(&outcome.to), outcome.probe);
            ensure!(
                outcome.rtt.is_some() == expected,
                "expected {expected}: {outcome:?}"
            );
        }
        Ok(())
    })
    .await
}

pub async fn a_new_pod_changes_flows_on_its_own_node_alone_and_its_end_restores_them()
-> anyhow::Result<()> {
    let base = [("shop/a", "n1"), ("shop/b", "n2")];
    lab::run(3, &manifests(&[("shop", &[])], &base), async |lab| {
        lab.pods(["shop/a", "shop/b"]).await?;
        lab.audit().await?;
        let before = dump(lab).await?;
        lab.write("more", Some(&manifests(&[], &[("shop/c", "n1")])))?;
        let [a, b, c] = lab.pods(["shop/a", "shop/b", "shop/c"]).await?;
        lab.audit().await?;
        let with = dump(lab).await?;
        for (from, to) in [(&a, &c), (&c, &a), (&b, &c), (&c, &b)] {
            lab::must_reach(from, to, Family::Ipv4).await?;
        }
        let changes: Vec<_> = before
            .iter()
            .zip(&with)
            .map(|(before, with)| switch::changed(before, with))
            .collect();
        ensure!(
            changes[0].0 > 0 && changes[1..] == [(0, 0), (0, 0)],
            "added and removed per node: {changes:?}"
        );
        lab.write("more", None)?;
        lab.pods(["shop/a", "shop/b"]).await?;
        lab.audit().await?;
        let after = dump(lab).await?;
        let changes: Vec<_> = before
            .iter()
            .zip(&after)
            .map(|(before, after)| switch::changed(before, after))
            .collect();
        ensure!(
            changes.iter().all(|change| *change == (0, 0)),
            "left over per node: {changes:?}"
        );
        // Who reads the log learns which port it was, and where.
        for what in ["port bound", "port released"] {
            lab.await_log(&[what, "lsp=shop_c", "node=n1"]).await?;
        }
        Ok(())
    })
    .await
}

pub async fn a_controller_that_is_killed_and_comes_back_changes_no_flow_and_loses_no_packet()
-> anyhow::Result<()> {
    let yaml = manifests(&[("shop", &[])], &[("shop/a", "n1"), ("shop/b", "n2")]);
    lab::run(2, &yaml, async |lab| {
        let [a, b] = lab.pods(["shop/a", "shop/b"]).await?;
        lab.audit().await?;
        let before = dump(lab).await?;
        let streams = lab::streams(&a, &b)?;
        // Once as a crash, once as an upgrade does it.
        for is_orderly in [false, true] {
            match is_orderly {
                true => lab.programs.end(Role::Controller).await?,
                false => lab.kill_weft()?,
            }
            let without = dump(lab).await?;
            ensure!(without == before, "flows changed when the controller went");
            lab::must_reach(&a, &b, Family::Ipv6).await?;
            lab.restart_weft()?;
            lab.audit().await?;
            ensure!(
                dump(lab).await? == before,
                "flows changed when the controller came back"
            );
        }
        lab::nothing_was_lost(streams).await?;
        lab.write("more", Some(&manifests(&[], &[("shop/c", "n2")])))?;
        let [_, _, c] = lab.pods(["shop/a", "shop/b", "shop/c"]).await?;
        lab::must_reach(&a, &c, Family::Ipv4).await
    })
    .await
}

async fn dump(lab: &Lab) -> anyhow::Result<Vec<std::collections::BTreeSet<String>>> {
    let mut dumps = Vec::new();
    for node in lab.fabric.nodes() {
        dumps.push(switch::flows(node).await?);
    }
    Ok(dumps)
}

pub async fn a_pod_whose_address_is_edited_is_attached_again_and_reached_at_the_new_one()
-> anyhow::Result<()> {
    let yaml = |address: &str| {
        format!(
            "kind: Namespace\nmetadata: {{name: lan, annotations: {{weft.dev/router: lan, weft.dev/subnets: 10.1.0.0/24}}}}\n---\n\
             kind: Pod\nmetadata: {{name: a, namespace: lan}}\nspec: {{nodeName: n1, containers: []}}\n---\n\
             kind: Pod\nmetadata: {{name: b, namespace: lan, annotations: {{weft.dev/addresses: {address}}}}}\nspec: {{nodeName: n2, containers: []}}\n"
        )
    };
    lab::run(2, &yaml("10.1.0.77"), async |lab| {
        let [a, b] = lab.pods(["lan/a", "lan/b"]).await?;
        lab::must_reach(&a, &b, Family::Ipv4).await?;
        lab.write("case", Some(&yaml("10.1.0.78")))?;
        let wanted: std::net::IpAddr = "10.1.0.78".parse()?;
        let pods = lab.pods_once(["lan/a", "lan/b"], |pod| {
            pod.name() != "lan/b" || pod.addresses().contains(&wanted)
        });
        let [_, b] = pods.await?;
        lab::must_reach(&a, &b, Family::Ipv4).await
    })
    .await
}
