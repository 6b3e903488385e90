//! The tasks of a controller, and the loop that owns its state.
//!
//! ```text
//!  nodes file ──watch──────────────────┐
//!  northbound ──Monitor::next──────────┤            ┌─▶ compile (blocking thread, one at a time) ─┐
//!  node tasks ──mpsc(REPORTS)──────────┼─▶ Wake ─▶ Cluster ─▶ effects ─▶ mailboxes of the nodes   │
//!  write-back ──one future─────────────┤            └─▶ write-back                                │
//!  compiled ◀──────────────────────────┴──────────────────────────────────────────────────────────┘
//! ```
//!
//! [`Wake`] lists everything that can wake the loop. While a compilation runs, northbound events stay in the monitor, which
//! coalesces them; everything else goes on.
//!
//! Shutdown: node tasks end first (no flow is touched), then the write-back and the compilation are awaited.
//!
//! Must not: decide anything.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use weft_compiler::{
    Compilation, Compiler, FlowChange, GroupChange, Input, MeterChange, NodeDelta, NodeName,
};
use weft_ovsdb::{Connection, Monitor};
use weft_stream::Tls;

use crate::chassis::Configuration;
use crate::cluster::{Cluster, Effect, Event, Now};
use crate::node::{Manner, NodeTasks, Postcard, Report};
use crate::nodes::{NodeSpec, Nodes};
use crate::recording::Recorder;
use crate::refusals::Refusals;
use crate::status::{NodeStatus, Status};
use crate::{Config, Error, nodes, northbound, status};

/// Everything that can wake the loop.
enum Wake {
    Northbound(Option<weft_ovsdb::Event>),
    NorthboundReady,
    Nodes(Nodes),
    Node(Postcard),
    Compiled(Result<Box<Compiled>, String>),
    Written(Result<(), String>),
    Deadline,
    Cancelled,
}

struct Compiled {
    compiler: Compiler,
    compilation: Compilation,
    took: Duration,
}

/// Runs until `cancel`.
pub(crate) async fn run(
    config: Config,
    northbound: Connection,
    status: watch::Sender<Status>,
    cancel: CancellationToken,
) -> Result<(), Error> {
    let nodes = nodes::watch(&config.nodes)?;
    let recorder = match &config.record {
        None => None,
        Some(path) => Some(Recorder::create(path).map_err(|source| Error::Record {
            path: path.clone(),
            source,
        })?),
    };
    let status_server = match config.status_socket.clone() {
        Some(path) => {
            let (seen, cancel) = (status.subscribe(), cancel.child_token());
            let serving = async move { (status::serve(&path, seen, cancel).await, path) };
            Some(tokio::spawn(serving))
        }
        None => None,
    };
    let monitor = tokio::select! {
        () = cancel.cancelled() => return Ok(()),
        monitor = monitor(&northbound) => monitor?,
    };
    let mut main = Main::new(&config, northbound, status, recorder);
    let mut outcome = main
        .serve(monitor, nodes, config.northbound_ready, &cancel)
        .await;
    main.shut_down().await;
    if let (Some(recorder), Some(path)) = (main.recorder.take(), config.record)
        && let Err(source) = recorder.finish().await
    {
        outcome = outcome.and(Err(Error::Record { path, source }));
    }
    if let Some(server) = status_server {
        // It shares the cancel; when the loop ended by itself, nobody is left to be served.
        if !cancel.is_cancelled() && !server.is_finished() {
            server.abort();
        }
        if let Ok((Err(source), path)) = server.await {
            return outcome.and(Err(Error::StatusSocket { path, source }));
        }
    }
    outcome
}

/// Waits for the northbound database, however long it takes, and watches it if it is one.
async fn monitor(northbound: &Connection) -> Result<Monitor, Error> {
    loop {
        let monitor = async {
            let schema = northbound.schema().await.map_err(Error::Northbound)?;
            let tables = northbound::monitored(&schema)?;
            let monitor = northbound.monitor(tables).await;
            monitor.map_err(Error::Northbound)
        };
        match monitor.await {
            // Each of these took its time to come.
            Err(Error::Northbound(error @ weft_ovsdb::Error::Timeout { .. })) => {
                tracing::warn!(%error, "northbound database is not reachable; trying again");
            }
            outcome => return outcome,
        }
    }
}

