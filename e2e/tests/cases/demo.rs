//! `weft demo`, as a user starts it, judged by what it prints.

use std::{
    collections::BTreeSet,
    fs,
    process::{Output, Stdio},
};

use anyhow::{Context, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{ChildStdout, Command},
};
use weft_e2e::patience::scaled;

use super::lab::{self, weft};

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

pub async fn a_demo_that_is_kept_can_be_looked_at_as_it_says_and_follows_its_files()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let pod = |name: &str| {
        format!("kind: Pod\nmetadata: {{name: {name}}}\nspec: {{nodeName: n1, containers: []}}\n")
    };
    // The first by name reaches nobody: it is not the one to look at.
    let alone = "kind: Namespace\nmetadata: {name: alone, annotations: {weft.dev/router: alone}}\n---\n\
        kind: Pod\nmetadata: {name: a, namespace: alone}\nspec: {nodeName: n1, containers: []}\n";
    for (name, text) in [("alone", alone), ("a", &pod("a")), ("b", &pod("b"))] {
        fs::write(folder.path().join(name).with_extension("yaml"), text)?;
    }
    let path = folder.path().to_str().context("a path of text")?;
    let mut demo = Command::from(weft(&["demo", "--keep", "--nodes=1", "--manifests", path]));
    let mut demo = demo
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(demo.stdout.take().context("a pipe")?).lines();
    line_with(&mut lines, "running until Ctrl-C").await?;
    for (begin, more, found) in [
        ("ovn-nbctl", "", "port default_b"),
        ("nsenter", "", "10.128.0."),
        ("nsenter", " -c 1 -W 5", "1 received"),
        ("ovs-ofctl", "", "table=0"),
    ] {
        let line = line_with(&mut lines, begin).await? + more;
        let output = Command::new("sh").args(["-c", &line]).output().await?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success() && text.contains(found),
            "{line}: {output:?}"
        );
    }
    line_with(
        &mut lines,
        &format!("a file in {path}: the network follows"),
    )
    .await?;
    fs::write(folder.path().join("c.yaml"), pod("c"))?;
    line_with(&mut lines, "+ default/c on n1").await?;
    fs::write(
        folder.path().join("c.yaml"),
        "kind: Pod\nmetadata: {name: [\n",
    )?;
    line_with(&mut lines, &format!("{path}/c.yaml:")).await?;
    fs::remove_file(folder.path().join("c.yaml"))?;
    line_with(&mut lines, "- default/c").await?;
    kill(
        Pid::from_raw(i32::try_from(demo.id().context("it has ended")?)?),
        Signal::SIGINT,
    )?;
    line_with(&mut lines, "nothing is left behind").await?;
    let status = tokio::time::timeout(scaled(lab::PATIENCE), demo.wait()).await??;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// The next line that holds this text.
async fn line_with(
    lines: &mut Lines<BufReader<ChildStdout>>,
    text: &str,
) -> anyhow::Result<String> {
    let mut seen = Vec::new();
    let found = async {
        while let Some(line) = lines.next_line().await? {
            if line.contains(text) {
                return Ok(line);
            }
            seen.push(line);
        }
        anyhow::bail!("the output ends")
    };
    let found = tokio::time::timeout(scaled(lab::PATIENCE), found).await;
    found
        .map_err(anyhow::Error::from)
        .flatten()
        .with_context(|| format!("no line with {text:?} among {seen:#?}"))
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
