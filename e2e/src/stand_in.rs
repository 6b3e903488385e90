//! A node without a network: a real `ovsdb-server` and `ovs-vswitchd` of its own, in a directory of its own.
//!
//! Its datapath is Open vSwitch's own stand-in (`--enable-dummy=override`): everything above it, OpenFlow and OVSDB
//! first of all, is the real thing, and no device of the machine is touched.
//!
//! Must not: outlive the test, whatever becomes of it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::patience::scaled;

/// A running node.
pub struct Node {
    /// Its name, `system-id`.
    pub name: String,
    directory: TempDir,
    ovsdb: Child,
    vswitchd: Option<Child>,
}

impl Node {
    /// Starts both daemons and waits until they answer. `encap_ip` goes into `external_ids`, as node set-up would write it.
    pub fn start(name: &str, encap_ip: &str) -> Node {
        let directory = tempfile::Builder::new()
            .prefix("weft-node-")
            .tempdir()
            .expect("a temporary directory");
        let path = directory.path();
        let database = path.join("conf.db");
        run(
            path,
            "ovsdb-tool",
            &[
                "create",
                &text(&database),
                "/usr/share/openvswitch/vswitch.ovsschema",
            ],
        );
        let mut server = command(path, "ovsdb-server");
        server
            .arg(&database)
            .arg(format!("--remote=punix:{}", text(&path.join("db.sock"))));
        server.arg(format!("--unixctl={}", text(&path.join("ovsdb.ctl"))));
        let ovsdb = spawn(path, server, "ovsdb-server.log");
        let mut node = Node {
            name: name.to_owned(),
            directory,
            ovsdb,
            vswitchd: None,
        };
        node.await_file("db.sock");
        let id = format!("external_ids:system-id={name}");
        let ip = format!("external_ids:ovn-encap-ip={encap_ip}");
        node.vsctl(&[
            "--no-wait",
            "init",
            "--",
            "set",
            "Open_vSwitch",
            ".",
            &id,
            &ip,
        ]);
        node.start_vswitchd();
        node
    }

    /// Starts `ovs-vswitchd`, with nothing in its flow tables, and waits until it answers.
    pub fn start_vswitchd(&mut self) {
        let path = self.directory.path();
        let mut daemon = command(path, "ovs-vswitchd");
        daemon.arg(format!("unix:{}", text(&path.join("db.sock"))));
        daemon.args(["--enable-dummy=override", "--disable-system"]);
        daemon.arg(format!("--unixctl={}", text(&path.join("vswitchd.ctl"))));
        let _first_start = std::fs::remove_file(path.join("vswitchd.ctl"));
        self.vswitchd = Some(spawn(path, daemon, "ovs-vswitchd.log"));
        self.await_file("vswitchd.ctl");
    }

    /// As `kill -9` does: all flows are lost.
    pub fn kill_vswitchd(&mut self) {
        if let Some(mut daemon) = self.vswitchd.take() {
            end(&mut daemon);
        }
    }

    /// Attaches an interface that claims a logical switch port.
    pub fn attach(&self, interface: &str, iface_id: &str) {
        self.add_interface(interface, iface_id, &[]);
    }

    /// Attaches an interface that claims a logical switch port, under an OpenFlow port number.
    pub fn attach_at(&self, interface: &str, iface_id: &str, number: &str) {
        self.add_interface(interface, iface_id, &[&format!("ofport_request={number}")]);
    }

    fn add_interface(&self, interface: &str, iface_id: &str, columns: &[&str]) {
        let id = format!("external_ids:iface-id={iface_id}");
        let mut words = vec!["--no-wait", "add-port", "br-int", interface];
        words.extend(["--", "set", "Interface", interface, "type=internal", &id]);
        words.extend(columns);
        self.vsctl(&words);
    }

    /// Makes the integration bridge, as a node has it that a controller has seen before.
    pub fn add_integration_bridge(&self) {
        self.vsctl(&[
            "add-br",
            "br-int",
            "--",
            "set-fail-mode",
            "br-int",
            "secure",
        ]);
    }

    /// Attaches many interfaces in one transaction: name, `iface-id`, and `iface-id-ver` if there is one.
    pub fn attach_many(&self, interfaces: impl Iterator<Item = (String, String, Option<String>)>) {
        let mut words: Vec<String> = Vec::new();
        for (interface, iface_id, version) in interfaces {
            words.extend(
                [
                    "--",
                    "add-port",
                    "br-int",
                    &interface,
                    "--",
                    "set",
                    "Interface",
                    &interface,
                ]
                .map(str::to_owned),
            );
            words.extend([
                "type=internal".to_owned(),
                format!("external_ids:iface-id={iface_id}"),
            ]);
            words.extend(version.map(|version| format!("external_ids:iface-id-ver={version}")));
        }
        let words: Vec<&str> = ["--no-wait"]
            .into_iter()
            .chain(words.iter().map(String::as_str))
            .collect();
        self.vsctl(&words);
    }

    /// The processes of the daemons that run.
    pub fn pids(&self) -> Vec<u32> {
        std::iter::once(&self.ovsdb)
            .chain(&self.vswitchd)
            .map(Child::id)
            .collect()
    }

    /// The real `ovs-vsctl` against the node's database.
    pub fn vsctl(&self, arguments: &[&str]) -> String {
        let database = format!("--db=unix:{}", text(&self.directory.path().join("db.sock")));
        // A server's socket is there a moment before it listens.
        let mut all = vec![database.as_str(), "--timeout=20", "--retry"];
        all.extend(arguments);
        run(self.directory.path(), "ovs-vsctl", &all)
    }

