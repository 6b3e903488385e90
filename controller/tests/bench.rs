//! A test bench: nodes, a northbound database served on a socket, and a controller.
//!
//! Must not: hide a failure; whatever does not come in time is printed with what was seen.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weft_controller::{Config, Controller, Error, Status};
use weft_ovsdb::{ConnectOptions, Connection, Database, DatabaseSchema, Server};
use weft_schema::nb;

use weft_e2e::stand_in::{Node, path_text, run};

/// See the [module](self).
pub struct Bench {
    pub nodes: Vec<Node>,
    directory: TempDir,
    northbound: Northbound,
    controller: Option<Running>,
    /// Every controller is recorded into a file of its own, and each recording is played when the controller ends.
    started: usize,
}

/// Whose northbound database it is.
enum Northbound {
    /// One in this process.
    Ours(Server),
    /// Open vSwitch's `ovsdb-server`, with a file; `None`: not running.
    Real(Option<Child>),
}

struct Running {
    cancel: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
    status: watch::Receiver<Status>,
}

impl Bench {
    /// Nodes by name and encapsulation address, an empty database, and a controller.
    pub async fn start(nodes: &[(&str, &str)]) -> Bench {
        let server = Server::new(vec![Database::new(nb::database_schema())]);
        let mut bench = Bench::new(nodes, Northbound::Ours(server.clone()));
        let passive = format!("punix:{}", bench.path("nb.sock"))
            .parse()
            .expect("a listener");
        server
            .listen(passive, CancellationToken::new())
            .await
            .expect("a socket");
        bench.start_controller();
        bench
    }

    /// As [`Bench::start`], with a database of this schema in a real `ovsdb-server`, and without the controller.
    pub fn on_ovsdb_server(nodes: &[(&str, &str)], schema: &DatabaseSchema) -> Bench {
        let mut bench = Bench::new(nodes, Northbound::Real(None));
        let (schema_file, database) = (bench.path("nb.ovsschema"), bench.path("nb.db"));
        std::fs::write(&schema_file, schema.to_json().to_string()).expect("a schema file");
        let create = ["create", &database, &schema_file];
        run(bench.directory.path(), "ovsdb-tool", &create);
        bench.start_database();
        bench
    }

    /// Starts the real `ovsdb-server` and waits until it listens.
    pub fn start_database(&mut self) {
        let (socket, control) = (self.path("nb.sock"), self.path("nb.ctl"));
        let _first_start = std::fs::remove_file(&socket);
        let child = Command::new("ovsdb-server")
            .arg(self.path("nb.db"))
            .arg(format!("--remote=punix:{socket}"))
            .arg(format!("--unixctl={control}"))
            .args(["--no-chdir", "-vconsole:off"])
            .stdin(Stdio::null())
            .spawn();
        self.northbound = Northbound::Real(Some(child.expect("ovsdb-server")));
        // It retries until it is answered.
        let remote = format!("unix:{socket}");
        run(
            self.directory.path(),
            "ovsdb-client",
            &["wait", &remote, "_Server", "connected"],
        );
    }

    /// Ends the real `ovsdb-server` as a crash would.
    pub fn kill_database(&mut self) {
        if let Northbound::Real(server) = &mut self.northbound
            && let Some(mut server) = server.take()
        {
            server.kill().expect("killed");
            server.wait().expect("a child");
        }
    }

    fn new(nodes: &[(&str, &str)], northbound: Northbound) -> Bench {
        let nodes = nodes
            .iter()
            .map(|(name, encap_ip)| Node::start(name, encap_ip))
            .collect();
        let directory = tempfile::Builder::new()
            .prefix("weft-bench-")
            .tempdir()
            .expect("a temporary directory");
        let bench = Bench {
            nodes,
            directory,
            northbound,
            controller: None,
            started: 0,
        };
        bench.write_nodes("");
        bench
    }

    /// Nodes with one installed port each (`port-NODE`, `p-NODE`) on one switch `ls` with a router.
    pub async fn with_ports(names: &[&str]) -> Bench {
        let addresses: Vec<String> = (1..=names.len())
            .map(|index| format!("192.0.2.{index}"))
            .collect();
        let nodes: Vec<_> = names
            .iter()
            .zip(&addresses)
            .map(|(name, ip)| (*name, ip.as_str()))
            .collect();
        let bench = Bench::start(&nodes).await;
        bench.fill();
        bench
    }

