//! A directory, a database and northd between them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_northd::index::{self, NbRow};
use weft_northd::{Config, Error, run_standalone};
use weft_ovsdb::{Connection, Database, Event, Monitor, MonitorTable, Operation, Server};
use weft_schema::nb;

/// northd at work.
pub struct World {
    directory: TempDir,
    server: Server,
    connection: Connection,
    monitor: Monitor,
    rows: BTreeMap<Uuid, NbRow>,
    /// The nodes there are: `n1` and `n2` at first.
    pub nodes: watch::Sender<Vec<String>>,
    cancel: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl World {
    pub async fn start(files: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let server = Server::new(vec![Database::new(nb::database_schema())]);
        let connection = Connection::local(&server, nb::DATABASE);
        let tables = NbRow::TABLES.iter().copied();
        let monitor = connection
            .monitor(tables.map(MonitorTable::new).collect())
            .await
            .unwrap();
        let nodes = watch::Sender::new(vec!["n1".to_owned(), "n2".to_owned()]);
        let cancel = CancellationToken::new();
        let task = run(directory.path().into(), &server, &nodes, &cancel);
        Self {
            directory,
            server,
            connection,
            monitor,
            rows: BTreeMap::new(),
            nodes,
            cancel,
            task,
        }
    }

    /// northd on a directory that may not be there, until it ends.
    pub async fn start_on(directory: PathBuf) -> Result<(), Error> {
        let server = Server::new(vec![Database::new(nb::database_schema())]);
        let nodes = watch::Sender::new(Vec::new());
        run(directory, &server, &nodes, &CancellationToken::new())
            .await
            .unwrap()
    }

    pub async fn restart(&mut self) {
        self.cancel.cancel();
        (&mut self.task).await.unwrap().unwrap();
        self.cancel = CancellationToken::new();
        self.task = run(
            self.directory.path().into(),
            &self.server,
            &self.nodes,
            &self.cancel,
        );
    }

    pub async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap().unwrap();
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.directory.path().join(name)).unwrap();
    }

    pub async fn transact(&mut self, operations: Vec<Operation>) {
        self.connection.transact(operations).await.unwrap();
    }

    /// Waits until the pods' ports are these: `NAME@NODE ADDRESS`, IPv4 alone.
    pub async fn await_ports(&mut self, expected: &[&str]) {
        self.await_that(&format!("the ports are {expected:?}"), |rows| {
            ports(rows) == expected
        })
        .await;
    }

    pub async fn await_port(&mut self, expected: &str) {
        self.await_that(expected, |rows| {
            ports(rows).iter().any(|port| port == expected)
        })
        .await;
    }

    /// Waits until there are so many rows.
    pub async fn await_rows(&mut self, count: usize) {
        self.await_that(&format!("there are {count} rows"), |rows| {
            rows.len() == count
        })
        .await;
    }

    pub async fn await_row(&mut self, name: &str) {
        self.await_that(name, |rows| rows.values().any(|row| row.name() == name))
            .await;
    }

    /// UUID of the row of this name, which has to be there.
    pub async fn row(&mut self, name: &str) -> Uuid {
        self.await_row(name).await;
        self.rows
            .values()
            .find(|row| row.name() == name)
            .unwrap()
            .uuid()
    }

    /// All rows as they are now.
    pub async fn rows(&mut self) -> BTreeMap<Uuid, NbRow> {
        self.rows.clone()
    }

    /// Waits until what the database holds is as it should be; on timeout says what it holds.
    pub async fn await_that(&mut self, what: &str, holds: impl Fn(&BTreeMap<Uuid, NbRow>) -> bool) {
        let waiting = async {
            while !holds(&self.rows) {
                let event = self.monitor.next().await.expect("the server is there");
                observe(&mut self.rows, event);
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), waiting)
            .await
            .is_err()
        {
            let rows: Vec<&str> = self.rows.values().map(NbRow::name).collect();
            panic!(
                "waited for: {what}\nports: {:#?}\nrows: {rows:?}",
                ports(&self.rows)
            );
        }
    }
}

fn run(
    manifests: PathBuf,
    server: &Server,
    nodes: &watch::Sender<Vec<String>>,
    cancel: &CancellationToken,
) -> JoinHandle<Result<(), Error>> {
    let config = Config {
        manifests,
        index: index::Config::default(),
        synchronized: None,
    };
    let connection = Connection::local(server, nb::DATABASE);
    tokio::spawn(run_standalone(
        config,
        connection,
        nodes.subscribe(),
        cancel.clone(),
    ))
}

fn ports(rows: &BTreeMap<Uuid, NbRow>) -> Vec<String> {
    let mut ports: Vec<String> = rows
        .values()
        .filter_map(|row| match row {
            NbRow::LogicalSwitchPort(port) => {
                let node = port.options.get("requested-chassis")?;
                let address = port.external_ids.get("weft-addresses")?.split(' ').next()?;
                Some(format!("{}@{node} {address}", port.name))
            }
            _ => None,
        })
        .collect();
    ports.sort();
    ports
}

fn observe(rows: &mut BTreeMap<Uuid, NbRow>, event: Event) {
    let changes = match event {
        Event::Snapshot(changes) => {
            rows.clear();
            changes
        }
        Event::Changes(changes) => changes,
        Event::Disconnected { .. } => Vec::new(),
    };
    for change in changes {
        match NbRow::read(&change).unwrap() {
            None => rows.remove(&change.uuid),
            Some(row) => rows.insert(change.uuid, row),
        };
    }
}
