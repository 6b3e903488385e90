//! An upgrade: a controller that makes other flows than the one before it takes a switch over that forwards.

use std::{collections::BTreeSet, fs, sync::Arc};

use anyhow::{Context, ensure};
use weft_e2e::{node::Node, probe::Family, switch};

use super::lab::{self, manifests};

pub async fn a_controller_that_makes_other_flows_takes_over_in_one_bundle_and_loses_no_packet()
-> anyhow::Result<()> {
    let yaml = manifests(&[("shop", &[])], &[("shop/a", "n1"), ("shop/b", "n2")]);
    lab::run(2, &yaml, async |lab| {
        let [a, b] = lab.pods(["shop/a", "shop/b"]).await?;
        lab.audit().await?;
        let nodes: Vec<Arc<Node>> = lab.fabric.nodes().to_vec();
        let streams = lab::streams(&a, &b)?;
        for _ in 0..ROUNDS {
            lab.kill_weft()?;
            let mut now = Vec::new();
            for node in &nodes {
                let flows = switch::flows(node).await?;
                take_back(node, &flows).await?;
                let then = switch::flows(node).await?;
                ensure!(
                    then.len() == flows.len() && then.is_disjoint(&flows),
                    "{}: not another pipeline: {then:#?}",
                    node.name()
                );
                now.push(flows);
            }
            // The streams and these go through the other pipeline.
            lab::must_reach(&a, &b, Family::Ipv4).await?;
            lab::must_reach(&b, &a, Family::Ipv6).await?;
            let bundles = lab.bundles();
            lab.restart_weft()?;
            lab.audit().await?;
            for (index, node) in nodes.iter().enumerate() {
                ensure!(
                    switch::flows(node).await? == now[index],
                    "{} is not as it was",
                    node.name()
                );
                let sent = lab.bundles()[index] - bundles[index];
                ensure!(sent == 1, "{} took {sent} bundles", node.name());
            }
        }
        lab::must_reach(&a, &b, Family::Ipv4).await?;
        lab::nothing_was_lost(streams).await
    })
    .await
}

/// There and back.
const ROUNDS: usize = 3;

/// Gives a switch what a version of weft would have given it that has its tables elsewhere and other cookies: the same
/// network by other flows, each of which is to be replaced.
async fn take_back(node: &Node, flows: &BTreeSet<String>) -> anyhow::Result<()> {
    let mut lines = vec!["flow delete".to_owned()];
    let groups = switch::groups(node).await?;
    ensure!(!groups.is_empty(), "{} has no group", node.name());
    for group in &groups {
        lines.push(format!("group mod {}", elsewhere(group)?));
    }
    for flow in flows {
        lines.push(format!("flow add {}", elsewhere(flow)?));
    }
    let file = format!("/run/weft/{}.bundle", node.name());
    fs::write(&file, lines.join("\n") + "\n")?;
    node.ofctl(&["bundle", "%", &file]).await.map(drop)
}

/// Every table but the first a hundred further up, and the cookie one more.
fn elsewhere(text: &str) -> anyhow::Result<String> {
    let mut moved = text.to_owned();
    for before in ["table=", "goto_table:", "resubmit(,"] {
        moved = shift(
            &moved,
            before,
            10,
            |table| if table == 0 { 0 } else { table + 100 },
        )?;
    }
    shift(&moved, "cookie=0x", 16, |cookie| cookie + 1)
}

/// Changes each number that follows a word.
fn shift(text: &str, before: &str, radix: u32, change: fn(u64) -> u64) -> anyhow::Result<String> {
    let mut parts = text.split(before);
    let mut shifted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part
            .find(|character: char| !character.is_digit(radix))
            .unwrap_or(part.len());
        let number = u64::from_str_radix(&part[..end], radix)
            .with_context(|| format!("no number after {before:?}: {text}"))?;
        let number = change(number);
        shifted += before;
        shifted += &match radix {
            16 => format!("{number:x}"),
            _ => number.to_string(),
        };
        shifted += &part[end..];
    }
    Ok(shifted)
}
