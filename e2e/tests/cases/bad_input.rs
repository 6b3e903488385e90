//! Bad input: a line that says what is wrong and where, and a network that goes on as if nothing had been said.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use nix::{
    mount::{MsFlags, mount},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};
use weft_e2e::{
    patience::scaled,
    probe::{Probe, probe_all},
};

use super::lab::{self, manifests, weft};

pub async fn bad_manifests_are_told_with_file_and_field_and_disturb_nobody() -> anyhow::Result<()> {
    let yaml = manifests(
        &[
            ("shop", &[]),
            ("red", &[("router", "red"), ("subnets", "10.0.0.0/24")]),
        ],
        &[("shop/a", "n1"), ("shop/b", "n2"), ("red/a", "n1")],
    );
    lab::run(2, &yaml, async |lab| {
        let [a, b, red] = lab.pods(["shop/a", "shop/b", "red/a"]).await?;
        let streams = lab::streams(&a, &b)?;
        for (name, text, parts) in BAD {
            lab.expect(name);
            lab.write(name, Some(text))?;
            for part in *parts {
                let line = lab.await_log(&[name, part]).await?;
                ensure!(
                    line.contains(" WARN ") && line.contains(&format!("{name}.yaml")),
                    "{line}"
                );
            }
        }
        // What is good in those files counts, and nothing else: exactly these run.
        let [.., first, only] = lab
            .pods(["shop/a", "shop/b", "red/a", "static/first", "full/only-0"])
            .await?;
        for outcome in probe_all(&[a.clone(), b.clone(), red, first, only], &[Probe::Icmp]).await {
            let are_on_one_router =
                outcome.from.starts_with("shop/") && outcome.to.starts_with("shop/");
            ensure!(outcome.rtt.is_some() == are_on_one_router, "{outcome:?}");
        }
        for (name, ..) in BAD {
            lab.write(name, None)?;
        }
        lab.pods(["shop/a", "shop/b", "red/a"]).await?;
        // Two pods came, and went.
        lab::nothing_was_lost_to_flows(lab, streams, 4).await
    })
    .await
}

/// File, contents, and what the lines about it hold.
const BAD: &[(&str, &str, &[&str])] = &[
    (
        "not-yaml",
        "kind: Pod\nmetadata: {name: [\n",
        &["not-yaml.yaml:"],
    ),
    (
        "wrong-type",
        "kind: Deployment\nmetadata: {name: web, namespace: shop}\nspec: {replicas: many}\n",
        &["wrong-type.yaml:3:18: Deployment shop/web: spec.replicas: not a whole number"],
    ),
    (
        "unknown-node",
        "kind: Pod\nmetadata: {name: lost, namespace: shop}\nspec: {nodeName: n9, containers: []}\n",
        &["Pod shop/lost: spec.nodeName: unknown node \"n9\"; known nodes are n1, n2"],
    ),
    (
        "taken",
        "kind: Namespace\nmetadata: {name: static, annotations: {weft.dev/router: static, weft.dev/subnets: 10.0.0.0/24}}\n---\n\
         kind: Pod\nmetadata: {name: first, namespace: static, annotations: {weft.dev/addresses: 10.0.0.9}}\nspec: {nodeName: n1, containers: []}\n---\n\
         kind: Pod\nmetadata: {name: second, namespace: static, annotations: {weft.dev/addresses: 10.0.0.9}}\nspec: {nodeName: n2, containers: []}\n",
        &["Pod static/second: metadata.annotations[weft.dev/addresses]: 10.0.0.9"],
    ),
    (
        "full",
        "kind: Namespace\nmetadata: {name: full, annotations: {weft.dev/router: full, weft.dev/subnets: 10.0.0.0/30}}\n---\n\
         kind: Deployment\nmetadata: {name: only, namespace: full}\nspec: {replicas: 2, selector: {}, template: {spec: {containers: []}}}\n",
        &["Pod full/only-1: namespace full has no free address: 10.0.0.0/30 is used up"],
    ),
    (
        "overlap",
        "kind: Namespace\nmetadata: {name: red-too, annotations: {weft.dev/router: red, weft.dev/subnets: 10.0.0.128/25}}\n---\n\
         kind: Pod\nmetadata: {name: a, namespace: red-too}\nspec: {nodeName: n2, containers: []}\n",
        &[
            "Namespace red-too: metadata.annotations[weft.dev/subnets]: 10.0.0.128/25 overlaps 10.0.0.0/24 of namespace red",
        ],
    ),
    (
        "typo",
        "kind: Namespace\nmetadata: {name: typo, annotations: {weft.dev/subnet: 10.0.0.0/24}}\n",
        &["Namespace typo: metadata.annotations[weft.dev/subnet]: means nothing here"],
    ),
];

