//! The writer on a disk that waits, fills up and fails as told.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::*;
use crate::database::Database;
use crate::fixture::schema;
use crate::operation::Operation;
use crate::record;
use crate::row::Row;
use crate::storage::file::{Medium, NotReplaced};
use crate::storage::{Compaction, Stored};
use crate::{Connection, Error, Event, MonitorTable, OperationResult, Server};

/// What the disk does, from outside.
#[derive(Debug)]
struct Disk {
    bytes: Mutex<Vec<u8>>,
    /// Syncs that may go on; each takes one.
    syncs: Semaphore,
    synced: AtomicUsize,
    /// Syncs that fail from now on.
    failing_syncs: AtomicUsize,
    failing_replaces: AtomicUsize,
    capacity: AtomicU64,
}

impl Disk {
    fn new(syncs: usize) -> Arc<Disk> {
        Arc::new(Disk {
            bytes: Mutex::default(),
            syncs: Semaphore::new(syncs),
            synced: AtomicUsize::new(0),
            failing_syncs: AtomicUsize::new(0),
            failing_replaces: AtomicUsize::new(0),
            capacity: AtomicU64::new(u64::MAX),
        })
    }

    /// A server on this disk, with an empty database.
    fn serve(self: &Arc<Disk>, compaction: Compaction) -> Server {
        let database = Database::new(schema());
        let shape = database.schema().clone();
        let medium = Box::new(OnDisk(self.clone()));
        let mut log = Log::new(medium, "zoo.db".as_ref(), shape, compaction);
        log.rewrite(&database.snapshot(), "").unwrap();
        Server::stored(Stored { database, log }).unwrap()
    }

    /// Waits until the writer has got so far.
    async fn until_written(&self, tags: &[i64]) {
        let seek = async {
            while self.tags() != tags {
                tokio::task::yield_now().await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(20), seek).await;
        assert!(found.is_ok(), "written: {:?}", self.tags());
    }

    /// What somebody who reads the file finds.
    fn tags(&self) -> Vec<i64> {
        let bytes = self.bytes.lock().unwrap();
        let (_, mut at) = record::decode(&bytes).unwrap().expect("a schema");
        let mut database = Database::new(schema());
        while let Some((content, length)) = record::decode(&bytes[at..]).unwrap() {
            database.replay(&content).unwrap();
            at += length;
        }
        let x = |row: &Row| row.get("x").and_then(|x| x.as_i64());
        let mut tags: Vec<i64> = database.rows("Tag").filter_map(|(_, row)| x(row)).collect();
        tags.sort_unstable();
        tags
    }
}

#[derive(Debug)]
struct OnDisk(Arc<Disk>);

/// True if one was left; takes it.
fn take(counter: &AtomicUsize) -> bool {
    counter
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        })
        .is_ok()
}

impl Medium for OnDisk {
    fn append(&mut self, offset: u64, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut content = self.0.bytes.lock().unwrap();
        assert_eq!(content.len() as u64, offset, "records follow each other");
        let room = self
            .0
            .capacity
            .load(Ordering::SeqCst)
            .saturating_sub(offset);
        let fits = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        content.extend(&bytes[..fits]);
        match fits == bytes.len() {
            true => Ok(()),
            false => Err((fits, io::ErrorKind::StorageFull.into())),
        }
    }

