//! The stages of a run, in order, inside the sandbox.
//!
//! ```text
//! nodes ─▶ manifests ─▶ weft run ─▶ pods ─▶ topology ─▶ matrix ─▶ services ─▶ tunnels ─▶ a pod comes and goes ─▶ (--keep) ─▶ down
//! ```
//!
//! A signal or a failure ends the stages wherever they are; taking down follows in any case.
//!
//! Must not: keep anything that outlives the sandbox.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use tokio_util::sync::CancellationToken;
use weft_e2e::{
    expectation::{PodFacts, is_expected},
    fabric::{Fabric, FabricConfig, Step},
    kubelet::{Kubelet, PodState, Pods, running},
    management::{Management, Transport},
    node::{BR_INT, Datapath, RUN},
    patience::scaled,
    pod::Pod,
    probe::{Family, Probe, probe_all, reach},
    sandbox,
    switch::{changed, flows},
};
use weft_schema::nb::show;

use super::{
    manifests::{self, Manifests},
    matrix,
    process::WeftRun,
    progress::Progress,
    report::{Pair, Pod as PodRow, Report},
    services, way,
};
use crate::{arguments::Demo, show::snapshot, terminal::Tone};

/// How the stages ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// All were gone through.
    Done,
    /// A signal came before that.
    Interrupted,
    /// One failed.
    Failed(anyhow::Error),
}

/// Goes through the stages and takes everything down.
///
/// `on_result` is given the report once no stage can change it any more, which with `--keep` is long before the end.
pub(super) async fn run(
    arguments: Demo,
    progress: Progress,
    on_result: impl Fn(&Report),
    cancel: CancellationToken,
) -> (Report, Ending) {
    let mut stages = Stages {
        arguments,
        progress,
        report: Report::default(),
        manifests: None,
        weft: None,
        kubelet: None,
        warned: BTreeSet::new(),
        is_complete: false,
    };
    let ending = tokio::select! {
        biased;
        () = cancel.cancelled() => if stages.is_complete { Ending::Done } else { Ending::Interrupted },
        outcome = stages.go(on_result) => match outcome {
            Ok(()) => Ending::Done,
            Err(error) => Ending::Failed(error),
        },
    };
    stages.take_down().await;
    (stages.report, ending)
}

struct Stages {
    arguments: Demo,
    progress: Progress,
    report: Report,
    manifests: Option<Manifests>,
    weft: Option<WeftRun>,
    kubelet: Option<Kubelet>,
    /// What was passed on already of what weft complained about.
    warned: BTreeSet<String>,
    /// Whether only `--keep` is left.
    is_complete: bool,
}

impl Stages {
    async fn go(&mut self, on_result: impl Fn(&Report)) -> Result<()> {
        let progress = self.progress;
        let fabric = Arc::new(self.nodes().await?);
        let directory = Path::new(RUN);
        let manifests = Manifests::prepare(
            directory.join("manifests"),
            self.arguments.manifests.as_deref(),
        )?;
        let (facts, _reported_by_weft_run) = manifests::facts(manifests.directory())?;
        let management = progress
            .step("TLS", async {
                let management = Management::open(&fabric, Transport::Tls).await?;
                let detail = "a certificate per node; ovsdb-server listens on pssl:6640 of each";
                anyhow::Ok((management, detail.to_owned()))
            })
            .await?;
        let weft = progress
            .step("weft run", async {
                let weft = WeftRun::start(manifests.directory(), &management, directory).await?;
                anyhow::Ok((
                    weft,
                    format!("northbound database at {}/nb.sock", directory.display()),
                ))
            })
            .await?;
        let ports_directory = manifests.directory().to_owned();
        let ports_of = Arc::new(move |name: &str| {
            let facts = manifests::facts(&ports_directory)
                .map(|(facts, _)| facts)
                .unwrap_or_default();
            facts
                .get(name)
                .map(|facts| facts.ports.iter().copied().collect())
                .unwrap_or_default()
        });
        self.kubelet = Some(Kubelet::start(
            Arc::clone(&fabric),
            weft.northbound().clone(),
            ports_of,
        ));
        self.weft = Some(weft);
        self.manifests = Some(manifests);
        let pods = self.pods(&facts).await?;
        self.topology().await?;
        if pods.is_empty() {
            progress.line(progress.colour().paint(
                Tone::Notice,
                "  the manifests ask for no pod: there is nothing to try",
            ));
        } else {
            self.reachability(&pods, &facts).await;
            self.services(&pods, &facts).await?;
            progress.heading("the way taken: packets that came out of each node's tunnel");
            progress.line(format_args!(
                "  {} pings per pair: as many requests at one end, as many replies at the other",
                way::PINGS
            ));
            progress.text(&way::trace(&fabric, &pods, &self.report, progress.colour()).await?);
            self.come_and_go(&fabric, &pods, &facts).await?;
        }
        progress.line("");
        progress.text(&matrix::summary(&self.report, progress.colour()));
        self.report.judge();
        self.is_complete = true;
        on_result(&self.report);
        if self.arguments.keep {
            self.keep(&pods).await?;
        }
        Ok(())
    }