struct Main {
    cluster: Cluster,
    northbound: Connection,
    /// `None` while it compiles.
    compiler: Option<Box<Compiler>>,
    compiling: Option<JoinHandle<Compiled>>,
    writing: Option<BoxFuture<'static, Result<(), String>>>,
    nodes: BTreeMap<NodeName, NodeTasks>,
    /// Started while the compiler was away: they are still to be given what it had for them before.
    unseeded: Vec<NodeName>,
    refusals: Refusals,
    /// Came while the compiler was away that knows whose flows were refused; what a node acknowledges after that waits as well.
    /// Bounded by what a node can be sent meanwhile: nothing new.
    deferred: Vec<Postcard>,
    leaving: JoinSet<()>,
    incarnations: u64,
    recorder: Option<Recorder>,
    probe: Duration,
    tls: Option<Tls>,
    reports: mpsc::Sender<Postcard>,
    postcards: mpsc::Receiver<Postcard>,
    status: watch::Sender<Status>,
    current: Status,
}

impl Main {
    fn new(
        config: &Config,
        northbound: Connection,
        status: watch::Sender<Status>,
        recorder: Option<Recorder>,
    ) -> Main {
        // Full: the node's task waits, and with it its peer.
        let (reports, postcards) = mpsc::channel(REPORTS);
        let mut cluster = Cluster::new(Instant::now());
        if config.northbound_ready.is_some() {
            cluster.hold();
        }
        Main {
            cluster,
            northbound,
            compiler: Some(Box::new(Compiler::new(config.compiler))),
            compiling: None,
            writing: None,
            nodes: BTreeMap::new(),
            unseeded: Vec::new(),
            refusals: Refusals::default(),
            deferred: Vec::new(),
            leaving: JoinSet::new(),
            incarnations: 0,
            recorder,
            probe: config.probe,
            tls: config.tls.clone(),
            reports,
            postcards,
            status,
            current: Status::default(),
        }
    }

    async fn serve(
        &mut self,
        mut monitor: Monitor,
        mut nodes: watch::Receiver<Nodes>,
        mut ready: Option<watch::Receiver<bool>>,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        let first = nodes.borrow_and_update().clone();
        self.handle(Event::Nodes(first));
        loop {
            let wake = self
                .wake(&mut monitor, &mut nodes, &mut ready, cancel)
                .await;
            match wake {
                Wake::Cancelled => return Ok(()),
                Wake::Northbound(None) => return Err(Error::NorthboundClosed),
                Wake::Northbound(Some(event)) => {
                    if let weft_ovsdb::Event::Disconnected { reason } = &event {
                        tracing::warn!(
                            reason,
                            "northbound database is not reachable; trying again"
                        );
                    }
                    self.handle(Event::Northbound(event));
                }
                Wake::NorthboundReady => {
                    ready = None;
                    self.handle(Event::Unhold);
                }
                Wake::Nodes(nodes) => self.handle(Event::Nodes(nodes)),
                Wake::Node(postcard) => self.take_report(postcard),
                Wake::Compiled(Ok(compiled)) => self.take_compilation(*compiled),
                Wake::Compiled(Err(panic)) => return Err(Error::Compiler(panic)),
                Wake::Written(outcome) => {
                    self.writing = None;
                    self.handle(Event::Written(outcome));
                }
                Wake::Deadline => self.handle(Event::Tick),
            }
            self.publish();
        }
    }

