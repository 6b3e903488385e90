//! Each part of weft alone: northd, a northbound database, the controller; and the nodes file while they run.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use weft_e2e::{
    management::Transport,
    node::Node,
    patience::scaled,
    probe::{Family, Probe, probe_all},
    switch,
};

use super::{
    lab::{self, Lab, PATIENCE, manifests},
    programs::{Database, Reach, Role, Setting, write_nodes},
};

pub async fn a_controller_alone_reaches_its_nodes_over_the_underlay_and_follows_the_nodes_file()
-> anyhow::Result<()> {
    let setting = Setting::Apart(Database::Weft, Reach::Underlay(Transport::Plain));
    let pods = [("shop/a", "n1"), ("shop/b", "n2"), ("shop/c", "n3")];
    let yaml = manifests(&[("shop", &[])], &pods);
    lab::run_as(setting, 3, &yaml, async |lab| {
        let pods = lab.pods(["shop/a", "shop/b", "shop/c"]).await?;
        for outcome in probe_all(&pods, &[Probe::Icmp, Probe::Tcp(80)]).await {
            ensure!(outcome.rtt.is_some(), "{outcome:?}");
        }
        let [a, b, _] = &pods;
        let streams = lab::streams(a, b)?;
        let management = lab.programs.management.as_ref();
        let whole = management.context("no underlay")?.nodes_yaml();
        // A file that cannot be used: the last good one goes on.
        lab.expect("nodes file not taken");
        write_nodes(&whole.replace("tcp:172.30.0.2:6640", "tcp:172.30.0.2:none"))?;
        let line = lab.await_log(&["nodes file not taken"]).await?;
        for part in ["nodes.yaml:3", "nodes[1]", "n2", "ovsdb", "none"] {
            ensure!(line.contains(part), "no {part:?} in {line}");
        }
        // northd puts no pod on a node that is not there.
        lab.expect("unknown node \"n3\"");
        // n3 leaves: nobody knows its tunnel any more, and it keeps what it has.
        let node = Arc::clone(lab.fabric.node("n3").context("n3")?);
        let before = switch::flows(&node).await?;
        let without: String = whole
            .lines()
            .filter(|line| !line.contains("n3"))
            .map(|line| format!("{line}\n"))
            .collect();
        write_nodes(&without)?;
        let others = &lab.fabric.nodes()[..2];
        for other in others {
            let its = node.encapsulation().to_string();
            await_flows(other, |flows| !flows.iter().any(|flow| flow.contains(&its))).await?;
        }
        ensure!(
            switch::flows(&node).await? == before,
            "n3's flows changed when it left"
        );
        // And comes back: its own flows are as they were, so nothing is sent that changes them.
        write_nodes(&whole)?;
        // northd took its pod away with it; this is another of the same name.
        let pods = lab.pods(["shop/a", "shop/b", "shop/c"]).await?;
        lab.audit().await?;
        for outcome in probe_all(&pods, &[Probe::Icmp]).await {
            ensure!(outcome.rtt.is_some(), "{outcome:?}");
        }
        lab::nothing_was_lost(streams).await
    })
    .await
}

pub async fn a_real_ovsdb_server_that_dies_and_comes_back_disturbs_nothing() -> anyhow::Result<()> {
    let setting = Setting::Apart(Database::OvsdbServer, Reach::Sockets);
    let yaml = manifests(&[("shop", &[])], &[("shop/a", "n1"), ("shop/b", "n2")]);
    lab::run_as(setting, 2, &yaml, async |lab| {
        let [a, b] = lab.pods(["shop/a", "shop/b"]).await?;
        lab.audit().await?;
        for text in [
            "not connected",
            "is not reachable; trying again",
            "northbound database: connection lost",
            // Whether what was under way was done is known once the database is back.
            "northbound database: not written; trying again",
        ] {
            lab.expect(text);
        }
        let before = dump(lab).await?;
        let streams = lab::streams(&a, &b)?;
        lab.programs.kill(Role::Database)?;
        lab.await_log(&["northbound database is not reachable"])
            .await?;
        lab::must_reach(&b, &a, Family::Ipv6).await?;
        // What is asked for meanwhile is done afterwards.
        lab.write("more", Some(&manifests(&[], &[("shop/c", "n2")])))?;
        ensure!(
            dump(lab).await? == before,
            "flows changed without a database"
        );
        lab.programs.start_one(Role::Database)?;
        let [_, _, c] = lab.pods(["shop/a", "shop/b", "shop/c"]).await?;
        lab::must_reach(&a, &c, Family::Ipv4).await?;
        lab.write("more", None)?;
        lab.pods(["shop/a", "shop/b"]).await?;
        lab.audit().await?;
        ensure!(
            dump(lab).await? == before,
            "flows are not as they were before"
        );
        lab::nothing_was_lost(streams).await
    })
    .await
}

async fn dump(lab: &Lab) -> anyhow::Result<Vec<BTreeSet<String>>> {
    let mut dumps = Vec::new();
    for node in lab.fabric.nodes() {
        dumps.push(switch::flows(node).await?);
    }
    Ok(dumps)
}

/// Waits until a switch holds what is wanted.
pub async fn await_flows(
    node: &Node,
    is_wanted: impl Fn(&BTreeSet<String>) -> bool,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let mut seen = BTreeSet::new();
    let waited = tokio::time::timeout(scaled(PATIENCE), async {
        loop {
            ticks.tick().await;
            seen = switch::flows(node).await?;
            if is_wanted(&seen) {
                return anyhow::Ok(());
            }
        }
    });
    let met = waited
        .await
        .unwrap_or_else(|_| Err(anyhow::anyhow!("not in time")));
    met.with_context(|| format!("{} does not hold the flows wanted: {seen:#?}", node.name()))
}
