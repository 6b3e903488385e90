//! The way packets take between nodes, told by the counters of the tunnel ports.
//!
//! A pair of pods on different nodes pings a few times; what the counters of every node's tunnel port rose by says which
//! nodes the packets left and entered. Pairs on one node must leave them alone.
//!
//! Must not: count what weft says; the counters are the switches'.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures::future::try_join_all;
use weft_e2e::{
    fabric::Fabric,
    patience::scaled,
    pod::Pod,
    probe::{Family, Probe, reach},
    switch::tunnel_counters,
};

use super::report::Report;
use crate::terminal::{Colour, Tone};

/// Pings between pods that reached each other, and the counters that rose.
pub(super) async fn trace(
    fabric: &Fabric,
    pods: &[Arc<Pod>],
    report: &Report,
    colour: Colour,
) -> Result<String> {
    let by_name: BTreeMap<&str, &Arc<Pod>> = pods.iter().map(|pod| (pod.name(), pod)).collect();
    let ends = |from: &str, to: &str| Some((*by_name.get(from)?, *by_name.get(to)?));
    // A ping and its reply cross both ways: one line tells of both directions.
    let mut pairs: Vec<(&Arc<Pod>, &Arc<Pod>)> = Vec::new();
    for row in report
        .pairs
        .iter()
        .filter(|row| row.reached && row.expected)
    {
        if let Some((from, to)) = ends(&row.from, &row.to)
            && !pairs.iter().any(|(a, b)| {
                [a.name(), b.name()] == [from.name(), to.name()]
                    || [b.name(), a.name()] == [from.name(), to.name()]
            })
        {
            pairs.push((from, to));
        }
    }
    let (local, mut remote): (Vec<_>, Vec<_>) = pairs
        .into_iter()
        .partition(|(from, to)| from.node().name() == to.node().name());
    let all = remote.len();
    if all > PAIRS_MAX {
        remote = one_per_nodes(remote);
    }
    let mut text = String::new();
    let width = remote
        .iter()
        .map(|(from, to)| label(from, to).chars().count())
        .max()
        .unwrap_or(0);
    let mut before = quiet(fabric).await?;
    for (from, to) in &remote {
        ping(from, to).await;
        let (source, destination) = (from.node().name(), to.node().name());
        let after = settled(fabric, &before, &[source, destination]).await?;
        let rose: BTreeMap<&str, u64> = after
            .iter()
            .map(|(node, count)| {
                (
                    node.as_str(),
                    count.saturating_sub(before.get(node).copied().unwrap_or(0)),
                )
            })
            .collect();
        let count = |node: &str| rose.get(node).copied().unwrap_or(0);
        let elsewhere: u64 = rose
            .iter()
            .filter(|(node, _)| **node != source && **node != destination)
            .map(|(_, count)| count)
            .sum();
        let tone = if count(source) >= PINGS && count(destination) >= PINGS {
            Tone::Good
        } else {
            Tone::Bad
        };
        let mut counted = format!(
            "{destination} +{}  {source} +{}",
            count(destination),
            count(source)
        );
        if elsewhere > 0 {
            let _ = write!(counted, "  other nodes +{elsewhere}");
        }
        let _ = writeln!(
            text,
            "  {:width$}   {}",
            label(from, to),
            colour.paint(tone, counted)
        );
        before = after;
    }
    if all > remote.len() {
        let _ = writeln!(
            text,
            "  one pair of pods for every two nodes; there are {all}"
        );
    }
    if !local.is_empty() {
        for (from, to) in local.iter().take(PAIRS_MAX) {
            ping(from, to).await;
        }
        let after: u64 = received(fabric).await?.values().sum();
        let total = after.saturating_sub(before.values().sum());
        let _ = writeln!(
            text,
            "  {} of pods on one node: +{total} on all nodes together",
            match local.len().min(PAIRS_MAX) {
                1 => "1 pair".to_owned(),
                count => format!("{count} pairs"),
            }
        );
    }
    Ok(text)
}

/// How many times each pair pings.
pub(super) const PINGS: u64 = 3;

async fn ping(from: &Pod, to: &Pod) {
    if let Some(family) = Family::ALL
        .into_iter()
        .find(|family| from.address(*family).is_some() && to.address(*family).is_some())
    {
        for _ in 0..PINGS {
            // Whether it came back is told by the counters here, and was by the matrix before.
            let _ = reach(from, to, Probe::Icmp, family).await;
        }
    }
}

/// Packets that came out of each node's tunnel port. What went in is not looked at: the userspace datapath of Open vSwitch
/// counts it twice.
async fn received(fabric: &Fabric) -> Result<BTreeMap<String, u64>> {
    let all = fabric.nodes().iter().map(|node| async move {
        anyhow::Ok((
            node.name().to_owned(),
            tunnel_counters(node).await?.rx_packets,
        ))
    });
    Ok(try_join_all(all).await?.into_iter().collect())
}

/// As [`received`], once nothing is counted any more of what went before.
async fn quiet(fabric: &Fabric) -> Result<BTreeMap<String, u64>> {
    let deadline = Instant::now() + scaled(COUNTED_MAX);
    let mut last = received(fabric).await?;
    loop {
        let now = received(fabric).await?;
        if now == last || Instant::now() >= deadline {
            return Ok(now);
        }
        last = now;
    }
}

/// As [`received`], once both nodes have counted the pings: a switch counts what its cache forwards with some delay.
async fn settled(
    fabric: &Fabric,
    before: &BTreeMap<String, u64>,
    nodes: &[&str],
) -> Result<BTreeMap<String, u64>> {
    let deadline = Instant::now() + scaled(COUNTED_MAX);
    loop {
        let now = received(fabric).await?;
        let rose = |node: &&str| {
            now.get(*node)
                .copied()
                .unwrap_or(0)
                .saturating_sub(before.get(*node).copied().unwrap_or(0))
        };
        if nodes.iter().all(|node| rose(node) >= PINGS) || Instant::now() >= deadline {
            return Ok(now);
        }
    }
}

fn one_per_nodes<'a>(
    pairs: Vec<(&'a Arc<Pod>, &'a Arc<Pod>)>,
) -> Vec<(&'a Arc<Pod>, &'a Arc<Pod>)> {
    let mut seen = std::collections::BTreeSet::new();
    pairs
        .into_iter()
        .filter(|(from, to)| seen.insert((from.node().name(), to.node().name())))
        .collect()
}

fn label(from: &Pod, to: &Pod) -> String {
    format!(
        "{} ({}) ⇄ {} ({})",
        from.name(),
        from.node().name(),
        to.name(),
        to.node().name()
    )
}

/// More cross-node pairs than this are shown by their nodes.
const PAIRS_MAX: usize = 24;
/// A counter that has not moved by then does not move.
const COUNTED_MAX: Duration = Duration::from_secs(1);