    /// Gives each node its port, and waits until all are installed.
    pub fn fill(&self) {
        let bench = self;
        bench.nbctl(&["ls-add", "ls", "--", "lr-add", "lr"]);
        bench.nbctl(&[
            "lrp-add",
            "lr",
            "lr-ls",
            "0a:58:0a:00:00:01",
            "10.0.0.1/24",
            "fd00::1/64",
        ]);
        bench.nbctl(&[
            "lsp-add",
            "ls",
            "ls-lr",
            "--",
            "lsp-set-type",
            "ls-lr",
            "router",
        ]);
        bench.nbctl(&[
            "lsp-set-addresses",
            "ls-lr",
            "router",
            "--",
            "lsp-set-options",
            "ls-lr",
            "router-port=lr-ls",
        ]);
        for index in 0..bench.nodes.len() {
            bench.nodes[index].await_column("Interface", "weft-tunnel", "ofport=65000");
            bench.add_port(index);
        }
        for node in &bench.nodes {
            node.await_column(
                "Interface",
                &format!("port-{}", node.name),
                "external_ids:ovn-installed=true",
            );
        }
        bench.sync();
    }

    /// A port on a node, in the database and on the node.
    pub fn add_port(&self, index: usize) {
        let node = &self.nodes[index];
        let (port, host) = (format!("p-{}", node.name), index + 10);
        let addresses = format!("0a:58:0a:00:00:{host:02x} 10.0.0.{host} fd00::{host}");
        self.nbctl(&[
            "lsp-add",
            "ls",
            &port,
            "--",
            "lsp-set-addresses",
            &port,
            &addresses,
        ]);
        node.attach(&format!("port-{}", node.name), &port);
    }

    /// Writes the nodes file anew: all nodes, and what else is given.
    pub fn write_nodes(&self, more: &str) {
        let lines: String = self.nodes.iter().map(Node::line).collect();
        let next = self.path("next.yaml");
        std::fs::write(&next, format!("nodes:\n{lines}{more}")).expect("a nodes file");
        std::fs::rename(next, self.path("nodes.yaml")).expect("a nodes file");
    }

    pub fn start_controller(&mut self) {
        let cancel = CancellationToken::new();
        let northbound = match &self.northbound {
            Northbound::Ours(server) => Connection::local(server, nb::DATABASE),
            Northbound::Real(_) => {
                let remote = format!("unix:{}", self.path("nb.sock"));
                let remote = remote.parse().expect("a remote");
                Connection::connect(remote, nb::DATABASE, ConnectOptions::default())
            }
        };
        self.started += 1;
        let mut config = Config::new(self.path("nodes.yaml"));
        config.record = Some(self.recording().into());
        let (controller, status) = Controller::new(config, northbound);
        let task = tokio::spawn(controller.run(cancel.clone()));
        self.controller = Some(Running {
            cancel,
            task,
            status,
        });
    }

    /// Why the controller ended by itself.
    pub async fn await_error(&mut self) -> Error {
        let running = self.controller.take().expect("a controller runs");
        let ended = tokio::time::timeout(Duration::from_secs(20), running.task).await;
        let ended = ended
            .expect("the controller goes on")
            .expect("it did not panic");
        ended.expect_err("it ended well")
    }