pub async fn a_second_demo_is_refused_while_one_runs_and_the_first_goes_on() -> anyhow::Result<()> {
    let mut first = Command::from(weft(&["demo", "--nodes", "1"]));
    let mut first = first
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(first.stdout.take().context("a pipe")?).lines();
    lines
        .next_line()
        .await?
        .context("the first demo says nothing")?;
    // A user in a hurry, and a program that reads the answer.
    let (status, _, stderr) = output(weft(&["demo"])).await?;
    ensure!(
        status == 1
            && stderr.lines().count() == 1
            && stderr.contains("another weft demo is running"),
        "{status}: {stderr}"
    );
    let (status, stdout, _) = output(weft(&["demo", "--json"])).await?;
    let report: Value = serde_json::from_str(&stdout).with_context(|| stdout.clone())?;
    ensure!(status == 1 && report["ok"] == false, "{status}: {report}");
    let pid = first.id().context("it has ended")?;
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGINT)?;
    // Its output is read to the end, as a terminal would.
    let ended = async {
        while lines.next_line().await?.is_some() {}
        anyhow::Ok(first.wait().await?)
    };
    let status = tokio::time::timeout(scaled(lab::PATIENCE), ended).await??;
    ensure!(status.code() == Some(130), "{status}");
    Ok(())
}

pub async fn a_demo_that_cannot_be_says_in_one_line_what_is_missing() -> anyhow::Result<()> {
    // As in a user namespace, where nobody is root who was not made so.
    let mut nobody = std::process::Command::new("unshare");
    let demo = weft(&["demo"]);
    nobody
        .args(["--user", "--"])
        .arg(demo.get_program())
        .args(demo.get_args());
    nobody.env(lab::AS_WEFT, "1").env_remove("WEFT_SANDBOX");
    says(nobody, "need root: run this with sudo").await?;
    for path in ["--manifests=/nowhere", "--manifests=/etc/hostname"] {
        says(weft(&["demo", path]), &path["--manifests=".len()..]).await?;
    }
    says(
        weft(&["demo", "--manifests=/run"]),
        "a demo has a /run of its own",
    )
    .await?;
    // These mounts end with the case's sandbox.
    let none = None::<&str>;
    let open_vswitch = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .map(|folder| format!("{folder}/ovs-vswitchd"));
    for program in open_vswitch
        .iter()
        .filter(|path| std::fs::exists(path).is_ok_and(|is| is))
    {
        mount(
            Some("/dev/null"),
            program.as_str(),
            none,
            MsFlags::MS_BIND,
            none,
        )?;
    }
    says(
        weft(&["demo"]),
        "no ovs-vswitchd on PATH or in /usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin; install it with: apt-get install openvswitch-switch",
    )
    .await
}

