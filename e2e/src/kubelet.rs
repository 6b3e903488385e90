//! The kubelet's part: pods run where a logical switch port says that they should.
//!
//! ```text
//! NB monitor ─rows─▶ one task: wanted pods by port ─starts─▶ a task per start or stop ─report─▶ watch channel
//! ```
//!
//! Level, not edge: after every change the wanted pods are compared with those that run. A start that fails is tried
//! again with back-off, as a kubelet does. A port whose UID or addresses changed is another pod: one that runs keeps the
//! addresses that it was given.
//!
//! Must not: write to the northbound database.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_ovsdb::{Connection, Event, MonitorTable, RowChange};
use weft_schema::{Table, keys, nb::LogicalSwitchPort};

use crate::{
    fabric::Fabric,
    patience::scaled,
    pod::{Pod, PodSpec},
    responder::ContainerPort,
};

/// Tells which ports the pod `namespace/name` declares.
pub type PortsOf = Arc<dyn Fn(&str) -> Vec<ContainerPort> + Send + Sync>;

/// Where a pod stands.
#[derive(Clone, Debug)]
pub enum PodState {
    /// It is being attached.
    Starting,
    /// It runs.
    Running(Arc<Pod>),
    /// It could not be started; it is tried again.
    Failed(String),
    /// It is being taken away.
    Stopping,
}

/// All pods by `namespace/name`.
pub type Pods = BTreeMap<String, PodState>;