    async fn nodes(&mut self) -> Result<Fabric> {
        let progress = self.progress;
        let config = FabricConfig {
            nodes: self.arguments.nodes,
            ..FabricConfig::default()
        };
        self.report.nodes = (1..=config.nodes)
            .map(|number| format!("n{number}"))
            .collect();
        let begin = Instant::now();
        let fabric = Fabric::start(&config, |step| {
            let (name, detail) = match step {
                Step::Underlay => (
                    "underlay".to_owned(),
                    format!("MTU {}", config.underlay_mtu),
                ),
                Step::Node {
                    name,
                    address,
                    datapath,
                } => {
                    let engine = match datapath {
                        Datapath::Kernel => "kernel datapath",
                        Datapath::Userspace => "userspace datapath",
                    };
                    (
                        format!("node {name}"),
                        format!(
                            "ovsdb-server and ovs-vswitchd, {engine}, tunnel address {address}"
                        ),
                    )
                }
                Step::Ready => return,
            };
            progress.done(&name, begin.elapsed(), &detail);
        });
        fabric.await
    }

    /// Waits until the pods of the manifests run. One that weft does not give a port to is told, and gone without.
    async fn pods(&mut self, facts: &BTreeMap<String, PodFacts>) -> Result<Vec<Arc<Pod>>> {
        let progress = self.progress;
        let kubelet = self.kubelet.as_ref().context("the kubelet has started")?;
        let weft = self.weft.as_mut().context("weft run has started")?;
        let has_all = weft.settle();
        let begin = Instant::now();
        let waited = async {
            if facts.is_empty() {
                return Ok(vec![]);
            }
            let all_run = |pods: &Pods| {
                facts
                    .keys()
                    .all(|name| matches!(pods.get(name), Some(PodState::Running(_))))
            };
            tokio::select! {
                pods = kubelet.wait(scaled(PODS_PATIENCE), all_run) => pods,
                // Some are missing: enough when those that weft gave a port to run and no more come.
                pods = settled(kubelet) => Ok(pods),
                outcome = none_comes(kubelet, has_all) => outcome.map(|()| vec![]),
            }
        };
        let pods = tokio::select! {
            pods = waited => pods,
            error = weft.failed() => Err(error),
        };
        let pods = match pods {
            Ok(pods) => pods,
            Err(error) => {
                self.warn();
                return Err(error);
            }
        };
        progress.done(
            "pods",
            begin.elapsed(),
            &format!("{} attached and configured", pods.len()),
        );
        let begin = Instant::now();
        let weft = self.weft.as_ref().context("weft run has started")?;
        weft.settle().await?;
        progress.done("flows", begin.elapsed(), "acknowledged by every node");
        self.warn();
        self.report.pods = facts
            .keys()
            .map(|name| {
                let pod = pods.iter().find(|pod| pod.name() == name);
                let ips = pod.map(|pod| pod.addresses()).unwrap_or_default();
                PodRow {
                    name: name.clone(),
                    node: pod.map(|pod| pod.node().name().to_owned()),
                    ips,
                }
            })
            .collect();
        if pods.is_empty() && !facts.is_empty() {
            bail!("weft gave none of the {} pods a port", facts.len());
        }
        for missing in self.report.pods.iter().filter(|pod| pod.node.is_none()) {
            progress.line(progress.colour().paint(
                Tone::Notice,
                format!("  {} has no port: weft's complaint is above", missing.name),
            ));
        }
        Ok(pods)
    }

    /// Passes on what weft has complained about since it was last asked.
    fn warn(&mut self) {
        let (Some(weft), Some(manifests)) = (&self.weft, &self.manifests) else {
            return;
        };
        for line in weft.warnings() {
            if self.warned.insert(line.clone()) {
                // The user knows the file by the name it was given.
                let copy = manifests.directory().display().to_string();
                let shown = match &self.arguments.manifests {
                    Some(given) => line.replace(&copy, &given.display().to_string()),
                    None => line,
                };
                self.progress.line(
                    self.progress
                        .colour()
                        .paint(Tone::Notice, format!("  {shown}")),
                );
            }
        }
    }

