//! A real Open vSwitch of a test's own. Its processes end when it is dropped, on panic too.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openflow_rs::connection::Remote;
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(60);
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

pub struct Switch {
    directory: TempDir,
    processes: Vec<Child>,
}

impl Switch {
    /// A switch with bridge `br0` and port `p1`, number 1.
    pub fn start() -> Switch {
        Switch::start_with(&[])
    }

    /// As [`Switch::start`], with more options of `ovs-vswitchd`.
    pub fn start_with(more: &[String]) -> Switch {
        let directory = TempDir::new().expect("a temporary directory");
        let mut switch = Switch {
            directory,
            processes: Vec::new(),
        };
        switch.run("ovsdb-tool", &["create", "conf.db", SCHEMA]);
        switch.spawn(
            "ovsdb-server",
            &[
                "conf.db",
                "--remote=punix:db.sock",
                "--unixctl=db.ctl",
                "-vconsole:off",
                "--log-file=db.log",
            ],
        );
        switch.wait_for("db.sock");
        switch.vsctl(&["--no-wait", "init"]);
        let options = [
            "--enable-dummy=override",
            "--disable-system",
            "--unixctl=vs.ctl",
            "-vconsole:off",
            "--log-file=vs.log",
        ];
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        switch.spawn(
            "ovs-vswitchd",
            &[&["unix:db.sock"][..], &options, &more].concat(),
        );
        switch.vsctl(&[
            "add-br",
            "br0",
            "--",
            "set",
            "bridge",
            "br0",
            "datapath_type=dummy",
            "fail_mode=secure",
            "protocols=OpenFlow15",
        ]);
        switch.vsctl(&[
            "add-port",
            "br0",
            "p1",
            "--",
            "set",
            "interface",
            "p1",
            "type=dummy",
            "ofport_request=1",
        ]);
        switch.wait_for("br0.mgmt");
        switch
    }

    pub fn remote(&self) -> Remote {
        Remote::Unix(self.path("br0.mgmt"))
    }

    pub fn vsctl(&self, words: &[&str]) -> String {
        self.run(
            "ovs-vsctl",
            // The socket is there a moment before somebody listens on it.
            &[&["--db=unix:db.sock", "--retry", "--timeout=60"][..], words].concat(),
        )
    }

    pub fn appctl(&self, words: &[&str]) -> String {
        self.run(
            "ovs-appctl",
            &[
                &["-t", self.path("vs.ctl").to_str().expect("UTF-8")][..],
                words,
            ]
            .concat(),
        )
    }

    /// The lines that `ovs-ofctl -O OpenFlow15` prints, less blanks around them.
    pub fn ofctl_lines(&self, words: &[&str]) -> Vec<String> {
        let text = self.run("ovs-ofctl", &[&["-O", "OpenFlow15"][..], words].concat());
        text.lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect()
    }

    /// Nothing was logged as a warning or worse, but what holds one of these.
    pub fn audit(&self, expected: &[&str]) {
        let log = fs::read_to_string(self.path("vs.log")).expect("a log");
        let is_complaint = |line: &&str| {
            ["|WARN|", "|ERR|", "|EMER|"]
                .iter()
                .any(|level| line.contains(level))
        };
        // What a userspace switch says on any machine as it starts.
        let usual = [
            "could not create",
            "netlink",
            "Netlink",
            "dpdk",
            "dummy",
            // How long it was kept from running.
            "|timeval",
            "|WARN|blocked ",
        ];
        let is_expected =
            |line: &&str| usual.iter().chain(expected).any(|part| line.contains(part));
        let complaints: Vec<&str> = log
            .lines()
            .filter(is_complaint)
            .filter(|line| !is_expected(line))
            .collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
            command.env(name, self.directory.path());
        }
        command
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }

    fn spawn(&mut self, program: &str, words: &[&str]) {
        let child = self
            .command(program)
            .args(words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.processes
            .push(child.unwrap_or_else(|error| panic!("{}", missing(program, &error))));
    }

    fn run(&self, program: &str, words: &[&str]) -> String {
        let output = self.command(program).args(words).output();
        let output = output.unwrap_or_else(|error| panic!("{}", missing(program, &error)));
        let (text, errors) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "{program} {words:?}: {text}{errors}"
        );
        text.into_owned()
    }

    fn wait_for(&self, name: &str) {
        let start = Instant::now();
        while !self.path(name).exists() {
            let log = || fs::read_to_string(self.path("vs.log")).unwrap_or_default();
            assert!(
                start.elapsed() < TIMEOUT,
                "{name} did not appear in {:?}\n{}",
                self.directory.path(),
                log()
            );
            std::thread::yield_now();
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn missing(program: &str, error: &std::io::Error) -> String {
    format!(
        "{program} cannot be started ({error}); this test needs Open vSwitch 3.1 or newer: apt-get install openvswitch-switch"
    )
}