    fn cut(&mut self, offset: u64) -> io::Result<()> {
        self.0
            .bytes
            .lock()
            .unwrap()
            .truncate(usize::try_from(offset).unwrap());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let permit = futures::executor::block_on(self.0.syncs.acquire()).unwrap();
        permit.forget();
        if take(&self.0.failing_syncs) {
            return Err(io::Error::other("the disk is broken"));
        }
        self.0.synced.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn replace(&mut self, bytes: &[u8]) -> Result<(), NotReplaced> {
        if take(&self.0.failing_replaces) {
            let error = io::ErrorKind::StorageFull.into();
            return Err(NotReplaced {
                is_in_place: false,
                error,
            });
        }
        *self.0.bytes.lock().unwrap() = bytes.to_vec();
        Ok(())
    }
}

fn tag(number: i64) -> Vec<Operation> {
    let row = Row::new()
        .with("name", format!("{number}"))
        .with("x", number);
    vec![Operation::Insert {
        table: "Tag".into(),
        uuid: None,
        row,
    }]
}

fn select() -> Vec<Operation> {
    vec![Operation::Select {
        table: "Tag".into(),
        conditions: vec![],
        columns: None,
    }]
}

async fn count(connection: &Connection) -> usize {
    match connection.transact(select()).await.unwrap().remove(0) {
        OperationResult::Rows(rows) => rows.len(),
        other => panic!("{other:?}"),
    }
}

fn refusal(result: Result<Vec<OperationResult>, Error>) -> String {
    match result.expect_err("refused") {
        Error::Transaction(error) => format!("{}: {}", error.error, error.details),
        other => panic!("{other}"),
    }
}

/// A server, a connection to it, and what happens to its tags.
async fn world(disk: &Arc<Disk>) -> (Server, Connection, crate::Monitor) {
    let server = disk.serve(Compaction::default());
    let connection = Connection::local(&server, "Zoo");
    let mut monitor = connection
        .monitor(vec![MonitorTable::new("Tag")])
        .await
        .unwrap();
    assert_eq!(monitor.next().await, Some(Event::Snapshot(vec![])));
    (server, connection, monitor)
}

/// Starts a transaction and waits until others see it.
async fn start(
    connection: &Connection,
    monitor: &mut crate::Monitor,
    number: i64,
) -> tokio::task::JoinHandle<Result<Vec<OperationResult>, Error>> {
    let asking = connection.clone();
    let task = tokio::spawn(async move { asking.transact(tag(number)).await });
    assert!(matches!(monitor.next().await, Some(Event::Changes(_))));
    task
}

#[tokio::test]
async fn nothing_is_answered_before_it_is_on_disk_and_nobody_else_waits() {
    let disk = Disk::new(0);
    let (_server, connection, mut monitor) = world(&disk).await;
    let mut tasks = vec![start(&connection, &mut monitor, 1).await];
    disk.until_written(&[1]).await;
    for number in 2..6 {
        tasks.push(start(&connection, &mut monitor, number).await);
    }
    assert_eq!(
        count(&connection).await,
        5,
        "a reader is answered while the disk works"
    );
    assert!(tasks.iter().all(|task| !task.is_finished()));
    disk.syncs.add_permits(1);
    tasks.remove(0).await.unwrap().unwrap();
    assert!(
        tasks.iter().all(|task| !task.is_finished()),
        "they came after that sync had begun"
    );
    disk.syncs.add_permits(1);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(
        disk.synced.load(Ordering::SeqCst),
        2,
        "four transactions shared a sync"
    );
    assert_eq!(disk.tags(), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_full_disk_refuses_what_does_not_fit_and_the_server_lives_on() {
    let disk = Disk::new(100);
    let (_server, connection, mut monitor) = world(&disk).await;
    start(&connection, &mut monitor, 1)
        .await
        .await
        .unwrap()
        .unwrap();
    let used = disk.bytes.lock().unwrap().len() as u64;
    disk.capacity.store(used + 20, Ordering::SeqCst);
    let error = refusal(start(&connection, &mut monitor, 2).await.await.unwrap());
    assert!(
        error.starts_with("I/O error: zoo.db: ") && error.contains("free space"),
        "{error}"
    );
    assert!(
        matches!(monitor.next().await, Some(Event::Changes(_))),
        "it is undone for all to see"
    );
    assert_eq!(count(&connection).await, 1);
    assert_eq!(disk.tags(), [1], "no part of it stayed");
    disk.capacity.store(u64::MAX, Ordering::SeqCst);
    start(&connection, &mut monitor, 3)
        .await
        .await
        .unwrap()
        .unwrap();
    assert_eq!(disk.tags(), [1, 3]);
}

#[tokio::test]
async fn of_a_group_what_fits_is_kept_and_what_builds_on_the_rest_is_refused() {
    let disk = Disk::new(0);
    let (_server, connection, mut monitor) = world(&disk).await;
    let first = start(&connection, &mut monitor, 1).await;
    disk.until_written(&[1]).await;
    let mut group = Vec::new();
    for number in 2..5 {
        group.push(start(&connection, &mut monitor, number).await);
    }
    // Room for one record more.
    let used = disk.bytes.lock().unwrap().len() as u64;
    disk.capacity.store(used + 250, Ordering::SeqCst);
    disk.syncs.add_permits(100);
    first.await.unwrap().unwrap();
    let mut group = group.into_iter();
    group.next().unwrap().await.unwrap().unwrap();
    for task in group {
        assert!(refusal(task.await.unwrap()).contains("free space"));
    }
    assert_eq!((disk.tags(), count(&connection).await), (vec![1, 2], 2));
}

#[tokio::test]
async fn after_a_failed_sync_the_file_is_written_anew() {
    let disk = Disk::new(100);
    let (_server, connection, mut monitor) = world(&disk).await;
    disk.failing_syncs.store(1, Ordering::SeqCst);
    start(&connection, &mut monitor, 1)
        .await
        .await
        .unwrap()
        .unwrap();
    assert_eq!(disk.tags(), [1], "it was not lost: the new file has it");
    disk.failing_syncs.store(1, Ordering::SeqCst);
    disk.failing_replaces.store(2, Ordering::SeqCst);
    for number in 2..4 {
        let error = refusal(
            start(&connection, &mut monitor, number)
                .await
                .await
                .unwrap(),
        );
        assert!(error.contains("is undone"), "{error}");
        assert!(matches!(monitor.next().await, Some(Event::Changes(_))));
    }
    start(&connection, &mut monitor, 4)
        .await
        .await
        .unwrap()
        .unwrap();
    assert_eq!((disk.tags(), count(&connection).await), (vec![1, 4], 2));
}

#[tokio::test]
async fn a_log_is_compacted_when_it_has_grown_and_grows_on_if_that_fails() {
    let disk = Disk::new(1000);
    let server = disk.serve(Compaction {
        min_bytes: 0,
        growth: 2,
    });
    let connection = Connection::local(&server, "Zoo");
    connection.transact(tag(0)).await.unwrap();
    let update = |x: i64| Operation::Update {
        table: "Tag".into(),
        conditions: vec![],
        row: Row::new().with("x", x),
    };
    disk.failing_replaces.store(1, Ordering::SeqCst);
    for x in 0..200 {
        connection.transact(vec![update(x)]).await.unwrap();
    }
    server.close().await;
    assert_eq!(disk.tags(), [199]);
    assert_eq!(
        disk.failing_replaces.load(Ordering::SeqCst),
        0,
        "one compaction failed"
    );
    let bytes = disk.bytes.lock().unwrap();
    let start = record::decode(&bytes).unwrap().unwrap().1;
    let (first, _) = record::decode(&bytes[start..]).unwrap().unwrap();
    assert_eq!(first["_comment"], "compacted");
    assert!(
        bytes.len() < 3 * (start + 200) + 4000,
        "{} bytes",
        bytes.len()
    );
}

#[tokio::test]
async fn what_was_accepted_is_written_before_the_end() {
    let disk = Disk::new(100);
    let (server, connection, mut monitor) = world(&disk).await;
    let task = start(&connection, &mut monitor, 1).await;
    server.close().await;
    task.await.unwrap().unwrap();
    assert_eq!(disk.tags(), [1]);
}
