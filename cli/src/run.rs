//! `weft run`, `weft northd`, `weft controller`: the long-running parts, together or each alone.
//!
//! ```text
//!  manifests ─watch─▶ northd ─rows─▶ database ─deltas─▶ controller ─▶ nodes
//!  nodes.yaml ─watch─▶ names ─▲         ▲ listeners         ▲ nodes.yaml ─watch
//!                    task               tasks              task
//! ```
//!
//! Each part is a task of its own. The first that ends, or a signal, cancels the token that all share; then all are
//! awaited, writers before the database they write to.
//!
//! Must not: do any part's work.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use weft_controller::nodes::{self, Nodes};
use weft_northd::index::HostConfig;
use weft_ovsdb::Connection;
use weft_schema::nb::DATABASE;

use crate::{
    arguments::{Certificates, Controller, Manifests, Northd, Run, Sessions},
    certificates, nb, shutdown,
};

/// Everything in one process.
pub(crate) async fn run(arguments: Run) -> Result<()> {
    let cancel = shutdown::on_signal()?;
    // The database outlives those who write to it: its clients see the last of what they did.
    let database_cancel = CancellationToken::new();
    let server = nb::server(arguments.nb_db).await?;
    let certificates = arguments.certificates;
    let tls = certificates::northbound(&certificates)?;
    let listeners = nb::listen(&server, arguments.nb_listen, tls, &database_cancel).await?;
    let mut parts = Parts::new(cancel);
    let northbound = Connection::local(&server, DATABASE);
    // The database starts empty, or as it was long ago: nothing is taken from a node before northd has been through it.
    let (synchronized, filled) = watch::channel(false);
    parts.northd(
        arguments.manifests,
        &arguments.nodes,
        northbound,
        Some(synchronized),
    )?;
    parts.controller(
        arguments.nodes,
        arguments.sessions,
        &certificates,
        Connection::local(&server, DATABASE),
        Some(filled),
    )?;
    parts.allocation(Connection::local(&server, DATABASE));
    let outcome = parts.join().await;
    database_cancel.cancel();
    nb::close(&server, listeners).await;
    outcome
}

/// The translation alone.
pub(crate) async fn northd(arguments: Northd) -> Result<()> {
    let mut parts = Parts::new(shutdown::on_signal()?);
    parts.northd(
        arguments.manifests,
        &arguments.nodes,
        nb::connect(arguments.nb, &arguments.certificates)?,
        None,
    )?;
    parts.join().await
}

/// The node sessions alone.
pub(crate) async fn controller(arguments: Controller) -> Result<()> {
    let mut parts = Parts::new(shutdown::on_signal()?);
    let northbound = nb::connect(arguments.nb, &arguments.certificates)?;
    parts.allocation(northbound.clone());
    parts.controller(
        arguments.nodes,
        arguments.sessions,
        &arguments.certificates,
        northbound,
        None,
    )?;
    parts.join().await
}

/// The tasks of a command.
struct Parts {
    tasks: JoinSet<Result<()>>,
    cancel: CancellationToken,
}

impl Parts {
    fn new(cancel: CancellationToken) -> Parts {
        Parts {
            tasks: JoinSet::new(),
            cancel,
        }
    }

    fn northd(
        &mut self,
        manifests: Manifests,
        nodes: &Path,
        northbound: Connection,
        synchronized: Option<watch::Sender<bool>>,
    ) -> Result<()> {
        let names = self.node_names(nodes::watch(nodes)?);
        let mut index = weft_northd::index::Config::default();
        if !manifests.cluster_cidr.is_empty() {
            index.cluster_cidrs = manifests.cluster_cidr;
        }
        if !manifests.service_cidr.is_empty() {
            index.service_cidrs = manifests.service_cidr;
        }
        index.load_balancer_pool = manifests.load_balancer_pool;
        index.hosts = manifests.hosts.then(|| match manifests.join_cidr {
            join_cidrs if join_cidrs.is_empty() => HostConfig::default(),
            join_cidrs => HostConfig { join_cidrs },
        });
        let config = weft_northd::Config {
            manifests: manifests.manifests,
            index,
            synchronized,
        };
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            weft_northd::run_standalone(config, northbound, names, cancel)
                .await
                .context("northd ended")
        });
        Ok(())
    }

    fn controller(
        &mut self,
        nodes: PathBuf,
        sessions: Sessions,
        certificates: &Certificates,
        northbound: Connection,
        filled: Option<watch::Receiver<bool>>,
    ) -> Result<()> {
        let cancel = self.cancel.clone();
        let mut config = weft_controller::Config::new(nodes);
        config.northbound_ready = filled;
        config.record = sessions.record;
        config.probe = Duration::from_secs(sessions.probe_interval);
        config.tls = certificates::nodes(certificates, &sessions.nodes_certificates)?;
        self.tasks.spawn(async move {
            weft_controller::run(config, northbound, cancel)
                .await
                .context("the controller ended")
        });
        Ok(())
    }

    /// Hands out what rows written by hand ask for.
    fn allocation(&mut self, northbound: Connection) {
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            weft_northd::allocation::run(northbound, cancel)
                .await
                .context("the allocation of dynamic addresses ended")
        });
    }

    /// Of the nodes, what northd may know.
    fn node_names(&mut self, mut nodes: watch::Receiver<Nodes>) -> watch::Receiver<Vec<String>> {
        let names = |nodes: &Nodes| nodes.keys().map(ToString::to_string).collect::<Vec<_>>();
        let (sender, receiver) = watch::channel(names(&nodes.borrow_and_update()));
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = cancel.cancelled() => return Ok(()),
                    changed = nodes.changed() => if changed.is_err() { return Ok(()) },
                }
                sender.send_replace(names(&nodes.borrow_and_update()));
            }
        });
        receiver
    }

    /// Waits for all. The first that ends takes the others with it; its error is the command's.
    async fn join(mut self) -> Result<()> {
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            self.cancel.cancel();
            let ended = ended.context("a task panicked").flatten();
            if outcome.is_ok() {
                outcome = ended;
            }
        }
        outcome
    }
}