    async fn wake(
        &mut self,
        monitor: &mut Monitor,
        nodes: &mut watch::Receiver<Nodes>,
        ready: &mut Option<watch::Receiver<bool>>,
        cancel: &CancellationToken,
    ) -> Wake {
        let deadline = self.cluster.deadline(Instant::now());
        let (is_compiling, is_writing) = (self.compiling.is_some(), self.writing.is_some());
        let is_awaited = ready.is_some();
        tokio::select! {
            () = cancel.cancelled() => Wake::Cancelled,
            event = monitor.next(), if self.cluster.takes_northbound() => Wake::Northbound(event),
            changed = nodes.changed() => match changed {
                Ok(()) => Wake::Nodes(nodes.borrow_and_update().clone()),
                // The watcher ends with the runtime only.
                Err(_) => Wake::Cancelled,
            },
            postcard = self.postcards.recv() => match postcard {
                Some(postcard) => Wake::Node(postcard),
                None => Wake::Cancelled,
            },
            compiled = async { self.compiling.as_mut().expect("guarded").await }, if is_compiling => {
                self.compiling = None;
                Wake::Compiled(compiled.map(Box::new).map_err(|error| error.to_string()))
            }
            outcome = async { self.writing.as_mut().expect("guarded").await }, if is_writing => Wake::Written(outcome),
            // A sender that went away will say nothing more: what is there is all there is.
            _ready = async { ready.as_mut().expect("guarded").wait_for(|ready| *ready).await.map(drop) }, if is_awaited => {
                Wake::NorthboundReady
            }
            () = async { match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            } } => Wake::Deadline,
            Some(_ended) = self.leaving.join_next() => Wake::Deadline,
        }
    }

    fn handle(&mut self, event: Event) {
        for effect in self.cluster.handle(event, now()) {
            match effect {
                Effect::Start(node, spec) => self.start(node, &spec),
                Effect::Stop(node) => {
                    self.current.nodes.remove(node.as_str());
                    self.refusals.forget(&node);
                    if let Some(tasks) = self.nodes.remove(&node) {
                        self.leaving.spawn(tasks.stop());
                    }
                }
                Effect::Compile(inputs) => self.compile(inputs),
                Effect::Deliver(node, delta, generation) => {
                    if let Some(tasks) = self.nodes.get(&node) {
                        tasks
                            .flows
                            .leave(|delivery| delivery.add(delta, generation));
                    }
                }
                Effect::Answer(node, answers) => {
                    if let Some(tasks) = self.nodes.get(&node) {
                        tasks
                            .instructions
                            .leave(|instructions| instructions.answers.extend(answers));
                    }
                }
                Effect::Localnets(node, localnets) => {
                    if let Some(tasks) = self.nodes.get(&node) {
                        tasks
                            .instructions
                            .leave(|instructions| instructions.localnets = Some(localnets));
                    }
                }
                Effect::Dial(node, bridge) => {
                    if let Some(tasks) = self.nodes.get(&node) {
                        tasks.flows.leave(|delivery| {
                            delivery.dial = true;
                            delivery.bridge = Some(bridge);
                        });
                    }
                }
                Effect::Write(operations) => {
                    let northbound = self.northbound.clone();
                    let write = async move {
                        northbound
                            .transact(operations)
                            .await
                            .map(drop)
                            .map_err(|error| error.to_string())
                    };
                    self.writing = Some(write.boxed());
                }
            }
        }
    }

    fn start(&mut self, node: NodeName, spec: &NodeSpec) {
        self.incarnations += 1;
        let configuration = Configuration::new(spec.encap_ip, spec.listener());
        let tasks = NodeTasks::start(
            &node,
            self.incarnations,
            spec,
            configuration,
            self.reports.clone(),
            &Manner {
                recorder: self.recorder.as_ref(),
                probe: self.probe,
                tls: self.tls.as_ref(),
            },
        );
        self.nodes.insert(node.clone(), tasks);
        self.current
            .nodes
            .insert(node.to_string(), NodeStatus::default());
        self.unseeded.push(node);
        self.seed();
    }

    /// Gives nodes whose tasks are new what the compiler has for them already. It goes into the mailbox before any delta.
    fn seed(&mut self) {
        let Some(compiler) = &self.compiler else {
            return;
        };
        for node in self.unseeded.drain(..) {
            if let (Some(state), Some(tasks)) = (compiler.desired(&node), self.nodes.get(&node)) {
                let delta = NodeDelta {
                    flows: state.flows().cloned().map(FlowChange::Put).collect(),
                    groups: state
                        .groups()
                        .values()
                        .cloned()
                        .map(GroupChange::Put)
                        .collect(),
                    meters: state.meters().cloned().map(MeterChange::Put).collect(),
                };
                tasks.flows.leave(|delivery| delivery.add(delta, None));
            }
        }
    }

    fn compile(&mut self, inputs: Vec<Input>) {
        let mut compiler = *self
            .compiler
            .take()
            .expect("the cluster asks for one compilation at a time");
        let span = tracing::Span::current();
        self.compiling = Some(tokio::task::spawn_blocking(move || {
            let _entered = span.entered();
            let started = Instant::now();
            inputs.into_iter().for_each(|input| compiler.apply(input));
            let compilation = compiler.compile();
            Compiled {
                compiler,
                compilation,
                took: started.elapsed(),
            }
        }));
    }

    fn take_compilation(&mut self, compiled: Compiled) {
        let Compiled {
            compiler,
            compilation,
            took,
        } = compiled;
        self.compiler = Some(Box::new(compiler));
        for diagnostic in &compilation.diagnostics_removed {
            tracing::info!(table = diagnostic.table, row = %diagnostic.uuid, name = %diagnostic.name, "mended: {diagnostic}");
        }
        for diagnostic in &compilation.diagnostics_added {
            tracing::warn!(table = diagnostic.table, row = %diagnostic.uuid, name = %diagnostic.name, "{diagnostic}");
        }
        let changed: usize = compilation
            .changed
            .values()
            .map(|delta| delta.flows.len() + delta.groups.len())
            .sum();
        tracing::debug!(
            units = compilation.statistics.units_compiled,
            encoded = compilation.statistics.flows_encoded,
            nodes = compilation.changed.len(),
            changed,
            took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "compiled"
        );
        // Seeded with the state after this compilation; its delta on top changes nothing.
        self.seed();
        self.handle(Event::Compiled(compilation.changed));
        for postcard in std::mem::take(&mut self.deferred) {
            self.take_report(postcard);
        }
    }

    fn take_report(&mut self, postcard: Postcard) {
        let waits = match &postcard.report {
            Report::Refused(refusals) => !refusals.is_empty(),
            Report::Acknowledged(_) => {
                let mut deferred = self.deferred.iter();
                deferred.any(|before| before.node == postcard.node)
            }
            _ => false,
        };
        if waits && self.compiler.is_none() {
            self.deferred.push(postcard);
            return;
        }
        let Postcard {
            node,
            incarnation,
            report,
        } = postcard;
        if self
            .nodes
            .get(&node)
            .is_none_or(|tasks| tasks.incarnation != incarnation)
        {
            return;
        }
        let status = self.current.nodes.entry(node.to_string()).or_default();
        match report {
            Report::Facts(facts) => self.handle(Event::Facts(node, facts)),
            Report::OvsdbConnected(is) => status.ovsdb = is,
            Report::Link(link) => {
                status.openflow = link == crate::cluster::Link::Up;
                self.handle(Event::Link(node, link));
            }
            Report::Refused(refused) => {
                let compiler = self.compiler.as_deref();
                let ports = self.refusals.replace(&node, &refused, compiler);
                status.refused = self.refusals.list(&node);
                self.handle(Event::Refused(node, ports));
            }
            Report::Acknowledged(generation) => {
                status.acknowledged = generation;
                self.handle(Event::Acknowledged(node, generation));
            }
            Report::Progress {
                flows,
                groups,
                totals,
            } => {
                status.flows_desired = flows.desired;
                status.flows_installed = flows.installed;
                status.flows_refused = flows.refused;
                status.groups_installed = groups.installed;
                status.changes = totals.changes;
                status.bundles = totals.bundles;
                status.reads = totals.reads;
            }
        }
    }

    fn publish(&mut self) {
        self.current.generation = self.cluster.generation();
        (self.current.ports_bound, self.current.ports_installed) = self.cluster.port_counts();
        self.status.send_if_modified(|seen| {
            let differs = *seen != self.current;
            if differs {
                seen.clone_from(&self.current);
            }
            differs
        });
    }

    async fn shut_down(&mut self) {
        // Closed first: a task that waits to report is let go.
        self.postcards.close();
        for tasks in std::mem::take(&mut self.nodes).into_values() {
            self.leaving.spawn(tasks.stop());
        }
        while self.leaving.join_next().await.is_some() {}
        if let Some(writing) = self.writing.take() {
            // What it wrote is derived; the next start writes it again.
            let _derived = tokio::time::timeout(WRITE_PATIENCE, writing).await;
        }
        if let Some(compiling) = self.compiling.take() {
            let _result_unused = compiling.await;
        }
    }
}

fn now() -> Now {
    let epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        instant: Instant::now(),
        epoch_ms: u64::try_from(epoch.as_millis()).unwrap_or(u64::MAX),
    }
}

const REPORTS: usize = 256;
const WRITE_PATIENCE: Duration = Duration::from_secs(2);
