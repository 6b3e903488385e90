//! `weft run` as a process of its own, and what it complains about.
//!
//! Must not: look into that process; what it does is seen in the database and on the switches.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};
use weft_e2e::management::Management;
use weft_e2e::patience::scaled;
use weft_ovsdb::{
    ConnectOptions, Connection, Datum, Event, MonitorTable, Mutation, Mutator, Operation,
    OperationResult, Remote, Row,
};
use weft_schema::{
    Table,
    nb::{DATABASE, NbGlobal},
};

/// The process, its log and its database. It is killed when this value is dropped.
#[derive(Debug)]
pub(super) struct WeftRun {
    child: Child,
    log: PathBuf,
    northbound: Connection,
}

impl WeftRun {
    /// Starts this very program as `weft run`, and waits until its database answers.
    pub(super) async fn start(
        manifests: &Path,
        management: &Management,
        directory: &Path,
    ) -> Result<WeftRun> {
        let nodes = directory.join("nodes.yaml");
        fs::write(&nodes, management.nodes_yaml())?;
        let socket = directory.join("nb.sock");
        let log = directory.join("weft.log");
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("run")
            .arg("--manifests")
            .arg(manifests)
            .arg("--nodes")
            .arg(nodes)
            .arg(format!("--nb-listen=punix:{}", socket.display()))
            .args(management.arguments())
            .env_remove("WEFT_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .kill_on_drop(true);
        // From a host on the underlay, as a controller is.
        let runtime = tokio::runtime::Handle::current();
        let child = management.host().run(|| {
            let _entered = runtime.enter();
            command.spawn()
        });
        let child = child.flatten().context("starting weft run")?;
        let northbound =
            Connection::connect(Remote::Unix(socket), DATABASE, ConnectOptions::default());
        let mut weft = WeftRun {
            child,
            log,
            northbound,
        };
        let northbound = weft.northbound.clone();
        tokio::select! {
            schema = northbound.schema() => schema.map(drop)?,
            error = weft.failed() => return Err(error),
        }
        Ok(weft)
    }

    /// Its northbound database.
    pub(super) fn northbound(&self) -> &Connection {
        &self.northbound
    }

    /// Waits for its end, which is not wanted, and says why.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        let status = self.child.wait().await;
        self.ended(status)
    }

    /// Waits until it warns of something with this text, and returns the line.
    pub(super) fn complains(&self, text: String) -> impl Future<Output = String> + use<> {
        let log = self.log.clone();
        async move {
            let mut look = tokio::time::interval(LOOK);
            loop {
                look.tick().await;
                let mut lines = warnings_in(&log).into_iter();
                if let Some(line) = lines.find(|line| line.contains(&text)) {
                    return line;
                }
            }
        }
    }

    fn ended(&self, status: std::io::Result<ExitStatus>) -> anyhow::Error {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let last = text
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("it logged nothing");
        match status {
            Ok(status) => anyhow::anyhow!("weft run ended ({status}): {last}"),
            Err(error) => anyhow::anyhow!("weft run: {error}"),
        }
    }

    /// What it has warned of so far, without times. Each line once.
    pub(super) fn warnings(&self) -> Vec<String> {
        warnings_in(&self.log)
    }

    /// Waits until every node has what follows from the database as it is now: `ovn-nbctl --wait=hv sync`.
    pub(super) fn settle(&self) -> impl Future<Output = Result<()>> + use<> {
        let northbound = self.northbound.clone();
        async move {
            timeout(scaled(SETTLE_MAX), settle(&northbound))
                .await
                .with_context(|| {
                    format!(
                        "the nodes had not acknowledged a change after {} s",
                        scaled(SETTLE_MAX).as_secs()
                    )
                })?
        }
    }

    /// Asks it to end, and waits for that. What does not end is killed.
    pub(super) async fn stop(mut self) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        if timeout(scaled(STOP_MAX), self.child.wait()).await.is_err() {
            tracing::warn!("weft run did not end on SIGTERM; killing it");
            let _ = self.child.kill().await;
        }
    }
}

/// Raises `NB_Global.nb_cfg` and waits until `hv_cfg` has followed.
async fn settle(northbound: &Connection) -> Result<()> {
    let table = || NbGlobal::NAME.into();
    let columns = || Some(vec!["nb_cfg".into()]);
    let select = Operation::Select {
        table: table(),
        conditions: vec![],
        columns: columns(),
    };
    let raise = Operation::Mutate {
        table: table(),
        conditions: vec![],
        mutations: vec![Mutation {
            column: "nb_cfg".into(),
            mutator: Mutator::Add,
            value: Datum::from(1),
        }],
    };
    let mut results = northbound.transact(vec![raise, select]).await?.into_iter();
    let rows = match (results.next(), results.next()) {
        (Some(_), Some(OperationResult::Rows(rows))) => rows,
        _ => bail!("the northbound database answered a select with something else"),
    };
    let wanted = match rows.first().and_then(|(_, row)| number(row, "nb_cfg")) {
        Some(wanted) => wanted,
        None => {
            let global = NbGlobal {
                nb_cfg: 1,
                uuid: uuid::Uuid::new_v4(),
                ..NbGlobal::default()
            };
            northbound.transact(vec![global.insert()]).await?;
            1
        }
    };
    let mut monitor = northbound
        .monitor(vec![MonitorTable::new(NbGlobal::NAME).columns(["hv_cfg"])])
        .await?;
    while let Some(event) = monitor.next().await {
        let rows = match event {
            Event::Snapshot(rows) | Event::Changes(rows) => rows,
            Event::Disconnected { reason } => bail!("the northbound database went away: {reason}"),
        };
        let followed = rows
            .iter()
            .filter_map(|change| number(change.row.as_ref()?, "hv_cfg"));
        if followed.max().is_some_and(|hv_cfg| hv_cfg >= wanted) {
            return Ok(());
        }
    }
    bail!("the northbound database was closed")
}

fn number(row: &Row, column: &str) -> Option<i64> {
    row.get(column)?.as_i64()
}

fn warnings_in(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().filter_map(warning) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

/// The text of a log line of level warn or error, without its time.
fn warning(line: &str) -> Option<String> {
    let (_time, rest) = line.split_once(' ')?;
    let rest = rest.trim_start();
    let text = rest
        .strip_prefix("WARN ")
        .or_else(|| rest.strip_prefix("ERROR "))?;
    // The module that logged it is of no use to whoever wrote the manifest.
    Some(
        text.split_once(": ")
            .map_or(text, |(_module, text)| text)
            .to_owned(),
    )
}

const SETTLE_MAX: Duration = Duration::from_secs(20);
const STOP_MAX: Duration = Duration::from_secs(5);
/// How often its log is looked at while something is waited for.
const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_told_from_other_log_lines() {
        assert_eq!(
            warning(
                "2026-01-01T00:00:00.000000Z  WARN weft_northd::standalone: a.yaml: Pod a/b: spec.nodeName: no"
            ),
            Some("a.yaml: Pod a/b: spec.nodeName: no".to_owned())
        );
        assert_eq!(
            warning("2026-01-01T00:00:00.000000Z ERROR weft: x: y"),
            Some("x: y".to_owned())
        );
        assert_eq!(
            warning("2026-01-01T00:00:00.000000Z  INFO weft: x: WARN "),
            None
        );
        assert_eq!(warning(""), None);
    }
}