    /// Waits until a column is as told; a failure shows the row.
    pub fn await_column(&self, table: &str, record: &str, condition: &str) {
        let database = format!("--db=unix:{}", text(&self.directory.path().join("db.sock")));
        let outcome = command(self.directory.path(), "ovs-vsctl")
            .args([
                &database,
                "--timeout=20",
                "wait-until",
                table,
                record,
                condition,
            ])
            .status()
            .expect("ovs-vsctl runs");
        assert!(
            outcome.success(),
            "{table} {record} {condition} did not come:\n{}",
            self.vsctl(&["list", table])
        );
    }

    /// The real `ovs-ofctl` against the integration bridge.
    pub fn ofctl(&self, verb: &str, arguments: &[&str]) -> String {
        let bridge = format!("unix:{}", text(&self.directory.path().join("br-int.mgmt")));
        let mut all = vec!["-O", "OpenFlow15", verb, &bridge];
        all.extend(arguments);
        run(self.directory.path(), "ovs-ofctl", &all)
    }

    /// Flows as text, sorted, without what changes by itself.
    pub fn flows(&self) -> Vec<String> {
        let dump = self.ofctl("dump-flows", &["--no-stats"]);
        let mut flows: Vec<String> = dump
            .lines()
            .map(str::trim)
            .filter(|line| line.contains("actions="))
            .map(str::to_owned)
            .collect();
        flows.sort();
        flows
    }

    /// Groups as text, sorted.
    pub fn groups(&self) -> Vec<String> {
        let dump = self.ofctl("dump-groups", &[]);
        let mut groups: Vec<String> = dump
            .lines()
            .map(str::trim)
            .filter(|line| line.contains("group_id="))
            .map(str::to_owned)
            .collect();
        groups.sort();
        groups
    }

    /// The node's line of a nodes file.
    pub fn line(&self) -> String {
        format!(
            "  - {{name: {}, ovsdb: 'unix:{}'}}\n",
            self.name,
            text(&self.directory.path().join("db.sock"))
        )
    }

    /// The integration bridge's meters, a line each.
    pub fn meters(&self) -> Vec<String> {
        let dump = self.ofctl("dump-meters", &[]);
        let meters = dump.split("meter=").skip(1);
        let words = |meter: &str| meter.split_whitespace().collect::<Vec<_>>().join(" ");
        meters.map(words).collect()
    }

    /// Has the switch keep what it sends to an interface from now on.
    pub fn capture(&self, interface: &str) {
        let file = text(&self.directory.path().join(format!("{interface}.pcap")));
        self.vsctl(&[
            "set",
            "Interface",
            interface,
            &format!("options:tx_pcap={file}"),
        ]);
    }

    /// The frames kept since.
    pub fn captured(&self, interface: &str) -> Vec<Vec<u8>> {
        let file = self.directory.path().join(format!("{interface}.pcap"));
        let bytes = std::fs::read(file).unwrap_or_default();
        let mut rest = bytes.get(24..).unwrap_or_default();
        let mut frames = Vec::new();
        while let Some((header, more)) = rest.split_at_checked(16) {
            let length = [header[8], header[9], header[10], header[11]];
            let length = usize::try_from(u32::from_ne_bytes(length)).unwrap_or(usize::MAX);
            let Some((frame, more)) = more.split_at_checked(length) else {
                break;
            };
            frames.push(frame.to_vec());
            rest = more;
        }
        frames
    }

    /// A frame comes in by an interface.
    pub fn receive(&self, interface: &str, frame: &[u8]) {
        let digits: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        let control = text(&self.directory.path().join("vswitchd.ctl"));
        let words = ["-t", &control, "netdev-dummy/receive", interface, &digits];
        run(self.directory.path(), "ovs-appctl", &words);
    }

    fn await_file(&self, name: &str) {
        let (path, deadline) = (
            self.directory.path().join(name),
            Instant::now() + scaled(Duration::from_secs(20)),
        );
        while !path.exists() {
            assert!(
                Instant::now() < deadline,
                "{} did not come:\n{}",
                path.display(),
                self.logs()
            );
            std::thread::yield_now();
        }
    }

    /// What the daemons said.
    pub fn logs(&self) -> String {
        let read =
            |name| std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        format!("{}\n{}", read("ovsdb-server.log"), read("ovs-vswitchd.log"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill_vswitchd();
        end(&mut self.ovsdb);
    }
}

/// Runs a program to its end and returns what it printed; anything but success is the test's failure.
pub fn run(directory: &Path, program: &str, arguments: &[&str]) -> String {
    let output = command(directory, program).args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program} does not start ({error}); install it"));
    assert!(
        output.status.success(),
        "{program} {arguments:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn command(directory: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVN_RUNDIR"] {
        command.env(variable, directory);
    }
    command.stdin(Stdio::null()).current_dir(directory);
    command
}

fn spawn(directory: &Path, mut command: Command, log: &str) -> Child {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join(log))
        .expect("a log");
    let errors = log.try_clone().expect("the same log");
    let program = command.get_program().to_string_lossy().into_owned();
    let spawned = command.stdout(log).stderr(errors).spawn();
    spawned.unwrap_or_else(|error| {
        panic!("{program} does not start ({error}); install openvswitch-switch")
    })
}

fn end(child: &mut Child) {
    let _gone_already = child.kill();
    let _reaped = child.wait();
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary paths are text").to_owned()
}

/// A path as text.
pub fn path_text(path: &Path) -> String {
    text(path)
}
