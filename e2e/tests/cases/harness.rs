//! The harness itself: nodes come up, and nothing is left behind.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use weft_e2e::{
    audit,
    fabric::{Fabric, FabricConfig, Step},
    patience::scaled,
    sandbox,
};

use super::lab::{self, PATIENCE, manifests};

/// Makes this program a caller of a sandbox with a fabric in it that stays: see `main`.
pub const HOLD: &str = "WEFT_HOLD";

/// What the program does then.
pub fn hold() -> ExitCode {
    if !sandbox::is_inside() {
        return sandbox::run_inside([]).map_or(ExitCode::FAILURE, |ended| ended.code);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let _fabric = Fabric::start(&FabricConfig::default(), |_| {})
            .await
            .unwrap();
        std::io::stdout().write_all(b"ready\n").unwrap();
        std::future::pending::<ExitCode>().await
    })
}

pub async fn a_caller_that_is_killed_leaves_nothing_behind() -> anyhow::Result<()> {
    let before = processes()?;
    let (mut caller, during) = start_held()?;
    ensure!(
        during.len() >= before.len() + 9,
        "caller, init, worker and three switches: {during:?}"
    );
    caller.kill()?;
    caller.wait()?;
    only_these_are_left(&before).await
}

pub async fn a_signal_reaches_the_worker_and_its_end_the_caller() -> anyhow::Result<()> {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let before = processes()?;
        let (mut caller, _) = start_held()?;
        kill(Pid::from_raw(i32::try_from(caller.id())?), signal)?;
        let status = tokio::task::spawn_blocking(move || caller.wait()).await??;
        ensure!(status.code() == Some(code), "{signal}: {status}");
        only_these_are_left(&before).await?;
    }
    Ok(())
}

/// The caller, and all processes once its fabric is up.
fn start_held() -> anyhow::Result<(Child, BTreeSet<String>)> {
    let mut caller = Command::new(std::env::current_exe()?)
        .env(HOLD, "1")
        .env_remove("WEFT_SANDBOX")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(caller.stdout.take().context("no pipe")?).read_line(&mut line)?;
    ensure!(line == "ready\n", "the held fabric said {line:?}");
    Ok((caller, processes()?))
}

/// All processes of this sandbox and those inside it.
fn processes() -> anyhow::Result<BTreeSet<String>> {
    let entries =
        fs::read_dir("/proc")?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let all: anyhow::Result<BTreeSet<String>> = entries.collect();
    Ok(all?
        .into_iter()
        .filter(|name| name.parse::<u32>().is_ok())
        .collect())
}

async fn only_these_are_left(before: &BTreeSet<String>) -> anyhow::Result<()> {
    let deadline = Instant::now() + scaled(PATIENCE);
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    while processes()? != *before {
        if Instant::now() > deadline {
            bail!("processes before {before:?} and after {:?}", processes()?);
        }
        ticks.tick().await;
    }
    Ok(())
}

pub async fn nodes_start_side_by_side_and_reach_each_other_on_the_underlay() -> anyhow::Result<()> {
    let steps = std::sync::Mutex::new(Vec::new());
    let fabric = Fabric::start(&FabricConfig::default(), |step| {
        steps.lock().unwrap().push(step);
    })
    .await?;
    let steps = steps.into_inner()?;
    ensure!(
        steps.len() == 5 && steps.last() == Some(&Step::Ready),
        "{steps:?}"
    );
    for node in fabric.nodes() {
        let ids = node
            .vsctl(&["get", "Open_vSwitch", ".", "external_ids"])
            .await?;
        for wanted in [
            format!("system-id={}", node.name()),
            format!("ovn-encap-ip=\"{}\"", node.encapsulation()),
            "ovn-encap-type=geneve".to_owned(),
            "weft-underlay-mtu=\"1500\"".to_owned(),
        ] {
            ensure!(ids.contains(&wanted), "{wanted} is not in {ids}");
        }
    }
    audit::logs_are_clean(&fabric, "")
}

/// The audit itself: it must not say that all is well when it is not.
pub async fn the_audit_finds_what_was_tampered_with_and_what_was_logged_and_left()
-> anyhow::Result<()> {
    let lan = &[("router", "lan"), ("subnets", "10.1.0.0/24")][..];
    let yaml = manifests(&[("lan", lan)], &[("lan/a", "n1"), ("lan/b", "n2")]);
    lab::run(2, &yaml, async |lab| {
        lab.pods(["lan/a", "lan/b"]).await?;
        lab.audit().await?;
        // With the controller away nobody repairs what is tampered with.
        let computed = audit::recompute(&lab.fabric, &lab.nb).await?;
        lab.kill_weft()?;
        let untouched = lab.auditor.differences(&lab.fabric, &computed).await?;
        ensure!(untouched.is_empty(), "{untouched:?}");
        let node = &lab.fabric.nodes()[0];
        for (tampering, expected) in [
            (
                &["add-flow", "%", "table=8,priority=7,ip actions=drop"][..],
                "n1 has too ",
            ),
            (
                &["add-group", "%", "group_id=77,type=all,bucket=output:1"],
                "n1 has too group_id=77",
            ),
            (
                &["mod-flows", "%", "table=112 actions=drop"],
                "table=112, priority=0 actions=drop",
            ),
            (
                &["del-flows", "%", "table=0"],
                "n1 lacks   priority=100,in_port=",
            ),
            (&["del-groups", "%"], "n1 lacks   group_id="),
        ] {
            let before = lab.auditor.differences(&lab.fabric, &computed).await?;
            node.ofctl(tampering).await?;
            let after = lab.auditor.differences(&lab.fabric, &computed).await?;
            let mut new = after.iter().filter(|line| !before.contains(line));
            ensure!(
                new.any(|line| line.contains(expected)),
                "{tampering:?} went unseen: {after:?}"
            );
        }

        audit::logs_are_clean(&lab.fabric, &lab.weft_log())?;
        let warned = audit::logs_are_clean(&lab.fabric, "now  WARN cluster: something");
        ensure!(warned.is_err(), "a warning of weft went unseen");
        for daemon in ["ovsdb-server", "ovs-vswitchd"] {
            let path = node.directory().join(format!("{daemon}.log"));
            let mut log = fs::File::options().append(true).open(&path)?;
            let length = log.metadata()?.len();
            log.write_all(b"now|00099|tampering|WARN|something\n")?;
            let warned = audit::logs_are_clean(&lab.fabric, "");
            log.set_len(length)?;
            ensure!(warned.is_err(), "a warning of {daemon} went unseen");
        }
        let left = audit::nothing_is_left(&lab.fabric).await;
        ensure!(left.is_err(), "pods went unseen");
        lab.restart_weft()
    })
    .await
}
