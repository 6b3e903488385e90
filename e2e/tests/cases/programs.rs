//! The programs that make up weft in a case: one, or each part alone; and how they reach the nodes.
//!
//! Must not: outlive the sandbox, or know what a case is about.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use weft_e2e::{
    fabric::Fabric,
    management::{Management, Transport},
};
use weft_ovsdb::{ConnectOptions, Connection, Remote};
use weft_schema::nb;

use super::lab::{DIRECTORY, weft};
use weft_e2e::patience::scaled;

/// What weft runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `weft run`, beside the nodes' own sockets.
    Whole,
    /// `weft northd`, `weft controller` and a database between them, each alone.
    Apart(Database, Reach),
}

/// Whose northbound database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// `weft nb`.
    Weft,
    /// Open vSwitch's `ovsdb-server`, with a file.
    OvsdbServer,
}

/// How the controller reaches the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Their unix sockets.
    Sockets,
    /// A host of its own on the underlay.
    Underlay(Transport),
}

/// One of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The database.
    Database,
    /// The node sessions: `weft controller`, or `weft run`.
    Controller,
    /// `weft northd`.
    Northd,
}

/// See the [module](self).
pub struct Programs {
    setting: Setting,
    running: BTreeMap<Role, Child>,
    /// Options of the controller besides those that every case gives it.
    options: Vec<String>,
    pub management: Option<Management>,
}

impl Programs {
    /// Starts all of them.
    pub async fn start(setting: Setting, fabric: &Arc<Fabric>) -> anyhow::Result<Programs> {
        let mut programs = Programs {
            setting,
            running: BTreeMap::new(),
            options: patience_with_nodes(),
            management: None,
        };
        if let Setting::Apart(_, Reach::Underlay(transport)) = setting {
            let management = Management::open(fabric, transport).await?;
            write_nodes(&management.nodes_yaml())?;
            programs.management = Some(management);
        } else {
            write_nodes(&fabric.nodes_yaml())?;
        }
        if let Setting::Apart(database, _) = setting {
            if database == Database::OvsdbServer {
                let schema = nb::database_schema().to_json();
                fs::write(format!("{RUN}/nb.ovsschema"), schema.to_string())?;
                let made = Command::new("ovsdb-tool")
                    .args(["create", NB_FILE, &format!("{RUN}/nb.ovsschema")])
                    .status();
                anyhow::ensure!(made?.success(), "ovsdb-tool does not take the schema");
            }
            programs.start_one(Role::Database)?;
            programs.await_database().await?;
            programs.start_one(Role::Northd)?;
        }
        programs.start_one(Role::Controller)?;
        Ok(programs)
    }

    /// Starts one again.
    pub fn start_one(&mut self, role: Role) -> anyhow::Result<()> {
        let listen = format!("punix:{NB}");
        let remote = format!("unix:{NB}");
        let mut command = match (self.setting, role) {
            (Setting::Whole, _) => weft(&[
                "run",
                "--manifests",
                DIRECTORY,
                "--nodes",
                NODES,
                "--nb-listen",
                &listen,
            ]),
            (Setting::Apart(Database::Weft, _), Role::Database) => {
                weft(&["nb", "--listen", &listen])
            }
            (Setting::Apart(Database::OvsdbServer, _), Role::Database) => {
                let mut command = Command::new("ovsdb-server");
                command.args([NB_FILE, "-vfile:off", "--unixctl=none"]);
                command.arg(format!("--remote={listen}"));
                command
            }
            (Setting::Apart(..), Role::Northd) => weft(&[
                "northd",
                "--manifests",
                DIRECTORY,
                "--nodes",
                NODES,
                "--nb",
                &remote,
            ]),
            (Setting::Apart(..), Role::Controller) => {
                weft(&["controller", "--nb", &remote, "--nodes", NODES])
            }
        };
        if role == Role::Controller {
            command.args(&self.options);
        }
        let log = fs::File::options().append(true).create(true).open(LOG)?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = match (&self.management, role) {
            (Some(management), Role::Controller) => {
                command.args(management.arguments());
                management.host().run(|| command.spawn())?
            }
            _ => command.spawn(),
        };
        let child = child.with_context(|| format!("start {role:?}"))?;
        self.running.insert(role, child);
        Ok(())
    }

    /// Options, and no others, that the controller is given whenever it is started from now on.
    pub fn set_controller_options(&mut self, options: &[&str]) {
        self.options = options.iter().map(|&option| option.to_owned()).collect();
    }

    /// Ends one as a crash would.
    pub fn kill(&mut self, role: Role) -> anyhow::Result<()> {
        if let Some(mut child) = self.running.remove(&role) {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Asks one to end, and waits until it has.
    pub async fn end(&mut self, role: Role) -> anyhow::Result<()> {
        let Some(mut child) = self.running.remove(&role) else {
            return Ok(());
        };
        let pid = nix::unistd::Pid::from_raw(child.id().try_into()?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        let status = tokio::task::spawn_blocking(move || child.wait()).await??;
        anyhow::ensure!(status.success(), "{role:?} ended with {status}");
        Ok(())
    }

    /// Ends all.
    pub fn kill_all(&mut self) -> anyhow::Result<()> {
        for role in [Role::Northd, Role::Controller, Role::Database] {
            self.kill(role)?;
        }
        Ok(())
    }

    /// A client of the database.
    pub fn northbound(&self) -> Connection {
        Connection::connect(
            Remote::Unix(NB.into()),
            nb::DATABASE,
            ConnectOptions::default(),
        )
    }

    /// What they have logged.
    pub fn log(&self) -> String {
        fs::read_to_string(LOG).unwrap_or_default()
    }

    async fn await_database(&self) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        let listening = async {
            while !Path::new(NB).exists() {
                ticks.tick().await;
            }
        };
        let waited = tokio::time::timeout(scaled(super::lab::PATIENCE), listening).await;
        waited.with_context(|| format!("no database came:\n{}", self.log()))
    }
}

/// Puts a nodes file in the place of the one that was there.
pub fn write_nodes(text: &str) -> anyhow::Result<()> {
    let next = format!("{RUN}/nodes.next");
    fs::write(&next, text)?;
    Ok(fs::rename(next, NODES)?)
}

/// Daemons on a slow machine are not run for seconds on end: they are no less there for that.
fn patience_with_nodes() -> Vec<String> {
    let probe = scaled(PROBE_INTERVAL);
    if probe == PROBE_INTERVAL {
        return Vec::new();
    }
    ["--probe-interval".to_owned(), probe.as_secs().to_string()].into()
}

/// Weft's own, unless told.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
const RUN: &str = "/run/weft";
pub const NB: &str = "/run/weft/nb.sock";
const NB_FILE: &str = "/run/weft/nb.db";
const NODES: &str = "/run/weft/nodes.yaml";
const LOG: &str = "/run/weft/weft.log";
