//! A directory, a server in it, tools with a deadline, real servers that end with their test.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio_util::sync::CancellationToken;
use weft_ovsdb::{
    Access, ConnectOptions, Connection, Database, DatabaseSchema, Event, ListenOptions, Monitor,
    Passive, Remote, Server,
};

/// How long anything may take.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A small schema: parents hold children (strong), children know friends (weak).
pub const FAMILY: &str = r#"{"name": "Family", "version": "1.0.0", "tables": {
    "Parent": {"isRoot": true, "indexes": [["name"]], "columns": {
        "name": {"type": "string"},
        "age": {"type": {"key": {"type": "integer", "minInteger": 0, "maxInteger": 150}}},
        "notes": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
        "children": {"type": {"key": {"type": "uuid", "refTable": "Child"}, "min": 0, "max": "unlimited"}}}},
    "Child": {"columns": {
        "name": {"type": "string"},
        "friends": {"type": {"key": {"type": "uuid", "refTable": "Child", "refType": "weak"},
                             "min": 0, "max": "unlimited"}}}}}}"#;

/// The schema that Open vSwitch installs.
pub fn vswitch_schema() -> DatabaseSchema {
    const PATH: &str = "/usr/share/openvswitch/vswitch.ovsschema";
    let text = std::fs::read_to_string(PATH).unwrap_or_else(|error| {
        panic!("{PATH}: {error}; install Open vSwitch (openvswitch-switch)")
    });
    DatabaseSchema::parse(&text).unwrap_or_else(|error| panic!("{PATH}: {error}"))
}

/// The small schema.
pub fn family() -> DatabaseSchema {
    DatabaseSchema::parse(FAMILY).expect("the schema above is one")
}

/// A server of ours on a socket of its own.
pub struct Served {
    pub directory: tempfile::TempDir,
    pub server: Server,
    pub cancel: CancellationToken,
}

impl Served {
    pub async fn new(schema: DatabaseSchema) -> Served {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let served = Served {
            server: Server::new(vec![Database::new(schema)]),
            cancel: CancellationToken::new(),
            directory,
        };
        let passive = Passive::Unix(served.directory.path().join("db.sock"));
        served
            .server
            .listen(passive, served.cancel.clone())
            .await
            .expect("listens");
        let passive = Passive::Unix(served.directory.path().join("ro.sock"));
        served
            .server
            .listen_with(
                passive,
                ListenOptions {
                    access: Access::ReadOnly,
                    tls: None,
                },
                served.cancel.clone(),
            )
            .await
            .expect("listens");
        served
    }

    pub fn remote(&self) -> String {
        format!("unix:{}", self.directory.path().join("db.sock").display())
    }

    pub fn read_only(&self) -> String {
        format!("unix:{}", self.directory.path().join("ro.sock").display())
    }

    /// Runs `ovs-vsctl` on the server; its output.
    pub async fn vsctl(&self, arguments: &str) -> String {
        let arguments = format!("--no-wait --timeout=10 --db={} {arguments}", self.remote());
        run("ovs-vsctl", &arguments.split(' ').collect::<Vec<_>>())
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Runs a tool to its end: what it printed, or what went wrong.
pub async fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .output();
    let output = tokio::time::timeout(DEADLINE, output)
        .await
        .unwrap_or_else(|_| panic!("{program} {arguments:?} has not ended after {DEADLINE:?}"))
        .unwrap_or_else(|error| {
            panic!("{program}: {error}; install Open vSwitch (openvswitch-switch)")
        });
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if output.status.success() {
        Ok(out.into_owned())
    } else {
        Err(format!(
            "{program} {arguments:?}: {}\n{out}{err}",
            output.status
        ))
    }
}

/// A tool that goes on printing lines.
pub struct Running {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    seen: Vec<String>,
}

impl Running {
    pub fn start(program: &str, arguments: &[&str]) -> Running {
        let mut child = Command::new(program)
            .args(arguments)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program}: {error}; install Open vSwitch (openvswitch-switch)")
            });
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Running {
            _child: child,
            lines,
            seen: Vec::new(),
        }
    }

    /// The next line that has this in it.
    pub async fn line_with(&mut self, part: &str) -> String {
        let seek = async {
            while let Some(line) = self.lines.next_line().await.expect("readable") {
                self.seen.push(line.clone());
                if line.contains(part) {
                    return line;
                }
            }
            panic!(
                "it ended without printing {part:?}; it printed {:#?}",
                self.seen
            )
        };
        match tokio::time::timeout(DEADLINE, seek).await {
            Ok(line) => line,
            Err(_) => panic!(
                "no {part:?} within {DEADLINE:?}; it printed {:#?}",
                self.seen
            ),
        }
    }
}

/// A real `ovsdb-server`.
pub struct RealServer {
    directory: tempfile::TempDir,
    child: Option<Child>,
}

impl RealServer {
    pub async fn start() -> RealServer {
        RealServer::of(FAMILY).await
    }

    /// On this schema.
    pub async fn of(text: &str) -> RealServer {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let schema = directory.path().join("db.ovsschema");
        std::fs::write(&schema, text).expect("writable");
        let (database, schema) = (
            directory.path().join("conf.db"),
            schema.display().to_string(),
        );
        let arguments = ["create", &database.display().to_string(), &schema];
        run("ovsdb-tool", &arguments)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let mut server = RealServer {
            directory,
            child: None,
        };
        server.start_again().await;
        server
    }

    pub async fn start_again(&mut self) {
        let at = |name: &str| self.directory.path().join(name).display().to_string();
        let child = Command::new("ovsdb-server")
            .arg(at("conf.db"))
            .arg(format!("--remote=punix:{}", at("db.sock")))
            .arg(format!("--unixctl={}", at("ctl.sock")))
            .arg("-vconsole:off")
            .current_dir(self.directory.path())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("ovsdb-server: {error}; install Open vSwitch (openvswitch-switch)")
            });
        self.child = Some(child);
    }

    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.expect("killed");
        }
    }

    pub fn remote(&self) -> Remote {
        Remote::Unix(self.socket())
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("db.sock")
    }
}

/// Connects with short waits.
pub fn connect(remote: Remote, database: &str) -> Connection {
    let backoff = (Duration::from_millis(10), Duration::from_millis(100));
    Connection::connect(
        remote,
        database,
        ConnectOptions {
            backoff,
            request_timeout: DEADLINE,
            ..Default::default()
        },
    )
}

/// The next event.
pub async fn next(monitor: &mut Monitor) -> Event {
    let next = tokio::time::timeout(DEADLINE, monitor.next()).await;
    next.unwrap_or_else(|_| panic!("no event within {DEADLINE:?}"))
        .expect("the monitor goes on")
}
