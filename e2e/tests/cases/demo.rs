//! `weft demo`, as a user starts it, judged by what it prints.

use std::{collections::BTreeSet, process::Output};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::lab::weft;

const QUICKSTART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart");

pub async fn the_quickstart_demo_ends_well_and_says_so_in_one_object() -> anyhow::Result<()> {
    let output = demo(&["--json", "--probe", "icmp,tcp:80,udp:53"]).await?;
    let text = String::from_utf8(output.stdout)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}\n{text}\n{stderr}",
        output.status
    );
    let report: Value =
        serde_json::from_str(&text).with_context(|| format!("stdout is {text:?}"))?;
    ensure!(report["ok"] == true, "{report:#}");
    ensure!(
        report["nodes"] == serde_json::json!(["n1", "n2", "n3"]),
        "{}",
        report["nodes"]
    );
    let pods = report["pods"].as_array().context("no pods")?;
    ensure!(pods.len() >= 6, "{pods:?}");

    // One row for every ordered pair of pods, probe and family: all have both families.
    let pairs = report["pairs"].as_array().context("no pairs")?;
    ensure!(
        pairs.len() == pods.len() * (pods.len() - 1) * 3 * 2,
        "{} rows for {} pods",
        pairs.len(),
        pods.len()
    );
    let keys: BTreeSet<String> = pairs
        .iter()
        .map(|pair| {
            ["from", "to", "family", "proto", "port"]
                .map(|key| pair[key].to_string())
                .join(" ")
        })
        .collect();
    ensure!(keys.len() == pairs.len(), "a row comes twice");
    for pair in pairs {
        ensure!(pair["reached"] == pair["expected"], "{pair}");
        ensure!(
            pair["rtt_us"].is_u64() == (pair["reached"] == true),
            "{pair}"
        );
        ensure!(
            pair["port"].is_null() == (pair["proto"] == "icmp"),
            "{pair}"
        );
    }
    let reached = |expected: bool| {
        pairs
            .iter()
            .filter(|pair| pair["reached"] == expected)
            .count()
    };
    ensure!(
        reached(true) > 0 && reached(false) > 0,
        "a demo in which everybody, or nobody, talks shows nothing"
    );

    // Tenants with the same addresses are part of the show.
    let addresses: Vec<String> = pods
        .iter()
        .flat_map(|pod| pod["ips"].as_array().into_iter().flatten())
        .map(Value::to_string)
        .collect();
    let distinct: BTreeSet<&String> = addresses.iter().collect();
    ensure!(
        distinct.len() < addresses.len(),
        "no addresses overlap: {addresses:?}"
    );
    Ok(())
}

async fn demo(arguments: &[&str]) -> anyhow::Result<Output> {
    let mut all = vec!["demo"];
    if !arguments.contains(&"--manifests") {
        all.extend(["--manifests", QUICKSTART]);
    }
    all.extend(arguments);
    let mut command = weft(&all);
    Ok(
        tokio::task::spawn_blocking(move || command.stdin(std::process::Stdio::null()).output())
            .await??,
    )
}