    async fn topology(&self) -> Result<()> {
        let weft = self.weft.as_ref().context("weft run has started")?;
        let text = show(&snapshot(weft.northbound()).await?);
        self.progress.heading("weft show");
        self.progress.text(&text);
        Ok(())
    }

    async fn reachability(&mut self, pods: &[Arc<Pod>], facts: &BTreeMap<String, PodFacts>) {
        let mut probes = self.arguments.probe.clone();
        let mut seen = BTreeSet::new();
        probes.retain(|probe| seen.insert(*probe));
        let begin = Instant::now();
        let mut outcomes = probe_all(pods, &probes).await;
        let by_name: BTreeMap<&str, &Arc<Pod>> = pods.iter().map(|pod| (pod.name(), pod)).collect();
        // Many at a time tells who reaches whom; how long it takes is told by one at a time.
        for outcome in outcomes
            .iter_mut()
            .filter(|outcome| outcome.rtt.is_some())
            .take(TIMED_MAX)
        {
            if let (Some(from), Some(to)) = (
                by_name.get(outcome.from.as_str()),
                by_name.get(outcome.to.as_str()),
            ) {
                let again = reach(from, to, outcome.probe, outcome.family).await;
                outcome.rtt = outcome.rtt.into_iter().chain(again).min();
            }
        }
        let took = begin.elapsed();
        let nothing = PodFacts::default();
        self.report.pairs = outcomes
            .into_iter()
            .map(|outcome| {
                let facts_of = |name: &str| facts.get(name).unwrap_or(&nothing);
                Pair {
                    expected: is_expected(
                        facts_of(&outcome.from),
                        facts_of(&outcome.to),
                        outcome.probe,
                    ),
                    proto: outcome.probe.protocol(),
                    port: outcome.probe.port(),
                    family: outcome.family,
                    reached: outcome.rtt.is_some(),
                    rtt_us: outcome
                        .rtt
                        .map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
                    from: outcome.from,
                    to: outcome.to,
                }
            })
            .collect();
        self.progress.line("");
        self.progress.done(
            "probes",
            took,
            &format!("{} from pod to pod", self.report.pairs.len()),
        );
        self.progress.heading("who reaches whom");
        self.progress.text(&matrix::render(
            &self.report,
            &probes,
            self.progress.colour(),
            WIDTH,
        ));
    }

    /// Asks every port of every Service from every pod, if there are any.
    async fn services(
        &mut self,
        pods: &[Arc<Pod>],
        facts: &BTreeMap<String, PodFacts>,
    ) -> Result<()> {
        let (Some(manifests), Some(weft)) = (&self.manifests, &self.weft) else {
            return Ok(());
        };
        let routers = manifests::routers(manifests.directory())?;
        let router_of = |namespace: &str| routers.get(namespace).cloned().flatten();
        let services = services::facts(manifests.directory(), router_of)?;
        if services.is_empty() {
            return Ok(());
        }
        let addresses = services::addresses(weft.northbound()).await?;
        let begin = Instant::now();
        self.report.services = services::probe(pods, facts, &services, &addresses).await;
        let progress = self.progress;
        progress.line("");
        progress.done(
            "services",
            begin.elapsed(),
            &format!(
                "{} ports of Services, asked from {} pods",
                services.len(),
                pods.len()
            ),
        );
        progress.heading("who answers for whom");
        progress.text(&services::render(&self.report.services, progress.colour()));
        Ok(())
    }

    /// Adds a pod next to another and takes it away, each as an edit of a file.
    async fn come_and_go(
        &mut self,
        fabric: &Fabric,
        pods: &[Arc<Pod>],
        facts: &BTreeMap<String, PodFacts>,
    ) -> Result<()> {
        let progress = self.progress;
        progress.heading("a pod comes and goes");
        // Where weft gives out the addresses, other nodes need not hear of it: those namespaces first.
        let is_on_cluster = |pod: &&Arc<Pod>| {
            facts
                .get(pod.name())
                .is_some_and(|facts| facts.router.is_none())
        };
        let (first, then): (Vec<_>, Vec<_>) = pods.iter().partition(is_on_cluster);
        let mut tried = BTreeSet::new();
        for peer in first.into_iter().chain(then) {
            let namespace = peer
                .name()
                .split_once('/')
                .context("a pod's name has a namespace")?
                .0;
            if !tried.insert(namespace) {
                continue;
            }
            let name = (0..)
                .map(|number: u32| match number {
                    0 => ADDED_POD.to_owned(),
                    _ => format!("{ADDED_POD}-{number}"),
                })
                .find(|name| !facts.contains_key(&format!("{namespace}/{name}")))
                .context("a free name")?;
            if self
                .come_and_go_beside(fabric, peer, namespace, &name)
                .await?
            {
                return Ok(());
            }
        }
        progress.line("  no namespace has room for one more");
        Ok(())
    }

