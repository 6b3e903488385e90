//! Mutual TLS with Open vSwitch: our client and its server, its client and our server, and what is said when they do not
//! agree.

use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_ovsdb::{ConnectOptions, Connection, ListenOptions, Passive, Remote, Tls};
use weft_stream::pki::{Authority, Directory, Existing, Period, Subject};
use weft_stream::{Listener, PeerName, Stream, TlsFiles, dial};

use crate::harness::{DEADLINE, FAMILY, Running, Served, family, run};

/// Both CAs, a node `n1` and a controller.
struct World {
    folder: tempfile::TempDir,
    directory: Directory,
    node: TlsFiles,
    controller: TlsFiles,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let period = Period::days(30);
        let directory = Directory::init(&folder.path().join("pki"), period).expect("CAs");
        let node = directory.node(&name("n1"), period, Existing::Refuse);
        let controller = directory.controller(&name("c"), period, Existing::Refuse);
        World {
            node: node.expect("a certificate").files,
            controller: controller.expect("a certificate").files,
            folder,
            directory,
        }
    }

    /// Files whose certificate is signed by the CA in `ca` and is good then.
    fn odd(&self, ca: &Path, of: &TlsFiles, subject: &Subject, period: Period) -> TlsFiles {
        let read = |path: &Path| std::fs::read_to_string(path).expect("it was made");
        let key = weft_stream::pki::Secret::new(read(&ca.with_extension("key")));
        let authority = Authority::load(&read(ca), &key).expect("a CA");
        let issued = authority.issue(subject, period).expect("issued");
        let at = |file: &str| self.folder.path().join(file);
        let (private_key, certificate) = (at("odd.key"), at("odd.pem"));
        std::fs::write(&private_key, issued.private_key.reveal()).expect("written");
        std::fs::write(&certificate, issued.certificate).expect("written");
        TlsFiles {
            private_key,
            certificate,
            ca_certificate: of.ca_certificate.clone(),
        }
    }
}

fn name(text: &str) -> PeerName {
    PeerName::new(text).expect("a name")
}

fn flags(files: &TlsFiles) -> [String; 3] {
    let flag = |flag: &str, path: &PathBuf| format!("--{flag}={}", path.display());
    [
        flag("private-key", &files.private_key),
        flag("certificate", &files.certificate),
        flag("ca-cert", &files.ca_certificate),
    ]
}

/// A real `ovsdb-server` that listens with TLS, or without.
async fn real(world: &World, scheme: &str, more: &[String]) -> (Running, Remote) {
    // One of its own: the server before may still have the lock of another.
    let folder = tempfile::tempdir_in(world.folder.path())
        .expect("writable")
        .keep();
    let at = |file: &str| folder.join(file).display().to_string();
    let (file, schema) = (at("conf.db"), at("db.ovsschema"));
    std::fs::write(&schema, FAMILY).expect("written");
    let made = run("ovsdb-tool", &["create", &file, &schema]).await;
    made.expect("made");
    let command = format!(
        "exec ovsdb-server {file} --remote={scheme}:0:127.0.0.1 --unixctl=none -vconsole:info {} 2>&1",
        more.join(" ")
    );
    let mut server = Running::start("sh", &["-c", &command]);
    let line = server.line_with("listening on port").await;
    let port = line.rsplit(' ').next().and_then(|port| port.parse().ok());
    let remote = Remote::Ssl {
        host: "127.0.0.1".to_owned(),
        port: port.expect("a port"),
    };
    (server, remote)
}

/// Makes the files of one end.
type Shows<'a> = &'a dyn Fn() -> TlsFiles;

/// What becomes of a request: the first bytes of the answer, or what is in the way.
async fn ask(remote: &Remote, files: &TlsFiles, node: &str) -> Result<String, String> {
    let tls = Tls::load(files.clone()).expect("good files").to(name(node));
    let stream = dial(remote, Some(&tls), DEADLINE).await;
    list_dbs(stream.map_err(|error| error.to_string())?).await
}

