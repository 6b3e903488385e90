//! A northbound database in a file: what was acknowledged survives kill -9, a full disk is told, and northd's rows and
//! those written by hand are there again.
//!
//! Held against `ovsdb-tool`. Nothing outside a temporary folder is touched; the full disk is a small one of its own.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rand::RngExt as _;
use tokio_util::sync::CancellationToken;
use weft_ovsdb::{
    ConnectOptions, Connection, Datum, Error, Operation, OperationResult, Remote, Row,
};

const WEFT: &str = env!("CARGO_BIN_EXE_weft");

/// A folder with everything of a test.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn arguments(&self) -> [String; 4] {
        [
            "--listen".to_owned(),
            format!("punix:{}", self.path("nb.sock").display()),
            "--db".to_owned(),
            self.path("nb.db").display().to_string(),
        ]
    }

    fn remote(&self) -> Remote {
        Remote::Unix(self.path("nb.sock"))
    }

    /// A connection of its own, which does not outlast a server by much.
    fn connect(&self) -> Connection {
        let options = ConnectOptions {
            backoff: (Duration::from_millis(10), Duration::from_millis(50)),
            request_timeout: DEADLINE,
            ..ConnectOptions::default()
        };
        Connection::connect(self.remote(), "OVN_Northbound", options)
    }

    fn nbctl(&self, arguments: &[&str]) -> String {
        let database = format!("--db=unix:{}", self.path("nb.sock").display());
        let output = Command::new("ovn-nbctl")
            .args([&database, "--timeout=10"])
            .args(arguments)
            .output()
            .expect("ovn-nbctl starts");
        assert!(
            output.status.success(),
            "ovn-nbctl {arguments:?}: {output:?}"
        );
        String::from_utf8(output.stdout).expect("text")
    }

    /// Starts weft and waits until it listens.
    fn start<S: AsRef<std::ffi::OsStr>>(&self, program: &str, arguments: &[S]) -> Weft {
        // A server that was killed leaves its socket.
        let _ = fs::remove_file(self.path("nb.sock"));
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.path("log"));
        let child = Command::new(program)
            .args(arguments)
            .env_remove("WEFT_LOG")
            .stdout(Stdio::null())
            .stderr(log.expect("a log"))
            .spawn()
            .expect("it starts");
        let mut weft = Weft(child);
        let start = Instant::now();
        while !self.path("nb.sock").exists() {
            let ended = weft.0.try_wait().expect("a child");
            assert!(
                ended.is_none() && start.elapsed() < DEADLINE,
                "{ended:?}: {}",
                self.log()
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
        weft
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

/// A process; killed in the end.
struct Weft(Child);

impl Weft {
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    fn end(mut self) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(sent.expect("kill starts").success());
        let status = self.0.wait().expect("it ends");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Weft {
    fn drop(&mut self) {
        self.kill();
    }
}

fn insert(name: &str, addresses: &str) -> Vec<Operation> {
    let row = Row::new()
        .with("name", name)
        .with("addresses", Datum::from(addresses));
    vec![Operation::Insert {
        table: "Address_Set".into(),
        uuid: None,
        row,
    }]
}

async fn names(connection: &Connection) -> BTreeSet<String> {
    let select = Operation::Select {
        table: "Address_Set".into(),
        conditions: vec![],
        columns: Some(vec!["name".into()]),
    };
    match connection
        .transact(vec![select])
        .await
        .expect("selects")
        .remove(0)
    {
        OperationResult::Rows(rows) => rows
            .into_iter()
            .filter_map(|(_, row)| Some(row.get("name")?.as_str()?.to_owned()))
            .collect(),
        other => panic!("{other:?}"),
    }
}

/// Sends transactions from several clients at once until none is left or the server is gone; those acknowledged.
async fn send(
    place: &Place,
    todo: &[String],
    acknowledged: &Arc<AtomicUsize>,
    gone: &CancellationToken,
) -> Vec<String> {
    let next = Arc::new(AtomicUsize::new(0));
    let todo: Arc<[String]> = todo.into();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (todo, next, acknowledged) = (todo.clone(), next.clone(), acknowledged.clone());
        let gone = gone.clone();
        let connection = place.connect();
        clients.spawn(async move {
            let mut done = Vec::new();
            while let Some(name) = todo.get(next.fetch_add(1, Ordering::SeqCst)) {
                let answer = tokio::select! {
                    biased;
                    answer = connection.transact(insert(name, "10.0.0.1")) => answer,
                    // What was not sent yet would wait for the server to come back.
                    () = gone.cancelled() => return done,
                };
                match answer {
                    Ok(_) => done.push(name.clone()),
                    Err(Error::Transaction(error)) => panic!("{name}: {error}"),
                    Err(_) => return done,
                }
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            done
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_transactions_and_kill_nine_lose_none_that_was_acknowledged() {
    let place = Place::new();
    let all: Vec<String> = (0..TRANSACTIONS)
        .map(|number| format!("set-{number}"))
        .collect();
    let mut acknowledged: BTreeSet<String> = BTreeSet::new();
    let mut kills = 0;
    loop {
        let mut server = place.start(WEFT, &[&["nb".to_owned()], &place.arguments()[..]].concat());
        let connection = place.connect();
        let there = names(&connection).await;
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        assert!(
            lost.is_empty(),
            "after {kills} kills: {lost:?}\n{}",
            place.log()
        );
        // What was written and not acknowledged any more is there as well, or not at all.
        let todo: Vec<String> = all
            .iter()
            .filter(|name| !there.contains(*name))
            .cloned()
            .collect();
        if todo.is_empty() {
            break;
        }
        let (count, gone) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let is_last = kills == KILLS;
        let kill_at = rand::rng().random_range(1..TRANSACTIONS / (KILLS + 1));
        let killer = tokio::task::spawn_blocking({
            let (count, gone) = (count.clone(), gone.clone());
            move || {
                while !is_last && count.load(Ordering::SeqCst) < kill_at {
                    std::thread::park_timeout(Duration::from_micros(200));
                }
                if !is_last {
                    server.kill();
                    gone.cancel();
                }
                server
            }
        });
        acknowledged.extend(send(&place, &todo, &count, &gone).await);
        drop(killer.await.expect("it ends"));
        if is_last {
            assert_eq!(acknowledged.union(&there).count(), TRANSACTIONS);
            continue;
        }
        kills += 1;
    }
    assert_eq!(kills, KILLS);
    let query =
        r#"["OVN_Northbound",{"op":"select","table":"Address_Set","columns":["name"],"where":[]}]"#;
    let found = Command::new("ovsdb-tool")
        .arg("query")
        .arg(place.path("nb.db"))
        .arg(query)
        .output()
        .expect("ovsdb-tool starts; install Open vSwitch (openvswitch-switch)");
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).expect("rows");
    assert_eq!(
        found[0]["rows"].as_array().map(Vec::len),
        Some(TRANSACTIONS)
    );
}

#[tokio::test]
async fn a_full_disk_refuses_transactions_and_nothing_else() {
    let place = Place::new();
    fs::create_dir(place.path("disk")).expect("made");
    let (disk, socket) = (place.path("disk"), place.path("nb.sock"));
    // A file system of its own in a mount namespace of its own, which goes with the process.
    let script = "mount -t tmpfs -o size=256k tmpfs \"$1\"; head -c 65536 /dev/zero > \"$1/ballast\"; \
        exec \"$0\" nb --listen \"punix:$2\" --db \"$1/nb.db\"";
    let (disk, socket) = (disk.display().to_string(), socket.display().to_string());
    let server = place.start(
        "unshare",
        &["--mount", "sh", "-euc", script, WEFT, &disk, &socket],
    );
    let inside = Path::new("/proc")
        .join(server.0.id().to_string())
        .join("root");
    let inside = inside.join(disk.trim_start_matches('/'));
    let connection = place.connect();
    let bulk = "a".repeat(5000);
    let mut kept = BTreeSet::new();
    let refused = loop {
        let name = format!("set-{}", kept.len());
        match connection.transact(insert(&name, &bulk)).await {
            Ok(_) => kept.insert(name),
            Err(error) => break error.to_string(),
        };
        assert!(kept.len() < 1000, "it never fills up");
    };
    for part in [
        "I/O error",
        "nb.db",
        "No space left on device",
        "free space",
    ] {
        assert!(refused.contains(part), "no {part:?} in {refused:?}");
    }
    assert!(!kept.is_empty());
    assert_eq!(
        names(&connection).await,
        kept,
        "the server goes on, without what it refused"
    );
    let error = connection
        .transact(insert("other", &bulk))
        .await
        .expect_err("still full");
    assert!(error.to_string().contains("No space left"), "{error}");
    fs::remove_file(inside.join("ballast")).expect("removed");
    connection
        .transact(insert("more", &bulk))
        .await
        .expect("there is room again");
    kept.insert("more".to_owned());
    // What is on that disk is what a server finds that starts on it.
    fs::copy(inside.join("nb.db"), place.path("nb.db")).expect("copied");
    server.end();
    let server = place.start(WEFT, &[&["nb".to_owned()], &place.arguments()[..]].concat());
    assert_eq!(names(&place.connect()).await, kept);
    server.end();
}

#[test]
fn after_a_restart_the_rows_of_northd_match_and_those_by_hand_are_there() {
    let place = Place::new();
    let namespace = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\napiVersion: v1\nkind: Pod\nmetadata: \
             {{name: p, namespace: {name}}}\nspec: {{containers: [{{name: c, image: i}}]}}\n"
        )
    };
    place.write("manifests/one.yaml", &namespace("one"));
    let nowhere = place.path("nowhere.sock").display().to_string();
    let nodes =
        format!("nodes:\n  - {{name: n1, ovsdb: \"unix:{nowhere}\", encapIp: 192.0.2.1}}\n");
    place.write("nodes.yaml", &nodes);
    let [_, listen, _, file] = place.arguments();
    let path = |name: &str| place.path(name).display().to_string();
    let (manifests, nodes) = (path("manifests"), path("nodes.yaml"));
    let run = [
        "run",
        "--manifests",
        &manifests,
        "--nodes",
        &nodes,
        "--nb-listen",
        &listen,
        "--nb-db",
        &file,
    ];
    let await_port = |name: &str| {
        let start = Instant::now();
        while !place.nbctl(&["show"]).contains(name) {
            assert!(
                start.elapsed() < DEADLINE,
                "no port {name}: {}",
                place.log()
            );
        }
    };
    let server = place.start(WEFT, &run);
    await_port("one_p");
    place.nbctl(&["ls-add", "hand", "--", "lsp-add", "hand", "desk"]);
    place.nbctl(&[
        "lsp-add",
        "one",
        "guest",
        "--",
        "set",
        "Logical_Switch_Port",
        "one_p",
        "external_ids:mine=1",
    ]);
    let before = place.nbctl(&["list", "Logical_Switch_Port"]);
    server.end();

    let written = fs::metadata(place.path("nb.db")).expect("a file").len();
    let server = place.start(WEFT, &run);
    assert_eq!(place.nbctl(&["list", "Logical_Switch_Port"]), before);
    // Once northd has written something new, it has been through all that it found.
    place.write("manifests/two.yaml", &namespace("two"));
    await_port("two_p");
    server.end();
    let mut file = File::open(place.path("nb.db")).expect("a file");
    file.seek(SeekFrom::Start(written)).expect("it only grew");
    let mut added = String::new();
    file.read_to_string(&mut added).expect("text");
    let uuid = |table: &str, name: &str| {
        let query = format!(
            r#"["OVN_Northbound",{{"op":"select","table":"{table}","columns":["_uuid"],"where":[["name","==","{name}"]]}}]"#
        );
        let found = Command::new("ovsdb-tool")
            .arg("query")
            .arg(place.path("nb.db"))
            .arg(query)
            .output();
        let found = found.expect("ovsdb-tool starts").stdout;
        let found: serde_json::Value = serde_json::from_slice(&found).expect("rows");
        found[0]["rows"][0]["_uuid"][1]
            .as_str()
            .unwrap_or_else(|| panic!("{name}: {found}"))
            .to_owned()
    };
    assert!(
        added.contains(&uuid("Logical_Switch_Port", "two_p")),
        "{added}"
    );
    for (table, name) in [
        ("Logical_Switch", "one"),
        ("Logical_Switch_Port", "one_p"),
        ("Logical_Switch", "hand"),
        ("Logical_Switch_Port", "guest"),
    ] {
        assert!(
            !added.contains(&uuid(table, name)),
            "{name} was written again: {added}"
        );
    }

    // What the manifests say no longer goes, by hand or not; what they never said stays.
    fs::remove_file(place.path("manifests/one.yaml")).expect("removed");
    let server = place.start(WEFT, &run);
    let start = Instant::now();
    while place.nbctl(&["ls-list"]).contains("(one)") {
        assert!(start.elapsed() < DEADLINE, "{}", place.log());
    }
    assert_eq!(place.nbctl(&["lsp-list", "hand"]).lines().count(), 1);
    server.end();
}

#[test]
fn a_file_that_cannot_be_served_is_told_in_one_line() {
    let place = Place::new();
    let arguments = [&["nb".to_owned()], &place.arguments()[..]].concat();
    let refused = || {
        let output = Command::new(WEFT)
            .args(&arguments)
            .args(["--log", "error"])
            .output()
            .expect("it starts");
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).expect("text");
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    };
    let server = place.start(WEFT, &arguments);
    let pid = server.0.id();
    assert!(refused().contains(&format!("is in use by process {pid}")));
    server.end();
    place.write("nb.db", "rows: []\n");
    assert!(refused().contains("nb.db: is no OVSDB file: \"rows: []\" is no record header"));
}

const TRANSACTIONS: usize = 10_000;
const KILLS: usize = 6;
const CLIENTS: usize = 24;
const DEADLINE: Duration = Duration::from_secs(60);
