//! Two servers of one schema, and `ovn-nbctl` to talk to them.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio_util::sync::{CancellationToken, DropGuard};
use weft_ovsdb::{Connection, Database, Passive};
use weft_schema::nb;

/// A northbound database that listens on a socket of its own, until dropped.
pub struct Server {
    socket: PathBuf,
    connection: Option<Connection>,
    _stop: DropGuard,
    _process: Option<Child>,
    _directory: TempDir,
}

impl Server {
    /// weft's.
    pub async fn weft() -> Self {
        let directory = TempDir::new().unwrap();
        let socket = directory.path().join("nb.sock");
        let server = weft_ovsdb::Server::new(vec![Database::new(nb::database_schema())]);
        let cancel = CancellationToken::new();
        server
            .listen(Passive::Unix(socket.clone()), cancel.clone())
            .await
            .unwrap();
        let connection = Connection::local(&server, nb::DATABASE);
        Self {
            socket,
            connection: Some(connection),
            _stop: cancel.drop_guard(),
            _process: None,
            _directory: directory,
        }
    }

    /// The real ovsdb-server, on the schema that weft generates: ovsdb-tool has to accept it.
    pub async fn real() -> Self {
        let directory = TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name);
        let (schema, database, socket) = (path("nb.ovsschema"), path("nb.db"), path("nb.sock"));
        std::fs::write(&schema, nb::database_schema().to_json().to_string()).unwrap();
        let created = Command::new("ovsdb-tool")
            .args(["create".as_ref(), database.as_os_str(), schema.as_os_str()])
            .output()
            .await
            .expect("ovsdb-tool is installed");
        assert!(
            created.status.success(),
            "{}",
            String::from_utf8_lossy(&created.stderr)
        );
        let process = Command::new("ovsdb-server")
            .arg(format!("--remote=punix:{}", socket.display()))
            .arg(format!("--unixctl={}", path("ctl").display()))
            .arg("--no-chdir")
            .arg("-vconsole:off")
            .arg(&database)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("ovsdb-server is installed");
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        let listening = async {
            while UnixStream::connect(&socket).await.is_err() {
                tick.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), listening)
            .await
            .expect("ovsdb-server listens");
        Self {
            socket,
            connection: None,
            _stop: CancellationToken::new().drop_guard(),
            _process: Some(process),
            _directory: directory,
        }
    }

    /// The connection in process, of weft's own.
    pub fn connection(&self) -> &Connection {
        self.connection
            .as_ref()
            .expect("only weft's server has one")
    }
}

/// `ovn-nbctl` on one server.
pub struct Nbctl<'a> {
    server: &'a Server,
}

/// What one invocation printed.
pub struct Printed {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl<'a> Nbctl<'a> {
    pub fn new(server: &'a Server) -> Self {
        Self { server }
    }

    /// Runs a line of words; a comma inside a word stands for a space.
    pub async fn run(&self, line: &str) -> Printed {
        let words = line
            .split_whitespace()
            .map(|word| match word.starts_with("02:") {
                true => word.replace(',', " "),
                false => word.to_owned(),
            });
        let run = Command::new("ovn-nbctl")
            .arg(format!("--db=unix:{}", self.server.socket.display()))
            .args(["--timeout=20", "-vconsole:off", "--no-leader-only"])
            .args(words)
            .env_remove("OVN_NB_DAEMON")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = run.await.expect("ovn-nbctl is installed");
        Printed {
            success: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Printed {
    /// Without what differs from run to run: UUIDs, and the order that follows from them; and of a
    /// refused transaction the error alone, as its details are for people.
    pub fn normalized(&self) -> (bool, Vec<String>, Vec<String>) {
        let lines = |text: &str| {
            let mut lines: Vec<String> = text
                .lines()
                .map(|line| without_uuids(without_details(line)))
                .collect();
            lines.sort();
            lines
        };
        (self.success, lines(&self.stdout), lines(&self.stderr))
    }
}

fn without_details(line: &str) -> &str {
    match line.split_once("transaction error: ") {
        Some((_, error)) => error
            .rsplit_once("\"error\":")
            .map_or(error, |(_, error)| error),
        None => line,
    }
}

fn without_uuids(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        match rest
            .get(..36)
            .filter(|word| uuid::Uuid::try_parse(word).is_ok())
        {
            Some(word) => {
                text.push_str("<uuid>");
                rest = &rest[word.len()..];
            }
            None => {
                text.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    text
}