pub async fn a_demo_tells_of_bad_manifests_and_is_judged_by_the_good_ones() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    // Two are on the cluster's router, one of them by name; the third is on a subnet that has no room for one more.
    let text = "kind: Namespace\nmetadata: {name: named, annotations: {weft.dev/router: cluster}}\n---\n\
        kind: Namespace\nmetadata: {name: full, annotations: {weft.dev/router: full, weft.dev/subnets: 10.0.0.0/30}}\n---\n\
        kind: Pod\nmetadata: {name: a, namespace: named}\nspec: {containers: [{name: main, ports: [{containerPort: 80}]}]}\n---\n\
        kind: Pod\nmetadata: {name: newcomer, namespace: other}\nspec: {containers: []}\n---\n\
        kind: Deployment\nmetadata: {name: web, namespace: full}\nspec: {replicas: 2, selector: {}, template: {spec: {containers: []}}}\n";
    std::fs::write(folder.path().join("good.yaml"), text)?;
    std::fs::write(folder.path().join("bad.yaml"), "kind: Pod\nmetadata: [\n")?;
    let path = folder.path().to_str().context("a path of text")?;
    let arguments = [
        "demo",
        "--json",
        "--nodes=2",
        "--probe=icmp,tcp:80",
        "--manifests",
        path,
    ];
    let (status, stdout, stderr) = output(weft(&arguments)).await?;
    for part in [
        &format!("{path}/bad.yaml:"),
        "Pod full/web-1: namespace full has no free address",
        "full/web-1 has no port",
    ] {
        ensure!(stderr.contains(part), "no {part:?} in {stderr}");
    }
    let report: Value = serde_json::from_str(&stdout).with_context(|| stdout.clone())?;
    ensure!(
        status == 0 && report["ok"] == true,
        "{status}: {report:#}\n{stderr}"
    );
    let pods: Vec<_> = ["full/web-0", "full/web-1", "named/a", "other/newcomer"]
        .map(Value::from)
        .into();
    let named: Vec<_> = report["pods"]
        .as_array()
        .context("pods")?
        .iter()
        .map(|pod| pod["name"].clone())
        .collect();
    ensure!(named == pods, "{named:?}");
    let reached = report["pairs"].as_array().context("pairs")?;
    let reached = reached.iter().filter(|pair| pair["reached"] == true);
    let reached: Vec<String> = reached
        .map(|pair| {
            format!("{} {} {}", pair["from"], pair["proto"], pair["family"]).replace('"', "")
        })
        .collect();
    ensure!(
        reached
            == [
                "named/a icmp ipv4",
                "named/a icmp ipv6",
                "other/newcomer icmp ipv4",
                "other/newcomer icmp ipv6",
                "other/newcomer tcp ipv4",
                "other/newcomer tcp ipv6"
            ],
        "{reached:?}"
    );
    Ok(())
}

pub async fn a_demo_that_can_give_no_pod_a_port_passes_on_why() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let text = "kind: Pod\nmetadata: {name: lost}\nspec: {nodeName: n9, containers: []}\n";
    std::fs::write(folder.path().join("lost.yaml"), text)?;
    let path = folder.path().to_str().context("a path of text")?;
    let (status, stdout, stderr) =
        output(weft(&["demo", "--json", "--nodes=1", "--manifests", path])).await?;
    let report: Value = serde_json::from_str(&stdout).with_context(|| stdout.clone())?;
    ensure!(
        status == 1
            && report["ok"] == false
            && report["error"] == "weft gave none of the 1 pods a port",
        "{status}: {report}"
    );
    let why = format!("{path}/lost.yaml: Pod default/lost: spec.nodeName: unknown node \"n9\"");
    ensure!(stderr.contains(&why), "no {why:?} in {stderr}");
    Ok(())
}

/// Runs a program that must end with status 1 and one line that holds this text.
async fn says(command: std::process::Command, text: &str) -> anyhow::Result<()> {
    let (status, stdout, stderr) = output(command).await?;
    ensure!(
        status == 1 && stdout.is_empty() && stderr.lines().count() == 1 && stderr.contains(text),
        "{status}: {stdout}{stderr}"
    );
    Ok(())
}

async fn output(command: std::process::Command) -> anyhow::Result<(i32, String, String)> {
    let output = Command::from(command)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(scaled(LONG), output).await??;
    Ok((
        output.status.code().unwrap_or(-1),
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    ))
}

/// Enough for a whole demo on a machine that does much else.
const LONG: Duration = Duration::from_secs(80);
