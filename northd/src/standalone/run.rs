//! The task that keeps a northbound database as a directory of manifests says.
//!
//! Wakes up for files, nodes, the database and retries; whatever it was, it then does the same:
//! translate what is dirty, and submit what is missing as one transaction.
//! Must not: interpret objects or rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use weft_ovsdb::{Connection, Event, Monitor};

use super::files::{self, FileWatch, FilesError};
use super::{Manifests, Placement, Sourced, node};
use crate::diagnostic::{Diagnostic, ObjectRef};
use crate::index::{self, ConfigError, Index};
use crate::northbound::Northbound;

/// What to run with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory of manifests.
    pub manifests: PathBuf,
    /// Addresses and names of the cluster.
    pub index: index::Config,
    /// Told `true` once the database holds what the manifests say: who reads an empty database before
    /// that would take every pod for deleted.
    pub synchronized: Option<watch::Sender<bool>>,
}

/// Why stand-alone northd cannot start, or go on.
#[derive(Debug, Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The directory cannot be read or watched.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The database cannot be watched.
    #[error("northbound database: {0}")]
    Database(#[from] weft_ovsdb::Error),
    /// The database went away for good.
    #[error("northbound database: the connection was closed")]
    Closed,
}

/// Keeps the northbound database as the manifests say, on these nodes, until cancelled.
///
/// # Errors
/// At the start: the directory, the configuration or the database cannot be used. Later only if
/// the database's connection is closed for good.
pub async fn run_standalone(
    config: Config,
    nb: Connection,
    nodes: watch::Receiver<Vec<String>>,
    cancel: CancellationToken,
) -> Result<(), Error> {
    // Watch before reading: what changes in between wakes us up.
    let watch = FileWatch::new(&config.manifests)?;
    let manifests = config.manifests.clone();
    let mut task = Task {
        index: Index::new(config.index)?,
        directory: config.manifests,
        manifests: Manifests::default(),
        placement: Placement::default(),
        northbound: Northbound::default(),
        reported: BTreeSet::new(),
        clashes: BTreeSet::new(),
        is_restored: false,
        is_stale: true,
        retry: Retry::default(),
        nb,
        nodes,
        synchronized: config.synchronized,
    };
    task.manifests.update(&files::read(&manifests)?);
    let monitor = tokio::select! {
        () = cancel.cancelled() => return Ok(()),
        monitor = task.nb.monitor(Northbound::monitored()) => monitor?,
    };
    tokio::select! {
        () = cancel.cancelled() => Ok(()),
        result = task.run(watch, monitor) => result,
    }
}

struct Task {
    directory: PathBuf,
    nb: Connection,
    nodes: watch::Receiver<Vec<String>>,
    synchronized: Option<watch::Sender<bool>>,
    manifests: Manifests,
    placement: Placement,
    index: Index,
    northbound: Northbound,
    /// What was said already.
    reported: BTreeSet<Diagnostic>,
    /// Ports that somebody else's have the name of.
    clashes: BTreeSet<(&'static str, String)>,
    /// Whether the records of a previous run were read.
    is_restored: bool,
    /// Whether manifests or nodes changed since the index was told.
    is_stale: bool,
    retry: Retry,
}

impl Task {
    async fn run(mut self, mut watch: FileWatch, mut monitor: Monitor) -> Result<(), Error> {
        let mut has_nodes = true;
        loop {
            let retry_at = self.retry.at;
            let retry = async { sleep_until(retry_at.unwrap_or_else(Instant::now)).await };
            tokio::select! {
                event = monitor.next() => self.observe(event.ok_or(Error::Closed)?),
                () = watch.changed() => self.read_files().await,
                changed = self.nodes.changed(), if has_nodes => match changed {
                    Ok(()) => self.is_stale = true,
                    // Whoever told the nodes is gone: those known stay.
                    Err(_) => has_nodes = false,
                },
                () = retry, if retry_at.is_some() => {
                    self.retry.at = None;
                    self.northbound.suspect_all(self.index.rows());
                }
            }
            if !self.northbound.is_known() {
                continue;
            }
            if std::mem::take(&mut self.is_stale) {
                self.tell_index();
            }
            if self.retry.at.is_none() {
                self.submit().await;
            }
        }
    }

