//! The program as its users start it: what it prints, how it ends, and what it says about bad input.
//!
//! Held against the real `ovn-nbctl`. Nothing outside a temporary folder is touched.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

const WEFT: &str = env!("CARGO_BIN_EXE_weft");

/// `weft nb` on a socket of its own; killed when a test panics.
struct Database {
    folder: tempfile::TempDir,
    server: Child,
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Database {
    fn start() -> Database {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // The folder of the socket is not there yet: the server makes it.
        let listen = format!(
            "--listen=punix:{}",
            folder.path().join("run/nb.sock").display()
        );
        let server = Command::new(WEFT)
            .args(["nb", &listen])
            .stderr(Stdio::null())
            .spawn()
            .expect("weft starts");
        let database = Database { folder, server };
        await_condition("socket", || database.socket().exists());
        database
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("run/nb.sock")
    }

    fn remote(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    fn nbctl(&self, arguments: &[&str]) -> String {
        let database = format!("--db={}", self.remote());
        let output = Command::new("ovn-nbctl")
            .arg(database)
            .arg("--timeout=10")
            .args(arguments)
            .output()
            .expect("ovn-nbctl starts");
        text_of_success("ovn-nbctl", output)
    }

    fn weft(&self, arguments: &[&str]) -> String {
        text_of_success(
            "weft",
            run(Command::new(WEFT)
                .args(arguments)
                .args(["--db", &self.remote()])),
        )
    }
}

#[test]
fn what_is_shown_and_listed_is_what_ovn_nbctl_shows_and_lists() {
    let database = Database::start();
    assert_eq!(database.weft(&["show"]), "");
    let script = "ls-add blue -- ls-add red \
        -- lsp-add blue blue-1 -- lsp-add blue blue-2 -- lsp-add blue blue-r \
        -- lsp-set-type blue-r router -- lsp-set-options blue-r router-port=r-blue \
        -- lr-add r -- lrp-add r r-blue 0a:58:0a:00:00:fe 10.0.0.254/24 fd00::fe/64";
    database.nbctl(&script.split_whitespace().collect::<Vec<_>>());
    database.nbctl(&[
        "lsp-set-addresses",
        "blue-1",
        "0a:58:0a:00:00:01 10.0.0.1 fd00::1",
    ]);
    for (command, is_empty) in [
        (&["show"][..], false),
        (&["show", "blue"], false),
        (&["show", "r"], false),
        (&["ls-list"], false),
        (&["lr-list"], false),
        (&["lsp-list", "blue"], false),
        (&["lsp-list", "red"], true),
    ] {
        let expected = database.nbctl(command);
        assert_eq!(database.weft(command), expected, "weft {command:?}");
        assert_eq!(expected.is_empty(), is_empty, "{command:?}");
    }
}

#[test]
fn a_trace_tells_where_a_packet_comes_out_and_where_it_is_dropped() {
    let database = Database::start();
    let script = "ls-add a -- ls-add b -- lr-add r \
        -- lsp-add a a1 -- lsp-add a a2 -- lsp-add b b1 \
        -- set Logical_Switch_Port a1 options:requested-chassis=n1 \
        -- set Logical_Switch_Port a2 options:requested-chassis=n1 \
        -- set Logical_Switch_Port b1 options:requested-chassis=n2 \
        -- lrp-add r r-a 0a:00:00:00:01:fe 10.0.1.254/24 -- lrp-add r r-b 0a:00:00:00:02:fe 10.0.2.254/24 \
        -- lsp-add a a-r -- lsp-set-type a-r router -- lsp-set-addresses a-r router -- lsp-set-options a-r router-port=r-a \
        -- lsp-add b b-r -- lsp-set-type b-r router -- lsp-set-addresses b-r router -- lsp-set-options b-r router-port=r-b";
    database.nbctl(&script.split_whitespace().collect::<Vec<_>>());
    for (port, addresses) in [
        ("a1", "0a:00:00:00:01:01 10.0.1.1"),
        ("a2", "0a:00:00:00:01:02 10.0.1.2"),
        ("b1", "0a:00:00:00:02:01 10.0.2.1"),
    ] {
        database.nbctl(&["lsp-set-addresses", port, addresses]);
    }
    for (to, last) in [
        ("a2", "delivered to a2 on n1 with TTL 64"),
        ("b1", "delivered to b1 on n2 with TTL 63"),
        ("10.0.9.9", "dropped; ICMP error type 3 code 0 to a1 on n1"),
    ] {
        let text = database.weft(&["trace", "a1", to, "--probe", "udp:53"]);
        assert_eq!(text.lines().last(), Some(last), "{text}");
    }
    let all = database.weft(&["lflow-list"]);
    let of_a = database.weft(&["lflow-list", "a"]);
    assert!(
        of_a.contains("ls_in_l2_lkup") && !of_a.contains("lr_in_ip_routing"),
        "{of_a}"
    );
    assert!(
        all.contains("lr_in_ip_routing") && all.lines().count() > of_a.lines().count(),
        "{all}"
    );
}

#[test]
fn a_switch_that_is_not_there_is_named_and_the_status_is_1() {
    let database = Database::start();
    let output = run(Command::new(WEFT).args(["lsp-list", "gone", "--db", &database.remote()]));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        lines(&output.stderr),
        ["weft: no switch is named \"gone\": weft ls-list names them"]
    );
}

#[test]
fn a_server_ends_in_order_on_sigterm_and_on_sigint() {
    for signal in ["TERM", "INT"] {
        let mut database = Database::start();
        let pid = database.server.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", signal, &pid])
            .status()
            .expect("kill starts");
        assert!(sent.success());
        let status = database.server.wait().expect("it ends");
        assert_eq!(status.code(), Some(0), "SIG{signal}");
        assert!(
            !database.socket().exists(),
            "SIG{signal}: the socket is left behind"
        );
    }
}

#[test]
fn bad_values_are_told_in_one_line_and_the_status_is_2() {
    for (arguments, flag) in [
        (&["demo", "--nodes", "x"][..], "--nodes"),
        (&["demo", "--probe", "tcp:x"], "--probe"),
        (&["demo", "--probe", "icmp,udp:0"], "--probe"),
        (&["show", "--db", "nowhere"], "--db"),
        (&["nb", "--listen", "unix:/x"], "--listen"),
        (&["show", "--log-format", "xml"], "--log-format"),
        (&["show", "--log", "=loud="], "--log"),
    ] {
        let output = run(Command::new(WEFT).args(arguments));
        let told = lines(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told:?}");
        assert!(
            told.len() == 1 && told[0].contains(flag),
            "{arguments:?}: {told:?}"
        );
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn files_that_are_not_there_are_told_in_one_line_and_the_status_is_1() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("nodes.yaml"), "nodes: []\n").expect("written");
    let listen = format!("--nb-listen=punix:{}", path("nb.sock"));
    for (manifests, nodes, named) in [
        ("gone", "nodes.yaml", "gone"),
        (".", "gone.yaml", "gone.yaml"),
    ] {
        let (manifests, nodes) = (path(manifests), path(nodes));
        let arguments = [
            "run",
            "--log=error",
            &listen,
            "--manifests",
            &manifests,
            "--nodes",
            &nodes,
        ];
        let output = run(Command::new(WEFT).args(arguments));
        let told = lines(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told:?}");
        assert!(told.len() == 1 && told[0].contains(named), "{told:?}");
    }
}

#[test]
fn with_json_a_demo_that_cannot_run_still_prints_one_object() {
    for arguments in [
        &["demo", "--json", "--nodes", "x"][..],
        &["--log", "warn", "demo", "--json", "--nodes", "x"],
        &["demo", "--json", "--manifests", "/nonexistent"],
    ] {
        let output = run(Command::new(WEFT).args(arguments));
        assert_failure_object(&output);
    }
}

/// As root, root is given up first; the program is copied to where anybody may read it.
#[test]
fn a_demo_by_somebody_who_is_not_root_is_refused_in_one_line() {
    let folder = tempfile::tempdir_in("/tmp").expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("readable");
    let copy = folder.path().join("weft");
    fs::copy(WEFT, &copy).expect("copied");
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&copy);
        command
    } else {
        Command::new(&copy)
    };
    let output = run(command.args(["demo", "--json"]).current_dir("/"));
    let error = assert_failure_object(&output);
    assert!(error.contains("root"), "{error}");
    assert_eq!(lines(&output.stderr), [format!("weft demo: {error}")]);
}

