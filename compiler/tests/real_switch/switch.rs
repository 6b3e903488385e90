//! A real ovs-vswitchd of a test's own: userspace datapath, ports that are files, packets put in and taken out as bytes.
//!
//! The ports are of type `dummy`: `netdev-dummy/receive` puts a packet in, and what goes out is written to a capture file. No privileges are
//! needed, and nothing outside the temporary directory is touched.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openflow_rs::Flow;
use tempfile::TempDir;

/// The switch; its processes end when it is dropped.
pub struct Switch {
    directory: TempDir,
    processes: Vec<Child>,
    /// Pieces of complaints that the test provokes.
    pub expected: Vec<&'static str>,
}

/// Ports 1 to this one exist.
pub const PORTS: u16 = 2;

impl Switch {
    pub fn start() -> Switch {
        let directory = TempDir::new().unwrap();
        let mut switch = Switch {
            directory,
            processes: Vec::new(),
            expected: Vec::new(),
        };
        switch.run(
            "ovsdb-tool",
            &[
                "create",
                "conf.db",
                "/usr/share/openvswitch/vswitch.ovsschema",
            ],
        );
        switch.spawn(
            "ovsdb-server",
            &[
                "--remote=punix:db.sock",
                "--unixctl=db.ctl",
                "--no-chdir",
                "conf.db",
            ],
            "db.ctl",
        );
        let dummy = "--enable-dummy=override";
        switch.spawn(
            "ovs-vswitchd",
            &[
                dummy,
                "--disable-system",
                "--unixctl=vs.ctl",
                "--no-chdir",
                "unix:db.sock",
            ],
            "vs.ctl",
        );
        let mut setup = "add-br br0 -- set bridge br0 datapath_type=dummy protocols=OpenFlow15 fail_mode=secure".to_owned();
        for port in 1..=PORTS {
            let capture = switch.path(&format!("p{port}.pcap"));
            setup += &format!(
                " -- add-port br0 p{port} -- set interface p{port} type=dummy ofport_request={port} options:tx_pcap={capture}"
            );
        }
        let mut words = vec!["--db=unix:db.sock", "--retry", "--timeout=20"];
        words.extend(setup.split(' '));
        switch.run("ovs-vsctl", &words);
        switch
    }

    fn path(&self, name: &str) -> String {
        self.directory
            .path()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        let directory = self.directory.path();
        command.args(arguments).current_dir(directory);
        for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
            command.env(variable, directory);
        }
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program, arguments).output();
        let output =
            output.unwrap_or_else(|error| panic!("{program}: {error}; install openvswitch-switch"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {text}{complaint}{}",
            self.log()
        );
        text
    }

    /// Starts a daemon in the foreground and waits for its control socket.
    fn spawn(&mut self, program: &str, arguments: &[&str], socket: &str) {
        let log = fs::File::create(self.path(&format!("{program}.log"))).unwrap();
        let child = self
            .command(program, arguments)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let child =
            child.unwrap_or_else(|error| panic!("{program}: {error}; install openvswitch-switch"));
        self.processes.push(child);
        let socket = self.path(socket);
        self.wait(&format!("{program} to listen"), || {
            UnixStream::connect(&socket).ok()
        });
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("ovs-vswitchd.log")).unwrap_or_default()
    }

    fn wait<T>(&self, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(value) = attempt() {
                return value;
            }
            assert!(
                Instant::now() < deadline,
                "waited in vain for {what}\n{}",
                self.log()
            );
            std::thread::yield_now();
        }
    }

    /// Adds flows; the switch's answer to the first that it refuses, if it refuses one.
    pub fn add(&self, flows: &[Flow]) -> Result<(), String> {
        let mut stream = UnixStream::connect(self.path("br0.mgmt")).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let message = |kind: u8| [6, kind, 0, 8, 0, 0, 0, 1];
        stream.write_all(&message(HELLO)).unwrap();
        for flow in flows {
            stream.write_all(&flow.add().unwrap()).unwrap();
        }
        stream.write_all(&message(BARRIER_REQUEST)).unwrap();
        loop {
            let mut header = [0; 8];
            stream.read_exact(&mut header).unwrap();
            let mut body = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]])) - 8];
            stream.read_exact(&mut body).unwrap();
            match header[1] {
                ERROR => return Err(format!("error {body:02x?}\n{}", self.log())),
                BARRIER_REPLY => return Ok(()),
                _ => {}
            }
        }
    }

    /// Puts a packet in at a port and gives what comes out next, and where.
    pub fn send(&self, port: u16, packet: &[u8]) -> (u16, Vec<u8>) {
        let before: Vec<usize> = (1..=PORTS).map(|port| self.captured(port).len()).collect();
        let hex: String = packet.iter().map(|byte| format!("{byte:02x}")).collect();
        let control = self.path("vs.ctl");
        self.run(
            "ovs-appctl",
            &[
                "-t",
                &control,
                "netdev-dummy/receive",
                &format!("p{port}"),
                &hex,
            ],
        );
        self.wait("a packet to come out", || {
            (1..=PORTS).zip(&before).find_map(|(port, before)| {
                self.captured(port)
                    .into_iter()
                    .nth(*before)
                    .map(|packet| (port, packet))
            })
        })
    }

    /// What has gone out of a port so far (a classic capture file: a header of 24 bytes, one of 16 before each packet).
    fn captured(&self, port: u16) -> Vec<Vec<u8>> {
        let bytes = fs::read(Path::new(&self.path(&format!("p{port}.pcap")))).unwrap_or_default();
        let mut packets = Vec::new();
        let mut rest = bytes.get(24..).unwrap_or_default();
        while let Some(length) = rest.get(8..12) {
            let length = u32::from_ne_bytes(length.try_into().unwrap()) as usize;
            let Some(packet) = rest.get(16..16 + length) else {
                break;
            };
            packets.push(packet.to_vec());
            rest = &rest[16 + length..];
        }
        packets
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
        // What the switch complained of is a fault of the flows, even where the packet came out right.
        let log = self.log();
        let is_complaint = |line: &&str| line.contains("|ERR|") || line.contains("|WARN|");
        let complaints: Vec<&str> = log
            .lines()
            .filter(is_complaint)
            .filter(|line| !self.expected.iter().any(|text| line.contains(text)))
            .collect();
        assert!(
            std::thread::panicking() || complaints.is_empty(),
            "{complaints:#?}"
        );
    }
}

const HELLO: u8 = 0;
const ERROR: u8 = 1;
const BARRIER_REQUEST: u8 = 20;
const BARRIER_REPLY: u8 = 21;