/// A kubelet for all nodes of a fabric.
#[derive(Debug)]
pub struct Kubelet {
    pods: watch::Receiver<Pods>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Kubelet {
    /// Follows the ports in a northbound database.
    #[must_use]
    pub fn start(fabric: Arc<Fabric>, nb: Connection, ports_of: PortsOf) -> Kubelet {
        let (report, pods) = watch::channel(Pods::new());
        let cancel = CancellationToken::new();
        let kubelet = Loop {
            fabric,
            ports_of,
            report,
            wanted: BTreeMap::new(),
            entries: BTreeMap::new(),
            work: JoinSet::new(),
        };
        let task = tokio::spawn(kubelet.run(nb, cancel.clone()));
        Kubelet { pods, cancel, task }
    }

    /// Where all pods stand, now and after every change.
    #[must_use]
    pub fn pods(&self) -> watch::Receiver<Pods> {
        self.pods.clone()
    }

    /// Waits until the pods are as wanted, and returns those that run.
    ///
    /// # Errors
    /// When the time is over; the message tells where every pod stands.
    pub async fn wait(
        &self,
        time: Duration,
        mut is_wanted: impl FnMut(&Pods) -> bool,
    ) -> anyhow::Result<Vec<Arc<Pod>>> {
        let mut pods = self.pods();
        let result = timeout(time, pods.wait_for(|pods| is_wanted(pods))).await;
        match result {
            Ok(pods) => Ok(running(&*pods.context("the kubelet has ended")?)),
            Err(_) => anyhow::bail!(
                "pods are not as wanted after {time:?}: {}",
                describe(&self.pods.borrow())
            ),
        }
    }

    /// Stops following, and stops all pods when asked to.
    pub async fn stop(self) {
        self.cancel.cancel();
        // A panic in there was printed already.
        let _ = self.task.await;
    }
}

/// The pods that run.
#[must_use]
pub fn running(pods: &Pods) -> Vec<Arc<Pod>> {
    pods.values()
        .filter_map(|state| match state {
            PodState::Running(pod) => Some(Arc::clone(pod)),
            _ => None,
        })
        .collect()
}

fn describe(pods: &Pods) -> String {
    if pods.is_empty() {
        return "there are none".to_owned();
    }
    let one = |(name, state): (&String, &PodState)| match state {
        PodState::Starting => format!("{name} is being attached"),
        PodState::Running(pod) => format!("{name} runs on {}", pod.node().name()),
        PodState::Failed(error) => format!("{name} failed: {error}"),
        PodState::Stopping => format!("{name} is being taken away"),
    };
    pods.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// A pod that a row asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    name: String,
    port: String,
    uid: String,
    node: String,
    addresses: BTreeSet<String>,
}

struct Entry {
    wanted: Wanted,
    state: PodState,
    failures: u32,
}

struct Loop {
    fabric: Arc<Fabric>,
    ports_of: PortsOf,
    report: watch::Sender<Pods>,
    wanted: BTreeMap<Uuid, Wanted>,
    entries: BTreeMap<String, Entry>,
    work: JoinSet<(String, Done)>,
}

enum Done {
    Started(anyhow::Result<Arc<Pod>>),
    Stopped,
    /// Time to try again.
    Rested,
}

impl Loop {
    async fn run(mut self, nb: Connection, cancel: CancellationToken) {
        let ports = || {
            MonitorTable::new(LogicalSwitchPort::NAME).columns([
                "name",
                "type",
                "addresses",
                "options",
                "external_ids",
            ])
        };
        let mut monitor = None;
        let mut replaces_all = false;
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(done) = self.work.join_next() => {
                    // A task that panicked leaves its pod where it was; the panic is printed.
                    let Ok((name, done)) = done else { continue };
                    self.done(&name, done);
                }
                event = next(&mut monitor, &nb, ports) => match event {
                    Some(Event::Snapshot(rows)) => {
                        // A database without ports has just been started: pods wait for what it is filled with.
                        replaces_all = rows.is_empty();
                        if !replaces_all {
                            self.wanted.clear();
                            self.note(&rows);
                        }
                    }
                    Some(Event::Changes(rows)) => {
                        if std::mem::take(&mut replaces_all) {
                            self.wanted.clear();
                        }
                        self.note(&rows);
                    }
                    // Pods go on without a database.
                    Some(Event::Disconnected { .. }) | None => {}
                }
            }
            self.reconcile();
        }
        self.wanted.clear();
        self.reconcile();
        while let Some(done) = self.work.join_next().await {
            if let Ok((name, done)) = done {
                self.done(&name, done);
                self.reconcile();
            }
        }
    }

    fn note(&mut self, rows: &[RowChange]) {
        for change in rows
            .iter()
            .filter(|change| &*change.table == LogicalSwitchPort::NAME)
        {
            let port = change
                .row
                .as_ref()
                .and_then(|row| LogicalSwitchPort::from_row(change.uuid, row).ok());
            match port.and_then(|port| self.wanted_by(&port)) {
                Some(wanted) => self.wanted.insert(change.uuid, wanted),
                None => self.wanted.remove(&change.uuid),
            };
        }
    }

    /// A port is a pod's when it names a pod and one of our nodes.
    fn wanted_by(&self, port: &LogicalSwitchPort) -> Option<Wanted> {
        let id = |key: &str| port.external_ids.get(key).cloned();
        let node = port.options.get(keys::REQUESTED_CHASSIS)?;
        self.fabric.node(node)?;
        Some(Wanted {
            name: format!("{}/{}", id(keys::NAMESPACE)?, id(keys::POD)?),
            port: port.name.clone(),
            uid: port
                .options
                .get(keys::IFACE_ID_VER)
                .cloned()
                .or_else(|| id(keys::UID))
                .unwrap_or_default(),
            node: node.clone(),
            addresses: port.addresses.iter().cloned().collect(),
        })
    }

    fn reconcile(&mut self) {
        let wanted: BTreeMap<String, Wanted> = self
            .wanted
            .values()
            .map(|wanted| (wanted.name.clone(), wanted.clone()))
            .collect();
        let names: Vec<String> = self.entries.keys().chain(wanted.keys()).cloned().collect();
        for name in names {
            self.reconcile_one(&name, wanted.get(&name));
        }
        let pods: Pods = self
            .entries
            .iter()
            .map(|(name, entry)| (name.clone(), entry.state.clone()))
            .collect();
        self.report.send_replace(pods);
    }

    fn reconcile_one(&mut self, name: &str, wanted: Option<&Wanted>) {
        match (self.entries.get_mut(name), wanted) {
            (None, Some(wanted)) => self.begin(wanted.clone(), 0),
            (Some(entry), wanted) if Some(&entry.wanted) != wanted => match &entry.state {
                PodState::Running(pod) => {
                    let (pod, name) = (Arc::clone(pod), name.to_owned());
                    entry.state = PodState::Stopping;
                    self.work.spawn(async move {
                        if let Err(error) = pod.stop().await {
                            tracing::warn!(pod = %name, error = %format!("{error:#}"), "not taken away whole");
                        }
                        (name, Done::Stopped)
                    });
                }
                // What is under way is waited for, and looked at again then.
                PodState::Starting | PodState::Stopping => {}
                PodState::Failed(_) => {
                    self.entries.remove(name);
                    if let Some(wanted) = wanted {
                        self.begin(wanted.clone(), 0);
                    }
                }
            },
            _ => {}
        }
    }

    fn begin(&mut self, wanted: Wanted, failures: u32) {
        let Some(node) = self.fabric.node(&wanted.node).cloned() else {
            return;
        };
        let spec = PodSpec {
            name: wanted.name.clone(),
            port: wanted.port.clone(),
            uid: wanted.uid.clone(),
            container_ports: (self.ports_of)(&wanted.name),
        };
        let name = wanted.name.clone();
        self.entries.insert(
            name.clone(),
            Entry {
                wanted,
                state: PodState::Starting,
                failures,
            },
        );
        self.work.spawn(async move {
            (
                name,
                Done::Started(
                    Pod::start(&node, spec, scaled(ATTACH_PATIENCE))
                        .await
                        .map(Arc::new),
                ),
            )
        });
    }

    fn done(&mut self, name: &str, done: Done) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        match done {
            Done::Started(Ok(pod)) => {
                entry.failures = 0;
                entry.state = PodState::Running(pod);
            }
            Done::Started(Err(error)) => {
                tracing::warn!(pod = %name, error = %format!("{error:#}"), "not started; trying again");
                entry.state = PodState::Failed(format!("{error:#}"));
                entry.failures += 1;
                let (rest, name) = (
                    REST_FIRST.saturating_mul(1 << entry.failures.min(5)),
                    name.to_owned(),
                );
                self.work.spawn(async move {
                    tokio::time::sleep(rest).await;
                    (name, Done::Rested)
                });
            }
            Done::Stopped => {
                self.entries.remove(name);
            }
            Done::Rested => {
                if let PodState::Failed(_) = entry.state {
                    let (wanted, failures) = (entry.wanted.clone(), entry.failures);
                    if self.wanted.values().any(|other| *other == wanted) {
                        self.begin(wanted, failures);
                    } else {
                        self.entries.remove(name);
                    }
                }
            }
        }
    }
}

/// Opens the monitor when there is none; otherwise its next event.
async fn next(
    monitor: &mut Option<weft_ovsdb::Monitor>,
    nb: &Connection,
    ports: impl Fn() -> MonitorTable,
) -> Option<Event> {
    if monitor.is_none() {
        match nb.monitor(vec![ports()]).await {
            Ok(opened) => *monitor = Some(opened),
            Err(error) => {
                tracing::debug!(%error, "northbound database not there yet");
                tokio::time::sleep(REST_FIRST).await;
                return None;
            }
        }
    }
    let event = monitor.as_mut()?.next().await;
    if event.is_none() {
        *monitor = None;
    }
    event
}

const ATTACH_PATIENCE: Duration = Duration::from_secs(20);
/// The first rest after a failure; it doubles with each, up to 32 times.
const REST_FIRST: Duration = Duration::from_millis(100);