#[test]
fn a_demo_without_open_vswitch_says_what_to_install() {
    assert!(
        is_root(),
        "hiding a program takes a mount namespace, and that takes root: make test runs this as root"
    );
    let script = "mount --bind /dev/null \"$(readlink -f \"$(command -v ovs-vswitchd)\")\"; exec \"$0\" demo --json";
    let path = format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    let output = run(Command::new("unshare")
        .args(["--mount", "sh", "-euc", script, WEFT])
        .env("PATH", path));
    let error = assert_failure_object(&output);
    assert!(
        error.contains("Open vSwitch") && error.contains("apt-get install openvswitch-switch"),
        "{error}"
    );
}

/// The one object of a run that failed; returns what it says.
fn assert_failure_object(output: &Output) -> String {
    assert!(!output.status.success());
    let told = lines(&output.stdout);
    assert_eq!(
        told.len(),
        1,
        "one object: {told:?}; {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let object: Value = serde_json::from_str(&told[0]).expect("JSON");
    assert_eq!(object["ok"], false);
    for list in ["nodes", "pods", "pairs", "services"] {
        assert!(object[list].is_array(), "{list} in {object}");
    }
    object["error"].as_str().expect("a reason").to_owned()
}

fn run(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .env_remove("OVN_NB_DB")
        .env_remove("WEFT_LOG")
        .output()
        .expect("it starts")
}

fn text_of_success(program: &str, output: Output) -> String {
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes)
        .lines()
        .map(str::to_owned)
        .collect()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn await_condition(what: &str, mut is_there: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_there() {
        assert!(Instant::now() < deadline, "no {what} after 10 s");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