/// The first bytes of the answer to a request.
async fn list_dbs(mut stream: Box<dyn Stream>) -> Result<String, String> {
    let exchange = async {
        stream
            .write_all(br#"{"method":"list_dbs","params":[],"id":0}"#)
            .await?;
        stream.flush().await?;
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).await?;
        answer.truncate(length);
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = tokio::time::timeout(DEADLINE, exchange).await;
    answer
        .expect("an answer or an end in time")
        .map_err(|error| error.to_string())
}

/// TLS 1.2, and what Open vSwitch speaks unless told: 1.3.
const VERSIONS: [&[&str]; 2] = [&["--ssl-protocols=TLSv1.2"], &[]];

#[tokio::test]
async fn a_real_server_is_used_over_tls_as_over_a_socket() {
    for version in VERSIONS {
        let world = World::new();
        let mut arguments = flags(&world.node).to_vec();
        arguments.extend(version.iter().map(ToString::to_string));
        let (_server, remote) = real(&world, "pssl", &arguments).await;
        let tls = Tls::load(world.controller.clone()).expect("good files");
        let options = ConnectOptions {
            tls: Some(tls.to(name("n1"))),
            ..ConnectOptions::default()
        };
        let connection = Connection::connect(remote, "Family", options);
        let schema = connection.schema().await.expect("an answer");
        assert_eq!(schema.to_json(), family().to_json(), "{version:?}");
    }
}

#[tokio::test]
async fn each_way_in_which_a_real_server_and_we_disagree_has_its_own_text() {
    let node = || Subject::Node(name("n1"));
    let us = || Subject::Controller("c".to_owned());
    let (now, past, future) = (
        Period::days(30),
        Period::days_from_now(-9, -1),
        Period::days_from_now(1, 9),
    );
    for version in VERSIONS {
        let world = World::new();
        let (nodes_ca, controllers_ca) =
            (world.directory.nodes_ca(), world.directory.controllers_ca());
        let (its, ours) = (&world.node, &world.controller);
        // A node's certificate, used by somebody who believes the nodes' CA, as a node that was taken over can.
        let stolen = TlsFiles {
            ca_certificate: nodes_ca.clone(),
            ..its.clone()
        };
        let blind = TlsFiles {
            ca_certificate: controllers_ca.clone(),
            ..ours.clone()
        };
        let odd = |ca: &Path, of: &TlsFiles, subject: &Subject, period| {
            world.odd(ca, of, subject, period)
        };
        // What the server shows, what we show, whom we dial, what is said.
        let cases: [(Shows<'_>, Shows<'_>, &str, &str); 9] = [
            (&|| its.clone(), &|| ours.clone(), "n1", ""),
            (
                &|| its.clone(),
                &|| stolen.clone(),
                "n1",
                "it trusts another CA",
            ),
            (&|| its.clone(), &|| blind.clone(), "n1", "that no CA in "),
            (
                &|| its.clone(),
                &|| ours.clone(),
                "n2",
                "for n1, not for n2",
            ),
            (
                &|| odd(&nodes_ca, its, &node(), past),
                &|| ours.clone(),
                "n1",
                "that expired on ",
            ),
            (
                &|| odd(&nodes_ca, its, &node(), future),
                &|| ours.clone(),
                "n1",
                "a certificate that is not valid before ",
            ),
            (
                &|| its.clone(),
                &|| odd(&controllers_ca, ours, &us(), past),
                "n1",
                "which expired on ",
            ),
            (
                &|| its.clone(),
                &|| odd(&controllers_ca, ours, &us(), future),
                "n1",
                "odd.pem, which is not valid before ",
            ),
            (
                &|| odd(&controllers_ca, its, &node(), now),
                &|| ours.clone(),
                "n1",
                "that no CA in ",
            ),
        ];
        for (server, client, dialled, says) in cases {
            let mut arguments = flags(&server()).to_vec();
            arguments.extend(version.iter().map(ToString::to_string));
            let (_server, remote) = real(&world, "pssl", &arguments).await;
            let answer = ask(&remote, &client(), dialled).await;
            let is_right = match &answer {
                Ok(answer) => says.is_empty() && answer.contains("Family"),
                Err(text) => !says.is_empty() && text.contains(says),
            };
            assert!(is_right, "{version:?}: {answer:?}, not {says:?}");
        }
    }
}

#[tokio::test]
async fn a_real_server_without_tls_or_too_old_for_us_is_told_apart() {
    let world = World::new();
    let (_server, remote) = real(&world, "ptcp", &[]).await;
    let text = ask(&remote, &world.controller, "n1")
        .await
        .expect_err("no TLS");
    assert!(text.contains("speak") && text.contains("TLS"), "{text}");
    let mut arguments = flags(&world.node).to_vec();
    arguments.push("--ssl-protocols=TLSv1.1".to_owned());
    let (_server, remote) = real(&world, "pssl", &arguments).await;
    let text = ask(&remote, &world.controller, "n1")
        .await
        .expect_err("too old");
    assert!(text.contains("neither TLS 1.2 nor 1.3"), "{text}");
    // Listening, and nothing to show: ovsdb-server closes what it accepts.
    let (_server, remote) = real(&world, "pssl", &[]).await;
    let text = ask(&remote, &world.controller, "n1")
        .await
        .expect_err("nothing to show");
    assert!(text.contains("ovs-vsctl get-ssl"), "{text}");
}

#[tokio::test]
async fn real_clients_use_our_server_over_tls_if_their_ca_is_ours() {
    let world = World::new();
    let served = Served::new(family()).await;
    let ours = TlsFiles {
        ca_certificate: world.directory.controllers_ca(),
        ..world.controller.clone()
    };
    let options = ListenOptions {
        tls: Some(Tls::load(ours.clone()).expect("good files")),
        ..ListenOptions::default()
    };
    let passive: Passive = "pssl:0:127.0.0.1".parse().expect("a listener");
    let listening = served
        .server
        .listen_with(passive, options, served.cancel.clone())
        .await
        .expect("listens");
    let Passive::Ssl { port, .. } = *listening.address() else {
        panic!("it listens elsewhere: {listening:?}");
    };
    let remote = format!("ssl:127.0.0.1:{port}");
    let list = async |files: &TlsFiles, version: &[&str]| {
        let [key, certificate, ca] = flags(files);
        let mut arguments = vec![key.as_str(), &certificate, &ca, "-t", "5"];
        arguments.extend(version);
        arguments.extend(["list-dbs", &remote]);
        run("ovsdb-client", &arguments).await
    };
    for version in VERSIONS {
        let listed = list(&ours, version).await;
        assert_eq!(listed.as_deref(), Ok("Family\n_Server\n"), "{version:?}");
        // A node's, which our server does not believe.
        let node = TlsFiles {
            ca_certificate: world.directory.controllers_ca(),
            ..world.node.clone()
        };
        list(&node, version).await.expect_err("a node is no client");
    }
    let plain = format!("tcp:127.0.0.1:{port}");
    let refused = run("ovsdb-client", &["-t", "5", "list-dbs", &plain]).await;
    refused.expect_err("it speaks TLS alone");
}

#[tokio::test]
async fn a_real_server_that_dials_us_over_tls_is_taken_for_a_node_if_its_ca_is_the_nodes() {
    for version in VERSIONS {
        let world = World::new();
        let local: Passive = "pssl:0:127.0.0.1".parse().expect("a listener");
        let ours = Tls::load(world.controller.clone()).expect("good files");
        let listener = Listener::bind(&local, Some(ours)).await.expect("bound");
        let Passive::Ssl { port, .. } = listener.address(&local) else {
            unreachable!("it is what was asked for");
        };
        // Signed by the controllers' CA, as no node's is.
        let subject = Subject::Node(name("n1"));
        let ca = world.directory.controllers_ca();
        let odd = world.odd(&ca, &world.node, &subject, Period::days(30));
        for (files, is_taken) in [(&world.node, true), (&odd, false)] {
            let folder = tempfile::tempdir_in(world.folder.path()).expect("writable");
            let at = |file: &str| folder.path().join(file).display().to_string();
            std::fs::write(at("db.ovsschema"), FAMILY).expect("written");
            let (database, schema) = (at("db"), at("db.ovsschema"));
            let made = run("ovsdb-tool", &["create", &database, &schema]).await;
            made.expect("made");
            let mut arguments = flags(files).to_vec();
            arguments.extend(version.iter().map(ToString::to_string));
            let remote = format!("--remote=ssl:127.0.0.1:{port}");
            arguments.extend([database, remote, "--unixctl=none".to_owned()]);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let _server = Running::start("ovsdb-server", &arguments);
            let accepted = tokio::time::timeout(DEADLINE, listener.accept()).await;
            let (incoming, _) = accepted.expect("in time").expect("it comes");
            match incoming.finish().await {
                Ok(stream) => {
                    let answer = list_dbs(stream).await.expect("an answer");
                    assert!(is_taken && answer.contains("Family"), "{answer}");
                }
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        !is_taken && text.contains("no CA in "),
                        "{version:?}: {text}"
                    );
                }
            }
        }
    }
}
