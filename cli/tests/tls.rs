//! The northbound database over the network: `weft nb` on `pssl:` and `ptcp:`, the real `ovn-nbctl` and weft's own commands
//! as its clients, with what `weft pki` makes.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const WEFT: &str = env!("CARGO_BIN_EXE_weft");
const DEADLINE: Duration = Duration::from_secs(60);

/// `weft nb` on two ports of its own, and a directory of `weft pki`; killed in the end.
struct World {
    folder: tempfile::TempDir,
    server: Option<Child>,
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

impl World {
    fn new() -> World {
        let mut world = World {
            folder: tempfile::tempdir().expect("a temporary folder"),
            server: None,
        };
        let pki = world.path("pki").display().to_string();
        for arguments in [
            &["init", &pki][..],
            &["controller", &pki, "--name", "c"],
            &["node", &pki, "n1"],
        ] {
            let made = Command::new(WEFT).arg("pki").args(arguments).output();
            succeeded(&made.expect("weft starts"));
        }
        let log = File::create(world.path("log")).expect("a log");
        let server = Command::new(WEFT)
            .arg("nb")
            .args(world.controller())
            .args(["--listen=pssl:0:127.0.0.1", "--listen=ptcp:0:127.0.0.1"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        world.server = Some(server.expect("weft starts"));
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn controller(&self) -> Vec<String> {
        self.flags("controllers/c/key.pem", "controllers/c/cert.pem")
    }

    fn node(&self) -> Vec<String> {
        self.flags("nodes/n1/key-1.pem", "nodes/n1/cert-1.pem")
    }

    /// Whose key and certificate, and the CA of what the database shows.
    fn flags(&self, key: &str, certificate: &str) -> Vec<String> {
        let files = [
            ("-p", key),
            ("-c", certificate),
            ("-C", "controllers-ca.pem"),
        ];
        let words = files.map(|(flag, file)| {
            let path = self.path("pki").join(file);
            [flag.to_owned(), path.display().to_string()]
        });
        words.concat()
    }

    /// The port that was taken, as the log has it.
    fn remote(&self, listen: &str, dial: &str) -> String {
        let start = Instant::now();
        loop {
            let log = fs::read_to_string(self.path("log")).unwrap_or_default();
            if let Some((_, rest)) = log.split_once(&format!("listener={listen}:"))
                && let Some((port, _)) = rest.split_once(':')
            {
                return format!("{dial}:127.0.0.1:{port}");
            }
            assert!(start.elapsed() < DEADLINE, "{log}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn nbctl(database: &str, more: &[String], conf: Option<&Path>, arguments: &[&str]) -> Output {
    let mut command = Command::new("ovn-nbctl");
    if let Some(conf) = conf {
        command.env("OPENSSL_CONF", conf);
    }
    command
        .arg(format!("--db={database}"))
        .arg("--timeout=20")
        .args(more)
        .args(arguments)
        .output()
        .expect("ovn-nbctl starts")
}

#[test]
fn ovn_nbctl_and_weft_write_and_read_a_database_over_tls_and_tcp() {
    let world = World::new();
    let (tls, tcp) = (world.remote("pssl", "ssl"), world.remote("ptcp", "tcp"));
    let flags = world.controller();
    for (version, switch) in [("TLSv1.2", "two"), ("TLSv1.3", "three")] {
        // OVN 23.03's ovn-nbctl aborts when it is given --ssl-protocols.
        let conf = world.path("openssl.cnf");
        let text = format!(
            "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = only\n\
             [only]\nMinProtocol = {version}\nMaxProtocol = {version}\n"
        );
        fs::write(&conf, text).expect("written");
        let nbctl = |arguments: &[&str]| succeeded(&nbctl(&tls, &flags, Some(&conf), arguments));
        nbctl(&["ls-add", switch]);
        assert!(nbctl(&["ls-list"]).contains(switch));
    }
    assert_eq!(
        succeeded(&nbctl(&tcp, &[], None, &["ls-list"]))
            .lines()
            .count(),
        2
    );
    let list = Command::new(WEFT)
        .args(["ls-list", "--db", &tls])
        .args(&flags)
        .output();
    let listed = succeeded(&list.expect("weft starts"));
    assert!(
        listed.contains("(two)") && listed.contains("(three)"),
        "{listed}"
    );
    // A node is no client, though it believes the same CA.
    let refused = nbctl(&tls, &world.node(), None, &["ls-list"]);
    assert!(!refused.status.success(), "{refused:?}");
}

#[test]
fn who_is_refused_is_told_why_in_one_line() {
    let world = World::new();
    let tls = world.remote("pssl", "ssl");
    let whole = world.controller();
    let nodes_ca = world.path("pki/nodes-ca.pem").display().to_string();
    let wrong_ca = [&whole[..4], &["-C".to_owned(), nodes_ca]].concat();
    for (flags, part) in [
        (Vec::new(), "weft pki"),
        (world.node(), "it trusts another CA"),
        (wrong_ca, "no CA in "),
    ] {
        let output = Command::new(WEFT)
            .args(["ls-list", "--db", &tls])
            .args(&flags)
            .output();
        let output = output.expect("weft starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(1) && text.lines().count() == 1 && text.contains(part),
            "{part:?}: {output:?}"
        );
    }
}