    pub async fn stop_controller(&mut self) {
        let running = self.controller.take().expect("a controller runs");
        running.cancel.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), running.task).await;
        ended
            .expect("the controller did not stop")
            .expect("it did not panic")
            .expect("it ended well");
        let recording = std::fs::read(self.recording()).expect("a recording");
        let played = weft_controller::recording::replay(&recording[..]);
        let played = played.unwrap_or_else(|error| panic!("played again: {error}"));
        assert!(played > 0, "nothing was recorded");
        if let Some(keep) = std::env::var_os("WEFT_KEEP_RECORDING")
            && self.started == 1
        {
            std::fs::write(keep, recording).expect("a place for the recording");
        }
    }

    fn recording(&self) -> String {
        self.path(&format!("recording-{}", self.started))
    }

    pub fn status(&self) -> Status {
        self.controller
            .as_ref()
            .expect("a controller runs")
            .status
            .borrow()
            .clone()
    }

    pub async fn await_status(&self, what: &str, mut holds: impl FnMut(&Status) -> bool) {
        let mut status = self
            .controller
            .as_ref()
            .expect("a controller runs")
            .status
            .clone();
        let met = tokio::time::timeout(
            Duration::from_secs(30),
            status.wait_for(|status| holds(status)),
        )
        .await;
        let missed = met.is_err();
        drop(met);
        assert!(!missed, "not in time: {what}; {:#?}", self.status());
    }

    /// Waits until something holds that no status tells of.
    pub async fn await_that(&self, what: &str, holds: impl Fn() -> bool) {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while !tokio::task::block_in_place(&holds) {
            let is_late = tokio::time::Instant::now() > deadline;
            assert!(!is_late, "not in time: {what}; {:#?}", self.status());
            ticks.tick().await;
        }
    }

    /// Waits until a node's switch holds these flows.
    pub async fn await_flows(&self, index: usize, expected: &[String]) {
        self.await_dump(index, expected, Node::flows).await;
    }

    /// Waits until a node's switch holds these groups.
    pub async fn await_groups(&self, index: usize, expected: &[String]) {
        self.await_dump(index, expected, Node::groups).await;
    }

    async fn await_dump(
        &self,
        index: usize,
        expected: &[String],
        dump: impl Fn(&Node) -> Vec<String>,
    ) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let seen = tokio::task::block_in_place(|| dump(&self.nodes[index]));
            if seen == expected {
                return;
            }
            let in_time = tokio::time::Instant::now() < deadline;
            assert!(
                in_time,
                "not as expected:\n{seen:#?}\n{:#?}\n{}",
                self.status(),
                self.nodes[index].logs()
            );
            tokio::task::yield_now().await;
        }
    }

    /// The real `ovn-nbctl` against the database.
    pub fn nbctl(&self, arguments: &[&str]) -> String {
        let database = format!("--db=unix:{}", self.path("nb.sock"));
        let mut all = vec![database.as_str()];
        if !arguments
            .iter()
            .any(|argument| argument.starts_with("--timeout"))
        {
            all.push("--timeout=20");
        }
        all.extend(arguments);
        tokio::task::block_in_place(|| run(self.directory.path(), "ovn-nbctl", &all))
    }

    /// Waits until every node has acknowledged everything so far.
    pub fn sync(&self) {
        self.nbctl(&["--wait=hv", "sync"]);
    }

    /// Waits until a column of the database reads as told.
    pub async fn await_nb(&self, table: &str, record: &str, column: &str, expected: &str) {
        let condition = format!("{column}={expected}");
        let database = format!("--db=unix:{}", self.path("nb.sock"));
        tokio::task::block_in_place(|| {
            run(
                self.directory.path(),
                "ovn-nbctl",
                &[
                    &database,
                    "--timeout=30",
                    "wait-until",
                    table,
                    record,
                    &condition,
                ],
            )
        });
    }

    /// What is installed is what a controller that knows nothing yet would install: it finds nothing to change.
    pub async fn audit(mut self) {
        self.sync();
        self.stop_controller().await;
        self.start_controller();
        self.sync();
        let status = self.status();
        for node in &self.nodes {
            let seen = &status.nodes[&node.name];
            assert!(
                seen.openflow && seen.acknowledged > 0,
                "{}: {seen:?}",
                node.name
            );
            assert_eq!(
                seen.changes,
                0,
                "{}: {seen:?}\n{:#?}",
                node.name,
                node.flows()
            );
            assert_eq!(
                (seen.flows_desired, seen.flows_refused),
                (seen.flows_installed, 0),
                "{}",
                node.name
            );
            assert_eq!(seen.flows_installed, node.flows().len(), "{}", node.name);
        }
        self.stop_controller().await;
    }

    fn path(&self, name: &str) -> String {
        path_text(&self.directory.path().join(name))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.kill_database();
    }
}