    /// As [`Stages::come_and_go`], beside this pod. False when weft has no place for another there, and has said why.
    async fn come_and_go_beside(
        &mut self,
        fabric: &Fabric,
        peer: &Arc<Pod>,
        namespace: &str,
        pod: &str,
    ) -> Result<bool> {
        let (Some(manifests), Some(weft), Some(kubelet)) =
            (&self.manifests, &mut self.weft, &self.kubelet)
        else {
            return Ok(true);
        };
        let progress = self.progress;
        let name = format!("{namespace}/{pod}");
        let before = all_flows(fabric).await?;
        let begin = Instant::now();
        manifests.add_pod(namespace, pod)?;
        let is_there = |pods: &Pods| matches!(pods.get(&name), Some(PodState::Running(_)));
        let complaint = weft.complains(format!("Pod {name}: "));
        let now = tokio::select! {
            now = kubelet.wait(scaled(CHANGE_PATIENCE), is_there) => now?,
            complaint = complaint => {
                progress.line(progress.colour().paint(Tone::Notice, format!("  {complaint}")));
                self.warned.insert(complaint);
                manifests.remove_pod()?;
                return Ok(false);
            }
            error = weft.failed() => return Err(error),
        };
        let attached = begin.elapsed();
        let added = now
            .iter()
            .find(|pod| pod.name() == name)
            .context("the added pod runs")?;
        let Some(family) = Family::ALL
            .into_iter()
            .find(|family| peer.address(*family).is_some() && added.address(*family).is_some())
        else {
            bail!("{name} has no address of a family that {} has", peer.name());
        };
        let rtt = reach(peer, added, Probe::Icmp, family).await;
        let first_ping = begin.elapsed();
        if rtt.is_none() {
            bail!(
                "{name} was added on {} and does not answer {}",
                added.node().name(),
                peer.name()
            );
        }
        weft.settle().await?;
        let after = all_flows(fabric).await?;
        progress.line(format_args!(
            "  + {name} on {}: attached after {} ms, first ping from {} answered after {} ms",
            added.node().name(),
            attached.as_millis(),
            peer.name(),
            first_ping.as_millis(),
        ));
        progress.line(format_args!(
            "    flows changed: {}",
            difference(&before, &after)
        ));

        let begin = Instant::now();
        manifests.remove_pod()?;
        kubelet
            .wait(scaled(CHANGE_PATIENCE), |pods| !pods.contains_key(&name))
            .await?;
        weft.settle().await?;
        let gone = begin.elapsed();
        let last = all_flows(fabric).await?;
        progress.line(format_args!(
            "  - {name}: gone from every node after {} ms",
            gone.as_millis()
        ));
        progress.line(format_args!(
            "    flows changed: {}",
            difference(&after, &last)
        ));
        Ok(true)
    }

    async fn keep(&mut self, pods: &[Arc<Pod>]) -> Result<()> {
        let progress = self.progress;
        // Seen from outside, everything of the sandbox is below the root of its first process.
        let inside = sandbox::host_pid()
            .map(|pid| format!("/proc/{pid}/root"))
            .unwrap_or_default();
        progress.heading("running until Ctrl-C; try, as root");
        progress.line(format_args!(
            "  ovn-nbctl --db=unix:{inside}{RUN}/nb.sock show"
        ));
        let by_name = |name: &str| pods.iter().find(|pod| pod.name() == name);
        // An answer is to be seen: between two that reached each other, if any did.
        let reached = self.report.pairs.iter().find(|pair| pair.reached);
        let from = reached.map_or(pods.first(), |pair| by_name(&pair.from));
        if let Some(from) = from {
            let netns = from.netns().path().display();
            progress.line(format_args!("  nsenter --net={inside}{netns} ip address"));
            let address = reached.and_then(|pair| by_name(&pair.to)?.address(pair.family));
            if let Some(address) = address {
                progress.line(format_args!(
                    "  nsenter --net={inside}{netns} ping {address}"
                ));
            }
        }
        progress.line(format_args!(
            "  ovs-ofctl -O OpenFlow15 dump-flows unix:{inside}{RUN}/n1/{BR_INT}.mgmt"
        ));
        let directory = match (&self.arguments.manifests, &self.manifests) {
            (Some(given), _) => given.display().to_string(),
            (None, Some(manifests)) => format!("{inside}{}", manifests.directory().display()),
            (None, None) => return Ok(()),
        };
        progress.line(format_args!(
            "  edit, add or remove a file in {directory}: the network follows"
        ));
        progress.line(format_args!("  less {inside}{RUN}/weft.log"));
        self.follow().await
    }