    fn observe(&mut self, event: Event) {
        match &event {
            Event::Disconnected { reason } => {
                warn!(%reason, "northbound database: connection lost")
            }
            Event::Snapshot(rows) => {
                debug!(rows = rows.len(), "northbound database: read");
            }
            Event::Changes(_) => {}
        }
        for error in self.northbound.observe(event, self.index.rows()) {
            warn!("northbound database: {error}; the row counts as not being there");
        }
    }

    /// A directory that cannot be read keeps what it last said in force.
    async fn read_files(&mut self) {
        let directory = self.directory.clone();
        match tokio::task::spawn_blocking(move || files::read(&directory)).await {
            Ok(Ok(files)) => self.is_stale |= self.manifests.update(&files),
            Ok(Err(error)) => warn!("{error}; what it last said stays in force"),
            Err(error) => warn!("reading manifests: {error}"),
        }
    }

    /// Brings the index up to date with manifests and nodes.
    fn tell_index(&mut self) {
        let records = match std::mem::replace(&mut self.is_restored, true) {
            true => Vec::new(),
            false => {
                self.index.restore_hosts(self.northbound.hosts());
                self.northbound.records()
            }
        };
        self.placement.restore(&records);
        let nodes: BTreeSet<Arc<str>> = self
            .nodes
            .borrow_and_update()
            .iter()
            .map(|node| Arc::from(node.as_str()))
            .collect();
        let (mut sourced, mut problems) = self.manifests.objects();
        self.placement
            .place(sourced.iter_mut().map(|sourced| &mut sourced.value), &nodes);
        let (mut objects, unknown) = node::settle(&mut sourced, &nodes);
        problems.extend(unknown);
        let mut files: BTreeMap<ObjectRef, Arc<Path>> = BTreeMap::new();
        for Sourced { file, value } in sourced {
            files.insert(value.reference(), file);
            objects.push(value);
        }
        self.index.set_nodes(nodes.iter().map(|node| &**node));
        self.index.reset(objects, records);
        let translation = self.index.translate();
        if !translation.changes.is_empty() {
            info!(
                rows = translation.changes.len(),
                "manifests: rows to change"
            );
        }
        self.northbound
            .suspect(translation.changes.iter().map(|change| change.uuid));
        problems.extend(self.index.diagnostics().map(|problem| {
            let file = problem
                .object
                .as_deref()
                .and_then(|object| files.get(object));
            Diagnostic {
                file: file.map(|file| file.to_path_buf()),
                ..problem.clone()
            }
        }));
        self.report(problems.into_iter().collect());
    }

    /// Says what is new, once.
    fn report(&mut self, problems: BTreeSet<Diagnostic>) {
        for problem in problems.difference(&self.reported) {
            warn!("{problem}");
        }
        for problem in self.reported.difference(&problems) {
            debug!("no longer: {problem}");
        }
        self.reported = problems;
    }

    /// Submits what is missing, as one transaction.
    async fn submit(&mut self) {
        let mut plan = self.northbound.plan(self.index.rows());
        let clashes: BTreeSet<_> = plan.clashes.iter().cloned().collect();
        for (table, name) in clashes.difference(&self.clashes) {
            warn!(
                "{table} {name}: a row that is not northd's has this name; remove it, and northd's comes"
            );
        }
        self.clashes = clashes;
        if plan.operations.is_empty() {
            self.northbound.carried_out(plan);
            return self.tell_synchronized();
        }
        let operations = std::mem::take(&mut plan.operations);
        let count = operations.len();
        match self.nb.transact(operations).await {
            Ok(_) => {
                debug!(operations = count, "northbound database: written");
                self.northbound.carried_out(plan);
                self.retry = Retry::default();
                self.tell_synchronized();
            }
            Err(error) => {
                let wait = self.retry.again();
                warn!(%error, ?wait, "northbound database: not written; trying again");
            }
        }
    }

    fn tell_synchronized(&mut self) {
        if let Some(synchronized) = self.synchronized.take() {
            synchronized.send_replace(true);
        }
    }
}

/// Back-off of failed transactions.
#[derive(Default)]
struct Retry {
    at: Option<Instant>,
    failures: u32,
}

impl Retry {
    /// Doubles the wait, from 50 ms to 10 s, and takes a random part of it off: up to a half.
    fn again(&mut self) -> Duration {
        let longest = 50_u64.saturating_mul(1 << self.failures.min(8)).min(10_000);
        let wait = Duration::from_millis(rand::rng().random_range(longest.div_euclid(2)..=longest));
        self.failures = self.failures.saturating_add(1);
        self.at = Instant::now().checked_add(wait);
        wait
    }
}
