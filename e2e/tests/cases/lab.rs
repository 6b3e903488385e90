//! A lab: a fabric, `weft run` on a directory of manifests, and the pods that they ask for.
//!
//! [`run`] is what a case calls: it brings a lab up, runs the case, and ends it with the audit. A case that fails shows
//! flows, rows and logs.

use std::{fs, process::Command, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use futures::future::try_join;
use weft_e2e::{
    audit::{self, Auditor},
    fabric::{Fabric, FabricConfig},
    kubelet::{Kubelet, PodState, Pods},
    node::{Datapath, Node},
    patience::scaled,
    pod::Pod,
    probe::{Family, Probe, reach},
    responder::{ContainerPort, Transport},
    steady::Steady,
    switch,
    tap::{Direction, Tap},
};
use weft_ovsdb::Connection;

use super::{
    packet::contains,
    programs::{NB, Programs, Role, Setting},
};

/// Enough for a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The manifests that a case writes.
pub const DIRECTORY: &str = "/run/weft/manifests";
/// Makes this program `weft`: see `main`.
pub const AS_WEFT: &str = "WEFT_AS_WEFT";

pub struct Lab {
    pub fabric: Arc<Fabric>,
    pub auditor: Auditor,
    kubelet: Kubelet,
    pub nb: Connection,
    pub programs: Programs,
    /// Parts of log lines that this case provokes.
    expected: Vec<&'static str>,
}

/// Runs a case in a lab of so many nodes with these manifests.
pub async fn run(
    nodes: u8,
    manifests: &str,
    case: impl AsyncFnOnce(&mut Lab) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    run_as(Setting::Whole, nodes, manifests, case).await
}

/// As [`run`], with weft's programs and the way to the nodes as told.
pub async fn run_as(
    setting: Setting,
    nodes: u8,
    manifests: &str,
    case: impl AsyncFnOnce(&mut Lab) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let config = FabricConfig {
        nodes,
        ..FabricConfig::default()
    };
    run_all(setting, config, manifests, case).await
}

/// As [`run`], with a fabric of one's own making.
pub async fn run_with(
    config: FabricConfig,
    manifests: &str,
    case: impl AsyncFnOnce(&mut Lab) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    run_all(Setting::Whole, config, manifests, case).await
}

async fn run_all(
    setting: Setting,
    config: FabricConfig,
    manifests: &str,
    case: impl AsyncFnOnce(&mut Lab) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut lab = Lab::start(setting, &config, manifests).await?;
    let outcome = match case(&mut lab).await {
        Ok(()) => lab.audit().await.context("audit"),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => lab
            .finish()
            .await
            .context("audit after everything was taken away"),
        Err(error) => Err(anyhow::anyhow!("{}\n{error:#}", lab.describe().await)),
    }
}

impl Lab {
    async fn start(
        setting: Setting,
        config: &FabricConfig,
        manifests: &str,
    ) -> anyhow::Result<Lab> {
        let (fabric, auditor) = try_join(Fabric::start(config, |_| {}), Auditor::start()).await?;
        let fabric = Arc::new(fabric);
        fs::create_dir_all(DIRECTORY)?;
        fs::write(format!("{DIRECTORY}/case.yaml"), manifests)?;
        let programs = Programs::start(setting, &fabric).await?;
        let nb = programs.northbound();
        let ports = [(Transport::Tcp, 80), (Transport::Udp, 53)]
            .map(|(transport, port)| ContainerPort { transport, port });
        let kubelet = Kubelet::start(
            Arc::clone(&fabric),
            nb.clone(),
            Arc::new(move |_| ports.to_vec()),
        );
        Ok(Lab {
            fabric,
            auditor,
            kubelet,
            nb,
            programs,
            expected: Vec::new(),
        })
    }

    /// Waits until exactly these pods run and every node knows them, and returns them in this order. (A pod runs once its
    /// own node has its flows; the others follow.)
    pub async fn pods<const N: usize>(&self, names: [&str; N]) -> anyhow::Result<[Arc<Pod>; N]> {
        self.pods_once(names, |_| true).await
    }

    /// As [`Lab::pods`], once each of them is as wanted.
    pub async fn pods_once<const N: usize>(
        &self,
        names: [&str; N],
        is_wanted: impl Fn(&Pod) -> bool,
    ) -> anyhow::Result<[Arc<Pod>; N]> {
        let are_all = |pods: &Pods| {
            pods.len() == N
                && names.iter().all(|name| {
                    matches!(pods.get(*name), Some(PodState::Running(pod)) if is_wanted(pod))
                })
        };
        let running = self.kubelet.wait(scaled(PATIENCE), are_all).await?;
        self.auditor
            .flows_are_as_computed(&self.fabric, &self.nb, scaled(PATIENCE))
            .await?;
        let found = names.map(|name| running.iter().find(|pod| pod.name() == name).cloned());
        let pods: Vec<_> = found.into_iter().flatten().collect();
        pods.try_into()
            .map_err(|_| anyhow::anyhow!("a pod went while the others came"))
    }

    /// Waits until a pod runs, whatever the nodes of others hold.
    pub async fn await_pod(&self, name: &str) -> anyhow::Result<Arc<Pod>> {
        let runs = |state: Option<&PodState>| matches!(state, Some(PodState::Running(_)));
        let wait = self
            .kubelet
            .wait(scaled(PATIENCE), |pods| runs(pods.get(name)));
        let pods = wait.await?;
        let pod = pods.into_iter().find(|pod| pod.name() == name);
        pod.with_context(|| format!("{name} went while it was awaited"))
    }

    /// Has the real `ovn-nbctl` run commands, one to a line, in one transaction. Blanks end an argument, no-break spaces are blanks in one.
    pub async fn nbctl(&self, commands: &str) -> anyhow::Result<String> {
        // It does not wait for a database that is not there yet.
        self.nb.transact(Vec::new()).await?;
        let mut nbctl = tokio::process::Command::new("ovn-nbctl");
        nbctl.arg(format!("--db=unix:{NB}")).arg("--timeout=20");
        for line in commands.lines().filter(|line| !line.trim().is_empty()) {
            let words = line.split(' ').filter(|word| !word.is_empty());
            nbctl
                .arg("--")
                .args(words.map(|word| word.replace('\u{a0}', " ")));
        }
        let output = nbctl.output().await.context("ovn-nbctl")?;
        if !output.status.success() {
            bail!(
                "ovn-nbctl: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Writes one file of the manifests, or takes it away.
    pub fn write(&self, file: &str, manifests: Option<&str>) -> anyhow::Result<()> {
        let path = format!("{DIRECTORY}/{file}.yaml");
        match manifests {
            // In one step: the watcher must not see half a file.
            Some(text) => {
                fs::write(format!("/run/weft/{file}.new"), text)?;
                fs::rename(format!("/run/weft/{file}.new"), path)?;
            }
            None => fs::remove_file(path)?,
        }
        Ok(())
    }

    /// How many bundles each node has acknowledged, as the log has it.
    pub fn bundles(&self) -> Vec<usize> {
        let log = self.weft_log();
        let of = |name: &str| {
            let session = format!("openflow{{node={name}}}");
            let lines = log.lines();
            lines
                .filter(|line| line.contains(&session) && line.contains("bundle acknowledged"))
                .count()
        };
        self.fabric
            .nodes()
            .iter()
            .map(|node| of(node.name()))
            .collect()
    }

    /// Ends the controller as a crash would.
    pub fn kill_weft(&mut self) -> anyhow::Result<()> {
        self.programs.kill(Role::Controller)
    }

    /// Starts the controller again.
    pub fn restart_weft(&mut self) -> anyhow::Result<()> {
        self.programs.kill(Role::Controller)?;
        self.programs.start_one(Role::Controller)
    }

    /// From now on, lines of any log that hold this text are no surprise.
    pub fn expect(&mut self, text: &'static str) {
        self.expected.push(text);
    }

    /// Waits until weft has logged a line that holds all of these.
    pub async fn await_log(&self, parts: &[&str]) -> anyhow::Result<String> {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let found = async {
            loop {
                ticks.tick().await;
                let log = self.weft_log();
                let line = log
                    .lines()
                    .find(|line| parts.iter().all(|part| line.contains(part)));
                if let Some(line) = line {
                    return line.to_owned();
                }
            }
        };
        tokio::time::timeout(scaled(PATIENCE), found)
            .await
            .with_context(|| format!("weft never said {parts:?}"))
    }

    /// Waits until what is installed is what a recompute says, on every node.
    pub async fn flows_are_as_computed(&self) -> anyhow::Result<()> {
        let (fabric, nb) = (&self.fabric, &self.nb);
        let patience = scaled(PATIENCE);
        self.auditor
            .flows_are_as_computed(fabric, nb, patience)
            .await
    }

    /// As [`Lab::flows_are_as_computed`], and nothing unexpected was logged.
    pub async fn audit(&self) -> anyhow::Result<()> {
        self.flows_are_as_computed().await?;
        audit::logs_are_clean_but(&self.fabric, &self.weft_log(), &self.expected)
    }

    async fn finish(mut self) -> anyhow::Result<()> {
        self.kubelet.stop().await;
        self.auditor
            .flows_are_as_computed(&self.fabric, &self.nb, scaled(PATIENCE))
            .await?;
        audit::logs_are_clean_but(&self.fabric, &self.programs.log(), &self.expected)?;
        self.programs.kill_all()?;
        audit::nothing_is_left(&self.fabric).await
    }

    pub fn weft_log(&self) -> String {
        self.programs.log()
    }

    async fn describe(&self) -> String {
        let mut text = String::new();
        for node in self.fabric.nodes() {
            let flows = switch::flows(node).await.map_or_else(
                |error| format!("{error:#}"),
                |flows| flows.into_iter().collect::<Vec<_>>().join("\n"),
            );
            let rows = node
                .vsctl(&[
                    "--columns=name,ofport,error,external_ids",
                    "list",
                    "Interface",
                ])
                .await
                .unwrap_or_default();
            text += &format!(
                "=== {} flows\n{flows}\n=== {} interfaces\n{rows}\n=== {} log\n{}\n",
                node.name(),
                node.name(),
                node.name(),
                warnings(&node.logs())
            );
        }
        format!("{text}=== weft\n{}\n===", self.weft_log())
    }
}

fn warnings(log: &str) -> String {
    log.lines()
        .filter(|line| !line.contains("|INFO|"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// This program as `weft`, with these arguments.
pub fn weft(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("/proc is mounted"));
    command
        .args(arguments)
        .env(AS_WEFT, "1")
        .env_remove("WEFT_SANDBOX");
    command
}

/// Fails unless an ICMP probe between two pods comes back; tried again on a machine that is too busy for the first.
pub async fn must_reach(from: &Pod, to: &Pod, family: Family) -> anyhow::Result<()> {
    for _ in 0..5 {
        if reach(from, to, Probe::Icmp, family).await.is_some() {
            return Ok(());
        }
    }
    bail!("{} did not reach {} over {family}", from.name(), to.name())
}

/// Steady streams between two pods, both ways and in both families.
pub fn streams(a: &Arc<Pod>, b: &Arc<Pod>) -> anyhow::Result<Vec<Steady>> {
    let ways = [(a, b, Family::Ipv4), (b, a, Family::Ipv6)];
    let streams = ways.map(|(from, to, family)| Steady::start(from, to, family));
    let streams: Option<Vec<Steady>> = streams.into_iter().collect();
    streams.context("a pod lacks an address")
}

/// Ends streams that ran while ports were made and taken away on their nodes; fails when a packet of theirs was lost, but
/// for single ones on the userspace datapath, at most one for each of these changes: it loses them by itself
/// (docs/datapaths.md says what was measured). Two in a row are a gap in the flows.
pub async fn nothing_was_lost_to_flows(
    lab: &Lab,
    streams: Vec<Steady>,
    port_changes: usize,
) -> anyhow::Result<()> {
    if lab.fabric.datapath() == Datapath::Kernel {
        return nothing_was_lost(streams).await;
    }
    for stream in streams {
        let tally = stream.stop().await;
        tell(&format!("{tally}"));
        let is_single = |pair: &[Duration]| pair[1].saturating_sub(pair[0]) > SINGLE;
        anyhow::ensure!(
            tally.sent > 0
                && tally.lost.len() <= port_changes
                && tally.lost.windows(2).all(is_single),
            "{tally}: {:?}",
            tally.lost
        );
    }
    Ok(())
}

/// Packets lost further apart than this, of those sent every 10 ms, are not neighbours.
const SINGLE: Duration = Duration::from_millis(30);

/// Ends streams; fails when a packet of theirs was lost.
pub async fn nothing_was_lost(streams: Vec<Steady>) -> anyhow::Result<()> {
    for stream in streams {
        let tally = stream.stop().await;
        tell(&format!("{tally}"));
        anyhow::ensure!(
            tally.sent > 0 && tally.lost.is_empty(),
            "{tally}: {:?}",
            tally.lost
        );
    }
    Ok(())
}

/// Something measured, for whoever reads the run's output.
pub fn tell(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "measured: {text}");
}

/// Collects what taps see of one packet, and knows when there is nothing more to come.
///
/// Frames are not waited for by time: after the packet in question, pings that must succeed go the same ways. What has
/// not been seen when they are back does not come.
pub struct Watch {
    taps: Vec<Tap>,
}

impl Watch {
    pub fn pods(pods: &[&Pod]) -> anyhow::Result<Watch> {
        Ok(Watch {
            taps: pods
                .iter()
                .map(|pod| pod.tap())
                .collect::<anyhow::Result<_>>()?,
        })
    }

    /// These.
    pub fn of(taps: Vec<Tap>) -> Watch {
        Watch { taps }
    }

    /// The underlay ends of the nodes.
    pub fn uplinks(lab: &Lab) -> anyhow::Result<Watch> {
        let taps = lab
            .fabric
            .nodes()
            .iter()
            .map(|node| Tap::open(node.netns(), "eth0"));
        Ok(Watch {
            taps: taps.collect::<std::io::Result<_>>()?,
        })
    }

    /// What each tap has seen in one direction and is wanted, once pings between these pods have come back.
    pub async fn after(
        &self,
        pings: &[(&Pod, &Pod)],
        direction: Direction,
        is_wanted: impl Fn(&[u8]) -> bool,
    ) -> anyhow::Result<Vec<Vec<Vec<u8>>>> {
        for round in 0..2 {
            if round > 0 {
                for (from, to) in pings {
                    forget_cached_flows(from.node()).await?;
                    forget_cached_flows(to.node()).await?;
                }
            }
            for (from, to) in pings {
                let family = Family::ALL
                    .into_iter()
                    .find(|family| to.address(*family).is_some());
                must_reach(from, to, family.context("a pod without address")?).await?;
            }
        }
        let mut seen = Vec::new();
        for tap in &self.taps {
            let frames = tap.pending()?;
            seen.push(
                frames
                    .into_iter()
                    .filter(|frame| frame.direction == direction && is_wanted(&frame.bytes))
                    .map(|frame| frame.bytes)
                    .collect(),
            );
        }
        Ok(seen)
    }

    /// How many frames with this token each tap has received, once the pings have come back.
    pub async fn count_received(
        &self,
        pings: &[(&Pod, &Pod)],
        token: &[u8],
    ) -> anyhow::Result<Vec<usize>> {
        let seen = self
            .after(pings, Direction::In, |frame| contains(frame, token))
            .await?;
        Ok(seen.iter().map(Vec::len).collect())
    }
}

/// A ping that has a flow in the kernel's datapath overtakes a packet that waits for one: have it wait behind. (That they wait in one
/// queue is `main`'s doing: each processor has one, and a case has one processor.)
async fn forget_cached_flows(node: &Node) -> anyhow::Result<()> {
    if node.datapath() == Datapath::Kernel {
        node.appctl("revalidator/purge", &[]).await?;
    }
    Ok(())
}

/// A token that no other packet carries.
pub fn token() -> Vec<u8> {
    format!("case {}", uuid::Uuid::new_v4().simple()).into_bytes()
}

/// Namespaces with annotations, and pods with their nodes, as YAML.
pub fn manifests(namespaces: &[(&str, &[(&str, &str)])], pods: &[(&str, &str)]) -> String {
    let mut documents = Vec::new();
    for (name, annotations) in namespaces {
        let annotations: String = annotations
            .iter()
            .map(|(key, value)| format!("    weft.dev/{key}: \"{value}\"\n"))
            .collect();
        let annotations = if annotations.is_empty() {
            annotations
        } else {
            format!("  annotations:\n{annotations}")
        };
        documents.push(format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n{annotations}"
        ));
    }
    for (name, node) in pods {
        let (namespace, name) = name
            .split_once('/')
            .expect("pods are written namespace/name");
        documents.push(format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: {namespace}\nspec:\n  nodeName: {node}\n  containers:\n  - name: main\n    image: none\n    ports:\n    - containerPort: 80\n    - containerPort: 53\n      protocol: UDP\n"
        ));
    }
    documents.join("---\n")
}

/// The address of a family that a pod must have.
pub fn address(pod: &Pod, family: Family) -> anyhow::Result<std::net::IpAddr> {
    pod.address(family)
        .with_context(|| format!("{} has no {family} address", pod.name()))
}

/// The gateway of a family that a pod must have.
pub fn gateway(pod: &Pod, family: Family) -> anyhow::Result<std::net::IpAddr> {
    let gateways = &pod.attached().gateways;
    gateways
        .iter()
        .copied()
        .find(|gateway| Family::of(*gateway) == family)
        .with_context(|| format!("{} has no {family} gateway", pod.name()))
}

/// The Ethernet address of a pod's IPv4 gateway, asked for as a pod asks.
pub async fn gateway_mac(pod: &Pod) -> anyhow::Result<weft_cni::link::Mac> {
    use super::packet::{ARP, BROADCAST, arp, ethernet, parse_arp};
    let (std::net::IpAddr::V4(own), std::net::IpAddr::V4(target)) =
        (address(pod, Family::Ipv4)?, gateway(pod, Family::Ipv4)?)
    else {
        bail!("an IPv6 address among the IPv4 ones");
    };
    let (tap, mac) = (pod.tap()?, pod.attached().mac);
    let request = arp(1, mac, own, weft_cni::link::Mac([0; 6]), target);
    tap.send(&ethernet(mac, BROADCAST, ARP, &request)).await?;
    let reply = tap
        .receive(scaled(PATIENCE), |frame| {
            parse_arp(frame).is_some_and(|(operation, _, spa, _)| operation == 2 && spa == target)
        })
        .await;
    let reply = reply
        .with_context(|| format!("{}: the gateway {target} does not answer ARP", pod.name()))?;
    Ok(parse_arp(&reply).context("no ARP")?.1)
}