    /// Tells of pods that come and go and of what weft complains about, until something ends it.
    async fn follow(&mut self) -> Result<()> {
        let mut pods = self
            .kubelet
            .as_ref()
            .context("the kubelet has started")?
            .pods();
        let mut known = names(&pods.borrow_and_update());
        let mut look = tokio::time::interval(LOOK);
        loop {
            let weft = self.weft.as_mut().context("weft run has started")?;
            tokio::select! {
                error = weft.failed() => return Err(error),
                changed = pods.changed() => changed.context("the kubelet has ended")?,
                _ = look.tick() => {}
            }
            self.warn();
            let now = names(&pods.borrow_and_update());
            for (name, node) in now.iter().filter(|(name, _)| !known.contains_key(*name)) {
                self.progress.line(format_args!("  + {name} on {node}"));
            }
            for name in known.keys().filter(|name| !now.contains_key(*name)) {
                self.progress.line(format_args!("  - {name}"));
            }
            known = now;
        }
    }

    /// In order: pods, then weft; the nodes and all else end with the sandbox.
    async fn take_down(&mut self) {
        let begin = Instant::now();
        // No copy of a change that nobody acts on any more.
        drop(self.manifests.take());
        if let Some(kubelet) = self.kubelet.take() {
            let stopped = tokio::time::timeout(scaled(DOWN_PATIENCE), kubelet.stop()).await;
            if stopped.is_err() {
                tracing::warn!("pods were not taken away in time; they end with the sandbox");
            }
        }
        if let Some(weft) = self.weft.take() {
            weft.stop().await;
        }
        self.progress.line("");
        self.progress
            .done("down", begin.elapsed(), "nothing is left behind");
    }
}

/// The pods that run, once there are some, none is on its way, and none has come or gone for a moment.
async fn settled(kubelet: &Kubelet) -> Vec<Arc<Pod>> {
    let mut pods = kubelet.pods();
    loop {
        if tokio::time::timeout(CALM, pods.changed()).await.is_err() {
            let now = pods.borrow_and_update();
            if !now.is_empty()
                && now
                    .values()
                    .all(|state| matches!(state, PodState::Running(_)))
            {
                return running(&now);
            }
        }
    }
}

/// Ends once everything follows from the manifests that can, and no pod is among it.
async fn none_comes(kubelet: &Kubelet, has_all: impl Future<Output = Result<()>>) -> Result<()> {
    has_all.await?;
    let mut pods = kubelet.pods();
    while tokio::time::timeout(CALM, pods.changed()).await.is_ok()
        || !pods.borrow_and_update().is_empty()
    {}
    Ok(())
}

async fn all_flows(fabric: &Fabric) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let all = fabric
        .nodes()
        .iter()
        .map(|node| async move { anyhow::Ok((node.name().to_owned(), flows(node).await?)) });
    Ok(try_join_all(all).await?.into_iter().collect())
}

fn difference(
    before: &BTreeMap<String, BTreeSet<String>>,
    after: &BTreeMap<String, BTreeSet<String>>,
) -> String {
    let nothing = BTreeSet::new();
    let one = |(node, flows): (&String, &BTreeSet<String>)| {
        let (added, removed) = changed(before.get(node).unwrap_or(&nothing), flows);
        format!("{node} +{added} -{removed}")
    };
    after.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn names(pods: &Pods) -> BTreeMap<String, String> {
    running(pods)
        .iter()
        .map(|pod| (pod.name().to_owned(), pod.node().name().to_owned()))
        .collect()
}

/// Answered probes beyond this many keep the time they took in the crowd.
const TIMED_MAX: usize = 500;
/// Columns of the terminal that the matrix is made for.
const WIDTH: usize = 100;
/// Time for the pods of the manifests.
const PODS_PATIENCE: Duration = Duration::from_secs(60);
/// Without a change for this long, none is under way.
const CALM: Duration = Duration::from_secs(2);
const CHANGE_PATIENCE: Duration = Duration::from_secs(20);
const DOWN_PATIENCE: Duration = Duration::from_secs(3);
/// How often weft's log is looked at while everything is left running.
const LOOK: Duration = Duration::from_millis(500);
const ADDED_POD: &str = "newcomer";
