//! `weft run` as a process of its own, and the northbound database it serves.
//!
//! Must not: outlive the measurement.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::time::timeout;
use uuid::Uuid;
use weft_e2e::stand_in::Node;
use weft_ovsdb::{ConnectOptions, Connection, Event, Monitor, MonitorTable, Operation};
use weft_schema::nb::{self, LogicalSwitchPort};
use weft_schema::{Table as _, nb::LogicalSwitch};

/// How long any one thing may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running controller with its nodes.
pub struct Controller {
    /// The nodes, already running.
    pub nodes: Vec<Node>,
    directory: TempDir,
    weft: PathBuf,
    process: Option<Child>,
}

impl Controller {
    /// Nodes `n1`, `n2`, … and an empty directory of manifests; weft does not run yet.
    pub fn new(weft: &Path, count: u8) -> Result<Controller> {
        let nodes = (1..=count)
            .map(|number| Node::start(&format!("n{number}"), &format!("192.0.2.{number}")))
            .collect();
        let controller = Controller {
            nodes,
            directory: tempfile::Builder::new().prefix("weft-bench-").tempdir()?,
            weft: weft.to_owned(),
            process: None,
        };
        fs::create_dir(controller.manifests())?;
        let mut yaml = String::from("nodes:\n");
        for node in &controller.nodes {
            write!(yaml, "{}", node.line())?;
        }
        fs::write(controller.path("nodes.yaml"), yaml)?;
        Ok(controller)
    }

    /// Starts `weft run`.
    pub fn start(&mut self) -> Result<()> {
        let log = File::create(self.path("weft.log"))?;
        let process = Command::new(&self.weft)
            .args(["--log", "warn", "run", "--manifests"])
            .arg(self.manifests())
            .arg("--nodes")
            .arg(self.path("nodes.yaml"))
            .arg(format!(
                "--nb-listen=punix:{}",
                self.path("nb.sock").display()
            ))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} does not start", self.weft.display()))?;
        self.process = Some(process);
        Ok(())
    }

    /// The folder of manifests.
    pub fn manifests(&self) -> PathBuf {
        self.path("manifests")
    }

    /// A connection to the database.
    pub fn northbound(&self) -> Result<Connection> {
        let remote = format!("unix:{}", self.path("nb.sock").display()).parse()?;
        Ok(Connection::connect(
            remote,
            nb::DATABASE,
            ConnectOptions::default(),
        ))
    }

    /// What is `up` in the database.
    pub async fn watch(&self) -> Result<Ups> {
        // The socket is there as soon as weft listens: asking before would only begin a back-off.
        let deadline = Instant::now() + PATIENCE;
        while !self.path("nb.sock").exists() {
            if Instant::now() > deadline {
                bail!("weft did not come up:\n{}", self.log());
            }
            tokio::task::yield_now().await;
        }
        let connection = self.northbound()?;
        let table = MonitorTable::new(LogicalSwitchPort::NAME).columns(["name", "up"]);
        let monitor = connection.monitor(vec![table]).await?;
        Ok(Ups {
            monitor,
            _connection: connection,
            up: BTreeSet::new(),
        })
    }

    /// The process.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.process.as_ref().context("weft is not running")?.id())
    }

    /// All processes: weft and every daemon of every node.
    pub fn pids(&self) -> Result<Vec<u32>> {
        let mut pids: Vec<u32> = self.nodes.iter().flat_map(Node::pids).collect();
        pids.push(self.pid()?);
        Ok(pids)
    }

    /// What weft said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("weft.log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _gone_already = process.kill();
            let _reaped = process.wait();
        }
    }
}

/// The ports whose flows are acknowledged.
pub struct Ups {
    monitor: Monitor,
    /// The monitor ends with it.
    _connection: Connection,
    up: BTreeSet<Uuid>,
}

impl Ups {
    /// Waits until so many ports are up.
    pub async fn reach(&mut self, count: usize) -> Result<()> {
        while self.up.len() < count {
            let event = timeout(PATIENCE, self.monitor.next())
                .await
                .with_context(|| format!("{} of {count} ports came up", self.up.len()))?;
            match event.context("the database went away")? {
                Event::Snapshot(rows) | Event::Changes(rows) => {
                    for change in rows {
                        let is_up = change.row.is_some_and(|row| {
                            row.get("up").and_then(weft_ovsdb::Datum::as_bool) == Some(true)
                        });
                        if is_up {
                            self.up.insert(change.uuid);
                        } else {
                            self.up.remove(&change.uuid);
                        }
                    }
                }
                Event::Disconnected { .. } => self.up.clear(),
            }
        }
        Ok(())
    }
}

/// A port as somebody would write it by hand.
pub fn port(name: &str, mac_and_addresses: String) -> LogicalSwitchPort {
    LogicalSwitchPort {
        uuid: weft_schema::RowId::<LogicalSwitchPort>::derived(name).uuid(),
        name: name.to_owned(),
        addresses: BTreeSet::from([mac_and_addresses.clone()]),
        port_security: BTreeSet::from([mac_and_addresses]),
        ..LogicalSwitchPort::default()
    }
}

/// The operations that put one port more on a switch.
pub fn add_port(switch: Uuid, port: &LogicalSwitchPort) -> Vec<Operation> {
    let mut ports = weft_ovsdb::Set::new();
    ports.insert(port.uuid.into());
    vec![
        port.insert(),
        Operation::Mutate {
            table: LogicalSwitch::NAME.into(),
            conditions: vec![weft_ovsdb::Condition::uuid(switch)],
            mutations: vec![weft_ovsdb::Mutation::new(
                "ports",
                weft_ovsdb::Mutator::Insert,
                weft_ovsdb::Datum::Set(ports),
            )],
        },
    ]
}
